//! What questions may say: names, conditions, ranges, fills and flags, and what each mistake ends with.

mod common;

use common::{Place, bad, good, rows, run};

/// Two devices; `a` was in north on the first day alone. Column names as sensors have them.
fn plant() -> Place {
    let place = Place::new();
    let mut csv = "device,time,co2-ppm,Supply Voltage,\"Temp, outside\",3phase_w,mode\n".to_owned();
    for hour in 0..72_i64 {
        let time = 1_735_689_600 + hour * 3_600;
        for device in ["a", "b"] {
            let mode = if hour % 2 == 0 { "on" } else { "off" };
            csv.push_str(&format!("{device},{time}s,{},{}.5,{},{},{mode}\n", 400 + hour, 10 + hour, hour, 3 * hour));
        }
    }
    let file = place.file("samples.csv", csv);
    good(&["import", "samples", &place.store, &file, "--device", "device", "--time", "time", "--quiet"]);
    for (device, value, from) in
        [("a", "region=north", "2025-01-01"), ("a", "region=south", "2025-01-02"), ("b", "region=north", "2025-01-01")]
    {
        good(&["attribute", "set", &place.store, "--device", device, "--attribute", value, "--from", from]);
    }
    place
}

fn ask(place: &Place, verb: &str, words: &[&str]) -> String {
    good(&[&[verb, place.store.as_str()], words].concat())
}

fn code(place: &Place, verb: &str, words: &[&str]) -> (i32, String) {
    bad(&[&[verb, place.store.as_str()], words].concat())
}

#[test]
fn any_column_that_was_imported_can_be_asked_for() {
    let place = plant();
    for (asked, column, value) in [
        ("co2-ppm", "co2-ppm_max", "471"),
        ("Supply Voltage", "Supply Voltage_max", "81.5"),
        ("3phase_w", "3phase_w_max", "213"),
        ("\"Temp, outside\"", "Temp, outside_max", "71"),
        ("\"co2-ppm\" * 1e+2", "\"co2-ppm\"*1e+2_max", "47100"),
        ("\"3phase_w\"-\"Temp, outside\"", "\"3phase_w\"-\"Temp, outside\"_max", "142"),
    ] {
        let answer = rows(&ask(&place, "query", &["--metric", asked, "--aggregate", "max"]));
        assert_eq!(answer[0].get(column).map(String::as_str), Some(value), "{asked}: {answer:?}");
    }
    let two = rows(&ask(&place, "query", &["--metric", "co2-ppm,\"Temp, outside\"", "--aggregate", "p50,median"]));
    let names: Vec<&str> = two[0].keys().map(String::as_str).collect();
    assert_eq!(names, ["Temp, outside_median", "Temp, outside_p50", "co2-ppm_median", "co2-ppm_p50"]);
    let samples = ask(&place, "samples", &["--device", "a", "--metric", "\"Temp, outside\",co2-ppm"]);
    assert_eq!(samples.lines().next(), Some("device,time,\"Temp, outside\",co2-ppm"));
    let latest = rows(&ask(&place, "latest", &["--metric", "\"Temp, outside\""]));
    assert_eq!((latest.len(), latest[0]["value"].as_str()), (2, "71"));
    let text =
        rows(&ask(&place, "query", &["--metric", "mode", "--aggregate", "first,last,count", "--filter", "mode=off"]));
    assert_eq!((text[0]["mode_first"].as_str(), text[0]["mode_count"].as_str()), ("off", "72"));
    assert_eq!(code(&place, "query", &["--metric", "No Such", "--aggregate", "mean"]).0, 1);
    assert_eq!(code(&place, "query", &["--metric", "co2-ppm*", "--aggregate", "mean"]).0, 2);
}

#[test]
fn clocks_are_aligned_groups_ranked_and_values_counted_in_bins() {
    let place = Place::new();
    let mut csv = "device,time,power,current\n".to_owned();
    for hour in 0..48_i64 {
        for (device, power) in [("a", 100 + hour), ("b", 200), ("c", 300 - hour)] {
            let time = 1_735_689_600 + hour * 3_600;
            csv.push_str(&format!("{device},{time}s,{power},\n{device},{}s,,2\n", time - 30));
        }
    }
    let file = place.file("clocks.csv", csv);
    good(&["import", "samples", &place.store, &file, "--device", "device", "--time", "time", "--quiet"]);
    let arithmetic = ["--metric", "power/current", "--aggregate", "count,max", "--by", "device"];
    assert_eq!(rows(&ask(&place, "query", &arithmetic)).len(), 0);
    let aligned =
        ask(&place, "query", &[&arithmetic[..], &["--tolerance", "30s", "--top", "2:power/current_max"]].concat());
    assert_eq!(aligned, "device,power/current_count,power/current_max\nc,48,150\nb,48,100\n");
    let daily = ["--metric", "power", "--aggregate", "mean", "--by", "device", "--every", "1d", "--bottom", "1"];
    let least = rows(&ask(&place, "query", &daily));
    assert_eq!(least.iter().map(|row| row["device"].as_str()).collect::<Vec<_>>(), ["a", "a"]);
    let samples = ask(
        &place,
        "samples",
        &["--device", "a", "--align", "power", "--tolerance", "1m", "--to", "2025-01-01T01:00:00Z"],
    );
    assert_eq!(samples, "device,time,current,power\na,2025-01-01T00:00:00Z,2,100\n");
    let bins = ["--metric", "power", "--bins", "100:300:2", "--where", "device=a,b"];
    let counted = "bin_from,bin_to,count\n,100,0\n100,200,48\n200,300,48\n300,,0\n";
    assert_eq!(ask(&place, "histogram", &bins), counted);
    assert_eq!(ask(&place, "histogram", &[&bins[..], &["--no-statistics", "--threads", "1"]].concat()), counted);
    let output = run(&[&["histogram", place.store.as_str(), "--explain"], &bins[..]].concat());
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(told["blocks"].as_u64().unwrap() > 0, "{told}");
    for (verb, words, part) in [
        ("query", &["--metric", "power", "--aggregate", "mean", "--top", "0"][..], "from 1 on"),
        ("query", &["--metric", "power", "--aggregate", "mean", "--top", "2:x"], "power_mean"),
        ("query", &["--metric", "power", "--aggregate", "mean", "--top", "2", "--bottom", "2"], "--bottom"),
        ("samples", &["--device", "a", "--align", "power"], "--tolerance"),
        ("histogram", &["--metric", "power", "--bins", "5,1"], "edges"),
    ] {
        let (ended, message) = code(&place, verb, words);
        assert!(ended == 2 && message.contains(part) && message.lines().count() == 1, "{words:?}: {message}");
    }
}

