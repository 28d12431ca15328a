//! Paths as raw bytes: the order of the format, lexical clean-up, and the check every restored path must pass.

use std::cmp::Ordering;
use std::path::Path;

/// Longest file name Linux file systems accept.
pub const NAME_MAX: usize = 255;

/// Longest path the kernel takes in one call, without its terminating NUL.
pub(crate) const KERNEL_PATH_MAX: usize = 4095;

/// Why a path from a snapshot is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Nothing in it.
    #[error("the path is empty")]
    Empty,
    /// Starts with a slash.
    #[error("the path is absolute")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// Has a component `.` or `..`.
    #[error("the path has a component '.' or '..'")]
    DotComponent,
    /// Has a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// A component is longer than [`NAME_MAX`].
    #[error("a name in the path is longer than {NAME_MAX} bytes")]
    LongName,
}

/// Checks a path of a snapshot: relative, no empty, `.` or `..` component, no NUL, no name over [`NAME_MAX`].
///
/// # Errors
/// Says which rule is broken.
pub fn check_path(path: &[u8]) -> Result<(), BadPath> {
    match path.first() {
        None => return Err(BadPath::Empty),
        Some(b'/') => return Err(BadPath::Absolute),
        Some(_) => {}
    }
    for name in path.split(|&b| b == b'/') {
        check_name(name)?;
    }
    Ok(())
}

/// Checks one component of a path.
pub(crate) fn check_name(name: &[u8]) -> Result<(), BadPath> {
    if name.is_empty() {
        return Err(BadPath::EmptyComponent);
    }
    if name == b"." || name == b".." {
        return Err(BadPath::DotComponent);
    }
    if name.contains(&0) {
        return Err(BadPath::Nul);
    }
    if name.contains(&b'/') {
        return Err(BadPath::EmptyComponent);
    }
    if name.len() > NAME_MAX {
        return Err(BadPath::LongName);
    }
    Ok(())
}

/// Compares two paths in the order of the format: bytewise, with `/` as the lowest byte, so that a
/// directory comes directly before what is in it and siblings come in byte order.
#[must_use]
pub fn path_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let first_difference = a.iter().zip(b).find(|(x, y)| x != y);
    match first_difference {
        None => a.len().cmp(&b.len()),
        Some((&x, &y)) => rank(x).cmp(&rank(y)),
    }
}

/// Place of a byte in the order of [`path_cmp`].
fn rank(byte: u8) -> u16 {
    if byte == b'/' { 0 } else { u16::from(byte) + 1 }
}

/// Splits a path in parent and name. The parent of a single name is empty (the top).
#[must_use]
pub fn split_parent(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        None => (&[], path),
        Some(at) => {
            let (parent, rest) = path.split_at(at);
            (parent, rest.get(1..).unwrap_or_default())
        }
    }
}

/// Joins a parent (may be empty) and a name.
#[must_use]
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(parent.len() + 1 + name.len());
    out.extend_from_slice(parent);
    if !parent.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(name);
    out
}

/// Whether `path` is `dir` or lies below it. Everything lies below the empty path.
#[must_use]
pub fn is_at_or_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty()
        || path
            .strip_prefix(dir)
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

/// Makes a path of the command line absolute and clean by its text alone (no link is followed), and
/// returns it as the format stores it: relative to `/`, components joined by one slash. `/` gives the empty path.
#[must_use]
pub fn stored_path(path: &Path, cwd: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let text = path.as_os_str().as_bytes();
    let base: &[u8] = if text.first() == Some(&b'/') {
        b""
    } else {
        cwd.as_os_str().as_bytes()
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in base.split(|&b| b == b'/').chain(text.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join(&b'/')
}
