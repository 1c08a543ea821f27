//! The life of one device, decided before its first sample: who it is, what befalls it, when and why.
//!
//! Guarantees: depends on the parameters and the device's number alone. Lists are in order of time.

use std::ops::Range;

use crate::config::{Config, DAY_MS};
use crate::failure::Failure;
use crate::firmware::{Update, Versions};
use crate::metric::Metric;
use crate::random::{Chance, Purpose};
use crate::truth::Strength;
use crate::world::{ENVIRONMENTS, KM_PER_DEGREE, MODELS, Model, REGIONS, SITES_PER_REGION, World};

/// Standard deviation of every device's signal strength.
pub(crate) const RSSI_SD_DB: f64 = 2.5;
/// Faults are dealt out among so many devices, so that a fleet of this size has each kind in each strength.
const HAND: u32 = 48;
/// A battery is changed when it falls to this.
const BATTERY_LOW_V: f64 = 2.95;
/// A new battery.
const BATTERY_FULL_V: f64 = 3.6;

/// The levels and noises of a device's signals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) temperature_offset_c: f64,
    pub(crate) day_swing_c: f64,
    pub(crate) temperature_sd_c: f64,
    pub(crate) power_w: f64,
    pub(crate) power_sd_w: f64,
    pub(crate) burst_chance: f64,
    pub(crate) burst_minutes: f64,
    pub(crate) pressure_offset_hpa: f64,
    pub(crate) pressure_sd_hpa: f64,
    pub(crate) battery_sd_v: f64,
    pub(crate) battery_v_per_day: f64,
    pub(crate) vibration_mm_s: f64,
    pub(crate) vibration_sd_mm_s: f64,
    pub(crate) rssi_dbm: f64,
    pub(crate) latency_ms: f64,
    pub(crate) errors_per_day: f64,
}

/// A drifting pressure sensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drift {
    pub(crate) from_ms: i64,
    pub(crate) per_day: f64,
    pub(crate) total_sd: f64,
    pub(crate) strength: Strength,
}

/// A battery that loses more than it should.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decline {
    pub(crate) from_ms: i64,
    pub(crate) extra_v_per_day: f64,
    pub(crate) total_sd: f64,
    pub(crate) strength: Strength,
}

/// What is wrong with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClockKind {
    Offset,
    Drift,
    Jump,
    Reset1970,
}

/// A clock that is wrong for a while.
#[derive(Debug, Clone)]
pub(crate) struct ClockFault {
    pub(crate) kind: ClockKind,
    pub(crate) range_ms: Range<i64>,
    pub(crate) offset_ms: i64,
    pub(crate) drift_ppm: f64,
    pub(crate) strength: Strength,
}

impl ClockFault {
    /// What the device says when it really is `at_ms`.
    pub(crate) fn shown_ms(&self, at_ms: i64) -> i64 {
        if !self.range_ms.contains(&at_ms) {
            return at_ms;
        }
        let since_ms = at_ms - self.range_ms.start;
        at_ms + self.offset_ms + (since_ms as f64 * self.drift_ppm / 1e6) as i64
    }

    /// Whether its times can fall back behind earlier ones.
    pub(crate) fn falls_back(&self) -> bool {
        matches!(self.kind, ClockKind::Jump | ClockKind::Reset1970)
    }
}

/// The life of one device.
#[derive(Debug, Clone)]
pub struct DevicePlan {
    pub(crate) number: u32,
    pub(crate) id: String,
    pub(crate) model_number: usize,
    pub(crate) region: usize,
    pub(crate) site: usize,
    pub(crate) environment: usize,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) installed_ms: i64,
    pub(crate) phase_ms: i64,
    pub(crate) active_ms: Range<i64>,
    pub(crate) decommissioned: bool,
    pub(crate) levels: Levels,
    pub(crate) versions: Versions,
    pub(crate) updates: Vec<Update>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) drift: Option<Drift>,
    pub(crate) decline: Option<Decline>,
    pub(crate) clock: Option<ClockFault>,
    pub(crate) calibrations_ms: Vec<i64>,
    pub(crate) inspections_ms: Vec<i64>,
    /// When a battery is put in, and what it has then; the first is the state at the start.
    pub(crate) batteries: Vec<(i64, f64)>,
    /// Starts of the device: each sets its counters to zero.
    pub(crate) starts_ms: Vec<i64>,
    /// The interference that reaches it: its number, and how much of it (0 to 1).
    pub(crate) interference: Vec<(usize, f64)>,
}

