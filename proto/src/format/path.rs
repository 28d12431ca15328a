//! Paths as stored: relative to `/`, components separated by `/`, any other bytes but NUL.

use std::cmp::Ordering;

use crate::limits::PATH_LEN_MAX;

/// Why bytes are not a path of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`PATH_LEN_MAX`].
    #[error("path is too long")]
    TooLong,
    /// Contains a NUL byte.
    #[error("path contains a NUL byte")]
    Nul,
    /// An empty component: empty path, leading, trailing or double slash.
    #[error("path is empty, absolute, or has an empty component")]
    Empty,
    /// A component `.` or `..`.
    #[error("path has a component . or ..")]
    Dots,
}

impl PathError {
    /// Stable name of the kind of failure, as in the golden vectors.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::TooLong => "path-too-long",
            Self::Nul => "path-nul",
            Self::Empty => "path-empty",
            Self::Dots => "path-dots",
        }
    }
}

/// Checks the rules for paths.
///
/// # Errors
/// [`PathError`], the first problem found.
pub fn check_path(path: &[u8]) -> Result<(), PathError> {
    if path.len() > PATH_LEN_MAX {
        return Err(PathError::TooLong);
    }
    path.split(|byte| *byte == b'/')
        .try_for_each(|component| match component {
            b"" => Err(PathError::Empty),
            b"." | b".." => Err(PathError::Dots),
            other if other.contains(&0) => Err(PathError::Nul),
            _ => Ok(()),
        })
}

/// The order of entries: a directory comes before what is in it, and that comes before the
/// directory's next sibling; siblings are in byte order.
///
/// The same as comparing component by component, or byte by byte with `/` as the lowest byte.
#[must_use]
pub fn path_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    match a.iter().zip(b).find(|(x, y)| x != y) {
        Some((x, y)) => rank(*x).cmp(&rank(*y)),
        None => a.len().cmp(&b.len()),
    }
}

/// Checks that paths are strictly ascending.
pub(super) fn ascending<'a>(mut paths: impl Iterator<Item = &'a [u8]>) -> bool {
    let Some(mut last) = paths.next() else {
        return true;
    };
    paths.all(|path| {
        let ok = path_cmp(last, path) == Ordering::Less;
        last = path;
        ok
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules() {
        for good in ["a", "a/b", "...", "..a/b.", "a\nb", "-"] {
            assert_eq!(check_path(good.as_bytes()), Ok(()), "{good:?}");
        }
        for (bad, error) in [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("/etc", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            (".", PathError::Dots),
            ("a/../b", PathError::Dots),
            ("..", PathError::Dots),
            ("a\0b", PathError::Nul),
        ] {
            assert_eq!(check_path(bad.as_bytes()), Err(error), "{bad:?}");
        }
        let longest = vec![b'x'; PATH_LEN_MAX];
        assert_eq!(check_path(&longest), Ok(()));
        assert_eq!(
            check_path(&[longest, vec![b'x']].concat()),
            Err(PathError::TooLong)
        );
    }

    #[test]
    fn a_directory_is_followed_by_its_content() {
        let order = ["a", "a/b", "a/b/c", "a/c", "a b", "a-b", "a.", "ab"];
        for pair in order.windows(2) {
            assert_eq!(
                path_cmp(pair[0].as_bytes(), pair[1].as_bytes()),
                Ordering::Less,
                "{pair:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn same_as_comparing_components(a in "[a/ \\-\u{1}]{0,8}", b in "[a/ \\-\u{1}]{0,8}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let components = a.split(|c| *c == b'/').cmp(b.split(|c| *c == b'/'));
            prop_assert_eq!(path_cmp(a, b), components);
        }
    }
}
