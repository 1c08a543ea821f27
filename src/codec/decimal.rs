//! Floats that are decimals with a few places: as integers, and the others patched.
//!
//! Guarantees: bit-exact. A float is written as an integer only where the decoder's own arithmetic gives back its very bits;
//! every other one (NaN with any payload, -0.0, infinities, a stray double) stands bit for bit in a list of exceptions.
//!
//! The idea is ALP's (A. Afroozeh et al., SIGMOD 2024), with a division in place of its pair of multiplications: the
//! quotient of an integer below 2^53 and a power of ten up to 10^22 is the double nearest to that decimal, which is what
//! parsers and rounding programs produce, so that one exponent is enough and no decimal becomes an exception.

use crate::error::Result;

use super::bits::{GROUP, groups_of};
use super::compressed::{self, Group, Integers};
use super::grouped::Grouped;
use super::integer::{decode_group, room_for};
use super::kernels::{Factor, Kernels, Scaling};
use super::lanes::Aligned;
use crate::bytes::{Reader, corrupt, put_varint, with_room};

/// Powers of ten that are exact doubles, as many as are tried.
const POWERS: [f64; 19] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
/// The same, inverted, as a program that multiplies by "0.01" has them.
const INVERSES: [f64; 19] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17,
    1e-18,
];
/// 1.5 * 2^52: adding it rounds a double below 2^51 to an integer, which then lies in the lower bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Integers from minus this to below it pass through [`ROUNDER`].
const INTEGER_LIMIT: i64 = 1 << 51;
/// The least and the greatest integer of a decimal.
const INTEGER_BOUNDS: (i64, i64) = (-INTEGER_LIMIT, INTEGER_LIMIT - 1);
/// How many values the search for a scale looks at.
const SAMPLES: usize = 32;
/// One value in so many may be an exception.
const EXCEPTION_SHARE: usize = 20;
/// From one exception in so many values on, a finer scale is tried beside: exceptions then take a quarter of a bit a value.
const FINER_SHARE: usize = 288;
/// The fewest bytes that an exception takes.
const EXCEPTION_BYTES_MIN: usize = 9;

/// Form and decimal places, one byte in the file: form * 32 + places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Scale {
    form: Scaling,
    places: u8,
}

impl Scale {
    fn byte(self) -> u8 {
        self.form as u8 * 32 + self.places
    }

    fn from_byte(byte: u8) -> Result<Self> {
        let form = match byte / 32 {
            0 => Scaling::Quotient,
            1 => Scaling::Single,
            2 => Scaling::Product,
            _ => return Err(corrupt(format!("{byte} is no scale of decimals"))),
        };
        let places = byte % 32;
        if usize::from(places) >= POWERS.len() {
            return Err(corrupt(format!("{byte} is no scale of decimals")));
        }
        Ok(Self { form, places })
    }

    fn power(self) -> f64 {
        POWERS[usize::from(self.places) % POWERS.len()]
    }

    fn inverse(self) -> f64 {
        INVERSES[usize::from(self.places) % INVERSES.len()]
    }

    /// The same for the kernels.
    fn factor(self) -> Factor {
        Factor::new(self.form, if self.form == Scaling::Product { self.inverse() } else { self.power() })
    }

    /// The integer of a value, and whether the decoder gets back the value's bits from it.
    fn to_integer(self, value: f64) -> (i64, bool) {
        match self.form {
            Scaling::Quotient => to_integer(value, self.power(), |whole| whole / self.power()),
            Scaling::Single => to_integer(value, self.power(), |whole| f64::from((whole / self.power()) as f32)),
            Scaling::Product => to_integer(value, self.power(), |whole| whole * self.inverse()),
        }
    }
}

#[inline(always)]
fn to_integer(value: f64, power: f64, back: impl Fn(f64) -> f64) -> (i64, bool) {
    let rounded = value * power + ROUNDER;
    let integer = (rounded.to_bits() as i64).wrapping_sub(ROUNDER.to_bits() as i64);
    // NaN and infinities leave this range too: their exponent bits are all ones.
    let in_range = (integer.wrapping_add(INTEGER_LIMIT) as u64) < 2 * INTEGER_LIMIT as u64;
    (integer, in_range & (back(rounded - ROUNDER).to_bits() == value.to_bits()))
}

