//! Segments come back as they were written; every damage is noticed.

use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::codec::Tier;
use crate::document::hex_example;
use crate::error::{Error, ErrorKind, Result};
use crate::format::SegmentEntry;
use crate::io::{FileSystem, InPlaceFile, ReadFile, RealFileSystem, WriteFile};
use crate::model::{Column, DeviceRows, MetricHandle, Presence, Sequence, Severity, StoredLog, TextValues, Values};
use crate::time::{BucketWidth, DAY_NS};

const DAY: i32 = 20_000;

fn writer(folder: &std::path::Path) -> SegmentWriter {
    let sequences = (Sequence(3), Sequence(9));
    SegmentWriter::create(Arc::new(RealFileSystem), folder, SegmentId(42), BucketWidth::Day, sequences, Tier::Fast)
        .unwrap()
}

pub(super) fn pages() -> Arc<PageCache> {
    Arc::new(PageCache::new(1 << 20))
}

fn same_values(a: &Values, b: &Values) -> bool {
    match (a, b) {
        (Values::Float(a), Values::Float(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (Values::Integer(a), Values::Integer(b)) => a == b,
        (Values::Boolean(a), Values::Boolean(b)) => a == b,
        (Values::Text(a), Values::Text(b)) => {
            a.codes.len() == b.codes.len() && (0..a.codes.len()).all(|place| a.get(place) == b.get(place))
        }
        _ => false,
    }
}

pub(super) fn same_rows(a: &DeviceRows, b: &DeviceRows) -> bool {
    let positions = |column: &Column| match &column.presence {
        Presence::All => (0..a.times.len() as u32).collect(),
        Presence::Positions(positions) => positions.clone(),
    };
    a.times == b.times
        && a.columns.len() == b.columns.len()
        && a.columns
            .iter()
            .zip(&b.columns)
            .all(|((m, c), (n, d))| m == n && positions(c) == positions(d) && same_values(&c.values, &d.values))
}

fn column(rows: usize, kind: u8, seed: u64, sparse: bool) -> Column {
    let positions: Vec<u32> = (0..rows as u32).filter(|row| !sparse || seed >> (row % 60) & 1 == 1).collect();
    let number = |place: usize| seed.rotate_left(place as u32 % 64).wrapping_add(place as u64);
    let count = positions.len();
    let values = match kind {
        0 => Values::Float((0..count).map(|place| (number(place) % 5_000) as f64 / 100.0).collect()),
        1 => Values::Integer((0..count).map(|place| number(place) as i64).collect()),
        2 => Values::Boolean((0..count).map(|place| number(place).is_multiple_of(3)).collect()),
        3 => Values::Float((0..count).map(|place| f64::from_bits(number(place))).collect()),
        _ => {
            let dictionary: Vec<std::sync::Arc<str>> = vec!["ok".into(), "fault".into(), "".into()];
            Values::Text(TextValues { dictionary, codes: (0..count).map(|place| (number(place) % 3) as u32).collect() })
        }
    };
    Column { presence: Presence::from_positions(positions, rows), values }
}

fn rows(start: i64, steps: &[i64], columns: &[(u8, u64, bool)]) -> DeviceRows {
    let mut times = Vec::new();
    let mut at = start;
    for step in steps {
        times.push(at);
        at += step;
    }
    let columns = columns.iter().enumerate().map(|(place, (kind, seed, sparse))| {
        (MetricHandle(place as u32 * 2), column(times.len(), *kind, *seed, *sparse))
    });
    DeviceRows { columns: columns.filter(|(_, column)| !column.values.is_empty()).collect(), times }
}

fn log(device: u32, time: i64, place: u32) -> StoredLog {
    StoredLog {
        device: DeviceHandle(device),
        time,
        order: (7, place),
        severity: Severity::Warning,
        source: "modem".into(),
        message: format!("link lost after {place} s").into(),
        fields: vec![("cell".into(), "17".into())],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn slices_come_back(
        slices in prop::collection::vec(
            (0_u32..5, 0_i32..4, prop::collection::vec(1_i64..DAY_NS / 50, 1..50),
             prop::collection::vec((0_u8..5, any::<u64>(), any::<bool>()), 0..4)), 1..12)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut sorted = std::collections::BTreeMap::new();
        for (device, day, steps, columns) in &slices {
            sorted.insert((*device, DAY + day), rows(i64::from(DAY + day) * DAY_NS, steps, columns));
        }
        let mut writer = writer(folder.path());
        for ((device, day), rows) in &sorted {
            writer.write_slice(DeviceHandle(*device), *day, rows).unwrap();
        }
        let entry = writer.finish().unwrap();
        prop_assert_eq!(entry.rows, sorted.values().map(|rows| rows.len() as u64).sum::<u64>());
        let segment = Segment::open(&RealFileSystem, folder.path(), &entry, &pages()).unwrap();
        prop_assert!(segment.verify().is_empty());
        let mut devices: Vec<DeviceHandle> = sorted.keys().map(|(device, _)| DeviceHandle(*device)).collect();
        devices.dedup();
        prop_assert_eq!(segment.devices().unwrap(), devices.clone());
        let mut seen = 0;
        for device in devices {
            for slice in segment.slices(device).unwrap() {
                let expected = &sorted[&(device.0, slice.bucket)];
                prop_assert!(same_rows(&segment.read_slice(slice.place, None).unwrap(), expected));
                prop_assert_eq!(segment.gaps(slice.place).unwrap(), gaps::gaps_of(slice.place, &expected.times));
                prop_assert_eq!((slice.rows as usize, slice.times), (expected.len(), (expected.times[0], expected.times[expected.len() - 1])));
                for metric in (0..8).map(MetricHandle) {
                    let column = segment.read_column(slice.place, metric).unwrap();
                    prop_assert_eq!(column.is_some(), expected.column(metric).is_some());
                    let only = segment.read_slice(slice.place, Some(&[metric])).unwrap();
                    prop_assert_eq!(only.columns.len(), usize::from(column.is_some()));
                    let statistics = segment.statistics(slice.place, metric).unwrap();
                    prop_assert_eq!(statistics.map_or(0, |s| s.count + s.count_nan) as usize, column.as_ref().map_or(0, |c| c.values.len()));
                    if let (Some(column), Some(statistics)) = (&column, &statistics) {
                        let bucket_start = i64::from(slice.bucket) * DAY_NS;
                        let (direct, cells) = statistics::describe(&expected.times, column, bucket_start);
                        // Statistics keep the bits of NaN that infinities make; compare as text.
                        prop_assert_eq!(format!("{statistics:?}"), format!("{direct:?}"));
                        prop_assert_eq!(format!("{:?}", segment.rollup(slice.place, metric).unwrap()), format!("{cells:?}"));
                    }
                }
                seen += 1;
            }
        }
        prop_assert_eq!(seen, sorted.len());
    }
}

#[test]
fn many_slices_fill_many_pages() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    for device in 0..3_000_u32 {
        let rows =
            rows(i64::from(DAY) * DAY_NS, &[60_000_000_000; 20], &[(0, u64::from(device) | 1, false), (1, 5, false)]);
        writer.write_slice(DeviceHandle(device * 3), DAY, &rows).unwrap();
    }
    let entry = writer.finish().unwrap();
    let segment = Segment::open(&RealFileSystem, folder.path(), &entry, &pages()).unwrap();
    assert!(segment.footer().directory.len() > 1 && segment.footer().metrics[0].statistics.len() > 1);
    assert_eq!(segment.footer().gaps.as_ref().unwrap().len(), 2);
    assert_eq!(segment.devices().unwrap().len(), 3_000);
    for device in [0, 1_234 * 3, 2_999 * 3] {
        let slices = segment.slices(DeviceHandle(device)).unwrap();
        assert_eq!((slices.len(), slices[0].place), (1, device / 3));
        assert_eq!(segment.statistics(slices[0].place, MetricHandle(2)).unwrap().unwrap().count, 20);
        assert_eq!(segment.gaps(slices[0].place).unwrap().unwrap().unlisted_ns, 60_000_000_000);
    }
    assert!(segment.slices(DeviceHandle(1)).unwrap().is_empty());
    assert!(segment.verify().is_empty());
}

#[test]
fn pages_written_early_leave_every_slice_readable() {
    let folder = tempfile::tempdir().unwrap();
    let start = i64::from(DAY) * DAY_NS;
    let mut writer = writer(folder.path());
    for device in 1..=3 {
        let mine = rows(start, &[5, 5], &[(0, u64::from(device), false), (1, 5, false)]);
        writer.write_slice(DeviceHandle(device), DAY, &mine).unwrap();
        assert!(writer.held_bytes() > 0);
        writer.write_pages().unwrap();
        // Only pages lie behind the slice: these records can not join it.
        writer.write_logs(DeviceHandle(device), DAY, &[log(device, start + 1, 0)]).unwrap();
        writer.write_pages().unwrap();
        writer.write_pages().unwrap();
        assert_eq!(writer.held_bytes(), 0);
    }
    let segment = Segment::open(&RealFileSystem, folder.path(), &writer.finish().unwrap(), &pages()).unwrap();
    for device in 1..=3 {
        let slices = segment.slices(DeviceHandle(device)).unwrap();
        assert_eq!((slices.len(), slices[0].rows), (1, 2));
        for metric in [MetricHandle(0), MetricHandle(2)] {
            let known = segment.slice_metrics(slices[0].place).unwrap().contains(&metric);
            let count = segment.statistics(slices[0].place, metric).unwrap().map(|statistics| statistics.count);
            assert_eq!(count, known.then_some(2), "device {device}, metric {metric:?}");
        }
        assert_eq!(segment.gaps(slices[0].place).unwrap().unwrap().unlisted_ns, 5);
        assert_eq!(segment.read_logs(DeviceHandle(device)).unwrap(), [log(device, start + 1, 0)]);
    }
    assert!(segment.verify().is_empty());
}

#[test]
fn log_records_lie_beside_rows_or_alone() {
    let folder = tempfile::tempdir().unwrap();
    let start = i64::from(DAY) * DAY_NS;
    let mut writer = writer(folder.path());
    writer.write_slice(DeviceHandle(1), DAY, &rows(start, &[5, 5], &[(0, 3, false)])).unwrap();
    writer.write_logs(DeviceHandle(1), DAY, &[log(1, start, 0), log(1, start, 1)]).unwrap();
    writer.write_logs(DeviceHandle(2), DAY, &[log(2, start + 9, 2)]).unwrap();
    let entry = writer.finish().unwrap();
    assert_eq!((entry.rows, entry.logs, entry.times), (2, 3, (start, start + 9)));
    let segment = Segment::open(&RealFileSystem, folder.path(), &entry, &pages()).unwrap();
    assert_eq!(segment.log_devices().unwrap(), [DeviceHandle(1), DeviceHandle(2)]);
    assert_eq!(segment.devices().unwrap(), [DeviceHandle(1)]);
    assert_eq!(segment.read_logs(DeviceHandle(1)).unwrap(), [log(1, start, 0), log(1, start, 1)]);
    assert_eq!(segment.read_logs(DeviceHandle(2)).unwrap(), [log(2, start + 9, 2)]);
    assert!(segment.verify().is_empty());
}

#[test]
fn what_does_not_belong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    let good = rows(i64::from(DAY) * DAY_NS, &[5, 5], &[(0, 3, false)]);
    let refused = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    refused(writer.write_slice(DeviceHandle(1), DAY + 1, &good));
    refused(writer.write_slice(DeviceHandle(1), DAY, &DeviceRows::default()));
    writer.write_slice(DeviceHandle(1), DAY, &good).unwrap();
    refused(writer.write_slice(DeviceHandle(1), DAY, &good));
    refused(writer.write_slice(DeviceHandle(0), DAY, &good));
    let overlapping = rows(i64::from(DAY) * DAY_NS + 5, &[9], &[(0, 1, false)]);
    refused(writer.write_slice(DeviceHandle(1), DAY, &overlapping));
}

/// A file in memory, and a file system that has only it.
#[derive(Debug, Clone)]
pub(super) struct MemoryFile(pub(super) Vec<u8>);

impl ReadFile for MemoryFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let from = offset as usize;
        let bytes = self.0.get(from..from + buffer.len()).ok_or_else(|| Error::new(ErrorKind::Corruption, "short"))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
    fn path(&self) -> &std::path::Path {
        std::path::Path::new("golden.fls")
    }
}

