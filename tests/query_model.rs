//! Queries against a naive oracle: every sample of the model is put into its group and window by hand and aggregated by the
//! textbook. The same question is asked in every layout, with and without statistics, on one thread and on two.

mod model;
mod operators;

use std::collections::BTreeMap;

use chrono::{Datelike, TimeZone, Timelike};
use fleetlog::operator::{Aggregate, Expression, Query, ValueFilter, attribute};
use fleetlog::{Cell, Nature, Options, Store, Table, Value, Window, WriteBatch};
use model::run::{Run, options};
use model::{Model, at};
use proptest::prelude::*;

/// One question, in words that both sides understand.
#[derive(Debug, Clone)]
struct Question {
    metric: &'static str,
    every: Option<&'static str>,
    by: Vec<&'static str>,
    region: Option<u8>,
    over: Option<f64>,
    range: Option<(i64, i64)>,
}

const AGGREGATES: [Aggregate; 15] = [
    Aggregate::Count,
    Aggregate::CountNan,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Variance,
    Aggregate::Median,
    Aggregate::Percentile(90.0),
    Aggregate::Delta,
    Aggregate::Rate,
    Aggregate::Slope,
    Aggregate::Stddev,
];

/// The metric that only grows: a decrease is a reset.
const COUNTER: &str = "errors";

fn question() -> impl Strategy<Value = Question> {
    let every = prop_oneof![Just(None), Just(Some("1h")), Just(Some("1d")), Just(Some("1mo")), Just(Some("1d zoned"))];
    let by = prop_oneof![
        Just(vec![]),
        Just(vec!["region"]),
        Just(vec!["firmware", "region"]),
        Just(vec!["device"]),
        Just(vec!["device", "firmware"])
    ];
    let start = 20_118_i64 * 86_400_000_000_000;
    let range = proptest::option::of(
        (0_i64..3_000, 1_i64..9_000)
            .prop_map(move |(from, long)| (start + from * 60_000_000_000, start + (from + long) * 60_000_000_000)),
    );
    let metric = prop_oneof![Just("power_w"), Just("errors"), Just("level"), Just("open")];
    let region = proptest::option::weighted(0.3, 0_u8..3);
    let over = proptest::option::weighted(0.2, -5.0..5.0);
    (metric, every, by, region, over, range).prop_map(|(metric, every, by, region, over, range)| Question {
        metric,
        every,
        by,
        region,
        over,
        range,
    })
}

/// The least number above zero: what any of the textbook's own steps may lose among the subnormals, where a bound relative to the
/// values is below it.
const LEAST: f64 = f64::from_bits(1);

/// The zone of days that are not of UTC: it had a summer time, and its offset is not whole hours.
const ZONE: chrono_tz::Tz = chrono_tz::Australia::Adelaide;

fn window_of(every: &str, time: i64) -> i64 {
    let seconds = time.div_euclid(1_000_000_000);
    let utc = chrono::Utc.timestamp_opt(seconds, 0).unwrap();
    let start = match every {
        "1h" => seconds.div_euclid(3_600) * 3_600,
        "1d" => seconds.div_euclid(86_400) * 86_400,
        "1mo" => chrono::Utc.with_ymd_and_hms(utc.year(), utc.month(), 1, 0, 0, 0).unwrap().timestamp(),
        _ => {
            let local = utc.with_timezone(&ZONE);
            let midnight =
                local.with_hour(0).and_then(|local| local.with_minute(0)).and_then(|local| local.with_second(0));
            midnight.unwrap().timestamp()
        }
    };
    start * 1_000_000_000
}

fn ask(question: &Question, metric: Expression) -> Query {
    let mut query = Query::expressions([metric]).aggregate(AGGREGATES).by(question.by.iter().copied());
    if let Some(every) = question.every {
        let window: Window = every.split(' ').next().unwrap().parse().unwrap();
        query =
            query.every(if every.ends_with("zoned") { window.in_zone("Australia/Adelaide").unwrap() } else { window });
    }
    if let Some(region) = question.region {
        query = query.filter(attribute("region").is(format!("v{region}")));
    }
    if let Some(over) = question.over {
        query = query.filter_value(format!("level>{over}").parse::<ValueFilter>().unwrap());
    }
    if let Some((from, to)) = question.range {
        query = query.between(at(from), at(to));
    }
    query
}

