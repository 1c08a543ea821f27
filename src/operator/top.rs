//! The groups that have most of something, or least: of the answer, or of each of its windows.
//!
//! Guarantees: which rows are kept hangs on the answer alone, not on how it was computed: by the value, then in the order of groups; rows
//! without a value come last, and before them those whose value is NaN. Where nothing is filled, rows that can not be among them are dropped
//! while the answer grows, so that about twice as many are held as are kept.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Cell;
use crate::store::Progress;

use super::answer::{Finished, compare, compare_keys};
use super::cohort::GroupKey;
use super::looks;
use super::query::Query;

/// Rows below which none are dropped.
const LEAST_ROWS: usize = 1_024;

/// Which groups are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Top {
    pub(super) groups: usize,
    /// The least instead of the greatest.
    pub(super) bottom: bool,
    /// The column that says it; the first of values by default.
    pub(super) column: Option<String>,
}

impl Query {
    /// Only the groups that have most, at most so many; of each window, where there are windows. Which column says it is
    /// told by [`Query::rank_by`], and is the first of values without. Of equal ones the first group counts; NaN and missing values come
    /// last. Rows come by window, then by rank, unless an order is asked for.
    ///
    /// ```
    /// use fleetlog::operator::{Aggregate, Query};
    /// use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// for (device, power) in [("a", 3.0), ("b", 7.0), ("c", 5.0)] {
    ///     batch.reading(device, Timestamp::parse("2025-06-15")?).float("power_w", power);
    /// }
    /// store.write(batch)?;
    /// let most = store.query(Query::metric("power_w").aggregate([Aggregate::Max]).by(["device"]).top(2))?;
    /// let devices: Vec<&Cell> = most.rows().iter().map(|row| &row[0]).collect();
    /// assert_eq!(devices, [&Cell::Text("b".into()), &Cell::Text("c".into())]);
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    #[must_use]
    pub fn top(self, groups: usize) -> Self {
        self.ranked(groups, false)
    }

    /// Only the groups that have least, as [`Query::top`].
    #[must_use]
    pub fn bottom(self, groups: usize) -> Self {
        self.ranked(groups, true)
    }

    /// The column by which [`Query::top`] and [`Query::bottom`] choose: as the answer has it, `power_w_max`.
    #[must_use]
    pub fn rank_by(mut self, column: impl Into<String>) -> Self {
        self.top.get_or_insert_default().column = Some(column.into());
        self
    }

    fn ranked(mut self, groups: usize, bottom: bool) -> Self {
        let top = self.top.get_or_insert_default();
        (top.groups, top.bottom) = (groups, bottom);
        self
    }
}

/// How rows of an answer are ranked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranking {
    groups: usize,
    bottom: bool,
    place: usize,
    /// How many rows may be held before some are dropped.
    rows_most: usize,
}

impl Ranking {
    /// By the column at a place.
    pub(super) fn new(top: &Top, place: usize) -> Self {
        Self { groups: top.groups, bottom: top.bottom, place, rows_most: LEAST_ROWS }
    }

    /// Whether so many rows are enough to drop some.
    pub(super) fn is_passed(&self, rows: usize) -> bool {
        rows > self.rows_most
    }

    /// Keeps the best rows of each window, by window, then rank; the cells of all rows and the groups are beside them.
    pub(super) fn keep(
        &mut self,
        (rows, cells, groups): (&mut Vec<Finished>, &[Cell], &[Arc<GroupKey>]),
        progress: Option<&Progress>,
    ) -> Result<()> {
        looks::sort_by(rows, progress, |a, b| {
            let by_rank = || rank(&cells[a.row + self.place], &cells[b.row + self.place], self.bottom);
            a.window.cmp(&b.window).then_with(by_rank).then_with(|| compare_keys(&groups[a.group], &groups[b.group]))
        })?;
        let (mut window, mut count) = (None, 0);
        rows.retain(|row| {
            count = if window == Some(row.window) { count + 1 } else { 1 };
            window = Some(row.window);
            count <= self.groups
        });
        self.rows_most = (2 * rows.len()).max(LEAST_ROWS);
        Ok(())
    }
}

/// The best first.
fn rank(a: &Cell, b: &Cell, bottom: bool) -> Ordering {
    let class = |cell: &Cell| match cell {
        Cell::Null => 2,
        Cell::Float(value) if value.is_nan() => 1,
        _ => 0,
    };
    let by_value = || match (a, b) {
        // Zeros are equal whatever their sign.
        (Cell::Float(a), Cell::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        _ => compare(a, b),
    };
    class(a).cmp(&class(b)).then_with(|| if bottom { by_value() } else { by_value().reverse() })
}

/// Checks what is asked for.
pub(super) fn check(top: &Top) -> Result<()> {
    if top.groups == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "the top 0 groups are none, so that there is no answer")
            .advise("ask for 1 or more"));
    }
    Ok(())
}
