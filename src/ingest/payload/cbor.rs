//! CBOR into a document.
//!
//! Guarantees: as RFC 8949 has it, one item and nothing behind it, of definite and indefinite lengths; integers beyond 64 bits, bignums, decimal
//! fractions and bigfloats are the nearest float, and one beyond all floats refuses the payload; any other tag is passed over; names
//! are texts or integers, which stand as decimals; undefined is null. A length is believed only as far as bytes and limits go.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};

use super::super::DEPTH_MAX;
use super::document::{Document, Scalar};
use super::{Decoded, Refusal, RefusalKind, TEXT_BYTES_MAX, check_length};

/// Tags of numbers (RFC 8949, 3.4.3 and 3.4.4).
const BIGNUM: u64 = 2;
const NEGATIVE_BIGNUM: u64 = 3;
const DECIMAL_FRACTION: u64 = 4;
const BIGFLOAT: u64 = 5;

/// Reads a payload, in place of what the document held.
///
/// # Errors
/// A [`Refusal`]; the document then holds nothing of use.
pub fn read_cbor(payload: &[u8], document: &mut Document) -> Decoded<()> {
    check_length(payload)?;
    document.clear();
    let mut reader = Reader { decoder: Decoder::new(payload), document };
    reader.value("", 1)?;
    let read = reader.decoder.position();
    if read < payload.len() {
        return Err(Refusal::malformed(format!("{} bytes behind the item of CBOR", payload.len() - read)));
    }
    Ok(())
}

struct Reader<'b, 'd> {
    decoder: Decoder<'b>,
    document: &'d mut Document,
}

fn wrong(error: Error) -> Refusal {
    let place = error.position().map_or(String::new(), |place| format!(" at byte {place}"));
    Refusal::malformed(format!("not CBOR{place}: {error}"))
}

impl Reader<'_, '_> {
    fn value(&mut self, name: &str, depth: usize) -> Decoded<()> {
        let mut tag = None;
        // Tags in front of tags: the innermost says what the item is.
        for _ in 0..DEPTH_MAX {
            if self.decoder.datatype().map_err(wrong)? != Type::Tag {
                return self.item(name, tag, depth);
            }
            tag = Some(self.decoder.tag().map_err(wrong)?.as_u64());
        }
        Err(Refusal::too_large(format!("more than {DEPTH_MAX} tags in front of one item")))
    }

