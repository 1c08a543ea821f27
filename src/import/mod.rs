//! Files into the store: samples, devices and events from CSV, JSON lines, line protocol and Parquet, also packed.
//!
//! Guarantees: all of a file goes in or none of it (refused rows aside, which are kept and counted); memory stays within the
//! store's budget whatever the size and order of the file; where rows of a file speak of one device, instant and metric, the later row
//! wins; the same file gives the same store whichever way it is read. A file in order of device and time streams straight
//! into segments; any other is sorted on scratch disk space first.

#[cfg(feature = "parquet")]
mod arrow_columns;
#[cfg(feature = "parquet")]
mod arrow_times;
#[cfg(feature = "import")]
mod assembler;
#[cfg(feature = "import")]
mod block;
#[cfg(feature = "import")]
mod column_buffer;
#[cfg(feature = "import")]
mod counts;
#[cfg(feature = "import")]
mod devices;
#[cfg(feature = "import")]
mod event_sorter;
#[cfg(feature = "import")]
mod events;
#[cfg(feature = "import")]
mod keep;
#[cfg(feature = "import")]
mod options;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "parquet")]
mod parquet_records;
#[cfg(feature = "import")]
mod pass;
#[cfg(feature = "import")]
mod plan;
#[cfg(feature = "import")]
mod records;
#[cfg(feature = "import")]
mod run;
#[cfg(feature = "import")]
mod samples;
#[cfg(feature = "import")]
mod sorter;
#[cfg(feature = "import")]
mod source;
#[cfg(feature = "import")]
mod table;
#[cfg(all(test, feature = "import"))]
mod testing;
#[cfg(all(test, feature = "import"))]
mod tests;
#[cfg(all(test, feature = "import"))]
mod tests_odd;
#[cfg(all(test, feature = "parquet"))]
mod tests_parquet;
#[cfg(all(test, feature = "import"))]
mod tests_real_data;
#[cfg(all(test, feature = "import"))]
mod tests_real_sizes;
#[cfg(all(test, feature = "import"))]
mod tests_tables;

#[cfg(feature = "import")]
pub use counts::ImportCounts;
#[cfg(feature = "import")]
pub use devices::{NUMBER_COLUMNS, import_devices};
#[cfg(feature = "import")]
pub use events::import_events;
#[cfg(feature = "import")]
pub use options::{DevicesImport, EventsImport, KindSource, SamplesImport, TimeForm};
#[cfg(feature = "parquet")]
pub use parquet::panics_become_errors;
#[cfg(feature = "import")]
pub use samples::import_samples;
