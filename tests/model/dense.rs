//! Hundreds of rows of one device at once: what encodings in groups of 256 are for, and what is asked about while it lies packed.

use proptest::prelude::*;

use super::{BASE_NS, Cell, DAY_NS, DEVICES, MINUTE_NS, Value, apart};

/// How far rows lie from each other.
#[derive(Debug, Clone, Copy)]
pub enum Spacing {
    Steady,
    Jitter,
    /// Steady, but for rows that are missing: at the edge of a group, and now and then.
    Holes,
    Wild,
}

/// What the values of a metric are; of integers and of floats something alike.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Two decimals, or integers, that go up and down.
    Walk,
    /// The same with what is none: NaN, infinities, a negative zero, full mantissas; spikes among integers.
    Excepted,
    Constant,
    /// Around 2^53 or -2^53, where floats begin to miss integers.
    Brink,
    /// At an end of 64 bits; floats of 1e92.
    Extremes,
    /// A jump of more than 32 bits now and then.
    Jumps,
    /// No decimals; all 64 bits of integers.
    Noise,
    /// Floats that were rounded to 32 bits; integers that rise by one step.
    Plain,
    /// Hardly a value that is not NaN; two integers in turn.
    Sparse,
    /// No values.
    Absent,
}

#[derive(Debug, Clone)]
pub struct Dense {
    pub device: usize,
    from: i64,
    rows: usize,
    spacing: Spacing,
    step_ns: i64,
    /// Of `power_w`, `errors` and `level`.
    shapes: [Shape; 3],
    /// The metric that every third row has.
    third: Option<usize>,
    /// Whether there are booleans and texts too.
    others: bool,
    seed: u64,
    pub loaded: bool,
}

pub fn dense() -> impl Strategy<Value = Dense> {
    use Shape::{Absent, Brink, Constant, Excepted, Extremes, Jumps, Noise, Plain, Sparse, Walk};
    let shape = || {
        prop_oneof![
            5 => Just(Walk),
            5 => Just(Excepted),
            4 => prop::sample::select(vec![Brink, Extremes, Plain]),
            3 => prop::sample::select(vec![Constant, Jumps, Noise, Sparse, Absent]),
        ]
    };
    let spacing = prop::sample::select(vec![Spacing::Steady, Spacing::Jitter, Spacing::Holes, Spacing::Wild]);
    let step_ns = prop::sample::select(vec![7_000_000_000, MINUTE_NS, MINUTE_NS, 10 * MINUTE_NS]);
    // The 65th day is before the one on which a summer time of the south ends.
    let day = prop_oneof![4 => 0_i64..4, 1 => 65_i64..67];
    let place = (0..DEVICES.len(), day, 0_i64..1_440, 300_usize..900);
    let shapes = [shape(), shape(), shape()];
    let third = proptest::option::weighted(0.4, 0_usize..3);
    let rest = (third, proptest::bool::weighted(0.2), any::<u64>(), proptest::bool::weighted(0.3));
    (place, spacing, step_ns, shapes, rest).prop_map(|(place, spacing, step_ns, shapes, rest)| {
        let ((device, day, minute, rows), (third, others, seed, loaded)) = (place, rest);
        let from = BASE_NS + day * DAY_NS + minute * MINUTE_NS;
        Dense { device, from, rows, spacing, step_ns, shapes, third, others, seed, loaded }
    })
}

/// So many rows lie at one end of the integers, those behind them at the other.
const BRINK_ROWS: usize = 400;

/// Numbers that look random, the same of each seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn is_one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

impl Dense {
    /// All that is written.
    pub fn cells(&self) -> Vec<Cell> {
        let times = self.times();
        let mut cells = Vec::new();
        for (metric, shape) in self.shapes.into_iter().enumerate() {
            let whole = metric == 1 || (metric == 2 && self.device.is_multiple_of(2));
            let mut numbers = Numbers(self.seed ^ (metric as u64 * 0x9e37_79b9));
            let odd = ODD[numbers.below(ODD.len() as u64) as usize];
            let mut walk = numbers.below(400) as i64 - 200;
            for (row, time) in times.iter().enumerate() {
                walk += numbers.below(41) as i64 - 20;
                let value = if whole {
                    integer(shape, row, walk, &mut numbers).map(Value::Integer)
                } else {
                    float(shape, row, walk, &mut numbers, odd).map(Value::Float)
                };
                if let Some(value) = value.filter(|_| self.third != Some(metric) || row % 3 == 0) {
                    cells.push((self.device, *time, metric, value));
                }
            }
        }
        if self.others {
            for (row, time) in times.iter().enumerate() {
                cells.push((self.device, *time, 3, Value::Boolean(row / 50 % 2 == 0)));
                let text = ["on", "off", ""][row / 7 % 3];
                cells.push((self.device, *time, 4, Value::Text(text.to_owned())));
            }
        }
        apart(cells)
    }