impl FileSystem for MemoryFile {
    fn make_folder(&self, _: &std::path::Path) -> Result<()> {
        unreachable!()
    }
    fn is_folder(&self, _: &std::path::Path) -> Result<bool> {
        unreachable!()
    }
    fn list(&self, _: &std::path::Path) -> Result<Vec<PathBuf>> {
        unreachable!()
    }
    fn exists(&self, _: &std::path::Path) -> Result<bool> {
        unreachable!()
    }
    fn open(&self, _: &std::path::Path) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(self.clone()))
    }
    fn create(&self, _: &std::path::Path) -> Result<Box<dyn WriteFile>> {
        unreachable!()
    }
    fn hold(&self, folder: &std::path::Path) -> Result<crate::io::FolderHold> {
        RealFileSystem.hold(folder)
    }
    fn open_writable(&self, _: &std::path::Path) -> Result<Box<dyn InPlaceFile>> {
        unreachable!()
    }
    fn rename(&self, _: &std::path::Path, _: &std::path::Path) -> Result<()> {
        unreachable!()
    }
    fn remove(&self, _: &std::path::Path) -> Result<()> {
        unreachable!()
    }
    fn sync_folder(&self, _: &std::path::Path) -> Result<()> {
        unreachable!()
    }
}

/// All that a reader can get out of a segment, as text; or the first error.
fn everything(bytes: &[u8], entry: &SegmentEntry) -> Result<String> {
    let file = MemoryFile(bytes.to_vec());
    let segment = Segment::open(&file, std::path::Path::new(""), entry, &pages())?;
    let mut text = format!("{:?}", segment.metrics());
    for device in segment.devices()? {
        for slice in segment.slices(device)? {
            text += &format!("{slice:?} {:?} {:?}", segment.read_slice(slice.place, None)?, segment.gaps(slice.place)?);
            for (metric, _) in segment.metrics() {
                text += &format!(
                    "{:?} {:?}",
                    segment.statistics(slice.place, metric)?,
                    segment.rollup(slice.place, metric)?
                );
            }
        }
    }
    for device in segment.log_devices()? {
        text += &format!("{:?}", segment.read_logs(device)?);
    }
    Ok(text)
}

