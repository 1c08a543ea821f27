//! Integers in groups of 256 whose heads stand together in front: any group is found, judged and read alone.
//!
//! Guarantees: exact for all `i64`; a head says the lowest value of its group, and how many bits the distances of the others
//! from it have, so that a reader passes over groups that cannot hold what it looks for; a group whose distances have up to 32
//! bits comes out as such, whichever way it was packed. Differences are used only where they save a fifth of the bits, because a frame
//! decodes faster and is summed without unpacking.
//!
//! As in [`super::integer`], what is left of a prediction is packed with one width, and the few values that are wider have
//! their upper bits in a list of patches behind the group; the layout of the packed bits is that of [`super::lanes`].

use std::ops::Range;

use crate::bytes::{Reader, corrupt, put_signed, put_varint, unzigzag, with_room};
use crate::error::Result;

use super::bits::{GROUP, bits_at, groups_of};
use super::grouped_plan::{NarrowPlan, Plan, Prediction, on_line, plan};
use super::integer::Widths;
use super::kernels::Kernels;
use super::lanes::{Offsets, SummaryOf, packed_bytes};

/// The fewest bytes that a head takes: widths, lowest value.
const HEAD_BYTES_MIN: usize = 3;
/// Bits of the head that say what is packed: differences, or distances from a line.
const DIFFERENCES: u16 = 1 << 7;
const LINE: u16 = 1 << 15;
/// Rests that are looked at for patches together.
const PATCH_ROW: usize = 16;
/// Distances of up to so many bits let all arithmetic happen in 32 bits.
const NARROW_BITS: u32 = 32;

/// What is known of a group without reading its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The lowest value.
    pub(super) lowest: i64,
    /// How many bits the distance of the highest value has.
    span_bits: u32,
    width: u32,
    patch_width: u32,
    patches: u8,
    prediction: Prediction,
    /// Where its packed values begin.
    at: usize,
}

impl Head {
    /// Whether all distances from the lowest value fit 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.span_bits <= NARROW_BITS
    }

    /// How far a value may lie above the lowest.
    fn reach(&self) -> u64 {
        u64::MAX.checked_shr(64 - self.span_bits).unwrap_or(0)
    }

    /// Whether the head allows for values above a limit; no writer's group has them.
    fn may_pass(&self, limit: i64) -> bool {
        i128::from(self.lowest) + i128::from(self.reach()) > i128::from(limit)
    }

    /// Refuses distances from the lowest value that pass what the head says, or a limit: heads are believed where groups are not unpacked.
    fn check_distances(&self, limit: i64, all_bits: u64, highest: impl Fn() -> u64) -> Result<()> {
        if all_bits > self.reach()
            || (self.may_pass(limit) && i128::from(self.lowest) + i128::from(highest()) > i128::from(limit))
        {
            return Err(corrupt("a value of a group of integers lies above the highest that its head says"));
        }
        Ok(())
    }

    /// The step between the values of a group of so many that begins with its lowest and rises by one step, which nothing is packed of.
    pub(super) fn regular_step(&self, count: usize) -> Option<u64> {
        match self.prediction {
            Prediction::Differences { first: 0, step }
                if step > 0 && count > 1 && self.width == 0 && self.patches == 0 =>
            {
                let step = step as u64;
                step.checked_mul(count as u64 - 1).is_some_and(|last| last <= self.reach()).then_some(step)
            }
            _ => None,
        }
    }

    fn lanes_bytes(&self, count: usize) -> usize {
        packed_bytes(count, self.width.min(32)) + packed_bytes(count, self.width.saturating_sub(32))
    }

    fn bytes(&self, count: usize) -> usize {
        let patches = usize::from(self.patches);
        self.lanes_bytes(count) + patches + (patches * self.patch_width as usize).div_ceil(8)
    }
}

/// Encoded groups: their heads are read and checked, their values are not.
#[derive(Debug)]
pub(super) struct Grouped<'a> {
    heads: Vec<Head>,
    packed: &'a [u8],
    count: usize,
    /// No value may lie above it.
    limit: i64,
}

