//! A batch on its way: names become handles, values fit their metrics, and everything that the commit changes stands
//! ready, before any of it is visible.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::catalog::{Catalog, CatalogWrites, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Commit, Tombstone, encode_record};
use crate::index::AttributeIndex;
use crate::kv::{Family, KvBatch};
use crate::model::{
    AttributeAssertion, AttributeName, AttributeValue, BatchAttribute, BatchColumn, BatchLog, DeviceChange,
    DeviceHandle, DeviceId, LINK_ATTRIBUTES, MetricHandle, MetricType, SegmentId, Sequence, StoredLog, WriteBatch,
};
use crate::time::{TimeRange, Timestamp};

use super::layout::{AttributeRecord, EventKey, EventRecord, attribute_key};
use super::segment_ref::SegmentRef;

/// A commit that has its number; it becomes visible when the log holds it.
#[derive(Debug)]
pub(super) struct PendingCommit {
    pub(super) sequence: Sequence,
    pub(super) hash: u64,
    pub(super) changes: KvBatch,
    pub(super) commit: Commit,
    pub(super) catalog: Arc<Catalog>,
    pub(super) attributes: Arc<AttributeIndex>,
    pub(super) tombstones: Vec<Tombstone>,
    /// Segments of a bulk load.
    pub(super) segments: Vec<Arc<SegmentRef>>,
    /// Under which number events of a bulk load are stored.
    pub(super) event_load: Option<SegmentId>,
    pub(super) key: Option<String>,
    /// Identities of the events that it puts.
    pub(super) event_keys: Vec<Vec<u8>>,
    pub(super) synced: bool,
}

/// An event ready to be stored: its key, what is stored, and the range that deletes need.
#[derive(Debug)]
pub(super) struct ResolvedEvent {
    pub(super) key: Vec<u8>,
    pub(super) record: EventRecord,
}

/// A delete of events: of a device (all its handles) in a range.
#[derive(Debug)]
pub(super) struct EventDelete {
    pub(super) handles: Vec<DeviceHandle>,
    pub(super) range: TimeRange,
}

/// A batch with handles instead of names.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) catalog: Arc<Catalog>,
    pub(super) attributes: Arc<AttributeIndex>,
    pub(super) changes: KvBatch,
    pub(super) devices: Vec<DeviceHandle>,
    pub(super) times: Vec<i64>,
    pub(super) columns: Vec<(MetricHandle, BatchColumn)>,
    pub(super) logs: Vec<StoredLog>,
    pub(super) events: Vec<ResolvedEvent>,
    pub(super) event_deletes: Vec<EventDelete>,
    pub(super) tombstones: Vec<Tombstone>,
}

/// Where a batch is resolved: the state after the commit before it.
pub(super) struct Resolver<'a> {
    pub(super) catalog: Arc<Catalog>,
    pub(super) attributes: Arc<AttributeIndex>,
    pub(super) sequence: Sequence,
    pub(super) recorded_at: Timestamp,
    pub(super) accepted_times: &'a TimeRange,
}

