//! The store on real folders: opening, durability, order, events, snapshots, readers beside a writer.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::error::ErrorKind;
use crate::model::{Delete, DeviceId, Event, EventKind, MetricName, Values};
use crate::time::{DAY_NS, TimeRange, Timestamp};

pub(super) fn options() -> Options {
    Options { create: true, threads: 1, compact_in_background: false, ..Options::default() }
}

pub(super) fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

pub(super) fn reading(device: &str, time: i64, metric: &str, value: f64) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.reading(device, at(time)).float(metric, value);
    batch
}

/// (time, value) of one metric of a device.
pub(super) fn values(store: &Store, device: &str, metric: &str) -> Vec<(i64, f64)> {
    let snapshot = store.snapshot().unwrap();
    let device = snapshot.catalog().device(device).unwrap();
    let metric = snapshot.catalog().metric(metric).unwrap().handle;
    let rows = snapshot.rows(device, TimeRange::ALL, Some(&[metric])).unwrap();
    let Some(column) = rows.column(metric) else { return Vec::new() };
    let Values::Float(values) = &column.values else { panic!("not floats") };
    rows.times.iter().copied().zip(values.iter().copied()).collect()
}

pub(super) fn events(snapshot: &Snapshot) -> Vec<Event> {
    let mut events = Vec::new();
    snapshot
        .events(TimeRange::ALL, None, &mut |event| {
            events.push(event.clone());
            Ok(true)
        })
        .unwrap();
    events
}

#[test]
fn folders_that_are_no_store_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path, create| Store::open(path, Options { create, ..options() }).unwrap_err().kind();
    assert_eq!(refused(&folder.path().join("absent"), false), ErrorKind::NotFound);
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    assert_eq!(refused(folder.path(), true), ErrorKind::AlreadyExists);
    assert_eq!(refused(&folder.path().join("letter.txt"), true), ErrorKind::AlreadyExists);
    assert_eq!(Store::open_read_only(folder.path(), options()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn writes_are_there_after_every_way_of_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let expected = [(5, 1.5), (DAY_NS, 2.5), (DAY_NS + 1, 3.5)];
    {
        let store = Store::open(folder.path(), options()).unwrap();
        store.write(reading("a", DAY_NS, "x", 2.5)).unwrap();
        store.write(reading("a", 5, "x", 1.5)).unwrap();
        assert_eq!(Store::open(folder.path(), options()).unwrap_err().kind(), ErrorKind::StoreHeld);
        store.seal().unwrap();
        store.write(reading("a", DAY_NS + 1, "x", 3.5)).unwrap();
        assert_eq!(values(&store, "a", "x"), expected);
    }
    for round in 0..3 {
        let store = Store::open(folder.path(), options()).unwrap();
        assert_eq!(values(&store, "a", "x"), expected, "round {round}");
        match round {
            0 => store.seal().unwrap(),
            1 => store.compact(true, None).unwrap(),
            _ => {}
        }
        assert_eq!(values(&store, "a", "x"), expected, "round {round}");
        let info = store.info().unwrap();
        assert_eq!((info.devices, info.metrics, info.samples, info.values), (1, 1, 3, 3));
    }
}

#[test]
fn later_commits_win_metric_by_metric_and_deletes_hide_only_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write(reading("a", 10, "x", 1.0)).unwrap();
    store.write(reading("a", 10, "y", 2.0)).unwrap();
    store.seal().unwrap();
    store.write(reading("a", 10, "x", 3.0)).unwrap();
    assert_eq!((values(&store, "a", "x"), values(&store, "a", "y")), (vec![(10, 3.0)], vec![(10, 2.0)]));
    let mut delete = WriteBatch::new();
    let metric = Some(MetricName::new("x").unwrap());
    delete.delete(Delete {
        device: DeviceId::new("a").unwrap(),
        metric,
        range: TimeRange::new(at(0), at(20)),
        events: false,
    });
    store.write(delete).unwrap();
    assert_eq!((values(&store, "a", "x"), values(&store, "a", "y")), (vec![], vec![(10, 2.0)]));
    store.write(reading("a", 10, "x", 4.0)).unwrap();
    for step in 0..4 {
        assert_eq!(
            (values(&store, "a", "x"), values(&store, "a", "y")),
            (vec![(10, 4.0)], vec![(10, 2.0)]),
            "step {step}"
        );
        if step == 1 { store.compact(true, None).unwrap() } else { store.seal().unwrap() }
    }
    assert!(store.snapshot().unwrap().manifest().tombstones.is_empty());
}

