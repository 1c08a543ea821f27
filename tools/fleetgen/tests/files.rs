//! The files of a fleet: the same bytes for the same seed, the right rows in each order, and the truth's counts.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use fleetgen::write::{Format, Order, Summary, write_fleet};
use fleetgen::{Config, Fleet, METRICS, Metric};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

const NAMES: [&str; 6] = ["samples.parquet", "devices.csv", "attributes.csv", "events.csv", "logs.jsonl", "truth.json"];

fn config() -> Config {
    Config { devices: 60, days: 12, interval_ms: 300_000, ..Config::default() }
}

fn written(config: &Config, folder: &Path, format: Format, order: Order) -> Summary {
    write_fleet(&Fleet::new(config.clone()).unwrap(), folder, format, order).unwrap()
}

fn read(folder: &Path) -> Vec<RecordBatch> {
    let file = File::open(folder.join("samples.parquet")).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

/// Device and time of every row, in the file's order.
fn keys(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut keys = Vec::new();
    for batch in batches {
        let (devices, times) =
            (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<TimestampMillisecondType>());
        keys.extend((0..batch.num_rows()).map(|row| (devices.value(row).to_owned(), times.value(row))));
    }
    keys
}

#[test]
fn one_seed_one_fleet() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    written(&config(), folders[0].path(), Format::Parquet, Order::Device);
    written(&config(), folders[1].path(), Format::Parquet, Order::Device);
    written(&Config { seed: 1, ..config() }, folders[2].path(), Format::Parquet, Order::Device);
    for name in NAMES {
        let bytes = folders.each_ref().map(|folder| std::fs::read(folder.path().join(name)).unwrap());
        assert!(bytes[0] == bytes[1], "{name} is another in a second run");
        assert!(bytes[0] != bytes[2], "{name} does not depend on the seed");
    }
}

#[test]
fn a_device_is_the_same_in_any_fleet_and_any_stretches() {
    let small = Fleet::new(config()).unwrap();
    let large = Fleet::new(Config { devices: 100_000, ..config() }).unwrap();
    for number in [0, 7, 59] {
        let (device, twin) = (small.device(number), large.device(number));
        assert_eq!(device.attributes(), twin.attributes());
        assert_eq!(device.events(), twin.events());
        assert_eq!(device.log_lines(), twin.log_lines());
        for metric in METRICS {
            let all = |stretches: fleetgen::DeviceStream<'_>| -> Vec<u64> {
                stretches.flat_map(|columns| columns.floats(metric)).map(f64::to_bits).collect()
            };
            assert_eq!(all(device.columns(1_000_000)), all(twin.columns(17)), "{number}, {metric:?}");
        }
    }
}

#[test]
fn rows_are_counted_and_sorted_by_device() {
    let folder = tempfile::tempdir().unwrap();
    let summary = written(&config(), folder.path(), Format::Parquet, Order::Device);
    let batches = read(folder.path());
    let keys = keys(&batches);
    assert_eq!(keys.len() as u64, summary.rows);
    assert!(keys.is_sorted(), "by device, then by time");
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len(), "no device has two rows at one instant");
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    assert_eq!(truth["rows"], summary.rows);
    assert_eq!(truth["device_list"].as_array().unwrap().len(), 60);
    let values: usize = batches.iter().flat_map(|b| b.columns()[2..].iter().map(|c| c.len() - c.null_count())).sum();
    assert_eq!(values as u64, summary.values);
    // Every model reports eight metrics.
    assert_eq!(summary.values, 8 * summary.rows);
    // 12 days of 5 minutes for 60 devices are 207,360; 2% are lost, and what late, ended and broken devices did not send.
    assert!((170_000..=204_500).contains(&summary.rows), "{} rows", summary.rows);
}

/// Rows of a CSV file by column.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

