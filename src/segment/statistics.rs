//! Statistics and daily rollups of one column of one slice.
//!
//! Guarantees: sums of floats are within 1e-13 of the sum of absolute values (runs of 128 values in eight lanes, the runs
//! added with Neumaier's compensation: "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", 1974);
//! sums of integers are exact; infinities give what plain addition gives.

use crate::format::{BlockStatistics, RollupCell};
use crate::model::{Column, Presence, Values};
use crate::time::DAY_NS;

/// The fewest values that a cell of a rollup stands for: fewer are read as fast as the rollup is.
const ROLLUP_LEAST: usize = 128;
/// Hours of a cell.
const CELL_HOURS: u32 = 24;
const LANES: usize = 8;
const RUN: usize = 128;

/// A sum of floats that forgets no small addends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompensatedSum {
    sum: f64,
    lost: f64,
    plain: f64,
}

impl CompensatedSum {
    /// Adds a value.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - total) + value } else { (value - total) + self.sum };
        self.sum = total;
        self.plain += value;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) {
        let plain = self.plain + other.plain;
        self.add(other.sum);
        self.lost += other.lost;
        self.plain = plain;
    }

    /// The sum; where an infinity or an overflow took part, what plain addition gives.
    #[must_use]
    pub fn value(self) -> f64 {
        let compensated = self.sum + self.lost;
        if compensated.is_finite() { compensated } else { self.plain }
    }
}

/// The sum of values, none of them NaN.
fn sum(values: &[f64]) -> CompensatedSum {
    let mut total = CompensatedSum::default();
    for run in values.chunks(RUN) {
        let mut lanes = [0.0_f64; LANES];
        let chunks = run.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().sum();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += value;
            }
        }
        total.add(lanes.iter().sum::<f64>() + rest);
    }
    total
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let (mut least, mut greatest) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            least[lane] = if chunk[lane] < least[lane] { chunk[lane] } else { least[lane] };
            greatest[lane] = if chunk[lane] > greatest[lane] { chunk[lane] } else { greatest[lane] };
        }
    }
    let least = least.iter().chain(rest).fold(f64::INFINITY, |a, b| if *b < a { *b } else { a });
    let greatest = greatest.iter().chain(rest).fold(f64::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
    // Adding 0.0 makes 0.0 of -0.0 and changes nothing else.
    (least + 0.0, greatest + 0.0)
}

/// Sum of squared distances and of products, in lanes: `(of a*a, of a*b)` for the distances from two means.
fn moments(x: &[f64], x_mean: f64, values: &[f64], mean: f64) -> (f64, f64, f64) {
    let (mut xx, mut vv, mut xv) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut place = 0;
    while place + LANES <= values.len() {
        for lane in 0..LANES {
            let (dx, dv) = (x[place + lane] - x_mean, values[place + lane] - mean);
            xx[lane] += dx * dx;
            vv[lane] += dv * dv;
            xv[lane] += dx * dv;
        }
        place += LANES;
    }
    for rest in place..values.len() {
        let (dx, dv) = (x[rest] - x_mean, values[rest] - mean);
        xx[0] += dx * dx;
        vv[0] += dv * dv;
        xv[0] += dx * dv;
    }
    (xx.iter().sum(), vv.iter().sum(), xv.iter().sum())
}

/// Statistics and rollup of one column; the rollup is `None` for text, for less than two days, and where days have few values.
#[must_use]
pub fn describe(times: &[i64], column: &Column, bucket_start: i64) -> (BlockStatistics, Option<Vec<RollupCell>>) {
    let present: Vec<i64>;
    let times = match &column.presence {
        Presence::All => times,
        Presence::Positions(positions) => {
            present = positions.iter().map(|position| times[*position as usize]).collect();
            &present
        }
    };
    let worth_it = |(statistics, cells): (BlockStatistics, Vec<RollupCell>)| {
        let kept = cells.len() > 1 && column.values.len() / cells.len() >= ROLLUP_LEAST;
        (statistics, kept.then_some(cells))
    };
    match &column.values {
        Values::Float(values) => worth_it(floats(times, values, bucket_start)),
        Values::Integer(values) => worth_it(integers(times, values, bucket_start)),
        Values::Boolean(values) => {
            let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
            worth_it(integers(times, &values, bucket_start))
        }
        Values::Text(values) => {
            let count = values.codes.len() as u64;
            let first_time = times.first().copied().unwrap_or_default();
            let last_time = times.last().copied().unwrap_or_default();
            (BlockStatistics { count, first_time, last_time, ..BlockStatistics::default() }, None)
        }
    }
}

