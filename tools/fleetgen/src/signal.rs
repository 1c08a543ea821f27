//! The samples of one device, stretch by stretch.
//!
//! Guarantees: the same samples however long the stretches are; memory for one stretch only. What changes slowly (weather,
//! precursors, interference) is computed at knots of a quarter of an hour and runs straight between them.

use std::f64::consts::TAU;

use crate::config::{Config, DAY_MS};
use crate::firmware::harm;
use crate::metric::{Columns, Metric};
use crate::plan::{DevicePlan, RSSI_SD_DB};
use crate::random::{Chance, Purpose};
use crate::world::{REGIONS, World};

/// Milliseconds between two knots of what changes slowly.
const KNOT_MS: i64 = 900_000;
/// Outages: the share of time that they take, and how long one lasts on average.
const OUTAGE_SHARE: f64 = 0.017;
const OUTAGE_MINUTES: f64 = 45.0;
/// Samples that get lost one by one.
const LOST_SHARE: f64 = 0.003;

/// First-order autoregressive noise of a given deviation, whatever the interval.
#[derive(Debug, Clone, Copy)]
struct Wander {
    level: f64,
    memory: f64,
    step: f64,
}

impl Wander {
    /// `minute_memory` is the correlation of values a minute apart.
    fn new(chance: &mut Chance, sd: f64, minute_memory: f64, interval_ms: i64) -> Self {
        let memory = minute_memory.powf(interval_ms as f64 / 60_000.0);
        Self { level: sd * chance.normal(), memory, step: sd * (1.0 - memory * memory).sqrt() }
    }

    fn next(&mut self, chance: &mut Chance) -> f64 {
        self.level = self.memory * self.level + self.step * chance.normal();
        self.level
    }
}

/// What holds at an instant apart from noise.
#[derive(Debug, Clone, Copy, Default)]
struct Base {
    temperature: f64,
    humidity: f64,
    battery: f64,
    power: f64,
    rssi: f64,
    pressure: f64,
    vibration: f64,
}

impl Base {
    /// The straight line between two knots, at a share of the way.
    fn between(&self, next: &Self, share: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * share;
        Self {
            temperature: mix(self.temperature, next.temperature),
            humidity: mix(self.humidity, next.humidity),
            battery: mix(self.battery, next.battery),
            power: mix(self.power, next.power),
            rssi: mix(self.rssi, next.rssi),
            pressure: mix(self.pressure, next.pressure),
            vibration: mix(self.vibration, next.vibration),
        }
    }
}

/// What holds for a quarter of an hour.
#[derive(Debug, Clone, Copy, Default)]
struct Quarter {
    number: i64,
    from: Base,
    to: Base,
    errors_per_tick: f64,
    lost_share: f64,
    latency: f64,
    /// Whether anything happens in it that must be looked up for every sample.
    eventful: bool,
}

/// The samples of one device: an iterator over stretches.
pub struct DeviceStream<'a> {
    config: &'a Config,
    world: &'a World,
    plan: &'a DevicePlan,
    chance: Chance,
    tick: i64,
    stretch_ticks: i64,
    temperature: Wander,
    humidity: Wander,
    battery: Wander,
    power: Wander,
    pressure: Wander,
    vibration: Wander,
    rssi: Wander,
    burst: (i64, f64),
    outage_ticks: i64,
    errors: i64,
    next_start: usize,
    door_open: bool,
    mode: u8,
    quarter: Quarter,
}

