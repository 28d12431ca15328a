//! One conversation with another host: list, then copy snapshot by snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::format::header::parse_header;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId};
use packnback_proto::limits::MIB;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::encode_ids;
use packnback_proto::wire::store::{STORE_VERSION_REPLICATE, StoreReply, StoreRequest};

use super::records::{Listed, Offered};
use super::walk::{NextError, Place, Shelf, Walk};
use super::{Claims, PullError};
use crate::ports::{ByteStream, Counted, Progress};
use crate::replicate::client::{ClientError, Greeting, StoreClient};
use crate::service::{Host, Puts, Refusal};
use crate::store::{CommitOutcome, Intake, Offer, Store, StoreError};

/// Requests for objects under way.
const AHEAD: usize = 2;
/// Bytes after which what arrived is made durable.
const SYNC_BYTES: u64 = 64 * MIB as u64;
/// Pages of records read in one go. A host that lists more without end is not believed.
const PAGES_MAX: usize = 4096;

/// What came of a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pulled {
    /// Snapshots copied.
    pub(super) copied: u32,
    /// Snapshots the other host has and this one not yet: too young, incomplete there, or under
    /// way from a third host.
    pub(super) left: u32,
    /// Snapshots that do not fit into what this host offers.
    pub(super) no_room: u32,
    /// Orders that were unknown here.
    pub(super) new_orders: u32,
}

/// See the module.
pub(super) struct Session {
    client: StoreClient<Counted<ByteStream>>,
    progress: Progress,
    stall: Duration,
    greeting: Greeting,
    host: Arc<Host>,
    owner: OwnerId,
    /// Objects asked for and not answered.
    unanswered: usize,
}

/// What a try to copy one snapshot came to.
enum Copied {
    Done,
    Left,
    NoRoom,
}

struct Here<'a> {
    store: &'a Store,
    intake: &'a Intake,
    now: u64,
}

impl Shelf for Here<'_> {
    type Error = StoreError;

    fn place(&self, id: &ObjectId) -> Result<Place, StoreError> {
        // What it says is here stays here as long as this lasts.
        if self.store.have(self.intake, &[*id], self.now)? == [true] {
            return Ok(Place::Whole);
        }
        let access = self.intake.access();
        if !access.sees_all {
            // Its node is fetched again, which is little; only then it counts as put by the device.
            return Ok(Place::Missing);
        }
        let owner = &access.owner;
        match self.store.object_meta(owner, id)? {
            Some(meta) if !meta.damaged && meta.height > 0 => Ok(Place::Open {
                height: meta.height,
                refs: self.store.refs(owner, id)?,
            }),
            _ => Ok(Place::Missing),
        }
    }
}

impl Session {
    /// Says hello and names the owner.
    pub(super) async fn open(
        stream: Counted<ByteStream>,
        progress: Progress,
        stall: Duration,
        peer: &NodeId,
        host: Arc<Host>,
        owner: OwnerId,
    ) -> Result<Self, PullError> {
        let hello = StoreClient::hello(stream, peer);
        let (client, greeting) = moving(&progress, stall, hello).await?;
        if greeting.version < STORE_VERSION_REPLICATE {
            return Err(PullError::TooOld);
        }
        let mut session = Self {
            client,
            progress,
            stall,
            greeting,
            host,
            owner,
            unanswered: 0,
        };
        let request = StoreRequest::Replicate { owner };
        let asked = session.client.ask_ok(&request);
        moving(&session.progress, stall, asked).await?;
        Ok(session)
    }

