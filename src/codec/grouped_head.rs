//! Heads of groups of integers: what is known of a group without reading its values.
//!
//! Guarantees: a head that is handed out has passed every check that needs no packed values. Most heads are short and are read from one
//! window of bytes without a branch for each field; what that way does not know, it leaves to the plain one, whose word counts.

use crate::bytes::{Reader, corrupt, unzigzag, with_room};
use crate::error::{Error, Result};

use super::bits::GROUP;
use super::grouped_plan::Prediction;
use super::lanes::packed_bytes;

/// The fewest bytes that a head takes: widths, lowest value.
const HEAD_BYTES_MIN: usize = 3;
/// Bits of the head that say what is packed: differences, or distances from a line.
pub(super) const DIFFERENCES: u16 = 1 << 7;
pub(super) const LINE: u16 = 1 << 15;
/// Distances of up to so many bits let all arithmetic happen in 32 bits.
pub(super) const NARROW_BITS: u32 = 32;
/// Distances of up to so many bits, and differences too, let sums of differences happen in 16 bits.
const SHORT_BITS: u32 = 15;

/// What is known of a group without reading its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// The lowest value.
    pub(super) lowest: i64,
    /// No value lies above it.
    pub(super) highest: i64,
    pub(super) prediction: Prediction,
    /// Where its packed values begin.
    pub(super) at: usize,
    /// How many bits the distance of the highest value has.
    span_bits: u8,
    pub(super) width: u8,
    pub(super) patch_width: u8,
    pub(super) patches: u8,
    /// Whether the head allows for values above the column's limit; no writer's group has them.
    pub(super) may_pass: bool,
}

impl Head {
    /// What stands in the place of one that is not yet read.
    const NONE: Self = Self {
        lowest: 0,
        highest: 0,
        prediction: Prediction::Frame,
        at: 0,
        span_bits: 0,
        width: 0,
        patch_width: 0,
        patches: 0,
        may_pass: false,
    };

    /// Whether all distances from the lowest value fit 32 bits.
    pub(super) fn is_narrow(&self) -> bool {
        u32::from(self.span_bits) <= NARROW_BITS
    }

    /// How far a value may lie above the lowest.
    fn reach(&self) -> u64 {
        reach(u32::from(self.span_bits))
    }

    /// Refuses distances from the lowest value that pass what the head says, or the column's limit: heads are believed where groups are not
    /// unpacked.
    pub(super) fn check_distances(&self, all_bits: u64, highest: impl Fn() -> u64) -> Result<()> {
        // Where it may pass the limit, that is the highest.
        if all_bits > self.reach() || (self.may_pass && highest() > self.highest.wrapping_sub(self.lowest) as u64) {
            return Err(passes());
        }
        Ok(())
    }

    /// Whether sums of the differences of a narrow group may be made in 16 bits: a first value that leaves the span then shows its bits above
    /// it, since it lies less than 2^15 from one in the span.
    pub(super) fn is_short(&self, step: i64) -> bool {
        let bits = u32::from(self.width + self.patch_width);
        bits <= SHORT_BITS && u32::from(self.span_bits) <= SHORT_BITS && step.unsigned_abs() < 1 << (SHORT_BITS - 1)
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

    pub(super) fn lanes_bytes(&self, count: usize) -> usize {
        let width = u32::from(self.width);
        if count == GROUP {
            return packed_bytes(GROUP, width);
        }
        packed_bytes(count, width.min(32)) + packed_bytes(count, width.saturating_sub(32))
    }

    fn bytes(&self, count: usize) -> usize {
        let patches = usize::from(self.patches);
        self.lanes_bytes(count) + patches + (patches * usize::from(self.patch_width)).div_ceil(8)
    }
}

#[cold]
fn passes() -> Error {
    corrupt("a value of a group of integers lies above the highest that its head says")
}

fn reach(span_bits: u32) -> u64 {
    u64::MAX.checked_shr(64 - span_bits).unwrap_or(0)
}

/// The heads of a column in groups.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) all: Vec<Head>,
    /// Whether all of them are narrow.
    pub(super) are_narrow: bool,
    /// How many bytes the packed values take.
    pub(super) packed_bytes: usize,
}

