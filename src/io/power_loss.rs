//! A double of the file system that knows what a power loss would leave: for tests that a sync is where it must be.
//!
//! It works on the real disk, and remembers beside it, of each file made or written through it, the content that was synced,
//! and of each folder the names that were synced. [`PowerLossFileSystem::image`] builds the folder as it would be found: what was not
//! synced is gone, or there in part. Files that never went through it (RocksDB's own) are copied as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;

use super::{FileSystem, InPlaceFile, RealFileSystem, WriteFile};

/// A file, under whatever name: what was written, and what of it a power loss leaves.
#[derive(Debug, Clone, Default)]
struct Content {
    written: Vec<u8>,
    synced: Vec<u8>,
}

type SharedContent = Arc<Mutex<Content>>;

/// What a name stands for.
#[derive(Debug, Clone)]
enum Node {
    Folder,
    File(SharedContent),
}

#[derive(Debug, Default)]
struct Disk {
    /// Names as programs see them.
    live: BTreeMap<PathBuf, Node>,
    /// Names as they would be after a power loss.
    durable: BTreeMap<PathBuf, Node>,
    /// Every name that went through the double, ever.
    known: BTreeSet<PathBuf>,
}

impl Disk {
    fn put(&mut self, path: &Path, node: Node) {
        self.known.insert(path.to_owned());
        self.live.insert(path.to_owned(), node);
    }

    /// The content of a file; one that was there before the double came is durable as it is.
    fn content(&mut self, path: &Path) -> SharedContent {
        if let Some(Node::File(content)) = self.live.get(path) {
            return Arc::clone(content);
        }
        let written = std::fs::read(path).unwrap_or_default();
        let content = Arc::new(Mutex::new(Content { synced: written.clone(), written }));
        self.put(path, Node::File(Arc::clone(&content)));
        self.durable.insert(path.to_owned(), Node::File(Arc::clone(&content)));
        content
    }

    /// Whether every folder above that the double made would still be there.
    fn reachable(&self, path: &Path) -> bool {
        path.ancestors().skip(1).all(|above| !self.known.contains(above) || self.durable.contains_key(above))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which syncs a double does not remember: a program without them would leave the same disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deaf {
    /// It hears all.
    No,
    /// To syncs of files.
    ToFiles,
    /// To syncs of folders.
    ToFolders,
}

/// What a power loss leaves of what was not synced: nothing is sure of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// The first half of the unsynced bytes.
    HalfOfBytes,
    /// All names as they were, without the bytes.
    Names,
}

impl Content {
    fn after_power_loss(&self, kept: Kept) -> Vec<u8> {
        if kept != Kept::HalfOfBytes {
            return self.synced.clone();
        }
        let appended = self.written.len().saturating_sub(self.synced.len());
        let half = if appended > 0 { self.synced.len() + appended / 2 } else { self.written.len() / 2 };
        [&self.written[..half], self.synced.get(half..).unwrap_or_default()].concat()
    }
}

/// The real file system, with a memory of what was synced.
#[derive(Debug, Clone)]
pub struct PowerLossFileSystem {
    disk: Arc<Mutex<Disk>>,
    deaf: Deaf,
}

impl PowerLossFileSystem {
    /// A double that knows of nothing yet.
    pub fn new(deaf: Deaf) -> Self {
        Self { disk: Arc::default(), deaf }
    }

    /// Builds in `image` what a power loss now would leave of `root`.
    pub fn image(&self, root: &Path, image: &Path, kept: Kept) {
        let disk = held(&self.disk);
        copy_unknown(&disk, root, root, image);
        let names = if kept == Kept::Names { &disk.live } else { &disk.durable };
        for (path, node) in names {
            let Ok(name) = path.strip_prefix(root) else { continue };
            if kept != Kept::Names && !disk.reachable(path) {
                continue;
            }
            let to = image.join(name);
            match node {
                Node::Folder => std::fs::create_dir_all(to).unwrap(),
                Node::File(content) => {
                    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                    std::fs::write(to, held(content).after_power_loss(kept)).unwrap();
                }
            }
        }
    }
}

fn copy_unknown(disk: &Disk, folder: &Path, root: &Path, image: &Path) {
    for path in RealFileSystem.list(folder).unwrap() {
        let to = image.join(path.strip_prefix(root).unwrap());
        if !disk.reachable(&path) {
            continue;
        }
        if path.is_dir() {
            copy_unknown(disk, &path, root, image);
        } else if !disk.known.contains(&path) {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&path, to).unwrap();
        }
    }
}

