//! Columns inside records: a length, then an encoded column. What commits, pages and log blocks are made of.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bytes::{Reader, put_varint};
use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricType, TextValues, Values};

/// The error of bytes that no encoder writes.
pub(super) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corruption, what)
}

/// The error of what a decoder here would refuse.
pub(super) fn too_many(what: &str, count: usize, most: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("{count} {what}, more than {most}"))
}

/// Appends a varint of the length of a part, then the part.
pub(super) fn put_part(part: &[u8], out: &mut Vec<u8>) {
    put_varint(part.len() as u64, out);
    out.extend_from_slice(part);
}

/// Appends values.
pub(super) fn put_values(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    let mut part = Vec::new();
    codec::encode_values(values, &mut part)?;
    put_part(&part, out);
    Ok(())
}

/// Appends integers.
pub(super) fn put_integers(values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    let mut part = Vec::new();
    codec::encode_integers(&values.collect::<Vec<_>>(), &mut part);
    put_part(&part, out);
}

/// Appends floats, bit for bit.
pub(super) fn put_floats(values: impl Iterator<Item = f64>, out: &mut Vec<u8>) {
    let mut part = Vec::new();
    codec::encode_floats(&values.collect::<Vec<_>>(), &mut part);
    put_part(&part, out);
}

/// Appends texts, each distinct one once.
pub(super) fn put_texts<'a>(texts: impl Iterator<Item = &'a Arc<str>>, out: &mut Vec<u8>) -> Result<()> {
    let mut places: HashMap<&str, u32> = HashMap::new();
    let mut values = TextValues::default();
    for text in texts {
        let code = *places.entry(text).or_insert_with(|| {
            values.dictionary.push(Arc::clone(text));
            (values.dictionary.len() - 1) as u32
        });
        values.codes.push(code);
    }
    put_values(&Values::Text(values), out)
}

/// Reads a count that a limit bounds.
pub(super) fn count(reader: &mut Reader<'_>, most: usize) -> Result<usize> {
    let count = reader.length()?;
    if count > most { Err(corrupt(format!("{count} entries are said, where {most} are the most"))) } else { Ok(count) }
}

/// Reads a column.
pub(super) fn values(reader: &mut Reader<'_>, metric_type: MetricType, count: usize) -> Result<Values> {
    let length = reader.length()?;
    codec::decode_values(reader.take(length)?, metric_type, count)
}

/// Reads integers.
pub(super) fn integers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>> {
    match values(reader, MetricType::Integer, count)? {
        Values::Integer(integers) => Ok(integers),
        _ => Err(corrupt("integers decoded to another type")),
    }
}

/// Reads floats.
pub(super) fn floats(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>> {
    match values(reader, MetricType::Float, count)? {
        Values::Float(floats) => Ok(floats),
        _ => Err(corrupt("floats decoded to another type")),
    }
}

/// Integers in the range of a smaller type.
pub(super) fn small<T: TryFrom<i64>>(integers: Vec<i64>) -> Result<Vec<T>> {
    integers
        .into_iter()
        .map(|value| T::try_from(value).map_err(|_| corrupt(format!("{value} is out of range"))))
        .collect()
}

/// Reads texts.
pub(super) fn texts(reader: &mut Reader<'_>, count: usize) -> Result<impl Iterator<Item = Arc<str>> + use<>> {
    match values(reader, MetricType::Text, count)? {
        Values::Text(TextValues { dictionary, codes }) => {
            Ok(codes.into_iter().filter_map(move |code| dictionary.get(code as usize).map(Arc::clone)))
        }
        _ => Err(corrupt("texts decoded to another type")),
    }
}
