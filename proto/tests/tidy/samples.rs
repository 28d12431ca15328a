//! One bad sample per rule, and good ones next to it.

use crate::source::{Source, blank, paths, test_modules};

fn rules_broken(path: &str, text: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = crate::check(&Source::new(path, text))
        .into_iter()
        .map(|f| f.rule)
        .collect();
    names.dedup();
    names
}

#[track_caller]
fn bad(path: &str, text: &str, rule: &'static str) {
    assert_eq!(rules_broken(path, text), [rule], "{path}:\n{text}");
}

#[track_caller]
fn good(path: &str, text: &str) {
    assert_eq!(rules_broken(path, text), [] as [&str; 0], "{path}:\n{text}");
}

#[test]
fn long_file_is_found_at_the_limit_plus_one() {
    good("node/src/a.rs", &"//\n".repeat(500));
    bad("node/src/a.rs", &"//\n".repeat(501), "file-length");
    good("node/src/main.rs", &"//\n".repeat(60));
    bad("node/src/main.rs", &"//\n".repeat(61), "file-length");
}

#[test]
fn long_function_is_found_at_the_limit_plus_one() {
    let function = |lines: usize| {
        format!(
            "pub fn f(g: fn(u8) -> u8) {{\n{}}}\n",
            "g(1);\n".repeat(lines - 2)
        )
    };
    good("cli/src/a.rs", &function(70));
    bad("cli/src/a.rs", &function(71), "function-length");
    good("cli/tests/a.rs", &function(100));
    bad("cli/tests/a.rs", &function(101), "function-length");
    let in_trait = format!(
        "trait T {{\nfn declared(&self);\nfn other();\n}}\n{}",
        "//\n".repeat(100)
    );
    good("cli/src/a.rs", &in_trait);
}

#[test]
fn left_overs_are_found_even_in_tests_and_comments() {
    bad("cli/src/a.rs", "fn f() { todo!() }\n", "left-over");
    bad("cli/src/a.rs", "fn f() { unimplemented!() }\n", "left-over");
    bad("cli/tests/a.rs", "fn f() { dbg!(1); }\n", "left-over");
    bad(
        "cli/tests/a.rs",
        "#[test]\n#[ignore]\nfn f() {}\n",
        "left-over",
    );
    bad("cli/src/a.rs", concat!("// FIX", "ME later\n"), "left-over");
    bad("cli/src/a.rs", concat!("// XX", "X\n"), "left-over");
    good(
        "cli/src/a.rs",
        "// a todo list is fine, and so is mytodo!\nfn f() { let s = \"todo!()\"; g(s) }\n",
    );
}

#[test]
fn printing_that_may_panic_is_found() {
    for call in ["print!(x)", "println!()", "eprint!(x)", "eprintln!(x)"] {
        let text = format!("fn f() {{\n    {call};\n}}\n");
        bad("cli/src/a.rs", &text, "printing");
        bad("node/src/a/b.rs", &text, "printing");
        good("cli/tests/a.rs", &text);
        good("node/examples/a.rs", &text);
        good(
            "cli/src/a.rs",
            &format!("#[cfg(test)]\nmod tests {{\n    {text}}}\n"),
        );
    }
    good(
        "cli/src/a.rs",
        "fn f() {\n    // println!() panics\n    blueprint!(x);\n}\n",
    );
}

#[test]
fn dropped_results_need_a_reason() {
    bad(
        "node/src/a.rs",
        "fn f() {\n    let _ = send();\n}\n",
        "dropped-result",
    );
    good(
        "node/src/a.rs",
        "fn f() {\n    // The reader has gone.\n    let _ = send();\n}\n",
    );
    good(
        "node/src/a.rs",
        "fn f() {\n    let _ = send(); // The reader has gone.\n}\n",
    );
    good("node/src/a.rs", "fn f() {\n    let _ = reply.send(1);\n}\n");
    good(
        "node/src/a.rs",
        "#[cfg(test)]\nmod tests {\n    fn f() {\n        let _ = send();\n    }\n}\n",
    );
    bad(
        "node/src/a.rs",
        "#[cfg(test)]\nmod tests;\nfn f() {\n    let _ = send();\n}\n",
        "dropped-result",
    );
}

