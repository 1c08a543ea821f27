//! Scan: from a cohort, metrics and a range to pieces of each device's timeline, in time order.
//!
//! Guarantees: the pieces of a device do not overlap, and together they are what [`Snapshot::rows`] shows; a stretch that
//! one block holds alone comes as the block, unread, so that its statistics can answer; where sources overlap, or a delete or an
//! exclusion touches them, rows come merged. A device's pieces depend on the snapshot alone, never on threads.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{BlockStatistics, RollupCell};
use crate::model::{DeviceHandle, DeviceRows, MetricHandle, Sequence, merge_rows};
use crate::segment::Segment;
use crate::store::{SegmentRef, Snapshot};
use crate::time::{BucketWidth, TimeBucket, TimeRange, Timestamp};

/// What a scan has done so far; shared by its threads.
#[derive(Debug, Default)]
pub struct ScanCounters {
    /// Segments that overlap the range.
    pub segments: AtomicU64,
    /// Segments that do not.
    pub segments_pruned: AtomicU64,
    /// Blocks (device, bucket, column) that the question touches.
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
    counters: &'a ScanCounters,
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
struct Layer {
    /// The place of its handle among those of the device: of merged devices the first wins, whenever it was written.
    rank: usize,
    sequence: Sequence,
    times: (i64, i64),
    source: LayerSource,
}

enum LayerSource {
    Rows(Arc<DeviceRows>),
    Slice { segment: Arc<Segment>, place: u32, rows: u64, bucket_start: i64, touched: bool, excluded: Vec<TimeRange> },
}

impl<'a> Scan<'a> {
    /// Plans a scan: prunes segments by time and opens the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn new(
        snapshot: &'a Snapshot,
        range: TimeRange,
        mut metrics: Vec<MetricHandle>,
        counters: &'a ScanCounters,
    ) -> Result<Self> {
        metrics.sort_unstable();
        metrics.dedup();
        let mut segments = Vec::new();
        for segment in snapshot.segments() {
            let (first, last) = segment.entry.times;
            if range.touches(Timestamp::from_nanoseconds(first), Timestamp::from_nanoseconds(last)) {
                segments.push((segment.as_ref(), segment.segment()?));
            } else {
                add(&counters.segments_pruned, 1);
            }
        }
        add(&counters.segments, segments.len() as u64);
        Ok(Self { snapshot, range, metrics, segments, counters })
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
        let entry =
            self.snapshot.catalog().device_entry(device).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no device with the handle {device}"))
            })?;
        let mut layers = Vec::new();
        for (rank, handle) in entry.handles.iter().enumerate() {
            self.layers((rank, *handle), &mut layers)?;
        }
        layers.sort_by_key(|layer| (layer.times.0, layer.sequence));
        let mut cluster: Vec<Layer> = Vec::new();
        let mut end = i64::MIN;
        for layer in layers {
            if !cluster.is_empty() && layer.times.0 > end {
                self.cluster(std::mem::take(&mut cluster), visit)?;
            }
            end = if cluster.is_empty() { layer.times.1 } else { end.max(layer.times.1) };
            cluster.push(layer);
        }
        if !cluster.is_empty() {
            self.cluster(cluster, visit)?;
        }
        self.snapshot.check()
    }

    /// The sources that hold rows of a handle in the range.
    fn layers(&self, (rank, handle): (usize, DeviceHandle), layers: &mut Vec<Layer>) -> Result<()> {
        let tombstones = &self.snapshot.manifest().tombstones;
        let touches = |range: TimeRange, times: (i64, i64)| {
            range.touches(Timestamp::from_nanoseconds(times.0), Timestamp::from_nanoseconds(times.1))
        };
        for (reference, segment) in &self.segments {
            let sequence = reference.entry.sequences.1;
            for slice in segment.slices(handle)? {
                let excluded: Vec<TimeRange> =
                    reference.entry.excluded.iter().copied().filter(|range| touches(*range, slice.times)).collect();
                let gone = excluded.iter().any(|out| {
                    out.covers(Timestamp::from_nanoseconds(slice.times.0), Timestamp::from_nanoseconds(slice.times.1))
                });
                if gone || !touches(self.range, slice.times) {
                    continue;
                }
                let deleted = tombstones.iter().any(|tombstone| {
                    tombstone.device == handle && tombstone.sequence > sequence && touches(tombstone.range, slice.times)
                });
                if deleted {
                    let rows = self.read(segment, slice.place, None)?;
                    self.push_rows((rank, handle), sequence, rows, &excluded, layers);
                    continue;
                }
                let width = reference.entry.width;
                let bucket_start = bucket_start(width, slice.bucket);
                let (segment, place, rows, touched) =
                    (Arc::clone(segment), slice.place, u64::from(slice.rows), !excluded.is_empty());
                let source = LayerSource::Slice { segment, place, rows, bucket_start, touched, excluded };
                layers.push(Layer { rank, sequence, times: slice.times, source });
            }
        }
        for chunk in self.snapshot.chunks() {
            let overlaps = chunk.times().is_some_and(|times| touches(self.range, times));
            if overlaps
                && chunk.devices().contains(handle.0)
                && let Some(rows) = chunk.rows(handle)
            {
                let mut rows = rows.part(rows.places_in(self.range));
                rows.columns.retain(|(metric, _)| self.metrics.contains(metric));
                self.push_rows((rank, handle), chunk.sequences().1, rows, &[], layers);
            }
        }
        Ok(())
    }

    fn push_rows(
        &self,
        (rank, handle): (usize, DeviceHandle),
        sequence: Sequence,
        rows: DeviceRows,
        excluded: &[TimeRange],
        layers: &mut Vec<Layer>,
    ) {
        let mut rows = rows.part(rows.places_in(self.range));
        for range in excluded {
            rows = rows.without(None, *range);
        }
        for tombstone in &self.snapshot.manifest().tombstones {
            if tombstone.device == handle && tombstone.sequence > sequence {
                rows = rows.without(tombstone.metric, tombstone.range);
            }
        }
        if let (Some(first), Some(last)) = (rows.times.first().copied(), rows.times.last().copied()) {
            layers.push(Layer { rank, sequence, times: (first, last), source: LayerSource::Rows(Arc::new(rows)) });
        }
    }

    /// Gives the pieces of sources that overlap each other, and nothing else.
    fn cluster(&self, mut cluster: Vec<Layer>, visit: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        if cluster.len() == 1 {
            let Some(layer) = cluster.pop() else { return Ok(()) };
            let inside = self
                .range
                .covers(Timestamp::from_nanoseconds(layer.times.0), Timestamp::from_nanoseconds(layer.times.1));
            return match layer.source {
                LayerSource::Slice { segment, place, rows, bucket_start, touched: false, .. } if inside => {
                    visit(Piece::Block(Block { segment, place, times: layer.times, rows, bucket_start }))
                }
                source => visit(Piece::Rows(self.rows_of(source)?.without_empty_rows())),
            };
        }
        cluster.sort_by_key(|layer| (Reverse(layer.rank), layer.sequence));
        let rows: Vec<DeviceRows> =
            cluster.into_iter().map(|layer| self.rows_of(layer.source)).collect::<Result<_>>()?;
        let layers: Vec<&DeviceRows> = rows.iter().collect();
        visit(Piece::Rows(merge_rows(&layers)?.without_empty_rows()))
    }

    fn rows_of(&self, source: LayerSource) -> Result<DeviceRows> {
        match source {
            LayerSource::Rows(rows) => Ok(Arc::unwrap_or_clone(rows)),
            LayerSource::Slice { segment, place, excluded, .. } => {
                let mut rows = self.read(&segment, place, Some(&self.metrics))?;
                for range in excluded {
                    rows = rows.without(None, range);
                }
                Ok(rows.part(rows.places_in(self.range)))
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

    /// The metrics of the scan that a block holds.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn metrics(&self, block: &Block) -> Result<Vec<MetricHandle>> {
        let mut metrics = block.segment.slice_metrics(block.place)?;
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

    /// The hourly rollup of one column of a block; `None` where it has no such column, or it is text.
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
        block.segment.read_times(block.place)
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
