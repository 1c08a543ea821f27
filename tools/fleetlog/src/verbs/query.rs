//! `query` and `trend`.

use fleetlog::operator::{Histogram, Query, Trend};
use fleetlog::{Cell, Error, ErrorKind, Window};

use crate::arguments::{Common, HistogramArguments, QueryArguments, TrendArguments, all_names};
use crate::output::Output;
use crate::{Failure, Outcome, progress};

use super::notes::{Asked, metrics_of, note_empty, note_few_windows, note_strays, note_unknown, note_zone};
use super::{open_reader, repeat};

pub(crate) fn query(common: &Common, arguments: &QueryArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut query = Query::expressions(arguments.metric.iter().flat_map(|named| named.0.iter().cloned()))
        .aggregate(arguments.aggregate.iter().copied())
        .by(all_names(&arguments.by))
        .between(from, to)
        .fill(arguments.fill)
        .statistics(!common.no_statistics);
    if let Some(every) = zoned(common, arguments.every, arguments.zone.as_deref())? {
        query = query.every(every);
    }
    for condition in &arguments.cohort.conditions {
        query = query.filter(condition.clone());
    }
    for filter in &arguments.filter {
        query = query.filter_value(filter.clone());
    }
    if let Some(tolerance_ns) = arguments.tolerance {
        query = query.tolerance_ns(tolerance_ns);
    }
    let ranked = arguments.top.iter().map(|top| (top, false)).chain(arguments.bottom.iter().map(|top| (top, true)));
    for (ranked, bottom) in ranked {
        query = if bottom { query.bottom(ranked.groups) } else { query.top(ranked.groups) };
        if let Some(column) = &ranked.column {
            query = query.rank_by(column);
        }
    }
    if let Some(order) = &arguments.order {
        query = match order.split_once(':') {
            Some((column, "desc")) => query.order_falling(column),
            Some((column, "asc")) => query.order(column),
            _ => query.order(order),
        };
    }
    if let Some(limit) = arguments.limit {
        query = query.limit(limit);
    }
    if arguments.count_only {
        query = query.count_rows();
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || Ok(reading.store.query_at(&reading.snapshot, &query, Some(progress))?))
    })?;
    Output::new(common).table(&table)?;
    let metrics = metrics_of(&reading.snapshot, arguments.metric.iter().flat_map(|named| &named.0));
    let asked = Asked::of(&arguments.cohort, metrics, &arguments.filter, arguments.tolerance.is_some());
    let is_empty = table.rows().is_empty() || arguments.count_only && table.rows()[0][0] == Cell::Integer(0);
    // Where no row was to be given, that says nothing of values.
    note_empty(common, is_empty && !is_told && arguments.limit != Some(0), "value", &asked);
    if arguments.every.is_some() {
        note_strays(common, &reading.snapshot, &arguments.cohort);
    }
    Ok(Outcome::Done)
}

pub(crate) fn trend(common: &Common, arguments: &TrendArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let every = zoned(common, Some(arguments.every), arguments.zone.as_deref())?.unwrap_or(arguments.every);
    let mut trend = Trend::new(arguments.metric.clone(), every)
        .by(all_names(&arguments.by))
        .between(from, to)
        .statistics(!common.no_statistics);
    for condition in &arguments.cohort.conditions {
        trend = trend.filter(condition.clone());
    }
    for filter in &arguments.filter {
        trend = trend.filter_value(filter.clone());
    }
    if let Some(tolerance_ns) = arguments.tolerance {
        trend = trend.tolerance_ns(tolerance_ns);
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || Ok(reading.store.trend_at(&reading.snapshot, &trend, Some(progress))?))
    })?;
    Output::new(common).table(&table)?;
    let metrics = metrics_of(&reading.snapshot, [&arguments.metric]);
    let asked = Asked::of(&arguments.cohort, metrics, &arguments.filter, arguments.tolerance.is_some());
    note_empty(common, table.rows().is_empty() && !is_told, "value", &asked);
    note_few_windows(common, &table);
    note_strays(common, &reading.snapshot, &arguments.cohort);
    Ok(Outcome::Done)
}

pub(crate) fn histogram(common: &Common, arguments: &HistogramArguments) -> Result<Outcome, Failure> {
    let (from, to) = arguments.cohort.range();
    let mut histogram = Histogram::new(arguments.metric.clone(), arguments.bins.clone())
        .by(all_names(&arguments.by))
        .between(from, to)
        .statistics(!common.no_statistics);
    if let Some(every) = zoned(common, arguments.every, arguments.zone.as_deref())? {
        histogram = histogram.every(every);
    }
    for condition in &arguments.cohort.conditions {
        histogram = histogram.filter(condition.clone());
    }
    for filter in &arguments.filter {
        histogram = histogram.filter_value(filter.clone());
    }
    if let Some(tolerance_ns) = arguments.tolerance {
        histogram = histogram.tolerance_ns(tolerance_ns);
    }
    let reading = open_reader(common, &arguments.store)?;
    let is_told = note_unknown(common, &reading.snapshot, &arguments.cohort.conditions);
    let table = progress::with_bar(common.quiet, "devices", false, |progress| {
        repeat(common, reading.open_ms, || {
            Ok(reading.store.histogram_at(&reading.snapshot, &histogram, Some(progress))?)
        })
    })?;
    Output::new(common).table(&table)?;
    let metrics = metrics_of(&reading.snapshot, [&arguments.metric]);
    let asked = Asked::of(&arguments.cohort, metrics, &arguments.filter, arguments.tolerance.is_some());
    note_empty(common, table.rows().is_empty() && !is_told, "value", &asked);
    if arguments.every.is_some() {
        note_strays(common, &reading.snapshot, &arguments.cohort);
    }
    Ok(Outcome::Done)
}

fn zoned(common: &Common, every: Option<Window>, zone: Option<&str>) -> Result<Option<Window>, Failure> {
    note_zone(common, every, zone);
    match (every, zone) {
        (Some(every), Some(zone)) => Ok(Some(every.in_zone(zone)?)),
        (None, Some(_)) => {
            Err(Error::new(ErrorKind::InvalidInput, "--zone says where windows begin, and there are none")
                .advise("add --every")
                .into())
        }
        (every, None) => Ok(every),
    }
}
