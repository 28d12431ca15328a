//! Accepting snapshots: all or nothing, in one atomic write.

use packnback_proto::ids::{ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{HAVE_IDS_MAX, SNAPS_MAX};
use packnback_proto::machine::closure::{self, Closure};
use packnback_proto::machine::commit::{CommitRefusal, SessionOf, belongs};
use packnback_proto::machine::session::{OpenRefusal, still_valid};
use packnback_proto::policy::Freeze;
use packnback_proto::record::{Cert, Receipt, Signed, Snap};

use super::charges::Writes;
use super::disk::Table;
use super::error::StoreError;
use super::stored::{Below, DeviceRow, LastSnap, LogHead, SnapRow};
use super::tx::OwnerTx;
use super::{Access, Store, keys};

/// Who brings a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// Its device.
    Device {
        /// Allowed by its certificate.
        snaps_per_day: u64,
    },
    /// Another host.
    Copy {
        /// The time retention goes by.
        kept_from: u64,
    },
}

/// An accepted snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub snap: SnapshotId,
    /// Its envelope.
    pub envelope: Vec<u8>,
    /// Our receipt.
    pub receipt: Vec<u8>,
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Durable and complete here.
    Accepted(Accepted),
    /// Not accepted: these are not here (at most [`HAVE_IDS_MAX`] are named). Nothing changed.
    Missing(Vec<ObjectId>),
}

impl Store {
    /// Accepts a snapshot of another device, or says what is missing. Accepting it again answers
    /// the same receipt.
    ///
    /// # Errors
    /// [`StoreError::Record`], [`StoreError::Commit`] and failures of the disk; nothing changed then.
    pub fn commit(
        &self,
        access: &Access,
        cert: &Cert,
        envelope: &[u8],
        now: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let snap = packnback_proto::record::decode_snap(envelope)?;
        let session = SessionOf {
            owner: access.owner,
            device: access.device,
        };
        belongs(snap.value(), snap.signer(), session)?;
        let lock = self.owner_lock(&access.owner);
        let mut tx = lock.write();
        let revoked = self.is_revoked(&access.owner, &access.device)?;
        still_valid(cert, revoked, now).map_err(CommitRefusal::from)?;
        let evict = self.admin(&access.owner)?.evict;
        if evict.is_some_and(|evict| evict.takes_nothing(now)) {
            return Err(CommitRefusal::Closing.into());
        }
        let origin = Origin::Device {
            snaps_per_day: cert.snaps_per_day,
        };
        tx.accept(access, &snap, origin, now)
    }

    /// Signs and accepts a snapshot made on this machine: sequence and predecessor follow the
    /// last one.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`StoreError::Unknown`] if this node is no device yet.
    pub fn commit_own(
        &self,
        root: ObjectId,
        set: SetId,
        time: u64,
        now: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let no_device = StoreError::Unknown("this node belongs to no owner yet");
        let device = self.device()?.ok_or(no_device.clone())?;
        let lock = self.owner_lock(&device.owner);
        let mut tx = lock.write();
        // Again, now that nobody else can commit.
        let device = self.device()?.ok_or(no_device)?;
        // What an owner revoked saves nothing on its own disk either: no host would take it from here.
        if self.is_revoked(&device.owner, &self.node_id())? {
            return Err(CommitRefusal::Certificate(OpenRefusal::Revoked).into());
        }
        let cert = packnback_proto::record::decode_cert(&device.cert)?;
        let snap = Snap {
            owner: device.owner,
            device: self.node_id(),
            seq: device.last.map_or(1, |last| last.seq.saturating_add(1)),
            prev: device.last.map(|last| last.snap),
            root,
            time,
            cert_serial: cert.value().serial,
            set,
        };
        let snap = Signed::sign(&snap, &self.key)?;
        let last = LastSnap {
            snap: snap.id(),
            seq: snap.value().seq,
            root,
        };
        Self::note_made_here(&mut tx.batch, &snap.id());
        let last = Some(last);
        tx.put_row(keys::DEVICE.to_vec(), &DeviceRow { last, ..device })?;
        let origin = Origin::Device {
            snaps_per_day: cert.value().snaps_per_day,
        };
        let access = self.own_access(&snap.value().owner);
        tx.accept(&access, &snap, origin, now)
    }

    /// This node on its own disk: no limits, sees everything of its owner.
    #[must_use]
    pub fn own_access(&self, owner: &OwnerId) -> Access {
        let limits = packnback_proto::machine::budget::Limits::NONE;
        Access {
            owner: *owner,
            device: self.node_id(),
            sees_all: true,
            limits,
            owner_max: u64::MAX,
        }
    }
}

