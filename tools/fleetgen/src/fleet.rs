//! The fleet: its devices one by one, and the truth about all of them.

use crate::config::{Config, ConfigError};
use crate::events::{AttributeChange, Event};
use crate::firmware::harm;
use crate::logs::LogLine;
use crate::metric::Metric;
use crate::plan::{ClockKind, DevicePlan};
use crate::signal::DeviceStream;
use crate::truth::{
    BadPair, BatteryTruth, ClockTruth, DeviceTruth, DriftTruth, FailureTruth, FirmwareHarm, InterferenceTruth,
    PrecursorTruth, ReleaseTruth, Truth, UpdateTruth,
};
use crate::world::{BAD_PAIR, ENVIRONMENTS, HARMFUL, MODELS, RELEASES, World};

/// A fleet, made from its parameters.
///
/// ```
/// use fleetgen::{Config, Fleet, Metric};
/// let fleet = Fleet::new(Config { devices: 3, days: 2, ..Config::default() })?;
/// let device = fleet.device(1);
/// let samples: usize = device.columns(10_000).map(|columns| columns.floats(Metric::Temperature).len()).sum();
/// assert!(samples > 2_000 && samples <= 2 * 1_440);
/// # Ok::<(), fleetgen::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Fleet {
    config: Config,
    world: World,
}

/// A device of a fleet.
#[derive(Debug, Clone)]
pub struct Device<'a> {
    fleet: &'a Fleet,
    plan: DevicePlan,
}

/// An instant as RFC 3339 in UTC.
#[must_use]
pub fn time_text(at_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(at_ms)
        .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        .unwrap_or_default()
}

impl Fleet {
    /// A fleet of these parameters. Makes nothing of any device yet.
    ///
    /// # Errors
    /// Names a parameter outside its limits.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let world = World::new(&config);
        Ok(Self { config, world })
    }

    /// The parameters.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Device number `number`, from 0. It is the same whatever else the fleet holds.
    #[must_use]
    pub fn device(&self, number: u32) -> Device<'_> {
        Device { fleet: self, plan: DevicePlan::new(&self.config, &self.world, number) }
    }

    /// All devices in order of their number.
    pub fn devices(&self) -> impl Iterator<Item = Device<'_>> {
        (0..self.config.devices).map(|number| self.device(number))
    }

    /// The truth about everything that is wrong, or could be taken for wrong.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let span = self.config.span_ms();
        let mut truth = Truth {
            devices: self.config.devices,
            days: self.config.days,
            seed: self.config.seed,
            interval_ms: self.config.interval_ms,
            from: time_text(span.start),
            to: time_text(span.end),
            rows: 0,
            late_rows: 0,
            device_list: Vec::new(),
            releases: self.releases(),
            firmware_harm: firmware_harm(),
            updates: Vec::new(),
            bad_pairs: vec![BadPair {
                model: MODELS[BAD_PAIR.0].name.to_owned(),
                environment: ENVIRONMENTS[BAD_PAIR.1].to_owned(),
                failure_rate_ratio: BAD_PAIR.2,
            }],
            failures: Vec::new(),
            drifts: Vec::new(),
            battery_declines: Vec::new(),
            clocks: Vec::new(),
            interference: self.interference(),
            log_templates: crate::logs::templates(),
        };
        for device in self.devices() {
            device.tell(&mut truth);
        }
        truth
    }

    fn releases(&self) -> Vec<ReleaseTruth> {
        let release = |(place, release): (usize, &crate::world::Release)| ReleaseTruth {
            version: release.version.to_owned(),
            released: time_text(self.config.at_share_ms(release.share)),
            mandatory: release.mandatory,
            harmful: place == HARMFUL,
        };
        RELEASES.iter().enumerate().map(release).collect()
    }

    fn interference(&self) -> Vec<InterferenceTruth> {
        let place = |place: &crate::world::Interference| InterferenceTruth {
            site: self.world.sites[place.site].name.clone(),
            lat: place.latitude,
            lon: place.longitude,
            radius_km: place.radius_km,
            from: time_text(place.range_ms.start),
            to: time_text(place.range_ms.end),
            from_hour: place.hours.start,
            to_hour: place.hours.end,
            loss_db: place.loss_db,
            loss_sd: place.loss_db / crate::plan::RSSI_SD_DB,
            lost_rows_share: place.lost_rows_share,
            devices: Vec::new(),
            strength: place.strength,
        };
        self.world.interference.iter().map(place).collect()
    }
}

fn firmware_harm() -> Vec<FirmwareHarm> {
    let of = |model: &crate::world::Model| {
        let harm = harm(model, HARMFUL);
        FirmwareHarm {
            version: RELEASES[HARMFUL].version.to_owned(),
            model: model.name.to_owned(),
            strength: model.harm,
            failure_rate_ratio: harm.failure_ratio,
            error_rate_ratio: harm.error_ratio,
            power_shift_sd: harm.power_shift_sd,
        }
    };
    MODELS.iter().map(of).collect()
}

impl<'a> Device<'a> {
    /// Who it is and what befalls it.
    #[must_use]
    pub fn plan(&self) -> &DevicePlan {
        &self.plan
    }

