//! Parquet files, written with the `parquet` crate from rows that the test holds, against those rows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringDictionaryBuilder};
use arrow_array::types::{Int32Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int64Array,
    LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::error::ErrorKind;
use crate::ingest::TimeUnit;
use crate::model::Value;

use super::testing::{Stored, import, options};

const MIB: usize = 1 << 20;

fn write(folder: &Path, name: &str, columns: &[(&str, ArrayRef)]) -> PathBuf {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, array)| (*name, Arc::clone(array), true)))
            .expect("columns of one length");
    let path = folder.join(name);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
    path
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

/// Rows of a small fleet in order of device and time; every seventh float is absent.
fn fleet() -> Vec<(String, i64, Option<f64>, i64)> {
    let row = |number: i64| {
        let float = (number % 7 != 0).then_some(number as f64 / 10.0);
        (format!("device-{:02}", number / 500), 1_700_000_000_000 + number % 500 * 60_000, float, number % 3)
    };
    (0..5_000).map(row).collect()
}

fn write_fleet(folder: &Path, name: &str, rows: &[(String, i64, Option<f64>, i64)], dictionary: bool) -> PathBuf {
    let devices: ArrayRef = if dictionary {
        let mut builder = StringDictionaryBuilder::<UInt16Type>::new();
        rows.iter().for_each(|row| builder.append_value(&row.0));
        array(builder.finish())
    } else {
        array(StringArray::from_iter_values(rows.iter().map(|row| &row.0)))
    };
    let columns = [
        ("device", devices),
        ("time", array(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC"))),
        ("power_w", array(Float64Array::from_iter(rows.iter().map(|row| row.2)))),
        ("state", array(Int64Array::from_iter_values(rows.iter().map(|row| row.3)))),
    ];
    write(folder, name, &columns)
}

fn expected(rows: &[(String, i64, Option<f64>, i64)]) -> Stored {
    let mut stored = Stored::new();
    for (device, milliseconds, float, integer) in rows {
        let time = milliseconds * 1_000_000;
        if let Some(float) = float {
            stored.insert((device.clone(), time, "power_w".into()), Value::Float(*float));
        }
        stored.insert((device.clone(), time, "state".into()), Value::Integer(*integer));
    }
    stored
}

#[test]
fn sorted_and_shuffled_files_give_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = fleet();
    let mut by_time = rows.clone();
    by_time.sort_by_key(|row| row.1);
    for (name, rows, sorted) in [("by-device", &rows, false), ("by-time", &by_time, true)] {
        for dictionary in [false, true] {
            let path = write_fleet(folder.path(), name, rows, dictionary);
            for sort_bytes in [1, MIB] {
                let imported = import(&path, &options("device", "time"), sort_bytes).expect("a good file");
                assert_eq!(imported.sorted, sorted, "{name}");
                assert_eq!((imported.counts.rows_read, imported.counts.stored), (5_000, 5_000));
                assert_eq!(imported.sink.stored, expected(rows), "{name}");
            }
        }
    }
}

#[test]
fn in_order_rows_are_handed_on_in_long_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let imported = import(&write_fleet(folder.path(), "f", &fleet(), false), &options("device", "time"), MIB)
        .expect("a good file");
    assert_eq!(imported.sink.calls, 10, "one call for each device");
}

