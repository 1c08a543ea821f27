//! One pass over a file: as it comes, or through the sorter.
//!
//! Guarantees: as it comes, a pass ends at the first row that is out of order and has handed on nothing that a second,
//! sorted pass would not hand on again; sorted, a pass always comes to its end.

use std::path::Path;

use crate::error::Result;
use crate::store::Progress;

use super::assembler::{Assembled, Assembler, Sink, Taken};
use super::records::{BlockSource, Intake};
use super::sorter::Sorter;

/// How rows are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// In the order of the file.
    AsItComes,
    /// By device and time.
    Sorted,
}

/// Where and within what memory a pass sorts, and whom it tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    pub(super) scratch_folder: &'a Path,
    pub(super) sort_bytes: usize,
    pub(super) progress: Option<&'a Progress>,
}

impl Means<'_> {
    fn check(self) -> Result<()> {
        self.progress.map_or(Ok(()), Progress::check)
    }
}

/// Hands all rows of a source to a sink. `None`: the file is not in order, the pass was in vain.
pub(super) fn run(
    order: Order,
    source: &mut dyn BlockSource,
    intake: &mut Intake,
    sink: &mut dyn Sink,
    means: Means<'_>,
) -> Result<Option<Assembled>> {
    match order {
        Order::AsItComes => as_it_comes(source, intake, sink, means),
        Order::Sorted => sorted(source, intake, sink, means).map(Some),
    }
}

/// Checks that what was asked for was there; a file that has neither a header nor rows says nothing about it.
fn check_complete(source: &dyn BlockSource, intake: &Intake) -> Result<()> {
    if intake.counts.rows_read == 0 && !source.has_header() { Ok(()) } else { source.check_complete() }
}

fn as_it_comes(
    source: &mut dyn BlockSource,
    intake: &mut Intake,
    sink: &mut dyn Sink,
    means: Means<'_>,
) -> Result<Option<Assembled>> {
    let mut assembler = Assembler::default();
    while let Some(block) = source.next_block(intake, sink)? {
        means.check()?;
        if assembler.append(&block, 0..block.len(), source.metrics(), sink)? == Taken::NotInOrder {
            return Ok(None);
        }
    }
    check_complete(source, intake)?;
    assembler.finish(source.metrics(), sink).map(Some)
}

fn sorted(
    source: &mut dyn BlockSource,
    intake: &mut Intake,
    sink: &mut dyn Sink,
    means: Means<'_>,
) -> Result<Assembled> {
    let mut sorter = Sorter::new(means.scratch_folder, means.sort_bytes);
    while let Some(block) = source.next_block(intake, sink)? {
        means.check()?;
        sorter.add(block)?;
    }
    check_complete(source, intake)?;
    let mut assembler = Assembler::with_types(sorter.types());
    sorter.finish(&mut |block, rows| {
        means.check()?;
        let taken = assembler.append(block, rows, source.metrics(), sink)?;
        debug_assert_eq!(taken, Taken::All, "sorted rows are in order, and types are known");
        Ok(())
    })?;
    assembler.finish(source.metrics(), sink)
}
