//! Disk without a count.

use std::time::{Duration, Instant};

use packnback_proto::format::header::Kind as ObjectKind;
use packnback_proto::ids::RecordId;
use packnback_proto::limits::{MIB, RECORD_IDS_MAX};
use packnback_proto::record::Op;
use packnback_proto::wire::store::{StoreReply, StoreRequest};

use super::super::junk::object;
use super::super::tried::{Outcome, Tried};
use super::peer::{Friend, PATIENCE, answer};
use super::scheme::{Played, nothing_held, schemes};

/// Sessions, one after the other.
const ROUNDS: u64 = 8;
/// MiB put in each: in all eight times what the host offers.
const MIB_EACH: u64 = 64;
/// Orders of about 30 KiB: in all more than the host offers.
const ORDERS: u64 = 4000;
/// A host that takes its time is left.
const LONGEST: Duration = Duration::from_secs(60);

schemes! {
    "unsynced-puts", "put 512 MiB and never ask for them to be durable", unsynced_puts;
    "records", "have 4,000 orders of its own owner kept, 30 KiB each", records;
}

async fn unsynced_puts(friend: &Friend) -> Played {
    nothing_held(put_and_leave(friend).await)
}

async fn put_and_leave(friend: &Friend) -> Outcome {
    let (mut sent, mut ended) = (0u64, 0u64);
    let mut last = String::new();
    for _ in 0..ROUNDS {
        let mut talk = match friend.session().await {
            Ok(talk) => talk,
            Err(error) => {
                last = error;
                ended = ended.saturating_add(1);
                continue;
            }
        };
        for _ in 0..MIB_EACH {
            let one = object(ObjectKind::Chunk, 0, &[], friend.fresh(), MIB)?;
            let put = StoreRequest::Put { id: one.id };
            let sending = async {
                talk.send(&put, &one.bytes).await?;
                talk.flush().await
            };
            match tokio::time::timeout(PATIENCE, sending).await {
                Ok(Ok(())) => sent = sent.saturating_add(1),
                Ok(Err(error)) => {
                    last = error.to_string();
                    ended = ended.saturating_add(1);
                    break;
                }
                Err(_) => {
                    last = "it stopped reading".to_owned();
                    ended = ended.saturating_add(1);
                    break;
                }
            }
        }
    }
    Ok(match ended {
        0 => Tried::Allowed(format!(
            "{sent} MiB were sent; what is on the disk is checked"
        )),
        ended => Tried::Refused(format!(
            "{ended} of {ROUNDS} sessions, after {sent} MiB: {last}"
        )),
    })
}

async fn records(friend: &Friend) -> Played {
    nothing_held(keep_orders(friend).await)
}

async fn keep_orders(friend: &Friend) -> Outcome {
    let mut talk = friend.session().await?;
    let started = Instant::now();
    for number in 0..ORDERS {
        if started.elapsed() > LONGEST {
            let told = format!("{number} were kept, then its time was over; the disk is checked");
            return Ok(Tried::Allowed(told));
        }
        let ids = (0..RECORD_IDS_MAX).map(|_| {
            let mut id = [0; 32];
            let hash = blake3::hash(&friend.fresh().to_le_bytes());
            id.copy_from_slice(hash.as_bytes());
            RecordId(id)
        });
        let mut ids: Vec<RecordId> = ids.collect();
        ids.sort_unstable();
        let envelope = friend.order(Op::Hold(ids))?;
        match answer(&mut talk, &StoreRequest::Order { envelope }, &[]).await? {
            Ok((StoreReply::Ok, _)) => {}
            Ok((other, _)) => return Err(format!("it answered {other:?}")),
            Err(error) => return Ok(Tried::Refused(format!("after {number} orders: {error}"))),
        }
    }
    Ok(Tried::Worked(format!("{ORDERS} orders were kept")))
}
