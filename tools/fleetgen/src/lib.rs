//! fleetgen: a fleet of telemetry devices that never was, with the truth about it.
//!
//! Guarantees: the same parameters give the same bytes on every machine of one architecture; device `k` is the same in a
//! fleet of any size, in any order of making; memory is bounded whatever the fleet's length. What is wrong with the fleet
//! (failures, a firmware that hurts, drift, weak batteries, interference, wrong clocks) is planned first, in three
//! strengths of which the weakest lies within two standard deviations of the device's own noise; samples, events and
//! log lines follow the plan, and [`Truth`] tells it. Nothing here depends on the library that is tested with it.

mod config;
mod events;
mod failure;
mod firmware;
mod fleet;
mod logs;
mod metric;
mod plan;
mod random;
mod signal;
mod truth;
mod world;
pub mod write;

pub use config::{Config, ConfigError, DAY_MS, DEFAULT_START_MS, HOUR_MS};
pub use events::{AttributeChange, EVENT_LABELS, Event, EventKind};
pub use fleet::{Device, Fleet, time_text};
pub use logs::LogLine;
pub use metric::{Columns, METRICS, MODES, Metric, Values};
pub use plan::DevicePlan;
pub use signal::DeviceStream;
pub use truth::{
    BadPair, BatteryTruth, ClockTruth, DeviceTruth, DriftTruth, FailureTruth, FirmwareHarm, InterferenceTruth,
    LogTemplateTruth, PrecursorTruth, ReleaseTruth, Strength, Truth, UpdateTruth,
};
