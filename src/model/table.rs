//! Results: columns with names, types and units.

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
    Text(String),
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
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with columns.
    #[must_use]
    pub fn new(columns: Vec<TableColumn>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// An empty table with columns of these names, without units.
    #[must_use]
    pub fn with_names(names: &[&str]) -> Self {
        Self::new(names.iter().map(|name| TableColumn { name: (*name).to_owned(), unit: None }).collect())
    }

    /// Appends a row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the row does not have one cell for each column.
    pub fn push(&mut self, row: Vec<Cell>) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a row of {} cells for {} columns", row.len(), self.columns.len()),
            ));
        }
        self.rows.push(row);
        Ok(())
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The place of a column by name.
    #[must_use]
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}
