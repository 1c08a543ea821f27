//! How a store is run.

use std::path::PathBuf;
use std::sync::Arc;

use crate::io::{FileSystem, RealFileSystem};
use crate::time::{HOUR_NS, SharedClock, SystemClock, TimeRange};

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once the log is flushed to the disk: survives a crash and a power loss.
    #[default]
    Synced,
    /// Before that: a crash of the machine may lose the newest writes, never one in the middle.
    Buffered,
}

/// How a store is run. Nothing else steers it: no global state.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most memory for unsealed rows, caches and queries, in bytes. A quarter is for unsealed rows before they are sealed
    /// (writers wait when they pass half), an eighth for the pages of segments that were read last,
    /// another for those of segments that are being written, and one for room that questions leave to the next ones.
    pub memory_bytes: usize,
    /// Threads for queries and for sorting; 0 stands for all cores. A writer has three more that mostly wait (seal, compaction,
    /// watermark), and RocksDB one or two.
    pub threads: usize,
    /// Rows that wait in memory for so long, in nanoseconds of the clock, are sealed though there are few of them: what is not
    /// sealed is read again at each opening.
    pub seal_age_ns: i64,
    /// When `write` returns.
    pub durability: Durability,
    /// The file system of segments and watermark; tests of hosts may put a double here.
    pub file_system: Arc<dyn FileSystem>,
    /// Where a reader makes the folder that RocksDB wants for itself beside a writer; it goes when the reader does. `None` stands for the
    /// system's temporary folder, which is the one thing here that an environment variable (`TMPDIR`) may move.
    pub scratch_folder: Option<PathBuf>,
    /// Where the present comes from.
    pub clock: SharedClock,
    /// Readings, events and log records outside are refused.
    pub accepted_times: TimeRange,
    /// Whether to create the store where there is none.
    pub create: bool,
    /// Whether seals are followed by compaction in the background.
    pub compact_in_background: bool,
    /// The most that compaction in the background writes in a second; 0 sets no bound.
    pub compaction_bytes_per_second: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            threads: 0,
            seal_age_ns: HOUR_NS,
            durability: Durability::Synced,
            file_system: Arc::new(RealFileSystem),
            scratch_folder: None,
            clock: Arc::new(SystemClock),
            accepted_times: TimeRange::ALL,
            create: true,
            compact_in_background: true,
            compaction_bytes_per_second: 16 << 20,
        }
    }
}

impl Options {
    /// Unsealed rows past this are sealed.
    pub(super) fn seal_bytes(&self) -> usize {
        (self.memory_bytes / 4).max(1 << 20)
    }

    /// Writers wait while unsealed rows hold more than this.
    pub(super) fn wait_bytes(&self) -> usize {
        (self.memory_bytes / 2).max(2 << 20)
    }

    /// Chunks that only snapshots hold may be as large as this.
    pub(super) fn pinned_bytes(&self) -> usize {
        (self.memory_bytes / 2).max(2 << 20)
    }

    /// Pages of segments that are kept in memory.
    pub(super) fn pages_bytes(&self) -> usize {
        self.memory_bytes / 8
    }

    /// Memory of the key-value store.
    pub(super) fn kv_bytes(&self) -> usize {
        (self.memory_bytes / 8).clamp(4 << 20, 64 << 20)
    }
}
