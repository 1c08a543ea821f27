//! Looks at whether the caller cancelled, inside of work on what was read: a cancelled query stops within 50 ms.
//!
//! Guarantees: between two looks lie at most so many rows that are finished, compared, moved or given, and so many cells that are filled or
//! numbers that are fitted; a scan looks by itself before all that it reads. A sort is a merge of runs that are sorted one by one, with the same result as any other of a total order.

use std::cmp::Ordering;

use crate::error::Result;
use crate::store::Progress;

/// Rows between two looks, where each takes a microsecond or so.
pub(super) const ROWS_AT_ONCE: usize = 8_192;

/// Gives back what an answer that ended early held, by a thread of the store: to free a million rows takes longer than one who cancels waits.
pub(super) fn free_later<T: Send + 'static>(held: T) {
    // Elsewhere it would begin threads that nobody asked for.
    if rayon::current_thread_index().is_some() {
        rayon::spawn(move || drop(held));
    }
}

/// Whether the caller goes on.
pub(super) fn look(progress: Option<&Progress>) -> Result<()> {
    progress.map_or(Ok(()), Progress::check)
}

/// Looks, and notes the work that comes next.
pub(super) fn look_before(progress: Option<&Progress>, units: usize) -> Result<()> {
    progress.map_or(Ok(()), |progress| {
        progress.check()?;
        progress.note_work(units as u64);
        Ok(())
    })
}

/// Work that is noted as it is done, with a look after every so much of it.
pub(super) struct Pace<'p> {
    progress: Option<&'p Progress>,
    since_look: usize,
}

impl<'p> Pace<'p> {
    pub(super) fn new(progress: Option<&'p Progress>) -> Self {
        Self { progress, since_look: 0 }
    }

    /// Notes what was done just now.
    #[inline]
    pub(super) fn done(&mut self, units: usize) -> Result<()> {
        self.since_look += units;
        if self.since_look < ROWS_AT_ONCE { Ok(()) } else { self.look() }
    }

    fn look(&mut self) -> Result<()> {
        self.note();
        look(self.progress)
    }

    fn note(&mut self) {
        let units = std::mem::take(&mut self.since_look) as u64;
        self.progress.inspect(|progress| progress.note_work(units));
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        self.note();
    }
}

/// Calls for each item, with a look before every so many.
pub(super) fn for_each<T>(
    items: impl IntoIterator<Item = T>,
    progress: Option<&Progress>,
    mut work: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let mut items = items.into_iter();
    loop {
        let mut worked = 0;
        look(progress)?;
        for item in items.by_ref().take(ROWS_AT_ONCE) {
            work(item)?;
            worked += 1;
        }
        progress.inspect(|progress| progress.note_work(worked));
        if worked < ROWS_AT_ONCE as u64 {
            return Ok(());
        }
    }
}

/// Puts rows into a total order.
pub(super) fn sort_by<T>(
    rows: &mut [T],
    progress: Option<&Progress>,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Result<()> {
    // Places are sorted, and rows moved once: a row is many bytes.
    let mut places: Vec<u32> = (0..rows.len() as u32).collect();
    for run in places.chunks_mut(ROWS_AT_ONCE) {
        look_before(progress, run.len())?;
        run.sort_unstable_by(|a, b| compare(&rows[*a as usize], &rows[*b as usize]));
    }
    let mut length = ROWS_AT_ONCE;
    let mut merged: Vec<u32> = Vec::with_capacity(if places.len() > length { places.len() } else { 0 });
    while length < places.len() {
        merged.clear();
        for pair in places.chunks(2 * length) {
            let (left, right) = pair.split_at(length.min(pair.len()));
            merge(left, right, &mut merged, progress, &|a, b| compare(&rows[a as usize], &rows[b as usize]))?;
        }
        std::mem::swap(&mut places, &mut merged);
        length *= 2;
    }
    drop(merged);
    let take = |place: usize| std::mem::replace(&mut places[place], place as u32) as usize;
    permute(rows.len(), progress, take, |place, from| rows.swap(place, from))
}

/// Moves what lies in places to where it belongs, without a second list. `take` gives the place that the content of a place comes from, and from then on
/// that place itself: such a one stands where it belongs.
pub(super) fn permute(
    count: usize,
    progress: Option<&Progress>,
    mut take: impl FnMut(usize) -> usize,
    mut swap: impl FnMut(usize, usize),
) -> Result<()> {
    let mut pace = Pace::new(progress);
    for start in 0..count {
        let mut place = start;
        loop {
            pace.done(1)?;
            let from = take(place);
            if from == start {
                break;
            }
            swap(place, from);
            place = from;
        }
    }
    Ok(())
}

/// Appends two sorted runs as one.
fn merge(
    mut left: &[u32],
    mut right: &[u32],
    into: &mut Vec<u32>,
    progress: Option<&Progress>,
    compare: &impl Fn(u32, u32) -> Ordering,
) -> Result<()> {
    // Runs that follow each other are the most: rows come group by group.
    let follows = match (left.last(), right.first()) {
        (Some(last), Some(first)) => compare(*last, *first) != Ordering::Greater,
        _ => true,
    };
    while let ([first_left, ..], [first_right, ..], false) = (left, right, follows) {
        if into.len().is_multiple_of(ROWS_AT_ONCE) {
            look_before(progress, ROWS_AT_ONCE)?;
        }
        if compare(*first_right, *first_left) == Ordering::Less {
            into.push(*first_right);
            right = &right[1..];
        } else {
            into.push(*first_left);
            left = &left[1..];
        }
    }
    into.extend_from_slice(left);
    into.extend_from_slice(right);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn sorting_with_looks_is_sorting(seed: u64, count in 0_usize..60_000, distinct in 1_u64..100_000, turned in 0_usize..60_000) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % distinct
            };
            // With a place of its own each, so that the order is total; random, and sorted but turned.
            let mut rows: Vec<(u64, usize)> = (0..count).map(|place| (next(), place)).collect();
            for _ in 0..2 {
                let mut expected = rows.clone();
                expected.sort_unstable();
                let progress = Progress::default();
                sort_by(&mut rows, Some(&progress), Ord::cmp).unwrap();
                prop_assert_eq!(&rows, &expected);
                prop_assert!(progress.looks_and_work().1 <= 2 * ROWS_AT_ONCE as u64);
                rows.rotate_left(turned % count.max(1));
            }
            for look in [1, 3, 7] {
                let cancelled = sort_by(&mut rows.clone(), Some(&Progress::cancelling_at(look)), Ord::cmp);
                prop_assert!(count < 40_000 || cancelled.unwrap_err().kind() == ErrorKind::Cancelled);
            }
        }
    }
}
