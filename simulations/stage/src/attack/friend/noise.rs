//! Lines in the log, and characters that are not text.

use std::time::{Duration, Instant};

use packnback_node::frames::{read_frame, write_frame};
use packnback_node::net::{PeerStream, Protocol};
use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::store::{STORE_VERSION, StoreReply, StoreRequest};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use super::super::tried::{Outcome, Tried};
use super::peer::{Friend, PATIENCE, answer};
use super::scheme::{Played, nothing_held, schemes};

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

/// Messages as this program would not write them: its own types clean what they carry.
#[derive(Serialize)]
pub(super) enum Raw {
    /// Stands for [`StoreReply::Refused`].
    Refused {
        code: ErrorCode,
        message: &'static str,
        id: Option<ObjectId>,
    },
    /// Stands for [`StoreRequest::HostAddrs`].
    HostAddrs {
        hosts: Vec<(NodeId, Vec<&'static str>)>,
    },
}

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
        let mut stream = stream(friend).await.ok_or("no stream")?;
        let hosts = vec![(friend.key.node_id(), vec![FOREIGN; 16])];
        let cert = friend.cert();
        let version = STORE_VERSION;
        ask_raw(&mut stream, &StoreRequest::Hello { version }).await?;
        ask_raw(&mut stream, &StoreRequest::Open { cert, base: None }).await?;
        ask_raw(&mut stream, &Raw::HostAddrs { hosts }).await
    };
    let told = said.await;
    nothing_held(told.map(|told| {
        Tried::Allowed(format!(
            "addresses: {told}; log, status and lists are checked"
        ))
    }))
}

/// Sends a message of any make, and tells what was answered.
async fn ask_raw(stream: &mut PeerStream, message: &impl Serialize) -> Result<String, String> {
    let asked = async {
        write_frame(stream, message, &[]).await?;
        stream.flush().await?;
        read_frame::<StoreReply, _>(stream).await
    };
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    match answered.map_err(|_| "no answer".to_owned())? {
        Ok((StoreReply::Refused { message, .. }, _)) => Ok(message.to_string()),
        Ok(_) => Ok("taken".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
