//! What an import is told: the options of the three kinds of import, as plain fields.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{AmbiguousTime, CsvOptions, TimeReader, TimeUnit};
use crate::model::{AttributeName, DeviceId, EventKind, MetricName, WriteBatch};
use crate::time::Timestamp;

/// How samples lie in a file. Made with [`SamplesImport::default`] and changed field by field.
///
/// ```
/// use fleetlog::import::SamplesImport;
/// let mut options = SamplesImport::default();
/// options.device_column = Some("machineID".to_owned());
/// options.time_column = Some("datetime".to_owned());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SamplesImport {
    /// The column that holds the device id.
    pub device_column: Option<String>,
    /// The device of all rows, where no column says it.
    pub device_id: Option<String>,
    /// Whether the file's name without its endings is the device of all rows.
    pub device_from_file_name: bool,
    /// The column of a second device (a gateway): the subject of a row is `device@gateway`.
    pub link_to: Option<String>,
    /// The column that holds the time. Line protocol needs none.
    pub time_column: Option<String>,
    /// How times are written.
    pub times: TimeForm,
    /// The columns that are metrics; all but device, link and time where `None`.
    pub metrics: Option<Vec<String>>,
    /// New names for columns: (column, metric).
    pub rename: Vec<(String, String)>,
    /// Units of metrics, by their new names: (metric, unit).
    pub units: Vec<(String, String)>,
    /// Metrics that are counters, by their new names: a decrease is a reset.
    pub counters: Vec<String>,
    /// Columns that are text whatever their values look like.
    pub text_columns: Vec<String>,
    /// The column that keeps rows of one device and instant apart.
    pub sequence_column: Option<String>,
    /// What stands between the fields of a CSV file.
    pub delimiter: u8,
    /// The decimal mark of a CSV file: `b'.'` or `b','`.
    pub decimal: u8,
    /// Whether fields of the line protocol are named `measurement.field`.
    pub name_with_measurement: bool,
    /// Where the sorter keeps what does not fit in memory; the store's own folder where `None`.
    pub scratch_folder: Option<PathBuf>,
}

impl Default for SamplesImport {
    fn default() -> Self {
        Self {
            device_column: None,
            device_id: None,
            device_from_file_name: false,
            link_to: None,
            time_column: None,
            times: TimeForm::default(),
            metrics: None,
            rename: Vec::new(),
            units: Vec::new(),
            counters: Vec::new(),
            text_columns: Vec::new(),
            sequence_column: None,
            delimiter: b',',
            decimal: b'.',
            name_with_measurement: false,
            scratch_folder: None,
        }
    }
}

impl SamplesImport {
    /// Checks what can be checked without a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where options contradict each other.
    pub fn check(&self) -> Result<()> {
        let ways = [self.device_column.is_some(), self.device_id.is_some(), self.device_from_file_name];
        match ways.iter().filter(|way| **way).count() {
            0 => {
                return Err(Error::new(ErrorKind::InvalidInput, "nothing says which device the rows are of")
                    .advise("name its column (--device), its id (--device-id), or use --device-from-file-name"));
            }
            1 => {}
            _ => {
                return Err(Error::new(ErrorKind::InvalidInput, "the device is given in more than one way")
                    .advise("use one of --device, --device-id and --device-from-file-name"));
            }
        }
        if let Some(id) = &self.device_id {
            DeviceId::new(id)?;
        }
        for (_, metric) in &self.rename {
            MetricName::to_write(metric).map_err(|error| error.advise("give the metric another name"))?;
        }
        check_marks(self.delimiter, self.decimal)?;
        self.times.reader()?;
        Ok(())
    }
}

fn check_marks(delimiter: u8, decimal: u8) -> Result<()> {
    if !delimiter.is_ascii() || matches!(delimiter, b'"' | b'\n' | b'\r') {
        return Err(Error::new(ErrorKind::InvalidInput, "the delimiter can not separate fields")
            .advise("use one ASCII character that is neither a quote nor a line end"));
    }
    if !matches!(decimal, b'.' | b',') {
        return Err(Error::new(ErrorKind::InvalidInput, "the decimal mark must be '.' or ','"));
    }
    if decimal == delimiter {
        return Err(Error::new(ErrorKind::InvalidInput, "the delimiter and the decimal mark are the same character")
            .advise("name the delimiter with --delimiter, often ';'"));
    }
    Ok(())
}

