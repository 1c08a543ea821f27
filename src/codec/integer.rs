//! Integers in groups of 256: each group is packed in the narrowest way that it allows.
//!
//! Guarantees: exact for all `i64` (differences wrap around); a group is readable alone; differences are used only where
//! they save at least a fifth of the bits, because a plain group decodes faster and can be summed without unpacking.
//!
//! A group is predicted and what is left is packed with one width; the few values that are wider have their upper bits
//! in a list of patches behind (as in "patched frame of reference": M. Zukowski et al., ICDE 2006).

use crate::error::Result;

use super::bits::{GROUP, pack, packed_bytes, unpack};
use crate::bytes::{Reader, corrupt, put_signed, unzigzag, varint_bytes, with_room, zigzag};

/// The fewest bytes that any group takes: its head and one parameter.
pub(super) const GROUP_BYTES_MIN: usize = 3;
/// Groups as small as this in the first way are not tried in another.
const SMALL_ENOUGH_BITS: usize = 64;

/// How a group predicts its values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// Value = base + rest.
    Frame = 0,
    /// Value = previous value + signed rest.
    Difference = 1,
    /// Value = previous value + base + rest: counters and times.
    RisingDifference = 2,
    /// Value = first + place * slope / 256 + base + rest: jittered times.
    Line = 3,
}

/// The widths that a group's rests are packed with, and what that costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) width: u32,
    pub(super) patch_width: u32,
    /// How many rests are wider than the width.
    pub(super) patches: u8,
    pub(super) bits: usize,
}

/// A way to write a group: what stands in front of the packed rests.
struct Plan {
    mode: Mode,
    parameters: [i64; 3],
    widths: Widths,
}

impl Plan {
    fn parameters(&self) -> &[i64] {
        let count = match self.mode {
            Mode::Frame | Mode::Difference => 1,
            Mode::RisingDifference => 2,
            Mode::Line => 3,
        };
        &self.parameters[..count]
    }

    fn bits(&self) -> usize {
        self.widths.bits + self.parameters().iter().map(|value| 8 * varint_bytes(zigzag(*value))).sum::<usize>()
    }
}

/// Appends all values in groups.
pub(super) fn encode(values: &[i64], out: &mut Vec<u8>) {
    for group in values.chunks(GROUP) {
        encode_group(group, out);
    }
}

/// Reads `count` values in groups, to the end of the reader.
pub(super) fn decode(mut reader: Reader<'_>, count: usize) -> Result<Vec<i64>> {
    let mut values = room_for(&reader, count)?;
    let mut group = [0_i64; GROUP];
    while values.len() < count {
        let length = GROUP.min(count - values.len());
        decode_group(&mut reader, length, &mut group)?;
        values.extend_from_slice(&group[..length]);
    }
    reader.finish()?;
    Ok(values)
}

/// A vector for `count` values in groups, once the reader has bytes enough for so many groups.
pub(super) fn room_for<T>(reader: &Reader<'_>, count: usize) -> Result<Vec<T>> {
    if reader.left() / GROUP_BYTES_MIN < count.div_ceil(GROUP) {
        return Err(corrupt(format!("{} bytes are too few for {count} values", reader.left())));
    }
    with_room(count)
}

/// Appends one group of 1 to 256 values.
pub(super) fn encode_group(values: &[i64], out: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let mut rests = [0_u64; GROUP];
    let frame = plan_frame(values, &mut rests);
    let small = frame.widths.bits <= SMALL_ENOUGH_BITS;
    if small || values.len() < 3 {
        return write_group(&frame, &rests, values.len(), out);
    }
    let mut other_rests = [0_u64; GROUP];
    let (lowest, highest) = difference_range(values);
    let mut other = if lowest >= 0 || highest <= 0 {
        plan_rising(values, lowest, &mut other_rests)
    } else {
        plan_difference(values, first, &mut other_rests)
    };
    // A line is worth trying where differences of a rising group still need bits for every value.
    if other.mode == Mode::RisingDifference && other.widths.width > 1 {
        let mut line_rests = [0_u64; GROUP];
        if let Some(line) = plan_line(values, &mut line_rests).filter(|line| line.bits() < other.bits()) {
            (other, other_rests) = (line, line_rests);
        }
    }
    if other.bits() * 5 <= frame.bits() * 4 {
        write_group(&other, &other_rests, values.len(), out);
    } else {
        write_group(&frame, &rests, values.len(), out);
    }
}

fn plan_frame(values: &[i64], rests: &mut [u64; GROUP]) -> Plan {
    let lowest = values.iter().copied().fold(i64::MAX, i64::min);
    for (rest, value) in rests.iter_mut().zip(values) {
        *rest = value.wrapping_sub(lowest) as u64;
    }
    Plan { mode: Mode::Frame, parameters: [lowest, 0, 0], widths: choose_widths(&rests[..values.len()]) }
}

