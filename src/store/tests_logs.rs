//! Log records through merges: each once and in order, however many there are, and a slice of each segment in memory at most.

use std::collections::BTreeMap;

use super::gather::Source;
use super::log_merge::LogMerge;
use super::tests::{at, options, reading};
use super::*;
use crate::model::{DeviceId, LogRecord, Severity};
use crate::time::{DAY_NS, TimeRange, Timestamp};

/// Records of one seal: more than a third of what a slice holds.
const RECORDS: i64 = 400;
const SECOND_NS: i64 = 1_000_000_000;
/// 2023-11-15.
const START_NS: i64 = 19_676 * DAY_NS;

/// What the store must hold: by time, then in the order written.
#[derive(Default)]
struct Oracle(Vec<(i64, String)>);

impl Oracle {
    fn write(&mut self, store: &Store, times: impl Iterator<Item = i64>) {
        let mut batch = WriteBatch::new();
        for time in times {
            let number = self.0.len();
            let message = format!("{number:08}{}", "x".repeat(16_000));
            self.0.push((time, message.clone()));
            batch.log(LogRecord {
                device: DeviceId::new("d").unwrap(),
                time: at(time),
                severity: Severity::Warning,
                source: String::new(),
                message,
                fields: BTreeMap::new(),
            });
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }

    fn check(&self, store: &Store) {
        let mut wanted = self.0.clone();
        // Equal instants stay as they were written.
        wanted.sort_by_key(|(time, _)| *time);
        let snapshot = store.snapshot().unwrap();
        let device = snapshot.catalog().device("d").unwrap();
        let logs = snapshot.logs(device).unwrap();
        let found = logs.iter().map(|log| (log.time, &log.message[..8]));
        assert!(
            found.eq(wanted.iter().map(|(time, message)| (*time, &message[..8]))),
            "after {} records",
            self.0.len()
        );
    }
}

fn sources(snapshot: &Snapshot) -> Vec<Source> {
    snapshot.segments().iter().map(|segment| Source::Segment(segment.clone())).collect()
}

fn open(folder: &Path) -> Store {
    Store::open(folder, Options { memory_bytes: 128 << 20, compact_in_background: false, ..options() }).unwrap()
}

#[test]
fn merges_keep_each_log_record_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut oracle = Oracle::default();
    // Seals of one day that reach between each other, with instants that several records share.
    for seal in 0..4 {
        oracle.write(&store, (0..RECORDS).map(|record| START_NS + (record + seal) / 3 * SECOND_NS));
        store.write(reading("d", START_NS + seal * 100 * SECOND_NS, "x", 1.0)).unwrap();
    }
    // Other days of that month, the one before and the next, the last at an instant that an earlier one has.
    for day in [-20, -1, 1, 20, 0] {
        oracle.write(&store, (0..RECORDS / 4).map(|record| START_NS + day * DAY_NS + record * SECOND_NS));
    }
    store.seal().unwrap();
    oracle.check(&store);
    store.compact(true, None).unwrap();
    oracle.check(&store);
    // What was merged has several slices of records now, and is merged again.
    oracle.write(&store, (0..RECORDS).map(|record| START_NS + record / 2 * SECOND_NS));
    store.compact(true, None).unwrap();
    oracle.check(&store);
    store.clone().close().unwrap();
    drop(store);
    oracle.check(&open(folder.path()));
}

#[test]
fn log_records_of_many_sparse_months_come_after_the_rows_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut oracle = Oracle::default();
    // More months than have a file of their own, each with a row and enough records that parts end within months.
    for round in 0..2 {
        let month = |month: i64| START_NS + month * 31 * DAY_NS + round * SECOND_NS;
        let mut batch = WriteBatch::new();
        (0..80).for_each(|number| {
            batch.reading("d", at(month(number))).float("x", number as f64);
        });
        store.write(batch).unwrap();
        oracle.write(&store, (0..80).flat_map(|number| (0..15).map(move |record| month(number) + record)));
    }
    store.compact(true, None).unwrap();
    oracle.check(&store);
    assert_eq!(super::tests::values(&store, "d", "x").len(), 160);
}

