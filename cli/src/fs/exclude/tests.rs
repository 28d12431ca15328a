#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::Excludes;
use super::glob::{Glob, Token, units};

fn excludes(patterns: &[&str]) -> Excludes {
    let mut out = Excludes::new();
    for pattern in patterns {
        out.add(pattern.as_bytes()).unwrap();
    }
    out
}

#[test]
fn patterns_match_as_documented() {
    // (pattern, path, is a directory, matches)
    let cases: &[(&str, &[u8], bool, bool)] = &[
        ("*.o", b"a/b/x.o", false, true),
        ("*.o", b"x.o", false, true),
        ("*.o", b"x.oo", false, false),
        ("x", b"x/y", false, false),
        ("node_modules", b"home/u/node_modules", true, true),
        ("cache/", b"a/cache", true, true),
        ("cache/", b"a/cache", false, false),
        ("/home/*/tmp", b"home/u/tmp", true, true),
        ("/home/*/tmp", b"mnt/home/u/tmp", true, false),
        ("/home/*/tmp", b"home/u/v/tmp", true, false),
        ("target/debug", b"home/p/target/debug", true, true),
        ("target/debug", b"target/debug", true, true),
        ("target/debug", b"target/x/debug", true, false),
        ("a/**/b", b"a/b", false, true),
        ("a/**/b", b"z/a/x/y/b", false, true),
        ("/a/**", b"a", true, false),
        ("/a/**", b"a/b", false, true),
        ("/a/**", b"a/b/c", false, true),
        ("**", b"anything", false, true),
        ("**/x", b"a/b/x", false, true),
        ("[ab]?", b"aZ", false, true),
        ("[!ab]?", b"aZ", false, false),
        ("[]x]", b"]", false, true),
        ("[a-c]", b"b", false, true),
        ("\\*", b"*", false, true),
        ("\\*", b"x", false, false),
        ("a\\[b", b"a[b", false, true),
        ("?", "\u{fc}".as_bytes(), false, true),
        ("?", b"\xff", false, true),
        ("??", "\u{fc}".as_bytes(), false, false),
        ("a*\n*b", b"a1\n2b", false, true),
        (
            "*a*a*a*a*a*a*a*a*b",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            false,
            false,
        ),
    ];
    for (pattern, path, is_dir, expected) in cases {
        let got = excludes(&[pattern]).matches(path, b"", *is_dir);
        assert_eq!(
            got,
            *expected,
            "{pattern} against {:?}",
            String::from_utf8_lossy(path)
        );
    }
}

#[test]
fn patterns_need_not_be_utf8() {
    let mut excludes = Excludes::new();
    excludes.add(b"caf\xe9*").unwrap();
    assert!(excludes.matches(b"x/caf\xe9.txt", b"", false));
    assert!(!excludes.matches("x/caf\u{e9}.txt".as_bytes(), b"", false));
}

#[test]
fn the_last_match_decides_and_negation_takes_back() {
    let list = excludes(&["*.log", "!keep.log", "/a/keep.log"]);
    assert!(list.matches(b"x.log", b"", false));
    assert!(!list.matches(b"b/keep.log", b"", false));
    assert!(list.matches(b"a/keep.log", b"", false));
}

#[test]
fn a_file_is_out_with_its_directory() {
    let list = excludes(&["build/", "!build/keep"]);
    assert!(
        list.matches_tree(b"p/build/keep", b"", false),
        "a directory that is left out is not looked into"
    );
    assert!(!list.matches_tree(b"p/builds/keep", b"", false));
}

#[test]
fn folders_above_a_root_are_not_looked_at() {
    let root = b"home/tmp/ann/tmp";
    let below = |pattern: &str, path: &str| {
        let path = format!("home/tmp/ann/tmp{path}");
        excludes(&[pattern]).matches_tree(path.as_bytes(), root, false)
    };
    for pattern in [
        "tmp/**",
        "ann/tmp/**",
        "tmp",
        "tmp/ann",
        "**/ann/**",
        "home/",
        "tmp/*",
    ] {
        assert!(!below(pattern, "/f"), "{pattern}");
        assert!(!below(pattern, "/d/f"), "{pattern}");
        assert!(!below(pattern, ""), "{pattern}");
    }
    for pattern in [
        "tmp/**",
        "tmp/f",
        "d/tmp",
        "/home/tmp/ann/tmp/d",
        "/home/**",
        "**/tmp/*",
    ] {
        assert!(below(pattern, "/d/tmp/f"), "{pattern}");
    }
    let at_root = excludes(&["/home/tmp/ann/*", "tmp"]);
    assert!(
        !at_root.matches_tree(root, root, true),
        "a root is never left out"
    );
    assert!(
        at_root.matches(root, root, true),
        "but named from the top it can be passed over"
    );
}

#[test]
fn who_names_a_root_asks_for_it() {
    let root = b"home/tmp/ann";
    for (pattern, path, asked) in [
        ("ann", "home/tmp/ann", true),
        ("ann/*.txt", "home/tmp/ann/a.txt", true),
        ("*.txt", "home/tmp/ann/d/a.txt", true),
        ("/home/tmp/ann/d", "home/tmp/ann/d", true),
        ("tmp/**", "home/tmp/ann/f", false),
        ("tmp/ann/f", "home/tmp/ann/f", false),
        ("home", "home", false),
        ("/home", "home", true),
    ] {
        let asks = excludes(&[pattern]).asks_for(path.as_bytes(), root, false);
        assert_eq!(asks, asked, "{pattern} {path}");
    }
}

