//! One device on its way through a query: its samples, or what statistics and rollups say of them, become parts by group and
//! window.
//!
//! An increment (for delta and rate) is the growth from a sample of the device to its next one that is not NaN, whatever lies
//! between: conditions, groups, windows and the range of the question say only whether and where its later sample counts. So the
//! sample before the range is looked for as far back as there are samples, months add up to the year, and `--where region=A`
//! answers what the row A of `--by region` answers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::catalog::DeviceEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::format::BlockStatistics;
use crate::model::{DeviceHandle, DeviceRows, MetricType};
use crate::scan::{Block, Piece, Scan, Timeline};
use crate::segment::EncodedSlice;
use crate::store::{Progress, Snapshot};
use crate::time::{HOUR_NS, TimeRange, Timestamp};

use super::align::AsOf;
use super::cohort::{GroupKey, GroupStretch};
use super::column::{Samples, passing};
use super::looks::look;
use super::partial::{Growth, Partial, Sample};
use super::parts::PartList;
use super::prepared::Prepared;
use super::runs::{Run, RunFinder, first_reaching, window_of};
use super::value_list::ValueList;

/// Bytes that a device may take before it reports them.
const REPORTED_BYTES: usize = 1 << 20;
/// Floats tell all integers below this from each other: cells of rollups have extremes as floats.
const EXACT_INTEGERS: f64 = (1_u64 << 53) as f64;
/// Statistics have instants in days since the bucket's start, exact to a third of a nanosecond: a slope over a shorter time than
/// this is computed from the samples themselves.
const SLOPE_LEAST_NS: i64 = HOUR_NS;

/// What the devices of a wave hold in memory, together. It only grows, so that whether it passes the limit does not hang on the
/// threads.
pub(super) struct Held {
    bytes: AtomicUsize,
    most: usize,
}

impl Held {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), most }
    }

    pub(super) fn is_passed(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.most
    }

    /// Adds what a device took; an error ends it once there is too much.
    fn add(&self, bytes: usize) -> Result<()> {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.most {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "the parts of an answer pass the memory that they may take",
            ));
        }
        Ok(())
    }
}

/// Parts of one device by window, for each of its groups.
pub(super) type DeviceParts = Vec<(Arc<GroupKey>, PartList<Timestamp>)>;

/// What all devices of a pass share.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) scan: &'a Scan<'a>,
    /// All that lies before the pass.
    pub(super) earlier: &'a Scan<'a>,
    pub(super) held: &'a Held,
    pub(super) progress: Option<&'a Progress>,
}

/// One device on its way through a query.
pub(super) struct DeviceRun<'a> {
    pub(super) work: Work<'a>,
    pub(super) device: DeviceHandle,
    stretches: &'a [GroupStretch],
    /// Of each stretch the first one of its group.
    firsts: Vec<usize>,
    /// By window and first stretch of the group.
    parts: PartList<(Timestamp, usize)>,
    /// Of each expression the last sample so far; the outer `None` where no piece was seen.
    before: Vec<Option<Option<Sample>>>,
    /// Bytes that were reported.
    reported: usize,
    /// Of the block that is asked about as it is stored.
    pub(super) encoded: EncodedSlice,
    as_of: Option<AsOf<'a>>,
}

impl<'a> DeviceRun<'a> {
    pub(super) fn new(work: Work<'a>, device: &DeviceEntry, stretches: &'a [GroupStretch]) -> Self {
        let before = vec![None; work.prepared.operands.len()];
        let mut of_group = HashMap::new();
        let first =
            |(place, stretch): (usize, &GroupStretch)| *of_group.entry(Arc::as_ptr(&stretch.key)).or_insert(place);
        let firsts = stretches.iter().enumerate().map(first).collect();
        Self {
            work,
            device: device.handle,
            stretches,
            firsts,
            parts: PartList::new(work.prepared.operands.len(), Some(&work.prepared.spare)),
            before,
            reported: 0,
            encoded: EncodedSlice::default(),
            as_of: work.prepared.alignment.as_ref().map(AsOf::new),
        }
    }

    /// Works on some pieces of the device, by their places.
    pub(super) fn run(mut self, timeline: &Timeline<'_, '_>, pieces: Range<usize>) -> Result<DeviceParts> {
        let prepared = self.work.prepared;
        timeline.visit(pieces, &mut |piece| {
            match piece {
                Piece::Block(block) => self.block(&block)?,
                Piece::Rows(rows) => self.rows(&rows)?,
            }
            self.report_beyond(0)
        })?;
        let (stretches, firsts) = (self.stretches, &self.firsts);
        if prepared.needs.growth {
            self.parts.change_all(|place, part| part.end_device(prepared.is_whole(place)));
        }
        let lists = if firsts.iter().all(|first| *first == 0) {
            vec![self.parts]
        } else {
            self.parts.split(stretches.len(), |(_, first)| first)
        };
        let named = lists.into_iter().zip(stretches).filter(|(list, _)| list.len() > 0);
        Ok(named.map(|(list, stretch)| (Arc::clone(&stretch.key), list.map_keys(|(window, _)| window))).collect())
    }

