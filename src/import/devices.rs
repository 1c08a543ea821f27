//! Devices and their attributes of one file into a store.
//!
//! The rule for numbers: every attribute is text (a firmware `2.4` and a site `007` stay what they are), but for the columns of
//! [`NUMBER_COLUMNS`] and those that [`DevicesImport::number_columns`] names: they are numbers, and a value that is none refuses
//! its row. An empty field states nothing.
//!
//! Guarantees: all of a file goes in, in one commit, or none of it. Without [`DevicesImport::from`] the past can not be
//! re-labelled: what a device has already must be what the file says, or the file is refused as a whole. A file that
//! contradicts itself is refused too.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{
    Field, Number, Outcome, Record, RecordReader, Rejection, TimeReader, excerpt, is_out_of_range, out_of_range,
    parse_number,
};
use crate::model::{AttributeName, AttributeValue, DeviceId, WriteBatch};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{DAY_NS, TimeRange, Timestamp};

use super::counts::{ImportCounts, Rejections};
use super::keep::keep;
use super::options::DevicesImport;
use super::plan::{missing_column, other_name, unusable};
use super::records::{TEXT_BYTES_MAX, name_field};

/// Columns whose values are numbers, whatever the options say; small and capital letters are the same.
pub const NUMBER_COLUMNS: [&str; 9] =
    ["lat", "lon", "lng", "latitude", "longitude", "alt", "altitude", "elevation", "age"];

/// The part of the memory budget that the devices of a file may take: they are one commit.
const COMMIT_SHARE: usize = 2;
/// What a device takes on its way, measured: here, in the batch, in the write and in the catalogue.
const DEVICE_BYTES: usize = 500;
/// What a statement takes, beside its value.
const STATEMENT_BYTES: usize = 400;

/// What a file says of one device.
#[derive(Debug)]
pub(super) struct Stated {
    pub(super) device: DeviceId,
    /// From when on, where a column says it.
    from: Option<Timestamp>,
    /// The row that said it first.
    row: u64,
    /// Attribute (by place in the list of attributes) and value.
    values: Vec<(usize, AttributeValue)>,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Statements {
    attributes: Vec<AttributeName>,
    pub(super) devices: Vec<Stated>,
}

/// What the store knows of an attribute of a device.
pub(super) trait Known {
    /// The newest value, whatever came before it.
    fn newest(&self, device: &str, attribute: &str) -> Option<AttributeValue>;
    /// Whether the newest statement about it and this range is this one.
    fn is_stated(&self, device: &str, attribute: &str, value: &AttributeValue, range: TimeRange) -> bool;
}

impl Known for Snapshot {
    fn newest(&self, device: &str, attribute: &str) -> Option<AttributeValue> {
        let handle = self.catalog().device(device)?;
        let spans = self.attributes().spans(handle, attribute, TimeRange::ALL);
        spans.into_iter().rev().find_map(|span| span.value).map(|value| value.as_ref().clone())
    }

