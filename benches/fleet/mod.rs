//! A small fleet for benches of the store: quantised, slowly moving values; the same in every run.
#![allow(dead_code)]

use std::path::Path;

use fleetlog::{Options, Store, Timestamp, WriteBatch};

pub const METRICS: [&str; 4] = ["temperature_c", "power_w", "rssi_dbm", "battery_v"];
/// 2025-01-01.
const START_S: i64 = 1_735_689_600;

pub fn at(minute: i64) -> Timestamp {
    Timestamp::from_nanoseconds((START_S + minute * 60) * 1_000_000_000)
}

fn value(device: i64, minute: i64, metric: i64) -> f64 {
    let noise = (device * 7_919 + minute * 104_729 + metric * 1_299_709) % 17;
    ((minute as f64 / 229.0 + device as f64).sin() * 200.0).round() / 10.0 + noise as f64 / 10.0
}

/// Readings of every device at the minutes of a range.
pub fn batch(devices: i64, minutes: std::ops::Range<i64>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for device in 0..devices {
        for minute in minutes.clone() {
            let mut reading = batch.reading(format!("pump-{device:04}"), at(minute));
            for (metric, name) in METRICS.iter().enumerate() {
                reading = reading.float(name, value(device, minute, metric as i64));
            }
        }
    }
    batch
}

/// A store whose log is not sealed by itself: the bench says when.
pub fn open(path: &Path) -> Store {
    let options = Options { memory_bytes: 1 << 30, compact_in_background: false, ..Options::default() };
    Store::open(path, options).expect("a store")
}

/// A sealed store with regions and two firmwares, one of which a third of the fleet got on the way.
pub fn sealed(path: &Path, devices: i64, days: i64) -> Store {
    let store = open(path);
    for day in 0..days {
        store.write(batch(devices, day * 1_440..(day + 1) * 1_440)).expect("written");
        store.seal().expect("sealed");
    }
    let mut write = WriteBatch::new();
    for device in 0..devices {
        let id = format!("pump-{device:04}");
        write.attribute(&id, "region", ["north", "south", "east", "west"][device as usize % 4]);
        write.attribute(&id, "firmware", "1.0.0");
        if device % 3 == 0 {
            write.attribute(&id, "firmware", "1.1.0").from(at(days * 720 + device));
        }
    }
    store.write(write).expect("written");
    store.compact(true, None).expect("compacted");
    store
}
