//! Files with a part of the owner key (docs/format.md, "Parts of the owner key").
//!
//! ```text
//! protected   = {1: "PNBSUB1", 2: salt bstr16, 3: m_kib, 4: t, 5: p, 6: commit bstr32, 7: sealed}
//!               as a key file, with the content below instead of S
//! unprotected = {1: "PNBSUB0", 2: content bstr, 3: BLAKE3(content)[..4]}
//!
//! content     = {1: 1, 2: owner, 3: owner_sign seed, 4: recovery id, 5: [+ [e, label_key[e]]]}      sign-only
//!             / {1: 2, 2: owner, 3: [+ [e, owner_meta[e], PSK[e]]]}                                 list-only
//!             / {1: 3, 2: owner, 3: [+ [e, owner_meta[e], owner_dec[e], PSK[e]]],
//!                4: [+ [g, C[g]]], 5: recovery seed}                                                read-only
//! ```
//! Epochs and groups are strictly ascending.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::cbor::{CborError, Reader, Writer};
use crate::crypto::keyset::{ListEpoch, OwnerKey, Parts, ReadPart, SignPart};
use crate::crypto::secret::Secret32;
use crate::crypto::sign::SigningKey;
use crate::ids::{NodeId, OwnerId};
use crate::keyfile::{
    self, CHECK_LEN, KeyFileError, ProtectedFile, Protection, Work, checksum, parse_protected,
    seal_protected,
};
use crate::limits::{SUBSET_EPOCHS_MAX, SUBSET_GROUPS_MAX, SUBSET_LEN_MAX};

const PROTECTED: &str = "PNBSUB1";
const UNPROTECTED: &str = "PNBSUB0";
const SIGN: u64 = 1;
const LIST: u64 = 2;
const READ: u64 = 3;

/// A passphrase, 16 fresh random bytes of salt, and the work to spend.
pub type Passphrase<'a> = (&'a [u8], [u8; 16], Work);

/// Says how a key file of any kind is protected, without opening it.
///
/// # Errors
/// [`KeyFileError`] if it is no key file that could be opened.
pub fn inspect(bytes: &[u8]) -> Result<Protection, KeyFileError> {
    match parse(bytes)? {
        Parsed::KeyFile => keyfile::inspect(bytes),
        Parsed::Protected(file) => Ok(Protection::Passphrase(file.work())),
        Parsed::Unprotected { .. } => Ok(Protection::None),
    }
}

/// Makes a key file of the kind of the key: a key file proper for a full key. `passphrase`: `None`
/// for a file that whoever reads it can use.
///
/// # Errors
/// [`KeyFileError::EmptyPassphrase`], [`KeyFileError::Work`], [`KeyFileError::Memory`].
pub fn seal(
    key: &OwnerKey,
    passphrase: Option<Passphrase<'_>>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    if let Ok(seed) = key.seed() {
        return Ok(match passphrase {
            Some((phrase, salt, work)) => {
                Zeroizing::new(keyfile::seal_keyfile(seed, phrase, salt, work)?)
            }
            None => keyfile::seal_unprotected(seed),
        });
    }
    let content = encode(key);
    if let Some((phrase, salt, work)) = passphrase {
        let file = seal_protected(PROTECTED, &content, phrase, salt, work)?;
        return Ok(Zeroizing::new(file));
    }
    // Room enough that the vector never moves and leaves a copy behind.
    let mut w = Writer::with_capacity(content.len().saturating_add(64));
    w.map(3);
    w.uint(1u8);
    w.text(UNPROTECTED);
    w.uint(2u8);
    w.bytes(&content);
    w.uint(3u8);
    w.bytes(&checksum(&content));
    Ok(Zeroizing::new(w.into_bytes()))
}

/// Opens a key file of any kind. `passphrase` must be given exactly if it is protected. Takes as
/// long as the file's parameters say.
///
/// # Errors
/// [`KeyFileError`].
pub fn open(bytes: &[u8], passphrase: Option<&[u8]>) -> Result<OwnerKey, KeyFileError> {
    match (parse(bytes)?, passphrase) {
        (Parsed::KeyFile, Some(phrase)) => Ok(keyfile::open_keyfile(bytes, phrase)?.into()),
        (Parsed::KeyFile, None) => Ok(keyfile::open_unprotected(bytes)?.into()),
        (Parsed::Protected(_), None) => Err(KeyFileError::Protected),
        (Parsed::Unprotected { .. }, Some(_)) => Err(KeyFileError::NotProtected),
        (Parsed::Protected(file), Some(phrase)) => decode(&file.open(phrase)?),
        (Parsed::Unprotected { content, check }, None) => {
            if checksum(content) != *check {
                return Err(KeyFileError::Checksum);
            }
            decode(content)
        }
    }
}

