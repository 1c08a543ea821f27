//! Parts of an answer by window: those of one device, or of one group.
//!
//! Guarantees: keys rise; parts of one key lie side by side, one for each expression; what they take in memory is counted
//! to the byte of what was asked of the allocator, but for the allocator's own, and values that share a list twice. They lie in one list as long as a part's follow
//! each other there: a device has thousands of windows, and an allocation for each would cost more than the quantile.

use std::sync::Arc;

use crate::error::Result;
use crate::store::{Progress, SpareLists};

use super::looks::look;
use super::partial::Partial;
use super::value_list::ValueList;

/// Keys that are merged between two looks: a part may have thousands of values.
const MERGED_AT_ONCE: usize = 256;

/// Parts by key, in rising order of the keys.
#[derive(Debug, Clone)]
pub(super) struct PartList<K> {
    /// Parts of each key: one for each expression.
    width: usize,
    keys: Vec<K>,
    partials: Vec<Partial>,
    /// What parts take beside their places.
    heap_bytes: usize,
    /// Values for quantiles, some of them of no part any more; and how many are of one.
    values: ValueList,
    listed: usize,
}

impl<K: Ord + Copy> PartList<K> {
    /// An empty list, with so many parts for each key, and room for values from what is spare.
    pub(super) fn new(width: usize, spare: Option<&Arc<SpareLists>>) -> Self {
        Self::with_list(width, ValueList::new(spare))
    }

    fn with_list(width: usize, values: ValueList) -> Self {
        Self { width, keys: Vec::new(), partials: Vec::new(), heap_bytes: 0, values, listed: 0 }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What it takes in memory. A list of values counts twice: while lists are merged, they stand beside what becomes of them.
    pub(super) fn held_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<K>()
            + self.partials.capacity() * size_of::<Partial>()
            + 2 * self.values.len() * size_of::<f64>()
            + self.heap_bytes
    }

    /// The place of a key among all, with empty parts where it is new. Keys mostly come in rising order.
    fn place_of(&mut self, key: K) -> usize {
        match self.keys.last() {
            Some(last) if *last == key => self.keys.len() - 1,
            Some(last) if *last > key => match self.keys.binary_search(&key) {
                Ok(place) => place,
                Err(place) => {
                    self.keys.insert(place, key);
                    let at = place * self.width;
                    self.partials.splice(at..at, std::iter::repeat_n(Partial::default(), self.width));
                    place
                }
            },
            _ => {
                self.keys.push(key);
                (0..self.width).for_each(|_| self.partials.push(Partial::default()));
                self.keys.len() - 1
            }
        }
    }

    /// Changes the parts of a key, but for their values.
    pub(super) fn change<R>(&mut self, key: K, change: impl FnOnce(&mut [Partial]) -> R) -> R {
        let from = self.place_of(key) * self.width;
        let parts = &mut self.partials[from..from + self.width];
        let before = heap_bytes(parts);
        let result = change(parts);
        self.heap_bytes = (self.heap_bytes + heap_bytes(parts)).saturating_sub(before);
        result
    }

    /// Changes one part of a key, with the list of values that all parts share.
    pub(super) fn change_part<R>(
        &mut self,
        key: K,
        place: usize,
        change: impl FnOnce(&mut Partial, &mut ValueList) -> R,
    ) -> R {
        let at = self.place_of(key) * self.width + place;
        let part = &mut self.partials[at];
        let before = (part.heap_bytes(), part.listed());
        let result = change(part, &mut self.values);
        self.heap_bytes = (self.heap_bytes + part.heap_bytes()).saturating_sub(before.0);
        self.listed = (self.listed + part.listed()).saturating_sub(before.1);
        result
    }

