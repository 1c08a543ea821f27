//! Rows in any order come out by device, then time, then their order in the file, in bounded memory.
//!
//! Guarantees: holds at most its budget of rows (more than that goes to scratch runs, of which so many are merged at once as
//! their blocks fit the budget);
//! rows of one device and instant keep the order in which they were added; nothing is dropped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::model::{Column, MetricType, Presence, TextValues, Values};

use super::block::{BlockBuilder, RowBlock, Scalar};
use super::run::{Run, RunFile, wider};

/// Runs that are merged at once, at most.
const FAN_IN_MAX: usize = 64;
/// Bytes of a block of a run, about: one of each run that is merged is in memory.
const BLOCK_BYTES: usize = 128 << 10;
/// Rows of a block of a run, at most.
const BLOCK_ROWS: usize = 4_096;

/// Takes the sorted rows: ranges of blocks, in order.
pub(super) type Emit<'a> = dyn FnMut(&RowBlock, Range<usize>) -> Result<()> + 'a;

/// Where a row stands: sorts by device, time and order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    device: u32,
    time: i64,
    block: u32,
    row: u32,
}

/// Sorts rows.
#[derive(Debug)]
pub(super) struct Sorter {
    scratch_folder: PathBuf,
    budget_bytes: usize,
    blocks: Vec<RowBlock>,
    rows: usize,
    bytes: usize,
    types: Vec<Option<MetricType>>,
    spill: Option<(RunFile, Vec<Run>)>,
    /// The largest block of a run so far.
    block_bytes: usize,
}

impl Sorter {
    pub(super) fn new(scratch_folder: &Path, budget_bytes: usize) -> Self {
        Self {
            scratch_folder: scratch_folder.to_path_buf(),
            budget_bytes,
            blocks: Vec::new(),
            rows: 0,
            bytes: 0,
            types: Vec::new(),
            spill: None,
            block_bytes: BLOCK_BYTES,
        }
    }

    /// Adds rows, behind those so far.
    pub(super) fn add(&mut self, block: RowBlock) -> Result<()> {
        for (number, column) in &block.columns {
            if self.types.len() <= *number as usize {
                self.types.resize(*number as usize + 1, None);
            }
            let known = &mut self.types[*number as usize];
            *known = Some(wider(*known, column.values.metric_type()));
        }
        self.rows += block.len();
        self.bytes += block.memory_bytes() + block.len() * size_of::<Key>();
        self.blocks.push(block);
        if self.bytes > self.budget_bytes { self.spill_run() } else { Ok(()) }
    }

    /// The widest type of each column so far.
    pub(super) fn types(&self) -> &[Option<MetricType>] {
        &self.types
    }

    fn sorted_keys(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.rows);
        for (number, block) in self.blocks.iter().enumerate() {
            let key = |row: usize| Key {
                device: block.devices[row],
                time: block.times[row],
                block: number as u32,
                row: row as u32,
            };
            keys.extend((0..block.len()).map(key));
        }
        keys.sort_unstable();
        keys
    }

    fn spill_run(&mut self) -> Result<()> {
        let (mut file, mut runs) = match self.spill.take() {
            Some(spill) => spill,
            None => (RunFile::create(&self.scratch_folder)?, Vec::new()),
        };
        let row_bytes = self.bytes / self.rows.max(1);
        let block_rows = (BLOCK_BYTES / row_bytes.max(1)).clamp(1, BLOCK_ROWS);
        let from = file.length();
        for keys in self.sorted_keys().chunks(block_rows) {
            let block = gather(&self.blocks, keys)?;
            self.block_bytes = self.block_bytes.max(block.memory_bytes());
            file.append(&block)?;
        }
        runs.push(Run { from, to: file.length() });
        self.blocks.clear();
        (self.rows, self.bytes) = (0, 0);
        self.spill = Some((file, runs));
        Ok(())
    }

    /// Hands out all rows in order.
    pub(super) fn finish(mut self, emit: &mut Emit<'_>) -> Result<()> {
        if self.spill.is_none() {
            for keys in self.sorted_keys().chunks(BLOCK_ROWS) {
                let block = gather(&self.blocks, keys)?;
                emit(&block, 0..block.len())?;
            }
            return Ok(());
        }
        self.spill_run()?;
        let Some((mut file, mut runs)) = self.spill.take() else { return Ok(()) };
        loop {
            let fan_in = fan_in(self.budget_bytes, self.block_bytes);
            if runs.len() <= fan_in {
                break;
            }
            let mut merged = RunFile::create(&self.scratch_folder)?;
            let mut longer = Vec::new();
            for some in runs.chunks(fan_in) {
                let from = merged.length();
                let mut builder = BlockBuilder::new(false);
                merge(&mut file, some, &mut |block, rows| {
                    builder.append(block, &rows)?;
                    if builder.len() >= BLOCK_ROWS || builder.memory_bytes() >= BLOCK_BYTES {
                        let block = builder.take();
                        self.block_bytes = self.block_bytes.max(block.memory_bytes());
                        merged.append(&block)?;
                    }
                    Ok(())
                })?;
                if builder.len() > 0 {
                    merged.append(&builder.take())?;
                }
                longer.push(Run { from, to: merged.length() });
            }
            (file, runs) = (merged, longer);
        }
        merge(&mut file, &runs, emit)
    }
}

