//! Roaring bitmaps per value and epoch: which devices carried a value at an instant, without a walk over the fleet.
//!
//! All changes of an attribute are sorted by time; every [`EPOCH_CHANGES`] of them an **epoch** keeps one bitmap per value.
//! The state at an instant is the epoch before it and the changes between.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use crate::model::DeviceHandle;
use crate::time::TimeRange;

use super::history::{AttributeHistory, is_value, last_instant};
use super::timeline::{UNSAID, ValueCode};

/// Changes between two epochs: fewer cost memory, more cost time.
const EPOCH_CHANGES: usize = 4_096;

#[derive(Debug, Clone, Copy)]
struct Change {
    at: i64,
    device: u32,
    before: ValueCode,
    after: ValueCode,
}

/// Devices by the value that they carry.
pub(super) type State = BTreeMap<ValueCode, RoaringBitmap>;

/// The bitmaps of one attribute.
#[derive(Debug)]
pub(super) struct Bitmaps {
    changes: Vec<Change>,
    /// The state before change `EPOCH_CHANGES * place`.
    epochs: Vec<State>,
}

fn apply(state: &mut State, change: Change) {
    if let Some(devices) = state.get_mut(&change.before) {
        devices.remove(change.device);
    }
    if is_value(change.after) {
        state.entry(change.after).or_default().insert(change.device);
    }
}

impl Bitmaps {
    /// Builds them: linear in devices and changes, but for one sort.
    pub(super) fn build(history: &AttributeHistory) -> Self {
        let mut changes = Vec::new();
        for device in history.devices() {
            let mut before = UNSAID;
            for (at, after) in history.timeline(DeviceHandle(device)).iter() {
                changes.push(Change { at: *at, device, before, after: *after });
                before = *after;
            }
        }
        changes.sort_unstable_by_key(|change| (change.at, change.device));
        let mut epochs = Vec::new();
        let mut state = State::new();
        for (place, change) in changes.iter().enumerate() {
            if place.is_multiple_of(EPOCH_CHANGES) {
                epochs.push(state.clone());
            }
            apply(&mut state, *change);
        }
        Self { changes, epochs }
    }

    /// Which devices carried which value at an instant.
    pub(super) fn state_at(&self, at: i64) -> State {
        let after = self.changes.partition_point(|change| change.at <= at);
        let Some(epoch) = self.epochs.len().checked_sub(1).map(|last| (after / EPOCH_CHANGES).min(last)) else {
            return State::new();
        };
        let mut state = self.epochs[epoch].clone();
        self.changes[epoch * EPOCH_CHANGES..after].iter().for_each(|change| apply(&mut state, *change));
        state
    }

    /// Devices that changed inside a range (its first instant does not count: a change there holds for all of it).
    pub(super) fn changed_in(&self, range: TimeRange) -> RoaringBitmap {
        let from = self.changes.partition_point(|change| change.at <= range.from.nanoseconds());
        let last = last_instant(range);
        self.changes[from..].iter().take_while(|change| change.at <= last).map(|change| change.device).collect()
    }
}
