//! Records: what comes back, what is refused, and at which limit.

use packnback_proto::cbor::{CborError, Value};
use packnback_proto::ids::NodeId;
use packnback_proto::limits::{
    AUDIENCE_MAX, GRANT_LIFETIME_MAX_S, LABEL_MAX, POLICY_DAYS_MAX, POLICY_KEEP_MAX, REASON_MAX,
    RECORD_IDS_MAX, RECORD_MAX, SEALED_LABEL_MAX,
};
use packnback_proto::record::{
    Body, Cert, Grant, Kind, Op, Order, PolicyArg, RecordError, SEALED_LABEL_LEN, Scope, Signed,
    Snap, decode, decode_body, decode_record, encode_body, open_label, perms, record_id,
    seal_label, sign,
};
use proptest::prelude::*;

use crate::strategies;
use crate::support::*;

/// What a body that was changed behind the back of the encoder is refused with, properly signed.
pub(crate) fn refusal<T: Body + std::fmt::Debug>(
    value: &T,
    signer: &str,
    change: impl FnOnce(&mut Value),
) -> RecordError {
    let mut body = decoded(&encode_body(value).unwrap());
    change(&mut body);
    let envelope = sign(T::KIND, &encoded(&body), &signing_key(signer));
    let error = decode::<T>(&envelope).unwrap_err();
    assert_eq!(decode_record(&envelope).unwrap_err(), error);
    error
}

pub(crate) fn signing_key(signer: &str) -> packnback_proto::crypto::sign::SigningKey {
    if signer == "owner" {
        owner().sign_key()
    } else {
        key(signer)
    }
}

fn invalid<T: Body + std::fmt::Debug>(value: &T) -> RecordError {
    encode_body(value).unwrap_err()
}

#[test]
fn every_kind_comes_back_signed() {
    let owner_key = owner().sign_key();
    let cert = Signed::sign(&cert(), &owner_key).unwrap();
    assert_eq!(decode::<Cert>(cert.envelope()).unwrap(), cert);
    assert_eq!(cert.signer(), &owner_key.public());
    assert_eq!(cert.value(), &crate::support::cert());
    assert_eq!(
        cert.id(),
        record_id(Kind::Cert, &encode_body(cert.value()).unwrap())
    );
    let snap = Signed::sign(&snap(), &key("device")).unwrap();
    assert_eq!(snap.clone().into_value(), crate::support::snap());
    let receipt = Signed::sign(&receipt(), &key("host")).unwrap();
    let grant = Signed::sign(&grant(Scope::All), &owner_key).unwrap();
    let mut envelopes = vec![
        cert.envelope(),
        snap.envelope(),
        receipt.envelope(),
        grant.envelope(),
    ];
    let orders: Vec<_> = every_op()
        .into_iter()
        .map(|op| Signed::sign(&order(op), &owner_key).unwrap())
        .collect();
    envelopes.extend(orders.iter().map(Signed::envelope));
    let mut ids = std::collections::BTreeSet::new();
    for envelope in envelopes {
        let record = decode_record(envelope).unwrap();
        assert_eq!(record.envelope(), envelope);
        assert!(ids.insert(record.id()));
        // A record of one kind is no record of another.
        let others = Kind::ALL.into_iter().filter(|kind| *kind != record.kind());
        assert_eq!(others.filter(|kind| decodes_as(*kind, envelope)).count(), 0);
    }
    assert_eq!(ids.len(), 13);
}

fn decodes_as(kind: Kind, envelope: &[u8]) -> bool {
    use packnback_proto::record as r;
    match kind {
        Kind::Cert => r::decode_cert(envelope).is_ok(),
        Kind::Snap => r::decode_snap(envelope).is_ok(),
        Kind::Receipt => r::decode_receipt(envelope).is_ok(),
        Kind::Order => r::decode_order(envelope).is_ok(),
        Kind::Grant => r::decode_grant(envelope).is_ok(),
    }
}

#[test]
fn only_the_named_key_may_sign() {
    let stranger = key("stranger");
    let refuse = |envelope: Vec<u8>| decode_record(&envelope).unwrap_err();
    let wrong = RecordError::WrongSigner;
    // A device signs no certificate, order or grant; the owner no snapshot or receipt.
    let device = key("device");
    assert_eq!(
        refuse(sign(Kind::Cert, &encode_body(&cert()).unwrap(), &device)),
        wrong
    );
    let order_body = encode_body(&order(Op::DeleteIds(records(1)))).unwrap();
    assert_eq!(refuse(sign(Kind::Order, &order_body, &device)), wrong);
    let grant_body = encode_body(&grant(Scope::All)).unwrap();
    assert_eq!(refuse(sign(Kind::Grant, &grant_body, &stranger)), wrong);
    let snap_body = encode_body(&snap()).unwrap();
    assert_eq!(
        refuse(sign(Kind::Snap, &snap_body, &owner().sign_key())),
        wrong
    );
    let receipt_body = encode_body(&receipt()).unwrap();
    assert_eq!(refuse(sign(Kind::Receipt, &receipt_body, &device)), wrong);
    assert_eq!(Signed::sign(&cert(), &stranger).unwrap_err(), wrong);
}

