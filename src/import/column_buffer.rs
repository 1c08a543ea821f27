//! A column that grows at its end, and whose earlier rows can still change.
//!
//! Guarantees: widens boolean to integer to float and never narrows; a change of an earlier row costs no more than a search;
//! texts that were replaced are dropped from the dictionary before they are more than its others, and when the column is taken.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::model::{Column, MetricType, Presence, TextValues, Values};

use super::block::Scalar;

/// A column that grows at its end.
#[derive(Debug)]
pub(super) struct ColumnBuffer {
    /// The present rows are exactly the first ones, as many as values; `positions` is empty.
    dense: bool,
    positions: Vec<u32>,
    values: Values,
    codes: HashMap<Arc<str>, u32>,
    text_bytes: usize,
    /// Values of rows that were passed without one; they are put between the others when the column is taken.
    late: BTreeMap<u32, Late>,
    /// Texts that were replaced since the dictionary held none that nobody uses.
    replaced: usize,
}

/// A value of a row that was passed; a text lies in the dictionary.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Late {
    Float(f64),
    Integer(i64),
    Boolean(bool),
    Text(u32),
}

impl ColumnBuffer {
    pub(super) fn new(metric_type: MetricType) -> Self {
        Self {
            dense: true,
            positions: Vec::new(),
            values: Values::empty(metric_type),
            codes: HashMap::new(),
            text_bytes: 0,
            late: BTreeMap::new(),
            replaced: 0,
        }
    }

    /// A column that has a float in each of the first rows.
    pub(super) fn of_floats(values: Vec<f64>) -> Self {
        Self { values: Values::Float(values), ..Self::new(MetricType::Float) }
    }

