//! Floats that are no decimals: their bytes sorted by significance, then compressed with zstd.
//!
//! Guarantees: bit-exact; written only where it saves at least one byte in 32; read only when the frame's own size is the
//! size that the count demands, so that a small file can not ask for much memory.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

use crate::error::{Error, ErrorKind, Result};

use super::fixed::WIDTH_BYTES;
use crate::bytes::{corrupt, with_room};

/// zstd's level: fast, and higher ones gain little on shuffled bytes.
const LEVEL: i32 = 1;
/// zstd's level in the cold tier.
const COLD_LEVEL: i32 = 19;
/// Fewer values than this are not worth a frame.
const COUNT_MIN: usize = 16;

thread_local! {
    // A context costs more than most blocks: each thread keeps one of either kind.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Appends the shuffled and compressed bytes; nothing and `false` where raw values are not much longer.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) -> bool {
    if values.len() < COUNT_MIN {
        return false;
    }
    let mut planes = vec![0_u8; values.len() * WIDTH_BYTES];
    for (significance, plane) in planes.chunks_exact_mut(values.len()).enumerate() {
        for (byte, value) in plane.iter_mut().zip(values) {
            *byte = (value.to_bits() >> (8 * significance)) as u8;
        }
    }
    let allowed = planes.len() - planes.len() / 32;
    match compress(&planes) {
        Some(compressed) if compressed.len() <= allowed => {
            out.extend_from_slice(&compressed);
            true
        }
        _ => false,
    }
}

/// Reads `count` floats from all of `bytes`.
pub(super) fn decode(bytes: &[u8], count: usize) -> Result<Vec<f64>> {
    let size = count.checked_mul(WIDTH_BYTES).ok_or_else(|| corrupt("more floats than memory can hold"))?;
    let planes = decompress(bytes, size)?;
    let mut bits: Vec<u64> = with_room(count)?;
    bits.resize(count, 0);
    for (significance, plane) in planes.chunks_exact(count.max(1)).enumerate() {
        for (value, byte) in bits.iter_mut().zip(plane) {
            *value |= u64::from(*byte) << (8 * significance);
        }
    }
    Ok(bits.into_iter().map(f64::from_bits).collect())
}

/// One zstd frame that states its size; `None` where zstd fails (it has no memory).
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(LEVEL).ok();
        }
        slot.as_mut()?.compress(bytes).ok()
    })
}

/// The same for the cold tier: smaller, and slower to write.
pub(super) fn compress_more(bytes: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::compress(bytes, COLD_LEVEL).ok()
}

/// How many bytes a zstd frame says that it holds.
pub(super) fn stated_size(bytes: &[u8]) -> Option<usize> {
    zstd_safe::get_frame_content_size(bytes).ok().flatten().and_then(|size| usize::try_from(size).ok())
}

/// The content of one zstd frame that fills `bytes` and states exactly `size` bytes.
pub(super) fn decompress(bytes: &[u8], size: usize) -> Result<Vec<u8>> {
    let stated = stated_size(bytes);
    if stated != Some(size) {
        return Err(corrupt(format!("a zstd frame states {stated:?} bytes, not {size}")));
    }
    if zstd_safe::find_frame_compressed_size(bytes).ok() != Some(bytes.len()) {
        return Err(corrupt("a zstd frame does not end where its column ends"));
    }
    let mut content: Vec<u8> = with_room(size)?;
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let decompressor = slot.as_mut().ok_or_else(|| Error::new(ErrorKind::LimitExceeded, "zstd has no memory"))?;
        decompressor
            .decompress_to_buffer(bytes, &mut content)
            .map_err(|error| corrupt("a zstd frame is damaged").caused_by(error))
    })?;
    if content.len() == size { Ok(content) } else { Err(corrupt("a zstd frame is shorter than it states")) }
}
