//! What a dump shows, also beside a writer and past damage.

use super::*;
use crate::format::HEADER_BYTES;
use crate::kv::{Family, Kv, KvBatch, KvOptions};
use crate::model::WriteBatch;
use crate::store::Store;
use crate::time::Timestamp;

fn sample_store(path: &Path) -> Store {
    let store =
        Store::open(path, Options { create: true, compact_in_background: false, ..Options::default() }).unwrap();
    let mut batch = WriteBatch::new();
    for minute in 0..6 {
        let at = Timestamp::parse("2025-06-15T08:00:00Z").unwrap().nanoseconds() + minute * crate::time::MINUTE_NS;
        let reading = batch.reading("pump-17", Timestamp::from_nanoseconds(at)).float("power_w", 41.5 + minute as f64);
        if minute == 3 {
            reading.text("state", "on");
        }
    }
    batch.unit("power_w", "W");
    batch.attribute("pump-17", "region", "north");
    store.write(batch).unwrap();
    store.seal().unwrap();
    store
}

fn text(path: &Path, request: &DumpRequest) -> (String, u64) {
    let mut out = Vec::new();
    let damage = dump(path, request, Options::default(), &mut out).unwrap();
    (String::from_utf8(out).unwrap(), damage)
}

#[test]
fn an_overview_shows_manifest_catalogue_index_and_segments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    let _writer = sample_store(&path);
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert_eq!(damage, 0);
    insta::assert_snapshot!(shown);
}

#[test]
fn a_segment_shows_its_blocks_their_values_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    let _writer = sample_store(&path);
    let request = DumpRequest { segment: Some(SegmentId(1)), values: true, hex: true, ..DumpRequest::default() };
    insta::assert_snapshot!(text(&path, &request).0);
    let block: BlockId = "1.0.time".parse().unwrap();
    let (shown, _) = text(&path, &DumpRequest { block: Some(block), values: true, ..DumpRequest::default() });
    assert_eq!(shown.lines().count(), 7, "{shown}");
    for (request, names) in [
        (DumpRequest { segment: Some(SegmentId(99)), ..DumpRequest::default() }, "segment 99"),
        (DumpRequest { block: "1.9.time".parse().ok(), ..DumpRequest::default() }, "block 1.9.time"),
    ] {
        let error = dump(&path, &request, Options::default(), &mut Vec::new()).unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains(names), "{error}");
    }
    assert!("1.2".parse::<BlockId>().is_err() && "a.b.c".parse::<BlockId>().is_err());
}

#[test]
fn damage_is_named_and_the_rest_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    sample_store(&path).close().unwrap();
    let file = path.join("segments").join(crate::segment::file_name(SegmentId(1)));
    let whole = std::fs::read(&file).unwrap();
    let request = DumpRequest { segment: Some(SegmentId(1)), values: true, ..DumpRequest::default() };
    // A byte of the first block, behind the header.
    let mut damaged = whole.clone();
    let (shown, _) = text(&path, &request);
    let offset: usize = shown
        .split("block 1.0.time")
        .nth(1)
        .unwrap()
        .split("at ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    damaged[offset] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let (shown, damage) = text(&path, &request);
    assert!(damage > 0 && shown.contains("DAMAGE") && shown.contains("\"on\""), "{shown}");
    // RocksDB.
    std::fs::write(&file, &whole).unwrap();
    std::fs::remove_file(path.join("rocksdb").join("CURRENT")).unwrap();
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert!(damage == 1 && shown.contains("segment 1  day"), "{shown}");
}

/// Text without what differs from run to run.
fn plain(text: &str, path: &Path) -> String {
    text.replace(path.to_str().unwrap(), "STORE")
}

fn segment_path(path: &Path, id: u64) -> PathBuf {
    path.join("segments").join(crate::segment::file_name(SegmentId(id)))
}

/// A store with two segments, and something in its log.
fn larger_store(path: &Path) {
    let store = sample_store(path);
    for (day, seals) in [(17, true), (18, false)] {
        let mut batch = WriteBatch::new();
        let at = Timestamp::parse(&format!("2025-06-{day}T08:00:00Z")).unwrap();
        batch.reading("fan-3", at).float("power_w", 7.25);
        store.write(batch).unwrap();
        if seals {
            store.seal().unwrap();
        }
    }
    store.close().unwrap();
}

#[test]
fn a_damaged_footer_hides_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    larger_store(&path);
    let file = segment_path(&path, 1);
    let mut bytes = std::fs::read(&file).unwrap();
    let footer = bytes.len() - 60;
    bytes[footer] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert_eq!(damage, 1);
    insta::assert_snapshot!(plain(&shown, &path));
    for block in [None, "1.0.0".parse().ok()] {
        let segment = block.is_none().then_some(SegmentId(1));
        let (shown, damage) = text(&path, &DumpRequest { segment, block, hex: true, ..DumpRequest::default() });
        // Every line of sixteen bytes, the first with the magic and the last to the end.
        assert_eq!((damage, shown.lines().count()), (1, 2 + bytes.len().div_ceil(16)), "{shown}");
        assert!(shown.contains("00000000  46 4c 53 47 01 00"), "{shown}");
    }
}

