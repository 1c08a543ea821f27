//! Log lines of one device: templates with parameters, from the same plan as its samples.

use crate::config::{Config, DAY_MS};
use crate::plan::DevicePlan;
use crate::random::{Chance, Purpose};
use crate::truth::LogTemplateTruth;
use crate::world::{RELEASES, World};

/// A log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// `debug`, `info`, `notice`, `warning`, `error` or `critical`.
    pub severity: &'static str,
    /// What wrote it.
    pub source: &'static str,
    /// The text.
    pub message: String,
    /// Its place in the truth's list of templates.
    pub template: usize,
}

/// Severity, source and template; a place in this list is the template's number.
const TEMPLATES: [(&str, &str, &str); 14] = [
    ("info", "kernel", "boot <*> completed in <*> ms, reset cause <*>"),
    ("debug", "sampler", "sampled <*> channels in <*> us"),
    ("info", "radio", "joined cell <*> at <*> dBm after <*> attempts"),
    ("warning", "radio", "uplink <*> lost, retry <*> of <*>"),
    ("error", "radio", "link to gateway <*> down for <*> s"),
    ("info", "updater", "installing firmware <*> (<*> bytes)"),
    ("notice", "updater", "firmware <*> active"),
    ("error", "updater", "firmware <*> failed verification: checksum <*>"),
    ("warning", "thermal", "fan speed <*> rpm below <*> rpm at <*> C"),
    ("warning", "drive", "bearing vibration <*> mm/s above limit <*>"),
    ("warning", "power", "battery <*> mV, <*> % left"),
    ("error", "storage", "write to sector <*> failed with code <*>"),
    ("critical", "watchdog", "task <*> stuck for <*> s, restarting"),
    ("info", "config", "configuration <*> applied by <*>"),
];

/// The templates, as the truth names them.
pub(crate) fn templates() -> Vec<LogTemplateTruth> {
    let template = |(severity, source, template): &(&str, &str, &str)| LogTemplateTruth {
        template: (*template).to_owned(),
        severity: (*severity).to_owned(),
        source: (*source).to_owned(),
    };
    TEMPLATES.iter().map(template).collect()
}

/// Writes lines of one device.
struct Scribe {
    lines: Vec<LogLine>,
    chance: Chance,
}

impl Scribe {
    /// Puts parameters into a template.
    fn write(&mut self, time_ms: i64, template: usize, parameters: &[String]) {
        let (severity, source, text) = TEMPLATES[template];
        let mut message = String::with_capacity(text.len() + 24);
        let mut parameters = parameters.iter();
        for (place, part) in text.split("<*>").enumerate() {
            if place > 0 {
                message.push_str(parameters.next().map_or("?", String::as_str));
            }
            message.push_str(part);
        }
        self.lines.push(LogLine { time_ms, severity, source, message, template });
    }

    fn number(&mut self, low: i64, high: i64) -> String {
        self.chance.whole(low, high).to_string()
    }

    fn one_of(&mut self, words: &[&str]) -> String {
        words[self.chance.place(words.len())].to_owned()
    }
}

/// All log lines of a device, in order of time.
pub(crate) fn log_lines(config: &Config, world: &World, plan: &DevicePlan) -> Vec<LogLine> {
    let mut scribe = Scribe { lines: Vec::new(), chance: Chance::new(config.seed, Purpose::Logs, plan.number) };
    everyday(plan, &mut scribe);
    starts_and_updates(plan, &mut scribe);
    for failure in &plan.failures {
        before_failure(failure, &mut scribe);
    }
    for (place, share) in &plan.interference {
        let interference = &world.interference[*place];
        let per_day = share * interference.strength.of(0.5, 2.0, 6.0);
        let mut at_ms = interference.range_ms.start;
        loop {
            at_ms += scribe.chance.exponential(DAY_MS as f64 / per_day) as i64 + 1;
            if at_ms >= interference.range_ms.end {
                break;
            }
            if interference.is_on(at_ms) {
                let parameters = [scribe.number(1, 40), scribe.number(20, 900)];
                scribe.write(at_ms, 4, &parameters);
            }
        }
    }
    let mut lines = scribe.lines;
    lines.retain(|line| plan.active_ms.contains(&line.time_ms) && !plan.is_down(line.time_ms));
    lines.sort_by_key(|line| line.time_ms);
    lines
}