    pub(super) fn metric_type(&self) -> MetricType {
        self.values.metric_type()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.late.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Float(values) => values.len() * 8,
            Values::Integer(values) => values.len() * 8,
            Values::Boolean(values) => values.len(),
            Values::Text(values) => values.codes.len() * 4 + values.dictionary.len() * 80 + self.text_bytes,
        };
        values + self.positions.len() * 4 + self.late.len() * 32
    }

    /// Makes room for values of a type: widens, or changes the type of an empty buffer.
    pub(super) fn widen(&mut self, to: MetricType) -> Result<()> {
        if self.metric_type() == to {
            return Ok(());
        }
        let have = std::mem::replace(&mut self.values, Values::empty(to));
        if !have.is_empty() {
            match have.metric_type().widest(to) {
                Some(widest) => self.values = have.widen(widest)?,
                None => self.values = have.widen(to)?,
            }
        }
        let now = self.metric_type();
        self.late.values_mut().for_each(|value| *value = value.widened(now));
        Ok(())
    }

    /// Adds the value of a row behind all rows so far. A number never meets a text here: the plan's kind keeps them apart.
    pub(super) fn push(&mut self, row: usize, value: Scalar<'_>) -> Result<()> {
        if value.metric_type() != self.metric_type() {
            self.widen(value.metric_type())?;
        }
        self.mark(row);
        match (&mut self.values, value) {
            (Values::Float(values), Scalar::Float(value)) => values.push(value),
            (Values::Float(values), Scalar::Integer(value)) => values.push(value as f64),
            (Values::Float(values), Scalar::Boolean(value)) => values.push(f64::from(u8::from(value))),
            (Values::Integer(values), Scalar::Integer(value)) => values.push(value),
            (Values::Integer(values), Scalar::Boolean(value)) => values.push(i64::from(value)),
            (Values::Boolean(values), Scalar::Boolean(value)) => values.push(value),
            (Values::Text(values), Scalar::Text(text)) => {
                let code = code_of(values, &mut self.codes, &mut self.text_bytes, text, None);
                values.codes.push(code);
            }
            (values, value) => {
                debug_assert!(false, "{} after widening for {}", values.metric_type(), value.metric_type())
            }
        }
        Ok(())
    }

    fn mark(&mut self, row: usize) {
        if self.dense && self.values.len() == row {
            return;
        }
        self.list_positions();
        self.positions.push(row as u32);
    }

    fn list_positions(&mut self) {
        if self.dense {
            self.positions = (0..self.values.len() as u32).collect();
            self.dense = false;
        }
    }

    /// Appends rows of a column behind `base` rows so far. The buffer must be as wide as the column.
    pub(super) fn append(&mut self, column: &Column, rows: &Range<usize>, base: usize) -> Result<()> {
        let places = match &column.presence {
            Presence::All => {
                if !(self.dense && self.values.len() == base) {
                    self.list_positions();
                    self.positions.extend(base as u32..(base + rows.len()) as u32);
                }
                rows.clone()
            }
            Presence::Positions(positions) => {
                let from = positions.partition_point(|row| (*row as usize) < rows.start);
                let to = from + positions[from..].partition_point(|row| (*row as usize) < rows.end);
                if from == to {
                    return Ok(());
                }
                self.list_positions();
                self.positions.extend(positions[from..to].iter().map(|row| (*row as usize - rows.start + base) as u32));
                from..to
            }
        };
        self.extend(&column.values, places)
    }

    fn extend(&mut self, from: &Values, places: Range<usize>) -> Result<()> {
        if self.metric_type() < from.metric_type()
            || (self.metric_type() == MetricType::Text) != (from.metric_type() == MetricType::Text)
        {
            self.widen(from.metric_type())?;
        }
        match (&mut self.values, from) {
            (Values::Float(values), Values::Float(more)) => values.extend_from_slice(&more[places]),
            (Values::Float(values), Values::Integer(more)) => {
                values.extend(more[places].iter().map(|value| *value as f64))
            }
            (Values::Float(values), Values::Boolean(more)) => {
                values.extend(more[places].iter().map(|value| f64::from(u8::from(*value))));
            }
            (Values::Integer(values), Values::Integer(more)) => values.extend_from_slice(&more[places]),
            (Values::Integer(values), Values::Boolean(more)) => {
                values.extend(more[places].iter().map(|value| i64::from(*value)))
            }
            (Values::Boolean(values), Values::Boolean(more)) => values.extend_from_slice(&more[places]),
            (Values::Text(values), Values::Text(more)) => {
                let mut last = None;
                for code in &more.codes[places] {
                    let new = match last {
                        Some((old, new)) if old == *code => new,
                        _ => {
                            let text = &more.dictionary[*code as usize];
                            code_of(values, &mut self.codes, &mut self.text_bytes, text, Some(text))
                        }
                    };
                    last = Some((*code, new));
                    values.codes.push(new);
                }
            }
            (values, more) => {
                debug_assert!(false, "{} after widening for {}", values.metric_type(), more.metric_type())
            }
        }
        Ok(())
    }

    /// Sets the value of any row: replaces it, or puts it in. The buffer must be as wide as the values it comes from.
    pub(super) fn set(&mut self, row: usize, from: &Values, place: usize) -> Result<()> {
        let last =
            if self.dense { self.values.len().checked_sub(1) } else { self.positions.last().map(|row| *row as usize) };
        if last.is_none_or(|last| row > last) && self.late.last_key_value().is_none_or(|(last, _)| row > *last as usize)
        {
            self.mark(row);
            return self.extend(from, place..place + 1);
        }
        let value = self.late_value(from, place).widened(self.metric_type());
        let known = match self.dense {
            true => (row < self.values.len()).then_some(row),
            false => self.positions.binary_search(&(row as u32)).ok(),
        };
        let was_there = match known {
            Some(known) => {
                self.values.replace(known, value);
                true
            }
            None => self.late.insert(row as u32, value).is_some(),
        };
        if was_there && self.metric_type() == MetricType::Text {
            self.replaced += 1;
            self.forget_unused_texts();
        }
        Ok(())
    }

    fn late_value(&mut self, from: &Values, place: usize) -> Late {
        match (from, &mut self.values) {
            (Values::Float(values), _) => Late::Float(values[place]),
            (Values::Integer(values), _) => Late::Integer(values[place]),
            (Values::Boolean(values), _) => Late::Boolean(values[place]),
            (Values::Text(texts), Values::Text(values)) => {
                let text = &texts.dictionary[texts.codes[place] as usize];
                Late::Text(code_of(values, &mut self.codes, &mut self.text_bytes, text, Some(text)))
            }
            (Values::Text(_), _) => {
                debug_assert!(false, "a text for a column of numbers");
                Late::Boolean(false)
            }
        }
    }

    /// Drops texts that no row has any more, once they may be half of the dictionary: each replacement pays for a part of it.
    fn forget_unused_texts(&mut self) {
        if self.replaced < 1_024 || self.replaced < self.codes.len() / 2 {
            return;
        }
        self.replaced = 0;
        let Values::Text(values) = &mut self.values else { return };
        let mut new_code = vec![u32::MAX; values.dictionary.len()];
        let old = std::mem::take(&mut values.dictionary);
        self.codes.clear();
        self.text_bytes = 0;
        let late = self.late.values_mut().filter_map(|value| match value {
            Late::Text(code) => Some(code),
            _ => None,
        });
        for code in values.codes.iter_mut().chain(late) {
            let new = &mut new_code[*code as usize];
            if *new == u32::MAX {
                let text = &old[*code as usize];
                *new = values.dictionary.len() as u32;
                self.text_bytes += text.len();
                self.codes.insert(Arc::clone(text), *new);
                values.dictionary.push(Arc::clone(text));
            }
            *code = *new;
        }
    }

    /// Takes out the column of so many rows and leaves the buffer empty, in the same type.
    pub(super) fn take(&mut self, rows: usize) -> Column {
        if self.replaced > 0 {
            self.replaced = usize::MAX;
            self.forget_unused_texts();
        }
        self.put_late_in();
        let empty = Values::empty(self.metric_type());
        let values = std::mem::replace(&mut self.values, empty);
        let positions = std::mem::take(&mut self.positions);
        let presence = match std::mem::replace(&mut self.dense, true) {
            true if values.len() == rows => Presence::All,
            true => Presence::Positions((0..values.len() as u32).collect()),
            false => Presence::from_positions(positions, rows),
        };
        self.codes.clear();
        self.text_bytes = 0;
        Column { presence, values }
    }

    fn put_late_in(&mut self) {
        if self.late.is_empty() {
            return;
        }
        self.list_positions();
        let mut late = std::mem::take(&mut self.late).into_iter().peekable();
        let positions = std::mem::take(&mut self.positions);
        let empty = Values::empty(self.metric_type());
        let mut values = std::mem::replace(&mut self.values, empty);
        if let (Values::Text(old), Values::Text(new)) = (&mut values, &mut self.values) {
            new.dictionary = std::mem::take(&mut old.dictionary);
        }
        for (place, position) in positions.into_iter().enumerate() {
            while let Some((row, value)) = late.next_if(|(row, _)| *row < position) {
                self.positions.push(row);
                self.values.add(value);
            }
            self.positions.push(position);
            self.values.add(Late::of(&values, place));
        }
        for (row, value) in late {
            self.positions.push(row);
            self.values.add(value);
        }
    }
}

