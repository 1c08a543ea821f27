//! The words of the command are a promise: `--help` of every verb is held as it is.

mod common;

use std::collections::BTreeSet;

use common::{command, run};

fn help(verb: &[String]) -> String {
    let words: Vec<&str> = verb.iter().map(String::as_str).collect();
    let output = command(&words).arg("--help").env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{verb:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The words below a verb, as its help lists them; one is indented by two places, what it means by more.
fn words_below(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let words =
        lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().filter(|_| &line[2..3] != " "));
    words.filter(|word| *word != "help").map(str::to_owned).collect()
}

#[test]
fn help_of_every_verb_is_held() {
    let mut pending: Vec<Vec<String>> = vec![Vec::new()];
    let mut held = BTreeSet::new();
    while let Some(verb) = pending.pop() {
        let text = help(&verb);
        pending.extend(words_below(&text).into_iter().map(|word| [&verb[..], &[word]].concat()));
        let name = if verb.is_empty() { "fleetlog".to_owned() } else { verb.join("_") };
        insta::assert_snapshot!(name.as_str(), text);
        held.insert(format!("help__{name}.snap"));
    }
    let there = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots")).unwrap();
    let there: BTreeSet<String> = there.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let stale: Vec<_> = there.iter().filter(|name| name.starts_with("help__") && !held.contains(*name)).collect();
    assert!(stale.is_empty(), "no verb has the help of {stale:?}");
    for verb in ["help__import_samples.snap", "help__rejections.snap", "help__query.snap"] {
        assert!(held.contains(verb), "{held:?}");
    }
}

#[test]
fn unknown_words_are_wrong_usage() {
    for words in [
        &["frobnicate"][..],
        &["query"],
        &["info", "x", "--colour"],
        &["query", "x", "--metric", "m", "--aggregate", "p101"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}
