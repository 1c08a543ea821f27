//! Compaction: small segments of a bucket become one, days become months as they age; tombstones are applied on the way.
//!
//! Guarantees: no answer changes; writers, seals and readers never wait for it; it holds a part of one device at a time,
//! however much the device sent; the files that go are unlinked with their last snapshot; a file that can not be read keeps no other
//! bucket from being merged, but for one of sparse buckets, which may hold rows of any. `merge_plan` says what is merged.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use crate::catalog::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::kv::{Family, KvBatch};
use crate::model::{SegmentId, Sequence};
use crate::time::BucketWidth;

use super::core::{Core, lock};
use super::deletes::{Deletes, needed};
use super::gather::{Source, all_devices, gather_rows, parts};
use super::log_merge::{LogMerge, write_part};
use super::merge_plan::{Job, Plan, Target, buckets_of, without_range};
use super::progress::Progress;
use super::segment_ref::SegmentRef;
use super::segment_set::{Reserved, SegmentSet};

/// Whether another compaction has ended is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps the background's writing to so many bytes a second.
struct Pace {
    started: Instant,
    bytes_per_second: u64,
}

impl Core {
    /// Merges what is due; where `cold`, all that can be merged, into months of the cold tier.
    pub(super) fn compact(&self, cold: bool, progress: Option<&Progress>) -> Result<()> {
        self.compact_at_pace(cold, progress, 0)
    }

    /// Merges what is due without haste; ends when the store closes.
    pub(super) fn compact_in_background(&self) -> Result<()> {
        self.compact_at_pace(false, Some(&self.background), self.options.compaction_bytes_per_second)
    }

    fn compact_at_pace(&self, cold: bool, progress: Option<&Progress>, bytes_per_second: u64) -> Result<()> {
        let _compacting = self.wait_for_compaction(progress)?;
        self.check_writable()?;
        let mut done: Vec<Target> = Vec::new();
        let mut damage = None;
        loop {
            progress.map_or(Ok(()), Progress::check)?;
            let (jobs, manifest) = self.due(cold, &done)?;
            if let Some(progress) = progress {
                progress.set_total((done.len() + jobs.len()) as u64);
            }
            let Some(job) = jobs.into_iter().next() else { break };
            done.push(job.target);
            let pace = Pace { started: Instant::now(), bytes_per_second };
            // Of the moment whose commits the merge stands for.
            let deletes = Deletes::of(&manifest.tombstones, job.target.range());
            match self.run(&job, &deletes, progress, &pace) {
                // What is damaged, or on a sector that can not be read, keeps its own bucket as it is, not the others.
                Err(error) if self.is_damage(&error) => damage = damage.or(Some(error)),
                ran => ran?,
            }
            progress.inspect(|progress| progress.advance(1));
        }
        self.drop_tombstones()?;
        damage.map_or(Ok(()), Err)
    }