/// Which faults a device is dealt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dealt {
    Drift(Strength),
    Decline(Strength),
    Clock(Strength),
    Failure(Strength),
    Nothing,
}

/// The faults of a hand of devices lie in random order; each device finds its own without the others.
fn dealt(seed: u64, number: u32) -> Dealt {
    let mut hand: Vec<usize> = (0..HAND as usize).collect();
    Chance::new(seed, Purpose::Faults, number / HAND).shuffle(&mut hand);
    let card = hand[(number % HAND) as usize];
    let strength = Strength::ALL[card % 3];
    match card / 3 {
        0 => Dealt::Drift(strength),
        1 => Dealt::Decline(strength),
        2 => Dealt::Clock(strength),
        3 => Dealt::Failure(strength),
        _ => Dealt::Nothing,
    }
}

impl DevicePlan {
    pub(crate) fn new(config: &Config, world: &World, number: u32) -> Self {
        let dealt = dealt(config.seed, number);
        let mut chance = Chance::new(config.seed, Purpose::Identity, number);
        let weights = MODELS.map(|model| {
            let has_battery = model.reports(Metric::Battery, config.uniform);
            if has_battery || !matches!(dealt, Dealt::Decline(_)) { model.weight } else { 0.0 }
        });
        let model_number = chance.weighted(&weights);
        let region = chance.place(REGIONS.len());
        let site = region * SITES_PER_REGION + chance.place(SITES_PER_REGION);
        let environment = chance.weighted(&REGIONS[region].environment_weights);
        let (latitude, longitude) = position(&mut chance, world, site);
        let levels = levels(&mut chance);
        let (active_ms, decommissioned) = active(config, &mut chance, dealt);
        let mut plan = Self {
            number,
            id: format!("dev-{number:06}"),
            model_number,
            region,
            site,
            environment,
            latitude,
            longitude,
            installed_ms: config.start_ms - (chance.between(30.0, 1_500.0) * DAY_MS as f64) as i64,
            phase_ms: chance.whole(0, config.interval_ms),
            active_ms,
            decommissioned,
            levels,
            versions: Versions::default(),
            updates: Vec::new(),
            failures: Vec::new(),
            drift: None,
            decline: None,
            clock: None,
            calibrations_ms: Vec::new(),
            inspections_ms: Vec::new(),
            batteries: Vec::new(),
            starts_ms: Vec::new(),
            interference: reached(world, latitude, longitude),
        };
        if plan.active_ms.start > config.start_ms {
            plan.installed_ms = plan.active_ms.start - DAY_MS / 2;
        }
        plan.deal(config, &mut chance, dealt);
        crate::firmware::plan_updates(config, &mut plan);
        let sure = if let Dealt::Failure(strength) = dealt { Some(strength) } else { None };
        crate::failure::plan_failures(config, &mut plan, sure);
        plan_maintenance(config, &mut plan);
        plan
    }

    fn deal(&mut self, config: &Config, chance: &mut Chance, dealt: Dealt) {
        let span = config.span_ms();
        let days_left = |from_ms: i64| ((span.end - from_ms) as f64 / DAY_MS as f64).max(1e-3);
        match dealt {
            Dealt::Drift(strength) => {
                let from_ms = config.at_share_ms(chance.between(0.0, 0.3));
                let total_sd = strength.size_sd(chance) * if chance.happens(0.5) { 1.0 } else { -1.0 };
                let per_day = total_sd * self.levels.pressure_sd_hpa / days_left(from_ms);
                self.drift = Some(Drift { from_ms, per_day, total_sd, strength });
            }
            Dealt::Decline(strength) => {
                let from_ms = config.at_share_ms(chance.between(0.1, 0.4));
                let total_sd = strength.size_sd(chance);
                let extra_v_per_day = total_sd * self.levels.battery_sd_v / days_left(from_ms);
                self.decline = Some(Decline { from_ms, extra_v_per_day, total_sd, strength });
            }
            Dealt::Clock(strength) => self.clock = Some(clock_fault(config, chance, strength)),
            Dealt::Failure(_) | Dealt::Nothing => {}
        }
    }

