//! The `fleetlog` command: every verb is a thin call of a public function of the library.
//!
//! Guarantees: data goes to stdout, everything else to stderr; a message names the file or row and what to do; exit codes are
//! those of the contract (0 done, 1 failed, 2 wrong usage, 4 some input rejected and kept, 5 held by another writer); a
//! closed pipe ends it quietly.

mod arguments;
mod output;
mod progress;
mod usage;
mod verbs;

use std::process::ExitCode;

use fleetlog::{Error, ErrorKind};

use arguments::{Arguments, Common, Verb};

/// Threads of a question take and give back the same room for each portion of the fleet; this allocator keeps it for some milliseconds, where the system's
/// returns it to the kernel and has its pages zeroed anew. Its pages are plain ones: of huge ones a few bytes would hold 2 MiB, past `--memory`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How a verb ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    /// So many rows were refused, and so many of them are kept.
    SomeRejected {
        rejected: u64,
        kept: u64,
    },
}

/// Why a verb failed.
#[derive(Debug)]
enum Failure {
    /// The library refused.
    Library(Error),
    /// The library refused what the arguments ask for.
    Usage(Error),
    /// Nobody reads the output any more.
    ClosedPipe,
    /// The output could not be written.
    Output(std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // What a file holds is not the usage; what the arguments say is.
        if error.kind() == ErrorKind::InvalidInput && error.path().is_none() {
            Self::Usage(error)
        } else {
            Self::Library(error)
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::ClosedPipe } else { Self::Output(error) }
    }
}

/// A panic that becomes an error is told once, by the error.
fn quiet_caught_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !fleetlog::import::panics_become_errors() {
            told(panic);
        }
    }));
}

fn main() -> ExitCode {
    quiet_caught_panics();
    let arguments = match usage::read() {
        Ok(arguments) => arguments,
        Err(usage::Ended::Told) => return ExitCode::SUCCESS,
        Err(usage::Ended::Wrong(message)) => return fail(&message, 2),
    };
    let quiet = arguments.common.quiet;
    match run(arguments) {
        Ok(Outcome::Done) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Outcome::SomeRejected { rejected, kept }) => {
            let kept = if kept == rejected { "kept".to_owned() } else { format!("counted, {kept} of them kept") };
            let what = if rejected == 1 {
                "1 row was refused and is"
            } else {
                &format!("{rejected} rows were refused and are")
            };
            progress::note(quiet, &format!("{what} {kept}: see `fleetlog rejections`"));
            ExitCode::from(4)
        }
        Err(Failure::Usage(error)) => fail(&told(&error), 2),
        Err(Failure::Library(error)) => fail(&told(&error), if error.kind() == ErrorKind::StoreHeld { 5 } else { 1 }),
        Err(Failure::Output(error)) => fail(&format!("the output could not be written: {error}"), 1),
    }
}

/// An error in the words of the command, where its advice is one for programs.
fn told(error: &Error) -> String {
    const INIT: &str = "make one with `fleetlog init STORE`";
    let text = error.to_string();
    match error.advice() {
        Some(advice) if advice.contains("Options::create") => text.replace(advice, INIT),
        None if error.kind() == ErrorKind::NotFound && error.message().contains("no store") => {
            format!("{text}; {INIT}")
        }
        _ => text,
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    // One line, whatever an argument holds that it quotes.
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    progress::say(&format!("fleetlog: {line}"));
    ExitCode::from(code)
}

/// A format is for tables: a verb that prints none would leave it out silently.
fn check_format(common: &Common, verb: &Verb) -> Result<(), Error> {
    match (common.format, verb.prints_no_table()) {
        (Some(_), Some((verb, prints))) => {
            Err(Error::new(ErrorKind::InvalidInput, format!("{verb} prints {prints}, which has no --format"))
                .advise("leave --format out"))
        }
        _ => Ok(()),
    }
}

fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let common = &arguments.common;
    check_format(common, &arguments.verb)?;
    match &arguments.verb {
        Verb::Init { store } => verbs::write::init(common, store),
        Verb::Import(what) => verbs::import::import(common, what),
        Verb::Attribute(what) => verbs::write::attribute(common, what),
        Verb::Info { store } => verbs::info::info(common, store),
        Verb::Query(query) => verbs::query::query(common, query),
        Verb::Histogram(histogram) => verbs::query::histogram(common, histogram),
        Verb::Trend(trend) => verbs::query::trend(common, trend),
        Verb::Samples(samples) => verbs::read::samples(common, samples),
        Verb::Latest(latest) => verbs::read::latest(common, latest),
        Verb::Gaps(gaps) => verbs::read::gaps(common, gaps),
        Verb::Outliers(outliers) => verbs::read::outliers(common, outliers),
        Verb::Events(events) => verbs::read::events(common, events),
        Verb::Device { store, device } => verbs::read::device(common, store, device),
        Verb::Dump(dump) => verbs::info::dump(common, dump),
        Verb::Compact { store, cold } => verbs::write::compact(common, store, *cold),
        Verb::Delete(delete) => verbs::write::delete(common, delete),
        Verb::Rejections { store, show } => verbs::info::rejections(common, store, *show),
    }
}
