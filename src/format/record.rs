//! The envelope of catalogue and manifest records: magic, version, length, payload, checksum.
//!
//! Guarantees: a record that decodes is byte for byte what was encoded (crc32 notices every single flipped bit and every burst
//! of up to 32 bits); decoding takes no more memory than the limit, whatever the bytes say. bincode's own decoder aborts
//! on a hostile length, so it runs only behind the checksum and with a limit.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, ErrorKind, Result};

/// What a record begins with.
const MAGIC: [u8; 4] = *b"FLRC";
/// The version of the envelope and of the records in it.
const VERSION: u8 = 1;
/// The largest payload, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// The largest payload that is written. bincode counts an integer by its full width against the limit of decoding, though it
/// may take one byte: an eighth of that limit decodes whatever it holds.
pub const RECORD_WRITTEN_BYTES_MAX: usize = RECORD_BYTES_MAX / 8;
const HEADER_BYTES: usize = 4 + 1 + 4;
const CHECKSUM_BYTES: usize = 4;

fn settings() -> impl bincode::config::Config {
    bincode::config::standard().with_little_endian().with_variable_int_encoding().with_limit::<RECORD_BYTES_MAX>()
}

/// Puts a record into its envelope.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] when its payload is larger than [`RECORD_WRITTEN_BYTES_MAX`].
pub fn encode_record<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    let payload = bincode::serde::encode_to_vec(record, settings())
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, format!("a record could not be encoded: {error}")))?;
    if payload.len() > RECORD_WRITTEN_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("a record of {} bytes, more than {RECORD_WRITTEN_BYTES_MAX}", payload.len()),
        ));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len() + CHECKSUM_BYTES);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    Ok(out)
}

/// Checks an envelope and takes the record out of it. `what` names the record in messages.
///
/// # Errors
/// [`ErrorKind::Corruption`] for bytes that [`encode_record`] did not write, [`ErrorKind::UnsupportedVersion`] for those of a
/// newer version.
pub fn decode_record<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let corrupt = |why: &str| Error::new(ErrorKind::Corruption, format!("{what}: {why}"));
    let payload = bytes
        .len()
        .checked_sub(HEADER_BYTES + CHECKSUM_BYTES)
        .ok_or_else(|| corrupt(&format!("{} bytes are too few for a record", bytes.len())))?;
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if crc32fast::hash(content).to_le_bytes() != checksum {
        return Err(corrupt("the checksum differs"));
    }
    let (header, body) = content.split_at(HEADER_BYTES);
    if header[..4] != MAGIC {
        return Err(corrupt("it does not begin like a record"));
    }
    if header[4] != VERSION {
        return Err(Error::new(ErrorKind::UnsupportedVersion, format!("{what}: version {} of the record", header[4]))
            .advise("open the store with a newer fleetlog"));
    }
    if header[5..] != (payload as u32).to_le_bytes() || payload > RECORD_BYTES_MAX {
        return Err(corrupt("its length differs from what it says"));
    }
    let (record, consumed) = bincode::serde::decode_from_slice(body, settings())
        .map_err(|error| corrupt(&format!("its content: {error}")))?;
    if consumed != body.len() {
        return Err(corrupt(&format!("{} bytes follow its content", body.len() - consumed)));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::hex_example;
    use proptest::prelude::*;

    type Sample = (u32, String, Option<i64>);

    #[test]
    fn the_documents_example() {
        let record: Sample = (7, "pump".to_owned(), Some(-1));
        assert_eq!(encode_record(&record).unwrap(), hex_example("record"));
        assert_eq!(decode_record::<Sample>("example", &hex_example("record")).unwrap(), record);
    }

    proptest! {
        #[test]
        fn every_flipped_bit_and_every_cut_is_noticed(record: Sample, bit: prop::sample::Index, cut: prop::sample::Index) {
            let bytes = encode_record(&record).unwrap();
            prop_assert_eq!(decode_record::<Sample>("test", &bytes).unwrap(), record);
            let mut flipped = bytes.clone();
            let bit = bit.index(bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode_record::<Sample>("test", &flipped).is_err());
            prop_assert!(decode_record::<Sample>("test", &bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn the_largest_record_that_is_written_is_read_again() {
        // Small integers are what bincode counts most above their bytes: 8 for each that takes one.
        let most = RECORD_WRITTEN_BYTES_MAX - 5;
        let record = vec![0_u64; most];
        let bytes = encode_record(&record).unwrap();
        assert_eq!(decode_record::<Vec<u64>>("test", &bytes).unwrap(), record);
        assert_eq!(encode_record(&vec![0_u64; most + 1]).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_hostile_length_does_not_take_memory() {
        // A text of 2^63 bytes by its own word: the envelope is whole, the payload lies.
        let mut payload = vec![0, 253];
        payload.extend_from_slice(&(1_u64 << 63).to_le_bytes());
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(decode_record::<Sample>("test", &bytes).unwrap_err().kind(), ErrorKind::Corruption);
    }
}
