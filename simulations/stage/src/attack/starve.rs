//! Taking what other devices need: places for conversations.

use std::time::Duration;

use packnback_node::net::{NetHandle, PeerStream, Protocol};
use packnback_node::replicate::StoreClient;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::AsyncWriteExt as _;

use super::attacker::{Attacker, Talk, Target, connect_as};
use super::tried::{Outcome, Tried, attacks, judge};

/// Connections under the same identity, so that no limit of one connection is reached.
const CONNECTIONS: usize = 5;
/// Sessions tried over each: in all more than a host serves at once, over all peers.
const SESSIONS: usize = 20;
/// Streams over each connection on which a message is begun and never finished.
const HALF_SAID: usize = 58;
/// A host that leaves a stream waiting this long has no place for it.
const PATIENCE: Duration = Duration::from_secs(3);

attacks! {
    "many-sessions", "hold open as many sessions as the host gives, while the other device backs up", many_sessions;
}

/// What the attacker holds open over one connection. Dropped, it is over.
struct Held {
    _net: NetHandle,
    sessions: Vec<Talk>,
    half_said: Vec<PeerStream>,
    /// Why there are no more sessions.
    refused: Option<Tried>,
}

/// Opens a session; an error says why there is none.
async fn one_session(a: &Attacker, net: &NetHandle, t: &Target) -> Result<Talk, Tried> {
    let open = async {
        let opened = net.open(t.host, &t.addrs, Protocol::Store).await;
        let stream = opened.map_err(|e| Tried::Refused(e.to_string()))?.stream;
        let greeted = StoreClient::hello(stream, &t.host).await;
        let (mut talk, _) = greeted.map_err(|e| Tried::Refused(e.to_string()))?;
        let cert = a.cert.envelope().into();
        match talk
            .ask(&StoreRequest::Open { cert, base: None }, &[])
            .await
        {
            Ok((StoreReply::Opened { .. }, _)) => Ok(talk),
            other => Err(judge(other).unwrap_or_else(Tried::Refused)),
        }
    };
    match tokio::time::timeout(PATIENCE, open).await {
        Ok(done) => done,
        Err(_) => Err(Tried::Refused("no answer: it has to wait".to_owned())),
    }
}

/// Begins a frame and says no more.
async fn half_said(net: &NetHandle, t: &Target) -> Option<PeerStream> {
    let open = net.open(t.host, &t.addrs, Protocol::Store);
    let opened = tokio::time::timeout(PATIENCE, open).await.ok()?.ok()?;
    let mut stream = opened.stream;
    // A header of a hundred bytes and the largest body, of which nothing follows.
    let head = [&100u32.to_le_bytes()[..], &(5u32 << 20).to_le_bytes()[..]].concat();
    stream.write_all(&head).await.ok()?;
    stream.flush().await.ok()?;
    Some(stream)
}

async fn grab(a: &Attacker, t: &Target) -> Result<Held, String> {
    let net = connect_as(&a.key.seed(), &a.spec.hosts).await;
    let net = net.map_err(|e| format!("{e:#}"))?;
    let (mut sessions, mut refused) = (Vec::new(), None);
    while sessions.len() < SESSIONS && refused.is_none() {
        match one_session(a, &net, t).await {
            Ok(talk) => sessions.push(talk),
            Err(tried) => refused = Some(tried),
        }
    }
    let mut half = Vec::new();
    while half.len() < HALF_SAID
        && let Some(stream) = half_said(&net, t).await
    {
        half.push(stream);
    }
    Ok(Held {
        _net: net,
        sessions,
        half_said: half,
        refused,
    })
}

/// Tells the drill that all are held, and holds them until it has seen what it wanted to see.
pub(super) async fn hold(what: &str) -> Result<(), String> {
    let told = packnback_sys::say::line(&serde_json::json!({ "holding": what }).to_string());
    told.map_err(|e| e.to_string())?;
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let read = read.await.map_err(|e| e.to_string())?;
    read.map(|_| ()).map_err(|e| e.to_string())
}

fn told(held: &[Held]) -> String {
    let sessions: usize = held.iter().map(|one| one.sessions.len()).sum();
    let half: usize = held.iter().map(|one| one.half_said.len()).sum();
    format!("{sessions} sessions and {half} half messages over {CONNECTIONS} connections")
}

async fn many_sessions(a: &Attacker, t: &Target) -> Outcome {
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        held.push(grab(a, t).await?);
    }
    let what = told(&held);
    hold(&what).await?;
    let refused = held.into_iter().find_map(|held| held.refused);
    Ok(match refused {
        Some(Tried::Refused(text)) => Tried::Refused(format!("{what}, then: {text}")),
        Some(other) => other,
        None => Tried::Allowed(format!(
            "{what} were held; the other device's backup went through meanwhile (checked)"
        )),
    })
}