/// The samples of one group and window: by device in time order, each with the sample of the device before it, whatever is asked.
type Samples = BTreeMap<String, Vec<(i64, Value, Option<(i64, Value)>)>>;

fn expected(model: &Model, question: &Question) -> BTreeMap<(Vec<String>, i64), Samples> {
    let mut groups: BTreeMap<(Vec<String>, i64), Samples> = BTreeMap::new();
    let mut before: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for ((device, time, metric), value) in &model.cells {
        if metric != question.metric {
            continue;
        }
        let value = model.value(metric, value);
        let last = before.get(device).cloned();
        if !value.as_f64().unwrap().is_nan() {
            before.insert(device.clone(), (*time, value.clone()));
        }
        let inside = question.range.is_none_or(|(from, to)| (from..to).contains(time));
        let attribute =
            |name: &str| if name == "device" { Some(device.clone()) } else { model.attribute(device, name, at(*time)) };
        let region = question.region.is_none_or(|region| attribute("region") == Some(format!("v{region}")));
        let over = question.over.is_none_or(|over| {
            let level = model.cells.get(&(device.clone(), *time, "level".to_owned()));
            level.and_then(Value::as_f64).is_some_and(|level| level > over)
        });
        if !inside || !region || !over {
            continue;
        }
        let key = question.by.iter().map(|name| attribute(name).unwrap_or_default()).collect();
        let window = question.every.map_or(i64::MIN, |every| window_of(every, *time));
        groups.entry((key, window)).or_default().entry(device.clone()).or_default().push((*time, value, last));
    }
    groups
}

fn check(table: &Table, model: &Model, question: &Question) {
    check_groups(table, &expected(model, question), question, true);
}

/// Compares an answer with the samples of each group and window; with delta and rate, if they were asked for.
fn check_groups(table: &Table, expected: &BTreeMap<(Vec<String>, i64), Samples>, question: &Question, growth: bool) {
    let keys = question.by.len() + usize::from(question.every.is_some());
    let rows: Vec<((Vec<String>, i64), &[Cell])> = table
        .rows()
        .iter()
        .map(|row| {
            let text = |cell: &Cell| match cell {
                Cell::Text(text) => text.to_string(),
                Cell::Null => String::new(),
                other => panic!("{other:?} as a group"),
            };
            let window = match row[..keys].last() {
                Some(Cell::Time(time)) => time.nanoseconds(),
                _ => i64::MIN,
            };
            ((row[..question.by.len()].iter().map(text).collect(), window), &row[keys..])
        })
        .collect();
    assert!(rows.is_sorted_by(|a, b| a.0 < b.0), "sorted by group, then window, each once: {question:?}");
    let found: BTreeMap<_, _> = rows.into_iter().collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{question:?}");
    for (key, samples) in expected {
        let place = format!("{key:?} of {question:?}");
        check_row(found[key], samples, &place);
        if growth {
            check_growth(&found[key][11..13], samples, question.metric == COUNTER, &place);
        }
        check_slope(&found[key][13], samples, &place);
    }
}

