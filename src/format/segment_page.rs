//! Pages of a segment: the directory of slices, statistics of blocks, rollups; each a few columns.

use crate::bytes::{Reader, put_varint};
use crate::error::Result;
use crate::model::{DeviceHandle, MetricHandle, MetricType};

use super::framed::{corrupt, count, floats, integers, put_floats, put_integers, small, too_many};

/// The most entries of one page.
pub const PAGE_ENTRIES_MAX: usize = 1 << 20;
/// The most values of a slice, times included; so it has no more rows than that.
pub const SLICE_VALUES_MAX: usize = 1 << 21;
/// The most columns or cells of all entries of one page together.
pub const PAGE_CELLS_MAX: usize = 1 << 24;

/// The most hours of a cell of a rollup: a year.
const CELL_HOURS_MAX: u32 = 8_784;

/// One column of a slice, as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryColumn {
    /// The metric.
    pub metric: MetricHandle,
    /// The type that the block is stored in.
    pub metric_type: MetricType,
    /// Bytes of the block, with its checksum.
    pub bytes: u32,
}

/// One slice: its blocks lie one after the other from `offset` on: times, columns, log records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The device.
    pub device: DeviceHandle,
    /// The bucket.
    pub bucket: i32,
    /// Rows; 0 for a slice of log records alone.
    pub rows: u32,
    /// First and last instant of the rows (0 where there are none).
    pub times: (i64, i64),
    /// Where its first block begins.
    pub offset: u64,
    /// Bytes of the time block (0 without rows).
    pub time_bytes: u32,
    /// The columns, by metric.
    pub columns: Vec<DirectoryColumn>,
    /// Log records.
    pub logs: u32,
    /// Bytes of their block (0 without).
    pub log_bytes: u32,
}

impl DirectoryEntry {
    /// Where its last block ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        let columns: u64 = self.columns.iter().map(|column| u64::from(column.bytes)).sum();
        self.offset + u64::from(self.time_bytes) + columns + u64::from(self.log_bytes)
    }
}

/// What a page may hold, for its reader as for its writer.
fn check(entries: usize, cells: usize) -> Result<()> {
    if entries > PAGE_ENTRIES_MAX {
        return Err(too_many("entries of a page", entries, PAGE_ENTRIES_MAX));
    }
    if cells > PAGE_CELLS_MAX {
        return Err(too_many("columns or cells of a page", cells, PAGE_CELLS_MAX));
    }
    Ok(())
}

/// Encodes a page of the directory.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for more than a page holds.
pub fn encode_directory(entries: &[DirectoryEntry]) -> Result<Vec<u8>> {
    let column_count = entries.iter().map(|entry| entry.columns.len()).sum();
    check(entries.len(), column_count)?;
    let mut out = Vec::new();
    put_varint(entries.len() as u64, &mut out);
    let mut put = |number: &dyn Fn(&DirectoryEntry) -> i64| put_integers(entries.iter().map(number), &mut out);
    put(&|entry| i64::from(entry.device.0));
    put(&|entry| i64::from(entry.bucket));
    put(&|entry| i64::from(entry.rows));
    put(&|entry| entry.times.0);
    put(&|entry| entry.times.1);
    put(&|entry| entry.offset as i64);
    put(&|entry| i64::from(entry.time_bytes));
    put(&|entry| i64::from(entry.logs));
    put(&|entry| i64::from(entry.log_bytes));
    put(&|entry| entry.columns.len() as i64);
    let columns = || entries.iter().flat_map(|entry| &entry.columns);
    put_varint(column_count as u64, &mut out);
    put_integers(columns().map(|column| i64::from(column.metric.0)), &mut out);
    put_integers(columns().map(|column| i64::from(column.metric_type.code())), &mut out);
    put_integers(columns().map(|column| i64::from(column.bytes)), &mut out);
    Ok(out)
}

