//! Times in text and numbers.
//!
//! The rule: with a format, the text must match it (chrono's strftime; a date alone is its first instant, minutes and seconds
//! that it does not name are 0). With a unit, a number is so many units since the epoch, decimals included. Otherwise RFC 3339, `2015-01-01 06:00:00` (a `T` or a blank,
//! seconds and decimals may be absent), a date, or an epoch number with its unit (`1735689600s`); a bare number is refused
//! rather than guessed. A time without an offset is one of the input zone; one that the zone skips (summer time begins) is
//! refused, one that it has twice (summer time ends) is refused unless [`AmbiguousTime`] says which is meant. A date is its first
//! instant in the zone, also where the clocks skip midnight or have it twice. A field that is a time already (Parquet) is taken as
//! it is.

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::calendar::{Calendar, calendar};
use super::{Field, excerpt};
use crate::error::{Error, ErrorKind, Result};
use crate::time::{DAY_NS, SECOND_NS, Timestamp};

/// The unit of a time that is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// Microseconds since the epoch.
    Microseconds,
    /// Nanoseconds since the epoch.
    Nanoseconds,
}

impl TimeUnit {
    /// Nanoseconds in the unit.
    #[must_use]
    pub fn nanoseconds(self) -> i64 {
        match self {
            Self::Seconds => SECOND_NS,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

impl std::str::FromStr for TimeUnit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" => Ok(Self::Microseconds),
            "ns" => Ok(Self::Nanoseconds),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("{} is not a unit of time", excerpt(text)))
                .advise("use s, ms, us or ns")),
        }
    }
}

/// What a local time means that the zone has twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmbiguousTime {
    /// It is refused.
    #[default]
    Reject,
    /// The earlier instant (still summer time).
    Earlier,
    /// The later instant.
    Later,
}

impl std::str::FromStr for AmbiguousTime {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "reject" => Ok(Self::Reject),
            "earlier" => Ok(Self::Earlier),
            "later" => Ok(Self::Later),
            _ => Err(Error::new(ErrorKind::InvalidInput, format!("{} is not what a time can mean", excerpt(text)))
                .advise("use reject, earlier or later")),
        }
    }
}

/// Reads times by one rule for a whole file.
#[derive(Debug, Clone)]
pub struct TimeReader {
    format: Option<Vec<Item<'static>>>,
    unit: Option<TimeUnit>,
    zone: Tz,
    ambiguous: AmbiguousTime,
}

impl Default for TimeReader {
    fn default() -> Self {
        Self { format: None, unit: None, zone: Tz::UTC, ambiguous: AmbiguousTime::Reject }
    }
}

