//! A query whose names are found: what can be wrong with it is known before anything is read.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricDefinition, MetricHandle, MetricType, Nature};
use crate::store::{Snapshot, SpareLists};
use crate::time::{DAY_NS, TimeRange, Timestamp, Window};

use super::aggregate::Needs;
use super::align::Alignment;
use super::bins::Edges;
use super::cohort;
use super::expression::Expression;
use super::packed_run;
use super::query::{Fill, Query};

/// So many devices or fewer are too few to keep the cores of a machine busy.
const FEW_DEVICES: usize = 4;
/// Runs of pieces that one of few devices is worked on in.
const DEVICE_RUNS: usize = 8;

/// A query whose names are found.
pub(super) struct Prepared<'a> {
    pub(super) query: &'a Query,
    /// What is asked about, with names resolved.
    pub(super) expressions: Vec<Expression>,
    /// For each expression the metrics that it names.
    pub(super) operands: Vec<Vec<MetricDefinition>>,
    /// The metrics that are compared, in the order of the filters.
    pub(super) filters: Vec<MetricDefinition>,
    pub(super) needs: Needs,
    /// All metrics that are read.
    pub(super) metrics: Vec<MetricHandle>,
    /// Whether statistics may answer.
    pub(super) statistics: bool,
    /// Whether cells of rollups may: they are days, of which shorter windows hold none.
    pub(super) rollups: bool,
    /// Whether a block can be passed over of which statistics say that no row passes the conditions. The growth between samples, and
    /// samples of other clocks, hang also on rows that do not pass.
    pub(super) filters_prune: bool,
    /// Whether blocks may answer as they are stored.
    pub(super) adds_up: bool,
    /// Metrics of different clocks that are read together.
    pub(super) alignment: Option<Alignment>,
    /// Room for lists of values.
    pub(super) spare: Arc<SpareLists>,
}

/// The metrics that an expression names.
fn operands(snapshot: &Snapshot, query: &Query, expression: &Expression) -> Result<Vec<MetricDefinition>> {
    let find = |name: &String| metric(snapshot, name).cloned();
    let found = expression.names().iter().map(find).collect::<Result<Vec<_>>>()?;
    if let Some(text) = found.iter().find(|metric| metric.metric_type == MetricType::Text)
        && !(expression.is_metric() && query.aggregates.iter().all(|aggregate| aggregate.is_of_text()))
    {
        return Err(Error::new(
            ErrorKind::TypeMismatch,
            format!("metric '{}' is text: it has only count, count_nan, first and last", text.name),
        ));
    }
    Ok(found)
}

