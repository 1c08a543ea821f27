//! Trend: a line through the means of windows, by group.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::scan::ScanCounters;
use crate::store::{Progress, Snapshot, Store};
use crate::time::{DAY_NS, Timestamp, Window};

use super::aggregate::Aggregate;
use super::answer::{behind_groups, compare_keys};
use super::cohort::{self, GroupKey};
use super::explain::Explain;
use super::looks::{self, Pace};
use super::mann_kendall::{least_squares, p_value, theil_sen};
use super::partial::Partial;
use super::parts::PartList;
use super::query::{Query, narrowed_as_its_query};
use super::{Expression, passes, prepared};

/// A trend: how the mean of a metric moves from window to window, by group.
#[derive(Debug, Clone)]
pub struct Trend {
    pub(super) query: Query,
}

impl Trend {
    /// Of a metric, or arithmetic of metrics, fitted to the means of windows.
    #[must_use]
    pub fn new(metric: Expression, every: Window) -> Self {
        Self { query: Query::expressions([metric]).aggregate([Aggregate::Mean]).every(every) }
    }
}

narrowed_as_its_query!(Trend);

impl Store {
    /// Fits trends at this moment: group columns (named and ordered as by [`Store::query`]), `n` (windows that have samples), `slope_per_day` with its 95% interval
    /// `slope_low` and `slope_high` (autocorrelation taken into account), `theil_sen_per_day`, `p_value` (pre-whitened
    /// Mann-Kendall), `first_fitted`, `last_fitted`. What too few windows can not tell is null: three for a line, eight for the test.
    ///
    /// # Errors
    /// As [`Store::query`].
    pub fn trend(&self, trend: &Trend) -> Result<Table> {
        self.at_a_moment(|snapshot| self.trend_at(snapshot, trend, None).map(|(table, _)| table))
    }

    /// Fits trends on a snapshot of this store.
    ///
    /// # Errors
    /// As [`Store::query_at`].
    pub fn trend_at(
        &self,
        snapshot: &Snapshot,
        trend: &Trend,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let query = &trend.query;
        let every = query.every.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a trend needs windows"))?;
        let started = std::time::Instant::now();
        let counters = ScanCounters::default();
        let prepared = prepared::Prepared::new(snapshot, query)?;
        let planned = std::time::Instant::now();
        let memory_bytes = self.options().memory_bytes;
        let execution = passes::Execution::new(self, &prepared, snapshot, (&counters, progress));
        let mut means = Means { groups: BTreeMap::new(), left_bytes: memory_bytes / 2 };
        self.install(|| {
            execution.run(&mut |groups| groups.into_iter().try_for_each(|(key, list)| means.take(key, list)))
        })?;
        let scanned = std::time::Instant::now();
        let mut table = Table::new(columns(query, prepared.unit(0)));
        let mut groups: Vec<(Arc<GroupKey>, Vec<(Timestamp, f64)>)> = means.groups.into_iter().collect();
        groups.sort_by(|a, b| compare_keys(&a.0, &b.0));
        let rows: Vec<Result<Vec<Cell>>> = self.install(|| {
            let fitted = groups.into_par_iter().map(|(key, windows)| row(&key, windows, every, progress));
            fitted.collect()
        });
        rows.into_iter().try_for_each(|row| table.push(row?))?;
        let threads = self.install(rayon::current_num_threads);
        let explain = Explain::new(&counters, planned - started, scanned - planned, scanned.elapsed(), threads);
        Ok((table, explain))
    }
}

/// Means by group and window.
struct Means {
    groups: BTreeMap<Arc<GroupKey>, Vec<(Timestamp, f64)>>,
    left_bytes: usize,
}

impl Means {
    fn take(&mut self, key: Arc<GroupKey>, list: PartList<Timestamp>) -> Result<()> {
        let (windows, parts, _) = list.into_parts();
        let mean = |(window, part): (Timestamp, &Partial)| {
            part.mean().filter(|mean| mean.is_finite()).map(|mean| (window, mean))
        };
        let means: Vec<(Timestamp, f64)> = windows.into_iter().zip(&parts).filter_map(mean).collect();
        // A list may be twice as long as its entries are.
        let bytes = means.len() * 2 * size_of::<(Timestamp, f64)>();
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, "the windows of the trend pass the memory that they may take")
                .advise("ask for longer windows, fewer groups or a shorter time, or allow more memory")
        })?;
        if !means.is_empty() {
            self.groups.entry(key).or_default().extend(means);
        }
        Ok(())
    }
}

fn columns(query: &Query, unit: Option<String>) -> Vec<TableColumn> {
    let plain = |name: &str| TableColumn { name: name.to_owned(), unit: None };
    let per_day = unit.as_ref().map(|unit| format!("{unit}/d"));
    let with = |name: &str, unit: &Option<String>| TableColumn { name: name.to_owned(), unit: unit.clone() };
    let mut columns = vec![plain("n")];
    columns.extend(["slope_per_day", "slope_low", "slope_high", "theil_sen_per_day"].map(|name| with(name, &per_day)));
    columns.push(plain("p_value"));
    columns.extend(["first_fitted", "last_fitted"].map(|name| with(name, &unit)));
    behind_groups(&query.by, columns)
}

/// The row of a group, by the middles of its windows.
fn row(
    key: &GroupKey,
    mut windows: Vec<(Timestamp, f64)>,
    every: Window,
    progress: Option<&Progress>,
) -> Result<Vec<Cell>> {
    looks::sort_by(&mut windows, progress, |a, b| a.0.cmp(&b.0))?;
    let middle = |start: Timestamp| {
        let end = every.end_of(start);
        (start.nanoseconds() as f64 / 2.0 + end.nanoseconds() as f64 / 2.0) / DAY_NS as f64
    };
    let mut pace = Pace::new(progress);
    let start = windows.first().map_or(0.0, |(window, _)| middle(*window));
    let (mut x, mut y) = (Vec::with_capacity(windows.len()), Vec::with_capacity(windows.len()));
    for (window, mean) in windows {
        x.push(middle(window) - start);
        y.push(mean);
        pace.done(1)?;
    }
    Ok(cohort::cells(key).chain(fit(&x, &y, &mut pace)?).collect())
}

/// What is told of points, of which there is one at least; the first is at zero.
fn fit(x: &[f64], y: &[f64], pace: &mut Pace<'_>) -> Result<Vec<Cell>> {
    let line = least_squares(x, y, pace)?;
    let float = |value: Option<f64>| value.map_or(Cell::Null, Cell::Float);
    let at = |x: f64| line.map(|line| line.intercept + line.slope * x);
    let robust = if line.is_some() { theil_sen(x, y, pace)? } else { None };
    Ok(vec![
        Cell::Integer(x.len() as i64),
        float(line.map(|line| line.slope)),
        float(line.map(|line| line.low)),
        float(line.map(|line| line.high)),
        float(robust),
        float(p_value(y, pace)?),
        float(at(0.0)),
        float(at(x[x.len() - 1])),
    ])
}
