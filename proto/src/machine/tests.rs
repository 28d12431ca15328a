#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;

use proptest::prelude::*;

use super::budget::{BudgetRefusal, DAY_S, Limits, Usage};
use super::closure::{Closure, Seen, Shelf, check};
use super::commit::{CommitRefusal, SessionOf, belongs};
use super::grant::{About, GrantFacts, GrantRefusal, ReadRight, accept, scope_shows};
use super::session::{OpenRefusal, Presented, may_open, still_valid};
use crate::ids::{NodeId, ObjectId, OwnerId, RecordId};
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

/// A tree: id byte -> height, complete bit, references.
#[derive(Debug, Clone, Default)]
struct Tree(BTreeMap<u8, (u8, bool, Vec<u8>)>);

impl Shelf for Tree {
    type Error = Infallible;

    fn look(&self, id: &ObjectId) -> Result<Option<Seen>, Infallible> {
        let seen = |(height, complete, _): &(u8, bool, Vec<u8>)| Seen {
            height: *height,
            complete: *complete,
        };
        Ok(self.0.get(&id.0[0]).map(seen))
    }

    fn refs(&self, id: &ObjectId) -> Result<Vec<ObjectId>, Infallible> {
        Ok(self.0[&id.0[0]].2.iter().map(|byte| oid(*byte)).collect())
    }
}

fn oid(byte: u8) -> ObjectId {
    ObjectId([byte; 32])
}

fn tree(rows: &[(u8, u8, bool, &[u8])]) -> Tree {
    Tree(
        rows.iter()
            .map(|(id, height, done, refs)| (*id, (*height, *done, refs.to_vec())))
            .collect(),
    )
}

#[test]
fn n02_closure_names_what_is_missing() {
    let full: &[(u8, u8, bool, &[u8])] = &[
        (1, 8, false, &[2, 3]),
        (2, 2, false, &[4, 5]),
        (3, 2, false, &[5, 6]),
        (4, 0, false, &[]),
        (5, 0, false, &[]),
        (6, 1, false, &[4]),
    ];
    let verdict = check(&tree(full), &oid(1), 10).unwrap();
    assert_eq!(
        verdict,
        Closure::Complete(vec![oid(2), oid(6), oid(3), oid(1)])
    );
    for gone in 1..=6 {
        let rest: Vec<_> = full.iter().filter(|row| row.0 != gone).copied().collect();
        let verdict = check(&tree(&rest), &oid(1), 10).unwrap();
        assert_eq!(verdict, Closure::Missing(vec![oid(gone)]));
    }
    let alone = tree(&full[..1]);
    assert_eq!(
        check(&alone, &oid(1), 1).unwrap(),
        Closure::Missing(vec![oid(2)])
    );
    assert_eq!(
        check(&alone, &oid(1), 2).unwrap(),
        Closure::Missing(vec![oid(2), oid(3)])
    );
}

#[test]
fn n02_complete_nodes_are_trusted_and_not_descended() {
    let shelf = tree(&[(1, 8, false, &[2]), (2, 2, true, &[99])]);
    assert_eq!(
        check(&shelf, &oid(1), 9).unwrap(),
        Closure::Complete(vec![oid(1)])
    );
}

#[test]
fn n02_a_child_that_is_not_lower_is_refused() {
    for height in [2, 3] {
        let shelf = tree(&[(1, 2, false, &[2]), (2, height, true, &[])]);
        let verdict = check(&shelf, &oid(1), 9).unwrap();
        assert_eq!(
            verdict,
            Closure::NotLower {
                node: oid(1),
                child: oid(2)
            }
        );
    }
    let itself = tree(&[(1, 2, false, &[1])]);
    assert!(matches!(
        check(&itself, &oid(1), 9).unwrap(),
        Closure::NotLower { .. }
    ));
}

fn reachable(tree: &Tree, id: u8, seen: &mut HashSet<u8>) -> bool {
    let Some((_, _, refs)) = tree.0.get(&id) else {
        return false;
    };
    let mut whole = true;
    if seen.insert(id) {
        for child in refs {
            whole &= reachable(tree, *child, seen);
        }
    }
    whole
}

proptest! {
    /// Against the naive walk: any tree, any objects gone.
    #[test]
    fn n02_closure_agrees_with_the_naive_walk(
        links in proptest::collection::vec((0u8..40, 0u8..40), 0..120),
        gone in proptest::collection::hash_set(0u8..40, 0..4),
    ) {
        let mut shelf = Tree::default();
        for id in 0..40u8 {
            shelf.0.insert(id, (id / 5, false, vec![]));
        }
        for (parent, child) in links {
            let node = shelf.0.get_mut(&parent).unwrap();
            if child / 5 < node.0 && !node.2.contains(&child) {
                node.2.push(child);
            }
        }
        shelf.0.retain(|id, _| !gone.contains(id) || *id == 39);
        let mut seen = HashSet::new();
        let mut whole = reachable(&shelf, 39, &mut seen);
        whole &= seen.iter().all(|id| shelf.0[id].2.iter().all(|child| shelf.0.contains_key(child)));
        match check(&shelf, &oid(39), usize::MAX).unwrap() {
            Closure::Complete(done) => {
                prop_assert!(whole);
                let nodes: HashSet<u8> = seen.into_iter().filter(|id| shelf.0[id].0 > 0).collect();
                prop_assert_eq!(done.iter().map(|id| id.0[0]).collect::<HashSet<_>>(), nodes);
                for (at, id) in done.iter().enumerate() {
                    for child in &shelf.0[&id.0[0]].2 {
                        let below = &shelf.0[child];
                        prop_assert!(below.0 == 0 || done[..at].contains(&oid(*child)));
                    }
                }
            }
            Closure::Missing(missing) => {
                prop_assert!(!whole && !missing.is_empty());
                prop_assert!(missing.iter().all(|id| gone.contains(&id.0[0])));
            }
            Closure::NotLower { .. } => prop_assert!(false),
        }
    }
}
