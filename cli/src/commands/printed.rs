//! What the last printed recovery sheet says of the friends: so that `status` tells when it is out of
//! date. Addresses only, nothing of the key.

use packnback_proto::ids::NodeId;
use packnback_proto::wire::Role;
use packnback_proto::wire::local::PeerInfo;

use crate::commands::Context;
use crate::commands::peer::{dial_addresses, display_name};
use crate::files::{Existing, read_small, write_private};
use crate::home::Home;
use crate::peer_addr::complete;

const FILE: &str = "printed-sheet";
const LEN_MAX: u64 = 256 * 1024;

/// A friend as a sheet names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnSheet {
    /// Its name.
    pub name: String,
    /// Complete addresses, the useful ones first.
    pub addresses: Vec<String>,
}

/// The friends as a sheet printed now would name them.
#[must_use]
pub fn friends(peers: &[PeerInfo]) -> Vec<OnSheet> {
    let friends = peers.iter().filter(|peer| peer.role == Role::Friend);
    friends
        .map(|peer| OnSheet {
            name: display_name(peer),
            addresses: whole(&dial_addresses(peer), &peer.node),
        })
        .collect()
}

fn whole(addresses: &[String], node: &NodeId) -> Vec<String> {
    addresses.iter().map(|addr| complete(addr, node)).collect()
}

/// Notes what was printed. That it cannot be noted keeps nobody from the sheet.
pub fn note(context: &Context, friends: &[OnSheet]) {
    if !context.home.bundle().exists() {
        return;
    }
    let lines: Vec<String> = friends
        .iter()
        .flat_map(|friend| friend.addresses.iter().cloned())
        .collect();
    let path = context.home.config_dir().join(FILE);
    let mut text = lines.join("\n");
    text.push('\n');
    if let Err(error) = write_private(&path, text.as_bytes(), Existing::Replace) {
        context.voice.note(&format!(
            "note: it cannot be noted what was printed ({error}): status will not tell when the sheet is out of date."
        ));
    }
}

/// What is wrong with the sheet printed last: friends it does not reach. Empty: nothing, or no sheet
/// was printed from this home.
#[must_use]
pub fn out_of_date(home: &Home, peers: &[PeerInfo]) -> Vec<String> {
    let Ok(bytes) = read_small(&home.config_dir().join(FILE), LEN_MAX) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&bytes);
    let printed: Vec<&str> = text.lines().collect();
    unreached(&printed, &friends(&as_they_are(peers)))
}

/// The friends with the places where they are now, without those where they were found before.
fn as_they_are(peers: &[PeerInfo]) -> Vec<PeerInfo> {
    let mut peers = peers.to_vec();
    for peer in peers.iter_mut().filter(|peer| peer.fresh > 0) {
        let fresh = usize::try_from(peer.fresh).unwrap_or(usize::MAX);
        peer.addrs.truncate(fresh);
    }
    peers
}

fn unreached(printed: &[&str], friends: &[OnSheet]) -> Vec<String> {
    friends
        .iter()
        .filter(|friend| !friend.addresses.is_empty())
        .filter(|friend| {
            let mut known = friend.addresses.iter();
            !known.any(|addr| printed.contains(&addr.as_str()))
        })
        .map(|friend| friend.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_friend_was_before_is_not_where_it_is() {
        let (new, old) = ("/ip4/192.0.2.9/tcp/1/p2p/x", "/ip4/192.0.2.1/tcp/1/p2p/x");
        let peer = |fresh| PeerInfo {
            node: NodeId([1; 32]),
            name: "ann".into(),
            role: Role::Friend,
            addrs: vec![new.into(), old.into()],
            connected: true,
            quota_given: 1,
            used_given: 0,
            quota_taken: 1,
            owner: None,
            last_seen: None,
            last_error: None,
            fresh,
            added: 0,
            ended: None,
            refusal: None,
        };
        let said =
            |printed: &str, fresh| unreached(&[printed], &friends(&as_they_are(&[peer(fresh)])));
        assert_eq!(said(old, 1), ["ann"]);
        assert!(said(new, 1).is_empty());
        assert!(said(old, 2).is_empty());
        // Of a friend that has not said where it is, all that is known counts.
        assert!(said(old, 0).is_empty());
    }

    #[test]
    fn a_friend_with_none_of_its_printed_addresses_makes_the_sheet_old() {
        let friend = |name: &str, addresses: &[&str]| OnSheet {
            name: name.into(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
        };
        let printed = ["/ip4/192.0.2.1/tcp/1/p2p/x"];
        let same = friend("ann", &["/ip4/192.0.2.9/tcp/1/p2p/x", printed[0]]);
        let moved = friend("bob", &["/ip4/192.0.2.9/tcp/1/p2p/y"]);
        let unknown = friend("eve", &[]);
        let all = [same, moved, unknown];
        assert_eq!(unreached(&printed, &all), ["bob"]);
        assert_eq!(unreached(&[], &all), ["ann", "bob"]);
    }
}
