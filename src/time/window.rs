//! Windows: how a query partitions time. (Storage is partitioned by [`super::TimeBucket`].)
//!
//! Guarantees: every instant lies in exactly one window; windows follow each other without a gap. Fixed windows align to the
//! epoch; days, weeks (from Monday), months and years are those of a calendar, in UTC or a named zone, so that a day with a
//! change of clocks has 23 or 25 hours. A local day begins at the first instant at which the zone's calendar shows it or a later
//! day: a day that a zone skips (Samoa, 2011-12-30) has no window, and an hour that is repeated after a midnight
//! (Newfoundland until 2011) stays with the day that had begun.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Tz;

use crate::error::{Error, ErrorKind, Result};

use super::{DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};

/// A partition of time.
///
/// ```
/// use fleetlog::{Timestamp, Window};
/// let berlin = Window::DAY.in_zone("Europe/Berlin")?;
/// let noon = Timestamp::parse("2025-03-30T12:00:00Z")?; // clocks went forward that night
/// let start = berlin.start_of(noon);
/// assert_eq!(start.to_string(), "2025-03-29T23:00:00Z");
/// assert_eq!(berlin.end_of(start).to_string(), "2025-03-30T22:00:00Z");
/// # Ok::<(), fleetlog::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    kind: Kind,
    zone: Tz,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Fixed(i64),
    Days(u32),
    Weeks(u32),
    Months(u32),
}

impl Window {
    /// An hour.
    pub const HOUR: Self = Self { kind: Kind::Fixed(HOUR_NS), zone: Tz::UTC };
    /// A calendar day.
    pub const DAY: Self = Self { kind: Kind::Days(1), zone: Tz::UTC };
    /// A calendar week, from Monday.
    pub const WEEK: Self = Self { kind: Kind::Weeks(1), zone: Tz::UTC };
    /// A calendar month.
    pub const MONTH: Self = Self { kind: Kind::Months(1), zone: Tz::UTC };
    /// A calendar year.
    pub const YEAR: Self = Self { kind: Kind::Months(12), zone: Tz::UTC };

