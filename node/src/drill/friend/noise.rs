//! Lines in the log, and characters that are not text.

use std::time::{Duration, Instant};

use packnback_proto::wire::store::StoreRequest;
use tokio::io::AsyncWriteExt as _;

use super::super::attack::{Outcome, Tried};
use super::peer::{Friend, PATIENCE, answer};
use super::scheme::{Played, nothing_held, schemes};
use crate::net::{PeerStream, Protocol};

/// Streams beyond what one peer may have.
const STREAMS: usize = 600;
/// Messages that are none.
const GARBAGE: usize = 600;
/// Records that are none.
const RECORDS: usize = 300;
/// A host that takes its time is left.
const LONGEST: Duration = Duration::from_secs(60);

/// Clears a screen, forges a line, turns the reading direction, rings.
pub(super) const FOREIGN: &str =
    "\u{1b}[2J\u{1b}]0;owned\u{7}\nERROR forged line\r\u{202e}gnp.exe\u{2066}\u{9b}31m";

schemes! {
    "log-streams", "open 600 streams more than it may, and begin none of them", log_streams;
    "log-garbage", "send 600 messages that are none, and 300 records that are none", log_garbage;
    "foreign-text", "put control characters where text is expected", foreign_text;
}

async fn stream(friend: &Friend) -> Option<PeerStream> {
    let open = friend
        .net
        .open(friend.host.host, &friend.host.addrs, Protocol::Store);
    let opened = tokio::time::timeout(Duration::from_secs(2), open).await;
    Some(opened.ok()?.ok()?.stream)
}

async fn log_streams(friend: &Friend) -> Played {
    let (mut held, mut refused) = (Vec::new(), 0usize);
    for _ in 0..STREAMS {
        match stream(friend).await {
            Some(stream) => held.push(stream),
            None => refused = refused.saturating_add(1),
        }
        if refused > 20 {
            break;
        }
    }
    let told = format!(
        "{} opened, {refused} refused; the log is checked",
        held.len()
    );
    (Ok(Tried::Allowed(told)), Box::new(held))
}

async fn log_garbage(friend: &Friend) -> Played {
    nothing_held(send_garbage(friend).await)
}

async fn send_garbage(friend: &Friend) -> Outcome {
    let mut sent = 0usize;
    let started = Instant::now();
    for number in 0..GARBAGE {
        if started.elapsed() > LONGEST {
            break;
        }
        let Some(mut stream) = stream(friend).await else {
            continue;
        };
        let mut line = vec![u8::try_from(number % 251).unwrap_or(0); 400];
        line.extend_from_slice(FOREIGN.as_bytes());
        let send = async {
            stream.write_all(&line).await?;
            stream.flush().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(PATIENCE, send).await {
            sent = sent.saturating_add(1);
        }
    }
    let mut talk = friend.session().await?;
    for number in 0..RECORDS {
        let envelope = vec![u8::try_from(number % 251).unwrap_or(0); 60_000].into();
        let receipt = StoreRequest::Receipt { envelope };
        if answer(&mut talk, &receipt, &[]).await.is_err() {
            break;
        }
    }
    Ok(Tried::Allowed(format!(
        "{sent} were sent; the log is checked"
    )))
}

async fn foreign_text(friend: &Friend) -> Played {
    let said = async {
        let mut talk = friend.session().await?;
        let hosts = vec![(friend.key.node_id(), vec![FOREIGN.to_owned(); 16])];
        let addrs = StoreRequest::HostAddrs { hosts };
        let answered = answer(&mut talk, &addrs, &[]).await?;
        Ok::<_, String>(answered.map_or_else(|e| e.to_string(), |_| "taken".to_owned()))
    };
    let told = said.await;
    nothing_held(told.map(|told| {
        Tried::Allowed(format!(
            "addresses: {told}; log, status and lists are checked"
        ))
    }))
}
