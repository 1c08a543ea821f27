//! The key-value store below, and the only place that names `rocksdb`.
//!
//! Guarantees: a batch is all or nothing; a write that was asked to be durable is so when it returns `Ok`; after a failed
//! write every later one is refused ([`ErrorKind::Poisoned`]), since what reached the disk is unknown; a scan that met
//! corruption is an error, never fewer keys; a reader writes nothing into the folder that it reads.
//!
//! What came back after a crash is judged by the floors above: the log is recovered to a point in time, which by itself
//! hides loss (see storage-format.md, "Recovery").

mod batch;

pub use batch::KvBatch;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, IteratorMode,
    LogLevel, ReadOptions, WriteOptions,
};

use crate::error::{Error, ErrorKind, OPEN_FILES_ADVICE, Result};

/// The keyspaces (column families); storage-format.md describes their keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Format version, counters, how far the log is sealed.
    Meta,
    /// One value per commit, until it is sealed.
    Log,
    /// Devices and metrics.
    Catalog,
    /// Statements about attributes.
    Attributes,
    /// Events.
    Events,
    /// Segments, tombstones, intents.
    Manifest,
    /// Keys of batches that may be retried.
    Idempotency,
    /// What imports refused.
    Rejections,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Log,
        Self::Catalog,
        Self::Attributes,
        Self::Events,
        Self::Manifest,
        Self::Idempotency,
        Self::Rejections,
    ];

    /// The family's name on disk.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Log => "log",
            Self::Catalog => "catalog",
            Self::Attributes => "attributes",
            Self::Events => "events",
            Self::Manifest => "manifest",
            Self::Idempotency => "idempotency",
            Self::Rejections => "rejections",
        }
    }
}

/// How to open.
#[derive(Debug, Clone)]
pub struct KvOptions {
    /// Bytes for memtables and cache together.
    pub memory_bytes: usize,
    /// Threads for flushes and compactions of RocksDB.
    pub threads: usize,
}

/// The key-value store. `Send + Sync`.
pub struct Kv {
    database: DB,
    path: PathBuf,
    poisoned: AtomicBool,
    read_only: bool,
    /// A reader's own folder, removed with it.
    _scratch: Option<tempfile::TempDir>,
    /// Keys that scans have passed.
    #[cfg(test)]
    pub(crate) scanned: std::sync::atomic::AtomicU64,
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kv").field("path", &self.path).field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

impl Kv {
    /// Creates or opens for writing.
    ///
    /// # Errors
    /// [`ErrorKind::StoreHeld`] when another writer has it open, [`ErrorKind::NotFound`] where there is none and `create`
    /// is false, [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn open(path: &Path, create: bool, options: &KvOptions) -> Result<Self> {
        if !create {
            check_present(path)?;
        }
        let mut settings = settings(options);
        settings.create_if_missing(create);
        settings.create_missing_column_families(true);
        let database =
            DB::open_cf_descriptors(&settings, path, descriptors(options)).map_err(|error| translate(&error, path))?;
        Ok(Self {
            database,
            path: path.to_path_buf(),
            poisoned: AtomicBool::new(false),
            read_only: false,
            _scratch: None,
            #[cfg(test)]
            scanned: std::sync::atomic::AtomicU64::default(),
        })
    }

    /// Opens beside a writer, or where there is none, for reading the state as of now: all of it, or an error. A writer that takes
    /// files away meanwhile is an error, too: then open again. RocksDB wants a folder of its own for that: it is made in
    /// `scratch_folder` (`None`: the system's temporary one), and goes with the instance.
    ///
    /// # Errors
    /// As [`Kv::open`], but never [`ErrorKind::StoreHeld`].
    pub fn open_read_only(path: &Path, options: &KvOptions, scratch_folder: Option<&Path>) -> Result<Self> {
        check_present(path)?;
        // A secondary instance follows a writer through its changes, but where a file is damaged or gone it goes back to an older
        // state without a word. A read-only instance does not follow, but refuses: it looks first.
        let folder = scratch(scratch_folder)?;
        let mut settings = settings(options);
        settings.set_max_open_files(-1);
        settings.set_db_log_dir(folder.path());
        DB::open_cf_descriptors_read_only(&settings, path, descriptors(options), false)
            .map_err(|error| half_made(translate(&error, path), path))?;
        drop(folder);
        Self::open_past_damage(path, options, scratch_folder)
    }

