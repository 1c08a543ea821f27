//! The house rules that a machine can check: floors, sizes, opening words, forbidden words, dead files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules of the library, from the ground up: a module imports only from rows above its own.
const FLOORS: [&[&str]; 13] = [
    &["error"],
    &["time", "bytes", "document"],
    &["model"],
    &["codec", "io", "kv", "ingest"],
    &["format"],
    &["index"],
    &["segment", "hot", "catalog"],
    &["store"],
    &["scan", "import", "dump"],
    &["operator"],
    &["analysis", "monitor"],
    &["report"],
    &["lib"],
];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

fn everything() -> Vec<(PathBuf, String)> {
    rust_files(&["src", "tests", "benches", "tools"])
}

fn fail(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Code without comments and texts, line by line: enough to look for words.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

#[test]
fn a_module_imports_only_from_lower_floors() {
    let floor: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(place, names)| names.iter().map(move |name| (*name, place))).collect();
    let mut problems = Vec::new();
    for (path, text) in rust_files(&["src"]) {
        let first = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let own = *floor.get(module).unwrap_or_else(|| panic!("{module} has no floor"));
        // A unit test may look at its neighbours, as a user would.
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if path.file_name().unwrap().to_str().unwrap().starts_with("test") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for rest in code(line).split("crate::").skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let above = floor.get(name.as_str()).is_some_and(|floor| *floor >= own && name != module);
                // Re-exports at the root hide the floor: write the module's name.
                let hidden = name.chars().next().is_some_and(char::is_uppercase);
                let doctest = line.trim_start().starts_with("///");
                if (above || hidden) && !doctest {
                    problems.push(format!("{}:{}: {module} names {name}", path.display(), number + 1));
                }
            }
        }
    }
    fail(&problems);
}

#[test]
fn files_and_functions_stay_small() {
    let mut problems = Vec::new();
    for (path, text) in everything() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() >= FILE_LINES_MAX {
            problems.push(format!("{}: {} lines", path.display(), lines.len()));
        }
        for (first, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_function =
                ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "const fn ", "pub const fn ", "unsafe fn "]
                    .iter()
                    .any(|start| head.starts_with(start));
            if !is_function || head.ends_with(';') {
                continue;
            }
            let close = format!("{}}}", " ".repeat(indent));
            let length = lines[first..].iter().position(|line| *line == close).map_or(0, |last| last + 1);
            if length >= FUNCTION_LINES_MAX {
                problems.push(format!("{}:{}: a function of {length} lines", path.display(), first + 1));
            }
        }
    }
    fail(&problems);
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let problems: Vec<String> = everything()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{}: no //! at its top", path.display()))
        .collect();
    fail(&problems);
}

#[test]
fn some_words_stay_in_their_place() {
    let unfinished = ["todo!", "unimplemented!", "dbg!"];
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let mut problems = Vec::new();
    for (path, text) in everything() {
        let within = |folder: &str| path.starts_with(folder);
        for (number, line) in text.lines().enumerate() {
            let code = code(line);
            let mut found = |what: &str| problems.push(format!("{}:{}: {what}", path.display(), number + 1));
            if unfinished.iter().any(|word| code.contains(word)) || marks.iter().any(|mark| line.contains(mark)) {
                found("unfinished");
            }
            if within("src") && !within("src/kv") && code.contains("rocksdb::") {
                found("rocksdb is named outside kv");
            }
            if !within("src/codec")
                && code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe")
                && !within("tests/tidy.rs")
            {
                found("unsafe outside codec kernels");
            }
            let store_files = ["segment", "store", "hot", "catalog", "format", "scan", "operator", "dump"];
            if store_files.iter().any(|folder| within(&format!("src/{folder}")))
                && code.contains("std::fs::")
                && !path.to_str().unwrap().contains("test")
                && !is_test(&text, number)
            {
                found("file work outside the io seam");
            }
        }
    }
    fail(&problems);
}

fn is_test(text: &str, line: usize) -> bool {
    text.lines().take(line).any(|line| line.trim() == "#[cfg(test)]")
}

#[test]
fn no_file_is_dead() {
    let files = rust_files(&["src", "tools/fleetlog/src", "tools/fleetgen/src"]);
    let mut problems = Vec::new();
    for (path, _) in &files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        if matches!(name, "lib" | "main") {
            continue;
        }
        let (module, folder) = if name == "mod" {
            let folder = path.parent().unwrap();
            (folder.file_name().unwrap().to_str().unwrap(), folder.parent().unwrap())
        } else {
            (name, path.parent().unwrap())
        };
        let beside = folder.with_extension("rs");
        let declared = files.iter().filter(|(other, _)| {
            other == &beside
                || (other.parent() == Some(folder)
                    && matches!(other.file_stem().unwrap().to_str(), Some("mod" | "lib" | "main")))
        });
        let word = format!("mod {module};");
        if !declared.into_iter().any(|(_, text)| text.contains(&word)) {
            problems.push(format!("{}: no module declares it", path.display()));
        }
    }
    fail(&problems);
}

#[test]
fn documents_name_what_is_there() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "storage-format.md"] {
        let text = std::fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if !target.contains("://") && !target.starts_with('#') {
                let file = target.split('#').next().unwrap();
                assert!(root().join(file).exists(), "{document} links to {target}");
            }
        }
    }
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for module in FLOORS.iter().flat_map(|floor| floor.iter()) {
        let exists = root().join("src").join(module).is_dir() || root().join(format!("src/{module}.rs")).is_file();
        if exists && !matches!(*module, "lib" | "bytes" | "document") {
            assert!(architecture.contains(&format!("`{module}")), "ARCHITECTURE.md does not name {module}");
        }
    }
}
