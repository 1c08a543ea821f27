//! Both tiers answer alike: months of readings, infinities and NaN among them, asked about in the fast tier, where blocks are answered as they
//! are stored, and in the cold one, where they are decoded.

use crate::layouts::*;
use fleetlog::operator::{
    Aggregate, Bins, Expression, GapsRequest, Histogram, LatestRequest, OutliersRequest, Query, SamplesRequest, Trend,
    ValueFilter, attribute,
};
use fleetlog::{Cell, Store, Table, WriteBatch};

const DEVICES: [&str; 4] = ["a", "b", "c", "d"];
const METRICS: [&str; 3] = ["level", "ticks", "rare"];
const EXACT: [Aggregate; 9] = [
    Aggregate::Count,
    Aggregate::CountNan,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
    Aggregate::Median,
    Aggregate::Percentile(99.0),
    Aggregate::Percentile(0.5),
];
/// What depends on the order of additions; behind them what says how large the addends are.
const ROUNDED: [Aggregate; 8] = [
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Variance,
    Aggregate::Stddev,
    Aggregate::Count,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::CountNan,
];

const ROUNDED_WORD: &str = "rounded ";

/// 70 days of readings every 10 minutes, device by device: regular with infinities, with jitter and NaN, steady, no decimals.
fn write(store: &Store) {
    let mut state = 1_u64;
    let mut below = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    for device in DEVICES {
        let mut batch = WriteBatch::new();
        let mut walk = 2_000_i64;
        for row in 0..70 * 144_i64 {
            walk += below(41) as i64 - 20;
            let decimal = walk as f64 / 100.0;
            let rarely = below(400) == 0;
            let level = match device {
                "a" if rarely => f64::INFINITY,
                "b" if rarely || (3_000..3_700).contains(&row) => f64::NAN,
                "c" => 21.5,
                "d" => decimal / 3.0,
                _ => decimal,
            };
            let jitter_ns = if device == "b" { below(1_000_000_000) as i64 } else { 0 };
            let ticks = if device == "d" { i64::MAX - row } else { walk };
            let time = at(BASE_NS + row * 10 * MINUTE_NS + jitter_ns);
            let reading = batch.reading(device, time).float("level", level).integer("ticks", ticks);
            if row % 3 == 0 {
                reading.float("rare", if rarely { f64::NEG_INFINITY } else { decimal });
            }
        }
        // In the middle of a block, for one of them.
        let moved = at(BASE_NS + if device == "b" { 40 * DAY_NS + 7 } else { -DAY_NS });
        batch.attribute(device, "region", "north");
        batch.attribute(device, "region", "south").from(moved);
        store.write(batch).unwrap();
    }
}

/// What is asked, in words, and the rows of the answer.
type Answers = Vec<(String, Vec<Vec<Cell>>)>;

fn aggregated(store: &Store, metric: &str, statistics: bool, answers: &mut Answers) {
    let filters = [None, Some("level>20.5"), Some("level!=20"), Some("ticks<=1900"), Some("rare<19.99")];
    let windows = [(None, "device"), (Some("1h"), "region"), (Some("1d"), "device"), (Some("1mo"), "region")];
    for ((window, by), filter) in windows.into_iter().flat_map(|window| filters.map(|filter| (window, filter))) {
        for aggregates in [&EXACT[..], &ROUNDED] {
            let mut query = Query::metric(metric).aggregate(aggregates.to_vec()).by([by]).statistics(statistics);
            if let Some(window) = window {
                query = query.every(window.parse().unwrap());
            }
            if let Some(filter) = filter {
                query = query.filter_value(filter.parse::<ValueFilter>().unwrap());
            }
            let rounded = if aggregates.len() == ROUNDED.len() { ROUNDED_WORD } else { "" };
            let words = format!("{rounded}{metric} {window:?} {by} {filter:?} {statistics}");
            answers.push((words, store.query(query).unwrap().rows().to_vec()));
        }
    }
}

fn samples(store: &Store, request: &SamplesRequest) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    let visit = &mut |table: Table| {
        rows.extend(table.rows().to_vec());
        Ok(true)
    };
    store.samples(&store.snapshot().unwrap(), request, None, visit).unwrap();
    rows
}

