//! Dump: what is in the files of a store, for a person.
//!
//! Guarantees: it reads only, takes no lock, runs beside a writer (the state as of opening), and goes on past damage: each damaged part
//! is named with its file and range, and the rest is shown. A damaged segment hides nothing of RocksDB, a damaged record nothing
//! of the others; where RocksDB itself can not be opened, the segment files are shown for themselves.

mod catalog;
mod segment;

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileSystem, RealFileSystem};
use crate::model::{MetricHandle, SegmentId};
use crate::segment::Segment;
use crate::store::{Options, StoreParts};

/// A block by its place: `SEGMENT.SLICE.COLUMN`, the column a metric's handle or `time`, as the list of a segment's blocks says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockId {
    /// The segment.
    pub segment: SegmentId,
    /// The slice in it.
    pub slice: u32,
    /// The column; `None` for the times.
    pub metric: Option<MetricHandle>,
}

impl std::fmt::Display for BlockId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.", self.segment.0, self.slice)?;
        match self.metric {
            Some(metric) => write!(f, "{}", metric.0),
            None => f.write_str("time"),
        }
    }
}

impl FromStr for BlockId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not the id of a block", text.escape_default()))
                .advise("write SEGMENT.SLICE.COLUMN, as `--segment` lists them: 7.0.time or 7.0.3")
        };
        let mut parts = text.split('.');
        let (Some(segment), Some(slice), Some(column), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let metric = match column {
            "time" => None,
            _ => Some(MetricHandle(column.parse().map_err(|_| wrong())?)),
        };
        let segment = SegmentId(segment.parse().map_err(|_| wrong())?);
        Ok(Self { segment, slice: slice.parse().map_err(|_| wrong())?, metric })
    }
}

/// Which parts to show; all overviews (manifest, catalogue, index, segments) where nothing is named.
#[derive(Debug, Clone, Default)]
pub struct DumpRequest {
    /// Sequence numbers, segments as the manifest lists them, tombstones.
    pub manifest: bool,
    /// Devices and metrics.
    pub catalog: bool,
    /// Attributes: values, devices that carry them.
    pub index: bool,
    /// Segment files: header, footer, columns.
    pub segments: bool,
    /// One segment with its slices and blocks.
    pub segment: Option<SegmentId>,
    /// One block.
    pub block: Option<BlockId>,
    /// The values of the blocks shown.
    pub values: bool,
    /// The bytes of the blocks shown.
    pub hex: bool,
}

impl DumpRequest {
    fn shows_overview(&self) -> bool {
        !(self.manifest
            || self.catalog
            || self.index
            || self.segments
            || self.segment.is_some()
            || self.block.is_some())
    }
}

/// Where a dump goes, and how much damage it met.
struct Dump<'a> {
    out: &'a mut dyn Write,
    path: &'a Path,
    damage: u64,
    /// What was named already: one damaged page is met by every block that it speaks of.
    named: HashSet<String>,
}

impl Dump<'_> {
    fn line(&mut self, text: std::fmt::Arguments<'_>) -> Result<()> {
        writeln!(self.out, "{text}").map_err(|error| Error::io(error, "writing", self.path))
    }

    fn damaged(&mut self, error: &Error) -> Result<()> {
        self.damaged_once(error).map(drop)
    }

    /// Names damage, where it was not named before; says whether.
    fn damaged_once(&mut self, error: &Error) -> Result<bool> {
        if !self.named.insert(error.to_string()) {
            return Ok(false);
        }
        self.damage += 1;
        self.line(format_args!("  DAMAGE: {error}"))?;
        Ok(true)
    }
}

/// Shows what is in the files of a store. Returns how many damaged parts it met.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is no store, or no such segment or block; [`ErrorKind::Io`] from `out`. Damage is no error.
///
/// ```
/// # fn main() -> fleetlog::Result<()> {
/// use fleetlog::dump::{DumpRequest, dump};
/// # let folder = tempfile::tempdir().map_err(|e| fleetlog::Error::io(e, "making a folder", "."))?;
/// let store = fleetlog::Store::open(folder.path().join("plant"), fleetlog::Options::default())?;
/// let mut text = Vec::new();
/// let damaged = dump(store.path(), &DumpRequest::default(), fleetlog::Options::default(), &mut text)?;
/// assert_eq!(damaged, 0);
/// assert!(String::from_utf8_lossy(&text).starts_with("manifest"));
/// # Ok(())
/// # }
/// ```
pub fn dump(path: impl AsRef<Path>, request: &DumpRequest, options: Options, out: &mut dyn Write) -> Result<u64> {
    let path = path.as_ref();
    let mut dump = Dump { out, path, damage: 0, named: HashSet::new() };
    let parts = match StoreParts::read(path, &options) {
        Ok(parts) => Some(parts),
        Err(error) if error.kind() == ErrorKind::NotFound && !RealFileSystem.is_folder(&path.join("segments"))? => {
            return Err(error);
        }
        Err(error) => {
            dump.damaged(&error)?;
            dump.line(format_args!(
                "  manifest, catalogue and index can not be read; segment files are shown for themselves"
            ))?;
            None
        }
    };
    if let Some(parts) = &parts {
        parts.damage.iter().try_for_each(|error| dump.damaged(error))?;
        dump.overview(parts, request)?;
    }
    if request.segments || request.shows_overview() {
        dump.segment_files(parts.as_ref())?;
    }
    for (id, block) in
        request.segment.map(|id| (id, None)).into_iter().chain(request.block.map(|id| (id.segment, Some(id))))
    {
        let file = dump.segment_path(id)?;
        let (segment, damage) = Segment::open_past_damage(&RealFileSystem, &file);
        damage.iter().try_for_each(|error| dump.damaged(error))?;
        match (&segment, block) {
            (Some(segment), None) => dump.segment(segment, parts.as_ref(), request)?,
            (Some(segment), Some(block)) => dump.block(segment, block, parts.as_ref(), request)?,
            (None, _) => dump.raw_file(&file, request)?,
        }
    }
    Ok(dump.damage)
}

impl Dump<'_> {
    fn overview(&mut self, parts: &StoreParts, request: &DumpRequest) -> Result<()> {
        let all = request.shows_overview();
        if request.manifest || all {
            self.manifest(parts)?;
        }
        if request.catalog || all {
            self.catalog(parts)?;
        }
        if request.index || all {
            self.index(parts)?;
        }
        Ok(())
    }

    fn segment_path(&self, id: SegmentId) -> Result<PathBuf> {
        let file = self.path.join("segments").join(crate::segment::file_name(id));
        if RealFileSystem.exists(&file)? {
            return Ok(file);
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no segment {}", id.0))
            .at_path(file)
            .advise("list them with `dump --segments`"))
    }
}

#[cfg(test)]
mod tests;
