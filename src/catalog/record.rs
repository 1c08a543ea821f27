//! What the keyspace `catalog` holds: `d` and a big-endian device handle, or `m` and a metric's; `D` and `M` for handles that are
//! set aside for a name, until a record of the same handle says it.

use serde::{Deserialize, Serialize};

use crate::model::{DeviceHandle, DeviceId, MetricHandle};

/// A device as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeviceRecord {
    /// The present id; for a merged device the last one that it had.
    pub(super) id: DeviceId,
    /// Ids before.
    pub(super) aliases: Vec<DeviceId>,
    /// The merge by which it became a part of another device.
    pub(super) merged: Option<Merge>,
}

/// Where a device went. Of two devices merged into a third the earlier one's values win at equal instants: the order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Merge {
    /// The device that stays.
    pub(super) into: DeviceHandle,
    /// How many merges the store had seen before this one.
    pub(super) order: u32,
}

pub(super) fn device_key(handle: DeviceHandle) -> Vec<u8> {
    key(b'd', handle.0)
}

/// The record below it is the id.
pub(super) fn device_aside_key(handle: DeviceHandle) -> Vec<u8> {
    key(b'D', handle.0)
}

/// The record below it is the name.
pub(super) fn metric_aside_key(handle: MetricHandle) -> Vec<u8> {
    key(b'M', handle.0)
}

pub(super) fn metric_key(handle: MetricHandle) -> Vec<u8> {
    key(b'm', handle.0)
}

fn key(kind: u8, handle: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&handle.to_be_bytes());
    key
}
