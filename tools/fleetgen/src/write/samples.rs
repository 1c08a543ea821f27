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
use super::own_time::OwnTime;

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
        for columns in OwnTime::new(&device, STRETCH_TICKS) {
            if !give(batch(fleet.config(), schema, &device, &columns)?) {
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

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, TimestampMillisecondType};

    use super::*;

    #[test]
    fn the_order_of_devices_is_streamed_also_where_a_clock_falls_back() {
        // A hand of 48 devices has two strong clock faults at most: eight hands have both kinds.
        let config = Config { devices: 384, days: 40, interval_ms: 120_000, ..Config::default() };
        let fleet = Fleet::new(config.clone()).unwrap();
        let kinds: std::collections::BTreeSet<String> =
            fleet.truth().clocks.into_iter().map(|clock| clock.kind).collect();
        assert!(kinds.contains("jump") && kinds.contains("reset_1970"), "{kinds:?}");
        let mut fell_back = 0;
        for number in 0..config.devices {
            let device = fleet.device(number);
            if device.plan().clock.as_ref().is_none_or(|clock| !clock.falls_back()) {
                continue;
            }
            let (mut streamed, mut most) = (Vec::new(), 0);
            for columns in OwnTime::new(&device, STRETCH_TICKS) {
                most = most.max(columns.len());
                let batch = batch(&config, &schema(&config), &device, &columns).unwrap();
                let times = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
                let power = batch.column_by_name("power_w").unwrap().as_primitive::<Float64Type>().values();
                streamed.extend(times.iter().zip(power).map(|(time, power)| (*time, power.to_bits())));
            }
            assert!(most as i64 <= 2 * STRETCH_TICKS, "{most} rows at once");
            let mut whole: Vec<(i64, u64)> = device
                .columns(i64::MAX / 2)
                .flat_map(|columns| {
                    let power = columns.floats(Metric::Power).into_iter().map(f64::to_bits);
                    columns.times_ms.iter().copied().zip(power).collect::<Vec<_>>()
                })
                .collect();
            fell_back += u32::from(!whole.is_sorted_by_key(|(time, _)| *time));
            whole.sort_by_key(|(time, _)| *time);
            assert!(whole.len() as i64 > STRETCH_TICKS, "more rows than one stretch");
            assert!(streamed == whole, "{}", device.id());
        }
        assert!(fell_back >= 4, "{fell_back} clocks fell back");
    }
}