    fn item(&mut self, name: &str, tag: Option<u64>, depth: usize) -> Decoded<()> {
        let decoder = &mut self.decoder;
        let value = match decoder.datatype().map_err(wrong)? {
            Type::Array | Type::ArrayIndef => {
                return match tag {
                    Some(DECIMAL_FRACTION | BIGFLOAT) => self.fraction(name, tag == Some(BIGFLOAT)),
                    _ => self.list(name, depth),
                };
            }
            Type::Map | Type::MapIndef => return self.object(name, depth),
            Type::Bytes | Type::BytesIndef => {
                let bytes = self.bytes()?;
                return match tag {
                    Some(BIGNUM) => self.bignum(name, &bytes, false),
                    Some(NEGATIVE_BIGNUM) => self.bignum(name, &bytes, true),
                    _ => self.document.add(name, Scalar::Bytes(&bytes)),
                };
            }
            Type::String => Scalar::Text(decoder.str().map_err(wrong)?),
            Type::StringIndef => {
                let text = self.text()?;
                return self.document.add(name, Scalar::Text(&text));
            }
            Type::Bool => Scalar::Boolean(decoder.bool().map_err(wrong)?),
            Type::Null => decoder.null().map(|()| Scalar::Null).map_err(wrong)?,
            Type::Undefined => decoder.undefined().map(|()| Scalar::Null).map_err(wrong)?,
            Type::F16 => Scalar::Float(f64::from(decoder.f16().map_err(wrong)?)),
            Type::F32 => Scalar::Float(f64::from(decoder.f32().map_err(wrong)?)),
            Type::F64 => Scalar::Float(decoder.f64().map_err(wrong)?),
            Type::Simple => {
                let number = decoder.simple().map_err(wrong)?;
                return Err(Refusal::malformed(format!("the simple value {number} has no meaning")));
            }
            _ => {
                let number = i128::from(decoder.int().map_err(wrong)?);
                i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer)
            }
        };
        self.document.add(name, value)
    }

    fn bytes(&mut self) -> Decoded<Vec<u8>> {
        let mut all = Vec::new();
        for part in self.decoder.bytes_iter().map_err(wrong)? {
            let part = part.map_err(wrong)?;
            check_text(all.len() + part.len())?;
            all.extend_from_slice(part);
        }
        Ok(all)
    }

    fn text(&mut self) -> Decoded<String> {
        let mut all = String::new();
        for part in self.decoder.str_iter().map_err(wrong)? {
            let part = part.map_err(wrong)?;
            check_text(all.len() + part.len())?;
            all.push_str(part);
        }
        Ok(all)
    }

    /// Whether another member comes: of so many left, or until the break of an item of no stated length.
    fn comes(&mut self, left: &mut Option<u64>) -> Decoded<bool> {
        match left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if self.decoder.datatype().map_err(wrong)? == Type::Break => {
                self.decoder.set_position(self.decoder.position() + 1);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn list(&mut self, name: &str, depth: usize) -> Decoded<()> {
        let open = self.document.open(name, false, depth)?;
        let mut left = self.decoder.array().map_err(wrong)?;
        while self.comes(&mut left)? {
            self.value("", depth + 1)?;
        }
        self.document.close(open)
    }

    fn object(&mut self, name: &str, depth: usize) -> Decoded<()> {
        let open = self.document.open(name, true, depth)?;
        let mut left = self.decoder.map().map_err(wrong)?;
        while self.comes(&mut left)? {
            match self.decoder.datatype().map_err(wrong)? {
                Type::String => {
                    let name = self.decoder.str().map_err(wrong)?;
                    self.value(name, depth + 1)?;
                }
                Type::StringIndef => {
                    let name = self.text()?;
                    self.value(&name, depth + 1)?;
                }
                Type::U8
                | Type::U16
                | Type::U32
                | Type::U64
                | Type::I8
                | Type::I16
                | Type::I32
                | Type::I64
                | Type::Int => {
                    let name = self.decoder.int().map_err(wrong)?.to_string();
                    self.value(&name, depth + 1)?;
                }
                other => return Err(Refusal::malformed(format!("a name is a text or an integer, not {other}"))),
            }
        }
        self.document.close(open)
    }

    /// An integer of any length, big end first; `negative` ones are counted down from -1.
    fn bignum(&mut self, name: &str, bytes: &[u8], negative: bool) -> Decoded<()> {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let (whole, behind) = bytes[first..].split_at((bytes.len() - first).min(15));
        let whole = whole.iter().fold(0_i128, |whole, byte| whole << 8 | i128::from(*byte));
        if behind.is_empty() {
            let number = if negative { -1 - whole } else { whole };
            let value = i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer);
            return self.document.add(name, value);
        }
        // 120 bits are more than a float holds: of the rest it matters only whether there is one.
        let sticky = i128::from(behind.iter().any(|byte| *byte != 0));
        let near = (whole | sticky) as f64 * 2_f64.powi(8 * behind.len().min(1_000) as i32);
        self.finite(name, if negative { -near } else { near })
    }

    /// An exponent of ten or of two, and a whole number.
    fn fraction(&mut self, name: &str, is_binary: bool) -> Decoded<()> {
        let shape = || Refusal::malformed("a fraction is a list of an exponent and an integer");
        if self.decoder.array().map_err(wrong)? != Some(2) {
            return Err(shape());
        }
        let next = |decoder: &mut Decoder<'_>| decoder.int().map(i128::from).map_err(|_| shape());
        let exponent = next(&mut self.decoder)?.clamp(-20_000, 20_000) as i32;
        let number = next(&mut self.decoder)?;
        if !is_binary {
            let value = format!("{number}e{exponent}").parse().map_err(|_| shape())?;
            return self.finite(name, value);
        }
        // In two steps, since a power of two may leave the floats where the product does not.
        let half = exponent / 2;
        self.finite(name, number as f64 * 2_f64.powi(half) * 2_f64.powi(exponent - half))
    }

    fn finite(&mut self, name: &str, value: f64) -> Decoded<()> {
        if !value.is_finite() {
            return Err(Refusal::new(RefusalKind::OutOfRange, "a number lies beyond what a 64-bit float holds"));
        }
        self.document.add(name, Scalar::Float(value))
    }
}

