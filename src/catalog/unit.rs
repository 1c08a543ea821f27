//! Units: how a value in one unit becomes one in another of the same quantity.
//!
//! The symbols and their sizes are `uom`'s, with the spellings that devices use beside them. A unit that is not known is
//! equal to itself only. Decibels are never scaled: they are logarithms.

use std::str::FromStr;

use uom::si::f64::{
    Angle, AngularVelocity, ElectricCharge, ElectricCurrent, ElectricPotential, ElectricalResistance, Energy, Force,
    Frequency, Illuminance, Length, Mass, MassDensity, Power, Pressure, Ratio, ThermodynamicTemperature, Time, Torque,
    Velocity, Volume, VolumeRate,
};

use crate::error::{Error, ErrorKind, Result};
use crate::model::{MetricType, Values};

/// How values must be changed to fit a metric: `value * scale + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    /// The factor.
    pub scale: f64,
    /// What is added after it.
    pub offset: f64,
}

/// Other spellings of a symbol.
const SPELLINGS: [(&str, &str); 34] = [
    ("C", "°C"),
    ("degC", "°C"),
    ("celsius", "°C"),
    ("Celsius", "°C"),
    ("F", "°F"),
    ("degF", "°F"),
    ("fahrenheit", "°F"),
    ("kelvin", "K"),
    ("pct", "%"),
    ("percent", "%"),
    ("us", "µs"),
    ("sec", "s"),
    ("seconds", "s"),
    ("hr", "h"),
    ("hours", "h"),
    ("um", "µm"),
    ("kph", "km/h"),
    ("kmh", "km/h"),
    ("mph", "mi/h"),
    ("uA", "µA"),
    ("uV", "µV"),
    ("uW", "µW"),
    ("Wh", "W · h"),
    ("kWh", "kW · h"),
    ("MWh", "MW · h"),
    ("Ah", "A · h"),
    ("mAh", "mA · h"),
    ("Nm", "N · m"),
    ("m3", "m³"),
    ("l", "L"),
    ("ml", "mL"),
    ("l/min", "L/min"),
    ("deg", "°"),
    ("ohm", "Ω"),
];

/// The sizes of 0 and 1 of a unit in the base unit of its quantity, and the quantity's name.
fn measure(unit: &str) -> Option<(&'static str, f64, f64)> {
    let symbol = SPELLINGS.iter().find(|(spelling, _)| *spelling == unit).map_or(unit, |(_, symbol)| symbol);
    fn read<Q: FromStr>(symbol: &str, value: impl Fn(Q) -> f64) -> Option<(f64, f64)> {
        let of = |number: &str| format!("{number} {symbol}").parse::<Q>().ok().map(&value);
        Some((of("0")?, of("1")?))
    }
    macro_rules! first_of {
        ($($quantity:ident),* $(,)?) => {
            None$(.or_else(|| {
                read::<$quantity>(symbol, |quantity| quantity.value).map(|(zero, one)| (stringify!($quantity), zero, one))
            }))*
        };
    }
    first_of!(
        Power,
        ElectricPotential,
        ElectricCurrent,
        ThermodynamicTemperature,
        Pressure,
        Ratio,
        Time,
        Length,
        Velocity,
        Frequency,
        AngularVelocity,
        Energy,
        ElectricCharge,
        ElectricalResistance,
        Illuminance,
        Volume,
        VolumeRate,
        Mass,
        MassDensity,
        Force,
        Torque,
        Angle,
    )
}

impl Conversion {
    /// From one unit into another; `None` where both are the same.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`] where they are not of one quantity, or one of them is unknown.
    pub fn between(from: &str, to: &str) -> Result<Option<Self>> {
        if from == to {
            return Ok(None);
        }
        let (source, target) = (measure(from), measure(to));
        let (Some((quantity, zero, one)), Some((target_quantity, target_zero, target_one))) = (source, target) else {
            let unknown = if source.is_none() { from } else { to };
            return Err(Error::new(
                ErrorKind::TypeMismatch,
                format!("unit '{from}' does not convert to '{to}': '{unknown}' is not known"),
            )
            .advise("send the values in the metric's unit, or under a metric of their own"));
        };
        if quantity != target_quantity {
            return Err(Error::new(
                ErrorKind::TypeMismatch,
                format!("unit '{from}' is not of the same quantity as '{to}'"),
            )
            .advise("give the values a metric of their own"));
        }
        let size = target_one - target_zero;
        let conversion = Self { scale: (one - zero) / size, offset: (zero - target_zero) / size };
        Ok((conversion != Self { scale: 1.0, offset: 0.0 }).then_some(conversion))
    }