/// Appends all values in groups.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let kernels = Kernels::best();
    let mut packed = Vec::with_capacity(values.len());
    let mut before = 0_i64;
    let mut narrow = NarrowPlan::default();
    for group in values.chunks(GROUP) {
        let (lowest, highest) = kernels.extremes(group);
        let steps = (lowest.wrapping_sub(before), highest.wrapping_sub(lowest) as u64);
        if steps.1 >> NARROW_BITS == 0 {
            kernels.plan(group, lowest, &mut narrow);
            put_head(&narrow.widths, narrow.prediction, steps, out);
            put_narrow(&narrow, group.len(), kernels, &mut packed);
        } else {
            let plan = plan(group, lowest);
            put_head(&plan.widths, plan.prediction, steps, out);
            put_group(&plan, group.len(), kernels, &mut packed);
        }
        before = lowest;
    }
    out.extend_from_slice(&packed);
}

/// Appends a head: `lowest_step` is from the lowest value of the group before, `span` from this one's to its highest.
fn put_head(widths: &Widths, prediction: Prediction, (lowest_step, span): (i64, u64), out: &mut Vec<u8>) {
    let flag = match prediction {
        Prediction::Frame => 0,
        Prediction::Differences { .. } => DIFFERENCES,
        Prediction::Line { .. } => LINE,
    };
    let head = widths.width as u16 | flag | (widths.patch_width as u16) << 8;
    out.extend_from_slice(&head.to_le_bytes());
    put_signed(lowest_step, out);
    // Of a frame, the widths say it.
    if prediction != Prediction::Frame {
        out.push((64 - span.leading_zeros()) as u8);
    }
    match prediction {
        Prediction::Frame => {}
        Prediction::Differences { first, step } => {
            put_varint(first, out);
            put_signed(step, out);
        }
        Prediction::Line { base, slope } => {
            put_signed(base, out);
            put_signed(slope, out);
        }
    }
    if widths.patch_width > 0 {
        out.push(widths.patches);
    }
}

fn put_group(plan: &Plan, count: usize, kernels: &Kernels, out: &mut Vec<u8>) {
    let (width, patch_width) = (plan.widths.width, plan.widths.patch_width);
    put_plane(plan, (0, width.min(32)), count, kernels, out);
    put_plane(plan, (32, width.saturating_sub(32)), count, kernels, out);
    if patch_width == 0 {
        return;
    }
    let wider = || plan.rests[..count].iter().enumerate().filter(|(_, rest)| **rest >> width > 0);
    out.extend(wider().map(|(place, _)| place as u8));
    put_patches(wider().map(|(_, rest)| rest >> width), patch_width, out);
}

fn put_narrow(plan: &NarrowPlan, count: usize, kernels: &Kernels, out: &mut Vec<u8>) {
    let (width, patch_width) = (plan.widths.width, plan.widths.patch_width);
    if patch_width == 0 {
        if width > 0 {
            put_lanes(&plan.rests, width, count, kernels, out);
        }
        return;
    }
    let mask = (1 << width) - 1;
    if width > 0 {
        put_lanes(&plan.rests.map(|rest| rest & mask), width, count, kernels, out);
    }
    let (mut upper, mut patches) = ([0_u32; GROUP], 0);
    // Patches are few: most rows have none.
    for (number, row) in plan.rests.as_chunks::<PATCH_ROW>().0.iter().enumerate() {
        if row.iter().fold(0, |all, rest| all | rest) <= mask {
            continue;
        }
        for (place, rest) in row.iter().enumerate().filter(|(_, rest)| **rest > mask) {
            out.push((number * PATCH_ROW + place) as u8);
            upper[patches] = rest >> width;
            patches += 1;
        }
    }
    put_patches(upper[..patches].iter().map(|bits| u64::from(*bits)), patch_width, out);
}

/// Appends the upper bits of patches, one behind the other.
fn put_patches(upper: impl Iterator<Item = u64>, patch_width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0_u128, 0);
    for patch in upper {
        bits |= u128::from(patch) << held;
        held += patch_width;
        while held >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(bits as u8);
    }
}

