//! Pages of segments in memory: bounded over all segments, without a trace in the answers.

use super::*;
use crate::time::{DAY_NS, TimeRange, Timestamp};

const DAYS: i64 = 40;
const DEVICES: u32 = 120;

fn options(memory_bytes: usize) -> Options {
    Options { memory_bytes, compact_in_background: false, threads: 2, ..Options::default() }
}

/// A store of one segment for each day.
fn fill(path: &Path) {
    let store = Store::open(path, options(64 << 20)).unwrap();
    for day in 0..DAYS {
        let mut batch = WriteBatch::new();
        for device in 0..DEVICES {
            for hour in 0..3 {
                let at = Timestamp::from_nanoseconds(day * DAY_NS + hour * crate::time::HOUR_NS);
                let value = f64::from(device) + day as f64;
                batch.reading(format!("d{device}"), at).float("x", value).float("y", -value);
            }
        }
        store.write(batch).unwrap();
        store.seal().unwrap();
    }
    assert_eq!(store.snapshot().unwrap().segments().len() as i64, DAYS);
    store.close().unwrap();
}

/// Every statistic and rollup of all segments, as text, asked for in an order that jumps between segments.
fn everything(store: &Store, look: &mut dyn FnMut()) -> String {
    let snapshot = store.snapshot().unwrap();
    let mut text = String::new();
    for name in ["x", "y"] {
        let metric = snapshot.catalog().metric(name).unwrap().handle;
        for device in snapshot.catalog().devices().step_by(7) {
            for segment in snapshot.segments() {
                let segment = segment.segment().unwrap();
                for slice in segment.slices(device.handle).unwrap() {
                    text += &format!("{:?}", segment.statistics(slice.place, metric).unwrap().unwrap());
                    text += &format!("{:?}", segment.rollup(slice.place, metric).unwrap());
                }
                look();
            }
        }
    }
    text
}

#[test]
fn many_segments_share_one_budget_and_answer_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let large = Store::open_read_only(folder.path(), options(256 << 20)).unwrap();
    let whole = everything(&large, &mut || {});
    // What all pages take, in a cache that holds them all: more than twice the small budget below.
    let all_bytes = large.core().pages.bytes();
    let small_budget = 8 << 17;
    assert!(all_bytes > 2 * small_budget / 8, "{all_bytes} bytes of pages");
    let small = Store::open_read_only(folder.path(), options(small_budget)).unwrap();
    let mut peak = 0;
    let text = everything(&small, &mut || peak = peak.max(small.core().pages.bytes()));
    assert!(text == whole);
    assert!(peak > 0 && peak <= small_budget / 8, "{peak} bytes of pages");
}

#[test]
fn pages_of_segments_that_went_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let store = Store::open(folder.path(), options(256 << 20)).unwrap();
    let pinned = store.snapshot().unwrap();
    everything(&store, &mut || {});
    let before = store.core().pages.bytes();
    store.compact(true, None).unwrap();
    // The snapshot still shows the old segments, and may have their pages.
    let device = pinned.catalog().device("d0").unwrap();
    assert_eq!(pinned.rows(device, TimeRange::ALL, None).unwrap().len() as i64, DAYS * 3);
    drop(pinned);
    let after = store.core().pages.bytes();
    assert!(after * 4 < before, "{after} of {before} bytes are left, of segments that nobody can ask for");
}
