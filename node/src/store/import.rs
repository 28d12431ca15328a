//! Taking in what another host of the owner has (docs/protocol.md): snapshots that their devices do
//! not bring here themselves.
//!
//! Objects come in through [`Store::put`], under an [`Access`] from here: on behalf of the device
//! that made the snapshot, without its budget of the day, within what this host offers.

use packnback_proto::ids::{NodeId, OwnerId, SnapshotId};
use packnback_proto::limits::AUDIENCE_MAX;
use packnback_proto::machine::budget::Limits;
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::replica::{ImportFacts, may_import};
use packnback_proto::machine::session::sees_all_of_owner;
use packnback_proto::policy::effective_time;
use packnback_proto::record::{
    Cert, Receipt, Signed, Snap, decode_cert, decode_order, decode_receipt, decode_snap,
};

use super::commit::Origin;
use super::disk::Table;
use super::error::StoreError;
use super::{Access, CommitOutcome, Store, keys};

/// What this host offers, as far as it matters for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Bytes for all devices of the owner together.
    pub owner: u64,
    /// Bytes for this device; `None` if nothing was agreed with it.
    pub device: Option<u64>,
}

impl Offer {
    const PUT_ALREADY: Self = Self {
        owner: u64::MAX,
        device: None,
    };
}

/// A receipt that verifies, and its envelope.
type Verified<'a> = (Receipt, &'a [u8]);

