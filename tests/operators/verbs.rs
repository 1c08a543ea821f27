//! Gaps, last values, outliers, trends and texts against walks over all samples of the model, with statistics and without.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, TimeZone};
use fleetlog::operator::{
    Aggregate, Expression, GapsRequest, LatestRequest, OutliersRequest, Query, Trend, Window, attribute,
};
use fleetlog::{Cell, Table, Value};
use proptest::prelude::*;

use crate::model::{self, Model, at, run::Run};
use crate::textbook::{Answer, exact_sum, variance};
use crate::{Question, expected, question};

const SECOND_NS: f64 = 1e9;
const DAY_NS: f64 = 86_400e9;

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

fn inside(range: Option<(i64, i64)>, time: i64) -> bool {
    range.is_none_or(|(from, to)| (from..to).contains(&time))
}

fn knows(run: &Run, metric: &str, attributes: &[&str]) -> bool {
    let snapshot = run.store().snapshot().unwrap();
    let known = snapshot.attributes().attributes();
    snapshot.catalog().metric(metric).is_some()
        && attributes.iter().all(|name| *name == "device" || known.iter().any(|known| known.as_str() == *name))
}

fn same(found: &Table, expected: &[Vec<Cell>], context: &str) {
    assert_eq!(format!("{:?}", found.rows()), format!("{expected:?}"), "{context}");
}

fn near(found: &Cell, expected: Option<f64>, tolerance: f64, context: &str) {
    expected.map_or(Answer::Same(Cell::Null), |expected| Answer::Near(expected, tolerance)).check(found, context);
}

fn check_latest(run: &Run, region: Option<u8>, range: Option<(i64, i64)>) {
    if region.is_some() && !knows(run, "level", &["region"]) {
        return;
    }
    let mut last: BTreeMap<(&str, &str), (i64, Value)> = BTreeMap::new();
    for ((device, time, metric), value) in run.model.cells.iter().filter(|((_, time, _), _)| inside(range, *time)) {
        if !value.as_f64().is_some_and(f64::is_nan) {
            last.insert((device.as_str(), metric.as_str()), (*time, run.model.value(metric, value)));
        }
    }
    let had = |device: &str, time: i64| {
        region.is_none_or(|region| run.model.attribute(device, "region", at(time)) == Some(format!("v{region}")))
    };
    let expected: Vec<Vec<Cell>> = last
        .into_iter()
        .filter(|((device, _), (time, _))| had(device, *time))
        .map(|((device, metric), (time, value))| {
            let value = match value {
                Value::Float(value) => Cell::Float(value),
                Value::Integer(value) => Cell::Integer(value),
                Value::Boolean(value) => Cell::Boolean(value),
                Value::Text(value) => Cell::Text(value.into()),
            };
            vec![text(device), text(metric), Cell::Time(at(time)), value, Cell::Null]
        })
        .collect();
    for statistics in [true, false] {
        let mut request = LatestRequest::default().statistics(statistics);
        if let Some(region) = region {
            request = request.filter(attribute("region").is(format!("v{region}")));
        }
        if let Some((from, to)) = range {
            request = request.between(at(from), at(to));
        }
        let (found, _) = run.store().latest(&run.store().snapshot().unwrap(), &request, None).unwrap();
        same(&found, &expected, &format!("latest {region:?} {range:?} {statistics}"));
    }
}

fn check_gaps(run: &Run, longer_than_ns: i64, range: Option<(i64, i64)>) {
    let mut times: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (device, time, _) in run.model.cells.keys().filter(|(_, time, _)| inside(range, *time)) {
        times.entry(device).or_default().insert(*time);
    }
    let row = |(device, times): (&str, BTreeSet<i64>)| {
        let times: Vec<i128> = times.into_iter().map(i128::from).collect();
        let pairs = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
        let gaps: Vec<(i128, i128)> = pairs.filter(|(gap, _)| *gap > i128::from(longer_than_ns)).collect();
        let seconds = |ns: i128| Cell::Float(ns as f64 / SECOND_NS);
        // Of equally long ones the first.
        let longest = gaps.iter().rev().max_by_key(|(gap, _)| *gap);
        vec![
            text(device),
            Cell::Integer(gaps.len() as i64),
            seconds(gaps.iter().map(|(gap, _)| gap).sum()),
            longest.map_or(Cell::Null, |(gap, _)| seconds(*gap)),
            longest.map_or(Cell::Null, |(_, from)| Cell::Time(at(*from as i64))),
        ]
    };
    let expected: Vec<Vec<Cell>> = times.into_iter().map(row).collect();
    for statistics in [true, false] {
        let mut request = GapsRequest::longer_than_ns(longer_than_ns).statistics(statistics);
        if let Some((from, to)) = range {
            request = request.between(at(from), at(to));
        }
        let (found, _) = run.store().gaps(&run.store().snapshot().unwrap(), &request, None).unwrap();
        same(&found, &expected, &format!("gaps {longer_than_ns} {range:?} {statistics}"));
    }
}

