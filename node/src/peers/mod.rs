//! Known peers: the durable table of friends, invites and recovery keys.

mod state;

pub use state::{Change, MemoryState, StatePort};
