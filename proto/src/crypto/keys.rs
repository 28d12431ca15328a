//! The key tree (docs/format.md, "Keys"). `DK(ctx, ikm)` and `KH(k, m)` as in [`super::primitives`].
//!
//! ```text
//! S ─┬─ owner sign                      signs certificates, orders, grants
//!    ├─ owner decrypt[e] ── s_d ──┐     reads contents          SK_d ─ map, pack, key blob, private chunks
//!    ├─ owner list[e] ───── s_m ──┤     reads names             SK_m ─ node
//!    ├─ session psk[e] ───────────┘     mixed into SK_d and SK_m
//!    ├─ dedup group[g] ─ chunk key, gear table, cut prf
//!    ├─ backup set ── id of a set = KH(.., name or roots)[..16]
//!    └─ recovery peer
//! ```

use zeroize::{Zeroize, Zeroizing};

use super::CryptoError;
use super::labels;
use super::primitives::{derive_bytes, derive_key, keyed_hash, x25519, x25519_public};
use super::secret::Secret32;
use super::sign::SigningKey;
use crate::ids::{NodeId, OwnerId, SET_ID_LEN, SetId};

/// The owner seed `S`: everything of an owner follows from these 32 random bytes.
pub struct OwnerSeed(Secret32);

impl OwnerSeed {
    /// Takes over 32 random bytes.
    #[must_use]
    pub fn new(seed: Secret32) -> Self {
        Self(seed)
    }

    /// From bytes, for instance of a random generator.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::new(bytes))
    }

    /// A second copy, asked for by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// The bytes, for key file, words and QR code.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn derive(&self, ctx: &str, number: &[u8]) -> Secret32 {
        derive_key(ctx, &[self.0.expose(), number])
    }

    /// The owner's signing key.
    #[must_use]
    pub fn sign_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.derive(labels::OWNER_SIGN, &[]))
    }

    /// The owner id: public half of [`OwnerSeed::sign_key`].
    #[must_use]
    pub fn owner_id(&self) -> OwnerId {
        self.sign_key().owner_id()
    }

    /// Ed25519 seed of the recovery peer: the network identity of a blank machine that holds `S`.
    #[must_use]
    pub fn recovery_seed(&self) -> Secret32 {
        self.derive(labels::RECOVERY_PEER, &[])
    }

    /// The recovery peer's id.
    #[must_use]
    pub fn recovery_id(&self) -> NodeId {
        SigningKey::from_seed(&self.recovery_seed()).node_id()
    }

    /// `owner_meta[e]`: the X25519 secret that reads names and metadata.
    #[must_use]
    pub fn list_secret(&self, epoch: u32) -> Secret32 {
        self.derive(labels::OWNER_LIST, &epoch.to_le_bytes())
    }

    /// `owner_dec[e]`: the X25519 secret that reads contents.
    #[must_use]
    pub fn decrypt_secret(&self, epoch: u32) -> Secret32 {
        self.derive(labels::OWNER_DECRYPT, &epoch.to_le_bytes())
    }

    /// `PSK[e]`.
    #[must_use]
    pub fn session_psk(&self, epoch: u32) -> Secret32 {
        self.derive(labels::OWNER_SESSION_PSK, &epoch.to_le_bytes())
    }

    /// `C[g]`: the secret of a dedup group.
    #[must_use]
    pub fn dedup_group(&self, group: u32) -> Secret32 {
        self.derive(labels::DEDUP_GROUP, &group.to_le_bytes())
    }

    /// The key that seals device labels in certificates: `DK("device label", owner_meta[e])`.
    #[must_use]
    pub fn label_key(&self, epoch: u32) -> Secret32 {
        derive_key(labels::DEVICE_LABEL, &[self.list_secret(epoch).expose()])
    }

    /// The key of [`set_id`]: the same in every key epoch, dedup group and device.
    #[must_use]
    pub fn set_key(&self) -> Secret32 {
        self.derive(labels::BACKUP_SET, &[])
    }

    /// What a device needs to write backups that it cannot read.
    #[must_use]
    pub fn device_keys(&self, epoch: u32, group: u32) -> DeviceKeys {
        DeviceKeys {
            meta_pub: x25519_public(&self.list_secret(epoch)),
            dec_pub: x25519_public(&self.decrypt_secret(epoch)),
            psk: self.session_psk(epoch),
            group_key: self.dedup_group(group),
            set_key: self.set_key(),
            epoch,
            group,
        }
    }

    /// The keys of a past session, from its public key `epk`.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`] if `epk` is of low order.
    pub fn open_session(&self, epk: &[u8; 32], epoch: u32) -> Result<SessionKeys, CryptoError> {
        Ok(SessionKeys::from_roots(&self.session_roots(epk, epoch)?))
    }

    /// `SK_m` and `SK_d` of a past session, from its public key `epk`.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`] if `epk` is of low order.
    pub fn session_roots(&self, epk: &[u8; 32], epoch: u32) -> Result<SessionRoots, CryptoError> {
        let psk = self.session_psk(epoch);
        SessionRoots::open(
            &self.list_secret(epoch),
            &self.decrypt_secret(epoch),
            &psk,
            SessionId { epk, epoch },
        )
    }
}

