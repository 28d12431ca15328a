//! Reads Rust sources just well enough: which bytes are code, which lines are test code, which paths are named.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One Rust file.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// The text as it is.
    pub(crate) text: String,
    /// The text with comments, strings and characters blanked; line breaks and length are kept.
    pub(crate) code: String,
    /// Per line: whether it is test code.
    pub(crate) test_lines: Vec<bool>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let test_lines = test_lines(path, &code);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            test_lines,
        }
    }

    /// Line number, counted from 0, of a byte offset.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.code.as_bytes()[..offset]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
    }

    /// Whether this line, counted from 0, is test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.get(line).copied().unwrap_or(false)
    }

    /// Lines of code that are no test code, with their number counted from 0.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .filter(|(n, _)| !self.is_test(*n))
    }
}

/// What stands before a module of tests: of its own crate only, or offered to the tests of others.
const OF_TESTS: [&str; 2] = ["#[cfg(test)]", "#[cfg(any(test,"];

/// Files that `source` declares with `#[cfg(test)] mod name;`: the file of the module, and what is below it.
pub(crate) fn test_modules(source: &Source) -> Vec<String> {
    let (folder, name) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = name.trim_end_matches(".rs");
    let inside = match stem {
        "mod" | "lib" | "main" => folder.to_owned(),
        _ => format!("{folder}/{stem}"),
    };
    let mut found = Vec::new();
    let marks = OF_TESTS
        .iter()
        .flat_map(|mark| source.code.match_indices(mark));
    for (at, mark) in marks {
        let rest = &source.code[at + mark.len()..];
        let item = &rest[..rest.find([';', '{']).unwrap_or(0)];
        let mut after = words(item).skip_while(|w| *w != "mod");
        if let (Some(_), Some(module)) = (after.next(), after.next()) {
            found.push(format!("{inside}/{module}.rs"));
            found.push(format!("{inside}/{module}/"));
        }
    }
    found
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in a workspace")
        .to_path_buf()
}

/// Files of the repository whose name ends in `suffix`: what git knows, else what is on disk.
pub(crate) fn files(suffix: &str) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let mut found: Vec<String> = match listed {
        Ok(out) if out.status.success() => String::from_utf8_lossy(&out.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        _ => walk(),
    };
    found.retain(|path| path.ends_with(suffix) && root().join(path).is_file());
    found.sort();
    found.dedup();
    found
}

fn walk() -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).expect("readable").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    todo.push(path);
                }
            } else if let Ok(inside) = path.strip_prefix(root()) {
                found.push(inside.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Replaces comments, string and character literals by spaces.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if let Some(end) = end {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8(out).expect("whole literals are blanked, so no character is split")
}

/// End of the comment or literal that starts at `at`, if one does.
fn literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let before = if at == 0 { b' ' } else { bytes[at - 1] };
    let inside_word = before.is_ascii_alphanumeric() || before == b'_';
    if rest.starts_with(b"//") {
        return Some(at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(at + comment_length(rest));
    }
    if rest[0] == b'"' {
        return Some(at + string_length(rest));
    }
    if !inside_word {
        let prefix = rest
            .iter()
            .take_while(|b| matches!(b, b'b' | b'r' | b'c'))
            .count();
        if prefix <= 2 && rest[..prefix].contains(&b'r') {
            let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
            if rest.get(prefix + hashes) == Some(&b'"') {
                return Some(at + prefix + hashes + raw_length(&rest[prefix + hashes..], hashes));
            }
        }
    }
    if rest[0] == b'\'' {
        return char_length(rest).map(|n| at + n);
    }
    None
}

fn comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_length(rest: &[u8], hashes: usize) -> usize {
    let mut at = 1;
    while at < rest.len() {
        let end = at + 1 + hashes;
        if rest[at] == b'"' && rest.len() >= end && rest[at + 1..end].iter().all(|b| *b == b'#') {
            return end;
        }
        at += 1;
    }
    rest.len()
}

/// Length of a character literal; `None` for a lifetime.
fn char_length(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        let close = rest[3.min(rest.len())..].iter().position(|b| *b == b'\'')?;
        return Some(3 + close + 1);
    }
    let text = std::str::from_utf8(rest).ok()?;
    let mut chars = text.char_indices().skip(2);
    let (at, close) = chars.next()?;
    (close == '\'').then_some(at + 1)
}

/// Offset behind the brace that closes the one at `open`.
pub(crate) fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    let name = path.rsplit('/').next().unwrap_or(path);
    let in_tests =
        path.contains("/tests/") || path.starts_with("fuzz/") || path.contains("/examples/");
    let whole =
        in_tests || name == "tests.rs" || name.ends_with("_tests.rs") || name == "testkit.rs";
    let mut lines = vec![whole; count];
    for (at, _) in code
        .match_indices("#[cfg(")
        .chain(code.match_indices("#[test]"))
    {
        let attribute = &code[at..code[at..].find(']').map_or(code.len(), |n| at + n)];
        if !words(attribute).any(|w| w == "test") || attribute.contains("not(") {
            continue;
        }
        let rest = &code[at..];
        let body = rest.find('{').map(|n| at + n);
        let semicolon = rest.find(';').map(|n| at + n);
        let end = match (body, semicolon) {
            (Some(open), Some(stop)) if stop < open => stop + 1,
            (Some(open), _) => closing_brace(code, open),
            (None, Some(stop)) => stop + 1,
            (None, None) => code.len(),
        };
        let first = code[..at].matches('\n').count();
        let last = code[..end].matches('\n').count();
        for line in lines.iter_mut().take(last + 1).skip(first) {
            *line = true;
        }
    }
    lines
}

