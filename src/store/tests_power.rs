//! What a power loss leaves: every row that was acknowledged, after a seal, a bulk load and a compaction; and the tests notice when a
//! sync is missing.

use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::io::{Deaf, Kept, PowerLossFileSystem};
use crate::model::{Column, DeviceId, DeviceRows, MetricName, MetricType, Presence, Values};
use crate::time::{DAY_NS, TimeRange, Timestamp};

fn options(disk: &PowerLossFileSystem) -> Options {
    Options { file_system: Arc::new(disk.clone()), compact_in_background: false, threads: 1, ..Options::default() }
}

fn write(store: &Store, times: &[i64]) {
    let mut batch = WriteBatch::new();
    for time in times {
        batch.reading("d", Timestamp::from_nanoseconds(*time)).float("x", *time as f64);
    }
    store.write(batch).unwrap();
}

fn load(store: &Store, times: &[i64]) {
    let mut load = store.bulk_load().unwrap();
    let device = load.device(&DeviceId::new("d").unwrap()).unwrap();
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None).unwrap();
    let values = Values::Float(times.iter().map(|time| *time as f64).collect());
    let column = Column { presence: Presence::All, values };
    load.rows(device, &DeviceRows { times: times.to_vec(), columns: vec![(metric, column)] }).unwrap();
    load.commit().unwrap();
}

/// The instants of the device `d` in a store that is opened for writing, which judges log and segments.
fn reopened(root: &Path) -> Result<Vec<i64>> {
    let store = Store::open(root, Options { create: false, compact_in_background: false, ..Options::default() })?;
    let snapshot = store.snapshot()?;
    let device = snapshot.catalog().device("d").ok_or_else(|| crate::Error::new(ErrorKind::NotFound, "device d"))?;
    let rows = snapshot.rows(device, TimeRange::ALL, None)?;
    for segment in snapshot.segments() {
        assert_eq!(segment.segment()?.verify().len(), 0);
    }
    Ok(rows.times)
}

/// Does all that a store does, and gives after each step what a power loss would leave beside what it should.
fn work(deaf: Deaf, folders_are_there: bool, kept: Kept) -> Vec<(&'static str, Result<Vec<i64>>, Vec<i64>)> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/in/plant.fleet");
    if folders_are_there {
        std::fs::create_dir_all(root.join("segments")).unwrap();
    }
    let disk = PowerLossFileSystem::new(deaf);
    let store = Store::open(&root, options(&disk)).unwrap();
    let mut expected: Vec<i64> = Vec::new();
    let mut left = Vec::new();
    let steps: [(&str, &dyn Fn(&Store) -> Vec<i64>); 6] = [
        ("write", &|store| {
            write(store, &[5, DAY_NS, 3 * DAY_NS]);
            vec![5, DAY_NS, 3 * DAY_NS]
        }),
        ("seal", &|store| {
            store.seal().unwrap();
            vec![]
        }),
        ("bulk load", &|store| {
            load(store, &[7, 40 * DAY_NS]);
            vec![7, 40 * DAY_NS]
        }),
        ("write again", &|store| {
            write(store, &[9]);
            vec![9]
        }),
        ("seal again", &|store| {
            store.seal().unwrap();
            vec![]
        }),
        ("compact", &|store| {
            store.compact(true, None).unwrap();
            vec![]
        }),
    ];
    for (name, step) in steps {
        expected.extend(step(&store));
        expected.sort_unstable();
        let image = tempfile::tempdir().unwrap();
        disk.image(folder.path(), image.path(), kept);
        left.push((name, reopened(&image.path().join("deep/in/plant.fleet")), expected.clone()));
    }
    left
}

#[test]
fn all_that_was_acknowledged_is_there_after_a_power_loss() {
    for kept in [Kept::Nothing, Kept::HalfOfBytes, Kept::Names] {
        for (step, found, expected) in work(Deaf::No, false, kept) {
            assert_eq!(found.unwrap(), expected, "after {step}, {kept:?}");
        }
    }
}

#[test]
fn without_syncs_of_segments_rows_are_lost_and_it_is_noticed() {
    for deaf in [Deaf::ToFiles, Deaf::ToFolders] {
        for (step, found, expected) in work(deaf, true, Kept::Nothing) {
            // Before the first seal all rows are in RocksDB's log, which has syncs of its own; but the watermark is lost.
            assert!(found.is_err(), "{deaf:?}, after {step}: {found:?}, of {expected:?}");
        }
    }
}
