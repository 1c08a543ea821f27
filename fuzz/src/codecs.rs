//! The codecs under any bytes.
//!
//! Of any bytes, decoding gives an error, or as many values as it was asked for; whatever values there are, both tiers give them
//! back bit for bit, in no more bytes in the cold tier than in the fast one, and what is computed on packed groups is what
//! the values give.

use fleetlog::codec::{PackedValues, Tier, decode_presence, decode_times, decode_values, encode_presence};
use fleetlog::{ErrorKind, MetricType, Presence, Values};

const TYPES: [MetricType; 4] = [MetricType::Float, MetricType::Integer, MetricType::Boolean, MetricType::Text];
/// The most values of one input: what repeats one value would take long else.
const COUNT_MAX: usize = 4_096;

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

fn encoded_values(bytes: &[u8], metric_type: MetricType, count: usize) {
    match decode_values(bytes, metric_type, count) {
        Ok(values) => {
            assert_eq!((values.len(), values.metric_type()), (count, metric_type));
            packed(bytes, &values);
            round_trip(&values);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
    }
}

fn round_trip(values: &Values) {
    let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
        let mut bytes = Vec::new();
        tier.encode_values(values, &mut bytes).expect("few values");
        let back = decode_values(&bytes, values.metric_type(), values.len()).expect("what was encoded");
        assert_eq!(back.len(), values.len());
        // Floats are equal where their bits are.
        assert!((0..values.len()).all(|place| values.get(place) == back.get(place)), "{tier:?}");
        bytes
    });
    assert!(cold.len() <= fast.len());
    packed(&fast, values);
}

/// Sums of whole numbers of packed groups, and their bounds, are those of the values.
fn packed(bytes: &[u8], values: &Values) {
    let Ok(Some(packed)) = PackedValues::read(bytes, values.metric_type(), values.len()) else { return };
    let Values::Integer(values) = values else { return };
    for (group, values) in values.chunks(fleetlog::codec::GROUP_VALUES).enumerate() {
        assert_eq!(
            packed.sum(group).expect("a group that decodes"),
            values.iter().map(|value| i128::from(*value)).sum()
        );
    }
}

fn encoded_times(bytes: &[u8], count: usize) {
    match decode_times(bytes, count) {
        Ok(times) => {
            assert!(times.len() == count && times.windows(2).all(|pair| pair[0] < pair[1]));
            for tier in [Tier::Fast, Tier::Cold] {
                let mut again = Vec::new();
                tier.encode_times(&times, &mut again);
                assert_eq!(decode_times(&again, count).expect("what was encoded"), times, "{tier:?}");
            }
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
    }
}

fn encoded_presence(bytes: &[u8], rows: usize) {
    match decode_presence(bytes, rows) {
        Ok((presence, present)) => {
            if let Presence::Positions(positions) = &presence {
                assert!(positions.len() == present && positions.windows(2).all(|pair| pair[0] < pair[1]));
            }
            let mut again = Vec::new();
            encode_presence(&presence, rows, &mut again);
            assert_eq!(decode_presence(&again, rows).expect("what was encoded"), (presence, present));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption, "{error}"),
    }
}
