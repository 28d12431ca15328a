//! Taking objects in: verify, keep, make durable, and only then say so.

use std::collections::HashMap;
use std::sync::Arc;

use packnback_proto::format::header::{Header, verify_object};
use packnback_proto::ids::{ObjectId, SnapshotId};
use packnback_proto::limits::LOOSE_KEEP_S;
use packnback_proto::machine::budget::{BudgetRefusal, Usage};
use parking_lot::Mutex;

use super::counts::Changes;
use super::engine::{Batch, EngineError, Table};
use super::error::StoreError;
use super::objects::View;
use super::pins::{InFlight, Pin};
use super::stored::{ObjectMeta, Totals};
use super::{Access, Store, keys};

/// The objects one session put since its last sync. Several threads may put at once.
pub struct Intake {
    access: Access,
    state: Mutex<State>,
    pin: Arc<Pin>,
    in_flight: Arc<InFlight>,
}

struct State {
    /// Usage of the device at the last sync.
    usage: Usage,
    /// Bytes that will be charged at the next sync.
    charged: u64,
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
        let usage = self.usage(&access.owner, &access.device)?;
        let state = State {
            usage,
            charged: 0,
            pending: HashMap::new(),
            synced: 0,
            poisoned: false,
        };
        Ok(Intake {
            access,
            state: Mutex::new(state),
            pin: self.pins.open(&access.owner),
            in_flight: Arc::clone(&self.in_flight),
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
        if !self.begin(intake, id, &header, size, now)? {
            return Ok(());
        }
        let poison = |error: EngineError| {
            intake.state.lock().poisoned = true;
            StoreError::from(error)
        };
        self.engine
            .put_object(&keys::object(&intake.access.owner, id), bytes)
            .map_err(poison)
    }

    /// Whether the bytes are to be written. The object is pinned either way; if it is not here, a note
    /// says that its bytes are to be dropped again unless it is claimed.
    fn begin(
        &self,
        intake: &Intake,
        id: &ObjectId,
        header: &Header,
        size: u32,
        now: u64,
    ) -> Result<bool, StoreError> {
        let access = &intake.access;
        let view = View {
            store: self,
            access: *access,
        };
        let lock = self.owner_lock(&access.owner);
        // Nothing is freed meanwhile.
        let _guard = lock.read();
        // Also what is written now: others may need it and let it go again before this session commits.
        intake.pin.add(id);
        if view.meta(id)?.is_some() {
            let mut state = intake.state.lock();
            state.synced = state.synced.saturating_add(1);
            return Ok(false);
        }
        let shared = self.object_meta(&access.owner, id)?;
        let known = shared.is_some_and(|meta| !meta.damaged);
        self.space.check(&*self.engine, size.into())?;
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
        if !intake.reserve(id, pending, now)? {
            return Ok(false);
        }
        if !known {
            let mut note = Batch::default();
            note.put(Table::State, keys::to_drop(&access.owner, id), []);
            self.engine.note(note)?;
            self.lots.add(size);
        }
        Ok(!known)
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
            Ok(usage) => {
                state.usage = usage;
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
    ) -> Result<Usage, StoreError> {
        // First the objects, then the rows that claim them.
        self.engine.flush_objects()?;
        let mut batch = Batch::default();
        self.lots.turn(&mut batch, now)?;
        let owner = &access.owner;
        let lock = self.owner_lock(owner);
        let _guard = lock.write();
        let usage = self
            .usage(owner, &access.device)?
            .add_bytes(charged, &access.limits, now)?;
        let mut totals = self.totals(owner)?;
        let mut changes = Changes::new(self, *owner);
        for (id, item) in &pending {
            self.claim_one(access, (id, item), &mut changes, &mut totals, &mut batch)?;
        }
        if totals.bytes > access.owner_max {
            return Err(BudgetRefusal::Quota {
                used: totals.bytes.saturating_sub(charged),
                limit: access.owner_max,
            }
            .into());
        }
        changes.finish(&mut batch);
        Self::put_row(&mut batch, keys::usage(owner, &access.device), &usage)?;
        Self::put_row(&mut batch, keys::totals(owner), &totals)?;
        self.engine.write(batch)?;
        Ok(usage)
    }

    fn claim_one(
        &self,
        access: &Access,
        (id, item): (&ObjectId, &Pending),
        changes: &mut Changes<'_>,
        totals: &mut Totals,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        let owner = &access.owner;
        let meta = item.meta;
        if !item.known {
            match changes.meta(id)? {
                Some(shared) if !shared.damaged => {}
                Some(shared) => {
                    let (damaged, lot) = (false, meta.lot);
                    let healed = ObjectMeta {
                        damaged,
                        lot,
                        ..shared
                    };
                    changes.set(id, Some(healed))?;
                }
                None => {
                    totals.objects = totals.objects.saturating_add(1);
                    totals.bytes = totals.bytes.saturating_add(meta.size.into());
                    changes.set(id, Some(meta))?;
                }
            }
            if meta.height > 0 {
                batch.put(Table::Nodes, keys::object(owner, id), item.refs.clone());
            }
            batch.delete(Table::State, keys::to_drop(owner, id));
        }
        if !access.sees_all {
            let key = keys::mine(owner, &access.device, id);
            batch.put(Table::State, key, meta.encode());
            batch.put(Table::State, keys::blind(owner, &access.device), []);
        }
        Ok(())
    }
}

impl Intake {
    /// Notes an object and charges for it; `false` if it is noted already.
    fn reserve(&self, id: &ObjectId, pending: Pending, now: u64) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        if state.poisoned {
            return Err(StoreError::Poisoned);
        }
        if state.pending.contains_key(id) {
            return Ok(false);
        }
        let charged = state.charged.saturating_add(pending.charge);
        state.usage.add_bytes(charged, &self.access.limits, now)?;
        state.charged = charged;
        self.in_flight.begin(&self.access.owner, id);
        state.pending.insert(*id, pending);
        Ok(true)
    }

    /// Bytes the device may still put.
    #[must_use]
    pub fn left(&self, now: u64) -> u64 {
        let state = self.state.lock();
        let left = state.usage.on_day_of(now).left(&self.access.limits);
        left.saturating_sub(state.charged)
    }
}

fn encode_refs(header: &Header) -> Vec<u8> {
    header.refs.iter().flat_map(|id| id.0).collect()
}
