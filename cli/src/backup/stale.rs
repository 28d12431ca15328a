//! What the cache still knows of files that are gone.
//!
//! Names come and go only with a change of their directory. So for each directory that changed, the
//! names known are compared with the names seen; what is gone is forgotten, with all below it.

use std::collections::HashMap;

use super::ctx::Ctx;
use crate::cache::{DirKey, FileFact, FileKey, FileRecord, PathHash};
use crate::fs::{is_at_or_below, split_parent};

/// A directory the walk is in.
struct Frame {
    path: Vec<u8>,
    key: DirKey,
    /// At or below a root: everything in it is walked.
    whole: bool,
    /// Something in it could not be looked at: what was not seen may be there.
    lost: bool,
    seen: Vec<FileKey>,
}

/// One of the two things to know about a directory has become known.
enum Half {
    /// Whether it changed.
    Decided(bool),
    /// What is in it.
    Walked(Vec<FileKey>),
}

#[derive(Default)]
pub(super) struct Watch {
    roots: Vec<Vec<u8>>,
    frames: Vec<Frame>,
    halves: HashMap<DirKey, Half>,
}

impl Watch {
    pub(super) fn new(roots: &[Vec<u8>]) -> Self {
        Self {
            roots: roots.to_vec(),
            ..Self::default()
        }
    }

    /// The next path of the walk. Returns the key of its record.
    pub(super) fn enter(
        &mut self,
        ctx: &Ctx<'_>,
        path: &[u8],
        hash: &PathHash,
        dir: Option<DirKey>,
    ) -> FileKey {
        while self
            .frames
            .last()
            .is_some_and(|top| !is_at_or_below(path, &top.path))
        {
            self.leave(ctx);
        }
        let key = hash.file_key(self.frames.last().map_or([0; 8], |top| top.key));
        if let Some(top) = self.frames.last_mut()
            && top.whole
        {
            top.seen.push(key);
        }
        if let Some(dir) = dir {
            let inside = self.frames.last().is_some_and(|top| top.whole);
            let whole = inside || self.roots.iter().any(|root| is_at_or_below(path, root));
            self.frames.push(Frame {
                path: path.to_vec(),
                key: dir,
                whole,
                lost: false,
                seen: Vec::new(),
            });
        }
        key
    }

    /// A directory could not be listed, or a name in one not be looked at: nothing in it is taken to be gone, or one
    /// passing error would cost all that is known of it.
    pub(super) fn lose(&mut self, path: &[u8]) {
        let (above, _) = split_parent(path);
        let concerned = |frame: &&mut Frame| frame.path == path || frame.path == above;
        for frame in self.frames.iter_mut().filter(concerned) {
            frame.lost = true;
        }
    }

    fn leave(&mut self, ctx: &Ctx<'_>) {
        let Some(frame) = self.frames.pop().filter(|frame| frame.whole) else {
            return;
        };
        if frame.lost {
            self.halves.remove(&frame.key);
            return;
        }
        match self.halves.remove(&frame.key) {
            Some(Half::Decided(true)) => forget(ctx, frame.key, &frame.seen),
            Some(Half::Decided(false)) => {}
            _ => {
                self.halves.insert(frame.key, Half::Walked(frame.seen));
            }
        }
    }

    /// Whether a directory known to the cache has changed.
    pub(super) fn decide(&mut self, ctx: &Ctx<'_>, dir: DirKey, changed: bool) {
        match self.halves.remove(&dir) {
            Some(Half::Walked(seen)) if changed => forget(ctx, dir, &seen),
            Some(Half::Walked(_)) => {}
            _ => {
                self.halves.insert(dir, Half::Decided(changed));
            }
        }
    }

    /// The walk is over.
    pub(super) fn finish(&mut self, ctx: &Ctx<'_>) {
        while !self.frames.is_empty() {
            self.leave(ctx);
        }
    }
}

fn forget(ctx: &Ctx<'_>, dir: DirKey, seen: &[FileKey]) {
    let seen: std::collections::HashSet<&FileKey> = seen.iter().collect();
    let mut gone: Vec<(FileKey, FileRecord)> = ctx.cache.dir(dir);
    gone.retain(|(key, _)| !seen.contains(key));
    let mut facts = Vec::new();
    while let Some((key, record)) = gone.pop() {
        if let Some(below) = record.dir {
            gone.extend(ctx.cache.dir(below));
        }
        facts.push(FileFact {
            key,
            old: Some(Box::new(record)),
            new: None,
        });
    }
    ctx.facts.lock().files.extend(facts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_what_could_not_be_listed_is_taken_to_be_gone() {
        let lost = |path: &str| {
            let frame = |path: &str| Frame {
                path: path.into(),
                key: [0; 8],
                whole: true,
                lost: false,
                seen: Vec::new(),
            };
            let mut watch = Watch {
                frames: ["/a", "/a/b", "/a/b/c"].map(frame).into(),
                ..Watch::default()
            };
            watch.lose(path.as_bytes());
            watch.frames.iter().map(|f| f.lost).collect::<Vec<_>>()
        };
        // A directory that cannot be listed, and the one it is a name of.
        assert_eq!(lost("/a/b/c"), [false, true, true]);
        // A name that could not be looked at.
        assert_eq!(lost("/a/b/name"), [false, true, false]);
        assert_eq!(lost("/elsewhere/b"), [false; 3]);
    }
}
