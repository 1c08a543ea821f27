//! Encoded columns read where they lie: group by group, as whole numbers above the lowest of the group, without a decoded
//! column.
//!
//! Guarantees: what is computed here is what the decoded values give: sums of integers exactly, sums of decimals within a
//! rounding of the exact one of the decimals, extremes and comparisons exactly. The order of the whole numbers is that of the
//! values.

use crate::error::Result;
use crate::model::MetricType;

use super::bits::GROUP;
use super::decimal::GroupedDecimals;
use super::grouped::Grouped;
use super::kernels::{Factor, Kernels};
pub use super::lanes::{Aligned, SummaryOf};
use super::lanes::{Offsets, Summary};
use super::{begin, value_code};

/// How many values a group has, but for the last one of a column.
pub const GROUP_VALUES: usize = GROUP;

/// Whole numbers of a smaller magnitude become floats by kernels.
const FLOATS_LIMIT: i64 = 1 << 51;

/// The whole numbers of a group as distances from its lowest, with room for a full one.
pub type GroupOffsets = Offsets;

/// What is known of some values of a group, as distances from its lowest.
pub type GroupSummary = Summary;

/// A column whose values are whole numbers in groups, or decimals that are kept as such, each group spanning less than 2^32.
#[derive(Debug)]
pub struct PackedValues<'a> {
    column: Column<'a>,
    kernels: &'static Kernels,
}