/// The versions of footers that golden segments were made of.
const GOLDEN: [u8; 2] = [1, 2];

fn golden_path(version: u8, extension: &str) -> PathBuf {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    golden.join(format!("v{version}-segment.{extension}"))
}

/// The golden segment of a version and what the manifest said of it; `tests/golden/README.md` says how it was made.
pub(super) fn golden(version: u8) -> (Vec<u8>, SegmentEntry) {
    let [bytes, entry] = ["fls", "entry"].map(|extension| std::fs::read(golden_path(version, extension)).unwrap());
    (bytes, crate::format::decode_record("golden entry", &entry).unwrap())
}

/// Rows a minute apart; those of version 2 with ten minutes of silence.
fn golden_rows(version: u8, device: u32) -> DeviceRows {
    let columns = [(0, 0x5bd1_e995 + u64::from(device), false), (1, 99, true), (2, 7, false), (4, 12_345, false)];
    let mut steps = [60_000_000_000; 6];
    steps[2] *= if version == 1 { 1 } else { 10 };
    rows(i64::from(DAY) * DAY_NS + i64::from(device), &steps, &columns)
}

#[test]
#[ignore = "makes the golden files once: a version's golden files are never made again"]
fn make_golden() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = writer(folder.path());
    for device in [3, 4] {
        writer.write_slice(DeviceHandle(device), DAY, &golden_rows(2, device)).unwrap();
    }
    writer.write_logs(DeviceHandle(4), DAY, &[log(4, i64::from(DAY) * DAY_NS, 0)]).unwrap();
    let entry = writer.finish().unwrap();
    let path = golden_path(2, "fls");
    assert!(!path.exists(), "the golden segment is there already");
    std::fs::copy(folder.path().join(file_name(entry.id)), path).unwrap();
    std::fs::write(golden_path(2, "entry"), crate::format::encode_record(&entry).unwrap()).unwrap();
}

