//! The history of one attribute over the fleet: values by code, statements and timelines by device.
//!
//! Guarantees: a clone shares everything; a change to one device copies its own timeline and pointers to its neighbours in
//! a shard, and nothing else; statements that come in order of time cost the same however many there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use roaring::RoaringBitmap;

use crate::model::{AttributeValue, DeviceHandle};
use crate::time::{TimeRange, Timestamp};

use super::bitmaps::Bitmaps;
use super::timeline::{ABSENT, Statement, Timeline, UNSAID, ValueCode, overlay, put_over, value_at};

/// Devices whose statements are copied together: few enough that one write to a large fleet is cheap.
const SHARD_DEVICES: u32 = 64;
/// An attribute with more distinct values than this, or with numbers, has no bitmaps.
pub const BITMAP_VALUES_MAX: usize = 4_096;

/// Statements that are copied together: one more copies no more than these.
const BLOCK_STATEMENTS: usize = 256;

/// What is known of one device's attribute.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceHistory {
    /// All statements in the order in which they were made, in blocks that clones share.
    statements: Vec<Arc<Vec<Statement>>>,
    /// The starts of the open statements, rising.
    open_starts: Vec<i64>,
    pub(super) timeline: Timeline,
}

impl DeviceHistory {
    /// Adds a statement, the latest of all. By the rule it wins wherever it reaches: a closed one in its range, an open one until the
    /// next later start of an open one. Gives how much of the history it touched: little where it comes in order of time,
    /// however long the history is.
    fn push(&mut self, statement: Statement) -> usize {
        match self.statements.last_mut().filter(|block| block.len() < BLOCK_STATEMENTS) {
            Some(block) => Arc::make_mut(block).push(statement),
            None => self.statements.push(Arc::new(vec![statement])),
        }
        if statement.range.is_empty() {
            return 1;
        }
        let from = statement.range.from.nanoseconds();
        if !statement.is_open() {
            return put_over(&mut self.timeline, from, Some(statement.range.to.nanoseconds()), statement.value);
        }
        let later = self.open_starts.partition_point(|start| *start <= from);
        let next = self.open_starts.get(later).copied();
        self.open_starts.insert(later, from);
        let touched = self.open_starts.len() - later;
        touched + put_over(&mut self.timeline, from, next, statement.value)
    }

    /// All statements, in the order in which they were made.
    fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.statements.iter().flat_map(|block| block.iter())
    }
}

type Shard = BTreeMap<u32, Arc<DeviceHistory>>;

/// The values of an attribute that ever were, by code.
#[derive(Debug, Clone, Default)]
struct ValueTable {
    values: Vec<Arc<AttributeValue>>,
    places: HashMap<String, u32>,
    numbers: bool,
}

fn value_key(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(text) => format!("t{text}"),
        AttributeValue::Number(number) => format!("n{:016x}", number.to_bits()),
    }
}

/// One attribute of the fleet.
#[derive(Debug, Clone, Default)]
pub(super) struct AttributeHistory {
    shards: BTreeMap<u32, Arc<Shard>>,
    values: Arc<ValueTable>,
    /// For a device that others were merged into: those others, in the order of the merges.
    merged: Arc<BTreeMap<u32, Vec<u32>>>,
    bitmaps: OnceLock<Option<Arc<Bitmaps>>>,
}

impl AttributeHistory {
    /// The code of a value, made where it is new.
    fn code_for(&mut self, value: Option<&AttributeValue>) -> ValueCode {
        let Some(value) = value else { return ABSENT };
        let key = value_key(value);
        if let Some(place) = self.values.places.get(&key) {
            return place + 2;
        }
        let table = Arc::make_mut(&mut self.values);
        let place = table.values.len() as u32;
        table.numbers |= matches!(value, AttributeValue::Number(_));
        table.values.push(Arc::new(value.clone()));
        table.places.insert(key, place);
        place + 2
    }

    /// The code of a value that some device had.
    pub(super) fn code_of(&self, value: &AttributeValue) -> Option<ValueCode> {
        self.values.places.get(&value_key(value)).map(|place| place + 2)
    }

    /// The value of a code, or none.
    pub(super) fn value(&self, code: ValueCode) -> Option<&Arc<AttributeValue>> {
        code.checked_sub(2).and_then(|place| self.values.values.get(place as usize))
    }

    pub(super) fn assert(
        &mut self,
        device: DeviceHandle,
        value: Option<&AttributeValue>,
        range: TimeRange,
        made: (u64, i64),
    ) {
        let statement = Statement { value: self.code_for(value), range, sequence: made.0, recorded_at: made.1 };
        let shard = Arc::make_mut(self.shards.entry(device.0 / SHARD_DEVICES).or_default());
        Arc::make_mut(shard.entry(device.0).or_default()).push(statement);
        self.bitmaps = OnceLock::new();
    }

    pub(super) fn merge(&mut self, from: DeviceHandle, into: DeviceHandle) {
        let merged = Arc::make_mut(&mut self.merged);
        let mut all = vec![from.0];
        all.extend(merged.remove(&from.0).unwrap_or_default());
        merged.entry(into.0).or_default().extend(all);
        self.bitmaps = OnceLock::new();
    }

    pub(super) fn device(&self, device: u32) -> Option<&DeviceHistory> {
        self.shards.get(&(device / SHARD_DEVICES))?.get(&device).map(Arc::as_ref)
    }

