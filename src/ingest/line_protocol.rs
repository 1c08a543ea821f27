//! The InfluxDB line protocol: `measurement,tag=text field=1.5,other=2i 1735689600000000000`.
//!
//! Guarantees: read strictly (escapes `\,` `\=` `\ ` in names, `\"` and `\\` in texts); a line is a record or a rejection as
//! a whole. Columns: each tag and each field under its own name, the measurement as `measurement` and the time as `time`.
//! Tags and the measurement describe the device and are no metrics unless they are asked for. The same field name in two
//! measurements would mix two things in one metric: from the second measurement on such lines are refused, unless the
//! reader was told to name fields `measurement.field`.

use std::collections::HashMap;
use std::io::BufRead;

use super::{COLUMNS_MAX, Columns, Field, Line, LineReader, Outcome, Record, RecordReader, Rejection, excerpt};
use crate::error::Result;

/// The name of the column that holds the time.
pub const TIME_COLUMN: &str = "time";
/// The name of the column that holds the measurement.
pub const MEASUREMENT_COLUMN: &str = "measurement";

type Parsed<T> = std::result::Result<T, String>;

/// Reads a file in line protocol.
#[derive(Debug)]
pub struct LineProtocolReader<R> {
    lines: LineReader<R>,
    columns: Columns,
    measurement_of_field: HashMap<String, String>,
    name_with_measurement: bool,
    raw: Vec<u8>,
    name: String,
    text: String,
}

impl<R: BufRead> LineProtocolReader<R> {
    /// Reads from the start of an input; with `name_with_measurement` fields are named `measurement.field`.
    #[must_use]
    pub fn new(input: R, name_with_measurement: bool) -> Self {
        let mut columns = Columns::new();
        columns.ensure(TIME_COLUMN, true);
        columns.ensure(MEASUREMENT_COLUMN, true);
        Self {
            lines: LineReader::new(input),
            columns,
            measurement_of_field: HashMap::new(),
            name_with_measurement,
            raw: Vec::new(),
            name: String::new(),
            text: String::new(),
        }
    }

    fn parse(&mut self, line: u64, record: &mut Record) -> Parsed<()> {
        let raw = std::mem::take(&mut self.raw);
        record.begin(line, &raw);
        let result = std::str::from_utf8(&raw)
            .map_err(|_| "the line is not UTF-8".to_owned())
            .and_then(|text| self.parse_line(text.trim_end_matches(['\n', '\r', ' ']), record));
        self.raw = raw;
        result
    }

    fn parse_line(&mut self, line: &str, record: &mut Record) -> Parsed<()> {
        let mut rest = name(line, b", ", &mut self.name)?;
        let measurement = self.name.clone();
        record.set(1, Field::Text(&measurement));
        while let Some(behind) = rest.strip_prefix(',') {
            rest = name(behind, b"=, ", &mut self.name)?;
            let value = rest.strip_prefix('=').ok_or_else(|| format!("tag {} has no value", excerpt(&self.name)))?;
            rest = name(value, b", ", &mut self.text)?;
            let column = self.column(true)?;
            record.set(column, Field::Text(&self.text));
        }
        rest = rest.trim_start_matches(' ');
        loop {
            rest = name(rest, b"=, ", &mut self.name)?;
            let value = rest.strip_prefix('=').ok_or_else(|| format!("field {} has no value", excerpt(&self.name)))?;
            self.own_field(&measurement)?;
            let column = self.column(false)?;
            rest = if let Some(quoted) = value.strip_prefix('"') {
                let behind = quoted_text(quoted, &mut self.text)?;
                record.set(column, Field::Text(&self.text));
                behind
            } else {
                let end = value.find([',', ' ']).unwrap_or(value.len());
                record.set(column, scalar(&value[..end])?);
                &value[end..]
            };
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind,
                None => break,
            }
        }
        let time = rest.trim_matches(' ');
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Err("text behind a field's closing quote".to_owned());
        }
        if !time.is_empty() {
            let time = time.parse::<i64>().map_err(|_| format!("{} is not a whole number of time", excerpt(time)))?;
            record.set(0, Field::Integer(time));
        }
        Ok(())
    }

    /// Checks that the field in `name` belongs to this measurement, or puts the measurement in front of it.
    fn own_field(&mut self, measurement: &str) -> Parsed<()> {
        if self.name_with_measurement {
            self.name = format!("{measurement}.{}", self.name);
            return Ok(());
        }
        match self.measurement_of_field.get(&self.name) {
            Some(owner) if owner == measurement => Ok(()),
            Some(owner) => Err(format!(
                "field {} is in measurement {} too: name fields with their measurement",
                excerpt(&self.name),
                excerpt(owner)
            )),
            None if self.measurement_of_field.len() >= COLUMNS_MAX => Err(too_many()),
            None => {
                self.measurement_of_field.insert(self.name.clone(), measurement.to_owned());
                Ok(())
            }
        }
    }

    fn column(&mut self, tag: bool) -> Parsed<usize> {
        let column = self.columns.ensure(&self.name, tag).ok_or_else(too_many)?;
        if column < 2 || self.columns.is_descriptive(column) != tag {
            return Err(format!("{} is the name of a tag and of a field", excerpt(&self.name)));
        }
        Ok(column)
    }
}

