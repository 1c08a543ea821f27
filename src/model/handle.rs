//! Small integers that stand for names inside a store. They never leave it and are never used twice.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

handle! {
    /// A device, inside one store.
    DeviceHandle(u32)
}
handle! {
    /// A metric, inside one store.
    MetricHandle(u32)
}
handle! {
    /// A segment, from the store's durable counter.
    SegmentId(u64)
}
handle! {
    /// The place of a commit in the order of all commits, from 1. Zero is "before everything".
    Sequence(u64)
}

impl Sequence {
    /// Before every commit.
    pub const ZERO: Self = Self(0);

    /// The next commit's sequence number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
