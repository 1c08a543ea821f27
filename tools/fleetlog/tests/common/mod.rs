//! What the tests of the command share: running it, reading its CSV, finding real data.
#![allow(dead_code, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleetlog"));
    command.args(words);
    command
}

pub fn run(words: &[&str]) -> Output {
    command(words).output().unwrap()
}

/// Runs a verb that must succeed, and gives what it wrote.
pub fn good(words: &[&str]) -> String {
    let output = run(words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a verb that must fail, and gives its exit code and its one line.
pub fn bad(words: &[&str]) -> (i32, String) {
    let output = run(words);
    let message = String::from_utf8(output.stderr).unwrap();
    let code = output.status.code().unwrap();
    assert_ne!(code, 0, "{words:?} succeeded");
    assert!(!message.contains("panicked"), "{words:?}: {message}");
    (code, message)
}

/// The one row of counts that an import ends with, by column.
pub fn counts(csv: &str) -> BTreeMap<String, u64> {
    let rows = rows(csv);
    assert_eq!(rows.len(), 1, "{csv}");
    rows[0].iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
}

/// Rows of CSV by column.
pub fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    reader.records().map(|row| names.iter().cloned().zip(row.unwrap().iter().map(str::to_owned)).collect()).collect()
}

/// A folder of tests, with a store in it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub store: String,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("plant.fleet").to_str().unwrap().to_owned();
        good(&["init", &store, "--quiet"]);
        Self { folder, store }
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A folder of real telemetry, where it is present: in the folder that `FLEETLOG_DATA` names, from the checkout's root where
/// its path is relative, as for the demo; without it in `../shared/data`.
pub fn data(name: &str) -> Option<PathBuf> {
    let found = Some(data_folder(std::env::var_os("FLEETLOG_DATA")).join(name)).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("no {name} here: skipped");
    }
    found
}

pub fn data_folder(named: Option<std::ffi::OsString>) -> PathBuf {
    let named = named.filter(|named| !named.is_empty()).map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(named)
}
