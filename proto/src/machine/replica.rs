//! Copies from host to host: who may take one, and what is taken in.
//!
//! A host that joins later cannot get old snapshots from the device, which cannot make them again.
//! It copies them from another host that the owner listed (order `hosts`). Both sides check on
//! their own: the one that gives asks whether the other is listed, the one that takes believes
//! signatures only.

use crate::ids::{NodeId, OwnerId};
use crate::record::{Cert, Snap};
use crate::wire::{ErrorCode, Role};

/// What is known when another host asks for an owner's data.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaFacts<'a> {
    /// The authenticated peer.
    pub peer: NodeId,
    /// Its role here.
    pub role: Option<Role>,
    /// Whether anything of this owner is stored here.
    pub served: bool,
    /// The owner's hosts by its newest order known here; `None` = it never said.
    pub listed: Option<&'a [NodeId]>,
    /// Whether everything of this owner is being dropped here.
    pub dropped: bool,
}

/// Why another host gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaRefusal {
    /// A stranger, a guest, a recovery peer.
    #[error("this owner did not list you as one of its hosts, as far as this node knows")]
    WrongRole,
    /// Nothing of this owner is here.
    #[error("this owner did not list you as one of its hosts, as far as this node knows")]
    NotServed,
    /// Not one of the owner's hosts. The same words as for an owner that is not served here: who
    /// is not listed does not learn who is.
    #[error("this owner did not list you as one of its hosts, as far as this node knows")]
    NotListed,
    /// Listed, but there is nothing left to take.
    #[error("what this owner stored here is being dropped")]
    Dropped,
}

impl ReplicaRefusal {
    /// Kind of the refusal on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Dropped => ErrorCode::NotFound,
            _ => ErrorCode::Denied,
        }
    }
}

/// Whether a peer may copy an owner's records and ciphertext. Asked when it names the owner and
/// again at every request, because the list may change.
///
/// # Errors
/// [`ReplicaRefusal`].
pub fn may_replicate(facts: ReplicaFacts<'_>) -> Result<(), ReplicaRefusal> {
    if !matches!(facts.role, Some(Role::Friend | Role::Replica)) {
        return Err(ReplicaRefusal::WrongRole);
    }
    if !facts.served {
        return Err(ReplicaRefusal::NotServed);
    }
    if !facts
        .listed
        .is_some_and(|hosts| hosts.contains(&facts.peer))
    {
        return Err(ReplicaRefusal::NotListed);
    }
    if facts.dropped {
        return Err(ReplicaRefusal::Dropped);
    }
    Ok(())
}

/// What is known of a snapshot that another host offers. Its signature and that of the certificate
/// have been verified.
#[derive(Debug, Clone, Copy)]
pub struct ImportFacts<'a> {
    /// The owner that is being copied.
    pub owner: OwnerId,
    /// This host.
    pub me: NodeId,
    /// The snapshot.
    pub snap: &'a Snap,
    /// The newest certificate of its device known here.
    pub cert: Option<&'a Cert>,
    /// When the owner signed the revocation of the device, if it did.
    pub revoked: Option<u64>,
    /// The earliest receipt for it by a host that the owner listed.
    pub receipted: Option<u64>,
}

/// Why an offered snapshot is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// It names another owner.
    #[error("the snapshot belongs to another owner")]
    OtherOwner,
    /// Under the key of this very node: what is not here was not made here, or was deleted.
    #[error("the snapshot is under the key of this node")]
    Own,
    /// The owner never certified its device, as far as is known here.
    #[error("the owner did not certify the device of this snapshot")]
    NoCert,
    /// The device is revoked, and no listed host had the snapshot before that.
    #[error("the device was revoked before any listed host had this snapshot")]
    Revoked,
}

impl ImportRefusal {
    /// Kind of the refusal.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoCert | Self::Revoked => ErrorCode::Certificate,
            _ => ErrorCode::Record,
        }
    }
}

