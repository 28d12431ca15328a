//! Tests of the reading room: against a twin that has everything in memory, and against sources that fail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod build;
mod many;
mod sources;
mod twin;
