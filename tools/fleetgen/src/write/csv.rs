//! Samples as CSV (RFC 4180): times in RFC 3339, floats as the shortest text that reads back to the same bits.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::fleet::time_text;

use super::{SampleSink, WriteError};

/// Writes batches to a CSV file, the header with the first.
pub(super) struct CsvSink {
    writer: csv::Writer<BufWriter<File>>,
    has_header: bool,
}

impl CsvSink {
    pub(super) fn new(file: BufWriter<File>) -> Result<Self, WriteError> {
        Ok(Self { writer: csv::Writer::from_writer(file), has_header: false })
    }
}

impl SampleSink for CsvSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        if !self.has_header {
            self.writer.write_record(batch.schema().fields().iter().map(|field| field.name()))?;
            self.has_header = true;
        }
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            for column in batch.columns() {
                text.clear();
                if !column.is_null(row) {
                    field_text(column.as_ref(), row, &mut text);
                }
                self.writer.write_field(&text)?;
            }
            self.writer.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), WriteError> {
        self.writer.flush().map_err(|error| WriteError::Csv(error.into()))
    }
}

/// Writing to a string can not fail.
fn field_text(column: &dyn Array, row: usize, text: &mut String) {
    let _ = match column.data_type() {
        DataType::Float64 => write!(text, "{}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Int64 => write!(text, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Boolean => write!(text, "{}", column.as_boolean().value(row)),
        DataType::Timestamp(_, _) => {
            text.write_str(&time_text(column.as_primitive::<TimestampMillisecondType>().value(row)))
        }
        _ => text.write_str(column.as_string::<i32>().value(row)),
    };
}
