//! SenML: the examples of RFC 8428 in both representations, and what is no pack.

use super::super::{read_cbor, read_json};
use super::*;

/// Device, time, and the fields with their units.
fn shown(observations: &Observations) -> Vec<String> {
    let record = |record: super::super::Observation<'_>| {
        let fields = record.fields().zip(record.units());
        let fields: Vec<String> = fields
            .map(|((name, value), unit)| {
                format!("{name}={value:?}{}", unit.map_or(String::new(), |unit| format!(" {unit}")))
            })
            .collect();
        format!("{} {:?} {}", record.device().unwrap_or("-"), record.time(), fields.join(", "))
    };
    observations.iter().map(record).collect()
}

fn observed(pack: &str) -> Decoded<Vec<String>> {
    let (mut document, mut observations) = (Document::new(), Observations::new());
    read_json(pack.as_bytes(), &mut document)?;
    observe_senml(&document, SenmlLabels::Words, &mut observations)?;
    let of_json = shown(&observations);
    // The same pack in CBOR, by its labels.
    let mut bytes = Vec::new();
    encode(document.root().unwrap(), &mut bytes);
    read_cbor(&bytes, &mut document).unwrap();
    observe_senml(&document, SenmlLabels::Numbers, &mut observations)?;
    assert_eq!(shown(&observations), of_json);
    Ok(of_json)
}

/// CBOR of a pack: labels as numbers, data as bytes, all else as it is.
fn encode(node: Node<'_>, out: &mut Vec<u8>) {
    let head = |major: u8, number: u64, out: &mut Vec<u8>| {
        out.push(major << 5 | 27);
        out.extend_from_slice(&number.to_be_bytes());
    };
    let text = |text: &str, out: &mut Vec<u8>| {
        head(3, text.len() as u64, out);
        out.extend_from_slice(text.as_bytes());
    };
    match node.scalar() {
        None => {
            head(if node.is_list() { 4 } else { 5 }, node.members().count() as u64, out);
            for member in node.members() {
                if node.is_object() {
                    match LABELS.iter().find(|(word, ..)| *word == member.name()) {
                        Some((_, number, _)) => {
                            let number: i64 = number.parse().unwrap();
                            if number < 0 { head(1, (-1 - number) as u64, out) } else { head(0, number as u64, out) }
                        }
                        None => text(member.name(), out),
                    }
                }
                match member.text().filter(|_| member.name() == "vd") {
                    Some(encoded) => {
                        let data = BASE64.decode(encoded).unwrap();
                        head(2, data.len() as u64, out);
                        out.extend_from_slice(&data);
                    }
                    None => encode(member, out),
                }
            }
        }
        Some(Scalar::Text(value)) => text(value, out),
        Some(Scalar::Boolean(value)) => out.push(0xf4 + u8::from(value)),
        Some(Scalar::Integer(value)) if value < 0 => head(1, (-1 - value) as u64, out),
        Some(Scalar::Integer(value)) => head(0, value as u64, out),
        Some(Scalar::Float(value)) => {
            out.push(0xfb);
            out.extend_from_slice(&value.to_be_bytes());
        }
        _ => out.push(0xf6),
    }
}

#[test]
fn the_examples_of_the_rfc() {
    // 5.1.1 to 5.1.7 and 6: packs, and their resolved records as the RFC gives them.
    let device = "urn:dev:ow:10e2073a01080063";
    let examples: [(&str, Vec<String>); 8] = [
        (
            r#"[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]"#,
            vec![format!("- Absent {device}=Float(23.1) Cel")],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]"#,
            vec![format!("{device} Absent voltage=Float(120.1) V, current=Float(1.2) A")],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
                {"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.30},{"n":"current","v":1.7}]"#,
            vec![
                "urn:dev:ow:10e2073a0108006 Instant(1276020076001000000) voltage=Float(120.1) V".to_owned(),
                "urn:dev:ow:10e2073a0108006 Instant(1276020071001000000) current=Float(1.2) A".to_owned(),
                "urn:dev:ow:10e2073a0108006 Instant(1276020072001000000) current=Float(1.3) A".to_owned(),
                "urn:dev:ow:10e2073a0108006 Instant(1276020076001000000) current=Float(1.7) A".to_owned(),
            ],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},{"u":"lon","v":24.30621},
                {"u":"lat","v":60.07965},{"t":60,"v":20.3},{"u":"%EL","t":150,"v":98}]"#,
            vec![
                format!(
                    "{device} Instant(1320067464000000000) =Integer(20) %RH, =Float(24.30621) lon, =Float(60.07965) lat"
                ),
                format!("{device} Instant(1320067524000000000) =Float(20.3) %RH"),
                format!("{device} Instant(1320067614000000000) =Integer(98) %EL"),
            ],
        ),
        (
            r#"[{"bn":"2001:db8::2/","bt":1.320078429e+09,"n":"temperature","u":"Cel","v":25.2},{"n":"humidity","u":"%RH","v":30},
                {"bn":"2001:db8::1/","n":"temperature","u":"Cel","v":12.3},{"n":"humidity","u":"%RH","v":67}]"#,
            vec![
                "2001:db8::2 Instant(1320078429000000000) temperature=Float(25.2) Cel, humidity=Integer(30) %RH"
                    .to_owned(),
                "2001:db8::1 Instant(1320078429000000000) temperature=Float(12.3) Cel, humidity=Integer(67) %RH"
                    .to_owned(),
            ],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},{"n":"label","vs":"Machine Room"},
                {"n":"open","vb":false},{"n":"nfc-reader","vd":"aGkgCg"}]"#,
            vec![format!(
                "{device} Absent temp=Float(23.1) Cel, label=Text(\"Machine Room\"), open=Boolean(false), nfc-reader=Bytes([104, 105, 32, 10])"
            )],
        ),
        (
            r#"[{"bn":"urn:dev:ow:10e2073a01080063:"},{"n":"temp","u":"Cel","v":23.1},{"n":"heat","u":"/","v":1},{"n":"fan","u":"/","v":0}]"#,
            vec![format!("{device} Absent temp=Float(23.1) Cel, heat=Integer(1) /, fan=Integer(0) /")],
        ),
        (
            r#"[{"bt":1.320078429e+09,"bu":"/","n":"2001:db8::3","v":0.5},{"n":"2001:db8::4","v":0.5},{"n":"2001:db8::3","t":0.1,"v":0}]"#,
            vec![
                "- Instant(1320078429000000000) 2001:db8::3=Float(0.5) /, 2001:db8::4=Float(0.5) /".to_owned(),
                "- Instant(1320078429100000000) 2001:db8::3=Integer(0) /".to_owned(),
            ],
        ),
    ];
    for (pack, expected) in examples {
        assert_eq!(observed(pack), Ok(expected), "{pack}");
    }
}