/// Reads and checks a page of the directory.
///
/// # Errors
/// [`crate::ErrorKind::Corruption`].
pub fn decode_directory(bytes: &[u8]) -> Result<Vec<DirectoryEntry>> {
    let mut reader = Reader::new(bytes);
    let entries = count(&mut reader, PAGE_ENTRIES_MAX)?;
    let devices: Vec<u32> = small(integers(&mut reader, entries)?)?;
    let buckets: Vec<i32> = small(integers(&mut reader, entries)?)?;
    let rows: Vec<u32> = small(integers(&mut reader, entries)?)?;
    // A few bytes may stand for all times of a slice: what they become has to be bounded before it is made.
    if rows.iter().any(|rows| *rows as usize > SLICE_VALUES_MAX) {
        return Err(corrupt("a slice has more rows than any slice may"));
    }
    let first = integers(&mut reader, entries)?;
    let last = integers(&mut reader, entries)?;
    let offsets = integers(&mut reader, entries)?;
    let time_bytes: Vec<u32> = small(integers(&mut reader, entries)?)?;
    let logs: Vec<u32> = small(integers(&mut reader, entries)?)?;
    let log_bytes: Vec<u32> = small(integers(&mut reader, entries)?)?;
    let counts: Vec<u32> = small(integers(&mut reader, entries)?)?;
    let total = count(&mut reader, PAGE_CELLS_MAX)?;
    if counts.iter().map(|count| u64::from(*count)).sum::<u64>() != total as u64 {
        return Err(corrupt("slices have another number of columns than they say"));
    }
    let metrics: Vec<u32> = small(integers(&mut reader, total)?)?;
    let types: Vec<u8> = small(integers(&mut reader, total)?)?;
    let sizes: Vec<u32> = small(integers(&mut reader, total)?)?;
    reader.finish()?;
    let mut place = 0;
    let mut page: Vec<DirectoryEntry> = Vec::with_capacity(entries);
    // The last instant of the slices before it that are of the same device and bucket.
    let mut last_time: Option<i64> = None;
    for entry in 0..entries {
        let mut columns: Vec<DirectoryColumn> = Vec::with_capacity(counts[entry] as usize);
        for _ in 0..counts[entry] {
            let metric_type =
                MetricType::from_code(types[place]).ok_or_else(|| corrupt("a block has an unknown type"))?;
            if columns.last().is_some_and(|column| column.metric.0 >= metrics[place]) {
                return Err(corrupt("the columns of a slice are not in order"));
            }
            columns.push(DirectoryColumn { metric: MetricHandle(metrics[place]), metric_type, bytes: sizes[place] });
            place += 1;
        }
        let key = (devices[entry], buckets[entry]);
        let before = page.last().map(|last| (last.device.0, last.bucket));
        if before != Some(key) {
            last_time = None;
        }
        let rises = rows[entry] == 0 || Some(first[entry]) > last_time;
        if before > Some(key) || !rises {
            return Err(corrupt("the slices of the directory are not in order"));
        }
        if rows[entry] > 0 {
            last_time = Some(last[entry]);
        }
        page.push(DirectoryEntry {
            device: DeviceHandle(key.0),
            bucket: key.1,
            rows: rows[entry],
            times: (first[entry], last[entry]),
            offset: offsets[entry] as u64,
            time_bytes: time_bytes[entry],
            columns,
            logs: logs[entry],
            log_bytes: log_bytes[entry],
        });
    }
    Ok(page)
}

/// Statistics of a block (one device, one bucket, one metric). NaN are skipped everywhere but in `count_nan`; a block
/// without any other value has zeros. For text only `count` is meant. A zero as minimum or maximum is 0.0, whichever
/// zeros there were, so that no order of merging shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BlockStatistics {
    /// Values that are not NaN.
    pub count: u64,
    /// NaN.
    pub count_nan: u64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Sum, within 1e-13 of the sum of absolute values.
    pub sum: f64,
    /// The exact sum of integers and booleans.
    pub sum_integer: Option<i128>,
    /// Mean.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub m2: f64,
    /// First value in time.
    pub first: f64,
    /// Its instant.
    pub first_time: i64,
    /// Last value in time.
    pub last: f64,
    /// Its instant.
    pub last_time: i64,
    /// Mean of x, the instant in days since the start of the bucket.
    pub x_mean: f64,
    /// Sum of squared distances of x from its mean.
    pub x_m2: f64,
    /// Sum of products of the distances of x and of the value from their means.
    pub xy: f64,
    /// Minimum, maximum, first and last of integers and booleans, exactly.
    pub integers: Option<[i64; 4]>,
}

