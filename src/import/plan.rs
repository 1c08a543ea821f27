//! What becomes of each column of a file: device, time, sequence, metric, or nothing.
//!
//! The rule for types. A column that the store knows as a metric keeps its kind: text or number. Otherwise the first
//! [`SAMPLE_ROWS`] records vote: a column is text where texts are at least as many as numbers, else it holds numbers, in the
//! narrowest type that holds them all (boolean, integer, float). A column without values there is decided by its first value.
//! A value of the other kind is a rejection of its record, and so is a list, whatever else its column holds: who does not want such
//! a column names those that are wanted. A field that appears in a record under a name that no metric can have is a rejection of
//! that record; in a header it is an error of the file. In a column of numbers an empty field and the words of
//! [`crate::ingest::is_missing_word`] mean "no value"; in a column of texts only an empty field does.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Columns, Field, Record, excerpt, is_missing_word, is_out_of_range, parse_number};
use crate::model::{MetricDefinition, MetricName, MetricType};

use super::options::SamplesImport;

/// How many records are looked at before a column is text or number.
pub(super) const SAMPLE_ROWS: usize = 1_000;

/// Text or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not known before the first value.
    Open,
    Number,
    Text,
}

/// A metric of the file.
#[derive(Debug, Clone)]
pub(super) struct PlannedMetric {
    /// The name of its column.
    pub(super) column: String,
    pub(super) name: MetricName,
    pub(super) unit: Option<String>,
    pub(super) kind: Kind,
    /// Whether some of its values were true or false, and whether some were numbers.
    pub(super) has_booleans: bool,
    pub(super) has_numbers: bool,
}

/// The plan of a file: for each column what it is, and the metrics in order of their number.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) device: Option<usize>,
    pub(super) link: Option<usize>,
    pub(super) time: Option<usize>,
    pub(super) sequence: Option<usize>,
    pub(super) metrics: Vec<PlannedMetric>,
    /// For each metric its column.
    pub(super) columns: Vec<usize>,
    /// Columns that no metric can come of, and why: a record with a value there is refused.
    pub(super) unusable: Vec<(usize, String)>,
    /// Whether columns appear with records, rather than in a header.
    pub(super) columns_appear: bool,
    looked_at: usize,
    names: HashSet<MetricName>,
    known: HashMap<String, Kind>,
    renamed: HashMap<String, String>,
    decimal: u8,
}

