//! The signer against requests that lie, and readers against friends that hold back.

use std::fs;
use std::path::{Path, PathBuf};

use packnback_proto::record::{Op, decode_cert};
use packnback_proto::request::{Request, Wanted, decode, encode};
use serde_json::Value;

use crate::friends::befriend;
use crate::orders::{going, offline, orders, text, with_snapshots};
use crate::support::{Machine, Ran, restored, same};

/// A request of the machine for the removal of a snapshot, taken apart.
fn honest_request(machine: &Machine, snap: &str) -> Request {
    let file = machine.path("honest.request");
    drop(fs::remove_file(&file));
    machine.ok(["forget", snap, "--request-out", text(&file)]);
    decode(&fs::read(&file).unwrap()).unwrap()
}

fn write(machine: &Machine, name: &str, request: &Request) -> PathBuf {
    let file = machine.path(name);
    fs::write(&file, encode(request).unwrap()).unwrap();
    file
}

/// Signs without a terminal; what is written goes to `signed`.
fn sign(machine: &Machine, request: &Path, more: &[&str]) -> Ran {
    let (key, out) = (machine.key(), machine.path("signed"));
    drop(fs::remove_file(&out));
    let words = [
        "order",
        "sign",
        text(request),
        "--owner-key",
        text(&key),
        "--out",
        text(&out),
    ];
    offline(&[&words[..], more].concat())
}

#[test]
fn n27_a_range_is_not_signed_whatever_the_request_shows_of_it() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 3);
    let honest = honest_request(&machine, &ids[0]);
    let device = honest.devices[0].device;
    let range = |max_count| {
        vec![Wanted::any_host(Op::DeleteRange {
            device,
            recv_from: 0,
            recv_to: u64::MAX,
            max_count,
        })]
    };
    let mut all = honest.clone();
    all.wanted = range(u64::MAX);
    let mut unseen = all.clone();
    for snap in &mut unseen.devices[0].snaps {
        snap.receipts.clear();
    }
    let mut bounded = honest.clone();
    bounded.wanted = range(3);
    let mut beside = honest.clone();
    beside.wanted.extend(range(1));
    let signed = machine.path("signed");
    for (name, request) in [
        ("all", &all),
        ("unseen", &unseen),
        ("bounded", &bounded),
        ("beside", &beside),
    ] {
        let file = write(&machine, name, request);
        let newest = ["--yes", "--confirm-newest", &ids[2]];
        let expect = [
            &newest[..],
            &[
                "--expect", &ids[0], "--expect", &ids[1], "--expect", &ids[2],
            ],
        ]
        .concat();
        for more in [&["--yes"][..], &newest, &expect] {
            let refused = sign(&machine, &file, more).ends_with(5);
            assert_eq!(refused.error()["code"], "request", "{name}");
            assert!(!signed.exists(), "{name}");
        }
    }
    // What the machine itself asks for names every snapshot.
    let asked = machine.path("range.request");
    machine.ok([
        "order",
        "delete-range",
        "--device",
        "test",
        "--from",
        "2020-01-01",
        "--to",
        "2100-01-01",
        "--max",
        "3",
        "--request-out",
        text(&asked),
    ]);
    let request = decode(&fs::read(&asked).unwrap()).unwrap();
    assert!(matches!(&request.wanted[0].op, Op::DeleteIds(ids) if ids.len() == 3));
    sign(&machine, &asked, &["--yes"]).ends_with(5);
    assert!(!signed.exists());
    sign(&machine, &asked, &["--yes", "--confirm-newest", &ids[2]]).ends_with(0);
    assert!(going(&machine).is_empty() && orders(&machine).is_empty());
}

#[test]
fn n27_nothing_is_signed_that_nobody_said_yes_to() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 3);
    let file = write(&machine, "one", &honest_request(&machine, &ids[0]));
    let signed = machine.path("signed");
    // Nobody is there to be asked.
    sign(&machine, &file, &[]).ends_with(2);
    assert!(!signed.exists());
    // Something else was expected: one too few, one too many, another one.
    for expect in [
        &["--expect", ids[1].as_str()][..],
        &["--expect", &ids[0], "--expect", &ids[1]],
        &["--expect", &ids[0][..7]],
    ] {
        let more = [&["--yes"][..], expect].concat();
        let refused = sign(&machine, &file, &more).ends_with(5);
        assert_eq!(refused.error()["code"], "unexpected", "{expect:?}");
        assert!(!signed.exists());
    }
    sign(&machine, &file, &["--yes", "--expect", &ids[0][..8]]).ends_with(0);
    assert!(signed.exists());
}