fn too_many() -> String {
    format!("more than {COLUMNS_MAX} different tags and fields")
}

/// Reads a name up to one of the stop bytes, with escapes resolved; gives the rest.
fn name<'a>(text: &'a str, stops: &[u8], into: &mut String) -> Parsed<&'a str> {
    into.clear();
    let bytes = text.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        if stops.contains(byte) {
            break;
        }
        if *byte == b'\\' && bytes.get(at + 1).is_some_and(|next| matches!(next, b',' | b'=' | b' ' | b'\\')) {
            into.push_str(text.get(from..at).unwrap_or_default());
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    into.push_str(text.get(from..at).unwrap_or_default());
    if into.is_empty() {
        return Err("a name is missing".to_owned());
    }
    Ok(text.get(at..).unwrap_or_default())
}

/// Reads a quoted text behind its opening quote; gives what is behind the closing one.
fn quoted_text<'a>(text: &'a str, into: &mut String) -> Parsed<&'a str> {
    into.clear();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok(&text[at + 1..]),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => into.push(escaped),
                Some((_, other)) => into.extend(['\\', other]),
                None => break,
            },
            other => into.push(other),
        }
    }
    Err("a text is not closed".to_owned())
}

fn scalar(text: &str) -> Parsed<Field<'static>> {
    let problem = || format!("{} is not a value of the line protocol", excerpt(text));
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Ok(Field::Boolean(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok(Field::Boolean(false)),
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse().map(Field::Integer).map_err(|_| problem());
    }
    if let Some(digits) = text.strip_suffix('u') {
        let value: u64 = digits.parse().map_err(|_| problem())?;
        return Ok(i64::try_from(value).map_or(Field::Float(value as f64), Field::Integer));
    }
    match super::parse_number(text, b'.') {
        Some(super::Number::Integer(value)) => Ok(Field::Float(value as f64)),
        Some(super::Number::Float(value)) if value.is_finite() => Ok(Field::Float(value)),
        _ => Err(problem()),
    }
}

