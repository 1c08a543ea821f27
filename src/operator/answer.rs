//! From merged parts to the rows of an answer: finish, fill, order, limit.

use std::cmp::Ordering;
use std::sync::Arc;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::store::Progress;
use crate::time::Timestamp;

use super::aggregate::Aggregate;
use super::cohort::GroupKey;
use super::filling::Filling;
use super::looks;
use super::partial::Partial;
use super::parts::PartList;
use super::prepared::Prepared;
use super::query::Fill;
use super::top::Ranking;

/// Windows that are finished between two looks at the memory.
const FINISHED_AT_ONCE: usize = 8_192;
/// Fewer are not worth another thread.
const FINISHED_LEAST: usize = 256;

/// One group and window, finished: its row, group and window first.
pub(super) struct Finished {
    pub(super) key: Arc<GroupKey>,
    pub(super) window: Timestamp,
    pub(super) row: Vec<Cell>,
    /// Places of the metrics that have no sample here; kept for filling alone.
    pub(super) absent: Vec<u16>,
}

/// An answer that grows group by group.
pub(super) struct Answer<'a> {
    prepared: &'a Prepared<'a>,
    finished: Vec<Finished>,
    held_bytes: usize,
    most_bytes: usize,
    /// The place of the column to order by, and whether it falls.
    order: Option<(usize, bool)>,
    ranking: Option<Ranking>,
    progress: Option<&'a Progress>,
}

impl<'a> Answer<'a> {
    /// An empty answer, which may hold so many bytes.
    pub(super) fn new(prepared: &'a Prepared<'a>, most_bytes: usize, progress: Option<&'a Progress>) -> Self {
        let place = |name: &String| columns(prepared).iter().position(|column| column.name == *name);
        let order = prepared.query.order.as_ref().and_then(|(name, falling)| Some((place(name)?, *falling)));
        let first = prepared.query.by.len() + usize::from(prepared.query.every.is_some());
        let ranking = prepared.query.top.as_ref().map(|top| {
            let column = top.column.as_ref().and_then(place);
            Ranking::new(top, column.unwrap_or(first))
        });
        Self { prepared, finished: Vec::new(), held_bytes: 0, most_bytes, order, ranking, progress }
    }

    /// Finishes the windows of a group, in parallel where they are many.
    pub(super) fn take(&mut self, key: &Arc<GroupKey>, list: PartList<Timestamp>) -> Result<()> {
        let (windows, mut parts) = list.into_parts();
        let width = self.prepared.operands.len();
        for (windows, parts) in windows.chunks(FINISHED_AT_ONCE).zip(parts.chunks_mut(FINISHED_AT_ONCE * width)) {
            let prepared = self.prepared;
            let of_each = windows.par_iter().zip(parts.par_chunks_mut(width)).with_min_len(FINISHED_LEAST);
            // Threads do not count who shares the key: they would wait for each other at each row.
            let finish = |(window, parts): (&Timestamp, &mut [Partial])| {
                // A window may have thousands of values to find a percentile in.
                let going_on = looks::look_before(self.progress, 1);
                going_on.map(|()| finished(prepared, key, *window, parts)).transpose()
            };
            let rows: Vec<(Timestamp, Vec<Cell>, Vec<u16>)> = of_each.filter_map(finish).collect::<Result<_>>()?;
            self.held_bytes += rows.iter().map(|(_, row, _)| row_bytes(row)).sum::<usize>();
            let with_key = |(window, row, absent)| Finished { key: Arc::clone(key), window, row, absent };
            self.finished.extend(rows.into_iter().map(with_key));
            let ranks = self.ranking.is_some_and(|ranking| ranking.is_passed(self.finished.len()));
            if self.held_bytes > self.most_bytes || ranks {
                self.prune()?;
            }
        }
        Ok(())
    }

