//! Records of a text format become blocks of rows, or rejections.
//!
//! Guarantees: a record is taken as a whole or refused as a whole; a device or metric comes into being only with a row that
//! is taken; a block holds a bounded number of rows and bytes.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{
    Field, Number, Outcome, Record, RecordReader, Rejection, TimeReader, is_missing_word, is_out_of_range,
    out_of_range, parse_number,
};
use crate::model::DeviceId;
use crate::time::TimeRange;

use super::assembler::Sink;
use super::block::{BlockBuilder, RowBlock, Scalar};
use super::counts::{ImportCounts, Rejections};
use super::options::SamplesImport;
use super::plan::{Kind, Plan, PlannedMetric, SAMPLE_ROWS};

/// Rows of a block.
const BLOCK_ROWS: usize = 4_096;
/// Bytes of a block, about.
const BLOCK_BYTES: usize = 4 << 20;
/// The longest text value, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1_024;

/// Gives blocks of rows in the order of the file.
pub(super) trait BlockSource {
    /// The next block; `None` at the end. New devices become known to the sink.
    fn next_block(&mut self, intake: &mut Intake, sink: &mut dyn Sink) -> Result<Option<RowBlock>>;
    /// Whether the file says its columns before its first row.
    fn has_header(&self) -> bool;
    /// The metrics so far, by number.
    fn metrics(&self) -> &[PlannedMetric];
    /// Checks what can be checked at the end only.
    fn check_complete(&self) -> Result<()>;
}

/// What a pass over a file collects beside rows.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) counts: ImportCounts,
    pub(super) rejections: Rejections,
    pub(super) devices: DeviceMap,
}

/// Handles of the devices seen so far.
#[derive(Debug)]
pub(super) struct DeviceMap {
    handles: HashMap<Box<str>, u32>,
    last: Option<(Box<str>, u32)>,
    name: String,
    bytes: usize,
    bytes_max: usize,
}

/// What a device of a file costs beside its name, about: here, in the bulk load and in the catalogue.
const DEVICE_BYTES: usize = 512;

impl Default for DeviceMap {
    fn default() -> Self {
        Self::within(usize::MAX)
    }
}

impl DeviceMap {
    /// No devices yet, and never more than so many bytes of them.
    pub(super) fn within(bytes_max: usize) -> Self {
        Self { handles: HashMap::new(), last: None, name: String::new(), bytes: 0, bytes_max }
    }

    /// The handle of a device, or of its link to a gateway. The inner error is the reason why there can be none.
    pub(super) fn handle(
        &mut self,
        device: &str,
        link: Option<&str>,
        sink: &mut dyn Sink,
    ) -> Result<std::result::Result<u32, String>> {
        self.name.clear();
        self.name.push_str(device);
        if let Some(link) = link {
            self.name.push('@');
            self.name.push_str(link);
        }
        if let Some((name, handle)) = &self.last
            && **name == *self.name
        {
            return Ok(Ok(*handle));
        }
        let handle = match self.handles.get(self.name.as_str()) {
            Some(handle) => *handle,
            None => {
                let subject = match Subject::new(device, link) {
                    Ok(subject) => subject,
                    Err(error) => return Ok(Err(error.message().to_owned())),
                };
                self.bytes += DEVICE_BYTES + 3 * self.name.len();
                if self.bytes > self.bytes_max {
                    let count = self.handles.len();
                    return Err(Error::new(
                        ErrorKind::LimitExceeded,
                        format!("the file names more than {count} devices, which do not fit the memory budget"),
                    )
                    .for_device(&self.name)
                    .advise("check that --device names the column of the device; if it does, give more --memory"));
                }
                let handle = match subject {
                    Subject::Device(device) => sink.device(&device)?.0,
                    Subject::Link(device, gateway) => sink.link(&device, &gateway)?.0,
                };
                self.handles.insert(self.name.as_str().into(), handle);
                handle
            }
        };
        self.last = Some((self.name.as_str().into(), handle));
        Ok(Ok(handle))
    }
}

/// What a row is about.
enum Subject {
    Device(DeviceId),
    /// A device as a gateway hears it.
    Link(DeviceId, DeviceId),
}

