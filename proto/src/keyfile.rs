//! The key file: the owner seed on a disk or stick (docs/format.md, "Key file").
//!
//! ```text
//! protected   = {1: "PNBKEY1", 2: salt bstr16, 3: m_kib, 4: t, 5: p, 6: commit bstr32, 7: sealed}
//! KEK || commit = Argon2id(passphrase, salt, m, t, p), 64 bytes
//! sealed      = seal(KEK, ad = the map of fields 1 to 6 in CBOR, S)
//! unprotected = {1: "PNBKEY0", 2: S bstr32, 3: BLAKE3(S)[..4]}
//! ```
//! The passphrase is used as the bytes of its UTF-8 text. `commit` tells a wrong passphrase from a
//! damaged file, and makes a file that opens under two passphrases impossible.

use zeroize::Zeroizing;

use crate::cbor::{CborError, Reader, RequiredKeys, Writer};
use crate::crypto::CryptoError;
use crate::crypto::keys::OwnerSeed;
use crate::crypto::primitives::{Argon2Cost, argon2id, blake3, equal};
use crate::crypto::seal::{open, seal};
use crate::crypto::secret::Secret32;
use crate::limits::{
    KEYFILE_LEN_MAX, KEYFILE_M_KIB, KEYFILE_M_KIB_MAX, KEYFILE_P, KEYFILE_P_MAX, KEYFILE_T,
    KEYFILE_T_MAX,
};

const PROTECTED: &str = "PNBKEY1";
const UNPROTECTED: &str = "PNBKEY0";
/// Bytes of checksum in an unprotected key file and in a QR code.
pub(crate) const CHECK_LEN: usize = 4;

/// Why a key file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a key file, or cut off.
    #[error("not a key file, or a damaged one: {0}")]
    Cbor(#[from] CborError),
    /// A key file of another version.
    #[error("not a key file of a known version")]
    UnknownVersion,
    /// The passphrase is empty.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The file asks for more memory, passes or lanes than a reader accepts, or for none.
    #[error("the key file asks for unreasonable work ({m_kib} KiB, {t} passes, {p} lanes)")]
    Work {
        /// Memory, KiB.
        m_kib: u64,
        /// Passes.
        t: u64,
        /// Lanes.
        p: u64,
    },
    /// Not enough memory for the passphrase hash.
    #[error("not enough memory to check the passphrase")]
    Memory,
    /// The passphrase is wrong.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase is right, but the file was changed.
    #[error("the key file is damaged: {0}")]
    Damaged(CryptoError),
    /// The checksum is wrong.
    #[error("the key file is damaged: its checksum is wrong")]
    Checksum,
    /// Opened with a passphrase, but has none.
    #[error("the key file is not protected by a passphrase")]
    NotProtected,
    /// Opened without a passphrase, but has one.
    #[error("the key file is protected by a passphrase")]
    Protected,
    /// Its checksum or seal is right, but the keys in it make no sense.
    #[error("the key file holds something that is no key: {0}")]
    Content(&'static str),
}

impl KeyFileError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Cbor(e) => e.class(),
            Self::UnknownVersion => "unknown-version",
            Self::EmptyPassphrase => "empty-passphrase",
            Self::Work { .. } => "work",
            Self::Memory => "memory",
            Self::WrongPassphrase => "wrong-passphrase",
            Self::Damaged(_) => "damaged",
            Self::Checksum => "checksum",
            Self::NotProtected => "not-protected",
            Self::Protected => "protected",
            Self::Content(_) => "content",
        }
    }
}

/// Argon2id parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            m_kib: KEYFILE_M_KIB,
            t: KEYFILE_T,
            p: KEYFILE_P,
        }
    }
}

impl Work {
    fn check(m_kib: u64, t: u64, p: u64) -> Result<Self, KeyFileError> {
        let narrow = |value: u64, range: std::ops::RangeInclusive<u32>| {
            u32::try_from(value)
                .ok()
                .filter(|value| range.contains(value))
        };
        let refused = || KeyFileError::Work { m_kib, t, p };
        let p32 = narrow(p, 1..=KEYFILE_P_MAX).ok_or_else(refused)?;
        // Argon2 works on four slices of at least two blocks in each lane.
        let least = p32.saturating_mul(8);
        Ok(Self {
            m_kib: narrow(m_kib, least..=KEYFILE_M_KIB_MAX).ok_or_else(refused)?,
            t: narrow(t, 1..=KEYFILE_T_MAX).ok_or_else(refused)?,
            p: p32,
        })
    }
}

