//! The README's walk: its files are written, its commands run, and what they print is what stands there.

mod common;

/// A line that begins with `$`, and the lines after it.
fn steps(walk: &str) -> Vec<(&str, String)> {
    let mut steps: Vec<(&str, String)> = Vec::new();
    for line in walk.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command, String::new())),
            (None, Some((_, lines))) => lines.extend([line, "\n"]),
            (None, None) => panic!("'{line}' stands before the first command"),
        }
    }
    steps
}

#[test]
fn the_walk_prints_what_the_readme_says() {
    let readme = include_str!("../../../README.md");
    let walk = readme.split("```console walk\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut ran = 0;
    for (command, lines) in steps(walk) {
        if let Some(name) = command.strip_prefix("cat ") {
            std::fs::write(folder.path().join(name), lines).unwrap();
            continue;
        }
        let words: Vec<&str> = command.strip_prefix("fleetlog ").unwrap().split(' ').collect();
        let output = common::command(&words).current_dir(folder.path()).output().unwrap();
        let refused = lines.lines().nth(1).is_some_and(|counts| counts == "6,4,1,0,1,0,0");
        assert_eq!(output.status.code(), Some(if refused { 4 } else { 0 }), "{command}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), lines, "{command}");
        ran += 1;
    }
    assert!(ran >= 7, "the walk was found");
}

#[test]
fn every_verb_stands_in_the_readme() {
    let readme = include_str!("../../../README.md");
    let help = common::good(&["--help"]);
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<&str> =
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.len() > 10, "{help}");
    for verb in verbs {
        assert!(readme.contains(&format!("`{verb}")), "`{verb}` is not in the README");
    }
}
