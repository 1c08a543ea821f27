//! The values of a group: all of them while they are few, then a sketch.
//!
//! Whether a group is exact is decided on its total count, since a part that is too large makes the whole too large.

use std::collections::BTreeMap;

use super::bins::BinCounts;
use super::sketch::{INFINITE_POWER, Sketch, power_of, two_to};
use super::value_list::extend_known;

/// The most values that are kept as they are.
pub const EXACT_MAX: usize = 65_536;
/// Ranks that lie so close to the last are found by keeping the values beyond them; others by partitions.
const NEAR_END: usize = 8;

/// The values of a group, none of them NaN.
#[derive(Debug, Clone)]
pub(super) enum Distribution {
    Exact(Vec<f64>),
    Sketch(Box<Sketch>),
    /// Only how many lie in each of some bins.
    Bins(BinCounts),
}

impl Default for Distribution {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distribution {
    /// Adds values; NaN among them are skipped.
    pub(super) fn extend(&mut self, values: &[f64]) {
        if let Self::Bins(bins) = self {
            return bins.extend(values);
        }
        let fits = matches!(self, Self::Exact(kept) if kept.len() + values.len() <= EXACT_MAX);
        if let (Self::Exact(kept), true) = (&mut *self, fits) {
            return extend_known(kept, values);
        }
        values.iter().filter(|value| !value.is_nan()).for_each(|value| self.add(*value, 1));
    }

    /// Adds a value that is not NaN, so many times.
    pub(super) fn add(&mut self, value: f64, count: u64) {
        if let Self::Exact(kept) = self {
            if kept.len() as u64 + count <= EXACT_MAX as u64 {
                return kept.extend(std::iter::repeat_n(value, count as usize));
            }
            self.become_sketch();
        }
        if let Self::Sketch(sketch) = self {
            sketch.add(value, count);
        }
    }

    fn become_sketch(&mut self) {
        if let Self::Exact(kept) = self {
            let mut sketch = Sketch::default();
            kept.iter().for_each(|value| sketch.add(*value, 1));
            *self = Self::Sketch(Box::new(sketch));
        }
    }

    /// Adds another.
    pub(super) fn merge(&mut self, other: Self) {
        match other {
            Self::Exact(values) => self.extend(&values),
            Self::Bins(theirs) => {
                if let Self::Bins(ours) = self {
                    ours.merge(&theirs);
                }
            }
            Self::Sketch(theirs) => {
                self.become_sketch();
                if let Self::Sketch(ours) = self {
                    ours.merge(&theirs);
                }
            }
        }
    }

    /// A percentile, by linear interpolation between ranks.
    pub(super) fn percentile(&mut self, percent: f64) -> Option<f64> {
        match self {
            Self::Exact(values) => {
                let count = values.len() as u64;
                interpolated(count, percent, |rank, _| {
                    near_end(values, rank as usize).unwrap_or_else(|| neighbours(values, rank as usize))
                })
            }
            Self::Sketch(sketch) => {
                interpolated(sketch.count, percent, |rank, last| (sketch.at(rank), sketch.at((rank + 1).min(last))))
            }
            Self::Bins(_) => None,
        }
    }

    /// Counts by power of two, as text.
    pub(super) fn histogram(&self) -> String {
        match self {
            Self::Exact(values) => histogram_of(values),
            Self::Sketch(sketch) => {
                let low = sketch.negative.iter().map(|(_, count)| count).sum::<u64>() + sketch.zero;
                text_of(low, &sketch.powers.iter().collect())
            }
            Self::Bins(_) => text_of(0, &BTreeMap::new()),
        }
    }

    /// What it takes beside its own place.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * 8,
            Self::Sketch(sketch) => sketch.memory_bytes(),
            Self::Bins(bins) => bins.memory_bytes(),
        }
    }
}

/// A percentile of values, none of them NaN, which are put in order in a room.
pub(super) fn percentile_of(values: &[f64], percent: f64, room: &mut Vec<f64>) -> Option<f64> {
    interpolated(values.len() as u64, percent, |rank, _| {
        near_end(values, rank as usize).unwrap_or_else(|| {
            room.clear();
            room.extend_from_slice(values);
            neighbours(room, rank as usize)
        })
    })
}

