//! Wrong usage ends with 2 and one line; what is asked for in vain, cut off or left out is told.

mod common;

use common::{Place, bad, good, rows, run};

const SAMPLES: &str = "d,t,power,press\na,2025-01-01T00:00:00Z,1,5\na,2025-01-01T12:00:00Z,3,6\na,2025-01-02T00:00:00Z,5,7\n\
    a,2025-01-02T12:00:00Z,4,7\n";

fn plant() -> Place {
    let place = Place::new();
    let file = place.file("s.csv", SAMPLES);
    let words =
        ["import", "samples", &place.store, &file, "--device", "d", "--time", "t", "--unit", "power=W,press=bar"];
    good(&words);
    good(&["attribute", "set", &place.store, "--device", "a", "--attribute", "model=A", "--from", "2025-01-01"]);
    place
}

#[test]
fn wrong_usage_is_one_line_that_says_what_and_where() {
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &["init", "query", "'fleetlog --help'"]),
        (&["import"], &["samples, devices, events", "'fleetlog import --help'"]),
        (&["frobnicate"], &["'frobnicate'", "'fleetlog --help'"]),
        (&["query"], &["<STORE>", "--metric <M[,M]>", "--aggregate <A[,A]>", "'fleetlog query --help'"]),
        (&["querry", "x"], &["'querry'", "'query'"]),
        (&["info", "x", "--colour"], &["'--colour'", "'fleetlog info --help'"]),
        (&["query", "x", "--metric", "m", "--aggregate", "p101"], &["'p101'", "--aggregate", "p95"]),
        (&["info", "x", "--format", "xml"], &["'xml'", "table, csv, json, jsonl"]),
        (&["samples", "x", "--device", "a", "--from", "yesterday"], &["'yesterday'", "--from", "RFC 3339"]),
        (&["import", "samples", "x"], &["<FILES>...", "'fleetlog import samples --help'"]),
        (&["delete", "x", "--from", "2025-01-01", "--to", "2025-01-02"], &["--device", "--where"]),
        (
            &["import", "devices", "x", "f", "--device", "d", "--from", "2025-01-01", "--from-column", "c"],
            &["--from", "--from-column", "cannot be used"],
        ),
        (&["import", "samples", "x", "f", "--unit", "a=V,b"], &["'b'", "--unit", "A=B,C=D"]),
    ];
    for (words, parts) in cases {
        let (code, message) = bad(words);
        assert_eq!((code, message.lines().count()), (2, 1), "{words:?}: {message}");
        assert!(message.starts_with("fleetlog: "), "{words:?}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{words:?} without one of {parts:?}: {message}");
    }
    for words in [&["--help"][..], &["query", "--help"], &["--version"], &["help", "import"]] {
        assert!(good(words).contains("fleetlog"), "{words:?}");
    }
}

#[cfg(unix)]
#[test]
fn wrong_usage_with_bytes_that_are_no_text_is_one_line_too() {
    use std::os::unix::ffi::OsStrExt;
    let bytes = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    for (words, part) in [(&["query"][..], "'fleetlog query --help'"), (&["info", "x", "--colour"], "'--colour'")] {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_fleetlog")).args(words).arg(bytes).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), message.lines().count()), (Some(2), 1), "{words:?}: {message}");
        assert!(message.contains(part), "{words:?}: {message}");
    }
}

