//! Roots: what one backup is, and the top of its tree.
//!
//! ```text
//! root = { 1: label tstr, 2: start uint, 3: end uint, 4: tool tstr, 5: chunker uint, 6: g uint,
//!          7: [* root path bstr], 8: [* exclude bstr], 9: [count uint, [* problem]],
//!          10: [files, directories, others, bytes, new objects, new bytes], 11: [* child],
//!          12: set name tstr, ?13: left out }
//! left out = [rules uint, [* pattern bstr], flags uint, larger than uint / null, [* path bstr]]
//! problem = [path bstr, kind uint, text tstr]
//! ```
//! Times are unix seconds by the clock of the device. A root path is empty for `/` itself. The
//! number of problems may be larger than the list of them. Children are all segments or all
//! indexes of one height, as their own headers say. The set name is empty where the backup set goes by
//! its roots.

use super::entry::DOM_PRIVATE;
use super::index::{Child, read_children, write_children};
use super::path::check_path;
use super::payload::{PayloadError, check_count};
use crate::cbor::{CborError, Reader, Writer};
use crate::limits::{
    EXCLUDE_LEN_MAX, PATH_LEN_MAX, PROBLEM_TEXT_MAX, RAW_MAX, ROOT_EXCLUDES_MAX, ROOT_LABEL_MAX,
    ROOT_LEFT_BYTES_MAX, ROOT_LEFT_PATHS_MAX, ROOT_PATHS_MAX, ROOT_PROBLEMS_MAX, ROOT_TOOL_MAX,
    SET_NAME_MAX,
};

/// Why something is missing from, or doubtful in, a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// 0: not saved by design, such as a socket.
    Skipped,
    /// 1: gone between listing and reading.
    Vanished,
    /// 2: could not be read.
    Unreadable,
    /// 3: changed while it was read; what was read is saved.
    Changed,
    /// 4: saved, but some of its metadata could not be read.
    Metadata,
    /// A kind of a later version.
    Other(u8),
}

impl ProblemKind {
    fn number(self) -> u8 {
        match self {
            Self::Skipped => 0,
            Self::Vanished => 1,
            Self::Unreadable => 2,
            Self::Changed => 3,
            Self::Metadata => 4,
            Self::Other(number) => number,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Skipped,
            1 => Self::Vanished,
            2 => Self::Unreadable,
            3 => Self::Changed,
            4 => Self::Metadata,
            other => Self::Other(other),
        }
    }
}

/// One thing that did not go as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it concerns; only for showing to people, without rules but for its length.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ProblemKind,
    /// More about it, for people.
    pub text: String,
}

/// How [`LeftOut::patterns`] are read by this version: docs/cli.md, "Patterns".
pub const PATTERN_RULES: u32 = 1;

/// What a backup left out on purpose: whoever removes what a backup does not have must tell what was
/// not there from what was not to be saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// How the patterns are read; [`PATTERN_RULES`] is what this version knows.
    pub rules: u32,
    /// The patterns in use, in order, each as it was read.
    pub patterns: Vec<Vec<u8>>,
    /// Nothing of all this was cut: neither roots nor patterns nor paths, nor the problems that are
    /// failures.
    pub complete: bool,
    /// What marked folders hold was left out.
    pub caches: bool,
    /// Other file systems were left out.
    pub one_file_system: bool,
    /// Larger files were left out.
    pub larger_than: Option<u64>,
    /// What was left out for another reason than a pattern or a mark in its folder: larger files, other
    /// file systems, homes of nodes.
    pub paths: Vec<Vec<u8>>,
}

impl LeftOut {
    const COMPLETE: u8 = 1;
    const CACHES: u8 = 2;
    const ONE_FILE_SYSTEM: u8 = 4;

    fn flags(&self) -> u8 {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        flag(self.complete, Self::COMPLETE)
            | flag(self.caches, Self::CACHES)
            | flag(self.one_file_system, Self::ONE_FILE_SYSTEM)
    }

    fn check(&self) -> Result<(), PayloadError> {
        check_count(self.patterns.len(), 0..=ROOT_EXCLUDES_MAX, "patterns")?;
        for pattern in &self.patterns {
            check_count(pattern.len(), 0..=EXCLUDE_LEN_MAX, "patterns")?;
        }
        check_count(self.paths.len(), 0..=ROOT_LEFT_PATHS_MAX, "left out")?;
        let bytes = self.paths.iter().map(Vec::len).sum();
        check_count(bytes, 0..=ROOT_LEFT_BYTES_MAX, "left out")?;
        Ok(self.paths.iter().try_for_each(|path| check_path(path))?)
    }

