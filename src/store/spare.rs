//! Room that one question leaves to the next: lists of values are megabytes, and to take them from the system and give them back is
//! dearer than what is done with them.
//!
//! Guarantees: no more than a limit is kept; what is kept has no content.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lists without content whose room is to be used again.
#[derive(Debug)]
pub(crate) struct SpareLists {
    most_bytes: usize,
    /// By rising capacity.
    lists: Mutex<Vec<Vec<f64>>>,
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
        list.clear();
        let mut lists = self.lists();
        let kept_bytes: usize = lists.iter().map(|list| list.capacity() * size_of::<f64>()).sum();
        if list.capacity() > 0 && kept_bytes + list.capacity() * size_of::<f64>() <= self.most_bytes {
            let place = lists.partition_point(|other| other.capacity() < list.capacity());
            lists.insert(place, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_empty_fits_and_passes_no_limit() {
        let spare = SpareLists::new(100 * size_of::<f64>());
        assert_eq!(spare.take(1).capacity(), 0);
        for capacity in [60, 10, 30, 50] {
            let mut list = Vec::with_capacity(capacity);
            list.push(1.0);
            spare.give(list);
        }
        // 60 + 10 + 30 are the limit: the last one is not kept.
        let taken: Vec<usize> =
            [20, 20, 70, 1].iter().map(|least| spare.take(*least)).map(|list| list.capacity() + list.len()).collect();
        assert_eq!(taken, [30, 60, 10, 0]);
    }
}
