//! What is gathered of one metric in one group and window, before it is finished.
//!
//! Guarantees: counts, minima, maxima, first, last and sums of integers do not depend on how the samples were cut into
//! parts; float sums are compensated; means and moments merge by Chan, Golub and LeVeque ("Updating formulae and a pairwise
//! algorithm for computing sample variances", 1979). Parts are merged in the order of the devices' ids.

use crate::format::{BlockStatistics, RollupCell};
use crate::model::{Cell, MetricType, Nature};
use crate::segment::CompensatedSum;
use crate::time::{DAY_NS, SECOND_NS};

use super::aggregate::{Aggregate, Needs};
use super::distribution::Distribution;

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
    first: (i64, f64, i64),
    last: (i64, f64, i64),
    mean: f64,
    m2: f64,
    x_mean: f64,
    x_m2: f64,
    xy: f64,
    values: Option<Box<Distribution>>,
    delta: f64,
    delta_seconds: f64,
    rate: f64,
    growths: u64,
}

/// Moments of a run of samples.
struct Moments {
    count: u64,
    mean: f64,
    m2: f64,
    x_mean: f64,
    x_m2: f64,
    xy: f64,
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
        let sample = |place: usize| (times[place], values[place], whole(place));
        let total: i128 = integers.map_or(0, |integers| integers.iter().map(|value| i128::from(*value)).sum());
        self.merge_ends((min + 0.0, max + 0.0), ends.unwrap_or_default(), sample(run.0), sample(run.1));
        let moments =
            if needs.whole_blocks { moments(times, values, sum.value(), count) } else { empty_moments(count) };
        self.merge_moments(&moments);
        self.sum.merge(sum);
        self.sum_integer += total;
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
            (statistics.first_time, statistics.first, first),
            (statistics.last_time, statistics.last, last),
        );
        self.merge_moments(&Moments {
            count: statistics.count,
            mean: statistics.mean,
            m2: statistics.m2,
            x_mean: statistics.x_mean + bucket_start as f64 / DAY_NS as f64,
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
        let nothing = (0, 0.0, 0);
        self.merge_ends((cell.min, cell.max), whole, nothing, nothing);
        self.merge_moments(&empty_moments(u64::from(cell.count)));
        self.sum.add(cell.sum);
        self.sum_integer += cell.sum_integer.unwrap_or_default();
    }

    /// Adds the growth between samples of one device, beginning at the one before them; gives the last one.
    pub(super) fn add_growths(
        &mut self,
        times: &[i64],
        values: &[f64],
        mut before: Option<(i64, f64)>,
        nature: Nature,
    ) -> Option<(i64, f64)> {
        for sample in times.iter().copied().zip(values.iter().copied()).filter(|(_, value)| !value.is_nan()) {
            if let Some(before) = before {
                self.add_growth(before, sample, nature);
            }
            before = Some(sample);
        }
        before
    }

    fn add_growth(&mut self, before: (i64, f64), after: (i64, f64), nature: Nature) {
        let grown = after.1 - before.1;
        self.delta += if nature == Nature::Counter && grown < 0.0 { after.1 } else { grown };
        self.delta_seconds += (after.0 - before.0) as f64 / SECOND_NS as f64;
        self.growths += 1;
    }

    /// Ends the part of one device: its rate is fixed before devices are summed.
    pub(super) fn end_device(&mut self) {
        if self.delta_seconds > 0.0 {
            self.rate = self.delta / self.delta_seconds;
        }
    }

    fn merge_ends(&mut self, ends: (f64, f64), whole: [i64; 2], first: (i64, f64, i64), last: (i64, f64, i64)) {
        if self.count == 0 {
            (self.min, self.max, self.integers, self.first, self.last) = (ends.0, ends.1, whole, first, last);
            return;
        }
        self.min = if ends.0 < self.min { ends.0 } else { self.min };
        self.max = if ends.1 > self.max { ends.1 } else { self.max };
        self.integers = [self.integers[0].min(whole[0]), self.integers[1].max(whole[1])];
        // Devices come in order of their ids: of one instant the first keeps `first`, and the last takes `last`.
        if first.0 < self.first.0 {
            self.first = first;
        }
        if last.0 >= self.last.0 {
            self.last = last;
        }
    }

    fn merge_moments(&mut self, other: &Moments) {
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let total = ours + theirs;
        if self.count == 0 {
            (self.mean, self.m2, self.x_mean, self.x_m2, self.xy) =
                (other.mean, other.m2, other.x_mean, other.x_m2, other.xy);
        } else {
            let (apart, x_apart) = (other.mean - self.mean, other.x_mean - self.x_mean);
            let weight = ours * theirs / total;
            self.m2 += other.m2 + apart * apart * weight;
            self.x_m2 += other.x_m2 + x_apart * x_apart * weight;
            self.xy += other.xy + apart * x_apart * weight;
            self.mean += apart * theirs / total;
            self.x_mean += x_apart * theirs / total;
        }
        self.count += other.count;
    }

    /// Adds a later part.
    pub(super) fn merge(&mut self, other: Self) {
        self.count_nan += other.count_nan;
        (self.delta, self.rate, self.growths) =
            (self.delta + other.delta, self.rate + other.rate, self.growths + other.growths);
        match (&mut self.values, other.values) {
            (Some(ours), Some(theirs)) => ours.merge(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            _ => {}
        }
        if other.count == 0 {
            return;
        }
        self.merge_ends((other.min, other.max), other.integers, other.first, other.last);
        self.merge_moments(&Moments {
            count: other.count,
            mean: other.mean,
            m2: other.m2,
            x_mean: other.x_mean,
            x_m2: other.x_m2,
            xy: other.xy,
        });
        self.sum.merge(other.sum);
        self.sum_integer += other.sum_integer;
    }

    /// Whether no sample was seen, NaN included.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.count_nan == 0 && self.growths == 0
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
        let some = self.count > 0;
        match aggregate {
            Aggregate::Count => Cell::Integer(self.count as i64),
            Aggregate::CountNan => Cell::Integer(self.count_nan as i64),
            Aggregate::Delta => float((self.growths > 0).then_some(self.delta)),
            Aggregate::Rate => float((self.growths > 0).then_some(self.rate)),
            _ if !some => Cell::Null,
            Aggregate::Sum if whole => {
                i64::try_from(self.sum_integer).map_or_else(|_| Cell::Float(self.sum_integer as f64), Cell::Integer)
            }
            Aggregate::Sum => Cell::Float(self.sum.value()),
            Aggregate::Mean if whole => Cell::Float(self.sum_integer as f64 / self.count as f64),
            Aggregate::Mean => float(self.mean()),
            Aggregate::Min => either(self.min, self.integers[0]),
            Aggregate::Max => either(self.max, self.integers[1]),
            Aggregate::First => either(self.first.1, self.first.2),
            Aggregate::Last => either(self.last.1, self.last.2),
            Aggregate::Variance => float((self.count > 1).then(|| self.m2 / (self.count - 1) as f64)),
            Aggregate::Stddev => float(self.mean_and_deviation().map(|(_, deviation)| deviation)),
            Aggregate::Slope => float((self.x_m2 > 0.0).then(|| self.xy / self.x_m2)),
            Aggregate::Quantile(share) => float(self.values.as_mut().and_then(|values| values.quantile(share))),
            Aggregate::Histogram => self.values.as_ref().map_or(Cell::Null, |values| Cell::Text(values.histogram())),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.values.as_ref().map_or(0, |values| values.memory_bytes() + size_of::<Distribution>())
    }
}

fn empty_moments(count: u64) -> Moments {
    Moments { count, mean: 0.0, m2: 0.0, x_mean: 0.0, x_m2: 0.0, xy: 0.0 }
}

/// Moments of values whose sum is known; NaN are skipped. x is in days since the epoch.
fn moments(times: &[i64], values: &[f64], sum: f64, count: u64) -> Moments {
    let start = times[0];
    let x = |time: i64| (time - start) as f64 / DAY_NS as f64;
    let counted = || times.iter().zip(values).filter(|(_, value)| !value.is_nan());
    let mut x_sum = CompensatedSum::default();
    counted().for_each(|(time, _)| x_sum.add(x(*time)));
    let (mean, x_mean) = (sum / count as f64, x_sum.value() / count as f64);
    let mut moments =
        Moments { count, mean, m2: 0.0, x_mean: x_mean + start as f64 / DAY_NS as f64, x_m2: 0.0, xy: 0.0 };
    for (time, value) in counted() {
        let (dx, dv) = (x(*time) - x_mean, value - mean);
        moments.m2 += dv * dv;
        moments.x_m2 += dx * dx;
        moments.xy += dx * dv;
    }
    moments
}