#[test]
fn lints_are_switched_off_one_place_at_a_time() {
    bad(
        "node/src/a.rs",
        "#[allow(clippy::unwrap_used)]\nfn f() {}\n",
        "lint-escape",
    );
    bad(
        "node/src/a.rs",
        "#![allow(clippy::indexing_slicing)]\n",
        "lint-escape",
    );
    bad(
        "node/src/a.rs",
        "#[expect(clippy::unwrap_used)]\nfn f() {}\n",
        "lint-escape",
    );
    good(
        "node/src/a.rs",
        "#[expect(clippy::unwrap_used, reason = \"checked above\")]\nfn f() {}\n",
    );
    good(
        "node/src/a.rs",
        "#[cfg(test)]\n#[allow(clippy::unwrap_used)]\nmod tests {}\n",
    );
}

#[test]
fn unsafe_code_is_found() {
    bad("node/src/a.rs", "fn f() { unsafe { g() } }\n", "unsafe");
    good("node/src/a.rs", "#![forbid(unsafe_code)]\n// unsafe\n");
}

#[test]
fn a_lib_with_code_is_found() {
    bad(
        "node/src/lib.rs",
        "//! Docs.\npub mod a;\npub fn f() {}\n",
        "thin-lib",
    );
    good("node/src/lib.rs", "//! Docs.\npub mod a;\npub use a::B;\n");
}

#[test]
fn proto_stays_pure() {
    for line in [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use std::time::{Duration, SystemTime};",
        "use tokio::sync::mpsc;",
        "fn f() { std::net::lookup(); }",
        "fn f() { rand::random() }",
        "fn f() { println!(); }",
        "use rand_core::OsRng;",
    ] {
        bad("proto/src/a.rs", &format!("{line}\n"), "room");
    }
    good(
        "proto/src/a.rs",
        "use std::{fmt, time::Duration};\nuse rand_core::RngCore;\n// std::fs\n",
    );
    good(
        "proto/src/a.rs",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
    );
}

#[test]
fn rooms_do_not_reach_into_each_other() {
    for (path, line) in [
        ("cli/src/a.rs", "use libp2p::PeerId;"),
        ("cli/src/a.rs", "use packnback_node::store::Store;"),
        ("cli/src/a.rs", "use packnback_proto::machine::upload;"),
        (
            "node/src/a.rs",
            "use packnback_proto::crypto::keys::{DeviceKeys, OwnerSeed};",
        ),
        (
            "node/src/service/a.rs",
            "use packnback_proto::{ids::ObjectId, format::segment};",
        ),
        ("node/src/net/a.rs", "use crate::store::Store;"),
        ("node/src/net/a.rs", "use super::super::store::Store;"),
        ("node/src/store/a.rs", "use crate::net;"),
        ("node/src/service/a.rs", "use rocksdb::DB;"),
        ("node/src/service/a.rs", "use libp2p::Swarm;"),
        ("proto/src/wire/a.rs", "use crate::format::object;"),
        ("proto/src/format/a.rs", "use crate::{ids, wire};"),
        ("proto/src/crypto/a.rs", "use super::super::record;"),
        ("proto/src/policy/a.rs", "use crate::crypto::hash;"),
        ("cli/src/a.rs", "use chacha20poly1305::XChaCha20Poly1305;"),
        ("proto/src/format/a.rs", "use x25519_dalek::PublicKey;"),
        ("cli/src/a.rs", "use argon2::Argon2;"),
        ("simulations/src/a.rs", "use std::time::Instant;"),
        (
            "simulations/compare/src/a.rs",
            "use packnback_cli::fs::home_mark;",
        ),
        ("node/src/a.rs", "use packnback_stage::run;"),
        ("cli/src/a.rs", "use packnback_stage::run;"),
    ] {
        bad(path, &format!("{line}\n"), "room");
    }
    good(
        "node/src/store/a.rs",
        "use rocksdb::DB;\nuse packnback_proto::format::header::parse_header;\n",
    );
    good(
        "proto/src/keyfile.rs",
        "use argon2::Argon2;\nuse crate::crypto::seal;\n",
    );
    good("proto/src/formatting.rs", "use crate::wires::x;\n");
}

