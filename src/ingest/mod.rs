//! Readers of what comes from outside: bytes in, records or rejections out.
//!
//! Guarantees: no input makes a reader panic or hold more than its limits allow ([`LINE_BYTES_MAX`],
//! [`COLUMNS_MAX`], [`DEPTH_MAX`]); every record carries the line it began on, counted from 1; what can not be read is a
//! [`Rejection`] that names its line and its reason, and the reader goes on behind it. A reader fails as a whole only where
//! nothing behind the place can be trusted: no header, or a failing disk.
//!
//! The readers come with the feature `import`; what they refuse ([`Rejection`]) is always there.
//!
//! A reader keeps the types that its format has: CSV has none (an open field), JSON and the line protocol say whether a
//! value is a number or a text. What an open field holds is decided by the rule for numbers and by that of the importing module.

#[cfg(feature = "import")]
mod calendar;
#[cfg(feature = "import")]
mod csv;
#[cfg(feature = "import")]
mod jsonl;
#[cfg(feature = "import")]
mod line;
#[cfg(feature = "import")]
mod line_protocol;
#[cfg(feature = "import")]
mod number;
#[cfg(feature = "payload")]
pub mod payload;
#[cfg(feature = "import")]
mod record;
#[cfg(feature = "import")]
mod time;

#[cfg(feature = "import")]
pub use csv::{CsvOptions, CsvReader};
#[cfg(feature = "import")]
pub use jsonl::JsonLinesReader;
#[cfg(feature = "payload")]
use jsonl::vanishing_number;
#[cfg(feature = "import")]
pub use line::{Line, LineReader};
#[cfg(feature = "import")]
pub use line_protocol::LineProtocolReader;
#[cfg(feature = "import")]
pub use number::{Number, is_missing_word, is_out_of_range, parse_number};
#[cfg(feature = "import")]
pub use record::{Columns, Field, Record};
#[cfg(feature = "import")]
pub use time::{AmbiguousTime, TimeReader, TimeUnit};

#[cfg(feature = "import")]
use crate::error::Result;

/// The longest line or record, in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The most distinct columns of one file.
pub const COLUMNS_MAX: usize = 4_096;
/// How deep JSON objects may lie in each other.
pub const DEPTH_MAX: usize = 16;
/// How many bytes of a refused record are kept.
pub const REJECTED_BYTES_MAX: usize = 256;

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The line (of a text file) or the row (of a columnar one), counted from 1.
    pub row: u64,
    /// What is wrong with it, as one sentence without a full stop.
    pub reason: String,
    /// Its first bytes, at most [`REJECTED_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl Rejection {
    /// A rejection that keeps the first bytes of the record.
    #[must_use]
    pub fn new(row: u64, reason: impl Into<String>, bytes: &[u8]) -> Self {
        let kept = bytes.len().min(REJECTED_BYTES_MAX);
        Self { row, reason: reason.into(), bytes: bytes[..kept].to_vec() }
    }
}

#[cfg(feature = "import")]
/// What a reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record was filled.
    Record,
    /// A record was refused; the next call goes on behind it.
    Rejected(Rejection),
    /// There is nothing more.
    End,
}

#[cfg(feature = "import")]
/// A reader of records from one file.
pub trait RecordReader {
    /// The columns seen so far. Formats without a header add some as they appear; a column keeps its number.
    fn columns(&self) -> &Columns;

    /// Whether the file says its columns before its first record.
    fn has_header(&self) -> bool {
        false
    }

    /// Reads the next record into `record`, whose buffers are used again.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`] or [`crate::ErrorKind::InvalidInput`] where the rest of the file can not be read.
    fn read(&mut self, record: &mut Record) -> Result<Outcome>;
}

#[cfg(feature = "import")]
/// What is wrong with a number that [`is_out_of_range`].
pub(crate) fn out_of_range(text: &str) -> String {
    format!("{} lies beyond what a 64-bit float holds", excerpt(text.trim_ascii()))
}

#[cfg(feature = "import")]
/// A short, printable piece of a value for a message.
pub(crate) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() { format!("'{shown}...'") } else { format!("'{shown}'") }
}
