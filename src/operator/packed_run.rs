//! A block on its way through a query as it is stored: what can be added up on packed whole numbers is not decoded.
//!
//! Guarantees: it answers what [`super::run`] answers from decoded rows, or says that it can not and has added nothing. Groups are
//! taken one after the other; one that no row of passes is not looked at further, nor is the time of its rows.

use crate::codec::{GROUP_VALUES, PackedValues};
use crate::error::Result;
use crate::model::{DeviceRows, MetricHandle, MetricType, Presence};
use crate::scan::Block;
use crate::segment::EncodedSlice;
use crate::time::TimeRange;

use super::column::passing;
use super::packed::{GroupMask, Kept, PackedColumn, PackedFilter, PackedPart};
use super::run::DeviceRun;
use super::runs::{Instants, PresentTimes, Run};

/// A column of a block, as far as it can be asked about where it lies.
enum Found<'s> {
    /// The block has no such column.
    Absent,
    Packed(Presence, PackedValues<'s>),
    /// It has to be decoded.
    Other,
}

fn find(slice: &EncodedSlice, metric: MetricHandle) -> Result<Found<'_>> {
    let Some(column) = slice.column(metric)? else { return Ok(Found::Absent) };
    let packed = PackedValues::read(column.values, column.metric_type, column.present);
    let packed = packed.map_err(|error| column.located(error))?;
    Ok(packed.map_or(Found::Other, |packed| Found::Packed(column.presence, packed)))
}

/// Columns that have values in the same rows, with their places among the expressions.
struct Together<'s> {
    presence: Presence,
    columns: Vec<(usize, PackedColumn<'s>)>,
}