#[test]
fn a_failure_blames_the_firmware_that_ran_at_its_instant() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { devices: 3_000, days: 365, interval_ms: 86_400_000, ..Config::default() };
    written(&config, folder.path(), Format::Csv, Order::Device);
    let truth: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    let ms = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis();
    // Device -> what ran since when, the state at the start first; and its model.
    let mut ran: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    let mut models = BTreeMap::new();
    for row in table(&folder.path().join("devices.csv")) {
        ran.insert(row["device"].clone(), vec![(i64::MIN, row["firmware"].clone())]);
        models.insert(row["device"].clone(), row["model"].clone());
    }
    for row in table(&folder.path().join("attributes.csv")) {
        assert_eq!(row["attribute"], "firmware");
        ran.get_mut(&row["device"]).unwrap().push((ms(&row["time"]), row["value"].clone()));
    }
    let harmful: HashSet<(&str, &str)> = truth["firmware_harm"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|harm| harm["failure_rate_ratio"].as_f64() > Some(1.0))
        .map(|harm| (harm["model"].as_str().unwrap(), harm["version"].as_str().unwrap()))
        .collect();
    let (mut blamed, mut same_day) = (0, 0);
    for failure in truth["failures"].as_array().unwrap() {
        let (device, at_ms) = (failure["device"].as_str().unwrap(), ms(failure["time"].as_str().unwrap()));
        let (since_ms, version) = ran[device].iter().rfind(|(since_ms, _)| *since_ms <= at_ms).unwrap();
        let expected =
            harmful.contains(&(models[device].as_str(), version.as_str())).then(|| format!("firmware {version}"));
        let said = failure["because_of"].as_array().unwrap().iter().map(|why| why.as_str().unwrap());
        let said: Vec<&str> = said.filter(|why| why.starts_with("firmware")).collect();
        assert_eq!(said, expected.iter().collect::<Vec<_>>(), "{device} at {} ran {version}", failure["time"]);
        blamed += said.len();
        same_day += usize::from(at_ms.saturating_sub(*since_ms) < 86_400_000);
    }
    assert!(blamed > 50 && same_day > 0, "{blamed} blamed, {same_day} on the day of a change");
}

#[test]
fn orders_hold_the_same_rows() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let orders = [Order::Device, Order::Time, Order::Arrival];
    let summaries: Vec<Summary> =
        folders.iter().zip(orders).map(|(f, order)| written(&config(), f.path(), Format::Parquet, order)).collect();
    let mut sets = Vec::new();
    for folder in &folders {
        let mut rows: Vec<String> = Vec::new();
        for batch in read(folder.path()) {
            let text = |row: usize| {
                let power = batch.column_by_name("power_w").unwrap().as_primitive::<Float64Type>().value(row);
                let key = keys(&[batch.slice(row, 1)]);
                format!("{} {} {power}", key[0].0, key[0].1)
            };
            rows.extend((0..batch.num_rows()).step_by(97).map(text));
        }
        sets.push((keys(&read(folder.path())), rows));
    }
    let sorted = |keys: &[(String, i64)]| keys.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&sets[0].0), sorted(&sets[1].0));
    assert_eq!(sorted(&sets[0].0), sorted(&sets[2].0));
    // A sampled row of one order is found in the others with its value.
    let power = |folder: &Path| -> BTreeMap<(String, i64), u64> {
        let batches = read(folder);
        let all = batches.iter().flat_map(|batch| {
            batch.column_by_name("power_w").unwrap().as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits())
        });
        keys(&batches).into_iter().zip(all).collect()
    };
    let by_device = power(folders[0].path());
    assert_eq!(by_device, power(folders[1].path()));
    assert_eq!(by_device, power(folders[2].path()));
    // Where no clock is wrong, the order of time is the order of the times.
    let truth = Fleet::new(config()).unwrap().truth();
    let wrong: HashSet<&str> = truth.clocks.iter().map(|clock| clock.device.as_str()).collect();
    let times: Vec<i64> =
        sets[1].0.iter().filter(|(device, _)| !wrong.contains(device.as_str())).map(|(_, t)| *t).collect();
    assert!(times.is_sorted());
    // Late rows are those behind a later time of their own device, clocks that fall back left out.
    assert!(summaries[2].late_rows > 50, "{} late rows", summaries[2].late_rows);
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut late = 0;
    for (device, time) in sets[2].0.iter().filter(|(device, _)| !wrong.contains(device.as_str())) {
        let newest = newest.entry(device).or_insert(i64::MIN);
        late += u64::from(*time < *newest);
        *newest = (*newest).max(*time);
    }
    assert!(late <= summaries[2].late_rows && late * 10 >= summaries[2].late_rows * 8, "{late}");
}

