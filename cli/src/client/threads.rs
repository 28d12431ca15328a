//! The connection: a writer and a reader thread around one socket.

use std::collections::VecDeque;
use std::io::{BufReader, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use packnback_proto::ids::ObjectId;
use packnback_proto::limits::OBJECT_MAX;
use packnback_proto::wire::frame::{self, FrameHead, HEAD_LEN};
use packnback_proto::wire::local::{LocalReply, LocalRequest};
use parking_lot::{Condvar, Mutex};
use zeroize::Zeroizing;

use super::ClientError;
use super::connect::connect;
use super::patience::{LOOK, SILENCE, TAKES, Watch, Wish, is_pause, process_of, wish};
use super::requests::{Hello, RemoteHost};
use crate::pipeline::{Budget, Permit};

/// Bytes that may wait for the socket.
const QUEUE_BYTES: usize = 4 * OBJECT_MAX;
/// Longest wait for the node's last words once the socket takes nothing more.
const REASON_WAIT: Duration = Duration::from_secs(5);
/// Frames that may wait for the socket.
const QUEUE_FRAMES: usize = 1024;

type Answer = Result<(LocalReply, Vec<u8>), ClientError>;

/// Who gets the next replies.
struct Waiter {
    replies: usize,
    to: Sender<Answer>,
    wish: Wish,
}

struct Outgoing {
    /// May hold a secret, that of a recovery.
    header: Zeroizing<Vec<u8>>,
    body: Vec<u8>,
    waiter: Option<Waiter>,
    _permit: Permit,
}

#[derive(Default)]
struct Shared {
    /// Filled by the writer before a frame leaves, emptied by the reader.
    waiters: Mutex<VecDeque<Waiter>>,
    /// Why the connection is over.
    fatal: Mutex<Option<ClientError>>,
    ended: Condvar,
    watch: Watch,
    /// Process of the node.
    pid: Option<i32>,
}

impl Shared {
    /// The first reason counts; everybody who waits hears it.
    fn fail(&self, error: ClientError) {
        let error = self.fatal.lock().get_or_insert(error).clone();
        self.ended.notify_all();
        for waiter in self.waiters.lock().drain(..) {
            let _gone = waiter.to.try_send(Err(error.clone()));
        }
    }

    /// Whether the node owes an answer for too long.
    fn look(&self) -> Result<(), ClientError> {
        let next = self.waiters.lock().front().map(|waiter| waiter.wish);
        let late = next.and_then(|wish| Some((wish, self.watch.overdue(wish)?)));
        late.map_or(
            Ok(()),
            |(wish, waited)| Err(self.silent(wish.asked, waited)),
        )
    }

    fn silent(&self, asked: &'static str, waited: Duration) -> ClientError {
        ClientError::Silent {
            asked,
            waited,
            pid: self.pid,
        }
    }

    fn check(&self) -> Result<(), ClientError> {
        self.fatal.lock().clone().map_or(Ok(()), Err)
    }

    /// Why it is over. The reader may still be about to find out.
    fn reason(&self) -> ClientError {
        let mut fatal = self.fatal.lock();
        if fatal.is_none() {
            self.ended.wait_for(&mut fatal, REASON_WAIT);
        }
        fatal.clone().unwrap_or(ClientError::Closed)
    }
}

/// A connection to the local node.
pub struct Client {
    hello: Hello,
    remote: Mutex<Option<RemoteHost>>,
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
        let (queue, outgoing) = bounded(QUEUE_FRAMES);
        let writer = spawn("node-writer", {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(&shared));
            move || write_all(stream, &outgoing, &shared)
        })?;
        let reader = spawn("node-reader", {
            let (stream, shared) = (stream.try_clone()?, Arc::clone(&shared));
            move || shared.fail(read_all(stream, &shared))
        })?;
        let mut client = Self {
            hello: Hello::default(),
            remote: Mutex::default(),
            queue: Some(queue),
            budget: Budget::new(QUEUE_BYTES),
            shared,
            stream,
            threads: vec![writer, reader],
        };
        client.hello = client.greet()?;
        Ok(client)
    }

    /// What the node said when greeted.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The host last opened.
    pub(crate) fn remote_host(&self) -> Option<RemoteHost> {
        self.remote.lock().clone()
    }

    pub(super) fn set_remote_host(&self, host: RemoteHost) {
        *self.remote.lock() = Some(host);
    }

    fn enqueue(
        &self,
        request: &LocalRequest,
        body: Vec<u8>,
        waiter: Option<Waiter>,
    ) -> Result<(), ClientError> {
        self.shared.check()?;
        let header = Zeroizing::new(frame::encode(request, body.len())?);
        let permit = self.budget.acquire(body.len().saturating_add(header.len()));
        let outgoing = Outgoing {
            header,
            body,
            waiter,
            _permit: permit,
        };
        let Some(queue) = &self.queue else {
            return Err(ClientError::Closed);
        };
        queue.send(outgoing).map_err(|_| self.shared.reason())
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
        let waiter = Waiter {
            replies: 1,
            to,
            wish: wish(request),
        };
        self.enqueue(request, body, Some(waiter))?;
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
        let request = LocalRequest::Get { remote };
        let waiter = Waiter {
            replies: ids.len(),
            to,
            wish: wish(&request),
        };
        let body = packnback_proto::wire::ids::encode_ids(ids);
        self.enqueue(&request, body, Some(waiter))?;
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
            Err(_) => Err(self.shared.reason()),
        }
    }

    /// Whether it has arrived (or failed).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.replies.is_empty() || self.shared.fatal.lock().is_some()
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