#[test]
fn cert_rules() {
    let bad = |change: fn(&mut Cert)| {
        let mut value = cert();
        change(&mut value);
        invalid(&value)
    };
    assert_eq!(
        bad(|c| c.perms = perms::ALL + 1),
        RecordError::Invalid("perms")
    );
    assert_eq!(
        bad(|c| c.expires = c.not_before),
        RecordError::Invalid("expires")
    );
    assert_eq!(bad(|c| c.group = u32::MAX), RecordError::Invalid("group"));
    for len in [
        0,
        SEALED_LABEL_MAX - 1,
        SEALED_LABEL_MAX,
        SEALED_LABEL_MAX + 1,
    ] {
        let value = Cert {
            sealed_label: vec![0; len],
            ..cert()
        };
        assert_eq!(
            encode_body(&value).is_ok(),
            len <= SEALED_LABEL_MAX,
            "{len}"
        );
    }
    for key in 1..=13 {
        let error = refusal(&cert(), "owner", |body| without(body, key));
        assert_eq!(error, RecordError::Cbor(CborError::MissingKey(key)));
    }
    let unknown = refusal(&cert(), "owner", |body| *at(body, 14) = int(0));
    assert_eq!(unknown, RecordError::Cbor(CborError::UnknownKey(14)));
    let group = refusal(&cert(), "owner", |body| *at(body, 10) = int(1 << 32));
    assert_eq!(group, RecordError::Cbor(CborError::OutOfRange));
    let short = refusal(&cert(), "owner", |body| *at(body, 13) = blob(&[0; 31]));
    assert_eq!(short, RecordError::Cbor(CborError::OutOfRange));
}

#[test]
fn cert_window_allows_a_day_of_wrong_clock() {
    let day = 86_400;
    let c = cert();
    for (now, ok) in [
        (c.not_before - day - 1, false),
        (c.not_before - day, true),
        (c.expires + day, true),
        (c.expires + day + 1, false),
        (u64::MAX, false),
    ] {
        assert_eq!(c.is_valid_at(now), ok, "{now}");
    }
    assert!(
        Cert {
            expires: u64::MAX,
            ..cert()
        }
        .is_valid_at(u64::MAX)
    );
    assert!(c.allows(perms::PUT | perms::LIST) && !c.allows(perms::PUT | perms::AUDIT));
}

#[test]
fn snap_of_another_format_is_named_as_such() {
    for format in [0, 2, u64::MAX] {
        let error = refusal(&snap(), "device", |body| *at(body, 8) = int(format));
        assert_eq!(error, RecordError::UnknownFormat(format));
    }
    // Also when the later format has further fields.
    let error = refusal(&snap(), "device", |body| {
        *at(body, 8) = int(2);
        *at(body, 9) = int(0);
    });
    assert_eq!(error, RecordError::UnknownFormat(2));
    let first = Snap {
        prev: None,
        seq: u64::MAX,
        ..snap()
    };
    assert_eq!(
        Signed::sign(&first, &key("device")).unwrap().value(),
        &first
    );
}

#[test]
fn orders_that_need_an_audience_have_one() {
    for op in every_op() {
        let needs = matches!(op, Op::Policy(_) | Op::DropOwner);
        let value = Order {
            audience: None,
            ..order(op.clone())
        };
        let expected = if needs {
            Err(RecordError::AudienceRequired)
        } else {
            Ok(())
        };
        assert_eq!(encode_body(&value).map(drop), expected);
        let error = needs.then(|| refusal(&order(op), "owner", |body| *at(body, 4) = Value::Null));
        assert_eq!(error, needs.then_some(RecordError::AudienceRequired));
    }
    let for_two = order(Op::DropOwner);
    assert!(for_two.is_for(&nodes(2)[0]) && !for_two.is_for(&node("other")));
    assert!(order(Op::Hold(records(1))).is_for(&node("other")));
}

