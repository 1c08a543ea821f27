//! Telemetry that nobody here wrote, through the command; every count, mean and extreme beside the same computed from the
//! CSV files by the `csv` crate alone: distinct device, time and metric, later rows win.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{Place, counts, data, good, rows};

/// What a file says, by the plainest reading: of the rows of one device, time and sequence the later one wins, value by value.
#[derive(Default)]
struct Oracle {
    /// (device, time, sequence) -> metric -> field.
    samples: BTreeMap<(String, String, String), BTreeMap<String, String>>,
    rows: u64,
}

struct Columns<'a> {
    device: &'a [&'a str],
    time: &'a str,
    sequence: Option<&'a str>,
    delimiter: u8,
}

impl Oracle {
    fn read(&mut self, path: &Path, columns: &Columns<'_>, device_id: Option<&str>) {
        let mut reader = csv::ReaderBuilder::new().delimiter(columns.delimiter).from_path(path).unwrap();
        for row in reader.deserialize::<BTreeMap<String, String>>() {
            let mut row = row.unwrap();
            self.rows += 1;
            let sequence = columns.sequence.map(|name| row[name].clone()).unwrap_or_default();
            let mut parts = columns.device.iter().map(|name| row.remove(*name).unwrap());
            let device = device_id.map_or_else(|| parts.by_ref().collect::<Vec<_>>().join("@"), str::to_owned);
            let time = row.remove(columns.time).unwrap();
            row.retain(|_, value| !value.is_empty());
            if !row.is_empty() {
                self.samples.entry((device, time, sequence)).or_default().append(&mut row);
            }
        }
    }

    /// Rows beyond the first at one device and time that another sequence keeps apart.
    fn kept_apart(&self) -> u64 {
        let instants: BTreeSet<_> = self.samples.keys().map(|(device, time, _)| (device, time)).collect();
        (self.samples.len() - instants.len()) as u64
    }

