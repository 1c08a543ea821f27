//! How long a cancelled question goes on: `cancel STORE [TIMES]`, 20 moments of each question by default.
//!
//! Asks each question once to the end, then again and again, and cancels it from another thread at moments spread evenly over the time
//! that it took. Prints one JSON object a line: the question, how long it takes, how often a cancel came before its end, and
//! milliseconds from the cancel to the return, as median and maximum. Reads only.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use fleetlog::operator::{
    Aggregate, Bins, Expression, Fill, GapsRequest, Histogram, LatestRequest, OutliersRequest, Query, SamplesRequest,
    Trend,
};
use fleetlog::{ErrorKind, MetricType, Options, Progress, Result, Snapshot, Store, Window};

type Ask = Box<dyn Fn(&Store, &Snapshot, &Progress) -> Result<()> + Sync>;

fn query(query: Query) -> Ask {
    Box::new(move |store, snapshot, progress| store.query_at(snapshot, &query, Some(progress)).map(drop))
}

fn samples(request: SamplesRequest) -> Ask {
    Box::new(move |store, snapshot, progress| {
        store.samples(snapshot, &request, Some(progress), &mut |_| Ok(true)).map(drop)
    })
}

fn questions(metrics: &[String], device: &str) -> Vec<(&'static str, Ask)> {
    let metric = || Query::metric(&metrics[0]).statistics(false);
    let second = metrics.get(1).unwrap_or(&metrics[0]);
    let product = || Expression::parse(&format!("\"{}\"*\"{second}\"", metrics[0]));
    let hours = || metric().by(["device"]).every(Window::HOUR);
    let arithmetic = |query: fn(Expression) -> Ask| product().map(query);
    let mut questions = vec![
        ("mean", query(metric().aggregate([Aggregate::Mean]))),
        ("hourly mean by device", query(hours().aggregate([Aggregate::Mean]))),
        ("the same, ordered", query(hours().aggregate([Aggregate::Mean]).order(format!("{}_mean", metrics[0])))),
        (
            "daily means by device, filled",
            query(hours().every(Window::DAY).aggregate([Aggregate::Mean]).fill(Fill::Linear)),
        ),
        ("p95 and median", query(metric().aggregate([Aggregate::P95, Aggregate::Median]))),
        ("daily p95 by device", query(hours().every(Window::DAY).aggregate([Aggregate::P95]))),
        ("delta and rate", query(hours().aggregate([Aggregate::Delta, Aggregate::Rate]))),
        ("samples", samples(SamplesRequest::device(device))),
        ("aligned samples", samples(SamplesRequest::device(device).align(second, 90_000_000_000))),
        ("downsampled", samples(SamplesRequest::device(device).downsample(1_000).statistics(false))),
    ];
    let of_product: [(&str, fn(Expression) -> Ask); 4] = [
        ("arithmetic", |product| query(Query::expressions([product]).aggregate([Aggregate::Mean]))),
        ("aligned arithmetic", |product| {
            query(Query::expressions([product]).aggregate([Aggregate::Mean]).tolerance_ns(90_000_000_000))
        }),
        ("hourly trend by device", |product| {
            let trend = Trend::new(product, Window::HOUR).by(["device"]);
            Box::new(move |store, snapshot, progress| store.trend_at(snapshot, &trend, Some(progress)).map(drop))
        }),
        ("histogram", |product| {
            let histogram = Histogram::new(product, Bins::Equal { from: 0.0, to: 1e4, count: 100 }).by(["device"]);
            Box::new(move |store, snapshot, progress| {
                store.histogram_at(snapshot, &histogram, Some(progress)).map(drop)
            })
        }),
    ];
    questions.extend(of_product.into_iter().filter_map(|(words, ask)| Some((words, arithmetic(ask).ok()?))));
    let gaps = GapsRequest::longer_than_ns(1_000_000_000);
    questions.push((
        "gaps",
        Box::new(move |store, snapshot, progress| store.gaps(snapshot, &gaps, Some(progress)).map(drop)),
    ));
    let outliers = OutliersRequest::new(&metrics[0], 2.0).statistics(false);
    questions.push((
        "outliers",
        Box::new(move |store, snapshot, progress| store.outliers(snapshot, &outliers, Some(progress)).map(drop)),
    ));
    let latest = LatestRequest::default().statistics(false);
    questions.push((
        "latest",
        Box::new(move |store, snapshot, progress| store.latest(snapshot, &latest, Some(progress)).map(drop)),
    ));
    questions
}

/// Cancels a question some time after it was asked; from the cancel to its return, if it came before the end.
fn cancelled(store: &Store, snapshot: &Snapshot, ask: &Ask, after: Duration) -> Result<Option<Duration>> {
    let progress = Progress::default();
    let canceller = progress.clone();
    std::thread::scope(|scope| {
        let asked = Instant::now();
        let cancel = scope.spawn(move || {
            std::thread::sleep(after.saturating_sub(asked.elapsed()));
            let now = Instant::now();
            canceller.cancel();
            now
        });
        let answer = ask(store, snapshot, &progress);
        let returned = Instant::now();
        let cancelled_at = cancel.join().unwrap_or(returned);
        match answer {
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(Some(returned - cancelled_at)),
            Err(error) => Err(error),
            Ok(()) => Ok(None),
        }
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("say which store: cancel STORE [TIMES]")?;
    let times: u32 = arguments.get(1).map_or(Ok(20), |times| times.parse())?;
    let store = Store::open_read_only(Path::new(path), Options::default())?;
    let snapshot = store.snapshot()?;
    let floats = snapshot.catalog().metrics().filter(|metric| metric.metric_type == MetricType::Float);
    let metrics: Vec<String> = floats.map(|metric| metric.name.to_string()).collect();
    let device = snapshot.catalog().devices().next().map(|device| device.id.to_string());
    let (Some(device), false) = (device, metrics.is_empty()) else { return Err("it has no floats".into()) };
    let mut out = std::io::stdout().lock();
    for (words, ask) in questions(&metrics, &device) {
        let started = Instant::now();
        if let Err(error) = ask(&store, &snapshot, &Progress::default()) {
            // Wrong clocks may make more windows than there is room for.
            writeln!(std::io::stderr(), "{words}: {error}")?;
            continue;
        }
        let whole = started.elapsed();
        let mut found = Vec::new();
        for time in 0..times {
            found.extend(cancelled(&store, &snapshot, &ask, whole * time / times)?);
        }
        found.sort_unstable();
        let ms = |duration: Option<&Duration>| duration.map_or(0.0, |duration| duration.as_secs_f64() * 1e3);
        writeln!(
            out,
            "{{\"question\":\"{words}\",\"whole_ms\":{:.1},\"cancelled\":{},\"median_ms\":{:.2},\"max_ms\":{:.2}}}",
            ms(Some(&whole)),
            found.len(),
            ms(found.get(found.len() / 2)),
            ms(found.last()),
        )?;
    }
    Ok(())
}
