//! The fuzz target of the codecs without a fuzzer: over the kept corpus, over a column of every encoding, and over some thousand mutations of
//! these from a fixed seed. `FLEETLOG_FUZZ_RUNS` asks for more of them.

#[path = "../fuzz/src/codecs.rs"]
mod codecs;

use std::path::Path;
use std::sync::Arc;

use fleetlog::codec::{Tier, encode_presence, times_encoding, values_encoding};
use fleetlog::{Presence, TextValues, Values};

const RUNS: usize = 100_000;

/// SplitMix64 (S. Steele et al., 2014).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn input(kind: u8, count: usize, encoded: &[u8]) -> Vec<u8> {
    [&[kind][..], &(count as u16).to_le_bytes(), encoded].concat()
}

/// Columns whose kinds the codecs tell apart.
fn columns() -> Vec<Values> {
    let mut noise = Noise(1);
    let mut level = 2_000;
    let walk: Vec<i64> = (0..1_500)
        .map(|_| {
            level += [0, 0, 0, 0, 0, 0, 1, -1, 2, -3, 14, -20][noise.below(12)];
            level
        })
        .collect();
    let decimal = |value: &i64| *value as f64 / 100.0;
    let mut odd: Vec<f64> = walk.iter().map(decimal).collect();
    (odd[3], odd[700], odd[1_499]) = (f64::NAN, -0.0, f64::INFINITY);
    let text = |code: usize| Arc::from(format!("state {code} of pump"));
    let codes = |count: u32| walk.iter().map(move |value| value.unsigned_abs() as u32 % count).collect();
    vec![
        Values::Integer(vec![3; 300]),
        Values::Integer(walk[..100].to_vec()),
        Values::Integer(
            walk.iter()
                .scan(0, |sum, value| {
                    *sum += value;
                    Some(*sum)
                })
                .collect(),
        ),
        Values::Integer((0..600).map(|_| noise.next() as i64).collect()),
        Values::Integer(walk.iter().map(|value| if value % 9 == 0 { value << 40 } else { *value }).collect()),
        Values::Integer(walk.clone()),
        Values::Float(walk[..100].iter().map(decimal).collect()),
        Values::Float((0..1_000).map(|place| f64::from(place * 977 % 1_024) / 8.0).collect()),
        Values::Float(odd),
        Values::Float(walk.iter().map(|value| *value as f64 / 7.0 + 0.1).collect()),
        Values::Float((0..600).map(|_| (noise.next() >> 11) as f64 / (1_u64 << 53) as f64).collect()),
        Values::Float((0..200).map(|_| (noise.next() >> 11) as f64 / (1_u64 << 53) as f64).collect()),
        Values::Float(walk.iter().map(|value| (*value as f64 / 300.0).exp() + noise.next() as f64 / 1e18).collect()),
        Values::Boolean((0..600).map(|place| place / 97 % 2 == 0).collect()),
        Values::Boolean((0..600).map(|_| noise.next().is_multiple_of(2)).collect()),
        Values::Text(TextValues { dictionary: (0..4).map(text).collect(), codes: codes(4) }),
        Values::Text(TextValues { dictionary: (0..300).map(text).collect(), codes: codes(300) }),
    ]
}

fn times() -> Vec<Vec<i64>> {
    let mut noise = Noise(2);
    let minute = 60_000_000_000;
    vec![
        (0..50).map(|place| place * minute).collect(),
        (0..50).map(|place| place * place * minute).collect(),
        (0..1_500).filter(|_| !noise.next().is_multiple_of(40)).map(|place| place * minute).collect(),
        (0..1_500).map(|place| place * minute + (noise.next() % 3_000) as i64 * 1_000_000).collect(),
        vec![i64::MIN, -1, 0, i64::MAX],
        // Further apart than 2^63, with and without a common step.
        (0..300).map(|place| (i128::from(i64::MIN) + (place << 55) + place % 7) as i64).collect(),
        (0..4).map(|place| (i128::from(i64::MIN) + (place << 62)) as i64).collect(),
    ]
}

