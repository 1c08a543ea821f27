//! The catalogue against naive models, and over a restart.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::record::{DeviceRecord, Merge};
use super::*;

fn id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

fn name(text: &str) -> MetricName {
    MetricName::new(text).unwrap()
}

/// Loads what was written so far, as an opening does.
fn reopened(written: &BTreeMap<Vec<u8>, Vec<u8>>) -> Catalog {
    let mut records = written.iter().map(|(key, value)| Ok((key.clone(), value.clone())));
    Catalog::load(&mut records).unwrap()
}

/// Whether a catalogue has the devices of a plain list, in the order of the live one's merges.
fn compare(catalog: &Catalog, live: &Catalog, naive: &[(usize, Vec<usize>)], ids: &[DeviceId]) {
    assert_eq!(catalog.device_count(), naive.len());
    for (present, all) in naive {
        let handle = catalog.device(ids[*present].as_str()).unwrap();
        let entry = catalog.device_entry(handle).unwrap();
        assert_eq!(entry.id.as_str(), ids[*present].as_str());
        assert_eq!(entry.handles[0], handle);
        assert_eq!(&entry.handles, &live.device_entry(handle).unwrap().handles, "in order of the merges");
        assert_eq!(entry.aliases.len(), all.len() - 1);
        for other in all {
            assert_eq!(catalog.device(ids[*other].as_str()), Some(handle));
        }
    }
    for entry in catalog.devices() {
        assert!(entry.handles.iter().all(|own| catalog.primary(*own) == entry.handle));
    }
}

proptest! {
    /// Devices are sets of ids: adding, renaming and merging against a plain list of groups.
    #[test]
    fn ids_find_their_device(steps in prop::collection::vec((0_u8..4, 0_usize..6, 0_usize..6), 1..40)) {
        let ids: Vec<DeviceId> = ["a", "b", "c", "d", "e", "f"].map(id).to_vec();
        let mut catalog = Catalog::default();
        let mut written = BTreeMap::new();
        // For each device: the present id, and every id that finds it.
        let mut naive: Vec<(usize, Vec<usize>)> = Vec::new();
        for (step, x, y) in steps {
            let mut writes = Vec::new();
            let find = |naive: &[(usize, Vec<usize>)], id: usize| naive.iter().position(|(_, all)| all.contains(&id));
            match step {
                0 => {
                    catalog.ensure_device(&ids[x], &mut writes).unwrap();
                    if find(&naive, x).is_none() { naive.push((x, vec![x])); }
                }
                1 => {
                    let renamed = catalog.rename_device(&ids[x], &ids[y], &mut writes);
                    match (find(&naive, x), find(&naive, y)) {
                        (Some(device), None) => {
                            prop_assert!(renamed.is_ok());
                            naive[device].0 = y;
                            naive[device].1.push(y);
                        }
                        (None, _) => prop_assert_eq!(renamed.unwrap_err().kind(), ErrorKind::NotFound),
                        (Some(device), Some(owner)) if device != owner =>
                            prop_assert_eq!(renamed.unwrap_err().kind(), ErrorKind::AlreadyExists),
                        // Taking back an own former id is possible, unless it came with a merge.
                        (Some(device), _) => if renamed.is_ok() { naive[device].0 = y; },
                    }
                }
                2 => {
                    // A handle that is set aside shows nowhere, takes no id from anybody, and is the one that the device gets.
                    let aside = catalog.set_device_aside(&ids[x], &mut writes).unwrap();
                    prop_assert_eq!(catalog.device(ids[x].as_str()).is_some(), find(&naive, x).is_some());
                    prop_assert_eq!(reopened(&written).set_device_aside(&ids[x], &mut Vec::new()).unwrap(), aside);
                    if find(&naive, x).is_none() {
                        prop_assert_eq!(catalog.clone().ensure_device(&ids[x], &mut Vec::new()).unwrap(), aside);
                    }
                }
                _ => {
                    let merged = catalog.merge_devices(&ids[x], &ids[y], &mut writes);
                    match (find(&naive, x), find(&naive, y)) {
                        (Some(from), Some(into)) if from != into => {
                            prop_assert!(merged.is_ok());
                            let gone = naive[from].1.clone();
                            naive[into].1.extend(gone);
                            naive.remove(from);
                        }
                        (Some(_), Some(_)) => prop_assert_eq!(merged.unwrap_err().kind(), ErrorKind::InvalidInput),
                        _ => prop_assert_eq!(merged.unwrap_err().kind(), ErrorKind::NotFound),
                    }
                }
            }
            written.extend(writes);
            for opened in [&catalog, &reopened(&written)] {
                compare(opened, &catalog, &naive, &ids);
            }
        }
    }
}

