//! Scan: from a cohort, metrics and a range to pieces of each device's timeline, in time order.
//!
//! Guarantees: the pieces of a device do not overlap, and together they are what [`Snapshot::rows`] shows; a stretch that
//! one block holds alone comes as the block, unread, so that its statistics can answer; where sources overlap, or a delete or an
//! exclusion touches them, rows come merged. No piece reaches over the end of a UTC month, whatever times one commit holds, so
//! that a wrong clock costs no statistics of other months; and merged pieces are cut where sources begin, so that a scan has in
//! memory about what one slice may hold, however much of a month overlaps. A device's pieces depend on snapshot and question
//! alone, never on threads. Whether the caller cancelled is looked at before each segment that is opened, each piece, and each source
//! that is read, so that one slice is the most that is read after it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

use crate::format::{BlockStatistics, RollupCell, Tombstone};
use crate::model::{DeviceHandle, DeviceRows, MetricHandle, Sequence, merge_rows};
use crate::segment::{EncodedSlice, Segment};
use crate::store::{Progress, SegmentRef, Snapshot};
use crate::time::{BucketWidth, DAY_NS, TimeBucket, TimeRange, Timestamp};

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

/// One source of rows of a device.
struct Layer<'a> {
    /// The place of its handle among those of the device: of merged devices the first wins, whenever it was written.
    rank: usize,
    sequence: Sequence,
    /// No row of it lies outside.
    times: (i64, i64),
    source: LayerSource<'a>,
}

enum LayerSource<'a> {
    Rows(DeviceRows),
    Slice {
        segment: Arc<Segment>,
        place: u32,
        rows: u64,
        bucket_start: i64,
        excluded: Vec<TimeRange>,
        deleted: Vec<&'a Tombstone>,
    },
}

