//! Kernels spelt out for processors that permute the bytes of vectors of 512 bits.
//!
//! Guarantees: what these say is what the plain ways say, and where they do not know it, they say so: whoever calls them then goes the
//! plain way. All of it is safe code, as in [`super::vectors`].

use std::arch::x86_64::{
    __m512d, __m512i, _mm512_add_epi32, _mm512_add_epi64, _mm512_and_si512, _mm512_castsi512_pd,
    _mm512_cmplt_epu8_mask, _mm512_fmadd_pd, _mm512_madd_epi16, _mm512_mask_test_epi32_mask, _mm512_maskz_and_epi32,
    _mm512_mul_pd, _mm512_multishift_epi64_epi8, _mm512_or_si512, _mm512_permutex2var_epi8, _mm512_permutexvar_epi8,
    _mm512_permutexvar_epi32, _mm512_reduce_add_epi32, _mm512_sad_epu8, _mm512_set1_epi8, _mm512_set1_epi16,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_set1_pd, _mm512_setzero_si512, _mm512_sllv_epi32, _mm512_srlv_epi32,
    _mm512_srlv_epi64, _mm512_sub_pd,
};

use super::bits::GROUP;
use super::kernels::{load, load_words, store_doubles, store_words};
use super::lanes::{self, Divisor, LANES, Offsets, Row, WORD_ROW_BYTES};
use super::vectors::{both, vector};

/// Bytes of a vector.
const VECTOR_BYTES: usize = 64;
/// How many patches one vector holds.
const PATCHES: usize = 16;
/// The most patches of a group whose places one vector compares.
const PATCHES_MAX: usize = VECTOR_BYTES;
/// The upper bits of a patch of up to so many lie in four bytes, wherever they begin.
const PATCH_WIDTH_MAX: usize = 25;
/// Of more patches each costs more as a float than all values in two steps.
const FLOAT_PATCHES_MAX: usize = 4;
/// Widths up to this are summed as bytes, up to the next one as pairs of bytes.
const BYTES_WIDTH_MAX: usize = 8;
const SUM_WIDTH_MAX: usize = 15;

/// Bytes of a window, four for each of 16 neighbours of a width in a string of bits, in which each begins.
const PATCH_BYTES: [[u8; VECTOR_BYTES]; PATCH_WIDTH_MAX + 1] = {
    let mut all = [[0; VECTOR_BYTES]; PATCH_WIDTH_MAX + 1];
    let mut width = 1;
    while width <= PATCH_WIDTH_MAX {
        let mut byte = 0;
        while byte < VECTOR_BYTES {
            all[width][byte] = (byte / 4 * width / 8 + byte % 4) as u8;
            byte += 1;
        }
        width += 1;
    }
    all
};

/// At which bit of its four bytes each begins.
const PATCH_SHIFTS: [[u32; PATCHES]; PATCH_WIDTH_MAX + 1] = {
    let mut all = [[0; PATCHES]; PATCH_WIDTH_MAX + 1];
    let mut width = 1;
    while width <= PATCH_WIDTH_MAX {
        let mut place = 0;
        while place < PATCHES {
            all[width][place] = (place * width % 8) as u32;
            place += 1;
        }
        width += 1;
    }
    all
};

/// Visits the upper bits of so many patches, 16 at a time, zeros behind the last; `bytes` begin with their places. `None` where they are
/// not a rising list of patches that change something, or it cannot be said.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
fn each_patches(bytes: &[u8], patches: usize, width: u32, mut visit: impl FnMut(usize, __m512i)) -> Option<()> {
    let width = width as usize;
    if patches > PATCHES_MAX || width > PATCH_WIDTH_MAX {
        return None;
    }
    let places = bytes.get(..=VECTOR_BYTES)?;
    let rising = _mm512_cmplt_epu8_mask(load(places.first_chunk()?), load(places.last_chunk()?));
    let pairs = (1_u64 << (patches - 1)) - 1;
    let mut sound = !rising & pairs == 0;
    let (sources, shifts) = (load(&PATCH_BYTES[width]), load_words(&PATCH_SHIFTS[width]));
    let mask = _mm512_set1_epi32((u32::MAX >> (32 - width)) as i32);
    let (mut from, mut at) = (0, patches);
    while from < patches {
        let own = (u32::MAX >> (32 - PATCHES.min(patches - from))) as u16;
        let window = bytes.get(at..at + VECTOR_BYTES)?.first_chunk()?;
        let four = _mm512_permutexvar_epi8(sources, load(window));
        let upper = _mm512_maskz_and_epi32(own, _mm512_srlv_epi32(four, shifts), mask);
        sound &= _mm512_mask_test_epi32_mask(own, upper, upper) == own;
        visit(from, upper);
        from += PATCHES;
        at += PATCHES * width / 8;
    }
    let bits = patches * width;
    let last = *bytes.get(patches + bits / 8)?;
    sound &= bits.is_multiple_of(8) || last >> (bits % 8) == 0;
    sound.then_some(())
}

