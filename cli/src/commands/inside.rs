//! A path inside a snapshot, as people name it: `ls latest Documents` from where they stand.

use std::os::unix::ffi::OsStrExt;

use crate::args::stored;
use crate::exit::{Failure, Outcome};
use crate::keys::ReaderKeys;
use crate::records::LoadedSnapshot;
use crate::render;
use crate::restore::RestoreError;
use crate::snapshot::{ObjectSource, Snapshot};

/// Where the path is that was named: as given from the top; else, if it has no slash before it, below
/// the working folder, or else by the name of a saved path, or inside of one.
///
/// # Errors
/// When it is at none of these, or in several saved folders.
pub fn find(
    source: &dyn ObjectSource,
    keys: &ReaderKeys,
    snap: &LoadedSnapshot,
    path: &[u8],
    from_top: bool,
) -> Outcome<Vec<u8>> {
    let open = Snapshot::open(source, keys, snap)?;
    let is_there = |path: &[u8]| is_there(&open, path);
    if is_there(path)? {
        return Ok(path.to_vec());
    }
    let missing = || RestoreError::NoPath(format!("/{}", render::path(path)));
    if from_top {
        return Err(missing().into());
    }
    let here = std::env::current_dir().ok();
    let here = here.and_then(|here| stored(here.as_os_str().as_bytes()));
    if let Some(path) = here.map(|here| joined(&here, path))
        && is_there(&path)?
    {
        return Ok(path);
    }
    let mut found = Vec::new();
    for path in candidates(&open.root().paths, path) {
        if is_there(&path)? {
            found.push(path);
        }
    }
    match found.as_slice() {
        [] => Err(missing().into()),
        [one] => Ok(one.clone()),
        several => {
            let several: Vec<String> = several
                .iter()
                .map(|path| format!("/{}", render::path(path)))
                .collect();
            Err(Failure::refused(
                "several-paths",
                format!(
                    "{} may be any of: {}",
                    render::path(path),
                    several.join(", ")
                ),
            )
            .safe("Nothing was changed.")
            .next("Name one of them, with the slash before it."))
        }
    }
}

/// Where a path may be that is named by the last name of a saved path, or by what is in one.
fn candidates(roots: &[Vec<u8>], path: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for root in roots {
        let above = root
            .iter()
            .rposition(|byte| *byte == b'/')
            .and_then(|at| root.get(..at))
            .unwrap_or_default();
        let beside = joined(above, path);
        let within = beside
            .strip_prefix(root.as_slice())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
        for path in [within.then_some(beside), Some(joined(root, path))] {
            found.extend(path);
        }
    }
    found.sort();
    found.dedup();
    found
}

fn joined(folder: &[u8], path: &[u8]) -> Vec<u8> {
    if folder.is_empty() {
        return path.to_vec();
    }
    [folder, path].join(&b'/')
}

fn is_there(open: &Snapshot<'_>, path: &[u8]) -> Outcome<bool> {
    let mut there = false;
    let looked = open.below(path).each(|_| {
        there = true;
        false
    });
    if !there {
        looked?;
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_sought_by_the_name_of_a_saved_folder_and_inside_of_it() {
        let roots = [b"home/you/Documents".to_vec(), b"srv".to_vec()];
        let of = |path: &[u8]| candidates(&roots, path);
        assert_eq!(
            of(b"Documents/a"),
            [
                b"home/you/Documents/Documents/a".to_vec(),
                b"home/you/Documents/a".to_vec(),
                b"srv/Documents/a".to_vec(),
            ]
        );
        // A name that only begins alike is another.
        assert_eq!(
            of(b"Documents2"),
            [
                b"home/you/Documents/Documents2".to_vec(),
                b"srv/Documents2".to_vec()
            ]
        );
    }
}
