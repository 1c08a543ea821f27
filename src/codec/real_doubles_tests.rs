//! Real doubles: every one comes back bit for bit from every place, alone and in part; what no writer makes is refused.

use proptest::prelude::*;

use super::bits::GROUP;
use super::kernels::Kernels;
use super::real_doubles::{RealDoubles, encode};
use super::{Tier, decode_values, decode_values_at, value_code, values_encoding};
use crate::bytes::Reader;
use crate::document::hex_example;
use crate::error::ErrorKind;
use crate::model::{MetricType, Values};

const ODD: [f64; 11] = [
    f64::NAN,
    f64::from_bits(0x7ff0_0000_0000_0001),
    f64::from_bits(0xffff_dead_beef_cafe),
    -0.0,
    0.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::from_bits(1),
    -f64::MIN_POSITIVE / 2.0,
    f64::MAX,
    -1e-300,
];

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Bits of a linear congruential generator with its weak lowest ones dropped (D. Knuth's MMIX constants), as numbers below 1.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A walk whose steps are shares of the value, as of what ages, drifts or grows: no decimals.
fn log_walk(count: usize, share: f64) -> Vec<f64> {
    let (mut noise, mut level) = (noise(3), 3.0_f64);
    let mut step = || (0..12).map(|_| noise()).sum::<f64>() - 6.0;
    (0..count)
        .map(|_| {
            level += share * step();
            level.exp()
        })
        .collect()
}

/// The bytes of values, where they are smaller so; they come back on every level, in whole and in part.
#[track_caller]
fn check(values: &[f64]) -> Option<usize> {
    let mut bytes = Vec::new();
    if !encode(values, &mut bytes) {
        assert!(bytes.is_empty());
        return None;
    }
    assert!(bytes.len() < values.len() * 8);
    let (from, to) = (values.len() / 3, values.len() - values.len() / 4);
    Kernels::on_each_level(|kernels| {
        let read = || RealDoubles::read(Reader::new(&bytes), values.len()).unwrap();
        assert_eq!(bits(&read().decode(0..values.len()).unwrap()), bits(values), "{kernels:?}");
        assert_eq!(bits(&read().decode(from..to).unwrap()), bits(&values[from..to]), "{kernels:?}");
        assert!(read().decode(to..to).unwrap().is_empty());
    });
    Some(bytes.len())
}

#[test]
fn odd_doubles_come_back_from_every_place() {
    let plain = log_walk(3 * GROUP + 44, 0.01);
    for place in (0..GROUP + 2).chain([2 * GROUP - 1, 2 * GROUP, plain.len() - 1]) {
        let mut values = plain.clone();
        values[place] = ODD[place % ODD.len()];
        assert!(check(&values).is_some());
    }
    let mut values = plain.clone();
    for run in [0..9, 250..260, 300..555, 800..812] {
        run.for_each(|place| values[place] = ODD[place % ODD.len()]);
    }
    assert!(check(&values).is_some());
    // Nothing else: left parts of any kind, and right ones of zeros.
    check(&(0..700).map(|place| ODD[place % ODD.len()]).collect::<Vec<_>>());
    check(&(0..700).map(|place| ODD[place % 8 + 3]).collect::<Vec<_>>());
}

#[test]
fn dictionaries_of_every_size_come_back() {
    for kinds in 1..=12_u64 {
        for count in [256, 257, 300, 511, 512] {
            let mut noise = noise(kinds);
            let value = |place: u64| {
                let right = (noise() * (1_u64 << 48) as f64) as u64;
                f64::from_bits((place * place % kinds * 977 + 1) << 48 | right)
            };
            assert!(check(&(0..count).map(value).collect::<Vec<_>>()).is_some(), "{kinds} {count}");
        }
    }
}

#[test]
fn walks_take_what_the_document_says() {
    // Bytes a value; raw ones take 8.
    for (share, most) in [(0.0001, 6.03), (0.001, 6.09), (0.01, 6.43), (0.1, 6.84)] {
        let values = log_walk(43_200, share);
        let mut bytes = Vec::new();
        Tier::Fast.encode_values(&Values::Float(values.clone()), &mut bytes).unwrap();
        let measured = bytes.len() as f64 / values.len() as f64;
        assert_eq!(values_encoding(&bytes), "real doubles", "{measured}");
        assert!(measured <= most && measured > most - 0.03, "{share}: {measured} bytes a value");
        let Values::Float(back) = decode_values(&bytes, MetricType::Float, values.len()).unwrap() else { panic!() };
        assert_eq!(bits(&back), bits(&values));
        let part = decode_values_at(&bytes, MetricType::Float, values.len(), 20_000..20_700).unwrap();
        let Values::Float(part) = part else { panic!() };
        assert_eq!(bits(&part), bits(&values[20_000..20_700]));
    }
}

#[test]
fn what_is_no_shorter_than_raw_stays_raw() {
    let mut noise = noise(9);
    // Every exponent, sign and mantissa.
    let any: Vec<f64> = (0..2_000)
        .map(|_| f64::from_bits((noise() * 4_294_967_296.0) as u64 | ((noise() * 4_294_967_296.0) as u64) << 32))
        .collect();
    assert_eq!(check(&any), None);
    assert_eq!(check(&[]), None);
}

#[test]
fn what_a_reader_must_check_is_refused() {
    let good = hex_example("real-doubles");
    assert_eq!(good[0], value_code::REAL_DOUBLES);
    let read = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        decode_values(&bytes, MetricType::Float, 4).map(|values| values.len()).map_err(|error| error.kind())
    };
    assert_eq!(read(&|_| ()), Ok(4));
    // In the example: cut, number of left parts less 1, number of exceptions, two left parts, three planes, a place, a left part.
    let (planes, place) = (8, 8 + 96);
    let changes: [(&dyn Fn(&mut Vec<u8>), &str); 14] = [
        (&|bytes| bytes[1] = 47, "a left part of 17 bits"),
        (&|bytes| bytes[1] = 64, "no left part"),
        (&|bytes| bytes[2] = 8, "nine left parts"),
        (&|bytes| bytes[2] = 255, "256 left parts"),
        (&|bytes| bytes[3] = 2, "an exception too many"),
        (&|bytes| bytes[3] = 0, "an exception too few"),
        (&|bytes| bytes[5] = 0x13, "a left part of 13 bits"),
        (&|bytes| bytes[planes + 4 * 4] = 1, "a bit behind the last code"),
        (&|bytes| bytes[planes + 32 + 4 * 4] = 1, "a bit behind the last lower half"),
        (&|bytes| bytes[planes + 64 + 4 * 4] = 1, "a bit behind the last upper half"),
        (&|bytes| bytes[place] = 4, "an exception behind the last value"),
        (&|bytes| bytes[place + 2] = 0x17, "an exception of 13 bits"),
        (&|bytes| bytes.push(0), "a byte too many"),
        (&|bytes| bytes.truncate(good.len() - 1), "a byte too few"),
    ];
    for (change, what) in changes {
        assert_eq!(read(change), Err(ErrorKind::Corruption), "{what}");
    }
    // Three left parts have codes of two bits, and a fourth code.
    let mut codes = [&good[..2], &[2, 0, 1, 0, 2, 0, 3, 0], &good[planes..place]].concat();
    assert!(decode_values(&codes, MetricType::Float, 4).is_ok());
    codes[10] = 3;
    assert_eq!(decode_values(&codes, MetricType::Float, 4).unwrap_err().kind(), ErrorKind::Corruption);
    // Exceptions that do not rise.
    let mut twice = [&good[..3], &[2], &good[4..place], &[2, 2, 0xff, 7, 0xff, 7]].concat();
    assert_eq!(decode_values(&twice, MetricType::Float, 4).unwrap_err().kind(), ErrorKind::Corruption);
    twice[place + 1] = 3;
    assert!(decode_values(&twice, MetricType::Float, 4).is_ok());
    // The heads of so many groups do not lie in so few bytes.
    let many = decode_values(&good, MetricType::Float, super::COUNT_MAX).unwrap_err();
    assert_eq!(many.kind(), ErrorKind::Corruption);
}