/// Appends the values as scaled integers by one of the ways to write integers; `false`, and `out` is to be cut, where too few are
/// decimals, or that way fails.
pub(super) fn encode(values: &[f64], put_integers: impl Fn(&[i64], &mut Vec<u8>) -> bool, out: &mut Vec<u8>) -> bool {
    let Some(scale) = find_scale(values, None) else { return false };
    let scaled = Scaled::of(values, scale);
    // The sample missed values with more places: look at some of those too.
    let finer = scaled.finer_scale(values).map(|finer| Scaled::of(values, finer));
    let ways = [Some(scaled), finer].into_iter().flatten().filter(|scaled| !scaled.has_too_many);
    let written = ways.filter_map(|scaled| {
        let mut bytes = Vec::new();
        scaled.put(values, &mut bytes);
        put_integers(&scaled.integers, &mut bytes).then_some(bytes)
    });
    written.min_by_key(Vec::len).inspect(|bytes| out.extend_from_slice(bytes)).is_some()
}

/// Values as integers of a scale.
struct Scaled {
    scale: Scale,
    integers: Vec<i64>,
    /// Places of values that are no decimals of the scale.
    exceptions: Vec<usize>,
    /// Where there are, the rest was not looked at.
    has_too_many: bool,
}

impl Scaled {
    fn of(values: &[f64], scale: Scale) -> Self {
        let (kernels, limit) = (Kernels::best(), values.len() / EXCEPTION_SHARE + 1);
        let mut exceptions: Vec<usize> = Vec::new();
        let mut all = vec![0; values.len()];
        let mut last_good = 0;
        for (number, (group, integers)) in values.chunks(GROUP).zip(all.chunks_mut(GROUP)).enumerate() {
            if kernels.scale(group, (scale.form, scale.power(), scale.inverse()), integers) == 0 {
                last_good = integers.last().copied().unwrap_or_default();
                continue;
            }
            for (place, (value, integer)) in group.iter().zip(integers.iter_mut()).enumerate() {
                let (good, exact) = scale.to_integer(*value);
                if exact {
                    last_good = good;
                } else {
                    // The neighbour's integer in its place costs the packing least.
                    *integer = last_good;
                    exceptions.push(number * GROUP + place);
                }
            }
            if exceptions.len() > limit {
                break;
            }
        }
        Self { scale, integers: all, has_too_many: exceptions.len() > limit, exceptions }
    }

    /// A scale with more places that may fit what this one does not, where that costs enough to look for one.
    fn finer_scale(&self, values: &[f64]) -> Option<Scale> {
        if self.exceptions.len() * FINER_SHARE < values.len() {
            return None;
        }
        let failed: Vec<f64> = self.exceptions.iter().filter_map(|place| values.get(*place)).copied().collect();
        find_scale(&failed, Some(self.scale)).filter(|finer| *finer != self.scale)
    }

    /// Appends scale and exceptions.
    fn put(&self, values: &[f64], out: &mut Vec<u8>) {
        out.push(self.scale.byte());
        put_varint(self.exceptions.len() as u64, out);
        let mut next = 0;
        for place in &self.exceptions {
            put_varint((place - next) as u64, out);
            next = place + 1;
            out.extend_from_slice(&values[*place].to_bits().to_le_bytes());
        }
    }
}

/// The scale with the fewest places that fits nearly all of a sample; only such with at least the places of `at_least`.
fn find_scale(values: &[f64], at_least: Option<Scale>) -> Option<Scale> {
    let stride = values.len().div_ceil(SAMPLES).max(1);
    let sample = || values.iter().step_by(stride);
    let allowed = sample().count() / 8;
    let forms = [Scaling::Quotient, Scaling::Single, Scaling::Product];
    let mut best: Option<(usize, Scale)> = None;
    for form in forms.into_iter().filter(|form| at_least.is_none_or(|scale| scale.form == *form)) {
        for places in at_least.map_or(0, |scale| scale.places)..POWERS.len() as u8 {
            let scale = Scale { form, places };
            let mut failures = 0;
            for value in sample() {
                failures += usize::from(!scale.to_integer(*value).1);
                if failures > allowed {
                    break;
                }
            }
            if failures <= allowed && best.is_none_or(|(fewest, _)| failures < fewest) {
                best = Some((failures, scale));
            }
            if failures == 0 {
                return Some(scale);
            }
        }
    }
    best.map(|(_, scale)| scale)
}

