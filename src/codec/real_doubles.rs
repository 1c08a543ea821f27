//! Floats that are no decimals: ALP-RD, "real doubles" (A. Afroozeh, L. Kuffó, P. Boncz: "ALP: Adaptive Lossless floating-Point
//! Compression", SIGMOD 2024, section 3.4).
//!
//! Guarantees: bit-exact for every double; any group is found by the heads in front and read alone; a head is checked when it is
//! read, a group when it is unpacked.
//!
//! Each double is cut in two. The left part, sign, exponent and the first bits of the mantissa, has few different values among
//! neighbours: a dictionary of at most eight a group says them in up to three bits, and the rare others are patched. The right part is as
//! good as random and is packed as it is. The cut is one for all of a column, since it hangs on how the values were made; the dictionary
//! is of a group, since values wander (the paper has one for some hundred groups).

use std::ops::Range;

use crate::bytes::{Reader, corrupt, with_room};
use crate::error::Result;

use super::bits::{GROUP, groups_of};
use super::grouped::unpack_plane;
use super::grouped_write::put_lanes;
use super::kernels::Kernels;
use super::lanes::{LANES, Offsets, Row, packed_bytes};

/// The most bits of a left part: an exception says it in two bytes.
const LEFT_BITS_MAX: u32 = 16;
/// The most left parts of a dictionary: one vector holds them, and three bits name them.
const DICTIONARY_MAX: usize = LANES;
/// The fewest bytes of a head: its two counts, and one left part.
const HEAD_BYTES_MIN: usize = 4;
/// What an exception takes: its place and its left part.
const EXCEPTION_BITS: usize = 24;
/// The search for a cut looks at so many groups at most.
const SAMPLE_GROUPS: usize = 16;

/// What is known of a group without reading its values.
#[derive(Debug)]
struct Head {
    /// The left parts, each where it stands in the upper half of a double.
    dictionary: Row,
    entries: usize,
    exceptions: usize,
    /// Where its packed values begin.
    at: usize,
}

impl Head {
    fn lanes_bytes(&self, count: usize, right_bits: u32) -> [usize; 3] {
        [code_bits(self.entries), 32, right_bits - 32].map(|width| packed_bytes(count, width))
    }
}

/// Bits of the codes of so many left parts.
fn code_bits(entries: usize) -> u32 {
    usize::BITS - entries.saturating_sub(1).leading_zeros()
}

/// Encoded real doubles: their heads are read and checked, their values are not.
#[derive(Debug)]
pub(super) struct RealDoubles<'a> {
    right_bits: u32,
    heads: Vec<Head>,
    packed: &'a [u8],
    count: usize,
}

impl<'a> RealDoubles<'a> {
    /// Reads the cut and the heads of `count` floats, which reach to the end of the reader.
    pub(super) fn read(mut reader: Reader<'a>, count: usize) -> Result<Self> {
        let right_bits = u32::from(reader.byte()?);
        if !(64 - LEFT_BITS_MAX..64).contains(&right_bits) {
            return Err(corrupt(format!("a double has no right part of {right_bits} bits here")));
        }
        let groups = count.div_ceil(GROUP);
        if reader.left() / HEAD_BYTES_MIN < groups {
            return Err(corrupt(format!("{} bytes are too few for {count} values", reader.left())));
        }
        let mut heads = with_room(groups)?;
        let mut at = 0_usize;
        for group in 0..groups {
            let head = read_head(&mut reader, right_bits, at)?;
            let lanes: usize = head.lanes_bytes(GROUP.min(count - group * GROUP), right_bits).iter().sum();
            at = at.saturating_add(lanes + head.exceptions * EXCEPTION_BITS / 8);
            heads.push(head);
        }
        let packed = reader.take_rest();
        if packed.len() != at {
            return Err(corrupt(format!("groups of real doubles take {at} bytes, and there are {}", packed.len())));
        }
        Ok(Self { right_bits, heads, packed, count })
    }

