//! What a disk that fails leaves behind: nothing that was acknowledged is lost, nothing half done shows.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::error::ErrorKind;
use crate::io::FaultFileSystem;
use crate::model::{DeviceId, MetricName, MetricType, Presence, Values};
use crate::time::{TimeRange, Timestamp};

fn options(disk: &FaultFileSystem) -> Options {
    Options { file_system: std::sync::Arc::new(disk.clone()), compact_in_background: false, ..Options::default() }
}

/// Instants and values of the one device.
fn stored(store: &Store) -> Vec<(i64, f64)> {
    let snapshot = store.snapshot().unwrap();
    let Some(device) = snapshot.catalog().device("d") else { return Vec::new() };
    let rows = snapshot.rows(device, TimeRange::ALL, None).unwrap();
    let Some((_, column)) = rows.columns.first() else { return Vec::new() };
    let Values::Float(values) = &column.values else { panic!("floats") };
    rows.times.iter().copied().zip(values.iter().copied()).collect()
}

fn write(store: &Store, at: i64) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.reading("d", Timestamp::from_nanoseconds(at)).float("x", at as f64);
    store.write(batch).map(|_| ())
}

fn load(store: &Store, times: &[i64]) -> Result<()> {
    let mut load = store.bulk_load()?;
    let device = load.device(&DeviceId::new("d").unwrap())?;
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None)?;
    let values = Values::Float(times.iter().map(|time| *time as f64).collect());
    let column = crate::model::Column { presence: Presence::All, values };
    load.rows(device, &crate::model::DeviceRows { times: times.to_vec(), columns: vec![(metric, column)] })?;
    load.commit().map(|_| ())
}

/// Everything that changes a store. Gives the instants that were acknowledged; of those under way when the disk failed it can
/// not say.
fn work(store: &Store) -> (Vec<i64>, Vec<i64>) {
    let (mut sure, mut unsure) = (Vec::new(), Vec::new());
    for step in 0..4_i64 {
        let day = step * crate::time::DAY_NS;
        let places = if write(store, day).is_ok() { &mut sure } else { &mut unsure };
        places.push(day);
        // What fails here is told, and changes no answer.
        let _ = store.seal();
        let times = [day + 10, day + 20];
        let places = if load(store, &times).is_ok() { &mut sure } else { &mut unsure };
        places.extend(times);
        let _ = store.compact(true, None);
    }
    (sure, unsure)
}

#[test]
fn a_disk_that_fails_at_any_change_loses_nothing() {
    for stays in [false, true] {
        for after in (0..400).step_by(if stays { 7 } else { 1 }) {
            let folder = tempfile::tempdir().unwrap();
            let disk = FaultFileSystem::after(after, stays);
            let healthy = FaultFileSystem::after(0, false);
            healthy.heal();
            // The folder is made on a healthy disk: what fails before there is a store is another test's subject.
            Store::open(folder.path(), options(&healthy)).unwrap().close().unwrap();
            let Ok(store) = Store::open(folder.path(), options(&disk)) else { continue };
            let (sure, unsure) = work(&store);
            if disk.failures() == 0 {
                assert!(after > 100, "the work has {after} changes of the disk");
                break;
            }
            let check = |store: &Store, when: &str| {
                let found = stored(store);
                assert!(found.iter().all(|(time, value)| *time as f64 == *value));
                let times: Vec<i64> = found.iter().map(|(time, _)| *time).collect();
                let lost: Vec<&i64> = sure.iter().filter(|time| !times.contains(time)).collect();
                let extra: Vec<&i64> =
                    times.iter().filter(|time| !sure.contains(time) && !unsure.contains(time)).collect();
                assert!(lost.is_empty() && extra.is_empty(), "{when}, change {after}: lost {lost:?}, extra {extra:?}");
            };
            check(&store, "while open");
            drop(store);
            let store = Store::open(folder.path(), options(&healthy)).unwrap();
            check(&store, "opened again");
            write(&store, 1).unwrap();
            store.seal().unwrap();
            store.compact(true, None).unwrap();
            assert!(stored(&store).contains(&(1, 1.0)));
        }
    }
}

/// The real file system, which can not make so many of the next files.
#[derive(Debug)]
struct NoNewFiles(AtomicI64);

impl crate::io::FileSystemDouble for NoNewFiles {
    fn create(&self, path: &std::path::Path) -> Result<Box<dyn crate::io::WriteFile>> {
        if self.0.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Err(
                crate::Error::new(ErrorKind::OutOfSpace, "no space is left (a fault of the test)").at_path(path)
            );
        }
        crate::io::FileSystem::create(&crate::io::RealFileSystem, path)
    }
}

