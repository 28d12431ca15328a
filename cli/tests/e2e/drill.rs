//! The attack drill: everything root on a device can try, and what is left afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::demo::nodes_below;
use crate::support::{PROGRAM, finish};

/// Families with fewer attempts would show that some were left out silently: attempts against each of two hosts, or
/// once against the own node or the stolen files.
const FAMILIES: [(&str, usize); 12] = [
    ("local", 8),
    ("delete", 16),
    ("alter", 14),
    ("forge", 20),
    ("replay", 12),
    ("read", 22),
    ("poison", 14),
    ("starve", 2),
    ("dates", 10),
    ("displace", 2),
    ("flood", 14),
    ("read back", 5),
];

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

#[test]
fn the_drill_ends_with_nothing_lost_and_nothing_read() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(["--json", "drill", "ransomware"])
        .env("TMPDIR", temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = finish(command, None);
    assert!(!ran.stdout.is_empty(), "{ran:?}");
    let told = ran.json();
    let (attempts, checks) = (
        told["attempts"].as_array().unwrap(),
        told["checks"].as_array().unwrap(),
    );
    let failed: Vec<&Value> = attempts
        .iter()
        .chain(checks)
        .filter(|one| one["pass"] != true)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(told["pass"], true);
    ran.ends_with(0);

    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in attempts {
        *tried.entry(text(attempt, "family")).or_default() += 1;
        assert!(!text(attempt, "answer").is_empty(), "{attempt}");
    }
    for (family, least) in FAMILIES {
        let count = tried.get(family).copied().unwrap_or(0);
        assert!(
            count >= least,
            "{family}: {count} attempts, at least {least} expected"
        );
    }
    // What has to be refused is not merely allowed: a host that took every order would pass as "allowed" otherwise.
    for attempt in attempts {
        let family = text(attempt, "family");
        if ["local", "delete", "forge", "read", "poison", "flood"].contains(&family) {
            assert_eq!(text(attempt, "outcome"), "refused", "{attempt}");
        }
    }
    let restored = checks
        .iter()
        .filter(|check| text(check, "what").contains("comes back identical"));
    assert!(restored.count() >= 8, "{checks:#?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    assert_eq!(nodes_below(temp.path()), 0);
}
