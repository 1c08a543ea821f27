//! Laws of the log value.

use proptest::prelude::*;

use super::*;
use crate::document::hex_example;
use crate::model::{Severity, TextValues, Values};

fn tiny() -> Commit {
    let column = BatchColumn { rows: vec![0, 1], values: Values::Float(vec![1.5, 1.5]) };
    Commit {
        sequence: Sequence(2),
        previous_hash: 1,
        recorded_at: Timestamp::from_nanoseconds(3),
        devices: vec![DeviceHandle(7), DeviceHandle(7)],
        times: vec![10, 10],
        columns: vec![(MetricHandle(4), column)],
        logs: Vec::new(),
    }
}

fn same(a: &Commit, b: &Commit) -> bool {
    // Floats may be NaN: the debug text and the bits of the values together say whether two commits are one.
    let bits = |commit: &Commit| -> Vec<u64> {
        let columns = commit.columns.iter();
        columns
            .flat_map(|(_, column)| match &column.values {
                Values::Float(values) => values.iter().map(|value| value.to_bits()).collect(),
                _ => Vec::new(),
            })
            .collect()
    };
    bits(a) == bits(b) && format!("{a:?}") == format!("{b:?}")
}

#[test]
fn the_documents_example() {
    let (bytes, hash) = encode_commit(&tiny()).unwrap();
    assert_eq!(bytes, hex_example("commit"));
    let (commit, decoded_hash) = decode_commit(&bytes).unwrap();
    assert!(same(&commit, &tiny()) && hash == decoded_hash);
}

fn column() -> impl Strategy<Value = (Vec<u32>, Values)> {
    let rows = prop::collection::vec(0_u32..20, 0..30).prop_map(|mut rows| {
        rows.sort_unstable();
        rows
    });
    (rows, 0..4_u8, any::<u64>()).prop_map(|(rows, kind, seed)| {
        let number = |place: usize| seed.wrapping_mul(place as u64 + 1);
        let places = 0..rows.len();
        let values = match kind {
            0 => Values::Float(places.map(|place| f64::from_bits(number(place))).collect()),
            1 => Values::Integer(places.map(|place| number(place) as i64).collect()),
            2 => Values::Boolean(places.map(|place| number(place).is_multiple_of(2)).collect()),
            _ => {
                let dictionary = if rows.is_empty() { Vec::new() } else { vec!["only".into()] };
                Values::Text(TextValues { dictionary, codes: places.map(|_| 0).collect() })
            }
        };
        (rows, values)
    })
}

fn log() -> impl Strategy<Value = StoredLog> {
    (any::<u32>(), any::<i64>(), 0..8_u8, ".{0,40}", prop::collection::vec(("[a-z]{1,4}", ".{0,9}"), 0..3)).prop_map(
        |(device, time, severity, message, fields)| StoredLog {
            device: DeviceHandle(device),
            time,
            order: (9, device),
            severity: Severity::from_code(severity).unwrap(),
            source: "kernel".into(),
            message: message.into(),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        },
    )
}

fn commit() -> impl Strategy<Value = Commit> {
    let rows = prop::collection::vec((any::<u32>(), any::<i64>()), 20);
    (rows, prop::collection::vec(column(), 0..4), prop::collection::vec(log(), 0..5)).prop_map(
        |(rows, columns, logs)| Commit {
            sequence: Sequence(9),
            previous_hash: 8,
            recorded_at: Timestamp::from_nanoseconds(-7),
            devices: rows.iter().map(|row| DeviceHandle(row.0)).collect(),
            times: rows.iter().map(|row| row.1).collect(),
            columns: columns
                .into_iter()
                .enumerate()
                .map(|(place, (rows, values))| (MetricHandle(place as u32), BatchColumn { rows, values }))
                .collect(),
            logs,
        },
    )
}

proptest! {
    #[test]
    fn commits_come_back_and_damage_is_noticed(commit in commit(), bit: prop::sample::Index, cut: prop::sample::Index) {
        let (bytes, hash) = encode_commit(&commit).unwrap();
        let (back, back_hash) = decode_commit(&bytes).unwrap();
        prop_assert!(same(&back, &commit));
        prop_assert_eq!(hash, back_hash);
        let mut flipped = bytes.clone();
        let bit = bit.index(bytes.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_commit(&flipped).is_err());
        prop_assert!(decode_commit(&bytes[..cut.index(bytes.len())]).is_err());
    }

    /// Behind a checksum that fits, hostile content is refused or read, without a panic.
    #[test]
    fn hostile_content_never_panics(commit in commit(), at: prop::sample::Index, byte: u8) {
        let (mut bytes, _) = encode_commit(&commit).unwrap();
        let content = bytes.len() - CHECKSUM_BYTES;
        bytes[HEADER_BYTES + at.index(content - HEADER_BYTES)] = byte;
        let hash = xxh3_64(&bytes[..content]);
        bytes[content..].copy_from_slice(&hash.to_le_bytes());
        let _ = decode_commit(&bytes);
    }
}

#[test]
fn ten_thousand_readings_of_a_fleet_take_about_a_hundred_kilobytes() {
    // performance.md's "The log": 10,000 readings x 8 decimal metrics.
    let rows = 10_000_usize;
    let wave = |metric: usize, row: usize| ((row * 37 + metric * 11) % 500 + 2_000) as f64 / 100.0;
    let column = |metric: usize| BatchColumn {
        rows: (0..rows as u32).collect(),
        values: Values::Float((0..rows).map(|row| wave(metric, row)).collect()),
    };
    let commit = Commit {
        devices: (0..rows).map(|row| DeviceHandle(row as u32)).collect(),
        times: (0..rows).map(|row| 1_735_689_600_000_000_000 + (row as i64 % 60) * 1_000_000_000).collect(),
        columns: (0..8).map(|metric| (MetricHandle(metric as u32), column(metric))).collect(),
        ..tiny()
    };
    let (bytes, _) = encode_commit(&commit).unwrap();
    assert!(bytes.len() < 130_000, "{} bytes", bytes.len());
}

proptest! {
    /// Whatever the columns are, what is encoded is read again, and the rest is refused before it is written.
    #[test]
    fn whatever_encodes_decodes(
        columns in prop::collection::vec((prop::collection::vec(0_u32..6, 0..5), 0_usize..5), 0..3), rows in 0_usize..6, devices in 0_usize..6
    ) {
        let column = |(place, (rows, count)): (usize, (Vec<u32>, usize))| {
            (MetricHandle(place as u32), BatchColumn { rows, values: Values::Integer(vec![3; count]) })
        };
        let commit = Commit {
            devices: vec![DeviceHandle(1); devices],
            times: (0..rows as i64).collect(),
            columns: columns.into_iter().enumerate().map(column).collect(),
            ..tiny()
        };
        match encode_commit(&commit) {
            Ok((bytes, _)) => prop_assert!(same(&decode_commit(&bytes).unwrap().0, &commit)),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
    }
}
