//! The cold tier: what was written once more for its size takes the smaller of two encodings.
//!
//! Guarantees: never longer than in the fast tier; a column that the cold encodings do not make smaller by a sixty-fourth stays as the
//! fast one writes it, and is read as fast.

use crate::error::Result;
use crate::model::Values;

use super::{compressed, decimal, encode_times, encode_values, shuffle, text, time_code, times, value_code};

/// Columns shorter than this are not tried: a head of pco alone is as long.
const TRIED_FROM_BYTES: usize = 32;

/// Less than one byte in so many is not worth a slower reading.
const GAIN_SHARE: usize = 64;

/// What columns are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tier {
    /// To be scanned: packed integers, which are read and summed as they lie.
    #[default]
    Fast,
    /// To be kept: as small as they get, read at about a tenth of the speed.
    Cold,
}

impl Tier {
    /// Appends encoded times, as [`encode_times`] does.
    pub fn encode_times(self, times: &[i64], out: &mut Vec<u8>) {
        let from = out.len();
        encode_times(times, out);
        if self == Self::Cold {
            replace(from, out, |cold| {
                cold.push(time_code::COMPRESSED);
                times::encode_compressed(times, cold)
            });
        }
    }

    /// Appends encoded values, as [`encode_values`] does.
    ///
    /// # Errors
    /// As [`encode_values`].
    ///
    /// # Panics
    /// As [`encode_values`].
    pub fn encode_values(self, values: &Values, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        encode_values(values, out)?;
        if self == Self::Cold {
            replace(from, out, |cold| put_values(values, cold));
        }
        Ok(())
    }
}

/// Appends values in the encoding of the cold tier; `false` where there is none, and `cold` means nothing.
fn put_values(values: &Values, cold: &mut Vec<u8>) -> bool {
    match values {
        Values::Float(values) => {
            cold.push(value_code::COMPRESSED_DECIMALS);
            if decimal::encode(values, compressed::encode_integers, cold) {
                return true;
            }
            cold.clear();
            cold.push(value_code::COMPRESSED_FLOATS);
            let is_compressed = compressed::encode_floats(values, cold);
            // The fast tier prefers what is read faster to it.
            let mut shuffled = vec![value_code::SHUFFLED];
            let is_shuffled = shuffle::encode(values, &mut shuffled);
            if is_shuffled && (!is_compressed || shuffled.len() < cold.len()) {
                *cold = shuffled;
            }
            is_compressed || is_shuffled
        }
        Values::Integer(values) => {
            cold.push(value_code::COMPRESSED_INTEGERS);
            compressed::encode_integers(values, cold)
        }
        Values::Boolean(_) => false,
        Values::Text(values) => {
            cold.push(value_code::COMPRESSED_TEXTS);
            text::encode_compressed(values, cold)
        }
    }
}

