//! The InfluxDB line protocol: `measurement,tag=text field=1.5,other=2i 1735689600000000000`.
//!
//! Guarantees: read strictly (escapes `\,` `\=` `\ ` in names, `\"` and `\\` in texts); a line is a record or a rejection as
//! a whole, and one that is refused adds no column; a byte order mark is dropped. Columns: each tag and each field under its own name, the measurement as `measurement` and the time as `time`.
//! Tags and the measurement describe the device and are no metrics unless they are asked for. The same field name in two
//! measurements would mix two things in one metric: from the second measurement on such lines are refused, and so are those
//! with a field that is a tag elsewhere, unless the reader was told to name fields `measurement.field`.

use std::collections::HashMap;
use std::io::BufRead;
use std::ops::Range;

use super::record::SeenColumns;
use super::{Columns, Field, Line, LineReader, Outcome, Record, RecordReader, Rejection, excerpt};
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
    line: ParsedLine,
    seen: SeenColumns,
}

/// A line that was read, of which nothing is taken yet.
#[derive(Debug, Default)]
struct ParsedLine {
    /// The measurement, names and texts, one behind the other.
    text: String,
    measurement: Range<usize>,
    parts: Vec<Part>,
    time: Option<i64>,
    /// The name or text at hand.
    buffer: String,
}

/// A tag or a field.
#[derive(Debug)]
struct Part {
    name: Range<usize>,
    is_tag: bool,
    value: PartValue,
}

#[derive(Debug)]
enum PartValue {
    Text(Range<usize>),
    Scalar(Field<'static>),
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
            line: ParsedLine::default(),
            seen: SeenColumns::default(),
        }
    }

    fn parse(&mut self, line: u64, record: &mut Record) -> Parsed<()> {
        let raw = std::mem::take(&mut self.raw);
        record.begin(line, &raw);
        let result = std::str::from_utf8(&raw)
            .map_err(|_| "the line is not UTF-8".to_owned())
            .and_then(|text| self.line.parse(text.trim_end_matches(['\n', '\r', ' ']), self.name_with_measurement))
            .and_then(|()| self.take(record));
        self.raw = raw;
        result
    }

    /// Takes a line once all of it is known to be good.
    fn take(&mut self, record: &mut Record) -> Parsed<()> {
        let line = &self.line;
        let measurement = &line.text[line.measurement.clone()];
        self.columns.check(line.parts.iter().map(|part| &line.text[part.name.clone()]), &mut self.seen)?;
        for part in &line.parts {
            let name = &line.text[part.name.clone()];
            let known = self.columns.find(name);
            if known.is_some_and(|column| column < 2 || self.columns.is_descriptive(column) != part.is_tag) {
                return Err(format!("{} is the name of a tag and of a field: {}", excerpt(name), PREFIX_ADVICE));
            }
            let owner = self.measurement_of_field.get(name).filter(|_| !part.is_tag);
            if let Some(owner) = owner.filter(|owner| *owner != measurement) {
                let (name, owner) = (excerpt(name), excerpt(owner));
                return Err(format!("field {name} is in measurement {owner} too: {PREFIX_ADVICE}"));
            }
        }
        record.set(1, Field::Text(measurement));
        for part in &line.parts {
            let name = &line.text[part.name.clone()];
            let Some(column) = self.columns.ensure(name, part.is_tag) else { continue };
            if !part.is_tag && !self.name_with_measurement && !self.measurement_of_field.contains_key(name) {
                self.measurement_of_field.insert(name.to_owned(), measurement.to_owned());
            }
            match &part.value {
                PartValue::Text(text) => record.set(column, Field::Text(&line.text[text.clone()])),
                PartValue::Scalar(value) => record.set(column, *value),
            }
        }
        if let Some(time) = line.time {
            record.set(0, Field::Integer(time));
        }
        Ok(())
    }
}

const PREFIX_ADVICE: &str = "name fields with their measurement (--measurement-in-names)";

impl ParsedLine {
    fn parse(&mut self, line: &str, name_with_measurement: bool) -> Parsed<()> {
        self.text.clear();
        self.parts.clear();
        self.time = None;
        let mut rest = name(line, b", ", &mut self.buffer)?;
        self.measurement = self.keep();
        while let Some(behind) = rest.strip_prefix(',') {
            rest = name(behind, b"=, ", &mut self.buffer)?;
            let value = rest.strip_prefix('=').ok_or_else(|| format!("tag {} has no value", excerpt(&self.buffer)))?;
            let tag = self.keep();
            rest = name(value, b", ", &mut self.buffer)?;
            let value = PartValue::Text(self.keep());
            self.parts.push(Part { name: tag, is_tag: true, value });
        }
        rest = rest.trim_start_matches(' ');
        loop {
            rest = name(rest, b"=, ", &mut self.buffer)?;
            let value =
                rest.strip_prefix('=').ok_or_else(|| format!("field {} has no value", excerpt(&self.buffer)))?;
            if name_with_measurement {
                self.buffer = format!("{}.{}", &self.text[self.measurement.clone()], self.buffer);
            }
            let field = self.keep();
            let value = if let Some(quoted) = value.strip_prefix('"') {
                rest = quoted_text(quoted, &mut self.buffer)?;
                PartValue::Text(self.keep())
            } else {
                let end = value.find([',', ' ']).unwrap_or(value.len());
                rest = &value[end..];
                PartValue::Scalar(scalar(&value[..end])?)
            };
            self.parts.push(Part { name: field, is_tag: false, value });
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
            self.time =
                Some(time.parse::<i64>().map_err(|_| format!("{} is not a whole number of time", excerpt(time)))?);
        }
        Ok(())
    }

    /// Keeps the name or text at hand.
    fn keep(&mut self) -> Range<usize> {
        let from = self.text.len();
        self.text.push_str(&self.buffer);
        from..self.text.len()
    }
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
        None if super::is_out_of_range(text, b'.') => Err(super::out_of_range(text)),
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
            if line == 1 && self.raw.starts_with(&[0xEF, 0xBB, 0xBF]) {
                self.raw.drain(..3);
            }
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

    #[test]
    fn a_tag_of_one_measurement_is_a_field_of_another() {
        let input = b"cpu,host=a v=1 1\nweb host=\"b\" 2\n";
        assert!(read_all(input, false).1[1].is_err());
        let (columns, rows) = read_all(input, true);
        let record = rows[1].as_ref().expect("a field of its own");
        assert_eq!(record.field(columns.find("web.host").expect("a column")), Field::Text("b"));
    }

    #[test]
    fn a_refused_line_claims_no_name_and_a_byte_order_mark_is_dropped() {
        let (columns, rows) = read_all(b"\xEF\xBB\xBFm,t=a v=1x,w=2 1\nn,v=a t=1,w=3 1\nm a=1,a=2\n", false);
        assert!(rows[0].is_err() && rows[2].is_err(), "{rows:?}");
        let record = rows[1].as_ref().expect("names that no good line had before");
        assert_eq!(record.field(columns.find("measurement").expect("a column")), Field::Text("n"));
        assert_eq!(columns.names(), ["time", "measurement", "v", "t", "w"]);
        let (columns, rows) = read_all(b"\xEF\xBB\xBFm v=1 1\n", false);
        let record = rows[0].as_ref().expect("a good line");
        assert_eq!(record.field(columns.find("measurement").expect("a column")), Field::Text("m"));
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
