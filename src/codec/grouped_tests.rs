//! Groups with their heads in front: every way to read them gives back what was written, and what no writer makes is refused.

use super::bits::GROUP;
use super::grouped::Grouped;
use super::grouped_write::encode;
use super::kernels::{Factor, Kernels, Scaling};
use crate::bytes::Reader;
use crate::error::ErrorKind;
use proptest::prelude::*;

/// What every way to read says of some values, on every level.
fn check(values: &[i64]) -> usize {
    let mut bytes = Vec::new();
    encode(values, &mut bytes);
    for kernels in Kernels::available() {
        let groups = Grouped::read(Reader::new(&bytes), values.len()).unwrap();
        assert_eq!(groups.heads().len(), values.len().div_ceil(GROUP));
        for (group, expected) in values.chunks(GROUP).enumerate() {
            let head = &groups.heads()[group];
            let (lowest, highest) = (*expected.iter().min().unwrap(), *expected.iter().max().unwrap());
            assert_eq!(head.lowest, lowest);
            let bits = |end: i64| 64 - (end.wrapping_sub(lowest) as u64).leading_zeros();
            let bound = head.highest;
            assert!(bound >= highest && (bound == i64::MAX || bits(bound) == bits(highest)));
            let mut read = [0; GROUP];
            groups.values(group, kernels, &mut read).unwrap();
            assert_eq!(&read[..expected.len()], expected, "{kernels:?} group {group}");
            let sum: i128 = expected.iter().map(|value| i128::from(*value)).sum();
            assert_eq!(groups.sum(group, kernels).unwrap(), sum, "{kernels:?} group {group}");
        }
    }
    assert_eq!(Grouped::read(Reader::new(&bytes), values.len()).unwrap().decode(0..values.len()).unwrap(), values);
    let (from, to) = (values.len() / 3, values.len() - values.len() / 4);
    let part = Grouped::read(Reader::new(&bytes), values.len()).unwrap().decode(from..to).unwrap();
    assert_eq!(part, values[from..to]);
    bytes.len()
}

#[test]
fn every_width_comes_back() {
    for width in 0..=64 {
        for count in [1, 7, 8, 9, 255, 256, 257, 600] {
            let mut state = 1_u64 + width;
            let value = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state ^ state >> 31).checked_shr(64 - width as u32).unwrap_or(0) as i64
            };
            check(&(0..count).map(value).collect::<Vec<i64>>());
        }
    }
}

#[test]
fn a_patch_in_every_place_comes_back() {
    for (far, plain) in [(1_i64 << 20, 3), (i64::MIN, 1), (i64::MAX, -1), (-(1 << 31), 0)] {
        for place in 0..GROUP {
            let frame: Vec<i64> = (0..GROUP as i64).map(|i| if i == place as i64 { far } else { i * 7 % 4 }).collect();
            check(&frame);
            let mut value = 0_i64;
            let mut counter = |i| {
                value = if i == place { far } else { value.wrapping_add(plain + (i % 3) as i64) };
                value
            };
            check(&(0..GROUP).map(&mut counter).collect::<Vec<i64>>());
        }
    }
}

#[test]
fn a_counter_with_resets_costs_little_more_than_one_without() {
    let steady: Vec<i64> = (0..4_096).map(|i| 70 * i + i * i % 16).collect();
    let reset: Vec<i64> = steady.iter().map(|value| value % 40_000).collect();
    let (steady, reset) = (check(&steady), check(&reset));
    assert!(reset < steady + steady / 4, "{steady} and {reset} bytes");
}

#[test]
fn jitter_around_a_line_costs_its_own_bits() {
    let jitter = |i: i64| ((i * 2_654_435_761) >> 7) % 1_000;
    let wide: Vec<i64> = (0..1_024).map(|i| i64::MIN + i * (1 << 40) + jitter(i)).collect();
    for values in [(0..1_024).map(|i| 60_000 * i + jitter(i)).collect(), wide] {
        let bytes = check(&values);
        assert!(bytes < 4 * (10 * 32 + 24), "{bytes} bytes");
    }
}