impl Plan {
    /// A plan without columns yet. `known` are the metrics that the store has already.
    pub(super) fn new<'a>(options: &SamplesImport, known: impl Iterator<Item = &'a MetricDefinition>) -> Self {
        let kind = |metric_type| if metric_type == MetricType::Text { Kind::Text } else { Kind::Number };
        let known = known.map(|metric| (metric.name.as_str().to_owned(), kind(metric.metric_type)));
        Self {
            device: None,
            link: None,
            time: None,
            sequence: None,
            metrics: Vec::new(),
            columns: Vec::new(),
            unusable: Vec::new(),
            columns_appear: false,
            looked_at: 0,
            names: HashSet::new(),
            known: known.collect(),
            renamed: options.rename.iter().cloned().collect(),
            decimal: options.decimal,
        }
    }

    /// Takes up columns that appeared since the last call. `time_column` is the name of the time's column.
    pub(super) fn update(&mut self, columns: &Columns, time_column: &str, options: &SamplesImport) -> Result<()> {
        let role =
            |name: &Option<String>, number: usize, column: &str| (name.as_deref() == Some(column)).then_some(number);
        for (number, name) in columns.names().iter().enumerate().skip(self.looked_at) {
            self.device = self.device.or(role(&options.device_column, number, name));
            self.link = self.link.or(role(&options.link_to, number, name));
            self.sequence = self.sequence.or(role(&options.sequence_column, number, name));
            let is_time = self.time.is_none() && name == time_column;
            if is_time {
                self.time = Some(number);
            }
            let is_role = is_time || self.device == Some(number) || self.link == Some(number);
            let is_metric = match &options.metrics {
                Some(wanted) => wanted.iter().any(|wanted| wanted == name) && columns.find(name) == Some(number),
                None => !is_role && !columns.is_descriptive(number),
            };
            if is_metric {
                self.add_metric(number, name, options)?;
            }
        }
        self.looked_at = columns.names().len();
        Ok(())
    }

    fn add_metric(&mut self, number: usize, column: &str, options: &SamplesImport) -> Result<()> {
        let name = self.renamed.get(column).map_or(column, String::as_str);
        let name = MetricName::to_write(name).map_err(|error| {
            error.advise(format!(
                "rename it (--rename {column}={}), or name the wanted columns with --metrics",
                other_name(name)
            ))
        });
        let name = match name {
            Err(error) if self.columns_appear => {
                self.unusable.push((number, unusable(column, &error)));
                return Ok(());
            }
            name => name,
        };
        if column.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("column {} has no name", number + 1))
                .advise("name it in the header, or name the wanted columns with --metrics"));
        }
        let name = name?;
        if !self.names.insert(name.clone()) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("two columns are named '{name}'"))
                .advise("rename one of them, in the file or with --rename"));
        }
        let unit = options.units.iter().find(|(metric, _)| metric == name.as_str()).map(|(_, unit)| unit.clone());
        let forced = options.text_columns.iter().any(|text| text == column).then_some(Kind::Text);
        let kind = forced.or_else(|| self.known.get(name.as_str()).copied()).unwrap_or(Kind::Open);
        self.metrics.push(PlannedMetric {
            column: column.to_owned(),
            name,
            unit,
            kind,
            has_booleans: false,
            has_numbers: false,
        });
        self.columns.push(number);
        Ok(())
    }

    /// Checks a header: every column that was asked for is there once.
    pub(super) fn check_header(columns: &Columns, time_column: &str, options: &SamplesImport) -> Result<()> {
        let roles = [
            options.device_column.as_deref(),
            options.link_to.as_deref(),
            options.sequence_column.as_deref(),
            Some(time_column),
        ];
        let wanted = roles.into_iter().flatten().chain(options.metrics.iter().flatten().map(String::as_str));
        for name in wanted {
            if columns.find(name).is_none() {
                return Err(missing_column(name, columns));
            }
            if columns.is_ambiguous(name) {
                return Err(Error::new(ErrorKind::InvalidInput, format!("more than one column is named '{name}'")));
            }
        }
        Ok(())
    }

    /// Lets sampled records vote on what is still open.
    pub(super) fn vote(&mut self, sample: &[Record]) {
        for (metric, column) in self.metrics.iter_mut().zip(&self.columns) {
            if metric.kind != Kind::Open {
                continue;
            }
            let (mut numbers, mut texts) = (0, 0);
            for record in sample {
                match kind_of(record.field(*column), self.decimal) {
                    Kind::Number => numbers += 1,
                    Kind::Text => texts += 1,
                    Kind::Open => {}
                }
            }
            metric.kind = match (numbers, texts) {
                (0, 0) => Kind::Open,
                _ if texts >= numbers => Kind::Text,
                _ => Kind::Number,
            };
        }
    }

    /// The kind of one value.
    pub(super) fn kind_of(&self, field: Field<'_>) -> Kind {
        kind_of(field, self.decimal)
    }

    /// Checks at the end that every column and metric that was asked for has appeared.
    pub(super) fn check_complete(&self, columns: &Columns, time_column: &str, options: &SamplesImport) -> Result<()> {
        let roles = [&options.device_column, &options.link_to, &options.sequence_column].into_iter().flatten();
        let named = options
            .metrics
            .iter()
            .flatten()
            .chain(&options.text_columns)
            .chain(options.rename.iter().map(|(old, _)| old));
        for name in roles.chain(named).map(String::as_str).chain([time_column]) {
            if columns.find(name).is_none() {
                return Err(missing_column(name, columns));
            }
        }
        if let Some(metric) = options.counters.iter().find(|metric| !self.names.contains(metric.as_str())) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("there is no metric '{metric}' to be a counter"))
                .advise("name the metric as it is after --rename"));
        }
        for (metric, unit) in &options.units {
            if !self.names.contains(metric.as_str()) {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("there is no metric '{metric}' to have the unit '{unit}'"),
                )
                .advise("name the metric as it is after --rename"));
            }
        }
        Ok(())
    }
}

/// Another name for a column that can not be called so, for advice.
pub(super) fn other_name(column: &str) -> String {
    if column == "time" { "clock".to_owned() } else { format!("{column}_name") }
}

/// Why nothing can come of a field, and what to do.
pub(super) fn unusable(column: &str, error: &Error) -> String {
    let advice = error.advice().map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("field {}: {}{advice}", excerpt(column), error.message())
}

/// The error for a column that is not there, naming those that are.
pub(super) fn missing_column(name: &str, columns: &Columns) -> Error {
    if columns.names().is_empty() {
        return Error::new(ErrorKind::InvalidInput, format!("there is no column '{name}', nor any other"));
    }
    let mut names: Vec<String> = columns.names().iter().take(20).map(|name| format!("'{name}'")).collect();
    if columns.names().len() > 20 {
        names.push("...".to_owned());
    }
    let error =
        Error::new(ErrorKind::InvalidInput, format!("there is no column '{name}'; there are {}", names.join(", ")));
    match columns.names() {
        [only] if only.contains([';', '\t', '|']) => error.advise("name the delimiter with --delimiter"),
        _ => error,
    }
}

fn kind_of(field: Field<'_>, decimal: u8) -> Kind {
    match field {
        Field::Missing | Field::List | Field::Instant(_) | Field::LocalTime(_) | Field::Date(_) => Kind::Open,
        Field::Boolean(_) | Field::Integer(_) | Field::Float(_) => Kind::Number,
        Field::Text("") => Kind::Open,
        Field::Text("NaN" | "Infinity" | "-Infinity") => Kind::Number,
        Field::Text(_) => Kind::Text,
        Field::Open(text) if is_missing_word(text) => Kind::Open,
        Field::Open(text) if parse_number(text, decimal).is_some() || is_out_of_range(text, decimal) => Kind::Number,
        Field::Open(_) => Kind::Text,
    }
}
