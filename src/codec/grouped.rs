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

use crate::bytes::{Reader, corrupt, unzigzag, with_room};
use crate::error::Result;

use super::bits::{GROUP, bits_at, groups_of};
pub(super) use super::grouped_head::Head;
use super::grouped_head::{Heads, read_heads};
use super::grouped_plan::{Prediction, on_line};
use super::kernels::{Factor, Kernels};
use super::lanes::{Aligned, Offsets, SummaryOf, packed_bytes};

/// A full group has 2 to this power values.
const GROUP_BITS: u32 = GROUP.ilog2();

/// Encoded groups: their heads are read and checked, their values are not.
#[derive(Debug)]
pub(super) struct Grouped<'a> {
    heads: Heads,
    packed: &'a [u8],
    count: usize,
}

impl<'a> Grouped<'a> {
    /// Reads the heads of `count` values in groups, which reach to the end of the reader.
    pub(super) fn read(reader: Reader<'a>, count: usize) -> Result<Self> {
        Self::read_within(reader, count, (i64::MIN, i64::MAX))
    }

    /// The same of values that must lie between two bounds, both included.
    pub(super) fn read_within(mut reader: Reader<'a>, count: usize, bounds: (i64, i64)) -> Result<Self> {
        let heads = read_heads(&mut reader, count, bounds)?;
        let packed = reader.take_rest();
        if packed.len() != heads.packed_bytes {
            let (wanted, left) = (heads.packed_bytes, packed.len());
            return Err(corrupt(format!("groups of integers take {wanted} bytes, and there are {left}")));
        }
        Ok(Self { heads, packed, count })
    }

    /// What is known of each group.
    pub(super) fn heads(&self) -> &[Head] {
        &self.heads.all
    }

    /// Whether the distances of all groups fit 32 bits.
    pub(super) fn are_narrow(&self) -> bool {
        self.heads.are_narrow
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
        let (head, count) = (&self.heads.all[group], self.length(group));
        let width = u32::from(head.width);
        unpack_plane(self.lanes(head, count), width, count, kernels, offsets)?;
        if head.patches > 0 {
            let patches = (usize::from(head.patches), u32::from(head.patch_width));
            let bytes = self.packed.get(head.at..).filter(|_| count == GROUP);
            let patched = bytes.and_then(|bytes| kernels.put_patches(bytes, patches, width, offsets));
            if patched.is_none() {
                self.patch(head, count, |place, upper| offsets[place] |= (upper << width) as u32)?;
            }
        }
        let mut all_bits = None;
        match head.prediction {
            // The widths bound the distances.
            Prediction::Frame if !head.may_pass => return Ok(()),
            Prediction::Frame => {}
            Prediction::Differences { first, step } => {
                let bits = kernels.accumulate(offsets, first as u32, step as u32, head.is_short(step));
                all_bits = (count == GROUP).then_some(bits);
            }
            Prediction::Line { base, slope } => {
                for (place, offset) in offsets.iter_mut().enumerate() {
                    *offset = offset.wrapping_add(base.wrapping_add(on_line(slope, place)) as u32);
                }
            }
        }
        let all_bits = all_bits.unwrap_or_else(|| offsets[..count].iter().fold(0, |all, offset| all | offset));
        let highest = || offsets[..count].iter().fold(0, |highest, offset| highest.max(*offset));
        head.check_distances(u64::from(all_bits), || u64::from(highest()))
    }

    /// The floats of a group whose values lie between -2^51 and 2^51, each scaled; those behind its last are unspecified, and so is
    /// what the offsets are then.
    ///
    /// # Errors
    /// As [`Self::offsets`].
    pub(super) fn floats(
        &self,
        group: usize,
        (kernels, factor): (&Kernels, &Factor),
        offsets: &mut Offsets,
        floats: &mut [f64; GROUP],
    ) -> Result<()> {
        let head = &self.heads.all[group];
        if head.prediction == Prediction::Frame && !head.may_pass && self.length(group) == GROUP {
            let bytes = self.packed.get(head.at..).unwrap_or_default();
            let patches = (usize::from(head.patches), u32::from(head.patch_width));
            let widths = (u32::from(head.width), patches);
            if kernels.packed_floats(bytes, widths, (head.lowest, factor), floats).is_some() {
                return Ok(());
            }
        }
        self.offsets(group, kernels, offsets)?;
        kernels.floats(offsets, head.lowest, factor, floats);
        Ok(())
    }

    /// The values of a group; those behind its last are unspecified.
    ///
    /// # Errors
    /// As [`Self::offsets`].
    pub(super) fn values(&self, group: usize, kernels: &Kernels, values: &mut [i64; GROUP]) -> Result<()> {
        let (head, count) = (&self.heads.all[group], self.length(group));
        let mut plane = Aligned([0; GROUP]);
        if head.is_narrow() {
            self.offsets(group, kernels, &mut plane)?;
            for (value, offset) in values.iter_mut().zip(plane.0) {
                *value = head.lowest.wrapping_add(i64::from(offset));
            }
            return Ok(());
        }
        let width = u32::from(head.width);
        let (lower, upper) = self.lanes(head, count).split_at(packed_bytes(count, width.min(32)));
        unpack_plane(lower, width.min(32), count, kernels, &mut plane)?;
        for (value, bits) in values.iter_mut().zip(plane.0) {
            *value = i64::from(bits);
        }
        if width > 32 {
            unpack_plane(upper, width - 32, count, kernels, &mut plane)?;
            for (value, bits) in values.iter_mut().zip(plane.0) {
                *value |= i64::from(bits) << 32;
            }
        }
        self.patch(head, count, |place, upper| values[place] |= (upper << width) as i64)?;
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
        if head.prediction == Prediction::Frame && !head.may_pass {
            return Ok(());
        }
        let distances = || values[..count].iter().map(|value| value.wrapping_sub(head.lowest) as u64);
        let all_bits = distances().fold(0, |all, one| all | one);
        head.check_distances(all_bits, || distances().fold(0, u64::max))
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
        let (head, count) = (&self.heads.all[group], self.length(group));
        if head.is_narrow() && !head.may_pass && head.prediction == Prediction::Frame && count == GROUP {
            let bytes = self.packed.get(head.at..).unwrap_or_default();
            let patches = (usize::from(head.patches), u32::from(head.patch_width));
            let above = match kernels.sum(bytes, u32::from(head.width), patches) {
                Some(above) => above,
                None => self.sum_apart(head, kernels)?,
            };
            return Ok((i128::from(head.lowest) << GROUP_BITS) + i128::from(above));
        }
        self.sum_unpacked(group, kernels)
    }

    /// The sum of a full group's distances, its patches one by one.
    #[inline(never)]
    fn sum_apart(&self, head: &Head, kernels: &Kernels) -> Result<u64> {
        let mut above = kernels.sum(self.lanes(head, GROUP), u32::from(head.width), (0, 0)).unwrap_or_default();
        self.patch(head, GROUP, |_, upper| above += upper << head.width)?;
        Ok(above)
    }

    #[inline(never)]
    fn sum_unpacked(&self, group: usize, kernels: &Kernels) -> Result<i128> {
        let (head, count) = (&self.heads.all[group], self.length(group));
        if head.is_narrow() && !head.may_pass {
            let mut offsets = Aligned([0; GROUP]);
            self.offsets(group, kernels, &mut offsets)?;
            let above = kernels.summarise(&offsets[..count], None, SummaryOf::Sum).sum;
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
        let mask = u64::MAX >> (64 - u32::from(head.patch_width));
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
            bit += usize::from(head.patch_width);
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
