//! What an import ends with: counts, and the rejections that are kept.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use crate::ingest::Rejection;

/// Rejections of one file that are kept; more are counted only.
pub(super) const REJECTIONS_KEPT_MAX: usize = 10_000;

/// What became of the rows of a file (or of several, added up).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ImportCounts {
    /// Rows read, whatever became of them.
    pub rows_read: u64,
    /// Rows (instants of a device, events, devices) that the store has more than before.
    pub stored: u64,
    /// Samples: rows of a device and time that an earlier row had, of the file or of the store; the later one won. Events:
    /// repeated ones.
    pub overwritten: u64,
    /// Rows that were moved by 1 ns or more, because the sequence column told them apart from others at their instant.
    pub kept_apart: u64,
    /// Rows that were refused, with line and reason.
    pub rejected: u64,
    /// Those of them that are kept in the store: the first 10,000 of a file, or none where they could not be written.
    pub rejections_kept: u64,
    /// Rows without any value, which store nothing.
    pub empty: u64,
    /// Devices import: devices whose attributes the store had already, all of them.
    pub unchanged: u64,
    /// Samples: metrics of which the file has true or false in some rows and numbers in others, so that true became 1 and false 0.
    pub mixed_booleans: BTreeSet<String>,
}

impl AddAssign for ImportCounts {
    fn add_assign(&mut self, mut other: Self) {
        self.rows_read += other.rows_read;
        self.stored += other.stored;
        self.overwritten += other.overwritten;
        self.kept_apart += other.kept_apart;
        self.rejected += other.rejected;
        self.rejections_kept += other.rejections_kept;
        self.empty += other.empty;
        self.unchanged += other.unchanged;
        self.mixed_booleans.append(&mut other.mixed_booleans);
    }
}

/// The rejections of a file so far.
#[derive(Debug, Default)]
pub(super) struct Rejections {
    pub(super) count: u64,
    kept: Vec<Rejection>,
}

impl Rejections {
    pub(super) fn add(&mut self, rejection: Rejection) {
        self.count += 1;
        if self.kept.len() < REJECTIONS_KEPT_MAX {
            self.kept.push(rejection);
        }
    }

    /// Those that are kept, in the order of the file: records that were looked at ahead are refused ahead.
    pub(super) fn in_order(mut self) -> Vec<Rejection> {
        self.kept.sort_by_key(|rejection| rejection.row);
        self.kept
    }
}
