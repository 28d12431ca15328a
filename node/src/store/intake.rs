//! Taking objects in: verify, keep, make durable, and only then say so.

use std::collections::HashMap;

use packnback_proto::format::header::{Header, verify_object};
use packnback_proto::ids::ObjectId;
use packnback_proto::machine::budget::Usage;
use parking_lot::Mutex;

use super::engine::{Batch, Table};
use super::error::StoreError;
use super::objects::View;
use super::stored::ObjectMeta;
use super::{Access, Store, keys};

/// The objects one session put since its last sync. Several threads may put at once.
pub struct Intake {
    access: Access,
    state: Mutex<State>,
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
        let access = &intake.access;
        let view = View {
            store: self,
            access: *access,
        };
        if view.meta(id)?.is_some() {
            let mut state = intake.state.lock();
            state.synced = state.synced.saturating_add(1);
            return Ok(());
        }
        let shared = self.object_meta(&access.owner, id)?;
        let known = shared.is_some_and(|meta| !meta.damaged);
        let size = u32::try_from(bytes.len()).map_err(|_| StoreError::Stored("object size"))?;
        self.space.check(&*self.engine, size.into())?;
        let pending = Pending {
            meta: ObjectMeta::new(&header, size, access.device),
            refs: encode_refs(&header),
            known,
            charge: if shared.is_some() && access.sees_all {
                0
            } else {
                size.into()
            },
        };
        if !intake.reserve(id, pending, now)? || known {
            return Ok(());
        }
        self.engine
            .put_object(&keys::object(&access.owner, id), bytes)
            .map_err(|error| {
                intake.state.lock().poisoned = true;
                error.into()
            })
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
        let done = self.claim(&intake.access, pending, charged, now);
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
        let lock = self.owner_lock(&access.owner);
        let _guard = lock.lock();
        let usage =
            self.usage(&access.owner, &access.device)?
                .add_bytes(charged, &access.limits, now)?;
        let mut totals = self.totals(&access.owner)?;
        let mut batch = Batch::default();
        for (
            id,
            Pending {
                meta, refs, known, ..
            },
        ) in pending
        {
            let key = keys::object(&access.owner, &id);
            let shared = self.object_meta(&access.owner, &id)?;
            if !known {
                match shared {
                    Some(shared) if !shared.damaged => {}
                    Some(shared) => {
                        let healed = ObjectMeta {
                            damaged: false,
                            ..shared
                        };
                        batch.put(Table::Meta, key.clone(), healed.encode());
                    }
                    None => {
                        totals.objects = totals.objects.saturating_add(1);
                        totals.bytes = totals.bytes.saturating_add(meta.size.into());
                        batch.put(Table::Meta, key.clone(), meta.encode());
                    }
                }
                if meta.height > 0 {
                    batch.put(Table::Nodes, key, refs);
                }
            }
            if !access.sees_all {
                let key = keys::mine(&access.owner, &access.device, &id);
                batch.put(Table::State, key, meta.encode());
            }
        }
        Self::put_row(
            &mut batch,
            keys::usage(&access.owner, &access.device),
            &usage,
        )?;
        Self::put_row(&mut batch, keys::totals(&access.owner), &totals)?;
        self.engine.write(batch)?;
        Ok(usage)
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
