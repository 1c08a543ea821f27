//! Times where they lie packed: which rows a stretch of time has is found by the heads of groups, and only groups that a border
//! falls into are unpacked.
//!
//! Guarantees: every answer is that of the decoded times. Heads are checked when they are read, a group when it is unpacked:
//! groups that nobody looks into may hold what is not noticed, but the checksum of the block stands over all of them.

use crate::bytes::Reader;
use crate::error::Result;

use super::bits::GROUP;
use super::grouped::{Grouped, Head};
use super::kernels::Kernels;
use super::times::{check_rising, read_regular, read_start, rising_error};
use super::{COUNT_MAX, decode_times, time_code};

/// Encoded times that are asked about without decoding all of them.
#[derive(Debug)]
pub struct PackedTimes<'a> {
    rows: usize,
    form: Form<'a>,
    /// The group that is unpacked.
    unpacked: Option<usize>,
    times: Box<[i64; GROUP]>,
    /// How far the last row that was looked for lay from where the search began.
    apart: usize,
}

#[derive(Debug)]
enum Form<'a> {
    /// A start, and the step to each next one.
    Regular(i64, i64),
    Grouped {
        start: i64,
        unit_ns: u64,
        limit: u64,
        groups: Grouped<'a>,
    },
    Decoded(Vec<i64>),
}

/// What is known of the times of a group.
#[derive(Clone, Copy, Debug)]
pub enum GroupTimes<'t> {
    /// The first one, and the step to each next one; the times are those of [`Self::at`].
    Regular(i64, i64),
    /// All of them.
    Listed(&'t [i64]),
}

impl GroupTimes<'_> {
    /// The time of a place in the group. Of a regular group any place has one.
    ///
    /// # Panics
    /// For a place that is not in the list.
    #[must_use]
    pub fn at(&self, place: usize) -> i64 {
        match self {
            // The last time less the first may pass 2^63.
            Self::Regular(first, step_ns) => first.wrapping_add((place as i64).wrapping_mul(*step_ns)),
            Self::Listed(times) => times[place],
        }
    }
}

impl<'a> PackedTimes<'a> {
    /// Reads encoded times of so many rows; those that are not packed in groups are decoded.
    ///
    /// # Errors
    /// As [`decode_times`].
    pub fn read(bytes: &'a [u8], rows: usize) -> Result<Self> {
        let form = match bytes.first() {
            Some(&time_code::GROUPED) if rows > 0 => {
                let mut reader = Reader::new(&bytes[1..]);
                let (start, unit_ns, limit) = read_start(&mut reader)?;
                let groups = Grouped::read(reader, rows)?;
                let heads = groups.heads();
                let rise = heads.iter().zip(&heads[1..]).all(|(head, next)| head.lowest < next.lowest);
                let last = heads.last().map_or(0, |head| head.lowest as u64);
                if heads.iter().any(|head| head.lowest < 0) {
                    // Times more than 2^63 units apart: integers are not in their order.
                    Form::Decoded(decode_times(bytes, rows)?)
                } else if heads[0].lowest != 0 || !rise || last > limit {
                    return Err(rising_error());
                } else {
                    Form::Grouped { start, unit_ns, limit, groups }
                }
            }
            Some(&time_code::REGULAR) if rows <= COUNT_MAX => match read_regular(Reader::new(&bytes[1..]), rows)? {
                (start, step_ns) if step_ns <= i64::MAX as u64 => Form::Regular(start, step_ns as i64),
                _ => Form::Decoded(decode_times(bytes, rows)?),
            },
            _ => Form::Decoded(decode_times(bytes, rows)?),
        };
        Ok(Self::of(rows, form))
    }

    /// No times.
    pub(crate) fn none() -> Self {
        Self::of(0, Form::Decoded(Vec::new()))
    }

    fn of(rows: usize, form: Form<'a>) -> Self {
        Self { rows, form, unpacked: None, times: Box::new([0; GROUP]), apart: 0 }
    }

