//! What two nodes that know each other say whenever they are connected, stream protocol
//! [`super::CONTACT_PROTOCOL`]: where each can be dialled, what it calls itself, and what the other is to it.
//!
//! Whoever has a connection opens one stream, sends a [`Contact`] and gets one back. So every contact in either
//! direction teaches both sides where the other is now, and a friendship that was ended on one side is known to have
//! ended on the other.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::types::text_enum;
use crate::text::{Addrs, Text};

/// Version of this message.
pub const CONTACT_VERSION: u32 = 1;

text_enum! {
    /// What the receiver is to the sender.
    Bond, Unknown, {
        /// A friend: each may store with the other.
        Friend = "friend",
        /// On an owner's list of hosts, no friend.
        Host = "host",
        /// A friend once: the friendship was ended.
        Ended = "ended",
    }
}

/// One side of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// [`CONTACT_VERSION`] of the sender.
    pub version: u32,
    /// What the receiver is to the sender.
    pub bond: Bond,
    /// What the sender calls itself; may be empty.
    pub name: Text,
    /// Where the sender can be dialled.
    pub addrs: Addrs,
}
