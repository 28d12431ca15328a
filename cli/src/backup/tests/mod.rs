//! The whole pipeline against a node in memory.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod asked;
mod cache;
mod counting;
mod delete;
mod end_to_end;
mod forged;
mod kept;
mod n28_trees;
mod negative;
mod parts;
mod reread;
mod restoring;
pub(crate) mod stub;
mod trees;
