//! Progress and cancellation of long calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

#[derive(Debug, Default)]
struct State {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    #[cfg(test)]
    meter: meter::Meter,
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
        #[cfg(test)]
        if self.0.meter.look() {
            self.cancel();
        }
        if self.0.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "the caller asked it to stop"));
        }
        Ok(())
    }

    /// Notes work that a call does between two looks at whether it may go on: values read, rows or cells made, comparisons. Tests hold how
    /// much of it lies between two looks; else it is nothing.
    #[inline]
    pub(crate) fn note_work(&self, units: u64) {
        #[cfg(test)]
        self.0.meter.note(units);
        let _ = units;
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

/// Looks and the work between them, of a call on one thread: what tests of cancellation count instead of time.
#[cfg(test)]
pub(crate) mod meter {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::Progress;

    #[derive(Debug, Default)]
    pub(super) struct Meter {
        looks: AtomicU64,
        /// The look at which the call is cancelled; 0 for never.
        cancels_at: AtomicU64,
        since: AtomicU64,
        most: AtomicU64,
        total: AtomicU64,
        total_at_cancel: AtomicU64,
    }

    impl Meter {
        /// Counts a look; whether the call is to be cancelled now.
        pub(super) fn look(&self) -> bool {
            self.since.store(0, Relaxed);
            let cancels = self.looks.fetch_add(1, Relaxed) + 1 == self.cancels_at.load(Relaxed);
            if cancels {
                self.total_at_cancel.store(self.total.load(Relaxed), Relaxed);
            }
            cancels
        }

        pub(super) fn note(&self, units: u64) {
            let since = self.since.fetch_add(units, Relaxed) + units;
            self.most.fetch_max(since, Relaxed);
            self.total.fetch_add(units, Relaxed);
        }
    }

    impl Progress {
        /// One that cancels the call at its `look`th look.
        pub(crate) fn cancelling_at(look: u64) -> Self {
            let progress = Self::default();
            progress.0.meter.cancels_at.store(look, Relaxed);
            progress
        }

        /// The work that was done after the call was cancelled.
        pub(crate) fn work_after_cancel(&self) -> u64 {
            self.0.meter.total.load(Relaxed) - self.0.meter.total_at_cancel.load(Relaxed)
        }

        /// Looks so far, the most work between two of them, and all work.
        pub(crate) fn looks_and_work(&self) -> (u64, u64, u64) {
            let meter = &self.0.meter;
            (meter.looks.load(Relaxed), meter.most.load(Relaxed), meter.total.load(Relaxed))
        }
    }
}