/// Doubles that an encoder may meet: any bits, few left parts, walks, odd ones among others.
fn doubles() -> impl Strategy<Value = Vec<f64>> {
    let bits = prop::collection::vec((any::<u64>(), 0_usize..60), 1..900);
    (bits, 0_u8..4, 0_u32..64, any::<u64>()).prop_map(|(words, kind, shift, seed)| {
        let mut level = (seed >> 12) as f64 / 1e9;
        let value = |(word, rare): &(u64, usize)| match (kind, ODD.get(*rare)) {
            (0, _) => f64::from_bits(*word),
            (1, _) => f64::from_bits(word >> shift | seed & !(u64::MAX >> shift)),
            (2, Some(odd)) => *odd,
            _ => {
                level *= 1.0 + (*word as f64 / u64::MAX as f64 - 0.5) / (1_u64 << (shift % 20)) as f64;
                level
            }
        };
        words.iter().map(value).collect()
    })
}

proptest! {
    #[test]
    fn any_doubles_come_back(values in doubles()) {
        check(&values);
        for tier in [Tier::Fast, Tier::Cold] {
            let mut bytes = Vec::new();
            tier.encode_values(&Values::Float(values.clone()), &mut bytes).unwrap();
            let Values::Float(back) = decode_values(&bytes, MetricType::Float, values.len()).unwrap() else { panic!() };
            prop_assert_eq!(bits(&back), bits(&values));
        }
    }

    #[test]
    fn damage_is_an_error_or_as_many_other_doubles(values in doubles(), place: usize, bit in 0_u8..8, cut: bool) {
        let mut bytes = Vec::new();
        if !encode(&values, &mut bytes) {
            return Ok(());
        }
        let place = place % bytes.len();
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        let read = RealDoubles::read(Reader::new(&bytes), values.len());
        match read.and_then(|read| read.decode(0..values.len())) {
            Ok(back) => prop_assert!(!cut && back.len() == values.len()),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corruption),
        }
    }
}
