//! Heeding what a host says when a session opens: unknown snapshots under the own key, receipted
//! ones that are gone, orders that were not given here, the end of hosting.
//!
//! What a host says alone is an alarm about that host. Only what is signed by the owner or with the key
//! of this machine is an alarm about those.

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::policy::Date;
use packnback_proto::record::{Op, Order, decode_order, decode_snap};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::{AlarmKind, EvictInfo};

use super::client::Opened;
use super::heads::{Base, Finding, compare, makes_go};
use super::source::Source;
use super::stands::{self, Learnt};
use crate::ports::Failure;
use crate::store::NewAlarm;

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heeded {
    /// Whether an order was new.
    pub new_orders: bool,
    /// Whether receipts of this host were withdrawn, so that there may be more or less to do for it.
    pub withdrawn: bool,
    /// Whether the host lost what it had receipted: what else it was told may be lost there as well.
    pub lost: bool,
}

/// Looks at everything. Blocks on the disk.
pub(super) fn heed(
    source: &dyn Source,
    me: NodeId,
    host: NodeId,
    name: &str,
    base: Option<(SnapshotId, u64)>,
    opened: &Opened,
    now: u64,
) -> Result<Heeded, Failure> {
    let told = Told {
        source,
        me,
        host,
        who: who(name, &host),
        now,
    };
    // Orders first: one of them may be why a snapshot is gone.
    let mut heeded = Heeded::default();
    for envelope in &opened.orders {
        heeded.new_orders |= told.order(envelope, State::Waits)?;
    }
    let learnt = stands::learn(source, me, host, opened, now)?;
    for envelope in &learnt.orders {
        heeded.new_orders |= told.order(envelope, State::Done)?;
    }
    for (snap, ended) in &learnt.gone {
        source.withdraw(snap, &host, *ended)?;
        heeded.withdrawn = true;
        heeded.lost |= ended.is_none();
    }
    told.gone(&learnt, opened.notice.is_some())?;
    // One that was asked about apart is no riddle any more.
    let base = base.filter(|(snap, _)| !learnt.gone.iter().any(|(gone, _)| gone == snap));
    told.heads(base, opened)?;
    told.notice(opened.notice.as_ref())?;
    Ok(heeded)
}

/// Where an order stands at the host that tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In its grace.
    Waits,
    /// It ended snapshots of this machine.
    Done,
}

fn who(name: &str, host: &NodeId) -> String {
    match name {
        "" => format!("host {}", host.short()),
        name => format!("host {name} ({})", host.short()),
    }
}

struct Told<'a> {
    source: &'a dyn Source,
    me: NodeId,
    host: NodeId,
    who: String,
    now: u64,
}

