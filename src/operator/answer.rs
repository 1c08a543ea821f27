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
use super::run::Prepared;

/// One group and window, finished.
struct Finished {
    key: Arc<GroupKey>,
    window: Timestamp,
    cells: Vec<Cell>,
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
        let cells = finish(self.prepared, parts);
        // As a row of the table: cells and texts, and what the allocator and the lists around them take.
        let texts: usize = key.iter().map(|text| text.len() + 16).sum();
        let histograms: usize = cells.iter().map(|cell| if let Cell::Text(text) = cell { text.len() } else { 0 }).sum();
        self.held_bytes += (key.len() + 1 + cells.len()) * size_of::<Cell>() + texts + histograms + 64;
        if self.held_bytes > self.most_bytes {
            let (rows, most) = (self.finished.len(), self.most_bytes >> 20);
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the answer's first {rows} rows fill the {most} MiB that it may take"),
            )
            .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
        }
        self.finished.push(Finished { key, window, cells });
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
            finished = fill_groups(finished, every, span, query.fill, self.most_bytes / row_bytes.max(1))?;
        }
        let mut rows: Vec<Vec<Cell>> = finished
            .into_iter()
            .map(|Finished { key, window, cells }| row(&key, query.every.map(|_| window), cells))
            .collect();
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

fn columns(prepared: &Prepared<'_>) -> Vec<TableColumn> {
    let query = prepared.query;
    let mut columns: Vec<TableColumn> =
        query.by.iter().map(|name| TableColumn { name: name.clone(), unit: None }).collect();
    if query.every.is_some() {
        columns.push(TableColumn { name: "window".to_owned(), unit: None });
    }
    for (place, metric) in query.metrics.iter().enumerate() {
        for aggregate in &query.aggregates {
            let unit = if keeps_unit(*aggregate) { prepared.unit(place) } else { None };
            columns.push(TableColumn { name: format!("{}_{aggregate}", metric.text()), unit });
        }
    }
    columns
}

/// Fills the windows of each group, which stand together.
fn fill_groups(
    finished: Vec<Finished>,
    every: Window,
    span: (i64, i64),
    how: Fill,
    most: usize,
) -> Result<Vec<Finished>> {
    let mut filled = Vec::new();
    let mut groups: BTreeMap<Arc<GroupKey>, BTreeMap<Timestamp, Vec<Cell>>> = BTreeMap::new();
    for Finished { key, window, cells } in finished {
        groups.entry(key).or_default().insert(window, cells);
    }
    for (key, windows) in groups {
        let windows = fill(windows, every, span, how, most - filled.len())?;
        filled.extend(windows.into_iter().map(|(window, cells)| Finished { key: Arc::clone(&key), window, cells }));
    }
    Ok(filled)
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

fn fill(
    known: BTreeMap<Timestamp, Vec<Cell>>,
    every: Window,
    span: (i64, i64),
    how: Fill,
    most: usize,
) -> Result<BTreeMap<Timestamp, Vec<Cell>>> {
    let Some(width) = known.values().next().map(Vec::len) else { return Ok(known) };
    let last = Timestamp::from_nanoseconds(span.1);
    let mut filled: BTreeMap<Timestamp, Vec<Cell>> = BTreeMap::new();
    let mut window = every.start_of(Timestamp::from_nanoseconds(span.0));
    let mut before: Option<(Timestamp, Vec<Cell>)> = None;
    while window <= last {
        if filled.len() >= most {
            return Err(Error::new(ErrorKind::LimitExceeded, "filling makes more windows than the answer may take")
                .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
        }
        let cells = match known.get(&window) {
            Some(cells) => {
                before = Some((window, cells.clone()));
                cells.clone()
            }
            None => {
                let after = known.range(window..).next();
                match (how, &before, after) {
                    (Fill::Previous, Some((_, cells)), _) => cells.clone(),
                    (Fill::Linear, Some((from, left)), Some((to, right))) => {
                        let part = (window.nanoseconds() - from.nanoseconds()) as f64
                            / (to.nanoseconds() - from.nanoseconds()) as f64;
                        left.iter().zip(right).map(|(left, right)| between(left, right, part)).collect()
                    }
                    _ => vec![Cell::Null; width],
                }
            }
        };
        filled.insert(window, cells);
        let next = every.end_of(window);
        if next <= window {
            break;
        }
        window = next;
    }
    Ok(filled)
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
