//! From merged parts to the rows of an answer: finish, fill, order, limit.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::store::Progress;
use crate::time::Timestamp;

use super::aggregate::Aggregate;
use super::cohort::{self, GroupKey};
use super::filling::Filling;
use super::looks;
use super::partial::Partial;
use super::passes::Group;
use super::prepared::Prepared;
use super::query::Fill;
use super::top::Ranking;

#[cfg(test)]
mod tests;

/// Windows that are finished between two looks at the memory.
const FINISHED_AT_ONCE: usize = 32_768;
/// What an answer takes for a group beside its rows and names, about: its places in lists and a map, and what the allocator takes.
const GROUP_BYTES: usize = 160;
/// What the allocator and the counts of those who share it take for a text, or for another list of its own.
const OWN_BYTES: usize = 40;
/// Fewer are not worth another thread.
const FINISHED_LEAST: usize = 256;

/// One group and window, finished.
pub(super) struct Finished {
    /// The place of its group among those of the answer.
    pub(super) group: usize,
    pub(super) window: Timestamp,
    /// Where its row begins in the list of cells: group and window first.
    pub(super) row: usize,
    /// Places of the metrics that have no sample here; kept for filling alone.
    pub(super) absent: Vec<u16>,
}

/// The place of a group among those of an answer, and its name.
type Named = (usize, Vec<Cell>);