impl TimeReader {
    /// A reader by format or unit (or neither), with the zone of times that name no offset.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for both a format and a unit, an unknown zone or a wrong format.
    pub fn new(
        format: Option<&str>,
        unit: Option<TimeUnit>,
        zone: Option<&str>,
        ambiguous: AmbiguousTime,
    ) -> Result<Self> {
        if format.is_some() && unit.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, "both a time format and a time unit are given")
                .advise("give the format of text or the unit of numbers"));
        }
        let zone = match zone {
            None => Tz::UTC,
            Some(name) => name.parse().map_err(|_| {
                Error::new(ErrorKind::InvalidInput, format!("{} is not a known time zone", excerpt(name)))
                    .advise("use a name like Europe/Paris")
            })?,
        };
        let format = match format {
            None => None,
            Some(text) => Some(StrftimeItems::new(text).parse_to_owned().map_err(|_| {
                Error::new(ErrorKind::InvalidInput, format!("{} is not a time format", excerpt(text)))
                    .advise("use strftime's letters, as in %d/%m/%Y %H:%M")
            })?),
        };
        Ok(Self { format, unit, zone, ambiguous })
    }

    /// The same reader with a unit for numbers, where it has neither unit nor format.
    #[must_use]
    pub fn or_unit(mut self, unit: TimeUnit) -> Self {
        if self.format.is_none() {
            self.unit.get_or_insert(unit);
        }
        self
    }

    /// The unit of numbers, where one was given.
    #[must_use]
    pub fn unit(&self) -> Option<TimeUnit> {
        self.unit
    }

    /// Whether times without an offset are UTC.
    #[must_use]
    pub fn zone_is_utc(&self) -> bool {
        self.zone == Tz::UTC
    }

    /// The instant of a local time of the zone, given as if it were UTC.
    ///
    /// # Errors
    /// The reason why there is none, or not one.
    pub fn localize_nanoseconds(&self, local: i64) -> std::result::Result<Timestamp, String> {
        let local = chrono::DateTime::from_timestamp_nanos(local).naive_utc();
        self.localize(local, &local.to_string())
    }

    /// The first instant of a day of the zone, given as a number of days since the epoch.
    ///
    /// # Errors
    /// The reason why there is none.
    pub fn localize_day(&self, days: i64) -> std::result::Result<Timestamp, String> {
        let date = chrono::TimeDelta::try_days(days).and_then(|days| NaiveDate::default().checked_add_signed(days));
        let date = date.ok_or_else(|| out_of_range(&format!("day {days}")))?;
        self.first_instant(date, &date.to_string())
    }

    /// Reads a field.
    ///
    /// # Errors
    /// The reason why it is not a time, as a sentence without a full stop.
    pub fn read(&self, field: Field<'_>) -> std::result::Result<Timestamp, String> {
        match field {
            Field::Missing => Err("the time is missing".to_owned()),
            Field::Open(text) | Field::Text(text) => self.read_text(text.trim()),
            Field::Integer(value) if self.format.is_none() => match self.unit {
                Some(unit) => value
                    .checked_mul(unit.nanoseconds())
                    .map(Timestamp::from_nanoseconds)
                    .ok_or_else(|| out_of_range(&value.to_string())),
                None => Err(needs_unit(&value.to_string())),
            },
            Field::Integer(value) => self.read_text(&value.to_string()),
            Field::Float(value) => self.read_text(&value.to_string()),
            // What is a time already is taken as it is, whatever the format of texts and the unit of numbers.
            Field::Instant(nanoseconds) => Ok(Timestamp::from_nanoseconds(nanoseconds)),
            Field::LocalTime(nanoseconds) => self.localize_nanoseconds(nanoseconds),
            Field::Date(days) => self.localize_day(days),
            Field::Boolean(value) => Err(format!("the time is {value}")),
            Field::List => Err("the time is a list".to_owned()),
        }
    }

    /// Reads a text without blanks around it.
    fn read_text(&self, text: &str) -> std::result::Result<Timestamp, String> {
        if text.is_empty() {
            return Err("the time is missing".to_owned());
        }
        if let Some(items) = &self.format {
            return self.read_format(text, items);
        }
        if let Some(unit) = self.unit
            && let Some(read) = decimal_epoch(text, unit)
        {
            return read.ok_or_else(|| out_of_range(text));
        }
        match calendar(text) {
            Some(Calendar::Instant(instant)) => instant.ok_or_else(|| out_of_range(text)),
            Some(Calendar::Local(local)) => self.localize(local, text),
            Some(Calendar::Date(date)) => self.first_instant(date, text),
            None => match Timestamp::parse(text) {
                Ok(instant) => Ok(instant),
                Err(_) if text.parse::<f64>().is_ok() => Err(needs_unit(text)),
                Err(_) => Err(format!("{} is not a time", excerpt(text))),
            },
        }
    }

    fn read_format(&self, text: &str, items: &[Item<'static>]) -> std::result::Result<Timestamp, String> {
        let mismatch = || format!("{} does not match the time format", excerpt(text));
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, items.iter()).map_err(|_| mismatch())?;
        if parsed.offset().is_some() {
            let instant = parsed.to_datetime().map_err(|_| mismatch())?;
            return instant.timestamp_nanos_opt().map(Timestamp::from_nanoseconds).ok_or_else(|| out_of_range(text));
        }
        if parsed.timestamp().is_some() {
            let instant = parsed.to_naive_datetime_with_offset(0).map_err(|_| mismatch())?;
            return instant
                .and_utc()
                .timestamp_nanos_opt()
                .map(Timestamp::from_nanoseconds)
                .ok_or_else(|| out_of_range(text));
        }
        if parsed.hour_mod_12().is_none() && parsed.minute().is_none() {
            return self.first_instant(parsed.to_naive_date().map_err(|_| mismatch())?, text);
        }
        if parsed.minute().is_none() {
            parsed.set_minute(0).map_err(|_| mismatch())?;
        }
        self.localize(parsed.to_naive_datetime_with_offset(0).map_err(|_| mismatch())?, text)
    }

    fn first_instant(&self, date: NaiveDate, text: &str) -> std::result::Result<Timestamp, String> {
        let midnight = date.and_time(NaiveTime::MIN);
        if self.zone == Tz::UTC {
            return self.localize(midnight, text);
        }
        let instant = match self.zone.from_local_datetime(&midnight) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant,
            LocalResult::None => self
                .behind_the_gap(midnight)
                .filter(|instant| instant.date_naive() == date)
                .ok_or_else(|| skipped(text, self.zone))?,
        };
        instant.timestamp_nanos_opt().map(Timestamp::from_nanoseconds).ok_or_else(|| out_of_range(text))
    }

    /// The first instant whose local time is not before one that the zone skips.
    fn behind_the_gap(&self, skipped: NaiveDateTime) -> Option<chrono::DateTime<Tz>> {
        let local_at =
            |second: i64| chrono::DateTime::from_timestamp(second, 0).map(|instant| instant.with_timezone(&self.zone));
        let near = skipped.and_utc().timestamp();
        let day_s = DAY_NS / SECOND_NS;
        // Offsets stay below a day, and no zone changes its clocks twice in two days.
        let (mut before, mut behind) = (near - day_s, near + day_s);
        while behind - before > 1 {
            let middle = before.midpoint(behind);
            if local_at(middle)?.naive_local() < skipped {
                before = middle;
            } else {
                behind = middle;
            }
        }
        local_at(behind)
    }

    fn localize(&self, local: NaiveDateTime, text: &str) -> std::result::Result<Timestamp, String> {
        if self.zone == Tz::UTC {
            return local
                .and_utc()
                .timestamp_nanos_opt()
                .map(Timestamp::from_nanoseconds)
                .ok_or_else(|| out_of_range(text));
        }
        let instant = match (self.zone.from_local_datetime(&local), self.ambiguous) {
            (LocalResult::Single(instant), _) => instant,
            (LocalResult::None, _) => {
                return Err(skipped(text, self.zone));
            }
            (LocalResult::Ambiguous(..), AmbiguousTime::Reject) => {
                let zone = self.zone;
                return Err(format!(
                    "{} comes twice in {zone}: the clocks go back (--ambiguous-time says which is meant)",
                    excerpt(text)
                ));
            }
            (LocalResult::Ambiguous(earlier, _), AmbiguousTime::Earlier) => earlier,
            (LocalResult::Ambiguous(_, later), AmbiguousTime::Later) => later,
        };
        debug_assert!(instant.offset().fix().local_minus_utc().abs() <= 86_400, "offsets stay below a day");
        instant.timestamp_nanos_opt().map(Timestamp::from_nanoseconds).ok_or_else(|| out_of_range(text))
    }
}