#[test]
fn a_refused_batch_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let accepted_times = TimeRange::new(at(0), at(DAY_NS));
    let store = Store::open(folder.path(), Options { accepted_times, ..options() }).unwrap();
    store.write(reading("a", 1, "x", 1.0)).unwrap();
    let before = store.snapshot().unwrap().sequence();
    let mut text = WriteBatch::new();
    text.reading("new", at(2)).text("x", "words");
    assert_eq!(store.write(text).unwrap_err().kind(), ErrorKind::TypeMismatch);
    let outside = store.write(reading("new", DAY_NS, "x", 1.0)).unwrap_err();
    assert_eq!((outside.kind(), outside.device()), (ErrorKind::InvalidInput, Some("new")));
    for device in ["", "two\nlines"] {
        let mut alone = WriteBatch::new();
        alone.reading(device, at(2)).float("x", 1.0);
        assert_eq!(store.write(alone).unwrap_err().kind(), ErrorKind::InvalidInput, "{device:?}");
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.sequence(), snapshot.catalog().device_count()), (before, 1));
}

#[test]
fn a_snapshot_shows_its_moment_through_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut batch = reading("a", 10, "x", 1.0);
    batch.event("a", at(10), EventKind::Failure, [("component", "pump")]);
    batch.attribute("a", "region", "north");
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.write(reading("a", 20, "x", 2.0)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let device = snapshot.catalog().device("a").unwrap();
    let show = || {
        let rows = snapshot.rows(device, TimeRange::ALL, None).unwrap();
        let region = snapshot.attributes().value_at(device, "region", at(15)).map(|value| value.to_text());
        (rows.times, region, events(&snapshot))
    };
    let before = show();
    assert_eq!((before.0.len(), before.2.len()), (2, 1));
    let mut later = reading("a", 10, "x", 9.0);
    later.attribute("a", "region", "south");
    later.event("a", at(30), EventKind::Failure, [("component", "fan")]);
    later.delete(Delete { device: DeviceId::new("a").unwrap(), metric: None, range: TimeRange::ALL, events: true });
    store.write(later).unwrap();
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    assert_eq!(show(), before);
    let files = || fs::read_dir(folder.path().join("segments")).unwrap().count();
    let pinned = files();
    drop(snapshot);
    assert!(files() < pinned, "files go with their last snapshot");
}

#[test]
fn events_are_stored_once_and_merged_devices_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    for device in ["a", "b", "a"] {
        let mut batch = reading(device, 10, "x", 1.0);
        batch.event(device, at(10), EventKind::Failure, [("component", "pump")]);
        batch.event(device, at(10), EventKind::Failure, [("component", "fan")]);
        store.write(batch).unwrap();
    }
    assert_eq!(events(&store.snapshot().unwrap()).len(), 4);
    store.write(reading("b", 20, "x", 2.0)).unwrap();
    let mut merge = WriteBatch::new();
    merge.merge_devices(DeviceId::new("b").unwrap(), DeviceId::new("a").unwrap());
    merge.rename_device(DeviceId::new("a").unwrap(), DeviceId::new("c").unwrap());
    store.write(merge).unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    for id in ["a", "b", "c"] {
        assert_eq!(values(&store, id, "x"), [(10, 1.0), (20, 2.0)], "{id}");
    }
    let all = events(&store.snapshot().unwrap());
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|event| event.device.as_str() == "c"));
}

