//! Invites and the table: every refusal leaves rows and allow-list as they were.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use packnback_proto::crypto::secret::Secret32;
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::NodeId;
use packnback_proto::wire::contact::Bond;
use packnback_proto::wire::invite::claim_message;
use packnback_proto::wire::{Bytes, ErrorCode, Nonce16, Role};
use parking_lot::Mutex;

mod contacts;

use super::*;
use crate::ports::{Clock as _, Failure, NetError, PeerBook as _, Reach, SystemClock};

pub(super) const NOW: u64 = 1_000_000;
const NONCE: Nonce16 = Nonce16([9; 16]);

#[derive(Default)]
pub(super) struct FakeGate(Mutex<BTreeMap<NodeId, (Role, Option<u64>)>>);

impl Gate for FakeGate {
    fn admit(&self, node: NodeId, role: Role, until: Option<u64>) -> Result<(), NetError> {
        self.0.lock().insert(node, (role, until));
        Ok(())
    }

    fn withdraw(&self, node: NodeId) {
        self.0.lock().remove(&node);
    }
}

#[derive(Default)]
pub(super) struct FlakyState {
    rows: MemoryState,
    broken: Mutex<bool>,
}

impl StatePort for FlakyState {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, Failure> {
        self.rows.rows(prefix)
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), Failure> {
        if *self.broken.lock() {
            return Err(Failure::new(ErrorCode::DiskFull, "the disk is full"));
        }
        self.rows.apply(changes)
    }
}

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&Secret32::new([n; 32]))
}

fn new(guest: NodeId, name: &str, quota: u64, lifetime_s: u64) -> NewInvite<'_> {
    NewInvite {
        guest,
        name,
        quota,
        is_usual: false,
        lifetime_s,
    }
}

pub(super) struct World {
    pub(super) state: Arc<FlakyState>,
    gate: Arc<FakeGate>,
    pub(super) table: PeerTable,
    pub(super) me: NodeId,
    pub(super) guest: NodeId,
}

pub(super) type Everything = (Vec<Row>, BTreeMap<NodeId, (Role, Option<u64>)>);

impl World {
    pub(super) fn new() -> Self {
        let (state, gate) = (
            Arc::new(FlakyState::default()),
            Arc::new(FakeGate::default()),
        );
        let (me, guest) = (key(1).node_id(), key(2).node_id());
        let table =
            PeerTable::open(me, state.clone(), gate.clone(), Arc::new(SystemClock)).unwrap();
        table
            .add_invite(new(guest, "anna", 500, 3600), NOW)
            .unwrap();
        Self {
            state,
            gate,
            table,
            me,
            guest,
        }
    }

    /// As after a restart.
    pub(super) fn reopened(&self) -> Self {
        let gate = Arc::new(FakeGate::default());
        let table = PeerTable::open(
            self.me,
            self.state.clone(),
            gate.clone(),
            Arc::new(SystemClock),
        )
        .unwrap();
        Self {
            state: self.state.clone(),
            gate,
            table,
            me: self.me,
            guest: self.guest,
        }
    }

    pub(super) fn everything(&self) -> Everything {
        (self.state.rows(b"").unwrap(), self.gate.0.lock().clone())
    }

    /// Until when a removed friend is let in.
    pub(super) fn farewell_of(&self, node: &NodeId) -> Option<u64> {
        self.table.rows.read().farewells.get(node).copied()
    }

    pub(super) fn claim_by(&self, real: u8) -> Claim {
        let real = key(real);
        let message = claim_message(&self.me, &self.guest, &real.node_id(), &NONCE);
        Claim {
            real: real.node_id(),
            signature: Bytes(real.sign(&message).to_vec()),
            name: "laptop".to_owned(),
            addrs: vec!["/ip4/192.0.2.1/tcp/1".to_owned()],
            quota: 700,
        }
    }

    pub(super) fn claim(
        &self,
        claim: &Claim,
        peer: &NodeId,
        now: u64,
    ) -> Result<Result<Accepted, ClaimRefusal>, Failure> {
        let context = ClaimContext {
            inviter: &self.me,
            peer,
            nonce: &NONCE,
            now,
        };
        self.table.claim(claim, &context)
    }

    fn assert_refused(&self, claim: &Claim, peer: &NodeId, now: u64, refusal: ClaimRefusal) {
        let before = self.everything();
        assert_eq!(self.claim(claim, peer, now).unwrap(), Err(refusal));
        assert_eq!(self.everything(), before);
        assert_eq!(self.reopened().everything(), before);
    }
}

