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
use super::grouped_plan::{Plan, Prediction, on_line, plan};
use super::kernels::Kernels;
use super::lanes::{Offsets, SummaryOf, packed_bytes};

/// The fewest bytes that a head takes: widths, lowest value.
const HEAD_BYTES_MIN: usize = 3;
/// Bits of the head that say what is packed: differences, or distances from a line.
const DIFFERENCES: u16 = 1 << 7;
const LINE: u16 = 1 << 15;
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
    /// No value lies above it.
    pub(super) fn highest(&self) -> i64 {
        let reach = u64::MAX.checked_shr(64 - self.span_bits).unwrap_or(0);
        i64::try_from(i128::from(self.lowest) + i128::from(reach)).unwrap_or(i64::MAX)
    }

    /// Whether all distances from the lowest value fit 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        self.span_bits <= NARROW_BITS
    }

    /// The step between the values of a group that begins with its lowest and rises by one step, which nothing is packed of.
    pub(super) fn regular_step(&self) -> Option<u64> {
        match self.prediction {
            Prediction::Differences { first: 0, step } if step > 0 && self.width == 0 && self.patches == 0 => {
                Some(step as u64)
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
}

/// Appends all values in groups.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    let kernels = Kernels::best();
    let mut packed = Vec::with_capacity(values.len());
    let mut before = 0_i64;
    for group in values.chunks(GROUP) {
        let (lowest, highest) = kernels.extremes(group);
        let plan = plan(group, lowest, highest);
        put_head(&plan, lowest.wrapping_sub(before), highest.wrapping_sub(lowest) as u64, out);
        put_group(&plan, group.len(), kernels, &mut packed);
        before = lowest;
    }
    out.extend_from_slice(&packed);
}

fn put_head(plan: &Plan, lowest_step: i64, span: u64, out: &mut Vec<u8>) {
    let widths = plan.widths;
    let flag = match plan.prediction {
        Prediction::Frame => 0,
        Prediction::Differences { .. } => DIFFERENCES,
        Prediction::Line { .. } => LINE,
    };
    let head = widths.width as u16 | flag | (widths.patch_width as u16) << 8;
    out.extend_from_slice(&head.to_le_bytes());
    put_signed(lowest_step, out);
    // Of a frame, the widths say it.
    if plan.prediction != Prediction::Frame {
        out.push((64 - span.leading_zeros()) as u8);
    }
    match plan.prediction {
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
        out.push(plan.patches);
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
    let (mut bits, mut held) = (0_u128, 0);
    for (_, rest) in wider() {
        bits |= u128::from(rest >> width) << held;
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
    let start = out.len();
    out.resize(start + packed_bytes(GROUP, width), 0);
    kernels.pack(&plane, width, &mut out[start..]);
    out.truncate(start + packed_bytes(count, width));
}

impl<'a> Grouped<'a> {
    /// Reads the heads of `count` values in groups, which reach to the end of the reader.
    pub(super) fn read(mut reader: Reader<'a>, count: usize) -> Result<Self> {
        let groups = count.div_ceil(GROUP);
        if reader.left() / HEAD_BYTES_MIN < groups {
            return Err(corrupt(format!("{} bytes are too few for {count} values", reader.left())));
        }
        let mut heads = with_room(groups)?;
        let (mut at, mut before) = (0_usize, 0_i64);
        for group in 0..groups {
            let head = read_head(&mut reader, before, at)?;
            before = head.lowest;
            at = at.saturating_add(head.bytes(GROUP.min(count - group * GROUP)));
            heads.push(head);
        }
        let packed = reader.take_rest();
        if packed.len() != at {
            return Err(corrupt(format!("groups of integers take {at} bytes, and there are {}", packed.len())));
        }
        Ok(Self { heads, packed, count })
    }

    /// What is known of each group.
    pub(super) fn heads(&self) -> &[Head] {
        &self.heads
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
        Ok(())
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
        Ok(())
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
        // Values of bytes that no writer made may wrap around.
        if head.is_narrow() && head.lowest <= i64::MAX - i64::from(u32::MAX) {
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
        let (mut bit, mut next, mut rising) = ((at + places.len()) * 8, 0, true);
        for place in places {
            let place = usize::from(*place);
            rising &= place >= next;
            next = place + 1;
            // Few patches are wider, and few lie at the end of all.
            let bits = match self.packed.get(bit / 8..).and_then(<[u8]>::first_chunk) {
                Some(eight) if head.patch_width <= 57 => u64::from_le_bytes(*eight) >> (bit % 8),
                _ => bits_at(self.packed, bit),
            };
            put(place, bits & mask);
            bit += head.patch_width as usize;
        }
        if !rising || next > count {
            return Err(corrupt("the patches of a group of integers are not a rising list of its places"));
        }
        Ok(())
    }
}

fn unpack_plane(packed: &[u8], width: u32, count: usize, kernels: &Kernels, plane: &mut Offsets) -> Result<()> {
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
    let patches = if patch_width > 0 { reader.byte()? } else { 0 };
    if patch_width > 0 && patches == 0 {
        return Err(corrupt("a group of integers has the width of patches, and none"));
    }
    Ok(Head { lowest, span_bits, width, patch_width, patches, prediction, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    /// What every way to read says of some values, on every level.
    fn check(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        for kernels in Kernels::available() {
            let groups = Grouped::read(Reader::new(&bytes), values.len()).unwrap();
            assert_eq!(groups.heads().len(), values.len().div_ceil(GROUP));
            for (group, expected) in values.chunks(GROUP).enumerate() {
                let head = &groups.heads()[group];
                let (lowest, highest) = (*expected.iter().min().unwrap(), *expected.iter().max().unwrap());
                assert_eq!(head.lowest, lowest);
                let bits = |end: i64| 64 - (end.wrapping_sub(lowest) as u64).leading_zeros();
                assert!(
                    head.highest() >= highest && (head.highest() == i64::MAX || bits(head.highest()) == bits(highest))
                );
                let mut read = [0; GROUP];
                groups.values(group, kernels, &mut read).unwrap();
                assert_eq!(&read[..expected.len()], expected, "{kernels:?} group {group}");
                let sum: i128 = expected.iter().map(|value| i128::from(*value)).sum();
                assert_eq!(groups.sum(group, kernels).unwrap(), sum, "{kernels:?} group {group}");
            }
        }
        assert_eq!(Grouped::read(Reader::new(&bytes), values.len()).unwrap().decode(0..values.len()).unwrap(), values);
        let (from, to) = (values.len() / 3, values.len() - values.len() / 4);
        let part = Grouped::read(Reader::new(&bytes), values.len()).unwrap().decode(from..to).unwrap();
        assert_eq!(part, values[from..to]);
        bytes.len()
    }

    #[test]
    fn every_width_comes_back() {
        for width in 0..=64 {
            for count in [1, 7, 8, 9, 255, 256, 257, 600] {
                let mut state = 1_u64 + width;
                let value = |_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state ^ state >> 31).checked_shr(64 - width as u32).unwrap_or(0) as i64
                };
                check(&(0..count).map(value).collect::<Vec<i64>>());
            }
        }
    }

    #[test]
    fn a_patch_in_every_place_comes_back() {
        for (far, plain) in [(1_i64 << 20, 3), (i64::MIN, 1), (i64::MAX, -1), (-(1 << 31), 0)] {
            for place in 0..GROUP {
                let frame: Vec<i64> =
                    (0..GROUP as i64).map(|i| if i == place as i64 { far } else { i * 7 % 4 }).collect();
                check(&frame);
                let mut value = 0_i64;
                let mut counter = |i| {
                    value = if i == place { far } else { value.wrapping_add(plain + (i % 3) as i64) };
                    value
                };
                check(&(0..GROUP).map(&mut counter).collect::<Vec<i64>>());
            }
        }
    }

    #[test]
    fn a_counter_with_resets_costs_little_more_than_one_without() {
        let steady: Vec<i64> = (0..4_096).map(|i| 70 * i + i * i % 16).collect();
        let reset: Vec<i64> = steady.iter().map(|value| value % 40_000).collect();
        let (steady, reset) = (check(&steady), check(&reset));
        assert!(reset < steady + steady / 4, "{steady} and {reset} bytes");
    }

    #[test]
    fn jitter_around_a_line_costs_its_own_bits() {
        let jitter = |i: i64| ((i * 2_654_435_761) >> 7) % 1_000;
        let wide: Vec<i64> = (0..1_024).map(|i| i64::MIN + i * (1 << 40) + jitter(i)).collect();
        for values in [(0..1_024).map(|i| 60_000 * i + jitter(i)).collect(), wide] {
            let bytes = check(&values);
            assert!(bytes < 4 * (10 * 32 + 24), "{bytes} bytes");
        }
    }

    #[test]
    fn what_a_reader_must_check_is_refused() {
        let lanes = [0_u8; 32];
        let group = |head: &[u8], rest: &[u8]| [head, &lanes[..], rest].concat();
        for (bytes, count, what) in [
            (group(&[0x9e, 3, 0, 32, 0, 0, 1], &[0, 1]), 1, "33 bits of a distance of 32"),
            (group(&[0x81, 0, 0, 65, 0, 0], &[]), 8, "a distance of 65 bits"),
            (group(&[0x81, 0, 0, 3, 8, 0], &[]), 8, "a first value above the highest"),
            (group(&[0x83, 0x80, 0, 3, 0, 0], &[]), 8, "two predictions"),
            (group(&[1, 2, 0, 0], &[]), 8, "no patches of some width"),
            (group(&[1, 2, 0, 2], &[3, 3, 1]), 8, "two patches at one place"),
            (group(&[1, 2, 0, 1], &[8, 1]), 8, "a patch behind the last value"),
            (group(&[3, 0, 0], &[0]), 8, "a byte too many"),
            (vec![3, 0, 0, 0, 0], 8, "a byte too few"),
            (vec![3, 0], 8, "half a head"),
            (
                group(&[3, 0, 0, 7], &[]).iter().enumerate().map(|(at, byte)| byte | u8::from(at == 31)).collect(),
                7,
                "a bit behind",
            ),
        ] {
            let kernels = Kernels::best();
            let read =
                Grouped::read(Reader::new(&bytes), count).and_then(|groups| groups.values(0, kernels, &mut [0; GROUP]));
            assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::Corruption), "{what}");
        }
        assert!(Grouped::read(Reader::new(&[]), usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(values in proptest::collection::vec(any::<i64>(), 1..700), shift in 0_u32..64, walk: bool) {
            let mut total = 0_i64;
            let value = |value: &i64| {
                total = if walk { total.wrapping_add(value >> shift) } else { value >> shift };
                total
            };
            check(&values.iter().map(value).collect::<Vec<i64>>());
        }
    }
}
