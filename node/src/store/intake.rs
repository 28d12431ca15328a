//! Taking objects in: verify, keep, make durable, and only then say so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use packnback_proto::format::header::{Header, verify_object};
use packnback_proto::ids::{ObjectId, SnapshotId};
use packnback_proto::limits::LOOSE_KEEP_S;
use packnback_proto::machine::budget::BudgetRefusal;
use parking_lot::Mutex;

use super::disk::{Batch, DiskError, Table};
use super::error::StoreError;
use super::pins::{InFlight, Pin};
use super::stored::{Below, ObjectMeta, Totals};
use super::tx::OwnerTx;
use super::unclaimed::Note;
use super::{Access, Store, keys};

/// What is to be done with the bytes of an object that is put.
enum Begun {
    /// They are here already, or on their way.
    Nothing,
    /// They are to be written.
    Write,
    /// They may be here, unclaimed: to be written only if they are not.
    Compare,
}

/// The objects one session put since its last sync. Several threads may put at once.
pub struct Intake {
    access: Access,
    state: Mutex<State>,
    pin: Arc<Pin>,
    in_flight: Arc<InFlight>,
    work: AtomicU64,
}

struct State {
    /// Bytes that will be charged at the next sync.
    charged: u64,
    /// Those of them that no note of this device stands for.
    noteless: u64,
    pending: HashMap<ObjectId, Pending>,
    /// Objects put in this session, all durable.
    synced: u64,
    /// A write failed: nothing put since the last sync may be claimed, and no more is taken.
    poisoned: bool,
}

struct Pending {
    meta: ObjectMeta,
    refs: Vec<u8>,
    /// Here already, put by a device this one may not see: only its view and its usage grow.
    known: bool,
    /// Bytes to charge: none when it only replaces a damaged copy.
    charge: u64,
}

impl Intake {
    /// On whose behalf.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The session builds on this snapshot: what it needs stays until the session ends.
    pub fn set_base(&self, base: SnapshotId) {
        self.pin.set_base(base);
    }

    /// Counts work done for this session: references followed.
    pub(super) fn worked(&self, steps: u64) {
        self.work.fetch_add(steps, Ordering::Relaxed);
    }

    /// References followed for this session since it was asked last: what a request cost, for whoever
    /// bounds the work of a peer.
    #[must_use]
    pub fn take_work(&self) -> u64 {
        self.work.swap(0, Ordering::Relaxed)
    }

    pub(super) fn pin(&self) -> &Pin {
        &self.pin
    }
}

impl Drop for Intake {
    /// What was put and never claimed is in the list of bytes to be dropped.
    fn drop(&mut self) {
        for id in self.state.get_mut().pending.keys() {
            self.in_flight.end(&self.access.owner, id);
        }
    }
}

