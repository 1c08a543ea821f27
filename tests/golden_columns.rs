//! Columns of each encoding that came after the first golden files, made once by their writer: every later version reads them as the values
//! stated here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleetlog::codec::{
    GROUP_VALUES, PackedTimes, PackedValues, Tier, decode_times, decode_values, times_encoding, values_encoding,
};
use fleetlog::{TextValues, Value, Values};

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

fn columns() -> Vec<(&'static str, Tier, Values)> {
    let dictionary: Vec<Arc<str>> = ["on", "off", "", "Störung"].map(Arc::from).to_vec();
    let codes = (0..COUNT as u32).map(|place| if place < 4 { place } else { place / 40 % 4 }).collect();
    // Divided by three: no decimals.
    let thirds = (0..COUNT).map(|place| level(place) as f64 / 3.0).collect();
    vec![
        (
            "grouped integers",
            Tier::Fast,
            Values::Integer((0..COUNT).map(|place| place * place % 1_013 - 500).collect()),
        ),
        ("grouped decimals", Tier::Fast, Values::Float(decimals())),
        ("compressed integers", Tier::Cold, Values::Integer((0..COUNT).map(|place| level(place) << 20).collect())),
        ("compressed decimals", Tier::Cold, Values::Float(decimals())),
        ("compressed floats", Tier::Cold, Values::Float(thirds)),
        ("compressed texts", Tier::Cold, Values::Text(TextValues { dictionary, codes })),
        ("real doubles", Tier::Fast, Values::Float(doubles())),
    ]
}

/// Minutes from 2025-01-30 on, some of them missing.
fn times() -> Vec<i64> {
    let start = 20_118 * 86_400_000_000_000;
    (0..COUNT).filter(|minute| minute % 31 != 7).map(|minute| start + minute * 60_000_000_000).collect()
}

#[test]
#[ignore = "makes golden columns that are not there yet: those that are, are never made again"]
fn make_golden_columns() {
    let write = |name: &str, bytes: &[u8]| match std::fs::File::create_new(golden(name)) {
        Ok(mut file) => std::io::Write::write_all(&mut file, bytes).unwrap(),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{name}"),
    };
    for (name, tier, values) in columns() {
        let mut bytes = Vec::new();
        tier.encode_values(&values, &mut bytes).unwrap();
        assert_eq!(values_encoding(&bytes), name);
        write(&name.replace(' ', "-"), &bytes);
    }
    for (name, tier) in [("grouped", Tier::Fast), ("compressed", Tier::Cold)] {
        let mut bytes = Vec::new();
        tier.encode_times(&times(), &mut bytes);
        assert_eq!(times_encoding(&bytes), name);
        write(&format!("{name}-times"), &bytes);
    }
}

#[test]
fn golden_columns_are_read() {
    for (name, _, values) in columns() {
        let bytes = std::fs::read(golden(&name.replace(' ', "-"))).unwrap();
        assert_eq!(values_encoding(&bytes), name);
        let read = decode_values(&bytes, values.metric_type(), values.len()).unwrap();
        // Floats are equal where their bits are.
        assert!((0..values.len()).all(|place| values.get(place) == read.get(place)), "{name}");
        let packed = PackedValues::read(&bytes, values.metric_type(), values.len()).unwrap();
        assert_eq!(packed.is_some(), name.starts_with("grouped"), "{name}");
        let mut offsets = [0; GROUP_VALUES];
        for (packed, group) in packed.iter().flat_map(|packed| (0..packed.groups()).map(move |group| (packed, group))) {
            packed.offsets(group, &mut offsets).unwrap();
            for place in group * GROUP_VALUES..values.len().min((group + 1) * GROUP_VALUES) {
                let whole = packed.bounds(group).0 + i64::from(offsets[place % GROUP_VALUES]);
                let exception = packed.exceptions(group).iter().find(|(at, _)| *at == place);
                let value = match values {
                    Values::Integer(_) => Value::Integer(whole),
                    _ => Value::Float(exception.map_or_else(|| packed.value(whole), |(_, value)| *value)),
                };
                assert_eq!(value, values.get(place), "{name}");
            }
        }
    }
    for name in ["grouped", "compressed"] {
        let bytes = std::fs::read(golden(&format!("{name}-times"))).unwrap();
        assert_eq!(times_encoding(&bytes), name);
        assert_eq!(decode_times(&bytes, times().len()).unwrap(), times(), "{name}");
        let mut packed = PackedTimes::read(&bytes, times().len()).unwrap();
        assert!(times().iter().enumerate().all(|(row, time)| packed.at(row).unwrap() == *time), "{name}");
    }
}
