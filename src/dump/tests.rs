//! What a dump shows, also beside a writer and past damage.

use super::*;
use crate::model::WriteBatch;
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
    // The end of the file.
    std::fs::write(&file, &whole[..whole.len() - 3]).unwrap();
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert!(damage > 0 && shown.contains("DAMAGE") && shown.contains("0000000000000001.fls"), "{shown}");
    // The catalogue.
    std::fs::write(&file, &whole).unwrap();
    std::fs::remove_file(path.join("rocksdb").join("CURRENT")).unwrap();
    let (shown, damage) = text(&path, &DumpRequest::default());
    assert!(damage == 1 && shown.contains("segment 1  day"), "{shown}");
}
