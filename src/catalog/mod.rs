//! Devices, metrics and the manifest: what a store knows beside its samples, as values that snapshots share.
//!
//! Guarantees: handles are given once and never again; an id finds its device under every name that it had; a metric's type
//! only widens and its unit, once named, stays. A clone shares everything; a change copies what it touches and nothing
//! else. A call that fails has changed nothing.

mod devices;
mod manifest;
mod metrics;
mod record;
mod unit;

use crate::error::{Error, ErrorKind, Result};
use crate::format::encode_record;
use crate::model::{DeviceHandle, DeviceId, MetricDefinition, MetricHandle, MetricName, MetricType, Nature};

pub use devices::DeviceEntry;
pub use manifest::{Intent, Manifest};
pub use unit::Conversion;

use devices::Devices;
use metrics::Metrics;
use record::{Records, device_aside_key, device_key, metric_aside_key, metric_key};

/// The most devices of a store (merged ones count).
pub const DEVICES_MAX: usize = 16_000_000;
/// The most metrics of a store.
pub const METRICS_MAX: usize = 65_536;

/// Keys and values to write into the keyspace `catalog` beside the commit that made them.
pub type CatalogWrites = Vec<(Vec<u8>, Vec<u8>)>;

/// Devices and metrics.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    devices: Devices,
    metrics: Metrics,
}

impl Catalog {
    /// Rebuilds it from the records of the keyspace `catalog`, in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`] where records contradict each other or one is damaged.
    pub fn load(records: &mut dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>)>>) -> Result<Self> {
        let mut parts = Records::default();
        for record in records {
            let (key, value) = record?;
            parts.add(&key, &value)?;
        }
        parts.build()
    }

    /// As [`Catalog::load`], but what is damaged is left out, and named beside: for a dump. Handles without a record have no device
    /// or metric; where the merges of devices contradict each other, none is applied.
    #[must_use]
    pub fn load_past_damage(records: &[(Vec<u8>, Vec<u8>)]) -> (Self, Vec<Error>) {
        let mut parts = Records::default();
        let mut damage: Vec<Error> = records.iter().filter_map(|(key, value)| parts.add(key, value).err()).collect();
        parts.fill_gaps();
        let built = parts.clone().build().or_else(|error| {
            damage.push(error);
            parts.devices.values_mut().for_each(|record| record.merged = None);
            parts.build()
        });
        (
            built.unwrap_or_else(|error| {
                damage.push(error);
                Self::default()
            }),
            damage,
        )
    }

    /// The handle of the device that an id, present or former, stands for.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<DeviceHandle> {
        self.devices.find(id)
    }

    /// What is known of a device, by its first handle; `None` for handles that were merged away.
    #[must_use]
    pub fn device_entry(&self, handle: DeviceHandle) -> Option<&DeviceEntry> {
        self.devices.entry(handle)
    }

    /// The handle that a device is known by, for any handle that is its own.
    #[must_use]
    pub fn primary(&self, handle: DeviceHandle) -> DeviceHandle {
        self.devices.primary(handle)
    }

    /// All devices, in order of their handles.
    pub fn devices(&self) -> Box<dyn Iterator<Item = &DeviceEntry> + '_> {
        Box::new(self.devices.all())
    }

    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.devices.all().count()
    }

    /// A metric by its name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&MetricDefinition> {
        self.metrics.find(name)
    }

    /// A metric by its handle.
    #[must_use]
    pub fn metric_by_handle(&self, handle: MetricHandle) -> Option<&MetricDefinition> {
        self.metrics.by_handle(handle)
    }

    /// All metrics, in order of their handles.
    pub fn metrics(&self) -> impl Iterator<Item = &MetricDefinition> {
        self.metrics.all()
    }

    /// The handle of a device, or one that is set aside for it: nothing shows it before [`Catalog::ensure_device`] with its id.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] past [`DEVICES_MAX`].
    pub fn set_device_aside(&mut self, id: &DeviceId, writes: &mut CatalogWrites) -> Result<DeviceHandle> {
        if let Some(handle) = self.devices.find(id.as_str()) {
            return Ok(handle);
        }
        let (handle, new) = self.devices.set_aside(id)?;
        if new {
            writes.push((device_aside_key(handle), encode_record(id)?));
        }
        Ok(handle)
    }

    /// The handle of a metric, or one that is set aside for it: nothing shows it before [`Catalog::ensure_metric`].
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] past [`METRICS_MAX`].
    pub fn set_metric_aside(&mut self, name: &MetricName, writes: &mut CatalogWrites) -> Result<MetricHandle> {
        let (handle, new) = self.metrics.set_aside(name)?;
        if new {
            writes.push((metric_aside_key(handle), encode_record(name)?));
        }
        Ok(handle)
    }

    /// Finds or adds a device.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] past [`DEVICES_MAX`].
    pub fn ensure_device(&mut self, id: &DeviceId, writes: &mut CatalogWrites) -> Result<DeviceHandle> {
        if let Some(handle) = self.devices.find(id.as_str()) {
            return Ok(handle);
        }
        let handle = self.devices.add(id)?;
        self.write_device(handle, writes)?;
        Ok(handle)
    }

    /// Finds, adds or widens a metric, and says how values in `unit` (`None`: in the metric's own) become its values.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`] for text against numbers, a unit of another quantity, or the other nature;
    /// [`ErrorKind::LimitExceeded`] past [`METRICS_MAX`].
    pub fn ensure_metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
        writes: &mut CatalogWrites,
    ) -> Result<(MetricHandle, Option<Conversion>)> {
        let (handle, conversion, changed) = self.metrics.ensure(name, metric_type, unit, nature)?;
        if changed && let Some(metric) = self.metrics.record(handle) {
            writes.push((metric_key(handle), encode_record(&metric)?));
        }
        Ok((handle, conversion))
    }

    /// Gives a device a new id; the old one still finds it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device, [`ErrorKind::AlreadyExists`] for an id in use by another.
    pub fn rename_device(&mut self, from: &DeviceId, to: &DeviceId, writes: &mut CatalogWrites) -> Result<()> {
        let handle = self.devices.rename(from, to)?;
        self.write_device(handle, writes)
    }

    /// Makes one device of two; returns the handle that ended and the handle that stays.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown device, [`ErrorKind::InvalidInput`] where both are the same already.
    pub fn merge_devices(
        &mut self,
        from: &DeviceId,
        into: &DeviceId,
        writes: &mut CatalogWrites,
    ) -> Result<(DeviceHandle, DeviceHandle)> {
        let (ended, stays) = self.devices.merge(from, into)?;
        self.write_device(ended, writes)?;
        Ok((ended, stays))
    }

    fn write_device(&self, handle: DeviceHandle, writes: &mut CatalogWrites) -> Result<()> {
        let record = self.devices.record(handle).ok_or_else(|| {
            Error::new(ErrorKind::Corruption, format!("device {handle} is missing from the catalogue"))
        })?;
        writes.push((device_key(handle), encode_record(&record)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
