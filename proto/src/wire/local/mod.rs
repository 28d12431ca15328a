//! The local API: a program asks its node over a Unix socket (mode 0600, same user or root only).
//!
//! [`local_requests!`](crate::local_requests) is the one table of requests: the enum, its wire names, who may ask what,
//! the node's dispatch and the program's functions are all made from it.
//!
//! The greeting goes first and plain: `Hello`, and its reply. After it every request is [`Tagged`] with a number
//! the program chooses, and so is everything the node says about it; several requests are under way at once and are
//! answered as they are done. What belongs to one backup keeps its order ([`Lane`]). Of one request the replies keep
//! theirs: one `Object` per id of a `Get`, in order. `Put` has no reply unless it is refused, which ends the connection;
//! `Sync` answers for all puts before it. A backup is `Hello, Open, (Have | Put)*, Sync, Commit, Copies*`.

mod answers;
mod replies;
mod requests;
mod rules;
mod status;

pub use answers::{
    Answer, Bitmap, Done, Info, Nothing, Objects, PeerAnswer, PeersAnswer, RemovedAnswer, Reply,
    StatusAnswer, SyncedAnswer,
};
pub use replies::{
    CommitAnswer, Committed, Copies, Hello, Invited, LocalReply, Opened, RecordPage, RemoteOpened,
};
pub use requests::{EvictDays, LocalRequest};
pub use rules::{FAR, LONG, Lane, QUICK, Rule, WORK};
pub use status::{
    CopyState, HostCopy, NodeSettings, OwnerInfo, PeerInfo, RefusalInfo, SnapInfo, StatusInfo,
};

/// Version of these messages. A node refuses any other.
pub const API_VERSION: u32 = 4;

/// What the node says of no request, but of the connection.
pub const NO_TAG: u64 = 0;

/// A message after the greeting: the number of the request, and the request or what is said about it. A program
/// numbers its requests from 1 up, and uses no number twice on a connection.
pub type Tagged<T> = (u64, T);