#[test]
fn golden_segments_read_as_they_were_written() {
    for version in GOLDEN {
        let (bytes, entry) = golden(version);
        let segment = Segment::open(&MemoryFile(bytes), std::path::Path::new(""), &entry, &pages()).unwrap();
        for device in [3, 4] {
            let slice = segment.slices(DeviceHandle(device)).unwrap()[0].place;
            assert!(same_rows(&segment.read_slice(slice, None).unwrap(), &golden_rows(version, device)));
            let from = i64::from(DAY) * DAY_NS + i64::from(device) + 120_000_000_000;
            let listed = vec![Gap { from, length_ns: 600_000_000_000 }];
            let gaps = SliceGaps { slice, unlisted_ns: 60_000_000_000, listed };
            assert_eq!(segment.gaps(slice).unwrap(), (version == 2).then_some(gaps));
        }
        assert_eq!(segment.read_logs(DeviceHandle(4)).unwrap(), [log(4, i64::from(DAY) * DAY_NS, 0)]);
        assert!(segment.verify().is_empty());
    }
}

#[test]
fn every_flipped_bit_and_every_cut_prefix_is_an_error_or_the_same() {
    GOLDEN.into_iter().for_each(every_damage_of_a_golden_segment_is_noticed);
}

fn every_damage_of_a_golden_segment_is_noticed(version: u8) {
    let (bytes, entry) = golden(version);
    let truth = everything(&bytes, &entry).unwrap();
    let check = |damaged: &[u8], what: String| match everything(damaged, &entry) {
        Ok(text) => assert_eq!(text, truth, "{what} changed an answer"),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corruption | ErrorKind::UnsupportedVersion), "{what}: {error}");
            assert!(error.path().is_some() && error.range().is_some(), "{what}: {error} names no place");
        }
    };
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        check(&damaged, format!("bit {bit}"));
    }
    for length in 0..bytes.len() {
        check(&bytes[..length], format!("prefix of {length}"));
    }
}

