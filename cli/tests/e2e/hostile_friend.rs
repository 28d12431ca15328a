//! The drill in which a friend goes bad: every scheme is played, and an honest second friend goes on.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::demo::nodes_below;
use crate::support::{PROGRAM, finish};

/// Fewer would show that some were left out silently.
const SCHEMES: [&str; 15] = [
    "many-owners",
    "recovery-keys",
    "recovery-of-another",
    "unsynced-puts",
    "records",
    "many-identities",
    "silent-sockets",
    "grants",
    "commits",
    "log-streams",
    "log-garbage",
    "foreign-text",
    "false-receipts",
    "made-up-heads",
    "outlive-friendship",
];

#[test]
fn n25_a_friend_gone_bad_hurts_nobody() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(["--json", "drill", "hostile-friend"])
        .env("TMPDIR", temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = finish(command, None);
    assert!(!ran.stdout.is_empty(), "{ran:?}");
    let told = ran.json();
    let attempts = told["attempts"].as_array().unwrap();
    let checks = told["checks"].as_array().unwrap();
    let failed: Vec<&Value> = attempts
        .iter()
        .chain(checks)
        .filter(|one| one["pass"] != true)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(told["pass"], true);
    ran.ends_with(0);
    for scheme in SCHEMES {
        let tried = attempts.iter().find(|attempt| attempt["name"] == scheme);
        assert!(tried.is_some(), "{scheme} was not played");
        let looked = checks.iter().any(|check| {
            let what = check["what"].as_str().unwrap();
            what.contains(&format!("`{scheme}`"))
        });
        assert!(looked, "nobody looked after {scheme}");
    }
    // What must not merely be harmless.
    for scheme in ["many-owners", "outlive-friendship"] {
        let tried = attempts.iter().find(|attempt| attempt["name"] == scheme);
        assert_eq!(tried.unwrap()["outcome"], "refused", "{tried:?}");
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    assert_eq!(nodes_below(temp.path()), 0);
}
