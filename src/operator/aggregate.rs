//! Aggregates: the words of a request, and which parts of a partial result they need.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// One number (or text) out of many samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    /// Samples that are not NaN.
    Count,
    /// NaN.
    CountNan,
    /// Sum; exact for integers.
    Sum,
    /// Mean.
    Mean,
    /// Least value.
    Min,
    /// Greatest value.
    Max,
    /// Standard deviation of a sample (n-1).
    Stddev,
    /// Variance of a sample (n-1).
    Variance,
    /// Value (or text) at the earliest instant; of several devices at one instant the first by id.
    First,
    /// Value (or text) at the latest instant; of several devices at one instant the last by id.
    Last,
    /// The median: as a percentile of 50.
    Median,
    /// A percentile, 0 to 100, by linear interpolation (type 7) while a group has at most 65,536 samples; beyond that within 1%
    /// of the value.
    Percentile(f64),
    /// Counts by power of two: `[1,2):17 [2,4):3`; values up to 0 stand apart.
    Histogram,
    /// Growth per second: for each device first, over the time that its increments took, then summed.
    Rate,
    /// Growth: for each device first, then summed; exact for integers. A decrease of a counter is a reset (arithmetic of metrics is no
    /// counter). An increment lies between two consecutive samples of a device that are not NaN, whatever range, condition or
    /// group is asked for, and belongs to its later sample: it counts where that sample does.
    Delta,
    /// Slope of a least-squares line, per day.
    Slope,
}

#[allow(non_upper_case_globals)]
impl Aggregate {
    /// The 95th percentile.
    pub const P95: Self = Self::Percentile(95.0);
    /// The 99th percentile.
    pub const P99: Self = Self::Percentile(99.0);
}

impl Aggregate {
    /// Whether texts have it.
    pub(super) fn is_of_text(self) -> bool {
        matches!(self, Self::Count | Self::CountNan | Self::First | Self::Last)
    }

    /// Whether it is a whole number where the values are.
    pub(super) fn keeps_type(self) -> bool {
        matches!(self, Self::Sum | Self::Min | Self::Max | Self::Delta)
    }

    /// Whether it counts or adds up: nothing adds to it in a window without samples, so that it is never filled.
    pub(super) fn adds_up(self) -> bool {
        matches!(self, Self::Count | Self::CountNan | Self::Sum | Self::Delta | Self::Rate | Self::Histogram)
    }
}

impl FromStr for Aggregate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = match text {
            "count" => Self::Count,
            "count_nan" => Self::CountNan,
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "min" => Self::Min,
            "max" => Self::Max,
            "stddev" => Self::Stddev,
            "variance" => Self::Variance,
            "first" => Self::First,
            "last" => Self::Last,
            "median" => Self::Median,
            "histogram" => Self::Histogram,
            "rate" => Self::Rate,
            "delta" => Self::Delta,
            "slope" => Self::Slope,
            other => {
                let percent = other.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
                match percent.filter(|percent| (0.0..=100.0).contains(percent)) {
                    Some(percent) => Self::Percentile(percent.abs()),
                    None => {
                        return Err(Error::new(ErrorKind::InvalidInput, format!("'{}' is not an aggregate", text.escape_default())).advise(
                            "use count, count_nan, sum, mean, min, max, stddev, variance, first, last, median, p95, histogram, rate, delta or slope",
                        ));
                    }
                }
            }
        };
        Ok(known)
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Count => "count",
            Self::CountNan => "count_nan",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Stddev => "stddev",
            Self::Variance => "variance",
            Self::First => "first",
            Self::Last => "last",
            Self::Histogram => "histogram",
            Self::Rate => "rate",
            Self::Delta => "delta",
            Self::Slope => "slope",
            Self::Median => "median",
            // The shortest text that reads back to the same percent.
            Self::Percentile(percent) => return write!(f, "p{percent}"),
        };
        f.write_str(word)
    }
}

/// What a partial result must gather.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Each value by itself: quantiles, histograms.
    pub(super) values: bool,
    /// Growth from sample to sample.
    pub(super) growth: bool,
    /// More than cells of rollups can tell: variance, first, last, slope.
    pub(super) whole_blocks: bool,
    /// First and last.
    pub(super) ends: bool,
    /// How far values lie from their mean.
    pub(super) deviation: bool,
    /// Where in time the samples lie.
    pub(super) slope: bool,
    /// Extremes, which cells of rollups have as floats only.
    pub(super) extremes: bool,
}

impl Needs {
    pub(super) fn of(aggregates: &[Aggregate]) -> Self {
        let mut needs = Self::default();
        for aggregate in aggregates {
            match aggregate {
                Aggregate::Median | Aggregate::Percentile(_) | Aggregate::Histogram => needs.values = true,
                Aggregate::Rate | Aggregate::Delta => needs.growth = true,
                Aggregate::Stddev | Aggregate::Variance => (needs.whole_blocks, needs.deviation) = (true, true),
                Aggregate::First | Aggregate::Last => (needs.whole_blocks, needs.ends) = (true, true),
                Aggregate::Slope => (needs.whole_blocks, needs.slope) = (true, true),
                Aggregate::Min | Aggregate::Max => needs.extremes = true,
                _ => {}
            }
        }
        needs
    }

    /// Whether statistics can stand for values.
    pub(super) fn statistics_suffice(self) -> bool {
        !self.values && !self.growth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for word in [
            "count",
            "mean",
            "stddev",
            "median",
            "p95",
            "p99.9",
            "p99.99",
            "p99.99999",
            "p50",
            "p1",
            "histogram",
            "rate",
            "slope",
            "count_nan",
        ] {
            assert_eq!(word.parse::<Aggregate>().unwrap().to_string(), word);
        }
        for wrong in ["avg", "p101", "p-1", "p", "", "pnan"] {
            assert!(wrong.parse::<Aggregate>().is_err(), "{wrong}");
        }
    }
}