/// Whether a snapshot offered by another host is taken. Its closure, and the space it takes, are
/// checked apart. Not the window of the certificate: the snapshot may be years old.
///
/// # Errors
/// [`ImportRefusal`].
pub fn may_import(facts: ImportFacts<'_>) -> Result<(), ImportRefusal> {
    if facts.snap.owner != facts.owner {
        return Err(ImportRefusal::OtherOwner);
    }
    if facts.snap.device == facts.me {
        return Err(ImportRefusal::Own);
    }
    let certified = facts
        .cert
        .is_some_and(|cert| cert.owner == facts.owner && cert.device == facts.snap.device);
    if !certified {
        return Err(ImportRefusal::NoCert);
    }
    match (facts.revoked, facts.receipted) {
        (Some(revoked), Some(receipted)) if receipted < revoked => Ok(()),
        (Some(_), _) => Err(ImportRefusal::Revoked),
        (None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ObjectId, SetId};
    use crate::record::perms;

    const ME: NodeId = NodeId([9; 32]);
    const PEER: NodeId = NodeId([1; 32]);
    const OWNER: OwnerId = OwnerId([2; 32]);
    const DEVICE: NodeId = NodeId([3; 32]);

    #[test]
    fn n23_only_a_listed_host_may_copy() {
        let hosts = [NodeId([7; 32]), PEER];
        let good = ReplicaFacts {
            peer: PEER,
            role: Some(Role::Replica),
            served: true,
            listed: Some(&hosts),
            dropped: false,
        };
        assert_eq!(may_replicate(good), Ok(()));
        let friend = Some(Role::Friend);
        assert_eq!(
            may_replicate(ReplicaFacts {
                role: friend,
                ..good
            }),
            Ok(())
        );
        for role in [
            None,
            Some(Role::Guest),
            Some(Role::Recovery),
            Some(Role::Infra),
            Some(Role::Unknown),
        ] {
            let facts = ReplicaFacts { role, ..good };
            assert_eq!(may_replicate(facts), Err(ReplicaRefusal::WrongRole));
        }
        let facts = ReplicaFacts {
            listed: None,
            ..good
        };
        assert_eq!(may_replicate(facts), Err(ReplicaRefusal::NotListed));
        let facts = ReplicaFacts {
            peer: NodeId([8; 32]),
            ..good
        };
        assert_eq!(may_replicate(facts), Err(ReplicaRefusal::NotListed));
        let facts = ReplicaFacts {
            served: false,
            ..good
        };
        assert_eq!(may_replicate(facts), Err(ReplicaRefusal::NotServed));
        let facts = ReplicaFacts {
            dropped: true,
            ..good
        };
        assert_eq!(may_replicate(facts), Err(ReplicaRefusal::Dropped));
        // Who is not listed cannot tell the cases apart.
        let said = |refusal: ReplicaRefusal| (refusal.code(), refusal.to_string());
        let not_listed = said(ReplicaRefusal::NotListed);
        assert_eq!(said(ReplicaRefusal::NotServed), not_listed);
        assert_eq!(said(ReplicaRefusal::WrongRole), not_listed);
    }

    fn snap() -> Snap {
        Snap {
            owner: OWNER,
            device: DEVICE,
            seq: 1,
            prev: None,
            root: ObjectId([4; 32]),
            time: 5,
            cert_serial: 1,
            set: SetId([1; 16]),
        }
    }

    fn cert() -> Cert {
        Cert {
            owner: OWNER,
            device: DEVICE,
            serial: 1,
            perms: perms::ALL,
            not_before: 1,
            expires: 2,
            quota_bytes: 0,
            new_bytes_per_day: 0,
            snaps_per_day: 0,
            group: 0,
            epoch: 0,
            sealed_label: Vec::new(),
            recovery: NodeId([6; 32]),
        }
    }

    #[test]
    fn n23_a_snapshot_is_taken_from_a_certified_device_only() {
        let (snap, cert) = (snap(), cert());
        let good = ImportFacts {
            owner: OWNER,
            me: ME,
            snap: &snap,
            cert: Some(&cert),
            revoked: None,
            receipted: None,
        };
        assert_eq!(may_import(good), Ok(()));
        let facts = ImportFacts {
            owner: OwnerId([8; 32]),
            ..good
        };
        assert_eq!(may_import(facts), Err(ImportRefusal::OtherOwner));
        let facts = ImportFacts { me: DEVICE, ..good };
        assert_eq!(may_import(facts), Err(ImportRefusal::Own));
        let facts = ImportFacts { cert: None, ..good };
        assert_eq!(may_import(facts), Err(ImportRefusal::NoCert));
        for wrong in [
            Cert {
                owner: OwnerId([8; 32]),
                ..cert.clone()
            },
            Cert {
                device: ME,
                ..cert.clone()
            },
        ] {
            let facts = ImportFacts {
                cert: Some(&wrong),
                ..good
            };
            assert_eq!(may_import(facts), Err(ImportRefusal::NoCert));
        }
    }

    #[test]
    fn n23_of_a_revoked_device_only_what_listed_hosts_had_before() {
        let (snap, cert) = (snap(), cert());
        let at = |revoked, receipted| {
            may_import(ImportFacts {
                owner: OWNER,
                me: ME,
                snap: &snap,
                cert: Some(&cert),
                revoked,
                receipted,
            })
        };
        assert_eq!(at(Some(100), Some(99)), Ok(()));
        assert_eq!(at(Some(100), Some(100)), Err(ImportRefusal::Revoked));
        assert_eq!(at(Some(100), None), Err(ImportRefusal::Revoked));
        assert_eq!(at(None, Some(1000)), Ok(()));
    }
}
