//! Metrics of different clocks side by side, with answers by hand; and many samples downsampled in little memory.

use crate::layouts::*;
use fleetlog::operator::{Aggregate, Expression, Query, SamplesRequest};
use fleetlog::{Cell, Options, Progress, Store, Table, WriteBatch};

const SECOND_NS: i64 = MINUTE_NS / 60;

fn samples(store: &Store, request: &SamplesRequest) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let give = &mut |table: Table| {
        rows.extend(table.rows().iter().map(|row| row[2..].to_vec()));
        Ok(true)
    };
    store.samples(&store.snapshot().unwrap(), request, None, give).unwrap();
    rows
}

#[test]
fn the_latest_sample_counts_while_it_is_young_enough_over_every_border() {
    let midnight = BASE_NS + 31 * DAY_NS;
    let mut batch = WriteBatch::new();
    // Power every minute around the start of February; current 20 s before three of them, in January and in February; the mode long before.
    batch.reading("a", at(midnight - DAY_NS)).text("mode", "on");
    for minute in -2..4_i64 {
        batch.reading("a", at(midnight + minute * MINUTE_NS)).float("power", 100.0 + minute as f64);
    }
    for (minute, current) in [(-2, 1.0), (0, 2.0), (1, f64::NAN)] {
        batch.reading("a", at(midnight + minute * MINUTE_NS - 20 * SECOND_NS)).float("current", current);
    }
    in_every_layout(batch, |store, layout| {
        let request = || SamplesRequest::device("a").metrics(["current", "mode"]);
        let rows = |tolerance_ns: i64, from: i64| -> Vec<String> {
            let request = request().align("power", tolerance_ns).between(at(midnight + from), at(midnight + HOUR_NS));
            let text = |cell: &Cell| match cell {
                Cell::Float(value) => value.to_string(),
                Cell::Text(text) => text.to_string(),
                _ => "-".to_owned(),
            };
            samples(store, &request).iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join(" ")).collect()
        };
        // Current, mode, power. 20 s are young enough, 19 are not; NaN is a sample.
        let all = ["1 - 98", "- - 99", "2 - 100", "NaN - 101", "- - 102", "- - 103"];
        assert_eq!(rows(20 * SECOND_NS, -2 * MINUTE_NS), all, "{layout}");
        assert_eq!(rows(20 * SECOND_NS - 1, -2 * MINUTE_NS)[0], "- - 98", "{layout}");
        assert_eq!(rows(80 * SECOND_NS, -2 * MINUTE_NS)[1], "1 - 99", "{layout}");
        // From midnight on: the sample of January counts for the first row of February, and the mode of a day ago.
        assert_eq!(rows(20 * SECOND_NS, 0), all[2..], "{layout}");
        assert_eq!(rows(DAY_NS, 0)[..2], ["2 on 100", "NaN - 101"].map(str::to_owned), "{layout}");
        let power = |statistics: bool| {
            Query::expressions([Expression::parse("power/current").unwrap()])
                .aggregate([Aggregate::Count, Aggregate::CountNan, Aggregate::Sum])
                .between(at(midnight), at(midnight + HOUR_NS))
                .statistics(statistics)
        };
        for statistics in [true, false] {
            let query = power(statistics).tolerance_ns(20 * SECOND_NS);
            assert_eq!(row(store, query), [Cell::Integer(1), Cell::Integer(1), Cell::Float(50.0)], "{layout}");
            assert!(store.query(power(statistics)).unwrap().rows().is_empty(), "none at one instant, {layout}");
            // A condition on another clock.
            let on = Query::metric("power").aggregate([Aggregate::Count]).filter_value("mode=on".parse().unwrap());
            let on = on.statistics(statistics).tolerance_ns(DAY_NS);
            assert_eq!(row(store, on), [Cell::Integer(3)], "{layout}");
        }
    });
}

