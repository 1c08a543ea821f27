//! What a fleet is made from: its size, its length and its seed.

use std::ops::Range;

/// 2025-01-01T00:00:00Z in milliseconds since 1970: where every fleet begins unless told otherwise.
pub const DEFAULT_START_MS: i64 = 1_735_689_600_000;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// The most devices of a fleet.
pub const DEVICES_MAX: u32 = 10_000_000;
/// The most days of a fleet: a century.
pub const DAYS_MAX: u32 = 36_525;

/// The parameters of a fleet. Equal parameters make equal fleets, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How many devices. Device `k` is the same in a fleet of any size.
    pub devices: u32,
    /// How many days.
    pub days: u32,
    /// The seed of all chance.
    pub seed: u64,
    /// Milliseconds between two samples of a device.
    pub interval_ms: i64,
    /// When the fleet's first day begins, in milliseconds since 1970.
    pub start_ms: i64,
    /// Whether every model reports the same eight metrics; otherwise three of the five models report one of their own.
    pub uniform: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { devices: 100, days: 365, seed: 2025, interval_ms: 60_000, start_ms: DEFAULT_START_MS, uniform: false }
    }
}

/// A parameter outside its limits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

impl Config {
    /// Checks the limits.
    ///
    /// # Errors
    /// Names the parameter that is outside its limits, and the limits.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |text: String| Err(ConfigError(text));
        if !(1..=DEVICES_MAX).contains(&self.devices) {
            return fail(format!("{} devices: 1 to {DEVICES_MAX} are possible", self.devices));
        }
        if !(1..=DAYS_MAX).contains(&self.days) {
            return fail(format!("{} days: 1 to {DAYS_MAX} are possible", self.days));
        }
        if !(1..=DAY_MS).contains(&self.interval_ms) {
            return fail(format!("an interval of {} ms: 1 ms to a day is possible", self.interval_ms));
        }
        if !(0..=4_000_000_000_000).contains(&self.start_ms) {
            return fail(format!("a start at {} ms: 1970 to 2096 is possible", self.start_ms));
        }
        Ok(())
    }

    /// The instants of the fleet's life, in milliseconds since 1970.
    #[must_use]
    pub fn span_ms(&self) -> Range<i64> {
        self.start_ms..self.start_ms + i64::from(self.days) * DAY_MS
    }

    /// The instant at a share (0 to 1) of the fleet's life.
    #[must_use]
    pub fn at_share_ms(&self, share: f64) -> i64 {
        self.start_ms + (share * f64::from(self.days) * DAY_MS as f64) as i64
    }

    /// How many samples a device takes if none is lost.
    #[must_use]
    pub fn ticks(&self) -> i64 {
        i64::from(self.days) * DAY_MS / self.interval_ms
    }
}