    /// Changes each part, with its place among those of its key.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(usize, &mut Partial)) {
        let width = self.width;
        self.partials.iter_mut().enumerate().for_each(|(place, part)| change(place % width, part));
    }

    /// One list of several, each of which adds to those before it; values that parts have in the lists are moved once, however many
    /// lists there are. `None` of none.
    pub(super) fn merged(mut lists: Vec<Self>, progress: Option<&Progress>) -> Result<Option<Self>> {
        if lists.len() < 2 {
            return Ok(lists.pop());
        }
        let listed = lists.iter().map(|list| list.listed).sum();
        if listed == 0 {
            let mut lists = lists.into_iter();
            let Some(mut whole) = lists.next() else { return Ok(None) };
            for list in lists {
                look(progress)?;
                whole.merge(list);
            }
            return Ok(Some(whole));
        }
        let (width, most) = (lists[0].width, lists.iter().map(Self::len).max().unwrap_or(0));
        let mut whole = Self::with_list(width, lists[0].values.another(listed));
        whole.keys.reserve(most);
        whole.partials.reserve(most * width);
        let mut next = vec![0; lists.len()];
        while let Some(key) = lists.iter().zip(&next).filter_map(|(list, next)| list.keys.get(*next)).min().copied() {
            if whole.keys.len().is_multiple_of(MERGED_AT_ONCE) {
                look(progress)?;
            }
            whole.keys.push(key);
            for place in 0..width {
                let mut merged = Partial::default();
                for (list, next) in
                    lists.iter_mut().zip(&next).filter(|(list, next)| list.keys.get(**next) == Some(&key))
                {
                    let part = &mut list.partials[next * width + place];
                    merged.merge_listed(part, &list.values, &mut whole.values);
                }
                whole.heap_bytes += merged.heap_bytes();
                whole.listed += merged.listed();
                whole.partials.push(merged);
            }
            for (list, next) in lists.iter().zip(&mut next) {
                *next += usize::from(list.keys.get(*next) == Some(&key));
            }
        }
        Ok(Some(whole))
    }

    /// Adds a later list.
    pub(super) fn merge(&mut self, other: Self) {
        if self.keys.is_empty() {
            *self = other;
            return;
        }
        let mut at = 0;
        let mut others = other.partials.into_iter();
        let mut missing: Vec<(usize, K, Vec<Partial>)> = Vec::new();
        for key in other.keys {
            // Lists of one question have mostly the same windows.
            at = match self.keys.get(at) {
                Some(ours) if *ours == key => at,
                _ => at + self.keys[at..].partition_point(|ours| *ours < key),
            };
            let theirs = others.by_ref().take(self.width);
            if self.keys.get(at) == Some(&key) {
                for (place, theirs) in theirs.enumerate() {
                    self.merge_part(at * self.width + place, theirs, &other.values);
                }
                at += 1;
                continue;
            }
            let theirs = theirs.map(|mut part| {
                part.relist_values(&other.values, &mut self.values);
                self.heap_bytes += part.heap_bytes();
                self.listed += part.listed();
                part
            });
            if at == self.keys.len() {
                self.keys.push(key);
                self.partials.extend(theirs);
                at += 1;
            } else {
                missing.push((at, key, theirs.collect()));
            }
        }
        if !missing.is_empty() {
            self.insert(missing);
        }
        if self.listed == 0 {
            self.values = self.values.another(0);
        }
    }

    /// Adds a part, whose values lie in a list, to one of ours.
    fn merge_part(&mut self, place: usize, theirs: Partial, list: &[f64]) {
        let ours = &mut self.partials[place];
        let before = (ours.heap_bytes(), ours.listed());
        ours.merge(theirs, (&self.values, list));
        self.heap_bytes = (self.heap_bytes + ours.heap_bytes()).saturating_sub(before.0);
        self.listed = (self.listed + ours.listed()).saturating_sub(before.1);
    }

    /// Inserts parts of new keys, each in front of a place.
    fn insert(&mut self, missing: Vec<(usize, K, Vec<Partial>)>) {
        let mut keys = Vec::with_capacity(self.keys.len() + missing.len());
        let mut partials = Vec::with_capacity(keys.capacity() * self.width);
        let mut old = std::mem::take(&mut self.partials).into_iter();
        let mut done = 0;
        for (at, key, parts) in missing {
            keys.extend_from_slice(&self.keys[done..at]);
            partials.extend(old.by_ref().take((at - done) * self.width));
            done = at;
            keys.push(key);
            partials.extend(parts);
        }
        keys.extend_from_slice(&self.keys[done..]);
        partials.extend(old);
        (self.keys, self.partials) = (keys, partials);
    }

    /// The same list with other keys; those that become one another's equals must not lie in it together.
    pub(super) fn map_keys<L: Ord + Copy>(self, map: impl Fn(K) -> L) -> PartList<L> {
        let keys = self.keys.into_iter().map(map).collect();
        let Self { width, partials, heap_bytes, values, listed, .. } = self;
        PartList { width, keys, partials, heap_bytes, values, listed }
    }

    /// Lists by what a function says of the keys: for each of `count` results one.
    pub(super) fn split(self, count: usize, list_of: impl Fn(K) -> usize) -> Vec<Self> {
        let mut lists: Vec<Self> = (0..count).map(|_| Self::with_list(self.width, self.values.another(0))).collect();
        let mut partials = self.partials.into_iter();
        for key in self.keys {
            let list = &mut lists[list_of(key)];
            list.keys.push(key);
            for mut part in partials.by_ref().take(self.width) {
                part.relist_values(&self.values, &mut list.values);
                list.heap_bytes += part.heap_bytes();
                list.listed += part.listed();
                list.partials.push(part);
            }
        }
        lists
    }

    /// Keys, the parts of each side by side, and the list that the parts share.
    pub(super) fn into_parts(self) -> (Vec<K>, Vec<Partial>, ValueList) {
        (self.keys, self.partials, self.values)
    }
}

