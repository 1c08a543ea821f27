//! Imports of text files against what their rows say, read naively.

use proptest::prelude::*;

use crate::catalog::Conversion;
use crate::error::ErrorKind;
use crate::ingest::TimeUnit;
use crate::model::Value;

use super::testing::{Imported, Stored, file, import, options};

const MIB: usize = 1 << 20;

fn import_text(name: &str, content: &str, options: &super::SamplesImport) -> Imported {
    let folder = tempfile::tempdir().expect("a folder");
    import(&file(folder.path(), name, content), options, MIB).expect("a good file")
}

fn value(imported: &Imported, device: &str, time: i64, metric: &str) -> Option<Value> {
    imported.sink.stored.get(&(device.to_owned(), time, metric.to_owned())).cloned()
}

const S: i64 = 1_000_000_000;

#[test]
fn columns_take_the_narrowest_type_that_holds_all() {
    let content = "device,time,whole,part,flag,word,late,mixed\n\
                   a,1970-01-01 00:00:01,1,1,true,x,,0\n\
                   a,1970-01-01 00:00:02,2,2.5,0,007,5,1\n\
                   a,1970-01-01 00:00:03,NA,-0,FALSE,NA,x,1e2\n";
    let imported = import_text("f.csv", content, &options("device", "time"));
    assert!(!imported.sorted);
    let at = |time, metric| value(&imported, "a", time * S, metric);
    assert_eq!(at(1, "whole"), Some(Value::Integer(1)));
    assert_eq!(at(1, "part"), Some(Value::Float(1.0)));
    assert_eq!(at(1, "flag"), Some(Value::Integer(1)));
    assert_eq!(at(2, "flag"), Some(Value::Integer(0)));
    assert_eq!(at(2, "word"), Some(Value::Text("007".into())));
    assert_eq!(at(3, "word"), Some(Value::Text("NA".into())));
    assert_eq!(at(3, "whole"), None);
    // One text against one number: the column is text.
    assert_eq!(at(2, "late"), Some(Value::Text("5".into())));
    assert_eq!(at(3, "mixed"), Some(Value::Float(100.0)));
}

#[test]
fn bad_rows_are_refused_by_line_and_the_rest_goes_in() {
    let long = "y".repeat(1_025);
    let content = format!(
        "device,time,v,t\na,2025-01-01,1,x\na,yesterday,2,x\n,2025-01-02,3,x\na,2025-01-03,oops,x\na,2025-01-04,4\n\
         a,2025-01-05,5,{long}\na,2025-01-06,6,x\na,2025-01-07,,\n"
    );
    let imported = import_text("f.csv", &content, &options("device", "time"));
    let lines: Vec<u64> = imported.rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    assert_eq!((imported.counts.rows_read, imported.counts.stored, imported.counts.empty), (8, 2, 1));
    assert!(
        imported.rejections[2].reason.contains("'v' holds numbers, not 'oops'"),
        "{}",
        imported.rejections[2].reason
    );
    assert!(imported.rejections[2].bytes.starts_with(b"a,2025-01-03,oops"));
}

#[test]
fn later_rows_win_metric_by_metric_and_sequences_keep_apart() {
    let content = "d,t,n,v,w\na,1,7,1,1\na,1,7,2,\na,1,8,3,3\na,1,9,4,4\na,1,8,,5\na,2,1,6,6\n";
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Nanoseconds);
    let imported = import_text("f.csv", content, &options);
    assert_eq!((imported.counts.stored, imported.counts.overwritten), (2, 4));
    assert_eq!(value(&imported, "a", 1, "v"), Some(Value::Integer(4)));
    assert_eq!(value(&imported, "a", 1, "w"), Some(Value::Integer(5)));

    options.sequence_column = Some("n".into());
    let imported = import_text("f.csv", content, &options);
    // Sequences 7, 8, 9 at 1, 2, 3 ns; the row of 2 ns comes behind them.
    assert_eq!((imported.counts.stored, imported.counts.overwritten, imported.counts.kept_apart), (4, 2, 3));
    let kept: Vec<_> =
        (1..=4).map(|time| (value(&imported, "a", time, "v"), value(&imported, "a", time, "w"))).collect();
    let pair = |v, w| (Some(Value::Integer(v)), Some(Value::Integer(w)));
    assert_eq!(kept, [pair(2, 1), pair(3, 5), pair(4, 4), pair(6, 6)]);
}