    /// A window of so many nanoseconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless it is positive.
    pub fn fixed(nanoseconds: i64) -> Result<Self> {
        if nanoseconds <= 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "a window must be longer than nothing"));
        }
        Ok(Self { kind: Kind::Fixed(nanoseconds), zone: Tz::UTC })
    }

    /// The same window by the calendar of a zone, named as in the IANA database (`Europe/Berlin`). Fixed windows stay.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is not there.
    pub fn in_zone(self, zone: &str) -> Result<Self> {
        let zone = zone.parse::<Tz>().map_err(|_| {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not a time zone", zone.escape_default()))
                .advise("use a name of the IANA database, as Europe/Berlin")
        })?;
        Ok(Self { kind: self.kind, zone })
    }

    /// The length of a fixed window, in nanoseconds.
    #[must_use]
    pub fn fixed_ns(self) -> Option<i64> {
        match self.kind {
            Kind::Fixed(length) => Some(length),
            _ => None,
        }
    }

    /// The start of the window that holds an instant, cut at what a [`Timestamp`] can hold.
    #[must_use]
    pub fn start_of(self, at: Timestamp) -> Timestamp {
        if let Some(length) = self.length() {
            let start = at.nanoseconds().div_euclid(length).checked_mul(length);
            return Timestamp::from_nanoseconds(start.unwrap_or(i64::MIN));
        }
        let mut start = self.local_start(self.first_day(self.local_day(at))).unwrap_or(Timestamp::MIN);
        // Where clocks went back over a midnight, the calendar shows the day before once more: the next day has begun.
        let mut next = if self.zone == Tz::UTC { Timestamp::MAX } else { self.end_of(start) };
        while start < next && next <= at && next < Timestamp::MAX {
            start = next;
            next = self.end_of(start);
        }
        start
    }

    /// The end of a window by its start: the start of the next.
    #[must_use]
    pub fn end_of(self, start: Timestamp) -> Timestamp {
        if let Some(length) = self.length() {
            // The first window may be cut at its start.
            let next = start.nanoseconds().div_euclid(length).checked_add(1);
            let end = next.and_then(|next| next.checked_mul(length));
            return Timestamp::from_nanoseconds(end.unwrap_or(i64::MAX));
        }
        let first = self.first_day(self.local_day(start));
        let next = match self.kind {
            Kind::Days(days) => first.checked_add_days(Days::new(u64::from(days))),
            Kind::Weeks(weeks) => first.checked_add_days(Days::new(u64::from(weeks) * 7)),
            Kind::Months(months) => first.checked_add_months(Months::new(months)),
            Kind::Fixed(_) => None,
        };
        next.and_then(|next| self.local_start(next)).unwrap_or(Timestamp::MAX)
    }

    /// The window that holds an instant: its start, and its end.
    pub(crate) fn bounds_of(self, at: Timestamp) -> (Timestamp, Timestamp) {
        if let Some(length) = self.length()
            && let Some(start) = at.nanoseconds().div_euclid(length).checked_mul(length)
            && let Some(end) = start.checked_add(length)
        {
            return (Timestamp::from_nanoseconds(start), Timestamp::from_nanoseconds(end));
        }
        let start = self.start_of(at);
        (start, self.end_of(start))
    }

    /// The length of windows that are all as long and begin at the epoch, in nanoseconds: days of UTC are such.
    fn length(self) -> Option<i64> {
        match self.kind {
            Kind::Fixed(length) => Some(length),
            Kind::Days(days) if self.zone == Tz::UTC => i64::from(days).checked_mul(DAY_NS),
            _ => None,
        }
    }

    /// The first day of the window that holds a day.
    fn first_day(self, day: NaiveDate) -> NaiveDate {
        let since_epoch = i64::from(day.num_days_from_ce()) - 719_163;
        let back = |days: i64| day.checked_sub_days(Days::new(days.unsigned_abs())).unwrap_or(day);
        match self.kind {
            Kind::Fixed(_) => day,
            Kind::Days(days) => back(since_epoch.rem_euclid(i64::from(days))),
            // 1970-01-01 was a Thursday: the Monday before it is day -3.
            Kind::Weeks(weeks) => back((since_epoch + 3).rem_euclid(7 * i64::from(weeks))),
            Kind::Months(months) => {
                let number = day.year() * 12 + day.month0() as i32;
                let first = number - number.rem_euclid(months as i32);
                NaiveDate::from_ymd_opt(first.div_euclid(12), first.rem_euclid(12) as u32 + 1, 1).unwrap_or(day)
            }
        }
    }

    fn local_day(self, at: Timestamp) -> NaiveDate {
        DateTime::from_timestamp_nanos(at.nanoseconds()).with_timezone(&self.zone).date_naive()
    }

    /// The first instant at which the calendar shows a day or a later one: midnight, or what follows it where clocks skip midnight.
    fn local_start(self, day: NaiveDate) -> Option<Timestamp> {
        let midnight = day.and_time(NaiveTime::MIN);
        match self.zone.from_local_datetime(&midnight) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => {
                instant.timestamp_nanos_opt().map(Timestamp::from_nanoseconds)
            }
            // A zone is at most 16 hours from UTC, and skips at most a day.
            LocalResult::None => {
                let middle = midnight.and_utc().timestamp_nanos_opt()?;
                let (mut before, mut after) =
                    (middle.saturating_sub(MIDNIGHT_REACH_NS), middle.saturating_add(MIDNIGHT_REACH_NS));
                while after - before > 1 {
                    let between = before + (after - before) / 2;
                    if self.local_day(Timestamp::from_nanoseconds(between)) >= day {
                        after = between;
                    } else {
                        before = between;
                    }
                }
                Some(Timestamp::from_nanoseconds(after))
            }
        }
    }
}

/// How far from midnight in UTC a local day may begin.
const MIDNIGHT_REACH_NS: i64 = 44 * HOUR_NS;

