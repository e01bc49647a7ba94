//! The state machine alone: what it does next, rule by rule, and at random against its invariants.

mod bench;
mod pivot;
mod random;
mod steps;
mod undo;