impl Store {
    /// The owner's other hosts by its newest order; empty if it named none, or not this node.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn fellow_hosts(&self, owner: &OwnerId) -> Result<Vec<NodeId>, StoreError> {
        let me = self.node_id();
        let hosts = self.hosts(owner)?.map_or(Vec::new(), |row| row.hosts);
        if !hosts.contains(&me) {
            return Ok(Vec::new());
        }
        let others = hosts.into_iter().filter(|host| *host != me);
        Ok(others.take(AUDIENCE_MAX).collect())
    }

    /// Whether the time of everything of this owner is over here.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn is_being_dropped(&self, owner: &OwnerId, now: u64) -> Result<bool, StoreError> {
        let evict = self.admin(owner)?.evict;
        Ok(evict.is_some_and(|evict| now >= evict.drop_at))
    }

    /// Whether nothing new of this owner is taken in here any more.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn takes_nothing(&self, owner: &OwnerId, now: u64) -> Result<bool, StoreError> {
        let evict = self.admin(owner)?.evict;
        Ok(evict.is_some_and(|evict| evict.takes_nothing(now)))
    }

    /// Whether the snapshot may be copied, and on whose behalf its objects are put. `receipts`:
    /// envelopes of what hosts said of it.
    ///
    /// # Errors
    /// [`StoreError::Import`]; failures of the disk.
    pub fn import_access(
        &self,
        owner: &OwnerId,
        snap: &Signed<Snap>,
        receipts: &[Vec<u8>],
        offer: Offer,
    ) -> Result<Access, StoreError> {
        let value = snap.value();
        let cert = self.cert_of(owner, value)?;
        let receipted = self.earliest(owner, &verified(&snap.id(), receipts))?;
        self.may_come_back(owner, snap, receipted)?;
        may_import(ImportFacts {
            owner: *owner,
            me: self.node_id(),
            snap: value,
            cert: cert.as_ref(),
            revoked: self.revoked_at(owner, &value.device)?,
            receipted,
        })?;
        let owner_max = self.admin(owner)?.quota.unwrap_or(u64::MAX);
        let owner_max = owner_max.min(offer.owner);
        let used = self.usage(owner, &value.device)?.bytes;
        // Refused while it comes in already: what did fit is kept for the next try.
        let room = owner_max.saturating_sub(self.totals(owner)?.bytes);
        let limits = Limits {
            bytes: used
                .saturating_add(room)
                .min(offer.device.unwrap_or(u64::MAX)),
            ..Limits::NONE
        };
        Ok(Access {
            owner: *owner,
            device: value.device,
            // A device that sees only its own keeps doing so: its copy has what it put.
            sees_all: cert.is_some_and(|cert| sees_all_of_owner(&cert)),
            limits,
            owner_max,
        })
    }

    /// Whether a copy may come in: no order of the owner makes it go that names the time at which hosts
    /// received it. What orders name by its id is not asked for in the first place.
    fn may_come_back(
        &self,
        owner: &OwnerId,
        snap: &Signed<Snap>,
        received: Option<u64>,
    ) -> Result<(), StoreError> {
        let device = &snap.value().device;
        match received {
            Some(received)
                if self.goes_by_range(owner, device, received)?
                    && !self.is_held(owner, &snap.id())? =>
            {
                Err(CommitRefusal::Ended.into())
            }
            _ => Ok(()),
        }
    }

    /// The certificate under which the snapshot was made: a reader accepts it only with that one
    /// (docs/format.md, 8.2).
    fn cert_of(&self, owner: &OwnerId, snap: &Snap) -> Result<Option<Cert>, StoreError> {
        let key = keys::cert_serial(owner, &snap.device, snap.cert_serial);
        let Some(id) = self.disk.tables.get(Table::State, &key)? else {
            return Ok(None);
        };
        let wrong = || StoreError::Stored("certificate");
        let id = SnapshotId::from_slice(&id).map_err(|_| wrong())?;
        let envelope = self.record(owner, &id)?.ok_or_else(wrong)?;
        Ok(Some(decode_cert(&envelope)?.into_value()))
    }

    /// When the owner signed the revocation of a device.
    fn revoked_at(&self, owner: &OwnerId, device: &NodeId) -> Result<Option<u64>, StoreError> {
        let Some(id) = self.revoked_by(owner, device)? else {
            return Ok(None);
        };
        let order = self.record(owner, &id)?;
        let order = order.ok_or(StoreError::Stored("revocation"))?;
        Ok(Some(decode_order(&order)?.value().issued))
    }

    /// The earliest time at which a listed host received the snapshot. Receipts by others do not
    /// count.
    fn earliest(
        &self,
        owner: &OwnerId,
        receipts: &[Verified<'_>],
    ) -> Result<Option<u64>, StoreError> {
        let hosts = self.hosts(owner)?.map_or(Vec::new(), |row| row.hosts);
        let listed = receipts.iter().filter(|(r, _)| hosts.contains(&r.host));
        Ok(listed.map(|(receipt, _)| receipt.received).min())
    }

    /// Takes in a snapshot copied from another host, all or nothing; everything below it is put
    /// already, under [`Store::import_access`]. The earliest receipt of a host the owner lists is the
    /// time retention goes by, so that a new host does not take a whole history for one day's
    /// work. The receipts are kept; this host's own says when the copy came.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Import`], [`StoreError::Commit`] if it was deleted here;
    /// failures of the disk. Nothing changed then.
    pub fn import_snap(
        &self,
        owner: &OwnerId,
        envelope: &[u8],
        receipts: &[Vec<u8>],
        now: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let snap = decode_snap(envelope)?;
        // What it takes up was within the offer when it was put.
        let access = Access {
            owner_max: self.copies_access(owner)?.owner_max,
            ..self.import_access(owner, &snap, receipts, Offer::PUT_ALREADY)?
        };
        let receipts = verified(&snap.id(), receipts);
        let listed = self.hosts(owner)?.map(|row| row.hosts);
        let times: Vec<(NodeId, u64)> =
            receipts.iter().map(|(r, _)| (r.host, r.received)).collect();
        let (started, me) = (snap.value().time, self.node_id());
        let kept_from = effective_time(now, true, started, &times, listed.as_deref(), &me);
        let outcome = {
            let lock = self.owner_lock(owner);
            let mut tx = lock.write();
            self.may_come_back(owner, &snap, Some(kept_from))?;
            let origin = Origin::Copy { kept_from };
            tx.accept(&access, &snap, origin, now)?
        };
        if matches!(outcome, CommitOutcome::Accepted(_)) {
            self.keep_receipts(owner, &receipts, listed.as_deref())?;
        }
        Ok(outcome)
    }

    /// Those that count come first: there is room for a limited number.
    fn keep_receipts(
        &self,
        owner: &OwnerId,
        receipts: &[Verified<'_>],
        listed: Option<&[NodeId]>,
    ) -> Result<(), StoreError> {
        let counts = |(receipt, _): &&Verified<'_>| {
            listed.is_some_and(|hosts| hosts.contains(&receipt.host))
        };
        let (first, then): (Vec<_>, Vec<_>) = receipts.iter().partition(counts);
        for (_, envelope) in first.into_iter().chain(then) {
            match self.take_receipt(&self.copies_access(owner)?, None, envelope) {
                Err(StoreError::TooMany(_) | StoreError::Budget(_)) => break,
                other => other?,
            }
        }
        Ok(())
    }
}

