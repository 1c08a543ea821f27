//! JSON lines: one object a line.
//!
//! Guarantees: fields of objects inside an object are named `outer.inner`, [`super::DEPTH_MAX`] deep at most; a line whose fields
//! come to one name so is refused; `null` is a missing field; an integer beyond 64 bits is the nearest float; a number beyond what
//! floats hold refuses its line; a list is a [`Field::List`], which no column takes. A line that is refused adds no column. A byte order mark is dropped.

use std::io::BufRead;

use serde_json::Value;

use super::record::SeenColumns;
use super::{Columns, DEPTH_MAX, Field, Line, LineReader, Outcome, Record, RecordReader, Rejection};
use crate::error::Result;

/// Reads a file of JSON lines.
#[derive(Debug)]
pub struct JsonLinesReader<R> {
    lines: LineReader<R>,
    columns: Columns,
    raw: Vec<u8>,
    name: String,
    names: String,
    seen: SeenColumns,
}

impl<R: BufRead> JsonLinesReader<R> {
    /// Reads from the start of an input.
    #[must_use]
    pub fn new(input: R) -> Self {
        Self {
            lines: LineReader::new(input),
            columns: Columns::new(),
            raw: Vec::new(),
            name: String::new(),
            names: String::new(),
            seen: SeenColumns::default(),
        }
    }

    fn parse(&mut self, line: u64, record: &mut Record) -> std::result::Result<(), String> {
        let value: Value = serde_json::from_slice(&self.raw).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(fields) = &value else { return Err("not a JSON object".to_owned()) };
        record.begin(line, &self.raw);
        self.name.clear();
        self.names.clear();
        let mut found = Vec::with_capacity(fields.len());
        flatten(fields, 1, &mut self.name, &mut |name, value| {
            let from = self.names.len();
            self.names.push_str(name);
            found.push((from..self.names.len(), value));
        })?;
        // Nothing of the line is taken before all of it is known to be good.
        self.columns.check(found.iter().map(|(name, _)| &self.names[name.clone()]), &mut self.seen)?;
        if found.iter().any(|(_, value)| value.is_f64() && value.as_f64() == Some(0.0))
            && let Some(number) = vanishing_number(&self.raw)
        {
            return Err(super::out_of_range(&number));
        }
        for (name, value) in found {
            if let Some(column) = self.columns.ensure(&self.names[name], false) {
                set(record, column, value);
            }
        }
        Ok(())
    }
}

/// Visits the fields that have a value, by their whole names.
fn flatten<'a>(
    fields: &'a serde_json::Map<String, Value>,
    depth: usize,
    name: &mut String,
    visit: &mut dyn FnMut(&str, &'a Value),
) -> std::result::Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("objects lie more than {DEPTH_MAX} deep in each other"));
    }
    for (key, value) in fields {
        let outer = name.len();
        if depth > 1 {
            name.push('.');
        }
        name.push_str(key);
        if let Value::Object(inner) = value {
            flatten(inner, depth + 1, name, visit)?;
        } else if !value.is_null() {
            visit(name, value);
        }
        name.truncate(outer);
    }
    Ok(())
}

/// A number of a line of JSON that is not zero, but too small for a float: it was read as zero.
pub(super) fn vanishing_number(line: &[u8]) -> Option<String> {
    let (mut in_text, mut escaped) = (false, false);
    let outside = line.iter().map(|byte| {
        if in_text {
            (in_text, escaped) = (escaped || *byte != b'"', !escaped && *byte == b'\\');
            return ' ';
        }
        in_text = *byte == b'"';
        if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') { char::from(*byte) } else { ' ' }
    });
    let plain: String = outside.collect();
    plain.split(' ').find(|word| super::is_out_of_range(word, b'.')).map(str::to_owned)
}

