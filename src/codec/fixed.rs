//! Numbers of 64 bits as they are: raw, and one that all places share.
//!
//! Guarantees: bit-exact for every pattern; the length of the bytes is what the count demands, to the byte.

use crate::error::Result;

use crate::bytes::{Reader, corrupt, with_room};

/// Bytes of one number.
pub(super) const WIDTH_BYTES: usize = 8;

/// Appends each number, little-endian.
pub(super) fn encode_raw(bits: impl ExactSizeIterator<Item = u64>, out: &mut Vec<u8>) {
    out.reserve(bits.len() * WIDTH_BYTES);
    out.extend(bits.flat_map(u64::to_le_bytes));
}

/// Reads `count` numbers, to the end of the reader.
pub(super) fn decode_raw<T>(mut reader: Reader<'_>, count: usize, from_bits: impl Fn(u64) -> T) -> Result<Vec<T>> {
    let bytes = reader.take_rest();
    let (numbers, odd) = bytes.as_chunks::<WIDTH_BYTES>();
    if numbers.len() != count || !odd.is_empty() {
        return Err(corrupt(format!("{} bytes hold {count} raw values", bytes.len())));
    }
    let mut values = with_room(count)?;
    values.extend(numbers.iter().map(|number| from_bits(u64::from_le_bytes(*number))));
    Ok(values)
}

/// The number that all places share.
pub(super) fn common(mut bits: impl Iterator<Item = u64>) -> Option<u64> {
    let first = bits.next()?;
    bits.all(|other| other == first).then_some(first)
}

/// Reads one number and repeats it `count` times. What the caller says of the count pays for the room.
pub(super) fn decode_constant<T: Clone>(
    mut reader: Reader<'_>,
    count: usize,
    from_bits: impl Fn(u64) -> T,
) -> Result<Vec<T>> {
    let value = from_bits(u64::from_le_bytes(reader.array()?));
    reader.finish()?;
    let mut values = with_room(count)?;
    values.resize(count, value);
    Ok(values)
}