/// How many runs can be merged at once: half of the budget is for their blocks, the rest for what comes of them.
fn fan_in(budget_bytes: usize, block_bytes: usize) -> usize {
    (budget_bytes / 2 / block_bytes).clamp(2, FAN_IN_MAX)
}

/// The rows of some keys, in their order.
fn gather(blocks: &[RowBlock], keys: &[Key]) -> Result<RowBlock> {
    let mut builder = BlockBuilder::new(blocks.iter().any(|block| block.sequences.is_some()));
    let block_of = |key: &Key| &blocks[key.block as usize];
    let mut numbers: Vec<u32> =
        blocks.iter().flat_map(|block| block.columns.iter().map(|(number, _)| *number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let columns: Vec<Option<&Column>> = blocks.iter().map(|block| block.column(number)).collect();
        if let Some(floats) = dense_floats(&columns) {
            let values = keys.iter().map(|key| floats[key.block as usize][key.row as usize]).collect();
            builder.float_column(number, values);
            continue;
        }
        for (row, key) in keys.iter().enumerate() {
            let Some(column) = columns[key.block as usize] else { continue };
            if let Some(place) = column.presence.value_place(key.row as usize) {
                builder.value_at(number, row, scalar(&column.values, place))?;
            }
        }
    }
    for key in keys {
        let sequence = block_of(key).sequences.as_ref().map_or(0, |sequences| sequences[key.row as usize]);
        builder.end_row(key.device, key.time, sequence);
    }
    Ok(builder.take())
}

/// The floats of a column that every row of every block has: the common case, worth a loop of its own.
fn dense_floats<'a>(columns: &[Option<&'a Column>]) -> Option<Vec<&'a [f64]>> {
    let floats = |column: &Option<&'a Column>| match column {
        Some(Column { presence: Presence::All, values: Values::Float(values) }) => Some(values.as_slice()),
        _ => None,
    };
    columns.iter().map(floats).collect()
}

fn scalar(values: &Values, place: usize) -> Scalar<'_> {
    match values {
        Values::Float(values) => Scalar::Float(values[place]),
        Values::Integer(values) => Scalar::Integer(values[place]),
        Values::Boolean(values) => Scalar::Boolean(values[place]),
        Values::Text(values) => Scalar::Text(TextValues::get(values, place)),
    }
}

/// A run that is being read: its block at hand, and the place in it.
struct Reading {
    run: Run,
    block: RowBlock,
    at: usize,
}

/// The first row of a run: sorts by device, time and run, since earlier runs hold earlier rows.
type Head = (u32, i64, usize);

impl Reading {
    fn head(&self, number: usize) -> Head {
        (self.block.devices[self.at], self.block.times[self.at], number)
    }
}

/// Merges runs: as many rows as possible from one run at once.
fn merge(file: &mut RunFile, runs: &[Run], emit: &mut Emit<'_>) -> Result<()> {
    let mut readings = Vec::with_capacity(runs.len());
    let mut heads = BinaryHeap::new();
    for run in runs {
        let mut run = *run;
        let Some(block) = file.read(&mut run)? else { continue };
        let reading = Reading { run, block, at: 0 };
        heads.push(Reverse(reading.head(readings.len())));
        readings.push(reading);
    }
    while let Some(Reverse((.., number))) = heads.pop() {
        let limit = heads.peek().map(|Reverse(head)| *head);
        let reading = &mut readings[number];
        let end = stretch(&reading.block, reading.at, number, limit);
        emit(&reading.block, reading.at..end)?;
        reading.at = end;
        if reading.at == reading.block.len() {
            match file.read(&mut reading.run)? {
                Some(block) => (reading.block, reading.at) = (block, 0),
                None => {
                    reading.block = RowBlock::default();
                    continue;
                }
            }
        }
        heads.push(Reverse(reading.head(number)));
    }
    Ok(())
}

