//! What a verb holds in memory stays within `--memory` and 64 MiB, whatever the file's order and size.
//!
//! Anonymous memory is read from `/proc` every millisecond while the command runs: a peak that lasts less is not seen. A
//! command of which no reading was taken fails the test.
#![cfg(target_os = "linux")]

mod common;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use common::{Place, command, counts, rows};

const MEMORY_MIB: u64 = 32;
const ALLOWED_MIB: u64 = MEMORY_MIB + 64;
const DEVICES: u64 = 100;
const METRICS: u64 = 8;

/// Runs a verb under the small memory; gives what it wrote, after its peak was compared with what is allowed. A question that
/// was answered before anybody looked is asked again.
fn within(words: &[&str]) -> String {
    let reads = !["import", "compact"].contains(&words[0]);
    for _ in 0..if reads { 50 } else { 1 } {
        let (peak_kib, output) = watched(words);
        if let Some(peak_mib) = peak_kib.map(|kib| kib / 1_024) {
            assert!(peak_mib <= ALLOWED_MIB, "{words:?} held {peak_mib} MiB of {ALLOWED_MIB}");
            return output;
        }
    }
    panic!("{words:?}: no reading was taken");
}

/// Runs a verb under the small memory; gives its peak and what it wrote.
fn watched(words: &[&str]) -> (Option<u64>, String) {
    let memory = format!("{MEMORY_MIB}MiB");
    let mut child = command(words)
        .args(["--memory", &memory, "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak_kib = None;
            while !ended.load(std::sync::atomic::Ordering::Acquire) {
                peak_kib = peak_kib.max(anonymous_kib(&status));
                std::thread::sleep(Duration::from_millis(1));
            }
            peak_kib
        });
        let stderr = child.stderr.take().unwrap();
        let errors = scope.spawn(|| std::io::read_to_string(stderr).unwrap());
        let text = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
        let errors = errors.join().unwrap();
        let done = child.wait().unwrap();
        ended.store(true, std::sync::atomic::Ordering::Release);
        assert!(done.success(), "{words:?}: {errors}");
        (watcher.join().unwrap(), text)
    })
}

/// Anonymous memory of a process; `None` once it has ended.
fn anonymous_kib(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.split_whitespace().next()?.parse().ok()
}

/// Rows of all devices in an order that looks random: a file of so many rows, each once.
fn shuffled(rows_per_device: u64, mut row: impl FnMut(u64, u64)) {
    let rows = DEVICES * rows_per_device;
    // A prime that divides no count of rows here: its multiples visit each place once.
    const STEP: u64 = 7_368_787;
    (0..rows).map(|place| place * STEP % rows).for_each(|place| row(place % DEVICES, place / DEVICES));
}

fn value(device: u64, minute: u64, metric: u64) -> f64 {
    let noise = (device * 7_919 + minute * 104_729 + metric * 1_299_709) % 1_009;
    (device * 100 + metric) as f64 + noise as f64 / 64.0
}

fn csv(rows_per_device: u64) -> String {
    let mut text = String::from("device,time");
    (0..METRICS).for_each(|metric| write!(text, ",m{metric}").unwrap());
    text.push('\n');
    shuffled(rows_per_device, |device, minute| {
        write!(text, "device-{device:03},{}s", 1_735_689_600 + minute * 60).unwrap();
        (0..METRICS).for_each(|metric| write!(text, ",{}", value(device, minute, metric)).unwrap());
        text.push('\n');
    });
    text
}

fn import(place: &Place, file: &str, stored: u64) {
    let words = ["import", "samples", &place.store, file, "--device", "device", "--time", "time"];
    assert_eq!(counts(&within(&words))["stored"], stored, "{file}");
}

#[test]
fn an_unsorted_file_and_every_question_about_it_stay_within_their_memory() {
    const MINUTES: u64 = 16_000;
    let place = Place::new();
    let file = place.file("shuffled.csv", csv(MINUTES));
    import(&place, &file, DEVICES * MINUTES);
    let store = place.store.as_str();
    let query = |words: &[&str]| rows(&within(&[&["query", store, "--metric", "m0,m1,m2,m3"], words].concat()));
    let whole = query(&["--aggregate", "count,mean,p95,stddev"]);
    assert_eq!(whole[0]["m0_count"], (DEVICES * MINUTES).to_string());
    let daily = query(&["--aggregate", "mean,p95,first,last,slope", "--every", "1h", "--by", "device"]);
    assert_eq!(daily.len() as u64, DEVICES * MINUTES.div_ceil(60));
    let trend = rows(&within(&["trend", store, "--metric", "m0", "--every", "1h", "--by", "device"]));
    assert_eq!(trend.len() as u64, DEVICES);
    let samples = within(&["samples", store, "--device", "device-007"]);
    assert_eq!(samples.lines().count() as u64, MINUTES + 1);
    assert_eq!(rows(&within(&["latest", store])).len() as u64, DEVICES * METRICS);
    let gaps = rows(&within(&["gaps", store, "--longer-than", "1m"]));
    assert!(gaps.len() as u64 == DEVICES && gaps.iter().all(|row| row["count"] == "0"), "{gaps:?}");
    let outliers = rows(&within(&["outliers", store, "--metric", "m5", "--sigma", "3"]));
    assert!(outliers.len() as u64 == DEVICES && outliers.iter().all(|row| row["n"] == MINUTES.to_string()));
    assert!(within(&["device", store, "device-007"]).contains(&format!("summary,samples,,{MINUTES},")));
    within(&["dump", store]);
    within(&["compact", store, "--cold"]);
    assert_eq!(query(&["--aggregate", "count"])[0]["m0_count"], (DEVICES * MINUTES).to_string());
}

