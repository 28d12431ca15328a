//! Looking objects up, reading them, and walking what is below a node.

use std::cell::RefCell;
use std::collections::HashMap;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::{ID_LEN, ObjectId, OwnerId};
use packnback_proto::limits::{LOOSE_KEEP_S, REFS_MAX};
use packnback_proto::machine::budget::DAY_S;
use packnback_proto::machine::closure::{Seen, Shelf, Survey};

use super::disk::{DiskError, Table};
use super::error::StoreError;
use super::stored::ObjectMeta;
use super::tx::OwnerTx;
use super::{Access, Intake, Store, keys};

/// What one access may see, for the closure check.
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) access: Access,
    /// Something of the owner is damaged: what is known to be complete is looked at again.
    pub(super) doubt: bool,
    seen: Option<RefCell<HashMap<ObjectId, ObjectMeta>>>,
}

impl View<'_> {
    fn key(&self, id: &ObjectId) -> (Table, Vec<u8>) {
        let access = &self.access;
        if access.sees_all {
            (Table::Meta, keys::object(&access.owner, id))
        } else {
            (Table::State, keys::mine(&access.owner, &access.device, id))
        }
    }

    /// The row of an object in this view. A damaged object is not in it.
    pub(super) fn meta(&self, id: &ObjectId) -> Result<Option<ObjectMeta>, StoreError> {
        let known = self
            .seen
            .as_ref()
            .and_then(|seen| seen.borrow().get(id).copied());
        if let Some(meta) = known {
            return Ok(Some(meta).filter(|meta| !meta.damaged));
        }
        let (table, key) = self.key(id);
        let Some(row) = self.store.disk.tables.get(table, &key)? else {
            return Ok(None);
        };
        let meta = ObjectMeta::decode(&row)?;
        if let (Some(seen), true) = (&self.seen, self.access.sees_all) {
            seen.borrow_mut().insert(*id, meta);
        }
        if !self.access.sees_all {
            let shared = self.store.object_meta(&self.access.owner, id)?;
            if shared.is_none_or(|shared| shared.damaged) {
                return Ok(None);
            }
        }
        Ok(Some(meta).filter(|meta| !meta.damaged))
    }

    /// Remembers what it reads of rows that others may see: only under the owner's lock.
    pub(super) fn remembering(mut self) -> Self {
        self.seen = Some(RefCell::default());
        self
    }
}

impl OwnerTx<'_> {
    /// Remembers that these nodes, lowest first, are complete: from now on they need what they name.
    /// The view was made under this lock.
    pub(super) fn set_complete(
        &mut self,
        view: View<'_>,
        nodes: &[ObjectId],
    ) -> Result<(), StoreError> {
        for id in nodes {
            if let (false, Some(meta)) = (view.access.sees_all, view.meta(id)?) {
                let (table, key) = view.key(id);
                let complete = true;
                self.put(table, key, ObjectMeta { complete, ..meta }.encode());
            }
        }
        self.counts
            .remember(view.seen.map(RefCell::into_inner).unwrap_or_default());
        for id in nodes {
            // Complete among its own objects is complete among all.
            self.counts.complete(id)?;
        }
        Ok(())
    }

    /// Objects nobody needs that were asked for stay for another while.
    fn refresh(&mut self, ids: &[ObjectId], now: u64) -> Result<(), StoreError> {
        for id in ids {
            if let Some(meta) = self.counts.meta(id)?.filter(|meta| meta.due > 0) {
                let due = now.saturating_add(LOOSE_KEEP_S);
                self.counts.set(id, Some(ObjectMeta { due, ..meta }))?;
            }
        }
        self.write()
    }
}

impl Shelf for View<'_> {
    type Error = StoreError;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, StoreError> {
        Ok(self.meta(id)?.map(|meta| Seen {
            height: meta.height,
            complete: meta.complete && !self.doubt,
        }))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        self.store.refs(&self.access.owner, id)
    }
}

impl Store {
    /// References of an object that is here.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if they are gone, and failures of the disk.
    pub fn refs(&self, owner: &OwnerId, id: &ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        let bytes = self
            .disk
            .tables
            .get(Table::Nodes, &keys::object(owner, id))?;
        let bytes = bytes.ok_or(StoreError::AddressMismatch { id: *id })?;
        let (ids, rest) = bytes.as_chunks::<ID_LEN>();
        if !rest.is_empty() || ids.len() > REFS_MAX {
            return Err(StoreError::Stored("reference list"));
        }
        Ok(ids.iter().copied().map(ObjectId).collect())
    }

