use super::super::{RequestError, verify};
use super::*;

fn class(request: &Request) -> &'static str {
    verify(request, owner()).unwrap_err().class()
}

#[test]
fn another_owners_key_and_another_owners_records() {
    let stranger = OwnerSeed::from_bytes([2; 32]);
    let request_of = |change: &dyn Fn(&mut Request)| {
        let mut request = request(&[0]);
        verify(&request, owner()).unwrap();
        change(&mut request);
        request
    };
    assert_eq!(
        verify(&request(&[0]), stranger.owner_id()),
        Err(RequestError::OtherOwner(owner(), stranger.owner_id()))
    );
    let foreign_snap = request_of(&|request| {
        let mut snap = snap_record(2, None);
        snap.owner = stranger.owner_id();
        request.devices[0].snaps.push(evidence(&snap));
    });
    assert_eq!(class(&foreign_snap), "foreign-record");
    let foreign_cert = request_of(&|request| {
        let mut cert = crate::record::decode_cert(&cert(device(), 1))
            .unwrap()
            .into_value();
        cert.owner = stranger.owner_id();
        request.devices[0].certs = vec![signed(&cert, &stranger.sign_key())];
    });
    assert_eq!(class(&foreign_cert), "foreign-record");
    let foreign_order = request_of(&|request| {
        let order = Order {
            owner: stranger.owner_id(),
            oid: [1; 16],
            issued: 1,
            audience: None,
            op: Op::Hosts {
                hseq: 99,
                hosts: vec![key(66).node_id()],
            },
            not_before: None,
        };
        request.orders = vec![signed(&order, &stranger.sign_key())];
    });
    assert_eq!(class(&foreign_order), "foreign-record");
}

/// The checksum is no defence against the maker: the signatures are.
#[test]
fn a_flipped_bit_in_any_record_is_refused() {
    let whole = {
        let mut request = request(&[0]);
        request.orders = vec![order(1, Op::Cancel(vec![[3; 16]]))];
        request
    };
    let flip = |bytes: &mut Vec<u8>, at: usize| {
        let at = at % bytes.len();
        bytes[at] ^= 1;
    };
    for at in 0..whole.devices[0].snaps[1].snap.len() {
        let mut request = whole.clone();
        flip(&mut request.devices[0].snaps[1].snap, at);
        assert!(verify(&request, owner()).is_err(), "snapshot, byte {at}");
        let mut request = whole.clone();
        flip(&mut request.devices[0].snaps[1].receipts[0], at);
        assert!(verify(&request, owner()).is_err(), "receipt, byte {at}");
        let mut request = whole.clone();
        flip(&mut request.devices[0].certs[0], at);
        assert!(verify(&request, owner()).is_err(), "certificate, byte {at}");
        let mut request = whole.clone();
        flip(&mut request.orders[0], at);
        assert!(verify(&request, owner()).is_err(), "order, byte {at}");
    }
}

#[test]
fn a_device_the_owner_did_not_certify() {
    let mut request = request(&[0]);
    request.devices[0].certs.clear();
    assert_eq!(class(&request), "no-cert");
    request.devices[0].certs = vec![cert(key(21).node_id(), 1)];
    assert_eq!(class(&request), "wrong-device");
    // A snapshot by another device of the owner under this one.
    let mut request = super::request(&[0]);
    let mut snap = snap_record(9, None);
    snap.device = key(21).node_id();
    request.devices[0].snaps.push(SnapEvidence {
        snap: signed(&snap, &key(21)),
        receipts: Vec::new(),
    });
    assert_eq!(class(&request), "wrong-device");
}

#[test]
fn a_receipt_for_another_snapshot() {
    let mut request = request(&[0]);
    let other = request.devices[0].snaps[1].receipts[0].clone();
    request.devices[0].snaps[0].receipts.push(other);
    assert_eq!(class(&request), "wrong-receipt");
    let swapped = request.devices[0].snaps[1].snap.clone();
    request.devices[0].snaps[0].receipts = vec![swapped];
    assert_eq!(class(&request), "wrong-type");
}

#[test]
fn a_request_that_hides_the_newest() {
    let whole = request(&[0]);
    // Left out, but named as the newest.
    let mut hidden = whole.clone();
    hidden.devices[0].snaps.pop();
    assert_eq!(class(&hidden), "heads");
    // Shown, but another one is named.
    let mut misnamed = whole.clone();
    let fourth = id_of(&misnamed.devices[0].snaps[3]);
    misnamed.devices[0].heads = vec![(4, fourth)];
    assert_eq!(class(&misnamed), "heads");
    let mut wrong_number = whole.clone();
    wrong_number.devices[0].heads[0].0 = 6;
    assert_eq!(class(&wrong_number), "heads");
    let mut twice = whole.clone();
    twice.devices[0].heads = twice.devices[0].heads.repeat(2);
    assert_eq!(class(&twice), "heads");
    let mut none = whole.clone();
    none.devices[0].heads.clear();
    assert_eq!(class(&none), "heads");
    // A later one with a low number comes after the named one.
    let mut set_back = whole.clone();
    let newest = id_of(&set_back.devices[0].snaps[4]);
    set_back.devices[0]
        .snaps
        .push(evidence(&snap_record(2, Some(newest))));
    assert_eq!(class(&set_back), "heads");
    // Hidden together with its name, the one before becomes the newest: it needs a confirmation.
    let mut cut = request(&[3]);
    assert_eq!(verify(&cut, owner()).unwrap().newest_going().count(), 0);
    cut.devices[0].snaps.pop();
    cut.devices[0].heads = heads(&cut.devices[0].snaps);
    assert_eq!(verify(&cut, owner()).unwrap().newest_going().count(), 1);
}