#[test]
fn what_a_message_quotes_moves_no_cursor() {
    for words in [&["fro\rb\u{1b}[31mx"][..], &["info", "x", "--colour\u{1b}[2J"]] {
        let (code, message) = bad(words);
        assert!(code == 2 && !message.trim_end_matches('\n').contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_format_that_would_be_left_out_is_refused() {
    let place = plant();
    let elsewhere = place.folder.path().join("new.fleet").to_str().unwrap().to_owned();
    let cases: [(&[&str], &str); 5] = [
        (&["dump", &place.store], "dump prints text"),
        (&["init", &elsewhere], "init prints no data"),
        (&["compact", &place.store], "compact prints no data"),
        (
            &["delete", &place.store, "--device", "a", "--from", "2025-01-01", "--to", "2026-01-01"],
            "delete prints no data",
        ),
        (
            &["attribute", "set", &place.store, "--device", "a", "--attribute", "b=c", "--from", "2025-01-01"],
            "attribute set prints no data",
        ),
    ];
    for (words, part) in cases {
        for format in ["json", "csv"] {
            let (code, message) = bad(&[words, &["--format", format]].concat());
            assert!(code == 2 && message.lines().count() == 1 && message.contains(part), "{words:?}: {message}");
        }
    }
    assert!(!std::path::Path::new(&elsewhere).exists());
    assert_eq!(good(&["samples", &place.store, "--device", "a"]).lines().count(), 5, "nothing was deleted");
    for words in [&["info"][..], &["latest"], &["rejections"], &["gaps", "--longer-than", "1h"], &["events"]] {
        let json = good(&[&words[..1], &[place.store.as_str()], &words[1..], &["--format", "json"]].concat());
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{words:?}: {json}");
    }
}

#[test]
fn a_value_that_no_device_ever_had_is_told_of() {
    let place = plant();
    let asked = |model: &str, quiet: bool| {
        let condition = format!("model={model}");
        let words = ["query", &place.store, "--metric", "power", "--aggregate", "count", "--where", &condition];
        let output = run(&[&words[..], if quiet { &["--quiet"] } else { &[] }].concat());
        assert!(output.status.success());
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    assert_eq!(asked("A", false), ["power_count\n4\n", ""]);
    assert_eq!(asked("B", false), ["power_count\n", "no device ever had model 'B'; there is A\n"]);
    assert_eq!(asked("B", true), ["power_count\n", ""]);
    let devices = place.file("devices.csv", "id,model\nb,2\nc,10\nd,C\ne,D\nf,E\ng,F\n");
    good(&["import", "devices", &place.store, &devices, "--device", "id"]);
    let told = "no device ever had model 'B'; there are 2, 10, A, C, D and 2 more\n";
    assert_eq!(asked("A,B", false), ["power_count\n4\n", told]);
    for words in [
        &["trend", "--metric", "power", "--every", "1d"][..],
        &["latest"],
        &["gaps", "--longer-than", "1h"],
        &["outliers", "--metric", "power"],
        &["events"],
    ] {
        let words = [&words[..1], &[place.store.as_str()], &words[1..], &["--where", "model=B"]].concat();
        let output = run(&words);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), told, "{words:?}");
    }
    let delete = ["delete", &place.store, "--where", "model=B", "--from", "2025-01-01", "--to", "2026-01-01"];
    let (code, message) = bad(&delete);
    assert!(code == 1 && message.contains("there are 2, 10, A"), "{message}");
}

#[test]
fn units_come_in_lists_and_stand_in_tables() {
    let place = plant();
    let latest = rows(&good(&["latest", &place.store]));
    let units: Vec<(&str, &str)> = latest.iter().map(|row| (row["metric"].as_str(), row["unit"].as_str())).collect();
    assert_eq!(units, [("power", "W"), ("press", "bar")]);
    let words = ["query", &place.store, "--metric", "power", "--aggregate", "mean,slope,rate,variance,count"];
    let header = |format: &str| {
        let whole = good(&[&words[..], &["--format", format]].concat());
        whole.lines().next().unwrap().to_owned()
    };
    assert_eq!(header("csv"), "power_mean,power_slope,power_rate,power_variance,power_count");
    let table = header("table");
    for part in ["power_mean [W]", "power_slope [W/d]", "power_rate [W/s]", "power_variance [W^2]", "power_count"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let outliers = good(&["outliers", &place.store, "--metric", "power", "--format", "table"]);
    assert!(outliers.contains("mean [W]") && outliers.contains("stddev [W]"), "{outliers}");
    assert!(good(&["query", "--help"]).contains("slope (per day)"));
    assert!(good(&["trend", "--help"]).contains("per day"));
}

#[test]
fn downsampling_gives_no_more_rows_than_asked_for() {
    let place = plant();
    let words =
        |rows: &'static str| ["samples", &place.store, "--device", "a", "--metric", "power", "--downsample", rows];
    for few in ["0", "1", "2"] {
        let (code, message) = bad(&words(few));
        assert!(code == 2 && message.contains("3 rows or more") && message.lines().count() == 1, "{message}");
    }
    assert_eq!(good(&words("3")).lines().count(), 4);
}

#[test]
fn numbers_beyond_floats_are_refused_by_row() {
    let place = Place::new();
    let text = "d,t,v,w\na,2025-01-01,1e-400,1\na,2025-01-02,1e999,1\na,2025-01-03,0e-400,1\na,2025-01-04,5e-324,1\na,2025-01-05,,1e999\n";
    let csv = place.file("s.csv", text);
    let lines = place.file("s.jsonl", "{\"d\":\"b\",\"t\":\"2025-01-01\",\"v\":1e-400}\n{\"d\":\"b\",\"t\":\"2025-01-02\",\"v\":1e999}\n{\"d\":\"b\",\"t\":\"2025-01-03\",\"v\":0.0}\n");
    let protocol = place
        .file("s.lp", "m v=1e-400 1735689600000000000\nm v=1e999 1735689600000000001\nm v=0.5 1735689600000000002\n");
    for (file, options) in [
        (&csv, &["--device", "d", "--time", "t"][..]),
        (&lines, &["--device", "d", "--time", "t"]),
        (&protocol, &["--device-id", "c"]),
    ] {
        let output = run(&[&["import", "samples", &place.store, file], options].concat());
        assert_eq!(output.status.code(), Some(4), "{file}");
    }
    let reasons: Vec<String> =
        rows(&good(&["rejections", &place.store])).into_iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(reasons.len(), 7, "{reasons:?}");
    let beyond = |number: &str| {
        let reason = format!("'{number}' lies beyond what a 64-bit float holds");
        reasons.iter().filter(|found| found.ends_with(&reason)).count()
    };
    assert_eq!((beyond("1e-400"), beyond("1e999")), (3, 3), "{reasons:?}");
    assert_eq!(
        good(&["samples", &place.store, "--device", "a", "--metric", "v"]),
        "device,time,v\na,2025-01-03T00:00:00Z,0\na,2025-01-04T00:00:00Z,5e-324\n"
    );
    let set = |value: &str| {
        let words = [
            "attribute",
            "set",
            &place.store,
            "--device",
            "a",
            "--attribute",
            value,
            "--number",
            "--from",
            "2025-01-01",
        ];
        bad(&words)
    };
    for value in ["age=1e999", "age=1e-400", "age=inf", "age=old"] {
        assert_eq!(set(value).0, 2, "{value}");
    }
}

#[test]
fn messages_speak_of_the_command() {
    let place = plant();
    let nowhere = place.folder.path().join("nowhere").to_str().unwrap().to_owned();
    for words in [&["info", &nowhere][..], &["dump", &nowhere], &["compact", &nowhere]] {
        let (code, message) = bad(words);
        assert_eq!(code, 1, "{message}");
        assert!(message.contains("`fleetlog init STORE`") && !message.contains("Options"), "{message}");
    }
    for time in ["9999-01-01", "1500-01-01T00:00:00Z", "99999999999s", "99999999999999999999ns"] {
        let (code, message) = bad(&["samples", &place.store, "--device", "a", "--from", time]);
        assert!(code == 2 && message.contains("1677-09-21") && message.contains("2262-04-11"), "{message}");
    }
}

#[test]
fn one_thing_is_told_of_in_the_singular() {
    let place = plant();
    let told = |words: &[&str]| String::from_utf8(run(words).stderr).unwrap();
    assert_eq!(told(&["compact", &place.store]), "1 segment before, 1 now\n");
    let manifest = good(&["dump", &place.store, "--manifest"]);
    assert!(manifest.contains("  commit 1  ") && !manifest.contains("commits 1 to 1"), "{manifest}");
    let delete = ["delete", &place.store, "--device", "a", "--from", "2025-01-01", "--to", "2026-01-01"];
    assert_eq!(told(&delete), "deleted from 1 device\n");
}