#[test]
fn unknown_operations_are_refused() {
    let hold = || order(Op::Hold(records(1)));
    let error = refusal(&hold(), "owner", |body| *at(body, 5) = int(9));
    assert_eq!(error, RecordError::UnknownOp(9));
    let error = refusal(&order(Op::DropOwner), "owner", |body| *at(body, 6) = int(0));
    assert_eq!(error, RecordError::Cbor(CborError::WrongType));
    // The argument of one operation is none of another.
    let error = refusal(&hold(), "owner", |body| *at(body, 5) = int(7));
    assert_eq!(error, RecordError::Cbor(CborError::WrongType));
}

#[test]
fn lists_are_sorted_unique_and_bounded() {
    let with_ids = |ids| encode_body(&order(Op::DeleteIds(ids))).map(drop);
    for n in [0, 1, RECORD_IDS_MAX - 1, RECORD_IDS_MAX, RECORD_IDS_MAX + 1] {
        let ok = (1..=RECORD_IDS_MAX).contains(&n);
        assert_eq!(with_ids(records(n)).is_ok(), ok, "{n}");
    }
    let mut twice = records(3);
    twice[1] = twice[0];
    assert_eq!(with_ids(twice), Err(RecordError::Order("ids")));
    let mut swapped = records(3);
    swapped.swap(0, 2);
    assert_eq!(with_ids(swapped), Err(RecordError::Order("ids")));
    for n in [0, 1, AUDIENCE_MAX - 1, AUDIENCE_MAX, AUDIENCE_MAX + 1] {
        let value = Order {
            audience: Some(nodes(n)),
            ..order(Op::DropOwner)
        };
        assert_eq!(
            encode_body(&value).is_ok(),
            (1..=AUDIENCE_MAX).contains(&n),
            "{n}"
        );
        let hosts = order(Op::Hosts {
            hseq: 1,
            hosts: nodes(n),
        });
        assert_eq!(encode_body(&hosts).is_ok(), n <= AUDIENCE_MAX, "{n}");
    }
    let reversed: Vec<NodeId> = nodes(2).into_iter().rev().collect();
    let value = Grant {
        audience: Some(reversed.clone()),
        ..grant(Scope::All)
    };
    assert_eq!(invalid(&value), RecordError::Order("audience"));
    assert_eq!(
        invalid(&grant(Scope::Devices(reversed))),
        RecordError::Order("scope")
    );
    assert_eq!(
        invalid(&grant(Scope::Snaps(vec![]))),
        RecordError::Limit("scope")
    );
}

#[test]
fn the_largest_records_fit_the_envelope() {
    let ids = records(RECORD_IDS_MAX);
    let largest = Order {
        audience: Some(nodes(AUDIENCE_MAX)),
        ..order(Op::DeleteIds(ids.clone()))
    };
    let signed = Signed::sign(&largest, &owner().sign_key()).unwrap();
    assert!(signed.envelope().len() <= RECORD_MAX);
    let largest = Grant {
        audience: Some(nodes(AUDIENCE_MAX)),
        ..grant(Scope::Snaps(ids))
    };
    assert!(
        Signed::sign(&largest, &owner().sign_key())
            .unwrap()
            .envelope()
            .len()
            <= RECORD_MAX
    );
}

#[test]
fn operation_arguments_have_limits() {
    let policy = |change: fn(&mut PolicyArg)| {
        let mut arg = policy();
        change(&mut arg);
        encode_body(&order(Op::Policy(arg))).map(drop)
    };
    assert_eq!(policy(|p| p.min_age_d = POLICY_DAYS_MAX), Ok(()));
    assert_eq!(
        policy(|p| p.min_age_d = POLICY_DAYS_MAX + 1),
        Err(RecordError::Invalid("min_age_d"))
    );
    assert_eq!(
        policy(|p| p.grace_d = POLICY_DAYS_MAX + 1),
        Err(RecordError::Invalid("grace_d"))
    );
    assert_eq!(policy(|p| p.keep[4] = POLICY_KEEP_MAX), Ok(()));
    assert_eq!(
        policy(|p| p.keep[4] = POLICY_KEEP_MAX + 1),
        Err(RecordError::Invalid("keep"))
    );
    assert_eq!(
        policy(|p| p.keep_last = u64::MAX),
        Err(RecordError::Invalid("keep_last"))
    );
    let error = refusal(&order(every_op().remove(2)), "owner", |body| {
        *at(at(body, 6), 4) = Value::Array(vec![int(0); 6]);
    });
    assert_eq!(error, RecordError::Cbor(CborError::OutOfRange));
    for len in [REASON_MAX, REASON_MAX + 1] {
        let op = Op::Revoke {
            device: node("device"),
            reason: "x".repeat(len),
        };
        assert_eq!(encode_body(&order(op)).is_ok(), len <= REASON_MAX);
    }
    let range = |recv_from, recv_to, max_count| {
        let device = node("device");
        encode_body(&order(Op::DeleteRange {
            device,
            recv_from,
            recv_to,
            max_count,
        }))
        .map(drop)
    };
    assert_eq!(range(1, 2, 1), Ok(()));
    assert_eq!(range(2, 2, 1), Err(RecordError::Invalid("recv_to")));
    assert_eq!(range(1, 2, 0), Err(RecordError::Invalid("max_count")));
}

