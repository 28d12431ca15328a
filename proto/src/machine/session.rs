//! Who may open a device session.

use crate::ids::{NodeId, OwnerId};
use crate::limits::{CERT_CLOCK_SKEW_S, LOOSE_KEEP_S, SESSIONS_PER_DEVICE};
use crate::record::{Cert, perms};
use crate::wire::{ErrorCode, Role};

/// What is known when a certificate is presented. Its signature by its owner has been verified.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The certificate.
    pub cert: &'a Cert,
    /// The authenticated peer.
    pub peer: NodeId,
    /// Its role here; `None` = unknown.
    pub role: Option<Role>,
    /// The owner this peer is bound to, if any.
    pub bound: Option<OwnerId>,
    /// Whether an order of the owner revoked this device here.
    pub revoked: bool,
    /// Highest certificate serial seen here for this device.
    pub serial_seen: u64,
}

/// Why a session is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenRefusal {
    /// The peer has no storage here.
    #[error("this node stores nothing for you: become friends first (peer invite)")]
    NotFriend,
    /// The peer is bound to another owner.
    #[error("this node stores for you, but under another owner")]
    OtherOwner,
    /// The certificate is for another device.
    #[error("the certificate belongs to another device")]
    WrongDevice,
    /// Not valid yet.
    #[error("the certificate is not valid before {0} (unix time); check the clocks")]
    NotYet(u64),
    /// Not valid any more.
    #[error("the certificate expired at {0} (unix time): enrol the device again")]
    Expired(u64),
    /// The owner revoked the device.
    #[error("the owner revoked this device")]
    Revoked,
    /// A newer certificate of the device was seen.
    #[error("a newer certificate of this device is known here (serial {0})")]
    Superseded(u64),
    /// The device has as many sessions open as it may.
    #[error("this device has {0} sessions open here already")]
    TooManySessions(usize),
    /// The administrator of this host ends storage.
    #[error(
        "this host is ending storage for this owner: it takes nothing new, and drops everything at {0} (unix time)"
    )]
    Closing(u64),
    /// It does not allow to store.
    #[error("the certificate does not allow to store")]
    NoPut,
}

impl OpenRefusal {
    /// Kind of the refusal on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NotFriend => ErrorCode::Denied,
            Self::OtherOwner => ErrorCode::OtherOwner,
            Self::TooManySessions(_) => ErrorCode::Busy,
            Self::Closing(_) => ErrorCode::Denied,
            _ => ErrorCode::Certificate,
        }
    }
}

/// Whether the session may be opened. Unknown permission bits are ignored.
///
/// # Errors
/// [`OpenRefusal`].
pub fn may_open(facts: Presented<'_>, now: u64) -> Result<(), OpenRefusal> {
    if facts.role != Some(Role::Friend) {
        return Err(OpenRefusal::NotFriend);
    }
    if facts.cert.device != facts.peer {
        return Err(OpenRefusal::WrongDevice);
    }
    if facts.bound.is_some_and(|owner| owner != facts.cert.owner) {
        return Err(OpenRefusal::OtherOwner);
    }
    if facts.serial_seen > facts.cert.serial {
        return Err(OpenRefusal::Superseded(facts.serial_seen));
    }
    still_valid(facts.cert, facts.revoked, now)
}

/// Whether a device that has `open` sessions may have one more. Others are not concerned: each
/// device has places of its own.
///
/// # Errors
/// [`OpenRefusal::TooManySessions`].
pub fn one_more(open: usize) -> Result<(), OpenRefusal> {
    if open >= SESSIONS_PER_DEVICE {
        return Err(OpenRefusal::TooManySessions(open));
    }
    Ok(())
}

/// Whether a session that began at `began` is over: however busy it is, it ends one day.
#[must_use]
pub fn is_over(began: u64, now: u64) -> bool {
    now.saturating_sub(began) >= LOOSE_KEEP_S
}

/// Whether a certificate may (still) be used to store: asked at open and again at every commit.
///
/// # Errors
/// [`OpenRefusal`].
pub fn still_valid(cert: &Cert, revoked: bool, now: u64) -> Result<(), OpenRefusal> {
    if revoked {
        return Err(OpenRefusal::Revoked);
    }
    if cert.perms & perms::PUT == 0 {
        return Err(OpenRefusal::NoPut);
    }
    if now.saturating_add(CERT_CLOCK_SKEW_S) < cert.not_before {
        return Err(OpenRefusal::NotYet(cert.not_before));
    }
    if now > cert.expires.saturating_add(CERT_CLOCK_SKEW_S) {
        return Err(OpenRefusal::Expired(cert.expires));
    }
    Ok(())
}

/// Whose objects `have` and the closure check of this device may see.
#[must_use]
pub fn sees_all_of_owner(cert: &Cert) -> bool {
    cert.perms & perms::DEDUP != 0
}

/// Whether the device may list its own records.
#[must_use]
pub fn may_list(cert: &Cert) -> bool {
    cert.perms & perms::LIST != 0
}