    /// Drops what a limit leaves out of the answer, whatever comes; an error where that is not enough.
    fn prune(&mut self) -> Result<()> {
        let query = self.prepared.query;
        if query.fill == Fill::None && (query.limit.is_some() || self.ranking.is_some()) {
            match (&mut self.ranking, query.limit) {
                (Some(ranking), _) => ranking.keep(&mut self.finished, self.progress)?,
                (None, limit) => {
                    self.sort()?;
                    self.finished.truncate(limit.unwrap_or(usize::MAX));
                }
            }
            self.held_bytes = self.finished.iter().map(|finished| row_bytes(&finished.row)).sum();
        }
        if self.held_bytes > self.most_bytes {
            let (rows, most) = (self.finished.len(), self.most_bytes >> 20);
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the answer's first {rows} rows fill the {most} MiB that it may take"),
            )
            .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"));
        }
        Ok(())
    }

    /// Puts rows into the order asked for; of equal ones by group, then window.
    fn sort(&mut self) -> Result<()> {
        let by_name = |a: &Finished, b: &Finished| compare_keys(&a.key, &b.key).then_with(|| a.window.cmp(&b.window));
        let order = self.order;
        looks::sort_by(&mut self.finished, self.progress, |a, b| {
            let asked =
                order.map_or(Ordering::Equal, |(place, falling)| ordered(&a.row[place], &b.row[place], falling));
            asked.then_with(|| by_name(a, b))
        })
    }

    /// Makes the table.
    pub(super) fn table(mut self) -> Result<Table> {
        let query = self.prepared.query;
        if let (Some(every), true) = (query.every, query.fill != Fill::None) {
            let row_bytes = self.held_bytes / self.finished.len().max(1);
            looks::sort_by(&mut self.finished, self.progress, |a, b| (&a.key, a.window).cmp(&(&b.key, b.window)))?;
            let most = self.most_bytes / row_bytes.max(1);
            let finished = std::mem::take(&mut self.finished);
            self.finished = Filling::new(self.prepared, every, most, self.progress).groups(finished)?;
        }
        if let Some(mut ranking) = self.ranking {
            ranking.keep(&mut self.finished, self.progress)?;
        }
        if self.ranking.is_none() || self.order.is_some() {
            self.sort()?;
        }
        self.finished.truncate(query.limit.unwrap_or(usize::MAX));
        let mut table = Table::new(columns(self.prepared));
        let take = |finished: &mut Finished| table.push(std::mem::take(&mut finished.row));
        match looks::for_each(&mut self.finished, self.progress, take) {
            Ok(()) => Ok(table),
            Err(error) => {
                looks::free_later(table);
                Err(error)
            }
        }
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if self.finished.len() > looks::ROWS_AT_ONCE {
            looks::free_later(std::mem::take(&mut self.finished));
        }
    }
}

/// What a row takes: cells and texts, and what the allocator and the lists around them take.
fn row_bytes(row: &Vec<Cell>) -> usize {
    let texts: usize = row.iter().map(|cell| if let Cell::Text(text) = cell { text.len() + 24 } else { 0 }).sum();
    row.capacity() * size_of::<Cell>() + texts + 16 + size_of::<Finished>()
}

/// The order of two cells of the column asked for; missing values come last.
fn ordered(a: &Cell, b: &Cell, falling: bool) -> Ordering {
    let missing = (*a == Cell::Null).cmp(&(*b == Cell::Null));
    let order = compare(a, b);
    missing.then(if falling { order.reverse() } else { order })
}

/// The columns of a table with those of its groups in front. A group column gives way where another column has its name.
pub(super) fn behind_groups(by: &[String], own: Vec<TableColumn>) -> Vec<TableColumn> {
    let mut columns: Vec<TableColumn> = Vec::with_capacity(by.len() + own.len());
    for name in by {
        let mut name = name.clone();
        while own.iter().chain(&columns).any(|column| column.name == name) {
            name.push_str("_attribute");
        }
        columns.push(TableColumn { name, unit: None });
    }
    columns.extend(own);
    columns
}

