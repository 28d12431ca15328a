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
