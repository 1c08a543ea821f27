//! The values of a part of an answer: its own, or in a list that parts share.
//!
//! Guarantees: where they lie changes no answer. A part's values in a list follow each other there, and are one at least, so that a list of
//! which no part has any can be dropped.

use super::bins::BinCounts;
use super::distribution::{Distribution, EXACT_MAX, histogram_of, percentile_of};
use super::value_list::{ValueList, extend_known};

/// The values of a part, none of them NaN.
#[derive(Debug, Clone)]
pub(super) enum PartValues {
    /// In a list: where they begin there, and how many they are.
    Listed(usize, usize),
    Own(Distribution),
}

impl Default for PartValues {
    fn default() -> Self {
        Self::Own(Distribution::default())
    }
}

impl PartValues {
    /// Adds values, in the list as long as those of the part follow each other there; NaN among them are skipped.
    pub(super) fn extend(&mut self, values: &[f64], list: &mut ValueList) {
        let (from, count) = match self {
            Self::Own(Distribution::Exact(kept)) if kept.is_empty() => (list.len(), 0),
            Self::Own(own) => return own.extend(values),
            Self::Listed(from, count) => (*from, *count),
        };
        if from + count != list.len() || count + values.len() > EXACT_MAX {
            return self.change_own(list, |own| own.extend(values));
        }
        extend_known(list.with_room(values.len()), values);
        if list.len() > from {
            *self = Self::Listed(from, list.len() - from);
        }
    }

    /// Takes its values out of the list.
    fn into_own(self, list: &[f64]) -> Distribution {
        match self {
            Self::Own(own) => own,
            Self::Listed(from, count) => {
                // A power of two doubles up to the limit, and not beyond it.
                let mut kept = Vec::with_capacity(count.next_power_of_two());
                kept.extend_from_slice(&list[from..from + count]);
                Distribution::Exact(kept)
            }
        }
    }

    /// The same values as its own.
    pub(super) fn owned(self, list: &[f64]) -> Self {
        Self::Own(self.into_own(list))
    }

    fn change_own(&mut self, list: &[f64], change: impl FnOnce(&mut Distribution)) {
        let mut own = std::mem::take(self).into_own(list);
        change(&mut own);
        *self = Self::Own(own);
    }

    /// Takes its values from one list to another.
    pub(super) fn relist(&mut self, list: &[f64], other: &mut ValueList) {
        if let Self::Listed(from, count) = *self {
            *self = Self::Listed(other.len(), count);
            extend_known(other.with_room(count), &list[from..from + count]);
        }
    }

    /// Values that it has in a list.
    pub(super) fn listed(&self) -> usize {
        if let Self::Listed(_, count) = self { *count } else { 0 }
    }

    /// How many lie in each of some bins, where they are counted so.
    pub(super) fn bins(&self) -> Option<&BinCounts> {
        if let Self::Own(Distribution::Bins(bins)) = self { Some(bins) } else { None }
    }

    /// As [`Self::bins`], to be changed.
    pub(super) fn bins_mut(&mut self) -> Option<&mut BinCounts> {
        if let Self::Own(Distribution::Bins(bins)) = self { Some(bins) } else { None }
    }

    /// Adds those of another part as its own; either may have them in the list of its side.
    pub(super) fn merge(&mut self, theirs: Self, (list, their_list): (&[f64], &[f64])) {
        self.change_own(list, |own| match theirs {
            Self::Listed(from, count) => own.extend(&their_list[from..from + count]),
            Self::Own(theirs) => own.merge(theirs),
        });
    }

    /// Adds those of another part, in a list as long as they follow each other there: ours lie in it, and theirs in another.
    pub(super) fn merge_listed(&mut self, theirs: Self, their_list: &[f64], list: &mut ValueList) {
        match theirs {
            Self::Listed(from, count) => self.extend(&their_list[from..from + count], list),
            Self::Own(theirs) => self.change_own(list, |own| own.merge(theirs)),
        }
    }

    /// A percentile, as [`Distribution::percentile`]; values in the list are put in order in a room.
    pub(super) fn percentile(&mut self, percent: f64, (list, room): (&[f64], &mut Vec<f64>)) -> Option<f64> {
        match self {
            Self::Listed(from, count) => percentile_of(&list[*from..*from + *count], percent, room),
            Self::Own(own) => own.percentile(percent),
        }
    }

    /// Counts by power of two, as text.
    pub(super) fn histogram(&self, list: &[f64]) -> String {
        match self {
            Self::Listed(from, count) => histogram_of(&list[*from..*from + *count]),
            Self::Own(own) => own.histogram(),
        }
    }

    /// What it takes beside its own place and the list.
    pub(super) fn heap_bytes(&self) -> usize {
        if let Self::Own(own) = self { own.heap_bytes() } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_for_each_window_so_that_it_takes_no_more_than_its_kinds() {
        assert_eq!(size_of::<Option<PartValues>>(), size_of::<Distribution>());
    }
}
