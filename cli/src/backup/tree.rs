//! The top of the tree: indexes if there are too many segments for a root, and the root.

use packnback_proto::chunk::CHUNKER_ID;
use packnback_proto::format::frame::Compressor;
use packnback_proto::format::header::Kind;
use packnback_proto::format::index::{self, Child, child_len};
use packnback_proto::format::object::seal_object;
use packnback_proto::format::root::{self, LeftOut, Problem, Root, Stats};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{
    PATH_LEN_MAX, PROBLEM_TEXT_MAX, ROOT_EXCLUDES_MAX, ROOT_LABEL_MAX, ROOT_PATHS_MAX,
    ROOT_PROBLEMS_MAX, ROOT_TOOL_MAX,
};

use super::assemble::Node;
use super::ctx::Ctx;
use super::report::BackupError;
use crate::pipeline::Stop;

/// Children of one index or root at most.
const CHILDREN_MAX: usize = 4096;
/// Bytes of children in one index or root at most.
const CHILDREN_RAW_MAX: usize = 1 << 20;

/// What the root says beside its children.
pub(super) struct About {
    pub(super) label: String,
    pub(super) set: Option<String>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) tool: String,
    pub(super) paths: Vec<Vec<u8>>,
    pub(super) excludes: Vec<Vec<u8>>,
    pub(super) left: LeftOut,
    pub(super) stats: Stats,
}

/// Seals indexes and the root, and sends them.
pub(super) fn build(ctx: &Ctx<'_>, mut nodes: Vec<Node>, about: About) -> Result<ObjectId, Stop> {
    let format = |e: String| ctx.fail(BackupError::Format(e));
    let mut compressor = Compressor::new().map_err(|e| format(e.to_string()))?;
    let mut height = 3u8;
    loop {
        let runs = runs(&nodes);
        if runs.len() <= 1 {
            break;
        }
        let mut above = Vec::with_capacity(runs.len());
        for run in runs {
            let (children, refs) = children(run).ok_or_else(|| format("an index".into()))?;
            let raw = index::encode(&children).map_err(|e| format(e.to_string()))?;
            let header = ctx.session.header(Kind::Index, height, refs);
            let sealed = seal_object(&mut compressor, &header, &ctx.session.node, &raw)
                .map_err(|e| format(e.to_string()))?;
            above.push(Node {
                first: run
                    .first()
                    .map(|node| node.first.clone())
                    .unwrap_or_default(),
                id: ctx.put(sealed)?,
                entries: run.iter().map(|node| node.entries).sum(),
            });
        }
        nodes = above;
        height = height.saturating_add(1);
    }
    let (children, refs) = children(&nodes).ok_or_else(|| format("the root".into()))?;
    let raw = root::encode(&root(ctx, about, children)).map_err(|e| format(e.to_string()))?;
    let header = ctx.session.header(Kind::Root, 8, refs);
    let sealed = seal_object(&mut compressor, &header, &ctx.session.node, &raw)
        .map_err(|e| format(e.to_string()))?;
    ctx.put(sealed)
}

/// Cuts a list of nodes into runs that fit one object each.
fn runs(nodes: &[Node]) -> Vec<&[Node]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0usize, 0usize);
    for (at, node) in nodes.iter().enumerate() {
        let own = node.first.len().saturating_add(24);
        let over = bytes.saturating_add(own) > CHILDREN_RAW_MAX
            || at.saturating_sub(start) >= CHILDREN_MAX;
        if over && at > start {
            runs.extend(nodes.get(start..at));
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(own);
    }
    runs.extend(nodes.get(start..).filter(|rest| !rest.is_empty()));
    runs
}

fn children(nodes: &[Node]) -> Option<(Vec<Child>, Vec<ObjectId>)> {
    let mut refs: Vec<ObjectId> = nodes.iter().map(|node| node.id).collect();
    refs.sort_unstable();
    let children = nodes.iter().map(|node| {
        Some(Child {
            first: node.first.clone(),
            ref_idx: super::segment::position(&refs, &node.id)?,
            entries: node.entries,
        })
    });
    let children: Vec<Child> = children.collect::<Option<_>>()?;
    debug_assert!(children.iter().all(|child| child_len(child) > 0));
    Some((children, refs))
}

fn root(ctx: &Ctx<'_>, about: About, children: Vec<Child>) -> Root {
    let mut problems = Vec::new();
    let mut count = 0u64;
    for troubles in [&ctx.troubles, &ctx.skipped] {
        let troubles = troubles.lock();
        count = count.saturating_add(troubles.count);
        for trouble in &troubles.listed {
            if problems.len() < ROOT_PROBLEMS_MAX {
                let mut path = trouble.path.clone();
                path.truncate(PATH_LEN_MAX);
                let text = clip(trouble.text.clone(), PROBLEM_TEXT_MAX);
                problems.push(Problem {
                    path,
                    kind: trouble.kind,
                    text,
                });
            }
        }
    }
    let excludes = about.excludes.into_iter().take(ROOT_EXCLUDES_MAX);
    Root {
        label: clip(about.label, ROOT_LABEL_MAX),
        start: about.start,
        end: about.end,
        tool: clip(about.tool, ROOT_TOOL_MAX),
        chunker: CHUNKER_ID,
        group: ctx.group,
        paths: about.paths.into_iter().take(ROOT_PATHS_MAX).collect(),
        excludes: excludes.collect(),
        problem_count: count,
        problems,
        stats: about.stats,
        children,
        set: about.set.unwrap_or_default(),
        left: Some(about.left),
    }
}

/// Cuts a text to a number of bytes, between characters.
fn clip(mut text: String, max: usize) -> String {
    if text.len() > max {
        let cut = (0..=max)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
    }
    text
}
