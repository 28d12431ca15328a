//! Hashes by purpose.

use super::{labels, primitives};
use crate::ids::{ObjectId, RecordId};

pub use super::primitives::{blake3, derive_bytes, derive_key, keyed_hash, keyed_hash_parts};

/// Id of a stored object: BLAKE3 of all its bytes.
#[must_use]
pub fn object_id(bytes: &[u8]) -> ObjectId {
    ObjectId(primitives::blake3(bytes))
}

/// Id of a signed record: `DK("record id", type || 0x00 || body)`.
#[must_use]
pub fn record_id(kind: &str, body: &[u8]) -> RecordId {
    let mut id = [0; 32];
    derive_bytes(labels::RECORD_ID, &[kind.as_bytes(), &[0], body], &mut id);
    RecordId(id)
}
