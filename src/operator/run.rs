//! One device on its way through a query: its samples, or what statistics and rollups say of them, become parts by group and
//! window.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{DeviceRows, MetricDefinition, MetricHandle, MetricType, Nature, Presence, Values};
use crate::scan::{Block, Piece, Scan};
use crate::store::Snapshot;
use crate::time::{HOUR_NS, TimeRange, Timestamp, Window};

use super::aggregate::Needs;
use super::cohort::{self, GroupKey, GroupStretch};
use super::partial::Partial;
use super::query::Query;

/// Bytes that a device may take before it reports them.
const REPORTED_BYTES: usize = 1 << 20;
/// What a map takes for an entry, about.
const ENTRY_BYTES: usize = 96;

/// What the parts of one group and window hold in memory.
pub(super) fn held_bytes(parts: &[Partial]) -> usize {
    ENTRY_BYTES + parts.iter().map(Partial::memory_bytes).sum::<usize>()
}

/// What the devices of a wave hold in memory, together. It only grows, so that whether it passes the limit does not hang on the
/// threads.
pub(super) struct Held {
    bytes: AtomicUsize,
    most: usize,
}

impl Held {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), most }
    }

    pub(super) fn is_passed(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }

    /// Adds what a device took; an error ends it once there is too much.
    fn add(&self, bytes: usize) -> Result<()> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.most {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "the parts of an answer pass the memory that they may take",
            ));
        }
        Ok(())
    }
}

/// A query whose names are found.
pub(super) struct Prepared<'a> {
    pub(super) query: &'a Query,
    /// For each expression the metrics that it names.
    operands: Vec<Vec<MetricDefinition>>,
    filters: Vec<MetricHandle>,
    pub(super) needs: Needs,
    /// All metrics that are read.
    pub(super) metrics: Vec<MetricHandle>,
}

impl<'a> Prepared<'a> {
    /// Finds the names of a query.
    pub(super) fn new(snapshot: &Snapshot, query: &'a Query) -> Result<Self> {
        if query.metrics.is_empty() || query.aggregates.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a query needs a metric and an aggregate"));
        }
        if query.range.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("no time lies from {} to {}", query.range.from, query.range.to),
            ));
        }
        cohort::check_attributes(snapshot, &query.by)?;
        let find = |name: &str| metric(snapshot, name).cloned();
        let mut operands = Vec::new();
        for expression in &query.metrics {
            let found = expression.names().iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
            let only_counted = query.aggregates.iter().all(|aggregate| *aggregate == super::Aggregate::Count);
            if let Some(text) = found.iter().find(|metric| metric.metric_type == MetricType::Text)
                && !(expression.is_metric() && only_counted)
            {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("metric '{}' is text: it can only be counted", text.name),
                ));
            }
            operands.push(found);
        }
        let filters = query
            .filters
            .iter()
            .map(|filter| find(&filter.metric).map(|metric| metric.handle))
            .collect::<Result<Vec<_>>>()?;
        let named = operands.iter().flatten().map(|metric| metric.handle).chain(filters.iter().copied());
        let metrics = named.collect();
        Ok(Self { query, operands, filters, needs: Needs::of(&query.aggregates), metrics })
    }

    /// The type of an expression's values.
    pub(super) fn metric_type(&self, place: usize) -> MetricType {
        if self.query.metrics[place].is_metric() { self.operands[place][0].metric_type } else { MetricType::Float }
    }

    /// The unit of an expression's values.
    pub(super) fn unit(&self, place: usize) -> Option<String> {
        if self.query.metrics[place].is_metric() { self.operands[place][0].unit.clone() } else { None }
    }

    /// Samples before the first of each expression: none.
    pub(super) fn nothing_before(&self) -> Before {
        vec![None; self.operands.len()]
    }

    fn nature(&self, place: usize) -> Nature {
        if self.query.metrics[place].is_metric() { self.operands[place][0].nature } else { Nature::Gauge }
    }
}

/// A metric by name, or an error that lists what there is.
pub(super) fn metric<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s MetricDefinition> {
    snapshot.catalog().metric(name).ok_or_else(|| {
        let known: Vec<&str> = snapshot.catalog().metrics().map(|metric| metric.name.as_str()).take(20).collect();
        let error = Error::new(ErrorKind::NotFound, format!("there is no metric '{}'", name.escape_default()));
        error.advise(if known.is_empty() {
            "the store has no metrics".to_owned()
        } else {
            format!("use {}", known.join(", "))
        })
    })
}

