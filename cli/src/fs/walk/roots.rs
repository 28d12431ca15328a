//! The roots of a walk as a tree of names: which directories only lead to roots, and which names may not be left out.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::sources::Source;

/// A directory on the way to roots, or a root.
#[derive(Debug, Default, Clone)]
pub(super) struct Roots {
    /// Named on the command line.
    pub(super) is_root: bool,
    /// The folder as it was found, if a root is directly in it.
    pub(super) handle: Option<Arc<OwnedFd>>,
    /// Names that are roots or lead to some, in byte order.
    pub(super) below: BTreeMap<Box<[u8]>, Arc<Roots>>,
}

impl Roots {
    /// From what was found.
    pub(super) fn new(sources: &[Source]) -> Roots {
        let mut top = Roots::default();
        for source in sources {
            let mut at = &mut top;
            let names = source.path.split(|&b| b == b'/');
            let mut names = names.filter(|name| !name.is_empty()).peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() {
                    at.handle.clone_from(&source.parent);
                }
                at = Arc::make_mut(at.below.entry(name.into()).or_default());
            }
            at.is_root = true;
        }
        top
    }

    /// Whether a directory has to be gone through to reach roots below it.
    pub(super) fn leads_on(&self) -> bool {
        !self.below.is_empty()
    }
}
