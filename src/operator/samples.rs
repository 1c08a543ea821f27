//! Samples: the rows of one device as they are stored, oldest first; aligned to one of its metrics; or few of them that keep the shape.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Column, DeviceRows, MetricDefinition, MetricHandle, Table, TableColumn};
use crate::scan::{Piece, Scan, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{TimeRange, Timestamp};

use super::align::{Alignment, AsOf};
use super::cohort::check_range;
use super::explain::Explain;
use super::latest::cell;
use super::looks::look_before;
use super::lttb::{DOWNSAMPLED_LEAST, give_chosen};
use super::prepared::metric;

/// Rows of one batch of an answer.
const BATCH_ROWS: usize = 8_192;

/// Which samples: of one device, all metrics and all time until it is narrowed.
#[derive(Debug, Clone)]
pub struct SamplesRequest {
    device: String,
    metrics: Vec<String>,
    range: TimeRange,
    downsample: Option<usize>,
    /// The metric that others are aligned to, and how old their samples may be.
    align: Option<(String, i64)>,
    statistics: bool,
}

impl SamplesRequest {
    /// The samples of a device.
    #[must_use]
    pub fn device(id: impl Into<String>) -> Self {
        Self {
            device: id.into(),
            metrics: Vec::new(),
            range: TimeRange::ALL,
            downsample: None,
            align: None,
            statistics: true,
        }
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

    /// One row for each sample of this metric, and beside it of every other metric the latest sample at or before that instant, not
    /// older than the tolerance: metrics of different clocks side by side (an as-of join). A NaN is a sample; deleted ones are none. A sample
    /// before the range counts, as far back as the tolerance reaches.
    ///
    /// ```
    /// use fleetlog::operator::SamplesRequest;
    /// use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let at = |second: i64| Timestamp::from_nanoseconds(1_735_689_600_000_000_000 + second * 1_000_000_000);
    /// let mut batch = WriteBatch::new();
    /// batch.reading("pump-17", at(0)).float("current_a", 2.0);
    /// batch.reading("pump-17", at(7)).float("power_w", 460.0);
    /// batch.reading("pump-17", at(300)).float("power_w", 480.0);
    /// store.write(batch)?;
    /// let request = SamplesRequest::device("pump-17").align("power_w", 90_000_000_000);
    /// let mut rows = Vec::new();
    /// store.samples(&store.snapshot()?, &request, None, &mut |table| {
    ///     rows.extend(table.rows().iter().map(|row| row[2..].to_vec())); // current_a, power_w
    ///     Ok(true)
    /// })?;
    /// assert_eq!(rows, [[Cell::Float(2.0), Cell::Float(460.0)], [Cell::Null, Cell::Float(480.0)]]);
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    #[must_use]
    pub fn align(mut self, metric: impl Into<String>, tolerance_ns: i64) -> Self {
        self.align = Some((metric.into(), tolerance_ns));
        self
    }

    /// About so many rows, three or more (and at least three for each metric), chosen so that peaks stay: Steinarsson, "Downsampling Time Series
    /// for Visual Representation" (2013), largest triangle three buckets; each metric chooses its share of the rows. However many
    /// samples there are, what is held is about the rows that are chosen.
    ///
    /// ```
    /// use fleetlog::operator::SamplesRequest;
    /// use fleetlog::{Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// for minute in 0..1_000_i64 {
    ///     let at = Timestamp::from_nanoseconds(1_735_689_600_000_000_000 + minute * 60_000_000_000);
    ///     batch.reading("pump-17", at).float("power_w", if minute == 321 { 100.0 } else { 1.0 });
    /// }
    /// store.write(batch)?;
    /// let mut rows = Vec::new();
    /// store.samples(&store.snapshot()?, &SamplesRequest::device("pump-17").downsample(20), None, &mut |table| {
    ///     rows.extend(table.rows().to_vec());
    ///     Ok(true)
    /// })?;
    /// assert_eq!(rows.len(), 20);
    /// assert!(rows.iter().any(|row| row[2] == fleetlog::Cell::Float(100.0)));
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    #[must_use]
    pub fn downsample(mut self, rows: usize) -> Self {
        self.downsample = Some(rows);
        self
    }

    /// Whether statistics may say how many samples there are to choose from (they do by default).
    #[must_use]
    pub fn statistics(mut self, allowed: bool) -> Self {
        self.statistics = allowed;
        self
    }
}

impl Store {
    /// Gives the samples of a device in batches, oldest first: `device`, `time`, then the metrics by name. The first batch may be
    /// empty: it names the columns. `visit` returns false to stop.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device or metric, [`ErrorKind::InvalidInput`] for an empty range or fewer than three rows to choose,
    /// or a tolerance below 0, [`ErrorKind::LimitExceeded`] when the rows to choose do not fit into half of the memory budget, [`ErrorKind::Corruption`], [`ErrorKind::Cancelled`], [`ErrorKind::SnapshotExpired`].
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
        let (metrics, left) = columns_of(snapshot, request, device, progress)?;
        let handles = || metrics.iter().map(|metric| metric.handle).collect();
        let tolerance_ns = request.align.as_ref().map_or(0, |(_, tolerance_ns)| *tolerance_ns);
        let alignment = Alignment::new(&metrics, tolerance_ns)?;
        counters.count_segments(snapshot, request.range);
        let scan = Scan::new(snapshot, request.range, handles(), &counters, progress)?;
        let looked_back = ScanCounters::default();
        let earlier = Scan::new(snapshot, alignment.before(request.range.from), handles(), &looked_back, progress)?;
        let aligned = left.map(|left| (&alignment, left, &earlier));
        let source = Source { scan: &scan, device, aligned };
        let batches = Batches { device: &device.id, metrics: &metrics, progress };
        let planned = Instant::now();
        progress.inspect(|progress| progress.set_total(1));
        if visit(batches.empty())? {
            match request.downsample {
                None => source.rows(&mut |rows| batches.give(rows, visit))?,
                Some(count) => {
                    let how = (request.statistics, self.options().memory_bytes / 2);
                    give_chosen(&source, count, &batches, how, visit)?;
                }
            }
        }
        counters.add_reads(&looked_back);
        progress.inspect(|progress| progress.advance(1));
        let threads = self.install(rayon::current_num_threads);
        Ok(Explain::of(&counters, started, planned, threads))
    }
}

/// The metrics of an answer by name, and the one that others are aligned to.
fn columns_of(
    snapshot: &Snapshot,
    request: &SamplesRequest,
    device: &DeviceEntry,
    progress: Option<&Progress>,
) -> Result<(Vec<MetricDefinition>, Option<MetricHandle>)> {
    let left = request.align.as_ref().map(|(name, _)| metric(snapshot, name)).transpose()?;
    let mut metrics = if request.metrics.is_empty() {
        let before = request.align.as_ref().map_or(0, |(_, tolerance_ns)| (*tolerance_ns).max(0));
        let from = Timestamp::from_nanoseconds(request.range.from.nanoseconds().saturating_sub(before));
        metrics_of(snapshot, device, TimeRange::new(from, request.range.to), progress)?
    } else {
        request.metrics.iter().map(|name| metric(snapshot, name).cloned()).collect::<Result<_>>()?
    };
    metrics.extend(left.cloned());
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    metrics.dedup_by(|a, b| a.handle == b.handle);
    Ok((metrics, left.map(|left| left.handle)))
}

/// Where the rows of an answer come from, piece by piece: as they are stored, or aligned to one metric.
pub(super) struct Source<'a> {
    pub(super) scan: &'a Scan<'a>,
    device: &'a DeviceEntry,
    /// The metric that others are aligned to, and all that lies before the range.
    aligned: Option<(&'a Alignment, MetricHandle, &'a Scan<'a>)>,
}

/// What is done with a piece; false to stop.
type VisitPiece<'v, 'a> = dyn FnMut(Piece, Option<&mut AsOf<'a>>) -> Result<bool> + 'v;

impl<'a> Source<'a> {
    /// Walks through the pieces from the first one on.
    pub(super) fn pieces(&self, visit: &mut VisitPiece<'_, 'a>) -> Result<()> {
        let mut as_of = self.aligned.map(|(alignment, ..)| AsOf::new(alignment));
        let mut more = true;
        self.scan.device(self.device.handle, &mut |piece| {
            if more {
                more = visit(piece, as_of.as_mut())?;
            }
            Ok(())
        })
    }

    /// The rows of a piece; `None` where it has none of the metric that others are aligned to.
    pub(super) fn rows_of(&self, piece: Piece, as_of: Option<&mut AsOf<'a>>) -> Result<Option<DeviceRows>> {
        let rows = match piece {
            Piece::Block(block) => self.scan.rows(&block)?,
            Piece::Rows(rows) => rows,
        };
        let (Some(as_of), Some((_, left, earlier))) = (as_of, self.aligned) else { return Ok(Some(rows)) };
        as_of.begin(&rows, (self.scan, earlier), self.device.handle)?;
        let aligned = as_of.rows(&rows, left).into_owned();
        as_of.advance(&rows);
        Ok((!aligned.is_empty()).then_some(aligned))
    }

    /// Walks through the rows of all pieces; `visit` returns false to stop.
    pub(super) fn rows(&self, visit: &mut dyn FnMut(&DeviceRows) -> Result<bool>) -> Result<()> {
        self.pieces(&mut |piece, as_of| match self.rows_of(piece, as_of)? {
            Some(rows) => visit(&rows),
            None => Ok(true),
        })
    }
}

/// A device by its id, or an older id of it.
pub(super) fn device<'s>(snapshot: &'s Snapshot, id: &str) -> Result<&'s DeviceEntry> {
    let handle = snapshot.catalog().device(id);
    let entry = handle.and_then(|handle| snapshot.catalog().device_entry(snapshot.catalog().primary(handle)));
    entry.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no device '{}'", id.escape_default())))
}

