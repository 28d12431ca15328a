//! The time that retention goes by.

use crate::ids::NodeId;
use crate::limits::CERT_CLOCK_SKEW_S;

/// When a snapshot was received, as far as this host believes it (unix seconds).
///
/// - `came`: when it came to this host, by its own clock. For what the device brought itself, that is all.
/// - `imported`: copied from another host. Otherwise a host that starts afresh would take its whole history for one day's
///   work and let most of it go.
/// - `started`: start of the backup by the device's clock, from the snapshot.
/// - `receipts`: who gave a receipt, and the time in it. Signatures were checked.
/// - `listed`: hosts in the owner's newest `hosts` order, if there is one. Others do not count; `me` always does, because
///   a host believes what it signed before it lost its disk.
///
/// The earliest counted receipt is taken. It is never later than `came`. A receipt from before the backup had begun (by
/// more than a day) is not believed, as long as there is another; if all are from before, the device's clock was ahead, and
/// the latest of them is taken. No receipt counts: `came`.
///
/// To be worked out once, when the snapshot is copied, and written down: receipts that turn up later change nothing.
///
/// What a listed host that lies can do with it: make a snapshot *that this host did not get from the device* older than it
/// is, by a day and the length of the backup at most, or down to the device's clock if that was behind; and do what it
/// likes with one for which it alone has a receipt, which it could have withheld. What this host got from the device keeps
/// its own time, and its place in its periods ([`super::Reason::FirstHere`]).
#[must_use]
pub fn effective_time(
    came: u64,
    imported: bool,
    started: u64,
    receipts: &[(NodeId, u64)],
    listed: Option<&[NodeId]>,
    me: &NodeId,
) -> u64 {
    if !imported {
        return came;
    }
    let counts = |host: &NodeId| host == me || listed.is_some_and(|hosts| hosts.contains(host));
    let times = || {
        receipts
            .iter()
            .filter(|(host, _)| counts(host))
            .map(|(_, received)| *received)
            .filter(|received| *received <= came)
    };
    let plausible = |received: &u64| received.saturating_add(CERT_CLOCK_SKEW_S) >= started;
    times()
        .filter(plausible)
        .min()
        .or_else(|| times().max())
        .unwrap_or(came)
}
