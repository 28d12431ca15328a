//! Too much of everything.

use packnback_cli::parts::system::now;
use packnback_node::frames::{StreamError, read_frame, write_frame};
use packnback_node::net::Protocol;
use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::limits::{HAVE_IDS_MAX, MIB, OBJECT_MAX};
use packnback_proto::record::Receipt;
use packnback_proto::wire::frame;
use packnback_proto::wire::store::{STORE_VERSION, StoreReply, StoreRequest};
use tokio::io::AsyncWriteExt as _;

use super::attacker::{Attacker, Target};
use super::junk::{object, signed_by, tree};
use super::tried::{Outcome, Tried, attacks, judge};

/// Nothing is tried more often than this.
const TRIES_MAX: u64 = 2000;

attacks! {
    "large-object", "an object larger than any may be", large_object;
    "many-questions", "more ids in one question than allowed", many_questions;
    "many-receipts", "receipts of a hundred made-up hosts for one snapshot", many_receipts;
    "snapshots", "more snapshots than the certificate allows per day", snapshots;
    "bytes", "more bytes than the certificate allows per day", bytes;
    "bytes-new-session", "more bytes, in a new session", bytes_new_session;
    "snapshots-still", "another snapshot after all that, for good measure", snapshots;
}

/// Announces a body larger than any object, which the own side of a conversation would not even send.
async fn large_object(a: &Attacker, t: &Target) -> Outcome {
    let opened = a.net.open(t.host, &t.addrs, Protocol::Store).await;
    let mut stream = opened.map_err(|e| e.to_string())?.stream;
    let hello = StoreRequest::Hello {
        version: STORE_VERSION,
    };
    let put = StoreRequest::Put { id: a.stored.id };
    let mut head = frame::encode(&put, 0).map_err(|e| e.to_string())?;
    let too_long = u32::try_from(OBJECT_MAX.saturating_add(1)).unwrap_or(u32::MAX);
    let length = head.get_mut(4..8).ok_or("a short head")?;
    length.copy_from_slice(&too_long.to_le_bytes());
    let said = async {
        write_frame(&mut stream, &hello, &[]).await?;
        stream.flush().await?;
        read_frame::<StoreReply, _>(&mut stream).await?;
        stream.write_all(&head).await?;
        stream.flush().await?;
        read_frame::<StoreReply, _>(&mut stream).await
    };
    match said.await {
        Ok((StoreReply::Refused { code, message, .. }, _)) => {
            Ok(Tried::Refused(format!("{code}: {message}")))
        }
        Ok((other, _)) => Ok(Tried::Worked(format!("it answered {other:?}"))),
        Err(StreamError::Closed) => Ok(Tried::Refused("the host closed the stream".to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

async fn many_questions(a: &Attacker, t: &Target) -> Outcome {
    let body = vec![0; HAVE_IDS_MAX.saturating_add(1).saturating_mul(32)];
    judge(a.ask(t, StoreRequest::Have, &body).await?)
}

async fn many_receipts(a: &Attacker, t: &Target) -> Outcome {
    let newest = a.snaps.last().ok_or("no snapshot")?;
    let mut talk = a.session(t).await?;
    for number in 0..100u64 {
        let key = a.fresh_key();
        let receipt = Receipt {
            snap: newest.id(),
            host: key.node_id(),
            received: now(),
            log_seq: number,
            log_prev: None,
            n_objects: 1,
            bytes: 1,
            policy_seq: 0,
        };
        let envelope = signed_by(&receipt, &key)?;
        match judge(talk.ask(&StoreRequest::Receipt { envelope }, &[]).await)? {
            Tried::Worked(_) => {}
            other => return Ok(other),
        }
    }
    Ok(Tried::Worked("a hundred were kept".to_owned()))
}

/// Commits until the host says no.
async fn snapshots(a: &Attacker, t: &Target) -> Outcome {
    let objects = tree(a.fresh())?;
    let root = objects.last().ok_or("no root")?.id;
    let mut talk = a.session(t).await?;
    // What was refused here for its bytes shows in the commits as missing.
    if let Err(error) = Attacker::put_all(&mut talk, &objects).await {
        return judge(Err(error));
    }
    for number in 0..TRIES_MAX {
        let mut snap = a.snap(root);
        snap.seq = snap.seq.saturating_add(number);
        let snap = signed_by(&snap, &a.key)?;
        match judge(talk.ask(&StoreRequest::Commit { snap }, &[]).await)? {
            Tried::Worked(_) => {}
            Tried::Refused(text) => {
                return Ok(Tried::Refused(format!("after {number} more: {text}")));
            }
            other => return Ok(other),
        }
    }
    Ok(Tried::Worked(format!("{TRIES_MAX} were taken")))
}

/// Puts until the host says no.
async fn bytes(a: &Attacker, t: &Target) -> Outcome {
    let mut talk = a.session(t).await?;
    for number in 0..TRIES_MAX {
        let junk = object(ObjectKind::Chunk, 0, &[], a.fresh(), MIB)?;
        match judge(Attacker::put_all(&mut talk, &[junk]).await)? {
            Tried::Worked(_) => {}
            Tried::Refused(text) => {
                return Ok(Tried::Refused(format!("after {number} MiB: {text}")));
            }
            other => return Ok(other),
        }
    }
    Ok(Tried::Worked(format!("{TRIES_MAX} MiB were taken")))
}

async fn bytes_new_session(a: &Attacker, t: &Target) -> Outcome {
    let junk = object(ObjectKind::Chunk, 0, &[], a.fresh(), MIB)?;
    judge(a.put_under(t, junk.id, junk.bytes).await?)
}
