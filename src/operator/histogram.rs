//! Histograms: how many values of a metric lie in each of some bins, by group and window, one row a bin.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::scan::{Block, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{Timestamp, Window};

use super::aggregate::Aggregate;
use super::answer::{behind_groups, compare_keys};
use super::bins::Bins;
use super::cohort::{self, GroupKey};
use super::explain::Explain;
use super::query::{Query, narrowed_as_its_query};
use super::run::DeviceRun;
use super::{Expression, looks, passes, prepared, query_snapshot};

/// A histogram of a metric.
#[derive(Debug, Clone)]
pub struct Histogram {
    query: Query,
    bins: Bins,
}

impl Histogram {
    /// Of a metric, or arithmetic of metrics.
    #[must_use]
    pub fn new(metric: Expression, bins: Bins) -> Self {
        Self { query: Query::expressions([metric]).aggregate([Aggregate::Histogram]), bins }
    }

    /// One histogram per window.
    #[must_use]
    pub fn every(mut self, window: Window) -> Self {
        self.query = self.query.every(window);
        self
    }
}

narrowed_as_its_query!(Histogram);

impl Store {
    /// Counts the values in each bin at this moment: group columns and `window` (named and ordered as by [`Store::query`]), `bin_from` (in),
    /// `bin_to` (out), `count`. Each group and window that has values has all bins, those of no value too, between two that count what lies
    /// below the first edge (its `bin_from` is null) and what lies at the last or above (its `bin_to` is null). NaN are in none.
    ///
    /// ```
    /// use fleetlog::operator::{Expression, Histogram};
    /// use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// for (device, power) in [("a", 3.0), ("b", 10.0), ("c", 15.0), ("d", 20.0)] {
    ///     batch.reading(device, Timestamp::parse("2025-06-15")?).float("power_w", power);
    /// }
    /// store.write(batch)?;
    /// let table = store.histogram(&Histogram::new(Expression::metric("power_w"), "0:20:2".parse()?))?;
    /// let counts: Vec<&Cell> = table.rows().iter().map(|row| &row[2]).collect();
    /// assert_eq!(counts, [0, 1, 2, 1].map(Cell::Integer).iter().collect::<Vec<_>>()); // ..0, 0..10, 10..20, 20..
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::query`]; [`ErrorKind::InvalidInput`] for bins that hold nothing, [`ErrorKind::LimitExceeded`] for more than 10,000 of them.
    pub fn histogram(&self, histogram: &Histogram) -> Result<Table> {
        self.at_a_moment(|snapshot| self.histogram_at(snapshot, histogram, None).map(|(table, _)| table))
    }

    /// Counts on a snapshot of this store.
    ///
    /// # Errors
    /// As [`Store::histogram`]; [`ErrorKind::Cancelled`], [`ErrorKind::SnapshotExpired`].
    pub fn histogram_at(
        &self,
        snapshot: &Snapshot,
        histogram: &Histogram,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let started = Instant::now();
        histogram.bins.check()?;
        let mut query = histogram.query.distinct(|name| snapshot.catalog().metric(name).is_some())?;
        let prepared = prepared::Prepared::new(snapshot, &query)?;
        let (unit, whole) = (prepared.unit(0), prepared.is_whole(0));
        drop(prepared);
        let mut counts = Counts { found: Vec::new(), left_bytes: self.options().memory_bytes / 8 * 5 };
        let counters = ScanCounters::default();
        let threads = self.install(rayon::current_num_threads);
        let planned = Instant::now();
        query.bins = match histogram.bins {
            Bins::Width(_) => match extremes(self, snapshot, &query, (&counters, progress))? {
                Some(extremes) => Some(histogram.bins.cut(Some(extremes), whole)?),
                None => {
                    counters.count_segments(snapshot, query.range);
                    let explain = Explain::of(&counters, started, planned, threads);
                    return Ok((Table::new(columns(&query, unit)), explain));
                }
            },
            _ => Some(histogram.bins.cut(None, whole)?),
        };
        let prepared = prepared::Prepared::new(snapshot, &query)?;
        let execution = passes::Execution::new(self, &prepared, snapshot, (&counters, progress));
        self.install(|| {
            execution.run(&mut |groups| {
                groups.into_iter().try_for_each(|(key, list)| {
                    let (windows, parts, _) = list.into_parts();
                    windows.into_iter().zip(&parts).try_for_each(|(window, part)| match part.bins() {
                        Some(bins) => counts.take(&key, window, bins.counts()),
                        None => Ok(()),
                    })
                })
            })
        })?;
        let scanned = Instant::now();
        let mut table = Table::new(columns(&query, unit));
        counts.give(&query, &mut table, progress)?;
        let explain = Explain::new(&counters, planned - started, scanned - planned, scanned.elapsed(), threads);
        Ok((table, explain))
    }
}

/// The least and the greatest value of a question, whatever its groups and windows.
fn extremes(
    store: &Store,
    snapshot: &Snapshot,
    query: &Query,
    (counters, progress): (&ScanCounters, Option<&Progress>),
) -> Result<Option<(f64, f64)>> {
    let mut whole = query.clone().aggregate([Aggregate::Min, Aggregate::Max]).by(Vec::<String>::new());
    whole.every = None;
    // What is read for it is work of the histogram; its segments are the same.
    let looked_at = ScanCounters::default();
    let (table, _) = query_snapshot(store, snapshot, &whole, (&looked_at, progress))?;
    counters.add_reads(&looked_at);
    Ok(table.rows().first().and_then(|row| match (&row[0], &row[1]) {
        (Cell::Float(least), Cell::Float(greatest)) => Some((*least, *greatest)),
        (Cell::Integer(least), Cell::Integer(greatest)) => Some(around((*least, *greatest))),
        _ => None,
    }))
}

/// Floats at or around two whole numbers, which may lie between floats.
fn around((least, greatest): (i64, i64)) -> (f64, f64) {
    let (below, above) = (least as f64, greatest as f64);
    let is_above = below as i128 > i128::from(least);
    let is_below = (above as i128) < i128::from(greatest);
    (if is_above { below.next_down() } else { below }, if is_below { above.next_up() } else { above })
}

/// Counts by group and window.
struct Counts {
    found: Vec<(Arc<GroupKey>, Timestamp, Box<[u64]>)>,
    left_bytes: usize,
}

impl Counts {
    fn take(&mut self, key: &Arc<GroupKey>, window: Timestamp, counts: &[u64]) -> Result<()> {
        if counts.iter().all(|count| *count == 0) {
            return Ok(());
        }
        // Each bin becomes a row of the answer.
        let row_bytes = size_of::<Vec<Cell>>() + (key.len() + 4) * size_of::<Cell>() + 16;
        let texts: usize = key.iter().map(|text| text.len() + 24).sum();
        self.left_bytes = self.left_bytes.checked_sub(counts.len() * (row_bytes + texts)).ok_or_else(|| {
            Error::new(
                ErrorKind::LimitExceeded,
                "the bins of all groups and windows pass the memory that they may take",
            )
            .advise("ask for fewer bins, longer windows, fewer groups or a shorter time, or allow more memory")
        })?;
        self.found.push((Arc::clone(key), window, counts.into()));
        Ok(())
    }

    fn give(mut self, query: &Query, table: &mut Table, progress: Option<&Progress>) -> Result<()> {
        let Some(edges) = &query.bins else { return Ok(()) };
        looks::sort_by(&mut self.found, progress, |a, b| compare_keys(&a.0, &b.0).then_with(|| a.1.cmp(&b.1)))?;
        for (key, window, counts) in self.found {
            looks::look_before(progress, counts.len())?;
            let names: Vec<Cell> = cohort::cells(&key).collect();
            for ((from, to), count) in edges.bounds().zip(counts) {
                let group = names.iter().cloned();
                let window = query.every.map(|_| Cell::Time(window));
                let bin = [from, to, Cell::Integer(count as i64)];
                table.push(group.chain(window).chain(bin))?;
            }
        }
        Ok(())
    }
}

fn columns(query: &Query, unit: Option<String>) -> Vec<TableColumn> {
    let column = |name: &str, unit: Option<String>| TableColumn { name: name.to_owned(), unit };
    let window = query.every.map(|_| column("window", None));
    let bins = [column("bin_from", unit.clone()), column("bin_to", unit), column("count", None)];
    behind_groups(&query.by, window.into_iter().chain(bins).collect())
}

impl DeviceRun<'_> {
    /// Counts a block by its statistics: `false`, and nothing added, where its values lie in different bins.
    pub(super) fn binned(&mut self, block: &Block, stretch: usize, window: Timestamp) -> Result<bool> {
        let prepared = self.work.prepared;
        let whole = prepared.query.statistics && prepared.query.filters.is_empty() && prepared.alignment.is_none();
        if !whole || !prepared.expressions[0].is_metric() {
            return Ok(false);
        }
        let Some(known) = self.work.scan.statistics(block, prepared.operands[0][0].handle)? else { return Ok(true) };
        let added = self.change_part((stretch, window), 0, |part, _| part.add_binned(&known));
        self.work.scan.note_statistics(u64::from(added));
        Ok(added)
    }
}
