//! Trend statistics: least squares, Theil-Sen, and the Mann-Kendall test, pre-whitened.
//!
//! Pre-whitening (von Storch and Navarra, 1995, after the form of Kulkarni and von Storch): the lag-1 autocorrelation of the
//! series, as it stands, is taken off before the test, since the plain test calls 32% of trendless AR(0.6) series a trend at a
//! nominal 5% (measured; see the false-alarm test below).

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::error::Result;
use crate::store::Progress;

use super::looks::{ROWS_AT_ONCE, look};

/// A series with more pairs than this (2,000 points have as many) takes this many of them.
const PAIRS_MAX: usize = 2_000_000;

/// A straight line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) intercept: f64,
    /// The 95% interval of the slope, its samples' autocorrelation taken into account.
    pub(super) low: f64,
    pub(super) high: f64,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The lag-1 autocorrelation of residuals.
fn autocorrelation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let variance: f64 = values.iter().map(|value| (value - centre) * (value - centre)).sum();
    if variance == 0.0 {
        return 0.0;
    }
    values.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum::<f64>() / variance
}

/// Least squares; `None` for fewer than three points, or points at one instant.
pub(super) fn least_squares(x: &[f64], y: &[f64]) -> Option<Line> {
    let count = x.len();
    if count < 3 {
        return None;
    }
    let (x_mean, y_mean) = (mean(x), mean(y));
    let xx: f64 = x.iter().map(|x| (x - x_mean) * (x - x_mean)).sum();
    if xx == 0.0 {
        return None;
    }
    let xy: f64 = x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let slope = xy / xx;
    let intercept = y_mean - slope * x_mean;
    let residuals: Vec<f64> = x.iter().zip(y).map(|(x, y)| y - intercept - slope * x).collect();
    let correlation = autocorrelation(&residuals).clamp(0.0, 0.99);
    // An AR(1) series of n points tells as much as n (1 - r) / (1 + r) independent ones.
    let effective = (count as f64 * (1.0 - correlation) / (1.0 + correlation)).max(3.0);
    let variance = residuals.iter().map(|residual| residual * residual).sum::<f64>() / (count as f64 - 2.0);
    let error = (variance / xx * count as f64 / effective).sqrt();
    let reach = StudentsT::new(0.0, 1.0, (effective - 2.0).max(1.0)).map_or(f64::NAN, |t| t.inverse_cdf(0.975)) * error;
    Some(Line { slope, intercept, low: slope - reach, high: slope + reach })
}

/// The median of the slopes of all pairs. A series with more than [`PAIRS_MAX`] takes so many, spread evenly over all choices of two
/// points: the points of Roberts' R2 sequence ("The unreasonable effectiveness of quasirandom sequences", 2018), whose two
/// coordinates name the two points. Neither the distance nor the phase of the pairs has a period, so no cycle of the series is
/// seen from one side only.
pub(super) fn theil_sen(x: &[f64], y: &[f64]) -> Option<f64> {
    let count = x.len();
    let pairs = count * count.saturating_sub(1) / 2;
    let mut slopes = Vec::with_capacity(pairs.min(PAIRS_MAX));
    let mut add = |first: usize, second: usize| {
        let apart = x[second] - x[first];
        if apart != 0.0 {
            slopes.push((y[second] - y[first]) / apart);
        }
    };
    if pairs <= PAIRS_MAX {
        (0..count).for_each(|first| (first + 1..count).for_each(|second| add(first, second)));
    } else {
        // 1/g and 1/g^2 of 2^64, where g^3 = g + 1.
        let (mut u, mut v) = (1_u64 << 63, 1_u64 << 63);
        let point = |part: u64| ((u128::from(part) * count as u128) >> 64) as usize;
        for _ in 0..PAIRS_MAX {
            (u, v) = (u.wrapping_add(13_925_035_116_211_876_495), v.wrapping_add(10_511_698_010_929_265_437));
            let (one, other) = (point(u), point(v));
            add(one.min(other), one.max(other));
        }
    }
    median(slopes)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    Some(if even {
        below.iter().copied().max_by(f64::total_cmp).map_or(upper, |low| low.midpoint(upper))
    } else {
        upper
    })
}

/// The p-value of the pre-whitened Mann-Kendall test, two-sided; `None` for fewer than eight points.
///
/// The correlation is that of the series as it stands (von Storch 1995), not of what a fitted trend leaves: a trend fitted to a
/// correlated null takes correlation away with it, and at AR 0.9 the false alarms rise from 6% to 9%.
pub(super) fn p_value(y: &[f64], progress: Option<&Progress>) -> Result<Option<f64>> {
    if y.len() < 8 {
        return Ok(None);
    }
    let correlation = autocorrelation(y);
    let whitened: Vec<f64> = y.windows(2).map(|pair| pair[1] - correlation * pair[0]).collect();
    plain_p_value(whitened, progress)
}

/// Kendall's score: pairs that rise less pairs that fall. By a merge sort that counts falls on the way, n log n, and leaves the values sorted.
fn score(values: &mut [f64], progress: Option<&Progress>) -> Result<i64> {
    let pairs = |count: usize| (count as i64) * (count as i64 - 1) / 2;
    let falling = sort_counting(values, &mut vec![0.0; values.len()], progress)?;
    let equal: i64 = values.chunk_by(|a, b| a == b).map(|run| pairs(run.len())).sum();
    Ok(pairs(values.len()) - equal - 2 * falling)
}

