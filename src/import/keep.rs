//! What an import leaves in the store beside its rows: the rows that it refused.
//!
//! They are kept behind the commit of the file's rows: a crash between the two loses the note, never a row, and a file that
//! fails leaves no note of rows that were never in question. Where the note alone can not be written, the import did not fail:
//! its rows are in, and the count of what is kept says the rest.

use std::path::Path;

use crate::store::Store;

use super::counts::Rejections;

/// Keeps the rejections of a file in the store, under the name of the file. Gives how many.
pub(super) fn keep(store: &Store, path: &Path, rejections: Rejections) -> u64 {
    let rejections = rejections.in_order();
    if rejections.is_empty() {
        return 0;
    }
    match store.reject(&path.display().to_string(), &rejections) {
        Ok(()) => rejections.len() as u64,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the rows that were refused could not be kept");
            0
        }
    }
}
