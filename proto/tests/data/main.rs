//! Tests of CBOR, records, tree payloads and the ways to keep the owner seed, through the public
//! interface. `nNN_` is the number of a test in the project's list of required refusals
//! (docs/threat-model.md).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod branches;
mod cbor_rules;
mod exchange;
mod n14_key_blobs;
mod n19_records;
mod n22_seed;
mod n22_subsets;
mod random;
mod records;
mod strategies;
mod support;
mod trees;
mod vectors;