/// The place of a patch and its whole distance, read from the packed bits alone: a part of what was just stored would have to reach the cache
/// first. [`each_patches`] has found all bytes there.
#[inline(always)]
fn patched(bytes: &[u8], width: usize, (patches, patch_width): (usize, usize), patch: usize) -> (usize, u64) {
    let places = width * WORD_ROW_BYTES;
    let place = usize::from(bytes.get(places + patch).copied().unwrap_or_default());
    let bit = place / LANES * width;
    let at = bit / 32 * WORD_ROW_BYTES + place % LANES * 4;
    let two = u64::from(word_at(bytes, at)) | u64::from(word_at(bytes, at + WORD_ROW_BYTES)) << 32;
    let lower = two >> (bit % 32) & ((1 << width) - 1);
    let upper = upper_at(&bytes[places + patches..], patch * patch_width, patch_width as u32);
    (place, lower | u64::from(upper) << width)
}

/// The upper bits of a patch from a bit on.
#[inline(always)]
fn upper_at(uppers: &[u8], bit: usize, width: u32) -> u32 {
    word_at(uppers, bit / 8) >> (bit % 8) & ((1 << width) - 1)
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}

/// Puts the values of some patches of a full group of a width in their places; `None` where it cannot, and some may be put.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
pub(super) fn put_patches(
    bytes: &[u8],
    patches: usize,
    patch_width: u32,
    width: u32,
    offsets: &mut Offsets,
) -> Option<()> {
    let behind = bytes.get(width as usize * WORD_ROW_BYTES..)?;
    each_patches(behind, patches, patch_width, |_, _| {})?;
    let (places, uppers) = behind.split_at_checked(patches)?;
    let mut bit = 0;
    for place in places {
        offsets[usize::from(*place)] |= upper_at(uppers, bit, patch_width) << width;
        bit += patch_width as usize;
    }
    Some(())
}

/// How many rows of a width one 64-bit word of a vector takes in: 8 as bytes, or 4 as pairs of bytes.
const fn block_rows(width: usize) -> usize {
    if width <= BYTES_WIDTH_MAX { 8 } else { 4 }
}

/// The word from which the window of a block is read, four words of each lane; its first bit lies in the first three.
const fn block_word(width: usize, block: usize) -> usize {
    block * block_rows(width) * width / 32
}

/// Which bytes of four words of each lane hold the rows of a block, eight for each lane.
const fn block_bytes(width: usize, block: usize) -> [u8; VECTOR_BYTES] {
    let first = block * block_rows(width) * width / 8 - block_word(width, block) * 4;
    let mut all = [0; VECTOR_BYTES];
    let mut byte = 0;
    while byte < VECTOR_BYTES {
        let own = first + byte % 8;
        all[byte] = (own / 4 * WORD_ROW_BYTES + byte / 8 * 4 + own % 4) as u8;
        byte += 1;
    }
    all
}

/// At which bit of those eight bytes each row begins, or, of pairs, each half of one.
const fn block_shifts(width: usize, block: usize) -> [u8; VECTOR_BYTES] {
    let first = block * block_rows(width) * width % 8;
    let mut all = [0; VECTOR_BYTES];
    let mut byte = 0;
    while byte < VECTOR_BYTES {
        let place = byte % 8;
        let bit = if width <= BYTES_WIDTH_MAX { place * width } else { place / 2 * width + place % 2 * 8 };
        all[byte] = ((first + bit) % 64) as u8;
        byte += 1;
    }
    all
}

