//! Entries of segments to CBOR and back.
//!
//! ```text
//! entry = { 1: path bstr, 2: type uint, 3: mode, 4: uid, 5: gid, 6: mtime_ns int, 7: size,
//!           ?8: link bstr, ?9: xattrs {+ bstr => bstr}, ?10: rdev, ?11: hard link group bstr8,
//!           ?12: data, ?13: user name tstr, ?14: group name tstr,
//!           ?15: [+ [0 user / 1 group, id, name tstr]] names in access lists }
//! data  = [1, ref_idx, off, len]
//!       / [2, dom, ses_idx, [+ [ref_idx, raw_len] / [null, hole_len]], kb bstr]
//!       / [3, [+ ref_idx]]
//! ```

use std::collections::BTreeMap;

use super::entry::{AclName, Entry, EntryType, FileData, Part};
use super::keyblob::{chunk_count, key_blob_len};
use super::path::check_path;
use super::payload::{PayloadError, check_count, check_ref};
use crate::cbor::{CborError, Reader, Writer};
use crate::limits::{
    ACL_NAMES_MAX, CHUNK_MAX, INLINE_CHUNKS_MAX, INLINE_PARTS_MAX, PACK_MAX, PATH_LEN_MAX,
    REFS_MAX, USER_NAME_MAX, XATTR_NAME_MAX, XATTR_VALUE_MAX, XATTRS_MAX,
};

/// `st_mode` bits an entry may have.
const MODE_MASK: u32 = 0o7777;

/// What the indexes in an entry are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub(super) n_refs: usize,
    pub(super) n_sessions: usize,
}

impl EntryType {
    /// From the number in the format.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [
            Self::File,
            Self::Dir,
            Self::Symlink,
            Self::Fifo,
            Self::Char,
            Self::Block,
        ]
        .into_iter()
        .find(|kind| kind.number() == number)
    }

    /// The number in the format.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::File => 0,
            Self::Dir => 1,
            Self::Symlink => 2,
            Self::Fifo => 3,
            Self::Char => 4,
            Self::Block => 5,
        }
    }
}

/// Bytes an entry takes in a segment; a segment adds less than 64 KiB for its session table of up
/// to a thousand sessions.
#[must_use]
pub fn entry_len(entry: &Entry) -> usize {
    let mut w = Writer::default();
    write_entry(&mut w, entry);
    w.len()
}

/// Whether one entry obeys the format, apart from its indexes: what a writer asks before it adds
/// the entry to a segment.
///
/// # Errors
/// [`PayloadError`], the first problem found.
pub fn validate_entry(entry: &Entry) -> Result<(), PayloadError> {
    check_entry(
        entry,
        Scope {
            n_refs: REFS_MAX,
            n_sessions: usize::MAX,
        },
    )
}

pub(super) fn write_entry(w: &mut Writer, e: &Entry) {
    let optional = [
        e.link.is_some(),
        !e.xattrs.is_empty(),
        e.rdev.is_some(),
        e.hardlink.is_some(),
        e.data.is_some(),
        e.user.is_some(),
        e.group.is_some(),
        !e.acl_names.is_empty(),
    ];
    w.map(7 + optional.iter().filter(|present| **present).count());
    w.uint(1u8);
    w.bytes(&e.path);
    w.uint(2u8);
    w.uint(e.kind.number());
    for (key, value) in [(3u8, e.mode), (4, e.uid), (5, e.gid)] {
        w.uint(key);
        w.uint(value);
    }
    w.uint(6u8);
    w.int(e.mtime_ns);
    w.uint(7u8);
    w.uint(e.size);
    if let Some(link) = &e.link {
        w.uint(8u8);
        w.bytes(link);
    }
    if !e.xattrs.is_empty() {
        w.uint(9u8);
        write_xattrs(w, &e.xattrs);
    }
    if let Some(rdev) = e.rdev {
        w.uint(10u8);
        w.uint(rdev);
    }
    if let Some(hardlink) = &e.hardlink {
        w.uint(11u8);
        w.bytes(hardlink);
    }
    if let Some(data) = &e.data {
        w.uint(12u8);
        write_data(w, data);
    }
    for (key, name) in [(13u8, &e.user), (14, &e.group)] {
        if let Some(name) = name {
            w.uint(key);
            w.text(name);
        }
    }
    if !e.acl_names.is_empty() {
        w.uint(15u8);
        write_acl_names(w, &e.acl_names);
    }
}

