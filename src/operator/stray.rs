//! Samples of wrong clocks: a few that lie long before all others, so that a question about all time begins there.
//!
//! Guarantees: nothing is read but directories of segments that reach that far and times of unsealed rows, and where the store's segments follow
//! each other without a gap of a year, nothing at all.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::DeviceHandle;
use crate::store::Snapshot;
use crate::time::{DAY_NS, TimeRange, Timestamp};

use super::cohort;
use super::query::AttributeFilter;

/// No sample for so long: what lies before is of another time.
const GAP_NS: i64 = 365 * DAY_NS;
/// What lies before is stray where it is at most this part of all rows.
const STRAY_PART: u64 = 20;

/// Samples that lie long before all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyStrays {
    /// Devices that have some.
    pub devices: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The first sample behind the gap.
    pub rest_from: Timestamp,
}

/// Rows that lie close together: first and last instant, and how many they are.
type Span = (i64, i64, u64);

/// Finds samples in a range that lie a year and more before all others and are few (a twentieth at most), of the devices that pass conditions. Deletes are not
/// looked at.
///
/// # Errors
/// [`crate::ErrorKind::NotFound`] for an unknown attribute or device, [`crate::ErrorKind::InvalidInput`] for an empty range,
/// [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
pub fn early_strays(snapshot: &Snapshot, filters: &[AttributeFilter], range: TimeRange) -> Result<Option<EarlyStrays>> {
    if !may_have_gaps(snapshot) {
        return Ok(None);
    }
    let mut spans = spans(snapshot, range)?;
    spans.retain(|(first, last, _)| touches(range, (*first, *last)));
    spans.sort_unstable();
    let all: u64 = spans.iter().map(|span| span.2).sum();
    let (mut before, mut end, mut found) = (0_u64, i64::MAX, None);
    for (first, last, rows) in spans {
        if first.saturating_sub(end) >= GAP_NS && before.saturating_mul(STRAY_PART) <= all {
            found = Some(first);
        }
        before += rows;
        end = if end == i64::MAX { last } else { end.max(last) };
    }
    let Some(rest_from) = found else { return Ok(None) };
    let early = TimeRange::new(range.from, Timestamp::from_nanoseconds(rest_from));
    let mut cohort: BTreeSet<DeviceHandle> = BTreeSet::new();
    let devices = cohort::devices(snapshot, filters, early, None)?;
    cohort.extend(devices.iter().map(|device| device.handle));
    let (mut devices, mut first) = (BTreeSet::new(), i64::MAX);
    rows_before(snapshot, rest_from, &mut |device, times| {
        let device = snapshot.catalog().primary(device);
        if cohort.contains(&device) && touches(early, times) {
            devices.insert(device);
            first = first.min(times.0);
        }
    })?;
    Ok((!devices.is_empty()).then(|| EarlyStrays {
        devices: devices.len() as u64,
        first: Timestamp::from_nanoseconds(first).max(range.from),
        rest_from: Timestamp::from_nanoseconds(rest_from),
    }))
}

/// Whether the times of segments and chunks alone leave room for a gap.
fn may_have_gaps(snapshot: &Snapshot) -> bool {
    let segments = snapshot.segments().iter().map(|segment| segment.entry.times);
    let mut times: Vec<(i64, i64)> =
        segments.chain(snapshot.chunks().iter().filter_map(|chunk| chunk.times())).collect();
    times.sort_unstable();
    let mut end = i64::MAX;
    times.into_iter().any(|(first, last)| {
        let gap = first.saturating_sub(end).max(last.saturating_sub(first));
        end = if end == i64::MAX { last } else { end.max(last) };
        gap >= GAP_NS
    })
}

fn touches(range: TimeRange, times: (i64, i64)) -> bool {
    range.touches(Timestamp::from_nanoseconds(times.0), Timestamp::from_nanoseconds(times.1))
}