/// Two words of each lane; behind the last one zeros.
#[inline]
#[target_feature(enable = "avx512f,avx2")]
fn two_words(words: &[[u8; WORD_ROW_BYTES]], at: usize) -> __m512i {
    if let Some(two) = words.get(at..).and_then(|words| words.as_flattened().first_chunk()) {
        return load(two);
    }
    let word = |at: usize| -> Row { words.get(at).map_or([0; LANES], lanes::load) };
    both(vector(&word(at)), vector(&word(at + 1)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
fn add_block<const WIDTH: usize, const BLOCK: usize>(words: &[[u8; WORD_ROW_BYTES]; WIDTH], sum: __m512i) -> __m512i {
    if BLOCK * block_rows(WIDTH) >= lanes::ROWS {
        return sum;
    }
    let at = block_word(WIDTH, BLOCK);
    let sources = load(const { &block_bytes(WIDTH, BLOCK) });
    let bytes = _mm512_permutex2var_epi8(two_words(words, at), sources, two_words(words, at + 2));
    let rows = _mm512_multishift_epi64_epi8(load(const { &block_shifts(WIDTH, BLOCK) }), bytes);
    if WIDTH <= BYTES_WIDTH_MAX {
        let rows = _mm512_and_si512(rows, _mm512_set1_epi8(((1_u64 << WIDTH) - 1) as i8));
        _mm512_add_epi64(sum, _mm512_sad_epu8(rows, _mm512_setzero_si512()))
    } else {
        let rows = _mm512_and_si512(rows, _mm512_set1_epi16(((1_u64 << WIDTH) - 1) as i16));
        _mm512_add_epi32(sum, _mm512_madd_epi16(rows, _mm512_set1_epi16(1)))
    }
}

/// The word from which two rows are read.
const fn pair_word(width: usize, pair: usize) -> usize {
    2 * pair * width / 32
}

/// Which bytes of four words of each lane hold two rows, four for each value.
const fn pair_bytes(width: usize, pair: usize) -> [u8; VECTOR_BYTES] {
    let mut all = [0; VECTOR_BYTES];
    let mut byte = 0;
    while byte < VECTOR_BYTES {
        let (row, lane) = (2 * pair + byte / WORD_ROW_BYTES, byte % WORD_ROW_BYTES / 4);
        let own = row * width / 8 - pair_word(width, pair) * 4 + byte % 4;
        all[byte] = (own / 4 * WORD_ROW_BYTES + lane * 4 + own % 4) as u8;
        byte += 1;
    }
    all
}

/// At which bit of its four bytes each value begins.
const fn pair_shifts(width: usize, pair: usize) -> [u32; PATCHES] {
    let mut all = [0; PATCHES];
    let mut place = 0;
    while place < PATCHES {
        all[place] = ((2 * pair + place / LANES) * width % 8) as u32;
        place += 1;
    }
    all
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
fn put_pair<const WIDTH: usize, const PAIR: usize>(
    words: &[[u8; WORD_ROW_BYTES]; WIDTH],
    pairs: &mut [[u32; PATCHES]],
) {
    let at = pair_word(WIDTH, PAIR);
    let sources = load(const { &pair_bytes(WIDTH, PAIR) });
    let four = _mm512_permutex2var_epi8(two_words(words, at), sources, two_words(words, at + 2));
    let shifted = _mm512_srlv_epi32(four, load_words(const { &pair_shifts(WIDTH, PAIR) }));
    let mask = _mm512_set1_epi32(((1_u64 << WIDTH) - 1) as i32);
    if let Some(pair) = pairs.get_mut(PAIR) {
        store_words(_mm512_and_si512(shifted, mask), pair);
    }
}

/// Unpacks a full group.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
pub(super) fn unpack<const WIDTH: usize>(packed: &[u8], offsets: &mut Offsets) {
    if WIDTH > PATCH_WIDTH_MAX {
        return lanes::unpack::<WIDTH>(packed, offsets);
    }
    let Some(words) = packed.as_chunks::<WORD_ROW_BYTES>().0.first_chunk::<WIDTH>() else { return };
    let pairs = offsets.as_chunks_mut::<PATCHES>().0;
    put_pair::<WIDTH, 0>(words, pairs);
    put_pair::<WIDTH, 1>(words, pairs);
    put_pair::<WIDTH, 2>(words, pairs);
    put_pair::<WIDTH, 3>(words, pairs);
    put_pair::<WIDTH, 4>(words, pairs);
    put_pair::<WIDTH, 5>(words, pairs);
    put_pair::<WIDTH, 6>(words, pairs);
    put_pair::<WIDTH, 7>(words, pairs);
    put_pair::<WIDTH, 8>(words, pairs);
    put_pair::<WIDTH, 9>(words, pairs);
    put_pair::<WIDTH, 10>(words, pairs);
    put_pair::<WIDTH, 11>(words, pairs);
    put_pair::<WIDTH, 12>(words, pairs);
    put_pair::<WIDTH, 13>(words, pairs);
    put_pair::<WIDTH, 14>(words, pairs);
    put_pair::<WIDTH, 15>(words, pairs);
}

/// The sum of a full group with so many patches of a width, which follow it; `None` where it cannot be said.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
pub(super) fn sum<const WIDTH: usize>(bytes: &[u8], patches: usize, patch_width: u32) -> Option<u64> {
    if WIDTH > SUM_WIDTH_MAX {
        return lanes::sum::<WIDTH>(bytes, patches, patch_width);
    }
    let words = bytes.as_chunks::<WORD_ROW_BYTES>().0.first_chunk::<WIDTH>()?;
    let mut all = [_mm512_setzero_si512(); 2];
    all[0] = add_block::<WIDTH, 0>(words, all[0]);
    all[1] = add_block::<WIDTH, 1>(words, all[1]);
    all[0] = add_block::<WIDTH, 2>(words, all[0]);
    all[1] = add_block::<WIDTH, 3>(words, all[1]);
    all[0] = add_block::<WIDTH, 4>(words, all[0]);
    all[1] = add_block::<WIDTH, 5>(words, all[1]);
    all[0] = add_block::<WIDTH, 6>(words, all[0]);
    all[1] = add_block::<WIDTH, 7>(words, all[1]);
    if patches > 0 {
        // 256 values of 24 bits add up in 32.
        if WIDTH as u32 + patch_width > 24 {
            return None;
        }
        let shift = _mm512_set1_epi32(WIDTH as i32);
        each_patches(&bytes[WIDTH * WORD_ROW_BYTES..], patches, patch_width, |_, upper| {
            all[1] = _mm512_add_epi32(all[1], _mm512_sllv_epi32(upper, shift));
        })?;
    }
    // Of sums of bytes the upper half of each word of 64 bits is 0.
    Some(u64::from(_mm512_reduce_add_epi32(_mm512_add_epi32(all[0], all[1])) as u32))
}

/// Rows of a width whose bits begin in one of two words of each lane: eight values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2")]
fn put_floats<const WIDTH: usize, const ROW: usize, const IS_WHOLE: bool>(
    words: &[[u8; WORD_ROW_BYTES]; WIDTH],
    [above, inverse, inverse_rest]: [__m512d; 3],
    rows: &mut [[f64; LANES]],
) {
    const SIDE_BY_SIDE: [u32; PATCHES] = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15];
    let both = _mm512_permutexvar_epi32(load_words(&SIDE_BY_SIDE), two_words(words, ROW * WIDTH / 32));
    let shifted = _mm512_srlv_epi64(both, _mm512_set1_epi64((ROW * WIDTH % 32) as i64));
    let offsets = _mm512_and_si512(shifted, _mm512_set1_epi64((1 << WIDTH) - 1));
    let raised = _mm512_or_si512(offsets, _mm512_set1_epi64(RAISED.to_bits() as i64));
    let whole = _mm512_sub_pd(_mm512_castsi512_pd(raised), above);
    let floats = if IS_WHOLE { whole } else { _mm512_fmadd_pd(whole, inverse, _mm512_mul_pd(whole, inverse_rest)) };
    if let Some(row) = rows.get_mut(ROW) {
        store_doubles(floats, row);
    }
}

/// 2^52: the offsets of a narrow group lie in the lower bits of the double that is as much above them.
const RAISED: f64 = 4_503_599_627_370_496.0;

/// Calls a function for each row of a group.
macro_rules! each_row {
    ($words:ident, $scale:ident, $rows:ident, $whole:literal: $($row:literal)*) => {
        $(put_floats::<WIDTH, $row, $whole>($words, $scale, $rows);)*
    };
    ($words:ident, $scale:ident, $rows:ident, $whole:literal) => {
        each_row!($words, $scale, $rows, $whole: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
            16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
}

/// The floats of a full frame with so many patches of a width, which follow it: each the lowest integer and an offset, scaled. `None` where it
/// cannot be said.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx2,fma")]
pub(super) fn packed_floats<const WIDTH: usize>(
    bytes: &[u8],
    (patches, patch_width): (usize, u32),
    (lowest, divisor): (i64, Divisor),
    floats: &mut [f64; GROUP],
) -> Option<()> {
    if WIDTH > PATCH_WIDTH_MAX || patches > FLOAT_PATCHES_MAX {
        return None;
    }
    let words = bytes.as_chunks::<WORD_ROW_BYTES>().0.first_chunk::<WIDTH>()?;
    let scale = [RAISED - lowest as f64, divisor.inverse, divisor.inverse_rest].map(|number| _mm512_set1_pd(number));
    let rows = floats.as_chunks_mut::<LANES>().0;
    let is_whole = divisor.factor == 1.0;
    if is_whole {
        each_row!(words, scale, rows, true);
    } else {
        each_row!(words, scale, rows, false);
    }
    if patches == 0 {
        return Some(());
    }
    each_patches(&bytes[WIDTH * WORD_ROW_BYTES..], patches, patch_width, |_, _| {})?;
    for patch in 0..patches {
        let (place, offset) = patched(bytes, WIDTH, (patches, patch_width as usize), patch);
        floats[place % GROUP] = lanes::fused_quotient((lowest + offset as i64) as f64, divisor);
    }
    Some(())
}
