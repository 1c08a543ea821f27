//! Every verb on a small fleet whose answers are known by hand.

mod common;

use common::{Place, bad, counts, good, rows};

/// Two devices, four days, a row an hour. The temperature of `a` rises by 1 a day from 0, that of `b` falls by 1 a day from 10;
/// the counter of both grows by 2 an hour and starts again at hour 50. `b` is silent from hour 30 to hour 40.
fn fleet() -> Place {
    let place = Place::new();
    let mut csv = "device,time,temp,total,open,note\n".to_owned();
    for hour in 0..96_i64 {
        let time = 1_735_689_600 + hour * 3_600;
        let total = if hour < 50 { 2 * hour } else { 2 * (hour - 50) };
        csv.push_str(&format!("a,{time}s,{},{total},{},\n", hour as f64 / 24.0, hour % 2));
        if !(30..40).contains(&hour) {
            csv.push_str(&format!("b,{time}s,{},{total},,n{hour}\n", 10.0 - hour as f64 / 24.0));
        }
    }
    let file = place.file("samples.csv", csv);
    let words = [
        "import",
        "samples",
        &place.store,
        &file,
        "--device",
        "device",
        "--time",
        "time",
        "--counter",
        "total",
        "--unit",
        "temp=degC",
    ];
    assert_eq!(counts(&good(&words))["stored"], 182);
    let devices = place.file("devices.csv", "id,region,lat\na,north,48.2\nb,south,47\n");
    assert_eq!(counts(&good(&["import", "devices", &place.store, &devices, "--device", "id"]))["stored"], 2);
    let events = place.file("events.csv", "id,at,what,part\na,2025-01-02,failure,fan\na,2025-01-02,failure,fan\na,2025-01-02,failure,board\nb,2025-01-03,maintenance,\n");
    let words = [
        "import",
        "events",
        &place.store,
        &events,
        "--device",
        "id",
        "--time",
        "at",
        "--kind-column",
        "what",
        "--label",
        "part",
    ];
    let imported = counts(&good(&words));
    assert_eq!((imported["rows_read"], imported["stored"], imported["overwritten"]), (4, 3, 1));
    place
}

fn query(place: &Place, words: &[&str]) -> String {
    let whole = [&["query", place.store.as_str()], words].concat();
    let answer = good(&whole);
    let alone = good(&[&whole[..], &["--no-statistics", "--threads", "1"]].concat());
    let near = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * (1.0 + a.abs()),
        _ => a == b,
    };
    for (a, b) in answer.lines().zip(alone.lines()) {
        assert!(a.split(',').zip(b.split(',')).all(|(a, b)| near(a, b)), "{a} and without statistics {b}");
    }
    assert_eq!(answer.lines().count(), alone.lines().count());
    answer
}

#[test]
fn query_windows_groups_and_filters() {
    let place = fleet();
    let daily = query(
        &place,
        &[
            "--metric",
            "temp",
            "--aggregate",
            "count,min,max,first,last",
            "--every",
            "1d",
            "--by",
            "region",
            "--limit",
            "2",
        ],
    );
    assert_eq!(
        daily,
        "region,window,temp_count,temp_min,temp_max,temp_first,temp_last\n\
         north,2025-01-01T00:00:00Z,24,0,0.9583333333333334,0,0.9583333333333334\n\
         north,2025-01-02T00:00:00Z,24,1,1.9583333333333333,1,1.9583333333333333\n"
    );
    assert_eq!(
        query(&place, &["--metric", "temp", "--aggregate", "count", "--where", "region=south"]),
        "temp_count\n86\n"
    );
    assert_eq!(
        query(
            &place,
            &["--metric", "temp", "--aggregate", "count", "--where", "region=south,north", "--where", "device=a"]
        ),
        "temp_count\n96\n"
    );
    assert_eq!(
        query(&place, &["--metric", "temp", "--aggregate", "count", "--filter", "temp>=3", "--filter", "open=1"]),
        "temp_count\n12\n"
    );
    assert_eq!(
        query(&place, &["--metric", "note,open", "--aggregate", "count", "--by", "device"]),
        "device,note_count,open_count\na,0,96\nb,86,0\n"
    );
    let both = query(
        &place,
        &["--metric", "temp*2+1", "--aggregate", "max", "--by", "device", "--order", "temp*2+1_max:desc"],
    );
    assert_eq!(both, "device,temp*2+1_max\nb,21\na,8.916666666666668\n");
    assert_eq!(
        query(&place, &["--metric", "temp", "--aggregate", "mean", "--by", "device", "--every", "1d", "--count-only"]),
        "rows\n8\n"
    );
    let days = query(
        &place,
        &["--metric", "temp", "--aggregate", "count", "--every", "1d", "--zone", "Asia/Tokyo", "--where", "device=a"],
    );
    assert!(days.starts_with("window,temp_count\n2024-12-31T15:00:00Z,15\n2025-01-01T15:00:00Z,24\n"), "{days}");
    let median = query(
        &place,
        &["--metric", "total", "--aggregate", "median,p90,sum,mean", "--where", "device=a", "--to", "1735700400s"],
    );
    // 0, 2, 4: the 90th percentile of type 7 lies at place 1.8.
    assert_eq!(median, "total_median,total_p90,total_sum,total_mean\n2,3.6,6,2\n");
}

