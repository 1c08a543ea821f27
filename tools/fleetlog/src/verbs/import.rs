//! `import samples`, `import devices`, `import events`.

use std::collections::BTreeSet;
use std::path::Path;

use fleetlog::import::{
    DevicesImport, EventsImport, ImportCounts, KindSource, SamplesImport, TimeForm, import_devices, import_events,
    import_samples,
};
use fleetlog::{Cell, ErrorKind, MetricType, Progress, Store, Table};

use crate::arguments::{
    Common, DevicesImportArguments, EventsImportArguments, Import, SamplesImportArguments, Times, all_names, all_pairs,
};
use crate::output::Output;
use crate::{Failure, Outcome, progress};

use super::open_writer;

pub(crate) fn import(common: &Common, what: &Import) -> Result<Outcome, Failure> {
    match what {
        Import::Samples(arguments) => samples(common, arguments),
        Import::Devices(arguments) => devices(common, arguments),
        Import::Events(arguments) => events(common, arguments),
    }
}

fn times(times: &Times) -> TimeForm {
    let mut form = TimeForm::default();
    form.format.clone_from(&times.time_format);
    form.unit = times.time_unit;
    form.zone.clone_from(&times.input_zone);
    form.ambiguous = times.ambiguous_time;
    form
}

fn samples(common: &Common, arguments: &SamplesImportArguments) -> Result<Outcome, Failure> {
    let mut options = SamplesImport::default();
    options.device_column.clone_from(&arguments.device);
    options.device_id.clone_from(&arguments.device_id);
    options.device_from_file_name = arguments.device_from_file_name;
    options.link_to.clone_from(&arguments.link_to);
    options.time_column.clone_from(&arguments.time);
    options.times = times(&arguments.times);
    options.metrics = (!arguments.metrics.is_empty()).then(|| all_names(&arguments.metrics));
    options.rename = all_pairs(&arguments.rename);
    options.units = all_pairs(&arguments.unit);
    options.counters = all_names(&arguments.counter);
    options.text_columns = all_names(&arguments.text);
    options.sequence_column.clone_from(&arguments.sequence);
    options.name_with_measurement = arguments.measurement_in_names;
    options.delimiter = arguments.marks.delimiter;
    options.decimal = arguments.marks.decimal;
    options.check()?;
    let store = open_writer(common, &arguments.store)?;
    let texts = text_metrics(&store)?;
    let mut whole = ImportCounts::default();
    for file in &arguments.files {
        match with_file(common, file, |progress| import_samples(&store, file, &options, Some(progress))) {
            Ok(counts) => whole += counts,
            Err(error) => {
                if arguments.files.len() > 1 {
                    let text = format!("files before {} are stored; it and those after it are not", file.display());
                    progress::note(common.quiet, &text);
                    finish(common, store, &whole)?;
                }
                return Err(error.into());
            }
        }
    }
    if !whole.mixed_booleans.is_empty() {
        let names: Vec<&str> = whole.mixed_booleans.iter().map(String::as_str).collect();
        let text = format!(
            "numbers, where true is 1 and false 0, because some of the values are numbers: {}",
            names.join(", ")
        );
        progress::note(common.quiet, &text);
    }
    note_texts(common, text_metrics(&store)?.difference(&texts), &options.text_columns);
    finish(common, store, &whole)
}

fn text_metrics(store: &Store) -> fleetlog::Result<BTreeSet<String>> {
    let snapshot = store.snapshot()?;
    let texts = snapshot.catalog().metrics().filter(|metric| metric.metric_type == MetricType::Text);
    Ok(texts.map(|metric| metric.name.to_string()).collect())
}

/// A column of numbers with a mark that was not named is one of texts, and stays it: that is told of.
fn note_texts<'a>(common: &Common, new: impl Iterator<Item = &'a String>, wanted: &[String]) {
    let names: Vec<&str> = new.filter(|name| !wanted.contains(name)).map(String::as_str).collect();
    if !names.is_empty() {
        let advice =
            "if these are numbers, import them into a new store with --decimal or --delimiter as the file has them";
        let text =
            format!("text from now on, because some of the values are no numbers: {}; {advice}", names.join(", "));
        progress::note(common.quiet, &text);
    }
}

/// Runs the import of a file with its progress bar; a file without rows is told of.
fn with_file(
    common: &Common,
    file: &Path,
    import: impl FnOnce(&Progress) -> fleetlog::Result<ImportCounts>,
) -> fleetlog::Result<ImportCounts> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let counts = progress::with_bar(common.quiet, &name, true, |progress| {
        progress.set_total(std::fs::metadata(file).map_or(0, |metadata| metadata.len()));
        import(progress)
    })?;
    if counts.rows_read == 0 {
        progress::note(common.quiet, &format!("{} holds no rows", file.display()));
    }
    Ok(counts)
}

fn devices(common: &Common, arguments: &DevicesImportArguments) -> Result<Outcome, Failure> {
    let mut options = DevicesImport::new(&arguments.device);
    options.from = arguments.from;
    options.from_column.clone_from(&arguments.from_column);
    options.times = times(&arguments.times);
    options.attributes = all_pairs(&arguments.attribute);
    options.number_columns = all_names(&arguments.number);
    options.delimiter = arguments.marks.delimiter;
    options.decimal = arguments.marks.decimal;
    options.check()?;
    let store = open_writer(common, &arguments.store)?;
    let file: &Path = &arguments.file;
    let counts = with_file(common, file, |progress| import_devices(&store, file, &options, Some(progress)));
    let counts = counts.map_err(|error| match error.kind() {
        // A changed value without --from is wrong usage.
        ErrorKind::AlreadyExists => Failure::Usage(error),
        _ => error.into(),
    })?;
    finish(common, store, &counts)
}

fn events(common: &Common, arguments: &EventsImportArguments) -> Result<Outcome, Failure> {
    let kind = match (arguments.kind, &arguments.kind_column) {
        (Some(kind), _) => KindSource::Fixed(kind),
        (None, column) => KindSource::Column { column: column.clone().unwrap_or_default(), meanings: Vec::new() },
    };
    let mut options = EventsImport::new(&arguments.device, &arguments.time, kind);
    options.times = times(&arguments.times);
    options.labels = all_pairs(&arguments.label);
    options.delimiter = arguments.delimiter;
    options.check()?;
    let store = open_writer(common, &arguments.store)?;
    let file: &Path = &arguments.file;
    let counts = with_file(common, file, |progress| import_events(&store, file, &options, Some(progress)))?;
    finish(common, store, &counts)
}

fn finish(common: &Common, store: Store, counts: &ImportCounts) -> Result<Outcome, Failure> {
    store.close()?;
    let mut table =
        Table::with_names(&["rows_read", "stored", "overwritten", "kept_apart", "rejected", "empty", "unchanged"]);
    let numbers = [
        counts.rows_read,
        counts.stored,
        counts.overwritten,
        counts.kept_apart,
        counts.rejected,
        counts.empty,
        counts.unchanged,
    ];
    table.push(numbers.map(|count| Cell::Integer(count as i64)).to_vec())?;
    Output::new(common).table(&table)?;
    Ok(match counts.rejected {
        0 => Outcome::Done,
        rejected => Outcome::SomeRejected { rejected, kept: counts.rejections_kept },
    })
}