    /// Copies what is not here.
    pub(super) async fn run(
        &mut self,
        offer: &(dyn Fn(&NodeId) -> Option<Offer> + Sync),
        pull_after: Duration,
        claims: &Claims,
    ) -> Result<Pulled, PullError> {
        let listed = self.list().await?;
        let mut pulled = Pulled {
            new_orders: listed.new_orders,
            ..Pulled::default()
        };
        for offered in listed.into_offers(&self.greeting.host) {
            let Some(offer) = offer(&offered.snap.value().device) else {
                continue;
            };
            // By the other host's own clock on both sides.
            let age = offered
                .received
                .map(|received| self.greeting.time.saturating_sub(received));
            let is_young = age.is_some_and(|age| age < pull_after.as_secs());
            let claim = claims.take(offered.snap.id());
            let copied = match claim {
                Some(_claim) if !is_young => self.copy(&offered, offer).await?,
                _ => Copied::Left,
            };
            let count = match copied {
                Copied::Done => &mut pulled.copied,
                Copied::Left => &mut pulled.left,
                Copied::NoRoom => &mut pulled.no_room,
            };
            *count = count.saturating_add(1);
        }
        Ok(pulled)
    }

    async fn list(&mut self) -> Result<Listed, PullError> {
        let (mut listed, mut after) = (Listed::default(), None);
        for _ in 0..PAGES_MAX {
            let asked = self.client.records(after);
            let (more, last, body) = moving(&self.progress, self.stall, asked).await?;
            let (owner, now) = (self.owner, self.host.clock.now());
            listed = self
                .host
                .blocking(move |store| {
                    listed.page(store, &owner, &body, now)?;
                    Ok(listed)
                })
                .await?;
            if !more {
                if let Some(error) = &listed.why_refused {
                    tracing::warn!(from = ?self.greeting.host, records = listed.refused, last = %error,
                        "records of another host are not taken over");
                }
                return Ok(listed);
            }
            if last.is_none() || last <= after {
                return Err(ClientError::Protocol("a list of records that does not end").into());
            }
            after = last;
        }
        Err(ClientError::Protocol("a list of records that does not end").into())
    }

    /// Copies one snapshot.
    async fn copy(&mut self, offered: &Offered, offer: Offer) -> Result<Copied, PullError> {
        let (owner, id) = (self.owner, offered.snap.id());
        let snap = offered.snap.clone();
        let receipts = offered.receipts.clone();
        let access = self
            .host
            .blocking(move |store| {
                // An order of the same list may have deleted it meanwhile.
                if !store.wants_import(&owner, &id)? {
                    return Ok(None);
                }
                store
                    .import_access(&owner, &snap, &receipts, offer)
                    .map(Some)
            })
            .await;
        let access = match access {
            Ok(Some(access)) => access,
            Ok(None) => return Ok(Copied::Done),
            Err(refusal) => return refused(&refusal, offered),
        };
        let mut puts = Puts::new(Arc::clone(&self.host), access).map_err(Refusal::from)?;
        match self.fetch(&mut puts, offered.snap.value().root).await {
            Err(PullError::Here(refusal)) => {
                let copied = refused(&refusal, offered)?;
                // What did fit stays, so that the next try does not fetch it again.
                if let Err(refusal) = puts.sync().await {
                    tracing::debug!("what was fetched is not kept: {}", refusal.message);
                }
                self.read_answers().await?;
                return Ok(copied);
            }
            other => other?,
        }
        let (snap, receipts) = (offered.snap.clone(), offered.receipts.clone());
        let now = self.host.clock.now();
        let imported = self
            .host
            .blocking(move |store| store.import_snap(&owner, snap.envelope(), &receipts, now))
            .await;
        match imported {
            Ok(CommitOutcome::Accepted(_)) => {
                tracing::info!(from = ?self.greeting.host, snap = ?id, "snapshot copied");
                Ok(Copied::Done)
            }
            Ok(CommitOutcome::Missing(ids)) => {
                tracing::warn!(from = ?self.greeting.host, snap = ?id, missing = ids.len(),
                    "the other host does not have all of a snapshot either");
                Ok(Copied::Left)
            }
            Err(refusal) => refused(&refusal, offered),
        }
    }

