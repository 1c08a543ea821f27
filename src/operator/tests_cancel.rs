//! Cancellation, by counts and not by time: how much work lies between two looks, and that each look is obeyed.
//!
//! A unit of work is a value read or laid over another, a row that is finished, compared, moved or given, a cell that is filled, a number that is
//! fitted: none takes a microsecond by far. It is noted where it is done, so that what a question must do, counted by hand, is in it. The store
//! is asked on one thread, so that the counts are the same in every run.

use crate::WriteBatch;
use crate::error::{ErrorKind, Result};
use crate::model::{EventKind, Table};
use crate::store::{Options, Progress, Snapshot, Store};
use crate::time::Timestamp;

use super::*;

const MINUTE_NS: i64 = 60_000_000_000;
/// 2025-01-01.
const START_NS: i64 = 1_735_689_600_000_000_000;
const DEVICES: usize = 3;
/// Sixty days of readings every four minutes: two months and a bit.
const ROWS: i64 = 60 * 360;
/// What the largest block of the store holds: a month of four metrics and their times.
const BLOCK_VALUES: u64 = 31 * 360 * 5;
/// And what lies over it.
const LATE_VALUES: u64 = 2_000 * 5;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_nanoseconds(START_NS + minute * MINUTE_NS)
}

/// January and February sealed and compacted; late rows of January in a segment of their own, and unsealed ones over February.
fn store(folder: &tempfile::TempDir) -> Store {
    let options = Options { threads: 1, compact_in_background: false, ..Options::default() };
    let store = Store::open(folder.path().join("store"), options).unwrap();
    let batch = |rows: &mut dyn Iterator<Item = i64>| {
        let mut batch = WriteBatch::new();
        for row in rows {
            for device in 0..DEVICES {
                let value = ((row * 7 + device as i64) % 1_000) as f64 / 10.0;
                let reading = batch.reading(format!("pump-{device}"), at(row * 4));
                let reading = reading.float("power_w", value).float("level", value / 3.0).integer("errors", row);
                if row % 3 == 0 {
                    reading.text("mode", if row % 2 == 0 { "on" } else { "off" });
                }
            }
        }
        for device in 0..DEVICES {
            batch.attribute(format!("pump-{device}"), "region", if device == 0 { "north" } else { "south" });
        }
        batch
    };
    store.write(batch(&mut (0..ROWS))).unwrap();
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    store.write(batch(&mut (0..2_000).map(|row| row * 5 + 1))).unwrap();
    store.seal().unwrap();
    store.write(batch(&mut (31 * 360..31 * 360 + 2_000))).unwrap();
    store
}

/// Windows behind the last sample that are filled, and their aggregates.
const FILLED: i64 = 5 * ROWS;
const FILLED_AGGREGATES: [Aggregate; 7] = [
    Aggregate::Max,
    Aggregate::Min,
    Aggregate::Mean,
    Aggregate::First,
    Aggregate::Last,
    Aggregate::Stddev,
    Aggregate::Median,
];

type Ask = Box<dyn Fn(&Store, &Snapshot, &Progress) -> Result<()>>;

fn query(words: &'static str, query: Query) -> (&'static str, Ask) {
    (words, Box::new(move |store, snapshot, progress| store.query_at(snapshot, &query, Some(progress)).map(drop)))
}

fn trend(words: &'static str, trend: Trend) -> (&'static str, Ask) {
    (words, Box::new(move |store, snapshot, progress| store.trend_at(snapshot, &trend, Some(progress)).map(drop)))
}

fn samples(words: &'static str, request: SamplesRequest) -> (&'static str, Ask) {
    let give = &|_: Table| Ok(true);
    (
        words,
        Box::new(move |store, snapshot, progress| {
            store.samples(snapshot, &request, Some(progress), &mut { give }).map(drop)
        }),
    )
}

/// One group, which has many more windows behind its last sample than before.
fn behind() -> Query {
    let windows = Query::metric("power_w").every("4m".parse().unwrap()).between(at(0), at((ROWS + FILLED) * 4));
    windows.aggregate(FILLED_AGGREGATES)
}

