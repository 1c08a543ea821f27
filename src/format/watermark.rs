//! The watermark: how far the log was durable, kept in a file outside RocksDB.
//!
//! RocksDB recovers its log to a point in time and does not say what it dropped. The watermark says how far it must reach at
//! least. Guarantees: it is written only after the log was synced that far; of two slots one is always whole, so that a
//! torn write leaves the older mark.

use crate::error::{Error, ErrorKind, Result};
use crate::io::InPlaceFile;
use crate::model::Sequence;

const MAGIC: [u8; 4] = *b"FLWM";
const SLOT_BYTES: usize = 64;
/// Length of the file: two slots.
pub const WATERMARK_BYTES: u64 = 2 * SLOT_BYTES as u64;
/// Bytes of a slot that are used; the rest is zero.
const USED_BYTES: usize = 4 + 8 + 8 + 8 + 4;

/// How far the log was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The last commit that was durable.
    pub sequence: Sequence,
    /// Its chain hash.
    pub hash: u64,
}

/// Encodes a slot: magic, generation, sequence, hash, crc32, zeros to 64 bytes.
#[must_use]
pub fn encode_slot(generation: u64, mark: Mark) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..12].copy_from_slice(&generation.to_le_bytes());
    slot[12..20].copy_from_slice(&mark.sequence.0.to_le_bytes());
    slot[20..28].copy_from_slice(&mark.hash.to_le_bytes());
    let checksum = crc32fast::hash(&slot[..28]);
    slot[28..USED_BYTES].copy_from_slice(&checksum.to_le_bytes());
    slot
}

/// Reads a slot: its generation and mark, or `None` where it is empty or torn.
#[must_use]
pub fn decode_slot(slot: &[u8]) -> Option<(u64, Mark)> {
    let slot: &[u8; SLOT_BYTES] = slot.try_into().ok()?;
    let number = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&slot[from..from + 8]);
        u64::from_le_bytes(bytes)
    };
    let whole = slot[..4] == MAGIC
        && crc32fast::hash(&slot[..28]).to_le_bytes() == slot[28..USED_BYTES]
        && slot[USED_BYTES..].iter().all(|byte| *byte == 0);
    whole.then(|| (number(4), Mark { sequence: Sequence(number(12)), hash: number(20) }))
}

/// The newest whole mark of a file's bytes with its generation; `None` for a file that never was written.
///
/// # Errors
/// [`ErrorKind::Corruption`] where slots were written and none is whole: at most one can be torn.
pub fn decode_watermark(bytes: &[u8]) -> Result<Option<(u64, Mark)>> {
    if bytes.len() as u64 != WATERMARK_BYTES {
        return Err(Error::new(ErrorKind::Corruption, format!("the watermark has {} bytes, not 128", bytes.len())));
    }
    let newest = bytes.chunks_exact(SLOT_BYTES).filter_map(decode_slot).max_by_key(|(generation, _)| *generation);
    if newest.is_none() && bytes[SLOT_BYTES..].iter().any(|byte| *byte != 0) {
        return Err(Error::new(ErrorKind::Corruption, "no slot of the watermark is whole"));
    }
    Ok(newest)
}

/// An open watermark file.
#[derive(Debug)]
pub struct Watermark {
    file: Box<dyn InPlaceFile>,
    generation: u64,
    mark: Mark,
}

impl Watermark {
    /// Reads the mark of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn open(mut file: Box<dyn InPlaceFile>) -> Result<Self> {
        let (generation, mark) = decode_watermark(&file.read_all()?)?.unwrap_or_default();
        Ok(Self { file, generation, mark })
    }

    /// The mark on disk.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Writes a later mark durably, into the slot that does not hold the present one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::OutOfSpace`]: the mark before it still stands.
    pub fn advance(&mut self, mark: Mark) -> Result<()> {
        let generation = self.generation + 1;
        // The first mark goes into the first slot: a file with only its second slot written can not come from us.
        let offset = (generation + 1) % 2 * SLOT_BYTES as u64;
        self.file.write_at(offset, &encode_slot(generation, mark))?;
        self.file.sync()?;
        (self.generation, self.mark) = (generation, mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::hex_example;
    use crate::io::{FileSystem, RealFileSystem};

    #[test]
    fn the_documents_example() {
        let mark = Mark { sequence: Sequence(300), hash: 0x1122_3344_5566_7788 };
        assert_eq!(encode_slot(5, mark)[..], hex_example("watermark"));
        assert_eq!(decode_slot(&hex_example("watermark")), Some((5, mark)));
    }

    #[test]
    fn a_torn_slot_leaves_the_older_mark() {
        let marks = [Mark { sequence: Sequence(4), hash: 40 }, Mark { sequence: Sequence(5), hash: 50 }];
        let whole = [encode_slot(1, marks[0]), encode_slot(2, marks[1])].concat();
        assert_eq!(decode_watermark(&whole).unwrap(), Some((2, marks[1])));
        for bit in 0..USED_BYTES * 8 {
            let mut torn = whole.clone();
            torn[SLOT_BYTES + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_watermark(&torn).unwrap(), Some((1, marks[0])), "bit {bit}");
        }
        assert_eq!(decode_watermark(&[0; 128]).unwrap(), None);
        assert_eq!(decode_watermark(&[1; 128]).unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(decode_watermark(&whole[..127]).unwrap_err().kind(), ErrorKind::Corruption);
    }

    #[test]
    fn an_advanced_mark_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        for round in 1..5 {
            let mut watermark = Watermark::open(RealFileSystem.open_in_place(&path, WATERMARK_BYTES).unwrap()).unwrap();
            assert_eq!(watermark.mark().sequence, Sequence((round - 1) * 10));
            watermark.advance(Mark { sequence: Sequence(round * 10 - 5), hash: 1 }).unwrap();
            watermark.advance(Mark { sequence: Sequence(round * 10), hash: round }).unwrap();
        }
    }
}
