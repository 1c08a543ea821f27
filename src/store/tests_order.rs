//! What happens at once, late or never: seals beside snapshots, merges beside deletes, keys and events that come again, openings
//! that find less than there was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::tests::{at, events, options, reading, values};
use super::*;
use crate::error::ErrorKind;
use crate::io::{FaultFileSystem, FileSystem, RealFileSystem, WriteFile};
use crate::model::{
    Column, Delete, DeviceId, DeviceRows, EventKind, LogRecord, MetricName, MetricType, Presence, Severity, Values,
};
use crate::time::{DAY_NS, TimeRange, Timestamp};

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
struct HandClock(AtomicI64);

impl crate::time::Clock for HandClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn rows_are_sealed_when_they_are_old_though_they_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(HandClock::default());
    let aged = || Options { clock: clock.clone(), seal_age_ns: 1_000_000_000, ..options() };
    let store = Store::open(folder.path(), aged()).unwrap();
    let segments = |store: &Store| store.snapshot().unwrap().segments().len();
    let wait_for_seal = |store: &Store| {
        while lock(&store.core().state).unsealed_since.is_some() {
            std::thread::yield_now();
        }
    };
    store.write(reading("d", 1, "x", 1.0)).unwrap();
    clock.0.store(999_999_999, Ordering::SeqCst);
    store.write(reading("d", 2, "x", 2.0)).unwrap();
    assert_eq!(segments(&store), 0, "young");
    clock.0.store(1_000_000_000, Ordering::SeqCst);
    wait_for_seal(&store);
    assert_eq!(segments(&store), 1);

    // The age counts across an opening.
    store.write(reading("d", 3, "x", 3.0)).unwrap();
    drop(store);
    clock.0.store(3_000_000_000, Ordering::SeqCst);
    let store = Store::open(folder.path(), aged()).unwrap();
    wait_for_seal(&store);
    assert_eq!(segments(&store), 2);
    assert_eq!(values(&store, "d", "x"), [(1, 1.0), (2, 2.0), (3, 3.0)]);
}

type Hook = Box<dyn Fn() + Send>;

/// The real file system; does something else before it makes its first file.
#[derive(Default)]
struct HookFileSystem(Mutex<Option<Hook>>);

impl std::fmt::Debug for HookFileSystem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("HookFileSystem")
    }
}

impl crate::io::FileSystemDouble for HookFileSystem {
    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        if let Some(hook) = lock(&self.0).take() {
            hook();
        }
        RealFileSystem.create(path)
    }
}

fn log_record(device: &str, time: i64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.log(LogRecord {
        device: DeviceId::new(device).unwrap(),
        time: at(time),
        severity: Severity::Warning,
        source: "modem".to_owned(),
        message: format!("link lost at {time}"),
        fields: std::collections::BTreeMap::new(),
    });
    batch
}

fn log_times(store: &Store, device: &str) -> Vec<i64> {
    let snapshot = store.snapshot().unwrap();
    let device = snapshot.catalog().device(device).unwrap();
    snapshot.logs(device).unwrap().iter().map(|log| log.time).collect()
}

fn delete(device: &str, range: TimeRange) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.delete(Delete { device: DeviceId::new(device).unwrap(), metric: None, range, events: true });
    batch
}

#[test]
fn a_write_and_a_snapshot_in_the_middle_of_a_seal_double_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(HookFileSystem::default());
    let store = Store::open(folder.path(), Options { file_system: disk.clone(), ..options() }).unwrap();
    store.write(log_record("d", 1)).unwrap();
    store.write(reading("d", 1, "x", 1.0)).unwrap();
    let beside = store.clone();
    let held = Arc::new(OnceLock::new());
    let holder = Arc::clone(&held);
    *lock(&disk.0) = Some(Box::new(move || {
        beside.write(log_record("d", 2)).unwrap();
        beside.write(reading("d", 2, "x", 2.0)).unwrap();
        holder.set(beside.snapshot().unwrap()).unwrap();
        beside.write(log_record("d", 3)).unwrap();
    }));
    store.seal().unwrap();
    assert_eq!(log_times(&store, "d"), [1, 2, 3]);
    store.seal().unwrap();
    assert_eq!(log_times(&store, "d"), [1, 2, 3]);
    assert_eq!(values(&store, "d", "x"), [(1, 1.0), (2, 2.0)]);
    let middle = held.get().unwrap();
    let device = middle.catalog().device("d").unwrap();
    assert_eq!(middle.logs(device).unwrap().len(), 2, "the snapshot shows its moment");
}