/// Identifiers and keywords, in order.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|w| !w.is_empty())
}

/// Every path a file names, with `use` groups spread out and `crate`, `self`, `super` resolved, and its line.
pub(crate) fn paths(source: &Source) -> Vec<(usize, String)> {
    let module = module_of(&source.path);
    let mut found = Vec::new();
    for (at, text) in statements(&source.code) {
        let line = source.line_of(at);
        let mut spread = Vec::new();
        if let Some(tree) = text.strip_prefix("use ") {
            spread_use(tree, "", &mut spread);
        } else {
            spread.push(text.to_owned());
        }
        found.extend(spread.into_iter().map(|p| (line, resolve(&p, &module))));
    }
    found
}

/// `use` statements (without their semicolon), and paths, types and macros in other code.
fn statements(code: &str) -> Vec<(usize, String)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let starts_word = bytes[at].is_ascii_alphabetic() || bytes[at] == b'_';
        if !starts_word {
            at += 1;
            continue;
        }
        let rest = &code[at..];
        if rest.starts_with("use ") {
            let end = rest.find(';').unwrap_or(rest.len());
            found.push((
                at,
                rest[..end].split_whitespace().collect::<Vec<_>>().join(" "),
            ));
            at += end;
            continue;
        }
        let end = path_end(rest);
        let name = &rest[..end];
        let macro_call = rest[end..].starts_with('!') && !rest[end..].starts_with("!=");
        if macro_call {
            found.push((at, format!("{name}!")));
        } else if name.contains("::") || name.starts_with(char::is_uppercase) {
            found.push((at, name.to_owned())); // a plain word is a variable
        }
        at += end;
    }
    found
}

fn path_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    loop {
        while at < bytes.len()
            && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] >= 0x80)
        {
            at += 1;
        }
        let next = bytes.get(at + 2).copied().unwrap_or(b' ');
        if rest[at..].starts_with("::") && (next.is_ascii_alphabetic() || next == b'_') {
            at += 2;
        } else {
            return at;
        }
    }
}

fn spread_use(tree: &str, prefix: &str, out: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let plain = tree.split(" as ").next().unwrap_or(tree).trim();
        out.push(format!("{prefix}{plain}"));
        return;
    };
    let inner_prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                spread_use(&inner[start..at], &inner_prefix, out);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        spread_use(&inner[start..], &inner_prefix, out);
    }
}

/// The module a file is, as `crate_name::module`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let Some((folder, inside)) = path.split_once("/src/") else {
        return vec![path.to_owned()];
    };
    // A crate may lie below another's folder.
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let mut parts = vec![format!("packnback_{name}")];
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    parts.extend(
        inside
            .split('/')
            .filter(|p| !matches!(*p, "lib" | "main"))
            .map(str::to_owned),
    );
    parts
}

fn resolve(path: &str, module: &[String]) -> String {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut base: Vec<&str> = Vec::new();
    match parts.first() {
        Some(&"crate") => {
            base.extend(module.first().map(String::as_str));
            parts.remove(0);
        }
        Some(&("self" | "super")) => {
            base.extend(module.iter().map(String::as_str));
            while let Some(first) = parts.first() {
                match *first {
                    "self" => {}
                    "super" => {
                        base.pop();
                    }
                    _ => break,
                }
                parts.remove(0);
            }
        }
        _ => {}
    }
    base.extend(parts.into_iter().filter(|p| *p != "self"));
    base.join("::")
}