impl Store {
    /// Starts taking objects in.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn intake(&self, access: Access) -> Result<Intake, StoreError> {
        let state = State {
            charged: 0,
            noteless: 0,
            pending: HashMap::new(),
            synced: 0,
            poisoned: false,
        };
        Ok(Intake {
            access,
            state: Mutex::new(state),
            pin: self.pins.open(&access.owner),
            in_flight: Arc::clone(&self.in_flight),
            work: AtomicU64::new(0),
        })
    }

    /// Takes one object in. It is checked before anything is stored; it is not durable, and for
    /// nobody present, before [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::Refused`], [`StoreError::Budget`], [`StoreError::Reserve`] and failures of
    /// the disk.
    pub fn put(
        &self,
        intake: &Intake,
        id: &ObjectId,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), StoreError> {
        let refused = |error| StoreError::Refused { id: *id, error };
        let header = verify_object(id, bytes).map_err(refused)?;
        let size = u32::try_from(bytes.len()).map_err(|_| StoreError::Stored("object size"))?;
        let begun = self.begin(intake, id, &header, size, now)?;
        let poison = |error: DiskError| {
            intake.state.lock().poisoned = true;
            StoreError::from(error)
        };
        let key = keys::object(&intake.access.owner, id);
        match begun {
            Begun::Nothing => return Ok(()),
            Begun::Write => {}
            Begun::Compare => {
                // Written by a session that ended before it synced, or freed and not dropped yet:
                // never written twice, or a device could fill the disk with one object.
                if self.disk.objects.get(&key).map_err(poison)?.as_deref() == Some(bytes) {
                    return Ok(());
                }
                intake.moved_to(id, self.lots.number(now));
            }
        }
        self.lots.add(size);
        self.disk.objects.put(&key, bytes).map_err(poison)
    }

    /// What is to be done with the bytes. The object is pinned in any case; if it is not here, a note
    /// says that its bytes are to be dropped again unless it is claimed, and whose they are.
    fn begin(
        &self,
        intake: &Intake,
        id: &ObjectId,
        header: &Header,
        size: u32,
        now: u64,
    ) -> Result<Begun, StoreError> {
        let access = &intake.access;
        let view = self.view(access)?;
        let lock = self.owner_lock(&access.owner);
        // Nothing is freed meanwhile.
        let _guard = lock.read();
        // Also what is written now: others may need it and let it go again before this session commits.
        intake.pin.add(id);
        if view.meta(id)?.is_some() {
            let mut state = intake.state.lock();
            state.synced = state.synced.saturating_add(1);
            return Ok(Begun::Nothing);
        }
        let shared = self.object_meta(&access.owner, id)?;
        let known = shared.is_some_and(|meta| !meta.damaged);
        self.space.check(&*self.disk.objects, size.into())?;
        let meta = ObjectMeta {
            lot: self.lots.number(now),
            due: now.saturating_add(LOOSE_KEEP_S).max(1),
            ..ObjectMeta::new(header, size, access.device)
        };
        let pending = Pending {
            meta,
            refs: encode_refs(header),
            known,
            charge: if shared.is_some() && access.sees_all {
                0
            } else {
                size.into()
            },
        };
        self.reserve(intake, id, pending, now)
    }

    /// Charges for an object and notes it, or refuses; all at once for one owner.
    fn reserve(
        &self,
        intake: &Intake,
        id: &ObjectId,
        mut pending: Pending,
        now: u64,
    ) -> Result<Begun, StoreError> {
        let access = &intake.access;
        let (device, size, lot) = (access.device, pending.meta.size, pending.meta.lot);
        let mut state = intake.state.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        if state.pending.contains_key(id) {
            return Ok(Begun::Nothing);
        }
        let sums = self.unclaimed(&access.owner)?;
        let mut sums = sums.lock();
        let noted = match pending.known {
            true => None,
            false => self.note_of(&access.owner, id)?,
        };
        let is_new = !pending.known && noted.is_none();
        let noteless = match noted {
            Some(note) if note.device == device => 0,
            _ if is_new => 0,
            _ => pending.charge,
        };
        let added = if is_new { u64::from(size) } else { 0 };
        if pending.charge > 0 {
            let waiting = sums
                .of(&device)
                .saturating_add(added)
                .saturating_add(state.noteless)
                .saturating_add(noteless);
            let records = self.charged(&access.owner)?.above_free();
            let waiting = waiting.saturating_add(records);
            let today = state.charged.saturating_add(pending.charge);
            self.usage(&access.owner, &device)?
                .may_take(waiting, today, &access.limits, now)?;
            let total = self.totals(&access.owner)?.bytes;
            let used = total.saturating_add(sums.total()).saturating_add(records);
            if used.saturating_add(added) > access.owner_max {
                let limit = access.owner_max;
                return Err(BudgetRefusal::Quota { used, limit }.into());
            }
        }
        if is_new {
            let note = Note { device, size, lot };
            let mut batch = Batch::default();
            let key = keys::to_drop(&access.owner, id);
            batch.put(Table::State, key, note.encode());
            self.disk.tables.note(batch)?;
            sums.add(device, size.into());
        }
        state.noteless = state.noteless.saturating_add(noteless);
        state.charged = state.charged.saturating_add(pending.charge);
        self.in_flight.begin(&access.owner, id);
        let begun = match noted {
            Some(note) => {
                pending.meta.lot = note.lot;
                Begun::Compare
            }
            None if pending.known => Begun::Nothing,
            None => Begun::Write,
        };
        state.pending.insert(*id, pending);
        Ok(begun)
    }

    /// Bytes the device may still put.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn left(&self, intake: &Intake, now: u64) -> Result<u64, StoreError> {
        let access = &intake.access;
        let usage = self.usage(&access.owner, &access.device)?;
        let left = usage.on_day_of(now).left(&access.limits);
        let waiting = self.unclaimed(&access.owner)?.lock().of(&access.device);
        let records = self.charged(&access.owner)?.above_free();
        Ok(left.saturating_sub(waiting).saturating_sub(records))
    }

    /// Makes everything put so far durable and present. Returns how many objects this session has
    /// put. After an error nothing put since the last sync may be claimed.
    ///
    /// # Errors
    /// [`StoreError::Budget`] if sessions of one device went over its limits together; failures of
    /// the disk.
    pub fn sync(&self, intake: &Intake, now: u64) -> Result<u64, StoreError> {
        let (pending, charged) = {
            let mut state = intake.state.lock();
            if state.poisoned {
                return Err(StoreError::Poisoned);
            }
            state.noteless = 0;
            (
                std::mem::take(&mut state.pending),
                std::mem::take(&mut state.charged),
            )
        };
        if pending.is_empty() {
            return Ok(intake.state.lock().synced);
        }
        let count = u64::try_from(pending.len()).unwrap_or(u64::MAX);
        let ids: Vec<ObjectId> = pending.keys().copied().collect();
        let done = self.claim(&intake.access, pending, charged, now);
        for id in &ids {
            self.in_flight.end(&intake.access.owner, id);
        }
        let mut state = intake.state.lock();
        match done {
            Ok(()) => {
                state.synced = state.synced.saturating_add(count);
                Ok(state.synced)
            }
            Err(error) => {
                state.poisoned = true;
                Err(error)
            }
        }
    }

    fn claim(
        &self,
        access: &Access,
        pending: HashMap<ObjectId, Pending>,
        charged: u64,
        now: u64,
    ) -> Result<(), StoreError> {
        // First the objects, then the rows that claim them.
        self.disk.objects.flush()?;
        let owner = &access.owner;
        let lock = self.owner_lock(owner);
        let mut tx = lock.write();
        self.lots.turn(&mut tx.batch, now)?;
        let usage = self
            .usage(owner, &access.device)?
            .add_bytes(charged, &access.limits, now)?;
        let mut totals = self.totals(owner)?;
        let mut notes = Vec::new();
        for (id, item) in &pending {
            if !item.known {
                notes.extend(self.note_of(owner, id)?);
            }
            tx.claim_one(access, id, item, &mut totals)?;
        }
        if totals.bytes > access.owner_max {
            return Err(BudgetRefusal::Quota {
                used: totals.bytes.saturating_sub(charged),
                limit: access.owner_max,
            }
            .into());
        }
        tx.put_row(keys::usage(owner, &access.device), &usage)?;
        tx.put_row(keys::totals(owner), &totals)?;
        let sums = self.unclaimed(owner)?;
        let mut sums = sums.lock();
        // Beside what other sessions of the device have on the disk.
        let own = notes.iter().filter(|note| note.device == access.device);
        let own = own.fold(0u64, |sum, note| sum.saturating_add(note.size.into()));
        let others = sums.of(&access.device).saturating_sub(own);
        if charged > 0 && usage.bytes.saturating_add(others) > access.limits.bytes {
            let (used, limit) = (usage.bytes.saturating_sub(charged), access.limits.bytes);
            return Err(BudgetRefusal::Quota { used, limit }.into());
        }
        tx.write()?;
        // From now on their rows stand for them.
        for note in notes {
            sums.take(&note.device, note.size.into());
        }
        Ok(())
    }
}