#[test]
fn a_claim_makes_a_friend_and_uses_the_invite_up() {
    let world = World::new();
    assert_eq!(
        world.everything().1[&world.guest],
        (Role::Guest, Some(NOW + 3600))
    );
    let claim = world.claim_by(3);
    let accepted = world.claim(&claim, &world.guest, NOW).unwrap().unwrap();
    assert_eq!(
        accepted,
        Accepted {
            guest: world.guest,
            quota: 500
        }
    );
    for world in [&world, &world.reopened()] {
        let friend = world.table.friend(&claim.real).unwrap();
        assert_eq!((friend.name.as_str(), friend.addrs.len()), ("anna", 1));
        assert_eq!((friend.quota_given, friend.quota_taken), (500, 700));
        assert_eq!(
            world.everything().1,
            BTreeMap::from([(claim.real, (Role::Friend, None))])
        );
    }
}

#[test]
fn the_same_claimant_gets_the_same_answer_and_nothing_changes() {
    let world = World::new();
    let claim = world.claim_by(3);
    let first = world.claim(&claim, &world.guest, NOW).unwrap().unwrap();
    let before = world.everything();
    // Over either identity, and long after the expiry.
    for peer in [world.guest, claim.real] {
        assert_eq!(world.claim(&claim, &peer, NOW * 2).unwrap().unwrap(), first);
        assert_eq!(world.everything(), before);
    }
    assert_eq!(world.table.guest_of(&claim.real), Some(world.guest));
}

#[test]
fn a_second_claimant_is_refused() {
    let world = World::new();
    world
        .claim(&world.claim_by(3), &world.guest, NOW)
        .unwrap()
        .unwrap();
    world.assert_refused(&world.claim_by(4), &world.guest, NOW, ClaimRefusal::Used);
}

#[test]
fn an_expired_invite_is_refused_from_its_last_second_on() {
    let world = World::new();
    let claim = world.claim_by(3);
    world.assert_refused(&claim, &world.guest, NOW + 3600, ClaimRefusal::Expired);
    world
        .claim(&claim, &world.guest, NOW + 3599)
        .unwrap()
        .unwrap();
}

#[test]
fn a_claim_not_by_its_identity_or_not_for_this_conversation_is_refused() {
    let world = World::new();
    let good = world.claim_by(3);
    let by_other = Claim {
        real: key(4).node_id(),
        ..good.clone()
    };
    let short = Claim {
        signature: Bytes(vec![1; 63]),
        ..good.clone()
    };
    let mut flipped = good.clone();
    flipped.signature.0[5] ^= 1;
    for claim in [by_other, short, flipped] {
        world.assert_refused(&claim, &world.guest, NOW, ClaimRefusal::Signature);
    }
    let replay = ClaimContext {
        inviter: &world.me,
        peer: &world.guest,
        nonce: &Nonce16([8; 16]),
        now: NOW,
    };
    let before = world.everything();
    assert_eq!(
        world.table.claim(&good, &replay).unwrap(),
        Err(ClaimRefusal::Signature)
    );
    assert_eq!(world.everything(), before);
}

#[test]
fn a_claim_over_another_connection_or_for_ourselves_is_refused() {
    let world = World::new();
    let claim = world.claim_by(3);
    world.assert_refused(&claim, &key(5).node_id(), NOW, ClaimRefusal::Unknown);
    world.assert_refused(&claim, &claim.real, NOW, ClaimRefusal::Unknown);
    world.assert_refused(
        &world.claim_by(1),
        &world.guest,
        NOW,
        ClaimRefusal::Identity,
    );
    world.assert_refused(
        &world.claim_by(2),
        &world.guest,
        NOW,
        ClaimRefusal::Identity,
    );
}

#[test]
fn a_full_disk_admits_nobody() {
    let world = World::new();
    let before = world.everything();
    *world.state.broken.lock() = true;
    assert!(world.claim(&world.claim_by(3), &world.guest, NOW).is_err());
    assert!(
        world
            .table
            .add_invite(new(key(6).node_id(), "", 1, 1), NOW)
            .is_err()
    );
    assert_eq!(world.everything(), before);
    assert_eq!(world.table.friends(), Vec::new());
    *world.state.broken.lock() = false;
    world
        .claim(&world.claim_by(3), &world.guest, NOW)
        .unwrap()
        .unwrap();
}

