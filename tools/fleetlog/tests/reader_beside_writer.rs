//! A writer writes, seals and compacts while other processes ask: each answer is that of one moment.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::{Place, good, rows, run};
use fleetlog::{EventKind, Options, Store, Timestamp, WriteBatch};

const DEVICES: i64 = 5;
const FIRST_BATCHES: i64 = 50;
/// Batches between two seals, and between two compactions.
const SEAL_EVERY: i64 = 20;
const COMPACT_EVERY: i64 = 90;
/// The writer is at most so many batches ahead of each round of questions: where reading is slow, it would else give each round more
/// to read than the one before.
const BATCHES_A_ROUND: i64 = 150;
/// The reader asks at least so often, and until the writer has sealed and compacted so often meanwhile.
const ROUNDS_MIN: i64 = 12;
const SEALS_MIN: i64 = 12;
const COMPACTIONS_MIN: i64 = 4;
const REGION_EVERY: i64 = 40;

/// Every batch gives each device one row and one event more: at any moment all of them have the same number.
fn write(store: &Store, batch: i64) {
    let mut write = WriteBatch::new();
    for device in 0..DEVICES {
        let at = Timestamp::from_nanoseconds((1_735_689_600 + batch * 3_600) * 1_000_000_000 + device);
        let id = format!("d{device}");
        write.reading(&id, at).float("x", batch as f64).integer("n", batch);
        write.event(&id, at, EventKind::Stage, [("stage", format!("s{batch}"))]);
    }
    if batch % REGION_EVERY == 0 {
        write.attribute("d0", "region", format!("r{}", batch % 3)).from(Timestamp::from_nanoseconds(batch));
    }
    store.write(write).unwrap();
}

/// Ends the writer, also when an assertion fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn each_answer_is_that_of_one_moment() {
    let place = Place::new();
    let store = Store::open(&place.store, Options { memory_bytes: 16 << 20, ..Options::default() }).unwrap();
    (0..FIRST_BATCHES).for_each(|batch| write(&store, batch));
    let ended = AtomicBool::new(false);
    let batches = AtomicI64::new(FIRST_BATCHES);
    let rounds = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut batch = FIRST_BATCHES;
            while !ended.load(Ordering::Acquire) {
                if batch >= FIRST_BATCHES + (rounds.load(Ordering::Acquire) + 1) * BATCHES_A_ROUND {
                    std::thread::yield_now();
                    continue;
                }
                write(&store, batch);
                if batch % SEAL_EVERY == 0 {
                    store.seal().unwrap();
                }
                if batch % COMPACT_EVERY == 0 {
                    store.compact(batch % (2 * COMPACT_EVERY) == 0, None).unwrap();
                }
                batch += 1;
                batches.store(batch, Ordering::Release);
            }
            batch
        });
        let end = End(&ended);
        let mut before = 0;
        let is_enough = || {
            let written = batches.load(Ordering::Acquire) - FIRST_BATCHES;
            written >= (SEALS_MIN * SEAL_EVERY).max(COMPACTIONS_MIN * COMPACT_EVERY)
        };
        while rounds.load(Ordering::Acquire) < ROUNDS_MIN || !(is_enough() || writer.is_finished()) {
            // What was written before the question is in the answer.
            let written = batches.load(Ordering::Acquire);
            before = read(&place, before.max(written));
            rounds.fetch_add(1, Ordering::Release);
        }
        drop(end);
        let written = writer.join().unwrap();
        assert!(before <= written, "{before} rows of {written}");
    });
}

