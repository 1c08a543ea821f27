//! The ground truth: what is wrong with the fleet, of what strength, since when, and why.
//!
//! Guarantees: everything here was decided before the first sample was made, and every sample follows it. Sizes are in the
//! metric's unit and in standard deviations of the device's own noise. Times are RFC 3339 in UTC.

use serde::Serialize;

use crate::random::Chance;

/// How hard a fault is to see. Sizes count in standard deviations of the device's own noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// 1 to 2 deviations.
    Weak,
    /// 3 to 4.5 deviations.
    Medium,
    /// 6 to 10 deviations.
    Strong,
}

impl Strength {
    /// All, from weak to strong.
    pub const ALL: [Self; 3] = [Self::Weak, Self::Medium, Self::Strong];

    /// A size for this strength, in standard deviations.
    pub(crate) fn size_sd(self, chance: &mut Chance) -> f64 {
        let (low, high) = self.of((1.0, 2.0), (3.0, 4.5), (6.0, 10.0));
        chance.between(low, high)
    }

    /// One of three things.
    pub(crate) fn of<T>(self, weak: T, medium: T, strong: T) -> T {
        match self {
            Self::Weak => weak,
            Self::Medium => medium,
            Self::Strong => strong,
        }
    }
}

/// The whole truth about a fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// Number of devices.
    pub devices: u32,
    /// Number of days.
    pub days: u32,
    /// The seed.
    pub seed: u64,
    /// Milliseconds between samples.
    pub interval_ms: i64,
    /// When the fleet's life begins.
    pub from: String,
    /// When it ends.
    pub to: String,
    /// Rows in the samples file. (Filled in by the writer; 0 before.)
    pub rows: u64,
    /// Rows that stand behind later ones of their device in the samples file (only in the order of arrival).
    pub late_rows: u64,
    /// What is known of each device.
    pub device_list: Vec<DeviceTruth>,
    /// Firmware releases, oldest first.
    pub releases: Vec<ReleaseTruth>,
    /// What the harmful release does, by model.
    pub firmware_harm: Vec<FirmwareHarm>,
    /// Attempts to update, by device and time.
    pub updates: Vec<UpdateTruth>,
    /// Combinations of model and environment that fail more.
    pub bad_pairs: Vec<BadPair>,
    /// Failures, by device and time.
    pub failures: Vec<FailureTruth>,
    /// Sensors that drift.
    pub drifts: Vec<DriftTruth>,
    /// Batteries that fall faster than they should.
    pub battery_declines: Vec<BatteryTruth>,
    /// Clocks that are wrong.
    pub clocks: Vec<ClockTruth>,
    /// Places and times of radio interference.
    pub interference: Vec<InterferenceTruth>,
    /// Templates of the log lines, with `<*>` for each parameter.
    pub log_templates: Vec<LogTemplateTruth>,
}

/// A device, and its own noise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceTruth {
    /// The device.
    pub device: String,
    /// Its model.
    pub model: String,
    /// Its region.
    pub region: String,
    /// Its environment.
    pub environment: String,
    /// When it first reports.
    pub activated: String,
    /// When it was taken out of service for good, where it was.
    pub decommissioned: Option<String>,
    /// Standard deviation of its temperature's noise.
    pub temperature_sd_c: f64,
    /// Standard deviation of its power's noise.
    pub power_sd_w: f64,
    /// Standard deviation of its pressure's noise.
    pub pressure_sd_hpa: f64,
    /// Standard deviation of its battery's noise.
    pub battery_sd_v: f64,
    /// Standard deviation of its vibration's noise.
    pub vibration_sd_mm_s: f64,
}

/// A firmware release.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseTruth {
    /// Its version.
    pub version: String,
    /// When its roll-out began.
    pub released: String,
    /// Whether every device must have it.
    pub mandatory: bool,
    /// Whether it hurts.
    pub harmful: bool,
}

/// What the harmful release does to a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FirmwareHarm {
    /// The release.
    pub version: String,
    /// The model.
    pub model: String,
    /// How much; none where it is harmless.
    pub strength: Option<Strength>,
    /// Failures per time, against before.
    pub failure_rate_ratio: f64,
    /// Errors per time, against before.
    pub error_rate_ratio: f64,
    /// Rise of the power in standard deviations of each device's own noise.
    pub power_shift_sd: f64,
}

