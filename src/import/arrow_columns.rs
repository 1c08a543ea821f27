//! Arrow arrays as columns of ours.
//!
//! Guarantees: integers, floats and booleans keep their value exactly (an unsigned one beyond 63 bits makes its column float);
//! decimals become the nearest float, those without a fraction integers; nulls are absent rows. Texts longer than
//! [`TEXT_BYTES_MAX`] are refused by row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, Presence, TextValues, Values};

use super::parquet::Refused;
use super::records::{NO_SEQUENCE, TEXT_BYTES_MAX, sequence_of_text};

/// What a type is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Integer,
    /// A number or boolean that is no plain integer.
    Number,
    /// A column of nulls.
    Nothing,
    /// Nothing that a column of ours takes.
    Other,
}

pub(super) fn shape_of(data_type: &DataType) -> Shape {
    use DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Shape::Text,
        T::Dictionary(_, values) => match shape_of(values) {
            Shape::Integer => Shape::Number,
            shape => shape,
        },
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Shape::Integer,
        T::Boolean | T::Float16 | T::Float32 | T::Float64 => Shape::Number,
        T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) | T::Decimal256(..) => Shape::Number,
        T::Null => Shape::Nothing,
        _ => Shape::Other,
    }
}

fn cast(array: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    arrow_cast::cast(array, to).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("column '{name}' can not be read as {to}: {error}"))
            .caused_by(error)
    })
}

/// Which rows of an array are not null.
fn presence(array: &dyn Array) -> Presence {
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => Presence::All,
        Some(nulls) => Presence::Positions(nulls.valid_indices().map(|row| row as u32).collect()),
    }
}

/// The present values of an array, converted.
fn present<T: ArrowPrimitiveType, V>(
    array: &PrimitiveArray<T>,
    presence: &Presence,
    convert: impl Fn(T::Native) -> V,
) -> Vec<V> {
    let values = array.values();
    match presence {
        Presence::All => values.iter().map(|value| convert(*value)).collect(),
        Presence::Positions(rows) => rows.iter().map(|row| convert(values[*row as usize])).collect(),
    }
}

/// The column of a metric. Rows that can not be taken are added to `refused`.
pub(super) fn column_of(array: &ArrayRef, name: &str, refused: &mut Refused) -> Result<Column> {
    use DataType as T;
    let presence = presence(array);
    macro_rules! integers {
        ($type:ty) => {
            Values::Integer(present(array.as_primitive::<$type>(), &presence, i64::from))
        };
    }
    let values = match array.data_type() {
        T::Float64 => Values::Float(match &presence {
            Presence::All => array.as_primitive::<Float64Type>().values().to_vec(),
            Presence::Positions(_) => present(array.as_primitive::<Float64Type>(), &presence, |value| value),
        }),
        T::Float32 => Values::Float(present(array.as_primitive::<Float32Type>(), &presence, f64::from)),
        T::Int64 => integers!(Int64Type),
        T::Int32 => integers!(Int32Type),
        T::Int16 => integers!(Int16Type),
        T::Int8 => integers!(Int8Type),
        T::UInt32 => integers!(UInt32Type),
        T::UInt16 => integers!(UInt16Type),
        T::UInt8 => integers!(UInt8Type),
        T::UInt64 => unsigned(&present(array.as_primitive::<UInt64Type>(), &presence, |value| value)),
        T::Boolean => {
            let values = array.as_boolean().values();
            Values::Boolean(match &presence {
                Presence::All => values.iter().collect(),
                Presence::Positions(rows) => rows.iter().map(|row| values.value(*row as usize)).collect(),
            })
        }
        T::Decimal128(_, scale) => {
            decimals(&present(array.as_primitive::<Decimal128Type>(), &presence, |value| value), *scale)
        }
        T::Null => return Ok(Column { presence: Presence::Positions(Vec::new()), values: Values::Float(Vec::new()) }),
        T::Decimal32(_, scale) | T::Decimal64(_, scale) => {
            return column_of(&cast(array, &T::Decimal128(38, *scale), name)?, name, refused);
        }
        T::Decimal256(..) | T::Float16 => return column_of(&cast(array, &T::Float64, name)?, name, refused),
        T::Dictionary(_, values) if shape_of(values) != Shape::Text => {
            return column_of(&cast(array, values, name)?, name, refused);
        }
        _ => return texts(array, name, refused),
    };
    Ok(Column { presence, values })
}

fn unsigned(values: &[u64]) -> Values {
    let integers: Option<Vec<i64>> = values.iter().map(|value| i64::try_from(*value).ok()).collect();
    integers.map_or_else(|| Values::Float(values.iter().map(|value| *value as f64).collect()), Values::Integer)
}

fn decimals(values: &[i128], scale: i8) -> Values {
    if scale == 0
        && let Some(integers) = values.iter().map(|value| i64::try_from(*value).ok()).collect()
    {
        return Values::Integer(integers);
    }
    // Both parts are exact floats there, so that their quotient is the nearest one.
    let exact = |value: i128| (0..=22).contains(&scale) && value.unsigned_abs() < 1 << 53;
    let power = 10_f64.powi(i32::from(scale));
    let float = |value: i128| {
        if exact(value) {
            value as f64 / power
        } else {
            format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
        }
    };
    Values::Float(values.iter().map(|value| float(*value)).collect())
}

