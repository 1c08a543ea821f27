//! A block on its way through a query as it is stored: what can be added up on packed whole numbers is not decoded.
//!
//! Guarantees: it answers what [`super::run`] answers from decoded rows, or says that it can not and has added nothing.

use crate::codec::{GROUP_VALUES, PackedValues};
use crate::error::Result;
use crate::model::{MetricHandle, MetricType, Presence};
use crate::scan::Block;
use crate::segment::EncodedSlice;
use crate::time::Timestamp;

use super::packed::{Kept, PackedColumn, PackedFilter, PackedPart, kept};
use super::run::DeviceRun;

/// A run of rows of one stretch and window.
type Run = (usize, Timestamp, std::ops::Range<usize>);

/// A column of a block, as far as it can be asked about where it lies.
enum Found<'s> {
    /// The block has no such column.
    Absent,
    Packed(PackedValues<'s>),
    /// It has to be decoded.
    Other,
}

fn find(slice: &EncodedSlice, metric: MetricHandle) -> Result<Found<'_>> {
    let Some(column) = slice.column(metric)? else { return Ok(Found::Absent) };
    if column.presence != Presence::All {
        return Ok(Found::Other);
    }
    let packed = PackedValues::read(column.values, column.metric_type, column.present);
    Ok(packed.map_err(|error| column.located(error))?.map_or(Found::Other, Found::Packed))
}

impl DeviceRun<'_> {
    /// Answers from a block as it is stored; `false`, and nothing added, where it has to be decoded.
    pub(super) fn packed(&mut self, block: &Block) -> Result<bool> {
        if !self.work.prepared.adds_up {
            return Ok(false);
        }
        let mut slice = std::mem::take(&mut self.encoded);
        self.work.scan.encoded(block, &mut slice)?;
        let answered = self.answer(&slice);
        self.encoded = slice;
        answered
    }

    fn answer(&mut self, slice: &EncodedSlice) -> Result<bool> {
        let prepared = self.work.prepared;
        let mut filters = Vec::with_capacity(prepared.filters.len());
        for (filter, metric) in prepared.query.filters.iter().zip(&prepared.filters) {
            match find(slice, metric.handle)? {
                Found::Packed(values) => filters.push(PackedFilter::new(filter, values, metric.metric_type)),
                // Nothing passes a condition on what is not there.
                Found::Absent => return Ok(true),
                Found::Other => return Ok(false),
            }
        }
        let mut columns = Vec::with_capacity(prepared.operands.len());
        for (place, operands) in prepared.operands.iter().enumerate() {
            match find(slice, operands[0].handle)? {
                Found::Packed(values) => columns.push((place, PackedColumn::new(values, prepared.is_whole(place)))),
                Found::Absent => {}
                Found::Other => return Ok(false),
            }
        }
        let times = slice.times()?;
        let runs = self.runs(&times);
        self.add_up(&times, &runs, &filters, &mut columns)?;
        let blocks = (filters.len() + columns.len()) as u64;
        self.work.scan.note_packed(blocks, blocks * times.len() as u64, slice.bytes_read());
        Ok(true)
    }

    /// Adds up group by group; a run may reach over several.
    fn add_up(
        &mut self,
        times: &[i64],
        runs: &[Run],
        filters: &[PackedFilter<'_>],
        columns: &mut [(usize, PackedColumn<'_>)],
    ) -> Result<()> {
        let (needs, statistics) = (self.work.prepared.needs, self.work.prepared.query.statistics);
        let mut parts = vec![PackedPart::default(); columns.len()];
        let mut runs = runs.iter().peekable();
        for (group, group_times) in times.chunks(GROUP_VALUES).enumerate() {
            let start = group * GROUP_VALUES;
            let end = start + group_times.len();
            if runs.peek().is_none_or(|(.., run)| run.start >= end) {
                continue;
            }
            let kept = kept(filters, group, statistics)?;
            while let Some((stretch, window, run)) = runs.peek().filter(|(.., run)| run.start < end) {
                let places = run.start.max(start) - start..run.end.min(end) - start;
                if !matches!(kept, Kept::None) {
                    for ((_, column), part) in columns.iter_mut().zip(&mut parts) {
                        column.add(group, places.clone(), &kept, (group_times, needs), part)?;
                    }
                }
                if run.end > end {
                    break;
                }
                self.flush((*stretch, *window), columns, &mut parts)?;
                runs.next();
            }
        }
        Ok(())
    }

    /// Adds what a run added up to, and begins the next.
    fn flush(
        &mut self,
        (stretch, window): (usize, Timestamp),
        columns: &[(usize, PackedColumn<'_>)],
        parts: &mut [PackedPart],
    ) -> Result<()> {
        for ((place, column), part) in columns.iter().zip(parts) {
            if !part.is_empty() {
                self.parts(stretch, window)[*place].add_summary(&column.summary(part));
                *part = PackedPart::default();
            }
        }
        self.report()
    }
}

/// Whether values of a type may add up as they are stored.
pub(super) fn adds_up(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Float | MetricType::Integer)
}
