//! Samples of one file into a store.

use std::path::Path;

use crate::catalog::Conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::TimeUnit;
use crate::model::Nature;
use crate::model::{DeviceHandle, DeviceId, DeviceRows, MetricHandle, MetricName, MetricType};
use crate::store::{BulkLoad, Progress, Store};
use crate::time::TimeRange;

use super::assembler::Sink;
use super::counts::{ImportCounts, Rejections};
use super::keep::keep;
use super::options::SamplesImport;
use super::pass::{Means, Order, run};
use super::plan::Plan;
use super::records::{BlockSource, DeviceMap, Intake, RecordBlocks, Setting};
use super::source::{FORMAT_ENDINGS, Format, PACKING_ENDINGS, Source, TextOptions};

/// The part of the memory budget that the sorter takes: the bulk load and RocksDB need the rest.
const SORT_SHARE: usize = 4;
/// The part that the devices of a file may take.
const DEVICES_SHARE: usize = 4;

impl Sink for BulkLoad {
    fn device(&mut self, id: &DeviceId) -> Result<DeviceHandle> {
        BulkLoad::device(self, id)
    }

    fn link(&mut self, device: &DeviceId, gateway: &DeviceId) -> Result<DeviceHandle> {
        BulkLoad::link(self, device, gateway)
    }

    fn metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
    ) -> Result<(MetricHandle, Option<Conversion>)> {
        BulkLoad::metric(self, name, metric_type, unit, None)
    }

    fn rows(&mut self, device: DeviceHandle, rows: &DeviceRows) -> Result<()> {
        BulkLoad::rows(self, device, rows)
    }
}

/// What is known of a file beside its options.
pub(super) struct Setup<'a> {
    pub(super) path: &'a Path,
    pub(super) options: &'a SamplesImport,
    pub(super) accepted_times: TimeRange,
    pub(super) progress: Option<&'a Progress>,
}

/// Opens a file as a source of blocks.
pub(super) fn open<'a>(setup: &Setup<'a>, plan: Plan, intake: &mut Intake) -> Result<Box<dyn BlockSource + 'a>> {
    let options = setup.options;
    let source = Source::open(setup.path)?;
    let mut times = options.times.reader()?;
    let time_column = match (&options.time_column, source.format) {
        (Some(column), _) => column.as_str(),
        (None, Format::LineProtocol) => "time",
        (None, _) => {
            return Err(Error::new(ErrorKind::InvalidInput, "nothing says which column holds the time")
                .advise("name it with --time"));
        }
    };
    if source.format == Format::LineProtocol {
        times = times.or_unit(TimeUnit::Nanoseconds);
    }
    let fixed_device = fixed_device(setup.path, options)?;
    let setting = Setting { times, time_column, accepted_times: setup.accepted_times, fixed_device };
    if source.format == Format::Parquet {
        return open_parquet(source, plan, setup, setting);
    }
    let is_csv = source.format == Format::Csv;
    let text = TextOptions { delimiter: options.delimiter, name_with_measurement: options.name_with_measurement };
    let reader = source.records(text, setup.progress)?;
    if is_csv {
        Plan::check_header(reader.columns(), time_column, options)?;
    }
    Ok(Box::new(RecordBlocks::new(reader, plan, options, setting, intake)?))
}

#[cfg(feature = "parquet")]
fn open_parquet<'a>(
    source: Source,
    plan: Plan,
    setup: &Setup<'a>,
    setting: Setting<'a>,
) -> Result<Box<dyn BlockSource + 'a>> {
    let length = source.length();
    Ok(Box::new(super::parquet::ParquetBlocks::new(
        source.into_file(),
        length,
        plan,
        setup.options,
        setting,
        setup.progress,
    )?))
}

#[cfg(not(feature = "parquet"))]
fn open_parquet<'a>(_: Source, _: Plan, _: &Setup<'a>, _: Setting<'a>) -> Result<Box<dyn BlockSource + 'a>> {
    Err(super::source::no_parquet())
}

/// The device of all rows, where no column says it.
fn fixed_device(path: &Path, options: &SamplesImport) -> Result<Option<String>> {
    if let Some(id) = &options.device_id {
        return Ok(Some(DeviceId::new(id)?.as_str().to_owned()));
    }
    if !options.device_from_file_name {
        return Ok(None);
    }
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for endings in [&PACKING_ENDINGS[..], &FORMAT_ENDINGS] {
        let lower = name.to_ascii_lowercase();
        let found = endings.iter().find(|ending| lower.len() > ending.len() && lower.ends_with(**ending));
        name.truncate(name.len() - found.map_or(0, |ending| ending.len()));
    }
    Ok(Some(DeviceId::new(name)?.as_str().to_owned()))
}

