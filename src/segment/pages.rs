//! Gathers the directory, statistics, rollups and gaps of a segment into pages while it is written.
//!
//! Guarantees: what waits for its page is counted in bytes, and may be closed at any time: to a reader a page of any size is as
//! good as a full one.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::format::{
    BlockStatistics, DirectoryColumn, DirectoryEntry, Footer, FooterMetric, Gap, PageReference, RollupCell, SliceGaps,
    encode_directory, encode_gaps, encode_rollups, encode_statistics,
};
use crate::model::{DeviceHandle, MetricHandle, MetricType};

/// Columns in one page of the directory.
const DIRECTORY_COLUMNS: usize = 4_096;
/// Blocks in one page of statistics.
const STATISTICS_BLOCKS: usize = 512;
/// Cells in one page of rollups.
const ROLLUP_CELLS: usize = 8_192;
/// Slices and listed gaps in one page of gaps.
const GAP_ENTRIES: usize = 2_048;
/// Bytes that may wait for their pages before these are closed early, whatever else is written beside.
const HELD_BYTES_MAX: usize = 20 << 20;

/// What a page speaks of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Directory,
    Statistics(MetricHandle),
    Rollups(MetricHandle),
    Gaps,
}

/// A page ready to be written.
#[derive(Debug)]
pub(super) struct Page {
    kind: Kind,
    reference: PageReference,
    pub(super) content: Vec<u8>,
}

/// The slices that a page holds so far.
#[derive(Debug, Default, Clone, Copy)]
struct Span(Option<((u32, u32), (u32, u32))>);

impl Span {
    fn add(&mut self, slice: u32, device: DeviceHandle) {
        let first = self.0.map_or((slice, device.0), |(first, _)| first);
        self.0 = Some((first, (slice, device.0)));
    }

    fn reference(self) -> Option<PageReference> {
        let ((first_slice, first_device), (last_slice, last_device)) = self.0?;
        Some(PageReference { first_slice, last_slice, first_device, last_device, offset: 0, bytes: 0 })
    }
}

#[derive(Debug)]
struct MetricPages {
    footer: FooterMetric,
    statistics: Vec<(u32, BlockStatistics)>,
    statistics_span: Span,
    rollups: Vec<(u32, Vec<RollupCell>)>,
    rollups_span: Span,
    cells: usize,
}

/// Pages in the making.
#[derive(Debug, Default)]
pub(super) struct PageBuilder {
    directory: Vec<DirectoryEntry>,
    directory_span: Span,
    directory_columns: usize,
    directory_references: Vec<PageReference>,
    metrics: BTreeMap<MetricHandle, MetricPages>,
    gaps: Vec<SliceGaps>,
    gaps_span: Span,
    listed_gaps: usize,
    gap_references: Vec<PageReference>,
    held_bytes: usize,
}

