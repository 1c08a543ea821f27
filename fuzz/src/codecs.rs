//! The codecs under any bytes.
//!
//! Of any bytes, decoding gives an error, or as many values as it was asked for; whatever values there are, both tiers give them
//! back bit for bit (floats are equal where their bits are), in no more bytes in the cold tier than in the fast one. What is asked of a column without decoding all of it (a part of
//! it, packed groups, packed times) is answered as the decoded column says; of bytes that do not decode, it may be answered or refused,
//! since groups that nobody looks into are not read.

use std::ops::Range;

use fleetlog::codec::{
    GROUP_VALUES, GroupOffsets, GroupTimes, PackedTimes, PackedValues, SummaryOf, Tier, decode_presence, decode_times,
    decode_values, decode_values_at, encode_presence,
};
use fleetlog::{ErrorKind, MetricType, Presence, Result, Value, Values};

const TYPES: [MetricType; 4] = [MetricType::Float, MetricType::Integer, MetricType::Boolean, MetricType::Text];
/// The most values of one input: what repeats one value would take long else.
const COUNT_MAX: usize = 4_096;
/// Of so many rows it is asked where they are found.
const FINDS: usize = 24;

/// Runs one input: a byte says what the others are, two say how many values to ask for.
pub fn run(input: &[u8]) {
    let [kind, low, high, rest @ ..] = input else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high])) % COUNT_MAX;
    match kind % 8 {
        kind @ 0..4 => encoded_values(rest, TYPES[usize::from(kind)], count),
        4 => encoded_times(rest, count),
        5 => encoded_presence(rest, count),
        6 => round_trip(&Values::Float(words(rest).map(f64::from_bits).collect())),
        _ => round_trip(&Values::Integer(words(rest).map(|word| word as i64 >> (count % 64)).collect())),
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).take(COUNT_MAX).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
}

/// What decodes, or nothing where it is refused as damage.
fn decoded<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| assert_eq!(error.kind(), ErrorKind::Corruption, "{error}")).ok()
}

/// What is asked of a part, compared with what all of it says, where all of it decodes.
fn same_part<T, A>(part: Result<T>, all: Option<A>, same: impl FnOnce(T, A)) {
    match (decoded(part), all) {
        (Some(part), Some(all)) => same(part, all),
        (None, Some(_)) => panic!("what decodes is refused in part"),
        _ => {}
    }
}

fn encoded_values(bytes: &[u8], metric_type: MetricType, count: usize) {
    let values = decoded(decode_values(bytes, metric_type, count));
    if let Some(values) = &values {
        assert_eq!((values.len(), values.metric_type()), (count, metric_type));
        round_trip(values);
    }
    asked_in_part(bytes, metric_type, count, values.as_ref());
}

fn round_trip(values: &Values) {
    let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
        let mut bytes = Vec::new();
        tier.encode_values(values, &mut bytes).expect("few values");
        let back = decode_values(&bytes, values.metric_type(), values.len()).expect("what was encoded");
        assert_eq!(back.len(), values.len());
        assert!((0..values.len()).all(|place| values.get(place) == back.get(place)), "{tier:?}");
        asked_in_part(&bytes, values.metric_type(), values.len(), Some(values));
        bytes
    });
    assert!(cold.len() <= fast.len());
}

/// Parts of a column, and its packed groups.
fn asked_in_part(bytes: &[u8], metric_type: MetricType, count: usize, values: Option<&Values>) {
    for places in [0..0, 0..count.min(1), count / 3..count - count / 4, count.saturating_sub(1)..count] {
        same_part(decode_values_at(bytes, metric_type, count, places.clone()), values, |part, values| {
            assert_eq!(part.len(), places.len());
            assert!(places.clone().enumerate().all(|(at, place)| part.get(at) == values.get(place)), "{places:?}");
        });
    }
    same_part(PackedValues::read(bytes, metric_type, count), values.map(Some), |packed, values| {
        packed.iter().for_each(|packed| packed_groups(packed, count, values));
    });
    if let (None, Some(packed)) = (values, decoded(PackedValues::read(bytes, metric_type, count)).flatten()) {
        packed_groups(&packed, count, None);
    }
}

fn packed_groups(packed: &PackedValues<'_>, count: usize, values: Option<&Values>) {
    assert_eq!(packed.groups(), count.div_ceil(GROUP_VALUES));
    let mut offsets = [0; GROUP_VALUES];
    for group in 0..packed.groups() {
        let places = group * GROUP_VALUES..count.min((group + 1) * GROUP_VALUES);
        same_part(packed.sum(group), values, |sum, _| {
            packed.offsets(group, &mut offsets).expect("a group that decodes");
            let wholes = offsets[..places.len()].iter().map(|offset| whole(packed, group, *offset));
            assert_eq!(sum, wholes.map(i128::from).sum());
        });
        same_part(packed.offsets(group, &mut offsets), values, |(), values| {
            group_values(packed, group, places.clone(), &offsets, values);
        });
        group_masks(packed, &offsets, places.len());
    }
}

fn whole(packed: &PackedValues<'_>, group: usize, offset: u32) -> i64 {
    packed.bounds(group).0.checked_add(i64::from(offset)).expect("a whole number of 64 bits")
}