impl Subject {
    fn new(device: &str, gateway: Option<&str>) -> Result<Self> {
        let device = DeviceId::new(device)?;
        let Some(gateway) = gateway else { return Ok(Self::Device(device)) };
        let gateway = DeviceId::new(gateway)?;
        device.link(&gateway)?;
        Ok(Self::Link(device, gateway))
    }
}

/// The records of a text format as blocks.
pub(super) struct RecordBlocks<'a> {
    reader: Box<dyn RecordReader>,
    options: &'a SamplesImport,
    plan: Plan,
    times: TimeReader,
    time_column: &'a str,
    accepted_times: TimeRange,
    fixed_device: Option<String>,
    sample: Vec<Record>,
    sample_at: usize,
    record: Record,
    builder: BlockBuilder,
    scratch: Scratch,
}

/// Buffers of one row.
#[derive(Default)]
struct Scratch {
    device: String,
    link: String,
    values: Vec<(u32, Parsed)>,
}

/// A value that was read; a text stays in its record.
#[derive(Clone, Copy)]
enum Parsed {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl<'a> RecordBlocks<'a> {
    /// Looks at the first records and plans the columns. Rejections among them are collected.
    pub(super) fn new(
        reader: Box<dyn RecordReader>,
        plan: Plan,
        options: &'a SamplesImport,
        setting: Setting<'a>,
        intake: &mut Intake,
    ) -> Result<Self> {
        let mut blocks = Self {
            reader,
            options,
            plan,
            times: setting.times,
            time_column: setting.time_column,
            accepted_times: setting.accepted_times,
            fixed_device: setting.fixed_device,
            sample: Vec::new(),
            sample_at: 0,
            record: Record::new(),
            builder: BlockBuilder::new(options.sequence_column.is_some()),
            scratch: Scratch::default(),
        };
        let mut bytes = 0;
        while blocks.sample.len() < SAMPLE_ROWS && bytes < BLOCK_BYTES {
            let mut record = Record::new();
            match blocks.reader.read(&mut record)? {
                Outcome::End => break,
                Outcome::Record => {
                    bytes += record.text_bytes() + 64;
                    blocks.sample.push(record);
                }
                Outcome::Rejected(rejection) => refuse(intake, rejection),
            }
        }
        blocks.plan.columns_appear = !blocks.reader.has_header();
        blocks.plan.update(blocks.reader.columns(), blocks.time_column, options)?;
        blocks.plan.vote(&blocks.sample);
        Ok(blocks)
    }

    fn next_record(&mut self, intake: &mut Intake) -> Result<bool> {
        if let Some(record) = self.sample.get_mut(self.sample_at) {
            self.record = std::mem::take(record);
            self.sample_at += 1;
            return Ok(true);
        }
        loop {
            match self.reader.read(&mut self.record)? {
                Outcome::End => return Ok(false),
                Outcome::Record => return Ok(true),
                Outcome::Rejected(rejection) => refuse(intake, rejection),
            }
        }
    }

