//! `samples`, `latest`, `gaps`, `outliers`, `events`, `device`.

use std::path::Path;
use std::time::Instant;

use fleetlog::operator::{EventsRequest, GapsRequest, LatestRequest, OutliersRequest, SamplesRequest};
use fleetlog::{Cell, Event, Table, Timestamp};

use crate::arguments::{
    Common, EventsArguments, GapsArguments, LatestArguments, OutliersArguments, SamplesArguments, all_names,
};
use crate::output::Output;
use crate::{Failure, Outcome, progress};

use super::notes::{Asked, note_empty, note_unknown};
use super::{open_reader, repeat, timed};

/// Hands batches to the output while the library still produces them; what stops the output stops the call.
struct Sink {
    output: Output,
    rows: usize,
    failure: Option<Failure>,
}

impl Sink {
    fn take(&mut self, table: &Table) -> bool {
        self.rows += table.rows().len();
        match self.output.batch(table) {
            Ok(()) => true,
            Err(failure) => {
                self.failure = Some(failure);
                false
            }
        }
    }

    fn finish(self) -> Result<Outcome, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.output.finish().map(|()| Outcome::Done),
        }
    }
}

pub(crate) fn samples(common: &Common, arguments: &SamplesArguments) -> Result<Outcome, Failure> {
    let (from, to) = (arguments.from.unwrap_or(Timestamp::MIN), arguments.to.unwrap_or(Timestamp::MAX));
    let metrics = all_names(&arguments.metric);
    let mut request =
        SamplesRequest::device(&arguments.device).metrics(metrics).between(from, to).statistics(!common.no_statistics);
    if let Some((left, tolerance_ns)) = arguments.align.as_ref().zip(arguments.tolerance) {
        request = request.align(left, tolerance_ns);
    }
    if let Some(rows) = arguments.downsample {
        request = request.downsample(rows);
    }
    let reading = open_reader(common, &arguments.store)?;
    let mut sink = Sink { output: Output::new(common), rows: 0, failure: None };
    let mut first = true;
    progress::with_bar(common.quiet, "samples", false, |progress| {
        repeat(common, reading.open_ms, || {
            // The answer is written once, however often it is asked for.
            let writes = std::mem::take(&mut first);
            let give = &mut |batch: Table| Ok(!writes || sink.take(&batch));
            let explain = reading.store.samples(&reading.snapshot, &request, Some(progress), give)?;
            Ok(((), explain))
        })
    })?;
    let rows = sink.rows;
    let outcome = sink.finish()?;
    let ranged = arguments.from.is_some() || arguments.to.is_some();
    let what = format!("sample of '{}'", arguments.device.escape_debug());
    note_empty(common, rows == 0, &what, &Asked { ranged, ..Asked::default() });
    Ok(outcome)
}

pub(crate) fn latest(common: &Common, arguments: &LatestArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut request = LatestRequest::default()
        .metrics(all_names(&arguments.metric))
        .between(from, to)
        .statistics(!common.no_statistics);
    for condition in &arguments.cohort.conditions {
        request = request.filter(condition.clone());
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || Ok(reading.store.latest(&reading.snapshot, &request, Some(progress))?))
    })?;
    let is_empty = table.rows().is_empty();
    Output::new(common).table(&table)?;
    note_empty(common, is_empty && !is_told, "value", &Asked { cohort: Some(&arguments.cohort), ..Asked::default() });
    Ok(Outcome::Done)
}

pub(crate) fn gaps(common: &Common, arguments: &GapsArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut request =
        GapsRequest::longer_than_ns(arguments.longer_than).between(from, to).statistics(!common.no_statistics);
    for condition in &arguments.cohort.conditions {
        request = request.filter(condition.clone());
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || Ok(reading.store.gaps(&reading.snapshot, &request, Some(progress))?))
    })?;
    let is_empty = table.rows().is_empty();
    Output::new(common).table(&table)?;
    note_empty(common, is_empty && !is_told, "sample", &Asked { cohort: Some(&arguments.cohort), ..Asked::default() });
    Ok(Outcome::Done)
}

