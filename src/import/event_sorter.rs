//! Events in any order come out in theirs, each once, in bounded memory.
//!
//! Guarantees: holds at most its budget of events, more than that goes to scratch runs of which [`FAN_IN`] are merged at a time;
//! the order is that of [`Event`], since an event is held as bytes that sort as it does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{DeviceId, Event, EventKind};
use crate::time::{TimeRange, Timestamp};

use super::run::{Run, RunFile, damaged};

/// Runs that are merged at once.
const FAN_IN: usize = 64;
/// Bytes of a block of a run, about: one of each run that is merged is in memory.
const BLOCK_BYTES: usize = 64 << 10;
/// What an event costs beside its bytes.
const PLACE_BYTES: usize = size_of::<(u32, u32)>();

/// Sorts events.
#[derive(Debug)]
pub(super) struct EventSorter {
    scratch_folder: PathBuf,
    budget_bytes: usize,
    held: Held,
    spill: Option<(RunFile, Vec<Run>)>,
    times: Option<(i64, i64)>,
}

/// Events in memory: their bytes one behind the other, and where each begins and ends.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    places: Vec<(u32, u32)>,
}

impl Held {
    fn event(&self, place: (u32, u32)) -> &[u8] {
        &self.bytes[place.0 as usize..place.1 as usize]
    }

    fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|a, b| self.event(*a).cmp(self.event(*b)));
        places.dedup_by(|a, b| self.event(*a) == self.event(*b));
        self.places = places;
    }
}

impl EventSorter {
    pub(super) fn new(scratch_folder: &Path, budget_bytes: usize) -> Self {
        Self {
            scratch_folder: scratch_folder.to_path_buf(),
            budget_bytes: budget_bytes.clamp(1, 1 << 30),
            held: Held::default(),
            spill: None,
            times: None,
        }
    }

    /// Adds an event.
    pub(super) fn add(&mut self, event: &Event) -> Result<()> {
        let time = event.time.nanoseconds();
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
        let from = self.held.bytes.len();
        encode(event, &mut self.held.bytes)?;
        self.held.places.push((from as u32, self.held.bytes.len() as u32));
        if self.held.bytes.len() + self.held.places.len() * PLACE_BYTES > self.budget_bytes {
            self.spill_run()?;
        }
        Ok(())
    }

    /// The least range that holds the times of all events.
    pub(super) fn range(&self) -> Option<TimeRange> {
        let (first, last) = self.times?;
        let to = last.checked_add(1).map_or(Timestamp::MAX, Timestamp::from_nanoseconds);
        Some(TimeRange::new(Timestamp::from_nanoseconds(first), to))
    }

    fn spill_run(&mut self) -> Result<()> {
        let (mut file, mut runs) = match self.spill.take() {
            Some(spill) => spill,
            None => (RunFile::create(&self.scratch_folder)?, Vec::new()),
        };
        self.held.sort();
        let from = file.length();
        let mut block = Vec::new();
        for place in &self.held.places {
            put(self.held.event(*place), &mut block, &mut file)?;
        }
        end_block(&mut block, &mut file)?;
        runs.push(Run { from, to: file.length() });
        self.held.bytes.clear();
        self.held.places.clear();
        self.spill = Some((file, runs));
        Ok(())
    }

    /// Hands out the distinct events in order.
    pub(super) fn finish(mut self) -> Result<SortedEvents> {
        if self.spill.is_none() {
            self.held.sort();
            return Ok(SortedEvents { held: self.held, at: 0, merge: None });
        }
        self.spill_run()?;
        self.held = Held::default();
        let Some((mut file, mut runs)) = self.spill.take() else { return Err(damaged()) };
        while runs.len() > FAN_IN {
            let mut merged = RunFile::create(&self.scratch_folder)?;
            let mut longer = Vec::new();
            for some in runs.chunks(FAN_IN) {
                let from = merged.length();
                let mut merge = Merge::new(file, some)?;
                let mut block = Vec::new();
                while let Some(event) = merge.next()? {
                    put(&event, &mut block, &mut merged)?;
                }
                end_block(&mut block, &mut merged)?;
                longer.push(Run { from, to: merged.length() });
                file = merge.file;
            }
            (file, runs) = (merged, longer);
        }
        Ok(SortedEvents { held: Held::default(), at: 0, merge: Some(Merge::new(file, &runs)?) })
    }
}

/// Appends an event to a block, which goes to the file when it is full.
fn put(event: &[u8], block: &mut Vec<u8>, file: &mut RunFile) -> Result<()> {
    block.extend_from_slice(&(event.len() as u32).to_le_bytes());
    block.extend_from_slice(event);
    if block.len() < BLOCK_BYTES { Ok(()) } else { end_block(block, file) }
}

fn end_block(block: &mut Vec<u8>, file: &mut RunFile) -> Result<()> {
    if !block.is_empty() {
        file.append_with(|out| out.extend_from_slice(block))?;
        block.clear();
    }
    Ok(())
}

/// Distinct events in order.
#[derive(Debug)]
pub(super) struct SortedEvents {
    held: Held,
    at: usize,
    merge: Option<Merge>,
}

