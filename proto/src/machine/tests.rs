#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod closure;

use super::budget::{BudgetRefusal, DAY_S, Limits, Usage};
use super::commit::{CommitRefusal, SessionOf, belongs};
use super::grant::{About, GrantFacts, GrantRefusal, ReadRight, accept, scope_shows};
use super::session::{OpenRefusal, Presented, may_open, still_valid};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId, SetId};
use crate::limits::{CERT_CLOCK_SKEW_S, GRANT_LIFETIME_MAX_S};
use crate::record::{Cert, Grant, Scope, Snap, perms};
use crate::wire::{Nonce16, Role};

const NOW: u64 = 1_800_000_000;
const PEER: NodeId = NodeId([1; 32]);
const HOST: NodeId = NodeId([2; 32]);
const OWNER: OwnerId = OwnerId([3; 32]);

fn cert() -> Cert {
    Cert {
        owner: OWNER,
        device: PEER,
        serial: 5,
        perms: perms::ALL,
        not_before: NOW - 10,
        expires: NOW + 10,
        quota_bytes: 1000,
        new_bytes_per_day: 600,
        snaps_per_day: 2,
        group: 0,
        epoch: 0,
        sealed_label: vec![],
        recovery: NodeId([9; 32]),
    }
}

#[test]
fn open_is_refused_for_each_reason_and_only_then() {
    let good = cert();
    let facts = Presented {
        cert: &good,
        peer: PEER,
        role: Some(Role::Friend),
        bound: None,
        revoked: false,
        serial_seen: 5,
    };
    assert_eq!(may_open(facts, NOW), Ok(()));
    assert_eq!(
        may_open(
            Presented {
                bound: Some(OWNER),
                ..facts
            },
            NOW
        ),
        Ok(())
    );
    let refused = |facts, now| may_open(facts, now).unwrap_err();
    for role in [
        None,
        Some(Role::Guest),
        Some(Role::Infra),
        Some(Role::Recovery),
    ] {
        assert_eq!(
            refused(Presented { role, ..facts }, NOW),
            OpenRefusal::NotFriend
        );
    }
    assert_eq!(
        refused(
            Presented {
                peer: HOST,
                ..facts
            },
            NOW
        ),
        OpenRefusal::WrongDevice
    );
    let other = Some(OwnerId([8; 32]));
    assert_eq!(
        refused(
            Presented {
                bound: other,
                ..facts
            },
            NOW
        ),
        OpenRefusal::OtherOwner
    );
    assert_eq!(
        refused(
            Presented {
                revoked: true,
                ..facts
            },
            NOW
        ),
        OpenRefusal::Revoked
    );
    assert_eq!(
        refused(
            Presented {
                serial_seen: 6,
                ..facts
            },
            NOW
        ),
        OpenRefusal::Superseded(6)
    );
    let no_put = Cert {
        perms: perms::ALL & !perms::PUT,
        ..cert()
    };
    assert_eq!(
        refused(
            Presented {
                cert: &no_put,
                ..facts
            },
            NOW
        ),
        OpenRefusal::NoPut
    );
}

#[test]
fn certificate_window_is_exact_at_both_ends() {
    let cert = cert();
    let first = cert.not_before - CERT_CLOCK_SKEW_S;
    let last = cert.expires + CERT_CLOCK_SKEW_S;
    assert_eq!(still_valid(&cert, false, first), Ok(()));
    assert_eq!(still_valid(&cert, false, last), Ok(()));
    assert!(matches!(
        still_valid(&cert, false, first - 1),
        Err(OpenRefusal::NotYet(_))
    ));
    assert!(matches!(
        still_valid(&cert, false, last + 1),
        Err(OpenRefusal::Expired(_))
    ));
    let eternal = Cert {
        expires: u64::MAX,
        not_before: 0,
        ..cert
    };
    assert_eq!(still_valid(&eternal, false, u64::MAX), Ok(()));
}

#[test]
fn budget_is_exact_and_a_new_day_resets_the_day_only() {
    let limits = Limits::new(&cert(), 900);
    assert_eq!((limits.bytes, limits.day_bytes), (900, 600));
    let usage = Usage::default().add_bytes(600, &limits, NOW).unwrap();
    assert_eq!(usage.left(&limits), 0);
    assert_eq!(
        usage.add_bytes(1, &limits, NOW),
        Err(BudgetRefusal::DayBytes { limit: 600 })
    );
    let tomorrow = NOW + DAY_S;
    let usage = usage.add_bytes(300, &limits, tomorrow).unwrap();
    assert_eq!(
        usage.add_bytes(1, &limits, tomorrow),
        Err(BudgetRefusal::Quota {
            used: 900,
            limit: 900
        })
    );
    assert_eq!(
        usage.on_day_of(NOW),
        usage,
        "a clock that runs back opens no new day"
    );
    let usage = usage
        .add_snap(&limits, tomorrow)
        .unwrap()
        .add_snap(&limits, tomorrow)
        .unwrap();
    assert_eq!(
        usage.add_snap(&limits, tomorrow),
        Err(BudgetRefusal::DaySnaps { limit: 2 })
    );
    assert!(usage.add_snap(&limits, tomorrow + DAY_S).is_ok());
    assert!(
        Usage::default()
            .add_bytes(u64::MAX, &Limits::NONE, NOW)
            .is_ok()
    );
}

