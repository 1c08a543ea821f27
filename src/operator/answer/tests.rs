//! What an answer says that it holds is what its lists hold, and rows are put in order without a second list.

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::model::WriteBatch;
use crate::operator::{Expression, passes};
use crate::scan::ScanCounters;
use crate::store::{Options, Snapshot, Store};
use crate::time::Window;

use super::super::query::Query;

const DEVICES: usize = 30;
const HOURS: i64 = 1_200;
const ATTRIBUTES: [&str; 5] = ["region", "model", "firmware", "site", "owner"];

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanoseconds((1_737_072_000 + hour * 3_600) * 1_000_000_000)
}

/// Each device is a group of its own by all five attributes; `level` is there every third hour, `mode` every hour.
fn store(folder: &tempfile::TempDir) -> Store {
    let options = Options { memory_bytes: 64 << 20, compact_in_background: false, ..Options::default() };
    let store = Store::open(folder.path().join("store"), options).unwrap();
    let mut batch = WriteBatch::new();
    for device in 0..DEVICES {
        let id = format!("pump-{device:02}");
        for hour in 0..HOURS {
            let power = ((hour * 7_919 + device as i64 * 104_729) % 1_009) as f64;
            let reading = batch.reading(&id, at(hour)).float("power_w", power).text("mode", format!("mode {hour}"));
            if hour % 3 == 0 {
                reading.float("level", power / 3.0);
            }
        }
        for (place, attribute) in ATTRIBUTES.iter().enumerate() {
            batch.attribute(&id, *attribute, format!("{attribute} of {}", device % (place + 2)));
        }
        batch.attribute(&id, "owner", format!("owner of {device}"));
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store
}

/// Answers in many passes; `seen` is shown the answer whenever rows came.
fn ask(snapshot: &Snapshot, query: &Query, most_bytes: usize, seen: &dyn Fn(&Answer<'_>)) -> Result<Table> {
    let prepared = Prepared::new(snapshot, query).unwrap();
    let counters = ScanCounters::default();
    let execution = passes::Execution {
        prepared: &prepared,
        snapshot,
        counters: &counters,
        budget_bytes: 2_000_000,
        progress: None,
    };
    let mut answer = Answer::new(&prepared, most_bytes, None);
    execution.run(&mut |groups| {
        answer.take(groups)?;
        seen(&answer);
        Ok(())
    })?;
    answer.table()
}

/// What the lists of an answer hold, and what rows have outside of them.
fn listed_bytes(answer: &Answer<'_>) -> usize {
    let texts = |cell: &Cell| if let Cell::Text(text) = cell { text.len() + 16 } else { 0 };
    let named = answer.prepared.query.by.len();
    let own: usize = answer
        .finished
        .iter()
        .map(|finished| {
            let cells = &answer.cells[finished.row + named..finished.row + answer.width];
            cells.iter().map(texts).sum::<usize>() + finished.absent.capacity() * size_of::<u16>()
        })
        .sum();
    answer.cells.capacity() * size_of::<Cell>()
        + answer.finished.capacity() * size_of::<Finished>()
        + answer.names.capacity() * size_of::<Cell>()
        + answer.names.iter().map(texts).sum::<usize>()
        + answer.groups.capacity() * size_of::<Arc<GroupKey>>()
        + answer.places.capacity() * size_of::<(Arc<GroupKey>, usize)>()
        + own
}

fn hourly(metrics: &[&str]) -> Query {
    Query::expressions(metrics.iter().map(|name| Expression::parse(name).unwrap()))
        .aggregate([Aggregate::Last])
        .every(Window::HOUR)
        .between(at(0), at(HOURS))
}

#[test]
fn an_answer_counts_all_that_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let snapshot = store.snapshot().unwrap();
    let grouped = || hourly(&["power_w"]).by(ATTRIBUTES);
    for query in [
        grouped(),
        grouped().order_falling("power_w_last"),
        grouped().top(3),
        grouped().limit(500),
        hourly(&["mode"]).by(ATTRIBUTES),
        hourly(&["power_w", "level"]).by(["owner"]).fill(Fill::Linear),
    ] {
        let most_rows = std::cell::Cell::new(0);
        let seen = |answer: &Answer<'_>| {
            let (held, listed) = (answer.held_bytes, listed_bytes(answer));
            assert!(held >= listed, "{held} bytes are counted of {listed}: {query:?}");
            most_rows.set(answer.finished.len().max(most_rows.get()));
        };
        ask(&snapshot, &query, 64 << 20, &seen).unwrap();
        assert!(most_rows.get() >= 500, "{query:?}");
    }
}

#[test]
fn what_would_hold_more_than_it_may_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let snapshot = store.snapshot().unwrap();
    // Rows, and bytes of each: cells of 24, a place of 48 in the list; of filled ones a second place, in the list before.
    let rows = DEVICES * HOURS as usize;
    for (query, rows, row_bytes) in [
        (hourly(&["power_w"]).by(ATTRIBUTES).order_falling("power_w_last"), rows, 7 * 24 + 48),
        (hourly(&["power_w"]).by(ATTRIBUTES), rows, 7 * 24 + 48),
        (hourly(&["power_w"]).by(ATTRIBUTES).between(at(0), at(2 * HOURS)).fill(Fill::Zero), 2 * rows, 7 * 24 + 96),
    ] {
        let answer = |most_bytes| ask(&snapshot, &query, most_bytes, &|_| ());
        assert_eq!(answer(rows * row_bytes).unwrap_err().kind(), ErrorKind::LimitExceeded, "{query:?}");
        // And of what it may hold, more than half is rows.
        assert_eq!(answer(2 * rows * row_bytes).unwrap().rows().len(), rows, "{query:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn rows_are_put_in_order_where_they_lie(count in 0_usize..300, kept in 0_usize..300, seed: u64) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store"), Options::default()).unwrap();
        let mut batch = WriteBatch::new();
        batch.reading("pump", at(0)).float("power_w", 1.0);
        store.write(batch).unwrap();
        let snapshot = store.snapshot().unwrap();
        let query = Query::metric("power_w").aggregate([Aggregate::Mean]).every(Window::HOUR);
        let prepared = Prepared::new(&snapshot, &query).unwrap();
        let mut answer = Answer::new(&prepared, 1 << 20, None);
        let cells = |row: usize| [Cell::Time(at(row as i64)), Cell::Integer(row as i64)];
        answer.cells = (0..count).flat_map(cells).collect();
        // Some of the rows, in any order.
        let mut rows: Vec<usize> = (0..count).collect();
        let mut state = seed | 1;
        for place in (1..count).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            rows.swap(place, (state >> 33) as usize % (place + 1));
        }
        rows.truncate(kept);
        let finished = |row: &usize| Finished { group: 0, window: at(*row as i64), row: row * 2, absent: Vec::new() };
        answer.finished = rows.iter().map(finished).collect();
        let list = (answer.cells.as_ptr(), answer.cells.capacity());
        answer.compact().unwrap();
        prop_assert_eq!((answer.cells.as_ptr(), answer.cells.capacity()), list, "a second list was made");
        let expected: Vec<Cell> = rows.iter().flat_map(|row| cells(*row)).collect();
        prop_assert_eq!(&answer.cells, &expected);
        prop_assert!(answer.finished.iter().enumerate().all(|(place, finished)| finished.row == place * 2));
    }
}
