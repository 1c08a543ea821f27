//! Samples in Parquet: row groups become blocks of rows by column, without a value on its own.
//!
//! Guarantees: only the columns that are wanted are read; a batch holds a bounded number of bytes; a column that can not be
//! stored (a list, a structure, a time as a metric) is named in the error before anything is read; a file whose insides are
//! damaged is an error, also where the library below panics.

use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Columns, Rejection, TimeReader};
use crate::model::Column;
use crate::store::Progress;
use crate::time::TimeRange;

use super::arrow_columns::{Shape, column_of, names_of, sequences_of, shape_of};
use super::arrow_times::{check_time_type, times_of};
use super::assembler::Sink;
use super::block::RowBlock;
use super::options::SamplesImport;
use super::plan::{Kind, Plan, PlannedMetric};
use super::records::{BlockSource, Intake, Setting};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8_192;
/// Bytes of a batch that its rows are chosen for, at eight bytes a value.
const BATCH_BYTES: usize = 4 << 20;

/// The rows of a Parquet file as blocks.
pub(super) struct ParquetBlocks<'a> {
    reader: ParquetRecordBatchReader,
    plan: Plan,
    columns: Columns,
    options: &'a SamplesImport,
    times: TimeReader,
    time_column: &'a str,
    accepted_times: TimeRange,
    fixed_device: Option<String>,
    /// For each column of the file its place in a batch.
    places: Vec<Option<usize>>,
    rows_read: u64,
    progress: Option<(Progress, f64)>,
}

/// Reasons why rows are refused: (row of the batch, reason), in any order.
pub(super) type Refused = Vec<(usize, String)>;

