//! One storage session: which request is allowed when, and what it does.

use std::collections::HashSet;
use std::sync::Arc;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId};
use packnback_proto::limits::{GET_IDS_MAX, HAVE_IDS_MAX};
use packnback_proto::machine::grant::{GrantFacts, GrantRefusal, ReadRight, accept};
use packnback_proto::machine::session::{OpenRefusal, is_over, may_list};
use packnback_proto::record::{Cert, Signed, decode_cert, decode_grant};
use packnback_proto::wire::admin::EvictInfo;
use packnback_proto::wire::ids::{decode_ids, encode_bitmap, encode_ids};
use packnback_proto::wire::store::{STORE_VERSION, StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16, Role};

use super::share::Share;
use super::slots::Slot;
use super::{Host, Puts, Refusal};
use crate::ports::{Binding, Reach, Sponsor};
use crate::store::{Access, CommitOutcome, RecordFilter, StoreError};

/// Newest snapshots told at open.
const HEADS: usize = 16;

/// What to do with a request.
pub(super) enum Answer {
    /// Taken, no reply.
    Nothing,
    /// One reply.
    Reply(StoreReply, Vec<u8>),
    /// These objects, one reply each.
    Objects(OwnerId, Vec<ObjectId>),
    /// This reply, then the end.
    End(Refusal),
}

enum Stage {
    Greeted(bool),
    Device(Box<Device>),
    Reader(Box<Reader>),
    /// Another host of this owner.
    Replica(OwnerId),
}

struct Device {
    cert: Cert,
    access: Access,
    puts: Puts,
    began: u64,
    /// Its place among the sessions of the device.
    _slot: Slot,
}

/// What a device is admitted to.
struct Admitted {
    /// What it may store, and see.
    access: Access,
    /// The end of hosting, if announced.
    notice: Option<EvictInfo>,
}

struct Reader {
    right: ReadRight,
    grant: RecordId,
    /// The objects of a limited scope.
    covered: Option<HashSet<ObjectId>>,
}

pub(super) struct Session {
    pub(super) peer: NodeId,
    pub(super) over: Reach,
    pub(super) host: Arc<Host>,
    nonce: Option<[u8; 16]>,
    stage: Stage,
    share: Arc<Share>,
}

pub(super) type Reply = Result<(StoreReply, Vec<u8>), Refusal>;

pub(super) fn reply(reply: StoreReply) -> Reply {
    Ok((reply, Vec::new()))
}

impl Session {
    pub(super) fn new(peer: NodeId, over: Reach, host: Arc<Host>) -> Self {
        let nonce = host.env.dice.bytes().ok();
        let share = share_of(&host, &peer);
        Self {
            peer,
            over,
            host,
            nonce,
            stage: Stage::Greeted(false),
            share,
        }
    }

