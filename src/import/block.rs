//! Rows on their way in: blocks of rows of any devices, by column.
//!
//! Guarantees: a block's columns stand in order of their number (the place of the metric in the file's plan); presence and
//! values are as [`crate::model::Column`] promises; buffers widen boolean to integer to float and never narrow.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{Column, MetricType, Presence, TextValues, Values};

/// One value on its way into a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scalar<'a> {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar<'_> {
    pub(super) fn metric_type(self) -> MetricType {
        match self {
            Self::Boolean(_) => MetricType::Boolean,
            Self::Integer(_) => MetricType::Integer,
            Self::Float(_) => MetricType::Float,
            Self::Text(_) => MetricType::Text,
        }
    }
}

/// Rows of any devices, in any order.
#[derive(Debug, Default)]
pub(super) struct RowBlock {
    /// The device handle of each row.
    pub(super) devices: Vec<u32>,
    /// The time of each row, in nanoseconds.
    pub(super) times: Vec<i64>,
    /// What keeps rows of one device and instant apart, where a column was named for it.
    pub(super) sequences: Option<Vec<u64>>,
    /// The columns that have values, by number.
    pub(super) columns: Vec<(u32, Column)>,
}

impl RowBlock {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn column(&self, number: u32) -> Option<&Column> {
        let place = self.columns.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.columns[place].1)
    }

    /// The block without some rows, given rising.
    #[cfg(feature = "parquet")]
    pub(super) fn without(self, gone: &[usize]) -> Self {
        let mut next_gone = gone.iter().copied().peekable();
        let kept: Vec<usize> = (0..self.len()).filter(|row| next_gone.next_if_eq(row).is_none()).collect();
        let columns = self.columns.into_iter().filter_map(|(number, column)| {
            let found: Vec<(usize, usize)> = kept
                .iter()
                .enumerate()
                .filter_map(|(new, old)| Some((new, column.presence.value_place(*old)?)))
                .collect();
            let places: Vec<usize> = found.iter().map(|(_, place)| *place).collect();
            let positions = found.iter().map(|(new, _)| *new as u32).collect();
            let presence = Presence::from_positions(positions, kept.len());
            (!places.is_empty()).then(|| (number, Column { presence, values: column.values.pick(&places) }))
        });
        Self {
            columns: columns.collect(),
            devices: kept.iter().map(|row| self.devices[*row]).collect(),
            times: kept.iter().map(|row| self.times[*row]).collect(),
            sequences: self.sequences.map(|sequences| kept.iter().map(|row| sequences[*row]).collect()),
        }
    }

    /// Bytes held, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|(_, column)| {
                let positions = match &column.presence {
                    Presence::All => 0,
                    Presence::Positions(positions) => positions.capacity() * 4,
                };
                positions + column.values.memory_bytes() + 64
            })
            .sum();
        self.devices.capacity() * 4
            + self.times.capacity() * 8
            + self.sequences.as_ref().map_or(0, |sequences| sequences.capacity() * 8)
            + columns
    }
}

/// A column that grows at its end.
#[derive(Debug)]
pub(super) struct ColumnBuffer {
    /// The present rows are exactly the first ones, as many as values; `positions` is empty.
    dense: bool,
    positions: Vec<u32>,
    values: Values,
    codes: HashMap<Arc<str>, u32>,
    text_bytes: usize,
}

impl ColumnBuffer {
    pub(super) fn new(metric_type: MetricType) -> Self {
        Self {
            dense: true,
            positions: Vec::new(),
            values: Values::empty(metric_type),
            codes: HashMap::new(),
            text_bytes: 0,
        }
    }

