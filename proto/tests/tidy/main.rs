//! Rules of this repository that the compiler does not know: budgets, rooms, banned calls, workspace lints.
//!
//! Each rule has samples in `samples.rs` that it must find, so that a rule that stopped working fails too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod machine;
mod rooms;
mod rules;
mod samples;
mod shape;
mod source;

use rules::Finding;
use source::{Source, files, root, test_modules};

fn check(source: &Source) -> Vec<Finding> {
    let mut found = rules::check(source);
    found.extend(rooms::check(source));
    found.extend(shape::tuple_parameters(source));
    found.extend(machine::check(source));
    found
}

/// What a member of the workspace must say in its manifest.
fn check_manifest(path: &str, text: &str) -> Option<Finding> {
    let squeezed: String = text.split_whitespace().collect::<Vec<_>>().join("\n");
    (!squeezed.contains("[lints]\nworkspace\n=\ntrue")).then(|| Finding {
        rule: "workspace-lints",
        place: path.to_owned(),
        what: "has no `[lints] workspace = true`".to_owned(),
    })
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn assert_none(found: &[Finding]) {
    let lines: Vec<String> = found
        .iter()
        .map(|f| format!("{} [{}] {}", f.place, f.rule, f.what))
        .collect();
    assert!(
        found.is_empty(),
        "{} breaches:\n{}",
        found.len(),
        lines.join("\n")
    );
}

#[test]
fn every_source_file_keeps_the_rules() {
    let sources = files(".rs");
    assert!(
        sources.iter().any(|p| p == "proto/src/lib.rs"),
        "no sources found: {sources:?}"
    );
    let mut sources: Vec<Source> = sources
        .iter()
        .map(|path| Source::new(path, &read(path)))
        .collect();
    let tests: Vec<String> = sources.iter().flat_map(test_modules).collect();
    let mut found = Vec::new();
    for source in &mut sources {
        if tests
            .iter()
            .any(|t| source.path == *t || (t.ends_with('/') && source.path.starts_with(t)))
        {
            source.test_lines.fill(true);
        }
        found.extend(check(source));
    }
    found.extend(shape::circles(&sources));
    assert_none(&found);
}

/// The folders of the crates.
fn members(manifest: &str) -> Vec<String> {
    let list = manifest.split("members = [").nth(1).unwrap();
    let list = list.split(']').next().unwrap();
    let named = list.split('"').skip(1).step_by(2);
    named.map(str::to_owned).collect()
}

#[test]
fn every_member_takes_the_workspace_lints() {
    let mut found = Vec::new();
    for member in members(&read("Cargo.toml")) {
        let path = format!("{member}/Cargo.toml");
        found.extend(check_manifest(&path, &read(&path)));
    }
    assert_none(&found);
    assert!(members(&read("Cargo.toml")).contains(&"proto".to_owned()));
    assert!(check_manifest("x/Cargo.toml", "[package]\nname = \"x\"\n").is_some());
}

#[test]
fn every_program_and_script_named_in_the_makefile_exists() {
    let makefile = read("Makefile");
    for word in makefile
        .split_whitespace()
        .filter_map(|w| w.strip_prefix("$(ROOT)/"))
    {
        assert!(
            root().join(word).exists(),
            "the Makefile names {word}, which does not exist"
        );
    }
}

/// Relative links of the documents lead somewhere.
#[test]
fn every_link_between_documents_leads_to_a_file() {
    let mut broken = Vec::new();
    for path in files(".md") {
        let folder = root().join(&path).parent().unwrap().to_path_buf();
        for part in read(&path).split("](").skip(1) {
            let Some(target) = part.split(')').next() else {
                continue;
            };
            let target = target.split('#').next().unwrap_or("");
            let outside =
                target.contains("://") || target.is_empty() || target.contains(char::is_whitespace);
            if !outside && !folder.join(target).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

/// The threat model names a test for each number that is built; those tests exist.
#[test]
fn every_test_named_in_the_threat_model_exists() {
    let sources: Vec<(String, String)> = files(".rs")
        .into_iter()
        .map(|p| (p.clone(), read(&p)))
        .collect();
    let mut missing = Vec::new();
    for name in tests_named(&read("docs/threat-model.md")) {
        let Some((file, function)) = name.split_once("::") else {
            missing.push(name);
            continue;
        };
        let wanted = format!("fn {function}(");
        if !sources
            .iter()
            .any(|(path, text)| path == file && text.contains(&wanted))
        {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "tests that do not exist: {missing:#?}");
}

/// Names like `path/file.rs::function` between backquotes.
fn tests_named(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|t| t.contains(".rs::"))
        .map(str::to_owned)
        .collect()
}
