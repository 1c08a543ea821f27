//! What stands on stderr beside an answer: why it is empty, what can not be told, what was left out; and that `--quiet` silences it.

mod common;

use common::{Place, bad, good, rows, run};

/// Writes a CSV file and imports it.
fn import(place: &Place, name: &str, csv: &str) -> String {
    let file = place.file(name, csv);
    let output = run(&["import", "samples", &place.store, &file, "--device", "device", "--time", "time"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stderr).unwrap()
}

/// Asks, and gives what stood on stdout and on stderr; nothing stands there where it is to be quiet.
fn asked(place: &Place, verb: &str, words: &[&str]) -> (String, String) {
    let words = [&[verb, place.store.as_str()], words].concat();
    let output = run(&words);
    let [out, told] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{words:?}: {told}");
    let quiet = run(&[&words[..], &["--quiet"]].concat());
    assert_eq!((String::from_utf8(quiet.stdout).unwrap(), quiet.stderr.len()), (out.clone(), 0), "{words:?}");
    (out, told)
}

/// As `asked`, only what stood on stderr.
fn told(place: &Place, verb: &str, words: &[&str]) -> String {
    asked(place, verb, words).1
}

const POWER: [&str; 4] = ["--metric", "power", "--aggregate", "count"];

fn plant() -> Place {
    let place = Place::new();
    let mut csv = "device,time,power,mode,open\n".to_owned();
    for day in 1..=9 {
        csv.push_str(&format!("a,2025-01-0{day},{day},on,true\nb,2025-01-0{day}T01:00:00Z,{day},off,false\n"));
    }
    import(&place, "plant.csv", &csv);
    good(&["attribute", "set", &place.store, "--device", "a", "--attribute", "region=north", "--from", "2025-01-01"]);
    place
}

#[test]
fn an_empty_answer_says_why() {
    let place = plant();
    let query = |words: &[&str]| told(&place, "query", &[&POWER[..], words].concat());
    assert_eq!(query(&[]), "");
    assert_eq!(query(&["--from", "2026-01-01"]), "no row: no value lies in the range\n");
    let words = [&["query", place.store.as_str()], &POWER[..], &["--from", "2026-01-01", "--explain"]].concat();
    let explained: serde_json::Value = serde_json::from_slice(&run(&words).stderr).unwrap();
    assert_eq!(explained["blocks"].as_u64(), Some(0), "the object stands alone");
    let clocks = "metrics are put together where they have a sample at the same instant; --tolerance takes those of other clocks\n";
    let passed = "no row: no value is there and passes --filter\n";
    assert_eq!(query(&["--filter", "mode=eco"]), format!("{passed}{clocks}"));
    assert_eq!(query(&["--filter", "mode=eco", "--tolerance", "5m"]), passed);
    assert_eq!(query(&["--filter", "power>100"]), passed);
    let arithmetic = ["--metric", "power*open", "--aggregate", "count", "--from", "2026-01-01"];
    assert_eq!(told(&place, "query", &arithmetic), format!("no row: no value lies in the range\n{clocks}"));
    let list = ["--metric", "power,open", "--aggregate", "count", "--from", "2026-01-01"];
    assert_eq!(told(&place, "query", &list), "no row: no value lies in the range\n", "each is answered by itself");
    assert_eq!(query(&["--limit", "0"]), "");
    assert_eq!(query(&["--limit", "0", "--count-only"]), "");
    let both = query(&["--filter", "power>100", "--where", "region=north", "--to", "2025-01-03"]);
    assert!(both.starts_with("no row: no value lies in the range and passes --where and --filter\n"), "{both}");
    let nan = query(&["--filter", "power!=nan"]);
    assert!(nan.contains("nothing compares with NaN") && nan.contains("count_nan"), "{nan}");
    assert!(query(&["--filter", "power>100", "--count-only"]).starts_with("no row: "));
    for (verb, words, what) in [
        ("histogram", &["--metric", "power", "--bins", "5"][..], "value"),
        ("trend", &["--metric", "power", "--every", "1d"], "value"),
        ("latest", &[], "value"),
        ("gaps", &["--longer-than", "1h"], "sample"),
        ("outliers", &["--metric", "power"], "sample"),
        ("events", &[], "event"),
    ] {
        let told = told(&place, verb, &[words, &["--from", "2026-01-01"]].concat());
        assert_eq!(told, format!("no row: no {what} lies in the range\n"), "{verb}");
    }
    let samples = told(&place, "samples", &["--device", "a", "--from", "2026-01-01"]);
    assert_eq!(samples, "no row: no sample of 'a' lies in the range\n");
}

#[test]
fn an_attribute_that_is_not_there_is_told_of_once() {
    let place = plant();
    let words = [&["query", place.store.as_str()], &POWER[..], &["--where", "colour=red"]].concat();
    let (code, message) = bad(&words);
    assert_eq!((code, message.lines().count()), (1, 1), "{message}");
    assert!(message.contains("no attribute 'colour'") && message.contains("region"), "{message}");
}

#[test]
fn a_zone_that_moves_no_window_is_told_of() {
    let place = plant();
    let windows = |every: &str| {
        let (out, told) = asked(&place, "query", &[&POWER[..], &["--every", every, "--zone", "Asia/Kolkata"]].concat());
        (rows(&out)[0]["window"].clone(), told)
    };
    // Midnight there is half past six in the evening before; an hour there begins at half past.
    assert_eq!(windows("1d"), ("2024-12-31T18:30:00Z".to_owned(), String::new()));
    for every in ["1h", "24h", "5m"] {
        let (first, told) = windows(every);
        assert_eq!(first, "2025-01-01T00:00:00Z");
        assert!(told.starts_with("--zone moves days, weeks, months and years") && told.lines().count() == 1, "{told}");
    }
    let trend = told(&place, "trend", &["--metric", "power", "--every", "24h", "--zone", "Europe/Paris"]);
    assert!(trend.contains("multiples of their length in UTC"), "{trend}");
}

#[test]
fn a_trend_says_what_too_few_windows_can_not_tell() {
    let place = plant();
    let trend = |words: &[&str]| told(&place, "trend", &[&["--metric", "power"], words].concat());
    assert_eq!(trend(&["--every", "1d"]), "");
    // Nine days are five windows of two days; of `a` and `b` the first two days are two windows of one.
    let few = trend(&["--every", "2d"]);
    assert_eq!(
        few,
        "not_estimable: the p_value of 1 of 1 trends: it takes 8 windows with samples; ask for shorter windows or a longer time\n"
    );
    let none = trend(&["--every", "1d", "--by", "device", "--to", "2025-01-03"]);
    assert!(none.starts_with("not_estimable: 2 of 2 trends: a line takes 3 windows with samples"), "{none}");
}

#[test]
fn a_few_clocks_of_1970_are_told_of_where_they_stretch_an_answer() {
    let place = plant();
    let mut csv = "device,time,power\n".to_owned();
    for hour in 0..24 {
        csv.push_str(&format!("c,2025-01-05T{hour:02}:00:00Z,{hour}\n"));
    }
    csv.push_str("c,1970-01-01T00:00:05Z,3\nb,1970-01-01T00:00:07Z,3\n");
    import(&place, "late.csv", &csv);
    let expected = "2 devices have a few samples from 1970-01-01T00:00:05Z on, long before all others (a wrong clock?); --from 2025-01-01 \
                    leaves them out\n";
    let daily = |words: &[&str]| told(&place, "query", &[&POWER[..], &["--every", "1d"], words].concat());
    assert_eq!(daily(&[]), expected);
    assert_eq!(daily(&["--from", "2025-01-01"]), "");
    assert_eq!(daily(&["--where", "region=north"]), "", "the one of north has a right clock");
    assert!(daily(&["--where", "device=b"]).starts_with("1 device has a few samples from 1970-01-01T00:00:07Z on"));
    assert_eq!(told(&place, "query", &POWER), "", "a row of all time is not stretched");
    assert!(told(&place, "trend", &["--metric", "power", "--every", "1d"]).ends_with(expected));
    assert_eq!(
        rows(&asked(&place, "query", &[&POWER[..], &["--every", "1d", "--from", "2025-01-01"]].concat()).0).len(),
        9
    );
}

#[test]
fn a_note_that_can_not_be_told_changes_no_exit_code() {
    let place = plant();
    // More years than segments: most of them share the largest file, which no question about 2025 has to open.
    let years: String = (2038..2138).map(|year| format!("c,{year}-01-19,1\n")).collect();
    import(&place, "ahead.csv", &format!("device,time,power\n{years}"));
    let segments = std::fs::read_dir(format!("{}/segments", place.store)).unwrap().map(|entry| entry.unwrap().path());
    let largest = segments.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let sound = std::fs::read(&largest).unwrap();
    let words = [&["query", place.store.as_str()], &POWER[..], &["--every", "1d", "--to", "2025-01-03"]].concat();
    let mut answered = 0;
    for at in (0..sound.len()).step_by(61) {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&largest, damaged).unwrap();
        let quiet = run(&[&words[..], &["--quiet"]].concat());
        let output = run(&words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((quiet.status.code(), &quiet.stdout), (output.status.code(), &output.stdout), "byte {at}: {told}");
        answered += usize::from(output.status.success());
    }
    assert!(answered > 5, "{answered}");
}

#[test]
fn what_a_sensor_says_last_is_its_last_number() {
    let place = Place::new();
    import(&place, "nan.csv", "device,time,power,level\na,2025-01-01,1,2\na,2025-01-02,NaN,3\nb,2025-01-02,NaN,\n");
    let (latest, _) = asked(&place, "latest", &["--metric", "power"]);
    assert_eq!(latest, "device,metric,time,value,unit\na,power,2025-01-01T00:00:00Z,1,\n");
    assert!(good(&["latest", "--help"]).contains("NaN is left out"));
}

#[test]
fn booleans_stay_booleans_and_keys_of_json_stand_as_columns() {
    let place = plant();
    let last = ["--metric", "open,power", "--aggregate", "last,first,max", "--by", "device"];
    let (csv, _) = asked(&place, "query", &last);
    let header = "device,open_last,open_first,open_max,power_last,power_first,power_max\n";
    assert_eq!(csv, format!("{header}a,true,true,1,9,1,9\nb,false,false,0,9,1,9\n"));
    let line = good(&[&["query", place.store.as_str(), "--format", "jsonl"], &last[..]].concat());
    let first = r#"{"device":"a","open_last":true,"open_first":true,"open_max":1,"power_last":9,"power_first":1,"power_max":9}"#;
    assert_eq!(line.lines().next(), Some(first));
    let array = good(&[&["query", place.store.as_str(), "--format", "json"], &last[..]].concat());
    assert!(array.starts_with(&format!("[{first},\n")) && array.ends_with("]\n"), "{array}");
    let filled = [&last[..4], &["--every", "1d", "--by", "device", "--fill", "zero", "--to", "2025-01-11"]].concat();
    let (filled, _) = asked(&place, "query", &filled);
    assert!(filled.contains("\na,2025-01-10T00:00:00Z,false,false,0,0,0,0\n"), "{filled}");
}

#[test]
fn edges_of_integers_are_compared_and_printed_to_the_last_digit() {
    let place = Place::new();
    let values = ["9007199254740992", "9007199254740993", "9007199254740994", "9223372036854775807", "5"];
    let mut csv = "device,time,i,f\n".to_owned();
    for (minute, value) in values.iter().enumerate() {
        csv.push_str(&format!("d,2025-01-01T00:0{minute}:00Z,{value},{minute}.5\n"));
    }
    import(&place, "i.csv", &csv);
    let bins = |metric: &str, bins: &str| good(&["histogram", &place.store, "--metric", metric, "--bins", bins]);
    for words in [&["--no-statistics"][..], &[]] {
        let words =
            [&["histogram", &place.store, "--metric", "i", "--bins", "0,9007199254740993,9007199254740994"], words]
                .concat();
        assert_eq!(
            good(&words),
            "bin_from,bin_to,count\n,0,0\n0,9007199254740993,2\n9007199254740993,9007199254740994,1\n9007199254740994,,2\n"
        );
    }
    assert!(bins("i", "9007199254740992,9007199254740993").contains("\n9007199254740992,9007199254740993,1\n"));
    assert!(bins("f", "0,2,9").contains("\n0,2,2\n2,9,3\n"));
    for (metric, bins, part) in [
        ("f", "9007199254740992,9007199254740993", "as floats, which the values are"),
        ("i", "0.5,9007199254740993", "none is 9007199254740993"),
        ("i", "0:9007199254740993:2", "list the edges"),
    ] {
        let (code, message) = bad(&["histogram", &place.store, "--metric", metric, "--bins", bins]);
        assert!(code == 2 && message.contains(part), "{message}");
    }
}

#[test]
fn durations_and_deviations_that_can_not_be_are_told_plainly() {
    let place = plant();
    let gaps = |long: &str| bad(&["gaps", &place.store, "--longer-than", long]);
    let tolerance = |long: &str| bad(&[&["query", place.store.as_str()], &POWER[..], &["--tolerance", long]].concat());
    for (code, message) in [gaps("0s"), tolerance("0s")] {
        assert!(code == 2 && message.contains("'0s' lasts no time") && message.contains("above zero"), "{message}");
    }
    for (code, message) in [gaps("-5m"), tolerance("-5m")] {
        assert!(code == 2 && message.contains("'-5m' is not a duration"), "{message}");
    }
    for sigma in ["abc", "0", "-1", "nan", "inf"] {
        let (code, message) = bad(&["outliers", &place.store, "--metric", "power", "--sigma", sigma]);
        assert!(code == 2 && message.contains("above zero is wanted, as 4 or 2.5"), "{message}");
    }
}

#[test]
fn files_that_are_not_there_and_stores_that_are_held_are_told_once() {
    let place = plant();
    let (code, message) =
        bad(&["import", "samples", &place.store, "nofile.csv", "--device", "device", "--time", "time"]);
    assert_eq!((code, message.as_str()), (1, "fleetlog: not found: there is no such file (file nofile.csv)\n"));
    let options = fleetlog::Options { create: false, ..fleetlog::Options::default() };
    let held = fleetlog::Store::open(&place.store, options).unwrap();
    let (code, message) = bad(&["compact", &place.store]);
    assert!(code == 5 && message.contains("held by another writer: its folder is locked"), "{message}");
    assert_eq!(message.matches("another writer").count(), 1, "{message}");
    held.close().unwrap();
}

#[test]
fn tiers_are_counted_apart() {
    let place = plant();
    let tiers = || {
        let info: serde_json::Value = serde_json::from_str(&good(&["info", &place.store, "--format", "json"])).unwrap();
        let number = |tier: &str, what: &str| info["tiers"][tier][what].as_u64().unwrap();
        assert_eq!(number("fast", "segments") + number("cold", "segments"), info["segments"].as_u64().unwrap());
        ["fast", "cold"].map(|tier| (number(tier, "segments"), number(tier, "bytes") > 0))
    };
    let [fast, cold] = tiers();
    assert!(fast.0 > 0 && fast.1 && cold == (0, false), "{fast:?} {cold:?}");
    good(&["compact", &place.store, "--cold"]);
    assert_eq!(tiers(), [(0, false), (1, true)]);
    let table = rows(&good(&["info", &place.store]));
    let value = |what: &str| table.iter().find(|row| row["what"] == what).unwrap()["value"].clone();
    assert_eq!((value("segments_fast"), value("segments_cold")), ("0".to_owned(), "1".to_owned()));
}

#[test]
fn a_column_of_booleans_and_numbers_is_told_of() {
    let place = Place::new();
    let csv =
        "device,time,door,lamp,level\na,2025-01-01,true,true,1\na,2025-01-02,1,FALSE,2\na,2025-01-03,0,true,2.5\n";
    let told = import(&place, "mixed.csv", csv);
    assert_eq!(told, "numbers, where true is 1 and false 0, because some of the values are numbers: door\n");
    let (latest, _) = asked(&place, "latest", &["--metric", "door,lamp"]);
    assert!(
        latest.contains("a,door,2025-01-03T00:00:00Z,0,") && latest.contains("a,lamp,2025-01-03T00:00:00Z,true,"),
        "{latest}"
    );
}

#[test]
fn a_percentile_is_named_by_its_number() {
    let place = plant();
    let (answer, _) = asked(&place, "query", &["--metric", "power", "--aggregate", "p05,p5.0,p50,p99.9"]);
    assert_eq!(answer, "power_p5,power_p50,power_p99.9\n1,5,9\n");
    assert!(good(&["query", "--help"]).contains("so that p05 and p5.0 are p5"));
}
