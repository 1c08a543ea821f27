//! The operating system's file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

use super::{FileSystem, FolderHold, InPlaceFile, ReadFile, WriteFile};

/// Appends are gathered to this many bytes before they reach the operating system.
const APPEND_BUFFER_BYTES: usize = 256 << 10;

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn make_folder(&self, path: &Path) -> Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.is_folder(path)? => Ok(()),
            made => made.map_err(|error| Error::io(error, "creating a folder", path)),
        }
    }

    fn is_folder(&self, path: &Path) -> Result<bool> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(error) => Err(Error::io(error, "looking for a folder", path)),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).map_err(|error| Error::io(error, "listing a folder", folder))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| Error::io(error, "listing a folder", folder))?.path());
        }
        paths.sort();
        Ok(paths)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        match path.try_exists() {
            // A part of the path is a file: nothing is below it.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            looked => looked.map_err(|error| Error::io(error, "looking for a file", path)),
        }
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn ReadFile>> {
        let doing = |error| Error::io(error, "opening a file", path);
        let file = File::open(path).map_err(doing)?;
        let length = file.metadata().map_err(doing)?.len();
        Ok(Arc::new(RealReadFile { file, length, path: path.to_path_buf() }))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| Error::io(error, "creating a file", path))?;
        Ok(Box::new(RealWriteFile { file, buffered: Vec::new(), position: 0, path: path.to_path_buf() }))
    }

    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>> {
        let doing = |error| Error::io(error, "opening a file to write in place", path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(doing)?;
        Ok(Box::new(RealInPlaceFile { file, path: path.to_path_buf() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|error| Error::io(error, "renaming a file", to))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(error, "removing a file", path)),
            _ => Ok(()),
        }
    }

    /// By flock of the folder itself. RocksDB's own lock is of the older kind, which ends when the process closes any handle of
    /// the file: a host that copies the folder would lose it.
    fn hold(&self, folder: &Path) -> Result<FolderHold> {
        let file = File::open(folder).map_err(|error| Error::io(error, "opening a folder", folder))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderHold(file)),
            Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::StoreHeld, "its folder is locked")
                .at_path(folder)
                .advise("close the other writer, or open the store for reading")),
            Err(TryLockError::Error(error)) => Err(Error::io(error, "locking a folder", folder)),
        }
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        // A relative path of one part has the empty parent, which is the present folder.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let synced = File::open(folder).and_then(|handle| handle.sync_all());
        synced.map_err(|error| Error::io(error, "syncing a folder", folder))
    }
}

#[derive(Debug)]
struct RealReadFile {
    file: File,
    length: u64,
    path: PathBuf,
}

impl ReadFile for RealReadFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(|error| {
            let range = offset..offset.saturating_add(buffer.len() as u64);
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return Error::new(ErrorKind::Corruption, format!("the file ends at byte {}", self.length))
                    .at_path(&self.path)
                    .at_range(range);
            }
            Error::io(error, "reading", &self.path).at_range(range)
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[derive(Debug)]
struct RealWriteFile {
    file: File,
    buffered: Vec<u8>,
    position: u64,
    path: PathBuf,
}

impl RealWriteFile {
    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buffered).map_err(|error| Error::io(error, "writing", &self.path))?;
        self.buffered.clear();
        Ok(())
    }
}

impl WriteFile for RealWriteFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffered.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
        if self.buffered.len() >= APPEND_BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.sync_all().map_err(|error| Error::io(error, "syncing", &self.path))
    }
}

#[derive(Debug)]
struct RealInPlaceFile {
    file: File,
    path: PathBuf,
}

impl InPlaceFile for RealInPlaceFile {
    fn len(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| Error::io(error, "measuring", &self.path))
    }

    fn read_all(&mut self) -> Result<Vec<u8>> {
        let doing = |error| Error::io(error, "reading", &self.path);
        let length = self.len()?;
        // Files written in place are small by design; a large one is not ours.
        if length > 1 << 16 {
            return Err(Error::new(
                ErrorKind::Corruption,
                format!("a file of {length} bytes where a small one belongs"),
            )
            .at_path(&self.path));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, 0).map_err(doing)?;
        Ok(bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(|error| Error::io(error, "writing in place", &self.path))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io(error, "syncing", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_are_read_back_after_publishing() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, path) = (folder.path().join("a.tmp"), folder.path().join("a"));
        let mut file = RealFileSystem.create(&temporary).unwrap();
        let big = vec![7; APPEND_BUFFER_BYTES + 3];
        file.append(b"one").unwrap();
        file.append(&big).unwrap();
        assert_eq!(file.position(), 3 + big.len() as u64);
        file.sync().unwrap();
        assert_eq!(RealFileSystem.create(&temporary).unwrap_err().kind(), ErrorKind::AlreadyExists);
        RealFileSystem.publish(&temporary, &path).unwrap();
        assert!(!RealFileSystem.exists(&temporary).unwrap());

        let file = RealFileSystem.open(&path).unwrap();
        let mut read = vec![0; 5];
        file.read_at(1, &mut read).unwrap();
        assert_eq!(read, [b'n', b'e', 7, 7, 7]);
        let error = file.read_at(file.len() - 1, &mut read).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corruption, Some(path.as_path())));
        assert_eq!(RealFileSystem.list(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn a_file_in_place_keeps_its_other_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        RealFileSystem.open_in_place(&path, 8).unwrap().write_at(4, &[1, 2]).unwrap();
        let mut again = RealFileSystem.open_in_place(&path, 8).unwrap();
        again.sync().unwrap();
        assert_eq!(again.read_all().unwrap(), [0, 0, 0, 0, 1, 2, 0, 0]);
    }

    #[test]
    fn removing_what_is_not_there_is_fine_and_opening_it_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent");
        RealFileSystem.remove(&path).unwrap();
        let error = RealFileSystem.open(&path).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::NotFound, Some(path.as_path())));
    }
}