pub(super) fn columns(prepared: &Prepared<'_>) -> Vec<TableColumn> {
    let query = prepared.query;
    let mut columns = Vec::new();
    if query.every.is_some() {
        columns.push(TableColumn { name: "window".to_owned(), unit: None });
    }
    for (place, metric) in prepared.expressions.iter().enumerate() {
        for aggregate in &query.aggregates {
            let unit = prepared.unit(place).and_then(|unit| unit_of(*aggregate, unit));
            columns.push(TableColumn { name: format!("{}_{aggregate}", metric.text()), unit });
        }
    }
    behind_groups(&query.by, columns)
}

/// The unit of an aggregate of values in a unit.
fn unit_of(aggregate: Aggregate, unit: String) -> Option<String> {
    match aggregate {
        Aggregate::Count | Aggregate::CountNan | Aggregate::Histogram => None,
        Aggregate::Rate => Some(format!("{unit}/s")),
        Aggregate::Slope => Some(format!("{unit}/d")),
        Aggregate::Variance if unit.chars().all(|c| c.is_alphanumeric() || "%°".contains(c)) => {
            Some(format!("{unit}^2"))
        }
        Aggregate::Variance => Some(format!("({unit})^2")),
        _ => Some(unit),
    }
}

/// The row of a group's window; `None` where it has no samples.
fn finished(
    prepared: &Prepared<'_>,
    key: &GroupKey,
    window: Timestamp,
    parts: &mut [Partial],
) -> Option<(Timestamp, Vec<Cell>, Vec<u16>)> {
    if parts.iter().all(|part| part.is_empty()) {
        return None;
    }
    let query = prepared.query;
    let absent = match query.fill {
        Fill::None => Vec::new(),
        _ => (0..parts.len()).filter(|place| parts[*place].count() == 0).map(|place| place as u16).collect(),
    };
    let mut row = Vec::with_capacity(key.len() + 1 + parts.len() * query.aggregates.len());
    row.extend(key.iter().map(|value| if value.is_empty() { Cell::Null } else { Cell::Text(value.clone()) }));
    row.extend(query.every.map(|_| Cell::Time(window)));
    for (place, part) in parts.iter_mut().enumerate() {
        let metric_type = prepared.metric_type(place);
        row.extend(query.aggregates.iter().map(|aggregate| part.finish(*aggregate, metric_type)));
    }
    Some((window, row, absent))
}

/// The order of two groups.
pub(super) fn compare_keys(a: &Arc<GroupKey>, b: &Arc<GroupKey>) -> Ordering {
    if Arc::ptr_eq(a, b) {
        return Ordering::Equal;
    }
    let different = a.iter().zip(b.iter()).map(|(a, b)| compare_texts(a, b)).find(|order| order.is_ne());
    different.unwrap_or(Ordering::Equal)
}

/// The order of two texts of one column: no text, then numbers in their order, then other texts. It hangs on the two alone, and not
/// on what else is in the column, so that a limit may drop rows before all are known.
pub(super) fn compare_texts(a: &str, b: &str) -> Ordering {
    let number = |text: &str| {
        let may_be = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        may_be.then(|| text.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
    };
    let by_value = match (number(a), number(b)) {
        // Zeros are equal whatever their sign; the text decides.
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Some(_), None) if !b.is_empty() => Ordering::Less,
        (None, Some(_)) if !a.is_empty() => Ordering::Greater,
        _ => Ordering::Equal,
    };
    by_value.then_with(|| a.cmp(b))
}

/// The order of two cells of one column.
pub(super) fn compare(a: &Cell, b: &Cell) -> Ordering {
    let number = |cell: &Cell| match cell {
        Cell::Float(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        Cell::Boolean(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    };
    match (a, b) {
        (Cell::Integer(a), Cell::Integer(b)) => a.cmp(b),
        (Cell::Text(a), Cell::Text(b)) => compare_texts(a, b),
        (Cell::Time(a), Cell::Time(b)) => a.cmp(b),
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        },
    }
}
