//! Rows of one device laid over each other, cut and thinned: the rule by which later commits win.
//!
//! Guarantees: every function here keeps what [`DeviceRows`] promises. Laying over is metric by metric: a newer row with
//! only a temperature does not hide the older power of the same instant. The hot tier, compaction and the scan all merge
//! by [`merge_rows`], so that no layout of the same commits can give another answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::time::{TimeRange, Timestamp};

use super::{Column, DeviceRows, MetricHandle, MetricType, Presence, TextValues, Values};

/// No source has a value for the row.
const ABSENT: u64 = u64::MAX;

impl DeviceRows {
    /// The places of the rows inside a range, as a half-open range of places. Logarithmic in the rows.
    #[must_use]
    pub fn places_in(&self, range: TimeRange) -> std::ops::Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let from = self.times.partition_point(|time| Timestamp::from_nanoseconds(*time) < range.from);
        let to = if range.to == Timestamp::MAX {
            self.times.len()
        } else {
            self.times.partition_point(|time| Timestamp::from_nanoseconds(*time) < range.to)
        };
        from..to.max(from)
    }

    /// The rows at some places (a half-open range), with all columns that have values there.
    #[must_use]
    pub fn part(&self, places: std::ops::Range<usize>) -> Self {
        if places == (0..self.times.len()) {
            return self.clone();
        }
        let columns = self.columns.iter().filter_map(|(metric, column)| {
            let part = column.part(&places);
            (!part.values.is_empty()).then_some((*metric, part))
        });
        Self { columns: columns.collect(), times: self.times[places].to_vec() }
    }

    /// Takes out the values of a metric (of all where `None`) in a range. Rows without any value left go too.
    #[must_use]
    pub fn without(self, metric: Option<MetricHandle>, range: TimeRange) -> Self {
        let hidden = self.places_in(range);
        if hidden.is_empty() {
            return self;
        }
        let rows = self.times.len();
        let columns = self.columns.into_iter().filter_map(|(handle, column)| {
            let kept =
                if metric.is_none_or(|wanted| wanted == handle) { column.outside(&hidden, rows) } else { column };
            (!kept.values.is_empty()).then_some((handle, kept))
        });
        Self { columns: columns.collect(), times: self.times }.without_empty_rows()
    }

    /// Drops rows that no column has a value for.
    #[must_use]
    pub fn without_empty_rows(self) -> Self {
        if self.columns.iter().any(|(_, column)| column.presence == Presence::All) {
            return self;
        }
        let mut used = vec![false; self.times.len()];
        for (_, column) in &self.columns {
            if let Presence::Positions(positions) = &column.presence {
                positions.iter().for_each(|position| used[*position as usize] = true);
            }
        }
        let mut new_place = Vec::with_capacity(used.len());
        let mut times = Vec::new();
        for (time, used) in self.times.iter().zip(&used) {
            new_place.push(times.len() as u32);
            if *used {
                times.push(*time);
            }
        }
        let columns = self.columns.into_iter().map(|(metric, column)| {
            let positions = match column.presence {
                Presence::All => Vec::new(),
                Presence::Positions(positions) => {
                    positions.into_iter().map(|place| new_place[place as usize]).collect()
                }
            };
            (metric, Column { presence: Presence::from_positions(positions, times.len()), values: column.values })
        });
        Self { columns: columns.collect(), times }
    }
}

impl Presence {
    /// The presence of rising positions among so many rows: `All` where they are every row.
    #[must_use]
    pub fn from_positions(positions: Vec<u32>, rows: usize) -> Self {
        if positions.len() == rows { Self::All } else { Self::Positions(positions) }
    }

    /// The place among the values of row `row`, where it has one. Logarithmic.
    #[must_use]
    pub fn value_place(&self, row: usize) -> Option<usize> {
        match self {
            Self::All => Some(row),
            Self::Positions(positions) => positions.binary_search(&(row as u32)).ok(),
        }
    }
}

impl Column {
    /// The values of some rows; positions count from the first of them.
    fn part(&self, places: &std::ops::Range<usize>) -> Self {
        match &self.presence {
            Presence::All => Self { presence: Presence::All, values: self.values.part(places.clone()) },
            Presence::Positions(positions) => {
                let from = positions.partition_point(|place| (*place as usize) < places.start);
                let to = positions.partition_point(|place| (*place as usize) < places.end);
                let moved: Vec<u32> = positions[from..to].iter().map(|place| place - places.start as u32).collect();
                Self { presence: Presence::from_positions(moved, places.len()), values: self.values.part(from..to) }
            }
        }
    }

