//! Values of arguments, read as the library reads them.

use fleetlog::Timestamp;
use fleetlog::operator::{AttributeFilter, Expression, attribute};

/// Reads a value as the library does.
pub(super) fn library<T: std::str::FromStr<Err = fleetlog::Error>>(text: &str) -> Result<T, fleetlog::Error> {
    text.parse()
}

pub(super) fn time(text: &str) -> Result<Timestamp, fleetlog::Error> {
    Timestamp::parse(text)
}

pub(super) fn duration(text: &str) -> Result<i64, fleetlog::Error> {
    fleetlog::time::parse_duration_ns(text)
}

/// Names between commas; a name in double quotes may have a comma in it.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(last) if quoted || c != ',' => last.push(c),
            _ => parts.push(String::new()),
        }
    }
    if parts.iter().any(|part| part.trim().is_empty()) {
        return Err("write names with commas between them".to_owned());
    }
    Ok(parts)
}

/// What is asked about: metrics, or arithmetic of them.
#[derive(Debug, Clone)]
pub(crate) struct Expressions(pub(crate) Vec<Expression>);

pub(super) fn expressions(text: &str) -> Result<Expressions, String> {
    Ok(Expressions(split(text)?.iter().map(|part| Expression::named(part)).collect()))
}

pub(super) fn expression(text: &str) -> Result<Expression, String> {
    Ok(Expression::named(text))
}

/// Names of metrics.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) Vec<String>);

pub(super) fn names(text: &str) -> Result<Names, String> {
    let plain = |part: String| match part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => part,
    };
    Ok(Names(split(text)?.into_iter().map(plain).collect()))
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err("write two words with '=' between them".to_owned()),
    }
}

pub(super) fn pair_or_one(text: &str) -> Result<(String, String), String> {
    if text.contains('=') { pair(text) } else { Ok((text.to_owned(), text.to_owned())) }
}

pub(super) fn condition(text: &str) -> Result<AttributeFilter, String> {
    let (name, values) = pair(text)?;
    Ok(attribute(name).is_any(values.split(',')))
}

pub(super) fn mark(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ if text.len() == 1 && text.is_ascii() => Ok(text.as_bytes()[0]),
        _ => Err("one ASCII character, or tab".to_owned()),
    }
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    let wrong = || "write a number with KiB, MiB or GiB: 256MiB".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: usize = match &text[digits..] {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(wrong()),
    };
    let bytes = text[..digits].parse::<usize>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    if bytes < 16 << 20 { Err("at least 16MiB".to_owned()) } else { Ok(bytes) }
}

/// A number of threads: as many as a machine has cores, not as many as it can start.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    const THREADS_MAX: usize = 1_024;
    match text.parse() {
        Ok(threads) if threads <= THREADS_MAX => Ok(threads),
        _ => Err(format!("a number from 0 (all cores) to {THREADS_MAX} is wanted")),
    }
}
