//! Column codecs: pure functions on slices, without input or output.
//!
//! Guarantees: what is encoded comes back bit for bit, every float and every `i64`; to decode is to validate: damaged or
//! cut bytes give [`ErrorKind::Corruption`], or other values, but never a panic; memory is taken only once the bytes can
//! pay for it, except for the constant encodings, whose count (the caller's, from a checked header) pays. An empty column
//! is one byte. Statistics of a column need no codec: they are made from the same slices.
//!
//! The first byte names the encoding. To add one: a code here, a file, an arm in each `match`, a section in
//! `storage-format.md`.

mod bits;
mod boolean;
mod cold;
mod compressed;
mod decimal;
mod fixed;
mod grouped;
mod grouped_head;
mod grouped_plan;
#[cfg(test)]
mod grouped_tests;
mod grouped_write;
mod integer;
mod kernels;
#[cfg(test)]
mod kernels_tests;
mod lanes;
#[cfg(test)]
mod laws;
mod packed;
mod packed_times;
mod presence;
mod real_doubles;
#[cfg(test)]
mod real_doubles_tests;
mod shuffle;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_levels;
mod text;
mod times;
#[cfg(target_arch = "x86_64")]
mod vectors;
#[cfg(target_arch = "x86_64")]
mod vectors_512;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricType, Presence, TextValues, Values};

use crate::bytes::{Reader, corrupt};
pub use packed::{Aligned, GROUP_VALUES, GroupOffsets, GroupSummary, PackedValues, SummaryOf};
pub use packed_times::{GroupTimes, PackedTimes};

pub(crate) use bits::groups_of;
use decimal::GroupedDecimals;
use fixed::WIDTH_BYTES;
use grouped::Grouped;
use real_doubles::RealDoubles;

pub use cold::Tier;

/// The most values of one column that are decoded at once.
pub const COUNT_MAX: usize = u32::MAX as usize;

/// Encodings of times.
mod time_code {
    pub(super) const RAW: u8 = 0;
    pub(super) const REGULAR: u8 = 1;
    pub(super) const PACKED: u8 = 2;
    pub(super) const GROUPED: u8 = 3;
    pub(super) const COMPRESSED: u8 = 4;
}

/// Encodings of values.
mod value_code {
    pub(super) const RAW: u8 = 0;
    pub(super) const CONSTANT: u8 = 1;
    pub(super) const INTEGERS: u8 = 2;
    pub(super) const DECIMALS: u8 = 3;
    pub(super) const SHUFFLED: u8 = 4;
    pub(super) const BITMAP: u8 = 5;
    pub(super) const RUNS: u8 = 6;
    pub(super) const DICTIONARY: u8 = 7;
    pub(super) const GROUPED_INTEGERS: u8 = 8;
    pub(super) const GROUPED_DECIMALS: u8 = 9;
    pub(super) const COMPRESSED_INTEGERS: u8 = 10;
    pub(super) const COMPRESSED_DECIMALS: u8 = 11;
    pub(super) const COMPRESSED_FLOATS: u8 = 12;
    pub(super) const COMPRESSED_TEXTS: u8 = 13;
    pub(super) const REAL_DOUBLES: u8 = 14;
}

/// Encodings of a presence.
mod presence_code {
    pub(super) const ALL: u8 = 0;
    pub(super) const BITMAP: u8 = 1;
    pub(super) const LIST: u8 = 2;
}

/// The name of the encoding that encoded times begin with, for a person to read.
#[must_use]
pub fn times_encoding(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(&time_code::RAW) => "raw",
        Some(&time_code::REGULAR) => "regular",
        Some(&time_code::PACKED) => "packed",
        Some(&time_code::GROUPED) => "grouped",
        Some(&time_code::COMPRESSED) => "compressed",
        _ => "unknown",
    }
}

