//! Writing and sealing: `cargo bench --bench store`.
//!
//! `write`: durable commits of 1 reading, of 1,000 readings, and of 1 reading by 8 threads at once, which share syncs.
//! `seal`: an hour of 100 devices out of the log into segments. Throughput is in readings of 4 metrics.

#[path = "fleet/mod.rs"]
mod fleet;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

fn write(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fleet::open(&folder.path().join("store"));
    let mut minute = 0;
    let mut next = |devices: i64, minutes: i64| {
        minute += minutes;
        fleet::batch(devices, minute - minutes..minute)
    };
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one reading", |bench| {
        bench.iter_batched(|| next(1, 1), |batch| store.write(batch).expect("written"), BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("a thousand readings", |bench| {
        bench.iter_batched(|| next(100, 10), |batch| store.write(batch).expect("written"), BatchSize::SmallInput);
    });
    group.throughput(Throughput::Elements(8 * 16));
    group.bench_function("eight threads, 16 commits each", |bench| {
        let batches = || (0..8).map(|_| (0..16).map(|_| next(1, 1)).collect::<Vec<_>>()).collect::<Vec<_>>();
        let write_all = |batches: Vec<Vec<fleetlog::WriteBatch>>| {
            std::thread::scope(|scope| {
                for own in batches {
                    let store = &store;
                    scope.spawn(move || {
                        for batch in own {
                            store.write(batch).expect("written");
                        }
                    });
                }
            });
        };
        bench.iter_batched(batches, write_all, BatchSize::SmallInput);
    });
    group.finish();
}

fn seal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = fleet::open(&folder.path().join("store"));
    let mut hour = 0;
    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(100 * 60)).sample_size(20);
    group.bench_function("an hour of 100 devices", |bench| {
        let fill = || {
            hour += 1;
            store.write(fleet::batch(100, hour * 60..hour * 60 + 60)).expect("written");
        };
        bench.iter_batched(fill, |()| store.seal().expect("sealed"), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, write, seal);
criterion_main!(benches);
