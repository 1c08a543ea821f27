//! Outliers: samples far from the device's own mean.

use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::codec::{Aligned, GROUP_VALUES, PackedValues};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, MetricDefinition, MetricHandle, MetricType, Table, TableColumn};
use crate::scan::{Block, Piece, Scan, ScanCounters};
use crate::segment::EncodedSlice;
use crate::store::{Progress, Snapshot, Store};
use crate::time::{TimeRange, Timestamp};

use super::Expression;
use super::aggregate::{Aggregate, Needs};
use super::cohort;
use super::column::Samples;
use super::explain::Explain;
use super::fleet::by_device;
use super::packed_filter::first_where;
use super::partial::Partial;
use super::prepared::metric;
use super::query::AttributeFilter;

/// Which samples count as outliers.
#[derive(Debug, Clone)]
pub struct OutliersRequest {
    metric: String,
    sigma: f64,
    attributes: Vec<AttributeFilter>,
    range: TimeRange,
    statistics: bool,
}

impl OutliersRequest {
    /// Samples of a metric more than `sigma` standard deviations from the device's own mean in the range.
    #[must_use]
    pub fn new(metric: impl Into<String>, sigma: f64) -> Self {
        Self { metric: metric.into(), sigma, attributes: Vec::new(), range: TimeRange::ALL, statistics: true }
    }

    /// Only devices that have an attribute (at some moment of the range); repeats as AND.
    #[must_use]
    pub fn filter(mut self, filter: AttributeFilter) -> Self {
        self.attributes.push(filter);
        self
    }

    /// Only samples from an instant (in) to another (out).
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
    /// Counts the outliers of each device that has samples: `device`, `n` (samples), `mean`, `stddev`, `count` (outliers). A
    /// device with fewer than two samples has no deviation, and a null count.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown metric or attribute, [`ErrorKind::TypeMismatch`] for a text metric,
    /// [`ErrorKind::InvalidInput`] for a sigma that is not positive, [`ErrorKind::Corruption`], [`ErrorKind::Cancelled`].
    pub fn outliers(
        &self,
        snapshot: &Snapshot,
        request: &OutliersRequest,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let started = Instant::now();
        if !(request.sigma > 0.0 && request.sigma.is_finite()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("sigma is a positive number, not {}", request.sigma),
            ));
        }
        let definition = metric(snapshot, &request.metric)?.clone();
        if definition.metric_type == MetricType::Text {
            return Err(Error::new(
                ErrorKind::TypeMismatch,
                format!("metric '{}' is text, and has no mean", definition.name),
            ));
        }
        let counters = ScanCounters::default();
        counters.count_segments(snapshot, request.range);
        let scan = Scan::new(snapshot, request.range, vec![definition.handle], &counters, progress)?;
        let devices = cohort::devices(snapshot, &request.attributes, request.range, progress)?;
        let planned = Instant::now();
        let unit = |name: &str| definition.unit.clone().filter(|_| matches!(name, "mean" | "stddev"));
        let columns = ["device", "n", "mean", "stddev", "count"];
        let columns = columns.map(|name| TableColumn { name: name.to_owned(), unit: unit(name) });
        let mut table = Table::new(columns.into());
        let work = |device: &DeviceEntry| Ok((device.id.to_string(), outliers(&scan, device, &definition, request)?));
        by_device(self, &devices, progress, work, |(device, found)| match found {
            Some(cells) => table.push(std::iter::once(Cell::Text(device.into())).chain(cells)),
            None => Ok(()),
        })?;
        let threads = self.install(rayon::current_num_threads);
        Ok((table, Explain::of(&counters, started, planned, threads)))
    }
}

