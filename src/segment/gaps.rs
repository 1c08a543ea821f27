//! The gaps between the rows of a slice, for its page of gaps.
//!
//! Guarantees: what is listed is longer than all that is not, and the longest of that is told; rows that follow each other as a clock with
//! jitter has them list nothing. One pass, without a branch for each row.

use crate::format::{Gap, LISTED_GAPS_MAX, SliceGaps};

/// Rows whose longest gap is found at once.
const RUN: usize = 256;
/// The most gaps that are held to be listed: of more the shorter ones go.
const HELD_MAX: usize = 2 * LISTED_GAPS_MAX;

/// The gaps of a slice; `None` of less than two rows. Listed are gaps longer than one and a half of the mean: of more than
/// [`LISTED_GAPS_MAX`] those longer than the longest that has no place.
#[must_use]
pub fn gaps_of(slice: u32, times: &[i64]) -> Option<SliceGaps> {
    let (first, last) = (*times.first()?, *times.last()?);
    let steps = times.len() as u64 - 1;
    let mean_limit = u128::from(distance(first, last)) * 3 / u128::from(2 * steps.max(1));
    let mut gaps = Longest { limit_ns: mean_limit.try_into().unwrap_or(u64::MAX), unlisted_ns: 0, held: Vec::new() };
    for from in (0..steps as usize).step_by(RUN) {
        gaps.add(&times[from..times.len().min(from + RUN + 1)]);
    }
    if gaps.held.len() > LISTED_GAPS_MAX {
        gaps.drop_shorter();
    }
    (steps > 0).then_some(SliceGaps { slice, unlisted_ns: gaps.unlisted_ns, listed: gaps.held })
}

/// Whether these are the gaps of times.
pub(super) fn are_gaps_of(gaps: &SliceGaps, times: &[i64]) -> bool {
    let all = times.windows(2).map(|pair| Gap { from: pair[0], length_ns: distance(pair[0], pair[1]) });
    let (listed, others): (Vec<Gap>, Vec<Gap>) = all.partition(|gap| gap.length_ns > gaps.unlisted_ns);
    listed == gaps.listed && others.iter().map(|gap| gap.length_ns).max().unwrap_or_default() == gaps.unlisted_ns
}

/// Times rise: their distances are exact as unsigned numbers.
fn distance(from: i64, to: i64) -> u64 {
    to.wrapping_sub(from) as u64
}

/// The longest gaps so far.
struct Longest {
    /// Only longer ones are held: as long as a gap that has no place, or as the gaps that are nothing out of the ordinary.
    limit_ns: u64,
    unlisted_ns: u64,
    held: Vec<Gap>,
}

impl Longest {
    fn add(&mut self, times: &[i64]) {
        let gaps = times.iter().zip(&times[1..]).map(|(from, to)| (from, distance(*from, *to)));
        // The highest bit says of a gap and of what it falls short by that it may be the longest so far: less than 2^63 both, it is not.
        let signs = gaps.clone().fold(0, |signs, (_, gap_ns)| signs | gap_ns | self.unlisted_ns.wrapping_sub(gap_ns));
        if signs >> 63 == 0 {
            return;
        }
        for (from, length_ns) in gaps {
            if length_ns <= self.limit_ns {
                self.unlisted_ns = self.unlisted_ns.max(length_ns);
                continue;
            }
            self.held.push(Gap { from: *from, length_ns });
            if self.held.len() == HELD_MAX {
                self.drop_shorter();
            }
        }
    }

