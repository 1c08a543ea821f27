//! Runs a query in as many passes as its memory asks for.
//!
//! Guarantees: parts of an answer never hold more than a quarter of the store's memory budget, whatever is asked; the devices of a
//! pass are worked on in parallel and merged in the order of their ids, so that the answer has the same bits on any number of
//! threads. Where there are few, a device's pieces are too, in runs that hang on their number alone, as long as the parts of all runs
//! have room side by side. Where one pass would hold too much, it becomes two: of earlier and later windows (at a month's start if
//! possible, so that no block is cut), or where there is one window, of some groups and of the others. A group of one device
//! is finished with that device. No pass hands anything to the next: what lies before its range it looks for in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::scan::{Scan, ScanCounters};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{BucketWidth, TimeBucket, TimeRange, Timestamp};

use super::cohort::{self, GroupKey, GroupStretch};
use super::fleet::WAVE;
use super::looks::{look, look_before};
use super::parts::PartList;
use super::prepared::Prepared;
use super::run::{DeviceParts, DeviceRun, Held, Work, stored_range};

/// A group with its windows (the least instant where there are no windows), and their parts by expression.
pub(super) type Group = (Arc<GroupKey>, PartList<Timestamp>);
/// Takes groups that are whole.
pub(super) type Take<'t> = dyn FnMut(Vec<Group>) -> Result<()> + 't;

/// Parts by group, then by start of the window.
type Groups = BTreeMap<Arc<GroupKey>, PartList<Timestamp>>;
/// What a map takes for an entry, about.
const ENTRY_BYTES: usize = 96;

/// A query that runs on a snapshot.
pub(super) struct Execution<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) counters: &'a ScanCounters,
    /// What parts may hold.
    pub(super) budget_bytes: usize,
    pub(super) progress: Option<&'a Progress>,
}

/// The groups of a pass: those whose hash ends in some bits.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    bits: u32,
    value: u64,
}

impl Share {
    fn takes(self, key: &GroupKey) -> bool {
        let text = key.join("\u{0}");
        xxhash_rust::xxh3::xxh3_64(text.as_bytes()) & ((1 << self.bits) - 1) == self.value
    }

    fn divides(self, groups: usize) -> bool {
        groups > 1 && self.bits < 32
    }

    fn halves(self) -> [Self; 2] {
        [self.value, self.value | 1 << self.bits].map(|value| Self { bits: self.bits + 1, value })
    }
}

#[derive(Debug, Clone, Copy)]
struct Pass<'d> {
    devices: &'d [&'d DeviceEntry],
    range: TimeRange,
    share: Share,
}

/// How a pass ended.
enum Ended {
    Whole,
    /// It would hold too much. The devices before `place` are finished.
    TooLarge {
        place: usize,
        worked: usize,
        groups: usize,
    },
}

impl<'a> Execution<'a> {
    /// In a quarter of the memory of a store.
    pub(super) fn new(
        store: &Store,
        prepared: &'a Prepared<'a>,
        snapshot: &'a Snapshot,
        (counters, progress): (&'a ScanCounters, Option<&'a Progress>),
    ) -> Self {
        Self { prepared, snapshot, counters, budget_bytes: store.options().memory_bytes / 4, progress }
    }

    /// Runs the query; groups and windows come in no particular order.
    pub(super) fn run(&self, take: &mut Take<'_>) -> Result<()> {
        let query = self.prepared.query;
        self.counters.count_segments(self.snapshot, query.range);
        let devices = cohort::devices(self.snapshot, &query.attributes, query.range, self.progress)?;
        self.progress.inspect(|progress| progress.set_total(devices.len() as u64));
        let Some((first, last)) = stored_range(self.snapshot, query.range) else { return Ok(()) };
        let to = if last == i64::MAX { Timestamp::MAX } else { Timestamp::from_nanoseconds(last + 1) };
        let range = query.range.intersect(TimeRange::new(Timestamp::from_nanoseconds(first), to));
        // Passes over groups of their own begin anew with few devices only.
        let step = if self.groups_are_of_one_device() { WAVE } else { devices.len().max(1) };
        for devices in devices.chunks(step) {
            self.pass(Pass { devices, range, share: Share::default() }, take)?;
        }
        Ok(())
    }