/// Where each day of rising times begins, and where the last one ends.
fn days(times: &[i64]) -> Vec<usize> {
    let mut starts = vec![0];
    let mut place = 0;
    while place < times.len() {
        let day_end = (times[place].div_euclid(DAY_NS) + 1).saturating_mul(DAY_NS);
        let length = times[place..].partition_point(|time| *time < day_end || day_end == i64::MAX);
        place += length.max(1);
        starts.push(place);
    }
    starts
}

/// The first hour of the day of an instant.
fn first_hour(time: i64) -> i64 {
    time.div_euclid(DAY_NS) * i64::from(CELL_HOURS)
}

fn floats(times: &[i64], values: &[f64], bucket_start: i64) -> (BlockStatistics, Vec<RollupCell>) {
    if values.iter().any(|value| value.is_nan()) {
        return floats_with_nan(times, values, bucket_start);
    }
    let mut cells = Vec::new();
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut total = CompensatedSum::default();
    for pair in days(times).windows(2) {
        let day = &values[pair[0]..pair[1]];
        let (min, max) = extremes(day);
        let day_sum = sum(day);
        total.merge(day_sum);
        least = if min < least { min } else { least };
        greatest = if max > greatest { max } else { greatest };
        cells.push(RollupCell {
            hour: first_hour(times[pair[0]]),
            hours: CELL_HOURS,
            count: day.len() as u32,
            count_nan: 0,
            min,
            max,
            sum: day_sum.value(),
            sum_integer: None,
        });
    }
    let statistics = moments_of(times, values, total.value(), (least, greatest), bucket_start);
    (statistics, cells)
}

/// Everything but NaN and integers, of values that are not empty.
fn moments_of(times: &[i64], values: &[f64], total: f64, extremes: (f64, f64), bucket_start: i64) -> BlockStatistics {
    if values.is_empty() {
        return BlockStatistics::default();
    }
    let count = values.len() as f64;
    let x: Vec<f64> = times.iter().map(|time| (time - bucket_start) as f64 / DAY_NS as f64).collect();
    let (mean, x_mean) = (total / count, sum(&x).value() / count);
    let (x_m2, m2, xy) = moments(&x, x_mean, values, mean);
    BlockStatistics {
        count: values.len() as u64,
        count_nan: 0,
        min: extremes.0,
        max: extremes.1,
        sum: total,
        sum_integer: None,
        mean,
        m2,
        first: values[0],
        first_time: times[0],
        last: values[values.len() - 1],
        last_time: times[times.len() - 1],
        x_mean,
        x_m2,
        xy,
        integers: None,
    }
}

/// The same with NaN counted aside: rare, so by way of a copy without them.
fn floats_with_nan(times: &[i64], values: &[f64], bucket_start: i64) -> (BlockStatistics, Vec<RollupCell>) {
    let counted = times.iter().zip(values).filter(|(_, value)| !value.is_nan());
    let (kept_times, kept): (Vec<i64>, Vec<f64>) = counted.map(|(time, value)| (*time, *value)).unzip();
    let (mut statistics, kept_cells) = floats(&kept_times, &kept, bucket_start);
    statistics.count_nan = (values.len() - kept.len()) as u64;
    let mut kept_cells = kept_cells.into_iter().peekable();
    let mut cells = Vec::new();
    for pair in days(times).windows(2) {
        let hour = first_hour(times[pair[0]]);
        let count_nan = values[pair[0]..pair[1]].iter().filter(|value| value.is_nan()).count() as u32;
        let kept = kept_cells.next_if(|cell| cell.hour == hour);
        cells.push(RollupCell { hour, hours: CELL_HOURS, count_nan, ..kept.unwrap_or_default() });
    }
    (statistics, cells)
}

