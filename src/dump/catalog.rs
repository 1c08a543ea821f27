//! Manifest, catalogue and index as text.

use crate::error::Result;
use crate::model::{AttributeValue, DeviceHandle, MetricHandle, SegmentId};
use crate::store::StoreParts;
use crate::time::{BucketWidth, TimeRange, Timestamp};

use super::Dump;

/// Values of one attribute that are listed.
const VALUES_SHOWN: usize = 20;
/// Devices that are listed.
const DEVICES_SHOWN: usize = 1_000;

pub(super) fn width(width: BucketWidth) -> &'static str {
    match width {
        BucketWidth::Day => "day",
        BucketWidth::Month => "month",
    }
}

pub(super) fn at(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanoseconds(nanoseconds)
}

/// A range of numbers, or the only one in it.
pub(super) fn from_to<N: PartialEq + std::fmt::Display>(first: &N, last: &N) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

fn commits(first: u64, last: u64) -> String {
    format!("{} {}", if first == last { "commit" } else { "commits" }, from_to(&first, &last))
}

fn range(range: TimeRange) -> String {
    let end = |at: Timestamp, open: Timestamp| if at == open { "ever".to_owned() } else { at.to_string() };
    format!("{} to {}", end(range.from, Timestamp::MIN), end(range.to, Timestamp::MAX))
}

pub(super) fn device_name(parts: Option<&StoreParts>, device: DeviceHandle) -> String {
    let entry = parts.and_then(|parts| parts.catalog.device_entry(parts.catalog.primary(device)));
    entry.map_or_else(|| format!("#{}", device.0), |entry| format!("{} #{}", entry.id, device.0))
}

pub(super) fn metric_name(parts: Option<&StoreParts>, metric: MetricHandle) -> String {
    let found = parts.and_then(|parts| parts.catalog.metric_by_handle(metric));
    found.map_or_else(|| format!("#{}", metric.0), |metric| metric.name.to_string())
}

impl Dump<'_> {
    pub(super) fn manifest(&mut self, parts: &StoreParts) -> Result<()> {
        let manifest = &parts.manifest;
        self.line(format_args!("manifest"))?;
        self.line(format_args!("  commits             {}", parts.sequence.0))?;
        self.line(format_args!("  sealed through      {}", manifest.sealed_through.0))?;
        let (unsealed, rows, logs) = parts.unsealed;
        self.line(format_args!("  unsealed commits    {unsealed} (readings {rows}, log records {logs})"))?;
        self.line(format_args!("  segments            {}", manifest.segments.len()))?;
        for entry in &manifest.segments {
            let SegmentId(id) = entry.id;
            self.line(format_args!(
                "    {id:>6}  {} {}  {}  rows {}  values {}  logs {}  bytes {}  {} to {}  digest {:016x}",
                width(entry.width),
                from_to(&entry.buckets.0, &entry.buckets.1),
                commits(entry.sequences.0.0, entry.sequences.1.0),
                entry.rows,
                entry.values,
                entry.logs,
                entry.bytes,
                at(entry.times.0),
                at(entry.times.1),
                entry.digest,
            ))?;
            for excluded in &entry.excluded {
                self.line(format_args!("            without {}", range(*excluded)))?;
            }
        }
        self.line(format_args!("  tombstones          {}", manifest.tombstones.len()))?;
        for tombstone in &manifest.tombstones {
            let metric =
                tombstone.metric.map_or_else(|| "all metrics".to_owned(), |metric| metric_name(Some(parts), metric));
            self.line(format_args!(
                "    commit {}  {}  {metric}  {}",
                tombstone.sequence.0,
                device_name(Some(parts), tombstone.device),
                range(tombstone.range)
            ))?;
        }
        Ok(())
    }

    pub(super) fn catalog(&mut self, parts: &StoreParts) -> Result<()> {
        let catalog = &parts.catalog;
        self.line(format_args!("catalog"))?;
        self.line(format_args!("  metrics             {}", catalog.metrics().count()))?;
        for metric in catalog.metrics() {
            let unit = metric.unit.as_deref().unwrap_or("-");
            self.line(format_args!(
                "    {:>6}  {}  {}  {}  unit {unit}",
                metric.handle.0,
                metric.name,
                metric.metric_type.as_str(),
                metric.nature.as_str(),
            ))?;
        }
        self.line(format_args!("  devices             {}", catalog.device_count()))?;
        for device in catalog.devices().take(DEVICES_SHOWN) {
            let others: Vec<String> = device.aliases.iter().map(ToString::to_string).collect();
            let others = if others.is_empty() { String::new() } else { format!("  also {}", others.join(", ")) };
            let handles: Vec<String> = device.handles.iter().map(|handle| handle.0.to_string()).collect();
            self.line(format_args!("    {:>6}  {}{others}", handles.join("+"), device.id))?;
        }
        if catalog.device_count() > DEVICES_SHOWN {
            self.line(format_args!("    and {} more", catalog.device_count() - DEVICES_SHOWN))?;
        }
        Ok(())
    }

    pub(super) fn index(&mut self, parts: &StoreParts) -> Result<()> {
        let index = &parts.attributes;
        self.line(format_args!("index"))?;
        self.line(format_args!("  attributes          {}", index.attributes().len()))?;
        for attribute in index.attributes() {
            let values = index.values(attribute.as_str());
            let texts = values.iter().all(|(value, _)| matches!(**value, AttributeValue::Text(_)));
            let kind = if texts { "text, bitmaps" } else { "numbers, no bitmaps" };
            self.line(format_args!("    {attribute}  {kind}  {} values", values.len()))?;
            for (value, devices) in values.iter().take(VALUES_SHOWN) {
                self.line(format_args!("      {}  devices {devices}", value.to_text()))?;
            }
            if values.len() > VALUES_SHOWN {
                self.line(format_args!("      and {} more", values.len() - VALUES_SHOWN))?;
            }
        }
        Ok(())
    }
}