    /// The integer factor, where integers stay integers.
    fn integer_scale(self) -> Option<i64> {
        let whole = self.offset == 0.0 && self.scale.fract() == 0.0 && self.scale.abs() < 1e15;
        whole.then_some(self.scale as i64)
    }

    /// The type of the converted values of a type.
    #[must_use]
    pub fn output_type(self, metric_type: MetricType) -> MetricType {
        match metric_type {
            MetricType::Integer if self.integer_scale().is_none() => MetricType::Float,
            same => same,
        }
    }

    /// Converts values.
    ///
    /// # Errors
    /// [`ErrorKind::TypeMismatch`] for text and booleans, which have no unit; [`ErrorKind::InvalidInput`] where an integer
    /// passes 64 bits.
    pub fn apply(self, values: Values) -> Result<Values> {
        let float = |value: f64| value * self.scale + self.offset;
        match (values, self.integer_scale()) {
            (Values::Float(values), _) => Ok(Values::Float(values.into_iter().map(float).collect())),
            (Values::Integer(values), None) => {
                Ok(Values::Float(values.into_iter().map(|value| float(value as f64)).collect()))
            }
            (Values::Integer(values), Some(scale)) => {
                let scaled = |value: i64| {
                    value.checked_mul(scale).ok_or_else(|| {
                        Error::new(ErrorKind::InvalidInput, format!("{value} times {scale} does not fit 64 bits"))
                    })
                };
                values.into_iter().map(scaled).collect::<Result<_>>().map(Values::Integer)
            }
            (Values::Boolean(_) | Values::Text(_), _) => {
                Err(Error::new(ErrorKind::TypeMismatch, "values that are not numbers have no unit to convert"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_conversions() {
        // Exact by definition: SI prefixes, the Celsius and Fahrenheit scales (NIST SP 811, appendix B.8), the hour.
        for (from, to, value, expected) in [
            ("kW", "W", 1.5, 1_500.0),
            ("mV", "V", 3_300.0, 3.3),
            ("°F", "°C", 212.0, 100.0),
            ("degF", "C", -40.0, -40.0),
            ("K", "celsius", 273.15, 0.0),
            ("C", "K", 20.0, 293.15),
            ("hPa", "kPa", 1_013.25, 101.325),
            ("bar", "Pa", 1.0, 100_000.0),
            ("psi", "kPa", 1.0, 6.894_757),
            ("percent", "ppm", 1.0, 10_000.0),
            ("ms", "s", 250.0, 0.25),
            ("h", "min", 2.0, 120.0),
            ("km/h", "m/s", 36.0, 10.0),
            ("kWh", "Wh", 2.0, 2_000.0),
            ("kWh", "J", 1.0, 3_600_000.0),
            ("mAh", "Ah", 500.0, 0.5),
            ("l/min", "L/s", 60.0, 1.0),
            ("m3", "l", 1.0, 1_000.0),
            ("deg", "rad", 180.0, std::f64::consts::PI),
            ("kHz", "Hz", 1.0, 1_000.0),
            ("uA", "mA", 1_000.0, 1.0),
        ] {
            let conversion = Conversion::between(from, to).unwrap().unwrap();
            let Values::Float(got) = conversion.apply(Values::Float(vec![value])).unwrap() else { panic!() };
            assert!((got[0] - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{value} {from} is {} {to}", got[0]);
        }
    }

    #[test]
    fn what_is_not_of_one_quantity_is_refused() {
        for (from, to) in [("W", "V"), ("dBm", "W"), ("dBm", "dB"), ("bananas", "apples"), ("rpm", "°C")] {
            assert_eq!(Conversion::between(from, to).unwrap_err().kind(), ErrorKind::TypeMismatch, "{from} to {to}");
        }
        assert_eq!(Conversion::between("bananas", "bananas").unwrap(), None);
        assert_eq!(Conversion::between("C", "°C").unwrap(), None);
    }

    #[test]
    fn integers_stay_integers_where_the_factor_is_whole() {
        let watts = Conversion::between("kW", "W").unwrap().unwrap();
        assert!(matches!(watts.apply(Values::Integer(vec![3])).unwrap(), Values::Integer(values) if values == [3_000]));
        assert_eq!(watts.apply(Values::Integer(vec![i64::MAX])).unwrap_err().kind(), ErrorKind::InvalidInput);
        let kilowatts = Conversion::between("W", "kW").unwrap().unwrap();
        assert_eq!(kilowatts.output_type(MetricType::Integer), MetricType::Float);
        assert!(kilowatts.apply(Values::Boolean(vec![true])).is_err());
    }
}