/// Names by code: what a device or a text column holds.
pub(super) struct Names {
    /// For each row the place of its text.
    pub(super) codes: Vec<u32>,
    /// The texts; `None` stands for null and for an empty text.
    pub(super) texts: Vec<Option<Arc<str>>>,
}

/// The names in an array of texts or integers, without the blanks around them.
pub(super) fn names_of(array: &ArrayRef) -> Result<Names> {
    let coded = coded(array)?;
    let texts = coded
        .texts
        .into_iter()
        .map(|text| text.map(|text| Arc::from(text.trim())).filter(|text: &Arc<str>| !text.is_empty()));
    Ok(Names { codes: coded.codes, texts: texts.collect() })
}

/// Any array that can be shown as text, by code. Only texts that a row uses are made.
fn coded(array: &ArrayRef) -> Result<Names> {
    let rows = array.len();
    let mut names = Names { codes: Vec::with_capacity(rows), texts: Vec::new() };
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        let texts = cast(dictionary.values(), &DataType::Utf8, "dictionary")?;
        let texts = texts.as_string::<i32>();
        // A dictionary without entries has null rows alone, and arrow does not normalize its keys.
        let keys = if texts.is_empty() { vec![0; rows] } else { dictionary.normalized_keys() };
        let mut known = vec![u32::MAX; texts.len()];
        let mut null_code = None;
        for (row, key) in keys.into_iter().enumerate() {
            let null = array.is_null(row) || key >= texts.len() || texts.is_null(key);
            let code = if null { null_code.unwrap_or(u32::MAX) } else { known[key] };
            let code = if code == u32::MAX { push(&mut names.texts, (!null).then(|| texts.value(key))) } else { code };
            if null {
                null_code = Some(code);
            } else {
                known[key] = code;
            }
            names.codes.push(code);
        }
        return Ok(names);
    }
    let texts = cast(array, &DataType::Utf8, "text")?;
    let mut known: HashMap<Option<&str>, u32> = HashMap::new();
    let mut last: Option<(Option<&str>, u32)> = None;
    for text in texts.as_string::<i32>() {
        let code = match last {
            Some((known, code)) if known == text => code,
            _ => *known.entry(text).or_insert_with(|| push(&mut names.texts, text)),
        };
        last = Some((text, code));
        names.codes.push(code);
    }
    Ok(names)
}

fn push(texts: &mut Vec<Option<Arc<str>>>, text: Option<&str>) -> u32 {
    texts.push(text.map(Arc::from));
    (texts.len() - 1) as u32
}

fn texts(array: &ArrayRef, name: &str, refused: &mut Refused) -> Result<Column> {
    let coded = coded(array)?;
    let mut new_code = Vec::with_capacity(coded.texts.len());
    let mut dictionary = Vec::new();
    for text in &coded.texts {
        new_code.push(match text {
            Some(text) if !text.is_empty() => {
                dictionary.push(Arc::clone(text));
                (dictionary.len() - 1) as u32
            }
            _ => u32::MAX,
        });
    }
    let (mut positions, mut codes) = (Vec::new(), Vec::new());
    for (row, code) in coded.codes.iter().enumerate() {
        let code = new_code[*code as usize];
        if code == u32::MAX {
            continue;
        }
        let bytes = dictionary[code as usize].len();
        if bytes > TEXT_BYTES_MAX {
            refused.push((row, format!("column '{name}' has a text of {bytes} bytes, more than {TEXT_BYTES_MAX}")));
        }
        positions.push(row as u32);
        codes.push(code);
    }
    Ok(Column {
        presence: Presence::from_positions(positions, array.len()),
        values: Values::Text(TextValues { dictionary, codes }),
    })
}

/// What keeps rows of one instant apart: integers as themselves, texts by their hash.
pub(super) fn sequences_of(array: &ArrayRef, refused: &mut Refused) -> Result<Vec<u64>> {
    if shape_of(array.data_type()) == Shape::Text {
        let names = coded(array)?;
        let of_text: Vec<u64> = names
            .texts
            .iter()
            .map(|text| text.as_ref().map_or(NO_SEQUENCE, |text| sequence_of_text(text.trim())))
            .collect();
        return Ok(names.codes.iter().map(|code| of_text[*code as usize]).collect());
    }
    let mut sequences = vec![NO_SEQUENCE; array.len()];
    let column = column_of(array, "sequence", refused)?;
    for (row, sequence) in sequences.iter_mut().enumerate() {
        if let Some(place) = column.presence.value_place(row) {
            *sequence = match &column.values {
                Values::Integer(values) => values[place].cast_unsigned(),
                Values::Float(values) => values[place].to_bits(),
                Values::Boolean(values) => u64::from(values[place]),
                Values::Text(_) => NO_SEQUENCE,
            };
        }
    }
    Ok(sequences)
}

/// A row as text, for a rejection.
pub(super) fn show_row(batch: &RecordBatch, row: usize) -> String {
    let options = arrow_cast::display::FormatOptions::default();
    let schema = batch.schema();
    let mut shown = String::new();
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let value = arrow_cast::display::ArrayFormatter::try_new(array, &options)
            .ok()
            .and_then(|formatter| formatter.value(row).try_to_string().ok())
            .unwrap_or_default();
        shown.push_str(&format!("{}={value},", field.name()));
        if shown.len() > crate::ingest::REJECTED_BYTES_MAX {
            break;
        }
    }
    shown
}
