//! A writer writes, seals and compacts while other processes ask: each answer is that of one moment.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Place, good, rows, run};
use fleetlog::{Options, Store, Timestamp, WriteBatch};

const DEVICES: i64 = 5;
const ROUNDS: usize = 6;

/// Every batch gives each device one row more: at any moment all of them have the same number.
fn write(store: &Store, batch: i64) {
    let mut write = WriteBatch::new();
    for device in 0..DEVICES {
        let at = Timestamp::from_nanoseconds((1_735_689_600 + batch * 3_600) * 1_000_000_000 + device);
        write.reading(format!("d{device}"), at).float("x", batch as f64).integer("n", batch);
    }
    if batch % 40 == 0 {
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
    (0..50).for_each(|batch| write(&store, batch));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut batch = 50;
            while !ended.load(Ordering::Acquire) {
                write(&store, batch);
                if batch % 20 == 0 {
                    store.seal().unwrap();
                }
                if batch % 90 == 0 {
                    store.compact(batch % 180 == 0, None).unwrap();
                }
                batch += 1;
            }
            batch
        });
        let end = End(&ended);
        let mut before = 0;
        for _ in 0..ROUNDS {
            before = read(&place, before);
        }
        drop(end);
        let written = writer.join().unwrap();
        assert!(before <= written && written > 50);
    });
}

/// Asks every reading verb once; gives the number of rows that each device had.
fn read(place: &Place, before: i64) -> i64 {
    let store = place.store.as_str();
    let counted = rows(&good(&["query", store, "--metric", "x,n", "--aggregate", "count,sum", "--by", "device"]));
    let count: i64 = counted[0]["x_count"].parse().unwrap();
    assert_eq!(counted.len() as i64, DEVICES);
    for row in &counted {
        assert_eq!(row["x_count"], count.to_string(), "{counted:?}");
        assert_eq!(row["n_sum"], (count * (count - 1) / 2).to_string(), "{counted:?}");
    }
    assert!(count >= before, "time does not go back");
    let latest = rows(&good(&["latest", store, "--metric", "n"]));
    assert!(latest.iter().all(|row| row["value"] == latest[0]["value"]), "{latest:?}");
    let samples = rows(&good(&["samples", store, "--device", "d3", "--metric", "n"]));
    assert!(samples.iter().enumerate().all(|(place, row)| row["n"] == place.to_string()), "rows without a gap");
    let info: serde_json::Value = serde_json::from_str(&good(&["info", store, "--format", "json"])).unwrap();
    assert_eq!(info["samples"].as_i64().unwrap() % DEVICES, 0, "{info}");
    assert_eq!(info["values"].as_i64().unwrap(), info["samples"].as_i64().unwrap() * 2, "{info}");
    let gaps = rows(&good(&["gaps", store, "--longer-than", "2h"]));
    assert!(gaps.iter().all(|row| row["count"] == "0"), "{gaps:?}");
    let trend = rows(&good(&["trend", store, "--metric", "x", "--every", "1h", "--by", "device"]));
    assert!(
        trend.iter().all(|row| row["n"] == trend[0]["n"] && row["slope_per_day"].starts_with("24")
            || row["slope_per_day"].starts_with("23.99")),
        "{trend:?}"
    );
    let outliers = rows(&good(&["outliers", store, "--metric", "x", "--sigma", "3"]));
    assert!(outliers.iter().all(|row| row["n"] == outliers[0]["n"] && row["count"] == "0"));
    good(&["events", store]);
    assert!(good(&["device", store, "d0"]).contains("summary,samples"));
    assert!(good(&["attribute", "show", store, "--device", "d0"]).contains("region,r"));
    // A dump goes file by file beside the writer: it may meet files that go, never damage.
    let dumped = run(&["dump", store]);
    assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stdout));
    count
}
