//! What the operating system's limits do to the command: one clear line.

mod common;

use std::process::Command;

use common::{Place, good};
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
