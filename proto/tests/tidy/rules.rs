//! Rules for every Rust file: budgets, and calls that are not to be there.

use crate::source::{Source, closing_brace, words};

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Short name of the rule.
    pub(crate) rule: &'static str,
    /// File and line, counted from 1.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) what: String,
}

/// Most lines of a file.
pub(crate) const FILE_LINES: usize = 500;
/// Most lines of a function.
pub(crate) const FN_LINES: usize = 70;
/// Most lines of a test: tables of cases are long.
pub(crate) const TEST_FN_LINES: usize = 100;
/// Most lines of a `main.rs`.
pub(crate) const MAIN_LINES: usize = 60;

/// Tests that are one long table: file, name, lines. Nothing is to be added here, and nothing in here is to grow.
pub(crate) const LONG_TABLES: &[(&str, &str, usize)] = &[(
    "cli/tests/e2e/bad_input.rs",
    "every_mistake_has_its_message_and_changes_nothing",
    201,
)];

/// The only files with `unsafe` code.
pub(crate) const UNSAFE_FILES: &[&str] = &[];

pub(crate) fn finding(
    rule: &'static str,
    source: &Source,
    line: usize,
    what: impl Into<String>,
) -> Finding {
    Finding {
        rule,
        place: format!("{}:{}", source.path, line + 1),
        what: what.into(),
    }
}

/// All rules of this module.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(file_length(source));
    found.extend(function_length(source));
    found.extend(left_over(source));
    found.extend(dropped_results(source));
    found.extend(printing(source));
    found.extend(lint_escapes(source));
    found.extend(unsafe_code(source));
    found.extend(thin_lib(source));
    found
}

fn file_length(source: &Source) -> Option<Finding> {
    let lines = source.text.lines().count();
    let most = if source.path.ends_with("/src/main.rs") {
        MAIN_LINES
    } else {
        FILE_LINES
    };
    (lines > most).then(|| {
        finding(
            "file-length",
            source,
            lines - 1,
            format!("{lines} lines, at most {most}"),
        )
    })
}

fn function_length(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0
            && (code.as_bytes()[at - 1].is_ascii_alphanumeric() || code.as_bytes()[at - 1] == b'_')
        {
            continue;
        }
        let Some(open) = body_start(&code[at..]).map(|n| at + n) else {
            continue;
        };
        let (first, last) = (
            source.line_of(at),
            source.line_of(closing_brace(code, open) - 1),
        );
        let lines = last - first + 1;
        let most = if source.is_test(first) {
            TEST_FN_LINES
        } else {
            FN_LINES
        };
        let name = words(&code[at + 3..]).next().unwrap_or("?");
        let known = LONG_TABLES
            .iter()
            .find(|(path, table, _)| *path == source.path && *table == name);
        let most = known.map_or(most, |(_, _, lines)| *lines);
        if lines > most {
            found.push(finding(
                "function-length",
                source,
                first,
                format!("{name}: {lines} lines, at most {most}"),
            ));
        }
    }
    found
}

/// Offset of the brace that opens the body; `None` for a declaration without one.
fn body_start(code: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(at),
            _ => {}
        }
        if depth < 0 {
            return None; // a function pointer type inside an argument list
        }
    }
    None
}

fn left_over(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in source.code.lines().enumerate() {
        for name in ["todo", "unimplemented", "dbg"] {
            let called = text.match_indices(name).any(|(at, _)| {
                text[at + name.len()..].starts_with('!')
                    && !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            if called {
                found.push(finding("left-over", source, line, format!("{name}!")));
            }
        }
        if text.contains("#[ignore") {
            found.push(finding("left-over", source, line, "an ignored test"));
        }
    }
    for (line, text) in source.text.lines().enumerate() {
        for mark in [concat!("FIX", "ME"), concat!("XX", "X")] {
            if words(text).any(|w| w == mark) {
                found.push(finding("left-over", source, line, mark));
            }
        }
    }
    found
}

/// The macros of the standard library panic when nobody can be told any more, and end a backup because a log is on a
/// full disk. Programs of packnback speak through `packnback_sys::say`.
fn printing(source: &Source) -> Vec<Finding> {
    let rooms = [
        "cli/src/",
        "node/src/",
        "sys/src/",
        "simulations/stage/src/",
    ];
    if !rooms.iter().any(|room| source.path.starts_with(room)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (line, text) in source.product_lines() {
        for name in ["print", "println", "eprint", "eprintln"] {
            let called = text.match_indices(name).any(|(at, _)| {
                text[at + name.len()..].starts_with('!')
                    && !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
            });
            if called {
                let what =
                    format!("{name}! panics when it cannot be written: use packnback_sys::say");
                found.push(finding("printing", source, line, what));
            }
        }
    }
    found
}

/// `let _ =` throws away a result. Where that is meant, a comment on the line or right before it says why. An answer to
/// somebody who has stopped waiting needs no comment.
fn dropped_results(source: &Source) -> Vec<Finding> {
    let raw: Vec<&str> = source.text.lines().collect();
    let explained = |line: usize| {
        let before = line.checked_sub(1).and_then(|n| raw.get(n));
        let own = raw
            .get(line)
            .is_some_and(|text| text.contains("// ") || text.contains("reply.send("));
        own || before.is_some_and(|text| text.trim_start().starts_with("// "))
    };
    source
        .product_lines()
        .filter(|(line, text)| text.contains("let _ =") && !explained(*line))
        .map(|(line, _)| {
            finding(
                "dropped-result",
                source,
                line,
                "`let _ =` without a comment that says why",
            )
        })
        .collect()
}

/// Lints that keep the product from panicking are switched off with `expect` and a reason, one place at a time.
fn lint_escapes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, _) in source.code.match_indices("clippy::") {
        let line = source.line_of(at);
        if source.is_test(line) {
            continue;
        }
        let start = source.code[..at].rfind('#').unwrap_or(0);
        let end = at + source.code[at..].find(")]").unwrap_or(0);
        let attribute = &source.code[start..end];
        if attribute.starts_with("#[expect") && attribute.contains("reason") {
            continue;
        }
        let name = words(&source.code[at + 8..]).next().unwrap_or("");
        found.push(finding(
            "lint-escape",
            source,
            line,
            format!("{name}: use #[expect(.., reason = \"..\")]"),
        ));
    }
    found
}

fn unsafe_code(source: &Source) -> Vec<Finding> {
    let allowed = UNSAFE_FILES.contains(&source.path.as_str());
    source
        .code
        .lines()
        .enumerate()
        .filter(|(_, text)| !allowed && words(text).any(|w| w == "unsafe"))
        .map(|(line, _)| {
            finding(
                "unsafe",
                source,
                line,
                "unsafe code outside the listed files",
            )
        })
        .collect()
}

/// A `lib.rs` explains the crate and names its modules; code lives in the modules.
fn thin_lib(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with("/src/lib.rs") {
        return Vec::new();
    }
    let banned = [
        "fn",
        "struct",
        "enum",
        "impl",
        "trait",
        "static",
        "const",
        "macro_rules",
        "type",
    ];
    source
        .product_lines()
        .filter_map(|(line, text)| {
            let word = words(text).find(|w| banned.contains(w))?;
            Some(finding(
                "thin-lib",
                source,
                line,
                format!("`{word}` belongs into a module"),
            ))
        })
        .collect()
}
