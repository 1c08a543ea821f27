//! Rows of many devices as flat columns, in the order of their commits.
//!
//! Guarantees: the rows of a column rise, though a row may come twice (the later value wins); a column has as many values
//! as rows; devices and times have one entry for each row.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::Result;
use crate::model::StoredLog;
use crate::model::{BatchColumn, MetricHandle, Values};

/// One metric's values so far.
#[derive(Debug, Clone)]
pub(super) struct FlatColumn {
    /// Rows, rising.
    pub(super) rows: Vec<u32>,
    /// Their values.
    pub(super) values: Values,
    /// For text: the place of each text in the dictionary, while the column grows.
    places: HashMap<Arc<str>, u32>,
}

/// Flat rows and log records.
#[derive(Debug, Clone, Default)]
pub(super) struct FlatRows {
    pub(super) devices: Vec<u32>,
    pub(super) times: Vec<i64>,
    pub(super) columns: BTreeMap<MetricHandle, FlatColumn>,
    pub(super) logs: Vec<StoredLog>,
    log_bytes: usize,
}

impl FlatColumn {
    pub(super) fn new(rows: Vec<u32>, values: Values) -> Self {
        let mut column = Self { rows, values, places: HashMap::new() };
        if let Values::Text(texts) = &column.values {
            column.places =
                texts.dictionary.iter().enumerate().map(|(code, text)| (Arc::clone(text), code as u32)).collect();
        }
        column
    }

    /// Appends values; their rows count from `first_row`.
    fn append(&mut self, first_row: u32, rows: &[u32], values: &Values) -> Result<()> {
        let (have, got) = (self.values.metric_type(), values.metric_type());
        if let Some(widest) = have.widest(got).filter(|widest| *widest != have) {
            let narrow = std::mem::replace(&mut self.values, Values::empty(widest));
            self.values = narrow.widen(widest)?;
        }
        match (&mut self.values, values) {
            (Values::Float(all), Values::Float(more)) => all.extend_from_slice(more),
            (Values::Integer(all), Values::Integer(more)) => all.extend_from_slice(more),
            (Values::Boolean(all), Values::Boolean(more)) => all.extend_from_slice(more),
            (Values::Text(all), Values::Text(more)) => {
                let places = &mut self.places;
                let mut place_of = |text: &Arc<str>| {
                    *places.entry(Arc::clone(text)).or_insert_with(|| {
                        all.dictionary.push(Arc::clone(text));
                        (all.dictionary.len() - 1) as u32
                    })
                };
                let codes: Vec<u32> = more.dictionary.iter().map(&mut place_of).collect();
                all.codes.extend(more.codes.iter().map(|code| codes[*code as usize]));
            }
            // A narrower type than the column has by now; text against a number is refused here.
            (all, more) => match (all, more.clone().widen(have)?) {
                (Values::Float(all), Values::Float(more)) => all.extend(more),
                (Values::Integer(all), Values::Integer(more)) => all.extend(more),
                _ => {}
            },
        }
        self.rows.extend(rows.iter().map(|row| first_row + row));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * 4 + self.values.memory_bytes() + self.places.capacity() * 32 + 64
    }
}

impl FlatRows {
    /// Appends the rows of one commit.
    pub(super) fn append<'a>(
        &mut self,
        devices: impl Iterator<Item = u32>,
        times: &[i64],
        columns: impl Iterator<Item = (MetricHandle, &'a BatchColumn)>,
    ) -> Result<()> {
        let first_row = self.times.len() as u32;
        self.devices.extend(devices);
        self.times.extend_from_slice(times);
        for (metric, column) in columns {
            self.append_column(metric, first_row, &column.rows, &column.values)?;
        }
        Ok(())
    }

    /// Appends the rows of a later chunk.
    pub(super) fn append_flat(&mut self, later: Self) -> Result<()> {
        let first_row = self.times.len() as u32;
        self.devices.extend(later.devices);
        self.times.extend(later.times);
        for (metric, column) in &later.columns {
            self.append_column(*metric, first_row, &column.rows, &column.values)?;
        }
        later.logs.into_iter().for_each(|log| self.append_log(log));
        Ok(())
    }

    fn append_column(&mut self, metric: MetricHandle, first_row: u32, rows: &[u32], values: &Values) -> Result<()> {
        let column = self
            .columns
            .entry(metric)
            .or_insert_with(|| FlatColumn::new(Vec::new(), Values::empty(values.metric_type())));
        column.append(first_row, rows, values)
    }

    /// Appends a log record.
    pub(super) fn append_log(&mut self, log: StoredLog) {
        self.log_bytes += log_bytes(&log);
        self.logs.push(log);
    }

    /// Gives back what the columns reserved for growth.
    pub(super) fn shrink(&mut self) {
        self.devices.shrink_to_fit();
        self.times.shrink_to_fit();
        self.logs.shrink_to_fit();
        for column in self.columns.values_mut() {
            column.rows.shrink_to_fit();
            column.places = HashMap::new();
            match &mut column.values {
                Values::Float(values) => values.shrink_to_fit(),
                Values::Integer(values) => values.shrink_to_fit(),
                Values::Boolean(values) => values.shrink_to_fit(),
                Values::Text(values) => values.codes.shrink_to_fit(),
            }
        }
    }

    /// Bytes held, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns: usize = self.columns.values().map(FlatColumn::memory_bytes).sum();
        self.devices.capacity() * 4 + self.times.capacity() * 8 + columns + self.log_bytes
    }
}

/// Bytes of a log record in memory, about.
pub(super) fn log_bytes(log: &StoredLog) -> usize {
    let fields: usize = log.fields.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
    log.source.len() + log.message.len() + fields + size_of::<StoredLog>() + 32
}
