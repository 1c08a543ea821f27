//! Downsampling against the paper, bucket by bucket.

use std::collections::BTreeSet;

use fleetlog::operator::SamplesRequest;
use fleetlog::{Cell, Value};
use proptest::prelude::*;

use crate::model::{self, METRICS, run::Run};

fn chosen(run: &Run, device: &str, metrics: &[&str], rows: usize) -> Vec<Vec<Cell>> {
    let snapshot = run.store().snapshot().unwrap();
    let mut found = Vec::new();
    for statistics in [true, false] {
        let request = SamplesRequest::device(device).metrics(metrics.to_vec()).downsample(rows).statistics(statistics);
        let mut given = Vec::new();
        let give = &mut |table: fleetlog::Table| {
            given.extend(table.rows().to_vec());
            Ok(true)
        };
        run.store().samples(&snapshot, &request, None, give).unwrap();
        found.push(given);
    }
    assert_eq!(format!("{:?}", found[0]), format!("{:?}", found[1]), "with statistics and without");
    found.swap_remove(0)
}

fn time(row: &[Cell]) -> i64 {
    match row[1] {
        Cell::Time(time) => time.nanoseconds(),
        ref other => panic!("{other:?} is no time"),
    }
}

/// Checks that what was chosen are the first sample, the last, and of each bucket a point of a largest triangle.
fn check(points: &[(i64, f64)], found: &[i64], keep: usize, context: &str) {
    if points.len() <= keep {
        assert_eq!(found, points.iter().map(|point| point.0).collect::<Vec<_>>(), "{context}");
        return;
    }
    assert_eq!(found.len(), keep, "{context}");
    let (buckets, inner) = (keep - 2, points.len() - 2);
    let edge = |bucket: usize| (1 + bucket * inner / buckets).min(points.len());
    let x = |time: i64| (time as i128 - points[0].0 as i128) as f64;
    assert_eq!((found[0], found[keep - 1]), (points[0].0, points[points.len() - 1].0), "{context}");
    let mut before = points[0];
    for bucket in 0..buckets {
        let next = if bucket + 1 < buckets {
            &points[edge(bucket + 1)..edge(bucket + 2)]
        } else {
            &points[points.len() - 1..]
        };
        let count = next.len() as f64;
        let after_x = next.iter().map(|point| x(point.0)).sum::<f64>() / count;
        let after_y = next.iter().map(|point| point.1).sum::<f64>() / count;
        let area = |point: &(i64, f64)| {
            ((x(before.0) - after_x) * (point.1 - before.1) - (x(before.0) - x(point.0)) * (after_y - before.1)).abs()
        };
        let places = &points[edge(bucket)..edge(bucket + 1)];
        let taken = places.iter().find(|point| point.0 == found[bucket + 1]);
        let taken = taken.unwrap_or_else(|| panic!("bucket {bucket} has no {} {context}", found[bucket + 1]));
        let largest = places.iter().map(area).fold(0.0, f64::max);
        let size = places.iter().chain(next).chain([&before]).map(|point| point.1.abs()).fold(0.0, f64::max);
        let coarse = 1e-9 * largest + 1e-12 * size * (x(taken.0) - x(before.0) + after_x);
        assert!(area(taken) >= largest - coarse, "bucket {bucket}: {} not {largest} {context}", area(taken));
        before = *taken;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases() / 2, max_shrink_iters: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_choice_is_that_of_the_paper_in_every_layout(
        actions in proptest::collection::vec(model::action(), 1..20),
        rows in prop_oneof![3_usize..9, 3_usize..60],
    ) {
        super::in_every_layout(&actions, |run| {
            let snapshot = run.store().snapshot().unwrap();
            let known: Vec<&str> =
                METRICS.into_iter().filter(|name| snapshot.catalog().metric(name).is_some()).collect();
            for device in snapshot.catalog().devices() {
                let id = device.id.as_str();
                let mut union = BTreeSet::new();
                for metric in &known {
                    let samples = run.model.cells.iter().filter(|((of, _, name), _)| of == id && name == metric);
                    let number = |value: &Value| value.as_f64().filter(|value| value.is_finite());
                    let points: Vec<(i64, f64)> =
                        samples.filter_map(|((_, time, _), value)| Some((*time, number(value)?))).collect();
                    let alone = chosen(run, id, &[*metric], rows);
                    let times: Vec<i64> = alone.iter().map(|row| time(row)).collect();
                    check(&points, &times, rows, &format!("{metric} of {id}, {rows} rows"));
                    let share = chosen(run, id, &[*metric], (rows / known.len()).max(3));
                    union.extend(share.iter().map(|row| time(row)));
                }
                if known.is_empty() {
                    continue;
                }
                // All together: the rows that any metric chooses, each whole.
                let together = chosen(run, id, &known, rows);
                assert_eq!(together.iter().map(|row| time(row)).collect::<Vec<_>>(), union.into_iter().collect::<Vec<_>>());
                let request = SamplesRequest::device(id).metrics(known.clone());
                let mut all = Vec::new();
                run.store().samples(&snapshot, &request, None, &mut |table| {
                    all.extend(table.rows().iter().map(|row| format!("{row:?}")));
                    Ok(true)
                }).unwrap();
                assert!(together.iter().all(|row| all.contains(&format!("{row:?}"))), "{id}");
            }
        });
    }
}
