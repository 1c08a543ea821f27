//! The words of `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fleetlog::ingest::{AmbiguousTime, TimeUnit};
use fleetlog::{EventKind, Timestamp};

use super::value::{Names, Pairs, library, mark, names, pairs, pairs_or_names, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Samples from .csv, .parquet, .jsonl, .lp (line protocol), also .gz and .zst.
    Samples(Box<SamplesImportArguments>),
    /// Devices and their attributes.
    Devices(DevicesImportArguments),
    /// Events: firmware, stage, failure, error, maintenance, calibration.
    Events(EventsImportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct SamplesImportArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// Files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// The column that holds the device id.
    #[arg(long, value_name = "COL")]
    pub(crate) device: Option<String>,
    /// The device of all rows, where no column says it.
    #[arg(long, value_name = "ID")]
    pub(crate) device_id: Option<String>,
    /// The file's name without its endings is the device of all rows.
    #[arg(long)]
    pub(crate) device_from_file_name: bool,
    /// The column of a second device (a gateway): the subject is `device@COL`.
    #[arg(long, value_name = "COL")]
    pub(crate) link_to: Option<String>,
    /// The column that holds the time.
    #[arg(long, value_name = "COL")]
    pub(crate) time: Option<String>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// The columns that are metrics; all but device and time by default. A name with a comma in it stands in double quotes.
    #[arg(long, value_name = "COL[,COL]", value_parser = names)]
    pub(crate) metrics: Vec<Names>,
    /// A new name for a column. No metric is called device or time, as answers have columns of these names: time=clock.
    #[arg(long, value_name = "OLD=NEW[,OLD=NEW]", value_parser = pairs)]
    pub(crate) rename: Vec<Pairs>,
    /// The unit of a metric, by its new name.
    #[arg(long, value_name = "METRIC=UNIT[,METRIC=UNIT]", value_parser = pairs)]
    pub(crate) unit: Vec<Pairs>,
    /// Metrics that are counters: a decrease is a reset.
    #[arg(long, value_name = "METRIC[,METRIC]", value_parser = names)]
    pub(crate) counter: Vec<Names>,
    /// Columns that are text whatever their values look like.
    #[arg(long, value_name = "COL[,COL]", value_parser = names)]
    pub(crate) text: Vec<Names>,
    /// Rows of one device and instant with different values of this column are kept apart, 1 ns each.
    #[arg(long, value_name = "COL")]
    pub(crate) sequence: Option<String>,
    /// Fields of the line protocol are named MEASUREMENT.FIELD: for files in which measurements share names.
    #[arg(long)]
    pub(crate) measurement_in_names: bool,
    #[command(flatten)]
    pub(crate) marks: Marks,
}

#[derive(Debug, Args)]
pub(crate) struct Times {
    /// The format of times, in strftime's letters.
    #[arg(long, value_name = "F")]
    pub(crate) time_format: Option<String>,
    /// The unit of times that are numbers: s, ms, us, ns.
    #[arg(long, value_name = "UNIT", value_parser = library::<TimeUnit>)]
    pub(crate) time_unit: Option<TimeUnit>,
    /// The zone of times without an offset; UTC by default.
    #[arg(long, value_name = "ZONE")]
    pub(crate) input_zone: Option<String>,
    /// What a time means that the zone has twice, as summer time ends: reject, earlier, later.
    #[arg(long, value_name = "WHICH", default_value = "reject", value_parser = library::<AmbiguousTime>)]
    pub(crate) ambiguous_time: AmbiguousTime,
}

#[derive(Debug, Args)]
pub(crate) struct Marks {
    /// What stands between the fields of a CSV file.
    #[arg(long, value_name = "C", default_value = ",", value_parser = mark)]
    pub(crate) delimiter: u8,
    /// The decimal mark of a CSV file.
    #[arg(long, value_name = "C", default_value = ".", value_parser = mark)]
    pub(crate) decimal: u8,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesImportArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// The file.
    pub(crate) file: PathBuf,
    /// The column that holds the device id.
    #[arg(long, value_name = "COL")]
    pub(crate) device: String,
    /// From when on the attributes hold. Without it only attributes that a device does not have yet are set, for all time.
    #[arg(long, value_name = "T", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// The column that says from when on the attributes of a row hold: a history.
    #[arg(long, value_name = "COL", conflicts_with = "from")]
    pub(crate) from_column: Option<String>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// A column that is an attribute, and its name (COL or COL=NAME); all columns by default. No attribute is called device, time or
    /// window, as answers have columns of these names.
    #[arg(long, value_name = "COL=NAME[,COL]", value_parser = pairs_or_names)]
    pub(crate) attribute: Vec<Pairs>,
    /// Columns whose values are numbers, beside lat, lon and the like.
    #[arg(long, value_name = "COL[,COL]", value_parser = names)]
    pub(crate) number: Vec<Names>,
    #[command(flatten)]
    pub(crate) marks: Marks,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("kind of event").required(true).args(["kind", "kind_column"]))]
pub(crate) struct EventsImportArguments {
    /// The store's folder.
    pub(crate) store: PathBuf,
    /// The file.
    pub(crate) file: PathBuf,
    /// The column that holds the device id.
    #[arg(long, value_name = "COL")]
    pub(crate) device: String,
    /// The column that holds the time.
    #[arg(long, value_name = "COL")]
    pub(crate) time: String,
    #[command(flatten)]
    pub(crate) times: Times,
    /// The kind: firmware, stage, failure, error, maintenance, calibration.
    #[arg(long, value_parser = library::<EventKind>)]
    pub(crate) kind: Option<EventKind>,
    /// The column that holds the kind.
    #[arg(long, value_name = "COL")]
    pub(crate) kind_column: Option<String>,
    /// A column that is a label, and its name (COL or COL=NAME).
    #[arg(long, value_name = "COL[,COL]", value_parser = pairs_or_names)]
    pub(crate) label: Vec<Pairs>,
    /// What stands between the fields of a CSV file.
    #[arg(long, value_name = "C", default_value = ",", value_parser = mark)]
    pub(crate) delimiter: u8,
}
