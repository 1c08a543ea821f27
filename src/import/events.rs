//! Events of one file into a store.
//!
//! Guarantees: memory stays within the store's budget whatever the size of the file; an event that the file has twice, or that the
//! store has already, is stored once and counted as overwritten. All of a file goes in by one commit or none of it does (refused
//! rows aside): it is read and checked to its end first, and what is new of it is a batch where that fits the memory budget (some
//! 220,000 events with two labels at 256 MiB), else a bulk load.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::ingest::{Columns, Field, Outcome, Record, RecordReader, Rejection, TimeReader, excerpt};
use crate::model::{AttributeValue, DeviceId, Event, EventKind, Labels, WriteBatch};
use crate::store::{Progress, Store};
use crate::time::TimeRange;

use super::counts::{ImportCounts, Rejections};
use super::devices::text;
use super::event_sorter::EventSorter;
use super::keep::keep;
use super::options::{EventsImport, KindSource};
use super::plan::missing_column;
use super::records::name_field;

/// The part of the memory budget that sorts the events of the file, and again those that are new.
const SORT_SHARE: usize = 8;
/// What an event takes of a commit, measured and a fifth more: its key and record, in the batch, the write and the memtable of
/// RocksDB.
const EVENT_BYTES: usize = 500;
/// A map of labels allocates room for so many at once.
const LABELS_OF_A_NODE: usize = 11;
const NODE_BYTES: usize = 560;

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
/// [`crate::ErrorKind::InvalidInput`] where the file or the options can not be used, and what the store reports. Nothing was stored.
pub fn import_events(
    store: &Store,
    path: impl AsRef<Path>,
    options: &EventsImport,
    progress: Option<&Progress>,
) -> Result<ImportCounts> {
    let path = path.as_ref();
    options.check()?;
    let work = || {
        let mut reader = super::table::open(path, options.delimiter, progress)?;
        let (mut counts, mut rejections) = (ImportCounts::default(), Rejections::default());
        let memory_bytes = store.options().memory_bytes;
        let accepted = store.options().accepted_times;
        let mut events = EventSorter::new(store.path(), memory_bytes / SORT_SHARE);
        collect(reader.as_mut(), options, accepted, progress, &mut events, &mut counts, &mut rejections)?;
        drop(reader);
        let mut fresh = EventSorter::new(store.path(), memory_bytes / SORT_SHARE);
        let bytes = without_known(store, events, &mut fresh, &mut counts)?;
        progress.map_or(Ok(()), Progress::check)?;
        write(store, fresh, bytes, progress)?;
        counts.rejected = rejections.count;
        counts.rejections_kept = keep(store, path, rejections);
        Ok(counts)
    };
    work().map_err(|error: Error| error.at_path(path))
}

/// Hands on the distinct events that the store does not have, and counts the others; gives what the former take of a commit.
fn without_known(
    store: &Store,
    events: EventSorter,
    fresh: &mut EventSorter,
    counts: &mut ImportCounts,
) -> Result<usize> {
    let Some(range) = events.range() else { return Ok(0) };
    let mut bytes = 0;
    let rows = counts.stored;
    counts.stored = 0;
    let mut events = events.finish()?;
    let mut next = events.next()?;
    let mut take = |event: &Event| {
        counts.stored += 1;
        bytes += commit_bytes(event);
        fresh.add(event)
    };
    // Both come in the order of events.
    store.snapshot()?.events(range, None, &mut |known| {
        while let Some(event) = next.take_if(|event| *event < *known) {
            take(&event)?;
            next = events.next()?;
        }
        if next.as_ref() == Some(known) {
            next = events.next()?;
        }
        Ok(next.is_some())
    })?;
    while let Some(event) = next {
        take(&event)?;
        next = events.next()?;
    }
    counts.overwritten += rows - counts.stored;
    Ok(bytes)
}

/// Writes events, which take so many bytes of one commit: where those are too many, by a bulk load.
fn write(store: &Store, events: EventSorter, bytes: usize, progress: Option<&Progress>) -> Result<()> {
    let mut events = events.finish()?;
    if bytes <= store.options().memory_bytes {
        let mut batch = WriteBatch::new();
        while let Some(event) = events.next()? {
            batch.event(event.device, event.time, event.kind, event.labels);
        }
        return store.write(batch).map(|_| ());
    }
    let mut load = store.bulk_load()?;
    let mut loaded = 0_u64;
    while let Some(event) = events.next()? {
        load.event(event)?;
        loaded += 1;
        if loaded.is_multiple_of(4_096) {
            progress.map_or(Ok(()), Progress::check)?;
        }
    }
    load.commit().map(|_| ())
}

/// What an event takes of a commit.
fn commit_bytes(event: &Event) -> usize {
    let texts: usize = event.labels.iter().map(|(name, value)| 64 + name.len() + value.len()).sum();
    EVENT_BYTES + event.labels.len().div_ceil(LABELS_OF_A_NODE) * NODE_BYTES + texts
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

/// Reads the events of a file; `counts.stored` is how many there are, repeated ones too.
pub(super) fn collect(
    reader: &mut dyn RecordReader,
    options: &EventsImport,
    accepted: TimeRange,
    progress: Option<&Progress>,
    events: &mut EventSorter,
    counts: &mut ImportCounts,
    rejections: &mut Rejections,
) -> Result<()> {
    let times = options.times.reader()?;
    let mut columns = EventColumns::default();
    let (mut record, mut device) = (Record::new(), String::new());
    loop {
        let event = match reader.read(&mut record)? {
            Outcome::End => break,
            Outcome::Rejected(rejection) => Err(rejection),
            Outcome::Record => {
                columns.update(reader.columns(), options);
                let found = event(&record, &columns, options, &times, accepted, &mut device);
                found.map_err(|reason| Rejection::new(record.line(), reason, record.first_bytes()))
            }
        };
        counts.rows_read += 1;
        match event {
            Err(rejection) => rejections.add(rejection),
            Ok(event) => {
                events.add(&event)?;
                counts.stored += 1;
            }
        }
        if counts.rows_read.is_multiple_of(4_096) {
            progress.map_or(Ok(()), Progress::check)?;
        }
    }
    if counts.rows_read > 0 || reader.has_header() {
        EventColumns::check_complete(reader.columns(), options)?;
    }
    Ok(())
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
