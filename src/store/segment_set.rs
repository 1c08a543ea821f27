//! Several segments written side by side: one per bucket, and one for all buckets beyond a limit.
//!
//! Guarantees: at most [`SegmentSet::FILES_MAX`] files, whatever the times are (wrong clocks reach from 1677 to 2262); each file's
//! id was set aside by a durable intent before the file is created; no slice holds more than [`SLICE_VALUES`] values, so that
//! whoever reads one knows what it takes; what all its writers hold for pages of their own stays within one budget.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{Intent, Manifest};
use crate::codec::Tier;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{SLICE_VALUES_MAX, SegmentEntry, encode_record};
use crate::io::FileSystem;
use crate::kv::{Family, KvBatch};
use crate::model::{DeviceHandle, DeviceRows, SegmentId, Sequence, StoredLog};
use crate::segment::{SegmentWriter, file_name, temporary_name};
use crate::time::{BucketWidth, TimeBucket, Timestamp};

use super::core::{Core, lock};
use super::layout::put_next_segment;

/// The most values of a slice, times included: 16 MiB of floats.
pub(super) const SLICE_VALUES: usize = SLICE_VALUES_MAX;
/// The most log records of a slice.
pub(super) const SLICE_LOGS: usize = 1 << 16;
/// The most bytes of log records of a slice, but for one record.
pub(super) const SLICE_LOG_BYTES: usize = 16 << 20;

/// The part of the store's memory that writers hold for their pages: one in so many bytes.
const HELD_SHARE: usize = 8;

/// Ids set aside in the store's counter, with the intent that says so.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) intent: Intent,
    next: u64,
}

impl Core {
    /// Sets segment ids aside, durably.
    pub(super) fn reserve(&self, count: u32, purpose: &str) -> Result<Reserved> {
        self.check_writable()?;
        let mut batch = KvBatch::default();
        // The counter and the record go together, and in the order of the counter: the log's lock holds that order.
        let _log = lock(&self.log);
        let first = {
            let mut state = lock(&self.state);
            let first = state.queue.next_segment;
            state.queue.next_segment += u64::from(count);
            put_next_segment(&mut batch, state.queue.next_segment)?;
            first
        };
        let intent = Intent { first: SegmentId(first), count, purpose: purpose.to_owned() };
        batch.put(Family::Manifest, intent.key(), encode_record(&intent)?);
        self.write_synced(batch)?;
        Ok(Reserved { intent, next: first })
    }

    /// Writes segments' entries and forgets the intent, in one batch.
    pub(super) fn register(entries: &[SegmentEntry], intent: &Intent, batch: &mut KvBatch) -> Result<()> {
        for entry in entries {
            let (key, value) = Manifest::segment_record(entry)?;
            batch.put(Family::Manifest, key, value);
        }
        batch.delete(Family::Manifest, intent.key());
        Ok(())
    }

    /// Fills a set and finishes its files; removes them where that fails.
    pub(super) fn build(
        &self,
        mut set: SegmentSet,
        ids: &mut Reserved,
        fill: impl FnOnce(&mut SegmentSet, &mut Reserved) -> Result<()>,
    ) -> Result<Vec<SegmentEntry>> {
        let built = match fill(&mut set, ids) {
            Ok(()) => set.finish(),
            Err(error) => {
                drop(set);
                Err(error)
            }
        };
        // The error is what the caller must know; files that can not be removed go at the next opening.
        built.inspect_err(|_| {
            if let Err(error) = self.remove_files(ids) {
                tracing::warn!(%error, "files of a seal or compaction that failed are left");
            }
        })
    }

    /// Removes the files of ids that were taken, finished or not, and forgets their intent.
    pub(super) fn remove_files(&self, ids: &Reserved) -> Result<()> {
        let folder = self.segments_folder();
        for id in (ids.intent.first.0..ids.next).map(SegmentId) {
            self.fs.remove(&folder.join(file_name(id)))?;
            self.fs.remove(&folder.join(temporary_name(id)))?;
        }
        self.forget(&ids.intent)
    }

    /// Forgets an intent whose files were removed.
    fn forget(&self, intent: &Intent) -> Result<()> {
        let mut batch = KvBatch::default();
        batch.delete(Family::Manifest, intent.key());
        self.write_synced(batch)
    }

    /// Writes changes durably; where that fails, what the disk holds is unknown, and nothing is written any more.
    pub(super) fn write_synced(&self, batch: KvBatch) -> Result<()> {
        self.kv.write(batch, true).inspect_err(|_| self.poison())
    }
}

impl Reserved {
    /// The next of the ids.
    pub(super) fn take(&mut self) -> Result<SegmentId> {
        let id = self.next;
        if id >= self.intent.first.0 + u64::from(self.intent.count) {
            return Err(Error::new(ErrorKind::LimitExceeded, "more segments than were set aside"));
        }
        self.next += 1;
        Ok(SegmentId(id))
    }
}

/// Segments in the making.
#[derive(Debug)]
pub(super) struct SegmentSet {
    fs: Arc<dyn FileSystem>,
    folder: PathBuf,
    width: BucketWidth,
    sequences: (Sequence, Sequence),
    writers: BTreeMap<i32, SegmentWriter>,
    /// For the buckets beyond the limit.
    sparse: Option<SegmentWriter>,
    /// Buckets that may have a file of their own; all, up to the limit, where `None`.
    own: Option<Vec<i32>>,
    /// What the files of single buckets are written for.
    tier: Tier,
    /// Bytes that the writers may hold together for their pages.
    held_bytes_max: usize,
}

