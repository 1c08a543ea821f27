//! What the manifest says of segments and deletes.

use serde::{Deserialize, Serialize};

use crate::model::{DeviceHandle, MetricHandle, SegmentId, Sequence};
use crate::time::{BucketWidth, TimeRange};

/// What the manifest knows of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its id; the file is `segments/<id as 16 hex digits>.fls`.
    pub id: SegmentId,
    /// Width of its buckets.
    pub width: BucketWidth,
    /// First and last bucket number in it (equal but for a sparse segment).
    pub buckets: (i32, i32),
    /// First and last commit whose rows it holds.
    pub sequences: (Sequence, Sequence),
    /// First and last instant in it (both included), in nanoseconds since the epoch.
    pub times: (i64, i64),
    /// Rows (device, instant) in it.
    pub rows: u64,
    /// Values in it.
    pub values: u64,
    /// Log records in it.
    pub logs: u64,
    /// Length of the file.
    pub bytes: u64,
    /// xxh3-64 of the footer, which in turn binds every part of the file.
    pub digest: u64,
    /// Ranges whose rows live elsewhere since a compaction took them out of this (sparse) segment.
    pub excluded: Vec<TimeRange>,
}

/// A delete: hides rows of lower sequence until compaction applies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Of which device.
    pub device: DeviceHandle,
    /// Of which metric; of all where `None`.
    pub metric: Option<MetricHandle>,
    /// In which range.
    pub range: TimeRange,
    /// By which commit.
    pub sequence: Sequence,
}
