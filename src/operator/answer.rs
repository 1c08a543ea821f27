//! From merged parts to the rows of an answer: finish, fill, order, limit.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::time::{Timestamp, Window};

use super::aggregate::Aggregate;
use super::cohort::GroupKey;
use super::partial::Partial;
use super::query::Fill;
use super::prepared::Prepared;

/// One group and window, finished: its row, group and window first.
struct Finished {
    key: Arc<GroupKey>,
    window: Timestamp,
    row: Vec<Cell>,
}

/// An answer that grows group by group.
pub(super) struct Answer<'a> {
    prepared: &'a Prepared<'a>,
    finished: Vec<Finished>,
    held_bytes: usize,
    most_bytes: usize,
}

impl<'a> Answer<'a> {
    /// An empty answer, which may hold so many bytes.
    pub(super) fn new(prepared: &'a Prepared<'a>, most_bytes: usize) -> Self {
        Self { prepared, finished: Vec::new(), held_bytes: 0, most_bytes }
    }

    /// Finishes a group's window.
    pub(super) fn take(&mut self, key: Arc<GroupKey>, window: Timestamp, parts: Vec<Partial>) -> Result<()> {
        if parts.iter().all(Partial::is_empty) {
            return Ok(());
        }
        let row = row(&key, self.prepared.query.every.map(|_| window), finish(self.prepared, parts));
        // Cells and texts, and what the allocator and the lists around them take.
        let texts: usize = row.iter().map(|cell| if let Cell::Text(text) = cell { text.len() + 24 } else { 0 }).sum();
        self.held_bytes += row.capacity() * size_of::<Cell>() + texts + 16 + size_of::<Finished>();
        if self.held_bytes > self.most_bytes {
            let (rows, most) = (self.finished.len(), self.most_bytes >> 20);
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the answer's first {rows} rows fill the {most} MiB that it may take"),
            )
            .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
        }
        self.finished.push(Finished { key, window, row });
        Ok(())
    }

    /// Makes the table; `span` is what is stored of the query's range, which filling reaches over.
    pub(super) fn table(self, span: Option<(i64, i64)>) -> Result<Table> {
        let query = self.prepared.query;
        let columns = columns(self.prepared);
        let mut finished = self.finished;
        finished.sort_unstable_by(|a, b| (&a.key, a.window).cmp(&(&b.key, b.window)));
        if let (Some(every), Some(span), true) = (query.every, span, query.fill != Fill::None) {
            let row_bytes = self.held_bytes / finished.len().max(1);
            let filling = Filling {
                every,
                span,
                how: query.fill,
                named: query.by.len() + 1,
                most: self.most_bytes / row_bytes.max(1),
            };
            finished = filling.groups(finished)?;
        }
        let mut rows: Vec<Vec<Cell>> = finished.into_iter().map(|finished| finished.row).collect();
        if let Some((name, falling)) = &query.order {
            let place = columns.iter().position(|column| column.name == *name).ok_or_else(|| {
                let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                Error::new(ErrorKind::InvalidInput, format!("the answer has no column '{name}'"))
                    .advise(format!("use {}", known.join(", ")))
            })?;
            rows.sort_by(|a, b| {
                let missing = (a[place] == Cell::Null).cmp(&(b[place] == Cell::Null));
                let order = compare(&a[place], &b[place]);
                missing.then(if *falling { order.reverse() } else { order })
            });
        }
        rows.truncate(query.limit.unwrap_or(usize::MAX));
        let mut table = Table::new(columns);
        rows.into_iter().try_for_each(|row| table.push(row))?;
        Ok(table)
    }
}

pub(super) fn columns(prepared: &Prepared<'_>) -> Vec<TableColumn> {
    let query = prepared.query;
    let mut columns: Vec<TableColumn> =
        query.by.iter().map(|name| TableColumn { name: name.clone(), unit: None }).collect();
    if query.every.is_some() {
        columns.push(TableColumn { name: "window".to_owned(), unit: None });
    }
    for (place, metric) in prepared.expressions.iter().enumerate() {
        for aggregate in &query.aggregates {
            let unit = if keeps_unit(*aggregate) { prepared.unit(place) } else { None };
            columns.push(TableColumn { name: format!("{}_{aggregate}", metric.text()), unit });
        }
    }
    columns
}

