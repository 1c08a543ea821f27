//! Bytes in and out: fixed-width and variable-length integers, and a reader that checks every length.
//!
//! Guarantees: a [`Reader`] never reads past its slice and never panics; a variable-length integer has one spelling only
//! (LEB128 without superfluous zero bytes, at most 10 bytes); signed ones are zigzag.

use crate::error::{Error, ErrorKind, Result};

/// The error of bytes that no encoder writes.
pub(crate) fn corrupt(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corruption, what)
}

/// Folds the sign into the lowest bit, so that small negative numbers are small.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends an unsigned integer as LEB128.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer as zigzag LEB128.
pub(crate) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_varint(zigzag(value), out);
}

/// How many bytes [`put_varint`] appends.
pub(crate) fn varint_bytes(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// An empty vector with room for `count` elements; the caller has compared `count` with the input.
pub(crate) fn with_room<T>(count: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(count).map_err(|error| {
        Error::new(ErrorKind::LimitExceeded, format!("{count} decoded values do not fit the memory")).caused_by(error)
    })?;
    Ok(room)
}

/// Reads a slice from its beginning to its end.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// All bytes that are left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `length` bytes.
    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| corrupt(format!("it ends early: {length} bytes wanted, {} left", self.rest.len())))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// All bytes that are left, to look at.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over bytes that were looked at.
    #[inline]
    pub(crate) fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    /// The next byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next unsigned LEB128 integer, in its only spelling.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64> {
        // Most take one byte.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if place == 9 && byte > 1 {
                return Err(corrupt("a variable-length integer is longer than 64 bits"));
            }
            value |= part << (7 * place);
            if byte < 0x80 {
                return if byte == 0 && place > 0 {
                    Err(corrupt("a variable-length integer has a superfluous zero byte"))
                } else {
                    Ok(value)
                };
            }
        }
        Err(corrupt("a variable-length integer is longer than 10 bytes"))
    }

    /// The next unsigned LEB128 integer as a length.
    pub(crate) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|_| corrupt("a length does not fit the address space"))
    }

    /// The next signed LEB128 integer.
    pub(crate) fn signed(&mut self) -> Result<i64> {
        self.varint().map(unzigzag)
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(corrupt(format!("{left} bytes follow its end"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn published_leb128_spellings() {
        // 624485 is the worked example of the DWARF standard's appendix and of most descriptions of LEB128.
        for (value, bytes) in [(0, &[0_u8][..]), (127, &[0x7f]), (128, &[0x80, 1]), (624_485, &[0xe5, 0x8e, 0x26])] {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out, bytes);
        }
        assert_eq!([0, -1, 1, -2, i64::MAX, i64::MIN].map(zigzag), [0, 1, 2, 3, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn other_spellings_are_refused() {
        for bytes in [&[0x80_u8, 0][..], &[0x80], &[], &[0xff; 10], &[0x80; 11]] {
            assert_eq!(Reader::new(bytes).varint().unwrap_err().kind(), ErrorKind::Corruption, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn varints_come_back(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varint(value, &mut out);
            prop_assert_eq!(out.len(), varint_bytes(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert!(reader.finish().is_ok());
            prop_assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
        }
    }
}