/// Sorts values, and counts the pairs of which the first is greater.
fn sort_counting(values: &mut [f64], room: &mut [f64], progress: Option<&Progress>) -> Result<i64> {
    let middle = values.len() / 2;
    if middle == 0 {
        return Ok(0);
    }
    if middle >= ROWS_AT_ONCE {
        look(progress)?;
    }
    let (left, right) = values.split_at_mut(middle);
    let (room_left, room_right) = room.split_at_mut(middle);
    let mut falling = sort_counting(left, room_left, progress)? + sort_counting(right, room_right, progress)?;
    let (mut from_left, mut from_right) = (0, 0);
    for place in room.iter_mut() {
        let takes_right = from_left == left.len() || (from_right < right.len() && right[from_right] < left[from_left]);
        if takes_right {
            *place = right[from_right];
            from_right += 1;
            falling += (left.len() - from_left) as i64;
        } else {
            *place = left[from_left];
            from_left += 1;
        }
    }
    values.copy_from_slice(room);
    Ok(falling)
}

/// The p-value of the Mann-Kendall test, with the correction for ties.
fn plain_p_value(mut values: Vec<f64>, progress: Option<&Progress>) -> Result<Option<f64>> {
    let count = values.len() as f64;
    if values.iter().any(|value| value.is_nan()) {
        return Ok(None);
    }
    let score = score(&mut values, progress)?;
    let ties: f64 = values
        .chunk_by(|a, b| a == b)
        .map(|run| run.len() as f64)
        .map(|length| length * (length - 1.0) * (2.0 * length + 5.0))
        .sum();
    let variance = (count * (count - 1.0) * (2.0 * count + 5.0) - ties) / 18.0;
    if variance <= 0.0 {
        return Ok(Some(1.0));
    }
    let z = (score.abs() - 1).max(0) as f64 / variance.sqrt();
    Ok(Normal::new(0.0, 1.0).ok().map(|normal| (2.0 * normal.sf(z)).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic normal numbers: sums of twelve uniform ones.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
        fn uniform(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    fn series(noise: &mut Noise, count: usize, correlation: f64, drift: f64) -> Vec<f64> {
        let scale = (1.0 - correlation * correlation).sqrt();
        let mut level = noise.next();
        (0..count)
            .map(|place| {
                level = correlation * level + scale * noise.next();
                level + drift * place as f64 / count as f64
            })
            .collect()
    }

    #[test]
    fn false_alarms_stay_near_their_nominal_rate_on_autocorrelated_nulls() {
        for correlation in [0.0, 0.3, 0.6, 0.8, 0.9] {
            let mut noise = Noise(0x2545_f491_4f6c_dd1d);
            let alarms = (0..400)
                .filter(|_| p_value(&series(&mut noise, 200, correlation, 0.0), None).unwrap().unwrap() < 0.05)
                .count();
            // 0.08 of 400 is 32; three standard errors of a true 0.05 reach 0.083.
            assert!(alarms <= 33, "{alarms} of 400 at AR {correlation}");
        }
    }

    #[test]
    fn a_drift_of_two_deviations_is_found() {
        for correlation in [0.0, 0.3, 0.6] {
            let mut noise = Noise(88_172_645_463_325_252);
            let found = (0..200)
                .filter(|_| p_value(&series(&mut noise, 200, correlation, 2.0), None).unwrap().unwrap() < 0.05)
                .count();
            assert!(found >= 180, "{found} of 200 at AR {correlation}");
        }
    }

    #[test]
    fn scores_are_those_of_all_pairs() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        for count in [0, 1, 2, 3, 17, 100, 257] {
            let values: Vec<f64> = (0..count).map(|_| (noise.next() * 3.0).round()).collect();
            let mut by_hand = 0;
            for (place, first) in values.iter().enumerate() {
                for second in &values[place + 1..] {
                    by_hand += i64::from(second > first) - i64::from(second < first);
                }
            }
            assert_eq!(score(&mut values.clone(), None).unwrap(), by_hand, "{values:?}");
        }
    }

    #[test]
    fn long_series_are_sampled_without_a_bias() {
        // A sawtooth of any period on a slope: what its cycles add to slopes has no preferred side.
        for (count, period) in [(3_000, 24), (8_760, 24), (8_760, 168), (35_040, 96), (20_000, 2)] {
            let x: Vec<f64> = (0..count).map(f64::from).collect();
            let y: Vec<f64> = (0..count)
                .map(|place| f64::from(place) * 0.01 + f64::from(place % period) / f64::from(period))
                .collect();
            let found = theil_sen(&x, &y).unwrap();
            assert!((found - 0.01).abs() < 1e-5, "{found} of {count} in {period}");
        }
    }

    #[test]
    fn lines_are_recovered() {
        let x: Vec<f64> = (0..50).map(|day| f64::from(day) * 0.5).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 0.25 * x).collect();
        let line = least_squares(&x, &y).unwrap();
        assert!((line.slope + 0.25).abs() < 1e-12 && (line.intercept - 3.0).abs() < 1e-12);
        assert!((theil_sen(&x, &y).unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(least_squares(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(p_value(&y[..5], None).unwrap(), None);
        // Theil-Sen does not move for one wild point; least squares does.
        let mut wild = y.clone();
        wild[49] = 1_000.0;
        assert!((theil_sen(&x, &wild).unwrap() + 0.25).abs() < 1e-9);
    }

    #[test]
    fn the_interval_covers_the_true_slope() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        for correlation in [0.0, 0.6] {
            let mut noise = Noise(7_777_777_777_777);
            let covered = (0..200)
                .filter(|_| {
                    let line = least_squares(&x, &series(&mut noise, 100, correlation, 2.0)).unwrap();
                    line.low <= 0.02 && 0.02 <= line.high
                })
                .count();
            assert!(covered >= 176, "{covered} of 200 at AR {correlation}");
        }
    }
}
