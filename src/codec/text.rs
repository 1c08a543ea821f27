//! Texts: a dictionary of the distinct ones, and their codes as packed integers.
//!
//! Guarantees: a decoded dictionary is valid UTF-8, holds no text twice and none that no value uses, in order of first
//! use; every code has its text. Its bytes are compressed where that saves at least one in eight.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::TextValues;

use super::bits::GROUP;
use super::integer::{decode_group, encode_group, room_for};
use super::shuffle::{compress, compress_more, decompress, stated_size};
use crate::bytes::{Reader, corrupt, put_varint, with_room};

/// The most bytes that the texts of one dictionary take together: 1 GiB.
pub(super) const DICTIONARY_BYTES_MAX: usize = 1 << 30;
/// The highest ratio of compression that is believed: above it the frame is taken for an attack.
const RATIO_MAX: usize = 100_000;
/// Dictionaries shorter than this are not compressed.
const COMPRESS_FROM_BYTES: usize = 64;

/// The most bytes of a length.
const LENGTH_BYTES_MAX: usize = 10;

const STORED: u8 = 0;
const COMPRESSED: u8 = 1;

/// Appends the dictionary and the codes.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] where the texts together take more than `bytes_max`: [`decode`] would refuse them.
pub(super) fn encode(values: &TextValues, bytes_max: usize, out: &mut Vec<u8>) -> Result<()> {
    let (texts, codes) = in_order_of_use(values);
    let bytes = texts.iter().map(|text| text.len()).sum::<usize>();
    if bytes > bytes_max {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("the different texts of a column take {bytes} bytes, more than {bytes_max}"),
        )
        .advise("write fewer or shorter texts at once"));
    }
    put_varint(texts.len() as u64, out);
    let mut content = Vec::with_capacity(bytes);
    for text in &texts {
        put_varint(text.len() as u64, out);
        content.extend_from_slice(text.as_bytes());
    }
    let compressed = (content.len() >= COMPRESS_FROM_BYTES)
        .then(|| compress(&content))
        .flatten()
        .filter(|compressed| compressed.len() <= content.len() - content.len() / 8);
    match compressed {
        Some(compressed) => {
            out.push(COMPRESSED);
            put_varint(compressed.len() as u64, out);
            out.extend_from_slice(&compressed);
        }
        None => {
            out.push(STORED);
            out.extend_from_slice(&content);
        }
    }
    for group in codes.chunks(GROUP) {
        encode_group(group, out);
    }
    Ok(())
}

/// Appends the number of texts and a frame of lengths, texts and codes together; `false`, and `out` is to be cut, where zstd fails
/// or a reader would not believe it.
pub(super) fn encode_compressed(values: &TextValues, out: &mut Vec<u8>) -> bool {
    let (texts, codes) = in_order_of_use(values);
    let mut content = Vec::new();
    for text in &texts {
        put_varint(text.len() as u64, &mut content);
    }
    texts.iter().for_each(|text| content.extend_from_slice(text.as_bytes()));
    let width_bytes = code_bytes(texts.len());
    for code in codes {
        content.extend_from_slice(&code.to_le_bytes()[..width_bytes]);
    }
    put_varint(texts.len() as u64, out);
    let Some(frame) = compress_more(&content).filter(|frame| is_believable(content.len(), frame.len())) else {
        return false;
    };
    out.extend_from_slice(&frame);
    true
}

/// Bytes of the code of one of so many texts.
fn code_bytes(texts: usize) -> usize {
    match texts {
        0..=1 => 0,
        2..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Reads `count` texts, of `bytes_max` bytes together at most, whose dictionary and codes are one frame, to the end of the reader.
pub(super) fn decode_compressed(mut reader: Reader<'_>, count: usize, bytes_max: usize) -> Result<TextValues> {
    let entries = reader.length()?;
    let frame = reader.take_rest();
    let width_bytes = code_bytes(entries);
    let size = stated_size(frame).unwrap_or(usize::MAX);
    let most = bytes_max.saturating_add(entries.saturating_mul(LENGTH_BYTES_MAX)).saturating_add(width_bytes * count);
    if entries > count || size > most || size < entries || !is_believable(size, frame.len()) {
        return Err(corrupt(format!("a frame of {size} bytes with {entries} texts for {count} values")));
    }
    let content = decompress(frame, size)?;
    let mut reader = Reader::new(&content);
    let (lengths, total) = take_lengths(&mut reader, entries, bytes_max)?;
    let dictionary = split_texts(reader.take(total)?, lengths)?;
    let bytes = reader.take(width_bytes * count)?;
    reader.finish()?;
    let mut codes = Codes::with_room(with_room(count)?);
    if width_bytes == 0 {
        (0..count).try_for_each(|_| codes.push(0))?;
    } else {
        for bytes in bytes.chunks_exact(width_bytes) {
            let mut code = [0; 8];
            code[..width_bytes].copy_from_slice(bytes);
            codes.push(i64::from_le_bytes(code))?;
        }
    }
    codes.of(dictionary)
}

/// Whether a frame may hold so many bytes: beyond that it is taken for an attack.
fn is_believable(content_bytes: usize, frame_bytes: usize) -> bool {
    content_bytes / RATIO_MAX <= frame_bytes
}

/// The texts that are used, each once, in order of first use, and the codes that go with them.
fn in_order_of_use(values: &TextValues) -> (Vec<&str>, Vec<i64>) {
    let mut texts: Vec<&str> = Vec::new();
    let mut places: HashMap<&str, i64> = HashMap::new();
    let mut codes_by_old: Vec<Option<i64>> = vec![None; values.dictionary.len()];
    let codes = (0..values.codes.len())
        .map(|index| {
            let old = codes_by_old.get_mut(values.codes[index] as usize);
            if let Some(Some(code)) = old {
                return *code;
            }
            let text = values.get(index);
            let code = *places.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() as i64 - 1
            });
            if let Some(slot) = old {
                *slot = Some(code);
            }
            code
        })
        .collect();
    (texts, codes)
}

