//! A sketch of many values: quantiles within 1% of a value of that rank.
//!
//! It is that of Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees" (VLDB
//! 2019): values fall into buckets whose bounds grow by a factor. It depends on the values alone: whichever parts were merged first, the
//! buckets are the same. Powers of two are counted beside the buckets, so that a histogram is exact however many values there are.

/// The relative error of the sketch.
pub const RELATIVE_ERROR: f64 = 0.01;
/// How many values a sketch remembers the buckets of: a power of two.
const KNOWN_VALUES: usize = 512;

/// Counts by bucket.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    pub(super) negative: Counts,
    pub(super) zero: u64,
    positive: Counts,
    /// Positive values by the power of two at or below them.
    pub(super) powers: Counts,
    pub(super) count: u64,
    /// Values by their bits, with their buckets: samples repeat, and logarithms are dear.
    known: Vec<(u64, i32)>,
}

/// Counts of buckets that lie close together.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
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
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        let counted = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(place, count)| (self.first + place as i32, *count))
    }

    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(bucket, count)| self.add(bucket, count));
    }
}

/// The exponent of an infinity.
pub(super) const INFINITE_POWER: i32 = 1_024;

/// The power of two at or below a positive value, by its bits: a logarithm would round.
pub(super) fn power_of(value: f64) -> i32 {
    let bits = value.to_bits();
    match (bits >> 52) as i32 {
        0 => 63 - bits.leading_zeros() as i32 - 1_074,
        exponent => exponent - 1_023,
    }
}

/// Two to a power, subnormal ones and infinity too.
pub(super) fn two_to(power: i32) -> f64 {
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
    pub(super) fn add(&mut self, value: f64, count: u64) {
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

    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.zero += other.zero;
        self.powers.merge(&other.powers);
        self.positive.merge(&other.positive);
        self.negative.merge(&other.negative);
    }

    /// The value of a rank, from 0.
    pub(super) fn at(&self, rank: u64) -> f64 {
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

    /// What it takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        let counts = [&self.positive, &self.negative, &self.powers];
        let buckets: usize = counts.iter().map(|counts| counts.counts.capacity()).sum();
        size_of::<Self>() + buckets * size_of::<u64>() + self.known.capacity() * size_of::<(u64, i32)>()
    }
}
