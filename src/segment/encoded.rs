//! The columns of a slice as they are stored: read and checked, not decoded.
//!
//! Guarantees: every part was compared with its checksum; an error of what is made of a part names file and range. One
//! [`EncodedSlice`] serves slice after slice without taking new memory for each.

use std::sync::Arc;

use crate::bytes::Reader;
use crate::codec::{self, GroupTimes, PackedTimes};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, DeviceRows, MetricHandle, MetricType, Presence};
use crate::time::{TimeRange, Timestamp};

use super::Segment;

/// Times and some columns of a slice, as they are stored.
#[derive(Debug, Default)]
pub struct EncodedSlice {
    segment: Option<Arc<Segment>>,
    rows: u32,
    times: (i64, i64),
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

/// A stored part and where in the buffer its content lies.
#[derive(Debug)]
struct Part {
    /// `None` for the times.
    column: Option<(MetricHandle, MetricType)>,
    content: std::ops::Range<usize>,
    offset: u64,
    bytes: u32,
}

/// A column as it is stored.
#[derive(Debug)]
pub struct EncodedColumn<'a> {
    /// Which rows have a value.
    pub presence: Presence,
    /// How many.
    pub present: usize,
    /// The type of the values.
    pub metric_type: MetricType,
    /// The encoded values.
    pub values: &'a [u8],
    segment: &'a Segment,
    part: &'a Part,
}

impl EncodedColumn<'_> {
    /// An error of its values with the place of the column.
    #[must_use]
    pub fn located(&self, error: Error) -> Error {
        self.segment.located(error, self.part.offset, self.part.bytes)
    }
}

impl Segment {
    /// Reads the times of a slice and the columns of some metrics that it has, in place of what was read before.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_encoded(self: &Arc<Self>, slice: u32, metrics: &[MetricHandle], into: &mut EncodedSlice) -> Result<()> {
        let (page, place) = self.entry(slice)?;
        let entry = &page[place];
        // What is not read to its end is a slice of nothing.
        (into.segment, into.rows) = (None, 0);
        into.bytes.clear();
        into.parts.clear();
        let mut offset = entry.offset;
        let wanted = |metric: &MetricHandle| metrics.contains(metric);
        let columns = entry.columns.iter().map(|column| (Some((column.metric, column.metric_type)), column.bytes));
        for (column, bytes) in std::iter::once((None, entry.time_bytes)).chain(columns) {
            // Only a slice of log records has no times; a part of no bytes is shorter than its checksum.
            if column.map_or(entry.rows > 0, |(metric, _)| wanted(&metric)) {
                let content = self.read_part_into(offset, bytes, &mut into.bytes)?;
                into.parts.push(Part { column, content, offset, bytes });
            }
            offset += u64::from(bytes);
        }
        into.segment = Some(Arc::clone(self));
        (into.rows, into.times) = (entry.rows, entry.times);
        Ok(())
    }
}

