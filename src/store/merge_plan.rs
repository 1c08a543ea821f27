//! Which segments to merge next.
//!
//! Guarantees: a merge never puts a commit before one that it follows: of the segments that overlap a bucket it takes all that
//! are sealed, or only those whose commits all come after those of the ones left out. The work is bounded: a month is
//! written anew only for late rows that are a share of it, or for a delete; few late rows are merged among themselves, and
//! buckets of few rows (wrong clocks) stay together in one file.

use std::sync::Arc;

use crate::catalog::Manifest;
use crate::codec::Tier;
use crate::error::Result;
use crate::format::SegmentEntry;
use crate::model::Sequence;
use crate::time::{BucketWidth, DAY_NS, TimeBucket, TimeRange, Timestamp};

use super::deletes::{joined, reaches};
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
    /// First and last commit that the output stands for.
    pub(super) sequences: (Sequence, Sequence),
    /// What the output is written for.
    pub(super) tier: Tier,
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

/// A sealed segment, and the buckets that still hold rows of it, with their rows and log records.
struct Sealed<'a> {
    segment: &'a Arc<SegmentRef>,
    buckets: Vec<(TimeBucket, u64)>,
}

impl Sealed<'_> {
    fn entry(&self) -> &SegmentEntry {
        &self.segment.entry
    }

    fn is_sparse(&self) -> bool {
        is_sparse(self.entry())
    }

    /// Whether its columns are in the cold tier: its header says so. A file that can not be opened is not: whoever merges it
    /// learns why.
    fn is_cold(&self) -> bool {
        self.segment.segment().is_ok_and(|segment| segment.tier() == Tier::Cold)
    }

    fn is_month(&self) -> bool {
        self.entry().width == BucketWidth::Month && !self.is_sparse()
    }

    /// Rows and log records of its buckets in a range.
    fn rows_in(&self, range: TimeRange) -> u64 {
        let inside = self.buckets.iter().filter(|(bucket, _)| !bucket.range().intersect(range).is_empty());
        inside.map(|(_, rows)| rows).sum()
    }

    fn holds(&self, range: TimeRange) -> bool {
        holds(self.entry(), range) && self.rows_in(range) > 0
    }
}

/// What there is to plan with: one moment.
pub(super) struct Plan<'a> {
    sealed: Vec<Sealed<'a>>,
    sealed_through: Sequence,
    /// What was deleted by which commit.
    deletes: Vec<(Sequence, TimeRange)>,
    newest: i64,
    cold: bool,
}

impl<'a> Plan<'a> {
    /// Of the segments at one moment, those that are sealed. `cold`: everything that can be merged is due, and months come out
    /// in the cold tier.
    pub(super) fn new(
        segments: &'a [Arc<SegmentRef>],
        manifest: &Manifest,
        now: Timestamp,
        cold: bool,
    ) -> Result<Self> {
        let sealed = segments.iter().filter(|segment| segment.entry.sequences.1 <= manifest.sealed_through);
        let sealed =
            sealed.map(|segment| Ok(Sealed { segment, buckets: buckets_of(segment)? })).collect::<Result<_>>()?;
        let newest = segments.iter().map(|segment| segment.entry.times.1).max().unwrap_or(i64::MIN);
        let sealed_through = manifest.sealed_through;
        // What a merge writes stands for commits up to there: a later delete would have it written anew at every look.
        let settled = |(sequence, _): &(Sequence, TimeRange)| cold || *sequence <= sealed_through;
        let deletes = reaches(&manifest.tombstones).into_iter().filter(settled).collect();
        Ok(Self { sealed, sealed_through, deletes, newest: newest.min(now.nanoseconds()), cold })
    }

