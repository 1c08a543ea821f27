//! Columns in memory: what the hot tier, segments and the scan hand to each other.
//!
//! Guarantees (kept by whoever builds one, checked by [`DeviceRows::check`] in tests and at the door of a segment):
//! times rise strictly; a column's presence positions rise strictly and lie below the number of rows; a column has
//! exactly as many values as present positions; columns stand in order of their metric.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::{MetricHandle, MetricType, Value};

/// The values of one column, those that are present only.
#[derive(Debug, Clone)]
pub enum Values {
    /// Floats, bit for bit.
    Float(Vec<f64>),
    /// Integers.
    Integer(Vec<i64>),
    /// Booleans.
    Boolean(Vec<bool>),
    /// Texts by dictionary.
    Text(TextValues),
}

/// Texts as codes into a dictionary of distinct texts.
#[derive(Debug, Clone, Default)]
pub struct TextValues {
    /// The distinct texts, in order of first use.
    pub dictionary: Vec<Arc<str>>,
    /// For each value its place in the dictionary.
    pub codes: Vec<u32>,
}

impl TextValues {
    /// The text of value `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        &self.dictionary[self.codes[index] as usize]
    }
}

impl Values {
    /// No values, of a type.
    #[must_use]
    pub fn empty(metric_type: MetricType) -> Self {
        match metric_type {
            MetricType::Float => Self::Float(Vec::new()),
            MetricType::Integer => Self::Integer(Vec::new()),
            MetricType::Boolean => Self::Boolean(Vec::new()),
            MetricType::Text => Self::Text(TextValues::default()),
        }
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Boolean(values) => values.len(),
            Self::Text(values) => values.codes.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the values.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        match self {
            Self::Float(_) => MetricType::Float,
            Self::Integer(_) => MetricType::Integer,
            Self::Boolean(_) => MetricType::Boolean,
            Self::Text(_) => MetricType::Text,
        }
    }

    /// Value `index` on its own. For text this copies.
    #[must_use]
    pub fn get(&self, index: usize) -> Value {
        match self {
            Self::Float(values) => Value::Float(values[index]),
            Self::Integer(values) => Value::Integer(values[index]),
            Self::Boolean(values) => Value::Boolean(values[index]),
            Self::Text(values) => Value::Text(values.get(index).to_owned()),
        }
    }

    /// The same values in a wider type (see [`MetricType::widest`]); text stays text.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`] where the type is not wider.
    pub fn widen(self, to: MetricType) -> Result<Self> {
        match (self, to) {
            (Self::Integer(values), MetricType::Float) => {
                Ok(Self::Float(values.into_iter().map(|v| v as f64).collect()))
            }
            (Self::Boolean(values), MetricType::Float) => {
                Ok(Self::Float(values.into_iter().map(|v| f64::from(u8::from(v))).collect()))
            }
            (Self::Boolean(values), MetricType::Integer) => {
                Ok(Self::Integer(values.into_iter().map(i64::from).collect()))
            }
            (same, to) if same.metric_type() == to => Ok(same),
            (other, to) => Err(Error::new(
                ErrorKind::TypeMismatch,
                format!("a column of type {} can not be read as {to}", other.metric_type()),
            )),
        }
    }

    /// Bytes held in memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Float(values) => values.capacity() * 8,
            Self::Integer(values) => values.capacity() * 8,
            Self::Boolean(values) => values.capacity(),
            Self::Text(values) => {
                values.codes.capacity() * 4 + values.dictionary.iter().map(|text| text.len() + 32).sum::<usize>()
            }
        }
    }
}

/// Which rows of a device a column has values for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// Every row.
    All,
    /// The rows at these positions, rising strictly.
    Positions(Vec<u32>),
}

/// One column of a device's rows.
#[derive(Debug, Clone)]
pub struct Column {
    /// Which rows have a value.
    pub presence: Presence,
    /// The values of those rows, in order.
    pub values: Values,
}

/// Rows of one device, sorted by time, one row an instant.
#[derive(Debug, Clone, Default)]
pub struct DeviceRows {
    /// Nanoseconds since the epoch, rising strictly.
    pub times: Vec<i64>,
    /// The columns, by metric.
    pub columns: Vec<(MetricHandle, Column)>,
}

impl DeviceRows {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The column of a metric.
    #[must_use]
    pub fn column(&self, metric: MetricHandle) -> Option<&Column> {
        let place = self.columns.binary_search_by_key(&metric, |(handle, _)| *handle).ok()?;
        Some(&self.columns[place].1)
    }

    /// Checks what the module promises.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming what does not hold. Linear in the rows.
    pub fn check(&self) -> Result<()> {
        let problem = |text: String| Err(Error::new(ErrorKind::InvalidInput, text));
        if u32::try_from(self.times.len()).is_err() {
            return problem(format!("{} rows of one device are more than a block holds", self.times.len()));
        }
        if self.times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return problem("times do not rise strictly".to_owned());
        }
        if self.columns.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return problem("columns are not in order of their metric".to_owned());
        }
        for (metric, column) in &self.columns {
            let present = match &column.presence {
                Presence::All => self.times.len(),
                Presence::Positions(positions) => {
                    let rise = positions.windows(2).all(|pair| pair[0] < pair[1]);
                    if !rise || positions.last().is_some_and(|last| *last as usize >= self.times.len()) {
                        return problem(format!("presence of metric {metric} is not a rising list of rows"));
                    }
                    positions.len()
                }
            };
            if present != column.values.len() {
                return problem(format!("metric {metric} has {} values for {present} rows", column.values.len()));
            }
        }
        Ok(())
    }

    /// Bytes held in memory, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|(_, column)| {
                let presence = match &column.presence {
                    Presence::All => 0,
                    Presence::Positions(positions) => positions.capacity() * 4,
                };
                presence + column.values.memory_bytes() + 64
            })
            .sum();
        self.times.capacity() * 8 + columns + 64
    }
}
