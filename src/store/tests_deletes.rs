//! Deletes among writes, against a map of every write: few files, few looks, the same answers in every layout.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::deletes::{Deletes, joined, needed};
use super::tests::{at, options, reading};
use super::*;
use crate::format::Tombstone;
use crate::model::{
    Column, Delete, DeviceHandle, DeviceId, DeviceRows, MetricHandle, MetricName, MetricType, Presence, Values,
};
use crate::time::{DAY_NS, TimeRange};

const DEVICES: [&str; 3] = ["a", "b", "c"];
const METRICS: [&str; 2] = ["x", "y"];

/// Every value that shows: device, instant, metric.
type Map = BTreeMap<(String, i64, String), f64>;

fn map_of(snapshot: &Snapshot) -> Map {
    let mut map = Map::new();
    for device in snapshot.catalog().devices() {
        let rows = snapshot.rows(device.handle, TimeRange::ALL, None).unwrap();
        for (metric, column) in &rows.columns {
            let name = snapshot.catalog().metric_by_handle(*metric).unwrap().name.to_string();
            let Values::Float(values) = &column.values else { panic!("floats") };
            for (row, time) in rows.times.iter().enumerate() {
                if let Some(place) = column.presence.value_place(row) {
                    map.insert((device.id.to_string(), *time, name.clone()), values[place]);
                }
            }
        }
    }
    map
}

fn delete(store: &Store, map: &mut Map, device: &str, metric: Option<&str>, range: TimeRange) {
    let mut batch = WriteBatch::new();
    let name = metric.map(|metric| MetricName::new(metric).unwrap());
    batch.delete(Delete { device: DeviceId::new(device).unwrap(), metric: name, range, events: true });
    store.write(batch).unwrap();
    map.retain(|(owner, time, of), _| {
        owner != device || metric.is_some_and(|metric| metric != of) || !range.contains(at(*time))
    });
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as i64
    }
}

/// Writes of three days with a delete after each, of whatever was or will be written there.
fn write_and_delete(store: &Store, map: &mut Map, dice: &mut Dice, rounds: i64) {
    for round in 0..rounds {
        for device in DEVICES {
            let mut batch = WriteBatch::new();
            for _ in 0..4 {
                let time = dice.roll(3) * DAY_NS + dice.roll(40);
                let metric = METRICS[dice.roll(2) as usize];
                batch.reading(device, at(time)).float(metric, round as f64);
                map.insert((device.to_owned(), time, metric.to_owned()), round as f64);
            }
            store.write(batch).unwrap();
        }
        let metric = [None, Some("x"), Some("y")][dice.roll(3) as usize];
        let from = dice.roll(3) * DAY_NS + dice.roll(40);
        let range = TimeRange::new(at(from), at(from + 1 + dice.roll(12)));
        delete(store, map, DEVICES[dice.roll(3) as usize], metric, range);
    }
}

#[test]
fn two_hundred_deletes_among_writes_leave_few_segments_and_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), options()).unwrap();
    let (mut map, mut dice) = (Map::new(), Dice(0x9e37_79b9_7f4a_7c15));
    for metric in METRICS {
        store.write(reading("a", 0, metric, -1.0)).unwrap();
        map.insert(("a".to_owned(), 0, metric.to_owned()), -1.0);
    }
    write_and_delete(&store, &mut map, &mut dice, 100);
    let (middle, then) = (store.snapshot().unwrap(), map.clone());
    assert_eq!(map_of(&middle), map, "unsealed");
    write_and_delete(&store, &mut map, &mut dice, 100);
    store.seal().unwrap();
    let segments = store.snapshot().unwrap().segments().len();
    assert!(segments <= 3, "{segments} segments for three days");
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "sealed");
    assert_eq!(map_of(&middle), then, "a snapshot shows what was deleted after it");

    // What is replayed from the log is sealed the same way.
    write_and_delete(&store, &mut map, &mut dice, 50);
    drop(middle);
    store.close().unwrap();
    store = Store::open(folder.path(), options()).unwrap();
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "replayed");
    store.seal().unwrap();
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "sealed again");
    assert!(store.snapshot().unwrap().segments().len() <= 6);
    store.compact(true, None).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((map_of(&snapshot), snapshot.manifest().tombstones.len()), (map, 0), "compacted");
}

#[test]
fn a_month_is_written_anew_for_a_delete_once_that_is_sealed_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path(), options()).unwrap();
    let mut map = Map::new();
    let mut put = |store: &Store, time: i64| {
        store.write(reading("a", time, "x", 1.0)).unwrap();
        map.insert(("a".to_owned(), time, "x".to_owned()), 1.0);
    };
    for time in [0, 1, 2, 90 * DAY_NS] {
        put(&store, time);
    }
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    store.close().unwrap();
    store = Store::open(folder.path(), options()).unwrap();
    delete(&store, &mut map, "a", None, TimeRange::new(at(1), at(2)));
    // Each opening, and each load, has the background look for what is due.
    for round in 0..3 {
        store.compact(false, None).unwrap();
        assert_eq!((store.written_bytes().compacted, map_of(&store.snapshot().unwrap())), (0, map.clone()), "{round}");
        store.close().unwrap();
        store = Store::open(folder.path(), options()).unwrap();
    }
    store.seal().unwrap();
    store.compact(false, None).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(store.written_bytes().compacted > 0);
    assert_eq!((map_of(&snapshot), snapshot.manifest().tombstones.len()), (map, 0));
}

