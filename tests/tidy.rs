//! The house rules that a machine can check: floors, sizes, opening words, forbidden words, dead files.

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

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&module))
}

/// What a line names at the crate's root: after `crate::`, and after as many `super::` as the file lies deep.
fn names_at_root(line: &str, depth: usize) -> Vec<String> {
    let mut rests: Vec<&str> = line.split("crate::").skip(1).collect();
    let climb = "super::".repeat(depth);
    rests.extend(
        line.match_indices(&climb)
            .filter(|(at, _)| !line[..*at].ends_with("super::"))
            .map(|(at, _)| line[at + climb.len()..].trim_start_matches("super::")),
    );
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    rests.into_iter().map(|rest| if rest.starts_with('{') { "{".to_owned() } else { name(rest) }).collect()
}

/// Imports of a file that its floor does not allow.
fn floor_problems(path: &Path, text: &str) -> Vec<String> {
    let below_src: Vec<&str> = path.iter().skip(1).map(|part| part.to_str().unwrap()).collect();
    let module = below_src[0].trim_end_matches(".rs");
    if module == "lib" {
        return Vec::new();
    }
    let own = floor_of(module).unwrap_or_else(|| panic!("{module} has no floor"));
    // A unit test may look at its neighbours, as a user would.
    if below_src.last().unwrap().starts_with("test") {
        return Vec::new();
    }
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let depth = below_src.len() - usize::from(below_src.last() == Some(&"mod.rs"));
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("///")) {
        for name in names_at_root(&code(line), depth) {
            let above = floor_of(&name).is_some_and(|floor| floor >= own && name != module);
            // Lists and re-exports at the root hide the floor: write the module's name.
            let hidden = name.starts_with(|c: char| c.is_uppercase() || c == '{' || c == '*') || name.is_empty();
            if above || hidden {
                problems.push(format!("{}:{}: {module} names {name}", path.display(), number + 1));
            }
        }
    }
    problems
}

#[test]
fn a_module_imports_only_from_lower_floors() {
    let problems: Vec<String> =
        rust_files(&["src"]).iter().flat_map(|(path, text)| floor_problems(path, text)).collect();
    fail(&problems);
}

#[test]
fn no_way_of_writing_an_import_escapes_its_floor() {
    let found = |path: &str, line: &str| floor_problems(Path::new(path), line).len();
    for line in [
        "use crate::store::Store;",
        "use crate::{store::Store, time::Timestamp};",
        "use crate::Store;",
        "use crate::*;",
        "use super::super::store::Store;",
        "let store = super::super::store::open();",
        "use super::super::{store, time};",
        "pub(crate) use crate::hot::Chunk;",
    ] {
        assert_eq!(found("src/segment/reader.rs", line), 1, "{line}");
    }
    assert_eq!(found("src/segment/mod.rs", "use super::store::Store;"), 1);
    assert_eq!(found("src/error.rs", "use super::time::Timestamp;"), 1);
    for line in [
        "use crate::format::Header;",
        "use super::super::format::Header;",
        "use super::pages::Page;",
        "use crate::segment::pages::Page;",
        "/// use crate::Store;",
        "pub(crate) fn of(&self) {}",
    ] {
        assert_eq!(found("src/segment/reader.rs", line), 0, "{line}");
    }
}

#[test]
fn the_generator_does_not_depend_on_the_library() {
    let manifest = std::fs::read_to_string(root().join("tools/fleetgen/Cargo.toml")).unwrap();
    assert!(!manifest.contains("fleetlog"), "tools/fleetgen/Cargo.toml");
    for (path, text) in rust_files(&["tools/fleetgen"]) {
        let named = text.lines().position(|line| code(line).contains("fleetlog"));
        assert_eq!(named, None, "{}", path.display());
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let package = lock.split("[[package]]").find(|package| package.contains("name = \"fleetgen\"\n")).unwrap();
    assert!(!package.contains("fleetlog"), "{package}");
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
            if !within("src/codec/kernels.rs")
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
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(!readme.lines().any(|line| line.trim() == concat!("MEAS", "URED")), "the README lacks its figures");
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    for part in readme.split("`make ").skip(1) {
        let target = part.split('`').next().unwrap();
        assert!(makefile.contains(&format!("\n{target}: ")), "the README names `make {target}`");
    }
}

#[test]
fn the_table_of_floors_is_the_one_that_is_checked() {
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut named = Vec::new();
    for row in architecture.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut cells = row.split(" | ");
        let Some(floor) = cells.next().and_then(|cell| cell.parse::<usize>().ok()) else { continue };
        let names = cells.next().unwrap().split('`').skip(1).step_by(2);
        named.extend(names.map(|name| (name, floor)));
    }
    for (module, floor) in &named {
        assert_eq!(floor_of(module), Some(*floor), "ARCHITECTURE.md on {module}");
    }
    for module in FLOORS.iter().flat_map(|floor| floor.iter()) {
        let exists = root().join("src").join(module).is_dir() || root().join(format!("src/{module}.rs")).is_file();
        if exists && !matches!(*module, "lib" | "document") {
            assert!(named.iter().any(|(name, _)| name == module), "ARCHITECTURE.md does not name {module}");
        }
    }
}

#[test]
fn accepted_advisories_name_the_very_version_that_is_pinned() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let (deny, lock, manifest) = (read("deny.toml"), read("Cargo.lock"), read("Cargo.toml"));
    let lines = deny.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut accepted = 0;
    for line in lines.filter(|line| line.contains("RUSTSEC-")) {
        let reason = line.split("reason = \"").nth(1).unwrap_or_else(|| panic!("no reason: {line}"));
        let (package, version) = reason.split(':').next().unwrap().split_once(' ').expect("a package and its version");
        let locked = format!("name = \"{package}\"\nversion = \"{version}\"\n");
        assert_eq!(lock.matches(&format!("name = \"{package}\"\n")).count(), 1, "{package} in Cargo.lock");
        assert!(lock.contains(&locked), "{package} is not {version} in Cargo.lock");
        assert!(manifest.contains(&format!("\"={version}\"")), "{package} is not pinned to {version}");
        accepted += 1;
    }
    assert_eq!(
        accepted,
        deny.matches("RUSTSEC-").count(),
        "each advisory stands on a line of its own, with its reason"
    );
    let tarpaulin = read("tarpaulin.toml");
    assert!(tarpaulin.lines().any(|line| line == "fail-under = 90.0"), "coverage has no floor");
}
