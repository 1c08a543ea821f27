//! What the keyspace `catalog` holds: `d` and a big-endian device handle, or `m` and a metric's; `D` and `M` for handles that are
//! set aside for a name, until a record of the same handle says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::format::decode_record;
use crate::model::{DeviceHandle, DeviceId, MetricDefinition, MetricHandle, MetricName, MetricType, Nature};

use super::Catalog;
use super::devices::Devices;
use super::metrics::Metrics;

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

/// The nature of a metric as it is stored, with whether anybody has said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum StoredNature {
    /// A gauge, since nobody said otherwise.
    Unsaid,
    /// A counter, as somebody said.
    Counter,
    /// A gauge, as somebody said.
    Gauge,
}

/// A metric as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MetricRecord {
    pub(super) handle: MetricHandle,
    name: MetricName,
    metric_type: MetricType,
    unit: Option<String>,
    nature: StoredNature,
}

impl MetricRecord {
    /// The record of a metric; `natured` is whether its nature was said.
    pub(super) fn new(metric: &MetricDefinition, natured: bool) -> Self {
        let nature = match metric.nature {
            Nature::Counter => StoredNature::Counter,
            Nature::Gauge if natured => StoredNature::Gauge,
            Nature::Gauge => StoredNature::Unsaid,
        };
        let MetricDefinition { handle, name, metric_type, unit, .. } = metric.clone();
        Self { handle, name, metric_type, unit, nature }
    }

    /// The metric, and whether its nature was said.
    pub(super) fn into_parts(self) -> (MetricDefinition, bool) {
        let nature = if self.nature == StoredNature::Counter { Nature::Counter } else { Nature::Gauge };
        let Self { handle, name, metric_type, unit, .. } = self;
        (MetricDefinition { handle, name, metric_type, unit, nature }, self.nature != StoredNature::Unsaid)
    }
}

/// All records of the keyspace, by handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) devices: BTreeMap<u32, DeviceRecord>,
    metrics: BTreeMap<u32, MetricRecord>,
    devices_aside: BTreeMap<u32, DeviceId>,
    metrics_aside: BTreeMap<u32, MetricName>,
}

impl Records {
    /// Adds what lies under a key.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let corrupt = |what: String| Error::new(ErrorKind::Corruption, what);
        let handle = key.get(1..).and_then(|handle| handle.try_into().ok()).map(u32::from_be_bytes);
        match (key.first(), handle) {
            (Some(b'd'), Some(handle)) => {
                self.devices.insert(handle, decode_record(&format!("device {handle} of the catalogue"), value)?);
            }
            (Some(b'm'), Some(handle)) => {
                let metric: MetricRecord = decode_record(&format!("metric {handle} of the catalogue"), value)?;
                if metric.handle.0 != handle {
                    return Err(corrupt(format!("metric {handle} of the catalogue says {}", metric.handle)));
                }
                self.metrics.insert(handle, metric);
            }
            (Some(b'D'), Some(handle)) => {
                self.devices_aside.insert(handle, decode_record(&format!("the id of device {handle}"), value)?);
            }
            (Some(b'M'), Some(handle)) => {
                self.metrics_aside.insert(handle, decode_record(&format!("the name of metric {handle}"), value)?);
            }
            _ => return Err(corrupt("a key of the catalogue is neither a device's nor a metric's".to_owned())),
        }
        Ok(())
    }

    /// Sets handles aside that have no record, so that those after them keep their places.
    pub(super) fn fill_gaps(&mut self) {
        self.devices.retain(|handle, _| (*handle as usize) < super::DEVICES_MAX);
        self.metrics.retain(|handle, _| (*handle as usize) < super::METRICS_MAX);
        for handle in 0..self.devices.keys().next_back().copied().unwrap_or(0) {
            if !self.devices.contains_key(&handle) && !self.devices_aside.contains_key(&handle) {
                // A number is an id like any other, and nothing shows it.
                self.devices_aside.extend(DeviceId::new(format!("#{handle}")).ok().map(|id| (handle, id)));
            }
        }
        for handle in 0..self.metrics.keys().next_back().copied().unwrap_or(0) {
            if !self.metrics.contains_key(&handle) && !self.metrics_aside.contains_key(&handle) {
                self.metrics_aside.extend(MetricName::new(format!("#{handle}")).ok().map(|name| (handle, name)));
            }
        }
    }

    /// The catalogue that they make.
    pub(super) fn build(mut self) -> Result<Catalog> {
        self.devices_aside.retain(|handle, _| !self.devices.contains_key(handle));
        Ok(Catalog {
            devices: Devices::load(self.devices.into_iter().collect(), &self.devices_aside)?,
            metrics: Metrics::load(self.metrics, &self.metrics_aside)?,
        })
    }
}
