//! Pages of gaps: how far apart the rows of each slice lie, so that a question about silence reads no times.
//!
//! Guarantees: what is decoded is in order, and says of every slice which gaps are longer than all others. Whether that can be true of a
//! slice, [`SliceGaps::fits`] says: the directory knows how many rows it has, and from when to when.

use crate::bytes::{Reader, put_varint};
use crate::error::Result;

use super::framed::{corrupt, count, integers, put_integers, small, too_many};
use super::segment_page::{PAGE_CELLS_MAX, PAGE_ENTRIES_MAX};

/// The most gaps that are listed of one slice.
pub const LISTED_GAPS_MAX: usize = 32;

/// The stretch between two neighbouring rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The instant of the row before it.
    pub from: i64,
    /// Its length: distances of instants may pass 2^63.
    pub length_ns: u64,
}

impl Gap {
    /// The instant of the row behind it; `None` past the end of time.
    #[must_use]
    pub fn to(self) -> Option<i64> {
        self.from.checked_add_unsigned(self.length_ns)
    }
}

/// The gaps between the rows of a slice of two rows or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceGaps {
    /// The place of the slice.
    pub slice: u32,
    /// The longest gap that is not listed; 0 where all are.
    pub unlisted_ns: u64,
    /// The gaps that are longer than that, in the order of time; at most [`LISTED_GAPS_MAX`].
    pub listed: Vec<Gap>,
}

impl SliceGaps {
    /// Whether a slice of so many rows, from an instant to another, can have these gaps.
    #[must_use]
    pub fn fits(&self, rows: u32, times: (i64, i64)) -> bool {
        let inside = |gap: &Gap| gap.from >= times.0 && gap.to().is_some_and(|to| to <= times.1);
        let others = i128::from(rows) - 1 - self.listed.len() as i128;
        let listed_ns: i128 = self.listed.iter().map(|gap| i128::from(gap.length_ns)).sum();
        let rest_ns = i128::from(times.1) - i128::from(times.0) - listed_ns;
        let longest_ns = i128::from(self.unlisted_ns);
        // The others fill what the listed ones leave, each a nanosecond at least and the longest at most.
        let filled = if others == 0 { 0..=0 } else { longest_ns + others - 1..=longest_ns * others };
        rows > 1
            && others >= 0
            && (longest_ns > 0) == (others > 0)
            && filled.contains(&rest_ns)
            && self.listed.iter().all(inside)
    }
}

/// Encodes a page of gaps.
///
/// # Errors
/// [`crate::ErrorKind::LimitExceeded`] for more than a page or a slice holds.
pub fn encode_gaps(slices: &[SliceGaps]) -> Result<Vec<u8>> {
    if slices.len() > PAGE_ENTRIES_MAX {
        return Err(too_many("entries of a page", slices.len(), PAGE_ENTRIES_MAX));
    }
    if let Some(slice) = slices.iter().find(|slice| slice.listed.len() > LISTED_GAPS_MAX) {
        return Err(too_many("listed gaps of a slice", slice.listed.len(), LISTED_GAPS_MAX));
    }
    let mut out = Vec::new();
    put_varint(slices.len() as u64, &mut out);
    put_integers(slices.iter().map(|slice| i64::from(slice.slice)), &mut out);
    put_integers(slices.iter().map(|slice| slice.unlisted_ns as i64), &mut out);
    put_integers(slices.iter().map(|slice| slice.listed.len() as i64), &mut out);
    let gaps = || slices.iter().flat_map(|slice| &slice.listed);
    let total = gaps().count();
    if total > PAGE_CELLS_MAX {
        return Err(too_many("listed gaps of a page", total, PAGE_CELLS_MAX));
    }
    put_varint(total as u64, &mut out);
    put_multiples(gaps().map(|gap| gap.from.into()), &mut out);
    put_multiples(gaps().map(|gap| gap.length_ns.into()), &mut out);
    Ok(out)
}