/// The rows around a range in spans, each shorter than a gap: a segment of wrong clocks holds years, and is looked into.
fn spans(snapshot: &Snapshot, range: TimeRange) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    let is_long = |times: (i64, i64)| times.1.saturating_sub(times.0) >= GAP_NS;
    for segment in snapshot.segments().iter().filter(|segment| touches(range, segment.entry.times)) {
        let entry = &segment.entry;
        if !is_long(entry.times) && entry.logs == 0 {
            spans.push((entry.times.0, entry.times.1, entry.rows));
            continue;
        }
        let segment = segment.segment()?;
        for device in segment.devices()? {
            spans.extend(
                segment.slices(device)?.iter().map(|slice| (slice.times.0, slice.times.1, u64::from(slice.rows))),
            );
        }
    }
    for chunk in snapshot.chunks() {
        for device in chunk.devices() {
            let times = chunk.instants(DeviceHandle(device));
            let near = |a: &i64, b: &i64| b.saturating_sub(*a) < GAP_NS;
            let runs = times.chunk_by(near);
            spans.extend(runs.map(|run| (run[0], run[run.len() - 1], run.len() as u64)));
        }
    }
    Ok(spans)
}

/// Visits the devices that have rows before an instant, with the times of these rows.
fn rows_before(snapshot: &Snapshot, end: i64, visit: &mut dyn FnMut(DeviceHandle, (i64, i64))) -> Result<()> {
    for segment in snapshot.segments().iter().filter(|segment| segment.entry.times.0 < end) {
        let segment = segment.segment()?;
        for device in segment.devices()? {
            let slices = segment.slices(device)?;
            slices.iter().filter(|slice| slice.times.0 < end).for_each(|slice| visit(device, slice.times));
        }
    }
    for chunk in snapshot.chunks().iter().filter(|chunk| chunk.times().is_some_and(|times| times.0 < end)) {
        for device in chunk.devices() {
            let times = chunk.instants(DeviceHandle(device));
            let early = &times[..times.partition_point(|time| *time < end)];
            if let (Some(first), Some(last)) = (early.first(), early.last()) {
                visit(DeviceHandle(device), (*first, *last));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::WriteBatch;
    use crate::operator::attribute;
    use crate::store::{Options, Store};

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_few_samples_of_another_time_are_found_in_every_layout() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Options::default()).unwrap();
        let mut batch = WriteBatch::new();
        for (number, device) in ["a", "b", "c"].into_iter().enumerate() {
            for day in 0..40 {
                let time = Timestamp::from_nanoseconds(at("2025-01-02").nanoseconds() + day * DAY_NS);
                batch.reading(device, time).float("power_w", 1.0);
            }
            batch.attribute(device, "region", if number == 0 { "north" } else { "south" });
        }
        batch.reading("a", at("1970-01-03")).float("power_w", 1.0);
        batch.reading("b", at("1999-05-01")).float("power_w", 1.0);
        // The clock of another runs ahead: that is no reason to begin late.
        batch.reading("c", at("2038-01-19")).float("power_w", 1.0);
        store.write(batch).unwrap();
        let ask = |filters: &[AttributeFilter], range: TimeRange| {
            let found = early_strays(&store.snapshot().unwrap(), filters, range).unwrap();
            found.map(|found| (found.devices, found.first, found.rest_from))
        };
        let check = || {
            let rest = at("2025-01-02");
            assert_eq!(ask(&[], TimeRange::ALL), Some((2, at("1970-01-03"), rest)));
            assert_eq!(ask(&[attribute("region").is("south")], TimeRange::ALL), Some((1, at("1999-05-01"), rest)));
            assert_eq!(ask(&[attribute("device").is("c")], TimeRange::ALL), None);
            assert_eq!(ask(&[], TimeRange::new(at("1980-01-01"), at("2030-01-01"))), Some((1, at("1999-05-01"), rest)));
            assert_eq!(ask(&[], TimeRange::new(at("2025-01-01"), Timestamp::MAX)), None);
            // Here they are all that there is.
            assert_eq!(ask(&[], TimeRange::new(at("1970-01-01"), at("2000-01-01"))), None);
        };
        check();
        store.seal().unwrap();
        check();
        store.compact(true, None).unwrap();
        check();
    }
}
