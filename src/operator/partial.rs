//! What is gathered of one metric in one group and window, before it is finished.
//!
//! Guarantees: counts, minima, maxima, first, last and sums of integers do not depend on how the samples were cut into
//! parts; float sums are compensated; parts are merged in the order of the devices' ids.
//!
//! There is one for each hour of each device where such are asked for: what few questions need stands aside.

use std::sync::Arc;

use crate::format::{BlockStatistics, RollupCell};
use crate::model::{Cell, MetricType, Nature};
use crate::segment::CompensatedSum;
use crate::time::SECOND_NS;

use super::aggregate::{Aggregate, Needs};
use super::bins::{BinCounts, Edges};
use super::distribution::Distribution;
use super::moments::{Moments, moments};
use super::part_values::PartValues;
use super::totals::Totals;
use super::value_list::ValueList;

/// One sample: its instant, its value, and the whole number that it is where the metric has them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sample {
    pub(super) time: i64,
    pub(super) value: f64,
    pub(super) integer: i64,
}

/// Growth from sample to sample.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Growth {
    sum: CompensatedSum,
    sum_integer: i128,
    elapsed_ns: i128,
    /// Growth per second, device by device.
    rate: CompensatedSum,
}

impl Growth {
    /// Adds the growth from one sample of a device to its next; both are `whole` or not.
    #[inline]
    pub(super) fn add(&mut self, (before, after): (Sample, Sample), nature: Nature, whole: bool) {
        // Whole numbers beyond 2^53 may fall where the floats of both are one. A metric of floats may have blocks of integers, of
        // which a layout keeps fewer: only the floats count there.
        let is_less = if whole { after.integer < before.integer } else { after.value < before.value };
        let reset = nature == Nature::Counter && is_less;
        self.sum.add(if reset { after.value } else { after.value - before.value });
        let whole_before = if reset { 0 } else { i128::from(before.integer) };
        self.sum_integer += i128::from(after.integer) - whole_before;
        self.elapsed_ns += i128::from(after.time) - i128::from(before.time);
    }
}

/// A part of one metric in one group and window.
#[derive(Debug, Clone, Default)]
pub(super) struct Partial {
    count: u64,
    count_nan: u64,
    totals: Totals,
    values: Option<PartValues>,
    more: Option<Box<More>>,
}

/// What counts, sums, means and extremes do without.
#[derive(Debug, Clone, Default)]
struct More {
    first: Sample,
    last: Sample,
    moments: Moments,
    growth: Option<Growth>,
    /// The first and the last text, with their instants.
    texts: Option<Box<[(i64, Arc<str>); 2]>>,
}

/// What a run of samples of one device adds up to.
#[derive(Debug, Default)]
pub(super) struct RunSummary {
    /// Samples that are not NaN, and those that are.
    pub(super) count: u64,
    pub(super) count_nan: u64,
    /// Of those that are not NaN.
    pub(super) totals: Totals,
    /// The first and the last sample, where they are asked for.
    pub(super) ends: (Sample, Sample),
    /// Moments, as far as they are asked for; of as many samples as there are.
    pub(super) moments: Moments,
}

impl Partial {
    /// Counts the values in bins from now on, if nothing was counted yet.
    pub(super) fn count_in(&mut self, edges: &Arc<Edges>) {
        self.values.get_or_insert_with(|| PartValues::Own(Distribution::Bins(BinCounts::new(edges))));
    }

    /// How many values lie in each bin.
    pub(super) fn bins(&self) -> Option<&BinCounts> {
        self.values.as_ref().and_then(PartValues::bins)
    }

    /// Counts a block by its statistics: `false`, and nothing added, where its values lie in different bins.
    pub(super) fn add_binned(&mut self, known: &BlockStatistics) -> bool {
        let Some(bins) = self.values.as_mut().and_then(PartValues::bins_mut) else { return false };
        let wholes = known.integers.map(|[min, max, ..]| (min, max));
        known.count == 0 || bins.add_between((known.min, known.max), wholes, known.count)
    }