/// What the owner gives to a device: it can write and deduplicate with this, not read.
pub struct DeviceKeys {
    /// Public half of `owner_meta[e]`.
    pub meta_pub: [u8; 32],
    /// Public half of `owner_dec[e]`.
    pub dec_pub: [u8; 32],
    /// `PSK[e]`.
    pub psk: Secret32,
    /// `C[g]`.
    pub group_key: Secret32,
    /// Key of the ids of backup sets.
    pub set_key: Secret32,
    /// Key epoch `e`.
    pub epoch: u32,
    /// Dedup group `g`.
    pub group: u32,
}

impl DeviceKeys {
    /// The keys for cutting and addressing chunks.
    #[must_use]
    pub fn chunk_keys(&self) -> ChunkKeys {
        ChunkKeys::new(&self.group_key)
    }
}

/// Everything derived from a dedup group secret `C[g]`.
pub struct ChunkKeys {
    chunk: Secret32,
    cut: Secret32,
    gear: Box<[u64; 256]>,
}

impl ChunkKeys {
    /// `CK[g] = DK("chunk key", C[g])`, `CP[g] = DK("cut prf", C[g])`, and
    /// `GT[g] = DK-XOF("gear table", C[g])`: 2048 bytes read as 256 little-endian 64-bit numbers.
    #[must_use]
    pub fn new(group_key: &Secret32) -> Self {
        let mut bytes = Zeroizing::new([0; 256 * 8]);
        derive_bytes(labels::GEAR_TABLE, &[group_key.expose()], &mut *bytes);
        let mut gear = Box::new([0; 256]);
        let (words, _) = bytes.as_chunks::<8>();
        gear.iter_mut()
            .zip(words)
            .for_each(|(g, w)| *g = u64::from_le_bytes(*w));
        Self {
            chunk: derive_key(labels::CHUNK_KEY, &[group_key.expose()]),
            cut: derive_key(labels::CUT_PRF, &[group_key.expose()]),
            gear,
        }
    }

    /// `CK[g]`: key of chunk keys.
    #[must_use]
    pub fn chunk(&self) -> &Secret32 {
        &self.chunk
    }

    /// `CP[g]`: key that confirms cuts.
    #[must_use]
    pub fn cut(&self) -> &Secret32 {
        &self.cut
    }

    /// `GT[g]`: the gear table.
    #[must_use]
    pub fn gear(&self) -> &[u64; 256] {
        &self.gear
    }
}

impl Drop for ChunkKeys {
    fn drop(&mut self) {
        self.gear.zeroize();
    }
}

/// `k = KH(CK, p)`: the key of a chunk with content `p`. `ck` is [`ChunkKeys::chunk`], or
/// [`SessionKeys::chunk_priv`] for chunks that are not to be shared with other sessions.
#[must_use]
pub fn chunk_key(ck: &Secret32, p: &[u8]) -> Secret32 {
    Secret32::new(keyed_hash(ck.expose(), p))
}

