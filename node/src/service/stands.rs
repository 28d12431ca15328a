//! What became of a device's snapshots here: told to the device for as long as it asks.

use packnback_proto::ids::SnapshotId;
use packnback_proto::limits::STANDS_MAX;
use packnback_proto::wire::ids::push_record;
use packnback_proto::wire::store::StoreReply;

use super::session::{Reply, Session, ids};
use crate::store::StoreError;

impl Session {
    /// Whether snapshots are still here, with the orders that ended those that are not.
    pub(super) async fn stands(&mut self, body: &[u8]) -> Reply {
        let access = self.access()?;
        let snaps = ids(body, STANDS_MAX)?.into_iter();
        let snaps: Vec<SnapshotId> = snaps.map(|id| SnapshotId::from(id.0)).collect();
        let (stands, orders) = self
            .host
            .blocking(move |store| store.stands(&access.owner, &access.device, &snaps))
            .await?;
        let mut body = Vec::new();
        for order in orders {
            push_record(&mut body, &order).map_err(|_| StoreError::Stored("order"))?;
        }
        Ok((StoreReply::Stands { stands }, body))
    }
}