impl SortedEvents {
    /// The next event.
    pub(super) fn next(&mut self) -> Result<Option<Event>> {
        match &mut self.merge {
            Some(merge) => merge.next()?.map(|event| decode(&event).ok_or_else(damaged)).transpose(),
            None => {
                let place = self.held.places.get(self.at).copied();
                self.at += 1;
                place.map(|place| decode(self.held.event(place)).ok_or_else(damaged)).transpose()
            }
        }
    }
}

/// Runs that are merged.
#[derive(Debug)]
struct Merge {
    file: RunFile,
    readings: Vec<Reading>,
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    last: Option<Vec<u8>>,
}

/// A run that is being read: its block at hand, and the place in it.
#[derive(Debug)]
struct Reading {
    run: Run,
    block: Vec<u8>,
    at: usize,
}

impl Reading {
    fn next(&mut self, file: &mut RunFile) -> Result<Option<Vec<u8>>> {
        if self.at >= self.block.len() {
            if !file.read_bytes(&mut self.run, &mut self.block)? {
                return Ok(None);
            }
            self.at = 0;
        }
        let mut rest = &self.block[self.at..];
        let length = rest.split_off(..4).and_then(|length| Some(u32::from_le_bytes(length.try_into().ok()?)));
        let event = length.and_then(|length| rest.split_off(..length as usize)).ok_or_else(damaged)?;
        self.at += 4 + event.len();
        Ok(Some(event.to_vec()))
    }
}

impl Merge {
    fn new(mut file: RunFile, runs: &[Run]) -> Result<Self> {
        let mut readings: Vec<Reading> =
            runs.iter().map(|run| Reading { run: *run, block: Vec::new(), at: 0 }).collect();
        let mut heads = BinaryHeap::new();
        for (number, reading) in readings.iter_mut().enumerate() {
            heads.extend(reading.next(&mut file)?.map(|event| Reverse((event, number))));
        }
        Ok(Self { file, readings, heads, last: None })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(Reverse((event, number))) = self.heads.pop() {
            let behind = self.readings[number].next(&mut self.file)?;
            self.heads.extend(behind.map(|event| Reverse((event, number))));
            if self.last.as_ref() != Some(&event) {
                self.last = Some(event.clone());
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

/// Writes an event so that the bytes of two sort as they do: the time with its sign turned, texts with an end that sorts before
/// any character.
fn encode(event: &Event, out: &mut Vec<u8>) -> Result<()> {
    let kind = EventKind::ALL.iter().position(|kind| *kind == event.kind);
    let kind =
        kind.ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("{} events can not be sorted", event.kind)))?;
    out.extend_from_slice(&(event.time.nanoseconds().cast_unsigned() ^ 1 << 63).to_be_bytes());
    encode_text(event.device.as_str(), out);
    out.push(kind as u8);
    for (name, value) in &event.labels {
        encode_text(name, out);
        encode_text(value, out);
    }
    Ok(())
}

fn encode_text(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 1]);
}

fn decode(mut bytes: &[u8]) -> Option<Event> {
    let bytes = &mut bytes;
    let time = u64::from_be_bytes(bytes.split_off(..8)?.try_into().ok()?) ^ 1 << 63;
    let device = DeviceId::new(decode_text(bytes)?).ok()?;
    let kind = *EventKind::ALL.get(usize::from(*bytes.split_off_first()?))?;
    let mut labels = BTreeMap::new();
    while !bytes.is_empty() {
        let name = decode_text(bytes)?;
        labels.insert(name, decode_text(bytes)?);
    }
    Some(Event { time: Timestamp::from_nanoseconds(time.cast_signed()), device, kind, labels })
}

fn decode_text(bytes: &mut &[u8]) -> Option<String> {
    let mut text = Vec::new();
    loop {
        match *bytes.split_off_first()? {
            0 if *bytes.split_off_first()? == 1 => return String::from_utf8(text).ok(),
            byte => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let text = "[a-c\\x00\\x01\\xFFé]{0,3}";
        let labels = prop::collection::btree_map(text, text, 0..3);
        (prop_oneof![-3..3_i64, any::<i64>()], "[a-c]{1,3}", 0..6_usize, labels).prop_map(
            |(time, device, kind, labels)| Event {
                time: Timestamp::from_nanoseconds(time),
                device: DeviceId::new(device).expect("an id"),
                kind: EventKind::ALL[kind],
                labels,
            },
        )
    }

    proptest! {
        /// Law: what comes out is what a set of all events holds, in its order.
        #[test]
        fn agrees_with_a_set(
            events in prop::collection::vec(event(), 0..200),
            budget_bytes in prop::sample::select(vec![1, 500, 1 << 20]),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let mut sorter = EventSorter::new(folder.path(), budget_bytes);
            for event in &events {
                sorter.add(event).expect("room");
            }
            let mut sorted = sorter.finish().expect("sorted");
            let mut found = Vec::new();
            while let Some(event) = sorted.next().expect("sorted") {
                found.push(event);
            }
            let expected: Vec<Event> = events.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