impl SegmentSet {
    /// The most files of one set.
    pub(super) const FILES_MAX: usize = 60;

    /// An empty set. `sequences` of zero: the range is fixed later, by the manifest.
    pub(super) fn new(core: &Core, width: BucketWidth, sequences: (Sequence, Sequence), own: Option<Vec<i32>>) -> Self {
        let (fs, folder) = (Arc::clone(&core.fs), core.segments_folder());
        let held_bytes_max = core.options.memory_bytes / HELD_SHARE;
        Self {
            fs,
            folder,
            width,
            sequences,
            writers: BTreeMap::new(),
            sparse: None,
            own,
            tier: Tier::Fast,
            held_bytes_max,
        }
    }

    /// The same with files of single buckets written for a tier; what holds many sparse ones is small, and stays in the fast one.
    pub(super) fn of_tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    fn writer(&mut self, bucket: i32, ids: &mut Reserved) -> Result<&mut SegmentWriter> {
        let may = match &self.own {
            Some(own) => own.contains(&bucket),
            None => self.writers.contains_key(&bucket) || self.writers.len() + 1 < Self::FILES_MAX,
        };
        let (slot, tier) = if may { (None, self.tier) } else { (Some(&mut self.sparse), Tier::Fast) };
        let (fs, width, sequences) = (Arc::clone(&self.fs), self.width, self.sequences);
        let mut create = || SegmentWriter::create(Arc::clone(&fs), &self.folder, ids.take()?, width, sequences, tier);
        match slot {
            Some(sparse) => match sparse {
                Some(writer) => Ok(writer),
                None => Ok(sparse.insert(create()?)),
            },
            None => match self.writers.entry(bucket) {
                std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
                std::collections::btree_map::Entry::Vacant(entry) => Ok(entry.insert(create()?)),
            },
        }
    }

    /// Writes rows and log records of a device, split by bucket. Devices come rising; rows of one device
    /// in time order.
    pub(super) fn write(
        &mut self,
        device: DeviceHandle,
        rows: &DeviceRows,
        logs: &[StoredLog],
        ids: &mut Reserved,
    ) -> Result<()> {
        let mut rest = 0;
        let mut logs = logs;
        loop {
            let row = rows.times.get(rest).copied();
            let log = logs.first().map(|log| log.time);
            let Some(first) = [row, log].into_iter().flatten().min() else { return Ok(()) };
            let bucket = TimeBucket::containing(self.width, Timestamp::from_nanoseconds(first));
            let range = bucket.range();
            let inside = |time: i64| range.contains(Timestamp::from_nanoseconds(time));
            let end = rest + rows.times[rest..].partition_point(|time| inside(*time));
            let (now, later) = logs.split_at(logs.partition_point(|log| inside(log.time)));
            let writer = self.writer(bucket.number, ids)?;
            let slice_rows = SLICE_VALUES / (rows.columns.len() + 1);
            while rest < end {
                let to = end.min(rest + slice_rows.max(1));
                writer.write_slice(device, bucket.number, &rows.part(rest..to))?;
                rest = to;
            }
            let mut now = now;
            while !now.is_empty() {
                let (part, more) = now.split_at(logs_of_a_slice(now));
                writer.write_logs(device, bucket.number, part)?;
                now = more;
            }
            logs = later;
            self.keep_within_budget()?;
        }
    }

    /// Has the writers that hold most write their pages early.
    fn keep_within_budget(&mut self) -> Result<()> {
        let writers = || self.writers.values().chain(&self.sparse);
        let mut held: usize = writers().map(SegmentWriter::held_bytes).sum();
        while held > self.held_bytes_max {
            let writers = self.writers.values_mut().chain(&mut self.sparse);
            let Some(fullest) = writers.max_by_key(|writer| writer.held_bytes()) else { break };
            let before = fullest.held_bytes();
            fullest.write_pages()?;
            held -= before;
        }
        Ok(())
    }

    /// The width of its buckets.
    pub(super) fn width(&self) -> BucketWidth {
        self.width
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writers.values().chain(&self.sparse).map(SegmentWriter::bytes).sum()
    }

    /// Finishes all files; they are durable then, and not yet registered.
    pub(super) fn finish(self) -> Result<Vec<SegmentEntry>> {
        let mut entries = Vec::new();
        for writer in self.writers.into_values().chain(self.sparse) {
            entries.push(writer.finish()?);
        }
        Ok(entries)
    }
}

/// Bytes of the text of a log record.
pub(super) fn log_bytes(log: &StoredLog) -> usize {
    let fields: usize = log.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    log.message.len() + log.source.len() + fields
}

/// How many of some log records go into one slice.
fn logs_of_a_slice(logs: &[StoredLog]) -> usize {
    let mut bytes = 0;
    let fits = |log: &&StoredLog| {
        bytes += log_bytes(log);
        bytes <= SLICE_LOG_BYTES
    };
    logs.iter().take(SLICE_LOGS).take_while(fits).count().max(1)
}