#[test]
fn an_idempotency_key_stores_once_also_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let keyed = |value| {
        let mut batch = reading("a", 10, "x", value);
        batch.idempotency_key("upload-7");
        batch
    };
    let store = Store::open(folder.path(), options()).unwrap();
    let first = store.write(keyed(1.0)).unwrap();
    assert_eq!(store.write(keyed(2.0)).unwrap(), first);
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.write(keyed(3.0)).unwrap(), first);
    assert_eq!(values(&store, "a", "x"), [(10, 1.0)]);
}

#[test]
fn readers_beside_a_writer_see_their_moment_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write(reading("a", 10, "x", 1.0)).unwrap();
    store.seal().unwrap();
    store.write(reading("a", 20, "x", 2.0)).unwrap();
    let reader = Store::open_read_only(folder.path(), options()).unwrap();
    assert_eq!(reader.write(reading("a", 30, "x", 3.0)).unwrap_err().kind(), ErrorKind::ReadOnly);
    store.write(reading("a", 30, "x", 3.0)).unwrap();
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    assert_eq!(values(&reader, "a", "x"), [(10, 1.0), (20, 2.0)]);
    assert_eq!(values(&Store::open_read_only(folder.path(), options()).unwrap(), "a", "x").len(), 3);
}

#[test]
fn files_of_killed_work_go_and_strangers_are_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        store.write(reading("a", 10, "x", 1.0)).unwrap();
        store.seal().unwrap();
        // An intent that was never finished, as a kill leaves it.
        let ids = store.core().reserve(3, "seal").unwrap();
        let unfinished = crate::segment::temporary_name(ids.intent.first);
        fs::write(folder.path().join("segments").join(unfinished), "half").unwrap();
        fs::write(folder.path().join("segments/00000000000fffff.fls"), "stranger").unwrap();
    }
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(values(&store, "a", "x"), [(10, 1.0)]);
    assert_eq!(fs::read_dir(folder.path().join("segments")).unwrap().count(), 1);
    assert_eq!(fs::read(folder.path().join("quarantine/00000000000fffff.fls")).unwrap(), b"stranger");
}

#[test]
fn a_lost_log_is_noticed_and_names_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = Store::open(folder.path(), options()).unwrap();
        for time in 0..10 {
            store.write(reading("a", time, "x", 1.0)).unwrap();
        }
        store.close().unwrap();
    }
    for file in fs::read_dir(folder.path().join("rocksdb")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let whole = fs::read(&path).unwrap();
            fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
        }
    }
    let error = Store::open(folder.path(), options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataLoss, "{error}");
    assert!(error.message().contains("to 10"), "{error}");
    // Without any of its log, the database does not even know that it is one of a store.
    for file in fs::read_dir(folder.path().join("rocksdb")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log" || extension == "sst") {
            fs::remove_file(&path).unwrap();
        }
    }
    for opened in [Store::open(folder.path(), options()), Store::open_read_only(folder.path(), options())] {
        let error = opened.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::DataLoss | ErrorKind::Corruption), "{error}");
    }
}

