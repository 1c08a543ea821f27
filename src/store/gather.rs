//! Rows of one device out of everything that holds some: the one way in which seals, compactions and plain reads put
//! layers over each other.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::error::Result;
use crate::format::Tombstone;
use crate::hot::Chunk;
use crate::model::{DeviceHandle, DeviceRows, MetricHandle, Sequence, merge_rows};
use crate::time::{TimeRange, Timestamp};

use super::deletes::Deletes;
use super::segment_ref::SegmentRef;
use super::segment_set::SLICE_VALUES;

/// Something that holds rows.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Chunk(Arc<Chunk>),
    Segment(Arc<SegmentRef>),
}

impl Source {
    /// First and last commit in it.
    pub(super) fn sequences(&self) -> (Sequence, Sequence) {
        match self {
            Self::Chunk(chunk) => chunk.sequences(),
            Self::Segment(segment) => segment.entry.sequences,
        }
    }

    /// Devices with rows or log records.
    pub(super) fn devices(&self) -> Result<Vec<DeviceHandle>> {
        match self {
            Self::Chunk(chunk) => Ok((chunk.devices() | chunk.log_devices()).iter().map(DeviceHandle).collect()),
            Self::Segment(segment) => {
                let segment = segment.segment()?;
                let mut devices = segment.devices()?;
                devices.extend(segment.log_devices()?);
                Ok(devices)
            }
        }
    }

    /// Rows of a handle in a range, in pieces that follow each other in time.
    fn rows(
        &self,
        device: DeviceHandle,
        range: TimeRange,
        metrics: Option<&[MetricHandle]>,
    ) -> Result<Vec<DeviceRows>> {
        match self {
            Self::Chunk(chunk) => {
                let rows = chunk.rows(device).map(|rows| rows.part(rows.places_in(range)));
                Ok(rows.into_iter().map(|rows| with_metrics(rows, metrics)).collect())
            }
            Self::Segment(source) => {
                if !range.touches(
                    Timestamp::from_nanoseconds(source.entry.times.0),
                    Timestamp::from_nanoseconds(source.entry.times.1),
                ) {
                    return Ok(Vec::new());
                }
                let segment = source.segment()?;
                let mut pieces = Vec::new();
                for slice in segment.slices(device)? {
                    if range
                        .touches(Timestamp::from_nanoseconds(slice.times.0), Timestamp::from_nanoseconds(slice.times.1))
                    {
                        let mut rows = segment.read_slice(slice.place, metrics)?;
                        for excluded in &source.entry.excluded {
                            rows = rows.without(None, *excluded);
                        }
                        let places = rows.places_in(range);
                        pieces.push(rows.part(places));
                    }
                }
                Ok(pieces)
            }
        }
    }

    /// The first instant and the number of values, times included, of each piece of a handle's rows that reaches into a range.
    pub(super) fn slices(&self, device: DeviceHandle, range: TimeRange) -> Result<Vec<(i64, usize)>> {
        let Self::Segment(source) = self else { return Ok(Vec::new()) };
        let segment = source.segment()?;
        let mut slices = Vec::new();
        for slice in segment.slices(device)? {
            let (first, last) = slice.times;
            if range.touches(Timestamp::from_nanoseconds(first), Timestamp::from_nanoseconds(last)) {
                let columns = segment.slice_metrics(slice.place)?.len() + 1;
                slices.push((first, slice.rows as usize * columns));
            }
        }
        Ok(slices)
    }

    /// The instants of a handle in a range at which it has a value, but for what was deleted since.
    fn instants(&self, device: DeviceHandle, range: TimeRange) -> Result<Vec<i64>> {
        let at = Timestamp::from_nanoseconds;
        let mut instants = Vec::new();
        let mut excluded: &[TimeRange] = &[];
        match self {
            Self::Chunk(chunk) => instants = chunk.instants(device),
            Self::Segment(source) if range.touches(at(source.entry.times.0), at(source.entry.times.1)) => {
                let segment = source.segment()?;
                for slice in segment.slices(device)? {
                    if range.touches(at(slice.times.0), at(slice.times.1)) {
                        instants.extend(segment.read_times(slice.place)?);
                    }
                }
                excluded = &source.entry.excluded;
            }
            Self::Segment(_) => {}
        }
        instants.retain(|time| range.contains(at(*time)) && !excluded.iter().any(|out| out.contains(at(*time))));
        Ok(instants)
    }
}