    fn groups_are_of_one_device(&self) -> bool {
        self.prepared.query.by.iter().any(|name| name == cohort::DEVICE)
    }

    fn pass(&self, pass: Pass<'_>, take: &mut Take<'_>) -> Result<()> {
        let (place, groups) = match self.attempt(pass, take)? {
            Ended::Whole => return Ok(()),
            Ended::TooLarge { place, worked, groups } => {
                let more = (pass.devices.len() - place + worked - place) as u64;
                self.progress.inspect(|progress| progress.set_total(progress.state().1 + more));
                (place, groups)
            }
        };
        let rest = Pass { devices: &pass.devices[place..], ..pass };
        tracing::debug!(devices = rest.devices.len(), range = ?rest.range, "a pass holds too much: it becomes two");
        if let Some(cut) = self.cut(rest.range) {
            self.pass(Pass { range: TimeRange::new(rest.range.from, cut), ..rest }, take)?;
            self.pass(Pass { range: TimeRange::new(cut, rest.range.to), ..rest }, take)
        } else if rest.share.divides(groups) {
            rest.share.halves().into_iter().try_for_each(|share| self.pass(Pass { share, ..rest }, take))
        } else {
            Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("one group and window of the answer needs more than {} MiB", self.budget_bytes >> 20),
            )
            .advise("ask for fewer metrics at once, or allow more memory"))
        }
    }

    /// A start of a window that cuts a range in two: near its middle, of a month if there is one.
    fn cut(&self, range: TimeRange) -> Option<Timestamp> {
        let every = self.prepared.query.every?;
        let (from, to) = (range.from.nanoseconds(), range.to.nanoseconds());
        let middle = Timestamp::from_nanoseconds(from + ((i128::from(to) - i128::from(from)) / 2) as i64);
        let inside = |cut: &Timestamp| *cut > range.from && *cut < range.to;
        let month = TimeBucket::containing(BucketWidth::Month, middle);
        let months = [month.number, month.number.saturating_add(1)]
            .map(|number| TimeBucket { width: BucketWidth::Month, number }.range().from);
        let of_month = months.into_iter().find(|start| inside(start) && every.start_of(*start) == *start);
        let start = every.start_of(middle);
        of_month.or_else(|| [start, every.end_of(start)].into_iter().find(inside))
    }

    fn attempt(&self, pass: Pass<'_>, take: &mut Take<'_>) -> Result<Ended> {
        let metrics = || self.prepared.metrics.clone();
        let looked_back = ScanCounters::default();
        let earlier =
            Scan::new(self.snapshot, self.prepared.earlier(pass.range.from), metrics(), &looked_back, self.progress)?;
        let scan = Scan::new(self.snapshot, pass.range, metrics(), self.counters, self.progress)?;
        let ended = self.waves(pass, [&scan, &earlier], take);
        self.counters.add_reads(&looked_back);
        ended
    }

    fn waves(&self, pass: Pass<'_>, scans: [&Scan<'_>; 2], take: &mut Take<'_>) -> Result<Ended> {
        let query = self.prepared.query;
        let (mut groups, mut groups_bytes, mut keys) = (Groups::new(), 0_usize, BTreeMap::new());
        let (mut place, mut wave, mut has_room) = (0, WAVE, true);
        while place < pass.devices.len() {
            look(self.progress)?;
            let devices = &pass.devices[place..pass.devices.len().min(place + wave)];
            let work: Vec<(&DeviceEntry, Vec<GroupStretch>)> = devices
                .iter()
                .map(|device| {
                    let named = &query.attributes;
                    (*device, cohort::stretches(self.snapshot, device, &query.by, named, pass.range, &mut keys))
                })
                .collect();
            let held = Held::new(self.budget_bytes.saturating_sub(groups_bytes));
            let runs = if has_room { self.prepared.runs_of_device(work.len()) } else { 1 };
            let parts = self.wave(scans, &work, (pass.share, runs), &held);
            if held.is_passed() {
                if let Some(error) = parts.into_iter().find_map(other_error) {
                    return Err(error);
                }
                // Several runs of a device may hold several times what the device does.
                has_room = false;
                if runs > 1 {
                    continue;
                }
                let groups = keys.keys().filter(|key| pass.share.takes(key)).count();
                let divides = self.cut(pass.range).is_some() || pass.share.divides(groups);
                if wave > 1 && (groups_bytes <= self.budget_bytes / 2 || !divides) {
                    wave /= 2;
                    continue;
                }
                let finished = if self.groups_are_of_one_device() { place } else { 0 };
                return Ok(Ended::TooLarge { place: finished, worked: place, groups });
            }
            merge(&mut groups, parts.into_iter().collect::<Result<_>>()?, self.progress)?;
            groups_bytes = groups.values().map(|list| list.held_bytes() + ENTRY_BYTES).sum();
            if self.groups_are_of_one_device() {
                take(std::mem::take(&mut groups).into_iter().collect())?;
                groups_bytes = 0;
            }
            place += devices.len();
            self.progress.inspect(|progress| progress.advance(devices.len() as u64));
        }
        take(groups.into_iter().collect())?;
        Ok(Ended::Whole)
    }

    fn wave(
        &self,
        [scan, earlier]: [&Scan<'_>; 2],
        work: &[(&DeviceEntry, Vec<GroupStretch>)],
        (share, runs): (Share, usize),
        held: &Held,
    ) -> Vec<Result<DeviceParts>> {
        let all = Work { prepared: self.prepared, scan, earlier, held, progress: self.progress };
        let run = |(device, stretches): &(&DeviceEntry, Vec<GroupStretch>)| {
            look(self.progress)?;
            if !stretches.iter().any(|stretch| share.takes(&stretch.key)) {
                return Ok(Vec::new());
            }
            let timeline = scan.timeline(device.handle)?;
            let pieces = timeline.pieces();
            let runs = runs.min(pieces);
            let parts: Vec<DeviceParts> = (0..runs)
                .into_par_iter()
                .map(|run| {
                    let pieces = run * pieces / runs..(run + 1) * pieces / runs;
                    DeviceRun::new(all, device, stretches).run(&timeline, pieces)
                })
                .collect::<Result<_>>()?;
            // Parts of one key add up in the order of the runs, as those of several devices do.
            Ok(parts.into_iter().flatten().filter(|(key, ..)| share.takes(key)).collect())
        };
        work.par_iter().map(run).collect()
    }
}