/// Every verb that reads samples, each so that it has much to do after it has read them.
fn questions() -> Vec<(&'static str, Ask)> {
    let minutes = |count: &str| -> Window { count.parse().unwrap() };
    let power = || Query::metric("power_w").by(["device"]).every(minutes("4m")).between(at(0), at(ROWS * 4));
    let arithmetic = || Expression::parse("power_w*level").unwrap();
    vec![
        query("values", power().aggregate([Aggregate::Mean]).statistics(false)),
        query("no windows", Query::metric("power_w").aggregate([Aggregate::Count]).statistics(false)),
        query("percentiles", power().every(Window::HOUR).aggregate([Aggregate::P95, Aggregate::Median])),
        query("growth", power().aggregate([Aggregate::Delta])),
        query("condition", power().aggregate([Aggregate::Mean]).filter_value("errors>100".parse().unwrap())),
        query("order", power().aggregate([Aggregate::Max]).order_falling("power_w_max")),
        query("top", power().aggregate([Aggregate::Max]).top(2)),
        query("filled behind", behind().fill(Fill::Previous)),
        query("filled with zeros", behind().fill(Fill::Zero)),
        query("filled", power().every(minutes("2m")).aggregate([Aggregate::Max]).fill(Fill::Linear)),
        query(
            "aligned",
            Query::expressions([arithmetic()]).aggregate([Aggregate::Mean]).every(minutes("4m")).tolerance_ns(9),
        ),
        query("texts", Query::metric("mode").aggregate([Aggregate::Last]).every(minutes("4m"))),
        samples("samples", SamplesRequest::device("pump-1")),
        samples("aligned samples", SamplesRequest::device("pump-1").align("mode", MINUTE_NS)),
        samples("downsampled", SamplesRequest::device("pump-1").downsample(10_000).statistics(false)),
        trend("trend", Trend::new(arithmetic(), minutes("4m")).by(["region"])),
        (
            "histogram",
            Box::new(move |store, snapshot, progress| {
                let bins: Bins = "0:100:10".parse().unwrap();
                let histogram = Histogram::new(arithmetic(), bins).by(["device"]).every(minutes("4m"));
                store.histogram_at(snapshot, &histogram, Some(progress)).map(drop)
            }),
        ),
        (
            "histogram by width",
            Box::new(move |store, snapshot, progress| {
                let histogram = Histogram::new(arithmetic(), Bins::Width(1.0));
                store.histogram_at(snapshot, &histogram, Some(progress)).map(drop)
            }),
        ),
        (
            "gaps",
            Box::new(|store, snapshot, progress| {
                store.gaps(snapshot, &GapsRequest::longer_than_ns(MINUTE_NS), Some(progress)).map(drop)
            }),
        ),
        (
            "outliers",
            Box::new(|store, snapshot, progress| {
                let request = OutliersRequest::new("power_w", 1.0).statistics(false);
                store.outliers(snapshot, &request, Some(progress)).map(drop)
            }),
        ),
        (
            "latest",
            Box::new(|store, snapshot, progress| {
                store.latest(snapshot, &LatestRequest::default().statistics(false), Some(progress)).map(drop)
            }),
        ),
        (
            "device",
            Box::new(|store, snapshot, progress| store.device_page(snapshot, "pump-1", Some(progress)).map(drop)),
        ),
    ]
}

#[test]
fn little_work_lies_between_two_looks_and_each_look_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let snapshot = store.snapshot().unwrap();
    for (words, ask) in questions() {
        let whole = Progress::default();
        ask(&store, &snapshot, &whole).unwrap();
        let (looks, most, work) = whole.looks_and_work();
        // A block with what lies over it; all that comes after reading goes in smaller steps.
        assert!(most <= BLOCK_VALUES + LATE_VALUES, "{words}: {most} between two looks");
        assert!(work > ROWS as u64 || words == "latest", "{words}: {work} in {looks} looks, so that this says little");
        let step = (looks / 40).max(1);
        for look in (1..=looks).step_by(step as usize) {
            let progress = Progress::cancelling_at(look);
            let error = ask(&store, &snapshot, &progress).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{words} at look {look} of {looks}");
            // Other devices of its wave look once each, and do nothing.
            let (looked, _, _) = progress.looks_and_work();
            assert!(looked <= look + DEVICES as u64, "{words} at look {look} of {looks}: {looked}");
            assert_eq!(progress.work_after_cancel(), 0, "{words} at look {look} of {looks}");
        }
    }
}

