//! The whole pipeline against a node in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod asked;
mod cache;
mod end_to_end;
mod kept;
mod negative;
mod parts;
mod reread;
pub(crate) mod stub;
mod trees;
