//! Any file as a reader of records: for devices and events, of which there are few.
//!
//! Guarantees: a Parquet file gives the same fields as a text file would, but that what is a time there comes as one.

use std::path::Path;

use crate::error::Result;
use crate::ingest::RecordReader;
use crate::store::Progress;

use super::source::{Format, Source, TextOptions};

/// Opens a file of any format.
pub(super) fn open(path: &Path, delimiter: u8, progress: Option<&Progress>) -> Result<Box<dyn RecordReader>> {
    let source = Source::open(path)?;
    if source.format == Format::Parquet {
        return parquet(source, progress);
    }
    source.records(TextOptions { delimiter, name_with_measurement: false }, progress)
}

#[cfg(feature = "parquet")]
fn parquet(source: Source, progress: Option<&Progress>) -> Result<Box<dyn RecordReader>> {
    let length = source.length();
    Ok(Box::new(super::parquet_records::ParquetRecords::new(source.into_file(), length, progress)?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: Source, _: Option<&Progress>) -> Result<Box<dyn RecordReader>> {
    Err(super::source::no_parquet())
}
