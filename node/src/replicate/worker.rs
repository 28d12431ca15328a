//! One task per friend that stores for us: brings it what it lacks, and tries again when it fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::ids::{NodeId, RecordId, SnapshotId};
use packnback_proto::limits::{FRAME_HEADER_MAX, PEER_ADDR_LEN_MAX, PEER_ADDRS_MAX};
use packnback_proto::record::{Kind, parse_envelope, record_id};
use packnback_proto::text::Addrs;
use packnback_proto::wire::Bytes;
use packnback_proto::wire::store::{STORE_VERSION_REPLICATE, STORE_VERSION_STANDS, StoreRequest};
use tokio::sync::watch;
use tokio::time::Instant;

use super::board::Board;
use super::carry::{CarryError, carry, commit_only};
use super::client::{ClientError, Opened, StoreClient};
use super::error::RoundError;
use super::heed::{Heeded, heed};
use super::look::{Looked, hosts_and_orders, next_look, snap_states};
use super::round::{Round, round_for};
use super::source::{OwnSnap, Source};
use super::stands;
use super::timing::Timing;
use super::upload::UploadError;
use crate::peers::{Heard, PeerTable};
use crate::ports::{
    ByteStream, Counted, Env, Failure, PeerBook as _, Protocol, Transport, backoff,
};

/// Hosts whose addresses are told in one message: with all addresses at their longest it still fits
/// a frame.
const ADDRS_AT_ONCE: usize = 16;

const _: () = assert!(ADDRS_AT_ONCE * PEER_ADDRS_MAX * (PEER_ADDR_LEN_MAX + 8) < FRAME_HEADER_MAX);

/// How often a host is asked about every snapshot it gave a receipt for.
const ASK_ALL: Duration = Duration::from_secs(86_400);

/// What all workers share.
pub(super) struct Common {
    pub(super) net: Arc<dyn Transport>,
    pub(super) peers: Arc<PeerTable>,
    pub(super) source: Arc<dyn Source>,
    pub(super) env: Env,
    pub(super) board: Board,
    /// Counts reasons to look for work.
    pub(super) wake: watch::Sender<u64>,
    pub(super) timing: Timing,
}

/// See the module.
pub(super) struct Worker {
    common: Arc<Common>,
    host: NodeId,
    /// Receipts, orders and addresses the host was told of since this process started.
    told_receipts: BTreeSet<(SnapshotId, NodeId)>,
    told_orders: BTreeSet<RecordId>,
    told_addrs: Vec<(NodeId, Addrs)>,
    /// Snapshots whose receipt by this host is known to be here.
    done: BTreeSet<SnapshotId>,
    /// Snapshots the host lacks and this node cannot bring it.
    lacking: BTreeSet<SnapshotId>,
    /// When the host is asked for those again, and how often it was in vain.
    ask_again: Instant,
    in_vain: u32,
    /// When a session is due, work or not.
    check_at: Instant,
    /// When the host is asked again whether it still has every snapshot it gave a receipt for.
    ask_all_at: Instant,
}

struct Work {
    round: Round,
    orders: Vec<(RecordId, Bytes)>,
    addrs: Vec<(NodeId, Addrs)>,
    cert: Bytes,
    is_idle: bool,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    UpToDate,
    /// In the middle of a snapshot that is not all here: the rest needs a new conversation.
    Again,
}

type Client = StoreClient<Counted<ByteStream>>;

impl Worker {
    pub(super) fn new(common: Arc<Common>, host: NodeId) -> Self {
        let now = common.env.clock.instant();
        Self {
            common,
            host,
            told_receipts: BTreeSet::new(),
            told_orders: BTreeSet::new(),
            told_addrs: Vec::new(),
            done: BTreeSet::new(),
            lacking: BTreeSet::new(),
            ask_again: now,
            in_vain: 0,
            check_at: now,
            ask_all_at: now,
        }
    }

