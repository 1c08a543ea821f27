//! Results: columns with names, types and units.
//!
//! The cells of all rows lie in one list, and rows of a group share their texts: a row takes no memory of its own.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

/// One cell of a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No value.
    Null,
    /// A float.
    Float(f64),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A text.
    Text(Arc<str>),
    /// An instant.
    Time(Timestamp),
}

/// The name and unit of one column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// The name, as the command prints it.
    pub name: String,
    /// The unit of its values, where the metric has one: of a rate per second, of a slope per day, of a variance squared.
    pub unit: Option<String>,
}

/// A result: rows of cells under named columns, in their final order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    columns: Vec<TableColumn>,
    cells: Vec<Cell>,
    rows: usize,
}

/// The rows of a table, in order: each a slice of as many cells as there are columns.
#[derive(Clone, Copy)]
pub struct Rows<'t> {
    cells: &'t [Cell],
    width: usize,
    count: usize,
}

impl<'t> Rows<'t> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One of them, by its place from 0.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&'t [Cell]> {
        (place < self.count).then(|| &self.cells[place * self.width..(place + 1) * self.width])
    }

    /// The first one.
    #[must_use]
    pub fn first(&self) -> Option<&'t [Cell]> {
        self.get(0)
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<&'t [Cell]> {
        self.get(self.count.checked_sub(1)?)
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'t [Cell]> + ExactSizeIterator + Clone + use<'t> {
        let (cells, width) = (self.cells, self.width);
        (0..self.count).map(move |place| &cells[place * width..(place + 1) * width])
    }

    /// All of them, as lists of their own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Vec<Cell>> {
        self.iter().map(<[Cell]>::to_vec).collect()
    }
}

impl Index<usize> for Rows<'_> {
    type Output = [Cell];

    /// # Panics
    /// Where there are not so many rows.
    fn index(&self, place: usize) -> &[Cell] {
        assert!(place < self.count, "row {place} of {}", self.count);
        &self.cells[place * self.width..(place + 1) * self.width]
    }
}

impl<'t> IntoIterator for Rows<'t> {
    type Item = &'t [Cell];
    type IntoIter = Box<dyn Iterator<Item = &'t [Cell]> + 't>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Rows<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl<R: AsRef<[Cell]>> PartialEq<[R]> for Rows<'_> {
    fn eq(&self, other: &[R]) -> bool {
        self.iter().eq(other.iter().map(AsRef::as_ref))
    }
}

impl<R: AsRef<[Cell]>, const N: usize> PartialEq<[R; N]> for Rows<'_> {
    fn eq(&self, other: &[R; N]) -> bool {
        *self == other[..]
    }
}

impl<R: AsRef<[Cell]>> PartialEq<Vec<R>> for Rows<'_> {
    fn eq(&self, other: &Vec<R>) -> bool {
        *self == other[..]
    }
}

impl Table {
    /// An empty table with columns.
    #[must_use]
    pub fn new(columns: Vec<TableColumn>) -> Self {
        Self { columns, cells: Vec::new(), rows: 0 }
    }

    /// An empty table with columns of these names, without units.
    #[must_use]
    pub fn with_names(names: &[&str]) -> Self {
        Self::new(names.iter().map(|name| TableColumn { name: (*name).to_owned(), unit: None }).collect())
    }

    /// A table of rows whose cells lie one after the other; what is no whole row behind them is left out.
    pub(crate) fn of_cells(columns: Vec<TableColumn>, mut cells: Vec<Cell>) -> Self {
        let rows = cells.len().checked_div(columns.len()).unwrap_or(0);
        cells.truncate(rows * columns.len());
        Self { columns, cells, rows }
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], and nothing appended, when the row does not have one cell for each column.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) -> Result<()> {
        let start = self.cells.len();
        self.cells.extend(row);
        let count = self.cells.len() - start;
        if count != self.columns.len() {
            self.cells.truncate(start);
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a row of {count} cells for {} columns", self.columns.len()),
            ));
        }
        self.rows += 1;
        Ok(())
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        Rows { cells: &self.cells, width: self.columns.len(), count: self.rows }
    }

    /// The place of a column by name.
    #[must_use]
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
