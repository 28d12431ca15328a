//! Values of the tables. Each begins with a version byte; a value this version does not know is an
//! error that names the key's kind, never a default.

use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::{ID_LEN, NodeId, ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::policy::{Day, Frozen};
use packnback_proto::wire::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::StoreError;

const VERSION: u8 = 1;

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its kind.
    pub kind: Kind,
    /// Its height.
    pub height: u8,
    /// Whether everything below it is known to be here.
    pub complete: bool,
    /// Whether its stored bytes were found damaged: it counts as missing until put again.
    pub damaged: bool,
    /// Its length in bytes.
    pub size: u32,
    /// How many need it: complete nodes that name it, and snapshots whose root it is. At
    /// [`u32::MAX`] it is not counted any more and stays for good.
    pub refs: u32,
    /// While nobody needs it: unix seconds from which it may be freed. Zero while somebody does.
    pub due: u64,
    /// The lot its bytes were written with: `lots.rs`.
    pub lot: u64,
    /// The device that put it first.
    pub device: NodeId,
    /// Of a complete node: what is below it.
    pub below: Below,
}

/// What is below a complete node, each object as often as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Below {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

const COMPLETE: u8 = 1;
const DAMAGED: u8 = 2;
const META_LEN: usize = 1 + 3 + 4 + 4 + 8 + 8 + ID_LEN;
/// Of a node.
const BELOW_LEN: usize = 8 + 8;
/// Version of the object rows: 1 had no counts, 2 not what is below a node.
const META_VERSION: u8 = 3;

impl ObjectMeta {
    pub(super) fn new(header: &Header, size: u32, device: NodeId) -> Self {
        let (kind, height) = (header.kind, header.height);
        Self {
            kind,
            height,
            complete: height == 0,
            damaged: false,
            size,
            refs: 0,
            due: 0,
            lot: 0,
            device,
            below: Below::default(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let complete = if self.complete { COMPLETE } else { 0 };
        let damaged = if self.damaged { DAMAGED } else { 0 };
        let mut out = vec![
            META_VERSION,
            self.kind.byte(),
            self.height,
            complete | damaged,
        ];
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.refs.to_le_bytes());
        out.extend_from_slice(&self.due.to_le_bytes());
        out.extend_from_slice(&self.lot.to_le_bytes());
        out.extend_from_slice(&self.device.0);
        if self.height > 0 {
            out.extend_from_slice(&self.below.objects.to_le_bytes());
            out.extend_from_slice(&self.below.bytes.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let wrong = StoreError::Stored("object row");
        let (row, below) = bytes.split_first_chunk::<META_LEN>().ok_or(wrong.clone())?;
        let [version, kind, height, flags, rest @ ..] = row;
        let below = Below::decode(*height, below).ok_or(wrong.clone())?;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or(wrong.clone())?;
        let (refs, rest) = rest.split_first_chunk::<4>().ok_or(wrong.clone())?;
        let (due, rest) = rest.split_first_chunk::<8>().ok_or(wrong.clone())?;
        let (lot, device) = rest.split_first_chunk::<8>().ok_or(wrong.clone())?;
        if *version != META_VERSION || flags & !(COMPLETE | DAMAGED) != 0 {
            return Err(wrong);
        }
        Ok(Self {
            kind: Kind::from_byte(*kind).ok_or(wrong.clone())?,
            height: *height,
            complete: flags & COMPLETE != 0,
            damaged: flags & DAMAGED != 0,
            size: u32::from_le_bytes(*size),
            refs: u32::from_le_bytes(*refs),
            due: u64::from_le_bytes(*due),
            lot: u64::from_le_bytes(*lot),
            device: NodeId::from_slice(device).map_err(|_| wrong)?,
            below,
        })
    }
}

impl Below {
    fn decode(height: u8, bytes: &[u8]) -> Option<Self> {
        if height == 0 {
            return bytes.is_empty().then(Self::default);
        }
        let bytes: &[u8; BELOW_LEN] = bytes.try_into().ok()?;
        let (objects, bytes) = bytes.split_first_chunk::<8>()?;
        Some(Self {
            objects: u64::from_le_bytes(*objects),
            bytes: u64::from_le_bytes(bytes.try_into().ok()?),
        })
    }

    /// With one more object below, and what is below that.
    #[must_use]
    pub(super) fn and(self, child: &ObjectMeta) -> Self {
        let objects = child.below.objects.saturating_add(1);
        let bytes = child.below.bytes.saturating_add(child.size.into());
        Self {
            objects: self.objects.saturating_add(objects),
            bytes: self.bytes.saturating_add(bytes),
        }
    }
}

/// An accepted snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapRow {
    /// Its device.
    pub device: NodeId,
    /// Sequence number given by the device.
    pub seq: u64,
    /// When the backup started, by the device's clock.
    pub time: u64,
    /// When it was accepted, by our clock.
    pub received: u64,
    /// Its root object.
    pub root: ObjectId,
    /// The backup set it belongs to.
    pub set: SetId,
    /// Objects reachable from it, each as often as it is named.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Our receipt.
    pub receipt: RecordId,
    /// Its place in our log for this owner.
    pub log_seq: u64,
    /// The device's snapshot before it.
    pub prev: Option<SnapshotId>,
    /// The time retention goes by: when it was received here, or for a copy from another host the
    /// earliest receipt of a host the owner lists.
    pub kept_from: u64,
    /// Whether it was copied from another host.
    pub imported: bool,
}

/// Last entry of the log kept for an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Its number.
    pub seq: u64,
    /// Record id of the entry.
    pub id: RecordId,
}

/// What is stored for an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Snapshots.
    pub snaps: u64,
}

