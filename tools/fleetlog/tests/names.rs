//! Names of columns: which of them can be a metric or an attribute, and that no answer has two of one name.

mod common;

use common::{Place, bad, good, rows, run};

fn import(place: &Place, kind: &str, file: &str, words: &[&str]) -> (Option<i32>, String) {
    let output = run(&[&["import", kind, place.store.as_str(), file], words].concat());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_column_that_would_hide_another_is_renamed_or_refused() {
    let place = Place::new();
    let file = place.file("odd.csv", "id,at,time,device,v\na,2025-01-01,17,tank,1.5\n");
    let options = ["--device", "id", "--time", "at"];
    for (more, advice) in [
        (&["--rename", "device=tank"][..], "--rename time=clock"),
        (&["--rename", "time=clock"], "--rename device=device_name"),
        (&["--metrics", "v,time"], "--rename time=clock"),
    ] {
        let (code, message) = import(&place, "samples", &file, &[&options[..], more].concat());
        assert_eq!(code, Some(1), "{message}");
        assert!(message.contains(advice) && message.contains("odd.csv") && message.lines().count() == 1, "{message}");
    }
    for (more, part) in [("v=time", "'time'"), ("v=device", "'device'")] {
        let (code, message) = import(&place, "samples", &file, &[&options[..], &["--rename", more]].concat());
        assert!(code == Some(2) && message.contains(part), "{message}");
    }
    let info: serde_json::Value = serde_json::from_str(&good(&["info", &place.store, "--format", "json"])).unwrap();
    assert_eq!((info["metrics"].as_u64(), info["samples"].as_u64()), (Some(0), Some(0)), "{info}");

    let renamed = [&options[..], &["--rename", "time=clock,device=tank"]].concat();
    assert_eq!(import(&place, "samples", &file, &renamed).0, Some(0));
    let expected = "device,time,clock,tank,v\na,2025-01-01T00:00:00Z,17,tank,1.5\n";
    assert_eq!(good(&["samples", &place.store, "--device", "a"]), expected);

    // Where fields appear with records, the records that have it are refused, and kept.
    let lines = place.file(
        "odd.jsonl",
        "{\"id\":\"b\",\"at\":\"2025-01-01\",\"v\":1}\n{\"id\":\"b\",\"at\":\"2025-01-02\",\"time\":5}\n",
    );
    assert_eq!(import(&place, "samples", &lines, &options).0, Some(4));
    let kept = rows(&good(&["rejections", &place.store]));
    assert!(kept.len() == 1 && kept[0]["reason"].contains("--rename time=clock"), "{kept:?}");
    assert_eq!(good(&["samples", &place.store, "--device", "b"]).lines().count(), 2);
}

#[test]
fn an_attribute_that_would_hide_a_column_is_renamed_or_refused() {
    let place = Place::new();
    let samples = place.file("s.csv", "d,t,v\na,2025-01-01,1\na,2025-01-02,3\n");
    assert_eq!(import(&place, "samples", &samples, &["--device", "d", "--time", "t"]).0, Some(0));
    let devices = place.file("devices.csv", "id,window,site\na,south,7\n");
    let (code, message) = import(&place, "devices", &devices, &["--device", "id"]);
    assert!(code == Some(1) && message.contains("--attribute window=window_name"), "{message}");
    for name in ["device", "time", "window"] {
        let attribute = format!("{name}=x");
        let words =
            ["attribute", "set", &place.store, "--device", "a", "--attribute", &attribute, "--from", "2025-01-01"];
        let (code, message) = bad(&words);
        assert!(code == 2 && message.contains(&format!("'{name}'")) && message.lines().count() == 1, "{message}");
        let wanted = format!("site={name}");
        assert_eq!(import(&place, "devices", &devices, &["--device", "id", "--attribute", &wanted]).0, Some(2));
    }
    let wanted = ["--device", "id", "--attribute", "site,window=side"];
    assert_eq!(import(&place, "devices", &devices, &wanted).0, Some(0));
    let words = ["query", &place.store, "--metric", "v", "--aggregate", "mean", "--by", "side,site", "--every", "1d"];
    assert_eq!(
        good(&words),
        "side,site,window,v_mean\nsouth,7,2025-01-01T00:00:00Z,1\nsouth,7,2025-01-02T00:00:00Z,3\n"
    );
}

#[test]
fn links_are_grouped_by_device_and_by_gateway() {
    let place = Place::new();
    let file = place.file("up.csv", "dev,gw,t,snr\na,g1,2025-01-01,4\na,g2,2025-01-01,6\nb,g1,2025-01-01,9\n");
    let options = ["--device", "dev", "--link-to", "gw", "--time", "t"];
    assert_eq!(import(&place, "samples", &file, &options).0, Some(0));
    for (link, gateway) in [("a@g1", "gateway=g1"), ("a@g2", "gateway=g2"), ("b@g1", "gateway=g1")] {
        good(&["attribute", "set", &place.store, "--device", link, "--attribute", gateway, "--from", "2025-01-01"]);
    }
    let by = |by: &str| good(&["query", &place.store, "--metric", "snr", "--aggregate", "mean", "--by", by]);
    assert_eq!(by("device"), "device,snr_mean\na@g1,4\na@g2,6\nb@g1,9\n");
    assert_eq!(by("gateway"), "gateway,snr_mean\ng1,6.5\ng2,6\n");
}

#[test]
fn no_object_of_json_has_a_key_twice() {
    let place = Place::new();
    let file = place.file("s.csv", "d,t,volt\na,2025-01-01,2\na,2025-01-02,4\n");
    assert_eq!(import(&place, "samples", &file, &["--device", "d", "--time", "t"]).0, Some(0));
    good(&["attribute", "set", &place.store, "--device", "a", "--attribute", "model=X", "--from", "2025-01-01"]);
    let words = ["--metric", "volt,volt,\"volt\"", "--aggregate", "p50,p50.0,mean", "--by", "model,model"];
    let words = [&["query", place.store.as_str()], &words[..]].concat();
    assert_eq!(good(&words), "model,volt_p50,volt_mean\nX,3,3\n");
    let json = good(&[&words[..], &["--format", "json"]].concat());
    for key in ["\"model\":", "\"volt_p50\":", "\"volt_mean\":"] {
        assert_eq!(json.matches(key).count(), 1, "{json}");
    }
    let latest = good(&["latest", &place.store, "--metric", "volt,volt"]);
    assert_eq!(latest.lines().count(), 2, "{latest}");
}