/// The metrics that a device has in a range, by name.
fn metrics_of(
    snapshot: &Snapshot,
    device: &DeviceEntry,
    range: TimeRange,
    progress: Option<&Progress>,
) -> Result<Vec<MetricDefinition>> {
    let counters = ScanCounters::default();
    let scan = super::gaps::all_metrics(snapshot, range, &counters, progress)?;
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

pub(super) struct Batches<'a> {
    device: &'a crate::model::DeviceId,
    pub(super) metrics: &'a [MetricDefinition],
    progress: Option<&'a Progress>,
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

    /// The cells of a row.
    pub(super) fn row(&self, rows: &DeviceRows, row: usize) -> Vec<Cell> {
        self.cells(rows, &self.columns(rows), row)
    }

    fn columns<'r>(&self, rows: &'r DeviceRows) -> Vec<Option<&'r Column>> {
        self.metrics.iter().map(|metric| rows.column(metric.handle)).collect()
    }

    fn cells(&self, rows: &DeviceRows, columns: &[Option<&Column>], row: usize) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(columns.len() + 2);
        cells.push(Cell::Text(self.device.as_str().into()));
        cells.push(Cell::Time(Timestamp::from_nanoseconds(rows.times[row])));
        cells.extend(columns.iter().zip(self.metrics).map(|(column, metric)| {
            let value =
                column.and_then(|column| column.presence.value_place(row).map(|value| cell(&column.values, value)));
            as_type(value.unwrap_or(Cell::Null), metric)
        }));
        cells
    }

    /// Gives rows in batches; false when told to stop.
    fn give(&self, rows: &DeviceRows, visit: &mut dyn FnMut(Table) -> Result<bool>) -> Result<bool> {
        let columns = self.columns(rows);
        for start in (0..rows.len()).step_by(BATCH_ROWS) {
            look_before(self.progress, BATCH_ROWS.min(rows.len() - start))?;
            let mut table = self.empty();
            for row in start..rows.len().min(start + BATCH_ROWS) {
                table.push(self.cells(rows, &columns, row))?;
            }
            if !visit(table)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives rows of cells in batches; false when told to stop.
    pub(super) fn give_cells(
        &self,
        rows: Vec<Vec<Cell>>,
        visit: &mut dyn FnMut(Table) -> Result<bool>,
    ) -> Result<bool> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            look_before(self.progress, BATCH_ROWS.min(rows.len()))?;
            let mut table = self.empty();
            rows.by_ref().take(BATCH_ROWS).try_for_each(|row| table.push(row))?;
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
