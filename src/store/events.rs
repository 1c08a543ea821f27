//! Events on their way into the store: twice is once, and a deleted one may come again.
//!
//! Guarantees: an event is identified by device, time, kind and labels; what a snapshot saw of it stays, whatever becomes of it
//! later: each of its lives has a record of its own, which a delete only marks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::Result;
use crate::format::{decode_record, encode_record};
use crate::kv::{Family, KvBatch};
use crate::model::{DeviceHandle, Sequence};
use crate::time::{TimeRange, Timestamp};

use super::commit::{EventDelete, Resolved};
use super::core::{Core, lock};
use super::deletes::joined;
use super::layout::{EventKey, EventRecord, event_identity, later_life_key, time_bytes};

/// Events by their identity.
type Identities = HashSet<Vec<u8>>;

impl Core {
    /// Marks what a commit deletes, then puts its events that are new; gives the identities that were put. The caller holds the
    /// order of commits.
    pub(super) fn put_events(&self, resolved: &mut Resolved, sequence: Sequence) -> Result<Vec<Vec<u8>>> {
        let mut deleted = Identities::new();
        let deletes = std::mem::take(&mut resolved.event_deletes);
        self.delete_events(&deletes, sequence, &mut resolved.changes, &mut deleted)?;
        let events = std::mem::take(&mut resolved.events);
        let on_their_way: Identities = {
            let state = lock(&self.state);
            events
                .iter()
                .filter(|event| state.queue.events.contains(&event.key))
                .map(|event| event.key.clone())
                .collect()
        };
        let mut put = Identities::new();
        for event in events {
            if on_their_way.contains(&event.key) || put.contains(&event.key) {
                continue;
            }
            let key = match self.life_of(&event.key)? {
                Life::None => event.key.clone(),
                Life::Now if !deleted.contains(&event.key) => continue,
                Life::Now | Life::Past => later_life_key(&event.key, sequence),
            };
            resolved.changes.put(Family::Events, key, encode_record(&event.record)?);
            put.insert(event.key);
        }
        Ok(put.into_iter().collect())
    }

    fn life_of(&self, identity: &[u8]) -> Result<Life> {
        let manifest = Arc::clone(&lock(&self.state).manifest);
        // Only a bulk load puts an event that has no first record.
        if manifest.event_loads.is_empty() && self.kv.get(Family::Events, identity)?.is_none() {
            return Ok(Life::None);
        }
        let mut life = Life::None;
        let end = later_life_key(identity, Sequence(u64::MAX));
        self.kv.scan(Family::Events, identity, Some(&end), &mut |_, record| {
            let record: EventRecord = decode_record("an event", record)?;
            if manifest.commit_of(record.sequence).is_some() {
                life = if record.deleted.is_none() { Life::Now } else { Life::Past };
            }
            Ok(life != Life::Now)
        })?;
        Ok(life)
    }

    /// Events lie in order of time, not of device: however many devices a commit deletes from, what is there is passed once.
    fn delete_events(
        &self,
        deletes: &[EventDelete],
        sequence: Sequence,
        changes: &mut KvBatch,
        deleted: &mut Identities,
    ) -> Result<()> {
        let manifest = Arc::clone(&lock(&self.state).manifest);
        let mut of_device: HashMap<DeviceHandle, Vec<TimeRange>> = HashMap::new();
        for delete in deletes {
            delete.handles.iter().for_each(|handle| of_device.entry(*handle).or_default().push(delete.range));
        }
        for range in joined(deletes.iter().map(|delete| delete.range).collect()) {
            let from = time_bytes(range.from.nanoseconds());
            let to = time_bytes(range.to.nanoseconds());
            let to = (range.to != Timestamp::MAX).then_some(&to[..]);
            self.kv.scan(Family::Events, &from, to, &mut |key, value| {
                let event = EventKey::decode(key)?;
                let at = Timestamp::from_nanoseconds(event.time);
                if of_device.get(&event.device).is_some_and(|gone| gone.iter().any(|range| range.contains(at))) {
                    let mut record: EventRecord = decode_record("an event", value)?;
                    // What a bulk load is about to commit comes after this delete.
                    if record.deleted.is_none() && manifest.commit_of(record.sequence).is_some() {
                        record.deleted = Some(sequence);
                        changes.put(Family::Events, key, encode_record(&record)?);
                        deleted.insert(event_identity(key).to_vec());
                    }
                }
                Ok(true)
            })?;
        }
        Ok(())
    }
}

/// What is stored of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    None,
    /// It was deleted.
    Past,
    Now,
}
