//! What a person has to look at.

use packnback_proto::ids::OwnerId;
use packnback_proto::policy::Freeze;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::admin::{AlarmInfo, AlarmKind};
use packnback_proto::wire::local::LocalReply;

use super::session::{Reply, Session, reply};
use crate::ports::Failure;
use crate::store::{Store, StoreError};

impl Session {
    /// Alarms nobody has acknowledged, and why nothing of the owner expires here.
    pub(super) async fn alarms(&mut self) -> Result<Vec<AlarmInfo>, Failure> {
        let owner = self.device()?.map(|device| device.owner);
        self.blocking(move |store| {
            let mut alarms = store.alarms()?;
            if let Some(owner) = owner {
                alarms.extend(frozen(store, &owner)?);
            }
            Ok(alarms)
        })
        .await
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

/// What is frozen on this node. A clock that is only settling needs nobody.
fn frozen(store: &Store, owner: &OwnerId) -> Result<Vec<AlarmInfo>, StoreError> {
    let mut alarms = Vec::new();
    for device in store.devices_of(owner)? {
        let freezes = store.freezes(owner, &device)?;
        for frozen in freezes.iter().filter(|frozen| frozen.freeze.needs_owner()) {
            let kind = match frozen.freeze {
                Freeze::Fork { .. } => AlarmKind::Fork,
                _ => AlarmKind::Frozen,
            };
            alarms.push(AlarmInfo {
                kind,
                number: None,
                host: None,
                device: Some(device),
                snap: None,
                order: None,
                since: frozen.since,
                text: frozen.freeze.to_string(),
            });
        }
    }
    Ok(alarms)
}
