//! What a bulk load says of the rows that it overwrites, and what it reads and stops to say it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::tests::{at, options, reading};
use super::*;
use crate::io::{FileSystem, ReadFile, RealFileSystem};
use crate::model::{Column, Delete, DeviceId, DeviceRows, MetricName, MetricType, Presence, Values, WriteBatch};
use crate::time::{DAY_NS, TimeRange};

/// Loads values of `x` at some instants, which rise; gives the load before it commits, all of it written.
fn load(store: &Store, device: &str, times: &[i64]) -> BulkLoad {
    let mut load = store.bulk_load().unwrap();
    let handle = load.device(&DeviceId::new(device).unwrap()).unwrap();
    let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None).unwrap();
    let column = Column { presence: Presence::All, values: Values::Float(vec![0.5; times.len()]) };
    load.rows(handle, &DeviceRows { times: times.to_vec(), columns: vec![(metric, column)] }).unwrap();
    load
}

#[test]
fn history_that_meets_no_unsealed_row_leaves_the_chunk_that_grows_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let now = 20_000 * DAY_NS;
    store.write(reading("old", now, "x", 1.0)).unwrap();
    store.write(reading("other", 5, "x", 1.0)).unwrap();
    let frozen = || lock(&store.core().state).frozen.len();
    let _open =
        [load(&store, "new", &[5, 6, now]), load(&store, "old", &[now + 1, now + 40 * DAY_NS, now + 80 * DAY_NS])];
    assert_eq!(frozen(), 0);
    // Where it may hold some, they are counted.
    assert_eq!(load(&store, "other", &[4, 5, 6]).commit().unwrap().overwriting, 1);
    assert_eq!(load(&store, "old", &[now]).commit().unwrap().overwriting, 1);
}

/// The real file system, and how many bytes were read.
#[derive(Debug, Default)]
struct CountingFileSystem(Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile(Arc<dyn ReadFile>, Arc<AtomicU64>);

impl ReadFile for CountingFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.1.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.0.read_at(offset, buffer)
    }
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl crate::io::FileSystemDouble for CountingFileSystem {
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(CountingFile(RealFileSystem.open(path)?, Arc::clone(&self.0))))
    }
}

#[test]
fn what_is_overwritten_is_counted_by_times_alone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(CountingFileSystem::default());
    let store = Store::open(folder.path(), Options { file_system: disk.clone(), ..options() }).unwrap();
    let mut batch = WriteBatch::new();
    for row in 0..20_000_i64 {
        let mut reading = batch.reading("d", at(row * 1_000));
        for (metric, seed) in ["x", "y", "z", "u", "v", "w"].into_iter().zip(1_u64..) {
            // No codec packs these: each value takes about eight bytes.
            let mixed = (row as u64 * 6 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            reading = reading.float(metric, (mixed ^ mixed >> 32) as f64 / 3.0);
        }
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    let bytes = store.snapshot().unwrap().segments()[0].entry.bytes;
    assert!(bytes > 600_000, "{bytes} bytes of values");
    let times: Vec<i64> = (10_000..30_000_i64).map(|row| row * 1_000).collect();
    let before = disk.0.load(Ordering::Relaxed);
    let loaded = load(&store, "d", &times).commit().unwrap();
    assert_eq!((loaded.rows, loaded.overwriting), (20_000, 10_000));
    let read = disk.0.load(Ordering::Relaxed) - before;
    assert!(read < bytes / 4, "{read} bytes read of {bytes}");
}

#[test]
fn counting_holds_a_part_of_what_the_store_has() {
    const ROWS: i64 = 3_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), options()).unwrap();
    let at_row = |row: i64| row * 400_000_000;
    for first in (0..ROWS).step_by(1_000_000) {
        let mut batch = WriteBatch::new();
        for row in first..first + 1_000_000 {
            batch.reading("d", at(at_row(row))).integer("x", 1);
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }
    store.compact(true, None).unwrap();
    // Three rows that reach over all of the month: two are there, one is between.
    let times = [0, at_row(ROWS / 2) + 1, at_row(ROWS - 1)];
    assert_eq!(load(&store, "d", &times).commit().unwrap().overwriting, 2);
    let most = super::gather::MOST_INSTANTS.with(std::cell::Cell::get);
    assert!(most > 0 && most < ROWS as usize / 2, "{most} of {ROWS} instants at once");
}

