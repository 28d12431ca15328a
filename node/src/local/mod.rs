//! Answers programs of this machine over a Unix socket (`packnback_proto::wire::local`).
//!
//! Same user or root only. Puts take the same way into the store as those of other nodes: read
//! straight into their buffer, checked and stored on blocking threads while the next is read.

mod admin;
mod alarms;
mod friends;
pub mod offline;
mod reads;
mod replies;
mod session;
pub mod socket;
mod status;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::wire::frame::FrameError;
use packnback_proto::wire::local::{LocalReply, LocalRequest};
use packnback_proto::wire::{ErrorCode, local};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::frames::{StreamError, read_frame_within, write_frame};
use crate::ports::{Failure, Network};
use crate::service::{Host, drain};
use crate::settings::Settings;
use crate::work::Runner;
use session::{Answer, Session};

/// How often a program that waits for an answer hears that it is worked on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A program greets, and sends the whole of a message it began, within this time.
const SENDS_WITHIN: Duration = Duration::from_secs(120);
/// A program that takes nothing for so long is given up. Long: a person may have put it to sleep.
const TAKES_WITHIN: Duration = Duration::from_secs(3600);
/// Programs served at once. More have to wait until one ends.
const CONNECTIONS_MAX: usize = 128;

/// What every local connection shares.
pub struct LocalNode {
    /// Store and clock.
    pub host: Arc<Host>,
    /// The network.
    pub network: Arc<dyn Network>,
    /// Told when a program asks the node to end.
    pub stop: Arc<Notify>,
    /// The disk cannot be written.
    read_only: bool,
    started: Instant,
    own: Option<Own>,
    /// What runs the workers, where there are any.
    runner: Option<Runner>,
}

/// What this node has of its own beside the store.
struct Own {
    dir: PathBuf,
    settings: Mutex<Settings>,
    /// What a person has to know of how it listens.
    listen_note: Option<String>,
}

impl LocalNode {
    /// Puts the parts together.
    #[must_use]
    pub fn new(host: Arc<Host>, network: Arc<dyn Network>, stop: Arc<Notify>) -> Self {
        let started = host.env.clock.instant();
        Self {
            host,
            network,
            stop,
            read_only: false,
            started,
            own: None,
            runner: None,
        }
    }

    /// With the workers of this runner, to be listed.
    #[must_use]
    pub fn with_workers(self, runner: Runner) -> Self {
        Self {
            runner: Some(runner),
            ..self
        }
    }

    /// With settings that can be changed, in this folder, and what a person has to know of how it listens.
    #[must_use]
    pub fn with_settings(
        self,
        dir: &Path,
        settings: Settings,
        listen_note: Option<String>,
    ) -> Self {
        let own = Own {
            dir: dir.to_owned(),
            settings: Mutex::new(settings),
            listen_note,
        };
        Self {
            own: Some(own),
            ..self
        }
    }

    /// The same, answering questions only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            read_only: true,
            ..self
        }
    }
}

/// Accepts connections for ever. Each gets its own task.
pub async fn serve(listener: UnixListener, node: Arc<LocalNode>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return; // never: nobody closes it
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: give others time to close theirs.
                tracing::warn!("cannot accept a local connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        if !socket::may_connect(&stream) {
            tracing::warn!("a local connection of another user was refused");
            continue;
        }
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let _place = place;
            let (input, output) = stream.into_split();
            match serve_connection(input, output, node).await {
                Ok(()) | Err(StreamError::Closed) => {}
                Err(error) => tracing::info!("local connection ended: {error}"),
            }
        });
    }
}

/// Serves one connection until it closes.
///
/// # Errors
/// [`StreamError`] if it breaks or the program breaks the protocol.
pub async fn serve_connection<R, W>(
    mut input: R,
    mut output: W,
    node: Arc<LocalNode>,
) -> Result<(), StreamError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut session = Session::new(Arc::clone(&node));
    let mut is_greeted = false;
    loop {
        let next = read_frame_within::<LocalRequest, _>(&mut input, SENDS_WITHIN);
        let next = if is_greeted {
            next.await
        } else {
            let greeting = tokio::time::timeout(SENDS_WITHIN, next).await;
            greeting.unwrap_or_else(|_| Err(too_slow()))
        };
        let (request, body) = match next {
            Ok(frame) => frame,
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::Frame(error)) => {
                let reply = replies::error(bad_frame(&error));
                send(&mut output, &reply, &[]).await?;
                drain(&mut input).await;
                return Err(error.into());
            }
            Err(error) => return Err(error),
        };
        is_greeted = true;
        match answer(&mut session, (request, body), &mut output).await? {
            Answer::Nothing => {}
            Answer::Reply(reply, body) => send(&mut output, &reply, &body).await?,
            Answer::Objects(ids) => {
                in_time(session.send_objects(ids, &mut output)).await?;
                in_time(flush(&mut output)).await?;
            }
            Answer::RemoteObjects(ids) => {
                session.send_remote(ids, &mut output).await?;
                in_time(flush(&mut output)).await?;
            }
            Answer::End(failure) => {
                send(&mut output, &replies::error(failure), &[]).await?;
                drain(&mut input).await;
                return Ok(());
            }
            Answer::Stop => {
                send(&mut output, &LocalReply::Ok, &[]).await?;
                node.stop.notify_one();
                return Ok(());
            }
        }
    }
}

/// The answer to a request, with a sign of life now and then until it is there: who waits must be able to
/// tell a node that works from one that is stopped.
async fn answer<W: AsyncWrite + Unpin>(
    session: &mut Session,
    (request, body): (LocalRequest, Vec<u8>),
    output: &mut W,
) -> Result<Answer, StreamError> {
    let mut work = std::pin::pin!(session.answer(request, body));
    loop {
        match tokio::time::timeout(SIGN_OF_LIFE, &mut work).await {
            Ok(answer) => return Ok(answer),
            Err(_) => send(output, &LocalReply::Working, &[]).await?,
        }
    }
}

/// One message, to a program that has to take it some time.
async fn send<W: AsyncWrite + Unpin>(
    output: &mut W,
    reply: &LocalReply,
    body: &[u8],
) -> Result<(), StreamError> {
    in_time(async {
        write_frame(output, reply, body).await?;
        flush(output).await
    })
    .await
}

async fn flush<W: AsyncWrite + Unpin>(output: &mut W) -> Result<(), StreamError> {
    Ok(output.flush().await?)
}

/// Unless the program takes nothing for too long.
async fn in_time<T>(
    sending: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    let sent = tokio::time::timeout(TAKES_WITHIN, sending).await;
    sent.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> StreamError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

fn bad_frame(error: &FrameError) -> Failure {
    match error {
        FrameError::UnknownMessage(name) => {
            let message = format!("the node does not know the request {name:?}");
            Failure::new(ErrorCode::Version, message)
                .safe("Nothing was changed.")
                .next(format!(
                    "Use programs of one version (this node speaks API {}).",
                    local::API_VERSION
                ))
        }
        _ => Failure::new(ErrorCode::Protocol, error.to_string()).safe("Nothing was changed."),
    }
}
