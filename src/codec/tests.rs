//! Laws of the codecs: what goes in comes out bit for bit, and damaged bytes never panic.

use std::sync::Arc;

use super::*;

/// SplitMix64 (S. Steele et al., 2014): sample data without a dependency on any other generator.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About normal, deviation 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn encoded(values: &Values) -> Vec<u8> {
    let mut out = vec![0xaa];
    encode_values(values, &mut out).unwrap();
    assert_eq!(out.remove(0), 0xaa, "what stood in the vector stays");
    out
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[track_caller]
fn check_floats(values: &[f64]) -> Vec<u8> {
    let bytes = encoded(&Values::Float(values.to_vec()));
    let Values::Float(back) = decode_values(&bytes, MetricType::Float, values.len()).unwrap() else { panic!("type") };
    assert_eq!(bits(&back), bits(values));
    assert!(bytes.len() <= 1 + values.len() * 8, "never longer than raw");
    bytes
}

#[track_caller]
fn check_integers(values: &[i64]) -> Vec<u8> {
    let bytes = encoded(&Values::Integer(values.to_vec()));
    let Values::Integer(back) = decode_values(&bytes, MetricType::Integer, values.len()).unwrap() else {
        panic!("type")
    };
    assert_eq!(back, values);
    assert!(bytes.len() <= 1 + values.len() * 8, "never longer than raw");
    bytes
}

#[track_caller]
fn check_times(times: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_times(times, &mut bytes);
    assert_eq!(decode_times(&bytes, times.len()).unwrap(), times);
    assert!(bytes.len() <= 1 + times.len() * 8, "never longer than raw");
    bytes
}

#[track_caller]
fn check_texts(texts: &[&str]) -> Vec<u8> {
    let mut values = TextValues::default();
    for text in texts {
        let place = values.dictionary.iter().position(|known| &**known == *text).unwrap_or_else(|| {
            values.dictionary.push(Arc::from(*text));
            values.dictionary.len() - 1
        });
        values.codes.push(place as u32);
    }
    let bytes = encoded(&Values::Text(values));
    let Values::Text(back) = decode_values(&bytes, MetricType::Text, texts.len()).unwrap() else { panic!("type") };
    assert_eq!((0..texts.len()).map(|index| back.get(index)).collect::<Vec<_>>(), texts);
    bytes
}

fn walk(count: usize, step: f64, decimals: i32) -> Vec<f64> {
    let (mut noise, mut level, scale) = (Noise(7), 20.0, 10_f64.powi(decimals));
    (0..count)
        .map(|_| {
            level += step * noise.normal();
            (level * scale).round() / scale
        })
        .collect()
}

#[test]
fn quantised_walks_take_less_than_a_byte_a_value() {
    for (step, decimals, bytes_a_value) in [(0.06, 2, 0.80), (0.15, 1, 0.55), (0.02, 3, 1.0)] {
        let values = walk(43_200, step, decimals);
        let bytes = check_floats(&values);
        assert_eq!(values_encoding(&bytes), "grouped decimals");
        let measured = bytes.len() as f64 / values.len() as f64;
        assert!(measured <= bytes_a_value, "{measured} bytes a value at {decimals} decimals");
    }
}

#[test]
fn every_way_to_make_a_decimal_is_found() {
    let counts: Vec<i64> = walk(1_000, 3.0, 0).iter().map(|value| *value as i64).collect();
    type Form = fn(f64) -> f64;
    let forms: [(&str, Form); 4] = [
        ("quotient", |count| count / 100.0),
        ("product", |count| count * 0.1),
        ("single", |count| f64::from((count / 10.0) as f32)),
        ("whole", |count| count),
    ];
    for (name, form) in forms {
        let bytes = check_floats(&counts.iter().map(|count| form(*count as f64)).collect::<Vec<_>>());
        assert_eq!(values_encoding(&bytes), "grouped decimals", "{name}");
        assert!(bytes.len() < 1_100, "{name}: {} bytes", bytes.len());
    }
}

#[test]
fn exceptions_are_patched_bit_for_bit() {
    let special = [
        f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(0xffff_dead_beef_cafe),
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::MAX,
        f64::MIN,
        std::f64::consts::PI,
        4.5e15,
        -9.007_199_254_740_993e15,
    ];
    let mut values = walk(1_000, 0.1, 2);
    for (place, value) in special.iter().enumerate() {
        values[place * 77] = *value;
    }
    let bytes = check_floats(&values);
    assert_eq!(values_encoding(&bytes), "grouped decimals");
    assert!(bytes.len() < 1_300, "{} bytes", bytes.len());
    // Exceptions first, last, and next to each other; then too many of them.
    values[0] = f64::NAN;
    values[998] = f64::NAN;
    values[999] = -0.0;
    check_floats(&values);
    for place in 0..100 {
        values[place * 10] = f64::from_bits(place as u64 + 1);
    }
    assert!(!values_encoding(&check_floats(&values)).ends_with("decimals"));
    check_floats(&special);
    for value in special {
        check_floats(&[value]);
        check_floats(&[value; 300]);
    }
}