    /// The strength of the failure that it was dealt.
    #[cfg(test)]
    pub(crate) fn dealt_failure(&self, seed: u64) -> Option<Strength> {
        if let Dealt::Failure(strength) = dealt(seed, self.number) { Some(strength) } else { None }
    }

    pub(crate) fn model(&self) -> &'static Model {
        &MODELS[self.model_number]
    }

    /// The device's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of its model.
    #[must_use]
    pub fn model_name(&self) -> &'static str {
        self.model().name
    }

    /// The name of its region.
    #[must_use]
    pub fn region_name(&self) -> &'static str {
        REGIONS[self.region].name
    }

    /// The word for its environment.
    #[must_use]
    pub fn environment_name(&self) -> &'static str {
        ENVIRONMENTS[self.environment]
    }

    /// Whether it is broken at an instant.
    pub(crate) fn is_down(&self, at_ms: i64) -> bool {
        self.failures.iter().any(|failure| (failure.at_ms..failure.repaired_ms).contains(&at_ms))
    }
}

/// Within five kilometres of the site, to five decimals of a degree.
fn position(chance: &mut Chance, world: &World, site: usize) -> (f64, f64) {
    let site = &world.sites[site];
    let (angle, distance_km) = (chance.between(0.0, std::f64::consts::TAU), 5.0 * chance.unit().sqrt());
    let degrees = distance_km / KM_PER_DEGREE;
    let rounded = |value: f64| (value * 1e5).round() / 1e5;
    let longitude = site.longitude + degrees * angle.cos() / site.latitude.to_radians().cos();
    (rounded(site.latitude + degrees * angle.sin()), rounded(longitude))
}

/// Interference fades linearly from its centre to its edge.
fn reached(world: &World, latitude: f64, longitude: f64) -> Vec<(usize, f64)> {
    let share = |place: &crate::world::Interference| {
        let north_km = (latitude - place.latitude) * KM_PER_DEGREE;
        let east_km = (longitude - place.longitude) * KM_PER_DEGREE * place.latitude.to_radians().cos();
        1.0 - (north_km.hypot(east_km) / place.radius_km)
    };
    world.interference.iter().map(share).enumerate().filter(|(_, share)| *share > 0.0).collect()
}

fn levels(chance: &mut Chance) -> Levels {
    let power_w = chance.between(4.0, 60.0);
    Levels {
        temperature_offset_c: chance.between(-2.0, 4.0),
        day_swing_c: chance.between(2.0, 6.0),
        temperature_sd_c: chance.between(0.4, 0.8),
        power_w,
        power_sd_w: power_w * chance.between(0.01, 0.03),
        burst_chance: chance.between(0.000_5, 0.004),
        burst_minutes: chance.between(4.0, 20.0),
        pressure_offset_hpa: chance.between(-0.5, 0.5),
        pressure_sd_hpa: chance.between(0.03, 0.07),
        battery_sd_v: chance.between(0.008, 0.02),
        battery_v_per_day: 0.6 / chance.between(500.0, 2_000.0),
        vibration_mm_s: chance.between(1.5, 3.5),
        vibration_sd_mm_s: chance.between(0.1, 0.25),
        rssi_dbm: chance.between(-88.0, -55.0),
        latency_ms: chance.between(25.0, 120.0),
        errors_per_day: chance.between(0.5, 3.0),
    }
}

/// Nine in ten report from the start; few are taken out of service before the end.
fn active(config: &Config, chance: &mut Chance, dealt: Dealt) -> (Range<i64>, bool) {
    let span = config.span_ms();
    let (late, late_share) = (chance.happens(0.1), chance.between(0.02, 0.4));
    let (ends, end_share) = (chance.happens(0.03), chance.between(0.6, 0.95));
    if dealt != Dealt::Nothing {
        return (span, false);
    }
    let from = if late { config.at_share_ms(late_share) } else { span.start };
    let to = if ends { config.at_share_ms(end_share) } else { span.end };
    (from..to, ends)
}

