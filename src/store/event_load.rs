//! Events of a bulk load: written as they come, shown by its commit.
//!
//! Guarantees: memory is bounded whatever their number; each has a record of its own, under what stands for the commit of the load,
//! so that nothing which is stored is written over; no reader sees one before the manifest says which commit the load is; what a
//! load leaves that never commits is removed with its intent, at the latest by the next opening.

use crate::catalog::Manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::format::encode_record;
use crate::kv::{Family, Kv, KvBatch};
use crate::model::{DeviceHandle, Event, SegmentId, Sequence, check_labels};
use crate::time::{TimeRange, Timestamp};

use super::core::Core;
use super::layout::{EventKey, EventRecord, event_life, later_life_key, time_bytes};

/// Keys and values that are written at once.
const BATCH_BYTES: usize = 1 << 20;

/// The events of one load.
#[derive(Debug)]
pub(super) struct EventLoad {
    /// The first of the segment ids that the load set aside.
    number: SegmentId,
    waiting: KvBatch,
    waiting_bytes: usize,
    /// First and last of their times.
    times: Option<(i64, i64)>,
}

impl EventLoad {
    pub(super) fn new(number: SegmentId) -> Self {
        Self { number, waiting: KvBatch::default(), waiting_bytes: 0, times: None }
    }

    /// Adds an event of a device.
    pub(super) fn add(&mut self, core: &Core, device: DeviceHandle, event: Event) -> Result<()> {
        let accepted = core.options.accepted_times;
        if !accepted.contains(event.time) {
            let what = format!("{} is outside the times that this store accepts", event.time);
            return Err(Error::new(ErrorKind::InvalidInput, what).for_device(event.device.as_str()));
        }
        check_labels(&event.labels).map_err(|error| error.for_device(event.device.as_str()))?;
        let time = event.time.nanoseconds();
        let marker = Manifest::load_marker(self.number);
        let identity = EventKey { time, device, kind: event.kind }.encode(&event.labels);
        let record = encode_record(&EventRecord { labels: event.labels, sequence: marker, deleted: None })?;
        let key = later_life_key(&identity, marker);
        self.waiting_bytes += key.len() + record.len();
        self.waiting.put(Family::Events, key, record);
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
        if self.waiting_bytes < BATCH_BYTES { Ok(()) } else { self.flush(core) }
    }

    /// Writes what waits. The commit of the load, which is synced, makes it durable.
    pub(super) fn flush(&mut self, core: &Core) -> Result<()> {
        self.waiting_bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        core.check_writable()?;
        core.kv.write(waiting, false).inspect_err(|_| core.poison())
    }

    /// Says with the commit of the load that its events are of it.
    pub(super) fn register(&self, sequence: Sequence, changes: &mut KvBatch) -> Result<Option<SegmentId>> {
        if self.times.is_none() {
            return Ok(None);
        }
        let (key, value) = Manifest::event_load_record(self.number, sequence)?;
        changes.put(Family::Manifest, key, value);
        Ok(Some(self.number))
    }

    /// Removes what was written.
    pub(super) fn remove(&mut self, core: &Core) -> Result<()> {
        self.waiting = KvBatch::default();
        let Some((first, last)) = self.times.take() else { return Ok(()) };
        let to = last.checked_add(1).map_or(Timestamp::MAX, Timestamp::from_nanoseconds);
        let range = TimeRange::new(Timestamp::from_nanoseconds(first), to);
        remove_load_events(&core.kv, range, &|load| load == self.number)
    }
}

/// Removes the events in a range that loads wrote which did not commit, and never will.
pub(super) fn remove_load_events(kv: &Kv, range: TimeRange, ended: &dyn Fn(SegmentId) -> bool) -> Result<()> {
    let from = time_bytes(range.from.nanoseconds());
    let to = time_bytes(range.to.nanoseconds());
    let to = (range.to != Timestamp::MAX).then_some(&to[..]);
    let (mut removed, mut bytes) = (KvBatch::default(), 0);
    kv.scan(Family::Events, &from, to, &mut |key, _| {
        if event_life(key).and_then(Manifest::load_of).is_some_and(ended) {
            removed.delete(Family::Events, key);
            bytes += key.len();
        }
        if bytes > BATCH_BYTES {
            bytes = 0;
            kv.write(std::mem::take(&mut removed), false)?;
        }
        Ok(true)
    })?;
    if removed.is_empty() { Ok(()) } else { kv.write(removed, false) }
}
