//! The words of the command, as the contract and `--help` say them.

mod import;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fleetlog::operator::{Aggregate, AttributeFilter, Bins, Expression, Fill, ValueFilter};
use fleetlog::{EventKind, Timestamp, Window};

pub(crate) use import::{DevicesImportArguments, EventsImportArguments, Import, SamplesImportArguments, Times};
pub(crate) use value::{Expressions, Names, Ranked, all_names, all_pairs};
use value::{condition, duration, expression, expressions, library, names, pair, ranked, sigma, size, threads, time};

/// Inspects, fills and asks a fleetlog store: telemetry, events and attributes of a fleet of devices.
///
/// Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage, 4 some input was refused (and is
/// kept), 5 another writer holds the store. Verbs that only read work beside a writer.
#[derive(Debug, Parser)]
#[command(name = "fleetlog", version, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// How data is written: a table on a terminal, CSV elsewhere, unless this says otherwise. Verbs that print no
    /// table refuse it: dump prints text.
    #[arg(long, global = true, value_enum, help_heading = "Everywhere")]
    pub(crate) format: Option<Format>,
    /// No progress and no notes.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// Prints how the answer came about, as one JSON object on stderr.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) explain: bool,
    /// Runs a query so many times on the open store; `--explain` then has median, minimum and maximum.
    #[arg(long, global = true, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Everywhere")]
    pub(crate) repeat: u32,
    /// Answers from values alone, not from statistics.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) no_statistics: bool,
    /// Threads; all cores by default.
    #[arg(
        long,
        global = true,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        value_parser = threads,
        help_heading = "Everywhere"
    )]
    pub(crate) threads: usize,
    /// What a verb may hold in memory: 256MiB, 1GiB.
    #[arg(long, global = true, value_name = "SIZE", default_value = "256MiB", value_parser = size, help_heading = "Everywhere")]
    pub(crate) memory: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for a person, numbers to six digits.
    Table,
    /// RFC 4180 with a header; floats read back to the same bits.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Makes an empty store; refuses a folder that is not empty.
    Init {
        /// The store's folder.
        store: PathBuf,
    },
    /// Puts files into a store: all of a file or none of it; refused rows are kept.
    #[command(subcommand)]
    Import(Import),
    /// Corrects or shows the history of attributes.
    #[command(subcommand)]
    Attribute(AttributeVerb),
    /// Says what a store holds: devices, samples, times, bytes by column.
    Info {
        /// The store's folder.
        store: PathBuf,
    },
    /// Aggregates metrics by windows of time and groups of the fleet.
    Query(QueryArguments),
    /// Counts values in bins, by windows of time and groups of the fleet: one row a bin.
    Histogram(HistogramArguments),
    /// Fits a trend to the means of windows, by group: slopes in the metric's unit per day.
    Trend(TrendArguments),
    /// Prints the rows of one device, oldest first.
    Samples(SamplesArguments),
    /// Prints the last value of every metric of each device, NaN left out: its time says how old it is.
    Latest(LatestArguments),
    /// Counts gaps in each device's timestamps.
    Gaps(GapsArguments),
    /// Counts samples far from the device's own mean.
    Outliers(OutliersArguments),
    /// Prints events, oldest first.
    Events(EventsArguments),
    /// Shows one device on one page.
    Device {
        /// The store's folder.
        store: PathBuf,
        /// The device's id.
        device: String,
    },
    /// Shows what is in the files, read-only and without the lock, also past damage.
    Dump(DumpArguments),
    /// Seals what is not sealed, and merges small segments.
    Compact {
        /// The store's folder.
        store: PathBuf,
        /// Also merges the current months, and writes all of them for their size: a sixth smaller, slower to read.
        #[arg(long)]
        cold: bool,
    },
    /// Deletes samples, or events, of a device in a range of time.
    Delete(DeleteArguments),
    /// Lists what was refused, with the reason and the first bytes.
    Rejections {
        /// The store's folder.
        store: PathBuf,
        /// Only the rejection with this number.
        #[arg(long, value_name = "ID")]
        show: Option<u64>,
    },
}