/// Puts another encoding in the place of that which begins at `from`, where it is clearly shorter.
fn replace(from: usize, out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>) -> bool) {
    let fast_bytes = out.len() - from;
    if fast_bytes < TRIED_FROM_BYTES {
        return;
    }
    let mut cold = Vec::new();
    if put(&mut cold) && cold.len() <= fast_bytes - fast_bytes / GAIN_SHARE {
        out.truncate(from);
        out.extend_from_slice(&cold);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pco::wrapped::FileCompressor;
    use pco::{ChunkConfig, DeltaSpec, ModeSpec, PagingSpec};

    use super::*;
    use crate::bytes::{put_signed, put_varint};
    use crate::codec::{decode_times, decode_values, times_encoding, values_encoding};
    use crate::error::ErrorKind;
    use crate::model::{MetricType, TextValues};

    /// A linear congruential generator with its weak lowest bits dropped (D. Knuth's MMIX constants).
    fn noise(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 20
        }
    }

    /// The encoding that values get, and the bytes of it and of the fast one; they come back.
    #[track_caller]
    fn check(values: &Values) -> (&'static str, usize, usize) {
        let [fast, cold] = [Tier::Fast, Tier::Cold].map(|tier| {
            let mut bytes = Vec::new();
            tier.encode_values(values, &mut bytes).unwrap();
            let back = decode_values(&bytes, values.metric_type(), values.len()).unwrap();
            // Floats are equal where their bits are.
            assert_eq!(back.len(), values.len());
            assert!((0..values.len()).all(|place| values.get(place) == back.get(place)), "{tier:?}");
            bytes
        });
        assert!(cold.len() <= fast.len());
        (values_encoding(&cold), cold.len(), fast.len())
    }

    fn steps(count: usize) -> Vec<i64> {
        let (mut random, mut level) = (noise(1), 2_000_i64);
        // Mostly small steps: their distribution is what bits of one width pay too much for.
        let mut step = move || match random() % 64 {
            0..40 => 0,
            40..50 => 1,
            50..60 => -1,
            rare => (random() % 30) as i64 * if rare % 2 == 0 { 1 } else { -1 },
        };
        (0..count)
            .map(|_| {
                level += step();
                level
            })
            .collect()
    }

    #[test]
    fn each_kind_of_column_has_a_smaller_encoding() {
        let integers = steps(20_000);
        let decimals: Vec<f64> = integers.iter().map(|value| *value as f64 / 100.0).collect();
        // Sums of roundings: no decimals.
        let floats: Vec<f64> = integers.iter().map(|value| *value as f64 / 7.0 + 0.1).collect();
        let dictionary: Vec<Arc<str>> = (0..300).map(|code| format!("state {code} of the pump").into()).collect();
        let codes = integers.iter().map(|value| value.rem_euclid(300) as u32).collect();
        let texts = TextValues { dictionary, codes };
        for (values, encoding) in [
            (Values::Integer(integers), "compressed integers"),
            (Values::Float(decimals), "compressed decimals"),
            (Values::Float(floats), "compressed floats"),
            (Values::Text(texts), "compressed texts"),
        ] {
            let (found, cold, fast) = check(&values);
            assert_eq!(found, encoding);
            assert!(cold * 5 < fast * 4, "{encoding}: {cold} and {fast} bytes");
        }
        let mut random = noise(3);
        let booleans = Values::Boolean((0..20_000).map(|_| random().is_multiple_of(2)).collect());
        assert_eq!(check(&booleans).0, "bitmap");
        // Nothing is to be gained: the encoding stays that which is read faster.
        let uniform = Values::Integer((0..20_000).map(|_| (random() % 4_096) as i64).collect());
        assert_eq!(check(&uniform).0, "grouped integers");
    }

    #[test]
    fn integers_of_every_width_and_number_come_back() {
        for width in 0..=64 {
            for count in [2, 3, 31, 255, 256, 257, 512, 700] {
                let mut random = noise(width + count);
                let skewed = |_| (random() << 20 ^ random()).checked_shr(64 - width as u32).unwrap_or(0) as i64;
                let values: Vec<i64> = (0..count).map(skewed).map(|v| if v % 3 == 0 { v } else { v & 3 }).collect();
                check(&Values::Integer(values));
            }
        }
        for ends in [[i64::MIN, i64::MAX], [0, 0xffff], [0, 0x1_0000], [-5, 0xffff_fffa], [-5, 0xffff_fffb]] {
            let mut values = vec![ends[0]; 1_000];
            (0..1_000).step_by(3).for_each(|place| values[place] = ends[1]);
            check(&Values::Integer(values));
        }
    }

    #[test]
    fn what_is_no_decimal_comes_back_bit_for_bit_from_every_place() {
        let odd = [
            f64::NAN,
            f64::from_bits(0x7ff0_0000_0000_0001),
            f64::from_bits(0xffff_dead_beef_cafe),
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::from_bits(1),
            -f64::MIN_POSITIVE / 2.0,
            f64::MAX,
            4.5e15,
            std::f64::consts::PI,
        ];
        let decimals: Vec<f64> = steps(4_000).iter().map(|value| *value as f64 / 100.0).collect();
        for (number, odd) in odd.iter().enumerate() {
            for place in [0, 1, 255, 256, 257, 2_000 + number, 3_998, 3_999] {
                let mut values = decimals.clone();
                values[place] = *odd;
                assert_eq!(check(&Values::Float(values.clone())).0, "compressed decimals");
                values.iter_mut().for_each(|value| *value = *value / 7.0 + 0.1);
                values[place] = *odd;
                assert_eq!(check(&Values::Float(values)).0, "compressed floats");
            }
        }
        // One after the other: no decimals at all.
        let all = (0..4_000).map(|place| odd[place % odd.len()]).collect();
        check(&Values::Float(all));
    }

    #[test]
    fn times_are_smaller_too_and_come_back() {
        let minute = 60_000_000_000;
        let mut random = noise(5);
        let gaps: Vec<i64> = (0..40_000).filter(|_| !random().is_multiple_of(50)).map(|place| place * minute).collect();
        let drifting: Vec<i64> =
            (0..40_000).map(|place| place * 60_000_300 + (random() % 12 * (random() % 12)) as i64).collect();
        for (times, most) in [(gaps, 25), (drifting, 90)] {
            let mut bytes = Vec::new();
            Tier::Cold.encode_times(&times, &mut bytes);
            assert_eq!(times_encoding(&bytes), "compressed");
            assert!(bytes.len() * 100 < times.len() * most, "{} bytes for {} times", bytes.len(), times.len());
            assert_eq!(decode_times(&bytes, times.len()).unwrap(), times);
            for rows in [0, 1, times.len() - 1, times.len() + 1, times.len() * 2] {
                let read = decode_times(&bytes, rows).map(|times| times.len()).map_err(|error| error.kind());
                assert_eq!(read, Err(ErrorKind::Corruption), "{rows} rows");
            }
        }
        for times in [vec![i64::MIN, -1, 0, 1, i64::MAX], (0..63).map(|bit| 1 << bit).collect(), vec![], vec![5]] {
            let mut bytes = vec![time_code::COMPRESSED];
            if times::encode_compressed(&times, &mut bytes) {
                assert_eq!(decode_times(&bytes, times.len()).unwrap(), times);
            }
        }
    }

    /// A column of integers with pco's own bytes behind its head.
    fn column(width_bytes: u8, count: usize, pco: &[u8]) -> Vec<u8> {
        let mut bytes = vec![value_code::COMPRESSED_INTEGERS];
        put_signed(0, &mut bytes);
        bytes.push(width_bytes);
        put_varint(count as u64, &mut bytes);
        bytes.extend_from_slice(pco);
        bytes
    }

    fn written(values: &[u32], config: ChunkConfig) -> Vec<u8> {
        let (file, mut bytes) = (FileCompressor::default(), Vec::new());
        let config = config.with_paging_spec(PagingSpec::Exact(vec![values.len()]));
        let mut chunk = file.chunk_compressor(values, &config).unwrap();
        file.write_header(&mut bytes).unwrap();
        chunk.write_meta(&mut bytes).unwrap();
        chunk.write_page(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_the_bytes_have_not_paid_for_is_refused() {
        let values: Vec<u32> = (0..10_000).map(|place| place * place % 1_013).collect();
        let plain = || ChunkConfig::default().with_mode_spec(ModeSpec::Classic);
        let read = |bytes: &[u8], count: usize| {
            decode_values(bytes, MetricType::Integer, count).map(|values| values.len()).map_err(|error| error.kind())
        };
        let good = written(&values, plain().with_delta_spec(DeltaSpec::NoOp));
        assert_eq!(read(&column(4, 10_000, &good), 10_000), Ok(10_000));
        let dictionary = written(&values, plain().with_mode_spec(ModeSpec::TryDict));
        let convolution = written(&values, plain().with_delta_spec(DeltaSpec::TryConv1(8)));
        let window = written(&values, plain().with_delta_spec(DeltaSpec::TryLookback));
        assert_eq!(read(&column(4, 10_000, &window), 10_000), Ok(10_000));
        let mut long_window = window;
        // Two bytes of version, four bits of mode, four of the delta encoding: then its window.
        long_window[3] = long_window[3] & !0x1f | 23;
        let mut old = good.clone();
        old[0] = 3;
        let mut new = good.clone();
        new[0] = 5;
        let longer = [&good[..], &[0]].concat();
        for (bytes, what) in [
            (column(4, 10_000, &dictionary), "a dictionary"),
            (column(4, 10_000, &convolution), "a convolution"),
            (column(4, 10_000, &long_window), "a window of 2^24 values"),
            (column(4, 10_000, &old), "an old version"),
            (column(4, 10_000, &new), "a new version"),
            (column(4, 10_000, &longer), "a byte behind the end"),
            (column(3, 10_000, &good), "a width of 3 bytes"),
            (column(4, 10_000, &[]), "nothing"),
        ] {
            assert_eq!(read(&bytes, 10_000), Err(ErrorKind::Corruption), "{what}");
        }
        for count in [0, 1, 9_999, 10_001, 10_256, 1 << 24, (1 << 24) + 1, super::super::COUNT_MAX] {
            assert_eq!(read(&column(4, 10_000, &good), count), Err(ErrorKind::Corruption), "{count} values");
            assert_eq!(read(&column(4, count, &good), 10_000), Err(ErrorKind::Corruption), "{count} values");
        }
        for count in [9_000, 12_000, 1 << 24, (1 << 24) + 1] {
            assert_eq!(read(&column(4, count, &good), count), Err(ErrorKind::Corruption), "{count} values");
        }
        for end in 0..good.len() {
            assert_eq!(
                read(&column(4, 10_000, &good[..end]), 10_000),
                Err(ErrorKind::Corruption),
                "cut to {end} bytes"
            );
        }
    }

    #[test]
    fn frames_of_texts_are_checked_like_dictionaries() {
        let frame = |content: &[u8], texts: u8| {
            [&[value_code::COMPRESSED_TEXTS, texts][..], &zstd::bulk::compress(content, 1).unwrap()].concat()
        };
        let read = |bytes: &[u8], count: usize| {
            decode_values(bytes, MetricType::Text, count).map(|values| values.len()).map_err(|error| error.kind())
        };
        assert_eq!(read(&frame(b"\x01\x01ab\x00\x01\x00", 2), 3), Ok(3));
        assert_eq!(read(&frame(b"\x01a", 1), 1_000), Ok(1_000));
        for (content, texts, count, what) in [
            (&b"\x01\x01aa\x00\x01"[..], 2, 2, "a text twice"),
            (b"\x01\x01ab\x00\x00", 2, 2, "an unused text"),
            (b"\x01\x01ab\x01\x00", 2, 2, "not in order of first use"),
            (b"\x01\x01ab\x00\x02", 2, 2, "a code without a text"),
            (b"\x01\x01ab\x00", 2, 2, "a code too few"),
            (b"\x01\x01ab\x00\x01\x00", 2, 2, "a code too many"),
            (b"\x01\x01\xffb\x00\x01", 2, 2, "not UTF-8"),
            (b"\x01\x7fab\x00\x01", 2, 2, "a text longer than the frame"),
            (b"\x01\x01ab\x00\x01", 3, 2, "more texts than values"),
            (b"", 0, 2, "no texts"),
        ] {
            assert_eq!(read(&frame(content, texts), count), Err(ErrorKind::Corruption), "{what}");
        }
        let bomb = frame(&vec![0; 1 << 26], 1);
        assert_eq!(read(&bomb, 1_000), Err(ErrorKind::Corruption));
        assert_eq!(read(&[value_code::COMPRESSED_TEXTS, 1, 0x28], 1_000), Err(ErrorKind::Corruption));
    }
}
