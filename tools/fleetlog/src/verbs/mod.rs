//! The verbs.

pub(crate) mod import;
pub(crate) mod info;
mod notes;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod write;

use std::path::Path;
use std::time::Instant;

use fleetlog::operator::Explain;
use fleetlog::{Options, Snapshot, Store};
use serde_json::json;

use crate::arguments::Common;
use crate::{Failure, progress};

fn options(common: &Common) -> Options {
    Options { memory_bytes: common.memory, threads: common.threads, create: false, ..Options::default() }
}

/// Opens for writing. Compaction is left to `compact` and to hosts that hold the store for long.
fn open_writer(common: &Common, path: &Path) -> Result<Store, Failure> {
    Ok(Store::open(path, Options { compact_in_background: false, ..options(common) })?)
}

/// A store opened for reading, one moment of it, and how long that took.
struct Reading {
    store: Store,
    snapshot: Snapshot,
    open_ms: f64,
}

fn open_reader(common: &Common, path: &Path) -> Result<Reading, Failure> {
    let started = Instant::now();
    let store = Store::open_read_only(path, options(common))?;
    let snapshot = store.snapshot()?;
    Ok(Reading { store, snapshot, open_ms: started.elapsed().as_secs_f64() * 1e3 })
}

/// Runs a question as often as asked, and explains where asked.
fn repeat<R>(
    common: &Common,
    open_ms: f64,
    mut question: impl FnMut() -> Result<(R, Explain), Failure>,
) -> Result<R, Failure> {
    let mut elapsed_ms = Vec::new();
    for _ in 1..common.repeat {
        // An answer is gone before the next one is made, as in a program that asks again.
        let (_, explain) = question()?;
        elapsed_ms.push(explain.elapsed_ms);
    }
    let (answer, explain) = question()?;
    elapsed_ms.push(explain.elapsed_ms);
    if common.explain {
        tell(open_ms, &explain, elapsed_ms);
    }
    Ok(answer)
}

/// The account of work that counts no blocks.
fn timed(started: Instant) -> Explain {
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    Explain { elapsed_ms, scan_ms: elapsed_ms, threads: 1, ..Explain::default() }
}

fn tell(open_ms: f64, explain: &Explain, mut elapsed_ms: Vec<f64>) {
    let in_turn = elapsed_ms.clone();
    elapsed_ms.sort_by(f64::total_cmp);
    let middle = elapsed_ms.len() / 2;
    let median = if elapsed_ms.len().is_multiple_of(2) {
        elapsed_ms[middle - 1].midpoint(elapsed_ms[middle])
    } else {
        elapsed_ms[middle]
    };
    let mut told = json!({
        "elapsed_ms": median,
        "open_ms": open_ms,
        "plan_ms": explain.plan_ms,
        "scan_ms": explain.scan_ms,
        "merge_ms": explain.merge_ms,
        "threads": explain.threads,
        "segments": explain.segments,
        "segments_pruned": explain.segments_pruned,
        "blocks": explain.blocks,
        "blocks_from_statistics": explain.blocks_from_statistics,
        "blocks_decoded": explain.blocks_decoded,
        "values_decoded": explain.values_decoded,
        "bytes_read": explain.bytes_read,
    });
    if elapsed_ms.len() > 1 {
        told["repeat"] = json!(elapsed_ms.len());
        told["elapsed_min_ms"] = json!(elapsed_ms[0]);
        told["elapsed_max_ms"] = json!(elapsed_ms[elapsed_ms.len() - 1]);
        told["elapsed_each_ms"] = json!(in_turn);
    }
    progress::say(&told.to_string());
}
