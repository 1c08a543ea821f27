//! The write path: a batch gets its number, goes into the log with others, and becomes visible.
//!
//! Group commit: writers line up in the queue; who gets the log's lock writes all that wait, in one RocksDB write with one
//! flush. The order of numbers, of the log, and of what becomes visible is one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::catalog::{Catalog, CatalogWrites};
use crate::error::{Error, Result};
use crate::format::{Commit, Mark, encode_commit};
use crate::kv::{Family, KvBatch};
use crate::model::{SegmentId, Sequence, WriteBatch};

use super::commit::{PendingCommit, Resolved, Resolver};
use super::core::{Core, Lag, State, lock};
use super::keys::{KeptKeys, KnownKey};
use super::layout::log_key;
use super::options::Durability;
use super::segment_ref::SegmentRef;

/// Batches that the watermark may lag behind.
const LAG_BATCHES: u32 = 64;

/// What a bulk load adds to its commit.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) changes: KvBatch,
    pub(super) segments: Vec<Arc<SegmentRef>>,
    /// Under which number its events are stored, where it has some.
    pub(super) event_load: Option<SegmentId>,
}

impl Core {
    /// Stores a batch.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<Sequence> {
        self.check_writable()?;
        // A key counts also where nothing came with it.
        if batch.is_empty() && batch.idempotency_key.is_none() {
            // What would be empty but for a mistake in it is not.
            batch.check()?;
            return Ok(lock(&self.state).sequence);
        }
        self.wait_for_memory()?;
        self.commit(batch, self.options.durability, |_, _| Ok(Extra::default()))
    }

    /// Gives a handle to a name that shows nowhere yet: a bulk load writes under it, and says the name with its commit.
    pub(super) fn set_aside<H>(&self, name: impl FnOnce(&mut Catalog, &mut CatalogWrites) -> Result<H>) -> Result<H> {
        self.check_writable()?;
        // The record is there before any commit that comes after it: the order of commits and the log's lock hold that.
        let _order = lock(&self.order);
        let _log = lock(&self.log);
        let mut writes = CatalogWrites::new();
        let handle = {
            let mut state = lock(&self.state);
            let mut catalog = Arc::clone(&state.queue.catalog);
            let handle = name(Arc::make_mut(&mut catalog), &mut writes)?;
            state.queue.catalog = catalog;
            handle
        };
        if writes.is_empty() {
            return Ok(handle);
        }
        let mut batch = KvBatch::default();
        writes.into_iter().for_each(|(key, value)| batch.put(Family::Catalog, key, value));
        if let Err(error) = self.kv.write(batch, false) {
            self.poison();
            return Err(error);
        }
        Ok(handle)
    }

    /// Numbers, logs and shows a batch with what `extra` adds under its number.
    pub(super) fn commit(
        &self,
        batch: WriteBatch,
        durability: Durability,
        extra: impl FnOnce(Sequence, &Catalog) -> Result<Extra>,
    ) -> Result<Sequence> {
        self.check_writable()?;
        batch.check()?;
        let deletes_events = batch.deletes.iter().any(|delete| delete.events);
        let mut order = lock(&self.order);
        if deletes_events {
            self.empty_queue()?;
        }
        let sequence = self.enqueue(&mut order, batch, durability, extra)?;
        // What is numbered after a delete of events must find them deleted.
        let order = deletes_events.then_some(order);
        self.flush_group(sequence)?;
        drop(order);
        Ok(sequence)
    }

    /// Waits until no commit is on its way: deletes of events look at what is stored. None comes meanwhile: the caller holds
    /// the order of commits.
    fn empty_queue(&self) -> Result<()> {
        let last = lock(&self.state).queue.sequence;
        self.flush_group(last)
    }

    /// Numbers a commit and puts it into the queue.
    fn enqueue(
        &self,
        order: &mut KeptKeys,
        batch: WriteBatch,
        durability: Durability,
        extra: impl FnOnce(Sequence, &Catalog) -> Result<Extra>,
    ) -> Result<Sequence> {
        let recorded_at = self.options.clock.now();
        let key = batch.idempotency_key.clone();
        let known = key.as_ref().map_or(Ok(KnownKey::Unknown), |key| self.known_key(key, recorded_at))?;
        if let KnownKey::Stored(sequence) = known {
            return Ok(sequence);
        }
        let (previous, resolver) = {
            let queue = &lock(&self.state).queue;
            let resolver = Resolver {
                catalog: Arc::clone(&queue.catalog),
                attributes: Arc::clone(&queue.attributes),
                sequence: queue.sequence.next(),
                recorded_at,
                accepted_times: &self.options.accepted_times,
            };
            (queue.hash, resolver)
        };
        let sequence = resolver.sequence;
        let mut resolved = resolver.resolve(batch)?;
        let event_keys = self.put_events(&mut resolved, sequence)?;
        let Resolved { catalog, attributes, mut changes, devices, times, columns, logs, tombstones, .. } = resolved;
        let commit = Commit { sequence, previous_hash: previous, recorded_at, devices, times, columns, logs };
        let (value, hash) = encode_commit(&commit)?;
        let logged_bytes = value.len() as u64;
        changes.put(Family::Log, log_key(sequence), value);
        let kept = key.as_ref().map(|key| self.keep_key(order, (key, known), sequence, recorded_at)).transpose()?;
        let Extra { changes: more, segments, event_load } = extra(sequence, &catalog)?;
        changes.append(more);
        if let Some((more, kept)) = kept {
            changes.append(more);
            *order = kept;
        }
        self.counters.logged.fetch_add(logged_bytes, Ordering::Relaxed);
        let synced = durability == Durability::Synced;
        let queue = &mut lock(&self.state).queue;
        (queue.sequence, queue.hash) = (sequence, hash);
        (queue.catalog, queue.attributes) = (Arc::clone(&catalog), Arc::clone(&attributes));
        queue.events.extend(event_keys.iter().cloned());
        queue.keys.extend(key.clone().map(|key| (key, sequence)));
        queue.pending.push(PendingCommit {
            sequence,
            hash,
            changes,
            commit,
            catalog,
            attributes,
            tombstones,
            segments,
            event_load,
            key,
            event_keys,
            synced,
        });
        Ok(sequence)
    }

    /// Brings commits up to one into the log: whoever comes first writes for all that wait.
    pub(super) fn flush_group(&self, upto: Sequence) -> Result<()> {
        let mut log = lock(&self.log);
        let pending = {
            let mut state = lock(&self.state);
            if state.sequence >= upto {
                return Ok(());
            }
            self.check_writable()?;
            std::mem::take(&mut state.queue.pending)
        };
        let Some(last) = pending.last().map(|commit| Mark { sequence: commit.sequence, hash: commit.hash }) else {
            return Ok(());
        };
        let synced = pending.iter().any(|commit| commit.synced);
        let batches = pending.len() as u32;
        let mut changes = KvBatch::default();
        let mut commits = Vec::with_capacity(pending.len());
        for mut commit in pending {
            changes.append(std::mem::take(&mut commit.changes));
            commits.push(commit);
        }
        if let Err(error) = self.kv.write(changes, synced) {
            self.poison();
            return Err(error);
        }
        let shown;
        {
            let mut state = lock(&self.state);
            let first = state.unsealed_since.is_none();
            shown = commits.into_iter().try_for_each(|commit| state.show(commit));
            // The threads of the background look at this under the state's lock: none misses it.
            let lags = !self.lagging.swap(true, Ordering::AcqRel);
            if first || lags || state.hot_bytes() > self.options.seal_bytes() {
                self.changed.notify_all();
            }
        }
        if let Err(error) = shown {
            self.poison();
            return Err(error);
        }
        match log.as_mut() {
            Some(lag) => self.note_durable(lag, last, batches, synced),
            None => Ok(()),
        }
    }

    fn note_durable(&self, lag: &mut Lag, mark: Mark, batches: u32, synced: bool) -> Result<()> {
        lag.durable = mark;
        lag.batches += batches;
        lag.unflushed = !synced;
        if lag.batches >= LAG_BATCHES {
            return self.advance(lag);
        }
        Ok(())
    }

    /// Brings the watermark up to the log.
    fn advance(&self, lag: &mut Lag) -> Result<()> {
        if lag.batches == 0 {
            return Ok(());
        }
        let advanced =
            if lag.unflushed { self.kv.sync() } else { Ok(()) }.and_then(|()| lag.watermark.advance(lag.durable));
        if let Err(error) = advanced {
            self.poison();
            return Err(error);
        }
        (lag.batches, lag.unflushed) = (0, false);
        self.lagging.store(false, Ordering::Release);
        Ok(())
    }

    /// Brings the watermark up to the log, where it lags.
    pub(super) fn advance_watermark(&self) -> Result<()> {
        match lock(&self.log).as_mut() {
            Some(lag) => self.advance(lag),
            None => Ok(()),
        }
    }

    /// Waits while unsealed rows hold too much memory.
    fn wait_for_memory(&self) -> Result<()> {
        let mut state = lock(&self.state);
        while state.hot_bytes() > self.options.wait_bytes() {
            if let Some((kind, message)) = &state.seal_failure {
                return Err(Error::new(*kind, format!("rows wait to be sealed, and that failed: {message}"))
                    .at_path(&self.layout.root));
            }
            if state.closing {
                return Err(self.is_closed());
            }
            self.check_writable()?;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Ok(())
    }
}

impl State {
    /// Makes a logged commit visible.
    pub(super) fn show(&mut self, pending: PendingCommit) -> Result<()> {
        if !pending.tombstones.is_empty() || !pending.segments.is_empty() {
            self.freeze()?;
            self.barriers.insert(pending.sequence);
        }
        if !pending.tombstones.is_empty() {
            self.change_tombstones(|tombstones| tombstones.extend(pending.tombstones));
        }
        if !pending.segments.is_empty() {
            self.change_segments(&[], pending.segments);
        }
        if let Some(load) = pending.event_load {
            Arc::make_mut(&mut self.manifest).event_loads.insert(load, pending.sequence);
        }
        let commit = pending.commit;
        self.note_unsealed(commit.recorded_at);
        if !commit.times.is_empty() || !commit.logs.is_empty() {
            self.active.append(pending.sequence, &commit.devices, &commit.times, &commit.columns, commit.logs)?;
        }
        (self.sequence, self.hash) = (pending.sequence, pending.hash);
        (self.catalog, self.attributes) = (pending.catalog, pending.attributes);
        if let Some(key) = pending.key {
            self.queue.keys.remove(&key);
        }
        for key in &pending.event_keys {
            self.queue.events.remove(key);
        }
        Ok(())
    }
}
