//! Kernels spelt out for x86-64, where the compiler finds no vectors by itself.
//!
//! Guarantees: each gives the bits of its namesake in [`super::lanes`]. All of it is safe code: it is called where the processor has the
//! instructions, which the compiler checks of callers in [`super::kernels`].

use std::arch::x86_64::{
    __m256i, __m512i, _mm_setr_epi8, _mm256_add_epi32, _mm256_and_si256, _mm256_extract_epi32, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi32, _mm256_slli_si256, _mm256_srli_epi32, _mm256_sub_epi32, _mm256_xor_si256, _mm512_add_epi16,
    _mm512_add_epi32, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_bslli_epi128, _mm512_castsi256_si512,
    _mm512_castsi512_si256, _mm512_cvtepu16_epi32, _mm512_extracti64x4_epi64, _mm512_inserti64x4,
    _mm512_mask_add_epi32, _mm512_mask_mov_epi16, _mm512_maskz_permutexvar_epi16, _mm512_or_si512,
    _mm512_permutex2var_epi16, _mm512_permutexvar_epi16, _mm512_permutexvar_epi32, _mm512_reduce_or_epi32,
    _mm512_set_epi64, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_epi32, _mm512_shuffle_i32x4, _mm512_slli_epi64, _mm512_srli_epi16, _mm512_srli_epi32,
    _mm512_sub_epi16, _mm512_sub_epi32, _mm512_xor_si512,
};

use super::bits::GROUP;
use super::lanes::{LANES, Offsets, Row};

/// The compiler makes one load of it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn vector(row: &Row) -> __m256i {
    let [a, b, c, d, e, f, g, h] = row.map(|value| value as i32);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

/// The compiler makes one store of it.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn row(vector: __m256i) -> Row {
    [
        _mm256_extract_epi32::<0>(vector) as u32,
        _mm256_extract_epi32::<1>(vector) as u32,
        _mm256_extract_epi32::<2>(vector) as u32,
        _mm256_extract_epi32::<3>(vector) as u32,
        _mm256_extract_epi32::<4>(vector) as u32,
        _mm256_extract_epi32::<5>(vector) as u32,
        _mm256_extract_epi32::<6>(vector) as u32,
        _mm256_extract_epi32::<7>(vector) as u32,
    ]
}

/// The dictionary is one vector, which the codes permute.
#[target_feature(enable = "avx2")]
pub(super) fn join_avx2(codes: &Offsets, dictionary: &Row, [upper, lower]: [&Offsets; 2], floats: &mut [f64; GROUP]) {
    let dictionary = vector(dictionary);
    let (codes, upper) = (codes.as_chunks::<LANES>().0, upper.as_chunks::<LANES>().0);
    let (lower, floats) = (lower.as_chunks::<LANES>().0, floats.as_chunks_mut::<LANES>().0);
    for (((codes, upper), lower), floats) in codes.iter().zip(upper).zip(lower).zip(floats) {
        let lefts = _mm256_permutevar8x32_epi32(dictionary, vector(codes));
        let high = row(_mm256_or_si256(lefts, vector(upper)));
        for lane in 0..LANES {
            floats[lane] = f64::from_bits(u64::from(high[lane]) << 32 | u64::from(lower[lane]));
        }
    }
}

/// What the first value is less than its own rest says, so that it comes out as `first`, whatever stands in its place.
fn start(offsets: &Offsets, first: u32, step: u32) -> i32 {
    let rest = offsets[0];
    first.wrapping_sub((rest >> 1 ^ (rest & 1).wrapping_neg()).wrapping_add(step)) as i32
}

/// Sums of all before each, in steps within half a vector, then from the lower half to the upper one, then from row to row.
#[target_feature(enable = "avx2")]
pub(super) fn accumulate_avx2(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
    let mut all_bits = _mm256_setzero_si256();
    let mut before = _mm256_set1_epi32(start(offsets, first, step));
    let (step, one, last) = (_mm256_set1_epi32(step as i32), _mm256_set1_epi32(1), _mm256_set1_epi32(7));
    for place in offsets.as_chunks_mut::<LANES>().0 {
        let rests = vector(place);
        let sign = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_and_si256(rests, one));
        let a = _mm256_add_epi32(_mm256_xor_si256(_mm256_srli_epi32::<1>(rests), sign), step);
        let b = _mm256_add_epi32(a, _mm256_slli_si256::<4>(a));
        let c = _mm256_add_epi32(b, _mm256_slli_si256::<8>(b));
        let lower = _mm256_shuffle_epi32::<0xff>(_mm256_permute2x128_si256::<0x08>(c, c));
        let d = _mm256_add_epi32(c, lower);
        let values = _mm256_add_epi32(d, before);
        all_bits = _mm256_or_si256(all_bits, values);
        *place = row(values);
        before = _mm256_add_epi32(before, _mm256_permutevar8x32_epi32(d, last));
    }
    row(all_bits).iter().fold(0, |all, bits| all | bits)
}