    fn is_stated(&self, device: &str, attribute: &str, value: &AttributeValue, range: TimeRange) -> bool {
        let Some(handle) = self.catalog().device(device) else { return false };
        let statements = self.attributes().assertions(handle);
        let mut same_range = statements
            .iter()
            .rev()
            .filter(|statement| statement.attribute.as_str() == attribute && statement.range == range);
        same_range.next().is_some_and(|newest| newest.value.as_ref() == Some(value))
    }
}

/// Imports the devices of one file and their attributes.
///
/// ```no_run
/// use fleetlog::import::{DevicesImport, import_devices};
/// use fleetlog::{Options, Store, Timestamp};
///
/// let store = Store::open("plant.fleet", Options::default())?;
/// let mut options = DevicesImport::new("id");
/// options.from = Some(Timestamp::parse("2025-06-01")?);
/// import_devices(&store, "devices.csv", &options, None)?;
/// # Ok::<(), fleetlog::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where the file can not be used or contradicts itself; [`ErrorKind::AlreadyExists`] where it
/// changes a value without saying from when; [`ErrorKind::LimitExceeded`] where it does not fit in memory; and what the store reports. Nothing was stored.
pub fn import_devices(
    store: &Store,
    path: impl AsRef<Path>,
    options: &DevicesImport,
    progress: Option<&Progress>,
) -> Result<ImportCounts> {
    let path = path.as_ref();
    options.check()?;
    let work = || {
        let mut reader = super::table::open(path, options.delimiter, progress)?;
        let (mut counts, mut rejections) = (ImportCounts::default(), Rejections::default());
        let limit_bytes = store.options().memory_bytes / COMMIT_SHARE;
        let statements = collect(reader.as_mut(), options, limit_bytes, &mut counts, &mut rejections)?;
        let batch = batch(&statements, options.from, &store.snapshot()?, &mut counts)?;
        progress.map_or(Ok(()), Progress::check)?;
        if !batch.is_empty() {
            store.write(batch)?;
        }
        counts.rejected = rejections.count;
        counts.rejections_kept = keep(store, path, rejections);
        Ok(counts)
    };
    work().map_err(|error: Error| error.at_path(path))
}

/// Reads what a file says.
pub(super) fn collect(
    reader: &mut dyn RecordReader,
    options: &DevicesImport,
    limit_bytes: usize,
    counts: &mut ImportCounts,
    rejections: &mut Rejections,
) -> Result<Statements> {
    let mut columns = AttributeColumns::default();
    let mut statements = Statements { attributes: Vec::new(), devices: Vec::new() };
    let mut places: HashMap<Subject, usize> = HashMap::new();
    let times = options.times.reader()?;
    let (mut record, mut device, mut bytes) = (Record::new(), String::new(), 0_usize);
    loop {
        let rejection = match reader.read(&mut record)? {
            Outcome::End => break,
            Outcome::Rejected(rejection) => Some(rejection),
            Outcome::Record => {
                columns.update(reader, options, &mut statements.attributes)?;
                match read_row(&record, &columns, options, &times, &mut device) {
                    Err(reason) => Some(Rejection::new(record.line(), reason, record.first_bytes())),
                    Ok((subject, values)) => {
                        bytes += merge_row(&mut statements, &mut places, subject, record.line(), values, counts)?;
                        None
                    }
                }
            }
        };
        counts.rows_read += 1;
        if bytes > limit_bytes {
            let count = statements.devices.len();
            let message = format!("{count} devices fill the memory budget, and the file has more");
            return Err(Error::new(ErrorKind::LimitExceeded, message)
                .at_row(record.line())
                .advise("split the file, or give more --memory"));
        }
        rejection.into_iter().for_each(|rejection| rejections.add(rejection));
    }
    if counts.rows_read > 0 || reader.has_header() {
        columns.check_complete(reader, options)?;
    }
    Ok(statements)
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::Text(text) => text.len(),
        AttributeValue::Number(_) => 8,
    }
}

/// Which columns are attributes.
#[derive(Debug, Default)]
struct AttributeColumns {
    device: Option<usize>,
    from: Option<usize>,
    /// Column, place of the attribute, and whether it is a number.
    attributes: Vec<(usize, usize, bool)>,
    /// Columns that no attribute can come of, and why: a row with a value there is refused.
    unusable: Vec<(usize, String)>,
    looked_at: usize,
}

