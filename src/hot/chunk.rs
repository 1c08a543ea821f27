//! A chunk that takes no more rows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::model::StoredLog;
use crate::model::{DeviceHandle, DeviceRows, Sequence};

use super::builder::{ChunkBuilder, ROWS_MAX};
use super::flat::FlatRows;
use super::sorted::Sorted;

/// A chunk that takes no more rows. Shared by snapshots. Sorted and deduplicated by device on first use.
#[derive(Debug)]
pub struct Chunk {
    sequences: (Sequence, Sequence),
    times: Option<(i64, i64)>,
    devices: RoaringBitmap,
    log_devices: RoaringBitmap,
    state: RwLock<State>,
    bytes: AtomicUsize,
}

#[derive(Debug)]
enum State {
    Flat(FlatRows),
    Sorted(Arc<Sorted>),
    Released,
}

impl Chunk {
    pub(super) fn new(builder: ChunkBuilder) -> Option<Self> {
        let ChunkBuilder { sequences, times, devices, log_devices, mut flat } = builder;
        flat.shrink();
        let bytes = AtomicUsize::new(flat.memory_bytes());
        Some(Self { sequences: sequences?, times, devices, log_devices, state: RwLock::new(State::Flat(flat)), bytes })
    }

    /// First and last commit in it. No tombstone, and no bulk load, lies inside the range.
    #[must_use]
    pub fn sequences(&self) -> (Sequence, Sequence) {
        self.sequences
    }

    /// First and last instant (both included) of its rows, `None` when it has none (log records only).
    #[must_use]
    pub fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// Devices with rows.
    #[must_use]
    pub fn devices(&self) -> &RoaringBitmap {
        &self.devices
    }

    /// Devices with log records.
    #[must_use]
    pub fn log_devices(&self) -> &RoaringBitmap {
        &self.log_devices
    }

    /// Rows of a device, later commits already over earlier ones. `None` where it has none, and after the chunk's memory
    /// was reclaimed from an expired snapshot: `Snapshot::check` after the last read tells the two apart.
    #[must_use]
    pub fn rows(&self, device: DeviceHandle) -> Option<Arc<DeviceRows>> {
        if !self.devices.contains(device.0) {
            return None;
        }
        self.sorted()?.rows(device.0).map(Arc::new)
    }

    /// The instants of a device at which it has a value, rising. None after the chunk's memory was reclaimed, as in [`Self::rows`].
    #[must_use]
    pub fn instants(&self, device: DeviceHandle) -> Vec<i64> {
        if !self.devices.contains(device.0) {
            return Vec::new();
        }
        self.sorted().map_or_else(Vec::new, |sorted| sorted.times(device.0).to_vec())
    }

    /// How many log records it has of a device. None after the chunk's memory was reclaimed, as in [`Self::rows`].
    #[must_use]
    pub fn log_count(&self, device: DeviceHandle) -> usize {
        self.with_logs(device, <[StoredLog]>::len)
    }

    /// Some of the log records of a device: those at some places, in (time, order).
    #[must_use]
    pub fn logs(&self, device: DeviceHandle, places: std::ops::Range<usize>) -> Vec<StoredLog> {
        self.with_logs(device, |logs| logs.get(places).unwrap_or_default().to_vec())
    }

    /// Visits the instants of the log records of a device.
    pub fn visit_log_times(&self, device: DeviceHandle, visit: impl FnMut(i64)) {
        self.with_logs(device, |logs| logs.iter().map(|log| log.time).for_each(visit));
    }

    fn with_logs<R>(&self, device: DeviceHandle, with: impl FnOnce(&[StoredLog]) -> R) -> R {
        let sorted = if self.log_devices.contains(device.0) { self.sorted() } else { None };
        with(sorted.as_ref().map_or(&[], |sorted| sorted.logs(device.0)))
    }

    /// Bytes held, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed) + 512
    }

    /// Gives the rows' memory back: the snapshots that still name this chunk have expired.
    pub fn release(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State::Released;
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// One chunk of two neighbours, `self` being the older; `None` when they hold too many rows or one was released.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TypeMismatch`] where text meets a number (the catalogue forbids it).
    pub fn join(&self, later: &Self) -> Result<Option<Self>> {
        let (Some(mut flat), Some(more)) = (self.to_flat(), later.to_flat()) else { return Ok(None) };
        if flat.times.len() + more.times.len() > ROWS_MAX {
            return Ok(None);
        }
        flat.append_flat(more)?;
        let times = match (self.times, later.times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        Ok(Self::new(ChunkBuilder {
            sequences: Some((self.sequences.0, later.sequences.1)),
            times,
            devices: &self.devices | &later.devices,
            log_devices: &self.log_devices | &later.log_devices,
            flat,
        }))
    }

    fn to_flat(&self) -> Option<FlatRows> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Flat(flat) => Some(flat.clone()),
            State::Sorted(sorted) => Some(sorted.to_flat()),
            State::Released => None,
        }
    }

    /// The sorted form, made on first use.
    fn sorted(&self) -> Option<Arc<Sorted>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Sorted(sorted) => return Some(Arc::clone(sorted)),
            State::Released => return None,
            State::Flat(_) => {}
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let sorted = match std::mem::replace(&mut *state, State::Released) {
            State::Flat(flat) => Arc::new(Sorted::new(flat)),
            State::Sorted(sorted) => sorted,
            State::Released => return None,
        };
        self.bytes.store(sorted.memory_bytes(), Ordering::Relaxed);
        *state = State::Sorted(Arc::clone(&sorted));
        Some(sorted)
    }
}
