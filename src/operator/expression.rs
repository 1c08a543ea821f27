//! Arithmetic of metrics: `voltage_v * current_a`, on the same device and instant.
//!
//! Numbers, names, `+ - * /` and parentheses, with the usual precedence. An instant without one of the metrics has no value.

use crate::error::{Error, ErrorKind, Result};

/// The deepest nesting of parentheses.
const DEPTH_MAX: usize = 32;

/// An expression; metrics are places in [`Expression::names`].
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    names: Vec<String>,
    root: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    Metric(usize),
    Negative(Box<Node>),
    Binary(char, Box<Node>, Box<Node>),
}

impl Expression {
    /// Reads an expression. A text without operators is the name of a metric, whatever characters it has.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], saying where.
    pub fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { rest: text, names: Vec::new(), depth: 0, text };
        let root = parser.sum()?;
        if !parser.peek_is_end() {
            return Err(parser.wrong("an operator"));
        }
        if parser.names.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("'{text}' names no metric")));
        }
        Ok(Self { text: text.chars().filter(|c| !c.is_whitespace()).collect(), names: parser.names, root })
    }

    /// A metric by itself.
    #[must_use]
    pub fn metric(name: &str) -> Self {
        Self { text: name.to_owned(), names: vec![name.to_owned()], root: Node::Metric(0) }
    }

    /// The text, without spaces.
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
        self.root == Node::Metric(0)
    }

    /// The value, given those of the metrics.
    #[must_use]
    pub fn value(&self, metrics: &[f64]) -> f64 {
        self.root.value(metrics)
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
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    names: Vec<String>,
    depth: usize,
}

impl Parser<'_> {
    fn wrong(&self, wanted: &str) -> Error {
        let place = self.text.len() - self.rest.len() + 1;
        Error::new(
            ErrorKind::InvalidInput,
            format!("'{}': {wanted} is expected at character {place}", self.text.escape_default()),
        )
    }

    fn next_is(&mut self, wanted: &[char]) -> Option<char> {
        self.rest = self.rest.trim_start();
        let found = self.rest.chars().next().filter(|c| wanted.contains(c))?;
        self.rest = &self.rest[found.len_utf8()..];
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
        let end = self.rest.find(|c: char| c.is_whitespace() || "+-*/()".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(self.wrong("a metric or a number"));
        }
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return word.parse().map(Node::Number).map_err(|_| self.wrong("a number before this place"));
        }
        let known = self.names.iter().position(|name| name == word);
        let place = known.unwrap_or_else(|| {
            self.names.push(word.to_owned());
            self.names.len() - 1
        });
        Ok(Node::Metric(place))
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
        }
        assert_eq!(Expression::parse("voltage_v * current_a").unwrap().text(), "voltage_v*current_a");
        for wrong in ["", "a+", "(a", "a b", "1+2", "a**b", &"(".repeat(100)] {
            assert_eq!(Expression::parse(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
