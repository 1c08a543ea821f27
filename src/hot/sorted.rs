//! Flat rows in order of device and instant, one row an instant, later commits over earlier ones.
//!
//! Guarantees: devices ascend; the ranks of a device's rows are one run, in which times rise strictly; a column's ranks
//! rise strictly. Sorting goes column by column, so that it needs little more memory than the largest column.

use std::collections::HashMap;

use crate::model::StoredLog;
use crate::model::{Column, DeviceRows, MetricHandle, Presence, Values};

use super::flat::{FlatColumn, FlatRows, log_bytes};

const ABSENT: u32 = u32::MAX;

/// The sorted form of a chunk.
#[derive(Debug)]
pub(super) struct Sorted {
    /// Devices, ascending.
    devices: Vec<u32>,
    /// For each device its first rank; one more at the end.
    starts: Vec<u32>,
    /// The instant of each rank.
    times: Vec<i64>,
    columns: Vec<SortedColumn>,
    /// By device, instant and order.
    logs: Vec<StoredLog>,
}

#[derive(Debug)]
struct SortedColumn {
    metric: MetricHandle,
    /// The ranks with a value.
    presence: Presence,
    values: Values,
}

impl Sorted {
    /// Sorts flat rows.
    pub(super) fn new(flat: FlatRows) -> Self {
        let FlatRows { devices, times, columns, mut logs, .. } = flat;
        logs.sort_by_key(|a| (a.device, a.time, a.order));
        let order = order_of(&devices, &times);
        let mut sorted = Self { devices: Vec::new(), starts: Vec::new(), times: Vec::new(), columns: Vec::new(), logs };
        let mut rank_of_row = vec![0_u32; times.len()];
        for row in order {
            let (device, time) = (devices[row as usize], times[row as usize]);
            let new_device = sorted.devices.last() != Some(&device);
            if new_device {
                sorted.devices.push(device);
                sorted.starts.push(sorted.times.len() as u32);
            }
            if new_device || sorted.times.last() != Some(&time) {
                sorted.times.push(time);
            }
            rank_of_row[row as usize] = (sorted.times.len() - 1) as u32;
        }
        sorted.starts.push(sorted.times.len() as u32);
        drop((devices, times));
        let ranks = sorted.times.len();
        sorted.columns = columns
            .into_iter()
            .map(|(metric, column)| {
                let (presence, values) = sort_column(column, &rank_of_row, ranks);
                SortedColumn { metric, presence, values }
            })
            .collect();
        sorted
    }

    /// The rows of a device.
    pub(super) fn rows(&self, device: u32) -> Option<DeviceRows> {
        let place = self.devices.binary_search(&device).ok()?;
        let ranks = self.starts[place] as usize..self.starts[place + 1] as usize;
        let columns = self.columns.iter().filter_map(|column| {
            let (presence, places) = match &column.presence {
                Presence::All => (Presence::All, ranks.clone()),
                Presence::Positions(positions) => {
                    let from = positions.partition_point(|rank| (*rank as usize) < ranks.start);
                    let to = positions.partition_point(|rank| (*rank as usize) < ranks.end);
                    let moved = positions[from..to].iter().map(|rank| rank - ranks.start as u32).collect();
                    (Presence::from_positions(moved, ranks.len()), from..to)
                }
            };
            (!places.is_empty()).then(|| (column.metric, Column { presence, values: column.values.part(places) }))
        });
        Some(DeviceRows { columns: columns.collect(), times: self.times[ranks].to_vec() })
    }

    /// The instants of a device, rising.
    pub(super) fn times(&self, device: u32) -> &[i64] {
        match self.devices.binary_search(&device) {
            Ok(place) => &self.times[self.starts[place] as usize..self.starts[place + 1] as usize],
            Err(_) => &[],
        }
    }

    /// The log records of a device, in order.
    pub(super) fn logs(&self, device: u32) -> &[StoredLog] {
        let from = self.logs.partition_point(|log| log.device.0 < device);
        let to = self.logs.partition_point(|log| log.device.0 <= device);
        &self.logs[from..to]
    }

