//! What happened to one device, as events and attribute changes, in order of time.

use crate::config::{Config, HOUR_MS};
use crate::plan::DevicePlan;
use crate::random::{Chance, Purpose};
use crate::world::RELEASES;

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// An attempt to update the firmware: `from`, `to`, `status`.
    Firmware,
    /// A stage of life begins: `stage`.
    Stage,
    /// The device fails: `component`, `cause`.
    Failure,
    /// The device reports an error: `code`.
    Error,
    /// Someone works on it: `action`, `component`.
    Maintenance,
    /// A sensor is calibrated: `metric`.
    Calibration,
}

impl EventKind {
    /// The kind as one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Stage => "stage",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Maintenance => "maintenance",
            Self::Calibration => "calibration",
        }
    }
}

/// The labels that events can have, in the order of their columns.
pub const EVENT_LABELS: [&str; 9] = ["stage", "from", "to", "status", "component", "cause", "code", "action", "metric"];

/// An event of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// What kind.
    pub kind: EventKind,
    /// Labels: name and text.
    pub labels: Vec<(&'static str, String)>,
}

/// A change of an attribute: it holds from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// Which attribute.
    pub attribute: &'static str,
    /// Its new value.
    pub value: String,
}

/// Changes of firmware, as the device reported them.
pub(crate) fn attribute_changes(plan: &DevicePlan) -> Vec<AttributeChange> {
    let change = |(time_ms, release): &(i64, usize)| AttributeChange {
        time_ms: *time_ms,
        attribute: "firmware",
        value: RELEASES[*release].version.to_owned(),
    };
    plan.versions.changes().iter().map(change).collect()
}

/// All events of a device.
pub(crate) fn events(config: &Config, plan: &DevicePlan) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |time_ms: i64, kind: EventKind, labels: &[(&'static str, &str)]| {
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        events.push(Event { time_ms, kind, labels });
    };
    stages(plan, &mut add);
    for update in &plan.updates {
        let (from, to) = (RELEASES[update.from].version, RELEASES[update.to].version);
        add(update.at_ms, EventKind::Firmware, &[("from", from), ("to", to), ("status", update.status.as_str())]);
    }
    for failure in &plan.failures {
        let labels = [("component", failure.component()), ("cause", failure.cause.as_str())];
        add(failure.at_ms, EventKind::Failure, &labels);
        if failure.repaired_ms < plan.active_ms.end {
            let labels = [("action", "repair"), ("component", failure.component())];
            add(failure.repaired_ms, EventKind::Maintenance, &labels);
        }
    }
    for inspected_ms in plan.inspections_ms.iter().filter(|at_ms| !plan.is_down(**at_ms)) {
        add(*inspected_ms, EventKind::Maintenance, &[("action", "inspection")]);
    }
    for (changed_ms, _) in plan.batteries.iter().skip(1) {
        add(*changed_ms, EventKind::Maintenance, &[("action", "replacement"), ("component", "battery")]);
    }
    for calibrated_ms in &plan.calibrations_ms {
        add(*calibrated_ms, EventKind::Calibration, &[("metric", "pressure_hpa")]);
    }
    errors(config, plan, &mut add);
    events.retain(|event| event.time_ms < plan.active_ms.end || event.kind == EventKind::Stage);
    events.sort_by_key(|event| (event.time_ms, event.kind));
    events
}

/// Receives an event: time, kind, labels.
type Add<'a> = dyn FnMut(i64, EventKind, &[(&'static str, &str)]) + 'a;

fn stages(plan: &DevicePlan, add: &mut Add<'_>) {
    let mut stage = |time_ms: i64, stage: &str| add(time_ms, EventKind::Stage, &[("stage", stage)]);
    stage(plan.installed_ms, "deployed");
    stage(plan.active_ms.start.max(plan.installed_ms + HOUR_MS), "activated");
    for failure in plan.failures.iter().filter(|failure| failure.repaired_ms < plan.active_ms.end) {
        // Someone comes half-way between the failure and its repair.
        stage(failure.at_ms + (failure.repaired_ms - failure.at_ms) / 2, "in_maintenance");
        stage(failure.repaired_ms, "activated");
    }
    if plan.decommissioned {
        stage(plan.active_ms.end, "decommissioned");
    }
}

/// Error events: rare ones at any time, more in the days before a board fails.
fn errors(config: &Config, plan: &DevicePlan, add: &mut Add<'_>) {
    const CODES: [&str; 5] = ["E101", "E102", "E207", "E310", "E404"];
    let mut chance = Chance::new(config.seed, Purpose::Arrival, plan.number);
    let day = crate::config::DAY_MS as f64;
    let mut at_ms = plan.active_ms.start as f64 + chance.exponential(40.0 * day);
    while at_ms < plan.active_ms.end as f64 {
        let code = CODES[chance.place(CODES.len())];
        if !plan.is_down(at_ms as i64) {
            add(at_ms as i64, EventKind::Error, &[("code", code)]);
        }
        at_ms += chance.exponential(40.0 * day);
    }
    for failure in &plan.failures {
        let Some(precursor) = failure.precursor.filter(|precursor| precursor.metric == crate::Metric::ErrorCount)
        else {
            continue;
        };
        for _ in 0..precursor.strength.of(1, 3, 8) {
            let at_ms = precursor.from_ms.max(failure.at_ms - chance.exponential(2.0 * day) as i64);
            add(at_ms, EventKind::Error, &[("code", CODES[3])]);
        }
    }
}
