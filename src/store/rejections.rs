//! What imports refused: kept with its reason, so that nothing is lost silently.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::format::{decode_record, encode_record};
use crate::ingest::Rejection;
use crate::kv::{Family, KvBatch};
use crate::time::Timestamp;

use super::core::{Core, lock};

/// The most that are kept; the oldest go first.
pub const REJECTIONS_MAX: u64 = 100_000;

/// Something that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRejection {
    /// Its number, from 1, in order.
    pub id: u64,
    /// When it was refused, by the store's clock.
    pub recorded_at: Timestamp,
    /// Where it came from: the file's name.
    pub source: String,
    /// The row or line there, from 1; 0 where there is none.
    pub row: u64,
    /// Why.
    pub reason: String,
    /// Its first bytes.
    pub excerpt: Vec<u8>,
}

impl Core {
    /// Keeps rejections.
    pub(super) fn reject(&self, source: &str, rejections: &[Rejection]) -> Result<()> {
        self.check_writable()?;
        let _log = lock(&self.log);
        let (mut first, mut last) = (None, 0);
        self.kv.scan(Family::Rejections, &[], None, &mut |key, _| {
            let id = key.try_into().map(u64::from_be_bytes).unwrap_or_default();
            first.get_or_insert(id);
            last = last.max(id);
            Ok(true)
        })?;
        let mut batch = KvBatch::default();
        for rejection in rejections {
            last += 1;
            let kept = KeptRejection {
                id: last,
                recorded_at: self.options.clock.now(),
                source: source.to_owned(),
                row: rejection.row,
                reason: rejection.reason.clone(),
                excerpt: rejection.bytes.clone(),
            };
            batch.put(Family::Rejections, last.to_be_bytes(), encode_record(&kept)?);
        }
        let oldest = last.saturating_sub(REJECTIONS_MAX);
        if first.is_some_and(|first| first <= oldest) {
            batch.delete_range(Family::Rejections, 0_u64.to_be_bytes(), (oldest + 1).to_be_bytes());
        }
        self.write_synced(batch)
    }

    /// Visits what is kept, oldest first, until `visit` says false.
    pub(super) fn rejections(&self, visit: &mut dyn FnMut(KeptRejection) -> Result<bool>) -> Result<()> {
        self.kv.scan(Family::Rejections, &[], None, &mut |_, value| visit(decode_record("a rejection", value)?))
    }
}