#[test]
fn a_seal_finds_deletes_by_what_snapshots_find_them_by() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    store.write(reading("a", 1, "x", 1.0)).unwrap();
    delete(&store, &mut Map::new(), "a", None, TimeRange::new(at(0), at(9)));
    let made = || lock(&store.core().state).deletes.get().is_some();
    assert!(!made());
    store.seal().unwrap();
    assert!(made(), "the seal made deletes of its own, under the lock");
}

#[test]
fn a_bulk_load_among_deletes_keeps_its_place_in_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut map = Map::new();
    let put = |map: &mut Map, times: std::ops::Range<i64>, value: f64| {
        map.extend(times.map(|time| (("a".to_owned(), time, "x".to_owned()), value)));
    };
    let write = |times: std::ops::Range<i64>, value: f64| {
        let mut batch = WriteBatch::new();
        times.for_each(|time| {
            batch.reading("a", at(time)).float("x", value);
        });
        store.write(batch).unwrap();
    };
    write(0..40, 1.0);
    put(&mut map, 0..40, 1.0);
    delete(&store, &mut map, "a", None, TimeRange::new(at(0), at(4)));
    let mut load = store.bulk_load().unwrap();
    let device = load.device(&DeviceId::new("a").unwrap()).unwrap();
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None).unwrap();
    let column = Column { presence: Presence::All, values: Values::Float(vec![2.0; 20]) };
    load.rows(device, &DeviceRows { times: (10..30).collect(), columns: vec![(metric, column)] }).unwrap();
    load.commit().unwrap();
    put(&mut map, 10..30, 2.0);
    delete(&store, &mut map, "a", None, TimeRange::new(at(8), at(12)));
    write(9..16, 3.0);
    put(&mut map, 9..16, 3.0);
    delete(&store, &mut map, "a", Some("x"), TimeRange::new(at(14), at(18)));
    write(17..18, 4.0);
    put(&mut map, 17..18, 4.0);
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "unsealed");
    store.seal().unwrap();
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "sealed");
    let ranges: BTreeSet<(u64, u64)> =
        store.snapshot().unwrap().segments().iter().map(|s| s.entry.sequences).map(|(a, b)| (a.0, b.0)).collect();
    assert_eq!(ranges, BTreeSet::from([(1, 1), (3, 3), (5, 7)]), "before the load, the load, after it");
    store.compact(true, None).unwrap();
    assert_eq!(map_of(&store.snapshot().unwrap()), map, "compacted");
}

fn tombstones() -> impl Strategy<Value = Vec<Tombstone>> {
    let one = (0..4_u32, prop::option::of(0..2_u32), 0..20_i64, 1..20_i64, 1..9_u64);
    let one = one.prop_map(|(device, metric, from, length, sequence)| Tombstone {
        device: DeviceHandle(device),
        metric: metric.map(MetricHandle),
        range: TimeRange::new(at(from), at(from + length)),
        sequence: Sequence(sequence),
    });
    prop::collection::vec(one, 0..30)
}

proptest! {
    /// Law: what is found by device is what a walk over all deletes finds.
    #[test]
    fn the_deletes_of_a_device_are_those_that_a_walk_finds(
        all in tombstones(), device in 0..5_u32, last in 0..10_u64, from in 0..30_i64, unsealed in prop::option::of(0..10_u64),
    ) {
        let (device, last, range) = (DeviceHandle(device), Sequence(last), TimeRange::new(at(from), at(from + 5)));
        let touches = |t: &&Tombstone| t.range.from < range.to && range.from < t.range.to;
        let mut walked: Vec<Tombstone> =
            all.iter().filter(touches).filter(|t| t.device == device && t.sequence > last).cloned().collect();
        walked.sort_by_key(|t| t.sequence);
        let deletes = Deletes::of(&all, range);
        prop_assert_eq!(deletes.after(device, last), walked);
        let kept: BTreeSet<u64> = needed(&all, unsealed.map(Sequence), &[]).into_iter().map(|s| s.0).collect();
        let older = all.iter().map(|t| t.sequence.0).filter(|sequence| unsealed.is_some_and(|first| first < *sequence));
        prop_assert_eq!(kept, older.collect::<BTreeSet<u64>>());
    }

    /// Law: ranges that are joined hold what the ranges hold, and do not meet.
    #[test]
    fn joined_ranges_hold_what_the_ranges_hold(all in tombstones()) {
        let ranges: Vec<TimeRange> = all.iter().map(|t| t.range).collect();
        let joined = joined(ranges.clone());
        prop_assert!(joined.windows(2).all(|pair| pair[0].to < pair[1].from));
        for time in -1..45 {
            let holds = |ranges: &[TimeRange]| ranges.iter().any(|range| range.contains(at(time)));
            prop_assert_eq!(holds(&joined), holds(&ranges));
        }
    }
}
