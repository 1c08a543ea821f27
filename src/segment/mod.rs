//! Segments: immutable columnar files, written once, read by many.
//!
//! Guarantees: a segment under its final name is whole and durable; what is read is what was written, or an error that
//! names file and range, never fewer rows; opening reads header, trailer and footer only; pages of the directory, of
//! statistics, of rollups and of gaps are loaded on demand, and a budget bounds those held; a writer holds a few MiB whatever the
//! segment's size, says how much, and lets go of it when asked.

mod cache;
mod describe;
mod encoded;
mod gaps;
mod page_reader;
mod pages;
mod reader;
mod statistics;
mod writer;

use std::path::PathBuf;

use crate::model::{DeviceHandle, SegmentId};
use crate::time::TimeBucket;

pub use crate::format::{BlockStatistics, Gap, RollupCell, SliceGaps};
pub use cache::PageCache;
pub use describe::{BlockDescription, SliceDescription};
pub use encoded::{EncodedColumn, EncodedSlice};
pub use reader::Segment;
pub use statistics::CompensatedSum;
pub use writer::SegmentWriter;

/// The name of a segment's file in the folder `segments`.
#[must_use]
pub fn file_name(id: SegmentId) -> PathBuf {
    PathBuf::from(format!("{:016x}.fls", id.0))
}

/// The name of a segment's file while it is written.
#[must_use]
pub fn temporary_name(id: SegmentId) -> PathBuf {
    PathBuf::from(format!("{:016x}.tmp", id.0))
}

/// The id in the name of a segment's file, finished or not.
#[must_use]
pub fn id_of_file(path: &std::path::Path) -> Option<SegmentId> {
    let known = matches!(path.extension()?.to_str()?, "fls" | "tmp");
    let stem = path.file_stem()?.to_str()?;
    (known && stem.len() == 16).then(|| u64::from_str_radix(stem, 16).ok().map(SegmentId)).flatten()
}

/// A slice: what a segment holds of one device and one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceInfo {
    /// Device.
    pub device: DeviceHandle,
    /// Bucket number.
    pub bucket: i32,
    /// Place in the segment, for the read calls.
    pub place: u32,
    /// Rows.
    pub rows: u32,
    /// First and last instant, in nanoseconds since the epoch.
    pub times: (i64, i64),
}

/// A slice with log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSlice {
    /// The bucket that the records lie in.
    pub bucket: TimeBucket,
    /// Place in the segment, for the read calls.
    pub place: u32,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_gaps;
#[cfg(test)]
mod tests_parts;
