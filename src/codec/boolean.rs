//! Truth values: a bitmap, or the lengths of runs.
//!
//! Guarantees: the bits that fill up a bitmap's last byte are zero; no run is empty but the first, and runs add up to the count.

use crate::error::Result;

use crate::bytes::{Reader, corrupt, put_varint, varint_bytes, with_room};

/// How many bytes the runs take, or `None` once they take `limit` or more.
pub(super) fn run_bytes(values: &[bool], limit: usize) -> Option<usize> {
    let mut total = 0;
    for length in runs(values) {
        total += varint_bytes(length as u64);
        if total >= limit {
            return None;
        }
    }
    Some(total)
}

/// Lengths of the runs, false first: the first length is 0 where the values begin with true.
fn runs(values: &[bool]) -> impl Iterator<Item = usize> {
    let begins_true = values.first() == Some(&true);
    begins_true.then_some(0).into_iter().chain(values.chunk_by(|a, b| a == b).map(<[bool]>::len))
}

/// Appends the lengths of the runs.
pub(super) fn encode_runs(values: &[bool], out: &mut Vec<u8>) {
    for length in runs(values) {
        put_varint(length as u64, out);
    }
}

/// Reads runs that add up to `count`, to the end of the reader.
pub(super) fn decode_runs(mut reader: Reader<'_>, count: usize) -> Result<Vec<bool>> {
    let mut values = with_room(count)?;
    let mut value = false;
    while values.len() < count {
        let length = reader.length()?;
        let empty_later = length == 0 && (value || !values.is_empty());
        if empty_later || length > count - values.len() {
            return Err(corrupt("the runs of a column of booleans do not add up"));
        }
        values.resize(values.len() + length, value);
        value = !value;
    }
    reader.finish()?;
    Ok(values)
}

/// Appends one bit a value, the first in the lowest bit.
pub(super) fn encode_bitmap(values: &[bool], out: &mut Vec<u8>) {
    out.extend(
        values
            .chunks(8)
            .map(|eight| eight.iter().enumerate().fold(0_u8, |byte, (place, value)| byte | u8::from(*value) << place)),
    );
}

/// Reads `count` bits, to the end of the reader.
pub(super) fn decode_bitmap(reader: Reader<'_>, count: usize) -> Result<Vec<bool>> {
    let bytes = bitmap_bytes(reader, count)?;
    let mut values = with_room(count)?;
    for byte in bytes {
        let left = 8.min(count - values.len());
        values.extend((0..left).map(|place| byte >> place & 1 == 1));
    }
    Ok(values)
}

/// The bytes of a bitmap of `count` bits, to the end of the reader.
pub(super) fn bitmap_bytes(mut reader: Reader<'_>, count: usize) -> Result<&[u8]> {
    let bytes = reader.take(count.div_ceil(8))?;
    reader.finish()?;
    let used = count % 8;
    if used > 0 && bytes.last().is_some_and(|last| last >> used != 0) {
        return Err(corrupt("a bitmap has bits behind its last place"));
    }
    Ok(bytes)
}
