//! Devices by handle and by id.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DeviceHandle, DeviceId};

use super::DEVICES_MAX;
use super::record::{DeviceRecord, Merge};

/// Devices that are copied together when one of them changes.
const CHUNK: usize = 256;
/// Parts of the map of ids.
const PARTS: usize = 256;

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// The handle that it is known by.
    pub handle: DeviceHandle,
    /// The present id.
    pub id: DeviceId,
    /// All handles whose data are this device's: `handle` first, then those merged into it, in order.
    pub handles: Vec<DeviceHandle>,
    /// Other ids that find it: former ones, and those of merged devices.
    pub aliases: Vec<DeviceId>,
}

/// One handle: its record, and its entry, but for a device that was merged away or whose handle is only set aside.
#[derive(Debug, Clone)]
struct Slot {
    record: DeviceRecord,
    entry: Option<DeviceEntry>,
}

/// All devices. A clone copies two lists of pointers.
#[derive(Debug, Clone, Default)]
pub(super) struct Devices {
    chunks: Vec<Arc<Vec<Slot>>>,
    ids: Vec<Arc<HashMap<DeviceId, DeviceHandle>>>,
    count: usize,
    merges: u32,
}

fn part_of(id: &str) -> usize {
    xxhash_rust::xxh3::xxh3_64(id.as_bytes()) as usize % PARTS
}

impl Devices {
    /// From records in order of their handles, and the ids for which handles without a record are set aside.
    pub(super) fn load(records: Vec<(u32, DeviceRecord)>, aside: &BTreeMap<u32, DeviceId>) -> Result<Self> {
        let corrupt = |why: String| Err(Error::new(ErrorKind::Corruption, format!("catalogue: {why}")));
        let mut devices = Self::default();
        let mut merges = Vec::new();
        for (handle, record) in records {
            while let Some(id) = aside.get(&(devices.count as u32)).filter(|_| devices.count < handle as usize) {
                devices.push_aside(id);
            }
            if handle as usize != devices.count {
                return corrupt(format!("device {} is missing", devices.count));
            }
            let handle = DeviceHandle(handle);
            for id in std::iter::once(&record.id).chain(&record.aliases) {
                if devices.lookup(id.as_str()).is_some() {
                    return corrupt(format!("two devices have the id '{id}'"));
                }
            }
            std::iter::once(&record.id).chain(&record.aliases).for_each(|id| devices.point(id, handle));
            merges.extend(record.merged.map(|merge| (handle, merge)));
            let handles = vec![handle];
            let entry = DeviceEntry { handle, id: record.id.clone(), handles, aliases: record.aliases.clone() };
            devices.push(Slot { record, entry: Some(entry) });
        }
        while let Some(id) = aside.get(&(devices.count as u32)) {
            devices.push_aside(id);
        }
        if aside.keys().next_back().is_some_and(|last| *last as usize >= devices.count) {
            return corrupt(format!("device {} is missing", devices.count));
        }
        for (handle, id) in aside {
            if devices.lookup(id.as_str()).is_none() {
                devices.point(id, DeviceHandle(*handle));
            }
        }
        merges.sort_unstable_by_key(|(_, merge)| merge.order);
        for (ended, merge) in merges {
            // Each merge was one of two devices that both still stood: this leaves no room for a loop.
            let stands = |handle| devices.entry(handle).is_some();
            if merge.order != devices.merges || ended == merge.into || !stands(ended) || !stands(merge.into) {
                return corrupt(format!("device {ended} was merged into one that was not there"));
            }
            devices.move_entry(ended, merge.into);
        }
        Ok(devices)
    }

    fn slot(&self, handle: DeviceHandle) -> Option<&Slot> {
        let place = handle.0 as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    fn slot_mut(&mut self, handle: DeviceHandle) -> Option<&mut Slot> {
        let place = handle.0 as usize;
        Arc::make_mut(self.chunks.get_mut(place / CHUNK)?).get_mut(place % CHUNK)
    }

    fn push(&mut self, slot: Slot) {
        if self.count.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            Arc::make_mut(chunk).push(slot);
        }
        self.count += 1;
    }

    fn lookup(&self, id: &str) -> Option<DeviceHandle> {
        self.ids.get(part_of(id))?.get(id).copied()
    }

    fn point(&mut self, id: &DeviceId, handle: DeviceHandle) {
        self.ids.resize_with(PARTS, Arc::default);
        Arc::make_mut(&mut self.ids[part_of(id.as_str())]).insert(id.clone(), handle);
    }

    /// Takes a place for a handle that is set aside.
    fn push_aside(&mut self, id: &DeviceId) {
        let record = DeviceRecord { id: id.clone(), aliases: Vec::new(), merged: None };
        self.push(Slot { record, entry: None });
    }

