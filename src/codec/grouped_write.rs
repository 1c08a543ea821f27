//! Writing integers in groups of 256, as [`super::grouped`] reads them.
//!
//! Guarantees: exact for all `i64`; what is written hangs on the values alone, whichever kernels the machine has.

use crate::bytes::{put_signed, put_varint};

use super::bits::GROUP;
use super::grouped_head::{DIFFERENCES, LINE, NARROW_BITS};
use super::grouped_plan::{NarrowPlan, Plan, Prediction, plan};
use super::integer::Widths;
use super::kernels::Kernels;
use super::lanes::{Offsets, packed_bytes};

/// Rests that are looked at for patches together.
const PATCH_ROW: usize = 16;

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