    /// The same rows as flat columns, device after device.
    pub(super) fn to_flat(&self) -> FlatRows {
        let mut flat = FlatRows::default();
        flat.times.clone_from(&self.times);
        for (place, device) in self.devices.iter().enumerate() {
            let ranks = self.starts[place + 1] - self.starts[place];
            flat.devices.extend(std::iter::repeat_n(*device, ranks as usize));
        }
        for column in &self.columns {
            let rows = match &column.presence {
                Presence::All => (0..self.times.len() as u32).collect(),
                Presence::Positions(positions) => positions.clone(),
            };
            flat.columns.insert(column.metric, FlatColumn::new(rows, column.values.clone()));
        }
        self.logs.iter().for_each(|log| flat.append_log(log.clone()));
        flat
    }

    /// Bytes held, about.
    pub(super) fn memory_bytes(&self) -> usize {
        let columns: usize = self
            .columns
            .iter()
            .map(|column| {
                let presence = match &column.presence {
                    Presence::All => 0,
                    Presence::Positions(positions) => positions.capacity() * 4,
                };
                presence + column.values.memory_bytes() + 64
            })
            .sum();
        let logs: usize = self.logs.iter().map(log_bytes).sum();
        self.times.capacity() * 8 + (self.devices.capacity() + self.starts.capacity()) * 4 + columns + logs
    }
}

/// The rows by (device, instant, row): counted out by device, then sorted by instant where a device's rows are not yet.
fn order_of(devices: &[u32], times: &[i64]) -> Vec<u32> {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    for run in devices.chunk_by(|a, b| a == b) {
        *counts.entry(run[0]).or_default() += run.len() as u32;
    }
    let mut by_device: Vec<(u32, u32)> = counts.into_iter().collect();
    by_device.sort_unstable();
    let mut next: HashMap<u32, u32> = HashMap::with_capacity(by_device.len());
    let mut total = 0;
    for (device, count) in &by_device {
        next.insert(*device, total);
        total += count;
    }
    let mut order = vec![0_u32; devices.len()];
    let mut row = 0_u32;
    for run in devices.chunk_by(|a, b| a == b) {
        let place = next.entry(run[0]).or_default();
        for slot in &mut order[*place as usize..*place as usize + run.len()] {
            *slot = row;
            row += 1;
        }
        *place += run.len() as u32;
    }
    let mut from = 0;
    for (_, count) in by_device {
        let rows = &mut order[from..from + count as usize];
        if !rows.is_sorted_by_key(|row| times[*row as usize]) {
            rows.sort_by_key(|row| times[*row as usize]);
        }
        from += count as usize;
    }
    order
}

/// Brings a column into the order of ranks; of two values of a rank the later one stays.
fn sort_column(column: FlatColumn, rank_of_row: &[u32], ranks: usize) -> (Presence, Values) {
    let FlatColumn { rows, values, .. } = column;
    let rank = |row: &u32| rank_of_row[*row as usize];
    let in_order = rows.windows(2).all(|pair| rank(&pair[0]) < rank(&pair[1]));
    if in_order {
        let positions: Vec<u32> = rows.iter().map(rank).collect();
        return (Presence::from_positions(positions, ranks), values);
    }
    let (positions, picks): (Vec<u32>, Vec<usize>) = if rows.len() >= ranks / 16 {
        let mut winners = vec![ABSENT; ranks];
        for (place, row) in rows.iter().enumerate() {
            winners[rank(row) as usize] = place as u32;
        }
        let present = winners.iter().enumerate().filter(|(_, place)| **place != ABSENT);
        present.map(|(rank, place)| (rank as u32, *place as usize)).unzip()
    } else {
        let mut pairs: Vec<(u32, u32)> =
            rows.iter().enumerate().map(|(place, row)| (rank(row), place as u32)).collect();
        pairs.sort_unstable();
        let last_of_rank = pairs.chunk_by(|a, b| a.0 == b.0).filter_map(|same| same.last());
        last_of_rank.map(|(rank, place)| (*rank, *place as usize)).unzip()
    };
    let values = match values {
        Values::Text(mut texts) => {
            texts.codes = picks.iter().map(|place| texts.codes[*place]).collect();
            Values::Text(texts)
        }
        values => values.pick(&picks),
    };
    (Presence::from_positions(positions, ranks), values)
}
