//! Junk that is to push good snapshots out of what is kept.

use super::attacker::{Attacker, Target};
use super::dates::commit_junk;
use super::tried::{Outcome, attacks};

/// More than any rule of the drill's policy keeps of the newest.
const SNAPSHOTS: usize = 12;

attacks! {
    "newest", "commit a dozen empty snapshots, to push good ones out of the newest kept", newest;
}

async fn newest(a: &Attacker, t: &Target) -> Outcome {
    let because = "they are kept beside the others; of each period the first stays (checked below)";
    for _ in 1..SNAPSHOTS {
        commit_junk(a, t, because, |_| {}).await?;
    }
    commit_junk(a, t, because, |_| {}).await
}
