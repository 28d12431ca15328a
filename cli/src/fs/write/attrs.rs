//! Owner, mode, times and extended attributes of what is restored. What the system does not allow becomes a note.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};

use packnback_proto::format::entry::{AclName, Entry, EntryType};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::dirs::TargetDir;
use super::{Note, NoteKind, RestoreOptions};
use crate::fs::acl::{is_acl, renumbered};
use crate::fs::stat::{Kind, Stat};

/// Notes of one kind that are kept in full; the others are counted.
const NOTES_KEPT: u64 = 100;

const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const CAPABILITY: &[u8] = b"security.capability";
/// Labels that systems give by themselves where they use them: not worth a note when left out.
const SELINUX: &[u8] = b"security.selinux";
/// Extended attributes that are anybody's.
const PLAIN: [&[u8]; 2] = [b"user.", b"system.posix_acl_"];
const PLAIN_WHOLE: [&[u8]; 2] = [b"system.nfs4_acl", b"btrfs.compression"];
/// Extended attributes by which a system decides what may be done.
const LABELS: [&[u8]; 6] = [
    b"trusted.",
    SELINUX,
    b"security.SMACK64",
    b"security.apparmor",
    b"security.ima",
    b"security.evm",
];

/// Whether an extended attribute is restored, by an allow-list of names: any other might mean anything to
/// the next system.
fn is_allowed(name: &[u8], options: &RestoreOptions) -> Result<(), NoteKind> {
    let starts = |list: &[&[u8]]| list.iter().any(|start| name.starts_with(start));
    if starts(&PLAIN) || PLAIN_WHOLE.contains(&name) {
        Ok(())
    } else if name == CAPABILITY {
        options.set_id.then_some(()).ok_or(NoteKind::SetIdDropped)
    } else if starts(&LABELS) {
        options.labels.then_some(()).ok_or(NoteKind::LabelLeft)
    } else {
        Err(NoteKind::UnknownXattr)
    }
}

/// The part of an entry that attributes are set from.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    pub(super) kind: EntryType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime_ns: i64,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Sets attributes by the options and keeps the notes.
#[derive(Debug)]
pub(super) struct Setter {
    options: RestoreOptions,
    privileged: bool,
    users: Mutex<HashMap<String, Option<u32>>>,
    groups: Mutex<HashMap<String, Option<u32>>>,
    notes: Mutex<(Vec<Note>, BTreeMap<NoteKind, u64>)>,
}

/// A file by its descriptor, or by its name in a directory when it cannot be opened.
#[derive(Clone, Copy)]
enum Node<'a> {
    Fd(&'a OwnedFd),
    Name(&'a TargetDir, &'a [u8]),
}