fn write_acl_names(w: &mut Writer, names: &[AclName]) {
    w.array(names.len());
    for named in names {
        w.array(3);
        w.uint(u8::from(named.is_group));
        w.uint(named.id);
        w.text(&named.name);
    }
}

/// Keys of deterministic CBOR are in the order of their encoding: the shorter first.
fn write_xattrs(w: &mut Writer, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut sorted: Vec<_> = xattrs.iter().collect();
    sorted.sort_by_key(|(name, _)| (name.len(), *name));
    w.map(sorted.len());
    for (name, value) in sorted {
        w.bytes(name);
        w.bytes(value);
    }
}

fn write_data(w: &mut Writer, data: &FileData) {
    match data {
        FileData::Pack { ref_idx, off, len } => {
            w.array(4);
            w.uint(1u8);
            [ref_idx, off, len].into_iter().for_each(|n| w.uint(*n));
        }
        FileData::Chunks {
            dom,
            ses_idx,
            parts,
            kb,
        } => {
            w.array(5);
            w.uint(2u8);
            w.uint(*dom);
            w.uint(*ses_idx);
            w.array(parts.len());
            parts.iter().for_each(|part| write_part(w, part));
            w.bytes(kb);
        }
        FileData::Maps { refs } => {
            w.array(2);
            w.uint(3u8);
            w.array(refs.len());
            refs.iter().for_each(|r| w.uint(*r));
        }
    }
}

fn write_part(w: &mut Writer, part: &Part) {
    w.array(2);
    match *part {
        Part::Chunk { ref_idx, len } => {
            w.uint(ref_idx);
            w.uint(len);
        }
        Part::Hole { len } => {
            w.null();
            w.uint(len);
        }
    }
}

pub(super) fn read_entry(r: &mut Reader<'_>) -> Result<Entry, PayloadError> {
    let mut keys = r.int_map()?;
    let (mut path, mut kind, mut mode, mut uid, mut gid) = (None, None, None, None, None);
    let (mut mtime_ns, mut size, mut link, mut xattrs) = (None, None, None, BTreeMap::new());
    let (mut rdev, mut hardlink, mut data, mut user, mut group) = (None, None, None, None, None);
    let mut acl_names = Vec::new();
    while let Some(key) = keys.next(r)? {
        match key {
            1 => path = Some(r.bytes()?.to_vec()),
            2 => {
                let number = r.uint()?;
                kind =
                    Some(EntryType::from_number(number).ok_or(PayloadError::UnknownType(number))?);
            }
            3 => mode = Some(r.u32()?),
            4 => uid = Some(r.u32()?),
            5 => gid = Some(r.u32()?),
            6 => mtime_ns = Some(r.i64()?),
            7 => size = Some(r.uint()?),
            8 => link = Some(r.bytes()?.to_vec()),
            9 => xattrs = read_xattrs(r)?,
            10 => rdev = Some(r.uint()?),
            11 => hardlink = Some(*r.bytes_exact()?),
            12 => data = Some(read_data(r)?),
            13 => user = Some(r.text()?.to_owned()),
            14 => group = Some(r.text()?.to_owned()),
            15 => acl_names = read_acl_names(r)?,
            other => return Err(CborError::UnknownKey(other).into()),
        }
    }
    Ok(Entry {
        path: path.ok_or(CborError::MissingKey(1))?,
        kind: kind.ok_or(CborError::MissingKey(2))?,
        mode: mode.ok_or(CborError::MissingKey(3))?,
        uid: uid.ok_or(CborError::MissingKey(4))?,
        gid: gid.ok_or(CborError::MissingKey(5))?,
        mtime_ns: mtime_ns.ok_or(CborError::MissingKey(6))?,
        size: size.ok_or(CborError::MissingKey(7))?,
        link,
        xattrs,
        rdev,
        hardlink,
        data,
        user,
        group,
        acl_names,
    })
}

