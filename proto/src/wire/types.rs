//! Small types shared by all messages.

use std::fmt;
use std::ops::Deref;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// A byte string (a plain `Vec<u8>` would be encoded as a list of numbers).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_bytes(BytesVisitor).map(Self)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
        Ok(v.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, v: Vec<u8>) -> Result<Self::Value, E> {
        Ok(v)
    }
}

fn fixed<'de, const N: usize, D: Deserializer<'de>>(d: D) -> Result<[u8; N], D::Error> {
    let mut bytes = d.deserialize_bytes(BytesVisitor)?;
    let fixed = <[u8; N]>::try_from(bytes.as_slice())
        .map_err(|_| de::Error::invalid_length(bytes.len(), &BytesVisitor));
    bytes.zeroize();
    fixed
}

/// A nonce given by a host: binds a grant or an invite claim to one conversation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce16(pub [u8; 16]);

impl fmt::Debug for Nonce16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce16({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl Serialize for Nonce16 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nonce16 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        fixed(d).map(Self)
    }
}

/// 32 secret bytes on their way over the local socket. Erased when dropped, never printed.
pub struct SecretBytes(Box<[u8; 32]>);

impl SecretBytes {
    /// Wraps the bytes, and wipes the array they came in; other copies are the caller's to wipe.
    #[must_use]
    pub fn new(mut bytes: [u8; 32]) -> Self {
        let boxed = Box::new(bytes);
        bytes.zeroize();
        Self(boxed)
    }

    /// A copy of bytes that stay where they are, made in place.
    #[must_use]
    pub fn copy_of(bytes: &[u8; 32]) -> Self {
        let mut boxed = Box::new([0; 32]);
        boxed.copy_from_slice(bytes);
        Self(boxed)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

impl Serialize for SecretBytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0.as_slice())
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        fixed(d).map(Self::new)
    }
}

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $other:ident, { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A value of a newer version.
            $other,
        }

        impl $name {
            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::$other => "unknown",
                }
            }

            /// From the name on the wire; a name this version does not know is a value too.
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($text => Self::$variant,)*
                    _ => Self::$other,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                struct NameVisitor;
                impl Visitor<'_> for NameVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_str<E: de::Error>(self, v: &str) -> Result<$name, E> {
                        Ok($name::from_name(v))
                    }
                }
                d.deserialize_str(NameVisitor)
            }
        }
    };
}

pub(crate) use text_enum;

text_enum! {
    /// What another node may do here. A connection alone gives no rights: every stream asks.
    Role, Unknown, {
        /// Stores for us and we store for it.
        Friend = "friend",
        /// Helps to connect, stores nothing.
        Infra = "infra",
        /// Holds a one-time invite key: may only claim the invite.
        Guest = "guest",
        /// Recovery key of an owner served here: may only present a grant and read under it.
        Recovery = "recovery",
        /// Another host of an owner served here: may copy that owner's data.
        Replica = "replica",
        /// A friend once: may only be told that the friendship has ended.
        Former = "former",
    }
}

text_enum! {
    /// Why something was refused or failed.
    ErrorCode, Unknown, {
        /// The message broke the protocol: the sender's fault, do not repeat.
        Protocol = "protocol",
        /// Protocol or API version not spoken here.
        Version = "version",
        /// The request needs an open session, a grant or an owner first.
        NotOpen = "not-open",
        /// This peer or user may not do this.
        Denied = "denied",
        /// The certificate was refused.
        Certificate = "certificate",
        /// The snapshot, receipt, order or grant was refused.
        Record = "record",
        /// The object was refused: wrong address or wrong structure.
        Object = "object",
        /// The quota of the device or of the friend is used up.
        Quota = "quota",
        /// The budget of the day is used up: try again tomorrow.
        DayBudget = "day-budget",
        /// The disk of the node is full or nearly so.
        DiskFull = "disk-full",
        /// Stored bytes no longer match their address.
        Damaged = "damaged",
        /// The node belongs to another owner.
        OtherOwner = "other-owner",
        /// There is no such thing here.
        NotFound = "not-found",
        /// The other node cannot be reached.
        Unreachable = "unreachable",
        /// The invite is wrong, used or too old.
        Invite = "invite",
        /// Too much at once: try again.
        Busy = "busy",
        /// The node failed inside; its log says more.
        Internal = "internal",
    }
}