/// Appends the greatest unit that all numbers, of 64 bits, are multiples of, then how many of it each is: clocks of devices seldom tell
/// nanoseconds.
fn put_multiples(numbers: impl Iterator<Item = i128> + Clone, out: &mut Vec<u8>) {
    let unit = numbers.clone().fold(0, |unit, number| common_divisor(unit, number.unsigned_abs() as u64)).max(1);
    put_varint(unit, out);
    put_integers(numbers.map(|number| (number / i128::from(unit)) as i64), out);
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Reads and checks a page of gaps.
///
/// # Errors
/// [`crate::ErrorKind::Corruption`].
pub fn decode_gaps(bytes: &[u8]) -> Result<Vec<SliceGaps>> {
    let mut reader = Reader::new(bytes);
    let slices = count(&mut reader, PAGE_ENTRIES_MAX)?;
    let places: Vec<u32> = small(integers(&mut reader, slices)?)?;
    if places.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(corrupt("a page of gaps is not in order"));
    }
    let unlisted = integers(&mut reader, slices)?;
    let lengths: Vec<u8> = small(integers(&mut reader, slices)?)?;
    if lengths.iter().any(|length| usize::from(*length) > LISTED_GAPS_MAX) {
        return Err(corrupt("a slice lists more gaps than any slice may"));
    }
    let total = count(&mut reader, PAGE_CELLS_MAX.min(slices * LISTED_GAPS_MAX))?;
    if lengths.iter().map(|length| usize::from(*length)).sum::<usize>() != total {
        return Err(corrupt("slices have another number of gaps than they say"));
    }
    let start_unit_ns = reader.varint()?;
    let starts = integers(&mut reader, total)?;
    let length_unit_ns = reader.varint()?;
    let gap_lengths = integers(&mut reader, total)?;
    reader.finish()?;
    let gap = |(start, length): (i64, i64)| {
        let from = i64::try_from(i128::from(start) * i128::from(start_unit_ns)).ok();
        let gap = from.zip((length as u64).checked_mul(length_unit_ns));
        gap.map(|(from, length_ns)| Gap { from, length_ns }).ok_or_else(|| corrupt("a gap lies outside of all times"))
    };
    let mut gaps = starts.into_iter().zip(gap_lengths).map(gap);
    let mut page = Vec::with_capacity(slices);
    for ((slice, unlisted), length) in places.into_iter().zip(unlisted).zip(lengths) {
        let listed = gaps.by_ref().take(length.into()).collect::<Result<_>>()?;
        let slice = SliceGaps { slice, unlisted_ns: unlisted as u64, listed };
        check(&slice)?;
        page.push(slice);
    }
    Ok(page)
}