/// Imports the samples of one file: all of it, but for refused rows, or none.
///
/// Refused rows are kept in the store with their reason (the first 10,000 of a file) and counted; a file without rows is a file of
/// none. A file in order of
/// device and time streams; any other is read a second time, through the sorter.
///
/// `progress` counts bytes of the file as it lies on the disk; who shows it sets the total to the length of all files.
///
/// ```no_run
/// use fleetlog::import::{SamplesImport, import_samples};
/// use fleetlog::{Options, Store};
///
/// let store = Store::open("plant.fleet", Options::default())?;
/// let mut options = SamplesImport::default();
/// options.device_column = Some("machineID".to_owned());
/// options.time_column = Some("datetime".to_owned());
/// let counts = import_samples(&store, "telemetry.csv", &options, None)?;
/// println!("{} rows, {} of them refused", counts.rows_read, counts.rejected);
/// # Ok::<(), fleetlog::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where the file or the options can not be used, [`ErrorKind::TypeMismatch`] where a column's
/// unit or type does not fit its metric, [`ErrorKind::Cancelled`], and what the store reports. The store is as it was.
pub fn import_samples(
    store: &Store,
    path: impl AsRef<Path>,
    options: &SamplesImport,
    progress: Option<&Progress>,
) -> Result<ImportCounts> {
    let path = path.as_ref();
    options.check()?;
    let setup = Setup { path, options, accepted_times: store.options().accepted_times, progress };
    let begun = progress.map(Progress::state).unwrap_or_default().0;
    for order in [Order::AsItComes, Order::Sorted] {
        if let Some((mut counts, rejections)) = attempt(store, &setup, order).map_err(|error| error.at_path(path))? {
            counts.rejections_kept = keep(store, path, rejections);
            return Ok(counts);
        }
        if let Some(progress) = progress {
            // What was read in vain comes again.
            let (done, total) = progress.state();
            progress.set_total(total + done.saturating_sub(begun));
        }
        tracing::debug!(path = %path.display(), "not in order of device and time: sorting");
    }
    Err(Error::new(ErrorKind::InvalidInput, "the file changed while it was read").at_path(path))
}

fn attempt(store: &Store, setup: &Setup<'_>, order: Order) -> Result<Option<(ImportCounts, Rejections)>> {
    let devices = DeviceMap::within(store.options().memory_bytes / DEVICES_SHARE);
    let mut intake = Intake { devices, ..Intake::default() };
    let snapshot = store.snapshot()?;
    let plan = Plan::new(setup.options, snapshot.catalog().metrics());
    drop(snapshot);
    let mut source = open(setup, plan, &mut intake)?;
    let mut load = store.bulk_load()?;
    let means = Means {
        scratch_folder: setup.options.scratch_folder.as_deref().unwrap_or_else(|| store.path()),
        sort_bytes: store.options().memory_bytes / SORT_SHARE,
        progress: setup.progress,
    };
    let assembled = match run(order, source.as_mut(), &mut intake, &mut load, means) {
        Ok(Some(assembled)) => assembled,
        Ok(None) => {
            load.abandon()?;
            return Ok(None);
        }
        Err(error) => {
            // The first error is the one to tell; what an abandoned load leaves is cleared at the next open.
            if let Err(second) = load.abandon() {
                tracing::warn!(%second, "abandoning the load of a file failed too");
            }
            return Err(error);
        }
    };
    let mut counts = intake.counts;
    counts.stored = assembled.stored;
    counts.overwritten = assembled.overwritten;
    counts.kept_apart = assembled.kept_apart;
    counts.rejected = intake.rejections.count;
    let mixed = source.metrics().iter().filter(|metric| metric.has_booleans && metric.has_numbers);
    counts.mixed_booleans = mixed.map(|metric| metric.name.to_string()).collect();
    if counts.stored > 0 {
        setup.options.counters.iter().for_each(|metric| load.batch().nature(metric, Nature::Counter));
        let loaded = load.commit()?;
        counts.stored -= loaded.overwriting.min(counts.stored);
        counts.overwritten += loaded.overwriting;
    } else {
        load.abandon()?;
    }
    Ok(Some((counts, intake.rejections)))
}
