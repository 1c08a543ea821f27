//! Few rows that keep the shape of many: Steinarsson, "Downsampling Time Series for Visual Representation" (University of
//! Iceland, 2013), largest triangle three buckets.
//!
//! Guarantees: of each metric of numbers the choice is that of the paper on all its finite samples, the first of equally large triangles, with
//! instants as whole nanoseconds. Samples are walked through piece by piece, three times (counted, for which statistics may answer;
//! averaged by bucket; chosen): what is held is a mean for each bucket, one candidate for each metric, and
//! chosen rows until no candidate can come before them, whatever the samples are together.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Column, DeviceRows, MetricDefinition, Presence, Table, Values};
use crate::scan::{Block, Piece, Scan};

use super::samples::{Batches, Source};

/// The fewest rows to choose: the first, the last, and one between them.
pub(super) const DOWNSAMPLED_LEAST: usize = 3;
/// The candidate lies in a piece before the present one.
const EARLIER: u32 = u32::MAX;

/// Gives the rows that the metrics choose, each its share of them; `visit` returns false to stop.
pub(super) fn give_chosen(
    source: &Source<'_>,
    rows: usize,
    batches: &Batches<'_>,
    (statistics, most_bytes): (bool, usize),
    visit: &mut dyn FnMut(Table) -> Result<bool>,
) -> Result<()> {
    let share = (rows / batches.metrics.len().max(1)).max(DOWNSAMPLED_LEAST);
    let counts = counted(source, batches.metrics, statistics)?;
    let means_bytes = counts.iter().map(|count| buckets_of(*count, share).saturating_mul(size_of::<Mean>()));
    within(means_bytes.fold(0, usize::saturating_add), most_bytes)?;
    let mut choices: Vec<Choice> = counts.iter().map(|count| Choice::new(*count, share)).collect();
    source.rows(&mut |rows| {
        each_metric(rows, batches.metrics, &mut choices, |choice, column| {
            points(rows, column, &mut |_, time, value| choice.average(time, value))
        });
        Ok(true)
    })?;
    choices.iter_mut().for_each(Choice::begin);
    let mut chosen = Chosen { batches, rows: BTreeMap::new(), candidates: vec![None; choices.len()], held_bytes: 0 };
    let mut more = true;
    source.rows(&mut |rows| {
        chosen.take(rows, &mut choices);
        within(chosen.held_bytes, most_bytes)?;
        more = chosen.give(false, visit)?;
        Ok(more)
    })?;
    if more {
        chosen.give(true, visit)?;
    }
    Ok(())
}

fn within(held_bytes: usize, most_bytes: usize) -> Result<()> {
    if held_bytes <= most_bytes {
        return Ok(());
    }
    let message = format!("the rows to choose pass {} MiB", most_bytes >> 20);
    Err(Error::new(ErrorKind::LimitExceeded, message).advise("ask for fewer rows, or allow more memory"))
}

/// Calls for each metric that rows have.
fn each_metric(
    rows: &DeviceRows,
    metrics: &[MetricDefinition],
    choices: &mut [Choice],
    mut work: impl FnMut(&mut Choice, &Column),
) {
    for (metric, choice) in metrics.iter().zip(choices) {
        if let Some(column) = rows.column(metric.handle) {
            work(choice, column);
        }
    }
}

/// How many finite samples each metric has.
fn counted(source: &Source<'_>, metrics: &[MetricDefinition], statistics: bool) -> Result<Vec<u64>> {
    let mut counts = vec![0_u64; metrics.len()];
    source.pieces(&mut |piece, as_of| {
        if let Piece::Block(block) = &piece
            && statistics
            && as_of.is_none()
            && let Some(known) = known_counts(source.scan, block, metrics)?
        {
            counts.iter_mut().zip(known).for_each(|(count, known)| *count += known);
            return Ok(true);
        }
        let Some(rows) = source.rows_of(piece, as_of)? else { return Ok(true) };
        for (metric, count) in metrics.iter().zip(&mut counts) {
            if let Some(column) = rows.column(metric.handle) {
                points(&rows, column, &mut |_, _, _| *count += 1);
            }
        }
        Ok(true)
    })?;
    Ok(counts)
}

