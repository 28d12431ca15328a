//! The administrator's side of hosting: quota per owner, and the end of hosting in steps.
//!
//! Nobody has to be awake every month to keep data here (no leases). Who wants a disk back says so,
//! and the ladder gives the owner time: a warning at every session, then nothing new is taken while
//! reading and copying to other hosts go on, then everything goes.

use packnback_proto::ids::OwnerId;
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::wire::admin::{EvictInfo, HostedOwner};

use super::ending::{Cause, Why, gone};
use super::error::StoreError;
use super::stored::{AdminRow, EvictRow};
use super::tx::OwnerTx;
use super::{Store, keys};

impl EvictRow {
    /// Whether writes are over.
    #[must_use]
    pub const fn takes_nothing(&self, now: u64) -> bool {
        now >= self.freeze_at
    }

    /// For people and devices.
    #[must_use]
    pub fn info(&self, now: u64) -> EvictInfo {
        let stage = match now {
            _ if now >= self.drop_at => "dropped",
            _ if now >= self.freeze_at => "frozen",
            _ => "warned",
        };
        EvictInfo {
            stage: stage.into(),
            since: self.since,
            freeze_at: self.freeze_at,
            drop_at: self.drop_at,
        }
    }
}

impl OwnerTx<'_> {
    /// A session of a device of the owner is being opened.
    pub(super) fn note_session(&mut self, now: u64) -> Result<(), StoreError> {
        let mut row = self.store.admin(&self.owner)?;
        row.last_session = Some(now);
        self.put_row(keys::admin(&self.owner), &row)
    }
}

impl Store {
    /// What the administrator decided about an owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn admin(&self, owner: &OwnerId) -> Result<AdminRow, StoreError> {
        let row = self.row(&keys::admin(owner), "administrator's row")?;
        Ok(row.unwrap_or_default())
    }

    fn change_admin(
        &self,
        owner: &OwnerId,
        change: impl FnOnce(&mut AdminRow),
    ) -> Result<(), StoreError> {
        if !self.serves(owner)? {
            return Err(StoreError::Unknown("nothing of this owner is stored here"));
        }
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let mut row = self.admin(owner)?;
        change(&mut row);
        tx.put_row(keys::admin(owner), &row)?;
        tx.write()
    }

    /// Limits what is stored for all devices of an owner together. What is here stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_quota(&self, owner: &OwnerId, bytes: Option<u64>) -> Result<(), StoreError> {
        self.change_admin(owner, |row| row.quota = bytes)
    }

    /// Announces the end of hosting: days of warning, then days without writes. `None` takes it back.
    /// An announcement that stands keeps its dates unless the new ones are later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evict(
        &self,
        owner: &OwnerId,
        days: Option<(u32, u32)>,
        now: u64,
    ) -> Result<(), StoreError> {
        let announced = days.map(|(warn, frozen)| {
            let freeze_at = now.saturating_add(u64::from(warn).saturating_mul(DAY_S));
            EvictRow {
                since: now,
                freeze_at,
                drop_at: freeze_at.saturating_add(u64::from(frozen).saturating_mul(DAY_S)),
            }
        });
        self.change_admin(owner, |row| row.evict = announced)
    }

    /// Ends every snapshot of an owner whose time is over. Returns how many.
    pub(super) fn carry_out_eviction(&self, owner: &OwnerId, now: u64) -> Result<u64, StoreError> {
        let evict = self.admin(owner)?.evict;
        if evict.is_none_or(|evict| now < evict.drop_at) {
            return Ok(0);
        }
        let cause = Cause {
            why: Why::Admin,
            even_held: true,
            now,
        };
        let snaps = self.all_snaps(owner)?;
        Ok(gone(&self.end_snaps(owner, &snaps, cause)?))
    }

    /// Every owner served here, for the administrator.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hosted_owners(&self, now: u64) -> Result<Vec<HostedOwner>, StoreError> {
        let own = self.device()?.map(|device| device.owner);
        let mut hosted = Vec::new();
        for (owner, totals) in self.owners()? {
            let admin = self.admin(&owner)?;
            hosted.push(HostedOwner {
                owner,
                own: own == Some(owner),
                objects: totals.objects,
                bytes: totals.bytes,
                snaps: totals.snaps,
                quota: admin.quota,
                devices: self.devices_of(&owner)?,
                last_session: admin.last_session,
                evict: admin.evict.map(|evict| evict.info(now)),
            });
        }
        Ok(hosted)
    }
}
