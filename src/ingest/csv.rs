//! CSV: RFC 4180 with any one-byte delimiter, the first record being the header.
//!
//! Guarantees: quoted fields may hold delimiters, doubled quotes and line feeds; a record whose quote is never closed is
//! refused alone, and the lines behind it are read as records of their own (nothing is swallowed); a record with another
//! number of fields than the header is refused, and where it went over several lines, its first line alone, since a stray
//! quote made it so; a line that a carriage return alone splits behind a quote is refused; blank lines are skipped; a UTF-8
//! byte order mark is dropped, UTF-16 is named in the error.

use std::io::BufRead;

use csv_core::ReadRecordResult;

use super::{COLUMNS_MAX, Columns, LINE_BYTES_MAX, Line, LineReader, Outcome, Record, RecordReader, Rejection};
use crate::error::{Error, ErrorKind, Result};

/// How a CSV file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvOptions {
    /// What stands between fields.
    pub delimiter: u8,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',' }
    }
}

/// Reads a CSV file record by record.
#[derive(Debug)]
pub struct CsvReader<R> {
    lines: LineReader<R>,
    delimiter: u8,
    columns: Columns,
    parser: csv_core::Reader,
    raw: Vec<u8>,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: BufRead> CsvReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where there is none, or it is not text; [`ErrorKind::Io`] where the file can not be read.
    pub fn new(input: R, options: CsvOptions) -> Result<Self> {
        if !options.delimiter.is_ascii() || matches!(options.delimiter, b'"' | b'\n' | b'\r') {
            return Err(Error::new(ErrorKind::InvalidInput, "the delimiter can not separate fields")
                .advise("use one ASCII character that is neither a quote nor a line end"));
        }
        let parser = csv_core::ReaderBuilder::new().delimiter(options.delimiter).build();
        let mut reader = Self {
            lines: LineReader::new(input),
            delimiter: options.delimiter,
            columns: Columns::new(),
            parser,
            raw: Vec::new(),
            unquoted: Vec::new(),
            ends: vec![0; 64],
        };
        reader.read_header()?;
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<()> {
        let mut record = Record::new();
        let header_error = |reason: &str| Error::new(ErrorKind::InvalidInput, format!("no CSV header: {reason}"));
        loop {
            self.raw.clear();
            match self.lines.read(&mut self.raw)? {
                Line::End => return Err(Error::new(ErrorKind::InvalidInput, "the file is empty")),
                Line::TooLong => return Err(header_error("the first line is longer than 1 MiB")),
                Line::Whole => {}
            }
            if self.lines.number() == 1 {
                if self.raw.starts_with(&[0xFF, 0xFE]) || self.raw.starts_with(&[0xFE, 0xFF]) {
                    return Err(header_error("the file is UTF-16").advise("convert it to UTF-8"));
                }
                if self.raw.starts_with(&[0xEF, 0xBB, 0xBF]) {
                    self.raw.drain(..3);
                }
            }
            if self.raw.contains(&0) {
                return Err(header_error("the file is binary"));
            }
            if without_line_end(&self.raw).contains(&b'\r') && !self.raw.contains(&b'"') {
                return Err(header_error("its lines end with a carriage return alone")
                    .advise("convert the line ends to line feeds"));
            }
            if !is_blank(&self.raw) {
                break;
            }
        }
        let line = self.lines.number();
        if let Outcome::Rejected(rejection) = self.finish_record(line, &mut record)? {
            return Err(header_error(&rejection.reason).at_row(rejection.row));
        }
        if record.len() > COLUMNS_MAX {
            return Err(header_error(&format!("it names {} columns, more than {COLUMNS_MAX}", record.len())));
        }
        let name = |column| match record.field(column) {
            super::Field::Open(name) => name.trim().to_owned(),
            _ => String::new(),
        };
        self.columns = Columns::from_header((0..record.len()).map(name).collect());
        Ok(())
    }

    /// Splits the line in `raw` into fields, reading on where a quoted field goes over its end.
    fn finish_record(&mut self, line: u64, record: &mut Record) -> Result<Outcome> {
        record.begin(line, &self.raw);
        if memchr::memchr(b'"', &self.raw).is_none() {
            let content = without_line_end(&self.raw);
            let Ok(text) = std::str::from_utf8(content) else {
                return Ok(Outcome::Rejected(Rejection::new(line, NOT_UTF8, &self.raw)));
            };
            record.set_text(text);
            let mut from = 0;
            for to in memchr::memchr_iter(self.delimiter, content) {
                record.push_open(from, to);
                from = to + 1;
            }
            record.push_open(from, content.len());
            return Ok(Outcome::Record);
        }
        self.finish_quoted(line, record)
    }

    fn finish_quoted(&mut self, line: u64, record: &mut Record) -> Result<Outcome> {
        self.parser.reset();
        let (mut read, mut written, mut fields) = (0, 0, 0);
        let first_line_bytes = self.raw.len();
        loop {
            self.unquoted.resize(self.unquoted.len().max(self.raw.len() + 1), 0);
            let (result, bytes_in, bytes_out, ends) =
                self.parser.read_record(&self.raw[read..], &mut self.unquoted[written..], &mut self.ends[fields..]);
            (read, written, fields) = (read + bytes_in, written + bytes_out, fields + ends);
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::OutputEndsFull if self.ends.len() <= LINE_BYTES_MAX => {
                    self.ends.resize(self.ends.len() * 2, 0)
                }
                ReadRecordResult::OutputEndsFull | ReadRecordResult::OutputFull | ReadRecordResult::End => {
                    return Ok(Outcome::Rejected(Rejection::new(
                        line,
                        "more fields than a record can have",
                        &self.raw,
                    )));
                }
                ReadRecordResult::InputEmpty if !self.raw.ends_with(b"\n") => self.raw.push(b'\n'),
                ReadRecordResult::InputEmpty => {
                    let outcome = self.lines.read(&mut self.raw)?;
                    if outcome != Line::Whole || self.raw.len() > LINE_BYTES_MAX {
                        return Ok(self.refuse_first_line(line, first_line_bytes, outcome, NOT_CLOSED));
                    }
                }
            }
        }
        // The parser ends a record at a carriage return too: what is behind it belongs to no record.
        if !matches!(&self.raw[read..], b"" | b"\n") {
            let reason = "a carriage return alone stands behind a quoted field";
            return Ok(self.refuse_first_line(line, first_line_bytes, Line::Whole, reason));
        }
        let spans_lines = memchr::memchr(b'\n', &self.raw).is_some_and(|place| place + 1 < self.raw.len());
        if spans_lines && !is_strict(&self.raw, self.delimiter) {
            return Ok(self.refuse_first_line(line, first_line_bytes, Line::Whole, NOT_CLOSED));
        }
        let Ok(text) = std::str::from_utf8(&self.unquoted[..written]) else {
            return Ok(Outcome::Rejected(Rejection::new(line, NOT_UTF8, &self.raw)));
        };
        record.set_text(text);
        let mut from = 0;
        for to in &self.ends[..fields] {
            record.push_open(from, *to);
            from = *to;
        }
        Ok(Outcome::Record)
    }

