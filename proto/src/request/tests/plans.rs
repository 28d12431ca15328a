use super::super::{Fate, verify};
use super::*;
use crate::record::PolicyArg;

fn seqs<'a>(snaps: impl Iterator<Item = &'a super::super::SnapPlan>) -> Vec<u64> {
    snaps.map(|snap| snap.seq).collect()
}

#[test]
fn a_plan_says_what_goes_and_what_remains() {
    let mut request = request(&[0, 2]);
    request.devices[0].more = 4;
    request.devices[0].certs.push(cert(device(), 3));
    let plan = verify(&request, owner()).unwrap();
    let device = &plan.devices[0];
    assert_eq!(seqs(device.goes()), [3, 1]);
    assert_eq!(seqs(device.stays()), [5, 4, 2]);
    assert_eq!(
        (device.more, device.fork, device.loses_all()),
        (4, false, false)
    );
    assert_eq!(device.cert.value().serial, 3);
    assert_eq!(plan.newest_going().count(), 0);
    let first = device.snaps.last().unwrap();
    assert_eq!(first.received, Some((key(30).node_id(), START + DAY + 60)));
    assert_eq!((first.hosts, first.bytes), (2, Some(7000)));
}

#[test]
fn the_newest_and_the_last_are_marked() {
    let plan = verify(&request(&[3, 4]), owner()).unwrap();
    assert_eq!(seqs(plan.newest_going().map(|(_, snap)| snap)), [5]);
    assert!(!plan.devices[0].loses_all());
    let plan = verify(&request(&[0, 1, 2, 3, 4]), owner()).unwrap();
    assert!(plan.devices[0].loses_all());
}

/// What a broken device can do to its numbers and clock does not hide which one hosts got last.
#[test]
fn newest_by_any_measure_counts() {
    let mut request = request(&[1]);
    let snaps = &mut request.devices[0].snaps;
    let late = id_of(&snaps[1]);
    snaps[1].receipts = vec![receipt(late, 30, START + 400 * DAY)];
    let plan = verify(&request, owner()).unwrap();
    let newest: Vec<u64> = plan.newest_going().map(|(_, snap)| snap.seq).collect();
    assert_eq!(newest, [2]);
}

/// Backups within a second have one time: the number tells which came last.
#[test]
fn only_the_last_of_one_second_is_the_newest() {
    let mut request = request(&[0]);
    let mut snaps: Vec<SnapEvidence> = Vec::new();
    for seq in 1..=4 {
        let mut snap = snap_record(seq, snaps.last().map(id_of));
        snap.time = START;
        snaps.push(evidence(&snap));
    }
    request.wanted = vec![Wanted::any_host(Op::DeleteIds(vec![id_of(&snaps[0])]))];
    request.devices = vec![view(snaps)];
    let plan = verify(&request, owner()).unwrap();
    let newest = plan.devices[0].snaps.iter().filter(|snap| snap.newest);
    assert_eq!(seqs(newest), [4]);
}

/// Snapshots an earlier order removes do not count as remaining, unless it was taken back.
#[test]
fn what_goes_already_does_not_remain() {
    let mut request = request(&[3]);
    let newest = id_of(&request.devices[0].snaps[4]);
    request.orders = vec![order(1, Op::DeleteIds(vec![newest]))];
    let plan = verify(&request, owner()).unwrap();
    assert_eq!(plan.devices[0].snaps[0].fate, Fate::Going);
    assert_eq!(seqs(plan.devices[0].stays()), [3, 2, 1]);
    assert_eq!(seqs(plan.newest_going().map(|(_, snap)| snap)), [4]);
    request.orders.push(order(2, Op::Cancel(vec![[1; 16]])));
    let plan = verify(&request, owner()).unwrap();
    assert_eq!(seqs(plan.devices[0].stays()), [5, 3, 2, 1]);
    assert_eq!(plan.newest_going().count(), 0);
}

#[test]
fn only_receipts_of_listed_hosts_count() {
    let mut request = request(&[0]);
    let hosts = |hseq, host: u8| Op::Hosts {
        hseq,
        hosts: vec![key(host).node_id()],
    };
    request.orders = vec![order(1, hosts(2, 31)), order(2, hosts(1, 30))];
    let plan = verify(&request, owner()).unwrap();
    let snap = &plan.devices[0].snaps[0];
    assert_eq!(snap.received.unwrap().0, key(31).node_id());
    assert_eq!(snap.hosts, 1);
    request.orders = vec![order(1, hosts(3, 99))];
    let plan = verify(&request, owner()).unwrap();
    assert_eq!(plan.devices[0].snaps[0].received, None);
}

#[test]
fn a_fork_is_told() {
    let mut request = request(&[0]);
    let snaps = &mut request.devices[0].snaps;
    let mut twin = snap_record(4, Some(id_of(&snaps[2])));
    twin.time += 5;
    snaps.push(evidence(&twin));
    let plan = verify(&request, owner()).unwrap();
    assert!(plan.devices[0].fork);
}

/// What a policy lets go is worked out from its rules, not from what the request says.
#[test]
fn what_no_rule_of_a_policy_keeps_is_named() {
    let mut request = request(&[0]);
    let policy = |keep_last, keep| PolicyArg {
        pseq: 1,
        device: None,
        min_age_d: 30,
        keep,
        keep_last,
        grace_d: 7,
    };
    request.wanted = vec![Wanted::any_host(Op::Policy(policy(2, [0; 5])))];
    request.wanted[0].audience = Some(vec![key(30).node_id()]);
    let plan = verify(&request, owner()).unwrap();
    assert!(plan.is_lossy());
    assert_eq!(plan.falls_under(&policy(2, [0; 5])).len(), 3);
    assert_eq!(plan.falls_under(&policy(0, [0, 9, 0, 0, 0])).len(), 0);
    let other = PolicyArg {
        device: Some(key(77).node_id()),
        ..policy(0, [0; 5])
    };
    assert_eq!(plan.falls_under(&other).len(), 0);
}

#[test]
fn dropping_the_owner_takes_everything() {
    let mut request = request(&[0]);
    request.wanted = vec![Wanted {
        audience: Some(vec![key(30).node_id()]),
        ..Wanted::any_host(Op::DropOwner)
    }];
    let plan = verify(&request, owner()).unwrap();
    assert!(plan.devices[0].loses_all());
    assert_eq!(plan.newest_going().count(), 1);
}