impl<'a> ParquetBlocks<'a> {
    /// Reads the file's own description and plans its columns.
    pub(super) fn new(
        file: File,
        length: u64,
        mut plan: Plan,
        options: &'a SamplesImport,
        setting: Setting<'a>,
        progress: Option<&Progress>,
    ) -> Result<Self> {
        let metadata = load_metadata(&file)?;
        let schema = Arc::clone(metadata.schema());
        let columns = Columns::from_header(schema.fields().iter().map(|field| field.name().clone()).collect());
        Plan::check_header(&columns, setting.time_column, options)?;
        plan.update(&columns, setting.time_column, options)?;
        check_columns(&mut plan, &schema, &setting.times)?;

        let mut wanted: Vec<usize> = plan.columns.clone();
        wanted.extend([plan.device, plan.link, plan.time, plan.sequence].into_iter().flatten());
        wanted.sort_unstable();
        wanted.dedup();
        let mut places = vec![None; schema.fields().len()];
        wanted.iter().enumerate().for_each(|(place, column)| places[*column] = Some(place));

        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or_default();
        let metadata = with_dictionaries(&file, &schema, &wanted).unwrap_or(metadata);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted.iter().copied());
        let batch_rows = batch_rows(metadata.metadata(), &mask, wanted.len());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let reader = guarded(|| builder.with_projection(mask).with_batch_size(batch_rows).build())?;
        Ok(Self {
            reader,
            plan,
            columns,
            options,
            times: setting.times,
            time_column: setting.time_column,
            accepted_times: setting.accepted_times,
            fixed_device: setting.fixed_device,
            places,
            rows_read: 0,
            progress: progress.map(|progress| (progress.clone(), length as f64 / rows.max(1) as f64)),
        })
    }

    fn place(&self, column: Option<usize>) -> Option<usize> {
        column.and_then(|column| self.places.get(column).copied().flatten())
    }

    /// Turns a batch into a block without the rows that are refused or empty.
    fn block(&self, batch: &RecordBatch, intake: &mut Intake, sink: &mut dyn Sink) -> Result<RowBlock> {
        let mut refused = Refused::new();
        let array = |column| self.place(column).map(|place| batch.column(place));
        let mut times = Vec::new();
        if let Some(array) = array(self.plan.time) {
            times = times_of(array, &self.times, self.accepted_times, &mut refused)?;
        }
        let mut columns = Vec::with_capacity(self.plan.metrics.len());
        for (number, metric) in self.plan.metrics.iter().enumerate() {
            let Some(array) = array(Some(self.plan.columns[number])) else { continue };
            let column = column_of(array, &metric.column, &mut refused)?;
            if !column.values.is_empty() {
                columns.push((number as u32, column));
            }
        }
        let sequences = match array(self.plan.sequence) {
            Some(array) => Some(sequences_of(array, &mut refused)?),
            None => None,
        };
        let gone = self.refuse(batch, refused, &columns, intake);
        let devices = self.devices(batch, gone, intake, sink)?;
        let block = RowBlock { devices: devices.0, times, sequences, columns };
        Ok(if devices.1.is_empty() { block } else { block.without(&devices.1) })
    }

    /// Counts refused and empty rows; gives the rows that are gone, rising.
    fn refuse(
        &self,
        batch: &RecordBatch,
        mut refused: Refused,
        columns: &[(u32, Column)],
        intake: &mut Intake,
    ) -> Vec<usize> {
        refused.sort_by_key(|(row, _)| *row);
        refused.dedup_by_key(|(row, _)| *row);
        let mut gone: Vec<usize> = refused.iter().map(|(row, _)| *row).collect();
        for (row, reason) in refused {
            self.reject(batch, row, reason, intake);
        }
        let dense = columns.iter().any(|(_, column)| column.values.len() == batch.num_rows());
        if !dense {
            let empty = |row: &usize| columns.iter().all(|(_, column)| column.presence.value_place(*row).is_none());
            let empty: Vec<usize> =
                (0..batch.num_rows()).filter(|row| gone.binary_search(row).is_err()).filter(empty).collect();
            intake.counts.empty += empty.len() as u64;
            gone.extend(empty);
            gone.sort_unstable();
        }
        gone
    }

    fn reject(&self, batch: &RecordBatch, row: usize, reason: String, intake: &mut Intake) {
        let shown = super::arrow_columns::show_row(batch, row);
        intake.rejections.add(Rejection::new(self.rows_read + row as u64 + 1, reason, shown.as_bytes()));
    }

    /// The devices of all rows but those that are gone, and the rows that are gone, more of them perhaps.
    fn devices(
        &self,
        batch: &RecordBatch,
        mut gone: Vec<usize>,
        intake: &mut Intake,
        sink: &mut dyn Sink,
    ) -> Result<(Vec<u32>, Vec<usize>)> {
        let rows = batch.num_rows();
        let named = |column: Option<usize>| self.place(column).map(|place| names_of(batch.column(place))).transpose();
        let (device_names, link_names) = (named(self.plan.device)?, named(self.plan.link)?);
        let mut handles = Vec::with_capacity(rows);
        let mut refused = Refused::new();
        let mut next_gone = gone.iter().copied().peekable();
        let mut last: Option<((u32, u32), u32)> = None;
        for row in 0..rows {
            if next_gone.next_if_eq(&row).is_some() {
                handles.push(0);
                continue;
            }
            let code = |names: &Option<super::arrow_columns::Names>| names.as_ref().map_or(0, |names| names.codes[row]);
            let codes = (code(&device_names), code(&link_names));
            if let Some((known, handle)) = last
                && known == codes
            {
                handles.push(handle);
                continue;
            }
            let name = |names: &'_ Option<super::arrow_columns::Names>, code: u32| {
                names.as_ref().and_then(|names| names.texts.get(code as usize).cloned().flatten())
            };
            let device = self.fixed_device.as_deref().map(Arc::from).or_else(|| name(&device_names, codes.0));
            let link = name(&link_names, codes.1);
            let handle = match (&device, &link) {
                (None, _) => Err("the device is missing".to_owned()),
                (_, None) if link_names.is_some() => Err("the device that the link goes to is missing".to_owned()),
                (Some(device), link) => intake.devices.handle(device, link.as_deref(), sink)?,
            };
            match handle {
                Ok(handle) => {
                    last = Some((codes, handle));
                    handles.push(handle);
                }
                Err(reason) => {
                    refused.push((row, reason));
                    handles.push(0);
                }
            }
        }
        gone.extend(refused.iter().map(|(row, _)| *row));
        gone.sort_unstable();
        for (row, reason) in refused {
            self.reject(batch, row, reason, intake);
        }
        Ok((handles, gone))
    }
}