impl<'a> DeviceStream<'a> {
    pub(crate) fn new(config: &'a Config, world: &'a World, plan: &'a DevicePlan, stretch_ticks: i64) -> Self {
        let mut chance = Chance::new(config.seed, Purpose::Signals, plan.number);
        let levels = &plan.levels;
        let mut wander = |sd: f64, memory: f64| Wander::new(&mut chance, sd, memory, config.interval_ms);
        let temperature = wander(levels.temperature_sd_c, 0.995);
        let humidity = wander(1.5, 0.995);
        let battery = wander(levels.battery_sd_v, 0.9);
        let power = wander(levels.power_sd_w, 0.6);
        let pressure = wander(levels.pressure_sd_hpa, 0.6);
        let vibration = wander(levels.vibration_sd_mm_s, 0.6);
        let rssi = wander(RSSI_SD_DB, 0.97);
        Self {
            config,
            world,
            plan,
            chance,
            tick: 0,
            stretch_ticks: stretch_ticks.max(1),
            temperature,
            humidity,
            battery,
            power,
            pressure,
            vibration,
            rssi,
            burst: (0, 0.0),
            outage_ticks: 0,
            errors: 0,
            next_start: 0,
            door_open: false,
            mode: 0,
            quarter: Quarter { number: i64::MIN, ..Quarter::default() },
        }
    }

    fn base(&self, at_ms: i64) -> Base {
        let (plan, levels) = (self.plan, &self.plan.levels);
        let day = TAU * (at_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64 + plan.longitude / 360.0);
        let year = TAU * (at_ms as f64 / (365.2425 * DAY_MS as f64));
        let region = &REGIONS[plan.region];
        let outside = if plan.environment == 0 { 0.3 } else { 1.0 };
        let weather = -outside * (region.year_swing_c * (year - 0.3).cos() + levels.day_swing_c * (day - 0.6).cos());
        let mut base = Base {
            temperature: region.mean_c + levels.temperature_offset_c + weather,
            humidity: 62.0 - 1.6 * weather,
            battery: self.battery_volts(at_ms) + 0.002 * weather,
            power: levels.power_w * (1.0 - 0.12 * day.cos()),
            rssi: levels.rssi_dbm,
            pressure: self.world.pressure_hpa(plan.site, at_ms) + levels.pressure_offset_hpa + self.drift_hpa(at_ms),
            vibration: levels.vibration_mm_s,
        };
        base.power += harm(plan.model(), plan.versions.at(at_ms)).power_shift_sd * levels.power_sd_w;
        for failure in &plan.failures {
            let Some(precursor) = &failure.precursor else { continue };
            let shift = precursor.size * failure.progress(precursor, at_ms);
            match precursor.metric {
                Metric::Temperature => base.temperature += shift,
                Metric::Power => base.power += shift,
                Metric::Battery => base.battery += shift,
                Metric::Vibration => base.vibration += shift,
                _ => {}
            }
        }
        base
    }

    fn drift_hpa(&self, at_ms: i64) -> f64 {
        let Some(drift) = self.plan.drift else { return 0.0 };
        let calibrated = self.plan.calibrations_ms.iter().rfind(|calibrated_ms| **calibrated_ms <= at_ms);
        let from_ms = drift.from_ms.max(calibrated.copied().unwrap_or(i64::MIN));
        drift.per_day * (at_ms - from_ms).max(0) as f64 / DAY_MS as f64
    }

    fn battery_volts(&self, at_ms: i64) -> f64 {
        let later = self.plan.batteries.partition_point(|(from_ms, _)| *from_ms <= at_ms);
        let Some(&(from_ms, volts)) = self.plan.batteries.get(later.saturating_sub(1)) else { return 0.0 };
        let days = |from_ms: i64| (at_ms - from_ms).max(0) as f64 / DAY_MS as f64;
        let extra = self.plan.decline.map_or(0.0, |d| d.extra_v_per_day * days(d.from_ms.max(from_ms)));
        volts - self.plan.levels.battery_v_per_day * days(from_ms) - extra
    }