    /// The values of some places (none behind the last); only groups that hold some of them are unpacked.
    pub(super) fn decode(&self, places: Range<usize>) -> Result<Vec<f64>> {
        let kernels = Kernels::best();
        let mut values = with_room(places.len())?;
        let (mut planes, mut floats) = ([[0; GROUP]; 3], [0.0; GROUP]);
        for (group, within) in groups_of(places) {
            self.group(group, kernels, &mut planes, &mut floats)?;
            values.extend_from_slice(&floats[within]);
        }
        Ok(values)
    }

    /// The values of a group; those behind its last are unspecified.
    fn group(
        &self,
        group: usize,
        kernels: &Kernels,
        [codes, lower, upper]: &mut [Offsets; 3],
        floats: &mut [f64; GROUP],
    ) -> Result<()> {
        let (head, count) = (&self.heads[group], GROUP.min(self.count - group * GROUP));
        let [code_bytes, lower_bytes, upper_bytes] = head.lanes_bytes(count, self.right_bits);
        let (coded, rest) = self.packed[head.at..].split_at(code_bytes);
        let (low, rest) = rest.split_at(lower_bytes);
        let (high, rest) = rest.split_at(upper_bytes);
        unpack_plane(coded, code_bits(head.entries), count, kernels, codes)?;
        unpack_plane(low, 32, count, kernels, lower)?;
        unpack_plane(high, self.right_bits - 32, count, kernels, upper)?;
        if codes.iter().fold(0, |highest, code| highest.max(*code)) as usize >= head.entries {
            return Err(corrupt("a code of a group of real doubles names no left part"));
        }
        kernels.join(codes, &head.dictionary, [upper, lower], floats);
        let (places, lefts) = rest.split_at(head.exceptions);
        let rights = (1 << self.right_bits) - 1;
        let (mut next, mut rising) = (0, true);
        for (place, left) in places.iter().zip(lefts.as_chunks::<2>().0) {
            let place = usize::from(*place);
            rising &= place >= next;
            next = place + 1;
            let left = check_left(u16::from_le_bytes(*left), self.right_bits)?;
            floats[place] = f64::from_bits(floats[place].to_bits() & rights | left << self.right_bits);
        }
        if !rising || next > count {
            return Err(corrupt("the exceptions of a group of real doubles are not a rising list of its places"));
        }
        Ok(())
    }
}

fn read_head(reader: &mut Reader<'_>, right_bits: u32, at: usize) -> Result<Head> {
    let [entries, exceptions] = reader.array()?.map(usize::from);
    let entries = entries + 1;
    if entries > DICTIONARY_MAX {
        return Err(corrupt(format!("a dictionary of {entries} left parts of doubles")));
    }
    let mut dictionary = [0; LANES];
    for entry in &mut dictionary[..entries] {
        let left = check_left(u16::from_le_bytes(reader.array()?), right_bits)?;
        *entry = (left << (right_bits - 32)) as u32;
    }
    Ok(Head { dictionary, entries, exceptions, at })
}

fn check_left(left: u16, right_bits: u32) -> Result<u64> {
    if u64::from(left) >> (64 - right_bits) > 0 {
        return Err(corrupt("the left part of a double reaches into its right one"));
    }
    Ok(u64::from(left))
}

/// Appends all values; nothing and `false` where that saves less than one bit in 32.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) -> bool {
    let Some(right_bits) = find_cut(values) else { return false };
    let kernels = Kernels::best();
    let from = out.len();
    let mut packed = Vec::with_capacity(values.len() * 7);
    out.push(right_bits as u8);
    for group in values.chunks(GROUP) {
        let plan = Plan::of(&sorted_lefts(group)[..group.len()], right_bits);
        out.extend([plan.entries as u8 - 1, plan.exceptions as u8]);
        out.extend(plan.entries().iter().flat_map(|left| left.to_le_bytes()));
        put_group(group, right_bits, &plan, kernels, &mut packed);
    }
    out.extend_from_slice(&packed);
    let raw_bytes = size_of_val(values);
    let saves = out.len() - from <= raw_bytes - raw_bytes / 32;
    if !saves {
        out.truncate(from);
    }
    saves
}

