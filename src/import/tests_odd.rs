//! Odd files of samples: many rows at one instant, names that can not be, lists, packing in members, wrong options.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::error::ErrorKind;
use crate::ingest::TimeUnit;
use crate::model::Value;

use super::SamplesImport;
use super::testing::{Imported, Stored, file, import, options};

const MIB: usize = 1 << 20;

fn import_text(name: &str, content: &str, options: &SamplesImport) -> Imported {
    let folder = tempfile::tempdir().expect("a folder");
    import(&file(folder.path(), name, content), options, MIB).expect("a good file")
}

fn sequenced() -> SamplesImport {
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Nanoseconds);
    options.sequence_column = Some("n".into());
    options.metrics = Some(vec!["v".into(), "f".into(), "s".into()]);
    options.text_columns = vec!["s".into()];
    options
}

fn refused(imported: &Imported) -> Vec<u64> {
    imported.rejections.iter().map(|rejection| rejection.row).collect()
}

/// One row: time, sequence, and three values that may be absent.
type Row = (i64, u8, Option<i64>, Option<i16>, Option<u8>);

/// Distinct (time, sequence) in order of time and first appearance; of each the last value of every metric.
fn naive(rows: &[Row]) -> Stored {
    let mut places: Vec<(i64, usize, u8, [Option<Value>; 3])> = Vec::new();
    for (order, (time, sequence, v, f, s)) in rows.iter().enumerate() {
        let values = [
            v.map(Value::Integer),
            f.map(|f| Value::Float(f64::from(f) + 0.5)),
            s.map(|s| Value::Text(format!("word {s}"))),
        ];
        if values.iter().all(Option::is_none) {
            continue;
        }
        let known = places.iter_mut().find(|place| (place.0, place.2) == (*time, *sequence));
        match known {
            Some(place) => {
                values.into_iter().zip(&mut place.3).for_each(|(new, old)| *old = new.or_else(|| old.take()));
            }
            None => places.push((*time, order, *sequence, values)),
        }
    }
    places.sort_by_key(|place| (place.0, place.1));
    let (mut stored, mut last) = (Stored::new(), None::<i64>);
    for (time, _, _, values) in places {
        let at = last.map_or(time, |last| time.max(last + 1));
        last = Some(at);
        for (name, value) in ["v", "f", "s"].into_iter().zip(values) {
            stored.extend(value.map(|value| (("a".to_owned(), at, name.to_owned()), value)));
        }
    }
    stored
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn sparse_values_of_one_instant_agree_with_a_naive_reading(
        rows in prop::collection::vec(
            (0..3_i64, 0..6_u8, prop::option::of(any::<i64>()), prop::option::of(any::<i16>()), prop::option::of(0..9_u8)), 1..60),
        in_order: bool,
    ) {
        let mut rows: Vec<Row> = rows;
        if in_order {
            rows.sort_by_key(|row| row.0);
        }
        // The first row settles the types.
        rows.insert(0, (-9, 0, Some(1 << 40), Some(1), Some(0)));
        let mut content = String::from("d,t,n,v,f,s\n");
        let show = |value: Option<String>| value.unwrap_or_default();
        for (time, sequence, v, f, s) in &rows {
            let (v, f) = (show(v.map(|v| v.to_string())), show(f.map(|f| format!("{:?}", f64::from(f) + 0.5))));
            writeln!(content, "a,{time},{sequence},{v},{f},{}", show(s.map(|s| format!("word {s}")))).expect("into memory");
        }
        prop_assert_eq!(import_text("f.csv", &content, &sequenced()).sink.stored, naive(&rows));
    }
}

#[test]
fn many_rows_of_one_instant_are_taken_and_too_many_refused() {
    // Twice over every sequence: the second time values that the first left out, and texts that replace others.
    let mut content = String::from("d,t,n,v,f,s\n");
    for row in 0..150_000 {
        writeln!(content, "a,5,{row},{row},,text {row}").expect("into memory");
    }
    for row in 0..150_000 {
        writeln!(content, "a,5,{row},,{row}.5,other {row}").expect("into memory");
    }
    let imported = import_text("f.csv", &content, &sequenced());
    assert_eq!((imported.counts.stored, imported.counts.overwritten), (150_000, 150_000));
    let at = |time: i64, metric: &str| imported.sink.stored.get(&("a".to_owned(), time, metric.to_owned())).cloned();
    assert_eq!(at(5 + 70_000, "v"), Some(Value::Integer(70_000)));
    assert_eq!(at(5 + 70_000, "f"), Some(Value::Float(70_000.5)));
    assert_eq!(at(5 + 70_000, "s"), Some(Value::Text("other 70000".into())));

    let folder = tempfile::tempdir().expect("a folder");
    let mut content = String::from("d,t,n,v,f,s\n");
    (0..300_000).for_each(|row| writeln!(content, "a,5,{row},1,,").expect("into memory"));
    let error = import(&file(folder.path(), "f.csv", content), &sequenced(), MIB).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("262144 rows at 1970-01-01T00:00:00.000000005Z"), "{error}");
}

