//! Scan: from a cohort, metrics and a range to pieces of each device's timeline, in time order.
//!
//! Guarantees: the pieces of a device do not overlap, and together they are what [`Snapshot::rows`] shows; a stretch that
//! one block holds alone comes as the block, unread, so that its statistics can answer; where sources overlap, or a delete or an
//! exclusion touches them, rows come merged. No piece reaches over the end of a UTC month, whatever times one commit holds, so
//! that a wrong clock costs no statistics of other months; and merged pieces are cut where sources begin, so that a scan has in
//! memory about what one slice may hold, however much of a month overlaps. A device's pieces depend on snapshot and question
//! alone, never on threads. Whether the caller cancelled is looked at before each segment that is opened, each piece, and each source
//! that is read, so that one slice is the most that is read after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Result;
use crate::format::{BlockStatistics, RollupCell, Tombstone};
use crate::model::{DeviceHandle, DeviceRows, MetricHandle};
use crate::segment::{EncodedSlice, Segment, SliceGaps};
use crate::store::{Progress, SegmentRef, Snapshot};
use crate::time::{TimeRange, Timestamp};

mod timeline;

pub use timeline::Timeline;

/// What the sources that begin in a merged piece may hold together: values, times included. As much as one slice may.
const PIECE_VALUES: usize = 1 << 21;

/// What a scan has done so far; shared by its threads.
#[derive(Debug, Default)]
pub struct ScanCounters {
    /// Segments that overlap the range.
    pub segments: AtomicU64,
    /// Segments that do not.
    pub segments_pruned: AtomicU64,
    /// Blocks (device, bucket, column) that the question touches; one that reaches into several merged pieces counts in each.
    pub blocks: AtomicU64,
    /// Blocks that statistics or rollups answered.
    pub blocks_from_statistics: AtomicU64,
    /// Blocks that were read and decoded.
    pub blocks_decoded: AtomicU64,
    /// Values decoded.
    pub values_decoded: AtomicU64,
    /// Bytes of blocks read.
    pub bytes_read: AtomicU64,
}

impl ScanCounters {
    /// Counts the segments of a question by whether they overlap its range: once, however many scans answer it.
    pub fn count_segments(&self, snapshot: &Snapshot, range: TimeRange) {
        for segment in snapshot.segments() {
            let overlaps = touches(range, segment.entry.times);
            add(if overlaps { &self.segments } else { &self.segments_pruned }, 1);
        }
    }

    /// Adds what was read for another scan of the same question.
    pub fn add_reads(&self, other: &Self) {
        let pairs = [
            (&self.blocks, &other.blocks),
            (&self.blocks_from_statistics, &other.blocks_from_statistics),
            (&self.blocks_decoded, &other.blocks_decoded),
            (&self.values_decoded, &other.values_decoded),
            (&self.bytes_read, &other.bytes_read),
        ];
        pairs.into_iter().for_each(|(to, from)| add(to, from.load(Ordering::Relaxed)));
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// A scan of one snapshot: some metrics in a range.
#[derive(Debug)]
pub struct Scan<'a> {
    snapshot: &'a Snapshot,
    range: TimeRange,
    metrics: Vec<MetricHandle>,
    segments: Vec<(&'a SegmentRef, Arc<Segment>)>,
    /// By device: a delete of a fleet leaves a tombstone for each, and all slices of all devices ask for theirs.
    deletes: HashMap<DeviceHandle, Vec<&'a Tombstone>>,
    piece_values: usize,
    counters: &'a ScanCounters,
    progress: Option<&'a Progress>,
}

/// A stretch of a device's timeline.
#[derive(Debug)]
pub enum Piece {
    /// A block that holds the stretch alone, not read yet; all of it lies in the range of the scan.
    Block(Block),
    /// Rows.
    Rows(DeviceRows),
}

/// The blocks of one device and one bucket.
#[derive(Debug)]
pub struct Block {
    segment: Arc<Segment>,
    place: u32,
    /// First and last instant, in nanoseconds since the epoch.
    pub times: (i64, i64),
    /// Rows.
    pub rows: u64,
    /// The start of the bucket: what the statistics' x counts from.
    pub bucket_start: i64,
}

fn touches(range: TimeRange, times: (i64, i64)) -> bool {
    range.touches(Timestamp::from_nanoseconds(times.0), Timestamp::from_nanoseconds(times.1))
}

impl<'a> Scan<'a> {
    /// Plans a scan: prunes segments by time and opens the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`], [`ErrorKind::Cancelled`] here and wherever it reads.
    pub fn new(
        snapshot: &'a Snapshot,
        range: TimeRange,
        mut metrics: Vec<MetricHandle>,
        counters: &'a ScanCounters,
        progress: Option<&'a Progress>,
    ) -> Result<Self> {
        metrics.sort_unstable();
        metrics.dedup();
        let mut segments = Vec::new();
        for segment in snapshot.segments() {
            let (first, last) = segment.entry.times;
            if range.touches(Timestamp::from_nanoseconds(first), Timestamp::from_nanoseconds(last)) {
                progress.map_or(Ok(()), Progress::check)?;
                segments.push((segment.as_ref(), segment.segment()?));
            }
        }
        let mut deletes: HashMap<DeviceHandle, Vec<&Tombstone>> = HashMap::new();
        for tombstone in &snapshot.manifest().tombstones {
            deletes.entry(tombstone.device).or_default().push(tombstone);
        }
        Ok(Self { snapshot, range, metrics, segments, deletes, piece_values: PIECE_VALUES, counters, progress })
    }

    /// Whether the caller goes on.
    fn look(&self) -> Result<()> {
        self.progress.map_or(Ok(()), Progress::check)
    }

    fn note_work(&self, values: u64) {
        self.progress.inspect(|progress| progress.note_work(values));
    }

    /// The range of the scan.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Visits the pieces of a device in time order.
    ///
    /// # Errors
    /// What `visit` returns; [`ErrorKind::Corruption`], [`ErrorKind::Io`], [`ErrorKind::SnapshotExpired`].
    pub fn device(&self, device: DeviceHandle, visit: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let timeline = self.timeline(device)?;
        timeline.visit(0..timeline.pieces(), visit)
    }

    /// Visits the pieces of a device from the last one back, until `visit` says false: only those are read.
    ///
    /// # Errors
    /// As [`Scan::device`].
    pub fn device_back(&self, device: DeviceHandle, visit: &mut dyn FnMut(Piece) -> Result<bool>) -> Result<()> {
        'clusters: for mut cluster in self.clusters(device)?.into_iter().rev() {
            let parts = self.parts(&mut cluster)?;
            for part in parts.into_iter().rev() {
                self.look()?;
                if !visit(self.piece(&cluster, part)?)? {
                    break 'clusters;
                }
            }
        }
        self.snapshot.check()
    }

    /// Reads a slice: the metrics of the scan.
    fn read(&self, segment: &Segment, place: u32, metrics: Option<&[MetricHandle]>) -> Result<DeviceRows> {
        let metrics = metrics.or(Some(&self.metrics));
        let rows = segment.read_slice(place, metrics)?;
        add(&self.counters.blocks, rows.columns.len() as u64);
        add(&self.counters.blocks_decoded, rows.columns.len() as u64);
        add(&self.counters.values_decoded, rows.columns.iter().map(|(_, column)| column.values.len() as u64).sum());
        add(&self.counters.bytes_read, segment.slice_bytes(place, metrics)?);
        self.note_work(rows.len() as u64 * (rows.columns.len() as u64 + 1));
        Ok(rows)
    }

    /// The rows of a block: the metrics of the scan.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn rows(&self, block: &Block) -> Result<DeviceRows> {
        self.read(&block.segment, block.place, None).map(DeviceRows::without_empty_rows)
    }

