//! Events of a bulk load: all or none for everybody, through kills, deletes and snapshots.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::tests::{at, events, options};
use super::*;
use crate::kv::Family;
use crate::model::{Delete, DeviceId, Event, EventKind};
use crate::time::TimeRange;

fn event(device: &str, time: i64, part: &str) -> Event {
    let labels = [("part".to_owned(), part.to_owned())].into();
    Event { time: at(time), device: DeviceId::new(device).unwrap(), kind: EventKind::Failure, labels }
}

fn many(count: i64) -> Vec<Event> {
    (0..count).map(|number| event(["a", "b", "c"][number as usize % 3], number, &"x".repeat(200))).collect()
}

fn load(store: &Store, events: &[Event]) -> BulkLoad {
    let mut load = store.bulk_load().unwrap();
    events.iter().for_each(|event| load.event(event.clone()).unwrap());
    load
}

fn batch(events: &[Event]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    events.iter().for_each(|event| batch.event(&event.device, event.time, event.kind, event.labels.clone()));
    batch
}

fn delete(device: &str, range: TimeRange) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.delete(Delete { device: DeviceId::new(device).unwrap(), metric: None, range, events: true });
    batch
}

/// Records of events in the folder, whether or not they show.
fn records(store: &Store) -> usize {
    let mut count = 0;
    let count_one = &mut |_: &[u8], _: &[u8]| {
        count += 1;
        Ok(true)
    };
    store.core().kv.scan(Family::Events, &[], None, count_one).unwrap();
    count
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn read_only(path: &Path) -> Snapshot {
    Store::open_read_only(path, options()).unwrap().snapshot().unwrap()
}

#[test]
fn events_of_a_load_show_with_its_commit_and_after_every_opening() {
    let folder = tempfile::tempdir().unwrap();
    let small = || Options { memory_bytes: 16 << 20, ..options() };
    let store = Store::open(folder.path(), small()).unwrap();
    store.write(batch(&[event("a", -1, "old")])).unwrap();
    let expected = many(20_000);
    let before = store.snapshot().unwrap();
    let load = load(&store, &expected);
    assert!(records(&store) > 10_000, "most are written before the commit");
    let during = store.snapshot().unwrap();
    for snapshot in [&before, &during, &read_only(folder.path())] {
        assert_eq!(events(snapshot), [event("a", -1, "old")]);
        assert!(snapshot.catalog().device("b").is_none());
    }
    let sequence = load.commit().unwrap().sequence;
    let all: Vec<Event> = std::iter::once(event("a", -1, "old")).chain(expected).collect();
    assert_eq!(store.snapshot().unwrap().sequence(), sequence);
    assert_eq!(events(&store.snapshot().unwrap()), all);
    assert_eq!(store.info().unwrap().events, 20_001);
    assert_eq!((events(&before).len(), events(&during).len()), (1, 1));
    assert_eq!(events(&read_only(folder.path())), all);
    drop((before, during));
    store.close().unwrap();
    let store = Store::open(folder.path(), small()).unwrap();
    assert_eq!(events(&store.snapshot().unwrap()), all);
}

#[test]
fn a_load_that_is_dropped_or_killed_leaves_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let kept = [event("a", 0, &"x".repeat(200)), event("k", 7, "kept")];
    store.write(batch(&kept)).unwrap();
    load(&store, &many(20_000)).abandon().unwrap();
    drop(load(&store, &many(20_000)));
    assert_eq!((records(&store), events(&store.snapshot().unwrap())), (2, kept.to_vec()));

    // One load commits, another is under way when the machine dies: its folder as it was then.
    load(&store, &[event("c", 9, "loaded")]).commit().unwrap();
    let under_way = load(&store, &many(20_000));
    let killed = tempfile::tempdir().unwrap();
    copy(folder.path(), killed.path());
    drop(under_way);
    let expected = [kept.to_vec(), vec![event("c", 9, "loaded")]].concat();
    assert_eq!(events(&read_only(killed.path())), expected);
    let store = Store::open(killed.path(), options()).unwrap();
    assert_eq!((records(&store), events(&store.snapshot().unwrap())), (3, expected.clone()));
    load(&store, &many(5)).commit().unwrap();
    assert_eq!(events(&store.snapshot().unwrap()).len(), 7, "the first of the five is stored already");
}

#[test]
fn a_load_refuses_what_a_batch_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let accepted_times = TimeRange::new(at(0), at(100));
    let store = Store::open(folder.path(), Options { accepted_times, ..options() }).unwrap();
    let mut load = store.bulk_load().unwrap();
    for wrong in [event("a", 100, "x"), event("a", 1, &"x".repeat(1_025))] {
        let refused = store.write(batch(std::slice::from_ref(&wrong))).unwrap_err();
        assert_eq!(load.event(wrong).unwrap_err().kind(), refused.kind());
    }
    load.event(event("a", 99, "x")).unwrap();
    load.commit().unwrap();
    assert_eq!(events(&store.snapshot().unwrap()), [event("a", 99, "x")]);
}

