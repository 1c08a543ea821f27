//! Speed and size of the column codecs, on columns shaped like a fleet's: `cargo bench --bench codec`.
//!
//! Each column is a month of minutes of one device. Throughput is in values (elements); sizes are printed once before. What is done where
//! groups lie packed is measured beside the machine's own limits, on doubles that fill its last cache: copying them, and reading and adding
//! them up. A table of ratios to the latter, all measured in turn, comes last.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use fleetlog::codec::{
    Aligned, GROUP_VALUES, PackedValues, decode_times, decode_values, encode_times, encode_values, times_encoding,
    values_encoding,
};
use fleetlog::{MetricType, Values};

/// Minutes of a month.
const COUNT: usize = 43_200;

/// SplitMix64: the same columns in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

fn floats(decimals: i32, mut value: impl FnMut(f64) -> f64) -> Values {
    Values::Float((0..COUNT).map(|minute| rounded(value(minute as f64), decimals)).collect())
}

/// A first-order autoregressive walk.
fn walk(seed: u64, step: f64, memory: f64) -> impl FnMut() -> f64 {
    let (mut noise, mut level) = (Noise(seed), 0.0);
    move || {
        level = memory * level + step * noise.normal();
        level
    }
}

fn day(minute: f64) -> f64 {
    TAU * minute / 1_440.0
}

/// The eight metrics of the fleet that the project's performance tables use, in its steps and noises.
fn fleet_columns() -> Vec<(&'static str, Values)> {
    let (mut temperature, mut humidity, mut reading) =
        (walk(1, 0.06, 0.995), walk(2, 0.15, 0.997), walk(3, 0.05, 0.9998));
    let (mut noise, mut burst_left, mut burst) = (Noise(4), 0.0, 0.0);
    let mut rssi = 30_i64;
    let mut counter = 0;
    vec![
        ("temperature", floats(2, |minute| 14.0 - 4.0 * day(minute).cos() + temperature())),
        ("humidity", floats(1, |minute| 62.0 - 6.0 * day(minute).cos() + humidity())),
        ("battery", {
            let mut noise = Noise(5);
            floats(1, move |minute| 100.0 - 84.0 * (minute / 90_000.0) + 0.03 * noise.normal())
        }),
        ("power", {
            floats(2, |minute| {
                if noise.unit() < 0.002 {
                    (burst_left, burst) = (4.0 + 16.0 * noise.unit(), 1.0 + 2.0 * noise.unit());
                }
                burst_left -= 1.0;
                let level = if burst_left > 0.0 { burst } else { 0.0 };
                30.0 * (1.0 + 0.15 * day(minute).sin() + level) + 0.3 * noise.normal()
            })
        }),
        ("rssi", {
            let mut noise = Noise(6);
            Values::Integer(
                (0..COUNT)
                    .map(|_| {
                        let chance = noise.unit();
                        rssi += i64::from(chance < 0.12) - i64::from(chance > 0.88);
                        (rssi.rem_euclid(100) - 50).abs() - 95
                    })
                    .collect(),
            )
        }),
        ("packet_loss", {
            let mut noise = Noise(7);
            floats(1, move |_| if noise.unit() < 0.04 { 0.1 - 3.0 * (1.0 - noise.unit()).ln() } else { 0.0 })
        }),
        ("latency", {
            let mut noise = Noise(8);
            let mut latency = move |minute: f64| 60.0 * (0.35 * noise.normal()).exp() * (1.0 + 0.2 * day(minute).sin());
            Values::Integer((0..COUNT).map(|minute| latency(minute as f64).round() as i64).collect())
        }),
        ("reading", {
            let mut noise = Noise(9);
            floats(3, move |minute| 1_013.0 + reading() + 0.8 * (2.0 * day(minute)).sin() + 0.02 * noise.normal())
        }),
        ("counter", {
            let mut noise = Noise(10);
            let mut step = move || {
                counter = if noise.unit() < 1e-4 { 0 } else { counter + 50 + (noise.next() % 20) as i64 };
                counter
            };
            Values::Integer((0..COUNT).map(|_| step()).collect())
        }),
    ]
}

