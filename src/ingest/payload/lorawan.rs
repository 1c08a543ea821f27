//! Uplinks of LoRaWAN as network servers publish them: ChirpStack (version 4) and The Things Stack (version 3).
//!
//! Guarantees: the device is its EUI in small letters, the sequence its frame counter, the time that of the server; what the server decoded has
//! the names that its decoder gave (`inner.outer` for objects in objects), and the raw payload, its port and the radio's settings stand beside as
//! `payload`, `port`, `frequency_hz`, `spreading_factor`, `bandwidth_hz`. Each reception by a gateway is an observation of the link `device@gateway`, with
//! `rssi_dbm` and `snr_db`. Anything else that a server publishes on the same topics (joins, acknowledgements) is refused by its kind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::document::{Document, Node, Scalar};
use super::flatten::add_plain;
use super::observation::{Observations, SentTime};
use super::{Decoded, Refusal, instant};

/// A network server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkServer {
    /// ChirpStack, version 4: its event `up` as JSON.
    ChirpStack,
    /// The Things Stack, version 3: its uplink messages.
    TheThingsStack,
}

/// Where a server keeps what an uplink says.
struct Paths {
    eui: &'static [&'static str],
    time: &'static [&'static str],
    counter: &'static [&'static str],
    port: &'static [&'static str],
    payload: &'static [&'static str],
    decoded: &'static [&'static str],
    receptions: &'static [&'static str],
    gateway: &'static [&'static str],
    frequency_hz: &'static [&'static str],
    spreading_factor: &'static [&'static str],
    bandwidth_hz: &'static [&'static str],
}

const CHIRPSTACK: Paths = Paths {
    eui: &["deviceInfo", "devEui"],
    time: &["time"],
    counter: &["fCnt"],
    port: &["fPort"],
    payload: &["data"],
    decoded: &["object"],
    receptions: &["rxInfo"],
    gateway: &["gatewayId"],
    frequency_hz: &["txInfo", "frequency"],
    spreading_factor: &["txInfo", "modulation", "lora", "spreadingFactor"],
    bandwidth_hz: &["txInfo", "modulation", "lora", "bandwidth"],
};

const THE_THINGS_STACK: Paths = Paths {
    eui: &["end_device_ids", "dev_eui"],
    time: &["uplink_message", "received_at"],
    counter: &["uplink_message", "f_cnt"],
    port: &["uplink_message", "f_port"],
    payload: &["uplink_message", "frm_payload"],
    decoded: &["uplink_message", "decoded_payload"],
    receptions: &["uplink_message", "rx_metadata"],
    gateway: &["gateway_ids", "gateway_id"],
    frequency_hz: &["uplink_message", "settings", "frequency"],
    spreading_factor: &["uplink_message", "settings", "data_rate", "lora", "spreading_factor"],
    bandwidth_hz: &["uplink_message", "settings", "data_rate", "lora", "bandwidth"],
};

