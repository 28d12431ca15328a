//! Messages between a program and its node, and between nodes.
//!
//! Every message is one frame ([`frame`]): a small CBOR header and an optional raw body. Object
//! bytes and signed records travel as they are; this module never looks into them.
//!
//! Three things are versioned apart: the stream protocols ([`STORE_PROTOCOL`], [`INVITE_PROTOCOL`]),
//! the local API ([`local::API_VERSION`]) and the stored format (`crate::format`). A message this
//! version does not know is an error value ([`frame::FrameError::UnknownMessage`]), never a panic.

pub mod admin;
pub mod blame;
pub mod contact;
pub mod frame;
pub mod ids;
pub mod invite;
pub mod local;
pub mod store;
mod token;
mod types;
pub mod work;

pub use types::{Bytes, ErrorCode, Nonce16, Role, SecretBytes};

/// Stream protocol of a storage session between nodes.
pub const STORE_PROTOCOL: &str = "/packnback/store/1";
/// Stream protocol that turns an invite into a friendship.
pub const INVITE_PROTOCOL: &str = "/packnback/invite/1";
/// Stream protocol by which two nodes that know each other say where they are and what they are to each other.
pub const CONTACT_PROTOCOL: &str = "/packnback/contact/1";

#[cfg(test)]
mod tests;