/// How times are written in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TimeForm {
    /// The format, in strftime's letters.
    pub format: Option<String>,
    /// The unit, where times are numbers.
    pub unit: Option<TimeUnit>,
    /// The zone of times without an offset; UTC where `None`.
    pub zone: Option<String>,
    /// What a time means that the zone has twice.
    pub ambiguous: AmbiguousTime,
}

impl TimeForm {
    /// A reader of such times.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as [`TimeReader::new`] says.
    pub fn reader(&self) -> Result<TimeReader> {
        TimeReader::new(self.format.as_deref(), self.unit, self.zone.as_deref(), self.ambiguous)
    }
}

/// How devices and their attributes lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevicesImport {
    /// The column that holds the device id.
    pub device_column: String,
    /// From when on the attributes hold. `None`: only attributes that a device does not have yet are set, for all time, and a
    /// changed value is refused.
    pub from: Option<Timestamp>,
    /// The column that says from when on the attributes of a row hold: a history, in any order.
    pub from_column: Option<String>,
    /// How its times are written.
    pub times: TimeForm,
    /// The columns that are attributes: (column, attribute). All but the device's, under their own names, where empty.
    pub attributes: Vec<(String, String)>,
    /// Columns whose values are numbers beside those of [`super::NUMBER_COLUMNS`].
    pub number_columns: Vec<String>,
    /// What stands between the fields of a CSV file.
    pub delimiter: u8,
    /// The decimal mark of a CSV file.
    pub decimal: u8,
}

impl DevicesImport {
    /// Devices by a column, without a time.
    #[must_use]
    pub fn new(device_column: impl Into<String>) -> Self {
        Self {
            device_column: device_column.into(),
            from: None,
            from_column: None,
            times: TimeForm::default(),
            attributes: Vec::new(),
            number_columns: Vec::new(),
            delimiter: CsvOptions::default().delimiter,
            decimal: b'.',
        }
    }

    /// Checks what can be checked without a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where options contradict each other or can not be used.
    pub fn check(&self) -> Result<()> {
        check_marks(self.delimiter, self.decimal)?;
        if self.from.is_some() && self.from_column.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, "one time for all rows and a column of times are given")
                .advise("use one of --from and --from-column"));
        }
        for (_, attribute) in &self.attributes {
            AttributeName::to_write(attribute).map_err(|error| error.advise("give the attribute another name"))?;
        }
        self.times.reader()?;
        Ok(())
    }
}

/// What kind the events of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KindSource {
    /// All of one kind.
    Fixed(EventKind),
    /// By a column; values that are not the name of a kind are looked up in the list.
    Column {
        /// The column.
        column: String,
        /// What other values mean.
        meanings: Vec<(String, EventKind)>,
    },
}

/// How events lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventsImport {
    /// The column that holds the device id.
    pub device_column: String,
    /// The column that holds the time.
    pub time_column: String,
    /// How times are written.
    pub times: TimeForm,
    /// What kind they are.
    pub kind: KindSource,
    /// The columns that are labels: (column, label).
    pub labels: Vec<(String, String)>,
    /// What stands between the fields of a CSV file.
    pub delimiter: u8,
}

impl EventsImport {
    /// Events by columns, without labels.
    #[must_use]
    pub fn new(device_column: impl Into<String>, time_column: impl Into<String>, kind: KindSource) -> Self {
        Self {
            device_column: device_column.into(),
            time_column: time_column.into(),
            times: TimeForm::default(),
            kind,
            labels: Vec::new(),
            delimiter: CsvOptions::default().delimiter,
        }
    }

    /// Checks what can be checked without a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where options can not be used, [`ErrorKind::LimitExceeded`] for too many or too long labels.
    pub fn check(&self) -> Result<()> {
        check_marks(self.delimiter, if self.delimiter == b'.' { b',' } else { b'.' })?;
        let mut events = WriteBatch::new();
        let labels = self.labels.iter().map(|(_, label)| (label.as_str(), ""));
        events.event("any", Timestamp::from_nanoseconds(0), EventKind::Error, labels);
        events.check()?;
        self.times.reader()?;
        Ok(())
    }
}
