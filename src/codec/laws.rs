//! Laws of the codecs as properties, and the worked examples of `storage-format.md`.

use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::document::hex_example;

fn any_values() -> impl Strategy<Value = Values> {
    prop_oneof![
        vec(any::<u64>().prop_map(f64::from_bits), 0..700).prop_map(Values::Float),
        (vec(-5_000_i64..5_000, 0..700), 0_i32..6)
            .prop_map(|(counts, places)| counts.iter().map(|count| *count as f64 / 10_f64.powi(places)).collect())
            .prop_map(Values::Float),
        (vec((-500_i64..500, 0_u32..40), 0..700)).prop_map(|pairs| {
            let odd = [f64::NAN, -0.0, f64::INFINITY, 1e300, 0.1 + 0.2];
            let value = |(count, rare): &(i64, u32)| odd.get(*rare as usize).copied().unwrap_or(*count as f64 / 100.0);
            Values::Float(pairs.iter().map(value).collect())
        }),
        (vec(any::<i64>(), 0..700), 0_u32..64)
            .prop_map(|(values, shift)| Values::Integer(values.iter().map(|value| value >> shift).collect())),
        (vec(any::<i64>(), 0..700), 0_u32..64, any::<i64>()).prop_map(|(steps, shift, start)| {
            let mut total = start;
            Values::Integer(
                steps
                    .iter()
                    .map(|step| {
                        total = total.wrapping_add(step >> shift);
                        total
                    })
                    .collect(),
            )
        }),
        vec(any::<bool>(), 0..700).prop_map(Values::Boolean),
        vec(0_usize..300, 0..20).prop_map(|runs| {
            let run = |(place, length): (usize, &usize)| std::iter::repeat_n(place % 2 == 0, *length);
            Values::Boolean(runs.iter().enumerate().flat_map(run).collect())
        }),
        vec("[a-c]{0,3}|\\PC{0,20}", 0..300).prop_map(|texts| {
            let codes = 0..texts.len() as u32;
            Values::Text(TextValues { dictionary: texts.into_iter().map(Arc::from).collect(), codes: codes.collect() })
        }),
    ]
}

fn any_times() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        btree_set(any::<i64>(), 0..600).prop_map(|times| times.into_iter().collect()),
        (0_i64..2_000_000_000, 1_i64..100_000, vec(1_i64..4, 0..600)).prop_map(|(start, unit, steps)| {
            let mut time = start * 1_000_000_000;
            steps
                .iter()
                .map(|step| {
                    time += step * unit * 1_000;
                    time
                })
                .collect()
        }),
    ]
}

fn any_tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Fast), Just(Tier::Cold)]
}

/// The same values, floats compared bit for bit and texts by their text.
fn same(a: &Values, b: &Values) -> bool {
    a.metric_type() == b.metric_type() && a.len() == b.len() && (0..a.len()).all(|index| a.get(index) == b.get(index))
}