#[derive(Debug, Clone)]
enum Step {
    /// (device, instant, metric).
    Write(Vec<(usize, i64, usize)>),
    Delete(usize, Option<usize>, i64, i64),
    Load(usize, Vec<i64>),
    Merge,
    Seal,
    Compact(bool),
}

const DEVICES: [&str; 2] = ["a", "b"];
const METRICS: [&str; 2] = ["x", "y"];

/// Few instants, in two months.
fn time() -> impl Strategy<Value = i64> {
    (0..2_i64, 0..6_i64).prop_map(|(month, second)| month * 40 * DAY_NS + second)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = prop::collection::vec((0..2_usize, time(), 0..2_usize), 1..8).prop_map(Step::Write);
    let delete = (0..2_usize, prop::option::of(0..2_usize), time(), 1..5_i64)
        .prop_map(|(device, metric, from, length)| Step::Delete(device, metric, from, from + length));
    let load = (0..2_usize, prop::collection::btree_set(time(), 1..8))
        .prop_map(|(device, times)| Step::Load(device, times.into_iter().collect()));
    let step = prop_oneof![
        4 => write, 4 => delete, 4 => load, 2 => Just(Step::Seal), 1 => any::<bool>().prop_map(Step::Compact), 1 => Just(Step::Merge),
    ];
    prop::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Law: a load overwrites the instants at which a map of every value has one of its device.
    #[test]
    fn a_load_counts_what_it_overwrites(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), options()).unwrap();
        let mut owner = [0, 1];
        // Values by (device, instant): whether there is one of each metric.
        let mut map: BTreeMap<(usize, i64), [bool; 2]> = BTreeMap::new();
        let mut first = WriteBatch::new();
        for device in DEVICES {
            METRICS.iter().for_each(|metric| {
                first.reading(device, at(-1)).float(*metric, 0.0);
            });
        }
        store.write(first).unwrap();
        (0..2).for_each(|device| {
            map.insert((device, -1), [true; 2]);
        });
        for step in steps {
            match step {
                Step::Write(cells) => {
                    let mut batch = WriteBatch::new();
                    for (device, time, metric) in cells {
                        batch.reading(DEVICES[device], at(time)).float(METRICS[metric], 1.0);
                        map.entry((owner[device], time)).or_default()[metric] = true;
                    }
                    store.write(batch).unwrap();
                }
                Step::Delete(device, metric, from, to) => {
                    let mut batch = WriteBatch::new();
                    let (range, name) = (TimeRange::new(at(from), at(to)), metric.map(|m| MetricName::new(METRICS[m]).unwrap()));
                    batch.delete(Delete { device: DeviceId::new(DEVICES[device]).unwrap(), metric: name, range, events: false });
                    store.write(batch).unwrap();
                    for (_, present) in map.iter_mut().filter(|((of, time), _)| *of == owner[device] && range.contains(at(*time))) {
                        (0..2).filter(|m| metric.is_none_or(|metric| metric == *m)).for_each(|m| present[m] = false);
                    }
                    map.retain(|_, present| present.contains(&true));
                }
                Step::Load(device, times) => {
                    let of = owner[device];
                    let expected = times.iter().filter(|time| map.contains_key(&(of, **time))).count();
                    prop_assert_eq!(load(&store, DEVICES[device], &times).commit().unwrap().overwriting, expected as u64);
                    times.iter().for_each(|time| map.entry((of, *time)).or_default()[0] = true);
                }
                Step::Merge if owner == [0, 1] => {
                    let mut batch = WriteBatch::new();
                    batch.merge_devices(DeviceId::new("b").unwrap(), DeviceId::new("a").unwrap());
                    store.write(batch).unwrap();
                    owner = [0, 0];
                    for ((_, time), present) in std::mem::take(&mut map) {
                        let both = map.entry((0, time)).or_default();
                        (0..2).for_each(|metric| both[metric] |= present[metric]);
                    }
                }
                Step::Merge => {}
                Step::Seal => store.seal().unwrap(),
                Step::Compact(cold) => store.compact(cold, None).unwrap(),
            }
        }
    }
}