impl OwnerTx<'_> {
    /// The row of an object whose stored bytes were damaged, now that they are put again. Who needs it
    /// stays as it was. What was not known of it (its row was lost as well) is known from now on; a
    /// node is then not complete before its own references were looked at.
    fn heal(
        &mut self,
        id: &ObjectId,
        item: &Pending,
        shared: ObjectMeta,
    ) -> Result<ObjectMeta, StoreError> {
        let key = keys::object(&self.owner, id);
        let known = self.store.disk.tables.get(Table::Nodes, &key)?;
        let is_leaf = item.meta.height == 0;
        let same = is_leaf || known.as_ref() == Some(&item.refs);
        let complete = is_leaf || (shared.complete && same);
        if complete {
            self.delete(Table::State, keys::damaged(&self.owner, id));
        }
        Ok(ObjectMeta {
            complete,
            below: if same { shared.below } else { Below::default() },
            refs: shared.refs,
            due: shared.due,
            device: shared.device,
            ..item.meta
        })
    }

    fn claim_one(
        &mut self,
        access: &Access,
        id: &ObjectId,
        item: &Pending,
        totals: &mut Totals,
    ) -> Result<(), StoreError> {
        let owner = self.owner;
        let meta = item.meta;
        if !item.known {
            match self.counts.meta(id)? {
                Some(shared) if !shared.damaged => {}
                Some(shared) => {
                    let healed = self.heal(id, item, shared)?;
                    let more = u64::from(healed.size).saturating_sub(shared.size.into());
                    totals.bytes = totals.bytes.saturating_add(more);
                    self.counts.set(id, Some(healed))?;
                }
                None => {
                    totals.objects = totals.objects.saturating_add(1);
                    totals.bytes = totals.bytes.saturating_add(meta.size.into());
                    self.counts.set(id, Some(meta))?;
                }
            }
            if meta.height > 0 {
                let key = keys::object(&owner, id);
                self.put(Table::Nodes, key, item.refs.clone());
            }
            self.delete(Table::State, keys::to_drop(&owner, id));
        }
        if !access.sees_all {
            let key = keys::mine(&owner, &access.device, id);
            self.put(Table::State, key, meta.encode());
            self.put(Table::State, keys::blind(&owner, &access.device), []);
        }
        Ok(())
    }
}

impl Intake {
    /// The bytes of an object are written once more, to this lot.
    fn moved_to(&self, id: &ObjectId, lot: u64) {
        if let Some(pending) = self.state.lock().pending.get_mut(id) {
            pending.meta.lot = lot;
        }
    }
}

fn encode_refs(header: &Header) -> Vec<u8> {
    header.refs.iter().flat_map(|id| id.0).collect()
}