fn check_row(cells: &[Cell], samples: &Samples, place: &str) {
    let all: Vec<(i64, &str, &Value)> = samples
        .iter()
        .flat_map(|(device, rows)| rows.iter().map(move |row| (row.0, device.as_str(), &row.1)))
        .collect();
    let known: Vec<_> = all.iter().filter(|(.., value)| !value.as_f64().unwrap().is_nan()).copied().collect();
    let mut sorted: Vec<f64> = known.iter().map(|(.., value)| value.as_f64().unwrap()).collect();
    sorted.sort_by(f64::total_cmp);
    let size: f64 = sorted.iter().map(|value| value.abs()).sum();
    let exact = |value: Option<&Value>| match value {
        None => Cell::Null,
        Some(Value::Integer(value)) => Cell::Integer(*value),
        Some(Value::Boolean(value)) => Cell::Integer(i64::from(*value)),
        Some(value) => Cell::Float(value.as_f64().unwrap()),
    };
    let by_value =
        |a: &&(i64, &str, &Value), b: &&(i64, &str, &Value)| a.2.as_f64().unwrap().total_cmp(&b.2.as_f64().unwrap());
    let least = known.iter().min_by(by_value).map(|sample| sample.2);
    let greatest = known.iter().max_by(by_value).map(|sample| sample.2);
    let first = known.iter().min_by_key(|(time, device, _)| (*time, *device)).map(|sample| sample.2);
    let last = known.iter().max_by_key(|(time, device, _)| (*time, *device)).map(|sample| sample.2);
    let same = |name: &str, found: &Cell, expected: Cell| {
        // A zero among extremes has no sign.
        let plain = |cell: &Cell| match cell {
            Cell::Float(value) => format!("Float({:?})", value + 0.0),
            other => format!("{other:?}"),
        };
        assert_eq!(plain(found), plain(&expected), "{name} {place}");
    };
    same("count", &cells[0], Cell::Integer(known.len() as i64));
    same("count_nan", &cells[1], Cell::Integer((all.len() - known.len()) as i64));
    same("min", &cells[2], exact(least));
    same("max", &cells[3], exact(greatest));
    same("first", &cells[4], exact(first));
    same("last", &cells[5], exact(last));
    let near = |name: &str, found: &Cell, expected: Option<f64>, tolerance: f64| match (number(found), expected) {
        (None, None) => {}
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() <= tolerance + 4.0 * LEAST, "{name} {found} not {expected}, {place}")
        }
        (found, expected) => panic!("{name} {found:?} not {expected:?}, {place}"),
    };
    let (count, some, sum) = (sorted.len() as f64, !sorted.is_empty(), exact_sum(&known));
    near("sum", &cells[6], some.then_some(sum), 1e-12 * size);
    near("mean", &cells[7], some.then_some(sum / count), 1e-12 * size);
    let mean = sum / count;
    let variance = sorted.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0);
    let squares: f64 = sorted.iter().map(|value| value * value).sum();
    // Squares of deviations below 1e-154 fall among the subnormals: each may lose a last place.
    near("variance", &cells[8], (sorted.len() > 1).then_some(variance), 1e-10 * squares + count * LEAST);
    for (cell, share) in [(&cells[9], 0.5), (&cells[10], 0.9)] {
        near("quantile", cell, quantile(&sorted, share), 1e-14 * size);
    }
    near("stddev", &cells[14], (sorted.len() > 1).then_some(variance.sqrt()), 1e-10 * squares.sqrt() + 1e-150);
}

/// Delta and rate from the definition: device by device, a decrease of a counter is a reset.
fn check_growth(cells: &[Cell], samples: &Samples, counter: bool, place: &str) {
    let (mut exact, mut sum, mut size, mut count, mut rate, mut rate_size) = (Some(0_i128), 0.0, 0.0, 0, 0.0, 0.0);
    for rows in samples.values() {
        let (mut grown, mut large, mut elapsed_ns) = (0.0, 0.0, 0_i128);
        for (time, value, before) in rows {
            let Some((since, before)) = before.as_ref().filter(|_| !value.as_f64().unwrap().is_nan()) else { continue };
            let (b, a) = (before.as_f64().unwrap(), value.as_f64().unwrap());
            let from = if counter && a < b { 0.0 } else { b };
            grown += a - from;
            large += a.abs() + b.abs();
            elapsed_ns += i128::from(time - since);
            count += 1;
            exact = match (exact, before, value) {
                (Some(sum), Value::Integer(b), Value::Integer(a)) => {
                    Some(sum + i128::from(*a) - if counter && a < b { 0 } else { i128::from(*b) })
                }
                _ => None,
            };
        }
        (sum, size) = (sum + grown, size + large);
        if elapsed_ns > 0 {
            rate += grown / (elapsed_ns as f64 / 1e9);
            rate_size += large / (elapsed_ns as f64 / 1e9);
        }
    }
    if count == 0 {
        assert_eq!(cells, [Cell::Null, Cell::Null], "{place}");
        return;
    }
    match exact.map(i64::try_from) {
        Some(Ok(exact)) => assert_eq!(cells[0], Cell::Integer(exact), "delta {place}"),
        _ => assert!((number(&cells[0]).unwrap() - sum).abs() <= 1e-12 * size + 4.0 * LEAST, "delta {place}"),
    }
    let near = 1e-12 * rate_size + 4.0 * LEAST;
    assert!((number(&cells[1]).unwrap() - rate).abs() <= near, "rate {:?} not {rate} {place}", cells[1]);
}