fn other_columns() -> Vec<(&'static str, Values)> {
    let (mut noise, mut mixed, mut exceptions) = (Noise(11), Noise(12), Noise(13));
    let mut odd = move |value: f64| if exceptions.unit() < 0.02 { f64::NAN } else { rounded(value, 2) };
    let (mut temperature, mut drift) = (walk(1, 0.06, 0.995), walk(16, 0.01, 1.0));
    vec![
        ("constant", Values::Float(vec![21.5; COUNT])),
        ("exceptions", Values::Float((0..COUNT).map(|_| odd(20.0 + temperature())).collect())),
        ("doubles", Values::Float((0..COUNT).map(|_| noise.normal()).collect())),
        ("drift", Values::Float((0..COUNT).map(|_| drift().exp()).collect())),
        ("booleans", Values::Boolean((0..COUNT).map(|_| mixed.next() & 1 == 1).collect())),
    ]
}

fn time_columns() -> Vec<(&'static str, Vec<i64>)> {
    let (start_ns, minute_ns) = (1_735_689_612_345_000_000_i64, 60_000_000_000_i64);
    let (mut lost, mut jitter) = (Noise(14), Noise(15));
    let regular = || (0..COUNT as i64).map(|minute| start_ns + minute * minute_ns);
    vec![
        ("regular", regular().collect()),
        ("gaps", regular().filter(|_| lost.unit() > 0.01).collect()),
        ("jitter", regular().map(|time| time + (jitter.next() % 2_000) as i64 * 1_000_000).collect()),
    ]
}

fn values(criterion: &mut Criterion) {
    let columns: Vec<_> = fleet_columns().into_iter().chain(other_columns()).collect();
    let mut group = criterion.benchmark_group("values");
    for (name, values) in &columns {
        let mut bytes = Vec::new();
        encode_values(values, &mut bytes).unwrap();
        size(name, values_encoding(&bytes), bytes.len(), values.len());
        group.throughput(Throughput::Elements(values.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            let mut room = Vec::with_capacity(bytes.len());
            bencher.iter(|| {
                room.clear();
                encode_values(black_box(values), &mut room).unwrap();
            });
        });
        let metric_type: MetricType = values.metric_type();
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| decode_values(black_box(&bytes), metric_type, values.len()));
        });
    }
    group.finish();
}