    /// Enters the quarter of an hour of an instant.
    fn enter_quarter(&mut self, number: i64) {
        let from_ms = number * KNOT_MS;
        let middle_ms = from_ms + KNOT_MS / 2;
        let (plan, levels) = (self.plan, &self.plan.levels);
        let (mut from, mut to) = (self.base(from_ms), self.base(from_ms + KNOT_MS));
        let mut quarter = Quarter { number, lost_share: LOST_SHARE, latency: levels.latency_ms, ..Quarter::default() };
        let mut errors_per_day = levels.errors_per_day * harm(plan.model(), plan.versions.at(middle_ms)).error_ratio;
        for failure in &plan.failures {
            if let Some(precursor) =
                failure.precursor.as_ref().filter(|precursor| precursor.metric == Metric::ErrorCount)
            {
                errors_per_day *= 1.0 + (precursor.size - 1.0) * failure.progress(precursor, middle_ms);
            }
        }
        for (place, share) in &plan.interference {
            let interference = &self.world.interference[*place];
            if interference.is_on(middle_ms) {
                let loss_db = share * interference.loss_db;
                from.rssi -= loss_db;
                to.rssi -= loss_db;
                quarter.lost_share += share * interference.lost_rows_share;
                quarter.latency *= 1.0 + 0.05 * loss_db;
                errors_per_day *= 1.0 + 0.2 * loss_db;
            }
        }
        quarter.errors_per_tick = errors_per_day * self.config.interval_ms as f64 / DAY_MS as f64;
        let around = from_ms - self.config.interval_ms..from_ms + KNOT_MS + self.config.interval_ms;
        let failed =
            |failure: &crate::failure::Failure| failure.at_ms < around.end && failure.repaired_ms >= around.start;
        quarter.eventful =
            plan.failures.iter().any(failed) || plan.active_ms.start > around.start || plan.active_ms.end < around.end;
        (quarter.from, quarter.to) = (from, to);
        self.quarter = quarter;
    }

    /// Goes on by one tick; whether it gives a sample that arrives.
    fn arrives(&mut self, at_ms: i64) -> bool {
        let interval_minutes = self.config.interval_ms as f64 / 60_000.0;
        let outage_minutes = OUTAGE_MINUTES.max(interval_minutes);
        let draw = self.chance.unit();
        if self.outage_ticks > 0 {
            self.outage_ticks -= 1;
            return false;
        }
        let begins = OUTAGE_SHARE * interval_minutes / outage_minutes;
        if draw < begins {
            self.outage_ticks = (self.chance.exponential(outage_minutes) / interval_minutes) as i64;
            return false;
        }
        if draw < begins + self.quarter.lost_share {
            return false;
        }
        !self.quarter.eventful || (self.plan.active_ms.contains(&at_ms) && !self.plan.is_down(at_ms))
    }

    fn count_errors(&mut self, at_ms: i64) {
        while self.plan.starts_ms.get(self.next_start).is_some_and(|start_ms| *start_ms <= at_ms) {
            self.next_start += 1;
            self.errors = 0;
        }
        let expected = self.quarter.errors_per_tick;
        self.errors += expected as i64 + i64::from(self.chance.happens(expected.fract()));
    }

    fn power_burst(&mut self) -> f64 {
        let minutes = self.config.interval_ms as f64 / 60_000.0;
        if self.burst.0 > 0 {
            self.burst.0 -= 1;
        } else if self.chance.happens((self.plan.levels.burst_chance * minutes).min(0.05)) {
            let ticks = (self.chance.exponential(self.plan.levels.burst_minutes) / minutes) as i64;
            self.burst = (ticks + 1, (0.5 + 0.6 * self.chance.normal()).exp() * self.plan.levels.power_w);
        } else {
            return 0.0;
        }
        if self.burst.0 > 0 { self.burst.1 } else { 0.0 }
    }

