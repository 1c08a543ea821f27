//! The outer parts of a segment file: header, trailer, and the checksum under every block and page.
//!
//! Every checksum is xxh3-64 with a seed made of the segment's id and the offset of the part, so that a block of another
//! segment, or of another place of this one, is noticed as surely as a flipped bit.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::codec::Tier;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{SegmentId, Sequence};
use crate::time::BucketWidth;

const HEADER_MAGIC: [u8; 4] = *b"FLSG";
const TRAILER_MAGIC: [u8; 4] = *b"FLSE";
/// The version of the segment format.
pub const SEGMENT_VERSION: u16 = 1;
/// The version in the header of a cold segment: a program that cannot read its columns refuses it by that, at once.
pub const COLD_SEGMENT_VERSION: u16 = 2;
/// What a footer has, as the trailer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FooterVersion {
    /// Version 1: no pages of gaps.
    WithoutGaps = 1,
    /// Version 2: pages of gaps behind the metrics.
    WithGaps = 2,
}

impl FooterVersion {
    /// All that are known, the newest first.
    pub const KNOWN: [Self; 2] = [Self::WithGaps, Self::WithoutGaps];
}

/// Bytes of the header.
pub const HEADER_BYTES: usize = 48;
/// Bytes of the trailer, at the end of the file.
pub const TRAILER_BYTES: usize = 24;
/// Bytes of the checksum after every block and page.
pub const CHECKSUM_BYTES: usize = 8;

/// What a segment file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's id.
    pub id: SegmentId,
    /// Width of its buckets.
    pub width: BucketWidth,
    /// First and last commit whose rows it holds.
    pub sequences: (Sequence, Sequence),
    /// What its columns are written for.
    pub tier: Tier,
}

/// Where the footer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentTrailer {
    /// Bytes of the footer, which ends where the trailer begins.
    pub footer_bytes: u32,
    /// The footer's checksum.
    pub digest: u64,
    /// The footer's version.
    pub version: FooterVersion,
}

/// The checksum of a part of a segment at an offset.
#[must_use]
pub fn part_checksum(id: SegmentId, offset: u64, content: &[u8]) -> u64 {
    xxh3_64_with_seed(content, id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset)
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corruption, what)
}

fn too_new(what: &str) -> Error {
    Error::new(ErrorKind::UnsupportedVersion, what).advise("open the store with a newer fleetlog")
}

/// Takes the checksum off the end of a part and compares it.
///
/// # Errors
/// [`ErrorKind::Corruption`].
pub fn checked_part(id: SegmentId, offset: u64, part: &[u8]) -> Result<&[u8]> {
    let length =
        part.len().checked_sub(CHECKSUM_BYTES).ok_or_else(|| corrupt("a part is shorter than its checksum"))?;
    let (content, checksum) = part.split_at(length);
    if part_checksum(id, offset, content).to_le_bytes() != checksum {
        return Err(corrupt("the checksum differs"));
    }
    Ok(content)
}

impl SegmentHeader {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&HEADER_MAGIC);
        let version = match self.tier {
            Tier::Fast => SEGMENT_VERSION,
            Tier::Cold => COLD_SEGMENT_VERSION,
        };
        bytes[4..6].copy_from_slice(&version.to_le_bytes());
        bytes[6] = match self.width {
            BucketWidth::Day => 0,
            BucketWidth::Month => 1,
        };
        bytes[8..16].copy_from_slice(&self.id.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequences.0.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sequences.1.0.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::UnsupportedVersion`].
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        if bytes[..4] != HEADER_MAGIC {
            return Err(corrupt("it does not begin like a segment"));
        }
        if crc32fast::hash(&bytes[..44]).to_le_bytes() != bytes[44..] {
            return Err(corrupt("the checksum of the header differs"));
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        let tier = match version {
            SEGMENT_VERSION => Tier::Fast,
            COLD_SEGMENT_VERSION => Tier::Cold,
            _ => return Err(too_new(&format!("version {version} of the segment format"))),
        };
        let width = match bytes[6] {
            0 => BucketWidth::Day,
            1 => BucketWidth::Month,
            _ => return Err(corrupt("an unknown width of buckets")),
        };
        let number = |from: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[from..from + 8]);
            u64::from_le_bytes(word)
        };
        let sequences = (Sequence(number(16)), Sequence(number(24)));
        if bytes[7] != 0 || bytes[32..44].iter().any(|byte| *byte != 0) || sequences.0 > sequences.1 {
            return Err(corrupt("the header holds what no writer writes"));
        }
        Ok(Self { id: SegmentId(number(8)), width, sequences, tier })
    }
}

impl SegmentTrailer {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = [0; TRAILER_BYTES];
        bytes[..8].copy_from_slice(&self.digest.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.footer_bytes.to_le_bytes());
        bytes[12..14].copy_from_slice(&(self.version as u16).to_le_bytes());
        bytes[16..20].copy_from_slice(&TRAILER_MAGIC);
        let checksum = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::UnsupportedVersion`].
    pub fn decode(bytes: &[u8; TRAILER_BYTES]) -> Result<Self> {
        if bytes[16..20] != TRAILER_MAGIC || crc32fast::hash(&bytes[..20]).to_le_bytes() != bytes[20..] {
            return Err(corrupt("the file does not end like a segment"));
        }
        let number = u16::from_le_bytes([bytes[12], bytes[13]]);
        let version = FooterVersion::KNOWN
            .into_iter()
            .find(|version| *version as u16 == number)
            .ok_or_else(|| too_new(&format!("version {number} of the footer of a segment")))?;
        if bytes[14..16] != [0, 0] {
            return Err(corrupt("the trailer holds what no writer writes"));
        }
        let (footer_bytes, digest) = Self::decode_unchecked(bytes);
        Ok(Self { footer_bytes, digest, version })
    }

    /// Bytes and checksum of the footer, read without a check: only the footer's own checksum then says whether they are true.
    #[must_use]
    pub fn decode_unchecked(bytes: &[u8; TRAILER_BYTES]) -> (u32, u64) {
        let mut digest = [0; 8];
        digest.copy_from_slice(&bytes[..8]);
        (u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]), u64::from_le_bytes(digest))
    }
}
