//! Rows for windows without samples, and values for metrics that have none in a window.
//!
//! Which windows there are depends on the question and on the answer's own rows, never on how the store lies: from the range's
//! first window to its last, and where the range has no end, from the first window that any group has, or to the last.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, MetricType};
use crate::store::Progress;
use crate::time::{Timestamp, Window};

use super::aggregate::Aggregate;
use super::answer::Finished;
use super::looks::{free_later, look_before};
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
    progress: Option<&'a Progress>,
}

impl<'a> Filling<'a> {
    pub(super) fn new(prepared: &'a Prepared<'_>, every: Window, most: usize, progress: Option<&'a Progress>) -> Self {
        let (query, places) = (prepared.query, 0..prepared.expressions.len());
        let numbers = places.clone().map(|place| prepared.metric_type(place) != MetricType::Text).collect();
        let wholes = places.map(|place| prepared.is_whole(place)).collect();
        Self { query, every, named: query.by.len() + 1, most, numbers, wholes, progress }
    }

    /// Fills the windows of each group, which stand together, in order; cells of new rows come behind those of the others.
    pub(super) fn groups(&self, finished: Vec<Finished>, cells: &mut Vec<Cell>) -> Result<Vec<Finished>> {
        let windows = || finished.iter().map(|finished| finished.window);
        let (Some(earliest), Some(latest)) = (windows().min(), windows().max()) else { return Ok(finished) };
        let range = self.query.range;
        let first = if range.from == Timestamp::MIN { earliest } else { self.every.start_of(range.from) };
        let last = if range.to == Timestamp::MAX {
            latest
        } else {
            self.every.start_of(Timestamp::from_nanoseconds(range.to.nanoseconds() - 1))
        };
        let mut filled = Vec::new();
        match self.fill(finished, (first, last), (&mut filled, cells)) {
            Ok(()) => Ok(filled),
            Err(error) => {
                free_later(filled);
                Err(error)
            }
        }
    }

    fn fill(
        &self,
        finished: Vec<Finished>,
        (first, last): (Timestamp, Timestamp),
        (filled, cells): (&mut Vec<Finished>, &mut Vec<Cell>),
    ) -> Result<()> {
        let mut rest = finished.into_iter().peekable();
        while let Some(row) = rest.next() {
            let group = row.group;
            let mut known = BTreeMap::from([(row.window, row)]);
            while let Some(next) = rest.next_if(|next| next.group == group) {
                known.insert(next.window, next);
            }
            let from = filled.len();
            self.rows(group, known, (first, last), (filled, cells))?;
            match self.query.fill {
                Fill::Previous | Fill::Linear => self.values(&filled[from..], cells)?,
                Fill::Zero => self.zeros(&mut filled[from..], cells),
                Fill::None | Fill::Null => {}
            }
        }
        Ok(())
    }

    /// Appends a row for each window of a group.
    fn rows(
        &self,
        group: usize,
        mut known: BTreeMap<Timestamp, Finished>,
        (first, last): (Timestamp, Timestamp),
        (filled, cells): (&mut Vec<Finished>, &mut Vec<Cell>),
    ) -> Result<()> {
        let Some(any) = known.values().next() else { return Ok(()) };
        let names = cells[any.row..any.row + self.named - 1].to_vec();
        let mut window = first;
        while window <= last {
            look_before(self.progress, 1)?;
            if filled.len() >= self.most {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    "filling makes more windows than the answer may take",
                )
                .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
            }
            filled.push(known.remove(&window).unwrap_or_else(|| self.empty((group, &names), window, cells)));
            let next = self.every.end_of(window);
            if next <= window {
                break;
            }
            window = next;
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
    fn zeros(&self, rows: &mut [Finished], cells: &mut [Cell]) {
        let aggregates = &self.query.aggregates;
        for row in rows {
            for metric in std::mem::take(&mut row.absent) {
                for (number, aggregate) in aggregates.iter().enumerate() {
                    let cell = &mut cells[row.row + self.named + usize::from(metric) * aggregates.len() + number];
                    *cell = match aggregate {
                        _ if *cell != Cell::Null || !self.numbers[usize::from(metric)] => continue,
                        Aggregate::Histogram => continue,
                        aggregate if self.wholes[usize::from(metric)] && aggregate.keeps_type() => Cell::Integer(0),
                        _ => Cell::Float(0.0),
                    };
                }
            }
        }
    }

    /// Fills the values of one group, metric by metric.
    fn values(&self, rows: &[Finished], cells: &mut [Cell]) -> Result<()> {
        let aggregates = &self.query.aggregates;
        for metric in 0..self.query.metrics.len() {
            let has: Vec<usize> = (0..rows.len()).filter(|row| !rows[*row].absent.contains(&(metric as u16))).collect();
            for (place, before) in has.iter().enumerate() {
                look_before(self.progress, 1)?;
                let after = has.get(place + 1).copied();
                for row in before + 1..after.unwrap_or(rows.len()) {
                    for (number, _) in aggregates.iter().enumerate().filter(|(_, aggregate)| !aggregate.adds_up()) {
                        let column = self.named + metric * aggregates.len() + number;
                        let at = |row: usize| rows[row].row + column;
                        cells[at(row)] = match (self.query.fill, after) {
                            (Fill::Previous, _) => cells[at(*before)].clone(),
                            (_, Some(after)) => {
                                let [from, own, to] = [*before, row, after].map(|row| rows[row].window);
                                between(&cells[at(*before)], &cells[at(after)], span_ns(from, own) / span_ns(from, to))
                            }
                            _ => Cell::Null,
                        };
                    }
                }
            }
        }
        Ok(())
    }
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