#[test]
fn random_doubles_lose_at_most_a_byte() {
    let mut noise = Noise(3);
    let units: Vec<f64> = (0..5_000).map(|_| noise.unit()).collect();
    let bytes = check_floats(&units);
    assert_eq!(values_encoding(&bytes), "real doubles");
    assert!(bytes.len() * 10 < units.len() * 70, "{} bytes", bytes.len());
    assert_eq!(values_encoding(&check_floats(&units[..200])), "shuffled", "less than a group");
    // A byte of most values is the same: what reads faster is not worth an eighth of the bytes.
    let few: Vec<f64> = units.iter().map(|unit| f64::from((*unit as f32).to_bits() >> 8)).map(f64::sqrt).collect();
    let repeated: Vec<f64> = (0..5_000).map(|place| few[place % 40]).collect();
    assert_eq!(values_encoding(&check_floats(&repeated)), "shuffled");
    let any: Vec<f64> = (0..5_000).map(|_| f64::from_bits(noise.next())).collect();
    assert_eq!(values_encoding(&check_floats(&any)), "raw");
}

#[test]
fn a_rare_finer_value_refines_the_scale() {
    // The sample is every 32nd of 1,024: all of the values in it have one decimal, a third of the others three.
    let values: Vec<f64> = (0..1_024_i32)
        .map(|i| if i % 32 != 0 && i % 3 == 0 { f64::from(20_000 + i) / 1_000.0 } else { f64::from(i % 50) / 10.0 })
        .collect();
    assert_eq!(values_encoding(&check_floats(&values)), "grouped decimals");
}

#[test]
fn counters_with_resets_are_differences() {
    let mut noise = Noise(5);
    let mut total = 0;
    let counter: Vec<i64> = (0..20_000)
        .map(|i| {
            total = if i % 7_000 == 6_999 { 0 } else { total + 60 + (noise.next() % 4) as i64 };
            total
        })
        .collect();
    assert!(check_integers(&counter).len() < 20_000 * 2 / 5);
}

#[test]
fn extremes_wrap_around() {
    for values in [
        vec![i64::MIN, i64::MAX],
        vec![i64::MAX, i64::MIN, 0, -1, 1],
        (0..300).map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX }).collect(),
        (0..700).map(|i| i64::MAX - i).collect(),
        (0..700).map(|i| i64::MIN + i * i).collect(),
        (0..256).map(|i| if i == 128 { i64::MIN } else { i }).collect(),
        (0..257).map(|i| i64::MAX.wrapping_add(i)).collect(),
        (0..256).map(|i| 1_i64.wrapping_shl(i)).collect(),
        (0..5_000).scan(Noise(1), |noise, _| Some(noise.next() as i64)).collect(),
    ] {
        check_integers(&values);
    }
}

