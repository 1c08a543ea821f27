//! The kernels of groups of integers, compiled for the instructions that a machine may have, and the choice among them.
//!
//! Guarantees: every level gives the same bits; a level is only handed out where the processor has its instructions, which
//! is what makes calling it sound. The choice is made once, at run time.

use std::fmt;
use std::sync::LazyLock;

use super::bits::GROUP;
use super::decimal;
use super::grouped_plan::{self, NarrowPlan};
use super::lanes::{self, Offsets, Row, Summary, SummaryOf};
#[cfg(target_arch = "x86_64")]
use super::vectors;

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

type Unpack = unsafe fn(&[u8], &mut Offsets);
type Pack = unsafe fn(&Offsets, &mut [u8]);
type Sum = unsafe fn(&[u8]) -> u64;

/// The kernels of one set of instructions; tables have an entry for each width from 1 to 32.
pub(super) struct Kernels {
    name: &'static str,
    unpack: [Unpack; 32],
    pack: [Pack; 32],
    sum: [Sum; 32],
    accumulate: unsafe fn(&mut Offsets, u32, u32),
    extremes: unsafe fn(&[i64]) -> (i64, i64),
    plan: unsafe fn(&[i64], i64, &mut NarrowPlan),
    scale: unsafe fn(&[f64], (Scaling, f64, f64), &mut [i64]) -> u64,
    summarise: unsafe fn(&[u32], Option<&[u32]>, SummaryOf) -> Summary,
    mask_between: unsafe fn(&Offsets, (u32, u32), bool, &mut Offsets),
    floats: unsafe fn(&Offsets, i64, (Scaling, f64), &mut [f64; GROUP]),
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
    ($level:ident $(, $features:literal)?) => {
        mod $level {
            use super::*;

            $(#[target_feature(enable = $features)])?
            fn unpack<const WIDTH: usize>(packed: &[u8], offsets: &mut Offsets) {
                lanes::unpack::<WIDTH>(packed, offsets);
            }

            $(#[target_feature(enable = $features)])?
            fn pack<const WIDTH: usize>(offsets: &Offsets, packed: &mut [u8]) {
                lanes::pack::<WIDTH>(offsets, packed);
            }

            $(#[target_feature(enable = $features)])?
            fn sum<const WIDTH: usize>(packed: &[u8]) -> u64 {
                lanes::sum::<WIDTH>(packed)
            }

            pub(super) const UNPACK: [Unpack; 32] = widths!(unpack);
            pub(super) const PACK: [Pack; 32] = widths!(pack);
            pub(super) const SUM: [Sum; 32] = widths!(sum);
        }
    };
}

/// The kernels of a level, with those by width of the same or a lower one.
macro_rules! level {
    ($level:ident, $name:literal, $widths:ident, $quotient:ident, $accumulate:path, $join:path $(, $features:literal)?) => {
        mod $level {
            use super::*;

            $(#[target_feature(enable = $features)])?
            fn accumulate(offsets: &mut Offsets, first: u32, step: u32) {
                $accumulate(offsets, first, step);
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
            fn floats(offsets: &Offsets, minimum: i64, (scaling, factor): (Scaling, f64), floats: &mut [f64; GROUP]) {
                match scaling {
                    Scaling::Quotient => lanes::floats(offsets, minimum, floats, |whole| lanes::$quotient(whole, factor)),
                    Scaling::Single => {
                        let single = |whole| f64::from(lanes::$quotient(whole, factor) as f32);
                        lanes::floats(offsets, minimum, floats, single);
                    }
                    Scaling::Product => lanes::floats(offsets, minimum, floats, |whole| whole * factor),
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
                accumulate,
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

by_width!(portable_widths);
level!(portable, "portable", portable_widths, quotient, lanes::accumulate, lanes::join);
#[cfg(target_arch = "x86_64")]
by_width!(avx2_widths, "avx2,bmi1,bmi2");
#[cfg(target_arch = "x86_64")]
level!(
    avx2,
    "avx2",
    avx2_widths,
    fused_quotient,
    vectors::accumulate_avx2,
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
    vectors::accumulate_avx512,
    vectors::join_avx2,
    "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,bmi1,bmi2,lzcnt"
);

#[cfg(test)]
thread_local! {
    /// What a test takes for the best ones.
    static CHOSEN: std::cell::Cell<Option<&'static Kernels>> = const { std::cell::Cell::new(None) };
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

    /// The sum of a full packed group.
    #[inline]
    pub(super) fn sum(&self, packed: &[u8], width: u32) -> u64 {
        match self.sum.get((width as usize).wrapping_sub(1)) {
            // SAFETY: as in `unpack`.
            Some(kernel) => unsafe { kernel(packed) },
            None => 0,
        }
    }

    /// Turns differences, each less `step`, into values that begin with `first`.
    #[inline]
    pub(super) fn accumulate(&self, offsets: &mut Offsets, first: u32, step: u32) {
        // SAFETY: as in `unpack`.
        unsafe { (self.accumulate)(offsets, first, step) }
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
    pub(super) fn floats(&self, offsets: &Offsets, minimum: i64, scale: (Scaling, f64), floats: &mut [f64; GROUP]) {
        // SAFETY: as in `unpack`.
        unsafe { (self.floats)(offsets, minimum, scale, floats) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of a width, no two groups alike.
    fn noise(width: u32, seed: u64) -> Offsets {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as u32 & (u32::MAX >> (32 - width))
        })
    }

    #[test]
    fn every_width_packs_as_the_document_says_on_every_level() {
        for kernels in Kernels::available() {
            for width in 1..=32 {
                let values = noise(width, u64::from(width));
                let mut packed = vec![0xa5; lanes::packed_bytes(GROUP, width)];
                kernels.pack(&values, width, &mut packed);
                for (place, value) in values.iter().enumerate() {
                    let (lane, row) = (place % 8, place / 8);
                    let bit = |bit: usize| {
                        let bit = row * width as usize + bit;
                        let byte = (bit / 32 * 8 + lane) * 4 + bit % 32 / 8;
                        u32::from(packed[byte] >> (bit % 8) & 1)
                    };
                    let stored = (0..width as usize).fold(0, |all, place| all | bit(place) << place);
                    assert_eq!(stored, *value, "{kernels:?} width {width} place {place}");
                }
                let mut back = [7; GROUP];
                kernels.unpack(&packed, width, &mut back);
                assert_eq!(back, values, "{kernels:?} width {width}");
                let sum: u64 = values.iter().map(|value| u64::from(*value)).sum();
                assert_eq!(kernels.sum(&packed, width), sum, "{kernels:?} width {width}");
            }
            let mut none = [7; GROUP];
            kernels.unpack(&[], 0, &mut none);
            assert_eq!((none, kernels.sum(&[], 0)), ([0; GROUP], 0));
        }
    }

    #[test]
    fn differences_add_up_on_every_level() {
        for kernels in Kernels::available() {
            for (width, first, step) in [(1, 5, 0), (7, 1 << 31, u32::MAX - 2), (32, u32::MAX, 12_345)] {
                let rests = noise(width, 9);
                let mut values = rests;
                kernels.accumulate(&mut values, first, step);
                let mut expected = first;
                for place in 0..GROUP {
                    if place > 0 {
                        let rest = rests[place];
                        expected = expected.wrapping_add(step).wrapping_add(rest >> 1 ^ (rest & 1).wrapping_neg());
                    }
                    assert_eq!(values[place], expected, "{kernels:?} place {place}");
                }
            }
        }
    }

    #[test]
    fn summaries_and_masks_are_those_of_plain_arithmetic_on_every_level() {
        let mut offsets = noise(32, 5);
        (offsets[3], offsets[200]) = (0, u32::MAX);
        for kernels in Kernels::available() {
            for (bounds, outside) in
                [((1 << 30, 3 << 30), false), ((1 << 30, 3 << 30), true), ((5, 4), false), ((0, u32::MAX), false)]
            {
                let mut mask = noise(1, 8).map(|bit| bit.wrapping_neg());
                let before = mask;
                kernels.mask_between(&offsets, bounds, outside, &mut mask);
                for place in 0..GROUP {
                    let inside = offsets[place] >= bounds.0 && offsets[place] <= bounds.1;
                    let expected = if before[place] == u32::MAX && inside != outside { u32::MAX } else { 0 };
                    assert_eq!(mask[place], expected, "{kernels:?} place {place}");
                }
                for range in [0..256, 0..0, 3..4, 1..250, 8..16, 197..205] {
                    for masked in [false, true] {
                        let kept: Vec<u64> = range
                            .clone()
                            .filter(|place| !masked || mask[*place] != 0)
                            .map(|place| u64::from(offsets[place]))
                            .collect();
                        let found = kernels.summarise(
                            &offsets[range.clone()],
                            masked.then(|| &mask[range.clone()]),
                            SummaryOf::Squares,
                        );
                        let squares: u128 = kept.iter().map(|value| u128::from(value * value)).sum();
                        assert_eq!((found.count, found.sum), (kept.len() as u64, kept.iter().sum()), "{range:?}");
                        assert_eq!(found.squares, squares, "{kernels:?} {range:?} {masked}");
                        if let (Some(lowest), Some(highest)) = (kept.iter().min(), kept.iter().max()) {
                            assert_eq!((u64::from(found.lowest), u64::from(found.highest)), (*lowest, *highest));
                        }
                        let of =
                            |of| kernels.summarise(&offsets[range.clone()], masked.then(|| &mask[range.clone()]), of);
                        let (plain, sum) = (of(SummaryOf::Extremes), of(SummaryOf::Sum));
                        assert_eq!(
                            (plain.count, plain.sum, plain.lowest, plain.highest),
                            (found.count, found.sum, found.lowest, found.highest)
                        );
                        assert_eq!((sum.count, sum.sum), (found.count, found.sum));
                    }
                }
            }
        }
    }

    #[test]
    fn doubles_are_joined_bit_for_bit_on_every_level() {
        let (codes, upper, lower) = (noise(32, 1), noise(20, 2), noise(32, 3));
        let dictionary = [0x3fd0_0000, 0, 0xfff0_0000, 1 << 20, 7 << 20, 0x7ff0_0000, 0xbff0_0000, 0x8000_0000];
        for kernels in Kernels::available() {
            let mut floats = [0.0; GROUP];
            kernels.join(&codes, &dictionary, [&upper, &lower], &mut floats);
            for (place, float) in floats.iter().enumerate() {
                let high = dictionary[codes[place] as usize & 7] + upper[place];
                assert_eq!(float.to_bits(), u64::from(high) << 32 | u64::from(lower[place]), "{kernels:?} {place}");
            }
        }
    }

    #[test]
    fn floats_and_extremes_are_those_of_plain_arithmetic_on_every_level() {
        let offsets = noise(31, 3);
        for kernels in Kernels::available() {
            for minimum in [0, -1_000, -(1 << 50), (1 << 50) - 1] {
                // Every power of ten: some levels do not divide.
                let powers = (0..=18).map(|places| format!("1e{places}").parse().unwrap());
                let quotients = powers.flat_map(|power| [(Scaling::Quotient, power), (Scaling::Single, power)]);
                for (scaling, factor) in quotients.chain([(Scaling::Product, 1e-2)]) {
                    let mut floats = [0.0; GROUP];
                    kernels.floats(&offsets, minimum, (scaling, factor), &mut floats);
                    for (float, offset) in floats.iter().zip(offsets) {
                        let whole = (minimum + i64::from(offset)) as f64;
                        let expected = match scaling {
                            Scaling::Quotient => whole / factor,
                            Scaling::Single => f64::from((whole / factor) as f32),
                            Scaling::Product => whole * factor,
                        };
                        assert_eq!(float.to_bits(), expected.to_bits(), "{kernels:?}");
                    }
                }
            }
            for (falls_at, unit) in [
                (None, 1),
                (None, u64::from(u32::MAX)),
                (None, 60_000_000_000),
                (Some(1), 60_000),
                (Some(128), 1),
                (Some(255), 7),
            ] {
                let mut offsets: Offsets = std::array::from_fn(|place| place as u32 * 16_000_000 + 3);
                falls_at.inspect(|place: &usize| offsets[*place] = offsets[place - 1]);
                let mut times = [0; GROUP];
                assert_eq!(kernels.times(&offsets, -77, unit, &mut times), falls_at.is_none(), "{kernels:?}");
                let expected = offsets.map(|offset| (i128::from(offset) * i128::from(unit) - 77) as i64);
                assert_eq!(times, expected, "{kernels:?}");
            }
            for count in [0, 1, 7, 8, 9, 255] {
                let values: Vec<i64> = offsets[..count].iter().map(|offset| i64::from(*offset) - (1 << 30)).collect();
                let expected = values.iter().fold((i64::MAX, i64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
                assert_eq!(kernels.extremes(&values), expected);
            }
        }
    }
}