/// What statistics say of a block; `None` where they do not tell how many samples are finite.
fn known_counts(scan: &Scan<'_>, block: &Block, metrics: &[MetricDefinition]) -> Result<Option<Vec<u64>>> {
    let mut counts = Vec::with_capacity(metrics.len());
    let mut answered = 0;
    for metric in metrics {
        let known = if metric.metric_type == crate::model::MetricType::Text {
            None
        } else {
            scan.statistics(block, metric.handle)?
        };
        if known.as_ref().is_some_and(|known| known.count > 0 && !(known.min.is_finite() && known.max.is_finite())) {
            return Ok(None);
        }
        answered += u64::from(known.is_some());
        counts.push(known.map_or(0, |known| known.count));
    }
    scan.note_statistics(answered);
    Ok(Some(counts))
}

/// The finite samples of a column of numbers: row, instant, value.
fn points(rows: &DeviceRows, column: &Column, visit: &mut impl FnMut(u32, i64, f64)) {
    fn of<T: Copy>(
        rows: &DeviceRows,
        presence: &Presence,
        values: &[T],
        number: impl Fn(T) -> f64,
        visit: &mut impl FnMut(u32, i64, f64),
    ) {
        let mut give = |row: u32, value: f64| {
            if value.is_finite() {
                visit(row, rows.times[row as usize], value);
            }
        };
        match presence {
            Presence::All => values.iter().enumerate().for_each(|(row, value)| give(row as u32, number(*value))),
            Presence::Positions(positions) => {
                positions.iter().zip(values).for_each(|(row, value)| give(*row, number(*value)));
            }
        }
    }
    match &column.values {
        Values::Float(values) => of(rows, &column.presence, values, |value| value, visit),
        Values::Integer(values) => of(rows, &column.presence, values, |value| value as f64, visit),
        Values::Boolean(values) => of(rows, &column.presence, values, |value| f64::from(u8::from(value)), visit),
        Values::Text(_) => {}
    }
}

/// The buckets between the first sample and the last, where samples have to be chosen from.
fn buckets_of(count: u64, keep: usize) -> usize {
    if count <= keep as u64 { 0 } else { keep - 2 }
}

/// The mean of a bucket: the instants from the first sample on are added up exactly.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    elapsed_ns: i128,
    values: f64,
    count: u64,
}

/// The choice of one metric on its way through the samples.
#[derive(Debug)]
struct Choice {
    count: u64,
    buckets: usize,
    /// Of each bucket, and of the last sample.
    means: Vec<Mean>,
    /// The first instant: what others are counted from.
    start: i64,
    /// Samples passed.
    place: u64,
    bucket: usize,
    /// The place at which the bucket ends.
    end: u64,
    /// The sample chosen last.
    before: (i64, f64),
    /// From there to the mean of the next bucket.
    after: (f64, f64),
    /// The best of the bucket so far: its row, instant and value, and its triangle.
    best: Option<(u32, i64, f64)>,
    best_area: f64,
}

impl Choice {
    fn new(count: u64, keep: usize) -> Self {
        let buckets = buckets_of(count, keep);
        let mut choice = Self {
            count,
            buckets,
            means: vec![Mean::default(); if buckets == 0 { 0 } else { buckets + 1 }],
            start: 0,
            place: 0,
            bucket: 0,
            end: 0,
            before: (0, 0.0),
            after: (0.0, 0.0),
            best: None,
            best_area: -1.0,
        };
        choice.begin();
        choice
    }

    /// Before the first sample, again.
    fn begin(&mut self) {
        (self.place, self.bucket, self.end) = (0, 0, self.edge(1));
    }

    /// The place at which a bucket begins: the first sample stands alone, and the last.
    fn edge(&self, bucket: usize) -> u64 {
        if self.buckets == 0 {
            return u64::MAX;
        }
        1 + (bucket as u128 * u128::from(self.count - 2) / self.buckets as u128) as u64
    }

    fn average(&mut self, time: i64, value: f64) {
        if self.buckets == 0 {
            return;
        }
        if self.place == 0 {
            self.start = time;
        } else {
            if self.place == self.end {
                self.bucket += 1;
                self.end = if self.bucket < self.buckets { self.edge(self.bucket + 1) } else { u64::MAX };
            }
            let mean = &mut self.means[self.bucket];
            mean.elapsed_ns += i128::from(time) - i128::from(self.start);
            mean.values += value;
            mean.count += 1;
        }
        self.place += 1;
    }

