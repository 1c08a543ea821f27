//! A list of values that parts of an answer share.
//!
//! Guarantees: its room comes from lists that earlier questions left, and goes back there.

use std::ops::Deref;
use std::sync::Arc;

use crate::store::{SpareList, SpareLists};

/// Values, none of them NaN.
#[derive(Debug, Clone, Default)]
pub(super) struct ValueList {
    room: SpareList,
    spare: Option<Arc<SpareLists>>,
}

impl ValueList {
    /// An empty list, which takes room where it needs it.
    pub(super) fn new(spare: Option<&Arc<SpareLists>>) -> Self {
        Self { room: SpareList::default(), spare: spare.cloned() }
    }

    /// An empty list of the same kind, with room for so many values.
    pub(super) fn another(&self, values: usize) -> Self {
        let mut list = Self::new(self.spare.as_ref());
        if values > 0 {
            list.take_room(values);
            list.room.values.reserve_exact(values);
        }
        list
    }

    fn take_room(&mut self, values: usize) {
        if self.room.values.capacity() == 0
            && let Some(spare) = &self.spare
        {
            self.room = spare.take(values);
        }
    }

    /// Its values, with room for so many more.
    pub(super) fn with_room(&mut self, values: usize) -> &mut Vec<f64> {
        self.take_room(values);
        &mut self.room.values
    }
}

impl Deref for ValueList {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.room.values
    }
}

impl Drop for ValueList {
    fn drop(&mut self) {
        if let Some(spare) = &self.spare {
            spare.give(std::mem::take(&mut self.room));
        }
    }
}

/// Appends those of some values that are not NaN.
pub(super) fn extend_known(list: &mut Vec<f64>, values: &[f64]) {
    if values.iter().any(|value| value.is_nan()) {
        list.extend(values.iter().filter(|value| !value.is_nan()));
    } else {
        list.extend_from_slice(values);
    }
}
