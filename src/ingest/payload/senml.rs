//! SenML into observations: JSON and CBOR have the same records under other labels.
//!
//! Guarantees: as RFC 8428 has it, packs and resolution (base name, time, unit, value and sum; 4.1 to 4.5); versions beyond its own, and fields that
//! must be understood and are not, refuse the pack. A time below 2^28 seconds is relative to the receipt. Times are exact to the digits
//! that were written. Records that follow each other with one base name and one time are one observation.
//!
//! The base name, without a colon or slash at its end, is the device and the name the field; a sum is the field `name.sum`. A record without
//! a name of its own has a field without a name: a mapping says what it is, by its unit.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::super::excerpt;
use super::document::{Document, Node, Scalar};
use super::observation::{Observations, SentTime};
use super::{Decoded, Refusal, RefusalKind};
use crate::time::SECOND_NS;

/// The version of RFC 8428.
const VERSION: i64 = 10;
/// Times below so many seconds are relative (RFC 8428, 4.5.3).
const RELATIVE_BELOW_NS: i128 = (1 << 28) * SECOND_NS as i128;
/// The URL-safe alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whose labels the records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenmlLabels {
    /// `bn`, `v`: of JSON.
    Words,
    /// `-2`, `2`: of CBOR.
    Numbers,
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Version,
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    Name,
    Unit,
    Value,
    Text,
    Boolean,
    Data,
    Sum,
    Time,
    UpdateTime,
}

/// RFC 8428, tables 1 and 4.
const LABELS: [(&str, &str, Label); 15] = [
    ("v", "2", Label::Value),
    ("n", "0", Label::Name),
    ("t", "6", Label::Time),
    ("u", "1", Label::Unit),
    ("bn", "-2", Label::BaseName),
    ("bt", "-3", Label::BaseTime),
    ("bu", "-4", Label::BaseUnit),
    ("bv", "-5", Label::BaseValue),
    ("bs", "-6", Label::BaseSum),
    ("bver", "-1", Label::Version),
    ("vs", "3", Label::Text),
    ("vb", "4", Label::Boolean),
    ("vd", "8", Label::Data),
    ("s", "5", Label::Sum),
    ("ut", "7", Label::UpdateTime),
];

/// What stands from one record to the next.
#[derive(Debug, Clone, Copy, Default)]
struct Base<'d> {
    name: &'d str,
    time_ns: i128,
    unit: Option<&'d str>,
    value: Option<Scalar<'d>>,
    sum: Option<Scalar<'d>>,
}

/// What one record says.
#[derive(Debug, Clone, Copy, Default)]
struct Record<'d> {
    name: Option<&'d str>,
    unit: Option<&'d str>,
    time_ns: i128,
    value: Option<Value<'d>>,
    sum: Option<Scalar<'d>>,
}

