//! The kernels of groups of integers, compiled for the instructions that a machine may have, and the choice among them.
//!
//! Guarantees: every level gives the same bits; a level is only handed out where the processor has its instructions, which
//! is what makes calling it sound. The choice is made once, at run time.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512d, __m512i, _mm512_loadu_si512, _mm512_storeu_pd, _mm512_storeu_si512};
use std::fmt;
use std::sync::LazyLock;

use super::bits::GROUP;
use super::decimal;
use super::grouped_plan::{self, NarrowPlan};
use super::lanes::{self, Divisor, Offsets, Row, Summary, SummaryOf};
#[cfg(target_arch = "x86_64")]
use super::{vectors, vectors_512};

/// How an integer becomes a float; the numbers stand in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scaling {
    /// The integer divided by the factor, a power of ten: decimals.
    Quotient = 0,
    /// The same rounded to 32 bits and widened: decimals that were single-precision floats once.
    Single = 1,
    /// The integer multiplied with the factor, a power of a tenth: what a sensor's driver makes of a raw count.
    Product = 2,
}

/// A [`Scaling`] with its factor, and what kernels need of that, found once for a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    scaling: Scaling,
    divisor: Divisor,
}

impl Factor {
    /// What leaves integers as they are.
    pub(super) const ONE: Self = Self { scaling: Scaling::Product, divisor: Divisor::ONE };

    pub(super) fn new(scaling: Scaling, factor: f64) -> Self {
        Self { scaling, divisor: Divisor::new(factor) }
    }
}

type Unpack = unsafe fn(&[u8], &mut Offsets);
type Pack = unsafe fn(&Offsets, &mut [u8]);
type PackedFloats = unsafe fn(&[u8], (usize, u32), (i64, Divisor), &mut [f64; GROUP]) -> Option<()>;
type Sum = unsafe fn(&[u8], usize, u32) -> Option<u64>;

/// The kernels of one set of instructions; tables have an entry for each width from 1 to 32.
pub(super) struct Kernels {
    name: &'static str,
    unpack: [Unpack; 32],
    pack: [Pack; 32],
    sum: [Sum; 32],
    packed_floats: [PackedFloats; 32],
    accumulate: unsafe fn(&mut Offsets, u32, u32) -> u32,
    accumulate_short: unsafe fn(&mut Offsets, u32, u32) -> u32,
    put_patches: unsafe fn(&[u8], usize, u32, u32, &mut Offsets) -> Option<()>,
    extremes: unsafe fn(&[i64]) -> (i64, i64),
    plan: unsafe fn(&[i64], i64, &mut NarrowPlan),
    scale: unsafe fn(&[f64], (Scaling, f64, f64), &mut [i64]) -> u64,
    summarise: unsafe fn(&[u32], Option<&[u32]>, SummaryOf) -> Summary,
    mask_between: unsafe fn(&Offsets, (u32, u32), bool, &mut Offsets),
    floats: unsafe fn(&Offsets, i64, &Factor, &mut [f64; GROUP]),
    times: unsafe fn(&Offsets, i64, u64, &mut [i64; GROUP]) -> bool,
    join: unsafe fn(&Offsets, &Row, [&Offsets; 2], &mut [f64; GROUP]),
}

/// A table with one entry for each width.
macro_rules! widths {
    ($function:ident) => { widths!(@ $function 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32) };
    (@ $function:ident $($width:literal)*) => { [$($function::<$width>),*] };
}

