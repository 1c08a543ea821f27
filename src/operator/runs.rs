//! Runs: rows of a device, one after the other, that lie in one stretch of its history and in one window.

use std::ops::Range;

use crate::codec::PackedTimes;
use crate::error::Result;
use crate::time::{Timestamp, Window};

use super::cohort::GroupStretch;

/// Instants that rise strictly.
pub(super) trait Instants {
    /// How many there are.
    fn rows(&self) -> usize;

    /// The instant of a row.
    fn at(&mut self, row: usize) -> Result<i64>;

    /// The first row from `row` on that is not before an instant; the number of rows where there is none.
    fn first_from(&mut self, row: usize, instant: i64) -> Result<usize>;
}

impl Instants for &[i64] {
    fn rows(&self) -> usize {
        self.len()
    }

    fn at(&mut self, row: usize) -> Result<i64> {
        Ok(self[row])
    }

    fn first_from(&mut self, row: usize, instant: i64) -> Result<usize> {
        // Steps that double: what is looked for mostly lies near.
        let (mut from, mut step) = (row, 1);
        while from + step < self.len() && self[from + step] < instant {
            from += step;
            step *= 2;
        }
        let to = self.len().min(from + step);
        Ok(from + self[from..to].partition_point(|time| *time < instant))
    }
}

/// The instants of the rows that a column has values in.
pub(super) struct PresentTimes<'t, 'b> {
    pub(super) times: &'t mut PackedTimes<'b>,
    /// The rows; `None` for all.
    pub(super) positions: Option<&'t [u32]>,
}

impl Instants for PresentTimes<'_, '_> {
    fn rows(&self) -> usize {
        self.positions.map_or(self.times.rows(), <[u32]>::len)
    }

    fn at(&mut self, row: usize) -> Result<i64> {
        self.times.at(self.positions.map_or(row, |positions| positions[row] as usize))
    }

    fn first_from(&mut self, row: usize, instant: i64) -> Result<usize> {
        let Some(positions) = self.positions else { return self.times.first_from(row, instant) };
        let Some(from) = positions.get(row) else { return Ok(positions.len()) };
        let found = self.times.first_from(*from as usize, instant)?;
        Ok(row + positions[row..].partition_point(|position| (*position as usize) < found))
    }
}

/// Rows of one stretch and window.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) stretch: usize,
    pub(super) window: Timestamp,
    pub(super) rows: Range<usize>,
}

/// Cuts the rows of a device into runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunFinder<'a> {
    pub(super) stretches: &'a [GroupStretch],
    pub(super) every: Option<Window>,
}

impl<'a> RunFinder<'a> {
    /// The first run at or after a row; rows before it lie in no stretch.
    ///
    /// Inlined, because a caller that copies a run from where it was just written waits for all that was written before it.
    #[inline(always)]
    pub(super) fn next(&self, times: &mut impl Instants, mut from: usize) -> Result<Option<Run>> {
        // Each round ends a run of samples or skips some: stretches without samples cost nothing.
        while from < times.rows() {
            let first = times.at(from)?;
            let stretch = first_reaching(self.stretches, first);
            let Some(GroupStretch { range, .. }) = self.stretches.get(stretch) else { break };
            if Timestamp::from_nanoseconds(first) < range.from {
                from = times.first_from(from, range.from.nanoseconds())?;
                continue;
            }
            let (window, end) = window_of(self.every, first);
            let end = end.min(range.to);
            let to = if end == Timestamp::MAX { times.rows() } else { times.first_from(from, end.nanoseconds())? };
            return Ok(Some(Run { stretch, window, rows: from..to.max(from + 1) }));
        }
        Ok(None)
    }

    /// All runs of rows that are in memory.
    pub(super) fn all<'t>(self, mut times: &'t [i64]) -> impl Iterator<Item = Result<Run>> + use<'t, 'a> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let run = self.next(&mut times, from).transpose()?;
            from = run.as_ref().map_or(usize::MAX, |run| run.rows.end);
            Some(run)
        })
    }
}

/// The place of the first stretch that ends after an instant; stretches rise and do not overlap.
pub(super) fn first_reaching(stretches: &[GroupStretch], at: i64) -> usize {
    let at = Timestamp::from_nanoseconds(at);
    stretches.partition_point(|stretch| stretch.range.to <= at && stretch.range.to != Timestamp::MAX)
}

/// The window that holds an instant: its start and its end.
pub(super) fn window_of(every: Option<Window>, at: i64) -> (Timestamp, Timestamp) {
    every.map_or((Timestamp::MIN, Timestamp::MAX), |window| window.bounds_of(Timestamp::from_nanoseconds(at)))
}
