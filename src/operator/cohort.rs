//! Which devices take part, when, and in which group.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{AttributeValue, DeviceId};
use crate::store::Snapshot;
use crate::time::TimeRange;

use super::query::AttributeFilter;

/// The name that stands for a device's id among attributes.
pub(super) const DEVICE: &str = "device";

/// The values of a group's attributes, absent ones empty.
pub(super) type GroupKey = Vec<String>;

/// A stretch of a device's timeline in one group.
#[derive(Debug, Clone)]
pub(super) struct GroupStretch {
    pub(super) range: TimeRange,
    pub(super) key: Arc<GroupKey>,
}

/// The devices of a question in order of their ids.
pub(super) fn devices<'a>(
    snapshot: &'a Snapshot,
    filters: &[AttributeFilter],
    range: TimeRange,
) -> Result<Vec<&'a DeviceEntry>> {
    let known = snapshot.attributes().attributes();
    let mut cohort: Option<RoaringBitmap> = None;
    for filter in filters {
        let part = if filter.attribute == DEVICE {
            let found = filter.values.iter().filter_map(|id| snapshot.catalog().device(id));
            found.map(|handle| handle.0).collect()
        } else {
            if !known.iter().any(|name| name.as_str() == filter.attribute) {
                return Err(unknown_attribute(snapshot, &filter.attribute));
            }
            let part = snapshot.attributes().cohort(&filter.attribute, &filter.wanted(), range);
            part.whole | part.changed
        };
        cohort = Some(match cohort {
            None => part,
            Some(cohort) => cohort & part,
        });
    }
    let takes_part = |entry: &&DeviceEntry| cohort.as_ref().is_none_or(|cohort| cohort.contains(entry.handle.0));
    let mut devices: Vec<&DeviceEntry> = snapshot.catalog().devices().filter(takes_part).collect();
    devices.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(devices)
}

/// The ids of the devices that pass filters at some moment of a range, sorted.
///
/// # Errors
/// [`ErrorKind::NotFound`] for an unknown attribute.
pub fn cohort_ids(snapshot: &Snapshot, filters: &[AttributeFilter], range: TimeRange) -> Result<Vec<DeviceId>> {
    Ok(devices(snapshot, filters, range)?.into_iter().map(|device| device.id.clone()).collect())
}

/// Checks that attributes to group by are known.
pub(super) fn check_attributes(snapshot: &Snapshot, names: &[String]) -> Result<()> {
    let known = snapshot.attributes().attributes();
    match names.iter().find(|name| *name != DEVICE && !known.iter().any(|known| known.as_str() == name.as_str())) {
        Some(name) => Err(unknown_attribute(snapshot, name)),
        None => Ok(()),
    }
}

fn unknown_attribute(snapshot: &Snapshot, name: &str) -> Error {
    let known: Vec<String> = snapshot.attributes().attributes().iter().map(ToString::to_string).collect();
    let error = Error::new(ErrorKind::NotFound, format!("there is no attribute '{}'", name.escape_default()));
    error.advise(if known.is_empty() {
        "the store has no attributes".to_owned()
    } else {
        format!("use device or {}", known.join(", "))
    })
}

/// The stretches of a device's timeline that pass the filters, each with its group. Rising, without overlap.
pub(super) fn stretches(
    snapshot: &Snapshot,
    device: &DeviceEntry,
    by: &[String],
    filters: &[AttributeFilter],
    range: TimeRange,
    keys: &mut BTreeMap<GroupKey, Arc<GroupKey>>,
) -> Vec<GroupStretch> {
    let asked = |name: &&str| *name != DEVICE;
    let grouped: Vec<&str> = by.iter().map(String::as_str).filter(asked).collect();
    let filtered: Vec<&AttributeFilter> = filters.iter().filter(|filter| filter.attribute != DEVICE).collect();
    let names: Vec<&str> =
        grouped.iter().copied().chain(filtered.iter().map(|filter| filter.attribute.as_str())).collect();
    let mut stretches: Vec<GroupStretch> = Vec::new();
    for span in snapshot.attributes().group_spans(device.handle, &names, range) {
        let (group, conditions) = span.values.split_at(grouped.len());
        let passes = filtered.iter().zip(conditions).all(|(filter, value)| filter.accepts(value.as_deref()));
        if !passes {
            continue;
        }
        let mut group = group.iter();
        let text = |value: Option<&AttributeValue>| value.map(AttributeValue::to_text).unwrap_or_default();
        let key: GroupKey = by
            .iter()
            .map(
                |name| {
                    if name == DEVICE { device.id.to_string() } else { text(group.next().and_then(Option::as_deref)) }
                },
            )
            .collect();
        let key = Arc::clone(keys.entry(key.clone()).or_insert_with(|| Arc::new(key)));
        match stretches.last_mut() {
            Some(last) if last.range.to == span.range.from && last.key == key => last.range.to = span.range.to,
            _ => stretches.push(GroupStretch { range: span.range, key }),
        }
    }
    stretches
}
