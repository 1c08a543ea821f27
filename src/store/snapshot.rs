//! One moment of a store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::catalog::{Catalog, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::format::decode_record;
use crate::hot::Chunk;
use crate::index::AttributeIndex;
use crate::kv::Family;
use crate::model::{DeviceHandle, DeviceRows, Event, EventKind, MetricHandle, Sequence, StoredLog};
use crate::time::{TimeRange, Timestamp};

use super::core::{Core, State, lock};
use super::deletes::Deletes;
use super::gather::{Source, gather_instants, gather_rows, parts};
use super::layout::{EventKey, EventRecord, time_bytes};
use super::log_merge::LogMerge;
use super::progress::Progress;
use super::segment_ref::SegmentRef;
use super::spare::SpareLists;

/// Events that are walked over between two looks at whether the caller goes on.
const EVENTS_AT_ONCE: usize = 1_024;

/// What a snapshot pins.
#[derive(Debug)]
pub(super) struct SnapshotState {
    core: Arc<Core>,
    sequence: Sequence,
    catalog: Arc<Catalog>,
    attributes: Arc<AttributeIndex>,
    manifest: Arc<Manifest>,
    deletes: Arc<OnceLock<Deletes>>,
    segments: Arc<Vec<Arc<SegmentRef>>>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    pub(super) expired: AtomicBool,
}

/// One moment of a store: nothing that happens later changes what it shows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot(Arc<SnapshotState>);

impl Snapshot {
    pub(super) fn take(core: &Arc<Core>) -> Result<Self> {
        Self::take_where(core, |_| true)
    }

    /// This moment as far as one device in one range goes: a chunk that grows and holds nothing of it goes on growing, and does not show.
    pub(super) fn take_of(core: &Arc<Core>, device: DeviceHandle, range: TimeRange) -> Result<Self> {
        Self::take_where(core, |state| {
            let handles = state.catalog.device_entry(device).map_or(&[][..], |entry| entry.handles.as_slice());
            handles.iter().any(|handle| state.active.may_hold(*handle, range))
        })
    }

    fn take_where(core: &Arc<Core>, freezes: impl FnOnce(&State) -> bool) -> Result<Self> {
        let mut state = lock(&core.state);
        if freezes(&state) {
            state.freeze()?;
        }
        let snapshot = Arc::new(SnapshotState {
            core: Arc::clone(core),
            sequence: state.sequence,
            catalog: Arc::clone(&state.catalog),
            attributes: Arc::clone(&state.attributes),
            manifest: Arc::clone(&state.manifest),
            deletes: Arc::clone(&state.deletes),
            segments: Arc::clone(&state.segments),
            chunks: state.frozen.clone(),
            expired: AtomicBool::new(false),
        });
        state.snapshots.retain(|known| known.strong_count() > 0);
        state.snapshots.push(Arc::downgrade(&snapshot));
        Ok(Self(snapshot))
    }