#[test]
fn what_is_left_to_merge_is_merged_after_an_opening_and_tried_again_where_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store =
        Store::open(&path, Options { create: true, compact_in_background: false, ..Options::default() }).unwrap();
    for second in 0..4 {
        write(&store, second).unwrap();
        store.seal().unwrap();
    }
    assert_eq!(store.snapshot().unwrap().segments().len(), 4);
    store.close().unwrap();
    let disk = std::sync::Arc::new(NoNewFiles(AtomicI64::new(2)));
    let store = Store::open(&path, Options { file_system: disk.clone(), ..Options::default() }).unwrap();
    // Nothing is written or sealed any more: what merges does so by itself.
    let begun = std::time::Instant::now();
    while store.snapshot().unwrap().segments().len() > 1 {
        assert!(begun.elapsed().as_secs() < 60, "nothing was merged");
        std::thread::yield_now();
    }
    assert_eq!(disk.0.load(Ordering::Relaxed), -1, "two merges failed, the third did not");
    assert_eq!(stored(&store), [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]);
    store.close().unwrap();
}

/// The start of the second month.
const SECOND_MONTH: i64 = 40 * crate::time::DAY_NS;

fn quiet() -> Options {
    Options { create: true, compact_in_background: false, ..Options::default() }
}

fn two_months_of_two_segments(path: &std::path::Path) -> Store {
    let store = Store::open(path, quiet()).unwrap();
    for time in [0, 1, SECOND_MONTH, SECOND_MONTH + 1] {
        write(&store, time).unwrap();
        store.seal().unwrap();
    }
    store
}

#[test]
fn a_damaged_segment_keeps_no_other_month_from_being_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = two_months_of_two_segments(&path);
    let files = |store: &Store| {
        let segments = store.snapshot().unwrap().segments().to_vec();
        segments.iter().map(|segment| (segment.entry.times.0, segment.entry.id)).collect::<Vec<_>>()
    };
    let damaged = path.join("segments").join(crate::segment::file_name(files(&store)[0].1));
    store.close().unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    // A bit of the first block, behind the header.
    bytes[50] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let store = Store::open(&path, quiet()).unwrap();
    let error = store.compact(true, None).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corruption, Some(damaged.as_path())), "{error}");
    let times: Vec<i64> = files(&store).into_iter().map(|(time, _)| time).collect();
    assert_eq!(times, [0, 1, SECOND_MONTH], "the second month is one file");
}

/// The real file system, but for one file that can not be read any more.
#[derive(Debug)]
struct BadSector(std::path::PathBuf);

#[derive(Debug)]
struct Unreadable(std::sync::Arc<dyn crate::io::ReadFile>);

impl crate::io::ReadFile for Unreadable {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
        Err(crate::Error::new(ErrorKind::Io, "input/output error (a fault of the test)").at_path(self.path()))
    }
    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl crate::io::FileSystemDouble for BadSector {
    fn open(&self, path: &std::path::Path) -> Result<std::sync::Arc<dyn crate::io::ReadFile>> {
        let file = crate::io::FileSystem::open(&crate::io::RealFileSystem, path)?;
        Ok(if path == self.0 { std::sync::Arc::new(Unreadable(file)) } else { file })
    }
}

#[test]
fn a_segment_that_can_not_be_read_keeps_no_other_month_from_being_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = two_months_of_two_segments(&path);
    let first = store.snapshot().unwrap().segments().iter().min_by_key(|one| one.entry.times).unwrap().entry.id;
    let bad = path.join("segments").join(crate::segment::file_name(first));
    store.close().unwrap();
    let disk = std::sync::Arc::new(BadSector(bad.clone()));
    let store = Store::open(&path, Options { file_system: disk, ..quiet() }).unwrap();
    let error = store.compact(true, None).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(bad.as_path())), "{error}");
    let mut times: Vec<i64> = store.snapshot().unwrap().segments().iter().map(|one| one.entry.times.0).collect();
    times.sort_unstable();
    assert_eq!(times, [0, 1, SECOND_MONTH], "the second month is one file");
}

#[test]
fn a_merge_in_the_background_makes_haste_for_one_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store =
        Store::open(&path, Options { create: true, compact_in_background: false, ..Options::default() }).unwrap();
    for second in 0..4 {
        write(&store, second).unwrap();
        store.seal().unwrap();
    }
    store.close().unwrap();
    // At a byte a second the merge that begins with the opening takes minutes.
    let store = Store::open(&path, Options { compaction_bytes_per_second: 1, ..Options::default() }).unwrap();
    let begun = std::time::Instant::now();
    let late = |seconds: u64| begun.elapsed().as_secs() >= seconds;
    while store.core().compacting.try_lock().is_ok() {
        assert!(!late(30), "nothing is merged");
        std::thread::yield_now();
    }
    let progress = Progress::default();
    let compacted = std::thread::scope(|scope| {
        let asked = scope.spawn(|| store.compact(true, Some(&progress)));
        while !asked.is_finished() && !late(30) {
            std::thread::yield_now();
        }
        progress.cancel();
        asked.join().unwrap()
    });
    assert!(compacted.is_ok(), "{compacted:?}");
    assert_eq!(store.snapshot().unwrap().segments().len(), 1);
    assert_eq!(stored(&store), [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]);
}
