//! Heeding what a host says when a session opens: unknown snapshots under the own key, receipted
//! ones that are gone, orders that were not given here, the end of hosting.

use packnback_proto::ids::{NodeId, SnapshotId};
use packnback_proto::record::{Op, Order, decode_order};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::admin::{AlarmKind, EvictInfo};

use super::client::Opened;
use super::heads::{Base, Finding, compare, makes_go};
use super::source::Source;
use crate::ports::Failure;
use crate::store::NewAlarm;

/// Looks at everything. Blocks on the disk. Returns whether an order was new.
pub(super) fn heed(
    source: &dyn Source,
    me: NodeId,
    host: NodeId,
    name: &str,
    base: Option<(SnapshotId, u64)>,
    opened: &Opened,
    now: u64,
) -> Result<bool, Failure> {
    let told = Told {
        source,
        me,
        host,
        who: who(name, &host),
        now,
    };
    // Orders first: one of them may be why a snapshot is gone.
    let mut new_orders = false;
    for envelope in &opened.orders {
        new_orders |= told.order(envelope)?;
    }
    told.heads(base, opened)?;
    told.notice(opened.notice.as_ref())?;
    Ok(new_orders)
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
            let (kind, snap, text) = match finding {
                Finding::UnknownHead(head) => (
                    AlarmKind::UnknownHead,
                    head.id,
                    self.unknown(head.seq, &head.id),
                ),
                Finding::Withheld(snap) => (AlarmKind::Withheld, snap, self.withheld(&snap)),
            };
            self.raise(NewAlarm {
                kind,
                host: Some(self.host),
                device: Some(self.me),
                snap: Some(snap),
                order: None,
                text,
            })?;
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
    fn order(&self, envelope: &Bytes) -> Result<bool, Failure> {
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
        let text = format!(
            "an order signed with the owner key waits at {}, and was not given on this machine: {}. \
             Nothing is lost during its grace. If you did not give it, cancel it with the owner key \
             now; then the key is in other hands: see the guide on a stolen key. If you did, \
             acknowledge this alarm.",
            self.who,
            in_words(order.value())
        );
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
            date(notice.freeze_at),
            date(notice.drop_at)
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

/// The day (UTC) of a time in unix seconds.
fn date(unix: u64) -> String {
    // Days since 1 March of year 0, which ends the leap day at the end of its year.
    let days = unix / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use packnback_proto::ids::RecordId;
    use packnback_proto::record::Signed;
    use packnback_proto::wire::store::Head;

    use super::*;
    use crate::replicate::StoreSource;
    use crate::service::testkit::{
        NOW, Object, SET, cert, device, key, order, owner, root, snap_by, tree,
    };
    use crate::store::memory::MemoryEngine;
    use crate::store::{CommitOutcome, DiskReserve, Store};

    const HOST: NodeId = NodeId([5; 32]);

    struct Device {
        engine: Arc<MemoryEngine>,
        store: Arc<Store>,
        source: StoreSource,
    }

    /// A machine that belongs to the owner.
    fn machine() -> Device {
        let engine = Arc::new(MemoryEngine::default());
        let store = Store::new(Arc::clone(&engine) as _, device(), DiskReserve(0));
        let store = Arc::new(store);
        store
            .adopt(&Signed::sign(&cert(), &owner()).unwrap())
            .unwrap();
        let source = StoreSource::new(Arc::clone(&store));
        Device {
            engine,
            store,
            source,
        }
    }

    impl Device {
        fn back_up(&self, tree: &[Object]) -> Head {
            let owner = owner().owner_id();
            let intake = self.store.intake(self.store.own_access(&owner)).unwrap();
            for object in tree {
                self.store
                    .put(&intake, &object.id, &object.bytes, NOW)
                    .unwrap();
            }
            self.store.sync(&intake, NOW).unwrap();
            let done = self.store.commit_own(root(tree).id, SET, NOW, NOW).unwrap();
            let CommitOutcome::Accepted(accepted) = done else {
                unreachable!("everything was put")
            };
            let row = self.store.snap(&owner, &accepted.snap).unwrap().unwrap();
            Head {
                seq: row.seq,
                id: accepted.snap,
            }
        }

        fn hears(&self, base: Option<Head>, opened: &Opened) -> bool {
            let me = device().node_id();
            let base = base.map(|head| (head.id, head.seq));
            heed(&self.source, me, HOST, "anna", base, opened, NOW).unwrap()
        }

        fn alarms(&self) -> Vec<(AlarmKind, Option<RecordId>)> {
            let alarms = self.store.alarms().unwrap().into_iter();
            alarms
                .map(|alarm| (alarm.kind, alarm.snap.or(alarm.order)))
                .collect()
        }
    }

    #[test]
    fn n10_a_snapshot_under_our_key_that_we_did_not_make_is_a_loud_alarm() {
        let machine = machine();
        let own = machine.back_up(&tree(1));
        let heads = vec![own];
        let opened = Opened {
            base_complete: true,
            heads,
            ..Opened::default()
        };
        machine.hears(Some(own), &opened);
        assert!(machine.alarms().is_empty());
        // The thief numbers his on from ours.
        let stolen = snap_by(&device(), &owner(), root(&tree(2)).id, 2);
        let unknown = Head {
            seq: 2,
            id: stolen.id(),
        };
        let opened = Opened {
            heads: vec![unknown, own],
            ..opened
        };
        for _ in 0..3 {
            machine.hears(Some(own), &opened);
        }
        assert_eq!(
            machine.alarms(),
            [(AlarmKind::UnknownHead, Some(stolen.id()))]
        );
        let alarm = &machine.store.alarms().unwrap()[0];
        assert_eq!(
            (alarm.host, alarm.device),
            (Some(HOST), Some(device().node_id()))
        );
        assert!(alarm.text.contains("anna") && alarm.text.contains("revoke"));
        // Seen by a person: quiet, but for the next one.
        machine.store.acknowledge(alarm.number.unwrap()).unwrap();
        machine.hears(Some(own), &opened);
        assert!(machine.alarms().is_empty());
        let next = Head {
            seq: 3,
            id: RecordId([3; 32]),
        };
        let opened = Opened {
            heads: vec![next],
            ..opened
        };
        machine.hears(Some(own), &opened);
        assert_eq!(machine.alarms(), [(AlarmKind::UnknownHead, Some(next.id))]);
    }

    #[test]
    fn n10_a_host_that_withholds_what_it_receipted_is_an_alarm() {
        let machine = machine();
        let (first, second) = (machine.back_up(&tree(1)), machine.back_up(&tree(2)));
        let only_first = Opened {
            heads: vec![first],
            ..Opened::default()
        };
        machine.hears(Some(first), &only_first);
        assert!(machine.alarms().is_empty());
        machine.hears(Some(second), &only_first);
        assert_eq!(machine.alarms(), [(AlarmKind::Withheld, Some(second.id))]);
        // Not if the owner ordered that it goes.
        let machine = self::machine();
        let first = machine.back_up(&tree(1));
        let delete = order(1, Op::DeleteIds(vec![first.id]));
        let owner = owner().owner_id();
        machine
            .store
            .put_order(&owner, delete.envelope(), NOW)
            .unwrap();
        machine.hears(Some(first), &Opened::default());
        assert!(machine.alarms().is_empty());
    }

    #[test]
    fn an_order_given_elsewhere_is_taken_over_and_is_an_alarm() {
        let machine = machine();
        let own = machine.back_up(&tree(1));
        let owner_id = owner().owner_id();
        let told = |orders: Vec<&Signed<Order>>| Opened {
            base_complete: true,
            orders: orders.iter().map(|o| o.envelope().into()).collect(),
            ..Opened::default()
        };
        // Given here: no news.
        let given = order(1, Op::DeleteIds(vec![own.id]));
        machine
            .store
            .put_order(&owner_id, given.envelope(), NOW)
            .unwrap();
        assert!(!machine.hears(None, &told(vec![&given])));
        assert!(machine.alarms().is_empty());
        let foreign = Order {
            audience: Some(vec![HOST]),
            op: Op::DropOwner,
            ..order(2, Op::Cancel(vec![[1; 16]])).into_value()
        };
        let foreign = Signed::sign(&foreign, &owner()).unwrap();
        assert!(machine.hears(None, &told(vec![&foreign])));
        assert!(!machine.hears(None, &told(vec![&foreign])));
        let expected = [(AlarmKind::ForeignOrder, Some(foreign.id()))];
        assert_eq!(machine.alarms(), expected);
        assert!(
            machine
                .store
                .record(&owner_id, &foreign.id())
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn n04_what_a_host_makes_up_is_not_taken_over() {
        let machine = machine();
        let before = machine.engine.snapshot();
        // Another owner's order, one with a flipped bit, and something that is no order.
        let theirs = Order {
            owner: key(7).owner_id(),
            ..order(1, Op::Hold(vec![RecordId([1; 32])])).into_value()
        };
        let theirs = Signed::sign(&theirs, &key(7)).unwrap();
        let mut flipped = order(2, Op::Hold(vec![RecordId([1; 32])]))
            .envelope()
            .to_vec();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let snap = snap_by(&device(), &owner(), root(&tree(1)).id, 1);
        let opened = Opened {
            base_complete: true,
            orders: vec![
                theirs.envelope().into(),
                flipped.into(),
                snap.envelope().into(),
            ],
            ..Opened::default()
        };
        assert!(!machine.hears(None, &opened));
        assert_eq!(machine.engine.snapshot(), before);
    }

    #[test]
    fn the_end_of_hosting_is_an_alarm_until_it_is_taken_back() {
        let machine = machine();
        let notice = |stage: &str, freeze_at| Opened {
            base_complete: true,
            notice: Some(EvictInfo {
                stage: stage.to_owned(),
                since: NOW,
                freeze_at,
                drop_at: freeze_at + 86_400,
            }),
            ..Opened::default()
        };
        machine.hears(None, &notice("warned", NOW));
        machine.hears(None, &notice("warned", NOW));
        assert_eq!(machine.alarms(), [(AlarmKind::Evict, None)]);
        let number = machine.store.alarms().unwrap()[0].number.unwrap();
        machine.store.acknowledge(number).unwrap();
        machine.hears(None, &notice("frozen", NOW));
        assert!(machine.alarms().is_empty());
        // Other days are news.
        machine.hears(None, &notice("warned", NOW + 86_400));
        assert_eq!(machine.alarms().len(), 1);
        machine.hears(None, &Opened::default());
        assert!(machine.alarms().is_empty());
    }

    #[test]
    fn days_of_the_calendar() {
        for (unix, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_764_028_800, "2025-11-25"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix), expected);
        }
    }
}