/// Scales a group by a power of ten and its inverse; returns how many values are no such decimals.
#[inline(always)]
pub(super) fn scale_group(values: &[f64], (form, power, inverse): (Scaling, f64, f64), integers: &mut [i64]) -> u64 {
    match form {
        Scaling::Quotient => scale_all(values, integers, power, |whole| whole / power),
        Scaling::Single => scale_all(values, integers, power, |whole| f64::from((whole / power) as f32)),
        Scaling::Product => scale_all(values, integers, power, |whole| whole * inverse),
    }
}

#[inline(always)]
fn scale_all(values: &[f64], integers: &mut [i64], power: f64, back: impl Fn(f64) -> f64) -> u64 {
    let mut failures = 0;
    for (value, place) in values.iter().zip(integers) {
        let (integer, exact) = to_integer(*value, power, &back);
        *place = integer;
        failures += u64::from(!exact);
    }
    failures
}

/// Reads `count` floats, to the end of the reader.
pub(super) fn decode(mut reader: Reader<'_>, count: usize) -> Result<Vec<f64>> {
    let scale = Scale::from_byte(reader.byte()?)?;
    let exceptions = read_exceptions(&mut reader, count)?;
    let mut values: Vec<f64> = room_for(&reader, count)?;
    let mut integers = [0_i64; GROUP];
    while values.len() < count {
        let length = GROUP.min(count - values.len());
        decode_group(&mut reader, length, &mut integers)?;
        let floats = floats_of(&mut integers, length, scale)?;
        values.extend_from_slice(&floats[..length]);
    }
    put_exceptions(exceptions, &mut values);
    reader.finish()?;
    Ok(values)
}

/// Reads `count` floats whose integers are compressed, to the end of the reader.
pub(super) fn decode_compressed(mut reader: Reader<'_>, count: usize) -> Result<Vec<f64>> {
    let scale = Scale::from_byte(reader.byte()?)?;
    let exceptions = read_exceptions(&mut reader, count)?;
    let integers = Integers::read(reader)?;
    let lowest = integers.lowest;
    check_integer(lowest)?;
    let may_pass = lowest > INTEGER_BOUNDS.1 - i64::from(u32::MAX);
    let kernels = Kernels::best();
    let mut values: Vec<f64> = compressed::room_for(count)?;
    let (mut floats, factor) = (Aligned([0.0; GROUP]), scale.factor());
    integers.each_group(count, |group, length| {
        match group {
            Group::Distances(distances) => {
                if may_pass {
                    let highest = distances[..length].iter().fold(0, |highest, distance| highest.max(*distance));
                    check_integer(lowest + i64::from(highest))?;
                }
                kernels.floats(distances, lowest, &factor, &mut floats);
            }
            Group::Integers(integers) => *floats = floats_of(integers, length, scale)?,
        }
        values.extend_from_slice(&floats[..length]);
        Ok(())
    })?;
    put_exceptions(exceptions, &mut values);
    Ok(values)
}

/// Refuses what does not pass through [`ROUNDER`].
fn check_integer(integer: i64) -> Result<()> {
    if (INTEGER_BOUNDS.0..=INTEGER_BOUNDS.1).contains(&integer) {
        return Ok(());
    }
    Err(corrupt("an integer is too large for a decimal"))
}

fn put_exceptions(exceptions: Vec<(usize, f64)>, values: &mut [f64]) {
    for (place, value) in exceptions {
        if let Some(room) = values.get_mut(place) {
            *room = value;
        }
    }
}

/// Floats whose integers lie in groups with their heads in front.
#[derive(Debug)]
pub(super) struct GroupedDecimals<'a> {
    scale: Scale,
    pub(super) factor: Factor,
    /// Places and values, rising.
    exceptions: Vec<(usize, f64)>,
    pub(super) groups: Grouped<'a>,
}

impl<'a> GroupedDecimals<'a> {
    /// Reads scale, exceptions and heads of `count` floats, which reach to the end of the reader.
    pub(super) fn read(mut reader: Reader<'a>, count: usize) -> Result<Self> {
        let scale = Scale::from_byte(reader.byte()?)?;
        let exceptions = read_exceptions(&mut reader, count)?;
        let groups = Grouped::read_within(reader, count, INTEGER_BOUNDS)?;
        Ok(Self { scale, factor: scale.factor(), exceptions, groups })
    }

