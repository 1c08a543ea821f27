//! Numbers in the cold tier: through pco, which finds the distribution that they have and spends on each what its rarity asks for.
//!
//! Guarantees: exact, since what the library wrote is read back and compared before it is kept; a reader takes memory for the
//! number of values that the caller says, at most 2^24, and never more than some 2 MiB beside, whatever the bytes ask for; no more
//! than a group of values is held twice.
//!
//! The bytes are those of pco's wrapped format: a file's header, one chunk, one page. Of what that format allows, a reader takes what
//! a writer writes: dictionaries, convolutions and long windows cost memory or time that the bytes have not paid for.

use pco::data_types::Number;
use pco::errors::{PcoError, PcoResult};
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use crate::bytes::{Reader, corrupt, put_signed, put_varint, with_room};
use crate::error::{Error, Result};

use super::bits::GROUP;
use super::kernels::Kernels;
use super::lanes::Offsets;

/// pco's level: a higher one gains a thousandth.
const LEVEL: usize = 8;
/// The most values of one chunk.
const VALUES_MAX: usize = 1 << 24;
/// The version of pco's format that is read; a greater minor one may be.
const FORMAT_VERSION: u8 = 4;
/// What the first four bits of a chunk say where a dictionary follows.
const DICTIONARY_MODE: u8 = 4;
/// The longest window that is written, and as many values of it are held.
const WINDOW_BITS_MAX: u32 = 15;

/// A group of integers, as distances from the lowest of all, or, where these may pass 32 bits, as they are.
pub(super) enum Group<'a> {
    Distances(&'a Offsets),
    Integers(&'a mut [i64; GROUP]),
}

/// Compressed integers that are not read yet: what stands in front of them.
pub(super) struct Integers<'a> {
    pub(super) lowest: i64,
    width_bytes: u8,
    rest: Reader<'a>,
}

/// Appends integers as distances from the lowest, of 2, 4 or 8 bytes; `false` where they cannot be written so, and `out` is to be cut.
pub(super) fn encode_integers(values: &[i64], out: &mut Vec<u8>) -> bool {
    let (lowest, highest) = Kernels::best().extremes(values);
    let distances = || values.iter().map(|value| value.wrapping_sub(lowest) as u64);
    put_signed(lowest, out);
    match highest.wrapping_sub(lowest) as u64 {
        0..=0xffff => {
            out.push(2);
            put(&distances().map(|distance| distance as u16).collect::<Vec<_>>(), u16::eq, out)
        }
        0x1_0000..=0xffff_ffff => {
            out.push(4);
            put(&distances().map(|distance| distance as u32).collect::<Vec<_>>(), u32::eq, out)
        }
        _ => {
            out.push(8);
            put(&distances().collect::<Vec<_>>(), u64::eq, out)
        }
    }
}

/// Appends floats; `false` where they cannot be written so, and `out` is to be cut.
pub(super) fn encode_floats(values: &[f64], out: &mut Vec<u8>) -> bool {
    put(values, |a, b| a.to_bits() == b.to_bits(), out)
}

/// Reads `count` integers, to the end of the reader.
pub(super) fn decode_integers(reader: Reader<'_>, count: usize) -> Result<Vec<i64>> {
    let integers = Integers::read(reader)?;
    let lowest = integers.lowest;
    let mut values = room_for(count)?;
    integers.each_group(count, |group, length| {
        match group {
            Group::Distances(distances) => {
                values.extend(distances[..length].iter().map(|distance| lowest.wrapping_add(i64::from(*distance))));
            }
            Group::Integers(integers) => values.extend_from_slice(&integers[..length]),
        }
        Ok(())
    })?;
    Ok(values)
}

/// Reads `count` floats, to the end of the reader.
pub(super) fn decode_floats(reader: Reader<'_>, count: usize) -> Result<Vec<f64>> {
    let mut values = room_for(count)?;
    get(reader, count, |group: &mut [f64; GROUP], length| {
        values.extend_from_slice(&group[..length]);
        Ok(())
    })?;
    Ok(values)
}

/// A vector for values of one chunk.
pub(super) fn room_for<T>(count: usize) -> Result<Vec<T>> {
    if count > VALUES_MAX {
        return Err(corrupt(format!("{count} compressed values are more than {VALUES_MAX}")));
    }
    with_room(count)
}

