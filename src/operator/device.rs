//! One device on one page.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::model::{Cell, Severity, Table};
use crate::scan::ScanCounters;
use crate::store::{Progress, Snapshot, Store};
use crate::time::{SECOND_NS, TimeRange, Timestamp};

use super::distribution::Distribution;
use super::gaps::{Gaps, all_metrics, columns, visit_times};
use super::latest::LatestRequest;
use super::looks::look;
use super::query::attribute;
use super::samples::device;

/// The attribute that says where a device is in its life.
const STAGE: &str = "stage";
/// A gap is longer than so many of the device's usual intervals.
const GAP_INTERVALS: f64 = 5.0;

/// The most distinct intervals that are counted each by itself.
const INTERVALS_MAX: usize = 65_536;

/// Intervals between samples: most devices have few different ones, and those are counted exactly.
#[derive(Default)]
struct Intervals {
    exact: BTreeMap<i128, u64>,
    /// What came after [`INTERVALS_MAX`] different ones; then the median is within the error of the sketch.
    many: Option<Distribution>,
}

impl Intervals {
    fn add(&mut self, interval_ns: i128) {
        if let Some(many) = &mut self.many {
            many.add(interval_ns as f64, 1);
            return;
        }
        *self.exact.entry(interval_ns).or_default() += 1;
        if self.exact.len() > INTERVALS_MAX {
            let mut many = Distribution::default();
            for (interval_ns, count) in std::mem::take(&mut self.exact) {
                many.add(interval_ns as f64, count);
            }
            self.many = Some(many);
        }
    }

    fn median(&mut self) -> Option<f64> {
        if let Some(many) = &mut self.many {
            return many.percentile(50.0);
        }
        let count: u64 = self.exact.values().sum();
        let at = |rank: u64| {
            let mut before = 0;
            let found = self.exact.iter().find(|(_, count)| {
                before += **count;
                rank < before
            });
            found.map_or(0, |(interval_ns, _)| *interval_ns)
        };
        (count > 0).then(|| (at((count - 1) / 2) + at(count / 2)) as f64 / 2.0)
    }
}

/// What a store knows of one device, part by part.
#[derive(Debug, Clone)]
pub struct DevicePage {
    /// `what`, `value`: id, other ids, samples, first and last sample, the usual interval, log records, stage.
    pub summary: Table,
    /// Attributes and their history: `attribute`, `value`, `from`, `to`; an open end is empty.
    pub attributes: Table,
    /// Events, oldest first: `time`, `kind`, `labels` (`label=value`, with blanks between).
    pub events: Table,
    /// The last value of every metric: `device`, `metric`, `time`, `value`, `unit`.
    pub latest: Table,
    /// Gaps longer than five of its usual intervals: `device`, `count`, `total_s`, `longest_s`, `longest_from`.
    pub gaps: Table,
    /// Log records by severity: `severity`, `count`.
    pub logs: Table,
}

