//! Imports of devices and events, up to the batch that is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use crate::error::{ErrorKind, Result};
use crate::ingest::Rejection;
use crate::model::{AttributeValue, Event, EventKind, WriteBatch};
use crate::time::{TimeRange, Timestamp};

use super::counts::{ImportCounts, Rejections};
use super::devices::{Known, batch, collect};
use super::event_sorter::EventSorter;
use super::testing::{data, file};
use super::{DevicesImport, EventsImport, KindSource};

/// A store that knows some values for all time.
#[derive(Default)]
struct Values(BTreeMap<(String, String), AttributeValue>);

impl Values {
    fn of(batch: &WriteBatch) -> Self {
        let entry = |statement: &crate::model::BatchAttribute| {
            let device = batch.devices[statement.device as usize].as_str().to_owned();
            Some(((device, statement.attribute.as_str().to_owned()), statement.value.clone()?))
        };
        Self(batch.attributes.iter().filter_map(entry).collect())
    }
}

impl Known for Values {
    fn newest(&self, device: &str, attribute: &str) -> Option<AttributeValue> {
        self.0.get(&(device.to_owned(), attribute.to_owned())).cloned()
    }

    fn is_stated(&self, _: &str, _: &str, _: &AttributeValue, _: TimeRange) -> bool {
        false
    }
}

fn devices(path: &Path, options: &DevicesImport, known: &Values) -> Result<(WriteBatch, ImportCounts, Vec<Rejection>)> {
    let (mut counts, mut rejections) = (ImportCounts::default(), Rejections::default());
    let mut reader = super::table::open(path, options.delimiter, None)?;
    let statements = collect(reader.as_mut(), options, 1 << 20, &mut counts, &mut rejections)?;
    let batch = batch(&statements, options.from, known, &mut counts)?;
    counts.rejected = rejections.count;
    Ok((batch, counts, rejections.in_order()))
}

fn events(path: &Path, options: &EventsImport) -> Result<(BTreeSet<Event>, ImportCounts, Vec<Rejection>)> {
    let (mut counts, mut rejections) = (ImportCounts::default(), Rejections::default());
    let mut reader = super::table::open(path, options.delimiter, None)?;
    let scratch = tempfile::tempdir().expect("a folder");
    let mut sorter = EventSorter::new(scratch.path(), 1_000);
    let all = TimeRange::ALL;
    super::events::collect(reader.as_mut(), options, all, None, &mut sorter, &mut counts, &mut rejections)?;
    let mut sorted = sorter.finish()?;
    let mut events = BTreeSet::new();
    while let Some(event) = sorted.next()? {
        assert!(events.insert(event), "an event that comes twice");
    }
    counts.overwritten = counts.stored - events.len() as u64;
    Ok((events, counts, rejections.in_order()))
}

#[test]
fn everything_is_text_but_what_is_known_to_be_a_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let content =
        "id,firmware,Lat,age,site,load\nd1,2.4,45.5,18,007,1.5\nd2,2.40,,NA,,x\nd3,2.4,north,1,1,2\n,1,1,1,1,1\n";
    let path = file(folder.path(), "devices.csv", content);
    let mut options = DevicesImport::new("id");
    let (batch, counts, rejections) = devices(&path, &options, &Values::default()).expect("a good file");
    let known = Values::of(&batch);
    let value = |device: &str, attribute: &str| known.newest(device, attribute);
    assert_eq!(value("d1", "firmware"), Some("2.4".into()));
    assert_eq!(value("d2", "firmware"), Some("2.40".into()));
    assert_eq!(value("d1", "Lat"), Some(45.5.into()));
    assert_eq!(value("d1", "age"), Some(18.0.into()));
    assert_eq!(value("d1", "site"), Some("007".into()));
    assert_eq!(value("d1", "load"), Some("1.5".into()));
    assert_eq!((value("d2", "Lat"), value("d2", "site")), (None, None));
    assert_eq!((counts.rows_read, counts.stored, counts.rejected), (4, 2, 2));
    assert_eq!(rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), [4, 5]);

    options.number_columns = vec!["load".into()];
    options.attributes = vec![("load".into(), "load_kw".into())];
    let (batch, counts, _) = devices(&path, &options, &Values::default()).expect("a good file");
    assert_eq!(Values::of(&batch).newest("d1", "load_kw"), Some(1.5.into()));
    assert_eq!((batch.attributes.len(), counts.rejected), (2, 2));
}

