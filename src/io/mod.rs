//! The file system seam: all file work of segments and the watermark goes through [`FileSystem`].
//!
//! Guarantees: a file that [`FileSystem::publish`] has put under its final name is whole and durable under that name when
//! the call returns, provided that it was synced before; a folder that [`FileSystem::create_folder`] made is durable with all
//! its parents; every error names the path.

#[cfg(test)]
mod double;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod power_loss;
mod real;

#[cfg(test)]
pub(crate) use double::FileSystemDouble;
#[cfg(test)]
pub use fault::FaultFileSystem;
#[cfg(test)]
pub use power_loss::{Deaf, Kept, PowerLossFileSystem};
pub use real::RealFileSystem;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

/// All file work of segments, watermark and imports goes through this; tests swap in a double.
pub trait FileSystem: Send + Sync + Debug {
    /// Creates a folder and those of its parents that are not there, and makes each of them durable.
    fn create_folder(&self, path: &Path) -> Result<()> {
        let mut missing = Vec::new();
        let mut next = Some(path).filter(|path| !path.as_os_str().is_empty());
        while let Some(folder) = next
            && !self.is_folder(folder)?
        {
            missing.push(folder);
            next = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        }
        for folder in missing.into_iter().rev() {
            self.make_folder(folder)?;
            self.sync_parent(folder)?;
        }
        Ok(())
    }
    /// Creates one folder, not durably; fine where it is there already.
    fn make_folder(&self, path: &Path) -> Result<()>;
    /// Whether the path is a folder.
    fn is_folder(&self, path: &Path) -> Result<bool>;
    /// Names of the files in a folder, sorted.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>>;
    /// Whether the path exists.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// Opens for positioned reading.
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>>;
    /// Creates a new file for appending; fails where it exists.
    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>>;
    /// Opens for positioned writing in place (the watermark), creating it with `length` zero bytes where absent.
    fn open_in_place(&self, path: &Path, length: u64) -> Result<Box<dyn InPlaceFile>> {
        let mut file = self.open_writable(path)?;
        let present = file.len()?;
        if present < length {
            file.write_at(present, &vec![0; (length - present) as usize])?;
            file.sync()?;
        }
        // Also where the file is there: whoever made it may not have come as far as this.
        self.sync_parent(path)?;
        Ok(file)
    }
    /// Opens for positioned writing, creating an empty file where there is none, not durably.
    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>>;
    /// Renames and makes the rename durable (fsync of both folders).
    fn publish(&self, temporary: &Path, path: &Path) -> Result<()> {
        self.rename(temporary, path)?;
        self.sync_parent(path)?;
        if temporary.parent() == path.parent() { Ok(()) } else { self.sync_parent(temporary) }
    }
    /// Renames, over a file that has the name already; not durably.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file; absent is fine.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Holds a folder against other writers, of this process too, until the hold is dropped;
    /// [`crate::ErrorKind::StoreHeld`] where somebody has it.
    fn hold(&self, folder: &Path) -> Result<FolderHold>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
    /// Makes the name of a path durable.
    fn sync_parent(&self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.sync_folder(parent))
    }
}

/// A folder that is held against other writers.
#[derive(Debug)]
pub struct FolderHold(#[expect(dead_code, reason = "it is held, not read")] std::fs::File);

/// Positioned reads of an immutable file.
pub trait ReadFile: Send + Sync + Debug {
    /// Length in bytes.
    fn len(&self) -> u64;
    /// Whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills `buffer` from `offset`; a short file is `Corruption`, with path and range.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// The path, for messages.
    fn path(&self) -> &Path;
}

/// An append-only file.
pub trait WriteFile: Send + Debug {
    /// Appends.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
    /// Bytes appended so far.
    fn position(&self) -> u64;
    /// Makes the content durable.
    fn sync(&mut self) -> Result<()>;
}

/// A small file written in place.
pub trait InPlaceFile: Send + Debug {
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// Whether it is empty.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads the whole file.
    fn read_all(&mut self) -> Result<Vec<u8>>;
    /// Writes at an offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Makes it durable (fdatasync).
    fn sync(&mut self) -> Result<()>;
}