fn check_outliers(run: &Run, metric: &str, sigma: f64, range: Option<(i64, i64)>) {
    if !knows(run, metric, &[]) {
        return;
    }
    let mut known: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for ((device, _, _), value) in
        run.model.cells.iter().filter(|((_, time, name), _)| name == metric && inside(range, *time))
    {
        if !value.as_f64().unwrap().is_nan() {
            known.entry(device).or_default().push(value);
        }
    }
    for statistics in [true, false] {
        let mut request = OutliersRequest::new(metric, sigma).statistics(statistics);
        if let Some((from, to)) = range {
            request = request.between(at(from), at(to));
        }
        let (found, _) = run.store().outliers(&run.store().snapshot().unwrap(), &request, None).unwrap();
        let devices: Vec<&Cell> = found.rows().iter().map(|row| &row[0]).collect();
        let expected: Vec<Cell> = known.keys().map(|device| text(device)).collect();
        assert_eq!(devices, expected.iter().collect::<Vec<_>>(), "{metric} {range:?} {statistics}");
        for (row, samples) in found.rows().iter().zip(known.values()) {
            let values: Vec<f64> = samples.iter().map(|value| value.as_f64().unwrap()).collect();
            let context = format!("{:?} {metric} {sigma} {range:?} {statistics}", row[0]);
            let count = values.len() as f64;
            let size: f64 = values.iter().map(|value| value.abs()).sum();
            let mean = exact_sum(samples.iter().copied()) / count;
            assert_eq!(row[1], Cell::Integer(values.len() as i64), "{context}");
            near(&row[2], Some(mean), 1e-12 * size / count, &context);
            let (variance, coarse) = variance(&values, mean);
            let deviation = variance.map(f64::sqrt);
            let coarse = coarse.sqrt().min(coarse / deviation.unwrap_or_default()) + 1e-150;
            near(&row[3], deviation, coarse, &context);
            let Some(deviation) = deviation else {
                assert_eq!(row[4], Cell::Null, "{context}");
                continue;
            };
            // A value at the very limit may be told either way.
            let beyond = |slack: f64| {
                values.iter().filter(|value| (**value - mean).abs() > sigma * deviation + slack).count() as i64
            };
            let Cell::Integer(count) = row[4] else { panic!("{:?} {context}", row[4]) };
            let slack = sigma * coarse + 1e-12 * size / values.len() as f64;
            assert!((beyond(slack)..=beyond(-slack)).contains(&count), "{count} beyond {context}");
        }
    }
}

/// The middle of a window in days, from its start.
fn middle(every: &str, start: i64) -> f64 {
    let end = match every {
        "1h" => start + 3_600_000_000_000,
        "1d" => start + DAY_NS as i64,
        _ => {
            let month = chrono::Utc.timestamp_nanos(start);
            let (year, number) =
                if month.month() == 12 { (month.year() + 1, 1) } else { (month.year(), month.month() + 1) };
            chrono::Utc.with_ymd_and_hms(year, number, 1, 0, 0, 0).unwrap().timestamp_nanos_opt().unwrap()
        }
    };
    ((i128::from(start) + i128::from(end)) as f64 / 2.0) / DAY_NS
}