impl super::FileSystemDouble for PowerLossFileSystem {
    fn make_folder(&self, path: &Path) -> Result<()> {
        let there = RealFileSystem.is_folder(path)?;
        RealFileSystem.make_folder(path)?;
        if !there {
            held(&self.disk).put(path, Node::Folder);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        let file = RealFileSystem.create(path)?;
        let content = SharedContent::default();
        held(&self.disk).put(path, Node::File(Arc::clone(&content)));
        Ok(Box::new(Appended { file, content, deaf: self.deaf }))
    }

    fn open_writable(&self, path: &Path) -> Result<Box<dyn InPlaceFile>> {
        let mut disk = held(&self.disk);
        if !disk.known.contains(path) && !RealFileSystem.exists(path)? {
            disk.put(path, Node::File(SharedContent::default()));
        }
        let content = disk.content(path);
        Ok(Box::new(InPlace { file: RealFileSystem.open_writable(path)?, content, deaf: self.deaf }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = held(&self.disk);
        let content = disk.content(from);
        RealFileSystem.rename(from, to)?;
        disk.live.remove(from);
        disk.put(to, Node::File(content));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut disk = held(&self.disk);
        if RealFileSystem.exists(path)? {
            disk.content(path);
        }
        disk.live.remove(path);
        RealFileSystem.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        if self.deaf != Deaf::ToFolders {
            let mut disk = held(&self.disk);
            let of_folder = |path: &Path| path.parent() == Some(folder);
            disk.durable.retain(|path, _| !of_folder(path));
            let names: Vec<_> = disk.live.iter().filter(|(path, _)| of_folder(path)).collect();
            let names: Vec<_> = names.into_iter().map(|(path, node)| (path.clone(), node.clone())).collect();
            disk.durable.extend(names);
        }
        RealFileSystem.sync_folder(folder)
    }
}

fn sync_content(content: &SharedContent, deaf: Deaf) {
    if deaf != Deaf::ToFiles {
        let mut content = held(content);
        content.synced = content.written.clone();
    }
}

#[derive(Debug)]
struct Appended {
    file: Box<dyn WriteFile>,
    content: SharedContent,
    deaf: Deaf,
}

impl WriteFile for Appended {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.append(bytes)?;
        held(&self.content).written.extend_from_slice(bytes);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.file.position()
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync()?;
        sync_content(&self.content, self.deaf);
        Ok(())
    }
}

#[derive(Debug)]
struct InPlace {
    file: Box<dyn InPlaceFile>,
    content: SharedContent,
    deaf: Deaf,
}

impl InPlaceFile for InPlace {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read_all(&mut self) -> Result<Vec<u8>> {
        self.file.read_all()
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes)?;
        let written = &mut held(&self.content).written;
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        written.resize(written.len().max(to), 0);
        written[from..to].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync()?;
        sync_content(&self.content, self.deaf);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a power loss leaves of a folder: names and contents.
    fn left(disk: &PowerLossFileSystem, root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        left_with(disk, root, Kept::Nothing)
    }

    fn left_with(disk: &PowerLossFileSystem, root: &Path, kept: Kept) -> Vec<(PathBuf, Vec<u8>)> {
        let image = tempfile::tempdir().unwrap();
        disk.image(root, image.path(), kept);
        let mut pending = vec![image.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = pending.pop() {
            for path in RealFileSystem.list(&folder).unwrap() {
                if path.is_dir() {
                    pending.push(path);
                } else {
                    files.push((path.strip_prefix(image.path()).unwrap().to_owned(), std::fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    fn file(name: &str, content: &[u8]) -> (PathBuf, Vec<u8>) {
        (PathBuf::from(name), content.to_vec())
    }

    #[test]
    fn what_is_not_synced_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (temporary, path) = (folder.path().join("a.tmp"), folder.path().join("a"));
        let disk = PowerLossFileSystem::new(Deaf::No);
        let mut writer = disk.create(&temporary).unwrap();
        writer.append(b"first").unwrap();
        assert_eq!(left(&disk, folder.path()), []);
        disk.sync_folder(folder.path()).unwrap();
        assert_eq!(left(&disk, folder.path()), [file("a.tmp", b"")]);
        writer.sync().unwrap();
        writer.append(b" second").unwrap();
        assert_eq!(left(&disk, folder.path()), [file("a.tmp", b"first")]);
        assert_eq!(left_with(&disk, folder.path(), Kept::HalfOfBytes), [file("a.tmp", b"first se")]);
        writer.sync().unwrap();
        disk.rename(&temporary, &path).unwrap();
        assert_eq!(left(&disk, folder.path()), [file("a.tmp", b"first second")]);
        assert_eq!(left_with(&disk, folder.path(), Kept::Names), [file("a", b"first second")]);
        disk.publish(&path, &temporary).unwrap();
        disk.publish(&temporary, &path).unwrap();
        assert_eq!(left(&disk, folder.path()), [file("a", b"first second")]);
        disk.remove(&path).unwrap();
        assert_eq!(left(&disk, folder.path()), [file("a", b"first second")]);
        disk.sync_folder(folder.path()).unwrap();
        assert_eq!(left(&disk, folder.path()), []);
    }

    #[test]
    fn without_a_sync_of_files_or_of_folders_the_data_is_gone() {
        for (deaf, expected) in
            [(Deaf::No, vec![file("a", b"text")]), (Deaf::ToFiles, vec![file("a", b"")]), (Deaf::ToFolders, vec![])]
        {
            let folder = tempfile::tempdir().unwrap();
            let disk = PowerLossFileSystem::new(deaf);
            let (temporary, path) = (folder.path().join("a.tmp"), folder.path().join("a"));
            let mut writer = disk.create(&temporary).unwrap();
            writer.append(b"text").unwrap();
            writer.sync().unwrap();
            disk.publish(&temporary, &path).unwrap();
            assert_eq!(left(&disk, folder.path()), expected, "{deaf:?}");
        }
    }

    #[test]
    fn a_folder_is_durable_with_all_its_parents() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        let make = |disk: &PowerLossFileSystem| {
            disk.create_folder(&deep).unwrap();
            disk.open_in_place(&deep.join("mark"), 2).unwrap();
        };
        let disk = PowerLossFileSystem::new(Deaf::No);
        make(&disk);
        assert_eq!(left(&disk, folder.path()), [file("a/b/c/mark", &[0, 0])]);
        // A level that is not synced takes all below it with itself.
        held(&disk.disk).durable.remove(&folder.path().join("a/b"));
        assert_eq!(left(&disk, folder.path()), []);
        // Where the last folder was synced alone, as a call of `create_dir_all` and one sync would do.
        let other = tempfile::tempdir().unwrap();
        let disk = PowerLossFileSystem::new(Deaf::No);
        for name in ["a", "a/b", "a/b/c"] {
            disk.make_folder(&other.path().join(name)).unwrap();
        }
        disk.sync_folder(&other.path().join("a/b")).unwrap();
        disk.open_in_place(&other.path().join("a/b/c/mark"), 2).unwrap();
        assert_eq!(left(&disk, other.path()), []);
    }

    #[test]
    fn a_file_in_place_keeps_what_was_synced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        std::fs::write(folder.path().join("other"), b"not ours").unwrap();
        let disk = PowerLossFileSystem::new(Deaf::No);
        let mut mark = disk.open_in_place(&path, 4).unwrap();
        mark.write_at(1, &[7, 8]).unwrap();
        assert_eq!(left(&disk, folder.path()), [file("mark", &[0; 4]), file("other", b"not ours")]);
        mark.sync().unwrap();
        assert_eq!(left(&disk, folder.path())[0], file("mark", &[0, 7, 8, 0]));
    }
}
