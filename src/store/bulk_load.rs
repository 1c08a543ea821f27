//! Bulk load: sorted history becomes segments of months directly, past the log, with events of any number; all of it or none.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::catalog::{Catalog, Conversion};
use crate::error::{Error, ErrorKind, Result};
use crate::format::SegmentEntry;
use crate::kv::KvBatch;
use crate::model::{
    DeviceHandle, DeviceId, DeviceRows, Event, MetricHandle, MetricName, MetricType, Nature, Sequence, WriteBatch,
    merge_rows,
};
use crate::time::{BucketWidth, TimeBucket, TimeRange, Timestamp};

use super::Store;
use super::core::{Core, lock};
use super::event_load::EventLoad;
use super::options::Durability;
use super::segment_set::{Reserved, SLICE_VALUES, SegmentSet};
use super::snapshot::{Snapshot, ask_again};
use super::write::Extra;

/// What a bulk load brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Loaded {
    /// The commit that it is.
    pub sequence: Sequence,
    /// Its rows: instants of a device.
    pub rows: u64,
    /// Those of them at whose device and instant the store had a row already, which they overwrite.
    pub overwriting: u64,
}

/// Builds segments of sorted history past the log; nothing of it shows before [`BulkLoad::commit`].
///
/// Devices and metrics that the load names for the first time get their handles at once and are known with the commit: an
/// abandoned load leaves nothing that an answer could show.
#[derive(Debug)]
pub struct BulkLoad {
    store: Store,
    ids: Reserved,
    set: Option<SegmentSet>,
    batch: WriteBatch,
    new_devices: HashMap<DeviceId, DeviceHandle>,
    metric_handles: HashMap<MetricName, MetricHandle>,
    /// The metrics as they will be, under handles of its own.
    metrics: Catalog,
    device: Option<DeviceHandle>,
    /// The last instant of the present device.
    last_time: Option<i64>,
    bucket: i32,
    pending: Vec<DeviceRows>,
    /// Values of them, times included.
    pending_values: usize,
    rows: u64,
    overwriting: u64,
    pub(super) events: EventLoad,
    finished: bool,
}

impl BulkLoad {
    pub(super) fn start(store: Store) -> Result<Self> {
        let ids = store.core().reserve(SegmentSet::FILES_MAX as u32 + 1, "bulk load")?;
        // The number is fixed when the load commits: the manifest says it.
        let set = SegmentSet::new(store.core(), BucketWidth::Month, (Sequence::ZERO, Sequence::ZERO), None);
        Ok(Self {
            store,
            events: EventLoad::new(ids.intent.first),
            ids,
            set: Some(set),
            batch: WriteBatch::new(),
            new_devices: HashMap::new(),
            metric_handles: HashMap::new(),
            metrics: Catalog::default(),
            device: None,
            last_time: None,
            bucket: 0,
            pending: Vec::new(),
            pending_values: 0,
            rows: 0,
            overwriting: 0,
            finished: false,
        })
    }

    fn core(&self) -> &Core {
        self.store.core()
    }

