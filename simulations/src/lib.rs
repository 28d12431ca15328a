//! packnback under virtual time: the decisions of `packnback-proto` run in a world of events, with hosts that crash,
//! links that break and clocks that are wrong, all from one seed.
//!
//! There is no second implementation of a decision in here. Whether a session opens, what fits a quota, and when a
//! snapshot is complete is asked of [`packnback_proto::machine`]; the world only moves bytes and time, and checkers
//! that know nothing of the decisions look for broken promises.
#![deny(missing_docs)]

pub mod checkers;
pub mod host;
pub mod rng;
pub mod scenario;
pub mod tree;
pub mod world;