#[test]
fn grants_live_thirty_days_at_most() {
    let start = 1_800_000_000;
    for (life, ok) in [
        (0, false),
        (1, true),
        (GRANT_LIFETIME_MAX_S - 1, true),
        (GRANT_LIFETIME_MAX_S, true),
        (GRANT_LIFETIME_MAX_S + 1, false),
    ] {
        let value = Grant {
            not_before: start,
            expires: start + life,
            ..grant(Scope::All)
        };
        assert_eq!(encode_body(&value).is_ok(), ok, "{life}");
    }
    let backwards = Grant {
        not_before: start,
        expires: 0,
        ..grant(Scope::All)
    };
    assert_eq!(invalid(&backwards), RecordError::Invalid("expires"));
    let g = grant(Scope::All);
    assert!(g.is_valid_at(g.not_before) && g.is_valid_at(g.expires));
    assert!(!g.is_valid_at(g.not_before - 1) && !g.is_valid_at(g.expires + 1));
    let error = refusal(&grant(Scope::Snaps(records(1))), "owner", |body| {
        *at(at(body, 3), 1) = list([blob(&[0; 32])]);
    });
    assert_eq!(error, RecordError::Cbor(CborError::UnknownKey(2)));
}

#[test]
fn labels_open_under_the_list_key_of_their_device_only() {
    let (seed, device) = (owner(), node("device"));
    let (owner_id, label_key) = (seed.owner_id(), seed.label_key(3));
    let open = |sealed: &[u8]| open_label(&label_key, &owner_id, &device, sealed);
    for label in ["", "Ada's laptop", "Größe", &"x".repeat(LABEL_MAX)] {
        let sealed = seal_label(&label_key, &owner_id, &device, label).unwrap();
        assert_eq!(sealed.len(), SEALED_LABEL_LEN);
        assert_eq!(open(&sealed).unwrap(), label);
    }
    let too_long = seal_label(&label_key, &owner_id, &device, &"x".repeat(LABEL_MAX + 1));
    assert_eq!(too_long, Err(RecordError::Limit("label")));
    let control = seal_label(&label_key, &owner_id, &device, "a\u{1b}[2J");
    assert_eq!(control, Err(RecordError::Invalid("label")));
    let sealed = cert().sealed_label;
    for (key, owner, device) in [
        (seed.label_key(2), owner_id, device),
        (secret("other"), owner_id, device),
        (seed.label_key(3), key("other").owner_id(), device),
        (seed.label_key(3), owner_id, node("other")),
    ] {
        let error = open_label(&key, &owner, &device, &sealed).unwrap_err();
        assert_eq!(error.class(), "label");
    }
    // Authentic, but not what a writer makes.
    let ad = [b"label1", owner_id.as_bytes().as_slice(), device.as_bytes()].concat();
    let sealed =
        |padded: &[u8]| packnback_proto::crypto::seal::seal(&label_key, &ad, padded).unwrap();
    let mut hidden = [0; LABEL_MAX];
    hidden[40] = 1;
    for bad in [
        &hidden[..],
        &[b'x'; LABEL_MAX + 1],
        b"short",
        &[0xff; LABEL_MAX],
    ] {
        assert_eq!(open(&sealed(bad)), Err(RecordError::Invalid("label")));
    }
}

/// What was encoded decodes to the same value and the same bytes.
fn comes_back<T: Body + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let body = encode_body(value).unwrap();
    let again: T = decode_body(&body).unwrap();
    prop_assert_eq!(&again, value);
    prop_assert_eq!(encode_body(&again).unwrap(), body);
    Ok(())
}

proptest! {
    #[test]
    fn bodies_come_back(
        cert in strategies::cert(),
        snap in strategies::snap(),
        receipt in strategies::receipt(),
        order in strategies::order(),
        grant in strategies::grant(),
    ) {
        comes_back(&cert)?;
        comes_back(&snap)?;
        comes_back(&receipt)?;
        comes_back(&order)?;
        comes_back(&grant)?;
    }
}
