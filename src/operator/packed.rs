//! What columns add up to while they lie packed: of the rows that [`super::packed_filter`] keeps.
//!
//! Guarantees: what decoded values would answer: counts, extremes and sums of whole numbers exactly, other sums within a
//! rounding of that of the exact decimals.

use crate::codec::{Aligned, GROUP_VALUES, GroupOffsets, GroupSummary, PackedValues, SummaryOf};
use crate::error::Result;
use crate::segment::CompensatedSum;

use super::aggregate::Needs;
use super::moments::Moments;
use super::packed_filter::{GroupMask, KEPT, Kept};
use super::partial::{Partial, RunSummary, Sample};
use super::totals::Totals;

/// What packed groups add up to, of one run of rows.
#[derive(Debug, Clone)]
pub(super) struct PackedPart {
    /// Values that are whole numbers, scaled or not, with their sum and their lowest and highest.
    wholes: u64,
    sum: i128,
    bounds: (i64, i64),
    /// Whether there is more than that; values aside.
    has_rest: bool,
    rest: Rest,
    /// All of them, where asked for.
    values: Vec<f64>,
}

/// What most runs have nothing of.
#[derive(Debug, Clone)]
struct Rest {
    /// Values that are no whole numbers, and not NaN.
    count: u64,
    sum: CompensatedSum,
    bounds: (f64, f64),
    count_nan: u64,
    ends: Option<(Sample, Sample)>,
    /// Of all values, where asked for.
    moments: Moments,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            count: 0,
            sum: CompensatedSum::default(),
            bounds: (f64::INFINITY, f64::NEG_INFINITY),
            count_nan: 0,
            ends: None,
            moments: Moments::default(),
        }
    }
}

impl Default for PackedPart {
    fn default() -> Self {
        let (bounds, rest) = ((i64::MAX, i64::MIN), Rest::default());
        Self { wholes: 0, sum: 0, bounds, has_rest: false, rest, values: Vec::new() }
    }
}

impl PackedPart {
    pub(super) fn is_empty(&self) -> bool {
        self.wholes == 0 && !self.has_rest
    }

    fn add_wholes(&mut self, count: u64, sum: i128, bounds: (i64, i64)) {
        self.wholes += count;
        self.sum += sum;
        self.bounds = (self.bounds.0.min(bounds.0), self.bounds.1.max(bounds.1));
    }

    fn rest(&mut self) -> &mut Rest {
        self.has_rest = true;
        &mut self.rest
    }

    fn add_other(&mut self, value: f64, needs: Needs) {
        let rest = self.rest();
        if value.is_nan() {
            rest.count_nan += 1;
            return;
        }
        rest.count += 1;
        rest.sum.add(value);
        rest.bounds = (rest.bounds.0.min(value), rest.bounds.1.max(value));
        if needs.deviation {
            // An infinity has no distance from any mean, not even from its own.
            self.add_moments(1, value, if value.is_finite() { 0.0 } else { f64::NAN });
        }
        if needs.values {
            self.values.push(value);
        }
    }

    fn add_moments(&mut self, count: u64, mean: f64, m2: f64) {
        self.rest().moments.merge(&Moments { count, mean, m2, ..Moments::default() });
    }

    /// Empties it, and keeps the room of its values.
    pub(super) fn clear(&mut self) {
        (self.wholes, self.sum, self.bounds) = (0, 0, (i64::MAX, i64::MIN));
        self.values.clear();
        if std::mem::take(&mut self.has_rest) {
            self.rest = Rest::default();
        }
    }

    /// The values, where they were asked for.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    fn add_ends(&mut self, first: Sample, last: Sample) {
        let rest = self.rest();
        rest.ends = Some((rest.ends.map_or(first, |(before, _)| before), last));
    }
}

