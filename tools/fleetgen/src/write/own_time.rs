//! Samples of one device in the order of its own clock, also where that clock falls back.
//!
//! Guarantees: memory for two stretches, however long the fleet lives. The samples of the time in which a clock is wrong are in
//! order, and so are all others: two runs of the device's stream, each with its own part, are merged.

use crate::fleet::Device;
use crate::metric::Columns;
use crate::plan::{ClockFault, DevicePlan};
use crate::signal::DeviceStream;

/// One part of a device's samples, in order of its own time.
struct Part<'a> {
    stream: DeviceStream<'a>,
    keeps: Box<dyn Fn(i64) -> bool + 'a>,
    waiting: Columns,
    has_more: bool,
}

impl Part<'_> {
    /// Reads on until something waits or nothing more comes.
    fn fill(&mut self) {
        while self.waiting.is_empty() && self.has_more {
            let Some(mut columns) = self.stream.next() else {
                self.has_more = false;
                return;
            };
            let kept: Vec<usize> =
                (0..columns.len()).filter(|place| (self.keeps)(columns.true_times_ms[*place])).collect();
            if kept.len() < columns.len() {
                columns.reorder(&kept);
            }
            self.waiting = columns;
        }
    }

    /// Up to which time everything of this part waits: later samples are after it.
    fn complete_to_ms(&self) -> i64 {
        self.waiting.times_ms.last().copied().unwrap_or(i64::MAX)
    }
}

/// The samples of a device in the order of its own clock; no stretch is empty.
pub(super) struct OwnTime<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> OwnTime<'a> {
    pub(super) fn new(device: &'a Device<'a>, stretch_ticks: i64) -> Self {
        let part = |keeps: Box<dyn Fn(i64) -> bool + 'a>| Part {
            stream: device.columns(stretch_ticks),
            keeps,
            waiting: Columns::default(),
            has_more: true,
        };
        let plan: &'a DevicePlan = device.plan();
        let parts = match plan.clock.as_ref().filter(|clock| ClockFault::falls_back(clock)) {
            Some(clock) => vec![
                part(Box::new(|at_ms| clock.range_ms.contains(&at_ms))),
                part(Box::new(|at_ms| !clock.range_ms.contains(&at_ms))),
            ],
            None => vec![part(Box::new(|_| true))],
        };
        Self { parts }
    }
}

impl Iterator for OwnTime<'_> {
    type Item = Columns;

    fn next(&mut self) -> Option<Columns> {
        self.parts.iter_mut().for_each(Part::fill);
        let complete_to_ms = self.parts.iter().map(Part::complete_to_ms).min()?;
        let mut merged = Columns::default();
        for part in &mut self.parts {
            let count = part.waiting.times_ms.partition_point(|time_ms| *time_ms <= complete_to_ms);
            merged.append(part.waiting.take_first(count));
        }
        merged.sort_by_time();
        (!merged.is_empty()).then_some(merged)
    }
}
