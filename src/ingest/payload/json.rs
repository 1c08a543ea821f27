//! JSON into a document.
//!
//! Guarantees: as RFC 8259 has it, UTF-8, a byte order mark dropped, nothing behind the value; an integer beyond 64 bits is the nearest float,
//! and a number that a float can only hold as zero or not at all refuses the payload.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::{out_of_range, vanishing_number};
use super::document::{Document, Scalar};
use super::{Decoded, Refusal, RefusalKind, check_length};

/// Reads a payload, in place of what the document held.
///
/// # Errors
/// A [`Refusal`]; the document then holds nothing of use.
pub fn read_json(payload: &[u8], document: &mut Document) -> Decoded<()> {
    check_length(payload)?;
    document.clear();
    let payload = payload.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(payload);
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let mut state = State { document, refusal: None, has_zero: false };
    let read = Place { state: &mut state, name: "", depth: 1 }.deserialize(&mut deserializer);
    let (refusal, has_zero) = (state.refusal.take(), state.has_zero);
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    read.and_then(|()| deserializer.end()).map_err(|error| {
        let kind = if error.to_string().starts_with("number out of range") {
            RefusalKind::OutOfRange
        } else {
            RefusalKind::Malformed
        };
        Refusal::new(kind, format!("not JSON: {error}"))
    })?;
    match vanishing_number(payload).filter(|_| has_zero) {
        Some(number) => Err(Refusal::new(RefusalKind::OutOfRange, out_of_range(&number))),
        None => Ok(()),
    }
}

/// What is filled, and what ended it.
struct State<'d> {
    document: &'d mut Document,
    /// Serde's errors are sentences; ours is kept aside.
    refusal: Option<Refusal>,
    /// Whether a float is zero: it may have been a smaller number.
    has_zero: bool,
}

/// Where a value goes.
struct Place<'s, 'd, 'n> {
    state: &'s mut State<'d>,
    name: &'n str,
    depth: usize,
}

impl State<'_> {
    /// Keeps a refusal aside, and ends serde's walk.
    fn taken<T, E: de::Error>(&mut self, result: Decoded<T>) -> Result<T, E> {
        result.map_err(|refusal| {
            let error = E::custom(&refusal.reason);
            self.refusal = Some(refusal);
            error
        })
    }
}

impl Place<'_, '_, '_> {
    fn add<E: de::Error>(self, value: Scalar<'_>) -> Result<(), E> {
        let added = self.state.document.add(self.name, value);
        self.state.taken(added)
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.add(Scalar::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.add(Scalar::Boolean(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.add(Scalar::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        let value = i64::try_from(value).map_or(Scalar::Float(value as f64), Scalar::Integer);
        self.add(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.state.has_zero |= value == 0.0;
        self.add(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.add(Scalar::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let opened = self.state.document.open(self.name, false, self.depth);
        let open = self.state.taken(opened)?;
        while members.next_element_seed(Place { state: self.state, name: "", depth: self.depth + 1 })?.is_some() {}
        let closed = self.state.document.close(open);
        self.state.taken(closed)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let opened = self.state.document.open(self.name, true, self.depth);
        let open = self.state.taken(opened)?;
        while let Some(name) = members.next_key_seed(Name)? {
            members.next_value_seed(Place { state: self.state, name: &name, depth: self.depth + 1 })?;
        }
        let closed = self.state.document.close(open);
        self.state.taken(closed)
    }
}

/// A member's name: borrowed from the payload where no escape is in it.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