impl Setter {
    pub(super) fn new(options: RestoreOptions) -> Setter {
        Setter {
            options,
            privileged: rustix::process::geteuid().is_root(),
            users: Mutex::default(),
            groups: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    pub(super) fn privileged(&self) -> bool {
        self.privileged
    }

    /// Adds a note.
    pub(super) fn note(&self, path: &[u8], kind: NoteKind, error: Option<Errno>) {
        let mut notes = self.notes.lock();
        let (kept, counts) = &mut *notes;
        let count = counts.entry(kind).or_insert(0);
        *count += 1;
        if *count <= NOTES_KEPT {
            kept.push(Note {
                path: path.to_vec(),
                kind,
                error: error.map(Into::into),
            });
        }
    }

    /// Gives out the notes so far.
    pub(super) fn take_notes(&self) -> (Vec<Note>, BTreeMap<NoteKind, u64>) {
        std::mem::take(&mut *self.notes.lock())
    }

    /// Owner and group on this machine.
    pub(super) fn owner(&self, entry: &Entry) -> (u32, u32) {
        let by_name = |is_group, name: &Option<String>| {
            let name = name.as_deref().filter(|_| !self.options.numeric_ids)?;
            self.id_of(is_group, name)
        };
        let uid = by_name(false, &entry.user);
        let gid = by_name(true, &entry.group);
        (uid.unwrap_or(entry.uid), gid.unwrap_or(entry.gid))
    }

    /// The number of a user or group of this machine, looked up once.
    fn id_of(&self, is_group: bool, name: &str) -> Option<u32> {
        let names = if is_group { &self.groups } else { &self.users };
        let mut names = names.lock();
        if let Some(known) = names.get(name) {
            return *known;
        }
        let found = if is_group {
            let group = nix::unistd::Group::from_name(name).ok().flatten();
            group.map(|group| group.gid.as_raw())
        } else {
            let user = nix::unistd::User::from_name(name).ok().flatten();
            user.map(|user| user.uid.as_raw())
        };
        names.insert(name.to_owned(), found);
        found
    }

    /// Extended attributes as they are to be here: access lists name the same people, as owners do.
    fn xattrs(&self, entry: &Entry) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut xattrs = entry.xattrs.clone();
        // Means something to a restore only while it goes on.
        xattrs.remove(super::open::UNFINISHED.to_bytes());
        if self.options.numeric_ids || entry.acl_names.is_empty() {
            return xattrs;
        }
        let here = |named: &AclName| self.id_of(named.is_group, &named.name);
        for (_, list) in xattrs.iter_mut().filter(|(name, _)| is_acl(name)) {
            *list = renumbered(list, &entry.acl_names, here);
        }
        xattrs
    }

    /// Permission bits an entry gets by the options.
    pub(super) fn mode(&self, entry: &Entry) -> u32 {
        let keeps_set_id = self.options.set_id || entry.kind == EntryType::Dir;
        entry.mode & if keeps_set_id { 0o7777 } else { 0o1777 }
    }

    /// What is to be set from an entry.
    pub(super) fn wanted(&self, entry: &Entry) -> Attributes {
        let (uid, gid) = self.owner(entry);
        let mode = self.mode(entry);
        if mode != entry.mode & 0o7777 {
            self.note(&entry.path, NoteKind::SetIdDropped, None);
        }
        Attributes {
            kind: entry.kind,
            mode,
            uid,
            gid,
            mtime_ns: entry.mtime_ns,
            xattrs: self.xattrs(entry),
        }
    }

    /// Sets everything on an open file that is now as `now` says. `clean`: remove extended attributes the entry
    /// does not have.
    pub(super) fn apply_fd(
        &self,
        fd: &OwnedFd,
        path: &[u8],
        want: &Attributes,
        now: &Stat,
        clean: bool,
    ) {
        self.apply(Node::Fd(fd), path, want, now, clean);
    }

    /// The same for a link, pipe or device, which is never opened.
    pub(super) fn apply_name(
        &self,
        dir: &TargetDir,
        name: &[u8],
        path: &[u8],
        want: &Attributes,
        now: &Stat,
    ) {
        self.apply(
            Node::Name(dir, name),
            path,
            want,
            now,
            dir.inherits && want.kind != EntryType::Symlink,
        );
    }

    /// Owner first, since changing it clears set-id bits; then extended attributes, which a read-only mode could
    /// forbid; then the mode; the time last.
    fn apply(&self, node: Node<'_>, path: &[u8], want: &Attributes, now: &Stat, clean: bool) {
        let mut chowned = false;
        if (want.uid, want.gid) != (now.uid, now.gid) {
            match self.chown(node, want, now) {
                Ok(()) => chowned = true,
                Err(errno) => self.note(path, NoteKind::Owner, errno),
            }
        }
        if clean {
            self.remove_strangers(node, path, want);
        }
        // Without privileges, the owner too needs write permission for user attributes.
        let opened = !want.xattrs.is_empty() && !self.privileged && now.mode & 0o200 == 0;
        if opened
            && want.kind != EntryType::Symlink
            && let Err(errno) = set_mode(node, now.mode | 0o200, now)
        {
            self.note(path, NoteKind::Mode, Some(errno));
        }
        // ACLs last: they may take that permission away.
        let (acls, others): (Vec<_>, Vec<_>) =
            want.xattrs.iter().partition(|(name, _)| is_acl(name));
        for (name, value) in others.into_iter().chain(acls) {
            if let Err(why) = is_allowed(name, &self.options) {
                if name != SELINUX {
                    self.note(path, why, None);
                }
                continue;
            }
            if let Err(errno) = set_xattr(node, name, value) {
                self.note(path, NoteKind::Xattr, Some(errno));
            }
        }
        let acl = clean || want.xattrs.contains_key(ACL_ACCESS);
        let touched = acl || opened || (chowned && want.mode & 0o6000 != 0);
        if want.kind != EntryType::Symlink
            && (want.mode != now.mode || touched)
            && let Err(errno) = set_mode(node, want.mode, now)
        {
            self.note(path, NoteKind::Mode, Some(errno));
        }
        if let Err(errno) = set_mtime(node, want.mtime_ns) {
            self.note(path, NoteKind::Time, Some(errno));
        }
    }

    fn chown(&self, node: Node<'_>, want: &Attributes, now: &Stat) -> Result<(), Option<Errno>> {
        // The number that means "do not change".
        if want.uid == u32::MAX || want.gid == u32::MAX {
            return Err(Some(Errno::INVAL));
        }
        let user = if want.uid == now.uid {
            None
        } else {
            Some(Uid::from_raw(want.uid))
        };
        if user.is_some() && !self.privileged {
            return Err(None);
        }
        let group = if want.gid == now.gid {
            None
        } else {
            Some(Gid::from_raw(want.gid))
        };
        let done = match node {
            Node::Fd(fd) => rustix::fs::fchown(fd, user, group),
            Node::Name(dir, name) => {
                rustix::fs::chownat(&dir.fd, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            }
        };
        done.map_err(Some)
    }

    /// Removes user attributes and ACLs that the entry does not have; labels of the system stay.
    fn remove_strangers(&self, node: Node<'_>, path: &[u8], want: &Attributes) {
        let mut list = Vec::with_capacity(64 << 10);
        let listed = match node {
            Node::Fd(fd) => rustix::fs::flistxattr(fd, rustix::buffer::spare_capacity(&mut list)),
            Node::Name(dir, name) => rustix::fs::llistxattr(
                dir.proc_path(name),
                rustix::buffer::spare_capacity(&mut list),
            ),
        };
        match listed {
            Ok(_) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => self.note(path, NoteKind::Xattr, Some(errno)),
        }
        for name in list.split(|&b| b == 0) {
            let ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
            if !ours || want.xattrs.contains_key(name) {
                continue;
            }
            let removed = match node {
                Node::Fd(fd) => rustix::fs::fremovexattr(fd, name),
                Node::Name(dir, own) => rustix::fs::lremovexattr(dir.proc_path(own), name),
            };
            if let Err(errno) = removed
                && errno != Errno::NODATA
            {
                self.note(path, NoteKind::Xattr, Some(errno));
            }
        }
    }
}

fn set_xattr(node: Node<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    match node {
        Node::Fd(fd) => rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Node::Name(dir, own) => {
            rustix::fs::lsetxattr(dir.proc_path(own), name, value, XattrFlags::empty())
        }
    }
}

fn set_mode(node: Node<'_>, mode: u32, now: &Stat) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match node {
        Node::Fd(fd) => rustix::fs::fchmod(fd, mode),
        Node::Name(dir, name) => {
            // By name, chmod would follow a link somebody may have put there: pin the node, check it, then set.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let pinned = rustix::fs::openat(&dir.fd, name, flags, Mode::empty())?;
            let found = Stat::of(&rustix::fs::fstat(&pinned)?);
            if !found.same_file_as(now) || found.kind == Kind::Symlink {
                return Err(Errno::STALE);
            }
            rustix::fs::chmod(format!("/proc/self/fd/{}", pinned.as_raw_fd()), mode)
        }
    }
}

fn set_mtime(node: Node<'_>, mtime_ns: i64) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime_ns.div_euclid(1_000_000_000),
            tv_nsec: mtime_ns.rem_euclid(1_000_000_000),
        },
    };
    match node {
        Node::Fd(fd) => rustix::fs::futimens(fd, &times),
        Node::Name(dir, name) => {
            rustix::fs::utimensat(&dir.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_by_a_list_of_names() {
        let plain = RestoreOptions::default();
        let all = RestoreOptions {
            set_id: true,
            labels: true,
            ..RestoreOptions::default()
        };
        for (name, without, with) in [
            ("user.note", Ok(()), Ok(())),
            ("system.posix_acl_access", Ok(()), Ok(())),
            ("security.capability", Err(NoteKind::SetIdDropped), Ok(())),
            ("security.selinux", Err(NoteKind::LabelLeft), Ok(())),
            ("trusted.overlay.opaque", Err(NoteKind::LabelLeft), Ok(())),
            (
                "security.of.tomorrow",
                Err(NoteKind::UnknownXattr),
                Err(NoteKind::UnknownXattr),
            ),
            (
                "system.of.tomorrow",
                Err(NoteKind::UnknownXattr),
                Err(NoteKind::UnknownXattr),
            ),
        ] {
            assert_eq!(is_allowed(name.as_bytes(), &plain), without, "{name}");
            assert_eq!(is_allowed(name.as_bytes(), &all), with, "{name}");
        }
    }
}
