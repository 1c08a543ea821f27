//! What is gathered of one metric in one group and window, before it is finished.
//!
//! Guarantees: counts, minima, maxima, first, last and sums of integers do not depend on how the samples were cut into
//! parts; float sums are compensated; means and moments merge by Chan, Golub and LeVeque ("Updating formulae and a pairwise
//! algorithm for computing sample variances", 1979), where the distance of two means in time is that of whole nanoseconds plus
//! what lies beyond them: days since 1970 as one float would be a third of a microsecond coarse. Parts are merged in the order of
//! the devices' ids.

use std::sync::Arc;

use crate::format::{BlockStatistics, RollupCell};
use crate::model::{Cell, MetricType, Nature};
use crate::segment::CompensatedSum;
use crate::time::{DAY_NS, SECOND_NS};

use super::aggregate::{Aggregate, Needs};
use super::distribution::Distribution;

/// One sample: its instant, its value, and the whole number that it is where the metric has them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) value: f64,
    pub(super) integer: i64,
}

/// Growth from sample to sample.
#[derive(Debug, Clone, Copy, Default)]
struct Growth {
    count: u64,
    sum: CompensatedSum,
    sum_integer: i128,
    elapsed_ns: i128,
    /// Growth per second, device by device.
    rate: CompensatedSum,
}

/// A part of one metric in one group and window.
#[derive(Debug, Clone, Default)]
pub(super) struct Partial {
    count: u64,
    count_nan: u64,
    min: f64,
    max: f64,
    sum: CompensatedSum,
    sum_integer: i128,
    integers: [i64; 2],
    first: Sample,
    last: Sample,
    mean: f64,
    m2: f64,
    /// The mean instant lies `x_mean` days after `x_anchor`, which is within a nanosecond of it.
    x_anchor: i64,
    x_mean: f64,
    x_m2: f64,
    xy: f64,
    values: Option<Box<Distribution>>,
    growth: Option<Box<Growth>>,
    /// The first and the last text, with their instants.
    texts: Option<Box<[(i64, Arc<str>); 2]>>,
}

/// Moments of a run of samples.
struct Moments {
    count: u64,
    mean: f64,
    m2: f64,
    x_anchor: i64,
    x_mean: f64,
    x_m2: f64,
    xy: f64,
}

/// What a run of samples of one device adds up to.
pub(super) struct RunSummary {
    /// Samples that are not NaN, and those that are.
    pub(super) count: u64,
    pub(super) count_nan: u64,
    pub(super) extremes: (f64, f64),
    /// The extremes as whole numbers, where the metric has them.
    pub(super) integers: [i64; 2],
    pub(super) sum: CompensatedSum,
    pub(super) sum_integer: i128,
    /// The first and the last sample, where they are asked for.
    pub(super) ends: (Sample, Sample),
    /// Mean and sum of squared distances from it, where they are asked for.
    pub(super) mean: f64,
    pub(super) m2: f64,
}

/// Days between two instants.
fn days(from: i64, to: i64) -> f64 {
    (i128::from(to) - i128::from(from)) as f64 / DAY_NS as f64
}

