//! The pieces of one device, found and cut before any of them is read.
//!
//! Guarantees: they depend on snapshot and question alone; any run of them can be visited by itself, on any thread.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Tombstone;
use crate::model::{DeviceHandle, DeviceRows, Sequence, merge_rows};
use crate::segment::{EncodedSlice, Segment};
use crate::time::{BucketWidth, DAY_NS, TimeBucket, TimeRange, Timestamp};

use super::{Block, Piece, Scan, touches};

/// One source of rows of a device.
pub(super) struct Layer<'a> {
    /// The place of its handle among those of the device: of merged devices the first wins, whenever it was written.
    rank: usize,
    sequence: Sequence,
    /// No row of it lies outside.
    times: (i64, i64),
    source: LayerSource<'a>,
}

pub(super) enum LayerSource<'a> {
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

/// Sources that overlap each other, in the order in which they are laid over each other, and the parts of the range to show them in.
struct Cluster<'a> {
    layers: Vec<Layer<'a>>,
    parts: Vec<TimeRange>,
}

/// The pieces of a device in time order.
pub struct Timeline<'s, 'a> {
    scan: &'s Scan<'a>,
    clusters: Vec<Cluster<'a>>,
}

impl Timeline<'_, '_> {
    /// How many there are.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.clusters.iter().map(|cluster| cluster.parts.len()).sum()
    }

    /// Reads and visits some of them, by their places, in time order.
    ///
    /// # Errors
    /// What `visit` returns; [`ErrorKind::Corruption`], [`ErrorKind::Io`], [`ErrorKind::SnapshotExpired`].
    pub fn visit(&self, pieces: Range<usize>, visit: &mut dyn FnMut(Piece) -> Result<()>) -> Result<()> {
        let all = self.clusters.iter().flat_map(|cluster| cluster.parts.iter().map(move |part| (cluster, *part)));
        for (cluster, part) in all.skip(pieces.start).take(pieces.len()) {
            self.scan.look()?;
            visit(self.scan.piece(&cluster.layers, part)?)?;
        }
        self.scan.snapshot.check()
    }
}

impl<'a> Scan<'a> {
    /// Finds the pieces of a device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a device; [`ErrorKind::Corruption`], [`ErrorKind::Io`], [`ErrorKind::SnapshotExpired`].
    pub fn timeline(&self, device: DeviceHandle) -> Result<Timeline<'_, 'a>> {
        let cut = |mut layers: Vec<Layer<'a>>| Ok(Cluster { parts: self.parts(&mut layers)?, layers });
        let clusters = self.clusters(device)?.into_iter().map(cut).collect::<Result<_>>()?;
        // Unsealed rows were copied here; a device that seems to have none has no piece whose visit would ask.
        self.snapshot.check()?;
        Ok(Timeline { scan: self, clusters })
    }

    /// The sources of a device: in time order those that overlap each other, and nothing else.
    pub(super) fn clusters(&self, device: DeviceHandle) -> Result<Vec<Vec<Layer<'a>>>> {
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
    pub(super) fn parts(&self, cluster: &mut [Layer<'_>]) -> Result<Vec<TimeRange>> {
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
    pub(super) fn piece(&self, cluster: &[Layer<'_>], part: TimeRange) -> Result<Piece> {
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
}

fn bucket_start(width: BucketWidth, number: i32) -> i64 {
    TimeBucket { width, number }.range().from.nanoseconds()
}
