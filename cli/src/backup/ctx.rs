//! What every stage of one run shares.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use packnback_proto::chunk::Chunker;
use packnback_proto::crypto::keys::SessionKeys;
use packnback_proto::crypto::secret::Secret32;
use packnback_proto::format::entry::DOM_PRIVATE;
use packnback_proto::format::object::Sealed;
use packnback_proto::format::root::ProblemKind;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::OBJECT_MAX;
use parking_lot::Mutex;

use super::left::LeftPaths;
use super::options::Dedup;
use super::report::{BackupError, Cause};
use super::seen::Seen;
use crate::cache::{Cache, CacheKey, Facts};
use crate::client::NodeLink;
use crate::fs::{IdNames, Problem};
use crate::keys::DeviceBundleKeys;
use crate::pipeline::{Budget, Cancel, Run, Stop};
use crate::progress::{Counters, Progress};

/// Memory for entries between planner and assembler.
pub(super) const WINDOW: usize = 16 << 20;
/// Plain bytes of chunks on their way through the pool.
const CHUNKS_IN_FLIGHT: usize = 6 * OBJECT_MAX;
/// Problems kept with their texts.
const PROBLEMS_MAX: usize = 1024;
/// Bytes of sparse packs stored again per run.
const REPACK_MAX: i64 = 256 << 20;

/// Numbers from all stages.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) files_new: AtomicU64,
    pub(super) files_changed: AtomicU64,
    pub(super) files_unmodified: AtomicU64,
    pub(super) files_reread: AtomicU64,
    pub(super) files_differ: AtomicU64,
    /// Entries at or below the given paths,
    pub(super) inside: AtomicU64,
    /// and those of them that are no folders.
    pub(super) content: AtomicU64,
    /// Left out by patterns and limits.
    pub(super) excluded: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) objects_new: AtomicU64,
    pub(super) bytes_stored: AtomicU64,
}

/// A problem with one file.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) path: Vec<u8>,
    pub(super) kind: ProblemKind,
    pub(super) text: String,
}

/// Problems of a run, the first of them in full.
#[derive(Default)]
pub(super) struct Troubles {
    pub(super) listed: Vec<Trouble>,
    pub(super) count: u64,
    pub(super) causes: BTreeSet<Cause>,
}

pub(super) struct Ctx<'a> {
    pub(super) node: &'a dyn NodeLink,
    pub(super) cache: &'a Cache,
    pub(super) cache_key: CacheKey,
    pub(super) progress: &'a dyn Progress,
    pub(super) session: SessionKeys,
    /// Key of chunk keys.
    pub(super) chunk_key: Secret32,
    /// Dedup group or private.
    pub(super) dom: u32,
    pub(super) group: u32,
    pub(super) chunker: Chunker,
    pub(super) full: bool,
    pub(super) dry_run: bool,
    /// Files changed at or after this time may change again without showing it.
    pub(super) racy_ns: i64,
    pub(super) names: IdNames,
    pub(super) seen: Seen,
    /// Durable soon, see [`super::checkpoint`].
    pub(super) facts: Mutex<Facts>,
    /// Packs that are mostly dead: what is in them is stored again.
    pub(super) sparse: HashSet<ObjectId>,
    pub(super) repack_left: AtomicI64,
    /// Objects taken from the cache on trust; the node is asked before the commit.
    pub(super) assumed: Mutex<HashSet<ObjectId>>,
    pub(super) chunk_budget: Budget,
    pub(super) window: Budget,
    pub(super) numbers: Numbers,
    pub(super) troubles: Mutex<Troubles>,
    pub(super) skipped: Mutex<Troubles>,
    /// Left out for another reason than a pattern or a cache tag.
    pub(super) left: Mutex<LeftPaths>,
    /// Parts of homes of nodes that were left out.
    pub(super) homes: Mutex<Vec<Vec<u8>>>,
    pub(super) warnings: Mutex<Vec<String>>,
    /// The first file that had other content than the cache said.
    pub(super) first_differs: Mutex<Option<Vec<u8>>>,
    run: Run<BackupError>,
}

/// What a [`Ctx`] is made from.
pub(super) struct CtxParts<'a> {
    pub(super) node: &'a dyn NodeLink,
    pub(super) cache: &'a Cache,
    pub(super) progress: &'a dyn Progress,
    pub(super) keys: &'a DeviceBundleKeys,
    pub(super) racy_ns: i64,
    pub(super) full: bool,
    pub(super) dry_run: bool,
    pub(super) dedup: Dedup,
    pub(super) cancel: Cancel,
}

