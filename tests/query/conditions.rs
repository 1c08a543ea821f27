//! Conditions on values and attributes, and what links say of themselves: answers known by hand, in every layout.

use crate::layouts::*;
use fleetlog::operator::{
    Aggregate, GapsRequest, LatestRequest, OutliersRequest, Query, SamplesRequest, attribute, cohort_stretches,
};
use fleetlog::{Cell, ErrorKind, Store, TimeRange, Window, WriteBatch};

#[test]
fn text_has_first_and_last_and_can_be_a_condition() {
    let mut batch = WriteBatch::new();
    for (hour, mode, level) in [(0, "off", 1.0), (1, "on", 2.0), (2, "on", 4.0), (26, "idle", 8.0)] {
        batch.reading("a", at(BASE_NS + hour * HOUR_NS)).text("mode", mode).float("level", level);
    }
    in_every_layout(batch, |store, layout| {
        let text = |text: &str| Cell::Text(text.into());
        let asked = [Aggregate::First, Aggregate::Last, Aggregate::Count, Aggregate::CountNan];
        let whole = row(store, Query::metric("mode").aggregate(asked));
        assert_eq!(whole, [text("off"), text("idle"), Cell::Integer(4), Cell::Integer(0)], "{layout}");
        let daily = store.query(Query::metric("mode").aggregate(asked).every(Window::DAY)).unwrap();
        assert_eq!(daily.rows()[0][1..3], [text("off"), text("on")], "{layout}");
        let sum = |filter: &str| {
            let query = Query::metric("level").aggregate([Aggregate::Sum]).filter_value(filter.parse().unwrap());
            row(store, query)[0].clone()
        };
        assert_eq!((sum("mode=on"), sum("mode!=on")), (Cell::Float(6.0), Cell::Float(9.0)), "{layout}");
        for (metric, filter) in [("level", "mode>1"), ("level", "level=on"), ("mode", "mode<2")] {
            let query = Query::metric(metric).aggregate([Aggregate::Count]).filter_value(filter.parse().unwrap());
            assert_eq!(store.query(query).unwrap_err().kind(), ErrorKind::TypeMismatch, "{filter}");
        }
        let mean = Query::metric("mode").aggregate([Aggregate::Mean]);
        assert_eq!(store.query(mean).unwrap_err().kind(), ErrorKind::TypeMismatch);
    });
}

