//! Events of a cohort.

use std::collections::HashMap;

use crate::error::Result;
use crate::model::{Event, EventKind};
use crate::store::{Progress, Snapshot, Store};
use crate::time::{TimeRange, Timestamp};

use super::cohort;
use super::looks::{Pace, look};
use super::query::AttributeFilter;

/// Which events: all, until they are narrowed.
#[derive(Debug, Clone)]
pub struct EventsRequest {
    kind: Option<EventKind>,
    attributes: Vec<AttributeFilter>,
    range: TimeRange,
}

impl Default for EventsRequest {
    fn default() -> Self {
        Self { kind: None, attributes: Vec::new(), range: TimeRange::ALL }
    }
}

impl EventsRequest {
    /// Only of one kind.
    #[must_use]
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only of devices that had an attribute at the time of the event; repeats as AND.
    #[must_use]
    pub fn filter(mut self, filter: AttributeFilter) -> Self {
        self.attributes.push(filter);
        self
    }

    /// Only from an instant (in) to another (out).
    #[must_use]
    pub fn between(mut self, from: Timestamp, to: Timestamp) -> Self {
        self.range = TimeRange::new(from, to);
        self
    }
}

impl Store {
    /// Visits events, oldest first (of one instant by device, kind and labels), until `visit` says false.
    ///
    /// # Errors
    /// What `visit` returns; [`crate::ErrorKind::NotFound`] for an unknown attribute, [`crate::ErrorKind::Corruption`],
    /// [`crate::ErrorKind::Cancelled`].
    pub fn events(
        &self,
        snapshot: &Snapshot,
        request: &EventsRequest,
        progress: Option<&Progress>,
        visit: &mut dyn FnMut(&Event) -> Result<bool>,
    ) -> Result<()> {
        let mut keys = std::collections::BTreeMap::new();
        let devices = cohort::devices(snapshot, &request.attributes, request.range, progress)?;
        let mut stretches: HashMap<&str, Vec<TimeRange>> = HashMap::with_capacity(devices.len());
        let mut pace = Pace::new(progress);
        for device in &devices {
            pace.done(1 + cohort::LOOKED_AT_UNITS * request.attributes.len())?;
            let found = cohort::stretches(snapshot, device, &[], &request.attributes, request.range, &mut keys);
            stretches.insert(device.id.as_str(), found.into_iter().map(|stretch| stretch.range).collect());
        }
        progress.inspect(|progress| progress.set_total(1));
        snapshot.visit_events(request.range, request.kind, progress, &mut |event| {
            look(progress)?;
            let inside = stretches.get(event.device.as_str());
            if inside.is_some_and(|ranges| ranges.iter().any(|range| range.contains(event.time))) {
                return visit(event);
            }
            Ok(true)
        })?;
        progress.inspect(|progress| progress.advance(1));
        Ok(())
    }
}