/// How a key file protects its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// By a passphrase.
    Passphrase(Work),
    /// Not at all.
    None,
}

/// Says how a key file is protected, without opening it.
///
/// # Errors
/// [`KeyFileError`] if it is no key file that could be opened.
pub fn inspect(bytes: &[u8]) -> Result<Protection, KeyFileError> {
    match parse(bytes)? {
        Parsed::Protected(file) => Ok(Protection::Passphrase(file.work)),
        Parsed::Unprotected { .. } => Ok(Protection::None),
    }
}

/// Makes a key file protected by a passphrase. `salt` is 16 fresh random bytes.
///
/// # Errors
/// [`KeyFileError::EmptyPassphrase`], [`KeyFileError::Work`], [`KeyFileError::Memory`].
pub fn seal_keyfile(
    seed: &OwnerSeed,
    passphrase: &[u8],
    salt: [u8; 16],
    work: Work,
) -> Result<Vec<u8>, KeyFileError> {
    seal_protected(PROTECTED, seed.expose(), passphrase, salt, work)
}

/// The protected form of any content: fields 1 to 7, `magic` in the first.
pub(crate) fn seal_protected(
    magic: &'static str,
    content: &[u8],
    passphrase: &[u8],
    salt: [u8; 16],
    work: Work,
) -> Result<Vec<u8>, KeyFileError> {
    let work = Work::check(work.m_kib.into(), work.t.into(), work.p.into())?;
    let (kek, commit) = stretch(passphrase, &salt, work)?;
    let header = Header {
        magic,
        salt,
        work,
        commit,
    };
    let sealed = seal(&kek, &header.associated_data(), content).map_err(KeyFileError::Damaged)?;
    let mut w = Writer::with_capacity(sealed.len().saturating_add(256));
    w.map(7);
    header.write(&mut w);
    w.uint(7u8);
    w.bytes(&sealed);
    Ok(w.into_bytes())
}

/// Opens a key file with its passphrase. Takes as long as the file's parameters say.
///
/// # Errors
/// [`KeyFileError`].
pub fn open_keyfile(bytes: &[u8], passphrase: &[u8]) -> Result<OwnerSeed, KeyFileError> {
    let Parsed::Protected(file) = parse(bytes)? else {
        return Err(KeyFileError::NotProtected);
    };
    let seed = Secret32::from_slice(&file.open(passphrase)?);
    Ok(OwnerSeed::new(
        seed.ok_or(KeyFileError::Damaged(CryptoError::TooShort))?,
    ))
}

/// Makes a key file without a passphrase: whoever reads the file is the owner.
#[must_use]
pub fn seal_unprotected(seed: &OwnerSeed) -> Zeroizing<Vec<u8>> {
    // Room enough that the vector never moves and leaves a copy behind.
    let mut w = Writer::with_capacity(128);
    w.map(3);
    w.uint(1u8);
    w.text(UNPROTECTED);
    w.uint(2u8);
    w.bytes(seed.expose());
    w.uint(3u8);
    w.bytes(&checksum(seed.expose()));
    Zeroizing::new(w.into_bytes())
}

/// Opens a key file that has no passphrase.
///
/// # Errors
/// [`KeyFileError`].
pub fn open_unprotected(bytes: &[u8]) -> Result<OwnerSeed, KeyFileError> {
    let Parsed::Unprotected { seed, check } = parse(bytes)? else {
        return Err(KeyFileError::Protected);
    };
    if checksum(seed) != *check {
        return Err(KeyFileError::Checksum);
    }
    Ok(OwnerSeed::new(Secret32::init_with(|out| {
        out.copy_from_slice(seed)
    })))
}

/// The first bytes of the hash of a seed, to notice damage. They tell nothing useful about it.
pub(crate) fn checksum(content: &[u8]) -> [u8; CHECK_LEN] {
    let [a, b, c, d, ..] = blake3(content);
    [a, b, c, d]
}

