//! Bins of a histogram, and counts of values in them.
//!
//! Guarantees: a bin holds the values from its lower edge (in) to its upper (out); what lies below the first edge, and at the last or above
//! it, is counted beside. Edges rise strictly and are finite, and the ones that count are the ones that an answer shows, to the bit. Counts
//! are exact, and merge in any order.

use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The most bins of a histogram.
const BINS_MAX: usize = 10_000;

/// How the values of a histogram are cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Bins {
    /// At these edges, which rise.
    Edges(Vec<f64>),
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
            number.ok_or_else(|| wrong(format!("'{}' is no number that bins may have", part.escape_debug())))
        };
        let bins = match text.split(':').collect::<Vec<_>>().as_slice() {
            [from, to, count] => {
                let count =
                    count.trim().parse().map_err(|_| wrong(format!("'{}' counts no bins", count.escape_debug())))?;
                Self::Equal { from: number(from)?, to: number(to)?, count }
            }
            [edges] if edges.contains(',') => Self::Edges(edges.split(',').map(number).collect::<Result<_>>()?),
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
            _ => self.cut(None).map(drop),
        }
    }

    /// The edges, given the extremes of the values where a width asks for them.
    pub(super) fn cut(&self, extremes: Option<(f64, f64)>) -> Result<Arc<Edges>> {
        let limited = |count: f64| {
            if count <= BINS_MAX as f64 {
                return Ok(count as usize);
            }
            Err(Error::new(ErrorKind::LimitExceeded, format!("that makes more than {BINS_MAX} bins"))
                .advise("ask for wider bins, or say from where to where: 0:100:20"))
        };
        let edges = match (self, extremes) {
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
            return Err(wrong("bins have two edges or more, and each edge is greater than the one before it"));
        }
        Ok(Arc::new(Edges::new(edges, !matches!(self, Self::Edges(_)))))
    }
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
}

impl Edges {
    fn new(edges: Vec<f64>, even: bool) -> Self {
        let scale = (edges.len() - 1) as f64 / (edges[edges.len() - 1] - edges[0]);
        Self { edges, scale: (even && scale.is_finite()).then_some(scale) }
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
    pub(super) fn bounds(&self) -> impl Iterator<Item = (Option<f64>, Option<f64>)> + '_ {
        let edge = |place: Option<usize>| place.and_then(|place| self.edges.get(place).copied());
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

    /// Adds values of which the extremes are known; `false`, and nothing added, where these lie in different bins.
    pub(super) fn add_between(&mut self, (min, max): (f64, f64), count: u64) -> bool {
        let (first, last) = (self.edges.reached(min), self.edges.reached(max));
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
            "", "x", "0", "-1", "nan", "inf", "1,1", "2,1", "0:1", "0:1:0", "1:0:5", "0:1:-1", "0:1:2:3", "1,",
            "0:inf:3",
        ] {
            assert_eq!(read(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
        assert_eq!(read("0:1:10001").unwrap_err().kind(), ErrorKind::LimitExceeded);
        let edges = Bins::Width(0.1).cut(Some((-0.05, 0.25))).unwrap();
        assert_eq!(edges.edges, [-0.1, 0.0, 0.1, 0.2, 0.1 * 3.0]);
        assert!(Bins::Width(1.0).cut(Some((f64::NEG_INFINITY, 3.0))).is_err());
    }

    #[test]
    fn a_width_holds_values_that_its_multiples_are_rounded_beside() {
        // 17 * 0.1 is 1.7000000000000002, and 43 * 0.1 is 4.3.
        let edges = Bins::Width(0.1).cut(Some((1.7, 4.3))).unwrap();
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
            let edges = Bins::Width(width).cut(Some((least, greatest))).unwrap();
            prop_assert_eq!((edges.reached(least), edges.reached(greatest)), (1, edges.edges.len() - 1));
        }

        #[test]
        fn a_value_lies_where_its_edges_say(from in -1e3_f64..1e3, long in 1e-6_f64..1e4, count in 1_usize..300, part in -0.2_f64..1.2, on_edge: bool) {
            let edges = Bins::Equal { from, to: from + long, count }.cut(None).unwrap();
            let value = from + long * part;
            let value = if on_edge { edges.edges[(part.abs() * count as f64) as usize % (count + 1)] } else { value };
            prop_assert_eq!(edges.reached(value), edges.edges.iter().filter(|edge| **edge <= value).count());
            prop_assert_eq!(edges.reached(f64::INFINITY), count + 1);
            prop_assert_eq!(edges.reached(f64::NEG_INFINITY), 0);
        }
    }
}
