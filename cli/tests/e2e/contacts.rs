//! Friends that restart, move, fill up or end the friendship, as the commands show it.

use serde_json::Value;

use crate::friends::befriend;
use crate::support::{Machine, Ran, finish};
use crate::trees;

/// Starts the node again as any command does, without a word of where to listen.
fn restart(machine: &Machine) {
    machine.ok(["node", "stop"]);
    machine.ok(["node", "start"]);
}

fn listen(machine: &Machine) -> Value {
    machine.ok(["status"])["listen"].clone()
}

fn text(machine: &Machine, words: &[&str]) -> Ran {
    finish(machine.command(words), None)
}

fn only_peer(machine: &Machine) -> Value {
    let list = machine.ok(["peer", "list"]);
    assert_eq!(list["peers"].as_array().unwrap().len(), 1, "{list}");
    list["peers"][0].clone()
}

/// Issue 8, D1: both were off, and neither was told where to listen when it came back.
#[test]
fn friends_find_each_other_after_both_have_restarted() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    let tree = you.path("tree");
    trees::plain(&tree, 10);
    befriend(&you, &ann, "ann");
    let (yours, anns) = (listen(&you), listen(&ann));
    you.ok(["node", "stop"]);
    ann.ok(["node", "stop"]);
    ann.ok(["node", "start"]);
    you.ok(["node", "start"]);
    assert_eq!((listen(&you), listen(&ann)), (yours, anns));
    let backup = [
        "backup",
        tree.to_str().unwrap(),
        "--wait",
        "1",
        "--wait-timeout",
        "120s",
    ];
    assert_eq!(you.ok(backup)["friends"], 1);
}

