//! Histograms against counts of all samples of the model, bin by bin.

use std::collections::BTreeMap;

use fleetlog::operator::{Bins, Expression, Histogram, Window, attribute};
use fleetlog::{Cell, ErrorKind};
use proptest::prelude::*;

use crate::model::{self, at, run::Run};
use crate::{Question, expected, is_known, question};

fn ask(question: &Question, bins: Bins) -> Histogram {
    let mut histogram = Histogram::new(Expression::metric(question.metric), bins).by(question.by.iter().copied());
    if let Some(every) = question.every {
        let window: Window = every.split(' ').next().unwrap().parse().unwrap();
        let zoned = every.ends_with("zoned");
        histogram = histogram.every(if zoned { window.in_zone("Australia/Adelaide").unwrap() } else { window });
    }
    if let Some(region) = question.region {
        histogram = histogram.filter(attribute("region").is(format!("v{region}")));
    }
    if let Some(over) = question.over {
        histogram = histogram.filter_value(over.filter());
    }
    if let Some((from, to)) = question.range {
        histogram = histogram.between(at(from), at(to));
    }
    histogram
}

/// Rows of counts by group and window.
type Counts = BTreeMap<(Vec<String>, i64), Vec<(Option<f64>, Option<f64>, i64)>>;

fn found(run: &Run, question: &Question, bins: &Bins, statistics: bool) -> Counts {
    let table = run.store().histogram(&ask(question, bins.clone()).statistics(statistics)).unwrap();
    let mut counts = Counts::new();
    for row in table.rows() {
        let text = |cell: &Cell| if let Cell::Text(text) = cell { text.to_string() } else { String::new() };
        let edge = |cell: &Cell| if let Cell::Float(edge) = cell { Some(*edge) } else { None };
        let key = row[..question.by.len()].iter().map(text).collect();
        let window = match &row[question.by.len()] {
            Cell::Time(time) if question.every.is_some() => time.nanoseconds(),
            _ => i64::MIN,
        };
        let [.., from, to, Cell::Integer(count)] = row else { panic!("{row:?}") };
        counts.entry((key, window)).or_default().push((edge(from), edge(to), *count));
    }
    counts
}

fn check(run: &Run, question: &Question, bins: &Bins) {
    if !is_known(run, question) {
        return;
    }
    let groups = expected(&run.model, question);
    for statistics in [true, false] {
        let counts = found(run, question, bins, statistics);
        let mut some = 0;
        for (key, samples) in &groups {
            let values = samples.values().flatten().filter_map(|(_, value, _)| value.as_f64());
            let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
            let place = format!("{key:?} {bins:?} {question:?} {statistics}");
            let Some(rows) = counts.get(key) else {
                assert!(values.is_empty(), "no row of {place}");
                continue;
            };
            some += 1;
            // The bins join, and the outer ones have no end.
            assert!(rows[0].0.is_none() && rows[rows.len() - 1].1.is_none(), "{place}");
            assert!(rows.windows(2).all(|pair| pair[0].1.is_some() && pair[0].1 == pair[1].0), "{place}");
            for (from, to, count) in rows {
                let inside = |value: &&f64| from.is_none_or(|from| **value >= from) && to.is_none_or(|to| **value < to);
                assert_eq!(*count, values.iter().filter(inside).count() as i64, "{from:?} to {to:?} of {place}");
            }
        }
        assert_eq!(some, counts.len(), "groups of {question:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases() / 2, max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_those_of_all_samples_in_every_layout(
        actions in proptest::collection::vec(model::action(), 1..20),
        asked in proptest::collection::vec((question(), prop_oneof![
            (-20.0_f64..10.0, 0.5_f64..60.0, 1_usize..40).prop_map(|(from, long, count)| Bins::Equal { from, to: from + long, count }),
            Just(Bins::Edges(vec![-3.0, -0.5, 0.0, 0.25, 100.0])),
            Just(Bins::Edges(vec![-1e99, 1e99])),
        ]), 4),
    ) {
        super::in_every_layout(&actions, |run| asked.iter().for_each(|(question, bins)| check(run, question, bins)));
    }
}

#[test]
fn a_width_makes_bins_from_the_least_to_the_greatest_and_statistics_answer() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(&folder.path().join("store"));
    let mut batch = fleetlog::WriteBatch::new();
    for minute in 0..2_000_i64 {
        let reading = batch.reading("a", at((20_200 * 1_440 + minute) * 60_000_000_000));
        reading.float("power_w", -7.0 + (minute % 27) as f64).integer("errors", 7).float("level", f64::INFINITY);
    }
    run.store().write(batch).unwrap();
    run.store().seal().unwrap();
    let histogram = |metric: &str, bins: Bins| Histogram::new(Expression::metric(metric), bins);
    let table = run.store().histogram(&histogram("power_w", Bins::Width(10.0))).unwrap();
    // -7 to 19 in turn: 7 below 0, 10 from 0 on, 10 from 10 on; 2,000 are 74 rounds of 27, and 2.
    let rows: Vec<String> = table.rows().iter().map(|row| format!("{row:?}")).collect();
    let row = |from: &str, to: &str, count: i64| format!("[{from}, {to}, Integer({count})]");
    let expected = [
        row("Null", "Float(-10.0)", 0),
        row("Float(-10.0)", "Float(0.0)", 74 * 7 + 2),
        row("Float(0.0)", "Float(10.0)", 740),
        row("Float(10.0)", "Float(20.0)", 740),
        row("Float(20.0)", "Null", 0),
    ];
    assert_eq!(rows, expected);
    let snapshot = run.store().snapshot().unwrap();
    let (table, explain) =
        run.store().histogram_at(&snapshot, &histogram("errors", Bins::Edges(vec![0.0, 10.0])), None).unwrap();
    assert_eq!(table.rows()[1][2], Cell::Integer(2_000));
    assert_eq!((explain.blocks_from_statistics, explain.blocks_decoded), (2, 0), "{explain:?}");
    // The least and the greatest value are looked for first: without statistics each of the 2,000 values is read twice.
    let read = |bins: Bins| {
        let histogram = histogram("power_w", bins).statistics(false);
        let (_, explain) = run.store().histogram_at(&snapshot, &histogram, None).unwrap();
        (explain.segments, explain.blocks_decoded, explain.values_decoded)
    };
    assert_eq!(read(Bins::Edges(vec![0.0, 10.0])), (2, 2, 2_000));
    assert_eq!(read(Bins::Width(10.0)), (2, 4, 4_000));
    let failed = |metric: &str, bins: Bins| run.store().histogram(&histogram(metric, bins)).unwrap_err().kind();
    assert_eq!(failed("level", Bins::Width(1.0)), ErrorKind::LimitExceeded);
    assert_eq!(failed("power_w", Bins::Width(0.001)), ErrorKind::LimitExceeded);
    assert_eq!(failed("power_w", Bins::Edges(vec![1.0])), ErrorKind::InvalidInput);
    assert_eq!(failed("nothing", Bins::Width(1.0)), ErrorKind::NotFound);
    let progress = fleetlog::Progress::default();
    progress.cancel();
    let cancelled = run.store().histogram_at(&snapshot, &histogram("power_w", Bins::Width(1.0)), Some(&progress));
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
}
