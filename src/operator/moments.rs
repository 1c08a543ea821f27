//! Moments of samples: how far values lie from their mean, and how they go with time.
//!
//! They merge by Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), where the
//! distance of two means in time is that of whole nanoseconds plus what lies beyond them: days since 1970 as one float would be a
//! third of a microsecond coarse.

use crate::segment::CompensatedSum;
use crate::time::DAY_NS;

/// Moments of samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) m2: f64,
    /// The mean instant lies `x_mean` days after `x_anchor`, which is within a nanosecond of it once merged.
    pub(super) x_anchor: i64,
    pub(super) x_mean: f64,
    pub(super) x_m2: f64,
    pub(super) xy: f64,
}

/// Days between two instants.
fn days(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64 / DAY_NS as f64
}

impl Moments {
    pub(super) fn merge(&mut self, other: &Self) {
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        if self.count == 0 {
            *self = *other;
        } else {
            let apart = other.mean - self.mean;
            let x_apart = days(self.x_anchor, other.x_anchor) + (other.x_mean - self.x_mean);
            let weight = ours * theirs / total;
            self.m2 += other.m2 + apart * apart * weight;
            self.x_m2 += other.x_m2 + x_apart * x_apart * weight;
            self.xy += other.xy + apart * x_apart * weight;
            self.mean += apart * theirs / total;
            self.x_mean += x_apart * theirs / total;
            self.count += other.count;
        }
        // The anchor goes with the mean, so that what is beside it stays small and exact.
        let whole_ns = (self.x_mean * DAY_NS as f64).round();
        self.x_anchor = self.x_anchor.saturating_add(whole_ns as i64);
        self.x_mean -= whole_ns / DAY_NS as f64;
    }
}

/// Moments of values whose sum is known; NaN are skipped.
pub(super) fn moments(times: &[i64], values: &[f64], sum: f64, (first, count): (usize, u64)) -> Moments {
    // From the first sample that counts on: an instant far from all of them would make their distances coarse.
    let start = times[first];
    let counted = || times.iter().zip(values).filter(|(_, value)| !value.is_nan());
    let mut x_sum = CompensatedSum::default();
    counted().for_each(|(time, _)| x_sum.add(days(start, *time)));
    let (mean, x_mean) = (sum / count as f64, x_sum.value() / count as f64);
    let mut moments = Moments { count, mean, m2: 0.0, x_anchor: start, x_mean, x_m2: 0.0, xy: 0.0 };
    for (time, value) in counted() {
        let (dx, dv) = (days(start, *time) - x_mean, value - mean);
        moments.m2 += dv * dv;
        moments.x_m2 += dx * dx;
        moments.xy += dx * dv;
    }
    moments
}