/// Those that are for the snapshot; what does not verify counts for nothing.
fn verified<'a>(snap: &SnapshotId, receipts: &'a [Vec<u8>]) -> Vec<Verified<'a>> {
    let decoded = receipts.iter().filter_map(|envelope| {
        let receipt = decode_receipt(envelope).ok()?.into_value();
        Some((receipt, envelope.as_slice()))
    });
    decoded
        .filter(|(receipt, _)| receipt.snap == *snap)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {

    use packnback_proto::machine::replica::ImportRefusal;
    use packnback_proto::record::{Op, Receipt};

    use super::super::memory::MemoryDisk;
    use super::super::{DiskReserve, Store, StoreError};
    use super::*;
    use crate::service::testkit::{
        NOW, Object, cert, device, host_key, key, order, owner, root, snap_by, tree,
    };

    const PLENTY: Offer = Offer {
        owner: u64::MAX,
        device: None,
    };

    struct Here {
        engine: MemoryDisk,
        store: Store,
    }

    /// A host that the owner listed next to [`host_key`], and that knows the device.
    fn here() -> Here {
        let engine = MemoryDisk::default();
        let store = Store::new(engine.disk(), key(20), DiskReserve(0));
        let list = Op::Hosts {
            hseq: 1,
            hosts: vec![host_key().node_id(), key(20).node_id()],
        };
        let id = owner().owner_id();
        store
            .put_order(&id, order(1, list).envelope(), NOW)
            .unwrap();
        let cert = Signed::sign(&cert(), &owner()).unwrap();
        assert!(store.import_record(&id, cert.envelope(), NOW).unwrap());
        assert!(!store.import_record(&id, cert.envelope(), NOW).unwrap());
        Here { engine, store }
    }

    fn receipt(snap: &Signed<Snap>, by: u8, received: u64) -> Vec<u8> {
        let receipt = Receipt {
            snap: snap.id(),
            host: key(by).node_id(),
            received,
            log_seq: 1,
            log_prev: None,
            n_objects: 6,
            bytes: 1000,
            policy_seq: 0,
        };
        Signed::sign(&receipt, &key(by)).unwrap().envelope().into()
    }

    impl Here {
        fn put(
            &self,
            snap: &Signed<Snap>,
            tree: &[Object],
            offer: Offer,
        ) -> Result<(), StoreError> {
            let owner = owner().owner_id();
            let access = self.store.import_access(&owner, snap, &[], offer)?;
            let intake = self.store.intake(access)?;
            for object in tree {
                self.store.put(&intake, &object.id, &object.bytes, NOW)?;
            }
            self.store.sync(&intake, NOW).map(|_| ())
        }

        fn import(
            &self,
            snap: &Signed<Snap>,
            receipts: &[Vec<u8>],
        ) -> Result<CommitOutcome, StoreError> {
            let owner = owner().owner_id();
            self.store
                .import_snap(&owner, snap.envelope(), receipts, NOW + 5)
        }
    }

    #[test]
    fn a_copied_snapshot_has_our_receipt_and_those_that_came_with_it() {
        let (here, tree) = (here(), tree(1));
        let snap = snap_by(&device(), &owner(), root(&tree).id, 1);
        let owner = owner().owner_id();
        assert!(here.store.wants_import(&owner, &snap.id()).unwrap());
        here.put(&snap, &tree, PLENTY).unwrap();
        let theirs = receipt(&snap, 3, NOW - 1000);
        let foreign = receipt(
            &snap_by(&device(), &self::owner(), root(&tree).id, 7),
            3,
            NOW,
        );
        let mut forged = receipt(&snap, 21, 1);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let outcome = here.import(&snap, &[foreign, forged, theirs]).unwrap();
        let CommitOutcome::Accepted(accepted) = outcome.clone() else {
            unreachable!("everything was put")
        };
        let ours = decode_receipt(&accepted.receipt).unwrap().into_value();
        assert_eq!((ours.host, ours.received), (key(20).node_id(), NOW + 5));
        let mut hosts: Vec<_> = here.store.receipts(&owner, &snap.id()).unwrap();
        hosts.sort_unstable();
        let mut expected = vec![host_key().node_id(), key(20).node_id()];
        expected.sort_unstable();
        assert_eq!(hosts.iter().map(|(h, _)| *h).collect::<Vec<_>>(), expected);
        assert!(!here.store.wants_import(&owner, &snap.id()).unwrap());
        // Again: the same answer, nothing changes.
        let before = here.engine.snapshot();
        assert_eq!(here.import(&snap, &[]).unwrap(), outcome);
        assert_eq!(here.engine.snapshot(), before);
    }

    #[test]
    fn n23_an_incomplete_or_unfounded_copy_is_refused_and_changes_nothing() {
        let (here, tree) = (here(), tree(1));
        let good = snap_by(&device(), &owner(), root(&tree).id, 1);
        here.put(&good, &tree[1..], PLENTY).unwrap();
        let before = here.engine.snapshot();
        let missing = here.import(&good, &[]).unwrap();
        assert_eq!(missing, CommitOutcome::Missing(vec![tree[0].id]));
        let refused = |snap: &Signed<Snap>| match here.import(snap, &[]) {
            Err(StoreError::Import(refusal)) => refusal,
            other => unreachable!("{other:?}"),
        };
        let uncertified = snap_by(&key(30), &owner(), root(&tree).id, 1);
        assert_eq!(refused(&uncertified), ImportRefusal::NoCert);
        let elsewhere = snap_by(&device(), &key(7), root(&tree).id, 1);
        assert_eq!(refused(&elsewhere), ImportRefusal::OtherOwner);
        let own = snap_by(&key(20), &owner(), root(&tree).id, 1);
        assert_eq!(refused(&own), ImportRefusal::Own);
        let mut forged = good.envelope().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let forged = here
            .store
            .import_snap(&owner().owner_id(), &forged, &[], NOW);
        assert!(matches!(forged, Err(StoreError::Record(_))), "{forged:?}");
        let theirs = Cert {
            owner: key(7).owner_id(),
            ..cert()
        };
        let theirs = Signed::sign(&theirs, &key(7)).unwrap();
        let cert = here
            .store
            .import_record(&owner().owner_id(), theirs.envelope(), NOW);
        assert!(matches!(cert, Err(StoreError::Unknown(_))), "{cert:?}");
        assert_eq!(here.engine.snapshot(), before);
    }

    #[test]
    fn n23_of_a_revoked_device_only_what_a_listed_host_had_before() {
        let (here, tree) = (here(), tree(1));
        let snap = snap_by(&device(), &owner(), root(&tree).id, 1);
        here.put(&snap, &tree, PLENTY).unwrap();
        let revoke = Op::Revoke {
            device: device().node_id(),
            reason: "stolen".into(),
        };
        let owner = owner().owner_id();
        here.store
            .put_order(&owner, order(2, revoke).envelope(), NOW)
            .unwrap();
        let before = here.engine.snapshot();
        // By a host that is not listed, by one that says it came later, by none.
        for receipts in [
            vec![receipt(&snap, 21, NOW - 10)],
            vec![receipt(&snap, 3, NOW)],
            Vec::new(),
        ] {
            let refused = here.import(&snap, &receipts);
            assert!(
                matches!(refused, Err(StoreError::Import(ImportRefusal::Revoked))),
                "{refused:?}"
            );
        }
        assert_eq!(here.engine.snapshot(), before);
        let listed = receipt(&snap, 3, NOW - 10);
        assert!(matches!(
            here.import(&snap, &[listed]),
            Ok(CommitOutcome::Accepted(_))
        ));
    }

    #[test]
    fn n23_a_copy_takes_no_more_than_is_offered() {
        let tree = tree(1);
        let snap = snap_by(&device(), &owner(), root(&tree).id, 1);
        let total: usize = tree.iter().map(|object| object.bytes.len()).sum();
        let total = u64::try_from(total).unwrap();
        let offer = |owner, device| Offer { owner, device };
        for (offer, fits) in [
            (offer(total, None), true),
            (offer(total, Some(total)), true),
            (offer(total - 1, None), false),
            (offer(u64::MAX, Some(total - 1)), false),
            (offer(0, Some(u64::MAX)), false),
        ] {
            let here = here();
            let put = here.put(&snap, &tree, offer);
            assert_eq!(put.is_ok(), fits, "{offer:?}: {put:?}");
            assert!(
                fits || matches!(put, Err(StoreError::Budget(_))),
                "{offer:?}: {put:?}"
            );
        }
    }
}
