//! What `import` says and with which code it ends, on files and options that are odd.

mod common;

use common::{Place, bad, counts, good, rows, run};

fn import(place: &Place, words: &[&str]) -> (Option<i32>, String, String) {
    let output = run(&[&["import", words[0], place.store.as_str()], &words[1..]].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_options_are_wrong_usage_and_name_no_file() {
    let place = Place::new();
    let file = place.file("f.csv", "d,t,v\na,1,2\n");
    let times: [&[&str]; 3] = [&["--input-zone", "Mars"], &["--time-format", "%!"], &["--delimiter", "\""]];
    let kinds: [&[&str]; 3] = [
        &["samples", &file, "--device", "d", "--time", "t"],
        &["events", &file, "--device", "d", "--time", "t", "--kind", "error"],
        &["devices", &file, "--device", "d"],
    ];
    for words in kinds.iter().flat_map(|kind| times.map(|more| [kind, more].concat())) {
        let (code, _, message) = import(&place, &words);
        assert_eq!(code, Some(2), "{words:?}: {message}");
        assert!(message.lines().count() == 1 && !message.contains("f.csv"), "{words:?}: {message}");
    }
}

#[test]
fn a_repeated_hour_is_what_the_user_says() {
    let place = Place::new();
    let file = place.file("f.csv", "d,t,v\na,2024-10-27 02:30,1\n");
    let words = ["samples", &file, "--device", "d", "--time", "t", "--input-zone", "Europe/Paris"];
    assert_eq!(import(&place, &words).0, Some(4));
    for (which, instant) in [("earlier", "2024-10-27T00:30:00Z"), ("later", "2024-10-27T01:30:00Z")] {
        let words = [&words[..], &["--ambiguous-time", which]].concat();
        assert_eq!(import(&place, &words).0, Some(0));
        let found = good(&["samples", &place.store, "--device", "a"]);
        assert!(found.contains(instant), "{which}: {found}");
    }
}

#[test]
fn measurements_can_stand_in_names() {
    let place = Place::new();
    let file = place.file("f.lp", "temp value=1 1\ndisk value=2 1\n");
    let (code, ..) = import(&place, &["samples", &file, "--device-id", "x"]);
    assert_eq!(code, Some(4));
    let kept = rows(&good(&["rejections", &place.store]));
    assert!(kept[0]["reason"].contains("--measurement-in-names"), "{kept:?}");
    let (code, ..) = import(&place, &["samples", &file, "--device-id", "y", "--measurement-in-names"]);
    assert_eq!(code, Some(0));
    let found = good(&["samples", &place.store, "--device", "y"]);
    assert!(found.starts_with("device,time,disk.value,temp.value\n"), "{found}");
}

#[test]
fn a_silent_day_in_a_list_is_no_failure_and_a_failure_counts_what_came_before() {
    let place = Place::new();
    let monday = place.file("monday.csv", "d,t,v\na,2025-01-06,1\n");
    let tuesday = place.file("tuesday.csv", "d,t,v\n");
    let wednesday = place.file("wednesday.csv", "d,t,v\na,2025-01-08,1\na,2025-01-09,1\n");
    let options = ["--device", "d", "--time", "t"];
    let (code, out, message) = import(&place, &[&["samples", &monday, &tuesday, &wednesday], &options[..]].concat());
    assert_eq!((code, counts(&out)["stored"]), (Some(0), 3));
    assert_eq!(message, format!("{tuesday} holds no rows\n"));

    let place = Place::new();
    let absent = place.folder.path().join("absent.csv").to_str().unwrap().to_owned();
    let (code, out, message) = import(&place, &[&["samples", &monday, &absent, &wednesday], &options[..]].concat());
    assert_eq!((code, counts(&out)["stored"]), (Some(1), 1));
    assert!(message.lines().next().unwrap().contains("files before") && message.contains("absent.csv"), "{message}");
}

#[test]
fn refused_rows_beyond_those_kept_are_told_of() {
    let place = Place::new();
    let file = place.file("f.csv", format!("d,t,v\na,2025-01-06,1\n{}", "a,soon,1\n".repeat(10_001)));
    let (code, out, message) = import(&place, &["samples", &file, "--device", "d", "--time", "t"]);
    assert_eq!((code, counts(&out)["rejected"]), (Some(4), 10_001));
    assert!(message.contains("10001 rows were refused and are counted, 10000 of them kept"), "{message}");
}

#[test]
fn parquet_that_is_damaged_gives_one_line() {
    let place = Place::new();
    let mut content = b"PAR1".to_vec();
    content.extend([0x15; 200]);
    content.extend(200_u32.to_le_bytes());
    content.extend(b"PAR1");
    let file = place.file("f.parquet", content);
    for kind in [&["samples"][..], &["events", "--kind", "error"]] {
        let words = [&["import", kind[0], &place.store, &file, "--device", "d", "--time", "t"], &kind[1..]].concat();
        let (code, message) = bad(&words);
        assert!(code == 1 && message.lines().count() == 1 && message.contains("f.parquet"), "{message}");
    }
}

#[test]
fn metrics_that_become_texts_are_told_of() {
    let place = Place::new();
    let file = place.file("f.csv", "d;t;temp;mode\na;1;1,5;on\na;2;2,5;off\n");
    let words = ["samples", &file, "--device", "d", "--time", "t", "--delimiter", ";", "--time-unit", "s"];
    let (code, _, message) = import(&place, &[&words[..], &["--text", "mode"]].concat());
    assert_eq!(code, Some(0), "{message}");
    assert!(message.contains("text from now on") && message.contains("temp") && !message.contains("mode"), "{message}");
    // Once said is enough; and with the right mark there is nothing to say.
    let (_, _, again) = import(&place, &words);
    assert!(!again.contains("from now on"), "{again}");
    let other = Place::new();
    let (code, _, message) = import(&other, &[&words[..], &["--text", "mode", "--decimal", ","]].concat());
    assert!(code == Some(0) && !message.contains("from now on"), "{message}");
}