    /// What all that its sponsor brought may take together.
    pub(super) fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }

    /// Whether the peer has shown what it is here for.
    pub(super) const fn is_proven(&self) -> bool {
        !matches!(self.stage, Stage::Greeted(_))
    }

    pub(super) async fn answer(&mut self, request: StoreRequest, body: Vec<u8>) -> Answer {
        if let Stage::Device(device) = &self.stage
            && is_over(device.began, self.host.clock.now())
        {
            let message = "this session has been open for too long: open another";
            return Answer::End(Refusal::new(ErrorCode::Busy, message));
        }
        let answer = match request {
            StoreRequest::Put { id } => {
                return match self.put(id, body).await {
                    Ok(()) => Answer::Nothing,
                    Err(refusal) => Answer::End(refusal),
                };
            }
            StoreRequest::Get => {
                return match self.get(&body).await {
                    Ok((owner, ids)) => Answer::Objects(owner, ids),
                    Err(refusal) => Answer::Reply(refusal.into(), Vec::new()),
                };
            }
            StoreRequest::Sync => {
                // A put refused before ends the session here at the latest.
                return match self.sync().await {
                    Ok((reply, body)) => Answer::Reply(reply, body),
                    Err(refusal) => Answer::End(refusal),
                };
            }
            StoreRequest::Hello { version } => self.hello(version),
            StoreRequest::Open { cert, base } => self.open(&cert, base).await,
            StoreRequest::Have => self.have(&body).await,
            StoreRequest::Commit { snap } => self.commit(snap).await,
            StoreRequest::Receipt { envelope } => self.receipt(envelope).await,
            StoreRequest::Order { envelope } => self.order(envelope).await,
            StoreRequest::Grant { envelope } => self.grant(&envelope).await,
            StoreRequest::Records { after } => self.records(after).await,
            StoreRequest::Replicate { owner } => self.replicate(owner).await,
            StoreRequest::Stands => self.stands(&body).await,
            StoreRequest::HostAddrs { hosts } => match self.device() {
                Ok(device) => {
                    let owner = device.access.owner;
                    self.host_addrs(owner, hosts).await
                }
                Err(refusal) => Err(refusal),
            },
        };
        match answer {
            Ok((reply, body)) => Answer::Reply(reply, body),
            Err(refusal) => Answer::Reply(refusal.into(), Vec::new()),
        }
    }

    fn hello(&mut self, version: u32) -> Reply {
        if version == 0 {
            return Err(Refusal::new(ErrorCode::Version, "version 0 does not exist"));
        }
        let nonce = self.nonce.ok_or_else(|| {
            Refusal::new(ErrorCode::Internal, "the node has no source of randomness")
        })?;
        if let Stage::Greeted(greeted) = &mut self.stage {
            *greeted = true;
        }
        reply(StoreReply::Hello {
            time: self.host.clock.now(),
            nonce: Nonce16(nonce),
            version: STORE_VERSION,
            host: self.host.store.node_id(),
        })
    }

    fn fresh(&self) -> Result<(), Refusal> {
        match self.stage {
            Stage::Greeted(true) => Ok(()),
            Stage::Greeted(false) => Err(Refusal::new(ErrorCode::Protocol, "say hello first")),
            _ => Err(Refusal::new(
                ErrorCode::Protocol,
                "this session is open already",
            )),
        }
    }

    async fn replicate(&mut self, owner: OwnerId) -> Reply {
        self.fresh()?;
        self.may_copy(owner).await?;
        self.stage = Stage::Replica(owner);
        reply(StoreReply::Ok)
    }

    /// On whose behalf the device of this session asks.
    pub(super) fn access(&mut self) -> Result<Access, Refusal> {
        Ok(self.device()?.access)
    }

    fn device(&mut self) -> Result<&mut Device, Refusal> {
        match &mut self.stage {
            Stage::Device(device) => Ok(device),
            _ => Err(Refusal::new(ErrorCode::NotOpen, "open a session first")),
        }
    }

    async fn open(&mut self, cert: &Bytes, base: Option<RecordId>) -> Reply {
        self.fresh()?;
        let cert = decode_cert(cert).map_err(StoreError::from)?;
        let (peer, now) = (self.peer, self.host.clock.now());
        let value = cert.value().clone();
        let slots = &self.host.slots;
        let slot = slots.take(value.owner, peer).map_err(StoreError::from)?;
        let Admitted { access, notice } = self.admit(cert, now).await?;
        // It may be bound to its owner just now: from here on it counts for that.
        self.share = share_of(&self.host, &peer);
        let puts = Puts::new(Arc::clone(&self.host), access)?;
        let intake = puts.shared_intake();
        let opened = self
            .work(access.owner, move |store| {
                let owner = &access.owner;
                let base = match base {
                    Some(base) => store.snap(owner, &base)?,
                    None => None,
                };
                Ok((
                    base.is_some_and(|row| row.device == peer),
                    store.heads_with_records(owner, &peer, HEADS)?,
                    store.pending_orders(owner)?,
                    store.orders_to_tell(owner, now)?,
                    store.left(&intake, now)?,
                ))
            })
            .await?;
        let (base_complete, (heads, head_records), pending_orders, orders, quota_left) = opened;
        if let Some(base) = base.filter(|_| base_complete) {
            puts.intake().set_base(base);
        }
        self.stage = Stage::Device(Box::new(Device {
            cert: value,
            access,
            puts,
            began: now,
            _slot: slot,
        }));
        reply(StoreReply::Opened {
            session: self.host.next_session(),
            epoch: 0,
            base_complete,
            heads,
            head_records: head_records.into_iter().map(Bytes).collect(),
            pending_orders,
            quota_left,
            orders: orders.into_iter().map(Bytes).collect(),
            notice,
        })
    }

    /// Everything is decided before the first write, and one peer opens one session at a time, so that
    /// an open that is refused leaves nothing behind.
    async fn admit(&self, cert: Signed<Cert>, now: u64) -> Result<Admitted, Refusal> {
        let peer = self.peer;
        let (host, owner) = (Arc::clone(&self.host), cert.value().owner);
        let admitted = self
            .work(owner, move |store| {
                let value = cert.value();
                let standing = host.peers.standing(&peer);
                if standing.is_none_or(|standing| standing.role != Role::Friend) {
                    return Err(OpenRefusal::NotFriend.into());
                }
                let opening = host.shares.opening(peer);
                let _one = opening.lock();
                let binding = Binding {
                    owner: value.owner,
                    recovery: value.recovery,
                    issued: value.not_before,
                };
                if let Err(failure) = host.peers.may_bind(&peer, &binding) {
                    return Ok(Err(failure));
                }
                let admin = store.admin(&value.owner)?;
                if let Some(evict) = admin.evict.filter(|evict| evict.takes_nothing(now)) {
                    return Err(OpenRefusal::Closing(evict.drop_at).into());
                }
                let standing = host.peers.standing(&peer);
                store.may_admit(&cert, &peer, standing, now)?;
                let access = store.access_of(value, standing)?;
                if let Err(failure) = host.peers.bind(&peer, &binding) {
                    return Ok(Err(failure));
                }
                store.admit(&cert, &peer, standing, now)?;
                Ok(Ok(Admitted {
                    access,
                    notice: admin.evict.map(|evict| evict.info(now)),
                }))
            })
            .await?;
        Ok(admitted?)
    }

    async fn put(&mut self, id: ObjectId, body: Vec<u8>) -> Result<(), Refusal> {
        self.device()?.puts.put(id, body).await
    }

    async fn sync(&mut self) -> Reply {
        let objects = self.device()?.puts.sync().await?;
        reply(StoreReply::Synced { objects })
    }

    async fn have(&mut self, body: &[u8]) -> Reply {
        let now = self.host.clock.now();
        let device = self.device()?;
        let ids = ids(body, HAVE_IDS_MAX)?;
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let (owner, intake) = (device.access.owner, device.puts.shared_intake());
        if !self.host.shares.may_ask(self.peer, count, now) {
            let message = "too many questions of this device: ask again later";
            return Err(Refusal::new(ErrorCode::Busy, message));
        }
        let answers = self
            .work(owner, move |store| store.have(&intake, &ids, now))
            .await?;
        Ok((StoreReply::Bitmap, encode_bitmap(&answers)))
    }

    async fn commit(&mut self, snap: Bytes) -> Reply {
        let device = self.device()?;
        device.puts.sync().await?;
        let (access, cert) = (device.access, device.cert.clone());
        let now = self.host.clock.now();
        let outcome = self
            .work(access.owner, move |store| {
                store.commit(&access, &cert, &snap, now)
            })
            .await?;
        match outcome {
            CommitOutcome::Accepted(accepted) => reply(StoreReply::Committed {
                receipt: accepted.receipt.into(),
            }),
            CommitOutcome::Missing(ids) => {
                let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                Ok((StoreReply::Missing { count }, encode_ids(&ids)))
            }
        }
    }

    async fn receipt(&mut self, envelope: Bytes) -> Reply {
        let access = self.device()?.access;
        self.work(access.owner, move |store| {
            store.take_receipt(&access, Some(&access.device), &envelope)
        })
        .await?;
        reply(StoreReply::Ok)
    }

    async fn order(&mut self, envelope: Bytes) -> Reply {
        let access = self.device()?.access;
        let now = self.host.clock.now();
        self.work(access.owner, move |store| {
            store.take_order(&access, &envelope, now)
        })
        .await?;
        self.host.peers.orders_changed();
        reply(StoreReply::Ok)
    }

    async fn grant(&mut self, envelope: &Bytes) -> Reply {
        self.fresh()?;
        let grant = decode_grant(envelope).map_err(StoreError::from)?;
        let (owner, id) = (grant.value().owner, grant.id());
        // Roles add up: who is a recovery peer reads as one, whatever else it is here.
        let role = match self.host.peers.has_role(&self.peer, Role::Recovery) {
            true => Some(Role::Recovery),
            false => self.host.peers.standing(&self.peer).map(|s| s.role),
        };
        let (served, bytes_read) = self
            .work(owner, move |store| {
                Ok((store.serves(&owner)?, store.grant_bytes(&owner, &id)?))
            })
            .await?;
        let facts = GrantFacts {
            grant: grant.value(),
            peer: self.peer,
            role,
            host: self.host.store.node_id(),
            served,
            nonce: Nonce16(self.nonce.unwrap_or_default()),
            bytes_read,
        };
        let right = accept(facts, self.host.clock.now()).map_err(StoreError::from)?;
        let scope = right.scope.clone();
        let covered = self
            .work(owner, move |store| store.scope_objects(&owner, &scope))
            .await?;
        self.stage = Stage::Reader(Box::new(Reader {
            right,
            grant: id,
            covered,
        }));
        reply(StoreReply::Ok)
    }

    async fn records(&mut self, after: Option<RecordId>) -> Reply {
        let (owner, filter) = match &self.stage {
            Stage::Reader(reader) => {
                let now = self.host.clock.now();
                reader.right.may_read(0, now).map_err(StoreError::from)?;
                (
                    reader.right.owner,
                    RecordFilter::Granted(reader.right.scope.clone()),
                )
            }
            Stage::Device(device) if may_list(&device.cert) => (
                device.access.owner,
                RecordFilter::Device(device.access.device),
            ),
            Stage::Device(_) => {
                let message = "the certificate does not allow to list records";
                return Err(Refusal::new(ErrorCode::Denied, message));
            }
            Stage::Replica(owner) => {
                self.may_copy(*owner).await?;
                (*owner, RecordFilter::All)
            }
            Stage::Greeted(_) => return Err(StoreError::from(GrantRefusal::None).into()),
        };
        let page = self
            .work(owner, move |store| {
                store.records(&owner, &filter, after.as_ref())
            })
            .await?;
        Ok((
            StoreReply::Records {
                more: page.more,
                last: page.last,
            },
            page.body,
        ))
    }

    /// The objects to send. A reader gets those under its grant, another host of the owner any; what
    /// is not here is answered so.
    async fn get(&mut self, body: &[u8]) -> Result<(OwnerId, Vec<ObjectId>), Refusal> {
        if let Stage::Replica(owner) = &self.stage {
            self.may_copy(*owner).await?;
            return Ok((*owner, ids(body, GET_IDS_MAX)?));
        }
        let Stage::Reader(reader) = &self.stage else {
            return Err(StoreError::from(GrantRefusal::None).into());
        };
        let ids = ids(body, GET_IDS_MAX)?;
        if let Some(covered) = &reader.covered
            && let Some(outside) = ids.iter().find(|id| !covered.contains(id))
        {
            let refusal = Refusal::new(ErrorCode::Denied, "the grant does not cover this object");
            return Err(Refusal {
                id: Some(*outside),
                ..refusal
            });
        }
        let (right, grant, now) = (reader.right.clone(), reader.grant, self.host.clock.now());
        let owner = right.owner;
        let ids = self
            .host
            .blocking(move |store| {
                let mut bytes = 0u64;
                for id in &ids {
                    let size = store.object_meta(&owner, id)?.map_or(0, |meta| meta.size);
                    bytes = bytes.saturating_add(size.into());
                }
                store.charge_grant(&right, &grant, bytes, now)?;
                Ok(ids)
            })
            .await?;
        Ok((owner, ids))
    }
}

fn share_of(host: &Host, peer: &NodeId) -> Arc<Share> {
    let sponsor = host.peers.sponsor(peer).unwrap_or(Sponsor::Peer(*peer));
    host.shares.of(sponsor, host.clock.now())
}

pub(super) fn ids(body: &[u8], max: usize) -> Result<Vec<ObjectId>, Refusal> {
    decode_ids(body, max).map_err(|error| Refusal::new(ErrorCode::Protocol, error.to_string()))
}
