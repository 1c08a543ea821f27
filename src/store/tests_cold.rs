//! The cold tier in a store: written once, known by its header, the same answers, and back to the fast one with late rows.

use std::collections::BTreeMap;

use super::tests::{at, options};
use super::*;
use crate::codec::Tier;
use crate::model::{Delete, DeviceId, SegmentId, Value};
use crate::time::{DAY_NS, HOUR_NS, TimeRange};

const MINUTE_NS: i64 = HOUR_NS / 60;
/// 2025-01-01: what is written lies in January and February.
const START: i64 = 20_089 * DAY_NS;
const DAYS: i64 = 50;

/// What was written last, by device, instant and metric.
type Map = BTreeMap<(String, i64, String), Value>;

fn text_of(row: i64) -> &'static str {
    ["idle", "running", "running", "Störung"][(row * row / 97 % 4) as usize]
}

/// Every tenth minute of some days, with a gap now and then: what codecs meet.
fn write(store: &Store, map: &mut Map, device: &str, days: std::ops::Range<i64>, shift: i64) {
    for day in days {
        let mut batch = WriteBatch::new();
        for slot in (0..144).filter(|slot| (slot + day * 7) % 31 != 0) {
            let row = day * 144 + slot;
            let time = START + row * 10 * MINUTE_NS + shift;
            let float = match row % 701 {
                0 => f64::from_bits(0x7ff8_0000_0000_beef),
                1 => -0.0,
                _ => (2_000 + row * row % 13 - row % 7) as f64 / 100.0,
            };
            let (integer, text) = (row * 3 + row * row % 5, text_of(row));
            batch.reading(device, at(time)).float("t", float).integer("n", integer).text("s", text);
            let values = [("t", Value::Float(float)), ("n", Value::Integer(integer)), ("s", Value::Text(text.into()))];
            for (metric, value) in values {
                map.insert((device.to_owned(), time, metric.to_owned()), value);
            }
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }
}

#[track_caller]
fn check(store: &Store, expected: &Map) {
    let snapshot = store.snapshot().unwrap();
    let mut found = Map::new();
    for device in snapshot.catalog().devices() {
        let rows = snapshot.rows(device.handle, TimeRange::ALL, None).unwrap();
        for (metric, column) in &rows.columns {
            let name = snapshot.catalog().metric_by_handle(*metric).unwrap().name.to_string();
            for (row, time) in rows.times.iter().enumerate() {
                if let Some(place) = column.presence.value_place(row) {
                    found.insert((device.id.to_string(), *time, name.clone()), column.values.get(place));
                }
            }
        }
    }
    assert!(found == *expected, "{} values, not {}", found.len(), expected.len());
}

/// Id, tier and bytes of each segment.
fn segments(store: &Store) -> Vec<(SegmentId, Tier, u64)> {
    let snapshot = store.snapshot().unwrap();
    let of = |segment: &std::sync::Arc<SegmentRef>| {
        (segment.entry.id, segment.segment().unwrap().tier(), segment.entry.bytes)
    };
    snapshot.segments().iter().map(of).collect()
}

fn tiers(store: &Store) -> Vec<Tier> {
    segments(store).iter().map(|(_, tier, _)| *tier).collect()
}

/// A store of January and February, merged into the cold tier.
fn cold_store(folder: &Path) -> (Store, Map) {
    let (store, mut map) = (Store::open(folder, options()).unwrap(), Map::new());
    write(&store, &mut map, "a", 0..DAYS, 0);
    write(&store, &mut map, "b", 0..DAYS, 5);
    store.compact(true, None).unwrap();
    (store, map)
}

#[test]
fn months_become_cold_once_smaller_and_with_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let (fast, mut map) = (Store::open(folder.path().join("fast"), options()).unwrap(), Map::new());
    write(&fast, &mut map, "a", 0..DAYS, 0);
    write(&fast, &mut map, "b", 0..DAYS, 5);
    fast.compact(false, None).unwrap();
    assert!(tiers(&fast).iter().all(|tier| *tier == Tier::Fast));
    let january = segments(&fast).iter().map(|(_, _, bytes)| *bytes).max().unwrap();

    let (store, map) = cold_store(&folder.path().join("cold"));
    check(&store, &map);
    let once = segments(&store);
    assert_eq!(once.iter().map(|(_, tier, _)| *tier).collect::<Vec<_>>(), [Tier::Cold, Tier::Cold]);
    let cold = once.iter().map(|(_, _, bytes)| *bytes).max().unwrap();
    assert!(cold * 10 < january * 9, "{cold} bytes, and {january} in the fast tier");
    // What is cold is left alone: by its header, also after it was opened anew.
    let written = store.written_bytes().compacted;
    store.compact(true, None).unwrap();
    assert_eq!((segments(&store), store.written_bytes().compacted), (once.clone(), written));
    store.close().unwrap();
    let store = Store::open(folder.path().join("cold"), options()).unwrap();
    store.compact(true, None).unwrap();
    store.compact(false, None).unwrap();
    assert_eq!((segments(&store), store.written_bytes().compacted), (once, 0));
    check(&store, &map);
}

#[test]
fn fast_months_become_cold_where_nothing_else_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut map) = (Store::open(folder.path(), options()).unwrap(), Map::new());
    write(&store, &mut map, "a", 0..31, 0);
    write(&store, &mut map, "a", 45..46, 0);
    store.compact(false, None).unwrap();
    assert_eq!(tiers(&store), [Tier::Fast, Tier::Fast]);
    store.compact(true, None).unwrap();
    assert_eq!(tiers(&store), [Tier::Cold, Tier::Cold]);
    check(&store, &map);
}

#[test]
fn late_rows_and_deletes_bring_a_month_back_into_the_fast_tier() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut map) = cold_store(folder.path());
    // More than an eighth of January, some of it in the place of what is there.
    write(&store, &mut map, "a", 3..15, 0);
    write(&store, &mut map, "b", 3..15, 7);
    check(&store, &map);
    store.compact(false, None).unwrap();
    check(&store, &map);
    assert_eq!(tiers(&store), [Tier::Cold, Tier::Fast]);
    store.compact(true, None).unwrap();
    assert_eq!(tiers(&store), [Tier::Cold, Tier::Cold]);
    check(&store, &map);

    let range = TimeRange::new(at(START + 2 * DAY_NS), at(START + 4 * DAY_NS));
    let mut batch = WriteBatch::new();
    batch.delete(Delete { device: DeviceId::new("a").unwrap(), metric: None, range, events: false });
    store.write(batch).unwrap();
    map.retain(|(device, time, _), _| device != "a" || !range.contains(at(*time)));
    store.seal().unwrap();
    check(&store, &map);
    store.compact(false, None).unwrap();
    assert!(tiers(&store).contains(&Tier::Fast));
    check(&store, &map);
    store.compact(true, None).unwrap();
    assert_eq!(tiers(&store), [Tier::Cold, Tier::Cold]);
    check(&store, &map);
}

/// A program from before knows version 1 alone, and says so of a cold segment at once.
#[test]
fn a_cold_segment_says_that_it_is_of_a_newer_version() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = cold_store(folder.path());
    let path = folder.path().join("segments").join(crate::segment::file_name(segments(&store)[0].0));
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(bytes[4..8], [2, 0, 1, 0], "version 2, months");
}
