//! POSIX access lists as the kernel keeps them in extended attributes: a version, then eight bytes for
//! each entry. They name users and groups by number; a backup adds the names, so that a restore on
//! another machine gives the access to the same people.

use std::collections::{BTreeMap, BTreeSet};

use packnback_proto::format::entry::AclName;
use packnback_proto::limits::{ACL_NAMES_MAX, USER_NAME_MAX};

use super::meta::IdNames;

/// Start of the names of both lists, that of access and that of new files.
const PREFIX: &[u8] = b"system.posix_acl_";
const VERSION: [u8; 4] = 2u32.to_le_bytes();
const ENTRY_LEN: usize = 8;
/// Tags of the entries that name somebody.
const USER: [u8; 2] = 2u16.to_le_bytes();
const GROUP: [u8; 2] = 8u16.to_le_bytes();

/// Whether an extended attribute is an access list.
pub(super) fn is_acl(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
}

/// Somebody an access list names: a group or a user, and the number.
type Named = (bool, u32);

fn entries(list: &[u8]) -> Option<impl Iterator<Item = (&[u8], Option<Named>)>> {
    let entries = list.strip_prefix(&VERSION)?.chunks_exact(ENTRY_LEN);
    entries.remainder().is_empty().then(|| {
        entries.map(|entry| {
            let is_group = match entry.get(..2) {
                Some(tag) if tag == USER => Some(false),
                Some(tag) if tag == GROUP => Some(true),
                _ => None,
            };
            let id = entry.last_chunk::<4>().map(|id| u32::from_le_bytes(*id));
            (entry, is_group.zip(id))
        })
    })
}

/// The names of those whom the access lists among these attributes mention, ascending.
pub fn acl_names(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>, names: &IdNames) -> Vec<AclName> {
    let lists = xattrs.iter().filter(|(name, _)| is_acl(name));
    let named: BTreeSet<Named> = lists
        .filter_map(|(_, list)| entries(list))
        .flat_map(|entries| entries.filter_map(|(_, named)| named))
        .collect();
    let known = named.into_iter().filter_map(|(is_group, id)| {
        let name = if is_group {
            names.group(id)
        } else {
            names.user(id)
        };
        let name = name.filter(|name| (1..=USER_NAME_MAX).contains(&name.len()))?;
        Some(AclName {
            is_group,
            id,
            name: name.to_string(),
        })
    });
    known.take(ACL_NAMES_MAX).collect()
}

/// An access list with the numbers of this machine. `here` gives the number of a name, if there is one;
/// who has no name keeps the number, unless a name has it here: nobody gets what was somebody else's.
pub(super) fn renumbered(
    list: &[u8],
    names: &[AclName],
    here: impl Fn(&AclName) -> Option<u32>,
) -> Vec<u8> {
    let mut ids: BTreeMap<Named, u32> = BTreeMap::new();
    for named in names {
        if let Some(id) = here(named) {
            ids.insert((named.is_group, named.id), id);
        }
    }
    let Some(entries) = entries(list).filter(|_| !ids.is_empty()) else {
        return list.to_vec();
    };
    let taken: BTreeSet<Named> = ids.iter().map(|((group, _), id)| (*group, *id)).collect();
    let mut out = VERSION.to_vec();
    for (entry, named) in entries {
        let new = named.and_then(|named| ids.get(&named));
        match (named, new, entry.get(..ENTRY_LEN - 4)) {
            (Some(_), Some(id), Some(head)) => {
                out.extend_from_slice(head);
                out.extend_from_slice(&id.to_le_bytes());
            }
            (Some(named), None, _) if taken.contains(&named) => {}
            _ => out.extend_from_slice(entry),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = VERSION.to_vec();
        for (tag, perm, id) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&perm.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    const NOBODY: u32 = u32::MAX;

    #[test]
    fn the_named_get_their_numbers_of_this_machine_and_nobody_elses() {
        let named = |is_group, id, name: &str| AclName {
            is_group,
            id,
            name: name.into(),
        };
        let names = [named(false, 1001, "bob"), named(true, 1001, "staff")];
        let here = |named: &AclName| match (named.is_group, named.name.as_str()) {
            (false, "bob") => Some(2001),
            _ => None,
        };
        let saved = list(&[
            (1, 6, NOBODY),
            (2, 6, 1001),
            (2, 4, 3000),
            // Somebody without a name, whose number is bob's here.
            (2, 7, 2001),
            (4, 4, NOBODY),
            (8, 5, 1001),
            (16, 6, NOBODY),
            (32, 0, NOBODY),
        ]);
        let restored = list(&[
            (1, 6, NOBODY),
            (2, 6, 2001),
            (2, 4, 3000),
            (4, 4, NOBODY),
            (8, 5, 1001),
            (16, 6, NOBODY),
            (32, 0, NOBODY),
        ]);
        assert_eq!(renumbered(&saved, &names, here), restored);
        assert_eq!(renumbered(&saved, &[], here), saved);
        assert_eq!(renumbered(b"no list", &names, here), b"no list");
        assert_eq!(renumbered(&saved[..7], &names, here), &saved[..7]);
    }

    #[test]
    fn names_are_those_of_everybody_mentioned_once() {
        let mut xattrs = BTreeMap::new();
        let root = list(&[(1, 6, NOBODY), (2, 6, 0), (8, 6, 0), (32, 0, NOBODY)]);
        xattrs.insert(b"system.posix_acl_access".to_vec(), root.clone());
        xattrs.insert(b"system.posix_acl_default".to_vec(), root.clone());
        xattrs.insert(b"user.other".to_vec(), list(&[(2, 6, 1)]));
        let names = acl_names(&xattrs, &IdNames::new());
        let found: Vec<_> = names.iter().map(|n| (n.is_group, n.id)).collect();
        assert_eq!(found, [(false, 0), (true, 0)]);
        assert_eq!(names[0].name, "root");
    }
}
