//! Columns that are asked about while they lie packed: which rows of a group pass conditions, and what the others add up to.
//!
//! Guarantees: what decoded values would answer: counts, extremes and sums of whole numbers exactly, other sums within a
//! rounding of that of the exact decimals. A condition becomes bounds of whole numbers once a block; groups that lie all inside or
//! all outside of them are not unpacked, unless statistics are not to answer.

use std::cmp::Ordering;

use crate::codec::{GROUP_VALUES, GroupOffsets, GroupSummary, PackedValues};
use crate::error::Result;
use crate::model::MetricType;
use crate::segment::CompensatedSum;

use super::aggregate::Needs;
use super::partial::{RunSummary, Sample};
use super::query::{Comparison, ValueFilter};

/// All ones: the row is kept.
const KEPT: u32 = u32::MAX;

/// What packed groups add up to, of one run of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedPart {
    /// Values that are whole numbers, scaled or not, with their sum and their lowest and highest.
    wholes: u64,
    sum: i128,
    bounds: (i64, i64),
    /// Others that are not NaN.
    other_count: u64,
    others: CompensatedSum,
    other_bounds: (f64, f64),
    count_nan: u64,
    ends: Option<(Sample, Sample)>,
    /// Of all of them, where asked for.
    mean: f64,
    m2: f64,
    moments: u64,
}

impl Default for PackedPart {
    fn default() -> Self {
        Self {
            wholes: 0,
            sum: 0,
            bounds: (i64::MAX, i64::MIN),
            other_count: 0,
            others: CompensatedSum::default(),
            other_bounds: (f64::INFINITY, f64::NEG_INFINITY),
            count_nan: 0,
            ends: None,
            mean: 0.0,
            m2: 0.0,
            moments: 0,
        }
    }
}

impl PackedPart {
    pub(super) fn is_empty(&self) -> bool {
        self.wholes + self.other_count + self.count_nan == 0
    }

    fn add_wholes(&mut self, count: u64, sum: i128, bounds: (i64, i64)) {
        self.wholes += count;
        self.sum += sum;
        self.bounds = (self.bounds.0.min(bounds.0), self.bounds.1.max(bounds.1));
    }

    fn add_other(&mut self, value: f64, deviation: bool) {
        if value.is_nan() {
            self.count_nan += 1;
            return;
        }
        self.other_count += 1;
        self.others.add(value);
        self.other_bounds = (self.other_bounds.0.min(value), self.other_bounds.1.max(value));
        if deviation {
            self.add_moments(1, value, 0.0);
        }
    }

    /// Merges by Chan, Golub and LeVeque.
    fn add_moments(&mut self, count: u64, mean: f64, m2: f64) {
        let (ours, theirs) = (self.moments as f64, count as f64);
        let apart = mean - self.mean;
        self.m2 += m2 + apart * apart * (ours * theirs / (ours + theirs));
        self.mean += apart * theirs / (ours + theirs);
        self.moments += count;
    }

    fn add_ends(&mut self, first: Sample, last: Sample) {
        self.ends = Some((self.ends.map_or(first, |(before, _)| before), last));
    }
}

/// A condition on a packed column.
pub(super) struct PackedFilter<'a> {
    filter: &'a ValueFilter,
    column: PackedValues<'a>,
    /// The whole numbers that pass, both bounds included; or, `outside`, those that do not. None where they cross.
    bounds: (i64, i64),
    outside: bool,
}

/// Which rows of a group pass all conditions.
pub(super) enum Kept {
    All,
    None,
    Some(Box<GroupOffsets>),
}