/// The name of the encoding that encoded values begin with, for a person to read.
#[must_use]
pub fn values_encoding(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(&value_code::RAW) => "raw",
        Some(&value_code::CONSTANT) => "constant",
        Some(&value_code::INTEGERS) => "integers",
        Some(&value_code::DECIMALS) => "decimals",
        Some(&value_code::SHUFFLED) => "shuffled",
        Some(&value_code::BITMAP) => "bitmap",
        Some(&value_code::RUNS) => "runs",
        Some(&value_code::DICTIONARY) => "dictionary",
        Some(&value_code::GROUPED_INTEGERS) => "grouped integers",
        Some(&value_code::GROUPED_DECIMALS) => "grouped decimals",
        Some(&value_code::COMPRESSED_INTEGERS) => "compressed integers",
        Some(&value_code::COMPRESSED_DECIMALS) => "compressed decimals",
        Some(&value_code::COMPRESSED_FLOATS) => "compressed floats",
        Some(&value_code::COMPRESSED_TEXTS) => "compressed texts",
        Some(&value_code::REAL_DOUBLES) => "real doubles",
        _ => "unknown",
    }
}

/// The name of the encoding that an encoded presence begins with, for a person to read.
#[must_use]
pub fn presence_encoding(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(&presence_code::ALL) => "all",
        Some(&presence_code::BITMAP) => "bitmap",
        Some(&presence_code::LIST) => "list",
        _ => "unknown",
    }
}

/// Appends the encoded times (nanoseconds since the epoch, rising strictly) to `out`; the first byte is the encoding's
/// code.
pub fn encode_times(times: &[i64], out: &mut Vec<u8>) {
    let from = out.len();
    if times.len() > 1 {
        match times::common_step(times) {
            Some(step_ns) => {
                out.push(time_code::REGULAR);
                times::encode_regular(times, step_ns, out);
            }
            None if times.len() < bits::GROUP => {
                out.push(time_code::PACKED);
                times::encode_packed(times, out);
            }
            None => {
                out.push(time_code::GROUPED);
                times::encode_grouped(times, out);
            }
        }
        if out.len() - from <= times.len() * WIDTH_BYTES {
            return;
        }
        out.truncate(from);
    }
    out.push(time_code::RAW);
    fixed::encode_raw(times.iter().map(|time| *time as u64), out);
}

/// Reads back `rows` times from all of `bytes`. Never panics; allocates only what the input, or for regular times the
/// caller's `rows`, has paid for.
///
/// # Errors
/// [`ErrorKind::Corruption`] where the bytes are not what [`encode_times`] writes for so many rows: also where times do
/// not rise strictly, and where bytes are left over. [`ErrorKind::LimitExceeded`] where they do not fit the memory.
pub fn decode_times(bytes: &[u8], rows: usize) -> Result<Vec<i64>> {
    let mut reader = begin(bytes, rows)?;
    match reader.byte()? {
        time_code::RAW => {
            let times = fixed::decode_raw(reader, rows, |bits| bits as i64)?;
            if times.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(corrupt("times do not rise strictly"));
            }
            Ok(times)
        }
        time_code::REGULAR => times::decode_regular(reader, rows),
        time_code::PACKED => times::decode_packed(reader, rows),
        time_code::GROUPED => times::decode_grouped(reader, rows),
        time_code::COMPRESSED => times::decode_compressed(reader, rows),
        code => Err(unknown("times", code)),
    }
}

