//! Bins of a histogram, and counts of values in them.
//!
//! Guarantees: a bin holds the values from its lower edge (in) to its upper (out); what lies below the first edge, and at the last or above
//! it, is counted beside. Edges rise strictly and are finite, and the ones that count are the ones that an answer shows, to the bit. Whole
//! numbers are compared exactly, by edges that are whole or floats. Counts are exact, and merge in any order.

use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Cell;

/// The most bins of a histogram.
const BINS_MAX: usize = 10_000;

/// Floats tell all whole numbers below this from each other.
const EXACT_WHOLES: i64 = 1 << 53;

/// How the values of a histogram are cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// At these edges, which rise.
    Edges(Vec<f64>),
    /// At these whole numbers, which rise: exact also beyond 2^53, where the metric is one of integers.
    WholeEdges(Vec<i64>),
    /// From a value to another, in so many bins of one width.
    Equal {
        /// The lower edge of the first bin.
        from: f64,
        /// The upper edge of the last.
        to: f64,
        /// How many.
        count: usize,
    },
    /// In bins of this width, whose edges are multiples of it, from the least value of the question to the greatest.
    Width(f64),
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
        .advise("write a width (5), from:to:count (0:100:20), or edges that rise (0,10,20,50)")
}

impl FromStr for Bins {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |part: &str| {
            let number = part.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| wrong(format!("'{}' is no number that bins may have", part.escape_debug())))?;
            match part.trim().parse::<i64>() {
                Ok(whole) if number as i128 != i128::from(whole) => {
                    let message = format!("bins are cut at floats here, of which none is {whole}");
                    Err(Error::new(ErrorKind::InvalidInput, message)
                        .advise("list the edges, all of them whole: 0,9007199254740993"))
                }
                _ => Ok(number),
            }
        };
        let bins = match text.split(':').collect::<Vec<_>>().as_slice() {
            [from, to, count] => {
                let count =
                    count.trim().parse().map_err(|_| wrong(format!("'{}' counts no bins", count.escape_debug())))?;
                Self::Equal { from: number(from)?, to: number(to)?, count }
            }
            [edges] if edges.contains(',') => {
                let whole: Option<Vec<i64>> = edges.split(',').map(|edge| edge.trim().parse().ok()).collect();
                match whole {
                    Some(edges) => Self::WholeEdges(edges),
                    None => Self::Edges(edges.split(',').map(number).collect::<Result<_>>()?),
                }
            }
            [width] => Self::Width(number(width)?),
            _ => return Err(wrong(format!("'{}' says no bins", text.escape_debug()))),
        };
        bins.check().map(|()| bins)
    }
}

impl Bins {
    /// Checks what can be wrong with them before any value is known.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Width(width) if *width > 0.0 && width.is_finite() => Ok(()),
            Self::Width(width) => Err(wrong(format!("bins of a width of {width} hold nothing"))),
            _ => self.cut(None, true).map(drop),
        }
    }

    /// The edges for values that are `whole` numbers or not, given their extremes where a width asks for them.
    pub(super) fn cut(&self, extremes: Option<(f64, f64)>, whole: bool) -> Result<Arc<Edges>> {
        let limited = |count: f64| {
            if count <= BINS_MAX as f64 {
                return Ok(count as usize);
            }
            Err(Error::new(ErrorKind::LimitExceeded, format!("that makes more than {BINS_MAX} bins"))
                .advise("ask for wider bins, or say from where to where: 0:100:20"))
        };
        let edges = match (self, extremes) {
            (Self::WholeEdges(edges), _) => {
                limited(edges.len() as f64)?;
                if whole {
                    return Edges::of_wholes(edges).map(Arc::new);
                }
                edges.iter().map(|edge| *edge as f64).collect()
            }
            (Self::Edges(edges), _) => {
                limited(edges.len() as f64)?;
                edges.clone()
            }
            (Self::Equal { from, to, count }, _) => {
                let count = limited(*count as f64)?;
                let edge = |place: usize| {
                    // Both ends are those given, and no step of the way overflows.
                    let part = place as f64 / count as f64;
                    if place == count { *to } else { from * (1.0 - part) + to * part }
                };
                if count == 0 { Vec::new() } else { (0..=count).map(edge).collect() }
            }
            (Self::Width(width), Some((least, greatest))) => {
                if !(least.is_finite() && greatest.is_finite()) {
                    let message =
                        format!("values from {least} to {greatest} fill more bins of a width than there can be");
                    let error = Error::new(ErrorKind::LimitExceeded, message);
                    return Err(error.advise("say from where to where: 0:100:20"));
                }
                let (first, last) = (multiple_below(least, *width), multiple_below(greatest, *width) + 1.0);
                let count = limited(last - first)?;
                if !(first.is_finite() && count > 0) {
                    return Err(wrong(format!("values from {least} to {greatest} can not be cut by a width")));
                }
                (0..=count).map(|place| (first + place as f64) * width).collect()
            }
            (Self::Width(_), None) => return Err(wrong("a width needs values")),
        };
        if edges.len() < 2 || !edges.iter().all(|edge| edge.is_finite()) || !edges.is_sorted_by(|a, b| a < b) {
            return Err(not_rising(if matches!(self, Self::WholeEdges(_)) {
                ", as floats, which the values are"
            } else {
                ""
            }));
        }
        let even = matches!(self, Self::Equal { .. } | Self::Width(_));
        Ok(Arc::new(Edges::new(edges, even, whole)))
    }
}