    /// Refuses the first line of what can not be a record, and puts the lines behind it back.
    fn refuse_first_line(&mut self, line: u64, first_line_bytes: usize, outcome: Line, reason: &str) -> Outcome {
        let first = first_line_bytes.min(self.raw.len());
        if outcome == Line::TooLong {
            // The line that was too long is skipped already; refuse all that led to it.
            return Outcome::Rejected(Rejection::new(
                line,
                "a quoted field runs into a line longer than 1 MiB",
                &self.raw,
            ));
        }
        // Behind the last line of a file without a line feed there is the one that it was given to be parsed, and no line.
        if self.raw[..first].ends_with(b"\n") {
            let behind = self.raw[first..].to_vec();
            self.lines.put_back(&behind);
        }
        Outcome::Rejected(Rejection::new(line, reason, &self.raw[..first]))
    }
}

const NOT_CLOSED: &str = "a quoted field is not closed";
const NOT_UTF8: &str = "the line is not UTF-8";

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Whether every closing quote stands at the end of its field. In a record of several lines anything else says that a stray
/// quote began it.
fn is_strict(record: &[u8], delimiter: u8) -> bool {
    let (mut at_start, mut quoted, mut closing) = (true, false, false);
    for byte in record {
        match (*byte, quoted, closing) {
            (b'"', true, false) => closing = true,
            (b'"', true, true) => closing = false,
            (_, true, false) => {}
            (b'\r' | b'\n', true, true) => {}
            (other, true, true) if other != delimiter => return false,
            (b'"', false, _) if at_start => quoted = true,
            (other, ..) => {
                (quoted, closing) = (false, false);
                at_start = other == delimiter;
                continue;
            }
        }
        at_start = false;
    }
    true
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl<R: BufRead> RecordReader for CsvReader<R> {
    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn has_header(&self) -> bool {
        true
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
                // A file of one tab-delimited column aside, a line of blanks alone holds no record.
                Line::Whole
                    if matches!(self.raw.as_slice(), b"\n" | b"\r\n") || self.raw.iter().all(|byte| *byte == b' ') => {}
                Line::Whole => {
                    let outcome = self.finish_record(line, record)?;
                    if outcome != Outcome::Record || record.len() == self.columns.names().len() {
                        return Ok(outcome);
                    }
                    let reason = format!("{} fields where the header has {}", record.len(), self.columns.names().len());
                    let first_line = memchr::memchr(b'\n', &self.raw).map_or(self.raw.len(), |place| place + 1);
                    let behind = self.raw.split_off(first_line);
                    self.lines.put_back(&behind);
                    return Ok(Outcome::Rejected(Rejection::new(line, reason, record.first_bytes())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Field;
    use super::*;

    type Rows = Vec<std::result::Result<Vec<String>, (u64, String)>>;

    fn read_all(input: &[u8], delimiter: u8) -> Result<(Vec<String>, Rows)> {
        let mut reader = CsvReader::new(input, CsvOptions { delimiter })?;
        let mut record = Record::new();
        let mut rows = Vec::new();
        loop {
            match reader.read(&mut record)? {
                Outcome::End => return Ok((reader.columns().names().to_vec(), rows)),
                Outcome::Rejected(rejection) => rows.push(Err((rejection.row, rejection.reason))),
                Outcome::Record => {
                    let text = |column| match record.field(column) {
                        Field::Open(text) => text.to_owned(),
                        _ => String::new(),
                    };
                    rows.push(Ok((0..record.len()).map(text).collect()));
                }
            }
        }
    }

    #[test]
    fn quotes_marks_and_line_ends() {
        let (header, rows) = read_all(b"\xEF\xBB\xBFa;b\r\n1;\"x;\"\"y\nz\"\r\n\n2;", b';').expect("good file");
        assert_eq!(header, ["a", "b"]);
        assert_eq!(rows, [Ok(vec!["1".into(), "x;\"y\nz".into()]), Ok(vec!["2".into(), String::new()])]);
    }

    #[test]
    fn an_open_quote_swallows_nothing() {
        let (_, rows) = read_all(b"a,b\n1,\"x\n2,y\n3,z\n", b',').expect("good header");
        assert_eq!(rows[0], Err((2, "a quoted field is not closed".into())));
        assert_eq!(rows[1..], [Ok(vec!["2".into(), "y".into()]), Ok(vec!["3".into(), "z".into()])]);
    }

    #[test]
    fn a_stray_quote_swallows_nothing_up_to_the_next_quote() {
        let (_, rows) = read_all(b"a,b\n1,\"x\n2,y\n3,\"z\"\n4,w\n", b',').expect("good header");
        let kept: Vec<_> = rows.iter().filter_map(|row| row.as_ref().ok().map(|row| row[0].as_str())).collect();
        assert_eq!(kept, ["2", "3", "4"]);
        assert_eq!(rows[0].as_ref().err().map(|(line, _)| *line), Some(2));
    }

    #[test]
    fn a_carriage_return_alone_swallows_nothing() {
        let (_, rows) = read_all(b"a,b\n1,\"x\"\r2,\"y\"\n3,\"z\"\r\n", b',').expect("good header");
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(matches!(&rows[0], Err((2, reason)) if reason.contains("carriage return")), "{rows:?}");
        assert_eq!(rows[1], Ok(vec!["3".into(), "z".into()]));
        let error = read_all(b"a,b\r1,2\r3,4\r", b',').expect_err("lines of an old Mac");
        assert!(error.to_string().contains("carriage return"), "{error}");
    }

    #[test]
    fn bad_lines_are_refused_by_number() {
        let (_, rows) = read_all(b"a,b\n1\n1,2,3\n\xFF,2\n4,5\n", b',').expect("good header");
        let numbers: Vec<u64> = rows.iter().filter_map(|row| row.as_ref().err().map(|(line, _)| *line)).collect();
        assert_eq!(numbers, [2, 3, 4]);
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn files_that_are_no_csv_are_named() {
        for (input, word) in
            [(&b""[..], "empty"), (b"\xFF\xFEa\0", "UTF-16"), (b"\x7FELF\0\0\n", "binary"), (b"a,\xC3\n1,2\n", "UTF-8")]
        {
            let error = read_all(input, b',').expect_err("no CSV");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(input in prop::collection::vec(prop::sample::select(b"a,\"\n\r;1 \xFF".to_vec()), 0..200)) {
            let _ = read_all(&input, b',');
        }

        /// Law: every line is one of a record or of a rejection, and a record holds every character of its lines that is
        /// no mark of CSV.
        #[test]
        fn records_and_rejections_cover_the_input(
            lines in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab1,\"\n\r".to_vec()), 0..24), 0..8),
        ) {
            let content = |bytes: &[u8]| bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
            let input = [b"x,y".to_vec()].into_iter().chain(lines).collect::<Vec<_>>().join(&b'\n');
            let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
            let mut reader = CsvReader::new(input.as_slice(), CsvOptions::default()).expect("a good header");
            let (mut record, mut covered) = (Record::new(), reader.lines.number() as usize);
            loop {
                let outcome = reader.read(&mut record).expect("a slice can be read");
                let to = reader.lines.number() as usize;
                let expected = content(&lines[covered..to].concat());
                match outcome {
                    Outcome::End => {
                        prop_assert_eq!(expected, 0);
                        prop_assert!(lines[to..].iter().all(|line| content(line) == 0));
                        break;
                    }
                    Outcome::Rejected(rejection) => {
                        let from = rejection.row as usize - 1;
                        prop_assert!(from >= covered && lines[covered..from].iter().all(|line| content(line) == 0));
                    }
                    Outcome::Record => {
                        let fields = (0..record.len()).map(|column| match record.field(column) {
                            Field::Open(text) => content(text.as_bytes()),
                            _ => 0,
                        });
                        prop_assert_eq!(fields.sum::<usize>(), expected);
                    }
                }
                covered = to;
            }
        }

        /// Law: what the `csv` crate writes, this reader reads back.
        #[test]
        fn reads_what_the_csv_crate_writes(
            rows in prop::collection::vec(prop::collection::vec("[a-c,;\"\\n\\r 0-9é]{0,6}", 3), 0..20),
        ) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(["x", "y", "z"]).expect("into memory");
            for row in &rows {
                writer.write_record(row).expect("into memory");
            }
            let bytes = writer.into_inner().expect("into memory");
            let (header, read) = read_all(&bytes, b',').expect("good file");
            prop_assert_eq!(header, ["x", "y", "z"]);
            prop_assert_eq!(read, rows.into_iter().map(Ok).collect::<Rows>());
        }
    }
}
