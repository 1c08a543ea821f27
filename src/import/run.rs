//! Sorted runs on scratch disk space: blocks of rows by column, each with its length and checksum.
//!
//! Guarantees: the file has no name (or loses it at once), so that a killed import leaves nothing behind; what is read back
//! is what was written, or [`ErrorKind::Corruption`]. The layout lives for one import only and is no part of the format.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, MetricType, Presence, TextValues, Values};

use super::block::RowBlock;

/// A file of runs.
#[derive(Debug)]
pub(super) struct RunFile {
    file: File,
    length: u64,
    bytes: Vec<u8>,
}

/// A run: blocks in a range of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl RunFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let file =
            tempfile::tempfile_in(folder).map_err(|error| Error::io(error, "creating a scratch file", folder))?;
        Ok(Self { file, length: 0, bytes: Vec::new() })
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends a block to the run at the end of the file.
    pub(super) fn append(&mut self, block: &RowBlock) -> Result<()> {
        self.append_with(|out| encode(block, out))
    }

    /// Appends a block of any bytes.
    pub(super) fn append_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; 16]);
        fill(&mut self.bytes);
        let (length, checksum) = ((self.bytes.len() - 16) as u64, xxh3_64(&self.bytes[16..]));
        self.bytes[..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&checksum.to_le_bytes());
        self.file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&self.bytes))
            .map_err(|error| scratch_error(error, "writing"))?;
        self.length += self.bytes.len() as u64;
        Ok(())
    }

    /// Reads the block at the start of a run and moves the start behind it.
    pub(super) fn read(&mut self, run: &mut Run) -> Result<Option<RowBlock>> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let found = self.read_bytes(run, &mut bytes)?;
        let block = found.then(|| decode(&bytes).ok_or_else(damaged)).transpose();
        self.bytes = bytes;
        block
    }

    /// Reads the bytes of the block at the start of a run and moves the start behind it; false at its end.
    pub(super) fn read_bytes(&mut self, run: &mut Run, bytes: &mut Vec<u8>) -> Result<bool> {
        if run.from >= run.to {
            return Ok(false);
        }
        let mut head = [0; 16];
        let read = |file: &mut File, at: u64, into: &mut [u8]| {
            file.seek(SeekFrom::Start(at))
                .and_then(|_| file.read_exact(into))
                .map_err(|error| scratch_error(error, "reading"))
        };
        read(&mut self.file, run.from, &mut head)?;
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        let (length, checksum) = (word(&head[..8]), word(&head[8..]));
        if length > run.to - run.from - 16 {
            return Err(damaged());
        }
        bytes.clear();
        bytes.resize(length as usize, 0);
        read(&mut self.file, run.from + 16, bytes)?;
        if xxh3_64(bytes) != checksum {
            return Err(damaged());
        }
        run.from += 16 + length;
        Ok(true)
    }
}

fn scratch_error(error: std::io::Error, doing: &str) -> Error {
    Error::io(error, &format!("{doing} a scratch file of the sort"), "scratch")
        .advise("free disk space beside the store, or name another scratch folder")
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Corruption, "a scratch file of the sort reads back differently from what was written")
        .advise("check the disk and import again")
}

fn encode(block: &RowBlock, out: &mut Vec<u8>) {
    put(out, block.len() as u32);
    block.devices.iter().for_each(|device| put(out, *device));
    block.times.iter().for_each(|time| out.extend_from_slice(&time.to_le_bytes()));
    out.push(u8::from(block.sequences.is_some()));
    block.sequences.iter().flatten().for_each(|sequence| out.extend_from_slice(&sequence.to_le_bytes()));
    put(out, block.columns.len() as u32);
    for (number, column) in &block.columns {
        put(out, *number);
        match &column.presence {
            Presence::All => put(out, u32::MAX),
            Presence::Positions(positions) => {
                put(out, positions.len() as u32);
                positions.iter().for_each(|position| put(out, *position));
            }
        }
        encode_values(&column.values, out);
    }
}

fn encode_values(values: &Values, out: &mut Vec<u8>) {
    match values {
        Values::Float(values) => {
            out.push(0);
            values.iter().for_each(|value| out.extend_from_slice(&value.to_bits().to_le_bytes()));
        }
        Values::Integer(values) => {
            out.push(1);
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        Values::Boolean(values) => {
            out.push(2);
            out.extend(values.iter().map(|value| u8::from(*value)));
        }
        Values::Text(values) => {
            out.push(3);
            put(out, values.dictionary.len() as u32);
            for text in &values.dictionary {
                put(out, text.len() as u32);
                out.extend_from_slice(text.as_bytes());
            }
            values.codes.iter().for_each(|code| put(out, *code));
        }
    }
}

fn put(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn decode(bytes: &[u8]) -> Option<RowBlock> {
    let mut rest = bytes;
    let rest = &mut rest;
    let rows = word(rest)? as usize;
    let devices = words(rest, rows)?;
    let times = longs(rest, rows)?.map(u64::cast_signed).collect();
    let sequences = match take(rest, 1)? {
        [0] => None,
        _ => Some(longs(rest, rows)?.collect()),
    };
    let count = word(rest)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let number = word(rest)?;
        let (presence, values) = match word(rest)? {
            u32::MAX => (Presence::All, rows),
            present => (Presence::Positions(words(rest, present as usize)?), present as usize),
        };
        columns.push((number, Column { presence, values: decode_values(rest, values)? }));
    }
    rest.is_empty().then_some(RowBlock { devices, times, sequences, columns })
}

fn decode_values(rest: &mut &[u8], count: usize) -> Option<Values> {
    Some(match take(rest, 1)? {
        [0] => Values::Float(longs(rest, count)?.map(f64::from_bits).collect()),
        [1] => Values::Integer(longs(rest, count)?.map(u64::cast_signed).collect()),
        [2] => Values::Boolean(take(rest, count)?.iter().map(|byte| *byte != 0).collect()),
        _ => {
            let texts = word(rest)?;
            let mut dictionary: Vec<Arc<str>> = Vec::new();
            for _ in 0..texts {
                let length = word(rest)? as usize;
                dictionary.push(Arc::from(std::str::from_utf8(take(rest, length)?).ok()?));
            }
            Values::Text(TextValues { dictionary, codes: words(rest, count)? })
        }
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    rest.split_off(..count)
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

fn words(rest: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (words, _) = take(rest, count.checked_mul(4)?)?.as_chunks::<4>();
    Some(words.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

fn longs<'a>(rest: &mut &'a [u8], count: usize) -> Option<impl Iterator<Item = u64> + use<'a>> {
    let (longs, _) = take(rest, count.checked_mul(8)?)?.as_chunks::<8>();
    Some(longs.iter().map(|bytes| u64::from_le_bytes(*bytes)))
}

/// The widest type of two numeric columns, or the type of the only one.
pub(super) fn wider(have: Option<MetricType>, got: MetricType) -> MetricType {
    have.and_then(|have| have.widest(got)).unwrap_or(got)
}