    fn write(&self, w: &mut Writer) {
        w.array(5);
        w.uint(self.rules);
        w.array(self.patterns.len());
        self.patterns.iter().for_each(|pattern| w.bytes(pattern));
        w.uint(self.flags());
        match self.larger_than {
            Some(size) => w.uint(size),
            None => w.null(),
        }
        w.array(self.paths.len());
        self.paths.iter().for_each(|path| w.bytes(path));
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, PayloadError> {
        r.array_exact(5)?;
        let rules = r.u32()?;
        let patterns = read_list(r, ROOT_EXCLUDES_MAX, "patterns")?;
        let flags = u8::try_from(r.uint()?).map_err(|_| CborError::OutOfRange)?;
        let known = Self::COMPLETE | Self::CACHES | Self::ONE_FILE_SYSTEM;
        if flags & !known != 0 {
            return Err(PayloadError::Field("left out"));
        }
        let larger_than = if r.take_null() { None } else { Some(r.uint()?) };
        Ok(Self {
            rules,
            patterns,
            complete: flags & Self::COMPLETE != 0,
            caches: flags & Self::CACHES != 0,
            one_file_system: flags & Self::ONE_FILE_SYSTEM != 0,
            larger_than,
            paths: read_list(r, ROOT_LEFT_PATHS_MAX, "left out")?,
        })
    }
}

/// What a backup holds and what it added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Everything else.
    pub others: u64,
    /// Sum of the sizes of the files.
    pub bytes: u64,
    /// Objects new in this backup, the root not counted.
    pub new_objects: u64,
    /// Their stored bytes.
    pub new_bytes: u64,
}

/// The payload of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Name given by the user, or empty.
    pub label: String,
    /// When the backup started.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Program and version that wrote it, and the zstd version.
    pub tool: String,
    /// Chunker that cut it.
    pub chunker: u32,
    /// Dedup group in use.
    pub group: u32,
    /// What was asked to be saved.
    pub paths: Vec<Vec<u8>>,
    /// What was excluded.
    pub excludes: Vec<Vec<u8>>,
    /// How many problems there were.
    pub problem_count: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// What it holds.
    pub stats: Stats,
    /// Segments or indexes, by path.
    pub children: Vec<Child>,
    /// Name of the backup set, if a person gave one; empty where it goes by the paths.
    pub set: String,
    /// What was left out on purpose; `None` if the writer did not tell.
    pub left: Option<LeftOut>,
}

fn check(root: &Root) -> Result<(), PayloadError> {
    check_count(root.label.len(), 0..=ROOT_LABEL_MAX, "label")?;
    check_count(root.tool.len(), 0..=ROOT_TOOL_MAX, "tool")?;
    check_count(root.set.len(), 0..=SET_NAME_MAX, "set")?;
    check_count(root.paths.len(), 0..=ROOT_PATHS_MAX, "roots")?;
    check_count(root.excludes.len(), 0..=ROOT_EXCLUDES_MAX, "excludes")?;
    check_count(root.problems.len(), 0..=ROOT_PROBLEMS_MAX, "problems")?;
    root.paths
        .iter()
        .filter(|path| !path.is_empty())
        .try_for_each(|path| check_path(path))?;
    for exclude in &root.excludes {
        check_count(exclude.len(), 0..=EXCLUDE_LEN_MAX, "excludes")?;
    }
    for problem in &root.problems {
        check_count(problem.path.len(), 0..=PATH_LEN_MAX, "problems")?;
        check_count(problem.text.len(), 0..=PROBLEM_TEXT_MAX, "problems")?;
    }
    root.left.as_ref().map_or(Ok(()), LeftOut::check)?;
    let listed = u64::try_from(root.problems.len()).unwrap_or(u64::MAX);
    let sane = root.problem_count >= listed && root.group != DOM_PRIVATE && root.chunker != 0;
    if sane {
        Ok(())
    } else {
        Err(PayloadError::Field("root"))
    }
}