    /// Adds samples of one device in time order: `integers` beside the values where they are whole. Values for quantiles are added
    /// by themselves.
    pub(super) fn add_run(&mut self, times: &[i64], values: &[f64], integers: Option<&[i64]>, needs: Needs) {
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
        let count_nan = values.len() as u64 - count;
        if count == 0 {
            self.count_nan += count_nan;
            return;
        }
        let whole = |place: usize| integers.map_or(0, |integers| integers[place]);
        let totals = match integers {
            None => Totals::floats(sum, (min, max)),
            Some(integers) => Totals::Wholes {
                sum: integers.iter().map(|value| i128::from(*value)).sum(),
                min: integers.iter().copied().min().unwrap_or(i64::MAX),
                max: integers.iter().copied().max().unwrap_or(i64::MIN),
            },
        };
        let sample = |place: usize| Sample { time: times[place], value: values[place], integer: whole(place) };
        let of_moments = |_| moments(times, values, sum.value(), (run.0, count));
        let summary = RunSummary {
            count,
            count_nan,
            totals,
            ends: (sample(run.0), sample(run.1)),
            moments: needs.whole_blocks.then_some(()).map(of_moments).unwrap_or_default(),
        };
        self.add_summary(&summary, needs.whole_blocks);
    }

    /// Adds values for quantiles, to the list that the parts share where they fit there; NaN among them are skipped.
    pub(super) fn add_values(&mut self, values: &[f64], list: &mut ValueList) {
        self.values.get_or_insert_default().extend(values, list);
    }

    /// Counts whole numbers in bins; `false`, and nothing done, where it has none.
    pub(super) fn add_wholes_to_bins(&mut self, values: &[i64]) -> bool {
        let bins = self.values.as_mut().and_then(PartValues::bins_mut);
        bins.map(|bins| bins.extend_wholes(values)).is_some()
    }

    /// Takes values for quantiles from one list to another.
    pub(super) fn relist_values(&mut self, list: &[f64], other: &mut ValueList) {
        if let Some(values) = &mut self.values {
            values.relist(list, other);
        }
    }

    /// How many values it has in a list that parts share.
    pub(super) fn listed(&self) -> usize {
        self.values.as_ref().map_or(0, PartValues::listed)
    }

    /// Adds what a run adds up to, all of it only where `more` than counts, sums and extremes are needed.
    pub(super) fn add_summary(&mut self, run: &RunSummary, more: bool) {
        self.count_nan += run.count_nan;
        if run.count == 0 {
            return;
        }
        if more {
            let moments = Moments { count: run.count, ..run.moments };
            self.more.get_or_insert_default().merge_ends(run.ends, &moments);
        }
        self.add_totals(run.count, &run.totals);
    }

    /// Adds values that are only counted and summed up.
    pub(super) fn add_totals(&mut self, count: u64, totals: &Totals) {
        self.totals.merge(self.count, totals);
        self.count += count;
    }

    /// Adds a block by its statistics.
    pub(super) fn add_statistics(&mut self, statistics: &BlockStatistics, bucket_start: i64, needs: Needs) {
        let [min, max, first, last] = statistics.integers.unwrap_or_default();
        let mut sum = CompensatedSum::default();
        sum.add(statistics.sum);
        let totals = match statistics.integers {
            None => Totals::floats(sum, (statistics.min, statistics.max)),
            Some(_) => Totals::Wholes { sum: statistics.sum_integer.unwrap_or_default(), min, max },
        };
        // The only instant of a block is its mean, to the nanosecond.
        let (x_anchor, x_mean) =
            if statistics.count == 1 { (statistics.first_time, 0.0) } else { (bucket_start, statistics.x_mean) };
        let summary = RunSummary {
            count: statistics.count,
            count_nan: statistics.count_nan,
            totals,
            ends: (
                Sample { time: statistics.first_time, value: statistics.first, integer: first },
                Sample { time: statistics.last_time, value: statistics.last, integer: last },
            ),
            moments: Moments {
                count: statistics.count,
                mean: statistics.mean,
                m2: statistics.m2,
                x_anchor,
                x_mean,
                x_m2: statistics.x_m2,
                xy: statistics.xy,
            },
        };
        self.add_summary(&summary, needs.whole_blocks);
    }

    /// Adds a cell of a rollup: enough for count, sum, mean, minimum and maximum.
    pub(super) fn add_cell(&mut self, cell: &RollupCell) {
        self.count_nan += u64::from(cell.count_nan);
        if cell.count == 0 {
            return;
        }
        let totals = match cell.sum_integer {
            Some(sum) => Totals::Wholes { sum, min: cell.min as i64, max: cell.max as i64 },
            None => {
                let mut sum = CompensatedSum::default();
                sum.add(cell.sum);
                Totals::floats(sum, (cell.min, cell.max))
            }
        };
        self.add_totals(u64::from(cell.count), &totals);
    }

