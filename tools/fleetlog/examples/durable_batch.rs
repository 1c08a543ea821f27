//! How long a durable batch takes beside the disk alone: `durable_batch FOLDER [BATCHES] [READINGS]`, 2,000 batches of 10,000
//! readings by default.
//!
//! Turn by turn it appends and syncs (fdatasync) the plain readings, 76 bytes each (handle, time, 8 doubles), to an open file, and
//! writes the same readings as one batch to a store. Making a batch is not timed. Both grow in FOLDER, which is removed at the
//! end. Prints one JSON object: milliseconds of each as median, p95, p99 and maximum. The same readings in every run.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use fleetlog::{Options, Store, Timestamp, WriteBatch};

const METRICS: [&str; 8] =
    ["temperature_c", "humidity_pct", "battery_pct", "power_w", "rssi_dbm", "packet_loss_pct", "latency_ms", "reading"];
const DEVICES: usize = 100;
/// 2025-01-01.
const START_S: i64 = 1_735_689_600;
/// Of each metric: where it starts, how far a minute takes it at most, its decimals; it keeps within ten times its start.
const WALKS: [(f64, f64, i32); 8] = [
    (15.0, 0.1, 2),
    (60.0, 0.3, 1),
    (80.0, 0.1, 1),
    (40.0, 1.0, 2),
    (-70.0, 1.0, 0),
    (1.0, 0.5, 1),
    (80.0, 40.0, 0),
    (1_013.0, 0.05, 3),
];

/// A fleet whose values wander, quantised as sensors report them.
struct Fleet {
    values: Vec<[f64; 8]>,
    minute: i64,
    state: u64,
}

impl Fleet {
    fn new() -> Self {
        Self { values: vec![WALKS.map(|walk| walk.0); DEVICES], minute: 0, state: 2_025 }
    }

    /// -1 to 1, by xorshift.
    fn noise(&mut self) -> f64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// The next readings of all devices, minute by minute, in both forms.
    fn next(&mut self, readings: usize) -> (Vec<u8>, WriteBatch) {
        let (mut plain, mut batch) = (Vec::with_capacity(readings * 76), WriteBatch::new());
        for reading in 0..readings {
            let device = reading % DEVICES;
            let at_ns = (START_S + self.minute * 60) * 1_000_000_000;
            plain.extend_from_slice(&(device as u32).to_le_bytes());
            plain.extend_from_slice(&at_ns.to_le_bytes());
            let mut row = batch.reading(format!("pump-{device:04}"), Timestamp::from_nanoseconds(at_ns));
            for (metric, (start, step, decimals)) in WALKS.into_iter().enumerate() {
                let scale = 10_f64.powi(decimals);
                let limit = start.abs() * 10.0;
                let walked = (self.values[device][metric] + self.noise() * step).clamp(-limit, limit);
                self.values[device][metric] = walked;
                let value = (walked * scale).round() / scale;
                plain.extend_from_slice(&value.to_le_bytes());
                row = row.float(METRICS[metric], value);
            }
            if device + 1 == DEVICES {
                self.minute += 1;
            }
        }
        (plain, batch)
    }
}

/// Milliseconds of a piece of work.
fn timed<R>(work: impl FnOnce() -> Result<R, Box<dyn std::error::Error>>) -> Result<f64, Box<dyn std::error::Error>> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Median, p95, p99 and maximum, each a time that was measured.
fn summary(mut times_ms: Vec<f64>) -> serde_json::Value {
    times_ms.sort_by(f64::total_cmp);
    let at = |share: f64| times_ms[((times_ms.len() as f64 * share).ceil() as usize).max(1) - 1];
    serde_json::json!({"median_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "max_ms": at(1.0)})
}

fn measure(folder: &Path, batches: usize, readings: usize) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let mut file = File::create_new(folder.join("plain"))?;
    let store = Store::open(folder.join("store"), Options::default())?;
    let mut fleet = Fleet::new();
    let (mut plain_ms, mut store_ms) = (Vec::new(), Vec::new());
    let mut plain_bytes = 0;
    for _ in 0..batches {
        let (plain, batch) = fleet.next(readings);
        plain_bytes = plain.len();
        plain_ms.push(timed(|| {
            file.write_all(&plain)?;
            Ok(file.sync_data()?)
        })?);
        store_ms.push(timed(|| Ok(store.write(batch)?))?);
    }
    store.close()?;
    Ok(serde_json::json!({
        "batches": batches, "readings": readings, "metrics": METRICS.len(), "plain_bytes": plain_bytes,
        "raw": summary(plain_ms), "fleetlog": summary(store_ms),
    }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parent = arguments.first().ok_or("durable_batch FOLDER [BATCHES] [READINGS]")?;
    let number = |place: usize, usual: usize| arguments.get(place).map_or(Ok(usual), |word| word.parse());
    let folder = tempfile::tempdir_in(parent)?;
    let found = measure(folder.path(), number(1, 2_000)?.max(1), number(2, 10_000)?.max(1))?;
    Ok(writeln!(std::io::stdout(), "{found}")?)
}
