//! The chunk that still takes rows.

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::model::StoredLog;
use crate::model::{BatchColumn, DeviceHandle, MetricHandle, Sequence};
use crate::time::{TimeRange, Timestamp};

use super::chunk::Chunk;
use super::flat::FlatRows;

/// The most rows in one chunk: places of rows are 32 bits wide.
pub(super) const ROWS_MAX: usize = 1 << 30;

/// A chunk that grows. Commits come in the order of their sequence numbers.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    pub(super) sequences: Option<(Sequence, Sequence)>,
    pub(super) times: Option<(i64, i64)>,
    pub(super) devices: RoaringBitmap,
    pub(super) log_devices: RoaringBitmap,
    pub(super) flat: FlatRows,
}

impl ChunkBuilder {
    /// An empty chunk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the rows and log records of one commit. Rows of `columns` are places in `devices` and `times`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TypeMismatch`] where text meets a number (the catalogue forbids it before a commit gets here).
    pub fn append(
        &mut self,
        sequence: Sequence,
        devices: &[DeviceHandle],
        times: &[i64],
        columns: &[(MetricHandle, BatchColumn)],
        logs: impl IntoIterator<Item = StoredLog>,
    ) -> Result<()> {
        let handles = devices.iter().map(|device| device.0);
        self.flat.append(handles, times, columns.iter().map(|(metric, column)| (*metric, column)))?;
        for run in devices.chunk_by(|a, b| a == b) {
            self.devices.insert(run[0].0);
        }
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
            let (from, to) = self.times.unwrap_or((*first, *last));
            self.times = Some((from.min(*first), to.max(*last)));
        }
        for log in logs {
            self.log_devices.insert(log.device.0);
            self.flat.append_log(log);
        }
        self.sequences = Some((self.sequences.map_or(sequence, |(first, _)| first), sequence));
        Ok(())
    }

    /// Whether nothing was appended that holds rows or log records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flat.times.is_empty() && self.flat.logs.is_empty()
    }

    /// Whether it may hold rows of a device in a range.
    #[must_use]
    pub fn may_hold(&self, device: DeviceHandle, range: TimeRange) -> bool {
        let at = Timestamp::from_nanoseconds;
        self.devices.contains(device.0) && self.times.is_some_and(|(first, last)| range.touches(at(first), at(last)))
    }

    /// Bytes held, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.flat.memory_bytes()
    }

    /// The chunk as it is, which takes no more; `None` when it holds nothing.
    #[must_use]
    pub fn freeze(self) -> Option<Chunk> {
        if self.is_empty() { None } else { Chunk::new(self) }
    }
}
