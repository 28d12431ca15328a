//! Carries every snapshot of this node to its friends.

mod source;
mod upload;

#[cfg(test)]
mod upload_tests;

pub use source::{OwnSnap, Shape, Source};
pub use upload::{Action, Left, Reply, Shapes, Upload, UploadError};
