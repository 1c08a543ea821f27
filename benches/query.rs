//! Scan and trend over a sealed month of 50 devices, 4 metrics: `cargo bench --bench query`.
//!
//! Throughput is in values that the answer covers, read or not.

#[path = "fleet/mod.rs"]
mod fleet;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fleetlog::Store;
use fleetlog::operator::{Aggregate, Expression, Query, Trend, Window};

const DEVICES: i64 = 50;
const DAYS: i64 = 31;

fn scan(criterion: &mut Criterion, store: &Store) {
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements((DEVICES * DAYS * 1_440) as u64)).sample_size(20);
    let mean = || Query::metric("power_w").aggregate([Aggregate::Mean, Aggregate::Min, Aggregate::Max]).by(["region"]);
    let mut bench = |name: &str, query: Query| {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(store.query(query.clone()).expect("an answer")));
        });
    };
    bench("mean by region and day, from statistics", mean().every(Window::DAY));
    bench("mean by region and day, decoded", mean().every(Window::DAY).statistics(false));
    bench("p95 by firmware", Query::metric("power_w").aggregate([Aggregate::P95]).by(["firmware"]));
    bench("one day of one device", mean().by(["device"]).between(fleet::at(1_440), fleet::at(2_880)));
    group.finish();
}

fn trend(criterion: &mut Criterion, store: &Store) {
    let mut group = criterion.benchmark_group("trend");
    group.throughput(Throughput::Elements((DEVICES * DAYS * 1_440) as u64)).sample_size(20);
    for by in ["region", "firmware"] {
        let metric: Expression = Expression::parse("temperature_c").expect("a metric");
        let trend = Trend::new(metric, Window::DAY).by([by]);
        group.bench_function(format!("daily by {by}"), |bench| {
            bench.iter(|| black_box(store.trend(&trend).expect("an answer")));
        });
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fleet::sealed(&folder.path().join("store"), DEVICES, DAYS);
    scan(criterion, &store);
    trend(criterion, &store);
}

criterion_group!(benches, all);
criterion_main!(benches);
