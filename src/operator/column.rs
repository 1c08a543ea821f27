//! The samples of one expression out of rows, and which rows pass conditions on values.

use std::borrow::Cow;

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
    let mut kept: Option<Vec<u32>> = None;
    for (filter, metric) in filters.iter().zip(metrics) {
        let Some(column) = rows.column(metric.handle) else { return Some(Vec::new()) };
        let passes = passes(column, filter, metric.metric_type);
        let passes = |place: &usize| passes[*place];
        kept = Some(match (&kept, &column.presence) {
            (None, Presence::All) => (0..rows.len()).filter(passes).map(|row| row as u32).collect(),
            (None, Presence::Positions(positions)) => {
                (0..positions.len()).filter(passes).map(|place| positions[place]).collect()
            }
            (Some(kept), presence) => {
                let known = kept.iter().copied().zip(places_of(kept, presence));
                known.filter(|(_, place)| place.as_ref().is_some_and(passes)).map(|(row, _)| row).collect()
            }
        });
    }
    kept
}

/// Whether each value of a column passes a filter.
fn passes(column: &Column, filter: &ValueFilter, metric_type: MetricType) -> Vec<bool> {
    match (&column.values, metric_type) {
        (Values::Text(texts), _) => {
            let known: Vec<bool> = texts.dictionary.iter().map(|text| filter.accepts_text(text)).collect();
            texts.codes.iter().map(|code| known[*code as usize]).collect()
        }
        (Values::Integer(values), MetricType::Integer) => {
            values.iter().map(|value| filter.accepts_integer(*value)).collect()
        }
        (values, _) => filter.accepts_all(&numbers(values)),
    }
}

/// The place of each of some rows, which rise, among the values of a column.
fn places_of<'p>(rows: &'p [u32], presence: &'p Presence) -> impl Iterator<Item = Option<usize>> + 'p {
    let mut next = 0;
    rows.iter().map(move |row| match presence {
        Presence::All => Some(*row as usize),
        Presence::Positions(positions) => {
            while positions.get(next).is_some_and(|position| position < row) {
                next += 1;
            }
            positions.get(next).filter(|position| *position == row).map(|_| next)
        }
    })
}

/// Values as numbers, as they are in the column; of text there are none.
fn numbers(values: &Values) -> Cow<'_, [f64]> {
    match values {
        Values::Float(values) => Cow::Borrowed(values),
        Values::Integer(values) => values.iter().map(|value| *value as f64).collect(),
        Values::Boolean(values) => values.iter().map(|value| f64::from(u8::from(*value))).collect(),
        Values::Text(_) => Cow::Borrowed(&[]),
    }
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
        let Some(columns) = columns.filter(|columns| !columns.iter().any(|column| is_text(column))) else {
            return Self::default();
        };
        let everywhere = columns.iter().all(|column| column.presence == Presence::All);
        if everywhere && kept.is_none() {
            let values: Vec<_> = columns.iter().map(|column| numbers(&column.values)).collect();
            let values = expression.values(&values, rows.len());
            return Self { times: rows.times.clone(), values, ..Self::default() };
        }
        let mut common: Vec<u32> = kept.map_or_else(|| (0..rows.len() as u32).collect(), <[u32]>::to_vec);
        for column in &columns {
            let known: Vec<bool> = places_of(&common, &column.presence).map(|place| place.is_some()).collect();
            let mut known = known.into_iter();
            common.retain(|_| known.next().unwrap_or_default());
        }
        let of_common = |column: &&Column| {
            let all = numbers(&column.values);
            places_of(&common, &column.presence).flatten().map(|place| all[place]).collect::<Cow<'_, [f64]>>()
        };
        let values: Vec<_> = columns.iter().map(of_common).collect();
        let values = expression.values(&values, common.len());
        Self { times: common.iter().map(|row| rows.times[*row as usize]).collect(), values, ..Self::default() }
    }

    fn of_column(rows: &DeviceRows, column: &Column, kept: Option<&[u32]>) -> Self {
        // Rows of the samples, and the places of their values.
        let (rows_of, places): (Vec<u32>, Vec<usize>) = match (kept, &column.presence) {
            (Some(kept), presence) => {
                let known = kept.iter().copied().zip(places_of(kept, presence));
                known.filter_map(|(row, place)| Some((row, place?))).unzip()
            }
            (None, Presence::All) => return Self::of_all(rows, column),
            (None, Presence::Positions(positions)) => (positions.clone(), (0..positions.len()).collect()),
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

    /// Those of a column with a value in each row.
    fn of_all(rows: &DeviceRows, column: &Column) -> Self {
        let integers: Option<Vec<i64>> = match &column.values {
            Values::Integer(values) => Some(values.clone()),
            Values::Boolean(values) => Some(values.iter().map(|value| i64::from(*value)).collect()),
            _ => None,
        };
        let (values, texts) = match &column.values {
            Values::Text(texts) => (vec![1.0; texts.codes.len()], Some(texts.clone())),
            values => (numbers(values).into_owned(), None),
        };
        Self { times: rows.times.clone(), values, integers, texts }
    }
}

fn is_text(column: &Column) -> bool {
    matches!(column.values, Values::Text(_))
}