    /// Whether sums of the integers are, scaled, those of the values: not where each is rounded to 32 bits.
    pub(super) fn adds_up(&self) -> bool {
        self.scale.form != Scaling::Single
    }

    /// The value of an integer.
    pub(super) fn value(&self, integer: i64) -> f64 {
        match self.scale.form {
            Scaling::Quotient => integer as f64 / self.scale.power(),
            Scaling::Single => f64::from((integer as f64 / self.scale.power()) as f32),
            Scaling::Product => integer as f64 * self.scale.inverse(),
        }
    }

    /// What any multiple of integers is as values, where these add up.
    pub(super) fn scaled(&self, integers: f64) -> f64 {
        match self.scale.form {
            Scaling::Product => integers * self.scale.inverse(),
            _ => integers / self.scale.power(),
        }
    }

    /// The exceptions among some places.
    pub(super) fn exceptions_in(&self, places: std::ops::Range<usize>) -> &[(usize, f64)] {
        let from = self.exceptions.partition_point(|(place, _)| *place < places.start);
        let to = self.exceptions.partition_point(|(place, _)| *place < places.end);
        &self.exceptions[from..to]
    }

    /// The values of some places (none behind the last); only groups that hold some of them are unpacked.
    pub(super) fn decode(&self, places: std::ops::Range<usize>) -> Result<Vec<f64>> {
        let kernels = Kernels::best();
        let mut values: Vec<f64> = with_room(places.len())?;
        let (mut offsets, mut floats) = (Aligned([0; GROUP]), Aligned([0.0; GROUP]));
        let mut integers = [0; GROUP];
        for (group, within) in groups_of(places.clone()) {
            let head = &self.groups.heads()[group];
            if head.is_narrow() {
                self.groups.floats(group, (kernels, &self.factor), &mut offsets, &mut floats)?;
            } else {
                self.groups.values(group, kernels, &mut integers)?;
                *floats = floats_of(&mut integers, self.groups.length(group), self.scale)?;
            }
            values.extend_from_slice(&floats[within]);
        }
        for (place, value) in self.exceptions_in(places.clone()) {
            values[place - places.start] = *value;
        }
        Ok(values)
    }
}

fn read_exceptions(reader: &mut Reader<'_>, count: usize) -> Result<Vec<(usize, f64)>> {
    let stated = reader.length()?;
    if stated > count || stated > reader.left() / EXCEPTION_BYTES_MIN {
        return Err(corrupt(format!("{stated} exceptions among {count} floats")));
    }
    let mut exceptions = Vec::with_capacity(stated);
    let mut next = 0_usize;
    for _ in 0..stated {
        let place = reader.length()?.checked_add(next).filter(|place| *place < count);
        let place = place.ok_or_else(|| corrupt("an exception lies behind the last float"))?;
        exceptions.push((place, f64::from_bits(u64::from_le_bytes(reader.array()?))));
        next = place + 1;
    }
    Ok(exceptions)
}

/// The floats of a group; the integers from `length` on are set to zero first.
fn floats_of(integers: &mut [i64; GROUP], length: usize, scale: Scale) -> Result<[f64; GROUP]> {
    integers[length..].fill(0);
    let outside = integers.iter().fold(0, |all, integer| all | integer.wrapping_add(INTEGER_LIMIT) as u64);
    if outside >= 2 * INTEGER_LIMIT as u64 {
        return Err(corrupt("an integer is too large for a decimal"));
    }
    let (power, inverse) = (scale.power(), scale.inverse());
    let whole = |integer: &i64| f64::from_bits(ROUNDER.to_bits().wrapping_add(*integer as u64)) - ROUNDER;
    let mut floats = [0.0; GROUP];
    let pairs = floats.iter_mut().zip(integers.iter());
    match scale.form {
        Scaling::Quotient => pairs.for_each(|(float, integer)| *float = whole(integer) / power),
        Scaling::Single => pairs.for_each(|(float, integer)| *float = f64::from((whole(integer) / power) as f32)),
        Scaling::Product => pairs.for_each(|(float, integer)| *float = whole(integer) * inverse),
    }
    Ok(floats)
}
