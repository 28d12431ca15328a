//! Friends, their owners, and what an owner brings.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use packnback_proto::ids::{NodeId, OwnerId};
use packnback_proto::wire::Role;

use super::Friend;
use super::recovery::KEYS_PER_OWNER;
use super::state::StatePort as _;
use super::tests::{NOW, World, key};
use crate::ports::{Binding, PeerBook as _, Sponsor};

const fn binding(owner: OwnerId, recovery: NodeId, issued: u64) -> Binding {
    Binding {
        owner,
        recovery,
        issued,
    }
}

/// A world with a friend for each of these keys.
fn with_friends(keys: &[u8]) -> World {
    let world = World::new();
    for n in keys {
        let friend = Friend {
            name: String::new(),
            addrs: Vec::new(),
            quota_given: 10,
            quota_taken: 20,
            added: NOW,
            ..Friend::default()
        };
        world.table.put_friend(key(*n).node_id(), friend).unwrap();
    }
    world
}

#[test]
fn n25_recovery_keys_are_no_first_come_first_served() {
    let world = with_friends(&[40, 50]);
    let (bad, good) = (key(40).node_id(), key(50).node_id());
    let (thief, honest) = (OwnerId([4; 32]), OwnerId([5; 32]));
    let recovery = key(51).node_id();
    // A friend names the recovery peer of somebody else as its own, and many more.
    world
        .table
        .bind(&bad, &binding(thief, recovery, 1))
        .unwrap();
    for n in 100..200 {
        let more = binding(thief, key(n).node_id(), u64::from(n));
        world.table.bind(&bad, &more).unwrap();
    }
    let rows = world.state.rows(b"recovery-2/").unwrap();
    assert_eq!(rows.len(), KEYS_PER_OWNER, "the newest");
    assert_eq!(
        world.table.standing(&key(199).node_id()).unwrap().role,
        Role::Recovery
    );
    assert_eq!(world.table.standing(&key(100).node_id()), None);
    // An older certificate changes nothing.
    let before = world.everything();
    world
        .table
        .bind(&bad, &binding(thief, key(90).node_id(), 1))
        .unwrap();
    assert_eq!(world.everything(), before);
    // The honest owner is not locked out, neither while the other claims its key nor afterwards.
    world
        .table
        .bind(&bad, &binding(thief, recovery, 1000))
        .unwrap();
    world
        .table
        .bind(&good, &binding(honest, recovery, 2))
        .unwrap();
    assert!(world.table.has_role(&recovery, Role::Recovery));
    world.table.remove_friend(&bad).unwrap();
    for world in [&world, &world.reopened()] {
        assert!(world.table.has_role(&recovery, Role::Recovery));
        assert_eq!(world.everything().1[&recovery], (Role::Recovery, None));
    }
}

#[test]
fn n25_roles_add_up() {
    let world = with_friends(&[40, 50]);
    let (bad, good) = (key(40).node_id(), key(50).node_id());
    let (thief, honest) = (OwnerId([4; 32]), OwnerId([5; 32]));
    let (host, recovery) = (key(60).node_id(), key(61).node_id());
    world
        .table
        .bind(&good, &binding(honest, recovery, 1))
        .unwrap();
    let lists = [(honest, vec![host]), (thief, vec![recovery, host])];
    // The host of one owner named as the recovery peer of another, and the other way round.
    world.table.bind(&bad, &binding(thief, host, 1)).unwrap();
    world.table.set_replicas(&lists, None).unwrap();
    assert!(world.table.has_role(&host, Role::Replica));
    assert!(world.table.has_role(&recovery, Role::Recovery));
    world.table.remove_friend(&bad).unwrap();
    world.table.set_replicas(&lists, None).unwrap();
    assert!(world.table.has_role(&host, Role::Replica));
    assert!(world.table.has_role(&recovery, Role::Recovery));
}

