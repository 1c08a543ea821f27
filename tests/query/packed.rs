//! Blocks that are asked about as they are stored answer what plain arithmetic on the samples answers: whatever the values, the
//! conditions, the windows, and whether statistics may answer.

use crate::layouts::*;
use fleetlog::operator::{Aggregate, Query, ValueFilter};
use fleetlog::{Cell, WriteBatch};
use proptest::prelude::*;

/// A sample of the oracle: nanoseconds, a decimal, a whole number.
type Row = (i64, f64, i64);

/// One device's samples: gaps, a walk of decimals with some that are none, whole numbers with jumps.
fn rows(seed: u64, count: usize, odd_one_in: u64) -> Vec<Row> {
    let mut state = seed | 1;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1 + 0.2, 1e300];
    let (mut time, mut level, mut counter) = (BASE_NS + 17, 2_000_i64, 0_i64);
    (0..count)
        .map(|_| {
            time += MINUTE_NS * if next(50) == 0 { 1 + next(90) as i64 } else { 1 };
            level += next(41) as i64 - 20;
            counter = if next(300) == 0 { -(next(1_000_000) as i64) } else { counter + next(30) as i64 };
            let value = if next(odd_one_in) == 0 { odd[next(6) as usize] } else { level as f64 / 100.0 };
            (time, value, counter)
        })
        .collect()
}

fn passes(row: &Row, filter: &str, bound: f64) -> bool {
    let value = if filter.starts_with("level") { row.1 } else { row.2 as f64 };
    match filter.trim_start_matches(char::is_alphabetic) {
        ">" => value > bound,
        ">=" => value >= bound,
        "<" => value < bound,
        "<=" => value <= bound,
        "=" => value == bound,
        _ => value != bound && !value.is_nan(),
    }
}

/// Count, NaN, sum of magnitudes and the answers, of values in order of time.
fn check(found: &[Cell], values: &[f64], whole: bool, context: &str) {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    assert_eq!(found[0], Cell::Integer(known.len() as i64), "count {context}");
    assert_eq!(found[1], Cell::Integer((values.len() - known.len()) as i64), "count_nan {context}");
    if known.is_empty() {
        return;
    }
    let exact = |cell: &Cell, expected: f64, what: &str| match cell {
        Cell::Integer(value) if whole => assert_eq!(*value as f64, expected, "{what} {context}"),
        Cell::Float(value) if !whole => assert_eq!(value.to_bits(), expected.to_bits(), "{what} {context}"),
        other => panic!("{what} is {other:?} {context}"),
    };
    exact(&found[2], known.iter().copied().fold(f64::INFINITY, f64::min) + 0.0, "min");
    exact(&found[3], known.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 0.0, "max");
    exact(&found[4], known[0], "first");
    exact(&found[5], known[known.len() - 1], "last");
    let finite = known.iter().all(|value| value.abs() < 1e100);
    let magnitude: f64 = known.iter().map(|value| value.abs()).sum();
    let (count, sum) = (known.len() as f64, known.iter().sum::<f64>());
    let mean = sum / count;
    if finite {
        assert!((float(&found[6]) - sum).abs() <= 1e-12 * magnitude, "sum {:?} {sum} {context}", found[6]);
        assert!((float(&found[7]) - mean).abs() <= 1e-12 * magnitude / count, "mean {:?} {mean} {context}", found[7]);
    }
    if known.len() < 2 {
        assert_eq!(found[8], Cell::Null, "variance {context}");
        return;
    }
    let (variance, found) =
        (known.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0), float(&found[8]));
    if known.iter().any(|value| value.is_infinite()) {
        // Infinity less infinity: there is no distance from the mean.
        assert!(variance.is_nan() && found.is_nan(), "variance {found} {context}");
    } else if variance.is_finite() {
        let coarse = 1e-9 * variance + 1e-24 * magnitude * magnitude;
        assert!((found - variance).abs() <= coarse, "variance {found} {variance} {context}");
    } else {
        assert_eq!(found, variance, "variance {context}");
    }
}

