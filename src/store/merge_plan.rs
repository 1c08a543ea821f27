//! Which segments to merge next.
//!
//! Guarantees: a merge never puts a commit before one that it follows: of the segments that overlap a bucket it takes all that
//! are sealed, or only those whose commits all come after those of the ones left out. The work is bounded: a month is
//! written anew only for late rows that are a share of it, or for a delete; few late rows are merged among themselves, and
//! buckets of few rows (wrong clocks) stay together in one file.

use std::sync::Arc;

use crate::catalog::Manifest;
use crate::error::Result;
use crate::format::{SegmentEntry, Tombstone};
use crate::model::Sequence;
use crate::time::{BucketWidth, DAY_NS, TimeBucket, TimeRange, Timestamp};

use super::segment_ref::SegmentRef;

/// As many segments of one day, or of many buckets each, are merged.
const SEGMENTS: usize = 4;
/// Late segments of a month that wait to be merged.
const LATE_SEGMENTS: usize = 8;
/// A month is written anew when the rows that came late are one of so many of it.
const LATE_SHARE: u64 = 8;
/// A month is made one segment when the newest data is this much younger than its end.
const MONTH_AGE_NS: i64 = 3 * DAY_NS;
/// A bucket out of segments of many buckets gets a file of its own from so many rows on.
const OWN_FILE_ROWS: u64 = 4_096;

/// What one compaction works on.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) target: Target,
    pub(super) inputs: Vec<Arc<SegmentRef>>,
    pub(super) tombstones: Vec<Tombstone>,
    /// First and last commit that the output stands for.
    pub(super) sequences: (Sequence, Sequence),
}

/// Where the rows of a job go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// One bucket, in a file of its own.
    Bucket(TimeBucket),
    /// All buckets of segments of many, in one such file.
    Sparse,
}

impl Target {
    /// The times that the job takes out of its inputs.
    pub(super) fn range(self) -> TimeRange {
        match self {
            Self::Bucket(bucket) => bucket.range(),
            Self::Sparse => TimeRange::ALL,
        }
    }
}

/// What there is to plan with: one moment.
pub(super) struct Plan<'a> {
    sealed: Vec<&'a Arc<SegmentRef>>,
    manifest: &'a Manifest,
    newest: i64,
    cold: bool,
}

impl<'a> Plan<'a> {
    /// Of the segments at one moment, those that are sealed. `cold`: everything that can be merged is due.
    pub(super) fn new(segments: &'a [Arc<SegmentRef>], manifest: &'a Manifest, now: Timestamp, cold: bool) -> Self {
        let sealed = segments.iter().filter(|segment| segment.entry.sequences.1 <= manifest.sealed_through).collect();
        let newest = segments.iter().map(|segment| segment.entry.times.1).max().unwrap_or(i64::MIN);
        Self { sealed, manifest, newest: newest.min(now.nanoseconds()), cold }
    }