#[test]
fn rooms_behind_ports_do_not_name_what_is_behind_them() {
    for (path, line) in [
        (
            "node/src/network/a.rs",
            "use crate::net::{Multiaddr, reach_of};",
        ),
        ("node/src/replicate/a.rs", "use crate::net::NetHandle;"),
        (
            "node/src/replicate/pull/a.rs",
            "use crate::net::PeerStream;",
        ),
        ("node/src/peers/a.rs", "fn f() { crate::net::peer_id(&x); }"),
        ("node/src/service/a.rs", "use crate::store::rocks::open;"),
        (
            "node/src/local/a.rs",
            "use crate::store::memory::MemoryDisk;",
        ),
        (
            "node/src/work/a.rs",
            "use crate::ports::{Clock, SystemClock};",
        ),
        ("node/src/api/a.rs", "use crate::net::Libp2p;"),
        ("node/src/chores/a.rs", "use crate::ports::memory::Wire;"),
    ] {
        bad(path, &format!("{line}\n"), "port");
    }
    good("node/src/runtime.rs", "use crate::net::Libp2p;\n");
    good("node/src/network/a.rs", "use crate::net::reach_of;\n");
    good(
        "node/src/network/a.rs",
        "#[cfg(test)]\nmod tests {\n    use crate::net::Libp2p;\n}\n",
    );
}

#[test]
fn only_ports_ask_the_machine() {
    for (path, line) in [
        ("node/src/network/a.rs", "fn f() { SystemTime::now(); }"),
        (
            "node/src/store/a.rs",
            "fn f() { std::time::SystemTime::now(); }",
        ),
        (
            "node/src/service/a.rs",
            "fn f() { tokio::time::Instant::now(); }",
        ),
        ("node/src/local/a.rs", "fn f() { started.elapsed(); }"),
        ("node/src/peers/a.rs", "fn f() { now_s(); }"),
        (
            "node/src/identity.rs",
            "fn f() { getrandom::fill(&mut x); }",
        ),
        ("node/src/work/a.rs", "fn f() { random_u32(); }"),
        (
            "node/src/replicate/a.rs",
            "fn f() { tokio::task::spawn_blocking(g); }",
        ),
        ("node/src/ports/dice.rs", "fn f() { getrandom::u32(); }"),
        ("node/src/ports/clock.rs", "fn f() { SystemTime::now(); }"),
    ] {
        bad(path, &format!("{line}\n"), "machine");
    }
    good(
        "node/src/ports/system.rs",
        "fn f() { SystemTime::now(); }\n",
    );
    good("node/src/net/a.rs", "fn f() { Instant::now(); }\n");
    good("node/src/network/a.rs", "use tokio::time::Instant;\n");
    good("node/src/store/a.rs", "fn f() { unknown_s(a_random_x); }\n");
    good("cli/src/a.rs", "fn f() { Instant::now(); }\n");
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"fn { \\\" {\"; /* { /* { */ } */ let b = '{'; let c = '\\''; let d: &'static str = r#\"\"{\"#; // {\n";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert!(!code.contains('{') && !code.contains('}'), "{code}");
    assert!(code.contains("&'static str ="), "{code}");
    let literals = blank("b'\\n' br\"x\" c\"y\" 'é' 'a: loop");
    assert_eq!(
        literals.split_whitespace().collect::<Vec<_>>(),
        ["b", "c", "'a:", "loop"]
    );
}

