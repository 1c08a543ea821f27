//! The metrics of the fleet and what a stretch of one device's samples looks like.

/// A metric that devices report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Degrees Celsius, to 0.01.
    Temperature,
    /// Relative humidity in percent, to 0.1.
    Humidity,
    /// Volts of the battery, to 0.001.
    Battery,
    /// Watts drawn, to 0.01.
    Power,
    /// Strength of the received signal in dBm, whole.
    Rssi,
    /// Round trip in milliseconds, whole.
    Latency,
    /// Errors since the last start: a counter, whole.
    ErrorCount,
    /// Air pressure in hectopascal, to 0.001: the metric that is calibrated, against a reference of the site.
    Pressure,
    /// Vibration in millimetres a second, to 0.01 (model C, in place of humidity).
    Vibration,
    /// Whether the cabinet's door is open (model D, in place of the battery: it has mains).
    DoorOpen,
    /// What the device does: idle, run or service (model E, in place of humidity).
    Mode,
}

/// All metrics, in the order of the columns.
pub const METRICS: [Metric; 11] = [
    Metric::Temperature,
    Metric::Humidity,
    Metric::Battery,
    Metric::Power,
    Metric::Rssi,
    Metric::Latency,
    Metric::ErrorCount,
    Metric::Pressure,
    Metric::Vibration,
    Metric::DoorOpen,
    Metric::Mode,
];

/// What [`Metric::Mode`] can be.
pub const MODES: [&str; 3] = ["idle", "run", "service"];

impl Metric {
    /// The column's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Temperature => "temperature_c",
            Self::Humidity => "humidity_percent",
            Self::Battery => "battery_v",
            Self::Power => "power_w",
            Self::Rssi => "rssi_dbm",
            Self::Latency => "latency_ms",
            Self::ErrorCount => "error_count",
            Self::Pressure => "pressure_hpa",
            Self::Vibration => "vibration_mm_s",
            Self::DoorOpen => "door_open",
            Self::Mode => "mode",
        }
    }
}

/// Values of one metric.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// Decimals.
    Float(&'a [f64]),
    /// Whole numbers.
    Integer(&'a [i64]),
    /// Truth values.
    Boolean(&'a [bool]),
    /// Places in [`MODES`].
    Mode(&'a [u8]),
}

/// A stretch of one device's samples, column by column, in true order of time. A metric that the model does not report is empty.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// The device's number.
    pub device: u32,
    /// When the device says it was, in milliseconds since 1970: its clock may be wrong.
    pub times_ms: Vec<i64>,
    /// When it really was.
    pub true_times_ms: Vec<i64>,
    pub(crate) temperature: Vec<f64>,
    pub(crate) humidity: Vec<f64>,
    pub(crate) battery: Vec<f64>,
    pub(crate) power: Vec<f64>,
    pub(crate) rssi: Vec<i64>,
    pub(crate) latency: Vec<i64>,
    pub(crate) error_count: Vec<i64>,
    pub(crate) pressure: Vec<f64>,
    pub(crate) vibration: Vec<f64>,
    pub(crate) door_open: Vec<bool>,
    pub(crate) mode: Vec<u8>,
}

/// Applies an expression to every column's vector in turn.
macro_rules! every_column {
    ($columns:expr, |$column:ident| $body:expr) => {{
        let columns = $columns;
        {
            let $column = &mut columns.times_ms;
            $body
        }
        {
            let $column = &mut columns.true_times_ms;
            $body
        }
        {
            let $column = &mut columns.temperature;
            $body
        }
        {
            let $column = &mut columns.humidity;
            $body
        }
        {
            let $column = &mut columns.battery;
            $body
        }
        {
            let $column = &mut columns.power;
            $body
        }
        {
            let $column = &mut columns.rssi;
            $body
        }
        {
            let $column = &mut columns.latency;
            $body
        }
        {
            let $column = &mut columns.error_count;
            $body
        }
        {
            let $column = &mut columns.pressure;
            $body
        }
        {
            let $column = &mut columns.vibration;
            $body
        }
        {
            let $column = &mut columns.door_open;
            $body
        }
        {
            let $column = &mut columns.mode;
            $body
        }
    }};
}

impl Columns {
    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times_ms.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times_ms.is_empty()
    }

    /// The values of a metric, as many as samples; empty where the model does not report it.
    #[must_use]
    pub fn values(&self, metric: Metric) -> Values<'_> {
        match metric {
            Metric::Temperature => Values::Float(&self.temperature),
            Metric::Humidity => Values::Float(&self.humidity),
            Metric::Battery => Values::Float(&self.battery),
            Metric::Power => Values::Float(&self.power),
            Metric::Rssi => Values::Integer(&self.rssi),
            Metric::Latency => Values::Integer(&self.latency),
            Metric::ErrorCount => Values::Integer(&self.error_count),
            Metric::Pressure => Values::Float(&self.pressure),
            Metric::Vibration => Values::Float(&self.vibration),
            Metric::DoorOpen => Values::Boolean(&self.door_open),
            Metric::Mode => Values::Mode(&self.mode),
        }
    }

    /// The values of a metric as floats (booleans as 0 and 1, modes as their place); empty where it is not reported.
    #[must_use]
    pub fn floats(&self, metric: Metric) -> Vec<f64> {
        match self.values(metric) {
            Values::Float(values) => values.to_vec(),
            Values::Integer(values) => values.iter().map(|value| *value as f64).collect(),
            Values::Boolean(values) => values.iter().map(|value| f64::from(u8::from(*value))).collect(),
            Values::Mode(values) => values.iter().map(|value| f64::from(*value)).collect(),
        }
    }

    /// Brings the samples into an order: `order` names the place so far of each sample that stays.
    pub(crate) fn reorder(&mut self, order: &[usize]) {
        every_column!(&mut *self, |column| {
            if !column.is_empty() {
                *column = order.iter().map(|place| column[*place]).collect();
            }
        });
    }

    /// Appends another stretch of the same device.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.device = other.device;
        self.times_ms.append(&mut other.times_ms);
        self.true_times_ms.append(&mut other.true_times_ms);
        self.temperature.append(&mut other.temperature);
        self.humidity.append(&mut other.humidity);
        self.battery.append(&mut other.battery);
        self.power.append(&mut other.power);
        self.rssi.append(&mut other.rssi);
        self.latency.append(&mut other.latency);
        self.error_count.append(&mut other.error_count);
        self.pressure.append(&mut other.pressure);
        self.vibration.append(&mut other.vibration);
        self.door_open.append(&mut other.door_open);
        self.mode.append(&mut other.mode);
    }

    /// Takes the first samples away.
    pub(crate) fn take_first(&mut self, count: usize) -> Self {
        let mut first = self.clone();
        first.reorder(&(0..count).collect::<Vec<_>>());
        self.reorder(&(count..self.len()).collect::<Vec<_>>());
        first
    }

    /// Sorts by the device's own time; of equal times the later sample stays behind.
    pub(crate) fn sort_by_time(&mut self) {
        if self.times_ms.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|place| (self.times_ms[*place], self.true_times_ms[*place]));
        self.reorder(&order);
    }
}
