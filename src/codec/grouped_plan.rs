//! How a group of integers is best packed: as distances from its lowest value, from a straight line, or as differences of
//! neighbours.
//!
//! Guarantees: every plan is exact, whatever the values; the choice hangs on the values alone. Where the values span less than
//! 2^32, all arithmetic is modulo 2^32.

use crate::bytes::zigzag;

use super::bits::GROUP;
use super::integer::{Widths, choose_narrow_widths, choose_widths};
use super::lanes::Offsets;

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

/// A way to write a group whose values span 2^32 or more.
pub(super) struct Plan {
    pub(super) widths: Widths,
    pub(super) prediction: Prediction,
    pub(super) rests: [u64; GROUP],
}

/// A way to write a group whose values span less than 2^32; the rests behind its last are zero.
pub(super) struct NarrowPlan {
    pub(super) widths: Widths,
    pub(super) prediction: Prediction,
    pub(super) rests: Offsets,
}

impl Default for NarrowPlan {
    fn default() -> Self {
        let widths = Widths { width: 0, patch_width: 0, patches: 0, bits: 0 };
        Self { widths, prediction: Prediction::Frame, rests: [0; GROUP] }
    }
}

/// The best plan for 1 to 256 values that span less than 2^32, of which the lowest is known.
#[inline(always)]
pub(super) fn plan_narrow(values: &[i64], lowest: i64, plan: &mut NarrowPlan) {
    let count = values.len().min(GROUP);
    for (rest, value) in plan.rests.iter_mut().zip(values) {
        *rest = value.wrapping_sub(lowest) as u32;
    }
    plan.rests[count..].fill(0);
    let distances = &plan.rests[..count];
    (plan.widths, plan.prediction) = (choose_narrow_widths(distances), Prediction::Frame);
    if plan.widths.bits <= SMALL_ENOUGH_BITS || count <= 2 {
        return;
    }
    let difference = |place: usize| i64::from(distances[place + 1]) - i64::from(distances[place]);
    let step = middle(count - 1, difference);
    let mut rests = [0; GROUP];
    let mut falls = 0_u32;
    for (rest, pair) in rests[1..].iter_mut().zip(distances.windows(2)) {
        *rest = zigzag_32(pair[1].wrapping_sub(pair[0]).wrapping_sub(step as u32));
        falls |= u32::from(pair[1] < pair[0]);
    }
    let mut widths = choose_narrow_widths(&rests[..count]);
    let mut prediction = Prediction::Differences { first: u64::from(distances[0]), step };
    // A line is worth trying where values rise and their differences still need bits for each.
    if widths.width > 1 && falls == 0 {
        let mut line_rests = [0; GROUP];
        let line = line(values, lowest, u64::from(u32::MAX), &mut line_rests);
        let line_widths = choose_widths(&line_rests[..count]);
        if line_widths.bits < widths.bits {
            (widths, prediction) = (line_widths, line);
            rests = line_rests.map(|rest| rest as u32);
        }
    }
    if is_worth(widths, plan.widths) {
        *plan = NarrowPlan { widths, prediction, rests };
    }
}

/// Whether what another prediction takes is a fifth less than what a frame does.
#[inline(always)]
fn is_worth(widths: Widths, frame: Widths) -> bool {
    (widths.bits + PREDICTION_HEAD_BITS) * 5 <= frame.bits * 4
}

/// The best plan for 1 to 256 values that span 2^32 or more, of which the lowest is known.
pub(super) fn plan(values: &[i64], lowest: i64) -> Plan {
    let mut rests = [0; GROUP];
    for (rest, value) in rests.iter_mut().zip(values) {
        *rest = value.wrapping_sub(lowest) as u64;
    }
    let frame = choose_widths(&rests[..values.len()]);
    if frame.bits > SMALL_ENOUGH_BITS && values.len() > 2 {
        let first = rests[0];
        let difference = |place: usize| values[place + 1].wrapping_sub(values[place]);
        let step = middle(values.len() - 1, difference);
        let mut difference_rests = [0; GROUP];
        for (place, rest) in difference_rests[1..values.len()].iter_mut().enumerate() {
            *rest = zigzag(difference(place).wrapping_sub(step));
        }
        let mut widths = choose_widths(&difference_rests[..values.len()]);
        let mut prediction = Prediction::Differences { first, step };
        if widths.width > 1 && (0..values.len() - 1).all(|place| difference(place) >= 0) {
            let mut line_rests = [0; GROUP];
            let line = line(values, lowest, u64::MAX, &mut line_rests);
            let line_widths = choose_widths(&line_rests[..values.len()]);
            if line_widths.bits < widths.bits {
                (widths, prediction, difference_rests) = (line_widths, line, line_rests);
            }
        }
        if is_worth(widths, frame) {
            return Plan { widths, prediction, rests: difference_rests };
        }
    }
    Plan { widths: frame, prediction: Prediction::Frame, rests }
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

/// The sign folded into the lowest bit, of numbers that wrap around at 32 bits.
#[inline(always)]
fn zigzag_32(value: u32) -> u32 {
    value << 1 ^ (value as i32 >> 31) as u32
}

/// About the median of so many differences: rests are small on both sides of it, and the few that lie far out are patched.
#[inline(always)]
fn middle(count: usize, difference: impl Fn(usize) -> i64) -> i64 {
    // Places in no rhythm that values may have.
    let (mut sample, mut place) = ([0; SAMPLES], 0);
    let (sampled, step) = (count.min(SAMPLES), SAMPLE_STEP % count);
    for slot in &mut sample[..sampled] {
        *slot = difference(place);
        place += step;
        place -= if place >= count { count } else { 0 };
    }
    if sampled < SAMPLES {
        let sample = &mut sample[..sampled];
        sample.sort_unstable();
        return sample.get(sampled / 2).copied().unwrap_or_default();
    }
    // Those with no more than half of all below them end with the one that a sorted sample has in its middle.
    let mut below = [0_i64; SAMPLES];
    for other in sample {
        for (below, one) in below.iter_mut().zip(sample) {
            *below += i64::from(other < one);
        }
    }
    let lower = |(one, below): (i64, i64)| if below <= SAMPLES as i64 / 2 { one } else { i64::MIN };
    sample.into_iter().zip(below).map(lower).fold(i64::MIN, i64::max)
}
