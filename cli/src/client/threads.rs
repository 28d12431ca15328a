//! The connection: a writer and a reader thread around one socket, which any number of callers share. Each request
//! has a number, and the reader hands what is said about it to who asked.

use std::collections::VecDeque;
use std::io::{BufReader, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::OBJECT_MAX;
use packnback_proto::wire::frame::{self, FrameHead, HEAD_LEN};
use packnback_proto::wire::local::{
    self, API_VERSION, Answer as _, LocalReply, LocalRequest, NO_TAG, RemoteOpened, Tagged,
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::ClientError;
use super::connect::connect;
use super::patience::{Due, LOOK, SILENCE, TAKES, Times, is_pause, process_of};
use super::requests::Hello;
use super::waiting::{Answer, Handed, Waiting};
use crate::pipeline::{Budget, Permit};

/// Bytes that may wait for the socket.
const QUEUE_BYTES: usize = 4 * OBJECT_MAX;
/// Frames that may wait for the socket.
const QUEUE_FRAMES: usize = 1024;

struct Outgoing {
    tag: u64,
    /// May hold a secret, that of a recovery.
    header: Zeroizing<Vec<u8>>,
    body: Vec<u8>,
    _permit: Permit,
}

#[derive(Default)]
struct Shared {
    waiting: Waiting,
    /// When anything was heard of the node.
    heard: Mutex<Option<Instant>>,
    /// Process of the node.
    pid: Option<i32>,
}

impl Shared {
    fn silent(&self, due: Due) -> ClientError {
        ClientError::Silent {
            asked: due.asked,
            waited: due.waited,
            pid: self.pid,
        }
    }
}

/// A connection to the local node.
pub struct Client {
    hello: Hello,
    remote: Mutex<Option<RemoteOpened>>,
    /// Number of the next request.
    next: AtomicU64,
    queue: Option<Sender<Outgoing>>,
    budget: Budget,
    shared: Arc<Shared>,
    stream: UnixStream,
    threads: Vec<JoinHandle<()>>,
}

impl Client {
    /// Connects to the node's socket and greets it.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] if nobody answers, [`ClientError::Version`], or any other.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let stream = connect(socket).map_err(|source| match source.kind() {
            std::io::ErrorKind::TimedOut => ClientError::Silent {
                asked: "to take a connection",
                waited: SILENCE,
                pid: None,
            },
            _ => ClientError::NotRunning {
                path: socket.to_owned(),
                source: Arc::new(source),
            },
        })?;
        Self::over(stream)
    }

    /// Greets the node at the other end of a connection.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn over(stream: UnixStream) -> Result<Self, ClientError> {
        stream.set_read_timeout(Some(LOOK))?;
        stream.set_write_timeout(Some(LOOK))?;
        let shared = Arc::new(Shared {
            pid: process_of(&stream),
            ..Shared::default()
        });
        let hello = greet(&stream, &shared)?;
        let (queue, outgoing) = bounded(QUEUE_FRAMES);
        let writer = spawn("node-writer", {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(&shared));
            move || write_all(stream, &outgoing, &shared)
        })?;
        let reader = spawn("node-reader", {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(&shared));
            move || shared.waiting.fail(read_all(stream, &shared))
        })?;
        Ok(Self {
            hello,
            remote: Mutex::default(),
            next: AtomicU64::new(NO_TAG + 1),
            queue: Some(queue),
            budget: Budget::new(QUEUE_BYTES),
            shared,
            stream,
            threads: vec![writer, reader],
        })
    }

    /// What the node said when greeted.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The host last opened.
    pub(crate) fn remote_host(&self) -> Option<RemoteOpened> {
        *self.remote.lock()
    }

    pub(super) fn set_remote_host(&self, host: RemoteOpened) {
        *self.remote.lock() = Some(host);
    }

    /// Sends a request whose answer goes to `waiter`: so many replies, and where to.
    fn enqueue(
        &self,
        request: &LocalRequest,
        body: Vec<u8>,
        waiter: Option<(usize, Sender<Answer>)>,
    ) -> Result<(), ClientError> {
        let waiting = &self.shared.waiting;
        waiting.check()?;
        let tag = self.next.fetch_add(1, Ordering::Relaxed);
        let header = Zeroizing::new(frame::encode(&(tag, request), body.len())?);
        let permit = self.budget.acquire(body.len().saturating_add(header.len()));
        if let Some((replies, to)) = waiter {
            waiting.wait(tag, request.rule(), replies, to)?;
        }
        let outgoing = Outgoing {
            tag,
            header,
            body,
            _permit: permit,
        };
        let queue = self.queue.as_ref().ok_or(ClientError::Closed)?;
        queue.send(outgoing).map_err(|_| {
            waiting.forget(tag);
            waiting.reason()
        })
    }

    /// Sends a request that has no reply.
    pub(super) fn send(&self, request: &LocalRequest, body: Vec<u8>) -> Result<(), ClientError> {
        self.enqueue(request, body, None)
    }

    /// Sends a request whose reply is taken later.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn start(
        &self,
        request: &LocalRequest,
        body: Vec<u8>,
    ) -> Result<PendingReply, ClientError> {
        let (to, replies) = bounded(2);
        self.enqueue(request, body, Some((1, to)))?;
        Ok(PendingReply {
            replies,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn request(
        &self,
        request: &LocalRequest,
        body: Vec<u8>,
    ) -> Result<(LocalReply, Vec<u8>), ClientError> {
        self.start(request, body)?.wait()
    }

    /// Asks for objects; several such requests may be under way. At most
    /// [`packnback_proto::limits::GET_IDS_MAX`] ids. What arrives waits in memory until taken.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn start_get(&self, ids: &[ObjectId], remote: bool) -> Result<PendingObjects, ClientError> {
        let (to, replies) = bounded(ids.len().saturating_add(1));
        let body = packnback_proto::wire::ids::encode_ids(ids);
        self.enqueue(&LocalRequest::Get { remote }, body, Some((ids.len(), to)))?;
        Ok(PendingObjects {
            ids: ids.iter().copied().collect(),
            replies: PendingReply {
                replies,
                shared: Arc::clone(&self.shared),
            },
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.queue = None;
        self.budget.close();
        // The writer ends once its queue is empty; the reader when the socket is shut down.
        let mut threads = self.threads.drain(..);
        if let Some(writer) = threads.next() {
            let _ended = writer.join();
        }
        let _gone = self.stream.shutdown(Shutdown::Both);
        for thread in threads {
            let _ended = thread.join();
        }
    }
}

/// A reply under way.
pub struct PendingReply {
    replies: Receiver<Answer>,
    shared: Arc<Shared>,
}

impl PendingReply {
    /// Waits for it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn wait(&self) -> Result<(LocalReply, Vec<u8>), ClientError> {
        match self.replies.recv() {
            Ok(Ok((
                LocalReply::Error {
                    code,
                    message,
                    safe,
                    next,
                },
                _,
            ))) => Err(ClientError::Refused {
                code,
                message,
                safe,
                next,
            }),
            Ok(answer) => answer,
            Err(_) => Err(self.shared.waiting.reason()),
        }
    }

    /// Whether it has arrived (or failed).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.replies.is_empty() || self.shared.waiting.is_over()
    }
}

/// Objects under way, in the order they were asked for.
pub struct PendingObjects {
    ids: VecDeque<ObjectId>,
    replies: PendingReply,
}

impl Iterator for PendingObjects {
    type Item = Result<(ObjectId, Option<Vec<u8>>), ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        let asked = self.ids.pop_front()?;
        Some(match self.replies.wait() {
            Ok((LocalReply::Object { id, found }, body)) if id == asked => {
                Ok((id, found.then_some(body)))
            }
            Ok(_) => Err(ClientError::OutOfTurn("Get")),
            Err(error) => {
                self.ids.clear();
                Err(error)
            }
        })
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ClientError> {
    Ok(thread::Builder::new().name(name.to_owned()).spawn(run)?)
}

/// The first message and its reply, before anything has a number: nodes of any version understand it.
fn greet(stream: &UnixStream, shared: &Shared) -> Result<Hello, ClientError> {
    let request = LocalRequest::Hello { api: API_VERSION };
    let rule = request.rule();
    let mut header = frame::encode(&request, 0)?;
    write_frame(stream, &mut [IoSlice::new(&header)], shared)?;
    header.clear();
    let times = Times::new(Instant::now());
    let look = || times.overdue(Instant::now(), &rule);
    // Not buffered: what comes behind is the reader's.
    let mut patient = Patient {
        stream,
        shared,
        look,
    };
    match read_frame(&mut patient)? {
        (
            LocalReply::Error {
                code,
                message,
                safe,
                next,
            },
            _,
        ) => Err(ClientError::Refused {
            code,
            message,
            safe,
            next,
        }),
        (reply, body) => {
            let hello = local::Hello::decode(reply, body)?;
            Hello::of(hello.ok_or(ClientError::OutOfTurn("Hello"))?)
        }
    }
}

/// Writes frames until the client is dropped. Also after the socket has broken it takes them off the
/// queue, so that nobody waits for room in it.
fn write_all(stream: UnixStream, outgoing: &Receiver<Outgoing>, shared: &Shared) {
    let mut is_broken = false;
    for out in outgoing {
        if is_broken {
            continue;
        }
        shared.waiting.sent(out.tag);
        let mut slices = [IoSlice::new(&out.header), IoSlice::new(&out.body)];
        if let Err(error) = write_frame(&stream, &mut slices, shared) {
            is_broken = true;
            // A refusal may be on its way to the reader, which knows better: let it finish.
            if !matches!(&error, ClientError::Io(e) if e.kind() == std::io::ErrorKind::BrokenPipe) {
                shared.waiting.fail(error);
            }
            let _gone = stream.shutdown(Shutdown::Write);
        }
    }
}

/// Writes one frame. A node that takes nothing and says nothing is given up.
fn write_frame(
    mut stream: &UnixStream,
    mut rest: &mut [IoSlice<'_>],
    shared: &Shared,
) -> Result<(), ClientError> {
    IoSlice::advance_slices(&mut rest, 0);
    let mut moved = Instant::now();
    while !rest.is_empty() {
        match stream.write_vectored(rest) {
            Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()),
            Ok(n) => {
                moved = Instant::now();
                IoSlice::advance_slices(&mut rest, n);
            }
            Err(e) if is_pause(&e) => {
                // Somebody else found out that it is over.
                shared.waiting.check()?;
                let waited = moved.elapsed();
                let heard = shared.heard.lock().map_or(waited, |heard| heard.elapsed());
                if waited >= TAKES || waited.min(heard) >= SILENCE {
                    let asked = "to take what is sent to it";
                    return Err(shared.silent(Due { asked, waited }));
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Reads from the node, and looks at the clock while nothing comes.
struct Patient<'a, S, F> {
    stream: S,
    shared: &'a Shared,
    /// What is overdue.
    look: F,
}

impl<S: Read, F: Fn() -> Option<Due>> Read for Patient<'_, S, F> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(error) if is_pause(&error) => {
                    if let Some(due) = (self.look)() {
                        return Err(std::io::Error::other(self.shared.silent(due)));
                    }
                }
                Err(error) => return Err(error),
                Ok(read) => {
                    *self.shared.heard.lock() = Some(Instant::now());
                    return Ok(read);
                }
            }
        }
    }
}

/// Reads until the connection ends, and returns why it did.
fn read_all(stream: UnixStream, shared: &Shared) -> ClientError {
    let waiting = &shared.waiting;
    let patient = Patient {
        stream,
        shared,
        look: || waiting.overdue(),
    };
    let mut stream = BufReader::with_capacity(1 << 16, patient);
    let mut refusal = None;
    loop {
        let ((tag, reply), body) = match read_frame::<Tagged<LocalReply>>(&mut stream) {
            Ok(((tag, LocalReply::Working), _)) => {
                waiting.works(tag);
                continue;
            }
            Ok(frame) => frame,
            Err(error) => return refusal.unwrap_or(error),
        };
        // The last word, if nothing follows.
        refusal = match &reply {
            LocalReply::Error {
                code,
                message,
                safe,
                next,
            } => Some(ClientError::Refused {
                code: *code,
                message: message.clone(),
                safe: safe.clone(),
                next: next.clone(),
            }),
            _ => None,
        };
        if waiting.hand(tag, reply, body) == Handed::Unasked {
            // The refusal of a put, or of what is no request.
            return refusal.unwrap_or(ClientError::OutOfTurn("nothing"));
        }
    }
}

fn read_frame<T: DeserializeOwned>(stream: &mut impl Read) -> Result<(T, Vec<u8>), ClientError> {
    let mut head = [0; HEAD_LEN];
    stream.read_exact(&mut head)?;
    let head = FrameHead::parse(head)?;
    let mut header = vec![0; head.header_len];
    stream.read_exact(&mut header)?;
    let reply = frame::decode(&header)?;
    let mut body = vec![0; head.body_len];
    stream.read_exact(&mut body)?;
    Ok((reply, body))
}