    pub(super) fn metric_type(&self) -> MetricType {
        self.values.metric_type()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Float(values) => values.len() * 8,
            Values::Integer(values) => values.len() * 8,
            Values::Boolean(values) => values.len(),
            Values::Text(values) => values.codes.len() * 4 + values.dictionary.len() * 80 + self.text_bytes,
        };
        values + self.positions.len() * 4
    }

    /// Makes room for values of a type: widens, or changes the type of an empty buffer.
    pub(super) fn widen(&mut self, to: MetricType) -> Result<()> {
        if self.metric_type() == to {
            return Ok(());
        }
        let have = std::mem::replace(&mut self.values, Values::empty(to));
        if !have.is_empty() {
            match have.metric_type().widest(to) {
                Some(widest) => self.values = have.widen(widest)?,
                None => self.values = have.widen(to)?,
            }
        }
        Ok(())
    }

    /// Adds the value of a row behind all rows so far. A number never meets a text here: the plan's kind keeps them apart.
    pub(super) fn push(&mut self, row: usize, value: Scalar<'_>) -> Result<()> {
        if value.metric_type() != self.metric_type() {
            self.widen(value.metric_type())?;
        }
        self.mark(row);
        match (&mut self.values, value) {
            (Values::Float(values), Scalar::Float(value)) => values.push(value),
            (Values::Float(values), Scalar::Integer(value)) => values.push(value as f64),
            (Values::Float(values), Scalar::Boolean(value)) => values.push(f64::from(u8::from(value))),
            (Values::Integer(values), Scalar::Integer(value)) => values.push(value),
            (Values::Integer(values), Scalar::Boolean(value)) => values.push(i64::from(value)),
            (Values::Boolean(values), Scalar::Boolean(value)) => values.push(value),
            (Values::Text(values), Scalar::Text(text)) => {
                let code = code_of(values, &mut self.codes, &mut self.text_bytes, text, None);
                values.codes.push(code);
            }
            (values, value) => {
                debug_assert!(false, "{} after widening for {}", values.metric_type(), value.metric_type())
            }
        }
        Ok(())
    }

    fn mark(&mut self, row: usize) {
        if self.dense && self.values.len() == row {
            return;
        }
        self.list_positions();
        self.positions.push(row as u32);
    }

    fn list_positions(&mut self) {
        if self.dense {
            self.positions = (0..self.values.len() as u32).collect();
            self.dense = false;
        }
    }

    /// Appends rows of a column behind `base` rows so far. The buffer must be as wide as the column.
    pub(super) fn append(&mut self, column: &Column, rows: &Range<usize>, base: usize) -> Result<()> {
        let places = match &column.presence {
            Presence::All => {
                if !(self.dense && self.values.len() == base) {
                    self.list_positions();
                    self.positions.extend(base as u32..(base + rows.len()) as u32);
                }
                rows.clone()
            }
            Presence::Positions(positions) => {
                let from = positions.partition_point(|row| (*row as usize) < rows.start);
                let to = from + positions[from..].partition_point(|row| (*row as usize) < rows.end);
                if from == to {
                    return Ok(());
                }
                self.list_positions();
                self.positions.extend(positions[from..to].iter().map(|row| (*row as usize - rows.start + base) as u32));
                from..to
            }
        };
        self.extend(&column.values, places)
    }

    fn extend(&mut self, from: &Values, places: Range<usize>) -> Result<()> {
        if self.metric_type() < from.metric_type()
            || (self.metric_type() == MetricType::Text) != (from.metric_type() == MetricType::Text)
        {
            self.widen(from.metric_type())?;
        }
        match (&mut self.values, from) {
            (Values::Float(values), Values::Float(more)) => values.extend_from_slice(&more[places]),
            (Values::Float(values), Values::Integer(more)) => {
                values.extend(more[places].iter().map(|value| *value as f64))
            }
            (Values::Float(values), Values::Boolean(more)) => {
                values.extend(more[places].iter().map(|value| f64::from(u8::from(*value))));
            }
            (Values::Integer(values), Values::Integer(more)) => values.extend_from_slice(&more[places]),
            (Values::Integer(values), Values::Boolean(more)) => {
                values.extend(more[places].iter().map(|value| i64::from(*value)))
            }
            (Values::Boolean(values), Values::Boolean(more)) => values.extend_from_slice(&more[places]),
            (Values::Text(values), Values::Text(more)) => {
                let mut last = None;
                for code in &more.codes[places] {
                    let new = match last {
                        Some((old, new)) if old == *code => new,
                        _ => {
                            let text = &more.dictionary[*code as usize];
                            code_of(values, &mut self.codes, &mut self.text_bytes, text, Some(text))
                        }
                    };
                    last = Some((*code, new));
                    values.codes.push(new);
                }
            }
            (values, more) => {
                debug_assert!(false, "{} after widening for {}", values.metric_type(), more.metric_type())
            }
        }
        Ok(())
    }

    /// Sets the value of a row that lies at or near the end: replaces it, or puts it in.
    pub(super) fn set(&mut self, row: usize, from: &Values, place: usize) -> Result<()> {
        let behind = if self.dense {
            self.values.len().saturating_sub(row)
        } else {
            self.positions.iter().rev().take_while(|position| **position as usize >= row).count()
        };
        let keep = self.values.len() - behind;
        let present = behind > 0 && (self.dense || self.positions[keep] as usize == row);
        let tail = self.values.part(keep + usize::from(present)..self.values.len());
        self.truncate(keep);
        let tail_positions: Vec<u32> = if self.dense {
            (keep as u32 + u32::from(present)..(keep + behind) as u32).collect()
        } else {
            self.positions.drain(keep..).skip(usize::from(present)).collect()
        };
        self.mark(row);
        self.extend(from, place..place + 1)?;
        for (offset, position) in tail_positions.into_iter().enumerate() {
            self.mark(position as usize);
            self.extend(&tail, offset..offset + 1)?;
        }
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        match &mut self.values {
            Values::Float(values) => values.truncate(length),
            Values::Integer(values) => values.truncate(length),
            Values::Boolean(values) => values.truncate(length),
            Values::Text(values) => values.codes.truncate(length),
        }
    }

    /// Takes out the column of so many rows and leaves the buffer empty, in the same type.
    pub(super) fn take(&mut self, rows: usize) -> Column {
        let empty = Values::empty(self.metric_type());
        let values = std::mem::replace(&mut self.values, empty);
        let positions = std::mem::take(&mut self.positions);
        let presence = match std::mem::replace(&mut self.dense, true) {
            true if values.len() == rows => Presence::All,
            true => Presence::Positions((0..values.len() as u32).collect()),
            false => Presence::from_positions(positions, rows),
        };
        self.codes.clear();
        self.text_bytes = 0;
        Column { presence, values }
    }
}

