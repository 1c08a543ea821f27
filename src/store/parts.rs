//! What RocksDB holds of a store, part by part and past damage: for a dump.
//!
//! Guarantees: it reads only, and opens no segment; what can not be read is left out and named, and hides nothing else.

use std::path::Path;

use crate::catalog::{Catalog, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Mark, decode_commit, decode_record};
use crate::index::AttributeIndex;
use crate::kv::{Family, Kv};
use crate::model::Sequence;

use super::layout::{AttributeRecord, Layout, Meta};
use super::open::{kv_options, open_again, read_mark};
use super::options::Options;

/// What RocksDB holds of a store, as far as it can be read.
#[derive(Debug)]
pub struct StoreParts {
    /// The last commit.
    pub sequence: Sequence,
    /// Devices and metrics.
    pub catalog: Catalog,
    /// Attribute history.
    pub attributes: AttributeIndex,
    /// Segments and tombstones.
    pub manifest: Manifest,
    /// Commits, readings and log records that are in the log, not in segments.
    pub unsealed: (u64, u64, u64),
    /// What could not be read.
    pub damage: Vec<Error>,
}

impl StoreParts {
    /// Reads all parts of the store in a folder.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where there is no store, [`ErrorKind::UnsupportedVersion`]; where RocksDB itself can not open its files,
    /// what it says.
    pub fn read(path: &Path, options: &Options) -> Result<Self> {
        let layout = Layout::new(path);
        let mut damage = Vec::new();
        // The mark first: the log that is read after it may have gone on since, never back.
        let mark = match read_mark(&layout, options.file_system.as_ref()) {
            Ok(mark) => mark.unwrap_or_default(),
            Err(error) => {
                damage.push(error);
                Mark::default()
            }
        };
        let (database, settings, scratch) = (layout.database(), kv_options(options), options.scratch_folder.as_deref());
        if let Err(error) = open_again(|| Kv::open_read_only(&database, &settings, scratch)) {
            damage.push(error);
        }
        let kv = Kv::open_past_damage(&database, &settings, scratch)?;
        let sealed = match Meta::load(&kv, path) {
            Ok(meta) => meta.map(|meta| meta.sealed),
            Err(error) if error.kind() == ErrorKind::UnsupportedVersion => return Err(error),
            Err(error) => {
                damage.push(error);
                Meta::load_sealed(&kv, path).ok()
            }
        };
        let mut parts = Self {
            sequence: sealed.unwrap_or_default().sequence,
            catalog: Catalog::default(),
            attributes: AttributeIndex::default(),
            manifest: Manifest { sealed_through: sealed.unwrap_or_default().sequence, ..Manifest::default() },
            unsealed: (0, 0, 0),
            damage,
        };
        parts.read_catalog(&kv);
        parts.read_manifest(&kv);
        parts.read_attributes(&kv);
        parts.read_log(&kv, sealed.map(|mark| (mark.sequence, mark.hash)));
        if parts.sequence < mark.sequence {
            parts.damage.push(Error::new(
                ErrorKind::DataLoss,
                format!("acknowledged commits {} to {} are missing from the log", parts.sequence.next(), mark.sequence),
            ));
        }
        parts.damage = std::mem::take(&mut parts.damage).into_iter().map(|error| error.at_path(path)).collect();
        Ok(parts)
    }

    /// Visits a keyspace; the scan goes on past what `visit` can not read, and ends where RocksDB can not.
    fn scan(&mut self, kv: &Kv, family: Family, visit: &mut dyn FnMut(&mut Self, &[u8], &[u8]) -> Result<()>) {
        let scanned = kv.scan(family, &[], None, &mut |key, value| {
            if let Err(error) = visit(self, key, value) {
                let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                let place = format!("{} (keyspace '{}', key {key})", error.message(), family.as_str());
                self.damage.push(Error::new(error.kind(), place));
            }
            Ok(true)
        });
        if let Err(error) = scanned {
            let what = format!("the keyspace '{}' can not be read to its end: {}", family.as_str(), error.message());
            self.damage.push(Error::new(error.kind(), what));
        }
    }

    fn read_catalog(&mut self, kv: &Kv) {
        let mut records = Vec::new();
        self.scan(kv, Family::Catalog, &mut |_, key, value| {
            records.push((key.to_vec(), value.to_vec()));
            Ok(())
        });
        let (catalog, damage) = Catalog::load_past_damage(&records);
        self.catalog = catalog;
        self.damage.extend(damage);
    }

    fn read_manifest(&mut self, kv: &Kv) {
        self.scan(kv, Family::Manifest, &mut |parts, key, value| {
            let mut record = std::iter::once(Ok((key.to_vec(), value.to_vec())));
            let (one, _) = Manifest::load(&mut record)?;
            parts.manifest.segments.extend(one.segments);
            parts.manifest.tombstones.extend(one.tombstones);
            parts.manifest.event_loads.extend(one.event_loads);
            Ok(())
        });
    }

    fn read_attributes(&mut self, kv: &Kv) {
        self.scan(kv, Family::Attributes, &mut |parts, _, value| {
            match decode_record("a statement of the attribute history", value)? {
                AttributeRecord::Assertion(assertion) => parts.attributes.assert(&assertion),
                AttributeRecord::Merge { from, into } => parts.attributes.merge(from, into),
            }
            Ok(())
        });
    }

    /// `before` is the commit that the log goes on after, with its hash, where it is known.
    fn read_log(&mut self, kv: &Kv, mut before: Option<(Sequence, u64)>) {
        self.scan(kv, Family::Log, &mut |parts, _, value| {
            let known = before.take();
            let (commit, hash) = decode_commit(value)?;
            // A seal that was under way deletes late: what lies below is in segments.
            if known.is_some_and(|(sequence, _)| commit.sequence <= sequence) {
                before = known;
                return Ok(());
            }
            before = Some((commit.sequence, hash));
            parts.sequence = parts.sequence.max(commit.sequence);
            let (commits, rows, logs) = parts.unsealed;
            parts.unsealed = (commits + 1, rows + commit.times.len() as u64, logs + commit.logs.len() as u64);
            match known {
                Some((last, hash)) if commit.sequence != last.next() || commit.previous_hash != hash => {
                    Err(Error::new(
                        ErrorKind::DataLoss,
                        format!("the log breaks at commit {}: the next one in it is {}", last.next(), commit.sequence),
                    ))
                }
                _ => Ok(()),
            }
        });
    }
}
