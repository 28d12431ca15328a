//! Keys of single sessions for a machine that is to restore and never sees the owner key.
//!
//! ```text
//! request = {1: "PNBUNQ1", 2: X25519 public key, 3: snap envelope, 4: cert envelope, 5: [+ [epk, e]]} || check
//! answer  = {1: "PNBUNA1", 2: snapshot id, 3: epk, 4: sealed}
//! content = {1: [+ [epk, e, SK_m, SK_d]], 2: [* [g, C[g]]]}     ad = {1, 2, 3}
//! ```
//! `check` is the first four bytes of the BLAKE3 hash of what is before it. Lists are strictly
//! ascending. The answer opens all of what these sessions sealed, and nothing else.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::ExchangeError;
use crate::cbor::{Reader, Writer};
use crate::crypto::boxed::{open_from, seal_to};
use crate::crypto::keys::{SessionKeys, SessionRoots};
use crate::crypto::keyset::{KeyLack, OwnerKey};
use crate::crypto::labels;
use crate::crypto::primitives::{blake3, x25519_public};
use crate::crypto::secret::Secret32;
use crate::ids::SnapshotId;
use crate::limits::{UNSEAL_GROUPS_MAX, UNSEAL_LEN_MAX, UNSEAL_SESSIONS_MAX};
use crate::record::{Cert, Signed, Snap, decode_cert, decode_snap};

const REQUEST: &str = "PNBUNQ1";
const ANSWER: &str = "PNBUNA1";
const CHECK_LEN: usize = 4;

/// A session: its public key and key epoch.
pub type SessionName = ([u8; 32], u32);

/// What a restoring machine asks for. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsealRequest {
    /// X25519 public key of the restoring machine.
    pub key: [u8; 32],
    /// The snapshot it is to restore.
    pub snap: Signed<Snap>,
    /// The certificate of its device.
    pub cert: Signed<Cert>,
    /// Sessions, strictly ascending.
    pub sessions: Vec<SessionName>,
}

impl UnsealRequest {
    /// The bytes.
    ///
    /// # Errors
    /// [`ExchangeError::Mismatch`], as [`UnsealRequest::decode`].
    pub fn encode(&self) -> Result<Vec<u8>, ExchangeError> {
        self.check()?;
        let mut w = Writer::with_capacity(self.sessions.len().saturating_mul(40));
        w.map(5);
        w.uint(1u8);
        w.text(REQUEST);
        for (key, bytes) in [
            (2u8, self.key.as_slice()),
            (3, self.snap.envelope()),
            (4, self.cert.envelope()),
        ] {
            w.uint(key);
            w.bytes(bytes);
        }
        w.uint(5u8);
        w.array(self.sessions.len());
        for (epk, epoch) in &self.sessions {
            w.array(2);
            w.bytes(epk);
            w.uint(*epoch);
        }
        let mut bytes = w.into_bytes();
        let check = blake3(&bytes);
        bytes.extend(check.iter().take(CHECK_LEN));
        Ok(bytes)
    }