impl OwnerTx<'_> {
    /// Accepts a snapshot if everything below it is here, in one write with what is gathered already.
    pub(super) fn accept(
        &mut self,
        access: &Access,
        snap: &Signed<Snap>,
        origin: Origin,
        now: u64,
    ) -> Result<CommitOutcome, StoreError> {
        let (store, owner) = (self.store, self.owner);
        if let Some(row) = store.snap(&owner, &snap.id())? {
            return self.accepted_before(snap, &row.receipt);
        }
        if store.ended(&owner, &snap.id())?.is_some() {
            return Err(CommitRefusal::Ended.into());
        }
        let root = snap.value().root;
        let kept = usize::try_from(store.totals(&owner)?.snaps).unwrap_or(usize::MAX);
        if kept >= SNAPS_MAX {
            return Err(StoreError::TooMany("snapshots"));
        }
        let view = store.view(access)?.remembering();
        if !store.is_root(&view, &root)? {
            return Err(CommitRefusal::NotARoot.into());
        }
        let nodes = match closure::check(&view, &root, HAVE_IDS_MAX)? {
            Closure::Missing(missing) => return Ok(CommitOutcome::Missing(missing)),
            Closure::NotLower { .. } => return Err(CommitRefusal::Malformed.into()),
            Closure::Complete(nodes) => nodes,
        };
        // What the snapshot needs is counted with the write that accepts it.
        self.set_complete(view, &nodes)?;
        self.counts.need(&root)?;
        let all = self.counts.meta(&root)?;
        let all = all.map_or(Below::default(), |meta| Below::default().and(&meta));
        self.count_snap(access, snap, origin, now)?;
        let receipt = store.receipt_for(&owner, snap, all, now)?;
        let row = self.write_down(snap, &receipt, origin)?;
        if let Err(error) = self.write_within(access, Writes::Records) {
            // A disk that failed may have written it all the same.
            store.lines.forget(&owner);
            return Err(error);
        }
        store.lines.add(&owner, &row);
        Ok(CommitOutcome::Accepted(Accepted {
            snap: snap.id(),
            envelope: snap.envelope().to_vec(),
            receipt: receipt.envelope().to_vec(),
        }))
    }

    /// The budget of the day, and what would be a sign of a stolen key.
    fn count_snap(
        &mut self,
        access: &Access,
        snap: &Signed<Snap>,
        origin: Origin,
        now: u64,
    ) -> Result<(), StoreError> {
        let mut flood = None;
        if let Origin::Device { snaps_per_day } = origin {
            let usage = self.store.usage(&self.owner, &access.device)?;
            let usage = usage
                .add_snap(&access.limits, now)
                .map_err(CommitRefusal::from)?;
            self.put_row(keys::usage(&self.owner, &access.device), &usage)?;
            flood = Freeze::of_flood(usage.day_snaps, snaps_per_day, now);
        }
        self.watch(snap, flood, now)
    }

    fn accepted_before(
        &self,
        snap: &Signed<Snap>,
        receipt: &RecordId,
    ) -> Result<CommitOutcome, StoreError> {
        let receipt = self.store.record(&self.owner, receipt)?;
        let receipt = receipt.ok_or(StoreError::Stored("receipt"))?;
        let envelope = snap.envelope().to_vec();
        Ok(CommitOutcome::Accepted(Accepted {
            snap: snap.id(),
            envelope,
            receipt,
        }))
    }

    /// Snapshot, receipt, log and counters.
    fn write_down(
        &mut self,
        snap: &Signed<Snap>,
        receipt: &Signed<Receipt>,
        origin: Origin,
    ) -> Result<SnapRow, StoreError> {
        let owner = self.owner;
        let (value, said) = (snap.value(), receipt.value());
        let log_seq = said.log_seq;
        let row = SnapRow {
            device: value.device,
            seq: value.seq,
            time: value.time,
            received: said.received,
            root: value.root,
            set: value.set,
            objects: said.n_objects,
            bytes: said.bytes,
            receipt: receipt.id(),
            log_seq,
            prev: value.prev,
            kept_from: match origin {
                Origin::Device { .. } => said.received,
                Origin::Copy { kept_from } => kept_from,
            },
            imported: matches!(origin, Origin::Copy { .. }),
        };
        let mut totals = self.store.totals(&owner)?;
        totals.snaps = totals.snaps.saturating_add(1);
        for (id, envelope) in [
            (snap.id(), snap.envelope()),
            (receipt.id(), receipt.envelope()),
        ] {
            self.put(Table::Records, keys::record(&owner, &id), envelope);
        }
        let head = keys::head(&owner, &value.device, log_seq);
        self.put(Table::State, head, snap.id().0);
        let key = keys::receipt(&owner, &snap.id(), &said.host);
        self.put(Table::State, key, receipt.id().0);
        self.put_row(keys::snap(&owner, &snap.id()), &row)?;
        let last = LogHead {
            seq: log_seq,
            id: receipt.id(),
        };
        self.put_row(keys::log(&owner), &last)?;
        self.put_row(keys::totals(&owner), &totals)?;
        Ok(row)
    }
}

impl Store {
    /// What this host says of a snapshot that is complete here.
    fn receipt_for(
        &self,
        owner: &OwnerId,
        snap: &Signed<Snap>,
        all: Below,
        now: u64,
    ) -> Result<Signed<Receipt>, StoreError> {
        let value = snap.value();
        let last: Option<LogHead> = self.row(&keys::log(owner), "log head")?;
        let log_seq = last.map_or(1, |last| last.seq.saturating_add(1));
        let policy = self.policy(owner, &value.device)?;
        let receipt = Receipt {
            snap: snap.id(),
            host: self.node_id(),
            received: now,
            log_seq,
            log_prev: last.map(|last| last.id),
            n_objects: all.objects,
            bytes: all.bytes,
            policy_seq: policy.map_or(0, |policy| policy.pseq),
        };
        Ok(Signed::sign(&receipt, &self.key)?)
    }
}
