//! What goes to the program: one writer, in the order in which things are said.

use packnback_proto::wire::local::LocalReply;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::in_time;
use super::pools::Place;
use crate::frames::{StreamError, write_frame};
use crate::ports::Failure;

/// Messages that wait to be written. What is large holds a [`Place`] besides.
const WAITING: usize = 16;

/// How a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The program closed it, and was answered.
    Closed,
    /// A refusal after which nothing is taken any more.
    Refused,
    /// The program broke the protocol, or the connection broke.
    Bad(StreamError),
    /// The node is to end.
    Stop,
}

/// Something said of a request.
struct Said {
    tag: u64,
    reply: LocalReply,
    body: Vec<u8>,
    /// Given back once it is written.
    _place: Option<Place>,
}

/// What the writer does next: it says something, or ends.
type Next = Result<Said, Ending>;

/// Where replies go.
#[derive(Clone)]
pub(super) struct Output(mpsc::Sender<Next>);

/// What the writer takes them from.
pub(super) struct Frames(mpsc::Receiver<Next>);

impl Output {
    pub(super) fn new() -> (Self, Frames) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Frames(receiver))
    }

    /// Says something of a request; `place` is held until it is written. Whether the program still listens.
    pub(super) async fn send(
        &self,
        tag: u64,
        reply: LocalReply,
        body: Vec<u8>,
        place: Option<Place>,
    ) -> bool {
        let said = Said {
            tag,
            reply,
            body,
            _place: place,
        };
        self.0.send(Ok(said)).await.is_ok()
    }

    /// Says that a request is worked on.
    pub(super) async fn working(&self, tag: u64) {
        self.send(tag, LocalReply::Working, Vec::new(), None).await;
    }

    /// Ends the connection once all before is written.
    pub(super) async fn end(&self, ending: Ending) {
        // ignored: it has ended already
        let _ = self.0.send(Err(ending)).await;
    }
}

/// Writes until the end.
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    mut frames: Frames,
    output: &mut W,
) -> Result<Ending, StreamError> {
    loop {
        let next = match frames.0.try_recv() {
            Ok(next) => next,
            Err(_) => {
                in_time(async { Ok(output.flush().await?) }).await?;
                let Some(next) = frames.0.recv().await else {
                    return Ok(Ending::Closed);
                };
                next
            }
        };
        match next {
            Ok(said) => {
                in_time(write_frame(output, &(said.tag, &said.reply), &said.body)).await?;
            }
            Err(ending) => {
                in_time(async { Ok(output.flush().await?) }).await?;
                return Ok(ending);
            }
        }
    }
}

/// A failure as a reply.
pub(super) fn error(failure: Failure) -> LocalReply {
    let Failure {
        code,
        message,
        safe,
        next,
    } = failure;
    LocalReply::Error {
        code,
        message,
        safe,
        next,
    }
}
