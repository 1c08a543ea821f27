//! Conditions on values.
//!
//! Guarantees: whole numbers are compared by every digit of what was written; a comparison with NaN, or with what is not there, is false.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::model::MetricType;

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparison {
    /// Whether values in this order, left to right, fulfil the comparison.
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

/// A condition on a value of the same device and instant: `temperature_c>25`, or of a text `mode=on`. A comparison with NaN, or
/// with a value that is not there, is false. A name with one of `>`, `<`, `=`, `!` in it stands in double quotes, and so may a text, which then has its blanks: `mode=" on"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueFilter {
    pub(super) metric: String,
    pub(super) comparison: Comparison,
    pub(super) text: String,
    /// What the text says as a number.
    pub(super) number: Option<f64>,
    /// The whole number at it or below it, by every digit of the text, and whether it is that number.
    floor: Option<(i128, bool)>,
}

impl FromStr for ValueFilter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not a filter", text.escape_default()))
                .advise("write a metric, one of > >= < <= = !=, and a number, as temperature_c>25; or = or != and a text, as mode=on")
        };
        let words = [
            (">=", Comparison::GreaterOrEqual),
            ("<=", Comparison::LessOrEqual),
            ("!=", Comparison::NotEqual),
            (">", Comparison::Greater),
            ("<", Comparison::Less),
            ("=", Comparison::Equal),
        ];
        let trimmed = text.trim();
        let (metric, rest) = match trimmed.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(wrong)?,
            None => trimmed.split_at(trimmed.find(['>', '<', '=', '!']).ok_or_else(wrong)?),
        };
        let (metric, rest) = (metric.trim(), rest.trim());
        let (word, comparison) = words.into_iter().find(|(word, _)| rest.starts_with(word)).ok_or_else(wrong)?;
        let text = unquoted(rest[word.len()..].trim()).to_owned();
        let number = match text.as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            text => text.parse::<f64>().ok(),
        };
        let orders = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if metric.is_empty() || (orders && number.is_none()) {
            return Err(wrong());
        }
        let floor = exact_floor(&text);
        Ok(Self { metric: metric.to_owned(), comparison, text, number, floor })
    }
}

impl ValueFilter {
    /// A condition on a number.
    #[must_use]
    pub fn number(metric: impl Into<String>, comparison: Comparison, value: f64) -> Self {
        let text = value.to_string();
        let floor = exact_floor(&text);
        Self { metric: metric.into(), comparison, text, number: Some(value), floor }
    }

    /// A condition on a text; texts are equal or not.
    #[must_use]
    pub fn text(metric: impl Into<String>, comparison: Comparison, value: impl Into<String>) -> Self {
        Self { metric: metric.into(), comparison, text: value.into(), number: None, floor: None }
    }

    /// Whether a number passes.
    #[must_use]
    pub fn accepts(&self, value: f64) -> bool {
        self.order_of(value).is_some_and(|order| self.comparison.holds(order))
    }

    /// Whether each of some numbers passes, as by [`Self::accepts`].
    pub(super) fn accepts_all(&self, values: &[f64]) -> Vec<bool> {
        let Some(wanted) = self.number else { return vec![false; values.len()] };
        match self.comparison {
            Comparison::Greater => values.iter().map(|value| *value > wanted).collect(),
            Comparison::GreaterOrEqual => values.iter().map(|value| *value >= wanted).collect(),
            Comparison::Less => values.iter().map(|value| *value < wanted).collect(),
            Comparison::LessOrEqual => values.iter().map(|value| *value <= wanted).collect(),
            Comparison::Equal => values.iter().map(|value| *value == wanted).collect(),
            // What is not a number is in no order to any.
            Comparison::NotEqual => {
                values.iter().map(|value| *value != wanted && !value.is_nan() && !wanted.is_nan()).collect()
            }
        }
    }

    /// Whether a whole number passes: compared exactly, also where a float would have to round it.
    #[must_use]
    pub fn accepts_integer(&self, value: i64) -> bool {
        self.order_of_integer(value).is_some_and(|order| self.comparison.holds(order))
    }