/// Encodes a root.
///
/// # Errors
/// [`PayloadError`] if it breaks a rule of the format or exceeds a limit.
pub fn encode(root: &Root) -> Result<Vec<u8>, PayloadError> {
    check(root)?;
    let mut w = Writer::with_capacity(1024);
    w.map(12 + usize::from(root.left.is_some()));
    w.uint(1u8);
    w.text(&root.label);
    w.uint(2u8);
    w.uint(root.start);
    w.uint(3u8);
    w.uint(root.end);
    w.uint(4u8);
    w.text(&root.tool);
    w.uint(5u8);
    w.uint(root.chunker);
    w.uint(6u8);
    w.uint(root.group);
    for (key, list) in [(7u8, &root.paths), (8, &root.excludes)] {
        w.uint(key);
        w.array(list.len());
        list.iter().for_each(|item| w.bytes(item));
    }
    w.uint(9u8);
    write_problems(&mut w, root);
    w.uint(10u8);
    let s = &root.stats;
    w.array(6);
    for n in [
        s.files,
        s.dirs,
        s.others,
        s.bytes,
        s.new_objects,
        s.new_bytes,
    ] {
        w.uint(n);
    }
    w.uint(11u8);
    write_children(&mut w, &root.children)?;
    w.uint(12u8);
    w.text(&root.set);
    if let Some(left) = &root.left {
        w.uint(13u8);
        left.write(&mut w);
    }
    Ok(w.finish(RAW_MAX)?)
}

fn write_problems(w: &mut Writer, root: &Root) {
    w.array(2);
    w.uint(root.problem_count);
    w.array(root.problems.len());
    for problem in &root.problems {
        w.array(3);
        w.bytes(&problem.path);
        w.uint(problem.kind.number());
        w.text(&problem.text);
    }
}

/// Decodes a root whose object has `n_refs` references.
///
/// # Errors
/// [`PayloadError`], the first problem found.
pub fn decode(bytes: &[u8], n_refs: usize) -> Result<Root, PayloadError> {
    if bytes.len() > RAW_MAX {
        return Err(CborError::TooLarge.into());
    }
    let mut r = Reader::new(bytes);
    let root = read_root(&mut r, n_refs)?;
    r.finish()?;
    check(&root)?;
    Ok(root)
}

fn read_root(r: &mut Reader<'_>, n_refs: usize) -> Result<Root, PayloadError> {
    let mut keys = r.required_map()?;
    keys.step(r)?;
    let label = r.text()?.to_owned();
    keys.step(r)?;
    let start = r.uint()?;
    keys.step(r)?;
    let end = r.uint()?;
    keys.step(r)?;
    let tool = r.text()?.to_owned();
    keys.step(r)?;
    let chunker = r.u32()?;
    keys.step(r)?;
    let group = r.u32()?;
    keys.step(r)?;
    let paths = read_list(r, ROOT_PATHS_MAX, "roots")?;
    keys.step(r)?;
    let excludes = read_list(r, ROOT_EXCLUDES_MAX, "excludes")?;
    keys.step(r)?;
    let (problem_count, problems) = read_problems(r)?;
    keys.step(r)?;
    let stats = read_stats(r)?;
    keys.step(r)?;
    let children = read_children(r, n_refs)?;
    keys.step(r)?;
    let set = r.text()?.to_owned();
    let mut left = None;
    if keys.optional(r)? {
        left = Some(LeftOut::read(r)?);
        keys.finish(r)?;
    }
    Ok(Root {
        label,
        start,
        end,
        tool,
        chunker,
        group,
        paths,
        excludes,
        problem_count,
        problems,
        stats,
        children,
        set,
        left,
    })
}

fn read_list(
    r: &mut Reader<'_>,
    max: usize,
    name: &'static str,
) -> Result<Vec<Vec<u8>>, PayloadError> {
    let count = r.array()?;
    check_count(count, 0..=max, name)?;
    (0..count).map(|_| Ok(r.bytes()?.to_vec())).collect()
}

fn read_problems(r: &mut Reader<'_>) -> Result<(u64, Vec<Problem>), PayloadError> {
    r.array_exact(2)?;
    let total = r.uint()?;
    let count = r.array()?;
    check_count(count, 0..=ROOT_PROBLEMS_MAX, "problems")?;
    let problems: Result<_, PayloadError> = (0..count)
        .map(|_| {
            r.array_exact(3)?;
            let path = r.bytes()?.to_vec();
            let number = u8::try_from(r.uint()?).map_err(|_| CborError::OutOfRange)?;
            let kind = ProblemKind::from_number(number);
            Ok(Problem {
                path,
                kind,
                text: r.text()?.to_owned(),
            })
        })
        .collect();
    Ok((total, problems?))
}

fn read_stats(r: &mut Reader<'_>) -> Result<Stats, PayloadError> {
    r.array_exact(6)?;
    Ok(Stats {
        files: r.uint()?,
        dirs: r.uint()?,
        others: r.uint()?,
        bytes: r.uint()?,
        new_objects: r.uint()?,
        new_bytes: r.uint()?,
    })
}
