//! A Parquet file record by record.
//!
//! Guarantees: columns that have no form as a field (lists, structures) are missing fields, not errors: whoever asks for one gets
//! nothing of it; a batch holds a bounded number of rows.

use std::fs::File;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::Result;
use crate::ingest::{Columns, Field, Outcome, Record, RecordReader, TimeReader};
use crate::model::{Column, Values};
use crate::time::{TimeRange, Timestamp};

use super::arrow_columns::{Shape, column_of, shape_of, show_row};
use super::arrow_times::times_of;
use super::parquet::{Refused, guarded, load_metadata};

/// Rows of a batch.
const BATCH_ROWS: usize = 1_024;

enum Cells {
    Values(Column),
    /// Times, and whether they are instants rather than local times.
    Times(Vec<i64>, Vec<usize>, bool),
    Nothing,
}

/// Reads a Parquet file record by record.
pub(super) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    columns: Columns,
    batch: Option<RecordBatch>,
    cells: Vec<Cells>,
    at: usize,
    row: u64,
}

impl ParquetRecords {
    pub(super) fn new(file: File) -> Result<Self> {
        let metadata = load_metadata(&file)?;
        let names = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(BATCH_ROWS);
        let reader = guarded(|| builder.build())?;
        Ok(Self { reader, columns: Columns::from_header(names), batch: None, cells: Vec::new(), at: 0, row: 0 })
    }

    fn next_batch(&mut self) -> Result<bool> {
        let reader = &mut self.reader;
        let batch = guarded(|| {
            reader.next().transpose().map_err(|error| parquet::errors::ParquetError::External(error.into()))
        })?;
        self.at = 0;
        self.cells.clear();
        if let Some(batch) = &batch {
            for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
                self.cells.push(cells(array, field.data_type(), field.name())?);
            }
        }
        self.batch = batch;
        Ok(self.batch.is_some())
    }
}

fn cells(array: &arrow_array::ArrayRef, data_type: &DataType, name: &str) -> Result<Cells> {
    let mut refused = Refused::new();
    let is_instant = match data_type {
        DataType::Timestamp(
            ArrowUnit::Second | ArrowUnit::Millisecond | ArrowUnit::Microsecond | ArrowUnit::Nanosecond,
            zone,
        ) => zone.is_some(),
        DataType::Date32 | DataType::Date64 => false,
        other if matches!(shape_of(other), Shape::Text | Shape::Integer | Shape::Number) => {
            return Ok(Cells::Values(column_of(array, name, &mut refused)?));
        }
        _ => return Ok(Cells::Nothing),
    };
    let times = times_of(array, &TimeReader::default(), TimeRange::ALL, &mut refused)?;
    Ok(Cells::Times(times, refused.into_iter().map(|(row, _)| row).collect(), is_instant))
}

impl RecordReader for ParquetRecords {
    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<Outcome> {
        while self.batch.as_ref().is_none_or(|batch| self.at >= batch.num_rows()) {
            if !self.next_batch()? {
                return Ok(Outcome::End);
            }
        }
        let Some(batch) = &self.batch else { return Ok(Outcome::End) };
        self.row += 1;
        record.begin(self.row, show_row(batch, self.at).as_bytes());
        for (number, cells) in self.cells.iter().enumerate() {
            match cells {
                Cells::Nothing => {}
                Cells::Times(times, missing, is_instant) => {
                    if !missing.contains(&self.at) {
                        let text = Timestamp::from_nanoseconds(times[self.at]).to_string();
                        record.set(number, Field::Text(if *is_instant { &text } else { text.trim_end_matches('Z') }));
                    }
                }
                Cells::Values(column) => {
                    let Some(place) = column.presence.value_place(self.at) else { continue };
                    match &column.values {
                        Values::Float(values) => record.set(number, Field::Float(values[place])),
                        Values::Integer(values) => record.set(number, Field::Integer(values[place])),
                        Values::Boolean(values) => record.set(number, Field::Boolean(values[place])),
                        Values::Text(values) => record.set(number, Field::Text(values.get(place))),
                    }
                }
            }
        }
        self.at += 1;
        Ok(Outcome::Record)
    }
}