    /// The column without the values of some rows.
    fn outside(self, hidden: &std::ops::Range<usize>, rows: usize) -> Self {
        let positions: Vec<u32> = match self.presence {
            Presence::All => (0..rows as u32).collect(),
            Presence::Positions(positions) => positions,
        };
        let from = positions.partition_point(|place| (*place as usize) < hidden.start);
        let to = positions.partition_point(|place| (*place as usize) < hidden.end);
        let kept: Vec<u32> = positions[..from].iter().chain(&positions[to..]).copied().collect();
        let picks: Vec<usize> = (0..from).chain(to..positions.len()).collect();
        Self { presence: Presence::from_positions(kept, rows), values: self.values.pick(&picks) }
    }
}

impl Values {
    /// A run of the values.
    #[must_use]
    pub fn part(&self, places: std::ops::Range<usize>) -> Self {
        match self {
            Self::Float(values) => Self::Float(values[places].to_vec()),
            Self::Integer(values) => Self::Integer(values[places].to_vec()),
            Self::Boolean(values) => Self::Boolean(values[places].to_vec()),
            Self::Text(values) => {
                let mut part = TextGather::default();
                places.for_each(|place| part.push(values, place, 0));
                Self::Text(part.finish())
            }
        }
    }

    /// The values at some places, in that order.
    #[must_use]
    pub fn pick(&self, places: &[usize]) -> Self {
        match self {
            Self::Float(values) => Self::Float(places.iter().map(|place| values[*place]).collect()),
            Self::Integer(values) => Self::Integer(places.iter().map(|place| values[*place]).collect()),
            Self::Boolean(values) => Self::Boolean(places.iter().map(|place| values[*place]).collect()),
            Self::Text(values) => {
                let mut part = TextGather::default();
                places.iter().for_each(|place| part.push(values, *place, 0));
                Self::Text(part.finish())
            }
        }
    }
}

/// Gathers texts out of several dictionaries into one of its own, without texts that no value uses.
#[derive(Default)]
struct TextGather {
    codes_known: HashMap<(usize, u32), u32>,
    texts: HashMap<Arc<str>, u32>,
    gathered: TextValues,
}

impl TextGather {
    fn push(&mut self, from: &TextValues, place: usize, source: usize) {
        let code = from.codes[place];
        let gathered = &mut self.gathered;
        let texts = &mut self.texts;
        let new_code = *self.codes_known.entry((source, code)).or_insert_with(|| {
            let text = &from.dictionary[code as usize];
            *texts.entry(Arc::clone(text)).or_insert_with(|| {
                gathered.dictionary.push(Arc::clone(text));
                (gathered.dictionary.len() - 1) as u32
            })
        });
        gathered.codes.push(new_code);
    }

    fn finish(self) -> TextValues {
        self.gathered
    }
}

