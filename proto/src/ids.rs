//! Identifiers: one newtype per kind, so that mixing them does not compile.
//!
//! All are 32 bytes, but for the 16 of a backup set, and shown as lower-case hex. `Debug` shows the
//! first eight digits.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text was not the hex form of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {} hex digits ({} for a backup set)", ID_LEN * 2, SET_ID_LEN * 2)]
pub struct IdParseError;

/// A byte string had the wrong length for an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0} bytes are too many or too few")]
pub struct IdLengthError(pub usize);

/// Length in bytes of every identifier but that of a backup set.
pub const ID_LEN: usize = 32;
/// Length in bytes of a [`SetId`].
pub const SET_ID_LEN: usize = 16;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a byte string, which must have exactly the length of this id.
            ///
            /// # Errors
            /// [`IdLengthError`] for any other length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, IdLengthError> {
                bytes.try_into().map(Self).map_err(|_| IdLengthError(bytes.len()))
            }

            /// The first eight hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                let mut hex = data_encoding::HEXLOWER.encode(&self.0);
                hex.truncate(8);
                hex
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({}..)"), self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;
            fn from_str(s: &str) -> Result<Self, IdParseError> {
                decode_hex(s).map(Self)
            }
        }

        impl From<[u8; $len]> for $name {
            fn from(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    s.collect_str(self)
                } else {
                    s.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    d.deserialize_str(IdVisitor::<$len>).map(Self)
                } else {
                    d.deserialize_bytes(IdVisitor::<$len>).map(Self)
                }
            }
        }
    };
}

fn decode_hex<const LEN: usize>(text: &str) -> Result<[u8; LEN], IdParseError> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| IdParseError)?;
    bytes.try_into().map_err(|_| IdParseError)
}

struct IdVisitor<const LEN: usize>;

impl<const LEN: usize> Visitor<'_> for IdVisitor<LEN> {
    type Value = [u8; LEN];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of {LEN} bytes")
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        v.try_into().map_err(|_| E::invalid_length(v.len(), &self))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        decode_hex(v).map_err(E::custom)
    }
}

id_type! {
    /// Address of a stored object: BLAKE3 of all its bytes (docs/format.md, "Objects").
    ObjectId, ID_LEN
}
id_type! {
    /// Id of a signed record: see [`crate::record::record_id`].
    RecordId, ID_LEN
}
id_type! {
    /// The owner's Ed25519 public key.
    OwnerId, ID_LEN
}
id_type! {
    /// A node's Ed25519 public key: its libp2p identity. The same key signs snapshots when the
    /// node acts as a device, and receipts when it acts as a host.
    NodeId, ID_LEN
}
id_type! {
    /// A backup set of an owner: snapshots of one device that follow each other. Blind: whoever lacks
    /// the owner's key for it sees which snapshots belong together and nothing else (see
    /// [`crate::crypto::keys::set_id`]).
    SetId, SET_ID_LEN
}

/// Id of a snapshot: the record id of its `snap` record.
pub type SnapshotId = RecordId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_bad_input() {
        let id = ObjectId([0xab; 32]);
        assert_eq!(id.to_string().parse::<ObjectId>(), Ok(id));
        assert_eq!("ab".parse::<ObjectId>(), Err(IdParseError));
        assert_eq!(ObjectId::from_slice(&[0; 31]), Err(IdLengthError(31)));
        assert_eq!(format!("{id:?}"), "ObjectId(abababab..)");
        let set = SetId([0x01; 16]);
        assert_eq!(set.to_string().parse::<SetId>(), Ok(set));
        assert_eq!(id.to_string().parse::<SetId>(), Err(IdParseError));
    }
}