/// An answer that grows group by group.
pub(super) struct Answer<'a> {
    prepared: &'a Prepared<'a>,
    /// Groups as they came, and where each lies among them: rows name theirs by its place, so that no thread counts who shares it.
    groups: Vec<Arc<GroupKey>>,
    places: HashMap<Arc<GroupKey>, usize>,
    /// The cells that name groups, one group after the other.
    names: Vec<Cell>,
    finished: Vec<Finished>,
    /// Cells of all rows, also of those that were dropped since.
    cells: Vec<Cell>,
    /// Cells of a row.
    width: usize,
    /// What it holds, and of that what groups and their names take, and what rows have outside of the lists: texts, and places of metrics.
    held_bytes: usize,
    groups_bytes: usize,
    own_bytes: usize,
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
        let width = columns(prepared).len();
        let (finished, cells) = (Vec::new(), Vec::new());
        let (groups, places, names) = (Vec::new(), HashMap::new(), Vec::new());
        let (held_bytes, groups_bytes, own_bytes) = (0, 0, 0);
        Self {
            prepared,
            groups,
            places,
            names,
            finished,
            cells,
            width,
            held_bytes,
            groups_bytes,
            own_bytes,
            most_bytes,
            order,
            ranking,
            progress,
        }
    }

    /// Finishes the windows of groups: so many groups at once that their windows are worth it to wake threads.
    pub(super) fn take(&mut self, groups: Vec<Group>) -> Result<()> {
        let mut groups = groups.into_iter().peekable();
        while groups.peek().is_some() {
            let mut windows = 0;
            let at_once = std::iter::from_fn(|| {
                let group = groups.next_if(|_| windows < FINISHED_AT_ONCE)?;
                windows += group.1.len();
                Some(group)
            });
            self.finish(at_once.collect())?;
        }
        Ok(())
    }

    fn finish(&mut self, groups: Vec<Group>) -> Result<()> {
        let operands = self.prepared.operands.len();
        let mut groups: Vec<_> = groups.into_iter().map(|(key, list)| (self.named(&key), list.into_parts())).collect();
        let mut work = Vec::new();
        for (name, (windows, parts, values)) in &mut groups {
            let pieces = windows.chunks(FINISHED_LEAST).zip(parts.chunks_mut(FINISHED_LEAST * operands));
            work.extend(pieces.map(|(windows, parts)| (&*name, windows, parts, &**values)));
        }
        let (prepared, progress) = (self.prepared, self.progress);
        let finish = |(name, windows, parts, values): (_, &[Timestamp], &mut [Partial], &[f64])| {
            // A window may have thousands of values to find a percentile in.
            looks::look_before(progress, windows.len())?;
            Ok((name, Piece::of(prepared, windows, (parts, values))))
        };
        let mut work = work.into_iter().peekable();
        while work.peek().is_some() {
            let at_once: Vec<_> = work.by_ref().take(FINISHED_AT_ONCE / FINISHED_LEAST).collect();
            let pieces: Vec<(&Named, Piece)> = if at_once.len() == 1 {
                at_once.into_iter().map(finish).collect::<Result<_>>()?
            } else {
                at_once.into_par_iter().map(finish).collect::<Result<_>>()?
            };
            pieces.into_iter().for_each(|((place, names), piece)| self.append(*place, names, piece));
            let ranks = self.ranking.is_some_and(|ranking| ranking.is_passed(self.finished.len()));
            if self.held_bytes > self.most_bytes || ranks {
                self.prune()?;
            }
        }
        Ok(())
    }

    /// The place of a group among those of the answer, and its name as cells.
    fn named(&mut self, key: &Arc<GroupKey>) -> Named {
        let place = *self.places.entry(Arc::clone(key)).or_insert_with(|| {
            self.groups.push(Arc::clone(key));
            self.names.extend(cohort::cells(key));
            // As text of the key and as cell, each in a list that may be twice as long.
            let named = |name: &String| 2 * (size_of::<String>() + size_of::<Cell>() + name.len() + OWN_BYTES);
            self.groups_bytes += GROUP_BYTES + key.iter().map(named).sum::<usize>();
            self.groups.len() - 1
        });
        self.count();
        let named = self.prepared.query.by.len();
        (place, self.names[place * named..(place + 1) * named].to_vec())
    }

    /// Counts what is held: all room of the lists, and what is beside them.
    fn count(&mut self) {
        let lists = self.cells.capacity() * size_of::<Cell>() + self.finished.capacity() * self.beside_bytes();
        self.held_bytes = lists + self.own_bytes + self.groups_bytes;
    }

    /// What a row takes beside its cells: its place in the list, those of a sort, and where windows are filled, the one in the list before.
    fn beside_bytes(&self) -> usize {
        let lists = if self.prepared.query.fill == Fill::None { 1 } else { 2 };
        lists * (size_of::<Finished>() + size_of::<[u32; 2]>())
    }

    /// Appends rows of a group. Its name becomes part of them here: threads that count who shares it would wait for each other.
    fn append(&mut self, group: usize, names: &[Cell], mut piece: Piece) {
        let start = self.cells.len();
        make_room(&mut self.cells, piece.cells.len());
        make_room(&mut self.finished, piece.windows.len());
        self.cells.append(&mut piece.cells);
        for (number, (window, absent)) in piece.windows.into_iter().enumerate() {
            let row = start + number * self.width;
            self.cells[row..row + names.len()].clone_from_slice(names);
            self.own_bytes += own_bytes(&self.cells[row + names.len()..row + self.width], &absent);
            self.finished.push(Finished { group, window, row, absent });
        }
        self.count();
    }

    /// Puts the cells of all rows one after the other, in the order of the rows. Rows are moved inside of their list: a second one would be
    /// as large as the answer.
    fn compact(&mut self) -> Result<()> {
        let (width, rows, progress) = (self.width, self.finished.len(), self.progress);
        if self.finished.iter().enumerate().any(|(number, finished)| finished.row != number * width) {
            let cells = &mut self.cells;
            // First those that lie too far behind, into places of rows that were dropped: the rest is a permutation.
            let mut is_taken = vec![false; rows];
            for finished in &self.finished {
                is_taken.get_mut(finished.row / width).into_iter().for_each(|is_taken| *is_taken = true);
            }
            let mut free = (0..rows).filter(|place| !is_taken[*place]);
            looks::for_each(&mut self.finished, progress, |finished| {
                if let Some(place) = (finished.row / width >= rows).then(|| free.next()).flatten() {
                    swap_rows(cells, width, (place, finished.row / width));
                    finished.row = place * width;
                }
                Ok(())
            })?;
            let finished = &mut self.finished;
            let take = |place: usize| std::mem::replace(&mut finished[place].row, place * width) / width;
            looks::permute(rows, progress, take, |place, from| swap_rows(cells, width, (place, from)))?;
        }
        let mut pace = looks::Pace::new(progress);
        while self.cells.len() > rows * width {
            let less = (self.cells.len() - rows * width).min(looks::ROWS_AT_ONCE);
            self.cells.truncate(self.cells.len() - less);
            pace.done(less)?;
        }
        Ok(())
    }

    /// Drops what a limit leaves out of the answer, whatever comes; an error where that is not enough.
    fn prune(&mut self) -> Result<()> {
        let query = self.prepared.query;
        if query.fill == Fill::None && (query.limit.is_some() || self.ranking.is_some()) {
            match (&mut self.ranking, query.limit) {
                (Some(ranking), _) => ranking.keep((&mut self.finished, &self.cells, &self.groups), self.progress)?,
                (None, limit) => {
                    self.sort()?;
                    self.finished.truncate(limit.unwrap_or(usize::MAX));
                }
            }
            self.compact()?;
            let named = self.prepared.query.by.len();
            let rows = self.finished.iter().zip(self.cells.chunks(self.width));
            self.own_bytes = rows.map(|(finished, row)| own_bytes(&row[named..], &finished.absent)).sum();
            if self.held_bytes > self.most_bytes {
                self.cells.shrink_to_fit();
                self.finished.shrink_to_fit();
            }
            self.count();
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
        let groups = &self.groups;
        let by_name = |a: &Finished, b: &Finished| {
            compare_keys(&groups[a.group], &groups[b.group]).then_with(|| a.window.cmp(&b.window))
        };
        let (order, cells) = (self.order, &self.cells);
        looks::sort_by(&mut self.finished, self.progress, |a, b| {
            let by_cell = |(place, falling)| ordered(&cells[a.row + place], &cells[b.row + place], falling);
            order.map_or(Ordering::Equal, by_cell).then_with(|| by_name(a, b))
        })
    }

    /// Makes the table.
    pub(super) fn table(mut self) -> Result<Table> {
        let query = self.prepared.query;
        if let (Some(every), true) = (query.every, query.fill != Fill::None) {
            let groups = &self.groups;
            let named = |row: &Finished| (&groups[row.group], row.window);
            looks::sort_by(&mut self.finished, self.progress, |a, b| named(a).cmp(&named(b)))?;
            // A row that is made has no metric, and only texts that others have.
            let absent_bytes = OWN_BYTES + self.prepared.operands.len() * size_of::<u16>();
            let row_bytes = self.width * size_of::<Cell>() + self.beside_bytes() + absent_bytes;
            let most = self.most_bytes.saturating_sub(self.own_bytes + self.groups_bytes) / row_bytes;
            let finished = std::mem::take(&mut self.finished);
            let filling = Filling::new(self.prepared, every, most, self.progress);
            self.finished = filling.groups(finished, &mut self.cells)?;
        }
        if let Some(mut ranking) = self.ranking {
            ranking.keep((&mut self.finished, &self.cells, &self.groups), self.progress)?;
        }
        if self.ranking.is_none() || self.order.is_some() {
            self.sort()?;
        }
        self.finished.truncate(query.limit.unwrap_or(usize::MAX));
        self.compact()?;
        Ok(Table::of_cells(columns(self.prepared), std::mem::take(&mut self.cells)))
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if self.finished.len() > looks::ROWS_AT_ONCE {
            looks::free_later((std::mem::take(&mut self.finished), std::mem::take(&mut self.cells)));
        }
    }
}