impl AttributeColumns {
    fn update(
        &mut self,
        reader: &dyn RecordReader,
        options: &DevicesImport,
        attributes: &mut Vec<AttributeName>,
    ) -> Result<()> {
        let columns = reader.columns();
        for (number, column) in columns.names().iter().enumerate().skip(self.looked_at) {
            if *column == options.device_column && self.device.is_none() {
                self.device = Some(number);
                continue;
            }
            if options.from_column.as_ref() == Some(column) && self.from.is_none() {
                self.from = Some(number);
                continue;
            }
            let name = match options.attributes.iter().find(|(wanted, _)| wanted == column) {
                Some((_, name)) => name,
                None if options.attributes.is_empty() => column,
                None => continue,
            };
            let name = AttributeName::to_write(name).map_err(|error| {
                let other = other_name(name);
                error.advise(format!(
                    "name the wanted columns with --attribute, this one as --attribute {column}={other}"
                ))
            });
            let name = match name {
                Ok(name) => name,
                Err(error) if reader.has_header() => return Err(error),
                Err(error) => {
                    self.unusable.push((number, unusable(column, &error)));
                    continue;
                }
            };
            if attributes.contains(&name) {
                return Err(Error::new(ErrorKind::InvalidInput, format!("two columns are the attribute '{name}'")));
            }
            let is_number = options.number_columns.contains(column)
                || NUMBER_COLUMNS.iter().any(|known| column.eq_ignore_ascii_case(known));
            self.attributes.push((number, attributes.len(), is_number));
            attributes.push(name);
        }
        self.looked_at = columns.names().len();
        Ok(())
    }

    fn check_complete(&self, reader: &dyn RecordReader, options: &DevicesImport) -> Result<()> {
        let wanted = options
            .attributes
            .iter()
            .map(|(column, _)| column)
            .chain([&options.device_column])
            .chain(&options.from_column)
            .chain(&options.number_columns);
        match wanted.into_iter().find(|column| reader.columns().find(column).is_none()) {
            Some(column) => Err(missing_column(column, reader.columns())),
            None => Ok(()),
        }
    }
}

/// A device, and from when on a row speaks of it where a column says so.
type Subject = (DeviceId, Option<Timestamp>);
type Row = (Subject, Vec<(usize, AttributeValue)>);

fn read_row(
    record: &Record,
    columns: &AttributeColumns,
    options: &DevicesImport,
    times: &TimeReader,
    device: &mut String,
) -> std::result::Result<Row, String> {
    name_field(columns.device.map_or(Field::Missing, |column| record.field(column)), "the device", device)?;
    let id = DeviceId::new(&device).map_err(|error| error.message().to_owned())?;
    let from = match (columns.from, &options.from_column) {
        (Some(column), _) => Some(times.read(record.field(column))?),
        (None, Some(name)) => return Err(format!("'{name}' is missing")),
        (None, None) => None,
    };
    let mut unusable = columns.unusable.iter();
    if let Some((_, reason)) = unusable.find(|(column, _)| record.field(*column) != Field::Missing) {
        return Err(reason.clone());
    }
    let mut values = Vec::with_capacity(columns.attributes.len());
    for (column, attribute, is_number) in &columns.attributes {
        let field = record.field(*column);
        let value = if *is_number { number(field, options.decimal)? } else { text(field)? };
        values.extend(value.map(|value| (*attribute, value)));
    }
    Ok(((id, from), values))
}

fn number(field: Field<'_>, decimal: u8) -> std::result::Result<Option<AttributeValue>, String> {
    let value = match field {
        Field::Missing => return Ok(None),
        Field::Open(text) | Field::Text(text) if crate::ingest::is_missing_word(text) => return Ok(None),
        Field::Open(text) | Field::Text(text) => match parse_number(text, decimal) {
            Some(Number::Integer(value)) => value as f64,
            Some(Number::Float(value)) => value,
            None if is_out_of_range(text, decimal) => return Err(out_of_range(text)),
            Some(Number::Boolean(_)) | None => return Err(format!("{} is not a number", excerpt(text))),
        },
        Field::Integer(value) => value as f64,
        Field::Float(value) => value,
        _ => return Err("a number is expected".to_owned()),
    };
    if value.is_finite() { Ok(Some(AttributeValue::Number(value))) } else { Err(format!("{value} is no attribute")) }
}

