//! When a snapshot is accepted. Completeness is checked apart ([`super::closure`]); here is who
//! signed it and for whom. Not the sequence, not the predecessor, not the device's clock: those
//! are for people and alarms, and a wrong one must not cost a backup.

use super::budget::BudgetRefusal;
use super::session::OpenRefusal;
use crate::ids::{NodeId, OwnerId};
use crate::limits::SETS_MAX;
use crate::record::Snap;
use crate::wire::ErrorCode;

/// Why a snapshot is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitRefusal {
    /// It names another owner than the session.
    #[error("the snapshot belongs to another owner than this session")]
    OtherOwner,
    /// It names or was signed by another device than the session's.
    #[error("the snapshot belongs to another device than this session")]
    OtherDevice,
    /// The certificate does not hold any more.
    #[error(transparent)]
    Certificate(#[from] OpenRefusal),
    /// Too many today.
    #[error(transparent)]
    Budget(#[from] BudgetRefusal),
    /// It was deleted here, by an order or the policy, and does not come back.
    #[error("the snapshot was deleted here, or an order of the owner makes it go")]
    Ended,
    /// The device has as many backup sets here as a host keeps apart.
    #[error(
        "this device has {SETS_MAX} backup sets here already, and this snapshot would begin another: back up into one \
         of them (--set NAME), or have the owner delete all snapshots of a set that is not needed (packnback forget)"
    )]
    TooManySets,
    /// The administrator of this host ends storage.
    #[error("this host is ending storage for this owner: it takes nothing new")]
    Closing,
    /// Its root is not a root object.
    #[error("the snapshot does not point to a root object")]
    NotARoot,
    /// A node names an object that is not lower.
    #[error("the tree of the snapshot is malformed")]
    Malformed,
}

impl CommitRefusal {
    /// Kind of the refusal on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Certificate(refusal) => refusal.code(),
            Self::Budget(refusal) => refusal.code(),
            Self::NotARoot | Self::Malformed => ErrorCode::Object,
            Self::Closing => ErrorCode::Denied,
            Self::TooManySets => ErrorCode::Quota,
            _ => ErrorCode::Record,
        }
    }
}

/// Whom the session serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOf {
    /// Owner of the certificate.
    pub owner: OwnerId,
    /// Its device.
    pub device: NodeId,
}

/// Whether a snapshot, whose signature by `signer` was verified, belongs to the session.
/// A device may deliver snapshots it made under an earlier certificate, so the serial is not
/// compared; the certificate of the session must hold now.
///
/// # Errors
/// [`CommitRefusal`].
pub fn belongs(snap: &Snap, signer: &[u8; 32], session: SessionOf) -> Result<(), CommitRefusal> {
    if snap.owner != session.owner {
        return Err(CommitRefusal::OtherOwner);
    }
    if snap.device != session.device || signer != session.device.as_bytes() {
        return Err(CommitRefusal::OtherDevice);
    }
    Ok(())
}
