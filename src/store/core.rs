//! What all clones of a store share.
//!
//! Locks, in the order in which they may be taken: `sealing` and `compacting` (one of each at a time; a seal never waits for a
//! compaction), `order` (one commit gets its number at a time), `log` (one group of commits is written at a time), `state`
//! (short: never held over input or output). A commit is visible in `state` only when the log holds it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound::{Excluded, Included};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::catalog::{Catalog, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Mark, SegmentEntry, Tombstone, Watermark};
use crate::hot::{Chunk, ChunkBuilder};
use crate::index::AttributeIndex;
use crate::io::{FileSystem, FolderHold};
use crate::kv::Kv;
use crate::model::{SegmentId, Sequence};
use crate::segment::PageCache;
use crate::time::Timestamp;

use super::commit::PendingCommit;
use super::deletes::Deletes;
use super::keys::KeptKeys;
use super::layout::Layout;
use super::options::Options;
use super::progress::Progress;
use super::segment_ref::SegmentRef;
use super::snapshot::SnapshotState;
use super::spare::SpareLists;

/// Frozen neighbours are joined while the older is at most this many times as large, so that many snapshots beside many
/// small writes leave few chunks.
const JOIN_RATIO: usize = 4;
/// Joined chunks are no larger than this.
const JOIN_BYTES_MAX: usize = 16 << 20;

/// What everybody sees: the effect of all commits up to `sequence`, each durable (or `Buffered`).
#[derive(Debug)]
pub(super) struct State {
    pub(super) sequence: Sequence,
    pub(super) hash: u64,
    pub(super) catalog: Arc<Catalog>,
    pub(super) attributes: Arc<AttributeIndex>,
    pub(super) manifest: Arc<Manifest>,
    /// The manifest's tombstones by device, made on first use; another one where they change.
    pub(super) deletes: Arc<OnceLock<Deletes>>,
    /// By id.
    pub(super) segments: Arc<Vec<Arc<SegmentRef>>>,
    pub(super) active: ChunkBuilder,
    /// By sequence; no barrier lies inside one.
    pub(super) frozen: Vec<Arc<Chunk>>,
    /// When the first commit that is not sealed came.
    pub(super) unsealed_since: Option<Timestamp>,
    /// Commits that no chunk may reach across: deletes and bulk loads.
    pub(super) barriers: BTreeSet<Sequence>,
    pub(super) snapshots: Vec<Weak<SnapshotState>>,
    /// Commits that have their number but are not in the log yet, and what the catalogue will be after them.
    pub(super) queue: Queue,
    pub(super) closing: bool,
    /// Whether something was sealed, or the store opened, since the background last looked for what to merge.
    pub(super) look_for_merges: bool,
    /// Compactions that somebody asked for, and that wait for the one under way: it makes haste.
    pub(super) compactions_waiting: u32,
    /// Why the last seal in the background failed: told to the writers that wait for it.
    pub(super) seal_failure: Option<(ErrorKind, String)>,
}

/// Commits on their way into the log.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) pending: Vec<PendingCommit>,
    pub(super) sequence: Sequence,
    pub(super) hash: u64,
    pub(super) catalog: Arc<Catalog>,
    pub(super) attributes: Arc<AttributeIndex>,
    pub(super) next_segment: u64,
    /// Idempotency keys on their way.
    pub(super) keys: HashMap<String, Sequence>,
    /// Keys of events on their way.
    pub(super) events: HashSet<Vec<u8>>,
}

/// The watermark file, and how far it lags.
#[derive(Debug)]
pub(super) struct Lag {
    pub(super) watermark: Watermark,
    pub(super) durable: Mark,
    pub(super) batches: u32,
    /// Whether commits were written without a flush since.
    pub(super) unflushed: bool,
}

/// Bytes that went through the store since it was opened.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) logged: AtomicU64,
    pub(super) sealed: AtomicU64,
    pub(super) loaded: AtomicU64,
    pub(super) compacted: AtomicU64,
}

/// What all clones of a store share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) layout: Layout,
    pub(super) options: Options,
    pub(super) kv: Kv,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) pages: Arc<PageCache>,
    pub(super) pool: rayon::ThreadPool,
    pub(super) spare: Arc<SpareLists>,
    pub(super) read_only: bool,
    pub(super) sealing: Mutex<()>,
    pub(super) compacting: Mutex<()>,
    pub(super) order: Mutex<KeptKeys>,
    pub(super) log: Mutex<Option<Lag>>,
    pub(super) state: Mutex<State>,
    /// Signalled when memory is freed, work is there, or the store closes.
    pub(super) changed: Condvar,
    pub(super) poisoned: AtomicBool,
    /// Whether the store was closed; clones of its handle may go on reading.
    pub(super) closed: AtomicBool,
    /// Whether the watermark lags behind the log.
    pub(super) lagging: AtomicBool,
    /// Ends the compaction in the background when the store closes.
    pub(super) background: Progress,
    pub(super) counters: Counters,
    /// Keeps other writers out; dropped last.
    #[expect(dead_code, reason = "it is held, not read")]
    pub(super) hold: Option<FolderHold>,
}

