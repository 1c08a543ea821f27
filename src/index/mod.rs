//! Attribute history, and the roaring index over it.
//!
//! Guarantees: statements are never removed, so that a corrected past stays visible; at every instant a device has at most
//! one value of an attribute (the rule: `timeline.rs`); [`AttributeIndex`] is a value: a clone shares everything, and what is
//! added later does not show in it. Segments know nothing of attributes, so a corrected past changes answers and no file.

mod bitmaps;
mod history;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::model::{AttributeAssertion, AttributeName, AttributeValue, DeviceHandle};
use crate::time::{TimeRange, Timestamp};

pub use history::BITMAP_VALUES_MAX;

use history::{AttributeHistory, last_instant};
use timeline::{ABSENT, UNSAID, ValueCode, value_at};

/// The attribute history of a fleet.
#[derive(Debug, Clone, Default)]
pub struct AttributeIndex {
    attributes: BTreeMap<AttributeName, Arc<AttributeHistory>>,
    /// Merges so far, in order: an attribute that is new later must know them too.
    merges: Arc<Vec<(DeviceHandle, DeviceHandle)>>,
}

/// A stretch of one device's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeSpan {
    /// The stretch.
    pub range: TimeRange,
    /// The value in it, or none.
    pub value: Option<Arc<AttributeValue>>,
}

/// A stretch of one device's timeline in which none of several attributes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpan {
    /// The stretch.
    pub range: TimeRange,
    /// The value of each attribute in it, in the order asked for.
    pub values: Vec<Option<Arc<AttributeValue>>>,
}

/// Which devices carried a value in a range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CohortPart {
    /// All range long.
    pub whole: RoaringBitmap,
    /// For a part of it: their spans say which.
    pub changed: RoaringBitmap,
}

impl AttributeIndex {
    /// Adds a statement. Statements come in the order of their commits.
    pub fn assert(&mut self, assertion: &AttributeAssertion) {
        let made = (assertion.sequence.0, assertion.recorded_at.nanoseconds());
        let history = self.attributes.entry(assertion.attribute.clone()).or_insert_with(|| {
            let mut history = AttributeHistory::default();
            self.merges.iter().for_each(|(from, into)| history.merge(*from, *into));
            Arc::new(history)
        });
        Arc::make_mut(history).assert(assertion.device, assertion.value.as_ref(), assertion.range, made);
    }

    /// Makes `from` the same device as `into`: what `from` says fills what `into` does not say.
    pub fn merge(&mut self, from: DeviceHandle, into: DeviceHandle) {
        Arc::make_mut(&mut self.merges).push((from, into));
        self.attributes.values_mut().for_each(|history| Arc::make_mut(history).merge(from, into));
    }

    /// The names of all attributes, sorted.
    #[must_use]
    pub fn attributes(&self) -> Vec<AttributeName> {
        self.attributes.keys().cloned().collect()
    }

    /// The value at an instant.
    #[must_use]
    pub fn value_at(&self, device: DeviceHandle, attribute: &str, at: Timestamp) -> Option<Arc<AttributeValue>> {
        let history = self.attributes.get(attribute)?;
        history.value(value_at(&history.timeline(device), at.nanoseconds())).cloned()
    }

    /// Whether anything was ever said of an attribute of a device, "none" too.
    #[must_use]
    pub fn is_stated(&self, device: DeviceHandle, attribute: &str) -> bool {
        let said = |history: &AttributeHistory| history.timeline(device).iter().any(|(_, code)| *code != UNSAID);
        self.attributes.get(attribute).is_some_and(|history| said(history))
    }

    /// The timeline inside a range: stretches without gap or overlap, neighbours differ. Empty for an empty range.
    #[must_use]
    pub fn spans(&self, device: DeviceHandle, attribute: &str, range: TimeRange) -> Vec<AttributeSpan> {
        let groups = self.group_spans(device, &[attribute], range);
        groups
            .into_iter()
            .map(|mut span| AttributeSpan { range: span.range, value: span.values.pop().flatten() })
            .collect()
    }

