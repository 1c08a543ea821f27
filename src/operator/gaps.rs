//! Gaps: stretches between two samples of a device that are longer than they should be.

use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::scan::{Piece, Scan, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{SECOND_NS, TimeRange, Timestamp};

use super::cohort;
use super::explain::Explain;
use super::fleet::by_device;
use super::query::AttributeFilter;

/// Which gaps: longer than a duration, of the whole fleet and all time until it is narrowed.
#[derive(Debug, Clone)]
pub struct GapsRequest {
    longer_than_ns: i64,
    attributes: Vec<AttributeFilter>,
    range: TimeRange,
}

impl GapsRequest {
    /// Gaps longer than a duration in nanoseconds.
    #[must_use]
    pub fn longer_than_ns(longer_than_ns: i64) -> Self {
        Self { longer_than_ns, attributes: Vec::new(), range: TimeRange::ALL }
    }

    /// Only devices that have an attribute (at some moment of the range); repeats as AND.
    #[must_use]
    pub fn filter(mut self, filter: AttributeFilter) -> Self {
        self.attributes.push(filter);
        self
    }

    /// Only between samples from an instant (in) to another (out).
    #[must_use]
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.range = TimeRange::new(from, to);
        self
    }
}

impl Store {
    /// Gaps in each device's timestamps (of any metric): `device`, `count`, `total_s`, `longest_s`, `longest_from`; devices with
    /// samples, by id. A gap lies between two samples: silence before the first and after the last is not one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a duration that is not positive, [`ErrorKind::NotFound`] for an unknown attribute,
    /// [`ErrorKind::Corruption`], [`ErrorKind::Cancelled`], [`ErrorKind::SnapshotExpired`].
    pub fn gaps(
        &self,
        snapshot: &Snapshot,
        request: &GapsRequest,
        progress: Option<&Progress>,
    ) -> Result<(Table, Explain)> {
        let started = Instant::now();
        if request.longer_than_ns <= 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a gap is longer than some positive duration"));
        }
        let counters = ScanCounters::default();
        let scan = all_metrics(snapshot, request.range, &counters)?;
        let devices = cohort::devices(snapshot, &request.attributes, request.range)?;
        let planned = Instant::now();
        let mut table = Table::new(columns());
        let work = |device: &DeviceEntry| {
            let mut gaps = Gaps::default();
            visit_times(&scan, device, &mut |times| {
                gaps.add(times, request.longer_than_ns);
                progress.map_or(Ok(()), Progress::check)
            })?;
            Ok((device.id.to_string(), gaps))
        };
        by_device(self, &devices, progress, work, |(device, gaps)| {
            if gaps.samples > 0 { table.push(gaps.row(device)) } else { Ok(()) }
        })?;
        let threads = self.install(rayon::current_num_threads);
        Ok((table, Explain::of(&counters, started, planned, threads)))
    }
}

pub(super) fn columns() -> Vec<TableColumn> {
    let column = |name: &str, unit: Option<&str>| TableColumn { name: name.to_owned(), unit: unit.map(str::to_owned) };
    vec![
        column("device", None),
        column("count", None),
        column("total_s", Some("s")),
        column("longest_s", Some("s")),
        column("longest_from", None),
    ]
}

/// A scan of every metric: what tells when a device reported at all.
pub(super) fn all_metrics<'a>(
    snapshot: &'a Snapshot,
    range: TimeRange,
    counters: &'a ScanCounters,
) -> Result<Scan<'a>> {
    Scan::new(snapshot, range, snapshot.catalog().metrics().map(|metric| metric.handle).collect(), counters)
}

/// Visits the instants of a device in time order, piece by piece.
pub(super) fn visit_times(
    scan: &Scan<'_>,
    device: &DeviceEntry,
    visit: &mut dyn FnMut(&[i64]) -> Result<()>,
) -> Result<()> {
    scan.device(device.handle, &mut |piece| match piece {
        Piece::Block(block) => visit(&scan.times(&block)?),
        Piece::Rows(rows) => visit(&rows.times),
    })
}

/// The gaps of one device so far.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    pub(super) samples: u64,
    count: i64,
    total_ns: i128,
    longest: Option<(i128, i64)>,
    last: Option<i64>,
}

impl Gaps {
    pub(super) fn add(&mut self, times: &[i64], longer_than_ns: i64) {
        for time in times {
            if let Some(last) = self.last {
                let gap = i128::from(*time) - i128::from(last);
                if gap > i128::from(longer_than_ns) {
                    self.count += 1;
                    self.total_ns += gap;
                    if self.longest.is_none_or(|(longest, _)| gap > longest) {
                        self.longest = Some((gap, last));
                    }
                }
            }
            self.last = Some(*time);
        }
        self.samples += times.len() as u64;
    }

    pub(super) fn row(&self, device: String) -> Vec<Cell> {
        let seconds = |ns: i128| Cell::Float(ns as f64 / SECOND_NS as f64);
        vec![
            Cell::Text(device),
            Cell::Integer(self.count),
            seconds(self.total_ns),
            self.longest.map_or(Cell::Null, |(longest, _)| seconds(longest)),
            self.longest.map_or(Cell::Null, |(_, from)| Cell::Time(Timestamp::from_nanoseconds(from))),
        ]
    }
}