/// About one line a day and a half that means nothing.
fn everyday(plan: &DevicePlan, scribe: &mut Scribe) {
    let mut at_ms = plan.active_ms.start;
    loop {
        at_ms += scribe.chance.exponential(1.5 * DAY_MS as f64) as i64 + 1;
        if at_ms >= plan.active_ms.end {
            return;
        }
        match scribe.chance.weighted(&[4.0, 2.0, 2.0, 0.5, 0.3]) {
            0 => {
                let parameters = [scribe.number(6, 9), scribe.number(200, 900)];
                scribe.write(at_ms, 1, &parameters);
            }
            1 => {
                let parameters = [scribe.number(1, 500), scribe.number(-110, -50), scribe.number(1, 5)];
                scribe.write(at_ms, 2, &parameters);
            }
            2 => {
                let parameters = [scribe.number(1, 100_000), scribe.number(1, 4), "3".to_owned()];
                scribe.write(at_ms, 3, &parameters);
            }
            3 => {
                let parameters = [scribe.number(1, 60), scribe.one_of(&["operator", "cloud", "technician"])];
                scribe.write(at_ms, 13, &parameters);
            }
            _ => {
                let parameters = [scribe.number(2_900, 3_600), scribe.number(5, 100)];
                scribe.write(at_ms, 10, &parameters);
            }
        }
    }
}

fn starts_and_updates(plan: &DevicePlan, scribe: &mut Scribe) {
    for (number, start_ms) in plan.starts_ms.iter().enumerate() {
        let cause = scribe.one_of(&["power_on", "watchdog", "software", "brownout"]);
        let parameters = [(number + 1).to_string(), scribe.number(700, 2_500), cause];
        scribe.write(*start_ms, 0, &parameters);
    }
    for update in &plan.updates {
        let version = RELEASES[update.to].version.to_owned();
        let size = scribe.number(180_000, 260_000);
        scribe.write(update.at_ms - 90_000, 5, &[version.clone(), size]);
        if update.was_installed() {
            scribe.write(update.at_ms + 20_000, 6, &[version]);
        } else {
            let checksum = format!("{:08x}", scribe.chance.whole(0, 1 << 32));
            scribe.write(update.at_ms, 7, &[version, checksum]);
        }
    }
}

/// Lines that announce a failure, more of them the stronger its precursor is.
fn before_failure(failure: &crate::failure::Failure, scribe: &mut Scribe) {
    use crate::failure::Cause;
    let Some(precursor) = failure.precursor else { return };
    for _ in 0..precursor.strength.of(1, 4, 12) {
        // The square root crowds them towards the failure.
        let share = scribe.chance.unit().sqrt();
        let at_ms = precursor.from_ms + ((failure.at_ms - precursor.from_ms) as f64 * share) as i64;
        match failure.cause {
            Cause::Heat => {
                let parameters = [scribe.number(600, 1_400), "1500".to_owned(), scribe.number(45, 80)];
                scribe.write(at_ms, 8, &parameters);
            }
            Cause::Wear => {
                let parameters = [scribe.number(5, 12), "4.5".to_owned()];
                scribe.write(at_ms, 9, &parameters);
            }
            Cause::Discharge => {
                let parameters = [scribe.number(2_600, 2_950), scribe.number(0, 6)];
                scribe.write(at_ms, 10, &parameters);
            }
            Cause::Faults => {
                let (sector, code) = (scribe.number(0, 4_096), scribe.number(1, 32));
                scribe.write(at_ms, 11, &[sector, code]);
            }
            Cause::Lightning => {}
        }
    }
    if matches!(failure.cause, Cause::Faults) {
        let parameters = [scribe.one_of(&["sampler", "radio", "storage"]), scribe.number(5, 60)];
        scribe.write(failure.at_ms - 1_000, 12, &parameters);
    }
}