#[test]
fn filling_and_fitting_are_noted_where_they_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let snapshot = store.snapshot().unwrap();
    let work = |ask: &dyn Fn(&Progress)| {
        let progress = Progress::default();
        ask(&progress);
        progress.looks_and_work().2
    };
    let filled =
        |fill| work(&|progress| drop(store.query_at(&snapshot, &behind().fill(fill), Some(progress)).unwrap()));
    let (made, none) = (filled(Fill::Null), filled(Fill::None));
    let (windows, aggregates) = (FILLED as u64, FILLED_AGGREGATES.len() as u64);
    // A row has a cell for its window and one for each aggregate; those of aggregates are filled one by one.
    assert!(made >= none + windows * (1 + aggregates), "{made} with rows, {none} without");
    for fill in [Fill::Zero, Fill::Previous] {
        let cells = filled(fill);
        assert!(cells >= made + windows * aggregates, "{cells} filled with {fill:?}, {made} before");
    }
    // Two groups of more than 2,000 points: two million slopes each, and all of them are looked through once for their median.
    let trend = Trend::new(Expression::parse("power_w").unwrap(), "4m".parse().unwrap()).by(["region"]);
    let fitted = work(&|progress| drop(store.trend_at(&snapshot, &trend, Some(progress)).unwrap()));
    assert!(fitted >= 2 * (2_000_000 + 2_000_000), "{fitted}");
}

/// How much lies between two looks of a call, and that one of them, in mid-walk, ends it.
fn check_walk(words: &str, most: u64, looks: u64, ask: &dyn Fn(&Progress) -> Result<()>) {
    let whole = Progress::default();
    ask(&whole).unwrap();
    let (looked, between, work) = whole.looks_and_work();
    assert!(looked >= looks && between <= most, "{words}: {looked} looks, {between} between two of {work}");
    let progress = Progress::cancelling_at(looked / 2);
    assert_eq!(ask(&progress).unwrap_err().kind(), ErrorKind::Cancelled, "{words}");
    assert_eq!((progress.looks_and_work().0, progress.work_after_cancel()), (looked / 2, 0), "{words}");
}

#[test]
fn walks_over_events_and_devices_that_find_little_look_on_their_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store"), Options { threads: 1, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    for device in 0..2_000 {
        let id = format!("pump-{device}");
        // Two attributes that hold for a part of the time each, and never together.
        batch.attribute(&id, "region", "north").from(at(0)).to(at(10));
        batch.attribute(&id, "model", "A").from(at(10)).to(at(20));
        for minute in 0..10 {
            batch.event(&id, at(minute), EventKind::Error, [("code", "7")]);
        }
    }
    batch.event("pump-7", at(3), EventKind::Failure, [("part", "fan")]);
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    let rare = EventsRequest::default().kind(EventKind::Failure);
    check_walk("events of a rare kind", 8_192 + 1_024, 20, &|progress| {
        let mut found = 0;
        store.events(&snapshot, &rare, Some(progress), &mut |_| {
            found += 1;
            Ok(true)
        })?;
        assert_eq!(found, 1);
        Ok(())
    });
    let filters = [attribute("region").is("north"), attribute("model").is("A")];
    check_walk("devices by several conditions", 8_192 + 16, 3, &|progress| {
        let devices = cohort::devices(&snapshot, &filters, crate::time::TimeRange::ALL, Some(progress))?;
        assert!(devices.is_empty());
        Ok(())
    });
}