#[test]
fn a_load_whose_commit_ends_in_an_error_keeps_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultFileSystem::after(0, true);
    disk.heal();
    let store = Store::open(folder.path(), Options { file_system: Arc::new(disk.clone()), ..options() }).unwrap();
    let mut load = store.bulk_load().unwrap();
    let device = load.device(&DeviceId::new("d").unwrap()).unwrap();
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None).unwrap();
    let column = Column { presence: Presence::All, values: Values::Float(vec![5.0]) };
    load.rows(device, &DeviceRows { times: vec![7], columns: vec![(metric, column)] }).unwrap();
    // The log takes the commit; then the watermark, which lags by 64 commits at most, can not be written.
    lock(&store.core().log).as_mut().unwrap().batches = 63;
    disk.fail_in_place();
    let error = load.commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
    assert_eq!(store.write(reading("d", 9, "x", 1.0)).unwrap_err().kind(), ErrorKind::Poisoned);
    drop(store);
    disk.heal();
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(values(&store, "d", "x"), [(7, 5.0)]);
    assert!(store.compact(true, None).is_ok());
}

#[test]
fn an_opening_that_finds_less_than_there_was_says_so_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        store.write(reading("d", 1, "x", 1.0)).unwrap();
        store.seal().unwrap();
        store.write(reading("d", DAY_NS, "x", 2.0)).unwrap();
    }
    let listed = |name: &str| {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder.path().join(name)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let refused = |aside: &Path, kind: ErrorKind| {
        let kept = folder.path().join("kept");
        fs::rename(aside, &kept).unwrap();
        // A stranger, which an opening that succeeds would move aside.
        let stranger = folder.path().join("segments/stranger.tmp");
        fs::write(&stranger, b"?").unwrap();
        let before = listed("segments");
        let error = Store::open(folder.path(), options()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(aside.file_name().unwrap().to_str().unwrap()), "{error}");
        assert_eq!(listed("segments"), before);
        fs::remove_file(stranger).unwrap();
        fs::rename(&kept, aside).unwrap();
    };
    refused(&listed("segments")[0], ErrorKind::Corruption);
    refused(&folder.path().join("watermark"), ErrorKind::DataLoss);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(values(&store, "d", "x"), [(1, 1.0), (DAY_NS, 2.0)]);
}

#[test]
fn a_log_larger_than_memory_is_sealed_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let batches = 40_i64;
    {
        let store = Store::open(folder.path(), Options { memory_bytes: 256 << 20, ..options() }).unwrap();
        for batch in 0..batches {
            let mut write = WriteBatch::new();
            for row in 0..4_000_i64 {
                write.reading("d", at((batch * 4_000 + row) * 1_000_000_000)).float("x", row as f64).float("y", 1.0);
            }
            store.write(write).unwrap();
        }
        store.write(delete("d", TimeRange::new(at(0), at(1_000_000_000)))).unwrap();
    }
    let small = || Options { memory_bytes: 4 << 20, ..options() };
    let error = Store::open_read_only(folder.path(), small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    let store = Store::open(folder.path(), small()).unwrap();
    let hot = lock(&store.core().state).hot_bytes();
    assert!(hot < 3 << 20, "{hot} bytes of unsealed rows");
    let found = values(&store, "d", "x");
    assert_eq!(found.len() as i64, batches * 4_000 - 1);
    assert_eq!(found[0], (1_000_000_000, 1.0));
    store.write(reading("d", -1, "x", 7.0)).unwrap();
    drop(store);
    assert_eq!(
        values(&Store::open_read_only(folder.path(), options()).unwrap(), "d", "x").len() as i64,
        batches * 4_000
    );
}

