//! Rows for windows without samples, and values for metrics that have none in a window.
//!
//! Which windows there are depends on the question and on the answer's own rows, never on how the store lies: from the range's
//! first window to its last, and where the range has no end, from the first window that any group has, or to the last.

use std::iter::Peekable;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, MetricType};
use crate::store::Progress;
use crate::time::{TimeRange, Timestamp, Window};

use super::aggregate::Aggregate;
use super::answer::Finished;
use super::looks::{Pace, free_later};
use super::prepared::Prepared;
use super::query::{Fill, Query};

/// How windows without samples are filled.
pub(super) struct Filling<'a> {
    query: &'a Query,
    every: Window,
    /// Cells of a row that name it: its group and window.
    named: usize,
    /// The most rows of an answer.
    most: usize,
    /// Of each metric whether its values are numbers, and whole ones.
    numbers: Vec<bool>,
    wholes: Vec<bool>,
    /// Of each metric what stands for none of it where an aggregate is one of its values.
    nothings: Vec<Cell>,
    progress: Option<&'a Progress>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(prepared: &'a Prepared<'_>, every: Window, most: usize, progress: Option<&'a Progress>) -> Self {
        let (query, places) = (prepared.query, 0..prepared.expressions.len());
        let numbers = places.clone().map(|place| prepared.metric_type(place) != MetricType::Text).collect();
        let wholes = places.clone().map(|place| prepared.is_whole(place)).collect();
        let nothing = |place| match prepared.metric_type(place) {
            MetricType::Boolean => Cell::Boolean(false),
            MetricType::Integer => Cell::Integer(0),
            _ => Cell::Float(0.0),
        };
        let nothings = places.map(nothing).collect();
        Self { query, every, named: query.by.len() + 1, most, numbers, wholes, nothings, progress }
    }

    /// Fills the windows of each group, which stand together, in order; cells of new rows come behind those of the others.
    pub(super) fn groups(&self, finished: Vec<Finished>, cells: &mut Vec<Cell>) -> Result<Vec<Finished>> {
        let windows = || finished.iter().map(|finished| finished.window);
        let (Some(earliest), Some(latest)) = (windows().min(), windows().max()) else { return Ok(finished) };
        let (first, last) = reach(self.query.range, self.every, (earliest, latest));
        let mut pace = Pace::new(self.progress);
        let groups = finished.chunk_by(|a, b| a.group == b.group).count();
        let windows = self.windows((first, last), self.most / groups, &mut pace)?;
        let width = self.named + self.query.metrics.len() * self.query.aggregates.len();
        cells.reserve_exact((windows.len() * groups).saturating_sub(finished.len()) * width);
        let mut filled = Vec::with_capacity(windows.len() * groups);
        let mut rest = finished.into_iter().peekable();
        let result = self.fill(&mut rest, &windows, (&mut filled, cells), &mut pace);
        if let Err(error) = result {
            free_later((filled, rest));
            return Err(error);
        }
        Ok(filled)
    }

    /// The starts of all windows, at most so many.
    fn windows(
        &self,
        (first, last): (Timestamp, Timestamp),
        most: usize,
        pace: &mut Pace<'_>,
    ) -> Result<Vec<Timestamp>> {
        let (mut windows, mut window) = (Vec::new(), first);
        while window <= last {
            if windows.len() == most {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    "filling makes more windows than the answer may take",
                )
                .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
            }
            windows.push(window);
            pace.done(1)?;
            let next = self.every.end_of(window);
            if next <= window {
                break;
            }
            window = next;
        }
        Ok(windows)
    }

    /// Appends a row for each window of each group.
    fn fill(
        &self,
        rest: &mut Peekable<impl Iterator<Item = Finished>>,
        windows: &[Timestamp],
        (filled, cells): (&mut Vec<Finished>, &mut Vec<Cell>),
        pace: &mut Pace<'_>,
    ) -> Result<()> {
        while let Some((group, row)) = rest.peek().map(|row| (row.group, row.row)) {
            let names = cells[row..row + self.named - 1].to_vec();
            let from = filled.len();
            for window in windows {
                let known = rest.next_if(|next| next.group == group && next.window == *window);
                let start = cells.len();
                filled.push(known.unwrap_or_else(|| self.empty((group, &names), *window, cells)));
                pace.done(1 + cells.len() - start)?;
            }
            match self.query.fill {
                Fill::Previous | Fill::Linear => self.values(&filled[from..], cells, pace)?,
                Fill::Zero => self.zeros(&mut filled[from..], cells, pace)?,
                Fill::None | Fill::Null => {}
            }
        }
        Ok(())
    }

    fn empty(&self, (group, names): (usize, &[Cell]), window: Timestamp, cells: &mut Vec<Cell>) -> Finished {
        let nothing = |aggregate: &Aggregate| match aggregate {
            Aggregate::Count | Aggregate::CountNan => Cell::Integer(0),
            _ => Cell::Null,
        };
        let (metrics, row) = (self.query.metrics.len(), cells.len());
        cells.extend_from_slice(names);
        cells.push(Cell::Time(window));
        cells.extend((0..metrics).flat_map(|_| self.query.aggregates.iter().map(nothing)));
        Finished { group, window, row, absent: (0..metrics as u16).collect() }
    }

    /// Puts zeros where a metric has no sample in a window: floats, but for extremes and sums of metrics of whole numbers.
    fn zeros(&self, rows: &mut [Finished], cells: &mut [Cell], pace: &mut Pace<'_>) -> Result<()> {
        let aggregates = &self.query.aggregates;
        for row in rows {
            for metric in std::mem::take(&mut row.absent) {
                for (number, aggregate) in aggregates.iter().enumerate() {
                    let cell = &mut cells[row.row + self.named + usize::from(metric) * aggregates.len() + number];
                    *cell = match aggregate {
                        _ if *cell != Cell::Null || !self.numbers[usize::from(metric)] => continue,
                        Aggregate::Histogram => continue,
                        Aggregate::First | Aggregate::Last => self.nothings[usize::from(metric)].clone(),
                        aggregate if self.wholes[usize::from(metric)] && aggregate.keeps_type() => Cell::Integer(0),
                        _ => Cell::Float(0.0),
                    };
                }
                pace.done(aggregates.len())?;
            }
        }
        Ok(())
    }

    /// Fills the values of one group, metric by metric.
    fn values(&self, rows: &[Finished], cells: &mut [Cell], pace: &mut Pace<'_>) -> Result<()> {
        for metric in 0..self.query.metrics.len() {
            // The last row so far that has the metric.
            let mut before = None;
            for (row, finished) in rows.iter().enumerate() {
                pace.done(1)?;
                let has_it = !finished.absent.contains(&(metric as u16));
                if let Some(before) = has_it.then(|| before.replace(row)).flatten() {
                    self.between(metric, (rows, cells), (before, Some(row)), pace)?;
                }
            }
            if let Some(before) = before {
                self.between(metric, (rows, cells), (before, None), pace)?;
            }
        }
        Ok(())
    }

    /// Fills the values of a metric between a row that has it and the next that does, or behind the last.
    fn between(
        &self,
        metric: usize,
        (rows, cells): (&[Finished], &mut [Cell]),
        (before, after): (usize, Option<usize>),
        pace: &mut Pace<'_>,
    ) -> Result<()> {
        let aggregates = &self.query.aggregates;
        for row in before + 1..after.unwrap_or(rows.len()) {
            for (number, _) in aggregates.iter().enumerate().filter(|(_, aggregate)| !aggregate.adds_up()) {
                let column = self.named + metric * aggregates.len() + number;
                let at = |row: usize| rows[row].row + column;
                cells[at(row)] = match (self.query.fill, after) {
                    (Fill::Previous, _) => cells[at(before)].clone(),
                    (_, Some(after)) => {
                        let [from, own, to] = [before, row, after].map(|row| rows[row].window);
                        between(&cells[at(before)], &cells[at(after)], span_ns(from, own) / span_ns(from, to))
                    }
                    _ => Cell::Null,
                };
            }
            pace.done(aggregates.len())?;
        }
        Ok(())
    }
}

/// The first and the last window that are filled, given those that have samples.
pub(super) fn reach(
    range: TimeRange,
    every: Window,
    (earliest, latest): (Timestamp, Timestamp),
) -> (Timestamp, Timestamp) {
    let last = |to: Timestamp| every.start_of(Timestamp::from_nanoseconds(to.nanoseconds() - 1));
    let first = if range.from == Timestamp::MIN { earliest } else { every.start_of(range.from) };
    (first, if range.to == Timestamp::MAX { latest } else { last(range.to) })
}

fn span_ns(from: Timestamp, to: Timestamp) -> f64 {
    (i128::from(to.nanoseconds()) - i128::from(from.nanoseconds())) as f64
}

fn between(left: &Cell, right: &Cell, part: f64) -> Cell {
    let number = |cell: &Cell| match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        _ => None,
    };
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Cell::Float(left + (right - left) * part),
        _ => Cell::Null,
    }
}