#[test]
fn what_is_not_shown_is_not_signed() {
    let mut request = request(&[0]);
    request.devices[0].snaps.remove(0);
    assert_eq!(class(&request), "not-shown");
    let mut twice = super::request(&[0]);
    let again = twice.devices[0].snaps[0].clone();
    twice.devices[0].snaps.push(again);
    assert_eq!(class(&twice), "twice");
    let mut revoke = super::request(&[0]);
    revoke.wanted = vec![Wanted::any_host(Op::Revoke {
        device: key(21).node_id(),
        reason: String::new(),
    })];
    assert_eq!(class(&revoke), "device-not-shown");
}

/// Whatever a request shows of a range, and whatever it leaves out: it is not signed.
#[test]
fn n27_no_range_is_signed() {
    let range = |recv_to, max_count| {
        vec![Wanted::any_host(Op::DeleteRange {
            device: device(),
            recv_from: 0,
            recv_to,
            max_count,
        })]
    };
    let mut request = super::request(&[0]);
    let mut hosts = vec![key(30).node_id(), key(31).node_id()];
    hosts.sort_unstable();
    request.orders = vec![order(1, Op::Hosts { hseq: 1, hosts })];
    request.wanted = range(u64::MAX, u64::MAX);
    assert_eq!(class(&request), "range");
    request.wanted = range(START + 2 * DAY, 1);
    assert_eq!(
        class(&request),
        "range",
        "not even one that shows all it means"
    );
    for snap in &mut request.devices[0].snaps {
        snap.receipts.clear();
    }
    assert_eq!(class(&request), "range", "receipts left out");
    for snap in &mut request.devices[0].snaps {
        let id = id_of(snap);
        snap.receipts = vec![receipt(id, 99, 5)];
    }
    assert_eq!(
        class(&request),
        "range",
        "receipts of nobody, dated outside"
    );
    // Beside something harmless, and behind it.
    let mut hidden = super::request(&[0]);
    hidden.wanted.extend(range(u64::MAX, u64::MAX));
    assert_eq!(class(&hidden), "range");
}

#[test]
fn n27_one_confirmation_covers_one_order() {
    let mut twice = request(&[4]);
    let mut again = twice.wanted[0].clone();
    again.audience = Some(vec![key(31).node_id()]);
    twice.wanted.push(again);
    assert_eq!(class(&twice), "overlap");
    let farewell = |host: u8| Wanted {
        audience: Some(vec![key(host).node_id()]),
        ..Wanted::any_host(Op::DropOwner)
    };
    let mut beside = request(&[4]);
    beside.wanted.push(farewell(30));
    assert_eq!(class(&beside), "drop-alone");
    let mut both = request(&[0]);
    both.wanted = vec![Wanted {
        audience: Some(vec![key(30).node_id(), key(31).node_id()]),
        ..Wanted::any_host(Op::DropOwner)
    }];
    assert_eq!(class(&both), "drop-alone", "two hosts by one order");
    both.wanted = vec![farewell(30), farewell(30)];
    assert_eq!(class(&both), "drop-alone", "one host twice");
    both.wanted = vec![farewell(30), farewell(31)];
    verify(&both, owner()).unwrap();
}

#[test]
fn n27_what_is_taken_back_is_shown_and_waits() {
    let mut request = request(&[0]);
    let ids = vec![SnapshotId::from([7; 32])];
    request.wanted = vec![Wanted::any_host(Op::Cancel(vec![[3; 16]]))];
    assert_eq!(class(&request), "cancel-not-shown");
    request.orders = vec![order(4, Op::DeleteIds(ids.clone()))];
    assert_eq!(class(&request), "cancel-not-shown", "another one is shown");
    let kinds = [
        Op::Revoke {
            device: device(),
            reason: String::new(),
        },
        Op::Hold(ids.clone()),
        Op::Unhold(ids.clone()),
        Op::Cancel(vec![[9; 16]]),
        Op::Hosts {
            hseq: 1,
            hosts: vec![device()],
        },
    ];
    for op in kinds {
        request.orders = vec![order(3, op.clone())];
        assert_eq!(class(&request), "cancel-kind", "{op:?}");
        // A deletion under the same id in front of it hides nothing.
        request
            .orders
            .insert(0, order(3, Op::DeleteIds(ids.clone())));
        assert_eq!(class(&request), "cancel-kind", "{op:?}");
    }
    request.orders = vec![order(3, Op::DeleteIds(ids))];
    let plan = verify(&request, owner()).unwrap();
    assert_eq!(plan.taken_back.len(), 1);
    assert_eq!(plan.taken_back[0].order.value().oid, [3; 16]);
}
