//! Instants, ranges and storage buckets: plain integers inside, `chrono` only at the edges.
//!
//! Guarantees: an instant is an `i64` of nanoseconds since 1970-01-01T00:00:00Z (1677 to 2262); ranges are half open;
//! every instant lies in exactly one bucket of each width. Nothing here reads a clock: the clock comes in by
//! [`Clock`].

mod window;

pub use window::{Window, parse_duration_ns};

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Nanoseconds in a second.
pub const SECOND_NS: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const MINUTE_NS: i64 = 60 * SECOND_NS;
/// Nanoseconds in an hour.
pub const HOUR_NS: i64 = 60 * MINUTE_NS;
/// Nanoseconds in a UTC day.
pub const DAY_NS: i64 = 24 * HOUR_NS;

/// An instant: nanoseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use fleetlog::Timestamp;
/// let at = Timestamp::parse("2025-06-15T00:00:00Z")?;
/// assert_eq!(at, Timestamp::from_nanoseconds(1_749_945_600_000_000_000));
/// assert_eq!(at.to_string(), "2025-06-15T00:00:00Z");
/// assert_eq!(Timestamp::parse("1735689600s")?.to_string(), "2025-01-01T00:00:00Z");
/// # Ok::<(), fleetlog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant that can be stored, in 1677.
    pub const MIN: Self = Self(i64::MIN);
    /// The last instant that can be stored, in 2262.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant so many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// The instant so many milliseconds after the epoch, or `None` outside 1677 to 2262.
    #[must_use]
    pub fn from_milliseconds(milliseconds: i64) -> Option<Self> {
        milliseconds.checked_mul(1_000_000).map(Self)
    }

    /// The instant so many seconds after the epoch, or `None` outside 1677 to 2262.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        seconds.checked_mul(SECOND_NS).map(Self)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, a date, or an epoch number with its unit (`s`, `ms`, `us`, `ns`).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the text is none of these, or lies outside 1677 to 2262.
    pub fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let wrong = |what: &str| Error::new(ErrorKind::InvalidInput, format!("'{}' {what}", text.escape_debug()));
        match parse_epoch(trimmed).or_else(|| parse_calendar(trimmed)) {
            Some(Some(at)) => Ok(at),
            Some(None) => {
                let (first, last) = (Self::MIN, Self::MAX);
                Err(wrong("lies outside the times that can be stored").advise(format!("use {first} to {last}")))
            }
            None => Err(wrong("is not a time").advise(
                "write RFC 3339 (2025-06-15T00:00:00Z), a date, or an epoch number with its unit (1735689600s, ...ms, ...us, ...ns)",
            )),
        }
    }
}

/// The instant of a text that is an epoch number; the inner `None` where it can not be stored.
fn parse_epoch(text: &str) -> Option<Option<Timestamp>> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale: i64 = match &text[digits.len()..] {
        "s" => SECOND_NS,
        "ms" => 1_000_000,
        "us" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let unsigned = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    let is_number = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<i64>().ok()?.checked_mul(scale).map(Timestamp))
}

/// The instant of a text that is a date or RFC 3339; the inner `None` where it can not be stored.
fn parse_calendar(text: &str) -> Option<Option<Timestamp>> {
    let instant = match DateTime::parse_from_rfc3339(text) {
        Ok(instant) => instant.timestamp_nanos_opt(),
        Err(_) => {
            NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()
        }
    };
    Some(instant.map(Timestamp))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&DateTime::from_timestamp_nanos(self.0).to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// A half-open range of instants: `from` is in it, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first instant in the range.
    pub from: Timestamp,
    /// The first instant after the range. [`Timestamp::MAX`] stands for "no end" and is itself in the range.
    pub to: Timestamp,
}

