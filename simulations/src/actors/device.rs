//! A device: changes its files, backs them up through its node, and remembers what was promised.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use packnback_node::api::Api;
use packnback_proto::ids::{NodeId, ObjectId, SetId, SnapshotId};
use packnback_proto::wire::local::CommitAnswer;

use super::folder::{Files, Folder};
use super::owner::{EPOCH, GROUP, Owner};
use crate::rng::Rng;

/// The backup set of everything here.
const SET: SetId = SetId([7; 16]);

/// A snapshot that a node acknowledged.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its id.
    pub snap: SnapshotId,
    /// Who made it.
    pub device: NodeId,
    /// Its root.
    pub root: ObjectId,
    /// What restoring it has to give.
    pub files: Files,
    /// When it was acknowledged, by the right time.
    pub at: u64,
}

/// See the module.
pub struct Device {
    folder: Folder,
    rng: Rng,
}

impl Device {
    /// A device of an owner.
    #[must_use]
    pub fn new(owner: &Owner, rng: &mut Rng) -> Self {
        let mut rng = rng.branch(0xdef);
        let folder = Folder::new(owner.seed.device_keys(EPOCH, GROUP), &mut rng);
        Self { folder, rng }
    }

    /// A person works with it for a while.
    pub fn change(&mut self) {
        for _ in 0..1 + self.rng.below(4) {
            self.folder.change(&mut self.rng);
        }
    }

    /// Backs up.
    ///
    /// # Errors
    /// The node refused or failed: no snapshot was promised.
    pub async fn back_up(&mut self, api: &Arc<Api>, now: u64) -> anyhow::Result<Made> {
        let backup = api.backup();
        backup.open().await?;
        let draft = self.folder.draft(&mut self.rng, now)?;
        let ids: Vec<ObjectId> = draft.fresh.iter().map(|sealed| sealed.id).collect();
        let here = backup.have(ids).await?;
        for (sealed, is_here) in draft.fresh.into_iter().zip(here) {
            if !is_here {
                backup.put(sealed.id, sealed.bytes).await?;
            }
        }
        match backup.commit(draft.root, SET, now).await? {
            CommitAnswer::Committed(committed) => Ok(Made {
                snap: committed.snap,
                device: api.node_id(),
                root: draft.root,
                files: draft.files,
                at: now,
            }),
            CommitAnswer::Missing(ids) => {
                // What was put before a fault is not there after it: everything goes again with the next backup.
                self.folder.forget_stored();
                let one = ids.first().context("nothing is missing")?;
                bail!(
                    "{} objects are not there any more, {one:?} is one",
                    ids.len()
                )
            }
        }
    }
}
