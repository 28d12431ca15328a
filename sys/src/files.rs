//! Writing files so that a crash leaves the old or the new one, never half of one.
//!
//! What is new is written under a name nobody can guess, into a file that did not exist before: whoever
//! may write to the same folder can neither wait there with a link nor read along.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Readable by this user only.
const PRIVATE: u32 = 0o600;
/// As other programs make files: what the umask leaves of it.
const USUAL: u32 = 0o666;

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced at once, by a rename. If it is a link, the link is.
    Replace,
    /// It is kept, and the call fails.
    Keep,
}

/// Writes a file readable by this user only; it and its folder are on disk when this returns.
///
/// # Errors
/// What the system said. Nothing is left behind then, and an existing file is as it was.
pub fn write_private(path: &Path, bytes: &[u8], existing: Existing) -> io::Result<()> {
    let dir = folder_of(path)?;
    let mut file = fresh(path, PRIVATE)?;
    // Whatever the umask took away.
    file.as_file()
        .set_permissions(Permissions::from_mode(PRIVATE))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    match existing {
        Existing::Replace => file.persist(path)?,
        Existing::Keep => file.persist_noclobber(path)?,
    };
    File::open(dir)?.sync_all()
}

/// Writes a file others may read as far as the umask lets them, in place of what is there. It is on disk
/// when the system finds the time: for what can be made again.
///
/// # Errors
/// What the system said. Nothing is left behind then, and an existing file is as it was.
pub fn write_usual(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fresh(path, USUAL)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Makes a folder for this user only, under a name that begins so and that nobody can guess.
///
/// # Errors
/// What the system said.
pub fn private_folder(top: &Path, prefix: &str) -> io::Result<PathBuf> {
    let made = Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(top)?;
    Ok(made.keep())
}

/// A new file beside `path`, removed when it is dropped before it took its place.
fn fresh(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prefix = std::ffi::OsString::from(".");
    // The whole name may be as long as names can be.
    prefix.push(name.to_string_lossy().chars().take(40).collect::<String>());
    prefix.push(".");
    Builder::new()
        .prefix(&prefix)
        .suffix(".new")
        .rand_bytes(12)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder_of(path)?)
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(dir) => Ok(dir),
        None => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// Reads a file that must not be larger than `limit`.
///
/// # Errors
/// What the system said, or [`io::ErrorKind::FileTooLarge`].
pub fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn private_files_are_new_whole_and_replaced_only_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one", Existing::Keep).unwrap();
        assert_eq!(mode(&path), 0o600);
        let error = write_private(&path, b"two", Existing::Keep).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_private(&path, b"three", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(read_small(&path, 5).unwrap(), b"three");
        assert_eq!(
            read_small(&path, 4).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    /// Somebody who may write to the folder waits with links and open files under every name that could be
    /// known before: none of them gets a byte.
    #[test]
    fn nobody_can_wait_under_a_name_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, b"old").unwrap();
        let path = dir.path().join("owner.key");
        let pid = std::process::id();
        for name in [
            format!(".owner.key.{pid}.new"),
            "owner.new".into(),
            "owner.part".into(),
            "owner.key.tmp".into(),
            ".owner.key.new".into(),
        ] {
            symlink(&victim, dir.path().join(name)).unwrap();
        }
        let before = fs::metadata(&victim).unwrap().ino();
        write_private(&path, b"secret", Existing::Keep).unwrap();
        write_private(&path, b"secret", Existing::Replace).unwrap();
        write_usual(&path, b"secret").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"old");
        assert_eq!(fs::metadata(&victim).unwrap().ino(), before);
        assert_ne!(fs::metadata(&path).unwrap().ino(), before);
    }

    #[test]
    fn a_link_in_the_place_of_the_file_is_kept_or_replaced_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, b"old").unwrap();
        let path = dir.path().join("owner.key");
        symlink(&victim, &path).unwrap();
        write_private(&path, b"secret", Existing::Keep).unwrap_err();
        symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
        write_private(&dir.path().join("dangling"), b"secret", Existing::Keep).unwrap_err();
        assert!(!dir.path().join("nowhere").exists());
        assert_eq!(fs::read_link(&path).unwrap(), victim);
        write_private(&path, b"secret", Existing::Replace).unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&victim).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_longest_name_there_can_be_is_written_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ü".repeat(127));
        write_private(&path, b"x", Existing::Keep).unwrap();
        write_usual(&path, b"y").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"y");
        assert!(write_private(Path::new("/"), b"x", Existing::Keep).is_err());
    }
}
