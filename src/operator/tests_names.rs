//! Columns of answers have one name each, also in stores that were written before names were refused; groups that are numbers
//! come as numbers.

use crate::error::ErrorKind;
use crate::model::{
    AttributeName, Cell, Column, DeviceId, DeviceRows, MetricName, MetricType, Presence, Table, Values, WriteBatch,
};
use crate::store::{Options, Store};
use crate::time::{Timestamp, Window};

use super::{Aggregate, Expression, Query, SamplesRequest, Trend, attribute, unknown_values};

const HOUR_NS: i64 = 3_600_000_000_000;
/// 2025-01-01.
const BASE_NS: i64 = 20_089 * 24 * HOUR_NS;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanoseconds(BASE_NS + hour * HOUR_NS)
}

fn open(folder: &tempfile::TempDir) -> Store {
    let options = Options { compact_in_background: false, ..Options::default() };
    Store::open(folder.path().join("store"), options).unwrap()
}

fn names(table: &Table) -> Vec<&str> {
    table.columns().iter().map(|column| column.name.as_str()).collect()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

#[test]
fn names_that_are_refused_now_are_read_in_old_stores() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    batch.reading("a", at(0)).float("m0", 5.0).float("m1", 7.0).float("time_metric", 9.0);
    batch.attribute("a", "a0", "open");
    batch.attribute("a", "a1", "hidden");
    // As a version without the rule wrote them.
    for (place, name) in ["time", "device"].into_iter().enumerate() {
        batch.metrics[place].name = MetricName::new(name).unwrap();
    }
    for (place, name) in ["window", "device"].into_iter().enumerate() {
        batch.attributes[place].attribute = AttributeName::new(name).unwrap();
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let store = open(&folder);
    let snapshot = store.snapshot().unwrap();
    let mut found = None;
    let mut take = |table: Table| {
        found = Some(table).filter(|table| !table.rows().is_empty());
        Ok(true)
    };
    store.samples(&snapshot, &SamplesRequest::device("a"), None, &mut take).unwrap();
    let found = found.unwrap();
    assert_eq!(names(&found), ["device", "time", "device_metric", "time_metric_metric", "time_metric"]);
    let values = [text("a"), Cell::Time(at(0)), Cell::Float(7.0), Cell::Float(5.0), Cell::Float(9.0)];
    assert_eq!(found.rows(), [values]);
    let daily = store.query(Query::metric("time").every(Window::DAY).by(["window", "device"])).unwrap();
    assert_eq!(names(&daily), ["window_attribute", "device", "window", "time_mean"]);
    assert_eq!(daily.rows(), [[text("open"), text("a"), Cell::Time(at(0)), Cell::Float(5.0)]]);
    let filtered = store.query(Query::metric("device").filter(attribute("window").is("open"))).unwrap();
    assert_eq!(filtered.rows(), [[Cell::Float(7.0)]]);
}

#[test]
fn a_program_that_writes_such_a_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for name in ["device", "time"] {
        let mut batch = WriteBatch::new();
        batch.reading("a", at(0)).float(name, 1.0).float("level", 2.0);
        let error = store.write(batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(&format!("'{name}'")) && error.advice().is_some(), "{error}");
        let mut load = store.bulk_load().unwrap();
        let device = load.device(&DeviceId::new("a").unwrap()).unwrap();
        let (metric, _) = load.metric(&MetricName::new(name).unwrap(), MetricType::Float, None, None).unwrap();
        let column = Column { presence: Presence::All, values: Values::Float(vec![1.0]) };
        let rows = DeviceRows { times: vec![at(0).nanoseconds()], columns: vec![(metric, column)] };
        load.rows(device, &rows).unwrap();
        assert_eq!(load.commit().unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    for name in ["device", "time", "window"] {
        let mut batch = WriteBatch::new();
        batch.attribute("a", name, "x");
        let error = store.write(batch).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidInput && error.message().contains(name), "{error}");
    }
    let snapshot = store.snapshot().unwrap();
    assert_eq!((snapshot.catalog().metrics().count(), snapshot.attributes().attributes().len()), (0, 0));
    // A metric may be called window, as a contact of one is.
    let mut batch = WriteBatch::new();
    batch.reading("a", at(0)).boolean("window", true);
    store.write(batch).unwrap();
}

#[test]
fn a_group_gives_way_to_a_column_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    for day in 0..4 {
        batch.reading("a", at(24 * day)).float("level", day as f64);
    }
    for (name, value) in [("level_mean", "x"), ("n", "y"), ("n_attribute", "z")] {
        batch.attribute("a", name, value);
    }
    store.write(batch).unwrap();
    let query = Query::metric("level").by(["level_mean", "n"]);
    let found = store.query(query.clone().order("level_mean_attribute")).unwrap();
    assert_eq!(names(&found), ["level_mean_attribute", "n", "level_mean"]);
    assert_eq!(found.rows(), [[text("x"), text("y"), Cell::Float(1.5)]]);
    let trend = Trend::new(Expression::metric("level"), Window::DAY).by(["n", "n_attribute"]);
    let found = store.trend(&trend).unwrap();
    assert_eq!(names(&found)[..4], ["n_attribute", "n_attribute_attribute", "n", "slope_per_day"]);
    assert_eq!(found.rows()[0][..3], [text("y"), text("z"), Cell::Integer(4)]);
}

