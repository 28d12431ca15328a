//! Keys at work: what a device seals with, and what a reader opens with. Where they are kept, and how a
//! person gives them, is said elsewhere.

mod device;
mod reader;

pub use device::DeviceBundleKeys;
pub use reader::ReaderKeys;
