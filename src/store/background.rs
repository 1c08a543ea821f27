//! The threads of a store that work by themselves: one seals when memory or the age of what is unsealed asks for it, one
//! merges what seals leave, one brings the watermark up. None waits for another: a long merge holds up neither a seal nor the
//! watermark.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

use super::core::{Core, State, lock};

/// The watermark lags behind the log no longer than this.
const LAG: Duration = Duration::from_millis(100);
/// The clock is looked at no more often than this.
const LOOK: Duration = Duration::from_millis(1);
/// After a seal that failed the next is tried so much later.
const SEAL_RETRY: Duration = Duration::from_secs(1);

/// After a merge that failed the next is tried so much later, twice as late each time that it fails again, and no later than the second.
const MERGE_RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3_600));

/// Starts the threads.
pub(super) fn start(core: &Arc<Core>) -> Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, run: fn(&Core)| {
        let shared = Arc::clone(core);
        std::thread::Builder::new()
            .name(format!("fleetlog-{name}"))
            .spawn(move || run(&shared))
            .map_err(|error| Error::new(ErrorKind::LimitExceeded, format!("starting the {name} thread: {error}")))
    };
    let mut threads = vec![spawn("seal", seal_when_due)?, spawn("watermark", bring_up_watermark)?];
    if core.options.compact_in_background {
        threads.push(spawn("compaction", merge_when_due)?);
    }
    Ok(threads)
}

impl Core {
    /// Waits for a change, so long at most; without end where `None`.
    pub(super) fn wait_for_change<'a>(
        &self,
        state: MutexGuard<'a, State>,
        longest: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match longest {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => self.changed.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0,
        }
    }
}

fn seal_when_due(core: &Core) {
    let mut state = lock(&core.state);
    let mut retry_at: Option<Instant> = None;
    while !state.closing {
        let due = match retry_at {
            _ if core.poisoned.load(Ordering::Acquire) => None,
            Some(at) => Some(at.saturating_duration_since(Instant::now())),
            None => seal_is_due_in(core, &state),
        };
        if due != Some(Duration::ZERO) {
            state = core.wait_for_change(state, due);
            continue;
        }
        drop(state);
        let sealed = core.seal();
        state = lock(&core.state);
        retry_at = sealed.is_err().then(|| Instant::now() + SEAL_RETRY);
        state.seal_failure = sealed.err().map(|error| {
            tracing::error!(%error, "sealing failed");
            (error.kind(), error.message().to_owned())
        });
        core.changed.notify_all();
    }
}

/// How long until what is unsealed is to be sealed; `None` where everything is.
fn seal_is_due_in(core: &Core, state: &State) -> Option<Duration> {
    if state.hot_bytes() > core.options.seal_bytes() {
        return Some(Duration::ZERO);
    }
    let age_ns = core.options.clock.now().nanoseconds().saturating_sub(state.unsealed_since?.nanoseconds());
    let left_ns = core.options.seal_age_ns.saturating_sub(age_ns);
    Some(match u64::try_from(left_ns) {
        // A commit from the future: the clock was put back since.
        Ok(_) if age_ns < 0 => Duration::ZERO,
        Ok(left_ns) if left_ns > 0 => Duration::from_nanos(left_ns).max(LOOK),
        _ => Duration::ZERO,
    })
}

fn bring_up_watermark(core: &Core) {
    let mut state = lock(&core.state);
    let mut since: Option<Instant> = None;
    while !state.closing {
        let lags = core.lagging.load(Ordering::Acquire) && !core.poisoned.load(Ordering::Acquire);
        since = if lags { since.or_else(|| Some(Instant::now())) } else { None };
        let left = since.map(|since| LAG.saturating_sub(since.elapsed()));
        if left != Some(Duration::ZERO) {
            state = core.wait_for_change(state, left);
            continue;
        }
        drop(state);
        if let Err(error) = core.advance_watermark() {
            tracing::error!(%error, "the watermark could not be written");
        }
        since = None;
        state = lock(&core.state);
    }
}

/// What an earlier run of the program left to merge is looked for at once.
fn merge_when_due(core: &Core) {
    let mut state = lock(&core.state);
    let (mut retry_at, mut later): (Option<Instant>, Duration) = (None, MERGE_RETRY.0);
    while !state.closing {
        let due = match retry_at {
            _ if core.poisoned.load(Ordering::Acquire) => None,
            _ if state.look_for_merges => Some(Duration::ZERO),
            at => at.map(|at| at.saturating_duration_since(Instant::now())),
        };
        if due != Some(Duration::ZERO) {
            state = core.wait_for_change(state, due);
            continue;
        }
        state.look_for_merges = false;
        drop(state);
        match core.compact_in_background() {
            Err(error) if error.kind() != ErrorKind::Cancelled => {
                tracing::error!(%error, "compaction failed");
                retry_at = Some(Instant::now() + later);
                later = (later * 2).min(MERGE_RETRY.1);
            }
            _ => (retry_at, later) = (None, MERGE_RETRY.0),
        }
        state = lock(&core.state);
    }
}
