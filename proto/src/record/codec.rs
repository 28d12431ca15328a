//! Bodies of records to CBOR and back. The numbers are the map keys of the format.

use super::validate::Validate;
use super::{Cert, Grant, Kind, Op, Order, PolicyArg, Receipt, RecordError, Scope, Snap};

use crate::cbor::{
    Bounds, ByteString, CborError, Fields, ToValue, Value, decode_value, encode_value, int_map,
};
use crate::limits::{CBOR_DEPTH_MAX, RECORD_MAX};

/// The format version written into snapshots.
const FORMAT: u64 = 1;

/// What the five kinds of records have in common.
pub trait Body: Validate + Sized {
    /// The kind.
    const KIND: Kind;

    /// The public key that has to sign this record.
    fn required_signer(&self) -> &[u8; 32];

    /// The body as a CBOR map.
    fn to_map(&self) -> Value;

    /// From a CBOR map, each field for itself; relations between fields are checked afterwards.
    ///
    /// # Errors
    /// [`RecordError`], the first problem found.
    fn from_map(fields: &mut Fields) -> Result<Self, RecordError>;
}

/// Encodes a body for signing.
///
/// # Errors
/// [`RecordError`] if the value breaks a rule of the format.
pub fn encode_body<T: Body>(value: &T) -> Result<Vec<u8>, RecordError> {
    value.validate()?;
    Ok(encode_value(&value.to_map())?)
}

/// Decodes a body that is not signed, or whose signature has been verified.
///
/// # Errors
/// [`RecordError`], the first problem found.
pub fn decode_body<T: Body>(bytes: &[u8]) -> Result<T, RecordError> {
    let bounds = Bounds {
        len: RECORD_MAX,
        depth: CBOR_DEPTH_MAX,
    };
    let mut fields = Fields::new(decode_value(bytes, bounds)?)?;
    let value = T::from_map(&mut fields)?;
    fields.finish()?;
    value.validate()?;
    Ok(value)
}

impl Body for Cert {
    const KIND: Kind = Kind::Cert;

    fn required_signer(&self) -> &[u8; 32] {
        self.owner.as_bytes()
    }

    fn to_map(&self) -> Value {
        int_map([
            (1, Some(self.owner.to_value())),
            (2, Some(self.device.to_value())),
            (3, Some(self.serial.to_value())),
            (4, Some(self.perms.to_value())),
            (5, Some(self.not_before.to_value())),
            (6, Some(self.expires.to_value())),
            (7, Some(self.quota_bytes.to_value())),
            (8, Some(self.new_bytes_per_day.to_value())),
            (9, Some(self.snaps_per_day.to_value())),
            (10, Some(self.group.to_value())),
            (11, Some(self.epoch.to_value())),
            (12, Some(Value::Bytes(self.sealed_label.clone()))),
            (13, Some(self.recovery.to_value())),
        ])
    }

    fn from_map(fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(Self {
            owner: fields.get(1)?,
            device: fields.get(2)?,
            serial: fields.get(3)?,
            perms: fields.get(4)?,
            not_before: fields.get(5)?,
            expires: fields.get(6)?,
            quota_bytes: fields.get(7)?,
            new_bytes_per_day: fields.get(8)?,
            snaps_per_day: fields.get(9)?,
            group: fields.get(10)?,
            epoch: fields.get(11)?,
            sealed_label: fields.get::<ByteString>(12)?.0,
            recovery: fields.get(13)?,
        })
    }
}

impl Body for Snap {
    const KIND: Kind = Kind::Snap;

    fn required_signer(&self) -> &[u8; 32] {
        self.device.as_bytes()
    }

    fn to_map(&self) -> Value {
        int_map([
            (1, Some(self.owner.to_value())),
            (2, Some(self.device.to_value())),
            (3, Some(self.seq.to_value())),
            (4, Some(self.prev.to_value())),
            (5, Some(self.root.to_value())),
            (6, Some(self.time.to_value())),
            (7, Some(self.cert_serial.to_value())),
            (8, Some(FORMAT.to_value())),
            (9, Some(self.set.to_value())),
        ])
    }

