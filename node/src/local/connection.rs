//! One local connection: which request is begun when, and what it does.

use std::sync::Arc;
use std::task::Poll;

use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use packnback_proto::ids::{ObjectId, OwnerId, RecordId, SetId, SnapshotId};
use packnback_proto::limits::{GET_IDS_MAX, HAVE_IDS_MAX};
use packnback_proto::local_requests;
use packnback_proto::wire::admin::{
    CollectInfo, DeviceInfo, HostedOwner, OrderInfo, OwnerStats, RetentionInfo,
};
use packnback_proto::wire::ids::{decode_ids, encode_bitmap};
use packnback_proto::wire::local::{
    Answer, Bitmap, CommitAnswer, Copies, Done, Hello, Info, Invited, Lane, LocalReply,
    LocalRequest, NO_TAG, NodeSettings, Nothing, Objects, Opened, PeerAnswer, PeersAnswer,
    RecordPage, RemoteOpened, RemovedAnswer, Reply, StatusAnswer, SyncedAnswer,
};
use packnback_proto::wire::work::WorkerInfo;
use packnback_proto::wire::{Bytes, ErrorCode, SecretBytes};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::SIGN_OF_LIFE;
use super::lanes::{Turn, Turns};
use super::output::{Ending, Output, error};
use super::pools::{Place, Pool, Pools};
use crate::api::{Api, Backup, Reading, Watch, failure};
use crate::ports::Failure;
use crate::service::Refusal;

/// Requests of one connection under way. More stay unread.
const UNDER_WAY_MAX: usize = 64;
/// Objects of one request read ahead.
const READ_AHEAD: usize = 3;
/// Objects of a host waiting for the program.
const WAITING: usize = 2;

/// What the requests of one connection share.
pub(super) struct Connection {
    pub(super) out: Output,
    api: Arc<Api>,
    backup: Backup,
    reading: Reading,
    watch: Mutex<Watch>,
    backup_turns: Turns,
    reading_turns: Turns,
    under_way: Arc<Semaphore>,
    bodies: Pool,
    tables: Pool,
    objects: Pool,
}

/// Room for one request and its body.
pub(super) struct Places {
    body: Option<Place>,
    _under_way: Option<OwnedSemaphorePermit>,
}

impl Connection {
    pub(super) fn new(api: Arc<Api>, out: Output, pools: &Pools) -> Self {
        Self {
            out,
            backup: api.backup(),
            reading: api.reading(),
            watch: Mutex::new(api.watch()),
            api,
            backup_turns: Turns::default(),
            reading_turns: Turns::default(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            bodies: pools.bodies(),
            tables: pools.tables(),
            objects: pools.objects(),
        }
    }

    /// Waits until another request may be read, and says so while it does.
    pub(super) async fn places(&self) -> Places {
        let places = async {
            Places {
                _under_way: Arc::clone(&self.under_way).acquire_owned().await.ok(),
                body: Some(self.bodies.place().await),
            }
        };
        self.while_working(NO_TAG, places).await
    }

    /// Says every few seconds that this is worked on: who waits must be able to tell a node that works from one
    /// that is stopped.
    async fn while_working<T>(&self, tag: u64, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let sign = async {
                tokio::time::sleep(SIGN_OF_LIFE).await;
                self.out.working(tag).await;
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sign => {}
            }
        }
    }

    fn turn(&self, lane: Lane) -> Option<Turn> {
        match lane {
            Lane::Backup => Some(self.backup_turns.next()),
            Lane::Reading => Some(self.reading_turns.next()),
            Lane::Free | Lane::Tables | Lane::Objects => None,
        }
    }
}

/// What a request came to: its reply, if there is one to be sent yet.
type Outcome = Result<Option<Reply>, Failure>;

/// One request.
pub(super) struct Asked {
    conn: Arc<Connection>,
    api: Arc<Api>,
    tag: u64,
    /// Given back when the body was taken in.
    body: Mutex<Option<Place>>,
    /// Its place in its lane, once its turn has come: let go early if others may begin while this goes on.
    turn: Mutex<Option<Turn>>,
    _under_way: Option<OwnedSemaphorePermit>,
}