fn read_acl_names(r: &mut Reader<'_>) -> Result<Vec<AclName>, PayloadError> {
    let count = r.array()?;
    check_count(count, 1..=ACL_NAMES_MAX, "access list")?;
    (0..count)
        .map(|_| {
            r.array_exact(3)?;
            let is_group = match r.uint()? {
                0 => false,
                1 => true,
                _ => return Err(CborError::OutOfRange.into()),
            };
            Ok(AclName {
                is_group,
                id: r.u32()?,
                name: r.text()?.to_owned(),
            })
        })
        .collect()
}

fn read_xattrs(r: &mut Reader<'_>) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, PayloadError> {
    let count = r.map()?;
    check_count(count, 1..=XATTRS_MAX, "xattrs")?;
    let mut xattrs = BTreeMap::new();
    let mut last: Option<(usize, &[u8])> = None;
    for _ in 0..count {
        let name = r.bytes()?;
        let rank = Some((name.len(), name));
        match last.cmp(&rank) {
            std::cmp::Ordering::Less => last = rank,
            std::cmp::Ordering::Equal => return Err(CborError::DuplicateKey.into()),
            std::cmp::Ordering::Greater => return Err(CborError::KeyOrder.into()),
        }
        xattrs.insert(name.to_vec(), r.bytes()?.to_vec());
    }
    Ok(xattrs)
}

fn read_data(r: &mut Reader<'_>) -> Result<FileData, PayloadError> {
    let items = r.array()?;
    let kind = r.uint()?;
    match (kind, items) {
        (1, 4) => Ok(FileData::Pack {
            ref_idx: r.u32()?,
            off: r.u32()?,
            len: r.u32()?,
        }),
        (2, 5) => Ok(FileData::Chunks {
            dom: r.u32()?,
            ses_idx: r.u32()?,
            parts: read_parts(r)?,
            kb: r.bytes()?.to_vec(),
        }),
        (3, 2) => {
            let count = r.array()?;
            check_count(count, 1..=REFS_MAX, "maps")?;
            let refs: Result<_, CborError> = (0..count).map(|_| r.u32()).collect();
            Ok(FileData::Maps { refs: refs? })
        }
        (1..=3, _) => Err(CborError::OutOfRange.into()),
        (other, _) => Err(PayloadError::UnknownData(other)),
    }
}

fn read_parts(r: &mut Reader<'_>) -> Result<Vec<Part>, PayloadError> {
    let count = r.array()?;
    check_count(count, 1..=INLINE_PARTS_MAX, "parts")?;
    (0..count)
        .map(|_| {
            r.array_exact(2)?;
            if r.take_null() {
                Ok(Part::Hole { len: r.uint()? })
            } else {
                Ok(Part::Chunk {
                    ref_idx: r.u32()?,
                    len: r.u32()?,
                })
            }
        })
        .collect()
}

fn field(ok: bool, name: &'static str) -> Result<(), PayloadError> {
    if ok {
        Ok(())
    } else {
        Err(PayloadError::Field(name))
    }
}

