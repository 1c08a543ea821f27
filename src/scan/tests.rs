//! Pieces of a scan against a map of what was written, however they are cut; and how deletes are looked up.

use std::collections::BTreeMap;

use crate::model::{Delete, DeviceId, MetricName, Values, WriteBatch};
use crate::store::{Options, Store};
use crate::time::DAY_NS;

use super::*;

const MINUTE_NS: i64 = 60_000_000_000;
const DAY_MINUTES: i64 = 24 * 60;

/// What must show: the value of each metric at each instant.
type Oracle = BTreeMap<(i64, &'static str), f64>;

fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

fn store(folder: &std::path::Path) -> Store {
    Store::open(folder, Options { memory_bytes: 64 << 20, ..Options::default() }).unwrap()
}

/// Writes a value every so many minutes of the first so many days.
fn write(store: &Store, device: &str, metric: &str, (days, every): (i64, i64), value: impl Fn(i64) -> f64) {
    let mut batch = WriteBatch::new();
    for minute in (0..days * DAY_MINUTES).step_by(every as usize) {
        batch.reading(device, at(minute * MINUTE_NS)).float(metric, value(minute));
    }
    store.write(batch).unwrap();
}

/// A month in one block; days of another metric, later corrections, a delete, rows of a second id and unsealed rows lie over it.
fn overlapping_month(store: &Store) -> Oracle {
    let mut oracle = Oracle::new();
    let mut note = |metric: &'static str, (days, every): (i64, i64), value: &dyn Fn(i64) -> f64| {
        for minute in (0..days * DAY_MINUTES).step_by(every as usize) {
            oracle.insert((minute * MINUTE_NS, metric), value(minute));
        }
    };
    // The second id of the device is written last and still yields to the first.
    let second = |minute: i64| -(minute as f64);
    note("a", (20, 7), &second);
    let month = |minute: i64| minute as f64 / 8.0;
    note("a", (30, 10), &month);
    write(store, "first", "a", (30, 10), month);
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    let days = |minute: i64| 0.25 - minute as f64;
    note("b", (30, 15), &days);
    write(store, "first", "b", (30, 15), days);
    store.seal().unwrap();
    let corrected = |minute: i64| 1e6 + minute as f64;
    note("a", (30, 70), &corrected);
    write(store, "first", "a", (30, 70), corrected);
    store.seal().unwrap();
    let unsealed = |minute: i64| 2e6 + minute as f64;
    note("b", (12, 75), &unsealed);
    write(store, "second", "a", (20, 7), second);
    store.seal().unwrap();
    write(store, "first", "b", (12, 75), unsealed);
    let mut batch = WriteBatch::new();
    batch.merge_devices(DeviceId::new("second").unwrap(), DeviceId::new("first").unwrap());
    let gone = TimeRange::new(at(5 * DAY_NS), at(7 * DAY_NS + 1));
    let (device, metric) = (DeviceId::new("first").unwrap(), MetricName::new("b").ok());
    batch.delete(Delete { device, metric, range: gone, events: false });
    store.write(batch).unwrap();
    oracle.retain(|(time, metric), _| *metric != "b" || !gone.contains(at(*time)));
    oracle
}

/// How many values rows hold, times included.
fn values_of(rows: &DeviceRows) -> usize {
    rows.len() + rows.columns.iter().map(|(_, column)| column.values.len()).sum::<usize>()
}

/// The rows of a device's pieces, forward or back; how many pieces, and the most values of one.
fn rows(scan: &Scan<'_>, device: DeviceHandle, back: bool) -> (Vec<DeviceRows>, usize) {
    let mut pieces = Vec::new();
    let mut take = |piece| {
        pieces.push(match piece {
            Piece::Block(block) => scan.rows(&block)?,
            Piece::Rows(rows) => rows,
        });
        Ok(true)
    };
    if back {
        scan.device_back(device, &mut take).unwrap();
        pieces.reverse();
    } else {
        scan.device(device, &mut |piece| take(piece).map(|_| ())).unwrap();
    }
    let most = pieces.iter().map(values_of).max().unwrap_or(0);
    (pieces, most)
}