/// Appends encoded values to `out`; the first byte is the code of the encoding, chosen for these values.
///
/// ```
/// use fleetlog::codec::{decode_values, encode_values, values_encoding};
/// use fleetlog::{MetricType, Values};
/// let temperatures: Vec<f64> = (0..1_000).map(|i| f64::from(2_000 + i % 40) / 100.0).collect();
/// let mut bytes = Vec::new();
/// encode_values(&Values::Float(temperatures.clone()), &mut bytes)?;
/// assert_eq!(values_encoding(&bytes), "grouped decimals");
/// assert!(bytes.len() < temperatures.len());
/// let Values::Float(back) = decode_values(&bytes, MetricType::Float, 1_000)? else { unreachable!() };
/// assert_eq!(back, temperatures);
/// # Ok::<(), fleetlog::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] for what [`decode_values`] would refuse: more values than [`COUNT_MAX`], or texts that
/// together take more than 1 GiB. `out` then holds a part that means nothing.
///
/// # Panics
/// For a text whose code names none of its dictionary.
pub fn encode_values(values: &Values, out: &mut Vec<u8>) -> Result<()> {
    check_count(values.len())?;
    match values {
        Values::Float(values) => encode_floats(values, out),
        Values::Integer(values) => encode_integers(values, out),
        Values::Boolean(values) => encode_booleans(values, out),
        Values::Text(values) => return encode_texts(values, out),
    }
    Ok(())
}

/// Floats as [`encode_values`] writes them; the caller bounds their number.
pub(crate) fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    let bits = || values.iter().map(|value| value.to_bits());
    if values.len() > 1 && encode_constant(fixed::common(bits()), out) {
        return;
    }
    let from = out.len();
    let raw_bytes = values.len() * WIDTH_BYTES;
    if values.len() > 1 {
        let (code, put) = integer_form(values.len(), [value_code::DECIMALS, value_code::GROUPED_DECIMALS]);
        let put_integers = |integers: &[i64], out: &mut Vec<u8>| {
            put(integers, out);
            true
        };
        out.push(code);
        // Hardly smaller than raw is not worth the arithmetic, and zstd may do better.
        if decimal::encode(values, put_integers, out) && out.len() - from <= raw_bytes - raw_bytes / 8 {
            return;
        }
        out.truncate(from);
        if encode_doubles(values, out) {
            return;
        }
    }
    out.push(value_code::RAW);
    fixed::encode_raw(bits(), out);
}

/// Appends floats that are no decimals; nothing and `false` where raw ones are not much longer.
fn encode_doubles(values: &[f64], out: &mut Vec<u8>) -> bool {
    let mut cut = vec![value_code::REAL_DOUBLES];
    let is_cut = values.len() >= bits::GROUP && real_doubles::encode(values, &mut cut);
    let from = out.len();
    out.push(value_code::SHUFFLED);
    // Shuffled ones are read all together and at a fraction of the speed: less than an eighth is not worth that.
    if shuffle::encode(values, out) && (!is_cut || out.len() - from <= cut.len() - cut.len() / 8) {
        return true;
    }
    out.truncate(from);
    if is_cut {
        out.extend_from_slice(&cut);
    }
    is_cut
}

/// Integers as [`encode_values`] writes them; the caller bounds their number.
pub(crate) fn encode_integers(values: &[i64], out: &mut Vec<u8>) {
    let bits = || values.iter().map(|value| *value as u64);
    if values.len() > 1 && encode_constant(fixed::common(bits()), out) {
        return;
    }
    let from = out.len();
    if !values.is_empty() {
        let (code, put_integers) = integer_form(values.len(), [value_code::INTEGERS, value_code::GROUPED_INTEGERS]);
        out.push(code);
        put_integers(values, out);
        if out.len() - from <= values.len() * WIDTH_BYTES {
            return;
        }
        out.truncate(from);
    }
    out.push(value_code::RAW);
    fixed::encode_raw(bits(), out);
}

/// The way in which so many integers are written, and of two codes the one that names it: lanes are for full groups, and
/// shorter columns are smaller without them.
fn integer_form(count: usize, [short, grouped]: [u8; 2]) -> (u8, fn(&[i64], &mut Vec<u8>)) {
    if count < bits::GROUP { (short, integer::encode) } else { (grouped, grouped_write::encode) }
}

/// Appends the value that all places share, where there is one.
fn encode_constant(common: Option<u64>, out: &mut Vec<u8>) -> bool {
    if let Some(bits) = common {
        out.push(value_code::CONSTANT);
        out.extend_from_slice(&bits.to_le_bytes());
    }
    common.is_some()
}