    /// The handle of a device id; one that is new is known to the store with the commit.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn device(&mut self, id: &DeviceId) -> Result<DeviceHandle> {
        if let Some(handle) = self.new_devices.get(id) {
            return Ok(*handle);
        }
        let known = lock(&self.core().state).queue.catalog.device(id.as_str());
        if let Some(handle) = known {
            return Ok(handle);
        }
        let handle = self.core().set_aside(|catalog, writes| catalog.set_device_aside(id, writes))?;
        self.new_devices.insert(id.clone(), handle);
        Ok(handle)
    }

    /// The handle of the link of a device to a gateway, as [`WriteBatch::link_reading`] names it; attributes come with the commit.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn link(&mut self, device: &DeviceId, gateway: &DeviceId) -> Result<DeviceHandle> {
        let id = device.link(gateway)?;
        self.batch.name_link(&id, device, gateway);
        self.device(&id)
    }

    /// The handle of a metric, and how values in `unit` become its own: the caller converts. What is new of it is known to
    /// the store with the commit.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`] as `Store::write` gives it.
    pub fn metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
    ) -> Result<(MetricHandle, Option<Conversion>)> {
        if self.metrics.metric(name.as_str()).is_none() {
            let known = lock(&self.core().state).queue.catalog.metric(name.as_str()).cloned();
            if let Some(known) = known {
                let nature = (known.nature == Nature::Counter).then_some(Nature::Counter);
                let unit = known.unit.as_deref();
                self.metrics.ensure_metric(name, known.metric_type, unit, nature, &mut Vec::new())?;
            }
        }
        let (_, conversion) = self.metrics.ensure_metric(name, metric_type, unit, nature, &mut Vec::new())?;
        let handle = match self.metric_handles.get(name) {
            Some(handle) => *handle,
            None => self.core().set_aside(|catalog, writes| catalog.set_metric_aside(name, writes))?,
        };
        self.metric_handles.insert(name.clone(), handle);
        Ok((handle, conversion))
    }

    /// Adds rows of a device: devices rise by handle, the rows of one continue after its last instant.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for rows out of order or outside the store's accepted times; errors of the files.
    pub fn rows(&mut self, device: DeviceHandle, rows: &DeviceRows) -> Result<()> {
        let (Some(first), Some(last)) = (rows.times.first(), rows.times.last()) else { return Ok(()) };
        let accepted = self.core().options.accepted_times;
        for time in [first, last].map(|time| Timestamp::from_nanoseconds(*time)) {
            if !accepted.contains(time) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("{time} is outside the times that this store accepts"),
                ));
            }
        }
        let out_of_order =
            |what: &str| Err(Error::new(ErrorKind::InvalidInput, format!("bulk load: {what} do not rise")));
        if self.device != Some(device) {
            if self.device.is_some_and(|before| before > device) {
                return out_of_order("devices");
            }
            self.flush()?;
            (self.device, self.last_time) = (Some(device), None);
        }
        if self.last_time.is_some_and(|before| before >= *first) {
            return out_of_order("times of a device");
        }
        let mut rest = 0;
        while rest < rows.len() {
            let bucket = TimeBucket::containing(BucketWidth::Month, Timestamp::from_nanoseconds(rows.times[rest]));
            let range = bucket.range();
            let end =
                rest + rows.times[rest..].partition_point(|time| range.contains(Timestamp::from_nanoseconds(*time)));
            if bucket.number != self.bucket {
                self.flush()?;
                self.bucket = bucket.number;
            }
            self.pending_values += (end - rest) * (rows.columns.len() + 1);
            self.pending.push(rows.part(rest..end));
            rest = end;
            // A slice is full: the month goes on in another.
            if self.pending_values >= SLICE_VALUES {
                self.flush()?;
            }
        }
        self.last_time = Some(*last);
        Ok(())
    }

    /// Writes what waits as one slice.
    fn flush(&mut self) -> Result<()> {
        let Some(device) = self.device else { return Ok(()) };
        let pending = std::mem::take(&mut self.pending);
        self.pending_values = 0;
        let layers: Vec<&DeviceRows> = pending.iter().collect();
        let rows = match layers.as_slice() {
            [only] => (*only).clone(),
            _ => merge_rows(&layers)?,
        }
        .without_empty_rows();
        if rows.is_empty() {
            return Ok(());
        }
        self.rows += rows.len() as u64;
        self.overwriting += self.count_present(device, &rows.times)?;
        let set = self.set.as_mut().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the bulk load has ended"))?;
        set.write(device, &rows, &[], &mut self.ids)
    }

    /// How many of some instants, which rise, have a row of a device in the store already.
    fn count_present(&self, device: DeviceHandle, times: &[i64]) -> Result<u64> {
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return Ok(0) };
        let (from, to) = (Timestamp::from_nanoseconds(*first), Timestamp::from_nanoseconds(last.saturating_add(1)));
        let range = TimeRange::new(from, to);
        let take = || Snapshot::take_of(self.store.core(), device, range);
        ask_again(take, |snapshot| snapshot.count_instants(device, range, times))
    }

    /// Adds an event: any number of them, in any order, in bounded memory; they show with the commit, all or none. Devices that
    /// are new come with it, too. What the store has already, or gets from somebody else meanwhile, shows once as ever; the load does
    /// not look, so whoever counts what is new counts an event twice that two loads bring at once.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn event(&mut self, event: Event) -> Result<()> {
        let device = self.device(&event.device)?;
        self.events.add(self.store.core(), device, event)
    }

    /// Attributes, log records and a few events that go in with the load; readings go through [`BulkLoad::rows`], events of any
    /// number through [`BulkLoad::event`].
    pub fn batch(&mut self) -> &mut WriteBatch {
        &mut self.batch
    }

    /// Registers everything under one sequence number, durably.
    ///
    /// # Errors
    /// As [`Store::write`]; nothing of the load is there then.
    pub fn commit(mut self) -> Result<Loaded> {
        self.flush()?;
        let mut batch = std::mem::take(&mut self.batch);
        if batch.readings() > 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "readings of a bulk load go through `rows`"));
        }
        self.new_devices.keys().for_each(|id| batch.name_device(id));
        for metric in self.metrics.metrics() {
            let nature = (metric.nature == Nature::Counter).then_some(Nature::Counter);
            batch.name_metric(&metric.name, metric.metric_type, metric.unit.as_deref(), nature);
        }
        let mut entries: Vec<SegmentEntry> = self.set.take().map(SegmentSet::finish).transpose()?.unwrap_or_default();
        self.events.flush(self.store.core())?;
        let core = self.store.core();
        let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        core.counters.loaded.fetch_add(bytes, Ordering::Relaxed);
        let intent = &self.ids.intent;
        let mut registered = false;
        let committed = core.commit(batch, Durability::Synced, |sequence, catalog| {
            self.check_names(catalog)?;
            let mut changes = KvBatch::default();
            entries.iter_mut().for_each(|entry| entry.sequences = (sequence, sequence));
            Core::register(&entries, intent, &mut changes)?;
            let event_load = self.events.register(sequence, &mut changes)?;
            registered = true;
            let segments = entries.iter().map(|entry| core.segment_ref(entry.clone())).collect();
            Ok(Extra { changes, segments, event_load })
        });
        // From here on the manifest may name the files, also where the disk gave an error: the next opening knows.
        self.finished = registered;
        let (rows, overwriting) = if registered { (self.rows, self.overwriting) } else { (0, 0) };
        committed.map(|sequence| Loaded { sequence, rows, overwriting })
    }

    /// Whether rows still mean what they did when they came: a writer may have given a new name away meanwhile.
    fn check_names(&self, catalog: &Catalog) -> Result<()> {
        for (id, handle) in &self.new_devices {
            if catalog.device(id.as_str()) != Some(catalog.primary(*handle)) {
                return Err(Error::new(ErrorKind::AlreadyExists, "another device took this id while the load ran")
                    .for_device(id.as_str())
                    .advise("load again"));
            }
        }
        for metric in self.metrics.metrics().filter(|metric| metric.unit.is_some()) {
            if catalog.metric(metric.name.as_str()).is_none_or(|known| known.unit != metric.unit) {
                let what = format!("the unit of metric '{}' changed while the load ran", metric.name);
                return Err(Error::new(ErrorKind::TypeMismatch, what).advise("load again"));
            }
        }
        Ok(())
    }

    /// Forgets everything that was loaded.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn abandon(mut self) -> Result<()> {
        self.remove_files()
    }

    fn remove_files(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        drop(self.set.take());
        self.events.remove(self.store.core())?;
        self.core().remove_files(&self.ids)
    }
}

impl Drop for BulkLoad {
    fn drop(&mut self) {
        if let Err(error) = self.remove_files() {
            tracing::warn!(%error, "files of an abandoned bulk load are left: the next opening removes them");
        }
    }
}
