//! Which devices take part, when, and in which group.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{AttributeValue, Cell, DeviceId};
use crate::store::{Progress, Snapshot};
use crate::time::{TimeRange, Timestamp};

use super::answer::compare_texts;
use super::looks::Pace;
use super::query::{AttributeFilter, attribute};

/// The name that stands for a device's id among attributes.
pub(super) const DEVICE: &str = "device";

/// What it takes to find when a device passes one of several conditions, in units of work: some microseconds.
pub(super) const LOOKED_AT_UNITS: usize = 8;

/// The values of a group's attributes, absent ones empty.
pub(super) type GroupKey = Vec<String>;

/// The cells that name a group in an answer.
pub(super) fn cells(key: &GroupKey) -> impl Iterator<Item = Cell> {
    key.iter().map(|value| if value.is_empty() { Cell::Null } else { Cell::Text(value.as_str().into()) })
}

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
    progress: Option<&Progress>,
) -> Result<Vec<&'a DeviceEntry>> {
    check_range(range)?;
    let known = snapshot.attributes().attributes();
    // Devices that pass at some moment, and of these those that pass all range long.
    let mut cohort: Option<(RoaringBitmap, RoaringBitmap)> = None;
    for filter in filters {
        let (some, whole) = if filter.attribute == DEVICE {
            let found = filter.values.iter().map(|id| {
                let handle = snapshot.catalog().device(id).ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, format!("there is no device '{}'", id.escape_debug()))
                })?;
                Ok(snapshot.catalog().primary(handle).0)
            });
            let found = found.collect::<Result<RoaringBitmap>>()?;
            (found.clone(), found)
        } else {
            if !known.iter().any(|name| name.as_str() == filter.attribute) {
                return Err(unknown_attribute(snapshot, &filter.attribute));
            }
            let part = snapshot.attributes().cohort(&filter.attribute, &filter.wanted(), range);
            (&part.whole | part.changed, part.whole)
        };
        cohort = Some(match cohort {
            None => (some, whole),
            Some(cohort) => (cohort.0 & some, cohort.1 & whole),
        });
    }
    // Of several conditions each may hold at a time of its own.
    let together =
        |entry: &DeviceEntry| !stretches(snapshot, entry, &[], filters, range, &mut BTreeMap::new()).is_empty();
    let mut devices: Vec<&DeviceEntry> = Vec::new();
    let mut pace = Pace::new(progress);
    for entry in snapshot.catalog().devices() {
        let (some, whole) = cohort
            .as_ref()
            .map_or((true, true), |(some, whole)| (some.contains(entry.handle.0), whole.contains(entry.handle.0)));
        let is_looked_at = some && !whole && filters.len() > 1;
        // All that was said of each attribute is laid over the others.
        pace.done(if is_looked_at { LOOKED_AT_UNITS * filters.len() } else { 1 })?;
        if whole || (some && (!is_looked_at || together(entry))) {
            devices.push(entry);
        }
    }
    devices.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(devices)
}

/// Whether a device that takes part passes a condition at an instant.
pub(super) fn holds_at(snapshot: &Snapshot, device: &DeviceEntry, filter: &AttributeFilter, at: Timestamp) -> bool {
    // Who is named by id takes part at all times.
    filter.attribute == DEVICE
        || filter.accepts(snapshot.attributes().value_at(device.handle, &filter.attribute, at).as_deref())
}

/// A question about no time at all is a mistake, not an empty answer.
pub(super) fn check_range(range: TimeRange) -> Result<()> {
    if range.is_empty() {
        return Err(Error::new(ErrorKind::InvalidInput, format!("no time lies from {} to {}", range.from, range.to)));
    }
    Ok(())
}

/// The stretches of time in a range in which devices pass all of some filters together, by id. Devices that never do are left out.
///
/// # Errors
/// [`ErrorKind::NotFound`] for an unknown attribute or device, [`ErrorKind::InvalidInput`] for an empty range.
pub fn cohort_stretches(
    snapshot: &Snapshot,
    filters: &[AttributeFilter],
    range: TimeRange,
) -> Result<Vec<(DeviceId, Vec<TimeRange>)>> {
    let devices = devices(snapshot, filters, range, None)?;
    let of = |device: &DeviceEntry| {
        let found = stretches(snapshot, device, &[], filters, range, &mut BTreeMap::new());
        (device.id.clone(), found.into_iter().map(|stretch| stretch.range).collect())
    };
    Ok(devices.into_iter().map(of).collect())
}

/// A value that a condition asks for, and that no device ever had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownValue {
    /// The attribute.
    pub attribute: String,
    /// The value that was asked for.
    pub value: String,
    /// All values that devices ever had, in order.
    pub known: Vec<String>,
}

/// The values that conditions ask for and that no device ever had: a slip of the pen, where the answer is smaller than expected.
/// Unknown attributes and devices are errors of the question itself, and not looked for here.
#[must_use]
pub fn unknown_values(snapshot: &Snapshot, filters: &[AttributeFilter]) -> Vec<UnknownValue> {
    let mut unknown = Vec::new();
    for filter in filters.iter().filter(|filter| filter.attribute != DEVICE) {
        let known = snapshot.attributes().values(&filter.attribute);
        for value in &filter.values {
            let wanted = attribute(&filter.attribute).is(value);
            if known.iter().any(|(known, _)| wanted.accepts(Some(known))) {
                continue;
            }
            let mut known: Vec<String> = known.iter().map(|(value, _)| value.to_text()).collect();
            known.sort_by(|a, b| compare_texts(a, b));
            unknown.push(UnknownValue { attribute: filter.attribute.clone(), value: value.clone(), known });
        }
    }
    unknown
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
