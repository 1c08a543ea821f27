//! The sum and the extremes of values.
//!
//! Guarantees: as long as all of them are whole numbers, they are kept as such, and exact; from the first float on they are floats,
//! with a compensated sum. A zero has one form.

use crate::segment::CompensatedSum;

/// The sum and the extremes of values, none of them NaN; where there are none, the extremes cross.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Totals {
    Wholes { sum: i128, min: i64, max: i64 },
    Floats { sum: CompensatedSum, min: f64, max: f64 },
}

impl Default for Totals {
    fn default() -> Self {
        Self::Wholes { sum: 0, min: i64::MAX, max: i64::MIN }
    }
}

impl Totals {
    /// Those of floats.
    pub(super) fn floats(sum: CompensatedSum, (min, max): (f64, f64)) -> Self {
        Self::Floats { sum, min: min + 0.0, max: max + 0.0 }
    }

    /// Adds those of other values; these are of `count` values so far.
    #[inline]
    pub(super) fn merge(&mut self, count: u64, other: &Self) {
        match (&mut *self, other) {
            (ours, theirs) if count == 0 => *ours = *theirs,
            (Self::Floats { sum, min, max }, Self::Floats { sum: their_sum, min: their_min, max: their_max }) => {
                sum.merge(*their_sum);
                *min = if their_min < min { *their_min } else { *min };
                *max = if their_max > max { *their_max } else { *max };
            }
            (Self::Wholes { sum, min, max }, Self::Wholes { sum: their_sum, min: their_min, max: their_max }) => {
                *sum += their_sum;
                (*min, *max) = ((*min).min(*their_min), (*max).max(*their_max));
            }
            (ours, theirs) => {
                *ours = Self::floats(ours.compensated(), ours.extremes());
                ours.merge(count, &Self::floats(theirs.compensated(), theirs.extremes()));
            }
        }
    }

    /// The extremes as floats.
    pub(super) fn extremes(&self) -> (f64, f64) {
        match self {
            Self::Wholes { min, max, .. } => (*min as f64, *max as f64),
            Self::Floats { min, max, .. } => (*min, *max),
        }
    }

    fn compensated(&self) -> CompensatedSum {
        match self {
            Self::Floats { sum, .. } => *sum,
            Self::Wholes { sum, .. } => {
                // Two floats hold what one is short of.
                let (near, mut both) = (*sum as f64, CompensatedSum::default());
                both.add(near);
                both.add(sum.wrapping_sub(near as i128) as f64);
                both
            }
        }
    }

    /// The sum as a float.
    pub(super) fn sum(&self) -> f64 {
        match self {
            Self::Wholes { sum, .. } => *sum as f64,
            Self::Floats { sum, .. } => sum.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wholes(values: &[i64]) -> Totals {
        let sum = values.iter().map(|value| i128::from(*value)).sum();
        let (min, max) = (values.iter().min().copied(), values.iter().max().copied());
        Totals::Wholes { sum, min: min.unwrap_or(i64::MAX), max: max.unwrap_or(i64::MIN) }
    }

    proptest! {
        #[test]
        fn wholes_stay_exact_and_floats_take_them_in(
            parts in prop::collection::vec(prop::collection::vec(any::<i64>(), 1..5), 1..5),
            float in -1e3_f64..1e3,
        ) {
            let (mut merged, mut count) = (Totals::default(), 0);
            for part in &parts {
                merged.merge(count, &wholes(part));
                count += part.len() as u64;
            }
            let all = parts.concat();
            prop_assert_eq!(merged, wholes(&all));
            let exact: i128 = all.iter().map(|value| i128::from(*value)).sum();
            let mut single = CompensatedSum::default();
            single.add(float);
            let floats = Totals::floats(single, (float, float));
            for (first, second, before) in [(merged, floats, count), (floats, merged, 1)] {
                let mut mixed = first;
                mixed.merge(before, &second);
                // A float holds the sum of all to half a unit in its last place, whatever cancelled.
                let expected = exact as f64 + float;
                let error = (mixed.sum() - expected).abs();
                prop_assert!(error <= expected.abs() * 1e-15 + 1e-3, "{} instead of {expected}", mixed.sum());
                let (min, max) = wholes(&all).extremes();
                prop_assert_eq!(mixed.extremes(), (min.min(float), max.max(float)));
            }
        }
    }
}
