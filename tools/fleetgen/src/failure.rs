//! Failures of one device: when, of what, why, and how each announces itself.

use crate::config::{Config, DAY_MS, HOUR_MS};
use crate::firmware::harm;
use crate::metric::Metric;
use crate::plan::{DevicePlan, Levels};
use crate::random::{Chance, Purpose};
use crate::truth::Strength;
use crate::world::{BAD_PAIR, RELEASES};

/// Why a device fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A bearing wears out: vibration, or power where that is not measured.
    Wear,
    /// The fan fails: temperature.
    Heat,
    /// The battery dies: its voltage.
    Discharge,
    /// The board fails: errors.
    Faults,
    /// From outside, without announcement.
    Lightning,
}

/// How a failure announces itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Precursor {
    pub(crate) metric: Metric,
    pub(crate) from_ms: i64,
    pub(crate) size_sd: f64,
    /// In the metric's unit; for errors the factor of their rate.
    pub(crate) size: f64,
    pub(crate) strength: Strength,
}

/// A failure.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) at_ms: i64,
    pub(crate) repaired_ms: i64,
    pub(crate) cause: Cause,
    pub(crate) because_of: Vec<String>,
    pub(crate) precursor: Option<Precursor>,
}

impl Cause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Wear => "wear",
            Self::Heat => "heat",
            Self::Discharge => "discharge",
            Self::Faults => "faults",
            Self::Lightning => "lightning",
        }
    }

    fn metric(self, plan: &DevicePlan, uniform: bool) -> Option<Metric> {
        match self {
            Self::Wear if plan.model().reports(Metric::Vibration, uniform) => Some(Metric::Vibration),
            Self::Wear => Some(Metric::Power),
            Self::Heat => Some(Metric::Temperature),
            Self::Discharge => Some(Metric::Battery),
            Self::Faults => Some(Metric::ErrorCount),
            Self::Lightning => None,
        }
    }
}

impl Failure {
    /// The part that failed.
    pub(crate) fn component(&self) -> &'static str {
        match self.cause {
            Cause::Wear => "bearing",
            Cause::Heat => "fan",
            Cause::Discharge => "battery",
            Cause::Faults => "board",
            Cause::Lightning => "supply",
        }
    }

    /// How far its precursor has come at an instant before it: 0 to 1, with the square of time.
    pub(crate) fn progress(&self, precursor: &Precursor, at_ms: i64) -> f64 {
        if !(precursor.from_ms..self.at_ms).contains(&at_ms) {
            return 0.0;
        }
        let share = (at_ms - precursor.from_ms) as f64 / (self.at_ms - precursor.from_ms) as f64;
        share * share
    }
}

/// A repair takes at most this long.
const REPAIR_MS_MAX: i64 = 72 * HOUR_MS;
/// What a precursor has before a failure at least, where the fleet is old enough.
const LEAD_MS_MIN: i64 = 3 * DAY_MS;

/// Decides the failures day by day; `sure` asks for one with a precursor of that strength in any case: failures by chance give
/// way to it, to its repair and to the least lead of its precursor.
pub(crate) fn plan_failures(config: &Config, plan: &mut DevicePlan, sure: Option<Strength>) {
    let mut chance = Chance::new(config.seed, Purpose::Failures, plan.number);
    let sure_ms = config.at_share_ms(chance.between(0.45, 0.95));
    let kept_free = sure_ms - LEAD_MS_MIN - REPAIR_MS_MAX..sure_ms;
    let mut free_from_ms = plan.active_ms.start;
    let mut at_ms = plan.active_ms.start;
    let mut sure = sure;
    while at_ms < plan.active_ms.end {
        let (draw, within) = (chance.unit(), chance.whole(0, DAY_MS));
        let surely = sure.is_some() && (at_ms..at_ms + DAY_MS).contains(&sure_ms);
        let fails_ms = if surely { sure_ms } else { at_ms + within };
        let (rate_per_day, because_of) = rate(plan, fails_ms);
        let gives_way = sure.is_some() && !surely && kept_free.contains(&fails_ms);
        let fails = surely || (draw < rate_per_day && !gives_way);
        if fails && fails_ms >= free_from_ms && fails_ms < plan.active_ms.end {
            let strength = if surely { sure.take() } else { None };
            let failure = failure(config, plan, &mut chance, free_from_ms, fails_ms, because_of, strength);
            free_from_ms = failure.repaired_ms;
            plan.failures.push(failure);
        }
        at_ms += DAY_MS;
    }
}

