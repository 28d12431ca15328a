//! Places that others need.

use std::time::{Duration, Instant};

use packnback_node::net::NetHandle;
use packnback_proto::ids::NodeId;
use packnback_proto::record::Op;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::super::attacker::Talk;
use super::super::tried::{Outcome, Tried};
use super::peer::{Friend, answer};
use super::scheme::{Played, nothing_held, schemes};

/// Identities it names as hosts of its owner.
const IDENTITIES: usize = 96;
/// Identities that come in by its recovery keys.
const RECOVERIES: usize = 16;
/// Streams each of them holds open.
const STREAMS: usize = 4;
/// Connections of who says nothing: more than a host has places for strangers.
const SOCKETS: usize = 256;
/// Longest time for one identity to come in.
const COME_IN: Duration = Duration::from_secs(4);
/// The crowd has this long to come in.
const LONGEST: Duration = Duration::from_secs(60);

schemes! {
    "many-identities", "name 96 of its own keys as hosts and 16 as recovery keys, and hold sessions under each", many_identities;
    "silent-sockets", "hold 256 connections open on which nothing is ever said", silent_sockets;
}

/// What one identity holds.
struct Held {
    net: NetHandle,
    _talks: Vec<Talk>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let net = self.net.clone();
        tokio::spawn(async move { net.shutdown().await });
    }
}

async fn many_identities(friend: &Friend) -> Played {
    match come_in(friend).await {
        Ok((outcome, held)) => (Ok(outcome), Box::new(held)),
        Err(error) => nothing_held(Err(error)),
    }
}

async fn come_in(friend: &Friend) -> Result<(Tried, Vec<Held>), String> {
    let hosts: Vec<_> = (0..IDENTITIES).map(|_| friend.fresh_key()).collect();
    let recoveries: Vec<_> = (0..RECOVERIES).map(|_| friend.fresh_key()).collect();
    let mut ids: Vec<NodeId> = hosts.iter().map(|key| key.node_id()).collect();
    ids.push(friend.host.host);
    ids.sort_unstable();
    let mut talk = friend.session().await?;
    let hseq = friend.fresh();
    let envelope = friend.order(Op::Hosts { hseq, hosts: ids })?;
    let listed = answer(&mut talk, &StoreRequest::Order { envelope }, &[]).await?;
    let listed = listed.map_or_else(|e| e.to_string(), |_| "taken".to_owned());
    drop(talk);
    for key in &recoveries {
        let cert = friend.cert_of(&friend.owner, key.node_id())?;
        drop(friend.open_with(cert).await);
    }
    friend.renew_cert()?;
    let (mut held, mut sessions) = (Vec::new(), 0usize);
    let started = Instant::now();
    for key in hosts.iter().chain(&recoveries) {
        if started.elapsed() > LONGEST {
            break;
        }
        let net = friend.as_another(key).await?;
        let mut talks = Vec::new();
        for _ in 0..STREAMS {
            match tokio::time::timeout(COME_IN, friend.greet_over(&net)).await {
                Ok(Ok(talk)) => talks.push(talk),
                _ => break,
            }
        }
        sessions = sessions.saturating_add(talks.len());
        if talks.is_empty() {
            net.shutdown().await;
            continue;
        }
        held.push(Held { net, _talks: talks });
    }
    let told = format!(
        "the list of hosts was {listed}; {} identities came in and hold {sessions} streams",
        held.len()
    );
    Ok((Tried::Allowed(told), held))
}

async fn silent_sockets(friend: &Friend) -> Played {
    let mut held = Vec::new();
    for number in 0..SOCKETS {
        let connect = TcpStream::connect(friend.spec.socket.as_str());
        let Ok(Ok(mut socket)) = tokio::time::timeout(COME_IN, connect).await else {
            break;
        };
        // Every second one begins to speak, and stops in the middle of a word.
        if number % 2 == 1 && socket.write_all(b"\x13/multistream/1.0").await.is_err() {
            continue;
        }
        held.push(socket);
    }
    let outcome: Outcome = Ok(Tried::Allowed(format!(
        "{} connections are held",
        held.len()
    )));
    (outcome, Box::new(held))
}

/// Whether a session still gives answers.
pub(super) async fn is_alive(talk: &mut Talk) -> bool {
    matches!(
        answer(talk, &StoreRequest::Sync, &[]).await,
        Ok(Ok((StoreReply::Synced { .. }, _)))
    )
}