impl<R: BufRead> RecordReader for LineProtocolReader<R> {
    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn read(&mut self, record: &mut Record) -> Result<Outcome> {
        loop {
            self.raw.clear();
            let outcome = self.lines.read(&mut self.raw)?;
            let line = self.lines.number();
            match outcome {
                Line::End => return Ok(Outcome::End),
                Line::TooLong => {
                    return Ok(Outcome::Rejected(Rejection::new(line, "the line is longer than 1 MiB", &self.raw)));
                }
                Line::Whole if self.raw.starts_with(b"#") || self.raw.iter().all(u8::is_ascii_whitespace) => {}
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

    fn read_all(input: &[u8], prefixed: bool) -> (Columns, Vec<std::result::Result<Record, Rejection>>) {
        let mut reader = LineProtocolReader::new(input, prefixed);
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
    fn the_published_forms() {
        // The forms of the line protocol reference of InfluxDB 1.x.
        let (columns, rows) = read_all(
            b"# comment\nweather\\,x,loc\\ ation=us\\,mid,d=p1 temp=82,n=3i,ok=T,note=\"a \\\"b\\\" c,d\" 1465839830100400200\n\
              weather\\,x,d=p1 temp=-1.5e3,big=18446744073709551615u\n",
            false,
        );
        let first = rows[0].as_ref().expect("good line");
        let field = |record: &Record, name: &str| format!("{:?}", record.field(columns.find(name).expect("a column")));
        assert_eq!(first.line(), 2);
        assert_eq!(field(first, "measurement"), "Text(\"weather,x\")");
        assert_eq!(field(first, "loc ation"), "Text(\"us,mid\")");
        assert_eq!(field(first, "temp"), "Float(82.0)");
        assert_eq!(field(first, "n"), "Integer(3)");
        assert_eq!(field(first, "ok"), "Boolean(true)");
        assert_eq!(field(first, "note"), "Text(\"a \\\"b\\\" c,d\")");
        assert_eq!(field(first, "time"), "Integer(1465839830100400200)");
        let second = rows[1].as_ref().expect("good line");
        assert_eq!(field(second, "temp"), "Float(-1500.0)");
        assert_eq!(field(second, "time"), "Missing");
    }

    #[test]
    fn what_is_not_line_protocol_is_refused() {
        for line in [
            "m",
            "m ",
            "m,t v=1",
            "m,t= v=1",
            "m v=",
            "m v",
            "m v=1,",
            "m v=\"open",
            "m v=1 x",
            "m v=1 1 2",
            "m v=12x",
            "m v=1.5i",
            ",t=1 v=1",
            "m,a=1 a=2",
            "m v=NaN",
            "m v=\"a\"b",
            "m time=1",
        ] {
            let (_, rows) = read_all(line.as_bytes(), false);
            assert!(matches!(rows.as_slice(), [Err(_)]), "{line:?} gave {rows:?}");
        }
    }

    #[test]
    fn one_field_in_two_measurements_is_not_mixed() {
        let input = b"cpu v=1 1\ndisk v=2 1\n";
        let (_, rows) = read_all(input, false);
        assert!(rows[0].is_ok() && rows[1].is_err());
        let (columns, rows) = read_all(input, true);
        assert!(rows.iter().all(std::result::Result::is_ok));
        assert!(columns.find("cpu.v").is_some() && columns.find("disk.v").is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(input in prop::collection::vec(prop::sample::select(b"m,= v1\"\\\nitu.e-\xC3\xA9".to_vec()), 0..80)) {
            let _ = read_all(&input, false);
        }

        /// Law: a value written by the protocol's rules reads back.
        #[test]
        fn texts_and_floats_read_back(text in "\\PC{0,20}", value: f64, tag in "[a-z ,=]{1,8}") {
            prop_assume!(value.is_finite());
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            let tag_escaped: String = tag.chars().flat_map(|c| if ",= ".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
            let line = format!("m,t={tag_escaped} s=\"{escaped}\",v={value:e} 7");
            let (columns, rows) = read_all(line.as_bytes(), false);
            let record = rows[0].as_ref().expect("good line");
            prop_assert_eq!(record.field(columns.find("s").expect("s")), Field::Text(&text));
            prop_assert_eq!(record.field(columns.find("v").expect("v")), Field::Float(value));
            prop_assert_eq!(record.field(columns.find("t").expect("t")), Field::Text(&tag));
        }
    }
}
