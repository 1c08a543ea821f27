//! Groups of 256 integers of up to 32 bits, packed in eight lanes, and what is computed on them: the bodies of the kernels.
//!
//! Guarantees: value `i` of a group lies in lane `i mod 8` and row `i div 8`; the rows of a lane are one little-endian string
//! of bits, row `r` of width `w` being its bits `r*w .. (r+1)*w`; word `k` (32 bits) of lane `l` is word `8k + l` of the
//! group. So one vector operation handles eight neighbours, and each width has its own straight code, in which shifts and
//! masks are constants. A group of fewer rows is a prefix of a full one.
//!
//! Everything here is plain arithmetic on arrays, inlined into the functions of [`super::kernels`], where it is compiled once
//! for each set of instructions; so all of them give the same bits. The layout is that of SIMD-BP128 with eight lanes
//! (D. Lemire, L. Boytsov: "Decoding billions of integers per second through vectorization", 2015).

use std::ops::{Deref, DerefMut};

use super::bits::GROUP;

/// How many neighbours lie side by side.
pub(super) const LANES: usize = 8;
/// Rows of a full group.
pub(super) const ROWS: usize = GROUP / LANES;
/// Bytes of one 32-bit word of each lane.
pub(super) const WORD_ROW_BYTES: usize = LANES * 4;

/// Integers of a group, each as its distance from some base.
pub(super) type Offsets = [u32; GROUP];
/// A buffer that begins with a cache line: the vectors of the widest kernels fill a line each, and those that lie across two take twice
/// the time.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Aligned<T>(pub T);

impl<T> Deref for Aligned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// One row: a value of each lane.
pub(super) type Row = [u32; LANES];

/// Bytes that `count` values of a width up to 32 take.
pub(super) fn packed_bytes(count: usize, width: u32) -> usize {
    (count.div_ceil(LANES) * width as usize).div_ceil(32) * WORD_ROW_BYTES
}

