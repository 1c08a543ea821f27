//! How an answer came about.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::scan::ScanCounters;

/// How an answer came about: times and work. The names are those that the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Explain {
    /// All of it, without opening the store.
    pub elapsed_ms: f64,
    /// Finding names, devices and segments.
    pub plan_ms: f64,
    /// Reading and aggregating.
    pub scan_ms: f64,
    /// Finishing: order, filling.
    pub merge_ms: f64,
    /// Threads.
    pub threads: u64,
    /// Segments that overlap the range.
    pub segments: u64,
    /// Segments that do not.
    pub segments_pruned: u64,
    /// Blocks that the question touches.
    pub blocks: u64,
    /// Of these, answered by statistics or rollups.
    pub blocks_from_statistics: u64,
    /// Of these, read and decoded.
    pub blocks_decoded: u64,
    /// Values decoded.
    pub values_decoded: u64,
    /// Bytes of blocks read.
    pub bytes_read: u64,
}

impl Explain {
    /// Of work that was planned from `started` to `planned`, and has just ended.
    pub(super) fn of(counters: &ScanCounters, started: Instant, planned: Instant, threads: usize) -> Self {
        Self::new(counters, planned - started, planned.elapsed(), Duration::ZERO, threads)
    }

    pub(super) fn new(
        counters: &ScanCounters,
        plan: Duration,
        scan: Duration,
        merge: Duration,
        threads: usize,
    ) -> Self {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            elapsed_ms: ms(plan + scan + merge),
            plan_ms: ms(plan),
            scan_ms: ms(scan),
            merge_ms: ms(merge),
            threads: threads as u64,
            segments: load(&counters.segments),
            segments_pruned: load(&counters.segments_pruned),
            blocks: load(&counters.blocks),
            blocks_from_statistics: load(&counters.blocks_from_statistics),
            blocks_decoded: load(&counters.blocks_decoded),
            values_decoded: load(&counters.values_decoded),
            bytes_read: load(&counters.bytes_read),
        }
    }
}
