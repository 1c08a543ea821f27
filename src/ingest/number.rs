//! Numbers and booleans in text, by one strict rule.
//!
//! The rule: `true` and `false` (also `True`, `TRUE`, ...) are booleans; an optional sign with digits is an integer where 64
//! bits hold it; digits with a decimal mark or an exponent, and `nan`, `inf`, `infinity` in any case, are floats, and so are
//! integers that 64 bits do not hold and `-0`. A number beyond what a float holds is none, on either side: one that overflows to
//! infinity, and one that is not zero and would become zero ([`is_out_of_range`] tells them from other texts). Nothing else is a
//! number: no thousands separators, no hexadecimal, no underscore. Blanks around a number are ignored.

/// A number or boolean in the narrowest type that holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number, or one of the words for infinity and "not a number".
    Float(f64),
}

/// Reads a number or boolean, or `None` where the text is neither. `decimal` is the decimal mark: `b'.'` or `b','`.
///
/// ```
/// use fleetlog::ingest::{Number, parse_number};
/// assert_eq!(parse_number("41", b'.'), Some(Number::Integer(41)));
/// assert_eq!(parse_number("-8,5", b','), Some(Number::Float(-8.5)));
/// assert_eq!(parse_number("TRUE", b'.'), Some(Number::Boolean(true)));
/// assert_eq!(parse_number("2.4.1", b'.'), None);
/// ```
#[must_use]
pub fn parse_number(text: &str, decimal: u8) -> Option<Number> {
    let text = text.trim_ascii();
    let first = *text.as_bytes().first()?;
    if first.is_ascii_digit() || matches!(first, b'+' | b'-') || first == decimal {
        parse_digits(text, decimal)
    } else {
        parse_word(text)
    }
}

/// Whether the text is written as a number, but lies beyond what a 64-bit float holds: `1e999`, and `1e-400`, which is not zero.
///
/// ```
/// use fleetlog::ingest::is_out_of_range;
/// assert!(is_out_of_range("1e999", b'.') && is_out_of_range("-1e-400", b'.'));
/// assert!(!is_out_of_range("0e-400", b'.') && !is_out_of_range("5e-324", b'.') && !is_out_of_range("many", b'.'));
/// ```
#[must_use]
pub fn is_out_of_range(text: &str, decimal: u8) -> bool {
    let text = text.trim_ascii();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let begins = unsigned.as_bytes().first().is_some_and(|first| first.is_ascii_digit() || *first == decimal);
    // What has the form of a number but is none can only be too large or too small.
    let form = if decimal == b'.' { text.to_owned() } else { text.replacen(char::from(decimal), ".", 1) };
    begins
        && (decimal == b'.' || !text.contains('.'))
        && form.parse::<f64>().is_ok()
        && parse_number(text, decimal).is_none()
}

/// Whether the text says that there is no value, where a number is expected.
#[must_use]
pub fn is_missing_word(text: &str) -> bool {
    matches!(text.trim_ascii(), "" | "null" | "NULL" | "Null" | "NA" | "N/A" | "n/a" | "None" | "\\N")
}

fn parse_word(text: &str) -> Option<Number> {
    if text.eq_ignore_ascii_case("true") {
        return Some(Number::Boolean(true));
    }
    if text.eq_ignore_ascii_case("false") {
        return Some(Number::Boolean(false));
    }
    float_word(text).map(Number::Float)
}

fn float_word(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("nan") {
        Some(f64::NAN)
    } else if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("infinity") {
        Some(f64::INFINITY)
    } else {
        None
    }
}

fn parse_digits(text: &str, decimal: u8) -> Option<Number> {
    let bytes = text.as_bytes();
    let negative = bytes[0] == b'-';
    let signed = negative || bytes[0] == b'+';
    let unsigned = if signed { &text[1..] } else { text };
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == unsigned.len() && digits > 0 {
        return match text.parse::<i64>() {
            Ok(0) if negative => Some(Number::Float(-0.0)),
            Ok(value) => Some(Number::Integer(value)),
            Err(_) => finite(text),
        };
    }
    if signed && let Some(value) = float_word(unsigned) {
        return Some(Number::Float(if negative { -value } else { value }));
    }
    let rest = unsigned.as_bytes().get(digits..)?;
    let (fraction, exponent) = match rest.first() {
        Some(mark) if *mark == decimal => {
            let fraction = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction, &rest[1 + fraction..])
        }
        _ => (0, rest),
    };
    if digits + fraction == 0 || !is_exponent(exponent) {
        return None;
    }
    if decimal == b'.' {
        return finite(text);
    }
    // The mark stands right behind the digits, where there is one; the rest holds none.
    finite(&text.replacen(char::from(decimal), ".", 1))
}

