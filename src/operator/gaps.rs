//! Gaps: stretches between two samples of a device that are longer than they should be.

use std::time::Instant;

use crate::catalog::DeviceEntry;
use crate::codec::{GROUP_VALUES, GroupTimes, PackedTimes};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cell, Table, TableColumn};
use crate::scan::{Block, Piece, Scan, ScanCounters};
use crate::segment::{EncodedSlice, Gap};
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
    statistics: bool,
}

impl GapsRequest {
    /// Gaps longer than a duration in nanoseconds.
    #[must_use]
    pub fn longer_than_ns(longer_than_ns: i64) -> Self {
        Self { longer_than_ns, attributes: Vec::new(), range: TimeRange::ALL, statistics: true }
    }

    /// Whether statistics may answer for times (they do by default).
    #[must_use]
    pub fn statistics(mut self, allowed: bool) -> Self {
        self.statistics = allowed;
        self
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
        counters.count_segments(snapshot, request.range);
        let scan = all_metrics(snapshot, request.range, &counters, progress)?;
        let devices = cohort::devices(snapshot, &request.attributes, request.range, progress)?;
        let planned = Instant::now();
        let mut table = Table::new(columns());
        let work = |device: &DeviceEntry| {
            let mut gaps = Gaps::default();
            let mut slice = EncodedSlice::default();
            scan.device(device.handle, &mut |piece| match piece {
                Piece::Block(block) => {
                    if request.statistics
                        && let Some(known) = scan.gaps(&block)?
                        && known.unlisted_ns <= request.longer_than_ns as u64
                    {
                        gaps.add_listed(&block, &known.listed, request.longer_than_ns);
                        scan.note_statistics(1);
                        return Ok(());
                    }
                    scan.encoded_times(&block, &mut slice)?;
                    scan.note_read(1, slice.rows() as u64, slice.bytes_read());
                    gaps.add_packed(&mut slice.packed_times()?, request.longer_than_ns)
                        .map_err(|error| slice.located(error))
                }
                Piece::Rows(rows) => {
                    gaps.add(&rows.times, request.longer_than_ns);
                    Ok(())
                }
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

/// Chunks of times, each beginning with the last one of the chunk before.
fn chunks_that_touch(times: &[i64]) -> impl Iterator<Item = &[i64]> {
    (0..times.len()).step_by(GROUP_VALUES).map(|from| &times[from..times.len().min(from + GROUP_VALUES + 1)])
}

/// A scan of every metric: what tells when a device reported at all.
pub(super) fn all_metrics<'a>(
    snapshot: &'a Snapshot,
    range: TimeRange,
    counters: &'a ScanCounters,
    progress: Option<&'a Progress>,
) -> Result<Scan<'a>> {
    Scan::new(snapshot, range, snapshot.catalog().metrics().map(|metric| metric.handle).collect(), counters, progress)
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
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return };
        self.gap_to(*first, longer_than_ns);
        // Times rise: their distances are exact as unsigned numbers.
        let far = |pair: (&i64, &i64)| pair.1.wrapping_sub(*pair.0) as u64 > longer_than_ns as u64;
        for times in chunks_that_touch(times) {
            // Most chunks have none, which is known without a branch for each.
            if times.iter().zip(&times[1..]).fold(false, |any, pair| any | far(pair)) {
                for time in times {
                    self.gap_to(*time, longer_than_ns);
                }
            }
            self.last = times.last().copied();
        }
        self.last = Some(*last);
        self.samples += times.len() as u64;
    }

    /// Adds the times of a block; those that follow each other by one step are not looked at one by one.
    fn add_packed(&mut self, times: &mut PackedTimes<'_>, longer_than_ns: i64) -> Result<()> {
        for group in 0..times.rows().div_ceil(GROUP_VALUES) {
            let length = GROUP_VALUES.min(times.rows() - group * GROUP_VALUES);
            match times.group(group)? {
                GroupTimes::Listed(times) => self.add(times, longer_than_ns),
                regular @ GroupTimes::Regular(first, step_ns) => {
                    self.samples += length as u64;
                    // A step is a distance of instants, which may pass 2^63.
                    if u64::try_from(longer_than_ns).is_ok_and(|longest_ns| step_ns as u64 <= longest_ns) {
                        self.gap_to(first, longer_than_ns);
                        self.last = Some(regular.at(length - 1));
                    } else {
                        (0..length).for_each(|place| self.gap_to(regular.at(place), longer_than_ns));
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the times of a block of which all gaps that are long enough are known.
    fn add_listed(&mut self, block: &Block, listed: &[Gap], longer_than_ns: i64) {
        self.gap_to(block.times.0, longer_than_ns);
        for gap in listed {
            self.last = Some(gap.from);
            // A gap of a block ends in it.
            self.gap_to(gap.to().unwrap_or(block.times.1), longer_than_ns);
        }
        self.last = Some(block.times.1);
        self.samples += block.rows;
    }

    /// Adds the gap to the next time, if it is one.
    fn gap_to(&mut self, time: i64, longer_than_ns: i64) {
        if let Some(last) = self.last {
            let gap = i128::from(time) - i128::from(last);
            if gap > i128::from(longer_than_ns) {
                self.count += 1;
                self.total_ns += gap;
                if self.longest.is_none_or(|(longest, _)| gap > longest) {
                    self.longest = Some((gap, last));
                }
            }
        }
        self.last = Some(time);
    }

    pub(super) fn row(&self, device: String) -> Vec<Cell> {
        let seconds = |ns: i128| Cell::Float(ns as f64 / SECOND_NS as f64);
        vec![
            Cell::Text(device.into()),
            Cell::Integer(self.count),
            seconds(self.total_ns),
            self.longest.map_or(Cell::Null, |(longest, _)| seconds(longest)),
            self.longest.map_or(Cell::Null, |(_, from)| Cell::Time(Timestamp::from_nanoseconds(from))),
        ]
    }
}
