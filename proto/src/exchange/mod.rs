//! What people carry between machines that do not talk to each other: the request of a new device
//! and the bundle for it, and the request for session keys and the answer to it (docs/format.md,
//! "Enrolment" and "Unsealing").

mod join;
mod text;
mod unseal;

pub use join::{JoinBundle, JoinRequest};
pub use text::{TextForm, from_text, to_text};
pub use unseal::{SessionName, UnsealAnswer, UnsealRequest, Unsealed};

use crate::cbor::CborError;
use crate::crypto::CryptoError;
use crate::crypto::keyset::KeyLack;
use crate::ids::NodeId;
use crate::record::RecordError;

/// Why something that was carried over is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// Not what it should be, or cut off.
    #[error("it is damaged, or not what was asked for: {0}")]
    Cbor(#[from] CborError),
    /// Text that does not begin as it should.
    #[error("it should begin with {0}")]
    Prefix(&'static str),
    /// Characters are missing or wrong.
    #[error("it is damaged: copy it again, complete and unchanged")]
    Damaged,
    /// Made by another version.
    #[error("it is of a version this program does not know")]
    UnknownVersion,
    /// For another machine.
    #[error("it was made for another machine ({})", .0.short())]
    OtherMachine(NodeId),
    /// Sealed to another key, for another purpose, or changed.
    #[error("it does not open with the key this machine showed, or was changed: {0}")]
    Sealed(CryptoError),
    /// Not signed by the owner whose certificate it carries.
    #[error("it is not signed by the owner it names")]
    Signature,
    /// A record in it is not valid.
    #[error("a record in it is not valid: {0}")]
    Record(#[from] RecordError),
    /// Parts that do not belong together.
    #[error("its parts do not belong together: {0}")]
    Mismatch(&'static str),
    /// The key at hand does not open what is asked for.
    #[error(transparent)]
    Lack(#[from] KeyLack),
}

impl ExchangeError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Cbor(e) => e.class(),
            Self::Prefix(_) => "prefix",
            Self::Damaged => "damaged",
            Self::UnknownVersion => "unknown-version",
            Self::OtherMachine(_) => "other-machine",
            Self::Sealed(_) => "sealed",
            Self::Signature => "bad-signature",
            Self::Record(e) => e.class(),
            Self::Mismatch(_) => "mismatch",
            Self::Lack(e) => e.class(),
        }
    }
}