    /// The last commit in it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.0.sequence
    }

    /// Devices and metrics.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Attribute history.
    #[must_use]
    pub fn attributes(&self) -> &AttributeIndex {
        &self.0.attributes
    }

    /// Segments and tombstones.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// Segments, by id.
    #[must_use]
    pub fn segments(&self) -> &[Arc<SegmentRef>] {
        &self.0.segments
    }

    /// Room for lists of values that earlier questions left.
    pub(crate) fn spare_lists(&self) -> &Arc<SpareLists> {
        &self.0.core.spare
    }

    /// Unsealed chunks, by sequence.
    #[must_use]
    pub fn chunks(&self) -> &[Arc<Chunk>] {
        &self.0.chunks
    }

    /// Whether it still shows its moment: to be asked after reading chunks.
    ///
    /// # Errors
    /// [`ErrorKind::SnapshotExpired`] once its memory was reclaimed.
    pub fn check(&self) -> Result<()> {
        if self.0.expired.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::SnapshotExpired, "its unsealed rows were needed as memory for new ones")
                .advise("take a new snapshot, or give the store more memory"));
        }
        Ok(())
    }

    fn deletes(&self) -> &Deletes {
        self.0.deletes.get_or_init(|| Deletes::of(&self.0.manifest.tombstones, TimeRange::ALL))
    }

    fn sources(&self) -> Vec<Source> {
        let segments = self.0.segments.iter().map(|segment| Source::Segment(Arc::clone(segment)));
        segments.chain(self.0.chunks.iter().map(|chunk| Source::Chunk(Arc::clone(chunk)))).collect()
    }

    /// The rows of a device in a range, with all metrics or some: everything that is stored of it, laid over each other.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a handle that is not a device's, [`ErrorKind::Corruption`], [`ErrorKind::SnapshotExpired`].
    pub fn rows(&self, device: DeviceHandle, range: TimeRange, metrics: Option<&[MetricHandle]>) -> Result<DeviceRows> {
        let rows = gather_rows(&self.sources(), self.handles(device)?, range, metrics, self.deletes())?;
        self.check()?;
        Ok(rows)
    }

    /// How many of some instants in a range, which rise, have a row of a device already.
    pub(super) fn count_instants(&self, device: DeviceHandle, range: TimeRange, times: &[i64]) -> Result<u64> {
        let Some(entry) = self.0.catalog.device_entry(device) else { return Ok(0) };
        let sources = self.sources();
        let mut met = 0;
        // The store may have many more instants in the range than the load: a part of them is in memory.
        for part in parts(&sources, &entry.handles, range)? {
            let at = |time: &i64| Timestamp::from_nanoseconds(*time);
            let from = times.partition_point(|time| at(time) < part.from);
            let inside = times[from..].partition_point(|time| part.contains(at(time)));
            if inside == 0 {
                continue;
            }
            let present = gather_instants(&sources, &entry.handles, part, self.deletes())?;
            self.check()?;
            met += count_met(&times[from..from + inside], &present);
        }
        Ok(met)
    }

    /// The log records of a device, by (time, order): all of them in memory, which [`Snapshot::visit_logs`] spares.
    ///
    /// # Errors
    /// As [`Snapshot::rows`].
    pub fn logs(&self, device: DeviceHandle) -> Result<Vec<StoredLog>> {
        let mut logs = Vec::new();
        self.visit_logs(device, TimeRange::ALL, &mut |log| {
            logs.push(log);
            Ok(true)
        })?;
        Ok(logs)
    }

    /// Visits the log records of a device in a range, by (time, order), until `visit` says false; a slice of each segment is in memory.
    ///
    /// # Errors
    /// What `visit` returns; as [`Snapshot::rows`].
    pub fn visit_logs(
        &self,
        device: DeviceHandle,
        range: TimeRange,
        visit: &mut dyn FnMut(StoredLog) -> Result<bool>,
    ) -> Result<()> {
        let mut merge = LogMerge::new(&self.sources(), self.handles(device)?, range)?;
        loop {
            let (part, all) = merge.part(None)?;
            self.check()?;
            for log in part {
                if !visit(log)? {
                    return Ok(());
                }
            }
            if all {
                return Ok(());
            }
        }
    }

    fn handles(&self, device: DeviceHandle) -> Result<&[DeviceHandle]> {
        let entry = self.0.catalog.device_entry(device);
        entry
            .map(|entry| entry.handles.as_slice())
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no device with the handle {device}")))
    }

    /// Visits events in a range (of one kind), by time, device, kind and labels, until `visit` says false.
    ///
    /// # Errors
    /// What `visit` returns; [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn events(
        &self,
        range: TimeRange,
        kind: Option<EventKind>,
        visit: &mut dyn FnMut(&Event) -> Result<bool>,
    ) -> Result<()> {
        self.visit_events(range, kind, None, visit)
    }

    /// As [`Snapshot::events`]; looks at whether the caller goes on, however rare the events that are visited.
    pub(crate) fn visit_events(
        &self,
        range: TimeRange,
        kind: Option<EventKind>,
        progress: Option<&Progress>,
        visit: &mut dyn FnMut(&Event) -> Result<bool>,
    ) -> Result<()> {
        let mut walked = 0_usize;
        let from = time_bytes(range.from.nanoseconds());
        let to = time_bytes(range.to.nanoseconds());
        let to = (range.to != Timestamp::MAX).then_some(&to[..]);
        // Events of one instant are put in order together: their keys sort by handle.
        let mut instant: Vec<Event> = Vec::new();
        let mut more = true;
        self.0.core.kv.scan(Family::Events, &from, to, &mut |key, value| {
            if let Some(progress) = progress {
                if walked.is_multiple_of(EVENTS_AT_ONCE) {
                    progress.check()?;
                }
                progress.note_work(1);
                walked += 1;
            }
            let key = EventKey::decode(key)?;
            let record: EventRecord = decode_record("an event", value)?;
            let put = self.0.manifest.commit_of(record.sequence);
            let shown = put.is_some_and(|put| put <= self.0.sequence)
                && record.deleted.is_none_or(|deleted| deleted > self.0.sequence);
            if !shown || kind.is_some_and(|kind| kind != key.kind) {
                return Ok(true);
            }
            if instant.first().is_some_and(|first| first.time.nanoseconds() != key.time) {
                more = flush_events(&mut instant, visit)?;
            }
            let device = self.0.catalog.device_entry(self.0.catalog.primary(key.device)).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corruption,
                    format!("an event of device {}, which is not in the catalogue", key.device),
                )
            })?;
            let time = Timestamp::from_nanoseconds(key.time);
            instant.push(Event { time, device: device.id.clone(), kind: key.kind, labels: record.labels });
            Ok(more)
        })?;
        if more {
            flush_events(&mut instant, visit)?;
        }
        Ok(())
    }
}