fn times(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("times");
    for (name, times) in &time_columns() {
        let mut bytes = Vec::new();
        encode_times(times, &mut bytes);
        size(name, times_encoding(&bytes), bytes.len(), times.len());
        group.throughput(Throughput::Elements(times.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            let mut room = Vec::with_capacity(bytes.len());
            bencher.iter(|| {
                room.clear();
                encode_times(black_box(times), &mut room);
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| decode_times(black_box(&bytes), times.len()));
        });
    }
    group.finish();
}

#[allow(clippy::print_stdout, reason = "sizes are a result of this program")]
fn size(name: &str, encoding: &str, bytes: usize, count: usize) {
    println!("size of {name} ({encoding}): {:.3} bytes a value", bytes as f64 / count as f64);
}

/// Blocks whose doubles fill the last cache of a machine of our kind (32 MiB) by a quarter, and no cache before it.
const CACHE_BLOCKS: usize = 24;
/// Blocks that fill no cache, packed or not.
const MEMORY_BLOCKS: usize = 1_000;
/// How often each side of a ratio is measured, in turn.
const ROUNDS: usize = 25;

/// The same column in many blocks, each at a place of its own, packed and as doubles.
struct Blocks {
    name: &'static str,
    metric_type: MetricType,
    packed: Vec<Vec<u8>>,
    doubles: Vec<f64>,
}

impl Blocks {
    fn new((name, column): (&'static str, Values), blocks: usize) -> Self {
        let mut bytes = Vec::new();
        encode_values(&column, &mut bytes).unwrap();
        let metric_type = column.metric_type();
        let doubles: Vec<f64> = match column {
            Values::Float(values) => values,
            Values::Integer(values) => values.iter().map(|value| *value as f64).collect(),
            _ => panic!("{name} is not a column of numbers"),
        };
        Self { name, metric_type, packed: vec![bytes; blocks], doubles: doubles.repeat(blocks) }
    }

    fn each_block(&self, mut visit: impl FnMut(PackedValues<'_>)) {
        for bytes in &self.packed {
            visit(PackedValues::read(black_box(bytes), self.metric_type, COUNT).unwrap().expect("numbers in groups"));
        }
    }

    /// Every value as a double, group by group, as a scan sees them.
    fn decode(&self) {
        let (mut offsets, mut floats) = (Aligned([0; GROUP_VALUES]), Aligned([0.0; GROUP_VALUES]));
        self.each_block(|block| {
            for group in 0..block.groups() {
                block.unpack_floats(group, &mut offsets, &mut floats).unwrap();
                black_box(&floats);
            }
        });
    }

    /// The sum of all whole numbers.
    fn sum(&self) -> i128 {
        let mut sum = 0;
        self.each_block(|block| sum += (0..block.groups()).map(|group| block.sum(group).unwrap()).sum::<i128>());
        sum
    }
}

/// Reads doubles and adds them up, as fast as they come.
fn read_and_sum(doubles: &[f64]) -> f64 {
    let mut sums = [0.0; 32];
    for row in black_box(doubles).as_chunks::<32>().0 {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().sum()
}

/// Columns whose groups are frames of reference, and such whose groups are differences.
fn packed_columns() -> [Vec<(&'static str, Values)>; 2] {
    let of = |names: [&str; 2]| fleet_columns().into_iter().filter(|(name, _)| names.contains(name)).collect();
    [of(["power", "latency"]), of(["temperature", "counter"])]
}

fn packed(criterion: &mut Criterion) {
    let [frames, differences] =
        packed_columns().map(|columns| columns.into_iter().map(|c| Blocks::new(c, CACHE_BLOCKS)));
    let (frames, differences): (Vec<_>, Vec<_>) = (frames.collect(), differences.collect());
    let mut measure = |group: &str, name: &str, work: &mut dyn FnMut()| {
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements((CACHE_BLOCKS * COUNT) as u64));
        group.bench_function(name, |bencher| bencher.iter(&mut *work));
        group.finish();
    };
    let doubles = &frames[0].doubles;
    let mut copy = vec![0.0; doubles.len()];
    measure("limits", "copy doubles", &mut || black_box(&mut copy).copy_from_slice(black_box(doubles)));
    measure("limits", "read and sum doubles", &mut || {
        black_box(read_and_sum(doubles));
    });
    for (group, columns) in [("decode frame of reference", &frames), ("decode delta", &differences)] {
        columns.iter().for_each(|blocks| measure(group, blocks.name, &mut || blocks.decode()));
    }
    for blocks in frames.iter().chain(&differences) {
        measure("packed sum", blocks.name, &mut || {
            black_box(blocks.sum());
        });
    }
}

/// Seconds that some work takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Values a second, in thousands of millions, of reading and adding up the doubles of some blocks and of some work on as many values: the round
/// with the median ratio of many, each of both.
fn beside(blocks: &Blocks, mut work: impl FnMut()) -> (f64, f64) {
    let count = blocks.doubles.len() as f64 / 1e9;
    let mut round = || {
        let limit = seconds(|| _ = black_box(read_and_sum(&blocks.doubles)));
        (count / limit, count / seconds(&mut work))
    };
    round();
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    rounds[ROUNDS / 2]
}

#[allow(clippy::print_stdout, reason = "the table is a result of this program")]
fn ratios() {
    let line = |what: &str, name: &str, (limit, own): (f64, f64), asked: &str| {
        println!("{what:<20} {name:<12} {own:>6.2} {limit:>6.2} {:>8.2} {asked:>6}", own / limit);
    };
    println!("\nG values/s, those of reading and adding up doubles in turn with it, ratio, ratio asked for");
    let [frames, differences] = packed_columns();
    println!("from the last cache:");
    let blocks = Blocks::new(frames[0].clone(), CACHE_BLOCKS);
    let mut copy = vec![0.0; blocks.doubles.len()];
    line("copy doubles", "", beside(&blocks, || black_box(&mut copy).copy_from_slice(&blocks.doubles)), "");
    for (what, asked, columns) in [("decode frames", "1.0", &frames), ("decode delta", "0.5", &differences)] {
        for column in columns {
            let blocks = Blocks::new(column.clone(), CACHE_BLOCKS);
            line(what, blocks.name, beside(&blocks, || blocks.decode()), asked);
        }
    }
    for (column, asked) in frames.iter().zip(["1.6"; 2]).chain(differences.iter().zip([""; 2])) {
        let blocks = Blocks::new(column.clone(), CACHE_BLOCKS);
        line("packed sum", blocks.name, beside(&blocks, || _ = black_box(blocks.sum())), asked);
    }
    println!("from memory:");
    for column in frames {
        let blocks = Blocks::new(column, MEMORY_BLOCKS);
        line("packed sum", blocks.name, beside(&blocks, || _ = black_box(blocks.sum())), "2.0");
    }
}

criterion_group!(benches, values, times, packed);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Whoever lists or tries the benches, or asks for others, does not wait for the table; `-- ratios` asks for nothing else.
    if std::env::args().skip(1).all(|argument| ["--bench", "ratios"].contains(&argument.as_str())) {
        ratios();
    }
}
