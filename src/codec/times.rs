//! Times of one device: they rise strictly, mostly by one step.
//!
//! Guarantees: exact; a decoded list rises strictly and stays within what an `i64` of nanoseconds holds. Steps count in the
//! greatest unit that is exact for all of them (their greatest common divisor), so that minutes do not pay for nanoseconds.
//! A straight line with small residuals is one of the ways in which a group of [`super::integer`] is packed.

use crate::error::{Error, Result};

use super::bits::GROUP;
use super::compressed::{self, Group, Integers};
use super::grouped::Grouped;
use super::grouped_write;
use super::integer::{decode_group, encode_group, room_for};
use super::kernels::Kernels;
use crate::bytes::{Reader, corrupt, put_signed, put_varint, with_room};

/// A slope counts parts of 2^16 of a unit: enough for the drift of a clock over a slice.
const SLOPE_BITS: u32 = 16;

/// The step that all times share, in nanoseconds; `None` for fewer than two times.
pub(super) fn common_step(times: &[i64]) -> Option<u64> {
    let mut steps = steps(times);
    let first = steps.next()?;
    steps.all(|step| step == first).then_some(first)
}

fn steps(times: &[i64]) -> impl Iterator<Item = u64> {
    times.iter().zip(times.get(1..).unwrap_or_default()).map(|(previous, time)| time.wrapping_sub(*previous) as u64)
}

/// Appends a start and a step.
pub(super) fn encode_regular(times: &[i64], step_ns: u64, out: &mut Vec<u8>) {
    put_signed(times.first().copied().unwrap_or_default(), out);
    put_varint(step_ns, out);
}

/// Reads a start and a step between so many times, to the end of the reader.
pub(super) fn read_regular(mut reader: Reader<'_>, rows: usize) -> Result<(i64, u64)> {
    let start = reader.signed()?;
    let step_ns = reader.varint()?;
    reader.finish()?;
    let steps = u64::try_from(rows.saturating_sub(1)).unwrap_or(u64::MAX);
    if rows < 2 || step_ns == 0 || step_ns.checked_mul(steps).is_none_or(|span| span > span_limit(start)) {
        return Err(corrupt(format!("{rows} times every {step_ns} ns from {start} do not rise")));
    }
    Ok((start, step_ns))
}

/// Times a step apart. What the caller says of `rows` pays for the room.
pub(super) fn decode_regular(reader: Reader<'_>, rows: usize) -> Result<Vec<i64>> {
    let (start, step_ns) = read_regular(reader, rows)?;
    let mut times = with_room(rows)?;
    times.extend((0..rows as u64).map(|place| start.wrapping_add((place * step_ns) as i64)));
    Ok(times)
}

/// How far the last time can lie behind the first, in nanoseconds.
fn span_limit(start: i64) -> u64 {
    i64::MAX.wrapping_sub(start) as u64
}

/// Appends a start, a unit and the offsets in that unit, in packed groups.
pub(super) fn encode_packed(times: &[i64], out: &mut Vec<u8>) {
    for group in put_start(times, out).chunks(GROUP) {
        encode_group(group, out);
    }
}

/// The same in groups with their heads in front.
pub(super) fn encode_grouped(times: &[i64], out: &mut Vec<u8>) {
    let offsets = put_start(times, out);
    grouped_write::encode(&offsets, out);
}

/// The same as compressed distances from a line: from a flat one, or from one that rises like the times, whichever is smaller;
/// `false` where they cannot be written so, and `out` is to be cut.
pub(super) fn encode_compressed(times: &[i64], out: &mut Vec<u8>) -> bool {
    let offsets = put_start(times, out);
    let flat = put_line(&offsets, 0);
    let rising = put_line(&offsets, mean_slope(&offsets));
    let smaller = [flat, rising].into_iter().flatten().min_by_key(Vec::len);
    smaller.inspect(|smaller| out.extend_from_slice(smaller)).is_some()
}

/// How much offsets rise from one place to the next, in parts of 2^16.
fn mean_slope(offsets: &[i64]) -> i64 {
    let rise = offsets.last().copied().unwrap_or_default() as u64;
    let steps = offsets.len().saturating_sub(1).max(1) as u128;
    i64::try_from((u128::from(rise) << SLOPE_BITS) / steps).unwrap_or_default()
}

fn put_line(offsets: &[i64], slope: i64) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    put_signed(slope, &mut line);
    let distances: Vec<i64> =
        offsets.iter().enumerate().map(|(place, offset)| offset.wrapping_sub(on_line(slope, place))).collect();
    compressed::encode_integers(&distances, &mut line).then_some(line)
}

/// The line's value at a place; it wraps around at 64 bits.
fn on_line(slope: i64, place: usize) -> i64 {
    ((i128::from(slope) * place as i128) >> SLOPE_BITS) as i64
}

