//! The patterns of a restore: those of a backup.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::exit::{Failure, Outcome};
use crate::fs::Excludes;

/// Patterns as in a backup; what is below a match matches. `None` if there are none.
///
/// # Errors
/// Wrong usage, when one cannot be understood.
pub fn patterns(given: &[OsString]) -> Outcome<Option<Excludes>> {
    let mut patterns = Excludes::new();
    for pattern in given {
        patterns.add(pattern.as_bytes()).map_err(|e| {
            Failure::usage(format!("the pattern cannot be understood: {e}"))
                .safe("Nothing was written.")
        })?;
    }
    Ok(Some(patterns).filter(|patterns| !patterns.is_empty()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn patterns_are_those_of_a_backup() {
        let given: Vec<OsString> = vec!["*.txt".into(), "/home/ann/".into()];
        let set = patterns(&given).unwrap().unwrap();
        for (path, asked) in [
            ("home/a.txt", true),
            ("home/x/y/a.txt", true),
            ("home/a.txtx", false),
            ("home/ann", true),
            ("home/anna", false),
            ("home/x/home/ann", false),
        ] {
            assert_eq!(
                set.asks_for(path.as_bytes(), b"home", true),
                asked,
                "{path}"
            );
        }
        assert!(patterns(&[]).unwrap().is_none());
        assert_eq!(patterns(&["a[".into()]).unwrap_err().exit, Exit::Usage);
    }
}
