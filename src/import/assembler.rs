//! Rows in order of device and time become what a store takes: runs of one device, one row an instant.
//!
//! Guarantees: rows of one device and instant are laid over each other metric by metric, later rows win, each counted as
//! overwritten; with sequences, those of different sequence are kept apart instead, each at least 1 ns behind the one before
//! it, and counted. A row out of order, or a value wider than what was already handed on, is reported before anything of it is
//! taken, so that the caller can start again with the sorter.

use std::collections::HashMap;
use std::ops::Range;

use crate::catalog::Conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, DeviceHandle, DeviceId, DeviceRows, MetricHandle, MetricName, MetricType};
use crate::time::Timestamp;

use super::block::RowBlock;
use super::column_buffer::ColumnBuffer;
use super::plan::PlannedMetric;

/// Rows of one device that are handed on at once, at most.
const ROWS_MAX: usize = 1 << 16;
/// Bytes of one device that are handed on at once, about.
const BYTES_MAX: usize = 16 << 20;
/// Rows of one device and instant that are kept apart, at most: they wait together, since any of them can still change.
const INSTANT_ROWS_MAX: usize = 4 * ROWS_MAX;
/// Their bytes, at most.
const INSTANT_BYTES_MAX: usize = 4 * BYTES_MAX;
/// Rows between two looks at the bytes.
const LOOK_ROWS: usize = 256;

/// Where rows go: a bulk load, or a test's map.
pub(super) trait Sink {
    /// The handle of a device, new or known.
    fn device(&mut self, id: &DeviceId) -> Result<DeviceHandle>;
    /// The handle of the link of a device to a gateway, new or known.
    fn link(&mut self, device: &DeviceId, gateway: &DeviceId) -> Result<DeviceHandle>;
    /// The handle of a metric, and how values in the unit are changed to fit it.
    fn metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
    ) -> Result<(MetricHandle, Option<Conversion>)>;
    /// Takes rows of a device that begin after the last of its rows so far.
    fn rows(&mut self, device: DeviceHandle, rows: &DeviceRows) -> Result<()>;
}

/// What became of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// All were taken.
    All,
    /// One is out of order, or wider than its metric so far: nothing can be handed on this way.
    NotInOrder,
}

/// Counts of rows that were taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) stored: u64,
    pub(super) overwritten: u64,
    pub(super) kept_apart: u64,
}

#[derive(Debug)]
struct OutColumn {
    buffer: ColumnBuffer,
    /// The metric, the type it was handed on in, and its conversion; once it was.
    metric: Option<(MetricHandle, MetricType, Option<Conversion>)>,
}

/// Builds runs of one device from rows in order.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    device: Option<u32>,
    times: Vec<i64>,
    columns: Vec<OutColumn>,
    /// The time of the last row as the file has it, before it was moved to keep it apart.
    last_source_time: i64,
    /// The time of the last row as it is handed on.
    last_time: Option<i64>,
    /// The rows at `last_source_time` by their sequence.
    group: HashMap<u64, usize>,
    counts: Assembled,
}

impl Assembler {
    /// With the types that columns will have in the end, where they are known.
    pub(super) fn with_types(types: &[Option<MetricType>]) -> Self {
        let column = |metric_type: &Option<MetricType>| OutColumn {
            buffer: ColumnBuffer::new(metric_type.unwrap_or(MetricType::Boolean)),
            metric: None,
        };
        Self { columns: types.iter().map(column).collect(), ..Self::default() }
    }

    /// Takes rows of a block.
    pub(super) fn append(
        &mut self,
        block: &RowBlock,
        rows: Range<usize>,
        metrics: &[PlannedMetric],
        sink: &mut dyn Sink,
    ) -> Result<Taken> {
        if !self.fits(block)? {
            return Ok(Taken::NotInOrder);
        }
        let mut from = rows.start;
        while from < rows.end {
            let device = block.devices[from];
            let same = block.devices[from..rows.end].iter().take_while(|other| **other == device).count();
            if self.device != Some(device) {
                if self.device.is_some_and(|last| last > device) {
                    return Ok(Taken::NotInOrder);
                }
                self.flush(metrics, sink)?;
                self.device = Some(device);
                self.group.clear();
                self.last_source_time = i64::MIN;
                self.last_time = None;
            }
            if self.append_device(block, from..from + same, metrics, sink)? == Taken::NotInOrder {
                return Ok(Taken::NotInOrder);
            }
            from += same;
        }
        Ok(Taken::All)
    }

    /// Widens columns for a block; false where one was handed on already in a narrower type.
    fn fits(&mut self, block: &RowBlock) -> Result<bool> {
        for (number, column) in &block.columns {
            while self.columns.len() <= *number as usize {
                self.columns.push(OutColumn { buffer: ColumnBuffer::new(MetricType::Boolean), metric: None });
            }
            let out = &mut self.columns[*number as usize];
            let (have, got) = (out.buffer.metric_type(), column.values.metric_type());
            if have != got && !(have > got && have != MetricType::Text) {
                if out.metric.is_some() {
                    return Ok(false);
                }
                out.buffer.widen(got)?;
            }
        }
        Ok(true)
    }

