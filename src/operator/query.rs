//! A question to a store, and how to ask it.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::AttributeValue;
use crate::time::{TimeRange, Timestamp, Window};

use super::aggregate::Aggregate;
use super::bins::Edges;
use super::expression::Expression;
use super::top::Top;
use super::value_filter::ValueFilter;

/// What stands in windows without samples, from the first window of the range to its last; where the range has no end, from the
/// first window that any group has, or to the last. Each metric is filled by itself. Counts are 0 there. Sums, deltas, rates and
/// histograms are never filled with the values of other windows: nothing was added in that window. Filling is the same whether statistics,
/// rollups or values answered for the windows that have samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// No row.
    #[default]
    None,
    /// A row of zeros: nothing was there, so that sums, deltas and rates are 0 too, and the first and last of booleans false. Histograms and texts stay empty.
    Zero,
    /// A row without values.
    Null,
    /// The values of the window before.
    Previous,
    /// A straight line from the window before to the one after; whole numbers become floats, texts, and the first and last of booleans, stay out.
    Linear,
}

impl FromStr for Fill {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "zero" => Ok(Self::Zero),
            "null" => Ok(Self::Null),
            "previous" => Ok(Self::Previous),
            "linear" => Ok(Self::Linear),
            _ => {
                Err(Error::new(ErrorKind::InvalidInput, format!("'{}' is no way to fill gaps", text.escape_default()))
                    .advise("use none, null, zero, previous or linear"))
            }
        }
    }
}

/// A condition on an attribute at the time of a sample: one of some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeFilter {
    /// The attribute; `device` stands for the device's id.
    pub attribute: String,
    /// The values; numbers match attributes that are numbers too.
    pub values: Vec<String>,
}

/// Begins a condition on an attribute: `attribute("model").is("A")`.
#[must_use]
pub fn attribute(name: impl Into<String>) -> AttributeFilter {
    AttributeFilter { attribute: name.into(), values: Vec::new() }
}

impl AttributeFilter {
    /// The attribute has this value (or one named before).
    #[must_use]
    pub fn is(mut self, value: impl Into<String>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The attribute has one of these values.
    #[must_use]
    pub fn is_any<V: Into<String>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    /// Whether a value is one of those wanted.
    pub(super) fn accepts(&self, value: Option<&AttributeValue>) -> bool {
        value.is_some_and(|value| self.wanted().contains(value))
    }

    /// The values as an attribute may have them: as text, and as a number where they are one.
    pub(super) fn wanted(&self) -> Vec<AttributeValue> {
        let texts = self.values.iter().map(|value| AttributeValue::Text(value.clone()));
        let numbers = self.values.iter().filter_map(|value| value.parse::<f64>().ok());
        // Attributes are compared bit by bit, and a zero has two forms.
        let numbers = numbers.flat_map(|number| if number == 0.0 { vec![0.0, -0.0] } else { vec![number] });
        let numbers = numbers.map(AttributeValue::Number);
        texts.chain(numbers).collect()
    }
}

/// A question: metrics, aggregates, and how time and the fleet are cut.
#[derive(Debug, Clone)]
pub struct Query {
    pub(super) metrics: Vec<Expression>,
    pub(super) aggregates: Vec<Aggregate>,
    pub(super) every: Option<Window>,
    pub(super) by: Vec<String>,
    pub(super) attributes: Vec<AttributeFilter>,
    pub(super) filters: Vec<ValueFilter>,
    pub(super) range: TimeRange,
    pub(super) fill: Fill,
    /// A column, and whether it falls.
    pub(super) order: Option<(String, bool)>,
    pub(super) limit: Option<usize>,
    pub(super) statistics: bool,
    /// How old a sample of another clock may be; `None`: only those of the same instant count.
    pub(super) tolerance_ns: Option<i64>,
    pub(super) top: Option<Top>,
    /// How the values of a histogram are cut; by powers of two without.
    pub(super) bins: Option<Arc<Edges>>,
    /// Only how many rows there are.
    pub(super) counts_rows: bool,
}

impl Query {
    /// About a metric, over all time and the whole fleet; the mean, until [`Query::aggregate`] says otherwise.
    #[must_use]
    pub fn metric(name: &str) -> Self {
        Self::expressions([Expression::metric(name)])
    }

    /// About several metrics, or arithmetic of metrics. One that is named twice is answered once.
    #[must_use]
    pub fn expressions(metrics: impl IntoIterator<Item = Expression>) -> Self {
        Self {
            metrics: metrics.into_iter().collect(),
            aggregates: vec![Aggregate::Mean],
            every: None,
            by: Vec::new(),
            attributes: Vec::new(),
            filters: Vec::new(),
            range: TimeRange::ALL,
            fill: Fill::None,
            order: None,
            limit: None,
            statistics: true,
            tolerance_ns: None,
            top: None,
            bins: None,
            counts_rows: false,
        }
    }

