//! The command: its files, its words, its refusals.

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fleetgen")).args(arguments).arg("--out").arg(out).output().unwrap()
}

#[test]
fn it_writes_a_fleet_and_counts_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let arguments = [
        "--devices",
        "5",
        "--days",
        "2",
        "--interval",
        "10m",
        "--start",
        "2024-02-28",
        "--format",
        "csv",
        "--order",
        "time",
    ];
    let output = run(&arguments, &out);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let samples = std::fs::read_to_string(out.join("samples.csv")).unwrap();
    let rows = samples.lines().count() - 1;
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(&format!("{rows} rows (0 late), ")));
    let first = samples.lines().nth(1).unwrap();
    assert!(first.split(',').nth(1).unwrap().starts_with("2024-02-28T00:0"), "{first}");
    for name in ["devices.csv", "attributes.csv", "events.csv", "logs.jsonl", "truth.json"] {
        assert!(std::fs::metadata(out.join(name)).unwrap().len() > 0, "{name}");
    }
}

#[test]
fn it_refuses_what_makes_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, word) in [
        (&["--devices", "0"][..], 1, "0 devices"),
        (&["--days", "0"], 1, "0 days"),
        (&["--interval", "60"], 2, "number with its unit"),
        (&["--interval", "0s"], 1, "interval of 0 ms"),
        (&["--start", "yesterday"], 2, "write a date"),
        (&["--order", "size"], 2, "possible values"),
    ] {
        let output = run(arguments, folder.path());
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(word), "{arguments:?}: {message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let output = run(&["--devices", "1", "--days", "1"], &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("file"));
}