#[test]
fn settings_of_the_node_stay() {
    let you = Machine::blank();
    let set = you.ok([
        "node",
        "set",
        "--name",
        "your laptop",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    assert_eq!(set["name"], "your laptop");
    restart(&you);
    let addrs = listen(&you);
    assert_eq!(addrs.as_array().unwrap().len(), 1, "{addrs}");
    restart(&you);
    assert_eq!(listen(&you), addrs);
    let now = you.ok(["node", "set"]);
    assert_eq!(
        (&now["name"], &now["name_is_set"]),
        (&"your laptop".into(), &true.into())
    );
    for wrong in ["4117", "/dns4/x/tcp/1", "/ip4/0.0.0.0"] {
        let ran = you.run(["node", "set", "--listen", wrong]);
        assert_ne!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(you.ok(["node", "set"]), now);
}

/// Issue 8, D11: short, shows what is offered, and survives a restart of whoever made it.
#[test]
fn an_invite_is_short_tells_what_it_offers_and_outlives_a_restart() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    you.ok(["node", "set", "--name", "yours"]);
    let invite = you.ok(["peer", "invite", "--quota", "3G"]);
    let token = invite["token"].as_str().unwrap().to_owned();
    assert!(token.len() < 200, "{} characters", token.len());
    restart(&you);
    // Not on the command line, where every user of the machine could see it.
    let accepted = finish(
        ann.command(["peer", "accept", "--quota", "2G"]),
        Some(token.as_bytes()),
    );
    let said = accepted.ends_with(0).stdout;
    assert!(
        said.contains("yours (") && said.contains("offers 3.0 GiB"),
        "{said}"
    );
    let peer = only_peer(&ann);
    assert_eq!(
        (&peer["name"], &peer["quota_taken"]),
        (&"yours".into(), &(3_u64 << 30).into())
    );
    let address = peer["addresses"][0].as_str().unwrap();
    assert!(address.contains("/p2p/"), "{peer}");
    let ran = ann.run_with(["peer", "accept"], Some(b"\n"));
    assert_eq!(ran.code, 2, "{ran:?}");
    // No more is offered than is free, however much is asked for.
    let status = ann.ok(["status"]);
    let free = status["disk_free"].as_u64().unwrap();
    let invite = ann.ok(["peer", "invite", "--quota", "100000T"]);
    assert!(
        invite["quota"].as_u64().unwrap() <= free + (1 << 30),
        "{invite} {free}"
    );
}

#[test]
fn a_friend_is_found_where_a_person_says() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    befriend(&you, &ann, "ann");
    let before = only_peer(&you)["addresses"].clone();
    let peer = you.ok(["peer", "address", "ann", "192.0.2.7:4117"]);
    let first = peer["addresses"][0].as_str().unwrap();
    assert!(
        first.starts_with("/ip4/192.0.2.7/udp/4117/quic-v1/p2p/"),
        "{peer}"
    );
    let all = peer["addresses"].as_array().unwrap();
    assert!(
        before
            .as_array()
            .unwrap()
            .iter()
            .all(|addr| all.contains(addr)),
        "{peer} {before}"
    );
    let shown = text(&you, &["peer", "list", "--addresses"])
        .ends_with(0)
        .stdout;
    assert!(shown.contains(first), "{shown}");
    for wrong in ["192.0.2.7", "/memory/1", "x y:1"] {
        let ran = you.run(["peer", "address", "ann", wrong]);
        assert_ne!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(only_peer(&you)["addresses"], peer["addresses"]);
}

/// Issue 8, D4: the first line says whether the backups are safe.
#[test]
fn the_first_line_of_status_is_a_verdict() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    let verdict = |machine: &Machine, safe: bool, begins: &str| {
        let json = machine.ok(["status"]);
        assert_eq!(json["safe"], safe, "{json}");
        let shown = text(machine, &["status"]).ends_with(0).stdout;
        let first = shown.lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with(begins), "{shown}");
        assert_eq!(
            json["verdict"].as_str().unwrap().get(..begins.len()),
            Some(begins)
        );
        shown
    };
    verdict(&ann, false, "NOT SAFE: this machine backs nothing up");
    verdict(&you, false, "NOT SAFE: nothing was backed up yet");
    let tree = you.path("tree");
    trees::plain(&tree, 10);
    you.backup(&tree);
    verdict(
        &you,
        false,
        "NOT SAFE: newest a moment old, on this machine only",
    );
    befriend(&you, &ann, "ann");
    you.ok([
        "backup",
        tree.to_str().unwrap(),
        "--wait",
        "1",
        "--wait-timeout",
        "120s",
    ]);
    let shown = verdict(&you, true, "SAFE: newest a moment old, on 1 of 1 friend");
    assert!(!shown.contains("/p2p/"), "{shown}");
    let shown = text(&you, &["status", "--addresses"]).stdout;
    assert!(shown.contains("/p2p/"), "{shown}");
    assert_eq!(you.run(["status", "--require", "2"]).code, 4);
    // She is off: a few words, also after a restart, and no errors of the network.
    ann.ok(["node", "stop"]);
    restart(&you);
    you.backup(&tree);
    let shown = verdict(&you, false, "NOT SAFE: newest a moment old");
    assert!(shown.contains("off, last seen"), "{shown}");
    assert!(
        !shown.contains("Dial") && !shown.contains("refused"),
        "{shown}"
    );
}

/// Issue 8, D9: asks, says what only this friend has, and the friend knows.
#[test]
fn a_friendship_ends_on_both_sides() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    let tree = you.path("tree");
    trees::plain(&tree, 10);
    befriend(&you, &ann, "ann");
    you.ok([
        "backup",
        tree.to_str().unwrap(),
        "--wait",
        "1",
        "--wait-timeout",
        "120s",
    ]);
    let refused = you.run(["peer", "remove", "ann"]).ends_with(2);
    let said = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(said.contains("1 snapshot is one only ann has"), "{said}");
    assert_eq!(only_peer(&you)["name"], "ann");
    let removed = you.ok(["peer", "remove", "ann", "-y"]);
    assert_eq!(
        (&removed["told"], &removed["only_there"]),
        (&true.into(), &1.into())
    );
    let peer = only_peer(&ann);
    assert!(peer["ended"].is_string(), "{peer}");
    let status = ann.ok(["status"]);
    let kinds: Vec<&str> = status["alarms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["friend-ended"], "{status}");
    let shown = text(&ann, &["peer", "list"]).stdout;
    assert!(shown.contains("friendship ended"), "{shown}");
    // What is stored there stays.
    let owners = ann.ok(["host", "owners"]);
    assert_eq!(owners["owners"][0]["snapshots"], 1, "{owners}");
    assert_eq!(
        owners["owners"][0]["friends"][0]["name"], peer["name"],
        "{owners}"
    );
}
