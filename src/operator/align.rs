//! As-of alignment: metrics that a device samples at instants of their own, side by side.
//!
//! Guarantees: the rows are the samples of one metric, the left one; beside each stands of every other metric the latest sample of
//! the same device at or before that instant, if it is not older than the tolerance. What counts as a sample is what the store shows at that
//! moment: late rows count, deleted ones do not, and NaN is a sample (a sensor that says that it does not know is not asked
//! again). So a tolerance of nothing is the plain question: the same instant. Neither the range of the question nor a
//! month's end nor a change of group cuts it: the sample before is looked for as far back as the tolerance reaches. Linear in the
//! rows: one walk over a piece, with the last sample of each metric carried to the next piece.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Column, DeviceHandle, DeviceRows, MetricDefinition, MetricHandle, MetricType, Presence, TextValues, Value, Values,
};
use crate::scan::{Piece, Scan};
use crate::time::{TimeRange, Timestamp};

use super::column::{number, passing};
use super::query::Query;
use super::run::DeviceRun;

/// No sample at or before the row is young enough.
const ABSENT: u32 = u32::MAX;
/// The sample is the one carried from the pieces before.
const CARRIED: u32 = u32::MAX - 1;

impl Query {
    /// Aligns metrics of different clocks: an expression has the instants of the metric that it names first, and its other metrics,
    /// and those of conditions on values, count with their latest sample of the same device at or before that instant, not older than this. Without
    /// it, and with 0, all must have a sample at the same instant.
    ///
    /// ```
    /// use fleetlog::operator::{Aggregate, Expression, Query};
    /// use fleetlog::{Cell, Options, Store, Timestamp, WriteBatch};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let store = Store::open(folder.path().join("plant.fleet"), Options::default())?;
    /// let at = |second: i64| Timestamp::from_nanoseconds(1_735_689_600_000_000_000 + second * 1_000_000_000);
    /// let mut batch = WriteBatch::new();
    /// batch.reading("pump-17", at(0)).float("current_a", 2.0);
    /// batch.reading("pump-17", at(7)).float("power_w", 460.0);
    /// batch.reading("pump-17", at(300)).float("power_w", 480.0); // no current for five minutes
    /// store.write(batch)?;
    /// let query = Query::expressions([Expression::parse("power_w / current_a")?]).aggregate([Aggregate::Count, Aggregate::Mean]);
    /// assert!(store.query(query.clone())?.rows().is_empty());
    /// let aligned = store.query(query.tolerance_ns(90_000_000_000))?;
    /// assert_eq!(aligned.rows()[0], [Cell::Integer(1), Cell::Float(230.0)]);
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    #[must_use]
    pub fn tolerance_ns(mut self, tolerance_ns: i64) -> Self {
        self.tolerance_ns = Some(tolerance_ns);
        self
    }
}

/// Which metrics are aligned, and how old a sample may be.
#[derive(Debug)]
pub(super) struct Alignment {
    /// Each once.
    metrics: Vec<MetricDefinition>,
    tolerance_ns: i64,
}

impl Alignment {
    /// Of some metrics.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a tolerance below 0.
    pub(super) fn new<'m>(metrics: impl IntoIterator<Item = &'m MetricDefinition>, tolerance_ns: i64) -> Result<Self> {
        if tolerance_ns < 0 {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a tolerance of {tolerance_ns} ns is below nothing"),
            )
            .advise("say how old a sample may be: 0 or more"));
        }
        let mut metrics: Vec<MetricDefinition> = metrics.into_iter().cloned().collect();
        metrics.sort_by_key(|metric| metric.handle);
        metrics.dedup_by_key(|metric| metric.handle);
        Ok(Self { metrics, tolerance_ns })
    }

    /// What a query aligns: nothing where no expression reads another metric than its first.
    pub(super) fn of(
        query: &Query,
        operands: &[Vec<MetricDefinition>],
        filters: &[MetricDefinition],
    ) -> Result<Option<Self>> {
        let Some(tolerance_ns) = query.tolerance_ns else { return Ok(None) };
        let alignment = Self::new(operands.iter().flatten().chain(filters), tolerance_ns)?;
        let alone = |operands: &Vec<MetricDefinition>| {
            operands.iter().chain(filters).all(|metric| metric.handle == operands[0].handle)
        };
        Ok((!operands.iter().all(alone)).then_some(alignment))
    }

    /// The stretch before an instant that can hold a sample that is young enough after it.
    pub(super) fn before(&self, at: Timestamp) -> TimeRange {
        TimeRange::new(Timestamp::from_nanoseconds(at.nanoseconds().saturating_sub(self.tolerance_ns)), at)
    }
}