impl<'a> PackedFilter<'a> {
    /// Finds the whole numbers of a column that pass a condition on a metric of a type.
    pub(super) fn new(filter: &'a ValueFilter, column: PackedValues<'a>, metric_type: MetricType) -> Self {
        let ends = (0..column.groups()).map(|group| column.bounds(group));
        let (lowest, highest) = ends.fold((i64::MAX, i64::MIN), |all, own| (all.0.min(own.0), all.1.max(own.1)));
        let order = |whole: i64| match metric_type {
            MetricType::Integer => filter.order_of_integer(whole),
            _ => filter.order_of(column.value(whole)),
        };
        let (bounds, outside) = if lowest > highest || order(lowest).is_none() {
            ((1, 0), false)
        } else {
            // The order of the whole numbers is that of the values.
            let reaching = first_where(lowest, highest, |whole| order(whole) != Some(Ordering::Less));
            let beyond = first_where(lowest, highest, |whole| order(whole) == Some(Ordering::Greater));
            let before = |end: i128| end - 1;
            let (from, to) = match filter.comparison {
                Comparison::Greater => (beyond, i128::from(highest)),
                Comparison::GreaterOrEqual => (reaching, i128::from(highest)),
                Comparison::Less => (i128::from(lowest), before(reaching)),
                Comparison::LessOrEqual => (i128::from(lowest), before(beyond)),
                Comparison::Equal | Comparison::NotEqual => (reaching, before(beyond)),
            };
            let bounds = if from > to { (1, 0) } else { (from as i64, to as i64) };
            (bounds, filter.comparison == Comparison::NotEqual)
        };
        Self { filter, column, bounds, outside }
    }

    /// Masks out the rows of a group that do not pass.
    fn mask(&self, group: usize, statistics: bool, kept: &mut Kept, offsets: &mut GroupOffsets) -> Result<()> {
        let (lowest, highest) = self.column.bounds(group);
        let exceptions = self.column.exceptions(group);
        let (from, to) = (self.bounds.0.max(lowest), self.bounds.1.min(highest));
        if statistics && exceptions.is_empty() {
            let (holds_all, holds_none) = (from == lowest && to == highest, from > to);
            if holds_all || holds_none {
                if holds_all == self.outside {
                    *kept = Kept::None;
                }
                return Ok(());
            }
        }
        if matches!(kept, Kept::All) {
            *kept = Kept::Some(Box::new([KEPT; GROUP_VALUES]));
        }
        let Kept::Some(mask) = kept else { return Ok(()) };
        self.column.offsets(group, offsets)?;
        let before: Vec<u32> = exceptions.iter().map(|(place, _)| mask[place % GROUP_VALUES]).collect();
        // Both lie in the group, whose span is below 2^32, where they do not cross.
        let bounds =
            if from > to { (1, 0) } else { (from.wrapping_sub(lowest) as u32, to.wrapping_sub(lowest) as u32) };
        self.column.mask_between(offsets, bounds, self.outside, mask);
        for ((place, value), before) in exceptions.iter().zip(before) {
            mask[place % GROUP_VALUES] = if self.filter.accepts(*value) { before } else { 0 };
        }
        Ok(())
    }
}

/// The first whole number from `lowest` to `highest` where a condition holds that holds from there on; one beyond where it never does.
fn first_where(lowest: i64, highest: i64, holds: impl Fn(i64) -> bool) -> i128 {
    let (mut from, mut to) = (i128::from(lowest), i128::from(highest) + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle as i64) { to = middle } else { from = middle + 1 }
    }
    from
}

/// The rows of a group that pass all conditions.
pub(super) fn kept(filters: &[PackedFilter<'_>], group: usize, statistics: bool) -> Result<Kept> {
    let mut kept = Kept::All;
    let mut offsets = [0; GROUP_VALUES];
    for filter in filters {
        filter.mask(group, statistics, &mut kept, &mut offsets)?;
        if matches!(kept, Kept::None) {
            break;
        }
    }
    Ok(kept)
}

/// A packed column with the group that is being read.
pub(super) struct PackedColumn<'a> {
    values: PackedValues<'a>,
    whole: bool,
    offsets: Box<GroupOffsets>,
    unpacked: Option<usize>,
}

impl<'a> PackedColumn<'a> {
    /// A column whose values are `whole` or not.
    pub(super) fn new(values: PackedValues<'a>, whole: bool) -> Self {
        Self { values, whole, offsets: Box::new([0; GROUP_VALUES]), unpacked: None }
    }

    fn unpack(&mut self, group: usize) -> Result<()> {
        if self.unpacked != Some(group) {
            self.values.offsets(group, &mut self.offsets)?;
            self.unpacked = Some(group);
        }
        Ok(())
    }

