//! One task per friend that stores for us: brings it what it lacks, and tries again when it fails.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::record::{Kind, parse_envelope, record_id};
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::StoreRequest;
use tokio::sync::watch;

use super::board::Board;
use super::carry::{CarryError, carry};
use super::client::{ClientError, StoreClient};
use super::round::{Round, SnapState, round_for};
use super::source::Source;
use crate::net::{
    Counted, NetError, NetEvent, NetHandle, PeerStream, Protocol, backoff, now_s, parse_addrs,
    random_u32,
};
use crate::peers::PeerTable;
use crate::ports::Failure;

/// Pauses and limits of replication.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Pause after the first failure.
    pub retry_first: Duration,
    /// Longest pause.
    pub retry_max: Duration,
    /// A transfer on which nothing moves for this long is dead.
    pub stall: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(1),
            retry_max: Duration::from_secs(300),
            stall: Duration::from_secs(30),
        }
    }
}

/// What all workers share.
pub(super) struct Common {
    pub(super) net: NetHandle,
    pub(super) peers: Arc<PeerTable>,
    pub(super) source: Arc<dyn Source>,
    pub(super) board: Board,
    /// Counts reasons to look for work.
    pub(super) wake: watch::Sender<u64>,
    pub(super) timing: Timing,
}

/// A round with a host failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{0}")]
    Carry(#[from] CarryError),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("the local store failed: {0}")]
    Local(#[from] Failure),
    #[error("nothing moved for {} seconds", .0.as_secs())]
    Stalled(Duration),
}

/// See the module.
pub(super) struct Worker {
    common: Arc<Common>,
    host: NodeId,
    /// Receipts and orders the host was told of since this process started.
    told_receipts: HashSet<(SnapshotId, NodeId)>,
    told_orders: HashSet<RecordId>,
    /// Snapshots whose receipt by this host is known to be here.
    done: HashSet<SnapshotId>,
}

struct Work {
    round: Round,
    orders: Vec<(RecordId, Bytes)>,
    cert: Bytes,
}

impl Worker {
    pub(super) fn new(common: Arc<Common>, host: NodeId) -> Self {
        Self {
            common,
            host,
            told_receipts: HashSet::new(),
            told_orders: HashSet::new(),
            done: HashSet::new(),
        }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let mut wake = self.common.wake.subscribe();
        let mut attempt = 0;
        loop {
            wake.mark_unchanged();
            match self.round().await {
                Ok(()) => {
                    attempt = 0;
                    self.common.board.idle(self.host);
                    if wake.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::info!(host = ?self.host, %error, "replication will be tried again");
                    self.common.board.failed(self.host, error.to_string());
                    self.common
                        .peers
                        .note_contact(self.host, now_s(), Err(error.to_string()));
                    if self.pause(&mut wake, attempt).await {
                        attempt = 0;
                    } else {
                        attempt = attempt.saturating_add(1);
                    }
                }
            }
        }
    }

    /// Waits for the next try: the time, new work, or the host coming back. Whether something
    /// happened.
    async fn pause(&self, wake: &mut watch::Receiver<u64>, attempt: u32) -> bool {
        let Timing {
            retry_first,
            retry_max,
            ..
        } = self.common.timing;
        let pause = backoff(attempt, retry_first, retry_max, random_u32());
        let mut events = self.common.net.events();
        let connected = async {
            // An overflow of events may hide the one we wait for, so it counts as it.
            while let Ok(event) = events.recv().await {
                if event == NetEvent::Connected(self.host) {
                    return;
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = connected => true,
            // A flood of commits must not become a flood of dials.
            changed = wake.changed() => {
                tokio::time::sleep(retry_first.min(pause)).await;
                changed.is_ok()
            }
        }
    }

    /// Brings the host up to date, in one session if there is anything to do.
    async fn round(&mut self) -> Result<(), RoundError> {
        let Some(work) = self.look_for_work().await? else {
            return Ok(());
        };
        let friend = self.common.peers.friend(&self.host);
        let addrs = parse_addrs(&friend.map(|f| f.addrs).unwrap_or_default());
        let opened = self
            .common
            .net
            .open(self.host, &addrs, Protocol::Store)
            .await?;
        let (stream, progress) = Counted::new(opened.stream);
        let stall = self.common.timing.stall;
        let common = Arc::clone(&self.common);
        tokio::select! {
            done = self.session(stream, work) => done,
            () = progress.stalled(stall) => {
                common.net.close(opened.conn.id).await?;
                Err(RoundError::Stalled(stall))
            }
        }
    }

    async fn session(
        &mut self,
        stream: Counted<PeerStream>,
        mut work: Work,
    ) -> Result<(), RoundError> {
        let (mut client, _) = StoreClient::hello(stream, &self.host).await?;
        client.open(work.cert.clone(), work.round.base).await?;
        self.common.peers.note_contact(self.host, now_s(), Ok(()));
        loop {
            self.tell_orders(&mut client, work.orders).await?;
            self.tell_receipts(&mut client, work.round.receipts).await?;
            for snap in &work.round.uploads {
                let board = &self.common.board;
                let progress = |left| board.sending(self.host, snap.id, left);
                let source = &self.common.source;
                let receipt = carry(&mut client, source, snap, &self.host, &progress).await?;
                self.blocking(move |source| source.add_receipt(&receipt))
                    .await?;
                tracing::info!(host = ?self.host, snap = ?snap.id, "snapshot receipted");
                // The other hosts want to know of this receipt.
                self.common.wake.send_modify(|n| *n = n.wrapping_add(1));
                self.common.board.idle(self.host);
            }
            match self.look_for_work().await? {
                Some(more) => work = more,
                None => return Ok(()),
            }
        }
    }

    async fn tell_orders(
        &mut self,
        client: &mut StoreClient<Counted<PeerStream>>,
        orders: Vec<(RecordId, Bytes)>,
    ) -> Result<(), ClientError> {
        for (id, envelope) in orders {
            let asked = client.ask_ok(&StoreRequest::Order { envelope }).await;
            self.refused_is_told(asked, "order")?;
            self.told_orders.insert(id);
        }
        Ok(())
    }

    async fn tell_receipts(
        &mut self,
        client: &mut StoreClient<Counted<PeerStream>>,
        receipts: Vec<(SnapshotId, NodeId)>,
    ) -> Result<(), RoundError> {
        for (snap, other) in receipts {
            let found = self.blocking(move |source| source.receipts(&snap)).await?;
            let envelope = found.into_iter().find(|(host, _)| *host == other);
            if let Some((_, envelope)) = envelope {
                let asked = client.ask_ok(&StoreRequest::Receipt { envelope }).await;
                self.refused_is_told(asked, "receipt")?;
            }
            self.told_receipts.insert((snap, other));
        }
        Ok(())
    }

    /// A record the host does not want is not offered again; backups go on.
    fn refused_is_told(
        &self,
        asked: Result<(), ClientError>,
        what: &str,
    ) -> Result<(), ClientError> {
        match asked {
            Err(ClientError::Refused { code, message, .. }) => {
                tracing::warn!(host = ?self.host, %code, %message, "the host refuses a {what}");
                Ok(())
            }
            other => other,
        }
    }

    /// What the host lacks; `None` if nothing, or if this node is no device yet.
    async fn look_for_work(&mut self) -> Result<Option<Work>, RoundError> {
        let (host, done) = (self.host, std::mem::take(&mut self.done));
        let (cert, snaps, orders, done) = self
            .blocking(move |source| {
                let mut done = done;
                let snaps = snap_states(source, &host, &mut done)?;
                Ok((source.cert()?, snaps, source.orders()?, done))
            })
            .await?;
        self.done = done;
        let Some(cert) = cert else { return Ok(None) };
        let me = self.common.net.node();
        let round = round_for(&self.host, &me, &snaps, &self.told_receipts);
        let orders: Vec<_> = orders
            .into_iter()
            .filter_map(|envelope| Some((order_id(&envelope)?, envelope)))
            .filter(|(id, _)| !self.told_orders.contains(id))
            .collect();
        let is_idle = round.is_empty() && orders.is_empty();
        Ok((!is_idle).then_some(Work {
            round,
            orders,
            cert,
        }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Source) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, RoundError> {
        let source = Arc::clone(&self.common.source);
        let done = tokio::task::spawn_blocking(move || work(&*source)).await;
        Ok(done.map_err(CarryError::from)??)
    }
}

fn order_id(envelope: &[u8]) -> Option<RecordId> {
    let parsed = parse_envelope(envelope).ok()?;
    (parsed.kind == Kind::Order).then(|| record_id(parsed.kind, parsed.body))
}

/// All snapshots with their receipts. Old ones whose receipt by this host is known are not looked
/// up again, but for the newest few, whose receipts by others may be news.
fn snap_states(
    source: &dyn Source,
    host: &NodeId,
    done: &mut HashSet<SnapshotId>,
) -> Result<Vec<SnapState>, Failure> {
    const LOOK_AGAIN: usize = 32;
    let snaps = source.own_snaps()?;
    let old = snaps.len().saturating_sub(LOOK_AGAIN);
    let mut states = Vec::with_capacity(snaps.len());
    for (index, snap) in snaps.into_iter().enumerate() {
        let hosts = if index < old && done.contains(&snap.id) {
            vec![*host]
        } else {
            source
                .receipts(&snap.id)?
                .into_iter()
                .map(|(host, _)| host)
                .collect()
        };
        if hosts.contains(host) {
            done.insert(snap.id);
        }
        states.push(SnapState { snap, hosts });
    }
    Ok(states)
}