    /// One tick: noise goes on whether or not the sample arrives.
    fn tick(&mut self, columns: &mut Columns) {
        let at_ms = self.config.start_ms + self.plan.phase_ms + self.tick * self.config.interval_ms;
        self.tick += 1;
        let number = at_ms.div_euclid(KNOT_MS);
        if number != self.quarter.number {
            self.enter_quarter(number);
        }
        let share = (at_ms - number * KNOT_MS) as f64 / KNOT_MS as f64;
        let base = self.quarter.from.between(&self.quarter.to, share);
        let temperature = self.temperature.next(&mut self.chance);
        let humidity = base.humidity - 1.6 * temperature + self.humidity.next(&mut self.chance);
        let battery = base.battery + self.battery.next(&mut self.chance);
        let power = base.power + self.power.next(&mut self.chance) + self.power_burst();
        let pressure = base.pressure + self.pressure.next(&mut self.chance);
        let rssi = base.rssi + self.rssi.next(&mut self.chance);
        let latency = self.quarter.latency * (0.35 * self.chance.normal()).exp();
        self.count_errors(at_ms);
        let own = self.own_metric(base.vibration);
        if !self.arrives(at_ms) {
            return;
        }
        columns.times_ms.push(self.plan.clock.as_ref().map_or(at_ms, |clock| clock.shown_ms(at_ms)));
        columns.true_times_ms.push(at_ms);
        columns.temperature.push(rounded(base.temperature + temperature, 100.0));
        columns.power.push(rounded(power.max(0.0), 100.0));
        columns.rssi.push(rounded(rssi.clamp(-120.0, -30.0), 1.0) as i64);
        columns.latency.push(rounded(latency.clamp(1.0, 60_000.0), 1.0) as i64);
        columns.error_count.push(self.errors);
        columns.pressure.push(rounded(pressure, 1_000.0));
        let missing = self.plan.model().own.filter(|_| !self.config.uniform).map(|(_, missing)| missing);
        if missing != Some(Metric::Humidity) {
            columns.humidity.push(rounded(humidity.clamp(3.0, 100.0), 10.0));
        }
        if missing != Some(Metric::Battery) {
            columns.battery.push(rounded(battery.max(0.0), 1_000.0));
        }
        match own {
            Own::None => {}
            Own::Vibration(value) => columns.vibration.push(rounded(value.max(0.0), 100.0)),
            Own::DoorOpen => columns.door_open.push(self.door_open),
            Own::Mode => columns.mode.push(self.mode),
        }
    }

    fn own_metric(&mut self, vibration: f64) -> Own {
        match self.plan.model().own.filter(|_| !self.config.uniform) {
            Some((Metric::Vibration, _)) => Own::Vibration(vibration + self.vibration.next(&mut self.chance)),
            Some((Metric::DoorOpen, _)) => {
                self.door_open = self.chance.happens(if self.door_open { 0.9 } else { 0.001 });
                Own::DoorOpen
            }
            Some((Metric::Mode, _)) => {
                if self.chance.happens(0.01) {
                    self.mode = [0, 0, 0, 1, 1, 1, 1, 2][self.chance.place(8)];
                }
                Own::Mode
            }
            _ => Own::None,
        }
    }
}

enum Own {
    None,
    Vibration(f64),
    DoorOpen,
    Mode,
}

/// The nearest multiple of 1 / `scale`, as the nearest double to that decimal; never -0.0.
fn rounded(value: f64, scale: f64) -> f64 {
    // 1.5 * 2^52: adding it rounds to a whole number without a call.
    const ROUNDER: f64 = 6_755_399_441_055_744.0;
    ((value * scale + ROUNDER) - ROUNDER) / scale + 0.0
}

impl Iterator for DeviceStream<'_> {
    type Item = Columns;

    fn next(&mut self) -> Option<Columns> {
        let end = (self.tick + self.stretch_ticks).min(self.config.ticks());
        if self.tick >= end {
            return None;
        }
        let mut columns = Columns { device: self.plan.number, ..Columns::default() };
        columns.times_ms.reserve((end - self.tick) as usize);
        while self.tick < end {
            self.tick(&mut columns);
        }
        Some(columns)
    }
}