#[test]
fn n25_what_a_friend_brought_goes_with_it() {
    let world = with_friends(&[40, 41, 50]);
    let (bad, second, good) = (key(40).node_id(), key(41).node_id(), key(50).node_id());
    let (thief, honest) = (OwnerId([4; 32]), OwnerId([5; 32]));
    let bring = |n, issued| {
        world
            .table
            .bind(&bad, &binding(thief, key(n).node_id(), issued))
    };
    bring(100, 1).unwrap();
    bring(101, 2).unwrap();
    world
        .table
        .bind(&second, &binding(thief, key(101).node_id(), 2))
        .unwrap();
    world
        .table
        .bind(&good, &binding(honest, key(61).node_id(), 1))
        .unwrap();
    let many: Vec<NodeId> = (110..200).map(|n| key(n).node_id()).collect();
    let lists = [(thief, many.clone()), (honest, vec![key(201).node_id()])];
    world.table.set_replicas(&lists, None).unwrap();
    let listed = many.iter().filter(|id| world.table.standing(id).is_some());
    assert_eq!(listed.count(), 32, "an owner brings so many");
    assert_eq!(world.table.sponsor(&many[0]), Some(Sponsor::Owner(thief)));
    // The owner has another friend here: nothing goes yet.
    assert!(world.table.brought_by(&bad).is_empty());
    world.table.remove_friend(&bad).unwrap();
    assert!(world.table.standing(&many[0]).is_some());
    // The last one.
    let brought = world.table.brought_by(&second);
    assert_eq!(brought.len(), 2 + 32);
    world.table.remove_friend(&second).unwrap();
    for id in &many {
        assert_eq!(world.table.standing(id), None);
        assert!(!world.everything().1.contains_key(id));
    }
    // One recovery key stays, so that the owner can fetch what it has here.
    assert_eq!(world.table.standing(&key(100).node_id()), None);
    assert!(world.table.has_role(&key(101).node_id(), Role::Recovery));
    // The lists of an owner without friends bring nobody; those of others do.
    world.table.set_replicas(&lists, None).unwrap();
    assert_eq!(world.table.standing(&many[0]), None);
    assert!(world.table.has_role(&key(201).node_id(), Role::Replica));
    assert!(world.table.has_role(&key(61).node_id(), Role::Recovery));
}

#[test]
fn a_friend_is_bound_to_one_owner_and_its_recovery_key_admitted() {
    let world = World::new();
    let friend = world.claim_by(3).real;
    world
        .claim(&world.claim_by(3), &world.guest, NOW)
        .unwrap()
        .unwrap();
    let (owner, recovery) = (OwnerId([7; 32]), key(20).node_id());
    assert_eq!(world.table.standing(&recovery), None);
    world
        .table
        .bind(&friend, &binding(owner, recovery, 1))
        .unwrap();
    for world in [&world, &world.reopened()] {
        let standing = world.table.standing(&friend).unwrap();
        assert_eq!(
            (standing.role, standing.quota, standing.owner),
            (Role::Friend, 500, Some(owner))
        );
        let standing = world.table.standing(&recovery).unwrap();
        assert_eq!(
            (standing.role, standing.owner),
            (Role::Recovery, Some(owner))
        );
        assert_eq!(world.everything().1[&recovery], (Role::Recovery, None));
    }
    let before = world.everything();
    world
        .table
        .bind(&friend, &binding(owner, recovery, 1))
        .unwrap();
    let other = OwnerId([8; 32]);
    assert!(
        world
            .table
            .bind(&friend, &binding(other, key(21).node_id(), 1))
            .is_err()
    );
    assert!(
        world
            .table
            .bind(&key(22).node_id(), &binding(owner, key(21).node_id(), 1))
            .is_err()
    );
    assert!(
        world
            .table
            .bind(&friend, &binding(owner, world.me, 1))
            .is_err()
    );
    assert_eq!(world.everything(), before);
}

#[test]
fn the_recovery_key_outlives_the_friendship() {
    let world = World::new();
    let friend = world.claim_by(3).real;
    world
        .claim(&world.claim_by(3), &world.guest, NOW)
        .unwrap()
        .unwrap();
    let recovery = key(20).node_id();
    world
        .table
        .bind(&friend, &binding(OwnerId([7; 32]), recovery, 1))
        .unwrap();
    world.table.remove_friend(&friend).unwrap();
    assert!(world.table.remove_friend(&friend).is_err());
    for world in [&world, &world.reopened()] {
        assert_eq!(world.table.standing(&friend), None);
        assert_eq!(
            world.everything().1,
            BTreeMap::from([
                (recovery, (Role::Recovery, None)),
                // It is let in to be told, and for nothing else.
                (friend, (Role::Former, world.farewell_of(&friend))),
            ])
        );
    }
}