#[test]
fn patterns_that_decided_nothing_are_known() {
    let list = excludes(&["*.o", "!keep.o", "tmp/", "/never"]);
    let walk = list.clone();
    assert!(walk.matches(b"r/a.o", b"r", false));
    assert!(!walk.matches(b"r/tmp", b"r", false));
    let unused: Vec<&[u8]> = list.unused().collect();
    assert_eq!(unused, [b"!keep.o".as_slice(), b"tmp/", b"/never"]);
    let texts: Vec<&[u8]> = list.texts().collect();
    assert_eq!(texts[0], b"*.o");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_pattern() {
    let mut list = Excludes::new();
    list.add_file(b"\xef\xbb\xbf*.tmp\r\n*.bak\r\n").unwrap();
    assert!(list.matches(b"a.tmp", b"", false) && list.matches(b"a.bak", b"", false));
    assert_eq!(list.texts().next(), Some(b"*.tmp".as_slice()));
}

#[test]
fn a_file_of_patterns_is_read_by_line() {
    let mut list = Excludes::new();
    list.add_file(b"# comment\n\n  \n*.tmp   \r\n\\#x\n!/a/b.tmp\nspace\\ \nlast")
        .unwrap();
    assert!(list.matches(b"x.tmp", b"", false));
    assert!(!list.matches(b"a/b.tmp", b"", false));
    assert!(list.matches(b"#x", b"", false));
    assert!(list.matches(b"space ", b"", false));
    assert!(list.matches(b"last", b"", false));
    assert!(!list.matches(b"# comment", b"", false));
}

#[test]
fn malformed_patterns_are_refused_and_named() {
    for bad in ["[ab", "a/../b", "./x", "x\\", "", "/", "!", "[z-a]", "a\0b"] {
        let mut list = Excludes::new();
        let error = list.add(bad.as_bytes()).unwrap_err();
        assert_eq!(error.pattern, bad);
        assert!(list.is_empty(), "a refused pattern must not count");
    }
}

/// The same rules, told as directly as possible and in exponential time.
mod naive {
    use super::{Glob, Token, units};

    pub(super) fn name(glob: &Glob, name: &[u8]) -> bool {
        match glob {
            Glob::Literal(literal) => **literal == *name,
            Glob::Tokens(tokens) => rec(tokens, &units(name)),
        }
    }

    fn rec(tokens: &[Token], text: &[u32]) -> bool {
        match tokens.first() {
            None => text.is_empty(),
            Some(Token::Run) => (0..=text.len()).any(|skip| rec(&tokens[1..], &text[skip..])),
            Some(token) => {
                !text.is_empty() && token.takes(text[0]) && rec(&tokens[1..], &text[1..])
            }
        }
    }

    /// One pattern against one path.
    pub(super) fn path(pattern: &str, path: &str, is_dir: bool) -> bool {
        if pattern.ends_with('/') && !is_dir {
            return false;
        }
        let parts: Vec<&str> = pattern.split('/').filter(|p| !p.is_empty()).collect();
        let names: Vec<&str> = path.split('/').collect();
        if pattern.starts_with('/') {
            return parts_match(&parts, &names);
        }
        (0..names.len()).any(|skip| parts_match(&parts, &names[skip..]))
    }

    fn parts_match(parts: &[&str], names: &[&str]) -> bool {
        match parts.first() {
            None => names.is_empty(),
            Some(&"**") if parts.len() == 1 => !names.is_empty(),
            Some(&"**") => (0..=names.len()).any(|skip| parts_match(&parts[1..], &names[skip..])),
            Some(part) => {
                !names.is_empty()
                    && name(&Glob::parse(part.as_bytes()).unwrap(), names[0].as_bytes())
                    && parts_match(&parts[1..], &names[1..])
            }
        }
    }
}

fn pattern_strategy() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => "[ab*?]{1,4}",
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]".to_owned()),
        2 => Just("**".to_owned()),
        2 => Just("a".to_owned()),
    ]
    // Two stars inside a name mean one; alone they mean any number of names.
    .prop_map(|name| {
        if name != "**" {
            name.replace("**", "*")
        } else {
            name
        }
    })
    .prop_map(|name| {
        if name != "**" {
            name.replace("**", "*")
        } else {
            name
        }
    });
    (
        any::<bool>(),
        prop::collection::vec(name, 1..4),
        any::<bool>(),
    )
        .prop_map(|(top, names, dir)| {
            format!(
                "{}{}{}",
                if top { "/" } else { "" },
                names.join("/"),
                if dir { "/" } else { "" }
            )
        })
}

proptest! {
    #[test]
    fn a_list_decides_as_the_naive_matcher_does(
        patterns in prop::collection::vec((any::<bool>(), pattern_strategy()), 0..5),
        path in "[ab]{1,3}(/[ab]{1,3}){0,4}",
        is_dir: bool,
    ) {
        let mut list = Excludes::new();
        let mut expected = false;
        for (negated, pattern) in &patterns {
            list.add(format!("{}{pattern}", if *negated { "!" } else { "" }).as_bytes()).unwrap();
            if naive::path(pattern, &path, is_dir) {
                expected = !negated;
            }
        }
        prop_assert_eq!(list.matches(path.as_bytes(), b"", is_dir), expected, "{:?}", patterns);
    }

    #[test]
    fn a_name_matches_as_the_naive_matcher_says(pattern in "[ab\u{e9}*?]{0,8}", name in "[ab\u{e9}]{0,10}") {
        let glob = Glob::parse(pattern.as_bytes()).unwrap();
        prop_assert_eq!(glob.matches(name.as_bytes()), naive::name(&glob, name.as_bytes()));
    }

    #[test]
    fn no_pattern_and_no_name_panics(
        pattern in prop::collection::vec(any::<u8>(), 0..20),
        name in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut list = Excludes::new();
        if list.add(&pattern).is_ok() {
            std::hint::black_box(list.matches(&name, b"", true));
        }
        list.add_file(&pattern).ok();
    }
}