/// n, the slope of least squares, the median of the slopes of all pairs, the line's ends; from the means of windows.
fn fitted(points: &[(f64, f64)]) -> [Option<f64>; 4] {
    let count = points.len() as f64;
    let (x_mean, y_mean) =
        (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1 / count).sum::<f64>());
    let xx: f64 = points.iter().map(|p| (p.0 - x_mean).powi(2)).sum();
    if points.len() < 3 || xx == 0.0 {
        return [None; 4];
    }
    let slope = points.iter().map(|p| (p.0 - x_mean) * (p.1 - y_mean) / xx).sum::<f64>();
    let mut slopes: Vec<f64> = Vec::new();
    for (place, first) in points.iter().enumerate() {
        slopes.extend(points[place + 1..].iter().map(|second| (second.1 - first.1) / (second.0 - first.0)));
    }
    slopes.sort_by(f64::total_cmp);
    let median = (slopes[(slopes.len() - 1) / 2] + slopes[slopes.len() / 2]) / 2.0;
    let at = |x: f64| y_mean + slope * (x - x_mean);
    [slope, median, at(points[0].0), at(points[points.len() - 1].0)].map(Some)
}

fn check_trend(run: &Run, question: &Question) {
    let Some(every) = question.every.filter(|every| !every.ends_with("zoned")) else { return };
    if !knows(run, question.metric, &question.by) {
        return;
    }
    let question = &Question { region: None, over: None, ..question.clone() };
    let mut groups: BTreeMap<Vec<String>, Vec<(f64, f64)>> = BTreeMap::new();
    for ((key, window), samples) in expected(&run.model, question) {
        let all = samples.values().flatten().filter(|(_, value, _)| !value.as_f64().unwrap().is_nan());
        let mean = exact_sum(all.clone().map(|(_, value, _)| value)) / all.count() as f64;
        // No line goes through an infinity.
        if mean.is_finite() {
            groups.entry(key).or_default().push((middle(every, window), mean));
        }
    }
    for statistics in [true, false] {
        let every: Window = every.parse().unwrap();
        let mut trend = Trend::new(Expression::metric(question.metric), every)
            .by(question.by.iter().copied())
            .statistics(statistics);
        if let Some((from, to)) = question.range {
            trend = trend.between(at(from), at(to));
        }
        let found = run.store().trend(&trend).unwrap();
        assert_eq!(found.rows().len(), groups.len(), "{question:?} {statistics}");
        for (row, (key, points)) in found.rows().iter().zip(&groups) {
            let context = format!("{key:?} of {question:?} {statistics}");
            let cells = &row[key.len()..];
            assert_eq!(cells[0], Cell::Integer(points.len() as i64), "{context}");
            let [slope, robust, first, last] = fitted(points);
            let scale = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
            let span = points[points.len() - 1].0 - points[0].0;
            // Steps are an hour at least.
            near(&cells[1], slope, 1e-8 * scale * 24.0, &context);
            near(&cells[4], robust, 1e-8 * scale * 24.0, &context);
            near(&cells[6], first, 1e-8 * scale * (1.0 + span), &context);
            near(&cells[7], last, 1e-8 * scale * (1.0 + span), &context);
        }
    }
}

fn check_texts(run: &Run, model: &Model, range: Option<(i64, i64)>) {
    if !knows(run, "mode", &[]) {
        return;
    }
    let mut known: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((device, time, metric), value) in &model.cells {
        if let (Value::Text(value), "mode", true) = (value, metric.as_str(), inside(range, *time)) {
            known.entry(device).or_default().push(value.clone());
        }
    }
    let row = |(device, texts): (&str, Vec<String>)| {
        vec![text(device), Cell::Integer(texts.len() as i64), text(&texts[0]), text(&texts[texts.len() - 1])]
    };
    let expected: Vec<Vec<Cell>> = known.into_iter().map(row).collect();
    for statistics in [true, false] {
        let asked = [Aggregate::Count, Aggregate::First, Aggregate::Last];
        let mut query = Query::metric("mode").aggregate(asked).by(["device"]).statistics(statistics);
        if let Some((from, to)) = range {
            query = query.between(at(from), at(to));
        }
        same(&run.store().query(query).unwrap(), &expected, &format!("texts {range:?} {statistics}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases() / 2, max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_verb_answers_what_a_walk_over_all_samples_says(
        actions in proptest::collection::vec(model::action(), 1..20),
        asked in proptest::collection::vec((question(), 0.1_f64..3.0, 1_i64..200_000), 4),
    ) {
        super::in_every_layout(&actions, |run| {
            for (question, sigma, longer_than_s) in &asked {
                check_latest(run, question.region, question.range);
                check_gaps(run, longer_than_s * 1_000_000_000, question.range);
                check_outliers(run, question.metric, *sigma, question.range);
                check_trend(run, question);
                check_texts(run, &run.model, question.range);
            }
        });
    }
}
