//! The last value of every metric of each device.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::error::Result;
use crate::model::{Cell, MetricDefinition, MetricHandle, MetricType, Presence, Table, Values};
use crate::scan::{Piece, Scan, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{TimeRange, Timestamp};

use super::cohort;
use super::explain::Explain;
use super::fleet::by_device;
use super::prepared::metric;
use super::query::AttributeFilter;
use super::samples::as_type;

/// Which last values: of the whole fleet and every metric, until it is narrowed.
#[derive(Debug, Clone)]
pub struct LatestRequest {
    metrics: Vec<String>,
    attributes: Vec<AttributeFilter>,
    range: TimeRange,
    statistics: bool,
}

impl Default for LatestRequest {
    fn default() -> Self {
        Self { metrics: Vec::new(), attributes: Vec::new(), range: TimeRange::ALL, statistics: true }
    }
}

impl LatestRequest {
    /// Only these metrics.
    #[must_use]
    pub fn metrics<M: Into<String>>(mut self, metrics: impl IntoIterator<Item = M>) -> Self {
        self.metrics = metrics.into_iter().map(Into::into).collect();
        self
    }

    /// Only values whose device had an attribute when they were sampled; repeats as AND.
    #[must_use]
    pub fn filter(mut self, filter: AttributeFilter) -> Self {
        self.attributes.push(filter);
        self
    }

    /// Only samples from an instant (in) to another (out): the state of the fleet as it was then.
    #[must_use]
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.range = TimeRange::new(from, to);
        self
    }

    /// Whether statistics may answer for values (they do by default).
    #[must_use]
    pub fn statistics(mut self, allowed: bool) -> Self {
        self.statistics = allowed;
        self
    }
}

impl Store {
    /// The last value of every metric of each device: `device`, `metric`, `time`, `value`, `unit`; by device, then metric.
    /// NaN is skipped, as in the aggregate `last`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown metric or attribute, [`crate::ErrorKind::Corruption`],
    /// [`crate::ErrorKind::Cancelled`], [`crate::ErrorKind::SnapshotExpired`].
    pub fn latest(
        &self,
        snapshot: &Snapshot,
        request: &LatestRequest,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let started = Instant::now();
        let metrics: Vec<MetricDefinition> = if request.metrics.is_empty() {
            snapshot.catalog().metrics().cloned().collect()
        } else {
            request.metrics.iter().map(|name| metric(snapshot, name).cloned()).collect::<Result<_>>()?
        };
        let counters = ScanCounters::default();
        let handles = metrics.iter().map(|metric| metric.handle).collect();
        counters.count_segments(snapshot, request.range);
        let scan = Scan::new(snapshot, request.range, handles, &counters, progress)?;
        let devices = cohort::devices(snapshot, &request.attributes, request.range, progress)?;
        let planned = Instant::now();
        let mut table = Table::with_names(&["device", "metric", "time", "value", "unit"]);
        let work = |device: &DeviceEntry| {
            let mut found = last_values(&scan, device, &metrics, request.statistics)?;
            found.retain(|_, (time, ..)| {
                let at = Timestamp::from_nanoseconds(*time);
                request.attributes.iter().all(|filter| cohort::holds_at(snapshot, device, filter, at))
            });
            Ok((device.id.to_string(), found))
        };
        by_device(self, &devices, progress, work, |(device, found)| {
            for (name, (time, value, unit)) in found {
                let unit = unit.map_or(Cell::Null, |unit| Cell::Text(unit.into()));
                let time = Cell::Time(Timestamp::from_nanoseconds(time));
                table.push(vec![Cell::Text(device.as_str().into()), Cell::Text(name.into()), time, value, unit])?;
            }
            Ok(())
        })?;
        let threads = self.install(rayon::current_num_threads);
        Ok((table, Explain::of(&counters, started, planned, threads)))
    }
}

type LastValues = BTreeMap<String, (i64, Cell, Option<String>)>;

/// Walks a device's pieces from the last one back until every metric is found; statistics answer for blocks of numbers.
fn last_values(
    scan: &Scan<'_>,
    device: &DeviceEntry,
    metrics: &[MetricDefinition],
    statistics: bool,
) -> Result<LastValues> {
    let mut missing: Vec<&MetricDefinition> = metrics.iter().collect();
    let mut found = LastValues::new();
    scan.device_back(device.handle, &mut |piece| {
        let mut left = Vec::new();
        for metric in std::mem::take(&mut missing) {
            let last = match &piece {
                Piece::Rows(rows) => last_of_rows(rows, metric.handle),
                Piece::Block(block) if !statistics || metric.metric_type == MetricType::Text => {
                    last_of_rows(&scan.rows_of_metric(block, metric.handle)?, metric.handle)
                }
                Piece::Block(block) => {
                    let known = scan.statistics(block, metric.handle)?.filter(|known| known.count > 0);
                    scan.note_statistics(1);
                    known.map(|known| {
                        let cell = match (metric.metric_type, known.integers) {
                            (MetricType::Integer, Some(integers)) => Cell::Integer(integers[3]),
                            (MetricType::Boolean, _) => Cell::Boolean(known.last != 0.0),
                            _ => Cell::Float(known.last),
                        };
                        (known.last_time, cell)
                    })
                }
            };
            match last {
                Some((time, cell)) => {
                    found.insert(metric.name.to_string(), (time, as_type(cell, metric), metric.unit.clone()));
                }
                None => left.push(metric),
            }
        }
        missing = left;
        Ok(!missing.is_empty())
    })?;
    Ok(found)
}

fn last_of_rows(rows: &crate::model::DeviceRows, metric: MetricHandle) -> Option<(i64, Cell)> {
    let column = rows.column(metric)?;
    let place = (0..column.values.len()).rev().find(|place| match &column.values {
        Values::Float(values) => !values[*place].is_nan(),
        _ => true,
    })?;
    let row = match &column.presence {
        Presence::All => place,
        Presence::Positions(positions) => positions[place] as usize,
    };
    Some((rows.times[row], cell(&column.values, place)))
}

/// A value as a cell of an answer.
pub(super) fn cell(values: &Values, place: usize) -> Cell {
    match values {
        Values::Float(values) => Cell::Float(values[place]),
        Values::Integer(values) => Cell::Integer(values[place]),
        Values::Boolean(values) => Cell::Boolean(values[place]),
        Values::Text(values) => Cell::Text(values.get(place).into()),
    }
}
