//! A segment as snapshots see it: opened on first use, unlinked with its last reference.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::format::SegmentEntry;
use crate::io::FileSystem;
use crate::model::SegmentId;
use crate::segment::{PageCache, Segment, file_name};

/// One file, shared by all entries that it has had in the manifest.
#[derive(Debug)]
struct SegmentFile {
    fs: Arc<dyn FileSystem>,
    pages: Arc<PageCache>,
    folder: PathBuf,
    id: SegmentId,
    open: OnceLock<Arc<Segment>>,
    /// Whether the manifest has let go of it.
    dead: AtomicBool,
}

/// A segment as a snapshot sees it: its entry, and its file.
#[derive(Debug)]
pub struct SegmentRef {
    /// The manifest's entry, with what is excluded.
    pub entry: Arc<SegmentEntry>,
    file: Arc<SegmentFile>,
}

impl SegmentRef {
    /// `pages` is the cache that all segments of the store share.
    pub(super) fn new(
        fs: &Arc<dyn FileSystem>,
        pages: &Arc<PageCache>,
        folder: PathBuf,
        entry: Arc<SegmentEntry>,
    ) -> Self {
        let file = SegmentFile {
            fs: Arc::clone(fs),
            pages: Arc::clone(pages),
            folder,
            id: entry.id,
            open: OnceLock::new(),
            dead: AtomicBool::new(false),
        };
        Self { entry, file: Arc::new(file) }
    }

    /// The same file under another entry.
    pub(super) fn with_entry(&self, entry: Arc<SegmentEntry>) -> Self {
        Self { entry, file: Arc::clone(&self.file) }
    }

    /// The open segment; the file is opened on first use and stays open.
    ///
    /// # Errors
    /// What [`Segment::open`] returns.
    pub fn segment(&self) -> Result<Arc<Segment>> {
        if let Some(segment) = self.file.open.get() {
            return Ok(Arc::clone(segment));
        }
        let segment = Arc::new(Segment::open(self.file.fs.as_ref(), &self.file.folder, &self.entry, &self.file.pages)?);
        Ok(Arc::clone(self.file.open.get_or_init(|| segment)))
    }

    /// Lets the file go with its last reference.
    pub(super) fn retire(&self) {
        self.file.dead.store(true, Ordering::Release);
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if !self.dead.load(Ordering::Acquire) {
            return;
        }
        // The manifest forgot the file durably: should this fail, the next opening removes it.
        if let Err(error) = self.fs.remove(&self.folder.join(file_name(self.id))) {
            tracing::warn!(%error, "a segment that is no longer needed could not be removed");
        }
    }
}