    /// Adds the first and the last text of a run, with their instants.
    pub(super) fn add_texts(&mut self, texts: [(i64, Arc<str>); 2]) {
        self.more.get_or_insert_default().add_texts(texts);
    }

    /// The growth so far.
    pub(super) fn growth(&self) -> Growth {
        self.more.as_ref().and_then(|more| more.growth).unwrap_or_default()
    }

    /// Takes over a growth that was added to.
    pub(super) fn set_growth(&mut self, growth: Growth) {
        self.more.get_or_insert_default().growth = Some(growth);
    }

    /// Ends the part of one device: its rate is fixed before devices are summed. Integers are `whole`.
    pub(super) fn end_device(&mut self, whole: bool) {
        let growth = self.more.as_mut().and_then(|more| more.growth.as_mut());
        if let Some(growth) = growth.filter(|growth| growth.elapsed_ns > 0) {
            let seconds = growth.elapsed_ns as f64 / SECOND_NS as f64;
            let grown = if whole { growth.sum_integer as f64 } else { growth.sum.value() };
            growth.rate.add(grown / seconds);
        }
    }

    /// Adds a later part; values of either that lie in the list of its side become our own.
    pub(super) fn merge(&mut self, mut theirs: Self, lists: (&[f64], &[f64])) {
        if let Some(values) = theirs.values.take() {
            match &mut self.values {
                Some(ours) => ours.merge(values, lists),
                ours @ None => *ours = Some(values.owned(lists.1)),
            }
        }
        self.merge_rest(&mut theirs);
    }

