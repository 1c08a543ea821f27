//! How many rows an answer has, without holding them.
//!
//! Guarantees: the count is that of the rows that the same question answers with, filled, ranked and limited; it holds at most the groups
//! (where windows are filled) or the windows (where groups are ranked), and no cells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table};
use crate::store::Progress;
use crate::time::{Timestamp, Window};

use super::cohort::GroupKey;
use super::filling;
use super::looks::Pace;
use super::passes::Group;
use super::prepared::Prepared;
use super::query::{Fill, Query};

/// What a map takes for an entry beside what is in it, about.
const ENTRY_BYTES: usize = 64;

impl Query {
    /// Answers only how many rows there would be: one row, of the column `rows`, in the memory of the groups or windows alone.
    ///
    /// ```
    /// use fleetlog::operator::Query;
    /// use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// for device in ["a", "b", "c"] {
    ///     batch.reading(device, Timestamp::parse("2025-06-15")?).float("power_w", 1.0);
    /// }
    /// store.write(batch)?;
    /// let rows = store.query(Query::metric("power_w").by(["device"]).count_rows())?;
    /// assert_eq!(rows.rows()[0], [Cell::Integer(3)]);
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    #[must_use]
    pub fn count_rows(mut self) -> Self {
        self.counts_rows = true;
        self
    }
}

/// The rows of an answer so far.
pub(super) struct RowCount<'a> {
    query: &'a Query,
    rows: u64,
    /// The groups that have rows, where windows are filled: each has all windows then.
    groups: HashSet<Arc<GroupKey>>,
    /// Rows by window, where some of them are kept and nothing is filled.
    by_window: HashMap<Timestamp, u64>,
    /// The first and the last window.
    span: Option<(Timestamp, Timestamp)>,
    operands: usize,
    held_bytes: usize,
    most_bytes: usize,
    progress: Option<&'a Progress>,
}

impl<'a> RowCount<'a> {
    /// Of no rows yet; it may hold so many bytes.
    pub(super) fn new(prepared: &'a Prepared<'a>, most_bytes: usize, progress: Option<&'a Progress>) -> Self {
        let (groups, by_window) = (HashSet::new(), HashMap::new());
        let (query, operands) = (prepared.query, prepared.operands.len());
        Self { query, rows: 0, groups, by_window, span: None, operands, held_bytes: 0, most_bytes, progress }
    }

    /// Counts the windows of groups.
    pub(super) fn take(&mut self, groups: Vec<Group>) -> Result<()> {
        let mut pace = Pace::new(self.progress);
        for (key, list) in groups {
            let (windows, parts, _) = list.into_parts();
            let mut is_there = false;
            for (window, parts) in windows.into_iter().zip(parts.chunks(self.operands)) {
                pace.done(1)?;
                if parts.iter().all(|part| part.is_empty()) {
                    continue;
                }
                is_there = true;
                self.rows += 1;
                let (first, last) = self.span.unwrap_or((window, window));
                self.span = Some((first.min(window), last.max(window)));
                if self.query.top.is_some() && self.query.fill == Fill::None {
                    let known = self.by_window.len();
                    *self.by_window.entry(window).or_default() += 1;
                    self.held_bytes += (self.by_window.len() - known) * ENTRY_BYTES;
                }
            }
            if is_there && self.query.fill != Fill::None {
                let key_bytes = key.iter().map(|name| size_of::<String>() + name.len()).sum::<usize>();
                if self.groups.insert(key) {
                    self.held_bytes += key_bytes + ENTRY_BYTES;
                }
            }
            self.check_memory()?;
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<()> {
        if self.held_bytes <= self.most_bytes {
            return Ok(());
        }
        let most = self.most_bytes >> 20;
        Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("what tells rows apart fills the {most} MiB that it may take"),
        )
        .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory"))
    }

    /// The count as a table of one row.
    pub(super) fn table(&self) -> Result<Table> {
        let kept = |groups: u64| self.query.top.as_ref().map_or(groups, |top| groups.min(top.groups as u64));
        let rows = match (self.query.every, self.span) {
            (Some(every), Some(span)) if self.query.fill != Fill::None => {
                let windows = self.windows(every, filling::reach(self.query.range, every, span))?;
                windows.saturating_mul(kept(self.groups.len() as u64))
            }
            _ if self.query.top.is_some() => self.by_window.values().map(|groups| kept(*groups)).sum(),
            _ => self.rows,
        };
        let rows = self.query.limit.map_or(rows, |limit| rows.min(limit as u64));
        let mut table = Table::with_names(&["rows"]);
        table.push([Cell::Integer(i64::try_from(rows).unwrap_or(i64::MAX))])?;
        Ok(table)
    }

    /// How many windows there are from one to another, both included.
    fn windows(&self, every: Window, (first, last): (Timestamp, Timestamp)) -> Result<u64> {
        if last < first {
            return Ok(0);
        }
        if let Some(length_ns) = every.fixed_ns() {
            // Starts are multiples, but for one that is cut at what a time can hold.
            let place = |at: Timestamp| i128::from(at.nanoseconds().div_euclid(length_ns));
            return Ok(u64::try_from(place(last) - place(first) + 1).unwrap_or(u64::MAX));
        }
        let (mut windows, mut window, mut pace) = (0, first, Pace::new(self.progress));
        while window <= last {
            windows += 1;
            pace.done(1)?;
            let next = every.end_of(window);
            if next <= window {
                break;
            }
            window = next;
        }
        Ok(windows)
    }
}