    /// The jobs that are due now, but for those that were done: what clears up many small files first, then months, oldest
    /// first, then days.
    pub(super) fn jobs(&self, done: &[Target]) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        if !done.contains(&Target::Sparse) {
            jobs.extend(self.sparse_job());
        }
        for bucket in self.buckets() {
            if done.contains(&Target::Bucket(bucket)) {
                continue;
            }
            let inputs: Vec<&Sealed<'_>> = self.sealed.iter().filter(|sealed| sealed.holds(bucket.range())).collect();
            let inputs = match bucket.width {
                BucketWidth::Month => self.month_inputs(bucket, inputs),
                BucketWidth::Day => {
                    let days = |input: &&Sealed<'_>| input.entry().width == BucketWidth::Day && !input.is_sparse();
                    (inputs.len() >= SEGMENTS && inputs.iter().all(days)).then_some(inputs)
                }
            };
            if let Some(inputs) = inputs {
                let first = inputs.iter().map(|input| input.entry().sequences.0).min().unwrap_or(Sequence::ZERO);
                // Everything sealed that is not in it comes before it, so it stands for all that came since: deletes, too.
                let sequences = (first, self.sealed_through);
                let inputs = inputs.into_iter().map(|input| Arc::clone(input.segment)).collect();
                let tier = if self.cold && bucket.width == BucketWidth::Month { Tier::Cold } else { Tier::Fast };
                jobs.push(Job { target: Target::Bucket(bucket), inputs, sequences, tier });
            }
        }
        Ok(jobs)
    }

    /// Months, then days, that hold sealed rows.
    fn buckets(&self) -> Vec<TimeBucket> {
        let held = self.sealed.iter().flat_map(|sealed| sealed.buckets.iter().map(|(bucket, _)| *bucket));
        let month = |bucket: TimeBucket| TimeBucket::containing(BucketWidth::Month, bucket.range().from);
        let mut buckets: Vec<TimeBucket> = held.flat_map(|bucket| [bucket, month(bucket)]).collect();
        // Where a whole month is due, its days need no work of their own.
        buckets.sort_unstable_by_key(|bucket| (bucket.width == BucketWidth::Day, *bucket));
        buckets.dedup();
        buckets
    }

    /// What of a month's segments is to be merged now; `None` for nothing.
    fn month_inputs<'p>(&self, month: TimeBucket, inputs: Vec<&'p Sealed<'a>>) -> Option<Vec<&'p Sealed<'a>>> {
        let range = month.range();
        let aged = self.newest.saturating_sub(range.to.nanoseconds()) >= MONTH_AGE_NS;
        if inputs.is_empty() || !(self.cold || aged) {
            return None;
        }
        let hidden = inputs.iter().any(|input| self.is_hidden_in_part(input.entry(), range));
        if let [only] = inputs.as_slice()
            && only.is_month()
        {
            let due = hidden || (self.cold && !only.is_cold());
            return due.then_some(inputs);
        }
        let rows_of = |inputs: &[&Sealed<'_>]| inputs.iter().map(|input| input.rows_in(range)).sum::<u64>();
        if inputs.iter().all(|input| input.is_sparse()) && rows_of(&inputs) < OWN_FILE_ROWS {
            return None;
        }
        let base = inputs.iter().copied().filter(|input| input.is_month()).max_by_key(|input| input.entry().bytes);
        let Some(base) = base.filter(|_| !self.cold && !hidden) else { return Some(inputs) };
        let late: Vec<&Sealed<'a>> =
            inputs.iter().copied().filter(|input| input.entry().id != base.entry().id).collect();
        if rows_of(&late) * LATE_SHARE >= base.rows_in(range) {
            return Some(inputs);
        }
        if late.len() < LATE_SEGMENTS {
            return None;
        }
        let apart = late.iter().all(|input| input.entry().sequences.0 > base.entry().sequences.1);
        Some(if apart { late } else { inputs })
    }

    /// Whether a delete hides rows of a segment in a range that are still in its file.
    fn is_hidden_in_part(&self, entry: &SegmentEntry, range: TimeRange) -> bool {
        self.deletes.iter().any(|(sequence, deleted)| {
            let both = deleted.intersect(range);
            *sequence > entry.sequences.1 && !both.is_empty() && holds(entry, both)
        })
    }

    /// Segments of many buckets become one, where there are many.
    fn sparse_job(&self) -> Option<Job> {
        let mut sparse: Vec<&Sealed<'_>> = self.sealed.iter().filter(|sealed| sealed.is_sparse()).collect();
        loop {
            let hidden = sparse.iter().any(|input| self.is_hidden_in_part(input.entry(), TimeRange::ALL));
            let days = sparse.iter().any(|input| input.entry().width == BucketWidth::Day);
            let due = sparse.len() >= SEGMENTS || (self.cold && (sparse.len() > 1 || hidden || days));
            let (first, last) = range_of(&sparse).filter(|_| due)?;
            // It stands for its own commits alone; where a delete is applied, for all that came since.
            let sequences = (first, if hidden { self.sealed_through } else { last });
            match self.last_between(&sparse, sequences) {
                // Those that all come after it may still be merged.
                Some(between) => sparse.retain(|input| input.entry().sequences.0 > between),
                None => {
                    let inputs = sparse.into_iter().map(|input| Arc::clone(input.segment)).collect();
                    return Some(Job { target: Target::Sparse, inputs, sequences, tier: Tier::Fast });
                }
            }
        }
    }

    /// The last commit of the segments that hold rows of the same buckets as some sparse ones, and of commits among theirs.
    fn last_between(&self, sparse: &[&Sealed<'_>], (first, last): (Sequence, Sequence)) -> Option<Sequence> {
        let taken: Vec<TimeRange> =
            sparse.iter().flat_map(|input| input.buckets.iter().map(|(bucket, _)| bucket.range())).collect();
        let among = |other: &&Sealed<'_>| {
            let left_out = sparse.iter().all(|input| input.entry().id != other.entry().id);
            let (from, to) = other.entry().sequences;
            left_out && from <= last && to >= first && taken.iter().any(|range| other.holds(*range))
        };
        self.sealed.iter().filter(among).map(|other| other.entry().sequences.1).max()
    }
}

/// First and last commit of some segments.
fn range_of(inputs: &[&Sealed<'_>]) -> Option<(Sequence, Sequence)> {
    let first = inputs.iter().map(|input| input.entry().sequences.0).min()?;
    let last = inputs.iter().map(|input| input.entry().sequences.1).max()?;
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

/// The entry of a segment whose rows in a range now live elsewhere.
pub(super) fn without_range(entry: &SegmentEntry, range: TimeRange) -> SegmentEntry {
    let mut rest = entry.clone();
    rest.excluded.push(range);
    rest.excluded = joined(rest.excluded);
    rest
}
