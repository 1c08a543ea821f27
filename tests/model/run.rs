//! Random actions through a store and the model, and the comparison of both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fleetlog::{
    BatchColumn, Column, Delete, DeviceHandle, DeviceId, DeviceRows, LogRecord, MetricName, MetricType, Options,
    Presence, Severity, Snapshot, Store, TimeRange, Value, Values, WriteBatch,
};

use super::{Action, Cell, DEVICES, METRICS, Model, Statement, at, event, message};

/// A store, the model of it, and moments of both.
pub struct Run {
    path: PathBuf,
    pub store: Option<Store>,
    pub model: Model,
    pub moments: Vec<(Snapshot, Model)>,
}

pub fn options() -> Options {
    // Little memory, so that chunks close and seals come by themselves too.
    Options { memory_bytes: 32 << 20, threads: 2, compact_in_background: false, ..Options::default() }
}

impl Run {
    pub fn new(path: &Path) -> Self {
        let store = Some(Store::open(path, options()).unwrap());
        Self { path: path.to_owned(), store, model: Model::default(), moments: Vec::new() }
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub fn act(&mut self, action: &Action) {
        match action {
            Action::Write { cells, statements, events, logs, key } => self.write(cells, statements, events, logs, *key),
            Action::Delete { device, metric, from, to, events } => {
                self.delete(*device, *metric, TimeRange::new(at(*from), at(*to)), *events)
            }
            Action::BulkLoad { cells } => self.load(cells),
            Action::Dense(dense) if dense.loaded => self.load(&dense.cells()),
            Action::Dense(dense) => self.write(&dense.cells(), &[], &[], &[], None),
            Action::Rename { device } => self.rename(*device),
            Action::Merge { from, into } => self.merge(*from, *into),
            Action::Seal => self.store().seal().unwrap(),
            Action::Compact { cold } => self.store().compact(*cold, None).unwrap(),
            Action::Reopen => {
                self.check_moments();
                self.store = None;
                self.store = Some(Store::open(&self.path, options()).unwrap());
            }
            Action::Snapshot => self.moments.push((self.store().snapshot().unwrap(), self.model.clone())),
            Action::Reader => {
                let reader = Store::open_read_only(&self.path, options()).unwrap();
                compare(&reader.snapshot().unwrap(), &self.model);
            }
        }
    }

    fn write(
        &mut self,
        cells: &[Cell],
        statements: &[Statement],
        events: &[(usize, i64, u8)],
        logs: &[(usize, i64)],
        key: Option<u8>,
    ) {
        if !self.model.write(cells, statements, events, logs, key) {
            // The key was there before: whatever the batch holds, nothing changes.
            let mut batch = WriteBatch::new();
            batch.reading("never", at(0)).float("never", 1.0);
            batch.idempotency_key(format!("key {}", key.unwrap()));
            self.store().write(batch).unwrap();
            return;
        }
        let mut batch = WriteBatch::new();
        for (device, time, metric, value) in cells {
            batch.reading(DEVICES[*device], at(*time)).value(METRICS[*metric], value.clone());
        }
        for Statement { device, attribute, value, from, to } in statements {
            let entry = match value {
                Some(value) => batch.attribute(DEVICES[*device], attribute, format!("v{value}")),
                None => batch.attribute_none(DEVICES[*device], attribute),
            };
            entry.from(at(*from)).to(at(*to));
        }
        for (device, time, label) in events {
            let event = event(DeviceId::new(DEVICES[*device]).unwrap(), *time, *label);
            batch.event(DEVICES[*device], event.time, event.kind, event.labels);
        }
        let sequence = self.store().snapshot().unwrap().sequence().0 + 1;
        for (place, (device, time)) in logs.iter().enumerate() {
            batch.log(LogRecord {
                device: DeviceId::new(DEVICES[*device]).unwrap(),
                time: at(*time),
                severity: Severity::Warning,
                source: "test".to_owned(),
                message: message(self.model.sequence, place),
                fields: BTreeMap::new(),
            });
        }
        if let Some(key) = key {
            batch.idempotency_key(format!("key {key}"));
        }
        let written = self.store().write(batch).unwrap();
        assert!(written.0 == sequence || written.0 == sequence - 1, "commit {} of {sequence}", written.0);
    }

    fn delete(&mut self, device: usize, metric: Option<usize>, range: TimeRange, events: bool) {
        let known = self.store().snapshot().unwrap();
        let metric_known = metric.is_none_or(|metric| known.catalog().metric(METRICS[metric]).is_some());
        if known.catalog().device(DEVICES[device]).is_none() || !metric_known {
            return;
        }
        drop(known);
        self.model.delete(device, metric, range, events);
        let mut batch = WriteBatch::new();
        let metric = metric.map(|metric| MetricName::new(METRICS[metric]).unwrap());
        batch.delete(Delete { device: DeviceId::new(DEVICES[device]).unwrap(), metric, range, events });
        self.store().write(batch).unwrap();
    }

    fn load(&mut self, cells: &[Cell]) {
        if cells.is_empty() {
            return;
        }
        self.model.load(cells);
        let mut load = self.store().bulk_load().unwrap();
        let mut rows: BTreeMap<DeviceHandle, BTreeMap<i64, BTreeMap<usize, Value>>> = BTreeMap::new();
        for (device, time, metric, value) in cells {
            let handle = load.device(&DeviceId::new(DEVICES[*device]).unwrap()).unwrap();
            rows.entry(handle).or_default().entry(*time).or_default().insert(*metric, value.clone());
        }
        for (handle, rows) in rows {
            let rows = device_rows(&mut load, &rows);
            load.rows(handle, &rows).unwrap();
        }
        load.commit().unwrap();
    }

    fn rename(&mut self, device: usize) {
        let snapshot = self.store().snapshot().unwrap();
        if snapshot.catalog().device(DEVICES[device]).is_none() {
            return;
        }
        drop(snapshot);
        let (from, to) = (self.model.device(device), self.model.new_name());
        self.model.hand_over(&from, &to);
        let mut batch = WriteBatch::new();
        batch.rename_device(DeviceId::new(from).unwrap(), DeviceId::new(to).unwrap());
        self.store().write(batch).unwrap();
    }

    fn merge(&mut self, from: usize, into: usize) {
        let snapshot = self.store().snapshot().unwrap();
        let known = |device: usize| snapshot.catalog().device(DEVICES[device]).is_some();
        if !known(from) || !known(into) {
            return;
        }
        drop(snapshot);
        let (from, into) = (self.model.device(from), self.model.device(into));
        if from == into {
            return;
        }
        self.model.hand_over(&from, &into);
        let mut batch = WriteBatch::new();
        batch.merge_devices(DeviceId::new(from).unwrap(), DeviceId::new(into).unwrap());
        self.store().write(batch).unwrap();
    }

    /// Compares the present, and every moment that was kept.
    pub fn check(&mut self) {
        compare(&self.store().snapshot().unwrap(), &self.model);
        self.check_moments();
    }

    fn check_moments(&mut self) {
        for (snapshot, model) in self.moments.drain(..) {
            compare(&snapshot, &model);
        }
    }
}

fn device_rows(load: &mut fleetlog::store::BulkLoad, rows: &BTreeMap<i64, BTreeMap<usize, Value>>) -> DeviceRows {
    let mut out = DeviceRows { times: rows.keys().copied().collect(), columns: Vec::new() };
    for (metric, name) in METRICS.iter().enumerate() {
        let found: Vec<(u32, &Value)> =
            rows.values().enumerate().filter_map(|(row, values)| Some((row as u32, values.get(&metric)?))).collect();
        let Some((_, first)) = found.first() else { continue };
        let widest =
            found.iter().fold(first.metric_type(), |widest, (_, value)| widest.widest(value.metric_type()).unwrap());
        let name = MetricName::new(name).unwrap();
        let (handle, conversion) = load.metric(&name, widest, None, None).unwrap();
        assert!(conversion.is_none());
        let column = Column {
            presence: Presence::from_positions(found.iter().map(|(row, _)| *row).collect(), out.times.len()),
            values: values(found.iter().map(|(_, value)| *value), widest),
        };
        out.columns.push((handle, column));
    }
    out.columns.sort_by_key(|(handle, _)| *handle);
    out
}

fn values<'a>(found: impl Iterator<Item = &'a Value>, widest: MetricType) -> Values {
    let mut batch = BatchColumn { rows: Vec::new(), values: Values::empty(widest) };
    for value in found {
        match (&mut batch.values, value) {
            (Values::Float(values), value) => values.push(value.as_f64().unwrap()),
            (Values::Integer(values), Value::Integer(value)) => values.push(*value),
            (Values::Boolean(values), Value::Boolean(value)) => values.push(*value),
            (Values::Text(values), Value::Text(value)) => {
                let known = values.dictionary.iter().position(|text| **text == **value);
                let code = known.unwrap_or_else(|| {
                    values.dictionary.push(value.as_str().into());
                    values.dictionary.len() - 1
                });
                values.codes.push(code as u32);
            }
            other => panic!("{other:?}"),
        }
    }
    batch.values
}

