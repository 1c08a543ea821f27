//! Rows on their way in: blocks of rows of any devices, by column.
//!
//! Guarantees: a block's columns stand in order of their number (the place of the metric in the file's plan); presence and
//! values are as [`crate::model::Column`] promises.

use std::ops::Range;

use crate::error::Result;
use crate::model::{Column, MetricType, Presence};

use super::column_buffer::ColumnBuffer;

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
        *self.column(number) = ColumnBuffer::of_floats(values);
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
