//! The local node, asked over its Unix socket.
//!
//! [`Client`] is shared by threads. Frames leave in the order of the calls, through one writer thread with a byte
//! budget; every request has a number, and one reader thread hands what is said of it to who asked. So puts are
//! pipelined (no reply unless refused), any number of questions can be under way at once, and none waits for another.
//! The functions come from the table of requests.

mod connect;
mod error;
mod link;
mod pages;
mod patience;
mod requests;
mod threads;
mod waiting;

#[cfg(test)]
mod tests;

pub use error::ClientError;
pub use link::NodeLink;
pub use requests::{Hello, RecordsPage};
pub use threads::{Client, PendingObjects, PendingReply};