    /// Changes the parts of a stretch's group in a window.
    fn change<R>(&mut self, stretch: usize, window: Timestamp, change: impl FnOnce(&mut [Partial]) -> R) -> R {
        // Stretches of one group are one group: the parts of its first stretch hold them all.
        let bins = self.work.prepared.query.bins.as_ref();
        self.parts.change((window, self.firsts[stretch]), |parts| {
            if let Some(edges) = bins {
                parts.iter_mut().for_each(|part| part.count_in(edges));
            }
            change(parts)
        })
    }

    /// Changes the part of one expression in a stretch's group and a window, with the list of values that all parts share.
    pub(super) fn change_part<R>(
        &mut self,
        (stretch, window): (usize, Timestamp),
        place: usize,
        change: impl FnOnce(&mut Partial, &mut ValueList) -> R,
    ) -> R {
        let bins = self.work.prepared.query.bins.as_ref();
        self.parts.change_part((window, self.firsts[stretch]), place, |part, list| {
            if let Some(edges) = bins {
                part.count_in(edges);
            }
            change(part, list)
        })
    }

    pub(super) fn finder(&self) -> RunFinder<'a> {
        RunFinder { stretches: self.stretches, every: self.work.prepared.query.every }
    }

    fn window(&self, at: i64) -> (Timestamp, Timestamp) {
        window_of(self.work.prepared.query.every, at)
    }

    /// The stretch that holds all instants from `first` to `last`; `Err` where several hold a part.
    fn stretch_of(&self, first: i64, last: i64) -> Result<Option<usize>, ()> {
        let place = first_reaching(self.stretches, first);
        let (first, last) = (Timestamp::from_nanoseconds(first), Timestamp::from_nanoseconds(last));
        match self.stretches.get(place).filter(|stretch| stretch.range.touches(first, last)) {
            None => Ok(None),
            Some(stretch) if stretch.range.covers(first, last) => Ok(Some(place)),
            Some(_) => Err(()),
        }
    }

    /// Answers from statistics or rollups where they are exact, else reads the block.
    fn block(&mut self, block: &Block) -> Result<()> {
        if self.work.prepared.statistics {
            let (_, end) = self.window(block.times.0);
            let stretch = self.stretch_of(block.times.0, block.times.1);
            let answered = match stretch {
                Ok(None) => true,
                Ok(Some(stretch)) if Timestamp::from_nanoseconds(block.times.1) < end => {
                    self.statistics(block, stretch)?
                }
                _ => self.work.prepared.rollups && self.rollup(block)?,
            };
            if answered {
                return Ok(());
            }
        }
        if self.work.prepared.filters_prune && self.is_ruled_out(block)? {
            return Ok(());
        }
        if self.work.prepared.query.bins.is_some() {
            let (window, end) = self.window(block.times.0);
            let inside = Timestamp::from_nanoseconds(block.times.1) < end;
            if let Ok(Some(stretch)) = self.stretch_of(block.times.0, block.times.1)
                && inside
                && self.binned(block, stretch, window)?
            {
                return Ok(());
            }
        }
        self.packed(block)?.map_or(Ok(()), |rows| self.rows(&rows))
    }

    /// Whether the statistics of a block say that no row of it passes all conditions.
    fn is_ruled_out(&self, block: &Block) -> Result<bool> {
        let Work { prepared, scan, .. } = self.work;
        for (filter, metric) in prepared.query.filters.iter().zip(&prepared.filters) {
            let ruled_out = match (metric.metric_type, scan.statistics(block, metric.handle)?) {
                // Nothing passes a condition on what is not there, or is NaN.
                (_, None) => !scan.metrics(block)?.contains(&metric.handle),
                (MetricType::Text, Some(_)) => false,
                (_, Some(known)) if known.count == 0 => true,
                (MetricType::Integer, Some(BlockStatistics { integers: Some([least, greatest, ..]), .. })) => {
                    filter.rules_out(filter.order_of_integer(least), filter.order_of_integer(greatest))
                }
                (_, Some(known)) => filter.rules_out(filter.order_of(known.min), filter.order_of(known.max)),
            };
            if ruled_out {
                scan.note_statistics(scan.metrics(block)?.len() as u64);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Answers by the whole block; `false`, and nothing added, where its statistics are too coarse.
    fn statistics(&mut self, block: &Block, stretch: usize) -> Result<bool> {
        let (window, _) = self.window(block.times.0);
        let mut found = Vec::new();
        for (place, operands) in self.work.prepared.operands.iter().enumerate() {
            if let Some(statistics) = self.work.scan.statistics(block, operands[0].handle)? {
                let lasts_ns = i128::from(statistics.last_time) - i128::from(statistics.first_time);
                if self.work.prepared.needs.slope && statistics.count > 1 && lasts_ns < i128::from(SLOPE_LEAST_NS) {
                    return Ok(false);
                }
                found.push((place, statistics));
            }
        }
        self.work.scan.note_statistics(found.len() as u64);
        for (place, statistics) in found {
            let needs = self.work.prepared.needs;
            self.change_part((stretch, window), place, |part, _| {
                part.add_statistics(&statistics, block.bucket_start, needs);
            });
        }
        Ok(true)
    }

    /// Answers cell by cell of a rollup; `false`, and nothing added, where there is none, or a cell lies in more than one group or
    /// window.
    fn rollup(&mut self, block: &Block) -> Result<bool> {
        let mut found = Vec::new();
        // Cells of one window follow each other, and windows of a zone are dear to find.
        let (mut window, mut end) = self.window(block.times.0);
        for place in 0..self.work.prepared.operands.len() {
            let metric = &self.work.prepared.operands[place][0];
            let Some(cells) = self.work.scan.rollup(block, metric.handle)? else {
                if self.work.scan.statistics(block, metric.handle)?.is_some() {
                    return Ok(false);
                }
                continue;
            };
            let floats = self.work.prepared.needs.extremes && self.work.prepared.is_whole(place);
            if floats && cells.iter().any(|cell| cell.min.abs().max(cell.max.abs()) >= EXACT_INTEGERS) {
                return Ok(false);
            }
            for cell in cells {
                let first = cell.hour.saturating_mul(HOUR_NS).max(block.times.0);
                let lasts_ns = i64::from(cell.hours).saturating_mul(HOUR_NS);
                let last = cell.hour.saturating_mul(HOUR_NS).saturating_add(lasts_ns - 1).min(block.times.1);
                let at = Timestamp::from_nanoseconds(first);
                if at < window || at >= end {
                    (window, end) = self.window(first);
                }
                match self.stretch_of(first, last) {
                    Ok(None) => {}
                    Ok(Some(stretch)) if Timestamp::from_nanoseconds(last) < end => {
                        found.push((stretch, window, place, cell))
                    }
                    _ => return Ok(false),
                }
            }
        }
        for run in found.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            self.change(run[0].0, run[0].1, |parts| {
                run.iter().for_each(|(_, _, place, cell)| parts[*place].add_cell(cell));
            });
        }
        self.work.scan.note_statistics(self.work.prepared.operands.len() as u64);
        Ok(true)
    }

    /// Adds rows, run by run of one group and window.
    fn rows(&mut self, rows: &DeviceRows) -> Result<()> {
        if let Some(mut as_of) = self.as_of.take() {
            self.aligned_rows(rows, &mut as_of)?;
            self.as_of = Some(as_of);
            return Ok(());
        }
        let prepared = self.work.prepared;
        let kept = passing(rows, &prepared.query.filters, &prepared.filters);
        (0..prepared.expressions.len()).try_for_each(|place| self.expression(place, rows, kept.as_deref()))
    }

    /// Adds the samples of one expression: all, or those of the rows kept.
    pub(super) fn expression(&mut self, place: usize, rows: &DeviceRows, kept: Option<&[u32]>) -> Result<()> {
        let prepared = self.work.prepared;
        let of = |kept| Samples::of(rows, &prepared.expressions[place], &prepared.operands[place], kept);
        let samples = of(kept);
        self.samples(place, &samples)?;
        match kept {
            _ if !prepared.needs.growth => Ok(()),
            None => self.growth(place, &samples, None),
            Some(_) => self.growth(place, &of(None), Some(&samples.times)),
        }
    }

    fn samples(&mut self, place: usize, samples: &Samples) -> Result<()> {
        let needs = self.work.prepared.needs;
        for run in self.finder().all(&samples.times) {
            let run = run?;
            let integers = samples.integers.as_ref().map(|integers| &integers[run.rows.clone()]);
            let texts = samples.texts.as_ref().filter(|_| needs.ends).map(|texts| {
                let text = |at: usize| (samples.times[at], Arc::clone(&texts.dictionary[texts.codes[at] as usize]));
                [text(run.rows.start), text(run.rows.end - 1)]
            });
            self.change_part((run.stretch, run.window), place, |part, list| {
                let values = &samples.values[run.rows.clone()];
                part.add_run(&samples.times[run.rows.clone()], values, integers, needs);
                if needs.values && !integers.is_some_and(|wholes| part.add_wholes_to_bins(wholes)) {
                    part.add_values(values, list);
                }
                if let Some(texts) = texts {
                    part.add_texts(texts);
                }
            });
            self.report()?;
        }
        Ok(())
    }

    /// Reports what was taken by a run, once it is worth it.
    pub(super) fn report(&mut self) -> Result<()> {
        look(self.work.progress)?;
        self.report_beyond(REPORTED_BYTES)
    }

    fn report_beyond(&mut self, bytes: usize) -> Result<()> {
        let grown = self.parts.held_bytes().saturating_sub(self.reported);
        if grown > bytes {
            self.reported += grown;
            self.work.held.add(grown)?;
        }
        Ok(())
    }

    /// Adds the increments that end in all samples of the device, or in those of some instants.
    fn growth(&mut self, place: usize, all: &Samples, passing: Option<&[i64]>) -> Result<()> {
        let passes = |time: i64| passing.is_none_or(|passing| passing.binary_search(&time).is_ok());
        let (nature, whole) = (self.work.prepared.nature(place), self.work.prepared.is_whole(place));
        // Those in front of this place are behind `before`.
        let mut done = 0;
        for run in self.finder().all(&all.times) {
            let Run { stretch, window, rows: run } = run?;
            if !all.times[run.clone()].iter().any(|time| passes(*time)) {
                continue;
            }
            let mut before = match all.last_known(done..run.start) {
                Some(known) => Some(known),
                None => match self.before[place] {
                    Some(known) => known,
                    None => self.look_back(place)?,
                },
            };
            before = self.change_part((stretch, window), place, |part, _| {
                let mut grown: Option<Growth> = None;
                for at in run.clone() {
                    let Some(sample) = all.known(at) else { continue };
                    if let Some(before) = before.filter(|_| passes(sample.time)) {
                        grown.get_or_insert_with(|| part.growth()).add((before, sample), nature, whole);
                    }
                    before = Some(sample);
                }
                grown.into_iter().for_each(|grown| part.set_growth(grown));
                before
            });
            self.before[place] = Some(before);
            done = run.end;
            self.report()?;
        }
        if let Some(last) = all.last_known(done..all.times.len()) {
            self.before[place] = Some(Some(last));
        }
        Ok(())
    }

    /// The last sample of an expression before the pass, as far back as there are samples.
    fn look_back(&self, place: usize) -> Result<Option<Sample>> {
        let Work { prepared, earlier, .. } = self.work;
        let (expression, operands) = (&prepared.expressions[place], &prepared.operands[place]);
        let mut last = None;
        earlier.device_back(self.device, &mut |piece| {
            let rows = match piece {
                Piece::Rows(rows) => rows,
                Piece::Block(block) if !expression.is_metric() => earlier.rows(&block)?,
                Piece::Block(block) if prepared.query.statistics => {
                    let known = earlier.statistics(&block, operands[0].handle)?.filter(|known| known.count > 0);
                    earlier.note_statistics(1);
                    last = known.map(|known| Sample {
                        time: known.last_time,
                        value: known.last,
                        integer: known.integers.map_or(0, |integers| integers[3]),
                    });
                    return Ok(last.is_none());
                }
                Piece::Block(block) => earlier.rows_of_metric(&block, operands[0].handle)?,
            };
            let samples = Samples::of(&rows, expression, operands, None);
            last = samples.last_known(0..samples.times.len());
            Ok(last.is_none())
        })?;
        Ok(last)
    }
}

/// The stretch of time in which a scan can find anything: the range cut at what is stored.
pub(super) fn stored_range(snapshot: &Snapshot, range: TimeRange) -> Option<(i64, i64)> {
    let segments = snapshot.segments().iter().map(|segment| segment.entry.times);
    let spans = segments.chain(snapshot.chunks().iter().filter_map(|chunk| chunk.times()));
    let (first, last) = spans.fold((i64::MAX, i64::MIN), |(first, last), span| (first.min(span.0), last.max(span.1)));
    let first = first.max(range.from.nanoseconds());
    let last = if range.to == Timestamp::MAX { last } else { last.min(range.to.nanoseconds() - 1) };
    (first <= last).then_some((first, last))
}
