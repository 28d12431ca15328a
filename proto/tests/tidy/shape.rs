//! The shape of the code: what a function takes, and which module needs which.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{Finding, finding};
use crate::source::{Source, module_of, paths};

/// Functions that still take a tuple: nothing is to be added.
const TUPLES_LEFT: &[&str] = &[
    "accept",
    "answer",
    "child",
    "claim_one",
    "count_snap",
    "describe",
    "has_room",
    "heal",
    "inline",
    "learn",
    "mark_damaged",
    "new",
    "object_of",
    "open_inline",
    "parse",
    "parse_recovery",
    "receipt_for",
    "retention",
    "run",
    "stages",
    "store",
    "take_policy",
    "watch",
    "write_down",
];
/// What each module of a crate needs, with the first place where it says so: number of the source, line.
type Needs = BTreeMap<(String, String), BTreeMap<String, (usize, usize)>>;

/// A tuple as a parameter has no names where it is called, and hides how many parameters there are.
pub(crate) fn tuple_parameters(source: &Source) -> Vec<Finding> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let inside_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if at > 0 && inside_word(code.as_bytes()[at - 1]) {
            continue;
        }
        let name = code[at + 3..].split(['(', '<']).next().unwrap_or("").trim();
        if name.is_empty() || !name.bytes().all(inside_word) {
            continue; // the type of a function
        }
        let Some(list) = parameter_list(&code[at + 3..]) else {
            continue;
        };
        if TUPLES_LEFT.contains(&name) {
            continue;
        }
        for parameter in split(list) {
            let (pattern, kind) = halves(parameter);
            if is_tuple(kind) {
                let line = source.line_of(at);
                let what = format!(
                    "`{name}` takes a tuple ({}): name its parts",
                    pattern.trim()
                );
                found.push(finding("tuple-parameter", source, line, what));
            }
        }
    }
    found
}

/// What is between the brackets behind a function's name and its generics.
fn parameter_list(code: &str) -> Option<&str> {
    let mut depth = 0usize;
    let mut before = b' ';
    let open = code.bytes().position(|byte| {
        match byte {
            b'<' => depth += 1,
            b'>' if before != b'-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = byte;
        byte == b'(' && depth == 0
    })?;
    let close = matching(code, open)?;
    Some(&code[open + 1..close])
}

fn matching(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    code.bytes().enumerate().skip(open).find_map(|(at, byte)| {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// Parts between the commas that are in no brackets.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut before) = (0i32, 0, b' ');
    let mut parts = Vec::new();
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b'>' if before != b'-' && before != b'=' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        before = byte;
    }
    parts.push(&list[start..]);
    parts
}

/// Pattern and type of a parameter.
fn halves(parameter: &str) -> (&str, &str) {
    let bytes = parameter.as_bytes();
    let colon = (0..bytes.len()).find(|at| {
        bytes[*at] == b':'
            && bytes.get(at + 1) != Some(&b':')
            && (*at == 0 || bytes[at - 1] != b':')
    });
    colon.map_or((parameter, ""), |at| {
        (&parameter[..at], &parameter[at + 1..])
    })
}

fn is_tuple(kind: &str) -> bool {
    let mut kind = kind.trim();
    while let Some(rest) = kind.strip_prefix('&') {
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('\'') {
            Some(named) => named.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
            None => rest,
        };
        kind = rest.trim_start();
        kind = kind.strip_prefix("mut ").unwrap_or(kind).trim_start();
    }
    if !kind.starts_with('(') {
        return false;
    }
    let Some(close) = matching(kind, 0) else {
        return false;
    };
    split(&kind[1..close]).len() > 1
}

/// Modules at the top of a crate that need each other in a circle: none of them can be read, tested or moved alone.
pub(crate) fn circles(sources: &[Source]) -> Vec<Finding> {
    let modules: BTreeSet<(String, String)> =
        sources.iter().filter_map(|s| place(&s.path)).collect();
    let mut needs = Needs::new();
    for (number, source) in sources.iter().enumerate() {
        let Some((own_crate, own)) = place(&source.path) else {
            continue;
        };
        for (line, path) in paths(source) {
            let mut parts = path.split("::");
            let (Some(of), Some(other)) = (parts.next(), parts.next()) else {
                continue;
            };
            let is_module = modules.contains(&(of.to_owned(), other.to_owned()));
            if of == own_crate && other != own && is_module && !source.is_test(line) {
                let needed = needs.entry((own_crate.clone(), own.clone())).or_default();
                needed.entry(other.to_owned()).or_insert((number, line));
            }
        }
    }
    let mut found = Vec::new();
    for ((of, module), needed) in &needs {
        for (other, (number, line)) in needed {
            if reaches(&needs, of, other, module) {
                let what = format!("{of}::{module} needs {other}, which needs {module}");
                found.push(finding("circle", &sources[*number], *line, what));
            }
        }
    }
    found
}

/// Crate and module of a file; `None` for what is no module of a library or program.
fn place(path: &str) -> Option<(String, String)> {
    if !path.contains("/src/") {
        return None;
    }
    let module = module_of(path);
    Some((module.first()?.clone(), module.get(1)?.clone()))
}

fn reaches(needs: &Needs, of: &str, from: &str, to: &str) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = left.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module.clone())
            && let Some(needed) = needs.get(&(of.to_owned(), module))
        {
            left.extend(needed.keys().cloned());
        }
    }
    false
}