/// Least squares by the textbook, with distances from the mean instant that are exact integers before they are divided.
fn check_slope(cell: &Cell, samples: &Samples, place: &str) {
    let known: Vec<(i128, f64)> = samples
        .values()
        .flatten()
        .map(|(time, value, _)| (i128::from(*time), value.as_f64().unwrap()))
        .filter(|(_, value)| !value.is_nan())
        .collect();
    let count = known.len() as i128;
    let total: i128 = known.iter().map(|(time, _)| time).sum();
    let scale = known.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max);
    // In parts of the largest value, so that no square of a tiny one is lost.
    let part = |value: f64| if scale == 0.0 { 0.0 } else { value / scale };
    let mean = known.iter().map(|(_, value)| part(*value) / count as f64).sum::<f64>();
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (time, value) in &known {
        let x = (time * count - total) as f64 / (count as f64 * 86_400e9);
        let y = part(*value) - mean;
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    if xx == 0.0 {
        assert_eq!(*cell, Cell::Null, "slope {place}");
        return;
    }
    // Below, products of values and days fall among the subnormals, and what is left of a slope is noise.
    if scale > 0.0 && scale < 1e-280 {
        return;
    }
    let spread = (count as f64 / xx).sqrt();
    let near = (1e-11 * (yy / xx).sqrt() + 1e-13 * spread) * scale + 4.0 * count as f64 * LEAST * spread.max(1.0);
    let (found, slope) = (number(cell).unwrap_or_else(|| panic!("no slope {place}")), xy / xx * scale);
    assert!((found - slope).abs() <= near, "slope {found} not {slope} {place}");
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        Cell::Null => None,
        other => panic!("{other:?} is no number"),
    }
}

/// Integers exactly; floats largest first, with what each addition loses (Neumaier).
fn exact_sum(samples: &[(i64, &str, &Value)]) -> f64 {
    let (mut integers, mut sum, mut lost) = (0_i128, 0.0_f64, 0.0_f64);
    for (.., value) in samples {
        match value {
            Value::Integer(value) => integers += i128::from(*value),
            value => {
                let value = value.as_f64().unwrap();
                let total = sum + value;
                lost += if sum.abs() >= value.abs() { (sum - total) + value } else { (value - total) + sum };
                sum = total;
            }
        }
    }
    integers as f64 + (sum + lost)
}

/// Hyndman and Fan, type 7.
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * (place - place.floor()))
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(80)
}

/// Says of the counter that it is one.
fn count_up(run: &Run) {
    if run.store().snapshot().unwrap().catalog().metric(COUNTER).is_some() {
        let mut batch = WriteBatch::new();
        batch.nature(COUNTER, Nature::Counter);
        run.store().write(batch).unwrap();
    }
}

/// Asks with and without statistics, on one thread and two, and compares with the model.
fn ask_all(run: &Run, path: &std::path::Path, questions: &[Question]) {
    let single = Store::open_read_only(path, Options { threads: 1, ..options() }).unwrap();
    for question in questions {
        let snapshot = run.store().snapshot().unwrap();
        if snapshot.catalog().metric(question.metric).is_none()
            || (question.over.is_some() && snapshot.catalog().metric("level").is_none())
        {
            continue;
        }
        let known = snapshot.attributes().attributes();
        let asked =
            question.by.iter().copied().chain(question.region.map(|_| "region")).filter(|name| *name != "device");
        if asked.into_iter().any(|name| !known.iter().any(|known| known.as_str() == name)) {
            continue;
        }
        for statistics in [true, false] {
            let query = ask(question, Expression::metric(question.metric)).statistics(statistics);
            let table = run.store().query(query.clone()).unwrap();
            check(&table, &run.model, question);
            let alone = single.query(query).unwrap();
            // An open store and a reader may have other chunks; sealed, their answers are the same to the bit.
            check(&alone, &run.model, question);
            if snapshot.chunks().is_empty() {
                assert_eq!(format!("{table:?}"), format!("{alone:?}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_those_of_the_textbook_in_every_layout(
        actions in proptest::collection::vec(model::action(), 1..20),
        questions in proptest::collection::vec(question(), 4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut run = Run::new(&path);
        for action in &actions {
            run.act(action);
        }
        run.moments.clear();
        count_up(&run);
        ask_all(&run, &path, &questions);
        run.store().seal().unwrap();
        ask_all(&run, &path, &questions);
        for cold in [false, true] {
            run.store().compact(cold, None).unwrap();
            ask_all(&run, &path, &questions);
        }
    }
}