impl LayerSource<'_> {
    fn rows(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.times.len() as u64,
            Self::Slice { rows, .. } => *rows,
        }
    }

    /// Whether all that is stored in it shows.
    fn is_whole(&self) -> bool {
        matches!(self, Self::Slice { excluded, deleted, .. } if excluded.is_empty() && deleted.is_empty())
    }
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
        for mut cluster in self.clusters(device)? {
            let parts = self.parts(&mut cluster)?;
            for part in parts {
                self.look()?;
                visit(self.piece(&cluster, part)?)?;
            }
        }
        self.snapshot.check()
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

    /// The sources of a device: in time order those that overlap each other, and nothing else.
    fn clusters(&self, device: DeviceHandle) -> Result<Vec<Vec<Layer<'a>>>> {
        let entry =
            self.snapshot.catalog().device_entry(device).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no device with the handle {device}"))
            })?;
        let mut layers = Vec::new();
        for (rank, handle) in entry.handles.iter().enumerate() {
            self.slices((rank, *handle), &mut layers)?;
            self.chunks((rank, *handle), &mut layers);
        }
        layers.sort_by_key(|layer| (layer.times.0, layer.sequence));
        let mut clusters: Vec<Vec<Layer<'a>>> = Vec::new();
        let mut end = i64::MIN;
        for layer in layers {
            match clusters.last_mut() {
                Some(cluster) if layer.times.0 <= end => {
                    end = end.max(layer.times.1);
                    cluster.push(layer);
                }
                _ => {
                    end = layer.times.1;
                    clusters.push(vec![layer]);
                }
            }
        }
        Ok(clusters)
    }

    /// Sealed rows of a handle in the range.
    fn slices(&self, (rank, handle): (usize, DeviceHandle), layers: &mut Vec<Layer<'a>>) -> Result<()> {
        for (reference, segment) in &self.segments {
            let sequence = reference.entry.sequences.1;
            self.look()?;
            for slice in segment.slices(handle)? {
                let excluded: Vec<TimeRange> =
                    reference.entry.excluded.iter().copied().filter(|range| touches(*range, slice.times)).collect();
                let gone = excluded.iter().any(|out| {
                    out.covers(Timestamp::from_nanoseconds(slice.times.0), Timestamp::from_nanoseconds(slice.times.1))
                });
                if gone || !touches(self.range, slice.times) {
                    continue;
                }
                let source = LayerSource::Slice {
                    segment: Arc::clone(segment),
                    place: slice.place,
                    rows: u64::from(slice.rows),
                    bucket_start: bucket_start(reference.entry.width, slice.bucket),
                    excluded,
                    deleted: self.deletes(handle, sequence, slice.times),
                };
                layers.push(Layer { rank, sequence, times: slice.times, source });
            }
        }
        Ok(())
    }

    /// Unsealed rows of a handle in the range: one commit may hold times that lie years apart, so each day is a source of its own.
    fn chunks(&self, (rank, handle): (usize, DeviceHandle), layers: &mut Vec<Layer<'a>>) {
        for chunk in self.snapshot.chunks() {
            let overlaps = chunk.times().is_some_and(|times| touches(self.range, times));
            if !overlaps || !chunk.devices().contains(handle.0) {
                continue;
            }
            let Some(stored) = chunk.rows(handle) else { continue };
            let sequence = chunk.sequences().1;
            let mut rows = stored.part(stored.places_in(self.range));
            rows.columns.retain(|(metric, _)| self.metrics.contains(metric));
            if let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) {
                for tombstone in self.deletes(handle, sequence, (*first, *last)) {
                    rows = rows.without(tombstone.metric, tombstone.range);
                }
            }
            let mut from = 0;
            while from < rows.times.len() {
                let day = rows.times[from].div_euclid(DAY_NS);
                let to = from + rows.times[from..].partition_point(|time| time.div_euclid(DAY_NS) == day);
                let times = (rows.times[from], rows.times[to - 1]);
                layers.push(Layer { rank, sequence, times, source: LayerSource::Rows(rows.part(from..to)) });
                from = to;
            }
        }
    }

    /// The deletes of a handle that hide something of a source.
    fn deletes(&self, handle: DeviceHandle, sequence: Sequence, times: (i64, i64)) -> Vec<&'a Tombstone> {
        let of_device = self.deletes.get(&handle).map_or(&[][..], Vec::as_slice);
        let hides = |tombstone: &&Tombstone| tombstone.sequence > sequence && touches(tombstone.range, times);
        of_device.iter().copied().filter(hides).collect()
    }

    /// Puts the sources of a cluster into the order in which they are laid over each other, and cuts the range of the scan into parts to
    /// show them in.
    fn parts(&self, cluster: &mut [Layer<'_>]) -> Result<Vec<TimeRange>> {
        cluster.sort_by_key(|layer| (Reverse(layer.rank), layer.sequence));
        let most = cluster.iter().fold(0, |rows: u64, layer| rows.saturating_add(layer.source.rows()));
        if cluster.len() == 1 || most.saturating_mul(self.metrics.len() as u64 + 1) <= self.piece_values as u64 {
            return Ok(vec![self.range]);
        }
        let values = |layer: &Layer<'_>| {
            let columns = match &layer.source {
                LayerSource::Rows(rows) => rows.columns.len(),
                LayerSource::Slice { segment, place, .. } => self.slice_metrics(segment, *place)?.len(),
            };
            Ok((layer.times.0, layer.source.rows() as usize * (columns + 1)))
        };
        Ok(self.range.cut_at_starts(cluster.iter().map(values).collect::<Result<_>>()?, self.piece_values))
    }

    /// What a cluster shows in a part of the range.
    fn piece(&self, cluster: &[Layer<'_>], part: TimeRange) -> Result<Piece> {
        if let [layer] = cluster {
            let inside =
                part.covers(Timestamp::from_nanoseconds(layer.times.0), Timestamp::from_nanoseconds(layer.times.1));
            let whole = layer.source.is_whole();
            if let LayerSource::Slice { segment, place, rows, bucket_start, .. } = &layer.source
                && inside
                && whole
            {
                let (segment, place, rows, bucket_start) = (Arc::clone(segment), *place, *rows, *bucket_start);
                return Ok(Piece::Block(Block { segment, place, times: layer.times, rows, bucket_start }));
            }
        }
        let reaching = cluster.iter().filter(|layer| touches(part, layer.times));
        let mut rows: Vec<DeviceRows> =
            reaching.map(|layer| self.rows_of(&layer.source, part)).collect::<Result<_>>()?;
        if rows.len() > 1 {
            self.look()?;
            self.note_work(rows.iter().map(|rows| (rows.columns.len() + 1) as u64 * rows.len() as u64).sum());
        }
        let merged = if rows.len() == 1 { rows.swap_remove(0) } else { merge_rows(&rows.iter().collect::<Vec<_>>())? };
        Ok(Piece::Rows(merged.without_empty_rows()))
    }

    fn rows_of(&self, source: &LayerSource<'_>, part: TimeRange) -> Result<DeviceRows> {
        match source {
            LayerSource::Rows(rows) => Ok(rows.part(rows.places_in(part))),
            LayerSource::Slice { segment, place, excluded, deleted, .. } => {
                self.look()?;
                let mut slice = EncodedSlice::default();
                segment.read_encoded(*place, &self.metrics, &mut slice)?;
                let mut rows = slice.part(part)?;
                let columns = rows.columns.len() as u64;
                self.note_read(columns, columns * rows.times.len() as u64, slice.bytes_read());
                for range in excluded {
                    rows = rows.without(None, *range);
                }
                for tombstone in deleted {
                    rows = rows.without(tombstone.metric, tombstone.range);
                }
                Ok(rows)
            }
        }
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

fn bucket_start(width: BucketWidth, number: i32) -> i64 {
    TimeBucket { width, number }.range().from.nanoseconds()
}

#[cfg(test)]
mod tests;
