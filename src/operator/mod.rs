//! Operators: questions to a store and their answers.
//!
//! Guarantees: an answer is that of one moment, the same in every layout of the same commits; counts, minima, maxima, first,
//! last, sums of integers and samples to the bit, float sums within 1e-12 of the sum of absolute values; and the same bits on
//! any number of threads. Request, partial result and finished answer are types of their own; partial results merge.

mod aggregate;
mod align;
mod answer;
mod bins;
mod cohort;
mod column;
mod device;
mod distribution;
mod events;
mod explain;
mod expression;
mod filling;
mod fleet;
mod gaps;
mod histogram;
mod latest;
mod looks;
mod lttb;
mod mann_kendall;
mod moments;
mod outliers;
mod packed;
mod packed_run;
mod partial;
mod parts;
mod passes;
mod prepared;
mod query;
mod row_count;
mod run;
mod runs;
mod samples;
mod sketch;
mod stray;
mod top;
mod totals;
mod trend;
mod value_filter;
mod value_list;

#[cfg(test)]
mod tests_cancel;
#[cfg(test)]
mod tests_names;
#[cfg(test)]
mod tests_passes;

use std::time::Instant;

use crate::error::Result;
use crate::model::Table;
use crate::scan::ScanCounters;
use crate::store::{Progress, Snapshot, Store};

pub use crate::time::Window;
pub use aggregate::Aggregate;
pub use bins::Bins;
pub use cohort::{UnknownValue, cohort_stretches, unknown_values};
pub use device::{DevicePage, attribute_history, attribute_statements};
pub use distribution::EXACT_MAX;
pub use events::EventsRequest;
pub use explain::Explain;
pub use expression::Expression;
pub use gaps::GapsRequest;
pub use histogram::Histogram;
pub use latest::LatestRequest;
pub use outliers::OutliersRequest;
pub use query::{AttributeFilter, Fill, Query, attribute};
pub use samples::SamplesRequest;
pub use sketch::RELATIVE_ERROR;
pub use stray::{EarlyStrays, early_strays};
pub use trend::Trend;
pub use value_filter::{Comparison, ValueFilter};

impl Store {
    /// Answers a query at this moment. Columns: the attributes grouped by, `window` (its start, with windows), then
    /// `METRIC_AGGREGATE`; rows sorted by group, then window. Of a group column those that are numbers come first, in the order of
    /// numbers, then texts. No two columns have one name: a group column that is called as another is `NAME_attribute`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] for an unknown metric or attribute, [`crate::ErrorKind::InvalidInput`],
    /// [`crate::ErrorKind::TypeMismatch`], [`crate::ErrorKind::LimitExceeded`] when the answer itself passes five eighths of the
    /// memory budget, [`crate::ErrorKind::Corruption`].
    pub fn query(&self, query: Query) -> Result<Table> {
        self.at_a_moment(|snapshot| self.query_at(snapshot, &query, None).map(|(table, _)| table))
    }

    /// Answers a query on a snapshot of this store, with progress and an account of the work.
    ///
    /// # Errors
    /// As [`Store::query`]; [`crate::ErrorKind::Cancelled`], [`crate::ErrorKind::SnapshotExpired`].
    pub fn query_at(
        &self,
        snapshot: &Snapshot,
        query: &Query,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let counters = ScanCounters::default();
        query_snapshot(self, snapshot, query, (&counters, progress))
    }
}

fn query_snapshot(
    store: &Store,
    snapshot: &Snapshot,
    query: &Query,
    (counters, progress): (&ScanCounters, Option<&Progress>),
) -> Result<(Table, Explain)> {
    let started = Instant::now();
    let query = query.distinct(|name| snapshot.catalog().metric(name).is_some())?;
    let prepared = prepared::Prepared::new(snapshot, &query)?;
    let planned = Instant::now();
    let memory_bytes = store.options().memory_bytes;
    let execution = passes::Execution::new(store, &prepared, snapshot, (counters, progress));
    let (table, scanned, threads) = store.install(|| {
        if query.counts_rows {
            let mut count = row_count::RowCount::new(&prepared, memory_bytes / 8 * 5, progress);
            execution.run(&mut |groups| count.take(groups))?;
            return Ok((count.table()?, Instant::now(), rayon::current_num_threads()));
        }
        let mut answer = answer::Answer::new(&prepared, memory_bytes / 8 * 5, progress);
        execution.run(&mut |groups| answer.take(groups))?;
        let scanned = Instant::now();
        Ok::<_, crate::error::Error>((answer.table()?, scanned, rayon::current_num_threads()))
    })?;
    let explain = Explain::new(counters, planned - started, scanned - planned, scanned.elapsed(), threads);
    Ok((table, explain))
}
