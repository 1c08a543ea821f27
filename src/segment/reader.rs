//! Reads a segment.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::codec::{self, Tier};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    DirectoryEntry, FOOTER_BYTES_MAX, Footer, FooterMetric, HEADER_BYTES, PageReference, SegmentEntry, SegmentHeader,
    SegmentTrailer, TRAILER_BYTES, checked_part, decode_logs, part_checksum,
};
use crate::io::{FileSystem, ReadFile};
use crate::model::{Column, DeviceHandle, DeviceRows, MetricHandle, MetricType, SegmentId, Sequence, StoredLog};
use crate::time::TimeBucket;

use super::cache::PageCache;
use super::encoded::{slice_times, split_column};
use super::{LogSlice, SliceInfo, file_name};

/// Bytes of pages that a segment keeps which is opened for itself, without a store.
pub(super) const OWN_PAGES_BYTES: usize = 8 << 20;

/// An open segment. `Send + Sync`; blocks are read one by one where they lie.
#[derive(Debug)]
pub struct Segment {
    pub(super) file: Arc<dyn ReadFile>,
    pub(super) header: SegmentHeader,
    pub(super) footer: Footer,
    pub(super) digest: u64,
    pub(super) pages: Arc<PageCache>,
}

impl Segment {
    /// Opens the segment of a manifest's entry and checks that it is that one. Reads header, trailer and footer; keeps pages
    /// in a cache that other segments of the same store share.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Corruption`], [`ErrorKind::UnsupportedVersion`], [`ErrorKind::Io`].
    pub fn open(fs: &dyn FileSystem, folder: &Path, entry: &SegmentEntry, pages: &Arc<PageCache>) -> Result<Self> {
        let segment = Self::open_file(fs, &folder.join(file_name(entry.id)), Arc::clone(pages))?;
        segment.check_entry(entry)?;
        Ok(segment)
    }

    /// Whether it is the segment of a manifest's entry.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`].
    pub fn check_entry(&self, entry: &SegmentEntry) -> Result<()> {
        let is = (self.id(), self.header.width, self.file.len(), self.digest);
        let written = self.header.sequences;
        // A bulk load's number was not known when the file was begun: zeros, and the manifest says it.
        let fits = written == entry.sequences || written == (Sequence::ZERO, Sequence::ZERO);
        if is != (entry.id, entry.width, entry.bytes, entry.digest) || !fits {
            return Err(Error::new(ErrorKind::Corruption, "the file is not the segment that the manifest knows")
                .at_path(self.file.path())
                .at_range(0..self.file.len())
                .advise("restore the file from a backup"));
        }
        Ok(())
    }