#[test]
fn a_base_name_may_stand_for_the_name() {
    let device = "urn:dev:ow:10e2073a01080063";
    let pack = r#"[{"bn":"urn:dev:ow:10e2073a01080063","t":1276020076,"v":23.5,"u":"Cel"},{"t":1276020091,"v":23.6,"u":"Cel"}]"#;
    let expected = vec![
        format!("{device} Instant(1276020076000000000) =Float(23.5) Cel"),
        format!("{device} Instant(1276020091000000000) =Float(23.6) Cel"),
    ];
    assert_eq!(observed(pack), Ok(expected));
}

#[test]
fn bases_add_up_and_relative_times_stay_relative() {
    let pack = r#"[{"bn":"d/","bt":-10,"bv":100,"bs":0.5,"n":"a","v":1,"s":2},{"n":"b","v":0.25,"t":3},{"n":"c","t":3},
        {"n":"d","t":268435465.5},{"n":"e","t":268435466,"vs":"x","ut":60,"unknown":[1]}]"#;
    let expected = [
        "d FromReceipt(-10000000000) a=Integer(101), a.sum=Float(2.5)",
        "d FromReceipt(-7000000000) b=Float(100.25), b.sum=Float(0.5), c=Integer(100), c.sum=Float(0.5)",
        "d FromReceipt(268435455500000000) d=Integer(100), d.sum=Float(0.5)",
        "d Instant(268435456000000000) e=Text(\"x\"), e.sum=Float(0.5)",
    ];
    assert_eq!(observed(pack).unwrap(), expected);
    assert_eq!(observed(r#"[{"n":"only","s":7}]"#).unwrap(), ["- Absent only.sum=Integer(7)"]);
    assert_eq!(observed("[]").unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_no_pack_is_refused() {
    for (pack, reason) in [
        (r#"{"n":"a","v":1}"#, "list of records"),
        ("[1]", "is an object"),
        (r#"[{"n":"a"}]"#, "has no value"),
        (r#"[{"v":1}]"#, "is not a name"),
        (r#"[{"n":"_a","v":1}]"#, "is not a name"),
        (r#"[{"n":"a b","v":1}]"#, "is not a name"),
        (r#"[{"bn":"ä","n":"a","v":1}]"#, "is not a name"),
        (r#"[{"n":"a","v":1,"vs":"x"}]"#, "has 2 values"),
        (r#"[{"n":"a","v":"1"}]"#, "another type"),
        (r#"[{"n":"a","vb":1}]"#, "another type"),
        (r#"[{"n":1,"v":1}]"#, "another type"),
        (r#"[{"n":"a","vd":"*"}]"#, "'vd'"),
        (r#"[{"n":"a","v":1,"new_":2}]"#, "must be understood"),
        (r#"[{"bver":11,"n":"a","v":1}]"#, "version"),
        (r#"[{"bver":"x","n":"a","v":1}]"#, "version"),
    ] {
        let (mut document, mut observations) = (Document::new(), Observations::new());
        read_json(pack.as_bytes(), &mut document).unwrap();
        let refusal = observe_senml(&document, SenmlLabels::Words, &mut observations).unwrap_err();
        assert!(refusal.kind == RefusalKind::Malformed && refusal.reason.contains(reason), "{pack}: {refusal:?}");
    }
    for pack in [r#"[{"n":"a","v":1,"t":1e12}]"#, r#"[{"n":"a","v":1,"t":9300000000}]"#] {
        assert_eq!(observed(pack).unwrap_err().kind, RefusalKind::OutOfRange, "{pack}");
    }
}
