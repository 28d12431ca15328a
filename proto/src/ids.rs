//! Identifiers: one newtype per kind, so that mixing them does not compile.
//!
//! All are 32 bytes and shown as lower-case hex. `Debug` shows the first eight digits.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text was not the hex form of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {} hex digits", ID_LEN * 2)]
pub struct IdParseError;

/// A byte string had the wrong length for an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {ID_LEN} bytes, got {0}")]
pub struct IdLengthError(pub usize);

/// Length in bytes of every identifier.
pub const ID_LEN: usize = 32;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; ID_LEN]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
                &self.0
            }

            /// From a byte string, which must be exactly [`ID_LEN`] long.
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
                let bytes = data_encoding::HEXLOWER_PERMISSIVE
                    .decode(s.as_bytes())
                    .map_err(|_| IdParseError)?;
                Self::from_slice(&bytes).map_err(|_| IdParseError)
            }
        }

        impl From<[u8; ID_LEN]> for $name {
            fn from(bytes: [u8; ID_LEN]) -> Self {
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
                    d.deserialize_str(IdVisitor).map(Self)
                } else {
                    d.deserialize_bytes(IdVisitor).map(Self)
                }
            }
        }
    };
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = [u8; ID_LEN];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of {ID_LEN} bytes")
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        v.try_into().map_err(|_| E::invalid_length(v.len(), &self))
    }

    fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
        ObjectId::from_str(v).map(|id| id.0).map_err(E::custom)
    }
}

id_type! {
    /// Address of a stored object: BLAKE3 of all its bytes (docs/format.md, "Objects").
    ObjectId
}
id_type! {
    /// Id of a signed record: see [`crate::record::record_id`].
    RecordId
}
id_type! {
    /// The owner's Ed25519 public key.
    OwnerId
}
id_type! {
    /// A node's Ed25519 public key: its libp2p identity. The same key signs snapshots when the
    /// node acts as a device, and receipts when it acts as a host.
    NodeId
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
    }
}
