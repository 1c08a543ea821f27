//! What a program writes: readings, attributes, events, log records and deletes that are stored together or not at all.
//!
//! Guarantees: a batch is columns from the start (no allocation per reading beyond its values); the first invalid name or
//! value is remembered and refused by [`WriteBatch::check`], which `Store::write` calls before anything is stored.

use std::collections::{BTreeMap, HashMap};

use crate::error::{Error, ErrorKind, Result};
use crate::time::{TimeRange, Timestamp};

use super::batch_column::too_long;
use super::{
    AttributeName, AttributeValue, BatchColumn, BatchMetric, DeviceId, EventKind, Labels, LogRecord, MetricName,
    MetricType, Nature, TEXT_BYTES_MAX, Value, Values,
};

/// The longest message of a log record, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1_024;
/// The most readings in one batch.
pub const BATCH_ROWS_MAX: usize = 1 << 24;

/// The attributes of a link: the device that is heard, and the gateway that hears it.
pub const LINK_ATTRIBUTES: [&str; 2] = ["link_device", "gateway"];

/// Changes that become durable together, under one sequence number. In one batch a later reading of a device, instant
/// and metric wins over an earlier one.
#[derive(Debug, Default)]
pub struct WriteBatch {
    pub(crate) devices: Vec<DeviceId>,
    device_places: HashMap<DeviceId, u32>,
    pub(crate) metrics: Vec<BatchMetric>,
    metric_places: HashMap<MetricName, u32>,
    pub(crate) row_devices: Vec<u32>,
    pub(crate) row_times: Vec<i64>,
    pub(crate) attributes: Vec<BatchAttribute>,
    /// Of devices that are links, by place: the device and the gateway.
    pub(crate) links: BTreeMap<u32, [DeviceId; 2]>,
    pub(crate) events: Vec<BatchEvent>,
    pub(crate) logs: Vec<BatchLog>,
    pub(crate) deletes: Vec<Delete>,
    pub(crate) device_changes: Vec<DeviceChange>,
    pub(crate) idempotency_key: Option<String>,
    error: Option<Error>,
}

/// A statement about an attribute in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchAttribute {
    /// Place of the device in the batch.
    pub device: u32,
    /// The attribute.
    pub attribute: AttributeName,
    /// Its value, or `None` for "none".
    pub value: Option<AttributeValue>,
    /// When it was so.
    pub range: TimeRange,
}

/// An event in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEvent {
    /// Place of the device in the batch.
    pub device: u32,
    /// When it happened.
    pub time: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// Labels.
    pub labels: Labels,
}

/// A log record in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchLog {
    /// Place of the device in the batch.
    pub device: u32,
    /// The record (its `device` is the same device).
    pub record: LogRecord,
}

/// A delete: hides what was written before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Of which device.
    pub device: DeviceId,
    /// Of which metric; all metrics where `None`.
    pub metric: Option<MetricName>,
    /// In which range.
    pub range: TimeRange,
    /// Whether events in the range go too (only where `metric` is `None`).
    pub events: bool,
}