fn skipped(text: &str, zone: Tz) -> String {
    format!("{} does not exist in {zone}: the clocks skip it", excerpt(text))
}

fn out_of_range(text: &str) -> String {
    format!("{} lies outside the years 1677 to 2262", excerpt(text))
}

fn needs_unit(text: &str) -> String {
    format!("the time {} is a number: its unit (s, ms, us, ns) must be named", excerpt(text))
}

/// A decimal number of units since the epoch; digits beyond nanoseconds are dropped. Outer `None`: not a number.
fn decimal_epoch(text: &str, unit: TimeUnit) -> Option<Option<Timestamp>> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        // An exponent (1.7e9) is read as a float.
        let value: f64 = text.parse().ok().filter(|_| text.bytes().all(|byte| b"+-.eE0123456789".contains(&byte)))?;
        let nanoseconds = value * unit.nanoseconds() as f64;
        return Some((nanoseconds.abs() < 9.2e18).then(|| Timestamp::from_nanoseconds(nanoseconds as i64)));
    }
    let scale = i128::from(unit.nanoseconds());
    let mut nanoseconds = match whole.parse::<i128>() {
        Ok(value) if value <= i128::from(i64::MAX) => value * scale,
        _ => return Some(None),
    };
    let mut place = scale;
    for digit in fraction.bytes() {
        place /= 10;
        nanoseconds += i128::from(digit - b'0') * place;
    }
    if negative {
        nanoseconds = -nanoseconds;
    }
    Some(i64::try_from(nanoseconds).ok().map(Timestamp::from_nanoseconds))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;

    fn reader(format: Option<&str>, unit: Option<&str>, zone: Option<&str>) -> TimeReader {
        let unit = unit.map(|unit| unit.parse().expect("a unit"));
        TimeReader::new(format, unit, zone, AmbiguousTime::Reject).expect("a reader")
    }

    fn shown(reader: &TimeReader, text: &str) -> String {
        reader.read(Field::Open(text)).map_or_else(|reason| format!("refused: {reason}"), |at| at.to_string())
    }

    #[test]
    fn common_forms() {
        let plain = reader(None, None, None);
        for (text, expected) in [
            ("2015-01-01 06:00:00", "2015-01-01T06:00:00Z"),
            (" 2015-01-01T06:00:00.25Z ", "2015-01-01T06:00:00.250Z"),
            ("2015-01-01T06:00:00+01:30", "2015-01-01T04:30:00Z"),
            ("2015-01-01 06:00-0200", "2015-01-01T08:00:00Z"),
            ("2015-01-01", "2015-01-01T00:00:00Z"),
            ("1735689600s", "2025-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ] {
            assert_eq!(shown(&plain, text), expected, "{text}");
        }
        for text in [
            "",
            "1735689600",
            "23/01/2024 18:13",
            "2015-02-29",
            "2015-01-01T25:00",
            "2015-01-01x",
            "9999-01-01T00:00:00Z",
            "yesterday",
        ] {
            assert!(shown(&plain, text).starts_with("refused"), "{text}");
        }
    }

    #[test]
    fn formats_and_zones() {
        let format = reader(Some("%d/%m/%Y %H:%M"), None, Some("Europe/Paris"));
        assert_eq!(shown(&format, "23/01/2024 18:13"), "2024-01-23T17:13:00Z");
        // Paris: 2024-03-31 02:30 is skipped, 2024-10-27 02:30 comes twice.
        assert!(shown(&format, "31/03/2024 02:30").contains("skip"));
        assert!(shown(&format, "27/10/2024 02:30").contains("twice"));
        let later = TimeReader::new(Some("%d/%m/%Y %H:%M"), None, Some("Europe/Paris"), AmbiguousTime::Later)
            .expect("a reader");
        assert_eq!(shown(&later, "27/10/2024 02:30"), "2024-10-27T01:30:00Z");
        assert_eq!(shown(&reader(Some("%Y%m%d"), None, None), "20240123"), "2024-01-23T00:00:00Z");
        assert_eq!(shown(&reader(Some("%s"), None, Some("Europe/Paris")), "1735689600"), "2025-01-01T00:00:00Z");
        assert_eq!(
            shown(&reader(Some("%Y-%m-%dT%H:%M:%S%z"), None, Some("Europe/Paris")), "2024-01-23T00:00:00+0000"),
            "2024-01-23T00:00:00Z"
        );
        assert!(TimeReader::new(Some("%!"), None, None, AmbiguousTime::Reject).is_err());
        assert!(TimeReader::new(None, None, Some("Mars/Base"), AmbiguousTime::Reject).is_err());
    }

    #[test]
    fn a_date_is_its_first_instant_and_missing_minutes_are_0() {
        // Havana: 2024-03-10 begins at 01:00 (UTC-4); 2024-11-03 00:00 to 01:00 comes twice, first in UTC-4.
        let havana = reader(None, None, Some("America/Havana"));
        assert_eq!(shown(&havana, "2024-03-10"), "2024-03-10T05:00:00Z");
        assert_eq!(shown(&havana, "2024-11-03"), "2024-11-03T04:00:00Z");
        assert!(shown(&havana, "2024-03-10 00:30").contains("skip"));
        let by_format = reader(Some("%d.%m.%Y"), None, Some("America/Havana"));
        assert_eq!(shown(&by_format, "10.03.2024"), "2024-03-10T05:00:00Z");
        assert_eq!(havana.localize_day(19_792).map(|at| at.to_string()), Ok("2024-03-10T05:00:00Z".into()));
        // Apia never had 2011-12-30.
        assert!(shown(&reader(None, None, Some("Pacific/Apia")), "2011-12-30").contains("skip"));
        let hours = reader(Some("%Y-%m-%d %H"), None, Some("Europe/Paris"));
        assert_eq!(shown(&hours, "2024-01-23 18"), "2024-01-23T17:00:00Z");
        assert!(shown(&hours, "2024-01-23").starts_with("refused"));
    }

    #[test]
    fn epoch_numbers() {
        let seconds = reader(None, Some("s"), None);
        assert_eq!(shown(&seconds, "1735689600"), "2025-01-01T00:00:00Z");
        assert_eq!(shown(&seconds, "1735689600.123456789"), "2025-01-01T00:00:00.123456789Z");
        assert_eq!(shown(&seconds, "-0.5"), "1969-12-31T23:59:59.500Z");
        assert_eq!(shown(&seconds, "1.7356896e9"), "2025-01-01T00:00:00Z");
        assert!(shown(&seconds, "99999999999999").starts_with("refused"));
        let milliseconds = reader(None, Some("ms"), None);
        assert_eq!(
            milliseconds.read(Field::Integer(1_735_689_600_000)).map(|at| at.to_string()),
            Ok("2025-01-01T00:00:00Z".into())
        );
        assert!(reader(None, None, None).read(Field::Integer(5)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}", form in 0..3_usize) {
            let reader = [reader(None, None, Some("Europe/Paris")), reader(None, Some("us"), None), reader(Some("%d/%m/%y %I:%M %p"), None, None)][form].clone();
            let _ = reader.read(Field::Open(&text));
        }

        /// Law: what chrono prints is read back, with any offset.
        #[test]
        fn agrees_with_chrono(nanoseconds: i64, offset_minutes in -1439_i32..1439) {
            let zone = chrono::FixedOffset::east_opt(offset_minutes * 60).expect("a small offset");
            let instant = DateTime::from_timestamp_nanos(nanoseconds).with_timezone(&zone);
            let plain = reader(None, None, None);
            let text = instant.format("%Y-%m-%dT%H:%M:%S%.9f%:z").to_string();
            prop_assert_eq!(plain.read(Field::Open(&text)), Ok(Timestamp::from_nanoseconds(nanoseconds)));
            let (seconds, rest) = (nanoseconds.div_euclid(SECOND_NS), nanoseconds.rem_euclid(SECOND_NS));
            prop_assume!(seconds >= 0);
            let decimal = format!("{seconds}.{rest:09}");
            prop_assert_eq!(reader(None, Some("s"), None).read(Field::Open(&decimal)), Ok(Timestamp::from_nanoseconds(nanoseconds)));
        }
    }
}