pub(crate) fn outliers(common: &Common, arguments: &OutliersArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut request =
        OutliersRequest::new(&arguments.metric, arguments.sigma).between(from, to).statistics(!common.no_statistics);
    for condition in &arguments.cohort.conditions {
        request = request.filter(condition.clone());
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || Ok(reading.store.outliers(&reading.snapshot, &request, Some(progress))?))
    })?;
    let is_empty = table.rows().is_empty();
    Output::new(common).table(&table)?;
    note_empty(common, is_empty && !is_told, "sample", &Asked { cohort: Some(&arguments.cohort), ..Asked::default() });
    Ok(Outcome::Done)
}

pub(crate) fn events(common: &Common, arguments: &EventsArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut request = EventsRequest::default().between(from, to);
    if let Some(kind) = arguments.kind {
        request = request.kind(kind);
    }
    for condition in &arguments.cohort.conditions {
        request = request.filter(condition.clone());
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let mut sink = Sink { output: Output::new(common), rows: 0, failure: None };
    let names = ["device", "time", "kind", "labels"];
    let mut first = true;
    progress::with_bar(common.quiet, "events", false, |progress| {
        repeat(common, reading.open_ms, || {
            let started = Instant::now();
            let writes = std::mem::take(&mut first);
            let mut give = |event: Option<&Event>| {
                if !writes {
                    return Ok(true);
                }
                let mut rows = Table::with_names(&names);
                event.map_or(Ok(()), |event| rows.push(cells(event)))?;
                Ok(sink.take(&rows))
            };
            reading.store.events(&reading.snapshot, &request, Some(progress), &mut |event| give(Some(event)))?;
            give(None)?;
            Ok(((), timed(started)))
        })
    })?;
    let rows = sink.rows;
    let outcome = sink.finish()?;
    let asked = Asked { cohort: Some(&arguments.cohort), ..Asked::default() };
    let what = arguments.kind.map_or("event".to_owned(), |kind| format!("event of the kind {}", kind.as_str()));
    note_empty(common, rows == 0 && !is_told, &what, &asked);
    Ok(outcome)
}

fn cells(event: &Event) -> Vec<Cell> {
    let labels = serde_json::json!(event.labels).to_string();
    vec![
        Cell::Text(event.device.as_str().into()),
        Cell::Time(event.time),
        Cell::Text(event.kind.as_str().into()),
        Cell::Text(labels.into()),
    ]
}

pub(crate) fn device(common: &Common, store: &Path, id: &str) -> Result<Outcome, Failure> {
    let reading = open_reader(common, store)?;
    let page = progress::with_bar(common.quiet, "parts", false, |progress| {
        repeat(common, reading.open_ms, || {
            let started = Instant::now();
            let page = reading.store.device_page(&reading.snapshot, id, Some(progress))?;
            Ok((page, timed(started)))
        })
    })?;
    // One table for all parts, so that scripts read it as any other.
    let mut whole = Table::with_names(&["section", "name", "time", "value", "more"]);
    let pick = |table: &Table, row: &[Cell], column: &str| {
        table.column_index(column).map_or(Cell::Null, |place| row[place].clone())
    };
    let mut add = |section: &str, table: &Table, columns: [&str; 4]| {
        table.rows().iter().try_for_each(|row| {
            let cells = columns.map(|column| pick(table, row, column));
            whole.push(std::iter::once(Cell::Text(section.into())).chain(cells))
        })
    };
    add("summary", &page.summary, ["what", "", "value", ""])?;
    add("attribute", &page.attributes, ["attribute", "from", "value", "to"])?;
    add("event", &page.events, ["kind", "time", "labels", ""])?;
    add("latest", &page.latest, ["metric", "time", "value", "unit"])?;
    add("gaps", &page.gaps, ["device", "longest_from", "count", "total_s"])?;
    add("logs", &page.logs, ["severity", "", "count", ""])?;
    Output::new(common).table(&whole)?;
    Ok(Outcome::Done)
}
