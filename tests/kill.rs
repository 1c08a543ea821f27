//! A process that writes, seals, compacts and loads, events by the hundred too, is killed at any moment, also while it makes or opens the
//! store: reopened, the store holds every commit that was acknowledged, of the one under way all or nothing, and no more; a retry is stored
//! once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fleetlog::{
    Column, Delete, DeviceId, DeviceRows, ErrorKind, Event, EventKind, LogRecord, MetricName, MetricType, Options,
    Presence, Sequence, Severity, Store, TimeRange, Timestamp, Values, WriteBatch,
};

const FOLDER: &str = "FLEETLOG_KILL_FOLDER";
const MINUTE_NS: i64 = 60_000_000_000;
const DEVICES: u64 = 7;
/// Events of a load: more than wait in memory before they are written.
const LOADED_EVENTS: u64 = 1_100;

fn options() -> Options {
    Options { memory_bytes: 16 << 20, threads: 1, compact_in_background: true, ..Options::default() }
}

/// Where commit `n` writes: mostly forward in time, sometimes a month late.
fn time_of(n: u64) -> i64 {
    let late = if n.is_multiple_of(5) { 40 * 1_440 } else { 0 };
    (29_000_000 + n as i64 - late) * MINUTE_NS
}

fn device_of(n: u64) -> String {
    format!("device-{}", n % DEVICES)
}

fn is_load(n: u64) -> bool {
    n.is_multiple_of(19)
}

/// Rows of commit `n`; some commits are large, so that the memory budget seals by itself.
fn rows_of(n: u64) -> u64 {
    if n.is_multiple_of(23) { 4_000 } else { 3 }
}

/// The samples after commits 1 to `last`, the law of this test: (device, time) and value.
fn expected(last: u64) -> BTreeMap<(String, i64), f64> {
    let mut samples = BTreeMap::new();
    for n in 1..=last {
        if let Some((device, range)) = delete_of(n) {
            samples.retain(|(owner, time), _| *owner != device || !range.contains(Timestamp::from_nanoseconds(*time)));
        }
        for row in 0..rows_of(n) {
            samples.insert((device_of(n), time_of(n) + row as i64), n as f64);
        }
    }
    samples
}

fn delete_of(n: u64) -> Option<(String, TimeRange)> {
    let victim = n.checked_sub(6).filter(|victim| n.is_multiple_of(17) && *victim > 0)?;
    let at = |time: i64| Timestamp::from_nanoseconds(time);
    Some((device_of(victim), TimeRange::new(at(time_of(victim)), at(time_of(victim) + 2))))
}

fn commit(store: &Store, n: u64) -> Sequence {
    if is_load(n) {
        let mut load = store.bulk_load().unwrap();
        let device = load.device(&DeviceId::new(device_of(n)).unwrap()).unwrap();
        let (metric, _) = load.metric(&MetricName::new("x").unwrap(), MetricType::Float, None, None).unwrap();
        let times: Vec<i64> = (0..rows_of(n)).map(|row| time_of(n) + row as i64).collect();
        let values = Values::Float(vec![n as f64; times.len()]);
        load.rows(device, &DeviceRows { times, columns: vec![(metric, Column { presence: Presence::All, values })] })
            .unwrap();
        for place in 0..LOADED_EVENTS {
            load.event(loaded_event(n, place)).unwrap();
        }
        delete(load.batch(), n);
        mark(load.batch(), n);
        return load.commit().unwrap().sequence;
    }
    let mut batch = WriteBatch::new();
    for row in 0..rows_of(n) {
        batch.reading(device_of(n), Timestamp::from_nanoseconds(time_of(n) + row as i64)).float("x", n as f64);
    }
    delete(&mut batch, n);
    mark(&mut batch, n);
    // Stored twice, a batch would leave two log records.
    batch.idempotency_key(format!("commit {n}"));
    store.write(batch).unwrap()
}

fn delete(batch: &mut WriteBatch, n: u64) {
    if let Some((device, range)) = delete_of(n) {
        batch.delete(Delete { device: DeviceId::new(device).unwrap(), metric: None, range, events: false });
    }
}