    /// The rows of one metric of a block.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn rows_of_metric(&self, block: &Block, metric: MetricHandle) -> Result<DeviceRows> {
        self.read(&block.segment, block.place, Some(&[metric])).map(DeviceRows::without_empty_rows)
    }

    /// Reads times and the metrics of the scan of a block as they are stored, in place of what was read before.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn encoded(&self, block: &Block, into: &mut EncodedSlice) -> Result<()> {
        block.segment.read_encoded(block.place, &self.metrics, into)
    }

    /// Reads the times of a block as they are stored, in place of what was read before.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn encoded_times(&self, block: &Block, into: &mut EncodedSlice) -> Result<()> {
        block.segment.read_encoded(block.place, &[], into)
    }

    /// The rows of a block that was read as it is stored, decoded from what was read.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn rows_of_encoded(&self, slice: &EncodedSlice) -> Result<DeviceRows> {
        let rows = slice.part(TimeRange::ALL)?;
        let values = rows.columns.iter().map(|(_, column)| column.values.len() as u64).sum();
        self.note_read(rows.columns.len() as u64, values, slice.bytes_read());
        Ok(rows.without_empty_rows())
    }

    /// Notes that so many blocks of so many bytes were read, and so many of their values decoded or unpacked.
    pub fn note_read(&self, blocks: u64, values: u64, bytes: u64) {
        add(&self.counters.bytes_read, bytes);
        add(&self.counters.blocks, blocks);
        add(&self.counters.blocks_decoded, blocks);
        add(&self.counters.values_decoded, values);
        self.note_work(values);
    }

    /// The metrics of the scan that a block holds.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn metrics(&self, block: &Block) -> Result<Vec<MetricHandle>> {
        self.slice_metrics(&block.segment, block.place)
    }

    fn slice_metrics(&self, segment: &Segment, place: u32) -> Result<Vec<MetricHandle>> {
        let mut metrics = segment.slice_metrics(place)?;
        metrics.retain(|metric| self.metrics.binary_search(metric).is_ok());
        Ok(metrics)
    }

    /// The statistics of one column of a block; `None` where it has no such column.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn statistics(&self, block: &Block, metric: MetricHandle) -> Result<Option<BlockStatistics>> {
        block.segment.statistics(block.place, metric)
    }

    /// The rollup of one column of a block, as [`Segment::rollup`].
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn rollup(&self, block: &Block, metric: MetricHandle) -> Result<Option<Vec<RollupCell>>> {
        block.segment.rollup(block.place, metric)
    }

    /// The gaps between the rows of a block, as [`Segment::gaps`].
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn gaps(&self, block: &Block) -> Result<Option<SliceGaps>> {
        block.segment.gaps(block.place)
    }

    /// The times of a block.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn times(&self, block: &Block) -> Result<Vec<i64>> {
        let times = block.segment.read_times(block.place)?;
        add(&self.counters.blocks, 1);
        add(&self.counters.blocks_decoded, 1);
        add(&self.counters.values_decoded, times.len() as u64);
        self.note_work(times.len() as u64);
        add(&self.counters.bytes_read, block.segment.slice_bytes(block.place, Some(&[]))?);
        Ok(times)
    }

    /// Notes that statistics answered so many blocks.
    pub fn note_statistics(&self, blocks: u64) {
        add(&self.counters.blocks, blocks);
        add(&self.counters.blocks_from_statistics, blocks);
    }
}

#[cfg(test)]
mod tests;
