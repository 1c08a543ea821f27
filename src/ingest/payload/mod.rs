//! Payloads that devices send: bytes in, observations or a refusal out.
//!
//! Guarantees: decoding is pure: it reads no clock, no file and no state but what is handed in; no bytes make it panic, or hold more than
//! [`PAYLOAD_BYTES_MAX`], [`RECORDS_MAX`], [`NODES_MAX`] and [`super::DEPTH_MAX`] allow; a payload is taken whole or refused whole, with a
//! [`Refusal`] that says why; buffers are used again, so that a payload like the one before takes no new memory.
//!
//! One file each format. Formats without a schema of their own (JSON, CBOR) become a [`Document`]; [`observe`] makes observations of it.

mod cbor;
mod document;
mod flatten;
mod json;
mod lorawan;
mod observation;
mod senml;
#[cfg(test)]
mod tests_json;

pub use cbor::read_cbor;
pub use document::{Document, Node, Nodes, Scalar};
pub use flatten::observe;
pub use json::read_json;
pub use lorawan::{NetworkServer, observe_uplink};
pub use observation::{Observation, Observations, SentTime};
pub use senml::{SenmlLabels, observe_senml};

use crate::time::Timestamp;

/// The most bytes of a payload, unpacked.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 10;
/// The most records of a payload.
pub const RECORDS_MAX: usize = 4_096;
/// The most values, objects and lists of a payload.
pub const NODES_MAX: usize = 1 << 17;
/// The most bytes of a name or a text.
pub const TEXT_BYTES_MAX: usize = 1 << 10;

/// What a payload was refused for: few words, to count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalKind {
    /// More bytes, records, values or deeper nesting than a payload may have.
    TooLarge,
    /// Not what the format says.
    Malformed,
    /// A number that no value holds.
    OutOfRange,
}

impl RefusalKind {
    /// The word that it is counted by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::OutOfRange => "out_of_range",
        }
    }
}

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it counts as.
    pub kind: RefusalKind,
    /// One sentence without a full stop.
    pub reason: String,
}

impl Refusal {
    /// A refusal with its sentence.
    #[must_use]
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    pub(crate) fn malformed(reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::Malformed, reason)
    }

    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self::new(RefusalKind::TooLarge, reason)
    }
}

/// What decoding gives.
pub type Decoded<T> = std::result::Result<T, Refusal>;

/// Refuses a payload that is longer than any may be.
///
/// # Errors
/// [`RefusalKind::TooLarge`].
pub fn check_length(payload: &[u8]) -> Decoded<()> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::too_large(format!("{} bytes are more than {PAYLOAD_BYTES_MAX}", payload.len())));
    }
    Ok(())
}

/// An instant in the form of RFC 3339, in nanoseconds since the epoch.
fn instant(text: &str) -> Decoded<i64> {
    let instant = Timestamp::parse(text).map(Timestamp::nanoseconds);
    instant.map_err(|_| Refusal::malformed(format!("{} is no time in the form of RFC 3339", super::excerpt(text))))
}
