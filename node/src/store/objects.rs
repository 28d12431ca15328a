//! Looking objects up, reading them, and walking what is below a node.

use std::collections::HashSet;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::format::header::Kind;
use packnback_proto::ids::{ID_LEN, ObjectId, OwnerId};
use packnback_proto::limits::REFS_MAX;
use packnback_proto::machine::closure::{self, Closure, Seen, Shelf};

use super::engine::{Batch, Table};
use super::error::StoreError;
use super::stored::ObjectMeta;
use super::{Access, Store, keys};

/// What one access may see, for the closure check.
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) access: Access,
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
        let (table, key) = self.key(id);
        let Some(row) = self.store.engine.get(table, &key)? else {
            return Ok(None);
        };
        let meta = ObjectMeta::decode(&row)?;
        if !self.access.sees_all {
            let shared = self.store.object_meta(&self.access.owner, id)?;
            if shared.is_none_or(|shared| shared.damaged) {
                return Ok(None);
            }
        }
        Ok(Some(meta).filter(|meta| !meta.damaged))
    }

    /// Remembers that these nodes are complete.
    pub(super) fn set_complete(
        &self,
        batch: &mut Batch,
        nodes: &[ObjectId],
    ) -> Result<(), StoreError> {
        for id in nodes {
            if let Some(meta) = self.meta(id)? {
                let (table, key) = self.key(id);
                batch.put(
                    table,
                    key,
                    ObjectMeta {
                        complete: true,
                        ..meta
                    }
                    .encode(),
                );
            }
            // Complete among its own objects is complete among all.
            if let Some(meta) = self.store.object_meta(&self.access.owner, id)?
                && !self.access.sees_all
            {
                let key = keys::object(&self.access.owner, id);
                batch.put(
                    Table::Meta,
                    key,
                    ObjectMeta {
                        complete: true,
                        ..meta
                    }
                    .encode(),
                );
            }
        }
        Ok(())
    }
}

impl Shelf for View<'_> {
    type Error = StoreError;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, StoreError> {
        Ok(self.meta(id)?.map(|meta| Seen {
            height: meta.height,
            complete: meta.complete,
        }))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        self.store.refs(&self.access.owner, id)
    }
}

/// What a walk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Go on.
    On,
    /// Stop here.
    Stop,
}

impl Store {
    /// References of an object that is here.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if they are gone, and failures of the disk.
    pub fn refs(&self, owner: &OwnerId, id: &ObjectId) -> Result<Vec<ObjectId>, StoreError> {
        let bytes = self.engine.get(Table::Nodes, &keys::object(owner, id))?;
        let bytes = bytes.ok_or(StoreError::AddressMismatch { id: *id })?;
        let (ids, rest) = bytes.as_chunks::<ID_LEN>();
        if !rest.is_empty() || ids.len() > REFS_MAX {
            return Err(StoreError::Stored("reference list"));
        }
        Ok(ids.iter().copied().map(ObjectId).collect())
    }

    /// Which of these need not be put: leaves that are here, and nodes below which everything is.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn have(&self, access: &Access, ids: &[ObjectId]) -> Result<Vec<bool>, StoreError> {
        let view = View {
            store: self,
            access: *access,
        };
        let mut answers = Vec::with_capacity(ids.len());
        for id in ids {
            let answer = match view.meta(id)? {
                None => false,
                Some(meta) if meta.height == 0 || meta.complete => true,
                Some(_) => self.try_complete(&view, id)?,
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    fn try_complete(&self, view: &View<'_>, id: &ObjectId) -> Result<bool, StoreError> {
        let lock = self.owner_lock(&view.access.owner);
        let _guard = lock.lock();
        match closure::check(view, id, 1)? {
            Closure::Complete(nodes) => {
                let mut batch = Batch::default();
                view.set_complete(&mut batch, &nodes)?;
                self.engine.write(batch)?;
                Ok(true)
            }
            Closure::Missing(_) | Closure::NotLower { .. } => Ok(false),
        }
    }

    /// An object, checked against its address; `None` if it is not here.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if its stored bytes are damaged: it then counts as missing
    /// until it is put again. Failures of the disk.
    pub fn get(&self, owner: &OwnerId, id: &ObjectId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(meta) = self.object_meta(owner, id)? else {
            return Ok(None);
        };
        let key = keys::object(owner, id);
        match self.engine.get_object(&key)? {
            Some(bytes) if object_id(&bytes) == *id => Ok(Some(bytes)),
            _ => {
                if !meta.damaged {
                    let mut batch = Batch::default();
                    batch.put(
                        Table::Meta,
                        key,
                        ObjectMeta {
                            damaged: true,
                            ..meta
                        }
                        .encode(),
                    );
                    self.engine.write(batch)?;
                }
                tracing::warn!(object = %id, "stored object is damaged");
                Err(StoreError::AddressMismatch { id: *id })
            }
        }
    }

    /// Visits everything below `root` once, children before the nodes that name them, `root` last.
    /// Returns whether it got to the end.
    ///
    /// # Errors
    /// [`StoreError::AddressMismatch`] if something is not here; failures of the disk.
    pub fn walk(
        &self,
        owner: &OwnerId,
        root: &ObjectId,
        visit: &mut dyn FnMut(&ObjectId, &ObjectMeta) -> Walk,
    ) -> Result<bool, StoreError> {
        let mut seen = HashSet::new();
        self.walk_node(owner, root, u8::MAX, &mut seen, visit)
            .map(|walk| walk == Walk::On)
    }

    fn walk_node(
        &self,
        owner: &OwnerId,
        id: &ObjectId,
        below: u8,
        seen: &mut HashSet<[u8; 16]>,
        visit: &mut dyn FnMut(&ObjectId, &ObjectMeta) -> Walk,
    ) -> Result<Walk, StoreError> {
        // Half an id tells objects apart well enough and halves the memory of the set.
        let mark = id.0.first_chunk::<16>().copied().unwrap_or_default();
        if !seen.insert(mark) {
            return Ok(Walk::On);
        }
        let meta = self
            .object_meta(owner, id)?
            .ok_or(StoreError::AddressMismatch { id: *id })?;
        if meta.height >= below {
            return Err(StoreError::Stored("tree"));
        }
        if meta.height > 0 {
            for child in self.refs(owner, id)? {
                if self.walk_node(owner, &child, meta.height, seen, visit)? == Walk::Stop {
                    return Ok(Walk::Stop);
                }
            }
        }
        Ok(visit(id, &meta))
    }

    pub(super) fn is_root(&self, view: &View<'_>, id: &ObjectId) -> Result<bool, StoreError> {
        Ok(view.meta(id)?.is_none_or(|meta| meta.kind == Kind::Root))
    }
}