impl EncodedSlice {
    /// How many rows the slice has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// How many columns were read, without the times.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.parts.iter().filter(|part| part.column.is_some()).count()
    }

    /// Bytes that were read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.parts.iter().map(|part| u64::from(part.bytes)).sum()
    }

    /// The times, as they are stored; none of a slice of log records.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn packed_times(&self) -> Result<PackedTimes<'_>> {
        let found = self.segment.as_ref().zip(self.parts.iter().find(|part| part.column.is_none()));
        let Some((segment, part)) = found else { return Ok(PackedTimes::none()) };
        let located = |error| segment.located(error, part.offset, part.bytes);
        let checked = || {
            let mut times = PackedTimes::read(&self.bytes[part.content.clone()], self.rows())?;
            let ends = (times.at(0)?, times.at(self.rows() - 1)?);
            if ends == self.times { Ok(times) } else { Err(other_times()) }
        };
        checked().map_err(located)
    }

    /// The rows in a range, with the columns that were read and have values there. Of times and columns that are packed in groups, only
    /// groups with such rows are decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn part(&self, range: TimeRange) -> Result<DeviceRows> {
        self.part_of(range, |_| true)
    }

    /// As [`Self::part`], with those columns only that are wanted.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn part_of(&self, range: TimeRange, is_wanted: impl Fn(MetricHandle) -> bool) -> Result<DeviceRows> {
        let mut times = self.packed_times()?;
        let place = |times: &mut PackedTimes<'_>, at: Timestamp| match at {
            Timestamp::MAX => Ok(times.rows()),
            at => times.first_from(0, at.nanoseconds()).map_err(|error| self.located(error)),
        };
        let from = place(&mut times, range.from)?;
        let to = place(&mut times, range.to)?.max(from);
        let mut part = DeviceRows { times: Vec::with_capacity(to - from), columns: Vec::new() };
        for (group, within) in codec::groups_of(from..to) {
            match times.group(group).map_err(|error| self.located(error))? {
                GroupTimes::Listed(times) => part.times.extend_from_slice(&times[within]),
                regular @ GroupTimes::Regular(..) => part.times.extend(within.map(|place| regular.at(place))),
            }
        }
        for metric in self
            .parts
            .iter()
            .filter_map(|part| part.column.map(|(metric, _)| metric))
            .filter(|metric| is_wanted(*metric))
        {
            let Some(column) = self.column(metric)? else { continue };
            let (presence, places) = match &column.presence {
                Presence::All => (Presence::All, from..to),
                Presence::Positions(positions) => {
                    let [first, last] = [from, to].map(|row| positions.partition_point(|at| (*at as usize) < row));
                    let moved = positions[first..last].iter().map(|at| at - from as u32).collect();
                    (Presence::from_positions(moved, to - from), first..last)
                }
            };
            if !places.is_empty() {
                let values = codec::decode_values_at(column.values, column.metric_type, column.present, places);
                let values = values.map_err(|error| column.located(error))?;
                part.columns.push((metric, Column { presence, values }));
            }
        }
        Ok(part)
    }

    /// An error of what was read with the place of all of it.
    #[must_use]
    pub fn located(&self, error: Error) -> Error {
        let Some((segment, (first, last))) = self.segment.as_ref().zip(self.parts.first().zip(self.parts.last()))
        else {
            return error;
        };
        let end = last.offset.saturating_add(u64::from(last.bytes));
        segment.located(error, first.offset, u32::try_from(end - first.offset).unwrap_or(u32::MAX))
    }

    /// The column of a metric, if it was read.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn column(&self, metric: MetricHandle) -> Result<Option<EncodedColumn<'_>>> {
        let of_metric = |part: &&Part| part.column.is_some_and(|(other, _)| other == metric);
        let found = self.segment.as_deref().zip(self.parts.iter().find(of_metric));
        let Some((segment, part)) = found else { return Ok(None) };
        let Some((_, metric_type)) = part.column else { return Ok(None) };
        let split = split_column(&self.bytes[part.content.clone()], self.rows);
        let (presence, present, values) = split.map_err(|error| segment.located(error, part.offset, part.bytes))?;
        Ok(Some(EncodedColumn { presence, present, metric_type, values, segment, part }))
    }
}

/// The times of a slice, which the directory says the number and the ends of.
pub(super) fn slice_times(content: &[u8], rows: u32, ends: (i64, i64)) -> Result<Vec<i64>> {
    let times = codec::decode_times(content, rows as usize)?;
    if times.first() != Some(&ends.0) || times.last() != Some(&ends.1) {
        return Err(other_times());
    }
    Ok(times)
}

fn other_times() -> Error {
    Error::new(ErrorKind::Corruption, "the times are not those of the directory")
}

/// The content of a column: which rows have a value, how many, and the encoded values.
pub(super) fn split_column(content: &[u8], rows: u32) -> Result<(Presence, usize, &[u8])> {
    let mut reader = Reader::new(content);
    let length = reader.length()?;
    let (presence, present) = codec::decode_presence(reader.take(length)?, rows as usize)?;
    Ok((presence, present, reader.take_rest()))
}