/// `KEK || commit`.
fn stretch(
    passphrase: &[u8],
    salt: &[u8; 16],
    work: Work,
) -> Result<(Secret32, [u8; 32]), KeyFileError> {
    if passphrase.is_empty() {
        return Err(KeyFileError::EmptyPassphrase);
    }
    let mut out = Zeroizing::new([0; 64]);
    // The parameters are in range: what is left to fail is the memory.
    let cost = Argon2Cost {
        m_kib: work.m_kib,
        t: work.t,
        p: work.p,
    };
    argon2id(passphrase, salt, cost, &mut *out).map_err(|_| KeyFileError::Memory)?;
    let (halves, _) = out.as_chunks::<32>();
    match halves {
        [kek, commit] => Ok((Secret32::init_with(|out| out.copy_from_slice(kek)), *commit)),
        _ => Err(KeyFileError::Memory),
    }
}

/// Fields 1 to 6 of a protected key file.
struct Header {
    magic: &'static str,
    salt: [u8; 16],
    work: Work,
    commit: [u8; 32],
}

impl Header {
    fn associated_data(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128);
        w.map(6);
        self.write(&mut w);
        w.into_bytes()
    }

    /// The pairs, without the head of the map.
    fn write(&self, w: &mut Writer) {
        w.uint(1u8);
        w.text(self.magic);
        w.uint(2u8);
        w.bytes(&self.salt);
        for (key, value) in [(3u8, self.work.m_kib), (4, self.work.t), (5, self.work.p)] {
            w.uint(key);
            w.uint(value);
        }
        w.uint(6u8);
        w.bytes(&self.commit);
    }
}

enum Parsed<'a> {
    Protected(ProtectedFile<'a>),
    Unprotected {
        seed: &'a [u8; 32],
        check: &'a [u8; CHECK_LEN],
    },
}

pub(crate) struct ProtectedFile<'a> {
    magic: &'static str,
    salt: [u8; 16],
    work: Work,
    commit: [u8; 32],
    sealed: &'a [u8],
}

impl ProtectedFile<'_> {
    /// Work it asks for.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// The content.
    pub(crate) fn open(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let (kek, commit) = stretch(passphrase, &self.salt, self.work)?;
        if !equal(&commit, &self.commit) {
            return Err(KeyFileError::WrongPassphrase);
        }
        let header = Header {
            magic: self.magic,
            salt: self.salt,
            work: self.work,
            commit,
        };
        let content = open(&kek, &header.associated_data(), self.sealed);
        content.map(Zeroizing::new).map_err(KeyFileError::Damaged)
    }
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, KeyFileError> {
    if bytes.len() > KEYFILE_LEN_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    let mut map = r.required_map()?;
    map.step(&mut r)?;
    let parsed = match r.text()? {
        PROTECTED => Parsed::Protected(parse_protected(PROTECTED, &mut map, &mut r)?),
        UNPROTECTED => {
            map.step(&mut r)?;
            let seed = r.bytes_exact()?;
            map.step(&mut r)?;
            Parsed::Unprotected {
                seed,
                check: r.bytes_exact()?,
            }
        }
        _ => return Err(KeyFileError::UnknownVersion),
    };
    map.finish(&mut r)?;
    r.finish()?;
    Ok(parsed)
}

/// Fields 2 to 7.
pub(crate) fn parse_protected<'a>(
    magic: &'static str,
    map: &mut RequiredKeys,
    r: &mut Reader<'a>,
) -> Result<ProtectedFile<'a>, KeyFileError> {
    map.step(r)?;
    let salt = *r.bytes_exact()?;
    let mut work = [0; 3];
    for value in &mut work {
        map.step(r)?;
        *value = r.uint()?;
    }
    let [m_kib, t, p] = work;
    map.step(r)?;
    let commit = *r.bytes_exact()?;
    map.step(r)?;
    let sealed = r.bytes()?;
    Ok(ProtectedFile {
        magic,
        salt,
        work: Work::check(m_kib, t, p)?,
        commit,
        sealed,
    })
}