fn integers(times: &[i64], values: &[i64], bucket_start: i64) -> (BlockStatistics, Vec<RollupCell>) {
    if values.is_empty() {
        return (BlockStatistics::default(), Vec::new());
    }
    let mut cells = Vec::new();
    let (mut least, mut greatest, mut total) = (i64::MAX, i64::MIN, 0_i128);
    for pair in days(times).windows(2) {
        let day = &values[pair[0]..pair[1]];
        let (mut min, mut max, mut day_sum) = (i64::MAX, i64::MIN, 0_i128);
        for value in day {
            min = min.min(*value);
            max = max.max(*value);
            day_sum += i128::from(*value);
        }
        (least, greatest, total) = (least.min(min), greatest.max(max), total + day_sum);
        cells.push(RollupCell {
            hour: first_hour(times[pair[0]]),
            hours: CELL_HOURS,
            count: day.len() as u32,
            count_nan: 0,
            min: min as f64,
            max: max as f64,
            sum: day_sum as f64,
            sum_integer: Some(day_sum),
        });
    }
    let as_floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
    let mut statistics = moments_of(times, &as_floats, total as f64, (least as f64, greatest as f64), bucket_start);
    statistics.sum_integer = Some(total);
    statistics.integers = Some([least, greatest, values[0], values[values.len() - 1]]);
    (statistics, cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The exact sum of floats as an integer multiple of 2^-40, for values that are such multiples.
    fn exact(values: &[f64]) -> i128 {
        values.iter().map(|value| (value * (1_u64 << 40) as f64) as i128).sum()
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value =
            (any::<i32>(), 0..40_i32).prop_map(|(mantissa, exponent)| f64::from(mantissa) * 2.0_f64.powi(-exponent));
        prop::collection::vec(value, 1..900)
    }

    proptest! {
        #[test]
        fn statistics_are_what_exact_arithmetic_says(values in values(), step in 1_i64..DAY_NS / 200, nan_every in 2_usize..50) {
            let times: Vec<i64> = (0..values.len() as i64).map(|place| 5 * DAY_NS + place * step).collect();
            let mut with_nan = values.clone();
            with_nan.iter_mut().step_by(nan_every).for_each(|value| *value = f64::NAN);
            for values in [values, with_nan] {
                let kept: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
                let column = Column { presence: Presence::All, values: Values::Float(values.clone()) };
                let (statistics, cells) = describe(&times, &column, 5 * DAY_NS);
                let Some(cells) = cells else { continue };
                prop_assert_eq!((statistics.count, statistics.count_nan), (kept.len() as u64, (values.len() - kept.len()) as u64));
                prop_assert_eq!(cells.iter().map(|cell| u64::from(cell.count)).sum::<u64>(), kept.len() as u64);
                prop_assert_eq!(cells.iter().map(|cell| u64::from(cell.count_nan)).sum::<u64>(), statistics.count_nan);
                if kept.is_empty() { continue; }
                let scale = (1_u64 << 40) as f64;
                let magnitude: f64 = kept.iter().map(|value| value.abs()).sum::<f64>().max(f64::MIN_POSITIVE);
                prop_assert!((statistics.sum - exact(&kept) as f64 / scale).abs() <= 1e-13 * magnitude);
                prop_assert_eq!(statistics.min, kept.iter().copied().fold(f64::INFINITY, f64::min));
                prop_assert_eq!(statistics.max, kept.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                prop_assert_eq!((statistics.first, statistics.last), (kept[0], kept[kept.len() - 1]));
                let mean = exact(&kept) as f64 / scale / kept.len() as f64;
                let m2: f64 = kept.iter().map(|value| (value - mean) * (value - mean)).sum();
                prop_assert!((statistics.m2 - m2).abs() <= 1e-9 * m2.max(magnitude * 1e-9));
                for cell in cells {
                    let inside = times.iter().zip(&values).filter(|(time, value)| time.div_euclid(DAY_NS) * 24 == cell.hour && !value.is_nan());
                    let inside: Vec<f64> = inside.map(|(_, value)| *value).collect();
                    prop_assert_eq!(cell.count as usize, inside.len());
                    prop_assert!((cell.sum - exact(&inside) as f64 / scale).abs() <= 1e-13 * magnitude);
                }
            }
        }

        #[test]
        fn integers_are_exact(values in prop::collection::vec(any::<i64>(), 1..700)) {
            let times: Vec<i64> = (0..values.len() as i64).map(|place| place * 300_000_000_000 - DAY_NS / 2).collect();
            let column = Column { presence: Presence::All, values: Values::Integer(values.clone()) };
            let (statistics, cells) = describe(&times, &column, 0);
            let total: i128 = values.iter().map(|value| i128::from(*value)).sum();
            prop_assert_eq!(statistics.sum_integer, Some(total));
            let (least, greatest) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
            prop_assert_eq!(statistics.integers, Some([least, greatest, values[0], values[values.len() - 1]]));
            if let Some(cells) = cells {
                prop_assert_eq!(cells.iter().map(|cell| cell.sum_integer.unwrap()).sum::<i128>(), total);
            }
        }
    }

    #[test]
    fn slopes_of_lines_are_recovered_and_infinities_add_up() {
        let times: Vec<i64> = (0..1_440).map(|minute| minute * 60_000_000_000).collect();
        let values: Vec<f64> = (0..1_440).map(|minute| 3.0 + 2.0 * f64::from(minute) / 1_440.0).collect();
        let column = Column { presence: Presence::All, values: Values::Float(values) };
        let (statistics, _) = describe(&times, &column, 0);
        assert!((statistics.xy / statistics.x_m2 - 2.0).abs() < 1e-12);
        let infinite = |values: &[f64]| {
            let column = Column { presence: Presence::All, values: Values::Float(values.to_vec()) };
            describe(&times[..values.len()], &column, 0).0.sum
        };
        assert_eq!(infinite(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert!(infinite(&[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
        assert_eq!(infinite(&[f64::MAX, f64::MAX]), f64::INFINITY);
    }
}
