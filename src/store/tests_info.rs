//! What a store says it holds is the same in every layout of the same commits.

use super::*;
use crate::model::{Delete, DeviceId, LogRecord, Severity};
use crate::time::{DAY_NS, TimeRange, Timestamp};

fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

/// Samples, values, log records, and the first and last instant.
type Held = (u64, u64, u64, Option<i64>, Option<i64>);

fn held(store: &Store) -> Held {
    let info = store.info().unwrap();
    let time = |at: Option<Timestamp>| at.map(Timestamp::nanoseconds);
    (info.samples, info.values, info.logs, time(info.from), time(info.to))
}

/// The same question while rows are unsealed, sealed, compacted, and after opening again.
fn in_every_layout(fill: impl Fn(&Store, &dyn Fn(&Store)), expected: Held) {
    for seal_between in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let options = || Options { compact_in_background: false, threads: 1, ..Options::default() };
        let store = Store::open(folder.path(), options()).unwrap();
        fill(&store, &|store| {
            if seal_between {
                store.seal().unwrap()
            }
        });
        assert_eq!(held(&store), expected, "unsealed, between {seal_between}");
        store.seal().unwrap();
        assert_eq!(held(&store), expected, "sealed, between {seal_between}");
        store.compact(true, None).unwrap();
        assert_eq!(held(&store), expected, "compacted, between {seal_between}");
        store.close().unwrap();
        let store = Store::open_read_only(folder.path(), options()).unwrap();
        assert_eq!(held(&store), expected, "opened again, between {seal_between}");
    }
}

#[test]
fn two_rows_of_merged_devices_at_one_instant_are_one_sample() {
    let fill = |store: &Store, between: &dyn Fn(&Store)| {
        let mut batch = WriteBatch::new();
        batch.reading("a", at(10)).float("x", 1.0);
        batch.reading("b", at(10)).float("x", 2.0).float("y", 3.0);
        batch.reading("b", at(20)).float("x", 4.0);
        store.write(batch).unwrap();
        between(store);
        let mut merge = WriteBatch::new();
        merge.merge_devices(id("b"), id("a"));
        store.write(merge).unwrap();
    };
    // At 10: x of a (it stays), y of b. At 20: x of b.
    in_every_layout(fill, (2, 3, 0, Some(10), Some(20)));
}

#[test]
fn deleted_rows_do_not_stretch_the_span() {
    let fill = |store: &Store, between: &dyn Fn(&Store)| {
        let mut batch = WriteBatch::new();
        for time in [1, DAY_NS + 2, 5 * DAY_NS + 3] {
            batch.reading("a", at(time)).float("x", 1.0);
        }
        store.write(batch).unwrap();
        between(store);
        let mut delete = WriteBatch::new();
        let ends = [TimeRange::new(at(0), at(2)), TimeRange::new(at(4 * DAY_NS), at(6 * DAY_NS))];
        for range in ends {
            delete.delete(Delete { device: id("a"), metric: None, range, events: false });
        }
        store.write(delete).unwrap();
    };
    in_every_layout(fill, (1, 1, 0, Some(DAY_NS + 2), Some(DAY_NS + 2)));
}

#[test]
fn log_records_do_not_stretch_the_span_of_samples() {
    let fill = |store: &Store, between: &dyn Fn(&Store)| {
        let mut batch = WriteBatch::new();
        batch.reading("a", at(DAY_NS + 5)).float("x", 1.0);
        for time in [7, DAY_NS + 1, 3 * DAY_NS] {
            batch.log(LogRecord {
                time: at(time),
                device: id("a"),
                severity: Severity::Notice,
                source: "modem".to_owned(),
                message: "up".to_owned(),
                fields: crate::model::Labels::new(),
            });
        }
        store.write(batch).unwrap();
        between(store);
    };
    in_every_layout(fill, (1, 1, 3, Some(DAY_NS + 5), Some(DAY_NS + 5)));
}
