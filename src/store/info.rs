//! What a store holds, in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::codec::Tier;
use crate::error::Result;
use crate::model::MetricHandle;
use crate::time::{TimeRange, Timestamp};

use super::core::Core;
use super::snapshot::Snapshot;

/// One column of a store: a metric, or the times.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnInfo {
    /// The metric's name; `time` for the times.
    pub name: String,
    /// The type, as one word.
    pub metric_type: String,
    /// The unit, where one was named.
    pub unit: Option<String>,
    /// Values in sealed segments.
    pub values: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
}

/// The sealed segments of one tier: `fast` to read, or written for their size, `cold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierInfo {
    /// The tier, as one word.
    pub name: &'static str,
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq)]
pub struct StoreInfo {
    /// Devices.
    pub devices: u64,
    /// Metrics.
    pub metrics: u64,
    /// Events.
    pub events: u64,
    /// Log records.
    pub logs: u64,
    /// Segments.
    pub segments: u64,
    /// Rows: distinct instants of each device.
    pub samples: u64,
    /// Values.
    pub values: u64,
    /// The first instant of a row.
    pub from: Option<Timestamp>,
    /// The last one.
    pub to: Option<Timestamp>,
    /// Bytes of all files.
    pub bytes_on_disk: u64,
    /// The tiers of the segments: fast, then cold.
    pub tiers: Vec<TierInfo>,
    /// Columns of sealed segments: times first, then metrics by name.
    pub columns: Vec<ColumnInfo>,
}

/// Bytes that went through a store since it was opened: what a byte that comes in costs in writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrittenBytes {
    /// Into the log.
    pub logged: u64,
    /// Into segments by sealing.
    pub sealed: u64,
    /// Into segments by bulk loads.
    pub loaded: u64,
    /// Into segments by compaction.
    pub compacted: u64,
}

impl StoreInfo {
    /// Bytes on disk for each value.
    #[must_use]
    pub fn bytes_per_value(&self) -> Option<f64> {
        (self.values > 0).then(|| self.bytes_on_disk as f64 / self.values as f64)
    }
}

impl Core {
    pub(super) fn written_bytes(&self) -> WrittenBytes {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        WrittenBytes {
            logged: load(&counters.logged),
            sealed: load(&counters.sealed),
            loaded: load(&counters.loaded),
            compacted: load(&counters.compacted),
        }
    }

    pub(super) fn info(&self, snapshot: &Snapshot) -> Result<StoreInfo> {
        let mut events = 0;
        snapshot.events(TimeRange::ALL, None, &mut |_| {
            events += 1;
            Ok(true)
        })?;
        let held = count_rows(snapshot)?;
        let segments = snapshot.segments();
        let mut logs: u64 =
            segments.iter().filter(|segment| segment.entry.excluded.is_empty()).map(|segment| segment.entry.logs).sum();
        let counted_apart = segments.iter().any(|segment| !segment.entry.excluded.is_empty());
        if counted_apart || !snapshot.chunks().is_empty() {
            logs = 0;
            for device in snapshot.catalog().devices() {
                snapshot.visit_logs(device.handle, TimeRange::ALL, &mut |_| {
                    logs += 1;
                    Ok(true)
                })?;
            }
        }
        let mut files = self.kv.disk_bytes()?;
        files += segments.iter().map(|segment| segment.entry.bytes).sum::<u64>();
        files += self.fs.open(&self.layout.watermark()).map_or(0, |file| file.len());
        Ok(StoreInfo {
            devices: snapshot.catalog().device_count() as u64,
            metrics: snapshot.catalog().metrics().count() as u64,
            events,
            logs,
            segments: segments.len() as u64,
            samples: held.rows,
            values: held.values,
            from: held.span.map(|(from, _)| Timestamp::from_nanoseconds(from)),
            to: held.span.map(|(_, to)| Timestamp::from_nanoseconds(to)),
            bytes_on_disk: files,
            tiers: tiers(snapshot)?,
            columns: columns(snapshot)?,
        })
    }
}

/// The rows that show: the same in every layout of the same commits.
#[derive(Debug, Default)]
struct Held {
    rows: u64,
    values: u64,
    /// First and last instant.
    span: Option<(i64, i64)>,
}

