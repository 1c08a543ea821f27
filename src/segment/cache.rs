//! Pages of one open segment that were read: shared by all its readers, and dropped when they hold too much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::format::{BlockStatistics, DirectoryEntry, RollupCell};

/// Bytes of pages that one segment keeps, about.
const HELD_BYTES_MAX: usize = 8 << 20;

/// A page that was read and checked.
#[derive(Debug, Clone)]
pub(super) enum CachedPage {
    /// Of the directory.
    Directory(Arc<Vec<DirectoryEntry>>),
    /// Of statistics, by slice.
    Statistics(Arc<Vec<(u32, BlockStatistics)>>),
    /// Of rollups, by slice.
    Rollups(Arc<Vec<(u32, Vec<RollupCell>)>>),
}

impl CachedPage {
    fn bytes(&self) -> usize {
        match self {
            Self::Directory(entries) => entries.iter().map(|entry| entry.columns.len() * 12 + 96).sum(),
            Self::Statistics(blocks) => blocks.len() * 208,
            Self::Rollups(slices) => slices.iter().map(|(_, cells)| cells.len() * 80 + 32).sum(),
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    pages: HashMap<u64, CachedPage>,
    bytes: usize,
}

/// Pages by their offset in the file.
#[derive(Debug, Default)]
pub(super) struct PageCache(Mutex<Held>);

impl PageCache {
    fn held(&self) -> MutexGuard<'_, Held> {
        // The map is whole between any two of its calls, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page at an offset, read by `load` where it is not held.
    pub(super) fn get(&self, offset: u64, load: impl FnOnce() -> Result<CachedPage>) -> Result<CachedPage> {
        if let Some(page) = self.held().pages.get(&offset) {
            return Ok(page.clone());
        }
        let page = load()?;
        let mut held = self.held();
        let bytes = page.bytes();
        if held.bytes + bytes > HELD_BYTES_MAX {
            *held = Held::default();
        }
        if held.pages.insert(offset, page.clone()).is_none() {
            held.bytes += bytes;
        }
        Ok(page)
    }

    pub(super) fn bytes(&self) -> usize {
        self.held().bytes
    }

    pub(super) fn clear(&self) {
        *self.held() = Held::default();
    }
}