#[derive(Debug, Clone, Copy)]
enum Value<'d> {
    Number(Scalar<'d>),
    Other(Scalar<'d>),
    /// Bytes in base64.
    Encoded(&'d str),
}

/// Makes observations of a pack, in place of those before.
///
/// # Errors
/// A [`Refusal`] of what is no pack of SenML.
pub fn observe_senml(document: &Document, labels: SenmlLabels, observations: &mut Observations) -> Decoded<()> {
    observations.clear();
    let pack = document.root().filter(|root| root.is_list());
    let pack = pack.ok_or_else(|| Refusal::malformed("a pack of SenML is a list of records"))?;
    let (mut base, mut before, mut name) = (Base::default(), None, String::new());
    for node in pack.members() {
        if !node.is_object() {
            return Err(Refusal::malformed("a record of SenML is an object"));
        }
        let record = record(node, labels, &mut base)?;
        if record.name.is_none() && record.value.is_none() && record.sum.is_none() && base.value.is_none() {
            // It only sets what the others are based on.
            continue;
        }
        check_name(base.name, record.name.unwrap_or_default())?;
        let time = sent_time(base.time_ns + record.time_ns)?;
        let key = (base.name, time, record.name.is_some());
        if before != Some(key) {
            observations.begin()?;
            observations.set_time(time);
            let device = base.name.strip_suffix([':', '/']).unwrap_or(base.name);
            if !device.is_empty() {
                observations.set_device(device)?;
            }
            before = Some(key);
        }
        put(&record, &base, &mut name, observations)?;
    }
    Ok(())
}

/// Reads a record, and takes over what it says of those behind it.
fn record<'d>(node: Node<'d>, labels: SenmlLabels, base: &mut Base<'d>) -> Decoded<Record<'d>> {
    let mut record = Record::default();
    let mut values = 0;
    for field in node.members() {
        let known = LABELS
            .iter()
            .find(|(word, number, _)| field.name() == if labels == SenmlLabels::Words { *word } else { *number });
        let Some((word, _, label)) = known else {
            if field.name().ends_with('_') {
                let what = format!("field {} must be understood, and is not", excerpt(field.name()));
                return Err(Refusal::malformed(what));
            }
            continue;
        };
        let wrong = || Refusal::malformed(format!("field '{word}' has a value of another type"));
        let text = || field.text().ok_or_else(wrong);
        let number = || match field.scalar() {
            Some(number @ (Scalar::Integer(_) | Scalar::Float(_))) => Ok(number),
            _ => Err(wrong()),
        };
        match label {
            Label::Version => match field.scalar() {
                Some(Scalar::Integer(1..=VERSION)) => {}
                _ => return Err(Refusal::malformed(format!("a version of SenML other than 1 to {VERSION}"))),
            },
            Label::BaseName => base.name = text()?,
            Label::BaseTime => base.time_ns = nanoseconds(number()?)?,
            Label::BaseUnit => base.unit = Some(text()?),
            Label::BaseValue => base.value = Some(number()?),
            Label::BaseSum => base.sum = Some(number()?),
            Label::Name => record.name = Some(text()?),
            Label::Unit => record.unit = Some(text()?),
            Label::Value => record.value = Some(Value::Number(number()?)),
            Label::Text => record.value = Some(Value::Other(Scalar::Text(text()?))),
            Label::Boolean => match field.scalar() {
                Some(value @ Scalar::Boolean(_)) => record.value = Some(Value::Other(value)),
                _ => return Err(wrong()),
            },
            Label::Data => match field.scalar() {
                Some(Scalar::Text(text)) if labels == SenmlLabels::Words => record.value = Some(Value::Encoded(text)),
                Some(bytes @ Scalar::Bytes(_)) => record.value = Some(Value::Other(bytes)),
                _ => return Err(wrong()),
            },
            Label::Sum => record.sum = Some(number()?),
            Label::Time => record.time_ns = nanoseconds(number()?)?,
            Label::UpdateTime => number().map(|_| ())?,
        }
        values += usize::from(matches!(label, Label::Value | Label::Text | Label::Boolean | Label::Data));
    }
    if values > 1 {
        return Err(Refusal::malformed(format!("a record of SenML has {values} values")));
    }
    Ok(record)
}

/// Adds value and sum of a record.
fn put(record: &Record<'_>, base: &Base<'_>, name: &mut String, observations: &mut Observations) -> Decoded<()> {
    let (own, unit) = (record.name.unwrap_or_default(), record.unit.or(base.unit));
    let mut has_value = true;
    match record.value {
        Some(Value::Other(value)) => observations.add(own, value)?,
        Some(Value::Encoded(text)) => {
            let bytes = BASE64.decode(text).map_err(|error| Refusal::malformed(format!("field 'vd': {error}")))?;
            observations.add(own, Scalar::Bytes(&bytes))?;
        }
        Some(Value::Number(value)) => observations.add(own, sum_of(Some(value), base.value))?,
        None if base.value.is_some() => observations.add(own, sum_of(None, base.value))?,
        None => has_value = false,
    }
    if has_value {
        observations.set_unit(unit)?;
    }
    if record.sum.is_some() || base.sum.is_some() {
        name.clear();
        name.push_str(own);
        name.push_str(".sum");
        return observations.add(name, sum_of(record.sum, base.sum));
    }
    if !has_value {
        return Err(Refusal::malformed(format!("the record of {} has no value", excerpt(own))));
    }
    Ok(())
}

/// A number and its base; what is not there counts as nothing.
fn sum_of(number: Option<Scalar<'_>>, base: Option<Scalar<'_>>) -> Scalar<'static> {
    let float = |scalar| match scalar {
        Some(Scalar::Integer(value)) => value as f64,
        Some(Scalar::Float(value)) => value,
        _ => 0.0,
    };
    match (number, base) {
        (Some(Scalar::Integer(value)), None) | (None, Some(Scalar::Integer(value))) => Scalar::Integer(value),
        (Some(Scalar::Integer(a)), Some(Scalar::Integer(b))) => {
            a.checked_add(b).map_or(Scalar::Float(a as f64 + b as f64), Scalar::Integer)
        }
        (Some(Scalar::Float(value)), None) | (None, Some(Scalar::Float(value))) => Scalar::Float(value),
        (number, base) => Scalar::Float(float(number) + float(base)),
    }
}

/// RFC 8428, 4.5.1.
fn check_name(base: &str, name: &str) -> Decoded<()> {
    let mut bytes = base.bytes().chain(name.bytes());
    let begins = bytes.next().is_some_and(|first| first.is_ascii_alphanumeric());
    if !begins || !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte)) {
        let what = format!("{} is not a name of SenML", excerpt(&format!("{base}{name}")));
        return Err(Refusal::malformed(what));
    }
    Ok(())
}

/// Seconds as nanoseconds: of a float, those of the shortest decimal that it is the nearest to, down to a microsecond.
fn nanoseconds(seconds: Scalar<'_>) -> Decoded<i128> {
    let beyond = || Refusal::new(RefusalKind::OutOfRange, "a time lies outside 1677 to 2262");
    match seconds {
        Scalar::Integer(seconds) => Ok(i128::from(seconds) * i128::from(SECOND_NS)),
        Scalar::Float(seconds) if seconds.abs() < 1e10 => {
            let microseconds = (seconds * 1e6).round();
            let is_decimal = microseconds / 1e6 == seconds;
            let nanoseconds = if is_decimal { microseconds as i128 * 1_000 } else { (seconds * 1e9).round() as i128 };
            Ok(nanoseconds)
        }
        _ => Err(beyond()),
    }
}

fn sent_time(time_ns: i128) -> Decoded<SentTime> {
    let beyond = |_| Refusal::new(RefusalKind::OutOfRange, "a time lies outside 1677 to 2262");
    if time_ns == 0 {
        return Ok(SentTime::Absent);
    }
    let short = i64::try_from(time_ns).map_err(beyond)?;
    Ok(if time_ns < RELATIVE_BELOW_NS { SentTime::FromReceipt(short) } else { SentTime::Instant(short) })
}

#[cfg(test)]
mod tests;