fn keeps_unit(aggregate: Aggregate) -> bool {
    !matches!(
        aggregate,
        Aggregate::Count
            | Aggregate::CountNan
            | Aggregate::Variance
            | Aggregate::Histogram
            | Aggregate::Rate
            | Aggregate::Slope
    )
}

fn finish(prepared: &Prepared<'_>, parts: Vec<Partial>) -> Vec<Cell> {
    let finished = parts.into_iter().enumerate().flat_map(|(place, mut part)| {
        let metric_type = prepared.metric_type(place);
        let aggregates = prepared.query.aggregates.iter();
        aggregates.map(|aggregate| part.finish(*aggregate, metric_type)).collect::<Vec<Cell>>()
    });
    finished.collect()
}

fn row(key: &Arc<GroupKey>, window: Option<Timestamp>, cells: Vec<Cell>) -> Vec<Cell> {
    let group = key.iter().map(|value| if value.is_empty() { Cell::Null } else { Cell::Text(value.clone()) });
    group.chain(window.map(Cell::Time)).chain(cells).collect()
}

/// The order of two cells of one column.
fn compare(a: &Cell, b: &Cell) -> Ordering {
    let number = |cell: &Cell| match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        Cell::Boolean(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    };
    match (a, b) {
        (Cell::Integer(a), Cell::Integer(b)) => a.cmp(b),
        (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
        (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        },
    }
}

/// How windows without samples are filled.
struct Filling {
    every: Window,
    /// What is stored of the range.
    span: (i64, i64),
    how: Fill,
    /// Cells of a row that name it: its group and window.
    named: usize,
    /// The most rows of an answer.
    most: usize,
}

impl Filling {
    /// Fills the windows of each group, which stand together.
    fn groups(&self, finished: Vec<Finished>) -> Result<Vec<Finished>> {
        let mut filled = Vec::new();
        let mut rest = finished.into_iter().peekable();
        while let Some(first) = rest.next() {
            let key = Arc::clone(&first.key);
            let mut known = BTreeMap::from([(first.window, first.row)]);
            while let Some(next) = rest.next_if(|next| next.key == key) {
                known.insert(next.window, next.row);
            }
            self.group(&key, known, &mut filled)?;
        }
        Ok(filled)
    }

    fn group(
        &self,
        key: &Arc<GroupKey>,
        mut known: BTreeMap<Timestamp, Vec<Cell>>,
        filled: &mut Vec<Finished>,
    ) -> Result<()> {
        let Some(any) = known.values().next() else { return Ok(()) };
        let (group, width) = (any[..self.named - 1].to_vec(), any.len() - self.named);
        let last = Timestamp::from_nanoseconds(self.span.1);
        let mut window = self.every.start_of(Timestamp::from_nanoseconds(self.span.0));
        // The place of the last row with samples.
        let mut before = None;
        while window <= last {
            if filled.len() >= self.most {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    "filling makes more windows than the answer may take",
                )
                .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
            }
            let row = match known.remove(&window) {
                Some(row) => {
                    before = Some(filled.len());
                    row
                }
                None => {
                    let before = before.map(|place: usize| &filled[place]);
                    let cells = self.missing(before, window, known.iter().next());
                    let cells = cells.unwrap_or_else(|| vec![Cell::Null; width]);
                    group.iter().cloned().chain([Cell::Time(window)]).chain(cells).collect()
                }
            };
            filled.push(Finished { key: Arc::clone(key), window, row });
            let next = self.every.end_of(window);
            if next <= window {
                break;
            }
            window = next;
        }
        Ok(())
    }

    /// The cells of a window without samples; `None` where nothing can be said.
    fn missing(
        &self,
        before: Option<&Finished>,
        window: Timestamp,
        after: Option<(&Timestamp, &Vec<Cell>)>,
    ) -> Option<Vec<Cell>> {
        let before = before?;
        match self.how {
            Fill::Previous => Some(before.row[self.named..].to_vec()),
            Fill::Linear => {
                let (to, right) = after?;
                let from = before.window.nanoseconds();
                let part = (window.nanoseconds() - from) as f64 / (to.nanoseconds() - from) as f64;
                let cells = before.row[self.named..].iter().zip(&right[self.named..]);
                Some(cells.map(|(left, right)| between(left, right, part)).collect())
            }
            _ => None,
        }
    }
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