/// Finished rows of some windows of a group, without its name.
struct Piece {
    windows: Vec<(Timestamp, Vec<u16>)>,
    cells: Vec<Cell>,
}

impl Piece {
    /// Finishes windows that have samples.
    fn of(prepared: &Prepared<'_>, windows: &[Timestamp], (parts, values): (&mut [Partial], &[f64])) -> Self {
        let (query, operands) = (prepared.query, prepared.operands.len());
        let (named, width) = (query.by.len(), query.aggregates.len() * operands + 1);
        let cells = Vec::with_capacity(windows.len() * (named + width));
        let mut room = Vec::new();
        let mut piece = Self { windows: Vec::with_capacity(windows.len()), cells };
        for (window, parts) in windows.iter().zip(parts.chunks_mut(operands)) {
            if parts.iter().all(|part| part.is_empty()) {
                continue;
            }
            let absent = match query.fill {
                Fill::None => Vec::new(),
                _ => (0..operands).filter(|place| parts[*place].count() == 0).map(|place| place as u16).collect(),
            };
            piece.windows.push((*window, absent));
            piece.cells.extend(std::iter::repeat_n(Cell::Null, named));
            piece.cells.extend(query.every.map(|_| Cell::Time(*window)));
            for (place, part) in parts.iter_mut().enumerate() {
                let metric_type = prepared.metric_type(place);
                let finish = |aggregate: &Aggregate| part.finish(*aggregate, metric_type, (values, &mut room));
                piece.cells.extend(query.aggregates.iter().map(finish));
            }
        }
        piece
    }
}

/// What a row has outside of the lists, without the texts of its group: these are shared.
fn own_bytes(row: &[Cell], absent: &Vec<u16>) -> usize {
    let texts = |cell: &Cell| if let Cell::Text(text) = cell { text.len() + OWN_BYTES } else { 0 };
    let absent = if absent.capacity() > 0 { absent.capacity() * size_of::<u16>() + OWN_BYTES } else { 0 };
    row.iter().map(texts).sum::<usize>() + absent
}

/// Makes room at the end of a list: an eighth more at a time, so that little of what an answer may take is room that nothing is in.
fn make_room<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 8));
    }
}

/// Swaps the cells of two rows.
fn swap_rows(cells: &mut [Cell], width: usize, (a, b): (usize, usize)) {
    if a != b {
        let (before, from_later) = cells.split_at_mut(a.max(b) * width);
        before[a.min(b) * width..][..width].swap_with_slice(&mut from_later[..width]);
    }
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
