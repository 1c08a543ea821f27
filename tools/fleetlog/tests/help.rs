//! The words of the command are a promise: `--help` of every verb is held as it is.

mod common;

use common::{command, run};

#[test]
fn help_of_every_verb_is_held() {
    let verbs: [&[&str]; 21] = [
        &[],
        &["init"],
        &["import"],
        &["import", "samples"],
        &["import", "devices"],
        &["import", "events"],
        &["attribute"],
        &["attribute", "set"],
        &["attribute", "show"],
        &["info"],
        &["query"],
        &["trend"],
        &["samples"],
        &["latest"],
        &["gaps"],
        &["outliers"],
        &["events"],
        &["device"],
        &["dump"],
        &["compact"],
        &["delete"],
    ];
    for verb in verbs {
        let output = command(verb).arg("--help").env("COLUMNS", "100").output().unwrap();
        assert!(output.status.success());
        let name = if verb.is_empty() { "fleetlog".to_owned() } else { verb.join("_") };
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
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
