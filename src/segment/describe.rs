//! What is in a segment, for a person and for checks: goes on past damage, and says where it is.

use std::path::Path;
use std::sync::Arc;

use crate::codec;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    BlockStatistics, DirectoryEntry, Footer, FooterVersion, HEADER_BYTES, SegmentHeader, SegmentTrailer, SliceGaps,
    TRAILER_BYTES, part_checksum,
};
use crate::io::{FileSystem, ReadFile};
use crate::model::{MetricHandle, MetricType, SegmentId, Sequence};
use crate::time::{BucketWidth, TimeBucket, Timestamp};

use super::gaps::are_gaps_of;
use super::reader::OWN_PAGES_BYTES;
use super::{PageCache, Segment, SliceInfo, id_of_file};

/// A slice and its blocks.
#[derive(Debug)]
pub struct SliceDescription {
    /// The slice.
    pub slice: SliceInfo,
    /// Log records in it.
    pub logs: u32,
    /// The gaps between its rows, where the segment says them, or why they can not be read.
    pub gaps: Result<Option<SliceGaps>>,
    /// Its blocks: times first (without a metric), then columns; each whole, or what is wrong with it.
    pub blocks: Vec<BlockDescription>,
}

/// A block, as it lies in the file.
#[derive(Debug)]
pub struct BlockDescription {
    /// The metric; `None` for the times.
    pub metric: Option<(MetricHandle, MetricType)>,
    /// Where it lies.
    pub offset: u64,
    /// Bytes, with the checksum.
    pub bytes: u32,
    /// The name of its encoding, or the damage.
    pub encoding: Result<&'static str>,
    /// Its statistics, where it is a column, or why they can not be read.
    pub statistics: Result<Option<BlockStatistics>>,
}

impl Segment {
    /// Opens a segment file also where its header or trailer are damaged, as long as its footer is whole; gives the damage beside.
    /// A damaged header says nothing: the id is that of the file's name, the width what fits the times, the commits are zero.
    pub fn open_past_damage(fs: &dyn FileSystem, path: &Path) -> (Option<Self>, Vec<Error>) {
        let error = match Self::open_unlisted(fs, path) {
            Ok(segment) => return (Some(segment), Vec::new()),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::Corruption {
            return (None, vec![error]);
        }
        let Ok((Some(segment), damage)) = fs.open(path).and_then(Self::salvage) else { return (None, vec![error]) };
        (Some(segment), damage)
    }

    fn salvage(file: Arc<dyn ReadFile>) -> Result<(Option<Self>, Vec<Error>)> {
        let mut damage = Vec::new();
        let (header_end, length) = (HEADER_BYTES as u64, file.len());
        let Some(trailer_start) = length.checked_sub(TRAILER_BYTES as u64) else { return Ok((None, damage)) };
        let mut trailer = [0; TRAILER_BYTES];
        file.read_at(trailer_start, &mut trailer)?;
        damage.extend(
            SegmentTrailer::decode(&trailer)
                .err()
                .map(|error| error.at_path(file.path()).at_range(trailer_start..length)),
        );
        let (footer_bytes, digest) = SegmentTrailer::decode_unchecked(&trailer);
        let mut header = [0; HEADER_BYTES];
        file.read_at(0, &mut header)?;
        let header = SegmentHeader::decode(&header).map_err(|error| {
            damage.insert(0, error.at_path(file.path()).at_range(0..header_end));
        });
        let Some(id) = header.as_ref().map_or_else(|()| id_of_file(file.path()), |header| Some(header.id)) else {
            return Ok((None, damage));
        };
        let footer_start = trailer_start.checked_sub(u64::from(footer_bytes)).filter(|start| *start >= header_end);
        let Some(footer_start) = footer_start else { return Ok((None, damage)) };
        let mut content = vec![0; footer_bytes as usize];
        file.read_at(footer_start, &mut content)?;
        if part_checksum(id, footer_start, &content) != digest {
            return Ok((None, damage));
        }
        // What is one version's footer, to the end, is no other's.
        let read = |version| Footer::decode(&content, footer_start, version).ok();
        let Some(footer) = FooterVersion::KNOWN.into_iter().find_map(read) else { return Ok((None, damage)) };
        let header = header.unwrap_or_else(|()| header_of(id, &footer));
        let pages = Arc::new(PageCache::new(OWN_PAGES_BYTES));
        Ok((Some(Self { file, header, footer, digest, pages }), damage))
    }

    /// The header of the file.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The table of contents.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Visits every slice with its blocks, until `visit` says false. A page of the directory that can not be read is
    /// given as an error, and the visit goes on behind it.
    pub fn describe(&self, visit: &mut dyn FnMut(Result<SliceDescription>) -> bool) {
        for reference in &self.footer.directory {
            let page = match self.directory_page(reference) {
                Ok(page) => page,
                Err(error) => {
                    if !visit(Err(error)) {
                        return;
                    }
                    continue;
                }
            };
            for (place, entry) in page.iter().enumerate() {
                if !visit(Ok(self.describe_slice(reference.first_slice + place as u32, entry))) {
                    return;
                }
            }
        }
    }

    fn describe_slice(&self, place: u32, entry: &DirectoryEntry) -> SliceDescription {
        let slice =
            SliceInfo { device: entry.device, bucket: entry.bucket, place, rows: entry.rows, times: entry.times };
        let mut blocks = Vec::with_capacity(entry.columns.len() + 1);
        if entry.rows > 0 {
            let encoding = self.read_part(entry.offset, entry.time_bytes, |bytes| Ok(codec::times_encoding(bytes)));
            blocks.push(BlockDescription {
                metric: None,
                offset: entry.offset,
                bytes: entry.time_bytes,
                encoding,
                statistics: Ok(None),
            });
        }
        let mut offset = entry.offset + u64::from(entry.time_bytes);
        for column in &entry.columns {
            let encoding = self.read_part(offset, column.bytes, |bytes| {
                let mut reader = crate::bytes::Reader::new(bytes);
                let presence = reader.length()?;
                reader.take(presence)?;
                Ok(codec::values_encoding(reader.take_rest()))
            });
            let statistics = self.statistics(place, column.metric);
            let metric = Some((column.metric, column.metric_type));
            blocks.push(BlockDescription { metric, offset, bytes: column.bytes, encoding, statistics });
            offset += u64::from(column.bytes);
        }
        SliceDescription { slice, logs: entry.logs, gaps: self.gaps(place), blocks }
    }

    /// The bytes of a part of the file, damaged or not: for a dump in hexadecimal. Cut at the end of the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn raw_bytes(&self, offset: u64, bytes: u32) -> Result<Vec<u8>> {
        let end = offset.saturating_add(u64::from(bytes)).min(self.file.len());
        let mut part = vec![0; end.saturating_sub(offset) as usize];
        self.file.read_at(offset, &mut part)?;
        Ok(part)
    }