    fn devices(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|(device, ..)| device.as_str()).collect()
    }

    fn values(&self, device: &str, metric: &str, decimal: char) -> Vec<f64> {
        let samples = self.samples.iter().filter(|((of, ..), _)| of == device);
        let fields = samples.filter_map(|(_, fields)| fields.get(metric));
        fields.map(|field| field.replace(decimal, ".").parse().unwrap()).collect()
    }

    /// How many samples of a metric the links have that share their device (`end` 0) or their gateway (1).
    fn counts_by_end(&self, metric: &str, end: usize) -> BTreeMap<String, String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for ((link, ..), fields) in &self.samples {
            let (device, gateway) = link.split_once('@').unwrap();
            *counts.entry([device, gateway][end].to_owned()).or_default() += u64::from(fields.contains_key(metric));
        }
        counts.into_iter().filter(|(_, count)| *count > 0).map(|(end, count)| (end, count.to_string())).collect()
    }

    /// The counts that an import prints.
    fn check_counts(&self, printed: &str, overwritten: u64) {
        let printed = counts(printed);
        assert_eq!(printed["rows_read"], self.rows);
        assert_eq!(printed["stored"], self.samples.len() as u64);
        assert_eq!(printed["overwritten"], self.rows - self.samples.len() as u64);
        assert_eq!(printed["overwritten"], overwritten, "as the files are known to hold");
        assert_eq!(printed["kept_apart"], self.kept_apart());
        assert_eq!(printed["rejected"], 0);
    }

    /// Count, mean, minimum and maximum of each metric and device, as `query` answers them.
    fn check_query(&self, store: &str, metrics: &[&str], decimal: char) {
        let names = metrics.join(",");
        let words = ["query", store, "--metric", &names, "--aggregate", "count,mean,min,max", "--by", "device"];
        let answered = rows(&good(&words));
        let answered: BTreeMap<&str, _> = answered.iter().map(|row| (row["device"].as_str(), row)).collect();
        let mut compared = 0;
        for device in self.devices() {
            for metric in metrics {
                let values = self.values(device, metric, decimal);
                let said =
                    |aggregate: &str| answered.get(device).map_or("", |row| &row[&format!("{metric}_{aggregate}")]);
                if values.is_empty() {
                    assert!(["", "0"].contains(&said("count")), "{device} {metric}");
                    continue;
                }
                assert_eq!(said("count"), values.len().to_string(), "{device} {metric}");
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
                let near = (said("mean").parse::<f64>().unwrap() - mean).abs() <= 1e-12 * scale;
                assert!(near, "{device} {metric}: {} is not {mean}", said("mean"));
                let extreme = |pick: fn(f64, f64) -> f64| values.iter().copied().reduce(pick).unwrap();
                assert_eq!(said("min").parse::<f64>().unwrap(), extreme(f64::min), "{device} {metric}");
                assert_eq!(said("max").parse::<f64>().unwrap(), extreme(f64::max), "{device} {metric}");
                compared += 1;
            }
        }
        assert!(compared >= self.devices().len().min(2), "something was compared");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const AZURE_TIME: &str = "%Y-%m-%d %H:%M:%S";

#[test]
fn azure_pdm_telemetry() {
    let Some(folder) = data("azure-pdm") else { return };
    let file = folder.join("PdM_telemetry_machines1-20_first90days.csv");
    let place = Place::new();
    let mut oracle = Oracle::default();
    oracle.read(&file, &Columns { device: &["machineID"], time: "datetime", sequence: None, delimiter: b',' }, None);
    let words = ["import", "samples", &place.store, text(&file), "--device", "machineID", "--time", "datetime"];
    let words = [&words[..], &["--time-format", AZURE_TIME, "--quiet"]].concat();
    oracle.check_counts(&good(&words), 0);
    let metrics = ["volt", "rotate", "pressure", "vibration"];
    oracle.check_query(&place.store, &metrics, '.');
    good(&["compact", &place.store, "--quiet"]);
    oracle.check_query(&place.store, &metrics, '.');

    let again = counts(&good(&words));
    assert_eq!((again["stored"], again["overwritten"]), (0, 43_200), "the same file again stores nothing new");
    oracle.check_query(&place.store, &metrics, '.');
    by_model(&place, &folder, &oracle);
}

/// Means by an attribute, whose values come from another file.
fn by_model(place: &Place, folder: &Path, oracle: &Oracle) {
    let machines = folder.join("PdM_machines.csv");
    let printed = counts(&good(&["import", "devices", &place.store, text(&machines), "--device", "machineID"]));
    assert_eq!((printed["rows_read"], printed["rejected"]), (100, 0));
    let mut models: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in csv::Reader::from_path(&machines).unwrap().deserialize::<(String, String, u32)>() {
        let (machine, model, _) = row.unwrap();
        models.entry(model).or_default().extend(oracle.values(&machine, "volt", '.'));
    }
    let answered =
        rows(&good(&["query", &place.store, "--metric", "volt", "--aggregate", "count,mean", "--by", "model"]));
    assert_eq!(answered.len(), models.values().filter(|values| !values.is_empty()).count());
    for row in answered {
        let values = &models[&row["model"]];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert_eq!(row["volt_count"], values.len().to_string());
        assert!((row["volt_mean"].parse::<f64>().unwrap() - mean).abs() < 1e-9, "{row:?} is not {mean}");
    }
}

/// (file, its label column, kind): an event is (device, time, kind, labels), so of equal ones there is one.
const AZURE_EVENTS: [(&str, &str, &str); 3] = [
    ("PdM_errors.csv", "errorID", "error"),
    ("PdM_failures.csv", "failure", "failure"),
    ("PdM_maint.csv", "comp", "maintenance"),
];

#[test]
fn azure_pdm_events() {
    let Some(folder) = data("azure-pdm") else { return };
    let place = Place::new();
    for (name, label, kind) in AZURE_EVENTS {
        let file = folder.join(name);
        let label_as = format!("{label}=what");
        let words = ["import", "events", &place.store, text(&file), "--device", "machineID", "--time", "datetime"];
        let words =
            [&words[..], &["--time-format", AZURE_TIME, "--kind", kind, "--label", &label_as, "--quiet"]].concat();
        let mut distinct = BTreeSet::new();
        let mut read = 0;
        for row in csv::Reader::from_path(&file).unwrap().deserialize::<(String, String, String)>() {
            let (time, machine, what) = row.unwrap();
            distinct.insert((machine, time.replace(' ', "T"), what));
            read += 1;
        }
        for round in 0..2 {
            let printed = counts(&good(&words));
            assert_eq!((printed["rows_read"], printed["rejected"]), (read, 0), "{name}, round {round}");
            let listed = rows(&good(&["events", &place.store, "--kind", kind]));
            assert_eq!(listed.len(), distinct.len(), "{name}, round {round}");
            for row in listed {
                let time = row["time"].trim_end_matches('Z').to_owned();
                let labels: BTreeMap<String, String> = serde_json::from_str(&row["labels"]).unwrap();
                let what = labels["what"].clone();
                assert!(distinct.contains(&(row["device"].clone(), time, what)), "{row:?} is not in {name}");
            }
        }
    }
    // At 42 instants two components of one machine failed together: both stay.
    let failures = rows(&good(&["events", &place.store, "--kind", "failure"]));
    let instants: BTreeSet<_> = failures.iter().map(|row| (&row["device"], &row["time"])).collect();
    assert_eq!((failures.len(), failures.len() - instants.len()), (761, 42));
}

#[test]
fn nab_series_named_by_their_files() {
    let Some(folder) = data("nab/data") else { return };
    let place = Place::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .flat_map(|group| std::fs::read_dir(group.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 58);
    let mut oracle = Oracle::default();
    let columns = Columns { device: &[], time: "timestamp", sequence: None, delimiter: b',' };
    for file in &files {
        oracle.read(file, &columns, file.file_stem().unwrap().to_str());
    }
    let mut words = vec!["import", "samples", &place.store];
    words.extend(files.iter().map(|file| text(file)));
    words.extend(["--device-from-file-name", "--time", "timestamp", "--time-format", AZURE_TIME, "--quiet"]);
    let printed: Vec<_> = rows(&good(&words));
    let sum = |name: &str| printed.iter().map(|row| row[name].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!((sum("rows_read"), sum("rejected"), oracle.rows), (365_558, 0, 365_558));
    assert_eq!(sum("stored"), oracle.samples.len() as u64);
    assert_eq!(sum("overwritten"), oracle.rows - oracle.samples.len() as u64);
    oracle.check_query(&place.store, &["value"], '.');
}

#[test]
fn campusiot_uplinks_and_receptions() {
    let Some(folder) = data("campusiot") else { return };
    let place = Place::new();
    let uplinks = folder.join("uplinks.csv");
    let mut oracle = Oracle::default();
    let columns = Columns { device: &["dev_eui"], time: "time_utc", sequence: Some("fcnt"), delimiter: b',' };
    oracle.read(&uplinks, &columns, None);
    let words = ["import", "samples", &place.store, text(&uplinks), "--device", "dev_eui", "--time", "time_utc"];
    // 14,418 uplinks share device and time; of them 14,410 also the frame counter: those really were recorded twice.
    oracle.check_counts(&good(&[&words[..], &["--sequence", "fcnt", "--quiet"]].concat()), 14_410);
    assert_eq!(oracle.kept_apart(), 8);
    oracle.check_query(&place.store, &["temperature", "humidity", "vdd_mv", "payload_size", "n_gateways"], '.');

    let joined = join(&uplinks, &folder.join("receptions.csv"), &place);
    let mut links = Oracle::default();
    let columns = Columns { device: &["dev_eui", "gateway_id"], ..columns };
    links.read(Path::new(&joined), &columns, None);
    assert_eq!(links.rows, 188_109, "every reception has its uplink");
    let place = Place::new();
    let words = ["import", "samples", &place.store, &joined, "--device", "dev_eui", "--link-to", "gateway_id"];
    let words = [&words[..], &["--time", "time_utc", "--sequence", "fcnt", "--quiet"]].concat();
    links.check_counts(&good(&words), links.rows - links.samples.len() as u64);
    links.check_query(&place.store, &["rssi_dbm", "snr_db", "esp_dbm", "distance_m"], '.');
    let listed = rows(&good(&["latest", &place.store, "--metric", "rssi_dbm"]));
    let listed: BTreeSet<&str> = listed.iter().map(|row| row["device"].as_str()).collect();
    assert_eq!(listed, links.devices(), "each link is a device of its own");
    // Where the radio is bad: the receptions of each gateway, and of each device.
    for (attribute, end) in [("gateway", 1), ("link_device", 0)] {
        let words = ["query", &place.store, "--metric", "rssi_dbm", "--aggregate", "count", "--by", attribute];
        let found: BTreeMap<String, String> = rows(&good(&words))
            .into_iter()
            .map(|row| (row[attribute].clone(), row["rssi_dbm_count"].clone()))
            .collect();
        assert_eq!(found, links.counts_by_end("rssi_dbm", end), "{attribute}");
    }
}

/// Receptions with the device, time and frame counter of their uplinks.
fn join(uplinks: &Path, receptions: &Path, place: &Place) -> String {
    let mut by_id: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for row in csv::Reader::from_path(uplinks).unwrap().deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        by_id.insert(row["uplink_id"].clone(), ["dev_eui", "time_utc", "fcnt"].map(|name| row[name].clone()));
    }
    let mut reader = csv::Reader::from_path(receptions).unwrap();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = ["dev_eui", "time_utc", "fcnt"].into_iter();
    writer.write_record(names.chain(reader.headers().unwrap())).unwrap();
    for row in reader.records() {
        let row = row.unwrap();
        writer.write_record(by_id[&row[0]].iter().map(String::as_str).chain(&row)).unwrap();
    }
    place.file("joined.csv", writer.into_inner().unwrap())
}

#[test]
fn campusiot_gateway_log_with_semicolons_and_decimal_commas() {
    let Some(folder) = data("campusiot") else { return };
    let file = folder.join("refugegouter_d1d1e80000000033.csv");
    let place = Place::new();
    let device = ["DevEUI", "Gateway"];
    let mut oracle = Oracle::default();
    oracle.read(
        &file,
        &Columns { device: &device, time: "Date Time", sequence: Some("Sequence"), delimiter: b';' },
        None,
    );
    let words = ["import", "samples", &place.store, text(&file), "--device", "DevEUI", "--link-to", "Gateway"];
    let words =
        [&words[..], &["--time", "Date Time", "--time-format", "%d/%m/%Y %H:%M", "--sequence", "Sequence"]].concat();
    let printed = good(&[&words[..], &["--delimiter", ";", "--decimal", ",", "--quiet"]].concat());
    oracle.check_counts(&printed, oracle.rows - oracle.samples.len() as u64);
    oracle.check_query(&place.store, &["RSSI", "SNR", "SF"], ',');
}

#[test]
fn the_folder_of_real_data_is_named_from_the_checkouts_root() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (named, expected) in [
        (None, root.join("../shared/data")),
        (Some(""), root.join("../shared/data")),
        (Some("data"), root.join("data")),
        (Some("/srv/data"), "/srv/data".into()),
    ] {
        assert_eq!(common::data_folder(named.map(Into::into)), expected);
    }
}
