//! Compaction: small segments of a bucket become one, days become months as they age; tombstones are applied on the way.
//!
//! Guarantees: no answer changes; writers and readers never wait; all sealed segments that overlap the bucket take part, so
//! that no range of sequences reaches across one left out; the files that go are unlinked with their last snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalog::Manifest;
use crate::error::Result;
use crate::format::{SegmentEntry, Tombstone};
use crate::kv::{Family, KvBatch};
use crate::model::{SegmentId, Sequence};
use crate::time::{BucketWidth, DAY_NS, TimeBucket, TimeRange, Timestamp};

use super::core::{Core, State, lock};
use super::gather::{Source, all_devices, gather_logs, gather_rows};
use super::progress::Progress;
use super::segment_ref::SegmentRef;
use super::segment_set::{Reserved, SegmentSet};

/// As many segments of one day are merged, though the day is young.
const DAY_SEGMENTS: usize = 4;
/// A month is made one segment when the newest data is this much younger than its end.
const MONTH_AGE_NS: i64 = 3 * DAY_NS;

/// What one compaction works on.
#[derive(Debug)]
struct Job {
    bucket: TimeBucket,
    inputs: Vec<Arc<SegmentRef>>,
    tombstones: Vec<Tombstone>,
}

impl Core {
    /// Merges what is due; all that can be merged where `cold`.
    pub(super) fn compact(&self, cold: bool, progress: Option<&Progress>) -> Result<()> {
        let _structure = lock(&self.structure);
        self.check_writable()?;
        let mut done: Vec<TimeBucket> = Vec::new();
        loop {
            progress.map_or(Ok(()), Progress::check)?;
            let due = self.due(cold, &done)?;
            if let Some(progress) = progress {
                progress.set_total((done.len() + due.len()) as u64);
            }
            let Some(job) = due.into_iter().next() else { break };
            done.push(job.bucket);
            self.run(job, progress)?;
            progress.inspect(|progress| progress.advance(1));
        }
        self.drop_tombstones()
    }

    /// The jobs that are due now, oldest bucket first.
    fn due(&self, cold: bool, done: &[TimeBucket]) -> Result<Vec<Job>> {
        let (segments, manifest) = {
            let state = lock(&self.state);
            (Arc::clone(&state.segments), Arc::clone(&state.manifest))
        };
        let sealed: Vec<&Arc<SegmentRef>> =
            segments.iter().filter(|segment| segment.entry.sequences.1 <= manifest.sealed_through).collect();
        let newest = segments.iter().map(|segment| segment.entry.times.1).max().unwrap_or(i64::MIN);
        let newest = newest.min(self.options.clock.now().nanoseconds());
        let mut buckets: Vec<TimeBucket> = Vec::new();
        for segment in &sealed {
            for bucket in buckets_of(segment)? {
                buckets.push(bucket);
                buckets.push(TimeBucket::containing(BucketWidth::Month, bucket.range().from));
            }
        }
        // Months first: where a whole month is due, its days need no work of their own.
        buckets.sort_unstable_by_key(|bucket| (bucket.width == BucketWidth::Day, *bucket));
        buckets.dedup();
        let mut jobs = Vec::new();
        for bucket in buckets.into_iter().filter(|bucket| !done.contains(bucket)) {
            let inputs: Vec<Arc<SegmentRef>> = sealed
                .iter()
                .filter(|segment| holds(&segment.entry, bucket.range()))
                .map(|segment| Arc::clone(segment))
                .collect();
            let tombstones = touching(&manifest.tombstones, bucket.range());
            let hidden = inputs
                .iter()
                .any(|input| tombstones.iter().any(|tombstone| tombstone.sequence > input.entry.sequences.1));
            let due = match bucket.width {
                BucketWidth::Month => {
                    let aged = newest.saturating_sub(bucket.range().to.nanoseconds()) >= MONTH_AGE_NS;
                    let whole = matches!(inputs.as_slice(), [only] if only.entry.width == BucketWidth::Month && !is_sparse(&only.entry));
                    !inputs.is_empty() && (cold || aged) && (!whole || hidden)
                }
                BucketWidth::Day => {
                    let days =
                        |input: &Arc<SegmentRef>| input.entry.width == BucketWidth::Day && !is_sparse(&input.entry);
                    inputs.len() >= DAY_SEGMENTS && inputs.iter().all(days)
                }
            };
            if due {
                jobs.push(Job { bucket, inputs, tombstones });
            }
        }
        Ok(jobs)
    }