/// Makes observations of an uplink, in place of those before: one of the device, and one of each link.
///
/// # Errors
/// A [`Refusal`] of what is no uplink.
pub fn observe_uplink(document: &Document, server: NetworkServer, observations: &mut Observations) -> Decoded<()> {
    observations.clear();
    let paths = match server {
        NetworkServer::ChirpStack => &CHIRPSTACK,
        NetworkServer::TheThingsStack => &THE_THINGS_STACK,
    };
    let root = document.root().filter(|root| root.is_object());
    let root = root.ok_or_else(|| Refusal::malformed("an uplink is an object"))?;
    let eui = at(root, paths.eui).and_then(Node::text).filter(|eui| !eui.is_empty());
    let eui = eui.ok_or_else(|| missing(paths.eui))?.to_ascii_lowercase();
    // Joins and acknowledgements have no port and no payload.
    let is_uplink = [paths.payload, paths.port, paths.receptions].iter().any(|path| at(root, path).is_some());
    if !is_uplink {
        return Err(missing(paths.payload));
    }
    let time = match at(root, paths.time).and_then(Node::text) {
        Some(text) => SentTime::Instant(instant(text)?),
        None => SentTime::Absent,
    };
    // A server leaves out a counter of 0, as it leaves out any zero.
    let counter = match at(root, paths.counter).and_then(Node::scalar) {
        None => 0,
        Some(Scalar::Integer(counter @ 0..)) => counter as u64,
        Some(_) => return Err(Refusal::malformed(format!("{} is no frame counter", paths.counter.join(".")))),
    };
    observations.begin()?;
    observations.set_device(&eui)?;
    observations.set_time(time);
    observations.set_sequence(None, Some(counter));
    uplink(root, paths, observations)?;
    for reception in at(root, paths.receptions).into_iter().flat_map(Node::members) {
        let Some(gateway) = at(reception, paths.gateway).and_then(Node::text).filter(|gateway| !gateway.is_empty())
        else {
            return Err(missing(paths.gateway));
        };
        observations.begin()?;
        observations.set_device(&eui)?;
        observations.set_gateway(gateway)?;
        observations.set_time(time);
        observations.set_sequence(None, Some(counter));
        for (name, member) in [("rssi_dbm", "rssi"), ("snr_db", "snr")] {
            if let Some(value) = reception.member(member).and_then(Node::scalar) {
                observations.add(name, value)?;
            }
        }
    }
    Ok(())
}

/// Adds what the device sent, and how.
fn uplink(root: Node<'_>, paths: &Paths, observations: &mut Observations) -> Decoded<()> {
    if let Some(decoded) = at(root, paths.decoded) {
        add_plain(decoded, observations)?;
    }
    if let Some(text) = at(root, paths.payload).and_then(Node::text) {
        let wrong = |error| Refusal::malformed(format!("{}: {error}", paths.payload.join(".")));
        observations.add("payload", Scalar::Bytes(&STANDARD.decode(text).map_err(wrong)?))?;
    }
    let numbers = [
        ("port", paths.port),
        ("frequency_hz", paths.frequency_hz),
        ("spreading_factor", paths.spreading_factor),
        ("bandwidth_hz", paths.bandwidth_hz),
    ];
    for (name, path) in numbers {
        let value = match at(root, path).and_then(Node::scalar) {
            // The Things Stack writes integers of 64 bits as texts.
            Some(Scalar::Text(text)) => text.parse().ok().map(Scalar::Integer),
            value => value,
        };
        if let Some(value) = value {
            observations.add(name, value)?;
        }
    }
    Ok(())
}

fn at<'d>(node: Node<'d>, path: &[&str]) -> Option<Node<'d>> {
    path.iter().try_fold(node, |node, name| node.member(name))
}

fn missing(path: &[&str]) -> Refusal {
    Refusal::malformed(format!("no uplink: it has no {}", path.join(".")))
}

#[cfg(test)]
mod tests {
    use super::super::read_json;
    use super::*;

    fn observed(payload: &str, server: NetworkServer) -> Decoded<Observations> {
        let (mut document, mut observations) = (Document::new(), Observations::new());
        read_json(payload.as_bytes(), &mut document)?;
        observe_uplink(&document, server, &mut observations).map(|()| observations)
    }