    /// Fetches everything below `root` that is not here, and makes it durable.
    async fn fetch(&mut self, puts: &mut Puts, root: ObjectId) -> Result<(), PullError> {
        let mut walk = Walk::new(root);
        let mut under_way: VecDeque<Vec<ObjectId>> = VecDeque::new();
        let mut unsynced = 0_u64;
        loop {
            while under_way.len() < AHEAD {
                let (next, batch) = self.next(walk, puts.shared_intake()).await?;
                walk = next;
                if batch.is_empty() {
                    break;
                }
                let body = encode_ids(&batch);
                let send = async {
                    self.client.send(&StoreRequest::Get, &body).await?;
                    self.client.flush().await
                };
                moving(&self.progress, self.stall, send).await?;
                self.unanswered = self.unanswered.saturating_add(batch.len());
                under_way.push_back(batch);
            }
            let Some(batch) = under_way.pop_front() else {
                break;
            };
            for id in batch {
                let Some(object) = self.object(id).await? else {
                    walk.absent(&id);
                    continue;
                };
                // Bytes that are not those of this address are refused below, and with them
                // everything this host goes on to say.
                let (header, _) = parse_header(&object).map_err(PullError::Object)?;
                walk.arrived(&id, &header)?;
                let len = u64::try_from(object.len()).unwrap_or(u64::MAX);
                unsynced = unsynced.saturating_add(len);
                puts.put(id, object).await?;
            }
            if unsynced >= SYNC_BYTES {
                puts.sync().await?;
                unsynced = 0;
            }
        }
        puts.sync().await?;
        Ok(())
    }

    async fn next(
        &mut self,
        mut walk: Walk,
        intake: Arc<Intake>,
    ) -> Result<(Walk, Vec<ObjectId>), PullError> {
        let now = self.host.clock.now();
        let next = self
            .host
            .blocking(move |store| {
                let intake = &*intake;
                match walk.next(&Here { store, intake, now }) {
                    Ok(batch) => Ok(Ok((walk, batch))),
                    Err(NextError::Walk(error)) => Ok(Err(error)),
                    Err(NextError::Shelf(error)) => Err(error),
                }
            })
            .await?;
        Ok(next?)
    }

    /// Reads what was asked for and is no longer wanted.
    async fn read_answers(&mut self) -> Result<(), PullError> {
        while self.unanswered > 0 {
            let reply = self.client.reply();
            moving(&self.progress, self.stall, reply).await?;
            self.unanswered = self.unanswered.saturating_sub(1);
        }
        Ok(())
    }

    async fn object(&mut self, wanted: ObjectId) -> Result<Option<Vec<u8>>, PullError> {
        let reply = self.client.reply();
        let reply = moving(&self.progress, self.stall, reply).await?;
        self.unanswered = self.unanswered.saturating_sub(1);
        match reply {
            (StoreReply::Object { id, found }, object) if id == wanted => {
                Ok(found.then_some(object))
            }
            _ => Err(ClientError::Protocol("an object nobody asked for").into()),
        }
    }
}

/// A refusal by this host's own rules: of this snapshot only, or of everything.
fn refused(refusal: &Refusal, offered: &Offered) -> Result<Copied, PullError> {
    tracing::warn!(snap = ?offered.snap.id(), code = %refusal.code, "a snapshot is not copied: {}",
        refusal.message);
    match refusal.code {
        ErrorCode::Quota | ErrorCode::DayBudget => Ok(Copied::NoRoom),
        ErrorCode::Record | ErrorCode::Certificate => Ok(Copied::Left),
        _ => Err(PullError::Here(refusal.clone())),
    }
}

/// Runs a step of the conversation, unless nothing moves any more. Only the line is watched: work
/// on the own disk may take its time.
async fn moving<T>(
    progress: &Progress,
    stall: Duration,
    step: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, PullError> {
    tokio::select! {
        biased;
        done = step => Ok(done?),
        () = progress.stalled(stall) => Err(PullError::Stalled(stall)),
    }
}
