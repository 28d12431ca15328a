//! Invites: short, complete, and refused when changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use proptest::prelude::*;

use super::*;

fn token(addrs: &[&str], name: &str) -> InviteToken {
    InviteToken {
        inviter: NodeId([7; 32]),
        name: name.to_owned(),
        addrs: addrs.iter().map(ToString::to_string).collect(),
        expires: 1_900_000_000,
        quota: 200 << 30,
        secret: InviteSecret::new([9; 16]),
    }
}

fn addrs_of(text: &str) -> Vec<String> {
    InviteToken::from_text(text).unwrap().addrs
}

#[test]
fn an_invite_comes_back_and_is_short() {
    let addrs = [
        "/ip4/203.0.113.7/udp/4117/quic-v1",
        "/ip4/203.0.113.7/tcp/4117",
        "/ip6/2001:db8::1/udp/4117/quic-v1",
        "/ip6/2001:db8::1/tcp/4117",
    ];
    let text = token(&addrs, "anna").to_text().unwrap();
    assert!(text.len() < 200, "{} characters", text.len());
    let back = InviteToken::from_text(&format!(" {}\n{} ", &text[..30], &text[30..])).unwrap();
    assert_eq!(back.addrs, addrs);
    assert_eq!((back.name.as_str(), back.quota), ("anna", 200 << 30));
    assert_eq!(
        (back.inviter, back.expires),
        (NodeId([7; 32]), 1_900_000_000)
    );
    assert_eq!(
        back.secret.guest_seed().expose(),
        InviteSecret::new([9; 16]).guest_seed().expose()
    );
}

#[test]
fn every_form_of_address_comes_back() {
    for addr in [
        "/dns/host.example/tcp/1",
        "/dns4/host.example/udp/65535/quic-v1",
        "/dns6/host.example/tcp/4117",
        "/ip4/1.2.3.4/tcp/80/ws",
        "/memory/7",
    ] {
        let text = token(&[addr], "").to_text().unwrap();
        assert_eq!(addrs_of(&text), [addr]);
    }
}

#[test]
fn an_invite_stays_short_and_keeps_the_first_addresses() {
    let addrs: Vec<String> = (1..40)
        .flat_map(|n| {
            [
                format!("/ip6/2001:db8::{n}/tcp/4117"),
                format!("/ip4/203.0.113.{n}/tcp/{n}"),
            ]
        })
        .collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let text = token(&addrs, "a name that is too long \u{1f512}\u{1f512}")
        .to_text()
        .unwrap();
    assert!(text.len() < 200, "{} characters", text.len());
    let back = addrs_of(&text);
    assert!(back.len() >= 2);
    assert_eq!(back[..2], addrs[..2]);
    assert!(token(&[], "").to_text().is_err());
}

#[test]
fn a_quota_is_never_promised_larger() {
    for quota in [
        0,
        1,
        65_535,
        65_536,
        65_537,
        100 << 30,
        u64::MAX,
        (1 << 40) + 1,
    ] {
        let text = InviteToken {
            quota,
            ..token(&["/ip4/1.2.3.4/tcp/1"], "")
        }
        .to_text()
        .unwrap();
        let back = InviteToken::from_text(&text).unwrap().quota;
        assert!(
            back <= quota && back >= quota - quota / 32_768,
            "{quota} {back}"
        );
    }
}

#[test]
fn a_changed_invite_is_refused() {
    let text = token(&["/ip4/1.2.3.4/tcp/1"], "x").to_text().unwrap();
    for at in TOKEN_PREFIX.len()..text.len() {
        let other = if text.as_bytes().get(at) == Some(&b'a') {
            "b"
        } else {
            "a"
        };
        let mut changed = text.clone();
        changed.replace_range(at..=at, other);
        assert_eq!(
            InviteToken::from_text(&changed).unwrap_err(),
            TokenError::Damaged,
            "{at}"
        );
    }
    assert_eq!(
        InviteToken::from_text("hello").unwrap_err(),
        TokenError::Prefix
    );
    assert_eq!(
        InviteToken::from_text(&text[..text.len() - 3]).unwrap_err(),
        TokenError::Damaged
    );
    // Another version is named, not taken for damage.
    let mut bytes = vec![0xa6, 1, 2, 3];
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..4]);
    let text = format!(
        "{TOKEN_PREFIX}{}",
        data_encoding::BASE32_NOPAD
            .encode(&bytes)
            .to_ascii_lowercase()
    );
    assert_eq!(
        InviteToken::from_text(&text).unwrap_err(),
        TokenError::Version(0xa6)
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = TOKEN_VERSION;
        }
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..4]);
        let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        drop(InviteToken::from_text(&format!("{TOKEN_PREFIX}{text}")));
    }
}
