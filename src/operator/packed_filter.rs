//! Conditions on columns while they lie packed: which rows of a group pass them.
//!
//! Guarantees: what the conditions say of decoded values. A condition becomes bounds of whole numbers once a block; groups that lie all
//! inside or all outside of them are not unpacked, unless statistics are not to answer.

use std::cmp::Ordering;

use crate::codec::{Aligned, GROUP_VALUES, GroupOffsets, PackedValues};
use crate::error::Result;
use crate::model::MetricType;

use super::value_filter::{Comparison, ValueFilter};

/// All ones: the row is kept.
pub(super) const KEPT: u32 = u32::MAX;

/// A condition on a packed column.
pub(super) struct PackedFilter<'a> {
    filter: &'a ValueFilter,
    column: PackedValues<'a>,
    /// The whole numbers that pass, both bounds included; or, `outside`, those that do not. None where they cross.
    bounds: (i64, i64),
    outside: bool,
}

/// Which rows of a group pass all conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    None,
    /// Those that the mask says.
    Some,
}

/// Rows of one group that pass all conditions, one group after the other.
pub(super) struct GroupMask {
    pub(super) kept: Kept,
    /// All ones for a row that is kept, where some are.
    pub(super) mask: Aligned<GroupOffsets>,
    offsets: Aligned<GroupOffsets>,
    /// Values that were unpacked so far.
    pub(super) unpacked: u64,
}

impl<'a> PackedFilter<'a> {
    /// Finds the whole numbers of a column that pass a condition on a metric of a type.
    pub(super) fn new(filter: &'a ValueFilter, column: PackedValues<'a>, metric_type: MetricType) -> Self {
        let (lowest, highest) = column.all_bounds();
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

    /// Masks out the rows of a group of so many that do not pass.
    fn mask(&self, (group, length): (usize, usize), statistics: bool, into: &mut GroupMask) -> Result<()> {
        let (lowest, highest) = self.column.bounds(group);
        let exceptions = self.column.exceptions(group);
        let (from, to) = (self.bounds.0.max(lowest), self.bounds.1.min(highest));
        if statistics && exceptions.is_empty() {
            let (holds_all, holds_none) = (from == lowest && to == highest, from > to);
            if holds_all || holds_none {
                if holds_all == self.outside {
                    into.kept = Kept::None;
                }
                return Ok(());
            }
        }
        if into.kept == Kept::All {
            into.kept = Kept::Some;
            *into.mask = [KEPT; GROUP_VALUES];
        }
        self.column.offsets(group, &mut into.offsets)?;
        into.unpacked += length as u64;
        let before: Vec<u32> = exceptions.iter().map(|(place, _)| into.mask[place % GROUP_VALUES]).collect();
        // Both lie in the group, whose span is below 2^32, where they do not cross.
        let bounds =
            if from > to { (1, 0) } else { (from.wrapping_sub(lowest) as u32, to.wrapping_sub(lowest) as u32) };
        self.column.mask_between(&into.offsets, bounds, self.outside, &mut into.mask);
        for ((place, value), before) in exceptions.iter().zip(before) {
            into.mask[place % GROUP_VALUES] = if self.filter.accepts(*value) { before } else { 0 };
        }
        Ok(())
    }
}

/// The first whole number from `lowest` to `highest` where a condition holds that holds from there on; one beyond where it never does.
pub(super) fn first_where(lowest: i64, highest: i64, holds: impl Fn(i64) -> bool) -> i128 {
    let (mut from, mut to) = (i128::from(lowest), i128::from(highest) + 1);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle as i64) { to = middle } else { from = middle + 1 }
    }
    from
}

impl GroupMask {
    pub(super) fn new() -> Box<Self> {
        let (mask, offsets) = (Aligned([KEPT; GROUP_VALUES]), Aligned([0; GROUP_VALUES]));
        Box::new(Self { kept: Kept::All, mask, offsets, unpacked: 0 })
    }

    /// Finds the rows of a group of so many that pass all conditions.
    pub(super) fn find(
        &mut self,
        filters: &[PackedFilter<'_>],
        group: (usize, usize),
        statistics: bool,
    ) -> Result<Kept> {
        self.kept = Kept::All;
        for filter in filters {
            filter.mask(group, statistics, self)?;
            if self.kept == Kept::None {
                break;
            }
        }
        Ok(self.kept)
    }

    /// The first place from one on, before another, that is kept.
    pub(super) fn first_kept(&self, places: std::ops::Range<usize>) -> Option<usize> {
        match self.kept {
            Kept::All => Some(places.start).filter(|start| *start < places.end),
            Kept::None => None,
            Kept::Some => places.clone().find(|place| self.mask[*place] != 0),
        }
    }
}
