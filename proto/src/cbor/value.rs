//! `serde_cbor` behind the strict check, and typed access to its values.

use std::collections::BTreeMap;

use serde_cbor::Value;

use super::{Bounds, CborError, check};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId};

/// Decodes one item of deterministic CBOR.
///
/// # Errors
/// [`CborError`] as [`check`] finds it.
pub fn decode_value(bytes: &[u8], bounds: Bounds) -> Result<Value, CborError> {
    check(bytes, bounds)?;
    serde_cbor::from_slice(bytes).map_err(|_| CborError::Malformed)
}

/// Encodes a value. `Value` keeps map keys in the order deterministic CBOR asks for.
///
/// # Errors
/// [`CborError::OutOfRange`] for an integer beyond 64 bits.
pub fn encode_value(value: &Value) -> Result<Vec<u8>, CborError> {
    serde_cbor::to_vec(value).map_err(|_| CborError::OutOfRange)
}

/// A map with small integers as keys; pairs without a value are left out.
#[must_use]
pub fn int_map<const N: usize>(pairs: [(u64, Option<Value>); N]) -> Value {
    let pairs = pairs.into_iter();
    Value::Map(
        pairs
            .filter_map(|(k, v)| Some((k.to_value(), v?)))
            .collect(),
    )
}

/// The pairs of a map with integer keys, taken out one by one; what is left is an error.
#[derive(Debug)]
pub struct Fields(BTreeMap<Value, Value>);

impl Fields {
    /// From a value, which must be a map.
    ///
    /// # Errors
    /// [`CborError::WrongType`].
    pub fn new(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Map(map) => Ok(Self(map)),
            _ => Err(CborError::WrongType),
        }
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// [`CborError::MissingKey`] or what is wrong with the value.
    pub fn get<T: FromValue>(&mut self, key: u64) -> Result<T, CborError> {
        self.optional(key)?.ok_or(CborError::MissingKey(key))
    }

    /// The value of a key that may be left out.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn optional<T: FromValue>(&mut self, key: u64) -> Result<Option<T>, CborError> {
        self.0
            .remove(&key.to_value())
            .map(T::from_value)
            .transpose()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`CborError::UnknownKey`] if a key is left, [`CborError::WrongType`] if it is no number.
    pub fn finish(self) -> Result<(), CborError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(u64::from_value(key).map_or_else(|e| e, CborError::UnknownKey)),
        }
    }
}

/// Types that can be taken from a CBOR value.
pub trait FromValue: Sized {
    /// Takes over the value.
    ///
    /// # Errors
    /// [`CborError::WrongType`] or [`CborError::OutOfRange`].
    fn from_value(value: Value) -> Result<Self, CborError>;
}

/// Types that can be put into a CBOR value.
pub trait ToValue {
    /// The value.
    fn to_value(&self) -> Value;
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, CborError> {
        Ok(value)
    }
}

impl FromValue for u64 {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Integer(i) if i >= 0 => Self::try_from(i).map_err(|_| CborError::OutOfRange),
            _ => Err(CborError::WrongType),
        }
    }
}

impl ToValue for u64 {
    fn to_value(&self) -> Value {
        Value::from(*self)
    }
}

impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self, CborError> {
        Self::try_from(u64::from_value(value)?).map_err(|_| CborError::OutOfRange)
    }
}

impl ToValue for u32 {
    fn to_value(&self) -> Value {
        Value::from(*self)
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Bytes(bytes) => bytes.try_into().map_err(|_| CborError::OutOfRange),
            _ => Err(CborError::WrongType),
        }
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }
}

impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Text(text) => Ok(text),
            _ => Err(CborError::WrongType),
        }
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}

/// A byte string, as opposed to a list of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteString(pub Vec<u8>);

impl FromValue for ByteString {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Bytes(bytes) => Ok(Self(bytes)),
            _ => Err(CborError::WrongType),
        }
    }
}

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Array(items) => items.into_iter().map(T::from_value).collect(),
            _ => Err(CborError::WrongType),
        }
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        Value::Array(self.iter().map(ToValue::to_value).collect())
    }
}

/// `null` or a value.
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, CborError> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

macro_rules! id_values {
    ($($id:ident),*) => {$(
        impl FromValue for $id {
            fn from_value(value: Value) -> Result<Self, CborError> {
                FromValue::from_value(value).map(Self)
            }
        }
        impl ToValue for $id {
            fn to_value(&self) -> Value {
                self.0.to_value()
            }
        }
    )*};
}
id_values!(NodeId, ObjectId, OwnerId, RecordId, SetId);
