//! Events of one file into a store.
//!
//! Guarantees: all of a file goes in, in one commit, or none of it (refused rows aside); an event that the file has twice, or
//! that the store has already, is stored once and counted as overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Columns, Field, Outcome, Record, RecordReader, Rejection, TimeReader, excerpt};
use crate::model::{AttributeValue, DeviceId, Event, EventKind, Labels, WriteBatch};
use crate::store::{Progress, Store};
use crate::time::{TimeRange, Timestamp};

use super::counts::{ImportCounts, Rejections};
use super::devices::text;
use super::keep::keep;
use super::options::{EventsImport, KindSource, check_marks};
use super::plan::missing_column;
use super::records::name_field;

/// Imports the events of one file.
///
/// ```no_run
/// use fleetlog::import::{EventsImport, KindSource, import_events};
/// use fleetlog::{EventKind, Options, Store};
///
/// let store = Store::open("plant.fleet", Options::default())?;
/// let mut options = EventsImport::new("machineID", "datetime", KindSource::Fixed(EventKind::Failure));
/// options.labels = vec![("failure".to_owned(), "component".to_owned())];
/// import_events(&store, "failures.csv", &options, None)?;
/// # Ok::<(), fleetlog::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where the file or the options can not be used, [`ErrorKind::LimitExceeded`] where the file does
/// not fit in memory, and what the store reports. Nothing was stored.
pub fn import_events(
    store: &Store,
    path: impl AsRef<Path>,
    options: &EventsImport,
    progress: Option<&Progress>,
) -> Result<ImportCounts> {
    let path = path.as_ref();
    check_marks(options.delimiter, if options.delimiter == b'.' { b',' } else { b'.' })?;
    let work = || {
        let mut reader = super::table::open(path, options.delimiter, progress)?;
        let (mut counts, mut rejections) = (ImportCounts::default(), Rejections::default());
        let limits =
            Limits { memory_bytes: store.options().memory_bytes / 4, accepted_times: store.options().accepted_times };
        let mut events = collect(reader.as_mut(), options, limits, &mut counts, &mut rejections)?;
        drop_known(store, &mut events, &mut counts)?;
        progress.map_or(Ok(()), Progress::check)?;
        counts.stored = events.len() as u64;
        let mut batch = WriteBatch::new();
        for event in events {
            batch.event(event.device, event.time, event.kind, event.labels);
        }
        batch.check()?;
        if !batch.is_empty() {
            store.write(batch)?;
        }
        counts.rejected = rejections.count;
        keep(store, path, rejections)?;
        Ok(counts)
    };
    work().map_err(|error: Error| error.at_path(path))
}

/// Takes out the events that the store has.
fn drop_known(store: &Store, events: &mut BTreeSet<Event>, counts: &mut ImportCounts) -> Result<()> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
    // Events sort by time first.
    let to = last.time.nanoseconds().checked_add(1).map_or(Timestamp::MAX, Timestamp::from_nanoseconds);
    let range = TimeRange::new(first.time, to);
    store.snapshot()?.events(range, None, &mut |event| {
        counts.overwritten += u64::from(events.remove(event));
        Ok(true)
    })
}

/// How much of a file is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) memory_bytes: usize,
    pub(super) accepted_times: TimeRange,
}

/// The columns of a file of events.
#[derive(Debug, Default)]
struct EventColumns {
    device: Option<usize>,
    time: Option<usize>,
    kind: Option<usize>,
    labels: Vec<Option<usize>>,
    looked_at: usize,
}

impl EventColumns {
    fn update(&mut self, columns: &Columns, options: &EventsImport) {
        if self.looked_at == columns.names().len() {
            return;
        }
        self.looked_at = columns.names().len();
        self.device = columns.find(&options.device_column);
        self.time = columns.find(&options.time_column);
        self.kind = match &options.kind {
            KindSource::Fixed(_) => None,
            KindSource::Column { column, .. } => columns.find(column),
        };
        self.labels = options.labels.iter().map(|(column, _)| columns.find(column)).collect();
    }

