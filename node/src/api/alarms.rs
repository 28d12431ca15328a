//! What a person has to look at.

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::policy::Freeze;
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::admin::{AlarmInfo, AlarmKind};
use packnback_proto::wire::local::PeerInfo;

use super::Api;
use crate::ports::Failure;
use crate::store::{Store, StoreError};

impl Api {
    /// Alarms nobody has acknowledged, and why nothing of the owner expires here.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn alarms(&self) -> Result<Vec<AlarmInfo>, Failure> {
        let owner = self.device()?.map(|device| device.owner);
        let now = self.now();
        let mut of_friends = friend_alarms(&self.network.peers(), now);
        if let Some(note) = self.own.as_ref().and_then(|own| own.listen_note.clone()) {
            of_friends.push(passing(AlarmKind::Listen, None, now, note));
        }
        self.blocking(move |store| {
            let mut alarms = store.alarms()?;
            alarms.extend(of_friends);
            if let Some(owner) = owner {
                alarms.extend(frozen(store, &owner)?);
            }
            Ok(alarms)
        })
        .await
    }

    /// A person has seen this alarm.
    ///
    /// # Errors
    /// If there is none of this number.
    pub async fn acknowledge(&self, alarm: u64) -> Result<(), Failure> {
        let done = self.blocking(move |store| store.acknowledge(alarm)).await;
        done.map_err(|failure| match failure.code {
            ErrorCode::NotFound => {
                failure.next("`packnback status` shows the alarms with their numbers.")
            }
            _ => failure,
        })
    }
}

/// A friend is said to be away after this.
const AWAY_S: u64 = 7 * 86_400;
/// Nothing was backed up for long.
const NO_BACKUP_S: u64 = 7 * 86_400;

/// An alarm that goes by itself when its cause is gone.
fn passing(kind: AlarmKind, host: Option<NodeId>, since: u64, text: String) -> AlarmInfo {
    AlarmInfo {
        kind,
        number: None,
        host,
        device: None,
        snap: None,
        order: None,
        since,
        text,
    }
}

/// What is wrong with friends that have a part in the backups of this machine, or it in theirs.
fn friend_alarms(peers: &[PeerInfo], now: u64) -> Vec<AlarmInfo> {
    peers
        .iter()
        .filter_map(|peer| friend_alarm(peer, now))
        .collect()
}

fn friend_alarm(peer: &PeerInfo, now: u64) -> Option<AlarmInfo> {
    let name = match peer.name.as_str() {
        "" => peer.node.short(),
        name => name.to_owned(),
    };
    let say = |kind, since, text| Some(passing(kind, Some(peer.node), since, text));
    if let Some(ended) = peer.ended {
        let text = format!(
            "{name} has ended the friendship: nothing new goes there, and what is there is not counted on. Find \
             another friend (packnback peer invite), then: packnback peer remove {name}"
        );
        return say(AlarmKind::FriendEnded, ended, text);
    }
    if let Some(refusal) = peer.refusal.as_ref().filter(|_| peer.quota_taken > 0) {
        return match refusal.code {
            ErrorCode::Quota | ErrorCode::DiskFull => {
                let text = format!(
                    "{name} is full for this machine and takes nothing new ({}). What it confirmed is there. Ask \
                     {name} for more space (a new invite with a larger --quota), or forget old snapshots.",
                    refusal.text
                );
                say(AlarmKind::FriendFull, refusal.since, text)
            }
            // Goes by itself.
            ErrorCode::DayBudget | ErrorCode::Busy => None,
            code => {
                let text = format!(
                    "{name} refuses what this machine sends ({code}: {}). What it confirmed before is there.",
                    refusal.text
                );
                say(AlarmKind::FriendRefuses, refusal.since, text)
            }
        };
    }
    let seen = peer.last_seen.unwrap_or(peer.added);
    if !peer.connected && now.saturating_sub(seen) > AWAY_S {
        let days = now.saturating_sub(seen) / 86_400;
        let text = format!(
            "{name} has not been seen for {days} days: what it stores may be gone, and new snapshots wait. Ask {name}; \
             if it has moved, packnback peer address {name} HOST:PORT helps."
        );
        return say(AlarmKind::FriendAway, seen, text);
    }
    None
}

