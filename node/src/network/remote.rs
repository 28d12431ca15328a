//! Reading from a host: as a friend, or on a blank machine as the owner's recovery peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::{NodeId, ObjectId, RecordId};
use packnback_proto::limits::{GET_IDS_MAX, MIB};
use packnback_proto::machine::reading::{ReadBudget, ReadPage, ReadRefusal};
use packnback_proto::wire::ids::encode_ids;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, ErrorCode, Role, SecretBytes};
use tokio::sync::mpsc;

use super::net_failure;
use crate::frames::StreamError;
use crate::ports::{
    ByteStream, Clock, Counted, Failure, Progress, Protocol, RecordPage, Remote, RemoteInfo,
    Transport,
};
use crate::replicate::{ClientError, Greeting, StoreClient};

/// Ids per question: at 1 MiB per object this is a second of a fast line.
const BATCH: usize = 32;
/// Questions in flight, so that the host always has the next one.
const BATCHES_AHEAD: usize = 4;
/// A host that sends nothing for this long is given up.
const STALL: Duration = Duration::from_secs(30);
/// Longest wait for one answer, however little by little it comes: an object over a very slow line.
const ANSWER: Duration = Duration::from_secs(600);

const _: () = assert!(BATCH <= GET_IDS_MAX && BATCH * BATCHES_AHEAD * MIB <= 256 * MIB);

/// A conversation with a host.
pub(super) struct HostReader {
    client: StoreClient<Counted<ByteStream>>,
    progress: Progress,
    greeting: Greeting,
    reader: NodeId,
    /// What it listed, and how long that took.
    listing: ReadBudget,
    listed_in: Duration,
    /// Why nothing more is asked of it. Questions that wait hear it at once, not each after a wait of
    /// its own.
    over: Option<Failure>,
    clock: Arc<dyn Clock>,
    /// A network of its own under the recovery key: it ends when it is dropped.
    _own: Option<Arc<dyn Transport>>,
}

/// As this node.
pub(super) async fn open(
    net: &dyn Transport,
    clock: &Arc<dyn Clock>,
    host: NodeId,
    addrs: &[String],
) -> Result<HostReader, Failure> {
    let opened = net
        .open(host, addrs, Protocol::Store)
        .await
        .map_err(net_failure)?;
    let (stream, progress) = Counted::new(opened.stream);
    let greeted = in_time(&progress, StoreClient::hello(stream, &host)).await?;
    let (client, greeting) = greeted;
    Ok(HostReader {
        client,
        progress,
        greeting,
        reader: net.node(),
        listing: ReadBudget::default(),
        listed_in: Duration::ZERO,
        over: None,
        clock: Arc::clone(clock),
        _own: None,
    })
}

/// As the recovery peer, over a network of its own that only dials.
pub(super) async fn open_as(
    seed: SecretBytes,
    net: &dyn Transport,
    clock: &Arc<dyn Clock>,
    host: NodeId,
    addrs: &[String],
) -> Result<HostReader, Failure> {
    let net = net.visit(seed).await.map_err(net_failure)?;
    // Friend: the connection is kept while we read. It may open streams here, but nobody listens.
    net.admit(host, Role::Friend, None).map_err(net_failure)?;
    net.trust_names_of(host);
    match open(&*net, clock, host, addrs).await {
        Ok(reader) => Ok(HostReader {
            _own: Some(net),
            ..reader
        }),
        Err(failure) => {
            net.shutdown().await;
            Err(failure)
        }
    }
}

/// Runs a step of the conversation, unless nothing moves any more.
async fn in_time<T>(
    progress: &Progress,
    step: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = step => done.map_err(client_failure),
        () = progress.stalled(STALL) => {
            Err(given_up(format!("the host sent nothing for {} seconds", STALL.as_secs())))
        }
        () = tokio::time::sleep(ANSWER) => {
            Err(given_up(format!("the host did not answer within {} minutes", ANSWER.as_secs() / 60)))
        }
    }
}

fn given_up(what: String) -> Failure {
    Failure::new(ErrorCode::Unreachable, what)
        .safe("what was read before is good")
        .next("run the command again: it goes on where it stopped; name another friend as well, if there is one")
}

fn listing_failure(refusal: ReadRefusal) -> Failure {
    Failure::new(ErrorCode::Protocol, refusal.to_string())
        .safe("nothing was changed")
        .next(
            "try another friend, and tell this one: its node is damaged, or not what it should be",
        )
}