    /// Opens what can be read of a damaged database, for a dump: what a damaged file held is missing.
    ///
    /// # Errors
    /// As [`Kv::open_read_only`].
    pub fn open_past_damage(path: &Path, options: &KvOptions, scratch_folder: Option<&Path>) -> Result<Self> {
        check_present(path)?;
        let scratch = scratch(scratch_folder)?;
        let mut settings = settings(options);
        // It keeps its files open: the writer may remove them meanwhile.
        settings.set_max_open_files(-1);
        let database = DB::open_cf_descriptors_as_secondary(&settings, path, scratch.path(), descriptors(options))
            .map_err(|error| half_made(translate(&error, path), path))?;
        database.try_catch_up_with_primary().map_err(|error| translate(&error, path))?;
        Ok(Self::reader(database, path, scratch))
    }

    fn reader(database: DB, path: &Path, scratch: tempfile::TempDir) -> Self {
        let poisoned = AtomicBool::new(false);
        Self {
            database,
            path: path.to_path_buf(),
            poisoned,
            read_only: true,
            _scratch: Some(scratch),
            #[cfg(test)]
            scanned: std::sync::atomic::AtomicU64::default(),
        }
    }

    /// Writes all of a batch, durable on return where `sync`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfSpace`], [`ErrorKind::Io`]: whether the batch is stored is unknown, and every later write is
    /// [`ErrorKind::Poisoned`]. [`ErrorKind::ReadOnly`] for a reader.
    pub fn write(&self, batch: KvBatch, sync: bool) -> Result<()> {
        self.check_writable()?;
        let batch = batch.resolve(|family| self.family(family))?;
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.database.write_opt(batch, &options).map_err(|error| self.poison(&error))
    }

    /// Makes earlier unsynced writes durable.
    ///
    /// # Errors
    /// As [`Kv::write`].
    pub fn sync(&self) -> Result<()> {
        self.check_writable()?;
        self.database.flush_wal(true).map_err(|error| self.poison(&error))
    }

    /// One value.
    ///
    /// # Errors
    /// [`ErrorKind::Corruption`], [`ErrorKind::Io`].
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.database.get_cf(self.family(family)?, key).map_err(|error| translate(&error, &self.path))
    }

    /// Calls `visit` with each key and value from `from` (in) to `to` (out, or the end), in order, until it says false.
    ///
    /// # Errors
    /// What `visit` returns; [`ErrorKind::Corruption`] where the scan could not go on to its end.
    pub fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<bool>,
    ) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(true);
        if let Some(to) = to {
            if to <= from {
                return Ok(());
            }
            options.set_iterate_upper_bound(to);
        }
        let start = IteratorMode::From(from, Direction::Forward);
        for item in self.database.iterator_cf_opt(self.family(family)?, options, start) {
            let (key, value) = item.map_err(|error| translate(&error, &self.path))?;
            #[cfg(test)]
            self.scanned.fetch_add(1, Ordering::Relaxed);
            if !visit(&key, &value)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Bytes of the files on disk, log included.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn disk_bytes(&self) -> Result<u64> {
        let doing = |error| Error::io(error, "measuring the folder", &self.path);
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.path).map_err(doing)? {
            // A file may go while the folder is listed: it has no bytes then.
            bytes += entry.map_err(doing)?.metadata().map_or(0, |metadata| metadata.len());
        }
        Ok(bytes)
    }

    /// Writes all memtables to files, so that the next open has no log to replay.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfSpace`], [`ErrorKind::Io`].
    pub fn flush(&self) -> Result<()> {
        self.check_writable()?;
        for family in Family::ALL {
            self.database.flush_cf(self.family(family)?).map_err(|error| translate(&error, &self.path))?;
        }
        Ok(())
    }

    /// Drops whole files that lie in a range of keys which was deleted before.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn drop_files_in_range(&self, family: Family, from: &[u8], to: &[u8]) -> Result<()> {
        self.check_writable()?;
        let family = self.family(family)?;
        self.database.delete_file_in_range_cf(family, from, to).map_err(|error| translate(&error, &self.path))
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily> {
        self.database.cf_handle(family.as_str()).ok_or_else(|| {
            Error::new(ErrorKind::Corruption, format!("the keyspace '{}' is missing", family.as_str()))
                .at_path(&self.path)
        })
    }

    fn check_writable(&self) -> Result<()> {
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the store was opened for reading").at_path(&self.path));
        }
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Poisoned, "an earlier write failed, so what the disk holds is unknown")
                .at_path(&self.path)
                .advise("close the store and open it again"));
        }
        Ok(())
    }

    fn poison(&self, error: &rocksdb::Error) -> Error {
        self.poisoned.store(true, Ordering::Release);
        translate(error, &self.path)
    }
}