#[test]
fn a_month_that_overlaps_comes_in_pieces_and_shows_what_it_shows_uncut() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let oracle = overlapping_month(&store);
    let snapshot = store.snapshot().unwrap();
    let device = snapshot.catalog().device("first").unwrap();
    let metrics: Vec<(MetricHandle, &str)> =
        ["a", "b"].map(|name| (snapshot.catalog().metric(name).unwrap().handle, name)).to_vec();
    let counters = ScanCounters::default();
    let inside = TimeRange::new(at(2 * DAY_NS + 77 * MINUTE_NS), at(23 * DAY_NS + 1));
    for range in [TimeRange::ALL, inside] {
        let expected: Oracle = oracle
            .iter()
            .filter(|((time, _), _)| range.contains(at(*time)))
            .map(|(key, value)| (*key, *value))
            .collect();
        for (limit, least_pieces) in [(PIECE_VALUES, 1), (6_000, 3), (1_500, 10), (1, 20)] {
            let handles = metrics.iter().map(|(handle, _)| *handle).collect();
            let mut scan = Scan::new(&snapshot, range, handles, &counters, None).unwrap();
            scan.piece_values = limit;
            let (pieces, most) = rows(&scan, device, false);
            assert!(pieces.len() >= least_pieces, "{} pieces of {limit}", pieces.len());
            // Besides what begins in a piece (a day at least, of 1,500 values), the month's one block reaches into it.
            assert!(
                limit == PIECE_VALUES || most <= limit.max(1_500) * 2,
                "a piece of {most} where {limit} are the limit"
            );
            let times: Vec<i64> = pieces.iter().flat_map(|rows| rows.times.iter().copied()).collect();
            assert!(times.is_sorted_by(|a, b| a < b), "rows in order, each once");
            let mut shown = Oracle::new();
            for rows in &pieces {
                for (handle, column) in &rows.columns {
                    let name = metrics.iter().find(|(metric, _)| metric == handle).unwrap().1;
                    let Values::Float(values) = &column.values else { panic!("floats") };
                    for (row, time) in rows.times.iter().enumerate() {
                        if let Some(place) = column.presence.value_place(row) {
                            shown.insert((*time, name), values[place]);
                        }
                    }
                }
            }
            assert!(shown == expected, "limit {limit}, {} of {} values", shown.len(), expected.len());
            let back = rows(&scan, device, true).0;
            assert!(format!("{back:?}") == format!("{pieces:?}"), "from the last one back");
        }
    }
}

#[test]
fn a_slice_asks_only_for_the_deletes_of_its_device() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for device in 0..300 {
        write(&store, &format!("d{device}"), "a", (1, 60), |minute| minute as f64);
    }
    store.seal().unwrap();
    let mut batch = WriteBatch::new();
    for device in 0..300 {
        let id = DeviceId::new(format!("d{device}")).unwrap();
        let range = TimeRange::new(at(0), at((1 + device % 20) * 60 * MINUTE_NS));
        batch.delete(Delete { device: id, metric: None, range, events: false });
    }
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.manifest().tombstones.len(), 300);
    let metric = snapshot.catalog().metric("a").unwrap().handle;
    let counters = ScanCounters::default();
    let scan = Scan::new(&snapshot, TimeRange::ALL, vec![metric], &counters, None).unwrap();
    for device in 0..300 {
        let handle = snapshot.catalog().device(&format!("d{device}")).unwrap();
        assert_eq!(scan.deletes[&handle].len(), 1, "what a slice of d{device} looks through");
        let shown: usize = rows(&scan, handle, false).0.iter().map(DeviceRows::len).sum();
        assert_eq!(shown, 24 - (1 + device % 20), "d{device}");
        assert_eq!(snapshot.rows(handle, TimeRange::ALL, None).unwrap().len(), shown, "d{device}");
    }
}
