//! End to end: the built programs, as a person runs them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod alarms;
mod asked;
mod bad_input;
mod contacts;
mod damage;
mod demo;
mod devices;
mod disk_full;
mod drill;
mod friends;
mod guides;
mod hostile_friend;
mod incremental;
mod keys;
mod killed;
mod late;
mod orders;
mod parts;
mod policy;
mod process;
mod prompts;
mod restoring;
mod revoked;
mod round_trip;
mod scrub;
mod sets;
mod signer;
mod support;
mod trees;
mod waiting;
mod workers;