/// Parts of one device, by stretch's group and window.
pub(super) type DeviceParts = Vec<(Arc<GroupKey>, Timestamp, Vec<Partial>)>;

/// The last sample of each expression so far.
pub(super) type Before = Vec<Option<(i64, f64)>>;

/// One device on its way through a query.
pub(super) struct DeviceRun<'a> {
    prepared: &'a Prepared<'a>,
    scan: &'a Scan<'a>,
    stretches: &'a [GroupStretch],
    held: &'a Held,
    parts: HashMap<(usize, Timestamp), Vec<Partial>>,
    /// Growth is from these to the next.
    before: Before,
    /// Bytes that were not yet reported.
    grown: usize,
}

impl<'a> DeviceRun<'a> {
    pub(super) fn new(
        prepared: &'a Prepared<'a>,
        scan: &'a Scan<'a>,
        stretches: &'a [GroupStretch],
        held: &'a Held,
        before: Before,
    ) -> Self {
        Self { prepared, scan, stretches, held, parts: HashMap::new(), before, grown: 0 }
    }

    pub(super) fn run(mut self, device: &DeviceEntry) -> Result<(DeviceParts, Before)> {
        if self.stretches.is_empty() {
            return Ok((Vec::new(), self.before));
        }
        let scan = self.scan;
        scan.device(device.handle, &mut |piece| {
            match piece {
                Piece::Block(block) => self.block(&block)?,
                Piece::Rows(rows) => self.rows(&rows)?,
            }
            self.held.add(std::mem::take(&mut self.grown))
        })?;
        let stretches = self.stretches;
        let mut parts: Vec<((usize, Timestamp), Vec<Partial>)> = self.parts.into_iter().collect();
        parts.sort_by_key(|(place, _)| *place);
        let named = parts.into_iter().map(|((stretch, window), mut parts)| {
            parts.iter_mut().for_each(Partial::end_device);
            (Arc::clone(&stretches[stretch].key), window, parts)
        });
        Ok((named.collect(), self.before))
    }

    fn parts(&mut self, stretch: usize, window: Timestamp) -> &mut Vec<Partial> {
        // Stretches of one group are one group: the parts of its first stretch hold them all.
        let key = &self.stretches[stretch].key;
        let first = self.stretches.iter().position(|other| Arc::ptr_eq(&other.key, key)).unwrap_or(stretch);
        let count = self.prepared.operands.len();
        let grown = &mut self.grown;
        self.parts.entry((first, window)).or_insert_with(|| {
            let parts = vec![Partial::default(); count];
            *grown += held_bytes(&parts);
            parts
        })
    }

    fn window(&self, at: i64) -> (Timestamp, Timestamp) {
        window_of(self.prepared.query.every, at)
    }

    /// The stretch that holds all instants from `first` to `last`; `Err` where several hold a part.
    fn stretch_of(&self, first: i64, last: i64) -> Result<Option<usize>, ()> {
        let (first, last) = (Timestamp::from_nanoseconds(first), Timestamp::from_nanoseconds(last));
        let mut touching = self.stretches.iter().enumerate().filter(|(_, stretch)| stretch.range.touches(first, last));
        match (touching.next(), touching.next()) {
            (None, _) => Ok(None),
            (Some((place, stretch)), None) if stretch.range.covers(first, last) => Ok(Some(place)),
            _ => Err(()),
        }
    }

    /// Answers from statistics or rollups where they are exact, else reads the block.
    fn block(&mut self, block: &Block) -> Result<()> {
        let query = self.prepared.query;
        let plain = query.metrics.iter().all(super::Expression::is_metric);
        if query.statistics && plain && query.filters.is_empty() && self.prepared.needs.statistics_suffice() {
            let (_, end) = self.window(block.times.0);
            match self.stretch_of(block.times.0, block.times.1) {
                Ok(None) => return Ok(()),
                Ok(Some(stretch)) if Timestamp::from_nanoseconds(block.times.1) < end => {
                    return self.statistics(block, stretch);
                }
                _ if !self.prepared.needs.whole_blocks && self.hours(block)? => return Ok(()),
                _ => {}
            }
        }
        let rows = self.scan.rows(block)?;
        self.rows(&rows)
    }