#[test]
fn a_block_of_another_place_or_segment_is_noticed() {
    let (bytes, entry) = golden(1);
    let truth = everything(&bytes, &entry).unwrap();
    let segment = Segment::open(&MemoryFile(bytes.clone()), std::path::Path::new(""), &entry, &pages()).unwrap();
    // The time blocks of both slices have one length: swapped, each is whole, and in the wrong place.
    let (page, _) = segment.entry(0).unwrap();
    let (a, b, length) = (page[0].offset as usize, page[1].offset as usize, page[0].time_bytes as usize);
    assert_eq!(page[0].time_bytes, page[1].time_bytes);
    let mut swapped = bytes.clone();
    swapped[a..a + length].copy_from_slice(&bytes[b..b + length]);
    swapped[b..b + length].copy_from_slice(&bytes[a..a + length]);
    assert_eq!(everything(&swapped, &entry).unwrap_err().kind(), ErrorKind::Corruption);
    let other = SegmentEntry { id: SegmentId(43), ..entry.clone() };
    assert_eq!(everything(&bytes, &other).unwrap_err().kind(), ErrorKind::Corruption);
    let stale = SegmentEntry { digest: entry.digest ^ 1, ..entry.clone() };
    assert_eq!(everything(&bytes, &stale).unwrap_err().kind(), ErrorKind::Corruption);
    assert_eq!(everything(&bytes, &entry).unwrap(), truth);
}

