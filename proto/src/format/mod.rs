//! Format 1: what is stored (docs/format.md).

pub mod entry;
mod entry_codec;
pub mod frame;
pub mod header;
pub mod index;
pub mod keyblob;
pub mod map;
pub mod object;
pub mod path;
pub mod payload;
pub mod root;
pub mod segment;

pub use entry_codec::{entry_len, validate_entry};
