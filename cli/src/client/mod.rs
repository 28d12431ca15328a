//! The local node, asked over its Unix socket.
//!
//! [`Client`] is shared by threads. Frames leave in the order of the calls, through one writer
//! thread with a byte budget; one reader thread hands the replies out in that order. So puts are
//! pipelined (no reply unless refused) and several questions can be under way at once.

mod admin;
mod connect;
mod error;
mod friends;
mod link;
mod patience;
mod requests;
mod threads;

#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use link::{Committed, NodeLink, Opened};
pub use requests::{Hello, RecordsPage, RemoteHost};
pub use threads::{Client, PendingObjects, PendingReply};