#[test]
fn open_invites_are_limited_and_expired_ones_make_room() {
    let world = World::new();
    for n in 10..73 {
        world
            .table
            .add_invite(new(key(n).node_id(), "", 1, 100), NOW)
            .unwrap();
    }
    let before = world.everything();
    assert!(
        world
            .table
            .add_invite(new(key(90).node_id(), "", 1, 100), NOW + 99)
            .is_err()
    );
    assert_eq!(world.everything(), before);
    world
        .table
        .add_invite(new(key(90).node_id(), "", 1, u64::MAX), NOW + 100)
        .unwrap();
    // The first invite and the new one, which cannot live for ever.
    assert_eq!(world.state.rows(b"invite-1/").unwrap().len(), 2);
    let (_, until) = world.everything().1[&key(90).node_id()];
    assert_eq!(until, Some(NOW + 100 + INVITE_LIFETIME_MAX_S));
}

#[test]
fn a_damaged_row_is_an_error() {
    let world = World::new();
    let row = [b"peer-1/".as_slice(), &[1; 32]].concat();
    world.state.apply(vec![(row, Some(vec![0xff]))]).unwrap();
    assert!(
        PeerTable::open(
            world.me,
            world.state.clone(),
            world.gate.clone(),
            Arc::new(SystemClock)
        )
        .is_err()
    );
}

#[test]
fn what_peers_say_of_themselves_is_bounded() {
    assert_eq!(clean_name(" a\u{1b}[31m\n"), "a[31m");
    assert_eq!(clean_name(&"x".repeat(100)).chars().count(), 64);
    let addrs: Vec<String> = (0..30).map(|n| format!("/ip4/192.0.2.{n}/tcp/1")).collect();
    assert_eq!(clean_addrs(&addrs, false).len(), 16);
    assert!(clean_addrs(&["x".repeat(257)], true).is_empty());
    let local = [
        "/ip4/127.0.0.1/tcp/1".to_owned(),
        "/ip6/::1/udp/1/quic-v1".to_owned(),
    ];
    assert!(clean_addrs(&local, false).is_empty());
    assert_eq!(clean_addrs(&local, true).len(), 2);
}

#[tokio::test]
async fn both_sides_of_the_exchange_become_friends() {
    let world = World::new();
    let (mut ours, mut theirs) = tokio::io::duplex(4096);
    let me = Introduction {
        name: "host".into(),
        addrs: vec!["/ip4/192.0.2.9/tcp/1".into()],
        quota: 0,
    };
    // The exchange reads the clock, so the invite of the world is long over.
    let guest = key(30).node_id();
    world
        .table
        .add_invite(new(guest, "", 500, 3600), SystemClock.now())
        .unwrap();
    let visitor = Introduction {
        name: "berta".into(),
        addrs: Vec::new(),
        quota: 42,
    };
    let served = serve_invite(&mut ours, &world.table, &world.me, &guest, NONCE, &me, true);
    let claimant = key(31);
    let claimed = async {
        let outcome = claim_invite(&mut theirs, &world.me, &guest, &claimant, &visitor).await;
        drop(theirs);
        outcome
    };
    let (served, claimed) = tokio::join!(served, claimed);
    assert_eq!(served.unwrap(), Some(claimant.node_id()));
    let expected = Introduction { quota: 500, ..me };
    assert_eq!(claimed.unwrap(), ClaimOutcome::Accepted(expected));
    let friend = world.table.friend(&claimant.node_id()).unwrap();
    assert_eq!((friend.shown_name(), friend.quota_taken), ("berta", 42));
}

#[tokio::test]
async fn a_refused_claimant_is_told_why() {
    let world = World::new();
    let before = world.everything();
    let (mut ours, mut theirs) = tokio::io::duplex(4096);
    let me = Introduction {
        name: String::new(),
        addrs: Vec::new(),
        quota: 0,
    };
    let served = serve_invite(
        &mut ours,
        &world.table,
        &world.me,
        &world.guest,
        NONCE,
        &me,
        true,
    );
    let claimant = key(31);
    let claimed = async {
        let outcome = claim_invite(&mut theirs, &world.me, &world.guest, &claimant, &me).await;
        drop(theirs);
        outcome
    };
    let (served, claimed) = tokio::join!(served, claimed);
    assert_eq!(served.unwrap(), None);
    let message = ClaimRefusal::Expired.to_string().into();
    assert_eq!(
        claimed.unwrap(),
        ClaimOutcome::Refused {
            code: ErrorCode::Invite,
            message
        }
    );
    assert_eq!(world.everything(), before);
}