#[test]
fn a_merge_holds_one_slice_of_log_records_of_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut oracle = Oracle::default();
    (0..5).for_each(|day| oracle.write(&store, (0..RECORDS).map(|record| START_NS + day * DAY_NS + record)));
    let snapshot = store.snapshot().unwrap();
    let device = snapshot.catalog().device("d").unwrap();
    let held_most = |range: TimeRange, before: Option<Timestamp>| {
        let mut merge = LogMerge::new(&sources(&snapshot), &[device], range).unwrap();
        let (mut count, mut held) = (0, 0);
        loop {
            let (part, all) = merge.part(before).unwrap();
            count += part.len() as i64;
            held = held.max(merge.held() as i64);
            assert!(part.iter().map(|log| log.message.len()).sum::<usize>() <= (16 << 20) + 16_384);
            if all {
                return (count, held);
            }
        }
    };
    let (count, held) = held_most(TimeRange::ALL, None);
    assert!(count == 5 * RECORDS && held <= RECORDS, "{count} records, {held} at once");
    // A day that the merge has not come to is not read.
    assert_eq!(held_most(TimeRange::ALL, Some(at(START_NS))), (0, RECORDS));
    let second = TimeRange::new(at(START_NS + DAY_NS), at(START_NS + DAY_NS + 7));
    assert_eq!(held_most(second, None), (7, 0));
    store.compact(true, None).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.segments().len(), 1, "one month");
    let mut merge = LogMerge::new(&sources(&snapshot), &[device], TimeRange::ALL).unwrap();
    let (part, all) = merge.part(None).unwrap();
    assert!(!all && part.len() + merge.held() < 3 * RECORDS as usize, "{} given, {} held", part.len(), merge.held());
}

#[test]
fn records_are_visited_a_slice_at_a_time_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut oracle = Oracle::default();
    // Two sealed days, and 9,000 short records over and between them that are not sealed.
    (0..2).for_each(|day| oracle.write(&store, (0..RECORDS).map(|record| START_NS + day * DAY_NS + record)));
    let mut wanted: Vec<i64> = oracle.0.iter().map(|(time, _)| *time).collect();
    let mut batch = WriteBatch::new();
    for number in 0..9_000_i64 {
        let time = START_NS + number * 7_919 % 9_000 * 20 * SECOND_NS;
        wanted.push(time);
        batch.log(LogRecord {
            device: DeviceId::new("d").unwrap(),
            time: at(time),
            severity: Severity::Notice,
            source: "short".to_owned(),
            message: number.to_string(),
            fields: BTreeMap::new(),
        });
    }
    store.write(batch).unwrap();
    wanted.sort_unstable();
    let visited = |range: TimeRange, most: usize| {
        let snapshot = store.snapshot().unwrap();
        let device = snapshot.catalog().device("d").unwrap();
        let mut times = Vec::new();
        let mut visit = |log: crate::model::StoredLog| {
            times.push(log.time);
            Ok(times.len() < most)
        };
        snapshot.visit_logs(device, range, &mut visit).unwrap();
        times
    };
    let range = TimeRange::new(at(START_NS + 5), at(START_NS + DAY_NS + 6));
    let inside: Vec<i64> = wanted.iter().copied().filter(|time| range.contains(at(*time))).collect();
    for layout in ["unsealed", "sealed", "merged"] {
        assert_eq!(visited(TimeRange::ALL, usize::MAX), wanted, "{layout}");
        assert_eq!(visited(range, usize::MAX), inside, "{layout}");
        assert_eq!(visited(TimeRange::ALL, 3), wanted[..3], "{layout}");
        assert_eq!(store.info().unwrap().logs, wanted.len() as u64, "{layout}");
        if layout == "unsealed" { store.seal().unwrap() } else { store.compact(true, None).unwrap() }
    }
}
