//! Notes on stderr beside an answer: what was asked for in vain, left out, or can not be told.
//!
//! Guarantees: `--quiet` silences all of them, and so does `--explain`, whose object stands alone; none changes the answer or the exit code, not even
//! where what it would be told from can not be read, and none reads values.

use std::collections::BTreeSet;

use fleetlog::operator::{AttributeFilter, Expression, ValueFilter, early_strays, unknown_values};
use fleetlog::{Cell, Snapshot, Table, TimeRange, Window};

use crate::arguments::{Cohort, Common};
use crate::progress;

/// Windows of which a line, and the test of a trend, have enough.
const LINE_WINDOWS: i64 = 3;
const TEST_WINDOWS: i64 = 8;

/// What narrowed a question: what an empty answer may be due to.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub(super) cohort: Option<&'a Cohort>,
    /// Whether there is a range of time, where there is no cohort that says so.
    pub(super) ranged: bool,
    /// The metrics of each expression that it is about, those of --filter aside.
    pub(super) metrics: Vec<Vec<String>>,
    pub(super) filters: &'a [ValueFilter],
    pub(super) tolerance: bool,
}

impl<'a> Asked<'a> {
    /// What narrows a question about metrics of a cohort.
    pub(super) fn of(
        cohort: &'a Cohort,
        metrics: Vec<Vec<String>>,
        filters: &'a [ValueFilter],
        tolerance: bool,
    ) -> Self {
        Self { cohort: Some(cohort), ranged: false, metrics, filters, tolerance }
    }
}

fn is_silent(common: &Common) -> bool {
    common.quiet || common.explain
}

fn note(common: &Common, text: &str) {
    progress::note(is_silent(common), text);
}

/// Tells of values that a condition asks for and that no device ever had: an answer without them is no surprise then. Says whether there
/// are any.
pub(super) fn note_unknown(common: &Common, snapshot: &Snapshot, conditions: &[AttributeFilter]) -> bool {
    const SHOWN: usize = 5;
    if is_silent(common) {
        return false;
    }
    let mut are_there = false;
    for unknown in unknown_values(snapshot, conditions) {
        let known = match unknown.known.as_slice() {
            // That there is no such attribute is an error of its own.
            [] if snapshot.attributes().attributes().iter().all(|name| name.as_str() != unknown.attribute) => continue,
            [] => "no device has any".to_owned(),
            [only] => format!("there is {only}"),
            known if known.len() > SHOWN => {
                format!("there are {} and {} more", known[..SHOWN].join(", "), known.len() - SHOWN)
            }
            known => format!("there are {}", known.join(", ")),
        };
        let (name, value) = (unknown.attribute.escape_debug(), unknown.value.escape_debug());
        note(common, &format!("no device ever had {name} '{value}'; {known}"));
        are_there = true;
    }
    are_there
}

/// The metrics that each expression means: one by its exact name, or those of arithmetic.
pub(super) fn metrics_of<'e>(
    snapshot: &Snapshot,
    expressions: impl IntoIterator<Item = &'e Expression>,
) -> Vec<Vec<String>> {
    let names = |expression: &Expression| match Expression::parse(expression.text()) {
        Ok(parsed) if snapshot.catalog().metric(expression.text()).is_none() => parsed.names().to_vec(),
        _ => vec![expression.text().to_owned()],
    };
    expressions.into_iter().map(names).collect()
}

/// Says why an answer has no row, as far as the question tells.
pub(super) fn note_empty(common: &Common, is_empty: bool, what: &str, asked: &Asked<'_>) {
    if is_silent(common) || !is_empty {
        return;
    }
    let ranged = asked.ranged || asked.cohort.is_some_and(|cohort| cohort.from.is_some() || cohort.to.is_some());
    let mut passed: Vec<&str> = Vec::new();
    passed.extend(asked.cohort.filter(|cohort| !cohort.conditions.is_empty()).map(|_| "--where"));
    passed.extend((!asked.filters.is_empty()).then_some("--filter"));
    let range = if ranged { " lies in the range" } else { " is there" };
    let passed = if passed.is_empty() { String::new() } else { format!(" and passes {}", passed.join(" and ")) };
    note(common, &format!("no row: no {what}{range}{passed}"));
    if asked.filters.iter().any(ValueFilter::passes_nothing) {
        note(common, "nothing compares with NaN: aggregates leave it out by themselves, and count_nan counts it");
    }
    // Each expression of a list is answered by itself.
    let are_several = |names: &Vec<String>| {
        let compared = asked.filters.iter().map(ValueFilter::metric_name);
        names.iter().map(String::as_str).chain(compared).collect::<BTreeSet<_>>().len() > 1
    };
    if !asked.tolerance && asked.metrics.iter().any(are_several) {
        let text = "metrics are put together where they have a sample at the same instant; --tolerance takes those of other clocks";
        note(common, text);
    }
}

/// Says that a zone moves no window of hours or less.
pub(super) fn note_zone(common: &Common, every: Option<Window>, zone: Option<&str>) {
    if zone.is_some() && every.is_some_and(|every| every.fixed_ns().is_some()) {
        let text = "--zone moves days, weeks, months and years (1d is a day there); windows of hours and less begin at multiples of \
                    their length in UTC";
        note(common, text);
    }
}

/// Says that a question about all time begins with a few samples of wrong clocks, long before all others.
pub(super) fn note_strays(common: &Common, snapshot: &Snapshot, cohort: &Cohort) {
    if is_silent(common) || cohort.from.is_some() {
        return;
    }
    let (from, to) = cohort.range();
    // The answer stands: what it did not have to read may be damaged, or have gone beside a writer.
    if let Ok(Some(strays)) = early_strays(snapshot, &cohort.conditions, TimeRange::new(from, to)) {
        let devices = match strays.devices {
            1 => "1 device has".to_owned(),
            devices => format!("{devices} devices have"),
        };
        let (first, rest) = (strays.first, strays.rest_from.to_string());
        let day = rest.split('T').next().unwrap_or(&rest);
        let text = format!(
            "{devices} a few samples from {first} on, long before all others (a wrong clock?); --from {day} leaves them out"
        );
        note(common, &text);
    }
}

/// Says of which trends cells are empty, because too few windows have samples.
pub(super) fn note_few_windows(common: &Common, trends: &Table) {
    let Some(place) = trends.column_index("n") else { return };
    let fewer = |than: i64| {
        let few = |row: &&[Cell]| matches!(row[place], Cell::Integer(windows) if windows < than);
        trends.rows().iter().filter(few).count()
    };
    let (all, lines, tests) = (trends.rows().len(), fewer(LINE_WINDOWS), fewer(TEST_WINDOWS));
    let what = match (lines, tests) {
        (0, 0) => return,
        (0, tests) => format!("the p_value of {tests} of {all} trends: it takes {TEST_WINDOWS} windows with samples"),
        (lines, _) => {
            format!("{lines} of {all} trends: a line takes {LINE_WINDOWS} windows with samples, p_value {TEST_WINDOWS}")
        }
    };
    note(common, &format!("not_estimable: {what}; ask for shorter windows or a longer time"));
}
