//! Questions to a host over one stream, several of them under way: while the answers to one travel, the host has the
//! next, so that a line with a long round trip is never idle.
//!
//! Who asks writes under a lock and leaves word of what is to come; one task reads the answers in that order and
//! hands each out. What is in memory is bounded by the window of the stream and by the room each asker gives: a
//! host sends no more than that ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use packnback_proto::crypto::hash::object_id;
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::{GET_IDS_MAX, MIB};
use packnback_proto::wire::ErrorCode;
use packnback_proto::wire::ids::encode_ids;
use packnback_proto::wire::store::{StoreReply, StoreRequest};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::frames::{StreamError, read_frame, write_frame};
use crate::ports::{Failure, Progress};
use crate::replicate::ClientError;

/// Ids per question: at 1 MiB per object this is a second of a fast line.
const BATCH: usize = 32;
/// Ids in questions under way, so that the host always has the next one.
const IDS_AHEAD: usize = 128;
/// A host that sends nothing for this long is given up.
const STALL: Duration = Duration::from_secs(30);
/// Longest wait for one answer, however little by little it comes: an object over a very slow line.
const ANSWER: Duration = Duration::from_secs(600);
/// Small frames are gathered up to this.
const BUFFER: usize = 64 << 10;

const _: () = assert!(BATCH <= GET_IDS_MAX && BATCH <= IDS_AHEAD && IDS_AHEAD * MIB <= 256 * MIB);

/// Where objects go: `None` is one that is not there.
pub(super) type Out = mpsc::Sender<(ObjectId, Option<Vec<u8>>)>;

/// Tells how a question ended.
type Done<T> = oneshot::Sender<Result<T, Failure>>;

/// What the host is going to send.
enum Expected {
    /// One object for each id.
    Objects {
        ids: Vec<ObjectId>,
        out: Out,
        permit: OwnedSemaphorePermit,
        /// An answer before was a refusal: what comes behind it is read and thrown away.
        is_over: Arc<AtomicBool>,
        done: Done<()>,
    },
    /// One answer.
    One(Done<(StoreReply, Vec<u8>)>),
}

/// What asking and reading share.
struct Shared {
    progress: Progress,
    /// Why nothing more is asked. Questions that wait hear it at once, not each after a wait of its own.
    over: Mutex<Option<Failure>>,
}

impl Shared {
    fn still_on(&self) -> Result<(), Failure> {
        self.over.lock().clone().map_or(Ok(()), Err)
    }

    /// The conversation is over; the first reason counts.
    fn end(&self, failure: Failure) -> Failure {
        self.over.lock().get_or_insert(failure).clone()
    }
}

struct Writer<S> {
    stream: BufWriter<WriteHalf<S>>,
    expected: mpsc::UnboundedSender<Expected>,
    /// A question was begun and not ended: who asked went away in the middle of it.
    is_torn: bool,
}

/// See the module.
pub(super) struct Asking<S> {
    /// Who asks for many objects asks for all of them before the next one does.
    order: tokio::sync::Mutex<()>,
    writer: tokio::sync::Mutex<Writer<S>>,
    ids: Arc<Semaphore>,
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
}

