//! A claim about a store is checked in every layout: unsealed, sealed by day, compacted by month into the fast tier and the cold one.

use fleetlog::operator::Query;
use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};

pub const MINUTE_NS: i64 = 60_000_000_000;
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
pub const DAY_NS: i64 = 24 * HOUR_NS;
/// 2025-01-01.
pub const BASE_NS: i64 = 20_089 * DAY_NS;

pub fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

pub fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(folder.path().join("store"), Options { compact_in_background: false, ..Options::default() }).unwrap()
}

/// Writes a batch, and checks a claim in every layout.
pub fn in_every_layout(batch: WriteBatch, check: impl Fn(&Store, &str)) {
    commits_in_every_layout([batch], check);
}

pub fn commits_in_every_layout<const N: usize>(batches: [WriteBatch; N], check: impl Fn(&Store, &str)) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for batch in batches {
        store.write(batch).unwrap();
        // Each commit in a chunk of its own.
        store.snapshot().unwrap();
    }
    check(&store, "unsealed");
    store.seal().unwrap();
    check(&store, "sealed");
    for (cold, layout) in [(false, "compacted"), (true, "cold")] {
        store.compact(cold, None).unwrap();
        check(&store, layout);
    }
}

pub fn row(store: &Store, query: Query) -> Vec<Cell> {
    let table = store.query(query).unwrap();
    assert_eq!(table.rows().len(), 1, "{table:?}");
    table.rows()[0].to_vec()
}

pub fn float(cell: &Cell) -> f64 {
    match cell {
        Cell::Float(value) => *value,
        Cell::Integer(value) => *value as f64,
        other => panic!("{other:?} is no number"),
    }
}
