//! Seal: unsealed rows become segments of UTC days, and their part of the log goes.
//!
//! Writers and readers go on: the chunks stay visible until the segments take their place in one step. A segment's range of
//! sequences never reaches across a bulk load, which wins over what is older and yields to what is newer. A delete between its commits is
//! applied to the older ones: whoever sees the segment sees the delete, too, and however many deletes there are, the files stay few.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::format::{Mark, SegmentEntry};
use crate::hot::Chunk;
use crate::kv::{Family, KvBatch};
use crate::model::Sequence;
use crate::time::{BucketWidth, TimeBucket, TimeRange, Timestamp};

use super::core::{Core, lock};
use super::deletes::Deletes;
use super::gather::{Source, all_devices, gather_rows};
use super::layout::{log_key, put_sealed};
use super::log_merge::{LogMerge, write_part};
use super::segment_set::{Reserved, SegmentSet};

/// Neighbouring chunks without a bulk load between them.
type Group = Vec<Arc<Chunk>>;

impl Core {
    /// Seals everything that is visible now.
    pub(super) fn seal(&self) -> Result<()> {
        let _sealing = lock(&self.sealing);
        loop {
            let (groups, deletes, manifest, upto, all) = {
                let mut state = lock(&self.state);
                self.check_writable()?;
                state.freeze()?;
                if state.sequence == state.manifest.sealed_through {
                    return Ok(());
                }
                let mut groups = groups_of(&state.frozen, &state.unsealed_loads());
                // Bounded work and files: the rest follows in the next round.
                let all = groups.len() <= 1;
                groups.truncate(1);
                let last = groups.last().and_then(|group| group.last()).map(|chunk| chunk.sequences().1);
                let upto = match last {
                    Some(last) if !all => Some(last),
                    _ => None,
                };
                let upto = upto.unwrap_or(state.sequence);
                // What comes from now on is not joined to what is being sealed.
                state.barriers.insert(upto.next());
                (groups, Arc::clone(&state.deletes), Arc::clone(&state.manifest), upto, all)
            };
            // However many there are: not under the lock.
            let shared = deletes.get_or_init(|| Deletes::of(&manifest.tombstones, TimeRange::ALL));
            drop(manifest);
            self.seal_group(groups.into_iter().next().unwrap_or_default(), shared, upto)?;
            if all {
                break;
            }
        }
        self.expire_snapshots();
        Ok(())
    }

    fn seal_group(&self, group: Group, deletes: &Deletes, upto: Sequence) -> Result<()> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return self.publish_seal(&[], None, &[], upto);
        };
        let sequences = (first.sequences().0, last.sequences().1);
        let mut ids = self.reserve(SegmentSet::FILES_MAX as u32 + 1, "seal")?;
        let sources: Vec<Source> = group.iter().map(|chunk| Source::Chunk(Arc::clone(chunk))).collect();
        let own = largest_buckets(&group)?;
        let set = SegmentSet::new(self, BucketWidth::Day, sequences, Some(own));
        let entries = self.build(set, &mut ids, |set, ids| write_all(set, &sources, deletes, ids))?;
        let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        self.counters.sealed.fetch_add(bytes, Ordering::Relaxed);
        self.publish_seal(&entries, Some(&ids), &group, upto)
    }

    /// Registers the segments and drops the log up to a commit, in one batch; then shows it.
    fn publish_seal(
        &self,
        entries: &[SegmentEntry],
        ids: Option<&Reserved>,
        group: &[Arc<Chunk>],
        upto: Sequence,
    ) -> Result<()> {
        let hash = self.hash_of(upto)?;
        let mut batch = KvBatch::default();
        if let Some(ids) = ids {
            Self::register(entries, &ids.intent, &mut batch)?;
        }
        put_sealed(&mut batch, Mark { sequence: upto, hash })?;
        batch.delete_range(Family::Log, log_key(Sequence::ZERO), log_key(upto.next()));
        {
            // A commit that is being logged must not be overtaken by the mark that lets the log before it go.
            let _log = lock(&self.log);
            self.write_synced(batch)?;
        }
        let segments = entries.iter().map(|entry| self.segment_ref(entry.clone())).collect();
        let mut state = lock(&self.state);
        state.frozen.retain(|chunk| !group.iter().any(|sealed| Arc::ptr_eq(sealed, chunk)));
        state.barriers.retain(|barrier| *barrier > upto.next());
        // What came since the seal began is younger than now by less than a seal takes.
        state.unsealed_since = (state.sequence > upto).then(|| self.options.clock.now());
        Arc::make_mut(&mut state.manifest).sealed_through = upto;
        state.look_for_merges = true;
        state.change_segments(&[], segments);
        drop(state);
        self.changed.notify_all();
        self.kv.drop_files_in_range(Family::Log, &log_key(Sequence::ZERO), &log_key(upto))
    }

    /// The chain hash of a commit that is in the log.
    fn hash_of(&self, sequence: Sequence) -> Result<u64> {
        {
            let state = lock(&self.state);
            if state.sequence == sequence {
                return Ok(state.hash);
            }
        }
        let value = self.kv.get(Family::Log, &log_key(sequence))?.ok_or_else(|| {
            crate::error::Error::new(
                crate::error::ErrorKind::DataLoss,
                format!("commit {sequence} is missing from the log"),
            )
            .at_path(&self.layout.root)
        })?;
        crate::format::decode_commit(&value).map(|(_, hash)| hash)
    }
}

fn groups_of(chunks: &[Arc<Chunk>], loads: &[Sequence]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for chunk in chunks {
        let follows = groups
            .last()
            .and_then(|group| group.last())
            .is_some_and(|last| !loads.iter().any(|load| last.sequences().1 < *load && *load <= chunk.sequences().0));
        match groups.last_mut() {
            Some(group) if follows => group.push(Arc::clone(chunk)),
            _ => groups.push(vec![Arc::clone(chunk)]),
        }
    }
    groups
}

/// The days with the most rows, as many as may have a file of their own.
fn largest_buckets(group: &Group) -> Result<Vec<i32>> {
    let mut rows: BTreeMap<i32, u64> = BTreeMap::new();
    let day = |time: i64| TimeBucket::containing(BucketWidth::Day, Timestamp::from_nanoseconds(time)).number;
    for chunk in group {
        let sources = [Source::Chunk(Arc::clone(chunk))];
        for device in all_devices(&sources)? {
            for run in chunk.instants(device).chunk_by(|a, b| day(*a) == day(*b)) {
                *rows.entry(day(run[0])).or_default() += run.len() as u64;
            }
            chunk.visit_log_times(device, |time| *rows.entry(day(time)).or_default() += 1);
        }
    }
    let mut buckets: Vec<(u64, i32)> = rows.into_iter().map(|(bucket, rows)| (rows, bucket)).collect();
    buckets.sort_unstable_by(|a, b| b.cmp(a));
    buckets.truncate(SegmentSet::FILES_MAX - 1);
    Ok(buckets.into_iter().map(|(_, bucket)| bucket).collect())
}

fn write_all(set: &mut SegmentSet, sources: &[Source], deletes: &Deletes, ids: &mut Reserved) -> Result<()> {
    for device in all_devices(sources)? {
        let rows = gather_rows(sources, &[device], TimeRange::ALL, None, deletes)?;
        let mut logs = LogMerge::new(sources, &[device], TimeRange::ALL)?;
        write_part(set, device, rows, &mut logs, None, ids)?;
    }
    Ok(())
}
