//! The samples of one expression out of rows, and which rows pass conditions on values.

use crate::model::{Column, DeviceRows, MetricDefinition, MetricType, Presence, TextValues, Values};

use super::expression::Expression;
use super::partial::Sample;
use super::value_filter::ValueFilter;

/// The rows that pass all filters; `None` where there are no filters. A metric of integers is compared exactly. One of floats
/// is compared as floats, in blocks that still hold the integers of a time before it widened too: a merge of blocks may
/// widen them, and must not change the answer.
pub(super) fn passing(rows: &DeviceRows, filters: &[ValueFilter], metrics: &[MetricDefinition]) -> Option<Vec<u32>> {
    if filters.is_empty() {
        return None;
    }
    let mut hits = vec![0_usize; rows.len()];
    for (filter, metric) in filters.iter().zip(metrics) {
        let Some(column) = rows.column(metric.handle) else { return Some(Vec::new()) };
        let mut note = |place: usize, row: usize| {
            let passes = match (&column.values, metric.metric_type) {
                (Values::Text(texts), _) => filter.accepts_text(texts.get(place)),
                (Values::Integer(values), MetricType::Integer) => filter.accepts_integer(values[place]),
                (values, _) => number(values, place).is_some_and(|value| filter.accepts(value)),
            };
            if passes {
                hits[row] += 1;
            }
        };
        match &column.presence {
            Presence::All => (0..rows.len()).for_each(|row| note(row, row)),
            Presence::Positions(positions) => {
                positions.iter().enumerate().for_each(|(place, row)| note(place, *row as usize))
            }
        }
    }
    let all = |(row, hit): (usize, &usize)| (*hit == filters.len()).then_some(row as u32);
    Some(hits.iter().enumerate().filter_map(all).collect())
}

/// A value as a number; `None` for text.
pub(super) fn number(values: &Values, place: usize) -> Option<f64> {
    match values {
        Values::Float(values) => Some(values[place]),
        Values::Integer(values) => Some(values[place] as f64),
        Values::Boolean(values) => Some(f64::from(u8::from(values[place]))),
        Values::Text(_) => None,
    }
}

/// The samples of one expression: instants and values, and whole numbers where the metric has them. A text counts as 1.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) times: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) integers: Option<Vec<i64>>,
    pub(super) texts: Option<TextValues>,
}

impl Samples {
    /// A sample that is not NaN.
    pub(super) fn known(&self, place: usize) -> Option<Sample> {
        let integer = self.integers.as_ref().map_or(0, |integers| integers[place]);
        let sample = Sample { time: self.times[place], value: self.values[place], integer };
        (!sample.value.is_nan()).then_some(sample)
    }

    /// The last sample among some places that is not NaN.
    pub(super) fn last_known(&self, mut places: std::ops::Range<usize>) -> Option<Sample> {
        places.rfind(|place| !self.values[*place].is_nan()).and_then(|place| self.known(place))
    }

    /// Takes them out of rows: of the rows kept, those at which all metrics of the expression have a value.
    pub(super) fn of(
        rows: &DeviceRows,
        expression: &Expression,
        operands: &[MetricDefinition],
        kept: Option<&[u32]>,
    ) -> Self {
        if let [metric] = operands
            && expression.is_metric()
        {
            return rows.column(metric.handle).map(|column| Self::of_column(rows, column, kept)).unwrap_or_default();
        }
        let columns: Option<Vec<_>> = operands.iter().map(|metric| rows.column(metric.handle)).collect();
        let Some(columns) = columns else { return Self::default() };
        let all: Vec<u32>;
        let places = match kept {
            Some(kept) => kept,
            None => {
                all = (0..rows.len() as u32).collect();
                &all
            }
        };
        let mut samples = Self::default();
        let mut operands = Vec::with_capacity(columns.len());
        for row in places {
            operands.clear();
            for column in &columns {
                operands
                    .extend(column.presence.value_place(*row as usize).and_then(|place| number(&column.values, place)));
            }
            if operands.len() == columns.len() {
                samples.times.push(rows.times[*row as usize]);
                samples.values.push(expression.value(&operands));
            }
        }
        samples
    }

    fn of_column(rows: &DeviceRows, column: &Column, kept: Option<&[u32]>) -> Self {
        // Rows of the samples, and the places of their values.
        let (rows_of, places): (Vec<u32>, Vec<usize>) = match kept {
            Some(kept) => {
                let found =
                    kept.iter().filter_map(|row| column.presence.value_place(*row as usize).map(|place| (*row, place)));
                found.unzip()
            }
            None => match &column.presence {
                Presence::All => ((0..rows.len() as u32).collect(), (0..rows.len()).collect()),
                Presence::Positions(positions) => (positions.clone(), (0..positions.len()).collect()),
            },
        };
        let times = rows_of.iter().map(|row| rows.times[*row as usize]).collect();
        let integers: Option<Vec<i64>> = match &column.values {
            Values::Integer(values) => Some(places.iter().map(|place| values[*place]).collect()),
            Values::Boolean(values) => Some(places.iter().map(|place| i64::from(values[*place])).collect()),
            _ => None,
        };
        let values = match &column.values {
            Values::Float(values) => places.iter().map(|place| values[*place]).collect(),
            Values::Text(_) => vec![1.0; places.len()],
            _ => integers.iter().flatten().map(|value| *value as f64).collect(),
        };
        let texts = match &column.values {
            Values::Text(texts) => {
                let codes = places.iter().map(|place| texts.codes[*place]).collect();
                Some(TextValues { dictionary: texts.dictionary.clone(), codes })
            }
            _ => None,
        };
        Self { times, values, integers, texts }
    }
}
