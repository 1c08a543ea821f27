//! Real telemetry that nobody here wrote, imported and compared with what the `csv` crate reads from it directly.
//!
//! The files lie in `../shared/data` beside the checkout (or where `FLEETLOG_DATA` says); without them the tests say so and pass.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use chrono::NaiveDateTime;

use crate::model::Value;

use super::SamplesImport;
use super::testing::{Stored, data, import, options};

const MIB: usize = 1 << 20;

fn nanoseconds(text: &str, format: &str) -> i64 {
    let time = NaiveDateTime::parse_from_str(text, format).expect("a time of the file");
    time.and_utc().timestamp_nanos_opt().expect("a year of ours")
}

fn csv_rows(path: &Path, delimiter: u8) -> (Vec<String>, Vec<csv::StringRecord>) {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_path(path).expect("a file");
    let names = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    (names, reader.records().map(|record| record.expect("a row")).collect())
}

fn floats(stored: &Stored) -> BTreeMap<(String, i64, String), u64> {
    stored.iter().filter_map(|(key, value)| Some((key.clone(), value.as_f64()?.to_bits()))).collect()
}

#[test]
fn azure_telemetry_is_what_the_file_says() {
    let Some(path) = data("azure-pdm/PdM_telemetry_machines1-20_first90days.csv") else { return };
    let (names, rows) = csv_rows(&path, b',');
    let mut expected = BTreeMap::new();
    for row in &rows {
        let time = nanoseconds(&row[0], "%Y-%m-%d %H:%M:%S");
        for metric in 2..names.len() {
            let value: f64 = row[metric].parse().expect("a number");
            expected.insert((row[1].to_owned(), time, names[metric].clone()), value.to_bits());
        }
    }
    for sort_bytes in [MIB / 4, 64 * MIB] {
        let imported = import(&path, &options("machineID", "datetime"), sort_bytes).expect("a good file");
        assert_eq!(imported.counts.rows_read, rows.len() as u64);
        assert_eq!(imported.counts.rejected, 0);
        assert_eq!(imported.counts.stored * 4, expected.len() as u64);
        assert_eq!(floats(&imported.sink.stored), expected);
    }
}

#[test]
fn nab_series_are_devices_by_file_name() {
    let Some(folder) = data("nab/data") else { return };
    let mut files = 0;
    for part in std::fs::read_dir(folder).expect("a folder") {
        for entry in std::fs::read_dir(part.expect("an entry").path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            let (_, rows) = csv_rows(&path, b',');
            let device = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let mut expected = BTreeMap::new();
            for row in &rows {
                let value: f64 = row[1].parse().expect("a number");
                let time = nanoseconds(row[0].split('.').next().expect("a time"), "%Y-%m-%d %H:%M:%S");
                expected.insert((device.clone(), time, "value".to_owned()), value.to_bits());
            }
            let options = SamplesImport {
                device_from_file_name: true,
                time_column: Some("timestamp".into()),
                ..SamplesImport::default()
            };
            let imported = import(&path, &options, MIB).expect("a good file");
            assert_eq!(imported.counts.stored, expected.len() as u64, "{}", path.display());
            assert_eq!(imported.counts.overwritten, (rows.len() - expected.len()) as u64, "{}", path.display());
            assert_eq!(floats(&imported.sink.stored), expected, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 58);
}

#[test]
fn campusiot_links_lose_no_reception() {
    let Some(path) = data("campusiot/refugegouter_d1d1e80000000033.csv") else { return };
    let (names, rows) = csv_rows(&path, b';');
    let column = |name: &str| names.iter().position(|other| other == name).expect("a column");
    let (time, gateway, device, sequence, snr) =
        (column("Date Time"), column("Gateway"), column("DevEUI"), column("Sequence"), column("SNR"));
    let mut options = options("DevEUI", "Date Time");
    (options.delimiter, options.decimal) = (b';', b',');
    options.times.format = Some("%d/%m/%Y %H:%M".into());
    options.link_to = Some("Gateway".into());
    options.sequence_column = Some("Sequence".into());
    let imported = import(&path, &options, 2 * MIB).expect("a good file");

    let mut receptions: HashMap<(String, i64), HashSet<String>> = HashMap::new();
    let mut last: HashMap<(String, i64, String), f64> = HashMap::new();
    for row in &rows {
        let link = format!("{}@{}", &row[device], &row[gateway]);
        let at = nanoseconds(&row[time], "%d/%m/%Y %H:%M");
        receptions.entry((link.clone(), at)).or_default().insert(row[sequence].to_owned());
        last.insert((link, at, row[sequence].to_owned()), row[snr].replace(',', ".").parse().expect("a number"));
    }
    let distinct: u64 = receptions.values().map(|sequences| sequences.len() as u64).sum();
    assert_eq!(imported.counts.rejected, 0);
    assert_eq!(imported.counts.stored, distinct);
    assert_eq!(imported.counts.overwritten, rows.len() as u64 - distinct);
    assert_eq!(imported.counts.kept_apart, distinct - receptions.len() as u64);
    let mut expected: Vec<f64> = last.into_values().collect();
    let mut stored: Vec<f64> = imported
        .sink
        .stored
        .iter()
        .filter(|((_, _, metric), _)| metric == "SNR")
        .filter_map(|(_, value)| Value::as_f64(value))
        .collect();
    expected.sort_by(f64::total_cmp);
    stored.sort_by(f64::total_cmp);
    assert_eq!(stored, expected);
}

#[test]
fn campusiot_uplinks_are_told_apart_by_their_counter() {
    let Some(path) = data("campusiot/uplinks.csv") else { return };
    let (names, rows) = csv_rows(&path, b',');
    let column = |name: &str| names.iter().position(|other| other == name).expect("a column");
    let (device, time, counter) = (column("dev_eui"), column("time_utc"), column("fcnt"));
    let instants: HashSet<_> = rows.iter().map(|row| (row[device].to_owned(), row[time].to_owned())).collect();
    let uplinks: HashSet<_> =
        rows.iter().map(|row| (row[device].to_owned(), row[time].to_owned(), row[counter].to_owned())).collect();
    let mut options = options("dev_eui", "time_utc");
    options.metrics = Some(vec!["fcnt".into(), "temperature".into(), "n_gateways".into()]);
    let plain = import(&path, &options, 8 * MIB).expect("a good file");
    assert_eq!(plain.counts.stored, instants.len() as u64);
    assert_eq!(plain.counts.overwritten, (rows.len() - instants.len()) as u64);
    options.sequence_column = Some("fcnt".into());
    let apart = import(&path, &options, MIB).expect("a good file");
    assert_eq!(apart.counts.stored, uplinks.len() as u64);
    assert_eq!(apart.counts.overwritten, (rows.len() - uplinks.len()) as u64);
    assert_eq!(apart.counts.kept_apart, (uplinks.len() - instants.len()) as u64);
    // As the data's own README says.
    assert_eq!((plain.counts.overwritten, apart.counts.overwritten), (14_418, 14_410));
}
