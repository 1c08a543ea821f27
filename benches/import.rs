//! Import of a day of a small fleet: sorted Parquet, time-ordered Parquet (through the sorter) and CSV.
//!
//! `cargo bench --features parquet --bench import`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fleetlog::import::{SamplesImport, import_samples};
use fleetlog::{Options, Store};
use parquet::arrow::ArrowWriter;

const DEVICES: i64 = 200;
const MINUTES: i64 = 1_440;
const METRICS: i64 = 8;

/// (device, minute) of a row, in order of device or of time.
fn places(by_time: bool) -> impl Iterator<Item = (i64, i64)> {
    (0..DEVICES * MINUTES)
        .map(move |row| if by_time { (row % DEVICES, row / DEVICES) } else { (row / MINUTES, row % MINUTES) })
}

/// A quantised, slowly moving value, as sensors give them.
fn value(device: i64, minute: i64, metric: i64) -> f64 {
    let noise = (device * 7_919 + minute * 104_729 + metric * 1_299_709) % 17;
    ((minute as f64 / 229.0 + device as f64).sin() * 200.0).round() / 10.0 + noise as f64 / 10.0
}

fn time_ms(minute: i64) -> i64 {
    1_735_689_600_000 + minute * 60_000
}

fn write_parquet(path: &Path, by_time: bool) {
    let devices: ArrayRef =
        Arc::new(StringArray::from_iter_values(places(by_time).map(|(device, _)| format!("device-{device:04}"))));
    let times: ArrayRef = Arc::new(
        TimestampMillisecondArray::from_iter_values(places(by_time).map(|(_, minute)| time_ms(minute)))
            .with_timezone("UTC"),
    );
    let mut columns = vec![("device".to_owned(), devices), ("time".to_owned(), times)];
    for metric in 0..METRICS {
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(
            places(by_time).map(|(device, minute)| value(device, minute, metric)),
        ));
        columns.push((format!("metric_{metric}"), values));
    }
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let file = std::fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
}

fn write_csv(path: &Path) {
    let mut content = String::from("device,time");
    (0..METRICS).for_each(|metric| content.push_str(&format!(",metric_{metric}")));
    content.push('\n');
    for (device, minute) in places(false) {
        content.push_str(&format!("device-{device:04},{}", time_ms(minute)));
        (0..METRICS).for_each(|metric| content.push_str(&format!(",{}", value(device, minute, metric))));
        content.push('\n');
    }
    std::fs::write(path, content).expect("a file");
}

fn import(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    write_parquet(&path("sorted.parquet"), false);
    write_parquet(&path("by-time.parquet"), true);
    write_csv(&path("sorted.csv"));
    let mut options = SamplesImport::default();
    options.device_column = Some("device".to_owned());
    options.time_column = Some("time".to_owned());
    let mut group = criterion.benchmark_group("import");
    group.throughput(Throughput::Elements((DEVICES * MINUTES) as u64)).sample_size(10);
    for name in ["sorted.parquet", "by-time.parquet", "sorted.csv"] {
        let mut options = options.clone();
        options.times.unit = name.ends_with(".csv").then_some(fleetlog::ingest::TimeUnit::Milliseconds);
        group.bench_function(name, |bencher| {
            let open = || {
                let folder = tempfile::tempdir().expect("a folder");
                let store = Store::open(folder.path().join("store"), Options { create: true, ..Options::default() })
                    .expect("a store");
                (folder, store)
            };
            let run = |(folder, store)| {
                let counts = import_samples(&store, path(name), &options, None).expect("a good file");
                assert_eq!(counts.stored, (DEVICES * MINUTES) as u64);
                (folder, store)
            };
            bencher.iter_batched(open, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, import);
criterion_main!(benches);