#[test]
fn what_a_reader_must_check_is_refused() {
    let lanes = [0_u8; 32];
    let group = |head: &[u8], rest: &[u8]| [head, &lanes[..], rest].concat();
    for (bytes, count, what) in [
        (group(&[0x9e, 3, 0, 32, 0, 0, 1], &[0, 1]), 1, "33 bits of a distance of 32"),
        (group(&[0x81, 0, 0, 65, 0, 0], &[]), 8, "a distance of 65 bits"),
        (group(&[0x81, 0, 0, 3, 8, 0], &[]), 8, "a first value above the highest"),
        (group(&[0x83, 0x80, 0, 3, 0, 0], &[]), 8, "two predictions"),
        (group(&[1, 2, 0, 0], &[]), 8, "no patches of some width"),
        (group(&[1, 2, 0, 2], &[3, 3, 1]), 8, "two patches at one place"),
        (group(&[1, 2, 0, 1], &[8, 1]), 8, "a patch behind the last value"),
        (group(&[3, 0, 0], &[0]), 8, "a byte too many"),
        (vec![3, 0, 0, 0, 0], 8, "a byte too few"),
        (vec![3, 0], 8, "half a head"),
        (group(&[1, 2, 0, 1], &[3, 0]), 8, "a patch that is zero"),
        (group(&[1, 2, 0, 1], &[3, 1 | 4]), 8, "a bit behind the last patch"),
        (group(&[0x80, 0, 0, 3, 0, 16], &[])[..6].to_vec(), 8, "a step beyond the span"),
        (group(&[0x80, 0x80, 0, 3, 0, 16], &[])[..6].to_vec(), 8, "two predictions again"),
        (vec![0x00, 0x80, 0, 2, 0, 0x80, 0x10], 8, "a line beyond the span"),
        (
            [&[0x80, 0, 0, 8, 0][..], &[0x82, 0x80, 0x80, 0x80, 0x20]].concat(),
            8,
            "a narrow group whose step is 2^32 + 1",
        ),
        ([&[3, 0, 0xfe][..], &[0xff; 8], &[1, 1], &[0; 31]].concat(), 8, "a value beyond 64 bits"),
        (
            group(&[3, 0, 0, 7], &[]).iter().enumerate().map(|(at, byte)| byte | u8::from(at == 31)).collect(),
            7,
            "a bit behind",
        ),
    ] {
        let kernels = Kernels::best();
        let read =
            Grouped::read(Reader::new(&bytes), count).and_then(|groups| groups.values(0, kernels, &mut [0; GROUP]));
        assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::Corruption), "{what}");
    }
    assert!(Grouped::read(Reader::new(&[]), usize::MAX).is_err());
}

/// Three full frames of some widths with patches in some places, each changed by some bits above the width.
fn patched_frames(width: u8, patch_width: u8, places: &[u8], upper: impl Fn(usize) -> u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for lowest_step in [200_u8, 2, 4] {
        bytes.extend_from_slice(&[width, patch_width, lowest_step]);
        bytes.extend(if lowest_step >= 0x80 { &[1_u8][..] } else { &[] });
        bytes.push(places.len() as u8);
    }
    for _ in 0..3 {
        bytes.extend((0..usize::from(width) * 32).map(|at| (at * 37 + 11) as u8));
        bytes.extend_from_slice(places);
        let mut bits = vec![0_u8; (places.len() * usize::from(patch_width)).div_ceil(8)];
        for patch in 0..places.len() {
            for bit in 0..usize::from(patch_width) {
                let at = patch * usize::from(patch_width) + bit;
                bits[at / 8] |= ((upper(patch) >> bit & 1) as u8) << (at % 8);
            }
        }
        bytes.extend_from_slice(&bits);
    }
    bytes
}

/// What all ways to read the first group say, each on every level: values, offsets and sum.
fn all_ways(bytes: &[u8]) -> Vec<Result<(Vec<i64>, Vec<u64>, i128), ErrorKind>> {
    let read = |kernels: &'static Kernels| {
        let groups = Grouped::read(Reader::new(bytes), 3 * GROUP)?;
        let (mut values, mut offsets, mut floats) = ([0; GROUP], [0; GROUP], [0.0; GROUP]);
        let sum = groups.sum(0, kernels);
        let at_once = groups.floats(0, (kernels, &Factor::new(Scaling::Quotient, 100.0)), &mut offsets, &mut floats);
        let one_by_one = groups.values(0, kernels, &mut values);
        // All say the same of what is damaged.
        assert!(at_once.is_err() == sum.is_err() && one_by_one.is_err() == sum.is_err(), "{kernels:?}");
        one_by_one?;
        Ok((values.to_vec(), floats.map(f64::to_bits).to_vec(), sum?))
    };
    let kind = |error: crate::error::Error| error.kind();
    Kernels::available().into_iter().map(|kernels| read(kernels).map_err(kind)).collect()
}