/// A field as text, `None` where it is empty.
pub(super) fn text(field: Field<'_>) -> std::result::Result<Option<AttributeValue>, String> {
    let text = match field {
        Field::Missing => return Ok(None),
        Field::Open(text) | Field::Text(text) => text.trim().to_owned(),
        Field::Boolean(value) => value.to_string(),
        Field::Integer(value) => value.to_string(),
        Field::Float(value) => value.to_string(),
        Field::Instant(time) => Timestamp::from_nanoseconds(time).to_string(),
        Field::LocalTime(time) => Timestamp::from_nanoseconds(time).to_string().trim_end_matches('Z').to_owned(),
        Field::Date(day) => {
            let midnight = Timestamp::from_nanoseconds(day.saturating_mul(DAY_NS)).to_string();
            midnight.split('T').next().unwrap_or_default().to_owned()
        }
        Field::List => return Err("a list can not be stored".to_owned()),
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("a text of {} bytes, more than {TEXT_BYTES_MAX}", text.len()));
    }
    Ok((!text.is_empty()).then_some(AttributeValue::Text(text)))
}

/// Adds what a row says; a device may have several rows, as long as they agree. Gives the bytes of what is new.
fn merge_row(
    statements: &mut Statements,
    places: &mut HashMap<Subject, usize>,
    subject: Subject,
    row: u64,
    values: Vec<(usize, AttributeValue)>,
    counts: &mut ImportCounts,
) -> Result<usize> {
    let statement_bytes = |value: &AttributeValue| STATEMENT_BYTES + value_bytes(value);
    if values.is_empty() {
        counts.empty += 1;
        return Ok(0);
    }
    let Some(place) = places.get(&subject) else {
        places.insert(subject.clone(), statements.devices.len());
        let (device, from) = subject;
        let bytes = DEVICE_BYTES + values.iter().map(|(_, value)| statement_bytes(value)).sum::<usize>();
        statements.devices.push(Stated { device, from, row, values });
        return Ok(bytes);
    };
    counts.overwritten += 1;
    let mut bytes = 0;
    let stated = &mut statements.devices[*place];
    for (attribute, value) in values {
        match stated.values.iter().find(|(other, _)| *other == attribute) {
            Some((_, first)) if *first == value => {}
            Some((_, first)) => {
                let name = &statements.attributes[attribute];
                let message = format!("the file says that {name} is '{first}' (row {}) and '{value}'", stated.row);
                return Err(Error::new(ErrorKind::InvalidInput, message)
                    .at_row(row)
                    .for_device(subject.0.as_str())
                    .advise("say from when on each row holds, with --from-column"));
            }
            None => {
                bytes += statement_bytes(&value);
                stated.values.push((attribute, value));
            }
        }
    }
    Ok(bytes)
}

/// The statements that are new to the store.
pub(super) fn batch(
    statements: &Statements,
    from: Option<Timestamp>,
    known: &dyn Known,
    counts: &mut ImportCounts,
) -> Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for stated in &statements.devices {
        let device = stated.device.as_str();
        let mut is_new = false;
        for (attribute, value) in &stated.values {
            let attribute = statements.attributes[*attribute].as_str();
            if let Some(from) = stated.from.or(from) {
                if known.is_stated(device, attribute, value, TimeRange::new(from, Timestamp::MAX)) {
                    continue;
                }
                batch.attribute(device, attribute, value.clone()).from(from);
            } else {
                match known.newest(device, attribute) {
                    Some(newest) if newest == *value || newest.to_text() == value.to_text() => continue,
                    Some(newest) => return Err(changed(stated, attribute, &newest, value)),
                    None => batch.attribute(device, attribute, value.clone()),
                };
            }
            is_new = true;
        }
        if is_new {
            counts.stored += 1;
        } else {
            counts.unchanged += 1;
        }
    }
    batch.check()?;
    Ok(batch)
}

fn changed(stated: &Stated, attribute: &str, newest: &AttributeValue, value: &AttributeValue) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{attribute} is '{newest}' in the store and '{value}' in the file"))
        .at_row(stated.row)
        .for_device(stated.device.as_str())
        .advise("say from when on the file holds, with --from, so that the past keeps its label")
}
