//! How a group of integers is best packed: as distances from its lowest value, or as differences of neighbours.
//!
//! Guarantees: every plan is exact, whatever the values; the choice hangs on the values alone. Where the values span less than
//! 2^32, differences are taken modulo 2^32, so that a step may be chosen for the many, and the few below it wrap around into
//! patches.

use super::bits::GROUP;
use super::integer::{Widths, choose_widths};

/// Frames as small as this are not tried in another way.
const SMALL_ENOUGH_BITS: usize = 64;
/// How many differences the search for a step looks at.
const SAMPLES: usize = 32;
/// About what the head of differences takes more than that of a frame.
const DIFFERENCES_HEAD_BITS: usize = 24;

/// A way to write a group.
pub(super) struct Plan {
    pub(super) widths: Widths,
    /// How many rests are wider than the width.
    pub(super) patches: u8,
    /// The first value's distance from the lowest, and the step.
    pub(super) differences: Option<(u64, i64)>,
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
        let step = common_step(differences);
        let mut difference_rests = [0; GROUP];
        for (rest, difference) in difference_rests[1..].iter_mut().zip(differences.iter()) {
            *rest = difference.wrapping_sub(step) as u64 & mask;
        }
        let widths = choose_widths(&difference_rests[..values.len()]);
        if (widths.bits + DIFFERENCES_HEAD_BITS) * 5 <= frame.bits * 4 {
            let first = values.first().map_or(0, |first| first.wrapping_sub(lowest) as u64);
            return finished(widths, Some((first, step)), difference_rests, values.len());
        }
    }
    finished(frame, None, rests, values.len())
}

fn finished(widths: Widths, differences: Option<(u64, i64)>, rests: [u64; GROUP], count: usize) -> Plan {
    let wider = |rest: &&u64| widths.patch_width > 0 && **rest >> widths.width > 0;
    // No plan has more patches than a byte counts.
    let patches = rests[..count].iter().filter(wider).count() as u8;
    Plan { widths, patches, differences, rests }
}

/// The step that nearly all differences have at least: the lowest one, unless it lies far below the others.
fn common_step(differences: &[i64]) -> i64 {
    let lowest = differences.iter().copied().fold(i64::MAX, i64::min);
    let stride = differences.len().div_ceil(SAMPLES).max(1);
    let mut sample = [0; SAMPLES];
    let mut count = 0;
    for (place, difference) in sample.iter_mut().zip(differences.iter().step_by(stride)) {
        *place = *difference;
        count += 1;
    }
    let sample = &mut sample[..count];
    sample.sort_unstable();
    let (Some(low), Some(high)) = (sample.get(count / 16), sample.get(count - 1 - count / 16)) else { return lowest };
    let floor = low.saturating_sub(high.saturating_sub(*low));
    lowest.max(floor)
}
