//! `info`, `dump`, `rejections`.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use fleetlog::dump::{DumpRequest, dump as dump_store};
use fleetlog::store::StoreInfo;
use fleetlog::{Cell, Error, ErrorKind, SegmentId, Table};
use serde_json::json;

use crate::arguments::{Common, DumpArguments, Format};
use crate::output::Output;
use crate::{Failure, Outcome};

use super::{open_reader, options, tell, timed};

pub(crate) fn info(common: &Common, store: &Path) -> Result<Outcome, Failure> {
    let reading = open_reader(common, store)?;
    let started = Instant::now();
    let info = reading.store.info()?;
    if common.explain {
        let explain = timed(started);
        tell(reading.open_ms, &explain, vec![explain.elapsed_ms]);
    }
    if matches!(common.format, Some(Format::Json | Format::Jsonl)) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", as_json(&info))?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::with_names(&["what", "value", "unit", "type", "values", "bytes", "bytes_per_value"]);
    let count = |value: u64| Cell::Integer(value as i64);
    let text = |value: &str| Cell::Text(value.into());
    let time = |value: Option<fleetlog::Timestamp>| value.map_or(Cell::Null, Cell::Time);
    let mut say =
        |what: &str, value: Cell| table.push([text(what), value].into_iter().chain(std::iter::repeat_n(Cell::Null, 5)));
    say("devices", count(info.devices))?;
    say("metrics", count(info.metrics))?;
    say("events", count(info.events))?;
    say("logs", count(info.logs))?;
    say("segments", count(info.segments))?;
    for tier in &info.tiers {
        say(&format!("segments_{}", tier.name), count(tier.segments))?;
        say(&format!("bytes_{}", tier.name), count(tier.bytes))?;
    }
    say("samples", count(info.samples))?;
    say("values", count(info.values))?;
    say("from", time(info.from))?;
    say("to", time(info.to))?;
    say("bytes_on_disk", count(info.bytes_on_disk))?;
    say("bytes_per_value", info.bytes_per_value().map_or(Cell::Null, Cell::Float))?;
    for column in &info.columns {
        let each = (column.values > 0).then(|| column.bytes as f64 / column.values as f64);
        table.push(vec![
            text("column"),
            text(&column.name),
            column.unit.as_deref().map_or(Cell::Null, text),
            text(&column.metric_type),
            count(column.values),
            count(column.bytes),
            each.map_or(Cell::Null, Cell::Float),
        ])?;
    }
    Output::new(common).table(&table)?;
    Ok(Outcome::Done)
}

fn as_json(info: &StoreInfo) -> serde_json::Value {
    let columns: Vec<_> = info
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.metric_type, "unit": column.unit, "values": column.values, "bytes": column.bytes,
                "bytes_per_value": (column.values > 0).then(|| column.bytes as f64 / column.values as f64),
            })
        })
        .collect();
    let tiers: serde_json::Map<String, serde_json::Value> = info
        .tiers
        .iter()
        .map(|tier| (tier.name.to_owned(), json!({"segments": tier.segments, "bytes": tier.bytes})))
        .collect();
    json!({
        "devices": info.devices, "metrics": info.metrics, "events": info.events, "logs": info.logs,
        "segments": info.segments, "tiers": tiers, "samples": info.samples, "values": info.values,
        "from": info.from.map(|at| at.to_string()), "to": info.to.map(|at| at.to_string()),
        "bytes_on_disk": info.bytes_on_disk, "bytes_per_value": info.bytes_per_value(), "columns": columns,
    })
}

pub(crate) fn dump(common: &Common, arguments: &DumpArguments) -> Result<Outcome, Failure> {
    let request = DumpRequest {
        manifest: arguments.manifest,
        catalog: arguments.catalog,
        index: arguments.index,
        segments: arguments.segments,
        segment: arguments.segment.map(SegmentId),
        block: arguments.block,
        values: arguments.values,
        hex: arguments.hex,
    };
    let mut out = Watched { out: BufWriter::new(std::io::stdout().lock()), closed: false };
    let dumped = dump_store(&arguments.store, &request, options(common), &mut out).and_then(|damage| {
        out.flush().map_err(|error| Error::io(error, "writing", &arguments.store))?;
        Ok(damage)
    });
    match dumped {
        _ if out.closed => Err(Failure::ClosedPipe),
        Ok(0) => Ok(Outcome::Done),
        Ok(damage) => {
            let what = if damage == 1 {
                "1 part is damaged, as the line with DAMAGE says"
            } else {
                &format!("{damage} parts are damaged, as the lines with DAMAGE say")
            };
            Err(Error::new(ErrorKind::Corruption, what)
                .at_path(&arguments.store)
                .advise("restore the store from a backup, or import the files again")
                .into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Remembers that nobody reads any more.
struct Watched<W> {
    out: W,
    closed: bool,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes);
        self.closed |= written.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.out.flush();
        self.closed |= flushed.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        flushed
    }
}

pub(crate) fn rejections(common: &Common, store: &Path, show: Option<u64>) -> Result<Outcome, Failure> {
    let reading = open_reader(common, store)?;
    let mut table = Table::with_names(&["id", "recorded_at", "source", "row", "reason", "excerpt"]);
    reading.store.rejections(&mut |kept| {
        if show.is_none_or(|id| id == kept.id) {
            table.push(vec![
                Cell::Integer(kept.id as i64),
                Cell::Time(kept.recorded_at),
                Cell::Text(kept.source.into()),
                Cell::Integer(kept.row as i64),
                Cell::Text(kept.reason.into()),
                Cell::Text(String::from_utf8_lossy(&kept.excerpt).escape_debug().to_string().into()),
            ])?;
        }
        Ok(true)
    })?;
    if let (Some(id), true) = (show, table.rows().is_empty()) {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no rejection {id}")).into());
    }
    Output::new(common).table(&table)?;
    Ok(Outcome::Done)
}