impl Resolver<'_> {
    /// Resolves a batch. Nothing but the result changes, whether or not it succeeds.
    pub(super) fn resolve(mut self, batch: WriteBatch) -> Result<Resolved> {
        let mut writes = CatalogWrites::new();
        let mut changes = KvBatch::default();
        let handles = self.handles(&batch, &mut writes, &mut changes)?;
        let catalog = Arc::make_mut(&mut self.catalog);
        let mut columns = Vec::with_capacity(batch.metrics.len());
        for metric in batch.metrics {
            let known = catalog.metric(metric.name.as_str()).map(|metric| metric.metric_type);
            let metric_type = metric.sent_type().or(known).unwrap_or(MetricType::Boolean);
            let named = |error: Error| error.advise(format!("look at the values of metric '{}'", metric.name));
            let (handle, conversion) = catalog
                .ensure_metric(&metric.name, metric_type, metric.unit.as_deref(), metric.nature, &mut writes)
                .map_err(named)?;
            let BatchColumn { rows, values } = metric.column;
            let values = match conversion {
                Some(conversion) => conversion.apply(values).map_err(named)?,
                None => values,
            };
            if !rows.is_empty() {
                columns.push((handle, BatchColumn { rows, values }));
            }
        }
        self.check_times(&batch.devices, &batch.row_devices, &batch.row_times)?;
        let (rows, columns) = without_empty(batch.row_devices.len(), columns);
        let devices = rows.iter().map(|row| handles[batch.row_devices[*row as usize] as usize]).collect();
        let times = rows.iter().map(|row| batch.row_times[*row as usize]).collect();
        let first_statement = batch.device_changes.len() as u32;
        let mut statements = batch.attributes;
        self.describe_links(&batch.links, &handles, &mut statements)?;
        self.state_attributes(&statements, &handles, first_statement, &mut changes)?;
        let mut resolved = Resolved {
            catalog: Arc::clone(&self.catalog),
            attributes: Arc::clone(&self.attributes),
            changes,
            devices,
            times,
            columns,
            logs: Vec::with_capacity(batch.logs.len()),
            events: Vec::with_capacity(batch.events.len()),
            event_deletes: Vec::new(),
            tombstones: Vec::new(),
        };
        for (place, log) in batch.logs.into_iter().enumerate() {
            self.check_time(log.record.time, &log.record.device)?;
            resolved.logs.push(stored_log(log, handles.as_slice(), (self.sequence.0, place as u32)));
        }
        for event in batch.events {
            self.check_time(event.time, &batch.devices[event.device as usize])?;
            let key =
                EventKey { time: event.time.nanoseconds(), device: handles[event.device as usize], kind: event.kind };
            let record = EventRecord { labels: event.labels, sequence: self.sequence, deleted: None };
            resolved.events.push(ResolvedEvent { key: key.encode(&record.labels), record });
        }
        for delete in batch.deletes {
            self.delete(&delete, &mut resolved)?;
        }
        for (key, value) in writes {
            resolved.changes.put(Family::Catalog, key, value);
        }
        resolved.catalog = self.catalog;
        Ok(resolved)
    }

    /// The handles of the devices of a batch, once its renames and merges are done.
    fn handles(
        &mut self,
        batch: &WriteBatch,
        writes: &mut CatalogWrites,
        changes: &mut KvBatch,
    ) -> Result<Vec<DeviceHandle>> {
        // A name that a device takes in this batch is that device's, not a new one's.
        let is_taken = |device: &&DeviceId| {
            batch.device_changes.iter().any(|change| matches!(change, DeviceChange::Rename { to, .. } if to == *device))
        };
        let catalog = Arc::make_mut(&mut self.catalog);
        for device in batch.devices.iter().filter(|device| !is_taken(device)) {
            catalog.ensure_device(device, writes)?;
        }
        self.change_devices(&batch.device_changes, writes, changes)?;
        let catalog = Arc::make_mut(&mut self.catalog);
        batch.devices.iter().map(|device| catalog.ensure_device(device, writes)).collect()
    }

    fn change_devices(&mut self, changes: &[DeviceChange], writes: &mut CatalogWrites, kv: &mut KvBatch) -> Result<()> {
        let catalog = Arc::make_mut(&mut self.catalog);
        for (place, change) in changes.iter().enumerate() {
            match change {
                DeviceChange::Rename { from, to } => catalog.rename_device(from, to, writes)?,
                DeviceChange::Merge { from, into } => {
                    let (from, into) = catalog.merge_devices(from, into, writes)?;
                    Arc::make_mut(&mut self.attributes).merge(from, into);
                    let record = encode_record(&AttributeRecord::Merge { from, into })?;
                    kv.put(Family::Attributes, attribute_key(self.sequence, place as u32), record);
                }
            }
        }
        Ok(())
    }

    /// Adds what the subjects of links say of themselves, unless something was ever said of it.
    fn describe_links(
        &self,
        links: &BTreeMap<u32, [DeviceId; 2]>,
        handles: &[DeviceHandle],
        statements: &mut Vec<BatchAttribute>,
    ) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        let stated: HashSet<(u32, AttributeName)> =
            statements.iter().map(|statement| (statement.device, statement.attribute.clone())).collect();
        for (place, ends) in links {
            let handle = self.catalog.primary(handles[*place as usize]);
            for (name, end) in LINK_ATTRIBUTES.into_iter().zip(ends) {
                let attribute = AttributeName::new(name)?;
                if self.attributes.is_stated(handle, name) || stated.contains(&(*place, attribute.clone())) {
                    continue;
                }
                let value = Some(AttributeValue::Text(end.to_string()));
                statements.push(BatchAttribute { device: *place, attribute, value, range: TimeRange::ALL });
            }
        }
        Ok(())
    }

    fn state_attributes(
        &mut self,
        statements: &[BatchAttribute],
        handles: &[DeviceHandle],
        first: u32,
        kv: &mut KvBatch,
    ) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let index = Arc::make_mut(&mut self.attributes);
        for (place, statement) in statements.iter().enumerate() {
            if statement.range.is_empty() {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "attribute '{}' is stated for an empty time: {} to {}",
                        statement.attribute, statement.range.from, statement.range.to
                    ),
                ));
            }
            let assertion = AttributeAssertion {
                device: self.catalog.primary(handles[statement.device as usize]),
                attribute: statement.attribute.clone(),
                value: statement.value.clone(),
                range: statement.range,
                sequence: self.sequence,
                recorded_at: self.recorded_at,
            };
            index.assert(&assertion);
            let key = attribute_key(self.sequence, first + place as u32);
            kv.put(Family::Attributes, key, encode_record(&AttributeRecord::Assertion(assertion))?);
        }
        Ok(())
    }

    fn delete(&self, delete: &crate::model::Delete, resolved: &mut Resolved) -> Result<()> {
        let not_found = |what: String| Error::new(ErrorKind::NotFound, what).for_device(delete.device.as_str());
        let device = self
            .catalog
            .device(delete.device.as_str())
            .ok_or_else(|| not_found("there is no such device to delete from".to_owned()))?;
        let handles = self.catalog.device_entry(device).map(|entry| entry.handles.clone()).unwrap_or_default();
        let metric = match &delete.metric {
            None => None,
            Some(name) => {
                let metric = self.catalog.metric(name.as_str());
                Some(metric.ok_or_else(|| not_found(format!("there is no metric '{name}' to delete")))?.handle)
            }
        };
        if delete.events && metric.is_none() {
            resolved.event_deletes.push(EventDelete { handles: handles.clone(), range: delete.range });
        }
        if delete.range.is_empty() {
            return Err(
                Error::new(ErrorKind::InvalidInput, "the time to delete is empty").for_device(delete.device.as_str())
            );
        }
        for device in handles {
            let tombstone = Tombstone { device, metric, range: delete.range, sequence: self.sequence };
            let key = Manifest::tombstone_key(self.sequence, resolved.tombstones.len() as u32);
            resolved.changes.put(Family::Manifest, key, encode_record(&tombstone)?);
            resolved.tombstones.push(tombstone);
        }
        Ok(())
    }

    fn check_time(&self, at: Timestamp, device: &DeviceId) -> Result<()> {
        if self.accepted_times.contains(at) {
            return Ok(());
        }
        let (from, to) = (self.accepted_times.from, self.accepted_times.to);
        Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{at} is not between {from} and {to}, the times that this store accepts"),
        )
        .for_device(device.as_str())
        .advise("look at the device's clock"))
    }

    fn check_times(&self, devices: &[DeviceId], row_devices: &[u32], row_times: &[i64]) -> Result<()> {
        let outside = |time: &i64| !self.accepted_times.contains(Timestamp::from_nanoseconds(*time));
        match row_times.iter().position(outside) {
            None => Ok(()),
            Some(row) => {
                self.check_time(Timestamp::from_nanoseconds(row_times[row]), &devices[row_devices[row] as usize])
            }
        }
    }
}

