//! Turning an invite into a friendship, stream protocol [`super::INVITE_PROTOCOL`].
//!
//! The invitee connects with the one-time guest key of the token, so that no unknown peer ever
//! gets past the gate of the inviter:
//!
//! ```text
//! invitee (guest key)             inviter
//!   Hello                     ->
//!                             <-  Challenge { nonce }
//!   Claim { real, signature } ->                       inviter: pending -> used(real), in one write
//!                             <-  Accepted | Refused
//! ```
//! The signature is by the real key over [`claim_message`]. Claiming again with the same real key
//! answers the same; anybody else is refused.

use serde::{Deserialize, Serialize};

pub use super::token::{
    InviteSecret, InviteToken, TOKEN_PREFIX, TOKEN_TEXT_MAX, TOKEN_VERSION, TokenError,
};
use super::{Bytes, ErrorCode, Nonce16};
use crate::ids::NodeId;
use crate::text::{Addrs, Text};

/// Version of these messages.
pub const INVITE_VERSION: u32 = 1;

/// The bytes the invitee signs with its real key.
#[must_use]
pub fn claim_message(inviter: &NodeId, guest: &NodeId, real: &NodeId, nonce: &Nonce16) -> Vec<u8> {
    let mut message = b"packnback-invite-v1\0".to_vec();
    for part in [inviter, guest, real] {
        message.extend_from_slice(part.as_bytes());
    }
    message.extend_from_slice(&nonce.0);
    message
}

/// Asked by the invitee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InviteRequest {
    /// First message.
    Hello {
        /// [`INVITE_VERSION`] of the invitee.
        version: u32,
    },
    /// Claims the invite.
    Claim {
        /// The invitee's real identity.
        real: NodeId,
        /// Ed25519 signature by `real` over [`claim_message`].
        signature: Bytes,
        /// Name to show for the invitee.
        name: Text,
        /// Where to reach it.
        addrs: Addrs,
        /// Bytes the invitee offers to store for the inviter.
        quota: u64,
    },
}

/// Answers of the inviter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InviteReply {
    /// To `Hello`.
    Challenge {
        /// [`INVITE_VERSION`] of the inviter.
        version: u32,
        /// To be signed.
        nonce: Nonce16,
    },
    /// To `Claim`: both are friends now.
    Accepted {
        /// Name to show for the inviter.
        name: Text,
        /// Where to reach it from now on.
        addrs: Addrs,
        /// Bytes the inviter stores for the invitee.
        quota: u64,
    },
    /// The claim was refused.
    Refused {
        /// Why.
        code: ErrorCode,
        /// For people.
        message: Text,
    },
}
