//! Progress and cancellation of long calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

/// Progress and cancellation of a long call: one clone watches or cancels, another is handed to the call.
///
/// ```
/// use fleetlog::{ErrorKind, Progress};
/// let progress = Progress::default();
/// progress.set_total(10);
/// progress.advance(4);
/// assert_eq!(progress.state(), (4, 10));
/// progress.clone().cancel();
/// assert_eq!(progress.check().unwrap_err().kind(), ErrorKind::Cancelled);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<State>);

impl Progress {
    /// Asks the call to stop: it returns [`ErrorKind::Cancelled`] soon.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the call may go on.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] once it was asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the caller asked it to stop"));
        }
        Ok(())
    }

    /// Adds to the work done, in units of the call.
    pub fn advance(&self, done: u64) {
        self.0.done.fetch_add(done, Ordering::Relaxed);
    }

    /// Sets the total work.
    pub fn set_total(&self, total: u64) {
        self.0.total.store(total, Ordering::Relaxed);
    }

    /// Work done, and its total (0 where it is not known).
    #[must_use]
    pub fn state(&self) -> (u64, u64) {
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed))
    }
}
