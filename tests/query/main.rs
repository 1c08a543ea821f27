//! Questions to stores in every layout, with answers known by hand or from plain arithmetic.

mod aligned;
mod cases;
mod conditions;
mod layouts;
mod packed;
mod packed_verbs;
mod tiers;
