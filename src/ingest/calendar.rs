//! Dates and times of day as text.
//!
//! Guarantees: strict, allocates nothing; digits beyond nanoseconds are dropped; a leap second reads as the first instant of
//! the next one.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use crate::time::{DAY_NS, SECOND_NS, Timestamp};

pub(super) enum Calendar {
    /// With an offset: an instant, or `None` where it can not be held.
    Instant(Option<Timestamp>),
    /// Without one.
    Local(NaiveDateTime),
    /// A date alone.
    Date(NaiveDate),
}

/// `2015-01-01`, `2015-01-01 06:00`, `2015-01-01T06:00:00.5+01:00`. Strict; `None` for anything else.
pub(super) fn calendar(text: &str) -> Option<Calendar> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(digits(&bytes[..4])? as i32, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let Some((separator, clock)) = bytes[10..].split_first() else {
        return Some(Calendar::Date(date));
    };
    if !matches!(separator, b'T' | b't' | b' ') || clock.len() < 5 || clock[2] != b':' {
        return None;
    }
    let (hour, minute) = (digits(&clock[..2])?, digits(&clock[3..5])?);
    let mut rest = &clock[5..];
    let (mut second, mut nanosecond) = (0, 0);
    if let [b':', tens, ones, behind @ ..] = rest {
        second = digits(&[*tens, *ones])?;
        rest = behind;
        if let [b'.' | b',', fraction @ ..] = rest {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            // Digits beyond nanoseconds are dropped.
            for place in 0..9 {
                nanosecond = nanosecond * 10 + fraction[..length].get(place).map_or(0, |digit| u32::from(digit - b'0'));
            }
            rest = &fraction[length..];
        }
    }
    // A leap second reads as the first instant of the next one.
    let leap = second == 60;
    let time = NaiveTime::from_hms_nano_opt(
        hour,
        minute,
        if leap { 59 } else { second },
        if leap { 999_999_999 } else { nanosecond },
    )?;
    let mut local = date.and_time(time);
    if leap {
        local = local.checked_add_signed(chrono::TimeDelta::nanoseconds(1))?;
    }
    if rest.is_empty() {
        return Some(Calendar::Local(local));
    }
    let offset_s = offset(rest)?;
    Some(Calendar::Instant(nanoseconds_of(local, offset_s)))
}

fn nanoseconds_of(local: NaiveDateTime, offset_s: i64) -> Option<Timestamp> {
    let days = i64::from(local.date().num_days_from_ce()) - 719_163;
    let second_of_day = i64::from(local.time().num_seconds_from_midnight()) - offset_s;
    let total = i128::from(days) * i128::from(DAY_NS)
        + i128::from(second_of_day) * i128::from(SECOND_NS)
        + i128::from(local.time().nanosecond());
    i64::try_from(total).ok().map(Timestamp::from_nanoseconds)
}

/// `Z`, `+01:00`, `+0100` or `+01`, in seconds.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, clock) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', clock @ ..] => (1, clock),
        [b'-', clock @ ..] => (-1, clock),
        _ => return None,
    };
    let (hours, minutes) = match clock {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?),
        [h1, h2] => (digits(&[*h1, *h2])?, 0),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}
