//! Questions whose answers are known by hand, in every layout: unsealed, sealed by day, compacted by month.

use crate::layouts::*;
use fleetlog::operator::{
    Aggregate, DevicePage, Expression, Fill, LatestRequest, OutliersRequest, Query, SamplesRequest, Trend, attribute,
    attribute_statements,
};
use fleetlog::{Cell, ErrorKind, Nature, Options, Progress, Store, Timestamp, Value, Window, WriteBatch};

fn close(found: f64, expected: f64, relative: f64) -> bool {
    (found - expected).abs() <= relative * expected.abs()
}

#[test]
fn a_slope_is_that_of_the_textbook_at_any_rate_of_samples() {
    // A microsecond apart, half of them before a midnight: 3 units a day. And two days apart, over a year.
    for (start, step) in [(BASE_NS + DAY_NS - 50_000, 1_000), (BASE_NS + 5, 2 * DAY_NS), (BASE_NS, 7 * MINUTE_NS)] {
        let mut batch = WriteBatch::new();
        for place in 0..180_i64 {
            let days = (place * step) as f64 / DAY_NS as f64;
            batch.reading("a", at(start + place * step)).float("level", 3.0 * days);
        }
        batch.reading("b", at(start)).float("alone", 1.0);
        batch.reading("c", at(start)).float("alone", 2.0);
        in_every_layout(batch, |store, layout| {
            for statistics in [true, false] {
                let slope = |metric: &str| {
                    row(store, Query::metric(metric).aggregate([Aggregate::Slope]).statistics(statistics))[0].clone()
                };
                let found = float(&slope("level"));
                assert!(close(found, 3.0, 1e-12), "{found} of steps of {step} ns, {layout}");
                assert_eq!(slope("alone"), Cell::Null, "one instant has no slope, {layout}");
            }
        });
    }
}

#[test]
fn a_nan_hours_before_makes_no_slope_coarse() {
    let late = BASE_NS + 23 * HOUR_NS;
    let mut batch = WriteBatch::new();
    for (time, value) in [(BASE_NS + 7, f64::NAN), (late, 0.25), (late + 1, 0.0)] {
        batch.reading("a", at(time)).float("level", value);
    }
    in_every_layout(batch, |store, layout| {
        let slope = float(&row(store, Query::metric("level").aggregate([Aggregate::Slope]))[0]);
        // A quarter down in a nanosecond.
        assert!(close(slope, -0.25 * 86_400e9, 1e-12), "{slope} {layout}");
    });
}

#[test]
fn years_apart_overflow_nothing() {
    let (first, last) = (Timestamp::parse("1700-01-01").unwrap(), Timestamp::parse("2200-01-01").unwrap());
    let days = 182_621.0; // 500 years, of which 121 have a leap day
    let mut batch = WriteBatch::new();
    batch.reading("a", first).float("level", 1.0).integer("count", -5);
    batch.reading("a", last).float("level", 3.0).integer("count", 7);
    in_every_layout(batch, |store, layout| {
        let asked = [Aggregate::Delta, Aggregate::Rate, Aggregate::Slope];
        let level = row(store, Query::metric("level").aggregate(asked));
        assert_eq!(level[0], Cell::Float(2.0), "{layout}");
        assert!(close(float(&level[1]), 2.0 / (days * 86_400.0), 1e-12), "{level:?} {layout}");
        assert!(close(float(&level[2]), 2.0 / days, 1e-12), "{level:?} {layout}");
        assert_eq!(row(store, Query::metric("count").aggregate([Aggregate::Delta])), [Cell::Integer(12)]);
        let century: Window = "1200mo".parse().unwrap();
        let filled = store.query(Query::metric("level").every(century).fill(Fill::Linear)).unwrap();
        let values: Vec<f64> = filled.rows().iter().map(|row| float(&row[1])).collect();
        assert_eq!(values.len(), 6);
        assert!((0..6).all(|place| (values[place] - (1.0 + 0.4 * place as f64)).abs() < 1e-4), "{values:?}");
    });
}