impl<S> Drop for Asking<S> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Asking<S> {
    /// Over a stream on which nothing is under way.
    pub(super) fn new(stream: S, progress: Progress) -> Self {
        let (input, output) = tokio::io::split(stream);
        let (expected, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            progress,
            over: Mutex::new(None),
        });
        let reader = tokio::spawn(read_all(
            BufReader::with_capacity(BUFFER, input),
            queue,
            Arc::clone(&shared),
        ));
        Self {
            order: tokio::sync::Mutex::new(()),
            writer: tokio::sync::Mutex::new(Writer {
                stream: BufWriter::with_capacity(BUFFER, output),
                expected,
                is_torn: false,
            }),
            ids: Arc::new(Semaphore::new(IDS_AHEAD)),
            shared,
            reader,
        }
    }

    /// One question with one answer; a refusal is an error.
    pub(super) async fn one(
        &self,
        request: &StoreRequest,
    ) -> Result<(StoreReply, Vec<u8>), Failure> {
        let (done, told) = oneshot::channel();
        self.ask(request, &[], Expected::One(done)).await?;
        told.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Fetches objects in the order of `ids`. Only the host is watched: a slow reader may take its time. Several
    /// may do so at once: their questions go out in the order in which this was first polled.
    pub(super) async fn objects(&self, ids: &[ObjectId], out: Out) -> Result<(), Failure> {
        let order = self.order.lock().await;
        let mut answers = Vec::new();
        let is_over = Arc::new(AtomicBool::new(false));
        for batch in ids.chunks(BATCH) {
            let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            let permit = Arc::clone(&self.ids).acquire_many_owned(count).await;
            let permit = permit.map_err(|_| self.gone())?;
            let (done, told) = oneshot::channel();
            let expected = Expected::Objects {
                ids: batch.to_vec(),
                out: out.clone(),
                permit,
                is_over: Arc::clone(&is_over),
                done,
            };
            self.ask(&StoreRequest::Get, &encode_ids(batch), expected)
                .await?;
            answers.push(told);
        }
        drop((out, order));
        for told in answers {
            told.await.unwrap_or_else(|_| Err(self.gone()))?;
        }
        Ok(())
    }

    /// The conversation is over for this reason, if it is not already.
    pub(super) fn end(&self, failure: Failure) -> Failure {
        self.shared.end(failure)
    }

    /// The host does not keep to the protocol: nothing more is asked of it.
    pub(super) fn wrong(&self, what: &'static str) -> Failure {
        self.end(client_failure(ClientError::Protocol(what)))
    }

    /// Why no answer comes.
    fn gone(&self) -> Failure {
        let over = self.shared.over.lock().clone();
        over.unwrap_or_else(|| given_up("the conversation with the host is over".to_owned()))
    }

    async fn ask(
        &self,
        request: &StoreRequest,
        body: &[u8],
        expected: Expected,
    ) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        self.shared.still_on()?;
        if std::mem::replace(&mut writer.is_torn, true) {
            let failure = given_up("a question to the host was broken off".to_owned());
            return Err(self.shared.end(failure));
        }
        let write = async {
            write_frame(&mut writer.stream, request, body).await?;
            Ok(writer.stream.flush().await.map_err(StreamError::from)?)
        };
        in_time(&self.shared.progress, write)
            .await
            .map_err(|failure| self.shared.end(failure))?;
        writer.is_torn = false;
        writer.expected.send(expected).map_err(|_| self.gone())
    }
}

/// Reads what was asked for, in that order.
async fn read_all<R: AsyncRead + Unpin>(
    mut input: R,
    mut queue: mpsc::UnboundedReceiver<Expected>,
    shared: Arc<Shared>,
) {
    while let Some(expected) = queue.recv().await {
        if let Err(failure) = shared.still_on() {
            expected.fail(failure);
            continue;
        }
        match expected {
            Expected::One(done) => {
                let answer = reply(&mut input, &shared).await;
                // ignored: who asked does not wait any more
                let _ = done.send(answer);
            }
            Expected::Objects {
                ids,
                out,
                mut permit,
                is_over,
                done,
            } => {
                let to = (!is_over.load(Ordering::Relaxed)).then_some(&out);
                let read = read_objects(&mut input, &shared, &ids, to, &mut permit).await;
                if read.is_err() {
                    is_over.store(true, Ordering::Relaxed);
                }
                // ignored: who asked does not wait any more
                let _ = done.send(read);
            }
        }
    }
}

impl Expected {
    fn fail(self, failure: Failure) {
        // ignored: who asked does not wait any more
        let _ = match self {
            Self::One(done) => done.send(Err(failure)).is_ok(),
            Self::Objects { done, .. } => done.send(Err(failure)).is_ok(),
        };
    }
}

async fn read_objects<R: AsyncRead + Unpin>(
    input: &mut R,
    shared: &Shared,
    ids: &[ObjectId],
    out: Option<&Out>,
    permit: &mut OwnedSemaphorePermit,
) -> Result<(), Failure> {
    for id in ids {
        // A refusal stands for all of them.
        let (answer, body) = reply(input, shared).await?;
        let object =
            object_of(&answer, body, *id).map_err(|error| shared.end(client_failure(error)))?;
        if let Some(out) = out
            && out.send((*id, object)).await.is_err()
        {
            // The conversation has answers under way that nobody will read: it is of no more use.
            let failure = Failure::new(ErrorCode::Internal, "the reader went away");
            return Err(shared.end(failure));
        }
        drop(permit.split(1));
    }
    Ok(())
}

/// The next answer. A refusal in words leaves the conversation as it is; after anything else it is over.
async fn reply<R: AsyncRead + Unpin>(
    input: &mut R,
    shared: &Shared,
) -> Result<(StoreReply, Vec<u8>), Failure> {
    let read = async { Ok(read_frame::<StoreReply, _>(input).await?) };
    let answer = in_time(&shared.progress, read)
        .await
        .map_err(|failure| shared.end(failure))?;
    match answer {
        (StoreReply::Refused { code, message, id }, _) => {
            Err(client_failure(ClientError::Refused { code, message, id }))
        }
        answer => Ok(answer),
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

/// Runs a step of the conversation, unless nothing moves any more.
pub(super) async fn in_time<T>(
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

fn client_failure(error: ClientError) -> Failure {
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