    /// The metric that is compared.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        &self.metric
    }

    /// Whether no number passes, since it is compared with NaN.
    #[must_use]
    pub fn passes_nothing(&self) -> bool {
        self.number.is_some_and(f64::is_nan)
    }

    /// How a number lies to the one that is compared with; `None` where one of them is none.
    pub(super) fn order_of(&self, value: f64) -> Option<Ordering> {
        self.number.and_then(|wanted| value.partial_cmp(&wanted))
    }

    /// The same of a whole number, exactly.
    pub(super) fn order_of_integer(&self, value: i64) -> Option<Ordering> {
        match (self.floor, self.number) {
            // Above a floor that is not the number itself there is no whole number equal to it.
            (Some((floor, is_number)), _) => {
                Some(i128::from(value).cmp(&floor).then(if is_number { Ordering::Equal } else { Ordering::Less }))
            }
            // Infinities, and the words for booleans: the cast saturates on the right side of every i64.
            (None, Some(wanted)) if !wanted.is_nan() => Some(i128::from(value).cmp(&(wanted.floor() as i128))),
            _ => None,
        }
    }

    /// Whether no number can pass of which these are the extremes, compared as by [`Self::order_of`].
    pub(super) fn rules_out(&self, least: Option<Ordering>, greatest: Option<Ordering>) -> bool {
        let (Some(least), Some(greatest)) = (least, greatest) else { return true };
        match self.comparison {
            Comparison::Greater => greatest.is_le(),
            Comparison::GreaterOrEqual => greatest.is_lt(),
            Comparison::Less => least.is_ge(),
            Comparison::LessOrEqual => least.is_gt(),
            Comparison::Equal => least.is_gt() || greatest.is_lt(),
            Comparison::NotEqual => least.is_eq() && greatest.is_eq(),
        }
    }

    /// Whether a text passes; texts have no order.
    #[must_use]
    pub fn accepts_text(&self, value: &str) -> bool {
        match self.comparison {
            Comparison::Equal => value == self.text,
            Comparison::NotEqual => value != self.text,
            _ => false,
        }
    }

    /// Checks that values of a type can be compared like this.
    pub(super) fn check(&self, metric_type: MetricType) -> Result<()> {
        let is_text = metric_type == MetricType::Text;
        let orders = !matches!(self.comparison, Comparison::Equal | Comparison::NotEqual);
        let (name, text) = (self.metric.escape_debug(), self.text.escape_debug());
        let is_word = matches!(self.text.as_str(), "true" | "false");
        let number = self.number.filter(|_| !is_word || metric_type == MetricType::Boolean);
        match (is_text, orders, number) {
            (true, true, _) => {
                Err(Error::new(ErrorKind::TypeMismatch, format!("metric '{name}' is text, and texts have no order"))
                    .advise("compare it with = or !="))
            }
            (false, _, None) => {
                let message = format!("metric '{name}' is {metric_type}, and '{text}' is not a number");
                let advice = match (metric_type, self.text.starts_with('=')) {
                    (_, true) => "write one = for what is equal",
                    (MetricType::Boolean, _) => "compare it with true or false",
                    _ => "compare it with a number, as 25 or -2.5e3",
                };
                Err(Error::new(ErrorKind::TypeMismatch, message).advise(advice))
            }
            _ => Ok(()),
        }
    }
}

