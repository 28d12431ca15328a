//! The key of this node: device key, host key and libp2p identity in one.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use packnback_proto::crypto::secret::Secret32;
use packnback_sys::files::{Existing, write_private};
use zeroize::Zeroizing;

use crate::ports::{Dice as _, SystemDice};

/// Name of the key file in the folder of the node.
pub const KEY_NAME: &str = "identity.key";

const MAGIC: &[u8; 8] = b"PNBNODE1";
const SEED_LEN: usize = 32;
const CHECK_LEN: usize = 8;
const FILE_LEN: usize = MAGIC.len() + SEED_LEN + CHECK_LEN;

/// The key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file system said no.
    #[error("cannot use {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is damaged. It is never replaced: another key would be another node, and friends
    /// would not know it.
    #[error("{0} is damaged; restore it from a copy of the home, or use another home")]
    Damaged(PathBuf),
    /// There is no randomness to be had.
    #[error("the system gives no random numbers")]
    Random,
}

/// Reads the key of this node; makes it at the first start.
///
/// # Errors
/// [`IdentityError`].
pub fn load_or_create(dir: &Path) -> Result<Secret32, IdentityError> {
    let path = dir.join(KEY_NAME);
    let io = |error| IdentityError::Io {
        path: path.clone(),
        error,
    };
    match File::open(&path) {
        Ok(_) => load(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; SEED_LEN]);
            // Made once on this machine, whatever runs over it later.
            let made = SystemDice.fill(seed.as_mut_slice());
            made.map_err(|_| IdentityError::Random)?;
            write(&path, &seed).map_err(io)?;
            Ok(Secret32::new(*seed))
        }
        Err(error) => Err(io(error)),
    }
}

/// Reads the key of this node where none may be made.
///
/// # Errors
/// [`IdentityError`].
pub fn load(dir: &Path) -> Result<Secret32, IdentityError> {
    let path = dir.join(KEY_NAME);
    let io = |error| IdentityError::Io {
        path: path.clone(),
        error,
    };
    let file = File::open(&path).map_err(io)?;
    read(file).map_err(io)?.ok_or(IdentityError::Damaged(path))
}

/// `None` if it is no key.
fn read(file: File) -> io::Result<Option<Secret32>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN + 1));
    let most = u64::try_from(FILE_LEN + 1).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

fn check(body: &[u8]) -> [u8; CHECK_LEN] {
    let hash = blake3::hash(body);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn parse(bytes: &[u8]) -> Option<Secret32> {
    let (body, sum) = bytes.split_last_chunk::<CHECK_LEN>()?;
    let seed = body.strip_prefix(MAGIC)?.try_into().ok()?;
    (check(body) == *sum).then(|| Secret32::new(seed))
}

/// All of the file or none of it: a crash leaves no half key behind.
fn write(path: &Path, seed: &[u8; SEED_LEN]) -> io::Result<()> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LEN));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(seed);
    let sum = check(&bytes);
    bytes.extend_from_slice(&sum);
    // What stands there by now is not replaced: another key would be another node.
    write_private(path, &bytes, Existing::Keep)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let key = load_or_create(dir.path()).unwrap();
        assert_eq!(load_or_create(dir.path()).unwrap().expose(), key.expose());
        let mode = fs::metadata(dir.path().join(KEY_NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let path = dir.path().join(KEY_NAME);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        for bad in [
            &flipped[..],
            &good[..good.len() - 1],
            b"",
            &[&good[..], b"x"].concat(),
        ] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(
                load_or_create(dir.path()),
                Err(IdentityError::Damaged(_))
            ));
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_crash_before_the_rename_leaves_no_key_and_no_link_leads_it_away() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("identity.new"), b"PNBNODE1 half").unwrap();
        fs::write(dir.path().join(".identity.key.x.new"), b"PNBNODE1 half").unwrap();
        let key = load_or_create(dir.path()).unwrap();
        assert_eq!(load_or_create(dir.path()).unwrap().expose(), key.expose());
    }
}
