//! A record: fields by column, in buffers that are used again.
//!
//! Guarantees: a column keeps its number for the life of its reader; a field that the record does not have is
//! [`Field::Missing`].

use std::collections::{HashMap, HashSet};

use super::COLUMNS_MAX;

/// One field of a record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// The record has no such field, or it is empty.
    Missing,
    /// Text of a format without types: a number, a boolean or a text.
    Open(&'a str),
    /// A text, said to be one.
    Text(&'a str),
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// An instant, of a format that has such a type: nanoseconds since the epoch.
    Instant(i64),
    /// A local time of a format that has such a type: nanoseconds since the epoch, if it were UTC.
    LocalTime(i64),
    /// A date of a format that has such a type: days since the epoch.
    Date(i64),
    /// A list, which no column takes.
    List,
}

/// A field as the record keeps it: texts lie in the record's one buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stored {
    Missing,
    Open(u32, u32),
    Text(u32, u32),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Instant(i64),
    LocalTime(i64),
    Date(i64),
    List,
}

/// One record of a file.
#[derive(Debug, Clone, Default)]
pub struct Record {
    line: u64,
    text: String,
    fields: Vec<Stored>,
    raw: Vec<u8>,
}

impl Record {
    /// An empty record, to be filled by a reader.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The line it began on, or its row, counted from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The field of a column.
    #[must_use]
    pub fn field(&self, column: usize) -> Field<'_> {
        let text = |from: u32, to: u32| self.text.get(from as usize..to as usize).unwrap_or_default();
        match self.fields.get(column).copied().unwrap_or(Stored::Missing) {
            Stored::Missing => Field::Missing,
            Stored::Open(from, to) => Field::Open(text(from, to)),
            Stored::Text(from, to) => Field::Text(text(from, to)),
            Stored::Boolean(value) => Field::Boolean(value),
            Stored::Integer(value) => Field::Integer(value),
            Stored::Float(value) => Field::Float(value),
            Stored::Instant(value) => Field::Instant(value),
            Stored::LocalTime(value) => Field::LocalTime(value),
            Stored::Date(value) => Field::Date(value),
            Stored::List => Field::List,
        }
    }

    /// Its first bytes, for a rejection.
    #[must_use]
    pub fn first_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// Bytes of all its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Begins a record: no fields, and its first bytes.
    pub(crate) fn begin(&mut self, line: u64, raw: &[u8]) {
        self.line = line;
        self.text.clear();
        self.fields.clear();
        self.raw.clear();
        self.raw.extend_from_slice(&raw[..raw.len().min(super::REJECTED_BYTES_MAX)]);
    }

    /// Takes a whole line as the buffer that the ranges of [`Self::push_open`] point into.
    pub(crate) fn set_text(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
    }

    /// Adds the field of the next column: a range of the text.
    pub(crate) fn push_open(&mut self, from: usize, to: usize) {
        self.fields.push(if from == to { Stored::Missing } else { Stored::Open(from as u32, to as u32) });
    }

    /// How many fields were pushed.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Sets a field; a later value of a column replaces an earlier one.
    pub(crate) fn set(&mut self, column: usize, field: Field<'_>) {
        if column >= self.fields.len() {
            self.fields.resize(column + 1, Stored::Missing);
        }
        let mut keep = |text: &str| {
            let from = self.text.len();
            self.text.push_str(text);
            (from as u32, self.text.len() as u32)
        };
        self.fields[column] = match field {
            Field::Missing => Stored::Missing,
            Field::Open(text) => {
                let (from, to) = keep(text);
                Stored::Open(from, to)
            }
            Field::Text(text) => {
                let (from, to) = keep(text);
                Stored::Text(from, to)
            }
            Field::Boolean(value) => Stored::Boolean(value),
            Field::Integer(value) => Stored::Integer(value),
            Field::Float(value) => Stored::Float(value),
            Field::Instant(value) => Stored::Instant(value),
            Field::LocalTime(value) => Stored::LocalTime(value),
            Field::Date(value) => Stored::Date(value),
            Field::List => Stored::List,
        };
    }
}

/// For each column the number of the last record that [`Columns::check`] saw it in.
#[derive(Debug, Default)]
pub(crate) struct SeenColumns {
    record: u64,
    in_record: Vec<u64>,
}

/// The columns of a file by number and by name.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, u32>,
    descriptive: Vec<bool>,
}

impl Columns {
    /// No columns.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The columns of a header, by number: a name may be empty or come twice.
    #[must_use]
    pub fn from_header(names: Vec<String>) -> Self {
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            places.entry(name.clone()).or_insert(place as u32);
        }
        let descriptive = vec![false; names.len()];
        Self { names, places, descriptive }
    }

    /// The names, by number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of the first column of a name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).map(|place| *place as usize)
    }

    /// Whether more than one column has the name.
    #[must_use]
    pub fn is_ambiguous(&self, name: &str) -> bool {
        self.names.iter().filter(|other| *other == name).count() > 1
    }

    /// Whether the column describes the device (a tag of the line protocol) rather than measures something.
    #[must_use]
    pub fn is_descriptive(&self, column: usize) -> bool {
        self.descriptive.get(column).copied().unwrap_or_default()
    }

    /// Checks that the names of one record are different, and that there is room for those that are new.
    pub(crate) fn check<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        seen: &mut SeenColumns,
    ) -> std::result::Result<(), String> {
        seen.record += 1;
        seen.in_record.resize(self.names.len(), 0);
        let mut new: HashSet<&str> = HashSet::new();
        for name in names {
            let is_first = match self.find(name) {
                Some(column) => std::mem::replace(&mut seen.in_record[column], seen.record) != seen.record,
                None => new.insert(name),
            };
            if !is_first {
                return Err(format!("two fields are named {}", super::excerpt(name)));
            }
            if self.names.len() + new.len() > COLUMNS_MAX {
                return Err(format!("more than {COLUMNS_MAX} different fields"));
            }
        }
        Ok(())
    }

    /// Finds or adds a column; `None` where there are too many.
    pub(crate) fn ensure(&mut self, name: &str, descriptive: bool) -> Option<usize> {
        if let Some(place) = self.places.get(name) {
            return Some(*place as usize);
        }
        if self.names.len() >= COLUMNS_MAX {
            return None;
        }
        self.names.push(name.to_owned());
        self.descriptive.push(descriptive);
        self.places.insert(name.to_owned(), (self.names.len() - 1) as u32);
        Some(self.names.len() - 1)
    }
}