    fn check_complete(columns: &Columns, options: &EventsImport) -> Result<()> {
        let mut wanted: Vec<&String> = vec![&options.device_column, &options.time_column];
        if let KindSource::Column { column, .. } = &options.kind {
            wanted.push(column);
        }
        wanted.extend(options.labels.iter().map(|(column, _)| column));
        match wanted.into_iter().find(|column| columns.find(column).is_none()) {
            Some(column) => Err(missing_column(column, columns)),
            None => Ok(()),
        }
    }
}

/// Reads the distinct events of a file.
pub(super) fn collect(
    reader: &mut dyn RecordReader,
    options: &EventsImport,
    limits: Limits,
    counts: &mut ImportCounts,
    rejections: &mut Rejections,
) -> Result<BTreeSet<Event>> {
    let times = options.times.reader()?;
    let mut columns = EventColumns::default();
    let mut events = BTreeSet::new();
    let (mut record, mut device, mut bytes) = (Record::new(), String::new(), 0_usize);
    loop {
        let event = match reader.read(&mut record)? {
            Outcome::End => break,
            Outcome::Rejected(rejection) => Err(rejection),
            Outcome::Record => {
                columns.update(reader.columns(), options);
                let found = event(&record, &columns, options, &times, limits.accepted_times, &mut device);
                found.map_err(|reason| Rejection::new(record.line(), reason, record.first_bytes()))
            }
        };
        counts.rows_read += 1;
        match event {
            Err(rejection) => rejections.add(rejection),
            Ok(event) => {
                let event_bytes =
                    200 + event.labels.iter().map(|(name, value)| 80 + name.len() + value.len()).sum::<usize>();
                if events.insert(event) {
                    bytes += event_bytes;
                } else {
                    counts.overwritten += 1;
                }
            }
        }
        if bytes > limits.memory_bytes {
            return Err(Error::new(ErrorKind::LimitExceeded, "the events of the file do not fit the memory budget")
                .at_row(record.line())
                .advise("split the file, or give more memory"));
        }
    }
    if counts.rows_read == 0 {
        return Err(Error::new(ErrorKind::InvalidInput, "the file holds no rows"));
    }
    EventColumns::check_complete(reader.columns(), options)?;
    Ok(events)
}

fn event(
    record: &Record,
    columns: &EventColumns,
    options: &EventsImport,
    times: &TimeReader,
    accepted: TimeRange,
    device: &mut String,
) -> std::result::Result<Event, String> {
    let field = |column: Option<usize>| column.map_or(Field::Missing, |column| record.field(column));
    name_field(field(columns.device), "the device", device)?;
    let device = DeviceId::new(&device).map_err(|error| error.message().to_owned())?;
    let time = times.read(field(columns.time))?;
    if !accepted.contains(time) {
        return Err(format!("the time {time} lies outside the times that the store accepts"));
    }
    let kind = match &options.kind {
        KindSource::Fixed(kind) => *kind,
        KindSource::Column { meanings, .. } => match text(field(columns.kind))? {
            Some(AttributeValue::Text(word)) => kind_of(&word, meanings)?,
            _ => return Err("the kind is missing".to_owned()),
        },
    };
    let mut labels: Labels = BTreeMap::new();
    for ((_, name), column) in options.labels.iter().zip(&columns.labels) {
        if let Some(AttributeValue::Text(value)) = text(field(*column))? {
            labels.insert(name.clone(), value);
        }
    }
    Ok(Event { time, device, kind, labels })
}

fn kind_of(word: &str, meanings: &[(String, EventKind)]) -> std::result::Result<EventKind, String> {
    let meaning = meanings.iter().find(|(text, _)| text == word).map(|(_, kind)| *kind);
    meaning
        .or_else(|| word.to_ascii_lowercase().parse().ok())
        .ok_or_else(|| format!("{} is not a kind of event", excerpt(word)))
}
