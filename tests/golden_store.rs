//! A store of version 1, made once by its writer, opened by this and every later version: what it holds is what the naive
//! model says of the same actions.

mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fleetlog::operator::GapsRequest;
use fleetlog::{Options, Store, Value};
use model::run::{Run, compare};
use model::{Action, Cell, Model, Statement};

const MINUTE_NS: i64 = 60_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// 2025-01-30: ten days from it lie in two months.
const BASE_NS: i64 = 20_118 * DAY_NS;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1-store")
}

fn value(metric: usize, device: usize, step: i64) -> Value {
    match metric {
        0 if step == 3 => Value::Float(f64::from_bits(0x7ff8_0000_0000_beef)),
        0 => Value::Float(step as f64 / 4.0 - 10.0),
        1 => Value::Integer(step << 33),
        2 if device.is_multiple_of(2) => Value::Integer(step),
        2 => Value::Float(step as f64 + 0.5),
        3 => Value::Boolean(step % 3 == 0),
        _ => Value::Text(["on", "off", "", "Störung"][step as usize % 4].to_owned()),
    }
}

/// Twenty rows of two devices, from a day on; some values are missing.
fn cells(devices: [usize; 2], day: i64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for device in devices {
        for step in 0..20 {
            let time = BASE_NS + (day + step / 10) * DAY_NS + step * 7 * MINUTE_NS + device as i64;
            let metrics = (0..5).filter(|metric| (step + metric) % 6 != 0);
            cells.extend(metrics.map(|metric| (device, time, metric as usize, value(metric as usize, device, step))));
        }
    }
    cells
}

fn write(cells: Vec<Cell>, key: Option<u8>) -> Action {
    let until = |to: i64| if to == 0 { i64::MAX } else { BASE_NS + to * DAY_NS };
    let statement = |device, value, from, to| Statement {
        device,
        attribute: "firmware",
        value: Some(value),
        from: BASE_NS + from * DAY_NS,
        to: until(to),
    };
    let statements = vec![statement(0, 0, -9, 0), statement(0, 1, 2, 0), statement(1, 2, 1, 3)];
    let events = vec![(0, BASE_NS + 5, 0), (1, BASE_NS + 5, 1), (1, BASE_NS + 5, 2)];
    Action::Write { cells, statements, events, logs: vec![(0, BASE_NS + 1), (3, BASE_NS + 2)], key }
}

/// Everything that lies in a store: months, days, the log, two devices merged, one renamed, deletes, a key.
fn actions() -> Vec<Action> {
    let delete = |device, metric, from: i64, to: i64| Action::Delete {
        device,
        metric,
        from: BASE_NS + from * DAY_NS,
        to: BASE_NS + to * DAY_NS,
        events: false,
    };
    vec![
        Action::BulkLoad { cells: cells([0, 1], -3) },
        write(cells([2, 3], 0), Some(1)),
        Action::Merge { from: 3, into: 2 },
        Action::Seal,
        write(cells([0, 2], 1), None),
        delete(0, Some(1), 0, 2),
        Action::Seal,
        Action::Compact { cold: true },
        write(cells([1, 4], 3), None),
        Action::Seal,
        Action::Rename { device: 4 },
        delete(2, None, 1, 2),
        write(cells([0, 4], 4), None),
        write(cells([0, 4], 4), Some(1)),
    ]
}