impl<'a> Ctx<'a> {
    pub(super) fn new(parts: CtxParts<'a>) -> Result<Self, BackupError> {
        let device = &parts.keys.device;
        let esk = crate::system::random_secret().map_err(|e| BackupError::Random(e.what))?;
        let session =
            SessionKeys::start(device, esk).map_err(|e| BackupError::Keys(e.to_string()))?;
        let group_keys = device.chunk_keys();
        let (chunk_key, dom) = match parts.dedup {
            Dedup::Owner => (group_keys.chunk().duplicate(), device.group),
            Dedup::Session => (session.chunk_priv.duplicate(), DOM_PRIVATE),
        };
        let sparse = parts.cache.packs().into_iter();
        let sparse = sparse
            .filter(|(_, pack)| pack.is_sparse())
            .map(|(id, _)| id)
            .collect();
        let (chunk_budget, window) = (Budget::new(CHUNKS_IN_FLIGHT), Budget::new(WINDOW));
        let run = Run::new(parts.cancel, vec![chunk_budget.clone(), window.clone()]);
        Ok(Self {
            node: parts.node,
            cache: parts.cache,
            cache_key: CacheKey::new(parts.keys.cache_key.duplicate()),
            progress: parts.progress,
            chunker: Chunker::new(&group_keys),
            group: device.group,
            session,
            chunk_key,
            dom,
            full: parts.full,
            dry_run: parts.dry_run,
            racy_ns: parts.racy_ns,
            names: IdNames::new(),
            seen: Seen::default(),
            facts: Mutex::default(),
            sparse,
            repack_left: AtomicI64::new(REPACK_MAX),
            assumed: Mutex::default(),
            chunk_budget,
            window,
            numbers: Numbers::default(),
            troubles: Mutex::default(),
            skipped: Mutex::default(),
            left: Mutex::default(),
            homes: Mutex::default(),
            warnings: Mutex::default(),
            first_differs: Mutex::default(),
            run,
        })
    }

    /// Whether chunks and small files are looked up in what earlier runs stored.
    pub(super) fn shares(&self) -> bool {
        self.dom != DOM_PRIVATE
    }

    /// Sends an object.
    pub(super) fn put(&self, sealed: Sealed) -> Result<ObjectId, Stop> {
        let len = u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX);
        Counters::add(&self.numbers.objects_new, 1);
        Counters::add(&self.numbers.bytes_stored, len);
        Counters::add(&self.progress.counters().bytes_moved, len);
        if !self.dry_run {
            self.node
                .put(sealed.id, sealed.bytes)
                .map_err(|e| self.fail(e.into()))?;
        }
        Ok(sealed.id)
    }

    /// Ends the run. The first reason counts.
    pub(super) fn fail(&self, error: BackupError) -> Stop {
        self.run.fail(error)
    }

    /// Ends the run without a reason of its own, and lets everybody out who waits for room.
    pub(super) fn stop(&self) {
        self.run.stop();
    }

    /// Whether the run goes on.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.run.check()
    }

    /// Whether somebody asked it to end.
    pub(super) fn is_cancelled(&self) -> bool {
        self.run.is_cancelled()
    }

    pub(super) fn failure(&self) -> Option<BackupError> {
        self.run.failure()
    }

    /// Notes a problem with a file; it makes the exit code 3.
    pub(super) fn trouble(&self, path: &[u8], cause: Cause, text: String) {
        self.progress.problem(path, &text);
        let mut troubles = self.troubles.lock();
        troubles.causes.insert(cause);
        note(&mut troubles, path, cause.kind(), text);
    }

    /// The same for what the system said.
    pub(super) fn problem(&self, problem: &Problem) {
        let text = format!("cannot {}: {}", problem.action, problem.error);
        self.trouble(&problem.path, Cause::of(problem), text);
    }

    /// Notes a file left out by design.
    pub(super) fn skip(&self, path: &[u8], text: String) {
        note(&mut self.skipped.lock(), path, ProblemKind::Skipped, text);
    }

    /// Notes a file that has other content than the cache said, though its attributes are the same.
    pub(super) fn differs(&self, path: &[u8]) {
        Counters::add(&self.numbers.files_differ, 1);
        self.first_differs
            .lock()
            .get_or_insert_with(|| path.to_vec());
    }

    /// Remembers objects whose presence on the node is taken on trust.
    pub(super) fn assume(&self, ids: impl IntoIterator<Item = ObjectId>) {
        self.assumed.lock().extend(ids);
    }

    /// Whether content in this pack is to be stored again because the pack is mostly dead.
    pub(super) fn repacks(&self, pack: &ObjectId, len: u32) -> bool {
        self.sparse.contains(pack)
            && self
                .repack_left
                .fetch_sub(i64::from(len), Ordering::Relaxed)
                > 0
    }
}

impl Cause {
    /// Of what could not be read at all.
    pub(super) fn of(problem: &Problem) -> Self {
        match problem.error.kind() {
            _ if problem.vanished() => Self::Vanished,
            std::io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Failing,
        }
    }

    /// As the snapshot names it.
    fn kind(self) -> ProblemKind {
        match self {
            Self::Forbidden | Self::Failing => ProblemKind::Unreadable,
            Self::Vanished => ProblemKind::Vanished,
            Self::Changed => ProblemKind::Changed,
            Self::Metadata => ProblemKind::Metadata,
        }
    }
}

fn note(troubles: &mut Troubles, path: &[u8], kind: ProblemKind, text: String) {
    troubles.count = troubles.count.saturating_add(1);
    if troubles.listed.len() < PROBLEMS_MAX {
        troubles.listed.push(Trouble {
            path: path.to_vec(),
            kind,
            text,
        });
    }
}