/// Calls a function for each row of a group: rows are constants in it.
macro_rules! each_row {
    ($function:ident::<$width:ident>($($argument:expr),*)) => {
        each_row!(@ $function $width ($($argument),*)
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    (@ $function:ident $width:ident $arguments:tt $($row:literal)*) => { $(each_row!(! $function $width $row $arguments);)* };
    (! $function:ident $width:ident $row:literal ($($argument:expr),*)) => { $function::<$width, $row>($($argument),*) };
}

#[inline(always)]
pub(super) fn load(bytes: &[u8; WORD_ROW_BYTES]) -> Row {
    let mut row = [0; LANES];
    for (word, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    row
}

#[inline(always)]
fn row_of<const WIDTH: usize, const ROW: usize>(words: &[[u8; WORD_ROW_BYTES]]) -> Row {
    let mask = u32::MAX >> (32 - WIDTH);
    let (word, shift) = (ROW * WIDTH / 32, (ROW * WIDTH % 32) as u32);
    let mut row = load(&words[word]);
    if shift as usize + WIDTH <= 32 {
        row.iter_mut().for_each(|value| *value = *value >> shift & mask);
    } else {
        let upper = load(&words[word + 1]);
        row.iter_mut().zip(upper).for_each(|(value, upper)| *value = (*value >> shift | upper << (32 - shift)) & mask);
    }
    row
}

#[inline(always)]
fn put_row<const WIDTH: usize, const ROW: usize>(words: &[[u8; WORD_ROW_BYTES]], rows: &mut [Row; ROWS]) {
    rows[ROW] = row_of::<WIDTH, ROW>(words);
}

/// The words of a full group; none where the bytes are not those of one.
#[inline(always)]
fn words_of<const WIDTH: usize>(packed: &[u8]) -> Option<&[[u8; WORD_ROW_BYTES]]> {
    packed.as_chunks::<WORD_ROW_BYTES>().0.get(..WIDTH)
}

/// Unpacks a full group.
#[inline(always)]
pub(super) fn unpack<const WIDTH: usize>(packed: &[u8], offsets: &mut Offsets) {
    let (rows, []) = offsets.as_chunks_mut::<LANES>() else { return };
    let rows: Result<&mut [Row; ROWS], _> = rows.try_into();
    if let (Some(words), Ok(rows)) = (words_of::<WIDTH>(packed), rows) {
        each_row!(put_row::<WIDTH>(words, rows));
    }
}

#[inline(always)]
fn add_row<const WIDTH: usize, const ROW: usize>(
    words: &[[u8; WORD_ROW_BYTES]],
    narrow: &mut Row,
    wide: &mut [u64; LANES],
) {
    let row = row_of::<WIDTH, ROW>(words);
    // 32 values of 27 bits fit a lane of 32.
    if WIDTH <= 27 {
        narrow.iter_mut().zip(row).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
    } else {
        wide.iter_mut().zip(row).for_each(|(sum, value)| *sum += u64::from(value));
    }
}

/// The sum of a full group, without a place where its values would stand; with patches, `None`.
#[inline(always)]
pub(super) fn sum<const WIDTH: usize>(packed: &[u8], patches: usize, _patch_width: u32) -> Option<u64> {
    let words = words_of::<WIDTH>(packed).filter(|_| patches == 0)?;
    let (mut narrow, mut wide) = ([0; LANES], [0; LANES]);
    each_row!(add_row::<WIDTH>(words, &mut narrow, &mut wide));
    Some(narrow.iter().map(|sum| u64::from(*sum)).sum::<u64>() + wide.iter().sum::<u64>())
}

#[inline(always)]
fn take_row<const WIDTH: usize, const ROW: usize>(rows: &[Row; ROWS], words: &mut [Row]) {
    let (word, shift) = (ROW * WIDTH / 32, (ROW * WIDTH % 32) as u32);
    for (lane, value) in rows[ROW].iter().enumerate() {
        // The first bits of a word replace what the group before left there.
        words[word][lane] = if shift == 0 { *value } else { words[word][lane] | value << shift };
    }
    if shift as usize + WIDTH > 32 {
        words[word + 1] = rows[ROW].map(|value| value >> (32 - shift));
    }
}

/// Packs a full group; every value is below 2^WIDTH, and `packed` has the bytes of one group.
#[inline(always)]
pub(super) fn pack<const WIDTH: usize>(offsets: &Offsets, packed: &mut [u8]) {
    let (rows, []) = offsets.as_chunks::<LANES>() else { return };
    let Ok(rows) = rows.try_into() else { return };
    let mut words = [[0; LANES]; WIDTH];
    each_row!(take_row::<WIDTH>(rows, &mut words));
    for (word, bytes) in words.iter().flatten().zip(packed.as_chunks_mut::<4>().0) {
        *bytes = word.to_le_bytes();
    }
}

/// Turns the differences of a group, each less `step` and with its sign in the lowest bit, into values: the first one is `first`,
/// whatever stands in its place. Returns all bits that values have.
#[inline(always)]
pub(super) fn accumulate(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
    offsets[0] = 0;
    let mut all_bits = [0; LANES];
    let mut before = [first.wrapping_sub(step); LANES];
    for row in offsets.as_chunks_mut::<LANES>().0 {
        // Each lane takes those 1, 2 and 4 lanes before it: sums of all before it in three steps.
        let a: Row = std::array::from_fn(|lane| (row[lane] >> 1 ^ (row[lane] & 1).wrapping_neg()).wrapping_add(step));
        let b: Row = std::array::from_fn(|lane| if lane >= 1 { a[lane].wrapping_add(a[lane - 1]) } else { a[lane] });
        let c: Row = std::array::from_fn(|lane| if lane >= 2 { b[lane].wrapping_add(b[lane - 2]) } else { b[lane] });
        let d: Row = std::array::from_fn(|lane| if lane >= 4 { c[lane].wrapping_add(c[lane - 4]) } else { c[lane] });
        *row = std::array::from_fn(|lane| d[lane].wrapping_add(before[lane]));
        all_bits = std::array::from_fn(|lane| all_bits[lane] | row[lane]);
        // Not from the finished row: so one addition is all that a row waits for.
        before = before.map(|before| before.wrapping_add(d[LANES - 1]));
    }
    all_bits.iter().fold(0, |all, bits| all | bits)
}

/// Floats of a full frame in one go: not here.
#[inline(always)]
pub(super) fn packed_floats<const WIDTH: usize>(
    _bytes: &[u8],
    _patches: (usize, u32),
    _scale: (i64, Divisor),
    _floats: &mut [f64; GROUP],
) -> Option<()> {
    None
}

/// Upper bits of patches are read by no vectors here: nothing is put.
#[inline(always)]
pub(super) fn put_patches(
    _bytes: &[u8],
    _patches: usize,
    _width: u32,
    _shift: u32,
    _offsets: &mut Offsets,
) -> Option<()> {
    None
}

/// The lowest and highest of some values; `(i64::MAX, i64::MIN)` of none.
#[inline(always)]
pub(super) fn extremes(values: &[i64]) -> (i64, i64) {
    let mut lowest = [i64::MAX; LANES];
    let mut highest = [i64::MIN; LANES];
    let (rows, rest) = values.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            lowest[lane] = lowest[lane].min(row[lane]);
            highest[lane] = highest[lane].max(row[lane]);
        }
    }
    let all = lowest.iter().chain(rest).copied().fold(i64::MAX, i64::min);
    (all, highest.iter().chain(rest).copied().fold(i64::MIN, i64::max))
}

/// `minimum + offset` as a float, for values from -2^51 to below 2^51.
#[inline(always)]
pub(super) fn whole(minimum: i64, offset: u32) -> f64 {
    /// 1.5 * 2^52: the integers of the range lie in the lower bits of the double.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    let bits = (ROUNDER.to_bits() as i64).wrapping_add(minimum).wrapping_add(i64::from(offset));
    f64::from_bits(bits as u64) - ROUNDER
}

/// Floats of a group: each `minimum + offset`, and what `finish` makes of it.
#[inline(always)]
pub(super) fn floats(offsets: &Offsets, minimum: i64, floats: &mut [f64; GROUP], finish: impl Fn(f64) -> f64) {
    for (float, offset) in floats.iter_mut().zip(offsets) {
        *float = finish(whole(minimum, *offset));
    }
}

/// Doubles of a group: the upper half from a dictionary (of which the lowest three bits of a code are the place) and a plane, the lower
/// half from another plane.
#[inline(always)]
pub(super) fn join(codes: &Offsets, dictionary: &Row, [upper, lower]: [&Offsets; 2], floats: &mut [f64; GROUP]) {
    for place in 0..GROUP {
        let high = dictionary[codes[place] as usize % LANES] | upper[place];
        floats[place] = f64::from_bits(u64::from(high) << 32 | u64::from(lower[place]));
    }
}

/// A factor, and its inverse in two doubles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    pub(super) factor: f64,
    pub(super) inverse: f64,
    /// What the inverse is short of the true one.
    pub(super) inverse_rest: f64,
}

