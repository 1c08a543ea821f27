//! The one thread of a store that works by itself: seals when memory or the age of what is unsealed asks for it, compacts after
//! it, and brings the watermark up.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

use super::core::{Core, State, lock};

/// The watermark lags behind the log no longer than this.
const LAG: Duration = Duration::from_millis(100);
/// The clock is looked at no more often than this.
const LOOK: Duration = Duration::from_millis(1);

/// Starts the thread.
pub(super) fn start(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let shared = Arc::clone(core);
    std::thread::Builder::new()
        .name("fleetlog-background".to_owned())
        .spawn(move || run(&shared))
        .map_err(|error| Error::new(ErrorKind::LimitExceeded, format!("starting the background thread: {error}")))
}

fn run(core: &Core) {
    while let Some(seal) = wait(core) {
        if seal {
            seal_and_compact(core);
        }
        if core.lagging.load(Ordering::Acquire)
            && let Err(error) = core.advance_watermark()
        {
            tracing::error!(%error, "the watermark could not be written");
        }
    }
}

/// Waits for work; says whether it is a seal, or `None` when the store closes.
fn wait(core: &Core) -> Option<bool> {
    let mut state = lock(&core.state);
    loop {
        if state.closing {
            return None;
        }
        let failed = state.seal_failure.is_some() || core.poisoned.load(Ordering::Acquire);
        let due = (!failed).then(|| seal_is_due_in(core, &state)).flatten();
        if due.is_some_and(|due| due.is_zero()) {
            return Some(true);
        }
        let lagging = core.lagging.load(Ordering::Acquire) && !core.poisoned.load(Ordering::Acquire);
        let Some(longest) = due.into_iter().chain(lagging.then_some(LAG)).min() else {
            state = core.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let (after, timeout) = core.changed.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner);
        state = after;
        if lagging && timeout.timed_out() {
            return Some(false);
        }
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
        Ok(left_ns) if left_ns > 0 => Duration::from_nanos(left_ns).max(LOOK),
        _ => Duration::ZERO,
    })
}

fn seal_and_compact(core: &Core) {
    if let Err(error) = core.seal() {
        tracing::error!(%error, "sealing failed");
        lock(&core.state).seal_failure = Some((error.kind(), error.message().to_owned()));
        core.changed.notify_all();
        return;
    }
    core.expire_snapshots();
    if core.options.compact_in_background
        && let Err(error) = core.compact(false, None)
    {
        tracing::error!(%error, "compaction failed");
    }
}