fn heap_bytes(parts: &[Partial]) -> usize {
    parts.iter().map(Partial::heap_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cell, MetricType};
    use crate::operator::aggregate::{Aggregate, Needs};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn listed(parts: &[Partial]) -> usize {
        parts.iter().map(Partial::listed).sum()
    }

    /// What the parts of each key count, and their medians.
    fn medians(list: PartList<i32>) -> BTreeMap<i32, Vec<Vec<f64>>> {
        let (keys, mut parts, values) = list.into_parts();
        let mut median = |part: &mut Partial| {
            let count = part.count() as f64;
            match part.finish(Aggregate::Median, MetricType::Float, (&values, &mut Vec::new())) {
                Cell::Float(median) => vec![count, median],
                _ => vec![count],
            }
        };
        let of_key = |parts: &mut [Partial]| parts.iter_mut().map(&mut median).collect();
        keys.into_iter().zip(parts.chunks_mut(2).map(of_key)).collect()
    }

    /// A list of samples, which are their number in the order of all, but for every third one that is NaN.
    fn list(keys: &[i32], expected: &mut BTreeMap<i32, [Vec<f64>; 2]>) -> PartList<i32> {
        let needs = Needs::of(&[Aggregate::Median]);
        let mut list = PartList::new(2, None);
        for (number, key) in keys.iter().enumerate() {
            let (place, value) = (key.rem_euclid(2) as usize, [if number % 3 == 0 { f64::NAN } else { number as f64 }]);
            list.change_part(*key, place, |part, values| {
                part.add_run(&[1], &value, None, needs);
                part.add_values(&value, values);
            });
            expected.entry(*key).or_default()[place].extend(value.iter().filter(|value| !value.is_nan()));
        }
        list
    }

    /// The median of the values, by sorting.
    fn sorted_median(values: &mut [f64]) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        let middle = |place: usize| (values[(place - 1) / 2] + values[place / 2]) / 2.0;
        let count = [values.len() as f64];
        count.into_iter().chain((!values.is_empty()).then(|| middle(values.len()))).collect()
    }

    proptest! {
        #[test]
        fn lists_add_up_whatever_the_order_of_keys(lists in prop::collection::vec(prop::collection::vec(-5_i32..5, 0..20), 1..6)) {
            let mut expected = BTreeMap::new();
            let mut whole = PartList::new(2, None);
            for keys in &lists {
                whole.merge(list(keys, &mut expected));
            }
            let one_by_one = medians(whole.clone());
            let lists = lists.iter().map(|keys| list(keys, &mut BTreeMap::new())).collect();
            let together = PartList::merged(lists, None).unwrap().unwrap();
            prop_assert_eq!((together.heap_bytes, together.listed), (heap_bytes(&together.partials), listed(&together.partials)));
            prop_assert_eq!(medians(together), one_by_one);
            let expected: BTreeMap<i32, Vec<Vec<f64>>> =
                expected.into_iter().map(|(key, mut values)| (key, values.iter_mut().map(|values| sorted_median(values)).collect())).collect();
            prop_assert_eq!((whole.heap_bytes, whole.listed), (heap_bytes(&whole.partials), listed(&whole.partials)));
            prop_assert!(whole.keys.is_sorted() && whole.listed <= whole.values.len());
            let halves = whole.split(2, |key| usize::from(key >= 0));
            let sizes: Vec<usize> = halves.iter().map(PartList::len).collect();
            let mut both = BTreeMap::new();
            for half in halves {
                prop_assert_eq!((half.heap_bytes, half.listed), (heap_bytes(&half.partials), half.values.len()));
                both.extend(medians(half));
            }
            prop_assert_eq!(sizes[0], expected.keys().filter(|key| **key < 0).count());
            prop_assert_eq!(both, expected);
        }
    }
}
