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

/// Appends a varint of the length of what `encode` writes, then that.
pub(super) fn put_framed(out: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut part = Vec::new();
    encode(&mut part);
    put_varint(part.len() as u64, out);
    out.extend_from_slice(&part);
}

/// Appends integers.
pub(super) fn put_integers(values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
    let values = Values::Integer(values.collect());
    put_framed(out, |part| codec::encode_values(&values, part));
}

/// Appends floats, bit for bit.
pub(super) fn put_floats(values: impl Iterator<Item = f64>, out: &mut Vec<u8>) {
    let values = Values::Float(values.collect());
    put_framed(out, |part| codec::encode_values(&values, part));
}

/// Appends texts, each distinct one once.
pub(super) fn put_texts<'a>(texts: impl Iterator<Item = &'a Arc<str>>, out: &mut Vec<u8>) {
    let mut places: HashMap<&str, u32> = HashMap::new();
    let mut values = TextValues::default();
    for text in texts {
        let code = *places.entry(text).or_insert_with(|| {
            values.dictionary.push(Arc::clone(text));
            (values.dictionary.len() - 1) as u32
        });
        values.codes.push(code);
    }
    put_framed(out, |part| codec::encode_values(&Values::Text(values), part));
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