    /// Reads every part, and compares rows, values and statistics with each other: one error for each damage found.
    #[must_use]
    pub fn verify(&self) -> Vec<Error> {
        let mut damage = Vec::new();
        for reference in &self.footer.directory {
            match self.directory_page(reference) {
                Ok(page) => {
                    for (place, entry) in page.iter().enumerate() {
                        self.verify_slice(reference.first_slice + place as u32, entry, &mut damage);
                    }
                }
                Err(error) => damage.push(error),
            }
        }
        for metric in &self.footer.metrics {
            damage.extend(metric.statistics.iter().filter_map(|page| self.statistics_page(page).err()));
            damage.extend(metric.rollups.iter().filter_map(|page| self.rollup_page(page).err()));
        }
        let pages = self.footer.gaps.iter().flatten();
        damage.extend(pages.filter_map(|page| self.gap_page(page).err()));
        damage
    }

    /// Pages of gaps against the times; one that can not be read is damage for itself.
    fn verify_gaps(&self, place: u32, entry: &DirectoryEntry, times: &[i64], damage: &mut Vec<Error>) {
        let Ok(stored) = self.stored_gaps(place) else { return };
        let is_true = stored.map_or(times.len() < 2 || self.footer.gaps.is_none(), |gaps| are_gaps_of(&gaps, times));
        if !is_true {
            let what = format!("slice {place}: the gaps between its times are not those of its page of gaps");
            let range = entry.offset..entry.end();
            damage.push(Error::new(ErrorKind::Corruption, what).at_path(self.file.path()).at_range(range));
        }
    }

    fn verify_slice(&self, place: u32, entry: &DirectoryEntry, damage: &mut Vec<Error>) {
        if entry.rows > 0 {
            match self.read_times(place) {
                Ok(times) => self.verify_gaps(place, entry, &times, damage),
                Err(error) => damage.push(error),
            }
        }
        for column in &entry.columns {
            match (self.read_column(place, column.metric), self.statistics(place, column.metric)) {
                (Ok(Some(read)), Ok(Some(statistics))) => {
                    let said = statistics.count + statistics.count_nan;
                    if said != read.values.len() as u64 {
                        damage.push(
                            Error::new(
                                ErrorKind::Corruption,
                                format!(
                                    "slice {place}, metric {}: {} values, statistics of {said}",
                                    column.metric,
                                    read.values.len()
                                ),
                            )
                            .at_path(self.file.path())
                            .at_range(entry.offset..entry.end()),
                        );
                    }
                }
                (Ok(_), Ok(_)) => damage.push(
                    Error::new(
                        ErrorKind::Corruption,
                        format!("slice {place}, metric {}: no block or no statistics", column.metric),
                    )
                    .at_path(self.file.path())
                    .at_range(entry.offset..entry.end()),
                ),
                (column, _) => damage.extend(column.err()),
            }
        }
        if entry.logs > 0 {
            let offset = entry.end() - u64::from(entry.log_bytes);
            damage.extend(self.read_part(offset, entry.log_bytes, crate::format::decode_logs).err());
        }
    }
}

/// What the header of a segment must have said.
fn header_of(id: SegmentId, footer: &Footer) -> SegmentHeader {
    let first = Timestamp::from_nanoseconds(footer.times.0);
    let fits = |width| (footer.buckets.0..=footer.buckets.1).contains(&TimeBucket::containing(width, first).number);
    let width = if fits(BucketWidth::Day) { BucketWidth::Day } else { BucketWidth::Month };
    SegmentHeader { id, width, sequences: (Sequence::ZERO, Sequence::ZERO), tier: codec::Tier::default() }
}