    /// From bytes: snapshot and certificate are verified and belong together.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ExchangeError> {
        if bytes.len() > UNSEAL_LEN_MAX {
            return Err(ExchangeError::Damaged);
        }
        let (body, check) = bytes
            .split_last_chunk::<CHECK_LEN>()
            .ok_or(ExchangeError::Damaged)?;
        if !blake3(body).starts_with(check) {
            return Err(ExchangeError::Damaged);
        }
        let mut r = Reader::new(body);
        let mut map = r.required_map()?;
        map.step(&mut r)?;
        if r.text()? != REQUEST {
            return Err(ExchangeError::UnknownVersion);
        }
        map.step(&mut r)?;
        let key = *r.bytes_exact()?;
        map.step(&mut r)?;
        let snap = decode_snap(r.bytes()?)?;
        map.step(&mut r)?;
        let cert = decode_cert(r.bytes()?)?;
        map.step(&mut r)?;
        let mut sessions = Vec::new();
        for _ in 0..r.array()? {
            r.array_exact(2)?;
            sessions.push((*r.bytes_exact()?, r.u32()?));
        }
        map.finish(&mut r)?;
        r.finish()?;
        let request = Self {
            key,
            snap,
            cert,
            sessions,
        };
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), ExchangeError> {
        let (snap, cert) = (self.snap.value(), self.cert.value());
        if (snap.owner, snap.device) != (cert.owner, cert.device) {
            return Err(ExchangeError::Mismatch("snapshot and certificate"));
        }
        if self.sessions.is_empty() || self.sessions.len() > UNSEAL_SESSIONS_MAX {
            return Err(ExchangeError::Mismatch("number of sessions"));
        }
        let ascending = self.sessions.windows(2).all(|pair| match pair {
            [a, b] => a < b,
            _ => true,
        });
        if ascending {
            Ok(())
        } else {
            Err(ExchangeError::Mismatch("order of sessions"))
        }
    }

    /// The answer: opens the sessions with the owner's key and seals them to the machine that asks.
    /// `esk` is 32 fresh random bytes. Sessions of low order are left out: they open nothing.
    ///
    /// # Errors
    /// [`ExchangeError::Mismatch`] for another owner, [`ExchangeError::Lack`] if the key does not
    /// read contents, [`ExchangeError::Sealed`] if the key in the request is of low order.
    pub fn answer(&self, key: &OwnerKey, esk: &Secret32) -> Result<UnsealAnswer, ExchangeError> {
        if key.owner_id() != self.snap.value().owner {
            return Err(ExchangeError::Mismatch("owner"));
        }
        let mut roots = Vec::with_capacity(self.sessions.len());
        for (epk, epoch) in &self.sessions {
            match key.session_roots(epk, *epoch) {
                Ok(found) => roots.push(found),
                Err(KeyLack::Crypto(_)) => {}
                Err(lack) => return Err(lack.into()),
            }
        }
        let last = self.cert.value().group;
        let first = last.saturating_sub(u32::try_from(UNSEAL_GROUPS_MAX).unwrap_or(1) - 1);
        // Files may lie in chunks of an earlier group. A part of a key may not have all of them.
        let groups: Vec<(u32, Secret32)> = (first..=last)
            .filter_map(|g| Some((g, key.dedup_group(g).ok()?)))
            .collect();
        let content = content(&roots, &groups);
        let epk = x25519_public(esk);
        let snap = self.snap.id();
        let ad = head(3, &snap, &epk).into_bytes();
        let sealed = seal_to(labels::UNSEAL_ANSWER, &self.key, esk, &ad, &content);
        Ok(UnsealAnswer {
            snap,
            epk,
            sealed: sealed.map_err(ExchangeError::Sealed)?,
        })
    }
}

/// `{1, 2, 3}`, or the head of the whole answer with `fields` 4.
fn head(fields: usize, snap: &SnapshotId, epk: &[u8; 32]) -> Writer {
    let mut w = Writer::with_capacity(128);
    w.map(fields);
    w.uint(1u8);
    w.text(ANSWER);
    w.uint(2u8);
    w.bytes(snap.as_bytes());
    w.uint(3u8);
    w.bytes(epk);
    w
}

fn content(roots: &[SessionRoots], groups: &[(u32, Secret32)]) -> Zeroizing<Vec<u8>> {
    let room = roots
        .len()
        .saturating_mul(112)
        .saturating_add(groups.len().saturating_mul(40));
    // Room enough that the vector never moves and leaves a copy behind.
    let mut w = Writer::with_capacity(room.saturating_add(64));
    w.map(2);
    w.uint(1u8);
    w.array(roots.len());
    for root in roots {
        w.array(4);
        w.bytes(&root.epk);
        w.uint(root.epoch);
        w.bytes(root.meta.expose());
        w.bytes(root.data.expose());
    }
    w.uint(2u8);
    w.array(groups.len());
    for (group, secret) in groups {
        w.array(2);
        w.uint(*group);
        w.bytes(secret.expose());
    }
    Zeroizing::new(w.into_bytes())
}