impl Late {
    fn of(values: &Values, place: usize) -> Self {
        match values {
            Values::Float(values) => Self::Float(values[place]),
            Values::Integer(values) => Self::Integer(values[place]),
            Values::Boolean(values) => Self::Boolean(values[place]),
            Values::Text(values) => Self::Text(values.codes[place]),
        }
    }

    fn widened(self, to: MetricType) -> Self {
        match (to, self) {
            (MetricType::Float, Self::Integer(value)) => Self::Float(value as f64),
            (MetricType::Float, Self::Boolean(value)) => Self::Float(f64::from(u8::from(value))),
            (MetricType::Integer, Self::Boolean(value)) => Self::Integer(i64::from(value)),
            _ => self,
        }
    }
}

/// Changes of single values that have the column's type already.
trait Change {
    fn replace(&mut self, place: usize, value: Late);
    fn add(&mut self, value: Late);
}

impl Change for Values {
    fn replace(&mut self, place: usize, value: Late) {
        match (self, value) {
            (Self::Float(values), Late::Float(value)) => values[place] = value,
            (Self::Integer(values), Late::Integer(value)) => values[place] = value,
            (Self::Boolean(values), Late::Boolean(value)) => values[place] = value,
            (Self::Text(values), Late::Text(code)) => values.codes[place] = code,
            (values, value) => debug_assert!(false, "{value:?} for a column of type {}", values.metric_type()),
        }
    }

    fn add(&mut self, value: Late) {
        match (self, value) {
            (Self::Float(values), Late::Float(value)) => values.push(value),
            (Self::Integer(values), Late::Integer(value)) => values.push(value),
            (Self::Boolean(values), Late::Boolean(value)) => values.push(value),
            (Self::Text(values), Late::Text(code)) => values.codes.push(code),
            (values, value) => debug_assert!(false, "{value:?} for a column of type {}", values.metric_type()),
        }
    }
}

fn code_of(
    values: &mut TextValues,
    codes: &mut HashMap<Arc<str>, u32>,
    text_bytes: &mut usize,
    text: &str,
    shared: Option<&Arc<str>>,
) -> u32 {
    if let Some(code) = codes.get(text) {
        return *code;
    }
    let text: Arc<str> = shared.map_or_else(|| Arc::from(text), Arc::clone);
    let code = values.dictionary.len() as u32;
    *text_bytes += text.len();
    values.dictionary.push(Arc::clone(&text));
    codes.insert(text, code);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_were_replaced_are_forgotten() {
        let mut buffer = ColumnBuffer::new(MetricType::Text);
        buffer.push(0, Scalar::Text("first")).expect("a text");
        for number in 0..100_000 {
            let mut one = TextValues::default();
            one.dictionary.push(format!("a text that is longer, {number}").into());
            one.codes.push(0);
            buffer.set(0, &Values::Text(one), 0).expect("a text");
            assert!(buffer.memory_bytes() < 1 << 20, "{} bytes after {number}", buffer.memory_bytes());
        }
        let Column { values: Values::Text(values), .. } = buffer.take(1) else { panic!("no text") };
        assert_eq!(
            values.dictionary.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            ["a text that is longer, 99999"]
        );
        assert_eq!(values.codes, [0]);
    }
}