    /// The timelines of several attributes inside a range, split wherever one of them changes.
    #[must_use]
    pub fn group_spans(&self, device: DeviceHandle, attributes: &[&str], range: TimeRange) -> Vec<GroupSpan> {
        if range.is_empty() {
            return Vec::new();
        }
        let histories: Vec<Option<&AttributeHistory>> =
            attributes.iter().map(|name| self.attributes.get(*name).map(Arc::as_ref)).collect();
        let timelines: Vec<_> =
            histories.iter().map(|history| history.map(|history| history.timeline(device))).collect();
        let (from, last) = (range.from.nanoseconds(), last_instant(range));
        let mut starts = vec![from];
        for timeline in timelines.iter().flatten() {
            starts.extend(timeline.iter().map(|(at, _)| *at).filter(|at| from < *at && *at <= last));
        }
        starts.sort_unstable();
        starts.dedup();
        let codes_at = |at: i64| -> Vec<ValueCode> {
            let normal = |code| if code == UNSAID { ABSENT } else { code };
            timelines
                .iter()
                .map(|timeline| timeline.as_ref().map_or(ABSENT, |line| normal(value_at(line, at))))
                .collect()
        };
        let mut spans: Vec<(i64, Vec<ValueCode>)> = Vec::with_capacity(starts.len());
        for start in starts {
            let codes = codes_at(start);
            if spans.last().is_none_or(|(_, last)| *last != codes) {
                spans.push((start, codes));
            }
        }
        let ends: Vec<Timestamp> = spans
            .iter()
            .skip(1)
            .map(|(start, _)| Timestamp::from_nanoseconds(*start))
            .chain(std::iter::once(range.to))
            .collect();
        let value =
            |(history, code): (&Option<&AttributeHistory>, &ValueCode)| history.and_then(|h| h.value(*code).cloned());
        spans
            .iter()
            .zip(ends)
            .map(|((start, codes), end)| GroupSpan {
                range: TimeRange::new(Timestamp::from_nanoseconds(*start), end),
                values: histories.iter().zip(codes).map(value).collect(),
            })
            .collect()
    }

    /// Devices that carried one of `values` in a range: all of it, or a part. Through bitmaps where the attribute has them,
    /// else through the timelines of all devices that have the attribute.
    #[must_use]
    pub fn cohort(&self, attribute: &str, values: &[AttributeValue], range: TimeRange) -> CohortPart {
        let mut part = CohortPart::default();
        let Some(history) = self.attributes.get(attribute).filter(|_| !range.is_empty()) else { return part };
        let codes: Vec<ValueCode> = values.iter().filter_map(|value| history.code_of(value)).collect();
        let doubtful = match history.bitmaps() {
            Some(bitmaps) => {
                let state = bitmaps.state_at(range.from.nanoseconds());
                let changed = bitmaps.changed_in(range);
                codes.iter().filter_map(|code| state.get(code)).for_each(|devices| part.whole |= devices);
                part.whole -= &changed;
                changed
            }
            None => history.devices(),
        };
        for device in doubtful {
            match history.classify(device, &codes, range) {
                (true, _) => part.whole.insert(device),
                (false, true) => part.changed.insert(device),
                (false, false) => false,
            };
        }
        part
    }

    /// Every statement about a device as it was made, in order: the audit. The effective timeline is [`AttributeIndex::spans`].
    #[must_use]
    pub fn assertions(&self, device: DeviceHandle) -> Vec<AttributeAssertion> {
        let mut all = Vec::new();
        for (attribute, history) in &self.attributes {
            for (handle, statement) in history.statements(device) {
                all.push(AttributeAssertion {
                    device: handle,
                    attribute: attribute.clone(),
                    value: history.value(statement.value).map(|value| value.as_ref().clone()),
                    range: statement.range,
                    sequence: crate::model::Sequence(statement.sequence),
                    recorded_at: Timestamp::from_nanoseconds(statement.recorded_at),
                });
            }
        }
        all.sort_by_key(|assertion| assertion.sequence);
        all
    }

    /// The distinct values that an attribute ever had on a timeline, with the number of devices that ever had each, sorted
    /// by their text.
    #[must_use]
    pub fn values(&self, attribute: &str) -> Vec<(Arc<AttributeValue>, u64)> {
        let Some(history) = self.attributes.get(attribute) else { return Vec::new() };
        let mut counts = vec![0_u64; history.value_count() + 2];
        for device in history.devices() {
            let timeline = history.timeline(DeviceHandle(device));
            let mut codes: Vec<ValueCode> = timeline.iter().map(|(_, code)| *code).collect();
            codes.sort_unstable();
            codes.dedup();
            codes.into_iter().for_each(|code| counts[code as usize] += 1);
        }
        let mut values: Vec<(Arc<AttributeValue>, u64)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .filter_map(|(code, count)| history.value(code as ValueCode).map(|value| (Arc::clone(value), *count)))
            .collect();
        values.sort_by_key(|(value, _)| value.to_text());
        values
    }

    /// For each value the bitmap of the devices that carry it at an instant, sorted by the value's text; `None` for an
    /// attribute without bitmaps (numbers, more than [`BITMAP_VALUES_MAX`] values).
    #[must_use]
    pub fn bitmaps_at(&self, attribute: &str, at: Timestamp) -> Option<Vec<(Arc<AttributeValue>, RoaringBitmap)>> {
        let history = self.attributes.get(attribute)?;
        let state = history.bitmaps()?.state_at(at.nanoseconds());
        let named = state.into_iter().filter(|(_, devices)| !devices.is_empty());
        let mut named: Vec<_> =
            named.filter_map(|(code, devices)| history.value(code).map(|value| (Arc::clone(value), devices))).collect();
        named.sort_by_key(|(value, _)| value.to_text());
        Some(named)
    }

    /// Bytes held, about (clones share them).
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.attributes.values().map(|history| history.memory_bytes()).sum()
    }
}

#[cfg(test)]
mod tests;
