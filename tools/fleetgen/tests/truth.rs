//! The samples follow the truth: every planned fault is found in the data with the size that the truth states.

use std::collections::{HashMap, HashSet};

use fleetgen::{Config, DAY_MS, Device, EventKind, Fleet, HOUR_MS, Metric, Strength, Truth};

fn fleet(devices: u32, days: u32, interval_ms: i64) -> (Fleet, Truth) {
    let fleet = Fleet::new(Config { devices, days, interval_ms, ..Config::default() }).unwrap();
    let truth = fleet.truth();
    (fleet, truth)
}

fn milliseconds(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

fn number(device: &str) -> u32 {
    device.trim_start_matches("dev-").parse().unwrap()
}

/// True times and values of a metric.
fn series(device: &Device<'_>, metric: Metric) -> Vec<(i64, f64)> {
    device
        .columns(50_000)
        .flat_map(|columns| {
            let values = columns.floats(metric);
            columns.true_times_ms.into_iter().zip(values).collect::<Vec<_>>()
        })
        .collect()
}

fn mean_and_sd(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    (mean, variance.sqrt())
}

/// Least squares: slope per day, its standard error for independent noise, and the deviation of the residuals.
fn line(points: &[(i64, f64)]) -> (f64, f64, f64) {
    let days = |at_ms: i64| (at_ms - points[0].0) as f64 / DAY_MS as f64;
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + days(point.0) / n, y + point.1 / n));
    let sxx: f64 = points.iter().map(|point| (days(point.0) - x).powi(2)).sum();
    let slope = points.iter().map(|point| (days(point.0) - x) * (point.1 - y)).sum::<f64>() / sxx;
    let squares: f64 = points.iter().map(|point| (point.1 - y - slope * (days(point.0) - x)).powi(2)).sum();
    let sd = (squares / (n - 2.0)).sqrt();
    (slope, sd / sxx.sqrt(), sd)
}

#[test]
fn every_fault_comes_in_three_strengths_and_the_weakest_is_within_two_deviations() {
    let (_, truth) = fleet(96, 365, 3_600_000);
    let count =
        |strengths: Vec<Strength>| Strength::ALL.map(|strength| strengths.iter().filter(|s| **s == strength).count());
    assert_eq!(count(truth.drifts.iter().map(|drift| drift.strength).collect()), [2, 2, 2]);
    assert_eq!(count(truth.battery_declines.iter().map(|decline| decline.strength).collect()), [2, 2, 2]);
    assert_eq!(count(truth.clocks.iter().map(|clock| clock.strength).collect()), [2, 2, 2]);
    assert_eq!(count(truth.interference.iter().map(|place| place.strength).collect()), [2, 2, 2]);
    assert_eq!(count(truth.firmware_harm.iter().filter_map(|harm| harm.strength).collect()), [1, 1, 1]);
    let precursors: Vec<_> = truth.failures.iter().filter_map(|failure| failure.precursor.as_ref()).collect();
    assert!(count(precursors.iter().map(|precursor| precursor.strength).collect()).iter().all(|n| *n >= 2));
    let sizes = truth
        .drifts
        .iter()
        .map(|drift| (drift.strength, drift.total_sd.abs()))
        .chain(truth.battery_declines.iter().map(|decline| (decline.strength, decline.total_sd)))
        .chain(truth.interference.iter().map(|place| (place.strength, place.loss_sd)))
        .chain(precursors.iter().map(|precursor| (precursor.strength, precursor.size_sd)));
    for (strength, size) in sizes {
        let allowed = match strength {
            Strength::Weak => 1.0..=2.0,
            Strength::Medium => 3.0..=4.5,
            Strength::Strong => 6.0..=10.0,
        };
        assert!(allowed.contains(&size), "{strength:?} of {size} deviations");
    }
}

