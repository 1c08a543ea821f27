//! Aggregates by the textbook: from all samples of a group and window, each with how far an answer may lie from it.
//!
//! Counts, extremes, first, last, sums and growth of integers are exact. Of the rest, floats lose some 1e-16 of the largest addend with
//! each operation: an answer may be off by 1e-12 of the magnitudes that went into it.

use std::collections::BTreeMap;

use fleetlog::operator::Aggregate;
use fleetlog::{Cell, Value};

/// The samples of one group and window: by device in time order, each with the sample of the device before it, whatever is asked.
pub type Samples = BTreeMap<String, Vec<(i64, Value, Option<(i64, Value)>)>>;

/// The least number above zero: what any of the textbook's own steps may lose among the subnormals, where a bound relative to the
/// values is below it.
const LEAST: f64 = f64::from_bits(1);
/// Relative to the magnitudes that went into a result.
const COARSE: f64 = 1e-12;

/// What an aggregate should be.
#[derive(Debug, Clone)]
pub enum Answer {
    Same(Cell),
    /// A float, and how far from it an answer may lie.
    Near(f64, f64),
    /// Below what floats can tell.
    Unknown,
}

/// The answers by the word of the aggregate.
pub type Answers = BTreeMap<String, Answer>;

impl Answer {
    fn near(expected: Option<f64>, tolerance: f64) -> Self {
        expected.map_or(Self::Same(Cell::Null), |expected| Self::Near(expected, tolerance))
    }

    pub fn check(&self, found: &Cell, place: &str) {
        match self {
            Self::Same(expected) => {
                // A zero among extremes has no sign.
                let plain = |cell: &Cell| match cell {
                    Cell::Float(value) => format!("Float({:?})", value + 0.0),
                    other => format!("{other:?}"),
                };
                assert_eq!(plain(found), plain(expected), "{place}");
            }
            Self::Near(expected, tolerance) => {
                let found = number(found).unwrap_or_else(|| panic!("null not {expected} {place}"));
                // An infinity and NaN are near to themselves alone.
                let same = found == *expected || (found.is_nan() && expected.is_nan());
                let near = (found - expected).abs() <= tolerance + 4.0 * LEAST;
                assert!(same || (near && expected.is_finite()), "{found} not {expected} +- {tolerance} {place}");
            }
            Self::Unknown => {}
        }
    }
}

pub fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        Cell::Boolean(value) => Some(f64::from(u8::from(*value))),
        Cell::Null => None,
        other => panic!("{other:?} is no number"),
    }
}

/// Integers exactly; floats largest first, with what each addition loses (Neumaier). Where one is infinite, what plain addition gives.
pub fn exact_sum<'v>(values: impl Iterator<Item = &'v Value>) -> f64 {
    let (mut integers, mut sum, mut lost, mut plain) = (0_i128, 0.0_f64, 0.0_f64, 0.0);
    for value in values {
        match value {
            Value::Integer(value) => integers += i128::from(*value),
            value => {
                let value = value.as_f64().unwrap();
                let total = sum + value;
                lost += if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum };
                sum = total;
                plain += value;
            }
        }
    }
    integers as f64 + if plain.is_finite() { sum + lost } else { plain }
}

/// Hyndman and Fan, type 7.
fn quantile(sorted: &[f64], percent: f64) -> Answer {
    let Some(last) = sorted.len().checked_sub(1) else { return Answer::Same(Cell::Null) };
    let place = percent / 100.0 * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    if low == high {
        return Answer::Same(Cell::Float(low));
    }
    Answer::Near(low + (high - low) * place.fract(), COARSE * low.abs().max(high.abs()))
}

fn is_nan(value: &Value) -> bool {
    value.as_f64().unwrap().is_nan()
}

/// Exact also for integers that are one float.
pub fn compare(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        _ => a.as_f64().unwrap().total_cmp(&b.as_f64().unwrap()),
    }
}