    /// How many there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The times of a group of 256 rows (the last one may be shorter).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    ///
    /// # Panics
    /// For a group without rows.
    pub fn group(&mut self, group: usize) -> Result<GroupTimes<'_>> {
        assert!(group < self.rows.div_ceil(GROUP), "{} rows have no group {group}", self.rows);
        let from = group * GROUP;
        let length = GROUP.min(self.rows - from);
        match &self.form {
            Form::Regular(start, step_ns) => {
                Ok(GroupTimes::Regular(start.wrapping_add((from as i64).wrapping_mul(*step_ns)), *step_ns))
            }
            Form::Decoded(times) => Ok(GroupTimes::Listed(&times[from..from + length])),
            Form::Grouped { .. } if self.unpacked == Some(group) => Ok(GroupTimes::Listed(&self.times[..length])),
            Form::Grouped { start, unit_ns, limit, groups } => {
                let head = &groups.heads()[group];
                let last = groups.heads().get(group + 1).map_or(*limit, |next| next.lowest as u64 - 1);
                let at = |offset: u64| start.wrapping_add(offset.wrapping_mul(*unit_ns) as i64);
                let step = head.regular_step(length);
                let step_ns = |step: u64| step.checked_mul(*unit_ns).and_then(|step_ns| i64::try_from(step_ns).ok());
                if let Some((step, step_ns)) = step.and_then(|step| Some((step, step_ns(step)?))) {
                    let end =
                        step.checked_mul(length as u64 - 1).and_then(|lasts| lasts.checked_add(head.lowest as u64));
                    if end.is_none_or(|end| end > last) {
                        return Err(rising_error());
                    }
                    return Ok(GroupTimes::Regular(at(head.lowest as u64), step_ns));
                }
                self.unpacked = None;
                let kernels = Kernels::best();
                if length == GROUP && head.is_narrow() {
                    let mut offsets = [0; GROUP];
                    groups.offsets(group, kernels, &mut offsets)?;
                    let rise = kernels.times(&offsets, at(head.lowest as u64), *unit_ns, &mut self.times);
                    let end = (head.lowest as u64).saturating_add(u64::from(offsets[GROUP - 1]));
                    if !rise || group == 0 && offsets[0] > 0 || end > last {
                        return Err(rising_error());
                    }
                    self.unpacked = Some(group);
                    return Ok(GroupTimes::Listed(&self.times[..length]));
                }
                groups.values(group, kernels, &mut self.times)?;
                let values = &mut self.times[..length];
                let previous = (group > 0).then(|| (head.lowest as u64).wrapping_sub(1));
                check_rising(values, previous, last)?;
                values.iter_mut().for_each(|value| *value = at(*value as u64));
                self.unpacked = Some(group);
                Ok(GroupTimes::Listed(&self.times[..length]))
            }
        }
    }

    /// The time of a row.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    ///
    /// # Panics
    /// For a row that is not there.
    pub fn at(&mut self, row: usize) -> Result<i64> {
        assert!(row < self.rows, "{} rows have no row {row}", self.rows);
        Ok(self.group(row / GROUP)?.at(row % GROUP))
    }

    /// The first row from `row` on whose time is not before an instant; the number of rows where there is none.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    pub fn first_from(&mut self, row: usize, instant: i64) -> Result<usize> {
        if row >= self.rows {
            return Ok(self.rows);
        }
        let group = match &self.form {
            Form::Regular(start, step_ns) => return Ok(first_place(*start, *step_ns, instant, self.rows).max(row)),
            Form::Decoded(times) => return Ok(row + times[row..].partition_point(|time| *time < instant)),
            Form::Grouped { start, unit_ns, groups, .. } => {
                // Heads rise within what times can be: their instants do not wrap.
                let is_before =
                    |head: &Head| start.wrapping_add((head.lowest as u64).wrapping_mul(*unit_ns) as i64) < instant;
                let own = row / GROUP;
                let later = &groups.heads()[own + 1..];
                // Most windows end where they begin: in this group or the next ones.
                own + if later.first().is_none_or(|next| !is_before(next)) {
                    0
                } else {
                    later.partition_point(is_before)
                }
            }
        };
        let (from, apart) = (group * GROUP, self.apart);
        let place = match self.group(group)? {
            GroupTimes::Regular(first, step_ns) => first_place(first, step_ns, instant, GROUP.min(self.rows - from)),
            GroupTimes::Listed(times) => {
                // Windows are mostly as many rows as the one before.
                let guess = (row + apart).wrapping_sub(from);
                if guess.checked_sub(1).is_some_and(|before| times.get(before).is_some_and(|time| *time < instant))
                    && times.get(guess).is_some_and(|time| *time >= instant)
                {
                    guess
                } else {
                    times.partition_point(|time| *time < instant)
                }
            }
        };
        let found = (from + place).max(row);
        self.apart = found - row;
        Ok(found)
    }
}

