//! A machine whose device the owner revoked: it saves nothing more, says so, and keeps what it has.

use serde_json::Value;

use crate::support::{Machine, Ran, finish};
use crate::trees;

/// A machine with one snapshot of a tree, and another tree to save.
fn saved() -> (Machine, String) {
    let machine = Machine::with_owner();
    let tree = machine.path("tree");
    trees::plain(&tree, 10);
    machine.backup(&tree);
    let more = machine.path("more");
    trees::plain(&more, 5);
    (machine, more.to_str().unwrap().to_owned())
}

fn revoke(machine: &Machine, extra: &[&str]) {
    let own = machine.ok(["device", "list"])["devices"][0]["device"].clone();
    let key = machine.key();
    let words = [
        "device",
        "revoke",
        own.as_str().unwrap(),
        "--owner-key",
        key.to_str().unwrap(),
    ];
    machine.ok(words.iter().chain(extra));
}

/// Objects on this machine, and its snapshots.
fn kept(machine: &Machine) -> (Value, Vec<String>) {
    let status = machine.ok(["status"]);
    let listed = machine.ok(["snapshots"]);
    let ids = listed["snapshots"].as_array().unwrap().iter();
    let ids = ids.map(|snap| snap["id"].as_str().unwrap().to_owned());
    (status["objects"].clone(), ids.collect())
}

#[track_caller]
fn refused(ran: Ran) {
    let error = ran.ends_with(5).error();
    assert_eq!(error["code"], "certificate", "{error}");
    let says = |what: &str, word: &str| {
        let text = error[what].as_str().unwrap();
        assert!(text.contains(word), "{error}");
    };
    says("message", "revoked this device");
    says("message", "no snapshot was made");
    says("safe", "made before stays");
    says("next", "enrol it anew");
}

#[test]
fn a_device_that_revoked_itself_saves_nothing_more_and_keeps_what_it_has() {
    let (machine, tree) = saved();
    let before = kept(&machine);
    revoke(&machine, &[]);
    for more in [&[][..], &["--full"], &["--wait", "1"], &["-q"]] {
        refused(machine.run(["backup", &tree].iter().chain(more)));
    }
    let mut command = machine.command(["backup", "--stdin", "--json"]);
    command.stdin(std::process::Stdio::null());
    refused(finish(command, Some(b"from a pipe")));
    assert_eq!(kept(&machine), before, "nothing was stored");
    // It is not forgotten when the node starts again.
    machine.ok(["node", "stop"]);
    machine.start_node();
    refused(machine.run(["backup", &tree]));
    assert_eq!(kept(&machine), before, "nothing was stored");
    // What was saved before comes back.
    machine.check(&before.1[0], &machine.path("tree"), "target");
}

#[test]
fn an_order_from_elsewhere_revokes_this_device_as_well() {
    let (machine, tree) = saved();
    let order = machine.path("order");
    let file = order.to_str().unwrap();
    revoke(&machine, &["--out", file]);
    // It is signed, but nobody has heard of it.
    machine.ok(["backup", &tree]);
    let before = kept(&machine);
    machine.ok(["order", "submit", file]);
    refused(machine.run(["backup", &tree]));
    assert_eq!(kept(&machine), before, "nothing was stored");
}
