//! Bitmaps as bytes: the portable roaring format behind a length and a checksum, since 31% of the bit flips in an array
//! container would deserialise silently.

use roaring::RoaringBitmap;

use crate::error::{Error, ErrorKind, Result};

/// Appends a bitmap: length (u32), crc32 of the content, content in the portable 32-bit roaring format.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] where it passes 4 GiB.
pub fn encode_bitmap(bitmap: &RoaringBitmap, out: &mut Vec<u8>) -> Result<()> {
    let mut content = Vec::with_capacity(bitmap.serialized_size());
    bitmap.serialize_into(&mut content).map_err(|error| Error::io(error, "encoding a bitmap", ""))?;
    let length = u32::try_from(content.len())
        .map_err(|_| Error::new(ErrorKind::LimitExceeded, format!("a bitmap of {} bytes", content.len())))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
    out.extend_from_slice(&content);
    Ok(())
}

/// Reads a bitmap that fills all of `bytes`.
///
/// # Errors
/// [`ErrorKind::Corruption`] where the bytes are not what [`encode_bitmap`] writes.
pub fn decode_bitmap(bytes: &[u8]) -> Result<RoaringBitmap> {
    let corrupt = |why: String| Error::new(ErrorKind::Corruption, format!("bitmap: {why}"));
    let (head, content) =
        bytes.split_at_checked(8).ok_or_else(|| corrupt(format!("{} bytes are too few", bytes.len())))?;
    if head[..4] != (content.len() as u32).to_le_bytes() {
        return Err(corrupt("its length differs from what it says".to_owned()));
    }
    if head[4..] != crc32fast::hash(content).to_le_bytes() {
        return Err(corrupt("the checksum differs".to_owned()));
    }
    RoaringBitmap::deserialize_from(content).map_err(|error| corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::hex_example;

    #[test]
    fn the_documents_example() {
        let bitmap: RoaringBitmap = [3, 500].into_iter().collect();
        let mut out = Vec::new();
        encode_bitmap(&bitmap, &mut out).unwrap();
        assert_eq!(out, hex_example("bitmap"));
        assert_eq!(decode_bitmap(&out).unwrap(), bitmap);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode_bitmap(&(0..100).map(|place| place * 7_919).collect(), &mut bytes).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_bitmap(&bytes).unwrap_err().kind(), ErrorKind::Corruption, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