/// The whole numbers of a group lie between its bounds, and are its values, but for exceptions.
fn group_values(
    packed: &PackedValues<'_>,
    group: usize,
    places: Range<usize>,
    offsets: &GroupOffsets,
    values: &Values,
) {
    let mut floats = [0.0; GROUP_VALUES];
    packed.floats(group, offsets, &mut floats);
    let mut exceptions = packed.exceptions(group).iter().peekable();
    let ((lowest, highest), (least, greatest)) = (packed.bounds(group), packed.all_bounds());
    assert!(least <= lowest && highest <= greatest);
    for (at, place) in places.enumerate() {
        let whole = whole(packed, group, offsets[at]);
        assert!(lowest <= whole && whole <= highest);
        let exception = exceptions.next_if(|(excepted, _)| *excepted == place);
        match values.get(place) {
            Value::Integer(value) => assert_eq!(whole, value),
            Value::Float(value) => {
                let expected = exception.map_or(packed.value(whole), |(_, value)| *value);
                assert_eq!(expected.to_bits(), value.to_bits());
                assert!(exception.is_some() || floats[at].to_bits() == value.to_bits());
            }
            other => panic!("{other:?} is packed"),
        }
    }
    assert!(exceptions.next().is_none());
}

/// Masks and summaries of any offsets are those of plain arithmetic.
fn group_masks(packed: &PackedValues<'_>, offsets: &GroupOffsets, count: usize) {
    let ends = (offsets[0], offsets[count / 2]);
    for (bounds, outside) in [(ends, false), (ends, true), ((ends.1, ends.0), false)] {
        let mut mask: GroupOffsets = std::array::from_fn(|place| if place % 7 == 3 { 0 } else { u32::MAX });
        packed.mask_between(offsets, bounds, outside, &mut mask);
        let kept = |place: usize| {
            let inside = bounds.0 <= offsets[place] && offsets[place] <= bounds.1;
            place % 7 != 3 && inside != outside
        };
        assert!((0..GROUP_VALUES).all(|place| mask[place] == if kept(place) { u32::MAX } else { 0 }));
        let summary = packed.summarise(&offsets[..count], Some(&mask[..count]), SummaryOf::Squares);
        let all = || (0..count).filter(|place| kept(*place)).map(|place| u64::from(offsets[place]));
        assert_eq!((summary.count, summary.sum), (all().count() as u64, all().sum()));
        assert_eq!(summary.squares, all().map(|offset| u128::from(offset).pow(2)).sum());
        if let (Some(lowest), Some(highest)) = (all().min(), all().max()) {
            assert_eq!((u64::from(summary.lowest), u64::from(summary.highest)), (lowest, highest));
        }
    }
}

fn encoded_times(bytes: &[u8], count: usize) {
    let times = decoded(decode_times(bytes, count));
    if let Some(times) = &times {
        assert!(times.len() == count && times.windows(2).all(|pair| pair[0] < pair[1]));
        for tier in [Tier::Fast, Tier::Cold] {
            let mut again = Vec::new();
            tier.encode_times(times, &mut again);
            assert_eq!(decode_times(&again, count).expect("what was encoded"), *times, "{tier:?}");
            packed_times(&again, count, Some(times));
        }
    }
    packed_times(bytes, count, times.as_deref());
}

/// Packed times are those of the list, however they are asked for.
fn packed_times(bytes: &[u8], count: usize, times: Option<&[i64]>) {
    let read = decoded(PackedTimes::read(bytes, count));
    assert!(read.is_some() || times.is_none(), "what decodes is refused in part");
    let Some(mut packed) = read else { return };
    assert_eq!(packed.rows(), count);
    let step = (count / FINDS).max(1);
    for row in (0..count).step_by(step).chain(count.checked_sub(1)) {
        same_part(packed.at(row), times, |time, times| assert_eq!(time, times[row]));
    }
    let instant = |row: usize| times.map_or(row as i64 - 1, |times| times[row]);
    let instants =
        (0..count).step_by(step).flat_map(|row| [-1, 0, 1].map(|beside| instant(row).saturating_add(beside)));
    for (from, instant) in instants.chain([i64::MIN, i64::MAX]).enumerate().map(|(at, instant)| (at * 7, instant)) {
        same_part(packed.first_from(from, instant), times, |found, times| {
            let from = from.min(count);
            assert_eq!(found, from + times[from..].partition_point(|time| *time < instant), "{from}, {instant}");
        });
    }
    for group in 0..count.div_ceil(GROUP_VALUES) {
        let places = group * GROUP_VALUES..count.min((group + 1) * GROUP_VALUES);
        same_part(packed.group(group), times, |found, times| {
            if let GroupTimes::Listed(found) = found {
                assert_eq!(found, &times[places.clone()]);
            }
            assert!(places.clone().enumerate().all(|(at, place)| found.at(at) == times[place]));
        });
    }
}

fn encoded_presence(bytes: &[u8], rows: usize) {
    let Some((presence, present)) = decoded(decode_presence(bytes, rows)) else { return };
    if let Presence::Positions(positions) = &presence {
        assert!(positions.len() == present && positions.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let mut again = Vec::new();
    encode_presence(&presence, rows, &mut again);
    assert_eq!(decode_presence(&again, rows).expect("what was encoded"), (presence, present));
}