/// What each aggregate of some samples is, of a counter or not.
pub fn answers(samples: &Samples, counter: bool) -> Answers {
    let mut answers = Answers::new();
    let mut put = |aggregate: Aggregate, answer: Answer| answers.insert(aggregate.to_string(), answer);
    let all: Vec<(i64, &str, &Value)> = samples
        .iter()
        .flat_map(|(device, rows)| rows.iter().map(move |row| (row.0, device.as_str(), &row.1)))
        .collect();
    let known: Vec<_> = all.iter().filter(|(.., value)| !is_nan(value)).copied().collect();
    let exact = |value: Option<&Value>| {
        Answer::Same(match value {
            None => Cell::Null,
            Some(Value::Float(value)) => Cell::Float(*value),
            Some(value) => Cell::Integer(whole(value).unwrap() as i64),
        })
    };
    put(Aggregate::Count, Answer::Same(Cell::Integer(known.len() as i64)));
    put(Aggregate::CountNan, Answer::Same(Cell::Integer((all.len() - known.len()) as i64)));
    put(Aggregate::Min, exact(known.iter().map(|sample| sample.2).min_by(|a, b| compare(a, b))));
    put(Aggregate::Max, exact(known.iter().map(|sample| sample.2).max_by(|a, b| compare(a, b))));
    let first = known.iter().min_by_key(|(time, device, _)| (*time, *device)).map(|sample| sample.2);
    let last = known.iter().max_by_key(|(time, device, _)| (*time, *device)).map(|sample| sample.2);
    // Of the ends of a metric of booleans, which are its values, the type stays.
    let end = |value: Option<&Value>| match value {
        Some(Value::Boolean(value)) => Answer::Same(Cell::Boolean(*value)),
        value => exact(value),
    };
    put(Aggregate::First, end(first));
    put(Aggregate::Last, end(last));
    put(Aggregate::Slope, slope(&known));
    let (delta, rate) = growth(samples, counter);
    put(Aggregate::Delta, delta);
    put(Aggregate::Rate, rate);
    let values: Vec<&Value> = known.iter().map(|sample| sample.2).collect();
    for (aggregate, answer) in of_values(&values) {
        put(aggregate, answer);
    }
    answers
}

/// What does not ask for the instants of samples, none of them NaN.
fn of_values(values: &[&Value]) -> Vec<(Aggregate, Answer)> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value.as_f64().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut answers = vec![(Aggregate::Median, quantile(&sorted, 50.0))];
    answers.extend([10.0, 20.0, 90.0].map(|percent| (Aggregate::Percentile(percent), quantile(&sorted, percent))));
    let (count, some) = (sorted.len() as f64, !sorted.is_empty());
    let size: f64 = sorted.iter().map(|value| value.abs()).sum();
    let sum = exact_sum(values.iter().copied());
    let wholes: Option<i128> = values.iter().map(|value| whole(value)).sum();
    let of_sum = match wholes.filter(|_| some) {
        Some(sum) => Answer::Same(integer(sum)),
        None => Answer::near(some.then_some(sum), COARSE * size),
    };
    answers.push((Aggregate::Sum, of_sum));
    answers.push((Aggregate::Mean, Answer::near(some.then_some(sum / count), COARSE * size / count)));
    let (variance, tolerance) = variance(&sorted, sum / count);
    answers.push((Aggregate::Variance, Answer::near(variance, tolerance)));
    // Where the deviation is small, its root is less sure than itself.
    let of_root = variance.map_or(0.0, |variance| tolerance.sqrt().min(tolerance / variance.sqrt()));
    answers.push((Aggregate::Stddev, Answer::near(variance.map(f64::sqrt), of_root + 1e-150)));
    answers
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Integer(value) => Some(i128::from(*value)),
        Value::Boolean(value) => Some(i128::from(*value)),
        _ => None,
    }
}

