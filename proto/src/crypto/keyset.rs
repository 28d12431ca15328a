//! The owner key in full and in part: what each part can do, and a typed refusal for the rest.
//!
//! | key | signs | device names | file names | contents | enrols devices |
//! |---|---|---|---|---|---|
//! | full | yes | yes | yes | yes | yes |
//! | sign-only | yes | yes | no | no | no |
//! | list-only | no | yes | yes | no | no |
//! | read-only | no | yes | yes | yes | no |
//!
//! A part holds keys for a stated range of key epochs and dedup groups, not the seed they follow
//! from: nothing outside of it can be computed from it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::CryptoError;
use super::keys::{ChunkKeys, OwnerSeed, SessionId, SessionKeys, SessionRoots, open_node_key};
use super::labels;
use super::primitives::derive_key;
use super::secret::Secret32;
use super::sign::SigningKey;
use crate::ids::{NodeId, OwnerId};
use crate::limits::{SUBSET_EPOCHS_MAX, SUBSET_GROUPS_MAX};

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The owner seed: everything.
    Full,
    /// Signs orders, certificates and grants.
    SignOnly,
    /// Lists names and metadata.
    ListOnly,
    /// Lists and reads contents.
    ReadOnly,
}

impl KeyKind {
    /// Its name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SignOnly => "sign-only",
            Self::ListOnly => "list-only",
            Self::ReadOnly => "read-only",
        }
    }

    /// What it can do, for people: completes "it can".
    #[must_use]
    pub fn ability(self) -> &'static str {
        match self {
            Self::Full => "do everything",
            Self::SignOnly => "sign orders, grants and new limits of devices",
            Self::ListOnly => "list the names and sizes of files",
            Self::ReadOnly => "list and read files",
        }
    }
}

/// What somebody wants of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The owner seed itself: words, sheets, parts, bundles for new devices.
    Seed,
    /// A signature of the owner.
    Sign,
    /// Names and metadata of files.
    Names,
    /// Contents of files.
    Contents,
    /// The network identity of a blank machine.
    Connect,
}

impl Need {
    /// For people: completes "it cannot".
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Seed => "stand for the whole owner key",
            Self::Sign => "sign",
            Self::Names => "list the names of files",
            Self::Contents => "read the contents of files",
            Self::Connect => "reach a host as the owner's recovery machine",
        }
    }
}

/// Why a key does not do what it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyLack {
    /// A part of the owner key without this ability.
    #[error("this is a {} key: it can {}, it cannot {}", kind.name(), kind.ability(), need.text())]
    Ability {
        /// What it is.
        kind: KeyKind,
        /// What it lacks.
        need: Need,
    },
    /// A part of the owner key for other key epochs.
    #[error("this {} key has nothing for key epoch {epoch}", kind.name())]
    Epoch {
        /// What it is.
        kind: KeyKind,
        /// The epoch asked for.
        epoch: u32,
    },
    /// A part of the owner key for other dedup groups.
    #[error("this {} key has nothing for dedup group {group}", kind.name())]
    Group {
        /// What it is.
        kind: KeyKind,
        /// The group asked for.
        group: u32,
    },
    /// Only single sessions were opened, and not this one.
    #[error("the keys of a session are not in the answer of `key unseal`")]
    NotUnsealed,
    /// A public key that opens nothing.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl KeyLack {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Ability { .. } => "ability",
            Self::Epoch { .. } => "epoch",
            Self::Group { .. } => "group",
            Self::NotUnsealed => "not-unsealed",
            Self::Crypto(_) => "non-contributory",
        }
    }
}

/// Ranges that make no part of a key: empty, or longer than a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubsetError {
    /// Empty or too long.
    #[error("a part of a key holds 1 to {SUBSET_EPOCHS_MAX} key epochs")]
    Epochs,
    /// Empty or too long.
    #[error("a part of a key holds 1 to {SUBSET_GROUPS_MAX} dedup groups")]
    Groups,
    /// Only the full key has parts.
    #[error(transparent)]
    Lack(#[from] KeyLack),
}

/// Keys that sign.
pub(crate) struct SignPart {
    pub(crate) sign: Secret32,
    /// The recovery peer, public: the reader of a grant for a blank machine.
    pub(crate) recovery: NodeId,
    /// `label_key[e]`: whoever signs must see for which device.
    pub(crate) labels: BTreeMap<u32, Secret32>,
}

/// Keys that list, of one epoch.
pub(crate) struct ListEpoch {
    pub(crate) list: Secret32,
    pub(crate) psk: Secret32,
}