/// Events of the load that commit `n` is; so large that some are written before it commits.
fn loaded_event(n: u64, place: u64) -> Event {
    let labels = BTreeMap::from([("place".to_owned(), place.to_string()), ("text".to_owned(), "x".repeat(1_000))]);
    let (time, device) = (Timestamp::from_nanoseconds(time_of(n)), DeviceId::new("loaded").unwrap());
    Event { time, device, kind: EventKind::Maintenance, labels }
}

/// An event, an attribute and a log record tell which commit came last.
fn mark(batch: &mut WriteBatch, n: u64) {
    batch.event("marker", Timestamp::from_nanoseconds(n as i64), EventKind::Stage, [("n", n.to_string())]);
    batch.attribute("marker", "last", n.to_string());
    batch.log(LogRecord {
        device: DeviceId::new("marker").unwrap(),
        time: Timestamp::from_nanoseconds(time_of(n)),
        severity: Severity::Notice,
        source: "kill".to_owned(),
        message: format!("commit {n}"),
        fields: BTreeMap::new(),
    });
}

/// Commits that are there, by their marks, which come without a gap.
fn last_commit(store: &Store) -> u64 {
    let snapshot = store.snapshot().unwrap();
    let (mut marks, mut loaded) = (Vec::new(), Vec::new());
    snapshot
        .events(TimeRange::ALL, None, &mut |event| {
            match event.kind {
                EventKind::Stage => marks.push(event.time.nanoseconds() as u64),
                _ => loaded.push(event.clone()),
            }
            Ok(true)
        })
        .unwrap();
    let last = marks.len() as u64;
    assert_eq!(marks, (1..=last).collect::<Vec<_>>(), "marks without a gap");
    let loads = (1..=last).filter(|n| is_load(*n));
    let mut expected: Vec<Event> =
        loads.flat_map(|n| (0..LOADED_EVENTS).map(move |place| loaded_event(n, place))).collect();
    expected.sort();
    assert!(loaded == expected, "{} events of loads, where {last} commits have {}", loaded.len(), expected.len());
    let marker = snapshot.catalog().device("marker");
    let said = marker.and_then(|marker| snapshot.attributes().value_at(marker, "last", Timestamp::from_nanoseconds(0)));
    assert_eq!(
        said.map(|value| value.to_text()),
        (last > 0).then(|| last.to_string()),
        "attribute and events of one commit"
    );
    let logs = marker.map_or(Vec::new(), |marker| snapshot.logs(marker).unwrap());
    let mut logged: Vec<(i64, String)> = logs.iter().map(|log| (log.time, log.message.to_string())).collect();
    let mut expected: Vec<(i64, String)> = (1..=last).map(|n| (time_of(n), format!("commit {n}"))).collect();
    logged.sort();
    expected.sort();
    assert!(logged == expected, "log records of {last} commits: {logged:?}");
    last
}

fn stored(store: &Store) -> BTreeMap<(String, i64), f64> {
    let snapshot = store.snapshot().unwrap();
    let mut samples = BTreeMap::new();
    for device in snapshot.catalog().devices() {
        let rows = snapshot.rows(device.handle, TimeRange::ALL, None).unwrap();
        let Some((_, column)) = rows.columns.first() else { continue };
        let Values::Float(values) = &column.values else { panic!("floats") };
        assert_eq!(values.len(), rows.len());
        samples.extend(rows.times.iter().zip(values).map(|(time, value)| ((device.id.to_string(), *time), *value)));
    }
    samples
}

/// The process that is killed: goes on from the last commit, and says each number once it is durable.
#[test]
#[ignore = "started by the tests of this file"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(folder, options()).unwrap();
    let mut n = last_commit(&store);
    let mut out = std::io::stdout();
    // What a program does that never heard of its last commit: the key makes it safe.
    if n > 0 && !is_load(n) {
        commit(&store, n);
    }
    loop {
        n += 1;
        let sequence = commit(&store, n);
        if n.is_multiple_of(7) && !is_load(n) {
            assert_eq!(commit(&store, n), sequence, "a retry is the commit that it repeats");
        }
        writeln!(out, "\nack {n}").unwrap();
        out.flush().unwrap();
        if n.is_multiple_of(13) {
            store.seal().unwrap();
        }
        if n.is_multiple_of(31) {
            store.compact(n.is_multiple_of(2), None).unwrap();
        }
    }
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// When a process is killed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// So many microseconds after its start: while it makes or opens the store, or soon after.
    SinceStart(u64),
    /// So many microseconds after it said so many commits.
    AfterCommits(u64, u64),
}