#[test]
fn a_deleted_sample_stands_for_nothing_and_a_late_one_counts() {
    let mut first = WriteBatch::new();
    first.reading("a", at(BASE_NS)).float("current", 1.0);
    first.reading("a", at(BASE_NS + 60)).float("current", 2.0);
    first.reading("a", at(BASE_NS + 100)).float("power", 10.0);
    let mut late = WriteBatch::new();
    late.reading("a", at(BASE_NS + 80)).float("current", 3.0);
    commits_in_every_layout([first, late], |store, layout| {
        let request = SamplesRequest::device("a").align("power", 50);
        assert_eq!(samples(store, &request), [[Cell::Float(3.0), Cell::Float(10.0)]], "{layout}");
        if layout == "cold" {
            let range = fleetlog::TimeRange::new(at(BASE_NS + 70), at(BASE_NS + 90));
            let mut delete = WriteBatch::new();
            delete.delete(fleetlog::Delete {
                device: fleetlog::DeviceId::new("a").unwrap(),
                metric: None,
                range,
                events: false,
            });
            store.write(delete).unwrap();
            assert_eq!(samples(store, &request), [[Cell::Float(2.0), Cell::Float(10.0)]]);
        }
    });
}

#[test]
fn many_samples_are_downsampled_in_little_memory_and_as_the_paper_says() {
    const ROWS: i64 = 150_000;
    let folder = tempfile::tempdir().unwrap();
    let options = Options { memory_bytes: 16 << 20, compact_in_background: false, ..Options::default() };
    let store = Store::open(folder.path().join("store"), options).unwrap();
    let value = |row: i64| (row as f64 * 0.37).sin() + (row as f64 * 0.0011).cos() * 3.0;
    let metrics = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"];
    for part in 0..15 {
        let mut batch = WriteBatch::new();
        for row in part * ROWS / 15..(part + 1) * ROWS / 15 {
            let mut reading = batch.reading("a", at(BASE_NS + row * MINUTE_NS));
            for (place, metric) in metrics.iter().enumerate() {
                reading = reading.float(metric, value(row + place as i64));
            }
        }
        store.write(batch).unwrap();
    }
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    // The rows are 10 MiB, and half of the budget is 8.
    let rows = samples(&store, &SamplesRequest::device("a").downsample(800));
    assert!((700..=800).contains(&rows.len()), "{} rows", rows.len());
    // The paper's own lines, on one metric: x counts minutes.
    let points: Vec<(f64, f64)> = (0..ROWS).map(|row| (row as f64, value(row))).collect();
    let found = samples(&store, &SamplesRequest::device("a").metrics(["m0"]).downsample(100));
    let expected: Vec<[Cell; 1]> = of_the_paper(&points, 100).into_iter().map(|point| [Cell::Float(point.1)]).collect();
    assert_eq!(found, expected);
    let progress = Progress::default();
    progress.cancel();
    let request = SamplesRequest::device("a").downsample(100);
    let snapshot = store.snapshot().unwrap();
    let error = store.samples(&snapshot, &request, Some(&progress), &mut |_| Ok(true)).unwrap_err();
    assert_eq!(error.kind(), fleetlog::ErrorKind::Cancelled);
}

/// Steinarsson's own program (the appendix of the thesis), line by line.
fn of_the_paper(data: &[(f64, f64)], threshold: usize) -> Vec<(f64, f64)> {
    let every = (data.len() - 2) as f64 / (threshold - 2) as f64;
    let mut sampled = vec![data[0]];
    let mut a = 0;
    for i in 0..threshold - 2 {
        let range_from = ((i + 1) as f64 * every).floor() as usize + 1;
        let range_to = (((i + 2) as f64 * every).floor() as usize + 1).min(data.len());
        let length = (range_to - range_from) as f64;
        let (mut avg_x, mut avg_y) = (0.0, 0.0);
        for point in &data[range_from..range_to] {
            (avg_x, avg_y) = (avg_x + point.0, avg_y + point.1);
        }
        (avg_x, avg_y) = (avg_x / length, avg_y / length);
        let (mut max_area, mut next_a) = (-1.0, 0);
        let from = (i as f64 * every).floor() as usize + 1;
        for (place, point) in data.iter().enumerate().take(range_from).skip(from) {
            let area =
                ((data[a].0 - avg_x) * (point.1 - data[a].1) - (data[a].0 - point.0) * (avg_y - data[a].1)).abs() * 0.5;
            if area > max_area {
                (max_area, next_a) = (area, place);
            }
        }
        sampled.push(data[next_a]);
        a = next_a;
    }
    sampled.push(data[data.len() - 1]);
    sampled
}
