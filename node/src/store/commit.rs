//! Accepting snapshots: all or nothing, in one atomic write.

use packnback_proto::ids::{ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{HAVE_IDS_MAX, SNAPS_MAX};
use packnback_proto::machine::closure::{self, Closure};
use packnback_proto::machine::commit::{CommitRefusal, SessionOf, belongs};
use packnback_proto::machine::session::{OpenRefusal, still_valid};
use packnback_proto::policy::Freeze;
use packnback_proto::record::{Cert, Receipt, Signed, Snap};

use super::charges::Writes;
use super::counts::Changes;
use super::disk::{Batch, Table};
use super::error::StoreError;
use super::stored::{Below, DeviceRow, LastSnap, LogHead, SnapRow};
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
        let _guard = lock.write();
        let revoked = self.is_revoked(&access.owner, &access.device)?;
        still_valid(cert, revoked, now).map_err(CommitRefusal::from)?;
        let evict = self.admin(&access.owner)?.evict;
        if evict.is_some_and(|evict| evict.takes_nothing(now)) {
            return Err(CommitRefusal::Closing.into());
        }
        let origin = Origin::Device {
            snaps_per_day: cert.snaps_per_day,
        };
        self.accept(access, &snap, Batch::default(), (origin, now))
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
        let _guard = lock.write();
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
        let mut batch = Batch::default();
        Self::note_made_here(&mut batch, &snap.id());
        Self::put_row(
            &mut batch,
            keys::DEVICE.to_vec(),
            &DeviceRow {
                last: Some(last),
                ..device
            },
        )?;
        let origin = Origin::Device {
            snaps_per_day: cert.value().snaps_per_day,
        };
        let access = self.own_access(&snap.value().owner);
        self.accept(&access, &snap, batch, (origin, now))
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

    /// The owner's lock is held.
    pub(super) fn accept(
        &self,
        access: &Access,
        snap: &Signed<Snap>,
        mut batch: Batch,
        (origin, now): (Origin, u64),
    ) -> Result<CommitOutcome, StoreError> {
        if let Some(row) = self.snap(&access.owner, &snap.id())? {
            return self.accepted_before(&access.owner, snap, &row.receipt);
        }
        if self.ended(&access.owner, &snap.id())?.is_some() {
            return Err(CommitRefusal::Ended.into());
        }
        let root = snap.value().root;
        let kept = usize::try_from(self.totals(&access.owner)?.snaps).unwrap_or(usize::MAX);
        if kept >= SNAPS_MAX {
            return Err(StoreError::TooMany("snapshots"));
        }
        let view = self.view(access)?;
        if !self.is_root(&view, &root)? {
            return Err(CommitRefusal::NotARoot.into());
        }
        let all = match closure::check(&view, &root, HAVE_IDS_MAX)? {
            Closure::Missing(missing) => return Ok(CommitOutcome::Missing(missing)),
            Closure::NotLower { .. } => return Err(CommitRefusal::Malformed.into()),
            Closure::Complete(nodes) => {
                // What the snapshot needs is counted with the write that accepts it.
                let mut changes = Changes::new(self, access.owner);
                view.set_complete(&mut batch, &mut changes, &nodes)?;
                changes.need(&root)?;
                let meta = changes.meta(&root)?;
                changes.finish(&mut batch);
                meta.map_or(Below::default(), |meta| Below::default().and(&meta))
            }
        };
        self.count_snap(&mut batch, access, snap, (origin, now))?;
        let receipt = self.write_down(&mut batch, access, (snap, all), (origin, now))?;
        self.write_within(access, Writes::Records, batch)?;
        Ok(CommitOutcome::Accepted(Accepted {
            snap: snap.id(),
            envelope: snap.envelope().to_vec(),
            receipt: receipt.envelope().to_vec(),
        }))
    }

    /// The budget of the day, and what would be a sign of a stolen key.
    fn count_snap(
        &self,
        batch: &mut Batch,
        access: &Access,
        snap: &Signed<Snap>,
        (origin, now): (Origin, u64),
    ) -> Result<(), StoreError> {
        let owner = &access.owner;
        let mut flood = None;
        if let Origin::Device { snaps_per_day } = origin {
            let usage = self
                .usage(owner, &access.device)?
                .add_snap(&access.limits, now)
                .map_err(CommitRefusal::from)?;
            Self::put_row(batch, keys::usage(owner, &access.device), &usage)?;
            flood = Freeze::of_flood(usage.day_snaps, snaps_per_day, now);
        }
        self.watch(batch, (owner, snap), flood, now)
    }

    fn accepted_before(
        &self,
        owner: &OwnerId,
        snap: &Signed<Snap>,
        receipt: &RecordId,
    ) -> Result<CommitOutcome, StoreError> {
        let receipt = self
            .record(owner, receipt)?
            .ok_or(StoreError::Stored("receipt"))?;
        let envelope = snap.envelope().to_vec();
        Ok(CommitOutcome::Accepted(Accepted {
            snap: snap.id(),
            envelope,
            receipt,
        }))
    }

    /// What this host says of a snapshot that is complete here.
    fn receipt_for(
        &self,
        owner: &OwnerId,
        (snap, all): (&Signed<Snap>, Below),
        now: u64,
    ) -> Result<Signed<Receipt>, StoreError> {
        let value = snap.value();
        let last: Option<LogHead> = self.row(&keys::log(owner), "log head")?;
        let log_seq = last.map_or(1, |last| last.seq.saturating_add(1));
        let receipt = Receipt {
            snap: snap.id(),
            host: self.node_id(),
            received: now,
            log_seq,
            log_prev: last.map(|last| last.id),
            n_objects: all.objects,
            bytes: all.bytes,
            policy_seq: self
                .policy(owner, &value.device)?
                .map_or(0, |policy| policy.pseq),
        };
        Ok(Signed::sign(&receipt, &self.key)?)
    }

    /// Snapshot, receipt, log and counters.
    fn write_down(
        &self,
        batch: &mut Batch,
        access: &Access,
        (snap, all): (&Signed<Snap>, Below),
        (origin, now): (Origin, u64),
    ) -> Result<Signed<Receipt>, StoreError> {
        let owner = &access.owner;
        let value = snap.value();
        let receipt = self.receipt_for(owner, (snap, all), now)?;
        let said = receipt.value();
        let log_seq = said.log_seq;
        let row = SnapRow {
            device: value.device,
            seq: value.seq,
            time: value.time,
            received: now,
            root: value.root,
            set: value.set,
            objects: said.n_objects,
            bytes: said.bytes,
            receipt: receipt.id(),
            log_seq,
            prev: value.prev,
            kept_from: match origin {
                Origin::Device { .. } => now,
                Origin::Copy { kept_from } => kept_from,
            },
            imported: matches!(origin, Origin::Copy { .. }),
        };
        let mut totals = self.totals(owner)?;
        totals.snaps = totals.snaps.saturating_add(1);
        batch.put(
            Table::Records,
            keys::record(owner, &snap.id()),
            snap.envelope(),
        );
        batch.put(
            Table::Records,
            keys::record(owner, &receipt.id()),
            receipt.envelope(),
        );
        batch.put(
            Table::State,
            keys::head(owner, &value.device, log_seq),
            snap.id().0,
        );
        let key = keys::receipt(owner, &snap.id(), &self.node_id());
        batch.put(Table::State, key, receipt.id().0);
        Self::put_row(batch, keys::snap(owner, &snap.id()), &row)?;
        Self::put_row(
            batch,
            keys::log(owner),
            &LogHead {
                seq: log_seq,
                id: receipt.id(),
            },
        )?;
        Self::put_row(batch, keys::totals(owner), &totals)?;
        Ok(receipt)
    }
}
