//! The naive model: a sorted map of every write, and random actions that go through it and through a store alike.
#![allow(dead_code)]

pub mod dense;
pub mod run;

use std::collections::{BTreeMap, BTreeSet};

use dense::Dense;
use fleetlog::{DeviceId, Event, EventKind, TimeRange, Timestamp, Value};
use proptest::prelude::*;

pub const DEVICES: [&str; 5] = ["pump-1", "pump-2", "pump-3@gateway", "Ventil 4", "z"];
pub const METRICS: [&str; 5] = ["power_w", "errors", "level", "open", "mode"];
/// What `level` is: an integer from one make, a float from another.
const MINUTE_NS: i64 = 60_000_000_000;
const DAY_NS: i64 = 86_400_000_000_000;
/// 2025-01-30: the days around it lie in two months.
const BASE_NS: i64 = 20_118 * DAY_NS;

/// One value that is written: device, time, metric and value by number.
pub type Cell = (usize, i64, usize, Value);

#[derive(Debug, Clone)]
pub enum Action {
    Write {
        cells: Vec<Cell>,
        statements: Vec<Statement>,
        events: Vec<(usize, i64, u8)>,
        logs: Vec<(usize, i64)>,
        key: Option<u8>,
    },
    Delete {
        device: usize,
        metric: Option<usize>,
        from: i64,
        to: i64,
        events: bool,
    },
    BulkLoad {
        cells: Vec<Cell>,
    },
    Dense(Dense),
    Rename {
        device: usize,
    },
    Merge {
        from: usize,
        into: usize,
    },
    Seal,
    Compact {
        cold: bool,
    },
    Reopen,
    Snapshot,
    Reader,
}

#[derive(Debug, Clone)]
pub struct Statement {
    pub device: usize,
    pub attribute: &'static str,
    pub value: Option<u8>,
    pub from: i64,
    pub to: i64,
}

pub fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

/// Mostly few instants, so that rows collide; some in other months; some from clocks that are wrong.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => (0_i64..4, 0_i64..12).prop_map(|(day, minute)| BASE_NS + day * DAY_NS + minute * 7 * MINUTE_NS),
        2 => (0_i64..400, 0_i64..1_440).prop_map(|(day, minute)| BASE_NS + day * DAY_NS + minute * MINUTE_NS),
        1 => (0_i64..50).prop_map(|second| second * 1_000_000_000),
        1 => (0_i64..4).prop_map(|year| BASE_NS + year * 40 * 365 * DAY_NS + 7),
    ]
}

