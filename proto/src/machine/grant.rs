//! What a reader may see. Reading needs an owner-signed grant, always: no certificate reads.

use crate::ids::{NodeId, OwnerId, SnapshotId};
use crate::limits::GRANT_LIFETIME_MAX_S;
use crate::record::{Grant, Scope};
use crate::wire::{ErrorCode, Nonce16, Role};

/// What is known when a grant is presented. Its signature by its owner has been verified.
#[derive(Debug, Clone, Copy)]
pub struct GrantFacts<'a> {
    /// The grant.
    pub grant: &'a Grant,
    /// The authenticated peer.
    pub peer: NodeId,
    /// Its role here.
    pub role: Option<Role>,
    /// This host.
    pub host: NodeId,
    /// Whether this host stores anything for the owner.
    pub served: bool,
    /// Nonce this host gave in this conversation.
    pub nonce: Nonce16,
    /// Bytes already read under this grant.
    pub bytes_read: u64,
}

/// Why a grant is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// Neither a friend nor a recovery peer.
    #[error("this node does not know you")]
    Stranger,
    /// Nothing of this owner is here.
    #[error("nothing of this owner is stored here")]
    NotServed,
    /// For another reader.
    #[error("the grant is for another reader")]
    WrongReader,
    /// For other hosts.
    #[error("the grant is for another host")]
    WrongHost,
    /// It is bound to one conversation, and not to this one.
    #[error("the grant was signed for another conversation: ask the host again and sign anew")]
    WrongNonce,
    /// Not valid yet.
    #[error("the grant is not valid before {0} (unix time)")]
    NotYet(u64),
    /// Not valid any more.
    #[error("the grant expired at {0} (unix time)")]
    Expired(u64),
    /// Longer than any grant may be.
    #[error("the grant is valid for too long")]
    TooLong,
    /// All its bytes were read.
    #[error("the {0} bytes of the grant have been read")]
    UsedUp(u64),
    /// Asked without a grant.
    #[error("reading needs a grant of the owner")]
    None,
}

impl GrantRefusal {
    /// Kind of the refusal on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Stranger | Self::None => ErrorCode::Denied,
            Self::NotServed => ErrorCode::NotFound,
            Self::UsedUp(_) => ErrorCode::Quota,
            _ => ErrorCode::Record,
        }
    }
}

/// A grant in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRight {
    /// Whose data.
    pub owner: OwnerId,
    /// What of it.
    pub scope: Scope,
    /// Last second of validity.
    pub expires: u64,
    /// Most bytes, over all conversations.
    pub max_bytes: Option<u64>,
    /// Bytes read so far.
    pub bytes_read: u64,
}

/// Whether the grant is accepted.
///
/// A grant that names this host alone was signed after asking it for time and nonce, so its nonce
/// must be the one given in this conversation: taken down from a wire or a disk it is worth
/// nothing. A grant for any host or several was signed offline; its nonce only makes it unique.
///
/// # Errors
/// [`GrantRefusal`].
pub fn accept(facts: GrantFacts<'_>, now: u64) -> Result<ReadRight, GrantRefusal> {
    let grant = facts.grant;
    if !matches!(facts.role, Some(Role::Friend | Role::Recovery)) {
        return Err(GrantRefusal::Stranger);
    }
    if grant.reader != facts.peer {
        return Err(GrantRefusal::WrongReader);
    }
    if let Some(audience) = &grant.audience {
        if !audience.contains(&facts.host) {
            return Err(GrantRefusal::WrongHost);
        }
        if audience.len() == 1 && grant.nonce != facts.nonce.0 {
            return Err(GrantRefusal::WrongNonce);
        }
    }
    if grant.expires.saturating_sub(grant.not_before) > GRANT_LIFETIME_MAX_S {
        return Err(GrantRefusal::TooLong);
    }
    if now < grant.not_before {
        return Err(GrantRefusal::NotYet(grant.not_before));
    }
    if !facts.served {
        return Err(GrantRefusal::NotServed);
    }
    let right = ReadRight {
        owner: grant.owner,
        scope: grant.scope.clone(),
        expires: grant.expires,
        max_bytes: grant.max_bytes,
        bytes_read: facts.bytes_read,
    };
    right.may_read(0, now)?;
    Ok(right)
}

impl ReadRight {
    /// Whether `bytes` more may be read now.
    ///
    /// # Errors
    /// [`GrantRefusal::Expired`], [`GrantRefusal::UsedUp`].
    pub fn may_read(&self, bytes: u64, now: u64) -> Result<(), GrantRefusal> {
        if now > self.expires {
            return Err(GrantRefusal::Expired(self.expires));
        }
        match self.max_bytes {
            Some(max) if self.bytes_read.saturating_add(bytes) > max => {
                Err(GrantRefusal::UsedUp(max))
            }
            _ => Ok(()),
        }
    }

    /// Whether a record may be shown.
    #[must_use]
    pub fn shows(&self, about: About) -> bool {
        scope_shows(&self.scope, about)
    }
}

/// What a stored record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Certificate of this device.
    Cert(NodeId),
    /// Snapshot of this device, or a receipt for it.
    Snap(NodeId, SnapshotId),
    /// An order: every reader may see them, they concern all.
    Order,
}

/// Whether a scope covers a record.
#[must_use]
pub fn scope_shows(scope: &Scope, about: About) -> bool {
    match (scope, about) {
        (Scope::All, _) | (_, About::Order) => true,
        (Scope::Devices(devices), About::Cert(device) | About::Snap(device, _)) => {
            devices.contains(&device)
        }
        (Scope::Snaps(snaps), About::Snap(_, snap)) => snaps.contains(&snap),
        // The certificate is needed to verify the snapshots, and tells nothing a snap does not.
        (Scope::Snaps(_), About::Cert(_)) => true,
    }
}
