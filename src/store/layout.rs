//! Where things lie in a store's folder, and under which keys.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Mark, decode_record, encode_record};
use crate::io::FileSystem;
use crate::kv::{Family, Kv, KvBatch};
use crate::model::{AttributeAssertion, DeviceHandle, EventKind, Labels, Sequence};

/// The version of the store as a whole.
pub(super) const STORE_VERSION: u32 = 1;

const VERSION_KEY: &[u8] = b"version";
const SEALED_KEY: &[u8] = b"sealed_through";
const NEXT_SEGMENT_KEY: &[u8] = b"next_segment";

/// The parts of a store's folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.root.join("rocksdb")
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(super) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn watermark(&self) -> PathBuf {
        self.root.join("watermark")
    }

    /// Whether a store is, or began to be, here.
    pub(super) fn exists(&self, fs: &dyn FileSystem) -> Result<bool> {
        fs.exists(&self.database().join("CURRENT"))
    }
}

/// The keyspace `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) sealed: Mark,
    pub(super) next_segment: u64,
}

impl Meta {
    /// Reads it; `None` in a store that has no version yet.
    pub(super) fn load(kv: &Kv, root: &Path) -> Result<Option<Self>> {
        let Some(version) = kv.get(Family::Meta, VERSION_KEY)? else { return Ok(None) };
        let version: u32 = decode_record("the version of the store", &version)?;
        if version != STORE_VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedVersion,
                format!("the store has version {version}, not {STORE_VERSION}"),
            )
            .at_path(root)
            .advise("open it with a newer fleetlog"));
        }
        let sealed = Self::load_sealed(kv, root)?;
        let next_segment = match kv.get(Family::Meta, NEXT_SEGMENT_KEY)? {
            Some(record) => decode_record("the counter of segments", &record)?,
            None => return Err(Error::new(ErrorKind::Corruption, "the counter of segments is missing").at_path(root)),
        };
        Ok(Some(Self { sealed, next_segment }))
    }

    /// Reads how far the log is sealed, and nothing else.
    pub(super) fn load_sealed(kv: &Kv, root: &Path) -> Result<Mark> {
        let record = kv.get(Family::Meta, SEALED_KEY)?.ok_or_else(|| {
            Error::new(ErrorKind::Corruption, "the store does not say how far it is sealed").at_path(root)
        })?;
        let (sequence, hash) = decode_record("how far the log is sealed", &record)?;
        Ok(Mark { sequence: Sequence(sequence), hash })
    }

    /// What makes an empty store.
    pub(super) fn init(batch: &mut KvBatch) -> Result<Self> {
        let meta = Self { sealed: Mark::default(), next_segment: 1 };
        batch.put(Family::Meta, VERSION_KEY, encode_record(&STORE_VERSION)?);
        put_sealed(batch, meta.sealed)?;
        put_next_segment(batch, meta.next_segment)?;
        Ok(meta)
    }
}

pub(super) fn put_sealed(batch: &mut KvBatch, mark: Mark) -> Result<()> {
    batch.put(Family::Meta, SEALED_KEY, encode_record(&(mark.sequence.0, mark.hash))?);
    Ok(())
}

pub(super) fn put_next_segment(batch: &mut KvBatch, next: u64) -> Result<()> {
    batch.put(Family::Meta, NEXT_SEGMENT_KEY, encode_record(&next)?);
    Ok(())
}

/// The key of a commit in the keyspace `log`.
pub(super) fn log_key(sequence: Sequence) -> [u8; 8] {
    sequence.0.to_be_bytes()
}

/// The key of a statement in the keyspace `attributes`.
pub(super) fn attribute_key(sequence: Sequence, place: u32) -> Vec<u8> {
    [&sequence.0.to_be_bytes()[..], &place.to_be_bytes()].concat()
}

/// What the keyspace `attributes` holds, in the order of its keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum AttributeRecord {
    /// A statement.
    Assertion(AttributeAssertion),
    /// `from` became a part of `into`.
    Merge { from: DeviceHandle, into: DeviceHandle },
}

/// An event as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EventRecord {
    pub(super) labels: Labels,
    /// The commit that wrote it first, or what stands for that of a bulk load (see `Manifest::commit_of`).
    pub(super) sequence: Sequence,
    /// The commit that deleted it.
    pub(super) deleted: Option<Sequence>,
}

/// Bytes of a key that say which event it is; a life after the first, or of a bulk load, has its commit behind them.
const EVENT_IDENTITY_BYTES: usize = 8 + 4 + 1 + 8;

/// The key of a later life of an event that was deleted, or of one that a bulk load brings: snapshots of before still see what
/// they saw.
pub(super) fn later_life_key(identity: &[u8], sequence: Sequence) -> Vec<u8> {
    [identity, &sequence.0.to_be_bytes()].concat()
}

/// The part of an event's key that says which event it is.
pub(super) fn event_identity(key: &[u8]) -> &[u8] {
    &key[..key.len().min(EVENT_IDENTITY_BYTES)]
}

/// Which life of an event a key is of; `None` for the first.
pub(super) fn event_life(key: &[u8]) -> Option<Sequence> {
    let life = key.get(EVENT_IDENTITY_BYTES..)?.try_into().ok()?;
    Some(Sequence(u64::from_be_bytes(life)))
}

/// What an event's key says: everything but the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventKey {
    pub(super) time: i64,
    pub(super) device: DeviceHandle,
    pub(super) kind: EventKind,
}

/// Bytes that sort as times do.
pub(super) fn time_bytes(time: i64) -> [u8; 8] {
    ((time as u64) ^ (1 << 63)).to_be_bytes()
}

impl EventKey {
    /// Time, device, kind, hash of the labels: the identity of an event, and the key of its first life.
    pub(super) fn encode(&self, labels: &Labels) -> Vec<u8> {
        let mut text = Vec::new();
        for (name, value) in labels {
            for part in [name, value] {
                text.extend_from_slice(&(part.len() as u32).to_le_bytes());
                text.extend_from_slice(part.as_bytes());
            }
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&text);
        [&time_bytes(self.time)[..], &self.device.0.to_be_bytes(), &[self.kind as u8], &hash.to_be_bytes()].concat()
    }

    pub(super) fn decode(key: &[u8]) -> Result<Self> {
        let corrupt = || Error::new(ErrorKind::Corruption, "a key of the events is not one");
        let (time, rest) = key.split_first_chunk::<8>().ok_or_else(corrupt)?;
        let (device, rest) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let (kind, hash) = rest.split_first().ok_or_else(corrupt)?;
        let kind = EventKind::ALL.into_iter().find(|known| *known as u8 == *kind).ok_or_else(corrupt)?;
        if ![8, 16].contains(&hash.len()) {
            return Err(corrupt());
        }
        let time = (u64::from_be_bytes(*time) ^ (1 << 63)) as i64;
        Ok(Self { time, device: DeviceHandle(u32::from_be_bytes(*device)), kind })
    }
}
