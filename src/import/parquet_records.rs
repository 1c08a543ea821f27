//! A Parquet file record by record.
//!
//! Guarantees: columns that have no form as a field (lists, structures) are missing fields, not errors: whoever asks for one gets
//! nothing of it; a batch holds a bounded number of rows.

use std::fs::File;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit as ArrowUnit};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::Result;
use crate::ingest::{Columns, Field, Outcome, Record, RecordReader, TimeReader};
use crate::model::{Column, Values};
use crate::store::Progress;
use crate::time::{DAY_NS, TimeRange};

use super::arrow_columns::{Shape, column_of, shape_of, show_row};
use super::arrow_times::times_of;
use super::parquet::{Refused, guarded, load_metadata};

/// Rows of a batch.
const BATCH_ROWS: usize = 1_024;

enum Cells {
    Values(Column),
    /// Times, rows that have none, and what they are.
    Times(Vec<i64>, Vec<usize>, TimeKind),
    Nothing,
}

#[derive(Clone, Copy)]
enum TimeKind {
    Instant,
    LocalTime,
    Date,
}

/// Reads a Parquet file record by record.
pub(super) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    columns: Columns,
    batch: Option<RecordBatch>,
    cells: Vec<Cells>,
    at: usize,
    row: u64,
    progress: Option<(Progress, f64)>,
}

impl ParquetRecords {
    /// `length` is that of the file, in bytes, for the progress.
    pub(super) fn new(file: File, length: u64, progress: Option<&Progress>) -> Result<Self> {
        let metadata = load_metadata(&file)?;
        let rows = metadata.metadata().file_metadata().num_rows().max(1);
        let names = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(BATCH_ROWS);
        let reader = guarded(|| builder.build())?;
        Ok(Self {
            reader,
            columns: Columns::from_header(names),
            batch: None,
            cells: Vec::new(),
            at: 0,
            row: 0,
            progress: progress.map(|progress| (progress.clone(), length as f64 / rows as f64)),
        })
    }

    fn next_batch(&mut self) -> Result<bool> {
        let reader = &mut self.reader;
        let batch = guarded(|| {
            reader.next().transpose().map_err(|error| parquet::errors::ParquetError::External(error.into()))
        })?;
        self.at = 0;
        self.cells.clear();
        if let Some(batch) = &batch {
            if let Some((progress, bytes_per_row)) = &self.progress {
                progress.advance((batch.num_rows() as f64 * bytes_per_row) as u64);
            }
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
    let kind = match data_type {
        DataType::Timestamp(
            ArrowUnit::Second | ArrowUnit::Millisecond | ArrowUnit::Microsecond | ArrowUnit::Nanosecond,
            zone,
        ) => {
            if zone.is_some() {
                TimeKind::Instant
            } else {
                TimeKind::LocalTime
            }
        }
        DataType::Date32 | DataType::Date64 => TimeKind::Date,
        other if matches!(shape_of(other), Shape::Text | Shape::Integer | Shape::Number) => {
            return Ok(Cells::Values(column_of(array, name, &mut refused)?));
        }
        _ => return Ok(Cells::Nothing),
    };
    let times = times_of(array, &TimeReader::default(), TimeRange::ALL, &mut refused)?;
    Ok(Cells::Times(times, refused.into_iter().map(|(row, _)| row).collect(), kind))
}

impl RecordReader for ParquetRecords {
    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn has_header(&self) -> bool {
        true
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
                Cells::Times(_, refused, _) if refused.contains(&self.at) => {
                    // One that is beyond our years is no missing one: as text it is refused by its name.
                    if !batch.column(number).is_null(self.at)
                        && let Ok(shown) = arrow_cast::display::array_value_to_string(batch.column(number), self.at)
                    {
                        record.set(number, Field::Text(&shown));
                    }
                }
                Cells::Times(times, _, kind) => {
                    let time = times[self.at];
                    record.set(
                        number,
                        match kind {
                            TimeKind::Instant => Field::Instant(time),
                            TimeKind::Date if time.rem_euclid(DAY_NS) == 0 => Field::Date(time / DAY_NS),
                            TimeKind::LocalTime | TimeKind::Date => Field::LocalTime(time),
                        },
                    );
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
