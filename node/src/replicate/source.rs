//! The port to the local store: what replication reads and keeps. All calls may block on the disk.

use packnback_proto::ids::{NodeId, ObjectId, OwnerId, SetId, SnapshotId};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::AlarmKind;

use crate::ports::Failure;
use crate::store::NewAlarm;
use crate::store::stored::ElsewhereRow;

/// A snapshot of this device that is complete here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnSnap {
    /// Its id.
    pub id: SnapshotId,
    /// Its sequence number.
    pub seq: u64,
    /// Its root object.
    pub root: ObjectId,
    /// Its backup set.
    pub set: SetId,
    /// When it started, by the clock of this machine.
    pub time: u64,
    /// The signed record.
    pub envelope: Bytes,
}

/// What stands in the way of bringing a snapshot to a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// It goes, by an order or the policy of the owner: no host that lacks it gets it.
    pub goes: bool,
    /// Hosts that ended it.
    pub ended_at: Vec<NodeId>,
}

/// A stored object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Stored bytes.
    pub len: u64,
    /// 0 for leaves; references always point to smaller heights.
    pub height: u8,
    /// What it refers to; empty for leaves.
    pub refs: Vec<ObjectId>,
}

/// See the module.
pub trait Source: Send + Sync + 'static {
    /// The certificate that makes this node a device (envelope); `None` before it is adopted.
    ///
    /// # Errors
    /// If the disk failed.
    fn cert(&self) -> Result<Option<Bytes>, Failure>;

    /// The owner; `None` before this node is adopted.
    ///
    /// # Errors
    /// If the disk failed.
    fn owner_id(&self) -> Result<Option<OwnerId>, Failure>;

    /// All snapshots of this device that are complete here, oldest first.
    ///
    /// # Errors
    /// If the disk failed.
    fn own_snaps(&self) -> Result<Vec<OwnSnap>, Failure>;

    /// The receipts of other hosts for a snapshot: the host and the envelope.
    ///
    /// # Errors
    /// If the disk failed.
    fn receipts(&self, snap: &SnapshotId) -> Result<Vec<(NodeId, Bytes)>, Failure>;

    /// What stands in the way of bringing a snapshot to a host.
    ///
    /// # Errors
    /// If the disk failed.
    fn fate(&self, snap: &SnapshotId) -> Result<Fate, Failure>;

    /// A host no longer has a snapshot: its receipt does not count any more, durable on return.
    /// `ended`: it ended it, and whether nobody else is to get it either; `None`: it lost it, and
    /// gets it again.
    ///
    /// # Errors
    /// If the disk failed.
    fn withdraw(
        &self,
        snap: &SnapshotId,
        host: &NodeId,
        ended: Option<ElsewhereRow>,
    ) -> Result<(), Failure>;

    /// Keeps a receipt, durable on return. The caller has verified it.
    ///
    /// # Errors
    /// If the disk failed.
    fn add_receipt(&self, envelope: &[u8]) -> Result<(), Failure>;

    /// Owner-signed orders to be carried to the hosts (envelopes).
    ///
    /// # Errors
    /// If the disk failed.
    fn orders(&self) -> Result<Vec<Bytes>, Failure>;

    /// What an object of the own owner refers to; `None` if it is not here. One call costs a key
    /// look-up, not a read of the object.
    ///
    /// # Errors
    /// If the disk failed.
    fn shape(&self, id: &ObjectId) -> Result<Option<Shape>, Failure>;

    /// An object of the own owner, its address verified; `None` if it is not here.
    ///
    /// # Errors
    /// If the disk failed or the object is damaged.
    fn object(&self, id: &ObjectId) -> Result<Option<Vec<u8>>, Failure>;

    /// The owner's hosts by its newest order known here.
    ///
    /// # Errors
    /// If the disk failed.
    fn hosts(&self) -> Result<Vec<NodeId>, Failure>;

    /// Whether a snapshot under this node's key was made by this node.
    ///
    /// # Errors
    /// If the disk failed.
    fn was_made_here(&self, snap: &SnapshotId) -> Result<bool, Failure>;

    /// Keeps an order that a host told, if it is one of the own owner; durable on return. Whether
    /// it was unknown here.
    ///
    /// # Errors
    /// If it does not verify, is another owner's, or the disk failed.
    fn take_order(&self, envelope: &[u8], now: u64) -> Result<bool, Failure>;

    /// Raises an alarm: once, however often it is raised. Whether it is new.
    ///
    /// # Errors
    /// If the disk failed, or too many are raised already.
    fn raise_alarm(&self, alarm: &NewAlarm, now: u64) -> Result<bool, Failure>;

    /// The cause of these alarms is gone.
    ///
    /// # Errors
    /// If the disk failed.
    fn end_alarms(&self, kind: AlarmKind, host: &NodeId) -> Result<(), Failure>;
}