/// The newest certificate of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertRow {
    /// Its serial number.
    pub serial: u64,
    /// Its record.
    pub id: RecordId,
}

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStand {
    /// For other hosts: kept and carried.
    NotForUs,
    /// In its grace until then.
    Waiting(u64),
    /// Carried out.
    Done,
    /// Taken back in time.
    Cancelled,
    /// Against a rule: no effect.
    Refused,
}

/// An order received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Its record.
    pub id: RecordId,
    /// When it came, by our clock.
    pub received: u64,
    /// Where it stands.
    pub stand: OrderStand,
    /// Snapshots it marked here.
    pub snaps: u64,
    /// Why it was refused, or what it did.
    pub note: String,
}

/// A snapshot marked to go, by one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRow {
    /// Since when.
    pub since: u64,
    /// When it goes.
    pub due: u64,
    /// The order; `None` = the policy.
    pub order: Option<RecordId>,
}

/// A snapshot that has ended here and is not taken in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    /// When.
    pub at: u64,
    /// The order that ended it, or the policy order under which it went; `None`: the administrator of
    /// this host.
    pub order: Option<RecordId>,
}

/// An order that takes deletions back, while one of them may still wait somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelRow {
    /// Its record.
    pub id: RecordId,
    /// Until when devices are told of it, by our clock.
    pub until: u64,
}

/// What an order makes go that names a range of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeRow {
    /// Received at or after.
    pub from: u64,
    /// Received before.
    pub to: u64,
}

/// A snapshot of this device that has ended at a host: it is not brought there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElsewhereRow {
    /// When this node learnt of it.
    pub at: u64,
    /// Whether the owner's order or policy that ended it speaks to this node as well: then no other
    /// host is to get the snapshot either.
    pub everywhere: bool,
}

/// Whether a snapshot is held, by the newest order about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Held, or no more.
    pub held: bool,
    /// When that order was signed: older ones do not change it.
    pub issued: u64,
}

/// The policy in force, of one device or of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// Its sequence number.
    pub pseq: u64,
    /// Nothing younger expires, days.
    pub min_age_d: u64,
    /// Periods kept.
    pub keep: [u64; 5],
    /// Newest snapshots kept.
    pub keep_last: u64,
    /// Grace, days.
    pub grace_d: u64,
    /// The order.
    pub order: RecordId,
}

/// What retention remembers of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceState {
    /// How many of its snapshots were marked today.
    pub day: Day,
    /// Why nothing of it expires until the owner looks.
    pub freezes: Vec<Frozen>,
}

/// What an administrator decided about an owner, and when the owner was last here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AdminRow {
    /// Most bytes stored for all devices together.
    pub quota: Option<u64>,
    /// The end of hosting.
    pub evict: Option<EvictRow>,
    /// When a session was last opened.
    pub last_session: Option<u64>,
}

/// The announced end of hosting an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictRow {
    /// When it was announced.
    pub since: u64,
    /// Writes end.
    pub freeze_at: u64,
    /// Everything goes.
    pub drop_at: u64,
}

/// The owner's hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsRow {
    /// Sequence number of the order.
    pub hseq: u64,
    /// The hosts.
    pub hosts: Vec<NodeId>,
}

/// This node as a device of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// The owner.
    pub owner: OwnerId,
    /// Certificate envelope.
    pub cert: Bytes,
    /// The newest snapshot made here.
    pub last: Option<LastSnap>,
}

/// The newest snapshot made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSnap {
    /// Its id.
    pub snap: SnapshotId,
    /// Its sequence number.
    pub seq: u64,
    /// Its root object.
    pub root: ObjectId,
}

/// Encodes any of the rows.
pub(super) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    let mut out = vec![VERSION];
    serde_cbor::to_writer(&mut out, row).map_err(|_| StoreError::Stored("row to be written"))?;
    Ok(out)
}

/// Decodes a row; `what` names it in the error.
pub(super) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, row)) => serde_cbor::from_slice(row).map_err(|_| StoreError::Stored(what)),
        _ => Err(StoreError::Stored(what)),
    }
}