/// Asks every reading verb once; gives the number of rows that each device had in the last answer. None says fewer than the
/// answer before it.
fn read(place: &Place, before: i64) -> i64 {
    let store = place.store.as_str();
    let whole = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("'{text}' is no number"));
    let counted = rows(&good(&["query", store, "--metric", "x,n", "--aggregate", "count,sum", "--by", "device"]));
    assert_eq!(counted.len() as i64, DEVICES);
    let mut count = whole(&counted[0]["x_count"]);
    assert!(count >= before, "{count} rows after {before}: time does not go back");
    for row in &counted {
        assert_eq!(whole(&row["x_count"]), count, "{counted:?}");
        assert_eq!(whole(&row["n_count"]), count, "{counted:?}");
        assert_eq!(whole(&row["n_sum"]), count * (count - 1) / 2, "{counted:?}");
    }
    let mut later = |now: i64, what: &str| {
        assert!(now >= count, "{what}: {now} rows after {count}");
        count = now;
    };
    let latest = rows(&good(&["latest", store, "--metric", "n"]));
    assert_eq!(latest.len() as i64, DEVICES);
    assert!(latest.iter().all(|row| row["value"] == latest[0]["value"]), "{latest:?}");
    later(whole(&latest[0]["value"]) + 1, "latest");
    let samples = rows(&good(&["samples", store, "--device", "d3", "--metric", "n,x"]));
    for (place, row) in samples.iter().enumerate() {
        assert!(row["n"] == place.to_string() && row["x"] == row["n"], "row {place} is {row:?}");
    }
    later(samples.len() as i64, "samples");
    let info: serde_json::Value = serde_json::from_str(&good(&["info", store, "--format", "json"])).unwrap();
    let samples = info["samples"].as_i64().unwrap();
    assert_eq!(samples % DEVICES, 0, "{info}");
    assert_eq!(info["values"].as_i64().unwrap(), samples * 2, "{info}");
    assert_eq!(info["events"].as_i64().unwrap(), samples, "{info}");
    later(samples / DEVICES, "info");
    let gaps = rows(&good(&["gaps", store, "--longer-than", "2h"]));
    assert_eq!(gaps.len() as i64, DEVICES);
    assert!(gaps.iter().all(|row| row["count"] == "0"), "{gaps:?}");
    let trend = rows(&good(&["trend", store, "--metric", "x", "--every", "1h", "--by", "device"]));
    assert_eq!(trend.len() as i64, DEVICES);
    for row in &trend {
        assert_eq!(row["n"], trend[0]["n"], "{trend:?}");
        let slope: f64 = row["slope_per_day"].parse().unwrap();
        assert!((slope - 24.0).abs() < 1e-6, "{trend:?}");
    }
    later(whole(&trend[0]["n"]), "trend");
    let outliers = rows(&good(&["outliers", store, "--metric", "x", "--sigma", "3"]));
    assert_eq!(outliers.len() as i64, DEVICES);
    assert!(outliers.iter().all(|row| row["n"] == outliers[0]["n"] && row["count"] == "0"), "{outliers:?}");
    later(whole(&outliers[0]["n"]), "outliers");
    later(read_events_and_page(store), "the page of a device");
    // A dump goes file by file beside the writer: it may meet files that go, never damage.
    let dumped = run(&["dump", store]);
    let text = String::from_utf8_lossy(&dumped.stdout);
    assert!(dumped.status.success() && text.starts_with("manifest") && !text.contains("DAMAGE"), "{text}");
    count
}

/// Events, one device's page and the history of an attribute; gives the rows that the page says.
fn read_events_and_page(store: &str) -> i64 {
    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    for row in rows(&good(&["events", store, "--kind", "stage"])) {
        let next = told.entry(row["device"].clone()).or_default();
        assert_eq!(row["labels"], format!("{{\"stage\":\"s{next}\"}}"), "event {next} of {}", row["device"]);
        *next += 1;
    }
    assert_eq!(told.len() as i64, DEVICES);
    let events = told["d0"];
    assert!(told.values().all(|count| *count == events), "{told:?}");
    let page = good(&["device", store, "d0"]);
    let said =
        |start: &str| page.lines().find_map(|line| line.strip_prefix(start)?.split(',').next()).unwrap().to_owned();
    let samples: i64 = said("summary,samples,,").parse().unwrap();
    assert!(samples >= events, "{samples} rows after {events} events");
    assert_eq!(page.lines().filter(|line| line.starts_with("event,stage,")).count() as i64, samples, "{page}");
    let latest = page.lines().find(|line| line.starts_with("latest,n,")).unwrap();
    assert!(latest.contains(&format!(",{},", samples - 1)), "{latest} of {samples} rows");
    let history = rows(&good(&["attribute", "show", store, "--device", "d0"]));
    let regions: Vec<&str> =
        history.iter().filter(|row| row["attribute"] == "region").map(|row| row["value"].as_str()).collect();
    assert!(regions.len() as i64 > (samples - 1) / REGION_EVERY, "{regions:?} at {samples} rows");
    for (place, region) in regions.iter().enumerate() {
        assert_eq!(*region, format!("r{}", place as i64 * REGION_EVERY % 3), "{history:?}");
    }
    samples
}