pub(super) fn client_failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { code, message, .. } => {
            Failure::new(code, message).safe("nothing was changed")
        }
        ClientError::Protocol(_) => Failure::new(ErrorCode::Protocol, error.to_string())
            .safe("nothing was changed")
            .next("the other node may be of another version, or damaged: try another friend"),
        ClientError::Stream(StreamError::Frame(_)) => {
            Failure::new(ErrorCode::Protocol, error.to_string()).next("try another friend")
        }
        ClientError::Stream(_) => Failure::new(ErrorCode::Unreachable, error.to_string())
            .safe("what was read before is good")
            .next("run the command again: it goes on where it stopped"),
    }
}

type Out = mpsc::Sender<(ObjectId, Option<Vec<u8>>)>;

/// Fetches in order. Only the host is watched: a slow reader may take its time.
async fn fetch(
    client: &mut StoreClient<Counted<ByteStream>>,
    progress: &Progress,
    ids: &[ObjectId],
    out: &Out,
) -> Result<(), Failure> {
    let mut batches = ids.chunks(BATCH);
    let mut in_flight: VecDeque<&[ObjectId]> = VecDeque::new();
    loop {
        while in_flight.len() < BATCHES_AHEAD
            && let Some(batch) = batches.next()
        {
            let body = encode_ids(batch);
            in_time(progress, client.send(&StoreRequest::Get, &body)).await?;
            in_flight.push_back(batch);
        }
        let Some(batch) = in_flight.pop_front() else {
            return Ok(());
        };
        for id in batch {
            let reply = in_time(progress, client.reply()).await?;
            let (reply, body) = reply;
            let object = object_of(&reply, body, *id).map_err(client_failure)?;
            if out.send((*id, object)).await.is_err() {
                // The conversation has answers under way that nobody will read: it is of no more use.
                return Err(Failure::new(ErrorCode::Internal, "the reader went away"));
            }
        }
    }
}

/// The answer for one id. Bytes that do not fit their address count as not there.
fn object_of(
    reply: &StoreReply,
    body: Vec<u8>,
    wanted: ObjectId,
) -> Result<Option<Vec<u8>>, ClientError> {
    match reply {
        StoreReply::Object { id, .. } if *id != wanted => {
            Err(ClientError::Protocol("an object nobody asked for"))
        }
        StoreReply::Object { found: false, .. } => Ok(None),
        StoreReply::Object { .. } if object_id(&body) == wanted => Ok(Some(body)),
        StoreReply::Object { id, .. } => {
            tracing::warn!(object = ?id, "the host sent a damaged object");
            Ok(None)
        }
        _ => Err(ClientError::Protocol("no answer to get")),
    }
}

impl Remote for HostReader {
    fn info(&self) -> RemoteInfo {
        RemoteInfo {
            host: self.greeting.host,
            time: self.greeting.time,
            nonce: self.greeting.nonce,
            reader: self.reader,
        }
    }

    fn grant(&mut self, envelope: Bytes) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.still_on()?;
            let request = StoreRequest::Grant { envelope };
            let done = in_time(&self.progress, self.client.ask_ok(&request)).await;
            self.note(done)
        })
    }

    fn records(&mut self, after: Option<RecordId>) -> BoxFuture<'_, Result<RecordPage, Failure>> {
        Box::pin(async move {
            self.still_on()?;
            let page = self.list(after).await;
            self.note(page)
        })
    }

    fn get(&mut self, ids: Vec<ObjectId>, out: Out) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            self.still_on()?;
            let done = fetch(&mut self.client, &self.progress, &ids, &out).await;
            self.note(done)
        })
    }
}

impl HostReader {
    fn still_on(&self) -> Result<(), Failure> {
        self.over.clone().map_or(Ok(()), Err)
    }

    /// A refusal in words leaves the conversation as it is; after anything else it is over.
    fn note<T>(&mut self, done: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &done {
            let over = matches!(
                failure.code,
                ErrorCode::Unreachable | ErrorCode::Protocol | ErrorCode::Internal
            );
            if over {
                self.over = Some(failure.clone());
            }
        }
        done
    }

    /// One page, within what may be listed in all.
    async fn list(&mut self, after: Option<RecordId>) -> Result<RecordPage, Failure> {
        let began = self.clock.instant();
        let left = self.listing.time_allowed().saturating_sub(self.listed_in);
        let asked = in_time(&self.progress, self.client.records(after));
        let (more, last, body) = tokio::time::timeout(left, asked)
            .await
            .map_err(|_| listing_failure(ReadRefusal::TooSlow))??;
        self.listed_in = self
            .listed_in
            .saturating_add(self.clock.instant().saturating_duration_since(began));
        let page = ReadPage {
            more,
            last,
            body: &body,
        };
        self.listing
            .page(after.as_ref(), page, self.listed_in)
            .map_err(listing_failure)?;
        Ok(RecordPage { more, last, body })
    }
}