/// Reads a duration as the command writes it: a number and `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`, `mo`, `y`. Without a date a
/// month counts as 30 days, and a year as 365.
///
/// # Errors
/// [`ErrorKind::InvalidInput`].
pub fn parse_duration_ns(text: &str) -> Result<i64> {
    match Window::from_str(text)?.kind {
        Kind::Fixed(length) => Ok(length),
        Kind::Days(days) => Ok(i64::from(days).saturating_mul(DAY_NS)),
        Kind::Weeks(weeks) => Ok((i64::from(weeks) * 7).saturating_mul(DAY_NS)),
        Kind::Months(months) => {
            let days = i64::from(months / 12) * 365 + i64::from(months % 12) * 30;
            days.checked_mul(DAY_NS).ok_or_else(|| {
                Error::new(ErrorKind::InvalidInput, format!("'{text}' is longer than time can be stored"))
                    .advise("at most 292y")
            })
        }
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not a duration", text.escape_default()))
                .advise("write a number and a unit: 30s, 5m, 1h, 1d, 1w, 1mo, 1y")
        };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        let fixed = |unit: i64| i64::from(number).checked_mul(unit).map(Kind::Fixed).ok_or_else(wrong);
        let kind = match &text[digits.len()..] {
            "ns" => fixed(1)?,
            "us" => fixed(1_000)?,
            "ms" => fixed(1_000_000)?,
            "s" => fixed(SECOND_NS)?,
            "m" => fixed(MINUTE_NS)?,
            "h" => fixed(HOUR_NS)?,
            "d" => Kind::Days(number),
            "w" => Kind::Weeks(number),
            "mo" => Kind::Months(number),
            "y" => Kind::Months(number.checked_mul(12).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        };
        let limit = 1_200_000;
        match kind {
            Kind::Fixed(0) | Kind::Days(0) | Kind::Weeks(0) | Kind::Months(0) => {
                Err(Error::new(ErrorKind::InvalidInput, format!("'{}' lasts no time", text.escape_default()))
                    .advise("write a duration above zero: 30s, 5m, 1h, 1d, 1w, 1mo, 1y"))
            }
            Kind::Days(n) | Kind::Weeks(n) | Kind::Months(n) if n > limit => Err(wrong()),
            kind => Ok(Self { kind, zone: Tz::UTC }),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Fixed(length) => write!(f, "{length}ns"),
            Kind::Days(days) => write!(f, "{days}d"),
            Kind::Weeks(weeks) => write!(f, "{weeks}w"),
            Kind::Months(months) => write!(f, "{months}mo"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn calendars_and_zones() {
        for (window, zone, instant, start, end) in [
            ("1d", "UTC", "2025-06-15T13:00:00Z", "2025-06-15", "2025-06-16"),
            ("1w", "UTC", "2025-06-15T13:00:00Z", "2025-06-09", "2025-06-16"),
            ("1mo", "UTC", "2024-02-29T13:00:00Z", "2024-02-01", "2024-03-01"),
            ("1y", "UTC", "2024-02-29T13:00:00Z", "2024-01-01", "2025-01-01"),
            ("15m", "UTC", "2024-02-29T13:14:59Z", "2024-02-29T13:00:00Z", "2024-02-29T13:15:00Z"),
            ("1d", "America/New_York", "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),
            ("1mo", "Asia/Kolkata", "2025-01-31T20:00:00Z", "2025-01-31T18:30:00Z", "2025-02-28T18:30:00Z"),
            // Midnight of this day did not happen in Beirut.
            ("1d", "Asia/Beirut", "2024-03-31T10:00:00Z", "2024-03-30T22:00:00Z", "2024-03-31T21:00:00Z"),
        ] {
            let window: Window = window.parse::<Window>().unwrap().in_zone(zone).unwrap();
            let found = window.start_of(at(instant));
            assert_eq!((found, window.end_of(found)), (at(start), at(end)), "{window} in {zone} at {instant}");
        }
        for wrong in ["", "d", "0s", "1.5h", "-1d", "3x", "99999999999y"] {
            assert!(wrong.parse::<Window>().is_err(), "{wrong}");
        }
        assert!(Window::DAY.in_zone("Mars/Olympus").is_err());
    }

    #[test]
    fn days_that_zones_skip_cut_or_repeat() {
        for (zone, instants) in [
            // Samoa went from the 29th to the 31st at midnight.
            ("Pacific/Apia", &["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"][..]),
            // Nepal moved its clocks by a quarter of an hour at midnight: the day begins at 00:15.
            ("Asia/Kathmandu", &["1985-12-30T18:30:00Z", "1985-12-31T18:30:00Z", "1986-01-01T18:15:00Z"]),
            // Newfoundland went back at 00:01, to 23:01 of the day before: the day begins at the first midnight.
            ("America/St_Johns", &["2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"]),
        ] {
            let day = Window::DAY.in_zone(zone).unwrap();
            for pair in instants.windows(2) {
                let (start, end) = (at(pair[0]), at(pair[1]));
                assert_eq!(day.end_of(start), end, "{zone} from {start}");
                let mut inside = start;
                while inside < end {
                    assert_eq!(day.start_of(inside), start, "{zone} at {inside}");
                    inside = Timestamp::from_nanoseconds(inside.nanoseconds() + 7 * MINUTE_NS);
                }
                assert_eq!(day.start_of(Timestamp::from_nanoseconds(end.nanoseconds() - 1)), start);
            }
        }
        let ns = |text: &str| parse_duration_ns(text).unwrap() / super::DAY_NS;
        assert_eq!([ns("1mo"), ns("1y"), ns("18mo"), ns("2w")], [30, 365, 545, 14]);
        assert!(parse_duration_ns("400y").is_err());
    }

    /// Instants just before and after each change of a zone's clocks in a span of years, found by its offset.
    fn changes(zone: Tz, years: std::ops::Range<i64>) -> Vec<i64> {
        use chrono::Offset;
        let offset = |at: i64| DateTime::from_timestamp_nanos(at).with_timezone(&zone).offset().fix().local_minus_utc();
        let step = 5 * super::DAY_NS;
        let mut found = Vec::new();
        let mut before = years.start * 365 * super::DAY_NS;
        while before < years.end * 365 * super::DAY_NS {
            let (mut low, mut high) = (before, before + step);
            if offset(low) != offset(high) {
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if offset(middle) == offset(low) { low = middle } else { high = middle }
                }
                found.push(high);
            }
            before += step;
        }
        found
    }

    #[test]
    fn windows_tile_time_around_every_change_of_clocks() {
        let zones = [
            "Pacific/Apia",
            "Pacific/Kwajalein",
            "Pacific/Enderbury",
            "Asia/Kathmandu",
            "America/St_Johns",
            "America/Sao_Paulo",
            "America/Juneau",
            "Asia/Manila",
            "Africa/Cairo",
            "Asia/Beirut",
            "Antarctica/Casey",
            "Australia/Lord_Howe",
            "Europe/Dublin",
            "Atlantic/Azores",
        ];
        let windows = ["1d", "2d", "1w", "1mo", "1y"];
        for name in zones {
            let zone: Tz = name.parse().unwrap();
            let mut edges = changes(zone, -70..67);
            assert!(edges.len() > 1, "{name}");
            edges.dedup();
            for edge in edges {
                for hours in [-49, -25, -24, -2, -1, 0, 1, 2, 23, 24, 25, 49] {
                    for aside in [-1, 0, 61_000_000_000] {
                        let instant = Timestamp::from_nanoseconds(edge + hours * HOUR_NS + aside);
                        for window in windows {
                            let window: Window = window.parse::<Window>().unwrap().in_zone(name).unwrap();
                            let start = window.start_of(instant);
                            let end = window.end_of(start);
                            assert!(start <= instant && instant < end, "{window} in {name}: {start} {instant} {end}");
                            assert_eq!(window.start_of(start), start, "{window} in {name} at {instant}");
                            let last = Timestamp::from_nanoseconds(end.nanoseconds() - 1);
                            assert_eq!(window.start_of(last), start, "{window} in {name} at {instant}");
                            assert_eq!(window.start_of(end), end, "{window} in {name} at {instant}");
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_one_window(
            instant in -9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000,
            window in prop::sample::select(vec!["7s", "13h", "1d", "3d", "1w", "1mo", "5mo", "1y"]),
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"]),
        ) {
            let window: Window = window.parse::<Window>().unwrap().in_zone(zone).unwrap();
            let instant = Timestamp::from_nanoseconds(instant);
            let start = window.start_of(instant);
            let end = window.end_of(start);
            prop_assert!(start <= instant && instant < end, "{start} {instant} {end}");
            prop_assert_eq!(window.start_of(start), start);
            prop_assert_eq!(window.start_of(end), end);
        }
    }
}
