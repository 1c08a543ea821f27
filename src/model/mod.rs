//! Plain data: what a fleet says, before and after it is stored.
//!
//! Guarantees: a value that exists is valid (names are checked when they are made); nothing here does input or output.

mod attribute;
mod batch;
mod batch_column;
mod column;
mod event;
mod handle;
mod log;
mod metric;
mod name;
mod rows;
mod table;

pub use attribute::{AttributeAssertion, AttributeValue};
pub(crate) use batch::check_labels;
pub use batch::{
    AttributeEntry, BATCH_ROWS_MAX, BatchAttribute, BatchEvent, BatchLog, Delete, DeviceChange, LINK_ATTRIBUTES,
    MESSAGE_BYTES_MAX, ReadingEntry, WriteBatch,
};
pub use batch_column::{BatchColumn, BatchMetric, TEXT_BYTES_MAX};
pub use column::{Column, DeviceRows, Presence, TextValues, Values};
pub use event::{Event, EventKind, Labels};
pub use handle::{DeviceHandle, MetricHandle, SegmentId, Sequence};
pub use log::{LogRecord, Severity, StoredLog};
pub use metric::{MetricDefinition, MetricType, Nature, Value};
pub use name::{AttributeName, DeviceId, MetricName};
pub use rows::merge_rows;
pub use table::{Cell, Rows, Table, TableColumn};