/// Which part of the node has the function.
macro_rules! part {
    ($asked:expr, greeting) => {
        $asked
    };
    ($asked:expr, conn) => {
        $asked
    };
    ($asked:expr, api) => {
        $asked.api
    };
}

/// The body, where one goes with the request.
macro_rules! given {
    ($body:expr, $what:ident) => {
        $body
    };
}

macro_rules! dispatch {
    ($(
        $(#[$doc:meta])*
        $name:ident $({ $( $(#[$field_doc:meta])* $field:ident : $kind:ty, )* })? $(+ $body:ident)?
            => $part:ident . $call:ident -> $answer:ty, $rule:expr;
    )*) => {
        impl Asked {
            /// Does what is asked. Made from the table: a request without its function does not compile.
            async fn carry_out(&self, request: LocalRequest, body: Vec<u8>) -> Outcome {
                match request {
                    $( LocalRequest::$name $({ $($field),* })? => {
                        let done = part!(self, $part)
                            .$call($($($field,)*)? $(given!(body, $body))?)
                            .await;
                        outcome::<$answer>(done)
                    } )*
                }
            }
        }
    };
}

local_requests!(dispatch);

fn outcome<A: Answer>(done: Result<A::Value, Failure>) -> Outcome {
    A::encode(done?).map_err(|error| {
        Failure::new(ErrorCode::Internal, error.to_string()).safe("Nothing was changed.")
    })
}

impl Asked {
    pub(super) fn new(conn: &Arc<Connection>, tag: u64, places: Places) -> Self {
        Self {
            conn: Arc::clone(conn),
            api: Arc::clone(&conn.api),
            tag,
            body: Mutex::new(places.body),
            turn: Mutex::new(None),
            _under_way: places._under_way,
        }
    }

    /// Carries it out when it is its turn, and answers. Its place in the lane is taken now, not when it is first
    /// polled.
    pub(super) fn run(
        self,
        request: LocalRequest,
        body: Vec<u8>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let rule = request.rule();
        let turn = self.conn.turn(rule.lane);
        if body.is_empty() {
            self.body.lock().take();
        }
        async move {
            let is_shutdown = matches!(request, LocalRequest::Shutdown);
            if self.api.is_read_only() && !rule.is_question {
                return self.refuse(read_only(), true).await;
            }
            let work = async {
                if let Some(mut turn) = turn {
                    turn.come().await;
                    *self.turn.lock() = Some(turn);
                }
                let place = match rule.lane {
                    Lane::Tables => Some(self.conn.tables.place().await),
                    _ => None,
                };
                (self.carry_out(request, body).await, place)
            };
            let (outcome, place) = self.conn.while_working(self.tag, work).await;
            match outcome {
                Ok(Some((reply, body))) => {
                    self.conn.out.send(self.tag, reply, body, place).await;
                }
                Ok(None) => {}
                Err(failure) => self.refuse(failure, rule.ends).await,
            }
            if is_shutdown {
                self.conn.out.end(Ending::Stop).await;
            }
        }
    }

    async fn refuse(&self, failure: Failure, ends: bool) {
        let out = &self.conn.out;
        out.send(self.tag, error(failure), Vec::new(), None).await;
        if ends {
            out.end(Ending::Refused).await;
        }
    }

    /// The ids of a body, which is not kept.
    fn ids(&self, body: Vec<u8>, max: usize) -> Result<Vec<ObjectId>, Failure> {
        let ids = decode_ids(&body, max)
            .map_err(|error| failure(Refusal::new(ErrorCode::Protocol, error.to_string())));
        drop(body);
        self.body.lock().take();
        ids
    }

    async fn hello(&self, api: u32) -> Result<Hello, Failure> {
        self.api.hello(api)
    }

    async fn open(&self) -> Result<Opened, Failure> {
        self.conn.backup.open().await
    }

    async fn have(&self, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let answers = self.conn.backup.have(self.ids(body, HAVE_IDS_MAX)?).await?;
        Ok(encode_bitmap(&answers))
    }

    async fn put(&self, id: ObjectId, object: Vec<u8>) -> Result<(), Failure> {
        self.conn.backup.put(id, object).await
    }

    async fn sync(&self) -> Result<u64, Failure> {
        self.conn.backup.sync().await
    }

    async fn commit(&self, root: ObjectId, set: SetId, time: u64) -> Result<CommitAnswer, Failure> {
        self.conn.backup.commit(root, set, time).await
    }

    async fn records(
        &self,
        owner: Option<OwnerId>,
        after: Option<RecordId>,
        remote: bool,
    ) -> Result<RecordPage, Failure> {
        match remote {
            true => self.conn.reading.records(after).await,
            false => self.api.records(owner, after).await,
        }
    }

    async fn get(&self, remote: bool, body: Vec<u8>) -> Result<(), Failure> {
        let ids = self.ids(body, GET_IDS_MAX)?;
        match remote {
            true => self.remote_objects(ids).await,
            false => self.own_objects(ids).await,
        }
    }

    /// Read ahead on blocking threads while the one before is sent.
    async fn own_objects(&self, ids: Vec<ObjectId>) -> Result<(), Failure> {
        let owner = self.api.own_or(None)?;
        let mut ids = ids.into_iter().peekable();
        let mut reads = FuturesOrdered::new();
        loop {
            while reads.len() < READ_AHEAD && ids.peek().is_some() {
                // Whoever has an object in memory sends it before it waits for room for another.
                let place = match reads.is_empty() {
                    true => Some(self.conn.objects.place().await),
                    false => self.conn.objects.place().now_or_never(),
                };
                let Some(place) = place else { break };
                if let Some(id) = ids.next() {
                    reads
                        .push_back(async move { (id, self.api.object_of(owner, id).await, place) });
                }
            }
            let Some((id, object, place)) = reads.next().await else {
                return Ok(());
            };
            if !self.send_object(id, object, place).await {
                return Ok(());
            }
        }
    }

    /// An error in place of an object ends the answer.
    async fn remote_objects(&self, ids: Vec<ObjectId>) -> Result<(), Failure> {
        let (sender, mut objects) = mpsc::channel(WAITING);
        let write = async move {
            while let Some((id, object)) = objects.recv().await {
                let place = self.conn.objects.place().await;
                if !self.send_object(id, object, place).await {
                    break;
                }
            }
        };
        let mut fetch = std::pin::pin!(self.conn.reading.get(ids, sender));
        // Polled once the host is asked, or will be in this order: the next may ask behind it while the answers
        // come.
        let begun = futures::poll!(&mut fetch);
        self.turn.lock().take();
        if let Poll::Ready(done) = begun {
            return done;
        }
        let (fetched, ()) = tokio::join!(fetch, write);
        fetched
    }

    async fn send_object(&self, id: ObjectId, object: Option<Vec<u8>>, place: Place) -> bool {
        let found = object.is_some();
        let reply = LocalReply::Object { id, found };
        let out = &self.conn.out;
        out.send(self.tag, reply, object.unwrap_or_default(), Some(place))
            .await
    }

    /// Long poll. A change since the last poll on this connection answers at once.
    async fn copies(
        &self,
        snap: SnapshotId,
        wait_hosts: u32,
        timeout_ms: u64,
    ) -> Result<Copies, Failure> {
        let mut watch = self.conn.watch.lock().clone();
        let copies = watch.copies(snap, wait_hosts, timeout_ms).await;
        *self.conn.watch.lock() = watch;
        Ok(copies)
    }

    async fn remote_open(
        &self,
        addr: String,
        recovery_seed: Option<SecretBytes>,
    ) -> Result<RemoteOpened, Failure> {
        self.conn.reading.open(addr, recovery_seed).await
    }

    async fn remote_grant(&self, grant: Bytes) -> Result<(), Failure> {
        self.conn.reading.grant(grant).await
    }

    /// The node is told once the program has its answer.
    async fn shutdown(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn read_only() -> Failure {
    Failure::new(
        ErrorCode::Denied,
        "the home of this node is on a disk that cannot be written",
    )
    .safe("Nothing was changed; listing and restoring work.")
    .next("Make the disk writable, or use a copy of the home on another one (--home DIR); never run both.")
}