/// How many of some instants are among others; both rise.
fn count_met(times: &[i64], present: &[i64]) -> u64 {
    let mut rest = present.iter().peekable();
    let met = times.iter().filter(|time| {
        while rest.next_if(|present| present < time).is_some() {}
        rest.peek() == Some(time)
    });
    met.count() as u64
}

/// Asks something of a moment; of a newer one, where writers needed the memory of the snapshot meanwhile.
pub(super) fn ask_again<R>(take: impl Fn() -> Result<Snapshot>, ask: impl Fn(&Snapshot) -> Result<R>) -> Result<R> {
    const TRIES: u32 = 5;
    for _ in 1..TRIES {
        match ask(&take()?) {
            Err(error) if error.kind() == ErrorKind::SnapshotExpired => {}
            answered => return answered,
        }
    }
    ask(&take()?)
}

fn flush_events(instant: &mut Vec<Event>, visit: &mut dyn FnMut(&Event) -> Result<bool>) -> Result<bool> {
    instant.sort();
    // Two ids of one device, or a bulk load and a batch beside it, may both have told of one event.
    instant.dedup();
    for event in instant.drain(..) {
        if !visit(&event)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Core {
    /// Ends the oldest snapshots while what only snapshots hold passes its share of the memory.
    pub(super) fn expire_snapshots(&self) {
        let state = lock(&self.state);
        let mut live: Vec<Arc<SnapshotState>> = state.snapshots.iter().filter_map(std::sync::Weak::upgrade).collect();
        live.retain(|snapshot| !snapshot.expired.load(Ordering::Acquire));
        live.sort_by_key(|snapshot| snapshot.sequence);
        let current = |chunk: &Arc<Chunk>| state.frozen.iter().any(|known| Arc::ptr_eq(known, chunk));
        let pinned = |live: &[Arc<SnapshotState>]| {
            let mut chunks: Vec<&Arc<Chunk>> =
                live.iter().flat_map(|snapshot| &snapshot.chunks).filter(|chunk| !current(chunk)).collect();
            chunks.sort_by_key(|chunk| Arc::as_ptr(chunk));
            chunks.dedup_by(|a, b| Arc::ptr_eq(a, b));
            chunks.iter().map(|chunk| chunk.memory_bytes()).sum::<usize>()
        };
        let mut first = 0;
        while first < live.len() && pinned(&live[first..]) > self.options.pinned_bytes() {
            let oldest = &live[first];
            oldest.expired.store(true, Ordering::Release);
            first += 1;
            for chunk in &oldest.chunks {
                let held =
                    live[first..].iter().any(|snapshot| snapshot.chunks.iter().any(|other| Arc::ptr_eq(other, chunk)));
                if !current(chunk) && !held {
                    chunk.release();
                }
            }
        }
        drop(state);
        drop(live);
    }
}