/// Kernels with a body for each width, compiled with some target features.
macro_rules! by_width {
    ($level:ident, $vectors:ident $(, $features:literal)?) => {
        mod $level {
            use super::*;

            $(#[target_feature(enable = $features)])?
            fn unpack<const WIDTH: usize>(packed: &[u8], offsets: &mut Offsets) {
                $vectors::unpack::<WIDTH>(packed, offsets);
            }

            $(#[target_feature(enable = $features)])?
            fn pack<const WIDTH: usize>(offsets: &Offsets, packed: &mut [u8]) {
                lanes::pack::<WIDTH>(offsets, packed);
            }

            $(#[target_feature(enable = $features)])?
            fn sum<const WIDTH: usize>(packed: &[u8], patches: usize, patch_width: u32) -> Option<u64> {
                $vectors::sum::<WIDTH>(packed, patches, patch_width)
            }

            $(#[target_feature(enable = $features)])?
            fn packed_floats<const WIDTH: usize>(
                bytes: &[u8],
                patches: (usize, u32),
                scale: (i64, Divisor),
                floats: &mut [f64; GROUP],
            ) -> Option<()> {
                $vectors::packed_floats::<WIDTH>(bytes, patches, scale, floats)
            }

            pub(super) const UNPACK: [Unpack; 32] = widths!(unpack);
            pub(super) const PACK: [Pack; 32] = widths!(pack);
            pub(super) const SUM: [Sum; 32] = widths!(sum);
            pub(super) const PACKED_FLOATS: [PackedFloats; 32] = widths!(packed_floats);
        }
    };
}

/// The kernels of a level, with those by width of the same or a lower one.
macro_rules! level {
    ($level:ident, $name:literal, $widths:ident, $quotient:ident, [$accumulate:path, $accumulate_short:path], $patches:ident, $join:path $(, $features:literal)?) => {
        mod $level {
            use super::*;

            $(#[target_feature(enable = $features)])?
            fn accumulate(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
                $accumulate(offsets, first, step)
            }

            $(#[target_feature(enable = $features)])?
            fn accumulate_short(offsets: &mut Offsets, first: u32, step: u32) -> u32 {
                $accumulate_short(offsets, first, step)
            }

            $(#[target_feature(enable = $features)])?
            fn put_patches(bytes: &[u8], patches: usize, patch_width: u32, width: u32, offsets: &mut Offsets) -> Option<()> {
                $patches::put_patches(bytes, patches, patch_width, width, offsets)
            }

            $(#[target_feature(enable = $features)])?
            fn extremes(values: &[i64]) -> (i64, i64) {
                lanes::extremes(values)
            }

            $(#[target_feature(enable = $features)])?
            fn plan(values: &[i64], lowest: i64, plan: &mut NarrowPlan) {
                grouped_plan::plan_narrow(values, lowest, plan);
            }

            $(#[target_feature(enable = $features)])?
            fn scale(values: &[f64], scale: (Scaling, f64, f64), integers: &mut [i64]) -> u64 {
                decimal::scale_group(values, scale, integers)
            }

            $(#[target_feature(enable = $features)])?
            fn summarise(offsets: &[u32], mask: Option<&[u32]>, of: SummaryOf) -> Summary {
                match (mask, of) {
                    (None, SummaryOf::Sum) => lanes::summarise::<false, false, false>(offsets, &[]),
                    (None, SummaryOf::Extremes) => lanes::summarise::<false, true, false>(offsets, &[]),
                    (None, SummaryOf::Squares) => lanes::summarise::<false, true, true>(offsets, &[]),
                    (Some(mask), SummaryOf::Sum) => lanes::summarise::<true, false, false>(offsets, mask),
                    (Some(mask), SummaryOf::Extremes) => lanes::summarise::<true, true, false>(offsets, mask),
                    (Some(mask), SummaryOf::Squares) => lanes::summarise::<true, true, true>(offsets, mask),
                }
            }

            $(#[target_feature(enable = $features)])?
            fn mask_between(offsets: &Offsets, bounds: (u32, u32), outside: bool, mask: &mut Offsets) {
                lanes::mask_between(offsets, bounds, outside, mask);
            }

            $(#[target_feature(enable = $features)])?
            fn floats(offsets: &Offsets, minimum: i64, factor: &Factor, floats: &mut [f64; GROUP]) {
                let divisor = factor.divisor;
                match factor.scaling {
                    Scaling::Quotient => lanes::floats(offsets, minimum, floats, |whole| lanes::$quotient(whole, divisor)),
                    Scaling::Single => {
                        let single = |whole| f64::from(lanes::$quotient(whole, divisor) as f32);
                        lanes::floats(offsets, minimum, floats, single);
                    }
                    Scaling::Product if divisor.factor == 1.0 => lanes::floats(offsets, minimum, floats, |whole| whole),
                    Scaling::Product => lanes::floats(offsets, minimum, floats, |whole| whole * divisor.factor),
                }
            }

            $(#[target_feature(enable = $features)])?
            fn times(offsets: &Offsets, start: i64, unit: u64, times: &mut [i64; GROUP]) -> bool {
                lanes::times(offsets, start, unit, times)
            }

            $(#[target_feature(enable = $features)])?
            fn join(codes: &Offsets, dictionary: &Row, halves: [&Offsets; 2], floats: &mut [f64; GROUP]) {
                $join(codes, dictionary, halves, floats);
            }

            pub(super) static KERNELS: Kernels = Kernels {
                name: $name,
                unpack: $widths::UNPACK,
                pack: $widths::PACK,
                sum: $widths::SUM,
                packed_floats: $widths::PACKED_FLOATS,
                accumulate,
                accumulate_short,
                put_patches,
                extremes,
                plan,
                scale,
                summarise,
                mask_between,
                floats,
                times,
                join,
            };
        }
    };
}

by_width!(portable_widths, lanes);
level!(portable, "portable", portable_widths, quotient, [lanes::accumulate, lanes::accumulate], lanes, lanes::join);
#[cfg(target_arch = "x86_64")]
by_width!(avx2_widths, lanes, "avx2,bmi1,bmi2");
#[cfg(target_arch = "x86_64")]
level!(
    avx2,
    "avx2",
    avx2_widths,
    fused_quotient,
    [vectors::accumulate_avx2, vectors::accumulate_avx2],
    lanes,
    vectors::join_avx2,
    "avx2,fma,bmi1,bmi2,lzcnt"
);
// Groups of eight lanes fill vectors of 256 bits: longer ones bring nothing to what is done by width.
#[cfg(target_arch = "x86_64")]
level!(
    avx512,
    "avx512",
    avx2_widths,
    fused_quotient,
    [vectors::accumulate_avx512, vectors::accumulate_short_avx512],
    lanes,
    vectors::join_avx2,
    "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi1,bmi2,lzcnt"
);
#[cfg(target_arch = "x86_64")]
by_width!(vbmi_widths, vectors_512, "avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,avx2,fma,bmi1,bmi2");
#[cfg(target_arch = "x86_64")]
level!(
    avx512_vbmi,
    "avx512 with byte permutations",
    vbmi_widths,
    fused_quotient,
    [vectors::accumulate_avx512, vectors::accumulate_short_avx512],
    vectors_512,
    vectors::join_avx2,
    "avx512f,avx512vl,avx512bw,avx512dq,avx512vbmi,avx2,fma,bmi1,bmi2,lzcnt"
);

#[cfg(test)]
thread_local! {
    /// What a test takes for the best ones.
    static CHOSEN: std::cell::Cell<Option<&'static Kernels>> = const { std::cell::Cell::new(None) };
}

/// A vector of bytes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 bytes that may be read, and no alignment is asked for.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// A vector of words.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_words(words: &[u32; 16]) -> __m512i {
    // SAFETY: as in `load`: these are 64 bytes.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_words(vector: __m512i, words: &mut [u32; 16]) {
    // SAFETY: the reference is to 64 bytes that nobody else reads or writes, any bits are numbers, and no alignment is asked for.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_doubles(vector: __m512d, doubles: &mut [f64; 8]) {
    // SAFETY: as in `store_words`.
    unsafe { _mm512_storeu_pd(doubles.as_mut_ptr(), vector) }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernels {
    /// The best ones that this machine can run.
    pub(super) fn best() -> &'static Self {
        #[cfg(test)]
        if let Some(chosen) = CHOSEN.get() {
            return chosen;
        }
        static BEST: LazyLock<&'static Kernels> =
            LazyLock::new(|| Kernels::available().last().copied().unwrap_or(&portable::KERNELS));
        &BEST
    }

    /// Runs something with the kernels of each level that this machine can run as the best ones of this thread.
    #[cfg(test)]
    pub(super) fn on_each_level(mut run: impl FnMut(&'static Self)) {
        for kernels in Self::available() {
            CHOSEN.set(Some(kernels));
            run(kernels);
        }
        CHOSEN.set(None);
    }

    /// All that this machine can run, the best one last.
    pub(super) fn available() -> Vec<&'static Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut available = vec![&portable::KERNELS];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("f16c");
            if has_avx2 {
                available.push(&avx2::KERNELS);
            }
            if has_avx2 && has_avx512 {
                available.push(&avx512::KERNELS);
            }
            if has_avx2 && has_avx512 && is_x86_feature_detected!("avx512vbmi") {
                available.push(&avx512_vbmi::KERNELS);
            }
        }
        available
    }

    /// Unpacks a full group of a width up to 32.
    #[inline]
    pub(super) fn unpack(&self, packed: &[u8], width: u32, offsets: &mut Offsets) {
        match self.unpack.get((width as usize).wrapping_sub(1)) {
            // SAFETY: the kernels of a level are handed out by `available` alone, where the processor has its features.
            Some(kernel) => unsafe { kernel(packed, offsets) },
            None => offsets.fill(0),
        }
    }

    /// Packs a full group, each value of which is below 2^width.
    #[inline]
    pub(super) fn pack(&self, offsets: &Offsets, width: u32, packed: &mut [u8]) {
        if let Some(kernel) = self.pack.get((width as usize).wrapping_sub(1)) {
            // SAFETY: as in `unpack`.
            unsafe { kernel(offsets, packed) }
        }
    }

    /// The sum of a full packed group, behind which lie so many patches of some width; `None` where these are not what they must be, or the
    /// level does not know them.
    #[inline]
    pub(super) fn sum(&self, packed: &[u8], width: u32, (patches, patch_width): (usize, u32)) -> Option<u64> {
        match self.sum.get((width as usize).wrapping_sub(1)) {
            // SAFETY: as in `unpack`.
            Some(kernel) => unsafe { kernel(packed, patches, patch_width) },
            None => (patches == 0).then_some(0),
        }
    }

    /// The floats of a full packed frame, behind which lie so many patches of some width, from its lowest integer on; all of them lie between
    /// -2^51 and 2^51. `None` where patches are not what they must be, or the level does not know it.
    #[inline]
    pub(super) fn packed_floats(
        &self,
        packed: &[u8],
        (width, patches): (u32, (usize, u32)),
        (lowest, factor): (i64, &Factor),
        floats: &mut [f64; GROUP],
    ) -> Option<()> {
        let kernel = self.packed_floats.get((width as usize).wrapping_sub(1))?;
        let divisor = match factor.scaling {
            Scaling::Quotient => factor.divisor,
            Scaling::Product => factor.divisor.of_product(),
            Scaling::Single => return None,
        };
        // SAFETY: as in `unpack`.
        unsafe { kernel(packed, patches, (lowest, divisor), floats) }
    }

    /// Turns differences, each less `step`, into values that begin with `first`; returns all bits that these have. Of `short` ones values
    /// count modulo 2^16 on some levels.
    #[inline]
    pub(super) fn accumulate(&self, offsets: &mut Offsets, first: u32, step: u32, short: bool) -> u32 {
        let kernel = if short { self.accumulate_short } else { self.accumulate };
        // SAFETY: as in `unpack`.
        unsafe { kernel(offsets, first, step) }
    }

    /// Puts the values of one and more patches of a full packed group of a width in their places; `None` where they are not what they must be,
    /// or the level does not know: some may have been put.
    #[inline]
    pub(super) fn put_patches(
        &self,
        bytes: &[u8],
        (patches, patch_width): (usize, u32),
        width: u32,
        offsets: &mut Offsets,
    ) -> Option<()> {
        // SAFETY: as in `unpack`.
        unsafe { (self.put_patches)(bytes, patches, patch_width, width, offsets) }
    }

    /// The lowest and the highest of some values.
    #[inline]
    pub(super) fn extremes(&self, values: &[i64]) -> (i64, i64) {
        // SAFETY: as in `unpack`.
        unsafe { (self.extremes)(values) }
    }

    /// The best plan for a group of values that span less than 2^32, and of which the lowest is known.
    #[inline]
    pub(super) fn plan(&self, values: &[i64], lowest: i64, plan: &mut NarrowPlan) {
        // SAFETY: as in `unpack`.
        unsafe { (self.plan)(values, lowest, plan) }
    }

    /// Scales values by a form, a power of ten and its inverse; how many are no such decimals.
    #[inline]
    pub(super) fn scale(&self, values: &[f64], scale: (Scaling, f64, f64), integers: &mut [i64]) -> u64 {
        // SAFETY: as in `unpack`.
        unsafe { (self.scale)(values, scale, integers) }
    }

    /// Summarises up to 256 offsets, or those that a mask of as many (all ones or 0) keeps.
    #[inline]
    pub(super) fn summarise(&self, offsets: &[u32], mask: Option<&[u32]>, of: SummaryOf) -> Summary {
        // SAFETY: as in `unpack`.
        unsafe { (self.summarise)(offsets, mask, of) }
    }

    /// Masks out the offsets that do not lie between two bounds, both included, or, `outside`, those that do.
    #[inline]
    pub(super) fn mask_between(&self, offsets: &Offsets, bounds: (u32, u32), outside: bool, mask: &mut Offsets) {
        // SAFETY: as in `unpack`.
        unsafe { (self.mask_between)(offsets, bounds, outside, mask) }
    }

    /// Times of a full group, each a start and so many units; whether they rise strictly.
    #[inline]
    pub(super) fn times(&self, offsets: &Offsets, start: i64, unit: u64, times: &mut [i64; GROUP]) -> bool {
        // SAFETY: as in `unpack`.
        unsafe { (self.times)(offsets, start, unit, times) }
    }

    /// The doubles of a group: the upper half from a dictionary, of which the lowest three bits of a code are the place, and a plane; the
    /// lower half from another plane.
    #[inline]
    pub(super) fn join(
        &self,
        codes: &Offsets,
        dictionary: &Row,
        [upper, lower]: [&Offsets; 2],
        floats: &mut [f64; GROUP],
    ) {
        // SAFETY: as in `unpack`.
        unsafe { (self.join)(codes, dictionary, [upper, lower], floats) }
    }

    /// The floats of a group whose integers lie from -2^51 to below 2^51.
    #[inline]
    pub(super) fn floats(&self, offsets: &Offsets, minimum: i64, factor: &Factor, floats: &mut [f64; GROUP]) {
        // SAFETY: as in `unpack`.
        unsafe { (self.floats)(offsets, minimum, factor, floats) }
    }
}
