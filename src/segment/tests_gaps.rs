//! Pages of gaps: footers without them are read as before, those of a later program are refused, and a page that is not true is damage.

use std::path::Path;
use std::sync::Arc;

use super::cache::CachedPage;
use super::tests::{MemoryFile, document_segment, golden, pages};
use super::*;
use crate::error::ErrorKind;
use crate::format::TRAILER_BYTES;

/// The trailer of a file with another version, and the checksum that fits.
fn with_footer_version(mut bytes: Vec<u8>, version: u16) -> Vec<u8> {
    let trailer = bytes.len() - TRAILER_BYTES;
    bytes[trailer + 12..trailer + 14].copy_from_slice(&version.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[trailer..trailer + 20]);
    bytes[trailer + 20..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_footer_of_a_later_program_is_refused_as_too_new() {
    for version in [0, 3, u16::MAX] {
        let (bytes, entry) = golden(2);
        let file = MemoryFile(with_footer_version(bytes, version));
        let error = Segment::open(&file, Path::new(""), &entry, &pages()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
        assert!(error.to_string().contains(&format!("version {version} of the footer")), "{error}");
        assert!(error.to_string().contains("newer fleetlog") && error.path().is_some(), "{error}");
        // Nothing is salvaged of what nobody here knows how to read.
        let (segment, damage) = Segment::open_past_damage(&file, Path::new("000000000000002a.fls"));
        assert!(segment.is_none() && damage[0].kind() == ErrorKind::UnsupportedVersion, "{damage:?}");
    }
}

#[test]
fn a_footer_under_another_version_is_damage() {
    for (version, other) in [(1, 2), (2, 1)] {
        let (bytes, entry) = golden(version);
        let file = MemoryFile(with_footer_version(bytes, other));
        let error = Segment::open(&file, Path::new(""), &entry, &pages()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    }
}

#[test]
fn behind_a_damaged_trailer_footers_of_every_version_are_found() {
    for version in [1, 2] {
        let (mut bytes, _) = golden(version);
        let place = bytes.len() - TRAILER_BYTES + 12;
        bytes[place] ^= 3;
        let (segment, damage) = Segment::open_past_damage(&MemoryFile(bytes), Path::new("000000000000002a.fls"));
        assert_eq!((damage.len(), damage[0].kind()), (1, ErrorKind::Corruption));
        let segment = segment.unwrap();
        assert_eq!(segment.gaps(0).unwrap().is_some(), version == 2);
        assert!(segment.verify().is_empty());
    }
}

/// The document's segment, two rows a minute apart, with a page of gaps that says otherwise.
fn with_gaps(page: Vec<SliceGaps>) -> Segment {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, entry) = document_segment(folder.path());
    let pages = pages();
    let segment = Segment::open(&MemoryFile(bytes), Path::new(""), &entry, &pages).unwrap();
    let offset = segment.footer().gaps.as_ref().unwrap()[0].offset;
    pages.get(segment.id(), offset, || Ok(CachedPage::Gaps(Arc::new(page)))).unwrap();
    segment
}

#[test]
fn gaps_that_the_rows_do_not_have_are_damage() {
    let minute_ns = 60_000_000_000;
    let gaps = |slice, unlisted_ns| SliceGaps { slice, unlisted_ns, listed: Vec::new() };
    let good = with_gaps(vec![gaps(0, minute_ns)]);
    assert_eq!(good.gaps(0).unwrap(), Some(gaps(0, minute_ns)));
    assert!(good.verify().is_empty());
    let listed = vec![Gap { from: crate::time::DAY_NS, length_ns: minute_ns }];
    let all_listed = with_gaps(vec![SliceGaps { slice: 0, unlisted_ns: 0, listed: listed.clone() }]);
    assert_eq!(all_listed.gaps(0).unwrap().unwrap().listed, listed);
    assert!(all_listed.verify().is_empty());
    for untrue in [gaps(0, minute_ns - 1), gaps(0, minute_ns + 1), SliceGaps { slice: 0, unlisted_ns: 1, listed }] {
        let segment = with_gaps(vec![untrue]);
        let error = segment.gaps(0).unwrap_err();
        assert!(error.kind() == ErrorKind::Corruption && error.range().is_some(), "{error}");
        assert_eq!(segment.verify().len(), 1);
    }
    // What a page does not speak of is read; but every slice of two rows has its place in one.
    let silent = with_gaps(vec![gaps(1, 7)]);
    assert_eq!(silent.gaps(0).unwrap(), None);
    assert_eq!(silent.verify().len(), 1);
}
