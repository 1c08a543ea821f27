//! Samples: the rows of one device as they are stored, oldest first; or few of them that keep the shape.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Column, DeviceRows, MetricDefinition, Presence, Table, TableColumn, Values};
use crate::scan::{Piece, Scan, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{TimeRange, Timestamp};

use super::cohort::check_range;
use super::column::number;
use super::explain::Explain;
use super::latest::cell;
use super::prepared::metric;

/// The fewest rows to choose: the first, the last, and one between them.
const DOWNSAMPLED_LEAST: usize = 3;
/// Rows of one batch of an answer.
const BATCH_ROWS: usize = 8_192;

/// Which samples: of one device, all metrics and all time until it is narrowed.
#[derive(Debug, Clone)]
pub struct SamplesRequest {
    device: String,
    metrics: Vec<String>,
    range: TimeRange,
    downsample: Option<usize>,
}

impl SamplesRequest {
    /// The samples of a device.
    #[must_use]
    pub fn device(id: impl Into<String>) -> Self {
        Self { device: id.into(), metrics: Vec::new(), range: TimeRange::ALL, downsample: None }
    }

    /// Only these metrics; instants that have none of them are left out.
    #[must_use]
    pub fn metrics<M: Into<String>>(mut self, metrics: impl IntoIterator<Item = M>) -> Self {
        self.metrics = metrics.into_iter().map(Into::into).collect();
        self
    }

    /// Only from an instant (in) to another (out).
    #[must_use]
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.range = TimeRange::new(from, to);
        self
    }

    /// About so many rows, three or more (and at least three for each metric), chosen so that peaks stay: Steinarsson, "Downsampling Time Series
    /// for Visual Representation" (2013), largest triangle three buckets; each metric chooses its share of the rows.
    #[must_use]
    pub fn downsample(mut self, rows: usize) -> Self {
        self.downsample = Some(rows);
        self
    }
}

impl Store {
    /// Gives the samples of a device in batches, oldest first: `device`, `time`, then the metrics by name. The first batch may be
    /// empty: it names the columns. `visit` returns false to stop.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device or metric, [`ErrorKind::InvalidInput`] for an empty range or fewer than three rows to choose,
    /// [`ErrorKind::LimitExceeded`] when rows to choose from do not fit into half of the memory budget, [`ErrorKind::Corruption`], [`ErrorKind::Cancelled`], [`ErrorKind::SnapshotExpired`].
    pub fn samples(
        &self,
        snapshot: &Snapshot,
        request: &SamplesRequest,
        progress: Option<&Progress>,
        visit: &mut dyn FnMut(Table) -> Result<bool>,
    ) -> Result<Explain> {
        let started = Instant::now();
        check_range(request.range)?;
        if let Some(rows) = request.downsample.filter(|rows| *rows < DOWNSAMPLED_LEAST) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{rows} rows can not keep the shape of samples"))
                .advise(format!(
                    "downsample to {DOWNSAMPLED_LEAST} rows or more: the first, the last, and peaks between"
                )));
        }
        let device = device(snapshot, &request.device)?;
        let counters = ScanCounters::default();
        let metrics = if request.metrics.is_empty() {
            metrics_of(snapshot, device, request.range)?
        } else {
            let mut named: Vec<MetricDefinition> =
                request.metrics.iter().map(|name| metric(snapshot, name).cloned()).collect::<Result<_>>()?;
            named.sort_by(|a, b| a.name.cmp(&b.name));
            named.dedup_by(|a, b| a.handle == b.handle);
            named
        };
        let scan = Scan::new(snapshot, request.range, metrics.iter().map(|metric| metric.handle).collect(), &counters)?;
        let batches = Batches { device: &device.id, metrics: &metrics };
        let planned = Instant::now();
        progress.inspect(|progress| progress.set_total(1));
        if visit(batches.empty())? {
            self.give_samples(&scan, device, request.downsample, &batches, progress, visit)?;
        }
        progress.inspect(|progress| progress.advance(1));
        let threads = self.install(rayon::current_num_threads);
        Ok(Explain::of(&counters, started, planned, threads))
    }

    fn give_samples(
        &self,
        scan: &Scan<'_>,
        device: &DeviceEntry,
        downsample: Option<usize>,
        batches: &Batches<'_>,
        progress: Option<&Progress>,
        visit: &mut dyn FnMut(Table) -> Result<bool>,
    ) -> Result<()> {
        match downsample {
            None => {
                let mut more = true;
                scan.device(device.handle, &mut |piece| {
                    progress.map_or(Ok(()), Progress::check)?;
                    if !more {
                        return Ok(());
                    }
                    let rows = match piece {
                        Piece::Block(block) => scan.rows(&block)?,
                        Piece::Rows(rows) => rows,
                    };
                    more = batches.give(&rows, None, visit)?;
                    Ok(())
                })
            }
            Some(count) => {
                let pieces = self.gather(scan, device, progress)?;
                let chosen = choose(&pieces, batches.metrics, count);
                for (rows, chosen) in pieces.iter().zip(chosen) {
                    if !batches.give(rows, Some(&chosen), visit)? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    fn gather(&self, scan: &Scan<'_>, device: &DeviceEntry, progress: Option<&Progress>) -> Result<Vec<DeviceRows>> {
        let mut pieces = Vec::new();
        let mut held = 0;
        let most = self.options().memory_bytes / 2;
        scan.device(device.handle, &mut |piece| {
            progress.map_or(Ok(()), Progress::check)?;
            let rows = match piece {
                Piece::Block(block) => scan.rows(&block)?,
                Piece::Rows(rows) => rows,
            };
            held += rows.memory_bytes();
            if held > most {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    format!("the rows to choose from pass {} MiB", most >> 20),
                )
                .advise("ask for a shorter time, or for fewer metrics"));
            }
            pieces.push(rows);
            Ok(())
        })?;
        Ok(pieces)
    }
}

/// A device by its id, or an older id of it.
pub(super) fn device<'s>(snapshot: &'s Snapshot, id: &str) -> Result<&'s DeviceEntry> {
    let handle = snapshot.catalog().device(id);
    let entry = handle.and_then(|handle| snapshot.catalog().device_entry(snapshot.catalog().primary(handle)));
    entry.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no device '{}'", id.escape_default())))
}

