//! Chance: an independent stream for every device and purpose, so that devices can be made in any order.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// What a stream is drawn for. The numbers are part of what a seed means: they never change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    World = 1,
    Faults = 2,
    Identity = 3,
    Firmware = 4,
    Failures = 5,
    Signals = 6,
    Logs = 7,
    Arrival = 8,
    Maintenance = 9,
    Late = 10,
}

/// A stream of chance.
#[derive(Debug, Clone)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, purpose: Purpose, subject: u32) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream((purpose as u64) << 32 | u64::from(subject));
        Self(generator)
    }

    /// Uniform from 0 to 1, 1 excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Uniform between two bounds.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform between two whole bounds, the upper excluded; the lower where the range is empty.
    pub(crate) fn whole(&mut self, low: i64, high: i64) -> i64 {
        if high > low { self.0.random_range(low..high) } else { low }
    }

    /// A place in a list of `length`.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.whole(0, length as i64) as usize
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Normal with mean 0 and deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        self.0.sample(StandardNormal)
    }

    /// Exponential with a mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A place in a list of weights, with chances in their proportion.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (place, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return place;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// Puts a list into random order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.place(last + 1));
        }
    }
}