/// Runs the child and kills it at a moment. Gives the last commit that it said.
fn run_and_kill(folder: &Path, moment: Moment) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    let mut take = |line: std::io::Result<String>| {
        let number = line.ok().and_then(|line| line.strip_prefix("ack ").and_then(|number| number.parse::<u64>().ok()));
        acknowledged = acknowledged.max(number.unwrap_or(0));
        number.is_some()
    };
    let until = match moment {
        Moment::SinceStart(us) => started + Duration::from_micros(us),
        Moment::AfterCommits(mut wanted, us) => {
            for line in said.by_ref() {
                wanted -= u64::from(take(line));
                if wanted == 0 {
                    break;
                }
            }
            Instant::now() + Duration::from_micros(us)
        }
    };
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the child ended by itself");
    said.for_each(|line| {
        take(line);
    });
    acknowledged
}

/// Every round begins with a store that is not there; of the later kills a third falls at a moment since the start. Gives how
/// many kills came before the first commit of their process.
fn survive(rounds: u32, kills: u32, seed: u64) -> u32 {
    let mut dice = Dice(seed);
    let mut early = 0;
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut known = 0;
        for kill in 0..kills {
            let moment = if kill == 0 || dice.roll(3) == 0 {
                Moment::SinceStart(dice.roll(if kill == 0 { 60_000 } else { 120_000 }))
            } else {
                Moment::AfterCommits(1 + dice.roll(40), dice.roll(30_000))
            };
            let said = run_and_kill(&path, moment);
            early += u32::from(said == 0);
            known = check(&path, known.max(said), &format!("round {round}, kill {kill}, {moment:?}"));
        }
    }
    early
}

/// Compares a store with what its last process said; gives its last commit.
fn check(path: &Path, acknowledged: u64, when: &str) -> u64 {
    let compare = |store: &Store, how: &str| {
        let last = last_commit(store);
        assert!(last == acknowledged || last == acknowledged + 1, "{how}, {when}: {last} of {acknowledged} commits");
        let (found, wanted) = (stored(store), expected(last));
        let wrong: Vec<_> = wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value)).take(3).collect();
        assert!(
            wrong.is_empty() && found.len() == wanted.len(),
            "{how}, {when}: {wrong:?}; {} of {}",
            found.len(),
            wanted.len()
        );
        last
    };
    // A reader first: it repairs nothing, and must see the same. What was never made, or but half, it refuses; a writer makes it.
    match Store::open_read_only(path, options()) {
        Ok(reader) => drop(compare(&reader, "reader")),
        Err(error) => {
            assert!(acknowledged == 0 && error.kind() == ErrorKind::NotFound, "reader, {when}: {error}");
        }
    }
    // What is left to merge stays so here: a merge would change the files that are counted below.
    let quiet = Options { compact_in_background: false, ..options() };
    let store = Store::open(path, quiet).unwrap_or_else(|error| panic!("writer, {when}: {error}"));
    let last = compare(&store, "writer");
    // Files that nothing names are gone.
    let segments = store.snapshot().unwrap().segments().len();
    assert_eq!(std::fs::read_dir(path.join("segments")).unwrap().count(), segments, "{when}");
    store.close().unwrap();
    last
}

#[test]
fn acknowledged_commits_survive_two_dozen_kills() {
    survive(4, 6, 0x9e37_79b9_7f4a_7c15);
}

#[test]
#[ignore = "two hundred kills: make test-more"]
fn acknowledged_commits_survive_two_hundred_kills() {
    let early: u32 = (1..=10).map(|seed| survive(4, 5, 0x2545_f491_4f6c_dd1d_u64.wrapping_mul(seed))).sum();
    assert!((5..180).contains(&early), "{early} of 200 kills came before the first commit");
}
