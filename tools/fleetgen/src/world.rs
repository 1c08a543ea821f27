//! What all devices share: regions, sites, models, firmware releases, weather, and places of radio interference.
//!
//! Guarantees: depends on the seed, the start and the number of days alone, never on the number of devices.

use std::f64::consts::TAU;
use std::ops::Range;

use crate::config::{Config, DAY_MS};
use crate::metric::{METRICS, Metric};
use crate::random::{Chance, Purpose};
use crate::truth::Strength;

/// Where devices stand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) mean_c: f64,
    pub(crate) year_swing_c: f64,
    /// Chances of the environments, in the order of [`ENVIRONMENTS`]: not alike, so that region and environment confound.
    pub(crate) environment_weights: [f64; 4],
    /// Firmware reaches regions one after the other: the share of a roll-out by which this one comes earlier.
    pub(crate) eagerness: f64,
}

pub(crate) const REGIONS: [Region; 6] = [
    Region {
        name: "alpine",
        latitude: 47.1,
        longitude: 11.3,
        mean_c: 6.0,
        year_swing_c: 10.0,
        environment_weights: [3.0, 4.0, 0.0, 1.0],
        eagerness: 0.0,
    },
    Region {
        name: "baltic",
        latitude: 54.3,
        longitude: 13.1,
        mean_c: 8.5,
        year_swing_c: 8.5,
        environment_weights: [2.0, 2.0, 4.0, 1.0],
        eagerness: 0.1,
    },
    Region {
        name: "central",
        latitude: 50.1,
        longitude: 8.7,
        mean_c: 11.0,
        year_swing_c: 9.5,
        environment_weights: [4.0, 2.0, 0.0, 4.0],
        eagerness: 0.5,
    },
    Region {
        name: "iberian",
        latitude: 40.4,
        longitude: -3.7,
        mean_c: 15.0,
        year_swing_c: 9.0,
        environment_weights: [2.0, 4.0, 2.0, 2.0],
        eagerness: 0.3,
    },
    Region {
        name: "nordic",
        latitude: 60.2,
        longitude: 24.9,
        mean_c: 5.0,
        year_swing_c: 12.0,
        environment_weights: [4.0, 2.0, 3.0, 1.0],
        eagerness: 0.2,
    },
    Region {
        name: "pannonian",
        latitude: 47.5,
        longitude: 19.0,
        mean_c: 12.0,
        year_swing_c: 11.0,
        environment_weights: [2.0, 3.0, 0.0, 3.0],
        eagerness: 0.6,
    },
];

/// Sites of each region.
pub(crate) const SITES_PER_REGION: usize = 10;
/// Kilometres of a degree of latitude.
pub(crate) const KM_PER_DEGREE: f64 = 111.2;

/// The words of the attribute `environment`.
pub(crate) const ENVIRONMENTS: [&str; 4] = ["indoor", "outdoor", "coastal", "industrial"];
const COASTAL: usize = 2;

/// A model of device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) make: &'static str,
    pub(crate) weight: f64,
    /// Its own metric, and the common one that it has not.
    pub(crate) own: Option<(Metric, Metric)>,
    /// How hard the harmful release hits it.
    pub(crate) harm: Option<Strength>,
    /// Failures a year, about.
    pub(crate) failures_per_year: f64,
}

pub(crate) const MODELS: [Model; 5] = [
    Model {
        name: "A",
        make: "Northwind",
        weight: 3.0,
        own: None,
        harm: Some(Strength::Strong),
        failures_per_year: 0.35,
    },
    Model {
        name: "B",
        make: "Northwind",
        weight: 3.0,
        own: None,
        harm: Some(Strength::Medium),
        failures_per_year: 0.35,
    },
    Model {
        name: "C",
        make: "Sirocco",
        weight: 2.0,
        own: Some((Metric::Vibration, Metric::Humidity)),
        harm: Some(Strength::Weak),
        failures_per_year: 0.5,
    },
    Model {
        name: "D",
        make: "Sirocco",
        weight: 2.0,
        own: Some((Metric::DoorOpen, Metric::Battery)),
        harm: None,
        failures_per_year: 0.25,
    },
    Model {
        name: "E",
        make: "Kestrel",
        weight: 1.5,
        own: Some((Metric::Mode, Metric::Humidity)),
        harm: None,
        failures_per_year: 0.35,
    },
];

/// The model that fails more in one environment, and how much more.
pub(crate) const BAD_PAIR: (usize, usize, f64) = (2, COASTAL, 3.0);

impl Model {
    /// Whether it reports a metric.
    pub(crate) fn reports(&self, metric: Metric, uniform: bool) -> bool {
        let common = METRICS[..8].contains(&metric);
        match self.own.filter(|_| !uniform) {
            Some((own, missing)) => metric == own || (common && metric != missing),
            None => common,
        }
    }
}

/// A firmware release. Versions rise with the place in [`RELEASES`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Release {
    pub(crate) version: &'static str,
    /// When its roll-out begins, as a share of the fleet's life; before it for those that were installed at the start.
    pub(crate) share: f64,
    /// The share of devices that it reaches.
    pub(crate) reach: f64,
    pub(crate) mandatory: bool,
}

