//! Which rows a column has values for: all, a bitmap, or a list.
//!
//! Guarantees: decoded positions rise strictly and lie below the number of rows; a presence of all rows is `All`.

use crate::error::Result;
use crate::model::Presence;

use super::bits::GROUP;
use super::boolean::bitmap_bytes;
use super::integer::{decode_group, encode_group, room_for};
use crate::bytes::{Reader, corrupt, put_varint, with_room};

/// Appends one bit a row, the first in the lowest bit; positions beyond the rows are left out.
pub(super) fn encode_bitmap(positions: &[u32], rows: usize, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + rows.div_ceil(8), 0);
    for position in positions.iter().map(|position| *position as usize) {
        if let Some(byte) = out.get_mut(from + position / 8) {
            *byte |= 1 << (position % 8);
        }
    }
}

/// Reads one bit a row, to the end of the reader.
pub(super) fn decode_bitmap(reader: Reader<'_>, rows: usize) -> Result<Vec<u32>> {
    let bytes = bitmap_bytes(reader, rows)?;
    let present = bytes.iter().map(|byte| byte.count_ones() as usize).sum();
    let mut positions = with_room(present)?;
    for (place, byte) in bytes.iter().enumerate() {
        let mut left = *byte;
        while left != 0 {
            positions.push((place * 8) as u32 + left.trailing_zeros());
            left &= left - 1;
        }
    }
    Ok(positions)
}

/// Appends the number of positions and the positions in packed groups.
pub(super) fn encode_list(positions: &[u32], out: &mut Vec<u8>) {
    put_varint(positions.len() as u64, out);
    let mut group = [0_i64; GROUP];
    for chunk in positions.chunks(GROUP) {
        for (place, position) in group.iter_mut().zip(chunk) {
            *place = i64::from(*position);
        }
        encode_group(&group[..chunk.len()], out);
    }
}

/// Reads a list of positions, to the end of the reader.
pub(super) fn decode_list(mut reader: Reader<'_>, rows: usize) -> Result<Vec<u32>> {
    let count = reader.length()?;
    if count >= rows.max(1) {
        return Err(corrupt(format!("a list of {count} of {rows} rows")));
    }
    let mut positions: Vec<u32> = room_for(&reader, count)?;
    let mut group = [0_i64; GROUP];
    let mut next = 0_i64;
    while positions.len() < count {
        let length = GROUP.min(count - positions.len());
        decode_group(&mut reader, length, &mut group)?;
        for position in &group[..length] {
            if *position < next || *position >= rows as i64 {
                return Err(corrupt(format!("position {position} of a list of rows does not rise below {rows}")));
            }
            next = *position + 1;
            positions.push(*position as u32);
        }
    }
    reader.finish()?;
    Ok(positions)
}

/// The presence of decoded positions, and how many there are; `All` is never spelt as positions.
pub(super) fn checked(positions: Vec<u32>, rows: usize) -> Result<(Presence, usize)> {
    if positions.len() == rows {
        return Err(corrupt("a presence of all rows is spelt out"));
    }
    let present = positions.len();
    Ok((Presence::Positions(positions), present))
}
