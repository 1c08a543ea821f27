//! Segment files as text: overview, slices, blocks, values, bytes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::codec::Tier;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileSystem, RealFileSystem};
use crate::model::{Column, MetricHandle, MetricType, Presence, SegmentId, Value};
use crate::segment::{BlockDescription, Segment, SliceDescription, file_name, id_of_file};
use crate::store::StoreParts;
use crate::time::TimeBucket;

use super::catalog::{at, device_name, from_to, metric_name, width};
use super::{BlockId, Dump, DumpRequest};

/// Bytes that are read at once to be shown in hexadecimal.
const HEX_BYTES: usize = 64 << 10;

impl Dump<'_> {
    /// Every file of the folder, listed by the manifest or not.
    pub(super) fn segment_files(&mut self, parts: Option<&StoreParts>) -> Result<()> {
        self.line(format_args!("segments"))?;
        let folder = self.path.join("segments");
        let files = match RealFileSystem.list(&folder) {
            Ok(files) => files,
            Err(error) => return self.damaged(&error),
        };
        let mut seen = BTreeSet::new();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match id_of_file(&file) {
                Some(id) if name.ends_with(".fls") => {
                    if self.segment_file(&file, id, parts)? {
                        seen.insert(id);
                    }
                }
                _ => self.line(format_args!("  {name}  not a segment (yet)"))?,
            }
        }
        for entry in parts.iter().flat_map(|parts| &parts.manifest.segments) {
            // Beside a writer, a compaction may have removed the file after the manifest was read: only a second look tells.
            if !seen.contains(&entry.id) && !RealFileSystem.exists(&folder.join(file_name(entry.id)))? {
                self.line(format_args!(
                    "  segment {}  in the manifest, and its file is gone (compacted since, or lost)",
                    entry.id.0
                ))?;
            }
        }
        Ok(())
    }

    /// One file; says whether it was still there.
    fn segment_file(&mut self, file: &Path, id: SegmentId, parts: Option<&StoreParts>) -> Result<bool> {
        let (segment, damage) = Segment::open_past_damage(&RealFileSystem, file);
        // A writer may have removed it since the folder was read.
        if damage.iter().any(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(false);
        }
        let entry = parts.and_then(|parts| parts.manifest.segment(id));
        let note = if parts.is_some() && entry.is_none() { "  not in the manifest" } else { "" };
        match &segment {
            Some(segment) => self.header(segment, parts, note)?,
            None => self.line(format_args!("  segment {}  can not be read{note}", id.0))?,
        }
        damage.iter().try_for_each(|error| self.damaged(error))?;
        let Some(segment) = segment else { return Ok(true) };
        if let (Some(entry), true) = (entry, damage.is_empty())
            && let Err(error) = segment.check_entry(entry)
        {
            self.damaged(&error)?;
        }
        segment.verify().iter().try_for_each(|error| self.damaged(error))?;
        Ok(true)
    }

    /// A file that can not be taken apart: what is wrong, and its bytes where they are asked for.
    pub(super) fn raw_file(&mut self, file: &Path, request: &DumpRequest) -> Result<()> {
        self.line(format_args!("  without its footer neither slices nor blocks can be found"))?;
        if !request.hex {
            return Ok(());
        }
        let file = match RealFileSystem.open(file) {
            Ok(file) => file,
            Err(error) => return self.damaged(&error),
        };
        let mut part = vec![0; HEX_BYTES];
        for offset in (0..file.len()).step_by(HEX_BYTES) {
            part.truncate((file.len() - offset).min(HEX_BYTES as u64) as usize);
            if let Err(error) = file.read_at(offset, &mut part) {
                return self.damaged(&error);
            }
            self.hex(offset, &part)?;
        }
        Ok(())
    }

    /// Damage of a segment, and its bytes where they are asked for.
    fn damaged_part(&mut self, segment: &Segment, error: &Error, request: &DumpRequest) -> Result<()> {
        if !self.damaged_once(error)? || !request.hex {
            return Ok(());
        }
        let Some(range) = error.range() else { return Ok(()) };
        match segment.raw_bytes(range.start, u32::try_from(range.end - range.start).unwrap_or(u32::MAX)) {
            Ok(bytes) => self.hex(range.start, &bytes),
            Err(error) => self.damaged(&error),
        }
    }

    fn header(&mut self, segment: &Segment, parts: Option<&StoreParts>, note: &str) -> Result<()> {
        let (header, footer) = (segment.header(), segment.footer());
        let first = TimeBucket { width: header.width, number: footer.buckets.0 }.range().from;
        self.line(format_args!(
            "  segment {}  {}{} {} ({first})  slices {}  rows {}  values {}  logs {}{note}",
            header.id.0,
            if header.tier == Tier::Cold { "cold " } else { "" },
            width(header.width),
            from_to(&footer.buckets.0, &footer.buckets.1),
            footer.slices,
            footer.rows,
            footer.values(),
            footer.logs,
        ))?;
        self.line(format_args!("    time  bytes {}", footer.time_bytes))?;
        for metric in &footer.metrics {
            self.line(format_args!(
                "    {}  {}  blocks {}  values {}  bytes {}",
                metric_name(parts, metric.metric),
                metric.metric_type.as_str(),
                metric.blocks,
                metric.values,
                metric.bytes
            ))?;
        }
        if footer.logs > 0 {
            self.line(format_args!("    log records  bytes {}", footer.log_bytes))?;
        }
        Ok(())
    }

    /// One segment: its slices and their blocks.
    pub(super) fn segment(
        &mut self,
        segment: &Segment,
        parts: Option<&StoreParts>,
        request: &DumpRequest,
    ) -> Result<()> {
        self.header(segment, parts, "")?;
        let mut outcome = Ok(());
        segment.describe(&mut |slice| {
            outcome = match slice {
                Ok(slice) => self.slice(segment, &slice, parts, request),
                Err(error) => self.damaged_part(segment, &error, request),
            };
            outcome.is_ok()
        });
        outcome?;
        // What no slice shows: rollups, log records, numbers that contradict each other.
        segment.verify().iter().try_for_each(|error| self.damaged_part(segment, error, request))
    }

    fn slice(
        &mut self,
        segment: &Segment,
        slice: &SliceDescription,
        parts: Option<&StoreParts>,
        request: &DumpRequest,
    ) -> Result<()> {
        self.line(format_args!(
            "  slice {}  {}  bucket {}  rows {}  logs {}  {} to {}",
            slice.slice.place,
            device_name(parts, slice.slice.device),
            slice.slice.bucket,
            slice.slice.rows,
            slice.logs,
            at(slice.slice.times.0),
            at(slice.slice.times.1),
        ))?;
        self.gaps(slice, request)?;
        for block in &slice.blocks {
            self.block_line(segment, slice, block, parts)?;
            self.content(segment, slice, block, request)?;
        }
        Ok(())
    }

    /// The gaps of a slice: how many are listed, and the longest of the others; all listed ones beside the values.
    fn gaps(&mut self, slice: &SliceDescription, request: &DumpRequest) -> Result<()> {
        match &slice.gaps {
            Ok(Some(gaps)) => {
                self.line(format_args!(
                    "    gaps  listed {}  longest other {} ns",
                    gaps.listed.len(),
                    gaps.unlisted_ns
                ))?;
                let shown = if request.values { &gaps.listed[..] } else { &[] };
                shown.iter().try_for_each(|gap| self.line(format_args!("      {}  {} ns", at(gap.from), gap.length_ns)))
            }
            Ok(None) => Ok(()),
            Err(error) => self.damaged_once(error).map(drop),
        }
    }

    /// One block by its id.
    pub(super) fn block(
        &mut self,
        segment: &Segment,
        id: BlockId,
        parts: Option<&StoreParts>,
        request: &DumpRequest,
    ) -> Result<()> {
        let mut found = false;
        let mut outcome = Ok(());
        let damage_before = self.damage;
        segment.describe(&mut |slice| {
            let slice = match slice {
                Ok(slice) => slice,
                Err(error) => {
                    outcome = self.damaged_part(segment, &error, request);
                    return outcome.is_ok();
                }
            };
            if slice.slice.place != id.slice {
                return true;
            }
            for block in slice.blocks.iter().filter(|block| block.metric.map(|(metric, _)| metric) == id.metric) {
                found = true;
                outcome = self
                    .block_line(segment, &slice, block, parts)
                    .and_then(|()| self.content(segment, &slice, block, request));
            }
            false
        });
        outcome?;
        if !found && self.damage > damage_before {
            return self.line(format_args!("  block {id} is not in what can be read of the directory"));
        }
        if !found {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no block {id}"))
                .advise(format!("list them with `dump --segment {}`", id.segment.0)));
        }
        Ok(())
    }

    fn block_line(
        &mut self,
        segment: &Segment,
        slice: &SliceDescription,
        block: &BlockDescription,
        parts: Option<&StoreParts>,
    ) -> Result<()> {
        let id =
            BlockId { segment: segment.id(), slice: slice.slice.place, metric: block.metric.map(|(metric, _)| metric) };
        let name = block.metric.map_or_else(|| "time".to_owned(), |(metric, _)| metric_name(parts, metric));
        let encoding = block.encoding.as_ref().copied().unwrap_or("damaged");
        let is_text = block.metric.is_some_and(|(_, metric_type)| metric_type == MetricType::Text);
        let known = block.statistics.as_ref().ok().copied().flatten();
        let statistics = known.map_or_else(String::new, |known| {
            if is_text {
                return format!("  count {}", known.count);
            }
            format!(
                "  count {}  nan {}  min {}  max {}  sum {}",
                known.count, known.count_nan, known.min, known.max, known.sum
            )
        });
        self.line(format_args!(
            "    block {id}  {name}  at {}  bytes {}  {encoding}{statistics}",
            block.offset, block.bytes
        ))?;
        let damage = [block.encoding.as_ref().err(), block.statistics.as_ref().err()];
        damage.into_iter().flatten().try_for_each(|error| self.damaged_once(error).map(drop))
    }

    fn content(
        &mut self,
        segment: &Segment,
        slice: &SliceDescription,
        block: &BlockDescription,
        request: &DumpRequest,
    ) -> Result<()> {
        if request.values && block.encoding.is_ok() {
            match block.metric {
                None => match segment.read_times(slice.slice.place) {
                    Ok(times) => times.iter().try_for_each(|time| self.line(format_args!("      {}", at(*time))))?,
                    Err(error) => drop(self.damaged_once(&error)?),
                },
                Some((metric, _)) => match values(segment, slice.slice.place, metric) {
                    Ok(values) => {
                        values.iter().try_for_each(|(time, value)| self.line(format_args!("      {time}  {value}")))?
                    }
                    Err(error) => drop(self.damaged_once(&error)?),
                },
            }
        }
        if request.hex {
            match segment.raw_bytes(block.offset, block.bytes) {
                Ok(bytes) => self.hex(block.offset, &bytes)?,
                Err(error) => drop(self.damaged_once(&error)?),
            }
        }
        Ok(())
    }

    fn hex(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (line, chunk) in bytes.chunks(16).enumerate() {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String =
                chunk.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
            self.line(format_args!("      {:08x}  {:<47}  {text}", offset + 16 * line as u64, hex.join(" ")))?;
        }
        Ok(())
    }
}

/// The values of a block, each with its time; with its row where the times can not be read.
fn values(segment: &Segment, slice: u32, metric: MetricHandle) -> Result<Vec<(String, String)>> {
    let times = segment.read_times(slice).unwrap_or_default();
    let Some(Column { presence, values }) = segment.read_column(slice, metric)? else { return Ok(Vec::new()) };
    let shown = (0..values.len()).map(|place| {
        let row = match &presence {
            Presence::All => place,
            Presence::Positions(positions) => positions[place] as usize,
        };
        let value = match values.get(place) {
            Value::Float(value) => value.to_string(),
            Value::Integer(value) => value.to_string(),
            Value::Boolean(value) => value.to_string(),
            Value::Text(value) => format!("{value:?}"),
        };
        (times.get(row).map_or_else(|| format!("row {row}"), |time| at(*time).to_string()), value)
    });
    Ok(shown.collect())
}
