//! Room that one question leaves to the next: lists of values are megabytes, and to take them from the system and give them back is
//! dearer than what is done with them.
//!
//! Guarantees: no more than a limit is kept, in few lists, all of them large; what is kept has no content. A thread gets back a list that
//! it filled before, where there is one: to write what lies in another core's cache takes several times as long.

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
    lists: Mutex<Vec<SpareList>>,
}

/// Room for values, and the thread that filled it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareList {
    pub(crate) values: Vec<f64>,
    /// Its place in the pool; `None` for one of no pool.
    thread: Option<usize>,
}

impl SpareList {
    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }
}

impl SpareLists {
    /// Lists that keep no more than so much together.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, lists: Mutex::new(Vec::new()) }
    }

    fn lists(&self) -> MutexGuard<'_, Vec<SpareList>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The least list with room for so many values, if there is one the least that this thread filled, else the largest; without room where
    /// none is kept.
    pub(crate) fn take(&self, values: usize) -> SpareList {
        let thread = rayon::current_thread_index();
        let mut lists = self.lists();
        let least = lists.partition_point(|list| list.values.capacity() < values).min(lists.len().saturating_sub(1));
        let own = lists[least..].iter().position(|list| list.thread == thread).unwrap_or(0);
        let taken = if lists.is_empty() { SpareList::default() } else { lists.remove(least + own) };
        SpareList { thread, ..taken }
    }

    /// Keeps a list for another, as far as the limit lets it.
    pub(crate) fn give(&self, mut list: SpareList) {
        if list.bytes() < LEAST_BYTES {
            return;
        }
        list.values.clear();
        let mut lists = self.lists();
        let kept_bytes: usize = lists.iter().map(SpareList::bytes).sum();
        if lists.len() < LISTS_MOST && kept_bytes + list.bytes() <= self.most_bytes {
            let place = lists.partition_point(|other| other.values.capacity() < list.values.capacity());
            lists.insert(place, list);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THOUSAND: usize = 1_000 * LEAST_BYTES / size_of::<f64>();

    fn filled(capacity: usize) -> SpareList {
        let mut values = Vec::with_capacity(capacity);
        values.push(1.0);
        SpareList { values, thread: None }
    }

    #[test]
    fn what_is_kept_is_empty_fits_and_passes_no_limit() {
        let spare = SpareLists::new(100 * THOUSAND * size_of::<f64>());
        assert_eq!(spare.take(1).values.capacity(), 0);
        [60, 10, 30, 50].iter().for_each(|thousands| spare.give(filled(thousands * THOUSAND)));
        // 60 + 10 + 30 are the limit: the last one is not kept.
        let asked = [20, 20, 70, 1].map(|thousands| spare.take(thousands * THOUSAND));
        assert_eq!(asked.each_ref().map(|list| list.values.capacity() / THOUSAND), [30, 60, 10, 0]);
        assert!(asked.iter().all(|list| list.values.is_empty()));
    }

    #[test]
    fn small_lists_are_not_kept_nor_are_many() {
        let spare = SpareLists::new(usize::MAX);
        (0..10_000).for_each(|_| spare.give(filled(64)));
        assert_eq!(spare.take(1).values.capacity(), 0);
        (0..1_000).for_each(|_| spare.give(filled(LEAST_BYTES)));
        assert_eq!((0..1_000).filter(|_| spare.take(1).values.capacity() > 0).count(), LISTS_MOST);
    }

    #[test]
    fn a_thread_gets_back_what_it_filled() {
        let spare = SpareLists::new(usize::MAX);
        let of_thread = |thread, thousands| SpareList { thread: Some(thread), ..filled(thousands * THOUSAND) };
        [of_thread(0, 10), of_thread(1, 20), of_thread(1, 30), of_thread(2, 40)]
            .into_iter()
            .for_each(|list| spare.give(list));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let taken = pool.broadcast(|context| (context.index() == 1).then(|| spare.take(THOUSAND).values.capacity()));
        assert_eq!(taken, [None, Some(20 * THOUSAND)]);
        // Of a thread that filled none: the least.
        assert_eq!(spare.take(THOUSAND).values.capacity(), 10 * THOUSAND);
    }
}