    /// The device's name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.plan.id()
    }

    /// Whether it reports a metric.
    #[must_use]
    pub fn reports(&self, metric: Metric) -> bool {
        self.plan.model().reports(metric, self.fleet.config.uniform)
    }

    /// Its samples in stretches of so many ticks (fewer samples where some are lost). Stretches can be empty.
    #[must_use]
    pub fn columns(&self, stretch_ticks: i64) -> DeviceStream<'_> {
        DeviceStream::new(&self.fleet.config, &self.fleet.world, &self.plan, stretch_ticks)
    }

    /// Its events, in order of time.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        crate::events::events(&self.fleet.config, &self.plan)
    }

    /// Changes of its attributes after the start, in order of time.
    #[must_use]
    pub fn attribute_changes(&self) -> Vec<AttributeChange> {
        crate::events::attribute_changes(&self.plan)
    }

    /// Its log lines, in order of time.
    #[must_use]
    pub fn log_lines(&self) -> Vec<LogLine> {
        crate::logs::log_lines(&self.fleet.config, &self.fleet.world, &self.plan)
    }

    /// Its attributes at the start: name and text.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let plan = &self.plan;
        vec![
            ("make", plan.model().make.to_owned()),
            ("model", plan.model_name().to_owned()),
            ("firmware", RELEASES[plan.versions.first()].version.to_owned()),
            ("region", plan.region_name().to_owned()),
            ("site", self.fleet.world.sites[plan.site].name.clone()),
            ("environment", plan.environment_name().to_owned()),
            ("lat", plan.latitude.to_string()),
            ("lon", plan.longitude.to_string()),
            ("installed", time_text(plan.installed_ms)[..10].to_owned()),
        ]
    }

    /// The true air pressure where it stands, as a perfect sensor would show it: hectopascal.
    #[must_use]
    pub fn reference_pressure_hpa(&self, at_ms: i64) -> f64 {
        self.fleet.world.pressure_hpa(self.plan.site, at_ms)
    }

    /// Adds what is true of this device.
    fn tell(&self, truth: &mut Truth) {
        let (plan, levels) = (&self.plan, &self.plan.levels);
        let end_ms = self.fleet.config.span_ms().end;
        truth.device_list.push(DeviceTruth {
            device: plan.id.clone(),
            model: plan.model_name().to_owned(),
            region: plan.region_name().to_owned(),
            environment: plan.environment_name().to_owned(),
            activated: time_text(plan.active_ms.start),
            decommissioned: plan.decommissioned.then(|| time_text(plan.active_ms.end)),
            temperature_sd_c: levels.temperature_sd_c,
            power_sd_w: levels.power_sd_w,
            pressure_sd_hpa: levels.pressure_sd_hpa,
            battery_sd_v: levels.battery_sd_v,
            vibration_sd_mm_s: levels.vibration_sd_mm_s,
        });
        truth.updates.extend(plan.updates.iter().map(|update| UpdateTruth {
            device: plan.id.clone(),
            time: time_text(update.at_ms),
            from: RELEASES[update.from].version.to_owned(),
            to: RELEASES[update.to].version.to_owned(),
            status: update.status.as_str().to_owned(),
            wave: update.wave,
        }));
        truth.failures.extend(plan.failures.iter().map(|failure| failure_truth(plan, failure)));
        let days_left = |from_ms: i64| (end_ms - from_ms) as f64 / crate::config::DAY_MS as f64;
        truth.drifts.extend(plan.drift.map(|drift| DriftTruth {
            device: plan.id.clone(),
            metric: Metric::Pressure.name().to_owned(),
            from: time_text(drift.from_ms),
            per_day: drift.per_day,
            total: drift.per_day * days_left(drift.from_ms),
            total_sd: drift.total_sd,
            calibrated: plan.calibrations_ms.first().map(|at_ms| time_text(*at_ms)),
            strength: drift.strength,
        }));
        truth.battery_declines.extend(plan.decline.map(|decline| BatteryTruth {
            device: plan.id.clone(),
            from: time_text(decline.from_ms),
            normal_v_per_day: levels.battery_v_per_day,
            extra_v_per_day: decline.extra_v_per_day,
            total_sd: decline.total_sd,
            strength: decline.strength,
        }));
        truth.clocks.extend(plan.clock.as_ref().map(|clock| clock_truth(plan, clock)));
        for (place, _) in &plan.interference {
            truth.interference[*place].devices.push(plan.id.clone());
        }
    }
}

fn failure_truth(plan: &DevicePlan, failure: &crate::failure::Failure) -> FailureTruth {
    FailureTruth {
        device: plan.id.clone(),
        time: time_text(failure.at_ms),
        repaired: time_text(failure.repaired_ms),
        component: failure.component().to_owned(),
        cause: failure.cause.as_str().to_owned(),
        because_of: failure.because_of.clone(),
        precursor: failure.precursor.map(|precursor| PrecursorTruth {
            metric: precursor.metric.name().to_owned(),
            from: time_text(precursor.from_ms),
            size_sd: precursor.size_sd,
            size: precursor.size,
            strength: precursor.strength,
        }),
    }
}

fn clock_truth(plan: &DevicePlan, clock: &crate::plan::ClockFault) -> ClockTruth {
    let kind = match clock.kind {
        ClockKind::Offset => "offset",
        ClockKind::Drift => "drift",
        ClockKind::Jump => "jump",
        ClockKind::Reset1970 => "reset_1970",
    };
    ClockTruth {
        device: plan.id.clone(),
        kind: kind.to_owned(),
        from: time_text(clock.range_ms.start),
        to: time_text(clock.range_ms.end),
        offset_ms: clock.offset_ms,
        drift_ppm: clock.drift_ppm,
        strength: clock.strength,
    }
}