/// Appends some bits of each rest: `width` from bit `from` on.
fn put_plane(plan: &Plan, (from, width): (u32, u32), count: usize, kernels: &Kernels, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = u32::MAX >> (32 - width);
    let mut plane: Offsets = [0; GROUP];
    for (value, rest) in plane.iter_mut().zip(&plan.rests[..count]) {
        *value = (rest >> from) as u32 & mask;
    }
    put_lanes(&plane, width, count, kernels, out);
}

/// Appends the lanes of `count` values of a width; those behind are zero.
pub(super) fn put_lanes(plane: &Offsets, width: u32, count: usize, kernels: &Kernels, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packed_bytes(GROUP, width), 0);
    kernels.pack(plane, width, &mut out[start..]);
    out.truncate(start + packed_bytes(count, width));
}

impl<'a> Grouped<'a> {
    /// Reads the heads of `count` values in groups, which reach to the end of the reader.
    pub(super) fn read(reader: Reader<'a>, count: usize) -> Result<Self> {
        Self::read_within(reader, count, (i64::MIN, i64::MAX))
    }

    /// The same of values that must lie between two bounds, both included.
    pub(super) fn read_within(mut reader: Reader<'a>, count: usize, (least, limit): (i64, i64)) -> Result<Self> {
        let groups = count.div_ceil(GROUP);
        if reader.left() / HEAD_BYTES_MIN < groups {
            return Err(corrupt(format!("{} bytes are too few for {count} values", reader.left())));
        }
        let mut heads = with_room(groups)?;
        let (mut at, mut before) = (0_usize, 0_i64);
        for group in 0..groups {
            let head = read_head(&mut reader, before, at)?;
            before = head.lowest;
            if !(least..=limit).contains(&before) {
                return Err(corrupt("the lowest value of a group of integers is none that the column may hold"));
            }
            at = at.saturating_add(head.bytes(GROUP.min(count - group * GROUP)));
            heads.push(head);
        }
        let packed = reader.take_rest();
        if packed.len() != at {
            return Err(corrupt(format!("groups of integers take {at} bytes, and there are {}", packed.len())));
        }
        Ok(Self { heads, packed, count, limit })
    }

    /// What is known of each group.
    pub(super) fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// No value of a group lies above it.
    pub(super) fn highest(&self, group: usize) -> i64 {
        let head = &self.heads[group];
        if head.may_pass(self.limit) { self.limit } else { head.lowest.wrapping_add(head.reach() as i64) }
    }

    /// How many values a group has.
    pub(super) fn length(&self, group: usize) -> usize {
        GROUP.min(self.count - group * GROUP)
    }

    /// The values of a narrow group as distances from its lowest; those behind its last are unspecified.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`] where patches are not a rising list of its places.
    pub(super) fn offsets(&self, group: usize, kernels: &Kernels, offsets: &mut Offsets) -> Result<()> {
        let (head, count) = (&self.heads[group], self.length(group));
        let lanes = self.lanes(head, count);
        unpack_plane(lanes, head.width, count, kernels, offsets)?;
        self.patch(head, count, |place, upper| offsets[place] |= (upper << head.width) as u32)?;
        match head.prediction {
            Prediction::Frame => {}
            Prediction::Differences { first, step } => kernels.accumulate(offsets, first as u32, step as u32),
            Prediction::Line { base, slope } => {
                for (place, offset) in offsets.iter_mut().enumerate() {
                    *offset = offset.wrapping_add(base.wrapping_add(on_line(slope, place)) as u32);
                }
            }
        }
        // Of a frame, the widths bound the distances.
        if head.prediction == Prediction::Frame && !head.may_pass(self.limit) {
            return Ok(());
        }
        let all_bits = offsets[..count].iter().fold(0, |all, offset| all | offset);
        let highest = || offsets[..count].iter().fold(0, |highest, offset| highest.max(*offset));
        head.check_distances(self.limit, u64::from(all_bits), || u64::from(highest()))
    }