/// What a moment shows, cell by cell.
pub fn cells(snapshot: &Snapshot) -> BTreeMap<(String, i64, String), Value> {
    let mut found = BTreeMap::new();
    for device in snapshot.catalog().devices() {
        let rows = snapshot.rows(device.handle, TimeRange::ALL, None).unwrap();
        assert!(rows.check().is_ok());
        for (metric, column) in &rows.columns {
            let definition = snapshot.catalog().metric_by_handle(*metric).unwrap();
            for row in 0..rows.len() {
                if let Some(place) = column.presence.value_place(row) {
                    let value = match (column.values.get(place), definition.metric_type) {
                        (value, MetricType::Float) => Value::Float(value.as_f64().unwrap()),
                        (value, _) => value,
                    };
                    found.insert((device.id.to_string(), rows.times[row], definition.name.to_string()), value);
                }
            }
        }
    }
    found
}

/// Compares a moment of a store with the model of that moment.
pub fn compare(snapshot: &Snapshot, model: &Model) {
    let expected: BTreeMap<_, _> =
        model.cells.iter().map(|(key, value)| (key.clone(), model.value(&key.2, value))).collect();
    let found = cells(snapshot);
    let missing: Vec<_> = expected.iter().filter(|(key, value)| found.get(*key) != Some(*value)).take(3).collect();
    let extra: Vec<_> = found.iter().filter(|(key, value)| expected.get(*key) != Some(*value)).take(3).collect();
    assert!(missing.is_empty() && extra.is_empty(), "expected {missing:?}, found {extra:?}");

    let mut events = Vec::new();
    snapshot
        .events(TimeRange::ALL, None, &mut |event| {
            events.push(event.clone());
            Ok(true)
        })
        .unwrap();
    assert_eq!(events, model.events.iter().cloned().collect::<Vec<_>>());

    let devices: BTreeSet<String> = snapshot.catalog().devices().map(|device| device.id.to_string()).collect();
    for device in model.devices().intersection(&devices) {
        let handle = snapshot.catalog().device(device).unwrap();
        let logs: Vec<(i64, String)> =
            snapshot.logs(handle).unwrap().into_iter().map(|log| (log.time, log.message.to_string())).collect();
        assert_eq!(logs, model.logs(device));
        let instants = model.cells.keys().map(|(_, time, _)| *time).chain([i64::MIN, 0, i64::MAX]).take(40);
        for time in instants {
            for attribute in ["region", "firmware"] {
                let found = snapshot.attributes().value_at(handle, attribute, at(time)).map(|value| value.to_text());
                assert_eq!(
                    found,
                    model.attribute(device, attribute, at(time)),
                    "{attribute} of {device} at {}",
                    at(time)
                );
            }
        }
    }
}