#[test]
fn rows_that_catch_up_with_moved_ones_are_handed_on_in_parts() {
    let mut content = String::from("d,t,n,v,f,s\na,0,1,1,,\na,0,2,1,,\n");
    (1..200_000).for_each(|row| writeln!(content, "a,{row},1,{row},,").expect("into memory"));
    let imported = import_text("f.csv", &content, &sequenced());
    assert_eq!((imported.counts.stored, imported.counts.kept_apart), (200_001, 200_000));
    assert!(imported.sink.calls >= 3, "{} calls", imported.sink.calls);
    let last = imported.sink.stored.get(&("a".to_owned(), 200_000, "v".to_owned())).cloned();
    assert_eq!(last, Some(Value::Integer(199_999)));
}

#[test]
fn a_missing_sequence_is_none_of_the_numbers() {
    let content = "d,t,n,v,f,s\na,1,-1,1,,\na,1,,2,,\na,1,,3,,\n";
    let imported = import_text("f.csv", content, &sequenced());
    assert_eq!((imported.counts.stored, imported.counts.overwritten), (2, 1));
    let values: Vec<&Value> = imported.sink.stored.values().collect();
    assert_eq!(values, [&Value::Integer(1), &Value::Integer(3)]);
}

#[test]
fn a_name_that_no_metric_can_have_refuses_its_row() {
    let long = "n".repeat(129);
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let mut content = String::new();
    (1..=1_200).for_each(|row| writeln!(content, "{{\"d\":\"a\",\"t\":{row},\"v\":{row}}}").expect("into memory"));
    for (row, name) in [(1_201, ""), (1_202, long.as_str()), (1_203, "a\\u0007b"), (1_204, "fine")] {
        writeln!(content, "{{\"d\":\"a\",\"t\":{row},\"v\":1,\"{name}\":2}}").expect("into memory");
    }
    let imported = import_text("f.jsonl", &content, &options);
    assert_eq!(refused(&imported), [1_201, 1_202, 1_203]);
    assert_eq!(imported.counts.stored, 1_201);
    assert!(imported.rejections[0].reason.contains("field ''"), "{}", imported.rejections[0].reason);
    // Who names the wanted columns does not mind the others.
    options.metrics = Some(vec!["v".into()]);
    assert_eq!(import_text("f.jsonl", &content, &options).counts.stored, 1_204);
}

#[test]
fn a_list_refuses_its_row_whatever_else_its_column_holds() {
    let content = "{\"d\":\"a\",\"t\":1,\"v\":1,\"w\":[1]}\n{\"d\":\"a\",\"t\":2,\"v\":2}\n{\"d\":\"a\",\"t\":3,\"v\":3,\"w\":[]}\n";
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let imported = import_text("f.jsonl", content, &options);
    assert_eq!(refused(&imported), [1, 3]);
    assert!(imported.rejections[0].reason.contains("'w' has a list"), "{}", imported.rejections[0].reason);
    options.metrics = Some(vec!["v".into()]);
    assert_eq!(import_text("f.jsonl", content, &options).counts.stored, 3);
}

#[test]
fn measurements_that_share_names_are_told_apart_by_them() {
    let content = "temp,host=a value=1 1\ndisk,host=a value=2 1\nhost,host=a temp=3,host=4 2\n";
    let mut options = SamplesImport { device_column: Some("host".into()), ..Default::default() };
    assert_eq!(import_text("f.lp", content, &options).counts.rejected, 2);
    options.name_with_measurement = true;
    let imported = import_text("f.lp", content, &options);
    assert_eq!(imported.counts.rejected, 0);
    let names: Vec<(i64, &str)> =
        imported.sink.stored.keys().map(|(_, time, metric)| (*time, metric.as_str())).collect();
    assert_eq!(names, [(1, "disk.value"), (1, "temp.value"), (2, "host.host"), (2, "host.temp")]);
}

#[test]
fn gzip_of_several_members_is_read_to_its_end() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().expect("a folder");
    let mut packed = Vec::new();
    for part in ["d,t,v\na,1,1\n", "a,2,2\na,", "3,3\n"] {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        member.write_all(part.as_bytes()).expect("into memory");
        packed.extend(member.finish().expect("into memory"));
    }
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let imported = import(&file(folder.path(), "f.csv.gz", packed), &options, MIB).expect("a good file");
    assert_eq!(imported.counts.stored, 3);
}

#[test]
fn a_device_is_named_by_its_file_without_one_ending_of_each_sort() {
    let mut options = SamplesImport { device_from_file_name: true, ..Default::default() };
    options.times.unit = Some(TimeUnit::Nanoseconds);
    for (name, device) in [
        ("pump-1.line", "pump-1"),
        ("pump-1.INFLUX", "pump-1"),
        ("a.txt.lp", "a.txt"),
        ("a.lp.lp", "a.lp"),
        (".lp.lp", ".lp"),
    ] {
        let imported = import_text(name, "m v=1 1\n", &options);
        let devices: Vec<&str> = imported.sink.stored.keys().map(|(device, ..)| device.as_str()).collect();
        assert_eq!(devices, [device], "{name}");
    }
}
