//! Messages and progress on stderr.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleetlog::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the bar is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// Prints a line on stderr; nobody listening is fine.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a note unless the user wants none.
pub(crate) fn note(quiet: bool, text: &str) {
    if !quiet {
        say(text);
    }
}

/// So many things, in words: `1 device`, `2 devices`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Runs a call with a progress bar, where stderr is a terminal and the user wants one.
pub(crate) fn with_bar<R>(quiet: bool, what: &str, bytes: bool, call: impl FnOnce(&Progress) -> R) -> R {
    let progress = Progress::default();
    if quiet || !std::io::stderr().is_terminal() {
        return call(&progress);
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let template = if bytes {
        "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
    } else {
        "{msg} {bar:30} {pos}/{len} {eta} left"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    let ended = Arc::new(AtomicBool::new(false));
    let drawing = std::thread::spawn({
        let (bar, progress, ended) = (bar.clone(), progress.clone(), Arc::clone(&ended));
        move || {
            while !ended.load(Ordering::Acquire) {
                let (done, total) = progress.state();
                bar.set_length(total);
                bar.set_position(done);
                std::thread::park_timeout(EVERY);
            }
        }
    });
    let result = call(&progress);
    ended.store(true, Ordering::Release);
    drawing.thread().unpark();
    let _ = drawing.join();
    bar.finish_and_clear();
    result
}