#[test]
fn options_rename_select_convert_and_link() {
    let content = "dev;gw;t;temp;rssi\np;g1;01/02/2024 10:00;-8,5;-100\np;g2;01/02/2024 10:00;1,5;-90\n";
    let mut options = options("dev", "t");
    (options.delimiter, options.decimal) = (b';', b',');
    options.times.format = Some("%d/%m/%Y %H:%M".into());
    options.times.zone = Some("Europe/Paris".into());
    options.link_to = Some("gw".into());
    options.metrics = Some(vec!["temp".into()]);
    options.rename = vec![("temp".into(), "temperature_c".into())];
    let imported = import_text("f.csv", content, &options);
    let nine_utc = 1_706_778_000 * S;
    assert_eq!(imported.sink.stored.len(), 2);
    assert_eq!(value(&imported, "p@g1", nine_utc, "temperature_c"), Some(Value::Float(-8.5)));
    assert_eq!(value(&imported, "p@g2", nine_utc, "temperature_c"), Some(Value::Float(1.5)));
}

#[test]
fn units_convert_on_the_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "f.csv", "d,t,v\na,2025-01-01,50\n");
    let mut options = options("d", "t");
    options.units = vec![("v".into(), "degF".into())];
    // The sink of the tests gives no conversion; the assembler is driven with one here.
    let setup = super::samples::Setup {
        path: &path,
        options: &options,
        accepted_times: crate::time::TimeRange::ALL,
        progress: None,
    };
    let mut sink = super::testing::MapSink::default();
    sink.conversion = Some(Conversion { scale: 5.0 / 9.0, offset: -160.0 / 9.0 });
    let mut intake = super::records::Intake::default();
    let mut source = super::samples::open(&setup, super::plan::Plan::new(&options, std::iter::empty()), &mut intake)
        .expect("a good file");
    let means = super::pass::Means { scratch_folder: folder.path(), sort_bytes: MIB, progress: None };
    super::pass::run(super::pass::Order::AsItComes, source.as_mut(), &mut intake, &mut sink, means)
        .expect("a good file");
    let values: Vec<f64> = sink.stored.values().filter_map(Value::as_f64).collect();
    assert!((values[0] - 10.0).abs() < 1e-12, "{values:?}");
}

#[test]
fn json_lines_and_line_protocol_carry_types() {
    let json = "{\"d\":\"a\",\"t\":1000,\"in\":{\"v\":1},\"w\":\"x\"}\n{\"d\":\"a\",\"t\":2000,\"in\":{\"v\":2.5},\"late\":true}\n\
                {\"d\":\"a\",\"t\":3000,\"in\":{\"v\":\"text\"}}\n{\"d\":\"a\",\"t\":4000,\"w\":[1]}\n{\"d\":7,\"t\":1,\"late\":false}\n";
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Milliseconds);
    let imported = import_text("f.jsonl", json, &options);
    assert_eq!(imported.rejections.iter().map(|rejection| rejection.row).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(value(&imported, "a", S, "in.v"), Some(Value::Float(1.0)));
    assert_eq!(value(&imported, "a", 2 * S, "late"), Some(Value::Boolean(true)));
    assert_eq!(value(&imported, "7", 1_000_000, "late"), Some(Value::Boolean(false)));

    let lines = "m,device=a,site=x v=1i,w=2 5\nm,device=b v=2i 4\nm,device=a v=3i 5\n";
    let options = super::SamplesImport { device_column: Some("device".into()), ..Default::default() };
    let imported = import_text("f.lp", lines, &options);
    assert!(imported.sorted);
    assert_eq!(imported.counts.overwritten, 1);
    assert_eq!(value(&imported, "a", 5, "v"), Some(Value::Integer(3)));
    assert_eq!(value(&imported, "a", 5, "w"), Some(Value::Float(2.0)));
    assert_eq!(value(&imported, "a", 5, "site"), None);
}