impl Verb {
    /// What a verb prints that writes no table.
    pub(crate) fn prints_no_table(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Init { .. } => Some(("init", "no data")),
            Self::Attribute(AttributeVerb::Set { .. }) => Some(("attribute set", "no data")),
            Self::Dump(_) => Some(("dump", "text for a person")),
            Self::Compact { .. } => Some(("compact", "no data")),
            Self::Delete(_) => Some(("delete", "no data")),
            _ => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AttributeVerb {
    /// Says what a device was over an interval of time; the past can be corrected.
    Set {
        /// The store's folder.
        store: PathBuf,
        /// The device's id.
        #[arg(long)]
        device: String,
        /// The attribute and its value; an empty value says that it had none. No attribute is called device, time or window.
        #[arg(long, value_name = "A=V", value_parser = pair)]
        attribute: (String, String),
        /// The value is a number.
        #[arg(long)]
        number: bool,
        /// From this instant on.
        #[arg(long, value_name = "T", value_parser = time)]
        from: Timestamp,
        /// Up to this instant (not included); open by default.
        #[arg(long, value_name = "T", value_parser = time)]
        to: Option<Timestamp>,
    },
    /// Shows the history of a device's attributes.
    Show {
        /// The store's folder.
        store: PathBuf,
        /// The device's id.
        #[arg(long)]
        device: String,
        /// All that was ever said of them, in the order of the commits, with the values that were corrected since.
        #[arg(long)]
        history: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Cohort {
    /// Only while the device's attribute had one of these values (gaps and outliers: devices that had it at some moment of the range);
    /// repeats as AND.
    #[arg(long = "where", value_name = "ATTR=V[,V]", value_parser = condition)]
    pub(crate) conditions: Vec<AttributeFilter>,
    /// From this instant on: RFC 3339, a date, or an epoch number with its unit (1735689600s).
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this instant, which is not included.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
}

impl Cohort {
    pub(crate) fn range(&self) -> (Timestamp, Timestamp) {
        (self.from.unwrap_or(Timestamp::MIN), self.to.unwrap_or(Timestamp::MAX))
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// Metrics, or arithmetic of them: power_w or voltage_v*current_a. A metric's exact name comes first; in arithmetic, or with a
    /// comma in it, a name stands in double quotes: '"co2-ppm"*1e-3'.
    #[arg(long, value_name = "M[,M]", required = true, value_parser = expressions)]
    pub(crate) metric: Vec<Expressions>,
    /// count, sum, mean, min, max, stddev, variance, first, last, median, pNN, histogram, rate, delta, slope, count_nan. A
    /// column is named by the number, so that p05 and p5.0 are p5. In the
    /// metric's unit, but for variance (its square), rate (per second), slope (per day) and what counts; tables say it.
    #[arg(long, value_name = "A[,A]", value_delimiter = ',', required = true, value_parser = library::<Aggregate>)]
    pub(crate) aggregate: Vec<Aggregate>,
    /// One row per window: 5m, 1h, 1d, 1w, 1mo, 1y.
    #[arg(long, value_name = "D", value_parser = library::<Window>)]
    pub(crate) every: Option<Window>,
    /// One row per value of these attributes, as they were at the time of each sample; or by device. Rows come by group, those that
    /// are numbers first, as numbers, then by window.
    #[arg(long, value_name = "ATTR[,ATTR]", value_parser = names)]
    pub(crate) by: Vec<Names>,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
    /// Only instants at which a metric passes, as 'temperature_c>25', or a text, as 'mode=on'; repeats as AND.
    #[arg(long, value_name = "M>X", value_parser = library::<ValueFilter>)]
    pub(crate) filter: Vec<ValueFilter>,
    /// Metrics of different clocks: arithmetic has the instants of the metric named first; its others, and those of --filter, count with
    /// their latest sample at or before, not older than this: 90s, 5m. Without it all need a sample at the same instant.
    #[arg(long, value_name = "D", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) tolerance: Option<i64>,
    /// The zone whose days, weeks, months and years are meant; UTC by default. Windows of hours and less begin at multiples of their
    /// length in UTC, whatever the zone.
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// What stands in windows without samples, from --from to --to: none, null, zero, previous, linear. Counts are 0 there; sums,
    /// deltas and rates stay empty but with zero, and histograms always.
    #[arg(long, default_value = "none", value_parser = library::<Fill>)]
    pub(crate) fill: Fill,
    /// Only the N groups that have most, of each window: by a column of the answer, the first of values by default. Rows come by window,
    /// then by rank; NaN and missing values come last.
    #[arg(long, value_name = "N[:COL]", value_parser = ranked, conflicts_with = "bottom")]
    pub(crate) top: Option<Ranked>,
    /// Only the N groups that have least, as --top.
    #[arg(long, value_name = "N[:COL]", value_parser = ranked)]
    pub(crate) bottom: Option<Ranked>,
    /// At most so many rows.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Rows in rising order of a column, or in falling order with COL:desc; texts that are numbers come first, as numbers.
    #[arg(long, value_name = "COL")]
    pub(crate) order: Option<String>,
    /// Only the number of rows, in the memory of what tells them apart.
    #[arg(long)]
    pub(crate) count_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TrendArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// A metric, or arithmetic of metrics.
    #[arg(long, value_name = "M", value_parser = expression)]
    pub(crate) metric: Expression,
    /// The windows whose means the line is fitted to.
    #[arg(long, value_name = "D", value_parser = library::<Window>)]
    pub(crate) every: Window,
    /// One line per value of these attributes, as they were at the time of each sample; or by device.
    #[arg(long, value_name = "ATTR[,ATTR]", value_parser = names)]
    pub(crate) by: Vec<Names>,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
    /// Only instants at which a metric passes; repeats as AND.
    #[arg(long, value_name = "M>X", value_parser = library::<ValueFilter>)]
    pub(crate) filter: Vec<ValueFilter>,
    /// Metrics of different clocks: arithmetic has the instants of the metric named first; its others, and those of --filter, count with
    /// their latest sample at or before, not older than this: 90s, 5m. Without it all need a sample at the same instant.
    #[arg(long, value_name = "D", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) tolerance: Option<i64>,
    /// The zone whose days, weeks, months and years are meant; UTC by default. Windows of hours and less begin at multiples of their
    /// length in UTC, whatever the zone.
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HistogramArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// A metric, or arithmetic of metrics.
    #[arg(long, value_name = "M", value_parser = expression)]
    pub(crate) metric: Expression,
    /// A width (5), whose multiples cut from the least value to the greatest; FROM:TO:COUNT for bins of one width (0:100:20); or edges that
    /// rise (0,10,20,50). A bin holds its lower edge and not its upper; what lies outside is counted in rows without bin_from or bin_to.
    #[arg(long, value_name = "BINS", allow_hyphen_values = true, value_parser = library::<Bins>)]
    pub(crate) bins: Bins,
    /// One histogram per window: 5m, 1h, 1d, 1w, 1mo, 1y.
    #[arg(long, value_name = "D", value_parser = library::<Window>)]
    pub(crate) every: Option<Window>,
    /// One histogram per value of these attributes, as they were at the time of each sample; or by device.
    #[arg(long, value_name = "ATTR[,ATTR]", value_parser = names)]
    pub(crate) by: Vec<Names>,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
    /// Only instants at which a metric passes; repeats as AND.
    #[arg(long, value_name = "M>X", value_parser = library::<ValueFilter>)]
    pub(crate) filter: Vec<ValueFilter>,
    /// As in query: how old a sample of another clock may be.
    #[arg(long, value_name = "D", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) tolerance: Option<i64>,
    /// The zone whose days, weeks, months and years are meant; UTC by default. Windows of hours and less begin at multiples of their
    /// length in UTC, whatever the zone.
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SamplesArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// The device's id.
    #[arg(long)]
    pub(crate) device: String,
    /// Metrics; all of the device by default.
    #[arg(long, value_name = "M[,M]", value_parser = names)]
    pub(crate) metric: Vec<Names>,
    /// From this instant on.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this instant, which is not included.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
    /// One row for each sample of this metric; beside it of every other the latest sample at or before that instant, not older than
    /// --tolerance (an as-of join).
    #[arg(long, value_name = "M", requires = "tolerance")]
    pub(crate) align: Option<String>,
    /// How old a sample beside that of --align may be: 90s, 5m.
    #[arg(long, value_name = "D", allow_hyphen_values = true, value_parser = duration, requires = "align")]
    pub(crate) tolerance: Option<i64>,
    /// About so many rows, three or more, chosen so that peaks stay (LTTB).
    #[arg(long, value_name = "N")]
    pub(crate) downsample: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct LatestArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// Metrics; all by default.
    #[arg(long, value_name = "M[,M]", value_parser = names)]
    pub(crate) metric: Vec<Names>,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
}

#[derive(Debug, Args)]
pub(crate) struct GapsArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// A gap is longer than this: 5m, 1h, 1d; a month counts as 30 days, a year as 365.
    #[arg(long, value_name = "D", allow_hyphen_values = true, value_parser = duration)]
    pub(crate) longer_than: i64,
    /// One row per device.
    #[arg(long, value_parser = ["device"], default_value = "device")]
    pub(crate) by: String,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
}

#[derive(Debug, Args)]
pub(crate) struct OutliersArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// The metric.
    #[arg(long, value_name = "M")]
    pub(crate) metric: String,
    /// How many standard deviations from the device's own mean.
    #[arg(long, default_value_t = 4.0, allow_hyphen_values = true, value_parser = sigma)]
    pub(crate) sigma: f64,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// Only of one kind: firmware, stage, failure, error, maintenance, calibration.
    #[arg(long, value_parser = library::<EventKind>)]
    pub(crate) kind: Option<EventKind>,
    #[command(flatten)]
    pub(crate) cohort: Cohort,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// Commits, segments as the manifest lists them, tombstones.
    #[arg(long)]
    pub(crate) manifest: bool,
    /// Devices and metrics.
    #[arg(long)]
    pub(crate) catalog: bool,
    /// Attributes and their values.
    #[arg(long)]
    pub(crate) index: bool,
    /// Segment files, each read to the last byte.
    #[arg(long)]
    pub(crate) segments: bool,
    /// One segment with its blocks.
    #[arg(long, value_name = "ID")]
    pub(crate) segment: Option<u64>,
    /// One block, by its id as `--segment` lists it: 7.0.time.
    #[arg(long, value_name = "ID", value_parser = library::<fleetlog::dump::BlockId>)]
    pub(crate) block: Option<fleetlog::dump::BlockId>,
    /// Also the values of the blocks shown.
    #[arg(long)]
    pub(crate) values: bool,
    /// Also the bytes of the blocks shown.
    #[arg(long)]
    pub(crate) hex: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which devices").required(true).multiple(true).args(["device", "conditions"]))]
pub(crate) struct DeleteArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// The device's id.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Only while the attribute had one of these values; repeats as AND.
    #[arg(long = "where", value_name = "ATTR=V[,V]", value_parser = condition)]
    pub(crate) conditions: Vec<AttributeFilter>,
    /// Only this metric.
    #[arg(long, value_name = "M", conflicts_with = "events")]
    pub(crate) metric: Option<String>,
    /// Events too.
    #[arg(long)]
    pub(crate) events: bool,
    /// From this instant on.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) from: Timestamp,
    /// Up to this instant, which is not included.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) to: Timestamp,
}
