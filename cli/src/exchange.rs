//! The X25519 key to which a machine lets things be sealed: bundles for it, session keys to restore
//! with. Made at the first request, kept below home, and worth nothing without what is sealed to it.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use packnback_proto::crypto::hash::object_id;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::exchange::{ExchangeError, TextForm};
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;
use crate::system;

const CHECK_LEN: usize = 4;
/// Texts and files of enrolment are smaller.
const INPUT_MAX: u64 = 512 * 1024;
const UNCHANGED: &str = "Nothing was changed.";

fn path(home: &Home) -> PathBuf {
    home.config_dir().join("exchange.key")
}

/// The key of this home; `None` if it has none.
///
/// # Errors
/// When it is there and cannot be used.
pub fn load(home: &Home) -> Outcome<Option<Secret32>> {
    let path = path(home);
    let bytes = match read_small(&path, 64) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Failure::file("read", &path, &e).safe(UNCHANGED)),
    };
    let good = bytes
        .split_last_chunk::<CHECK_LEN>()
        .filter(|(secret, check)| object_id(secret).as_bytes().starts_with(*check))
        .and_then(|(secret, _)| Secret32::from_slice(secret));
    good.map(Some).ok_or_else(|| {
        Failure::failed("exchange-key", format!("{} is damaged", path.display()))
            .safe(UNCHANGED)
            .next("Move it away and make a new request.")
    })
}

/// The key of this home, made if there is none.
///
/// # Errors
/// When it cannot be used or written.
pub fn load_or_make(home: &Home) -> Outcome<Secret32> {
    if let Some(secret) = load(home)? {
        return Ok(secret);
    }
    home.create()?;
    let secret = system::random_secret()?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    bytes.extend_from_slice(secret.expose());
    bytes.extend(object_id(secret.expose()).as_bytes().iter().take(CHECK_LEN));
    let path = path(home);
    match write_private(&path, &bytes, Existing::Keep) {
        Ok(()) => Ok(secret),
        // Another run was faster: its key is as good.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            load(home)?.ok_or_else(|| Failure::file("read", &path, &e))
        }
        Err(e) => Err(Failure::file("write", &path, &e).safe(UNCHANGED)),
    }
}

/// The text that was named: itself, `-` for standard input, or a file that holds it.
///
/// # Errors
/// When it cannot be read or is not text.
pub fn read_text(arg: &str) -> Outcome<String> {
    if TextForm::of(arg).is_some() {
        return Ok(arg.to_owned());
    }
    let bytes = if arg == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().take(INPUT_MAX).read_to_end(&mut bytes);
        read.map_err(|e| {
            Failure::failed("input", format!("cannot read standard input: {e}")).safe(UNCHANGED)
        })?;
        bytes
    } else {
        let file = Path::new(arg);
        read_small(file, INPUT_MAX).map_err(|e| Failure::file("read", file, &e).safe(UNCHANGED))?
    };
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("{arg} is not text")).safe(UNCHANGED))
}

/// Writes a new file for somebody to carry; an existing one is kept.
///
/// # Errors
/// When it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Outcome<()> {
    write_private(path, bytes, Existing::Keep).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::refused("file-exists", format!("{} exists already", path.display()))
                .safe("It was not touched, and nothing else was changed.")
                .next("Choose another name.")
        }
        _ => Failure::file("write", path, &e).safe(UNCHANGED),
    })
}

/// A failure of something that was carried over, for people.
#[must_use]
pub fn failure(what: &str, error: &ExchangeError) -> Failure {
    let next = match error {
        ExchangeError::OtherMachine(_) => "Use it on the machine that made the request.",
        ExchangeError::Sealed(_) => {
            "Make a new request on this machine and have it answered; an answer fits one request only."
        }
        ExchangeError::Lack(lack) => return (*lack).into(),
        _ => "Copy it again, complete and unchanged, or have it made again.",
    };
    Failure::refused("exchange", format!("{what}: {error}"))
        .safe(UNCHANGED)
        .next(next)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_private_and_noticed_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::below(dir.path()).unwrap();
        assert!(load(&home).unwrap().is_none());
        let made = load_or_make(&home).unwrap();
        assert_eq!(load_or_make(&home).unwrap().expose(), made.expose());
        assert_eq!(load(&home).unwrap().unwrap().expose(), made.expose());
        let file = path(&home);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut bytes = std::fs::read(&file).unwrap();
        for (at, cut) in [(0, 36), (35, 36), (0, 35), (0, 0)] {
            let mut bad = bytes.clone();
            if let Some(byte) = bad.get_mut(at).filter(|_| cut == 36) {
                *byte ^= 1;
            }
            bad.truncate(cut);
            std::fs::write(&file, &bad).unwrap();
            assert!(load(&home).is_err());
            assert!(load_or_make(&home).is_err(), "never replaced silently");
        }
        bytes.push(0);
        std::fs::write(&file, &bytes).unwrap();
        assert!(load(&home).is_err());
    }
}