impl Divisor {
    pub(super) const ONE: Self = Self { factor: 1.0, inverse: 1.0, inverse_rest: 0.0 };

    pub(super) fn new(factor: f64) -> Self {
        let inverse = 1.0 / factor;
        // What a division leaves is a double: it takes no rounding but that of its own quotient.
        let inverse_rest = (-inverse).mul_add(factor, 1.0) / factor;
        Self { factor, inverse, inverse_rest }
    }

    /// What multiplies by the factor where the other divides by it.
    pub(super) fn of_product(self) -> Self {
        Self { factor: self.factor, inverse: self.factor, inverse_rest: 0.0 }
    }
}

/// The double nearest to a whole number divided by a power of ten.
#[inline(always)]
pub(super) fn quotient(whole: f64, divisor: Divisor) -> f64 {
    whole / divisor.factor
}

/// The same, where the processor fuses multiplication and addition, which takes an eighth of a division's time.
///
/// For whole numbers up to 2^53 and powers up to 10^18 the bits are those of the division. The two parts of the inverse are within 2^-106 of
/// it, and the product with the smaller one is rounded by as much of the quotient again: before the one rounding at the end the error is
/// below 2^-105 of the quotient, and so below 2^-52 units in its last place. But a quotient by 10^e lies no nearer than 1 / (2 * 5^e) >
/// 2^-43 units to the middle between two doubles, and never on it (after P. Markstein, "IA-64 and Elementary Functions", 2000).
#[inline(always)]
pub(super) fn fused_quotient(whole: f64, divisor: Divisor) -> f64 {
    whole.mul_add(divisor.inverse, whole * divisor.inverse_rest)
}