/// Locks, also after a panic elsewhere: every change below a lock leaves whole values at each step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Bytes of unsealed rows.
    pub(super) fn hot_bytes(&self) -> usize {
        let frozen: usize = self.frozen.iter().map(|chunk| chunk.memory_bytes()).sum();
        self.active.memory_bytes() + frozen
    }

    /// The commits of bulk loads that are not sealed over yet: a sealed segment stands for commits up to `sealed_through`.
    pub(super) fn unsealed_loads(&self) -> Vec<Sequence> {
        let sealed_through = self.manifest.sealed_through;
        let commits = self.manifest.segments.iter().map(|entry| entry.sequences.0);
        commits.filter(|sequence| *sequence > sealed_through).collect()
    }

    /// Changes the manifest's tombstones.
    pub(super) fn change_tombstones(&mut self, change: impl FnOnce(&mut Vec<Tombstone>)) {
        change(&mut Arc::make_mut(&mut self.manifest).tombstones);
        self.deletes = Arc::default();
    }

    /// Notes that a commit came.
    pub(super) fn note_unsealed(&mut self, at: Timestamp) {
        self.unsealed_since.get_or_insert(at);
    }

    /// Closes the active chunk, and joins small ones.
    ///
    /// # Errors
    /// What joining returns; the chunks stand as they were then.
    pub(super) fn freeze(&mut self) -> Result<()> {
        let Some(chunk) = std::mem::take(&mut self.active).freeze() else { return Ok(()) };
        self.frozen.push(Arc::new(chunk));
        while let [.., older, newer] = self.frozen.as_slice() {
            let between = (Excluded(older.sequences().1), Included(newer.sequences().0));
            let apart = self.barriers.range(between).next().is_some();
            let (old, new) = (older.memory_bytes(), newer.memory_bytes());
            if apart || old > new * JOIN_RATIO || old + new > JOIN_BYTES_MAX {
                break;
            }
            let Some(joined) = older.join(newer)? else { break };
            self.frozen.truncate(self.frozen.len() - 2);
            self.frozen.push(Arc::new(joined));
        }
        Ok(())
    }

    /// Replaces segments: some go, some come or change.
    pub(super) fn change_segments(&mut self, gone: &[SegmentId], come: Vec<Arc<SegmentRef>>) {
        let manifest = Arc::make_mut(&mut self.manifest);
        manifest.remove_segments(gone);
        manifest.add_segments(come.iter().map(|segment| Arc::clone(&segment.entry)));
        let mut segments: Vec<Arc<SegmentRef>> = Vec::with_capacity(self.segments.len() + come.len());
        for segment in self.segments.iter() {
            if gone.contains(&segment.entry.id) {
                segment.retire();
            } else if !come.iter().any(|new| new.entry.id == segment.entry.id) {
                segments.push(Arc::clone(segment));
            }
        }
        segments.extend(come);
        segments.sort_by_key(|segment| segment.entry.id);
        self.segments = Arc::new(segments);
    }
}

impl Core {
    pub(super) fn segments_folder(&self) -> PathBuf {
        self.layout.segments()
    }

    pub(super) fn segment_ref(&self, entry: SegmentEntry) -> Arc<SegmentRef> {
        Arc::new(SegmentRef::new(&self.fs, &self.pages, self.segments_folder(), Arc::new(entry)))
    }

    /// Whether writing is possible.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the store was opened for reading").at_path(&self.layout.root));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(self.is_closed());
        }
        self.check_flushes()
    }

    pub(super) fn is_closed(&self) -> Error {
        Error::new(ErrorKind::Closed, "the store was closed, and takes no more writes")
            .at_path(&self.layout.root)
            .advise("open it again")
    }

    /// Whether every write so far is as durable as was said.
    pub(super) fn check_flushes(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Poisoned, "an earlier write failed, so what the disk holds is unknown")
                .at_path(&self.layout.root)
                .advise("close the store and open it again"));
        }
        Ok(())
    }

    /// No more writes. Not to be called with the state's lock: whoever waits on it must see this or be woken.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
        drop(lock(&self.state));
        self.changed.notify_all();
    }
}
