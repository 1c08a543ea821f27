//! Opens a file by what its name and its first bytes say.
//!
//! Guarantees: `.gz` and `.zst` (by name or by their first bytes) are unpacked on the way, in bounded memory; Parquet is known
//! by its first bytes even under another name; what is none of the formats is one clear error. Progress counts bytes of the file
//! as it lies on the disk.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{CsvOptions, CsvReader, JsonLinesReader, LineProtocolReader, RecordReader};
use crate::store::Progress;

/// The largest window of a zstd file, as a power of two: 32 MiB, so that it fits any memory budget.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Endings that say how a file is packed.
pub(super) const PACKING_ENDINGS: [&str; 3] = [".gz", ".zst", ".zstd"];
/// Endings that say what a file holds.
pub(super) const FORMAT_ENDINGS: [&str; 11] =
    [".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".lp", ".line", ".influx", ".parquet", ".pq"];

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
    LineProtocol,
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// A file whose format is known.
pub(super) struct Source {
    pub(super) format: Format,
    packing: Packing,
    file: File,
}

impl Source {
    /// Opens a file and finds out what it is.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let opening = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, "there is no such file").at_path(path).caused_by(error)
            }
            _ => Error::io(error, "opening a file", path),
        };
        let mut file = File::open(path).map_err(opening)?;
        if file.metadata().map_err(opening)?.is_dir() {
            return Err(Error::new(ErrorKind::InvalidInput, "it is a folder, not a file").at_path(path));
        }
        let mut first = [0; 4];
        let mut filled = 0;
        while filled < first.len() {
            match file.read(&mut first[filled..]).map_err(opening)? {
                0 => break,
                more => filled += more,
            }
        }
        if filled == 0 {
            return Err(Error::new(ErrorKind::InvalidInput, "the file is empty").at_path(path));
        }
        std::io::Seek::rewind(&mut file).map_err(|error| {
            Error::io(error, "rewinding", path)
                .advise("import from a file, not from a pipe: it may have to be read twice")
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (packing, inner_name) = packing_of(&name, &first[..filled]);
        let format = format_of(inner_name, &first, packing).map_err(|error| error.at_path(path))?;
        Ok(Self { format, packing, file })
    }

    /// The file itself, for a format that is not a stream.
    #[cfg(feature = "parquet")]
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Its length on the disk, in bytes.
    #[cfg(feature = "parquet")]
    pub(super) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// The records of a text format.
    pub(super) fn records(self, options: TextOptions, progress: Option<&Progress>) -> Result<Box<dyn RecordReader>> {
        let counted = Counted { file: self.file, progress: progress.cloned() };
        let input: Box<dyn BufRead> = match self.packing {
            Packing::None => Box::new(BufReader::with_capacity(1 << 16, counted)),
            Packing::Gzip => Box::new(BufReader::with_capacity(
                1 << 16,
                flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, counted)),
            )),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(counted).map_err(zstd_error)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(zstd_error)?;
                Box::new(BufReader::with_capacity(1 << 16, decoder))
            }
        };
        Ok(match self.format {
            Format::Csv => Box::new(CsvReader::new(input, CsvOptions { delimiter: options.delimiter })?),
            Format::JsonLines => Box::new(JsonLinesReader::new(input)),
            Format::LineProtocol => Box::new(LineProtocolReader::new(input, options.name_with_measurement)),
            Format::Parquet => {
                return Err(Error::new(ErrorKind::InvalidInput, "a Parquet file is not a stream of records"));
            }
        })
    }
}

fn zstd_error(error: std::io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("the file can not be unpacked: {error}")).caused_by(error)
}

/// The error of a build without Parquet.
#[cfg(not(feature = "parquet"))]
pub(super) fn no_parquet() -> Error {
    Error::new(ErrorKind::InvalidInput, "this build does not read Parquet")
        .advise("build it with the feature `parquet`")
}

/// How a text format is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextOptions {
    pub(super) delimiter: u8,
    pub(super) name_with_measurement: bool,
}

fn packing_of<'a>(name: &'a str, first: &[u8]) -> (Packing, &'a str) {
    let inner = |ending: &str| name.strip_suffix(ending);
    if let Some(inner) = inner(".gz") {
        (Packing::Gzip, inner)
    } else if let Some(inner) = inner(".zst").or_else(|| inner(".zstd")) {
        (Packing::Zstd, inner)
    } else if first.starts_with(&[0x1F, 0x8B]) {
        (Packing::Gzip, name)
    } else if first == [0x28, 0xB5, 0x2F, 0xFD] {
        (Packing::Zstd, name)
    } else {
        (Packing::None, name)
    }
}

fn format_of(name: &str, first: &[u8; 4], packing: Packing) -> Result<Format> {
    let problem = |text: &str| Error::new(ErrorKind::InvalidInput, text.to_owned());
    if packing == Packing::None {
        match first {
            b"PAR1" => return Ok(Format::Parquet),
            b"PK\x03\x04" => return Err(problem("it is a ZIP archive or a spreadsheet").advise("save it as CSV")),
            _ => {}
        }
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "csv" | "tsv" | "txt" => Ok(Format::Csv),
        "jsonl" | "ndjson" | "json" => Ok(Format::JsonLines),
        "lp" | "line" | "influx" => Ok(Format::LineProtocol),
        "parquet" | "pq" if packing == Packing::None => {
            Err(problem("it is not a Parquet file: its first bytes are others"))
        }
        "parquet" | "pq" => Err(problem("a packed Parquet file can not be read in place").advise("unpack it first")),
        _ => Err(problem("the name says none of the formats that are read")
            .advise("name it .csv, .jsonl, .lp or .parquet, with .gz or .zst behind")),
    }
}

/// Tells the progress how many bytes were read.
struct Counted {
    file: File,
    progress: Option<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        if let Some(progress) = &self.progress {
            progress.advance(read as u64);
        }
        Ok(read)
    }
}
