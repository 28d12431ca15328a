//! What a person has to look at.

use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::admin::AlarmInfo;
use packnback_proto::wire::local::LocalReply;

use super::session::{Reply, Session, reply};
use crate::ports::Failure;
use crate::store::Store;

impl Session {
    /// Alarms nobody has acknowledged.
    pub(super) async fn alarms(&mut self) -> Result<Vec<AlarmInfo>, Failure> {
        self.blocking(Store::alarms).await
    }

    pub(super) async fn acknowledge(&mut self, alarm: u64) -> Reply {
        let done = self.blocking(move |store| store.acknowledge(alarm)).await;
        done.map_err(|failure| match failure.code {
            ErrorCode::NotFound => {
                failure.next("`packnback status` shows the alarms with their numbers.")
            }
            _ => failure,
        })?;
        reply(LocalReply::Ok)
    }
}
