//! The small files beside the samples: devices, attribute history, events, log lines, truth.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde::Serialize;

use crate::events::EVENT_LABELS;
use crate::fleet::{Fleet, time_text};
use crate::truth::Truth;

use super::WriteError;

/// One row a device: its attributes at the start.
pub(super) fn write_devices(fleet: &Fleet, file: BufWriter<File>) -> Result<(), WriteError> {
    let mut writer = csv::Writer::from_writer(file);
    for (number, device) in fleet.devices().enumerate() {
        let attributes = device.attributes();
        if number == 0 {
            writer.write_record(std::iter::once("device").chain(attributes.iter().map(|(name, _)| *name)))?;
        }
        writer.write_record(std::iter::once(device.id()).chain(attributes.iter().map(|(_, text)| text.as_str())))?;
    }
    flushed(writer)
}

/// One row a change of an attribute, by device and time; returns how many.
pub(super) fn write_attributes(fleet: &Fleet, file: BufWriter<File>) -> Result<u64, WriteError> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["device", "time", "attribute", "value"])?;
    let mut rows = 0;
    for device in fleet.devices() {
        for change in device.attribute_changes() {
            writer.write_record([device.id(), &time_text(change.time_ms), change.attribute, &change.value])?;
            rows += 1;
        }
    }
    flushed(writer).map(|()| rows)
}

/// One row an event, by device and time; returns how many.
pub(super) fn write_events(fleet: &Fleet, file: BufWriter<File>) -> Result<u64, WriteError> {
    let mut writer = csv::Writer::from_writer(file);
    writer.write_record(["device", "time", "kind"].into_iter().chain(EVENT_LABELS))?;
    let mut rows = 0;
    for device in fleet.devices() {
        for event in device.events() {
            let label = |name: &str| {
                event.labels.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text.as_str())
            };
            let time = time_text(event.time_ms);
            let fields = [device.id(), &time, event.kind.as_str()].into_iter().chain(EVENT_LABELS.map(label));
            writer.write_record(fields)?;
            rows += 1;
        }
    }
    flushed(writer).map(|()| rows)
}

fn flushed(mut writer: csv::Writer<BufWriter<File>>) -> Result<(), WriteError> {
    writer.flush().map_err(|error| WriteError::Csv(error.into()))
}

#[derive(Serialize)]
struct JsonLine<'a> {
    device: &'a str,
    time: String,
    severity: &'a str,
    source: &'a str,
    message: &'a str,
}

/// One JSON object a log line, by device and time; returns how many.
pub(super) fn write_logs(fleet: &Fleet, mut file: BufWriter<File>) -> Result<u64, WriteError> {
    let failed = |error: std::io::Error| WriteError::Json(serde_json::Error::io(error));
    let mut rows = 0;
    for device in fleet.devices() {
        for line in device.log_lines() {
            let json = JsonLine {
                device: device.id(),
                time: time_text(line.time_ms),
                severity: line.severity,
                source: line.source,
                message: &line.message,
            };
            serde_json::to_writer(&mut file, &json)?;
            file.write_all(b"\n").map_err(failed)?;
            rows += 1;
        }
    }
    file.flush().map_err(failed)?;
    Ok(rows)
}

/// The truth as one JSON object.
pub(super) fn write_truth(truth: &Truth, mut file: BufWriter<File>) -> Result<(), WriteError> {
    serde_json::to_writer_pretty(&mut file, truth)?;
    file.write_all(b"\n").and_then(|()| file.flush()).map_err(|error| WriteError::Json(serde_json::Error::io(error)))
}