#[test]
fn links_are_found_by_their_ends_and_a_correction_of_one_stays() {
    let reading = |batch: &mut WriteBatch, gateway: &str, hour: i64, rssi_dbm: i64| {
        batch.link_reading("a", gateway, at(BASE_NS + hour * HOUR_NS)).integer("rssi_dbm", rssi_dbm);
    };
    let mut first = WriteBatch::new();
    reading(&mut first, "roof", 0, -90);
    reading(&mut first, "yard", 0, -70);
    reading(&mut first, "roof", 1, -92);
    first.attribute("a@yard", "gateway", "yard-2");
    let mut corrected = WriteBatch::new();
    corrected.attribute("a@roof", "gateway", "tower").from(at(BASE_NS + HOUR_NS));
    let mut later = WriteBatch::new();
    reading(&mut later, "roof", 2, -94);
    reading(&mut later, "yard", 2, -72);
    commits_in_every_layout([first, corrected, later], |store, layout| {
        let table = |by: &str| {
            let query = Query::metric("rssi_dbm").aggregate([Aggregate::Count, Aggregate::Sum]).by([by]);
            store.query(query).unwrap().rows().to_vec()
        };
        let row =
            |name: &str, count: i64, sum: i64| vec![Cell::Text(name.into()), Cell::Integer(count), Cell::Integer(sum)];
        assert_eq!(table("gateway"), [row("roof", 1, -90), row("tower", 2, -186), row("yard-2", 2, -142)], "{layout}");
        assert_eq!(table("link_device"), [row("a", 5, -418)], "{layout}");
        assert_eq!(table("device"), [row("a@roof", 3, -276), row("a@yard", 2, -142)], "{layout}");
    });
    // The links of `a@x` to `g` and of `a` to `x@g` would be one subject: the first has no name.
    for (device, gateway) in [("a", ""), ("a@x", "g")] {
        let mut wrong = WriteBatch::new();
        wrong.link_reading(device, gateway, at(BASE_NS)).integer("rssi_dbm", -1);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(open(&folder).write(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn whole_numbers_are_compared_to_the_last_digit_until_their_metric_is_one_of_floats() {
    const ODD: i64 = (1 << 53) + 1;
    let whole = || {
        let mut batch = WriteBatch::new();
        for step in -2..=2 {
            batch.reading("a", at(BASE_NS + (step + 2) * HOUR_NS)).integer("ticks", ODD + step);
        }
        batch
    };
    let count = |store: &Store, filter: &str| {
        let query = Query::metric("ticks").aggregate([Aggregate::Count]).filter_value(filter.parse().unwrap());
        row(store, query)[0].clone()
    };
    in_every_layout(whole(), |store, layout| {
        let expected = [("=", 1), ("!=", 4), (">", 2), (">=", 3), ("<", 2), ("<=", 3)];
        for (word, rows) in expected {
            assert_eq!(count(store, &format!("ticks{word}{ODD}")), Cell::Integer(rows), "{layout} {word}");
        }
    });
    // A device of another make sends it as float: from then on all are floats, and this one and the one before it are the same.
    let mut wider = WriteBatch::new();
    wider.reading("b", at(BASE_NS)).float("ticks", 0.5);
    commits_in_every_layout([whole(), wider], |store, layout| {
        assert_eq!(count(store, &format!("ticks={}", ODD - 1)), Cell::Integer(2), "{layout}");
        assert_eq!(count(store, "ticks>1"), Cell::Integer(5), "{layout}");
    });
}

#[test]
fn gaps_say_what_they_read() {
    let mut batch = WriteBatch::new();
    for hour in [0, 1, 5, 6] {
        batch.reading("a", at(BASE_NS + hour * HOUR_NS)).float("level", 1.0).float("power", 2.0);
    }
    in_every_layout(batch, |store, layout| {
        // Four hours are listed, one hour is the longest of the rest: what is shorter is not known without the times.
        for (longer_than_ns, statistics, count, answered) in [
            (2 * HOUR_NS, true, 1, true),
            (HOUR_NS, true, 1, true),
            (4 * HOUR_NS, true, 0, true),
            (HOUR_NS - 1, true, 3, false),
            (2 * HOUR_NS, false, 1, false),
        ] {
            let request = GapsRequest::longer_than_ns(longer_than_ns).statistics(statistics);
            let (table, explain) = store.gaps(&store.snapshot().unwrap(), &request, None).unwrap();
            assert_eq!(table.rows()[0][1], Cell::Integer(count), "{layout}");
            let answered = answered && layout != "unsealed";
            let is_read = !answered && layout != "unsealed";
            let read = (explain.blocks_from_statistics, explain.blocks_decoded, explain.values_decoded);
            assert_eq!(read, (answered.into(), is_read.into(), if is_read { 4 } else { 0 }), "{layout}: {explain:?}");
            assert_eq!(explain.blocks, u64::from(layout != "unsealed"), "{layout}: {explain:?}");
            assert_eq!(explain.bytes_read > 0, is_read, "{layout}: {explain:?}");
        }
    });
}

#[test]
fn conditions_must_hold_together_and_ranges_must_hold_something() {
    let mut batch = WriteBatch::new();
    for device in ["a", "b", "c"] {
        batch.reading(device, at(BASE_NS)).float("level", 1.0);
        batch.reading(device, at(BASE_NS + 5 * DAY_NS)).float("level", 2.0);
    }
    let day = |day: i64| at(BASE_NS + day * DAY_NS);
    // b was in north, and had firmware 2, but never at one moment; c for two days.
    batch.attribute("a", "region", "north").from(at(0));
    batch.attribute("a", "firmware", "2").from(at(0));
    batch.attribute("b", "region", "north").from(day(0)).to(day(1));
    batch.attribute("b", "firmware", "2").from(day(1)).to(day(9));
    batch.attribute("c", "region", "north").from(day(2)).to(day(6));
    batch.attribute("c", "firmware", "2").from(day(4)).to(day(9));
    batch.attribute("c", "lat", -0.0).from(at(0));
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.write(batch).unwrap();
    let snapshot = store.snapshot().unwrap();
    let both = [attribute("region").is("north"), attribute("firmware").is("2")];
    let range = TimeRange::new(day(0), day(30));
    let found = cohort_stretches(&snapshot, &both, range).unwrap();
    let found: Vec<_> = found.iter().map(|(id, stretches)| (id.as_str(), stretches.as_slice())).collect();
    assert_eq!(found, [("a", &[range][..]), ("c", &[TimeRange::new(day(4), day(6))])]);
    let [region, firmware] = both;
    let request = LatestRequest::default().filter(region).filter(firmware);
    let (latest, _) = store.latest(&snapshot, &request, None).unwrap();
    let devices: Vec<&Cell> = latest.rows().iter().map(|row| &row[0]).collect();
    assert_eq!(devices, [&Cell::Text("a".into()), &Cell::Text("c".into())]);
    // b was in north for a day, and not any more when its last value came.
    let north = LatestRequest::default().filter(attribute("region").is("north"));
    let (latest, _) = store.latest(&snapshot, &north, None).unwrap();
    let devices: Vec<&Cell> = latest.rows().iter().map(|row| &row[0]).collect();
    assert_eq!(devices, [&Cell::Text("a".into()), &Cell::Text("c".into())]);
    let zero = Query::metric("level").aggregate([Aggregate::Count]).filter(attribute("lat").is("0"));
    assert_eq!(row(&store, zero), [Cell::Integer(2)]);
    let nobody = Query::metric("level").filter(attribute("device").is("nobody"));
    let error = store.query(nobody).unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("nobody"), "{error}");
    let (from, to) = (day(2), day(1));
    let kinds = [
        store.query(Query::metric("level").between(from, to)).map(drop),
        store.latest(&snapshot, &LatestRequest::default().between(from, to), None).map(drop),
        store.gaps(&snapshot, &GapsRequest::longer_than_ns(5).between(from, to), None).map(drop),
        store.outliers(&snapshot, &OutliersRequest::new("level", 4.0).between(from, to), None).map(drop),
        store.samples(&snapshot, &SamplesRequest::device("a").between(from, to), None, &mut |_| Ok(true)).map(drop),
        store.events(&snapshot, &fleetlog::operator::EventsRequest::default().between(from, to), None, &mut |_| {
            Ok(true)
        }),
    ];
    assert!(kinds.iter().all(|result| result.as_ref().unwrap_err().kind() == ErrorKind::InvalidInput), "{kinds:?}");
}

#[test]
fn a_block_that_no_row_of_passes_is_not_read_and_hides_nothing() {
    let mut batch = WriteBatch::new();
    for (hour, level) in [1, 2, 3, 20, 20, 20].into_iter().enumerate() {
        let month = if hour < 3 { 0 } else { 40 };
        let time = at(BASE_NS + month * DAY_NS + hour as i64 * HOUR_NS);
        batch
            .reading("a", time)
            .integer("level", level)
            .float("share", level as f64 / 10.0)
            .integer("total", (hour as i64 + 1).pow(2));
    }
    // A month without the metrics that are compared, and one of NaN.
    batch.reading("a", at(BASE_NS + 80 * DAY_NS)).integer("total", 49);
    batch.reading("a", at(BASE_NS + 120 * DAY_NS)).float("share", f64::NAN).integer("total", 64);
    in_every_layout(batch, |store, layout| {
        let ask = |aggregate: Aggregate, filter: &str, statistics: bool| {
            let query = Query::metric("total").aggregate([aggregate]).filter_value(filter.parse().unwrap());
            let snapshot = store.snapshot().unwrap();
            let (table, explain) = store.query_at(&snapshot, &query.statistics(statistics), None).unwrap();
            (table.rows().first().map_or(0.0, |row| float(&row[0])), explain)
        };
        let passing = [
            (">3", 3.0),
            (">=3", 4.0),
            (">20", 0.0),
            ("<1", 0.0),
            ("<=1", 1.0),
            ("=20", 3.0),
            ("!=20", 3.0),
            ("=10", 0.0),
            ("!=10", 6.0),
            ("=NaN", 0.0),
            ("!=NaN", 0.0),
        ];
        for (condition, count) in passing {
            let tenth = condition.trim_start_matches(['<', '>', '=', '!']).parse::<f64>().unwrap() / 10.0;
            let word = condition.trim_end_matches(|c: char| c.is_alphanumeric());
            for filter in [format!("level{condition}"), format!("share{word}{tenth}")] {
                for statistics in [true, false] {
                    assert_eq!(ask(Aggregate::Count, &filter, statistics).0, count, "{filter}, {layout}");
                }
            }
        }
        // What grows to the first sample that passes began where none did.
        assert_eq!(ask(Aggregate::Delta, "level=20", true).0, 36.0 - 9.0, "{layout}");
        if layout != "unsealed" {
            let (with, without) = (ask(Aggregate::Sum, "level>3", true).1, ask(Aggregate::Sum, "level>3", false).1);
            assert!(with.blocks_from_statistics >= 1 && without.blocks_from_statistics == 0, "{layout}");
            assert!(with.bytes_read < without.bytes_read && with.values_decoded < without.values_decoded, "{layout}");
        }
    });
}