    /// Adds some places of a group, or those of them that a mask keeps, to a part. `times` are those of the group.
    pub(super) fn add(
        &mut self,
        group: usize,
        places: std::ops::Range<usize>,
        kept: &Kept,
        (times, needs): (&[i64], Needs),
        part: &mut PackedPart,
    ) -> Result<()> {
        let plain = matches!(kept, Kept::All) && self.values.exceptions(group).is_empty();
        let (lowest, highest) = self.values.bounds(group);
        if plain && places.len() == times.len() && !needs.whole_blocks && !needs.extremes {
            part.add_wholes(places.len() as u64, self.values.sum(group)?, (lowest, highest));
            return Ok(());
        }
        self.unpack(group)?;
        let own;
        let mask = match kept {
            Kept::All if plain => None,
            Kept::Some(mask) if self.values.exceptions(group).is_empty() => Some(&**mask),
            _ => {
                own = self.mask(group, kept);
                Some(&own)
            }
        };
        let mask = mask.map(|mask| &mask[places.clone()]);
        let summary = self.values.summarise(&self.offsets[places.clone()], mask, needs.deviation);
        if summary.count > 0 {
            let bounds = (lowest + i64::from(summary.lowest), lowest + i64::from(summary.highest));
            let sum = i128::from(lowest) * i128::from(summary.count) + i128::from(summary.sum);
            part.add_wholes(summary.count, sum, bounds);
            if needs.deviation {
                let (mean, m2) = moments(lowest, &summary);
                part.add_moments(summary.count, self.values.scaled(mean), self.values.scaled(self.values.scaled(m2)));
            }
        }
        let is_kept = |place: usize| match kept {
            Kept::All => true,
            Kept::None => false,
            Kept::Some(mask) => mask[place] != 0,
        };
        for (place, value) in self.values.exceptions(group) {
            let place = place % GROUP_VALUES;
            if places.contains(&place) && is_kept(place) {
                part.add_other(*value, needs.deviation);
            }
        }
        if needs.ends {
            let known = |place: &usize| is_kept(*place) && !self.value(group, *place).is_nan();
            if let (Some(first), Some(last)) = (places.clone().find(known), places.clone().rfind(known)) {
                part.add_ends(self.sample(group, first, times), self.sample(group, last, times));
            }
        }
        Ok(())
    }

    /// The mask of a group without the places of exceptions.
    fn mask(&self, group: usize, kept: &Kept) -> GroupOffsets {
        let mut mask = match kept {
            Kept::All => [KEPT; GROUP_VALUES],
            Kept::None => [0; GROUP_VALUES],
            Kept::Some(mask) => **mask,
        };
        for (place, _) in self.values.exceptions(group) {
            mask[place % GROUP_VALUES] = 0;
        }
        mask
    }

    fn whole_at(&self, group: usize, place: usize) -> i64 {
        self.values.bounds(group).0.wrapping_add(i64::from(self.offsets[place]))
    }

    fn value(&self, group: usize, place: usize) -> f64 {
        let exception = self.values.exceptions(group).iter().find(|(at, _)| at % GROUP_VALUES == place);
        exception.map_or_else(|| self.values.value(self.whole_at(group, place)), |(_, value)| *value)
    }

    fn sample(&self, group: usize, place: usize, times: &[i64]) -> Sample {
        let integer = if self.whole { self.whole_at(group, place) } else { 0 };
        Sample { time: times[place], value: self.value(group, place), integer }
    }

    /// What a part says, as values.
    pub(super) fn summary(&self, part: &PackedPart) -> RunSummary {
        let (mut min, mut max) = part.other_bounds;
        let mut sum = part.others;
        if part.wholes > 0 {
            (min, max) = (min.min(self.values.value(part.bounds.0)), max.max(self.values.value(part.bounds.1)));
            sum.add(self.values.scaled(part.sum as f64));
        }
        let (first, last) = part.ends.unwrap_or_default();
        RunSummary {
            count: part.wholes + part.other_count,
            count_nan: part.count_nan,
            // A zero has one form, whichever there were.
            extremes: (min + 0.0, max + 0.0),
            integers: if self.whole { [part.bounds.0, part.bounds.1] } else { [0, 0] },
            sum,
            sum_integer: if self.whole { part.sum } else { 0 },
            ends: (first, last),
            mean: part.mean,
            m2: part.m2,
        }
    }
}

/// Mean and sum of squared distances from it, of whole numbers.
fn moments(lowest: i64, summary: &GroupSummary) -> (f64, f64) {
    let count = u128::from(summary.count);
    let sum = u128::from(summary.sum);
    // Exact up to here: no two large numbers that differ by little become floats first.
    let squares = count * summary.squares - sum * sum;
    (lowest as f64 + summary.sum as f64 / summary.count as f64, squares as f64 / count as f64)
}
