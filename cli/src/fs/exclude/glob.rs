//! Matching one name against one pattern: `*`, `?`, `[a-z]`, `[!a-z]`, `\` before a character.
//!
//! Works on characters where a name is UTF-8 and on single bytes where it is not, in time bounded by
//! (length of the pattern) x (length of the name).

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glob {
    /// Exactly these bytes.
    Literal(Box<[u8]>),
    /// With wildcards.
    Tokens(Box<[Token]>),
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This character (or byte that is no character).
    Unit(u32),
    /// `?`
    One,
    /// `*`
    Run,
    /// `[...]`
    Class {
        /// `[!...]`: any character but these.
        negated: bool,
        /// Inclusive ranges.
        ranges: Vec<(u32, u32)>,
    },
}

/// Bytes that are not UTF-8 are numbered behind all characters.
const INVALID_BYTE_BASE: u32 = 0x11_0000;

/// The character at the start of `bytes`, or the byte if there is no character, with its length.
fn next_unit(bytes: &[u8]) -> Option<(u32, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u32::from(first), 1));
    }
    let len = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Some((INVALID_BYTE_BASE + u32::from(first), 1)),
    };
    let character = bytes
        .get(..len)
        .and_then(|slice| std::str::from_utf8(slice).ok())
        .and_then(|text| text.chars().next());
    match character {
        Some(c) => Some((u32::from(c), len)),
        None => Some((INVALID_BYTE_BASE + u32::from(first), 1)),
    }
}

impl Glob {
    /// Reads one component.
    pub(super) fn parse(text: &[u8]) -> Result<Glob, &'static str> {
        let mut tokens = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some((unit, len)) = next_unit(rest) {
            let (here, after) = rest.split_at(len);
            rest = after;
            match here {
                b"*" => {
                    if tokens.last() != Some(&Token::Run) {
                        tokens.push(Token::Run);
                    }
                }
                b"?" => tokens.push(Token::One),
                b"[" => tokens.push(parse_class(&mut rest)?),
                b"\\" => {
                    let (unit, len) = next_unit(rest).ok_or("it ends with a backslash")?;
                    let (quoted, after) = rest.split_at(len);
                    rest = after;
                    literal.extend_from_slice(quoted);
                    tokens.push(Token::Unit(unit));
                }
                _ => {
                    literal.extend_from_slice(here);
                    tokens.push(Token::Unit(unit));
                }
            }
        }
        if tokens.iter().all(|token| matches!(token, Token::Unit(_))) {
            return Ok(Glob::Literal(literal.into()));
        }
        Ok(Glob::Tokens(tokens.into()))
    }

    /// Whether the whole name matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Glob::Literal(literal) => **literal == *name,
            Glob::Tokens(tokens) => matches_tokens(tokens, name),
        }
    }
}

/// The rest of a class behind its `[`.
fn parse_class(rest: &mut &[u8]) -> Result<Token, &'static str> {
    const OPEN: &str = "'[' without ']'";
    let mut negated = false;
    if let Some(after) = rest.strip_prefix(b"!").or_else(|| rest.strip_prefix(b"^")) {
        negated = true;
        *rest = after;
    }
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    loop {
        let (unit, len) = next_unit(rest).ok_or(OPEN)?;
        // A `]` in first place stands for itself.
        if unit == u32::from(b']') && !ranges.is_empty() {
            *rest = rest.get(len..).unwrap_or_default();
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_member(rest).ok_or(OPEN)?;
        let is_range = rest.first() == Some(&b'-') && rest.get(1).is_some_and(|&b| b != b']');
        let high = if is_range {
            *rest = rest.get(1..).unwrap_or_default();
            class_member(rest).ok_or(OPEN)?
        } else {
            low
        };
        if high < low {
            return Err("a range in '[]' runs backwards");
        }
        ranges.push((low, high));
    }
}

/// Takes one character of a class, with `\` quoting the next.
fn class_member(rest: &mut &[u8]) -> Option<u32> {
    let (mut unit, len) = next_unit(rest)?;
    *rest = rest.get(len..)?;
    if unit == u32::from(b'\\') {
        let (quoted, len) = next_unit(rest)?;
        *rest = rest.get(len..)?;
        unit = quoted;
    }
    Some(unit)
}

impl Token {
    /// Whether this token, not being a run, takes the character.
    pub(super) fn takes(&self, unit: u32) -> bool {
        match self {
            Token::Unit(own) => *own == unit,
            Token::One => true,
            Token::Run => false,
            Token::Class { negated, ranges } => {
                ranges
                    .iter()
                    .any(|&(low, high)| (low..=high).contains(&unit))
                    != *negated
            }
        }
    }
}

/// Only the last run met needs to be tried again longer: what an earlier run could still do, the last can too.
fn matches_tokens(tokens: &[Token], name: &[u8]) -> bool {
    let mut pattern = tokens;
    let mut text = name;
    let mut retry: Option<(&[Token], &[u8])> = None;
    loop {
        match (pattern.split_first(), next_unit(text)) {
            (None, None) => return true,
            (Some((Token::Run, after)), _) => {
                pattern = after;
                retry = Some((after, text));
                continue;
            }
            (Some((token, after)), Some((unit, len))) if token.takes(unit) => {
                pattern = after;
                text = text.get(len..).unwrap_or_default();
                continue;
            }
            _ => {}
        }
        let Some((after_run, from)) = retry else {
            return false;
        };
        let Some((_, len)) = next_unit(from) else {
            return false;
        };
        let shorter = from.get(len..).unwrap_or_default();
        pattern = after_run;
        text = shorter;
        retry = Some((after_run, shorter));
    }
}

/// For the tests: the characters of a name as they are compared.
#[cfg(test)]
pub(super) fn units(mut bytes: &[u8]) -> Vec<u32> {
    let mut out = Vec::new();
    while let Some((unit, len)) = next_unit(bytes) {
        out.push(unit);
        bytes = bytes.split_at(len).1;
    }
    out
}
