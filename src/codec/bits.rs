//! Bit packing: groups of 256 unsigned integers of one width.
//!
//! Guarantees: value `i` of width `w` takes the bits `i*w .. (i+1)*w` of the little-endian bit string, whether the group is
//! full or not, so that a shorter group is a prefix of a full one, filled up with zero bits to a whole byte. Each width
//! has its own compiled loop: shifts and masks are constants there.

/// How many values a full group has.
pub(super) const GROUP: usize = 256;
/// How many values fill whole 64-bit words at every width.
const BLOCK: usize = 64;

/// How many bytes `count` values of a width take.
pub(super) fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends the first `count` values of a group; all 256 are below 2^width, those from `count` on are zero.
pub(super) fn pack(values: &[u64; GROUP], count: usize, width: u32, out: &mut Vec<u8>) {
    let Some(kernel) = (width > 0).then(|| PACK.get(width as usize - 1)).flatten() else { return };
    let from = out.len();
    out.resize(from + packed_bytes(GROUP, width), 0);
    if let Some(room) = out.get_mut(from..) {
        kernel(values, room);
    }
    out.truncate(from + packed_bytes(count, width));
}

/// Reads a group of `count` values; `bytes` are exactly [`packed_bytes`] of it. Values from `count` on are unspecified.
/// Returns whether the bits that fill up the last byte are zero.
#[must_use]
pub(super) fn unpack(bytes: &[u8], count: usize, width: u32, values: &mut [u64; GROUP]) -> bool {
    let Some(kernel) = (width > 0).then(|| UNPACK.get(width as usize - 1)).flatten() else {
        values.fill(0);
        return true;
    };
    if count == GROUP {
        kernel(bytes, values);
        return true;
    }
    let mut full = [0_u8; GROUP * 8];
    let length = bytes.len().min(full.len());
    full[..length].copy_from_slice(&bytes[..length]);
    kernel(&full[..packed_bytes(GROUP, width)], values);
    let used_bits = (count * width as usize) % 8;
    used_bits == 0 || bytes.last().is_none_or(|last| last >> used_bits == 0)
}

/// 64 bits from a place on; zeros behind the end. Apart, since a copy of a length that only the run knows is a call.
#[cold]
#[inline(never)]
pub(super) fn bits_at(bytes: &[u8], bit: usize) -> u64 {
    let mut window = [0; 16];
    let rest = bytes.get(bit / 8..).unwrap_or_default();
    window.iter_mut().zip(rest).for_each(|(room, byte)| *room = *byte);
    (u128::from_le_bytes(window) >> (bit % 8)) as u64
}

type PackKernel = fn(&[u64; GROUP], &mut [u8]);
type UnpackKernel = fn(&[u8], &mut [u64; GROUP]);

macro_rules! kernels {
    ($kernel:ident: $($width:literal)*) => { [$($kernel::<$width>),*] };
}

macro_rules! every_width {
    ($kernel:ident) => {
        kernels!($kernel: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
            33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64)
    };
}

static PACK: [PackKernel; 64] = every_width!(pack_group);
static UNPACK: [UnpackKernel; 64] = every_width!(unpack_group);

fn pack_group<const WIDTH: usize>(values: &[u64; GROUP], out: &mut [u8]) {
    for (block, room) in values.chunks_exact(BLOCK).zip(out.chunks_exact_mut(8 * WIDTH)) {
        let mut words = [0_u64; WIDTH];
        for (place, value) in block.iter().enumerate().take(BLOCK) {
            let (word, shift) = (place * WIDTH / 64, place * WIDTH % 64);
            words[word] |= value << shift;
            if shift + WIDTH > 64 {
                words[word + 1] = value >> (64 - shift);
            }
        }
        for (word, bytes) in words.iter().zip(room.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }
}

fn unpack_group<const WIDTH: usize>(bytes: &[u8], values: &mut [u64; GROUP]) {
    let mask = u64::MAX >> (64 - WIDTH);
    for (packed, block) in bytes.chunks_exact(8 * WIDTH).zip(values.chunks_exact_mut(BLOCK)) {
        let mut words = [0_u64; WIDTH];
        for (word, bytes) in words.iter_mut().zip(packed.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        for (place, room) in block.iter_mut().enumerate().take(BLOCK) {
            let (word, shift) = (place * WIDTH / 64, place * WIDTH % 64);
            let mut value = words[word] >> shift;
            if shift + WIDTH > 64 {
                value |= words[word + 1] << (64 - shift);
            }
            *room = value & mask;
        }
    }
}

/// The groups that hold some places, and which of their places these are.
pub(crate) fn groups_of(places: std::ops::Range<usize>) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let groups = places.start / GROUP..places.end.div_ceil(GROUP).max(places.start / GROUP);
    groups.map(move |group| {
        let start = group * GROUP;
        (group, places.start.saturating_sub(start)..GROUP.min(places.end - start))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, one bit at a time.
    fn naive(values: &[u64], width: u32) -> Vec<u8> {
        let mut bytes = vec![0_u8; packed_bytes(values.len(), width)];
        for (place, value) in values.iter().enumerate() {
            for bit in 0..width as usize {
                let at = place * width as usize + bit;
                bytes[at / 8] |= ((value >> bit & 1) as u8) << (at % 8);
            }
        }
        bytes
    }

    #[test]
    fn every_width_and_length_is_the_definition() {
        let mut state = 1_u64;
        for width in 0..=64_u32 {
            for count in [1, 2, 7, 63, 64, 65, 255, 256] {
                let mut values = [0_u64; GROUP];
                for value in &mut values[..count] {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *value = if width == 0 { 0 } else { (state ^ state >> 29) >> (64 - width) };
                }
                let mut out = vec![9];
                pack(&values, count, width, &mut out);
                assert_eq!(out[1..], naive(&values[..count], width), "width {width}, {count} values");
                let mut back = [7_u64; GROUP];
                assert!(unpack(&out[1..], count, width, &mut back));
                assert_eq!(back[..count], values[..count]);
            }
        }
    }

    #[test]
    fn a_set_bit_after_the_last_value_is_seen() {
        let mut values = [0; GROUP];
        assert!(unpack(&[0b0000_0111], 1, 3, &mut values));
        assert!(!unpack(&[0b0000_1111], 1, 3, &mut values));
    }
}