/// The metrics that a device has in a range, by name.
pub(super) fn metrics_of(snapshot: &Snapshot, device: &DeviceEntry, range: TimeRange) -> Result<Vec<MetricDefinition>> {
    let counters = ScanCounters::default();
    let scan = super::gaps::all_metrics(snapshot, range, &counters)?;
    let mut found = BTreeSet::new();
    scan.device(device.handle, &mut |piece| {
        match piece {
            Piece::Block(block) => found.extend(scan.metrics(&block)?),
            Piece::Rows(rows) => found.extend(rows.columns.iter().map(|(metric, _)| *metric)),
        }
        Ok(())
    })?;
    let mut metrics: Vec<MetricDefinition> =
        snapshot.catalog().metrics().filter(|metric| found.contains(&metric.handle)).cloned().collect();
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(metrics)
}

struct Batches<'a> {
    device: &'a crate::model::DeviceId,
    metrics: &'a [MetricDefinition],
}

impl Batches<'_> {
    fn empty(&self) -> Table {
        let mut columns: Vec<TableColumn> =
            ["device", "time"].map(|name| TableColumn { name: name.to_owned(), unit: None }).into();
        for metric in self.metrics {
            let mut name = metric.name.to_string();
            // A metric of a store that was written before these names were refused gives way.
            while columns.iter().any(|column| column.name == name) || self.is_another(&name, metric) {
                name.push_str("_metric");
            }
            columns.push(TableColumn { name, unit: metric.unit.clone() });
        }
        Table::new(columns)
    }

    fn is_another(&self, name: &str, metric: &MetricDefinition) -> bool {
        self.metrics.iter().any(|other| other.handle != metric.handle && other.name.as_str() == name)
    }

    /// Gives rows, or those chosen, in batches; false when told to stop.
    fn give(
        &self,
        rows: &DeviceRows,
        chosen: Option<&[u32]>,
        visit: &mut dyn FnMut(Table) -> Result<bool>,
    ) -> Result<bool> {
        let columns: Vec<Option<&Column>> = self.metrics.iter().map(|metric| rows.column(metric.handle)).collect();
        let count = chosen.map_or(rows.len(), <[u32]>::len);
        for start in (0..count).step_by(BATCH_ROWS) {
            let mut table = self.empty();
            for place in start..count.min(start + BATCH_ROWS) {
                let row = chosen.map_or(place, |chosen| chosen[place] as usize);
                let mut cells = Vec::with_capacity(columns.len() + 2);
                cells.push(Cell::Text(self.device.to_string()));
                cells.push(Cell::Time(Timestamp::from_nanoseconds(rows.times[row])));
                cells.extend(columns.iter().zip(self.metrics).map(|(column, metric)| {
                    let value = column
                        .and_then(|column| column.presence.value_place(row).map(|value| cell(&column.values, value)));
                    as_type(value.unwrap_or(Cell::Null), metric)
                }));
                table.push(cells)?;
            }
            if !visit(table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A block may be of a narrower type than its metric has become since.
pub(super) fn as_type(cell: Cell, metric: &MetricDefinition) -> Cell {
    use crate::model::MetricType;
    match (cell, metric.metric_type) {
        (Cell::Integer(value), MetricType::Float) => Cell::Float(value as f64),
        (Cell::Boolean(value), MetricType::Float) => Cell::Float(f64::from(u8::from(value))),
        (Cell::Boolean(value), MetricType::Integer) => Cell::Integer(i64::from(value)),
        (cell, _) => cell,
    }
}

/// The rows to keep of each piece: the union of what each metric of numbers chooses.
fn choose(pieces: &[DeviceRows], metrics: &[MetricDefinition], rows: usize) -> Vec<Vec<u32>> {
    let mut kept: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); pieces.len()];
    let share = (rows / metrics.len().max(1)).max(DOWNSAMPLED_LEAST);
    for metric in metrics {
        let mut places: Vec<(usize, u32)> = Vec::new();
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (piece, rows) in pieces.iter().enumerate() {
            let Some(column) = rows.column(metric.handle) else { continue };
            if matches!(column.values, Values::Text(_)) {
                continue;
            }
            for place in 0..column.values.len() {
                let row = match &column.presence {
                    Presence::All => place as u32,
                    Presence::Positions(positions) => positions[place],
                };
                if let Some(value) = number(&column.values, place).filter(|value| value.is_finite()) {
                    places.push((piece, row));
                    points.push((rows.times[row as usize] as f64, value));
                }
            }
        }
        for point in largest_triangles(&points, share) {
            let (piece, row) = places[point];
            kept[piece].insert(row);
        }
    }
    kept.into_iter().map(|rows| rows.into_iter().collect()).collect()
}

/// Places of the points to keep: the first, the last, and of each bucket between them the point that spans the largest triangle
/// with the one kept before and the mean of the bucket after.
fn largest_triangles(points: &[(f64, f64)], keep: usize) -> Vec<usize> {
    if points.len() <= keep {
        return (0..points.len()).collect();
    }
    let buckets = keep - 2;
    let inner = points.len() - 2;
    let edge = |bucket: usize| 1 + bucket * inner / buckets;
    let mut kept = vec![0];
    let mut before = points[0];
    for bucket in 0..buckets {
        let next = if bucket + 1 < buckets {
            &points[edge(bucket + 1)..edge(bucket + 2)]
        } else {
            &points[points.len() - 1..]
        };
        let mean = |pick: fn(&(f64, f64)) -> f64| next.iter().map(pick).sum::<f64>() / next.len() as f64;
        let after = (mean(|point| point.0), mean(|point| point.1));
        let area = |point: (f64, f64)| {
            ((before.0 - after.0) * (point.1 - before.1) - (before.0 - point.0) * (after.1 - before.1)).abs()
        };
        let places = edge(bucket)..edge(bucket + 1);
        if let Some(best) = places.max_by(|a, b| area(points[*a]).total_cmp(&area(points[*b])).then(b.cmp(a))) {
            kept.push(best);
            before = points[best];
        }
    }
    kept.push(points.len() - 1);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downsampling_keeps_ends_and_peaks() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|place| (f64::from(place), if place == 4_321 { 100.0 } else { 0.0 })).collect();
        let kept = largest_triangles(&points, 50);
        assert_eq!(kept.len(), 50);
        assert!(kept.is_sorted() && kept[0] == 0 && kept[49] == 9_999 && kept.contains(&4_321));
        assert_eq!(largest_triangles(&points[..3], 50), [0, 1, 2]);
    }
}
