//! Pages of open segments that were read: one cache for all segments of a store, so that a budget bounds them whatever their
//! number is.
//!
//! Guarantees: the pages held never take more than the budget; what is dropped is read again when it is needed, so that an
//! answer never depends on it; pages of a segment that nobody has open any more are gone; readers that find their page
//! do not wait for each other.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;
use crate::format::{BlockStatistics, DirectoryEntry, Gap, RollupCell, SliceGaps};
use crate::model::SegmentId;

/// A page that was read and checked.
#[derive(Debug, Clone)]
pub(super) enum CachedPage {
    /// Of the directory.
    Directory(Arc<Vec<DirectoryEntry>>),
    /// Of statistics, by slice.
    Statistics(Arc<Vec<(u32, BlockStatistics)>>),
    /// Of rollups, by slice.
    Rollups(Arc<Vec<(u32, Vec<RollupCell>)>>),
    /// Of gaps, by slice.
    Gaps(Arc<Vec<SliceGaps>>),
}

impl CachedPage {
    fn bytes(&self) -> usize {
        let content: usize = match self {
            Self::Directory(entries) => entries.iter().map(|entry| entry.columns.len() * 12 + 96).sum(),
            Self::Statistics(blocks) => blocks.len() * 208,
            Self::Rollups(slices) => slices.iter().map(|(_, cells)| cells.len() * size_of::<RollupCell>() + 32).sum(),
            Self::Gaps(slices) => {
                slices.iter().map(|gaps| gaps.listed.len() * size_of::<Gap>() + size_of::<SliceGaps>()).sum()
            }
        };
        content + PAGE_BYTES
    }
}

/// What a page takes beside its content: its places in map and ring.
const PAGE_BYTES: usize = 128;

/// Ids of segments are never given twice, and a segment never changes.
type Key = (SegmentId, u64);

#[derive(Debug)]
struct Held {
    page: CachedPage,
    bytes: usize,
    /// Whether it was asked for since the clock's hand passed.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Pages {
    by_key: HashMap<Key, Held>,
    /// The clock: whoever is at the front and was used goes to the back once more.
    ring: VecDeque<Key>,
    bytes: usize,
}

impl Pages {
    fn make_room(&mut self, room_bytes: usize) {
        while self.bytes > room_bytes {
            let Some(key) = self.ring.pop_front() else { return };
            let Some(held) = self.by_key.get_mut(&key) else { continue };
            if std::mem::take(held.used.get_mut()) {
                self.ring.push_back(key);
            } else {
                self.bytes -= held.bytes;
                self.by_key.remove(&key);
            }
        }
    }
}

/// Pages of segments in memory, within a budget.
#[derive(Debug)]
pub struct PageCache {
    bytes_max: usize,
    pages: RwLock<Pages>,
}

impl PageCache {
    /// An empty cache that holds so many bytes at most.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, pages: RwLock::default() }
    }

    /// Bytes of the pages held, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        // The maps are whole between any two calls: a panic elsewhere leaves nothing half done.
        self.pages.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// The page of a segment at an offset, read by `load` where it is not held.
    pub(super) fn get(
        &self,
        segment: SegmentId,
        offset: u64,
        load: impl FnOnce() -> Result<CachedPage>,
    ) -> Result<CachedPage> {
        let key = (segment, offset);
        if let Some(held) = self.pages.read().unwrap_or_else(PoisonError::into_inner).by_key.get(&key) {
            // Readers of one page would pass its line between their caches for nothing.
            if !held.used.load(Ordering::Relaxed) {
                held.used.store(true, Ordering::Relaxed);
            }
            return Ok(held.page.clone());
        }
        let page = load()?;
        let bytes = page.bytes();
        if bytes > self.bytes_max {
            return Ok(page);
        }
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        // Two readers may have read the page at once: the first one's stays.
        if !pages.by_key.contains_key(&key) {
            pages.make_room(self.bytes_max - bytes);
            pages.by_key.insert(key, Held { page: page.clone(), bytes, used: AtomicBool::new(false) });
            pages.ring.push_back(key);
            pages.bytes += bytes;
        }
        Ok(page)
    }

    /// Lets go of all pages of a segment.
    pub(super) fn forget(&self, segment: SegmentId) {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let pages = &mut *pages;
        pages.ring.retain(|key| key.0 != segment);
        let bytes = &mut pages.bytes;
        pages.by_key.retain(|key, held| {
            let stays = key.0 != segment;
            if !stays {
                *bytes -= held.bytes;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn page(blocks: usize) -> CachedPage {
        CachedPage::Statistics(Arc::new(vec![(blocks as u32, BlockStatistics::default()); blocks]))
    }

    fn blocks(page: &CachedPage) -> usize {
        if let CachedPage::Statistics(blocks) = page { blocks.len() } else { 0 }
    }

    proptest! {
        /// Whatever is asked for in whatever order: the right page, and never more than the budget.
        #[test]
        fn the_budget_holds(
            asked in prop::collection::vec((0_u64..5, 0_u64..6), 1..200), budget in 0_usize..6_000, forgotten in 0_u64..5
        ) {
            let cache = PageCache::new(budget);
            for (segment, offset) in &asked {
                let size = (segment * 7 + offset) as usize;
                let got = cache.get(SegmentId(*segment), *offset, || Ok(page(size))).unwrap();
                prop_assert_eq!(blocks(&got), size);
                prop_assert!(cache.bytes() <= budget);
                let pages = cache.pages.read().unwrap();
                let sum: usize = pages.by_key.values().map(|held| held.bytes).sum();
                prop_assert_eq!((pages.ring.len(), pages.bytes), (pages.by_key.len(), sum));
            }
            cache.forget(SegmentId(forgotten));
            prop_assert!(cache.pages.read().unwrap().by_key.keys().all(|key| key.0 != SegmentId(forgotten)));
            (0..5).for_each(|segment| cache.forget(SegmentId(segment)));
            prop_assert_eq!(cache.bytes(), 0);
        }
    }

    #[test]
    fn what_is_used_stays_longer_than_what_is_not() {
        let cache = PageCache::new(4 * page(1).bytes());
        let loads = std::cell::Cell::new(0);
        let ask = |offset: u64| {
            let load = || {
                loads.set(loads.get() + 1);
                Ok(page(1))
            };
            cache.get(SegmentId(1), offset, load).unwrap();
        };
        for offset in 0..50 {
            ask(1_000);
            ask(offset);
        }
        // The page that every second call asks for was read once.
        assert_eq!(loads.get(), 51);
    }
}
