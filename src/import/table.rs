//! Any file as a reader of records: for devices and events, of which there are few.
//!
//! Guarantees: a Parquet file gives the same fields as a text file would; its times come as text that names their offset
//! where they have one.

use std::path::Path;

use crate::error::Result;
use crate::ingest::RecordReader;
use crate::store::Progress;

use super::source::{Format, Source, TextOptions};

/// Opens a file of any format.
pub(super) fn open(path: &Path, delimiter: u8, progress: Option<&Progress>) -> Result<Box<dyn RecordReader>> {
    let source = Source::open(path)?;
    if source.format == Format::Parquet {
        return parquet(source);
    }
    source.records(TextOptions { delimiter, name_with_measurement: false }, progress)
}

#[cfg(feature = "parquet")]
fn parquet(source: Source) -> Result<Box<dyn RecordReader>> {
    Ok(Box::new(super::parquet_records::ParquetRecords::new(source.into_file())?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: Source) -> Result<Box<dyn RecordReader>> {
    Err(super::source::no_parquet())
}