#[test]
fn use_groups_are_spread_out() {
    let source = Source::new(
        "node/src/net/a.rs",
        "use super::{self, b::{C, D as E}};\nuse crate::x;\n",
    );
    let named: Vec<String> = paths(&source).into_iter().map(|(_, p)| p).collect();
    assert_eq!(
        named,
        [
            "packnback_node::net",
            "packnback_node::net::b::C",
            "packnback_node::net::b::D",
            "packnback_node::x"
        ]
    );
}

#[test]
fn modules_of_tests_are_known() {
    let text = "pub mod a;\n#[cfg(test)]\npub(crate) mod kit;\n#[cfg(test)]\nmod tests {\n}\n";
    let of = |path: &str| test_modules(&Source::new(path, text));
    assert_eq!(
        of("node/src/store/mod.rs")[..2],
        ["node/src/store/kit.rs", "node/src/store/kit/"]
    );
    assert_eq!(
        of("node/src/store.rs")[..2],
        ["node/src/store/kit.rs", "node/src/store/kit/"]
    );
    assert!(!of("node/src/store.rs").contains(&"node/src/store/a.rs".to_owned()));
    let text = "#[cfg(any(test, feature = \"testkit\"))]\npub mod kit;\npub mod a;\n";
    let of_others = test_modules(&Source::new("node/src/store/mod.rs", text));
    assert_eq!(of_others, ["node/src/store/kit.rs", "node/src/store/kit/"]);
}

#[test]
fn tuples_as_parameters_are_found() {
    for line in [
        "fn f((from, to): (u64, u64)) {}",
        "fn f(pair: (u64, u64)) {}",
        "fn f<T: Fn(u8) -> u8>(row: &(Vec<u8>, T)) {}",
        "async fn f(&self, a: u8, pair: &'a mut (u8, u8)) {}",
        "trait T { fn f(&self, both: (u8, u8)); }",
    ] {
        bad("node/src/a.rs", &format!("{line}\n"), "tuple-parameter");
        bad("node/tests/a.rs", &format!("{line}\n"), "tuple-parameter");
    }
    for line in [
        "fn f(a: u8, b: Vec<(u8, u8)>) -> (u8, u8) {}",
        "fn f(done: &(dyn Fn(u8, u8) + Sync), nothing: ()) {}",
        "fn f(g: fn((u8, u8)) -> u8) {}",
        "fn f(all: &[(u8, u8)], one: impl Fn(u8) -> (u8, u8), last: m::T) {}",
        "fn f() { g(|(a, b): (u8, u8)| a); }",
    ] {
        good("node/src/a.rs", &format!("{line}\n"));
    }
}

#[test]
fn modules_that_need_each_other_are_found() {
    let circles = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files.iter().map(|(p, t)| Source::new(p, t)).collect();
        let found = crate::shape::circles(&sources);
        found.into_iter().map(|f| f.place).collect::<Vec<_>>()
    };
    let a = ("node/src/a.rs", "use crate::b::B;\n");
    let b = ("node/src/b/mod.rs", "\nuse crate::c::{C, D};\n");
    let c = ("node/src/c/deep.rs", "fn f() { super::super::a::g() }\n");
    assert_eq!(
        circles(&[a, b, c]),
        [
            "node/src/a.rs:1",
            "node/src/b/mod.rs:2",
            "node/src/c/deep.rs:1"
        ]
    );
    assert!(circles(&[a, b]).is_empty());
    let other = ("cli/src/b.rs", "use crate::a::A;\n");
    let own = ("node/src/a/x.rs", "use crate::a::y;\nuse super::y::Z;\n");
    let test = "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n";
    let lib = ("node/src/lib.rs", "pub use crate::a::A;\n");
    assert!(circles(&[a, other, own, lib, ("node/src/b.rs", test)]).is_empty());
}