/// Times of a full group: each a start and so many units. Says whether they rise strictly.
#[inline(always)]
pub(super) fn times(offsets: &Offsets, start: i64, unit: u64, times: &mut [i64; GROUP]) -> bool {
    // Vectors multiply 32 bits with 32 bits.
    let (lower, upper) = (unit & u64::from(u32::MAX), unit >> 32);
    for (time, offset) in times.iter_mut().zip(offsets) {
        let offset = u64::from(*offset);
        *time = start.wrapping_add((offset * lower).wrapping_add((offset * upper) << 32) as i64);
    }
    let pairs = offsets.iter().zip(&offsets[1..]);
    pairs.fold(0, |falls, (a, b)| falls | u32::from(a >= b)) == 0
}

/// What a summary says beside count and sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryOf {
    /// Nothing.
    Sum,
    /// Lowest and highest.
    Extremes,
    /// These, and the sum of squares.
    Squares,
}

/// What is known of some offsets: of those that a mask keeps, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The sum of their squares, where it was asked for.
    pub squares: u128,
    /// The lowest, where extremes were asked for; `u32::MAX` of none.
    pub lowest: u32,
    /// The highest, where extremes were asked for; 0 of none.
    pub highest: u32,
}

/// Summarises up to 256 offsets; of those masked out (0, not all ones) nothing is counted. Extremes and squares only where asked; who
/// asks for squares has to ask for extremes.
#[inline(always)]
pub(super) fn summarise<const MASKED: bool, const EXTREMES: bool, const SQUARES: bool>(
    offsets: &[u32],
    mask: &[u32],
) -> Summary {
    let mut summary = Summary { count: 0, sum: 0, squares: 0, lowest: u32::MAX, highest: 0 };
    let (mut count, mut low, mut high) = ([0_u32; LANES], [u32::MAX; LANES], [0_u32; LANES]);
    // Halves of a value add up in 32 bits: 32 rows of 16 bits stay below 2^21.
    let (mut lower, mut upper) = ([0_u32; LANES], [0_u32; LANES]);
    let mut squares = [0_u64; LANES];
    let (rows, rest) = offsets.as_chunks::<LANES>();
    let (mask_rows, mask_rest) = mask.as_chunks::<LANES>();
    for (at, row) in rows.iter().take(ROWS).enumerate() {
        for lane in 0..LANES {
            let kept = if MASKED { mask_rows[at][lane] } else { u32::MAX };
            let value = row[lane] & kept;
            count[lane] += kept & 1;
            lower[lane] += value & 0xffff;
            upper[lane] += value >> 16;
            if EXTREMES {
                low[lane] = low[lane].min(value | !kept);
                high[lane] = high[lane].max(value);
            }
            if SQUARES {
                squares[lane] = squares[lane].wrapping_add(u64::from(value) * u64::from(value));
            }
        }
    }
    for lane in 0..LANES {
        summary.count += u64::from(count[lane]);
        summary.sum += u64::from(lower[lane]) + (u64::from(upper[lane]) << 16);
        if EXTREMES {
            summary.lowest = summary.lowest.min(low[lane]);
            summary.highest = summary.highest.max(high[lane]);
        }
        if SQUARES {
            summary.squares += u128::from(squares[lane]);
        }
    }
    for (at, value) in rest.iter().enumerate() {
        let kept = if MASKED { mask_rest[at] } else { u32::MAX };
        let value = value & kept;
        summary.count += u64::from(kept & 1);
        summary.sum += u64::from(value);
        if EXTREMES {
            summary.lowest = summary.lowest.min(value | !kept);
            summary.highest = summary.highest.max(value);
        }
        if SQUARES {
            summary.squares += u128::from(u64::from(value) * u64::from(value));
        }
    }
    // 32 squares of a lane pass 64 bits only where values pass 29.
    if SQUARES && summary.highest >> 29 > 0 {
        let kept = |at: usize| if MASKED { mask[at] } else { u32::MAX };
        let square = |(at, value): (usize, &u32)| u128::from(value & kept(at)) * u128::from(value & kept(at));
        summary.squares = offsets.iter().enumerate().map(square).sum();
    }
    summary
}

/// Masks out the offsets that do not lie between two bounds, both included, or, `outside`, those that do; what is masked out stays so.
#[inline(always)]
pub(super) fn mask_between(offsets: &Offsets, (lowest, highest): (u32, u32), outside: bool, mask: &mut Offsets) {
    let flip = if outside { u32::MAX } else { 0 };
    for (mask, offset) in mask.iter_mut().zip(offsets) {
        let inside = if *offset >= lowest && *offset <= highest { u32::MAX } else { 0 };
        *mask &= inside ^ flip;
    }
}