fn encode_booleans(values: &[bool], out: &mut Vec<u8>) {
    if values.is_empty() {
        out.push(value_code::RAW);
    } else if boolean::run_bytes(values, values.len().div_ceil(8)).is_some() {
        out.push(value_code::RUNS);
        boolean::encode_runs(values, out);
    } else {
        out.push(value_code::BITMAP);
        boolean::encode_bitmap(values, out);
    }
}

fn encode_texts(values: &TextValues, out: &mut Vec<u8>) -> Result<()> {
    if values.codes.is_empty() {
        out.push(value_code::RAW);
        return Ok(());
    }
    out.push(value_code::DICTIONARY);
    text::encode(values, text::DICTIONARY_BYTES_MAX, out)
}

/// Reads back `count` values of a type from all of `bytes`. Never panics; allocates only what the input, or for a
/// constant the caller's `count`, has paid for. A text column comes back with the dictionary that its values use, each
/// text once, in order of first use.
///
/// # Errors
/// [`ErrorKind::Corruption`] where the bytes are not what [`encode_values`] writes for so many values of this type, also
/// where bytes are left over. [`ErrorKind::LimitExceeded`] where they do not fit the memory.
pub fn decode_values(bytes: &[u8], metric_type: MetricType, count: usize) -> Result<Values> {
    let mut reader = begin(bytes, count)?;
    let code = reader.byte()?;
    if count == 0 {
        reader.finish()?;
        return if code == value_code::RAW { Ok(Values::empty(metric_type)) } else { Err(unknown("no values", code)) };
    }
    match (metric_type, code) {
        (MetricType::Float, value_code::RAW) => fixed::decode_raw(reader, count, f64::from_bits).map(Values::Float),
        (MetricType::Float, value_code::CONSTANT) => {
            fixed::decode_constant(reader, count, f64::from_bits).map(Values::Float)
        }
        (MetricType::Float, value_code::DECIMALS) => decimal::decode(reader, count).map(Values::Float),
        (MetricType::Float, value_code::GROUPED_DECIMALS) => {
            GroupedDecimals::read(reader, count)?.decode(0..count).map(Values::Float)
        }
        (MetricType::Float, value_code::REAL_DOUBLES) => {
            RealDoubles::read(reader, count)?.decode(0..count).map(Values::Float)
        }
        (MetricType::Float, value_code::SHUFFLED) => shuffle::decode(reader.take_rest(), count).map(Values::Float),
        (MetricType::Integer, value_code::RAW) => {
            fixed::decode_raw(reader, count, |bits| bits as i64).map(Values::Integer)
        }
        (MetricType::Integer, value_code::CONSTANT) => {
            fixed::decode_constant(reader, count, |bits| bits as i64).map(Values::Integer)
        }
        (MetricType::Integer, value_code::INTEGERS) => integer::decode(reader, count).map(Values::Integer),
        (MetricType::Integer, value_code::GROUPED_INTEGERS) => {
            Grouped::read(reader, count)?.decode(0..count).map(Values::Integer)
        }
        (MetricType::Float, value_code::COMPRESSED_DECIMALS) => {
            decimal::decode_compressed(reader, count).map(Values::Float)
        }
        (MetricType::Float, value_code::COMPRESSED_FLOATS) => {
            compressed::decode_floats(reader, count).map(Values::Float)
        }
        (MetricType::Integer, value_code::COMPRESSED_INTEGERS) => {
            compressed::decode_integers(reader, count).map(Values::Integer)
        }
        (MetricType::Text, value_code::COMPRESSED_TEXTS) => {
            text::decode_compressed(reader, count, text::DICTIONARY_BYTES_MAX).map(Values::Text)
        }
        (MetricType::Boolean, value_code::BITMAP) => boolean::decode_bitmap(reader, count).map(Values::Boolean),
        (MetricType::Boolean, value_code::RUNS) => boolean::decode_runs(reader, count).map(Values::Boolean),
        (MetricType::Text, value_code::DICTIONARY) => {
            text::decode(reader, count, text::DICTIONARY_BYTES_MAX).map(Values::Text)
        }
        (_, code) => Err(unknown(metric_type.as_str(), code)),
    }
}

