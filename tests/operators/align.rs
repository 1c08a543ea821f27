//! As-of alignment against a walk over all samples of the model.

use std::collections::BTreeMap;

use fleetlog::operator::{Aggregate, Expression, Query, SamplesRequest};
use fleetlog::{Cell, ErrorKind, Value};
use proptest::prelude::*;

use crate::model::{self, METRICS, Model, at, run::Run};
use crate::textbook::Samples;
use crate::{Question, ask, check, is_known, lists, question, textbook, window_of};

const MINUTE_NS: i64 = 60_000_000_000;

/// Arithmetic with its metrics, the first of them the left one.
type Arithmetic = (&'static str, &'static [&'static str], fn(&[f64]) -> f64);

const ARITHMETIC: [Arithmetic; 5] = [
    ("power_w", &["power_w"], |values| values[0]),
    ("errors", &["errors"], |values| values[0]),
    ("power_w-level", &["power_w", "level"], |values| values[0] - values[1]),
    ("level-(errors+power_w)/2", &["level", "errors", "power_w"], |values| values[0] - (values[1] + values[2]) / 2.0),
    ("open*level", &["open", "level"], |values| values[0] * values[1]),
];

fn tolerance() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(7 * MINUTE_NS),
        (0_i64..2_000).prop_map(|minutes| minutes * MINUTE_NS),
        Just(40 * 1_440 * MINUTE_NS),
        Just(i64::MAX),
    ]
}

/// The latest value at or before an instant that is not older than the tolerance.
fn as_of(model: &Model, device: &str, metric: &str, time: i64, tolerance_ns: i64) -> Option<Value> {
    let key = |time: i64| (device.to_owned(), time, metric.to_owned());
    let mut back = model.cells.range(key(i64::MIN)..=key(time)).rev();
    let ((_, at, _), value) = back.find(|((_, _, name), _)| name == metric)?;
    let fits = i128::from(time) - i128::from(*at) <= i128::from(tolerance_ns);
    fits.then(|| model.value(metric, value))
}

fn cell(value: Option<Value>) -> Cell {
    match value {
        None => Cell::Null,
        Some(Value::Float(value)) => Cell::Float(value),
        Some(Value::Integer(value)) => Cell::Integer(value),
        Some(Value::Boolean(value)) => Cell::Boolean(value),
        Some(Value::Text(value)) => Cell::Text(value.into()),
    }
}

fn check_samples(run: &Run, left: &str, tolerance_ns: i64, range: Option<(i64, i64)>) {
    let snapshot = run.store().snapshot().unwrap();
    if snapshot.catalog().metric(left).is_none() {
        return;
    }
    let known: Vec<&str> = METRICS.into_iter().filter(|name| snapshot.catalog().metric(name).is_some()).collect();
    let (from, to) = range.unwrap_or((i64::MIN, i64::MAX));
    for device in snapshot.catalog().devices() {
        let id = device.id.as_str();
        let mut names = known.clone();
        names.sort_unstable();
        let request =
            SamplesRequest::device(id).metrics(known.clone()).align(left, tolerance_ns).between(at(from), at(to));
        let mut found = Vec::new();
        let give = &mut |table: fleetlog::Table| {
            let columns: Vec<&str> = table.columns().iter().skip(2).map(|column| column.name.as_str()).collect();
            assert_eq!(columns, names);
            found.extend(table.rows().to_vec());
            Ok(true)
        };
        run.store().samples(&snapshot, &request, None, give).unwrap();
        let instants =
            run.model.cells.keys().filter(|(of, time, metric)| {
                of == id && metric == left && *time >= from && (*time < to || to == i64::MAX)
            });
        let expected: Vec<Vec<Cell>> = instants
            .map(|(_, time, _)| {
                let values = names.iter().map(|name| cell(as_of(&run.model, id, name, *time, tolerance_ns)));
                [Cell::Text(id.into()), Cell::Time(at(*time))].into_iter().chain(values).collect()
            })
            .collect();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{left} {tolerance_ns} {range:?}");
    }
}