#[test]
fn n27_what_is_taken_back_is_shown_and_a_revocation_stays() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 2);
    let key = machine.key();
    machine.ok(["forget", &ids[0], "--yes", "--owner-key", text(&key)]);
    let waiting = orders(&machine)[0].clone();
    let asked = machine.path("back.request");
    let id = waiting["id"].as_str().unwrap();
    let shown = machine.ok(["order", "cancel", &id[..8], "--request-out", text(&asked)]);
    assert_eq!(shown["takes_back"][0]["id"], waiting["id"], "{shown}");
    assert_eq!(shown["takes_back"][0]["order"]["snapshots"][0], ids[0]);
    // The request without what it takes back, and one against a revocation.
    let mut blind = decode(&fs::read(&asked).unwrap()).unwrap();
    blind.orders.clear();
    let blind = write(&machine, "blind", &blind);
    assert_eq!(
        sign(&machine, &blind, &["--yes"]).ends_with(5).error()["code"],
        "request"
    );
    let honest = honest_request(&machine, &ids[1]);
    let device = decode_cert(&honest.devices[0].certs[0])
        .unwrap()
        .value()
        .device;
    let mut revoke = honest.clone();
    revoke.wanted = vec![Wanted::any_host(Op::Revoke {
        device,
        reason: "stolen".into(),
    })];
    let revoke = write(&machine, "revoke", &revoke);
    sign(&machine, &revoke, &["--yes"]).ends_with(0);
    let done = machine.ok(["order", "submit", text(&machine.path("signed"))]);
    assert_eq!(done["orders"][0]["state"], "done", "{done}");
    let order = done["orders"][0]["oid"].as_str().unwrap();
    let refused = machine.run(["order", "cancel", order, "--owner-key", text(&key)]);
    assert_eq!(refused.ends_with(1).error()["code"], "not-waiting");
    let listed = orders(&machine);
    let record = listed
        .iter()
        .find(|listed| listed["oid"] == order)
        .unwrap()
        .clone();
    assert_eq!(record["state"], "done");
    // Unknown orders are not taken back blindly.
    let unknown = "ab".repeat(16);
    let refused = machine.run(["order", "cancel", &unknown, "--owner-key", text(&key)]);
    assert_eq!(refused.ends_with(1).error()["code"], "no-order");
    assert_eq!(orders(&machine).len(), listed.len());
}

/// The newest of a machine that is gone, from whoever has it.
#[test]
fn n26_a_friend_that_lacks_it_does_not_keep_another_from_helping() {
    let (you, ann, bob) = (Machine::with_owner(), Machine::blank(), Machine::blank());
    befriend(&you, &ann, "ann");
    let (_, tree) = with_snapshots(&you, 1);
    let wait = |n: &str| {
        let words = ["--wait", n, "--wait-timeout", "120s"];
        let words = [&["backup", text(&tree)][..], &words].concat();
        you.run(words).ends_with(0).json()
    };
    wait("1");
    let addr = |of: &Machine| {
        let status = of.ok(["status"]);
        status["listen"][0].as_str().unwrap().to_owned()
    };
    let ann_addr = addr(&ann);
    befriend(&you, &bob, "bob");
    wait("2");
    // Ann does not get the newest.
    ann.ok(["node", "stop"]);
    fs::write(tree.join("only-bob"), b"has this").unwrap();
    let newest = wait("1")["snapshot"].as_str().unwrap().to_owned();
    ann.start_node();
    let ann_now = addr(&ann);
    assert_ne!(ann_addr, "");
    let bob_addr = addr(&bob);
    you.ok(["node", "stop"]);
    let (blank, target) = (Machine::blank(), you.path("back"));
    let key = you.key();
    let nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let words = [
        "recover",
        "--peer",
        nobody,
        "--peer",
        &ann_now,
        "--peer",
        &bob_addr,
        "--owner-key",
        text(&key),
        "--target",
        text(&target),
    ];
    let done = blank.ok(words);
    assert_eq!(done["restored"][0]["snapshot"], newest, "{done}");
    assert!(done["restored"][0]["received"].is_string());
    assert_eq!(done["left"], Value::Array(Vec::new()));
    same(&tree, &restored(&target, &tree));
    // The home goes on as this owner, never by accident as a new one.
    let other = blank.path("new.key");
    let refused = blank.run(["init", "--no-passphrase", "--owner-key-out", text(&other)]);
    assert_eq!(refused.ends_with(5).error()["code"], "recovered-owner");
    assert!(!other.exists());
    let again = blank.ok(["init", "--owner-key", text(&key), "--label", "new"]);
    assert_eq!(again["owner"], done["owner"]);
}

/// A mistyped address is told before anything is asked.
#[test]
fn an_address_without_its_node_is_told_before_the_words() {
    let blank = Machine::blank();
    let words = ["recover", "--peer", "/ip4/192.0.2.1/tcp/4801", "--words"];
    let refused = blank.run_with(words, Some(b"not looked at"));
    let refused = refused.ends_with(2).error();
    assert!(
        refused["message"].as_str().unwrap().contains("/p2p/"),
        "{refused}"
    );
}

/// What stands on the sheet is all that is left after a total loss.
#[test]
fn the_addresses_on_the_sheet_reach_the_friend() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    befriend(&you, &ann, "ann");
    let (ids, tree) = with_snapshots(&you, 1);
    let words = ["--wait", "1", "--wait-timeout", "120s"];
    you.run([&["backup", text(&tree)][..], &words].concat())
        .ends_with(0);
    let key = you.key();
    let sheet = you.ok(["key", "sheet", "--owner-key", text(&key)]);
    let friend = &sheet["friends"][0];
    assert_eq!(friend["name"], "ann", "{}", sheet["friends"]);
    let addresses: Vec<&str> = friend["addresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| address.as_str().unwrap())
        .collect();
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|a| a.contains("/p2p/12D3KooW")));
    let status = you.ok(["status"]);
    assert_eq!(status["sheet_out_of_date"], Value::Array(Vec::new()));
    you.ok(["node", "stop"]);
    let blank = Machine::blank();
    let sheet_words = sheet["words"].as_str().unwrap().as_bytes();
    let words = ["recover", "--words", "--peer", addresses[0]];
    let listed = blank.run_with(words, Some(sheet_words)).ends_with(0).json();
    let listed = listed["snapshots"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().any(|snap| snap["id"] == ids[0]));
    assert!(listed.iter().all(|snap| snap["may_be_newest"] == true));
    // The machine that is gone stays in the list of the one that takes its place.
    blank.ok(["init", "--owner-key", text(&key), "--label", "new"]);
    let all = blank.ok(["snapshots", "--all"]);
    assert_eq!(all["snapshots"].as_array().unwrap().len(), 2, "{all}");
}