/// The smallest segment that says something: device 7 read 1.5 twice, a minute apart, on 1970-01-02.
pub(super) fn document_segment(folder: &std::path::Path) -> (Vec<u8>, SegmentEntry) {
    let fs = Arc::new(RealFileSystem);
    let sequences = (Sequence(2), Sequence(2));
    let mut writer = SegmentWriter::create(fs, folder, SegmentId(1), BucketWidth::Day, sequences, Tier::Fast).unwrap();
    let column = Column { presence: Presence::All, values: Values::Float(vec![1.5, 1.5]) };
    let rows = DeviceRows { times: vec![DAY_NS, DAY_NS + 60_000_000_000], columns: vec![(MetricHandle(4), column)] };
    writer.write_slice(DeviceHandle(7), 1, &rows).unwrap();
    let entry = writer.finish().unwrap();
    (std::fs::read(folder.join(file_name(entry.id))).unwrap(), entry)
}

#[test]
fn the_documents_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, entry) = document_segment(folder.path());
    assert_eq!(bytes, hex_example("segment"));
    assert_eq!(crate::format::encode_record(&entry).unwrap(), hex_example("segment-entry"));
    assert!(everything(&hex_example("segment"), &entry).unwrap().contains("1.5"));
}

/// The document's segment with a directory that says otherwise of its slice, though every part has its right checksum.
fn with_directory(change: impl Fn(&mut crate::format::DirectoryEntry)) -> Arc<Segment> {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, entry) = document_segment(folder.path());
    let pages = pages();
    let segment = Segment::open(&MemoryFile(bytes), std::path::Path::new(""), &entry, &pages).unwrap();
    let mut page = segment.directory_page(&segment.footer().directory[0]).unwrap().to_vec();
    pages.forget(segment.id());
    change(&mut page[0]);
    let changed = cache::CachedPage::Directory(Arc::new(page));
    pages.get(segment.id(), segment.footer().directory[0].offset, || Ok(changed)).unwrap();
    Arc::new(segment)
}

#[test]
fn a_part_of_no_bytes_is_damage_on_every_road() {
    let read = |segment: &Arc<Segment>| {
        let mut slice = EncodedSlice::default();
        let read = segment.read_encoded(0, &[MetricHandle(4)], &mut slice);
        // What failed leaves nothing to be taken for an answer.
        assert!(read.is_ok() || (slice.rows() == 0 && slice.column(MetricHandle(4)).unwrap().is_none()));
        read.map(|()| slice.packed_times().unwrap().rows())
    };
    assert_eq!(read(&with_directory(|_| ())).unwrap(), 2);
    let column = with_directory(|entry| entry.columns[0].bytes = 0);
    let times = with_directory(|entry| entry.time_bytes = 0);
    for (packed, decoded, offset) in [
        (read(&column), column.read_column(0, MetricHandle(4)).map(drop), 70),
        (read(&times), times.read_times(0).map(drop), 48),
    ] {
        for error in [packed.unwrap_err(), decoded.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Corruption);
            assert_eq!((error.path().unwrap().to_str(), error.range()), (Some("golden.fls"), Some(offset..offset)));
        }
    }
    let logs = with_directory(|entry| {
        (entry.rows, entry.time_bytes) = (0, 0);
        entry.columns.clear();
    });
    assert_eq!(read(&logs).unwrap(), 0);
}