/// The samples of each group and window, as [`crate::expected`] has them of one metric.
fn expected(
    model: &Model,
    question: &Question,
    (_, metrics, arithmetic): Arithmetic,
    tolerance_ns: i64,
) -> BTreeMap<(Vec<String>, i64), Samples> {
    let mut groups: BTreeMap<(Vec<String>, i64), Samples> = BTreeMap::new();
    let mut before: BTreeMap<String, (i64, Value)> = BTreeMap::new();
    for ((device, time, metric), value) in &model.cells {
        if metric != metrics[0] {
            continue;
        }
        let of = |metric: &str| as_of(model, device, metric, *time, tolerance_ns);
        let value = if let [metric] = metrics {
            Some(model.value(metric, value))
        } else {
            let values: Option<Vec<f64>> =
                metrics.iter().map(|name| of(name).and_then(|value| value.as_f64())).collect();
            values.map(|values| Value::Float(arithmetic(&values)))
        };
        let Some(value) = value else { continue };
        let last = before.get(device).cloned();
        if !value.as_f64().unwrap().is_nan() {
            before.insert(device.clone(), (*time, value.clone()));
        }
        let inside = question.range.is_none_or(|(from, to)| (from..to).contains(time));
        let attribute =
            |name: &str| if name == "device" { Some(device.clone()) } else { model.attribute(device, name, at(*time)) };
        let region = question.region.is_none_or(|region| attribute("region") == Some(format!("v{region}")));
        let level = || of("level").and_then(|value| value.as_f64());
        let passes = question.over.is_none_or(|over| level().is_some_and(|level| over.passes(level)));
        if !inside || !region || !passes {
            continue;
        }
        let key = question.by.iter().map(|name| attribute(name).unwrap_or_default()).collect();
        let window = question.every.map_or(i64::MIN, |every| window_of(every, *time));
        groups.entry((key, window)).or_default().entry(device.clone()).or_default().push((*time, value, last));
    }
    groups
}

fn check_query(run: &Run, question: &Question, arithmetic: Arithmetic, tolerance_ns: i64) {
    let question = Question { metric: arithmetic.1[0], ..question.clone() };
    let named = arithmetic.1.iter().map(|metric| Question { metric, ..question.clone() });
    if !named.into_iter().all(|question| is_known(run, &question)) {
        return;
    }
    let alone = arithmetic.1.len() == 1;
    // In the places of delta and rate, which arithmetic does not have.
    let others = |aggregate: Aggregate| match aggregate {
        Aggregate::Delta if !alone => Aggregate::Percentile(10.0),
        Aggregate::Rate if !alone => Aggregate::Percentile(20.0),
        aggregate => aggregate,
    };
    let expected = textbook(&expected(&run.model, &question, arithmetic, tolerance_ns), &question);
    let [all, packed, sums] = lists(0);
    let all: Vec<Aggregate> = all.into_iter().map(others).collect();
    for (statistics, aggregates) in [(true, &all), (false, &all), (true, &packed), (false, &sums)] {
        let query = ask(&question, Expression::parse(arithmetic.0).unwrap())
            .aggregate(aggregates.to_vec())
            .tolerance_ns(tolerance_ns)
            .statistics(statistics);
        check(&run.store().query(query).unwrap(), &expected, aggregates, &question);
    }
    // A tolerance of nothing is the plain question.
    if tolerance_ns == 0 {
        let plain = ask(&question, Expression::parse(arithmetic.0).unwrap()).aggregate(all);
        let aligned = run.store().query(plain.clone().tolerance_ns(0)).unwrap();
        let plain = run.store().query(plain).unwrap();
        assert_eq!(format!("{:?}", aligned.rows()), format!("{:?}", plain.rows()), "{question:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases() / 2, max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn aligned_samples_are_those_of_a_walk_over_all_samples(
        actions in proptest::collection::vec(model::action(), 1..20),
        asked in proptest::collection::vec((prop::sample::select(METRICS.to_vec()), tolerance(), question()), 4),
    ) {
        super::in_every_layout(&actions, |run| {
            for (left, tolerance_ns, question) in &asked {
                check_samples(run, left, *tolerance_ns, question.range);
            }
        });
    }

    #[test]
    fn aligned_arithmetic_and_conditions_are_those_of_a_walk_over_all_samples(
        actions in proptest::collection::vec(model::action(), 1..20),
        asked in proptest::collection::vec((prop::sample::select(ARITHMETIC.to_vec()), tolerance(), question()), 4),
    ) {
        super::in_every_layout(&actions, |run| {
            for (arithmetic, tolerance_ns, question) in &asked {
                check_query(run, question, *arithmetic, *tolerance_ns);
            }
        });
    }
}

#[test]
fn a_tolerance_has_no_sign_and_no_growth_of_arithmetic() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(&folder.path().join("store"));
    let mut batch = fleetlog::WriteBatch::new();
    batch.reading("a", at(5)).float("level", 1.0).float("power_w", 1.0);
    run.store().write(batch).unwrap();
    let query = |tolerance_ns: i64| {
        Query::expressions([Expression::parse("level*power_w").unwrap()]).tolerance_ns(tolerance_ns)
    };
    let failed = |query: Query| run.store().query(query).unwrap_err().kind();
    assert_eq!(failed(query(-1)), ErrorKind::InvalidInput);
    assert_eq!(failed(query(5).aggregate([Aggregate::Delta])), ErrorKind::InvalidInput);
    let samples = |request: SamplesRequest| {
        run.store().samples(&run.store().snapshot().unwrap(), &request, None, &mut |_| Ok(true)).unwrap_err().kind()
    };
    assert_eq!(samples(SamplesRequest::device("a").align("level", -1)), ErrorKind::InvalidInput);
    assert_eq!(samples(SamplesRequest::device("a").align("none", 1)), ErrorKind::NotFound);
}
