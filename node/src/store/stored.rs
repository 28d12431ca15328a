//! Values of the tables. Each begins with a version byte; a value this version does not know is an
//! error that names the key's kind, never a default.

use packnback_proto::format::header::{Header, Kind};
use packnback_proto::ids::{ID_LEN, NodeId, ObjectId, OwnerId, RecordId, SnapshotId};
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
    /// Collection epoch in which it was last put or confirmed.
    pub touch: u64,
    /// The device that put it first.
    pub device: NodeId,
}

const COMPLETE: u8 = 1;
const DAMAGED: u8 = 2;
const META_LEN: usize = 1 + 3 + 4 + 8 + ID_LEN;

impl ObjectMeta {
    pub(super) fn new(header: &Header, size: u32, device: NodeId) -> Self {
        let (kind, height) = (header.kind, header.height);
        Self {
            kind,
            height,
            complete: height == 0,
            damaged: false,
            size,
            touch: 0,
            device,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let complete = if self.complete { COMPLETE } else { 0 };
        let damaged = if self.damaged { DAMAGED } else { 0 };
        let mut out = vec![VERSION, self.kind.byte(), self.height, complete | damaged];
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.touch.to_le_bytes());
        out.extend_from_slice(&self.device.0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let wrong = StoreError::Stored("object row");
        let bytes: &[u8; META_LEN] = bytes.try_into().map_err(|_| wrong.clone())?;
        let [version, kind, height, flags, rest @ ..] = bytes;
        let (size, rest) = rest.split_first_chunk::<4>().ok_or(wrong.clone())?;
        let (touch, device) = rest.split_first_chunk::<8>().ok_or(wrong.clone())?;
        if *version != VERSION || flags & !(COMPLETE | DAMAGED) != 0 {
            return Err(wrong);
        }
        Ok(Self {
            kind: Kind::from_byte(*kind).ok_or(wrong.clone())?,
            height: *height,
            complete: flags & COMPLETE != 0,
            damaged: flags & DAMAGED != 0,
            size: u32::from_le_bytes(*size),
            touch: u64::from_le_bytes(*touch),
            device: NodeId::from_slice(device).map_err(|_| wrong)?,
        })
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
    /// Objects reachable from it.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Our receipt.
    pub receipt: RecordId,
    /// Its place in our log for this owner.
    pub log_seq: u64,
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

/// An order received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Its record.
    pub id: RecordId,
    /// When it came, by our clock.
    pub received: u64,
    /// Whether it has taken effect (or is not for this host).
    pub done: bool,
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