#[test]
fn types_widen_and_units_convert_by_the_rule() {
    let mut catalog = Catalog::default();
    let mut writes = Vec::new();
    let mut ensure = |metric_type, unit: Option<&str>| {
        catalog.ensure_metric(&name("power_w"), metric_type, unit, None, &mut writes).map(|(_, conversion)| {
            let metric = catalog.metric("power_w").unwrap();
            (metric.metric_type, metric.unit.clone(), conversion)
        })
    };
    let watt = || Some("W".to_owned());
    assert_eq!(ensure(MetricType::Boolean, None).unwrap(), (MetricType::Boolean, None, None));
    assert_eq!(ensure(MetricType::Integer, Some("W")).unwrap(), (MetricType::Integer, watt(), None));
    let kilo = Conversion { scale: 1_000.0, offset: 0.0 };
    assert_eq!(ensure(MetricType::Integer, Some("kW")).unwrap(), (MetricType::Integer, watt(), Some(kilo)));
    assert_eq!(ensure(MetricType::Text, None).unwrap_err().kind(), ErrorKind::TypeMismatch);
    assert_eq!(ensure(MetricType::Float, Some("V")).unwrap_err().kind(), ErrorKind::TypeMismatch);
    // Neither refusal has changed anything.
    assert_eq!(ensure(MetricType::Boolean, None).unwrap(), (MetricType::Integer, watt(), None));
    // Milliwatts as integers are no whole watts: the metric becomes float.
    assert_eq!(ensure(MetricType::Integer, Some("mW")).unwrap().0, MetricType::Float);
    let written: BTreeMap<_, _> = writes.into_iter().collect();
    assert!(reopened(&written).metrics().eq(catalog.metrics()));
}

#[test]
fn a_nature_that_was_named_stays() {
    let mut catalog = Catalog::default();
    let mut ensure =
        |nature| catalog.ensure_metric(&name("energy_wh"), MetricType::Integer, None, nature, &mut Vec::new());
    ensure(None).unwrap();
    ensure(Some(Nature::Counter)).unwrap();
    ensure(None).unwrap();
    assert_eq!(ensure(Some(Nature::Gauge)).unwrap_err().kind(), ErrorKind::TypeMismatch);
    assert_eq!(catalog.metric("energy_wh").unwrap().nature, Nature::Counter);
}

#[test]
fn a_nature_that_was_named_stays_over_a_restart() {
    for nature in [Nature::Gauge, Nature::Counter] {
        let other = if nature == Nature::Gauge { Nature::Counter } else { Nature::Gauge };
        // Named with the first value, and later.
        for first in [Some(nature), None] {
            let mut catalog = Catalog::default();
            let mut written = Vec::new();
            let mut ensure =
                |nature| catalog.ensure_metric(&name("x"), MetricType::Float, None, nature, &mut written).unwrap();
            ensure(first);
            ensure(Some(nature));
            let mut again = reopened(&written.into_iter().collect());
            let refused = again.ensure_metric(&name("x"), MetricType::Float, None, Some(other), &mut Vec::new());
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::TypeMismatch, "{nature:?}, first {first:?}");
            assert_eq!(again.metric("x").unwrap().nature, nature);
        }
    }
    // What nobody named may still be named after a restart.
    let (mut catalog, mut written) = (Catalog::default(), Vec::new());
    catalog.ensure_metric(&name("x"), MetricType::Float, None, None, &mut written).unwrap();
    let mut again = reopened(&written.into_iter().collect());
    again.ensure_metric(&name("x"), MetricType::Float, None, Some(Nature::Counter), &mut Vec::new()).unwrap();
    assert_eq!(again.metric("x").unwrap().nature, Nature::Counter);
}