#[test]
fn drift_is_in_the_data_and_nowhere_else() {
    let (fleet, truth) = fleet(96, 120, 1_800_000);
    let sds: HashMap<&str, f64> =
        truth.device_list.iter().map(|device| (device.device.as_str(), device.pressure_sd_hpa)).collect();
    let drifts: HashMap<&str, _> = truth.drifts.iter().map(|drift| (drift.device.as_str(), drift)).collect();
    let mut far = 0;
    for device in fleet.devices() {
        let drift = drifts.get(device.id());
        let (from_ms, to_ms) = drift.map_or((i64::MIN, i64::MAX), |drift| {
            (milliseconds(&drift.from), drift.calibrated.as_ref().map_or(i64::MAX, |at| milliseconds(at)))
        });
        let residuals: Vec<(i64, f64)> = series(&device, Metric::Pressure)
            .into_iter()
            .filter(|(at_ms, _)| (from_ms..to_ms).contains(at_ms))
            .map(|(at_ms, value)| (at_ms, value - device.reference_pressure_hpa(at_ms)))
            .collect();
        let (slope, error, sd) = line(&residuals);
        let expected = drift.map_or(0.0, |drift| drift.per_day);
        // At half an hour the noise is independent. 5 errors would come once in 20,000 fleets like this one.
        assert!(
            (slope - expected).abs() < 5.0 * error,
            "{}: {slope} a day, not {expected}, error {error}",
            device.id()
        );
        far += u32::from((slope - expected).abs() > 2.0 * error);
        let stated = sds[device.id()];
        assert!((sd / stated - 1.0).abs() < 0.1, "{}: noise of {sd}, not {stated}", device.id());
    }
    assert!(far <= 15, "{far} of 96 slopes are beyond two errors: five are expected");
}

#[test]
fn a_calibration_takes_the_error_away() {
    let (fleet, truth) = fleet(480, 100, 3_600_000);
    let strong: Vec<_> =
        truth.drifts.iter().filter(|drift| drift.strength == Strength::Strong && drift.calibrated.is_some()).collect();
    assert!(!strong.is_empty());
    for drift in strong {
        let device = fleet.device(number(&drift.device));
        let at_ms = milliseconds(drift.calibrated.as_ref().unwrap());
        assert!(device.events().iter().any(|event| event.kind == EventKind::Calibration && event.time_ms == at_ms));
        let residuals = |from_ms: i64, to_ms: i64| -> Vec<f64> {
            series(&device, Metric::Pressure)
                .into_iter()
                .filter(|(t, _)| (from_ms..to_ms).contains(t))
                .map(|(t, value)| value - device.reference_pressure_hpa(t))
                .collect()
        };
        let (before, sd) = mean_and_sd(&residuals(at_ms - 2 * DAY_MS, at_ms));
        let (after, _) = mean_and_sd(&residuals(at_ms, at_ms + 2 * DAY_MS));
        let since_days = (at_ms - milliseconds(&drift.from)) as f64 / DAY_MS as f64;
        let expected = -drift.per_day * since_days;
        assert!(
            (after - before - expected).abs() < 2.0 * sd,
            "{}: fell by {}, not {expected}",
            drift.device,
            before - after
        );
    }
}

#[test]
fn precursors_grow_before_failures() {
    let (fleet, truth) = fleet(700, 90, 600_000);
    let mut seen = 0;
    let of_bearing =
        |failure: &&fleetgen::FailureTruth| failure.precursor.as_ref().is_some_and(|p| p.metric == "vibration_mm_s");
    let once =
        |device: &str| truth.failures.iter().filter(of_bearing).filter(|failure| failure.device == device).count() == 1;
    for failure in truth.failures.iter().filter(of_bearing).filter(|failure| once(&failure.device)) {
        let Some(precursor) = &failure.precursor else { continue };
        let device = fleet.device(number(&failure.device));
        let values = series(&device, Metric::Vibration);
        let (from_ms, at_ms) = (milliseconds(&precursor.from), milliseconds(&failure.time));
        let last_ms = at_ms - 12 * HOUR_MS;
        let pick = |from: i64, to: i64| -> Vec<f64> {
            values.iter().filter(|(t, _)| (from..to).contains(t)).map(|(_, v)| *v).collect()
        };
        let (normal, late) = (pick(i64::MIN, from_ms), pick(last_ms, at_ms));
        if normal.len() < 200 || late.len() < 40 {
            continue;
        }
        let ((normal_mean, sd), (late_mean, _)) = (mean_and_sd(&normal), mean_and_sd(&late));
        // The mean of the square of time over the last 12 hours.
        let share = |t: i64| (t - from_ms) as f64 / (at_ms - from_ms) as f64;
        let (a, b) = (share(last_ms.max(from_ms)), 1.0);
        let expected = precursor.size * (b * b + a * b + a * a) / 3.0;
        assert!(
            (late_mean - normal_mean - expected).abs() < sd,
            "{}: {} instead of {expected}",
            failure.device,
            late_mean - normal_mean
        );
        assert!((precursor.size_sd * sd / precursor.size - 1.0).abs() < 0.15, "{}: noise {sd}", failure.device);
        seen += 1;
    }
    assert!(seen >= 3, "{seen} bearings failed");
}