    /// The values of a group; those behind its last are unspecified.
    ///
    /// # Errors
    /// As [`Self::offsets`].
    pub(super) fn values(&self, group: usize, kernels: &Kernels, values: &mut [i64; GROUP]) -> Result<()> {
        let (head, count) = (&self.heads[group], self.length(group));
        let mut plane = [0; GROUP];
        if head.is_narrow() {
            self.offsets(group, kernels, &mut plane)?;
            for (value, offset) in values.iter_mut().zip(plane) {
                *value = head.lowest.wrapping_add(i64::from(offset));
            }
            return Ok(());
        }
        let (lower, upper) = self.lanes(head, count).split_at(packed_bytes(count, head.width.min(32)));
        unpack_plane(lower, head.width.min(32), count, kernels, &mut plane)?;
        for (value, bits) in values.iter_mut().zip(plane) {
            *value = i64::from(bits);
        }
        if head.width > 32 {
            unpack_plane(upper, head.width - 32, count, kernels, &mut plane)?;
            for (value, bits) in values.iter_mut().zip(plane) {
                *value |= i64::from(bits) << 32;
            }
        }
        self.patch(head, count, |place, upper| values[place] |= (upper << head.width) as i64)?;
        match head.prediction {
            Prediction::Frame => values.iter_mut().for_each(|value| *value = head.lowest.wrapping_add(*value)),
            Prediction::Differences { first, step } => {
                let mut value = head.lowest.wrapping_add(first as i64);
                values[0] = value;
                for rest in &mut values[1..] {
                    value = value.wrapping_add(step).wrapping_add(unzigzag(*rest as u64));
                    *rest = value;
                }
            }
            Prediction::Line { base, slope } => {
                for (place, value) in values.iter_mut().enumerate() {
                    *value = head.lowest.wrapping_add(base).wrapping_add(on_line(slope, place)).wrapping_add(*value);
                }
            }
        }
        if head.prediction == Prediction::Frame && !head.may_pass(self.limit) {
            return Ok(());
        }
        let distances = || values[..count].iter().map(|value| value.wrapping_sub(head.lowest) as u64);
        let all_bits = distances().fold(0, |all, one| all | one);
        head.check_distances(self.limit, all_bits, || distances().fold(0, u64::max))
    }

    /// The values of some places (none behind the last); only groups that hold some of them are unpacked.
    pub(super) fn decode(&self, places: Range<usize>) -> Result<Vec<i64>> {
        let kernels = Kernels::best();
        let mut all = with_room(places.len())?;
        let mut values = [0; GROUP];
        for (group, within) in groups_of(places) {
            self.values(group, kernels, &mut values)?;
            all.extend_from_slice(&values[within]);
        }
        Ok(all)
    }

    /// The exact sum of a group.
    ///
    /// # Errors
    /// As [`Self::offsets`].
    pub(super) fn sum(&self, group: usize, kernels: &Kernels) -> Result<i128> {
        let (head, count) = (&self.heads[group], self.length(group));
        if head.is_narrow() && !head.may_pass(self.limit) {
            let mut above;
            if head.prediction == Prediction::Frame && count == GROUP {
                above = kernels.sum(self.lanes(head, count), head.width);
                self.patch(head, count, |_, upper| above += upper << head.width)?;
            } else {
                let mut offsets = [0; GROUP];
                self.offsets(group, kernels, &mut offsets)?;
                above = kernels.summarise(&offsets[..count], None, SummaryOf::Sum).sum;
            }
            return Ok(i128::from(head.lowest) * count as i128 + i128::from(above));
        }
        let mut values = [0; GROUP];
        self.values(group, kernels, &mut values)?;
        Ok(values[..count].iter().map(|value| i128::from(*value)).sum())
    }