enum Parsed<'a> {
    /// Of the full key: see [`keyfile`].
    KeyFile,
    Protected(ProtectedFile<'a>),
    Unprotected {
        content: &'a [u8],
        check: &'a [u8; CHECK_LEN],
    },
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>, KeyFileError> {
    if bytes.len() > SUBSET_LEN_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    let mut map = r.required_map()?;
    map.step(&mut r)?;
    let parsed = match r.text()? {
        PROTECTED => Parsed::Protected(parse_protected(PROTECTED, &mut map, &mut r)?),
        UNPROTECTED => {
            map.step(&mut r)?;
            let content = r.bytes()?;
            map.step(&mut r)?;
            Parsed::Unprotected {
                content,
                check: r.bytes_exact()?,
            }
        }
        _ => return Ok(Parsed::KeyFile),
    };
    map.finish(&mut r)?;
    r.finish()?;
    Ok(parsed)
}

fn encode(key: &OwnerKey) -> Zeroizing<Vec<u8>> {
    // The largest content there is: the vector never moves.
    let mut w = Writer::with_capacity(SUBSET_LEN_MAX);
    let (kind, fields) = match &key.parts {
        Parts::Full(_) => (0, 2),
        Parts::Sign(_) => (SIGN, 5),
        Parts::List(_) => (LIST, 3),
        Parts::Read(_) => (READ, 5),
    };
    w.map(fields);
    w.uint(1u8);
    w.uint(kind);
    w.uint(2u8);
    w.bytes(key.owner.as_bytes());
    match &key.parts {
        Parts::Full(_) => {}
        Parts::Sign(part) => {
            w.uint(3u8);
            w.bytes(part.sign.expose());
            w.uint(4u8);
            w.bytes(part.recovery.as_bytes());
            w.uint(5u8);
            numbered(&mut w, &part.labels, |label| vec![label]);
        }
        Parts::List(epochs) => {
            w.uint(3u8);
            numbered(&mut w, epochs, |keys| vec![&keys.list, &keys.psk]);
        }
        Parts::Read(part) => {
            w.uint(3u8);
            numbered(&mut w, &part.epochs, |(keys, decrypt)| {
                vec![&keys.list, decrypt, &keys.psk]
            });
            w.uint(4u8);
            numbered(&mut w, &part.groups, |group| vec![group]);
            w.uint(5u8);
            w.bytes(part.recovery.expose());
        }
    }
    Zeroizing::new(w.into_bytes())
}

/// `[+ [number, key ..]]`.
fn numbered<T>(w: &mut Writer, items: &BTreeMap<u32, T>, keys: impl Fn(&T) -> Vec<&Secret32>) {
    w.array(items.len());
    for (number, item) in items {
        let keys = keys(item);
        w.array(keys.len().saturating_add(1));
        w.uint(*number);
        keys.iter().for_each(|key| w.bytes(key.expose()));
    }
}

/// The next byte string as a secret.
fn secret(r: &mut Reader<'_>) -> Result<Secret32, KeyFileError> {
    let bytes = r.bytes_exact::<32>()?;
    Ok(Secret32::init_with(|out| out.copy_from_slice(bytes)))
}

/// Reads `[+ [number, key ..]]` with N keys each.
fn read_numbered<const N: usize>(
    r: &mut Reader<'_>,
    max: usize,
) -> Result<BTreeMap<u32, [Secret32; N]>, KeyFileError> {
    let count = r.array()?;
    if count == 0 || count > max {
        return Err(KeyFileError::Content("number of epochs or groups"));
    }
    let mut items = BTreeMap::new();
    for _ in 0..count {
        r.array_exact(N.saturating_add(1))?;
        let number = r.u32()?;
        if items
            .last_key_value()
            .is_some_and(|(last, _)| *last >= number)
        {
            return Err(KeyFileError::Content("order of epochs or groups"));
        }
        let mut keys = Vec::with_capacity(N);
        for _ in 0..N {
            keys.push(secret(r)?);
        }
        let keys = <[Secret32; N]>::try_from(keys);
        items.insert(number, keys.map_err(|_| KeyFileError::Content("keys"))?);
    }
    Ok(items)
}

fn decode(content: &[u8]) -> Result<OwnerKey, KeyFileError> {
    let mut r = Reader::new(content);
    let mut map = r.required_map()?;
    map.step(&mut r)?;
    let kind = r.uint()?;
    map.step(&mut r)?;
    let owner = OwnerId(*r.bytes_exact()?);
    map.step(&mut r)?;
    let parts = match kind {
        SIGN => {
            let sign = secret(&mut r)?;
            if SigningKey::from_seed(&sign).owner_id() != owner {
                return Err(KeyFileError::Content("signing key of another owner"));
            }
            map.step(&mut r)?;
            let recovery = NodeId(*r.bytes_exact()?);
            map.step(&mut r)?;
            let labels = read_numbered(&mut r, SUBSET_EPOCHS_MAX)?;
            Parts::Sign(SignPart {
                sign,
                recovery,
                labels: labels.into_iter().map(|(e, [key])| (e, key)).collect(),
            })
        }
        LIST => {
            let epochs = read_numbered(&mut r, SUBSET_EPOCHS_MAX)?;
            let epochs = epochs.into_iter();
            Parts::List(
                epochs
                    .map(|(e, [list, psk])| (e, ListEpoch { list, psk }))
                    .collect(),
            )
        }
        READ => {
            let epochs = read_numbered(&mut r, SUBSET_EPOCHS_MAX)?;
            let keys = |(e, [list, decrypt, psk]): (u32, [Secret32; 3])| {
                (e, (ListEpoch { list, psk }, decrypt))
            };
            map.step(&mut r)?;
            let groups = read_numbered(&mut r, SUBSET_GROUPS_MAX)?;
            map.step(&mut r)?;
            Parts::Read(ReadPart {
                epochs: epochs.into_iter().map(keys).collect(),
                groups: groups.into_iter().map(|(g, [key])| (g, key)).collect(),
                recovery: secret(&mut r)?,
            })
        }
        _ => return Err(KeyFileError::Content("unknown part")),
    };
    map.finish(&mut r)?;
    r.finish()?;
    Ok(OwnerKey { owner, parts })
}