impl<'a> Prepared<'a> {
    /// Finds the names of a query.
    pub(super) fn new(snapshot: &Snapshot, query: &'a Query) -> Result<Self> {
        if query.metrics.is_empty() || query.aggregates.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "a query needs a metric and an aggregate"));
        }
        cohort::check_range(query.range)?;
        if query.fill != Fill::None && query.every.is_none() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "windows without samples are filled, and there are no windows",
            )
            .advise("add --every, or leave --fill out"));
        }
        cohort::check_attributes(snapshot, &query.by)?;
        let is_metric = |name: &str| snapshot.catalog().metric(name).is_some();
        let expressions: Vec<Expression> =
            query.metrics.iter().map(|named| named.resolve(is_metric)).collect::<Result<_>>()?;
        let operands: Vec<Vec<MetricDefinition>> =
            expressions.iter().map(|expression| operands(snapshot, query, expression)).collect::<Result<_>>()?;
        let filters: Vec<MetricDefinition> =
            query.filters.iter().map(|filter| metric(snapshot, &filter.metric).cloned()).collect::<Result<_>>()?;
        query.filters.iter().zip(&filters).try_for_each(|(filter, metric)| filter.check(metric.metric_type))?;
        let metrics = operands.iter().flatten().chain(&filters).map(|metric| metric.handle).collect();
        let needs = Needs::of(&query.aggregates);
        let reads_text = needs.ends && operands.iter().flatten().any(|metric| metric.metric_type == MetricType::Text);
        let statistics = query.statistics
            && needs.statistics_suffice()
            && query.filters.is_empty()
            && !reads_text
            && expressions.iter().all(Expression::is_metric);
        let alignment = Alignment::of(query, &operands, &filters)?;
        if alignment.is_some() && needs.growth && !expressions.iter().all(Expression::is_metric) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "delta and rate of arithmetic are told of samples of one instant",
            )
            .advise("ask for them without a tolerance, or of a metric by itself"));
        }
        let windows_are_short = query.every.and_then(Window::fixed_ns).is_some_and(|length_ns| length_ns < DAY_NS);
        let rollups = statistics && !needs.whole_blocks && !windows_are_short;
        let filters_prune = query.statistics && !query.filters.is_empty() && !needs.growth && alignment.is_none();
        let adds_up = alignment.is_none()
            && !needs.growth
            && !needs.slope
            && expressions.iter().all(Expression::is_metric)
            && operands.iter().flatten().chain(&filters).all(|metric| packed_run::adds_up(metric.metric_type));
        let spare = Arc::clone(snapshot.spare_lists());
        let prepared = Self {
            query,
            expressions,
            operands,
            filters,
            needs,
            metrics,
            statistics,
            rollups,
            filters_prune,
            adds_up,
            alignment,
            spare,
        };
        prepared.check_order()?;
        Ok(prepared)
    }

    /// An order by what is not a column is noticed before anything is read.
    fn check_order(&self) -> Result<()> {
        self.query.top.as_ref().map_or(Ok(()), super::top::check)?;
        let columns = super::answer::columns(self);
        let named = self.query.order.as_ref().map(|(name, _)| name);
        let mut named = named.into_iter().chain(self.query.top.as_ref().and_then(|top| top.column.as_ref()));
        let Some(name) = named.find(|name| !columns.iter().any(|column| column.name == **name)) else { return Ok(()) };
        let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        Err(Error::new(ErrorKind::InvalidInput, format!("the answer has no column '{}'", name.escape_debug()))
            .advise(format!("use {}", known.join(", "))))
    }

    /// Where samples before a range are looked for.
    pub(super) fn earlier(&self, from: Timestamp) -> TimeRange {
        match &self.alignment {
            _ if self.needs.growth => TimeRange::new(Timestamp::MIN, from),
            Some(alignment) => alignment.before(from),
            None => TimeRange::new(Timestamp::MIN, Timestamp::MIN),
        }
    }

    /// In how many runs the pieces of a device are worked on, where there are so many devices: on several cores only where nothing is handed
    /// from piece to piece, and merging takes no more than it saves.
    pub(super) fn runs_of_device(&self, devices: usize) -> usize {
        let hands_on = self.needs.growth || self.alignment.is_some();
        let few = if self.needs.values { 1 } else { FEW_DEVICES };
        if hands_on || devices > few { 1 } else { DEVICE_RUNS }
    }

    /// The type of an expression's values.
    pub(super) fn metric_type(&self, place: usize) -> MetricType {
        if self.expressions[place].is_metric() { self.operands[place][0].metric_type } else { MetricType::Float }
    }

    /// Whether an expression's values are whole numbers.
    pub(super) fn is_whole(&self, place: usize) -> bool {
        matches!(self.metric_type(place), MetricType::Integer | MetricType::Boolean)
    }

    /// Whether values of which these are the whole numbers' extremes have to be counted in bins as such: floats do not tell them apart.
    pub(super) fn bins_ask_for_wholes(&self, place: usize, extremes: (i64, i64)) -> bool {
        self.query.bins.is_some() && self.is_whole(place) && !Edges::floats_suffice(extremes)
    }

    /// The unit of an expression's values.
    pub(super) fn unit(&self, place: usize) -> Option<String> {
        if self.expressions[place].is_metric() { self.operands[place][0].unit.clone() } else { None }
    }

    /// Whether an expression grows without end: only a metric by itself can be a counter, arithmetic is a gauge.
    pub(super) fn nature(&self, place: usize) -> Nature {
        if self.expressions[place].is_metric() { self.operands[place][0].nature } else { Nature::Gauge }
    }
}

/// A metric by name, or an error that lists what there is.
pub(super) fn metric<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s MetricDefinition> {
    snapshot.catalog().metric(name).ok_or_else(|| {
        let known: Vec<&str> = snapshot.catalog().metrics().map(|metric| metric.name.as_str()).take(20).collect();
        let error = Error::new(ErrorKind::NotFound, format!("there is no metric '{}'", name.escape_default()));
        error.advise(if known.is_empty() {
            "the store has no metrics".to_owned()
        } else {
            format!("use {}", known.join(", "))
        })
    })
}
