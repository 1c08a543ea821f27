//! Whole columns on every level of kernels that this machine can run: one machine's bytes are another's, and so are its answers.

use std::collections::BTreeSet;

use super::bits::GROUP;
use super::kernels::Kernels;
use super::*;

/// SplitMix64 (S. Steele et al., 2014).
fn noise(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Integers of every width, in frames, as differences and on lines, with and without patches.
fn integers() -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    for width in 0..=64_u32 {
        let mut random = noise(u64::from(width));
        let mut number = || random().checked_shr(64 - width).unwrap_or(0) as i64;
        let frame: Vec<i64> = (0..900).map(|_| number()).collect();
        let patched = frame.iter().enumerate().map(|(place, value)| if place % 41 == 7 { *value } else { value & 7 });
        all.push(patched.collect());
        let mut total = 0_i64;
        let walk = frame.iter().map(|step| {
            total = total.wrapping_add(*step);
            total
        });
        all.push(walk.collect());
        all.push(
            frame.iter().enumerate().map(|(place, value)| (value >> 3).wrapping_add(place as i64 * 5_000)).collect(),
        );
        all.push(frame);
    }
    all
}

fn floats() -> Vec<Vec<f64>> {
    let mut random = noise(77);
    let mut level = 2_000_i64;
    let walk: Vec<i64> = (0..1_900)
        .map(|_| {
            level += random() as i64 % 5;
            level
        })
        .collect();
    let mut odd: Vec<f64> = walk.iter().map(|value| *value as f64 / 1e3).collect();
    (odd[0], odd[255], odd[1_024], odd[1_899]) = (f64::NAN, -0.0, f64::INFINITY, f64::from_bits(1));
    let mut all = vec![odd];
    for places in 0..=15 {
        let power = 10_f64.powi(places);
        all.push(walk.iter().map(|value| *value as f64 / power).collect());
        all.push(walk.iter().map(|value| *value as f64 * (1.0 / power)).collect());
        all.push(walk.iter().map(|value| f64::from((*value as f64 / power) as f32)).collect());
        // As far out as decimals reach, in narrow groups and in wide ones.
        all.push(walk.iter().map(|value| ((1_i64 << 51) - value) as f64 / power).collect());
        all.push(walk.iter().map(|value| (value * value * 40_000_000) as f64 / power).collect());
    }
    // No decimals: near one left part, over many, and of all kinds.
    all.push(walk.iter().map(|value| (*value as f64).sqrt()).collect());
    all.push(walk.iter().map(|value| (*value as f64 / 50.0).exp()).collect());
    all.push((0..700).map(|_| (random() >> 11) as f64 / (1_u64 << 53) as f64).collect());
    all.push((0..700).map(|_| f64::from_bits(random())).collect());
    all
}

/// What packed groups say, as text: sums, bounds, offsets, floats by their bits, masks and summaries.
fn packed(bytes: &[u8], metric_type: MetricType, count: usize) -> String {
    let Some(packed) = PackedValues::read(bytes, metric_type, count).unwrap() else { return String::new() };
    let mut said = String::new();
    for group in 0..packed.groups() {
        let length = GROUP.min(count - group * GROUP);
        let (mut offsets, mut floats, mut mask) = ([0; GROUP], [0.0; GROUP], [u32::MAX; GROUP]);
        packed.offsets(group, &mut offsets).unwrap();
        packed.floats(group, &offsets, &mut floats);
        let mut at_once = [0.0; GROUP];
        packed.unpack_floats(group, &mut [0; GROUP], &mut at_once).unwrap();
        assert!((0..length).all(|place| at_once[place].to_bits() == floats[place].to_bits()), "group {group}");
        packed.mask_between(&offsets, (offsets[0].min(offsets[1]), offsets[0].max(offsets[1])), false, &mut mask);
        let summary = packed.summarise(&offsets[..length], Some(&mask[..length]), SummaryOf::Squares);
        let bits: Vec<u64> = floats[..length].iter().map(|float| float.to_bits()).collect();
        said += &format!("{:?} {:?} {:?}", packed.sum(group).unwrap(), packed.bounds(group), &offsets[..length]);
        said += &format!("{bits:x?} {:?} {summary:?}", &mask[..length]);
    }
    said
}

/// Encodes and decodes on each level; all of it is the same on all.
fn check<T: PartialEq>(encode: impl Fn() -> Vec<u8>, read: impl Fn(&[u8]) -> T) -> Vec<u8> {
    let first = encode();
    let (mut levels, truth) = (0, read(&first));
    Kernels::on_each_level(|kernels| {
        assert!(encode() == first, "{kernels:?} writes other bytes");
        assert!(read(&first) == truth, "{kernels:?} reads otherwise");
        levels += 1;
    });
    assert_eq!(levels, Kernels::available().len());
    first
}

#[test]
fn columns_are_the_same_on_every_level() {
    let columns = integers().into_iter().map(Values::Integer).chain(floats().into_iter().map(Values::Float));
    let mut encodings = BTreeSet::new();
    for (number, values) in columns.enumerate() {
        let (metric_type, count) = (values.metric_type(), values.len());
        for tier in [Tier::Fast, Tier::Cold] {
            // The cold tier takes its time: a few columns of each kind.
            if tier == Tier::Cold && number % 9 > 0 {
                continue;
            }
            let encode = || {
                let mut bytes = Vec::new();
                tier.encode_values(&values, &mut bytes).unwrap();
                bytes
            };
            let bytes = check(encode, |bytes| {
                let all = decode_values(bytes, metric_type, count).unwrap();
                // Floats are equal where their bits are.
                assert!((0..count).all(|place| all.get(place) == values.get(place)), "column {number}");
                let part = decode_values_at(bytes, metric_type, count, 200..count - 200).unwrap();
                assert!((200..count - 200).all(|place| part.get(place - 200) == values.get(place)), "column {number}");
                packed(bytes, metric_type, count)
            });
            encodings.insert(values_encoding(&bytes));
        }
    }
    for encoding in
        ["grouped integers", "grouped decimals", "real doubles", "compressed integers", "compressed decimals"]
    {
        assert!(encodings.contains(encoding), "{encoding} is not among {encodings:?}");
    }
}

#[test]
fn times_are_the_same_on_every_level() {
    let mut random = noise(5);
    let mut rising = |limit: u64, unit: i64| {
        let mut time = 1_700_000_000_000_000_000_i64;
        (0..1_500)
            .map(|_| {
                time += unit * (1 + (random() % limit) as i64);
                time
            })
            .collect::<Vec<_>>()
    };
    for times in [
        rising(1, 60_000_000_000),
        rising(2, 60_000_000_000),
        rising(3_000, 1_000_000),
        rising(1 << 40, 1),
        rising(1 << 52, 1),
    ] {
        for tier in [Tier::Fast, Tier::Cold] {
            let encode = || {
                let mut bytes = Vec::new();
                tier.encode_times(&times, &mut bytes);
                bytes
            };
            check(encode, |bytes| {
                assert!(decode_times(bytes, times.len()).unwrap() == times);
                let mut packed = PackedTimes::read(bytes, times.len()).unwrap();
                let found: Vec<usize> = times.iter().map(|time| packed.first_from(0, *time + 1).unwrap()).collect();
                assert!((0..times.len()).all(|row| packed.at(row).unwrap() == times[row] && found[row] == row + 1));
            });
        }
    }
}