fn not_rising(how: &str) -> Error {
    wrong(format!("bins have two edges or more, and each edge is greater than the one before it{how}"))
}

/// Which multiple of a width is the last one at a value or below it, as multiples are rounded: the quotient is rounded too, and may
/// be one off.
fn multiple_below(value: f64, width: f64) -> f64 {
    let guess = (value / width).floor();
    match guess {
        _ if guess * width > value => guess - 1.0,
        _ if (guess + 1.0) * width <= value => guess + 1.0,
        _ => guess,
    }
}

/// Edges that rise strictly.
#[derive(Debug, PartialEq)]
pub(super) struct Edges {
    edges: Vec<f64>,
    /// Bins for each unit of the values, where all are about one width: a first guess.
    scale: Option<f64>,
    /// The edges as whole numbers, where they are asked for so.
    wholes: Option<Vec<i64>>,
    /// The least whole number at each edge or above it: what whole numbers beyond those that floats tell apart are compared with.
    ceilings: Vec<i128>,
    /// Whether values are whole numbers. A metric of floats may have blocks of integers: only the floats count there.
    are_whole: bool,
}

impl Edges {
    fn new(edges: Vec<f64>, even: bool, are_whole: bool) -> Self {
        let scale = (edges.len() - 1) as f64 / (edges[edges.len() - 1] - edges[0]);
        let ceilings = edges.iter().map(|edge| edge.ceil() as i128).collect();
        Self { edges, scale: (even && scale.is_finite()).then_some(scale), wholes: None, ceilings, are_whole }
    }

    fn of_wholes(wholes: &[i64]) -> Result<Self> {
        if wholes.len() < 2 || !wholes.is_sorted_by(|a, b| a < b) {
            return Err(not_rising(""));
        }
        // Edges beyond 2^53 may be one float: floats are asked about values below alone, where none of them is reached.
        let edges = Self::new(wholes.iter().map(|edge| *edge as f64).collect(), false, true);
        let ceilings = wholes.iter().map(|edge| i128::from(*edge)).collect();
        Ok(Self { wholes: Some(wholes.to_vec()), ceilings, ..edges })
    }

    /// As [`Self::reached`], of a whole number.
    fn reached_by_whole(&self, value: i64) -> usize {
        if !self.are_whole || Self::floats_suffice((value, value)) {
            return self.reached(value as f64);
        }
        self.ceilings.partition_point(|edge| *edge <= i128::from(value))
    }

    /// Whether floats stand for whole numbers of which these are the extremes.
    pub(super) fn floats_suffice((least, greatest): (i64, i64)) -> bool {
        least > -EXACT_WHOLES && greatest < EXACT_WHOLES
    }