#[test]
fn packed_files_json_lines_events_and_devices_stay_within_their_memory() {
    const MINUTES: u64 = 1_500;
    const EVENTS: u64 = 200;
    let place = Place::new();
    let path = place.folder.path().join("shuffled.csv.gz");
    let mut packed = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    packed.write_all(csv(MINUTES).as_bytes()).unwrap();
    packed.finish().unwrap();
    import(&place, path.to_str().unwrap(), DEVICES * MINUTES);
    let mut lines = String::new();
    shuffled(MINUTES, |device, minute| {
        let time = 1_745_689_600 + minute * 60;
        let (a, b) = (value(device, minute, 0), value(device, minute, 1));
        writeln!(
            lines,
            "{{\"device\":\"device-{device:03}\",\"time\":\"{time}s\",\"m0\":{a},\"nested\":{{\"b\":{b}}}}}"
        )
        .unwrap();
    });
    import(&place, &place.file("shuffled.jsonl", lines), DEVICES * MINUTES);
    let store = place.store.as_str();
    let mut events = String::from("device,time,kind,code\n");
    shuffled(EVENTS, |device, minute| {
        writeln!(events, "device-{device:03},{}s,error,E{}", 1_735_689_600 + minute * 60, minute % 7).unwrap();
    });
    let events = place.file("events.csv", events);
    let words = ["import", "events", store, &events, "--device", "device", "--time", "time"];
    let words = [&words[..], &["--kind-column", "kind", "--label", "code"]].concat();
    assert_eq!(counts(&within(&words))["stored"], DEVICES * EVENTS);
    assert_eq!(within(&["events", store]).lines().count() as u64, DEVICES * EVENTS + 1);
    let mut devices = String::from("device,region,site\n");
    (0..10_000).for_each(|device| writeln!(devices, "device-{device:03},r{},s{device}", device % 7).unwrap());
    let devices = place.file("devices.csv", devices);
    assert_eq!(counts(&within(&["import", "devices", store, &devices, "--device", "device"]))["stored"], 10_000);
}

/// Each device reports each hour of so many months, with so many metrics: every month has a segment that is open until the last device.
fn import_of_open_months(months: u64, metrics: u64) {
    const HOURS_PER_MONTH: u64 = 730;
    const FEW_DEVICES: u64 = 12;
    let mut text = String::from("device,time");
    (0..metrics).for_each(|metric| write!(text, ",m{metric}").unwrap());
    text.push('\n');
    for device in 0..FEW_DEVICES {
        for hour in 0..months * HOURS_PER_MONTH {
            write!(text, "device-{device:03},{}s", 1_577_836_800 + hour * 3_600).unwrap();
            (0..metrics).for_each(|metric| write!(text, ",{}", (device + hour + metric) % 10).unwrap());
            text.push('\n');
        }
    }
    let place = Place::new();
    let file = place.file("hourly.csv", text);
    let stored = FEW_DEVICES * months * HOURS_PER_MONTH;
    import(&place, &file, stored);
    let count = rows(&within(&["query", &place.store, "--metric", "m0", "--aggregate", "count,mean", "--every", "1h"]));
    assert_eq!(count.len() as u64, months * HOURS_PER_MONTH);
    for (hour, row) in count.iter().enumerate() {
        let sum: u64 = (0..FEW_DEVICES).map(|device| (device + hour as u64) % 10).sum();
        let mean: f64 = row["m0_mean"].parse().unwrap();
        assert!(row["m0_count"] == "12" && (mean - sum as f64 / 12.0).abs() < 1e-9, "hour {hour}: {row:?}");
    }
}

#[test]
fn five_years_of_hours_stay_within_the_memory_of_an_import() {
    import_of_open_months(60, 8);
}

#[test]
fn a_year_of_many_metrics_stays_within_the_memory_of_an_import() {
    import_of_open_months(12, 32);
}
