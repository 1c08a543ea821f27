//! Parts of slices as they are stored are what the same part of all rows is: wherever they are cut, whatever has no value there.

use proptest::prelude::*;

use super::tests::{pages, same_rows};
use super::*;
use crate::codec::Tier;
use crate::io::RealFileSystem;
use crate::model::{Column, DeviceRows, MetricHandle, Presence, Sequence, TextValues, Values};
use crate::time::{BucketWidth, DAY_NS, TimeRange, Timestamp};

const MONTH: i32 = 660;
/// 2025-01-01, where the month of that number begins.
const START_NS: i64 = 20_089 * DAY_NS;
const MINUTE_NS: i64 = 60_000_000_000;

/// Numbers that look random, the same of each seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Whether a row lies beside the edge of a group.
fn at_edge(row: usize) -> bool {
    matches!(row % 256, 0 | 1 | 255)
}

/// Regular times, times with jitter, with holes at the edges of groups, with one long silence, wild ones.
fn times(kind: u8, count: usize, numbers: &mut Numbers) -> Vec<i64> {
    let mut time = START_NS + 5;
    let next = |row: usize| {
        let own = time;
        time += match kind {
            1 => MINUTE_NS / 2 + numbers.below(1_000_000) as i64,
            2 if at_edge(row) => MINUTE_NS * (1 + numbers.below(4) as i64),
            3 if row == 300 => 5 * DAY_NS,
            4 => 1 + numbers.below(MINUTE_NS as u64) as i64,
            _ => MINUTE_NS / 2,
        };
        own
    };
    (0..count).map(next).collect()
}

/// The rows that have a value: all, every third, all but a stretch, a few, about half.
fn presence(kind: u8, count: usize, numbers: &mut Numbers) -> Vec<u32> {
    let has = |row: &usize| match kind {
        1 => row.is_multiple_of(3),
        2 => !(200..600).contains(row),
        3 => at_edge(*row) || *row == 17,
        4 => numbers.below(2) == 0,
        _ => true,
    };
    (0..count).filter(has).map(|row| row as u32).collect()
}

fn values(kind: u8, count: usize, numbers: &mut Numbers) -> Values {
    let mut walk = 2_000_i64;
    let mut step = || {
        walk += numbers.below(41) as i64 - 20;
        (walk, numbers.below(90) == 0)
    };
    let odd = [f64::NAN, f64::INFINITY, -0.0, 0.1 + 0.2, f64::from_bits(0x7ff8_0000_0000_beef)];
    let mut float = |place: usize, often: bool| {
        let (walk, rare) = step();
        if rare || (often && at_edge(place)) { odd[place % odd.len()] } else { walk as f64 / 100.0 }
    };
    match kind {
        0 => Values::Float((0..count).map(|place| float(place, true)).collect()),
        1 => Values::Float((0..count).map(|place| float(place, false) / 3.0).collect()),
        2 => Values::Integer((0..count).map(|place| if at_edge(place) { 1 << 20 } else { step().0 }).collect()),
        3 => Values::Integer((0..count).map(|place| i64::MIN + place as i64 * 12).collect()),
        4 => Values::Integer((0..count).map(|_| if step().1 { i64::MAX } else { step().0 }).collect()),
        5 => Values::Boolean((0..count).map(|place| place / 100 % 2 == 0).collect()),
        6 => Values::Float(vec![21.5; count]),
        _ => {
            let dictionary = vec!["ok".into(), "fault".into(), "".into()];
            Values::Text(TextValues { dictionary, codes: (0..count).map(|place| (place / 90 % 3) as u32).collect() })
        }
    }
}

fn slice(count: usize, kind: u8, columns: &[(u8, u8)], seed: u64) -> DeviceRows {
    let mut numbers = Numbers(seed);
    let times = times(kind, count, &mut numbers);
    let column = |(place, (shape, present)): (usize, &(u8, u8))| {
        let positions = presence(*present, count, &mut numbers);
        let values = values(*shape, positions.len(), &mut numbers);
        (MetricHandle(place as u32 * 2), Column { presence: Presence::from_positions(positions, count), values })
    };
    let columns = columns.iter().enumerate().map(column).filter(|(_, column)| !column.values.is_empty()).collect();
    DeviceRows { times, columns }
}

/// An end of a range: at a row or beside it, mostly where a group ends; or at an end of time.
fn end() -> impl Strategy<Value = Option<(usize, i64)>> {
    let row = prop_oneof![
        prop::sample::select(vec![0_usize, 255, 256, 257, 511, 512, 767, 768, 1_023, 1_024]),
        0_usize..1_300,
    ];
    proptest::option::weighted(0.9, (row, -1_i64..2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_part_of_what_is_stored_is_that_part_of_all_rows(
        count in prop_oneof![1_usize..300, 256_usize..1_300],
        kind in 0_u8..5,
        columns in prop::collection::vec((0_u8..8, 0_u8..5), 1..5),
        ranges in prop::collection::vec((end(), end()), 8),
        cold: bool,
        seed: u64,
    ) {
        let all = slice(count, kind, &columns, seed);
        let folder = tempfile::tempdir().unwrap();
        let (sequences, tier) = ((Sequence(3), Sequence(9)), if cold { Tier::Cold } else { Tier::Fast });
        let system = std::sync::Arc::new(RealFileSystem);
        let width = BucketWidth::Month;
        let mut writer = SegmentWriter::create(system, folder.path(), SegmentId(42), width, sequences, tier).unwrap();
        writer.write_slice(DeviceHandle(3), MONTH, &all).unwrap();
        let entry = writer.finish().unwrap();
        let segment = std::sync::Arc::new(Segment::open(&RealFileSystem, folder.path(), &entry, &pages()).unwrap());
        let metrics: Vec<MetricHandle> = all.columns.iter().map(|(metric, _)| *metric).collect();
        let mut encoded = EncodedSlice::default();
        segment.read_encoded(0, &metrics, &mut encoded).unwrap();
        let instant = |end: Option<(usize, i64)>, none: Timestamp| {
            end.map_or(none, |(row, beside)| Timestamp::from_nanoseconds(all.times[row.min(count - 1)] + beside))
        };
        for (from, to) in ranges {
            let range = TimeRange::new(instant(from, Timestamp::MIN), instant(to, Timestamp::MAX));
            let expected = all.part(all.places_in(range));
            let found = encoded.part(range).unwrap();
            prop_assert!(found.check().is_ok());
            prop_assert!(same_rows(&found, &expected), "{range:?}: {found:?} is not {expected:?}");
        }
    }
}
