//! Objects, snapshots and envelopes that look right and are not.

use packnback_cli::parts::system::now;
use packnback_proto::cbor::Writer;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::seal::OVERHEAD;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::format::frame::padded_len;
use packnback_proto::format::header::{Header, Kind as ObjectKind};
use packnback_proto::ids::{ObjectId, SET_ID_LEN, SetId};
use packnback_proto::record::{
    Body, Envelope, Kind, Op, Order, Snap, encode_body, parse_envelope, sign,
};
use packnback_proto::wire::Bytes;

use super::attacker::{Attacker, Target};

/// An object, or what claims to be one.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) bytes: Vec<u8>,
}

/// An object a host takes: right in all that shows without a key, with noise for a payload of `len` bytes.
pub(super) fn object(
    kind: ObjectKind,
    height: u8,
    refs: &[ObjectId],
    noise: u64,
    len: usize,
) -> Result<Object, String> {
    let mut refs = refs.to_vec();
    refs.sort_unstable();
    let epk = (kind != ObjectKind::Chunk).then_some([7; 32]);
    let header = Header {
        kind,
        height,
        epoch: 0,
        epk,
        refs,
    };
    let mut bytes = Vec::new();
    header.write(&mut bytes).map_err(|e| e.to_string())?;
    let start = bytes.len();
    let end = start
        .saturating_add(OVERHEAD)
        .saturating_add(padded_len(len));
    bytes.resize(end, 0);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&noise.to_le_bytes());
    hasher
        .finalize_xof()
        .fill(bytes.get_mut(start..).unwrap_or_default());
    Ok(Object {
        id: object_id(&bytes),
        bytes,
    })
}

/// A tree of nothing: a chunk, a segment over it, a root over that. The root is the last.
pub(super) fn tree(noise: u64) -> Result<Vec<Object>, String> {
    let chunk = object(ObjectKind::Chunk, 0, &[], noise, 1000)?;
    let segment = object(ObjectKind::Segment, 2, &[chunk.id], noise, 100)?;
    let root = object(ObjectKind::Root, 8, &[segment.id], noise, 100)?;
    Ok(vec![chunk, segment, root])
}

/// Signs a body with any key, whether it may or not.
pub(super) fn signed_by<T: Body>(value: &T, key: &SigningKey) -> Result<Bytes, String> {
    let body = encode_body(value).map_err(|e| e.to_string())?;
    Ok(sign(T::KIND, &body, key).into())
}

/// An envelope from its parts, whatever they are.
pub(super) fn envelope(kind: Kind, body: &[u8], signer: &[u8], signature: &[u8]) -> Bytes {
    let mut writer = Writer::with_capacity(body.len().saturating_add(128));
    writer.array(4);
    writer.text(kind.name());
    writer.bytes(body);
    writer.bytes(signer);
    writer.bytes(signature);
    writer.into_bytes().into()
}

/// Takes an envelope apart to build another from it.
pub(super) fn parts(bytes: &[u8]) -> Result<Envelope<'_>, String> {
    parse_envelope(bytes).map_err(|e| e.to_string())
}

impl Attacker {
    /// An order for this host in the owner's name.
    pub(super) fn order(&self, target: &Target, op: Op) -> Order {
        let mut oid = [0; 16];
        let number = self.fresh().to_le_bytes();
        oid.iter_mut().zip(number).for_each(|(to, from)| *to = from);
        Order {
            owner: self.owner(),
            oid,
            issued: now(),
            audience: Some(vec![target.host]),
            op,
            not_before: None,
        }
    }

    /// A snapshot of this device.
    pub(super) fn snap(&self, root: ObjectId) -> Snap {
        let last = self.snaps.last();
        Snap {
            owner: self.owner(),
            device: self.device(),
            seq: last.map_or(1, |last| last.value().seq.saturating_add(1)),
            prev: last.map(packnback_proto::record::Signed::id),
            root,
            time: now(),
            cert_serial: self.cert.value().serial,
            set: SetId([0; SET_ID_LEN]),
        }
    }
}