/// Writes frames until the client is dropped. Also after the socket has broken it takes them off the
/// queue, for a frame that stayed there would keep its waiter waiting.
fn write_all(mut stream: UnixStream, outgoing: &Receiver<Outgoing>, shared: &Shared) {
    let mut is_broken = false;
    for mut out in outgoing {
        if let Some(waiter) = out.waiter.take() {
            let mut waiters = shared.waiters.lock();
            if waiters.is_empty() {
                shared.watch.next_turn();
            }
            waiters.push_back(waiter);
        }
        if !is_broken && let Err(error) = write_frame(&mut stream, &out, shared) {
            is_broken = true;
            // A refusal may be on its way to the reader, which knows better: let it finish.
            if !matches!(&error, ClientError::Io(e) if e.kind() == std::io::ErrorKind::BrokenPipe) {
                shared.fail(error);
            }
            let _gone = stream.shutdown(Shutdown::Write);
        }
        // Once the reader has ended nobody looks at new waiters any more: they must hear it from here.
        let reader_ended = shared.fatal.lock().is_some();
        if reader_ended {
            shared.fail(ClientError::Closed);
        }
    }
}

/// Writes one frame. A node that takes nothing and says nothing is given up.
fn write_frame(
    stream: &mut UnixStream,
    out: &Outgoing,
    shared: &Shared,
) -> Result<(), ClientError> {
    let mut slices = [IoSlice::new(&out.header), IoSlice::new(&out.body)];
    let mut rest: &mut [IoSlice<'_>] = &mut slices;
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
                shared.check()?;
                let waited = moved.elapsed();
                if waited >= TAKES || waited >= SILENCE && shared.watch.silent_for() >= SILENCE {
                    return Err(shared.silent("to take what is sent to it", waited));
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Reads from the node, and looks at the clock while nothing comes.
struct Patient<'a> {
    stream: UnixStream,
    shared: &'a Shared,
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(error) if is_pause(&error) => {
                    self.shared.look().map_err(std::io::Error::other)?;
                }
                Err(error) => return Err(error),
                Ok(read) => {
                    self.shared.watch.heard();
                    return Ok(read);
                }
            }
        }
    }
}

/// Reads until the connection ends, and returns why it did.
fn read_all(stream: UnixStream, shared: &Shared) -> ClientError {
    let mut stream = BufReader::with_capacity(1 << 16, Patient { stream, shared });
    let mut refusal = None;
    loop {
        let (reply, body) = match read_frame(&mut stream) {
            Ok((LocalReply::Working, _)) => continue,
            Ok(frame) => frame,
            Err(error) => return refusal.unwrap_or(error),
        };
        if let LocalReply::Error {
            code,
            message,
            safe,
            next,
        } = &reply
        {
            refusal = Some(ClientError::Refused {
                code: *code,
                message: message.clone(),
                safe: safe.clone(),
                next: next.clone(),
            });
        } else {
            refusal = None;
        }
        let is_error = refusal.is_some();
        let mut waiters = shared.waiters.lock();
        let Some(front) = waiters.front_mut() else {
            drop(waiters);
            // Unasked: the refusal of a put.
            return refusal.unwrap_or(ClientError::OutOfTurn("nothing"));
        };
        let _gone = front.to.try_send(Ok((reply, body)));
        shared.watch.next_turn();
        front.replies = front.replies.saturating_sub(1);
        if front.replies == 0 || is_error {
            waiters.pop_front();
        }
    }
}

fn read_frame(stream: &mut impl Read) -> Result<(LocalReply, Vec<u8>), ClientError> {
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
