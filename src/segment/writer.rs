//! Writes one segment, slice by slice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec::{self, Tier};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    DirectoryColumn, DirectoryEntry, Footer, HEADER_BYTES, SegmentEntry, SegmentHeader, SegmentTrailer, TRAILER_BYTES,
    encode_logs, part_checksum,
};
use crate::io::{FileSystem, WriteFile};
use crate::model::{Column, DeviceHandle, DeviceRows, SegmentId, Sequence, StoredLog};
use crate::time::{BucketWidth, TimeBucket};

use super::gaps::gaps_of;
use super::pages::PageBuilder;
use super::statistics::describe;
use super::{file_name, temporary_name};

/// Bytes of the buffer that a writer keeps from one part to the next: many writers may be open side by side.
const BUFFER_BYTES: usize = 16 << 10;

/// Writes one segment: slices come by rising device, then bucket, then time.
#[derive(Debug)]
pub struct SegmentWriter {
    fs: Arc<dyn FileSystem>,
    file: Box<dyn WriteFile>,
    temporary: PathBuf,
    path: PathBuf,
    header: SegmentHeader,
    footer: Footer,
    pages: PageBuilder,
    /// The last slice, which may still get log records.
    pending: Option<DirectoryEntry>,
    /// The last instant of the present device and bucket.
    last_time: Option<i64>,
    values: u64,
    buffer: Vec<u8>,
}

impl SegmentWriter {
    /// Starts the file `<id>.tmp` in a folder, with columns for a tier.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::OutOfSpace`], [`ErrorKind::AlreadyExists`].
    pub fn create(
        fs: Arc<dyn FileSystem>,
        folder: &Path,
        id: SegmentId,
        width: BucketWidth,
        sequences: (Sequence, Sequence),
        tier: Tier,
    ) -> Result<Self> {
        let header = SegmentHeader { id, width, sequences, tier };
        let temporary = folder.join(temporary_name(id));
        let mut file = fs.create(&temporary)?;
        file.append(&header.encode())?;
        Ok(Self {
            fs,
            file,
            temporary,
            path: folder.join(file_name(id)),
            header,
            footer: Footer::default(),
            pages: PageBuilder::default(),
            pending: None,
            last_time: None,
            values: 0,
            buffer: Vec::new(),
        })
    }

    /// Adds rows of one device and one bucket, all after those of the slice before where that is of the same.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where slices come out of order, rows are empty, lie outside the bucket or break what
    /// [`DeviceRows`] promises; errors of the file.
    pub fn write_slice(&mut self, device: DeviceHandle, bucket: i32, rows: &DeviceRows) -> Result<()> {
        rows.check()?;
        let range = TimeBucket { width: self.header.width, number: bucket }.range();
        let places = rows.places_in(range);
        if rows.is_empty() || places != (0..rows.len()) {
            return Err(Error::new(ErrorKind::InvalidInput, "a slice is empty, or reaches outside its bucket"));
        }
        self.start(device, bucket, Some(rows.times[0]))?;
        self.last_time = rows.times.last().copied();
        let slice = self.footer.slices;
        let offset = self.file.position();
        let tier = self.header.tier;
        let time_bytes = self.write_block(|out| {
            tier.encode_times(&rows.times, out);
            Ok(())
        })?;
        let mut columns = Vec::with_capacity(rows.columns.len());
        for (metric, column) in rows.columns.iter().filter(|(_, column)| !column.values.is_empty()) {
            let bytes = self.write_block(|out| put_column(column, rows.len(), tier, out))?;
            let (statistics, rollup) = describe(&rows.times, column, range.from.nanoseconds());
            let metric_type = column.values.metric_type();
            self.pages.add_block(slice, device, *metric, metric_type, &statistics, rollup, column.values.len(), bytes);
            columns.push(DirectoryColumn { metric: *metric, metric_type, bytes });
            self.values += column.values.len() as u64;
        }
        if let Some(gaps) = gaps_of(slice, &rows.times) {
            self.pages.add_gaps(device, gaps);
        }
        let times = (rows.times[0], rows.times[rows.len() - 1]);
        self.note_times(times);
        self.footer.rows += rows.len() as u64;
        self.footer.time_bytes += u64::from(time_bytes);
        let (rows, logs, log_bytes) = (rows.len() as u32, 0, 0);
        self.pending =
            Some(DirectoryEntry { device, bucket, rows, times, offset, time_bytes, columns, logs, log_bytes });
        Ok(())
    }

    /// Adds log records of one device and bucket, sorted by (time, order): of the slice just written, or of one without
    /// rows.
    ///
    /// # Errors
    /// As [`SegmentWriter::write_slice`].
    pub fn write_logs(&mut self, device: DeviceHandle, bucket: i32, logs: &[StoredLog]) -> Result<()> {
        let sorted = logs.windows(2).all(|pair| (pair[0].time, pair[0].order) <= (pair[1].time, pair[1].order));
        let (Some(first), Some(last), true) = (logs.first(), logs.last(), sorted) else {
            return Err(Error::new(ErrorKind::InvalidInput, "log records of a slice are empty or not sorted"));
        };
        // Pages may have been written since: log records join a slice only where they follow its last column.
        let end = self.file.position();
        let of_last = self.pending.as_ref().is_some_and(|entry| {
            entry.device == device && entry.bucket == bucket && entry.logs == 0 && entry.end() == end
        });
        if !of_last {
            self.start(device, bucket, None)?;
            let offset = self.file.position();
            let (rows, times, time_bytes, columns) = (0, (0, 0), 0, Vec::new());
            self.pending = Some(DirectoryEntry {
                device,
                bucket,
                rows,
                times,
                offset,
                time_bytes,
                columns,
                logs: 0,
                log_bytes: 0,
            });
        }
        let bytes = self.write_block(|out| encode_logs(logs, out))?;
        self.note_times((first.time, last.time));
        self.footer.logs += logs.len() as u64;
        self.footer.log_bytes += u64::from(bytes);
        if let Some(entry) = &mut self.pending {
            (entry.logs, entry.log_bytes) = (logs.len() as u32, bytes);
        }
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.position()
    }