/// An attempt to update a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UpdateTruth {
    /// The device.
    pub device: String,
    /// When.
    pub time: String,
    /// From which version.
    pub from: String,
    /// To which version.
    pub to: String,
    /// `success`, `failure` or `rolled_back`.
    pub status: String,
    /// Which wave of the roll-out, from 1.
    pub wave: u32,
}

/// A model that fails more in an environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BadPair {
    /// The model.
    pub model: String,
    /// The environment.
    pub environment: String,
    /// Failures per time, against the model's other environments.
    pub failure_rate_ratio: f64,
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FailureTruth {
    /// The device.
    pub device: String,
    /// When it failed.
    pub time: String,
    /// When it worked again, or the end of the fleet's life.
    pub repaired: String,
    /// The part that failed.
    pub component: String,
    /// Why: `wear`, `heat`, `discharge`, `faults` or `lightning`.
    pub cause: String,
    /// What made it likelier: `firmware VERSION`, `model X in ENVIRONMENT`, `age`.
    pub because_of: Vec<String>,
    /// What announced it; `None` for lightning.
    pub precursor: Option<PrecursorTruth>,
}

/// How a failure announces itself: a shift that grows with the square of time until the failure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PrecursorTruth {
    /// The metric that shows it.
    pub metric: String,
    /// Since when.
    pub from: String,
    /// The shift at the failure, in standard deviations; for `error_count` the factor of its rate.
    pub size_sd: f64,
    /// The shift at the failure in the metric's unit; for `error_count` the factor of its rate.
    pub size: f64,
    /// How hard it is to see.
    pub strength: Strength,
}

/// A sensor that drifts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriftTruth {
    /// The device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// Since when.
    pub from: String,
    /// How much a day.
    pub per_day: f64,
    /// How much from its beginning to the end of the fleet's life (had nobody calibrated it).
    pub total: f64,
    /// The same in standard deviations.
    pub total_sd: f64,
    /// When it was calibrated (the error so far goes to zero, the drift goes on).
    pub calibrated: Option<String>,
    /// How hard it is to see.
    pub strength: Strength,
}

/// A battery that falls faster than it should.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatteryTruth {
    /// The device.
    pub device: String,
    /// Since when.
    pub from: String,
    /// What a healthy battery of this device loses a day.
    pub normal_v_per_day: f64,
    /// What this one loses besides.
    pub extra_v_per_day: f64,
    /// The extra loss from its beginning to the end of the fleet's life, in standard deviations.
    pub total_sd: f64,
    /// How hard it is to see.
    pub strength: Strength,
}

/// A clock that is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockTruth {
    /// The device.
    pub device: String,
    /// `offset`, `drift`, `jump` or `reset_1970`.
    pub kind: String,
    /// Since when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// How far it is ahead (behind where negative) when the fault begins.
    pub offset_ms: i64,
    /// How much it gains (loses where negative), in millionths.
    pub drift_ppm: f64,
    /// How hard it is to see.
    pub strength: Strength,
}

/// Radio interference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InterferenceTruth {
    /// The site around which it lies.
    pub site: String,
    /// Its centre.
    pub lat: f64,
    /// Its centre.
    pub lon: f64,
    /// How far it reaches.
    pub radius_km: f64,
    /// Since when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// From which hour of the UTC day.
    pub from_hour: i64,
    /// To which hour, excluded.
    pub to_hour: i64,
    /// What it takes from the signal in the centre.
    pub loss_db: f64,
    /// The same in standard deviations.
    pub loss_sd: f64,
    /// The share of samples that get lost while it is on, in the centre.
    pub lost_rows_share: f64,
    /// The devices that it reaches.
    pub devices: Vec<String>,
    /// How hard it is to see.
    pub strength: Strength,
}

/// A template of log lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogTemplateTruth {
    /// The template, with `<*>` for each parameter.
    pub template: String,
    /// Its severity.
    pub severity: String,
    /// What writes it.
    pub source: String,
}
