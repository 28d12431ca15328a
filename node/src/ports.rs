//! What the service, the local API and the network need from each other.
//!
//! Each side is written against these traits, so that it can be tested (and later simulated)
//! without the other: the network never sees RocksDB, the store never sees libp2p.

use futures::future::BoxFuture;
use packnback_proto::ids::{NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
use packnback_proto::wire::local::{HostCopy, PeerInfo};
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16, Role, SecretBytes};
use tokio::sync::{mpsc, watch};

/// Something did not work, said so that a person can act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
    /// What is safe in spite of it.
    pub safe: String,
    /// What to do next.
    pub next: String,
}

impl Failure {
    /// A failure of this kind; [`Failure::safe`] and [`Failure::next`] add the rest.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            safe: String::new(),
            next: String::new(),
        }
    }

    /// Says what is safe in spite of it.
    #[must_use]
    pub fn safe(self, safe: impl Into<String>) -> Self {
        Self {
            safe: safe.into(),
            ..self
        }
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(self, next: impl Into<String>) -> Self {
        Self {
            next: next.into(),
            ..self
        }
    }
}

/// Unix time in seconds. The only clock of the service, passed in so that a simulation can turn it.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> u64;
}

/// What another node may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its role.
    pub role: Role,
    /// Bytes we store for it at most (friends).
    pub quota: u64,
    /// The owner it is bound to: set by the first valid certificate of a friend, or by the
    /// certificate that named this recovery key.
    pub owner: Option<OwnerId>,
}

/// Who brought a peer here. Whatever a peer takes is counted for its sponsor, so that nobody gets more
/// by bringing more identities: not the recovery keys in certificates, which an owner makes as many of
/// as it likes, nor the hosts it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sponsor {
    /// A friend that has shown no certificate yet, or the guest of an invite: it stands for itself.
    Peer(NodeId),
    /// An owner: its devices that are friends here, its recovery keys, the hosts it listed.
    Owner(OwnerId),
}

/// How far an address reaches, the nearest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// This machine only.
    Loopback,
    /// The local network only.
    Private,
    /// Everywhere.
    Public,
}

/// What a certificate says of who belongs to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The owner.
    pub owner: OwnerId,
    /// The node id of its recovery peer.
    pub recovery: NodeId,
    /// When the certificate was made (the start of its validity), unix seconds: the newest counts.
    pub issued: u64,
}

/// The list of known peers, as the storage service needs it. Implementations are durable: after
/// [`PeerBook::bind`] returned, a crash does not undo it.
pub trait PeerBook: Send + Sync + 'static {
    /// What this peer may do now; `None` = unknown here.
    fn standing(&self, peer: &NodeId) -> Option<Standing>;

    /// Who brought this peer; `None` = unknown here.
    fn sponsor(&self, peer: &NodeId) -> Option<Sponsor> {
        let standing = self.standing(peer)?;
        Some(standing.owner.map_or(Sponsor::Peer(*peer), Sponsor::Owner))
    }

    /// Whether the peer has this role, beside others: roles add up.
    fn has_role(&self, peer: &NodeId, role: Role) -> bool {
        self.standing(peer)
            .is_some_and(|standing| standing.role == role)
    }

    /// Whether [`PeerBook::bind`] would refuse. Changes nothing.
    ///
    /// # Errors
    /// If the peer is no friend, or one of another owner, or the recovery key can be nobody's.
    fn may_bind(&self, _peer: &NodeId, _binding: &Binding) -> Result<(), Failure> {
        Ok(())
    }

    /// A friend presented a valid certificate: bind it to that owner (no effect if bound already)
    /// and admit the owner's recovery key to the network.
    ///
    /// # Errors
    /// If the change could not be made durable.
    fn bind(&self, peer: &NodeId, binding: &Binding) -> Result<(), Failure>;

    /// A device says where a node can be dialled; `own`: it is the node itself. `told_over` is how
    /// the device is connected: addresses that reach less far than that are of no use here. Hints
    /// only, and the caller has checked that the owner listed the node.
    ///
    /// # Errors
    /// If the change could not be made durable.
    fn learn_addrs(
        &self,
        _node: &NodeId,
        _addrs: &[String],
        _own: bool,
        _told_over: Reach,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// An order came in: who may copy from here, and whom this node copies from, may have changed.
    fn orders_changed(&self) {}
}