/// A text without the double quotes around it.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The whole number at a decimal number or below it, and whether it is that number; beyond 38 digits as far out as an i128 reaches.
/// A float would round: of `9007199254740992.5` it keeps no half.
fn exact_floor(text: &str) -> Option<(i128, bool)> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some((0, true));
    }
    // How many of the digits stand in front of the point; more than there are where zeros follow.
    let in_front = whole.len() as i64 - (digits.len() - significant.len()) as i64 + i64::from(exponent);
    if in_front > 38 {
        return Some((if negative { i128::MIN } else { i128::MAX }, true));
    }
    let in_front = usize::try_from(in_front).unwrap_or(0);
    let (front, behind) = significant.split_at(in_front.min(significant.len()));
    let magnitude: i128 = format!("0{front:0<in_front$}").parse().ok()?;
    let is_whole = behind.bytes().all(|digit| digit == b'0');
    Some(match (negative, is_whole) {
        (false, _) => (magnitude, is_whole),
        (true, true) => (-magnitude, true),
        (true, false) => (-magnitude - 1, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_read_and_compare() {
        let filter: ValueFilter = " temperature_c >= -2.5 ".parse().unwrap();
        assert_eq!(
            (filter.metric.as_str(), filter.comparison, filter.number),
            ("temperature_c", Comparison::GreaterOrEqual, Some(-2.5))
        );
        let accepts = |text: &str, value: f64| text.parse::<ValueFilter>().unwrap().accepts(value);
        assert!(accepts("x=0", -0.0) && accepts("x!=1", 2.0) && accepts("x<1", 0.5) && accepts("x<=1", 1.0));
        assert!(!accepts("x>1", f64::NAN) && !accepts("x!=1", f64::NAN) && !accepts("x>1", 1.0));
        let accepts = |text: &str, value: i64| text.parse::<ValueFilter>().unwrap().accepts_integer(value);
        // 2^53 + 1 and its neighbours are one float.
        let odd = (1 << 53) + 1;
        assert!(accepts("x=9007199254740993", odd) && !accepts("x=9007199254740993", odd - 1));
        assert!(accepts("x>9007199254740992", odd) && !accepts("x>9007199254740993", odd));
        assert!(accepts("x<0.5", 0) && accepts("x>-0.5", 0) && !accepts("x=0.5", 0) && !accepts("x>=0.5", 0));
        assert!(
            accepts("x>-1e300", i64::MIN)
                && accepts("x<inf", i64::MAX)
                && accepts("x<=9223372036854775807.5", i64::MAX)
        );
        assert!(!accepts("x!=NaN", 1) && !accepts("x<NaN", 1) && accepts("x!=1e2", 99) && !accepts("x!=1e2", 100));
        // Every digit counts, also behind a point or with an exponent.
        assert!(accepts("x=9007199254740993.0", odd) && !accepts("x=9007199254740993.0", odd - 1));
        assert!(accepts("x=9.007199254740993e15", odd) && !accepts("x=9.007199254740993E+15", odd - 1));
        assert!(!accepts("x=9007199254740992.5", odd - 1) && accepts("x!=9007199254740992.5", odd - 1));
        assert!(accepts("x<9007199254740992.5", odd - 1) && accepts("x>9007199254740992.5", odd));
        assert!(accepts("x>=9223372036854775806.5", i64::MAX) && !accepts("x<=-9223372036854775807.5", i64::MIN + 1));
        assert!(accepts("x<=-9223372036854775807.5", i64::MIN) && accepts("x=-0.0", 0) && accepts("x=1200e-2", 12));
        assert!(
            accepts("x>-1e-400", 0) && accepts("x<1e-9999", 1) == accepts("x<0", 1) && accepts("x<1e999", i64::MAX)
        );
        let quoted: ValueFilter = "\"a<b, in >\" != on air".parse().unwrap();
        assert_eq!(
            (quoted.metric.as_str(), quoted.accepts_text("on"), quoted.accepts_text("on air")),
            ("a<b, in >", true, false)
        );
        assert!(
            quoted.check(MetricType::Float).is_err()
                && quoted.check(MetricType::Text).is_ok()
                && filter.check(MetricType::Text).is_err()
        );
        let blank: ValueFilter = "t=\" pad\"".parse().unwrap();
        assert!(blank.accepts_text(" pad") && !blank.accepts_text("pad"));
        let boolean: ValueFilter = "b!=true".parse().unwrap();
        assert!(boolean.check(MetricType::Boolean).is_ok() && boolean.check(MetricType::Float).is_err());
        assert!(boolean.accepts(0.0) && !boolean.accepts(1.0) && boolean.accepts_text("false"));
        assert_eq!(ValueFilter::number("temperature_c", Comparison::GreaterOrEqual, -2.5), filter);
        assert!(ValueFilter::text("mode", Comparison::NotEqual, "on").accepts_text("off"));
        for wrong in ["x", "x>", ">1", "x>>1", "x>y", "x!1"] {
            assert!(wrong.parse::<ValueFilter>().is_err(), "{wrong}");
        }
    }
}
