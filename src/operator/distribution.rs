//! The values of a group: all of them while they are few, then a sketch.
//!
//! The sketch is that of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees" (VLDB 2019): values fall into buckets whose bounds grow by a factor, so that a quantile is within 1% of a value of
//! that rank. It depends on the values alone: whichever parts were merged first, the buckets are the same. Whether a group
//! is exact is decided on its total count, since a part that is too large makes the whole too large. Powers of two are counted
//! beside the buckets, so that a histogram is exact however many values there are.

use std::collections::BTreeMap;

use super::bins::BinCounts;

/// The most values that are kept as they are.
pub const EXACT_MAX: usize = 65_536;
/// The relative error of the sketch.
pub const RELATIVE_ERROR: f64 = 0.01;
/// Ranks that lie so close to the last are found by keeping the values beyond them; others by partitions.
const NEAR_END: usize = 8;
/// How many values a sketch remembers the buckets of: a power of two.
const KNOWN_VALUES: usize = 512;

/// The values of a group, none of them NaN.
#[derive(Debug, Clone)]
pub(super) enum Distribution {
    Exact(Vec<f64>),
    Sketch(Box<Sketch>),
    /// Only how many lie in each of some bins.
    Bins(BinCounts),
}

/// Counts by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    negative: Counts,
    zero: u64,
    positive: Counts,
    /// Positive values by the power of two at or below them.
    powers: Counts,
    count: u64,
    /// Values by their bits, with their buckets: samples repeat, and logarithms are dear.
    known: Vec<(u64, i32)>,
}

/// Counts of buckets that lie close together.
#[derive(Debug, Clone, Default)]
struct Counts {
    first: i32,
    counts: Vec<u64>,
}

impl Counts {
    fn add(&mut self, bucket: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = (self.first - bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let place = (bucket - self.first) as usize;
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += count;
    }

    /// Buckets that are not empty, rising.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(place, count)| (self.first + place as i32, *count))
    }

    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(bucket, count)| self.add(bucket, count));
    }
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
        if value == 0.0 {
            self.zero += count;
            return;
        }
        let bucket = self.bucket(value.abs());
        if value > 0.0 {
            self.powers.add(power_of(value), count);
            self.positive.add(bucket, count);
        } else {
            self.negative.add(bucket, count);
        }
    }

    /// The bucket of a positive value.
    fn bucket(&mut self, value: f64) -> i32 {
        let bits = value.to_bits();
        // The positive value of these bits is none: zero.
        self.known.resize(KNOWN_VALUES, (0, 0));
        let place = (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - KNOWN_VALUES.trailing_zeros())) as usize;
        if self.known[place].0 != bits {
            let bucket = (value.ln() / factor().ln()).ceil().clamp(-40_000.0, 40_000.0) as i32;
            self.known[place] = (bits, bucket);
        }
        self.known[place].1
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zero += other.zero;
        self.powers.merge(&other.powers);
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    /// The value of a rank, from 0.
    fn at(&self, rank: u64) -> f64 {
        let middle = |bucket: i32| 2.0 * factor().powi(bucket) / (factor() + 1.0);
        let mut before = 0;
        for (bucket, count) in self.negative.iter().rev() {
            before += count;
            if rank < before {
                return -middle(bucket);
            }
        }
        before += self.zero;
        if rank < before {
            return 0.0;
        }
        for (bucket, count) in self.positive.iter() {
            before += count;
            if rank < before {
                return middle(bucket);
            }
        }
        self.positive.iter().next_back().map_or(0.0, |(bucket, _)| middle(bucket))
    }
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
            if values.iter().any(|value| value.is_nan()) {
                kept.extend(values.iter().filter(|value| !value.is_nan()));
            } else {
                kept.extend_from_slice(values);
            }
            return;
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
        let count = match self {
            Self::Exact(values) => values.len() as u64,
            Self::Sketch(sketch) => sketch.count,
            Self::Bins(_) => return None,
        };
        let last = count.checked_sub(1)?;
        let (below, part) = place_of(percent, last);
        let above = (below + 1).min(last);
        let (low, high) = match self {
            Self::Exact(values) => neighbours(values, below as usize),
            Self::Sketch(sketch) => (sketch.at(below), sketch.at(above)),
            Self::Bins(_) => return None,
        };
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
                counts.extend(sketch.powers.iter());
                sketch.negative.iter().map(|(_, count)| count).sum::<u64>() + sketch.zero
            }
            Self::Bins(_) => 0,
        };
        let mut parts: Vec<String> = (low > 0).then(|| format!("(..0]:{low}")).into_iter().collect();
        parts.extend(counts.iter().map(|(power, count)| match *power {
            INFINITE_POWER => format!("[inf]:{count}"),
            power => format!("[{},{}):{count}", two_to(power), two_to(power + 1)),
        }));
        parts.join(" ")
    }

    /// What it takes beside its own place.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Exact(values) => values.capacity() * 8,
            Self::Sketch(sketch) => {
                let counts = [&sketch.positive, &sketch.negative, &sketch.powers];
                let buckets: usize = counts.iter().map(|counts| counts.counts.capacity()).sum();
                size_of::<Sketch>() + buckets * 8 + sketch.known.capacity() * size_of::<(u64, i32)>()
            }
            Self::Bins(bins) => bins.memory_bytes(),
        }
    }
}

/// The values of a rank and of the one after it (of the last rank the value itself), in any order of the values; they are left in another.
fn neighbours(values: &mut [f64], rank: usize) -> (f64, f64) {
    // Near an end the values there are enough: what lies how far from it is known.
    let behind = values.len() - rank;
    match behind {
        1..=4 => return from_highest::<4>(values, behind),
        5..=NEAR_END => return from_highest::<NEAR_END>(values, behind),
        _ => {}
    }
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