impl PageBuilder {
    /// Adds a block of slice `slice`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn add_block(
        &mut self,
        slice: u32,
        device: DeviceHandle,
        metric: MetricHandle,
        metric_type: MetricType,
        statistics: &BlockStatistics,
        rollup: Option<Vec<RollupCell>>,
        values: usize,
        bytes: u32,
    ) {
        let pages = self.metrics.entry(metric).or_insert_with(|| MetricPages {
            footer: FooterMetric {
                metric,
                metric_type,
                blocks: 0,
                values: 0,
                bytes: 0,
                statistics: Vec::new(),
                rollups: Vec::new(),
            },
            statistics: Vec::new(),
            statistics_span: Span::default(),
            rollups: Vec::new(),
            rollups_span: Span::default(),
            cells: 0,
        });
        let footer = &mut pages.footer;
        footer.metric_type = footer.metric_type.widest(metric_type).unwrap_or(metric_type);
        footer.blocks += 1;
        footer.values += values as u64;
        footer.bytes += u64::from(bytes);
        pages.statistics.push((slice, *statistics));
        pages.statistics_span.add(slice, device);
        self.held_bytes += statistics_bytes(1);
        if let Some(mut cells) = rollup {
            cells.shrink_to_fit();
            pages.cells += cells.len();
            self.held_bytes += rollup_bytes(1, cells.len());
            pages.rollups.push((slice, cells));
            pages.rollups_span.add(slice, device);
        }
    }

    /// Adds the gaps of a slice.
    pub(super) fn add_gaps(&mut self, device: DeviceHandle, mut gaps: SliceGaps) {
        gaps.listed.shrink_to_fit();
        self.listed_gaps += gaps.listed.len();
        self.held_bytes += gap_bytes(1, gaps.listed.len());
        self.gaps_span.add(gaps.slice, device);
        self.gaps.push(gaps);
    }

    /// Adds a finished slice.
    pub(super) fn add_slice(&mut self, slice: u32, entry: DirectoryEntry) {
        self.directory_columns += entry.columns.len() + 1;
        self.held_bytes += directory_bytes(1, entry.columns.len() + 1);
        self.directory_span.add(slice, entry.device);
        self.directory.push(entry);
    }

    /// Bytes of what waits for its page.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes out the pages that are full.
    pub(super) fn full_pages(&mut self) -> Result<Vec<Page>> {
        let all = self.held_bytes > HELD_BYTES_MAX;
        self.take_pages(all)
    }

    /// Takes out all that is left.
    pub(super) fn remaining_pages(&mut self) -> Result<Vec<Page>> {
        let mut pages = self.take_pages(true)?;
        pages.extend(self.take_directory()?);
        Ok(pages)
    }

    fn take_pages(&mut self, all: bool) -> Result<Vec<Page>> {
        let mut taken = Vec::new();
        if self.directory_columns >= DIRECTORY_COLUMNS {
            taken.extend(self.take_directory()?);
        }
        for (metric, pages) in &mut self.metrics {
            if all || pages.statistics.len() >= STATISTICS_BLOCKS {
                self.held_bytes -= statistics_bytes(pages.statistics.len());
                let content = encode_statistics(&std::mem::take(&mut pages.statistics))?;
                let reference = std::mem::take(&mut pages.statistics_span).reference();
                taken.extend(reference.map(|reference| Page { kind: Kind::Statistics(*metric), reference, content }));
            }
            if all || pages.cells >= ROLLUP_CELLS {
                self.held_bytes -= rollup_bytes(pages.rollups.len(), std::mem::take(&mut pages.cells));
                let content = encode_rollups(&std::mem::take(&mut pages.rollups))?;
                let reference = std::mem::take(&mut pages.rollups_span).reference();
                taken.extend(reference.map(|reference| Page { kind: Kind::Rollups(*metric), reference, content }));
            }
        }
        if all || self.gaps.len() + self.listed_gaps >= GAP_ENTRIES {
            self.held_bytes -= gap_bytes(self.gaps.len(), std::mem::take(&mut self.listed_gaps));
            let content = encode_gaps(&std::mem::take(&mut self.gaps))?;
            let reference = std::mem::take(&mut self.gaps_span).reference();
            taken.extend(reference.map(|reference| Page { kind: Kind::Gaps, reference, content }));
        }
        Ok(taken)
    }

    fn take_directory(&mut self) -> Result<Option<Page>> {
        self.held_bytes -= directory_bytes(self.directory.len(), std::mem::take(&mut self.directory_columns));
        let content = encode_directory(&std::mem::take(&mut self.directory))?;
        let reference = std::mem::take(&mut self.directory_span).reference();
        Ok(reference.map(|reference| Page { kind: Kind::Directory, reference, content }))
    }

    /// Notes where a page was written.
    pub(super) fn place(&mut self, page: Page, offset: u64, bytes: u32) {
        let reference = PageReference { offset, bytes, ..page.reference };
        match page.kind {
            Kind::Directory => self.directory_references.push(reference),
            Kind::Gaps => self.gap_references.push(reference),
            Kind::Statistics(metric) => {
                if let Some(pages) = self.metrics.get_mut(&metric) {
                    pages.footer.statistics.push(reference);
                }
            }
            Kind::Rollups(metric) => {
                if let Some(pages) = self.metrics.get_mut(&metric) {
                    pages.footer.rollups.push(reference);
                }
            }
        }
    }

    /// Puts what the footer says of all pages into it.
    pub(super) fn finish(self, footer: &mut Footer) {
        footer.directory = self.directory_references;
        footer.metrics = self.metrics.into_values().map(|pages| pages.footer).collect();
        footer.gaps = Some(self.gap_references);
    }
}

fn statistics_bytes(blocks: usize) -> usize {
    blocks * size_of::<(u32, BlockStatistics)>()
}

fn rollup_bytes(slices: usize, cells: usize) -> usize {
    slices * size_of::<(u32, Vec<RollupCell>)>() + cells * size_of::<RollupCell>()
}

fn gap_bytes(slices: usize, gaps: usize) -> usize {
    slices * size_of::<SliceGaps>() + gaps * size_of::<Gap>()
}

fn directory_bytes(slices: usize, columns: usize) -> usize {
    slices * size_of::<DirectoryEntry>() + columns * size_of::<DirectoryColumn>()
}
