//! Retention and hosting, as told and as shown.

use serde_json::Value;

use crate::friends::befriend;
use crate::orders::with_snapshots;
use crate::support::Machine;

#[test]
fn a_policy_is_set_shown_and_never_set_back() {
    let machine = Machine::with_owner();
    let (ids, _) = with_snapshots(&machine, 3);
    let key = machine.key();
    let key = key.to_str().unwrap();
    let none = machine.ok(["policy", "show", "--explain"]);
    assert_eq!(none["devices"][0]["policy"], Value::Null);
    machine
        .run(["policy", "set", "--owner-key", key])
        .ends_with(2);
    let set = |words: &[&str]| {
        let words = [&["policy", "set", "--owner-key", key], words].concat();
        machine.ok(words)
    };
    let first = set(&["--keep-daily", "7", "--keep-yearly", "3"]);
    assert_eq!(first["more_may_go"], 0, "{first}");
    assert_eq!(first["warnings"], serde_json::json!([]));
    let second = set(&["--keep-last", "2", "--min-age", "60d", "--grace", "2w"]);
    let sequence = |set: &Value| set["policy"]["sequence"].as_u64().unwrap();
    assert!(sequence(&second) > sequence(&first));
    assert_eq!(second["warnings"].as_array().unwrap().len(), 1);
    let shown = machine.ok(["policy", "show", "--explain"]);
    let policy = &shown["devices"][0]["policy"];
    assert_eq!(policy["min_age_days"], 60, "{shown}");
    assert_eq!(policy["grace_days"], 14);
    for snap in shown["devices"][0]["snapshots"].as_array().unwrap() {
        assert!(!snap["kept_by"].as_array().unwrap().is_empty(), "{snap}");
    }
    // The older order again: the policy stays what it is.
    let listed = machine.ok(["order", "list"]);
    let orders = listed["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 2, "{listed}");
    assert!(orders.iter().all(|order| !order["hosts"].is_null()));
    let plan = machine.ok(["forget", "--keep-last", "1", "--dry-run", "--explain"]);
    let goes = plan["devices"][0]["goes"].as_array().unwrap();
    let goes: Vec<&str> = goes.iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(goes, [&ids[1], &ids[0]]);
    assert_eq!(plan["devices"][0]["loses_newest"], false);
    assert_eq!(
        machine.ok(["order", "list"]),
        listed,
        "a dry run orders nothing"
    );
}

#[test]
fn tags_are_sealed_and_kept_with_the_key() {
    let machine = Machine::with_owner();
    let (ids, tree) = with_snapshots(&machine, 1);
    let tree = tree.to_str().unwrap();
    let tagged = machine.ok(["backup", tree, "--tag", "gold"]);
    machine.ok(["backup", tree]);
    let words = [
        "forget",
        "--keep-last",
        "1",
        "--keep-tag",
        "gold",
        "--dry-run",
    ];
    machine.run(words).ends_with(2);
    let key = machine.key();
    let plan = machine.ok([&words[..], &["--owner-key", key.to_str().unwrap()]].concat());
    let goes = plan["devices"][0]["goes"].as_array().unwrap();
    assert_eq!(goes.len(), 1, "{plan}");
    assert_eq!(goes[0]["id"], ids[0]);
    assert_ne!(goes[0]["id"], tagged["snapshot"]);
}

#[test]
fn a_host_sets_quotas_and_announces_the_end() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    befriend(&you, &ann, "ann");
    let (_, tree) = with_snapshots(&you, 1);
    let saved = [
        "backup",
        tree.to_str().unwrap(),
        "--wait",
        "1",
        "--wait-timeout",
        "120s",
    ];
    you.run(saved).ends_with(0);
    let owner = you.ok(["status"])["owner"].as_str().unwrap().to_owned();
    let hosted = || ann.ok(["host", "owners"])["owners"][0].clone();
    assert_eq!(hosted()["owner"], owner);
    assert_eq!(hosted()["quota"], Value::Null);
    ann.ok(["host", "quota", &owner[..8], "1G"]);
    assert_eq!(hosted()["quota"], 1 << 30);
    ann.ok(["host", "quota", &owner[..8], "none"]);
    assert_eq!(hosted()["quota"], Value::Null);
    ann.run(["host", "quota", "00000000", "1G"]).ends_with(1);
    // Nothing is announced without a yes.
    ann.run(["host", "evict", &owner[..8]]).ends_with(2);
    assert_eq!(hosted()["evict"], Value::Null);
    let told = ann.ok([
        "host",
        "evict",
        &owner[..8],
        "--warn-days",
        "5",
        "--freeze-days",
        "9",
        "--yes",
    ]);
    assert_eq!(told["evict"]["stage"], "warned", "{told}");
    assert_eq!(hosted()["snapshots"], 2, "a warning deletes nothing");
    ann.ok(["host", "evict", &owner[..8], "--cancel"]);
    assert_eq!(hosted()["evict"], Value::Null);
    ann.run(["host", "evict", &owner[..8], "--cancel"])
        .ends_with(1);
    // Nobody evicts the owner of the machine itself.
    let refused = you.run(["host", "evict", &owner[..8], "--yes"]);
    assert_eq!(refused.ends_with(5).error()["code"], "denied");
}