    fn statistics(&mut self, block: &Block, stretch: usize) -> Result<()> {
        let (window, _) = self.window(block.times.0);
        let mut answered = 0;
        for place in 0..self.prepared.operands.len() {
            let metric = self.prepared.operands[place][0].handle;
            if let Some(statistics) = self.scan.statistics(block, metric)? {
                self.parts(stretch, window)[place].add_statistics(&statistics, block.bucket_start);
                answered += 1;
            }
        }
        self.scan.note_statistics(answered);
        Ok(())
    }

    /// Answers hour by hour; `false`, and nothing added, where an hour lies in more than one group or window.
    fn hours(&mut self, block: &Block) -> Result<bool> {
        let mut found = Vec::new();
        for place in 0..self.prepared.operands.len() {
            let metric = &self.prepared.operands[place][0];
            let Some(cells) = self.scan.rollup(block, metric.handle)? else {
                // Text has no rollup, and may be counted.
                if metric.metric_type == MetricType::Text && self.scan.statistics(block, metric.handle)?.is_some() {
                    return Ok(false);
                }
                continue;
            };
            for cell in cells {
                let first = cell.hour.saturating_mul(HOUR_NS).max(block.times.0);
                let last = cell.hour.saturating_mul(HOUR_NS).saturating_add(HOUR_NS - 1).min(block.times.1);
                let (window, end) = self.window(first);
                match self.stretch_of(first, last) {
                    Ok(None) => {}
                    Ok(Some(stretch)) if Timestamp::from_nanoseconds(last) < end => {
                        found.push((stretch, window, place, cell))
                    }
                    _ => return Ok(false),
                }
            }
        }
        for (stretch, window, place, cell) in found {
            self.parts(stretch, window)[place].add_hour(&cell);
        }
        self.scan.note_statistics(self.prepared.operands.len() as u64);
        Ok(true)
    }

    /// Adds rows, run by run of one group and window.
    fn rows(&mut self, rows: &DeviceRows) -> Result<()> {
        let kept = passing(rows, &self.prepared.query.filters, &self.prepared.filters);
        for place in 0..self.prepared.operands.len() {
            let column =
                Samples::of(rows, &self.prepared.query.metrics[place], &self.prepared.operands[place], kept.as_deref());
            self.samples(place, &column)?;
        }
        Ok(())
    }

    fn samples(&mut self, place: usize, samples: &Samples) -> Result<()> {
        let needs = self.prepared.needs;
        let nature = self.prepared.nature(place);
        for stretch in 0..self.stretches.len() {
            let range = self.stretches[stretch].range;
            let mut from = samples.times.partition_point(|time| Timestamp::from_nanoseconds(*time) < range.from);
            while from < samples.times.len() && range.contains(Timestamp::from_nanoseconds(samples.times[from])) {
                let (window, end) = self.window(samples.times[from]);
                let end = end.min(range.to);
                let unbounded = end == Timestamp::MAX;
                let length =
                    samples.times[from..].partition_point(|time| unbounded || Timestamp::from_nanoseconds(*time) < end);
                let to = from + length.max(1);
                let integers = samples.integers.as_ref().map(|integers| &integers[from..to]);
                let before = self.before[place];
                let part = &mut self.parts(stretch, window)[place];
                let bytes = part.memory_bytes();
                part.add_run(&samples.times[from..to], &samples.values[from..to], integers, needs);
                let grown = part.memory_bytes().saturating_sub(bytes);
                if needs.growth {
                    let last = part.add_growths(&samples.times[from..to], &samples.values[from..to], before, nature);
                    self.before[place] = last;
                }
                self.grown += grown;
                if self.grown > REPORTED_BYTES {
                    self.held.add(std::mem::take(&mut self.grown))?;
                }
                from = to;
            }
        }
        Ok(())
    }
}

/// The window that holds an instant: its start and its end.
pub(super) fn window_of(every: Option<Window>, at: i64) -> (Timestamp, Timestamp) {
    match every {
        None => (Timestamp::MIN, Timestamp::MAX),
        Some(window) => {
            let start = window.start_of(Timestamp::from_nanoseconds(at));
            (start, window.end_of(start))
        }
    }
}

