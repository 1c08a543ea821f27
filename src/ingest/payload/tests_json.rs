//! JSON payloads: what is taken out of them, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn observed(payload: &str) -> Decoded<Vec<Vec<(String, String)>>> {
    let (mut document, mut observations) = (Document::new(), Observations::new());
    read_json(payload.as_bytes(), &mut document)?;
    observe(&document, &mut observations)?;
    let shown = |record: Observation<'_>| {
        record.fields().map(|(name, value)| (name.to_owned(), format!("{value:?}"))).collect::<Vec<_>>()
    };
    Ok(observations.iter().map(shown).collect())
}

fn record(fields: &[(&str, Scalar<'_>)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), format!("{value:?}"))).collect()
}

#[test]
fn one_reading_and_nested_members() {
    let payload = "\u{feff}{\"dev\":\"p-1\",\"t\":{\"ms\":7,\"ok\":true},\"v\":[1.5,null,[2]],\"e\":{},\"x\":[]}\n";
    let expected = record(&[
        ("dev", Scalar::Text("p-1")),
        ("t.ms", Scalar::Integer(7)),
        ("t.ok", Scalar::Boolean(true)),
        ("v.0", Scalar::Float(1.5)),
        ("v.1", Scalar::Null),
        ("v.2.0", Scalar::Integer(2)),
    ]);
    assert_eq!(observed(payload).unwrap(), [expected]);
}

#[test]
fn each_object_of_a_list_is_a_record_with_what_stands_around_it() {
    let payload =
        r#"{"readings":[{"at":1,"w":2.5},{"at":2,"phases":[{"n":1,"a":3},{"n":2,"a":4}]}],"gateway":{"id":"g"}}"#;
    let gateway = ("gateway.id", Scalar::Text("g"));
    let phase = |n, a| {
        let of_phase = [("readings.phases.n", Scalar::Integer(n)), ("readings.phases.a", Scalar::Integer(a))];
        record(&[gateway, ("readings.at", Scalar::Integer(2)), of_phase[0], of_phase[1]])
    };
    let first = record(&[gateway, ("readings.at", Scalar::Integer(1)), ("readings.w", Scalar::Float(2.5))]);
    assert_eq!(observed(payload).unwrap(), [first, phase(1, 3), phase(2, 4)]);
    let expected = [record(&[("a", Scalar::Integer(1))]), record(&[("b", Scalar::Integer(2))])];
    assert_eq!(observed(r#"[{"a":1},{"b":2}]"#).unwrap(), expected);
    assert_eq!(observed("[]").unwrap(), Vec::<Vec<_>>::new());
}

#[test]
fn numbers_are_what_was_written_or_refused() {
    let values = |text: &str| observed(&format!("{{\"v\":{text}}}")).map(|records| records[0][0].1.clone());
    assert_eq!(values("-9223372036854775808"), Ok("Integer(-9223372036854775808)".to_owned()));
    assert_eq!(values("9223372036854775808"), Ok("Float(9.223372036854776e18)".to_owned()));
    assert_eq!(values("-0.0"), Ok("Float(-0.0)".to_owned()));
    assert_eq!(values("0.1"), Ok("Float(0.1)".to_owned()));
    for text in ["1e999", "-1e400", "1e-400"] {
        assert_eq!(values(text).unwrap_err().kind, RefusalKind::OutOfRange, "{text}");
    }
    for text in ["NaN", "01", "+1", "1.", ".5", "0x1"] {
        assert_eq!(values(text).unwrap_err().kind, RefusalKind::Malformed, "{text}");
    }
}

#[test]
fn what_is_no_payload_is_refused_with_its_reason() {
    let malformed = [
        ("", "EOF"),
        ("{\"a\":1", "EOF"),
        ("{\"a\":1}x", "trailing"),
        ("7", "neither an object nor a list"),
        ("[1]", "neither an object nor a list"),
        ("{\"a\":1,\"a\":2}", "two members are named 'a'"),
        ("{\"l\":[{\"a\":1},2]}", "list 'l' holds objects and other values"),
        ("{\"a\":\"\\ud800\"}", "not JSON"),
    ];
    for (payload, reason) in malformed {
        let refusal = observed(payload).unwrap_err();
        assert!(refusal.kind == RefusalKind::Malformed && refusal.reason.contains(reason), "{payload}: {refusal:?}");
    }
    let many = format!("{{{}}}", (0..20).map(|n| format!("\"m{}\":1", n % 19)).collect::<Vec<_>>().join(","));
    assert!(observed(&many).unwrap_err().reason.contains("two members are named 'm0'"));
    let mut document = Document::new();
    assert_eq!(read_json(b"{\"a\":\"\xFF\"}", &mut document).unwrap_err().kind, RefusalKind::Malformed);
}

#[test]
fn limits_hold() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    assert!(observed(&json!({ "a": long, &long: 1 }).to_string()).is_ok());
    let deep = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
    assert!(observed(&deep(16)).is_ok());
    let records = |count: usize| format!("[{}]", vec!["{\"a\":1}"; count].join(","));
    assert_eq!(observed(&records(RECORDS_MAX)).unwrap().len(), RECORDS_MAX);
    // Each of many records would repeat what stands around them.
    let around = json!({ "a": vec![long.clone(); 100], "r": vec![json!({ "b": 1 }); 1_000] }).to_string();
    let too_large = [
        json!({ "a": long.clone() + "x" }).to_string(),
        json!({ long + "x": 1 }).to_string(),
        deep(17),
        "[".repeat(100_000),
        records(RECORDS_MAX + 1),
        around,
        format!("[{}1]", "1,".repeat(NODES_MAX - 1)),
        format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX)),
    ];
    for payload in too_large {
        assert_eq!(observed(&payload).unwrap_err().kind, RefusalKind::TooLarge, "{}", &payload[..40]);
    }
}

/// The same rules written over serde's own tree: an object without lists of objects.
fn plain(path: &str, value: &Value, out: &mut Vec<(String, String)>) {
    let joined = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| plain(&joined(name), value, out)),
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(place, value)| plain(&joined(&place.to_string()), value, out));
        }
        Value::Null => out.push((path.to_owned(), format!("{:?}", Scalar::Null))),
        Value::Bool(value) => out.push((path.to_owned(), format!("{:?}", Scalar::Boolean(*value)))),
        Value::Number(number) => {
            let value = number.as_i64().map_or(Scalar::Float(number.as_f64().unwrap()), Scalar::Integer);
            out.push((path.to_owned(), format!("{value:?}")));
        }
        Value::String(text) => out.push((path.to_owned(), format!("{:?}", Scalar::Text(text)))),
    }
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()).prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    let name = "[a-z\"\\\\é]{1,4}";
    let member = leaf.prop_recursive(4, 40, 5, move |inner| {
        let plain = prop::collection::vec(inner.clone().prop_filter("no records", |value| !value.is_object()), 0..4);
        prop_oneof![
            plain.prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4).prop_map(|map| json!(map))
        ]
    });
    prop::collection::btree_map("[a-z]{1,4}", member, 0..5).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn an_object_is_flattened_as_the_rules_say(tree in tree()) {
        let mut expected = Vec::new();
        plain("", &tree, &mut expected);
        let records = observed(&tree.to_string()).unwrap();
        prop_assert_eq!(records, vec![expected]);
    }

    #[test]
    fn any_bytes_are_taken_or_refused(
        bytes in prop::collection::vec(prop::sample::select(b"{}[]\":,1e.-\\untrfals\xFF\xC3".to_vec()), 0..200),
    ) {
        let (mut document, mut observations) = (Document::new(), Observations::new());
        let _ = read_json(&bytes, &mut document).and_then(|()| observe(&document, &mut observations));
    }
}
