//! Queries in many passes answer what one pass answers.

use crate::model::{Cell, Column, DeviceId, DeviceRows, MetricName, MetricType, Presence, Table, Values, WriteBatch};
use crate::scan::ScanCounters;
use crate::store::{Options, Progress, Store};
use crate::time::{Timestamp, Window};

use super::query::{Fill, Query};
use super::{Aggregate, Expression, answer, passes, prepared};

const HOURS: i64 = 24 * 75;

fn at(hour: i64) -> Timestamp {
    // 2025-01-17: the data touch four months.
    Timestamp::from_nanoseconds((1_737_072_000 + hour * 3_600) * 1_000_000_000)
}

fn store(folder: &std::path::Path) -> Store {
    let store = Store::open(folder, Options { memory_bytes: 64 << 20, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    for device in 0..40_i64 {
        let id = format!("pump-{device:02}");
        for hour in (0..HOURS).filter(|hour| (hour + device) % 7 != 0) {
            let noise = (device * 7_919 + hour * 104_729) % 1_009;
            batch
                .reading(&id, at(hour))
                .float("power_w", noise as f64 / 8.0 + hour as f64 * 0.01)
                .integer("energy_wh", (hour * 40 + noise) % 20_000);
        }
        batch.attribute(&id, "region", ["north", "south", "east"][device as usize % 3]);
        if device % 4 == 0 {
            batch.attribute(&id, "region", "west").from(at(700 + device));
        }
    }
    batch.nature("energy_wh", crate::model::Nature::Counter);
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    store
}

/// The answer with a budget, and how many devices were worked on.
fn ask(store: &Store, query: &Query, budget_bytes: usize) -> crate::Result<(Table, u64)> {
    let snapshot = store.snapshot()?;
    let counters = ScanCounters::default();
    let prepared = prepared::Prepared::new(&snapshot, query)?;
    let progress = Progress::default();
    let execution = passes::Execution {
        prepared: &prepared,
        snapshot: &snapshot,
        counters: &counters,
        budget_bytes,
        progress: Some(&progress),
    };
    let mut answer = answer::Answer::new(&prepared, 64 << 20, None);
    execution.run(&mut |groups| answer.take(groups))?;
    let (done, total) = progress.state();
    assert_eq!(done, total, "progress ends at its end");
    Ok((answer.table()?, done))
}

fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Cell::Float(a), Cell::Float(b)) => (a - b).abs() <= 1e-12 * a.abs().max(1.0),
        (a, b) => a == b,
    }
}