/// A day of a block, or an hour in files of before, as the rollup keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RollupCell {
    /// Start, in hours since the epoch.
    pub hour: i64,
    /// Hours.
    pub hours: u32,
    /// Values that are not NaN.
    pub count: u32,
    /// NaN.
    pub count_nan: u32,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Sum.
    pub sum: f64,
    /// The exact sum of integers and booleans.
    pub sum_integer: Option<i128>,
}

fn put_wide(values: impl Iterator<Item = i128> + Clone, out: &mut Vec<u8>) {
    put_integers(values.clone().map(|value| (value >> 64) as i64), out);
    put_integers(values.map(|value| value as i64), out);
}

fn take_wide(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i128>> {
    let upper = integers(reader, count)?;
    let lower = integers(reader, count)?;
    Ok(upper.into_iter().zip(lower).map(|(upper, lower)| i128::from(upper) << 64 | i128::from(lower as u64)).collect())
}

/// Encodes a page of statistics: for each block the place of its slice and the statistics.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for more than a page holds.
pub fn encode_statistics(blocks: &[(u32, BlockStatistics)]) -> Result<Vec<u8>> {
    check(blocks.len(), 0)?;
    let mut out = Vec::new();
    put_varint(blocks.len() as u64, &mut out);
    let exact = || blocks.iter().filter(|(_, block)| block.integers.is_some() && block.sum_integer.is_some());
    put_integers(blocks.iter().map(|(slice, _)| i64::from(*slice)), &mut out);
    put_integers(
        blocks.iter().map(|(_, block)| i64::from(block.integers.is_some() && block.sum_integer.is_some())),
        &mut out,
    );
    put_integers(blocks.iter().map(|(_, block)| block.count as i64), &mut out);
    put_integers(blocks.iter().map(|(_, block)| block.count_nan as i64), &mut out);
    put_integers(blocks.iter().map(|(_, block)| block.first_time), &mut out);
    put_integers(blocks.iter().map(|(_, block)| block.last_time), &mut out);
    let mut put =
        |number: &dyn Fn(&BlockStatistics) -> f64| put_floats(blocks.iter().map(|(_, block)| number(block)), &mut out);
    put(&|block| block.min);
    put(&|block| block.max);
    put(&|block| block.sum);
    put(&|block| block.mean);
    put(&|block| block.m2);
    put(&|block| block.first);
    put(&|block| block.last);
    put(&|block| block.x_mean);
    put(&|block| block.x_m2);
    put(&|block| block.xy);
    put_wide(exact().map(|(_, block)| block.sum_integer.unwrap_or_default()), &mut out);
    for field in 0..4 {
        put_integers(exact().map(|(_, block)| block.integers.unwrap_or_default()[field]), &mut out);
    }
    Ok(out)
}

/// Reads and checks a page of statistics.
///
/// # Errors
/// [`crate::ErrorKind::Corruption`].
pub fn decode_statistics(bytes: &[u8]) -> Result<Vec<(u32, BlockStatistics)>> {
    let mut reader = Reader::new(bytes);
    let blocks = count(&mut reader, PAGE_ENTRIES_MAX)?;
    let slices: Vec<u32> = small(integers(&mut reader, blocks)?)?;
    let exact = integers(&mut reader, blocks)?;
    let whole: Vec<Vec<i64>> = (0..4).map(|_| integers(&mut reader, blocks)).collect::<Result<_>>()?;
    let real: Vec<Vec<f64>> = (0..10).map(|_| floats(&mut reader, blocks)).collect::<Result<_>>()?;
    if exact.iter().any(|flag| !matches!(flag, 0 | 1)) || slices.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(corrupt("a page of statistics is not in order"));
    }
    let exact_count = exact.iter().filter(|flag| **flag == 1).count();
    let mut sums = take_wide(&mut reader, exact_count)?.into_iter();
    let fields: Vec<Vec<i64>> = (0..4).map(|_| integers(&mut reader, exact_count)).collect::<Result<_>>()?;
    reader.finish()?;
    let mut taken = 0;
    let block = |place: usize| {
        let mut statistics = BlockStatistics {
            count: whole[0][place] as u64,
            count_nan: whole[1][place] as u64,
            first_time: whole[2][place],
            last_time: whole[3][place],
            min: real[0][place],
            max: real[1][place],
            sum: real[2][place],
            mean: real[3][place],
            m2: real[4][place],
            first: real[5][place],
            last: real[6][place],
            x_mean: real[7][place],
            x_m2: real[8][place],
            xy: real[9][place],
            sum_integer: None,
            integers: None,
        };
        if exact[place] == 1 {
            statistics.sum_integer = sums.next();
            statistics.integers = Some([0, 1, 2, 3].map(|field| fields[field][taken]));
            taken += 1;
        }
        (slices[place], statistics)
    };
    Ok((0..blocks).map(block).collect())
}