/// What a host said at `RemoteOpen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteInfo {
    /// The host.
    pub host: NodeId,
    /// Its clock, unix seconds.
    pub time: u64,
    /// Its nonce, for the grant.
    pub nonce: Nonce16,
    /// Who this side is there: the reader a grant must name.
    pub reader: NodeId,
}

/// One page of records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordPage {
    /// Whether there are more behind [`RecordPage::last`].
    pub more: bool,
    /// The last record in the body.
    pub last: Option<RecordId>,
    /// Envelopes in the form of `wire::ids::push_record`.
    pub body: Vec<u8>,
}

/// A conversation with a host, to read from it. Dropping it closes the stream.
pub trait Remote: Send {
    /// What the host said.
    fn info(&self) -> RemoteInfo;

    /// Presents a grant.
    fn grant(&mut self, envelope: Bytes) -> BoxFuture<'_, Result<(), Failure>>;

    /// Fetches records, starting behind `after`.
    fn records(&mut self, after: Option<RecordId>) -> BoxFuture<'_, Result<RecordPage, Failure>>;

    /// Fetches objects in the order of `ids` and sends each to `out` as it arrives, `None` = not
    /// there. The address of every object has been verified. Ends early if `out` is closed.
    fn get(
        &mut self,
        ids: Vec<ObjectId>,
        out: mpsc::Sender<(ObjectId, Option<Vec<u8>>)>,
    ) -> BoxFuture<'_, Result<(), Failure>>;
}

/// The network as the local API needs it.
pub trait Network: Send + Sync + 'static {
    /// Addresses this node listens on, with `/p2p/`.
    fn listen_addrs(&self) -> Vec<String>;

    /// Makes an invite; returns its text.
    fn invite(
        &self,
        quota: u64,
        expires_s: u64,
        name: String,
    ) -> BoxFuture<'_, Result<String, Failure>>;

    /// Makes an invite with a quota that nobody asked for: a friend who takes it up keeps the one it has.
    fn invite_as_usual(
        &self,
        usual: u64,
        expires_s: u64,
        name: String,
    ) -> BoxFuture<'_, Result<String, Failure>>;

    /// Accepts an invite.
    fn accept(
        &self,
        token: String,
        quota: u64,
        name: String,
    ) -> BoxFuture<'_, Result<PeerInfo, Failure>>;

    /// Accepts an invite, with a quota in return that nobody asked for: a friend keeps the one it has.
    fn accept_as_usual(
        &self,
        token: String,
        usual: u64,
        name: String,
    ) -> BoxFuture<'_, Result<PeerInfo, Failure>>;

    /// All known peers. [`PeerInfo::used_given`] is filled in by the caller.
    fn peers(&self) -> Vec<PeerInfo>;

    /// Ends a friendship. Returns whether the other node knows.
    fn remove_peer(&self, node: NodeId) -> BoxFuture<'_, Result<bool, Failure>>;

    /// Says where a friend can be dialled: these are tried first from now on.
    ///
    /// # Errors
    /// Not a friend, not an address, or the disk failed.
    fn set_addrs(&self, node: NodeId, addrs: Vec<String>) -> Result<PeerInfo, Failure>;

    /// What this node calls itself to friends from now on.
    fn set_name(&self, name: &str);

    /// Connects to a host to read from it: by multiaddress or by the id of a known peer. With a
    /// recovery seed a connection of its own is made under that key.
    fn remote_open(
        &self,
        addr: String,
        recovery_seed: Option<SecretBytes>,
    ) -> BoxFuture<'_, Result<Box<dyn Remote>, Failure>>;

    /// A snapshot or order was added: carry it to the hosts. Returns at once.
    fn wake_replication(&self);

    /// Where this snapshot of our own is, host by host.
    fn copies(&self, snap: &SnapshotId) -> Vec<HostCopy>;

    /// Friends that have taken this order from this node since it started, sorted.
    fn told_of(&self, order: &RecordId) -> Vec<NodeId>;

    /// Changes whenever an answer of [`Network::copies`] may have changed.
    fn copies_changed(&self) -> watch::Receiver<u64>;

    /// Closes all connections; returns when that is done.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