/// A percentile of so many values, given those of a rank and of the one after it; they are told the last rank.
fn interpolated(count: u64, percent: f64, at: impl FnOnce(u64, u64) -> (f64, f64)) -> Option<f64> {
    let last = count.checked_sub(1)?;
    let (rank, part) = place_of(percent, last);
    let (low, high) = at(rank, last);
    // Equal ends stay what they are, also infinities.
    Some(if part == 0.0 || low == high { low + 0.0 } else { low + part * (high - low) })
}

/// Counts of values by power of two, as text.
pub(super) fn histogram_of(values: &[f64]) -> String {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    let positive = values.iter().filter(|value| **value > 0.0);
    positive.clone().for_each(|value| *counts.entry(power_of(*value)).or_default() += 1);
    text_of(values.len() as u64 - positive.count() as u64, &counts)
}

/// Counts of what is not above zero, and by power of two.
fn text_of(low: u64, counts: &BTreeMap<i32, u64>) -> String {
    let mut parts: Vec<String> = (low > 0).then(|| format!("(..0]:{low}")).into_iter().collect();
    parts.extend(counts.iter().map(|(power, count)| match *power {
        INFINITE_POWER => format!("[inf]:{count}"),
        power => format!("[{},{}):{count}", two_to(power), two_to(power + 1)),
    }));
    parts.join(" ")
}

/// The values of a rank and of the one after it (of the last rank the value itself), where the rank lies near the last.
fn near_end(values: &[f64], rank: usize) -> Option<(f64, f64)> {
    // The values there are enough: what lies how far from the end is known.
    let behind = values.len() - rank;
    match behind {
        1..=4 => Some(from_highest::<4>(values, behind)),
        5..=NEAR_END => Some(from_highest::<NEAR_END>(values, behind)),
        _ => None,
    }
}

/// The values of a rank and of the one after it, in any order of the values; they are left in another.
fn neighbours(values: &mut [f64], rank: usize) -> (f64, f64) {
    let (_, low, above) = values.select_nth_unstable_by(rank, f64::total_cmp);
    let low = *low;
    (low, above.iter().copied().reduce(f64::min).unwrap_or(low))
}

/// Of the `K` highest values the one that `behind` of them, itself among them, are not below, and the next higher one.
fn from_highest<const K: usize>(values: &[f64], behind: usize) -> (f64, f64) {
    // Each value goes down the list and is exchanged for what is lower: no branch hangs on the values.
    let mut highest = [f64::NEG_INFINITY; K];
    for value in values {
        let mut value = *value;
        for place in &mut highest {
            let (higher, lower) = if value > *place { (value, *place) } else { (*place, value) };
            (*place, value) = (higher, lower);
        }
    }
    (highest[behind - 1], highest[behind.saturating_sub(2)])
}