/// Encodes a page of rollups: for each slice its cells, all of as many hours.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for more than a page holds.
pub fn encode_rollups(slices: &[(u32, Vec<RollupCell>)]) -> Result<Vec<u8>> {
    let total = slices.iter().map(|(_, cells)| cells.len()).sum();
    check(slices.len(), total)?;
    let mut out = Vec::new();
    let cells = || slices.iter().flat_map(|(_, cells)| cells);
    let hours = cells().next().map_or(1, |cell| cell.hours);
    debug_assert!(cells().all(|cell| cell.hours == hours));
    if hours != 1 {
        // No page has no slices: what follows says how long cells are.
        put_varint(0, &mut out);
        put_varint(u64::from(hours), &mut out);
    }
    put_varint(slices.len() as u64, &mut out);
    put_integers(slices.iter().map(|(slice, _)| i64::from(*slice)), &mut out);
    put_integers(slices.iter().map(|(_, cells)| cells.len() as i64), &mut out);
    put_varint(total as u64, &mut out);
    put_integers(slices.iter().map(|(_, cells)| i64::from(is_exact(cells))), &mut out);
    put_integers(cells().map(|cell| cell.hour), &mut out);
    put_integers(cells().map(|cell| i64::from(cell.count)), &mut out);
    put_integers(cells().map(|cell| i64::from(cell.count_nan)), &mut out);
    put_floats(cells().map(|cell| cell.min), &mut out);
    put_floats(cells().map(|cell| cell.max), &mut out);
    let of_form =
        |exact: bool| slices.iter().filter(move |(_, cells)| is_exact(cells) == exact).flat_map(|(_, cells)| cells);
    put_floats(of_form(false).map(|cell| cell.sum), &mut out);
    put_wide(of_form(true).map(|cell| cell.sum_integer.unwrap_or_default()), &mut out);
    Ok(out)
}

/// Whether all sums of a slice are exact: those of integers and booleans.
fn is_exact(cells: &[RollupCell]) -> bool {
    cells.iter().all(|cell| cell.sum_integer.is_some())
}