fn answers(store: &Store) -> Answers {
    let mut answers = Answers::new();
    let snapshot = store.snapshot().unwrap();
    for (metric, statistics) in METRICS.into_iter().flat_map(|metric| [(metric, true), (metric, false)]) {
        aggregated(store, metric, statistics, &mut answers);
        let mut put = |what: &str, rows: Vec<Vec<Cell>>| {
            answers.push((format!("{what} {metric} {statistics}"), rows));
        };
        let bins = Bins::Edges(vec![-1e9, 18.0, 20.0, 20.01, 25.0]);
        let histogram = Histogram::new(Expression::metric(metric), bins).by(["region"]).statistics(statistics);
        put("histogram", store.histogram(&histogram).unwrap().rows().to_vec());
        let growth = [Aggregate::Delta, Aggregate::Rate, Aggregate::Histogram];
        let query = Query::metric(metric).aggregate(growth).by(["region"]).statistics(statistics);
        put("growth", store.query(query).unwrap().rows().to_vec());
        let request = OutliersRequest::new(metric, 1.7).statistics(statistics);
        // Device, samples and outliers: mean and deviation hang on how days were merged.
        let (outliers, _) = store.outliers(&snapshot, &request, None).unwrap();
        put(
            "outliers",
            outliers.rows().iter().map(|row| vec![row[0].clone(), row[1].clone(), row[4].clone()]).collect(),
        );
        let request = SamplesRequest::device("a").metrics([metric]).downsample(50).statistics(statistics);
        put("downsampled", samples(store, &request));
    }
    // Means of integers do not depend on an order.
    let trend = Trend::new(Expression::metric("ticks"), "1d".parse().unwrap()).filter(attribute("region").is("north"));
    answers.push(("trend".to_owned(), store.trend(&trend.statistics(false)).unwrap().rows().to_vec()));
    for statistics in [true, false] {
        let request = GapsRequest::longer_than_ns(10 * MINUTE_NS + 500_000_000).statistics(statistics);
        let (gaps, _) = store.gaps(&snapshot, &request, None).unwrap();
        answers.push((format!("gaps {statistics}"), gaps.rows().to_vec()));
    }
    let (latest, _) = store.latest(&snapshot, &LatestRequest::default(), None).unwrap();
    answers.push(("latest".to_owned(), latest.rows().to_vec()));
    for device in DEVICES {
        let request = SamplesRequest::device(device).between(at(BASE_NS + 3 * HOUR_NS + 5), at(BASE_NS + 50 * DAY_NS));
        answers.push((format!("samples {device}"), samples(store, &request)));
    }
    answers
}

/// Whether rows that begin with the same keys have sums, means, variances and deviations within a rounding of each other.
fn are_near(fast: &[Cell], cold: &[Cell]) -> bool {
    let keys = fast.len() - ROUNDED.len();
    let of = |place: usize| (&fast[keys + place], &cold[keys + place]);
    let (Cell::Integer(count), least, greatest) = (of(4).0, of(5).0, of(6).0) else { return false };
    if format!("{:?}{:?}", &fast[..keys], &fast[keys + 4..]) != format!("{:?}{:?}", &cold[..keys], &cold[keys + 4..]) {
        return false;
    }
    if *least == Cell::Null {
        return true;
    }
    if matches!(least, Cell::Integer(_)) && of(0).0 != of(0).1 {
        return false;
    }
    let magnitude = float(least).abs().max(float(greatest).abs());
    let coarse = [*count as f64 * magnitude, magnitude, magnitude * magnitude, magnitude];
    (0..4).all(|place| match of(place) {
        (Cell::Null, Cell::Null) => true,
        (fast, cold) => {
            let (fast, cold) = (float(fast), float(cold));
            fast == cold || (fast.is_nan() && cold.is_nan()) || (fast - cold).abs() <= 1e-12 * coarse[place]
        }
    })
}

#[test]
fn the_cold_tier_answers_what_the_fast_one_answers() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    write(&store);
    store.seal().unwrap();
    store.compact(false, None).unwrap();
    let read = |store: &Store| {
        let query = Query::metric("level").aggregate([Aggregate::Sum]).statistics(false);
        store.query_at(&store.snapshot().unwrap(), &query, None).unwrap().1.bytes_read
    };
    let (fast, fast_bytes) = (answers(&store), read(&store));
    store.compact(true, None).unwrap();
    let (cold, cold_bytes) = (answers(&store), read(&store));
    assert!(cold_bytes < fast_bytes, "{cold_bytes} bytes of the cold tier, {fast_bytes} of the fast one");
    assert_eq!(fast.len(), cold.len());
    for ((words, fast), (_, cold)) in fast.iter().zip(&cold) {
        assert_eq!(fast.len(), cold.len(), "{words}");
        for (fast, cold) in fast.iter().zip(cold) {
            let same = if words.starts_with(ROUNDED_WORD) {
                are_near(fast, cold)
            } else {
                format!("{fast:?}") == format!("{cold:?}")
            };
            assert!(same, "fast {fast:?}, cold {cold:?}: {words}");
        }
    }
}
