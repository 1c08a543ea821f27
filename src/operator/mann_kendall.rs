//! Trend statistics: least squares, Theil-Sen, and the Mann-Kendall test, pre-whitened.
//!
//! Pre-whitening (von Storch and Navarra, 1995, after the form of Kulkarni and von Storch): the lag-1 autocorrelation of the
//! series, as it stands, is taken off before the test, since the plain test calls 32% of trendless AR(0.6) series a trend at a
//! nominal 5% (measured; see the false-alarm test below).

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use crate::error::Result;

use super::looks::{Pace, ROWS_AT_ONCE};

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

fn sum(values: impl Iterator<Item = f64>, pace: &mut Pace<'_>) -> Result<f64> {
    let mut total = 0.0;
    for value in values {
        total += value;
        pace.done(1)?;
    }
    Ok(total)
}

/// The lag-1 autocorrelation of so many values.
fn autocorrelation(values: impl Iterator<Item = f64> + Clone, count: usize, pace: &mut Pace<'_>) -> Result<f64> {
    let centre = sum(values.clone(), pace)? / count as f64;
    let variance = sum(values.clone().map(|value| (value - centre) * (value - centre)), pace)?;
    if variance == 0.0 {
        return Ok(0.0);
    }
    let pairs = values.clone().zip(values.skip(1));
    Ok(sum(pairs.map(|(one, next)| (one - centre) * (next - centre)), pace)? / variance)
}

/// Least squares; `None` for fewer than three points, or points at one instant.
pub(super) fn least_squares(x: &[f64], y: &[f64], pace: &mut Pace<'_>) -> Result<Option<Line>> {
    let count = x.len();
    if count < 3 {
        return Ok(None);
    }
    let points = || x.iter().zip(y);
    let x_mean = sum(x.iter().copied(), pace)? / count as f64;
    let y_mean = sum(y.iter().copied(), pace)? / count as f64;
    let xx = sum(x.iter().map(|x| (x - x_mean) * (x - x_mean)), pace)?;
    if xx == 0.0 {
        return Ok(None);
    }
    let xy = sum(points().map(|(x, y)| (x - x_mean) * (y - y_mean)), pace)?;
    let slope = xy / xx;
    let intercept = y_mean - slope * x_mean;
    let residuals = points().map(|(x, y)| y - intercept - slope * x);
    let correlation = autocorrelation(residuals.clone(), count, pace)?.clamp(0.0, 0.99);
    // An AR(1) series of n points tells as much as n (1 - r) / (1 + r) independent ones.
    let effective = (count as f64 * (1.0 - correlation) / (1.0 + correlation)).max(3.0);
    let variance = sum(residuals.map(|residual| residual * residual), pace)? / (count as f64 - 2.0);
    let error = (variance / xx * count as f64 / effective).sqrt();
    let reach = StudentsT::new(0.0, 1.0, (effective - 2.0).max(1.0)).map_or(f64::NAN, |t| t.inverse_cdf(0.975)) * error;
    Ok(Some(Line { slope, intercept, low: slope - reach, high: slope + reach }))
}

/// The median of the slopes of all pairs.
pub(super) fn theil_sen(x: &[f64], y: &[f64], pace: &mut Pace<'_>) -> Result<Option<f64>> {
    median(slopes(x, y, pace)?, pace)
}

/// The slopes of all pairs of points that do not lie at one instant. A series with more than [`PAIRS_MAX`] takes so many, spread evenly over all choices of two
/// points: the points of Roberts' R2 sequence ("The unreasonable effectiveness of quasirandom sequences", 2018), whose two
/// coordinates name the two points. Neither the distance nor the phase of the pairs has a period, so no cycle of the series is
/// seen from one side only.
fn slopes(x: &[f64], y: &[f64], pace: &mut Pace<'_>) -> Result<Vec<f64>> {
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
        for first in 0..count {
            (first + 1..count).for_each(|second| add(first, second));
            pace.done(count - first)?;
        }
    } else {
        // 1/g and 1/g^2 of 2^64, where g^3 = g + 1.
        let (mut u, mut v) = (1_u64 << 63, 1_u64 << 63);
        let point = |part: u64| ((u128::from(part) * count as u128) >> 64) as usize;
        for _ in 0..PAIRS_MAX {
            (u, v) = (u.wrapping_add(13_925_035_116_211_876_495), v.wrapping_add(10_511_698_010_929_265_437));
            let (one, other) = (point(u), point(v));
            add(one.min(other), one.max(other));
            pace.done(1)?;
        }
    }
    Ok(slopes)
}

fn median(mut values: Vec<f64>, pace: &mut Pace<'_>) -> Result<Option<f64>> {
    if values.is_empty() {
        return Ok(None);
    }
    let middle = values.len() / 2;
    let upper = select(&mut values, middle, pace)?;
    if !values.len().is_multiple_of(2) {
        return Ok(Some(upper));
    }
    let mut low = values[0];
    for value in &values[..middle] {
        low = if value.total_cmp(&low).is_gt() { *value } else { low };
        pace.done(1)?;
    }
    Ok(Some(low.midpoint(upper)))
}