#[test]
fn integers_beyond_what_floats_hold_stay_exact() {
    let large = (1_i64 << 53) + 1;
    let mut batch = WriteBatch::new();
    for (hour, value) in [(0, large), (1, large + 2), (2, large + 7), (30, -large - 2)] {
        batch.reading("a", at(BASE_NS + hour * HOUR_NS + 5)).integer("count", value);
    }
    in_every_layout(batch, |store, layout| {
        // Two hours of a day: what rollups answer, which have extremes as floats; growth is told from the samples alone.
        let ask = |asked: &[Aggregate]| {
            let query = Query::metric("count").aggregate(asked.iter().copied()).every("2h".parse().unwrap());
            store.query(query).unwrap()
        };
        let extremes = ask(&[Aggregate::Min, Aggregate::Max, Aggregate::Sum]);
        let growth = ask(&[Aggregate::Delta]);
        let integers = |row: usize| [&extremes.rows()[row][1..], &growth.rows()[row][1..]].concat();
        let cell = Cell::Integer;
        assert_eq!(integers(0), [cell(large), cell(large + 2), cell(2 * large + 2), cell(2)], "{layout}");
        assert_eq!(integers(1), [cell(large + 7), cell(large + 7), cell(large + 7), cell(5)], "{layout}");
        let least = -large - 2;
        assert_eq!(integers(2), [cell(least), cell(least), cell(least), cell(-2 * large - 9)], "{layout}");
    });
}

/// 2^53 and 2^53 + 1 are one float, and a counter that falls from the one to the other was reset.
#[test]
fn a_counter_beyond_what_floats_hold_is_reset_by_one() {
    let large = 1_i64 << 53;
    let mut batch = WriteBatch::new();
    batch.nature("count", Nature::Counter);
    for (minute, value) in [(0, large + 1), (1, large), (2, large + 2)] {
        batch.reading("a", at(BASE_NS + minute * MINUTE_NS)).integer("count", value);
    }
    in_every_layout(batch, |store, layout| {
        let found = row(store, Query::metric("count").aggregate([Aggregate::Delta, Aggregate::Rate]));
        assert_eq!(found, [Cell::Integer(large + 2), Cell::Float((large + 2) as f64 / 120.0)], "{layout}");
    });
}

/// A device that sends whole numbers and others: where its metric became one of floats, nothing was reset.
#[test]
fn a_counter_that_becomes_one_of_floats_is_not_reset() {
    let commit = |day: i64, values: &[Value]| {
        let mut batch = WriteBatch::new();
        batch.nature("energy_wh", Nature::Counter);
        for (minute, value) in values.iter().enumerate() {
            batch
                .reading("a", at(BASE_NS + day * DAY_NS + minute as i64 * MINUTE_NS))
                .value("energy_wh", value.clone());
        }
        batch
    };
    let days = [
        commit(0, &[Value::Integer(1_000), Value::Integer(1_010)]),
        commit(1, &[Value::Float(1_020.5), Value::Float(1_030.5)]),
        commit(2, &[Value::Integer(1_040), Value::Integer(7)]),
    ];
    commits_in_every_layout(days, |store, layout| {
        for statistics in [true, false] {
            let ask = |query: Query| row(store, query.aggregate([Aggregate::Delta]).statistics(statistics));
            // 10, 10.5, 10, 9.5, then a true reset: 7.
            assert_eq!(ask(Query::metric("energy_wh")), [Cell::Float(47.0)], "{layout}");
            let later = Query::metric("energy_wh").between(at(BASE_NS + DAY_NS), at(BASE_NS + 2 * DAY_NS));
            assert_eq!(ask(later), [Cell::Float(20.5)], "{layout}");
        }
    });
}

/// Means of a trend are those of exact sums, also where large values of both signs leave little.
#[test]
fn a_trend_of_large_integers_is_exact() {
    let mut batch = WriteBatch::new();
    let large = 1_i64 << 53;
    for (day, beyond) in [(0, 3), (1, 5), (2, 9)] {
        for minute in 0..800 {
            let value = if minute < 400 { large + beyond } else { -large };
            batch.reading("a", at(BASE_NS + day * DAY_NS + minute * MINUTE_NS)).integer("count", value);
        }
    }
    in_every_layout(batch, |store, layout| {
        for statistics in [true, false] {
            // Of each day half of what lies beyond 2^53: 1.5, 2.5 and 4.5.
            let trend = Trend::new(Expression::metric("count"), "1d".parse().unwrap()).statistics(statistics);
            let table = store.trend(&trend).unwrap();
            let slope = float(&table.rows().get(0).unwrap()[1]);
            assert!(close(slope, 1.5, 1e-12), "{slope} {statistics} {layout}");
        }
    });
}

