//! Tests of cryptography, objects and chunker through the public interface. `nNN_` is the number
//! of a test in the project's list of required refusals (docs/threats.md).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout
)]

mod kpa;
mod n01_header;
mod n11_dedup;
mod n12_sealing;
mod n19_curves;
mod n24_chunker;
mod salamander;
mod support;
mod vectors;