fn clock_fault(config: &Config, chance: &mut Chance, strength: Strength) -> ClockFault {
    let from_ms = config.at_share_ms(chance.between(0.1, 0.6));
    let sign = if chance.happens(0.5) { 1.0 } else { -1.0 };
    let until = |share: f64| {
        from_ms
            ..config
                .at_share_ms(1.0)
                .min(from_ms + (share * config.at_share_ms(1.0).abs_diff(config.start_ms) as f64) as i64)
    };
    let odd_ms = chance.whole(1, 1_000);
    match strength {
        Strength::Weak => ClockFault {
            kind: ClockKind::Offset,
            range_ms: until(1.0),
            offset_ms: (sign * chance.between(0.1, 0.4) * config.interval_ms as f64) as i64,
            drift_ppm: 0.0,
            strength,
        },
        Strength::Medium => ClockFault {
            kind: ClockKind::Drift,
            range_ms: until(1.0),
            offset_ms: 0,
            drift_ppm: sign * chance.between(100.0, 300.0),
            strength,
        },
        Strength::Strong if chance.happens(0.5) => ClockFault {
            kind: ClockKind::Jump,
            range_ms: until(chance.between(0.01, 0.03)),
            offset_ms: (sign * chance.between(2.0, 10.0) * 3_600_000.0) as i64 + odd_ms,
            drift_ppm: 0.0,
            strength,
        },
        Strength::Strong => {
            let range_ms = until(chance.between(0.002, 0.006));
            // The clock starts again a few seconds after 1970 began.
            let offset_ms = odd_ms + 5_000 - range_ms.start;
            ClockFault { kind: ClockKind::Reset1970, range_ms, offset_ms, drift_ppm: 0.0, strength }
        }
    }
}

fn plan_maintenance(config: &Config, plan: &mut DevicePlan) {
    let mut chance = Chance::new(config.seed, Purpose::Maintenance, plan.number);
    let span = plan.active_ms.clone();
    let mut at_ms = span.start + (chance.between(5.0, 120.0) * DAY_MS as f64) as i64;
    while at_ms < span.end {
        plan.inspections_ms.push(at_ms);
        at_ms += (chance.between(90.0, 150.0) * DAY_MS as f64) as i64;
    }
    // Good sensors are calibrated too, so that a calibration does not give a drift away.
    if chance.happens(if plan.drift.is_some() { 0.34 } else { 0.1 }) {
        plan.calibrations_ms.push(config.at_share_ms(chance.between(0.5, 0.9)).clamp(span.start, span.end - 1));
    }
    plan_batteries(plan);
    plan.starts_ms = std::iter::once(span.start)
        .chain(plan.updates.iter().filter(|update| update.was_installed()).map(|update| update.at_ms))
        .chain(plan.failures.iter().map(|failure| failure.repaired_ms))
        .chain(plan.batteries.iter().skip(1).map(|(at_ms, _)| *at_ms))
        .collect();
    let mut at_ms = span.start as f64 + chance.exponential(60.0 * DAY_MS as f64);
    while at_ms < span.end as f64 {
        plan.starts_ms.push(at_ms as i64);
        at_ms += chance.exponential(60.0 * DAY_MS as f64);
    }
    plan.starts_ms.sort_unstable();
}

/// Follows the battery day by day; it is changed at repairs of itself, and when it is low.
fn plan_batteries(plan: &mut DevicePlan) {
    let day = DAY_MS as f64;
    let age_days = (plan.active_ms.start - plan.installed_ms) as f64 / day;
    let mut volts =
        BATTERY_FULL_V - (plan.levels.battery_v_per_day * age_days) % (BATTERY_FULL_V - BATTERY_LOW_V - 0.1);
    let mut at_ms = plan.active_ms.start;
    plan.batteries.push((at_ms, volts));
    while at_ms < plan.active_ms.end {
        let next_ms = at_ms + DAY_MS;
        let extra =
            plan.decline.filter(|decline| at_ms >= decline.from_ms).map_or(0.0, |decline| decline.extra_v_per_day);
        volts -= plan.levels.battery_v_per_day + extra;
        let repaired = plan
            .failures
            .iter()
            .find(|failure| failure.component() == "battery" && (at_ms..next_ms).contains(&failure.repaired_ms));
        let changed_ms =
            repaired.map(|failure| failure.repaired_ms).or_else(|| (volts < BATTERY_LOW_V).then_some(next_ms));
        if let Some(changed_ms) = changed_ms.filter(|changed_ms| *changed_ms < plan.active_ms.end) {
            plan.batteries.push((changed_ms, BATTERY_FULL_V));
            volts = BATTERY_FULL_V;
        }
        at_ms = next_ms;
    }
}
