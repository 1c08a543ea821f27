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

/// How many standard deviations: a number above zero.
pub(super) fn sigma(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(sigma) if sigma > 0.0 && sigma.is_finite() => Ok(sigma),
        _ => Err("a number of standard deviations above zero is wanted, as 4 or 2.5".to_owned()),
    }
}

/// Words between commas; what stands in double quotes may have commas in it.
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

/// How many groups, and the column that says which.
#[derive(Debug, Clone)]
pub(crate) struct Ranked {
    pub(crate) groups: usize,
    pub(crate) column: Option<String>,
}

pub(super) fn ranked(text: &str) -> Result<Ranked, String> {
    let (groups, column) = text.split_once(':').map_or((text, None), |(groups, column)| (groups, Some(column)));
    match groups.parse() {
        Ok(groups) if groups > 0 && column != Some("") => Ok(Ranked { groups, column: column.map(str::to_owned) }),
        _ => {
            Err("write a number of groups from 1 on, and if wanted a column of the answer: 5, or 5:power_w_max"
                .to_owned())
        }
    }
}

/// Names of metrics, columns or attributes.
#[derive(Debug, Clone)]
pub(crate) struct Names(pub(crate) Vec<String>);

/// All names of a list that was given in parts.
pub(crate) fn all_names(parts: &[Names]) -> Vec<String> {
    parts.iter().flat_map(|names| names.0.iter().cloned()).collect()
}

fn without_quotes(part: &str) -> String {
    match part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => part.to_owned(),
    }
}

pub(super) fn names(text: &str) -> Result<Names, String> {
    Ok(Names(split(text)?.iter().map(|part| without_quotes(part)).collect()))
}

/// Words with what each of them is to be.
#[derive(Debug, Clone)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// All pairs of a list that was given in parts.
pub(crate) fn all_pairs(parts: &[Pairs]) -> Vec<(String, String)> {
    parts.iter().flat_map(|pairs| pairs.0.iter().cloned()).collect()
}

/// The two words of a part, cut at the first '=' outside quotes.
fn halves(part: &str) -> Option<(String, String)> {
    let mut quoted = false;
    let cut = part.find(|c: char| {
        quoted ^= c == '"';
        c == '=' && !quoted
    })?;
    let (left, right) = (without_quotes(&part[..cut]), without_quotes(&part[cut + 1..]));
    (!left.is_empty() && !right.is_empty()).then_some((left, right))
}

pub(super) fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |part: &String| {
        halves(part).ok_or_else(|| {
            format!(
                "'{part}' is no pair: write A=B, with commas between several (A=B,C=D), and what has a comma in it in double \
                 quotes"
            )
        })
    };
    Ok(Pairs(split(text)?.iter().map(pair).collect::<Result<_, _>>()?))
}

pub(super) fn pairs_or_names(text: &str) -> Result<Pairs, String> {
    let one = |part: &String| match halves(part) {
        Some(pair) => Ok(pair),
        None if part.contains('=') && !part.starts_with('"') => Err(format!("'{part}' lacks a name beside '='")),
        None => Ok((without_quotes(part), without_quotes(part))),
    };
    Ok(Pairs(split(text)?.iter().map(one).collect::<Result<_, _>>()?))
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((left, right)) if !left.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err("write two words with '=' between them".to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_pairs_are_cut_at_commas_outside_quotes() {
        let read = |text: &str| pairs(text).map(|pairs| pairs.0);
        let pair = |left: &str, right: &str| (left.to_owned(), right.to_owned());
        assert_eq!(read("a=V,b=bar").unwrap(), [pair("a", "V"), pair("b", "bar")]);
        assert_eq!(read("a=m/s").unwrap(), [pair("a", "m/s")]);
        assert_eq!(
            read("\"Temp, outside\"=degC,x=\"=, y\"").unwrap(),
            [pair("Temp, outside", "degC"), pair("x", "=, y")]
        );
        for wrong in ["a", "a=", "=V", "a=V,", "a=V,b", "a=V,,b=W", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let read = |text: &str| pairs_or_names(text).map(|pairs| pairs.0);
        assert_eq!(read("part,code=kind").unwrap(), [pair("part", "part"), pair("code", "kind")]);
        assert_eq!(read("\"a, b\"").unwrap(), [pair("a, b", "a, b")]);
        assert!(read("a=").is_err() && read("a=b,=c").is_err());
    }
}