/// The value at a place of the order of all; none before that place is greater afterwards. As `select_nth_unstable_by`, with looks on the way: it is
/// narrowed down by values that a sample has at about that place, until few are left.
fn select(values: &mut [f64], place: usize, pace: &mut Pace<'_>) -> Result<f64> {
    let (mut from, mut to) = (0, values.len());
    while to - from > ROWS_AT_ONCE {
        let pivot = sampled(&values[from..to], place - from);
        let less = from + partition(&mut values[from..to], |value| value.total_cmp(&pivot).is_lt(), pace)?;
        if place < less {
            to = less;
            continue;
        }
        from = less + partition(&mut values[less..to], |value| value.total_cmp(&pivot).is_eq(), pace)?;
        if place < from {
            return Ok(pivot);
        }
    }
    let (_, value, _) = values[from..to].select_nth_unstable_by(place - from, f64::total_cmp);
    let value = *value;
    pace.done(to - from)?;
    Ok(value)
}

/// One of many values: which a sample of them has at the same part of its order. Their places come by the golden ratio, so that no period of the values
/// is seen from one side only.
fn sampled(values: &[f64], place: usize) -> f64 {
    const SAMPLE: usize = 512;
    let at = |number: usize| {
        // 2^64 by the golden ratio.
        let part = (number as u64).wrapping_mul(11_400_714_819_323_198_485);
        values[((u128::from(part) * values.len() as u128) >> 64) as usize]
    };
    let mut sample: [f64; SAMPLE] = std::array::from_fn(at);
    let place = (place as u128 * SAMPLE as u128 / values.len() as u128) as usize;
    *sample.select_nth_unstable_by(place.min(SAMPLE - 1), f64::total_cmp).1
}

/// Puts values that pass in front; how many these are.
fn partition(values: &mut [f64], passes: impl Fn(f64) -> bool, pace: &mut Pace<'_>) -> Result<usize> {
    let mut passed = 0;
    for next in 0..values.len() {
        // Without a branch that would be guessed wrongly half of the time.
        let is_passed = passes(values[next]);
        values.swap(next, passed);
        passed += usize::from(is_passed);
        pace.done(1)?;
    }
    Ok(passed)
}

/// The p-value of the pre-whitened Mann-Kendall test, two-sided; `None` for fewer than eight points.
///
/// The correlation is that of the series as it stands (von Storch 1995), not of what a fitted trend leaves: a trend fitted to a
/// correlated null takes correlation away with it, and at AR 0.9 the false alarms rise from 6% to 9%.
pub(super) fn p_value(y: &[f64], pace: &mut Pace<'_>) -> Result<Option<f64>> {
    if y.len() < 8 {
        return Ok(None);
    }
    let correlation = autocorrelation(y.iter().copied(), y.len(), pace)?;
    let mut whitened = Vec::with_capacity(y.len());
    for pair in y.windows(2) {
        whitened.push(pair[1] - correlation * pair[0]);
        pace.done(1)?;
    }
    plain_p_value(whitened, pace)
}

/// Kendall's score: pairs that rise less pairs that fall. By a merge sort that counts falls on the way, n log n, and leaves the values sorted.
fn score(values: &mut [f64], pace: &mut Pace<'_>) -> Result<i64> {
    let pairs = |count: usize| (count as i64) * (count as i64 - 1) / 2;
    let mut rising = pairs(values.len()) - 2 * sort_counting(values, &mut vec![0.0; values.len()], pace)?;
    for run in values.chunk_by(|a, b| a == b) {
        rising -= pairs(run.len());
        pace.done(run.len())?;
    }
    Ok(rising)
}

/// Sorts values, and counts the pairs of which the first is greater.
fn sort_counting(values: &mut [f64], room: &mut [f64], pace: &mut Pace<'_>) -> Result<i64> {
    let middle = values.len() / 2;
    if middle == 0 {
        return Ok(0);
    }
    let (left, right) = values.split_at_mut(middle);
    let (room_left, room_right) = room.split_at_mut(middle);
    let mut falling = sort_counting(left, room_left, pace)? + sort_counting(right, room_right, pace)?;
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
        pace.done(1)?;
    }
    values.copy_from_slice(room);
    Ok(falling)
}

