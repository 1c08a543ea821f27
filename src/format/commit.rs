//! The log value: one commit's readings and log records, as columns, under a checksum that chains it to the commit before.
//!
//! Guarantees: what decodes is what was encoded (xxh3-64 over all bytes); the checksum is the commit's **chain hash**, and
//! since each value holds the hash of the one before, a log with a hole can not pass for a whole one; memory is bounded by
//! the limits of a batch.

use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Reader, put_varint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{BATCH_ROWS_MAX, BatchColumn, DeviceHandle, MetricHandle, MetricType, Sequence, StoredLog};
use crate::time::Timestamp;

use super::framed::{corrupt, count, integers, put_integers, put_values, small, too_many, values};
use super::logs::{encode_logs, take_logs};

const MAGIC: [u8; 4] = *b"FLLG";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4 + 1 + 8 + 8 + 8;
const CHECKSUM_BYTES: usize = 8;
/// The most metrics of one commit.
const COLUMNS_MAX: usize = 1 << 20;
/// The most bytes of one commit: far below the 3 GiB that RocksDB takes as one value.
const COMMIT_BYTES_MAX: usize = 1 << 30;

/// The units that times are kept in, by their code: nanosecond, microsecond, millisecond, second, minute.
const UNITS_NS: [i64; 5] = [1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000];

/// A commit as the log keeps it: what the hot tier needs to stand again after a restart. What the commit changed in the
/// catalogue, the attribute history, the events and the manifest lies in their own keyspaces, written together with it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its place in the order of all commits.
    pub sequence: Sequence,
    /// The chain hash of the commit before.
    pub previous_hash: u64,
    /// When it was made, by the store's clock.
    pub recorded_at: Timestamp,
    /// For each reading its device.
    pub devices: Vec<DeviceHandle>,
    /// For each reading its instant, in nanoseconds since the epoch.
    pub times: Vec<i64>,
    /// For each metric the rows (places in `devices`, rising; one may repeat) and their values.
    pub columns: Vec<(MetricHandle, BatchColumn)>,
    /// The log records.
    pub logs: Vec<StoredLog>,
}

/// Encodes a commit; the second is its chain hash.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] when it holds more than a batch may, [`ErrorKind::InvalidInput`] where its columns contradict its
/// rows: nothing is encoded that [`decode_commit`] would refuse.
pub fn encode_commit(commit: &Commit) -> Result<(Vec<u8>, u64)> {
    check(commit).map_err(|error| error.advise("write it as several batches"))?;
    let encoded = encode(commit).map_err(|error| error.advise("write it as several batches"))?;
    if encoded.0.len() > COMMIT_BYTES_MAX {
        return Err(
            too_many("bytes of a commit", encoded.0.len(), COMMIT_BYTES_MAX).advise("write it as several batches")
        );
    }
    Ok(encoded)
}

fn check(commit: &Commit) -> Result<()> {
    let columns = commit.columns.iter().map(|(_, column)| column);
    let longest = columns.clone().map(|column| column.rows.len()).fold(commit.times.len(), usize::max);
    if longest > BATCH_ROWS_MAX {
        return Err(too_many("rows of a commit", longest, BATCH_ROWS_MAX));
    }
    if commit.columns.len() > COLUMNS_MAX {
        return Err(too_many("metrics of a commit", commit.columns.len(), COLUMNS_MAX));
    }
    let rows = commit.times.len();
    let fits = |column: &BatchColumn| {
        column.rows.len() == column.values.len()
            && column.rows.windows(2).all(|pair| pair[0] <= pair[1])
            && column.rows.last().is_none_or(|last| (*last as usize) < rows)
    };
    if commit.devices.len() != rows || !columns.clone().all(fits) {
        return Err(Error::new(ErrorKind::InvalidInput, "the columns of a commit do not fit its rows"));
    }
    Ok(())
}

fn encode(commit: &Commit) -> Result<(Vec<u8>, u64)> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&commit.sequence.0.to_le_bytes());
    out.extend_from_slice(&commit.previous_hash.to_le_bytes());
    out.extend_from_slice(&commit.recorded_at.nanoseconds().to_le_bytes());
    put_varint(commit.times.len() as u64, &mut out);
    put_integers(commit.devices.iter().map(|device| i64::from(device.0)), &mut out);
    put_times(&commit.times, &mut out);
    put_varint(commit.columns.len() as u64, &mut out);
    for (metric, column) in &commit.columns {
        put_column(*metric, column, commit.times.len(), &mut out)?;
    }
    encode_logs(&commit.logs, &mut out)?;
    let hash = xxh3_64(&out);
    out.extend_from_slice(&hash.to_le_bytes());
    Ok((out, hash))
}

