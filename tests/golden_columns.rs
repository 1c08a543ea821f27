//! Columns of each encoding that came after the first golden files, made once by their writer: every later version reads them as the values
//! stated here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleetlog::codec::{
    GROUP_VALUES, GroupTimes, PackedTimes, PackedValues, decode_times, decode_values, decode_values_at, times_encoding,
    values_encoding,
};
use fleetlog::{MetricType, TextValues, Value, Values};

const COUNT: i64 = 700;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-columns").join(name)
}

/// Mostly still, with steps now and then.
fn level(place: i64) -> i64 {
    2_000 + place / 50 * 3 - place % 97 / 90 * (place % 13)
}

fn decimals() -> Vec<f64> {
    let mut values: Vec<f64> = (0..COUNT).map(|place| level(place) as f64 / 100.0).collect();
    values[3] = f64::from_bits(0x7ff8_0000_0000_beef);
    (values[256], values[699]) = (-0.0, f64::NEG_INFINITY);
    values[300] = f64::from_bits(1);
    values
}

/// No decimals, near one another; some of another kind.
fn doubles() -> Vec<f64> {
    let mut values: Vec<f64> = (0..COUNT).map(|place| 20.0 + (place * 7_919 % 1_013) as f64 / 977.0).collect();
    values[5] = f64::from_bits(0xfff8_0000_dead_beef);
    (values[255], values[256], values[699]) = (-0.0, f64::INFINITY, f64::from_bits(1));
    values
}

fn columns() -> Vec<(&'static str, Values)> {
    let dictionary: Vec<Arc<str>> = ["on", "off", "", "Störung"].map(Arc::from).to_vec();
    let codes = (0..COUNT as u32).map(|place| if place < 4 { place } else { place / 40 % 4 }).collect();
    // Divided by three: no decimals.
    let thirds = (0..COUNT).map(|place| level(place) as f64 / 3.0).collect();
    vec![
        ("grouped integers", Values::Integer((0..COUNT).map(|place| place * place % 1_013 - 500).collect())),
        ("grouped decimals", Values::Float(decimals())),
        ("compressed integers", Values::Integer((0..COUNT).map(|place| level(place) << 20).collect())),
        ("compressed decimals", Values::Float(decimals())),
        ("compressed floats", Values::Float(thirds)),
        ("compressed texts", Values::Text(TextValues { dictionary, codes })),
        ("real doubles", Values::Float(doubles())),
    ]
}

/// Minutes from 2025-01-30 on, some of them missing.
fn times() -> Vec<i64> {
    let start = 20_118 * 86_400_000_000_000;
    (0..COUNT).filter(|minute| minute % 31 != 7).map(|minute| start + minute * 60_000_000_000).collect()
}

#[test]
fn golden_columns_are_read() {
    for (name, values) in columns() {
        let bytes = std::fs::read(golden(&name.replace(' ', "-"))).unwrap();
        assert_eq!(values_encoding(&bytes), name);
        let read = decode_values(&bytes, values.metric_type(), values.len()).unwrap();
        // Floats are equal where their bits are.
        assert!((0..values.len()).all(|place| values.get(place) == read.get(place)), "{name}");
    }
    for name in ["grouped", "compressed"] {
        let bytes = std::fs::read(golden(&format!("{name}-times"))).unwrap();
        assert_eq!(times_encoding(&bytes), name);
        assert_eq!(decode_times(&bytes, times().len()).unwrap(), times(), "{name}");
    }
}

