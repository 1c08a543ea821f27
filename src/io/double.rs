//! What the doubles of the file system have in common: each says only what it does otherwise than the real one.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;

use super::{FileSystem, FolderHold, InPlaceFile, ReadFile, RealFileSystem, WriteFile};

/// A double of the file system: what it does not say, the real one does. Doubles name this trait by its path alone: where both traits
/// are imported a call would mean either.
pub(crate) trait FileSystemDouble: Send + Sync + Debug {
    fn make_folder(&self, path: &Path) -> Result<()> {
        RealFileSystem.make_folder(path)
    }
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        RealFileSystem.list(folder)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        RealFileSystem.open(path)
    }
    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        RealFileSystem.create(path)
    }
    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>> {
        RealFileSystem.open_writable(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        RealFileSystem.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<()> {
        RealFileSystem.remove(path)
    }
    fn sync_folder(&self, folder: &Path) -> Result<()> {
        RealFileSystem.sync_folder(folder)
    }
}

impl<D: FileSystemDouble> FileSystem for D {
    fn make_folder(&self, path: &Path) -> Result<()> {
        FileSystemDouble::make_folder(self, path)
    }
    fn is_folder(&self, path: &Path) -> Result<bool> {
        RealFileSystem.is_folder(path)
    }
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        FileSystemDouble::list(self, folder)
    }
    fn exists(&self, path: &Path) -> Result<bool> {
        RealFileSystem.exists(path)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        FileSystemDouble::open(self, path)
    }
    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        FileSystemDouble::create(self, path)
    }
    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>> {
        FileSystemDouble::open_writable(self, path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        FileSystemDouble::rename(self, from, to)
    }
    fn remove(&self, path: &Path) -> Result<()> {
        FileSystemDouble::remove(self, path)
    }
    fn hold(&self, folder: &Path) -> Result<FolderHold> {
        RealFileSystem.hold(folder)
    }
    fn sync_folder(&self, folder: &Path) -> Result<()> {
        FileSystemDouble::sync_folder(self, folder)
    }
}