/// Drops rows that no column has a value for; gives the rows that stay, and the columns with new places.
fn without_empty(
    rows: usize,
    mut columns: Vec<(MetricHandle, BatchColumn)>,
) -> (Vec<u32>, Vec<(MetricHandle, BatchColumn)>) {
    columns.sort_by_key(|(metric, _)| *metric);
    let full = columns.iter().any(|(_, column)| column.rows.len() >= rows && is_every_row(&column.rows, rows));
    if full {
        return ((0..rows as u32).collect(), columns);
    }
    let used: HashSet<u32> = columns.iter().flat_map(|(_, column)| column.rows.iter().copied()).collect();
    let mut kept: Vec<u32> = used.into_iter().collect();
    kept.sort_unstable();
    if kept.len() < rows {
        for (_, column) in &mut columns {
            column.rows.iter_mut().for_each(|row| *row = kept.partition_point(|kept| *kept < *row) as u32);
        }
    }
    (kept, columns)
}

fn is_every_row(column: &[u32], rows: usize) -> bool {
    let mut next = 0;
    for row in column {
        if *row == next {
            next += 1;
        } else if *row > next {
            return false;
        }
    }
    next as usize == rows
}

fn stored_log(log: BatchLog, handles: &[DeviceHandle], order: (u64, u32)) -> StoredLog {
    StoredLog {
        device: handles[log.device as usize],
        time: log.record.time.nanoseconds(),
        order,
        severity: log.record.severity,
        source: log.record.source.into(),
        message: log.record.message.into(),
        fields: log.record.fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
    }
}