/// The last sample of a metric so far: its instant and its value, as the only one of a column.
#[derive(Debug, Clone)]
struct Carried {
    time: i64,
    values: Values,
}

/// The alignment of one device, piece by piece.
#[derive(Debug)]
pub(super) struct AsOf<'a> {
    alignment: &'a Alignment,
    carried: Vec<Option<Carried>>,
    begun: bool,
}

impl<'a> AsOf<'a> {
    pub(super) fn new(alignment: &'a Alignment) -> Self {
        Self { alignment, carried: vec![None; alignment.metrics.len()], begun: false }
    }

    /// Looks for samples before the scan, once, if the first row may need them.
    pub(super) fn begin(
        &mut self,
        rows: &DeviceRows,
        (scan, earlier): (&Scan<'_>, &Scan<'_>),
        device: DeviceHandle,
    ) -> Result<()> {
        let Some(first) = rows.times.first().filter(|_| !self.begun) else { return Ok(()) };
        self.begun = true;
        let oldest = first.saturating_sub(self.alignment.tolerance_ns);
        if oldest >= scan.range().from.nanoseconds() || self.alignment.tolerance_ns == 0 {
            return Ok(());
        }
        earlier.device_back(device, &mut |piece| {
            let rows = match piece {
                Piece::Block(block) if block.times.1 < oldest => return Ok(false),
                Piece::Block(block) => earlier.rows(&block)?,
                Piece::Rows(rows) => rows,
            };
            if rows.times.last().is_some_and(|last| *last < oldest) {
                return Ok(false);
            }
            for (metric, carried) in self.alignment.metrics.iter().zip(&mut self.carried) {
                if carried.is_none() {
                    *carried = last_of(&rows, metric.handle);
                }
            }
            Ok(self.carried.iter().any(Option::is_none))
        })
    }

    /// The rows at which the left metric has a sample, with the other metrics as of then, in the types that they have now.
    pub(super) fn rows<'r>(&self, rows: &'r DeviceRows, left: MetricHandle) -> Cow<'r, DeviceRows> {
        let Some(instants) = rows.column(left).map(|column| &column.presence) else {
            return Cow::Owned(DeviceRows::default());
        };
        let whole = |metric: &MetricDefinition| {
            rows.column(metric.handle).is_some_and(|column| {
                column.presence == Presence::All && column.values.metric_type() == metric.metric_type
            })
        };
        if self.alignment.metrics.iter().all(whole) && rows.columns.len() == self.alignment.metrics.len() {
            return Cow::Borrowed(rows);
        }
        let instants: Vec<u32> = match instants {
            Presence::All => (0..rows.len() as u32).collect(),
            Presence::Positions(positions) => positions.clone(),
        };
        let mut aligned = DeviceRows {
            times: instants.iter().map(|row| rows.times[*row as usize]).collect(),
            columns: Vec::with_capacity(self.alignment.metrics.len()),
        };
        for (metric, carried) in self.alignment.metrics.iter().zip(&self.carried) {
            let column = rows.column(metric.handle);
            // What is older than a sample of the left metric itself never stands for it: at its instants it has one.
            let places = self.places(rows, column, carried.as_ref(), &instants);
            let column = picked(metric.metric_type, column, carried.as_ref(), &places);
            if !column.values.is_empty() {
                aligned.columns.push((metric.handle, column));
            }
        }
        Cow::Owned(aligned)
    }

    /// Of each instant the place of the latest value at or before it that is young enough.
    fn places(
        &self,
        rows: &DeviceRows,
        column: Option<&Column>,
        carried: Option<&Carried>,
        instants: &[u32],
    ) -> Vec<u32> {
        let tolerance_ns = self.alignment.tolerance_ns;
        let positions = match column.map(|column| &column.presence) {
            Some(Presence::All) => return instants.to_vec(),
            Some(Presence::Positions(positions)) => positions.as_slice(),
            None => &[],
        };
        let mut next = 0;
        let mut latest = carried.map(|carried| (carried.time, CARRIED));
        let place = |row: &u32| {
            while next < positions.len() && positions[next] <= *row {
                latest = Some((rows.times[positions[next] as usize], next as u32));
                next += 1;
            }
            // The distance saturates beyond 292 years, which no tolerance reaches but the greatest.
            let young = |time: i64| rows.times[*row as usize].saturating_sub(time) <= tolerance_ns;
            latest.filter(|(time, _)| young(*time)).map_or(ABSENT, |(_, place)| place)
        };
        instants.iter().map(place).collect()
    }

    /// Carries the last samples of a piece on to the next.
    pub(super) fn advance(&mut self, rows: &DeviceRows) {
        for (metric, carried) in self.alignment.metrics.iter().zip(&mut self.carried) {
            if let Some(last) = last_of(rows, metric.handle) {
                *carried = Some(last);
            }
        }
    }
}