    /// The timeline of a device, with what merged devices say where it is silent.
    pub(super) fn timeline(&self, device: DeviceHandle) -> std::borrow::Cow<'_, [(i64, ValueCode)]> {
        let own = self.device(device.0).map_or(&[][..], |history| history.timeline.as_slice());
        let Some(merged) = self.merged.get(&device.0) else { return own.into() };
        let mut timeline = own.to_vec();
        for other in merged.iter().filter_map(|other| self.device(*other)) {
            timeline = overlay(&timeline, &other.timeline);
        }
        timeline.into()
    }

    /// Statements about a device and those merged into it.
    pub(super) fn statements(&self, device: DeviceHandle) -> Vec<(DeviceHandle, Statement)> {
        let others = self.merged.get(&device.0).map_or(&[][..], Vec::as_slice);
        let mut all: Vec<(DeviceHandle, Statement)> = std::iter::once(&device.0)
            .chain(others)
            .filter_map(|handle| self.device(*handle).map(|history| (*handle, history)))
            .flat_map(|(handle, history)| history.statements().map(move |statement| (DeviceHandle(handle), *statement)))
            .collect();
        all.sort_by_key(|(_, statement)| statement.sequence);
        all
    }

    /// All devices that something is said about; those merged into another are not listed.
    pub(super) fn devices(&self) -> RoaringBitmap {
        let mut devices: RoaringBitmap = self.shards.values().flat_map(|shard| shard.keys().copied()).collect();
        for (into, others) in self.merged.iter() {
            for other in others {
                if devices.remove(*other) {
                    devices.insert(*into);
                }
            }
        }
        devices
    }

    pub(super) fn value_count(&self) -> usize {
        self.values.values.len()
    }

    /// The bitmaps, built on first use; `None` for numbers and for too many values.
    pub(super) fn bitmaps(&self) -> Option<&Arc<Bitmaps>> {
        let build = || {
            let few = !self.values.numbers && self.values.values.len() <= BITMAP_VALUES_MAX;
            few.then(|| Arc::new(Bitmaps::build(self)))
        };
        self.bitmaps.get_or_init(build).as_ref()
    }

    /// Whether a device's value in a range was always, sometimes or never one of some codes.
    pub(super) fn classify(&self, device: u32, codes: &[ValueCode], range: TimeRange) -> (bool, bool) {
        let timeline = self.timeline(DeviceHandle(device));
        let last = last_instant(range);
        let from = range.from.nanoseconds();
        let mut always = true;
        let mut ever = false;
        let mut look = |code: ValueCode| {
            let is = codes.contains(&code);
            always &= is;
            ever |= is;
        };
        look(value_at(&timeline, from));
        let first = timeline.partition_point(|(at, _)| *at <= from);
        timeline[first..].iter().take_while(|(at, _)| *at <= last).for_each(|(_, code)| look(*code));
        (always, ever)
    }

    /// Bytes held, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let devices = self.shards.values().flat_map(|shard| shard.values());
        let statements =
            |history: &DeviceHistory| history.statements.iter().map(|block| block.capacity()).sum::<usize>();
        let histories: usize = devices
            .map(|history| {
                statements(history) * 48 + history.open_starts.capacity() * 8 + history.timeline.capacity() * 16 + 128
            })
            .sum();
        histories + self.values.values.iter().map(|value| value.to_text().len() * 2 + 96).sum::<usize>()
    }
}

/// The last instant inside a range that is not empty.
pub(super) fn last_instant(range: TimeRange) -> i64 {
    if range.to == Timestamp::MAX { i64::MAX } else { range.to.nanoseconds() - 1 }
}

/// The code as a value or none; nothing said reads as none.
pub(super) fn is_value(code: ValueCode) -> bool {
    code != UNSAID && code != ABSENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(place: i64, to: Timestamp) -> Statement {
        let range = TimeRange::new(Timestamp::from_nanoseconds(place * 10), to);
        Statement { value: 2 + (place % 7) as u32, range, sequence: place as u64, recorded_at: 0 }
    }

    /// What a clone of a history copies, in elements: a commit makes one.
    fn copied(history: &DeviceHistory) -> usize {
        history.statements.len() + history.open_starts.len() + history.timeline.len()
    }

    #[test]
    fn a_hundred_thousand_positions_of_one_device_cost_as_much_each_as_the_first() {
        const COUNT: i64 = 100_000;
        let ends: [&dyn Fn(i64) -> Timestamp; 2] =
            [&|_| Timestamp::MAX, &|place| Timestamp::from_nanoseconds(place * 10 + 5)];
        for end in ends {
            let mut history = DeviceHistory::default();
            let touched: usize = (0..COUNT).map(|place| history.push(statement(place, end(place)))).sum();
            assert!(touched <= 4 * COUNT as usize, "{touched} for {COUNT} statements");
            assert_eq!(history.statements().count() as i64, COUNT);
            assert_eq!(value_at(&history.timeline, 777_801), 5);
            // A later copy shares what was said before.
            let before = history.clone();
            history.push(statement(COUNT, Timestamp::MAX));
            assert!(
                Arc::ptr_eq(&before.statements[0], &history.statements[0])
                    && copied(&before) < 400 + 3 * COUNT as usize
            );
        }
    }
}
