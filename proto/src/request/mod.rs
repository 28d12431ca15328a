//! Order requests: what a machine without the owner's key asks the owner to sign, and all that is
//! needed to judge it without a network (docs/format.md, "Order requests").
//!
//! The maker of a request is not trusted. [`verify()`] believes what is signed (snapshots by their
//! devices, certificates and orders by the owner, receipts by their hosts) and makes a [`Plan`] of
//! it: what goes, and what remains.

mod codec;
mod plan;
mod text;
mod verify;

#[cfg(test)]
mod tests;

pub use codec::{decode, encode};
pub use plan::{DevicePlan, Fate, Plan, SnapPlan, TakenBack};
pub use text::{OrderTextError, order_from_text, order_to_text};
pub use verify::verify;

pub use crate::machine::orders::can_be_taken_back;

use crate::cbor::CborError;
use crate::ids::{NodeId, OwnerId, SnapshotId};
use crate::record::{Op, Order, RecordError};

/// What somebody wants signed: an order without its id and date, which the signer adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The hosts it is for; `None` = any.
    pub audience: Option<Vec<NodeId>>,
    /// What to do.
    pub op: Op,
    /// Not to be carried out before, unix seconds.
    pub not_before: Option<u64>,
}

impl Wanted {
    /// An operation for any host, as soon as its grace is over.
    #[must_use]
    pub fn any_host(op: Op) -> Self {
        Self {
            audience: None,
            op,
            not_before: None,
        }
    }

    /// The order this becomes, signed at `issued` (unix seconds) under the random id `oid`.
    #[must_use]
    pub fn order(&self, owner: OwnerId, oid: [u8; 16], issued: u64) -> Order {
        Order {
            owner,
            oid,
            issued,
            audience: self.audience.clone(),
            op: self.op.clone(),
            not_before: self.not_before,
        }
    }
}

/// A snapshot as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapEvidence {
    /// `snap` envelope.
    pub snap: Vec<u8>,
    /// `receipt` envelopes for it.
    pub receipts: Vec<Vec<u8>>,
}

/// A device as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvidence {
    /// The device.
    pub device: NodeId,
    /// `cert` envelopes of it.
    pub certs: Vec<Vec<u8>>,
    /// Sequence number and id of its newest snapshot; several if its line forked.
    pub heads: Vec<(u64, SnapshotId)>,
    /// Its snapshots.
    pub snaps: Vec<SnapEvidence>,
    /// Older snapshots that are not carried: claimed, not proven.
    pub more: u64,
}

/// A request, taken apart; nothing in it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whose key has to sign.
    pub owner: OwnerId,
    /// When it was made, by the clock of its maker.
    pub created: u64,
    /// What is wanted.
    pub wanted: Vec<Wanted>,
    /// `order` envelopes of before that matter here: the list of hosts, deletions under way, what
    /// is to be taken back.
    pub orders: Vec<Vec<u8>>,
    /// The devices concerned, ascending.
    pub devices: Vec<DeviceEvidence>,
}

/// Why a request was refused. Nothing in it is to be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Something else.
    #[error("this is no order request")]
    NotRequest,
    /// Of a later version.
    #[error("the request is of a version this program does not know")]
    UnknownVersion,
    /// Larger than [`crate::limits::REQUEST_MAX`].
    #[error("the request is too large")]
    TooLarge,
    /// Its bytes are not those written.
    #[error("the request is damaged: its checksum is wrong")]
    Checksum,
    /// Not the CBOR of a request.
    #[error("malformed request: {0}")]
    Cbor(#[from] CborError),
    /// Too many or too few items in the named field.
    #[error("{0}: too many or too few")]
    Limit(&'static str),
    /// The devices are not strictly ascending.
    #[error("the devices of the request are not in order")]
    DeviceOrder,
    /// What is wanted would be refused as an order.
    #[error("what the request wants is no valid order: {0}")]
    Wanted(RecordError),
    /// A record in it does not verify.
    #[error("the request carries a {0} that is not genuine: {1}")]
    Record(&'static str, RecordError),
    /// It is for another owner.
    #[error("the request is for owner {}, the key is that of owner {}", .0.short(), .1.short())]
    OtherOwner(OwnerId, OwnerId),
    /// It carries something of another owner.
    #[error("the request carries a {0} of another owner")]
    ForeignRecord(&'static str),
    /// A record stands under a device it is not of.
    #[error("the request carries a {0} under another device than its own")]
    WrongDevice(&'static str),
    /// The owner never certified the device that signed this snapshot.
    #[error("there is no certificate for the device of snapshot {}", .0.short())]
    NoCert(SnapshotId),
    /// A receipt stands under a snapshot it is not for.
    #[error("a receipt under snapshot {} is for another one", .0.short())]
    WrongReceipt(SnapshotId),
    /// A snapshot is carried twice.
    #[error("snapshot {} is in the request twice", .0.short())]
    Twice(SnapshotId),
    /// The newest snapshots it names are not the newest it shows: something is hidden.
    #[error("the request hides the newest snapshot of device {}, or names a wrong one", .0.short())]
    Heads(NodeId),
    /// It wants something done to a snapshot it does not show.
    #[error("the request does not show snapshot {}, which it is about", .0.short())]
    NotShown(SnapshotId),
    /// It wants something done to a device it does not show.
    #[error("the request does not show device {}, which it is about", .0.short())]
    DeviceNotShown(NodeId),
    /// It wants a range deleted. Nothing a request carries proves that there is nothing else in it.
    #[error("the request wants a range deleted, which may end snapshots that it does not show")]
    Range,
    /// Two of its orders end the same snapshot: one confirmation would cover both.
    #[error("snapshot {} is ended by two orders of the request", .0.short())]
    Overlap(SnapshotId),
    /// It wants an order taken back that it does not show.
    #[error("the request does not show order {}, which it takes back", hex(.0))]
    CancelNotShown([u8; 16]),
    /// It wants an order taken back that does not wait.
    #[error("the request takes back order {}, which is {}: only a deletion that waits can be taken back", hex(.0), .1)]
    CancelKind([u8; 16], &'static str),
    /// It wants everything of the owner deleted, at several hosts by one order or beside something else.
    #[error("deleting everything of an owner is asked for alone, by one order for each host")]
    DropAlone,
}

/// The first digits of an order id.
fn hex(oid: &[u8; 16]) -> String {
    let all = data_encoding::HEXLOWER.encode(oid);
    all.chars().take(8).collect()
}

impl RequestError {
    /// Stable name of the kind of failure.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotRequest => "not-request",
            Self::UnknownVersion => "unknown-version",
            Self::TooLarge => "too-large",
            Self::Checksum => "checksum",
            Self::Cbor(e) => e.class(),
            Self::Limit(_) => "limit",
            Self::DeviceOrder => "list-order",
            Self::Wanted(_) => "wanted",
            Self::Record(_, e) => e.class(),
            Self::OtherOwner(..) => "other-owner",
            Self::ForeignRecord(_) => "foreign-record",
            Self::WrongDevice(_) => "wrong-device",
            Self::NoCert(_) => "no-cert",
            Self::WrongReceipt(_) => "wrong-receipt",
            Self::Twice(_) => "twice",
            Self::Heads(_) => "heads",
            Self::NotShown(_) => "not-shown",
            Self::DeviceNotShown(_) => "device-not-shown",
            Self::Range => "range",
            Self::Overlap(_) => "overlap",
            Self::CancelNotShown(_) => "cancel-not-shown",
            Self::CancelKind(..) => "cancel-kind",
            Self::DropAlone => "drop-alone",
        }
    }
}
