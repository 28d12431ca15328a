//! Schemes in which it is asked, not asking.

use std::time::Duration;

use packnback_proto::ids::RecordId;
use packnback_proto::record::Op;
use packnback_proto::wire::Role;
use packnback_proto::wire::store::{Head, StoreReply, StoreRequest};

use super::super::starve::hold;
use super::super::tried::{Outcome, Tried};
use super::peer::{Friend, answer};
use super::scheme::{Played, nothing_held, schemes};
use super::serving::Manner;

/// Longest wait for the other side to ask.
const TO_ASK: Duration = Duration::from_secs(30);
/// How long it is let read what does not end.
const TO_READ: Duration = Duration::from_secs(20);

schemes! {
    "false-receipts", "name itself as a host of its owner, and give whoever copies from it receipts without end", false_receipts;
    "made-up-heads", "as a host of the honest friend, show snapshots under the friend's key that nobody made", made_up_heads;
    "endless-records", "as a host, give who recovers from it a list of records that does not end", endless_records;
    "empty-pages", "the same with pages in which there is nothing", empty_pages;
}

async fn false_receipts(friend: &Friend) -> Played {
    friend.server.answer_with(Manner::FalseRecords);
    let told = be_copied_from(friend).await;
    friend.server.answer_with(Manner::Closed);
    nothing_held(told)
}

async fn be_copied_from(friend: &Friend) -> Outcome {
    let before = friend.server.asked();
    let mut hosts = vec![friend.host.host, friend.key.node_id()];
    hosts.sort_unstable();
    let mut talk = friend.session().await?;
    let hseq = friend.fresh();
    let envelope = friend.order(Op::Hosts { hseq, hosts })?;
    let order = StoreRequest::Order { envelope };
    if let Err(error) = answer(&mut talk, &order, &[]).await? {
        return Ok(Tried::Refused(error.to_string()));
    }
    if !friend.server.asked_since(before, TO_ASK).await {
        return Ok(Tried::Refused("the host does not copy from it".to_owned()));
    }
    tokio::time::sleep(TO_READ).await;
    let pages = friend.server.pages();
    Ok(Tried::Allowed(format!(
        "{pages} pages were read; what the host keeps of them is checked"
    )))
}

/// What a session opens with: heads of the friend's device that do not exist.
pub(super) fn made_up_session() -> StoreReply {
    let head = |n: u8| Head {
        seq: u64::from(n).saturating_mul(1_000_000),
        id: RecordId([n; 32]),
    };
    StoreReply::Opened {
        session: 1,
        epoch: 0,
        base_complete: false,
        heads: vec![head(250), head(240)],
        head_records: vec![vec![1; 300].into()],
        pending_orders: 0,
        quota_left: u64::MAX,
        orders: Vec::new(),
        notice: None,
    }
}

async fn made_up_heads(friend: &Friend) -> Played {
    friend.server.answer_with(Manner::MadeUpHeads);
    let told = be_opened(friend).await;
    friend.server.answer_with(Manner::Closed);
    nothing_held(told)
}

/// The friend's machine comes by itself over this connection, when it has something to upload.
async fn be_opened(friend: &Friend) -> Outcome {
    let before = friend.server.asked();
    let device = &friend.device;
    let admitted = friend.net.admit(device.host, Role::Friend, None);
    admitted.map_err(|e| e.to_string())?;
    let kept = friend.net.keep(device.host, device.addrs.clone()).await;
    kept.map_err(|e| e.to_string())?;
    hold("back-up").await?;
    Ok(if friend.server.asked_since(before, TO_ASK).await {
        Tried::Allowed("a session was opened; what the friend makes of it is checked".to_owned())
    } else {
        return Err("the friend's machine did not come".to_owned());
    })
}

async fn endless_records(friend: &Friend) -> Played {
    recovered_from(friend, Manner::FalseRecords).await
}

async fn empty_pages(friend: &Friend) -> Played {
    recovered_from(friend, Manner::EmptyPages).await
}

/// The drill recovers from it, and looks how that ends.
async fn recovered_from(friend: &Friend, manner: Manner) -> Played {
    friend.server.answer_with(manner);
    let before = friend.server.pages();
    let held = hold(&format!("recover-from {}", friend.address())).await;
    friend.server.answer_with(Manner::Closed);
    if let Err(error) = held {
        return nothing_held(Err(error));
    }
    let pages = friend.server.pages().saturating_sub(before);
    nothing_held(match pages {
        0 => Err("nobody asked for records".to_owned()),
        pages => Ok(Tried::Allowed(format!(
            "{pages} pages were read, then it was left"
        ))),
    })
}