fn set(record: &mut Record, column: usize, value: &Value) {
    match value {
        Value::Bool(value) => record.set(column, Field::Boolean(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => record.set(column, Field::Integer(integer)),
            None => record.set(column, Field::Float(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => record.set(column, Field::Text(text)),
        Value::Array(_) => record.set(column, Field::List),
        Value::Null | Value::Object(_) => {}
    }
}

impl<R: BufRead> RecordReader for JsonLinesReader<R> {
    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<Outcome> {
        loop {
            self.raw.clear();
            let outcome = self.lines.read(&mut self.raw)?;
            let line = self.lines.number();
            if line == 1 && self.raw.starts_with(&[0xEF, 0xBB, 0xBF]) {
                self.raw.drain(..3);
            }
            match outcome {
                Line::End => return Ok(Outcome::End),
                Line::TooLong => {
                    return Ok(Outcome::Rejected(Rejection::new(line, "the line is longer than 1 MiB", &self.raw)));
                }
                Line::Whole if self.raw.iter().all(u8::is_ascii_whitespace) => {}
                Line::Whole => {
                    return Ok(match self.parse(line, record) {
                        Ok(()) => Outcome::Record,
                        Err(reason) => Outcome::Rejected(Rejection::new(line, reason, &self.raw)),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(input: &[u8]) -> (Columns, Vec<std::result::Result<Record, Rejection>>) {
        let mut reader = JsonLinesReader::new(input);
        let mut rows = Vec::new();
        loop {
            let mut record = Record::new();
            match reader.read(&mut record).expect("a slice can be read") {
                Outcome::End => return (reader.columns().clone(), rows),
                Outcome::Record => rows.push(Ok(record)),
                Outcome::Rejected(rejection) => rows.push(Err(rejection)),
            }
        }
    }

    #[test]
    fn types_and_nesting() {
        let (columns, rows) = read_all(
            b"\xEF\xBB\xBF{\"d\":\"p\",\"v\":1,\"in\":{\"x\":1.5,\"y\":{\"z\":true}}}\n\n{\"v\":18446744073709551615,\"n\":null}\n",
        );
        let row = rows[0].as_ref().expect("good line");
        let field = |name: &str| row.field(columns.find(name).expect("a column"));
        assert_eq!(field("d"), Field::Text("p"));
        assert_eq!(field("v"), Field::Integer(1));
        assert_eq!(field("in.x"), Field::Float(1.5));
        assert_eq!(field("in.y.z"), Field::Boolean(true));
        let second = rows[1].as_ref().expect("good line");
        assert_eq!(second.line(), 3);
        assert_eq!(second.field(columns.find("v").expect("a column")), Field::Float(18_446_744_073_709_551_615.0));
        assert!(columns.find("n").is_none());
    }

    #[test]
    fn a_number_that_would_become_zero_refuses_its_line() {
        let (_, rows) = read_all(
            br#"{"d":"1e-400 \" 2e-500","v":0.0,"w":0e-999}
{"v":1,"w":[1e-400],"x":-0.0}
{"v":2.5e-400}
{"v":1e999}
"#,
        );
        let reasons: Vec<Option<&str>> =
            rows.iter().map(|row| row.as_ref().err().map(|refused| refused.reason.as_str())).collect();
        assert_eq!(reasons[0], None, "a text is no number");
        assert!(reasons[1].is_some(), "a list refuses its line");
        assert_eq!(reasons[2], Some("'2.5e-400' lies beyond what a 64-bit float holds"));
        assert!(reasons[3].is_some_and(|reason| reason.contains("number out of range")), "{reasons:?}");
    }

    #[test]
    fn bad_lines_are_refused_by_number() {
        let deep = "{\"a\":".repeat(40) + "1" + &"}".repeat(40);
        let input = format!("{{\"v\":1}}\nnot\n[1]\n{deep}\n{{\"v\":1e999}}\n{{\"v\":2}}\n");
        let (_, rows) = read_all(input.as_bytes());
        let refused: Vec<u64> =
            rows.iter().filter_map(|row| row.as_ref().err().map(|rejection| rejection.row)).collect();
        assert_eq!(refused, [2, 3, 4, 5]);
        assert_eq!(rows.len(), 6);
    }

    #[test]
    fn names_that_meet_are_refused_and_empty_ones_stay_apart() {
        let (columns, rows) = read_all(b"{\"a\":{\"b\":1},\"a.b\":2}\n{\"\":{\"x\":1},\"x\":2}\n");
        assert!(matches!(&rows[0], Err(rejection) if rejection.reason.contains("'a.b'")), "{rows:?}");
        let row = rows[1].as_ref().expect("two names");
        let field = |name: &str| row.field(columns.find(name).expect("a column"));
        assert_eq!((field(".x"), field("x")), (Field::Integer(1), Field::Integer(2)));
    }

    #[test]
    fn a_refused_line_adds_no_column() {
        let mut input = String::new();
        (0..5_000).for_each(|line| input.push_str(&format!("{{\"a{line}\":1,\"z\":{{\"y\":1}},\"z.y\":2}}\n")));
        input.push_str("{\"good\":1}\n");
        let (columns, rows) = read_all(input.as_bytes());
        assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 5_000);
        assert_eq!(columns.names(), ["good"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(input in prop::collection::vec(prop::sample::select(b"{}[]\":,1e.\n\\uan\xFF".to_vec()), 0..120)) {
            let _ = read_all(&input);
        }
    }
}