    /// Opens a segment file by its path, whether or not a manifest knows it: for dumps.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn open_unlisted(fs: &dyn FileSystem, path: &Path) -> Result<Self> {
        Self::open_file(fs, path, Arc::new(PageCache::new(OWN_PAGES_BYTES)))
    }

    fn open_file(fs: &dyn FileSystem, path: &Path, pages: Arc<PageCache>) -> Result<Self> {
        let file = fs.open(path)?;
        let length = file.len();
        let (header_end, trailer_start) = (HEADER_BYTES as u64, length.saturating_sub(TRAILER_BYTES as u64));
        if trailer_start < header_end {
            return Err(Error::new(ErrorKind::Corruption, format!("{length} bytes are too few for a segment"))
                .at_path(path)
                .at_range(0..length));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_at(0, &mut header)?;
        let header = SegmentHeader::decode(&header).map_err(|error| error.at_path(path).at_range(0..header_end))?;
        let mut trailer = [0; TRAILER_BYTES];
        file.read_at(trailer_start, &mut trailer)?;
        let trailer =
            SegmentTrailer::decode(&trailer).map_err(|error| error.at_path(path).at_range(trailer_start..length))?;
        let footer_bytes = u64::from(trailer.footer_bytes);
        let footer_start = trailer_start.saturating_sub(footer_bytes);
        let at_footer = |error: Error| error.at_path(path).at_range(footer_start..trailer_start);
        if footer_start < header_end || footer_bytes > FOOTER_BYTES_MAX as u64 {
            return Err(at_footer(Error::new(ErrorKind::Corruption, "the footer does not fit the file")));
        }
        let mut content = vec![0; footer_bytes as usize];
        file.read_at(footer_start, &mut content)?;
        if part_checksum(header.id, footer_start, &content) != trailer.digest {
            return Err(at_footer(Error::new(ErrorKind::Corruption, "the checksum of the footer differs")));
        }
        let footer = Footer::decode(&content, footer_start, trailer.version).map_err(at_footer)?;
        Ok(Self { file, header, footer, digest: trailer.digest, pages })
    }

    /// The segment's id.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        self.header.id
    }

    /// What its columns were written for.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.header.tier
    }

    /// The metrics with values in it, with the widest type among their blocks, in order of their handles.
    #[must_use]
    pub fn metrics(&self) -> Vec<(MetricHandle, MetricType)> {
        self.footer.metrics.iter().map(|metric| (metric.metric, metric.metric_type)).collect()
    }

    /// Bytes and values of blocks by metric; the time blocks stand under `None`.
    #[must_use]
    pub fn column_bytes(&self) -> Vec<(Option<MetricHandle>, u64, u64)> {
        let times = (None, self.footer.time_bytes, self.footer.rows);
        let metrics = self.footer.metrics.iter().map(|metric| (Some(metric.metric), metric.bytes, metric.values));
        std::iter::once(times).chain(metrics).collect()
    }

    /// All devices with rows, rising. Reads the whole directory.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn devices(&self) -> Result<Vec<DeviceHandle>> {
        self.devices_where(|entry| entry.rows > 0)
    }

    /// All devices with log records, rising. Reads the whole directory.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn log_devices(&self) -> Result<Vec<DeviceHandle>> {
        if self.footer.logs == 0 {
            return Ok(Vec::new());
        }
        self.devices_where(|entry| entry.logs > 0)
    }

    /// The buckets of all slices, rising, with their rows and log records. Reads the whole directory, but for a segment of one
    /// bucket.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn buckets(&self) -> Result<Vec<(i32, u64)>> {
        let (first, last) = self.footer.buckets;
        if first == last {
            return Ok(vec![(first, self.footer.rows + self.footer.logs)]);
        }
        let mut buckets: BTreeMap<i32, u64> = BTreeMap::new();
        for reference in &self.footer.directory {
            for entry in self.directory_page(reference)?.iter() {
                *buckets.entry(entry.bucket).or_default() += u64::from(entry.rows) + u64::from(entry.logs);
            }
        }
        Ok(buckets.into_iter().collect())
    }

    /// First and last instant of its rows, log records aside. Reads the whole directory.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn row_times(&self) -> Result<Option<(i64, i64)>> {
        let mut span: Option<(i64, i64)> = None;
        for reference in &self.footer.directory {
            for entry in self.directory_page(reference)?.iter().filter(|entry| entry.rows > 0) {
                let (first, last) = span.unwrap_or(entry.times);
                span = Some((first.min(entry.times.0), last.max(entry.times.1)));
            }
        }
        Ok(span)
    }

    fn devices_where(&self, wanted: impl Fn(&DirectoryEntry) -> bool) -> Result<Vec<DeviceHandle>> {
        let mut devices: Vec<DeviceHandle> = Vec::new();
        for reference in &self.footer.directory {
            let page = self.directory_page(reference)?;
            devices.extend(page.iter().filter(|entry| wanted(entry)).map(|entry| entry.device));
        }
        devices.dedup();
        Ok(devices)
    }

    /// The slices of a device with rows, rising by bucket.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn slices(&self, device: DeviceHandle) -> Result<Vec<SliceInfo>> {
        let mut slices = Vec::new();
        self.visit_device(device, |place, entry| {
            if entry.rows > 0 {
                let (bucket, rows, times) = (entry.bucket, entry.rows, entry.times);
                slices.push(SliceInfo { device, bucket, place, rows, times });
            }
            Ok(())
        })?;
        Ok(slices)
    }

    /// The log records of a device, by (time, order).
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_logs(&self, device: DeviceHandle) -> Result<Vec<StoredLog>> {
        let mut logs = Vec::new();
        for slice in self.log_slices(device)? {
            logs.extend(self.read_slice_logs(slice.place)?);
        }
        Ok(logs)
    }

    /// The slices of a device with log records, in the order of these.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn log_slices(&self, device: DeviceHandle) -> Result<Vec<LogSlice>> {
        let mut slices = Vec::new();
        self.visit_device(device, |place, entry| {
            if entry.logs > 0 {
                slices.push(LogSlice { bucket: TimeBucket { width: self.header.width, number: entry.bucket }, place });
            }
            Ok(())
        })?;
        Ok(slices)
    }

    /// The log records of one slice, by (time, order).
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_slice_logs(&self, slice: u32) -> Result<Vec<StoredLog>> {
        let (page, place) = self.entry(slice)?;
        let entry = &page[place];
        let offset = entry.end() - u64::from(entry.log_bytes);
        let logs = self.read_part(offset, entry.log_bytes, decode_logs)?;
        if logs.len() != entry.logs as usize || logs.iter().any(|log| log.device != entry.device) {
            return Err(self.damage(offset, entry.log_bytes, "the log records are not those of the directory"));
        }
        Ok(logs)
    }

    fn visit_device(
        &self,
        device: DeviceHandle,
        mut visit: impl FnMut(u32, &DirectoryEntry) -> Result<()>,
    ) -> Result<()> {
        let pages = &self.footer.directory;
        let first = pages.partition_point(|page| page.last_device < device.0);
        for reference in pages[first..].iter().take_while(|page| page.first_device <= device.0) {
            let page = self.directory_page(reference)?;
            let from = page.partition_point(|entry| entry.device < device);
            for (place, entry) in page.iter().enumerate().skip(from).take_while(|(_, entry)| entry.device == device) {
                visit(reference.first_slice + place as u32, entry)?;
            }
        }
        Ok(())
    }

    /// The times of a slice.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_times(&self, slice: u32) -> Result<Vec<i64>> {
        let (page, place) = self.entry(slice)?;
        self.times_of(&page[place])
    }

    /// One column of a slice; `None` where it has no such column.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_column(&self, slice: u32, metric: MetricHandle) -> Result<Option<Column>> {
        let (page, place) = self.entry(slice)?;
        let entry = &page[place];
        let mut offset = entry.offset + u64::from(entry.time_bytes);
        for column in &entry.columns {
            if column.metric == metric {
                return self.column_at(offset, column.bytes, entry.rows, column.metric_type).map(Some);
            }
            offset += u64::from(column.bytes);
        }
        Ok(None)
    }

    /// The times of a slice with all its columns, or those of some metrics.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn read_slice(&self, slice: u32, metrics: Option<&[MetricHandle]>) -> Result<DeviceRows> {
        let (page, place) = self.entry(slice)?;
        let entry = &page[place];
        let mut rows = DeviceRows { times: self.times_of(entry)?, columns: Vec::with_capacity(entry.columns.len()) };
        let mut offset = entry.offset + u64::from(entry.time_bytes);
        for column in &entry.columns {
            if metrics.is_none_or(|metrics| metrics.contains(&column.metric)) {
                rows.columns
                    .push((column.metric, self.column_at(offset, column.bytes, entry.rows, column.metric_type)?));
            }
            offset += u64::from(column.bytes);
        }
        Ok(rows)
    }

    /// The metrics that a slice has columns of.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn slice_metrics(&self, slice: u32) -> Result<Vec<MetricHandle>> {
        let (page, place) = self.entry(slice)?;
        Ok(page[place].columns.iter().map(|column| column.metric).collect())
    }

    /// Bytes of the blocks that [`Segment::read_slice`] reads, times included.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn slice_bytes(&self, slice: u32, metrics: Option<&[MetricHandle]>) -> Result<u64> {
        let (page, place) = self.entry(slice)?;
        let wanted =
            page[place].columns.iter().filter(|column| metrics.is_none_or(|metrics| metrics.contains(&column.metric)));
        Ok(u64::from(page[place].time_bytes) + wanted.map(|column| u64::from(column.bytes)).sum::<u64>())
    }

    pub(super) fn metric(&self, metric: MetricHandle) -> Option<&FooterMetric> {
        let metrics = &self.footer.metrics;
        metrics.binary_search_by_key(&metric, |metric| metric.metric).ok().map(|place| &metrics[place])
    }

    /// The directory's entry of a slice: its page, and the place in it.
    pub(super) fn entry(&self, slice: u32) -> Result<(Arc<Vec<DirectoryEntry>>, usize)> {
        let reference = page_of(&self.footer.directory, slice).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("segment {} has no slice {slice}", self.id()))
                .at_path(self.file.path())
        })?;
        let page = self.directory_page(reference)?;
        Ok((page, (slice - reference.first_slice) as usize))
    }

    fn times_of(&self, entry: &DirectoryEntry) -> Result<Vec<i64>> {
        if entry.rows == 0 {
            return Ok(Vec::new());
        }
        self.read_part(entry.offset, entry.time_bytes, |content| slice_times(content, entry.rows, entry.times))
    }

    pub(super) fn column_at(&self, offset: u64, bytes: u32, rows: u32, metric_type: MetricType) -> Result<Column> {
        self.read_part(offset, bytes, |content| {
            let (presence, present, values) = split_column(content, rows)?;
            Ok(Column { presence, values: codec::decode_values(values, metric_type, present)? })
        })
    }

    pub(super) fn damage(&self, offset: u64, bytes: u32, what: &str) -> Error {
        Error::new(ErrorKind::Corruption, what)
            .at_path(self.file.path())
            .at_range(offset..offset.saturating_add(u64::from(bytes)))
            .advise("restore the file from a backup")
    }

    /// Reads, checks and decodes a part; errors name the file and the range.
    pub(super) fn read_part<T>(&self, offset: u64, bytes: u32, decode: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        let mut part = Vec::new();
        let content = self.read_part_into(offset, bytes, &mut part)?;
        decode(&part[content]).map_err(|error| self.located(error, offset, bytes))
    }

    /// Appends a part, checked; returns where in `buffer` its content lies.
    pub(super) fn read_part_into(&self, offset: u64, bytes: u32, buffer: &mut Vec<u8>) -> Result<Range<usize>> {
        if offset.saturating_add(u64::from(bytes)) > self.file.len() {
            return Err(self.damage(offset, bytes, "a part reaches past the end of the file"));
        }
        let from = buffer.len();
        buffer.resize(from + bytes as usize, 0);
        self.file.read_at(offset, &mut buffer[from..])?;
        let content = checked_part(self.id(), offset, &buffer[from..]);
        let length = content.map_err(|error| self.located(error, offset, bytes))?.len();
        Ok(from..from + length)
    }

    /// An error of a part, with its place; one that is not of the file stays as it is.
    pub(super) fn located(&self, error: Error, offset: u64, bytes: u32) -> Error {
        if error.kind() == ErrorKind::LimitExceeded {
            return error;
        }
        let range = offset..offset.saturating_add(u64::from(bytes));
        error.at_path(self.file.path()).at_range(range).advise("restore the file from a backup")
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.pages.forget(self.id());
    }
}

/// The page that speaks of a slice.
pub(super) fn page_of(pages: &[PageReference], slice: u32) -> Option<&PageReference> {
    let place = pages.partition_point(|page| page.last_slice < slice);
    pages.get(place).filter(|page| page.first_slice <= slice)
}