#[test]
fn the_bad_firmware_hurts_as_stated_and_only_its_models() {
    let (fleet, truth) = fleet(150, 100, 600_000);
    let sds: HashMap<&str, f64> =
        truth.device_list.iter().map(|device| (device.device.as_str(), device.power_sd_w)).collect();
    let harm: HashMap<&str, _> = truth.firmware_harm.iter().map(|harm| (harm.model.as_str(), harm)).collect();
    let bad = &truth.releases.iter().find(|release| release.harmful).unwrap().version;
    let mut shifts: HashMap<&str, Vec<f64>> = HashMap::new();
    for device in fleet.devices() {
        let changes = device.attribute_changes();
        let Some(place) = changes.iter().position(|change| change.value == *bad) else { continue };
        let at_ms = changes[place].time_ms;
        let until_ms = changes.get(place + 1).map_or(i64::MAX, |change| change.time_ms);
        if until_ms - at_ms < 5 * DAY_MS {
            continue;
        }
        let power = series(&device, Metric::Power);
        // Whole days, so that the time of day cancels; medians, so that bursts do.
        let median = |from: i64, to: i64| {
            let mut values: Vec<f64> = power.iter().filter(|(t, _)| (from..to).contains(t)).map(|(_, v)| *v).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let shift = median(at_ms, at_ms + 5 * DAY_MS) - median(at_ms - 5 * DAY_MS, at_ms);
        shifts.entry(device.plan().model_name()).or_default().push(shift / sds[device.id()]);
    }
    for (model, mut shifts) in shifts {
        shifts.sort_by(f64::total_cmp);
        let median = shifts[shifts.len() / 2];
        let expected = harm[model].power_shift_sd;
        assert!(
            (median - expected).abs() < 0.6,
            "model {model}: {median} deviations, not {expected}, of {} devices",
            shifts.len()
        );
    }
}

#[test]
fn failure_rates_are_those_that_the_truth_states() {
    // Plans only: no samples are made. Exposure is counted day by day from the attribute history.
    let (fleet, truth) = fleet(6_000, 365, 3_600_000);
    let bad = truth.releases.iter().find(|release| release.harmful).unwrap().version.clone();
    let mut days = HashMap::<(&str, bool), f64>::new();
    let mut failures = HashMap::<(&str, bool), f64>::new();
    for device in fleet.devices() {
        let changes = device.attribute_changes();
        let (from_ms, to_ms) = (fleet.config().start_ms, fleet.config().span_ms().end);
        let has_bad = |at_ms: i64| changes.iter().rfind(|c| c.time_ms <= at_ms).is_some_and(|c| c.value == bad);
        for day in 0..(to_ms - from_ms) / DAY_MS {
            *days.entry((device.plan().model_name(), has_bad(from_ms + day * DAY_MS))).or_default() += 1.0;
        }
        for event in device.events().iter().filter(|event| event.kind == EventKind::Failure) {
            *failures.entry((device.plan().model_name(), has_bad(event.time_ms))).or_default() += 1.0;
        }
    }
    for harm in &truth.firmware_harm {
        let rate = |bad: bool| failures[&(harm.model.as_str(), bad)] / days[&(harm.model.as_str(), bad)];
        let ratio = rate(true) / rate(false);
        let error = failures[&(harm.model.as_str(), true)].sqrt().recip() * 3.0;
        assert!((ratio / harm.failure_rate_ratio).ln().abs() < error + 0.15, "model {}: {ratio}", harm.model);
    }
    let pair = &truth.bad_pairs[0];
    let of: HashMap<&str, _> =
        truth.device_list.iter().map(|d| (d.device.as_str(), (d.model.as_str(), d.environment.as_str()))).collect();
    let rate = |in_pair: bool| {
        let in_group = |of: &(&str, &str)| of.0 == pair.model && (of.1 == pair.environment) == in_pair;
        let failures = truth.failures.iter().filter(|failure| in_group(&of[failure.device.as_str()])).count();
        failures as f64 / of.values().filter(|of| in_group(of)).count() as f64
    };
    let ratio = rate(true) / rate(false);
    assert!((ratio / pair.failure_rate_ratio).ln().abs() < 0.3, "pair: {ratio}");
}

#[test]
fn interference_weakens_the_signal_where_and_when_it_is_on() {
    let (fleet, truth) = fleet(800, 30, 600_000);
    let mut seen = 0;
    for place in truth.interference.iter().filter(|place| place.strength == Strength::Strong) {
        let (from_ms, to_ms) = (milliseconds(&place.from), milliseconds(&place.to));
        for id in &place.devices {
            let device = fleet.device(number(id));
            let attributes: HashMap<_, _> = device.attributes().into_iter().collect();
            assert_eq!(attributes["site"], place.site);
            let on = |t: i64| {
                (from_ms..to_ms).contains(&t)
                    && (place.from_hour..place.to_hour).contains(&(t.rem_euclid(DAY_MS) / HOUR_MS))
            };
            let (with, without): (Vec<_>, Vec<_>) =
                series(&device, Metric::Rssi).into_iter().partition(|(t, _)| on(*t));
            let mean = |values: &[(i64, f64)]| values.iter().map(|(_, v)| v).sum::<f64>() / values.len() as f64;
            let (lat, lon): (f64, f64) = (attributes["lat"].parse().unwrap(), attributes["lon"].parse().unwrap());
            let east = (lon - place.lon) * 111.2 * place.lat.to_radians().cos();
            let share = 1.0 - ((lat - place.lat) * 111.2).hypot(east) / place.radius_km;
            let expected = share * place.loss_db;
            assert!(
                (mean(&without) - mean(&with) - expected).abs() < 1.5,
                "{id}: {} dB, not {expected}",
                mean(&without) - mean(&with)
            );
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} devices");
}

#[test]
fn wrong_clocks_are_wrong_as_stated_and_others_are_right() {
    let (fleet, truth) = fleet(192, 40, 600_000);
    let clocks: HashMap<&str, _> = truth.clocks.iter().map(|clock| (clock.device.as_str(), clock)).collect();
    let mut kinds = HashSet::new();
    for device in fleet.devices() {
        for columns in device.columns(10_000) {
            for (shown, real) in columns.times_ms.iter().zip(&columns.true_times_ms) {
                let expected = clocks.get(device.id()).map_or(0, |clock| {
                    let (from, to) = (milliseconds(&clock.from), milliseconds(&clock.to));
                    let inside = (from..to).contains(real);
                    if inside { clock.offset_ms + ((real - from) as f64 * clock.drift_ppm / 1e6) as i64 } else { 0 }
                });
                assert_eq!(shown - real, expected, "{}", device.id());
                if clocks.get(device.id()).is_some_and(|clock| clock.kind == "reset_1970") && expected != 0 {
                    assert!((0..30 * DAY_MS).contains(shown), "a clock that begins again shows early 1970");
                }
            }
        }
        kinds.extend(clocks.get(device.id()).map(|clock| clock.kind.clone()));
    }
    assert!(kinds.len() >= 3, "{kinds:?}");
}

#[test]
fn gaps_are_there_and_nothing_comes_from_a_broken_device() {
    let (fleet, truth) = fleet(48, 60, 60_000);
    let (mut rows, mut long_gaps) = (0_i64, 0);
    let mut downtime_ticks = 0_i64;
    for device in fleet.devices() {
        let times: Vec<i64> = device.columns(10_000).flat_map(|columns| columns.true_times_ms).collect();
        rows += times.len() as i64;
        long_gaps += times.windows(2).filter(|pair| pair[1] - pair[0] > 30 * 60_000).count();
        for failure in truth.failures.iter().filter(|failure| failure.device == device.id()) {
            let down = milliseconds(&failure.time)..milliseconds(&failure.repaired);
            downtime_ticks += (down.end - down.start) / 60_000;
            assert!(!times.iter().any(|time| down.contains(time)));
        }
        let described = truth.device_list.iter().find(|d| d.device == device.id()).unwrap();
        let end = described.decommissioned.as_deref().map_or(i64::MAX, milliseconds);
        let begin = milliseconds(&described.activated);
        assert!(times.iter().all(|time| (begin..end).contains(time)));
        let silent =
            (begin - fleet.config().start_ms) + (fleet.config().span_ms().end - end.min(fleet.config().span_ms().end));
        downtime_ticks += silent / 60_000;
    }
    let lost = 1.0 - rows as f64 / (48 * fleet.config().ticks() - downtime_ticks) as f64;
    // 1.7% in outages and 0.3% alone, and what interference takes.
    assert!((0.014..0.03).contains(&lost), "{lost} of the rows are lost");
    assert!(long_gaps > 48 * 10, "{long_gaps} gaps of more than half an hour");
}

#[test]
fn events_and_history_tell_what_the_truth_tells() {
    let (kinds, truth) = check_history(300, 365);
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    assert!(
        truth.updates.iter().any(|u| u.status == "rolled_back") && truth.updates.iter().any(|u| u.status == "failure")
    );
    // In a life of four days all roll-outs lie close together.
    check_history(300, 4);
}

/// Compares events and attribute history with the truth; counts events by kind.
fn check_history(devices: u32, days: u32) -> (HashMap<EventKind, u32>, Truth) {
    let (fleet, truth) = fleet(devices, days, 3_600_000);
    let mut kinds = HashMap::<EventKind, u32>::new();
    for device in fleet.devices() {
        let events = device.events();
        assert!(events.is_sorted_by_key(|event| event.time_ms));
        events.iter().for_each(|event| *kinds.entry(event.kind).or_default() += 1);
        let failures = truth.failures.iter().filter(|failure| failure.device == device.id());
        let stated: Vec<i64> = failures.map(|failure| milliseconds(&failure.time)).collect();
        let told: Vec<i64> = events.iter().filter(|e| e.kind == EventKind::Failure).map(|e| e.time_ms).collect();
        assert_eq!(stated, told);
        let mut version = device.attributes().into_iter().find(|(name, _)| *name == "firmware").unwrap().1;
        let changes = device.attribute_changes();
        for update in truth.updates.iter().filter(|update| update.device == device.id()) {
            let at_ms = milliseconds(&update.time);
            version =
                changes.iter().rfind(|change| change.time_ms < at_ms).map_or(version, |change| change.value.clone());
            assert_eq!(update.from, version, "{} at {}", device.id(), update.time);
            let changed = changes.iter().any(|change| change.time_ms == at_ms && change.value == update.to);
            assert_eq!(changed, update.status != "failure");
        }
    }
    (kinds, truth)
}

#[test]
fn log_lines_are_their_templates_filled_in() {
    let (fleet, truth) = fleet(60, 200, 3_600_000);
    let mut used = HashSet::new();
    for device in fleet.devices() {
        let lines = device.log_lines();
        assert!(lines.is_sorted_by_key(|line| line.time_ms));
        for line in lines {
            let template = &truth.log_templates[line.template];
            assert_eq!((line.severity, line.source), (template.severity.as_str(), template.source.as_str()));
            let mut rest = line.message.as_str();
            for (place, part) in template.template.split("<*>").enumerate() {
                let found = if part.is_empty() { rest.len() } else { rest.find(part).expect("the template's words") };
                assert!(
                    place == 0 && found == 0 || place > 0 && found > 0,
                    "'{}' is not '{}'",
                    line.message,
                    template.template
                );
                rest = &rest[(found + part.len()).min(rest.len())..];
            }
            used.insert(line.template);
        }
    }
    assert!(used.len() >= truth.log_templates.len() - 2, "{} of the templates are used", used.len());
}