#[test]
fn a_delete_goes_once_it_is_applied_and_nothing_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let tombstones = |store: &Store| store.snapshot().unwrap().manifest().tombstones.len();
    for hour in 0..48_i64 {
        store.write(reading("d", hour * DAY_NS / 24, "x", hour as f64)).unwrap();
    }
    store.seal().unwrap();
    store.write(delete("d", TimeRange::new(at(0), at(DAY_NS)))).unwrap();
    let left: Vec<(i64, f64)> = (24..48_i64).map(|hour| (hour * DAY_NS / 24, hour as f64)).collect();
    assert_eq!((values(&store, "d", "x"), tombstones(&store)), (left.clone(), 1));
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    assert_eq!((values(&store, "d", "x"), tombstones(&store)), (left.clone(), 0));
    let ids = |store: &Store| store.snapshot().unwrap().segments().iter().map(|s| s.entry.id).collect::<Vec<_>>();
    let before = ids(&store);
    store.compact(true, None).unwrap();
    assert_eq!(ids(&store), before, "what is whole is not written again");
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!((values(&store, "d", "x"), tombstones(&store)), (left, 0));
}

#[test]
fn few_late_rows_do_not_write_an_old_month_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut batch = WriteBatch::new();
    for minute in 0..20_000_i64 {
        batch.reading("d", at(minute * 60_000_000_000)).float("x", (minute * 7_919 % 1_000) as f64);
    }
    batch.reading("d", at(90 * DAY_NS)).float("x", 0.5);
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.compact(false, None).unwrap();
    let months = |store: &Store| {
        let segments = store.snapshot().unwrap().segments().to_vec();
        segments
            .into_iter()
            .filter(|segment| segment.entry.times.0 < 31 * DAY_NS)
            .map(|s| (s.entry.id, s.entry.rows))
            .collect::<Vec<_>>()
    };
    let old = months(&store);
    assert_eq!(old.len(), 1);
    let mut expected = values(&store, "d", "x");
    for late in 0..40_i64 {
        let time = late * 60_000_000_000;
        store.write(reading("d", time, "x", -1.0)).unwrap();
        expected[late as usize].1 = -1.0;
        store.seal().unwrap();
        store.compact(false, None).unwrap();
        let now = months(&store);
        assert!(now.contains(&old[0]), "the month stands");
        assert!(now.len() <= 9, "{} segments", now.len());
    }
    assert_eq!(values(&store, "d", "x"), expected);
    store.compact(true, None).unwrap();
    assert_eq!(months(&store).len(), 1);
    assert_eq!(values(&store, "d", "x"), expected);
}

#[test]
fn a_month_of_any_size_is_loaded_and_merged_slice_by_slice() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let rows = 1_500_000_i64;
    let mut load = store.bulk_load().unwrap();
    let device = load.device(&DeviceId::new("fast").unwrap()).unwrap();
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Integer, None, None).unwrap();
    for part in 0..30_i64 {
        let times: Vec<i64> = (0..rows / 30).map(|row| (part * rows / 30 + row) * 500_000_000).collect();
        let values = Values::Integer(times.iter().map(|time| time / 500_000_000 % 1_013).collect());
        load.rows(device, &DeviceRows { times, columns: vec![(metric, Column { presence: Presence::All, values })] })
            .unwrap();
    }
    assert_eq!(load.commit().unwrap().rows, rows as u64);
    let check = |store: &Store, how: &str, odd: i64| {
        let snapshot = store.snapshot().unwrap();
        let device = snapshot.catalog().device("fast").unwrap();
        for segment in snapshot.segments() {
            let slices = segment.segment().unwrap().slices(device).unwrap();
            assert!(slices.iter().all(|slice| slice.rows as usize * 2 <= segment_set::SLICE_VALUES), "{how}");
        }
        let held = snapshot.rows(device, TimeRange::ALL, None).unwrap();
        assert_eq!(held.len() as i64, rows, "{how}");
        let Values::Integer(values) = &held.columns[0].1.values else { panic!("integers") };
        let right = |row: i64| if row == 700_000 { odd } else { row % 1_013 };
        assert!(values.iter().zip(0..).all(|(value, row)| *value == right(row)), "{how}");
    };
    check(&store, "loaded", 700_000 % 1_013);
    let mut late = WriteBatch::new();
    late.reading("fast", at(700_000 * 500_000_000)).integer("x", -5);
    store.write(late).unwrap();
    store.seal().unwrap();
    check(&store, "late", -5);
    store.compact(true, None).unwrap();
    assert_eq!(store.snapshot().unwrap().segments().len(), 1);
    check(&store, "merged", -5);
}