    /// Which of these need not be put: leaves that are here, and nodes below which everything is.
    /// What is answered with yes stays here as long as the session of the intake.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn have(
        &self,
        intake: &Intake,
        ids: &[ObjectId],
        now: u64,
    ) -> Result<Vec<bool>, StoreError> {
        let (access, pin) = (intake.access(), intake.pin());
        let view = self.view(access)?;
        let lock = self.owner_lock(&access.owner);
        let mut answers = Vec::with_capacity(ids.len());
        // Nodes not known to be complete, and objects that would go soon.
        let (mut unfinished, mut fading) = (Vec::new(), Vec::new());
        {
            // Nothing is freed while the lock is held for reading, nor what is pinned after that.
            let _guard = lock.read();
            for (at, id) in ids.iter().enumerate() {
                let Some(meta) = view.meta(id)? else {
                    answers.push(false);
                    continue;
                };
                pin.add(id);
                let answer = meta.height == 0 || (meta.complete && !view.doubt);
                if !answer {
                    unfinished.push(at);
                } else if self.is_fading(&view, id, &meta, now)? {
                    fading.push(*id);
                }
                answers.push(answer);
            }
        }
        if !unfinished.is_empty() || !fading.is_empty() {
            let mut tx = lock.write();
            tx.refresh(&fading, now)?;
            let view = self.view(access)?.remembering();
            let mut survey = Survey::new(&view);
            for at in unfinished {
                if let (Some(answer), Some(id)) = (answers.get_mut(at), ids.get(at)) {
                    *answer = survey.is_complete(id)?;
                }
            }
            let (nodes, steps) = survey.into_done();
            intake.worked(steps);
            tx.set_complete(view, &nodes)?;
            tx.write()?;
        }
        Ok(answers)
    }

    /// What an access may see.
    pub(super) fn view(&self, access: &Access) -> Result<View<'_>, StoreError> {
        Ok(View {
            store: self,
            access: *access,
            doubt: self.has_damage(&access.owner)?,
            seen: None,
        })
    }

    /// Whether an object nobody needs was last asked for more than a day ago.
    fn is_fading(
        &self,
        view: &View<'_>,
        id: &ObjectId,
        meta: &ObjectMeta,
        now: u64,
    ) -> Result<bool, StoreError> {
        let meta = if view.access.sees_all {
            Some(*meta)
        } else {
            self.object_meta(&view.access.owner, id)?
        };
        let fresh = now.saturating_add(LOOSE_KEEP_S - DAY_S);
        Ok(meta.is_some_and(|meta| meta.due > 0 && meta.due < fresh))
    }

    /// An object, checked against its address; `None` if it is not here.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if its stored bytes are damaged: it then counts as missing
    /// until it is put again. Failures of the disk.
    pub fn get(&self, owner: &OwnerId, id: &ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        if self.object_meta(owner, id)?.is_none() {
            return Ok(None);
        }
        match self.sound_bytes(owner, id)? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.found_damaged(owner, id),
        }
    }

    /// The stored bytes, if they are those of the address.
    pub(super) fn sound_bytes(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = keys::object(owner, id);
        let sound = |bytes: Option<Vec<u8>>| bytes.filter(|bytes| object_id(bytes) == *id);
        match self.disk.objects.get(&key) {
            Ok(bytes) => match sound(bytes) {
                Some(bytes) => return Ok(Some(bytes)),
                None => tracing::warn!(object = %id, "the database does not give the object"),
            },
            // Where the database cannot find it, all others are still there.
            Err(DiskError::Corrupt(error)) => tracing::warn!(object = %id, error, "not found"),
            Err(error) => return Err(error.into()),
        }
        Ok(sound(self.disk.objects.find(&key)?))
    }

    /// Notes that the stored bytes are not those of the address. Looks again first, now that
    /// nothing is freed or put meanwhile.
    fn found_damaged(&self, owner: &OwnerId, id: &ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        let Some(meta) = self.object_meta(owner, id)? else {
            return Ok(None);
        };
        if let Some(bytes) = self.sound_bytes(owner, id)? {
            return Ok(Some(bytes));
        }
        if !meta.damaged {
            Self::mark_damaged(&mut tx.batch, owner, (id, meta));
            tx.write()?;
        }
        tracing::warn!(object = %id, "stored object is damaged");
        Err(StoreError::AddressMismatch { id: *id })
    }

    pub(super) fn is_root(&self, view: &View<'_>, id: &ObjectId) -> Result<bool, StoreError> {
        Ok(view.meta(id)?.is_none_or(|meta| meta.kind == Kind::Root))
    }
}
