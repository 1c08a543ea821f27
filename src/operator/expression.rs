//! Arithmetic of metrics: `voltage_v * current_a`, on the same device and instant.
//!
//! Numbers (`0.5`, `1e-3`), names, `+ - * /` and parentheses, with the usual precedence. A name with a blank, an operator, a comma
//! or a digit in front stands in double quotes: `"co2-ppm" / 1e6`; a quote in it is written twice. An instant without one of the
//! metrics has no value. Depth and length are limited, so that no text can make the walk over an expression too deep.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};

/// Rows that are computed together.
const ROWS_AT_ONCE: usize = 1_024;
/// The deepest nesting of parentheses.
const DEPTH_MAX: usize = 32;
/// The most operands, signs and parentheses. `a+a+a` is a tree as deep as it is long, and is walked by recursion.
const TERMS_MAX: usize = 1_000;
const OPERATORS: [char; 7] = ['+', '-', '*', '/', '(', ')', '"'];

/// An expression; metrics are places in [`Expression::names`].
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    names: Vec<String>,
    /// `None` until the catalogue says whether the text is the name of a metric.
    root: Option<Node>,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    Metric(usize),
    Negative(Box<Node>),
    Binary(char, Box<Node>, Box<Node>),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], saying where.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text, names: Vec::new(), depth: 0, terms: 0, text, plain: String::new() };
        let root = parser.sum()?;
        if !parser.peek_is_end() {
            return Err(parser.wrong("an operator"));
        }
        if parser.names.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("'{text}' names no metric")));
        }
        if root == Node::Metric(0) {
            return Ok(Self::metric(&parser.names[0]));
        }
        Ok(Self { text: parser.plain, names: parser.names, root: Some(root) })
    }

    /// What a person names: a metric, whatever characters its name has, if the store has one of that name; else arithmetic. Which
    /// of the two is decided when a question is asked.
    #[must_use]
    pub fn named(text: &str) -> Self {
        Self { text: text.to_owned(), names: Vec::new(), root: None }
    }

    /// Reads what was only named, given which metrics there are.
    pub(super) fn resolve(&self, is_metric: impl Fn(&str) -> bool) -> Result<Self> {
        if self.root.is_some() {
            return Ok(self.clone());
        }
        if is_metric(&self.text) {
            return Ok(Self::metric(&self.text));
        }
        match Self::parse(&self.text) {
            // Without an operator it can only be meant as a name.
            Err(_) if !self.text.is_empty() && !self.text.contains(OPERATORS) => Ok(Self::metric(&self.text)),
            read => read,
        }
    }

    /// A metric by itself.
    #[must_use]
    pub fn metric(name: &str) -> Self {
        Self { text: name.to_owned(), names: vec![name.to_owned()], root: Some(Node::Metric(0)) }
    }

    /// The text, without blanks between its words; a metric by itself is its name.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The metrics that it names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is a metric by itself.
    #[must_use]
    pub fn is_metric(&self) -> bool {
        self.root == Some(Node::Metric(0))
    }

    /// The value, given those of the metrics.
    #[must_use]
    pub fn value(&self, metrics: &[f64]) -> f64 {
        self.root.as_ref().map_or(f64::NAN, |root| root.value(metrics))
    }

    /// The values of rows, given those of the metrics in each of them: bit for bit those of [`Self::value`], row by row.
    pub(super) fn values(&self, metrics: &[Cow<'_, [f64]>], rows: usize) -> Vec<f64> {
        let mut values = vec![f64::NAN; rows];
        let Some(root) = &self.root else { return values };
        // All that one step reads and writes stays in the nearest cache.
        for (number, values) in values.chunks_mut(ROWS_AT_ONCE).enumerate() {
            root.fill(metrics, number * ROWS_AT_ONCE, values);
        }
        values
    }
}