#[test]
fn a_changed_value_needs_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let may = file(folder.path(), "may.csv", "id,firmware\nd1,1.0\nd2,1.0\n");
    let june = file(folder.path(), "june.csv", "id,firmware,region\nd1,1.0,north\nd2,2.0,south\n");
    let mut options = DevicesImport::new("id");
    let (first, ..) = devices(&may, &options, &Values::default()).expect("a good file");
    assert!(first.attributes.iter().all(|statement| statement.range == TimeRange::ALL));
    let known = Values::of(&first);

    let (again, counts, _) = devices(&may, &options, &known).expect("the same file");
    assert!(again.is_empty());
    assert_eq!((counts.stored, counts.unchanged), (0, 2));

    let error = devices(&june, &options, &known).expect_err("a changed value");
    assert_eq!((error.kind(), error.device(), error.row()), (ErrorKind::AlreadyExists, Some("d2"), Some(3)));

    let from = Timestamp::parse("2025-06-01").expect("a date");
    options.from = Some(from);
    let (changed, counts, _) = devices(&june, &options, &known).expect("a time is named");
    assert_eq!((changed.attributes.len(), counts.stored), (4, 2));
    assert!(changed.attributes.iter().all(|statement| statement.range == TimeRange::new(from, Timestamp::MAX)));
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "twice.csv", "id,model\nd1,A\nd1,A\nd1,B\n");
    let error = devices(&path, &DevicesImport::new("id"), &Values::default()).expect_err("two models");
    assert!(error.to_string().contains("'A' (row 2) and 'B'"), "{error}");
    for (content, words) in [
        ("serial,model\nx,y\n", "no column 'id'"),
        ("serial,model\n", "no column 'id'"),
        ("id,a,a\n1,2,3\n", "two columns"),
    ] {
        let error = devices(&file(folder.path(), "bad.csv", content), &DevicesImport::new("id"), &Values::default())
            .expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn events_have_kinds_and_labels_and_are_stored_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let content = "{\"d\":\"a\",\"at\":\"2025-01-01\",\"what\":\"Failure\",\"part\":\"pump\"}\n\
                   {\"d\":\"a\",\"at\":\"2025-01-01\",\"what\":\"failure\",\"part\":\"fan\"}\n\
                   {\"d\":\"a\",\"at\":\"2025-01-01T00:00:00Z\",\"what\":\"broken\",\"part\":\"pump\"}\n\
                   {\"d\":\"b\",\"at\":\"2025-01-02\",\"what\":\"visit\",\"part\":3}\n\
                   {\"d\":\"b\",\"at\":\"2025-01-02\",\"what\":\"nonsense\"}\n{\"at\":\"2025-01-02\",\"what\":\"failure\"}\n";
    let path = file(folder.path(), "events.jsonl", content);
    let meanings = vec![("broken".to_owned(), EventKind::Failure), ("visit".to_owned(), EventKind::Maintenance)];
    let mut options = EventsImport::new("d", "at", KindSource::Column { column: "what".into(), meanings });
    options.labels = vec![("part".into(), "component".into())];
    let (found, counts, rejections) = events(&path, &options).expect("a good file");
    let shown: Vec<String> =
        found.iter().map(|event| format!("{} {} {:?}", event.device, event.kind, event.labels)).collect();
    assert_eq!(
        shown,
        [
            "a failure {\"component\": \"fan\"}",
            "a failure {\"component\": \"pump\"}",
            "b maintenance {\"component\": \"3\"}"
        ]
    );
    assert_eq!((counts.rows_read, counts.overwritten), (6, 1));
    assert_eq!(rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_name_that_no_attribute_can_have_refuses_its_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "n".repeat(129);
    let content = format!(
        "{{\"id\":\"a\",\"m\":\"x\"}}\n{{\"id\":\"b\",\"\":1}}\n{{\"id\":\"c\",\"{long}\":1,\"m\":\"y\"}}\n{{\"id\":\"d\",\"m\":\"z\"}}\n"
    );
    let path = file(folder.path(), "devices.jsonl", content);
    let (batch, counts, rejections) =
        devices(&path, &DevicesImport::new("id"), &Values::default()).expect("two good rows");
    assert_eq!((counts.stored, counts.rejected), (2, 2));
    assert_eq!(rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(Values::of(&batch).newest("d", "m"), Some("z".into()));
}

fn store_with(memory_bytes: usize, folder: &Path) -> crate::store::Store {
    let options = crate::store::Options { memory_bytes, ..crate::store::Options::default() };
    crate::store::Store::open(folder.join("store"), options).expect("a store")
}

/// At 16 MiB, 20,000 events come in several scratch runs, and are more than a batch may hold: the answer is that of a set.
#[test]
fn more_events_than_memory_holds_are_stored_once_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut content = String::from("d,at,part,by\n");
    let mut expected = BTreeSet::new();
    for row in 0..24_000_u32 {
        // Every sixth row is an earlier one again.
        let number = if row % 6 == 5 { row / 2 } else { row };
        let (device, at) = (format!("device-{}", number % 97), number.wrapping_mul(2_654_435_761) % 1_000_000);
        let label = format!("{number:0200}");
        content.push_str(&format!("{device},{at},{label},me\n"));
        expected.insert((at, device, label));
    }
    let path = file(folder.path(), "events.csv", content);
    let store = store_with(16 << 20, folder.path());
    let mut options = EventsImport::new("d", "at", KindSource::Fixed(EventKind::Error));
    options.times.unit = Some(crate::ingest::TimeUnit::Seconds);
    options.labels = vec![("part".into(), "part".into()), ("by".into(), "by".into())];
    let counts = super::import_events(&store, &path, &options, None).expect("a good file");
    assert_eq!((counts.rows_read, counts.stored), (24_000, expected.len() as u64));
    assert_eq!(counts.overwritten, 24_000 - expected.len() as u64);
    let mut found = BTreeSet::new();
    let snapshot = store.snapshot().expect("a moment");
    snapshot
        .events(TimeRange::ALL, None, &mut |event| {
            let seconds = (event.time.nanoseconds() / 1_000_000_000) as u32;
            found.insert((seconds, event.device.as_str().to_owned(), event.labels["part"].clone()));
            Ok(true)
        })
        .expect("all events");
    assert_eq!(found, expected);
    assert_eq!(snapshot.sequence(), crate::model::Sequence(1), "all of a file is one commit");
    drop(snapshot);
    let again = super::import_events(&store, &path, &options, None).expect("the same file");
    assert_eq!((again.stored, again.overwritten), (0, 24_000));
}

#[test]
fn progress_comes_to_the_length_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_with(16 << 20, folder.path());
    let path = file(folder.path(), "f.csv", format!("d,at\n{}", "a,2025-01-01\n".repeat(20_000)));
    let length = std::fs::metadata(&path).expect("a file").len();
    let events = EventsImport::new("d", "at", KindSource::Fixed(EventKind::Error));
    let progress = crate::store::Progress::default();
    super::import_events(&store, &path, &events, Some(&progress)).expect("a good file");
    assert_eq!(progress.state().0, length);
    super::import_devices(&store, &path, &DevicesImport::new("d"), Some(&progress)).expect("a good file");
    assert_eq!(progress.state().0, 2 * length);
    progress.cancel();
    let error = super::import_events(&store, &path, &events, Some(&progress)).expect_err("cancelled");
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_file_without_rows_is_one_of_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_with(16 << 20, folder.path());
    let samples = super::testing::options("d", "at");
    let events = EventsImport::new("d", "at", KindSource::Fixed(EventKind::Error));
    for (name, content) in [("f.csv", "d,at\n"), ("f.jsonl", "\n"), ("f.lp", "# nothing\n")] {
        let path = file(folder.path(), name, content);
        let nothing = ImportCounts::default();
        assert_eq!(super::import_samples(&store, &path, &samples, None).expect(name), nothing);
        assert_eq!(super::import_events(&store, &path, &events, None).expect(name), nothing);
        assert_eq!(super::import_devices(&store, &path, &DevicesImport::new("d"), None).expect(name), nothing);
    }
    let other = file(folder.path(), "other.csv", "x,y\n");
    assert!(super::import_samples(&store, &other, &samples, None).is_err());
}

