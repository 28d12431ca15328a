//! Signed records (docs/format.md, "Records").
//!
//! A record is `[type, body, signer, signature]`. The signature and the record id cover the bytes
//! of the body as received; nothing is ever encoded again to check it. A [`Signed`] value cannot
//! be had without its signature having been verified, its body decoded strictly, and its signer
//! found to be the one the record names: the owner of a certificate, order or grant, the device of
//! a snapshot, the host of a receipt.

mod codec;
mod envelope;
mod label;
mod types;
mod validate;

pub use codec::{Body, decode_body, encode_body};
pub use envelope::{
    Envelope, Record, Signed, decode, decode_cert, decode_grant, decode_order, decode_receipt,
    decode_record, decode_snap, parse_envelope, record_id, sign,
};
pub use label::{SEALED_LABEL_LEN, open_label, seal_label};
pub use types::*;
pub use validate::check_order;

use crate::cbor::CborError;
use crate::crypto::CryptoError;

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Cert`].
    Cert,
    /// [`Snap`].
    Snap,
    /// [`Receipt`].
    Receipt,
    /// [`Order`].
    Order,
    /// [`Grant`].
    Grant,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Cert,
        Self::Snap,
        Self::Receipt,
        Self::Order,
        Self::Grant,
    ];

    /// The type string in the envelope and under the signature.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cert => "cert",
            Self::Snap => "snap",
            Self::Receipt => "receipt",
            Self::Order => "order",
            Self::Grant => "grant",
        }
    }

    /// The kind with this type string.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a record was refused. The sender is at fault; the same bytes will never be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the strict CBOR of a record.
    #[error("malformed record: {0}")]
    Cbor(#[from] CborError),
    /// A type string this version does not know.
    #[error("unknown type of record")]
    UnknownType,
    /// A record of another type than asked for.
    #[error("expected a {expected} record, got {got}")]
    WrongType {
        /// The type asked for.
        expected: &'static str,
        /// The type found.
        got: &'static str,
    },
    /// The signer is not a valid Ed25519 key of full order in canonical form.
    #[error("the signer of the record is not a valid key")]
    BadKey,
    /// The signature does not verify.
    #[error("the signature of the record is wrong")]
    BadSignature,
    /// Signed by somebody else than the record names.
    #[error("the record is not signed by who has to sign it")]
    WrongSigner,
    /// A snapshot of another format version.
    #[error("snapshot of format {0}, this version reads format 1")]
    UnknownFormat(u64),
    /// An order with an operation this version does not know.
    #[error("order with unknown operation {0}")]
    UnknownOp(u64),
    /// An operation that has to name its hosts does not.
    #[error("this order has to name the hosts it is for")]
    AudienceRequired,
    /// Too many or too few items, or text too long, in the named field.
    #[error("{0}: too many, too few, or too long")]
    Limit(&'static str),
    /// A list that is not strictly ascending.
    #[error("{0}: not sorted or not unique")]
    Order(&'static str),
    /// A value that makes no sense in the named field.
    #[error("{0}: not valid")]
    Invalid(&'static str),
    /// A sealed label that does not open under this key.
    #[error("the device label does not open: {0}")]
    Label(CryptoError),
}

impl RecordError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Cbor(e) => e.class(),
            Self::UnknownType => "unknown-type",
            Self::WrongType { .. } => "wrong-type",
            Self::BadKey => "bad-key",
            Self::BadSignature => "bad-signature",
            Self::WrongSigner => "wrong-signer",
            Self::UnknownFormat(_) => "unknown-format",
            Self::UnknownOp(_) => "unknown-op",
            Self::AudienceRequired => "audience-required",
            Self::Limit(_) => "limit",
            Self::Order(_) => "list-order",
            Self::Invalid(_) => "invalid",
            Self::Label(_) => "label",
        }
    }
}
