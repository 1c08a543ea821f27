//! Samples as Parquet: zstd, dictionaries (quantised values repeat), row groups of a quarter of a million rows.

use std::fs::File;
use std::io::BufWriter;

use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{SampleSink, WriteError};

/// Rows of a row group: what the writer holds in memory at most.
const ROW_GROUP_ROWS: usize = 262_144;

/// Writes batches to a Parquet file; opened with the first batch, whose schema it takes.
pub(super) struct ParquetSink {
    waiting: Option<BufWriter<File>>,
    writer: Option<ArrowWriter<BufWriter<File>>>,
}

impl ParquetSink {
    pub(super) fn new(file: BufWriter<File>) -> Result<Self, WriteError> {
        Ok(Self { waiting: Some(file), writer: None })
    }
}

impl SampleSink for ParquetSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        if let Some(file) = self.waiting.take() {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                .set_created_by("fleetgen".to_owned())
                .build();
            let options = ArrowWriterOptions::new().with_properties(properties);
            self.writer = Some(ArrowWriter::try_new_with_options(file, batch.schema(), options)?);
        }
        match &mut self.writer {
            Some(writer) => Ok(writer.write(batch)?),
            None => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> Result<(), WriteError> {
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(())
    }
}
