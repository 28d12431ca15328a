//! One local connection: which request is allowed when, and what it does.

use std::sync::Arc;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{GET_IDS_MAX, HAVE_IDS_MAX};
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::session::OpenRefusal;
use packnback_proto::record::decode_cert;
use packnback_proto::wire::ids::{decode_ids, encode_bitmap, encode_ids};
use packnback_proto::wire::local::{API_VERSION, LocalReply, LocalRequest};
use packnback_proto::wire::{Bytes, ErrorCode};
use tokio::sync::watch;

use super::{LocalNode, replies};
use crate::ports::{Failure, Remote};
use crate::service::{Puts, Refusal};
use crate::store::stored::DeviceRow;
use crate::store::{CommitOutcome, StoreError};

/// Longest long poll.
const POLL_MAX_MS: u64 = 60_000;

/// What to do with a request.
pub(super) enum Answer {
    /// Taken, no reply.
    Nothing,
    /// One reply.
    Reply(LocalReply, Vec<u8>),
    /// These objects of this node, one reply each.
    Objects(Vec<ObjectId>),
    /// These objects of the remote host, one reply each.
    RemoteObjects(Vec<ObjectId>),
    /// This error, then the end.
    End(Failure),
    /// The node ends.
    Stop,
}

pub(super) struct Session {
    pub(super) node: Arc<LocalNode>,
    greeted: bool,
    puts: Option<Puts>,
    pub(super) remote: Option<Box<dyn Remote>>,
    changes: watch::Receiver<u64>,
}

pub(super) type Reply = Result<(LocalReply, Vec<u8>), Failure>;

pub(super) fn reply(reply: LocalReply) -> Reply {
    Ok((reply, Vec::new()))
}

impl Session {
    pub(super) fn new(node: Arc<LocalNode>) -> Self {
        let changes = node.network.copies_changed();
        Self {
            node,
            greeted: false,
            puts: None,
            remote: None,
            changes,
        }
    }

    pub(super) async fn answer(&mut self, request: LocalRequest, body: Vec<u8>) -> Answer {
        if !self.greeted && !matches!(request, LocalRequest::Hello { .. }) {
            let failure = Failure::new(ErrorCode::Protocol, "say hello first");
            return Answer::End(failure.safe("Nothing was changed."));
        }
        if self.node.read_only && !is_question(&request) {
            let failure = Failure::new(
                ErrorCode::Denied,
                "the home of this node is on a disk that cannot be written",
            );
            return Answer::End(failure.safe("Nothing was changed; listing and restoring work.").next(
                "Make the disk writable, or use a copy of the home on another one (--home DIR); never run both.",
            ));
        }
        let answer = match request {
            LocalRequest::Put { id } => {
                return match self.put(id, body).await {
                    Ok(()) => Answer::Nothing,
                    Err(failure) => Answer::End(failure),
                };
            }
            LocalRequest::Sync => {
                // A put refused before ends the connection here at the latest.
                return match self.sync().await {
                    Ok(objects) => Answer::Reply(LocalReply::Synced { objects }, Vec::new()),
                    Err(failure) => Answer::End(failure),
                };
            }
            LocalRequest::Get { remote } => {
                return match ids(&body, GET_IDS_MAX) {
                    Ok(ids) if remote => Answer::RemoteObjects(ids),
                    Ok(ids) => Answer::Objects(ids),
                    Err(failure) => Answer::End(failure),
                };
            }
            LocalRequest::Shutdown => return Answer::Stop,
            LocalRequest::Hello { api } => self.hello(api),
            LocalRequest::Adopt { cert } => self.adopt(&cert).await,
            LocalRequest::Open => self.open().await,
            LocalRequest::Have => self.have(&body).await,
            LocalRequest::Commit { root, set, time } => self.commit(root, set, time).await,
            LocalRequest::Records {
                owner,
                after,
                remote,
            } => self.records(owner, after, remote).await,
            LocalRequest::Copies {
                snap,
                wait_hosts,
                timeout_ms,
            } => self.copies(snap, wait_hosts, timeout_ms).await,
            LocalRequest::Order { envelope } => self.order(envelope).await,
            LocalRequest::Status => self.status().await,
            LocalRequest::Acknowledge { alarm } => self.acknowledge(alarm).await,
            other if Self::is_admin(&other) => self.admin(other).await,
            other => self.network(other).await,
        };
        match answer {
            Ok((reply, body)) => Answer::Reply(reply, body),
            Err(failure) => Answer::Reply(replies::error(failure), Vec::new()),
        }
    }

