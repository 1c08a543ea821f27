//! Attributes: what a device is (model, firmware, region, ...) over an interval of time.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{TimeRange, Timestamp};

use super::{AttributeName, DeviceHandle, Sequence};

/// The value of an attribute: text, or a number (a position, an age).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AttributeValue {
    /// Text of at most 1,024 bytes.
    Text(String),
    /// A number; NaN is refused when it is written.
    Number(f64),
}

impl AttributeValue {
    /// The value as text: numbers in the shortest form that reads back to the same bits.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl PartialEq for AttributeValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Eq for AttributeValue {}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for AttributeValue {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// One statement about a device, as it was made. Statements are never removed, so that a corrected past stays visible.
///
/// An open statement (`range.to` is [`Timestamp::MAX`]) sets a change point: the value holds from `range.from` until the
/// next change point. A closed one says what was true in exactly its range; afterwards holds what held there before it.
/// A later statement wins over an earlier one. `value` of `None` says that the device had no such attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributeAssertion {
    /// The device.
    pub device: DeviceHandle,
    /// The attribute.
    pub attribute: AttributeName,
    /// What it was, or `None` for "none".
    pub value: Option<AttributeValue>,
    /// When it was so.
    pub range: TimeRange,
    /// The commit that said so.
    pub sequence: Sequence,
    /// When the commit was made, by the store's clock.
    pub recorded_at: Timestamp,
}