impl Partial {
    /// Adds samples of one device in time order, none of them NaN: `integers` beside the values where they are whole.
    pub(super) fn add_run(&mut self, times: &[i64], values: &[f64], integers: Option<&[i64]>, needs: Needs) {
        if let Some(distribution) = needs.values.then(|| self.values.get_or_insert_default()) {
            distribution.extend(values.iter().copied());
        }
        let mut count = 0_u64;
        let mut sum = CompensatedSum::default();
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut run = (usize::MAX, 0);
        for chunk in 0..values.len().div_ceil(64) {
            let from = chunk * 64;
            let part = &values[from..values.len().min(from + 64)];
            let mut plain = 0.0;
            for (place, value) in part.iter().enumerate() {
                if value.is_nan() {
                    continue;
                }
                count += 1;
                plain += value;
                min = if *value < min { *value } else { min };
                max = if *value > max { *value } else { max };
                if run.0 == usize::MAX {
                    run.0 = from + place;
                }
                run.1 = from + place;
            }
            sum.add(plain);
        }
        self.count_nan += values.len() as u64 - count;
        if count == 0 {
            return;
        }
        let whole = |place: usize| integers.map_or(0, |integers| integers[place]);
        let ends = integers.map(|integers| {
            integers.iter().fold([i64::MAX, i64::MIN], |ends, value| [ends[0].min(*value), ends[1].max(*value)])
        });
        let sample = |place: usize| Sample { time: times[place], value: values[place], integer: whole(place) };
        let total: i128 = integers.map_or(0, |integers| integers.iter().map(|value| i128::from(*value)).sum());
        self.merge_ends((min + 0.0, max + 0.0), ends.unwrap_or_default(), sample(run.0), sample(run.1));
        let moments =
            if needs.whole_blocks { moments(times, values, sum.value(), (run.0, count)) } else { empty_moments(count) };
        self.merge_moments(&moments);
        self.sum.merge(sum);
        self.sum_integer += total;
    }

    /// Adds what a run adds up to: enough for all but slopes, quantiles and growth.
    pub(super) fn add_summary(&mut self, run: &RunSummary) {
        self.count_nan += run.count_nan;
        if run.count == 0 {
            return;
        }
        self.merge_ends(run.extremes, run.integers, run.ends.0, run.ends.1);
        self.merge_moments(&Moments { mean: run.mean, m2: run.m2, ..empty_moments(run.count) });
        self.sum.merge(run.sum);
        self.sum_integer += run.sum_integer;
    }

    /// Adds a block by its statistics.
    pub(super) fn add_statistics(&mut self, statistics: &BlockStatistics, bucket_start: i64) {
        self.count_nan += statistics.count_nan;
        if statistics.count == 0 {
            return;
        }
        let [min, max, first, last] = statistics.integers.unwrap_or_default();
        self.merge_ends(
            (statistics.min, statistics.max),
            [min, max],
            Sample { time: statistics.first_time, value: statistics.first, integer: first },
            Sample { time: statistics.last_time, value: statistics.last, integer: last },
        );
        // The only instant of a block is its mean, to the nanosecond.
        let (x_anchor, x_mean) =
            if statistics.count == 1 { (statistics.first_time, 0.0) } else { (bucket_start, statistics.x_mean) };
        self.merge_moments(&Moments {
            count: statistics.count,
            mean: statistics.mean,
            m2: statistics.m2,
            x_anchor,
            x_mean,
            x_m2: statistics.x_m2,
            xy: statistics.xy,
        });
        self.sum.add(statistics.sum);
        self.sum_integer += statistics.sum_integer.unwrap_or_default();
    }

    /// Adds an hour of a rollup: enough for count, sum, mean, minimum and maximum.
    pub(super) fn add_hour(&mut self, cell: &RollupCell) {
        self.count_nan += u64::from(cell.count_nan);
        if cell.count == 0 {
            return;
        }
        let whole = cell.sum_integer.map_or([0, 0], |_| [cell.min as i64, cell.max as i64]);
        self.merge_ends((cell.min, cell.max), whole, Sample::default(), Sample::default());
        // Who asks hours asks for no moments.
        self.count += u64::from(cell.count);
        self.sum.add(cell.sum);
        self.sum_integer += cell.sum_integer.unwrap_or_default();
    }

    /// Adds the first and the last text of a run, with their instants.
    pub(super) fn add_texts(&mut self, [first, last]: [(i64, Arc<str>); 2]) {
        match self.texts.as_deref_mut() {
            None => self.texts = Some(Box::new([first, last])),
            Some(ours) => {
                if first.0 < ours[0].0 {
                    ours[0] = first;
                }
                if last.0 >= ours[1].0 {
                    ours[1] = last;
                }
            }
        }
    }