#[test]
fn empty_one_and_constant_columns_are_short() {
    for metric_type in [MetricType::Float, MetricType::Integer, MetricType::Boolean, MetricType::Text] {
        let bytes = encoded(&Values::empty(metric_type));
        assert_eq!(bytes, [0]);
        assert!(decode_values(&bytes, metric_type, 0).unwrap().is_empty());
        assert_eq!(decode_values(&[1], metric_type, 0).unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(decode_values(&[], metric_type, 0).unwrap_err().kind(), ErrorKind::Corruption);
    }
    assert_eq!(check_floats(&[1.5; 100_000]).len(), 9);
    assert_eq!(check_integers(&[-3; 100_000]).len(), 9);
    assert!(check_integers(&[5]).len() <= 4);
    check_times(&[]);
    check_times(&[i64::MIN]);
    assert!(decode_times(&[0], 0).unwrap().is_empty());
}

#[test]
fn times_by_kind() {
    let start = 1_735_689_600_123_000_000;
    let minute = 60_000_000_000;
    let regular: Vec<i64> = (0..10_000).map(|i| start + i * minute).collect();
    let bytes = check_times(&regular);
    assert_eq!(times_encoding(&bytes), "regular");
    assert!(bytes.len() < 20);

    let mut noise = Noise(11);
    let gaps: Vec<i64> = regular.iter().copied().filter(|_| noise.next() % 100 >= 2).collect();
    let bytes = check_times(&gaps);
    assert!(bytes.len() < gaps.len() / 10, "{} bytes for {} times", bytes.len(), gaps.len());

    // Uniform jitter of 3 seconds in milliseconds has 12.55 bits of entropy: 1.57 bytes.
    let jitter: Vec<i64> = regular.iter().map(|time| time + (noise.next() % 6_000) as i64 * 1_000_000).collect();
    let bytes = check_times(&jitter);
    assert!(bytes.len() * 10 < jitter.len() * 17, "{} bytes for {} times", bytes.len(), jitter.len());

    check_times(&[i64::MIN, -1, 0, 1, i64::MAX]);
    check_times(&[i64::MIN, i64::MAX]);
    check_times(&[i64::MAX - 1, i64::MAX]);
    let wild: Vec<i64> = (0..63).map(|i| 1_i64 << i).collect();
    check_times(&wild);
}

#[test]
fn times_that_do_not_rise_are_refused() {
    for (bytes, rows) in [
        // Raw 1 then 1; a step of zero; a step that leaves the range.
        ([&[0_u8][..], &1_i64.to_le_bytes(), &1_i64.to_le_bytes()].concat(), 2),
        (vec![1, 0, 0], 5),
        (vec![1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], 4),
        // Packed: start 0, unit 1, a frame group (width 0, base 0) makes all offsets 0.
        (vec![2, 0, 1, 0, 0, 0], 3),
    ] {
        assert_eq!(decode_times(&bytes, rows).unwrap_err().kind(), ErrorKind::Corruption, "{bytes:?}");
    }
}

#[test]
fn texts_of_many_kinds() {
    check_texts(&[""]);
    check_texts(&["", "a", "", "ü", "🚰"]);
    let lines: Vec<String> = (0..3_000).map(|i| format!("sensor {} failed with code {}", i % 40, i % 7)).collect();
    let bytes = check_texts(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(bytes.len() < 5_000, "{} bytes", bytes.len());
}

#[test]
fn a_dictionary_with_unused_and_double_texts_is_cleaned() {
    let dictionary = ["unused", "b", "a", "b"].map(Arc::from).to_vec();
    let bytes = encoded(&Values::Text(TextValues { dictionary, codes: vec![3, 2, 1, 3] }));
    let Values::Text(back) = decode_values(&bytes, MetricType::Text, 4).unwrap() else { panic!("type") };
    assert_eq!(back.dictionary.iter().map(|text| &**text).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(back.codes, [0, 1, 0, 0]);
}

#[test]
fn booleans_take_the_shorter_way() {
    let runs: Vec<bool> = (0..10_000).map(|i| (3_000..7_000).contains(&i)).collect();
    let mixed: Vec<bool> = (0..10_000).scan(Noise(2), |noise, _| Some(noise.next() & 1 == 1)).collect();
    for (values, encoding, most) in [(runs, "runs", 8), (mixed, "bitmap", 1_251), (vec![true; 77], "runs", 3)] {
        let bytes = encoded(&Values::Boolean(values.clone()));
        assert_eq!((values_encoding(&bytes), bytes.len() <= most), (encoding, true));
        let Values::Boolean(back) = decode_values(&bytes, MetricType::Boolean, values.len()).unwrap() else { panic!() };
        assert_eq!(back, values);
    }
}

#[test]
fn presence_takes_the_shortest_way() {
    let some = |positions: Vec<u32>| Presence::Positions(positions);
    let mut noise = Noise(4);
    for (presence, rows, encoding, most) in [
        (Presence::All, 1_000, "all", 1),
        (some(vec![]), 1_000, "list", 2),
        (some(vec![5, 600]), 1_000, "list", 12),
        (some((0..500).collect()), 1_000, "list", 20),
        (some((0..1_000).filter(|_| noise.next() & 1 == 0).collect()), 1_000, "bitmap", 126),
    ] {
        let mut bytes = Vec::new();
        encode_presence(&presence, rows, &mut bytes);
        assert_eq!((presence_encoding(&bytes), bytes.len() <= most), (encoding, true), "{} bytes", bytes.len());
        let count = if let Presence::Positions(positions) = &presence { positions.len() } else { rows };
        assert_eq!(decode_presence(&bytes, rows).unwrap(), (presence, count));
    }
    let mut bytes = Vec::new();
    encode_presence(&some((0..9).collect()), 9, &mut bytes);
    assert_eq!(decode_presence(&bytes, 9).unwrap(), (Presence::All, 9));
}

#[test]
fn a_small_frame_can_not_ask_for_much_memory() {
    let zeros = zstd::bulk::compress(&vec![0_u8; 1 << 24], 1).unwrap();
    let bytes = [&[value_code::SHUFFLED][..], &zeros].concat();
    assert_eq!(decode_values(&bytes, MetricType::Float, 100).unwrap_err().kind(), ErrorKind::Corruption);
    // One group for four billion values.
    let error = decode_values(&[value_code::INTEGERS, 0, 0, 0], MetricType::Integer, COUNT_MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert_eq!(decode_times(&[time_code::RAW], usize::MAX).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn trailing_bytes_are_refused() {
    let columns = [
        Values::Float(walk(300, 0.1, 2)),
        Values::Float((0..300).scan(Noise(9), |noise, _| Some(noise.unit())).collect()),
        Values::Float(vec![1.0; 300]),
        Values::Integer((0..300).map(|i| i * i).collect()),
        Values::Boolean((0..300).map(|i| i % 3 == 0).collect()),
        Values::Boolean(vec![true; 300]),
        Values::Text(TextValues { dictionary: vec![Arc::from("x")], codes: vec![0; 300] }),
    ];
    for values in columns {
        let mut bytes = encoded(&values);
        bytes.push(0);
        let result = decode_values(&bytes, values.metric_type(), 300);
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Corruption, "{}", values_encoding(&bytes));
    }
}