/// Gaps that follow one another, each longer than what is not listed.
fn check(slice: &SliceGaps) -> Result<()> {
    let mut end = i64::MIN;
    for gap in &slice.listed {
        let to = gap.to().filter(|_| gap.from >= end && gap.length_ns > slice.unlisted_ns);
        end = to.ok_or_else(|| corrupt("listed gaps overlap, or one is not longer than those that are not listed"))?;
    }
    if slice.unlisted_ns == 0 && slice.listed.is_empty() {
        return Err(corrupt("a slice without any gap stands in a page of gaps"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn slice(slice: u32, unlisted_ns: u64, listed: &[(i64, u64)]) -> SliceGaps {
        let listed = listed.iter().map(|(from, length_ns)| Gap { from: *from, length_ns: *length_ns }).collect();
        SliceGaps { slice, unlisted_ns, listed }
    }

    /// Gaps from anywhere on, as long as may be.
    fn slices() -> impl Strategy<Value = Vec<SliceGaps>> {
        let length = prop_oneof![1_u64..1_000, Just(60_000_000_000), any::<u64>()];
        let gaps = prop::collection::vec((0_u64..1 << 40, length), 0..=LISTED_GAPS_MAX);
        let of_slice = (any::<i64>(), prop_oneof![Just(0_u64), 1_u64..1 << 60, any::<u64>()], gaps, 1_u32..9);
        prop::collection::vec(of_slice, 0..20).prop_map(|slices| {
            let mut place = 0;
            let mut page = Vec::new();
            for (mut end, unlisted_ns, gaps, step) in slices {
                let mut listed = Vec::new();
                for (apart, length_ns) in gaps {
                    let Some(from) = end.checked_add_unsigned(apart) else { break };
                    let gap = Gap { from, length_ns };
                    let Some(to) = gap.to().filter(|_| length_ns > unlisted_ns) else { break };
                    end = to;
                    listed.push(gap);
                }
                place += step;
                if unlisted_ns > 0 || !listed.is_empty() {
                    page.push(SliceGaps { slice: place, unlisted_ns, listed });
                }
            }
            page
        })
    }

    proptest! {
        #[test]
        fn pages_come_back(page in slices()) {
            let bytes = encode_gaps(&page).unwrap();
            prop_assert_eq!(decode_gaps(&bytes).unwrap(), page);
            for end in 0..bytes.len() {
                prop_assert_eq!(decode_gaps(&bytes[..end]).unwrap_err().kind(), ErrorKind::Corruption);
            }
        }

        /// Of any bytes, a page that keeps its promises, or an error.
        #[test]
        fn any_bytes_are_a_page_or_damage(page in slices(), flips in prop::collection::vec(any::<usize>(), 1..4)) {
            let mut bytes = encode_gaps(&page).unwrap();
            let bits = bytes.len() * 8;
            flips.iter().for_each(|flip| bytes[flip % bits / 8] ^= 1 << (flip % 8));
            match decode_gaps(&bytes) {
                Ok(page) => {
                    prop_assert!(page.windows(2).all(|pair| pair[0].slice < pair[1].slice));
                    prop_assert_eq!(decode_gaps(&encode_gaps(&page).unwrap()).unwrap(), page);
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corruption),
            }
        }
    }

    #[test]
    fn the_documents_page() {
        let second_ns = 1_000_000_000;
        let listed =
            [(86_520, 600), (90_000, 3_600)].map(|(from, length)| (from * second_ns, length * second_ns as u64));
        let page = [slice(3, 60 * second_ns as u64, &listed)];
        assert_eq!(encode_gaps(&page).unwrap(), crate::document::hex_example("gaps"));
        assert_eq!(decode_gaps(&crate::document::hex_example("gaps")).unwrap(), page);
    }

    #[test]
    fn what_no_writer_writes_is_damage() {
        let refused = [
            vec![slice(3, 5, &[]), slice(3, 5, &[])],
            vec![slice(3, 0, &[])],
            vec![slice(3, 5, &[(0, 5)])],
            vec![slice(3, 0, &[(0, 0)])],
            vec![slice(3, 5, &[(0, 9), (8, 9)])],
            vec![slice(3, 5, &[(20, 9), (8, 9)])],
            vec![slice(3, 5, &[(i64::MAX - 8, 9)])],
        ];
        for page in refused {
            let error = decode_gaps(&encode_gaps(&page).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corruption, "{page:?}");
        }
        let many: Vec<(i64, u64)> = (0..=LISTED_GAPS_MAX as i64).map(|place| (place * 9, 9)).collect();
        assert_eq!(encode_gaps(&[slice(3, 5, &many)]).unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(
            encode_gaps(&vec![slice(0, 1, &[]); PAGE_ENTRIES_MAX + 1]).unwrap_err().kind(),
            ErrorKind::LimitExceeded
        );
        // A count that nothing follows takes no memory: 2^62, then 2^20.
        for hostile in [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f][..], &[0x80, 0x80, 0x40]] {
            assert_eq!(decode_gaps(hostile).unwrap_err().kind(), ErrorKind::Corruption);
        }
    }

    #[test]
    fn gaps_fit_the_rows_that_can_have_them() {
        // Rows at 0, 10, 20, 70, 80.
        let gaps = slice(0, 10, &[(20, 50)]);
        assert!(gaps.fits(5, (0, 80)));
        for (rows, times) in [(4, (0, 80)), (5, (0, 81)), (6, (0, 59)), (5, (21, 101)), (2, (0, 80)), (0, (0, 0))] {
            assert!(!gaps.fits(rows, times), "{rows} {times:?}");
        }
        // Rows at 0 and 9; the first and the last instant there is.
        assert!(
            slice(0, 9, &[]).fits(2, (0, 9)) && !slice(0, 8, &[]).fits(2, (0, 9)) && !slice(0, 9, &[]).fits(1, (0, 9))
        );
        assert!(slice(0, u64::MAX, &[]).fits(2, (i64::MIN, i64::MAX)));
        assert!(slice(0, 0, &[(i64::MIN, u64::MAX)]).fits(2, (i64::MIN, i64::MAX)));
        assert!(!slice(0, 9, &[(0, 10)]).fits(2, (0, 10)));
    }
}
