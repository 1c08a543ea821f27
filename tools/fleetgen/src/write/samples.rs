//! Samples as batches of columns, in each of the orders.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt32Array, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::config::Config;
use crate::fleet::{Device, Fleet};
use crate::metric::{Columns, METRICS, MODES, Metric, Values};
use crate::random::{Chance, Purpose};

use super::Order;

/// Ticks of one stretch of a device's samples.
const STRETCH_TICKS: i64 = 16_384;
/// Rows of a batch in the order of time, about.
const WINDOW_ROWS: i64 = 262_144;
/// The share of rows that arrive late, and by how many rows.
const LATE_SHARE: f64 = 0.001;
const LATE_ROWS: (i64, i64) = (2, 121);

/// The metrics that are columns of a fleet's samples.
fn metrics(config: &Config) -> &'static [Metric] {
    if config.uniform { &METRICS[..8] } else { &METRICS }
}

/// The columns: device, time, and the metrics.
pub(super) fn schema(config: &Config) -> SchemaRef {
    let metric_type = |metric: Metric| match Columns::default().values(metric) {
        Values::Float(_) => DataType::Float64,
        Values::Integer(_) => DataType::Int64,
        Values::Boolean(_) => DataType::Boolean,
        Values::Mode(_) => DataType::Utf8,
    };
    let time_type = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![Field::new("device", DataType::Utf8, false), Field::new("time", time_type, false)];
    let nullable = !config.uniform;
    fields.extend(metrics(config).iter().map(|metric| Field::new(metric.name(), metric_type(*metric), nullable)));
    Arc::new(Schema::new(fields))
}

/// How many values a batch holds, device and time not counted.
pub(super) fn value_count(batch: &RecordBatch) -> u64 {
    batch.columns().iter().skip(2).map(|column| (column.len() - column.null_count()) as u64).sum()
}

/// Makes all batches in an order and gives them away until `give` says no; returns how many rows come late.
pub(super) fn make(fleet: &Fleet, order: Order, give: &mut dyn FnMut(RecordBatch) -> bool) -> Result<u64, ArrowError> {
    let schema = schema(fleet.config());
    match order {
        Order::Device => by_device(fleet, &schema, give).map(|()| 0),
        Order::Time => by_time(fleet, &schema, give).map(|()| 0),
        Order::Arrival => by_arrival(fleet, &schema, give),
    }
}

fn by_device(fleet: &Fleet, schema: &SchemaRef, give: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), ArrowError> {
    for device in fleet.devices() {
        let mut stretches = device.columns(STRETCH_TICKS);
        // A clock that falls back needs all of its device's rows sorted at once: the few such devices pay the memory.
        let mut sorted = device.clock_falls_back().then(|| {
            let mut all = Columns::default();
            stretches.by_ref().for_each(|columns| all.append(columns));
            all.sort_by_time();
            all
        });
        for columns in sorted.take().into_iter().chain(stretches) {
            if !columns.is_empty() && !give(batch(fleet.config(), schema, &device, &columns)?) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn by_arrival(fleet: &Fleet, schema: &SchemaRef, give: &mut dyn FnMut(RecordBatch) -> bool) -> Result<u64, ArrowError> {
    let mut late_rows = 0;
    for device in fleet.devices() {
        let mut chance = Chance::new(fleet.config().seed, Purpose::Late, device.plan().number);
        for mut columns in device.columns(STRETCH_TICKS) {
            late_rows += delay(&mut columns, &mut chance);
            if !columns.is_empty() && !give(batch(fleet.config(), schema, &device, &columns)?) {
                return Ok(late_rows);
            }
        }
    }
    Ok(late_rows)
}

/// Moves some rows back; returns how many then stand behind a row of a later time.
fn delay(columns: &mut Columns, chance: &mut Chance) -> u64 {
    let mut keyed: Vec<(i64, usize)> = (0..columns.len()).map(|place| (2 * place as i64, place)).collect();
    for (key, _) in &mut keyed {
        if chance.happens(LATE_SHARE) {
            *key += 2 * chance.whole(LATE_ROWS.0, LATE_ROWS.1) + 1;
        }
    }
    keyed.sort_unstable();
    let order: Vec<usize> = keyed.into_iter().map(|(_, place)| place).collect();
    let mut late = 0;
    let mut furthest = 0;
    for place in &order {
        late += u64::from(*place < furthest);
        furthest = furthest.max(*place);
    }
    columns.reorder(&order);
    late
}

/// Windows of time over all devices, each sorted by true time.
fn by_time(fleet: &Fleet, schema: &SchemaRef, give: &mut dyn FnMut(RecordBatch) -> bool) -> Result<(), ArrowError> {
    let ticks = (WINDOW_ROWS / i64::from(fleet.config().devices)).max(1);
    let devices: Vec<Device<'_>> = fleet.devices().collect();
    let mut streams: Vec<_> = devices.iter().map(|device| device.columns(ticks)).collect();
    loop {
        let stretches: Vec<Option<Columns>> = streams.iter_mut().map(Iterator::next).collect();
        if stretches.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut batches = Vec::new();
        let mut keys = Vec::new();
        for (device, columns) in devices.iter().zip(&stretches) {
            let Some(columns) = columns.as_ref().filter(|columns| !columns.is_empty()) else { continue };
            let place = |place: usize| (columns.true_times_ms[place], columns.device, (keys.len() + place) as u32);
            let new: Vec<_> = (0..columns.len()).map(place).collect();
            keys.extend(new);
            batches.push(batch(fleet.config(), schema, device, columns)?);
        }
        if batches.is_empty() {
            continue;
        }
        keys.sort_unstable();
        let order = UInt32Array::from_iter_values(keys.into_iter().map(|(_, _, place)| place));
        let all = arrow_select::concat::concat_batches(schema, &batches)?;
        if !give(arrow_select::take::take_record_batch(&all, &order)?) {
            return Ok(());
        }
    }
}

/// Samples of one device as a batch; a metric that it does not report is null.
fn batch(
    config: &Config,
    schema: &SchemaRef,
    device: &Device<'_>,
    columns: &Columns,
) -> Result<RecordBatch, ArrowError> {
    let rows = columns.len();
    let ids = StringArray::from_iter_values(std::iter::repeat_n(device.id(), rows));
    let times = TimestampMillisecondArray::from_iter_values(columns.times_ms.iter().copied()).with_timezone("UTC");
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(times)];
    for (metric, field) in metrics(config).iter().zip(schema.fields().iter().skip(2)) {
        let array: ArrayRef = match columns.values(*metric) {
            Values::Float(values) if values.len() == rows => {
                Arc::new(Float64Array::from_iter_values(values.iter().copied()))
            }
            Values::Integer(values) if values.len() == rows => {
                Arc::new(Int64Array::from_iter_values(values.iter().copied()))
            }
            Values::Boolean(values) if values.len() == rows => Arc::new(BooleanArray::from(values.to_vec())),
            Values::Mode(values) if values.len() == rows => Arc::new(StringArray::from_iter_values(
                values.iter().map(|mode| MODES[usize::from(*mode) % MODES.len()]),
            )),
            _ => new_null_array(field.data_type(), rows),
        };
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::clone(schema), arrays)
}