fn expected() -> Model {
    let mut model = Model::default();
    for action in actions() {
        match &action {
            Action::Write { cells, statements, events, logs, key } => {
                model.write(cells, statements, events, logs, *key);
            }
            Action::Delete { device, metric, from, to, events } => {
                let range = fleetlog::TimeRange::new(model::at(*from), model::at(*to));
                model.delete(*device, *metric, range, *events);
            }
            Action::BulkLoad { cells } => model.load(cells),
            Action::Rename { device } => {
                let (from, to) = (model.device(*device), model.new_name());
                model.hand_over(&from, &to);
            }
            Action::Merge { from, into } => {
                let (from, into) = (model.device(*from), model.device(*into));
                model.hand_over(&from, &into);
            }
            _ => {}
        }
    }
    model
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
#[ignore = "makes the golden store once: a version's golden files are never made again"]
fn make_golden_store() {
    assert!(!golden().exists(), "the golden store is there already");
    let mut run = Run::new(&golden());
    actions().iter().for_each(|action| run.act(action));
    run.check();
    drop(run);
    // What RocksDB says to people is no part of the format.
    for entry in std::fs::read_dir(golden().join("rocksdb")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("LOG")) {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Gaps of each device are those of the model's rows, with statistics and without; gives how many blocks statistics answered.
fn compare_gaps(store: &Store, model: &Model, longer_than_ns: i64) -> u64 {
    let mut times: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (device, time, _) in model.cells.keys() {
        times.entry(device).or_default().insert(*time);
    }
    let row = |(device, times): (&str, BTreeSet<i64>)| {
        let times: Vec<i64> = times.into_iter().collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > longer_than_ns);
        let (count, total, longest) =
            gaps.fold((0, 0, None), |(count, total, longest), gap| (count + 1, total + gap, longest.max(Some(gap))));
        let seconds = |ns: i64| ns as f64 / 1e9;
        format!("{device} {count} {:?} {:?}", seconds(total), longest.map(seconds))
    };
    let expected: Vec<String> = times.into_iter().map(row).collect();
    let snapshot = store.snapshot().unwrap();
    let [with, without] = [true, false].map(|statistics| {
        let request = GapsRequest::longer_than_ns(longer_than_ns).statistics(statistics);
        let (table, explain) = store.gaps(&snapshot, &request, None).unwrap();
        let float = |cell: &fleetlog::Cell| if let fleetlog::Cell::Float(value) = cell { Some(*value) } else { None };
        let text = |row: &[fleetlog::Cell]| match row {
            [fleetlog::Cell::Text(device), fleetlog::Cell::Integer(count), total, longest, _] => {
                format!("{device} {count} {:?} {:?}", float(total).unwrap(), float(longest))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(table.rows().iter().map(text).collect::<Vec<_>>(), expected, "{longer_than_ns} {statistics}");
        (table.rows().to_vec(), explain.blocks_from_statistics)
    });
    assert!(with.0 == without.0 && without.1 == 0);
    with.1
}

/// How many segments have pages of gaps, and how many have none.
fn with_and_without_gaps(store: &Store) -> (usize, usize) {
    let snapshot = store.snapshot().unwrap();
    let has_gaps =
        |segment: &std::sync::Arc<fleetlog::store::SegmentRef>| segment.segment().unwrap().footer().gaps.is_some();
    let count = snapshot.segments().iter().filter(|segment| has_gaps(segment)).count();
    (count, snapshot.segments().len() - count)
}

#[test]
fn gaps_of_the_golden_store_are_told_beside_segments_of_later_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    copy(&golden(), &path);
    let expected = expected();
    let compare = |store: &Store| {
        let asked = [MINUTE_NS, 7 * MINUTE_NS, 14 * MINUTE_NS, DAY_NS, 40 * DAY_NS];
        asked.map(|longer_than_ns| compare_gaps(store, &expected, longer_than_ns))
    };
    let quiet = Options { compact_in_background: false, seal_age_ns: i64::MAX, ..Options::default() };
    let store = Store::open(&path, quiet).unwrap();
    let (later, before) = with_and_without_gaps(&store);
    assert!(later == 0 && before >= 2);
    assert_eq!(compare(&store), [0; 5]);
    store.seal().unwrap();
    let (later, still) = with_and_without_gaps(&store);
    assert!(later > 0 && still == before, "{later} {still}");
    let answered = compare(&store);
    assert!(answered[0] == 0 && answered[4] > 0, "{answered:?}");
    store.compact(true, None).unwrap();
    let (later, before) = with_and_without_gaps(&store);
    assert!(later > 0 && before == 0, "{later} {before}");
    assert!(compare(&store)[4] >= answered[4]);
}

#[test]
fn the_golden_store_of_version_1_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    copy(&golden(), &path);
    let expected = expected();
    let reader = Store::open_read_only(&path, Options::default()).unwrap();
    compare(&reader.snapshot().unwrap(), &expected);
    drop(reader);
    // Its rows are old: nothing is sealed or merged before it was looked at.
    let quiet = Options { compact_in_background: false, seal_age_ns: i64::MAX, ..Options::default() };
    let store = Store::open(&path, quiet).unwrap();
    compare(&store.snapshot().unwrap(), &expected);
    let snapshot = store.snapshot().unwrap();
    assert!(!snapshot.chunks().is_empty() && snapshot.segments().len() >= 2, "log and segments are both in it");
    drop(snapshot);
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    compare(&store.snapshot().unwrap(), &expected);
}

/// What a dump shows of a store, and how much damage it met.
fn dumped(path: &Path) -> (String, u64) {
    let mut text = Vec::new();
    let request = fleetlog::dump::DumpRequest::default();
    let damage = fleetlog::dump::dump(path, &request, Options::default(), &mut text).unwrap();
    (String::from_utf8(text).unwrap(), damage)
}

#[test]
fn a_dump_reads_the_golden_store_and_goes_on_past_a_cut_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    copy(&golden(), &path);
    let (whole, damage) = dumped(&path);
    assert!(damage == 0 && whole.contains("unsealed commits    3"), "{whole}");
    // All of RocksDB's content is in its log: what the cut takes is named, and the segments are there.
    let log = path.join("rocksdb/000004.log");
    let bytes = std::fs::read(&log).unwrap();
    for length in [0, bytes.len() / 2, bytes.len() - 100] {
        std::fs::write(&log, &bytes[..length]).unwrap();
        let (shown, damage) = dumped(&path);
        assert!(damage > 0 && shown.contains("DAMAGE: "), "{length} bytes: {shown}");
        let segments = |text: &str| text.lines().filter(|line| line.contains("  slices ")).count();
        assert_eq!(segments(&shown), segments(&whole), "{length} bytes: {shown}");
    }
}