pub(crate) const RELEASES: [Release; 6] = [
    Release { version: "1.7.3", share: -0.50, reach: 0.25, mandatory: false },
    Release { version: "1.8.2", share: -0.20, reach: 0.75, mandatory: false },
    Release { version: "1.9.0", share: 0.12, reach: 0.90, mandatory: false },
    Release { version: "2.0.0", share: 0.38, reach: 0.80, mandatory: false },
    Release { version: "2.0.1", share: 0.60, reach: 0.95, mandatory: true },
    Release { version: "2.1.0", share: 0.80, reach: 0.85, mandatory: false },
];
/// The release that hurts.
pub(crate) const HARMFUL: usize = 3;
/// Waves of a roll-out: the share of devices that each ends at, and when it begins as a share of the roll-out's time.
pub(crate) const WAVES: [(f64, f64); 4] = [(0.05, 0.0), (0.25, 0.25), (0.60, 0.5), (1.0, 0.75)];
/// How long a roll-out takes, as a share of the fleet's life.
pub(crate) const ROLL_OUT_SHARE: f64 = 0.12;

/// A place and time of radio interference.
#[derive(Debug, Clone)]
pub(crate) struct Interference {
    pub(crate) site: usize,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) radius_km: f64,
    pub(crate) range_ms: Range<i64>,
    /// Hours of the UTC day in which it is on.
    pub(crate) hours: Range<i64>,
    pub(crate) strength: Strength,
    pub(crate) loss_db: f64,
    pub(crate) lost_rows_share: f64,
}

impl Interference {
    pub(crate) fn is_on(&self, at_ms: i64) -> bool {
        let hour = at_ms.rem_euclid(DAY_MS) / crate::config::HOUR_MS;
        self.range_ms.contains(&at_ms) && self.hours.contains(&hour)
    }
}

/// A wave of the weather: amplitude, days a turn, phase.
type Wave = (f64, f64, f64);

/// A site of a region.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    waves: [Wave; 4],
}

/// All that devices share.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) start_ms: i64,
    pub(crate) sites: Vec<Site>,
    pub(crate) interference: Vec<Interference>,
}

impl World {
    pub(crate) fn new(config: &Config) -> Self {
        let sites = (0..REGIONS.len() * SITES_PER_REGION).map(|number| site(config.seed, number)).collect::<Vec<_>>();
        let interference = interference(config, &sites);
        Self { start_ms: config.start_ms, sites, interference }
    }

    /// The true air pressure at a site, which every good sensor there shows: hectopascal.
    pub(crate) fn pressure_hpa(&self, site: usize, at_ms: i64) -> f64 {
        let days = (at_ms - self.start_ms) as f64 / DAY_MS as f64;
        let swing = |(amplitude, turn_days, phase): &Wave| amplitude * (TAU * days / turn_days + phase).sin();
        1_013.0 + self.sites[site].waves.iter().map(swing).sum::<f64>()
    }
}

fn site(seed: u64, number: usize) -> Site {
    let mut chance = Chance::new(seed, Purpose::World, number as u32);
    let region = &REGIONS[number / SITES_PER_REGION];
    let mut wave = |amplitude: f64, turn_days: f64| {
        (amplitude * chance.between(0.8, 1.2), turn_days * chance.between(0.9, 1.1), TAU * chance.unit())
    };
    let waves = [wave(6.0, 9.0), wave(3.0, 3.7), wave(0.8, 0.5), wave(1.5, 31.0)];
    Site {
        name: format!("site-{}-{:02}", region.name, number % SITES_PER_REGION),
        latitude: region.latitude + chance.between(-1.5, 1.5),
        longitude: region.longitude + chance.between(-2.0, 2.0),
        waves,
    }
}

/// Two places of each strength, at six sites of six regions.
fn interference(config: &Config, sites: &[Site]) -> Vec<Interference> {
    let mut chance = Chance::new(config.seed, Purpose::World, u32::MAX);
    let strengths =
        [Strength::Weak, Strength::Medium, Strength::Strong, Strength::Weak, Strength::Medium, Strength::Strong];
    let mut regions: Vec<usize> = (0..REGIONS.len()).collect();
    chance.shuffle(&mut regions);
    let place = |(region, strength): (usize, Strength)| {
        let number = region * SITES_PER_REGION + chance.place(SITES_PER_REGION);
        let from = chance.between(0.1, 0.6);
        let first_hour = chance.whole(0, 16);
        Interference {
            site: number,
            latitude: sites[number].latitude + chance.between(-0.005, 0.005),
            longitude: sites[number].longitude + chance.between(-0.005, 0.005),
            radius_km: chance.between(2.5, 4.5),
            range_ms: config.at_share_ms(from)..config.at_share_ms(from + chance.between(0.1, 0.35)),
            hours: first_hour..first_hour + chance.whole(3, 9),
            strength,
            loss_db: strength.size_sd(&mut chance) * crate::plan::RSSI_SD_DB,
            lost_rows_share: strength.of(0.02, 0.1, 0.3),
        }
    };
    regions.into_iter().zip(strengths).map(place).collect()
}
