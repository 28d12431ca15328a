//! The text of an invite: short enough to be sent in one line of a chat.
//!
//! `pnb-invite-` and base32 (lower case, no padding) of
//!
//! ```text
//! u8 version (2) | inviter 32 | secret 16 | u32 LE expires | u8 shift, u16 LE factor (quota = factor << shift)
//! u8 length | name | addresses ... | first 4 bytes of the BLAKE3 of all before
//! ```
//! An address is `u8 kind and transports | host | u16 LE port`; a host that can be dialled over TCP and QUIC at one
//! port is one address. At most [`TOKEN_TEXT_MAX`] characters: addresses that do not fit are left out, from the end.

use core::net::{Ipv4Addr, Ipv6Addr};

use zeroize::{Zeroize as _, Zeroizing};

use super::SecretBytes;
use crate::ids::NodeId;
use crate::limits::{PEER_ADDR_LEN_MAX, PEER_ADDRS_MAX};

/// Version of the text.
pub const TOKEN_VERSION: u8 = 2;
/// Text in front of an invite.
pub const TOKEN_PREFIX: &str = "pnb-invite-";
/// Longest invite made, in characters.
pub const TOKEN_TEXT_MAX: usize = 199;

const SECRET_LEN: usize = 16;
const CHECK_LEN: usize = 4;
/// Longest name that travels in an invite, in bytes.
const NAME_LEN_MAX: usize = 16;
/// Bytes that fit into the longest text: five bits a character.
const BYTES_MAX: usize = (TOKEN_TEXT_MAX - TOKEN_PREFIX.len()) * 5 / 8;
const GUEST_CONTEXT: &str = "packnback 2026 guest key of an invite";

const TCP: u8 = 0x08;
const QUIC: u8 = 0x10;
const KIND: u8 = 0x07;

/// What the guest key of an invite is made from. Whoever has it may become a friend, once.
#[derive(Clone)]
pub struct InviteSecret([u8; SECRET_LEN]);

impl InviteSecret {
    /// From bytes nobody can guess.
    #[must_use]
    pub const fn new(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// Seed of the Ed25519 guest key.
    #[must_use]
    pub fn guest_seed(&self) -> SecretBytes {
        SecretBytes::new(blake3::derive_key(GUEST_CONTEXT, &self.0))
    }
}

impl Drop for InviteSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InviteSecret(..)")
    }
}

/// What an invite says. Travels as text from one person to another: see [`InviteToken::to_text`].
#[derive(Debug)]
pub struct InviteToken {
    /// Who invites.
    pub inviter: NodeId,
    /// What it calls itself; may be empty.
    pub name: String,
    /// Where to reach it: multiaddresses, the best first.
    pub addrs: Vec<String>,
    /// Unix seconds after which it is void.
    pub expires: u64,
    /// Bytes the inviter offers to store.
    pub quota: u64,
    /// Makes the guest key.
    pub secret: InviteSecret,
}

/// A text is not an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not start like one.
    #[error("this is not a packnback invite: it must start with {TOKEN_PREFIX}")]
    Prefix,
    /// Characters are missing or wrong.
    #[error("the invite is damaged: copy it again, complete and unchanged")]
    Damaged,
    /// Made by another version.
    #[error(
        "the invite was made by another version of packnback (format {0}): use the same version on both sides"
    )]
    Version(u8),
}

/// What one address names, but for the port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host<'a> {
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
    /// Kind and name.
    Name(u8, &'a str),
}

/// A host, a port, and the transports there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place<'a> {
    host: Host<'a>,
    port: u16,
    transports: u8,
}

const NAMES: [(u8, &str); 3] = [(3, "dns"), (5, "dns4"), (6, "dns6")];
/// Anything else, as text.
const OTHER: u8 = 4;