/// Reads back those of `count` values that stand at some places; of columns in groups only the groups that hold them are
/// decoded.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for places behind the last value; as [`decode_values`], of what is decoded.
pub fn decode_values_at(
    bytes: &[u8],
    metric_type: MetricType,
    count: usize,
    places: std::ops::Range<usize>,
) -> Result<Values> {
    if places.start > places.end || places.end > count {
        return Err(Error::new(ErrorKind::InvalidInput, format!("{places:?} are no places of {count} values")));
    }
    let mut reader = begin(bytes, count)?;
    match (metric_type, bytes.first()) {
        // Without values, every code but one is damage.
        _ if count == 0 => decode_values(bytes, metric_type, count),
        (MetricType::Float, Some(&value_code::GROUPED_DECIMALS)) => {
            reader.byte()?;
            GroupedDecimals::read(reader, count)?.decode(places).map(Values::Float)
        }
        (MetricType::Float, Some(&value_code::REAL_DOUBLES)) => {
            reader.byte()?;
            RealDoubles::read(reader, count)?.decode(places).map(Values::Float)
        }
        (MetricType::Integer, Some(&value_code::GROUPED_INTEGERS)) => {
            reader.byte()?;
            Grouped::read(reader, count)?.decode(places).map(Values::Integer)
        }
        _ => {
            let all = decode_values(bytes, metric_type, count)?;
            Ok(if places.len() == count { all } else { all.part(places) })
        }
    }
}

/// Appends an encoded presence over `rows` rows: all, bitmap or list, whichever is smallest. Positions that are all rows
/// come back as [`Presence::All`].
pub fn encode_presence(presence: &Presence, rows: usize, out: &mut Vec<u8>) {
    let positions = match presence {
        Presence::Positions(positions) if positions.len() < rows => positions,
        _ => return out.push(presence_code::ALL),
    };
    let from = out.len();
    out.push(presence_code::LIST);
    presence::encode_list(positions, out);
    if out.len() - from > 1 + rows.div_ceil(8) {
        out.truncate(from);
        out.push(presence_code::BITMAP);
        presence::encode_bitmap(positions, rows, out);
    }
}

/// Reads back a presence over `rows` rows from all of `bytes`, and the number of present rows. Never panics; allocates
/// only what the input has paid for.
///
/// # Errors
/// [`ErrorKind::Corruption`] where the bytes are not what [`encode_presence`] writes for so many rows, also where bytes
/// are left over. [`ErrorKind::LimitExceeded`] where they do not fit the memory.
pub fn decode_presence(bytes: &[u8], rows: usize) -> Result<(Presence, usize)> {
    let mut reader = begin(bytes, rows)?;
    match reader.byte()? {
        presence_code::ALL => {
            reader.finish()?;
            Ok((Presence::All, rows))
        }
        presence_code::BITMAP => presence::checked(presence::decode_bitmap(reader, rows)?, rows),
        presence_code::LIST => presence::checked(presence::decode_list(reader, rows)?, rows),
        code => Err(unknown("a presence", code)),
    }
}

fn begin(bytes: &[u8], count: usize) -> Result<Reader<'_>> {
    check_count(count)?;
    Ok(Reader::new(bytes))
}

fn check_count(count: usize) -> Result<()> {
    if count > COUNT_MAX {
        return Err(Error::new(ErrorKind::LimitExceeded, format!("{count} values are more than a column holds")));
    }
    Ok(())
}

fn unknown(of: &str, code: u8) -> Error {
    corrupt(format!("encoding {code} is not one of {of} that this program knows: damage, or a newer program wrote it"))
}