    fn from_map(fields: &mut Fields) -> Result<Self, RecordError> {
        // First, so that a later format is named as such and not by the first field it changed.
        match fields.get(8)? {
            FORMAT => {}
            other => return Err(RecordError::UnknownFormat(other)),
        }
        Ok(Self {
            owner: fields.get(1)?,
            device: fields.get(2)?,
            seq: fields.get(3)?,
            prev: fields.get(4)?,
            root: fields.get(5)?,
            time: fields.get(6)?,
            cert_serial: fields.get(7)?,
            set: fields.get(9)?,
        })
    }
}

impl Body for Receipt {
    const KIND: Kind = Kind::Receipt;

    fn required_signer(&self) -> &[u8; 32] {
        self.host.as_bytes()
    }

    fn to_map(&self) -> Value {
        int_map([
            (1, Some(self.snap.to_value())),
            (2, Some(self.host.to_value())),
            (3, Some(self.received.to_value())),
            (4, Some(self.log_seq.to_value())),
            (5, Some(self.log_prev.to_value())),
            (6, Some(self.n_objects.to_value())),
            (7, Some(self.bytes.to_value())),
            (8, Some(self.policy_seq.to_value())),
        ])
    }

    fn from_map(fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(Self {
            snap: fields.get(1)?,
            host: fields.get(2)?,
            received: fields.get(3)?,
            log_seq: fields.get(4)?,
            log_prev: fields.get(5)?,
            n_objects: fields.get(6)?,
            bytes: fields.get(7)?,
            policy_seq: fields.get(8)?,
        })
    }
}

impl Body for Order {
    const KIND: Kind = Kind::Order;

    fn required_signer(&self) -> &[u8; 32] {
        self.owner.as_bytes()
    }

    fn to_map(&self) -> Value {
        int_map([
            (1, Some(self.owner.to_value())),
            (2, Some(self.oid.to_value())),
            (3, Some(self.issued.to_value())),
            (4, Some(self.audience.to_value())),
            (5, Some(self.op.number().to_value())),
            (6, Some(self.op.to_value())),
            (7, self.not_before.map(|t| t.to_value())),
        ])
    }

    fn from_map(fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(Self {
            owner: fields.get(1)?,
            oid: fields.get(2)?,
            issued: fields.get(3)?,
            audience: fields.get(4)?,
            op: Op::from_parts(fields.get(5)?, fields.get(6)?)?,
            not_before: fields.optional(7)?,
        })
    }
}

impl Op {
    /// Field 5 of an order.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self {
            Self::DeleteIds(_) => 0,
            Self::DeleteRange { .. } => 1,
            Self::Policy(_) => 2,
            Self::Revoke { .. } => 3,
            Self::Hold(_) => 4,
            Self::Unhold(_) => 5,
            Self::Cancel(_) => 6,
            Self::Hosts { .. } => 7,
            Self::DropOwner => 8,
        }
    }

    /// Field 6 of an order.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::DeleteIds(ids) | Self::Hold(ids) | Self::Unhold(ids) => ids.to_value(),
            Self::DeleteRange {
                device,
                recv_from,
                recv_to,
                max_count,
            } => int_map([
                (1, Some(device.to_value())),
                (2, Some(recv_from.to_value())),
                (3, Some(recv_to.to_value())),
                (4, Some(max_count.to_value())),
            ]),
            Self::Policy(policy) => policy.to_value(),
            Self::Revoke { device, reason } => int_map([
                (1, Some(device.to_value())),
                (2, Some(reason.as_str().to_value())),
            ]),
            Self::Cancel(oids) => oids.to_value(),
            Self::Hosts { hseq, hosts } => {
                int_map([(1, Some(hseq.to_value())), (2, Some(hosts.to_value()))])
            }
            Self::DropOwner => Value::Null,
        }
    }

    /// From fields 5 and 6 of an order.
    pub(crate) fn from_parts(number: u64, arg: Value) -> Result<Self, RecordError> {
        use crate::cbor::FromValue;
        Ok(match number {
            0 => Self::DeleteIds(FromValue::from_value(arg)?),
            1 => with_fields(arg, |f| {
                Ok(Self::DeleteRange {
                    device: f.get(1)?,
                    recv_from: f.get(2)?,
                    recv_to: f.get(3)?,
                    max_count: f.get(4)?,
                })
            })?,
            2 => Self::Policy(with_fields(arg, PolicyArg::from_fields)?),
            3 => with_fields(arg, |f| {
                Ok(Self::Revoke {
                    device: f.get(1)?,
                    reason: f.get(2)?,
                })
            })?,
            4 => Self::Hold(FromValue::from_value(arg)?),
            5 => Self::Unhold(FromValue::from_value(arg)?),
            6 => Self::Cancel(FromValue::from_value(arg)?),
            7 => with_fields(arg, |f| {
                Ok(Self::Hosts {
                    hseq: f.get(1)?,
                    hosts: f.get(2)?,
                })
            })?,
            8 if arg == Value::Null => Self::DropOwner,
            8 => return Err(CborError::WrongType.into()),
            other => return Err(RecordError::UnknownOp(other)),
        })
    }
}