    pub(super) fn find(&self, id: &str) -> Option<DeviceHandle> {
        let handle = self.primary(self.lookup(id)?);
        self.entry(handle).map(|entry| entry.handle)
    }

    pub(super) fn primary(&self, handle: DeviceHandle) -> DeviceHandle {
        let mut root = handle;
        while let Some(merge) = self.slot(root).and_then(|slot| slot.record.merged) {
            root = merge.into;
        }
        root
    }

    pub(super) fn entry(&self, handle: DeviceHandle) -> Option<&DeviceEntry> {
        self.slot(handle)?.entry.as_ref()
    }

    pub(super) fn record(&self, handle: DeviceHandle) -> Option<&DeviceRecord> {
        self.slot(handle).map(|slot| &slot.record)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &DeviceEntry> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).filter_map(|slot| slot.entry.as_ref())
    }

    /// A handle for an id that no device has: it finds none before [`Devices::add`]. The second is whether it is new.
    pub(super) fn set_aside(&mut self, id: &DeviceId) -> Result<(DeviceHandle, bool)> {
        if let Some(handle) = self.lookup(id.as_str()) {
            return Ok((handle, false));
        }
        self.check_room(id)?;
        let handle = DeviceHandle(self.count as u32);
        self.push_aside(id);
        self.point(id, handle);
        Ok((handle, true))
    }

    /// Adds a device with an id that none has, under the handle that is set aside for it or a new one.
    pub(super) fn add(&mut self, id: &DeviceId) -> Result<DeviceHandle> {
        let (handle, _) = self.set_aside(id)?;
        let entry = DeviceEntry { handle, id: id.clone(), handles: vec![handle], aliases: Vec::new() };
        if let Some(slot) = self.slot_mut(handle) {
            slot.entry = Some(entry);
        }
        Ok(handle)
    }

    fn check_room(&self, id: &DeviceId) -> Result<()> {
        if self.count >= DEVICES_MAX {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("the store has {DEVICES_MAX} devices, the most that it can"),
            )
            .for_device(id.as_str())
            .advise("look for ids that are made up by the sender"));
        }
        Ok(())
    }

    fn known(&self, id: &DeviceId) -> Result<DeviceHandle> {
        self.find(id.as_str())
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such device").for_device(id.as_str()))
    }

    pub(super) fn rename(&mut self, from: &DeviceId, to: &DeviceId) -> Result<DeviceHandle> {
        let handle = self.known(from)?;
        // A device may take back an id that it had itself; one that came with a merge belongs to that record.
        let is_in_use = |owner: &DeviceHandle| *owner != handle && self.find(to.as_str()).is_some();
        if let Some(owner) = self.lookup(to.as_str()).filter(is_in_use) {
            let owner = self.slot(self.primary(owner)).map_or_else(String::new, |slot| slot.record.id.to_string());
            return Err(Error::new(ErrorKind::AlreadyExists, format!("the id '{to}' is in use by device '{owner}'"))
                .for_device(from.as_str())
                .advise("merge the two devices, if they are one"));
        }
        self.point(to, handle);
        if let Some(slot) = self.slot_mut(handle) {
            let before = std::mem::replace(&mut slot.record.id, to.clone());
            let renamed = |aliases: &mut Vec<DeviceId>| {
                aliases.retain(|alias| alias != to);
                if before != *to {
                    aliases.push(before.clone());
                }
            };
            renamed(&mut slot.record.aliases);
            if let Some(entry) = &mut slot.entry {
                entry.id = to.clone();
                renamed(&mut entry.aliases);
            }
        }
        Ok(handle)
    }

    pub(super) fn merge(&mut self, from: &DeviceId, into: &DeviceId) -> Result<(DeviceHandle, DeviceHandle)> {
        let (ended, stays) = (self.known(from)?, self.known(into)?);
        if ended == stays {
            return Err(Error::new(ErrorKind::InvalidInput, format!("'{from}' and '{into}' are one device already"))
                .for_device(from.as_str()));
        }
        let merge = Merge { into: stays, order: self.merges };
        if let Some(slot) = self.slot_mut(ended) {
            slot.record.merged = Some(merge);
        }
        self.move_entry(ended, stays);
        Ok((ended, stays))
    }

    /// Makes the entry of `ended` a part of that of `stays`.
    fn move_entry(&mut self, ended: DeviceHandle, stays: DeviceHandle) {
        let Some(gone) = self.slot_mut(ended).and_then(|slot| slot.entry.take()) else { return };
        if let Some(entry) = self.slot_mut(stays).and_then(|slot| slot.entry.as_mut()) {
            entry.handles.extend(gone.handles);
            entry.aliases.push(gone.id);
            entry.aliases.extend(gone.aliases);
        }
        self.merges += 1;
    }
}