/// The rows that pass all filters; `None` where there are no filters.
fn passing(rows: &DeviceRows, filters: &[super::ValueFilter], metrics: &[MetricHandle]) -> Option<Vec<u32>> {
    if filters.is_empty() {
        return None;
    }
    let mut hits = vec![0_usize; rows.len()];
    for (filter, metric) in filters.iter().zip(metrics) {
        let Some(column) = rows.column(*metric) else { return Some(Vec::new()) };
        let mut note = |place: usize, row: usize| {
            if number(&column.values, place).is_some_and(|value| filter.accepts(value)) {
                hits[row] += 1;
            }
        };
        match &column.presence {
            Presence::All => (0..rows.len()).for_each(|row| note(row, row)),
            Presence::Positions(positions) => {
                positions.iter().enumerate().for_each(|(place, row)| note(place, *row as usize))
            }
        }
    }
    let all = |(row, hit): (usize, &usize)| (*hit == filters.len()).then_some(row as u32);
    Some(hits.iter().enumerate().filter_map(all).collect())
}

/// A value as a number; `None` for text.
pub(super) fn number(values: &Values, place: usize) -> Option<f64> {
    match values {
        Values::Float(values) => Some(values[place]),
        Values::Integer(values) => Some(values[place] as f64),
        Values::Boolean(values) => Some(f64::from(u8::from(values[place]))),
        Values::Text(_) => None,
    }
}

/// The samples of one expression: instants and values, and whole numbers where the metric has them. A text counts as 1.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) integers: Option<Vec<i64>>,
}

impl Samples {
    /// Takes them out of rows: of the rows kept, those at which all metrics of the expression have a value.
    pub(super) fn of(
        rows: &DeviceRows,
        expression: &super::Expression,
        operands: &[MetricDefinition],
        kept: Option<&[u32]>,
    ) -> Self {
        if let [metric] = operands
            && expression.is_metric()
        {
            return rows.column(metric.handle).map(|column| Self::of_column(rows, column, kept)).unwrap_or_default();
        }
        let columns: Option<Vec<_>> = operands.iter().map(|metric| rows.column(metric.handle)).collect();
        let Some(columns) = columns else { return Self::default() };
        let all: Vec<u32>;
        let places = match kept {
            Some(kept) => kept,
            None => {
                all = (0..rows.len() as u32).collect();
                &all
            }
        };
        let mut samples = Self::default();
        let mut operands = Vec::with_capacity(columns.len());
        for row in places {
            operands.clear();
            for column in &columns {
                operands
                    .extend(column.presence.value_place(*row as usize).and_then(|place| number(&column.values, place)));
            }
            if operands.len() == columns.len() {
                samples.times.push(rows.times[*row as usize]);
                samples.values.push(expression.value(&operands));
            }
        }
        samples
    }

    fn of_column(rows: &DeviceRows, column: &crate::model::Column, kept: Option<&[u32]>) -> Self {
        // Rows of the samples, and the places of their values.
        let (rows_of, places): (Vec<u32>, Vec<usize>) = match kept {
            Some(kept) => {
                let found =
                    kept.iter().filter_map(|row| column.presence.value_place(*row as usize).map(|place| (*row, place)));
                found.unzip()
            }
            None => match &column.presence {
                Presence::All => ((0..rows.len() as u32).collect(), (0..rows.len()).collect()),
                Presence::Positions(positions) => (positions.clone(), (0..positions.len()).collect()),
            },
        };
        let times = rows_of.iter().map(|row| rows.times[*row as usize]).collect();
        let integers: Option<Vec<i64>> = match &column.values {
            Values::Integer(values) => Some(places.iter().map(|place| values[*place]).collect()),
            Values::Boolean(values) => Some(places.iter().map(|place| i64::from(values[*place])).collect()),
            _ => None,
        };
        let values = match &column.values {
            Values::Float(values) => places.iter().map(|place| values[*place]).collect(),
            Values::Text(_) => vec![1.0; places.len()],
            _ => integers.iter().flatten().map(|value| *value as f64).collect(),
        };
        Self { times, values, integers }
    }
}

/// The stretch of time in which a scan can find anything: the range cut at what is stored.
pub(super) fn stored_range(snapshot: &Snapshot, range: TimeRange) -> Option<(i64, i64)> {
    let segments = snapshot.segments().iter().map(|segment| segment.entry.times);
    let spans = segments.chain(snapshot.chunks().iter().filter_map(|chunk| chunk.times()));
    let (first, last) = spans.fold((i64::MAX, i64::MIN), |(first, last), span| (first.min(span.0), last.max(span.1)));
    let first = first.max(range.from.nanoseconds());
    let last = if range.to == Timestamp::MAX { last } else { last.min(range.to.nanoseconds() - 1) };
    (first <= last).then_some((first, last))
}
