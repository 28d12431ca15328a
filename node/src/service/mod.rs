//! Answers storage sessions of other nodes (`packnback_proto::wire::store`).
//!
//! One task per stream reads requests and answers them in order. Objects are checked and stored on
//! blocking threads while the next ones are read, within a budget of bytes in flight, so one
//! connection can use every core. What may be done is decided in `packnback_proto::machine`; this
//! module carries it out over any stream.

mod get;
mod lanes;
mod puts;
mod replicas;
mod session;
mod share;
mod slots;
mod stands;
#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use packnback_proto::ids::{NodeId, ObjectId};
use packnback_proto::limits::{MIB, SESSION_IDLE_S};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::frame::FrameError;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;

pub(crate) use get::{read_object, send_objects};
pub(crate) use puts::Puts;

use crate::frames::{StreamError, read_frame_with_room, write_frame};
use crate::ports::{Clock, Env, Failure, PeerBook, Reach};
use crate::store::{Store, StoreError};
use session::{Answer, Session};

/// Bytes of received objects that may wait to be stored, over all sessions.
const IN_FLIGHT_BYTES: usize = 16 * MIB;
/// How long the rest of a refused upload is read and thrown away, so that the other side gets to
/// read why.
const DRAIN: Duration = Duration::from_secs(5);

/// Longest silence in a session.
const IDLE: Duration = Duration::from_secs(SESSION_IDLE_S);
/// A peer that has not shown within this time what it is here for goes.
const UNPROVEN: Duration = Duration::from_secs(20);
/// Longest time to send one answer: a reader on a bad line takes a minute for an object.
const ANSWER: Duration = Duration::from_secs(600);

/// What every session of this node shares.
pub struct Host {
    /// The store.
    pub store: Arc<Store>,
    /// Who may do what.
    pub peers: Arc<dyn PeerBook>,
    /// The time: that of `env`.
    pub clock: Arc<dyn Clock>,
    /// Time, randomness, and where blocking work runs.
    pub env: Env,
    pub(crate) in_flight: Arc<Semaphore>,
    sessions: AtomicU64,
    slots: slots::Slots,
    pub(crate) shares: share::Shares,
    pub(crate) lanes: lanes::Lanes,
    /// A peer that has not shown within this time what it is here for goes.
    unproven: Duration,
}

impl Host {
    /// Puts the parts together.
    #[must_use]
    pub fn new(store: Arc<Store>, peers: Arc<dyn PeerBook>, env: Env) -> Self {
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_BYTES));
        Self {
            store,
            peers,
            clock: Arc::clone(&env.clock),
            env,
            in_flight,
            sessions: AtomicU64::new(0),
            slots: slots::Slots::default(),
            shares: share::Shares::default(),
            lanes: lanes::Lanes::default(),
            unproven: UNPROVEN,
        }
    }

    fn next_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs store work where it may block.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = Arc::clone(&self.store);
        let done = self.env.blocking.run(move || work(&store)).await;
        done.map_err(|_| Refusal::new(ErrorCode::Internal, "the node failed inside"))?
            .map_err(Refusal::from)
    }
}

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Kind.
    pub code: ErrorCode,
    /// Why.
    pub message: String,
    /// The object it is about.
    pub id: Option<ObjectId>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            id: None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            id: error.object(),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code, failure.message)
    }
}

impl From<Refusal> for StoreReply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            code: refusal.code,
            message: refusal.message.into(),
            id: refusal.id,
        }
    }
}

/// Serves one stream of an authenticated peer until it closes. `over` is how the peer is connected.
///
/// # Errors
/// [`StreamError`] if the stream breaks or the peer breaks the protocol. A refusal is no error.
pub async fn serve_session<S>(
    stream: S,
    peer: NodeId,
    over: Reach,
    host: Arc<Host>,
) -> Result<(), StreamError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut input, mut output) = tokio::io::split(stream);
    let mut session = Session::new(peer, over, Arc::clone(&host));
    let clock = &host.env.clock;
    let proven_by = clock.instant() + host.unproven;
    loop {
        let share = session.share();
        let frame = read_frame_with_room::<StoreRequest, _, _>(&mut input, |len| {
            let share = Arc::clone(&share);
            async move { share.body(len).await }
        });
        let silent_by = match session.is_proven() {
            true => clock.instant() + IDLE,
            false => proven_by,
        };
        // The room for the body is held until the request is done.
        let (request, body, _room) = match tokio::time::timeout_at(silent_by, frame).await {
            // What it was told is not kept for one who is silent.
            Err(_) => return Ok(()),
            Ok(Ok(frame)) => frame,
            Ok(Err(StreamError::Closed)) => return Ok(()),
            Ok(Err(StreamError::Frame(error))) => {
                let code = match error {
                    FrameError::UnknownMessage(_) => ErrorCode::Version,
                    _ => ErrorCode::Protocol,
                };
                let reply = StoreReply::from(Refusal::new(code, error.to_string()));
                write_frame(&mut output, &reply, &[]).await?;
                output.flush().await?;
                drain(&mut input).await;
                return Err(error.into());
            }
            Ok(Err(error)) => return Err(error),
        };
        match session.answer(request, body).await {
            Answer::Nothing => continue,
            Answer::Reply(reply, body) => {
                in_time(ANSWER, write_frame(&mut output, &reply, &body)).await?;
            }
            Answer::Objects(owner, ids) => {
                let sending = send_objects(&host, owner, ids, &mut output, |id, found| {
                    StoreReply::Object { id, found }
                });
                in_time(IDLE, sending).await?;
            }
            Answer::End(refusal) => {
                tracing::info!(%peer, code = %refusal.code, "session refused: {}", refusal.message);
                let last = StoreReply::from(refusal);
                in_time(ANSWER, write_frame(&mut output, &last, &[])).await?;
                output.flush().await?;
                drain(&mut input).await;
                return Ok(());
            }
        }
        in_time(ANSWER, async { Ok(output.flush().await?) }).await?;
    }
}

/// A peer that does not read what it asked for does not hold its place for ever.
async fn in_time<T>(
    longest: Duration,
    step: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    tokio::time::timeout(longest, step)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// Reads and throws away what is still on its way, for a short while.
pub(crate) async fn drain<R: AsyncRead + Unpin>(input: &mut R) {
    let mut buffer = vec![0; 64 << 10];
    let all = async { while matches!(input.read(&mut buffer).await, Ok(1..)) {} };
    // ignored: whether the other side stopped in time makes no difference to us
    let _ = tokio::time::timeout(DRAIN, all).await;
}