/// The rules of one entry, the same for writer and reader.
pub(super) fn check_entry(e: &Entry, scope: Scope) -> Result<(), PayloadError> {
    check_path(&e.path)?;
    field(e.mode & !MODE_MASK == 0, "mode")?;
    let is_device = matches!(e.kind, EntryType::Char | EntryType::Block);
    field(e.rdev.is_some() == is_device, "rdev")?;
    field(e.link.is_some() == (e.kind == EntryType::Symlink), "link")?;
    if let Some(link) = &e.link {
        check_count(link.len(), 1..=PATH_LEN_MAX, "link")?;
        field(!link.contains(&0), "link")?;
    }
    field(e.hardlink.is_none() || e.kind != EntryType::Dir, "hardlink")?;
    check_count(e.xattrs.len(), 0..=XATTRS_MAX, "xattrs")?;
    for (name, value) in &e.xattrs {
        check_count(name.len(), 1..=XATTR_NAME_MAX, "xattrs")?;
        check_count(value.len(), 0..=XATTR_VALUE_MAX, "xattrs")?;
        field(!name.contains(&0), "xattrs")?;
    }
    for name in [&e.user, &e.group].into_iter().flatten() {
        check_count(name.len(), 1..=USER_NAME_MAX, "name")?;
    }
    check_count(e.acl_names.len(), 0..=ACL_NAMES_MAX, "access list")?;
    for named in &e.acl_names {
        check_count(named.name.len(), 1..=USER_NAME_MAX, "name")?;
    }
    let ids = e.acl_names.iter().map(|named| (named.is_group, named.id));
    field(ids.is_sorted_by(|a, b| a < b), "access list")?;
    check_content(e, scope)
}

fn check_content(e: &Entry, scope: Scope) -> Result<(), PayloadError> {
    let is_file = e.kind == EntryType::File;
    field(is_file || e.size == 0, "size")?;
    match &e.data {
        // Only a hard link may have content elsewhere: with an earlier entry of its group.
        None => field(e.size == 0 || e.hardlink.is_some(), "data"),
        Some(data) => {
            field(is_file && e.size > 0, "data")?;
            check_data(data, e.size, scope)
        }
    }
}

fn check_data(data: &FileData, size: u64, scope: Scope) -> Result<(), PayloadError> {
    match data {
        FileData::Pack { ref_idx, off, len } => {
            check_ref(*ref_idx, scope.n_refs)?;
            let end = u64::from(*off).saturating_add(u64::from(*len));
            field(
                usize::try_from(end).is_ok_and(|end| end <= PACK_MAX),
                "data",
            )?;
            if u64::from(*len) == size {
                Ok(())
            } else {
                Err(PayloadError::Size)
            }
        }
        FileData::Chunks {
            ses_idx, parts, kb, ..
        } => {
            check_count(parts.len(), 1..=INLINE_PARTS_MAX, "parts")?;
            let chunks = chunk_count(parts);
            check_count(chunks, 0..=INLINE_CHUNKS_MAX, "parts")?;
            if kb.len() != key_blob_len(chunks) {
                return Err(PayloadError::KeyCount);
            }
            let known = usize::try_from(*ses_idx).is_ok_and(|idx| idx < scope.n_sessions);
            if !known {
                return Err(PayloadError::Session(*ses_idx));
            }
            let total = parts.iter().try_fold(0u64, |sum, part| {
                check_part(part, scope.n_refs)?;
                sum.checked_add(part.len()).ok_or(PayloadError::Size)
            })?;
            if total == size {
                Ok(())
            } else {
                Err(PayloadError::Size)
            }
        }
        FileData::Maps { refs } => {
            check_count(refs.len(), 1..=REFS_MAX, "maps")?;
            refs.iter().try_for_each(|r| check_ref(*r, scope.n_refs))
        }
    }
}

/// A part is not empty, and a chunk is no longer than the chunker cuts.
pub(super) fn check_part(part: &Part, n_refs: usize) -> Result<(), PayloadError> {
    field(!part.is_empty(), "part")?;
    match *part {
        Part::Chunk { ref_idx, len } => {
            field(
                usize::try_from(len).is_ok_and(|len| len <= CHUNK_MAX),
                "part",
            )?;
            check_ref(ref_idx, n_refs)
        }
        Part::Hole { .. } => Ok(()),
    }
}