/// A change of a device's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChange {
    /// The device has a new id; the old one still finds it.
    Rename {
        /// The id so far.
        from: DeviceId,
        /// The new id, not yet in use.
        to: DeviceId,
    },
    /// Two ids are one device: all that is stored under `from` is read as `into`'s, and the id `from` finds it too.
    Merge {
        /// The id that ends.
        from: DeviceId,
        /// The id that stays.
        into: DeviceId,
    },
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a reading of a device at an instant; values are added to what is returned. A reading without values
    /// stores nothing.
    pub fn reading(&mut self, device: impl AsRef<str>, at: Timestamp) -> ReadingEntry<'_> {
        let device = self.device(device.as_ref());
        let row = self.row_times.len();
        if row >= BATCH_ROWS_MAX {
            self.fail(Error::new(ErrorKind::LimitExceeded, format!("a batch holds at most {BATCH_ROWS_MAX} readings")));
            return ReadingEntry { batch: self, row: None };
        }
        let Some(device) = device else { return ReadingEntry { batch: self, row: None } };
        self.row_devices.push(device);
        self.row_times.push(at.nanoseconds());
        ReadingEntry { batch: self, row: Some(row as u32) }
    }

    /// Starts a reading of a link: of a device as one gateway hears it. The subject is `device@gateway`. Its attributes
    /// [`LINK_ATTRIBUTES`] say whose it is, unless something else was ever said of them: `by(["gateway"])` answers where the radio
    /// is bad.
    ///
    /// ```
    /// use fleetlog::{Timestamp, WriteBatch};
    /// let mut batch = WriteBatch::new();
    /// batch.link_reading("pump-17", "roof-2", Timestamp::parse("2025-06-15T08:00:00Z")?).integer("rssi_dbm", -97);
    /// # Ok::<(), fleetlog::Error>(())
    /// ```
    pub fn link_reading(
        &mut self,
        device: impl AsRef<str>,
        gateway: impl AsRef<str>,
        at: Timestamp,
    ) -> ReadingEntry<'_> {
        let ends = DeviceId::new(device).and_then(|device| Ok((device, DeviceId::new(gateway)?)));
        let named = ends.and_then(|(device, gateway)| Ok((device.link(&gateway)?, device, gateway)));
        let (id, device, gateway) = match named {
            Ok(named) => named,
            Err(error) => {
                self.fail(error);
                return ReadingEntry { batch: self, row: None };
            }
        };
        self.name_link(&id, &device, &gateway);
        self.reading(id.as_str(), at)
    }

    /// Says whose link a subject is.
    pub(crate) fn name_link(&mut self, id: &DeviceId, device: &DeviceId, gateway: &DeviceId) {
        if let Some(place) = self.device(id.as_str()) {
            self.links.entry(place).or_insert_with(|| [device.clone(), gateway.clone()]);
        }
    }

    /// States an attribute of a device, for all time until [`AttributeEntry::from`] narrows it.
    pub fn attribute(
        &mut self,
        device: impl AsRef<str>,
        attribute: impl AsRef<str>,
        value: impl Into<AttributeValue>,
    ) -> AttributeEntry<'_> {
        self.attribute_value(device.as_ref(), attribute.as_ref(), Some(value.into()))
    }

    /// States that a device had no such attribute.
    pub fn attribute_none(&mut self, device: impl AsRef<str>, attribute: impl AsRef<str>) -> AttributeEntry<'_> {
        self.attribute_value(device.as_ref(), attribute.as_ref(), None)
    }

    fn attribute_value(&mut self, device: &str, attribute: &str, value: Option<AttributeValue>) -> AttributeEntry<'_> {
        let device = self.device(device);
        let attribute = AttributeName::to_write(attribute);
        let attribute = attribute.map_err(|error| self.fail(error.advise("give the attribute another name"))).ok();
        let valid = match &value {
            Some(AttributeValue::Text(text)) if text.len() > TEXT_BYTES_MAX => {
                Err(too_long("an attribute value", text.len()))
            }
            Some(AttributeValue::Number(number)) if number.is_nan() => {
                Err(Error::new(ErrorKind::InvalidInput, "an attribute can not be NaN"))
            }
            _ => Ok(()),
        };
        if let Err(error) = valid {
            self.fail(error);
        }
        let (Some(device), Some(attribute)) = (device, attribute) else {
            return AttributeEntry { batch: self, place: None };
        };
        self.attributes.push(BatchAttribute { device, attribute, value, range: TimeRange::ALL });
        let place = self.attributes.len() - 1;
        AttributeEntry { batch: self, place: Some(place) }
    }

    /// Adds an event of a device.
    pub fn event<K: Into<String>, V: Into<String>>(
        &mut self,
        device: impl AsRef<str>,
        at: Timestamp,
        kind: EventKind,
        labels: impl IntoIterator<Item = (K, V)>,
    ) {
        let labels: Labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self.check_labels(&labels);
        if let Some(device) = self.device(device.as_ref()) {
            self.events.push(BatchEvent { device, time: at, kind, labels });
        }
    }

    /// Adds a log record.
    pub fn log(&mut self, record: LogRecord) {
        self.check_labels(&record.fields);
        if record.message.len() > MESSAGE_BYTES_MAX {
            self.fail(
                Error::new(ErrorKind::LimitExceeded, format!("a message of {} bytes", record.message.len()))
                    .advise(format!("cut messages at {MESSAGE_BYTES_MAX} bytes")),
            );
        }
        if record.source.len() > TEXT_BYTES_MAX {
            self.fail(too_long("a log source", record.source.len()));
        }
        if let Some(device) = self.device(record.device.as_str()) {
            self.logs.push(BatchLog { device, record });
        }
    }

    /// Hides the samples of a device (of one metric, or all) in a range that were written before this batch. Its log records
    /// stay, and so do its links: they are subjects of their own.
    pub fn delete(&mut self, delete: Delete) {
        self.deletes.push(delete);
    }

    /// Gives a device a new id; the old one still finds it, in this batch too. Its links are subjects of their own, and keep their
    /// ids and attributes.
    pub fn rename_device(&mut self, from: DeviceId, to: DeviceId) {
        self.device_changes.push(DeviceChange::Rename { from, to });
    }

    /// Makes one device of two. Where both have a value at one instant, or say what an attribute was, `into` counts.
    pub fn merge_devices(&mut self, from: DeviceId, into: DeviceId) {
        self.device_changes.push(DeviceChange::Merge { from, into });
    }

    /// Names the unit of a metric's values in this batch.
    pub fn unit(&mut self, metric: impl AsRef<str>, unit: impl Into<String>) {
        if let Some(place) = self.metric(metric.as_ref(), MetricType::Boolean) {
            self.metrics[place].unit = Some(unit.into());
        }
    }

    /// Names the nature of a metric.
    pub fn nature(&mut self, metric: impl AsRef<str>, nature: Nature) {
        if let Some(place) = self.metric(metric.as_ref(), MetricType::Boolean) {
            self.metrics[place].nature = Some(nature);
        }
    }

    /// Makes a retry of this batch safe: of two batches with one key only the first is stored.
    pub fn idempotency_key(&mut self, key: impl Into<String>) {
        let key = key.into();
        if key.is_empty() || key.len() > TEXT_BYTES_MAX {
            self.fail(Error::new(ErrorKind::InvalidInput, format!("an idempotency key of {} bytes", key.len())));
        }
        self.idempotency_key = Some(key);
    }

    /// Names a device without saying anything of it: it is registered when the batch is written.
    pub fn name_device(&mut self, id: &DeviceId) {
        self.device(id.as_str());
    }

    /// Names a metric without a value: it is registered, or widened, when the batch is written.
    pub fn name_metric(
        &mut self,
        name: &MetricName,
        metric_type: MetricType,
        unit: Option<&str>,
        nature: Option<Nature>,
    ) {
        if let Some(place) = self.metric(name.as_str(), metric_type) {
            let metric = &mut self.metrics[place];
            metric.named_type = Some(metric_type);
            metric.unit = unit.map(str::to_owned).or(metric.unit.take());
            metric.nature = nature.or(metric.nature);
        }
    }

    /// How many readings there are.
    #[must_use]
    pub fn readings(&self) -> usize {
        self.row_times.len()
    }

    /// Whether the batch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.metrics.is_empty()
            && self.row_times.is_empty()
            && self.attributes.is_empty()
            && self.events.is_empty()
            && self.logs.is_empty()
            && self.deletes.is_empty()
            && self.device_changes.is_empty()
    }

    /// Reports the first invalid name or value that was added.
    ///
    /// # Errors
    /// What was wrong with it.
    pub fn check(&self) -> Result<()> {
        self.error.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    pub(crate) fn device(&mut self, id: &str) -> Option<u32> {
        if let Some(place) = self.device_places.get(id) {
            return Some(*place);
        }
        match DeviceId::new(id) {
            Ok(id) => {
                let place = self.devices.len() as u32;
                self.device_places.insert(id.clone(), place);
                self.devices.push(id);
                Some(place)
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    fn metric(&mut self, name: &str, metric_type: MetricType) -> Option<usize> {
        if let Some(place) = self.metric_places.get(name) {
            return Some(*place as usize);
        }
        match MetricName::to_write(name) {
            Ok(name) => {
                let place = self.metrics.len();
                self.metric_places.insert(name.clone(), place as u32);
                let column = BatchColumn { rows: Vec::new(), values: Values::empty(metric_type) };
                self.metrics.push(BatchMetric { name, unit: None, nature: None, named_type: None, column });
                Some(place)
            }
            Err(error) => {
                self.fail(error.advise("give the metric another name"));
                None
            }
        }
    }

    fn value(&mut self, row: u32, metric: &str, value: Value) {
        let Some(place) = self.metric(metric, value.metric_type()) else { return };
        let column = &mut self.metrics[place].column;
        if let Err(error) = column.push(row, value) {
            let error = error.for_device(self.devices[self.row_devices[row as usize] as usize].as_str());
            self.fail(error);
        }
    }

    fn check_labels(&mut self, labels: &Labels) {
        if let Err(error) = check_labels(labels) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// Whether labels are few and short enough to be stored.
pub(crate) fn check_labels(labels: &Labels) -> Result<()> {
    let longest = labels.iter().map(|(name, value)| name.len().max(value.len())).max().unwrap_or(0);
    if longest > TEXT_BYTES_MAX {
        return Err(too_long("a label", longest));
    }
    if labels.len() > 256 {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("{} labels, more than 256", labels.len())));
    }
    Ok(())
}

/// A reading under construction.
#[derive(Debug)]
pub struct ReadingEntry<'a> {
    batch: &'a mut WriteBatch,
    row: Option<u32>,
}

impl ReadingEntry<'_> {
    /// Adds a float.
    pub fn float(self, metric: impl AsRef<str>, value: f64) -> Self {
        self.value(metric, Value::Float(value))
    }

    /// Adds an integer.
    pub fn integer(self, metric: impl AsRef<str>, value: i64) -> Self {
        self.value(metric, Value::Integer(value))
    }

    /// Adds a boolean.
    pub fn boolean(self, metric: impl AsRef<str>, value: bool) -> Self {
        self.value(metric, Value::Boolean(value))
    }

    /// Adds a text.
    pub fn text(self, metric: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.value(metric, Value::Text(value.into()))
    }

    /// Adds a value of any type.
    pub fn value(self, metric: impl AsRef<str>, value: Value) -> Self {
        if let Some(row) = self.row {
            self.batch.value(row, metric.as_ref(), value);
        }
        self
    }
}

/// An attribute under construction.
#[derive(Debug)]
pub struct AttributeEntry<'a> {
    batch: &'a mut WriteBatch,
    place: Option<usize>,
}

impl AttributeEntry<'_> {
    /// From this instant on, until the attribute's next change.
    #[allow(clippy::wrong_self_convention, clippy::should_implement_trait, reason = "reads as the sentence it writes")]
    pub fn from(self, from: Timestamp) -> Self {
        if let Some(place) = self.place {
            self.batch.attributes[place].range.from = from;
        }
        self
    }

    /// Until this instant, exclusive; afterwards holds what held there before.
    pub fn to(self, to: Timestamp) -> Self {
        if let Some(place) = self.place {
            let range = &mut self.batch.attributes[place].range;
            range.to = to;
            if range.is_empty() {
                self.batch.fail(Error::new(ErrorKind::InvalidInput, "an attribute's interval ends before it begins"));
            }
        }
        self
    }
}
