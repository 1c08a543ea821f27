//! A sink in memory, and imports into it, for the tests of this module.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::catalog::Conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::Rejection;
use crate::model::{DeviceHandle, DeviceId, DeviceRows, MetricHandle, MetricName, MetricType, Value};
use crate::time::TimeRange;

use super::assembler::Sink;
use super::counts::ImportCounts;
use super::options::SamplesImport;
use super::pass::{Means, Order, run};
use super::plan::Plan;
use super::records::Intake;
use super::samples::{Setup, open};

/// (device, time, metric) and its value: what a test compares.
pub(super) type Stored = BTreeMap<(String, i64, String), Value>;

/// Takes rows as a bulk load does, and checks what a bulk load demands.
#[derive(Debug, Default)]
pub(super) struct MapSink {
    devices: Vec<String>,
    device_handles: HashMap<String, u32>,
    metrics: Vec<(String, MetricType)>,
    last_time: HashMap<u32, i64>,
    pub(super) stored: Stored,
    /// A conversion that every metric with a unit gets.
    pub(super) conversion: Option<Conversion>,
    pub(super) calls: usize,
}

impl Sink for MapSink {
    fn device(&mut self, id: &DeviceId) -> Result<DeviceHandle> {
        let next = self.devices.len() as u32;
        let handle = *self.device_handles.entry(id.as_str().to_owned()).or_insert(next);
        if handle == next {
            self.devices.push(id.as_str().to_owned());
        }
        Ok(DeviceHandle(handle))
    }

    fn link(&mut self, device: &DeviceId, gateway: &DeviceId) -> Result<DeviceHandle> {
        self.device(&device.link(gateway)?)
    }

    fn metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
    ) -> Result<(MetricHandle, Option<Conversion>)> {
        let conversion = self.conversion.filter(|_| unit.is_some());
        let metric_type = conversion.map_or(metric_type, |conversion| conversion.output_type(metric_type));
        let known = self.metrics.iter().position(|(other, _)| other == name.as_str());
        let place = known.unwrap_or_else(|| {
            self.metrics.push((name.as_str().to_owned(), metric_type));
            self.metrics.len() - 1
        });
        let widest = self.metrics[place].1.widest(metric_type);
        self.metrics[place].1 = widest.ok_or_else(|| Error::new(ErrorKind::TypeMismatch, "text and number"))?;
        // Handles run against the order of the columns, as they may in a store that is not new.
        Ok((MetricHandle(1_000 - place as u32), conversion))
    }

    fn rows(&mut self, device: DeviceHandle, rows: &DeviceRows) -> Result<()> {
        rows.check()?;
        assert!(!rows.is_empty(), "a call without rows");
        assert!(rows.columns.iter().all(|(_, column)| !column.values.is_empty()), "a column without values");
        self.calls += 1;
        let before = self.last_time.insert(device.0, rows.times[rows.len() - 1]);
        assert!(before.is_none_or(|before| before < rows.times[0]), "rows of a device go back in time");
        for (metric, column) in &rows.columns {
            let (name, metric_type) = &self.metrics[1_000 - metric.0 as usize];
            assert_eq!(column.values.metric_type(), *metric_type, "a column in another type than was registered");
            for (row, time) in rows.times.iter().enumerate() {
                if let Some(place) = column.presence.value_place(row) {
                    let key = (self.devices[device.0 as usize].clone(), *time, name.clone());
                    assert!(self.stored.insert(key, column.values.get(place)).is_none(), "one value twice");
                }
            }
        }
        Ok(())
    }
}

/// What an import into memory gave.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) sink: MapSink,
    pub(super) counts: ImportCounts,
    pub(super) rejections: Vec<Rejection>,
    pub(super) sorted: bool,
}

/// Imports as [`super::import_samples`] does, with so much memory for sorting.
pub(super) fn import(path: &Path, options: &SamplesImport, sort_bytes: usize) -> Result<Imported> {
    options.check()?;
    let scratch = tempfile::tempdir().expect("a folder");
    let setup = Setup { path, options, accepted_times: TimeRange::ALL, progress: None };
    for order in [Order::AsItComes, Order::Sorted] {
        let (mut sink, mut intake) = (MapSink::default(), Intake::default());
        let mut source = open(&setup, Plan::new(options, std::iter::empty()), &mut intake)?;
        let means = Means { scratch_folder: scratch.path(), sort_bytes, progress: None };
        if let Some(assembled) = run(order, source.as_mut(), &mut intake, &mut sink, means)? {
            let mut counts = intake.counts;
            (counts.stored, counts.overwritten, counts.kept_apart) =
                (assembled.stored, assembled.overwritten, assembled.kept_apart);
            counts.rejected = intake.rejections.count;
            assert_eq!(counts.rows_read, counts.stored + counts.overwritten + counts.rejected + counts.empty);
            return Ok(Imported {
                sink,
                counts,
                rejections: intake.rejections.in_order(),
                sorted: order == Order::Sorted,
            });
        }
    }
    panic!("a sorted pass ended in vain");
}

/// Writes a file into a folder.
pub(super) fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file");
    path
}

/// Options with a device and a time column.
pub(super) fn options(device: &str, time: &str) -> SamplesImport {
    SamplesImport {
        device_column: Some(device.to_owned()),
        time_column: Some(time.to_owned()),
        ..SamplesImport::default()
    }
}

/// A file of the public telemetry in `../shared/data` beside the checkout, or where `FLEETLOG_DATA` says.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(super) fn data(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("FLEETLOG_DATA").map_or(beside, PathBuf::from).join(part);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}
