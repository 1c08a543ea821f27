//! The values of a group: all of them while they are few, then a sketch.
//!
//! The sketch is that of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees" (VLDB 2019): values fall into buckets whose bounds grow by a factor, so that a quantile is within 1% of a value of
//! that rank. It depends on the values alone: whichever parts were merged first, the buckets are the same. Whether a group
//! is exact is decided on its total count, since a part that is too large makes the whole too large.

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
    count: u64,
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
            *self.positive.entry(bucket()).or_default() += count;
        } else {
            *self.negative.entry(bucket()).or_default() += count;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zero += other.zero;
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

    /// The quantile, by linear interpolation between ranks.
    pub(super) fn quantile(&mut self, share: f64) -> Option<f64> {
        if let Self::Exact(values) = self {
            values.sort_unstable_by(f64::total_cmp);
        }
        let count = match self {
            Self::Exact(values) => values.len() as u64,
            Self::Sketch(sketch) => sketch.count,
        };
        let last = count.checked_sub(1)?;
        let place = share.clamp(0.0, 1.0) * last as f64;
        let (below, part) = (place.floor() as u64, place - place.floor());
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
        let mut low = 0;
        let mut add = |value: f64, count: u64| {
            if value > 0.0 {
                *counts.entry(value.log2().floor().clamp(-1_100.0, 1_100.0) as i32).or_default() += count;
            } else {
                low += count;
            }
        };
        match self {
            Self::Exact(values) => values.iter().for_each(|value| add(*value, 1)),
            Self::Sketch(sketch) => {
                add(-1.0, sketch.negative.values().sum::<u64>() + sketch.zero);
                sketch
                    .positive
                    .iter()
                    .for_each(|(bucket, count)| add(2.0 * factor().powi(*bucket) / (factor() + 1.0), *count));
            }
        }
        let mut parts: Vec<String> = (low > 0).then(|| format!("(..0]:{low}")).into_iter().collect();
        parts.extend(
            counts
                .iter()
                .map(|(power, count)| format!("[{},{}):{count}", 2.0_f64.powi(*power), 2.0_f64.powi(power + 1))),
        );
        parts.join(" ")
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * 8,
            Self::Sketch(sketch) => (sketch.positive.len() + sketch.negative.len()) * 24 + 64,
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
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]).quantile(0.25), Some(1.75));
        assert_eq!(of(&[5.0]).quantile(0.9), Some(5.0));
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[1.0, f64::NAN, 3.0]).quantile(0.5), Some(2.0));
        assert_eq!(of(&[0.5, 3.0, 2.0, -1.0]).histogram(), "(..0]:1 [0.5,1):1 [2,4):2");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn a_sketch_is_within_its_error_and_knows_no_order(seed: u64, cut in 1_usize..70_000, share in 0.0_f64..1.0) {
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
            let place = share * (sorted.len() - 1) as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            let quantile = whole.quantile(share).unwrap();
            let error = |value: f64| value.abs() * RELATIVE_ERROR * 1.000_001;
            prop_assert!(low - error(low) <= quantile && quantile <= high + error(high));
            prop_assert_eq!(left.quantile(share).unwrap().to_bits(), quantile.to_bits());
            prop_assert_eq!(right.quantile(share).unwrap().to_bits(), quantile.to_bits());
        }
    }
}