#[test]
fn patches_of_every_width_and_number_come_back_on_every_level() {
    for (width, patch_width) in (0..=32_u8).flat_map(|width| (1..=32 - width).map(move |patch| (width, patch))) {
        for patches in [1, 2, 4, 5, 16, 17, 64, 65, 255_u8] {
            // The sweep over all numbers takes long: other ones at other widths.
            if (u32::from(width + patch_width) + u32::from(patches)) % 5 > 0
                && ![(9, 4), (7, 1)].contains(&(width, patch_width))
            {
                continue;
            }
            let stride = if patches > 64 { 1 } else { 3 };
            let places: Vec<u8> = (0..patches).map(|patch| patch * stride + (stride * 2 - 2)).collect();
            let upper = |patch: usize| 1 + (patch as u64 * 0x9e37_79b9) % ((1_u64 << patch_width) - 1).max(1);
            let bytes = patched_frames(width, patch_width, &places, upper);
            let plain = without_counts(&patched_frames(width, 0, &[], upper), width);
            let mut expected = all_ways(&plain)[0].clone().unwrap().0;
            for (patch, place) in places.iter().enumerate() {
                expected[usize::from(*place)] += (upper(patch) << width) as i64;
            }
            let floats: Vec<u64> = expected.iter().map(|value| (*value as f64 / 100.0).to_bits()).collect();
            let sum = expected.iter().map(|value| i128::from(*value)).sum();
            for (level, found) in all_ways(&bytes).into_iter().enumerate() {
                let wanted = Ok((expected.clone(), floats.clone(), sum));
                assert!(found == wanted, "level {level}, widths {width} and {patch_width}, {patches} patches");
            }
        }
    }
}

/// The same frames with heads that count no patches.
fn without_counts(frames: &[u8], width: u8) -> Vec<u8> {
    let heads = [&[width, 0, 200, 1][..], &[width, 0, 2], &[width, 0, 4]].concat();
    [&heads[..], &frames[frames.len() - 3 * usize::from(width) * 32..]].concat()
}

#[test]
fn damaged_patches_of_full_groups_are_refused_on_every_level() {
    let whole = |width, patch_width, places: &[u8], uppers: &[u64]| {
        patched_frames(width, patch_width, places, |patch| uppers[patch % uppers.len()])
    };
    for width in [3_u8, 7, 9, 12, 15, 16, 25, 26] {
        assert!(all_ways(&whole(width, 3, &[1, 5, 9, 200, 255], &[1, 2, 7])).iter().all(Result::is_ok));
        let mut behind = whole(width, 3, &[1, 5, 9, 200, 255], &[1, 2, 7]);
        // The last of two bytes with 15 bits of upper parts.
        let heads = 5 + 4 + 4;
        behind[heads + usize::from(width) * 32 + 5 + 1] |= 0x80;
        for (bytes, what) in [
            (whole(width, 3, &[1, 5, 5, 200, 255], &[1, 2, 7]), "two patches at one place"),
            (whole(width, 3, &[1, 5, 4, 200, 255], &[1, 2, 7]), "patches that fall"),
            (whole(width, 3, &[1, 5, 9, 255, 200], &[1, 2, 7]), "the last patch before another"),
            (whole(width, 3, &[1, 5, 9, 200, 255], &[1, 2, 0]), "a patch that is zero"),
            (whole(width, 3, &[1, 5, 9, 200, 255], &[1, 1, 1, 1, 0]), "the last patch zero"),
            (behind, "a bit behind the last patch"),
        ] {
            let all = all_ways(&bytes);
            assert!(all.iter().all(|found| found == &Err(ErrorKind::Corruption)), "width {width}: {what}");
        }
    }
}

#[test]
fn differences_that_leave_their_span_are_refused_on_every_level() {
    // Full groups of a width that begin with their lowest, all rests alike: steps up, or down, beyond 8 bits or beyond 15 and 16.
    for (width, span_bits, rest) in
        [(7, 8, 4_u32), (7, 8, 3), (15, 15, (1 << 15) - 2), (15, 15, (1 << 15) - 1), (14, 15, 8)]
    {
        let mut lanes = vec![0; width * 32];
        Kernels::best().pack(&[rest; GROUP], width as u32, &mut lanes);
        let heads = [0x80 | width as u8, 0, 2, span_bits, 0, 0].repeat(3);
        let bytes = [&heads[..], &lanes.repeat(3)].concat();
        let found = all_ways(&bytes);
        let is_within = (width, rest) == (14, 8);
        assert!(found.iter().all(|found| found.is_ok() == is_within), "{width} {rest}: {found:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(values in proptest::collection::vec(any::<i64>(), 1..700), shift in 0_u32..64, walk: bool) {
        let mut total = 0_i64;
        let value = |value: &i64| {
            total = if walk { total.wrapping_add(value >> shift) } else { value >> shift };
            total
        };
        check(&values.iter().map(value).collect::<Vec<i64>>());
    }
}
