//! When a worker looks at what its host lacks, and what it sees.

use std::collections::BTreeSet;

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::wire::Bytes;
use tokio::time::Instant;

use super::round::SnapState;
use super::source::{Fate, Source};
use crate::ports::Failure;

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// This node is no device yet: it has nothing to bring to anybody until then.
    NoDevice(Instant),
    /// The host has what can be brought.
    Done,
}

/// When to look again unless something happens before. `ask_again`: when the host is asked for what
/// it could not be brought. A node that is no device is told when it becomes one, and its first look
/// then is a session: `check_at` stays.
pub(super) fn next_look(looked: Looked, check_at: Instant, ask_again: Option<Instant>) -> Instant {
    match (looked, ask_again) {
        (Looked::NoDevice(until), _) => until,
        (Looked::Done, None) => check_at,
        (Looked::Done, Some(ask_again)) => check_at.min(ask_again),
    }
}

/// The owner's list of hosts, and the orders there are. The list first: a host drops the addresses of hosts it does not
/// know to be listed, so an order that comes between the two reads must be told before them, in the next round.
pub(super) fn hosts_and_orders(source: &dyn Source) -> Result<(Vec<NodeId>, Vec<Bytes>), Failure> {
    let (hosts, orders) = (source.hosts()?, source.orders()?);
    Ok((hosts, orders))
}

/// All snapshots with their receipts. Old ones whose receipt by this host is known are not looked
/// up again, but for the newest few, whose receipts by others may be news.
pub(super) fn snap_states(
    source: &dyn Source,
    host: &NodeId,
    done: &mut BTreeSet<SnapshotId>,
) -> Result<Vec<SnapState>, Failure> {
    const LOOK_AGAIN: usize = 32;
    let snaps = source.own_snaps()?;
    let old = snaps.len().saturating_sub(LOOK_AGAIN);
    let mut states = Vec::with_capacity(snaps.len());
    for (index, snap) in snaps.into_iter().enumerate() {
        let hosts = if index < old && done.contains(&snap.id) {
            vec![*host]
        } else {
            source
                .receipts(&snap.id)?
                .into_iter()
                .map(|(host, _)| host)
                .collect()
        };
        let fate = if hosts.contains(host) {
            done.insert(snap.id);
            Fate::default()
        } else {
            source.fate(&snap.id)?
        };
        states.push(SnapState { snap, hosts, fate });
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_that_is_no_device_waits() {
        let now = Instant::now();
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        // It has never had a session, so its check is due; still it does not look again at once.
        let none = Looked::NoDevice(now + day);
        assert_eq!(next_look(none, now, None), now + day);
        assert_eq!(next_look(none, now, Some(now)), now + day);
        assert_eq!(next_look(Looked::Done, now + day, None), now + day);
        assert_eq!(
            next_look(Looked::Done, now + day, Some(now + hour)),
            now + hour
        );
        assert_eq!(
            next_look(Looked::Done, now + hour, Some(now + day)),
            now + hour
        );
    }
}