/// The end of the rows from `at` that come before the head of any other run.
fn stretch(block: &RowBlock, at: usize, number: usize, limit: Option<Head>) -> usize {
    let Some(limit) = limit else { return block.len() };
    let before = |row: usize| (block.devices[row], block.times[row], number) < limit;
    // Doubling steps first: a stretch is often short.
    let mut step = 1;
    while at + step < block.len() && before(at + step) {
        step *= 2;
    }
    let (mut low, mut high) = (at + step / 2 + 1, (at + step).min(block.len()));
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (device, time, order, float, sparse text): what a naive sort has to agree with.
    type Row = (u32, i64, u64, f64, Option<String>);

    fn sort(rows: &[(u32, i64, Option<u8>)], block_rows: usize, budget_bytes: usize) -> (Vec<Row>, bool) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sorter = Sorter::new(folder.path(), budget_bytes);
        let mut order = 0_u64;
        for some in rows.chunks(block_rows) {
            let mut builder = BlockBuilder::new(true);
            for (device, time, text) in some {
                builder.value(0, Scalar::Float(order as f64 / 2.0)).expect("a float");
                if let Some(text) = text {
                    builder.value(3, Scalar::Text(&format!("text {text}"))).expect("a text");
                }
                builder.end_row(*device, *time, order);
                order += 1;
            }
            sorter.add(builder.take()).expect("room");
        }
        let spilled = sorter.spill.as_ref().is_some_and(|(_, runs)| runs.len() > 1);
        let mut sorted = Vec::new();
        sorter
            .finish(&mut |block, range| {
                for row in range {
                    let sequences = block.sequences.as_ref().expect("sequences");
                    let float = block.column(0).and_then(|column| column.values.get(row).as_f64()).expect("a float");
                    let text = block.column(3).and_then(|column| {
                        let place = column.presence.value_place(row)?;
                        let Values::Text(texts) = &column.values else { panic!("no text") };
                        Some(texts.get(place).to_owned())
                    });
                    sorted.push((block.devices[row], block.times[row], sequences[row], float, text));
                }
                Ok(())
            })
            .expect("sorted");
        (sorted, spilled)
    }

    fn naive(rows: &[(u32, i64, Option<u8>)]) -> Vec<Row> {
        let mut all: Vec<Row> = rows
            .iter()
            .enumerate()
            .map(|(order, (device, time, text))| {
                (*device, *time, order as u64, order as f64 / 2.0, text.map(|text| format!("text {text}")))
            })
            .collect();
        all.sort_by_key(|row| (row.0, row.1, row.2));
        all
    }

    #[test]
    fn many_runs_are_merged_in_levels() {
        // 20,000 rows in runs of a few dozen: several hundred runs, more than one level of merges.
        let mut state = 7_u64;
        let rows: Vec<_> = (0..20_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (
                    (state >> 40) as u32 % 50,
                    (state >> 20) as i64 % 1_000,
                    state.is_multiple_of(3).then_some((state >> 56) as u8),
                )
            })
            .collect();
        let (sorted, spilled) = sort(&rows, 40, 4_000);
        assert!(spilled);
        assert_eq!(sorted, naive(&rows));
    }

    #[test]
    fn huge_rows_are_merged_few_at_a_time() {
        assert_eq!(fan_in(64 << 20, 128 << 10), 64);
        // A row of 1,000 texts of 1 KiB comes to some 1.1 MB: 30 of them are half of 64 MiB.
        assert_eq!(fan_in(64 << 20, 1_100_000), 30);
        assert_eq!(fan_in(1 << 20, 1_100_000), 2);
        let folder = tempfile::tempdir().expect("a folder");
        let mut sorter = Sorter::new(folder.path(), 2 << 20);
        for row in 0..20_u32 {
            let mut builder = BlockBuilder::new(false);
            (0..1_000).for_each(|column| {
                builder.value(column, Scalar::Text(&format!("{row} {column:01000}"))).expect("a text");
            });
            builder.end_row(0, -i64::from(row), 0);
            sorter.add(builder.take()).expect("room");
        }
        let runs = sorter.spill.as_ref().map_or(0, |(_, runs)| runs.len());
        assert!(runs > 4 && sorter.block_bytes < 2 << 20, "{runs} runs, blocks of {} bytes", sorter.block_bytes);
        let mut times = Vec::new();
        sorter
            .finish(&mut |block, rows| {
                times.extend_from_slice(&block.times[rows]);
                Ok(())
            })
            .expect("sorted");
        assert_eq!(times, (0..20).map(|row| row - 19).collect::<Vec<i64>>());
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_sort(
            rows in prop::collection::vec((0..5_u32, -20..20_i64, prop::option::of(0..4_u8)), 0..300),
            block_rows in 1..50_usize,
            budget_bytes in prop::sample::select(vec![1, 2_000, 20_000, 1 << 20]),
        ) {
            prop_assert_eq!(sort(&rows, block_rows, budget_bytes).0, naive(&rows));
        }
    }
}
