//! Format 1: what is stored (docs/format.md).

pub mod entry;
