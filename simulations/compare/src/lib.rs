//! A second opinion on whether two trees are the same, and on what a backup leaves out. It shares no code with the
//! pipelines, so that it does not share their mistakes either. For the demo, the drills and the tests.

mod homes;
mod trees;

pub use trees::{Comparison, Difference, compare_trees, measure};