/// Reads a start, a unit, and `rows` compressed distances from a line, to the end of the reader.
pub(super) fn decode_compressed(mut reader: Reader<'_>, rows: usize) -> Result<Vec<i64>> {
    let (start, unit_ns, limit) = read_start(&mut reader)?;
    let slope = reader.signed()?;
    let integers = Integers::read(reader)?;
    let lowest = integers.lowest;
    let mut times: Vec<i64> = compressed::room_for(rows)?;
    let mut offsets = [0; GROUP];
    let mut previous: Option<u64> = None;
    integers.each_group(rows, |group, length| {
        let from = times.len();
        let distances = match group {
            Group::Distances(distances) => {
                offsets.iter_mut().zip(distances).for_each(|(offset, distance)| {
                    *offset = lowest.wrapping_add(i64::from(*distance));
                });
                &mut offsets
            }
            Group::Integers(integers) => integers,
        };
        let group = &mut distances[..length];
        for (place, offset) in group.iter_mut().enumerate() {
            *offset = offset.wrapping_add(on_line(slope, from + place));
        }
        previous = Some(check_rising(group, previous, limit)?);
        times.extend(group.iter().map(|offset| start.wrapping_add((*offset as u64).wrapping_mul(unit_ns) as i64)));
        Ok(())
    })?;
    Ok(times)
}

/// Appends a start and a unit; returns the offsets in that unit.
fn put_start(times: &[i64], out: &mut Vec<u8>) -> Vec<i64> {
    let start = times.first().copied().unwrap_or_default();
    let unit_ns = greatest_unit_ns(times);
    put_signed(start, out);
    put_varint(unit_ns, out);
    let mut previous = start;
    let mut offset = 0_u64;
    let (mut last_step, mut last_units) = (0, 0);
    let units = |time: &i64| {
        let step = time.wrapping_sub(previous) as u64;
        if step != last_step {
            (last_step, last_units) = (step, step / unit_ns);
        }
        offset = offset.wrapping_add(last_units);
        previous = *time;
        offset as i64
    };
    times.iter().map(units).collect()
}

fn greatest_unit_ns(times: &[i64]) -> u64 {
    let mut unit = 0;
    let mut last = 0;
    for step in steps(times) {
        // Most steps equal the one before: the division is the dear part.
        if step != last {
            last = step;
            unit = greatest_common_divisor(unit, step);
        }
    }
    unit.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads a start, a unit, and how many of them the last time may lie behind the first.
pub(super) fn read_start(reader: &mut Reader<'_>) -> Result<(i64, u64, u64)> {
    let start = reader.signed()?;
    let unit_ns = reader.varint()?;
    if unit_ns == 0 {
        return Err(corrupt("the unit of times is zero"));
    }
    Ok((start, unit_ns, span_limit(start) / unit_ns))
}

/// Reads a start, a unit and `rows` offsets in groups with their heads in front, to the end of the reader.
pub(super) fn decode_grouped(mut reader: Reader<'_>, rows: usize) -> Result<Vec<i64>> {
    let (start, unit_ns, limit) = read_start(&mut reader)?;
    let kernels = Kernels::best();
    let groups = Grouped::read(reader, rows)?;
    let mut times: Vec<i64> = with_room(rows)?;
    let mut values = [0; GROUP];
    let mut previous: Option<u64> = None;
    for group in 0..groups.heads().len() {
        groups.values(group, kernels, &mut values)?;
        let values = &values[..groups.length(group)];
        // Groups are found by the lowest offset that their heads say.
        if previous.is_some_and(|previous| groups.heads()[group].lowest as u64 <= previous) {
            return Err(rising_error());
        }
        previous = Some(check_rising(values, previous, limit)?);
        times.extend(values.iter().map(|offset| start.wrapping_add((*offset as u64).wrapping_mul(unit_ns) as i64)));
    }
    Ok(times)
}

/// Checks that the offsets of a group rise strictly, from those before it on, to a limit; returns the last.
pub(super) fn check_rising(group: &[i64], previous: Option<u64>, limit: u64) -> Result<u64> {
    let (first, last) = (group[0] as u64, group[group.len() - 1] as u64);
    let begins_well = previous.map_or(first == 0, |previous| first > previous);
    let falls = group.iter().zip(&group[1..]).fold(false, |falls, (a, b)| falls | (*a as u64 >= *b as u64));
    if !begins_well || falls || last > limit {
        return Err(rising_error());
    }
    Ok(last)
}

pub(super) fn rising_error() -> Error {
    corrupt("times do not rise strictly within their range")
}

/// Reads a start, a unit and `rows` offsets, to the end of the reader.
pub(super) fn decode_packed(mut reader: Reader<'_>, rows: usize) -> Result<Vec<i64>> {
    let (start, unit_ns, limit) = read_start(&mut reader)?;
    let mut times: Vec<i64> = room_for(&reader, rows)?;
    let mut offsets = [0_i64; GROUP];
    let mut previous: Option<u64> = None;
    while times.len() < rows {
        let length = GROUP.min(rows - times.len());
        decode_group(&mut reader, length, &mut offsets)?;
        let group = &offsets[..length];
        previous = Some(check_rising(group, previous, limit)?);
        times.extend(group.iter().map(|offset| start.wrapping_add((*offset as u64).wrapping_mul(unit_ns) as i64)));
    }
    reader.finish()?;
    Ok(times)
}
