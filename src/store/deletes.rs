//! Deletes by device: what hides rows of one device is found without a look at the deletes of the others.
//!
//! Guarantees: a delete hides only what was committed before it; of each device deletes come in the order of their commits; what one
//! delete of a fleet says of many devices is asked of the segments once.

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::Tombstone;
use crate::model::{DeviceHandle, Sequence};
use crate::time::TimeRange;

use super::merge_plan::holds;
use super::segment_ref::SegmentRef;

/// Some tombstones, by (device, sequence).
#[derive(Debug, Default)]
pub(super) struct Deletes(Vec<Tombstone>);

impl Deletes {
    /// Of some tombstones those that reach into a range.
    pub(super) fn of(tombstones: &[Tombstone], range: TimeRange) -> Self {
        let touching = tombstones.iter().filter(|tombstone| !tombstone.range.intersect(range).is_empty());
        let mut deletes: Vec<Tombstone> = touching.cloned().collect();
        deletes.sort_by_key(|delete| (delete.device, delete.sequence));
        Self(deletes)
    }

    /// The deletes of a device that come after a commit.
    pub(super) fn after(&self, device: DeviceHandle, last: Sequence) -> &[Tombstone] {
        let from = self.0.partition_point(|delete| (delete.device, delete.sequence) <= (device, last));
        let length = self.0[from..].partition_point(|delete| delete.device == device);
        &self.0[from..from + length]
    }
}

/// The commits and ranges of some tombstones, each once.
pub(super) fn reaches(tombstones: &[Tombstone]) -> Vec<(Sequence, TimeRange)> {
    let mut reaches: Vec<(Sequence, TimeRange)> =
        tombstones.iter().map(|delete| (delete.sequence, delete.range)).collect();
    reaches.sort_unstable();
    reaches.dedup();
    reaches
}

/// The instants of some ranges, each once, as ranges that rise.
pub(super) fn joined(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let joins = next.from <= before.to;
        if joins {
            before.to = before.to.max(next.to);
        }
        joins
    });
    ranges
}

/// The commits of which a delete may still hide rows: of those in unsealed chunks, which begin with `first_unsealed`, or in segments.
/// Segments that hold nothing older than a delete are passed once for all deletes.
pub(super) fn needed(
    tombstones: &[Tombstone],
    first_unsealed: Option<Sequence>,
    segments: &[Arc<SegmentRef>],
) -> HashSet<Sequence> {
    let mut by_last: Vec<&Arc<SegmentRef>> = segments.iter().collect();
    by_last.sort_unstable_by_key(|segment| segment.entry.sequences.1);
    let mut needed = HashSet::new();
    for (sequence, range) in reaches(tombstones) {
        let hides = || {
            let older = by_last.partition_point(|segment| segment.entry.sequences.1 < sequence);
            by_last[..older].iter().any(|segment| holds(&segment.entry, range))
        };
        if !needed.contains(&sequence) && (first_unsealed.is_some_and(|first| first < sequence) || hides()) {
            needed.insert(sequence);
        }
    }
    needed
}