    /// Adds what a later part holds beside values.
    fn merge_rest(&mut self, other: &mut Self) {
        self.count_nan += other.count_nan;
        match (&mut self.more, other.more.take()) {
            (Some(ours), Some(theirs)) => ours.merge(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            _ => {}
        }
        if other.count > 0 {
            self.add_totals(other.count, &other.totals);
        }
    }

    /// Adds what a later part holds, whose values may lie in its list; ours may lie in another.
    pub(super) fn merge_listed(&mut self, theirs: &mut Self, their_list: &[f64], list: &mut ValueList) {
        if let Some(mut values) = theirs.values.take() {
            match &mut self.values {
                Some(ours) => ours.merge_listed(values, their_list, list),
                ours @ None => {
                    values.relist(their_list, list);
                    *ours = Some(values);
                }
            }
        }
        self.merge_rest(theirs);
    }

    /// Whether no sample was seen, NaN included.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.count_nan == 0
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.totals.sum() / self.count as f64)
    }

    /// Mean and standard deviation of a sample.
    pub(super) fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        let m2 = self.more.as_ref()?.moments.m2;
        (self.count > 1).then(|| (self.totals.sum() / self.count as f64, (m2 / (self.count - 1) as f64).sqrt()))
    }

    /// The answer of an aggregate; `list` is what the parts share, and values are put in order in a room.
    pub(super) fn finish(
        &mut self,
        aggregate: Aggregate,
        metric_type: MetricType,
        (list, room): (&[f64], &mut Vec<f64>),
    ) -> Cell {
        let float = |value: Option<f64>| value.map_or(Cell::Null, Cell::Float);
        match aggregate {
            Aggregate::Count => Cell::Integer(self.count as i64),
            Aggregate::CountNan => Cell::Integer(self.count_nan as i64),
            Aggregate::Median => float(self.values.as_mut().and_then(|values| values.percentile(50.0, (list, room)))),
            Aggregate::Percentile(percent) => {
                float(self.values.as_mut().and_then(|values| values.percentile(percent, (list, room))))
            }
            Aggregate::Histogram => match &self.values {
                Some(values) if self.count > 0 => Cell::Text(values.histogram(list).into()),
                _ => Cell::Null,
            },
            Aggregate::Delta | Aggregate::Rate => self.finish_growth(aggregate, metric_type),
            _ if self.count == 0 => Cell::Null,
            Aggregate::Sum => match self.totals {
                Totals::Wholes { sum, .. } if is_whole(metric_type) => whole_cell(sum),
                totals => Cell::Float(totals.sum()),
            },
            Aggregate::Mean => self.mean().map_or(Cell::Null, Cell::Float),
            Aggregate::Min => self.extreme(metric_type, |(min, _)| min, |(min, _)| min),
            Aggregate::Max => self.extreme(metric_type, |(_, max)| max, |(_, max)| max),
            _ => self.more.as_ref().map_or(Cell::Null, |more| self.finish_more(more, aggregate, metric_type)),
        }
    }

    fn extreme(
        &self,
        metric_type: MetricType,
        whole: impl Fn((i64, i64)) -> i64,
        float: impl Fn((f64, f64)) -> f64,
    ) -> Cell {
        match self.totals {
            Totals::Wholes { min, max, .. } if is_whole(metric_type) => Cell::Integer(whole((min, max))),
            totals => Cell::Float(float(totals.extremes())),
        }
    }

    fn finish_growth(&self, aggregate: Aggregate, metric_type: MetricType) -> Cell {
        let growth = self.more.as_ref().and_then(|more| more.growth);
        growth.map_or(Cell::Null, |growth| match aggregate {
            Aggregate::Rate => Cell::Float(growth.rate.value()),
            _ if is_whole(metric_type) => whole_cell(growth.sum_integer),
            _ => Cell::Float(growth.sum.value()),
        })
    }

    fn finish_more(&self, more: &More, aggregate: Aggregate, metric_type: MetricType) -> Cell {
        let float = |value: Option<f64>| value.map_or(Cell::Null, Cell::Float);
        let either = |sample: Sample| match metric_type {
            MetricType::Boolean => Cell::Boolean(sample.integer != 0),
            metric_type if is_whole(metric_type) => Cell::Integer(sample.integer),
            _ => Cell::Float(sample.value),
        };
        let (first, last, moments) = (more.first, more.last, more.moments);
        match (aggregate, &more.texts) {
            (Aggregate::First, Some(texts)) => Cell::Text(Arc::clone(&texts[0].1)),
            (Aggregate::Last, Some(texts)) => Cell::Text(Arc::clone(&texts[1].1)),
            (Aggregate::First, None) => either(first),
            (Aggregate::Last, None) => either(last),
            (Aggregate::Variance, _) => float((self.count > 1).then(|| moments.m2 / (self.count - 1) as f64)),
            (Aggregate::Stddev, _) => float(self.mean_and_deviation().map(|(_, deviation)| deviation)),
            (Aggregate::Slope, _) => {
                float((first.time < last.time && moments.x_m2 > 0.0).then(|| moments.xy / moments.x_m2))
            }
            _ => Cell::Null,
        }
    }

    /// What it takes beside its own place and the list that parts share.
    pub(super) fn heap_bytes(&self) -> usize {
        let texts =
            |more: &More| more.texts.as_ref().map_or(0, |texts| texts.iter().map(|(_, text)| text.len() + 40).sum());
        self.more.as_ref().map_or(0, |more| size_of::<More>() + texts(more))
            + self.values.as_ref().map_or(0, PartValues::heap_bytes)
    }
}

fn is_whole(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Integer | MetricType::Boolean)
}

/// A sum of whole numbers; a float where it is beyond 64 bits.
fn whole_cell(sum: i128) -> Cell {
    i64::try_from(sum).map_or_else(|_| Cell::Float(sum as f64), Cell::Integer)
}

impl More {
    fn merge(&mut self, other: Self) {
        if let Some(theirs) = other.growth {
            let ours = self.growth.get_or_insert_default();
            ours.sum.merge(theirs.sum);
            ours.sum_integer += theirs.sum_integer;
            ours.rate.merge(theirs.rate);
        }
        if let Some(texts) = other.texts {
            self.add_texts(*texts);
        }
        if other.moments.count > 0 {
            self.merge_ends((other.first, other.last), &other.moments);
        }
    }

    fn merge_ends(&mut self, (first, last): (Sample, Sample), moments: &Moments) {
        if self.moments.count == 0 {
            (self.first, self.last) = (first, last);
        }
        // Devices come in order of their ids: of one instant the first keeps `first`, and the last takes `last`.
        if first.time < self.first.time {
            self.first = first;
        }
        if last.time >= self.last.time {
            self.last = last;
        }
        self.moments.merge(moments);
    }

    fn add_texts(&mut self, [first, last]: [(i64, Arc<str>); 2]) {
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
}