    /// What the network does for us.
    async fn network(&mut self, request: LocalRequest) -> Reply {
        let network = Arc::clone(&self.node.network);
        match request {
            LocalRequest::RemoteOpen {
                addr,
                recovery_seed,
            } => {
                self.remote = None;
                let remote = network.remote_open(addr, recovery_seed).await?;
                let info = remote.info();
                self.remote = Some(remote);
                reply(LocalReply::RemoteOpened {
                    host: info.host,
                    time: info.time,
                    nonce: info.nonce,
                    reader: info.reader,
                })
            }
            LocalRequest::RemoteGrant { grant } => {
                self.remote()?.grant(grant).await?;
                reply(LocalReply::Ok)
            }
            other => self.friends(other).await,
        }
    }

    fn hello(&mut self, api: u32) -> Reply {
        if api != API_VERSION {
            let message = format!("the program speaks API {api}, this node {API_VERSION}");
            return Err(replies::failure(Refusal::new(ErrorCode::Version, message)));
        }
        self.greeted = true;
        let owner = self
            .device()
            .map(|device| device.map(|device| device.owner))?;
        reply(LocalReply::Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            api: API_VERSION,
            node: self.node_id(),
            owner,
            listen: self.node.network.listen_addrs(),
        })
    }

    pub(super) fn node_id(&self) -> NodeId {
        self.node.host.store.node_id()
    }

    pub(super) fn device(&self) -> Result<Option<DeviceRow>, Failure> {
        self.node
            .host
            .store
            .device()
            .map_err(|error| replies::failure(error.into()))
    }

    /// The owner of this node.
    pub(super) fn owner(&self) -> Result<DeviceRow, Failure> {
        self.device()?.ok_or_else(|| {
            replies::failure(Refusal::new(
                ErrorCode::NotOpen,
                "this node belongs to no owner yet",
            ))
        })
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&crate::store::Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        self.node
            .host
            .blocking(work)
            .await
            .map_err(replies::failure)
    }

    async fn adopt(&mut self, envelope: &Bytes) -> Reply {
        let refused =
            |code, message: &str| Failure::new(code, message).safe("Nothing was changed.");
        let cert = decode_cert(envelope)
            .map_err(|error| replies::failure(StoreError::from(error).into()))?;
        let (owner, me) = (cert.value().owner, self.node_id());
        if cert.value().device != me {
            return Err(refused(
                ErrorCode::Certificate,
                "the certificate belongs to another machine",
            ));
        }
        if self.device()?.is_some_and(|device| device.owner != owner) {
            let message = "this node belongs to another owner already";
            return Err(refused(ErrorCode::OtherOwner, message)
                .next("Use another home (--home), or the owner key this home was set up with."));
        }
        self.blocking(move |store| store.adopt(&cert)).await?;
        self.node.network.wake_replication();
        reply(LocalReply::Ok)
    }

    async fn open(&mut self) -> Reply {
        let device = self.owner()?;
        let (owner, me) = (device.owner, self.node_id());
        // Before anything is read or stored for a snapshot that nobody would take.
        if self
            .blocking(move |store| store.is_revoked(&owner, &me))
            .await?
        {
            return Err(replies::revoked());
        }
        if let Some(last) = device.last {
            // The backup builds on it.
            self.puts()?.intake().set_base(last.snap);
        }
        let pending_orders = self
            .blocking(move |store| store.pending_orders(&owner))
            .await?;
        let alarms = self.alarms().await?;
        reply(LocalReply::Opened {
            base: device.last.map(|last| last.snap),
            last_seq: device.last.map_or(0, |last| last.seq),
            last_root: device.last.map(|last| last.root),
            pending_orders,
            cert: device.cert,
            alarms,
        })
    }

    fn puts(&mut self) -> Result<&mut Puts, Failure> {
        if self.puts.is_none() {
            let access = self.node.host.store.own_access(&self.owner()?.owner);
            let puts = Puts::new(Arc::clone(&self.node.host), access);
            self.puts = Some(puts.map_err(|error| replies::failure(error.into()))?);
        }
        self.puts
            .as_mut()
            .ok_or_else(|| Failure::new(ErrorCode::Internal, "no session"))
    }

    async fn put(&mut self, id: ObjectId, body: Vec<u8>) -> Result<(), Failure> {
        self.puts()?.put(id, body).await.map_err(replies::failure)
    }

    async fn sync(&mut self) -> Result<u64, Failure> {
        self.puts()?.sync().await.map_err(replies::failure)
    }

    async fn have(&mut self, body: &[u8]) -> Reply {
        let ids = ids(body, HAVE_IDS_MAX)?;
        let intake = self.puts()?.shared_intake();
        let now = self.node.host.clock.now();
        let answers = self
            .blocking(move |store| store.have(&intake, &ids, now))
            .await?;
        Ok((LocalReply::Bitmap, encode_bitmap(&answers)))
    }

    async fn commit(&mut self, root: ObjectId, set: SetId, time: u64) -> Reply {
        self.sync().await?;
        let now = self.node.host.clock.now();
        let revoked = |error: &StoreError| {
            let refusal = CommitRefusal::Certificate(OpenRefusal::Revoked);
            matches!(error, StoreError::Commit(found) if *found == refusal)
        };
        let outcome = self
            .blocking(move |store| match store.commit_own(root, set, time, now) {
                Err(error) if revoked(&error) => Ok(None),
                outcome => outcome.map(Some),
            })
            .await?;
        match outcome.ok_or_else(replies::revoked)? {
            CommitOutcome::Accepted(accepted) => {
                self.node.network.wake_replication();
                reply(LocalReply::Committed {
                    snap: accepted.snap,
                    envelope: accepted.envelope.into(),
                    receipt: accepted.receipt.into(),
                })
            }
            CommitOutcome::Missing(ids) => {
                let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                Ok((LocalReply::Missing { count }, encode_ids(&ids)))
            }
        }
    }

    async fn order(&mut self, envelope: Bytes) -> Reply {
        let owner = self.owner()?.owner;
        let now = self.node.host.clock.now();
        self.blocking(move |store| store.put_order(&owner, &envelope, now))
            .await?;
        self.node.network.wake_replication();
        reply(LocalReply::Ok)
    }

    pub(super) fn remote(&mut self) -> Result<&mut Box<dyn Remote>, Failure> {
        self.remote.as_mut().ok_or_else(|| {
            Failure::new(ErrorCode::NotOpen, "no connection to a host was opened")
                .safe("Nothing was changed.")
        })
    }

    async fn records(
        &mut self,
        owner: Option<OwnerId>,
        after: Option<RecordId>,
        remote: bool,
    ) -> Reply {
        let page = if remote {
            self.remote()?.records(after).await?
        } else {
            self.own_records(owner, after).await?
        };
        Ok((
            LocalReply::Records {
                more: page.more,
                last: page.last,
            },
            page.body,
        ))
    }

    /// Long poll. A change since the last poll on this connection answers at once.
    async fn copies(&mut self, snap: SnapshotId, wait_hosts: u32, timeout_ms: u64) -> Reply {
        let enough = usize::try_from(wait_hosts).unwrap_or(usize::MAX);
        let look = |session: &Self| {
            let hosts = session.node.network.copies(&snap);
            let done = hosts.iter().filter(|host| host.receipt).count() >= enough;
            (hosts, done)
        };
        let (mut hosts, mut done) = look(self);
        if !done && timeout_ms > 0 {
            let timeout = std::time::Duration::from_millis(timeout_ms.min(POLL_MAX_MS));
            // ignored: timed out or the network ended; either way the answer is how it stands now
            let _ = tokio::time::timeout(timeout, self.changes.changed()).await;
            (hosts, done) = look(self);
        }
        reply(LocalReply::Copies { done, hosts })
    }
}

fn ids(body: &[u8], max: usize) -> Result<Vec<ObjectId>, Failure> {
    decode_ids(body, max)
        .map_err(|error| replies::failure(Refusal::new(ErrorCode::Protocol, error.to_string())))
}

/// Whether a request changes nothing and reaches nobody.
fn is_question(request: &LocalRequest) -> bool {
    matches!(
        request,
        LocalRequest::Hello { .. }
            | LocalRequest::Have
            | LocalRequest::Records { remote: false, .. }
            | LocalRequest::Get { remote: false }
            | LocalRequest::Copies { .. }
            | LocalRequest::Peers
            | LocalRequest::Status
            | LocalRequest::Devices
            | LocalRequest::Orders
            | LocalRequest::Retention { .. }
            | LocalRequest::HostOwners
            | LocalRequest::Stats { .. }
            | LocalRequest::Shutdown
    )
}
