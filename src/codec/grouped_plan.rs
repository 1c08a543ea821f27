//! How a group of integers is best packed: as distances from its lowest value, from a straight line, or as differences of
//! neighbours.
//!
//! Guarantees: every plan is exact, whatever the values; the choice hangs on the values alone. Where the values span less than
//! 2^32, all arithmetic is modulo 2^32.

use crate::bytes::zigzag;

use super::bits::GROUP;
use super::integer::{Widths, choose_widths};

/// Frames as small as this are not tried in another way.
const SMALL_ENOUGH_BITS: usize = 64;
/// How many differences the search for a step looks at.
const SAMPLES: usize = 32;
/// A prime longer than half a group: multiples of it fall all over the group.
const SAMPLE_STEP: usize = 157;
/// About what the head of another prediction takes more than that of a frame.
const PREDICTION_HEAD_BITS: usize = 24;

/// What rests are counted from; all of it as distances from the lowest value, which wrap around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prediction {
    /// The lowest value.
    Frame,
    /// The value before and a step; the sign of what is left is folded into its lowest bit.
    Differences { first: u64, step: i64 },
    /// A straight line: a base, and a slope in 256ths.
    Line { base: i64, slope: i64 },
}

/// The line's distance from its base at a place.
#[inline(always)]
pub(super) fn on_line(slope: i64, place: usize) -> i64 {
    slope.wrapping_mul(place as i64) >> 8
}

/// A way to write a group.
pub(super) struct Plan {
    pub(super) widths: Widths,
    /// How many rests are wider than the width.
    pub(super) patches: u8,
    pub(super) prediction: Prediction,
    pub(super) rests: [u64; GROUP],
}

/// The best plan for 1 to 256 values, of which the lowest and the highest are known.
pub(super) fn plan(values: &[i64], lowest: i64, highest: i64) -> Plan {
    let mut rests = [0; GROUP];
    for (rest, value) in rests.iter_mut().zip(values) {
        *rest = value.wrapping_sub(lowest) as u64;
    }
    let frame = choose_widths(&rests[..values.len()]);
    if frame.bits > SMALL_ENOUGH_BITS && values.len() > 2 {
        let narrow = (highest.wrapping_sub(lowest) as u64) < 1 << 32;
        let mask = if narrow { u64::from(u32::MAX) } else { u64::MAX };
        let mut differences = [0; GROUP];
        for (difference, pair) in differences[1..].iter_mut().zip(values.windows(2)) {
            *difference = pair[1].wrapping_sub(pair[0]);
        }
        let differences = &mut differences[1..values.len()];
        let first = values.first().map_or(0, |first| first.wrapping_sub(lowest) as u64);
        let mut difference_rests = [0; GROUP];
        let step = middle(differences);
        for (rest, difference) in difference_rests[1..].iter_mut().zip(differences.iter()) {
            let rest_of = difference.wrapping_sub(step);
            *rest = if narrow { u64::from(zigzag_32(rest_of as u32)) } else { zigzag(rest_of) };
        }
        let mut widths = choose_widths(&difference_rests[..values.len()]);
        let mut prediction = Prediction::Differences { first, step };
        // A line is worth trying where values rise and their differences still need bits for each.
        if widths.width > 1 && differences.iter().all(|difference| *difference >= 0) {
            let mut line_rests = [0; GROUP];
            let line = line(values, lowest, mask, &mut line_rests);
            let line_widths = choose_widths(&line_rests[..values.len()]);
            if line_widths.bits < widths.bits {
                (widths, prediction, difference_rests) = (line_widths, line, line_rests);
            }
        }
        if (widths.bits + PREDICTION_HEAD_BITS) * 5 <= frame.bits * 4 {
            return finished(widths, prediction, difference_rests, values.len());
        }
    }
    finished(frame, Prediction::Frame, rests, values.len())
}

/// A straight line below all values.
fn line(values: &[i64], lowest: i64, mask: u64, rests: &mut [u64; GROUP]) -> Prediction {
    // From the mean of the first quarter to that of the last: single values jitter.
    let quarter = values.len().div_ceil(4);
    let sum = |part: &[i64]| part.iter().map(|value| i128::from(*value)).sum::<i128>();
    let rise = sum(&values[values.len() - quarter..]) - sum(&values[..quarter]);
    let slope = (rise * 256 / (quarter * (values.len() - quarter).max(1)) as i128) as i64;
    let residual = |(place, value): (usize, &i64)| value.wrapping_sub(lowest).wrapping_sub(on_line(slope, place));
    let base = values.iter().enumerate().map(residual).min().unwrap_or_default();
    for (rest, value) in rests.iter_mut().zip(values.iter().enumerate()) {
        *rest = residual(value).wrapping_sub(base) as u64 & mask;
    }
    Prediction::Line { base, slope }
}

fn finished(widths: Widths, prediction: Prediction, rests: [u64; GROUP], count: usize) -> Plan {
    let wider = |rest: &&u64| widths.patch_width > 0 && **rest >> widths.width > 0;
    // No plan has more patches than a byte counts.
    let patches = rests[..count].iter().filter(wider).count() as u8;
    Plan { widths, patches, prediction, rests }
}

/// The sign folded into the lowest bit, of numbers that wrap around at 32 bits.
fn zigzag_32(value: u32) -> u32 {
    value << 1 ^ (value as i32 >> 31) as u32
}

/// About the median of differences: rests are small on both sides of it, and the few that lie far out are patched.
fn middle(differences: &[i64]) -> i64 {
    // Places in no rhythm that values may have.
    let count = differences.len().min(SAMPLES);
    let mut sample = [0; SAMPLES];
    for (number, place) in sample.iter_mut().take(count).enumerate() {
        *place = differences[number * SAMPLE_STEP % differences.len()];
    }
    let sample = &mut sample[..count];
    sample.sort_unstable();
    sample.get(count / 2).copied().unwrap_or_default()
}