impl TimeRange {
    /// All instants.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// The range between two instants; empty where `to` is not after `from`.
    #[must_use]
    pub const fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to }
    }

    /// Whether no instant lies in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.from > self.to || (self.from == self.to && self.to != Timestamp::MAX)
    }

    /// Whether the instant lies in it.
    #[must_use]
    pub fn contains(self, at: Timestamp) -> bool {
        self.from <= at && (at < self.to || self.to == Timestamp::MAX)
    }

    /// Whether it holds every instant from `first` to `last`, both included.
    #[must_use]
    pub fn covers(self, first: Timestamp, last: Timestamp) -> bool {
        self.contains(first) && self.contains(last)
    }

    /// Whether it holds any instant from `first` to `last`, both included.
    #[must_use]
    pub fn touches(self, first: Timestamp, last: Timestamp) -> bool {
        !self.is_empty() && self.from <= last && (first < self.to || self.to == Timestamp::MAX)
    }

    /// Cuts it where things that reach into it begin, each given by its first instant and how much it holds, so that what begins in
    /// a part holds at most `most` together, or is one thing. Parts follow each other and are the range together.
    #[must_use]
    pub fn cut_at_starts(self, mut things: Vec<(i64, usize)>, most: usize) -> Vec<Self> {
        things.sort_unstable();
        let (mut parts, mut from, mut held) = (Vec::new(), self.from, 0);
        for (first, more) in things {
            let first = Timestamp::from_nanoseconds(first);
            if held > 0 && held + more > most && first > from {
                parts.push(Self::new(from, first));
                (from, held) = (first, 0);
            }
            held += more;
        }
        parts.push(Self::new(from, self.to));
        parts
    }

    /// The instants in both.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), to: self.to.min(other.to) }
    }
}

/// How wide a storage bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BucketWidth {
    /// A UTC day: what a seal writes.
    Day,
    /// A UTC month: what compaction makes of days.
    Month,
}

/// A partition of storage: one UTC day or one UTC month. (A partition of a query is a [`Window`].)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeBucket {
    /// Day or month.
    pub width: BucketWidth,
    /// Days since 1970-01-01, or months since January 1970; negative before.
    pub number: i32,
}

impl TimeBucket {
    /// The bucket of a width that holds the instant.
    #[must_use]
    pub fn containing(width: BucketWidth, at: Timestamp) -> Self {
        let number = match width {
            // i64 nanoseconds reach 106,752 days either way.
            BucketWidth::Day => at.0.div_euclid(DAY_NS) as i32,
            BucketWidth::Month => {
                let date = DateTime::from_timestamp_nanos(at.0).date_naive();
                (date.year() - 1970) * 12 + date.month0() as i32
            }
        };
        Self { width, number }
    }

    /// The instants of the bucket, cut at what a [`Timestamp`] can hold.
    #[must_use]
    pub fn range(self) -> TimeRange {
        let start = |number: i32| -> Timestamp {
            match self.width {
                BucketWidth::Day => Timestamp(i64::from(number).saturating_mul(DAY_NS)),
                BucketWidth::Month => month_start(number),
            }
        };
        TimeRange::new(start(self.number), start(self.number.saturating_add(1)))
    }
}

fn month_start(number: i32) -> Timestamp {
    let (year, month) = (1970 + number.div_euclid(12), number.rem_euclid(12) as u32 + 1);
    NaiveDate::from_ymd_opt(year, month, 1)
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .and_then(|start| start.and_utc().timestamp_nanos_opt())
        .map_or(if number < 0 { Timestamp::MIN } else { Timestamp::MAX }, Timestamp)
}

impl fmt::Display for TimeBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width {
            BucketWidth::Day => {
                let start = DateTime::from_timestamp_nanos(self.range().from.0.max(i64::MIN + DAY_NS));
                write!(f, "{}", start.format("%Y-%m-%d"))
            }
            BucketWidth::Month => {
                write!(f, "{:04}-{:02}", 1970 + self.number.div_euclid(12), self.number.rem_euclid(12) + 1)
            }
        }
    }
}

/// Where the present comes from: the system's clock, or a test's.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A shared clock, as `Options` hold it.
pub type SharedClock = Arc<dyn Clock>;
