//! Idempotency keys: a batch that comes again under its key is stored once.
//!
//! Guarantees: a key counts from the moment its batch is numbered; the newest [`KEYS_MAX`] keys are kept, for [`KEY_AGE_NS`]; each
//! key has one record under itself and one under its commit, so that the oldest are found, and the two come and go together.

use std::collections::HashSet;

use crate::error::Result;
use crate::format::{decode_record, encode_record};
use crate::kv::{Family, KvBatch};
use crate::model::Sequence;
use crate::time::{DAY_NS, Timestamp};

use super::core::{Core, lock};

/// The most keys that are kept.
const KEYS_MAX: u64 = 1_000_000;
/// How long keys are kept.
const KEY_AGE_NS: i64 = 7 * DAY_NS;
/// Old keys that a batch with a key lets go, at most.
const FORGET_MAX: u32 = 4;

/// What is known of the keys beyond what RocksDB shows: commits on their way let keys go, too.
#[derive(Debug, Default)]
pub(super) struct KeptKeys {
    /// Keys in the store; counted at the first batch with a key.
    count: Option<u64>,
    /// Where the last of the keys that were let go stood.
    forgotten: Option<Vec<u8>>,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownKey {
    Unknown,
    /// The batch is stored, or on its way.
    Stored(Sequence),
    /// It was, so long ago that the key does not count any more.
    Expired(Sequence),
}

fn record_of(key: &str) -> Vec<u8> {
    [b"k", key.as_bytes()].concat()
}

fn place_of(sequence: Sequence) -> Vec<u8> {
    [&b"s"[..], &sequence.0.to_be_bytes()].concat()
}

fn age_ns(now: Timestamp, recorded_at: i64) -> i64 {
    now.nanoseconds().saturating_sub(recorded_at)
}

impl Core {
    /// What a key stands for already.
    pub(super) fn known_key(&self, key: &str, now: Timestamp) -> Result<KnownKey> {
        if let Some(sequence) = lock(&self.state).queue.keys.get(key) {
            return Ok(KnownKey::Stored(*sequence));
        }
        let Some(record) = self.kv.get(Family::Idempotency, &record_of(key))? else { return Ok(KnownKey::Unknown) };
        let (sequence, recorded_at): (u64, i64) = decode_record("an idempotency key", &record)?;
        let sequence = Sequence(sequence);
        let stands = age_ns(now, recorded_at) <= KEY_AGE_NS;
        Ok(if stands { KnownKey::Stored(sequence) } else { KnownKey::Expired(sequence) })
    }

    /// Keeps a key, and lets the oldest go: what changes in the log's batch, and what is known of the keys after it.
    pub(super) fn keep_key(
        &self,
        kept: &KeptKeys,
        (key, known): (&str, KnownKey),
        sequence: Sequence,
        now: Timestamp,
    ) -> Result<(KvBatch, KeptKeys)> {
        let mut count = kept.count.map_or_else(|| self.count_keys(), Ok)?;
        let mut changes = KvBatch::default();
        let expired = match known {
            KnownKey::Expired(before) => Some(place_of(before)),
            _ => None,
        };
        if let Some(place) = &expired {
            changes.delete(Family::Idempotency, place.clone());
            count = count.saturating_sub(1);
        }
        // A key that is used again has a commit on its way that takes its old place away.
        let used_again: HashSet<String> = lock(&self.state).queue.keys.keys().cloned().collect();
        let mut forgotten = kept.forgotten.clone();
        let from = forgotten.as_ref().map_or_else(|| b"s".to_vec(), |last| [&last[..], &[0]].concat());
        let mut let_go = 0;
        self.kv.scan(Family::Idempotency, &from, Some(b"t"), &mut |place, record| {
            let (old, recorded_at): (String, i64) = decode_record("an idempotency key's age", record)?;
            if count < KEYS_MAX && age_ns(now, recorded_at) <= KEY_AGE_NS {
                return Ok(false);
            }
            forgotten = Some(place.to_vec());
            if !used_again.contains(&old) && expired.as_deref() != Some(place) {
                changes.delete(Family::Idempotency, place);
                changes.delete(Family::Idempotency, record_of(&old));
                count = count.saturating_sub(1);
            }
            let_go += 1;
            Ok(let_go < FORGET_MAX)
        })?;
        let at = now.nanoseconds();
        changes.put(Family::Idempotency, record_of(key), encode_record(&(sequence.0, at))?);
        changes.put(Family::Idempotency, place_of(sequence), encode_record(&(key.to_owned(), at))?);
        Ok((changes, KeptKeys { count: Some(count + 1), forgotten }))
    }

    fn count_keys(&self) -> Result<u64> {
        let mut count = 0;
        self.kv.scan(Family::Idempotency, b"s", Some(b"t"), &mut |_, _| {
            count += 1;
            Ok(true)
        })?;
        Ok(count)
    }
}
