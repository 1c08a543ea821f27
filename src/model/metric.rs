//! Metrics: type, unit, nature, and single values.
//!
//! The rule where devices differ in the type of one metric: boolean widens to integer, integer to float. A metric has the
//! widest type that any device has sent, and all its values, older ones too, read in that type (an integer beyond 2^53
//! reads as the nearest float). Text mixes with nothing: the write is refused with [`crate::ErrorKind::TypeMismatch`].
//! The rule for units: the first unit that is named stays; a value in another unit of the same quantity is converted when
//! it is written, one of another quantity is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{MetricHandle, MetricName};

/// The type of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MetricType {
    /// True or false.
    Boolean = 0,
    /// A 64-bit signed integer.
    Integer = 1,
    /// A 64-bit float.
    Float = 2,
    /// UTF-8 text.
    Text = 3,
}

impl MetricType {
    /// The narrowest type that holds values of both, or `None` where text meets a number.
    #[must_use]
    pub fn widest(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Text, Self::Text) => Some(Self::Text),
            (Self::Text, _) | (_, Self::Text) => None,
            _ => Some(self.max(other)),
        }
    }

    /// The type's code in stored bytes.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The type of a code in stored bytes.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Boolean, Self::Integer, Self::Float, Self::Text]
            .into_iter()
            .find(|metric_type| metric_type.code() == code)
    }

    /// The type as one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a metric's values follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub enum Nature {
    /// A level that goes up and down.
    #[default]
    Gauge,
    /// A total that only grows, but for resets.
    Counter,
}

impl Nature {
    /// The nature as one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// One value of a metric. Equality and order are those of the parts; floats compare bit for bit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Value {
    /// A float; NaN and -0.0 are kept bit for bit.
    Float(f64),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A text of at most 1,024 bytes.
    Text(String),
}

impl Value {
    /// The type of the value.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        match self {
            Self::Float(_) => MetricType::Float,
            Self::Integer(_) => MetricType::Integer,
            Self::Boolean(_) => MetricType::Boolean,
            Self::Text(_) => MetricType::Text,
        }
    }

    /// The value as a float, where it is a number or a boolean (0 or 1).
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            Self::Boolean(value) => Some(f64::from(u8::from(*value))),
            Self::Text(_) => None,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// What a store knows of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricDefinition {
    /// The metric inside the store.
    pub handle: MetricHandle,
    /// Its name.
    pub name: MetricName,
    /// The widest type sent so far.
    pub metric_type: MetricType,
    /// The unit, once one was named.
    pub unit: Option<String>,
    /// Gauge or counter.
    pub nature: Nature,
}