    /// In the shapes of the servers' own documentation.
    const UP: &str = r#"{"deduplicationId":"3ac7e3c4-4401-4b8d-9386-a5c902f9202d","time":"2022-07-18T09:33:28.823500726+00:00",
        "deviceInfo":{"tenantId":"52f14cd4-c6f1-4fbd-8f87-4025e1d49242","applicationName":"app","deviceName":"dev","devEui":"01010101AB010101","tags":{"key":"value"}},
        "devAddr":"00189440","dr":1,"fCnt":4,"fPort":1,"data":"qg==","object":{"temperature":21.5,"probe":{"ok":true}},
        "rxInfo":[{"gatewayId":"0016c001f153a14c","rssi":-48,"snr":9.5,"location":{}},{"gatewayId":"0016c001f153a14d","rssi":-110}],
        "txInfo":{"frequency":868100000,"modulation":{"lora":{"bandwidth":125000,"spreadingFactor":11,"codeRate":"CR_4_5"}}}}"#;
    const UPLINK: &str = r#"{"end_device_ids":{"device_id":"dev1","application_ids":{"application_id":"app1"},"dev_eui":"0004A30B001C0530","dev_addr":"00BCB929"},
        "received_at":"2020-02-12T15:15:46.0Z","uplink_message":{"f_port":1,"frm_payload":"gkHe","decoded_payload":{"temperature":1.0,"level":-3},
        "rx_metadata":[{"gateway_ids":{"gateway_id":"gtw1","eui":"9C5C8E00001A05C4"},"time":"2020-02-12T15:15:45.787Z","rssi":-35,"snr":5}],
        "settings":{"data_rate":{"lora":{"bandwidth":125000,"spreading_factor":7}},"frequency":"868300000"},"received_at":"2020-02-12T15:15:45.787Z"}}"#;

    #[test]
    fn uplinks_of_both_servers() {
        let all = observed(UP, NetworkServer::ChirpStack).unwrap();
        let [device, near, far] = all.iter().collect::<Vec<_>>()[..] else { panic!("three observations") };
        let time = SentTime::Instant(1_658_136_808_823_500_726);
        assert_eq!((device.device(), device.gateway(), device.time()), (Some("01010101ab010101"), None, time));
        assert_eq!(device.sequence(), (None, Some(4)));
        let expected = [
            ("temperature", Scalar::Float(21.5)),
            ("probe.ok", Scalar::Boolean(true)),
            ("payload", Scalar::Bytes(&[0xaa])),
            ("port", Scalar::Integer(1)),
            ("frequency_hz", Scalar::Integer(868_100_000)),
            ("spreading_factor", Scalar::Integer(11)),
            ("bandwidth_hz", Scalar::Integer(125_000)),
        ];
        assert_eq!(device.fields().collect::<Vec<_>>(), expected);
        assert_eq!((near.device(), near.gateway()), (Some("01010101ab010101"), Some("0016c001f153a14c")));
        let radio = [("rssi_dbm", Scalar::Integer(-48)), ("snr_db", Scalar::Float(9.5))];
        assert_eq!((near.fields().collect::<Vec<_>>(), near.sequence()), (radio.to_vec(), (None, Some(4))));
        assert_eq!(far.fields().collect::<Vec<_>>(), [("rssi_dbm", Scalar::Integer(-110))]);

        let all = observed(UPLINK, NetworkServer::TheThingsStack).unwrap();
        let [device, link] = all.iter().collect::<Vec<_>>()[..] else { panic!("two observations") };
        assert_eq!(
            (device.device(), device.time()),
            (Some("0004a30b001c0530"), SentTime::Instant(1_581_520_545_787_000_000))
        );
        // The first frame's counter is 0, and left out.
        assert_eq!((device.sequence(), device.field("level")), ((None, Some(0)), Some(Scalar::Integer(-3))));
        assert_eq!(device.field("frequency_hz"), Some(Scalar::Integer(868_300_000)));
        assert_eq!(device.field("payload"), Some(Scalar::Bytes(&[0x82, 0x41, 0xde])));
        assert_eq!((link.gateway(), link.field("snr_db")), (Some("gtw1"), Some(Scalar::Integer(5))));
    }

    #[test]
    fn what_is_no_uplink_is_refused() {
        let join = r#"{"time":"2022-07-18T09:33:28Z","deviceInfo":{"devEui":"0101010101010101"},"devAddr":"00189440"}"#;
        for (payload, reason) in [
            (join, "it has no data"),
            (r#"{"fPort":1,"data":""}"#, "no deviceInfo.devEui"),
            ("[]", "is an object"),
            (&UP.replace("qg==", "q*"), "data:"),
            (&UP.replace("\"fCnt\":4", "\"fCnt\":-4"), "frame counter"),
            (&UP.replace("2022-07-18T09", "2022-07-38T09"), "time"),
            (&UP.replace("\"gatewayId\":\"0016c001f153a14d\",", ""), "no gatewayId"),
        ] {
            let refusal = observed(payload, NetworkServer::ChirpStack).unwrap_err();
            assert!(refusal.reason.contains(reason), "{payload}: {refusal:?}");
        }
    }
}
