//! The index against a naive reading of the rule, instant by instant.

use proptest::prelude::*;

use super::*;
use crate::model::Sequence;

fn name() -> AttributeName {
    AttributeName::new("firmware").unwrap()
}

fn statement(order: usize, device: u32, value: Option<&str>, from: i64, to: i64) -> AttributeAssertion {
    AttributeAssertion {
        device: DeviceHandle(device),
        attribute: name(),
        value: value.map(AttributeValue::from),
        range: TimeRange::new(Timestamp::from_nanoseconds(from), Timestamp::from_nanoseconds(to)),
        sequence: Sequence(order as u64 + 1),
        recorded_at: Timestamp::from_nanoseconds(0),
    }
}

/// What the rule says, from the statements alone; the outer option is "was anything said".
fn naive(statements: &[AttributeAssertion], device: u32, at: i64) -> Option<Option<String>> {
    let at = Timestamp::from_nanoseconds(at);
    let of_device = || statements.iter().enumerate().filter(|(_, s)| s.device.0 == device && s.range.contains(at));
    let open = |s: &AttributeAssertion| s.range.to == Timestamp::MAX;
    let base = of_device().filter(|(_, s)| open(s)).max_by_key(|(order, s)| (s.range.from, *order));
    let closed = of_device().filter(|(_, s)| !open(s)).max_by_key(|(order, _)| *order);
    let winner = base.into_iter().chain(closed).max_by_key(|(order, _)| *order);
    winner.map(|(_, s)| s.value.as_ref().map(AttributeValue::to_text))
}

fn naive_merged(statements: &[AttributeAssertion], merges: &[(u32, u32)], device: u32, at: i64) -> Option<String> {
    let mut said = naive(statements, device, at);
    let mut members = vec![device];
    for (from, into) in merges {
        if *into == device {
            said = said.or_else(|| naive(statements, *from, at));
            members.push(*from);
        }
    }
    said.flatten()
}

const LAST: i64 = 24;