/// What a backup set is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetName<'a> {
    /// By a person.
    Given(&'a str),
    /// By what it saves: stored paths, in any order.
    Roots(&'a [Vec<u8>]),
}

/// The blind id of a backup set: `KH(set key, m)[..16]` with `m` = `0 || name`, or
/// `1 || (LE64(len) || path)*` over the paths in ascending order of their bytes, each once. Hosts see
/// that two snapshots are of one set, and cannot try names.
#[must_use]
pub fn set_id(set_key: &Secret32, name: SetName<'_>) -> SetId {
    let mut message = Zeroizing::new(Vec::new());
    match name {
        SetName::Given(name) => {
            message.push(0);
            message.extend_from_slice(name.as_bytes());
        }
        SetName::Roots(roots) => {
            message.push(1);
            for root in roots.iter().collect::<std::collections::BTreeSet<_>>() {
                let len = u64::try_from(root.len()).unwrap_or(u64::MAX);
                message.extend_from_slice(&len.to_le_bytes());
                message.extend_from_slice(root);
            }
        }
    }
    let hash = keyed_hash(set_key.expose(), &message);
    let mut id = [0; SET_ID_LEN];
    id.iter_mut().zip(hash).for_each(|(out, byte)| *out = byte);
    SetId(id)
}

/// The keys of one upload session.
pub struct SessionKeys {
    /// The session's X25519 public key, in the header of every object sealed in it.
    pub epk: [u8; 32],
    /// Key epoch `e`.
    pub epoch: u32,
    /// `K_node`: segments, indexes, roots.
    pub node: Secret32,
    /// `K_map`: maps.
    pub map: Secret32,
    /// `K_pack`: packs.
    pub pack: Secret32,
    /// `K_blob`: blobs of chunk keys in entries.
    pub blob: Secret32,
    /// `CK_priv`: replaces `CK[g]` for chunks private to the session.
    pub chunk_priv: Secret32,
}

/// `SK_m` and `SK_d` of one session: everything it sealed opens with them, and nothing else does.
pub struct SessionRoots {
    /// The session's X25519 public key.
    pub epk: [u8; 32],
    /// Key epoch `e`.
    pub epoch: u32,
    /// `SK_m`: opens names and metadata.
    pub meta: Secret32,
    /// `SK_d`: opens contents.
    pub data: Secret32,
}

/// Which session: its public key and the epoch of the owner keys it is sealed to.
#[derive(Clone, Copy)]
pub(super) struct SessionId<'a> {
    pub(super) epk: &'a [u8; 32],
    pub(super) epoch: u32,
}

impl SessionRoots {
    /// For a reader that holds `owner_meta[e]`, `owner_dec[e]` and `PSK[e]`.
    pub(super) fn open(
        list: &Secret32,
        decrypt: &Secret32,
        psk: &Secret32,
        session: SessionId<'_>,
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            epk: *session.epk,
            epoch: session.epoch,
            meta: open_root(labels::SESSION_META, list, psk, session)?,
            data: open_root(labels::SESSION_DATA, decrypt, psk, session)?,
        })
    }
}

/// `DK(ctx, shared || epk || public || LE32(e) || PSK[e])`.
fn root(
    ctx: &str,
    shared: &Secret32,
    public: &[u8; 32],
    psk: &Secret32,
    SessionId { epk, epoch }: SessionId<'_>,
) -> Secret32 {
    let epoch = epoch.to_le_bytes();
    derive_key(ctx, &[shared.expose(), epk, public, &epoch, psk.expose()])
}

/// [`root`] for a reader that holds the secret half of `public`.
fn open_root(
    ctx: &str,
    secret: &Secret32,
    psk: &Secret32,
    session: SessionId<'_>,
) -> Result<Secret32, CryptoError> {
    let shared = x25519(secret, session.epk)?;
    Ok(root(ctx, &shared, &x25519_public(secret), psk, session))
}

/// `K_node` of a session, for a reader that holds `owner_meta[e]` and `PSK[e]` only: it opens
/// segments, indexes and roots.
pub(super) fn open_node_key(
    list: &Secret32,
    psk: &Secret32,
    session: SessionId<'_>,
) -> Result<Secret32, CryptoError> {
    Ok(node_key(&open_root(
        labels::SESSION_META,
        list,
        psk,
        session,
    )?))
}

/// `K_node = DK("node", SK_m)`.
fn node_key(sk_m: &Secret32) -> Secret32 {
    derive_key(labels::NODE, &[sk_m.expose()])
}

impl SessionKeys {
    /// Starts a session on a device; `esk` is 32 fresh random bytes and is wiped on return.
    ///
    /// # Errors
    /// [`CryptoError::NonContributory`] if a public key in the device keys is of low order.
    pub fn start(device: &DeviceKeys, esk: Secret32) -> Result<Self, CryptoError> {
        let epk = x25519_public(&esk);
        let start = |ctx, public: &[u8; 32]| {
            let shared = x25519(&esk, public)?;
            let session = SessionId {
                epk: &epk,
                epoch: device.epoch,
            };
            Ok(root(ctx, &shared, public, &device.psk, session))
        };
        Ok(Self::from_roots(&SessionRoots {
            epk,
            epoch: device.epoch,
            meta: start(labels::SESSION_META, &device.meta_pub)?,
            data: start(labels::SESSION_DATA, &device.dec_pub)?,
        }))
    }

    /// The keys that follow from `SK_m` and `SK_d`.
    #[must_use]
    pub fn from_roots(roots: &SessionRoots) -> Self {
        let data = |ctx| derive_key(ctx, &[roots.data.expose()]);
        Self {
            epk: roots.epk,
            epoch: roots.epoch,
            node: node_key(&roots.meta),
            map: data(labels::MAP),
            pack: data(labels::PACK),
            blob: data(labels::KEY_BLOB),
            chunk_priv: data(labels::PRIVATE_CHUNK_KEY),
        }
    }
}
