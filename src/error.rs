//! One error type for the whole library.
//!
//! Guarantees: every error has a small public [`ErrorKind`] to branch on, and a message that says what happened, where
//! (file, byte range, row, device, as far as they are known) and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result of every fallible call of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What helps where a process may not open another file.
pub(crate) const OPEN_FILES_ADVICE: &str =
    "raise the limit of open files (`ulimit -n`), or compact the store so that it has fewer segments";
/// The numbers of ENFILE and EMFILE, for which the standard library has no name: the same on all Unix systems.
const TOO_MANY_IN_SYSTEM: i32 = 23;
const TOO_MANY_IN_PROCESS: i32 = 24;

/// What went wrong, in the words that a program branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, a name, a value or an option is not acceptable. Nothing was changed.
    InvalidInput,
    /// A value has a type or a unit that its metric can not take. Nothing was changed.
    TypeMismatch,
    /// A store, device, metric, segment or file does not exist.
    NotFound,
    /// Something is in the way: a folder that is not empty, a name in use.
    AlreadyExists,
    /// Stored bytes are not what was written: the message names file and range.
    Corruption,
    /// Acknowledged data is missing: the store refuses to open rather than show fewer rows.
    DataLoss,
    /// The operating system refused a file operation.
    Io,
    /// The disk or the quota is full. Reads go on.
    OutOfSpace,
    /// Another writer holds the store.
    StoreHeld,
    /// An earlier flush failed: what is on the disk is unknown until the store is opened again.
    Poisoned,
    /// The store was opened for reading only.
    ReadOnly,
    /// The store was closed.
    Closed,
    /// The store or a file of it was written by a newer version.
    UnsupportedVersion,
    /// The work does not fit the memory budget, or a stated limit was passed.
    LimitExceeded,
    /// The snapshot was the oldest and its memory was needed: take a new one.
    SnapshotExpired,
    /// The caller's handle cancelled the work.
    Cancelled,
}

impl ErrorKind {
    /// The kind as one stable lower-case word, as the command prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid input",
            Self::TypeMismatch => "type mismatch",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Corruption => "corruption",
            Self::DataLoss => "data loss",
            Self::Io => "input/output error",
            Self::OutOfSpace => "out of space",
            Self::StoreHeld => "store held by another writer",
            Self::Poisoned => "store poisoned by a failed flush",
            Self::ReadOnly => "read only",
            Self::Closed => "closed",
            Self::UnsupportedVersion => "unsupported version",
            Self::LimitExceeded => "limit exceeded",
            Self::SnapshotExpired => "snapshot expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An error with its place and its remedy.
///
/// ```
/// use fleetlog::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Corruption, "checksum differs").at_path("seg-1.fls").at_range(64..128);
/// assert_eq!(error.kind(), ErrorKind::Corruption);
/// assert_eq!(error.to_string(), "corruption: checksum differs (file seg-1.fls, bytes 64..128)");
/// ```
pub struct Error(Box<Detail>);

struct Detail {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    range: Option<Range<u64>>,
    row: Option<u64>,
    device: Option<String>,
    advice: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, with a message in plain English that does not repeat the kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Detail {
            kind,
            message: message.into(),
            path: None,
            range: None,
            row: None,
            device: None,
            advice: None,
            source: None,
        }))
    }

    /// An operating system error at a path; a full disk becomes [`ErrorKind::OutOfSpace`], too many open files
    /// [`ErrorKind::LimitExceeded`].
    #[must_use]
    pub fn io(error: std::io::Error, doing: &str, path: impl AsRef<Path>) -> Self {
        use std::io::ErrorKind as Os;
        if matches!(error.raw_os_error(), Some(TOO_MANY_IN_SYSTEM | TOO_MANY_IN_PROCESS)) {
            return Self::new(ErrorKind::LimitExceeded, format!("{doing}: too many files are open"))
                .at_path(path)
                .advise(OPEN_FILES_ADVICE)
                .caused_by(error);
        }
        let kind = match error.kind() {
            Os::NotFound => ErrorKind::NotFound,
            Os::AlreadyExists => ErrorKind::AlreadyExists,
            Os::StorageFull | Os::QuotaExceeded | Os::FileTooLarge => ErrorKind::OutOfSpace,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("{doing}: {error}")).at_path(path).caused_by(error)
    }

    /// The same error once more, without what caused it.
    pub(crate) fn again(&self) -> Self {
        let Detail { kind, message, path, range, row, device, advice, .. } = &*self.0;
        Self(Box::new(Detail {
            kind: *kind,
            message: message.clone(),
            path: path.clone(),
            range: range.clone(),
            row: *row,
            device: device.clone(),
            advice: advice.clone(),
            source: None,
        }))
    }

    /// Names the file.
    #[must_use]
    pub fn at_path(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    /// Names the byte range in the file.
    #[must_use]
    pub fn at_range(mut self, range: Range<u64>) -> Self {
        self.0.range.get_or_insert(range);
        self
    }

    /// Names the row (or line) of the input, counted from 1.
    #[must_use]
    pub fn at_row(mut self, row: u64) -> Self {
        self.0.row.get_or_insert(row);
        self
    }

    /// Names the device.
    #[must_use]
    pub fn for_device(mut self, device: impl Into<String>) -> Self {
        self.0.device.get_or_insert_with(|| device.into());
        self
    }

    /// Says what to do about it, as a short imperative sentence without a full stop.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice.get_or_insert_with(|| advice.into());
        self
    }

    /// Keeps the error below.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source.get_or_insert_with(|| source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without kind, place and advice.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file, when one is involved.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte range in the file.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        self.0.range.clone()
    }

    /// The row (or line) of the input, counted from 1.
    #[must_use]
    pub fn row(&self) -> Option<u64> {
        self.0.row
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.0.device.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = &self.0;
        write!(f, "{}: {}", detail.kind.as_str(), detail.message)?;
        let mut places = Vec::new();
        if let Some(path) = &detail.path {
            places.push(format!("file {}", path.display()));
        }
        if let Some(range) = &detail.range {
            places.push(format!("bytes {}..{}", range.start, range.end));
        }
        if let Some(row) = detail.row {
            places.push(format!("row {row}"));
        }
        if let Some(device) = &detail.device {
            places.push(format!("device {device}"));
        }
        if !places.is_empty() {
            write!(f, " ({})", places.join(", "))?;
        }
        if let Some(advice) = &detail.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_open_files_say_what_helps() {
        for number in [TOO_MANY_IN_PROCESS, TOO_MANY_IN_SYSTEM] {
            let error = Error::io(std::io::Error::from_raw_os_error(number), "opening a file", "a/7.fls");
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            let text = error.to_string();
            assert!(text.contains("too many files are open (file a/7.fls)") && text.contains("ulimit -n"), "{text}");
        }
    }
}