fn statements() -> impl Strategy<Value = Vec<AttributeAssertion>> {
    let value = prop::option::weighted(0.8, prop::sample::select(vec!["1.0", "1.1", "2.0"]));
    let one = (0_u32..4, value, 0..LAST, prop::option::of(1..LAST));
    prop::collection::vec(one, 0..14).prop_map(|all| {
        let build = |(order, (device, value, from, length)): (usize, (u32, Option<&str>, i64, Option<i64>))| {
            statement(order, device, value, from, length.map_or(i64::MAX, |length| from + length))
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #[test]
    fn values_spans_and_cohorts_follow_the_rule(statements in statements(), merge: bool, from in 0..LAST, length in 1..LAST) {
        let mut index = AttributeIndex::default();
        let merges: &[(u32, u32)] = if merge { &[(3, 1)] } else { &[] };
        let half = statements.len() / 2;
        statements[..half].iter().for_each(|s| index.assert(s));
        merges.iter().for_each(|(from, into)| index.merge(DeviceHandle(*from), DeviceHandle(*into)));
        let before = index.clone();
        let values_before: Vec<_> = (0..LAST).map(|at| before.value_at(DeviceHandle(0), "firmware", Timestamp::from_nanoseconds(at))).collect();
        statements[half..].iter().for_each(|s| index.assert(s));
        let truth = |device: u32, at: i64| naive_merged(&statements, merges, device, at);
        let range = TimeRange::new(Timestamp::from_nanoseconds(from), Timestamp::from_nanoseconds(from + length));
        let devices = if merge { 0..3_u32 } else { 0..4 };
        let wanted = [AttributeValue::from("1.0"), AttributeValue::from("2.0"), AttributeValue::from("never")];
        let cohort = index.cohort("firmware", &wanted, range);
        for device in devices {
            for at in 0..2 * LAST {
                let value = index.value_at(DeviceHandle(device), "firmware", Timestamp::from_nanoseconds(at));
                prop_assert_eq!(value.map(|value| value.to_text()), truth(device, at), "device {} at {}", device, at);
            }
            let spans = index.spans(DeviceHandle(device), "firmware", range);
            prop_assert_eq!((spans[0].range.from, spans[spans.len() - 1].range.to), (range.from, range.to));
            prop_assert!(spans.windows(2).all(|pair| pair[0].range.to == pair[1].range.from && pair[0].value != pair[1].value));
            for span in &spans {
                for at in span.range.from.nanoseconds()..span.range.to.nanoseconds() {
                    prop_assert_eq!(span.value.as_ref().map(|value| value.to_text()), truth(device, at));
                }
            }
            let carried = |at: i64| matches!(truth(device, at).as_deref(), Some("1.0" | "2.0"));
            let hits = (from..from + length).filter(|at| carried(*at)).count() as i64;
            prop_assert_eq!(cohort.whole.contains(device), hits == length);
            prop_assert_eq!(cohort.changed.contains(device), hits > 0 && hits < length);
        }
        // A clone made before still shows its moment.
        let values_after: Vec<_> = (0..LAST).map(|at| before.value_at(DeviceHandle(0), "firmware", Timestamp::from_nanoseconds(at))).collect();
        prop_assert_eq!(values_before, values_after);
    }
}

#[test]
fn an_update_in_june_does_not_relabel_may_and_a_correction_stays_in_its_interval() {
    let mut index = AttributeIndex::default();
    index.assert(&statement(0, 5, Some("1.0"), 0, i64::MAX));
    index.assert(&statement(1, 5, Some("2.0"), 60, i64::MAX));
    index.assert(&statement(2, 5, Some("1.5"), 20, 30));
    let at = |at| index.value_at(DeviceHandle(5), "firmware", Timestamp::from_nanoseconds(at)).map(|v| v.to_text());
    let seen: Vec<_> = [10, 20, 29, 30, 59, 60, 1_000].into_iter().map(|t| at(t).unwrap()).collect();
    assert_eq!(seen, ["1.0", "1.5", "1.5", "1.0", "1.0", "2.0", "2.0"]);
    assert_eq!(index.assertions(DeviceHandle(5)).len(), 3);
    assert_eq!(
        index.values("firmware").iter().map(|(value, n)| (value.to_text(), *n)).collect::<Vec<_>>(),
        [("1.0".to_owned(), 1), ("1.5".to_owned(), 1), ("2.0".to_owned(), 1)]
    );
}

#[test]
fn numbers_have_no_bitmaps_and_still_form_cohorts() {
    let mut index = AttributeIndex::default();
    for device in 0..10 {
        let mut one = statement(device, device as u32, None, 0, i64::MAX);
        one.value = Some(AttributeValue::Number(device as f64 / 2.0));
        index.assert(&one);
    }
    assert!(index.bitmaps_at("firmware", Timestamp::from_nanoseconds(5)).is_none());
    let cohort = index.cohort("firmware", &[AttributeValue::Number(1.5)], TimeRange::ALL);
    // Before time 0 nothing was said, so over all time the device changed.
    assert_eq!((cohort.whole.len(), cohort.changed.iter().collect::<Vec<_>>()), (0, vec![3]));
}

#[test]
fn a_fleet_with_many_changes_is_split_at_epochs() {
    let mut index = AttributeIndex::default();
    // 3,000 devices, each updated three times: 9,000 changes, three epochs.
    for round in 0..3_i64 {
        for device in 0..3_000_u32 {
            let at = round * 10_000 + i64::from(device);
            index.assert(&statement(0, device, Some(["a", "b", "c"][round as usize]), at, i64::MAX));
        }
    }
    for at in [0, 1_499, 2_999, 10_000, 11_000, 19_999, 21_234, 30_000] {
        let state = index.bitmaps_at("firmware", Timestamp::from_nanoseconds(at)).unwrap();
        for (value, devices) in state {
            let round = ["a", "b", "c"].iter().position(|name| *name == value.to_text()).unwrap() as i64;
            let carried = |device: i64| {
                let since = round * 10_000 + device;
                since <= at && (round == 2 || at < since + 10_000)
            };
            let expected: RoaringBitmap =
                (0..3_000).filter(|device| carried(*device)).map(|device| device as u32).collect();
            assert_eq!(devices, expected, "{value} at {at}");
        }
    }
}