    /// The same question with names resolved, and what is named twice, as a metric and in quotes, only once.
    pub(super) fn distinct(&self, is_metric: impl Fn(&str) -> bool) -> Result<Self> {
        let mut metrics: Vec<Expression> = Vec::with_capacity(self.metrics.len());
        for named in &self.metrics {
            let found = named.resolve(&is_metric)?;
            match metrics.iter().find(|other| other.text() == found.text()) {
                None => metrics.push(found),
                Some(other) if *other == found => {}
                Some(other) => {
                    let message = format!("a metric and arithmetic are both called '{}'", other.text().escape_debug());
                    return Err(Error::new(ErrorKind::InvalidInput, message).advise("ask for one at a time"));
                }
            }
        }
        Ok(Self { metrics, ..self.clone() })
    }

    /// Which aggregates. One that is named twice, as `p50` and `p50.0`, is answered once.
    #[must_use]
    pub fn aggregate(mut self, aggregates: impl IntoIterator<Item = Aggregate>) -> Self {
        self.aggregates = first_of_each(aggregates, Aggregate::to_string);
        self
    }

    /// One answer per window.
    #[must_use]
    pub fn every(mut self, window: Window) -> Self {
        self.every = Some(window);
        self
    }

    /// One answer per value of these attributes, as they were at the time of each sample; `device` is the device's id. One that is
    /// named twice is answered once.
    #[must_use]
    pub fn by<A: Into<String>>(mut self, attributes: impl IntoIterator<Item = A>) -> Self {
        self.by = first_of_each(attributes.into_iter().map(Into::into), Clone::clone);
        self
    }

    /// Only samples of devices that had an attribute then; repeats as AND.
    #[must_use]
    pub fn filter(mut self, filter: AttributeFilter) -> Self {
        self.attributes.push(filter);
        self
    }

    /// Only instants at which a metric passes; repeats as AND.
    #[must_use]
    pub fn filter_value(mut self, filter: ValueFilter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Only samples from an instant (in) to another (out).
    #[must_use]
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.range = TimeRange::new(from, to);
        self
    }

    /// What stands in windows without samples.
    #[must_use]
    pub fn fill(mut self, fill: Fill) -> Self {
        self.fill = fill;
        self
    }

    /// Rows in rising order of a column of the answer, groups that are numbers as numbers; rows without a value come last.
    #[must_use]
    pub fn order(mut self, column: impl Into<String>) -> Self {
        self.order = Some((column.into(), false));
        self
    }

    /// Rows in falling order of a column of the answer; rows without a value come last.
    #[must_use]
    pub fn order_falling(mut self, column: impl Into<String>) -> Self {
        self.order = Some((column.into(), true));
        self
    }

    /// At most so many rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Whether statistics may answer for values (they do by default): without them every value is read.
    #[must_use]
    pub fn statistics(mut self, allowed: bool) -> Self {
        self.statistics = allowed;
        self
    }
}

/// The builders that narrow a question which asks a [`Query`]: those of the query, under the same names.
macro_rules! narrowed_as_its_query {
    ($question:ty) => {
        impl $question {
            /// One answer per value of these attributes, as they were at the time of each sample.
            #[must_use]
            pub fn by<A: Into<String>>(mut self, attributes: impl IntoIterator<Item = A>) -> Self {
                self.query = self.query.by(attributes);
                self
            }

            /// Only samples of devices that had an attribute then; repeats as AND.
            #[must_use]
            pub fn filter(mut self, filter: $crate::operator::AttributeFilter) -> Self {
                self.query = self.query.filter(filter);
                self
            }

            /// Only instants at which a metric passes; repeats as AND.
            #[must_use]
            pub fn filter_value(mut self, filter: $crate::operator::ValueFilter) -> Self {
                self.query = self.query.filter_value(filter);
                self
            }

            /// Only samples from an instant (in) to another (out).
            #[must_use]
            pub fn between(mut self, from: $crate::time::Timestamp, to: $crate::time::Timestamp) -> Self {
                self.query = self.query.between(from, to);
                self
            }

            /// Aligns metrics of different clocks, as [`Query::tolerance_ns`].
            #[must_use]
            pub fn tolerance_ns(mut self, tolerance_ns: i64) -> Self {
                self.query = self.query.tolerance_ns(tolerance_ns);
                self
            }

            /// Whether statistics may answer for values (they do by default).
            #[must_use]
            pub fn statistics(mut self, allowed: bool) -> Self {
                self.query = self.query.statistics(allowed);
                self
            }
        }
    };
}
pub(super) use narrowed_as_its_query;

/// The first one under each name, in their order.
pub(super) fn first_of_each<T>(all: impl IntoIterator<Item = T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let mut named = BTreeSet::new();
    all.into_iter().filter(|one| named.insert(name(one))).collect()
}
