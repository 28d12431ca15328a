//! Answers programs of this machine over a Unix socket (`packnback_proto::wire::local`): an adapter of
//! [`crate::api`], made from the table of requests.
//!
//! Same user or root only. Puts take the same way into the store as those of other nodes: read
//! straight into their buffer, checked and stored on blocking threads while the next is read.
//!
//! ```text
//! reader ── places ──> a task per request ── api ──> replies ──> writer
//! ```
//! What one connection may hold in memory is counted by [`pools`], and so is what all of them may hold together.

mod connection;
mod lanes;
pub mod offline;
mod output;
mod pools;
pub mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use packnback_proto::wire::frame::FrameError;
use packnback_proto::wire::local::{LocalReply, LocalRequest, NO_TAG, Tagged};
use packnback_proto::wire::{ErrorCode, local};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::frames::{StreamError, read_frame_within, write_frame};
use crate::ports::Failure;
use crate::service::drain;
use connection::{Asked, Connection};
use output::{Ending, Output};
use pools::Pools;

/// How often a program that waits for an answer hears that it is worked on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// A program greets, and sends the whole of a message it began, within this time.
const SENDS_WITHIN: Duration = Duration::from_secs(120);
/// A program that takes nothing for so long is given up. Long: a person may have put it to sleep.
const TAKES_WITHIN: Duration = Duration::from_secs(3600);
/// Programs served at once. More have to wait until one ends.
const CONNECTIONS_MAX: usize = 128;

/// Accepts connections for ever. Each gets its own task.
pub async fn serve(listener: UnixListener, api: Arc<Api>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let pools = Pools::default();
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
        let (api, pools) = (Arc::clone(&api), pools.clone());
        tokio::spawn(async move {
            let _place = place;
            let (input, output) = stream.into_split();
            match serve_within(input, output, api, &pools).await {
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
pub async fn serve_connection<R, W>(input: R, output: W, api: Arc<Api>) -> Result<(), StreamError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    serve_within(input, output, api, &Pools::default()).await
}

/// Serves one connection beside others that share these pools.
async fn serve_within<R, W>(
    mut input: R,
    mut output: W,
    api: Arc<Api>,
    pools: &Pools,
) -> Result<(), StreamError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    if !greet(&mut input, &mut output, &api).await? {
        return Ok(());
    }
    let (out, frames) = Output::new();
    let conn = Arc::new(Connection::new(Arc::clone(&api), out, pools));
    let read = async {
        read_all(&mut input, &conn).await;
        // What ends it is written behind all that came before it.
        std::future::pending::<()>().await;
    };
    let ending = tokio::select! {
        ending = output::write_all(frames, &mut output) => ending?,
        () = read => Ending::Closed,
    };
    match ending {
        Ending::Closed => {}
        Ending::Refused => drain(&mut input).await,
        Ending::Bad(error) => {
            drain(&mut input).await;
            return Err(error);
        }
        Ending::Stop => api.shutdown(),
    }
    Ok(())
}

/// The first message, without a tag: programs of any version understand what is said about it.
async fn greet<R, W>(input: &mut R, output: &mut W, api: &Arc<Api>) -> Result<bool, StreamError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let first = read_frame_within::<LocalRequest, _>(input, SENDS_WITHIN);
    let first = tokio::time::timeout(SENDS_WITHIN, first).await;
    let failure = match first.unwrap_or_else(|_| Err(too_slow())) {
        Ok((LocalRequest::Hello { api: version }, _)) => match api.hello(version) {
            Ok(hello) => {
                send(output, &LocalReply::Hello(hello)).await?;
                return Ok(true);
            }
            Err(failure) => failure,
        },
        Ok(_) => Failure::new(ErrorCode::Protocol, "say hello first").safe("Nothing was changed."),
        Err(StreamError::Closed) => return Ok(false),
        Err(StreamError::Frame(error)) => {
            send(output, &output::error(bad_frame(&error))).await?;
            drain(input).await;
            return Err(error.into());
        }
        Err(error) => return Err(error),
    };
    send(output, &output::error(failure)).await?;
    drain(input).await;
    Ok(false)
}

/// Reads requests until the program closes, and begins each. At the end all that was begun is ended.
async fn read_all<R: AsyncRead + Unpin>(input: &mut R, conn: &Arc<Connection>) {
    let mut tasks = JoinSet::new();
    let ending = loop {
        let places = conn.places().await;
        while tasks.try_join_next().is_some() {}
        let next = read_frame_within::<Tagged<LocalRequest>, _>(input, SENDS_WITHIN).await;
        let ((tag, request), body) = match next {
            Ok(frame) => frame,
            Err(StreamError::Closed) => break Ending::Closed,
            Err(StreamError::Frame(error)) => {
                let reply = output::error(bad_frame(&error));
                conn.out.send(NO_TAG, reply, Vec::new(), None).await;
                break Ending::Bad(error.into());
            }
            Err(error) => break Ending::Bad(error),
        };
        let asked = Asked::new(conn, tag, places);
        tasks.spawn(asked.run(request, body));
    };
    if matches!(ending, Ending::Closed) {
        while tasks.join_next().await.is_some() {}
    }
    conn.out.end(ending).await;
    // Those still under way may end while the writer writes.
    while tasks.join_next().await.is_some() {}
}

/// One message, to a program that has to take it some time.
async fn send<W: AsyncWrite + Unpin>(
    output: &mut W,
    reply: &LocalReply,
) -> Result<(), StreamError> {
    in_time(async {
        write_frame(output, reply, &[]).await?;
        Ok(output.flush().await?)
    })
    .await
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