#[test]
fn csv_says_what_parquet_says() {
    let config = Config { devices: 12, days: 2, ..config() };
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    written(&config, a.path(), Format::Parquet, Order::Device);
    written(&config, b.path(), Format::Csv, Order::Device);
    let mut reader = csv::Reader::from_path(b.path().join("samples.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let mut records = reader.records().map(Result::unwrap);
    for batch in read(a.path()) {
        assert_eq!(
            header.iter().collect::<Vec<_>>(),
            batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>()
        );
        for row in 0..batch.num_rows() {
            let record = records.next().unwrap();
            let (key, time) = keys(&[batch.slice(row, 1)]).remove(0);
            assert_eq!(record[0], key);
            assert_eq!(chrono::DateTime::parse_from_rfc3339(&record[1]).unwrap().timestamp_millis(), time);
            let temperature = batch.column(2).as_primitive::<Float64Type>().value(row);
            assert_eq!(record[2].parse::<f64>().unwrap().to_bits(), temperature.to_bits());
            let rssi = batch.column_by_name("rssi_dbm").unwrap().as_primitive::<Int64Type>().value(row);
            assert_eq!(record[6].parse::<i64>().unwrap(), rssi);
            let nulls = batch.columns().iter().filter(|column| column.is_null(row)).count();
            assert_eq!(record.iter().filter(|field| field.is_empty()).count(), nulls);
        }
    }
    assert!(records.next().is_none());
}

#[test]
fn a_uniform_fleet_has_eight_full_columns() {
    let config = Config { uniform: true, devices: 20, days: 1, ..config() };
    let folder = tempfile::tempdir().unwrap();
    written(&config, folder.path(), Format::Parquet, Order::Device);
    for batch in read(folder.path()) {
        assert_eq!(batch.num_columns(), 10);
        assert_eq!(batch.columns().iter().map(|column| column.null_count()).sum::<usize>(), 0);
    }
    let fleet = Fleet::new(config).unwrap();
    assert!(fleet.devices().all(|device| device.reports(Metric::Humidity) && !device.reports(Metric::Vibration)));
}

#[test]
fn parameters_outside_their_limits_are_refused() {
    for config in [
        Config { devices: 0, ..Config::default() },
        Config { days: 0, ..Config::default() },
        Config { days: 1_000_000, ..Config::default() },
        Config { interval_ms: 0, ..Config::default() },
        Config { start_ms: -1, ..Config::default() },
    ] {
        assert!(Fleet::new(config.clone()).is_err(), "{config:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any parameters within the limits give a fleet that can be written, with its times in order.
    #[test]
    fn any_small_fleet_can_be_written(
        devices in 1_u32..60,
        days in 1_u32..400,
        coarse in 0_u32..4,
        seed: u64,
        start_ms in 0_i64..4_000_000_000_000,
        uniform: bool,
    ) {
        let interval_ms = [86_400_000, 7_200_000, 50_000_003, 3_600_000][coarse as usize];
        let config = Config { devices, days, interval_ms, seed, start_ms, uniform };
        let folder = tempfile::tempdir().unwrap();
        let summary = written(&config, folder.path(), Format::Parquet, Order::Device);
        prop_assert!(summary.rows <= u64::from(devices) * config.ticks() as u64);
        prop_assert_eq!(summary.values, 8 * summary.rows);
        if summary.rows > 0 {
            let keys = keys(&read(folder.path()));
            prop_assert!(keys.is_sorted());
            prop_assert_eq!(keys.len() as u64, summary.rows);
        }
    }
}