#[test]
fn snapshot_must_belong_to_the_session() {
    let session = SessionOf {
        owner: OWNER,
        device: PEER,
    };
    let snap = Snap {
        owner: OWNER,
        device: PEER,
        seq: u64::MAX,
        prev: None,
        root: ObjectId([0; 32]),
        time: 0,
        cert_serial: 1,
        set: SetId([1; 16]),
    };
    assert_eq!(belongs(&snap, PEER.as_bytes(), session), Ok(()));
    assert_eq!(
        belongs(&snap, HOST.as_bytes(), session),
        Err(CommitRefusal::OtherDevice)
    );
    let other = Snap {
        device: HOST,
        ..snap.clone()
    };
    assert_eq!(
        belongs(&other, HOST.as_bytes(), session),
        Err(CommitRefusal::OtherDevice)
    );
    let other = Snap {
        owner: OwnerId([8; 32]),
        ..snap
    };
    assert_eq!(
        belongs(&other, PEER.as_bytes(), session),
        Err(CommitRefusal::OtherOwner)
    );
}

fn grant() -> Grant {
    Grant {
        owner: OWNER,
        reader: PEER,
        scope: Scope::All,
        not_before: NOW,
        expires: NOW + 100,
        audience: Some(vec![HOST]),
        nonce: [7; 16],
        max_bytes: Some(50),
    }
}

fn facts(grant: &Grant) -> GrantFacts<'_> {
    GrantFacts {
        grant,
        peer: PEER,
        role: Some(Role::Recovery),
        host: HOST,
        served: true,
        nonce: Nonce16([7; 16]),
        bytes_read: 0,
    }
}

#[test]
fn n17_grant_is_refused_for_each_reason_and_only_then() {
    let good = grant();
    let try_at = |grant: &Grant, now| accept(facts(grant), now);
    assert!(try_at(&good, NOW).is_ok());
    assert!(try_at(&good, NOW + 100).is_ok());
    assert_eq!(try_at(&good, NOW - 1), Err(GrantRefusal::NotYet(NOW)));
    assert_eq!(
        try_at(&good, NOW + 101),
        Err(GrantRefusal::Expired(NOW + 100))
    );
    let wrong = Grant {
        reader: HOST,
        ..grant()
    };
    assert_eq!(try_at(&wrong, NOW), Err(GrantRefusal::WrongReader));
    let wrong = Grant {
        audience: Some(vec![PEER]),
        ..grant()
    };
    assert_eq!(try_at(&wrong, NOW), Err(GrantRefusal::WrongHost));
    let wrong = Grant {
        audience: Some(vec![]),
        ..grant()
    };
    assert_eq!(try_at(&wrong, NOW), Err(GrantRefusal::WrongHost));
    let wrong = Grant {
        nonce: [8; 16],
        ..grant()
    };
    assert_eq!(try_at(&wrong, NOW), Err(GrantRefusal::WrongNonce));
    let longest = Grant {
        expires: NOW + GRANT_LIFETIME_MAX_S,
        ..grant()
    };
    assert!(try_at(&longest, NOW).is_ok());
    let wrong = Grant {
        expires: NOW + GRANT_LIFETIME_MAX_S + 1,
        ..grant()
    };
    assert_eq!(try_at(&wrong, NOW), Err(GrantRefusal::TooLong));
    for audience in [None, Some(vec![HOST, PEER])] {
        let offline = Grant {
            nonce: [8; 16],
            audience,
            ..grant()
        };
        assert!(try_at(&offline, NOW).is_ok());
    }
    for role in [None, Some(Role::Guest), Some(Role::Infra)] {
        let refused = accept(
            GrantFacts {
                role,
                ..facts(&good)
            },
            NOW,
        );
        assert_eq!(refused, Err(GrantRefusal::Stranger));
    }
    let refused = accept(
        GrantFacts {
            served: false,
            ..facts(&good)
        },
        NOW,
    );
    assert_eq!(refused, Err(GrantRefusal::NotServed));
    let refused = accept(
        GrantFacts {
            bytes_read: 51,
            ..facts(&good)
        },
        NOW,
    );
    assert_eq!(refused, Err(GrantRefusal::UsedUp(50)));
}

#[test]
fn n17_read_right_ends_with_its_bytes_and_its_time() {
    let right = accept(
        GrantFacts {
            bytes_read: 20,
            ..facts(&grant())
        },
        NOW,
    )
    .unwrap();
    assert_eq!(right.may_read(30, NOW), Ok(()));
    assert_eq!(right.may_read(31, NOW), Err(GrantRefusal::UsedUp(50)));
    assert_eq!(
        right.may_read(0, NOW + 101),
        Err(GrantRefusal::Expired(NOW + 100))
    );
    let endless = ReadRight {
        max_bytes: None,
        ..right
    };
    assert_eq!(endless.may_read(u64::MAX, NOW), Ok(()));
}

#[test]
fn n17_scope_shows_only_what_it_covers() {
    let (mine, other) = (RecordId([1; 32]), RecordId([2; 32]));
    let devices = Scope::Devices(vec![PEER]);
    let snaps = Scope::Snaps(vec![mine]);
    assert!(
        scope_shows(&devices, About::Cert(PEER)) && scope_shows(&devices, About::Snap(PEER, other))
    );
    assert!(
        !scope_shows(&devices, About::Cert(HOST))
            && !scope_shows(&devices, About::Snap(HOST, mine))
    );
    assert!(
        scope_shows(&snaps, About::Snap(HOST, mine))
            && !scope_shows(&snaps, About::Snap(PEER, other))
    );
    for scope in [Scope::All, devices, snaps] {
        assert!(scope_shows(&scope, About::Order));
    }
}