/// The same with two rows at once: within quarters of a vector, from the first to the second and the third to the fourth, then from
/// half to half.
#[target_feature(enable = "avx512f,avx512bw,avx2")]
pub(super) fn accumulate_avx512(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
    let mut all_bits = _mm512_setzero_si512();
    let mut before = _mm512_set1_epi32(start(offsets, first, step));
    let (step, one) = (_mm512_set1_epi32(step as i32), _mm512_set1_epi32(1));
    let (middle, last) = (_mm512_set1_epi32(7), _mm512_set1_epi32(15));
    for [lower, upper] in offsets.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>().0 {
        let rests = both(vector(lower), vector(upper));
        let sign = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_and_si512(rests, one));
        let a = _mm512_add_epi32(_mm512_xor_si512(_mm512_srli_epi32::<1>(rests), sign), step);
        let b = _mm512_add_epi32(a, _mm512_bslli_epi128::<4>(a));
        let c = _mm512_add_epi32(b, _mm512_bslli_epi128::<8>(b));
        let ends = _mm512_shuffle_epi32::<0xff>(c);
        let d = _mm512_mask_add_epi32(c, 0xf0f0, c, _mm512_shuffle_i32x4::<0b10_10_00_00>(ends, ends));
        let e = _mm512_mask_add_epi32(d, 0xff00, d, _mm512_permutexvar_epi32(middle, d));
        let values = _mm512_add_epi32(e, before);
        all_bits = _mm512_or_si512(all_bits, values);
        *lower = row(_mm512_castsi512_si256(values));
        *upper = row(_mm512_extracti64x4_epi64::<1>(values));
        before = _mm512_add_epi32(before, _mm512_permutexvar_epi32(last, e));
    }
    _mm512_reduce_or_epi32(all_bits) as u32
}

/// The same modulo 2^16, with four rows at once: within words of 64 bits by shifts, then from word to word and quarter to quarter.
#[target_feature(enable = "avx512f,avx512bw,avx2")]
pub(super) fn accumulate_short_avx512(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
    // Of two words of 32 bits the lower halves.
    const LOWER: [u16; 32] = every_other();
    let (lower_halves, zero, one) = (shorts(&LOWER), _mm512_setzero_si512(), _mm512_set1_epi16(1));
    // The last value of the lower half of each quarter, for the upper one.
    let within = _mm512_broadcast_i32x4(_mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 6, 7, 6, 7, 6, 7, 6, 7));
    let (quarter, half) =
        (_mm512_set_epi64(QUARTER_3, QUARTER_3, 0, 0, QUARTER_1, QUARTER_1, 0, 0), _mm512_set1_epi16(15));
    let (step, last) = (_mm512_set1_epi16(step as i16), _mm512_set1_epi16(31));
    let (mut before, mut all_bits) = (zero, zero);
    let (mut started, first) = (u32::MAX - 1, _mm512_set1_epi16(first as i16));
    for [a, b, c, d] in offsets.as_chunks_mut::<LANES>().0.as_chunks_mut::<4>().0 {
        let rests = _mm512_permutex2var_epi16(both(vector(a), vector(b)), lower_halves, both(vector(c), vector(d)));
        let sign = _mm512_sub_epi16(zero, _mm512_and_si512(rests, one));
        let differences = _mm512_add_epi16(_mm512_xor_si512(_mm512_srli_epi16::<1>(rests), sign), step);
        let sums = _mm512_mask_mov_epi16(first, started, differences);
        started = u32::MAX;
        let sums = _mm512_add_epi16(sums, _mm512_slli_epi64::<16>(sums));
        let sums = _mm512_add_epi16(sums, _mm512_slli_epi64::<32>(sums));
        let sums = _mm512_add_epi16(sums, _mm512_shuffle_epi8(sums, within));
        let sums = _mm512_add_epi16(sums, _mm512_maskz_permutexvar_epi16(0xff00_ff00, quarter, sums));
        let sums = _mm512_add_epi16(sums, _mm512_maskz_permutexvar_epi16(0xffff_0000, half, sums));
        let values = _mm512_add_epi16(sums, before);
        before = _mm512_add_epi16(before, _mm512_permutexvar_epi16(last, sums));
        all_bits = _mm512_or_si512(all_bits, values);
        let lower = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(values));
        let upper = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(values));
        *a = row(_mm512_castsi512_si256(lower));
        *b = row(_mm512_extracti64x4_epi64::<1>(lower));
        *c = row(_mm512_castsi512_si256(upper));
        *d = row(_mm512_extracti64x4_epi64::<1>(upper));
    }
    let all_bits = _mm512_reduce_or_epi32(all_bits) as u32;
    (all_bits | all_bits >> 16) & 0xffff
}

/// Four times the place of the last value of the first quarter, and of the third.
const QUARTER_1: i64 = 0x0007_0007_0007_0007;
const QUARTER_3: i64 = 0x0017_0017_0017_0017;

const fn every_other() -> [u16; 32] {
    let mut all = [0; 32];
    let mut place = 0;
    while place < 32 {
        all[place] = 2 * place as u16;
        place += 1;
    }
    all
}

#[inline]
#[target_feature(enable = "avx512f,avx2")]
fn shorts(all: &[u16; 32]) -> __m512i {
    let (rows, _) = all.as_chunks::<16>();
    let pairs = |row: &[u16; 16]| -> Row {
        std::array::from_fn(|lane| u32::from(row[2 * lane]) | u32::from(row[2 * lane + 1]) << 16)
    };
    both(vector(&pairs(&rows[0])), vector(&pairs(&rows[1])))
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn both(lower: __m256i, upper: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}
