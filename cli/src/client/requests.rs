//! The requests of the local API, one function each, and what is made of several.

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{GET_IDS_MAX, HAVE_IDS_MAX};
use packnback_proto::local_requests;
use packnback_proto::record::{Record, decode_record};
use packnback_proto::wire::admin::{
    CollectInfo, DeviceInfo, HostedOwner, OrderInfo, OwnerStats, PolicyInfo, RetentionInfo,
};
use packnback_proto::wire::ids::{decode_bitmap, encode_ids, split_records};
use packnback_proto::wire::local::{
    self, API_VERSION, Answer, CommitAnswer, Copies, Done, EvictDays, Info, Invited, LocalReply,
    LocalRequest, NodeSettings, Opened, PeerAnswer, PeersAnswer, RecordPage, RemoteOpened,
    RemovedAnswer, StatusAnswer, SyncedAnswer,
};
use packnback_proto::wire::{Bytes, SecretBytes};

use super::ClientError;
use super::link::NodeLink;
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

impl Hello {
    /// What a node said, if it speaks this version.
    pub(super) fn of(hello: local::Hello) -> Result<Self, ClientError> {
        if hello.api != API_VERSION {
            return Err(ClientError::Version {
                node: hello.api,
                ours: API_VERSION,
            });
        }
        Ok(Self {
            version: hello.version,
            node: Some(hello.node),
            owner: hello.owner,
            listen: hello.listen,
        })
    }
}

/// Some records of an owner.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    /// The envelopes, unchecked.
    pub envelopes: Vec<Vec<u8>>,
    /// Ask again behind this one.
    pub next: Option<RecordId>,
}

/// One function per request that has one reply and no body, from the table of requests.
macro_rules! functions {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $( $(#[$field_doc:meta])* $field:ident : $kind:ty, )* })? $(+ $body:ident)?
            => $part:ident . $call:ident -> $answer:ty, $rule:expr;
    )*) => {
        $( function! {
            $part [$($body)?] $(#[$doc])*
            $name [$($( $field : $kind, )*)?] $call $answer
        } )*
    };
}

macro_rules! function {
    // Without a number, and with a body: by hand.
    (greeting $($rest:tt)*) => {};
    ($part:ident [$body:ident] $($rest:tt)*) => {};
    (
        $part:ident [] $(#[$doc:meta])*
        $name:ident [$( $field:ident : $kind:ty, )*] $call:ident $answer:ty
    ) => {
        impl Client {
            $(#[$doc])*
            ///
            /// # Errors
            /// [`ClientError`].
            pub fn $call(
                &self,
                $( $field: $kind, )*
            ) -> Result<<$answer as Answer>::Value, ClientError> {
                self.call::<$answer>(LocalRequest::$name { $($field),* })
            }
        }
    };
}

local_requests!(functions);

impl Client {
    /// Asks, and takes the reply that belongs to the request.
    fn call<A: Answer>(&self, request: LocalRequest) -> Result<A::Value, ClientError> {
        let name = request.name();
        let (reply, body) = self.request(&request, Vec::new())?;
        A::decode(reply, body)?.ok_or(ClientError::OutOfTurn(name))
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
        let RecordPage { more, last, body } = self.records(owner, after, remote)?;
        let envelopes = split_records(&body)?.into_iter();
        Ok(RecordsPage {
            envelopes: envelopes.map(<[u8]>::to_vec).collect(),
            next: last.filter(|_| more),
        })
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

    /// Connects the node to a host to read from.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open_host(
        &self,
        addr: &str,
        recovery_seed: Option<SecretBytes>,
    ) -> Result<RemoteOpened, ClientError> {
        let host = self.remote_open(addr.to_owned(), recovery_seed)?;
        self.set_remote_host(host);
        Ok(host)
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
        Self::open(self)
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
        Self::sync(self)
    }

    fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<CommitAnswer, ClientError> {
        Self::commit(self, root, set, time)
    }
}
