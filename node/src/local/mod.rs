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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use packnback_proto::wire::frame::FrameError;
use packnback_proto::wire::local::{LocalReply, LocalRequest};
use packnback_proto::wire::{ErrorCode, local};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::Notify;

use crate::frames::{StreamError, read_frame, write_frame};
use crate::ports::{Failure, Network};
use crate::service::{Host, drain};
use crate::settings::Settings;
use session::{Answer, Session};

/// What every local connection shares.
pub struct LocalNode {
    /// Store and clock.
    pub host: Arc<Host>,
    /// The network.
    pub network: Arc<dyn Network>,
    /// Told when a program asks the node to end.
    pub stop: Arc<Notify>,
    started: Instant,
    own: Option<Own>,
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
        Self {
            host,
            network,
            stop,
            started: Instant::now(),
            own: None,
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
}

/// Accepts connections for ever. Each gets its own task.
pub async fn serve(listener: UnixListener, node: Arc<LocalNode>) {
    loop {
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
    loop {
        let (request, body) = match read_frame::<LocalRequest, _>(&mut input).await {
            Ok(frame) => frame,
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::Frame(error)) => {
                let reply = replies::error(bad_frame(&error));
                write_frame(&mut output, &reply, &[]).await?;
                output.flush().await?;
                drain(&mut input).await;
                return Err(error.into());
            }
            Err(error) => return Err(error),
        };
        match session.answer(request, body).await {
            Answer::Nothing => continue,
            Answer::Reply(reply, body) => write_frame(&mut output, &reply, &body).await?,
            Answer::Objects(ids) => session.send_objects(ids, &mut output).await?,
            Answer::RemoteObjects(ids) => session.send_remote(ids, &mut output).await?,
            Answer::End(failure) => {
                write_frame(&mut output, &replies::error(failure), &[]).await?;
                output.flush().await?;
                drain(&mut input).await;
                return Ok(());
            }
            Answer::Stop => {
                write_frame(&mut output, &LocalReply::Ok, &[]).await?;
                output.flush().await?;
                node.stop.notify_one();
                return Ok(());
            }
        }
        output.flush().await?;
    }
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