/// The fields of one head, as far as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    lowest_step: i64,
    span_bits: u8,
    width: u8,
    patch_width: u8,
    prediction: Prediction,
    patches: u8,
}

/// Reads the heads of `count` values that must lie between two bounds, both included.
pub(super) fn read_heads(reader: &mut Reader<'_>, count: usize, (least, limit): (i64, i64)) -> Result<Heads> {
    let groups = count.div_ceil(GROUP);
    if reader.left() / HEAD_BYTES_MIN < groups {
        return Err(corrupt(format!("{} bytes are too few for {count} values", reader.left())));
    }
    let mut all = with_room(groups)?;
    all.resize(groups, Head::NONE);
    let bytes = reader.rest();
    let mut next = Next { place: 0, before: 0, at: 0, is_narrow: true };
    let (full, last) = all.split_at_mut(count / GROUP);
    for head in full {
        *head = next.read(bytes, GROUP, (least, limit))?;
    }
    for head in last {
        *head = next.read(bytes, count % GROUP, (least, limit))?;
    }
    reader.skip(next.place);
    Ok(Heads { all, are_narrow: next.is_narrow, packed_bytes: next.at })
}

/// Where the next head lies, and what it is counted from.
struct Next {
    place: usize,
    before: i64,
    at: usize,
    is_narrow: bool,
}

impl Next {
    /// Reads the head of the next group, of so many values.
    #[inline(always)]
    fn read(&mut self, bytes: &[u8], count: usize, bounds: (i64, i64)) -> Result<Head> {
        let bytes = bytes.get(self.place..).unwrap_or_default();
        if let Some((fields, taken)) = short_frame(bytes) {
            return self.head(fields, taken, count, bounds);
        }
        let (fields, taken) = match short_differences(bytes) {
            Some(short) => short,
            None => read_fields(bytes)?,
        };
        self.head(fields, taken, count, bounds)
    }

    #[inline(always)]
    fn head(&mut self, fields: Fields, taken: usize, count: usize, (least, limit): (i64, i64)) -> Result<Head> {
        let lowest = self.before.wrapping_add(fields.lowest_step);
        if lowest < least || lowest > limit {
            return Err(out_of_bounds());
        }
        let reach = reach(u32::from(fields.span_bits));
        let may_pass = reach > limit.wrapping_sub(lowest) as u64;
        let head = Head {
            lowest,
            highest: if may_pass { limit } else { lowest.wrapping_add(reach as i64) },
            prediction: fields.prediction,
            at: self.at,
            span_bits: fields.span_bits,
            width: fields.width,
            patch_width: fields.patch_width,
            patches: fields.patches,
            may_pass,
        };
        self.place += taken;
        self.before = lowest;
        self.at = self.at.saturating_add(head.bytes(count));
        self.is_narrow &= head.is_narrow();
        Ok(head)
    }
}

#[cold]
fn out_of_bounds() -> Error {
    corrupt("the lowest value of a group of integers is none that the column may hold")
}

/// A variable-length integer of up to four bytes in its only spelling at the start of a window, and how many bits it takes.
#[inline(always)]
fn short_varint(window: u64) -> Option<(u64, u32)> {
    let ends = !window & 0x8080_8080;
    if ends == 0 {
        return None;
    }
    // All bits up to the first end.
    let own = window & (ends ^ (ends - 1));
    let bits = ends.trailing_zeros() + 1;
    let value = own & 0x7f | own >> 1 & 0x3f80 | own >> 2 & 0x1f_c000 | own >> 3 & 0xfe0_0000;
    let is_superfluous = bits > 8 && own >> (bits - 8) == 0;
    (!is_superfluous).then_some((value, bits))
}

