//! Wrong usage is told in one line: what is wrong, and whose help says more.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::arguments::Arguments;

/// The longest line, without the hint at its end.
const LINE_CHARACTERS_MAX: usize = 400;

/// Why there are no arguments to run.
pub(crate) enum Ended {
    /// Help, or the version, was asked for and printed.
    Told,
    /// The usage is wrong: the line that says so.
    Wrong(String),
}

/// Reads the arguments of the process.
pub(crate) fn read() -> Result<Arguments, Ended> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody reading is no failure.
            let _ = error.print();
            Ended::Told
        }
        kind => Ended::Wrong(line(kind, &error.render().to_string())),
    })
}

fn line(kind: ErrorKind, rendered: &str) -> String {
    let (verb, below) = verb();
    let what = if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        if below.is_empty() { "arguments are missing".to_owned() } else { format!("one of {below} is missing") }
    } else {
        one_line(rendered)
    };
    format!("{what}; try '{verb} --help'")
}

/// The verb that was named, as far as it is one, and the words that may stand behind it.
fn verb() -> (String, String) {
    let mut command = Arguments::command();
    let mut verb = command.get_name().to_owned();
    // An argument that is no UTF-8 is no verb.
    for argument in std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok()) {
        if let Some(below) = command.find_subcommand(&argument).cloned() {
            verb = format!("{verb} {argument}");
            command = below;
        }
    }
    let below: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    (verb, below.join(", "))
}

/// What clap says over several lines, without the usage and the hint at its end.
fn one_line(rendered: &str) -> String {
    let lines = rendered.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    // It speaks of file names that begin with a dash; here it is mostly a negative number.
    let told = told.filter(|line| !line.starts_with("tip: to pass"));
    let mut whole = String::new();
    for line in told {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let mark = match (whole.chars().last(), line) {
            (None, _) => "",
            (Some(':'), _) => " ",
            _ if line.starts_with("tip: ") => "; ",
            _ if line.starts_with('[') => " ",
            _ => ", ",
        };
        whole.push_str(mark);
        whole.push_str(line.strip_prefix("tip: ").unwrap_or(line));
    }
    // What was typed is quoted in it, however long it is.
    match whole.char_indices().nth(LINE_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}...", &whole[..at]),
        None => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_over_lines_becomes_one() {
        let missing = "error: the following required arguments were not provided:\n  --metric <M>\n  <STORE>\n\nUsage: fleetlog query\n\nFor more information, try '--help'.\n";
        assert_eq!(one_line(missing), "the following required arguments were not provided: --metric <M>, <STORE>");
        let wrong = "error: invalid value 'x' for '--format <FORMAT>'\n  [possible values: table, csv]\n\n  tip: a similar value exists: 'csv'\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(wrong),
            "invalid value 'x' for '--format <FORMAT>' [possible values: table, csv]; a similar value exists: 'csv'"
        );
        let dash = "error: unexpected argument '-1' found\n\n  tip: to pass '-1' as a value, use '-- -1'\n\nUsage: x\n";
        assert_eq!(one_line(dash), "unexpected argument '-1' found");
        assert_eq!(one_line(&"x".repeat(100_000)).len(), LINE_CHARACTERS_MAX + 3);
    }
}