#[test]
fn behind_a_damaged_header_or_trailer_the_blocks_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    sample_store(&path).close().unwrap();
    let file = segment_path(&path, 1);
    let whole = std::fs::read(&file).unwrap();
    let request = DumpRequest { segment: Some(SegmentId(1)), values: true, ..DumpRequest::default() };
    let (truth, _) = text(&path, &request);
    for place in [0, 5, 6, 10, 20, HEADER_BYTES - 1, whole.len() - 1, whole.len() - 6, whole.len() - 12] {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x40;
        std::fs::write(&file, &damaged).unwrap();
        let (shown, damage) = text(&path, &request);
        let rest: Vec<&str> = shown.lines().filter(|line| !line.contains("DAMAGE")).collect();
        assert_eq!((damage, rest.join("\n")), (1, truth.trim_end().to_owned()), "byte {place}");
    }
}

#[test]
fn every_damage_of_a_segment_is_named_and_ends_no_dump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    sample_store(&path).close().unwrap();
    let file = segment_path(&path, 1);
    let whole = std::fs::read(&file).unwrap();
    let requests = [
        DumpRequest::default(),
        DumpRequest { segment: Some(SegmentId(1)), values: true, hex: true, ..DumpRequest::default() },
        DumpRequest { block: "1.0.0".parse().ok(), values: true, ..DumpRequest::default() },
    ];
    for place in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(&file, &damaged).unwrap();
        for (number, request) in requests.iter().enumerate() {
            let (shown, damage) = text(&path, request);
            assert!(damage > 0 || number == 2, "byte {place}, request {number}: {shown}");
        }
    }
    for length in [0, 30, 60, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).unwrap();
        for request in &requests {
            let (shown, damage) = text(&path, request);
            assert!(damage > 0 && shown.contains("DAMAGE"), "{length} bytes: {shown}");
        }
    }
}

#[test]
fn a_damaged_record_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    larger_store(&path);
    let kv = Kv::open(&path.join("rocksdb"), false, &KvOptions { memory_bytes: 8 << 20, threads: 2 }).unwrap();
    let mut batch = KvBatch::default();
    let key = |kind: u8, number: u64| [&[kind][..], &number.to_be_bytes()].concat();
    batch.put(Family::Catalog, [&b"m"[..], &1_u32.to_be_bytes()].concat(), b"broken".to_vec());
    batch.put(Family::Catalog, [&b"d"[..], &0_u32.to_be_bytes()].concat(), b"broken".to_vec());
    batch.put(Family::Manifest, key(b's', 1), b"broken".to_vec());
    batch.put(Family::Attributes, vec![0; 12], b"broken".to_vec());
    batch.put(Family::Log, 4_u64.to_be_bytes().to_vec(), b"broken".to_vec());
    batch.put(Family::Meta, b"next_segment".to_vec(), b"broken".to_vec());
    kv.write(batch, true).unwrap();
    drop(kv);
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert_eq!(damage, 6, "{shown}");
    insta::assert_snapshot!(plain(&shown, &path));
}

#[test]
fn where_rocksdb_does_not_open_the_segments_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    larger_store(&path);
    for entry in std::fs::read_dir(path.join("rocksdb")).unwrap() {
        let file = entry.unwrap().path();
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST")) {
            std::fs::write(&file, b"not a manifest").unwrap();
        }
    }
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert!(damage == 1 && shown.contains("segment 1  day") && shown.contains("#0  float"), "{shown}");
}

#[test]
fn gaps_are_shown_and_damage_of_their_page_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plant");
    let store =
        Store::open(&path, Options { create: true, compact_in_background: false, ..Options::default() }).unwrap();
    let start = Timestamp::parse("2025-06-15T08:00:00Z").unwrap().nanoseconds();
    let mut batch = WriteBatch::new();
    for minute in [0, 1, 2, 32, 33] {
        let at = Timestamp::from_nanoseconds(start + minute * crate::time::MINUTE_NS);
        batch.reading("pump-17", at).float("power_w", 41.5);
    }
    store.write(batch).unwrap();
    store.seal().unwrap();
    store.close().unwrap();
    let request = DumpRequest { segment: Some(SegmentId(1)), values: true, ..DumpRequest::default() };
    let (shown, damage) = text(&path, &request);
    let lines = "    gaps  listed 1  longest other 60000000000 ns\n      2025-06-15T08:02:00Z  1800000000000 ns\n";
    assert!(damage == 0 && shown.contains(lines), "{shown}");
    let file = segment_path(&path, 1);
    let whole = std::fs::read(&file).unwrap();
    let segment = crate::segment::Segment::open_unlisted(&crate::io::RealFileSystem, &file).unwrap();
    let page = segment.footer().gaps.as_ref().unwrap()[0];
    let range = page.offset..page.offset + u64::from(page.bytes);
    for place in range.clone() {
        let mut damaged = whole.clone();
        damaged[place as usize] ^= 4;
        std::fs::write(&file, &damaged).unwrap();
        for request in [&DumpRequest::default(), &request] {
            let (shown, damage) = text(&path, request);
            let named = format!("bytes {}..{}", range.start, range.end);
            assert!(damage == 1 && shown.contains(&named), "byte {place}: {shown}");
        }
    }
}