    fn now(&self) -> Instant {
        self.common.env.clock.instant()
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let mut wake = self.common.wake.subscribe();
        let mut attempt = 0;
        loop {
            wake.mark_unchanged();
            match self.round().await {
                Ok(looked) => {
                    attempt = 0;
                    self.common.board.idle(self.host);
                    let ask_again = (!self.lacking.is_empty()).then_some(self.ask_again);
                    let due = next_look(looked, self.check_at, ask_again);
                    // Never at once, whatever the look came to: a worker that does not wait takes
                    // a whole core.
                    let timing = self.common.timing;
                    let until = due.max(self.now() + timing.retry_first);
                    tokio::select! {
                        biased;
                        changed = wake.changed() => if changed.is_err() { return },
                        () = self.common.env.clock.sleep_until(until) => {}
                    }
                }
                Err(error) => {
                    tracing::info!(host = ?self.host, %error, "replication will be tried again");
                    self.common.board.failed(self.host, error.to_string());
                    let now = self.common.env.clock.now();
                    self.common.peers.note(self.host, now, error.heard());
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
        let random = self.common.env.dice.jitter();
        let pause = backoff(attempt, retry_first, retry_max, random);
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => false,
            () = self.common.net.comes_back(self.host) => true,
            // A flood of commits must not become a flood of dials.
            changed = wake.changed() => {
                tokio::time::sleep(retry_first.min(pause)).await;
                changed.is_ok()
            }
        }
    }

    /// Brings the host up to date, in one session if there is anything to do or to ask.
    async fn round(&mut self) -> Result<Looked, RoundError> {
        let is_check = self.now() >= self.check_at;
        if is_check {
            // What was missing here may have come back.
            self.lacking.clear();
        }
        let ask_again = is_check || self.now() >= self.ask_again;
        loop {
            let Some(work) = self.look_for_work(ask_again).await? else {
                return Ok(Looked::NoDevice(self.now() + self.common.timing.check));
            };
            if work.is_idle && !is_check {
                return Ok(Looked::Done);
            }
            let addrs = self.common.peers.addrs_of(&self.host);
            let opened = self
                .common
                .net
                .open(self.host, &addrs, Protocol::Store)
                .await?;
            let (stream, progress) = Counted::new(opened.stream);
            let stall = self.common.timing.stall;
            let common = Arc::clone(&self.common);
            let ended = tokio::select! {
                biased;
                ended = self.session(stream, work) => ended?,
                () = progress.stalled(stall) => {
                    common.net.close(opened.path.id).await?;
                    return Err(RoundError::Stalled(stall));
                }
            };
            if ended == Ended::UpToDate {
                self.common
                    .peers
                    .note(self.host, self.common.env.clock.now(), Heard::Served);
                self.set_next();
                return Ok(Looked::Done);
            }
        }
    }

    /// When to come back without being told to.
    fn set_next(&mut self) {
        let Timing { check, lacking, .. } = self.common.timing;
        let now = self.now();
        self.check_at = now + check;
        self.common.board.lacking(self.host, &self.lacking);
        if self.lacking.is_empty() {
            self.in_vain = 0;
        } else if now >= self.ask_again {
            self.ask_again =
                now + backoff(self.in_vain, lacking, check, self.common.env.dice.jitter());
            self.in_vain = self.in_vain.saturating_add(1);
        }
    }

    async fn session(
        &mut self,
        stream: Counted<ByteStream>,
        mut work: Work,
    ) -> Result<Ended, RoundError> {
        let (mut client, greeting) = StoreClient::hello(stream, &self.host).await?;
        let base = work.round.base;
        let mut opened = client
            .open(work.cert.clone(), base.map(|(snap, _)| snap))
            .await?;
        self.common
            .peers
            .note(self.host, self.common.env.clock.now(), Heard::Seen);
        if greeting.version >= STORE_VERSION_STANDS {
            let all = self.now() >= self.ask_all_at;
            let source = &self.common.source;
            let blocking = self.common.env.blocking;
            stands::ask(&mut client, source, blocking, self.host, all, &mut opened).await?;
        }
        let heeded = self.heed(base, opened).await?;
        if self.now() >= self.ask_all_at {
            self.ask_all_at = self.now() + ASK_ALL;
        }
        if heeded.lost {
            // With what it lost goes what it was told since this process started.
            self.told_orders.clear();
            self.told_receipts.clear();
            self.told_addrs.clear();
        }
        if heeded != Heeded::default() {
            // There may be less to bring now, or more.
            self.done.clear();
            match self.look_for_work(true).await? {
                Some(now) => work = now,
                None => return Ok(Ended::UpToDate),
            }
        }
        loop {
            self.tell_orders(&mut client, work.orders).await?;
            self.tell_addrs(&mut client, work.addrs, greeting.version)
                .await?;
            self.tell_receipts(&mut client, work.round.receipts).await?;
            for snap in &work.round.uploads {
                if self.bring(&mut client, snap).await? == Ended::Again {
                    return Ok(Ended::Again);
                }
            }
            match self.look_for_work(false).await? {
                Some(more) if !more.is_idle => work = more,
                _ => return Ok(Ended::UpToDate),
            }
        }
    }

    /// Looks at what the host says of itself and of us.
    async fn heed(
        &mut self,
        base: Option<(SnapshotId, u64)>,
        opened: Opened,
    ) -> Result<Heeded, RoundError> {
        let (me, host) = (self.common.net.node(), self.host);
        let name = self.common.peers.friend(&host).map(|friend| friend.name);
        let now = self.common.env.clock.now();
        let heeded = self
            .blocking(move |source| {
                let name = name.unwrap_or_default();
                heed(source, me, host, &name, base, &opened, now)
            })
            .await?;
        if heeded.new_orders {
            self.common.peers.orders_changed();
        }
        if heeded != Heeded::default() {
            // The other hosts want to know of orders, and get no more of what ended.
            self.wake_all();
            self.common.board.touch();
        }
        Ok(heeded)
    }

    fn wake_all(&self) {
        self.common.wake.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Brings one snapshot, or finds out that it cannot be brought from here.
    async fn bring(&mut self, client: &mut Client, snap: &OwnSnap) -> Result<Ended, RoundError> {
        let root = snap.root;
        let is_here = !self.lacking.contains(&snap.id)
            && self
                .blocking(move |source| Ok(source.shape(&root)?.is_some()))
                .await?;
        let receipt = if is_here {
            let board = &self.common.board;
            let progress = |left| board.sending(self.host, snap.id, left);
            let blocking = self.common.env.blocking;
            let carried = carry(
                client,
                &self.common.source,
                blocking,
                snap,
                &self.host,
                &progress,
            );
            match carried.await {
                Ok(receipt) => Some(receipt),
                Err(CarryError::Upload(UploadError::NotHere(id))) => {
                    tracing::warn!(host = ?self.host, snap = ?snap.id, object = ?id,
                        "not all of this snapshot is here: the host has to get it from another host");
                    self.lacking.insert(snap.id);
                    self.common.board.lacking(self.host, &self.lacking);
                    // The conversation has questions under way that nobody will read.
                    return Ok(Ended::Again);
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            // It may have come there another way.
            commit_only(client, snap, &self.host).await?
        };
        match receipt {
            Some(receipt) => {
                self.blocking(move |source| source.add_receipt(&receipt))
                    .await?;
                tracing::info!(host = ?self.host, snap = ?snap.id, "snapshot receipted");
                self.lacking.remove(&snap.id);
                // The other hosts want to know of this receipt.
                self.wake_all();
            }
            None => {
                self.lacking.insert(snap.id);
            }
        }
        self.common.board.lacking(self.host, &self.lacking);
        self.common.board.idle(self.host);
        Ok(Ended::UpToDate)
    }

    async fn tell_orders(
        &mut self,
        client: &mut Client,
        orders: Vec<(RecordId, Bytes)>,
    ) -> Result<(), ClientError> {
        for (id, envelope) in orders {
            let asked = client.ask_ok(&StoreRequest::Order { envelope }).await;
            if asked.is_ok() {
                self.common.board.told(self.host, id);
            }
            self.refused_is_told(asked, "order")?;
            self.told_orders.insert(id);
        }
        Ok(())
    }

    /// Where the owner's other hosts can be dialled, and where this node listens.
    fn addrs_to_tell(&self, hosts: Vec<NodeId>) -> Vec<(NodeId, Addrs)> {
        let me = self.common.net.node();
        let own = self.common.net.listen_addrs();
        let mut all = vec![(me, Addrs::from(own))];
        for host in hosts.into_iter().filter(|h| *h != me && *h != self.host) {
            all.push((host, self.common.peers.addrs_of(&host).into()));
        }
        all.retain(|(_, addrs)| !addrs.is_empty());
        all
    }

    /// After the orders: a host drops addresses of hosts that no order it knows lists.
    async fn tell_addrs(
        &mut self,
        client: &mut Client,
        all: Vec<(NodeId, Addrs)>,
        version: u32,
    ) -> Result<(), RoundError> {
        if all != self.told_addrs && version >= STORE_VERSION_REPLICATE {
            for hosts in all.chunks(ADDRS_AT_ONCE) {
                let request = StoreRequest::HostAddrs {
                    hosts: hosts.to_vec(),
                };
                let asked = client.ask_ok(&request).await;
                self.refused_is_told(asked, "list of addresses")?;
            }
        }
        self.told_addrs = all;
        Ok(())
    }

    async fn tell_receipts(
        &mut self,
        client: &mut Client,
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

    /// What the host lacks; `None` if this node is no device yet. `ask_again`: with what could not
    /// be brought before.
    async fn look_for_work(&mut self, ask_again: bool) -> Result<Option<Work>, RoundError> {
        let (host, done) = (self.host, std::mem::take(&mut self.done));
        let (cert, snaps, (hosts, orders), done) = self
            .blocking(move |source| {
                let mut done = done;
                let snaps = snap_states(source, &host, &mut done)?;
                Ok((source.cert()?, snaps, hosts_and_orders(source)?, done))
            })
            .await?;
        self.done = done;
        let Some(cert) = cert else { return Ok(None) };
        let me = self.common.net.node();
        let mut round = round_for(&self.host, &me, &snaps, &self.told_receipts);
        // What was deleted meanwhile is not waited for.
        self.lacking
            .retain(|id| round.uploads.iter().any(|snap| snap.id == *id));
        if !ask_again {
            round
                .uploads
                .retain(|snap| !self.lacking.contains(&snap.id));
        }
        let orders: Vec<_> = orders
            .into_iter()
            .filter_map(|envelope| Some((order_id(&envelope)?, envelope)))
            .filter(|(id, _)| !self.told_orders.contains(id))
            .collect();
        let addrs = self.addrs_to_tell(hosts);
        let is_idle = round.is_empty() && orders.is_empty() && addrs == self.told_addrs;
        Ok(Some(Work {
            round,
            orders,
            addrs,
            cert,
            is_idle,
        }))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Source) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, RoundError> {
        let source = Arc::clone(&self.common.source);
        let done = self.common.env.blocking.run(move || work(&*source)).await;
        Ok(done.map_err(CarryError::from)??)
    }
}

fn order_id(envelope: &[u8]) -> Option<RecordId> {
    let parsed = parse_envelope(envelope).ok()?;
    (parsed.kind == Kind::Order).then(|| record_id(parsed.kind, parsed.body))
}
