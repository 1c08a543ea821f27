//! Pages of a segment: read, checked against what the footer says of them, and kept.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    BlockStatistics, DirectoryEntry, HEADER_BYTES, PageReference, RollupCell, SliceGaps, decode_directory, decode_gaps,
    decode_rollups, decode_statistics,
};
use crate::model::MetricHandle;

use super::Segment;
use super::cache::CachedPage;
use super::reader::page_of;

impl Segment {
    /// Statistics of one column of a slice; `None` where the slice has no such column.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
    pub fn statistics(&self, slice: u32, metric: MetricHandle) -> Result<Option<BlockStatistics>> {
        let Some(reference) = self.metric(metric).and_then(|metric| page_of(&metric.statistics, slice)) else {
            return Ok(None);
        };
        let page = self.statistics_page(reference)?;
        Ok(page.binary_search_by_key(&slice, |(place, _)| *place).ok().map(|place| page[place].1))
    }

    /// The rollup of one column of a slice, its cells rising; `None` where it has none: text has not, nor have few values.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
    pub fn rollup(&self, slice: u32, metric: MetricHandle) -> Result<Option<Vec<RollupCell>>> {
        let Some(reference) = self.metric(metric).and_then(|metric| page_of(&metric.rollups, slice)) else {
            return Ok(None);
        };
        let page = self.rollup_page(reference)?;
        Ok(page.binary_search_by_key(&slice, |(place, _)| *place).ok().map(|place| page[place].1.clone()))
    }

    /// The gaps between the rows of a slice; `None` where the segment does not say: it is of before, or the slice has one row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`], [`crate::ErrorKind::Io`].
    pub fn gaps(&self, slice: u32) -> Result<Option<SliceGaps>> {
        let Some(gaps) = self.stored_gaps(slice)? else { return Ok(None) };
        let (page, place) = self.entry(slice)?;
        let entry = &page[place];
        if !gaps.fits(entry.rows, entry.times) {
            return Err(self.damage(
                entry.offset,
                entry.time_bytes,
                "the page of gaps says what its rows can not have",
            ));
        }
        Ok(Some(gaps))
    }

    /// What the page of gaps says of a slice, whatever its rows are.
    pub(super) fn stored_gaps(&self, slice: u32) -> Result<Option<SliceGaps>> {
        let pages = self.footer.gaps.as_deref().unwrap_or_default();
        let Some(reference) = page_of(pages, slice) else { return Ok(None) };
        let page = self.gap_page(reference)?;
        Ok(page.binary_search_by_key(&slice, |gaps| gaps.slice).ok().map(|place| page[place].clone()))
    }

    pub(super) fn directory_page(&self, reference: &PageReference) -> Result<Arc<Vec<DirectoryEntry>>> {
        let page = self.pages.get(self.id(), reference.offset, || {
            let page = self.read_part(reference.offset, reference.bytes, decode_directory)?;
            self.check_directory(reference, &page)?;
            Ok(CachedPage::Directory(Arc::new(page)))
        })?;
        match page {
            CachedPage::Directory(page) => Ok(page),
            _ => Err(self.misplaced(reference)),
        }
    }

    /// A directory that fits its reference, with blocks that fit the file.
    fn check_directory(&self, reference: &PageReference, page: &[DirectoryEntry]) -> Result<()> {
        let spans = |entry: Option<&DirectoryEntry>| entry.map(|entry| entry.device.0);
        let fits = page.len() as u64 == u64::from(reference.last_slice - reference.first_slice) + 1
            && spans(page.first()) == Some(reference.first_device)
            && spans(page.last()) == Some(reference.last_device)
            && page.iter().all(|entry| {
                entry.offset >= HEADER_BYTES as u64 && entry.offset < 1 << 62 && entry.end() <= self.file.len()
            });
        if fits { Ok(()) } else { Err(self.misplaced(reference)) }
    }

    pub(super) fn statistics_page(&self, reference: &PageReference) -> Result<Arc<Vec<(u32, BlockStatistics)>>> {
        let page = self.pages.get(self.id(), reference.offset, || {
            let page = self.read_part(reference.offset, reference.bytes, decode_statistics)?;
            self.check_ends(reference, &page, |(slice, _)| *slice)?;
            Ok(CachedPage::Statistics(Arc::new(page)))
        })?;
        match page {
            CachedPage::Statistics(page) => Ok(page),
            _ => Err(self.misplaced(reference)),
        }
    }

    pub(super) fn rollup_page(&self, reference: &PageReference) -> Result<Arc<Vec<(u32, Vec<RollupCell>)>>> {
        let page = self.pages.get(self.id(), reference.offset, || {
            let page = self.read_part(reference.offset, reference.bytes, decode_rollups)?;
            self.check_ends(reference, &page, |(slice, _)| *slice)?;
            Ok(CachedPage::Rollups(Arc::new(page)))
        })?;
        match page {
            CachedPage::Rollups(page) => Ok(page),
            _ => Err(self.misplaced(reference)),
        }
    }

    pub(super) fn gap_page(&self, reference: &PageReference) -> Result<Arc<Vec<SliceGaps>>> {
        let page = self.pages.get(self.id(), reference.offset, || {
            let page = self.read_part(reference.offset, reference.bytes, decode_gaps)?;
            self.check_ends(reference, &page, |gaps| gaps.slice)?;
            Ok(CachedPage::Gaps(Arc::new(page)))
        })?;
        match page {
            CachedPage::Gaps(page) => Ok(page),
            _ => Err(self.misplaced(reference)),
        }
    }

    /// A page whose first and last slice are those of its reference.
    fn check_ends<T>(&self, reference: &PageReference, page: &[T], slice: impl Fn(&T) -> u32) -> Result<()> {
        let ends = (page.first().map(&slice), page.last().map(&slice));
        if ends == (Some(reference.first_slice), Some(reference.last_slice)) {
            Ok(())
        } else {
            Err(self.misplaced(reference))
        }
    }

    fn misplaced(&self, reference: &PageReference) -> Error {
        self.damage(reference.offset, reference.bytes, "the page is not the one that the footer names")
    }
}