    /// How many edges are at a value or below it: 0 for what is below all bins.
    fn reached(&self, value: f64) -> usize {
        let Some(scale) = self.scale else { return self.edges.partition_point(|edge| *edge <= value) };
        // The cast saturates, and makes 0 of what is below.
        let mut place = (((value - self.edges[0]) * scale + 1.0) as usize).min(self.edges.len());
        while place > 0 && self.edges[place - 1] > value {
            place -= 1;
        }
        while place < self.edges.len() && self.edges[place] <= value {
            place += 1;
        }
        place
    }

    /// The edges of the places of counts: below all bins, each bin, above all.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (Cell, Cell)> + '_ {
        let cell = |place: usize| match &self.wholes {
            Some(wholes) => wholes.get(place).map(|edge| Cell::Integer(*edge)),
            None => self.edges.get(place).map(|edge| Cell::Float(*edge)),
        };
        let edge = move |place: Option<usize>| place.and_then(cell).unwrap_or(Cell::Null);
        (0..=self.edges.len()).map(move |place| (edge(place.checked_sub(1)), edge(Some(place))))
    }
}

/// Counts of values in bins.
#[derive(Debug, Clone)]
pub(super) struct BinCounts {
    edges: Arc<Edges>,
    counts: Vec<u64>,
}

impl BinCounts {
    pub(super) fn new(edges: &Arc<Edges>) -> Self {
        Self { edges: Arc::clone(edges), counts: vec![0; edges.edges.len() + 1] }
    }

    /// Adds values; NaN among them are in no bin.
    pub(super) fn extend(&mut self, values: &[f64]) {
        let numbers = values.iter().filter(|value| !value.is_nan());
        numbers.for_each(|value| self.counts[self.edges.reached(*value)] += 1);
    }

    /// Adds whole numbers.
    pub(super) fn extend_wholes(&mut self, values: &[i64]) {
        values.iter().for_each(|value| self.counts[self.edges.reached_by_whole(*value)] += 1);
    }