/// Keys that read.
pub(crate) struct ReadPart {
    /// With `owner_dec[e]`.
    pub(crate) epochs: BTreeMap<u32, (ListEpoch, Secret32)>,
    /// `C[g]`.
    pub(crate) groups: BTreeMap<u32, Secret32>,
    /// Seed of the recovery peer: hosts let it in, a grant is still needed to read.
    pub(crate) recovery: Secret32,
}

pub(crate) enum Parts {
    Full(OwnerSeed),
    Sign(SignPart),
    List(BTreeMap<u32, ListEpoch>),
    Read(ReadPart),
}

/// An owner key, or a part of one. Wiped when dropped.
pub struct OwnerKey {
    pub(crate) owner: OwnerId,
    pub(crate) parts: Parts,
}

impl From<OwnerSeed> for OwnerKey {
    fn from(seed: OwnerSeed) -> Self {
        Self {
            owner: seed.owner_id(),
            parts: Parts::Full(seed),
        }
    }
}

impl OwnerKey {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.parts {
            Parts::Full(_) => KeyKind::Full,
            Parts::Sign(_) => KeyKind::SignOnly,
            Parts::List(_) => KeyKind::ListOnly,
            Parts::Read(_) => KeyKind::ReadOnly,
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn owner_id(&self) -> OwnerId {
        self.owner
    }

    fn lacks(&self, need: Need) -> KeyLack {
        KeyLack::Ability {
            kind: self.kind(),
            need,
        }
    }