impl Store {
    /// Puts together what is known of a device.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown device, [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Cancelled`].
    pub fn device_page(&self, snapshot: &Snapshot, id: &str, progress: Option<&Progress>) -> Result<DevicePage> {
        let entry = device(snapshot, id)?;
        let counters = ScanCounters::default();
        let scan = all_metrics(snapshot, TimeRange::ALL, &counters, progress)?;
        let mut intervals = Intervals::default();
        let of_device = LatestRequest::default().filter(attribute("device").is(entry.id.as_str()));
        let (latest, _) = self.latest(snapshot, &of_device, progress)?;
        // The last values were the first of four steps.
        progress.inspect(|progress| progress.set_total(4));
        let step = || {
            progress.inspect(|progress| progress.advance(1));
            look(progress)
        };
        let (mut first, mut last, mut samples) = (None, None, 0_i64);
        visit_times(&scan, entry, &mut |times| {
            for time in times {
                first.get_or_insert(*time);
                if let Some(before) = last.replace(*time) {
                    intervals.add(i128::from(*time) - i128::from(before));
                }
            }
            samples += times.len() as i64;
            Ok(())
        })?;
        step()?;
        let interval_ns = intervals.median();
        let mut gaps = Table::new(columns());
        if let Some(interval_ns) = interval_ns {
            let mut found = Gaps::default();
            let longer_than_ns = (interval_ns * GAP_INTERVALS) as i64;
            visit_times(&scan, entry, &mut |times| {
                found.add(times, longer_than_ns);
                Ok(())
            })?;
            gaps.push(found.row(entry.id.to_string()))?;
        }
        step()?;
        let mut logs = Table::with_names(&["severity", "count"]);
        let mut counts: BTreeMap<Severity, i64> = BTreeMap::new();
        snapshot.visit_logs(entry.handle, TimeRange::ALL, &mut |log| {
            *counts.entry(log.severity).or_default() += 1;
            look(progress)?;
            Ok(true)
        })?;
        let log_records: i64 = counts.values().sum();
        for (severity, count) in counts {
            logs.push(vec![Cell::Text(severity.as_str().into()), Cell::Integer(count)])?;
        }
        let mut summary = Table::with_names(&["what", "value"]);
        let mut say = |what: &str, value: Cell| summary.push(vec![Cell::Text(what.into()), value]);
        let time = |time: Option<i64>| time.map_or(Cell::Null, |time| Cell::Time(Timestamp::from_nanoseconds(time)));
        say("device", Cell::Text(entry.id.as_str().into()))?;
        if !entry.aliases.is_empty() {
            let others: Vec<&str> = entry.aliases.iter().map(|alias| alias.as_str()).collect();
            say("other ids", Cell::Text(others.join(", ").into()))?;
        }
        let stage = last
            .and_then(|last| snapshot.attributes().value_at(entry.handle, STAGE, Timestamp::from_nanoseconds(last)));
        say("stage", stage.map_or(Cell::Null, |stage| Cell::Text(stage.to_text().into())))?;
        say("samples", Cell::Integer(samples))?;
        say("first_sample", time(first))?;
        say("last_sample", time(last))?;
        say("usual_interval_s", interval_ns.map_or(Cell::Null, |interval| Cell::Float(interval / SECOND_NS as f64)))?;
        say("log_records", Cell::Integer(log_records))?;
        let events = events(snapshot, entry.id.as_str(), progress)?;
        step()?;
        Ok(DevicePage { summary, attributes: attribute_history(snapshot, id)?, events, latest, gaps, logs })
    }
}

/// The attributes of a device and their history: `attribute`, `value`, `from`, `to`; an open end is empty.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for an unknown device.
pub fn attribute_history(snapshot: &Snapshot, id: &str) -> Result<Table> {
    let entry = device(snapshot, id)?;
    let mut table = Table::with_names(&["attribute", "value", "from", "to"]);
    let end = |at: Timestamp, open: Timestamp| if at == open { Cell::Null } else { Cell::Time(at) };
    for name in snapshot.attributes().attributes() {
        for span in snapshot.attributes().spans(entry.handle, name.as_str(), TimeRange::ALL) {
            let Some(value) = span.value else { continue };
            let (from, to) = (end(span.range.from, Timestamp::MIN), end(span.range.to, Timestamp::MAX));
            table.push(vec![Cell::Text(name.as_str().into()), Cell::Text(value.to_text().into()), from, to])?;
        }
    }
    Ok(table)
}

/// What was ever said of a device's attributes, in the order of the commits, so that a corrected past stays visible: `attribute`,
/// `value` (empty where it was said that there was none), `from`, `to` (an open end is empty), `commit`, `recorded_at`.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for an unknown device.
pub fn attribute_statements(snapshot: &Snapshot, id: &str) -> Result<Table> {
    let entry = device(snapshot, id)?;
    let mut table = Table::with_names(&["attribute", "value", "from", "to", "commit", "recorded_at"]);
    let end = |at: Timestamp, open: Timestamp| if at == open { Cell::Null } else { Cell::Time(at) };
    for said in snapshot.attributes().assertions(entry.handle) {
        table.push(vec![
            Cell::Text(said.attribute.as_str().into()),
            said.value.map_or(Cell::Null, |value| Cell::Text(value.to_text().into())),
            end(said.range.from, Timestamp::MIN),
            end(said.range.to, Timestamp::MAX),
            Cell::Integer(said.sequence.0 as i64),
            Cell::Time(said.recorded_at),
        ])?;
    }
    Ok(table)
}

fn events(snapshot: &Snapshot, id: &str, progress: Option<&Progress>) -> Result<Table> {
    let mut table = Table::with_names(&["time", "kind", "labels"]);
    snapshot.events(TimeRange::ALL, None, &mut |event| {
        look(progress)?;
        if event.device.as_str() == id {
            let labels: Vec<String> = event.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            table.push(vec![
                Cell::Time(event.time),
                Cell::Text(event.kind.as_str().into()),
                Cell::Text(labels.join(" ").into()),
            ])?;
        }
        Ok(true)
    })?;
    Ok(table)
}