/// Two passes: mean and deviation, from statistics where blocks have them; then the samples of those blocks alone whose
/// extremes lie outside.
fn outliers(
    scan: &Scan<'_>,
    device: &DeviceEntry,
    definition: &MetricDefinition,
    request: &OutliersRequest,
) -> Result<Option<Vec<Cell>>> {
    let needs = Needs::of(&[Aggregate::Stddev]);
    let expression = Expression::metric(definition.name.as_str());
    let operands = std::slice::from_ref(definition);
    let mut whole = Partial::default();
    let samples = |rows: &_| Samples::of(rows, &expression, operands, None);
    let statistics = |block: &Block| scan.statistics(block, definition.handle);
    scan.device(device.handle, &mut |piece| {
        let rows = match piece {
            Piece::Block(block) if request.statistics => {
                if let Some(known) = statistics(&block)? {
                    whole.add_statistics(&known, block.bucket_start, needs);
                }
                scan.note_statistics(1);
                return Ok(());
            }
            Piece::Block(block) => scan.rows(&block)?,
            Piece::Rows(rows) => rows,
        };
        let samples = samples(&rows);
        if !samples.times.is_empty() {
            whole.add_run(&samples.times, &samples.values, samples.integers.as_deref(), needs);
        }
        Ok(())
    })?;
    let n = Cell::Integer(whole.count() as i64);
    let (mean, deviation) = match (whole.mean(), whole.mean_and_deviation()) {
        (None, _) => return Ok(None),
        (Some(mean), None) => return Ok(Some(vec![n, Cell::Float(mean), Cell::Null, Cell::Null])),
        (_, Some(known)) => known,
    };
    let limits = Limits { mean, distance: request.sigma * deviation };
    let mut count = 0_u64;
    let mut slice = EncodedSlice::default();
    scan.device(device.handle, &mut |piece| {
        let rows = match piece {
            Piece::Block(block) => {
                let known = if request.statistics { statistics(&block)? } else { None };
                let within = known.is_some_and(|known| {
                    known.count == 0 || !(limits.are_passed(known.min) || limits.are_passed(known.max))
                });
                if within {
                    return Ok(());
                }
                scan.encoded(&block, &mut slice)?;
                if let Some((outside, values)) = limits.count_packed(&slice, definition.handle, request.statistics)? {
                    scan.note_read(1, values, slice.bytes_read());
                    count += outside;
                    return Ok(());
                }
                scan.rows_of_encoded(&slice)?
            }
            Piece::Rows(rows) => rows,
        };
        count += samples(&rows).values.iter().filter(|value| limits.are_passed(**value)).count() as u64;
        Ok(())
    })?;
    Ok(Some(vec![n, Cell::Float(mean), Cell::Float(deviation), Cell::Integer(count as i64)]))
}

/// What is further from a mean than a distance.
#[derive(Clone, Copy)]
struct Limits {
    mean: f64,
    distance: f64,
}

impl Limits {
    fn are_passed(self, value: f64) -> bool {
        (value - self.mean).abs() > self.distance
    }

    /// How many values of a column that is packed pass, and how many were looked at: without `statistics` all of them, whatever
    /// heads of groups say. `None` where it has to be decoded.
    fn count_packed(self, slice: &EncodedSlice, metric: MetricHandle, statistics: bool) -> Result<Option<(u64, u64)>> {
        let Some(column) = slice.column(metric)? else { return Ok(Some((0, 0))) };
        let packed = PackedValues::read(column.values, column.metric_type, column.present);
        let Some(packed) = packed.map_err(|error| column.located(error))? else { return Ok(None) };
        let (lowest, highest) = packed.all_bounds();
        // From the lowest value on they come nearer to the mean, and then go away from it.
        let (mean, passed) = (self.mean, |whole: i64| self.are_passed(packed.value(whole)));
        let from = first_where(lowest, highest, |whole| !(packed.value(whole) < mean && passed(whole)));
        let beyond = first_where(lowest, highest, |whole| packed.value(whole) > mean && passed(whole));
        let (mut outside, mut looked_at) = (0, 0);
        let mut offsets = Aligned([0; GROUP_VALUES]);
        for group in 0..packed.groups() {
            let (lowest, highest) = packed.bounds(group);
            let exceptions = packed.exceptions(group);
            outside += exceptions.iter().filter(|(_, value)| self.are_passed(*value)).count() as u64;
            if statistics && i128::from(lowest) >= from && i128::from(highest) < beyond {
                continue;
            }
            let length = GROUP_VALUES.min(column.present - group * GROUP_VALUES);
            looked_at += length as u64;
            packed.offsets(group, &mut offsets).map_err(|error| column.located(error))?;
            let in_group = |end: i128| (end - i128::from(lowest)).clamp(-1, 1 << 32);
            let (first, last) = (in_group(from).max(0), in_group(beyond - 1).min((1 << 32) - 1));
            let mut mask = Aligned([u32::MAX; GROUP_VALUES]);
            // Where they cross, nothing lies inside.
            let bounds = if first > last { (1, 0) } else { (first as u32, last as u32) };
            packed.mask_between(&offsets, bounds, true, &mut mask);
            exceptions.iter().for_each(|(place, _)| mask[place % GROUP_VALUES] = 0);
            outside += mask[..length].iter().map(|kept| u64::from(kept & 1)).sum::<u64>();
        }
        Ok(Some((outside, looked_at)))
    }
}
