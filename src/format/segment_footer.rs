//! The footer of a segment: its table of contents.

use crate::bytes::{Reader, put_signed, put_varint};
use crate::error::Result;
use crate::model::{MetricHandle, MetricType};

use super::framed::{corrupt, count, too_many};
use super::segment_frame::FooterVersion;

/// The most pages of one kind, and the most metrics, of one segment.
const ENTRIES_MAX: usize = 1 << 24;
/// The most bytes of a footer.
pub const FOOTER_BYTES_MAX: usize = 1 << 30;

/// A page: where it lies, and which slices it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageReference {
    /// Place of the first slice in it.
    pub first_slice: u32,
    /// Place of the last slice in it.
    pub last_slice: u32,
    /// Device of the first slice.
    pub first_device: u32,
    /// Device of the last slice.
    pub last_device: u32,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes, with the checksum.
    pub bytes: u32,
}

/// One metric of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FooterMetric {
    /// The metric.
    pub metric: MetricHandle,
    /// The widest type among its blocks.
    pub metric_type: MetricType,
    /// How many blocks, values and bytes of blocks it has.
    pub blocks: u64,
    /// Values.
    pub values: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Pages of statistics, by slice.
    pub statistics: Vec<PageReference>,
    /// Pages of hourly rollups, by slice.
    pub rollups: Vec<PageReference>,
}

/// The table of contents of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Footer {
    /// First and last bucket.
    pub buckets: (i32, i32),
    /// First and last instant of rows and log records.
    pub times: (i64, i64),
    /// Number of slices.
    pub slices: u32,
    /// Rows.
    pub rows: u64,
    /// Log records.
    pub logs: u64,
    /// Bytes of time blocks.
    pub time_bytes: u64,
    /// Bytes of log blocks.
    pub log_bytes: u64,
    /// Pages of the directory of slices, by slice.
    pub directory: Vec<PageReference>,
    /// The metrics, by handle.
    pub metrics: Vec<FooterMetric>,
    /// Pages of gaps, by slice; `None` of version 1, which has none.
    pub gaps: Option<Vec<PageReference>>,
}