    fn append_device(
        &mut self,
        block: &RowBlock,
        rows: Range<usize>,
        metrics: &[PlannedMetric],
        sink: &mut dyn Sink,
    ) -> Result<Taken> {
        let times = &block.times;
        let mut from = rows.start;
        while from < rows.end {
            let after = self.last_time;
            // Rows that follow in time, and are not caught up with by rows that were moved to be kept apart.
            let mut to = from;
            if after.is_none_or(|last| times[from] > last)
                && (self.group.is_empty() || times[from] > self.last_source_time)
            {
                to += 1;
                to += times[from..rows.end].windows(2).take_while(|pair| pair[0] < pair[1]).count();
            }
            if to > from {
                self.copy(block, from..to, metrics, sink)?;
                from = to;
                continue;
            }
            if times[from] < self.last_source_time {
                return Ok(Taken::NotInOrder);
            }
            self.lay_over(block, from, metrics, sink)?;
            from += 1;
        }
        Ok(Taken::All)
    }

    /// Copies rows that rise strictly in time.
    fn copy(
        &mut self,
        block: &RowBlock,
        rows: Range<usize>,
        metrics: &[PlannedMetric],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if self.times.len() + rows.len() > ROWS_MAX || (self.times.len() > 4_096 && self.bytes() > BYTES_MAX) {
            self.flush(metrics, sink)?;
        }
        let base = self.times.len();
        for (number, column) in &block.columns {
            self.columns[*number as usize].buffer.append(column, &rows, base)?;
        }
        self.times.extend_from_slice(&block.times[rows.clone()]);
        let last = rows.end - 1;
        self.last_source_time = block.times[last];
        self.last_time = Some(block.times[last]);
        self.group.clear();
        let sequence = block.sequences.as_ref().map_or(0, |sequences| sequences[last]);
        self.group.insert(sequence, self.times.len() - 1);
        Ok(())
    }

    /// Takes one row whose instant is taken already.
    fn lay_over(&mut self, block: &RowBlock, row: usize, metrics: &[PlannedMetric], sink: &mut dyn Sink) -> Result<()> {
        let time = block.times[row];
        let sequence = block.sequences.as_ref().map_or(0, |sequences| sequences[row]);
        if time > self.last_source_time {
            if self.times.len() >= ROWS_MAX || (self.times.len().is_multiple_of(LOOK_ROWS) && self.bytes() > BYTES_MAX)
            {
                self.flush(metrics, sink)?;
            }
            self.group.clear();
            self.last_source_time = time;
        }
        let place = match self.group.get(&sequence) {
            Some(place) => {
                self.counts.overwritten += 1;
                *place
            }
            None => {
                self.check_instant()?;
                let moved = self.last_time.map_or(Some(i64::MIN), |last| last.checked_add(1)).ok_or_else(|| {
                    Error::new(ErrorKind::InvalidInput, "no instant is left to keep a row apart at the end of time")
                })?;
                self.times.push(moved.max(time));
                self.last_time = Some(moved.max(time));
                self.counts.kept_apart += 1;
                self.group.insert(sequence, self.times.len() - 1);
                self.times.len() - 1
            }
        };
        for (number, column) in &block.columns {
            if let Some(value) = column.presence.value_place(row) {
                self.columns[*number as usize].buffer.set(place, &column.values, value)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.buffer.memory_bytes()).sum()
    }

    /// Checks that one more row of the present instant fits.
    fn check_instant(&self) -> Result<()> {
        let rows = self.group.len();
        if rows < INSTANT_ROWS_MAX && !(rows > 0 && rows.is_multiple_of(LOOK_ROWS) && self.bytes() > INSTANT_BYTES_MAX)
        {
            return Ok(());
        }
        let at = Timestamp::from_nanoseconds(self.last_source_time);
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("one device has more than {rows} rows at {at} to be kept apart"),
        )
        .advise("check that --time names the time, and --time-unit or --time-format how it is written"))
    }

    /// Hands on the rows of the device so far.
    fn flush(&mut self, metrics: &[PlannedMetric], sink: &mut dyn Sink) -> Result<()> {
        let Some(device) = self.device else { return Ok(()) };
        if self.times.is_empty() {
            return Ok(());
        }
        let times = std::mem::take(&mut self.times);
        let mut columns = Vec::with_capacity(self.columns.len());
        for (out, metric) in self.columns.iter_mut().zip(metrics) {
            if out.buffer.is_empty() {
                continue;
            }
            let (handle, _, conversion) = match out.metric {
                Some(known) => known,
                None => *out.metric.insert(register(metric, out.buffer.metric_type(), sink)?),
            };
            columns.push((handle, convert(out.buffer.take(times.len()), conversion)?));
        }
        columns.sort_unstable_by_key(|(handle, _)| *handle);
        self.counts.stored += times.len() as u64;
        self.group.clear();
        let rows = DeviceRows { times, columns };
        sink.rows(DeviceHandle(device), &rows)?;
        self.times = rows.times;
        self.times.clear();
        Ok(())
    }

    /// Hands on the last rows.
    pub(super) fn finish(mut self, metrics: &[PlannedMetric], sink: &mut dyn Sink) -> Result<Assembled> {
        self.flush(metrics, sink)?;
        Ok(self.counts)
    }
}

fn register(
    metric: &PlannedMetric,
    metric_type: MetricType,
    sink: &mut dyn Sink,
) -> Result<(MetricHandle, MetricType, Option<Conversion>)> {
    let (handle, conversion) = sink.metric(&metric.name, metric_type, metric.unit.as_deref())?;
    Ok((handle, metric_type, conversion))
}

fn convert(column: Column, conversion: Option<Conversion>) -> Result<Column> {
    let Some(conversion) = conversion else { return Ok(column) };
    Ok(Column { presence: column.presence, values: conversion.apply(column.values)? })
}