impl DeviceRun<'_> {
    /// Answers from a block as it is stored; gives its rows, and adds nothing, where it has to be decoded.
    pub(super) fn packed(&mut self, block: &Block) -> Result<Option<DeviceRows>> {
        let scan = self.work.scan;
        if !self.work.prepared.adds_up {
            return scan.rows(block).map(Some);
        }
        let mut slice = std::mem::take(&mut self.encoded);
        scan.encoded(block, &mut slice)?;
        let rows = match self.answer(&slice)? {
            Some(values) => {
                scan.note_read(slice.columns() as u64, values, slice.bytes_read());
                None
            }
            None => Some(scan.rows_of_encoded(&slice)?),
        };
        self.encoded = slice;
        Ok(rows)
    }

    /// Adds up a block, and tells how many values were unpacked; `None`, and nothing added, where it has to be decoded.
    fn answer(&mut self, slice: &EncodedSlice) -> Result<Option<u64>> {
        let prepared = self.work.prepared;
        let mut filters = Vec::with_capacity(prepared.filters.len());
        let mut together: Vec<Together<'_>> = Vec::new();
        for (filter, metric) in prepared.query.filters.iter().zip(&prepared.filters) {
            match find(slice, metric.handle)? {
                Found::Packed(presence, values) => {
                    filters.push(PackedFilter::new(filter, values, metric.metric_type));
                    put_together(&mut together, presence);
                }
                // Nothing passes a condition on what is not there.
                Found::Absent => return Ok(Some(0)),
                Found::Other => return Ok(None),
            }
        }
        let mut others = Vec::new();
        for (place, operands) in prepared.operands.iter().enumerate() {
            match find(slice, operands[0].handle)? {
                // Bins are told apart by whole numbers of which floats are not enough.
                Found::Packed(_, values) if prepared.bins_ask_for_wholes(place, values.all_bounds()) => {
                    others.push(place)
                }
                Found::Packed(presence, values) => {
                    let column = PackedColumn::new(values, prepared.is_whole(place));
                    put_together(&mut together, presence).columns.push((place, column));
                }
                Found::Absent => {}
                Found::Other => others.push(place),
            }
        }
        let nothing_is_packed = together.iter().all(|together| together.columns.is_empty()) && !others.is_empty();
        if nothing_is_packed || !filters.is_empty() && together.len() > 1 {
            return Ok(None);
        }
        let (mut times, mut values) = (slice.packed_times()?, 0);
        for Together { presence, mut columns } in together {
            let positions = match &presence {
                Presence::All => None,
                Presence::Positions(positions) => Some(positions.as_slice()),
            };
            let added = self.add_up(PresentTimes { times: &mut times, positions }, &filters, &mut columns);
            values += added.map_err(|error| slice.located(error))?;
            values += columns.iter().map(|(_, column)| column.values_read).sum::<u64>();
        }
        if !others.is_empty() {
            values += self.decoded(slice, &others)?;
        }
        Ok(Some(values))
    }

    /// Adds columns that have to be decoded, and tells how many values were.
    fn decoded(&mut self, slice: &EncodedSlice, places: &[usize]) -> Result<u64> {
        let prepared = self.work.prepared;
        let asked = places.iter().map(|place| &prepared.operands[*place][0]);
        let handles: Vec<MetricHandle> = asked.chain(&prepared.filters).map(|metric| metric.handle).collect();
        let rows = slice.part_of(TimeRange::ALL, |metric| handles.contains(&metric))?;
        let kept = passing(&rows, &prepared.query.filters, &prepared.filters);
        places.iter().try_for_each(|place| self.expression(*place, &rows, kept.as_deref()))?;
        Ok(rows.columns.iter().map(|(_, column)| column.values.len() as u64).sum())
    }

    /// Adds up group by group, and tells how many values of the conditions were unpacked; a run may reach over several groups.
    fn add_up(
        &mut self,
        mut times: PresentTimes<'_, '_>,
        filters: &[PackedFilter<'_>],
        columns: &mut [(usize, PackedColumn<'_>)],
    ) -> Result<u64> {
        let (needs, statistics) = (self.work.prepared.needs, self.work.prepared.query.statistics);
        let (finder, rows) = (self.finder(), times.rows());
        let mut parts = vec![PackedPart::default(); columns.len()];
        let mut kept = GroupMask::new();
        let mut current: Option<Run> = None;
        for group in 0..rows.div_ceil(GROUP_VALUES) {
            let start = group * GROUP_VALUES;
            let length = GROUP_VALUES.min(rows - start);
            if kept.find(filters, (group, length), statistics)? == Kept::None {
                continue;
            }
            let mut place = 0;
            while let Some(next) = kept.first_kept(place..length) {
                let run = match current.take() {
                    Some(run) if start + next < run.rows.end => run,
                    ended => {
                        self.flush(ended.as_ref(), columns, &mut parts)?;
                        let Some(run) = finder.next(&mut times, start + next)? else { return Ok(kept.unpacked) };
                        run
                    }
                };
                let places = run.rows.start.saturating_sub(start).max(next)..length.min(run.rows.end - start);
                place = places.end.max(places.start.min(length));
                if !places.is_empty() {
                    for ((_, column), part) in columns.iter_mut().zip(&mut parts) {
                        column.add(group, places.clone(), (&kept, length), needs, part)?;
                        if needs.ends {
                            column.add_ends(group, places.clone(), &kept, part, |place| times.at(start + place))?;
                        }
                    }
                }
                current = Some(run);
            }
        }
        self.flush(current.as_ref(), columns, &mut parts)?;
        Ok(kept.unpacked)
    }

    /// Adds what a run added up to, and begins the next.
    fn flush(
        &mut self,
        run: Option<&Run>,
        columns: &[(usize, PackedColumn<'_>)],
        parts: &mut [PackedPart],
    ) -> Result<()> {
        let Some(run) = run else { return Ok(()) };
        let needs = self.work.prepared.needs;
        for ((place, column), part) in columns.iter().zip(parts) {
            if !part.is_empty() {
                self.change_part((run.stretch, run.window), *place, |whole, list| {
                    column.add_to(whole, part, needs);
                    if needs.values {
                        whole.add_values(part.values(), list);
                    }
                });
                part.clear();
            }
        }
        self.report()
    }
}

/// Those with the same presence as another, which are none so far where it is new.
fn put_together<'t, 's>(all: &'t mut Vec<Together<'s>>, presence: Presence) -> &'t mut Together<'s> {
    let known = all.iter().position(|together| together.presence == presence);
    let place = known.unwrap_or_else(|| {
        all.push(Together { presence, columns: Vec::new() });
        all.len() - 1
    });
    &mut all[place]
}

/// Whether values of a type may add up as they are stored.
pub(super) fn adds_up(metric_type: MetricType) -> bool {
    matches!(metric_type, MetricType::Float | MetricType::Integer)
}
