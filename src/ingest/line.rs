//! Lines of a file, with a limit, and with the ability to go back.
//!
//! Guarantees: at most [`LINE_BYTES_MAX`] bytes of a line are held (a longer one is skipped to its end and reported); lines
//! are counted from 1; lines that are put back come again under their own numbers.

use std::io::BufRead;

use super::LINE_BYTES_MAX;
use crate::error::{Error, ErrorKind, Result};

/// What [`LineReader::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A line was appended, its line feed included where it has one.
    Whole,
    /// The line is longer than the limit; its first bytes were appended, the rest was skipped.
    TooLong,
    /// There is nothing more.
    End,
}

/// Reads a file line by line.
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    number: u64,
    returned: Vec<u8>,
    returned_at: usize,
}

impl<R: BufRead> LineReader<R> {
    /// Reads from the start of an input.
    #[must_use]
    pub fn new(input: R) -> Self {
        Self { input, number: 0, returned: Vec::new(), returned_at: 0 }
    }

    /// The number of the line read last, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Puts whole lines back: they are the next ones, before those that were put back earlier.
    pub(crate) fn put_back(&mut self, lines: &[u8]) {
        let count =
            memchr::memchr_iter(b'\n', lines).count() + usize::from(!lines.is_empty() && !lines.ends_with(b"\n"));
        let mut returned = lines.to_vec();
        returned.extend_from_slice(self.returned.get(self.returned_at..).unwrap_or_default());
        self.returned = returned;
        self.returned_at = 0;
        self.number = self.number.saturating_sub(count as u64);
    }

    /// Appends the next line to `line`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the input can not be read, [`ErrorKind::InvalidInput`] where it is a damaged compressed file.
    pub fn read(&mut self, line: &mut Vec<u8>) -> Result<Line> {
        let start = line.len();
        let from_returned = self.returned.get(self.returned_at..).unwrap_or_default();
        if !from_returned.is_empty() {
            let end = memchr::memchr(b'\n', from_returned).map_or(from_returned.len(), |place| place + 1);
            line.extend_from_slice(&from_returned[..end]);
            self.returned_at += end;
            self.number += 1;
            return Ok(Line::Whole);
        }
        let mut too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(read_error(error)),
            };
            if available.is_empty() {
                break;
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.map_or(available.len(), |place| place + 1);
            let room = LINE_BYTES_MAX - (line.len() - start).min(LINE_BYTES_MAX);
            too_long |= taken > room;
            line.extend_from_slice(&available[..taken.min(room)]);
            self.input.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if line.len() == start {
            return Ok(Line::End);
        }
        self.number += 1;
        Ok(if too_long { Line::TooLong } else { Line::Whole })
    }
}

/// What a failed read means: damaged compressed input is the input's fault, anything else the system's.
pub(crate) fn read_error(error: std::io::Error) -> Error {
    use std::io::ErrorKind as Os;
    let damaged = matches!(error.kind(), Os::UnexpectedEof | Os::InvalidData | Os::InvalidInput | Os::Other);
    if damaged && error.raw_os_error().is_none() {
        Error::new(ErrorKind::InvalidInput, format!("the compressed file is cut or damaged: {error}")).caused_by(error)
    } else {
        Error::new(ErrorKind::Io, format!("reading failed: {error}")).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<(Line, usize, u64)> {
        let mut reader = LineReader::new(std::io::BufReader::with_capacity(7, input));
        let mut found = Vec::new();
        loop {
            let mut line = Vec::new();
            let outcome = reader.read(&mut line).expect("a slice can be read");
            if outcome == Line::End {
                return found;
            }
            found.push((outcome, line.len(), reader.number()));
        }
    }

    #[test]
    fn lines_are_counted_and_limited() {
        assert_eq!(all(b""), []);
        assert_eq!(all(b"ab\n\ncd"), [(Line::Whole, 3, 1), (Line::Whole, 1, 2), (Line::Whole, 2, 3)]);
        let mut long = vec![b'x'; LINE_BYTES_MAX + 10];
        long.extend_from_slice(b"\nab\n");
        assert_eq!(all(&long), [(Line::TooLong, LINE_BYTES_MAX, 1), (Line::Whole, 3, 2)]);
    }

    #[test]
    fn lines_put_back_come_again_in_order() {
        let mut reader = LineReader::new(&b"one\ntwo\nthree\nfour\n"[..]);
        let mut lines = Vec::new();
        for _ in 0..3 {
            reader.read(&mut lines).expect("a slice can be read");
        }
        reader.put_back(b"two\nthree\n");
        let mut again = Vec::new();
        reader.read(&mut again).expect("a slice can be read");
        assert_eq!((again.as_slice(), reader.number()), (&b"two\n"[..], 2));
        reader.put_back(b"two\n");
        let mut rest = Vec::new();
        while reader.read(&mut rest).expect("a slice can be read") != Line::End {}
        assert_eq!((rest.as_slice(), reader.number()), (&b"two\nthree\nfour\n"[..], 4));
    }
}
