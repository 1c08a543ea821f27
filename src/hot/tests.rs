//! Laws of chunks against a map of every value.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::model::{
    BatchColumn, DeviceHandle, DeviceRows, MetricHandle, Presence, Sequence, Value, Values, WriteBatch,
};
use crate::time::Timestamp;

use super::{Chunk, ChunkBuilder};

type Model = BTreeMap<(u32, i64, u32), Value>;

/// One value: device, time, metric, and what it is.
type Write = (u32, i64, u32, Value);

fn value_of(metric: u32, seed: i16) -> Value {
    match metric % 3 {
        0 => Value::Float(f64::from(seed) / 4.0),
        1 => Value::Integer(i64::from(seed)),
        _ => Value::Text(format!("t{}", seed % 5)),
    }
}

fn append(builder: &mut ChunkBuilder, model: &mut Model, sequence: u64, writes: &[Write]) {
    let mut batch = WriteBatch::new();
    for (device, time, metric, value) in writes {
        batch.reading(device.to_string(), Timestamp::from_nanoseconds(*time)).value(metric.to_string(), value.clone());
        model.insert((*device, *time, *metric), value.clone());
    }
    let number = |text: &str| text.parse::<u32>().unwrap();
    let devices: Vec<DeviceHandle> =
        batch.row_devices.iter().map(|place| DeviceHandle(number(batch.devices[*place as usize].as_str()))).collect();
    let columns: Vec<(MetricHandle, BatchColumn)> =
        batch.metrics.into_iter().map(|metric| (MetricHandle(number(metric.name.as_str())), metric.column)).collect();
    builder.append(Sequence(sequence), &devices, &batch.row_times, &columns, []).unwrap();
}

fn read(rows: &DeviceRows, device: u32, into: &mut Model) {
    rows.check().unwrap();
    for (metric, column) in &rows.columns {
        for (row, time) in rows.times.iter().enumerate() {
            if let Some(place) = column.presence.value_place(row) {
                assert!(into.insert((device, *time, metric.0), column.values.get(place)).is_none());
            }
        }
    }
}

fn read_chunk(chunk: &Chunk) -> Model {
    let mut model = Model::new();
    for device in chunk.devices() {
        read(&chunk.rows(DeviceHandle(device)).unwrap(), device, &mut model);
    }
    model
}

fn writes() -> impl Strategy<Value = Vec<Vec<Write>>> {
    let one = (0..5_u32, -4..12_i64, 0..7_u32, any::<i16>())
        .prop_map(|(device, time, metric, seed)| (device, time, metric, value_of(metric, seed)));
    prop::collection::vec(prop::collection::vec(one, 1..20), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_chunk_holds_the_last_value_of_every_device_instant_and_metric(batches in writes()) {
        let (mut builder, mut model) = (ChunkBuilder::new(), Model::new());
        for (sequence, writes) in batches.iter().enumerate() {
            append(&mut builder, &mut model, sequence as u64 + 1, writes);
        }
        let chunk = builder.freeze().unwrap();
        prop_assert_eq!(chunk.sequences(), (Sequence(1), Sequence(batches.len() as u64)));
        prop_assert_eq!(&read_chunk(&chunk), &model);
        let times = model.keys().map(|key| key.1);
        prop_assert_eq!(chunk.times(), times.clone().min().zip(times.max()));
        prop_assert!(chunk.rows(DeviceHandle(99)).is_none());
    }

    #[test]
    fn joining_two_chunks_is_appending_their_commits(older in writes(), later in writes(), sort_first in any::<bool>()) {
        let mut model = Model::new();
        let mut sequence = 0;
        let mut build = |batches: &[Vec<Write>]| {
            let mut builder = ChunkBuilder::new();
            for writes in batches {
                sequence += 1;
                append(&mut builder, &mut model, sequence, writes);
            }
            builder.freeze().unwrap()
        };
        let (a, b) = (build(&older), build(&later));
        if sort_first {
            let _ = (read_chunk(&a), read_chunk(&b));
        }
        let joined = a.join(&b).unwrap().unwrap();
        prop_assert_eq!(read_chunk(&joined), model);
        prop_assert_eq!(joined.sequences(), (Sequence(1), Sequence((older.len() + later.len()) as u64)));
    }
}

#[test]
fn a_released_chunk_holds_no_memory() {
    let (mut builder, mut model) = (ChunkBuilder::new(), Model::new());
    append(&mut builder, &mut model, 1, &[(1, 1, 0, Value::Float(1.0))]);
    let chunk = builder.freeze().unwrap();
    assert!(chunk.rows(DeviceHandle(1)).is_some());
    chunk.release();
    assert!(chunk.rows(DeviceHandle(1)).is_none());
    assert_eq!(chunk.memory_bytes(), 512);
}

#[test]
fn a_column_widens_when_a_wider_value_comes() {
    let mut builder = ChunkBuilder::new();
    let column = |values| vec![(MetricHandle(0), BatchColumn { rows: vec![0], values })];
    let all = [
        Values::Boolean(vec![true]),
        Values::Integer(vec![7]),
        Values::Float(vec![0.5]),
        Values::Integer(vec![2]),
        Values::Boolean(vec![false]),
    ];
    for (time, values) in all.into_iter().enumerate() {
        builder.append(Sequence(time as u64 + 1), &[DeviceHandle(3)], &[time as i64], &column(values), []).unwrap();
    }
    let rows = builder.freeze().unwrap().rows(DeviceHandle(3)).unwrap();
    assert_eq!(rows.columns[0].1.presence, Presence::All);
    assert!(matches!(&rows.columns[0].1.values, Values::Float(values) if *values == [1.0, 7.0, 0.5, 2.0, 0.0]));
}