/// Said if the newest snapshot, made at `newest`, is old.
pub(super) fn no_backup(newest: Option<u64>, now: u64) -> Option<AlarmInfo> {
    let newest = newest.filter(|newest| now.saturating_sub(*newest) > NO_BACKUP_S)?;
    let days = now.saturating_sub(newest) / 86_400;
    let text = format!("nothing was backed up on this machine for {days} days");
    Some(passing(AlarmKind::NoBackup, None, newest, text))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use packnback_proto::wire::Role;
    use packnback_proto::wire::local::RefusalInfo;

    use super::*;

    const NOW: u64 = 1_900_000_000;
    const DAY: u64 = 86_400;

    fn bob() -> PeerInfo {
        PeerInfo {
            node: NodeId([1; 32]),
            name: "bob".to_owned(),
            role: Role::Friend,
            addrs: Vec::new(),
            connected: false,
            quota_given: 1,
            used_given: 0,
            quota_taken: 1,
            owner: None,
            last_seen: Some(NOW - DAY),
            last_error: Some("dial error".to_owned()),
            fresh: 0,
            added: NOW - 100 * DAY,
            ended: None,
            refusal: None,
        }
    }

    fn kind(peer: &PeerInfo) -> Option<AlarmKind> {
        let alarm = friend_alarm(peer, NOW)?;
        assert!(
            alarm.text.contains("bob") && !alarm.text.contains("dial"),
            "{alarm:?}"
        );
        assert_eq!((alarm.number, alarm.host), (None, Some(peer.node)));
        Some(alarm.kind)
    }

    fn refused(code: ErrorCode) -> PeerInfo {
        let refusal = RefusalInfo {
            code,
            text: "no".to_owned(),
            since: NOW - 5,
        };
        PeerInfo {
            refusal: Some(refusal),
            connected: true,
            ..bob()
        }
    }

    #[test]
    fn what_keeps_a_friend_from_its_part_is_an_alarm() {
        assert_eq!(kind(&bob()), None);
        assert_eq!(
            kind(&refused(ErrorCode::Quota)),
            Some(AlarmKind::FriendFull)
        );
        assert_eq!(
            kind(&refused(ErrorCode::DiskFull)),
            Some(AlarmKind::FriendFull)
        );
        assert_eq!(
            kind(&refused(ErrorCode::Certificate)),
            Some(AlarmKind::FriendRefuses)
        );
        assert_eq!(kind(&refused(ErrorCode::DayBudget)), None);
        let ended = PeerInfo {
            ended: Some(NOW - 5),
            ..refused(ErrorCode::Denied)
        };
        assert_eq!(kind(&ended), Some(AlarmKind::FriendEnded));
        // Who stores nothing for us refuses nothing.
        let only_guest = PeerInfo {
            quota_taken: 0,
            ..refused(ErrorCode::Quota)
        };
        assert_eq!(kind(&only_guest), None);
    }

    #[test]
    fn a_friend_away_for_a_week_is_an_alarm() {
        let seen = |last_seen, connected| PeerInfo {
            last_seen,
            connected,
            ..bob()
        };
        assert_eq!(kind(&seen(Some(NOW - 7 * DAY), false)), None);
        assert_eq!(
            kind(&seen(Some(NOW - 7 * DAY - 1), false)),
            Some(AlarmKind::FriendAway)
        );
        assert_eq!(kind(&seen(Some(NOW - 70 * DAY), true)), None);
        assert_eq!(kind(&seen(None, false)), Some(AlarmKind::FriendAway));
        let new = PeerInfo {
            added: NOW - DAY,
            ..seen(None, false)
        };
        assert_eq!(kind(&new), None);
    }

    #[test]
    fn no_backup_for_a_week_is_an_alarm() {
        assert_eq!(no_backup(None, NOW), None);
        assert_eq!(no_backup(Some(NOW - 7 * DAY), NOW), None);
        assert_eq!(no_backup(Some(NOW + DAY), NOW), None);
        let alarm = no_backup(Some(NOW - 9 * DAY), NOW).unwrap();
        assert_eq!(alarm.kind, AlarmKind::NoBackup);
        assert!(alarm.text.contains("9 days"), "{}", alarm.text);
    }
}