fn question(metric: &str, filter: Option<(&str, f64)>, window: Option<&str>) -> Query {
    let mut query = Query::metric(metric);
    if let Some((filter, bound)) = filter {
        query = query.filter_value(format!("{filter}{bound}").parse::<ValueFilter>().unwrap());
    }
    if let Some(window) = window {
        query = query.every(window.parse().unwrap());
    }
    query
}

/// A bound that values meet: that of a row, or a decimal or a whole number.
fn bound_of(filter: Option<&str>, whole: i64, met: Option<&Row>) -> f64 {
    let of_level = filter.is_some_and(|filter| filter.starts_with("level"));
    let met = met.map(|row| if of_level { row.1 } else { row.2 as f64 }).filter(|met| met.is_finite());
    met.unwrap_or(if of_level { whole as f64 / 100.0 } else { whole as f64 })
}

/// Rows of a metric that is not sampled each time.
fn has_rare(row: &Row) -> bool {
    row.0 / MINUTE_NS % 3 == 0
}

/// Whether a percentile is that of sorted values, by linear interpolation.
fn is_quantile(cell: &Cell, percent: f64, values: &[f64]) -> bool {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() {
        return *cell == Cell::Null;
    }
    let place = percent / 100.0 * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let found = float(cell);
    let expected = if low == high { low } else { low + place.fract() * (high - low) };
    found == expected
        || (found.is_nan() && expected.is_nan())
        || (found - expected).abs() <= 1e-9 * low.abs().max(high.abs())
}

