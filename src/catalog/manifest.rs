//! The manifest: which segments and tombstones make up a store, and what is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{SegmentEntry, Tombstone, decode_record, encode_record};
use crate::model::{SegmentId, Sequence};

/// Which segments and tombstones make up a store. A value: snapshots share it.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// Segments, by id.
    pub segments: Vec<Arc<SegmentEntry>>,
    /// Tombstones, by sequence.
    pub tombstones: Vec<Tombstone>,
    /// Every commit up to this one is in segments, not in the log.
    pub sealed_through: Sequence,
    /// Bulk loads that brought events, by the first of their segment ids, and the commit of each.
    pub event_loads: BTreeMap<SegmentId, Sequence>,
}

/// What is set in the sequence of an event that a bulk load wrote before it had one: the rest is the first of its segment ids.
const OF_A_LOAD: u64 = 1 << 63;

/// What a seal, a compaction or a bulk load may write, logged before its first file: at the next opening the files of an
/// intent that is still there are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The first of the segment ids set aside.
    pub first: SegmentId,
    /// How many were set aside.
    pub count: u32,
    /// `seal`, `compaction` or `bulk load`.
    pub purpose: String,
}

impl Intent {
    /// Its key in the keyspace `manifest`.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = vec![b'i'];
        key.extend_from_slice(&self.first.0.to_be_bytes());
        key
    }

    /// The ids that it set aside.
    pub fn segments(&self) -> impl Iterator<Item = SegmentId> + use<> {
        (self.first.0..self.first.0.saturating_add(u64::from(self.count))).map(SegmentId)
    }
}

impl Manifest {
    /// The key of a segment's entry in the keyspace `manifest`.
    #[must_use]
    pub fn segment_key(id: SegmentId) -> Vec<u8> {
        let mut key = vec![b's'];
        key.extend_from_slice(&id.0.to_be_bytes());
        key
    }

    /// The key of a tombstone: its sequence, and its place among those of one commit.
    #[must_use]
    pub fn tombstone_key(sequence: Sequence, place: u32) -> Vec<u8> {
        let mut key = vec![b't'];
        key.extend_from_slice(&sequence.0.to_be_bytes());
        key.extend_from_slice(&place.to_be_bytes());
        key
    }

    /// What stands for the commit of a bulk load in its events, which are written before it commits.
    #[must_use]
    pub fn load_marker(first: SegmentId) -> Sequence {
        Sequence(OF_A_LOAD | first.0)
    }

    /// The load that such a number stands for.
    #[must_use]
    pub fn load_of(sequence: Sequence) -> Option<SegmentId> {
        (sequence.0 & OF_A_LOAD != 0).then_some(SegmentId(sequence.0 & !OF_A_LOAD))
    }

    /// The commit that an event's sequence means; `None` where it is a bulk load's that has not committed: nothing shows it.
    #[must_use]
    pub fn commit_of(&self, sequence: Sequence) -> Option<Sequence> {
        match Self::load_of(sequence) {
            None => Some(sequence),
            Some(load) => self.event_loads.get(&load).copied(),
        }
    }

    /// The record that a bulk load which brought events puts with its commit, with its key.
    ///
    /// # Errors
    /// None that a caller can cause.
    pub fn event_load_record(first: SegmentId, sequence: Sequence) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((Self::event_load_key(first), encode_record(&(first, sequence))?))
    }

    fn event_load_key(first: SegmentId) -> Vec<u8> {
        let mut key = vec![b'e'];
        key.extend_from_slice(&first.0.to_be_bytes());
        key
    }

    /// Rebuilds it from the records of the keyspace `manifest` in order of their keys; intents stand beside it.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`] where a record is damaged or names another thing than its key.
    pub fn load(records: &mut dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>)>>) -> Result<(Self, Vec<Intent>)> {
        let mut manifest = Self::default();
        let mut intents = Vec::new();
        let wrong =
            |what: &str| Error::new(ErrorKind::Corruption, format!("manifest: {what} under the key of another"));
        for record in records {
            let (key, value) = record?;
            match key.first() {
                Some(b's') => {
                    let entry: SegmentEntry = decode_record("a segment of the manifest", &value)?;
                    if key != Self::segment_key(entry.id) {
                        return Err(wrong("a segment"));
                    }
                    manifest.segments.push(Arc::new(entry));
                }
                Some(b't') => {
                    let tombstone: Tombstone = decode_record("a tombstone of the manifest", &value)?;
                    if key.get(1..9) != Some(&tombstone.sequence.0.to_be_bytes()[..]) {
                        return Err(wrong("a tombstone"));
                    }
                    manifest.tombstones.push(tombstone);
                }
                Some(b'e') => {
                    let (first, sequence) = decode_record("a load of events of the manifest", &value)?;
                    if key != Self::event_load_key(first) {
                        return Err(wrong("a load of events"));
                    }
                    manifest.event_loads.insert(first, sequence);
                }
                Some(b'i') => {
                    let intent: Intent = decode_record("an intent of the manifest", &value)?;
                    if key != intent.key() {
                        return Err(wrong("an intent"));
                    }
                    intents.push(intent);
                }
                _ => return Err(Error::new(ErrorKind::Corruption, "manifest: an unknown key")),
            }
        }
        Ok((manifest, intents))
    }

    /// A segment by its id.
    #[must_use]
    pub fn segment(&self, id: SegmentId) -> Option<&Arc<SegmentEntry>> {
        self.segments.binary_search_by_key(&id, |entry| entry.id).ok().map(|place| &self.segments[place])
    }

    /// Adds segments; they take the place of those with their ids.
    pub fn add_segments(&mut self, entries: impl IntoIterator<Item = Arc<SegmentEntry>>) {
        for entry in entries {
            match self.segments.binary_search_by_key(&entry.id, |known| known.id) {
                Ok(place) => self.segments[place] = entry,
                Err(place) => self.segments.insert(place, entry),
            }
        }
    }

    /// Takes segments out.
    pub fn remove_segments(&mut self, ids: &[SegmentId]) {
        self.segments.retain(|entry| !ids.contains(&entry.id));
    }

    /// The record of a segment, with its key.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] where it is too large.
    pub fn segment_record(entry: &SegmentEntry) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((Self::segment_key(entry.id), encode_record(entry)?))
    }
}
