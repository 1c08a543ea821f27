//! Changes that become durable together.

use rocksdb::ColumnFamily;

use crate::error::Result;

use super::Family;

/// Changes that become durable together, or not at all.
#[derive(Debug, Default)]
pub struct KvBatch(Vec<Change>);

#[derive(Debug)]
enum Change {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

impl KvBatch {
    /// Sets a key.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push(Change::Put(family, key.into(), value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.0.push(Change::Delete(family, key.into()));
    }

    /// Removes the keys from `from` (in) to `to` (out).
    pub fn delete_range(&mut self, family: Family, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.0.push(Change::DeleteRange(family, from.into(), to.into()));
    }

    /// Takes over the changes of another batch, after those of this one.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn resolve<'a>(
        self,
        family: impl Fn(Family) -> Result<&'a ColumnFamily>,
    ) -> Result<rocksdb::WriteBatch> {
        let mut batch = rocksdb::WriteBatch::default();
        for change in self.0 {
            match change {
                Change::Put(name, key, value) => batch.put_cf(family(name)?, key, value),
                Change::Delete(name, key) => batch.delete_cf(family(name)?, key),
                Change::DeleteRange(name, from, to) => batch.delete_range_cf(family(name)?, from, to),
            }
        }
        Ok(batch)
    }
}
