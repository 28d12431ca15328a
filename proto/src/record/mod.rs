//! Signed records (docs/format.md, "Records").

mod types;
pub use types::*;