/// Reads a whole inner map.
fn with_fields<T>(
    value: Value,
    read: impl FnOnce(&mut Fields) -> Result<T, CborError>,
) -> Result<T, CborError> {
    let mut fields = Fields::new(value)?;
    let out = read(&mut fields)?;
    fields.finish()?;
    Ok(out)
}

impl PolicyArg {
    fn to_value(&self) -> Value {
        int_map([
            (1, Some(self.pseq.to_value())),
            (2, Some(self.device.to_value())),
            (3, Some(self.min_age_d.to_value())),
            (4, Some(self.keep.to_vec().to_value())),
            (5, Some(self.keep_last.to_value())),
            (6, Some(self.grace_d.to_value())),
        ])
    }

    fn from_fields(fields: &mut Fields) -> Result<Self, CborError> {
        let keep: Vec<u64> = fields.get(4)?;
        Ok(Self {
            pseq: fields.get(1)?,
            device: fields.get(2)?,
            min_age_d: fields.get(3)?,
            keep: keep.try_into().map_err(|_| CborError::OutOfRange)?,
            keep_last: fields.get(5)?,
            grace_d: fields.get(6)?,
        })
    }
}

impl Body for Grant {
    const KIND: Kind = Kind::Grant;

    fn required_signer(&self) -> &[u8; 32] {
        self.owner.as_bytes()
    }

    fn to_map(&self) -> Value {
        int_map([
            (1, Some(self.owner.to_value())),
            (2, Some(self.reader.to_value())),
            (3, Some(self.scope.to_value())),
            (4, Some(self.not_before.to_value())),
            (5, Some(self.expires.to_value())),
            (6, Some(self.audience.to_value())),
            (7, Some(self.nonce.to_value())),
            (8, self.max_bytes.map(|n| n.to_value())),
        ])
    }

    fn from_map(fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(Self {
            owner: fields.get(1)?,
            reader: fields.get(2)?,
            scope: Scope::from_value(fields.get(3)?)?,
            not_before: fields.get(4)?,
            expires: fields.get(5)?,
            audience: fields.get(6)?,
            nonce: fields.get(7)?,
            max_bytes: fields.optional(8)?,
        })
    }
}

impl Scope {
    fn to_value(&self) -> Value {
        match self {
            Self::All => Value::Null,
            Self::Devices(devices) => int_map([(1, Some(devices.to_value()))]),
            Self::Snaps(snaps) => int_map([(2, Some(snaps.to_value()))]),
        }
    }

    fn from_value(value: Value) -> Result<Self, CborError> {
        if value == Value::Null {
            return Ok(Self::All);
        }
        with_fields(value, |fields| {
            // One of the two: the other key would be left over and refused.
            Ok(match fields.optional(1)? {
                Some(devices) => Self::Devices(devices),
                None => Self::Snaps(fields.get(2)?),
            })
        })
    }
}