    fn run(&self, job: Job, progress: Option<&Progress>) -> Result<()> {
        let Some(sequences) = range_of(&job.inputs) else { return Ok(()) };
        let mut ids = self.reserve(1, "compaction")?;
        let mut set = SegmentSet::new(self, job.bucket.width, sequences, Some(vec![job.bucket.number]));
        if let Err(error) = merge(&job, &mut set, &mut ids, progress) {
            if set.abandon().is_ok() {
                let _ = self.forget(&ids.intent);
            }
            return Err(error);
        }
        let mut entries = set.finish()?;
        self.counters.compacted.fetch_add(entries.iter().map(|entry| entry.bytes).sum(), Ordering::Relaxed);
        let mut batch = KvBatch::default();
        let mut gone: Vec<SegmentId> = Vec::new();
        let mut come: Vec<Arc<SegmentRef>> = entries.iter().map(|entry| self.segment_ref(entry.clone())).collect();
        for input in &job.inputs {
            let entry = without_range(&input.entry, job.bucket.range());
            let rest = input.with_entry(Arc::new(entry.clone()));
            if buckets_of(&rest)?.is_empty() {
                batch.delete(Family::Manifest, Manifest::segment_key(input.entry.id));
                gone.push(input.entry.id);
            } else {
                come.push(Arc::new(rest));
                entries.push(entry);
            }
        }
        Self::register(&entries, &ids.intent, &mut batch)?;
        if let Err(error) = self.kv.write(batch, true) {
            self.poison();
            return Err(error);
        }
        lock(&self.state).change_segments(&gone, come);
        Ok(())
    }

    /// Drops tombstones that hide nothing any more.
    fn drop_tombstones(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let needed: Vec<Sequence> =
            state.manifest.tombstones.iter().filter(|t| hides_something(&state, t)).map(|t| t.sequence).collect();
        // Keys count the tombstones of one commit from 0: where one of them stays, all do, so that the count stays true.
        let partly = |sequence: Sequence| needed.contains(&sequence);
        let whole: Vec<Tombstone> = state.manifest.tombstones.iter().filter(|t| !partly(t.sequence)).cloned().collect();
        let mut batch = KvBatch::default();
        let mut place = 0;
        let mut last = Sequence::ZERO;
        if whole.is_empty() {
            return Ok(());
        }
        for tombstone in &whole {
            place = if tombstone.sequence == last { place + 1 } else { 0 };
            last = tombstone.sequence;
            batch.delete(Family::Manifest, Manifest::tombstone_key(tombstone.sequence, place));
        }
        Arc::make_mut(&mut state.manifest).tombstones.retain(|tombstone| partly(tombstone.sequence));
        drop(state);
        self.kv.write(batch, true)
    }
}

/// Whether there may be rows that only a tombstone hides.
fn hides_something(state: &State, tombstone: &Tombstone) -> bool {
    let older = |segment: &Arc<SegmentRef>| {
        segment.entry.sequences.1 < tombstone.sequence && holds(&segment.entry, tombstone.range)
    };
    let chunks = state.frozen.iter().any(|chunk| chunk.sequences().0 < tombstone.sequence);
    chunks || !state.active.is_empty() || state.segments.iter().any(older)
}

fn merge(job: &Job, set: &mut SegmentSet, ids: &mut Reserved, progress: Option<&Progress>) -> Result<()> {
    let sources: Vec<Source> = job.inputs.iter().map(|input| Source::Segment(Arc::clone(input))).collect();
    let range = job.bucket.range();
    for device in all_devices(&sources)? {
        progress.map_or(Ok(()), Progress::check)?;
        let rows = gather_rows(&sources, &[device], range, None, &job.tombstones)?;
        let mut logs = gather_logs(&sources, &[device])?;
        logs.retain(|log| range.contains(Timestamp::from_nanoseconds(log.time)));
        set.write(device, &rows, &logs, ids)?;
    }
    Ok(())
}

/// First and last commit of some segments.
fn range_of(inputs: &[Arc<SegmentRef>]) -> Option<(Sequence, Sequence)> {
    let first = inputs.iter().map(|input| input.entry.sequences.0).min()?;
    let last = inputs.iter().map(|input| input.entry.sequences.1).max()?;
    Some((first, last))
}

/// The buckets of a segment that still hold rows of it.
fn buckets_of(segment: &SegmentRef) -> Result<Vec<TimeBucket>> {
    let entry = &segment.entry;
    let numbers = if is_sparse(entry) { segment.segment()?.buckets()? } else { vec![entry.buckets.0] };
    let buckets = numbers.into_iter().map(|number| TimeBucket { width: entry.width, number });
    Ok(buckets.filter(|bucket| !is_excluded(entry, bucket.range())).collect())
}

fn is_sparse(entry: &SegmentEntry) -> bool {
    entry.buckets.0 != entry.buckets.1
}

fn is_excluded(entry: &SegmentEntry, range: TimeRange) -> bool {
    entry.excluded.iter().any(|out| out.from <= range.from && range.to <= out.to)
}

/// Whether a segment may hold rows in a range.
fn holds(entry: &SegmentEntry, range: TimeRange) -> bool {
    let (first, last) = (Timestamp::from_nanoseconds(entry.times.0), Timestamp::from_nanoseconds(entry.times.1));
    range.touches(first, last) && !is_excluded(entry, range)
}

fn touching(tombstones: &[Tombstone], range: TimeRange) -> Vec<Tombstone> {
    let touches = |tombstone: &&Tombstone| {
        let both = tombstone.range.intersect(range);
        !both.is_empty()
    };
    tombstones.iter().filter(touches).cloned().collect()
}

/// The entry of a segment whose rows in a range now live elsewhere.
fn without_range(entry: &SegmentEntry, range: TimeRange) -> SegmentEntry {
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
