//! Friends that are invited again, removed, or end the friendship.

use super::*;

#[test]
fn a_new_invite_leaves_a_friend_its_name_and_its_quota() {
    let world = World::new();
    let claim = world.claim_by(3);
    world.claim(&claim, &world.guest, NOW).unwrap().unwrap();
    // It moved, and is invited again; nobody says how much.
    let moved = "/ip4/192.0.2.2/tcp/1".to_owned();
    let again = |guest: u8, is_usual, name, quota| {
        let guest = key(guest).node_id();
        let invite = NewInvite {
            is_usual,
            ..new(guest, name, quota, 3600)
        };
        world.table.add_invite(invite, NOW).unwrap();
        let real = key(3);
        let message = claim_message(&world.me, &guest, &real.node_id(), &NONCE);
        let claim = Claim {
            signature: Bytes(real.sign(&message).to_vec()),
            addrs: vec![moved.clone()],
            ..claim.clone()
        };
        world.claim(&claim, &guest, NOW).unwrap().unwrap().quota
    };
    assert_eq!(again(40, true, "", 100), 500);
    let friend = world.table.friend(&claim.real).unwrap();
    assert_eq!((friend.name.as_str(), friend.quota_given), ("anna", 500));
    assert_eq!(
        friend.addrs,
        [moved.clone(), "/ip4/192.0.2.1/tcp/1".to_owned()]
    );
    // What somebody did say counts.
    assert_eq!(again(41, false, "ann", 100), 100);
    let friend = world.table.friend(&claim.real).unwrap();
    assert_eq!((friend.name.as_str(), friend.quota_given), ("ann", 100));
}

#[test]
fn a_removed_friend_is_let_in_until_it_was_told() {
    let world = World::new();
    let claim = world.claim_by(3);
    let friend = claim.real;
    world.claim(&claim, &world.guest, NOW).unwrap().unwrap();
    assert_eq!(world.table.bond(&friend), Some(Bond::Friend));
    world.table.remove_friend(&friend).unwrap();
    let until = world.farewell_of(&friend);
    assert!(until.is_some());
    for world in [&world, &world.reopened()] {
        assert_eq!(world.table.bond(&friend), Some(Bond::Ended));
        assert_eq!(world.everything().1[&friend], (Role::Former, until));
        // It teaches nothing any more.
        let before = world.state.rows(b"").unwrap();
        let addrs = ["/ip4/192.0.2.9/tcp/1".to_owned()];
        world
            .table
            .learn_addrs(&friend, &addrs, true, Reach::Public)
            .unwrap();
        world
            .table
            .greeted(&friend, "eve", Bond::Friend, NOW)
            .unwrap();
        assert_eq!(world.state.rows(b"").unwrap(), before);
    }
    let now = SystemClock.now();
    world.table.was_told(&friend, now).unwrap();
    assert!(world.farewell_of(&friend) < until);
    world.table.was_told(&friend, now + 10).unwrap();
    // A friend again: nothing is left of it.
    world.table.put_friend(friend, Friend::default()).unwrap();
    assert_eq!(world.farewell_of(&friend), None);
    assert_eq!(
        world.reopened().everything().1[&friend],
        (Role::Friend, None)
    );
}

#[test]
fn what_a_friend_says_of_the_friendship_is_kept() {
    let world = World::new();
    let claim = world.claim_by(3);
    let friend = claim.real;
    world.claim(&claim, &world.guest, NOW).unwrap().unwrap();
    world.table.note(friend, NOW, Heard::Seen);
    let says = |bond, name| {
        world.table.greeted(&friend, name, bond, NOW + 5).unwrap();
        world.reopened().table.friend(&friend).unwrap()
    };
    let row = says(Bond::Friend, "her\u{1b}[2J laptop");
    assert_eq!(
        (row.shown_name(), row.told_name.contains('\u{1b}')),
        ("anna", false)
    );
    assert_eq!((row.ended, row.stores_for_us()), (None, true));
    assert_eq!(says(Bond::Host, "").ended, None);
    let row = says(Bond::Ended, "");
    assert_eq!((row.ended, row.stores_for_us()), (Some(NOW + 5), false));
    assert!(!row.told_name.is_empty());
    assert_eq!(says(Bond::Friend, "").ended, None);
    assert_eq!(world.reopened().table.contact(&friend).last_seen, Some(NOW));
    // Of others nothing is kept.
    let before = world.everything();
    let stranger = key(9).node_id();
    world
        .table
        .greeted(&stranger, "x", Bond::Ended, NOW)
        .unwrap();
    world.table.note(stranger, NOW, Heard::Seen);
    assert!(
        world
            .table
            .set_addrs(&stranger, vec!["/ip4/192.0.2.9/tcp/1".to_owned()])
            .is_err()
    );
    assert_eq!(world.everything(), before);
}