fn code_of(
    values: &mut TextValues,
    codes: &mut HashMap<Arc<str>, u32>,
    text_bytes: &mut usize,
    text: &str,
    shared: Option<&Arc<str>>,
) -> u32 {
    if let Some(code) = codes.get(text) {
        return *code;
    }
    let text: Arc<str> = shared.map_or_else(|| Arc::from(text), Arc::clone);
    let code = values.dictionary.len() as u32;
    *text_bytes += text.len();
    values.dictionary.push(Arc::clone(&text));
    codes.insert(text, code);
    code
}

/// Collects rows, one by one or in ranges of other blocks, into a block.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    devices: Vec<u32>,
    times: Vec<i64>,
    sequences: Option<Vec<u64>>,
    columns: Vec<ColumnBuffer>,
}

impl BlockBuilder {
    pub(super) fn new(with_sequences: bool) -> Self {
        Self { sequences: with_sequences.then(Vec::new), ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Bytes held, about. Linear in the columns.
    pub(super) fn memory_bytes(&self) -> usize {
        self.times.len() * 20 + self.columns.iter().map(ColumnBuffer::memory_bytes).sum::<usize>()
    }

    fn column(&mut self, number: u32) -> &mut ColumnBuffer {
        while self.columns.len() <= number as usize {
            self.columns.push(ColumnBuffer::new(MetricType::Boolean));
        }
        &mut self.columns[number as usize]
    }

    /// Adds a value to the row that [`Self::end_row`] will end.
    pub(super) fn value(&mut self, number: u32, value: Scalar<'_>) -> Result<()> {
        let row = self.times.len();
        self.column(number).push(row, value)
    }

    /// Adds a value of any row: for each column, rows must rise.
    pub(super) fn value_at(&mut self, number: u32, row: usize, value: Scalar<'_>) -> Result<()> {
        self.column(number).push(row, value)
    }

    /// Sets a column that has a float in every row that will be ended.
    pub(super) fn float_column(&mut self, number: u32, values: Vec<f64>) {
        let column = self.column(number);
        debug_assert!(column.is_empty(), "a column is set once");
        column.values = Values::Float(values);
    }

    /// Ends a row.
    pub(super) fn end_row(&mut self, device: u32, time: i64, sequence: u64) {
        self.devices.push(device);
        self.times.push(time);
        if let Some(sequences) = &mut self.sequences {
            sequences.push(sequence);
        }
    }

    /// Appends rows of a block.
    pub(super) fn append(&mut self, block: &RowBlock, rows: &Range<usize>) -> Result<()> {
        let base = self.times.len();
        for (number, column) in &block.columns {
            self.column(*number).append(column, rows, base)?;
        }
        self.devices.extend_from_slice(&block.devices[rows.clone()]);
        self.times.extend_from_slice(&block.times[rows.clone()]);
        if let Some(sequences) = &block.sequences {
            self.sequences.get_or_insert_default().extend_from_slice(&sequences[rows.clone()]);
        }
        Ok(())
    }

    /// Takes out the block; column types stay as wide as they have become.
    pub(super) fn take(&mut self) -> RowBlock {
        let rows = self.times.len();
        let columns = self.columns.iter_mut().enumerate().filter(|(_, column)| !column.is_empty());
        let columns = columns.map(|(number, column)| (number as u32, column.take(rows))).collect();
        let sequences = self.sequences.as_mut().map(std::mem::take);
        RowBlock {
            devices: std::mem::take(&mut self.devices),
            times: std::mem::take(&mut self.times),
            sequences,
            columns,
        }
    }
}