/// A folder that may not be looked into is not an absent store.
fn check_present(path: &Path) -> Result<()> {
    let current = path.join("CURRENT");
    match current.try_exists() {
        Ok(true) => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotADirectory => {
            Err(Error::io(error, "looking for the store", current))
        }
        _ => Err(Error::new(ErrorKind::NotFound, "there is no store here").at_path(path)),
    }
}

fn settings(options: &KvOptions) -> rocksdb::Options {
    let mut settings = rocksdb::Options::default();
    settings.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    settings.set_recycle_log_file_num(0);
    settings.set_paranoid_checks(true);
    settings.set_db_write_buffer_size((options.memory_bytes / 2).max(1 << 20));
    settings.set_max_total_wal_size((options.memory_bytes as u64).max(8 << 20));
    settings.set_max_background_jobs(i32::try_from(options.threads.max(2)).unwrap_or(2));
    settings.set_max_open_files(128);
    // Each family would begin sixteen threads to open its handful of files: all of opening a store would be their beginning and end.
    settings.set_max_file_opening_threads(1);
    settings.set_keep_log_file_num(1);
    settings.set_log_level(LogLevel::Fatal);
    settings.set_stats_dump_period_sec(0);
    settings.set_stats_persist_period_sec(0);
    settings
}

fn descriptors(options: &KvOptions) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache((options.memory_bytes / 4).max(1 << 20));
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&cache);
    let describe = |name: &str| {
        let mut settings = rocksdb::Options::default();
        settings.set_block_based_table_factory(&table);
        settings.set_write_buffer_size((options.memory_bytes / 4).clamp(1 << 20, 64 << 20));
        settings.set_max_write_buffer_number(2);
        // A first arena block of the default size (1 MiB at 8 families) would be most of a small budget.
        settings.set_arena_block_size(64 << 10);
        settings.set_compression_type(rocksdb::DBCompressionType::Lz4);
        ColumnFamilyDescriptor::new(name, settings)
    };
    let ours = Family::ALL.iter().map(|family| describe(family.as_str()));
    std::iter::once(describe("default")).chain(ours).collect()
}

/// A reader's own folder.
fn scratch(within: Option<&Path>) -> Result<tempfile::TempDir> {
    let within = within.map_or_else(std::env::temp_dir, Path::to_path_buf);
    tempfile::Builder::new()
        .prefix("fleetlog-reader-")
        .tempdir_in(&within)
        .map_err(|error| Error::io(error, "making the reader's own folder", within))
}

/// A keyspace that is not there yet: a writer has begun to make the store, and was cut short or goes on.
fn half_made(error: Error, path: &Path) -> Error {
    if !error.message().contains("Column family not found") {
        return error;
    }
    Error::new(ErrorKind::NotFound, "the store is not whole yet: its making goes on, or was cut short")
        .at_path(path)
        .advise("open it for writing once, which makes it whole")
}

/// RocksDB's errors are texts with a coarse kind: what a user must tell apart is read from both.
fn translate(error: &rocksdb::Error, path: &Path) -> Error {
    let text = error.to_string();
    let lower = text.to_lowercase();
    let (kind, message, advice) = if lower.contains("lock hold by current process") || lower.contains("while lock file")
    {
        (ErrorKind::StoreHeld, "its RocksDB is locked".to_owned(), "close the other writer, or open for reading only")
    } else if lower.contains("no space left") || lower.contains("quota exceeded") || lower.contains("file too large") {
        (ErrorKind::OutOfSpace, text, "free some space, close the store and open it again")
    } else if lower.contains("too many open files") {
        (ErrorKind::LimitExceeded, text, OPEN_FILES_ADVICE)
    } else if error.kind() == rocksdb::ErrorKind::Corruption {
        (ErrorKind::Corruption, text, "restore the store from a backup")
    } else if error.kind() == rocksdb::ErrorKind::InvalidArgument {
        (ErrorKind::Corruption, text, "open it with the version that wrote it")
    } else {
        (ErrorKind::Io, text, "look at the disk and the permissions of the folder")
    };
    Error::new(kind, message).at_path(path).advise(advice)
}

#[cfg(test)]
mod tests;
