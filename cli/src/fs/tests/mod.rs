//! Whole trees: walked, read and written again. The parts have their own tests next to them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod hostile;
mod restore;
mod roundtrip;
mod sources;
mod support;
mod walking;
mod zeros;
