//! Log records: what a device wrote in its log.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

use super::{DeviceHandle, DeviceId, Labels};

/// How severe a log record is: the eight levels of syslog (RFC 5424, section 6.2.1), worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Severity {
    /// The system is unusable.
    Emergency = 0,
    /// Action must be taken at once.
    Alert = 1,
    /// Critical conditions.
    Critical = 2,
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant.
    Notice = 5,
    /// Informational.
    Informational = 6,
    /// Debug messages.
    Debug = 7,
}

impl Severity {
    /// All levels, worst first.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// The level of a syslog code, 0 to 7.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The level as one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Alert => "alert",
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Informational => "informational",
            Self::Debug => "debug",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not a severity", text.escape_default()))
                .advise("use emergency, alert, critical, error, warning, notice, informational or debug")
        })
    }
}

/// One line of a device's log. Several records of a device may share an instant: all are kept, in the order written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Which device wrote it.
    pub device: DeviceId,
    /// When.
    pub time: Timestamp,
    /// How severe it is.
    pub severity: Severity,
    /// The program or component that wrote it; may be empty.
    pub source: String,
    /// The message, at most 16 KiB.
    pub message: String,
    /// Structured fields.
    pub fields: Labels,
}

/// A log record inside the store: by handle, with its place in the order of all records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLog {
    /// The device.
    pub device: DeviceHandle,
    /// When, in nanoseconds since the epoch.
    pub time: i64,
    /// The commit, and the place in it: the order of the records of one instant.
    pub order: (u64, u32),
    /// How severe it is.
    pub severity: Severity,
    /// The program or component that wrote it; may be empty.
    pub source: Arc<str>,
    /// The message.
    pub message: Arc<str>,
    /// Structured fields, sorted by name.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
}
