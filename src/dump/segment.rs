//! Segment files as text: overview, slices, blocks, values, bytes.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileSystem, RealFileSystem};
use crate::model::{Column, MetricHandle, MetricType, Presence, SegmentId, Value};
use crate::segment::{BlockDescription, Segment, SliceDescription};
use crate::store::Snapshot;
use crate::time::TimeBucket;

use super::catalog::{at, device_name, metric_name, width};
use super::{BlockId, Dump, DumpRequest};

impl Dump<'_> {
    /// Every file of the folder, listed by the manifest or not.
    pub(super) fn segment_files(&mut self, snapshot: Option<&Snapshot>) -> Result<()> {
        let listed: BTreeSet<SegmentId> =
            snapshot.iter().flat_map(|snapshot| &snapshot.manifest().segments).map(|entry| entry.id).collect();
        self.line(format_args!("segments"))?;
        let folder = self.path.join("segments");
        let mut seen = BTreeSet::new();
        for file in RealFileSystem.list(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".fls") {
                self.line(format_args!("  {name}  not a segment (yet)"))?;
                continue;
            }
            match Segment::open_unlisted(&RealFileSystem, &file) {
                Ok(segment) => {
                    seen.insert(segment.id());
                    let note = if snapshot.is_some() && !listed.contains(&segment.id()) {
                        "  not in the manifest"
                    } else {
                        ""
                    };
                    self.header(&segment, snapshot, note)?;
                    for error in segment.verify() {
                        self.damaged(&error)?;
                    }
                }
                // A writer may have removed it since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    self.line(format_args!("  {name}"))?;
                    self.damaged(&error)?;
                    seen.extend(name.split('.').next().and_then(|id| u64::from_str_radix(id, 16).ok()).map(SegmentId));
                }
            }
        }
        for entry in snapshot.iter().flat_map(|snapshot| &snapshot.manifest().segments) {
            // Beside a writer, a compaction may have removed the file after the manifest was read: only a second look tells.
            if !seen.contains(&entry.id) && !RealFileSystem.exists(&folder.join(crate::segment::file_name(entry.id)))? {
                self.line(format_args!(
                    "  segment {}  in the manifest, and its file is gone (compacted since, or lost)",
                    entry.id.0
                ))?;
            }
        }
        Ok(())
    }

    fn header(&mut self, segment: &Segment, snapshot: Option<&Snapshot>, note: &str) -> Result<()> {
        let (header, footer) = (segment.header(), segment.footer());
        let first = TimeBucket { width: header.width, number: footer.buckets.0 }.range().from;
        self.line(format_args!(
            "  segment {}  {} {} to {} ({first})  slices {}  rows {}  values {}  logs {}{note}",
            header.id.0,
            width(header.width),
            footer.buckets.0,
            footer.buckets.1,
            footer.slices,
            footer.rows,
            footer.values(),
            footer.logs,
        ))?;
        self.line(format_args!("    time  bytes {}", footer.time_bytes))?;
        for metric in &footer.metrics {
            self.line(format_args!(
                "    {}  {}  blocks {}  values {}  bytes {}",
                metric_name(snapshot, metric.metric),
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
        snapshot: Option<&Snapshot>,
        request: &DumpRequest,
    ) -> Result<()> {
        self.header(segment, snapshot, "")?;
        let mut outcome = Ok(());
        segment.describe(&mut |slice| {
            outcome = match slice {
                Ok(slice) => self.slice(segment, &slice, snapshot, request),
                Err(error) => self.damaged(&error),
            };
            outcome.is_ok()
        });
        outcome
    }

    fn slice(
        &mut self,
        segment: &Segment,
        slice: &SliceDescription,
        snapshot: Option<&Snapshot>,
        request: &DumpRequest,
    ) -> Result<()> {
        self.line(format_args!(
            "  slice {}  {}  bucket {}  rows {}  logs {}  {} to {}",
            slice.slice.place,
            device_name(snapshot, slice.slice.device),
            slice.slice.bucket,
            slice.slice.rows,
            slice.logs,
            at(slice.slice.times.0),
            at(slice.slice.times.1),
        ))?;
        for block in &slice.blocks {
            self.block_line(segment, slice, block, snapshot)?;
            self.content(segment, slice, block, request)?;
        }
        Ok(())
    }

    /// One block by its id.
    pub(super) fn block(
        &mut self,
        segment: &Segment,
        id: BlockId,
        snapshot: Option<&Snapshot>,
        request: &DumpRequest,
    ) -> Result<()> {
        let mut found = false;
        let mut outcome = Ok(());
        segment.describe(&mut |slice| {
            let Ok(slice) = slice else { return true };
            if slice.slice.place != id.slice {
                return true;
            }
            for block in slice.blocks.iter().filter(|block| block.metric.map(|(metric, _)| metric) == id.metric) {
                found = true;
                outcome = self
                    .block_line(segment, &slice, block, snapshot)
                    .and_then(|()| self.content(segment, &slice, block, request));
            }
            false
        });
        outcome?;
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
        snapshot: Option<&Snapshot>,
    ) -> Result<()> {
        let id =
            BlockId { segment: segment.id(), slice: slice.slice.place, metric: block.metric.map(|(metric, _)| metric) };
        let name = block.metric.map_or_else(|| "time".to_owned(), |(metric, _)| metric_name(snapshot, metric));
        let encoding = block.encoding.as_ref().copied().unwrap_or("damaged");
        let is_text = block.metric.is_some_and(|(_, metric_type)| metric_type == MetricType::Text);
        let statistics = block.statistics.map_or_else(String::new, |known| {
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
        match &block.encoding {
            Ok(_) => Ok(()),
            Err(error) => self.damaged(error),
        }
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
                    Err(error) => self.damaged(&error)?,
                },
                Some((metric, _)) => match values(segment, slice.slice.place, metric) {
                    Ok(values) => {
                        values.iter().try_for_each(|(time, value)| self.line(format_args!("      {time}  {value}")))?
                    }
                    Err(error) => self.damaged(&error)?,
                },
            }
        }
        if request.hex {
            match segment.raw_bytes(block.offset, block.bytes) {
                Ok(bytes) => self.hex(block.offset, &bytes)?,
                Err(error) => self.damaged(&error)?,
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