/// Reads and checks a page of rollups.
///
/// # Errors
/// [`crate::ErrorKind::Corruption`].
pub fn decode_rollups(bytes: &[u8]) -> Result<Vec<(u32, Vec<RollupCell>)>> {
    let mut reader = Reader::new(bytes);
    let mut cell_hours = 1;
    let mut slices = count(&mut reader, PAGE_ENTRIES_MAX)?;
    if slices == 0 {
        cell_hours = u32::try_from(reader.varint()?).unwrap_or(u32::MAX);
        slices = count(&mut reader, PAGE_ENTRIES_MAX)?;
        if !(1..=CELL_HOURS_MAX).contains(&cell_hours) || slices == 0 {
            return Err(corrupt("a page of rollups is empty, or its cells are too long"));
        }
    }
    let places: Vec<u32> = small(integers(&mut reader, slices)?)?;
    let lengths: Vec<u32> = small(integers(&mut reader, slices)?)?;
    let total = count(&mut reader, PAGE_CELLS_MAX)?;
    if lengths.iter().map(|length| u64::from(*length)).sum::<u64>() != total as u64
        || places.windows(2).any(|pair| pair[0] >= pair[1])
    {
        return Err(corrupt("a page of rollups is not in order"));
    }
    let exact = integers(&mut reader, slices)?;
    if exact.iter().any(|flag| !matches!(flag, 0 | 1)) {
        return Err(corrupt("a page of rollups has an unknown form"));
    }
    let hours = integers(&mut reader, total)?;
    let counts: Vec<u32> = small(integers(&mut reader, total)?)?;
    let nans: Vec<u32> = small(integers(&mut reader, total)?)?;
    let mins = floats(&mut reader, total)?;
    let maxs = floats(&mut reader, total)?;
    let whole: usize =
        lengths.iter().zip(&exact).filter(|(_, flag)| **flag == 1).map(|(length, _)| *length as usize).sum();
    let mut sums = floats(&mut reader, total - whole)?.into_iter();
    let mut wide = take_wide(&mut reader, whole)?.into_iter();
    reader.finish()?;
    let mut cell = |place: usize, exact: bool| {
        let sum_integer = if exact { wide.next() } else { None };
        RollupCell {
            hour: hours[place],
            hours: cell_hours,
            count: counts[place],
            count_nan: nans[place],
            min: mins[place],
            max: maxs[place],
            sum: sum_integer.map_or_else(|| sums.next().unwrap_or_default(), |sum| sum as f64),
            sum_integer,
        }
    };
    let mut from = 0;
    let page = places.into_iter().zip(lengths).zip(exact).map(|((slice, length), exact)| {
        let cells = (from..from + length as usize).map(|place| cell(place, exact == 1)).collect();
        from += length as usize;
        (slice, cells)
    });
    Ok(page.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn rollups_of_hours_and_of_days_come_back() {
        let cell = |hour: i64, hours, sum_integer| RollupCell {
            hour,
            hours,
            count: 200,
            count_nan: 3,
            min: -1.5,
            max: 7.25,
            sum: 41.0,
            sum_integer,
        };
        for hours in [1, 24] {
            let page = vec![
                (3, vec![cell(24, hours, None), cell(24 + i64::from(hours), hours, None)]),
                (9, vec![cell(-48, hours, Some(41))]),
            ];
            let bytes = encode_rollups(&page).unwrap();
            assert_eq!(bytes[0] == 0, hours == 24);
            assert_eq!(decode_rollups(&bytes).unwrap(), page);
            for end in 0..bytes.len() {
                assert_eq!(decode_rollups(&bytes[..end]).unwrap_err().kind(), ErrorKind::Corruption);
            }
        }
        for hostile in [&[0, 0, 1][..], &[0, 24, 0], &[0, 0xff, 0xff, 0x7f, 1]] {
            assert_eq!(decode_rollups(hostile).unwrap_err().kind(), ErrorKind::Corruption);
        }
    }

    #[test]
    fn a_page_that_no_reader_takes_is_not_written() {
        // Slices of log records alone have no columns: only the number of entries bounds them.
        let entry = |place: usize| DirectoryEntry {
            device: DeviceHandle(place as u32),
            bucket: 1,
            rows: 0,
            times: (0, 0),
            offset: 48,
            time_bytes: 0,
            columns: Vec::new(),
            logs: 1,
            log_bytes: 9,
        };
        let mut entries: Vec<DirectoryEntry> = (0..=PAGE_ENTRIES_MAX).map(entry).collect();
        assert_eq!(encode_directory(&entries).unwrap_err().kind(), ErrorKind::LimitExceeded);
        entries.pop();
        assert_eq!(decode_directory(&encode_directory(&entries).unwrap()).unwrap().len(), PAGE_ENTRIES_MAX);
        let blocks = vec![(0, BlockStatistics::default()); PAGE_ENTRIES_MAX + 1];
        assert_eq!(encode_statistics(&blocks).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let slices = vec![(0, Vec::new()); PAGE_ENTRIES_MAX + 1];
        assert_eq!(encode_rollups(&slices).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
}