#[test]
fn a_wrong_clock_costs_only_the_blocks_that_it_touches() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    for hour in 0..24 * 300 {
        batch.reading("a", at(BASE_NS + hour * HOUR_NS)).float("level", hour as f64);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.compact(true, None).unwrap();
    let mut batch = WriteBatch::new();
    // One commit: a clock at 1970, and a row of now, inside the last sealed month.
    batch.reading("a", at(5)).float("level", 0.0);
    batch.reading("a", at(BASE_NS + 299 * DAY_NS + 7)).float("level", 1.0);
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    let query = Query::metric("level").aggregate([Aggregate::Count, Aggregate::Last]).every(Window::MONTH);
    let (table, explain) = store.query_at(&snapshot, &query, None).unwrap();
    let counts: f64 = table.rows().iter().map(|row| float(&row[1])).sum();
    assert_eq!((counts, table.rows().len()), (7_202.0, 11));
    // Ten months are sealed; one of them has an unsealed row.
    assert_eq!((explain.blocks_from_statistics, explain.blocks_decoded), (9, 1), "{explain:?}");
}

#[test]
fn increments_before_a_range_and_beside_a_condition_count_as_they_are() {
    let mut batch = WriteBatch::new();
    // A counter that grows by 10 an hour, and starts again at hour 50; a gap from hour 20 to hour 90 of the second device.
    for hour in 0..200_i64 {
        let value = 10 * if hour < 50 { hour } else { hour - 50 };
        batch.reading("a", at(BASE_NS + hour * HOUR_NS)).integer("energy_wh", value).float("load", (hour % 2) as f64);
        if !(20..90).contains(&hour) {
            batch.reading("b", at(BASE_NS + hour * HOUR_NS)).integer("energy_wh", 10 * hour);
        }
    }
    batch.nature("energy_wh", Nature::Counter);
    batch.attribute("a", "region", "north").from(at(0));
    batch.attribute("a", "region", "south").from(at(BASE_NS + 100 * HOUR_NS));
    in_every_layout(batch, |store, layout| {
        let base = || Query::metric("energy_wh").aggregate([Aggregate::Delta, Aggregate::Rate]);
        // Hours 1 to 49 grow by 10, hour 50 starts at 0, hours 51 to 199 grow by 10.
        let a = || base().filter(attribute("device").is("a"));
        assert_eq!(row(store, a())[0], Cell::Integer(490 + 1_490), "{layout}");
        let ranged = |from: i64, to: i64| a().between(at(BASE_NS + from * HOUR_NS), at(BASE_NS + to * HOUR_NS));
        assert_eq!(row(store, ranged(0, 50))[0], Cell::Integer(490), "{layout}");
        assert_eq!(row(store, ranged(49, 51))[0], Cell::Integer(10), "the reset, {layout}");
        assert_eq!(row(store, ranged(100, 101)), [Cell::Integer(10), Cell::Float(10.0 / 3_600.0)], "{layout}");
        let gap =
            base().filter(attribute("device").is("b")).between(at(BASE_NS + 50 * HOUR_NS), at(BASE_NS + 91 * HOUR_NS));
        // From hour 19 to hour 90: an increment belongs to its later sample.
        assert_eq!(row(store, gap), [Cell::Integer(710), Cell::Float(710.0 / (71.0 * 3_600.0))], "{layout}");
        // South begins at hour 100: its first increment comes from the sample in north.
        let south = row(store, base().filter(attribute("region").is("south")));
        assert_eq!(south[0], Cell::Integer(1_000), "{layout}");
        let groups = store.query(base().by(["region"])).unwrap();
        let of_south = groups.rows().iter().find(|row| row[0] == Cell::Text("south".into())).unwrap();
        assert_eq!(of_south[1..], south[..], "{layout}");
        // Of every second sample the increments from the sample before it.
        let odd = a().filter_value("load=1".parse().unwrap());
        assert_eq!(row(store, odd)[0], Cell::Integer(10 * 25 + 10 * 75), "{layout}");
    });
}