/// Where a percentile lies among ranks from 0 to `last`: the rank at or below it, and how far it is to the next. The percent
/// counts as the decimal number that it was written as, so that places that are whole come out whole.
fn place_of(percent: f64, last: u64) -> (u64, f64) {
    let percent = percent.clamp(0.0, 100.0);
    // A whole number of thousandths that divides to the same float is that decimal number, as its text would say.
    let thousandths = (percent * 1e3).round();
    if thousandths / 1e3 == percent
        && let Some(place) = last.checked_mul(thousandths as u64)
    {
        return (place / 100_000, (place % 100_000) as f64 / 1e5);
    }
    let text = percent.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    // 18 decimals of a percent and 2^64 ranks stay below 2^128.
    match format!("{whole}{decimals}").parse::<u128>() {
        Ok(number) if decimals.len() <= 18 => {
            let hundred = 100 * 10_u128.pow(decimals.len() as u32);
            let place = number * u128::from(last);
            ((place / hundred) as u64, (place % hundred) as f64 / hundred as f64)
        }
        _ => {
            let place = percent / 100.0 * last as f64;
            (place.floor() as u64, place.fract())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::sketch::RELATIVE_ERROR;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::default();
        distribution.extend(values);
        distribution
    }

    #[test]
    fn known_quantiles() {
        // Type 7 of Hyndman and Fan, as R's default: quantile(c(1,2,3,4), .25) is 1.75.
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]).percentile(25.0), Some(1.75));
        assert_eq!(of(&[5.0]).percentile(90.0), Some(5.0));
        assert_eq!(of(&[]).percentile(50.0), None);
        assert_eq!(of(&[1.0, f64::NAN, 3.0]).percentile(50.0), Some(2.0));
        assert_eq!(of(&[0.5, 3.0, 2.0, -1.0]).histogram(), "(..0]:1 [0.5,1):1 [2,4):2");
    }

    #[test]
    fn whole_places_are_whole_whatever_the_percent() {
        // 1,001 values that are their own rank: every tenth of a percent is one of them.
        let mut values = of(&(0..=1_000).map(f64::from).collect::<Vec<f64>>());
        for tenth in 0..=1_000 {
            let percent: f64 = format!("{}.{}", tenth / 10, tenth % 10).parse().unwrap();
            assert_eq!(values.percentile(percent), Some(f64::from(tenth)), "p{percent}");
        }
        assert_eq!(place_of(99.999_99, 10_000_000), (9_999_999, 0.0));
        assert_eq!(place_of(100.0, 7), (7, 0.0));
        assert_eq!(place_of(1e-30, 5).0, 0);
    }

    #[test]
    fn histograms_are_exact_however_many_values_there_are() {
        let below = f64::from_bits(8.0_f64.to_bits() - 1);
        for times in [1, 30_000] {
            let mut distribution = Distribution::default();
            for value in [8.0, below, 1.0, f64::from_bits(1), f64::MAX, f64::INFINITY, -3.0] {
                distribution.extend(&vec![value; times]);
            }
            let (least, next) = (f64::from_bits(1), f64::from_bits(2));
            let top = 2.0_f64.powi(1_023);
            assert_eq!(
                distribution.histogram(),
                format!(
                    "(..0]:{times} [{least},{next}):{times} [1,2):{times} [4,8):{times} [8,16):{times} [{top},inf):{times} [inf]:{times}"
                )
            );
        }
    }

    proptest! {
        #[test]
        fn percentiles_of_few_values_are_those_of_sorted_ones(
            values in prop::collection::vec(prop_oneof![-3.0_f64..3.0, (-3_i32..3).prop_map(f64::from), Just(-0.0), Just(f64::INFINITY)], 1..150),
            percent in 0.0_f64..=100.0,
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for percent in [percent, 0.0, 1.0, 50.0, 95.0, 99.0, 100.0] {
                let place = percent / 100.0 * (sorted.len() - 1) as f64;
                let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
                let expected = if low == high { low } else { low + place.fract() * (high - low) };
                let found = of(&values).percentile(percent).unwrap();
                prop_assert!(found == expected || (found - expected).abs() <= 1e-12, "p{percent} of {values:?}: {found}, {expected}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_sketch_is_within_its_error_and_knows_no_order(seed: u64, cut in 1_usize..70_000, percent in 0.0_f64..100.0) {
            let mut state = seed | 1;
            let values: Vec<f64> = (0..80_000).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) as f64 / 1e6 - 500.0) * 1.5
            }).collect();
            let mut whole = of(&values);
            let (mut left, mut right) = (of(&values[..cut]), of(&values[cut..]));
            right.merge(of(&values[..cut]));
            left.merge(of(&values[cut..]));
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let place = percent / 100.0 * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            let quantile = whole.percentile(percent).unwrap();
            let error = |value: f64| value.abs() * RELATIVE_ERROR * 1.000_001;
            prop_assert!(low - error(low) <= quantile && quantile <= high + error(high));
            prop_assert_eq!(left.percentile(percent).unwrap().to_bits(), quantile.to_bits());
            prop_assert_eq!(right.percentile(percent).unwrap().to_bits(), quantile.to_bits());
        }
    }
}
