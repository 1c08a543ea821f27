//! Kernels of every level against plain arithmetic and the layout that the document says.

use super::bits::GROUP;
use super::kernels::{Factor, Kernels, Scaling};
use super::lanes::{self, Offsets, SummaryOf};

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
            assert_eq!(kernels.sum(&packed, width, (0, 0)), Some(sum), "{kernels:?} width {width}");
        }
        let mut none = [7; GROUP];
        kernels.unpack(&[], 0, &mut none);
        assert_eq!((none, kernels.sum(&[], 0, (0, 0))), ([0; GROUP], Some(0)));
    }
}

#[test]
fn differences_add_up_on_every_level() {
    for kernels in Kernels::available() {
        for (width, first, step) in [(1, 5, 0), (7, 1 << 31, u32::MAX - 2), (32, u32::MAX, 12_345)] {
            let rests = noise(width, 9);
            let mut values = rests;
            kernels.accumulate(&mut values, first, step, false);
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
                    let of = |of| kernels.summarise(&offsets[range.clone()], masked.then(|| &mask[range.clone()]), of);
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
            for (scaling, factor) in quotients.chain([(Scaling::Product, 1e-2), (Scaling::Product, 1.0)]) {
                let mut floats = [0.0; GROUP];
                kernels.floats(&offsets, minimum, &Factor::new(scaling, factor), &mut floats);
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

#[test]
fn short_differences_add_up_on_every_level() {
    for kernels in Kernels::available() {
        for (width, first, step) in [(1, 1 << 14, 0), (7, 1 << 14, 3_u32.wrapping_neg()), (4, 300, 20), (0, 9, 100)] {
            let rests = if width > 0 { noise(width, 9) } else { [0; GROUP] };
            let mut values = rests;
            let all_bits = kernels.accumulate(&mut values, first, step, true);
            let (mut expected, mut all_expected) = (first, 0);
            for place in 0..GROUP {
                if place > 0 {
                    let rest = rests[place];
                    expected = expected.wrapping_add(step).wrapping_add(rest >> 1 ^ (rest & 1).wrapping_neg());
                }
                assert_eq!(values[place], expected, "{kernels:?} place {place}");
                all_expected |= expected;
            }
            assert_eq!(all_bits, all_expected, "{kernels:?}");
        }
    }
}
