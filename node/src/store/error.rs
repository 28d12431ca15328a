//! What can go wrong in the store, and how it is said.

use packnback_proto::format::header::ObjectError;
use packnback_proto::ids::ObjectId;
use packnback_proto::machine::budget::BudgetRefusal;
use packnback_proto::machine::commit::CommitRefusal;
use packnback_proto::machine::grant::GrantRefusal;
use packnback_proto::machine::replica::{ImportRefusal, ReplicaRefusal};
use packnback_proto::machine::session::OpenRefusal;
use packnback_proto::record::RecordError;
use packnback_proto::wire::ErrorCode;

use super::disk::DiskError;

/// A request to the store was refused or failed. Whatever the reason, nothing that was
/// acknowledged before is touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Free space fell below the reserve: writes are refused before the disk is really full.
    #[error("only {free} bytes are free on the disk, {reserve} are kept in reserve")]
    Reserve {
        /// Free bytes.
        free: u64,
        /// Kept free.
        reserve: u64,
    },
    /// The bytes are not a legal object of this address. The sender's fault.
    #[error("object {} was refused: {error}", id.short())]
    Refused {
        /// The address it was put under.
        id: ObjectId,
        /// Why.
        error: ObjectError,
    },
    /// Stored bytes do not match their address any more, or are gone. This disk's fault.
    #[error("object {id} is damaged on this node")]
    AddressMismatch {
        /// Which one.
        id: ObjectId,
    },
    /// A row of a table cannot be read.
    #[error("the store holds a malformed {0}")]
    Stored(&'static str),
    /// A record does not verify.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A session is refused.
    #[error(transparent)]
    Open(#[from] OpenRefusal),
    /// Quota or budget.
    #[error(transparent)]
    Budget(#[from] BudgetRefusal),
    /// A snapshot is refused.
    #[error(transparent)]
    Commit(#[from] CommitRefusal),
    /// Reading is refused.
    #[error(transparent)]
    Grant(#[from] GrantRefusal),
    /// Another host may not copy.
    #[error(transparent)]
    Replica(#[from] ReplicaRefusal),
    /// A snapshot offered by another host is not taken.
    #[error(transparent)]
    Import(#[from] ImportRefusal),
    /// A record about something that is not here.
    #[error("{0}")]
    Unknown(&'static str),
    /// More of something than is kept.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// Tables of another version of the program.
    #[error("the store is of version {0}, this program needs version 4")]
    OtherVersion(u64),
    /// As much is being found out for this owner, or in all, as may be at a time.
    #[error("this node is busy with other questions of this owner: ask again")]
    Busy,
    /// An earlier write of this session failed: it takes no more.
    #[error("an earlier write of this session failed")]
    Poisoned,
}

impl StoreError {
    /// Kind of the error on the wire.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Disk(DiskError::Full) | Self::Reserve { .. } => ErrorCode::DiskFull,
            Self::Disk(DiskError::Corrupt(_)) | Self::Stored(_) => ErrorCode::Damaged,
            Self::Disk(_) | Self::OtherVersion(_) | Self::Poisoned => ErrorCode::Internal,
            Self::Refused { .. } => ErrorCode::Object,
            Self::AddressMismatch { .. } => ErrorCode::Damaged,
            Self::Record(_) => ErrorCode::Record,
            Self::Open(refusal) => refusal.code(),
            Self::Budget(refusal) => refusal.code(),
            Self::Commit(refusal) => refusal.code(),
            Self::Grant(refusal) => refusal.code(),
            Self::Replica(refusal) => refusal.code(),
            Self::Import(refusal) => refusal.code(),
            Self::Unknown(_) => ErrorCode::NotFound,
            Self::TooMany(_) => ErrorCode::Quota,
            Self::Busy => ErrorCode::Busy,
        }
    }

    /// The object it is about.
    #[must_use]
    pub const fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Refused { id, .. } | Self::AddressMismatch { id } => Some(*id),
            _ => None,
        }
    }
}
