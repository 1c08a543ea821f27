//! The write path: a batch gets its number, goes into the log with others, and becomes visible.
//!
//! Group commit: writers line up in the queue; who gets the log's lock writes all that wait, in one RocksDB write with one
//! flush. The order of numbers, of the log, and of what becomes visible is one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crate::catalog::{Catalog, CatalogWrites};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Commit, Mark, decode_record, encode_commit, encode_record};
use crate::kv::{Family, KvBatch};
use crate::model::{Sequence, WriteBatch};
use crate::time::Timestamp;

use super::commit::{EventDelete, PendingCommit, Resolved, Resolver};
use super::core::{Core, Lag, State, lock};
use super::layout::{EventKey, EventRecord, log_key, time_bytes};
use super::options::Durability;
use super::segment_ref::SegmentRef;

/// Batches that the watermark may lag behind.
const LAG_BATCHES: u32 = 64;
/// The most idempotency keys that are kept.
const KEYS_MAX: u64 = 1_000_000;
/// How long idempotency keys are kept.
const KEY_AGE_NS: i64 = 7 * crate::time::DAY_NS;

/// What a bulk load adds to its commit.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) changes: KvBatch,
    pub(super) segments: Vec<Arc<SegmentRef>>,
}

impl Core {
    /// Stores a batch.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<Sequence> {
        self.check_writable()?;
        // A key counts also where nothing came with it.
        if batch.is_empty() && batch.idempotency_key.is_none() {
            return Ok(lock(&self.state).sequence);
        }
        self.wait_for_memory()?;
        self.commit(batch, self.options.durability, |_, _| Ok(Extra::default()))
    }

    /// Gives a handle to a name that shows nowhere yet: a bulk load writes under it, and says the name with its commit.
    pub(super) fn set_aside<H>(&self, name: impl FnOnce(&mut Catalog, &mut CatalogWrites) -> Result<H>) -> Result<H> {
        self.check_writable()?;
        // The record is there before any commit that comes after it: the log's lock holds that order.
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
        mut batch: WriteBatch,
        durability: Durability,
        extra: impl FnOnce(Sequence, &Catalog) -> Result<Extra>,
    ) -> Result<Sequence> {
        self.check_writable()?;
        batch.check()?;
        let state =
            if batch.deletes.iter().any(|delete| delete.events) { self.with_empty_queue()? } else { lock(&self.state) };
        let sequence = self.enqueue(state, batch, durability, extra)?;
        self.flush_group(sequence)?;
        Ok(sequence)
    }

    /// Waits until no commit is on its way: deletes of events look at what is stored.
    fn with_empty_queue(&self) -> Result<MutexGuard<'_, State>> {
        loop {
            let state = lock(&self.state);
            if state.queue.pending.is_empty() && state.sequence == state.queue.sequence {
                return Ok(state);
            }
            let last = state.queue.sequence;
            drop(state);
            self.flush_group(last)?;
        }
    }

    fn enqueue(
        &self,
        mut state: MutexGuard<'_, State>,
        batch: WriteBatch,
        durability: Durability,
        extra: impl FnOnce(Sequence, &Catalog) -> Result<Extra>,
    ) -> Result<Sequence> {
        let recorded_at = self.options.clock.now();
        let key = batch.idempotency_key.clone();
        if let Some(known) = key.as_ref().map(|key| self.known_key(&state, key, recorded_at)).transpose()?.flatten() {
            return Ok(known);
        }
        let queue = &state.queue;
        let sequence = queue.sequence.next();
        let resolver = Resolver {
            catalog: Arc::clone(&queue.catalog),
            attributes: Arc::clone(&queue.attributes),
            sequence,
            recorded_at,
            accepted_times: &self.options.accepted_times,
        };
        let mut resolved = resolver.resolve(batch)?;
        let event_keys = self.put_events(&state, &mut resolved, sequence)?;
        let Resolved { catalog, attributes, mut changes, devices, times, columns, logs, tombstones, .. } = resolved;
        let commit = Commit { sequence, previous_hash: state.queue.hash, recorded_at, devices, times, columns, logs };
        let (value, hash) = encode_commit(&commit)?;
        self.counters.logged.fetch_add(value.len() as u64, Ordering::Relaxed);
        changes.put(Family::Log, log_key(sequence), value);
        if let Some(key) = &key {
            self.put_key(&mut state, &mut changes, key, sequence, recorded_at)?;
        }
        let Extra { changes: more, segments } = extra(sequence, &catalog)?;
        changes.append(more);
        let synced = durability == Durability::Synced;
        let queue = &mut state.queue;
        (queue.sequence, queue.hash) = (sequence, hash);
        (queue.catalog, queue.attributes) = (Arc::clone(&catalog), Arc::clone(&attributes));
        queue.events.extend(event_keys);
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
            key,
            synced,
        });
        Ok(sequence)
    }

    /// Puts events that are new, and marks deleted ones; gives the keys that were put.
    fn put_events(&self, state: &State, resolved: &mut Resolved, sequence: Sequence) -> Result<Vec<Vec<u8>>> {
        for delete in std::mem::take(&mut resolved.event_deletes) {
            self.delete_events(&delete, sequence, &mut resolved.changes)?;
        }
        let mut put = Vec::new();
        for event in std::mem::take(&mut resolved.events) {
            if state.queue.events.contains(&event.key) || put.contains(&event.key) {
                continue;
            }
            let known = self.kv.get(Family::Events, &event.key)?;
            let known: Option<EventRecord> = known.map(|record| decode_record("an event", &record)).transpose()?;
            if known.is_none_or(|known| known.deleted.is_some()) {
                resolved.changes.put(Family::Events, event.key.clone(), encode_record(&event.record)?);
                put.push(event.key);
            }
        }
        Ok(put)
    }

    fn delete_events(&self, delete: &EventDelete, sequence: Sequence, changes: &mut KvBatch) -> Result<()> {
        let from = time_bytes(delete.range.from.nanoseconds());
        let to = time_bytes(delete.range.to.nanoseconds());
        let to = (delete.range.to != Timestamp::MAX).then_some(&to[..]);
        self.kv.scan(Family::Events, &from, to, &mut |key, value| {
            if delete.handles.contains(&EventKey::decode(key)?.device) {
                let mut record: EventRecord = decode_record("an event", value)?;
                if record.deleted.is_none() {
                    record.deleted = Some(sequence);
                    changes.put(Family::Events, key, encode_record(&record)?);
                }
            }
            Ok(true)
        })
    }

    /// The commit that a key stands for already.
    fn known_key(&self, state: &State, key: &str, now: Timestamp) -> Result<Option<Sequence>> {
        if let Some(sequence) = state.queue.keys.get(key) {
            return Ok(Some(*sequence));
        }
        let Some(record) = self.kv.get(Family::Idempotency, &[b"k", key.as_bytes()].concat())? else { return Ok(None) };
        let (sequence, recorded_at): (u64, i64) = decode_record("an idempotency key", &record)?;
        Ok((now.nanoseconds().saturating_sub(recorded_at) <= KEY_AGE_NS).then_some(Sequence(sequence)))
    }

    /// Keeps a key, and lets the oldest go.
    fn put_key(
        &self,
        state: &mut State,
        changes: &mut KvBatch,
        key: &str,
        sequence: Sequence,
        now: Timestamp,
    ) -> Result<()> {
        let mut count = match state.queue.key_count {
            Some(count) => count,
            None => {
                let mut count = 0;
                self.kv.scan(Family::Idempotency, b"s", Some(b"t"), &mut |_, _| {
                    count += 1;
                    Ok(true)
                })?;
                count
            }
        };
        let age = |recorded_at: i64| now.nanoseconds().saturating_sub(recorded_at);
        let mut looked = 0;
        self.kv.scan(Family::Idempotency, b"s", Some(b"t"), &mut |place, record| {
            let (old, recorded_at): (String, i64) = decode_record("an idempotency key's age", record)?;
            if count < KEYS_MAX && age(recorded_at) <= KEY_AGE_NS {
                return Ok(false);
            }
            changes.delete(Family::Idempotency, place);
            changes.delete(Family::Idempotency, [b"k", old.as_bytes()].concat());
            count -= 1;
            looked += 1;
            Ok(looked < 4)
        })?;
        changes.put(
            Family::Idempotency,
            [b"k", key.as_bytes()].concat(),
            encode_record(&(sequence.0, now.nanoseconds()))?,
        );
        let place = [&b"s"[..], &sequence.0.to_be_bytes()].concat();
        changes.put(Family::Idempotency, place, encode_record(&(key.to_owned(), now.nanoseconds()))?);
        state.queue.key_count = Some(count + 1);
        Ok(())
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
        {
            let mut state = lock(&self.state);
            for commit in commits {
                if let Err(error) = state.show(commit) {
                    self.poison();
                    return Err(error);
                }
            }
            if state.hot_bytes() > self.options.seal_bytes() {
                self.changed.notify_all();
            }
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
        if !self.lagging.swap(true, Ordering::AcqRel) {
            self.changed.notify_all();
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
            if let Some((kind, message)) = state.seal_failure.take() {
                return Err(Error::new(kind, format!("rows wait to be sealed, and that failed: {message}"))
                    .at_path(&self.layout.root));
            }
            if state.closing {
                return Err(Error::new(ErrorKind::InvalidInput, "the store is closing").at_path(&self.layout.root));
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
        let PendingCommit { sequence, hash, commit, catalog, attributes, tombstones, segments, key, .. } = pending;
        if !tombstones.is_empty() || !segments.is_empty() {
            self.freeze()?;
            self.barriers.push(sequence);
        }
        if !tombstones.is_empty() {
            Arc::make_mut(&mut self.manifest).tombstones.extend(tombstones);
        }
        if !segments.is_empty() {
            self.change_segments(&[], segments);
        }
        self.note_unsealed(commit.recorded_at);
        if !commit.times.is_empty() || !commit.logs.is_empty() {
            self.active.append(sequence, &commit.devices, &commit.times, &commit.columns, commit.logs)?;
        }
        (self.sequence, self.hash) = (sequence, hash);
        (self.catalog, self.attributes) = (catalog, attributes);
        if let Some(key) = key {
            self.queue.keys.remove(&key);
        }
        if self.queue.pending.is_empty() {
            self.queue.events.clear();
        }
        Ok(())
    }
}
