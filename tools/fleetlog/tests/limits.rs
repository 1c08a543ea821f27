//! What the operating system's limits do to the command: one clear line.

mod common;

use std::process::Command;

use common::{Place, bad, good};
use fleetlog::{Options, Store, Timestamp, WriteBatch};

#[test]
fn too_few_descriptors_for_all_segments_are_named() {
    let place = Place::new();
    let store =
        Store::open(&place.store, Options { compact_in_background: false, threads: 1, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    for day in 0..58 {
        batch.reading("a", Timestamp::from_nanoseconds(day * 86_400_000_000_000)).float("x", 1.0);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    assert!(good(&["info", &place.store]).contains("58"));
    // 58 files of segments, RocksDB's own and the three of the process.
    let script = format!("ulimit -n 50; exec {} info {}", env!("CARGO_BIN_EXE_fleetlog"), place.store);
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.lines().count() == 1, "{message}");
    assert!(message.contains("too many files are open") && message.contains(".fls"), "{message}");
    assert!(message.contains("ulimit -n") && message.contains("compact"), "{message}");
}

#[test]
fn rows_are_counted_where_the_answer_itself_has_no_room() {
    let place = Place::new();
    let store = Store::open(&place.store, Options::default()).unwrap();
    let mut batch = WriteBatch::new();
    // 20 devices of 6,000 windows: 120,000 rows of some hundred bytes do not fit five eighths of 16 MiB.
    for device in 0..20 {
        for window in 0..6_000_i64 {
            let at = Timestamp::from_nanoseconds((1_735_689_600 + window * 300) * 1_000_000_000);
            batch.reading(format!("d{device}"), at).float("x", 1.0);
        }
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let asked = ["query", &place.store, "--metric", "x", "--aggregate", "mean", "--every", "5m", "--by", "device"];
    let small = [&asked[..], &["--memory", "16MiB"]].concat();
    let (code, message) = bad(&small);
    assert!(code == 1 && message.contains("limit exceeded"), "{message}");
    assert_eq!(good(&[&small[..], &["--count-only"]].concat()), "rows\n120000\n");
    let filled = ["--count-only", "--fill", "null", "--to", "2025-02-01"];
    assert_eq!(good(&[&small[..], &filled].concat()), format!("rows\n{}\n", 20 * 31 * 288));
}