    /// Whether an error is of the files that a merge reads.
    fn is_damage(&self, error: &Error) -> bool {
        let of_files = matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io | ErrorKind::NotFound);
        of_files && !self.poisoned.load(Ordering::Acquire)
    }

    fn due(&self, cold: bool, done: &[Target]) -> Result<(Vec<Job>, Arc<Manifest>)> {
        let (segments, manifest) = {
            let state = lock(&self.state);
            (Arc::clone(&state.segments), Arc::clone(&state.manifest))
        };
        let jobs = Plan::new(&segments, &manifest, self.options.clock.now(), cold)?.jobs(done)?;
        Ok((jobs, manifest))
    }

    /// Waits until no other compaction runs; may be cancelled.
    fn wait_for_compaction(&self, progress: Option<&Progress>) -> Result<MutexGuard<'_, ()>> {
        lock(&self.state).compactions_waiting += 1;
        self.changed.notify_all();
        let waited = self.wait_for_its_lock(progress);
        lock(&self.state).compactions_waiting -= 1;
        waited
    }

    fn wait_for_its_lock(&self, progress: Option<&Progress>) -> Result<MutexGuard<'_, ()>> {
        loop {
            match self.compacting.try_lock() {
                Ok(guard) => return Ok(guard),
                Err(TryLockError::Poisoned(guard)) => return Ok(guard.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    progress.map_or(Ok(()), Progress::check)?;
                    drop(self.wait_for_change(lock(&self.state), Some(LOOK)));
                }
            }
        }
    }

    fn run(&self, job: &Job, deletes: &Deletes, progress: Option<&Progress>, pace: &Pace) -> Result<()> {
        let mut ids = self.reserve(1, "compaction")?;
        let (width, own) = match job.target {
            Target::Bucket(bucket) => (bucket.width, vec![bucket.number]),
            Target::Sparse => (BucketWidth::Month, Vec::new()),
        };
        let set = SegmentSet::new(self, width, job.sequences, Some(own)).of_tier(job.tier);
        let mut entries = self.build(set, &mut ids, |set, ids| self.merge((job, deletes), set, ids, progress, pace))?;
        self.counters.compacted.fetch_add(entries.iter().map(|entry| entry.bytes).sum(), Ordering::Relaxed);
        let mut batch = KvBatch::default();
        let mut gone: Vec<SegmentId> = Vec::new();
        let mut come: Vec<Arc<SegmentRef>> = entries.iter().map(|entry| self.segment_ref(entry.clone())).collect();
        for input in &job.inputs {
            let entry = without_range(&input.entry, job.target.range());
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
        self.write_synced(batch)?;
        lock(&self.state).change_segments(&gone, come);
        Ok(())
    }

    fn merge(
        &self,
        (job, deletes): (&Job, &Deletes),
        set: &mut SegmentSet,
        ids: &mut Reserved,
        progress: Option<&Progress>,
        pace: &Pace,
    ) -> Result<()> {
        let sources: Vec<Source> = job.inputs.iter().map(|input| Source::Segment(Arc::clone(input))).collect();
        let range = job.target.range();
        for device in all_devices(&sources)? {
            let mut logs = LogMerge::new(&sources, &[device], range)?;
            let parts = parts(&sources, &[device], range)?;
            for (place, part) in parts.iter().enumerate() {
                progress.map_or(Ok(()), Progress::check)?;
                let rows = gather_rows(&sources, &[device], *part, None, deletes)?;
                let last = place + 1 == parts.len();
                write_part(set, device, rows, &mut logs, (!last).then_some(part.to), ids)?;
                pace.keep(self, set.bytes());
            }
        }
        Ok(())
    }

    /// Drops tombstones that hide nothing any more.
    fn drop_tombstones(&self) -> Result<()> {
        let mut state = lock(&self.state);
        // A chunk that still grows began after the newest delete.
        let first_unsealed = state.frozen.first().map(|chunk| chunk.sequences().0);
        let needed = needed(&state.manifest.tombstones, first_unsealed, &state.segments);
        let mut batch = KvBatch::default();
        let mut place = 0;
        let mut last = Sequence::ZERO;
        // Keys count the tombstones of one commit from 0: where one of them stays, all do, so that the count stays true.
        for tombstone in state.manifest.tombstones.iter().filter(|tombstone| !needed.contains(&tombstone.sequence)) {
            place = if tombstone.sequence == last { place + 1 } else { 0 };
            last = tombstone.sequence;
            batch.delete(Family::Manifest, Manifest::tombstone_key(tombstone.sequence, place));
        }
        if batch.is_empty() {
            return Ok(());
        }
        state.change_tombstones(|tombstones| tombstones.retain(|tombstone| needed.contains(&tombstone.sequence)));
        drop(state);
        self.write_synced(batch)
    }
}

impl Pace {
    /// Waits until so many bytes may have been written; not when the store closes, or somebody waits for the end.
    fn keep(&self, core: &Core, bytes: u64) {
        if self.bytes_per_second == 0 {
            return;
        }
        let due = self.started + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut state = lock(&core.state);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closing || state.compactions_waiting > 0 {
                return;
            }
            state = core.wait_for_change(state, Some(left));
        }
    }
}
