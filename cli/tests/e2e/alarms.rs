//! A snapshot under this device's key that this device did not make is not overlooked.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::friends::befriend;
use crate::support::Machine;
use crate::trees;

fn alarms(status: &Value) -> Vec<Value> {
    let all = status["alarms"].as_array().unwrap().clone();
    all.into_iter()
        .filter(|alarm| alarm["serious"] == true)
        .collect()
}

#[test]
fn a_copied_device_key_ends_status_and_backup_with_6_until_somebody_has_seen_it() {
    let (you, ann) = (Machine::with_owner(), Machine::blank());
    let tree = you.path("tree");
    trees::plain(&tree, 20);
    befriend(&you, &ann, "ann");
    let backup = |machine: &Machine| {
        let words = [
            "backup",
            tree.to_str().unwrap(),
            "--wait",
            "1",
            "--wait-timeout",
            "120s",
        ];
        machine.run(words)
    };
    backup(&you).ends_with(0);
    assert!(alarms(&you.run(["status"]).ends_with(0).json()).is_empty());

    // Somebody copies the whole home, and backs up elsewhere with it.
    you.ok(["node", "stop"]);
    let thief = Machine {
        dir: tempfile::tempdir().unwrap(),
    };
    let copied = Command::new("cp")
        .arg("-a")
        .arg(you.home())
        .arg(thief.home())
        .status();
    assert!(copied.unwrap().success());
    thief.start_node();
    backup(&thief).ends_with(0);
    thief.ok(["node", "stop"]);

    // The next backup is made, and the alarm is in the exit code.
    you.start_node();
    let saved = backup(&you);
    assert!(saved.json()["snapshot"].is_string(), "{saved:?}");
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        let status = you.run(["status"]);
        if status.code == 6 {
            break status.json();
        }
        assert!(Instant::now() < deadline, "{status:?}");
    };
    let found = alarms(&status);
    assert!(!found.is_empty(), "{status}");
    let again = backup(&you).ends_with(6);
    assert!(again.json()["snapshot"].is_string());
    assert!(!alarms(&again.json()).is_empty());
    // Seen, and from then on it is no alarm any more.
    for alarm in alarms(&you.run(["status"]).json()) {
        let number = alarm["number"].as_u64().unwrap().to_string();
        you.run(["status", "--ack", &number]);
    }
    assert!(alarms(&you.run(["status"]).ends_with(0).json()).is_empty());
}
