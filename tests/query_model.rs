//! Queries against a naive oracle: every sample of the model is put into its group and window by hand and aggregated by the
//! textbook. The same question is asked in every layout, with and without statistics, on one thread and on two.

mod model;
mod operators;
mod textbook;

use std::collections::BTreeMap;

use chrono::{Datelike, TimeZone, Timelike};
use fleetlog::operator::{Aggregate, Expression, Query, ValueFilter, attribute};
use fleetlog::{Cell, Nature, Options, Store, Table, Value, Window, WriteBatch};
use model::run::{Run, options};
use model::{Model, at};
use proptest::prelude::*;
use textbook::{Answers, Samples};

/// One question, in words that both sides understand.
#[derive(Debug, Clone)]
struct Question {
    metric: &'static str,
    every: Option<&'static str>,
    by: Vec<&'static str>,
    region: Option<u8>,
    /// On `level`: how it is compared, and with what.
    over: Option<Condition>,
    range: Option<(i64, i64)>,
}

/// A condition on `level`.
#[derive(Debug, Clone, Copy)]
struct Condition(&'static str, f64);

impl Condition {
    fn passes(self, value: f64) -> bool {
        let Self(comparison, bound) = self;
        match comparison {
            ">" => value > bound,
            ">=" => value >= bound,
            "<" => value < bound,
            "<=" => value <= bound,
            "=" => value == bound,
            _ => value != bound && !value.is_nan(),
        }
    }

    fn filter(self) -> ValueFilter {
        format!("level{}{}", self.0, self.1).parse().unwrap()
    }
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

/// Lists that go different ways: all; what blocks can answer as they are stored, which is all but growth and slope; and parts of it, by
/// turns: whole groups that are added up unread, statistics, ends with a slope, values for quantiles alone.
fn lists(turn: usize) -> [Vec<Aggregate>; 3] {
    use Aggregate::{
        Count, CountNan, Delta, First, Last, Max, Mean, Median, Min, Percentile, Rate, Slope, Stddev, Sum,
    };
    let packed = AGGREGATES.into_iter().filter(|aggregate| !matches!(aggregate, Delta | Rate | Slope)).collect();
    let parts: [&[Aggregate]; 4] = [
        &[Count, Sum, CountNan, Mean],
        &[Min, Max, Mean],
        &[Count, First, Last, Max, Stddev, Slope],
        &[Median, Sum, Percentile(10.0), Count],
    ];
    [AGGREGATES.to_vec(), packed, parts[turn % parts.len()].to_vec()]
}

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
    // Bounds that values meet, and others.
    let bound = prop_oneof![
        -5.0..5.0,
        (-20..20_i32).prop_map(|bound| f64::from(bound) / 4.0),
        (-500..500_i32).prop_map(|bound| f64::from(bound) / 100.0),
        (-60..60_i32).prop_map(f64::from),
    ];
    let comparison = prop::sample::select(vec![">", ">=", "<", "<=", "=", "!="]);
    let over = proptest::option::weighted(
        0.4,
        (comparison, bound).prop_map(|(comparison, bound)| Condition(comparison, bound)),
    );
    (metric, every, by, region, over, range).prop_map(|(metric, every, by, region, over, range)| Question {
        metric,
        every,
        by,
        region,
        over,
        range,
    })
}

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
        query = query.filter_value(over.filter());
    }
    if let Some((from, to)) = question.range {
        query = query.between(at(from), at(to));
    }
    query
}

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
            level.and_then(Value::as_f64).is_some_and(|level| over.passes(level))
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

/// The answers of the textbook by group and window.
type Expected = BTreeMap<(Vec<String>, i64), Answers>;

fn textbook(samples: &BTreeMap<(Vec<String>, i64), Samples>, question: &Question) -> Expected {
    let answers = |samples: &Samples| textbook::answers(samples, question.metric == COUNTER);
    samples.iter().map(|(key, samples)| (key.clone(), answers(samples))).collect()
}

/// Compares an answer that has some aggregates with those of each group and window.
fn check(table: &Table, expected: &Expected, aggregates: &[Aggregate], question: &Question) {
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
    for (key, answers) in expected {
        assert_eq!(found[key].len(), aggregates.len());
        for (aggregate, cell) in aggregates.iter().zip(found[key]) {
            let word = aggregate.to_string();
            answers[&word].check(cell, &format!("{word} of {key:?} of {question:?}"));
        }
    }
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

/// Whether a store knows all that a question names.
fn is_known(run: &Run, question: &Question) -> bool {
    let snapshot = run.store().snapshot().unwrap();
    let metric = |name: &str| snapshot.catalog().metric(name).is_some();
    let attributes = snapshot.attributes().attributes();
    let mut named =
        question.by.iter().copied().chain(question.region.map(|_| "region")).filter(|name| *name != "device");
    metric(question.metric)
        && (question.over.is_none() || metric("level"))
        && named.all(|name| attributes.iter().any(|known| known.as_str() == name))
}

/// Asks with and without statistics, on one thread and two, and compares with the textbook.
fn ask_all(run: &Run, path: &std::path::Path, questions: &[(Question, Expected)]) {
    let single = Store::open_read_only(path, Options { threads: 1, ..options() }).unwrap();
    let sealed = run.store().snapshot().unwrap().chunks().is_empty();
    for (place, (question, expected)) in questions.iter().enumerate() {
        for aggregates in &lists(place) {
            for statistics in [true, false] {
                let query = ask(question, Expression::metric(question.metric));
                let query = query.aggregate(aggregates.to_vec()).statistics(statistics);
                let table = run.store().query(query.clone()).unwrap();
                check(&table, expected, aggregates, question);
                let alone = single.query(query).unwrap();
                // An open store and a reader may have other chunks; sealed, their answers are the same to the bit.
                if sealed {
                    assert_eq!(format!("{table:?}"), format!("{alone:?}"));
                } else {
                    check(&alone, expected, aggregates, question);
                }
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
        let known = questions.into_iter().filter(|question| is_known(&run, question));
        let questions: Vec<(Question, Expected)> = known
            .map(|question| {
                let answers = textbook(&expected(&run.model, &question), &question);
                (question, answers)
            })
            .collect();
        ask_all(&run, &path, &questions);
        run.store().seal().unwrap();
        ask_all(&run, &path, &questions);
        for cold in [false, true] {
            run.store().compact(cold, None).unwrap();
            ask_all(&run, &path, &questions);
        }
    }
}