/// Times in the coarsest unit that is exact, so that seconds do not pay for nanoseconds.
fn put_times(times: &[i64], out: &mut Vec<u8>) {
    let exact = |unit: &usize| times.iter().all(|time| time % UNITS_NS[*unit] == 0);
    let unit = (1..UNITS_NS.len()).rev().find(exact).unwrap_or(0);
    out.push(unit as u8);
    put_integers(times.iter().map(|time| time / UNITS_NS[unit]), out);
}

fn put_column(metric: MetricHandle, column: &BatchColumn, rows: usize, out: &mut Vec<u8>) -> Result<()> {
    put_varint(u64::from(metric.0), out);
    out.push(column.values.metric_type().code());
    put_varint(column.rows.len() as u64, out);
    let every_row =
        column.rows.len() == rows && column.rows.iter().enumerate().all(|(place, row)| place == *row as usize);
    out.push(u8::from(!every_row));
    if !every_row {
        put_integers(column.rows.iter().map(|row| i64::from(*row)), out);
    }
    put_values(&column.values, out)
}

/// Decodes a commit; the second is its chain hash.
///
/// # Errors
/// [`ErrorKind::Corruption`] for bytes that [`encode_commit`] did not write, [`ErrorKind::UnsupportedVersion`] for those of a
/// newer version.
pub fn decode_commit(bytes: &[u8]) -> Result<(Commit, u64)> {
    let content_bytes = bytes.len().checked_sub(CHECKSUM_BYTES).filter(|left| *left >= HEADER_BYTES);
    let content_bytes =
        content_bytes.ok_or_else(|| corrupt(format!("{} bytes are too few for a commit", bytes.len())))?;
    let (content, checksum) = bytes.split_at(content_bytes);
    let hash = xxh3_64(content);
    if hash.to_le_bytes() != checksum {
        return Err(corrupt("the checksum of a commit in the log differs"));
    }
    let mut reader = Reader::new(content);
    if reader.array::<4>()? != MAGIC {
        return Err(corrupt("a value in the log does not begin like a commit"));
    }
    let version = reader.byte()?;
    if version != VERSION {
        return Err(Error::new(ErrorKind::UnsupportedVersion, format!("version {version} of a commit in the log"))
            .advise("open the store with a newer fleetlog"));
    }
    let sequence = Sequence(u64::from_le_bytes(reader.array()?));
    let previous_hash = u64::from_le_bytes(reader.array()?);
    let recorded_at = Timestamp::from_nanoseconds(i64::from_le_bytes(reader.array()?));
    let rows = count(&mut reader, BATCH_ROWS_MAX)?;
    let devices = handles(&mut reader, rows)?;
    let times = take_times(&mut reader, rows)?;
    let columns =
        (0..count(&mut reader, COLUMNS_MAX)?).map(|_| take_column(&mut reader, rows)).collect::<Result<_>>()?;
    let logs = take_logs(&mut reader)?;
    reader.finish()?;
    Ok((Commit { sequence, previous_hash, recorded_at, devices, times, columns, logs }, hash))
}

fn take_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>> {
    let unit = usize::from(reader.byte()?);
    let unit_ns = *UNITS_NS.get(unit).ok_or_else(|| corrupt(format!("{unit} is not a unit of times")))?;
    let scale = |time: i64| time.checked_mul(unit_ns).ok_or_else(|| corrupt("a time lies outside 1677 to 2262"));
    integers(reader, count)?.into_iter().map(scale).collect()
}

fn handles(reader: &mut Reader<'_>, count: usize) -> Result<Vec<DeviceHandle>> {
    Ok(small::<u32>(integers(reader, count)?)?.into_iter().map(DeviceHandle).collect())
}

fn take_column(reader: &mut Reader<'_>, rows: usize) -> Result<(MetricHandle, BatchColumn)> {
    let metric = u32::try_from(reader.varint()?).map_err(|_| corrupt("a metric's handle is out of range"))?;
    let metric_type = MetricType::from_code(reader.byte()?).ok_or_else(|| corrupt("a column has an unknown type"))?;
    let present = count(reader, BATCH_ROWS_MAX)?;
    let places: Vec<u32> = match reader.byte()? {
        0 if present == rows => (0..rows as u32).collect(),
        1 => small(integers(reader, present)?)?,
        other => return Err(corrupt(format!("{other} does not say which rows a column has"))),
    };
    let rising = places.windows(2).all(|pair| pair[0] <= pair[1]);
    if !rising || places.last().is_some_and(|last| *last as usize >= rows) {
        return Err(corrupt("the rows of a column do not rise, or pass the end"));
    }
    let values = values(reader, metric_type, present)?;
    Ok((MetricHandle(metric), BatchColumn { rows: places, values }))
}

#[cfg(test)]
mod tests;