#[test]
fn past_damage_the_rest_of_the_catalogue_is_read() {
    let (mut catalog, mut writes) = (Catalog::default(), Vec::new());
    for text in ["a", "b", "c"] {
        catalog.ensure_device(&id(text), &mut writes).unwrap();
        catalog.ensure_metric(&name(text), MetricType::Float, None, None, &mut writes).unwrap();
    }
    catalog.merge_devices(&id("b"), &id("a"), &mut writes).unwrap();
    let whole: BTreeMap<_, _> = writes.into_iter().collect();
    for (place, key) in whole.keys().enumerate() {
        let mut records: Vec<_> = whole.clone().into_iter().collect();
        let middle = records[place].1.len() / 2;
        records[place].1[middle] ^= 1;
        let (read, damage) = Catalog::load_past_damage(&records);
        let handle = key[4];
        let what = if key[0] == b'd' { "device" } else { "metric" };
        assert!(damage[0].to_string().contains(&format!("{what} {handle} of the catalogue")), "{damage:?}");
        let metrics: Vec<u32> = read.metrics().map(|metric| metric.handle.0).collect();
        let expected: Vec<u32> = (0..3).filter(|other| key[0] != b'm' || *other != u32::from(handle)).collect();
        assert_eq!(metrics, expected);
        // Every device whose record is whole, merged or, where its merge can not be followed, for itself.
        for (other, text) in ["a", "b", "c"].into_iter().enumerate() {
            let found = read.device(text).is_some();
            assert_eq!(found, key[0] != b'd' || other != usize::from(handle), "{text} without {what} {handle}");
        }
    }
    let (read, damage) = Catalog::load_past_damage(&whole.into_iter().collect::<Vec<_>>());
    assert!(damage.is_empty() && read.device("b") == read.device("a"));
}

#[test]
fn a_clone_shows_its_moment() {
    let mut catalog = Catalog::default();
    for place in 0..1_000 {
        catalog.ensure_device(&id(&format!("pump-{place}")), &mut Vec::new()).unwrap();
    }
    let before = catalog.clone();
    catalog.rename_device(&id("pump-7"), &id("pump-seven"), &mut Vec::new()).unwrap();
    catalog.ensure_device(&id("pump-new"), &mut Vec::new()).unwrap();
    assert_eq!(before.device("pump-seven"), None);
    assert_eq!(before.device_count(), 1_000);
    assert_eq!(before.device_entry(DeviceHandle(7)).unwrap().id, id("pump-7"));
    assert_eq!(catalog.device("pump-7"), catalog.device("pump-seven"));
}

#[test]
fn contradictions_are_corruption() {
    let device = |handle: u32, text: &str, merged: Option<(u32, u32)>| {
        let merged = merged.map(|(into, order)| Merge { into: DeviceHandle(into), order });
        let record = DeviceRecord { id: id(text), aliases: Vec::new(), merged };
        (device_key(DeviceHandle(handle)), encode_record(&record).unwrap())
    };
    for records in [
        vec![device(0, "a", None), device(2, "b", None)],
        vec![device(0, "a", None), device(1, "a", None)],
        vec![device(0, "a", Some((1, 0))), device(1, "b", Some((0, 1)))],
        vec![device(0, "a", Some((0, 0)))],
        vec![device(0, "a", Some((9, 0)))],
        vec![device(0, "a", Some((1, 7))), device(1, "b", None)],
        vec![(b"x".to_vec(), Vec::new())],
        vec![(device_key(DeviceHandle(0)), b"damaged".to_vec())],
    ] {
        let loaded = Catalog::load(&mut records.into_iter().map(Ok));
        assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Corruption);
    }
}

#[test]
fn a_metric_set_aside_shows_only_once_it_is_named() {
    let mut catalog = Catalog::default();
    let mut writes = Vec::new();
    let aside = catalog.set_metric_aside(&name("power_w"), &mut writes).unwrap();
    catalog.ensure_metric(&name("level"), MetricType::Float, None, None, &mut writes).unwrap();
    let written: BTreeMap<_, _> = writes.iter().cloned().collect();
    for mut catalog in [catalog, reopened(&written)] {
        assert_eq!((catalog.metric("power_w"), catalog.metric_by_handle(aside)), (None, None));
        assert_eq!(catalog.metrics().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), ["level"]);
        let mut writes = writes.clone();
        let ensured = catalog.ensure_metric(&name("power_w"), MetricType::Text, None, None, &mut writes).unwrap();
        assert_eq!(ensured.0, aside);
        let reopened = reopened(&writes.into_iter().collect());
        assert!(reopened.metrics().eq(catalog.metrics()) && reopened.metrics().count() == 2);
    }
}