    /// Passes a sample; what it makes final is pushed by row.
    fn choose(&mut self, row: u32, time: i64, value: f64, finals: &mut Vec<u32>) {
        let ends = self.place == 0 || self.place + 1 == self.count;
        if self.buckets == 0 || ends {
            if let Some((best, ..)) = self.best.take() {
                finals.push(best);
            }
            finals.push(row);
            self.before = (time, value);
            self.look_ahead(1);
        } else {
            if self.place == self.end {
                self.bucket += 1;
                self.end = self.edge(self.bucket + 1);
                if let Some((best, time, value)) = self.best.take() {
                    finals.push(best);
                    self.before = (time, value);
                }
                self.look_ahead(self.bucket + 1);
            }
            let (elapsed, grown) = ((i128::from(time) - i128::from(self.before.0)) as f64, value - self.before.1);
            let area = (elapsed * self.after.1 - self.after.0 * grown).abs();
            if area > self.best_area || self.best.is_none() {
                self.best = Some((row, time, value));
                // An overflow that is no number is larger than nothing.
                self.best_area = if area.is_nan() { -1.0 } else { area };
            }
        }
        self.place += 1;
    }

    /// Takes the mean of a bucket as the third corner of the triangles.
    fn look_ahead(&mut self, bucket: usize) {
        let Some(mean) = self.means.get(bucket) else { return };
        let count = mean.count as f64;
        let before_ns = i128::from(self.before.0) - i128::from(self.start);
        let elapsed_ns = mean.elapsed_ns - before_ns * i128::from(mean.count);
        self.after = (elapsed_ns as f64 / count, mean.values / count - self.before.1);
    }
}

/// Chosen rows that are not given yet.
struct Chosen<'a> {
    batches: &'a Batches<'a>,
    rows: BTreeMap<i64, Vec<Cell>>,
    /// Of each metric the best row so far of a bucket that is not passed.
    candidates: Vec<Option<(i64, Vec<Cell>)>>,
    held_bytes: usize,
}

impl Chosen<'_> {
    fn take(&mut self, rows: &DeviceRows, choices: &mut [Choice]) {
        let mut finals = Vec::new();
        for (place, metric) in self.batches.metrics.iter().enumerate() {
            let Some(column) = rows.column(metric.handle) else { continue };
            let choice = &mut choices[place];
            points(rows, column, &mut |row, time, value| choice.choose(row, time, value, &mut finals));
            for row in finals.drain(..) {
                let found = match row {
                    EARLIER => self.candidates[place].take(),
                    row => Some((rows.times[row as usize], self.batches.row(rows, row as usize))),
                };
                if let Some((time, cells)) = found {
                    self.held_bytes += held_bytes(&cells);
                    if let Some(twice) = self.rows.insert(time, cells) {
                        self.held_bytes = self.held_bytes.saturating_sub(held_bytes(&twice));
                    }
                }
            }
            if let Some((row, time, _)) = choice.best.as_mut().filter(|(row, ..)| *row != EARLIER) {
                self.candidates[place] = Some((*time, self.batches.row(rows, *row as usize)));
                *row = EARLIER;
            }
        }
    }

    /// Gives the rows that no candidate can come before, all of them at the `end`; false when told to stop.
    fn give(&mut self, end: bool, visit: &mut dyn FnMut(Table) -> Result<bool>) -> Result<bool> {
        let open = self.candidates.iter().flatten().map(|(time, _)| *time).min();
        let rest = match open {
            Some(open) if !end => self.rows.split_off(&open),
            _ => BTreeMap::new(),
        };
        let rows: Vec<Vec<Cell>> = std::mem::replace(&mut self.rows, rest).into_values().collect();
        let given: usize = rows.iter().map(held_bytes).sum();
        self.held_bytes = self.held_bytes.saturating_sub(given);
        self.batches.give_cells(rows, visit)
    }
}

fn held_bytes(cells: &Vec<Cell>) -> usize {
    let texts: usize = cells.iter().map(|cell| if let Cell::Text(text) = cell { text.len() + 24 } else { 0 }).sum();
    cells.capacity() * size_of::<Cell>() + texts + 64
}
