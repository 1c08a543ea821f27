//! The values of a group: all of them while they are few, then a sketch.
//!
//! The sketch is that of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees" (VLDB 2019): values fall into buckets whose bounds grow by a factor, so that a quantile is within 1% of a value of
//! that rank. It depends on the values alone: whichever parts were merged first, the buckets are the same. Whether a group
//! is exact is decided on its total count, since a part that is too large makes the whole too large. Powers of two are counted
//! beside the buckets, so that a histogram is exact however many values there are.

use std::collections::BTreeMap;

/// The most values that are kept as they are.
pub const EXACT_MAX: usize = 65_536;
/// The relative error of the sketch.
pub const RELATIVE_ERROR: f64 = 0.01;

/// The values of a group, none of them NaN.
#[derive(Debug, Clone)]
pub(super) enum Distribution {
    Exact(Vec<f64>),
    Sketch(Box<Sketch>),
}

/// Counts by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    negative: BTreeMap<i32, u64>,
    zero: u64,
    positive: BTreeMap<i32, u64>,
    /// Positive values by the power of two at or below them.
    powers: BTreeMap<i32, u64>,
    count: u64,
}

/// The exponent of an infinity.
const INFINITE_POWER: i32 = 1_024;

/// The power of two at or below a positive value, by its bits: a logarithm would round.
fn power_of(value: f64) -> i32 {
    let bits = value.to_bits();
    match (bits >> 52) as i32 {
        0 => 63 - bits.leading_zeros() as i32 - 1_074,
        exponent => exponent - 1_023,
    }
}

/// Two to a power, subnormal ones and infinity too.
fn two_to(power: i32) -> f64 {
    match power {
        ..-1_022 => f64::from_bits(1 << (power + 1_074)),
        -1_022..INFINITE_POWER => f64::from_bits(((power + 1_023) as u64) << 52),
        _ => f64::INFINITY,
    }
}

fn factor() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

impl Sketch {
    fn add(&mut self, value: f64, count: u64) {
        self.count += count;
        let bucket = || (value.abs().ln() / factor().ln()).ceil().clamp(-100_000.0, 100_000.0) as i32;
        if value == 0.0 {
            self.zero += count;
        } else if value > 0.0 {
            *self.powers.entry(power_of(value)).or_default() += count;
            *self.positive.entry(bucket()).or_default() += count;
        } else {
            *self.negative.entry(bucket()).or_default() += count;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zero += other.zero;
        other.powers.iter().for_each(|(power, count)| *self.powers.entry(*power).or_default() += count);
        other.positive.iter().for_each(|(bucket, count)| *self.positive.entry(*bucket).or_default() += count);
        other.negative.iter().for_each(|(bucket, count)| *self.negative.entry(*bucket).or_default() += count);
    }

    /// The value of a rank, from 0.
    fn at(&self, rank: u64) -> f64 {
        let middle = |bucket: i32| 2.0 * factor().powi(bucket) / (factor() + 1.0);
        let mut before = 0;
        for (bucket, count) in self.negative.iter().rev() {
            before += count;
            if rank < before {
                return -middle(*bucket);
            }
        }
        before += self.zero;
        if rank < before {
            return 0.0;
        }
        for (bucket, count) in &self.positive {
            before += count;
            if rank < before {
                return middle(*bucket);
            }
        }
        self.positive.keys().next_back().map_or(0.0, |bucket| middle(*bucket))
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distribution {
    /// Adds values; NaN among them are skipped.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = f64>) {
        for value in values.filter(|value| !value.is_nan()) {
            match self {
                Self::Exact(kept) => {
                    kept.push(value);
                    if kept.len() > EXACT_MAX {
                        self.become_sketch();
                    }
                }
                Self::Sketch(sketch) => sketch.add(value, 1),
            }
        }
    }

    fn become_sketch(&mut self) {
        if let Self::Exact(kept) = self {
            let mut sketch = Sketch::default();
            kept.iter().for_each(|value| sketch.add(*value, 1));
            *self = Self::Sketch(Box::new(sketch));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        match other {
            Self::Exact(values) => self.extend(values.into_iter()),
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
        if let Self::Exact(values) = self {
            values.sort_unstable_by(f64::total_cmp);
        }
        let count = match self {
            Self::Exact(values) => values.len() as u64,
            Self::Sketch(sketch) => sketch.count,
        };
        let last = count.checked_sub(1)?;
        let (below, part) = place_of(percent, last);
        let at = |rank: u64| match &*self {
            Self::Exact(values) => values[rank as usize],
            Self::Sketch(sketch) => sketch.at(rank),
        };
        let (low, high) = (at(below), at((below + 1).min(last)));
        // Equal ends stay what they are, also infinities.
        Some(if part == 0.0 || low == high { low + 0.0 } else { low + part * (high - low) })
    }

    /// Counts by power of two, as text.
    pub(super) fn histogram(&self) -> String {
        let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
        let low = match self {
            Self::Exact(values) => {
                let positive = values.iter().filter(|value| **value > 0.0);
                positive.clone().for_each(|value| *counts.entry(power_of(*value)).or_default() += 1);
                values.len() as u64 - positive.count() as u64
            }
            Self::Sketch(sketch) => {
                counts.clone_from(&sketch.powers);
                sketch.negative.values().sum::<u64>() + sketch.zero
            }
        };
        let mut parts: Vec<String> = (low > 0).then(|| format!("(..0]:{low}")).into_iter().collect();
        parts.extend(counts.iter().map(|(power, count)| match *power {
            INFINITE_POWER => format!("[inf]:{count}"),
            power => format!("[{},{}):{count}", two_to(power), two_to(power + 1)),
        }));
        parts.join(" ")
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * 8,
            Self::Sketch(sketch) => (sketch.positive.len() + sketch.negative.len() + sketch.powers.len()) * 24 + 96,
        }
    }
}

/// Where a percentile lies among ranks from 0 to `last`: the rank at or below it, and how far it is to the next. The percent
/// counts as the decimal number that it was written as, so that places that are whole come out whole.
fn place_of(percent: f64, last: u64) -> (u64, f64) {
    let percent = percent.clamp(0.0, 100.0);
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
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Distribution {
        let mut distribution = Distribution::default();
        distribution.extend(values.iter().copied());
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
                distribution.extend(std::iter::repeat_n(value, times));
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
