//! Room that one question leaves to the next: lists of values are megabytes, and to take them from the system and give them back is
//! dearer than what is done with them.
//!
//! Guarantees: no more than a limit is kept, in few lists, all of them large; what is kept has no content.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// More are not looked through.
const LISTS_MOST: usize = 64;
/// Smaller ones cost no more than a look for a spare one.
const LEAST_BYTES: usize = 64 << 10;

/// Lists without content whose room is to be used again.
#[derive(Debug)]
pub(crate) struct SpareLists {
    most_bytes: usize,
    /// By rising capacity.
    lists: Mutex<Vec<Vec<f64>>>,
}

fn bytes_of(list: &Vec<f64>) -> usize {
    list.capacity() * size_of::<f64>()
}

impl SpareLists {
    /// Lists that keep no more than so much together.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, lists: Mutex::new(Vec::new()) }
    }

    fn lists(&self) -> MutexGuard<'_, Vec<Vec<f64>>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least list with room for so many values, else the largest; without room where none is kept.
    pub(crate) fn take(&self, values: usize) -> Vec<f64> {
        let mut lists = self.lists();
        let place = lists.partition_point(|list| list.capacity() < values).min(lists.len().saturating_sub(1));
        if place < lists.len() { lists.remove(place) } else { Vec::new() }
    }

    /// Keeps a list for another, as far as the limit lets it.
    pub(crate) fn give(&self, mut list: Vec<f64>) {
        if bytes_of(&list) < LEAST_BYTES {
            return;
        }
        list.clear();
        let mut lists = self.lists();
        let kept_bytes: usize = lists.iter().map(bytes_of).sum();
        if lists.len() < LISTS_MOST && kept_bytes + bytes_of(&list) <= self.most_bytes {
            let place = lists.partition_point(|other| other.capacity() < list.capacity());
            lists.insert(place, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THOUSAND: usize = 1_000 * LEAST_BYTES / size_of::<f64>();

    fn filled(capacity: usize) -> Vec<f64> {
        let mut list = Vec::with_capacity(capacity);
        list.push(1.0);
        list
    }

    #[test]
    fn what_is_kept_is_empty_fits_and_passes_no_limit() {
        let spare = SpareLists::new(100 * THOUSAND * size_of::<f64>());
        assert_eq!(spare.take(1).capacity(), 0);
        [60, 10, 30, 50].iter().for_each(|thousands| spare.give(filled(thousands * THOUSAND)));
        // 60 + 10 + 30 are the limit: the last one is not kept.
        let asked = [20, 20, 70, 1].map(|thousands| spare.take(thousands * THOUSAND));
        assert_eq!(asked.each_ref().map(|list| list.capacity() / THOUSAND), [30, 60, 10, 0]);
        assert!(asked.iter().all(Vec::is_empty));
    }

    #[test]
    fn small_lists_are_not_kept_nor_are_many() {
        let spare = SpareLists::new(usize::MAX);
        (0..10_000).for_each(|_| spare.give(filled(64)));
        assert_eq!(spare.take(1).capacity(), 0);
        (0..1_000).for_each(|_| spare.give(filled(LEAST_BYTES)));
        assert_eq!((0..1_000).filter(|_| spare.take(1).capacity() > 0).count(), LISTS_MOST);
    }
}