impl<'a> Place<'a> {
    /// `None`: nothing this form has a place for.
    fn parse(addr: &'a str) -> Option<Self> {
        let mut parts = addr.strip_prefix('/')?.split('/');
        let (kind, host, via, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let host = match kind {
            "ip4" => Host::Ip4(host.parse().ok()?),
            "ip6" => Host::Ip6(host.parse().ok()?),
            other => {
                let (kind, _) = NAMES.iter().find(|(_, name)| *name == other)?;
                u8::try_from(host.len()).ok()?;
                Host::Name(*kind, host)
            }
        };
        let transports = match (via, parts.next(), parts.next()) {
            ("tcp", None, None) => TCP,
            ("udp", Some("quic-v1"), None) => QUIC,
            _ => return None,
        };
        Some(Self {
            host,
            port: port.parse().ok()?,
            transports,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        match &self.host {
            Host::Ip4(ip) => {
                out.push(1 | self.transports);
                out.extend_from_slice(&ip.octets());
            }
            Host::Ip6(ip) => {
                out.push(2 | self.transports);
                out.extend_from_slice(&ip.octets());
            }
            Host::Name(kind, name) => {
                out.push(kind | self.transports);
                out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(name.as_bytes());
            }
        }
        out.extend_from_slice(&self.port.to_le_bytes());
    }
}

/// Each address as bytes, those that differ in the transport alone as one.
fn places(addrs: &[String]) -> Vec<Vec<u8>> {
    let mut known: Vec<Place<'_>> = Vec::new();
    let mut others: Vec<Vec<u8>> = Vec::new();
    for addr in addrs {
        let Some(place) = Place::parse(addr) else {
            if let Ok(len) = u8::try_from(addr.len()) {
                others.push([&[OTHER, len], addr.as_bytes()].concat());
            }
            continue;
        };
        let same = known
            .iter_mut()
            .find(|other| other.host == place.host && other.port == place.port);
        match same {
            Some(other) => other.transports |= place.transports,
            None => known.push(place),
        }
    }
    let bytes = known.iter().map(|place| {
        let mut out = Vec::new();
        place.write(&mut out);
        out
    });
    bytes.chain(others).collect()
}

/// Reads from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TokenError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(TokenError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(TokenError::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8, TokenError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn text(&mut self) -> Result<&'a str, TokenError> {
        let len = self.byte()?;
        std::str::from_utf8(self.take(len.into())?).map_err(|_| TokenError::Damaged)
    }

    /// The texts of one address.
    fn address(&mut self) -> Result<Vec<String>, TokenError> {
        let tag = self.byte()?;
        let host = match tag & KIND {
            1 => format!("/ip4/{}", Ipv4Addr::from(self.array::<4>()?)),
            2 => format!("/ip6/{}", Ipv6Addr::from(self.array::<16>()?)),
            OTHER => return Ok(vec![self.text()?.to_owned()]),
            kind => {
                let known = NAMES.iter().find(|(known, _)| *known == kind);
                let (_, name) = known.ok_or(TokenError::Damaged)?;
                format!("/{name}/{}", self.text()?)
            }
        };
        let port = u16::from_le_bytes(self.array()?);
        let mut texts = Vec::new();
        if tag & QUIC != 0 {
            texts.push(format!("{host}/udp/{port}/quic-v1"));
        }
        if tag & TCP != 0 {
            texts.push(format!("{host}/tcp/{port}"));
        }
        Ok(texts)
    }
}

fn write_quota(quota: u64, out: &mut Vec<u8>) {
    // What does not fit is rounded down: no more is promised than was offered.
    let shift = (u64::BITS - quota.leading_zeros()).saturating_sub(u16::BITS);
    let factor = u16::try_from(quota >> shift).unwrap_or(u16::MAX);
    out.push(u8::try_from(shift).unwrap_or_default());
    out.extend_from_slice(&factor.to_le_bytes());
}

fn shortened(name: &str) -> &str {
    let mut end = name.len().min(NAME_LEN_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

impl InviteToken {
    /// As text, see the module.
    ///
    /// # Errors
    /// [`TokenError::Damaged`] if it has no address or an expiry that cannot be written.
    pub fn to_text(&self) -> Result<String, TokenError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX));
        bytes.push(TOKEN_VERSION);
        bytes.extend_from_slice(self.inviter.as_bytes());
        bytes.extend_from_slice(&self.secret.0);
        let expires = u32::try_from(self.expires).map_err(|_| TokenError::Damaged)?;
        bytes.extend_from_slice(&expires.to_le_bytes());
        write_quota(self.quota, &mut bytes);
        let name = shortened(&self.name);
        bytes.push(u8::try_from(name.len()).map_err(|_| TokenError::Damaged)?);
        bytes.extend_from_slice(name.as_bytes());
        let before = bytes.len();
        for place in places(&self.addrs) {
            if bytes
                .len()
                .saturating_add(place.len())
                .saturating_add(CHECK_LEN)
                <= BYTES_MAX
            {
                bytes.extend_from_slice(&place);
            }
        }
        if bytes.len() == before {
            return Err(TokenError::Damaged);
        }
        let check = blake3::hash(&bytes);
        bytes.extend(check.as_bytes().iter().take(CHECK_LEN));
        let text = data_encoding::BASE32_NOPAD
            .encode(&bytes)
            .to_ascii_lowercase();
        Ok(format!("{TOKEN_PREFIX}{text}"))
    }

    /// From text; white space around and inside is ignored.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
        let code = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::Prefix)?;
        let code = Zeroizing::new(code.to_ascii_uppercase());
        let bytes = data_encoding::BASE32_NOPAD.decode(code.as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| TokenError::Damaged)?);
        let (body, check) = bytes
            .split_last_chunk::<CHECK_LEN>()
            .ok_or(TokenError::Damaged)?;
        if !blake3::hash(body).as_bytes().starts_with(check) {
            return Err(TokenError::Damaged);
        }
        let mut input = Input(body);
        match input.byte()? {
            TOKEN_VERSION => {}
            other => return Err(TokenError::Version(other)),
        }
        let inviter = NodeId(input.array()?);
        let secret = InviteSecret(input.array()?);
        let expires = u32::from_le_bytes(input.array()?).into();
        let (shift, factor) = (input.byte()?, u16::from_le_bytes(input.array()?));
        let quota = u64::from(factor)
            .checked_shl(shift.into())
            .ok_or(TokenError::Damaged)?;
        let name = input.text()?.to_owned();
        let mut addrs = Vec::new();
        while !input.0.is_empty() && addrs.len() < PEER_ADDRS_MAX {
            addrs.extend(
                input
                    .address()?
                    .into_iter()
                    .filter(|addr| addr.len() <= PEER_ADDR_LEN_MAX),
            );
        }
        Ok(Self {
            inviter,
            name,
            addrs,
            expires,
            quota,
            secret,
        })
    }
}

#[cfg(test)]
mod tests;
