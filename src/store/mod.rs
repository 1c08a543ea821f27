//! The store: open, write, seal, bulk load, compact, snapshot.
//!
//! Guarantees (the words a user reads are in README.md, "Durability"): a batch is all or nothing, and durable when `write`
//! returns; commits have one order, and the higher one wins, metric by metric; neither a seal nor a compaction changes an
//! answer; a snapshot shows one moment; a second writer is refused, readers beside a writer write nothing; memory is
//! bounded by [`Options::memory_bytes`], and writers wait rather than pass it.

mod background;
mod bulk_load;
mod commit;
mod compact;
mod core;
mod deletes;
mod event_load;
mod events;
mod gather;
mod info;
mod keys;
mod layout;
mod log_merge;
mod merge_plan;
mod open;
mod options;
mod parts;
mod progress;
mod rejections;
mod seal;
mod segment_ref;
mod segment_set;
mod snapshot;
mod spare;
mod write;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::Result;
use crate::ingest::Rejection;
use crate::model::{Sequence, WriteBatch};

pub use bulk_load::{BulkLoad, Loaded};
pub use info::{ColumnInfo, StoreInfo, TierInfo, WrittenBytes};
pub use options::{Durability, Options};
pub use parts::StoreParts;
pub use progress::Progress;
pub use rejections::{KeptRejection, REJECTIONS_MAX};
pub use segment_ref::SegmentRef;
pub use snapshot::Snapshot;
pub(crate) use spare::{SpareList, SpareLists};

use core::{Core, lock};

/// A store. Cheap to clone, `Send + Sync`; the last clone closes it.
///
/// ```
/// use fleetlog::{Options, Store, TimeRange, Timestamp, WriteBatch};
/// # let folder = tempfile::tempdir().map_err(|e| fleetlog::Error::io(e, "making a folder", "."))?;
/// let store = Store::open(folder.path().join("plant.fleet"), Options { create: true, ..Options::default() })?;
/// let mut batch = WriteBatch::new();
/// batch.reading("pump-17", Timestamp::parse("2025-06-15T08:00:00Z")?).float("power_w", 41.2);
/// store.write(batch)?;
///
/// let snapshot = store.snapshot()?;
/// let pump = snapshot.catalog().device("pump-17").ok_or(fleetlog::Error::new(fleetlog::ErrorKind::NotFound, "pump"))?;
/// assert_eq!(snapshot.rows(pump, TimeRange::ALL, None)?.len(), 1);
/// # Ok::<(), fleetlog::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store(Arc<Handle>);

