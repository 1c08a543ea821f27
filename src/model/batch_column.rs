//! The values of one metric in a batch: they widen as they come.

use crate::error::{Error, ErrorKind, Result};

use super::{MetricName, MetricType, Nature, TextValues, Value, Values};

/// The longest text value, attribute value or label, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// A metric of a batch, with its values so far.
#[derive(Debug)]
pub struct BatchMetric {
    /// The metric's name.
    pub name: MetricName,
    /// The unit of these values, where it was named.
    pub unit: Option<String>,
    /// The nature, where it was named.
    pub nature: Option<Nature>,
    /// The type, where it was named beside the values.
    pub named_type: Option<MetricType>,
    /// The values.
    pub column: BatchColumn,
}

impl BatchMetric {
    /// The type that this batch needs the metric to have; `None` where it has neither values nor a named type.
    #[must_use]
    pub fn sent_type(&self) -> Option<MetricType> {
        let own = (!self.column.rows.is_empty()).then(|| self.column.values.metric_type());
        match (own, self.named_type) {
            (Some(own), Some(named)) => Some(own.widest(named).unwrap_or(own)),
            (own, named) => own.or(named),
        }
    }
}

/// Values of one metric of a batch: for each its row in the batch. A row may come twice: the later value wins.
#[derive(Debug, Clone)]
pub struct BatchColumn {
    /// Rows, rising.
    pub rows: Vec<u32>,
    /// The values, as many as rows; in the widest type of the batch.
    pub values: Values,
}

impl BatchColumn {
    pub(super) fn push(&mut self, row: u32, value: Value) -> Result<()> {
        let (have, got) = (self.values.metric_type(), value.metric_type());
        if self.values.is_empty() {
            self.values = Values::empty(got);
        } else if have != got {
            let widest = have.widest(got).ok_or_else(|| {
                Error::new(ErrorKind::TypeMismatch, format!("a {got} value in a metric that holds {have}"))
                    .advise("give the text and the number metrics of their own")
            })?;
            let narrow = std::mem::replace(&mut self.values, Values::empty(widest));
            self.values = narrow.widen(widest)?;
        }
        match (&mut self.values, value) {
            (Values::Float(values), Value::Float(value)) => values.push(value),
            (Values::Float(values), Value::Integer(value)) => values.push(value as f64),
            (Values::Float(values), Value::Boolean(value)) => values.push(f64::from(u8::from(value))),
            (Values::Integer(values), Value::Integer(value)) => values.push(value),
            (Values::Integer(values), Value::Boolean(value)) => values.push(i64::from(value)),
            (Values::Boolean(values), Value::Boolean(value)) => values.push(value),
            (Values::Text(values), Value::Text(value)) => push_text(values, &value)?,
            (values, value) => {
                return Err(Error::new(
                    ErrorKind::TypeMismatch,
                    format!("a {} value in a {} column", value.metric_type(), values.metric_type()),
                ));
            }
        }
        self.rows.push(row);
        Ok(())
    }
}

fn push_text(values: &mut TextValues, text: &str) -> Result<()> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(too_long("a text value", text.len()));
    }
    // Batches hold few distinct texts; the segment writer builds its own dictionary with a map.
    let recent = values.dictionary.len().saturating_sub(16);
    let known = values.dictionary[recent..].iter().position(|known| &**known == text).map(|place| place + recent);
    let code = known.unwrap_or_else(|| {
        values.dictionary.push(text.into());
        values.dictionary.len() - 1
    });
    values.codes.push(code as u32);
    Ok(())
}

pub(super) fn too_long(what: &str, bytes: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("{what} of {bytes} bytes, more than {TEXT_BYTES_MAX}"))
}
