//! Parts of an answer by window: those of one device, or of one group.
//!
//! Guarantees: keys rise; parts of one key lie side by side, one for each expression; what they take in memory is counted to the
//! byte of what was asked of the allocator, but for the allocator's own.

use super::partial::Partial;

/// Parts by key, in rising order of the keys.
#[derive(Debug)]
pub(super) struct PartList<K> {
    /// Parts of each key: one for each expression.
    width: usize,
    keys: Vec<K>,
    partials: Vec<Partial>,
    /// What parts take beside their places.
    heap_bytes: usize,
}

impl<K: Ord + Copy> PartList<K> {
    /// An empty list, with so many parts for each key.
    pub(super) fn new(width: usize) -> Self {
        Self { width, keys: Vec::new(), partials: Vec::new(), heap_bytes: 0 }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What it takes in memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<K>() + self.partials.capacity() * size_of::<Partial>() + self.heap_bytes
    }

    /// Changes the parts of a key, empty ones where it is new. Keys mostly come in rising order.
    pub(super) fn change<R>(&mut self, key: K, change: impl FnOnce(&mut [Partial]) -> R) -> R {
        let place = match self.keys.last() {
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
        };
        let parts = &mut self.partials[place * self.width..(place + 1) * self.width];
        let before = heap_bytes(parts);
        let result = change(parts);
        self.heap_bytes = (self.heap_bytes + heap_bytes(parts)).saturating_sub(before);
        result
    }

    /// Changes each part, with its place among those of its key.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(usize, &mut Partial)) {
        let width = self.width;
        self.partials.iter_mut().enumerate().for_each(|(place, part)| change(place % width, part));
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
                for (ours, theirs) in self.partials[at * self.width..].iter_mut().zip(theirs) {
                    let before = ours.heap_bytes();
                    ours.merge(theirs);
                    self.heap_bytes = (self.heap_bytes + ours.heap_bytes()).saturating_sub(before);
                }
                at += 1;
            } else if at == self.keys.len() {
                self.keys.push(key);
                for part in theirs {
                    self.heap_bytes += part.heap_bytes();
                    self.partials.push(part);
                }
                at += 1;
            } else {
                missing.push((at, key, theirs.collect()));
            }
        }
        if !missing.is_empty() {
            self.insert(missing);
        }
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
            self.heap_bytes += heap_bytes(&parts);
            partials.extend(parts);
        }
        keys.extend_from_slice(&self.keys[done..]);
        partials.extend(old);
        (self.keys, self.partials) = (keys, partials);
    }

    /// The same list with other keys; those that become one another's equals must not lie in it together.
    pub(super) fn map_keys<L: Ord + Copy>(self, map: impl Fn(K) -> L) -> PartList<L> {
        let keys = self.keys.into_iter().map(map).collect();
        PartList { width: self.width, keys, partials: self.partials, heap_bytes: self.heap_bytes }
    }

    /// Lists by what a function says of the keys: for each of `count` results one.
    pub(super) fn split(self, count: usize, list_of: impl Fn(K) -> usize) -> Vec<Self> {
        let mut lists: Vec<Self> = (0..count).map(|_| Self::new(self.width)).collect();
        let mut partials = self.partials.into_iter();
        for key in self.keys {
            let list = &mut lists[list_of(key)];
            list.keys.push(key);
            for part in partials.by_ref().take(self.width) {
                list.heap_bytes += part.heap_bytes();
                list.partials.push(part);
            }
        }
        lists
    }

    /// Keys, and the parts of each side by side.
    pub(super) fn into_parts(self) -> (Vec<K>, Vec<Partial>) {
        (self.keys, self.partials)
    }
}

fn heap_bytes(parts: &[Partial]) -> usize {
    parts.iter().map(Partial::heap_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::aggregate::{Aggregate, Needs};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn counts(list: PartList<i32>) -> BTreeMap<i32, Vec<u64>> {
        let (keys, parts) = list.into_parts();
        keys.into_iter()
            .zip(parts.chunks(2))
            .map(|(key, parts)| (key, parts.iter().map(Partial::count).collect()))
            .collect()
    }

    fn list(keys: &[i32], expected: &mut BTreeMap<i32, Vec<u64>>) -> PartList<i32> {
        let needs = Needs::of(&[Aggregate::Median]);
        let mut list = PartList::new(2);
        for key in keys {
            let place = key.rem_euclid(2) as usize;
            list.change(*key, |parts| parts[place].add_run(&[1], &[f64::from(*key)], None, needs));
            expected.entry(*key).or_insert_with(|| vec![0, 0])[place] += 1;
        }
        list
    }

    proptest! {
        #[test]
        fn lists_add_up_whatever_the_order_of_keys(lists in prop::collection::vec(prop::collection::vec(-20_i32..20, 0..60), 1..5)) {
            let mut expected = BTreeMap::new();
            let mut whole = PartList::new(2);
            for keys in &lists {
                whole.merge(list(keys, &mut expected));
            }
            let (_, partials) = (whole.len(), &whole.partials);
            prop_assert_eq!(whole.heap_bytes, heap_bytes(partials));
            prop_assert!(whole.keys.is_sorted());
            let halves = whole.split(2, |key| usize::from(key >= 0));
            let sizes: Vec<usize> = halves.iter().map(PartList::len).collect();
            let mut both = BTreeMap::new();
            for half in halves {
                prop_assert_eq!(half.heap_bytes, heap_bytes(&half.partials));
                both.extend(counts(half));
            }
            prop_assert_eq!(sizes[0], expected.keys().filter(|key| **key < 0).count());
            prop_assert_eq!(both, expected);
        }
    }
}
