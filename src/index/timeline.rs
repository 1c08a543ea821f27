//! One device's timeline of one attribute, out of the statements that were made about it.
//!
//! The rule, for every instant: the **base** is the open statement with the greatest start at or before the instant (of
//! equal starts the later statement). Of the base and all closed statements that cover the instant the latest statement wins.
//! So an update in June re-labels nothing before June, and a correction of last March says nothing about April.

use std::collections::BinaryHeap;

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
    fn is_open(&self) -> bool {
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

/// The timeline of statements in the order in which they were made. `n log n`.
pub(super) fn build(statements: &[Statement]) -> Timeline {
    let mut open: Vec<(i64, usize)> = Vec::new();
    let mut closed: Vec<(i64, i64, usize)> = Vec::new();
    for (order, statement) in statements.iter().enumerate().filter(|(_, statement)| !statement.range.is_empty()) {
        let from = statement.range.from.nanoseconds();
        if statement.is_open() {
            open.push((from, order));
        } else {
            closed.push((from, statement.range.to.nanoseconds(), order));
        }
    }
    open.sort_unstable();
    closed.sort_unstable();
    let mut instants: Vec<i64> = open.iter().map(|(from, _)| *from).collect();
    instants.extend(closed.iter().flat_map(|(from, to, _)| [*from, *to]));
    instants.sort_unstable();
    instants.dedup();

    let mut timeline = Timeline::new();
    let (mut open, mut closed) = (open.into_iter().peekable(), closed.into_iter().peekable());
    let mut base: Option<usize> = None;
    // Closed statements that have begun, latest on top; those that ended are dropped when they surface.
    let mut covering: BinaryHeap<(usize, i64)> = BinaryHeap::new();
    for at in instants {
        while let Some((_, order)) = open.next_if(|(from, _)| *from <= at) {
            base = Some(order);
        }
        while let Some((_, to, order)) = closed.next_if(|(from, ..)| *from <= at) {
            covering.push((order, to));
        }
        while covering.peek().is_some_and(|(_, to)| *to <= at) {
            covering.pop();
        }
        let winner = base.max(covering.peek().map(|(order, _)| *order));
        push_change(&mut timeline, at, winner.map_or(UNSAID, |order| statements[order].value));
    }
    timeline
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
