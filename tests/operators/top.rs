//! The greatest and least groups against a choice out of the whole answer.

use std::cmp::Ordering;

use fleetlog::operator::{Aggregate, Expression, Fill, Query};
use fleetlog::{Cell, ErrorKind, Table};
use proptest::prelude::*;

use crate::model::{self, METRICS, run::Run};
use crate::textbook::number;
use crate::{Question, ask, is_known, lists, question};

/// Out of a whole answer in order of groups and windows: of each window the best rows, one by one.
fn best(whole: &Table, question: &Question, column: &str, groups: usize, bottom: bool) -> Vec<Vec<Cell>> {
    let place = whole.column_index(column).unwrap();
    let window = |row: &[Cell]| question.every.map(|_| row[question.by.len()].clone());
    let mut windows: Vec<Option<Cell>> = Vec::new();
    let mut rows = whole.rows().to_vec();
    rows.sort_by_key(|row| match window(row) {
        Some(Cell::Time(time)) => time.nanoseconds(),
        _ => 0,
    });
    rows.iter().for_each(|row| {
        if windows.last() != Some(&window(row)) {
            windows.push(window(row));
        }
    });
    let mut found = Vec::new();
    for wanted in windows {
        let mut left: Vec<&Vec<Cell>> = rows.iter().filter(|row| window(row) == wanted).collect();
        for _ in 0..groups.min(left.len()) {
            let value = |row: &Vec<Cell>| number(&row[place]).filter(|value| !value.is_nan());
            let nan = |row: &Vec<Cell>| matches!(row[place], Cell::Float(value) if value.is_nan());
            let order = |a: &Vec<Cell>, b: &Vec<Cell>| match (&a[place], &b[place]) {
                (Cell::Integer(a), Cell::Integer(b)) => Some(a.cmp(b)),
                _ => value(a).partial_cmp(&value(b)),
            };
            let wanted = if bottom { Ordering::Less } else { Ordering::Greater };
            let better = |a: &Vec<Cell>, b: &Vec<Cell>| match (value(a), value(b)) {
                (Some(_), Some(_)) => order(a, b) == Some(wanted),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => nan(a) && !nan(b),
            };
            let next = (0..left.len()).rev().reduce(|best, at| if better(left[best], left[at]) { best } else { at });
            found.push(left.remove(next.unwrap()).clone());
        }
    }
    found
}

fn check(run: &Run, question: &Question, groups: usize, bottom: bool, fill: Fill) {
    let fill = if question.every.is_some() && question.range.is_some() { fill } else { Fill::None };
    let plain = Question { region: None, over: None, ..question.clone() };
    if !is_known(run, &plain) {
        return;
    }
    let [all, packed, sums] = lists(0);
    for (statistics, aggregates) in [(true, &all), (true, &sums), (false, &packed)] {
        let query = ask(&plain, Expression::metric(question.metric)).fill(fill).statistics(statistics);
        check_ranks(run, &query.aggregate(aggregates.to_vec()), aggregates, &plain, (groups, bottom));
    }
}

fn check_ranks(run: &Run, query: &Query, aggregates: &[Aggregate], plain: &Question, (groups, bottom): (usize, bool)) {
    let whole = run.store().query(query.clone()).unwrap();
    for aggregate in aggregates.iter().take(6) {
        let column = format!("{}_{aggregate}", plain.metric);
        let ranked = if bottom { query.clone().bottom(groups) } else { query.clone().top(groups) }.rank_by(&column);
        let found = run.store().query(ranked.clone()).unwrap();
        let expected = best(&whole, plain, &column, groups, bottom);
        assert_eq!(format!("{:?}", found.rows()), format!("{expected:?}"), "{column} {groups} {plain:?}");
        // An order asked for is that of the rows; which they are stays.
        let ordered = run.store().query(ranked.order(column.clone())).unwrap();
        let sorted = |rows: &[Vec<Cell>]| {
            let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            rows.sort();
            rows
        };
        assert_eq!(sorted(&ordered.rows().to_vec()), sorted(&expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases() / 2, max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_top_groups_are_those_of_the_whole_answer(
        actions in proptest::collection::vec(model::action(), 1..20),
        asked in proptest::collection::vec((question(), 1_usize..4, any::<bool>(), prop::sample::select(vec![Fill::None, Fill::Null, Fill::Previous])), 4),
    ) {
        super::in_every_layout(&actions, |run| {
            for (question, groups, bottom, fill) in &asked {
                check(run, question, *groups, *bottom, *fill);
            }
        });
    }
}

#[test]
fn many_groups_leave_few_rows_and_ties_go_to_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(&folder.path().join("store"));
    let mut batch = fleetlog::WriteBatch::new();
    // 5,000 devices; the value is the number modulo 1,000, so that five have each.
    for device in 0..5_000_i64 {
        let value = if device == 7 { f64::NAN } else { (device % 1_000) as f64 };
        batch.reading(format!("d{device:04}"), model::at(5)).float(METRICS[0], value);
    }
    run.store().write(batch).unwrap();
    let query = |column: &str| {
        Query::metric(METRICS[0]).aggregate([Aggregate::Max, Aggregate::Count]).by(["device"]).top(7).rank_by(column)
    };
    let devices = |table: &Table| -> Vec<String> {
        table
            .rows()
            .iter()
            .map(|row| if let Cell::Text(id) = &row[0] { id.to_string() } else { String::new() })
            .collect()
    };
    let found = devices(&run.store().query(query("power_w_max")).unwrap());
    assert_eq!(found, ["d0999", "d1999", "d2999", "d3999", "d4999", "d0998", "d1998"]);
    let found = devices(&run.store().query(query("device")).unwrap());
    assert_eq!(found, ["d4999", "d4998", "d4997", "d4996", "d4995", "d4994", "d4993"]);
    let error = run.store().query(query("power_w_mean")).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("power_w_max"), "{error}");
    let none = run.store().query(Query::metric(METRICS[0]).top(0)).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
}
