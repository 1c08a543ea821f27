//! A double of the file system that fails on demand: for tests of what a full disk or a broken one leaves behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

use super::{FileSystem, InPlaceFile, RealFileSystem, WriteFile};

/// What the double counts and when it fails; shared with the files that it opened.
#[derive(Debug, Default)]
struct Plan {
    /// Changes of the disk that still work; below zero all do.
    left: AtomicI64,
    /// Whether all that comes after the first failure fails too.
    stays: bool,
    fails_in_place: AtomicBool,
    failures: AtomicU64,
    changes: AtomicU64,
}

impl Plan {
    fn change(&self, path: &Path) -> Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let left = self.left.load(Ordering::Relaxed);
        if left < 0 {
            return Ok(());
        }
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            return Ok(());
        }
        if !self.stays {
            self.left.store(-1, Ordering::Relaxed);
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        Err(no_space(path))
    }
}

/// The real file system, until a change of the disk that is to fail.
#[derive(Debug, Clone, Default)]
pub struct FaultFileSystem(Arc<Plan>);

impl FaultFileSystem {
    /// Fails the change after so many that work: once, or from then on.
    pub fn after(changes: u64, stays: bool) -> Self {
        Self(Arc::new(Plan { left: AtomicI64::new(changes as i64), stays, ..Plan::default() }))
    }

    /// How many changes failed.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// From now on nothing can be written in place; all else works.
    pub fn fail_in_place(&self) {
        self.0.fails_in_place.store(true, Ordering::Relaxed);
    }

    /// The disk works again.
    pub fn heal(&self) {
        self.0.left.store(-1, Ordering::Relaxed);
        self.0.fails_in_place.store(false, Ordering::Relaxed);
    }
}

fn no_space(path: &Path) -> Error {
    Error::new(ErrorKind::OutOfSpace, "no space is left (a fault of the test)").at_path(path)
}

impl super::FileSystemDouble for FaultFileSystem {
    fn make_folder(&self, path: &Path) -> Result<()> {
        self.0.change(path)?;
        RealFileSystem.make_folder(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        self.0.change(path)?;
        Ok(Box::new(FaultFile { file: RealFileSystem.create(path)?, plan: Arc::clone(&self.0), path: path.to_owned() }))
    }

    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>> {
        let file = RealFileSystem.open_writable(path)?;
        Ok(Box::new(FaultInPlace { file, plan: Arc::clone(&self.0), path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.change(to)?;
        RealFileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.0.change(path)?;
        RealFileSystem.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        // What fails is asked here, not what a power loss would leave: the disk need not be waited for.
        self.0.change(folder)
    }
}

#[derive(Debug)]
struct FaultFile {
    file: Box<dyn WriteFile>,
    plan: Arc<Plan>,
    path: PathBuf,
}

impl WriteFile for FaultFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.plan.change(&self.path)?;
        self.file.append(bytes)
    }

    fn position(&self) -> u64 {
        self.file.position()
    }

    fn sync(&mut self) -> Result<()> {
        self.plan.change(&self.path)?;
        self.file.sync()
    }
}

#[derive(Debug)]
struct FaultInPlace {
    file: Box<dyn InPlaceFile>,
    plan: Arc<Plan>,
    path: PathBuf,
}

impl InPlaceFile for FaultInPlace {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read_all(&mut self) -> Result<Vec<u8>> {
        self.file.read_all()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if self.plan.fails_in_place.load(Ordering::Relaxed) {
            return Err(no_space(&self.path));
        }
        self.plan.change(&self.path)?;
        self.file.write_at(offset, bytes)
    }

    fn sync(&mut self) -> Result<()> {
        self.plan.change(&self.path)?;
        self.file.sync()
    }
}