/// Answers that may have added up whole groups unread agree with those that may not: to the bit, and sums within a rounding.
fn agree(few: &[Cell], all: &[Cell], samples: &[f64], context: &str) {
    for (few_place, place) in [0, 1, 2, 3].into_iter().enumerate() {
        assert_eq!(few[few_place], all[place], "{context}");
    }
    let magnitude: f64 = samples.iter().filter(|value| !value.is_nan()).map(|value| value.abs()).sum();
    if magnitude < 1e100 && !samples.iter().all(|value| value.is_nan()) {
        for (few_place, place) in [(4, 6), (5, 7)] {
            let (few, all) = (float(&few[few_place]), float(&all[place]));
            assert!((few - all).abs() <= 1e-12 * magnitude, "{few} {all} {context}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn packed_blocks_answer_what_their_samples_say(
        seed: u64,
        count in 1_usize..2_500,
        odd_one_in in prop_oneof![2 => Just(40_u64), 1 => Just(400), 1 => Just(u64::MAX)],
        bound in -1_000_i64..5_000,
        // The row whose value is the bound, for one.
        met in proptest::option::of(0_usize..2_500),
        filter in prop_oneof![
            1 => Just(None),
            3 => prop::sample::select(vec!["level>", "level>=", "level<=", "level<", "level=", "level!=", "ticks>", "ticks<=", "ticks!="])
                .prop_map(Some),
        ],
        window in prop::sample::select(vec![None, Some("1h"), Some("7m"), Some("1d")]),
    ) {
        let rows = rows(seed, count, odd_one_in);
        let mut batch = WriteBatch::new();
        for (time, level, ticks) in &rows {
            let reading = batch.reading("a", at(*time)).float("level", *level).integer("ticks", *ticks);
            if has_rare(&(*time, *level, *ticks)) {
                reading.float("rare", *level);
            }
        }
        let bound = bound_of(filter, bound, met.map(|row| &rows[row % count]));
        let kept: Vec<Row> =
            rows.iter().filter(|row| filter.is_none_or(|filter| passes(row, filter, bound))).copied().collect();
        in_every_layout(batch, |store, layout| {
            for statistics in [true, false] {
                for (metric, whole) in [("level", false), ("ticks", true), ("rare", false)] {
                    if metric == "rare" && !rows.iter().any(has_rare) {
                        continue;
                    }
                    let kept: Vec<Row> = kept.iter().filter(|row| metric != "rare" || has_rare(row)).copied().collect();
                    use Aggregate::{Count, CountNan, First, Last, Max, Mean, Min, Sum, Variance};
                    let all = [Count, CountNan, Min, Max, First, Last, Sum, Mean, Variance];
                    // Without first, last and variance whole groups may be added up unread.
                    let few = [Count, CountNan, Min, Max, Sum, Mean];
                    let ask = |aggregates: &[Aggregate]| {
                        let query = question(metric, filter.map(|filter| (filter, bound)), window);
                        let query = query.aggregate(aggregates.to_vec()).statistics(statistics);
                        store.query(query).unwrap().rows().to_vec()
                    };
                    let (found, fewer) = (ask(&all), ask(&few));
                    let quantiles = ask(&[Aggregate::Percentile(95.0), Aggregate::Median, Aggregate::Percentile(1.0)]);
                    let values = |row: &Row| if whole { row.2 as f64 } else { row.1 };
                    let width = window.map(|window| match window { "7m" => 7 * MINUTE_NS, "1h" => HOUR_NS, _ => DAY_NS });
                    let start = |row: &Row| width.map_or(0, |width| row.0.div_euclid(width) * width);
                    let groups: Vec<&[Row]> = kept.chunk_by(|a, b| start(a) == start(b)).collect();
                    let skip = usize::from(window.is_some());
                    let context = format!("{layout} {metric} {filter:?} {bound} {window:?} {statistics}");
                    if window.is_none() && kept.is_empty() {
                        continue;
                    }
                    assert_eq!(found.len(), groups.len(), "{context}");
                    for (((row, fewer), quantiles), group) in found.iter().zip(&fewer).zip(&quantiles).zip(&groups) {
                        if window.is_some() {
                            assert_eq!(row[0], Cell::Time(at(start(&group[0]))), "{context}");
                        }
                        let samples: Vec<f64> = group.iter().map(values).collect();
                        check(&row[skip..], &samples, whole, &context);
                        agree(&fewer[skip..], &row[skip..], &samples, &context);
                        for (cell, percent) in quantiles[skip..].iter().zip([95.0, 50.0, 1.0]) {
                            assert!(is_quantile(cell, percent, &samples), "p{percent} {cell:?} {context}");
                        }
                    }
                }
            }
        });
    }
}

/// One infinity among decimals: no block, layout or statistic makes a number of what has none.
#[test]
fn an_infinity_has_no_deviation() {
    for place in [0, 100, 299] {
        let mut batch = WriteBatch::new();
        for row in 0..300 {
            let level = if row == place { f64::INFINITY } else { 20.0 + (row % 7) as f64 / 100.0 };
            batch.reading("a", at(BASE_NS + row * 10_000_000_000)).float("level", level);
        }
        in_every_layout(batch, |store, layout| {
            for (statistics, window) in [(true, "1h"), (false, "1h"), (true, "1d"), (false, "1d")] {
                let query = Query::metric("level").aggregate([Aggregate::Stddev, Aggregate::Variance, Aggregate::Mean]);
                let query = query.every(window.parse().unwrap()).statistics(statistics);
                let found = row(store, query);
                assert!(float(&found[1]).is_nan() && float(&found[2]).is_nan(), "{found:?} {layout} {place}");
                assert_eq!(found[3], Cell::Float(f64::INFINITY), "{layout} {place}");
            }
        });
    }
}

/// Nothing passes a condition on what a block does not have.
#[test]
fn a_condition_on_what_is_not_there_lets_nothing_pass() {
    let mut batch = WriteBatch::new();
    for minute in 0..600 {
        let time = at(BASE_NS + minute * MINUTE_NS);
        batch.reading("a", time).integer("ticks", minute % 9).float("level", minute as f64 / 10.0);
        batch.reading("b", time).integer("ticks", minute % 9);
    }
    in_every_layout(batch, |store, layout| {
        for (filter, passing) in [("level>=30", 300), ("level!=1e9", 600), ("level<0", 0)] {
            for statistics in [true, false] {
                let query = Query::metric("ticks").aggregate([Aggregate::Count]).by(["device"]).statistics(statistics);
                let table = store.query(query.filter_value(filter.parse::<ValueFilter>().unwrap())).unwrap();
                let found: Vec<Vec<Cell>> = table.rows().to_vec();
                let expected: Vec<Vec<Cell>> = [vec![Cell::Text("a".into()), Cell::Integer(passing)]]
                    .into_iter()
                    .filter(|_| passing > 0)
                    .collect();
                assert_eq!(found, expected, "{filter} {statistics} {layout}");
            }
        }
    });
}

/// A variance is as exact as its own samples, whatever lies in the same group of a block.
#[test]
fn a_spike_makes_no_variance_of_another_hour_coarse() {
    let mut batch = WriteBatch::new();
    let ticks = |minute: i64| 100 + minute * 7 % 13;
    for minute in 0..300 {
        let (ticks, time) = (ticks(minute), at(BASE_NS + minute * MINUTE_NS));
        let ticks = if minute == 0 { -1_000_000_000 } else { ticks };
        batch.reading("a", time).integer("ticks", ticks).float("level", ticks as f64 / 4.0);
    }
    batch.reading("b", at(BASE_NS + 2 * HOUR_NS)).integer("ticks", 0).float("level", 0.0);
    in_every_layout(batch, |store, layout| {
        for (metric, unit) in [("ticks", 1.0), ("level", 0.25)] {
            let query = Query::metric(metric).aggregate([Aggregate::Variance]).every("1h".parse().unwrap());
            let table = store.query(query.statistics(false)).unwrap();
            let mut values: Vec<f64> = (120..180).map(|minute| ticks(minute) as f64 * unit).collect();
            values.push(0.0);
            let mean = values.iter().sum::<f64>() / 61.0;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 60.0;
            let found = float(&table.rows().get(2).unwrap()[1]);
            assert!((found - variance).abs() <= 1e-13 * variance, "{metric} {found} not {variance} {layout}");
        }
    });
}

/// Days of a month come from its rollup, unread, and are what its samples say; windows without samples are filled beside them.
#[test]
fn days_of_a_month_are_answered_unread() {
    let mut batch = WriteBatch::new();
    let minutes: Vec<i64> = (0..6 * 1_440).filter(|minute| minute / 1_440 != 3).collect();
    let level = |minute: i64| (minute * 7 % 900) as f64 / 10.0;
    for minute in &minutes {
        batch.reading("a", at(BASE_NS / DAY_NS * DAY_NS + minute * MINUTE_NS)).float("level", level(*minute));
    }
    in_every_layout(batch, |store, layout| {
        use fleetlog::operator::Fill;
        let query = Query::metric("level")
            .aggregate([Aggregate::Count, Aggregate::Mean, Aggregate::Max])
            .every("1d".parse().unwrap());
        for fill in [Fill::None, Fill::Null, Fill::Zero, Fill::Previous, Fill::Linear] {
            let query = query.clone().fill(fill);
            let snapshot = store.snapshot().unwrap();
            let (table, explain) = store.query_at(&snapshot, &query, None).unwrap();
            let (from_values, read) = store.query_at(&snapshot, &query.statistics(false), None).unwrap();
            if layout != "unsealed" {
                assert_eq!((explain.blocks_decoded, read.blocks_from_statistics), (0, 0), "{layout} {fill:?}");
            }
            assert_eq!(table.rows().len(), if fill == Fill::None { 5 } else { 6 }, "{layout} {fill:?}");
            for (row, other) in table.rows().iter().zip(from_values.rows()) {
                assert_eq!((&row[..2], &row[3]), (&other[..2], &other[3]), "{layout} {fill:?}");
            }
            let of_day =
                |day: i64| minutes.iter().filter(move |minute| **minute / 1_440 == day).map(|minute| level(*minute));
            for (row, day) in
                table.rows().iter().zip([0, 1, 2].into_iter().chain((fill != Fill::None).then_some(3)).chain([4, 5]))
            {
                if day != 3 {
                    let mean = of_day(day).sum::<f64>() / 1_440.0;
                    assert!((float(&row[2]) - mean).abs() < 1e-10, "{layout} {fill:?} day {day}");
                    assert_eq!(float(&row[3]), of_day(day).fold(f64::MIN, f64::max));
                }
            }
        }
    });
}
