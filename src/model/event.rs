//! Events: what happened to a device at an instant.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

use super::DeviceId;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A firmware was installed.
    Firmware,
    /// The device entered a stage of its life.
    Stage,
    /// The device, or a component of it, failed.
    Failure,
    /// The device reported an error.
    Error,
    /// Somebody worked on it.
    Maintenance,
    /// A sensor was calibrated.
    Calibration,
}

impl EventKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 6] =
        [Self::Firmware, Self::Stage, Self::Failure, Self::Error, Self::Maintenance, Self::Calibration];

    /// The kind as the command spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Stage => "stage",
            Self::Failure => "failure",
            Self::Error => "error",
            Self::Maintenance => "maintenance",
            Self::Calibration => "calibration",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidInput, format!("'{}' is not a kind of event", text.escape_default()))
                .advise("use firmware, stage, failure, error, maintenance or calibration")
        })
    }
}

/// The labels of an event, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// Something that happened. (device, time, kind, labels) is its identity: written twice, it is stored once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub time: Timestamp,
    /// To which device.
    pub device: DeviceId,
    /// What kind of event.
    pub kind: EventKind,
    /// Which component, which version, by whom.
    pub labels: Labels,
}