#[test]
fn query_fills_gaps_and_counts_growth() {
    let place = fleet();
    let words = |fill: &'static str| {
        [
            "--metric",
            "temp",
            "--aggregate",
            "mean",
            "--every",
            "1h",
            "--where",
            "device=b",
            "--from",
            "1735794000s",
            "--to",
            "1735837200s",
            "--fill",
            fill,
        ]
    };
    assert_eq!(query(&place, &words("none")).lines().count(), 3);
    let filled = query(&place, &words("null"));
    assert_eq!(filled.lines().count(), 13);
    assert!(filled.lines().nth(2).unwrap().ends_with(','), "{filled}");
    let previous = query(&place, &words("previous"));
    let values: Vec<&str> = previous.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert!(values[1..11].iter().all(|value| *value == values[0]), "{values:?}");
    let linear = query(&place, &words("linear"));
    for (place, row) in rows(&linear).iter().enumerate() {
        let value: f64 = row["temp_mean"].parse().unwrap();
        assert!((value - (10.0 - (29 + place) as f64 / 24.0)).abs() < 1e-12, "{linear}");
    }
    // 49 steps of 2, a reset to 0, 45 steps of 2; a reset adds what the counter shows after it.
    assert_eq!(
        query(&place, &["--metric", "total", "--aggregate", "delta", "--where", "device=a"]),
        "total_delta\n188\n"
    );
    let rate =
        query(&place, &["--metric", "total", "--aggregate", "rate", "--where", "device=a", "--to", "1735776000s"]);
    let rate: f64 = rows(&rate)[0]["total_rate"].parse().unwrap();
    assert!((rate - 2.0 / 3_600.0).abs() < 1e-15);
    let slope = query(&place, &["--metric", "temp", "--aggregate", "slope", "--by", "device"]);
    let slopes: Vec<f64> = rows(&slope).iter().map(|row| row["temp_slope"].parse().unwrap()).collect();
    assert!((slopes[0] - 1.0).abs() < 1e-9 && (slopes[1] + 1.0).abs() < 1e-9, "{slope}");
}

#[test]
fn trend_finds_the_slope() {
    let place = fleet();
    let trend = good(&["trend", &place.store, "--metric", "temp", "--every", "6h", "--by", "region"]);
    assert!(
        trend.starts_with(
            "region,n,slope_per_day,slope_low,slope_high,theil_sen_per_day,p_value,first_fitted,last_fitted\n"
        ),
        "{trend}"
    );
    let rows = rows(&trend);
    let number = |row: usize, name: &str| rows[row][name].parse::<f64>().unwrap();
    assert!(
        (number(0, "slope_per_day") - 1.0).abs() < 0.01 && (number(1, "slope_per_day") + 1.0).abs() < 0.01,
        "{trend}"
    );
    assert!(
        (number(0, "theil_sen_per_day") - 1.0).abs() < 0.01 && number(0, "p_value") < 0.01 && number(0, "n") == 16.0
    );
    // Ten windows of one sample: seven are needed for nothing, eight for the test.
    let short = good(&["trend", &place.store, "--metric", "temp", "--every", "1d", "--by", "device"]);
    assert!(
        common::rows(&short).iter().all(|row| row["p_value"].is_empty() && !row["slope_per_day"].is_empty()),
        "{short}"
    );
}

#[test]
fn samples_latest_gaps_and_outliers() {
    let place = fleet();
    let samples = good(&["samples", &place.store, "--device", "b", "--metric", "temp,note", "--to", "1735693201s"]);
    assert_eq!(
        samples,
        "device,time,note,temp\nb,2025-01-01T00:00:00Z,n0,10\nb,2025-01-01T01:00:00Z,n1,9.958333333333334\n"
    );
    let few = good(&["samples", &place.store, "--device", "a", "--metric", "temp", "--downsample", "10"]);
    assert_eq!(few.lines().count(), 11);
    assert!(
        few.lines().nth(1).unwrap().contains("2025-01-01T00:00:00Z")
            && few.lines().last().unwrap().contains("2025-01-04T23:00:00Z")
    );
    let latest = good(&["latest", &place.store, "--where", "region=south"]);
    assert_eq!(
        latest,
        "device,metric,time,value,unit\nb,note,2025-01-04T23:00:00Z,n95,\n\
         b,temp,2025-01-04T23:00:00Z,6.041666666666666,degC\nb,total,2025-01-04T23:00:00Z,90,\n"
    );
    let gaps = good(&["gaps", &place.store, "--longer-than", "1h"]);
    assert_eq!(gaps, "device,count,total_s,longest_s,longest_from\na,0,0,,\nb,1,39600,39600,2025-01-02T05:00:00Z\n");
    assert_eq!(good(&["gaps", &place.store, "--longer-than", "1h", "--no-statistics"]), gaps);
    let file = place.file("spike.csv", "device,time,temp\na,1736035201s,1000\n");
    good(&["import", "samples", &place.store, &file, "--device", "device", "--time", "time"]);
    let outliers = rows(&good(&["outliers", &place.store, "--metric", "temp", "--sigma", "4"]));
    assert_eq!(
        (outliers[0]["count"].as_str(), outliers[1]["count"].as_str(), outliers[0]["n"].as_str()),
        ("1", "0", "97")
    );
}