/// The last sample of a metric among rows.
fn last_of(rows: &DeviceRows, metric: MetricHandle) -> Option<Carried> {
    let column = rows.column(metric)?;
    let place = column.values.len().checked_sub(1)?;
    let row = match &column.presence {
        Presence::All => place,
        Presence::Positions(positions) => positions[place] as usize,
    };
    Some(Carried { time: rows.times[row], values: column.values.part(place..place + 1) })
}

/// A column of the values at some places.
fn picked(metric_type: MetricType, column: Option<&Column>, carried: Option<&Carried>, places: &[u32]) -> Column {
    let present = |(row, place): (usize, &u32)| (*place != ABSENT).then_some(row as u32);
    let rows: Vec<u32> = places.iter().enumerate().filter_map(present).collect();
    let own = column.map(|column| &column.values);
    let found = || {
        places.iter().filter(|place| **place != ABSENT).filter_map(|place| match *place {
            CARRIED => carried.map(|carried| (&carried.values, 0)),
            place => own.map(|values| (values, place as usize)),
        })
    };
    let values = match metric_type {
        MetricType::Float => {
            Values::Float(found().map(|(values, place)| number(values, place).unwrap_or(f64::NAN)).collect())
        }
        MetricType::Integer => Values::Integer(found().map(|(values, place)| integer(values, place)).collect()),
        MetricType::Boolean => Values::Boolean(found().map(|(values, place)| integer(values, place) != 0).collect()),
        MetricType::Text => Values::Text(texts(own, carried, places)),
    };
    Column { presence: Presence::from_positions(rows, places.len()), values }
}

fn integer(values: &Values, place: usize) -> i64 {
    match values.get(place) {
        Value::Integer(value) => value,
        Value::Boolean(value) => i64::from(value),
        _ => 0,
    }
}

fn texts(own: Option<&Values>, carried: Option<&Carried>, places: &[u32]) -> TextValues {
    let (mut dictionary, codes): (Vec<Arc<str>>, &[u32]) = match own {
        Some(Values::Text(texts)) => (texts.dictionary.clone(), &texts.codes),
        _ => (Vec::new(), &[]),
    };
    let mut carried_code = None;
    if let Some(Values::Text(text)) = carried.map(|carried| &carried.values)
        && places.contains(&CARRIED)
    {
        let known = dictionary.iter().position(|known| **known == *text.get(0));
        carried_code = Some(known.unwrap_or_else(|| {
            dictionary.push(Arc::from(text.get(0)));
            dictionary.len() - 1
        }) as u32);
    }
    let code = |place: &u32| match *place {
        ABSENT => None,
        CARRIED => carried_code,
        place => Some(codes[place as usize]),
    };
    TextValues { codes: places.iter().filter_map(code).collect(), dictionary }
}

impl DeviceRun<'_> {
    /// Adds rows of metrics that are aligned.
    pub(super) fn aligned_rows(&mut self, rows: &DeviceRows, as_of: &mut AsOf<'_>) -> Result<()> {
        let prepared = self.work.prepared;
        as_of.begin(rows, (self.work.scan, self.work.earlier), self.device)?;
        let mut before: Option<(MetricHandle, Cow<'_, DeviceRows>, Option<Vec<u32>>)> = None;
        for (place, operands) in prepared.operands.iter().enumerate() {
            let left = operands[0].handle;
            let (_, aligned, kept) = match before.take().filter(|(known, ..)| *known == left) {
                Some(known) => before.insert(known),
                None => {
                    let aligned = as_of.rows(rows, left);
                    let kept = passing(&aligned, &prepared.query.filters, &prepared.filters);
                    before.insert((left, aligned, kept))
                }
            };
            self.expression(place, aligned, kept.as_deref())?;
        }
        as_of.advance(rows);
        Ok(())
    }
}