impl Node {
    fn value(&self, metrics: &[f64]) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Metric(place) => metrics[*place],
            Self::Negative(node) => -node.value(metrics),
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.value(metrics), right.value(metrics));
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        }
    }

    /// The values of some rows, from `first` on.
    fn fill(&self, metrics: &[Cow<'_, [f64]>], first: usize, values: &mut [f64]) {
        match self {
            Self::Number(number) => values.fill(*number),
            Self::Metric(place) => values.copy_from_slice(&metrics[*place][first..first + values.len()]),
            Self::Negative(node) => {
                node.fill(metrics, first, values);
                values.iter_mut().for_each(|value| *value = -*value);
            }
            Self::Binary(operator, left, right) => {
                left.fill(metrics, first, values);
                let own: Vec<f64>;
                let right = match &**right {
                    Self::Metric(place) => &metrics[*place][first..first + values.len()],
                    node => {
                        let mut room = vec![0.0; values.len()];
                        node.fill(metrics, first, &mut room);
                        own = room;
                        &own
                    }
                };
                let pairs = values.iter_mut().zip(right);
                match operator {
                    '+' => pairs.for_each(|(left, right)| *left += right),
                    '-' => pairs.for_each(|(left, right)| *left -= right),
                    '*' => pairs.for_each(|(left, right)| *left *= right),
                    _ => pairs.for_each(|(left, right)| *left /= right),
                }
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    names: Vec<String>,
    depth: usize,
    terms: usize,
    /// What was read, without blanks between words.
    plain: String,
}

impl Parser<'_> {
    fn wrong(&self, wanted: &str) -> Error {
        let place = self.text.len() - self.rest.len() + 1;
        Error::new(
            ErrorKind::InvalidInput,
            format!("'{}': {wanted} is expected at character {place}", self.text.escape_debug()),
        )
        .advise("write arithmetic of metrics (voltage_v*current_a), names with other characters in double quotes")
    }

    fn next_is(&mut self, wanted: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let found = self.rest.chars().next().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[found.len_utf8()..];
        self.plain.push(found);
        Some(found)
    }

    fn peek_is_end(&self) -> bool {
        self.rest.trim_start().is_empty()
    }

    fn sum(&mut self) -> Result<Node> {
        let mut left = self.product()?;
        while let Some(operator) = self.next_is(&['+', '-']) {
            left = Node::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Node> {
        let mut left = self.factor()?;
        while let Some(operator) = self.next_is(&['*', '/']) {
            left = Node::Binary(operator, Box::new(left), Box::new(self.factor()?));
        }
        Ok(left)
    }

    fn factor(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("an expression that is nested less deeply"));
        }
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("an expression of {} characters has more than {TERMS_MAX} terms", self.text.chars().count()),
            )
            .advise("ask for shorter expressions, or import what they compute as a metric"));
        }
        let node = self.factor_inside()?;
        self.depth -= 1;
        Ok(node)
    }

    fn factor_inside(&mut self) -> Result<Node> {
        if self.next_is(&['-']).is_some() {
            return Ok(Node::Negative(Box::new(self.factor()?)));
        }
        if self.next_is(&['(']).is_some() {
            let inside = self.sum()?;
            return if self.next_is(&[')']).is_some() { Ok(inside) } else { Err(self.wrong("')'")) };
        }
        self.rest = self.rest.trim_start();
        let name = match self.rest.chars().next() {
            Some('"') => self.quoted()?,
            Some(c) if c.is_ascii_digit() || c == '.' => return self.number(),
            _ => {
                let end = self.rest.find(|c: char| c.is_whitespace() || OPERATORS.contains(&c));
                self.take(end.unwrap_or(self.rest.len())).to_owned()
            }
        };
        if name.is_empty() {
            return Err(self.wrong("a metric or a number"));
        }
        let known = self.names.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        Ok(Node::Metric(place))
    }

    fn take(&mut self, bytes: usize) -> &str {
        let (word, rest) = self.rest.split_at(bytes);
        self.plain.push_str(word);
        self.rest = rest;
        word
    }

    /// A name in quotes, with a quote in it written twice.
    fn quoted(&mut self) -> Result<String> {
        let mut end = 1;
        loop {
            let close = self.rest[end..].find('"').ok_or_else(|| self.wrong("a closing quote after what begins"))?;
            end += close + 1;
            if !self.rest[end..].starts_with('"') {
                break;
            }
            end += 1;
        }
        let word = self.take(end);
        Ok(word[1..word.len() - 1].replace("\"\"", "\""))
    }

    fn number(&mut self) -> Result<Node> {
        let bytes = self.rest.as_bytes();
        let mut end = bytes.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let digits = bytes[end + 1 + sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 0 {
                end += 1 + sign + digits;
            }
        }
        let joined = self.rest[end..].starts_with(|c: char| !c.is_whitespace() && !OPERATORS.contains(&c));
        let number = self.rest[..end].parse::<f64>().ok().filter(|_| !joined).ok_or_else(|| self.wrong("a number"))?;
        self.take(end);
        Ok(Node::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic() {
        for (text, expected) in
            [("a+b*2", 23.0), ("(a+b)*2", 26.0), ("-a/b", -0.3), ("a-b-1", -8.0), ("a*(b-(1+1))/4", 6.0), ("a", 3.0)]
        {
            let expression = Expression::parse(text).unwrap();
            let values: Vec<f64> = expression.names().iter().map(|name| if name == "a" { 3.0 } else { 10.0 }).collect();
            assert_eq!(expression.value(&values), expected, "{text}");
            // As many rows as are computed together, and some more.
            let rows = ROWS_AT_ONCE + 3;
            let column = |value: &f64| (0..rows).map(|row| value + row as f64 / 7.0).collect::<Vec<_>>();
            let columns: Vec<Vec<f64>> = values.iter().map(column).collect();
            let borrowed: Vec<_> = columns.iter().map(|column| Cow::Borrowed(&column[..])).collect();
            for (row, value) in expression.values(&borrowed, rows).into_iter().enumerate() {
                let metrics: Vec<f64> = columns.iter().map(|column| column[row]).collect();
                assert_eq!(value.to_bits(), expression.value(&metrics).to_bits(), "{text}");
            }
        }
        assert_eq!(Expression::parse("voltage_v * current_a").unwrap().text(), "voltage_v*current_a");
        for (text, expected) in [("a*1e-3", 0.003), ("a + 2E+2", 203.0), ("a*.5e1", 15.0), ("(a-1e0)", 2.0)] {
            assert_eq!(Expression::parse(text).unwrap().value(&[3.0]), expected, "{text}");
        }
        for wrong in ["1e*a", "3phase_w*2", "\"a", "1.2.3*a", "a\"b\"", "\"\"", ""] {
            assert!(Expression::parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "a+", "(a", "a b", "1+2", "a**b", &"(".repeat(100)] {
            assert_eq!(Expression::parse(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn an_expression_of_any_length_ends_in_a_value_or_an_error() {
        for operator in ["+", "-", "*", "/"] {
            let long = |terms: usize| vec!["a"; terms].join(operator);
            let longest = Expression::parse(&long(1_000)).unwrap();
            let expected = match operator {
                "+" => 1_000.0,
                "-" => -998.0,
                _ => 1.0,
            };
            assert_eq!(longest.clone().value(&[1.0]), expected, "{operator}");
            for terms in [1_001, 100_000] {
                let error = Expression::named(&long(terms)).resolve(|_| false).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{operator}");
                assert!(error.message().contains("more than 1000 terms") && error.message().len() < 200, "{error}");
            }
        }
    }

    #[test]
    fn any_name_of_a_metric_can_be_asked_for() {
        let names = ["co2-ppm", "Supply Voltage", "PM2.5 (ug/m3)", "3phase_w", "a,b", "say \"on\""];
        let is_metric = |name: &str| names.contains(&name);
        for name in names {
            let plain = Expression::named(name).resolve(is_metric).unwrap();
            assert!(plain.is_metric() && plain.text() == name && plain.names() == [name]);
            let quoted = format!("\"{}\"", name.replace('"', "\"\""));
            let alone = Expression::named(&quoted).resolve(is_metric).unwrap();
            assert!(alone.is_metric() && alone.text() == name);
            let inside = Expression::named(&format!("2 * {quoted}+1")).resolve(is_metric).unwrap();
            assert_eq!((inside.names(), inside.value(&[3.0])), (&[name.to_owned()][..], 7.0));
            assert_eq!(inside.text(), format!("2*{quoted}+1"));
        }
        let difference = Expression::named("co2-ppm").resolve(|_| false).unwrap();
        assert_eq!((difference.names().len(), difference.value(&[3.0, 1.0])), (2, 2.0));
        assert!(Expression::named("No Such").resolve(is_metric).unwrap().is_metric());
        assert!(Expression::named("a+").resolve(is_metric).is_err());
    }
}