#[test]
fn rejections_beyond_those_that_are_kept_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_with(16 << 20, folder.path());
    let content = format!("d,at,v\na,2025-01-01,1\n{}", "a,soon,1\n".repeat(10_005));
    let path = file(folder.path(), "f.csv", content);
    let counts = super::import_samples(&store, &path, &super::testing::options("d", "at"), None).expect("one good row");
    assert_eq!((counts.stored, counts.rejected, counts.rejections_kept), (1, 10_005, 10_000));
}

#[test]
fn a_wrong_device_column_meets_a_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_with(16 << 20, folder.path());
    let mut content = String::from("d,at,v\n");
    (0..20_000).for_each(|row| content.push_str(&format!("{row}.5,2025-01-01,1\n")));
    let path = file(folder.path(), "f.csv", content);
    let error = super::import_samples(&store, &path, &super::testing::options("d", "at"), None).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("--device"), "{error}");
    assert_eq!(store.snapshot().expect("a moment").catalog().devices().count(), 0);
}

#[test]
fn devices_beyond_the_memory_are_refused_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_with(16 << 20, folder.path());
    let mut content = String::from("id,model\n");
    (0..20_000).for_each(|row| content.push_str(&format!("{row},A\n")));
    let path = file(folder.path(), "f.csv", content);
    let error = super::import_devices(&store, &path, &DevicesImport::new("id"), None).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.row().is_some() && error.to_string().contains("--memory"), "{error}");
    assert_eq!(store.snapshot().expect("a moment").catalog().devices().count(), 0);
}

