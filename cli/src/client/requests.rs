//! One method per request of the local API.

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{GET_IDS_MAX, HAVE_IDS_MAX};
use packnback_proto::record::{Record, decode_record};
use packnback_proto::wire::frame;
use packnback_proto::wire::ids::{decode_bitmap, decode_ids, encode_ids, split_records};
use packnback_proto::wire::local::{API_VERSION, HostCopy, LocalReply, LocalRequest, StatusInfo};
use packnback_proto::wire::{Nonce16, SecretBytes};

use super::ClientError;
use super::link::{Committed, NodeLink, Opened};
use super::threads::Client;
use crate::records::{Catalog, Viewpoint};
use crate::system;

/// Who the node is.
#[derive(Debug, Clone, Default)]
pub struct Hello {
    /// Version of the node program.
    pub version: String,
    /// Its identity (`None` only before the greeting).
    pub node: Option<NodeId>,
    /// Its owner, once adopted.
    pub owner: Option<OwnerId>,
    /// Addresses it listens on.
    pub listen: Vec<String>,
}

/// Some records of an owner.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    /// The envelopes, unchecked.
    pub envelopes: Vec<Vec<u8>>,
    /// Ask again behind this one.
    pub next: Option<RecordId>,
}

/// A host reached by `RemoteOpen`.
#[derive(Debug, Clone)]
pub struct RemoteHost {
    /// The host.
    pub host: NodeId,
    /// Its clock, unix seconds.
    pub time: u64,
    /// Its nonce, for the grant.
    pub nonce: Nonce16,
    /// The reader a grant must name.
    pub reader: NodeId,
}

impl Client {
    pub(super) fn greet(&self) -> Result<Hello, ClientError> {
        match self
            .request(&LocalRequest::Hello { api: API_VERSION }, Vec::new())?
            .0
        {
            LocalReply::Hello { api, .. } if api != API_VERSION => Err(ClientError::Version {
                node: api,
                ours: API_VERSION,
            }),
            LocalReply::Hello {
                version,
                node,
                owner,
                listen,
                ..
            } => Ok(Hello {
                version,
                node: Some(node),
                owner,
                listen,
            }),
            _ => Err(ClientError::OutOfTurn("Hello")),
        }
    }

    /// Asks again who the node is (its owner changes with `adopt`).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn greet_again(&self) -> Result<Hello, ClientError> {
        self.greet()
    }

    pub(super) fn expect_ok(
        &self,
        request: &LocalRequest,
        name: &'static str,
    ) -> Result<(), ClientError> {
        match self.request(request, Vec::new())?.0 {
            LocalReply::Ok => Ok(()),
            _ => Err(ClientError::OutOfTurn(name)),
        }
    }

    /// Makes the node a device of the owner who signed the certificate.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn adopt(&self, cert: &[u8]) -> Result<(), ClientError> {
        self.expect_ok(&LocalRequest::Adopt { cert: cert.into() }, "Adopt")
    }

    /// One page of records, of this node or (`remote`) of the host last opened.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn records_page(
        &self,
        owner: Option<OwnerId>,
        after: Option<RecordId>,
        remote: bool,
    ) -> Result<RecordsPage, ClientError> {
        let request = LocalRequest::Records {
            owner,
            after,
            remote,
        };
        match self.request(&request, Vec::new())? {
            (LocalReply::Records { more, last }, body) => Ok(RecordsPage {
                envelopes: split_records(&body)?
                    .into_iter()
                    .map(<[u8]>::to_vec)
                    .collect(),
                next: last.filter(|_| more),
            }),
            _ => Err(ClientError::OutOfTurn("Records")),
        }
    }

    /// All records, see [`Client::records_page`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn all_records(
        &self,
        owner: Option<OwnerId>,
        remote: bool,
    ) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.records_page(owner, after, remote)?;
            let empty = page.envelopes.is_empty();
            if remote {
                // Nothing is kept in memory because a host sent it, only what verifies.
                let good = |envelope: &Vec<u8>| is_of(envelope, owner);
                all.extend(page.envelopes.into_iter().filter(good));
            } else {
                all.extend(page.envelopes);
            }
            match page.next {
                Some(next) if !empty && Some(next) != after => after = Some(next),
                _ => return Ok(all),
            }
        }
    }

    /// The records of this machine's owner, put together.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn catalog(&self, owner: OwnerId) -> Result<Catalog, ClientError> {
        self.catalog_with(owner, Vec::new(), Vec::new())
    }

    /// As [`Client::catalog`], with records known from elsewhere, checked like all others, and hosts
    /// whose word counts besides.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn catalog_with(
        &self,
        owner: OwnerId,
        more: Vec<Vec<u8>>,
        hosts: Vec<NodeId>,
    ) -> Result<Catalog, ClientError> {
        let mut records = self.all_records(None, false)?;
        records.extend(more);
        let mut view = self.view();
        view.besides.extend(hosts);
        Ok(Catalog::build(owner, &records, &view))
    }

    /// Whose word counts here: that of this node itself.
    #[must_use]
    pub fn view(&self) -> Viewpoint {
        Viewpoint {
            besides: self.hello().node.into_iter().collect(),
            now: system::now(),
            host_time: None,
        }
    }

    /// Objects of this node or (`remote`) of the host last opened. Any number of ids.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get_objects(
        &self,
        ids: &[ObjectId],
        remote: bool,
    ) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        let mut objects = Vec::with_capacity(ids.len());
        for ids in ids.chunks(GET_IDS_MAX) {
            for object in self.start_get(ids, remote)? {
                objects.push(object?.1);
            }
        }
        Ok(objects)
    }

    /// Waits until a snapshot is on `wait_hosts` hosts, something changed, or the time is up.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn copies(
        &self,
        snap: SnapshotId,
        wait_hosts: u32,
        timeout_ms: u64,
    ) -> Result<(bool, Vec<HostCopy>), ClientError> {
        let request = LocalRequest::Copies {
            snap,
            wait_hosts,
            timeout_ms,
        };
        match self.request(&request, Vec::new())?.0 {
            LocalReply::Copies { done, hosts } => Ok((done, hosts)),
            _ => Err(ClientError::OutOfTurn("Copies")),
        }
    }

    /// Connects the node to a host to read from.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remote_open(
        &self,
        addr: &str,
        recovery_seed: Option<SecretBytes>,
    ) -> Result<RemoteHost, ClientError> {
        let request = LocalRequest::RemoteOpen {
            addr: addr.to_owned(),
            recovery_seed,
        };
        match self.request(&request, Vec::new())?.0 {
            LocalReply::RemoteOpened {
                host,
                time,
                nonce,
                reader,
            } => {
                let host = RemoteHost {
                    host,
                    time,
                    nonce,
                    reader,
                };
                self.set_remote_host(host.clone());
                Ok(host)
            }
            _ => Err(ClientError::OutOfTurn("RemoteOpen")),
        }
    }

    /// Presents a grant to that host.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn remote_grant(&self, grant: &[u8]) -> Result<(), ClientError> {
        let request = LocalRequest::RemoteGrant {
            grant: grant.into(),
        };
        self.expect_ok(&request, "RemoteGrant")
    }

    /// Hands an owner-signed order to the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn order(&self, envelope: &[u8]) -> Result<(), ClientError> {
        let request = LocalRequest::Order {
            envelope: envelope.into(),
        };
        self.expect_ok(&request, "Order")
    }

    /// The node at a glance.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<StatusInfo, ClientError> {
        match self.request(&LocalRequest::Status, Vec::new())? {
            (LocalReply::Status, body) => Ok(frame::decode_body(&body)?),
            _ => Err(ClientError::OutOfTurn("Status")),
        }
    }

    /// Ends the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn shutdown(&self) -> Result<(), ClientError> {
        self.expect_ok(&LocalRequest::Shutdown, "Shutdown")
    }
}