/// A packed column with the group that is being read.
pub(super) struct PackedColumn<'a> {
    values: PackedValues<'a>,
    whole: bool,
    offsets: Box<Aligned<GroupOffsets>>,
    unpacked: Option<usize>,
    /// Values that were unpacked or summed up so far.
    pub(super) values_read: u64,
    floats: Box<Aligned<[f64; GROUP_VALUES]>>,
    /// The group whose floats these are.
    scaled: Option<usize>,
}

impl<'a> PackedColumn<'a> {
    /// A column whose values are `whole` or not.
    pub(super) fn new(values: PackedValues<'a>, whole: bool) -> Self {
        let (offsets, floats) = (Box::new(Aligned([0; GROUP_VALUES])), Box::new(Aligned([0.0; GROUP_VALUES])));
        Self { values, whole, offsets, unpacked: None, values_read: 0, floats, scaled: None }
    }

    fn unpack(&mut self, group: usize) -> Result<()> {
        if self.unpacked != Some(group) {
            self.values.offsets(group, &mut self.offsets)?;
            self.unpacked = Some(group);
        }
        Ok(())
    }

    /// Adds some places of a group of so many, or those of them that a mask keeps, to a part.
    pub(super) fn add(
        &mut self,
        group: usize,
        places: std::ops::Range<usize>,
        (kept, length): (&GroupMask, usize),
        needs: Needs,
        part: &mut PackedPart,
    ) -> Result<()> {
        let exceptions = self.values.exceptions(group).len();
        let plain = kept.kept == Kept::All && exceptions == 0;
        let (lowest, highest) = self.values.bounds(group);
        if plain && places.len() == length && !needs.whole_blocks && !needs.extremes && !needs.values {
            part.add_wholes(places.len() as u64, self.values.sum(group)?, (lowest, highest));
            self.values_read += length as u64;
            return Ok(());
        }
        if self.unpacked != Some(group) {
            self.values_read += length as u64;
        }
        self.unpack(group)?;
        let own;
        let mask = match kept.kept {
            _ if exceptions > 0 => {
                own = self.mask(group, kept);
                Some(&own)
            }
            Kept::All => None,
            _ => Some(&*kept.mask),
        };
        let mask = mask.map(|mask| &mask[places.clone()]);
        let of = match needs {
            Needs { deviation: true, .. } => SummaryOf::Squares,
            Needs { extremes: true, .. } => SummaryOf::Extremes,
            _ => SummaryOf::Sum,
        };
        let summary = self.values.summarise(&self.offsets[places.clone()], mask, of);
        if summary.count > 0 {
            let bounds = match of {
                SummaryOf::Sum => (lowest, highest),
                _ => (lowest + i64::from(summary.lowest), lowest + i64::from(summary.highest)),
            };
            let sum = i128::from(lowest) * i128::from(summary.count) + i128::from(summary.sum);
            part.add_wholes(summary.count, sum, bounds);
            if needs.deviation {
                let (mean, m2) = moments(sum, &summary);
                part.add_moments(summary.count, self.values.scaled(mean), self.values.scaled(self.values.scaled(m2)));
            }
            if needs.values {
                self.scale(group);
                let floats = &self.floats[places.clone()];
                match mask {
                    None => part.values.extend_from_slice(floats),
                    Some(mask) => {
                        let kept = floats.iter().zip(mask).filter(|(_, kept)| **kept != 0);
                        part.values.extend(kept.map(|(value, _)| value));
                    }
                }
            }
        }
        if exceptions > 0 {
            for (place, value) in self.values.exceptions(group) {
                let place = place % GROUP_VALUES;
                if places.contains(&place) && kept.first_kept(place..place + 1).is_some() {
                    part.add_other(*value, needs);
                }
            }
        }
        Ok(())
    }

    /// Makes the floats of a group; in places of exceptions they mean nothing.
    fn scale(&mut self, group: usize) {
        if self.scaled != Some(group) {
            self.values.floats(group, &self.offsets, &mut self.floats);
            self.scaled = Some(group);
        }
    }