    /// Bytes of directory, statistics, rollups and gaps that wait for their pages.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pages.held_bytes()
    }

    /// Writes what waits for its page now, in pages that are not full.
    ///
    /// # Errors
    /// Errors of the file.
    pub fn write_pages(&mut self) -> Result<()> {
        for page in self.pages.remaining_pages()? {
            self.write_page(page)?;
        }
        Ok(())
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_none()
    }

    fn note_times(&mut self, times: (i64, i64)) {
        let known = self.footer.rows > 0 || self.footer.logs > 0;
        let (first, last) = if known { self.footer.times } else { times };
        self.footer.times = (first.min(times.0), last.max(times.1));
    }

    /// Puts the slice before into the directory, and checks that the next one, whose rows begin at `first`, follows it.
    fn start(&mut self, device: DeviceHandle, bucket: i32, first: Option<i64>) -> Result<()> {
        let before = self.pending.as_ref().map(|last| (last.device, last.bucket));
        let goes_on = before == Some((device, bucket));
        let follows = if goes_on { first.is_none() || first > self.last_time } else { before < Some((device, bucket)) };
        if let (Some((last_device, last_bucket)), false) = (before, follows) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "slice (device {device}, bucket {bucket}) comes after (device {last_device}, bucket {last_bucket})"
                ),
            ));
        }
        if !goes_on {
            self.last_time = None;
        }
        self.footer.buckets = match &self.pending {
            None => (bucket, bucket),
            Some(_) => (self.footer.buckets.0.min(bucket), self.footer.buckets.1.max(bucket)),
        };
        self.close_slice()
    }

    fn close_slice(&mut self) -> Result<()> {
        let Some(entry) = self.pending.take() else { return Ok(()) };
        self.footer.slices = self
            .footer
            .slices
            .checked_add(1)
            .ok_or_else(|| Error::new(ErrorKind::LimitExceeded, "a segment holds at most 2^32 slices"))?;
        self.pages.add_slice(self.footer.slices - 1, entry);
        for page in self.pages.full_pages()? {
            self.write_page(page)?;
        }
        Ok(())
    }

    fn write_page(&mut self, page: super::pages::Page) -> Result<()> {
        let offset = self.file.position();
        let bytes = self.write_block(|out| {
            out.extend_from_slice(&page.content);
            Ok(())
        })?;
        self.pages.place(page, offset, bytes);
        Ok(())
    }

    /// Appends one part and its checksum; gives its length.
    fn write_block(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<u32> {
        self.buffer.clear();
        encode(&mut self.buffer)?;
        let checksum = part_checksum(self.header.id, self.file.position(), &self.buffer);
        self.buffer.extend_from_slice(&checksum.to_le_bytes());
        let length = u32::try_from(self.buffer.len())
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, format!("a block of {} bytes", self.buffer.len())))?;
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        Ok(length)
    }

    /// Writes the rest of the pages and the footer, syncs the file and publishes it under its final name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a segment without slices; errors of the file.
    pub fn finish(mut self) -> Result<SegmentEntry> {
        if self.pending.is_none() {
            return Err(Error::new(ErrorKind::InvalidInput, "a segment without slices"));
        }
        self.close_slice()?;
        self.write_pages()?;
        std::mem::take(&mut self.pages).finish(&mut self.footer);
        let content = self.footer.encode()?;
        let digest = part_checksum(self.header.id, self.file.position(), &content);
        let footer_bytes = u32::try_from(content.len())
            .map_err(|_| Error::new(ErrorKind::LimitExceeded, format!("a footer of {} bytes", content.len())))?;
        let trailer = SegmentTrailer { footer_bytes, digest, version: self.footer.version() };
        self.file.append(&content)?;
        self.file.append(&trailer.encode())?;
        self.file.sync()?;
        self.fs.publish(&self.temporary, &self.path)?;
        debug_assert!(self.file.position() >= (HEADER_BYTES + TRAILER_BYTES) as u64);
        Ok(SegmentEntry {
            id: self.header.id,
            width: self.header.width,
            buckets: self.footer.buckets,
            sequences: self.header.sequences,
            times: self.footer.times,
            rows: self.footer.rows,
            values: self.values,
            logs: self.footer.logs,
            bytes: self.file.position(),
            digest,
            excluded: Vec::new(),
        })
    }
}

/// A column block: length of the presence, presence, values.
fn put_column(column: &Column, rows: usize, tier: Tier, out: &mut Vec<u8>) -> Result<()> {
    let mut presence = Vec::new();
    codec::encode_presence(&column.presence, rows, &mut presence);
    crate::bytes::put_varint(presence.len() as u64, out);
    out.extend_from_slice(&presence);
    tier.encode_values(&column.values, out)
}
