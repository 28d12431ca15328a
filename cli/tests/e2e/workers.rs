//! What a node does by itself is listed.

use serde_json::Value;

use crate::support::Machine;

pub(crate) fn worker<'a>(listed: &'a Value, name: &str) -> &'a Value {
    let workers = listed["workers"].as_array().unwrap();
    let found = workers.iter().find(|worker| worker["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {listed}"))
}

#[test]
fn each_running_node_lists_its_workers() {
    let you = Machine::blank();
    let listed = you.ok(["node", "workers"]);
    assert_eq!(listed["running"], true);
    let collect = worker(&listed, "collect");
    assert!(collect["runs"].as_u64().is_some(), "{collect}");
    assert!(collect["last_error"].is_null(), "{collect}");
    let text = you.command(["node", "workers"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("collect") && text.contains("next run"),
        "{text}"
    );
    you.ok(["node", "stop"]);
    let listed = you.ok(["node", "workers"]);
    assert_eq!(listed["running"], false);
    // Asking started none.
    assert_eq!(you.ok(["node", "stop"])["was_running"], false);
}