#[test]
fn a_closed_store_takes_no_writes_and_goes_on_answering() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write(reading("a", 1, "x", 1.0)).unwrap();
    let clone = store.clone();
    store.close().unwrap();
    assert_eq!(clone.write(reading("a", 2, "x", 2.0)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(clone.bulk_load().err().map(|error| error.kind()), Some(ErrorKind::Closed));
    assert_eq!(clone.snapshot().unwrap().sequence().0, 1);
    drop(clone);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(store.write(reading("a", 2, "x", 2.0)).unwrap().0, 2);
}

#[test]
fn what_is_wrong_with_a_batch_stays_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut batch = WriteBatch::new();
    batch.reading("c", at(1)).float("device", 1.0).float("ok", 2.0);
    let said: Vec<String> = (0..2).map(|_| batch.check().unwrap_err().to_string()).collect();
    assert_eq!(said[0], said[1]);
    assert_eq!(store.write(batch).unwrap_err().to_string(), said[0]);
    let threads = Options { threads: 100_000, ..options() };
    drop(store);
    assert_eq!(Store::open(folder.path(), threads).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_batch_renames_a_device_and_writes_under_its_new_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let id = |id: &str| DeviceId::new(id).unwrap();
    for (from, to, time) in [("a", "b", 2), ("b", "c", 3)] {
        let mut batch = reading(from, 1, "x", 1.0);
        batch.rename_device(id(from), id(to));
        batch.reading(to, at(time)).float("x", 2.0);
        store.write(batch).unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.catalog().device_count(), 1);
    let handle = snapshot.catalog().device("c").unwrap();
    assert_eq!(snapshot.rows(handle, TimeRange::ALL, None).unwrap().times.len(), 3);
    store.write(reading("z", 1, "x", 1.0)).unwrap();
    let mut onto = WriteBatch::new();
    onto.rename_device(id("z"), id("c"));
    let error = store.write(onto).unwrap_err();
    assert!(error.kind() == ErrorKind::AlreadyExists && error.message().contains("device 'c'"), "{error}");
}

#[test]
fn many_writers_seals_and_snapshots_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 4 << 20, ..options() }).unwrap();
    const WRITERS: usize = 4;
    const BATCHES: i64 = 40;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = store.clone();
            scope.spawn(move || {
                for batch in 0..BATCHES {
                    let mut write = WriteBatch::new();
                    for row in 0..50 {
                        write
                            .reading(format!("d{writer}"), at((batch * 50 + row) * 1_000_000_000_000))
                            .float("x", row as f64);
                    }
                    store.write(write).unwrap();
                }
            });
        }
        let store = store.clone();
        scope.spawn(move || {
            for _ in 0..10 {
                store.seal().unwrap();
                let snapshot = store.snapshot().unwrap();
                for device in snapshot.catalog().devices() {
                    // Batches are all or nothing: a moment shows whole ones.
                    assert_eq!(snapshot.rows(device.handle, TimeRange::ALL, None).unwrap().len() % 50, 0);
                }
            }
        });
    });
    store.compact(true, None).unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    for writer in 0..WRITERS {
        assert_eq!(values(&store, &format!("d{writer}"), "x").len(), BATCHES as usize * 50);
    }
}

#[test]
fn writers_wait_for_memory_and_never_pass_it_by_much() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 8 << 20, ..options() }).unwrap();
    for batch in 0..60_i64 {
        let mut write = WriteBatch::new();
        for row in 0..5_000_i64 {
            write
                .reading(format!("d{}", row % 50), at((batch * 100 + row / 50) * 1_000_000_000))
                .float("x", 1.0)
                .float("y", 2.0);
        }
        store.write(write).unwrap();
        let hot = lock(&store.core().state).hot_bytes();
        assert!(hot < 6 << 20, "{hot} bytes of unsealed rows");
    }
    assert!(store.written_bytes().sealed > 0);
    assert_eq!(store.info().unwrap().samples, 300_000);
}

