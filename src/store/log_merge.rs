//! Log records of one device out of segments and chunks, in order of (time, order), a part at a time: for seals, compactions and
//! readers alike.
//!
//! Guarantees: of each segment at most one slice of records is in memory, and that only once the merge has come to the slice's
//! bucket; a part that is given out is no larger than what one slice may hold.

use std::sync::Arc;

use crate::error::Result;
use crate::hot::Chunk;
use crate::model::{DeviceHandle, DeviceRows, StoredLog};
use crate::segment::{LogSlice, Segment};
use crate::time::{TimeBucket, TimeRange, Timestamp};

use super::gather::Source;
use super::segment_set::{Reserved, SLICE_LOG_BYTES, SLICE_LOGS, SegmentSet, log_bytes};

/// Records of a chunk that are taken at once: their texts are shared with it.
const CHUNK_LOGS: usize = 1 << 12;

/// Merges the records of one device in a range.
#[derive(Debug)]
pub(super) struct LogMerge {
    cursors: Vec<Cursor>,
    range: TimeRange,
}

/// Where the merge stands in one source.
#[derive(Debug)]
struct Cursor {
    rest: Rest,
    records: std::iter::Peekable<std::vec::IntoIter<StoredLog>>,
}

/// What of a source is not in memory yet.
#[derive(Debug)]
enum Rest {
    /// Slices in order of time.
    Segment {
        segment: Arc<Segment>,
        excluded: Vec<TimeRange>,
        slices: std::iter::Peekable<std::vec::IntoIter<LogSlice>>,
    },
    /// Records from a place on, up to another.
    Chunk { chunk: Arc<Chunk>, device: DeviceHandle, places: std::ops::Range<usize> },
}

/// What comes next of a cursor, no later than the records that it stands for: time, order, and whether the record is in memory. At
/// one place a slice that is not comes first: it may hold a record of that very place.
type Next = (i64, (u64, u32), bool);

impl LogMerge {
    /// Stands before the first record of some handles (one device's) in a range.
    pub(super) fn new(sources: &[Source], handles: &[DeviceHandle], range: TimeRange) -> Result<Self> {
        let mut cursors = Vec::new();
        for source in sources {
            for device in handles {
                let rest = Rest::new(source, *device, range)?;
                cursors.extend(rest.map(|rest| Cursor { rest, records: Vec::new().into_iter().peekable() }));
            }
        }
        Ok(Self { cursors, range })
    }

    /// The next records before an instant, or up to the end without one: all that are left of them, or as many as a slice may
    /// hold; and whether they were all.
    pub(super) fn part(&mut self, before: Option<Timestamp>) -> Result<(Vec<StoredLog>, bool)> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(place) = self.first()? {
            let Some(cursor) = self.cursors.get_mut(place) else { break };
            let fits = |log: &StoredLog| before.is_none_or(|end| Timestamp::from_nanoseconds(log.time) < end);
            let Some(log) = cursor.records.next_if(fits) else { break };
            bytes += log_bytes(&log);
            part.push(log);
            if part.len() >= SLICE_LOGS || bytes >= SLICE_LOG_BYTES {
                return Ok((part, false));
            }
        }
        Ok((part, true))
    }

    /// The cursor whose record is next; reads the slices that may hold it.
    fn first(&mut self) -> Result<Option<usize>> {
        loop {
            let next = self.cursors.iter_mut().enumerate().filter_map(|(place, cursor)| Some((cursor.next()?, place)));
            match next.min() {
                None => return Ok(None),
                Some(((.., true), place)) => return Ok(Some(place)),
                Some((_, place)) => self.cursors[place].read(self.range)?,
            }
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.cursors.iter().map(|cursor| cursor.records.len()).sum()
    }
}

impl Cursor {
    fn next(&mut self) -> Option<Next> {
        match self.records.peek() {
            Some(log) => Some((log.time, log.order, true)),
            // Nothing of a slice is before its bucket.
            None => match &mut self.rest {
                Rest::Segment { slices, .. } => {
                    slices.peek().map(|slice| (slice.bucket.range().from.nanoseconds(), (0, 0), false))
                }
                Rest::Chunk { places, .. } => (places.start < places.end).then_some((i64::MIN, (0, 0), false)),
            },
        }
    }

    fn read(&mut self, range: TimeRange) -> Result<()> {
        let at = |log: &StoredLog| Timestamp::from_nanoseconds(log.time);
        let mut records = match &mut self.rest {
            Rest::Segment { segment, excluded, slices } => {
                let Some(slice) = slices.next() else { return Ok(()) };
                let mut records = segment.read_slice_logs(slice.place)?;
                records.retain(|log| !excluded.iter().any(|gone| gone.contains(at(log))));
                records
            }
            Rest::Chunk { chunk, device, places } => {
                let next = places.start..places.end.min(places.start + CHUNK_LOGS);
                places.start = next.end;
                chunk.logs(*device, next)
            }
        };
        records.retain(|log| range.contains(at(log)));
        self.records = records.into_iter().peekable();
        Ok(())
    }
}

impl Rest {
    /// All of a handle in a range; `None` where there is nothing.
    fn new(source: &Source, device: DeviceHandle, range: TimeRange) -> Result<Option<Self>> {
        match source {
            Source::Chunk(chunk) => {
                let places = 0..chunk.log_count(device);
                Ok((places.end > 0).then(|| Self::Chunk { chunk: Arc::clone(chunk), device, places }))
            }
            Source::Segment(reference) => {
                let segment = reference.segment()?;
                let mut slices = segment.log_slices(device)?;
                slices.retain(|slice| overlap(slice.bucket.range(), range));
                let excluded = reference.entry.excluded.clone();
                Ok((!slices.is_empty()).then(|| Self::Segment {
                    segment,
                    excluded,
                    slices: slices.into_iter().peekable(),
                }))
            }
        }
    }
}

/// Writes rows of a device with the log records before an instant, as many at a time as a slice holds. A bucket's rows go in before
/// the first of its records, so that buckets come rising.
pub(super) fn write_part(
    set: &mut SegmentSet,
    device: DeviceHandle,
    mut rows: DeviceRows,
    logs: &mut LogMerge,
    before: Option<Timestamp>,
    ids: &mut Reserved,
) -> Result<()> {
    loop {
        let (now, all) = logs.part(before)?;
        let (Some(last), false) = (now.last(), all) else { return set.write(device, &rows, &now, ids) };
        let bucket = TimeBucket::containing(set.width(), Timestamp::from_nanoseconds(last.time));
        let places = rows.places_in(TimeRange::new(TimeRange::ALL.from, bucket.range().to));
        let (end, length) = (places.end, rows.len());
        set.write(device, &rows.part(0..end), &now, ids)?;
        rows = rows.part(end..length);
    }
}

fn overlap(a: TimeRange, b: TimeRange) -> bool {
    a.from < b.to && b.from < a.to
}