/// Lays rows of one device over each other, in the order given: where two have the same instant and metric, the later
/// source wins. Columns come out in the widest type of their sources.
///
/// Linear in rows times sources where the sources overlap in time; a plain concatenation where they do not.
///
/// # Errors
/// [`ErrorKind::TypeMismatch`] where a metric is text in one source and a number in another (the catalogue forbids it).
///
/// ```
/// use fleetlog::{Column, DeviceRows, MetricHandle, Presence, Values, merge_rows};
/// let rows = |times: &[i64], metric, values: &[f64]| DeviceRows {
///     times: times.to_vec(),
///     columns: vec![(MetricHandle(metric), Column { presence: Presence::All, values: Values::Float(values.to_vec()) })],
/// };
/// let merged = merge_rows(&[&rows(&[1, 2], 0, &[1.0, 2.0]), &rows(&[2, 3], 0, &[20.0, 3.0])])?;
/// assert_eq!(merged.times, [1, 2, 3]);
/// assert!(matches!(&merged.columns[0].1.values, Values::Float(values) if *values == [1.0, 20.0, 3.0]));
/// # Ok::<(), fleetlog::Error>(())
/// ```
pub fn merge_rows(sources: &[&DeviceRows]) -> Result<DeviceRows> {
    let sources: Vec<&DeviceRows> = sources.iter().copied().filter(|rows| !rows.is_empty()).collect();
    match sources.as_slice() {
        [] => return Ok(DeviceRows::default()),
        [only] => return Ok((*only).clone()),
        _ => {}
    }
    let mut times: Vec<i64> = sources.iter().flat_map(|rows| rows.times.iter().copied()).collect();
    // Runs that are sorted already are what this sort is fast at.
    times.sort();
    times.dedup();
    let places: Vec<Vec<u32>> = sources.iter().map(|rows| places_of(&rows.times, &times)).collect();
    let metrics: BTreeSet<MetricHandle> =
        sources.iter().flat_map(|rows| rows.columns.iter().map(|(metric, _)| *metric)).collect();
    let mut winners = vec![ABSENT; times.len()];
    let mut columns = Vec::with_capacity(metrics.len());
    for metric in metrics {
        winners.fill(ABSENT);
        let mut metric_type: Option<MetricType> = None;
        for (source, rows) in sources.iter().enumerate() {
            let Some(column) = rows.column(metric) else { continue };
            let got = column.values.metric_type();
            metric_type = Some(match metric_type {
                None => got,
                Some(have) => have.widest(got).ok_or_else(|| {
                    Error::new(
                        ErrorKind::TypeMismatch,
                        format!("metric {metric} is {have} in one place and {got} in another"),
                    )
                })?,
            });
            mark(&mut winners, &places[source], column, source);
        }
        let Some(metric_type) = metric_type else { continue };
        columns.push((metric, gather(&sources, metric, metric_type, &winners)));
    }
    Ok(DeviceRows { times, columns })
}

/// For each of some times its place among all of them.
fn places_of(times: &[i64], all: &[i64]) -> Vec<u32> {
    let mut place = 0;
    let find = |time: &i64| {
        while all[place] != *time {
            place += 1;
        }
        place as u32
    };
    times.iter().map(find).collect()
}

/// Writes a source's values over what earlier sources had: source in the upper half, place of the value in the lower.
fn mark(winners: &mut [u64], places: &[u32], column: &Column, source: usize) {
    let source = (source as u64) << 32;
    match &column.presence {
        Presence::All => {
            for (value, place) in places.iter().enumerate() {
                winners[*place as usize] = source | value as u64;
            }
        }
        Presence::Positions(positions) => {
            for (value, row) in positions.iter().enumerate() {
                winners[places[*row as usize] as usize] = source | value as u64;
            }
        }
    }
}

fn gather(sources: &[&DeviceRows], metric: MetricHandle, metric_type: MetricType, winners: &[u64]) -> Column {
    let values_of: Vec<Option<&Values>> =
        sources.iter().map(|rows| rows.column(metric).map(|column| &column.values)).collect();
    let chosen = || {
        winners.iter().filter(|winner| **winner != ABSENT).filter_map(|winner| {
            let source = (winner >> 32) as usize;
            values_of[source].map(|values| (values, *winner as u32 as usize, source))
        })
    };
    let values = match metric_type {
        MetricType::Float => Values::Float(chosen().map(|(values, place, _)| as_float(values, place)).collect()),
        MetricType::Integer => Values::Integer(chosen().map(|(values, place, _)| as_integer(values, place)).collect()),
        MetricType::Boolean => {
            Values::Boolean(chosen().map(|(values, place, _)| as_integer(values, place) != 0).collect())
        }
        MetricType::Text => {
            let mut texts = TextGather::default();
            for (values, place, source) in chosen() {
                if let Values::Text(values) = values {
                    texts.push(values, place, source);
                }
            }
            Values::Text(texts.finish())
        }
    };
    let present = |(place, winner): (usize, &u64)| (*winner != ABSENT).then_some(place as u32);
    let positions: Vec<u32> = winners.iter().enumerate().filter_map(present).collect();
    Column { presence: Presence::from_positions(positions, winners.len()), values }
}

fn as_float(values: &Values, place: usize) -> f64 {
    match values {
        Values::Float(values) => values[place],
        Values::Integer(values) => values[place] as f64,
        Values::Boolean(values) => f64::from(u8::from(values[place])),
        Values::Text(_) => f64::NAN,
    }
}

fn as_integer(values: &Values, place: usize) -> i64 {
    match values {
        Values::Integer(values) => values[place],
        Values::Boolean(values) => i64::from(values[place]),
        Values::Float(_) | Values::Text(_) => 0,
    }
}