impl Told<'_> {
    fn heads(&self, base: Option<(SnapshotId, u64)>, opened: &Opened) -> Result<(), Failure> {
        let mut heads = Vec::with_capacity(opened.heads.len());
        for head in &opened.heads {
            heads.push((*head, self.source.was_made_here(&head.id)?));
        }
        let base = match base {
            Some((snap, seq)) => Some(Base {
                snap,
                seq,
                complete: opened.base_complete,
                ordered_to_go: !opened.base_complete && self.goes(&snap)?,
            }),
            None => None,
        };
        for finding in compare(&heads, base) {
            match finding {
                Finding::UnknownHead(head) => self.unknown_head(opened, &head.id)?,
                Finding::Withheld(snap) => {
                    let text = self.withheld(&snap);
                    self.raise(self.about(AlarmKind::Withheld, Some(snap), text))?;
                }
            }
        }
        Ok(())
    }

    /// An alarm about a snapshot of this machine at the host.
    fn about(&self, kind: AlarmKind, snap: Option<SnapshotId>, text: String) -> NewAlarm {
        NewAlarm {
            kind,
            host: Some(self.host),
            device: Some(self.me),
            snap,
            order: None,
            text,
        }
    }

    /// Only what is signed with our key shows that somebody else has it. Without that, it is the word
    /// of the host, and an alarm about the host.
    fn unknown_head(&self, opened: &Opened, snap: &SnapshotId) -> Result<(), Failure> {
        let shown = opened.head_records.iter();
        let shown = shown.filter_map(|envelope| decode_snap(envelope).ok());
        let mut shown = shown.filter(|shown| shown.id() == *snap);
        match shown.find(|shown| shown.value().device == self.me) {
            Some(shown) => {
                let text = self.unknown(shown.value().seq, snap);
                self.raise(self.about(AlarmKind::UnknownHead, Some(*snap), text))
            }
            None => self.raise(NewAlarm {
                device: None,
                ..self.about(AlarmKind::FalseClaim, None, self.false_claim())
            }),
        }
    }

    /// Snapshots that the host had receipted and no longer has.
    fn gone(&self, learnt: &Learnt, is_closing: bool) -> Result<(), Failure> {
        if let Some(snap) = learnt.newest_lost {
            let text = format!(
                "{} no longer has snapshots it gave receipts for, {} among them: its disk was lost or \
                 set back, or it hides them. Its receipts for them do not count any more, and they go \
                 there again by themselves. Copies on other hosts are not affected. Ask whoever runs it.",
                self.who,
                snap.short()
            );
            self.raise(self.about(AlarmKind::Withheld, Some(snap), text))?;
        }
        // Who ends storage has said so before.
        if let Some(snap) = learnt.newest_unfounded.filter(|_| !is_closing) {
            let text = format!(
                "{} ended snapshots it gave receipts for, {} among them, and shows no order and no \
                 policy of the owner that says so. Its receipts for them do not count any more. Copies \
                 on other hosts are not affected. Ask whoever runs it, and do not count on this host.",
                self.who,
                snap.short()
            );
            self.raise(self.about(AlarmKind::Withheld, Some(snap), text))?;
        }
        Ok(())
    }

    fn unknown(&self, seq: u64, snap: &SnapshotId) -> String {
        format!(
            "{} has snapshot {} (number {seq}) under the key of this machine, which did not make it. \
             Either the key is in use elsewhere (stolen, or a copy of this home runs on another \
             machine), or this node lost its own records and kept its key. Snapshots made before are \
             safe: the key alone cannot change or delete them. If you moved or copied this home \
             yourself, acknowledge this alarm; if not, revoke this device with the owner key and \
             enrol the machine anew after cleaning it.",
            self.who,
            snap.short()
        )
    }

    fn false_claim(&self) -> String {
        format!(
            "{} says that it has a snapshot under the key of this machine which this machine did not \
             make, and cannot show one. That is no sign that the key is in other hands: such a snapshot \
             would be signed with it. The host is wrong or makes it up. Nothing was changed. Ask \
             whoever runs it, and do not count on this host alone.",
            self.who
        )
    }

    fn withheld(&self, snap: &SnapshotId) -> String {
        format!(
            "{} gave a receipt for snapshot {}, and now has neither it nor a newer one. It lost data or \
             hides it. Copies on other hosts are not affected. Ask whoever runs it, and do not count \
             on this host until it is back.",
            self.who,
            snap.short()
        )
    }

    /// Whether an order known here makes the snapshot go.
    fn goes(&self, snap: &SnapshotId) -> Result<bool, Failure> {
        let orders = self.source.orders()?;
        let mut orders = orders.iter().filter_map(|order| decode_order(order).ok());
        Ok(orders.any(|order| makes_go(order.value(), snap, &self.me)))
    }

    /// Takes an order over; whether it was unknown here.
    fn order(&self, envelope: &Bytes, state: State) -> Result<bool, Failure> {
        let Ok(order) = decode_order(envelope) else {
            tracing::error!(host = ?self.host, "a host tells of an order that is not signed right");
            return Ok(false);
        };
        match self.source.take_order(envelope, self.now) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(failure) if failure.code == packnback_proto::wire::ErrorCode::DiskFull => {
                return Err(failure);
            }
            Err(failure) => {
                tracing::error!(host = ?self.host, %failure, "an order that a host told is not taken");
                return Ok(false);
            }
        }
        let (who, what) = (&self.who, in_words(order.value()));
        let text = match state {
            State::Waits if matches!(order.value().op, Op::Cancel(_)) => format!(
                "an order signed with the owner key was taken by {who}, and was not given on this machine: \
                 {what}. What these would have deleted stays, here too. If you did not give it, the key \
                 is in other hands: see the guide on a stolen key. If you did, acknowledge this alarm."
            ),
            State::Waits => format!(
                "an order signed with the owner key waits at {who}, and was not given on this machine: \
                 {what}. Nothing is lost during its grace. If you did not give it, cancel it with the \
                 owner key now; then the key is in other hands: see the guide on a stolen key. If you \
                 did, acknowledge this alarm."
            ),
            State::Done => format!(
                "an order signed with the owner key was carried out at {who} while this machine did not \
                 know of it, and was not given on this machine: {what}. What it ended there is no copy \
                 any more. What this machine has stays for the grace of this node, and goes to no other \
                 host meanwhile. If you did not give the order, cancel it with the owner key now; then \
                 the key is in other hands: see the guide on a stolen key. If you did, acknowledge this \
                 alarm."
            ),
        };
        self.raise(NewAlarm {
            kind: AlarmKind::ForeignOrder,
            // The same order at several hosts is one alarm.
            host: None,
            device: None,
            snap: None,
            order: Some(order.id()),
            text,
        })?;
        Ok(true)
    }

    fn notice(&self, notice: Option<&EvictInfo>) -> Result<(), Failure> {
        let Some(notice) = notice else {
            return self.source.end_alarms(AlarmKind::Evict, &self.host);
        };
        let text = format!(
            "{} ends storage for this owner: no writes from {} on, everything there goes on {}. Other \
             hosts are not affected. Find another host before that; the list of hosts lets it copy \
             from this one.",
            self.who,
            Date::at(notice.freeze_at),
            Date::at(notice.drop_at)
        );
        self.raise(NewAlarm {
            kind: AlarmKind::Evict,
            host: Some(self.host),
            device: None,
            snap: None,
            order: None,
            text,
        })
    }

    fn raise(&self, alarm: NewAlarm) -> Result<(), Failure> {
        match self.source.raise_alarm(&alarm, self.now) {
            Ok(true) => {
                tracing::error!(kind = %alarm.kind, host = ?self.host, "ALARM: {}", alarm.text);
                Ok(())
            }
            Ok(false) => Ok(()),
            // Too many are open already: those are loud enough, and backups go on.
            Err(failure) if failure.code == packnback_proto::wire::ErrorCode::Quota => {
                tracing::error!(kind = %alarm.kind, host = ?self.host, "ALARM (not kept): {}", alarm.text);
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What an order does, for people.
fn in_words(order: &Order) -> String {
    match &order.op {
        Op::DeleteIds(ids) => format!("delete {} snapshots", ids.len()),
        Op::DeleteRange {
            device, max_count, ..
        } => {
            let device = device.short();
            format!("delete up to {max_count} snapshots of device {device}")
        }
        Op::Policy(_) => "change how long snapshots are kept".to_owned(),
        Op::Revoke { device, .. } => format!("revoke device {}", device.short()),
        Op::Hold(ids) => format!("hold {} snapshots", ids.len()),
        Op::Unhold(ids) => format!("end the hold on {} snapshots", ids.len()),
        Op::Cancel(oids) => format!("cancel {} orders", oids.len()),
        Op::Hosts { hosts, .. } => format!("name {} hosts", hosts.len()),
        Op::DropOwner => "delete everything of this owner".to_owned(),
    }
}