impl BlockSource for ParquetBlocks<'_> {
    fn next_block(&mut self, intake: &mut Intake, sink: &mut dyn Sink) -> Result<Option<RowBlock>> {
        loop {
            let reader = &mut self.reader;
            let Some(batch) = guarded(|| {
                reader.next().transpose().map_err(|error| parquet::errors::ParquetError::External(error.into()))
            })?
            else {
                return Ok(None);
            };
            let block = self.block(&batch, intake, sink)?;
            let rows = batch.num_rows() as u64;
            self.rows_read += rows;
            intake.counts.rows_read += rows;
            if let Some((progress, bytes_per_row)) = &self.progress {
                progress.advance((rows as f64 * bytes_per_row) as u64);
            }
            if block.len() > 0 {
                return Ok(Some(block));
            }
        }
    }

    fn has_header(&self) -> bool {
        true
    }

    fn metrics(&self) -> &[PlannedMetric] {
        &self.plan.metrics
    }

    fn check_complete(&self) -> Result<()> {
        self.plan.check_complete(&self.columns, self.time_column, self.options)
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs a part of another library whose panic becomes an error of ours: a program's panic hook may stay
/// silent then.
#[must_use]
pub fn panics_become_errors() -> bool {
    GUARDED.get()
}

/// Says so until it is dropped.
struct Mark(bool);

impl Mark {
    fn set() -> Self {
        Self(GUARDED.replace(true))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        GUARDED.set(self.0);
    }
}

/// Runs a part of the Parquet library; its errors and its panics become errors of ours.
pub(super) fn guarded<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let _mark = Mark::set();
    let problem =
        |text: String| Error::new(ErrorKind::InvalidInput, format!("the Parquet file can not be read: {text}"));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(problem(error.to_string()).caused_by(error)),
        Err(_) => Err(problem("its insides contradict each other".to_owned())),
    }
}

/// How many rows a batch may have, so that it holds a bounded number of bytes.
fn batch_rows(metadata: &ParquetMetaData, mask: &ProjectionMask, columns: usize) -> usize {
    let row_bytes = |group: &RowGroupMetaData| {
        let wanted = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        let bytes: i64 = wanted.map(|(_, chunk)| chunk.uncompressed_size().max(0)).sum();
        bytes / group.num_rows().max(1)
    };
    let widest = metadata.row_groups().iter().map(row_bytes).max().unwrap_or_default();
    let row_bytes = usize::try_from(widest).unwrap_or(usize::MAX).max(8 * columns.max(1));
    (BATCH_BYTES / row_bytes).clamp(16, BATCH_ROWS)
}

/// The file's description.
pub(super) fn load_metadata(file: &File) -> Result<ArrowReaderMetadata> {
    guarded(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::new()))
}

/// The description again, with texts as dictionaries, as most files store them; `None` where the library will not.
fn with_dictionaries(file: &File, schema: &Schema, wanted: &[usize]) -> Option<ArrowReaderMetadata> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let mut changed = false;
    let fields: Vec<Arc<Field>> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(number, field)| {
            if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                && wanted.contains(&number)
            {
                changed = true;
                Arc::new(field.as_ref().clone().with_data_type(dictionary.clone()))
            } else {
                Arc::clone(field)
            }
        })
        .collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    changed
        .then(|| guarded(|| ArrowReaderMetadata::load(file, ArrowReaderOptions::new().with_schema(schema))).ok())
        .flatten()
}

/// Checks the types of all wanted columns, and settles which metrics are text.
fn check_columns(plan: &mut Plan, schema: &Schema, times: &TimeReader) -> Result<()> {
    if let Some(column) = plan.time {
        check_time_type(schema.field(column), times)?;
    }
    for column in [plan.device, plan.link, plan.sequence].into_iter().flatten() {
        let field = schema.field(column);
        if !matches!(shape_of(field.data_type()), Shape::Text | Shape::Integer) {
            return Err(unusable(field, "a name or a counter"));
        }
    }
    for (metric, column) in plan.metrics.iter_mut().zip(&plan.columns) {
        let field = schema.field(*column);
        let kind = match shape_of(field.data_type()) {
            Shape::Text => Kind::Text,
            Shape::Integer | Shape::Number => Kind::Number,
            Shape::Nothing => continue,
            Shape::Other => return Err(unusable(field, "a metric").advise("name the wanted columns with --metrics")),
        };
        if metric.kind != Kind::Open && metric.kind != kind {
            let holds = if kind == Kind::Text { "texts" } else { "numbers" };
            return Err(Error::new(
                ErrorKind::TypeMismatch,
                format!("column '{}' holds {holds}, the metric '{}' does not", metric.column, metric.name),
            )
            .advise("give the column another name with --rename"));
        }
        metric.kind = kind;
    }
    Ok(())
}

pub(super) fn unusable(field: &Field, what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("column '{}' of type {} can not be {what}", field.name(), field.data_type()),
    )
}
