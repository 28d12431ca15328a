//! The signed envelope: `[type tstr, body bstr, signer bstr32, sig bstr64]`.
//!
//! ```text
//! sig       = Ed25519 over "packnback-sig-v1\0" || type || 0x00 || body, verified strictly
//! record id = DK("record id", type || 0x00 || body)
//! ```

use super::codec::{Body, decode_body, encode_body};
use super::{Cert, Grant, Kind, Order, Receipt, RecordError, Snap};
use crate::cbor::{CborError, Reader, Writer};
use crate::crypto::CryptoError;
use crate::crypto::hash;
use crate::crypto::sign::{SigningKey, verify_strict};
use crate::ids::RecordId;
use crate::limits::RECORD_MAX;

const SIGNATURE_PREFIX: &[u8] = b"packnback-sig-v1\0";

/// An envelope taken apart; nothing in it has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Type of the record.
    pub kind: Kind,
    /// The body as received.
    pub body: &'a [u8],
    /// Ed25519 public key of the signer.
    pub signer: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// Takes an envelope apart, without verifying anything.
///
/// # Errors
/// [`RecordError::Cbor`] or [`RecordError::UnknownType`].
pub fn parse_envelope(bytes: &[u8]) -> Result<Envelope<'_>, RecordError> {
    if bytes.len() > RECORD_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut reader = Reader::new(bytes);
    reader.array_exact(4)?;
    let name = reader.text()?;
    let body = reader.bytes()?;
    let signer = *reader.bytes_exact()?;
    let signature = *reader.bytes_exact()?;
    reader.finish()?;
    let kind = Kind::from_name(name).ok_or(RecordError::UnknownType)?;
    Ok(Envelope {
        kind,
        body,
        signer,
        signature,
    })
}

fn signed_message(kind: Kind, body: &[u8]) -> Vec<u8> {
    [SIGNATURE_PREFIX, kind.name().as_bytes(), &[0], body].concat()
}

/// Id of a record: `DK("record id", type || 0x00 || body)`.
#[must_use]
pub fn record_id(kind: Kind, body: &[u8]) -> RecordId {
    hash::record_id(kind.name(), body)
}

/// Signs a body as it is and returns the envelope. Use [`Signed::sign`] where the value is at hand:
/// it refuses to sign what [`decode`] would refuse.
#[must_use]
pub fn sign(kind: Kind, body: &[u8], key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&signed_message(kind, body));
    let mut writer = Writer::with_capacity(body.len().saturating_add(128));
    writer.array(4);
    writer.text(kind.name());
    writer.bytes(body);
    writer.bytes(&key.public());
    writer.bytes(&signature);
    writer.into_bytes()
}

/// A record whose signature, signer and body have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    id: RecordId,
    signer: [u8; 32],
    value: T,
    envelope: Vec<u8>,
}

impl<T: Body> Signed<T> {
    /// Encodes and signs.
    ///
    /// # Errors
    /// [`RecordError`] if the value breaks a rule of the format, or if `key` is not the one that
    /// has to sign it.
    pub fn sign(value: &T, key: &SigningKey) -> Result<Self, RecordError> {
        decode(&sign(T::KIND, &encode_body(value)?, key))
    }
}

impl<T> Signed<T> {
    /// Id of the record.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id
    }

    /// Public key of the signer: owner, device or host, as the record says.
    #[must_use]
    pub fn signer(&self) -> &[u8; 32] {
        &self.signer
    }

    /// What the record says.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// What the record says.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// The envelope as received.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.envelope
    }
}

/// Decodes and verifies a record of a known type.
///
/// # Errors
/// [`RecordError`], the first problem found.
pub fn decode<T: Body>(bytes: &[u8]) -> Result<Signed<T>, RecordError> {
    let envelope = parse_envelope(bytes)?;
    if envelope.kind != T::KIND {
        let (expected, got) = (T::KIND.name(), envelope.kind.name());
        return Err(RecordError::WrongType { expected, got });
    }
    let message = signed_message(envelope.kind, envelope.body);
    verify_strict(&envelope.signer, &message, &envelope.signature).map_err(|e| match e {
        CryptoError::BadPublicKey => RecordError::BadKey,
        _ => RecordError::BadSignature,
    })?;
    let value: T = decode_body(envelope.body)?;
    if *value.required_signer() != envelope.signer {
        return Err(RecordError::WrongSigner);
    }
    let id = record_id(envelope.kind, envelope.body);
    Ok(Signed {
        id,
        signer: envelope.signer,
        value,
        envelope: bytes.to_vec(),
    })
}

/// [`decode`] for a certificate.
///
/// # Errors
/// As [`decode`].
pub fn decode_cert(bytes: &[u8]) -> Result<Signed<Cert>, RecordError> {
    decode(bytes)
}

/// [`decode`] for a snapshot.
///
/// # Errors
/// As [`decode`].
pub fn decode_snap(bytes: &[u8]) -> Result<Signed<Snap>, RecordError> {
    decode(bytes)
}

/// [`decode`] for a receipt.
///
/// # Errors
/// As [`decode`].
pub fn decode_receipt(bytes: &[u8]) -> Result<Signed<Receipt>, RecordError> {
    decode(bytes)
}

/// [`decode`] for an order.
///
/// # Errors
/// As [`decode`].
pub fn decode_order(bytes: &[u8]) -> Result<Signed<Order>, RecordError> {
    decode(bytes)
}

/// [`decode`] for a grant.
///
/// # Errors
/// As [`decode`].
pub fn decode_grant(bytes: &[u8]) -> Result<Signed<Grant>, RecordError> {
    decode(bytes)
}

/// A verified record of any type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A certificate.
    Cert(Signed<Cert>),
    /// A snapshot.
    Snap(Signed<Snap>),
    /// A receipt.
    Receipt(Signed<Receipt>),
    /// An order.
    Order(Signed<Order>),
    /// A grant.
    Grant(Signed<Grant>),
}

impl Record {
    /// Type of the record.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cert(_) => Kind::Cert,
            Self::Snap(_) => Kind::Snap,
            Self::Receipt(_) => Kind::Receipt,
            Self::Order(_) => Kind::Order,
            Self::Grant(_) => Kind::Grant,
        }
    }

    /// Id of the record.
    #[must_use]
    pub fn id(&self) -> RecordId {
        match self {
            Self::Cert(r) => r.id,
            Self::Snap(r) => r.id,
            Self::Receipt(r) => r.id,
            Self::Order(r) => r.id,
            Self::Grant(r) => r.id,
        }
    }

    /// The envelope as received.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        match self {
            Self::Cert(r) => &r.envelope,
            Self::Snap(r) => &r.envelope,
            Self::Receipt(r) => &r.envelope,
            Self::Order(r) => &r.envelope,
            Self::Grant(r) => &r.envelope,
        }
    }
}

/// Decodes and verifies a record of any type.
///
/// # Errors
/// [`RecordError`], the first problem found.
pub fn decode_record(bytes: &[u8]) -> Result<Record, RecordError> {
    Ok(match parse_envelope(bytes)?.kind {
        Kind::Cert => Record::Cert(decode(bytes)?),
        Kind::Snap => Record::Snap(decode(bytes)?),
        Kind::Receipt => Record::Receipt(decode(bytes)?),
        Kind::Order => Record::Order(decode(bytes)?),
        Kind::Grant => Record::Grant(decode(bytes)?),
    })
}