    /// Notes the first and the last value among some places of a group, which is unpacked; `time` says the time of a place.
    pub(super) fn add_ends(
        &mut self,
        group: usize,
        places: std::ops::Range<usize>,
        kept: &GroupMask,
        part: &mut PackedPart,
        mut time: impl FnMut(usize) -> Result<i64>,
    ) -> Result<()> {
        self.unpack(group)?;
        let known = |place: &usize| kept.first_kept(*place..place + 1).is_some() && !self.value(group, *place).is_nan();
        if let (Some(first), Some(last)) = (places.clone().find(known), places.clone().rfind(known)) {
            let mut sample = |place: usize| {
                let integer = if self.whole { self.whole_at(group, place) } else { 0 };
                Ok(Sample { time: time(place)?, value: self.value(group, place), integer })
            };
            part.add_ends(sample(first)?, sample(last)?);
        }
        Ok(())
    }

    /// The mask of a group without the places of exceptions.
    fn mask(&self, group: usize, kept: &GroupMask) -> GroupOffsets {
        let mut mask = match kept.kept {
            Kept::All => [KEPT; GROUP_VALUES],
            Kept::None => [0; GROUP_VALUES],
            Kept::Some => *kept.mask,
        };
        for (place, _) in self.values.exceptions(group) {
            mask[place % GROUP_VALUES] = 0;
        }
        mask
    }

    fn whole_at(&self, group: usize, place: usize) -> i64 {
        self.values.bounds(group).0.wrapping_add(i64::from(self.offsets[place]))
    }

    fn value(&self, group: usize, place: usize) -> f64 {
        let exception = self.values.exceptions(group).iter().find(|(at, _)| at % GROUP_VALUES == place);
        exception.map_or_else(|| self.values.value(self.whole_at(group, place)), |(_, value)| *value)
    }

    /// Adds what a part says to a part of an answer. Extremes mean something only where they are needed.
    pub(super) fn add_to(&self, whole: &mut Partial, part: &PackedPart, needs: Needs) {
        let totals = if self.whole {
            // Integers have no exceptions.
            Totals::Wholes { sum: part.sum, min: part.bounds.0, max: part.bounds.1 }
        } else {
            self.float_totals(part, needs)
        };
        if !part.has_rest && !needs.whole_blocks {
            return whole.add_totals(part.wholes, &totals);
        }
        let rest = &part.rest;
        let summary = RunSummary {
            count: part.wholes + rest.count,
            count_nan: rest.count_nan,
            totals,
            ends: rest.ends.unwrap_or_default(),
            moments: rest.moments,
        };
        whole.add_summary(&summary, needs.whole_blocks);
    }

    fn float_totals(&self, part: &PackedPart, needs: Needs) -> Totals {
        let (mut sum, (mut min, mut max)) = (part.rest.sum, part.rest.bounds);
        if part.wholes > 0 {
            // Most sums fit 64 bits, which become a float in one instruction.
            let wholes = if let Ok(sum) = i64::try_from(part.sum) { sum as f64 } else { wide_to_float(part.sum) };
            sum.add(self.values.scaled(wholes));
            if needs.extremes {
                min = min.min(self.values.value(part.bounds.0));
                max = max.max(self.values.value(part.bounds.1));
            }
        }
        Totals::floats(sum, (min, max))
    }
}

#[cold]
fn wide_to_float(sum: i128) -> f64 {
    sum as f64
}

/// Mean and sum of squared distances from it, of whole numbers with a sum.
fn moments(sum: i128, summary: &GroupSummary) -> (f64, f64) {
    let count = u128::from(summary.count);
    let above = u128::from(summary.sum);
    // Exact up to here: no two large numbers that differ by little become floats first.
    let squares = count * summary.squares - above * above;
    // Of the exact sum: the lowest number of the group may lie far from these.
    let sum = i64::try_from(sum).map_or_else(|_| wide_to_float(sum), |sum| sum as f64);
    (sum / summary.count as f64, squares as f64 / count as f64)
}
