//! The network as the local API needs it.

use futures::future::BoxFuture;
use packnback_proto::ids::{NodeId, ObjectId, RecordId, SnapshotId};
use packnback_proto::wire::local::{HostCopy, PeerInfo};
use packnback_proto::wire::{Bytes, Nonce16, SecretBytes};
use tokio::sync::{mpsc, watch};

use super::failure::Failure;

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
pub trait Remote: Send + Sync {
    /// What the host said.
    fn info(&self) -> RemoteInfo;

    /// Presents a grant.
    fn grant(&self, envelope: Bytes) -> BoxFuture<'_, Result<(), Failure>>;

    /// Fetches records, starting behind `after`.
    fn records(&self, after: Option<RecordId>) -> BoxFuture<'_, Result<RecordPage, Failure>>;

    /// Fetches objects in the order of `ids` and sends each to `out` as it arrives, `None` = not
    /// there. The address of every object has been verified. Ends early if `out` is closed.
    /// Several may be under way at once, and other questions beside them; the host is asked in the order in which
    /// they are first polled.
    fn get(
        &self,
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
