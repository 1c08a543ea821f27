//! Tables as text, CSV or JSON.

use std::io::{BufWriter, IsTerminal, StdoutLock, Write};

use comfy_table::{CellAlignment, ContentArrangement, presets};
use fleetlog::{Cell, Table, TableColumn};
use serde_json::Value;

use crate::Failure;
use crate::arguments::{Common, Format};

/// Writes the batches of one table to stdout, in the format asked for.
pub(crate) struct Output {
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    columns: Option<Vec<TableColumn>>,
    rows: u64,
    /// Rows of a table for a person: they are shown together, so that columns line up.
    shown: Vec<Vec<Cell>>,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Self {
        let chosen = if std::io::stdout().is_terminal() { Format::Table } else { Format::Csv };
        let format = common.format.unwrap_or(chosen);
        Self { format, out: BufWriter::new(std::io::stdout().lock()), columns: None, rows: 0, shown: Vec::new() }
    }

    /// Writes a whole table.
    pub(crate) fn table(mut self, table: &Table) -> Result<(), Failure> {
        self.batch(table)?;
        self.finish()
    }

    /// Writes rows; the first batch brings the columns.
    pub(crate) fn batch(&mut self, table: &Table) -> Result<(), Failure> {
        if self.columns.is_none() {
            self.begin(table.columns())?;
        }
        for row in table.rows() {
            match self.format {
                Format::Table => {
                    self.shown.push(row.to_vec());
                    if self.shown.len() >= 10_000 {
                        self.show()?;
                    }
                }
                Format::Csv => self.csv(&row.iter().map(text).collect::<Vec<_>>())?,
                Format::Json => {
                    let begin: &[u8] = if self.rows == 0 { b"[" } else { b",\n" };
                    self.out.write_all(begin)?;
                    self.object(table.columns(), row)?;
                }
                Format::Jsonl => {
                    self.object(table.columns(), row)?;
                    self.out.write_all(b"\n")?;
                }
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn begin(&mut self, columns: &[TableColumn]) -> Result<(), Failure> {
        if self.format == Format::Csv {
            self.csv(&columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>())?;
        }
        self.columns = Some(columns.to_vec());
        Ok(())
    }

    /// Ends the table.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.show()?,
            Format::Json => self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"]\n" })?,
            Format::Csv | Format::Jsonl => {}
        }
        self.out.flush()?;
        Ok(())
    }

    fn csv(&mut self, fields: &[String]) -> Result<(), Failure> {
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        let line = writer.write_record(fields).map_err(std::io::Error::other);
        line.and_then(|()| writer.into_inner().map_err(|error| error.into_error()))
            .and_then(|line| self.out.write_all(&line))
            .map_err(Failure::from)
    }

    /// Writes a row as an object whose keys stand in the order of the columns, as in CSV.
    fn object(&mut self, columns: &[TableColumn], row: &[Cell]) -> Result<(), Failure> {
        for (place, (column, cell)) in columns.iter().zip(row).enumerate() {
            let mark = if place == 0 { "{" } else { "," };
            write!(self.out, "{mark}{}:{}", Value::from(column.name.as_str()), json(cell))?;
        }
        self.out.write_all(if columns.is_empty() { b"{}" } else { b"}" })?;
        Ok(())
    }

    fn show(&mut self) -> Result<(), Failure> {
        let Some(columns) = &self.columns else { return Ok(()) };
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| match &column.unit {
            Some(unit) => format!("{} [{unit}]", column.name),
            None => column.name.clone(),
        }));
        for (place, _) in columns.iter().enumerate() {
            let numbers = self.shown.iter().map(|row| &row[place]).filter(|cell| **cell != Cell::Null);
            let mut numbers = numbers.peekable();
            let right =
                numbers.peek().is_some() && numbers.all(|cell| matches!(cell, Cell::Float(_) | Cell::Integer(_)));
            if let Some(column) = table.column_mut(place).filter(|_| right) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for row in self.shown.drain(..) {
            table.add_row(row.iter().map(short));
        }
        writeln!(self.out, "{}", table.trim_fmt())?;
        Ok(())
    }
}

/// A cell as JSON: what JSON has no number for is text.
pub(crate) fn json(cell: &Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Float(value) => {
            serde_json::Number::from_f64(*value).map_or_else(|| Value::String(text(cell)), Value::Number)
        }
        Cell::Integer(value) => Value::from(*value),
        Cell::Boolean(value) => Value::Bool(*value),
        Cell::Text(_) | Cell::Time(_) => Value::String(text(cell)),
    }
}

/// A cell as a field of CSV: a float as the shortest text that reads back to the same bits.
pub(crate) fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Float(value) if value.is_nan() => "NaN".to_owned(),
        Cell::Float(value) if value.is_infinite() => if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        Cell::Float(value) if *value != 0.0 && !(1e-5..1e16).contains(&value.abs()) => format!("{value:e}"),
        Cell::Float(value) => value.to_string(),
        Cell::Integer(value) => value.to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Text(value) => value.to_string(),
        Cell::Time(value) => value.to_string(),
    }
}

/// A cell for a person: floats to six digits.
fn short(cell: &Cell) -> String {
    match cell {
        Cell::Float(value) if value.is_finite() && *value != 0.0 => {
            let digits = 5 - value.abs().log10().floor() as i32;
            if !(-4..=10).contains(&digits) {
                return format!("{value:.5e}");
            }
            let fixed = format!("{value:.*}", digits.max(0) as usize);
            if fixed.contains('.') { fixed.trim_end_matches('0').trim_end_matches('.').to_owned() } else { fixed }
        }
        _ => text(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_to_the_same_bits_and_people_see_six_digits() {
        for value in [0.1, -0.0, 1e300, 5e-324, 123_456_789.125, 1e16, 1e-5, f64::MAX] {
            let written = text(&Cell::Float(value));
            assert_eq!(written.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{written}");
            assert!(written.len() < 26, "{written}");
        }
        assert_eq!(text(&Cell::Float(f64::NEG_INFINITY)), "-Infinity");
        assert_eq!(json(&Cell::Float(f64::NAN)), Value::String("NaN".to_owned()));
        let shown: Vec<String> =
            [41.234_567_8, 1_234_567.8, 0.000_012_345_67, 100.0, 1e20].map(|value| short(&Cell::Float(value))).into();
        assert_eq!(shown, ["41.2346", "1234568", "0.0000123457", "100", "1.00000e20"]);
    }
}
