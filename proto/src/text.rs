//! Text of others: names, errors, labels, addresses, reasons.
//!
//! What another node, another person or another machine says ends up on a terminal and in a log. There
//! an escape sequence repaints the screen, a line break forges a line, a mark of direction turns a name
//! round, and a megabyte buries the rest. So every message that carries such text carries a [`Text`] (or
//! [`Addrs`]): cleaned and cut where it is decoded, once, before anything else sees it.

use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::limits::{PEER_ADDR_LEN_MAX, PEER_ADDRS_MAX};

/// Longest text kept, in characters.
pub const TEXT_MAX: usize = 1024;

/// Most addresses kept of one list: more than are used, because the receiver drops those that lead nowhere.
pub const ADDRS_TOLD_MAX: usize = 4 * PEER_ADDRS_MAX;

/// Whether a character does more than stand where it is: it moves the cursor, ends the line, hides, or
/// changes the order or the look of what stands around it.
#[must_use]
pub fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Text fit to be shown on one line: what ends a line becomes a space, everything else that is unfit goes,
/// and of long text the first `max` characters stay.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let shown = text.chars().filter_map(|c| match c {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if is_unfit(c) => None,
        c => Some(c),
    });
    let mut out = String::with_capacity(text.len().min(4 * max));
    for (count, c) in shown.enumerate() {
        if count == max {
            out.pop();
            out.push('\u{2026}');
            break;
        }
        out.push(c);
    }
    let trimmed = out.trim();
    if trimmed.len() == out.len() {
        out
    } else {
        trimmed.to_owned()
    }
}

/// Text of somebody else, fit to be shown: see the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(String);

impl Text {
    /// Cleans and cuts.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(clean(text, TEXT_MAX))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::new(text))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(TextVisitor)
    }
}

/// Whether a text can be the address of a node: visible ASCII, not too long. A name in it may hold anything
/// by the rules of multiaddresses, so this is asked before one is parsed.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.len() <= PEER_ADDR_LEN_MAX
        && text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Addresses that somebody else tells: those that [can be](is_address) addresses, not too many.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Addrs(Vec<String>);

impl Addrs {
    /// The addresses.
    #[must_use]
    pub fn into_vec(self) -> Vec<String> {
        self.0
    }
}

impl Deref for Addrs {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl From<Vec<String>> for Addrs {
    fn from(mut addrs: Vec<String>) -> Self {
        addrs.retain(|addr| is_address(addr));
        addrs.truncate(ADDRS_TOLD_MAX);
        Self(addrs)
    }
}

impl<'de> Deserialize<'de> for Addrs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(d).map(Self::from)
    }
}

/// For `#[serde(deserialize_with)]` of a field that the local node fills with what others said.
///
/// # Errors
/// If it is no text.
pub fn cleaned<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Text::deserialize(d).map(String::from)
}

/// As [`cleaned`], for a text that may be missing.
///
/// # Errors
/// If it is no text.
pub fn cleaned_option<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Option::<Text>::deserialize(d).map(|text| text.map(String::from))
}