#[test]
fn every_type_keeps_its_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut words = StringDictionaryBuilder::<Int32Type>::new();
    ["x", "y", "x"].iter().for_each(|word| words.append_value(word));
    let columns = [
        ("d", array(Int64Array::from(vec![7, 7, 8]))),
        ("t", array(Int64Array::from(vec![1, 2, 3]))),
        ("f32", array(Float32Array::from(vec![0.5, f32::NAN, -0.0]))),
        ("i8", array(Int8Array::from(vec![Some(-1), None, Some(3)]))),
        ("u64", array(UInt64Array::from(vec![1, 2, 3]))),
        ("big", array(UInt64Array::from(vec![1, 2, u64::MAX]))),
        ("flag", array(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("cents", array(Decimal128Array::from(vec![105, -1, 7]).with_precision_and_scale(10, 2).expect("a decimal"))),
        ("whole", array(Decimal128Array::from(vec![5, 6, 7]).with_precision_and_scale(10, 0).expect("a decimal"))),
        ("word", array(words.finish())),
        ("large", array(LargeStringArray::from(vec![Some("a"), None, Some("")]))),
        ("view", array(StringViewArray::from(vec!["p", "q", "p"]))),
        ("nothing", array(NullArray::new(3))),
    ];
    let path = write(folder.path(), "types", &columns);
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Nanoseconds);
    let imported = import(&path, &options, MIB).expect("a good file");
    let values = |metric: &str| -> Vec<Option<Value>> {
        [("7", 1), ("7", 2), ("8", 3)]
            .iter()
            .map(|(device, time)| imported.sink.stored.get(&((*device).to_owned(), *time, metric.to_owned())).cloned())
            .collect()
    };
    let (float, integer) = (|value| Some(Value::Float(value)), |value| Some(Value::Integer(value)));
    let text = |value: &str| Some(Value::Text(value.to_owned()));
    assert_eq!(values("f32"), [float(0.5), float(f64::from(f32::NAN)), float(-0.0)]);
    assert_eq!(values("i8"), [integer(-1), None, integer(3)]);
    assert_eq!(values("u64"), [integer(1), integer(2), integer(3)]);
    assert_eq!(values("big"), [float(1.0), float(2.0), float(18_446_744_073_709_551_615.0)]);
    assert_eq!(values("flag"), [Some(Value::Boolean(true)), None, Some(Value::Boolean(false))]);
    assert_eq!(values("cents"), [float(1.05), float(-0.01), float(0.07)]);
    assert_eq!(values("whole"), [integer(5), integer(6), integer(7)]);
    assert_eq!(values("word"), [text("x"), text("y"), text("x")]);
    assert_eq!(values("large"), [text("a"), None, None]);
    assert_eq!(values("view"), [text("p"), text("q"), text("p")]);
    assert_eq!(values("nothing"), [None, None, None]);
}

#[test]
fn times_of_every_type_mean_the_same_instant() {
    let folder = tempfile::tempdir().expect("a folder");
    // 2024-01-23T17:13:00Z, and its day.
    let (instant_s, day) = (1_706_029_980_i64, 19_745);
    let zoned = Some("Europe/Paris");
    let cases: [(&str, ArrayRef, Option<&str>, i64); 7] = [
        ("s", array(TimestampSecondArray::from(vec![instant_s])), None, instant_s),
        ("ms", array(TimestampMillisecondArray::from(vec![instant_s * 1_000]).with_timezone("UTC")), zoned, instant_s),
        ("us", array(TimestampMicrosecondArray::from(vec![instant_s * 1_000_000])), zoned, instant_s - 3_600),
        (
            "ns",
            array(TimestampNanosecondArray::from(vec![instant_s * 1_000_000_000]).with_timezone("+02:00")),
            None,
            instant_s,
        ),
        ("day", array(Date32Array::from(vec![day])), None, i64::from(day) * 86_400),
        ("day-paris", array(Date32Array::from(vec![day])), zoned, i64::from(day) * 86_400 - 3_600),
        ("text", array(StringArray::from(vec!["2024-01-23 18:13"])), zoned, instant_s),
    ];
    for (name, times, zone, expected_s) in cases {
        let columns =
            [("d", array(StringArray::from(vec!["a"]))), ("t", times), ("v", array(Int64Array::from(vec![1])))];
        let mut options = options("d", "t");
        options.times.zone = zone.map(str::to_owned);
        let imported = import(&write(folder.path(), name, &columns), &options, MIB).expect("a good file");
        let times: Vec<i64> = imported.sink.stored.keys().map(|(_, time, _)| *time).collect();
        assert_eq!(times, [expected_s * 1_000_000_000], "{name}");
    }
}

#[test]
fn bad_rows_are_refused_by_number_and_the_rest_goes_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = "y".repeat(2_000);
    let control = "bad\u{7}id";
    let columns = [
        (
            "d",
            array(StringArray::from(vec![Some("a"), None, Some("a"), Some(control), Some("a"), Some("a"), Some("b")])),
        ),
        (
            "t",
            array(TimestampSecondArray::from(vec![
                Some(1),
                Some(2),
                None,
                Some(4),
                Some(i64::MAX / 2),
                Some(6),
                Some(7),
            ])),
        ),
        ("w", array(StringArray::from(vec![Some("x"), Some("x"), Some("x"), Some("x"), Some("x"), Some(&long), None]))),
    ];
    let imported = import(&write(folder.path(), "bad", &columns), &options("d", "t"), MIB).expect("a good file");
    let rows: Vec<u64> = imported.rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(rows, [2, 3, 4, 5, 6]);
    assert_eq!((imported.counts.stored, imported.counts.empty), (1, 1));
    assert!(imported.rejections[0].bytes.starts_with(b"d="));
}