#[test]
fn a_bulk_load_is_all_or_nothing_and_keeps_its_place_in_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let device = DeviceId::new("a").unwrap();
    let name = MetricName::new("x").unwrap();
    let load = |values: Vec<f64>, step: i64| {
        let mut load = store.bulk_load().unwrap();
        let handle = load.device(&device).unwrap();
        let (metric, _) = load.metric(&name, crate::model::MetricType::Float, None, None).unwrap();
        let times = (0..values.len() as i64).map(|place| place * step).collect();
        let column = crate::model::Column { presence: crate::model::Presence::All, values: Values::Float(values) };
        load.rows(handle, &crate::model::DeviceRows { times, columns: vec![(metric, column)] }).unwrap();
        load
    };
    store.write(reading("a", 0, "x", 100.0)).unwrap();
    load(vec![1.0; 5], DAY_NS * 20).abandon().unwrap();
    assert_eq!(values(&store, "a", "x"), [(0, 100.0)]);
    drop(load(vec![1.0; 5], DAY_NS * 20));
    assert_eq!(fs::read_dir(folder.path().join("segments")).unwrap().count(), 0);
    let loaded = load(vec![1.0; 5], DAY_NS * 20).commit().unwrap();
    assert_eq!((loaded.rows, loaded.overwriting), (5, 1));
    store.write(reading("a", DAY_NS * 20, "x", 200.0)).unwrap();
    let expected = [(0, 1.0), (DAY_NS * 20, 200.0), (DAY_NS * 40, 1.0), (DAY_NS * 60, 1.0), (DAY_NS * 80, 1.0)];
    for step in 0..3 {
        assert_eq!(values(&store, "a", "x"), expected, "step {step}");
        if step == 0 { store.seal().unwrap() } else { store.compact(true, None).unwrap() }
    }
    // More months than files: the rest shares one.
    load(vec![3.0; 100], DAY_NS * 31).commit().unwrap();
    assert_eq!(values(&store, "a", "x").iter().filter(|(_, value)| *value == 3.0).count(), 100);
    assert!(store.snapshot().unwrap().segments().len() <= 64);
    store.compact(true, None).unwrap();
    assert_eq!(values(&store, "a", "x").iter().filter(|(_, value)| *value == 3.0).count(), 100);
}

#[test]
fn a_load_that_does_not_commit_leaves_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write(reading("b", 0, "count", 100.0)).unwrap();
    let load = || {
        let mut load = store.bulk_load().unwrap();
        let handle = load.device(&DeviceId::new("a").unwrap()).unwrap();
        let name = MetricName::new("power").unwrap();
        let (metric, _) = load.metric(&name, crate::model::MetricType::Float, Some("W"), None).unwrap();
        let column = crate::model::Column { presence: crate::model::Presence::All, values: Values::Float(vec![7.0]) };
        load.rows(handle, &crate::model::DeviceRows { times: vec![5], columns: vec![(metric, column)] }).unwrap();
        load
    };
    let names = |store: &Store| {
        let snapshot = store.snapshot().unwrap();
        let devices = snapshot.catalog().devices().map(|device| device.id.to_string());
        devices.chain(snapshot.catalog().metrics().map(|metric| metric.name.to_string())).collect::<Vec<_>>()
    };
    load().abandon().unwrap();
    assert_eq!(names(&store), ["b", "count"]);

    // Somebody else names the metric in another unit, or takes the id: the load says so, and changes nothing.
    let late = load();
    let mut kilo = reading("b", 1, "power", 1.0);
    kilo.unit("power", "kW");
    store.write(kilo).unwrap();
    assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::TypeMismatch);
    let late = load();
    let mut rename = WriteBatch::new();
    rename.rename_device(DeviceId::new("b").unwrap(), DeviceId::new("a").unwrap());
    store.write(rename).unwrap();
    assert_eq!(late.commit().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(values(&store, "a", "power"), [(1, 1.0)]);

    store.clone().close().unwrap();
    drop(store);
    let store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(names(&store), ["a", "count", "power"]);
    store.write(reading("c", 1, "power", 2.0)).unwrap();
    assert_eq!(values(&store, "c", "power"), [(1, 2.0)]);
}

#[test]
fn wrong_clocks_from_1677_to_2262_share_one_segment() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut batch = WriteBatch::new();
    let step = i64::MAX / 100;
    for place in -100..=100_i64 {
        batch.reading("a", at(place * step)).float("x", place as f64);
    }
    for second in 0..1_000 {
        batch.reading("b", at(1_700_000_000_000_000_000 + second * 1_000_000_000)).float("x", 1.0);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    assert!(store.snapshot().unwrap().segments().len() <= 60);
    let all = values(&store, "a", "x");
    assert_eq!(all.len(), 201);
    let cold = Arc::new(store);
    cold.compact(true, None).unwrap();
    assert!(cold.snapshot().unwrap().segments().len() <= 60, "months of a row each get no file of their own");
    assert_eq!(values(&cold, "a", "x"), all);
    assert_eq!(values(&cold, "b", "x").len(), 1_000);
}
