//! Carries every snapshot of this node to its friends.

mod source;

pub use source::{OwnSnap, Shape, Source};