/// As [`cleaned`], for a list.
///
/// # Errors
/// If it is no list of texts.
pub fn cleaned_list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Vec::<Text>::deserialize(d).map(|list| list.into_iter().map(String::from).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ErrorCode;
    use crate::wire::frame;
    use crate::wire::invite::InviteRequest;
    use crate::wire::store::{StoreReply, StoreRequest};

    #[test]
    fn n29_what_moves_hides_or_turns_is_taken_out() {
        for (said, shown) in [
            (
                "Anna's NAS (im Keller) \u{fc}\u{4e2d}",
                "Anna's NAS (im Keller) \u{fc}\u{4e2d}",
            ),
            ("a\u{1b}[31mred\u{1b}[0m", "a[31mred[0m"),
            ("\u{1b}]0;title\u{7}x", "]0;titlex"),
            ("\u{9b}2J gone", "2J gone"),
            (
                "one\r\n2026-11-26 INFO forged",
                "one  2026-11-26 INFO forged",
            ),
            ("one\u{2028}two\u{85}three", "one two three"),
            ("gpj\u{202e}exe.\u{2066}x\u{2069}", "gpjexe.x"),
            ("in\u{200b}vis\u{feff}ible\u{e0041}", "invisible"),
            ("\0 \u{8}\u{7f}", ""),
        ] {
            assert_eq!(clean(said, TEXT_MAX), shown, "{said:?}");
        }
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcde\u{2026}");
    }

    #[test]
    fn n29_addresses_are_visible_ascii() {
        let good = "/dns4/host.example/udp/4117/quic-v1".to_owned();
        let bad = [
            "/dns4/a\u{1b}[2Jb/tcp/1".to_owned(),
            "/dns4/a\nb/tcp/1".to_owned(),
            "/dns4/\u{202e}moc/tcp/1".to_owned(),
            "host:1".to_owned(),
            format!("/dns4/{}/tcp/1", "x".repeat(PEER_ADDR_LEN_MAX)),
        ];
        let told: Vec<String> = bad.into_iter().chain([good.clone()]).collect();
        assert_eq!(Addrs::from(told).into_vec(), std::slice::from_ref(&good));
        assert_eq!(Addrs::from(vec![good; 1000]).len(), ADDRS_TOLD_MAX);
    }

    /// What a hostile node sends: it does not clean.
    #[derive(Serialize)]
    enum Raw<'a> {
        Refused {
            code: ErrorCode,
            message: &'a str,
            id: Option<crate::ids::ObjectId>,
        },
        Claim {
            real: crate::ids::NodeId,
            signature: crate::wire::Bytes,
            name: &'a str,
            addrs: Vec<&'a str>,
            quota: u64,
        },
        HostAddrs {
            hosts: Vec<(crate::ids::NodeId, Vec<&'a str>)>,
        },
    }

    fn sent<T: de::DeserializeOwned>(message: &Raw<'_>) -> T {
        frame::decode(&serde_cbor::to_vec(message).unwrap()).unwrap()
    }

    const HOSTILE: &str = "x\u{1b}[2J\nnode is ready\u{202e}";

    #[test]
    fn n29_messages_of_other_nodes_are_cleaned_where_they_are_decoded() {
        let (node, code) = (crate::ids::NodeId([1; 32]), ErrorCode::Busy);
        let refused = Raw::Refused {
            code,
            message: HOSTILE,
            id: None,
        };
        let StoreReply::Refused { message, .. } = sent(&refused) else {
            unreachable!("it is a refusal")
        };
        assert_eq!(message, "x[2J node is ready");
        let claim = Raw::Claim {
            real: node,
            signature: crate::wire::Bytes(Vec::new()),
            name: HOSTILE,
            addrs: vec![HOSTILE, "/ip4/192.0.2.1/tcp/1", "/dns4/a\u{1b}b/tcp/1"],
            quota: 1,
        };
        let InviteRequest::Claim { name, addrs, .. } = sent(&claim) else {
            unreachable!("it is a claim")
        };
        assert_eq!(name, "x[2J node is ready");
        assert_eq!(addrs.into_vec(), ["/ip4/192.0.2.1/tcp/1"]);
        let hosts = vec![(node, vec!["/dns4/a\u{7}/tcp/1", "/ip4/192.0.2.1/tcp/1"])];
        let StoreRequest::HostAddrs { hosts } = sent(&Raw::HostAddrs { hosts }) else {
            unreachable!("it is a list of addresses")
        };
        assert_eq!(hosts.first().unwrap().1.len(), 1);
        // What is no message is named in an error.
        let unknown = serde_cbor::to_vec(&"Be\u{1b}[2J\u{202e}").unwrap();
        let error = frame::decode::<StoreReply>(&unknown)
            .unwrap_err()
            .to_string();
        assert!(!error.chars().any(is_unfit), "{error:?}");
    }

    proptest! {
        #[test]
        fn n29_whatever_comes_one_short_line_is_left(said in any::<String>(), max in 1..100_usize) {
            let shown = clean(&said, max);
            prop_assert!(shown.chars().count() <= max);
            prop_assert!(!shown.chars().any(is_unfit));
            prop_assert_eq!(clean(&shown, max), shown);
        }
    }
}