#[derive(Debug, Clone)]
enum Step {
    Batch(Vec<Event>),
    /// A load; what others do between its events and its commit; whether it commits.
    Load(Vec<Event>, Vec<Step>, bool),
    Delete(&'static str, i64, i64),
    Reopen,
}

fn some_events() -> impl Strategy<Value = Vec<Event>> {
    let one = (prop::sample::select(vec!["a", "b"]), 0..4_i64, prop::sample::select(vec!["p", "q"]));
    prop::collection::vec(one.prop_map(|(device, time, part)| event(device, time, part)), 1..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let delete = (prop::sample::select(vec!["a", "b"]), 0..4_i64, 1..4_i64)
        .prop_map(|(device, from, length)| Step::Delete(device, from, from + length));
    let plain = prop_oneof![some_events().prop_map(Step::Batch), delete];
    let load = (some_events(), prop::collection::vec(plain.clone(), 0..3), prop::bool::weighted(0.7))
        .prop_map(|(events, between, commits)| Step::Load(events, between, commits));
    prop::collection::vec(prop_oneof![3 => plain, 3 => load, 1 => Just(Step::Reopen)], 1..12)
}

/// A store beside the set of its events, and every moment of both since it was opened.
struct Pair<'a> {
    path: &'a Path,
    store: Option<Store>,
    set: BTreeSet<Event>,
    moments: Vec<(Snapshot, BTreeSet<Event>)>,
}

impl Pair<'_> {
    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Batch(some) => {
                self.store().write(batch(some)).unwrap();
                self.set.extend(some.iter().cloned());
            }
            Step::Load(some, between, commits) => {
                let mut load = load(&self.store(), some);
                // What others do meets written events, not only ones that wait in memory.
                load.events.flush(self.store().core()).unwrap();
                between.iter().for_each(|step| self.step(step));
                if *commits {
                    load.commit().unwrap();
                    self.set.extend(some.iter().cloned());
                }
            }
            Step::Delete(device, from, to) => {
                let range = TimeRange::new(at(*from), at(*to));
                let known = self.store().snapshot().unwrap().catalog().device(device).is_some();
                if known {
                    self.store().write(delete(device, range)).unwrap();
                    self.set.retain(|event| event.device.as_str() != *device || !range.contains(event.time));
                }
            }
            Step::Reopen => {
                self.moments.clear();
                self.store.take().unwrap().close().unwrap();
                self.store = Some(Store::open(self.path, options()).unwrap());
            }
        }
        self.moments.push((self.store().snapshot().unwrap(), self.set.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Law: at each moment the events are the set of what was committed and not deleted later, and each moment stays.
    #[test]
    fn loads_batches_and_deletes_agree_with_a_set(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(Store::open(folder.path(), options()).unwrap());
        let mut pair = Pair { path: folder.path(), store, set: BTreeSet::new(), moments: Vec::new() };
        for step in &steps {
            pair.step(step);
            for (snapshot, set) in &pair.moments {
                prop_assert_eq!(events(snapshot), set.iter().cloned().collect::<Vec<_>>());
            }
        }
        let set: Vec<Event> = pair.set.iter().cloned().collect();
        prop_assert_eq!(events(&read_only(folder.path())), set);
    }
}

#[test]
fn what_two_loads_bring_at_once_is_stored_as_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let same = [event("a", 1, "p"), event("b", 2, "q")];
    let (first, second) = (load(&store, &same), load(&store, &same));
    store.write(batch(&same[..1])).unwrap();
    first.commit().unwrap();
    second.commit().unwrap();
    assert_eq!((events(&store.snapshot().unwrap()), store.info().unwrap().events), (same.to_vec(), 2));
    store.write(delete("a", TimeRange::ALL)).unwrap();
    assert_eq!(events(&store.snapshot().unwrap()), same[1..]);
    load(&store, &same).commit().unwrap();
    assert_eq!(events(&store.snapshot().unwrap()), same);
}

#[test]
fn a_delete_of_many_devices_passes_the_events_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let all: Vec<Event> = (0..300).map(|number| event(&format!("d{}", number % 50), number, "p")).collect();
    store.write(batch(&all)).unwrap();
    let mut deletes = WriteBatch::new();
    for number in 0..40 {
        // Devices below 20 lose all they have, the others what lies in a time of their own.
        let range = if number < 20 { TimeRange::ALL } else { TimeRange::new(at(number * 5), at(number * 5 + 30)) };
        let device = DeviceId::new(format!("d{number}")).unwrap();
        deletes.delete(Delete { device, metric: None, range, events: true });
    }
    let scanned = || store.core().kv.scanned.load(std::sync::atomic::Ordering::Relaxed);
    let before = scanned();
    store.write(deletes).unwrap();
    let passed = scanned() - before;
    assert!(passed <= 300, "{passed} of 300 events were looked at");
    let stays = |event: &&Event| {
        let (number, time) = (event.time.nanoseconds() % 50, event.time.nanoseconds());
        number >= 40 || (number >= 20 && !(number * 5..number * 5 + 30).contains(&time))
    };
    let left: Vec<Event> = all.iter().filter(stays).cloned().collect();
    assert!(left.len() < 180 && left.len() > 60);
    assert_eq!(events(&store.snapshot().unwrap()), left);
}