/// A column of every encoding, encoded; and what has no encoding to be damaged: values.
fn seeds() -> (Vec<Vec<u8>>, Vec<&'static str>) {
    let (mut seeds, mut names) = (Vec::new(), Vec::new());
    for tier in [Tier::Fast, Tier::Cold] {
        for values in columns() {
            let kind = match values {
                Values::Float(_) => 0,
                Values::Integer(_) => 1,
                Values::Boolean(_) => 2,
                Values::Text(_) => 3,
            };
            let mut bytes = Vec::new();
            tier.encode_values(&values, &mut bytes).unwrap();
            names.push(values_encoding(&bytes));
            seeds.push(input(kind, values.len(), &bytes));
        }
        for times in times() {
            let mut bytes = Vec::new();
            tier.encode_times(&times, &mut bytes);
            names.push(times_encoding(&bytes));
            seeds.push(input(4, times.len(), &bytes));
        }
    }
    for positions in [vec![3, 4, 900], (0..1_000).step_by(3).collect(), (0..700).collect()] {
        let mut bytes = Vec::new();
        encode_presence(&Presence::Positions(positions), 1_000, &mut bytes);
        seeds.push(input(5, 1_000, &bytes));
    }
    let mut noise = Noise(3);
    let words: Vec<u8> = (0..900).flat_map(|_| (noise.next() >> 40 & 0x3fff).to_le_bytes()).collect();
    seeds.extend([input(6, 0, &words), input(7, 0, &words)]);
    (seeds, names)
}

/// The kept inputs: examples, and whatever failed once.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/codecs");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One to six small damages, as a fuzzer makes them.
fn mutate(seed: &[u8], other: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + noise.below(6) {
        // The head of a column decides most: half of the damages are in the first 32 bytes.
        let reach = if noise.next().is_multiple_of(2) { bytes.len().min(32) } else { bytes.len() };
        let at = noise.below(reach);
        match noise.below(8) {
            0..3 if at < bytes.len() => bytes[at] ^= 1 << noise.below(8),
            3 if at < bytes.len() => bytes[at] = noise.next() as u8,
            4 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][noise.below(5)],
            5 => bytes.truncate(bytes.len() - noise.below(bytes.len().min(40))),
            6 => bytes.insert(at, noise.next() as u8),
            7 => {
                let from = noise.below(other.len());
                let to = (from + noise.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                bytes.pop();
            }
        }
    }
    bytes
}

#[test]
fn every_encoding_is_among_the_seeds() {
    let (seeds, names) = seeds();
    for name in [
        "raw",
        "regular",
        "packed",
        "grouped",
        "compressed",
        "constant",
        "integers",
        "decimals",
        "shuffled",
        "bitmap",
        "runs",
        "dictionary",
        "grouped integers",
        "grouped decimals",
        "compressed integers",
        "compressed decimals",
        "compressed floats",
        "compressed texts",
        "real doubles",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(!names.contains(&"unknown"), "{names:?}");
    seeds.iter().for_each(|seed| codecs::run(seed));
}

#[test]
fn the_kept_corpus_passes() {
    let corpus = corpus();
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|input| codecs::run(input));
}

#[test]
fn mutated_columns_pass() {
    let runs = std::env::var("FLEETLOG_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS);
    let (mut inputs, _) = seeds();
    inputs.extend(corpus());
    let mut noise = Noise(4);
    for _ in 0..runs {
        let (seed, other) = (&inputs[noise.below(inputs.len())], &inputs[noise.below(inputs.len())]);
        let mutated = mutate(seed, other, &mut noise);
        // What fails is shown, so that it can be kept.
        let passed = std::panic::catch_unwind(|| codecs::run(&mutated));
        assert!(passed.is_ok(), "keep this in fuzz/corpus/codecs: {mutated:02x?}");
    }
}