#[test]
fn filling_depends_on_the_question_and_on_each_metric() {
    let mut batch = WriteBatch::new();
    let day = |day: i64| at(BASE_NS + day * DAY_NS + 5);
    batch.reading("a", day(1)).float("level", 10.0).integer("count", 4);
    batch.reading("a", day(3)).float("level", 30.0);
    batch.reading("a", day(5)).float("level", 50.0).integer("count", 8);
    // What the answer does not show has no say in which windows there are.
    batch.reading("a", day(40)).float("other", 1.0);
    let expected = |fill: Fill, to: i64| -> Vec<[Option<f64>; 4]> {
        let level = [Some(10.0), None, Some(30.0), None, Some(50.0), None, None];
        let count = [Some(4.0), None, None, None, Some(8.0), None, None];
        let fill_with = |values: &[Option<f64>; 7], place: usize| {
            let before = (0..=place).rev().find_map(|at| Some((at, values[at]?)));
            let after = (place..7).find_map(|at| Some((at, values[at]?)));
            match (fill, values[place], before, after) {
                (_, Some(value), ..) => Some(value),
                (Fill::Zero, ..) => Some(0.0),
                (Fill::Previous, _, Some((_, value)), _) => Some(value),
                (Fill::Linear, _, Some((a, from)), Some((b, to))) => {
                    Some(from + (to - from) * (place - a) as f64 / (b - a) as f64)
                }
                _ => None,
            }
        };
        (0..to as usize)
            .map(|place| {
                let samples = |values: &[Option<f64>; 7]| Some(f64::from(u8::from(values[place].is_some())));
                [fill_with(&level, place), samples(&level), fill_with(&count, place), samples(&count)]
            })
            .collect()
    };
    in_every_layout(batch, |store, layout| {
        let fills = [Fill::Null, Fill::Zero, Fill::Previous, Fill::Linear];
        // Days are answered by rollups of a month, and filled like those of values.
        for (fill, statistics) in fills.into_iter().flat_map(|fill| [(fill, true), (fill, false)]) {
            let query = Query::expressions(["level", "count"].map(Expression::named))
                .aggregate([Aggregate::Max, Aggregate::Count])
                .every(Window::DAY)
                .fill(fill)
                .statistics(statistics);
            let values = |query: Query| -> Vec<[Option<f64>; 4]> {
                let cell = |cell: &Cell| (*cell != Cell::Null).then(|| float(cell));
                let table = store.query(query).unwrap();
                table.rows().iter().map(|row| [1, 2, 3, 4].map(|place| cell(&row[place]))).collect()
            };
            assert_eq!(values(query.clone()), expected(fill, 5), "{fill:?} {layout}");
            let ranged = query.clone().between(at(BASE_NS), at(BASE_NS + 8 * DAY_NS));
            let nothing = (fill == Fill::Zero).then_some(0.0);
            let empty = [nothing, Some(0.0), nothing, Some(0.0)];
            assert_eq!(values(ranged), [vec![empty], expected(fill, 7)].concat(), "{fill:?} {layout}");
            assert_eq!(values(query.between(at(BASE_NS + DAY_NS), Timestamp::MAX)), expected(fill, 5));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder).query(Query::metric("x").fill(Fill::Previous)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn last_values_have_the_type_of_their_metric_and_statistics_can_be_left_out() {
    let mut batch = WriteBatch::new();
    batch.reading("a", at(BASE_NS)).integer("level", 3).boolean("open", true).float("power", f64::NAN);
    // So large that the next commit does not join it.
    for second in 1..5_000 {
        batch.reading("a", at(BASE_NS - second * 1_000_000_000)).integer("level", 1).boolean("open", false);
    }
    // Of another make: what the first device sent reads in the wider type from now on.
    let mut other = WriteBatch::new();
    other.reading("b", at(BASE_NS)).float("level", 2.5).integer("open", 2).float("power", 1.0);
    commits_in_every_layout([batch, other], |store, layout| {
        let snapshot = store.snapshot().unwrap();
        for statistics in [true, false] {
            let request = LatestRequest::default().statistics(statistics);
            let (table, explain) = store.latest(&snapshot, &request, None).unwrap();
            let values: Vec<&Cell> = table.rows().iter().map(|row| &row[3]).collect();
            let expected = [Cell::Float(3.0), Cell::Integer(1), Cell::Float(2.5), Cell::Integer(2), Cell::Float(1.0)];
            assert_eq!(values, expected.iter().collect::<Vec<_>>(), "{layout}");
            assert!(statistics || explain.blocks_from_statistics == 0, "{explain:?}");
        }
        let request = OutliersRequest::new("level", 4.0).statistics(false);
        let (_, explain) = store.outliers(&snapshot, &request, None).unwrap();
        assert_eq!(explain.blocks_from_statistics, 0, "{layout}");
    });
}

#[test]
fn percentiles_are_named_as_asked_and_a_limit_bounds_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open(folder.path().join("store"), Options { memory_bytes: 16 << 20, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    for device in 0..400 {
        for day in 0..300_i64 {
            batch
                .reading(format!("d{device:03}"), at(BASE_NS + day * DAY_NS))
                .float("level", (device * 300 + day) as f64);
        }
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    let named =
        Query::metric("level").aggregate(["p50", "median", "p99.99999"].map(|word| word.parse::<Aggregate>().unwrap()));
    let table = store.query(named).unwrap();
    let names: Vec<&str> = table.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["level_p50", "level_median", "level_p99.99999"]);
    // 120,000 rows do not fit into what is left of 16 MiB; the first, or the largest, of them do.
    let rows = || Query::metric("level").every(Window::DAY).by(["device"]);
    assert_eq!(store.query(rows()).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let first = store.query(rows().limit(3)).unwrap();
    assert_eq!(first.rows().iter().map(|row| float(&row[2])).collect::<Vec<_>>(), [0.0, 1.0, 2.0]);
    let largest = store.query(rows().order_falling("level_mean").limit(2)).unwrap();
    assert_eq!(largest.rows().iter().map(|row| float(&row[2])).collect::<Vec<_>>(), [119_999.0, 119_998.0]);
    let unknown = store.query(rows().order("level_median")).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidInput, "noticed before the scan");
}

#[test]
fn a_page_of_a_device_and_the_history_of_its_attributes() {
    let mut batch = WriteBatch::new();
    // Every 61 s; a hundred thousand samples, so that a sketch would be a percent off.
    for place in 0..100_000_i64 {
        batch.reading("a", at(BASE_NS + place * 61_000_000_000)).float("level", 1.0);
    }
    batch.attribute("a", "firmware", "1.0").from(at(BASE_NS));
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.write(batch).unwrap();
    let mut correction = WriteBatch::new();
    correction.attribute("a", "firmware", "1.1").from(at(BASE_NS));
    store.write(correction).unwrap();
    let snapshot = store.snapshot().unwrap();
    let progress = Progress::default();
    let DevicePage { summary, .. } = store.device_page(&snapshot, "a", Some(&progress)).unwrap();
    assert_eq!(progress.state(), (4, 4));
    let interval = summary.rows().iter().find(|row| row[0] == Cell::Text("usual_interval_s".into())).unwrap();
    assert_eq!(interval[1], Cell::Float(61.0));
    let said = attribute_statements(&snapshot, "a").unwrap();
    let names: Vec<&str> = said.columns().iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["attribute", "value", "from", "to", "commit", "recorded_at"]);
    let values: Vec<(&Cell, &Cell)> = said.rows().iter().map(|row| (&row[1], &row[4])).collect();
    let text = |text: &str| Cell::Text(text.into());
    assert_eq!(values, [(&text("1.0"), &Cell::Integer(1)), (&text("1.1"), &Cell::Integer(2))]);
}

#[test]
fn a_long_call_on_one_device_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut batch = WriteBatch::new();
    for day in 0..100 {
        batch.reading("a", at(BASE_NS + day * DAY_NS)).float("level", 1.0);
    }
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    let progress = Progress::default();
    let mut seen = 0;
    let result = store.samples(&snapshot, &SamplesRequest::device("a"), Some(&progress), &mut |batch| {
        seen += batch.rows().len();
        if seen > 0 {
            progress.cancel();
        }
        Ok(true)
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(seen < 100, "it stopped at the next piece, after {seen} rows");
}
