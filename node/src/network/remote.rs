//! Reading from a host: as a friend, or on a blank machine as the owner's recovery peer.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use packnback_proto::ids::{NodeId, ObjectId, RecordId};
use packnback_proto::machine::reading::{ReadBudget, ReadPage, ReadRefusal};
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use packnback_proto::wire::{Bytes, ErrorCode, Role, SecretBytes};

use super::asking::{Asking, Out, in_time};
use super::net_failure;
use crate::ports::{
    ByteStream, Clock, Counted, Failure, Protocol, RecordPage, Remote, RemoteInfo, Transport,
};
use crate::replicate::{Greeting, StoreClient};

/// A conversation with a host.
pub(super) struct HostReader {
    asking: Asking<Counted<ByteStream>>,
    greeting: Greeting,
    reader: NodeId,
    listed: tokio::sync::Mutex<Listed>,
    clock: Arc<dyn Clock>,
    /// A network of its own under the recovery key: it ends when it is dropped.
    _own: Option<Arc<dyn Transport>>,
}

/// What the host listed, and how long that took.
#[derive(Default)]
struct Listed {
    budget: ReadBudget,
    within: Duration,
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
        asking: Asking::new(client.into_stream(), progress),
        greeting,
        reader: net.node(),
        listed: tokio::sync::Mutex::default(),
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

fn listing_failure(refusal: ReadRefusal) -> Failure {
    Failure::new(ErrorCode::Protocol, refusal.to_string())
        .safe("nothing was changed")
        .next(
            "try another friend, and tell this one: its node is damaged, or not what it should be",
        )
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

    fn grant(&self, envelope: Bytes) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            match self.asking.one(&StoreRequest::Grant { envelope }).await?.0 {
                StoreReply::Ok => Ok(()),
                _ => Err(self.asking.wrong("expected ok")),
            }
        })
    }

    fn records(&self, after: Option<RecordId>) -> BoxFuture<'_, Result<RecordPage, Failure>> {
        Box::pin(self.list(after))
    }

    fn get(&self, ids: Vec<ObjectId>, out: Out) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move { self.asking.objects(&ids, out).await })
    }
}

impl HostReader {
    /// One page, within what may be listed in all. A host that lists more than that is asked nothing any more.
    async fn list(&self, after: Option<RecordId>) -> Result<RecordPage, Failure> {
        let over = |refusal| self.asking.end(listing_failure(refusal));
        let mut listed = self.listed.lock().await;
        let began = self.clock.instant();
        let left = listed.budget.time_allowed().saturating_sub(listed.within);
        let request = StoreRequest::Records { after };
        let asked = tokio::time::timeout(left, self.asking.one(&request)).await;
        let (reply, body) = asked.map_err(|_| over(ReadRefusal::TooSlow))??;
        let StoreReply::Records { more, last } = reply else {
            return Err(self.asking.wrong("no answer to records"));
        };
        let took = self.clock.instant().saturating_duration_since(began);
        listed.within = listed.within.saturating_add(took);
        let page = ReadPage {
            more,
            last,
            body: &body,
        };
        let within = listed.within;
        listed
            .budget
            .page(after.as_ref(), page, within)
            .map_err(over)?;
        Ok(RecordPage { more, last, body })
    }
}