    /// Takes the record at hand, or gives the reason why not.
    fn take(&mut self, intake: &mut Intake, sink: &mut dyn Sink) -> Result<std::result::Result<(), String>> {
        match (&self.fixed_device, self.plan.device) {
            (Some(device), _) => device.clone_into(&mut self.scratch.device),
            (None, Some(column)) => {
                if let Err(reason) = name_field(self.record.field(column), "the device", &mut self.scratch.device) {
                    return Ok(Err(reason));
                }
            }
            (None, None) => return Ok(Err("the device is missing".to_owned())),
        }
        if let Err(reason) = self.take_link() {
            return Ok(Err(reason));
        }
        let time = match self.times.read(self.plan.time.map_or(Field::Missing, |column| self.record.field(column))) {
            Ok(time) if self.accepted_times.contains(time) => time,
            Ok(time) => return Ok(Err(format!("the time {time} lies outside the times that the store accepts"))),
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = self.take_values() {
            return Ok(Err(reason));
        }
        if self.scratch.values.is_empty() {
            intake.counts.empty += 1;
            return Ok(Ok(()));
        }
        let link = self.options.link_to.is_some().then_some(self.scratch.link.as_str());
        let device = match intake.devices.handle(&self.scratch.device, link, sink)? {
            Ok(device) => device,
            Err(reason) => return Ok(Err(reason)),
        };
        for (number, parsed) in &self.scratch.values {
            let metric = &mut self.plan.metrics[*number as usize];
            metric.has_booleans |= matches!(parsed, Parsed::Boolean(_));
            metric.has_numbers |= matches!(parsed, Parsed::Integer(_) | Parsed::Float(_));
            let value = match parsed {
                Parsed::Boolean(value) => Scalar::Boolean(*value),
                Parsed::Integer(value) => Scalar::Integer(*value),
                Parsed::Float(value) => Scalar::Float(*value),
                Parsed::Text => match self.record.field(self.plan.columns[*number as usize]) {
                    Field::Open(text) | Field::Text(text) => Scalar::Text(text),
                    _ => continue,
                },
            };
            self.builder.value(*number, value)?;
        }
        let sequence = self.plan.sequence.map_or(0, |column| sequence_of(self.record.field(column)));
        self.builder.end_row(device, time.nanoseconds(), sequence);
        Ok(Ok(()))
    }

    fn take_link(&mut self) -> std::result::Result<(), String> {
        if self.options.link_to.is_none() {
            return Ok(());
        }
        let field = self.plan.link.map_or(Field::Missing, |column| self.record.field(column));
        name_field(field, "the device that the link goes to", &mut self.scratch.link)
    }

    fn take_values(&mut self) -> std::result::Result<(), String> {
        self.scratch.values.clear();
        for (column, reason) in &self.plan.unusable {
            if self.record.field(*column) != Field::Missing {
                return Err(reason.clone());
            }
        }
        for number in 0..self.plan.metrics.len() {
            let field = self.record.field(self.plan.columns[number]);
            if field == Field::Missing {
                continue;
            }
            if self.plan.metrics[number].kind == Kind::Open {
                self.plan.metrics[number].kind = self.plan.kind_of(field);
            }
            let metric = &self.plan.metrics[number];
            if let Some(parsed) = parse_value(field, metric, self.options.decimal)? {
                self.scratch.values.push((number as u32, parsed));
            }
        }
        Ok(())
    }
}

/// What a pass is told beside the options.
pub(super) struct Setting<'a> {
    pub(super) times: TimeReader,
    pub(super) time_column: &'a str,
    pub(super) accepted_times: TimeRange,
    pub(super) fixed_device: Option<String>,
}

fn refuse(intake: &mut Intake, rejection: Rejection) {
    intake.counts.rows_read += 1;
    intake.rejections.add(rejection);
}

/// A device's name in a field, without the blanks around it.
pub(super) fn name_field(field: Field<'_>, what: &str, into: &mut String) -> std::result::Result<(), String> {
    into.clear();
    match field {
        Field::Open(text) | Field::Text(text) => into.push_str(text.trim()),
        Field::Integer(value) => into.push_str(&value.to_string()),
        Field::Missing => {}
        _ => {
            return Err(format!("{what} is neither a text nor an integer"));
        }
    }
    if into.is_empty() { Err(format!("{what} is missing")) } else { Ok(()) }
}

/// The value of a field for a metric, `None` where there is none, or the reason why it can not be taken.
fn parse_value(field: Field<'_>, metric: &PlannedMetric, decimal: u8) -> std::result::Result<Option<Parsed>, String> {
    let wrong = |got: &str| {
        let holds = if metric.kind == Kind::Text { "texts" } else { "numbers" };
        Err(format!("column '{}' holds {holds}, not {got}", metric.column))
    };
    match (metric.kind, field) {
        (_, Field::List) => Err(format!(
            "column '{}' has a list, which can not be stored: name the columns that are wanted (--metrics)",
            metric.column
        )),
        (_, Field::Missing) | (Kind::Open, _) => Ok(None),
        (_, Field::Instant(_) | Field::LocalTime(_) | Field::Date(_)) => wrong("a time"),
        (Kind::Number, Field::Open(text)) => match parse_number(text, decimal) {
            Some(Number::Boolean(value)) => Ok(Some(Parsed::Boolean(value))),
            Some(Number::Integer(value)) => Ok(Some(Parsed::Integer(value))),
            Some(Number::Float(value)) => Ok(Some(Parsed::Float(value))),
            None if is_missing_word(text) => Ok(None),
            None if is_out_of_range(text, decimal) => {
                Err(format!("column '{}': {}", metric.column, out_of_range(text)))
            }
            None => wrong(&crate::ingest::excerpt(text)),
        },
        (Kind::Number, Field::Boolean(value)) => Ok(Some(Parsed::Boolean(value))),
        (Kind::Number, Field::Integer(value)) => Ok(Some(Parsed::Integer(value))),
        (Kind::Number, Field::Float(value)) => Ok(Some(Parsed::Float(value))),
        (Kind::Number, Field::Text("NaN")) => Ok(Some(Parsed::Float(f64::NAN))),
        (Kind::Number, Field::Text("Infinity")) => Ok(Some(Parsed::Float(f64::INFINITY))),
        (Kind::Number, Field::Text("-Infinity")) => Ok(Some(Parsed::Float(f64::NEG_INFINITY))),
        (Kind::Number, Field::Text("")) => Ok(None),
        (Kind::Number, Field::Text(text)) => wrong(&format!("the text {}", crate::ingest::excerpt(text))),
        (Kind::Text, Field::Open(text) | Field::Text(text)) if text.len() > TEXT_BYTES_MAX => {
            Err(format!("column '{}' has a text of {} bytes, more than {TEXT_BYTES_MAX}", metric.column, text.len()))
        }
        (Kind::Text, Field::Open(_) | Field::Text(_)) => Ok(Some(Parsed::Text)),
        (Kind::Text, Field::Boolean(value)) => wrong(&value.to_string()),
        (Kind::Text, Field::Integer(value)) => wrong(&value.to_string()),
        (Kind::Text, Field::Float(value)) => wrong(&value.to_string()),
    }
}

/// The sequence of a row that has none: a number that nobody counts to.
pub(super) const NO_SEQUENCE: u64 = 0xD1B5_4A32_D192_ED03;

/// What tells rows of one instant apart: an integer as itself, anything else by its hash.
fn sequence_of(field: Field<'_>) -> u64 {
    match field {
        Field::Missing | Field::List => NO_SEQUENCE,
        Field::Integer(value) | Field::Instant(value) | Field::LocalTime(value) | Field::Date(value) => {
            value.cast_unsigned()
        }
        Field::Boolean(value) => u64::from(value),
        Field::Float(value) => value.to_bits(),
        Field::Open(text) | Field::Text(text) => sequence_of_text(text.trim()),
    }
}

/// The same of a text.
pub(super) fn sequence_of_text(text: &str) -> u64 {
    text.parse::<i64>().map_or_else(|_| xxh3_64(text.as_bytes()), i64::cast_unsigned)
}

impl BlockSource for RecordBlocks<'_> {
    fn next_block(&mut self, intake: &mut Intake, sink: &mut dyn Sink) -> Result<Option<RowBlock>> {
        let mut bytes = 0;
        while self.builder.len() < BLOCK_ROWS && (bytes < BLOCK_BYTES || self.builder.len() == 0) {
            if !self.next_record(intake)? {
                break;
            }
            bytes += self.record.text_bytes();
            self.plan.update(self.reader.columns(), self.time_column, self.options)?;
            match self.take(intake, sink)? {
                Ok(()) => intake.counts.rows_read += 1,
                Err(reason) => refuse(intake, Rejection::new(self.record.line(), reason, self.record.first_bytes())),
            }
        }
        Ok((self.builder.len() > 0).then(|| self.builder.take()))
    }

    fn has_header(&self) -> bool {
        self.reader.has_header()
    }

    fn metrics(&self) -> &[PlannedMetric] {
        &self.plan.metrics
    }

    fn check_complete(&self) -> Result<()> {
        self.plan.check_complete(self.reader.columns(), self.time_column, self.options)
    }
}
