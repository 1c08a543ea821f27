//! Log records as columns: in a log value, and in a block of a segment.

use crate::bytes::{Reader, put_varint};
use crate::error::Result;
use crate::model::{BATCH_ROWS_MAX, DeviceHandle, Severity, StoredLog};

use super::framed::{corrupt, count, integers, put_integers, put_texts, small, texts, too_many};

/// The most log records that are encoded together, and the most fields of all of them.
pub const LOGS_MAX: usize = BATCH_ROWS_MAX;

/// Appends log records: their number, and where it is not 0 one column per field.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for what [`decode_logs`] would refuse: more than [`LOGS_MAX`] records or fields, or more
/// different texts than a dictionary holds. `out` then holds a part that means nothing.
pub fn encode_logs(logs: &[StoredLog], out: &mut Vec<u8>) -> Result<()> {
    put_logs(logs, LOGS_MAX, out)
}

fn put_logs(logs: &[StoredLog], most: usize, out: &mut Vec<u8>) -> Result<()> {
    let field_count = logs.iter().map(|log| log.fields.len()).sum::<usize>();
    if logs.len() > most {
        return Err(too_many("log records together", logs.len(), most));
    }
    if field_count > most {
        return Err(too_many("fields of log records together", field_count, most));
    }
    put_varint(logs.len() as u64, out);
    if logs.is_empty() {
        return Ok(());
    }
    put_integers(logs.iter().map(|log| i64::from(log.device.0)), out);
    put_integers(logs.iter().map(|log| log.time), out);
    put_integers(logs.iter().map(|log| log.order.0 as i64), out);
    put_integers(logs.iter().map(|log| i64::from(log.order.1)), out);
    put_integers(logs.iter().map(|log| log.severity as i64), out);
    put_texts(logs.iter().map(|log| &log.source), out)?;
    put_texts(logs.iter().map(|log| &log.message), out)?;
    put_integers(logs.iter().map(|log| log.fields.len() as i64), out);
    let fields = || logs.iter().flat_map(|log| &log.fields);
    put_varint(field_count as u64, out);
    put_texts(fields().map(|(name, _)| name), out)?;
    put_texts(fields().map(|(_, value)| value), out)
}

/// Reads log records that fill all of `bytes`.
///
/// # Errors
/// [`crate::ErrorKind::Corruption`] for bytes that [`encode_logs`] did not write.
pub fn decode_logs(bytes: &[u8]) -> Result<Vec<StoredLog>> {
    let mut reader = Reader::new(bytes);
    let logs = take_logs(&mut reader)?;
    reader.finish()?;
    Ok(logs)
}

pub(super) fn take_logs(reader: &mut Reader<'_>) -> Result<Vec<StoredLog>> {
    take_logs_within(reader, LOGS_MAX)
}

fn take_logs_within(reader: &mut Reader<'_>, most: usize) -> Result<Vec<StoredLog>> {
    let logs = count(reader, most)?;
    if logs == 0 {
        return Ok(Vec::new());
    }
    let devices: Vec<u32> = small(integers(reader, logs)?)?;
    let times = integers(reader, logs)?;
    let sequences = integers(reader, logs)?;
    let places: Vec<u32> = small(integers(reader, logs)?)?;
    let severities: Vec<u8> = small(integers(reader, logs)?)?;
    let mut sources = texts(reader, logs)?;
    let mut messages = texts(reader, logs)?;
    let field_counts: Vec<u32> = small(integers(reader, logs)?)?;
    let fields = count(reader, most)?;
    if field_counts.iter().map(|count| u64::from(*count)).sum::<u64>() != fields as u64 {
        return Err(corrupt("log records have another number of fields than they say"));
    }
    let names = texts(reader, fields)?;
    let mut pairs = names.zip(texts(reader, fields)?);
    let mut records = Vec::with_capacity(logs);
    for place in 0..logs {
        let severity =
            Severity::from_code(severities[place]).ok_or_else(|| corrupt("a log record has an unknown severity"))?;
        let missing = || corrupt("a log record lacks its text");
        records.push(StoredLog {
            device: DeviceHandle(devices[place]),
            time: times[place],
            order: (sequences[place] as u64, places[place]),
            severity,
            source: sources.next().ok_or_else(missing)?,
            message: messages.next().ok_or_else(missing)?,
            fields: pairs.by_ref().take(field_counts[place] as usize).collect(),
        });
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    fn log(fields: usize) -> StoredLog {
        StoredLog {
            device: DeviceHandle(1),
            time: 5,
            order: (2, 0),
            severity: Severity::Warning,
            source: "kernel".into(),
            message: "hot".into(),
            fields: (0..fields).map(|place| ("zone".into(), place.to_string().into())).collect(),
        }
    }

    proptest! {
        /// At any limit the writer refuses just what the reader would: nothing is stored that can not be read again.
        #[test]
        fn whatever_encodes_decodes(fields in prop::collection::vec(0_usize..5, 0..6), most in 0_usize..12) {
            let logs: Vec<StoredLog> = fields.iter().map(|count| log(*count)).collect();
            let mut bytes = Vec::new();
            encode_logs(&logs, &mut bytes).unwrap();
            let read = take_logs_within(&mut Reader::new(&bytes), most);
            match put_logs(&logs, most, &mut Vec::new()) {
                Ok(()) => prop_assert_eq!(read.unwrap(), logs),
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                    prop_assert!(read.is_err() && (logs.len() > most || fields.iter().sum::<usize>() > most));
                }
            }
        }
    }
}