    /// Keeps those that are longer than the longest without a place.
    fn drop_shorter(&mut self) {
        let mut lengths: Vec<u64> = self.held.iter().map(|gap| gap.length_ns).collect();
        let (_, longest_out, _) = lengths.select_nth_unstable_by(LISTED_GAPS_MAX, |a, b| b.cmp(a));
        self.limit_ns = *longest_out;
        self.unlisted_ns = self.unlisted_ns.max(self.limit_ns);
        self.held.retain(|gap| gap.length_ns > self.limit_ns);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_NS: i64 = 60_000_000_000;

    /// From the definition, with all gaps sorted.
    fn naive(times: &[i64]) -> (i128, Vec<(i64, i128)>) {
        let gaps: Vec<(i64, i128)> =
            times.windows(2).map(|pair| (pair[0], i128::from(pair[1]) - i128::from(pair[0]))).collect();
        let span = i128::from(times[times.len() - 1]) - i128::from(times[0]);
        let mut long: Vec<i128> =
            gaps.iter().map(|gap| gap.1).filter(|gap| 2 * gap * gaps.len() as i128 > 3 * span).collect();
        long.sort_unstable_by(|a, b| b.cmp(a));
        let limit = long.get(LISTED_GAPS_MAX).copied().unwrap_or_default();
        let is_listed = |gap: i128| 2 * gap * gaps.len() as i128 > 3 * span && gap > limit;
        let longest_out = gaps.iter().map(|gap| gap.1).filter(|gap| !is_listed(*gap)).max();
        (longest_out.unwrap_or_default(), gaps.iter().copied().filter(|gap| is_listed(gap.1)).collect())
    }

    fn check(times: &[i64]) -> SliceGaps {
        let gaps = gaps_of(7, times).unwrap();
        let listed: Vec<(i64, i128)> = gaps.listed.iter().map(|gap| (gap.from, i128::from(gap.length_ns))).collect();
        assert_eq!((i128::from(gaps.unlisted_ns), listed), naive(times));
        assert!(gaps.fits(times.len() as u32, (times[0], times[times.len() - 1])) && are_gaps_of(&gaps, times));
        gaps
    }

    /// Times from anywhere on, with steps of several kinds, as far as time goes.
    fn times() -> impl Strategy<Value = Vec<i64>> {
        let step = prop_oneof![
            8 => Just(60_000_000_000_u64),
            4 => 59_000_000_000_u64..61_000_000_000,
            2 => (1_u64..50).prop_map(|minutes| minutes * 60_000_000_000),
            1 => 1_u64..100,
        ];
        let far = prop_oneof![4 => Just(None), 1 => (0_usize..1_000, any::<u64>()).prop_map(Some)];
        (any::<i64>(), prop::collection::vec(step, 1..1_000), far).prop_map(|(start, mut steps, far)| {
            if let Some((place, step)) = far {
                let place = place % steps.len();
                steps[place] = step.max(1);
            }
            let mut times = vec![start];
            let mut last = start;
            for step in steps {
                let Some(next) = last.checked_add_unsigned(step) else { break };
                last = next;
                times.push(next);
            }
            if times.len() == 1 {
                times.insert(0, i64::MIN);
            }
            times.dedup();
            times
        })
    }

    proptest! {
        #[test]
        fn the_longest_gaps_are_listed(times in times()) {
            if times.len() > 1 {
                check(&times);
            }
        }

        /// Gaps like those of a device that sends when something happens: nearly all differ.
        #[test]
        fn of_many_gaps_the_longest_stay(steps in prop::collection::vec(1_u32..100, 1..3_000), start: i32) {
            let mut times = vec![i64::from(start)];
            times.extend(steps.iter().scan(i64::from(start), |last, step| {
                *last += i64::from(*step).pow(5);
                Some(*last)
            }));
            check(&times);
        }
    }

    #[test]
    fn what_is_known_of_a_few_rows() {
        assert_eq!((gaps_of(0, &[]), gaps_of(0, &[5])), (None, None));
        let of = |times: &[i64]| {
            let gaps = check(times);
            (gaps.unlisted_ns, gaps.listed.iter().map(|gap| (gap.from, gap.length_ns)).collect::<Vec<_>>())
        };
        assert_eq!(of(&[5, 8]), (3, vec![]));
        assert_eq!(of(&[i64::MIN, i64::MAX]), (u64::MAX, vec![]));
        assert_eq!(of(&[i64::MIN, i64::MAX - 1, i64::MAX]), (1, vec![(i64::MIN, u64::MAX - 1)]));
        // As long as one and a half of the mean is not longer.
        assert_eq!(of(&[0, 1, 4]), (3, vec![]));
        assert_eq!(of(&[0, 1, 5]), (1, vec![(1, 4)]));
        // Of 33 gaps as long as each other none has a place.
        let ticks = |gaps: i64| {
            (0..=9 * gaps).flat_map(|tick| if tick % 9 == 8 { vec![] } else { vec![tick] }).collect::<Vec<_>>()
        };
        assert_eq!((of(&ticks(32)).0, of(&ticks(32)).1.len()), (1, 32));
        assert_eq!(of(&ticks(33)), (2, vec![]));
        assert_eq!(of(&[0, 10, 20, 70, 80]), (10, vec![(20, 50)]));
    }

    #[test]
    fn a_month_with_outages_lists_them_and_one_without_lists_nothing() {
        let minutes = |keep: &dyn Fn(i64) -> bool| -> Vec<i64> {
            (0..43_200).filter(|minute| keep(*minute)).map(|minute| minute * MINUTE_NS).collect()
        };
        let whole = check(&minutes(&|_| true));
        assert_eq!((whole.unlisted_ns, whole.listed.len()), (MINUTE_NS as u64, 0));
        let jittered: Vec<i64> =
            (0..43_200_i64).map(|minute| minute * MINUTE_NS + minute * 7_919 % 9_000_000_000).collect();
        assert!(check(&jittered).listed.is_empty());
        // A minute lost every half hour, an hour on each of two days: the hours alone are listed, the lost minutes are one length.
        let outage = |minute: i64| (14_400..14_460).contains(&minute) || (28_805..28_865).contains(&minute);
        let lossy = check(&minutes(&|minute| minute % 30 != 11 && !outage(minute)));
        let listed: Vec<(i64, u64)> = lossy.listed.iter().map(|gap| (gap.from, gap.length_ns)).collect();
        let hour = 61 * MINUTE_NS as u64;
        assert_eq!(listed, [(14_399 * MINUTE_NS, hour), (28_804 * MINUTE_NS, hour)]);
        assert_eq!(lossy.unlisted_ns, 2 * MINUTE_NS as u64);
        // A few lost minutes have their places.
        let few = check(&minutes(&|minute| minute % 2_000 != 11));
        assert_eq!((few.unlisted_ns, few.listed.len()), (MINUTE_NS as u64, 22));
    }
}