    /// Adds so many values of which the extremes are known, by whether they are whole numbers; `false`, and nothing added, where these
    /// lie in different bins.
    pub(super) fn add_between(&mut self, (min, max): (f64, f64), wholes: Option<(i64, i64)>, count: u64) -> bool {
        let (first, last) = match wholes {
            Some((min, max)) => (self.edges.reached_by_whole(min), self.edges.reached_by_whole(max)),
            None => (self.edges.reached(min), self.edges.reached(max)),
        };
        if first == last {
            self.counts[first] += count;
        }
        first == last
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.counts.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_say_bins() {
        let read = |text: &str| text.parse::<Bins>();
        assert_eq!(read("5").unwrap(), Bins::Width(5.0));
        assert_eq!(read("0:100:20").unwrap(), Bins::Equal { from: 0.0, to: 100.0, count: 20 });
        assert_eq!(read("-1,0.5,2").unwrap(), Bins::Edges(vec![-1.0, 0.5, 2.0]));
        for wrong in [
            "",
            "x",
            "0",
            "-1",
            "nan",
            "inf",
            "1,1",
            "2,1",
            "0:1",
            "0:1:0",
            "1:0:5",
            "0:1:-1",
            "0:1:2:3",
            "1,",
            "0:inf:3",
            "9007199254740993",
            "0:9007199254740993:2",
            "0.5,9007199254740993",
            "3,3",
            "1e400,2",
        ] {
            assert_eq!(read(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
        assert_eq!(read("0,9007199254740993").unwrap(), Bins::WholeEdges(vec![0, 9_007_199_254_740_993]));
        assert_eq!(read("0:1:10001").unwrap_err().kind(), ErrorKind::LimitExceeded);
        let edges = Bins::Width(0.1).cut(Some((-0.05, 0.25)), false).unwrap();
        assert_eq!(edges.edges, [-0.1, 0.0, 0.1, 0.2, 0.1 * 3.0]);
        assert!(Bins::Width(1.0).cut(Some((f64::NEG_INFINITY, 3.0)), false).is_err());
    }

    #[test]
    fn whole_numbers_are_compared_exactly_with_edges_of_any_kind() {
        let large = 1_i64 << 53;
        let near = (-3..4).flat_map(|beside| [large + beside, -large + beside, beside]);
        let values: Vec<i64> = near.chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]).collect();
        let exact = |edges: &[i128], value: i64| edges.iter().filter(|edge| **edge <= i128::from(value)).count();
        let wholes = [i64::MIN, -large - 1, -large, -1, 0, large, large + 1, large + 3, i64::MAX];
        let edges = Bins::WholeEdges(wholes.to_vec()).cut(None, true).unwrap();
        for value in &values {
            assert_eq!(edges.reached_by_whole(*value), exact(&wholes.map(i128::from), *value), "{value}");
        }
        let shown: Vec<Cell> = edges.bounds().map(|bin| bin.1).collect();
        assert_eq!(shown[6], Cell::Integer(large + 1));
        // A metric of floats counts a block of integers by its floats.
        let as_floats = Bins::Edges(vec![0.0, (large + 4) as f64]).cut(None, false).unwrap();
        assert_eq!(as_floats.reached_by_whole(large + 3), as_floats.reached((large + 3) as f64));
        // Of floats: 2^53 and 2^53 + 4 are such, and -0.5 lies below 0.
        let floats = Bins::Edges(vec![-0.5, large as f64, (large + 4) as f64, 1e300]).cut(None, true).unwrap();
        for value in &values {
            let expected = exact(&[0, i128::from(large), i128::from(large) + 4], *value);
            assert_eq!(floats.reached_by_whole(*value), expected, "{value}");
        }
        // As floats two of them are one.
        let error = Bins::WholeEdges(vec![large, large + 1]).cut(None, false).unwrap_err();
        assert!(error.to_string().contains("as floats"), "{error}");
    }

    #[test]
    fn a_width_holds_values_that_its_multiples_are_rounded_beside() {
        // 17 * 0.1 is 1.7000000000000002, and 43 * 0.1 is 4.3.
        let edges = Bins::Width(0.1).cut(Some((1.7, 4.3)), false).unwrap();
        assert_eq!((edges.edges[0], edges.edges[1]), (1.6, 1.7000000000000002));
        assert_eq!(edges.edges[edges.edges.len() - 2..], [4.3, 4.4]);
    }

    proptest! {
        #[test]
        fn a_width_reaches_from_the_least_to_the_greatest_and_no_further(
            width in prop_oneof![prop::sample::select(vec![0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 1.0, 1e-3, 2.5, 10.0, 1e6, 1.0 / 3.0]), 1e-9_f64..1e9],
            ends in [(-4_000_i32..4_000, -1_i8..2), (-4_000_i32..4_000, -1_i8..2)],
        ) {
            // At multiples, as a sensor's driver rounds them, and beside them.
            let [a, b] = ends.map(|(multiple, beside)| {
                let value = f64::from(multiple) * width;
                match beside { -1 => value.next_down(), 0 => value, _ => value.next_up() }
            });
            let (least, greatest) = (a.min(b), a.max(b));
            let edges = Bins::Width(width).cut(Some((least, greatest)), false).unwrap();
            prop_assert_eq!((edges.reached(least), edges.reached(greatest)), (1, edges.edges.len() - 1));
        }

        #[test]
        fn a_value_lies_where_its_edges_say(from in -1e3_f64..1e3, long in 1e-6_f64..1e4, count in 1_usize..300, part in -0.2_f64..1.2, on_edge: bool) {
            let edges = Bins::Equal { from, to: from + long, count }.cut(None, false).unwrap();
            let value = from + long * part;
            let value = if on_edge { edges.edges[(part.abs() * count as f64) as usize % (count + 1)] } else { value };
            prop_assert_eq!(edges.reached(value), edges.edges.iter().filter(|edge| **edge <= value).count());
            prop_assert_eq!(edges.reached(f64::INFINITY), count + 1);
            prop_assert_eq!(edges.reached(f64::NEG_INFINITY), 0);
        }
    }
}