/// The lowest and highest wrapped difference of neighbours.
fn difference_range(values: &[i64]) -> (i64, i64) {
    let later = values.get(1..).unwrap_or_default();
    values.iter().zip(later).fold((i64::MAX, i64::MIN), |(lowest, highest), (previous, value)| {
        let difference = value.wrapping_sub(*previous);
        (lowest.min(difference), highest.max(difference))
    })
}

fn plan_difference(values: &[i64], first: i64, rests: &mut [u64; GROUP]) -> Plan {
    let later = values.get(1..).unwrap_or_default();
    for (rest, (previous, value)) in rests[1..].iter_mut().zip(values.iter().zip(later)) {
        *rest = zigzag(value.wrapping_sub(*previous));
    }
    Plan { mode: Mode::Difference, parameters: [first, 0, 0], widths: choose_widths(&rests[..values.len()]) }
}

fn plan_rising(values: &[i64], lowest: i64, rests: &mut [u64; GROUP]) -> Plan {
    let later = values.get(1..).unwrap_or_default();
    for (rest, (previous, value)) in rests[1..].iter_mut().zip(values.iter().zip(later)) {
        *rest = value.wrapping_sub(*previous).wrapping_sub(lowest) as u64;
    }
    let first = values.first().copied().unwrap_or_default();
    Plan { mode: Mode::RisingDifference, parameters: [first, lowest, 0], widths: choose_widths(&rests[..values.len()]) }
}

/// A straight line from the first to the last value; `None` where its slope has no room for 8 fractional bits.
fn plan_line(values: &[i64], rests: &mut [u64; GROUP]) -> Option<Plan> {
    let (first, last) = (*values.first()?, *values.last()?);
    let slope =
        last.checked_sub(first)?.checked_mul(256)? / i64::try_from(values.len() - 1).ok().filter(|steps| *steps > 0)?;
    slope.checked_mul(GROUP as i64)?;
    let residual = |place: usize, value: i64| value.wrapping_sub(on_line(first, slope, place));
    let lowest = values.iter().enumerate().map(|(place, value)| residual(place, *value)).min()?;
    for (place, (rest, value)) in rests.iter_mut().zip(values).enumerate() {
        *rest = residual(place, *value).wrapping_sub(lowest) as u64;
    }
    Some(Plan { mode: Mode::Line, parameters: [first, slope, lowest], widths: choose_widths(&rests[..values.len()]) })
}

/// The line's value at a place: the slope counts 256ths.
fn on_line(first: i64, slope: i64, place: usize) -> i64 {
    first.wrapping_add(slope.wrapping_mul(place as i64) >> 8)
}

/// The width that makes packed rests and patches together smallest.
pub(super) fn choose_widths(rests: &[u64]) -> Widths {
    let highest_bits = u64::BITS - rests.iter().fold(0, |all, rest| all | rest).leading_zeros();
    choose_among(rests, (u64::BITS, highest_bits), |rest| rest.leading_zeros())
}

/// The same of rests of 32 bits.
#[inline(always)]
pub(super) fn choose_narrow_widths(rests: &[u32]) -> Widths {
    let highest_bits = u32::BITS - rests.iter().fold(0, |all, rest| all | rest).leading_zeros();
    choose_among(rests, (u32::BITS, highest_bits), |rest| rest.leading_zeros())
}

/// The best width for rests of a number of bits, of which those above so many are zeros in all; `zeros` says how many are in one.
#[inline(always)]
fn choose_among<R>(rests: &[R], (all_bits, highest_bits): (u32, u32), zeros: impl Fn(&R) -> u32) -> Widths {
    let mut best =
        Widths { width: highest_bits, patch_width: 0, patches: 0, bits: rests.len() * highest_bits as usize };
    if highest_bits <= 1 && rests.len() < 64 {
        return best;
    }
    // Four histograms side by side: one would wait for its own last store wherever neighbours are equally long.
    let mut histograms = [[0_u16; 128]; 4];
    let (quads, tail) = rests.as_chunks::<4>();
    for quad in quads {
        for (histogram, rest) in histograms.iter_mut().zip(quad) {
            histogram[zeros(rest) as usize & 127] += 1;
        }
    }
    for rest in tail {
        histograms[0][zeros(rest) as usize & 127] += 1;
    }
    let mut wider = 0_usize;
    for width in (0..highest_bits).rev() {
        let longer = (all_bits - width - 1) as usize & 127;
        wider += histograms.iter().map(|histogram| usize::from(histogram[longer])).sum::<usize>();
        let patch_width = highest_bits - width;
        let patch_bits = 8 + wider * (8 + patch_width as usize);
        // A smaller width has no fewer patches, and they are wider.
        if wider > usize::from(u8::MAX) || patch_bits > best.bits {
            break;
        }
        let bits = rests.len() * width as usize + patch_bits;
        if bits < best.bits {
            best = Widths { width, patch_width, patches: wider as u8, bits };
        }
    }
    best
}

