//! fleetlog: an embedded time-series store with fleet analytics.

mod bytes;
pub mod catalog;
pub mod codec;
#[cfg(test)]
mod document;
pub mod dump;
pub mod error;
pub mod format;
pub mod hot;
pub mod import;
pub mod index;
pub mod ingest;
pub mod io;
pub mod kv;
pub mod model;
pub mod operator;
pub mod scan;
pub mod segment;
pub mod store;
pub mod time;

pub use error::{Error, ErrorKind, Result};
pub use model::*;
pub use store::{Durability, Options, Progress, Snapshot, Store};
pub use time::{BucketWidth, Clock, SystemClock, TimeBucket, TimeRange, Timestamp, Window};

/// The README's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
