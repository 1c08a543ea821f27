//! What an import leaves in the store beside its rows: the rows that it refused.
//!
//! They are kept behind the commit of the file's rows: a crash between the two loses the note, never a row, and a file that
//! fails leaves no note of rows that were never in question.

use std::path::Path;

use crate::error::Result;
use crate::store::Store;

use super::counts::Rejections;

/// Keeps the rejections of a file in the store, under the name of the file.
pub(super) fn keep(store: &Store, path: &Path, rejections: Rejections) -> Result<()> {
    let rejections = rejections.in_order();
    if rejections.is_empty() {
        return Ok(());
    }
    store.reject(&path.display().to_string(), &rejections)
}
