//! Gaps and outliers of blocks that are asked about as they are stored are those of the plain list of samples: whatever holes and
//! jitter the times have, what is out of the ordinary among the values, and whether statistics may answer.

use crate::layouts::*;
use fleetlog::operator::{GapsRequest, OutliersRequest};
use fleetlog::{Cell, Store, WriteBatch};
use proptest::prelude::*;

/// Numbers that look random, the same of each seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end) as i64
    }
}

/// Rows before which it may be silent: beside the edges of groups.
const EDGES: [usize; 8] = [1, 255, 256, 257, 511, 512, 513, 768];

/// Times every 30 seconds, jitter beside; silent for a while before some rows.
fn times(count: usize, jitter_ns: u64, holes: &[(usize, i64)], numbers: &mut Numbers) -> Vec<i64> {
    let mut time = BASE_NS + 17;
    let next = |row: usize| {
        let silent_s: i64 = holes.iter().filter(|(at, _)| *at == row).map(|(_, seconds)| seconds).sum();
        time += 30_000_000_000 + silent_s * 1_000_000_000 + if jitter_ns > 0 { numbers.below(jitter_ns) } else { 0 };
        time
    };
    (0..count).map(next).collect()
}

/// Count, total and longest gap with its start, one pair of samples after the other.
fn gaps(times: &[i64], longer_than_ns: i64) -> Vec<Cell> {
    let pairs = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    let gaps: Vec<(i64, i64)> = pairs.filter(|(gap, _)| *gap > longer_than_ns).collect();
    let seconds = |ns: i64| Cell::Float(ns as f64 / 1e9);
    let longest = gaps.iter().rev().max_by_key(|(gap, _)| *gap);
    vec![
        Cell::Text("a".into()),
        Cell::Integer(gaps.len() as i64),
        seconds(gaps.iter().map(|(gap, _)| gap).sum()),
        longest.map_or(Cell::Null, |(gap, _)| seconds(*gap)),
        longest.map_or(Cell::Null, |(_, from)| Cell::Time(at(*from))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn gaps_are_those_between_all_samples(
        count in 256_usize..1_500,
        jitter_ns in prop_oneof![2 => Just(0_u64), 2 => prop::sample::select(vec![1_u64, 900, 20_000_000_000])],
        holes in prop::collection::vec((prop_oneof![prop::sample::select(EDGES.to_vec()), 0_usize..1_500], 1_i64..4_000), 0..6),
        // 30 seconds are the step itself.
        longer_than_s in prop_oneof![Just(29_i64), Just(30), 31_i64..4_200],
        cut in proptest::option::of((0_usize..1_500, 0_usize..1_500)),
        seed: u64,
    ) {
        let times = times(count, jitter_ns, &holes, &mut Numbers(seed));
        let mut batch = WriteBatch::new();
        for (row, time) in times.iter().enumerate() {
            // A sample of any metric tells that the device is there.
            batch.reading("a", at(*time)).integer(if row % 3 == 0 { "errors" } else { "power" }, row as i64);
        }
        let (from, to) = cut.map_or((i64::MIN, i64::MAX), |(a, b)| (times[a.min(b) % count], times[a.max(b) % count] + 1));
        let inside: Vec<i64> = times.iter().filter(|time| (from..to).contains(*time)).copied().collect();
        prop_assume!(!inside.is_empty() && from < to);
        let longer_than_ns = longer_than_s * 1_000_000_000;
        let expected = gaps(&inside, longer_than_ns);
        in_every_layout(batch, |store, layout| {
            for statistics in [true, false] {
                let mut request = GapsRequest::longer_than_ns(longer_than_ns).statistics(statistics);
                if cut.is_some() {
                    request = request.between(at(from), at(to));
                }
                let (found, _) = store.gaps(&store.snapshot().unwrap(), &request, None).unwrap();
                assert_eq!(found.rows().to_vec(), std::slice::from_ref(&expected), "{layout} {statistics}");
            }
        });
    }
}

/// Mean and deviation of a sample, and how many values lie further than so many deviations from the mean: at least, and at most, where some
/// lie at the very limit.
fn outliers(values: &[f64], sigma: f64) -> (f64, f64, std::ops::RangeInclusive<i64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
    let magnitude = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let beyond =
        |slack: f64| values.iter().filter(|value| (**value - mean).abs() > sigma * deviation + slack).count() as i64;
    let slack = 1e-11 * (deviation + magnitude);
    (mean, deviation, beyond(slack)..=beyond(-slack))
}

fn check_outliers(store: &Store, metric: &str, values: &[f64], sigma: f64, context: &str) {
    let (mean, deviation, counts) = outliers(values, sigma);
    for statistics in [true, false] {
        let request = OutliersRequest::new(metric, sigma).statistics(statistics);
        let (found, _) = store.outliers(&store.snapshot().unwrap(), &request, None).unwrap();
        let [_, n, found_mean, found_deviation, Cell::Integer(count)] = &found.rows()[0][..] else {
            panic!("{:?} {context}", found.rows())
        };
        assert_eq!(*n, Cell::Integer(values.len() as i64), "{context}");
        if mean.is_finite() {
            let magnitude = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
            assert!((float(found_mean) - mean).abs() <= 1e-12 * magnitude, "{found_mean:?} not {mean} {context}");
            let coarse = 1e-9 * deviation + 1e-12 * magnitude;
            assert!(
                (float(found_deviation) - deviation).abs() <= coarse,
                "{found_deviation:?} not {deviation} {context}"
            );
        } else {
            assert!(float(found_deviation).is_nan(), "{found_deviation:?} {context}");
        }
        assert!(counts.contains(count), "{count} not in {counts:?} {statistics} {context}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn outliers_are_those_of_all_samples(
        count in 256_usize..1_500,
        // Spikes of so many steps, and what no decimal is, by their rows.
        spikes in prop::collection::vec((prop_oneof![prop::sample::select(EDGES.to_vec()), 0_usize..1_500], -4_000_i64..4_000), 0..8),
        odd in prop::collection::vec((prop_oneof![prop::sample::select(EDGES.to_vec()), 0_usize..1_500], 0_usize..5), 0..8),
        infinite in proptest::bool::weighted(0.1),
        // Values whose heads say just how far they reach, high ones rarer than low ones: none lies far below the mean.
        skewed in proptest::bool::weighted(0.4),
        sigma in prop_oneof![0.2_f64..4.0, 1.2_f64..2.2, Just(30.0)],
        seed: u64,
    ) {
        let mut numbers = Numbers(seed);
        let times = times(count, 0, &[], &mut numbers);
        let exceptions = [f64::NAN, -0.0, 0.1 + 0.2, 100.0 / 3.0, if infinite { f64::INFINITY } else { 77.7 }];
        let (mut all, mut every_third, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = WriteBatch::new();
        let mut level = 2_000_i64;
        for (row, time) in times.iter().enumerate() {
            level = if skewed { (row as i64 * 7 % 256).pow(2) / 256 } else { level + numbers.below(41) - 20 };
            let spike: i64 = spikes.iter().filter(|(at, _)| *at == row).map(|(_, high)| high).sum();
            let whole = if skewed { level } else { level + spike };
            let value = match odd.iter().find(|(at, _)| *at == row) {
                Some((_, kind)) => exceptions[*kind],
                None => whole as f64 / 100.0,
            };
            let reading = batch.reading("a", at(*time)).float("level", value).integer("steps", whole);
            all.push(value);
            wholes.push(whole as f64);
            if row % 3 == 0 {
                reading.float("rare", value);
                every_third.push(value);
            }
        }
        let known = |values: &[f64]| -> Vec<f64> { values.iter().copied().filter(|value| !value.is_nan()).collect() };
        let columns = [("level", known(&all)), ("rare", known(&every_third)), ("steps", wholes)];
        in_every_layout(batch, |store, layout| {
            for (metric, values) in &columns {
                check_outliers(store, metric, values, sigma, &format!("{metric} {sigma} {layout}"));
            }
        });
    }
}
