//! A byte the disk lost is found without anybody reading it.

use std::time::{Duration, Instant};

use crate::support::Machine;
use crate::trees;
use crate::workers::worker;

#[test]
fn a_byte_the_disk_lost_is_found_and_named_in_status_and_log() {
    let you = Machine::with_owner();
    let tree = you.path("tree");
    trees::plain(&tree, 40);
    you.backup(&tree);
    you.ok(["node", "stop"]);
    let objects = you.home().join("node/db/objects");
    for entry in std::fs::read_dir(objects).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "blob") {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
    // Everything is read at every start.
    let mut start = you.command(["node", "start"]);
    start.env("PACKNBACK_SCRUB_DAYS", "0");
    assert!(start.status().unwrap().success());
    let began = Instant::now();
    let alarm = loop {
        let status = you.ok(["status"]);
        let alarms = status["alarms"].as_array().unwrap();
        if let Some(alarm) = alarms.iter().find(|alarm| alarm["kind"] == "damage") {
            break alarm["text"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let (_, ids) = alarm.split_once("Damaged: ").unwrap();
    let id = ids.split(", ").next().unwrap();
    let log = std::fs::read_to_string(you.home().join("node/node.log")).unwrap();
    assert!(log.contains(id), "{id} is not in the log");
    // The step that found it may not be over yet.
    let note = loop {
        let listed = you.ok(["node", "workers"]);
        let note = worker(&listed, "scrub")["note"]
            .as_str()
            .unwrap()
            .to_owned();
        if note.starts_with("last time") {
            break note;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{listed}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(!note.contains(" 0 damaged"), "{note}");
}