fn damaged(mut bytes: Vec<u8>, place: usize, bit: u8, cut: bool) -> Vec<u8> {
    let place = place % bytes.len();
    if cut {
        bytes.truncate(place);
    } else {
        bytes[place] ^= 1 << bit;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn values_come_back_from_either_tier(values in any_values()) {
        let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
            let mut bytes = vec![7];
            tier.encode_values(&values, &mut bytes).unwrap();
            assert!(same(&values, &decode_values(&bytes[1..], values.metric_type(), values.len()).unwrap()), "{tier:?}");
            bytes
        });
        prop_assert!(fast[0] == 7 && cold[0] == 7 && cold.len() <= fast.len());
    }

    #[test]
    fn times_come_back_from_either_tier(times in any_times()) {
        let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
            let mut bytes = vec![7];
            tier.encode_times(&times, &mut bytes);
            assert_eq!(decode_times(&bytes[1..], times.len()).unwrap(), times, "{tier:?}");
            bytes
        });
        prop_assert!(fast[0] == 7 && cold[0] == 7 && cold.len() <= fast.len());
    }

    #[test]
    fn presence_comes_back(positions in btree_set(0_u32..2_000, 0..800), more in 0_usize..500) {
        let positions: Vec<u32> = positions.into_iter().collect();
        let rows = positions.last().map_or(0, |last| *last as usize + 1) + more;
        let mut bytes = Vec::new();
        encode_presence(&Presence::Positions(positions.clone()), rows, &mut bytes);
        let (back, present) = decode_presence(&bytes, rows).unwrap();
        prop_assert_eq!(present, positions.len());
        let expected = if present == rows { Presence::All } else { Presence::Positions(positions) };
        prop_assert_eq!(back, expected);
    }

    /// A flipped bit or a cut end is an error or other values of the same number: never a panic.
    #[test]
    fn damaged_values_never_panic(values in any_values(), tier in any_tier(), place: usize, bit in 0_u8..8, cut: bool) {
        let mut bytes = Vec::new();
        tier.encode_values(&values, &mut bytes).unwrap();
        let bytes = damaged(bytes, place, bit, cut);
        match decode_values(&bytes, values.metric_type(), values.len()) {
            Ok(back) => prop_assert!(!cut && back.len() == values.len()),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corruption),
        }
    }

    #[test]
    fn damaged_times_rise_or_are_refused(times in any_times(), tier in any_tier(), place: usize, bit in 0_u8..8, cut: bool) {
        let mut bytes = Vec::new();
        tier.encode_times(&times, &mut bytes);
        let bytes = damaged(bytes, place, bit, cut);
        match decode_times(&bytes, times.len()) {
            Ok(back) => prop_assert!(!cut && back.len() == times.len() && back.windows(2).all(|pair| pair[0] < pair[1])),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corruption),
        }
    }

    #[test]
    fn bytes_from_anywhere_never_panic(mut bytes in vec(any::<u8>(), 0..400), code in 0_u8..18, count in 0_usize..3_000) {
        if let Some(first) = bytes.first_mut() {
            *first = code;
        }
        for metric_type in [MetricType::Float, MetricType::Integer, MetricType::Boolean, MetricType::Text] {
            if let Ok(values) = decode_values(&bytes, metric_type, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
        if let Ok(times) = decode_times(&bytes, count) {
            prop_assert!(times.len() == count && times.windows(2).all(|pair| pair[0] < pair[1]));
        }
        if let Ok((Presence::Positions(positions), present)) = decode_presence(&bytes, count) {
            prop_assert!(positions.len() == present && positions.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(positions.last().is_none_or(|last| (*last as usize) < count));
        }
    }
}

#[track_caller]
fn check_values_example(name: &str, values: &Values) {
    let example = hex_example(name);
    let mut bytes = Vec::new();
    encode_values(values, &mut bytes).unwrap();
    assert_eq!(bytes, example, "{name}");
    assert!(same(values, &decode_values(&example, values.metric_type(), values.len()).unwrap()), "{name}");
}

#[test]
fn value_examples_of_the_document() {
    let integers = |values: &[i64]| Values::Integer(values.to_vec());
    check_values_example("integers-frame", &integers(&[100, 103, 101, 100]));
    check_values_example("integers-patched", &integers(&[0, 1, 0, 1, 1, 0, 0, 1, 1_000, 0, 1, 0, 0, 1, 1, 0]));
    let rise_and_fall: Vec<i64> = (0..17).map(|i| 3 * i).chain([45]).collect();
    check_values_example("integers-difference", &integers(&rise_and_fall));
    check_values_example("integers-counter", &integers(&[1_000, 2_010, 3_021, 4_030, 5_041, 6_050, 7_060, 8_071]));
    let jitter = [0, 5, 1, 7, 0, 6, 2, 7, 1, 4, 3, 7, 0, 5, 2, 6, 1, 7, 0, 4, 3, 6, 2, 0];
    let line: Vec<i64> = jitter.iter().zip(0..).map(|(jitter, place)| 1_000 * place + jitter).collect();
    check_values_example("integers-line", &integers(&line));
    check_values_example("values-raw", &Values::Float(vec![1.5]));
    check_values_example("values-constant", &Values::Float(vec![1.5; 1_000]));
    let nan = f64::from_bits(0x7ff8_0000_0000_0000);
    check_values_example("floats-decimals", &Values::Float(vec![21.50, 21.52, 21.49, nan, 21.51, 21.50, 21.53, 21.50]));
    let bitmap = [true, false, true, true, false, false, false, false, true];
    check_values_example("booleans-bitmap", &Values::Boolean(bitmap.to_vec()));
    check_values_example("booleans-runs", &Values::Boolean((0..20).map(|i| i >= 8).collect()));
    let dictionary = vec![Arc::from("ok"), Arc::from("fail")];
    check_values_example("texts-dictionary", &Values::Text(TextValues { dictionary, codes: vec![0, 0, 1, 0] }));
    // Columns as short as these are written in other ways: they are only read.
    let read = |name: &str, expected: &Values| {
        let values = decode_values(&hex_example(name), expected.metric_type(), expected.len()).unwrap();
        assert!(same(&values, expected), "{name}: {values:?}");
    };
    read("grouped-integers-frame", &integers(&[100, 103, 101, 100]));
    let counter = [1_000, 2_010, 3_021, 4_030, 5_041, 6_050, 7_060, 8_071, 9_080];
    read("grouped-integers-differences", &integers(&counter));
    read("grouped-integers-patched", &integers(&[0, 1, 0, 1, 1, 0, 0, 1_000]));
    read("grouped-decimals", &Values::Float(vec![21.50, 21.52, 21.49, nan, 21.51, 21.50, 21.53, 21.50]));
    let third = 1.0 / 3.0;
    read("real-doubles", &Values::Float(vec![third, 2.0 / 3.0, nan, third]));
    read("compressed-integers", &integers(&[100, 103, 101, 100]));
    read("compressed-decimals", &Values::Float(vec![21.50, 21.52, 21.49, nan, 21.51, 21.50, 21.53, 21.50]));
    read("compressed-floats", &Values::Float(vec![1.0 / 3.0, 2.0 / 3.0]));
    let dictionary = vec![Arc::from("ok"), Arc::from("fail")];
    read("compressed-texts", &Values::Text(TextValues { dictionary, codes: vec![0, 0, 1, 0] }));
    // No compressor writes this frame: it is only read.
    let shuffled = decode_values(&hex_example("floats-shuffled"), MetricType::Float, 16).unwrap();
    assert!(same(&shuffled, &Values::Float(vec![1.0 / 3.0; 16])));
}

#[test]
fn time_and_presence_examples_of_the_document() {
    let minutes = |start: i64, minutes: &[i64]| minutes.iter().map(|m| start + m * 60_000_000_000).collect::<Vec<_>>();
    for (name, times) in [
        ("times-regular", minutes(1_735_689_600_000_000_000, &[0, 1, 2, 3, 4])),
        ("times-packed", minutes(0, &[0, 1, 2, 4, 5])),
    ] {
        let mut bytes = Vec::new();
        encode_times(&times, &mut bytes);
        assert_eq!(bytes, hex_example(name), "{name}");
        assert_eq!(decode_times(&bytes, times.len()).unwrap(), times, "{name}");
    }
    // As short as this, times are written in other ways: they are only read.
    for name in ["times-grouped", "times-compressed"] {
        assert_eq!(decode_times(&hex_example(name), 5).unwrap(), minutes(0, &[0, 1, 2, 4, 5]), "{name}");
    }
    for (name, presence, rows) in [
        ("presence-all", Presence::All, 12),
        ("presence-bitmap", Presence::Positions(vec![0, 2, 3, 7, 8, 10]), 12),
        ("presence-list", Presence::Positions(vec![5, 600]), 1_000),
    ] {
        let mut bytes = Vec::new();
        encode_presence(&presence, rows, &mut bytes);
        assert_eq!(bytes, hex_example(name), "{name}");
        assert_eq!(decode_presence(&bytes, rows).unwrap().0, presence, "{name}");
    }
}

/// What a reader must check beyond lengths, one broken example for each sentence of the document.
#[test]
fn broken_spellings_are_refused() {
    let integer = MetricType::Integer;
    for (bytes, metric_type, count) in [
        (&[2_u8, 0x41, 0x48, 0][..], integer, 1),          // 65 and 36 bits
        (&[2, 2, 0, 0, 0b1000_0000], integer, 3),          // a bit behind the last value
        (&[2, 0x81, 0, 0, 1], integer, 2),                 // a difference before the first value
        (&[2, 1, 18, 0, 0, 2, 3, 3, 1, 2, 4], integer, 8), // two patches at one place
        (&[2, 1, 2, 0, 0, 1, 9, 1], integer, 8),           // a patch behind the last value
        (&[2, 1, 2, 0, 0, 1, 3, 0], integer, 8),           // a patch of zero
        (&[3, 0x60, 0, 0, 0, 0], MetricType::Float, 3),    // no such form
        (&[3, 19, 0, 0, 0, 0], MetricType::Float, 3),      // too many places
        (&[3, 0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 8], MetricType::Float, 3), // 2^51
        (&[6, 0, 2, 0, 1], MetricType::Boolean, 3),        // an empty run
        (&[6, 4], MetricType::Boolean, 3),                 // too long a run
        (&[5, 9], MetricType::Boolean, 3),                 // a bit behind the last value
        (&[7, 1, 1, 0, 0xff, 0, 0, 0], MetricType::Text, 2), // not UTF-8
        (&[7, 2, 1, 1, 0, 97, 97, 1, 0, 0, 2], MetricType::Text, 2), // one text twice
        (&[7, 2, 1, 1, 0, 97, 98, 1, 0, 0, 1], MetricType::Text, 2), // not in order of first use
        (&[7, 2, 1, 1, 0, 97, 98, 0, 0, 0], MetricType::Text, 2), // an unused text
        (&[7, 1, 1, 0, 97, 1, 0, 0, 2], MetricType::Text, 2), // a code without a text
        (&[7, 1, 1, 2, 97, 0, 0, 0], MetricType::Text, 2), // no such way to store
        (&[99, 0], integer, 1),                            // no such encoding
        (&[3, 0, 0, 0, 0, 0], integer, 3),                 // an encoding of another type
    ] {
        let result = decode_values(bytes, metric_type, count);
        assert_eq!(result.map(|values| values.len()).unwrap_err().kind(), ErrorKind::Corruption, "{bytes:?}");
    }
    for bytes in [&[1_u8, 0xff, 0x0f][..], &[1, 0xff, 0x1f], &[2, 12, 0, 0, 0], &[2, 2, 0, 0, 0], &[3]] {
        assert_eq!(decode_presence(bytes, 12).unwrap_err().kind(), ErrorKind::Corruption, "{bytes:?}");
    }
}

/// Every example of the document with each bit flipped and each end cut: an error, or as many values.
#[test]
fn every_flip_and_cut_of_the_examples_is_survived() {
    let values = [
        ("integers-frame", MetricType::Integer, 4),
        ("integers-patched", MetricType::Integer, 16),
        ("integers-difference", MetricType::Integer, 18),
        ("integers-counter", MetricType::Integer, 8),
        ("integers-line", MetricType::Integer, 24),
        ("values-raw", MetricType::Float, 1),
        ("values-constant", MetricType::Float, 1_000),
        ("floats-decimals", MetricType::Float, 8),
        ("grouped-integers-frame", MetricType::Integer, 4),
        ("grouped-integers-differences", MetricType::Integer, 9),
        ("grouped-integers-patched", MetricType::Integer, 8),
        ("grouped-decimals", MetricType::Float, 8),
        ("real-doubles", MetricType::Float, 4),
        ("compressed-integers", MetricType::Integer, 4),
        ("compressed-decimals", MetricType::Float, 8),
        ("compressed-floats", MetricType::Float, 2),
        ("compressed-texts", MetricType::Text, 4),
        ("floats-shuffled", MetricType::Float, 16),
        ("booleans-bitmap", MetricType::Boolean, 9),
        ("booleans-runs", MetricType::Boolean, 20),
        ("texts-dictionary", MetricType::Text, 4),
    ];
    for (name, metric_type, count) in values {
        survives(name, |bytes| decode_values(bytes, metric_type, count).map(|values| values.len()), count);
    }
    for name in ["times-regular", "times-packed", "times-grouped", "times-compressed"] {
        survives(name, |bytes| decode_times(bytes, 5).map(|times| times.len()), 5);
    }
    for (name, rows) in [("presence-all", 12), ("presence-bitmap", 12), ("presence-list", 1_000)] {
        let checked = |bytes: &[u8]| {
            let (presence, present) = decode_presence(bytes, rows)?;
            let listed = if let Presence::Positions(positions) = presence { positions.len() } else { rows };
            assert!(listed == present && present <= rows, "{name}");
            Ok(rows)
        };
        survives(name, checked, rows);
    }
}

#[track_caller]
fn survives(name: &str, decode: impl Fn(&[u8]) -> Result<usize>, count: usize) {
    let example = hex_example(name);
    assert_eq!(decode(&example).unwrap(), count, "{name}");
    for cut in 0..example.len() {
        assert_eq!(decode(&example[..cut]).unwrap_err().kind(), ErrorKind::Corruption, "{name} cut to {cut} bytes");
    }
    for bit in 0..example.len() * 8 {
        let mut bytes = example.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match decode(&bytes) {
            Ok(decoded) => assert_eq!(decoded, count, "{name} with bit {bit} flipped"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{name} with bit {bit} flipped"),
        }
    }
}