    fn lanes(&self, head: &Head, count: usize) -> &'a [u8] {
        &self.packed[head.at..head.at + head.lanes_bytes(count)]
    }

    /// Visits the patches of a group: place and upper bits.
    fn patch(&self, head: &Head, count: usize, mut put: impl FnMut(usize, u64)) -> Result<()> {
        if head.patches == 0 {
            return Ok(());
        }
        let at = head.at + head.lanes_bytes(count);
        let places = &self.packed[at..at + usize::from(head.patches)];
        let mask = u64::MAX >> (64 - head.patch_width);
        let (mut bit, mut next, mut rising, mut zeros) = ((at + places.len()) * 8, 0, true, false);
        for place in places {
            let place = usize::from(*place);
            rising &= place >= next;
            next = place + 1;
            // Few patches are wider, and few lie at the end of all.
            let bits = match self.packed.get(bit / 8..).and_then(<[u8]>::first_chunk) {
                Some(eight) if head.patch_width <= 57 => u64::from_le_bytes(*eight) >> (bit % 8),
                _ => bits_at(self.packed, bit),
            };
            zeros |= bits & mask == 0;
            put(place, bits & mask);
            bit += head.patch_width as usize;
        }
        if !rising || next > count {
            return Err(corrupt("the patches of a group of integers are not a rising list of its places"));
        }
        if zeros {
            return Err(corrupt("a group of integers has a patch that changes nothing"));
        }
        if bit % 8 > 0 && self.packed.get(bit / 8).is_some_and(|last| last >> (bit % 8) > 0) {
            return Err(corrupt("a group of integers has bits after its last patch"));
        }
        Ok(())
    }
}

/// Unpacks the lanes of `count` values of a width; of less than a full group, what lies behind must be zero, and is.
pub(super) fn unpack_plane(
    packed: &[u8],
    width: u32,
    count: usize,
    kernels: &Kernels,
    plane: &mut Offsets,
) -> Result<()> {
    if count == GROUP {
        kernels.unpack(packed, width, plane);
        return Ok(());
    }
    let mut full = [0; GROUP * 4];
    full[..packed.len()].copy_from_slice(packed);
    kernels.unpack(&full[..packed_bytes(GROUP, width)], width, plane);
    if plane[count..].iter().any(|value| *value != 0) {
        return Err(corrupt("a group of integers has bits after its last value"));
    }
    Ok(())
}

fn read_head(reader: &mut Reader<'_>, before: i64, at: usize) -> Result<Head> {
    let head = u16::from_le_bytes(reader.array()?);
    let (width, patch_width) = (u32::from(head & 0x7f), u32::from(head >> 8 & 0x7f));
    let lowest = before.wrapping_add(reader.signed()?);
    let span_bits = if head & (DIFFERENCES | LINE) == 0 { width + patch_width } else { u32::from(reader.byte()?) };
    let most = if span_bits <= NARROW_BITS { 32 } else { 64 };
    if width + patch_width > most || span_bits > 64 {
        return Err(corrupt(format!("a group of integers has {width} and {patch_width} bits a value of {span_bits}")));
    }
    let prediction = match (head & DIFFERENCES > 0, head & LINE > 0) {
        (false, false) => Prediction::Frame,
        (true, false) => Prediction::Differences { first: reader.varint()?, step: reader.signed()? },
        (false, true) => Prediction::Line { base: reader.signed()?, slope: reader.signed()? },
        (true, true) => return Err(corrupt("a group of integers has two predictions")),
    };
    if matches!(prediction, Prediction::Differences { first, .. } if 64 - first.leading_zeros() > span_bits) {
        return Err(corrupt("the first value of a group of integers lies above its highest"));
    }
    // Values of a narrow group count modulo 2^32, its step does not.
    if matches!(prediction, Prediction::Differences { step, .. } if span_bits <= NARROW_BITS && step.unsigned_abs() >> NARROW_BITS > 0)
    {
        return Err(corrupt("the step of a group of integers is wider than its values"));
    }
    let patches = if patch_width > 0 { reader.byte()? } else { 0 };
    if patch_width > 0 && patches == 0 {
        return Err(corrupt("a group of integers has the width of patches, and none"));
    }
    Ok(Head { lowest, span_bits, width, patch_width, patches, prediction, at })
}