/// Session keys, sealed to the machine that asked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsealAnswer {
    /// The snapshot they were asked for.
    pub snap: SnapshotId,
    epk: [u8; 32],
    sealed: Vec<u8>,
}

impl UnsealAnswer {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut w = head(4, &self.snap, &self.epk);
        w.uint(4u8);
        w.bytes(&self.sealed);
        w.into_bytes()
    }

    /// From bytes; nothing is opened.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ExchangeError> {
        if bytes.len() > UNSEAL_LEN_MAX {
            return Err(ExchangeError::Damaged);
        }
        let mut r = Reader::new(bytes);
        let mut map = r.required_map()?;
        map.step(&mut r)?;
        if r.text()? != ANSWER {
            return Err(ExchangeError::UnknownVersion);
        }
        map.step(&mut r)?;
        let snap = SnapshotId::from(*r.bytes_exact()?);
        map.step(&mut r)?;
        let epk = *r.bytes_exact()?;
        map.step(&mut r)?;
        let sealed = r.bytes()?.to_vec();
        map.finish(&mut r)?;
        r.finish()?;
        Ok(Self { snap, epk, sealed })
    }

    /// Opens it with the X25519 secret of the machine that asked.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn open(&self, secret: &Secret32) -> Result<Unsealed, ExchangeError> {
        let ad = head(3, &self.snap, &self.epk).into_bytes();
        let content = open_from(labels::UNSEAL_ANSWER, secret, &self.epk, &ad, &self.sealed)
            .map(Zeroizing::new)
            .map_err(ExchangeError::Sealed)?;
        let mut r = Reader::new(&content);
        let secret = |r: &mut Reader<'_>| -> Result<Secret32, ExchangeError> {
            let bytes = r.bytes_exact::<32>()?;
            Ok(Secret32::init_with(|out| out.copy_from_slice(bytes)))
        };
        let mut map = r.required_map()?;
        let mut unsealed = Unsealed::default();
        map.step(&mut r)?;
        for _ in 0..r.array()? {
            r.array_exact(4)?;
            let name = (*r.bytes_exact()?, r.u32()?);
            let roots = SessionRoots {
                epk: name.0,
                epoch: name.1,
                meta: secret(&mut r)?,
                data: secret(&mut r)?,
            };
            unsealed.sessions.insert(name, roots);
        }
        map.step(&mut r)?;
        for _ in 0..r.array()? {
            r.array_exact(2)?;
            let group = r.u32()?;
            unsealed.groups.insert(group, secret(&mut r)?);
        }
        map.finish(&mut r)?;
        r.finish()?;
        Ok(unsealed)
    }
}

/// Session keys that were handed over: what they do not open stays closed.
#[derive(Default)]
pub struct Unsealed {
    sessions: BTreeMap<SessionName, SessionRoots>,
    groups: BTreeMap<u32, Secret32>,
}

impl Unsealed {
    /// Takes in what another answer holds.
    pub fn extend(&mut self, other: Self) {
        self.sessions.extend(other.sessions);
        self.groups.extend(other.groups);
    }

    /// How many sessions it opens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether it opens nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The keys of a session.
    ///
    /// # Errors
    /// [`KeyLack::NotUnsealed`].
    pub fn session(&self, epk: &[u8; 32], epoch: u32) -> Result<SessionKeys, KeyLack> {
        let roots = self.sessions.get(&(*epk, epoch));
        Ok(SessionKeys::from_roots(roots.ok_or(KeyLack::NotUnsealed)?))
    }

    /// `C[g]`.
    ///
    /// # Errors
    /// [`KeyLack::NotUnsealed`].
    pub fn dedup_group(&self, group: u32) -> Result<Secret32, KeyLack> {
        let found = self.groups.get(&group).ok_or(KeyLack::NotUnsealed)?;
        Ok(found.duplicate())
    }
}
