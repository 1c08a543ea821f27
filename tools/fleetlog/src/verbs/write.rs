//! `init`, `attribute`, `compact`, `delete`.

use std::path::Path;

use fleetlog::ingest::{Number, is_out_of_range, parse_number};
use fleetlog::operator::{attribute as where_attribute, attribute_history, attribute_statements, cohort_stretches};
use fleetlog::{Delete, Error, ErrorKind, MetricName, Options, Store, TimeRange, WriteBatch};

use crate::arguments::{AttributeVerb, Common, DeleteArguments};
use crate::output::Output;
use crate::{Failure, Outcome, progress};

use super::notes::note_unknown;
use super::{open_reader, open_writer, options};

pub(crate) fn init(common: &Common, path: &Path) -> Result<Outcome, Failure> {
    let filled = path.is_dir() && std::fs::read_dir(path).is_ok_and(|mut folder| folder.next().is_some());
    if filled || path.is_file() {
        let what = if filled { "the folder is not empty" } else { "a file is in the way" };
        return Err(Error::new(ErrorKind::AlreadyExists, what).at_path(path).advise("name a new folder").into());
    }
    Store::open(path, Options { create: true, ..options(common) })?.close()?;
    progress::note(common.quiet, &format!("made an empty store in {}", path.display()));
    Ok(Outcome::Done)
}

pub(crate) fn attribute(common: &Common, verb: &AttributeVerb) -> Result<Outcome, Failure> {
    match verb {
        AttributeVerb::Set { store, device, attribute: (name, value), number, from, to } => {
            let store = open_writer(common, store)?;
            let known = store.snapshot()?.catalog().device(device).is_some();
            if !known {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no device '{}'", device.escape_default()),
                )
                .advise("import its samples, or `import devices`, first")
                .into());
            }
            let mut batch = WriteBatch::new();
            let range = TimeRange::new(*from, to.unwrap_or(fleetlog::Timestamp::MAX));
            if range.is_empty() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("no time lies from {} to {}", range.from, range.to),
                )
                .into());
            }
            let entry = match (value.is_empty(), number) {
                (true, _) => batch.attribute_none(device, name),
                (false, false) => batch.attribute(device, name, value.as_str()),
                (false, true) => batch.attribute(device, name, number_of(value)?),
            };
            entry.from(range.from).to(range.to);
            store.write(batch)?;
            store.close()?;
        }
        AttributeVerb::Show { store, device, history } => {
            let reading = open_reader(common, store)?;
            let show = if *history { attribute_statements } else { attribute_history };
            Output::new(common).table(&show(&reading.snapshot, device)?)?;
        }
    }
    Ok(Outcome::Done)
}

/// The value of an attribute that is a number.
fn number_of(text: &str) -> Result<f64, Error> {
    let number = match parse_number(text, b'.') {
        Some(Number::Integer(value)) => Some(value as f64),
        Some(Number::Float(value)) => Some(value).filter(|value| value.is_finite()),
        Some(Number::Boolean(_)) | None => None,
    };
    number.ok_or_else(|| {
        let what =
            if is_out_of_range(text, b'.') { "lies beyond what a 64-bit float holds" } else { "is not a number" };
        Error::new(ErrorKind::InvalidInput, format!("'{}' {what}", text.escape_default()))
    })
}

pub(crate) fn compact(common: &Common, path: &Path, cold: bool) -> Result<Outcome, Failure> {
    let store = open_writer(common, path)?;
    let before = store.snapshot()?.segments().len();
    progress::with_bar(common.quiet, "segments", false, |progress| {
        store.seal()?;
        store.compact(cold, Some(progress))
    })?;
    let after = store.snapshot()?.segments().len();
    store.close()?;
    progress::note(common.quiet, &format!("{} before, {after} now", progress::counted(before, "segment")));
    Ok(Outcome::Done)
}

pub(crate) fn delete(common: &Common, arguments: &DeleteArguments) -> Result<Outcome, Failure> {
    let range = TimeRange::new(arguments.from, arguments.to);
    if range.is_empty() {
        return Err(
            Error::new(ErrorKind::InvalidInput, format!("no time lies from {} to {}", range.from, range.to)).into()
        );
    }
    let store = open_writer(common, &arguments.store)?;
    let mut conditions = arguments.conditions.clone();
    conditions.extend(arguments.device.as_ref().map(|id| where_attribute("device").is(id)));
    let snapshot = store.snapshot()?;
    note_unknown(common, &snapshot, &conditions);
    let devices = cohort_stretches(&snapshot, &conditions, range)?;
    if devices.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no device is meant").advise("check --device and --where").into());
    }
    let metric = arguments.metric.as_deref().map(MetricName::new).transpose()?;
    if let Some(metric) = metric.as_ref().filter(|metric| snapshot.catalog().metric(metric.as_str()).is_none()) {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no metric '{metric}'")).into());
    }
    drop(snapshot);
    let mut batch = WriteBatch::new();
    for (device, stretches) in &devices {
        for range in stretches {
            let (device, metric) = (device.clone(), metric.clone());
            batch.delete(Delete { device, metric, range: *range, events: arguments.events });
        }
    }
    store.write(batch)?;
    store.close()?;
    progress::note(common.quiet, &format!("deleted from {}", progress::counted(devices.len(), "device")));
    Ok(Outcome::Done)
}
