//! What scripts rely on: exit codes, one-line messages, formats, and that reading verbs change nothing.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use common::{Place, bad, command, counts, good, rows, run};

const SAMPLES: &str = "id,at,power_w,mode\npump-1,2025-01-01T00:00:00Z,1.5,run\npump-1,2025-01-01T00:01:00Z,,idle\n\
    pump-2,2025-01-01T00:00:00Z,NaN,run\npump-2,2025-01-01T00:02:00Z,1e300,\"a, \"\"b\"\"\"\n";

fn filled() -> Place {
    let place = Place::new();
    let file = place.file("samples.csv", SAMPLES);
    let imported = counts(&good(&["import", "samples", &place.store, &file, "--device", "id", "--time", "at"]));
    assert_eq!((imported["rows_read"], imported["stored"], imported["rejected"]), (4, 4, 0));
    place
}

#[test]
fn formats_say_the_same() {
    let place = filled();
    let words = ["samples", &place.store, "--device", "pump-2", "--format"];
    let with = |format: &str| good(&[&words[..], &[format]].concat());
    assert_eq!(
        with("csv"),
        "device,time,mode,power_w\npump-2,2025-01-01T00:00:00Z,run,NaN\npump-2,2025-01-01T00:02:00Z,\"a, \"\"b\"\"\",1e300\n"
    );
    assert_eq!(good(&words[..4]), with("csv"), "csv where stdout is no terminal");
    let json: serde_json::Value = serde_json::from_str(&with("json")).unwrap();
    assert_eq!(json[0]["power_w"], "NaN");
    assert_eq!(json[1]["power_w"].as_f64(), Some(1e300));
    assert_eq!(json[1]["mode"], "a, \"b\"");
    let lines: Vec<serde_json::Value> = with("jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::Array(lines), json);
    assert!(with("table").lines().count() == 3);
    let missing = good(&["samples", &place.store, "--device", "pump-1"]);
    assert!(missing.ends_with("pump-1,2025-01-01T00:01:00Z,idle,\n"), "{missing}");
    let json: serde_json::Value =
        serde_json::from_str(&good(&["samples", &place.store, "--device", "pump-1", "--format", "json"])).unwrap();
    assert!(json[1]["power_w"].is_null());
    let none = good(&["events", &place.store, "--format", "json"]);
    assert_eq!(none, "[]\n");
}

#[test]
fn failures_are_one_line_with_a_code() {
    let place = filled();
    let store = place.store.as_str();
    let nowhere = place.folder.path().join("nowhere").to_str().unwrap().to_owned();
    let cases: [(&[&str], i32, &str); 12] = [
        (&["init", store], 1, "not empty"),
        (&["info", &nowhere], 1, "nowhere"),
        (&["query", store, "--metric", "nope", "--aggregate", "mean"], 1, "power_w"),
        (&["query", store, "--metric", "mode", "--aggregate", "mean"], 1, "text"),
        (&["query", store, "--metric", "power_w", "--aggregate", "mean", "--by", "planet"], 1, "planet"),
        (
            &[
                "query",
                store,
                "--metric",
                "power_w",
                "--aggregate",
                "mean",
                "--from",
                "2025-02-01",
                "--to",
                "2025-01-01",
            ],
            2,
            "no time",
        ),
        (&["query", store, "--metric", "power_w", "--aggregate", "mean", "--zone", "Europe/Vienna"], 2, "--every"),
        (&["query", store, "--metric", "power_w", "--aggregate", "mean", "--order", "x"], 2, "power_w_mean"),
        (&["samples", store, "--device", "pump-9"], 1, "pump-9"),
        (&["rejections", store, "--show", "7"], 1, "7"),
        (&["delete", store, "--device", "pump-9", "--from", "2025-01-01", "--to", "2026-01-01"], 1, "no device"),
        (&["attribute", "set", store, "--device", "pump-9", "--attribute", "a=b", "--from", "2025-01-01"], 1, "pump-9"),
    ];
    for (words, code, part) in cases {
        let (found, message) = bad(words);
        assert_eq!(found, code, "{words:?}: {message}");
        assert!(
            message.starts_with("fleetlog: ") && message.lines().count() == 1 && message.contains(part),
            "{words:?}: {message}"
        );
    }
}

#[test]
fn bad_files_leave_the_store_as_it_was() {
    let place = filled();
    let before = info(&place.store);
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c];
    let files = [
        place.file("garbage.csv", [0xff, 0xfe, 0, 1, 2, 3]),
        place.file("empty.csv", ""),
        place.file("columns.csv", "a,b\n1,2\n"),
        place.file("cut.csv.gz", packed),
        place.file("noise.parquet", "PAR1 this is no parquet PAR1"),
        place.file("noise.jsonl", "not json at all"),
        place.file("archive.xlsx", "PK"),
        place.folder.path().to_str().unwrap().to_owned(),
        place.folder.path().join("absent.csv").to_str().unwrap().to_owned(),
    ];
    for file in &files {
        let output = run(&["import", "samples", &place.store, file, "--device", "id", "--time", "at", "--quiet"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2 | 4)), "{file}: {message}");
        assert!(!message.contains("panicked") && message.lines().count() <= 1, "{file}: {message}");
        assert!(
            output.status.code() == Some(4) || message.contains(Path::new(file).file_name().unwrap().to_str().unwrap()),
            "{message}"
        );
    }
    let after = info(&place.store);
    for what in ["devices", "metrics", "events", "logs", "segments", "samples", "values", "from", "to", "columns"] {
        assert!(!before[what].is_null(), "{what} in {before}");
        assert_eq!(before[what], after[what], "{what}");
    }
}

