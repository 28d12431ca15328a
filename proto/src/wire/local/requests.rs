//! The one table of requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rules::{FAR, LONG, Lane, QUICK, Rule, WORK};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use crate::wire::admin::PolicyInfo;
use crate::wire::{Bytes, SecretBytes};

/// Days until an owner is hosted no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct EvictDays {
    /// Of warning.
    pub warn: u32,
    /// Then without writes.
    pub frozen: u32,
}

impl From<[u32; 2]> for EvictDays {
    fn from([warn, frozen]: [u32; 2]) -> Self {
        Self { warn, frozen }
    }
}

impl From<EvictDays> for [u32; 2] {
    fn from(days: EvictDays) -> Self {
        [days.warn, days.frozen]
    }
}

/// Gives the table of requests to the macro `$then`. A row is
///
/// ```text
/// Name { fields } + body => where.function -> Answer, rule;
/// ```
///
/// `Name` and its fields are what goes over the wire; `+ body` if a body goes with it. `where` says which part of the
/// node has the `function` that does it: `api`, the use cases of the node; `conn`, what belongs to one connection; or
/// `greeting`, what comes before all. The program's function has the same name. `Answer` is an [`Answer`](crate::wire::local::Answer), and the rule
/// ([`Rule`]) may look at the fields.
///
/// Who wants a request adds a row here and a function there: without the function the node does not compile.
#[macro_export]
macro_rules! local_requests {
    ($then:ident) => {
        $then! {
            /// First message, and the only one without a tag.
            Hello {
                /// [`API_VERSION`](crate::wire::local::API_VERSION) of the program.
                api: u32,
            } => greeting.hello -> Hello, Rule::question("who it is", QUICK).greeting();
            /// Makes this node a device of the owner.
            Adopt {
                /// Certificate envelope; its device must be this node.
                cert: Bytes,
            } => api.adopt -> Done, Rule::deed("to take a certificate", QUICK);
            /// Starts a backup session.
            Open => conn.open -> Opened, Rule::deed("to begin a backup", QUICK).in_lane(Lane::Backup);
            /// Which objects are here. Body: ids, at most [`HAVE_IDS_MAX`](crate::limits::HAVE_IDS_MAX).
            Have + ids => conn.have -> Bitmap, Rule::question("which objects it has", WORK);
            /// Stores an object: the body. No reply unless refused.
            Put {
                /// Its address.
                id: ObjectId,
            } + object => conn.put -> Nothing,
                Rule::deed("to take an object", WORK).in_lane(Lane::Backup).or_end();
            /// Answered once everything put before on this connection is durable.
            Sync => conn.sync -> SyncedAnswer,
                Rule::deed("to write all to disk", WORK).in_lane(Lane::Backup).or_end();
            /// Commits a snapshot with this root. The node fills in owner, device, sequence, predecessor
            /// and certificate from its own state, and signs.
            Commit {
                /// The root object.
                root: ObjectId,
                /// The backup set it belongs to.
                set: SetId,
                /// When the backup started, unix seconds.
                time: u64,
            } => conn.commit -> CommitAnswer,
                Rule::deed("to complete the snapshot", WORK).in_lane(Lane::Backup);
            /// Records of an owner, in order of their ids.
            Records {
                /// Whose; `None` = of this node's owner. Ignored if `remote`: the grant says whose.
                owner: Option<OwnerId>,
                /// Start behind this one.
                after: Option<RecordId>,
                /// From the host of the last `RemoteOpen` on this connection.
                remote: bool,
            } => conn.records -> RecordPage, match *remote {
                true => Rule::deed("for records of a friend", FAR).in_lane(Lane::Reading),
                false => Rule::look("for its records", QUICK),
            };
            /// Objects: one reply for each id, in order. Body: ids, at most
            /// [`GET_IDS_MAX`](crate::limits::GET_IDS_MAX).
            Get {
                /// From the host of the last `RemoteOpen` on this connection; else from this node, which
                /// asks nobody.
                remote: bool,
            } + ids => conn.get -> Objects, match *remote {
                true => Rule::deed("for objects of a friend", FAR).in_lane(Lane::Reading),
                false => Rule::question("for objects", QUICK).in_lane(Lane::Objects),
            };
            /// Waits until a snapshot is on `wait_hosts` hosts or the time is up.
            Copies {
                /// Which snapshot.
                snap: SnapshotId,
                /// Enough hosts. Zero: answer at once.
                wait_hosts: u32,
                /// Longest wait. The node answers earlier when something changed, so that progress can be shown.
                timeout_ms: u64,
            } => conn.copies -> Copies,
                Rule::question("who has the snapshot", QUICK.saturating_add(Duration::from_millis(*timeout_ms)));
            /// Connects to a host to read from it.
            RemoteOpen {
                /// Multiaddress with `/p2p/`, or the id of a known peer.
                addr: String,
                /// Connect as the owner's recovery peer, not as this node.
                recovery_seed: Option<SecretBytes>,
            } => conn.remote_open -> RemoteOpened, Rule::deed("to reach a friend", FAR).in_lane(Lane::Reading);
            /// Presents a grant to that host.
            RemoteGrant {
                /// Grant envelope.
                grant: Bytes,
            } => conn.remote_grant -> Done,
                Rule::deed("to show a friend the permission to read", FAR).in_lane(Lane::Reading);
            /// Makes an invite.
            Invite {
                /// Bytes offered to the friend; `None`: as before if it is one already, else the usual.
                quota: Option<u64>,
                /// Lifetime in seconds.
                expires_s: u64,
                /// Name to show for the friend.
                name: String,
            } => api.invite -> Invited, Rule::deed("for an invite", WORK);
            /// Accepts an invite.
            Accept {
                /// The token as text.
                token: String,
                /// Bytes offered in return; `None`: as before if it is a friend already, else the usual.
                quota: Option<u64>,
                /// Name to show for the friend.
                name: String,
            } => api.accept -> PeerAnswer, Rule::deed("to accept an invite", FAR);
            /// All other nodes known.
            Peers => api.peers -> PeersAnswer, Rule::look("whom it knows", WORK);
            /// Ends a friendship. Its stored data stays until an order says otherwise.
            RemovePeer {
                /// Which one.
                node: NodeId,
            } => api.remove_peer -> RemovedAnswer, Rule::deed("to end a friendship", WORK);
            /// Says where a friend can be dialled; these come first from now on.
            PeerAddrs {
                /// Which one.
                node: NodeId,
                /// Multiaddresses, with or without `/p2p/`.
                addrs: Vec<String>,
            } => api.peer_addrs -> PeerAnswer, Rule::deed("to keep an address", WORK);
            /// Changes the settings of this node that are given, for good; answers with all as they are now.
            Configure {
                /// Where to listen from the next start on; empty: as if never said.
                listen: Option<Vec<String>>,
                /// What this node calls itself to friends; empty: as if never said.
                name: Option<String>,
            } => api.configure -> Info<NodeSettings>, Rule::deed("to keep its settings", WORK);
            /// Stores an owner-signed order here and carries it to the hosts.
            Order {
                /// Order envelope.
                envelope: Bytes,
            } => api.order -> Done, Rule::deed("to take an order", WORK);
            /// The node at a glance.
            Status => api.status -> StatusAnswer, Rule::look("for its status", QUICK);
            /// Devices of this node's owner.
            Devices => api.devices -> Info<Vec<DeviceInfo>>, Rule::look("for its devices", WORK);
            /// Orders of this node's owner.
            Orders => api.orders -> Info<Vec<OrderInfo>>, Rule::look("for its orders", WORK);
            /// What retention says of each snapshot here.
            Retention {
                /// Only this device.
                device: Option<NodeId>,
                /// Try this policy out, without freezes and daily caps; `None` = what is in force.
                policy: Option<PolicyInfo>,
                /// Leave out so many of the newest snapshots of each device: a reply lists a limited number
                /// of them, and says how many there are.
                skip: u64,
            } => api.retention_page -> Info<Vec<RetentionInfo>>, Rule::look("what retention says", WORK);
            /// Owners this node stores for.
            HostOwners => api.host_owners -> Info<Vec<HostedOwner>>, Rule::look("whom it stores for", WORK);
            /// Sets the most bytes this host stores for an owner; `None` takes the limit off.
            HostQuota {
                /// Whose.
                owner: OwnerId,
                /// Bytes.
                bytes: Option<u64>,
            } => api.host_quota -> Done, Rule::deed("to keep a limit", WORK);
            /// Announces the end of hosting an owner, or takes it back.
            HostEvict {
                /// Whose.
                owner: OwnerId,
                /// Days of warning, then days without writes; `None` takes it back.
                days: Option<EvictDays>,
            } => api.host_evict -> Info<HostedOwner>, Rule::deed("to end hosting", WORK);
            /// Sizes.
            Stats {
                /// Whose; `None` = this node's owner.
                owner: Option<OwnerId>,
                /// Leave out so many of the newest snapshots, as in `Retention`.
                skip: u64,
            } => api.stats_page -> Info<OwnerStats>, Rule::look("for sizes", WORK);
            /// Carries out what is due and frees space now, instead of at the next regular time.
            Collect => api.collect -> Info<CollectInfo>, Rule::deed("to free space", LONG);
            /// The workers of this node.
            Workers => api.workers -> Info<Vec<WorkerInfo>>, Rule::question("for its workers", QUICK);
            /// A person has seen this alarm.
            Acknowledge {
                /// Its number.
                alarm: u64,
            } => api.acknowledge -> Done, Rule::deed("to note that an alarm was seen", WORK);
            /// Ends the node. After its reply the connection closes.
            Shutdown => conn.shutdown -> Done, Rule::question("to end", QUICK);
        }
    };
}

macro_rules! the_enum {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $( $(#[$field_doc:meta])* $field:ident : $kind:ty, )* })? $(+ $body:ident)?
            => $part:ident . $call:ident -> $answer:ty, $rule:expr;
    )*) => {
        /// Asked by the program.
        #[derive(Debug, Serialize, Deserialize)]
        pub enum LocalRequest {
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $kind, )* })?, )*
        }

        impl LocalRequest {
            /// The names of all requests, as on the wire.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Its name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Self::$name { .. } => stringify!($name), )*
                }
            }

            /// What holds of it.
            #[must_use]
            #[allow(unused_variables)]
            pub fn rule(&self) -> Rule {
                match self {
                    $( Self::$name $({ $($field),* })? => $rule, )*
                }
            }
        }
    };
}

local_requests!(the_enum);