impl Held {
    fn add(&mut self, rows: u64, values: u64, span: Option<(i64, i64)>) {
        self.rows += rows;
        self.values += values;
        self.span = match (self.span, span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// Whether each segment's own numbers are the answer: none overlaps another, nothing is unsealed or hidden, and no device has
/// rows under two handles, which may meet at one instant.
fn segments_stand_alone(snapshot: &Snapshot) -> bool {
    let mut spans: Vec<(i64, i64)> = snapshot.segments().iter().map(|segment| segment.entry.times).collect();
    spans.sort_unstable();
    snapshot.chunks().is_empty()
        && snapshot.manifest().tombstones.is_empty()
        && spans.windows(2).all(|pair| pair[0].1 < pair[1].0)
        && snapshot.segments().iter().all(|segment| segment.entry.excluded.is_empty())
        && snapshot.catalog().devices().all(|device| device.handles.len() == 1)
}

/// Rows and values: from the numbers of the segments where they stand alone, else every device is read.
fn count_rows(snapshot: &Snapshot) -> Result<Held> {
    let mut held = Held::default();
    if segments_stand_alone(snapshot) {
        for segment in snapshot.segments() {
            let entry = &segment.entry;
            // An entry's times are those of log records too.
            let span = if entry.logs == 0 { Some(entry.times) } else { segment.segment()?.row_times()? };
            held.add(entry.rows, entry.values, span);
        }
        return Ok(held);
    }
    for device in snapshot.catalog().devices() {
        for range in months(snapshot) {
            let rows = snapshot.rows(device.handle, range, None)?;
            let values = rows.columns.iter().map(|(_, column)| column.values.len() as u64).sum();
            let span = rows.times.first().copied().zip(rows.times.last().copied());
            held.add(rows.len() as u64, values, span);
        }
    }
    Ok(held)
}

/// The months that hold anything, so that one device is never read whole.
fn months(snapshot: &Snapshot) -> Vec<TimeRange> {
    use crate::time::{BucketWidth, TimeBucket};
    let spans = snapshot.segments().iter().map(|segment| segment.entry.times);
    let spans = spans.chain(snapshot.chunks().iter().filter_map(|chunk| chunk.times()));
    let month = |time: i64| TimeBucket::containing(BucketWidth::Month, Timestamp::from_nanoseconds(time)).number;
    let mut numbers: Vec<i32> = spans.flat_map(|(from, to)| month(from)..=month(to)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| TimeBucket { width: BucketWidth::Month, number }.range()).collect()
}

fn tiers(snapshot: &Snapshot) -> Result<Vec<TierInfo>> {
    let mut tiers = [(Tier::Fast, "fast"), (Tier::Cold, "cold")]
        .map(|(tier, name)| (tier, TierInfo { name, segments: 0, bytes: 0 }));
    for segment in snapshot.segments() {
        let tier = segment.segment()?.tier();
        for (_, info) in tiers.iter_mut().filter(|(known, _)| *known == tier) {
            info.segments += 1;
            info.bytes += segment.entry.bytes;
        }
    }
    Ok(tiers.map(|(_, info)| info).to_vec())
}

fn columns(snapshot: &Snapshot) -> Result<Vec<ColumnInfo>> {
    let mut sums: BTreeMap<Option<MetricHandle>, (u64, u64)> = BTreeMap::new();
    for segment in snapshot.segments() {
        for (metric, bytes, values) in segment.segment()?.column_bytes() {
            let sum = sums.entry(metric).or_default();
            *sum = (sum.0 + bytes, sum.1 + values);
        }
    }
    let mut columns = Vec::new();
    for (metric, (bytes, values)) in sums {
        let definition = metric.and_then(|metric| snapshot.catalog().metric_by_handle(metric));
        columns.push(ColumnInfo {
            name: definition.map_or("time".to_owned(), |definition| definition.name.to_string()),
            metric_type: definition.map_or("time".to_owned(), |definition| definition.metric_type.to_string()),
            unit: definition.and_then(|definition| definition.unit.clone()),
            values,
            bytes,
        });
    }
    columns.get_mut(1..).unwrap_or_default().sort_by(|a, b| a.name.cmp(&b.name));
    Ok(columns)
}
