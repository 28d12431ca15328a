//! The roots of a walk as a tree of names: which directories only lead to roots, and which names may not be left out.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A directory on the way to roots, or a root.
#[derive(Debug, Default, Clone)]
pub(super) struct Roots {
    /// Named on the command line.
    pub(super) is_root: bool,
    /// Names that are roots or lead to some, in byte order.
    pub(super) below: BTreeMap<Box<[u8]>, Arc<Roots>>,
}

impl Roots {
    /// From stored paths.
    pub(super) fn new(paths: &[Vec<u8>]) -> Roots {
        let mut top = Roots::default();
        for path in paths {
            let mut at = &mut top;
            for name in path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
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
