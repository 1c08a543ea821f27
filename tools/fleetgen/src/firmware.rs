//! Firmware of one device: which releases reach it, when, and what becomes of each attempt.

use crate::config::{Config, DAY_MS, HOUR_MS};
use crate::plan::DevicePlan;
use crate::random::{Chance, Purpose};
use crate::world::{HARMFUL, REGIONS, RELEASES, ROLL_OUT_SHARE, WAVES};

/// Less than what lies between the end of a roll-out and the next one's beginning, as a share of the fleet's life.
const SLACK_SHARE: f64 = 0.06;

/// What became of an attempt to update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    Failure,
    RolledBack,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// An attempt to update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) at_ms: i64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) status: Status,
    pub(crate) wave: u32,
}

impl Update {
    /// Whether the new version ever ran.
    pub(crate) fn was_installed(&self) -> bool {
        self.status != Status::Failure
    }
}

/// Which version ran since when: places in the list of releases. The first is the state at the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions(Vec<(i64, usize)>);

impl Versions {
    pub(crate) fn at(&self, at_ms: i64) -> usize {
        let later = self.0.partition_point(|(from_ms, _)| *from_ms <= at_ms);
        self.0.get(later.saturating_sub(1)).map_or(0, |(_, release)| *release)
    }

    pub(crate) fn first(&self) -> usize {
        self.at(i64::MIN)
    }

    /// Changes after the start.
    pub(crate) fn changes(&self) -> &[(i64, usize)] {
        self.0.get(1..).unwrap_or_default()
    }
}

/// Decides the device's updates. Regions are reached one after the other, so that firmware and region confound.
pub(crate) fn plan_updates(config: &Config, plan: &mut DevicePlan) {
    let mut chance = Chance::new(config.seed, Purpose::Firmware, plan.number);
    let mut running = usize::from(chance.happens(RELEASES[1].reach));
    let mut versions = vec![(i64::MIN, running)];
    let eagerness = REGIONS[plan.region].eagerness / 0.6;
    // A retry or a roll-back ends before the next release's roll-out begins, in short fleets too.
    let slack_ms = config.at_share_ms(SLACK_SHARE) - config.start_ms;
    for (to, release) in RELEASES.iter().enumerate().skip(2) {
        let rank = 0.65 * chance.unit() + 0.35 * eagerness;
        let wave = WAVES.iter().position(|(share, _)| rank <= *share).unwrap_or(WAVES.len() - 1);
        let within = WAVES[wave].1 + 0.25 * chance.unit();
        let (reached, outcome) = (chance.happens(release.reach), chance.unit());
        let (retry_ms, back_ms) = (chance.whole(DAY_MS, 5 * DAY_MS), chance.whole(2 * HOUR_MS, 12 * HOUR_MS));
        let (retry_ms, back_ms) = (retry_ms.min(slack_ms), back_ms.min(slack_ms));
        let mut at_ms = config.at_share_ms(release.share + ROLL_OUT_SHARE * within);
        if !reached || !plan.active_ms.contains(&at_ms) {
            continue;
        }
        let mut attempt = |at_ms: i64, status: Status, from: usize| {
            plan.updates.push(Update { at_ms, from, to, status, wave: wave as u32 + 1 });
        };
        if outcome < 0.02 && plan.active_ms.contains(&(at_ms + back_ms)) {
            attempt(at_ms, Status::RolledBack, running);
            versions.extend([(at_ms, to), (at_ms + back_ms, running)]);
            continue;
        }
        if outcome < 0.07 {
            attempt(at_ms, Status::Failure, running);
            at_ms += retry_ms;
            if !plan.active_ms.contains(&at_ms) {
                continue;
            }
        }
        attempt(at_ms, Status::Success, running);
        versions.push((at_ms, to));
        running = to;
    }
    plan.versions = Versions(versions);
}

/// What the harmful release does to a device while it runs: factors of failures and errors, and a shift of the power in
/// standard deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Harm {
    pub(crate) failure_ratio: f64,
    pub(crate) error_ratio: f64,
    pub(crate) power_shift_sd: f64,
}

/// The harm of a model's firmware.
pub(crate) fn harm(model: &crate::world::Model, release: usize) -> Harm {
    match model.harm.filter(|_| release == HARMFUL) {
        Some(strength) => Harm {
            failure_ratio: strength.of(1.5, 2.5, 5.0),
            error_ratio: strength.of(1.3, 2.0, 4.0),
            power_shift_sd: strength.of(1.0, 3.0, 6.0),
        },
        None => Harm { failure_ratio: 1.0, error_ratio: 1.0, power_shift_sd: 0.0 },
    }
}