impl Footer {
    /// Values in the segment.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.metrics.iter().map(|metric| metric.values).sum()
    }

    /// The version that it is written in.
    #[must_use]
    pub fn version(&self) -> FooterVersion {
        if self.gaps.is_some() { FooterVersion::WithGaps } else { FooterVersion::WithoutGaps }
    }

    /// Encodes it, in its [`Footer::version`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::LimitExceeded`] for what [`Footer::decode`] or whoever reads it would refuse.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let pages = self.metrics.iter().map(|metric| metric.statistics.len().max(metric.rollups.len()));
        let gaps = self.gaps.as_ref().map_or(0, Vec::len);
        let longest = pages.fold(self.directory.len().max(self.metrics.len()).max(gaps), usize::max);
        if longest > ENTRIES_MAX {
            return Err(too_many("pages or metrics of a segment", longest, ENTRIES_MAX));
        }
        let mut out = Vec::new();
        for number in [i64::from(self.buckets.0), i64::from(self.buckets.1), self.times.0, self.times.1] {
            put_signed(number, &mut out);
        }
        for number in [u64::from(self.slices), self.rows, self.logs, self.time_bytes, self.log_bytes] {
            put_varint(number, &mut out);
        }
        put_pages(&self.directory, &mut out);
        put_varint(self.metrics.len() as u64, &mut out);
        for metric in &self.metrics {
            put_varint(u64::from(metric.metric.0), &mut out);
            out.push(metric.metric_type.code());
            for number in [metric.blocks, metric.values, metric.bytes] {
                put_varint(number, &mut out);
            }
            put_pages(&metric.statistics, &mut out);
            put_pages(&metric.rollups, &mut out);
        }
        if let Some(gaps) = &self.gaps {
            put_pages(gaps, &mut out);
        }
        if out.len() > FOOTER_BYTES_MAX {
            return Err(too_many("bytes of a footer", out.len(), FOOTER_BYTES_MAX));
        }
        Ok(out)
    }

    /// Reads and checks one of a version; `content_bytes` is where the footer begins: no page may reach past it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    pub fn decode(bytes: &[u8], content_bytes: u64, version: FooterVersion) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let bucket =
            |reader: &mut Reader<'_>| i32::try_from(reader.signed()?).map_err(|_| corrupt("a bucket is out of range"));
        let buckets = (bucket(&mut reader)?, bucket(&mut reader)?);
        let times = (reader.signed()?, reader.signed()?);
        let slices = u32::try_from(reader.varint()?).map_err(|_| corrupt("the number of slices is out of range"))?;
        let (rows, logs) = (reader.varint()?, reader.varint()?);
        let (time_bytes, log_bytes) = (reader.varint()?, reader.varint()?);
        let directory = take_pages(&mut reader, slices, content_bytes)?;
        let mut metrics: Vec<FooterMetric> = Vec::new();
        for _ in 0..count(&mut reader, ENTRIES_MAX)? {
            let handle = u32::try_from(reader.varint()?).map_err(|_| corrupt("a metric is out of range"))?;
            let metric_type = MetricType::from_code(reader.byte()?).ok_or_else(|| corrupt("an unknown type"))?;
            let (blocks, values, bytes) = (reader.varint()?, reader.varint()?, reader.varint()?);
            let statistics = take_pages(&mut reader, slices, content_bytes)?;
            let rollups = take_pages(&mut reader, slices, content_bytes)?;
            if metrics.last().is_some_and(|last| last.metric.0 >= handle) {
                return Err(corrupt("the metrics of the footer are not in order"));
            }
            metrics.push(FooterMetric {
                metric: MetricHandle(handle),
                metric_type,
                blocks,
                values,
                bytes,
                statistics,
                rollups,
            });
        }
        let gaps = match version {
            FooterVersion::WithoutGaps => None,
            FooterVersion::WithGaps => Some(take_pages(&mut reader, slices, content_bytes)?),
        };
        reader.finish()?;
        Ok(Self { buckets, times, slices, rows, logs, time_bytes, log_bytes, directory, metrics, gaps })
    }
}

fn put_pages(pages: &[PageReference], out: &mut Vec<u8>) {
    put_varint(pages.len() as u64, out);
    for page in pages {
        for number in [
            page.first_slice,
            page.last_slice - page.first_slice,
            page.first_device,
            page.last_device - page.first_device,
        ] {
            put_varint(u64::from(number), out);
        }
        put_varint(page.offset, out);
        put_varint(u64::from(page.bytes), out);
    }
}

fn take_pages(reader: &mut Reader<'_>, slices: u32, content_bytes: u64) -> Result<Vec<PageReference>> {
    let mut pages: Vec<PageReference> = Vec::new();
    let small = |number: u64| u32::try_from(number).map_err(|_| corrupt("a page is out of range"));
    for _ in 0..count(reader, ENTRIES_MAX)? {
        let first_slice = small(reader.varint()?)?;
        let last_slice = small(u64::from(first_slice).saturating_add(reader.varint()?))?;
        let first_device = small(reader.varint()?)?;
        let last_device = small(u64::from(first_device).saturating_add(reader.varint()?))?;
        let (offset, bytes) = (reader.varint()?, small(reader.varint()?)?);
        let end = offset.checked_add(u64::from(bytes)).filter(|end| *end <= content_bytes);
        let in_order =
            pages.last().is_none_or(|last| last.last_slice < first_slice && last.last_device <= first_device);
        if end.is_none() || last_slice >= slices || !in_order {
            return Err(corrupt("a page lies outside the file, or out of order"));
        }
        pages.push(PageReference { first_slice, last_slice, first_device, last_device, offset, bytes });
    }
    Ok(pages)
}