/// What is wrong with a device, but that it holds too much.
fn other_error<R>(result: Result<R>) -> Option<Error> {
    result.err().filter(|error| error.kind() != ErrorKind::LimitExceeded)
}

/// Merges the parts of devices, in their order; groups are worked on in parallel.
fn merge(groups: &mut Groups, devices: Vec<DeviceParts>, progress: Option<&Progress>) -> Result<()> {
    let mut lists: BTreeMap<Arc<GroupKey>, Vec<PartList<Timestamp>>> = BTreeMap::new();
    for (key, list) in devices.into_iter().flatten() {
        lists.entry(key).or_default().push(list);
    }
    let work: Vec<_> = lists.into_iter().map(|(key, lists)| (groups.remove(&key), key, lists)).collect();
    let merge = |(whole, key, lists): (Option<PartList<Timestamp>>, Arc<GroupKey>, Vec<PartList<Timestamp>>)| {
        look_before(progress, lists.iter().map(PartList::len).sum())?;
        let Some(wave) = PartList::merged(lists, progress)? else { return Ok(None) };
        let Some(mut whole) = whole else { return Ok(Some((key, wave))) };
        whole.merge(wave);
        Ok(Some((key, whole)))
    };
    let merged: Vec<_> = work.into_par_iter().filter_map(|work| merge(work).transpose()).collect::<Result<_>>()?;
    groups.extend(merged);
    Ok(())
}