/// The p-value of the Mann-Kendall test, with the correction for ties.
fn plain_p_value(mut values: Vec<f64>, pace: &mut Pace<'_>) -> Result<Option<f64>> {
    let count = values.len() as f64;
    if values.iter().any(|value| value.is_nan()) {
        return Ok(None);
    }
    let score = score(&mut values, pace)?;
    let mut ties = 0.0;
    for run in values.chunk_by(|a, b| a == b) {
        let length = run.len() as f64;
        ties += length * (length - 1.0) * (2.0 * length + 5.0);
        pace.done(run.len())?;
    }
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
    use crate::store::Progress;

    fn unwatched() -> Pace<'static> {
        Pace::new(None)
    }

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
                .filter(|_| {
                    p_value(&series(&mut noise, 200, correlation, 0.0), &mut unwatched()).unwrap().unwrap() < 0.05
                })
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
                .filter(|_| {
                    p_value(&series(&mut noise, 200, correlation, 2.0), &mut unwatched()).unwrap().unwrap() < 0.05
                })
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
            assert_eq!(score(&mut values.clone(), &mut unwatched()).unwrap(), by_hand, "{values:?}");
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
            let found = theil_sen(&x, &y, &mut unwatched()).unwrap().unwrap();
            assert!((found - 0.01).abs() < 1e-5, "{found} of {count} in {period}");
        }
    }

    #[test]
    fn every_slope_is_noted_where_it_is_made() {
        // All pairs of 2,000 points, and so many of those of 3,000.
        for (count, pairs) in [(2_000, 1_999_000), (3_000, 2_000_000)] {
            let x: Vec<f64> = (0..count).map(f64::from).collect();
            let progress = Progress::default();
            slopes(&x, &x, &mut Pace::new(Some(&progress))).unwrap();
            let (looks, most, work) = progress.looks_and_work();
            assert!(work >= pairs && most <= 2 * ROWS_AT_ONCE as u64, "{work} in {looks} looks, at most {most}");
            let cancelled = slopes(&x, &x, &mut Pace::new(Some(&Progress::cancelling_at(2)))).unwrap_err();
            assert_eq!(cancelled.kind(), crate::error::ErrorKind::Cancelled);
        }
    }

    #[test]
    fn selecting_with_looks_is_selecting() {
        let mut noise = Noise(0x1234_5678_9abc_def1);
        let specials = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0];
        for count in [1, 2, 8_191, 8_192, 8_193, 50_000] {
            let kinds: [Vec<f64>; 5] = [
                (0..count).map(|_| noise.next()).collect(),
                (0..count).map(|_| (noise.next() * 2.0).round()).collect(),
                (0..count).map(|place| specials[place % specials.len()]).collect(),
                (0..count).map(|place| (count - place) as f64).collect(),
                vec![7.5; count],
            ];
            for values in kinds {
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                for place in [0, count / 3, count / 2, count - 1] {
                    let mut selected = values.clone();
                    let progress = Progress::default();
                    let found = select(&mut selected, place, &mut Pace::new(Some(&progress))).unwrap();
                    assert_eq!(found.to_bits(), sorted[place].to_bits(), "{place} of {count}");
                    assert!(selected[..place].iter().all(|value| value.total_cmp(&found).is_le()));
                    assert!(progress.looks_and_work().1 <= 2 * ROWS_AT_ONCE as u64);
                }
                let (low, upper) = (sorted[(count - 1) / 2], sorted[count / 2]);
                let by_hand = if count % 2 == 0 { low.midpoint(upper) } else { upper };
                let found = median(values, &mut unwatched()).unwrap().unwrap();
                assert!(found.to_bits() == by_hand.to_bits() || (found.is_nan() && by_hand.is_nan()));
            }
        }
    }

    #[test]
    fn lines_are_recovered() {
        let x: Vec<f64> = (0..50).map(|day| f64::from(day) * 0.5).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 0.25 * x).collect();
        let line = least_squares(&x, &y, &mut unwatched()).unwrap().unwrap();
        assert!((line.slope + 0.25).abs() < 1e-12 && (line.intercept - 3.0).abs() < 1e-12);
        assert!((theil_sen(&x, &y, &mut unwatched()).unwrap().unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(least_squares(&[1.0, 2.0], &[1.0, 2.0], &mut unwatched()).unwrap(), None);
        assert_eq!(p_value(&y[..5], &mut unwatched()).unwrap(), None);
        // Theil-Sen does not move for one wild point; least squares does.
        let mut wild = y.clone();
        wild[49] = 1_000.0;
        assert!((theil_sen(&x, &wild, &mut unwatched()).unwrap().unwrap() + 0.25).abs() < 1e-9);
    }

    #[test]
    fn the_interval_covers_the_true_slope() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        for correlation in [0.0, 0.6] {
            let mut noise = Noise(7_777_777_777_777);
            let covered = (0..200)
                .filter(|_| {
                    let line = least_squares(&x, &series(&mut noise, 100, correlation, 2.0), &mut unwatched())
                        .unwrap()
                        .unwrap();
                    line.low <= 0.02 && 0.02 <= line.high
                })
                .count();
            assert!(covered >= 176, "{covered} of 200 at AR {correlation}");
        }
    }
}
