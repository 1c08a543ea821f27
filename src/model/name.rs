//! Names from outside, checked once when they are made: device ids, metric names, attribute names.
//!
//! The rule for columns: no answer has two columns of one name. What is written can not be called as a column that answers have
//! of their own: no metric `device` or `time`, no attribute `device`, `time` or `window`. A store that was written before this rule
//! may hold such names, so that `new` takes them, and only [`MetricName::to_write`] and [`AttributeName::to_write`] refuse.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;

fn check(what: &str, text: &str) -> Result<()> {
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > NAME_BYTES_MAX {
        format!("has {} bytes, more than {NAME_BYTES_MAX}", text.len())
    } else if text.chars().any(char::is_control) {
        "holds a control character".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = text.chars().take(40).flat_map(char::escape_default).collect();
    Err(Error::new(ErrorKind::InvalidInput, format!("{what} '{shown}' {problem}"))
        .advise(format!("use 1 to {NAME_BYTES_MAX} bytes of UTF-8 without control characters")))
}

/// Columns that answers have beside metrics.
const METRICS_RESERVED: [&str; 2] = ["device", "time"];
/// Columns that answers have beside attributes.
const ATTRIBUTES_RESERVED: [&str; 3] = ["device", "time", "window"];

fn check_reserved(what: &str, text: &str, reserved: &[&str]) -> Result<()> {
    if reserved.contains(&text) {
        let message = format!("no {what} can be called '{text}': answers have a column of that name");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks the text and makes a ", $what, " of it.")]
            ///
            /// # Errors
            /// [`ErrorKind::InvalidInput`] when it is empty, longer than 128 bytes, or holds a control character.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A device's identity: 1 to 128 bytes of text without control characters.
    ///
    /// A link (a device as one gateway hears it) is the subject `device@gateway`.
    DeviceId, "device id"
}
name! {
    /// A metric's name, with its unit last where it has one: `power_w`.
    MetricName, "metric name"
}
name! {
    /// An attribute's name: `model`, `firmware`, `region`.
    AttributeName, "attribute name"
}

impl MetricName {
    /// Checks the text and makes a metric name of it under which something is written.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as [`MetricName::new`], and for `device` and `time`: answers have columns of these names.
    pub fn to_write(text: impl AsRef<str>) -> Result<Self> {
        check_reserved("metric", text.as_ref(), &METRICS_RESERVED)?;
        Self::new(text)
    }
}

impl AttributeName {
    /// Checks the text and makes an attribute name of it under which something is written.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as [`AttributeName::new`], and for `device`, `time` and `window`: answers have columns of these
    /// names.
    pub fn to_write(text: impl AsRef<str>) -> Result<Self> {
        check_reserved("attribute", text.as_ref(), &ATTRIBUTES_RESERVED)?;
        Self::new(text)
    }
}

impl DeviceId {
    /// The subject of a link: this device as one gateway hears it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when `device@gateway` is longer than 128 bytes, or the device's own id holds an `@`: two
    /// different links would be one subject.
    pub fn link(&self, gateway: &Self) -> Result<Self> {
        if self.as_str().contains('@') {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("device id '{self}' holds an '@', so that its links could not be told from those of another"),
            )
            .advise("give the device an id without '@'"));
        }
        Self::new(format!("{self}@{gateway}"))
    }
}
