//! What the hostile friend answers when it is asked: a host that does not keep to the rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use packnback_cli::parts::system::now;
use packnback_node::frames::{StreamError, read_frame, write_frame};
use packnback_node::net::{Incoming, PeerStream};
use packnback_proto::crypto::sign::SigningKey;
use packnback_proto::ids::{NodeId, RecordId};
use packnback_proto::record::{Kind, Receipt, encode_body};
use packnback_proto::wire::ids::push_record;
use packnback_proto::wire::store::{STORE_VERSION, StoreReply, StoreRequest};
use packnback_proto::wire::{ErrorCode, Nonce16};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use super::super::junk::envelope;
use super::noise::{FOREIGN, Raw};
use super::peer::key_from;

/// Bytes of a page of records.
const PAGE: usize = 900 << 10;
/// No conversation gets more pages than this: the other side has to have ended it long before.
const PAGES_MAX: u64 = 20_000;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// As a host that is closed, in words that are not text.
    Closed,
    /// With snapshots nobody made.
    MadeUpHeads,
    /// With records without end, none of which is true.
    FalseRecords,
    /// With pages without end in which there is nothing.
    EmptyPages,
}

/// What was asked and answered.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Sessions opened or copies asked for.
    pub(super) asked: AtomicU64,
    /// Pages of records given.
    pub(super) pages: AtomicU64,
}

/// The side that answers. Ends when dropped.
pub(super) struct Server {
    manner: Arc<Mutex<Manner>>,
    told: Arc<Told>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) fn start(mut incoming: Incoming, node: NodeId) -> Self {
        let manner = Arc::new(Mutex::new(Manner::Closed));
        let told = Arc::new(Told::default());
        let (shared, counts) = (Arc::clone(&manner), Arc::clone(&told));
        let task = tokio::spawn(async move {
            while let Some(arrived) = incoming.recv().await {
                let (manner, told) = (*shared.lock(), Arc::clone(&counts));
                tokio::spawn(async move {
                    // How it ends is the other side's business.
                    drop(converse(arrived.stream, node, manner, &told).await);
                });
            }
        });
        Self { manner, told, task }
    }

    pub(super) fn answer_with(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    pub(super) fn asked(&self) -> u64 {
        self.told.asked.load(Ordering::Relaxed)
    }

    pub(super) fn pages(&self) -> u64 {
        self.told.pages.load(Ordering::Relaxed)
    }

    /// Waits until it was asked again, or for as long as a friend may take to come.
    pub(super) async fn asked_since(&self, before: u64, longest: Duration) -> bool {
        let asked = async {
            while self.asked() <= before {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(longest, asked).await.is_ok()
    }
}

async fn converse(
    mut stream: PeerStream,
    node: NodeId,
    manner: Manner,
    told: &Told,
) -> Result<(), StreamError> {
    let mut pages = 0u64;
    loop {
        let (request, _) = read_frame::<StoreRequest, _>(&mut stream).await?;
        let (reply, body) = match request {
            StoreRequest::Hello { .. } => (greeting(node), Vec::new()),
            StoreRequest::Open { .. }
            | StoreRequest::Replicate { .. }
            | StoreRequest::Grant { .. }
                if manner == Manner::Closed =>
            {
                told.asked.fetch_add(1, Ordering::Relaxed);
                refuse(&mut stream).await?;
                continue;
            }
            StoreRequest::Open { .. } => {
                told.asked.fetch_add(1, Ordering::Relaxed);
                (super::serve::made_up_session(), Vec::new())
            }
            StoreRequest::Replicate { .. } | StoreRequest::Grant { .. } => {
                told.asked.fetch_add(1, Ordering::Relaxed);
                (StoreReply::Ok, Vec::new())
            }
            StoreRequest::Records { .. } if pages < PAGES_MAX => {
                pages = pages.saturating_add(1);
                told.pages.fetch_add(1, Ordering::Relaxed);
                page(manner, pages)
            }
            _ => {
                refuse(&mut stream).await?;
                continue;
            }
        };
        write_frame(&mut stream, &reply, &body).await?;
        stream.flush().await?;
    }
}

fn greeting(host: NodeId) -> StoreReply {
    StoreReply::Hello {
        time: now(),
        nonce: Nonce16([7; 16]),
        version: STORE_VERSION,
        host,
    }
}

async fn refuse(stream: &mut PeerStream) -> Result<(), StreamError> {
    let reply = Raw::Refused {
        code: ErrorCode::Denied,
        message: FOREIGN,
        id: None,
    };
    write_frame(stream, &reply, &[]).await?;
    Ok(stream.flush().await?)
}

/// Page number `number`, counted from 1: there is always another.
fn page(manner: Manner, number: u64) -> (StoreReply, Vec<u8>) {
    let mut last = [0; 32];
    let ordered = number.to_be_bytes();
    last.iter_mut()
        .zip(ordered)
        .for_each(|(to, from)| *to = from);
    let mut body = Vec::new();
    if manner == Manner::FalseRecords {
        while body.len() < PAGE && push_record(&mut body, &false_receipt(number)).is_ok() {}
    }
    let last = Some(RecordId(last));
    (StoreReply::Records { more: true, last }, body)
}

/// A receipt nobody signed.
fn false_receipt(number: u64) -> Vec<u8> {
    let key: SigningKey = key_from("receipt", number);
    let receipt = Receipt {
        snap: RecordId(*blake3::hash(&number.to_le_bytes()).as_bytes()),
        host: key.node_id(),
        received: now(),
        log_seq: number,
        log_prev: None,
        n_objects: 1,
        bytes: 1,
        policy_seq: 0,
    };
    let body = encode_body(&receipt).unwrap_or_default();
    envelope(Kind::Receipt, &body, &key.public(), &[7; 64]).0
}