/// The fields of a frame of a narrow group, where they are few bytes, and how many these are; what they say is as if read one by one.
#[inline(always)]
fn short_frame(bytes: &[u8]) -> Option<(Fields, usize)> {
    let window = u64::from_le_bytes(*bytes.first_chunk()?);
    let (width, patch_width) = (window as u8, (window >> 8) as u8);
    // Neither has its uppermost bit, that of another prediction, where the sum is as small.
    if u32::from(width) + u32::from(patch_width) > NARROW_BITS {
        return None;
    }
    let (lowest_step, lowest_bits) = short_varint(window >> 16)?;
    let has_patches = patch_width > 0;
    // Of 48 bits the integer took 32 at most.
    let patches = (window >> 16 >> lowest_bits) as u8 & u8::from(has_patches).wrapping_neg();
    let fields = Fields {
        lowest_step: unzigzag(lowest_step),
        span_bits: width + patch_width,
        width,
        patch_width,
        prediction: Prediction::Frame,
        patches,
    };
    (has_patches == (patches > 0)).then_some((fields, 2 + lowest_bits as usize / 8 + usize::from(has_patches)))
}

/// The same of differences.
#[inline(always)]
fn short_differences(bytes: &[u8]) -> Option<(Fields, usize)> {
    let window = u64::from_le_bytes(*bytes.first_chunk()?);
    let (width, patch_width) = (window as u8 & 0x7f, (window >> 8) as u8);
    if window as u16 & DIFFERENCES == 0 || u32::from(width) + u32::from(patch_width) > NARROW_BITS {
        return None;
    }
    let (lowest_step, lowest_bits) = short_varint(window >> 16)?;
    let span_bits = (window >> 16 >> lowest_bits) as u8;
    let before = 3 + lowest_bits as usize / 8;
    let window = u64::from_le_bytes(*bytes.get(before..)?.first_chunk()?);
    let (first, first_bits) = short_varint(window)?;
    let (step, step_bits) = short_varint(window >> first_bits)?;
    let taken = before + (first_bits + step_bits) as usize / 8;
    let has_patches = patch_width > 0;
    let patches = bytes.get(taken)? & u8::from(has_patches).wrapping_neg();
    // Of up to four bytes, no step is wider than 32 bits.
    if u32::from(span_bits) > NARROW_BITS || first > reach(u32::from(span_bits)) || has_patches != (patches > 0) {
        return None;
    }
    let prediction = Prediction::Differences { first, step: unzigzag(step) };
    let fields = Fields { lowest_step: unzigzag(lowest_step), span_bits, width, patch_width, prediction, patches };
    Some((fields, taken + usize::from(has_patches)))
}

/// The fields of a head, one by one, and how many bytes they are.
#[inline(never)]
fn read_fields(bytes: &[u8]) -> Result<(Fields, usize)> {
    let mut reader = Reader::new(bytes);
    let head = u16::from_le_bytes(reader.array()?);
    let (width, patch_width) = (u32::from(head & 0x7f), u32::from(head >> 8 & 0x7f));
    let lowest_step = reader.signed()?;
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
    // All were found to be below 128.
    let [span_bits, width, patch_width] = [span_bits, width, patch_width].map(|bits| bits as u8);
    let fields = Fields { lowest_step, span_bits, width, patch_width, prediction, patches };
    Ok((fields, bytes.len() - reader.left()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Whatever the short ways make of some bytes, the plain one makes of them too.
        #[test]
        fn short_heads_are_those_read_one_by_one(
            widths in (0_u8..20, 0_u8..14, any::<bool>()),
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..2, 0x80_u8..0x83], 8..24),
        ) {
            let (width, patch_width, differences) = widths;
            let head = [width | u8::from(differences) << 7, patch_width];
            let bytes = [&head[..], &bytes[..]].concat();
            for (fields, taken) in [short_frame(&bytes), short_differences(&bytes)].into_iter().flatten() {
                let (plain, plain_taken) = read_fields(&bytes).unwrap();
                prop_assert_eq!((fields, taken), (plain, plain_taken));
            }
        }
    }
}