fn is_exponent(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The float of a text in the form of a number, where floats reach as far.
fn finite(text: &str) -> Option<Number> {
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    let digits = || text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
    let vanished = value == 0.0 && digits().any(|byte| matches!(byte, b'1'..=b'9'));
    (!vanished).then_some(Number::Float(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn narrowest_type_holds_the_value() {
        let cases: [(&str, Option<Number>); 31] = [
            ("0", Some(Number::Integer(0))),
            ("+5", Some(Number::Integer(5))),
            ("-17", Some(Number::Integer(-17))),
            (" 9223372036854775807 ", Some(Number::Integer(i64::MAX))),
            ("-9223372036854775808", Some(Number::Integer(i64::MIN))),
            ("9223372036854775808", Some(Number::Float(9_223_372_036_854_775_808.0))),
            ("1.0", Some(Number::Float(1.0))),
            (".5", Some(Number::Float(0.5))),
            ("5.", Some(Number::Float(5.0))),
            ("1e3", Some(Number::Float(1000.0))),
            ("1.5E-3", Some(Number::Float(0.0015))),
            ("inf", Some(Number::Float(f64::INFINITY))),
            ("-Infinity", Some(Number::Float(f64::NEG_INFINITY))),
            ("true", Some(Number::Boolean(true))),
            ("False", Some(Number::Boolean(false))),
            ("1e999", None),
            ("1e-400", None),
            ("-0.001e-330", None),
            ("0e-400", Some(Number::Float(0.0))),
            ("0.000", Some(Number::Float(0.0))),
            ("5e-324", Some(Number::Float(f64::from_bits(1)))),
            ("", None),
            ("-", None),
            (".", None),
            ("1.2.3", None),
            ("1,5", None),
            ("0x10", None),
            ("1_000", None),
            ("1e", None),
            ("--1", None),
            ("truely", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_number(text, b'.'), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_beyond_floats_are_told_from_texts() {
        for text in ["1e999", "-1e999", " 1e-400 ", "+.5e-400", &"9".repeat(400)] {
            assert!(is_out_of_range(text, b'.'), "{text:?}");
        }
        assert!(is_out_of_range("1,5e-400", b',') && !is_out_of_range("1.5e-400", b','));
        for text in ["1", "0", "0e-400", "1e308", "5e-324", "nan", "inf", "-inf", "", "-", "many", "1e", "1.2.3", "0x1"]
        {
            assert!(!is_out_of_range(text, b'.'), "{text:?}");
        }
    }

    #[test]
    fn negative_zero_and_nan_keep_their_bits() {
        assert!(matches!(parse_number("-0", b'.'), Some(Number::Float(zero)) if zero.is_sign_negative()));
        assert!(matches!(parse_number("NaN", b'.'), Some(Number::Float(value)) if value.is_nan()));
    }

    #[test]
    fn decimal_comma_takes_no_point() {
        assert_eq!(parse_number("-8,5", b','), Some(Number::Float(-8.5)));
        assert_eq!(parse_number(",5e1", b','), Some(Number::Float(5.0)));
        assert_eq!(parse_number("1.234", b','), None);
        assert_eq!(parse_number("1,2,3", b','), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", comma: bool) {
            let _ = parse_number(&text, if comma { b',' } else { b'.' });
        }

        #[test]
        fn floats_read_back_to_the_same_bits(value: f64) {
            prop_assume!(value.is_finite());
            let text = format!("{value:e}");
            let Some(Number::Float(read)) = parse_number(&text, b'.') else { panic!("{text} was not read") };
            prop_assert_eq!(read.to_bits(), value.to_bits());
            let comma = text.replace('.', ",");
            prop_assert_eq!(parse_number(&comma, b','), Some(Number::Float(read)));
        }

        #[test]
        fn integers_read_back(value: i64) {
            prop_assert_eq!(parse_number(&value.to_string(), b'.'), Some(Number::Integer(value)));
        }
    }
}