#[test]
fn packed_files_are_read_and_damaged_ones_named() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().expect("a folder");
    let mut content = String::from("d,t,v\n");
    (0..20_000).for_each(|row| content.push_str(&format!("a,{row},{row}\n")));
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content.as_bytes()).expect("into memory");
    let gzip = gzip.finish().expect("into memory");
    let zstd = zstd::stream::encode_all(content.as_bytes(), 1).expect("into memory");
    for (name, bytes) in [("f.csv.gz", &gzip), ("f.csv.zst", &zstd), ("g.csv", &gzip), ("h.csv", &zstd)] {
        let imported = import(&file(folder.path(), name, bytes), &options, MIB).expect("a good file");
        assert_eq!(imported.counts.stored, 20_000, "{name}");
        let cut = file(folder.path(), &format!("cut-{name}"), &bytes[..bytes.len() - 9]);
        let error = import(&cut, &options, MIB).expect_err("a cut file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
}

type Change = fn(&mut super::SamplesImport);

#[test]
fn unusable_files_give_one_clear_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: [(&str, &[u8], &str); 8] = [
        ("empty.csv", b"", "empty"),
        ("binary.csv", b"\x7FELF\x00\x01\n\x00", "binary"),
        ("zip.csv", b"PK\x03\x04....", "ZIP"),
        ("name.xyz", b"d,t,v\n", "formats"),
        ("missing.csv", b"a,b\n1,2\n", "no column 'd'"),
        ("semicolon.csv", b"d;t;v\n1;2;3\n", "--delimiter"),
        ("twice.csv", b"d,t,v,v\n1,2,3,4\n", "two columns are named 'v'"),
        ("fake.parquet", b"d,t,v\n1,2,3\n", "not a Parquet file"),
    ];
    for (name, content, words) in cases {
        let error = import(&file(folder.path(), name, content), &options("d", "t"), MIB).expect_err(name);
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    let good = file(folder.path(), "good.csv", "d,t,v\na,2025-01-01,1\n");
    let changes: [(Change, &str); 4] = [
        (|options| options.metrics = Some(vec!["w".into()]), "no column 'w'"),
        (|options| options.rename = vec![("w".into(), "x".into())], "no column 'w'"),
        (|options| options.units = vec![("w".into(), "V".into())], "no metric 'w'"),
        (|options| options.times.zone = Some("Nowhere".into()), "time zone"),
    ];
    for (change, words) in changes {
        let mut options = options("d", "t");
        change(&mut options);
        let error = import(&good, &options, MIB).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }
    let json = file(folder.path(), "good.jsonl", "{\"d\":\"a\",\"v\":1}\n");
    let error = import(&json, &options("d", "t"), MIB).expect_err("no time");
    assert!(error.to_string().contains("no column 't'"), "{error}");
    let mut both = options("d", "t");
    both.device_id = Some("x".into());
    assert!(both.check().is_err());
}

#[test]
fn a_type_that_widens_late_sorts_instead_of_storing_two_types() {
    let mut content = String::from("d,t,v\n");
    (0..9_000).for_each(|row| content.push_str(&format!("{},{},{}\n", row / 4_500, row % 4_500, row)));
    content.push_str("1,9000,0.5\n");
    let mut options = options("d", "t");
    options.times.unit = Some(TimeUnit::Seconds);
    let imported = import_text("f.csv", &content, &options);
    assert!(imported.sorted);
    assert_eq!(imported.counts.stored, 9_001);
    assert_eq!(value(&imported, "0", 0, "v"), Some(Value::Float(0.0)));
}

/// What a CSV file says, read with the `csv` crate: later rows win, metric by metric.
fn naive(content: &str) -> (Stored, u64) {
    let mut reader = csv::Reader::from_reader(content.as_bytes());
    let names: Vec<String> = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let (mut stored, mut instants, mut rows) = (Stored::new(), std::collections::HashSet::new(), 0);
    for record in reader.records() {
        let record = record.expect("a good row");
        let time: i64 = record[1].parse().expect("a number");
        if record.iter().skip(2).all(str::is_empty) {
            continue;
        }
        rows += 1;
        instants.insert((record[0].to_owned(), time));
        for (name, field) in names.iter().zip(&record).skip(2).filter(|(_, field)| !field.is_empty()) {
            let value = match name.as_str() {
                "f" => Value::Float(field.parse().expect("a float")),
                "i" => Value::Integer(field.parse().expect("an integer")),
                _ => Value::Text(field.to_owned()),
            };
            stored.insert((record[0].to_owned(), time, name.clone()), value);
        }
    }
    (stored, rows - instants.len() as u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Law: in any order, with any memory, an import is what a naive reading gives.
    #[test]
    fn imports_agree_with_a_naive_reading(
        rows in prop::collection::vec(
            (0..4_u8, 0..30_i64, prop::option::of(-5.0..5.0_f64), prop::option::of(any::<i64>()), prop::option::of(0..3_u8)), 1..200),
        in_order: bool,
        sort_bytes in prop::sample::select(vec![1, 30_000, MIB]),
    ) {
        let mut rows = rows;
        if in_order {
            rows.sort_by_key(|row| (row.0, row.1));
        }
        // The first row settles the types.
        let mut content = String::from("d,t,f,i,s\ndev0,-1,0.5,1,word\n");
        for (device, time, float, integer, text) in &rows {
            let show = |value: Option<String>| value.unwrap_or_default();
            content.push_str(&format!(
                "dev{device},{time},{},{},{}\n",
                show(float.map(|value| format!("{value:?}"))),
                show(integer.map(|value| value.to_string())),
                show(text.map(|value| format!("word {value}")))
            ));
        }
        let (expected, overwritten) = naive(&content);
        let mut options = options("d", "t");
        options.times.unit = Some(TimeUnit::Nanoseconds);
        let folder = tempfile::tempdir().expect("a folder");
        let imported = import(&file(folder.path(), "f.csv", &content), &options, sort_bytes).expect("a good file");
        prop_assert_eq!(imported.counts.overwritten, overwritten);
        prop_assert_eq!(imported.sink.stored, expected);
    }
}

/// What sequences mean, said naively: of one device, distinct (time, sequence) in order of time and first appearance, each
/// at its own time or 1 ns behind the one before it, whichever is later.
fn naive_apart(rows: &[(u8, i64, u8, i64)]) -> (Stored, u64) {
    let mut places: Vec<(u8, i64, usize, u8, i64)> = Vec::new();
    for (order, (device, time, sequence, value)) in rows.iter().enumerate() {
        match places.iter_mut().find(|place| (place.0, place.1, place.3) == (*device, *time, *sequence)) {
            Some(place) => place.4 = *value,
            None => places.push((*device, *time, order, *sequence, *value)),
        }
    }
    places.sort();
    let (mut stored, mut moved, mut last) = (Stored::new(), 0, None::<(u8, i64)>);
    for (device, time, _, _, value) in places {
        let at = last.filter(|(other, _)| *other == device).map_or(time, |(_, last)| time.max(last + 1));
        moved += u64::from(at != time);
        last = Some((device, at));
        stored.insert((format!("dev{device}"), at, "v".into()), Value::Integer(value));
    }
    (stored, moved)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sequences_agree_with_a_naive_reading(
        rows in prop::collection::vec((0..2_u8, 0..12_i64, 0..4_u8, any::<i64>()), 1..60),
        sort_bytes in prop::sample::select(vec![1, MIB]),
    ) {
        let mut content = String::from("d,t,n,v\n");
        rows.iter().for_each(|(device, time, sequence, value)| content.push_str(&format!("dev{device},{time},{sequence},{value}\n")));
        let mut options = options("d", "t");
        options.times.unit = Some(TimeUnit::Nanoseconds);
        options.sequence_column = Some("n".into());
        options.metrics = Some(vec!["v".into()]);
        let folder = tempfile::tempdir().expect("a folder");
        let imported = import(&file(folder.path(), "f.csv", &content), &options, sort_bytes).expect("a good file");
        let (expected, moved) = naive_apart(&rows);
        prop_assert_eq!(imported.counts.kept_apart, moved);
        prop_assert_eq!(imported.counts.overwritten, (rows.len() - expected.len()) as u64);
        prop_assert_eq!(imported.sink.stored, expected);
    }

    #[test]
    fn any_file_under_any_name_is_read_or_refused(
        name in prop::sample::select(vec!["f.csv", "f.jsonl", "f.lp", "f.csv.gz", "f.jsonl.zst", "f.parquet"]),
        head in prop::sample::select(vec![&b""[..], b"d,t,v\n", b"{\"d\":\"a\",\"t\":1}\n", b"PAR1", b"\x1F\x8B\x08\0", b"\x28\xB5\x2F\xFD"]),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(folder.path(), name, [head, &tail].concat());
        if let Err(error) = import(&path, &options("d", "t"), MIB) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