/// Columns in groups are also read where they lie: bounds, sums, whole numbers and exceptions of each group are those of its values.
#[test]
fn golden_columns_in_groups_are_read_where_they_lie() {
    for (name, values) in columns() {
        let bytes = std::fs::read(golden(&name.replace(' ', "-"))).unwrap();
        let packed = PackedValues::read(&bytes, values.metric_type(), values.len()).unwrap();
        assert_eq!(packed.is_some(), name.starts_with("grouped"), "{name}");
        let Some(packed) = packed else { continue };
        assert_eq!(packed.groups(), values.len().div_ceil(GROUP_VALUES), "{name}");
        for group in 0..packed.groups() {
            let from = group * GROUP_VALUES;
            let places = from..values.len().min(from + GROUP_VALUES);
            let mut offsets = [0; GROUP_VALUES];
            packed.offsets(group, &mut offsets).unwrap();
            let ((lowest, highest), mut sum) = (packed.bounds(group), 0);
            for place in places {
                let whole = lowest + i64::from(offsets[place - from]);
                let exception = packed.exceptions(group).iter().find(|(at, _)| *at == place);
                match (values.get(place), exception) {
                    (Value::Integer(value), None) => assert_eq!(whole, value, "{name} {place}"),
                    (Value::Float(value), None) => {
                        assert_eq!((value * 100.0).round() as i64, whole, "{name} {place}");
                        assert_eq!(packed.value(whole).to_bits(), value.to_bits(), "{name} {place}");
                    }
                    (Value::Float(value), Some((_, exception))) => {
                        assert_eq!(exception.to_bits(), value.to_bits(), "{name} {place}");
                    }
                    other => panic!("{other:?} at {place} of {name}"),
                }
                assert!((lowest..=highest).contains(&whole), "{name} {place}");
                sum += i128::from(whole);
            }
            assert_eq!(packed.sum(group).unwrap(), sum, "{name} {group}");
        }
        let exceptions: usize = (0..packed.groups()).map(|group| packed.exceptions(group).len()).sum();
        assert_eq!(exceptions, if values.metric_type() == MetricType::Float { 4 } else { 0 }, "{name}");
    }
}

#[test]
fn parts_of_golden_columns_are_read() {
    for (name, values) in columns() {
        let bytes = std::fs::read(golden(&name.replace(' ', "-"))).unwrap();
        for (from, to) in [(0, 0), (0, 4), (255, 257), (256, 512), (299, 700), (699, 700)] {
            let part = decode_values_at(&bytes, values.metric_type(), values.len(), from..to).unwrap();
            assert_eq!(part.len(), to - from, "{name} {from}..{to}");
            for place in from..to {
                let (found, value) = (part.get(place - from), values.get(place));
                let same = match (&found, &value) {
                    (Value::Float(found), Value::Float(value)) => found.to_bits() == value.to_bits(),
                    _ => found == value,
                };
                assert!(same, "{found:?} is not {value:?} at {place} of {name}");
            }
        }
    }
}

#[test]
fn golden_times_are_read_where_they_lie() {
    let times = times();
    for name in ["grouped", "compressed"] {
        let bytes = std::fs::read(golden(&format!("{name}-times"))).unwrap();
        let mut packed = PackedTimes::read(&bytes, times.len()).unwrap();
        assert_eq!(packed.rows(), times.len());
        for (group, expected) in times.chunks(GROUP_VALUES).enumerate() {
            let found = match packed.group(group).unwrap() {
                GroupTimes::Listed(found) => found.to_vec(),
                GroupTimes::Regular(first, step_ns) => {
                    (0..expected.len() as i64).map(|place| first + place * step_ns).collect()
                }
            };
            assert_eq!(found, expected, "{name} {group}");
        }
        for (row, time) in times.iter().enumerate() {
            assert_eq!(packed.at(row).unwrap(), *time, "{name}");
            for from in [0, row / 2, row] {
                assert_eq!(packed.first_from(from, *time).unwrap(), row, "{name} from {from}");
                assert_eq!(packed.first_from(from, time + 1).unwrap(), row + 1, "{name} from {from}");
            }
        }
        assert_eq!(packed.first_from(0, i64::MIN).unwrap(), 0);
        assert_eq!(packed.first_from(0, i64::MAX).unwrap(), times.len());
    }
}