/// Reads `count` texts, of `bytes_max` bytes together at most, to the end of the reader.
pub(super) fn decode(mut reader: Reader<'_>, count: usize, bytes_max: usize) -> Result<TextValues> {
    let dictionary = decode_dictionary(&mut reader, count, bytes_max)?;
    let mut codes = Codes::with_room(room_for(&reader, count)?);
    let mut group = [0_i64; GROUP];
    let mut left = count;
    while left > 0 {
        let length = GROUP.min(left);
        decode_group(&mut reader, length, &mut group)?;
        group[..length].iter().try_for_each(|code| codes.push(*code))?;
        left -= length;
    }
    reader.finish()?;
    codes.of(dictionary)
}

/// Codes as they are read: in order of first use, a code is known, or the next new one.
struct Codes {
    codes: Vec<u32>,
    used: i64,
}

impl Codes {
    fn with_room(codes: Vec<u32>) -> Self {
        Self { codes, used: 0 }
    }

    fn push(&mut self, code: i64) -> Result<()> {
        if !(0..=self.used).contains(&code) {
            return Err(corrupt(format!("text code {code} comes before code {}", self.used)));
        }
        self.used += i64::from(code == self.used);
        self.codes.push(code as u32);
        Ok(())
    }

    /// The codes with the dictionary whose texts they use, all of them.
    fn of(self, dictionary: Vec<Arc<str>>) -> Result<TextValues> {
        if self.used != dictionary.len() as i64 {
            return Err(corrupt(format!("{} of {} texts of a dictionary are used", self.used, dictionary.len())));
        }
        Ok(TextValues { dictionary, codes: self.codes })
    }
}

fn decode_dictionary(reader: &mut Reader<'_>, count: usize, bytes_max: usize) -> Result<Vec<Arc<str>>> {
    let entries = reader.length()?;
    // A text takes at least the byte of its length.
    if entries > count || entries > reader.left() {
        return Err(corrupt(format!("a dictionary of {entries} texts for {count} values")));
    }
    let (lengths, total) = take_lengths(reader, entries, bytes_max)?;
    let decompressed;
    let content = match reader.byte()? {
        STORED => reader.take(total)?,
        COMPRESSED => {
            let length = reader.length()?;
            let frame = reader.take(length)?;
            if !is_believable(total, frame.len()) {
                return Err(corrupt("a dictionary is compressed beyond belief"));
            }
            decompressed = decompress(frame, total)?;
            &decompressed
        }
        other => return Err(corrupt(format!("{other} is no way to store a dictionary"))),
    };
    split_texts(content, lengths)
}

/// The lengths of so many texts, whose number the caller has compared with the input, and their sum.
fn take_lengths(reader: &mut Reader<'_>, entries: usize, bytes_max: usize) -> Result<(Vec<usize>, usize)> {
    let mut lengths = Vec::with_capacity(entries);
    let mut total = 0_usize;
    for _ in 0..entries {
        let length = reader.length()?;
        total = total
            .checked_add(length)
            .filter(|total| *total <= bytes_max)
            .ok_or_else(|| corrupt(format!("a dictionary holds more than {bytes_max} bytes")))?;
        lengths.push(length);
    }
    Ok((lengths, total))
}

/// Texts of some lengths, which lie one after the other.
fn split_texts(mut content: &[u8], lengths: Vec<usize>) -> Result<Vec<Arc<str>>> {
    let mut texts: Vec<Arc<str>> = with_room(lengths.len())?;
    let mut seen = HashSet::with_capacity(lengths.len());
    for length in lengths {
        let (text, rest) = content.split_at_checked(length).ok_or_else(|| corrupt("a dictionary ends early"))?;
        content = rest;
        let text: Arc<str> = std::str::from_utf8(text).map_err(|_| corrupt("a dictionary is not UTF-8"))?.into();
        if !seen.insert(Arc::clone(&text)) {
            return Err(corrupt("a dictionary holds a text twice"));
        }
        texts.push(text);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is written is read, and what is refused would have been refused by the reader: at any limit.
        #[test]
        fn the_writer_refuses_just_what_the_reader_would(texts in prop::collection::vec("[ab]{0,6}", 1..9), limit in 0_usize..40) {
            let dictionary: Vec<Arc<str>> = texts.iter().map(|text| text.as_str().into()).collect();
            let values = TextValues { codes: (0..dictionary.len() as u32).collect(), dictionary };
            let mut bytes = Vec::new();
            encode(&values, usize::MAX, &mut bytes).unwrap();
            let readable = decode(Reader::new(&bytes), values.codes.len(), limit);
            let mut again = Vec::new();
            match encode(&values, limit, &mut again) {
                Ok(()) => {
                    prop_assert_eq!(&again, &bytes);
                    let back = readable.unwrap();
                    prop_assert!((0..texts.len()).all(|place| back.get(place) == texts[place]));
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), ErrorKind::LimitExceeded);
                    prop_assert_eq!(readable.unwrap_err().kind(), ErrorKind::Corruption);
                }
            }
        }
    }
}
