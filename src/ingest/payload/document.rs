//! A payload as a tree of values, laid out flat: what JSON and CBOR have in common.
//!
//! Guarantees: no more than [`NODES_MAX`] nodes, [`DEPTH_MAX`] deep; the members of an object have different names; every text and name has
//! at most [`TEXT_BYTES_MAX`] bytes. Walking it takes no recursion deeper than that.

use std::collections::HashSet;
use std::ops::Range;

use super::super::{DEPTH_MAX, excerpt};
use super::{Decoded, NODES_MAX, Refusal, TEXT_BYTES_MAX};

/// Members up to which names are compared one by one.
const FEW_MEMBERS: usize = 16;

/// A value without parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// Said to be nothing.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
}

/// A range of one of the document's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.from as usize..self.to as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Span),
    Bytes(Span),
    /// Where the nodes behind its members begin.
    Object(u32),
    List(u32),
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    /// Of a member of an object.
    name: Span,
    held: Held,
}

/// A tree of values. A node's members follow it.
#[derive(Debug, Clone, Default)]
pub struct Document {
    text: String,
    bytes: Vec<u8>,
    nodes: Vec<Stored>,
}

/// What holds members while they are added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open(usize);

impl Document {
    /// An empty one, to be filled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Its outermost value; `None` before one was read.
    #[must_use]
    pub fn root(&self) -> Option<Node<'_>> {
        (!self.nodes.is_empty()).then_some(Node { document: self, place: 0 })
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.bytes.clear();
        self.nodes.clear();
    }

    fn keep(&mut self, text: &str) -> Decoded<Span> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::too_large(format!("a text of {} bytes, more than {TEXT_BYTES_MAX}", text.len())));
        }
        let from = self.text.len() as u32;
        self.text.push_str(text);
        Ok(Span { from, to: self.text.len() as u32 })
    }

    fn push(&mut self, name: &str, held: Held) -> Decoded<usize> {
        if self.nodes.len() >= NODES_MAX {
            return Err(Refusal::too_large(format!("more than {NODES_MAX} values")));
        }
        let name = self.keep(name)?;
        self.nodes.push(Stored { name, held });
        Ok(self.nodes.len() - 1)
    }

    /// Adds a value; the name is empty but for a member of an object.
    pub(super) fn add(&mut self, name: &str, value: Scalar<'_>) -> Decoded<()> {
        let held = match value {
            Scalar::Null => Held::Null,
            Scalar::Boolean(value) => Held::Boolean(value),
            Scalar::Integer(value) => Held::Integer(value),
            Scalar::Float(value) => Held::Float(value),
            Scalar::Text(text) => Held::Text(self.keep(text)?),
            Scalar::Bytes(bytes) => {
                if bytes.len() > TEXT_BYTES_MAX {
                    return Err(Refusal::too_large(format!("{} bytes, more than {TEXT_BYTES_MAX}", bytes.len())));
                }
                let from = self.bytes.len() as u32;
                self.bytes.extend_from_slice(bytes);
                Held::Bytes(Span { from, to: self.bytes.len() as u32 })
            }
        };
        self.push(name, held).map(|_| ())
    }

    /// Begins an object or a list that lies so deep; what is added until [`Self::close`] is in it.
    pub(super) fn open(&mut self, name: &str, is_object: bool, depth: usize) -> Decoded<Open> {
        if depth > DEPTH_MAX {
            return Err(Refusal::too_large(format!("values lie more than {DEPTH_MAX} deep in each other")));
        }
        self.push(name, if is_object { Held::Object(0) } else { Held::List(0) }).map(Open)
    }

    /// Ends an object or a list; the members of an object must have different names.
    pub(super) fn close(&mut self, open: Open) -> Decoded<()> {
        let end = self.nodes.len() as u32;
        let node = &mut self.nodes[open.0];
        match &mut node.held {
            Held::Object(held) => {
                *held = end;
                let object = Node { document: self, place: open.0 };
                match object.repeated_name() {
                    Some(name) => Err(Refusal::malformed(format!("two members are named {}", excerpt(name)))),
                    None => Ok(()),
                }
            }
            Held::List(held) => {
                *held = end;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A value of a document.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    document: &'d Document,
    place: usize,
}

impl<'d> Node<'d> {
    fn held(self) -> Held {
        self.document.nodes[self.place].held
    }

    /// The name, of a member of an object.
    #[must_use]
    pub fn name(self) -> &'d str {
        &self.document.text[self.document.nodes[self.place].name.range()]
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        matches!(self.held(), Held::Object(_))
    }

    /// Whether it is a list.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self.held(), Held::List(_))
    }

    /// The value; `None` of an object or a list.
    #[must_use]
    pub fn scalar(self) -> Option<Scalar<'d>> {
        Some(match self.held() {
            Held::Null => Scalar::Null,
            Held::Boolean(value) => Scalar::Boolean(value),
            Held::Integer(value) => Scalar::Integer(value),
            Held::Float(value) => Scalar::Float(value),
            Held::Text(span) => Scalar::Text(&self.document.text[span.range()]),
            Held::Bytes(span) => Scalar::Bytes(&self.document.bytes[span.range()]),
            Held::Object(_) | Held::List(_) => return None,
        })
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(self) -> Option<&'d str> {
        match self.scalar() {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The place behind it and all its members.
    fn end(self) -> usize {
        match self.held() {
            Held::Object(end) | Held::List(end) => end as usize,
            _ => self.place + 1,
        }
    }

    /// The members of an object or a list, in order; of any other value none.
    #[must_use]
    pub fn members(self) -> Nodes<'d> {
        Nodes { document: self.document, next: self.place + 1, end: self.end() }
    }

    /// The member of an object with a name.
    #[must_use]
    pub fn member(self, name: &str) -> Option<Node<'d>> {
        if self.is_object() { self.members().find(|member| member.name() == name) } else { None }
    }

    fn repeated_name(self) -> Option<&'d str> {
        if self.members().nth(FEW_MEMBERS).is_some() {
            let mut seen = HashSet::new();
            return self.members().map(Node::name).find(|name| !seen.insert(*name));
        }
        let earlier = |place: usize, name: &str| self.members().take(place).any(|member| member.name() == name);
        let mut named = self.members().map(Node::name).enumerate();
        named.find(|(place, name)| earlier(*place, name)).map(|(_, name)| name)
    }
}

/// Members of a value, in order.
#[derive(Debug, Clone)]
pub struct Nodes<'d> {
    document: &'d Document,
    next: usize,
    end: usize,
}

impl<'d> Iterator for Nodes<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        if self.next >= self.end {
            return None;
        }
        let node = Node { document: self.document, place: self.next };
        self.next = node.end();
        Some(node)
    }
}