fn check_text(bytes: usize) -> Decoded<()> {
    if bytes > TEXT_BYTES_MAX {
        return Err(Refusal::too_large(format!("a text of {bytes} bytes or more, more than {TEXT_BYTES_MAX}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Node;
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// In the notation of RFC 8949, section 8, as far as a document keeps it.
    fn shown(node: Node<'_>) -> String {
        let members = |separator: &str| node.members().map(shown).collect::<Vec<_>>().join(separator);
        match node.scalar() {
            None if node.is_list() => format!("[{}]", members(", ")),
            None => {
                let named = node.members().map(|member| format!("{:?}: {}", member.name(), shown(member)));
                format!("{{{}}}", named.collect::<Vec<_>>().join(", "))
            }
            Some(Scalar::Null) => "null".to_owned(),
            Some(Scalar::Boolean(value)) => value.to_string(),
            Some(Scalar::Integer(value)) => value.to_string(),
            Some(Scalar::Float(value)) => format!("{value:?}"),
            Some(Scalar::Text(text)) => format!("{text:?}"),
            Some(Scalar::Bytes(bytes)) => {
                format!("h'{}'", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
        }
    }

    fn read(hex: &str) -> Decoded<String> {
        let mut document = Document::new();
        read_cbor(&bytes(hex), &mut document)?;
        Ok(shown(document.root().unwrap()))
    }

    /// RFC 8949, appendix A; numbers beyond 64 bits as the nearest float, dates and links without their tags.
    const EXAMPLES: &[(&str, &str)] = &[
        ("00", "0"),
        ("01", "1"),
        ("0a", "10"),
        ("17", "23"),
        ("1818", "24"),
        ("1819", "25"),
        ("1864", "100"),
        ("1903e8", "1000"),
        ("1a000f4240", "1000000"),
        ("1b000000e8d4a51000", "1000000000000"),
        ("1bffffffffffffffff", "1.8446744073709552e19"),
        ("c249010000000000000000", "1.8446744073709552e19"),
        ("3bffffffffffffffff", "-1.8446744073709552e19"),
        ("c349010000000000000000", "-1.8446744073709552e19"),
        ("20", "-1"),
        ("29", "-10"),
        ("3863", "-100"),
        ("3903e7", "-1000"),
        ("f90000", "0.0"),
        ("f98000", "-0.0"),
        ("f93c00", "1.0"),
        ("fb3ff199999999999a", "1.1"),
        ("f93e00", "1.5"),
        ("f97bff", "65504.0"),
        ("fa47c35000", "100000.0"),
        ("fa7f7fffff", "3.4028234663852886e38"),
        ("fb7e37e43c8800759c", "1e300"),
        ("f90001", "5.960464477539063e-8"),
        ("f90400", "6.103515625e-5"),
        ("f9c400", "-4.0"),
        ("fbc010666666666666", "-4.1"),
        ("f97c00", "inf"),
        ("f97e00", "NaN"),
        ("f9fc00", "-inf"),
        ("fa7f800000", "inf"),
        ("fa7fc00000", "NaN"),
        ("faff800000", "-inf"),
        ("fb7ff0000000000000", "inf"),
        ("fb7ff8000000000000", "NaN"),
        ("fbfff0000000000000", "-inf"),
        ("f4", "false"),
        ("f5", "true"),
        ("f6", "null"),
        ("f7", "null"),
        ("c074323031332d30332d32315432303a30343a30305a", "\"2013-03-21T20:04:00Z\""),
        ("c11a514b67b0", "1363896240"),
        ("c1fb41d452d9ec200000", "1363896240.5"),
        ("d74401020304", "h'01020304'"),
        ("d818456449455446", "h'6449455446'"),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "\"http://www.example.com\""),
        ("40", "h''"),
        ("4401020304", "h'01020304'"),
        ("60", "\"\""),
        ("6161", "\"a\""),
        ("6449455446", "\"IETF\""),
        ("62225c", "\"\\\"\\\\\""),
        ("62c3bc", "\"ü\""),
        ("63e6b0b4", "\"水\""),
        ("64f0908591", "\"𐅑\""),
        ("80", "[]"),
        ("83010203", "[1, 2, 3]"),
        ("8301820203820405", "[1, [2, 3], [4, 5]]"),
        (
            "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
            "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]",
        ),
        ("a0", "{}"),
        ("a201020304", "{\"1\": 2, \"3\": 4}"),
        ("a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}"),
        ("826161a161626163", "[\"a\", {\"b\": \"c\"}]"),
        (
            "a56161614161626142616361436164614461656145",
            "{\"a\": \"A\", \"b\": \"B\", \"c\": \"C\", \"d\": \"D\", \"e\": \"E\"}",
        ),
        ("5f42010243030405ff", "h'0102030405'"),
        ("7f657374726561646d696e67ff", "\"streaming\""),
        ("9fff", "[]"),
        ("9f018202039f0405ffff", "[1, [2, 3], [4, 5]]"),
        ("9f01820203820405ff", "[1, [2, 3], [4, 5]]"),
        ("83018202039f0405ff", "[1, [2, 3], [4, 5]]"),
        ("83019f0203ff820405", "[1, [2, 3], [4, 5]]"),
        (
            "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
            "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]",
        ),
        ("bf61610161629f0203ffff", "{\"a\": 1, \"b\": [2, 3]}"),
        ("826161bf61626163ff", "[\"a\", {\"b\": \"c\"}]"),
        ("bf6346756ef563416d7421ff", "{\"Fun\": true, \"Amt\": -2}"),
    ];

    #[test]
    fn the_examples_of_the_rfc() {
        for (hex, expected) in EXAMPLES {
            assert_eq!(read(hex).as_deref(), Ok(*expected), "{hex}");
        }
        // Simple values that nobody has given a meaning.
        for hex in ["f0", "f818", "f8ff"] {
            assert_eq!(read(hex).unwrap_err().kind, RefusalKind::Malformed, "{hex}");
        }
    }

    #[test]
    fn numbers_in_other_forms() {
        // 273.15 and 1.5 are the RFC's own examples (3.4.4).
        for (hex, expected) in [
            ("c48221196ab3", "273.15"),
            ("c5822003", "1.5"),
            ("c482207fff", "not"),
            ("c482182301", "1e35"),
            ("c4823903e701", "0.0"),
            ("c242ffff", "65535"),
            ("c3420000", "-1"),
            ("c250ffffffffffffffffffffffffffffffff", "3.402823669209385e38"),
            // 2^127 + 2^74 lies in the middle of two floats; a bit behind says which one is near.
            ("c25080000000000004000000000000000001", "1.7014118346046927e38"),
            ("c25080000000000004000000000000000000", "1.7014118346046923e38"),
        ] {
            match read(hex) {
                Ok(shown) => assert_eq!(shown, expected, "{hex}"),
                Err(refusal) => assert_eq!((expected, refusal.kind), ("not", RefusalKind::Malformed), "{hex}"),
            }
        }
        let beyond = format!("c2590090{}", "ff".repeat(144));
        for hex in ["c4821903e801", &beyond] {
            assert_eq!(read(hex).unwrap_err().kind, RefusalKind::OutOfRange, "{hex}");
        }
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        for hex in
            ["", "18", "0000", "a1f401", "a2616101616102", "5f6161ff", "ff", "81", "1c", "62c328", "a1", "c1", "9f"]
        {
            assert_eq!(read(hex).unwrap_err().kind, RefusalKind::Malformed, "{hex}");
        }
        // A length of 2^63 costs nothing.
        for hex in ["9b8000000000000000", "bb8000000000000000", "5b8000000000000000", "7bffffffffffffffff"] {
            assert_eq!(read(hex).unwrap_err().kind, RefusalKind::Malformed, "{hex}");
        }
        let long = |bytes: usize| format!("79{bytes:04x}{}", "61".repeat(bytes));
        assert!(read(&long(TEXT_BYTES_MAX)).is_ok() && read(&format!("{}01", "81".repeat(16))).is_ok());
        let parts = format!("7f{}ff", long(TEXT_BYTES_MAX / 2 + 1).repeat(2));
        let tags = format!("{}01", "c1".repeat(100_000));
        for hex in [long(TEXT_BYTES_MAX + 1), parts, tags, format!("{}01", "81".repeat(17)), "81".repeat(100_000)] {
            assert_eq!(read(&hex).unwrap_err().kind, RefusalKind::TooLarge, "{}", &hex[..20]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_cbor(&bytes, &mut Document::new());
        }

        #[test]
        fn big_numbers_are_the_nearest_floats(number: u128, exponent in -340_i32..320, decimal: i64) {
            let hex: String = number.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let positive = i64::try_from(number).map_or_else(|_| format!("{:?}", number as f64), |small| small.to_string());
            prop_assert_eq!(read(&format!("c250{hex}")), Ok(positive));
            let integer = |value: i64| {
                let (head, rest) = if value < 0 { (0x3b, -1 - value) } else { (0x1b, value) };
                [&[head][..], &rest.to_be_bytes()].concat()
            };
            let bytes = [&[0xc4, 0x82][..], &integer(i64::from(exponent)), &integer(decimal)].concat();
            let mut document = Document::new();
            let expected: f64 = format!("{decimal}e{exponent}").parse().unwrap();
            match read_cbor(&bytes, &mut document) {
                Ok(()) => prop_assert_eq!(document.root().unwrap().scalar(), Some(Scalar::Float(expected))),
                Err(refusal) => prop_assert!(expected.is_infinite() && refusal.kind == RefusalKind::OutOfRange),
            }
        }
    }
}