    /// The jobs that are due now, but for those that were done: what clears up many small files first, then months, oldest
    /// first, then days.
    pub(super) fn jobs(&self, done: &[Target]) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        if !done.contains(&Target::Sparse) {
            jobs.extend(self.sparse_job()?);
        }
        for bucket in self.buckets()? {
            if done.contains(&Target::Bucket(bucket)) {
                continue;
            }
            let inputs: Vec<Arc<SegmentRef>> = self
                .sealed
                .iter()
                .filter(|segment| holds(&segment.entry, bucket.range()))
                .map(|segment| Arc::clone(segment))
                .collect();
            let inputs = match bucket.width {
                BucketWidth::Month => self.month_inputs(bucket, inputs)?,
                BucketWidth::Day => {
                    let days =
                        |input: &Arc<SegmentRef>| input.entry.width == BucketWidth::Day && !is_sparse(&input.entry);
                    (inputs.len() >= SEGMENTS && inputs.iter().all(days)).then_some(inputs)
                }
            };
            if let Some(inputs) = inputs {
                let first = inputs.iter().map(|input| input.entry.sequences.0).min().unwrap_or(Sequence::ZERO);
                // Everything sealed that is not in it comes before it, so it stands for all that came since: deletes, too.
                let sequences = (first, self.manifest.sealed_through);
                let tombstones = touching(&self.manifest.tombstones, bucket.range());
                jobs.push(Job { target: Target::Bucket(bucket), inputs, tombstones, sequences });
            }
        }
        Ok(jobs)
    }

    /// Months, then days, that hold sealed rows.
    fn buckets(&self) -> Result<Vec<TimeBucket>> {
        let mut buckets: Vec<TimeBucket> = Vec::new();
        for segment in &self.sealed {
            for (bucket, _) in buckets_of(segment)? {
                buckets.push(bucket);
                buckets.push(TimeBucket::containing(BucketWidth::Month, bucket.range().from));
            }
        }
        // Where a whole month is due, its days need no work of their own.
        buckets.sort_unstable_by_key(|bucket| (bucket.width == BucketWidth::Day, *bucket));
        buckets.dedup();
        Ok(buckets)
    }

    /// What of a month's segments is to be merged now; `None` for nothing.
    fn month_inputs(&self, month: TimeBucket, inputs: Vec<Arc<SegmentRef>>) -> Result<Option<Vec<Arc<SegmentRef>>>> {
        let range = month.range();
        let aged = self.newest.saturating_sub(range.to.nanoseconds()) >= MONTH_AGE_NS;
        if inputs.is_empty() || !(self.cold || aged) {
            return Ok(None);
        }
        let is_month = |input: &SegmentRef| input.entry.width == BucketWidth::Month && !is_sparse(&input.entry);
        let hidden = inputs.iter().any(|input| self.is_hidden_in_part(&input.entry, range));
        if matches!(inputs.as_slice(), [only] if is_month(only)) {
            return Ok(hidden.then_some(inputs));
        }
        if inputs.iter().all(|input| is_sparse(&input.entry)) && rows_in(&inputs, range)? < OWN_FILE_ROWS {
            return Ok(None);
        }
        let base = inputs.iter().filter(|input| is_month(input)).max_by_key(|input| input.entry.bytes).cloned();
        let Some(base) = base.filter(|_| !self.cold && !hidden) else { return Ok(Some(inputs)) };
        let late: Vec<Arc<SegmentRef>> =
            inputs.iter().filter(|input| input.entry.id != base.entry.id).cloned().collect();
        if rows_in(&late, range)? * LATE_SHARE >= base.entry.rows + base.entry.logs {
            return Ok(Some(inputs));
        }
        if late.len() < LATE_SEGMENTS {
            return Ok(None);
        }
        let apart = late.iter().all(|input| input.entry.sequences.0 > base.entry.sequences.1);
        Ok(Some(if apart { late } else { inputs }))
    }

    /// Whether a delete hides rows of a segment in a range that are still in its file.
    fn is_hidden_in_part(&self, entry: &SegmentEntry, range: TimeRange) -> bool {
        self.manifest.tombstones.iter().any(|tombstone| {
            let both = tombstone.range.intersect(range);
            tombstone.sequence > entry.sequences.1 && !both.is_empty() && holds(entry, both)
        })
    }

    /// Segments of many buckets become one, where there are many.
    fn sparse_job(&self) -> Result<Option<Job>> {
        let sparse: Vec<Arc<SegmentRef>> =
            self.sealed.iter().filter(|segment| is_sparse(&segment.entry)).map(|segment| Arc::clone(segment)).collect();
        let hidden = sparse.iter().any(|segment| self.is_hidden_in_part(&segment.entry, TimeRange::ALL));
        let days = sparse.iter().any(|segment| segment.entry.width == BucketWidth::Day);
        let due = sparse.len() >= SEGMENTS || (self.cold && (sparse.len() > 1 || hidden || days));
        if !due || sparse.is_empty() {
            return Ok(None);
        }
        let Some((first, last)) = range_of(&sparse) else { return Ok(None) };
        // It stands for its own commits alone; where a delete is applied, for all that came since.
        let sequences = (first, if hidden { self.manifest.sealed_through } else { last });
        let mut taken = Vec::new();
        for segment in &sparse {
            taken.extend(buckets_of(segment)?.into_iter().map(|(bucket, _)| bucket.range()));
        }
        let between = |other: &Arc<SegmentRef>| {
            let (first, last) = other.entry.sequences;
            !is_sparse(&other.entry)
                && first <= sequences.1
                && last >= sequences.0
                && taken.iter().any(|range| holds(&other.entry, *range))
        };
        if self.sealed.iter().any(|other| between(other)) {
            return Ok(None);
        }
        let tombstones = self.manifest.tombstones.clone();
        Ok(Some(Job { target: Target::Sparse, inputs: sparse, tombstones, sequences }))
    }
}

/// First and last commit of some segments.
fn range_of(inputs: &[Arc<SegmentRef>]) -> Option<(Sequence, Sequence)> {
    let first = inputs.iter().map(|input| input.entry.sequences.0).min()?;
    let last = inputs.iter().map(|input| input.entry.sequences.1).max()?;
    Some((first, last))
}

/// The buckets of a segment that still hold rows of it, with their rows and log records.
pub(super) fn buckets_of(segment: &SegmentRef) -> Result<Vec<(TimeBucket, u64)>> {
    let entry = &segment.entry;
    let numbers =
        if is_sparse(entry) { segment.segment()?.buckets()? } else { vec![(entry.buckets.0, entry.rows + entry.logs)] };
    let buckets = numbers.into_iter().map(|(number, rows)| (TimeBucket { width: entry.width, number }, rows));
    Ok(buckets.filter(|(bucket, _)| !is_excluded(entry, bucket.range())).collect())
}

fn rows_in(inputs: &[Arc<SegmentRef>], range: TimeRange) -> Result<u64> {
    let mut rows = 0;
    for input in inputs {
        let inside = buckets_of(input)?.into_iter().filter(|(bucket, _)| !bucket.range().intersect(range).is_empty());
        rows += inside.map(|(_, rows)| rows).sum::<u64>();
    }
    Ok(rows)
}

fn is_sparse(entry: &SegmentEntry) -> bool {
    entry.buckets.0 != entry.buckets.1
}

fn is_excluded(entry: &SegmentEntry, range: TimeRange) -> bool {
    entry.excluded.iter().any(|out| out.from <= range.from && range.to <= out.to)
}

/// Whether a segment may hold rows in a range.
pub(super) fn holds(entry: &SegmentEntry, range: TimeRange) -> bool {
    let (first, last) = (Timestamp::from_nanoseconds(entry.times.0), Timestamp::from_nanoseconds(entry.times.1));
    range.touches(first, last) && !is_excluded(entry, range)
}

fn touching(tombstones: &[Tombstone], range: TimeRange) -> Vec<Tombstone> {
    tombstones.iter().filter(|tombstone| !tombstone.range.intersect(range).is_empty()).cloned().collect()
}

/// The entry of a segment whose rows in a range now live elsewhere.
pub(super) fn without_range(entry: &SegmentEntry, range: TimeRange) -> SegmentEntry {
    let mut rest = entry.clone();
    rest.excluded.push(range);
    rest.excluded.sort();
    rest.excluded.dedup_by(|next, before| {
        let joins = next.from <= before.to;
        if joins {
            before.to = before.to.max(next.to);
        }
        joins
    });
    rest
}