fn cell() -> impl Strategy<Value = Cell> {
    let number = prop_oneof![
        6 => (-50_i64..50).prop_map(|value| value as f64 / 4.0),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => any::<f64>().prop_filter("finite", |value| value.is_finite() && value.abs() < 1e100),
    ];
    (0..DEVICES.len(), time(), 0..METRICS.len(), number, any::<bool>()).prop_map(
        |(device, time, metric, number, other)| {
            let value = match metric {
                0 => Value::Float(number),
                1 => Value::Integer(if other { (number as i64).wrapping_mul(1 << 40) } else { number as i64 }),
                2 if device % 2 == 0 => Value::Integer(number as i64 % 1_000),
                2 => Value::Float(number),
                3 => Value::Boolean(other),
                _ => Value::Text(["on", "off", "", "Störung"][(number.abs() as usize) % 4].to_owned()),
            };
            (device, time, metric, value)
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let range = prop_oneof![
        2 => Just((i64::MIN, i64::MAX)),
        3 => time().prop_map(|from| (from, i64::MAX)),
        2 => (time(), time()).prop_map(|(a, b)| (a.min(b), a.max(b) + 1)),
    ];
    let attribute = prop_oneof![Just("region"), Just("firmware")];
    (0..DEVICES.len(), attribute, proptest::option::weighted(0.9, 0_u8..3), range)
        .prop_map(|(device, attribute, value, (from, to))| Statement { device, attribute, value, from, to })
}

pub fn action() -> impl Strategy<Value = Action> {
    let cells = |most: usize| proptest::collection::vec(cell(), 0..most).prop_map(apart);
    let events = proptest::collection::vec((0..DEVICES.len(), time(), 0_u8..3), 0..3);
    let logs = proptest::collection::vec((0..DEVICES.len(), time()), 0..3);
    let statements = proptest::collection::vec(statement(), 0..3);
    prop_oneof![
        12 => (cells(25), statements, events, logs, proptest::option::weighted(0.2, 0_u8..3))
            .prop_map(|(cells, statements, events, logs, key)| Action::Write { cells, statements, events, logs, key }),
        3 => (0..DEVICES.len(), proptest::option::of(0..METRICS.len()), time(), time(), any::<bool>()).prop_map(|(device, metric, a, b, events)| {
            Action::Delete { device, metric, from: a.min(b), to: a.max(b) + 1, events: events && metric.is_none() }
        }),
        3 => cells(60).prop_map(|cells| Action::BulkLoad { cells }),
        3 => dense::dense().prop_map(Action::Dense),
        1 => (0..DEVICES.len()).prop_map(|device| Action::Rename { device }),
        1 => (0..DEVICES.len(), 0..DEVICES.len()).prop_map(|(from, into)| Action::Merge { from, into }),
        4 => Just(Action::Seal),
        3 => any::<bool>().prop_map(|cold| Action::Compact { cold }),
        2 => Just(Action::Reopen),
        2 => Just(Action::Snapshot),
        1 => Just(Action::Reader),
    ]
}

/// Rows of one commit and different devices never share an instant: were the devices one day merged, neither would be the later.
fn apart(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.iter_mut().for_each(|(device, time, ..)| *time += *device as i64);
    cells
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
pub struct Model {
    sequence: u64,
    /// Every id that a device ever had, and the id it has now.
    ids: BTreeMap<String, String>,
    /// (device, time, metric) and the value.
    pub cells: BTreeMap<(String, i64, String), Value>,
    pub events: BTreeSet<Event>,
    logs: Vec<(String, i64, u64, String)>,
    /// In order: identity, attribute, value, range.
    statements: Vec<(usize, String, Option<String>, TimeRange)>,
    /// For each id of now the identities that became it: its own first, then those merged into it.
    identities: BTreeMap<String, Vec<usize>>,
    keys: BTreeSet<u8>,
    renames: u32,
    /// Metrics that once had a float.
    floats: BTreeSet<String>,
}

impl Model {
    pub fn device(&mut self, number: usize) -> String {
        let id = DEVICES[number].to_owned();
        if !self.ids.contains_key(&id) {
            self.identities.insert(id.clone(), vec![number]);
        }
        self.ids.entry(id.clone()).or_insert(id).clone()
    }

    fn put(&mut self, cells: &[Cell]) {
        for (device, time, metric, value) in cells {
            let key = (self.device(*device), *time, METRICS[*metric].to_owned());
            if matches!(value, Value::Float(_)) {
                self.floats.insert(METRICS[*metric].to_owned());
            }
            self.cells.insert(key, value.clone());
        }
    }

    /// Values as they read now: a metric that once was a float is one everywhere.
    pub fn value(&self, metric: &str, value: &Value) -> Value {
        let float = self.floats.contains(metric);
        match value.as_f64() {
            Some(number) if float => Value::Float(number),
            _ => value.clone(),
        }
    }

    /// The documented rule: the base is the open statement with the greatest start; of it and the closed statements that
    /// cover the instant the latest wins. What a merged identity says counts where those before it are silent.
    pub fn attribute(&self, device: &str, attribute: &str, at: Timestamp) -> Option<String> {
        let said = self.identities[device].iter().find_map(|identity| {
            let about = self.statements.iter().enumerate();
            let about = about
                .filter(|(_, (owner, name, _, range))| owner == identity && name == attribute && range.contains(at));
            let (open, closed): (Vec<_>, Vec<_>) = about.partition(|(_, statement)| statement.3.to == Timestamp::MAX);
            let base = open.into_iter().max_by_key(|(order, statement)| (statement.3.from, *order));
            base.into_iter().chain(closed).max_by_key(|(order, _)| *order).map(|(_, statement)| statement.2.clone())
        });
        said.flatten()
    }

    pub fn devices(&self) -> BTreeSet<String> {
        self.ids.values().cloned().collect()
    }
}

impl Model {
    /// What a write does; `false` where its key was there before, and it did nothing.
    pub fn write(
        &mut self,
        cells: &[Cell],
        statements: &[Statement],
        events: &[(usize, i64, u8)],
        logs: &[(usize, i64)],
        key: Option<u8>,
    ) -> bool {
        if key.is_some_and(|key| !self.keys.insert(key)) {
            return false;
        }
        self.sequence += 1;
        self.put(cells);
        for Statement { device, attribute, value, from, to } in statements {
            let value = value.map(|value| format!("v{value}"));
            let device = self.device(*device);
            let identity = self.identities[&device][0];
            self.statements.push((identity, (*attribute).to_owned(), value, TimeRange::new(at(*from), at(*to))));
        }
        for (device, time, label) in events {
            let device = DeviceId::new(self.device(*device)).unwrap();
            self.events.insert(event(device, *time, *label));
        }
        for (place, (device, time)) in logs.iter().enumerate() {
            let device = self.device(*device);
            self.logs.push((device, *time, self.sequence, message(self.sequence, place)));
        }
        true
    }

    pub fn load(&mut self, cells: &[Cell]) {
        self.sequence += 1;
        self.put(cells);
    }

    pub fn delete(&mut self, device: usize, metric: Option<usize>, range: TimeRange, events: bool) {
        self.sequence += 1;
        let device = self.device(device);
        self.cells.retain(|(owner, time, name), _| {
            !(*owner == device && range.contains(at(*time)) && metric.is_none_or(|metric| METRICS[metric] == name))
        });
        if events {
            self.events.retain(|event| !(event.device.as_str() == device && range.contains(event.time)));
        }
    }

    /// Moves all that belongs to one id to another, as a rename and a merge do.
    pub fn hand_over(&mut self, from: &str, into: &str) {
        self.sequence += 1;
        self.ids.values_mut().filter(|id| *id == from).for_each(|id| *id = into.to_owned());
        self.ids.insert(into.to_owned(), into.to_owned());
        let moved: Vec<_> = self.cells.keys().filter(|(owner, ..)| owner == from).cloned().collect();
        for key in moved {
            let Some(cell) = self.cells.remove(&key) else { continue };
            // Where both have a value, the one that stays wins, whenever it was written.
            self.cells.entry((into.to_owned(), key.1, key.2)).or_insert(cell);
        }
        let owner = DeviceId::new(into).unwrap();
        let events = std::mem::take(&mut self.events);
        let move_event = |mut event: Event| {
            if event.device.as_str() == from {
                event.device = owner.clone();
            }
            event
        };
        self.events = events.into_iter().map(move_event).collect();
        self.logs.iter_mut().filter(|log| log.0 == from).for_each(|log| log.0 = into.to_owned());
        let moved = self.identities.remove(from).unwrap_or_default();
        self.identities.entry(into.to_owned()).or_default().extend(moved);
    }

    pub fn new_name(&mut self) -> String {
        self.renames += 1;
        format!("renamed-{}", self.renames)
    }

    /// The log records of a device, by time and order of arrival.
    pub fn logs(&self, device: &str) -> Vec<(i64, String)> {
        let mut logs: Vec<_> = self.logs.iter().filter(|log| log.0 == device).collect();
        logs.sort_by_key(|log| (log.1, log.2));
        logs.into_iter().map(|log| (log.1, log.3.clone())).collect()
    }
}

pub fn message(sequence: u64, place: usize) -> String {
    format!("message {place} of commit {sequence}")
}

pub fn event(device: DeviceId, time: i64, label: u8) -> Event {
    let kind = if label == 0 { EventKind::Failure } else { EventKind::Maintenance };
    let labels = [("component".to_owned(), format!("comp{label}"))].into();
    Event { time: at(time), device, kind, labels }
}
