//! Times in Arrow arrays.
//!
//! The rule: timestamps with a zone are instants; those without one are local times of the input zone (UTC unless it is named);
//! dates are their first instant there; integers and floats need a unit; texts are read as in a CSV file.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, TimeUnit as ArrowUnit};

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Field as Input, TimeReader};
use crate::time::{DAY_NS, SECOND_NS, TimeRange, Timestamp};

use super::arrow_columns::{Shape, shape_of};
use super::parquet::{Refused, unusable};

/// Checks that a column can hold times.
pub(super) fn check_time_type(field: &Field, times: &TimeReader) -> Result<()> {
    match field.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Ok(()),
        other => match shape_of(other) {
            Shape::Text => Ok(()),
            Shape::Integer | Shape::Number if *other != DataType::Boolean && times.unit().is_some() => Ok(()),
            Shape::Integer | Shape::Number if *other != DataType::Boolean => {
                Err(Error::new(ErrorKind::InvalidInput, format!("the time column '{}' holds numbers", field.name()))
                    .advise("name their unit with --time-unit s, ms, us or ns"))
            }
            _ => Err(unusable(field, "a time")),
        },
    }
}

/// The times of an array in nanoseconds. Rows without a usable time are added to `refused` and hold 0.
pub(super) fn times_of(
    array: &ArrayRef,
    reader: &TimeReader,
    accepted: TimeRange,
    refused: &mut Refused,
) -> Result<Vec<i64>> {
    let mut times = vec![0; array.len()];
    match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            let scale = match unit {
                ArrowUnit::Second => SECOND_NS,
                ArrowUnit::Millisecond => 1_000_000,
                ArrowUnit::Microsecond => 1_000,
                ArrowUnit::Nanosecond => 1,
            };
            let local = zone.is_none() && !reader.zone_is_utc();
            let localize =
                |time| if local { reader.localize_nanoseconds(time) } else { Ok(Timestamp::from_nanoseconds(time)) };
            scaled(array, scale, &localize, &mut times, refused)?;
        }
        DataType::Date32 | DataType::Date64 => {
            let scale = if *array.data_type() == DataType::Date32 { DAY_NS } else { 1_000_000 };
            let localize = |time: i64| match time.rem_euclid(DAY_NS) {
                0 => reader.localize_day(time / DAY_NS),
                _ => reader.localize_nanoseconds(time),
            };
            scaled(array, scale, &localize, &mut times, refused)?;
        }
        other if shape_of(other) == Shape::Integer => {
            let scale = reader.unit().map_or(1, crate::ingest::TimeUnit::nanoseconds);
            scaled(array, scale, &|time| Ok(Timestamp::from_nanoseconds(time)), &mut times, refused)?;
        }
        _ => texts(array, reader, &mut times, refused)?,
    }
    if accepted != TimeRange::ALL {
        for (row, time) in times.iter().enumerate() {
            let time = Timestamp::from_nanoseconds(*time);
            if !accepted.contains(time) {
                refused.push((row, format!("the time {time} lies outside the times that the store accepts")));
            }
        }
    }
    Ok(times)
}

/// Integers of a unit, and what instants they are.
fn scaled(
    array: &ArrayRef,
    scale: i64,
    localize: &dyn Fn(i64) -> std::result::Result<Timestamp, String>,
    times: &mut [i64],
    refused: &mut Refused,
) -> Result<()> {
    let cast = |array: &ArrayRef, to: &DataType| {
        arrow_cast::cast(array, to)
            .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("the time column can not be read: {error}")))
    };
    let wide = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    let wide = wide.as_primitive::<Int64Type>();
    for (row, (time, value)) in times.iter_mut().zip(wide.values()).enumerate() {
        if array.is_null(row) {
            refused.push((row, "the time is missing".to_owned()));
            continue;
        }
        // An unsigned number beyond 63 bits became null above.
        let instant = value.checked_mul(scale).filter(|_| !wide.is_null(row));
        match instant.ok_or_else(|| "the time lies outside the years 1677 to 2262".to_owned()).and_then(localize) {
            Ok(instant) => *time = instant.nanoseconds(),
            Err(reason) => refused.push((row, reason)),
        }
    }
    Ok(())
}

fn texts(array: &ArrayRef, reader: &TimeReader, times: &mut [i64], refused: &mut Refused) -> Result<()> {
    let texts = arrow_cast::cast(array, &DataType::Utf8)
        .map_err(|error| Error::new(ErrorKind::InvalidInput, format!("the time column can not be read: {error}")))?;
    for (row, (time, text)) in times.iter_mut().zip(texts.as_string::<i32>()).enumerate() {
        match reader.read(text.map_or(Input::Missing, Input::Open)) {
            Ok(instant) => *time = instant.nanoseconds(),
            Err(reason) => refused.push((row, reason)),
        }
    }
    Ok(())
}
