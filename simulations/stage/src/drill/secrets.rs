//! Every 32 bytes that may be a key, and everything they may be the key of.

use packnback_proto::crypto::keys::OwnerSeed;
use packnback_proto::crypto::labels;
use packnback_proto::crypto::primitives::{derive_key, x25519, x25519_public};
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::frame::Decompressor;
use packnback_proto::format::header::{Header, Kind};
use packnback_proto::format::object::open_object;
use packnback_proto::ids::ObjectId;

/// An object to be opened.
pub(super) struct Locked {
    pub(super) id: ObjectId,
    pub(super) header: Header,
    pub(super) bytes: Vec<u8>,
}

/// How much is tried with each candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// As the key of an object.
    Direct,
    /// Also as everything keys are made from: owner seed, list key, content key, ephemeral key, session secrets.
    Derived,
}

/// Tries a candidate on every object; returns the first that opens.
pub(super) fn opens(
    decompressor: &mut Decompressor,
    candidate: &[u8; 32],
    psk: &Secret32,
    locked: &[Locked],
    effort: Effort,
) -> Option<ObjectId> {
    let key = Secret32::new(*candidate);
    for object in locked {
        if open_object(decompressor, &object.bytes, &object.id, &key).is_ok() {
            return Some(object.id);
        }
    }
    if effort == Effort::Direct {
        return None;
    }
    let chunk_keys = [labels::CHUNK_KEY, labels::CUT_PRF].map(|label| derive(label, &key));
    for object in locked {
        let keys = match object.header.epk {
            Some(epk) => session_keys(&key, psk, &epk, object.header.epoch, object.header.kind),
            None => chunk_keys.iter().map(Secret32::duplicate).collect(),
        };
        for key in keys {
            if open_object(decompressor, &object.bytes, &object.id, &key).is_ok() {
                return Some(object.id);
            }
        }
    }
    None
}

fn derive(label: &str, key: &Secret32) -> Secret32 {
    derive_key(label, &[key.expose()])
}

/// The label of the key that seals objects of this kind, and of the session secret it follows from.
fn labels_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Pack => (labels::PACK, labels::SESSION_DATA),
        Kind::Map => (labels::MAP, labels::SESSION_DATA),
        _ => (labels::NODE, labels::SESSION_META),
    }
}

/// Every key of an object that could follow from this secret.
fn session_keys(
    secret: &Secret32,
    psk: &Secret32,
    epk: &[u8; 32],
    epoch: u32,
    kind: Kind,
) -> Vec<Secret32> {
    let (label, session) = labels_of(kind);
    // A session secret itself.
    let mut keys = vec![derive(label, secret)];
    let number = epoch.to_le_bytes();
    // The owner's list key or content key, with the pre-shared key of the device; or the shared secret of the two.
    let public = x25519_public(secret);
    let shared = x25519(secret, epk).ok();
    for shared in shared.iter().chain([secret]) {
        let parts: [&[u8]; 5] = [shared.expose(), epk, &public, &number, psk.expose()];
        keys.push(derive(label, &derive_key(session, &parts)));
    }
    // The owner seed.
    let seed = OwnerSeed::from_bytes(*secret.expose());
    if let Ok(session) = seed.open_session(epk, epoch) {
        keys.extend(session.object_key(kind).map(Secret32::duplicate));
    }
    keys
}

/// Whether the candidate is the ephemeral key of a session, which must be gone when the session is over.
pub(super) fn is_ephemeral(candidate: &[u8; 32], locked: &[Locked]) -> bool {
    let public = x25519_public(&Secret32::new(*candidate));
    locked
        .iter()
        .any(|object| object.header.epk == Some(public))
}