    fn times(&self) -> Vec<i64> {
        let mut numbers = Numbers(self.seed | 1);
        let mut time = self.from;
        let step = |row: usize, numbers: &mut Numbers| match self.spacing {
            Spacing::Steady => self.step_ns,
            Spacing::Jitter => self.step_ns + numbers.below(1_000_000) as i64 - 500_000,
            Spacing::Holes if matches!(row, 254..=256 | 511) && numbers.is_one_in(2) => self.step_ns * 5,
            Spacing::Holes if numbers.is_one_in(90) => self.step_ns * (2 + numbers.below(30) as i64),
            Spacing::Holes => self.step_ns,
            Spacing::Wild => 8 + numbers.below(2 * self.step_ns as u64) as i64,
        };
        let next = |row: usize| {
            let own = time;
            time += step(row, &mut numbers);
            own
        };
        (0..self.rows).map(next).collect()
    }
}

/// Whether a row has something out of the ordinary: rarely, and often beside the edges of groups.
fn is_odd(row: usize, numbers: &mut Numbers) -> bool {
    let often = matches!(row, 0 | 255..=257 | 511 | 512);
    numbers.is_one_in(if often { 2 } else { 60 })
}

/// What is odd among floats: of some columns NaN or one infinity alone, of others anything.
const ODD: [&[f64]; 4] = [
    &[f64::NAN],
    &[f64::INFINITY],
    &[-0.0, 0.1 + 0.2, -1e90, 1.0 / 3.0, f64::NAN],
    &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.1 + 0.2, 1e90],
];

fn float(shape: Shape, row: usize, walk: i64, numbers: &mut Numbers, odd: &[f64]) -> Option<f64> {
    let decimal = walk as f64 / 100.0;
    let value = match shape {
        Shape::Excepted if is_odd(row, numbers) => odd[numbers.below(odd.len() as u64) as usize],
        Shape::Walk | Shape::Excepted => decimal,
        Shape::Constant => 21.5,
        Shape::Brink if row < BRINK_ROWS => ((1_i64 << 53) + walk % 64) as f64,
        Shape::Brink => (-(1_i64 << 53) + walk % 64) as f64,
        Shape::Extremes => walk as f64 * 1e90,
        Shape::Jumps if numbers.is_one_in(200) => decimal + 1e9,
        Shape::Jumps => decimal,
        Shape::Noise => decimal / 3.0 + numbers.below(1 << 30) as f64 / 1e15,
        Shape::Plain => f64::from(walk as f32 / 10.0),
        Shape::Sparse if numbers.is_one_in(100) => decimal,
        Shape::Sparse => f64::NAN,
        Shape::Absent => return None,
    };
    Some(value)
}

fn integer(shape: Shape, row: usize, walk: i64, numbers: &mut Numbers) -> Option<i64> {
    let value = match shape {
        Shape::Excepted if is_odd(row, numbers) => walk * 100_000,
        Shape::Walk | Shape::Excepted => walk,
        Shape::Constant => 7,
        Shape::Brink if row < BRINK_ROWS => (1 << 53) + walk % 64,
        Shape::Brink => -(1 << 53) + walk % 64,
        Shape::Extremes if row < BRINK_ROWS => i64::MAX - walk.abs(),
        Shape::Extremes => i64::MIN + walk.abs(),
        Shape::Jumps if numbers.is_one_in(200) => walk + (1 << 40),
        Shape::Jumps => walk,
        Shape::Noise => (numbers.below(1 << 31) as i64) << 33 | numbers.below(1 << 31) as i64,
        Shape::Plain => 1_000 + row as i64 * 12,
        Shape::Sparse => [3, -2][row % 2],
        Shape::Absent => return None,
    };
    Some(value)
}
