//! Number 30: a machine that was off while its owner's order waited and was carried out.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::friends::{address, befriend};
use crate::orders::{with_snapshots, without_grace};
use crate::support::Machine;

/// Asks again until it is so; the time is for machines that are busy.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn friends_of(machine: &Machine, snap: &str) -> u64 {
    let listed = machine.ok(["snapshots"]);
    let snaps = listed["snapshots"].as_array().unwrap();
    let of_snap = snaps.iter().filter(|listed| listed["id"] == snap);
    of_snap
        .map(|listed| listed["friends"].as_u64().unwrap())
        .sum()
}

fn alarms(machine: &Machine, kind: &str) -> Vec<Value> {
    let status = machine.run(["status"]).json();
    let alarms = status["alarms"].as_array().unwrap().clone();
    alarms
        .into_iter()
        .filter(|alarm| alarm["kind"] == kind)
        .collect()
}

#[test]
fn n30_what_ended_while_a_machine_was_off_is_learnt_and_does_not_come_back() {
    let (you, host, next) = (
        Machine::with_owner(),
        Machine::with_owner(),
        Machine::with_owner(),
    );
    let other = Machine::blank();
    let key = you.key();
    let key = key.to_str().unwrap();
    other.ok(["init", "--owner-key", key, "--label", "other"]);
    for machine in [&you, &host, &other, &next] {
        // Stands for being off for longer than the grace.
        without_grace(machine);
    }
    befriend(&you, &host, "host");
    befriend(&other, &host, "host");
    let (ids, tree) = with_snapshots(&you, 3);
    until("the snapshots are at the host", || {
        ids.iter().all(|id| friends_of(&you, id) == 1)
    });
    let request = you.path("request");
    let request = request.to_str().unwrap();
    you.ok(["forget", &ids[0], &ids[1], "--request-out", request]);
    you.ok(["node", "stop"]);

    let signed = other.path("signed");
    let signed = signed.to_str().unwrap();
    other
        .run(
            [
                "order",
                "sign",
                request,
                "--owner-key",
                key,
                "-y",
                "--expect",
                &ids[0],
            ]
            .into_iter()
            .chain(["--expect", &ids[1], "--out", signed]),
        )
        .ends_with(0);
    other.run(["order", "submit", signed]);
    let mut ended = 0;
    until("the host carries the order out", || {
        ended += host.ok(["host", "collect"])["snapshots"].as_u64().unwrap();
        ended == 2
    });

    without_grace(&you);
    until("the machine learns what ended", || {
        ids[..2].iter().all(|id| friends_of(&you, id) == 0)
    });
    assert_eq!(friends_of(&you, &ids[2]), 1);
    assert_eq!(alarms(&you, "foreign-order").len(), 1);
    assert!(alarms(&you, "withheld").is_empty(), "the host obeyed");

    // A friend that comes now gets what there is, and not what the owner deleted.
    befriend(&you, &next, "next");
    let tree = tree.to_str().unwrap();
    you.run(["backup", tree, "--wait", "all", "--wait-timeout", "120s"])
        .ends_with(0);
    let at = address(&next);
    let reader = Machine::blank();
    let found = reader.ok(["recover", "--owner-key", key, "--peer", &at]);
    let found = found["snapshots"].as_array().unwrap().clone();
    assert!(found.iter().any(|snap| snap["id"] == ids[2].as_str()));
    for id in &ids[..2] {
        assert!(!found.iter().any(|snap| snap["id"] == id.as_str()), "{id}");
    }
    assert!(alarms(&you, "withheld").is_empty());
}