impl<'a> Integers<'a> {
    /// Reads what stands in front of them.
    pub(super) fn read(mut reader: Reader<'a>) -> Result<Self> {
        Ok(Self { lowest: reader.signed()?, width_bytes: reader.byte()?, rest: reader })
    }

    /// Visits all groups with the number of their values; what stands behind the last of these means nothing.
    pub(super) fn each_group(self, count: usize, mut visit: impl FnMut(Group<'_>, usize) -> Result<()>) -> Result<()> {
        let (lowest, rest) = (self.lowest, self.rest);
        match self.width_bytes {
            2 => get(rest, count, |group: &mut [u16; GROUP], length| {
                visit(Group::Distances(&group.map(u32::from)), length)
            }),
            4 => get(rest, count, |group: &mut Offsets, length| visit(Group::Distances(group), length)),
            8 => get(rest, count, |group: &mut [u64; GROUP], length| {
                visit(Group::Integers(&mut group.map(|distance| lowest.wrapping_add(distance as i64))), length)
            }),
            other => Err(corrupt(format!("{other} is no number of bytes of a compressed integer"))),
        }
    }
}

/// Appends numbers that come back the same.
fn put<T: Number + Default>(numbers: &[T], same: fn(&T, &T) -> bool, out: &mut Vec<u8>) -> bool {
    let from = out.len();
    put_varint(numbers.len() as u64, out);
    if write(numbers, out).is_err() {
        return false;
    }
    let mut rest = numbers;
    let compared = get(Reader::new(&out[from..]), numbers.len(), |group: &mut [T; GROUP], length| {
        let (now, later) = rest.split_at_checked(length).unwrap_or_default();
        rest = later;
        let comes_back = now.len() == length && now.iter().zip(group.iter()).all(|(a, b)| same(a, b));
        if comes_back { Ok(()) } else { Err(corrupt("compressed numbers come back as others")) }
    });
    if let Err(error) = &compared {
        tracing::warn!(%error, "a column stays in the fast tier: pco does not give back what it was given");
    }
    compared.is_ok()
}

fn write<T: Number>(numbers: &[T], out: &mut Vec<u8>) -> PcoResult<()> {
    let file = FileCompressor::default();
    let page = PagingSpec::Exact(vec![numbers.len()]);
    let config = ChunkConfig::default().with_compression_level(LEVEL).with_paging_spec(page);
    let mut chunk = file.chunk_compressor(numbers, &config)?;
    file.write_header(&mut *out)?;
    chunk.write_meta(&mut *out)?;
    chunk.write_page(0, &mut *out)?;
    Ok(())
}

/// Visits `count` numbers that fill the rest of the bytes, group by group.
fn get<T: Number + Default>(
    mut reader: Reader<'_>,
    count: usize,
    mut visit: impl FnMut(&mut [T; GROUP], usize) -> Result<()>,
) -> Result<()> {
    // Of numbers without entropy one more or less would not be noticed.
    let stated = reader.length()?;
    if stated != count {
        return Err(corrupt(format!("{stated} compressed numbers, not {count}")));
    }
    let (file, bytes) = FileDecompressor::new(reader.take_rest()).map_err(damaged)?;
    if file.format_version().major != FORMAT_VERSION {
        return Err(corrupt(format!("compressed numbers are of version {} of the format", file.format_version())));
    }
    // Before its length is believed.
    if bytes.first().is_some_and(|byte| byte & 0xf == DICTIONARY_MODE) {
        return Err(corrupt("compressed numbers have a dictionary"));
    }
    let (mut chunk, bytes) = file.chunk_decompressor::<T, _>(bytes).map_err(damaged)?;
    match &chunk.meta().delta_encoding {
        DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. } => {}
        DeltaEncoding::Lookback { config, .. } if config.window_n_log <= WINDOW_BITS_MAX => {}
        other => return Err(corrupt(format!("compressed numbers rest on {other:?}"))),
    }
    let mut page = chunk.page_decompressor(bytes, count).map_err(damaged)?;
    let mut group = [T::default(); GROUP];
    let mut left = count;
    while left > 0 {
        let length = GROUP.min(left);
        page.read(&mut group[..length]).map_err(damaged)?;
        visit(&mut group, length)?;
        left -= length;
    }
    match page.into_src().len() {
        0 => Ok(()),
        left => Err(corrupt(format!("{left} bytes follow compressed numbers"))),
    }
}

fn damaged(error: PcoError) -> Error {
    corrupt("compressed numbers are damaged").caused_by(error)
}