#[test]
fn many_passes_answer_what_one_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let plain = [Aggregate::Count, Aggregate::Mean, Aggregate::Min, Aggregate::Last];
    let growth = [Aggregate::Delta, Aggregate::Rate, Aggregate::Count];
    let values = [Aggregate::P95, Aggregate::Stddev, Aggregate::Slope];
    for aggregates in [&plain[..], &growth, &values] {
        for by in [&["device"][..], &["region"], &["region", "device"], &[]] {
            for every in [None, Some(Window::DAY), Some(Window::MONTH), Some("6h".parse().unwrap())] {
                let metric = if aggregates == growth { "energy_wh" } else { "power_w" };
                let query = Query::metric(metric).aggregate(aggregates.iter().copied()).by(by.iter().copied());
                let query = every.map_or(query.clone(), |every| query.every(every).fill(Fill::Previous));
                let (whole, devices) = ask(&store, &query, 1 << 30).unwrap();
                assert!(devices == 40 && !whole.rows().is_empty());
                // One group and window of 40 devices' quantiles takes more than the least of these.
                for budget in [8_000_000, 800_000, 600_000] {
                    let (split, worked) = ask(&store, &query, budget).unwrap();
                    assert!(worked >= devices);
                    assert_eq!(split.rows().len(), whole.rows().len(), "{by:?} {every:?} in {budget}");
                    for (a, b) in whole.rows().iter().zip(split.rows()) {
                        assert!(
                            a.iter().zip(b).all(|(a, b)| same(a, b)),
                            "{a:?} became {b:?}, {by:?} {every:?} in {budget}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn no_increment_is_lost_between_passes_groups_or_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // Forces each device's values to be held, so that small budgets take many passes; `by` and conditions leave devices aside in
    // some of them.
    let growth = [Aggregate::Delta, Aggregate::Rate, Aggregate::P95];
    let base = || Query::metric("energy_wh").aggregate(growth);
    let west = || super::attribute("region").is("west");
    let one_west = || base().filter(west());
    for query in [
        base().by(["region"]),
        base().by(["region"]).every(Window::MONTH),
        one_west().every(Window::MONTH),
        base().by(["region"]).every(Window::DAY).filter_value("power_w>60".parse().unwrap()),
    ] {
        let (whole, devices) = ask(&store, &query, 1 << 30).unwrap();
        // Less and less memory, until one group and window needs more.
        let (mut budget, mut passes) = (2 << 20, 0);
        while let Ok((split, worked)) = ask(&store, &query, budget) {
            passes = passes.max(worked / devices);
            assert_eq!(whole.rows().len(), split.rows().len());
            for (a, b) in whole.rows().iter().zip(split.rows()) {
                assert!(a.iter().zip(b).all(|(a, b)| same(a, b)), "{a:?} became {b:?} in {budget}");
            }
            budget = budget * 3 / 4;
        }
        assert!(passes >= 2, "it took one pass: {query:?}");
    }
    // The row of a group is the answer under its condition, and months add up to the whole.
    let (groups, _) = ask(&store, &base().by(["region"]), 1 << 30).unwrap();
    let row = groups.rows().iter().find(|row| row[0] == Cell::Text("west".into())).unwrap();
    let (alone, _) = ask(&store, &one_west(), 1 << 30).unwrap();
    assert_eq!(row[1..], alone.rows()[0]);
    let (monthly, _) = ask(&store, &base().every(Window::MONTH), 1 << 30).unwrap();
    for row in monthly.rows() {
        let Cell::Time(start) = row[0] else { panic!("{row:?}") };
        let (ranged, _) = ask(&store, &base().between(start, Window::MONTH.end_of(start)), 1 << 30).unwrap();
        assert_eq!(row[1..], ranged.rows()[0], "from {start}");
    }
}

#[test]
fn small_budgets_do_split_and_too_small_ones_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let hourly = Query::metric("power_w").aggregate([Aggregate::P95]).every(Window::DAY).by(["region"]);
    assert!(ask(&store, &hourly, 100_000).unwrap().1 > 80, "it took several passes");
    let whole = Query::metric("power_w").aggregate([Aggregate::P95]);
    assert_eq!(ask(&store, &whole, 1_000).unwrap_err().kind(), crate::ErrorKind::LimitExceeded);
}

/// A device that changes its release every minute: one group for each, that of the first and of the last minute being one.
#[test]
fn an_attribute_that_changes_with_every_sample_groups_each_for_itself() {
    const MINUTES: i64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 64 << 20, ..Options::default() }).unwrap();
    let minute = |minute: i64| Timestamp::from_nanoseconds((1_737_072_000 + minute * 60) * 1_000_000_000);
    let mut batch = WriteBatch::new();
    for place in 0..MINUTES {
        // A sample at the first instant of a minute and one at its last; every fifth minute has none.
        if place % 5 != 4 {
            batch.reading("d", minute(place)).integer("x", place);
            let late = Timestamp::from_nanoseconds(minute(place + 1).nanoseconds() - 1);
            batch.reading("d", late).integer("x", place + 1);
        }
        batch.attribute("d", "release", format!("{:05}", place % (MINUTES - 1))).from(minute(place));
    }
    store.write(batch).unwrap();
    for sealed in [false, true] {
        if sealed {
            store.seal().unwrap();
            store.compact(true, None).unwrap();
        }
        let query = Query::metric("x").aggregate([Aggregate::Count, Aggregate::Sum]).by(["release"]);
        let (table, _) = ask(&store, &query, 64 << 20).unwrap();
        let groups: Vec<i64> = (0..MINUTES - 1).filter(|place| place % 5 != 4).collect();
        assert_eq!(table.rows().len(), groups.len());
        for (row, place) in table.rows().iter().zip(groups) {
            let expected = [Cell::Text(format!("{place:05}").into()), Cell::Integer(2), Cell::Integer(2 * place + 1)];
            assert_eq!(row, expected, "sealed {sealed}");
        }
    }
}

/// A metric that comes later for half a month of seconds: more than one merged piece holds, answered as if it were one.
#[test]
fn a_metric_added_to_a_long_month_is_answered_over_the_ends_of_pieces() {
    const ROWS: i64 = 1_500_000;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let value = |name: &str, row: i64| if name == "x" { row % 1_013 } else { row };
    for name in ["x", "y"] {
        let mut load = store.bulk_load().unwrap();
        let device = load.device(&DeviceId::new("fast").unwrap()).unwrap();
        let (metric, _) = load.metric(&MetricName::new(name).unwrap(), MetricType::Integer, None, None).unwrap();
        for first in (0..ROWS).step_by(50_000) {
            let times = (first..first + 50_000).map(|row| row * 1_000_000_000).collect();
            let values = Values::Integer((first..first + 50_000).map(|row| value(name, row)).collect());
            let column = Column { presence: Presence::All, values };
            load.rows(device, &DeviceRows { times, columns: vec![(metric, column)] }).unwrap();
        }
        load.commit().unwrap();
    }
    use Aggregate::{Count, Delta, First, Last, Max, Min, Sum};
    let answer = |query: Query| store.query(query).unwrap().rows()[0].to_vec();
    let sum = |of: &dyn Fn(i64) -> i64| (0..ROWS).map(of).sum::<i64>();
    let (x, y) = (|row| value("x", row), |row| value("y", row));
    let integers = |cells: &[i64]| cells.iter().map(|cell| Cell::Integer(*cell)).collect::<Vec<_>>();
    let ends = [Count, Sum, Min, Max, First, Last];
    let known = answer(Query::metric("x").aggregate(ends));
    assert_eq!(known, integers(&[ROWS, sum(&x), 0, 1_012, 0, (ROWS - 1) % 1_013]));
    let known = answer(Query::metric("y").aggregate(ends));
    assert_eq!(known, integers(&[ROWS, sum(&y), 0, ROWS - 1, 0, ROWS - 1]));
    let grown = answer(Query::metric("y").aggregate([Delta]));
    assert!(same(&grown[0], &Cell::Float((ROWS - 1) as f64)) || grown[0] == Cell::Integer(ROWS - 1), "{grown:?}");
    let both = answer(Query::expressions([Expression::parse("x+y").unwrap()]).aggregate([Count, Sum]));
    assert_eq!(both[0], Cell::Integer(ROWS));
    assert!(same(&both[1], &Cell::Float((sum(&x) + sum(&y)) as f64)), "{both:?}");
}

#[test]
fn rows_are_counted_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut counted = Vec::new();
    for by in [&["device"][..], &["region"], &[]] {
        for every in
            [None, Some(Window::DAY), Some("6h".parse().unwrap()), Some(Window::DAY.in_zone("Asia/Kolkata").unwrap())]
        {
            for fill in [Fill::None, Fill::Null].into_iter().take(1 + usize::from(every.is_some())) {
                let query = Query::metric("power_w").aggregate([Aggregate::Count]).by(by.iter().copied()).fill(fill);
                let query = every.map_or(query.clone(), |every| query.every(every));
                let from_late = query.clone().between(at(HOURS - 3), at(HOURS + 80));
                let nothing = query.clone().between(at(HOURS + 10), at(HOURS + 80));
                for query in [query, from_late, nothing] {
                    for query in [query.clone(), query.clone().top(2), query.clone().limit(5), query.top(3).limit(40)] {
                        let rows = store.query(query.clone()).unwrap().rows().len();
                        let count = store.query(query.clone().count_rows()).unwrap();
                        assert_eq!(
                            count.rows().iter().collect::<Vec<_>>(),
                            [[Cell::Integer(rows as i64)]],
                            "{query:?}"
                        );
                        counted.push(rows);
                    }
                }
            }
        }
    }
    // 40 devices of 300 windows of six hours, each of which has a sample.
    assert!(counted.contains(&12_000) && counted.contains(&0) && counted.contains(&5));
}

#[test]
fn segments_count_once_a_question_however_many_passes_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    // Two days of 70 devices, which are three waves: a segment a day.
    for hour in [0, 24] {
        let mut batch = WriteBatch::new();
        for device in 0..70 {
            batch.reading(format!("pump-{device}"), at(hour)).float("power_w", f64::from(device));
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.segments().len(), 2);
    let segments = |explain: super::Explain| (explain.segments, explain.segments_pruned);
    for by in [&["device"][..], &[]] {
        let query = Query::metric("power_w").by(by.iter().copied()).every(Window::DAY);
        let ask = |query: &Query| segments(store.query_at(&snapshot, query, None).unwrap().1);
        assert_eq!(ask(&query), (2, 0), "{by:?}");
        assert_eq!(ask(&query.clone().between(at(12), at(36))), (1, 1), "{by:?}");
        let histogram =
            super::Histogram::new(Expression::metric("power_w"), super::Bins::Width(10.0)).by(by.iter().copied());
        assert_eq!(segments(store.histogram_at(&snapshot, &histogram, None).unwrap().1), (2, 0), "{by:?}");
        // With too little room the question becomes many passes over parts of the time.
        let (counters, prepared) = (ScanCounters::default(), prepared::Prepared::new(&snapshot, &query).unwrap());
        let execution = passes::Execution {
            prepared: &prepared,
            snapshot: &snapshot,
            counters: &counters,
            budget_bytes: 9_000,
            progress: None,
        };
        execution.run(&mut |_| Ok(())).unwrap();
        assert_eq!(counters.segments.into_inner(), 2, "{by:?}");
    }
    let (_, explain) = store.latest(&snapshot, &super::LatestRequest::default().between(at(12), at(36)), None).unwrap();
    assert_eq!(segments(explain), (1, 1));
}

#[test]
fn the_pieces_of_few_devices_answer_as_those_of_many() {
    let folder = tempfile::tempdir().unwrap();
    let many = store(folder.path());
    // The same store on other threads.
    let options = |threads| Options { memory_bytes: 64 << 20, threads, ..Options::default() };
    let others = [1, 5].map(|threads| Store::open_read_only(folder.path(), options(threads)).unwrap());
    let aggregates = [
        &[Aggregate::Count, Aggregate::Sum, Aggregate::Stddev, Aggregate::First, Aggregate::Last][..],
        &[Aggregate::Slope, Aggregate::P95, Aggregate::Max],
        &[Aggregate::Mean],
    ];
    let devices = ["pump-03", "pump-04", "pump-20", "pump-39", "pump-08"];
    for (aggregates, every) in
        aggregates.into_iter().flat_map(|of| [None, Some("6h"), Some("5d")].map(|every| (of, every)))
    {
        let query = |statistics| {
            let query = Query::metric("power_w").aggregate(aggregates.iter().copied()).by(["device", "region"]);
            let query = query.statistics(statistics).filter_value("power_w>3".parse().unwrap());
            every.map_or(query.clone(), |every| query.every(every.parse().unwrap()))
        };
        let (whole, _) = ask(&many, &query(true), 1 << 30).unwrap();
        for few in [1, 2, 4, 5] {
            let asked = query(false).filter(super::attribute("device").is_any(devices[..few].iter().copied()));
            let (alone, worked) = ask(&many, &asked, 1 << 30).unwrap();
            let of_few = |row: &&[Cell]| devices[..few].iter().any(|device| row[0] == Cell::Text((*device).into()));
            let expected: Vec<&[Cell]> = whole.rows().iter().filter(of_few).collect();
            assert_eq!((worked, alone.rows().len()), (few as u64, expected.len()));
            for (a, b) in expected.into_iter().zip(alone.rows()) {
                assert!(a.iter().zip(b).all(|(a, b)| same(a, b)), "{a:?} became {b:?}, {few} devices, {every:?}");
            }
            for other in &others {
                assert_eq!(other.install(|| ask(other, &asked, 1 << 30)).unwrap().0, alone);
            }
        }
    }
}

#[test]
fn an_expired_snapshot_answers_with_an_error_and_not_with_fewer_rows() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 8 << 20, ..Options::default() }).unwrap();
    // One that holds its unsealed rows, and many more behind it, until these take the memory that snapshots may hold.
    let mut held = Vec::new();
    for batch in 0..40_i64 {
        let mut write = WriteBatch::new();
        for row in 0..10_000_i64 {
            let time = Timestamp::from_nanoseconds((batch * 10_000 + row) * 1_000_000_000);
            write.reading("d", time).float("x", row as f64);
        }
        store.write(write).unwrap();
        held.push(store.snapshot().unwrap());
        store.seal().unwrap();
    }
    let ask = |aggregate, snapshot: usize| {
        let query = Query::metric("x").aggregate([aggregate]).by(["device"]);
        let answer = store.query_at(&held[snapshot], &query, None);
        answer.map(|(table, _)| table.rows().len()).map_err(|error| error.kind())
    };
    for aggregate in [Aggregate::Count, Aggregate::P95, Aggregate::Delta] {
        assert_eq!(ask(aggregate, 0), Err(crate::ErrorKind::SnapshotExpired), "{aggregate:?}");
        assert_eq!(ask(aggregate, 39), Ok(1));
    }
}

#[test]
fn runs_of_one_device_need_no_more_memory_than_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options { memory_bytes: 64 << 20, ..Options::default() }).unwrap();
    // 80 days of 8,000 values from 0 to 999, each as often as the others.
    let mut batch = WriteBatch::new();
    for row in 0..640_000_i64 {
        let time = Timestamp::from_nanoseconds(at(0).nanoseconds() + row * 10_800_000_000);
        batch.reading("d", time).float("x", (row * 7 % 1_000) as f64);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    let query = Query::metric("x").aggregate([Aggregate::P95, Aggregate::Count]);
    // More than the values that one list may have, and less than eight of such lists.
    let (table, _) = ask(&store, &query, 3 << 20).unwrap();
    let Cell::Float(quantile) = table.rows()[0][0] else { panic!("{table:?}") };
    assert!((quantile - 949.05).abs() <= 949.05 * super::RELATIVE_ERROR + 1.0, "{quantile}");
    assert_eq!(table.rows()[0][1], Cell::Integer(640_000));
}
