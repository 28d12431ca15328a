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

use super::{Bytes, ErrorCode, Nonce16, SecretBytes};
use crate::ids::NodeId;
use crate::text::{Addrs, Text};

/// Version of these messages and of the token.
pub const INVITE_VERSION: u32 = 1;

/// Text in front of an invite token.
pub const TOKEN_PREFIX: &str = "pnb-invite-";

/// What an invite says. Travels as text from one person to another: see [`InviteToken::to_text`].
#[derive(Debug, Serialize, Deserialize)]
pub struct InviteToken {
    /// [`INVITE_VERSION`].
    pub version: u32,
    /// Who invites.
    pub inviter: NodeId,
    /// Where to reach it: multiaddresses.
    pub addrs: Vec<String>,
    /// Unix seconds after which it is void.
    pub expires: u64,
    /// Bytes the inviter offers to store.
    pub quota: u64,
    /// Seed of the Ed25519 guest key.
    pub seed: SecretBytes,
}

/// A text is not an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not start like one.
    #[error("this is not a packnback invite: it must start with {TOKEN_PREFIX}")]
    Prefix,
    /// Characters are missing or wrong.
    #[error("the invite is damaged: copy it again, complete and unchanged")]
    Damaged,
    /// Made by a newer version.
    #[error("the invite was made by a newer version (format {0})")]
    Version(u32),
}

impl InviteToken {
    /// As text: prefix, base32 of the CBOR form and four bytes of its BLAKE3.
    ///
    /// # Errors
    /// [`TokenError::Damaged`] if it cannot be encoded.
    pub fn to_text(&self) -> Result<String, TokenError> {
        let mut bytes = serde_cbor::to_vec(self).map_err(|_| TokenError::Damaged)?;
        let check = blake3::hash(&bytes);
        bytes.extend(check.as_bytes().iter().take(4));
        let text = data_encoding::BASE32_NOPAD
            .encode(&bytes)
            .to_ascii_lowercase();
        Ok(format!("{TOKEN_PREFIX}{text}"))
    }

    /// From text; white space around and inside is ignored.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let text: String = text.split_whitespace().collect();
        let code = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::Prefix)?;
        let bytes = data_encoding::BASE32_NOPAD
            .decode(code.to_ascii_uppercase().as_bytes())
            .map_err(|_| TokenError::Damaged)?;
        let (cbor, check) = bytes.split_last_chunk::<4>().ok_or(TokenError::Damaged)?;
        if !blake3::hash(cbor).as_bytes().starts_with(check) {
            return Err(TokenError::Damaged);
        }
        let token: Self = serde_cbor::from_slice(cbor).map_err(|_| TokenError::Damaged)?;
        if token.version != INVITE_VERSION {
            return Err(TokenError::Version(token.version));
        }
        Ok(token)
    }
}

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