    /// Adds the growth from one sample of a device to its next.
    pub(super) fn add_growth(&mut self, before: Sample, after: Sample, nature: Nature) {
        let growth = self.growth.get_or_insert_default();
        let reset = nature == Nature::Counter && after.value < before.value;
        growth.count += 1;
        growth.sum.add(if reset { after.value } else { after.value - before.value });
        let whole_before = if reset { 0 } else { i128::from(before.integer) };
        growth.sum_integer += i128::from(after.integer) - whole_before;
        growth.elapsed_ns += i128::from(after.time) - i128::from(before.time);
    }

    /// Ends the part of one device: its rate is fixed before devices are summed. Integers are `whole`.
    pub(super) fn end_device(&mut self, whole: bool) {
        if let Some(growth) = self.growth.as_mut().filter(|growth| growth.elapsed_ns > 0) {
            let seconds = growth.elapsed_ns as f64 / SECOND_NS as f64;
            let grown = if whole { growth.sum_integer as f64 } else { growth.sum.value() };
            growth.rate.add(grown / seconds);
        }
    }

    fn merge_ends(&mut self, ends: (f64, f64), whole: [i64; 2], first: Sample, last: Sample) {
        if self.count == 0 {
            (self.min, self.max, self.integers, self.first, self.last) = (ends.0, ends.1, whole, first, last);
            return;
        }
        self.min = if ends.0 < self.min { ends.0 } else { self.min };
        self.max = if ends.1 > self.max { ends.1 } else { self.max };
        self.integers = [self.integers[0].min(whole[0]), self.integers[1].max(whole[1])];
        // Devices come in order of their ids: of one instant the first keeps `first`, and the last takes `last`.
        if first.time < self.first.time {
            self.first = first;
        }
        if last.time >= self.last.time {
            self.last = last;
        }
    }

    fn merge_moments(&mut self, other: &Moments) {
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        if self.count == 0 {
            (self.mean, self.m2, self.x_anchor, self.x_mean, self.x_m2, self.xy) =
                (other.mean, other.m2, other.x_anchor, other.x_mean, other.x_m2, other.xy);
        } else {
            let apart = other.mean - self.mean;
            let x_apart = days(self.x_anchor, other.x_anchor) + (other.x_mean - self.x_mean);
            let weight = ours * theirs / total;
            self.m2 += other.m2 + apart * apart * weight;
            self.x_m2 += other.x_m2 + x_apart * x_apart * weight;
            self.xy += other.xy + apart * x_apart * weight;
            self.mean += apart * theirs / total;
            self.x_mean += x_apart * theirs / total;
        }
        self.count += other.count;
        // The anchor goes with the mean, so that what is beside it stays small and exact.
        let whole_ns = (self.x_mean * DAY_NS as f64).round();
        self.x_anchor = self.x_anchor.saturating_add(whole_ns as i64);
        self.x_mean -= whole_ns / DAY_NS as f64;
    }