fn with_metrics(mut rows: DeviceRows, metrics: Option<&[MetricHandle]>) -> DeviceRows {
    if let Some(metrics) = metrics {
        rows.columns.retain(|(metric, _)| metrics.contains(metric));
    }
    rows
}

/// The rows of some handles (one device's) in a range: sources in any order are laid over each other by their sequences,
/// deletes hide what is older. Rows without a value left are dropped. Where several handles (of merged devices) have a value
/// at one instant, the first of them wins, whenever it was written: so the answer is the same in every layout.
pub(super) fn gather_rows(
    sources: &[Source],
    handles: &[DeviceHandle],
    range: TimeRange,
    metrics: Option<&[MetricHandle]>,
    deletes: &Deletes,
) -> Result<DeviceRows> {
    let mut layers: Vec<(Reverse<usize>, Sequence, DeviceRows)> = Vec::new();
    for (rank, handle) in handles.iter().enumerate() {
        for source in sources {
            let (_, last) = source.sequences();
            for mut rows in source.rows(*handle, range, metrics)? {
                for delete in deletes.after(*handle, last) {
                    rows = rows.without(delete.metric, delete.range);
                }
                layers.push((Reverse(rank), last, rows));
            }
        }
    }
    layers.sort_by_key(|(rank, sequence, _)| (*rank, *sequence));
    let layers: Vec<&DeviceRows> = layers.iter().map(|(.., rows)| rows).collect();
    Ok(merge_rows(&layers)?.without_empty_rows())
}

#[cfg(test)]
thread_local! {
    /// The most instants that a thread gathered at once.
    pub(super) static MOST_INSTANTS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The instants of [`gather_rows`], each once, rising. Values are read only where the delete of a metric may have left others of its
/// instant: no source has a row without one.
pub(super) fn gather_instants(
    sources: &[Source],
    handles: &[DeviceHandle],
    range: TimeRange,
    deletes: &Deletes,
) -> Result<Vec<i64>> {
    let mut instants = Vec::new();
    for handle in handles {
        for source in sources {
            let deletes = deletes.after(*handle, source.sequences().1);
            let of_metrics = |delete: &Tombstone| delete.metric.is_some() && !delete.range.intersect(range).is_empty();
            if deletes.iter().any(of_metrics) {
                for rows in source.rows(*handle, range, None)? {
                    let left = deletes.iter().fold(rows, |rows, delete| rows.without(delete.metric, delete.range));
                    instants.extend(left.times);
                }
                continue;
            }
            let mut left = source.instants(*handle, range)?;
            for delete in deletes {
                left.retain(|time| !delete.range.contains(Timestamp::from_nanoseconds(*time)));
            }
            instants.append(&mut left);
        }
    }
    #[cfg(test)]
    MOST_INSTANTS.with(|most| most.set(most.get().max(instants.len())));
    instants.sort_unstable();
    instants.dedup();
    Ok(instants)
}

/// Cuts a range where the slices of some handles (one device's) begin, so that each part holds about as much as one slice may.
pub(super) fn parts(sources: &[Source], handles: &[DeviceHandle], range: TimeRange) -> Result<Vec<TimeRange>> {
    let mut slices = Vec::new();
    for source in sources {
        for device in handles {
            slices.extend(source.slices(*device, range)?);
        }
    }
    Ok(range.cut_at_starts(slices, SLICE_VALUES))
}

/// All devices of some sources, rising.
pub(super) fn all_devices(sources: &[Source]) -> Result<Vec<DeviceHandle>> {
    let mut devices = Vec::new();
    for source in sources {
        devices.extend(source.devices()?);
    }
    devices.sort_unstable();
    devices.dedup();
    Ok(devices)
}