    fn of_epoch<'a, T>(&self, epochs: &'a BTreeMap<u32, T>, epoch: u32) -> Result<&'a T, KeyLack> {
        let kind = self.kind();
        epochs.get(&epoch).ok_or(KeyLack::Epoch { kind, epoch })
    }

    /// The seed.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for any part.
    pub fn seed(&self) -> Result<&OwnerSeed, KeyLack> {
        match &self.parts {
            Parts::Full(seed) => Ok(seed),
            _ => Err(self.lacks(Need::Seed)),
        }
    }

    /// The seed, taken out.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for any part.
    pub fn into_seed(self) -> Result<OwnerSeed, KeyLack> {
        let lack = self.lacks(Need::Seed);
        match self.parts {
            Parts::Full(seed) => Ok(seed),
            _ => Err(lack),
        }
    }

    /// The key that signs as the owner.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for list-only and read-only keys.
    pub fn sign_key(&self) -> Result<SigningKey, KeyLack> {
        match &self.parts {
            Parts::Full(seed) => Ok(seed.sign_key()),
            Parts::Sign(part) => Ok(SigningKey::from_seed(&part.sign)),
            _ => Err(self.lacks(Need::Sign)),
        }
    }

    /// The network identity of a blank machine.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only and list-only keys.
    pub fn recovery_seed(&self) -> Result<Secret32, KeyLack> {
        match &self.parts {
            Parts::Full(seed) => Ok(seed.recovery_seed()),
            Parts::Read(part) => Ok(part.recovery.duplicate()),
            _ => Err(self.lacks(Need::Connect)),
        }
    }

    /// The recovery peer's id.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for list-only keys.
    pub fn recovery_id(&self) -> Result<NodeId, KeyLack> {
        match &self.parts {
            Parts::Full(seed) => Ok(seed.recovery_id()),
            Parts::Sign(part) => Ok(part.recovery),
            Parts::Read(part) => Ok(SigningKey::from_seed(&part.recovery).node_id()),
            Parts::List(_) => Err(self.lacks(Need::Connect)),
        }
    }

    /// The key of device names in certificates of an epoch.
    ///
    /// # Errors
    /// [`KeyLack::Epoch`].
    pub fn label_key(&self, epoch: u32) -> Result<Secret32, KeyLack> {
        let from_list = |list: &Secret32| derive_key(labels::DEVICE_LABEL, &[list.expose()]);
        match &self.parts {
            Parts::Full(seed) => Ok(seed.label_key(epoch)),
            Parts::Sign(part) => Ok(self.of_epoch(&part.labels, epoch)?.duplicate()),
            Parts::List(epochs) => Ok(from_list(&self.of_epoch(epochs, epoch)?.list)),
            Parts::Read(part) => Ok(from_list(&self.of_epoch(&part.epochs, epoch)?.0.list)),
        }
    }

    /// `K_node` of a session: opens its segments, indexes and roots.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only keys; [`KeyLack::Epoch`]; [`KeyLack::Crypto`] if `epk` is
    /// of low order.
    pub fn node_key(&self, epk: &[u8; 32], epoch: u32) -> Result<Secret32, KeyLack> {
        match &self.parts {
            Parts::List(epochs) => {
                let keys = self.of_epoch(epochs, epoch)?;
                Ok(open_node_key(
                    &keys.list,
                    &keys.psk,
                    SessionId { epk, epoch },
                )?)
            }
            Parts::Sign(_) => Err(self.lacks(Need::Names)),
            Parts::Full(_) | Parts::Read(_) => {
                Ok(SessionKeys::from_roots(&self.session_roots(epk, epoch)?).node)
            }
        }
    }

    /// Whether it reads contents at all.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only and list-only keys.
    pub fn check_contents(&self) -> Result<(), KeyLack> {
        match &self.parts {
            Parts::Full(_) | Parts::Read(_) => Ok(()),
            Parts::Sign(_) | Parts::List(_) => Err(self.lacks(Need::Contents)),
        }
    }

    /// Whether it lists names at all.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only keys.
    pub fn check_names(&self) -> Result<(), KeyLack> {
        match &self.parts {
            Parts::Sign(_) => Err(self.lacks(Need::Names)),
            _ => Ok(()),
        }
    }

    /// `SK_m` and `SK_d` of a session.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only and list-only keys; [`KeyLack::Epoch`];
    /// [`KeyLack::Crypto`] if `epk` is of low order.
    pub fn session_roots(&self, epk: &[u8; 32], epoch: u32) -> Result<SessionRoots, KeyLack> {
        self.check_contents()?;
        match &self.parts {
            Parts::Full(seed) => Ok(seed.session_roots(epk, epoch)?),
            Parts::Read(part) => {
                let (keys, decrypt) = self.of_epoch(&part.epochs, epoch)?;
                Ok(SessionRoots::open(
                    &keys.list,
                    decrypt,
                    &keys.psk,
                    SessionId { epk, epoch },
                )?)
            }
            Parts::Sign(_) | Parts::List(_) => Err(self.lacks(Need::Contents)),
        }
    }

    /// `C[g]`.
    ///
    /// # Errors
    /// [`KeyLack::Ability`] for sign-only and list-only keys; [`KeyLack::Group`].
    pub fn dedup_group(&self, group: u32) -> Result<Secret32, KeyLack> {
        match &self.parts {
            Parts::Full(seed) => Ok(seed.dedup_group(group)),
            Parts::Read(part) => {
                let (kind, found) = (self.kind(), part.groups.get(&group));
                Ok(found.ok_or(KeyLack::Group { kind, group })?.duplicate())
            }
            Parts::Sign(_) | Parts::List(_) => Err(self.lacks(Need::Contents)),
        }
    }

    /// The keys of chunks of a dedup group.
    ///
    /// # Errors
    /// As [`OwnerKey::dedup_group`].
    pub fn chunk_keys(&self, group: u32) -> Result<ChunkKeys, KeyLack> {
        Ok(ChunkKeys::new(&self.dedup_group(group)?))
    }

    /// A part of the full key, for these key epochs and (where it reads) dedup groups; for
    /// [`KeyKind::Full`] the full key again.
    ///
    /// # Errors
    /// [`SubsetError`].
    pub fn subset(
        &self,
        kind: KeyKind,
        epochs: RangeInclusive<u32>,
        groups: RangeInclusive<u32>,
    ) -> Result<Self, SubsetError> {
        let seed = self.seed()?;
        if !fits(&epochs, SUBSET_EPOCHS_MAX) {
            return Err(SubsetError::Epochs);
        }
        if !fits(&groups, SUBSET_GROUPS_MAX) {
            return Err(SubsetError::Groups);
        }
        let list = |e| ListEpoch {
            list: seed.list_secret(e),
            psk: seed.session_psk(e),
        };
        let parts = match kind {
            KeyKind::Full => Parts::Full(seed.duplicate()),
            KeyKind::SignOnly => Parts::Sign(SignPart {
                sign: seed.sign_key().seed(),
                recovery: seed.recovery_id(),
                labels: epochs.map(|e| (e, seed.label_key(e))).collect(),
            }),
            KeyKind::ListOnly => Parts::List(epochs.map(|e| (e, list(e))).collect()),
            KeyKind::ReadOnly => Parts::Read(ReadPart {
                epochs: epochs
                    .map(|e| (e, (list(e), seed.decrypt_secret(e))))
                    .collect(),
                groups: groups.map(|g| (g, seed.dedup_group(g))).collect(),
                recovery: seed.recovery_seed(),
            }),
        };
        Ok(Self {
            owner: self.owner,
            parts,
        })
    }
}

/// Whether a range holds between one and `max` numbers.
fn fits(range: &RangeInclusive<u32>, max: usize) -> bool {
    let span = range.end().checked_sub(*range.start());
    span.and_then(|n| usize::try_from(n).ok())
        .is_some_and(|n| n < max)
}
