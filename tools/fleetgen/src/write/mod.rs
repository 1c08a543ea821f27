//! A fleet as a folder of files: samples, devices, attribute history, events, log lines, and the truth.
//!
//! Guarantees: the same fleet and options give the same bytes; rows are streamed, so that memory does not grow with the
//! fleet's length. `truth.json` is written last: a folder without it is not complete.

mod csv;
mod own_time;
mod parquet;
mod samples;
mod tables;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use arrow_array::RecordBatch;

use crate::fleet::Fleet;

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `samples.parquet`.
    Parquet,
    /// `samples.csv`.
    Csv,
}

/// In which order samples are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By device, then by the device's own time.
    Device,
    /// By true time, then by device.
    Time,
    /// By device, then as they arrive: one row in a thousand comes 2 to 120 rows late.
    Arrival,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Samples.
    pub rows: u64,
    /// Samples behind later ones of their device.
    pub late_rows: u64,
    /// Values in the samples.
    pub values: u64,
    /// Events.
    pub events: u64,
    /// Changes of attributes.
    pub attribute_changes: u64,
    /// Log lines.
    pub log_lines: u64,
}

/// Why a fleet could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// The Parquet writer failed.
    #[error("samples.parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// Columns did not fit each other.
    #[error("samples: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The CSV writer failed.
    #[error("CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// The JSON writer failed.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Receives batches of samples.
trait SampleSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError>;
    fn finish(self: Box<Self>) -> Result<(), WriteError>;
}

/// A new file in the folder, buffered.
fn create(folder: &Path, name: &str) -> Result<BufWriter<File>, WriteError> {
    let path = folder.join(name);
    match File::create(&path) {
        Ok(file) => Ok(BufWriter::with_capacity(1 << 18, file)),
        Err(error) => Err(WriteError::Io { path, error }),
    }
}

/// Writes a fleet into a folder, which is made where it is missing; files of these names are replaced.
///
/// # Errors
/// Names the file that could not be written, and why.
pub fn write_fleet(fleet: &Fleet, folder: &Path, format: Format, order: Order) -> Result<Summary, WriteError> {
    std::fs::create_dir_all(folder).map_err(|error| WriteError::Io { path: folder.to_owned(), error })?;
    let sink: Box<dyn SampleSink> = match format {
        Format::Parquet => Box::new(parquet::ParquetSink::new(create(folder, "samples.parquet")?)?),
        Format::Csv => Box::new(csv::CsvSink::new(create(folder, "samples.csv")?)?),
    };
    let mut summary = write_samples(fleet, order, sink)?;
    tables::write_devices(fleet, create(folder, "devices.csv")?)?;
    summary.attribute_changes = tables::write_attributes(fleet, create(folder, "attributes.csv")?)?;
    summary.events = tables::write_events(fleet, create(folder, "events.csv")?)?;
    summary.log_lines = tables::write_logs(fleet, create(folder, "logs.jsonl")?)?;
    let mut truth = fleet.truth();
    (truth.rows, truth.late_rows) = (summary.rows, summary.late_rows);
    tables::write_truth(&truth, create(folder, "truth.json")?)?;
    Ok(summary)
}

/// One thread makes batches while this one encodes and writes them.
fn write_samples(fleet: &Fleet, order: Order, mut sink: Box<dyn SampleSink>) -> Result<Summary, WriteError> {
    /// Batches that wait at most.
    const WAITING: usize = 8;
    let mut summary = Summary::default();
    let (sender, receiver) = sync_channel::<RecordBatch>(WAITING);
    let late_rows = std::thread::scope(|scope| {
        // A failed send means that the writer gave up: its error is the one to report.
        let maker = scope.spawn(move || samples::make(fleet, order, &mut |batch| sender.send(batch).is_ok()));
        for batch in receiver {
            summary.rows += batch.num_rows() as u64;
            summary.values += samples::value_count(&batch);
            sink.write(&batch)?;
        }
        maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(WriteError::from)
    })?;
    sink.finish()?;
    summary.late_rows = late_rows;
    Ok(summary)
}