fn put_group(values: &[f64], right_bits: u32, plan: &Plan, kernels: &Kernels, out: &mut Vec<u8>) {
    let [mut codes, mut lower, mut upper] = [[0; GROUP]; 3];
    let (mut places, mut lefts) = ([0; GROUP], [0; GROUP]);
    let mut exceptions = 0;
    let upper_mask = (1_u32 << (right_bits - 32)) - 1;
    for (place, value) in values.iter().enumerate() {
        let bits = value.to_bits();
        let left = (bits >> right_bits) as u16;
        (lower[place], upper[place]) = (bits as u32, (bits >> 32) as u32 & upper_mask);
        match plan.entries().iter().position(|entry| *entry == left) {
            Some(code) => codes[place] = code as u32,
            None => {
                (places[exceptions], lefts[exceptions]) = (place as u8, left);
                exceptions += 1;
            }
        }
    }
    put_lanes(&codes, code_bits(plan.entries), values.len(), kernels, out);
    put_lanes(&lower, 32, values.len(), kernels, out);
    put_lanes(&upper, right_bits - 32, values.len(), kernels, out);
    out.extend_from_slice(&places[..exceptions]);
    out.extend(lefts[..exceptions].iter().flat_map(|left| left.to_le_bytes()));
}

/// The longest left parts of a group, in order: of a shorter cut, each is such a one shifted, and the order stays.
fn sorted_lefts(values: &[f64]) -> [u16; GROUP] {
    let mut lefts = [u16::MAX; GROUP];
    for (left, value) in lefts.iter_mut().zip(values) {
        *left = (value.to_bits() >> (64 - LEFT_BITS_MAX)) as u16;
    }
    lefts[..values.len()].sort_unstable();
    lefts
}

/// A dictionary for a group.
struct Plan {
    /// The most frequent left parts, these first.
    dictionary: [u16; DICTIONARY_MAX],
    entries: usize,
    /// How many values have another one.
    exceptions: usize,
    /// What the group takes.
    bits: usize,
}

impl Plan {
    /// The best dictionary for 1 to 256 values, of which the longest left parts are given in order.
    fn of(sorted: &[u16], right_bits: u32) -> Self {
        let shift = right_bits - (64 - LEFT_BITS_MAX);
        let mut dictionary = [0; DICTIONARY_MAX];
        let mut counts = [0_usize; DICTIONARY_MAX];
        for run in sorted.chunk_by(|a, b| *a >> shift == *b >> shift) {
            let place = counts.iter().position(|count| *count < run.len()).unwrap_or(DICTIONARY_MAX);
            if place < DICTIONARY_MAX {
                counts[place..].rotate_right(1);
                dictionary[place..].rotate_right(1);
                (counts[place], dictionary[place]) = (run.len(), run[0] >> shift);
            }
        }
        let found = counts.iter().filter(|count| **count > 0).count();
        let cost = |entries: usize| {
            let exceptions = sorted.len() - counts[..entries].iter().sum::<usize>();
            let bits = sorted.len() * (right_bits + code_bits(entries)) as usize + exceptions * EXCEPTION_BITS;
            (bits + (2 + 2 * entries) * 8, entries, exceptions)
        };
        let sizes = [1, 2, 4, DICTIONARY_MAX].map(|most| cost(found.min(most)));
        let (bits, entries, exceptions) = sizes.into_iter().min().unwrap_or_default();
        Self { dictionary, entries, exceptions, bits }
    }

    fn entries(&self) -> &[u16] {
        &self.dictionary[..self.entries]
    }
}

/// How many bits the right parts should have, after some groups; `None` where none saves enough.
fn find_cut(values: &[f64]) -> Option<u32> {
    let groups = values.len().div_ceil(GROUP);
    let sample = values.chunks(GROUP).step_by(groups.div_ceil(SAMPLE_GROUPS).max(1));
    let mut costs = [0_usize; LEFT_BITS_MAX as usize];
    let mut raw_bits = 0;
    for group in sample {
        let lefts = sorted_lefts(group);
        for (cost, right_bits) in costs.iter_mut().zip(64 - LEFT_BITS_MAX..) {
            *cost += Plan::of(&lefts[..group.len()], right_bits).bits;
        }
        raw_bits += size_of_val(group) * 8;
    }
    let (cost, right_bits) = costs.into_iter().zip(64 - LEFT_BITS_MAX..).min()?;
    (cost <= raw_bits - raw_bits / 32).then_some(right_bits)
}