fn info(store: &str) -> serde_json::Value {
    serde_json::from_str(&good(&["info", store, "--format", "json"])).unwrap()
}

#[test]
fn bad_rows_are_kept_and_the_rest_goes_in() {
    let place = Place::new();
    let file = place.file(
        "mixed.csv",
        "id,at,x\na,2025-01-01,1\na,soon,2\n,2025-01-02,3\na,2025-01-03,many\na,2025-01-04,5,6\na,2025-01-05,7\n",
    );
    let output = run(&["import", "samples", &place.store, &file, "--device", "id", "--time", "at", "--metrics", "x"]);
    assert_eq!(output.status.code(), Some(4));
    let imported = counts(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(imported["rows_read"], imported["stored"] + imported["rejected"]);
    let kept = rows(&good(&["rejections", &place.store]));
    assert_eq!(kept.len() as u64, imported["rejected"]);
    let lines: Vec<&str> = kept.iter().map(|row| row["row"].as_str()).collect();
    assert!(lines.contains(&"3") && lines.contains(&"4"), "{lines:?}");
    assert!(kept.iter().all(|row| !row["reason"].is_empty() && row["source"].ends_with("mixed.csv")), "{kept:?}");
    assert!(kept[0]["excerpt"].contains("soon"), "{kept:?}");
    assert_eq!(rows(&good(&["rejections", &place.store, "--show", &kept[0]["id"]])).len(), 1);
}

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn reading_verbs_work_beside_a_writer_and_change_nothing() {
    let place = filled();
    let writer =
        fleetlog::Store::open(&place.store, fleetlog::Options { create: false, ..Default::default() }).unwrap();
    let before = files(Path::new(&place.store));
    let store = place.store.as_str();
    let reading: [&[&str]; 9] = [
        &["info", store],
        &["query", store, "--metric", "power_w", "--aggregate", "count"],
        &["trend", store, "--metric", "power_w", "--every", "1m"],
        &["samples", store, "--device", "pump-1"],
        &["latest", store],
        &["gaps", store, "--longer-than", "1s"],
        &["outliers", store, "--metric", "power_w", "--sigma", "3"],
        &["device", store, "pump-1"],
        &["dump", store],
    ];
    for words in reading {
        assert!(!good(words).is_empty());
    }
    assert_eq!(before.keys().collect::<Vec<_>>(), files(Path::new(store)).keys().collect::<Vec<_>>());
    assert!(before == files(Path::new(store)), "a reading verb changed a file");
    let file = place.file("more.csv", SAMPLES);
    let writing: [&[&str]; 3] = [
        &["import", "samples", store, &file, "--device", "id", "--time", "at"],
        &["compact", store],
        &["delete", store, "--device", "pump-1", "--from", "2025-01-01", "--to", "2026-01-01"],
    ];
    for words in writing {
        let (code, message) = bad(words);
        assert_eq!(code, 5, "{message}");
    }
    writer.close().unwrap();
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let place = Place::new();
    let mut csv = "id,at,x\n".to_owned();
    (0..20_000).for_each(|row| csv.push_str(&format!("a,{}s,{row}\n", 1_700_000_000 + row)));
    let file = place.file("many.csv", csv);
    good(&["import", "samples", &place.store, &file, "--device", "id", "--time", "at"]);
    for words in
        [&["samples", &place.store, "--device", "a"][..], &["dump", &place.store, "--segment", "1", "--values"]]
    {
        let mut child = command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}: {message}");
        assert_eq!(message, "");
    }
}

#[test]
fn times_come_in_many_forms() {
    let place = filled();
    for from in
        ["2025-01-01T00:01:00Z", "2025-01-01T01:01:00+01:00", "1735689660s", "1735689660000ms", "1735689660000000000ns"]
    {
        let found = good(&["samples", &place.store, "--device", "pump-1", "--from", from, "--to", "2025-01-02"]);
        assert_eq!(found.lines().count(), 2, "{from}: {found}");
    }
    assert_eq!(bad(&["samples", &place.store, "--device", "pump-1", "--from", "yesterday"]).0, 2);
}

#[test]
fn explain_says_what_was_done() {
    let place = filled();
    let output =
        run(&["query", &place.store, "--metric", "power_w", "--aggregate", "mean", "--explain", "--repeat", "3"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    let keys = [
        "elapsed_ms",
        "open_ms",
        "plan_ms",
        "scan_ms",
        "merge_ms",
        "threads",
        "segments",
        "segments_pruned",
        "blocks",
        "blocks_from_statistics",
        "blocks_decoded",
        "values_decoded",
        "bytes_read",
        "elapsed_min_ms",
        "elapsed_max_ms",
    ];
    for key in keys {
        assert!(told[key].is_number(), "{key} in {told}");
    }
    assert!(told["elapsed_min_ms"].as_f64() <= told["elapsed_ms"].as_f64());
    assert_eq!(told["elapsed_each_ms"].as_array().map(Vec::len), told["repeat"].as_u64().map(|repeat| repeat as usize));
    assert!(told["blocks_from_statistics"].as_u64() > Some(0) && told["values_decoded"] == 0, "{told}");
    let output =
        run(&["query", &place.store, "--metric", "power_w", "--aggregate", "mean", "--explain", "--no-statistics"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(told["blocks_from_statistics"] == 0 && told["values_decoded"].as_u64() > Some(0), "{told}");
}