#[test]
fn keys_are_let_go_after_a_week_and_those_that_stand_stay() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(HandClock::default());
    let store = Store::open(folder.path(), Options { clock: clock.clone(), ..options() }).unwrap();
    let keyed = |key: String, time: i64| {
        let mut batch = reading("d", time, "x", 1.0);
        batch.idempotency_key(key);
        store.write(batch).unwrap()
    };
    let old: Vec<Sequence> = (0..12).map(|n| keyed(format!("old {n}"), n)).collect();
    assert_eq!(keyed("old 3".to_owned(), 3), old[3], "a key within the week");
    clock.0.store(8 * DAY_NS, Ordering::SeqCst);
    // Many writers at once let the same old keys go.
    let new: Vec<Sequence> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8).map(|n| scope.spawn(move || keyed(format!("new {n}"), 100 + n))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let again = keyed("old 11".to_owned(), 11);
    assert!(again > old[11], "a key that is too old counts no more");
    for n in 0..8 {
        assert_eq!(keyed(format!("new {n}"), 100 + n), new[n as usize], "a key of this week still stands");
    }
    assert_eq!(keyed("old 11".to_owned(), 11), again);
    let kept = |prefix: &[u8], to: &[u8]| {
        let mut count = 0;
        let mut visit = |_: &[u8], _: &[u8]| {
            count += 1;
            Ok(true)
        };
        store.core().kv.scan(crate::kv::Family::Idempotency, prefix, Some(to), &mut visit).unwrap();
        count
    };
    assert_eq!((kept(b"k", b"l"), kept(b"s", b"t")), (9, 9), "each key has its two records");
}

#[test]
fn an_event_that_comes_again_after_a_delete_changes_no_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let event = |batch: &mut WriteBatch| batch.event("d", at(5), EventKind::Failure, [("part", "pump")]);
    let mut batch = WriteBatch::new();
    event(&mut batch);
    store.write(batch).unwrap();
    let first = store.snapshot().unwrap();
    store.write(delete("d", TimeRange::ALL)).unwrap();
    let deleted = store.snapshot().unwrap();
    for _ in 0..2 {
        let mut batch = WriteBatch::new();
        event(&mut batch);
        store.write(batch).unwrap();
    }
    let again = store.snapshot().unwrap();
    // A batch that deletes what it then states: the statement stays.
    let mut both = delete("d", TimeRange::ALL);
    event(&mut both);
    store.write(both).unwrap();
    let stated = store.snapshot().unwrap();
    store.write(delete("d", TimeRange::ALL)).unwrap();
    let gone = store.snapshot().unwrap();
    let counts = [&first, &deleted, &again, &stated, &gone].map(|snapshot| events(snapshot).len());
    assert_eq!(counts, [1, 0, 1, 1, 0]);
    drop(store);
}

#[test]
fn a_snapshot_that_holds_too_much_expires_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 8 << 20, ..options() }).unwrap();
    let mut held = Vec::new();
    for batch in 0..40_i64 {
        let mut write = WriteBatch::new();
        for row in 0..10_000_i64 {
            write.reading("d", at((batch * 10_000 + row) * 1_000_000_000)).float("x", row as f64);
        }
        store.write(write).unwrap();
        held.push(store.snapshot().unwrap());
        store.seal().unwrap();
    }
    let kind = |snapshot: &Snapshot| {
        let device = snapshot.catalog().device("d").unwrap();
        snapshot.rows(device, TimeRange::ALL, None).map(|rows| rows.len()).map_err(|error| error.kind())
    };
    assert_eq!(kind(&held[0]), Err(ErrorKind::SnapshotExpired));
    assert_eq!(kind(&held[39]), Ok(400_000), "the newest still shows its moment");
}