/// What the last clone closes.
#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    background: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens for writing, creating the store where `options.create` allows it. Reads the log that is not sealed yet, which
    /// the memory budget bounds.
    ///
    /// # Errors
    /// [`crate::ErrorKind::StoreHeld`] when another writer has it, [`crate::ErrorKind::NotFound`] where there is none,
    /// [`crate::ErrorKind::AlreadyExists`] where something else is in the folder, [`crate::ErrorKind::DataLoss`] when acknowledged
    /// commits are missing, [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::UnsupportedVersion`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let core = Arc::new(open::open_writer(path.as_ref(), options)?);
        let background = background::start(&core)?;
        Ok(Self(Arc::new(Handle { core, background: Mutex::new(background) })))
    }

    /// Opens for reading beside a writer, or where there is none; shows the state as of now, and writes nothing in the store
    /// (see [`Options::scratch_folder`]). It holds the file of every segment open, since a writer may remove each at any time.
    ///
    /// # Errors
    /// As [`Store::open`], but never [`crate::ErrorKind::StoreHeld`]; [`crate::ErrorKind::LimitExceeded`] where the process may not open so
    /// many files.
    pub fn open_read_only(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let core = Arc::new(open::open_reader(path.as_ref(), options)?);
        Ok(Self(Arc::new(Handle { core, background: Mutex::new(Vec::new()) })))
    }

    fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    /// Stores a batch, all or nothing; durable when it returns `Ok` (see [`Durability`]). Waits while unsealed rows hold
    /// more memory than they may. An error of the disk means "unknown": a retry with the same idempotency key is stored once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] and [`crate::ErrorKind::TypeMismatch`] before anything is stored;
    /// [`crate::ErrorKind::Io`], [`crate::ErrorKind::OutOfSpace`], [`crate::ErrorKind::Poisoned`], [`crate::ErrorKind::ReadOnly`].
    pub fn write(&self, batch: WriteBatch) -> Result<Sequence> {
        self.core().write(batch)
    }

    /// Seals everything that is unsealed now.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`], [`crate::ErrorKind::OutOfSpace`]: the rows stay in log and memory.
    pub fn seal(&self) -> Result<()> {
        self.core().seal()
    }

    /// Merges what is due: small segments of a day, days of a past month. Applies deletes: a month is written anew for those that are
    /// sealed. Where `cold`, everything becomes months of the cold tier ([`crate::codec::Tier`]), for all deletes; late rows and later deletes
    /// bring a month back into the fast one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`]; errors of the files. Nothing is lost, whenever it ends.
    pub fn compact(&self, cold: bool, progress: Option<&Progress>) -> Result<()> {
        self.core().compact(cold, progress)
    }

    /// Starts a bulk load of sorted history.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ReadOnly`], errors of the files.
    pub fn bulk_load(&self) -> Result<BulkLoad> {
        BulkLoad::start(self.clone())
    }

    /// This moment.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::take(self.core())
    }

    /// What the store holds, in numbers. Reads rows only where segments overlap or rows are unsealed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
    pub fn info(&self) -> Result<StoreInfo> {
        self.at_a_moment(|snapshot| self.core().info(snapshot))
    }

    /// Asks something of the present moment; of a newer one, where writers needed the memory of the snapshot meanwhile.
    ///
    /// # Errors
    /// What `ask` returns; [`crate::ErrorKind::SnapshotExpired`] when it expired again and again.
    pub fn at_a_moment<R>(&self, ask: impl Fn(&Snapshot) -> Result<R>) -> Result<R> {
        snapshot::ask_again(|| self.snapshot(), ask)
    }

    /// Bytes that were written since the store was opened.
    #[must_use]
    pub fn written_bytes(&self) -> WrittenBytes {
        self.core().written_bytes()
    }

    /// Keeps rows of a source (a file's name) that were refused. The newest [`REJECTIONS_MAX`] are kept.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn reject(&self, source: &str, rejections: &[Rejection]) -> Result<()> {
        self.core().reject(source, rejections)
    }

    /// Visits what was refused and kept, oldest first, until `visit` says false.
    ///
    /// # Errors
    /// What `visit` returns; [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
    pub fn rejections(&self, visit: &mut dyn FnMut(KeptRejection) -> Result<bool>) -> Result<()> {
        self.core().rejections(visit)
    }

    /// The folder of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.core().layout.root
    }

    /// The options that it runs with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.core().options
    }

    /// Runs work on the store's own threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.core().pool.install(work)
    }

    /// Ends the background work and brings the watermark up; says what a drop would swallow. Other clones go on reading, and what they write is
    /// refused; the store is held until the last of them is gone.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`], [`crate::ErrorKind::Poisoned`].
    pub fn close(self) -> Result<()> {
        self.0.end()
    }
}

impl Handle {
    fn end(&self) -> Result<()> {
        let background = std::mem::take(&mut *lock(&self.background));
        if background.is_empty() {
            return Ok(());
        }
        lock(&self.core.state).closing = true;
        self.core.background.cancel();
        self.core.changed.notify_all();
        for thread in background {
            if thread.join().is_err() {
                tracing::error!("a background thread ended by a panic");
            }
        }
        self.core.check_flushes()?;
        self.core.closed.store(true, std::sync::atomic::Ordering::Release);
        self.core.advance_watermark()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "closing the store");
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_beside;
#[cfg(test)]
mod tests_cold;
#[cfg(test)]
mod tests_deletes;
#[cfg(test)]
mod tests_event_load;
#[cfg(test)]
mod tests_faults;
#[cfg(test)]
mod tests_info;
#[cfg(test)]
mod tests_logs;
#[cfg(test)]
mod tests_order;
#[cfg(test)]
mod tests_overwriting;
#[cfg(test)]
mod tests_pages;
#[cfg(test)]
mod tests_power;