/// How many steps from a start on reach an instant.
fn steps_to(start: i64, step: u64, instant: i64) -> u64 {
    if instant <= start { 0 } else { (instant.wrapping_sub(start) as u64).div_ceil(step) }
}

/// The first of `count` places, a step apart, that is not before an instant; `count` where there is none.
fn first_place(first: i64, step_ns: i64, instant: i64, count: usize) -> usize {
    usize::try_from(steps_to(first, step_ns as u64, instant)).map_or(count, |place| place.min(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode_times;
    use proptest::prelude::*;

    /// Times of every kind that devices have: regular, with jitter, with holes, wild.
    fn times() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![Just(60_000_000_000_i64), Just(1), 1_i64..5_000_000_000];
        let kind = (0_u8..5, step, any::<u64>(), 1_usize..900, -1_i64 << 60..1 << 60);
        kind.prop_map(|(kind, step, seed, count, start)| {
            let (mut state, mut time) = (seed | 1, start);
            let mut all = Vec::with_capacity(count);
            for _ in 0..count {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let noise = (state >> 40) as i64;
                all.push(time);
                time += match kind {
                    0 => step,
                    1 => step + noise % 1_000,
                    2 if noise % 97 == 0 => step * (1 + noise % 3_000),
                    3 if noise % 400 == 0 => step * 1_000_000,
                    4 => 1 + noise,
                    _ => step,
                };
            }
            all
        })
    }

    proptest! {
        #[test]
        fn rows_are_found_as_in_decoded_times(times in times(), picks in prop::collection::vec((any::<u16>(), -2_i64..3), 1..40)) {
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            let mut packed = PackedTimes::read(&bytes, times.len()).unwrap();
            prop_assert_eq!(packed.rows(), times.len());
            for (pick, beside) in picks {
                let row = usize::from(pick) % times.len();
                prop_assert_eq!(packed.at(row).unwrap(), times[row]);
                let instant = times[row] + beside;
                let from = row / 3;
                let expected = from + times[from..].partition_point(|time| *time < instant);
                prop_assert_eq!(packed.first_from(from, instant).unwrap(), expected);
            }
            for instant in [i64::MIN, i64::MAX] {
                prop_assert_eq!(packed.first_from(0, instant).unwrap(), if instant < 0 { 0 } else { times.len() });
            }
            for (group, expected) in times.chunks(GROUP).enumerate() {
                match packed.group(group).unwrap() {
                    GroupTimes::Listed(found) => prop_assert_eq!(found, expected),
                    GroupTimes::Regular(first, step) => {
                        let all: Vec<i64> = (0..expected.len() as i64).map(|place| first + place * step).collect();
                        prop_assert_eq!(&all, expected);
                    }
                }
            }
        }

        #[test]
        fn damage_is_an_error_or_other_times_that_rise(times in times(), place: u16, bit in 0_u8..8) {
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            let place = usize::from(place) % bytes.len();
            bytes[place] ^= 1 << bit;
            let Ok(mut packed) = PackedTimes::read(&bytes, times.len()) else { return Ok(()) };
            let mut last = None;
            for row in 0..times.len() {
                let Ok(time) = packed.at(row) else { return Ok(()) };
                prop_assert!(Some(time) > last);
                last = Some(time);
                // Whatever it says, it does not panic.
                let _ = packed.first_from(row / 2, time);
                let _ = packed.first_from(row, i64::MAX);
            }
        }
    }

    #[test]
    fn times_further_apart_than_an_integer_reaches_are_found() {
        let jitter = |place: i128| if place % 299 == 0 { 0 } else { place * 7_919 % 1_000 - 500 };
        let step = i128::from(u64::MAX) / 299;
        let wild: Vec<i64> =
            (0..300).map(|place| (i128::from(i64::MIN) + place * step + jitter(place)) as i64).collect();
        // The middle of a group lies 2^63 behind the first time, and a step times a place passes 2^63.
        let regular: Vec<i64> = (0..4).map(|place| (i128::from(i64::MIN) + (place << 62)) as i64).collect();
        for times in [wild, regular, vec![i64::MIN, i64::MAX]] {
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            let mut packed = PackedTimes::read(&bytes, times.len()).unwrap();
            for (row, time) in times.iter().enumerate() {
                assert_eq!(packed.at(row).unwrap(), *time);
                for from in [0, row / 2, row] {
                    assert_eq!(packed.first_from(from, *time).unwrap(), row);
                }
                let (beyond, next) = time.checked_add(1).map_or((i64::MAX, row), |beyond| (beyond, row + 1));
                assert_eq!(packed.first_from(0, beyond).unwrap(), next);
            }
        }
    }

    /// 512 times every nanosecond but for one: the second group lies, in a frame of 9 bits, on a lowest offset that a head claims.
    fn two_groups(lowest: i64, rests: impl Fn(usize) -> u32) -> Vec<u8> {
        let mut bytes = vec![super::time_code::GROUPED, 0, 1, 0x80, 0, 0, 8, 0, 2, 9, 0];
        crate::bytes::put_signed(lowest, &mut bytes);
        let at = bytes.len();
        bytes.resize(at + 9 * 32, 0);
        Kernels::best().pack(&std::array::from_fn(rests), 9, &mut bytes[at..]);
        bytes
    }

    #[test]
    fn a_lowest_offset_that_no_time_has_is_no_answer_of_its_own() {
        // None has the lowest, 256: times are 0 to 255, then 257 to 512.
        let bytes = two_groups(256, |place| place as u32 + 1);
        let expected: Vec<i64> = (0..256).chain(257..513).collect();
        assert_eq!(decode_times(&bytes, 512).unwrap(), expected);
        let mut packed = PackedTimes::read(&bytes, 512).unwrap();
        for (row, time) in expected.iter().enumerate() {
            assert_eq!(packed.at(row).unwrap(), *time);
            assert_eq!(packed.first_from(0, *time).unwrap(), row);
        }
        assert_eq!(packed.first_from(0, 256).unwrap(), 256);
        // A head whose group would begin among the times of the one before.
        let bytes = two_groups(250, |place| place as u32 + 7);
        let kind = |error: crate::Error| error.kind();
        assert_eq!(decode_times(&bytes, 512).map_err(kind), Err(crate::ErrorKind::Corruption));
        let packed = PackedTimes::read(&bytes, 512).and_then(|mut packed| packed.at(0));
        assert_eq!(packed.map_err(kind), Err(crate::ErrorKind::Corruption));
    }

    #[test]
    fn a_group_of_one_time_has_no_step() {
        // 257 times every 4 ns: the last group has one, a head of differences, and a step that the unit makes 0.
        let mut bytes = vec![super::time_code::GROUPED, 0, 4];
        for (lowest, step) in [(0_i64, 1), (256, 1_i64 << 62)] {
            bytes.extend([0x80, 0]);
            crate::bytes::put_signed(lowest, &mut bytes);
            bytes.extend([if lowest == 0 { 8 } else { 63 }, 0]);
            crate::bytes::put_signed(step, &mut bytes);
        }
        let expected: Vec<i64> = (0..257).map(|place| place * 4).collect();
        assert_eq!(decode_times(&bytes, 257).unwrap(), expected);
        let mut packed = PackedTimes::read(&bytes, 257).unwrap();
        assert_eq!((packed.first_from(0, 1_025).unwrap(), packed.first_from(0, 1_023).unwrap()), (257, 256));
        assert_eq!(packed.at(256).unwrap(), 1_024);
    }
}