#[test]
fn what_is_named_twice_is_answered_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    batch.reading("a", at(0)).float("volt", 3.0).float("volt*2", 5.0);
    batch.attribute("a", "model", "A");
    store.write(batch).unwrap();
    let ask = |metrics: &[&str], aggregates: &[&str], by: &[&str]| {
        let query = Query::expressions(metrics.iter().map(|metric| Expression::named(metric)));
        let aggregates = aggregates.iter().map(|word| word.parse::<Aggregate>().unwrap());
        store.query(query.aggregate(aggregates).by(by.iter().copied()))
    };
    let found = ask(
        &["volt", "volt", "\"volt\"", "volt *2-1", "volt*2 - 1"],
        &["p50", "p50.0", "median", "p50"],
        &["model", "device", "model"],
    );
    let found = found.unwrap();
    assert_eq!(names(&found), ["model", "device", "volt_p50", "volt_median", "volt*2-1_p50", "volt*2-1_median"]);
    let values = [3.0, 3.0, 5.0, 5.0].map(Cell::Float);
    assert_eq!(found.rows(), [[&[text("A"), text("a")], &values[..]].concat()]);
    // A metric of that name, and the product: which of them a column is would be a guess.
    let error = ask(&["volt*2", "volt * 2"], &["mean"], &[]).unwrap_err();
    assert!(error.message().contains("'volt*2'"), "{error}");
}

#[test]
fn groups_that_are_numbers_come_as_numbers_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    let sites =
        [("a", "10"), ("b", "9"), ("c", "2"), ("d", "10.5"), ("e", "-3"), ("f", "007"), ("g", "7"), ("h", "1e2")];
    for (device, site) in sites {
        batch.reading(device, at(0)).float("level", 1.0);
        batch.reading(device, at(24)).float("level", 2.0);
        batch.attribute(device, "site", site);
        batch.attribute(device, "age", site.parse::<f64>().unwrap());
    }
    batch.reading("none", at(0)).float("level", 1.0);
    for (device, site) in [("x", "B12"), ("y", "A1"), ("z", "-")] {
        batch.reading(device, at(0)).float("level", 1.0);
        batch.attribute(device, "site", site);
    }
    store.write(batch).unwrap();
    let rising = ["-3", "2", "007", "7", "9", "10", "10.5", "1e2", "-", "A1", "B12"];
    let check = |layout: &str| {
        let of = |table: &Table| -> Vec<String> {
            let shown = |row: &[Cell]| if let Cell::Text(text) = &row[0] { text.to_string() } else { String::new() };
            table.rows().iter().map(shown).collect()
        };
        let query = || Query::metric("level").by(["site"]);
        let expected: Vec<&str> = std::iter::once("").chain(rising).collect();
        assert_eq!(of(&store.query(query()).unwrap()), expected, "{layout}");
        let trend = Trend::new(Expression::metric("level"), Window::DAY).by(["site"]);
        assert_eq!(of(&store.trend(&trend).unwrap()), expected, "{layout}");
        // Ordered by the column, rows without a value come last.
        let expected: Vec<&str> = rising.into_iter().chain([""]).collect();
        assert_eq!(of(&store.query(query().order("site")).unwrap()), expected, "{layout}");
        let expected: Vec<&str> = rising.into_iter().rev().chain([""]).collect();
        assert_eq!(of(&store.query(query().order_falling("site")).unwrap()), expected, "{layout}");
        let ages = store.query(Query::metric("level").by(["age"]).order("age").limit(4)).unwrap();
        assert_eq!(of(&ages), ["-3", "2", "7", "9"], "{layout}");
    };
    check("unsealed");
    store.seal().unwrap();
    check("sealed");
    store.compact(true, None).unwrap();
    check("compacted");
}

#[test]
fn columns_say_the_units_of_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    batch.reading("a", at(0)).float("speed", 1.0).float("power", 1.0);
    batch.unit("speed", "m/s");
    batch.unit("power", "W");
    store.write(batch).unwrap();
    let units = |metric: &str, words: &[&str]| -> Vec<Option<String>> {
        let aggregates = words.iter().map(|word| word.parse::<Aggregate>().unwrap());
        let table = store.query(Query::metric(metric).aggregate(aggregates)).unwrap();
        table.columns().iter().map(|column| column.unit.clone()).collect()
    };
    let some = |unit: &str| Some(unit.to_owned());
    let words = ["mean", "stddev", "variance", "slope", "rate", "delta", "p95", "count", "histogram"];
    let power = ["W", "W", "W^2", "W/d", "W/s", "W", "W"].map(some);
    assert_eq!(units("power", &words), [&power[..], &[None, None]].concat());
    assert_eq!(units("speed", &["variance"]), [some("(m/s)^2")]);
}

#[test]
fn values_that_no_device_ever_had_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    for (device, site) in [("a", "10"), ("b", "9")] {
        batch.attribute(device, "site", site);
        batch.attribute(device, "lat", 48.5);
    }
    batch.attribute("a", "site", "was").from(at(0)).to(at(1));
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    let filters = [attribute("site").is_any(["9", "was", "nine"]), attribute("lat").is_any(["48.50", "49"])];
    let unknown = unknown_values(&snapshot, &filters);
    let named: Vec<(&str, &str)> = unknown.iter().map(|one| (one.attribute.as_str(), one.value.as_str())).collect();
    assert_eq!(named, [("site", "nine"), ("lat", "49")]);
    assert_eq!(unknown[0].known, ["9", "10", "was"]);
    assert_eq!(unknown[1].known, ["48.5"]);
}
