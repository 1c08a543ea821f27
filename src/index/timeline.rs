//! One device's timeline of one attribute, out of the statements that were made about it.
//!
//! The rule, for every instant: the **base** is the open statement with the greatest start at or before the instant (of
//! equal starts the later statement). Of the base and all closed statements that cover the instant the latest statement wins.
//! So an update in June re-labels nothing before June, and a correction of last March says nothing about April.

use crate::time::{TimeRange, Timestamp};

/// The value of an attribute as a number of its history: [`UNSAID`], [`ABSENT`], or a place in the table of values plus two.
pub(super) type ValueCode = u32;
/// Nobody said anything about the instant.
pub(super) const UNSAID: ValueCode = 0;
/// It was said that the device had no such attribute.
pub(super) const ABSENT: ValueCode = 1;

/// One statement, with its value as a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) value: ValueCode,
    pub(super) range: TimeRange,
    pub(super) sequence: u64,
    pub(super) recorded_at: i64,
}

impl Statement {
    pub(super) fn is_open(&self) -> bool {
        self.range.to == Timestamp::MAX
    }
}

/// Change points: from each instant on the value beside it holds. Instants rise strictly, neighbours differ, and before the
/// first nothing is said.
pub(super) type Timeline = Vec<(i64, ValueCode)>;

/// Appends a change point, keeping the rules of [`Timeline`]; `at` is not before the last one.
pub(super) fn push_change(timeline: &mut Timeline, at: i64, value: ValueCode) {
    if timeline.last().is_some_and(|(last, _)| *last == at) {
        timeline.pop();
    }
    if timeline.last().map_or(UNSAID, |(_, last)| *last) != value {
        timeline.push((at, value));
    }
}

/// The value at an instant.
pub(super) fn value_at(timeline: &[(i64, ValueCode)], at: i64) -> ValueCode {
    let after = timeline.partition_point(|(from, _)| *from <= at);
    after.checked_sub(1).map_or(UNSAID, |place| timeline[place].1)
}

/// Puts a value over what held from `from` until `to` (for ever where `None`); afterwards holds what held there before. Gives how
/// many change points it touched: none of those before `from`.
pub(super) fn put_over(timeline: &mut Timeline, from: i64, to: Option<i64>, value: ValueCode) -> usize {
    let first = timeline.partition_point(|(at, _)| *at < from);
    let before = first.checked_sub(1).map_or(UNSAID, |place| timeline[place].1);
    let last = to.map_or(timeline.len(), |to| timeline.partition_point(|(at, _)| *at <= to));
    let begin = (value != before).then_some((from, value));
    let end = to.map(|to| (to, value_at(timeline, to))).filter(|(_, after)| *after != value);
    let touched = timeline.len() - first + 2;
    timeline.splice(first..last, begin.into_iter().chain(end));
    touched
}

/// What `upper` says, and where it is silent what `lower` says.
pub(super) fn overlay(upper: &[(i64, ValueCode)], lower: &[(i64, ValueCode)]) -> Timeline {
    let mut instants: Vec<i64> = upper.iter().chain(lower).map(|(at, _)| *at).collect();
    instants.sort_unstable();
    instants.dedup();
    let mut timeline = Timeline::new();
    for at in instants {
        let value = match value_at(upper, at) {
            UNSAID => value_at(lower, at),
            said => said,
        };
        push_change(&mut timeline, at, value);
    }
    timeline
}
