//! The twin of storage-format.md: bytes to structures and back.
//!
//! Guarantees: to decode is to validate. A structure that comes out of a decoder here is one that an encoder wrote; damaged
//! bytes are [`crate::ErrorKind::Corruption`], those of a newer version [`crate::ErrorKind::UnsupportedVersion`]; nothing
//! panics, and memory is taken only for what the input holds.

mod commit;
mod framed;
mod gap_page;
mod logs;
mod manifest;
mod record;
mod segment_footer;
mod segment_frame;
mod segment_page;
mod watermark;

pub use commit::{Commit, decode_commit, encode_commit};
pub use gap_page::{Gap, LISTED_GAPS_MAX, SliceGaps, decode_gaps, encode_gaps};
pub use logs::{LOGS_MAX, decode_logs, encode_logs};
pub use manifest::{SegmentEntry, Tombstone};
pub use record::{RECORD_BYTES_MAX, RECORD_WRITTEN_BYTES_MAX, decode_record, encode_record};
pub use segment_footer::{FOOTER_BYTES_MAX, Footer, FooterMetric, PageReference};
pub use segment_frame::{
    CHECKSUM_BYTES, FooterVersion, HEADER_BYTES, SEGMENT_VERSION, SegmentHeader, SegmentTrailer, TRAILER_BYTES,
    checked_part, part_checksum,
};
pub use segment_page::{
    BlockStatistics, DirectoryColumn, DirectoryEntry, PAGE_CELLS_MAX, PAGE_ENTRIES_MAX, RollupCell, SLICE_VALUES_MAX,
    decode_directory, decode_rollups, decode_statistics, encode_directory, encode_rollups, encode_statistics,
};
pub use watermark::{Mark, WATERMARK_BYTES, Watermark, decode_slot, decode_watermark, encode_slot};
