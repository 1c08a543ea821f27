//! Log records of one device out of several segments, in order of (time, order), a part at a time.
//!
//! Guarantees: of each segment at most one slice of records is in memory, and that only once the merge has come to the slice's
//! bucket; a part that is given out is no larger than what one slice may hold.

use std::sync::Arc;

use crate::error::Result;
use crate::model::{DeviceHandle, StoredLog};
use crate::segment::{LogSlice, Segment};
use crate::time::{TimeRange, Timestamp};

use super::segment_ref::SegmentRef;
use super::segment_set::{SLICE_LOG_BYTES, SLICE_LOGS, log_bytes};

/// Merges the records of one device in a range.
#[derive(Debug)]
pub(super) struct LogMerge {
    cursors: Vec<Cursor>,
    range: TimeRange,
}

/// Where the merge stands in one segment, whose slices are in order of time.
#[derive(Debug)]
struct Cursor {
    segment: Arc<Segment>,
    excluded: Vec<TimeRange>,
    slices: std::iter::Peekable<std::vec::IntoIter<LogSlice>>,
    records: std::iter::Peekable<std::vec::IntoIter<StoredLog>>,
}

/// What comes next of a cursor, no later than the records that it stands for: time, order, and whether the record is in memory. At
/// one place a slice that is not comes first: it may hold a record of that very place.
type Next = (i64, (u64, u32), bool);

impl LogMerge {
    /// Stands before the first record of a device in a range.
    pub(super) fn new(inputs: &[Arc<SegmentRef>], device: DeviceHandle, range: TimeRange) -> Result<Self> {
        let mut cursors = Vec::new();
        for input in inputs {
            let segment = input.segment()?;
            let mut slices = segment.log_slices(device)?;
            slices.retain(|slice| overlap(slice.bucket.range(), range));
            if !slices.is_empty() {
                let excluded = input.entry.excluded.clone();
                let (slices, records) = (slices.into_iter().peekable(), Vec::new().into_iter().peekable());
                cursors.push(Cursor { segment, excluded, slices, records });
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
            None => self.slices.peek().map(|slice| (slice.bucket.range().from.nanoseconds(), (0, 0), false)),
        }
    }

    fn read(&mut self, range: TimeRange) -> Result<()> {
        let Some(slice) = self.slices.next() else { return Ok(()) };
        let mut records = self.segment.read_slice_logs(slice.place)?;
        let at = |log: &StoredLog| Timestamp::from_nanoseconds(log.time);
        records.retain(|log| range.contains(at(log)) && !self.excluded.iter().any(|gone| gone.contains(at(log))));
        self.records = records.into_iter().peekable();
        Ok(())
    }
}

fn overlap(a: TimeRange, b: TimeRange) -> bool {
    a.from < b.to && b.from < a.to
}