/// Whether a record verifies and is the owner's, or a receipt for something that may be.
fn is_of(envelope: &[u8], owner: Option<OwnerId>) -> bool {
    let of = match decode_record(envelope) {
        Ok(Record::Cert(cert)) => cert.value().owner,
        Ok(Record::Snap(snap)) => snap.value().owner,
        Ok(Record::Order(order)) => order.value().owner,
        Ok(Record::Receipt(_)) => return true,
        Ok(Record::Grant(_)) | Err(_) => return false,
    };
    owner.is_none_or(|owner| owner == of)
}

impl NodeLink for Client {
    fn open(&self) -> Result<Opened, ClientError> {
        match self.request(&LocalRequest::Open, Vec::new())?.0 {
            LocalReply::Opened {
                base,
                last_seq,
                last_root,
                pending_orders,
                cert,
                alarms,
            } => Ok(Opened {
                base,
                last_seq,
                last_root,
                pending_orders,
                cert: cert.0,
                alarms,
            }),
            _ => Err(ClientError::OutOfTurn("Open")),
        }
    }

    fn have(&self, ids: &[ObjectId]) -> Result<Vec<bool>, ClientError> {
        let mut answers = Vec::with_capacity(ids.len());
        let mut pending = Vec::new();
        for ids in ids.chunks(HAVE_IDS_MAX) {
            pending.push((ids.len(), self.start(&LocalRequest::Have, encode_ids(ids))?));
        }
        for (asked, reply) in pending {
            match reply.wait()? {
                (LocalReply::Bitmap, body) => answers.extend(decode_bitmap(&body, asked)?),
                _ => return Err(ClientError::OutOfTurn("Have")),
            }
        }
        Ok(answers)
    }

    fn put(&self, id: ObjectId, object: Vec<u8>) -> Result<(), ClientError> {
        self.send(&LocalRequest::Put { id }, object)
    }

    fn sync(&self) -> Result<u64, ClientError> {
        match self.request(&LocalRequest::Sync, Vec::new())?.0 {
            LocalReply::Synced { objects } => Ok(objects),
            _ => Err(ClientError::OutOfTurn("Sync")),
        }
    }

    fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<Committed, ClientError> {
        match self.request(&LocalRequest::Commit { root, set, time }, Vec::new())? {
            (
                LocalReply::Committed {
                    snap,
                    envelope,
                    receipt,
                },
                _,
            ) => Ok(Committed::Done {
                snap,
                envelope: envelope.0,
                receipt: receipt.0,
            }),
            (LocalReply::Missing { .. }, body) => {
                Ok(Committed::Missing(decode_ids(&body, HAVE_IDS_MAX)?))
            }
            _ => Err(ClientError::OutOfTurn("Commit")),
        }
    }
}