#[test]
fn a_panic_of_the_library_below_becomes_an_error_and_says_so() {
    let told = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let error = super::parquet::guarded(|| -> parquet::errors::Result<u8> {
        told.store(super::panics_become_errors(), std::sync::atomic::Ordering::Relaxed);
        let empty: Vec<u8> = Vec::new();
        Ok(empty[std::hint::black_box(1)])
    })
    .expect_err("a panic");
    assert!(error.to_string().contains("contradict"), "{error}");
    assert!(told.load(std::sync::atomic::Ordering::Relaxed) && !super::panics_become_errors());
}

#[test]
fn progress_of_records_comes_to_the_length_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), "f.parquet", &[("d", array(StringArray::from(vec!["a"; 3_000])))]);
    let length = std::fs::metadata(&path).expect("a file").len();
    let progress = crate::store::Progress::default();
    let mut reader = super::table::open(&path, b',', Some(&progress)).expect("a good file");
    let mut record = crate::ingest::Record::new();
    while reader.read(&mut record).expect("a good file") != crate::ingest::Outcome::End {}
    let done = progress.state().0;
    assert!(done <= length && done + 10 > length, "{done} of {length}");
}

#[test]
fn a_time_beyond_our_years_is_not_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let columns = [
        ("d", array(StringArray::from(vec!["a", "a", "a"]))),
        ("t", array(UInt64Array::from(vec![Some(5), Some(u64::MAX), None]))),
        ("v", array(Int64Array::from(vec![1, 2, 3]))),
    ];
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let imported = import(&write(folder.path(), "f.parquet", &columns), &options, MIB).expect("a good file");
    let reasons: Vec<&str> = imported.rejections.iter().map(|rejection| rejection.reason.as_str()).collect();
    assert!(reasons[0].contains("outside the years") && reasons[1].contains("missing"), "{reasons:?}");
}

#[test]
fn sequences_and_links_work_as_in_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let columns = [
        ("d", array(StringArray::from(vec!["a", "a", "a", "a"]))),
        ("g", array(StringArray::from(vec!["g1", "g1", "g2", "g1"]))),
        ("t", array(TimestampNanosecondArray::from(vec![5, 5, 5, 5]))),
        ("n", array(Int64Array::from(vec![1, 2, 1, 1]))),
    ];
    let mut options = options("d", "t");
    options.link_to = Some("g".into());
    options.sequence_column = Some("n".into());
    let imported = import(&write(folder.path(), "links", &columns), &options, MIB).expect("a good file");
    assert_eq!((imported.counts.stored, imported.counts.overwritten, imported.counts.kept_apart), (3, 1, 1));
    let keys: Vec<(&str, i64)> =
        imported.sink.stored.keys().map(|(device, time, _)| (device.as_str(), *time)).collect();
    assert_eq!(keys, [("a@g1", 5), ("a@g1", 6), ("a@g2", 5)]);
}

#[test]
fn what_can_not_be_stored_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut list = ListBuilder::new(arrow_array::builder::Int64Builder::new());
    list.append_value([Some(1)]);
    let base = [("d", array(StringArray::from(vec!["a"]))), ("t", array(TimestampSecondArray::from(vec![1])))];
    let with = |name, column| {
        let mut columns = base.to_vec();
        columns.push((name, column));
        columns
    };
    for (columns, words) in [
        (with("parts", array(list.finish())), "'parts'"),
        (with("received", array(TimestampSecondArray::from(vec![1]))), "'received'"),
        (vec![("d", array(StringArray::from(vec!["a"]))), ("t", array(Int64Array::from(vec![1])))], "--time-unit"),
        (vec![("x", array(Int64Array::from(vec![1])))], "no column 'd'"),
    ] {
        let error = import(&write(folder.path(), "odd", &columns), &options("d", "t"), MIB).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_file_without_rows_comes_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write_fleet(folder.path(), "none", &[], false);
    let imported = import(&path, &options("device", "time"), MIB).expect("a good file");
    assert_eq!(imported.counts, super::ImportCounts::default());
}

#[test]
fn damaged_files_are_errors_or_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: Vec<_> = fleet().into_iter().take(600).collect();
    let bytes = std::fs::read(write_fleet(folder.path(), "good", &rows, false)).expect("a file");
    let path = folder.path().join("damaged.parquet");
    for cut in (4..bytes.len()).step_by(97) {
        std::fs::write(&path, &bytes[..cut]).expect("a file");
        assert!(import(&path, &options("device", "time"), MIB).is_err(), "cut at {cut}");
    }
    for place in (4..bytes.len()).step_by(53) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        std::fs::write(&path, &damaged).expect("a file");
        // Parquet pages carry no checksum unless the writer asks for it: other values may come, a crash may not.
        let _ = import(&path, &options("device", "time"), MIB);
    }
}