/// Failures a day at an instant, and what raises them.
fn rate(plan: &DevicePlan, at_ms: i64) -> (f64, Vec<String>) {
    let mut because_of = Vec::new();
    let age_years = (at_ms - plan.installed_ms) as f64 / (365.25 * DAY_MS as f64);
    let age_ratio = 0.8 + 0.15 * age_years.max(0.0);
    if age_ratio > 1.2 {
        because_of.push("age".to_owned());
    }
    let release = plan.versions.at(at_ms);
    let harm = harm(plan.model(), release);
    if harm.failure_ratio > 1.0 {
        because_of.push(format!("firmware {}", RELEASES[release].version));
    }
    let (model, environment, ratio) = BAD_PAIR;
    let pair = plan.model_number == model && plan.environment == environment;
    if pair {
        because_of.push(format!("model {} in {}", plan.model_name(), plan.environment_name()));
    }
    let pair_ratio = if pair { ratio } else { 1.0 };
    (plan.model().failures_per_year / 365.25 * age_ratio * harm.failure_ratio * pair_ratio, because_of)
}

fn failure(
    config: &Config,
    plan: &DevicePlan,
    chance: &mut Chance,
    free_from_ms: i64,
    at_ms: i64,
    because_of: Vec<String>,
    sure: Option<Strength>,
) -> Failure {
    let has_battery = plan.model().reports(Metric::Battery, config.uniform);
    let weights = [3.0, 2.5, if has_battery { 1.5 } else { 0.0 }, 2.0, if sure.is_some() { 0.0 } else { 1.0 }];
    let causes = [Cause::Wear, Cause::Heat, Cause::Discharge, Cause::Faults, Cause::Lightning];
    let cause = causes[chance.weighted(&weights)];
    let strength = sure.unwrap_or(Strength::ALL[chance.place(3)]);
    let lead_ms = (chance.between(3.0, 14.0) * DAY_MS as f64) as i64;
    let size_sd = strength.size_sd(chance);
    let precursor = cause.metric(plan, config.uniform).map(|metric| Precursor {
        metric,
        from_ms: (at_ms - lead_ms).max(free_from_ms),
        size_sd,
        size: size_in_unit(&plan.levels, metric, size_sd),
        strength,
    });
    let repaired_ms = at_ms + chance.whole(2 * HOUR_MS, REPAIR_MS_MAX);
    Failure { at_ms, repaired_ms: repaired_ms.min(plan.active_ms.end), cause, because_of, precursor }
}

fn size_in_unit(levels: &Levels, metric: Metric, size_sd: f64) -> f64 {
    match metric {
        Metric::Vibration => size_sd * levels.vibration_sd_mm_s,
        Metric::Power => size_sd * levels.power_sd_w,
        Metric::Temperature => size_sd * levels.temperature_sd_c,
        Metric::Battery => -size_sd * levels.battery_sd_v,
        // A day's errors are Poisson: their deviation is the root of their number.
        _ => 1.0 + size_sd / levels.errors_per_day.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use crate::fleet::Fleet;

    use super::*;

    #[test]
    fn no_failure_by_chance_takes_the_place_of_one_that_was_dealt() {
        let (mut dealt, mut sooner) = ([0; 3], 0);
        for seed in 0..60 {
            let config = Config { devices: 192, days: 300, seed, ..Config::default() };
            let fleet = Fleet::new(config.clone()).unwrap();
            for device in fleet.devices() {
                let plan = device.plan();
                let Some(strength) = plan.dealt_failure(config.seed) else { continue };
                let mut chance = Chance::new(seed, Purpose::Failures, plan.number);
                let at_ms = config.at_share_ms(chance.between(0.45, 0.95));
                let failure = plan.failures.iter().find(|failure| failure.at_ms == at_ms);
                let precursor = failure.and_then(|failure| failure.precursor);
                let precursor = precursor.unwrap_or_else(|| panic!("{} of seed {seed} does not fail", plan.id));
                assert_eq!(precursor.strength, strength);
                assert!(at_ms - precursor.from_ms >= LEAD_MS_MIN, "{} of seed {seed}", plan.id);
                dealt[strength as usize] += 1;
                sooner += plan.failures.iter().filter(|failure| failure.at_ms < at_ms).count();
            }
        }
        assert_eq!(dealt, [240; 3], "one of each strength in every hand");
        assert!(sooner > 50, "{sooner} failures by chance came before");
    }
}
