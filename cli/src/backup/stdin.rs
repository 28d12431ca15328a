//! A backup of bytes from a pipe: one file, as long as the pipe gives.

use std::io::Read;
use std::path::Path;

use crossbeam_channel::{Receiver, Sender};
use packnback_proto::format::entry::{Entry, EntryType};
use packnback_proto::format::frame::Compressor;
use packnback_proto::limits::PATH_LEN_MAX;

use super::chunks::{FileCutter, Hands, Job};
use super::ctx::Ctx;
use super::options::StdinFile;
use super::read::stretch;
use super::report::BackupError;
use super::stage::{Built, Content, Finished, GroupEnd, Message, Step};
use crate::cache::DataRef;
use crate::fs::{check_path, show, stored_path};
use crate::pipeline::Stop;
use crate::progress::Shown;

/// The path what comes through a pipe is saved under.
pub(super) fn stored(name: &Path) -> Vec<u8> {
    stored_path(name, Path::new("/"))
}

/// Whether what comes through a pipe can be saved under this name and restored again. Cheap: to be asked before
/// anything is read.
///
/// # Errors
/// [`BackupError::Name`].
pub fn check_name(name: &Path) -> Result<(), BackupError> {
    let bad = |reason: String| BackupError::Name {
        name: name.to_owned(),
        reason,
    };
    if name.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(bad("it ends with a slash".into()));
    }
    let stored = stored(name);
    check_path(&stored).map_err(|e| bad(e.to_string()))?;
    if stored.len() > PATH_LEN_MAX {
        return Err(bad(format!("it is longer than {PATH_LEN_MAX} bytes")));
    }
    Ok(())
}

/// Reads the pipe to its end and hands one entry to the assembler.
pub(super) fn run(
    ctx: &Ctx<'_>,
    mut stdin: StdinFile,
    jobs: &Receiver<Job>,
    queue: &Sender<Job>,
    out: &Sender<Message>,
) -> Result<(), Stop> {
    let internal = |e: String| ctx.fail(BackupError::Internal(e));
    let mut compressor = Compressor::new().map_err(|e| internal(e.to_string()))?;
    let mut hands = Hands {
        ctx,
        compressor: &mut compressor,
        jobs,
        queue,
        shown: Shown::of(u64::MAX),
    };
    let mut cutter = FileCutter::new(true);
    let path = stored(&stdin.name);
    let mut buf = Vec::new();
    let read = |_: u64, want: usize, buf: &mut Vec<u8>| {
        let want = u64::try_from(want).unwrap_or(u64::MAX);
        stdin.reader.by_ref().take(want).read_to_end(buf)
    };
    let len = match stretch(&mut hands, &mut buf, &mut cutter, u64::MAX, read)? {
        Ok(len) => len,
        Err(error) => {
            return Err(ctx.fail(BackupError::Pipe {
                name: format!("/{}", show(&path)),
                reason: error.to_string(),
            }));
        }
    };
    let data = cutter.finish(&mut hands)?;
    let entry = entry(ctx, path, len);
    let content = if len == 0 {
        Content::Stored(DataRef::None)
    } else {
        Content::Stored(data)
    };
    let step = Step::Finished(Finished {
        built: vec![Built {
            entry,
            content,
            told: None,
        }],
        steady: false,
        end: Some(GroupEnd { print: [0; 16] }),
        permit: ctx.window.acquire(0),
    });
    out.send(Message { seq: 0, step }).map_err(|_| Stop)
}

fn entry(ctx: &Ctx<'_>, path: Vec<u8>, size: u64) -> Entry {
    let now = crate::system::since_epoch();
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    Entry {
        path,
        kind: EntryType::File,
        mode: 0o600,
        uid,
        gid,
        mtime_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX),
        size,
        link: None,
        xattrs: std::collections::BTreeMap::new(),
        rdev: None,
        hardlink: None,
        data: None,
        user: ctx.names.user(uid).map(|n| n.to_string()),
        group: ctx.names.group(gid).map(|n| n.to_string()),
        acl_names: Vec::new(),
    }
}
