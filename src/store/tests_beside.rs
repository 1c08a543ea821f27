//! Commits of several threads, and merges beside what they can not merge.

use super::tests::{at, events, options, reading, values};
use super::*;
use crate::model::{Delete, DeviceId, EventKind};
use crate::time::{DAY_NS, HOUR_NS, TimeRange};

fn failure(batch: &mut WriteBatch, device: &str, time: i64) {
    batch.event(device, at(time), EventKind::Failure, [("part", "pump")]);
}

#[test]
fn an_event_beside_a_delete_shares_the_fate_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    for round in 1..=150_i64 {
        let mut batch = reading("d", round, "x", 0.0);
        failure(&mut batch, "d", round);
        store.write(batch).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut batch = WriteBatch::new();
                let range = TimeRange::new(at(round), at(round + 1));
                let device = DeviceId::new("d").unwrap();
                batch.delete(Delete { device, metric: None, range, events: true });
                store.write(batch).unwrap();
            });
            scope.spawn(|| {
                let mut batch = reading("d", round, "x", 1.0);
                failure(&mut batch, "d", round);
                store.write(batch).unwrap();
            });
        });
        let has_reading = values(&store, "d", "x").iter().any(|(time, _)| *time == round);
        let has_event = events(&store.snapshot().unwrap()).iter().any(|event| event.time == at(round));
        assert_eq!(has_reading, has_event, "round {round}");
    }
}

#[test]
fn what_is_on_its_way_is_forgotten_when_it_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_i64 {
            let store = &store;
            scope.spawn(move || {
                for place in 0..100 {
                    let mut batch = WriteBatch::new();
                    failure(&mut batch, "d", writer * 100 + place);
                    batch.idempotency_key(format!("{writer} {place}"));
                    store.write(batch).unwrap();
                }
            });
        }
    });
    assert_eq!(events(&store.snapshot().unwrap()).len(), 400);
    let state = lock(&store.core().state);
    assert!(state.queue.events.is_empty() && state.queue.keys.is_empty() && state.queue.pending.is_empty());
}

#[test]
fn days_are_merged_beside_a_segment_of_wrong_clocks() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let now = 20_000 * DAY_NS;
    let mut batch = reading("late", now - 30 * DAY_NS, "x", 1.0);
    for place in 0..120_i64 {
        batch.reading("wrong", at((place - 60) * 150 * DAY_NS)).float("x", place as f64);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    let of_today = |store: &Store| {
        let segments = store.snapshot().unwrap().segments().to_vec();
        segments.iter().filter(|segment| segment.entry.times.0 >= now).count()
    };
    for hour in 0..9_i64 {
        store.write(reading("d", now + hour * HOUR_NS, "x", hour as f64)).unwrap();
        store.seal().unwrap();
        store.compact(false, None).unwrap();
        assert!(of_today(&store) < 4, "{} segments of one day", of_today(&store));
    }
    assert_eq!(values(&store, "d", "x").len(), 9);
    assert_eq!(values(&store, "wrong", "x").len(), 120);
}

#[test]
fn many_seals_of_wrong_clocks_leave_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let mut expected = Vec::new();
    for seal in 0..12_i64 {
        let mut batch = WriteBatch::new();
        for place in 0..70_i64 {
            // Each seal has days of its own, and one that all share.
            let time = if place == 0 { seal } else { (place * 12 + seal) * 40 * DAY_NS };
            batch.reading("wrong", at(time)).float("x", (seal * 100 + place) as f64);
            expected.push((time, (seal * 100 + place) as f64));
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }
    expected.sort_by_key(|(time, _)| *time);
    assert_eq!(values(&store, "wrong", "x"), expected);
    store.compact(false, None).unwrap();
    assert_eq!(values(&store, "wrong", "x"), expected);
    store.compact(true, None).unwrap();
    assert_eq!(values(&store, "wrong", "x"), expected);
    let sparse = store.snapshot().unwrap().segments().iter().filter(|s| s.entry.buckets.0 != s.entry.buckets.1).count();
    assert_eq!(sparse, 1, "segments of many months each");
    drop(store);
    assert_eq!(values(&Store::open_read_only(folder.path(), options()).unwrap(), "wrong", "x"), expected);
}