#[test]
fn azure_events_and_machines_are_what_the_files_say() {
    for (name, label, kind) in [
        ("PdM_failures.csv", "failure", EventKind::Failure),
        ("PdM_errors.csv", "errorID", EventKind::Error),
        ("PdM_maint.csv", "comp", EventKind::Maintenance),
    ] {
        let Some(path) = data(&format!("azure-pdm/{name}")) else { return };
        let mut reader = csv::Reader::from_path(&path).expect("a file");
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let distinct: HashSet<Vec<String>> = rows.iter().map(|row| row.iter().map(str::to_owned).collect()).collect();
        let mut options = EventsImport::new("machineID", "datetime", KindSource::Fixed(kind));
        options.labels = vec![(label.to_owned(), label.to_owned())];
        let (found, counts, _) = events(&path, &options).expect("a good file");
        assert_eq!((found.len(), counts.rows_read), (distinct.len(), rows.len() as u64), "{name}");
        assert_eq!(counts.overwritten, (rows.len() - distinct.len()) as u64, "{name}");
    }
    let Some(path) = data("azure-pdm/PdM_machines.csv") else { return };
    let (batch, counts, _) = devices(&path, &DevicesImport::new("machineID"), &Values::default()).expect("a good file");
    assert_eq!((counts.stored, batch.attributes.len()), (100, 200));
    assert_eq!(Values::of(&batch).newest("1", "model"), Some("model3".into()));
    assert_eq!(Values::of(&batch).newest("1", "age"), Some(18.0.into()));
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_gives_the_same_events_as_text() {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampSecondArray};

    let folder = tempfile::tempdir().expect("a folder");
    let columns: [(&str, ArrayRef); 3] = [
        ("d", Arc::new(Int64Array::from(vec![1, 2, 2]))),
        ("at", Arc::new(TimestampSecondArray::from(vec![Some(1_706_029_980), Some(0), None]))),
        ("part", Arc::new(StringArray::from(vec![Some("pump"), None, Some("x")]))),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)))
            .expect("columns of one length");
    let path = folder.path().join("events.parquet");
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
    let mut options = EventsImport::new("d", "at", KindSource::Fixed(EventKind::Stage));
    options.labels = vec![("part".into(), "part".into())];
    options.times.zone = Some("Europe/Paris".into());
    // A format is for texts: what is a time already needs none.
    for format in [None, Some("%d/%m/%Y".to_owned())] {
        options.times.format = format;
        let (found, _, rejections) = events(&path, &options).expect("a good file");
        let shown: Vec<String> =
            found.iter().map(|event| format!("{} {} {:?}", event.time, event.device, event.labels)).collect();
        // Times without an offset are of the input zone.
        assert_eq!(shown, ["1969-12-31T23:00:00Z 2 {}", "2024-01-23T16:13:00Z 1 {\"part\": \"pump\"}"]);
        assert_eq!(rejections.len(), 1);
    }
}

#[test]
fn a_history_has_a_column_that_says_from_when() {
    let folder = tempfile::tempdir().expect("a folder");
    let store =
        crate::store::Store::open(folder.path().join("store"), crate::store::Options::default()).expect("a store");
    let path = file(
        folder.path(),
        "history.csv",
        "device,time,attribute,value\nd1,2025-03-01,firmware,2\nd1,2025-01-01,firmware,1\nd2,2025-02-01,firmware,1\nd2,soon,firmware,3\n",
    );
    let mut options = DevicesImport::new("device");
    options.from_column = Some("time".to_owned());
    options.attributes = vec![("value".to_owned(), "firmware".to_owned())];
    let counts = super::import_devices(&store, &path, &options, None).expect("a good file");
    assert_eq!((counts.rows_read, counts.stored, counts.rejected), (4, 3, 1));
    let snapshot = store.snapshot().expect("a moment");
    let firmware = |device: &str, at: &str| {
        let handle = snapshot.catalog().device(device).expect("a device");
        let at = crate::time::Timestamp::parse(at).expect("a time");
        snapshot.attributes().value_at(handle, "firmware", at).map(|value| value.to_text())
    };
    assert_eq!(firmware("d1", "2025-02-15"), Some("1".to_owned()));
    assert_eq!(firmware("d1", "2025-03-15"), Some("2".to_owned()));
    assert_eq!(firmware("d2", "2025-01-15"), None);
    let again = super::import_devices(&store, &path, &options, None).expect("a good file");
    assert_eq!((again.stored, again.unchanged), (0, 3));
}