#[test]
fn events_and_the_page_of_a_device() {
    let place = fleet();
    let events = good(&["events", &place.store, "--kind", "failure"]);
    assert_eq!(
        events,
        "device,time,kind,labels\na,2025-01-02T00:00:00Z,failure,\"{\"\"part\"\":\"\"board\"\"}\"\n\
         a,2025-01-02T00:00:00Z,failure,\"{\"\"part\"\":\"\"fan\"\"}\"\n"
    );
    assert_eq!(good(&["events", &place.store, "--where", "region=south"]).lines().count(), 2);
    let page = good(&["device", &place.store, "a"]);
    for part in [
        "summary,samples,,96,",
        "attribute,region,,north,",
        "event,failure,2025-01-02T00:00:00Z,part=fan,",
        "latest,temp,",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn a_corrected_past_changes_the_answers() {
    let place = fleet();
    let by_region = || query(&place, &["--metric", "temp", "--aggregate", "count", "--by", "region"]);
    assert_eq!(by_region(), "region,temp_count\nnorth,96\nsouth,86\n");
    let segments = std::fs::read_dir(format!("{}/segments", place.store)).unwrap().count();
    let set = [
        "attribute",
        "set",
        &place.store,
        "--device",
        "a",
        "--attribute",
        "region=south",
        "--from",
        "2025-01-02",
        "--to",
        "2025-01-03",
    ];
    good(&set);
    assert_eq!(by_region(), "region,temp_count\nnorth,72\nsouth,110\n");
    assert_eq!(
        std::fs::read_dir(format!("{}/segments", place.store)).unwrap().count(),
        segments,
        "no segment is written anew"
    );
    let history = good(&["attribute", "show", &place.store, "--device", "a"]);
    assert!(history.contains("region,south,2025-01-02T00:00:00Z,2025-01-03T00:00:00Z"), "{history}");
    let june = place.file("june.csv", "id,region\na,west\n");
    let (code, message) = bad(&["import", "devices", &place.store, &june, "--device", "id"]);
    assert!(code == 2 && message.contains("--from"), "{message}");
    good(&["import", "devices", &place.store, &june, "--device", "id", "--from", "2025-01-04"]);
    assert_eq!(by_region(), "region,temp_count\nnorth,48\nsouth,110\nwest,24\n");
}

#[test]
fn delete_compact_and_dump() {
    let place = fleet();
    let count = || query(&place, &["--metric", "temp,total", "--aggregate", "count", "--where", "device=a"]);
    good(&[
        "delete",
        &place.store,
        "--device",
        "a",
        "--metric",
        "temp",
        "--from",
        "2025-01-01",
        "--to",
        "2025-01-02",
        "--quiet",
    ]);
    assert_eq!(count(), "temp_count,total_count\n72,96\n");
    good(&["compact", &place.store, "--cold", "--quiet"]);
    assert_eq!(count(), "temp_count,total_count\n72,96\n");
    let file = place.file("again.csv", "device,time,temp\na,2025-01-01,7\n");
    good(&["import", "samples", &place.store, &file, "--device", "device", "--time", "time"]);
    assert_eq!(count(), "temp_count,total_count\n73,96\n");
    let dump = good(&["dump", &place.store]);
    for part in ["manifest", "catalog", "index", "segments", "temp  float", "north  devices 1"] {
        assert!(dump.contains(part), "{part} in {dump}");
    }
    let info: serde_json::Value = serde_json::from_str(&good(&["info", &place.store, "--format", "json"])).unwrap();
    let keys =
        ["devices", "metrics", "events", "logs", "segments", "samples", "values", "bytes_on_disk", "bytes_per_value"];
    assert!(keys.iter().all(|key| info[key].is_number()), "{info}");
    assert!(info["from"].is_string() && info["to"].is_string() && info["columns"].is_array());
    assert_eq!(
        (info["devices"].as_u64(), info["samples"].as_u64(), info["events"].as_u64()),
        (Some(2), Some(182), Some(3))
    );
}