#[test]
fn mistakes_are_named_before_anything_is_read() {
    let place = plant();
    let query = ["--metric", "co2-ppm", "--aggregate", "mean"];
    let with = |more: &[&'static str]| [&query[..], more].concat();
    assert_eq!(code(&place, "query", &with(&["--fill", "previous"])).0, 2);
    let (ended, message) = code(&place, "query", &with(&["--order", "co2"]));
    assert!(ended == 2 && message.contains("co2-ppm_mean"), "{message}");
    let (ended, message) = code(&place, "query", &with(&["--where", "device=nobody"]));
    assert!(ended == 1 && message.contains("nobody"), "{message}");
    let backwards = ["--from", "2025-01-03", "--to", "2025-01-01"];
    for (verb, words) in [
        ("query", &query[..]),
        ("samples", &["--device", "a"]),
        ("latest", &[]),
        ("gaps", &["--longer-than", "5m"]),
        ("outliers", &["--metric", "co2-ppm"]),
        ("events", &[]),
        ("delete", &["--device", "a"]),
    ] {
        assert_eq!(code(&place, verb, &[words, &backwards].concat()).0, 2, "{verb}");
    }
    let gaps = rows(&ask(&place, "gaps", &["--longer-than", "1mo"]));
    assert_eq!(gaps[0]["count"], "0");
    assert_eq!(rows(&ask(&place, "gaps", &["--longer-than", "30m"]))[0]["count"], "71");
}

#[test]
fn a_delete_takes_only_what_all_conditions_hold_for() {
    let place = plant();
    let range = ["--from", "2025-01-01", "--to", "2025-01-03"];
    good(&[&["delete", place.store.as_str(), "--where", "region=north"][..], &range].concat());
    let left = |device: &str| {
        let answer = ask(&place, "samples", &["--device", device, "--metric", "co2-ppm"]);
        rows(&answer).first().map(|row| row["time"].clone())
    };
    // `a` left north after a day; `b` stayed for the whole range.
    assert_eq!(left("a").as_deref(), Some("2025-01-02T00:00:00Z"));
    assert_eq!(left("b").as_deref(), Some("2025-01-03T00:00:00Z"));
    let nobody = ["--where", "region=north", "--where", "region=south"];
    assert_eq!(code(&place, "delete", &[&nobody[..], &range].concat()).0, 1);
}

#[test]
fn a_corrected_past_stays_visible() {
    let place = plant();
    good(&["attribute", "set", &place.store, "--device", "a", "--attribute", "region=west", "--from", "2025-01-02"]);
    let now = rows(&good(&["attribute", "show", &place.store, "--device", "a"]));
    let values: Vec<&str> = now.iter().map(|row| row["value"].as_str()).collect();
    assert_eq!(values, ["north", "west"]);
    let said = rows(&good(&["attribute", "show", &place.store, "--device", "a", "--history"]));
    let values: Vec<&str> = said.iter().map(|row| row["value"].as_str()).collect();
    assert_eq!(values, ["north", "south", "west"]);
    let commits: Vec<u64> = said.iter().map(|row| row["commit"].parse().unwrap()).collect();
    assert!(commits.is_sorted_by(|a, b| a < b) && said.iter().all(|row| row["recorded_at"].ends_with('Z')));
}

#[test]
fn every_question_is_repeated_and_explained() {
    let place = plant();
    let output = run(&["info", &place.store, "--explain"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(told["elapsed_ms"].as_f64().unwrap() > 0.0, "{told}");
    for (verb, words) in [
        ("samples", &["--device", "a"][..]),
        ("events", &[]),
        ("latest", &[]),
        ("gaps", &["--longer-than", "5m"]),
        ("outliers", &["--metric", "co2-ppm"]),
        ("device", &["a"]),
    ] {
        let once = ask(&place, verb, words);
        let flags = ["--repeat", "3", "--explain", "--no-statistics", "--threads", "1"];
        let output = run(&[&[verb, place.store.as_str()], words, &flags].concat());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), once, "{verb}");
        let told: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&told["repeat"], &told["blocks_from_statistics"]), (&3.into(), &0.into()), "{verb}: {told}");
    }
}