    /// Adds a later part.
    pub(super) fn merge(&mut self, other: Self) {
        self.count_nan += other.count_nan;
        if let Some(theirs) = other.growth {
            let ours = self.growth.get_or_insert_default();
            ours.count += theirs.count;
            ours.sum.merge(theirs.sum);
            ours.sum_integer += theirs.sum_integer;
            ours.rate.merge(theirs.rate);
        }
        match (&mut self.values, other.values) {
            (Some(ours), Some(theirs)) => ours.merge(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            _ => {}
        }
        if let Some(texts) = other.texts {
            self.add_texts(*texts);
        }
        if other.count == 0 {
            return;
        }
        self.merge_ends((other.min, other.max), other.integers, other.first, other.last);
        self.merge_moments(&Moments {
            count: other.count,
            mean: other.mean,
            m2: other.m2,
            x_anchor: other.x_anchor,
            x_mean: other.x_mean,
            x_m2: other.x_m2,
            xy: other.xy,
        });
        self.sum.merge(other.sum);
        self.sum_integer += other.sum_integer;
    }

    /// Whether no sample was seen, NaN included.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.count_nan == 0
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.value() / self.count as f64)
    }

    /// Mean and standard deviation of a sample.
    pub(super) fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        (self.count > 1).then(|| (self.sum.value() / self.count as f64, (self.m2 / (self.count - 1) as f64).sqrt()))
    }

    /// The answer of an aggregate.
    pub(super) fn finish(&mut self, aggregate: Aggregate, metric_type: MetricType) -> Cell {
        let whole = matches!(metric_type, MetricType::Integer | MetricType::Boolean);
        let float = |value: Option<f64>| value.map_or(Cell::Null, Cell::Float);
        let either = |value: f64, integer: i64| if whole { Cell::Integer(integer) } else { Cell::Float(value) };
        let integer = |sum: i128| i64::try_from(sum).map_or_else(|_| Cell::Float(sum as f64), Cell::Integer);
        let some = self.count > 0;
        if let (Some(texts), Aggregate::First | Aggregate::Last) = (&self.texts, aggregate) {
            return Cell::Text(texts[usize::from(aggregate == Aggregate::Last)].1.to_string());
        }
        match aggregate {
            Aggregate::Count => Cell::Integer(self.count as i64),
            Aggregate::CountNan => Cell::Integer(self.count_nan as i64),
            Aggregate::Delta => self.growth.as_ref().map_or(Cell::Null, |growth| {
                if whole { integer(growth.sum_integer) } else { Cell::Float(growth.sum.value()) }
            }),
            Aggregate::Rate => float(self.growth.as_ref().map(|growth| growth.rate.value())),
            _ if !some => Cell::Null,
            Aggregate::Sum if whole => integer(self.sum_integer),
            Aggregate::Sum => Cell::Float(self.sum.value()),
            Aggregate::Mean if whole => Cell::Float(self.sum_integer as f64 / self.count as f64),
            Aggregate::Mean => float(self.mean()),
            Aggregate::Min => either(self.min, self.integers[0]),
            Aggregate::Max => either(self.max, self.integers[1]),
            Aggregate::First => either(self.first.value, self.first.integer),
            Aggregate::Last => either(self.last.value, self.last.integer),
            Aggregate::Variance => float((self.count > 1).then(|| self.m2 / (self.count - 1) as f64)),
            Aggregate::Stddev => float(self.mean_and_deviation().map(|(_, deviation)| deviation)),
            Aggregate::Slope => {
                float((self.first.time < self.last.time && self.x_m2 > 0.0).then(|| self.xy / self.x_m2))
            }
            Aggregate::Median => float(self.values.as_mut().and_then(|values| values.percentile(50.0))),
            Aggregate::Percentile(percent) => float(self.values.as_mut().and_then(|values| values.percentile(percent))),
            Aggregate::Histogram => self.values.as_ref().map_or(Cell::Null, |values| Cell::Text(values.histogram())),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let growth = if self.growth.is_some() { size_of::<Growth>() } else { 0 };
        let texts = self.texts.as_ref().map_or(0, |texts| texts.iter().map(|(_, text)| text.len() + 40).sum());
        size_of::<Self>()
            + growth
            + texts
            + self.values.as_ref().map_or(0, |values| values.memory_bytes() + size_of::<Distribution>())
    }
}

fn empty_moments(count: u64) -> Moments {
    Moments { count, mean: 0.0, m2: 0.0, x_anchor: 0, x_mean: 0.0, x_m2: 0.0, xy: 0.0 }
}

/// Moments of values whose sum is known; NaN are skipped.
fn moments(times: &[i64], values: &[f64], sum: f64, (first, count): (usize, u64)) -> Moments {
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