fn write_group(plan: &Plan, rests: &[u64; GROUP], count: usize, out: &mut Vec<u8>) {
    let Widths { width, patch_width, .. } = plan.widths;
    let head = width as u16 | (plan.mode as u16) << 7 | (patch_width as u16) << 9;
    out.extend_from_slice(&head.to_le_bytes());
    for parameter in plan.parameters() {
        put_signed(*parameter, out);
    }
    if patch_width == 0 {
        return pack(rests, count, width, out);
    }
    let mask = (1_u64 << width) - 1;
    let lower = rests.map(|rest| rest & mask);
    pack(&lower, count, width, out);
    let mut upper = [0_u64; GROUP];
    let mut places = [0_u8; GROUP];
    let mut patches = 0;
    for (place, rest) in rests[..count].iter().enumerate() {
        upper[patches] = rest >> width;
        places[patches] = place as u8;
        patches += usize::from(*rest > mask);
        if patches == usize::from(u8::MAX) {
            break;
        }
    }
    out.push(patches as u8);
    out.extend_from_slice(&places[..patches]);
    upper[patches..].fill(0);
    pack(&upper, patches, patch_width, out);
}

/// Reads one group of 1 to 256 values; the places from `count` on are unspecified.
pub(super) fn decode_group(reader: &mut Reader<'_>, count: usize, values: &mut [i64; GROUP]) -> Result<()> {
    let head = u16::from_le_bytes(reader.array()?);
    let (width, mode, patch_width) = (u32::from(head & 0x7f), head >> 7 & 3, u32::from(head >> 9));
    if width + patch_width > u64::BITS {
        return Err(corrupt(format!("a group of integers has {width} and {patch_width} bits a value")));
    }
    let first = reader.signed()?;
    let second = if mode >= 2 { reader.signed()? } else { 0 };
    let third = if mode == 3 { reader.signed()? } else { 0 };
    let mut rests = [0_u64; GROUP];
    if !unpack(reader.take(packed_bytes(count, width))?, count, width, &mut rests) {
        return Err(corrupt("a group of integers has bits after its last value"));
    }
    if patch_width > 0 {
        apply_patches(reader, count, width, patch_width, &mut rests)?;
    }
    match mode {
        0 => frame_values(first, &rests, values),
        1 => difference_values(first, &rests, values)?,
        2 => rising_values(first, second, &rests, values)?,
        _ => line_values([first, second, third], &rests, values),
    }
    Ok(())
}

fn apply_patches(
    reader: &mut Reader<'_>,
    count: usize,
    width: u32,
    patch_width: u32,
    rests: &mut [u64; GROUP],
) -> Result<()> {
    let patches = usize::from(reader.byte()?);
    let places = reader.take(patches)?;
    let rising = places.windows(2).all(|pair| pair[0] < pair[1]);
    if !rising || places.last().is_none_or(|last| usize::from(*last) >= count) {
        return Err(corrupt("the patches of a group of integers are not a rising list of its places"));
    }
    let mut upper = [0_u64; GROUP];
    if !unpack(reader.take(packed_bytes(patches, patch_width))?, patches, patch_width, &mut upper) {
        return Err(corrupt("a group of integers has bits after its last patch"));
    }
    for (place, bits) in places.iter().zip(upper) {
        if bits == 0 {
            return Err(corrupt("a group of integers has a patch that changes nothing"));
        }
        rests[usize::from(*place)] |= bits << width;
    }
    Ok(())
}

fn frame_values(base: i64, rests: &[u64; GROUP], values: &mut [i64; GROUP]) {
    for (value, rest) in values.iter_mut().zip(rests) {
        *value = base.wrapping_add(*rest as i64);
    }
}

fn difference_values(first: i64, rests: &[u64; GROUP], values: &mut [i64; GROUP]) -> Result<()> {
    if rests[0] != 0 {
        return Err(corrupt("a group of differences does not begin with its first value"));
    }
    let mut value = first;
    for (place, rest) in values.iter_mut().zip(rests) {
        value = value.wrapping_add(unzigzag(*rest));
        *place = value;
    }
    Ok(())
}

fn rising_values(first: i64, step: i64, rests: &[u64; GROUP], values: &mut [i64; GROUP]) -> Result<()> {
    if rests[0] != 0 {
        return Err(corrupt("a group of differences does not begin with its first value"));
    }
    let mut value = first.wrapping_sub(step);
    for (place, rest) in values.iter_mut().zip(rests) {
        value = value.wrapping_add(step).wrapping_add(*rest as i64);
        *place = value;
    }
    Ok(())
}

fn line_values([first, slope, base]: [i64; 3], rests: &[u64; GROUP], values: &mut [i64; GROUP]) {
    for (place, (value, rest)) in values.iter_mut().zip(rests).enumerate() {
        *value = on_line(first, slope, place).wrapping_add(base).wrapping_add(*rest as i64);
    }
}