#[derive(Debug)]
enum Column<'a> {
    Integers(Grouped<'a>),
    Decimals(GroupedDecimals<'a>),
}

impl<'a> PackedValues<'a> {
    /// Reads the heads of `count` encoded values; `None` where they are encoded in another way, or their whole numbers do not add
    /// up to what the values do.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`], as [`super::decode_values`].
    pub fn read(bytes: &'a [u8], metric_type: MetricType, count: usize) -> Result<Option<Self>> {
        // A column without values has no groups: what it is of, its decoder says.
        if count == 0 {
            return Ok(None);
        }
        let mut reader = begin(bytes, count)?;
        let column = match (metric_type, reader.byte()?) {
            (MetricType::Integer, value_code::GROUPED_INTEGERS) => Column::Integers(Grouped::read(reader, count)?),
            (MetricType::Float, value_code::GROUPED_DECIMALS) => {
                Column::Decimals(GroupedDecimals::read(reader, count)?)
            }
            _ => return Ok(None),
        };
        let packed = Self { column, kernels: Kernels::best() };
        let adds_up = match &packed.column {
            Column::Integers(_) => true,
            Column::Decimals(decimals) => decimals.adds_up(),
        };
        Ok((adds_up && packed.grouped().are_narrow()).then_some(packed))
    }

    fn grouped(&self) -> &Grouped<'a> {
        match &self.column {
            Column::Integers(groups) => groups,
            Column::Decimals(decimals) => &decimals.groups,
        }
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.grouped().heads().len()
    }

    /// Bounds of the whole numbers of a group, those in the places of exceptions among them: none lies below the lowest, and none above
    /// the highest.
    ///
    /// # Panics
    /// For a group that is not one of [`Self::groups`].
    #[must_use]
    pub fn bounds(&self, group: usize) -> (i64, i64) {
        let head = &self.grouped().heads()[group];
        (head.lowest, head.highest)
    }

    /// Bounds of the whole numbers of all groups, as [`Self::bounds`]; they cross where there are none.
    #[must_use]
    pub fn all_bounds(&self) -> (i64, i64) {
        let ends = (0..self.groups()).map(|group| self.bounds(group));
        ends.fold((i64::MAX, i64::MIN), |all, own| (all.0.min(own.0), all.1.max(own.1)))
    }

    /// The places of a group whose whole numbers mean nothing, and the values there, rising; of a group that is not there, none.
    #[must_use]
    pub fn exceptions(&self, group: usize) -> &[(usize, f64)] {
        match &self.column {
            Column::Integers(_) => &[],
            Column::Decimals(decimals) => {
                let from = group.saturating_mul(GROUP);
                decimals.exceptions_in(from..from.saturating_add(GROUP))
            }
        }
    }

    /// The exact sum of the whole numbers of a group.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    ///
    /// # Panics
    /// For a group that is not one of [`Self::groups`].
    pub fn sum(&self, group: usize) -> Result<i128> {
        self.grouped().sum(group, self.kernels)
    }

    /// The whole numbers of a group, as distances from the lowest; those behind its last are unspecified.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    ///
    /// # Panics
    /// For a group that is not one of [`Self::groups`].
    pub fn offsets(&self, group: usize, offsets: &mut GroupOffsets) -> Result<()> {
        self.grouped().offsets(group, self.kernels, offsets)
    }

    /// The value of a whole number.
    #[must_use]
    pub fn value(&self, whole: i64) -> f64 {
        match &self.column {
            Column::Integers(_) => whole as f64,
            Column::Decimals(decimals) => decimals.value(whole),
        }
    }

    /// What a sum of whole numbers, or any multiple of one, is as values.
    #[must_use]
    pub fn scaled(&self, wholes: f64) -> f64 {
        match &self.column {
            Column::Integers(_) => wholes,
            Column::Decimals(decimals) => decimals.scaled(wholes),
        }
    }

    /// The values of a group, as [`Self::floats`] makes them of its whole numbers, faster than in two steps; what `offsets` hold then is
    /// unspecified.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corruption`].
    ///
    /// # Panics
    /// For a group that is not one of [`Self::groups`].
    pub fn unpack_floats(
        &self,
        group: usize,
        offsets: &mut GroupOffsets,
        floats: &mut [f64; GROUP_VALUES],
    ) -> Result<()> {
        let (lowest, highest) = self.bounds(group);
        if -FLOATS_LIMIT < lowest && highest < FLOATS_LIMIT {
            return self.grouped().floats(group, (self.kernels, self.factor()), offsets, floats);
        }
        self.offsets(group, offsets)?;
        self.floats(group, offsets, floats);
        Ok(())
    }

    fn factor(&self) -> &Factor {
        match &self.column {
            Column::Integers(_) => &Factor::ONE,
            Column::Decimals(decimals) => &decimals.factor,
        }
    }

    /// The values of a group whose whole numbers [`Self::offsets`] said; in the places of exceptions they mean nothing.
    ///
    /// # Panics
    /// For a group that is not one of [`Self::groups`].
    pub fn floats(&self, group: usize, offsets: &GroupOffsets, floats: &mut [f64; GROUP_VALUES]) {
        let (lowest, highest) = self.bounds(group);
        if -FLOATS_LIMIT < lowest && highest < FLOATS_LIMIT {
            return self.kernels.floats(offsets, lowest, self.factor(), floats);
        }
        for (float, offset) in floats.iter_mut().zip(offsets) {
            *float = self.value(lowest.wrapping_add(i64::from(*offset)));
        }
    }

    /// Summarises some offsets, or those of them that a mask of as many (all ones or 0) keeps.
    ///
    /// # Panics
    /// For more offsets than [`GROUP_VALUES`], and for a mask of another number.
    #[must_use]
    pub fn summarise(&self, offsets: &[u32], mask: Option<&[u32]>, of: SummaryOf) -> GroupSummary {
        assert!(offsets.len() <= GROUP_VALUES, "{} offsets are more than a group has", offsets.len());
        assert!(mask.is_none_or(|mask| mask.len() == offsets.len()), "a mask is of another number than its offsets");
        self.kernels.summarise(offsets, mask, of)
    }

    /// Masks out the offsets that do not lie between two bounds, both included, or, `outside`, those that do.
    pub fn mask_between(&self, offsets: &GroupOffsets, bounds: (u32, u32), outside: bool, mask: &mut GroupOffsets) {
        self.kernels.mask_between(offsets, bounds, outside, mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode_values, decode_values_at, encode_values};
    use crate::error::ErrorKind;
    use crate::model::Values;

    #[test]
    fn what_is_computed_where_it_lies_is_what_the_values_give() {
        let floats: Vec<f64> = (0..1_000)
            .map(|i| match i {
                13 => f64::NAN,
                700 => -0.0,
                _ => f64::from(i * i % 977 - 300) / 100.0,
            })
            .collect();
        let mut bytes = Vec::new();
        encode_values(&Values::Float(floats.clone()), &mut bytes).unwrap();
        let packed = PackedValues::read(&bytes, MetricType::Float, floats.len()).unwrap().unwrap();
        assert_eq!(packed.groups(), 4);
        assert_eq!(packed.exceptions(0)[0].0, 13);
        assert_eq!((packed.exceptions(1).len(), packed.exceptions(2)[0].0), (0, 700));
        let mut offsets = [0; GROUP];
        for (group, values) in floats.chunks(GROUP).enumerate() {
            packed.offsets(group, &mut offsets).unwrap();
            let (lowest, highest) = packed.bounds(group);
            let mut sum = 0;
            for (place, value) in values.iter().enumerate() {
                let whole = lowest + i64::from(offsets[place]);
                assert!(whole <= highest);
                sum += i128::from(whole);
                if !packed.exceptions(group).iter().any(|(at, _)| *at == group * GROUP + place) {
                    assert_eq!(packed.value(whole).to_bits(), value.to_bits());
                }
            }
            assert_eq!(packed.sum(group).unwrap(), sum);
            let mut scaled = [0.0; GROUP];
            packed.floats(group, &offsets, &mut scaled);
            for (place, value) in values.iter().enumerate() {
                let excepted = packed.exceptions(group).iter().any(|(at, _)| *at == group * GROUP + place);
                assert!(excepted || scaled[place].to_bits() == value.to_bits());
            }
        }
        assert!((packed.scaled(12_345.0) - 123.45).abs() < 1e-12);
        // Rounded to 32 bits each, decimals do not add up to what their whole numbers do.
        let single: Vec<f64> = (0..1_000).map(|i| f64::from((f64::from(i) / 10.0) as f32)).collect();
        let mut bytes = Vec::new();
        encode_values(&Values::Float(single), &mut bytes).unwrap();
        assert!(PackedValues::read(&bytes, MetricType::Float, 1_000).unwrap().is_none());
    }

    #[test]
    fn values_that_would_wrap_around_are_refused_on_every_road() {
        // A full frame of 3 bits above the greatest integer: rests 1 in all first places of the lanes.
        let head = [value_code::GROUPED_INTEGERS, 3, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let mut bytes = head.to_vec();
        bytes.resize(head.len() + 3 * 32, 0);
        (0..8).for_each(|lane| bytes[head.len() + lane * 4] = 1);
        let packed = PackedValues::read(&bytes, MetricType::Integer, GROUP).unwrap().unwrap();
        assert_eq!(packed.bounds(0), (i64::MAX, i64::MAX));
        assert_eq!(kind(packed.sum(0)), Err(ErrorKind::Corruption));
        assert_eq!(kind(packed.offsets(0, &mut [0; GROUP])), Err(ErrorKind::Corruption));
        assert_eq!(kind(decode_values(&bytes, MetricType::Integer, GROUP)), Err(ErrorKind::Corruption));
    }

    fn kind<T>(result: Result<T>) -> std::result::Result<(), ErrorKind> {
        result.map(drop).map_err(|error| error.kind())
    }

    /// A full group of decimals of a scale, all but one of them the lowest.
    fn decimals(scale: u8, lowest: i64, (place, rest): (usize, u32)) -> Vec<u8> {
        let mut bytes = vec![value_code::GROUPED_DECIMALS, scale, 0, 2, 0];
        crate::bytes::put_signed(lowest, &mut bytes);
        let at = bytes.len();
        bytes.resize(at + 2 * 32, 0);
        let mut rests = [0; GROUP];
        rests[place] = rest;
        Kernels::best().pack(&rests, 2, &mut bytes[at..]);
        bytes
    }

    #[test]
    fn decimals_end_below_two_to_the_51_on_every_road_and_level() {
        let end = 1_i64 << 51;
        for (lowest, rest) in [(end - 4, 3), (end - 1, 0), (-end, 3)] {
            for places in 0..=18_u8 {
                let bytes = decimals(places, lowest, (77, rest));
                let power: f64 = format!("1e{places}").parse().unwrap();
                let expected: Vec<u64> = (0..GROUP)
                    .map(|place| ((lowest + if place == 77 { i64::from(rest) } else { 0 }) as f64 / power).to_bits())
                    .collect();
                let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
                Kernels::on_each_level(|kernels| {
                    let Values::Float(all) = decode_values(&bytes, MetricType::Float, GROUP).unwrap() else { panic!() };
                    assert_eq!(bits(&all), expected, "{kernels:?}");
                    let packed = PackedValues::read(&bytes, MetricType::Float, GROUP).unwrap().unwrap();
                    assert!(packed.bounds(0).1 < end);
                    let (mut offsets, mut floats) = ([0; GROUP], [0.0; GROUP]);
                    packed.offsets(0, &mut offsets).unwrap();
                    packed.floats(0, &offsets, &mut floats);
                    assert_eq!(bits(&floats), expected, "{kernels:?}");
                    assert_eq!(packed.sum(0).unwrap(), i128::from(lowest) * 256 + i128::from(rest));
                });
            }
        }
        for (lowest, rest) in [(end - 1, 2), (end - 3, 3), (end, 0), (-end - 1, 1)] {
            let bytes = decimals(2, lowest, (77, rest));
            let refused = Err(ErrorKind::Corruption);
            Kernels::on_each_level(|_| {
                assert_eq!(kind(decode_values(&bytes, MetricType::Float, GROUP)), refused);
                assert_eq!(kind(decode_values_at(&bytes, MetricType::Float, GROUP, 3..9)), refused);
                let packed = PackedValues::read(&bytes, MetricType::Float, GROUP).map(Option::unwrap);
                let sum = packed.as_ref().map_err(|error| error.kind()).and_then(|packed| {
                    assert_eq!(kind(packed.offsets(0, &mut [0; GROUP])), refused);
                    packed.sum(0).map_err(|error| error.kind())
                });
                assert_eq!(sum, Err(ErrorKind::Corruption), "{lowest} {rest}");
            });
        }
    }

    #[test]
    fn compressed_decimals_end_there_too() {
        let end = 1_i64 << 51;
        for (lowest, span, whole) in [
            (end - 300, 299, true),
            (end - 1, 2, false),
            (end - 300, 300, false),
            (end - 70_000, 69_999, true),
            (end - 1, 70_000, false),
            (end - (1 << 33), (1 << 33) - 1, true),
            (end - (1 << 33), 1 << 33, false),
            (-end, 77, true),
            (-end - 1, 77, false),
        ] {
            let integers: Vec<i64> = (0..300).map(|place| lowest + span * (place % 2)).collect();
            let mut bytes = vec![value_code::COMPRESSED_DECIMALS, 1, 0];
            assert!(crate::codec::compressed::encode_integers(&integers, &mut bytes));
            Kernels::on_each_level(|kernels| match decode_values(&bytes, MetricType::Float, 300) {
                Ok(Values::Float(values)) => {
                    let expected = |place: usize| (integers[place] as f64 / 10.0).to_bits();
                    assert!((0..300).all(|place| values[place].to_bits() == expected(place)), "{kernels:?}");
                    assert!(whole, "{lowest} {span}");
                }
                other => assert_eq!((kind(other), whole), (Err(ErrorKind::Corruption), false), "{lowest} {span}"),
            });
        }
    }

    #[test]
    fn a_column_without_values_is_of_its_decoder() {
        for (code, metric_type) in
            [(value_code::GROUPED_INTEGERS, MetricType::Integer), (value_code::GROUPED_DECIMALS, MetricType::Float)]
        {
            for bytes in [vec![code], vec![code, 0, 0]] {
                assert!(PackedValues::read(&bytes, metric_type, 0).unwrap().is_none());
                assert_eq!(kind(decode_values(&bytes, metric_type, 0)), Err(ErrorKind::Corruption));
                assert_eq!(kind(decode_values_at(&bytes, metric_type, 0, 0..0)), Err(ErrorKind::Corruption));
            }
            assert_eq!(kind(PackedValues::read(&[code], metric_type, usize::MAX)), Err(ErrorKind::LimitExceeded));
        }
    }

    #[test]
    #[should_panic = "another number"]
    fn a_mask_of_another_number_is_refused_in_words() {
        let bytes = decimals(0, 1, (0, 1));
        let packed = PackedValues::read(&bytes, MetricType::Float, GROUP).unwrap().unwrap();
        let _ = packed.summarise(&[1, 2, 3], Some(&[u32::MAX]), SummaryOf::Sum);
    }
}