fn integer(sum: i128) -> Cell {
    i64::try_from(sum).map_or(Cell::Float(sum as f64), Cell::Integer)
}

/// The variance of a sample, and how far it may be off. A mean of n floats is off by some of their magnitude, which moves a variance by
/// that much times the deviation.
pub fn variance(values: &[f64], mean: f64) -> (Option<f64>, f64) {
    let count = values.len() as f64;
    if values.len() < 2 {
        return (None, 0.0);
    }
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0);
    let square = values.iter().map(|value| value * value).sum::<f64>() / count;
    let tolerance = COARSE * (variance + (variance * square).sqrt()) + COARSE * COARSE * square;
    // Squares of deviations below 1e-154 fall among the subnormals: each may lose a last place.
    (Some(variance), tolerance + count * LEAST)
}

/// Delta and rate from the definition: device by device, a decrease of a counter is a reset.
fn growth(samples: &Samples, counter: bool) -> (Answer, Answer) {
    let (mut exact, mut sum, mut size, mut count, mut rate, mut rate_size) = (Some(0_i128), 0.0, 0.0, 0, 0.0, 0.0);
    for rows in samples.values() {
        let (mut grown, mut large, mut elapsed_ns) = (0.0, 0.0, 0_i128);
        for (time, value, before) in rows {
            let Some((since, before)) = before.as_ref().filter(|_| !is_nan(value)) else { continue };
            let (b, a) = (before.as_f64().unwrap(), value.as_f64().unwrap());
            let reset = counter && compare(value, before).is_lt();
            grown += if reset { a } else { a - b };
            large += a.abs() + b.abs();
            elapsed_ns += i128::from(time - since);
            count += 1;
            exact = match (exact, before, value) {
                (Some(sum), Value::Integer(b), Value::Integer(a)) => {
                    Some(sum + i128::from(*a) - if reset { 0 } else { i128::from(*b) })
                }
                _ => None,
            };
        }
        (sum, size) = (sum + grown, size + large);
        if elapsed_ns > 0 {
            rate += grown / (elapsed_ns as f64 / 1e9);
            rate_size += large / (elapsed_ns as f64 / 1e9);
        }
    }
    if count == 0 {
        return (Answer::Same(Cell::Null), Answer::Same(Cell::Null));
    }
    let delta = exact.map_or(Answer::Near(sum, COARSE * size), |exact| Answer::Same(integer(exact)));
    (delta, Answer::Near(rate, COARSE * rate_size))
}

/// Least squares by the textbook, with distances from the mean instant that are exact integers before they are divided.
fn slope(known: &[(i64, &str, &Value)]) -> Answer {
    let known: Vec<(i128, f64)> =
        known.iter().map(|(time, _, value)| (i128::from(*time), value.as_f64().unwrap())).collect();
    let count = known.len() as i128;
    let total: i128 = known.iter().map(|(time, _)| time).sum();
    let scale = known.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    // In parts of the largest value, so that no square of a tiny one is lost.
    let part = |value: f64| if scale == 0.0 { 0.0 } else { value / scale };
    let mean = known.iter().map(|(_, value)| part(*value) / count as f64).sum::<f64>();
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (time, value) in &known {
        let x = (time * count - total) as f64 / (count as f64 * 86_400e9);
        let y = part(*value) - mean;
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    if xx == 0.0 {
        return Answer::Same(Cell::Null);
    }
    if scale.is_infinite() {
        // An infinity has no distance from the mean.
        return Answer::Near(f64::NAN, 0.0);
    }
    // Below, products of values and days fall among the subnormals, and what is left of a slope is noise.
    if scale > 0.0 && scale < 1e-280 {
        return Answer::Unknown;
    }
    let spread = (count as f64 / xx).sqrt();
    let near = (1e-11 * (yy / xx).sqrt() + 1e-13 * spread) * scale + 4.0 * count as f64 * LEAST * spread.max(1.0);
    Answer::Near(xy / xx * scale, near)
}
