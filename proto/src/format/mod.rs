//! Format 1: what is stored (docs/format.md).

pub mod entry;
pub mod frame;
pub mod header;
pub mod object;
